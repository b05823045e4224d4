//! RTCP reports (RFC 3550 section 6).
//!
//! ```text
//! datagram ─▶ parse ─▶ Packet ─▶ Session ─▶ round trip, loss at the far end
//! ReceiveStats, SendStats ─▶ Session ─▶ write_compound ─▶ datagram every 5 s
//! ```
//!
//! Invariants: views borrow the datagram, writers fill a given buffer: nothing allocates per packet;
//! bytes from outside never panic. Not here: sockets, SRTCP, feedback messages.

#![forbid(unsafe_code)]

#[doc(hidden)]
pub mod fuzz;
mod packet;
mod session;
mod write;

pub use packet::{
    Bye, Packet, Packets, REPORT_BLOCK_LEN, ReportBlock, ReportBlocks, Sdes, SdesItem, SenderReport, parse,
};
pub use session::{INTERVAL, RemoteReport, Session};
pub use write::{
    Compound, MAX_BLOCKS, MAX_TEXT, RtcpError, write_bye, write_compound, write_receiver_report, write_sdes,
    write_sender_report,
};
