//! Sans-IO SIP core (RFC 3261).
//!
//! ```text
//!  bytes ─▶ framing ─▶ message ─▶ gate ─▶ transactions, dialogs, registrar ─▶ events
//!  bytes ◀──────────── write ◀────────────────────────┘
//! ```
//!
//! Invariants: no clock, sockets or tasks; every size that a peer chooses is bounded; nothing that a peer sends can
//! cause a panic. Not here: sockets and connections (`sip_io`), media and SDP (`sdp`).

#[doc(hidden)]
pub mod fuzz;

pub mod dial;
pub(crate) mod dialog;
pub mod digest;
pub mod endpoint;
pub(crate) mod flow;
pub mod framing;
pub mod gate;
pub mod header;
pub(crate) mod id_table;
pub(crate) mod limits;
pub mod message;
pub mod reason;
pub(crate) mod registrar;
pub mod trace;
pub(crate) mod transaction;
pub mod trunk;
pub mod uri;
pub(crate) mod wheel;
pub mod write;

pub use endpoint::{
    Advertise, Cause, DialogId, Endpoint, EndpointConfig, Invite, PlaceStatus, ReferId, Replaces, SipCommand, SipEvent,
    SipOutput, Sizes, Source, Target, TrunkStatus,
};
pub use flow::{Flow, FlowId, Transport};
pub use header::{CSeq, Contact, HeaderError, Name, NameAddr, Params, Via};
pub use limits::Limits;
pub use message::{Message, Method, ParseError, Start};
pub use reason::Told;
pub use trace::{CallTrace, NamedLeg, Trace, TraceBounds, TraceLabel, TraceLevel, TraceParty, TraceStep};
pub use trunk::{Destination, Trunk};
pub use uri::{Host, Scheme, Uri};
