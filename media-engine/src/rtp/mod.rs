//! RTP packet view, sequence and timestamp arithmetic, statistics (RFC 3550).
//!
//! ```text
//! datagram ─ is_rtcp? ─┬─▶ rtcp
//!                      └─▶ RtpPacket::parse ─ Repeats ─┬─▶ ReceiveStats
//!                                                      ├─▶ RelayMap ─▶ RtpHeader::write_to   (relayed)
//!                                                      └─▶ jitter                            (decoded path)
//! ```
//!
//! Invariants: views borrow the datagram; nothing allocates per packet; no received bytes cause a panic.
//! Not here: sockets, legs, payload formats other than telephone-event, SRTP.

#![forbid(unsafe_code)]

mod extend;
#[doc(hidden)]
pub mod fuzz;
mod packet;
mod relay;
mod repeats;
mod stats;
pub mod telephone_event;

pub use extend::{SeqExtender, TimestampExtender};
pub use packet::{HEADER_LEN, RtpError, RtpHeader, RtpPacket, is_rtcp};
pub use relay::RelayMap;
pub use repeats::Repeats;
pub use stats::{ReceiveStats, Reception, SendStats};
