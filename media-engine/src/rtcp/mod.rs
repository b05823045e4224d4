//! RTCP reports (RFC 3550 section 6), and the call quality derived from them (ITU-T G.107).
//!
//! ```text
//! datagram ─▶ parse ─▶ Packet ─▶ Session ─▶ round trip, loss at the far end
//! ReceiveStats, SendStats ─▶ Session ─▶ write_compound ─▶ datagram every 5 s
//! loss, delay, codec ─▶ mos::Rater ─▶ MOS of an interval and of the call
//! ```
//!
//! Invariants: views borrow the datagram, writers fill a given buffer: nothing allocates per packet;
//! no received bytes cause a panic. Not here: sockets, SRTCP, feedback messages.

#![forbid(unsafe_code)]

#[doc(hidden)]
pub mod fuzz;
pub mod mos;
mod packet;
mod session;
mod write;

pub use packet::{
    Bye, Packet, Packets, REPORT_BLOCK_LEN, ReportBlock, ReportBlocks, Sdes, SdesItem, SenderReport, parse,
};
pub use session::{FarEnd, INTERVAL, RemoteReport, Session};
pub use write::{
    Compound, MAX_BLOCKS, MAX_TEXT, RtcpError, write_bye, write_compound, write_receiver_report, write_sdes,
    write_sender_report,
};
