//! Sans-IO SIP core (RFC 3261).
//!
//! ```text
//!  bytes ─▶ framing ─▶ message ─▶ gate ─▶ transactions, dialogs, registrar ─▶ events
//!  bytes ◀──────────── write ◀────────────────────────┘
//! ```
//!
//! Invariants: no clock, sockets or tasks; every size that a peer chooses is bounded; nothing
//! that a peer sends panics. Not here: sockets and connections (`sip_io`), media and SDP (`sdp`).

#[doc(hidden)]
pub mod fuzz;

pub mod digest;
pub mod framing;
pub mod gate;
pub mod header;
pub mod message;
pub mod uri;
pub mod write;

pub use header::{CSeq, Contact, HeaderError, Name, NameAddr, Params, Via};
pub use message::{Message, Method, ParseError, Start};
pub use uri::{Host, Scheme, Uri};
