//! Calls from the control plane's side: what an organization may start, under which identity, and from which telephones.
//!
//! Not here: what happens in a call (`engine`), how its settings are decided when it comes in (`events`), and call programs
//! (`programs`).

pub(crate) mod caller_identity;
pub(crate) mod limits;
pub(crate) mod number_call;
pub(crate) mod phones;
pub(crate) mod turn;

pub mod trace;
