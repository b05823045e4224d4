//! HTTP without resources: connections, and what every request and response has in common.
//!
//! ```text
//!  listener ─▶ (places, tls, io, framing) ─▶ request_id ─▶ headers ─▶ gate ─▶ routes
//!                                            client, body, cursor: read by handlers      problem, csv: what they answer
//! ```
//!
//! Not here: who asks (`auth`), what a request must pass first (`gate`), and the resources (`routes`).

mod framing;
mod io;
mod places;

pub(crate) mod body;
pub(crate) mod client;
pub(crate) mod csv;
pub(crate) mod cursor;
pub(crate) mod headers;
pub(crate) mod listener;
pub(crate) mod problem;
pub(crate) mod request_id;
pub(crate) mod tls;
