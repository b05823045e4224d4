//! The seam between calls and what carries their signalling: a leg is rung, answered, offered to, referred and hung up here.
//!
//! Invariant: nothing else in the engine names a command of SIP. What cannot be sent because the stack is overloaded is logged with
//! its call and counted; the peer's timers end it.

mod sip;

pub(super) use sip::{Ring, Signals, drain, end_credential, refuse, set_credential};
