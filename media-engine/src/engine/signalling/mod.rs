//! The boundary between calls and their signalling: legs are rung, answered, offered to, referred and hung up here.
//!
//! Invariant: no other part of the engine names a SIP command. A command that cannot be sent because the stack is overloaded is
//! logged with its call and counted; the peer's timers end the leg.

mod sip;

pub(super) use sip::{Ring, Signals, drain, end_credential, refuse, set_credential};
