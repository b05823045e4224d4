//! Events, from the engine to the listeners.
//!
//! ```text
//! engine ─ Event ─▶ ingest ─▶ Writer ─ Change ─▶ Bus ─▶ store (one commit) ─▶ ring ─▶ wakes readers
//! routes ──────────────────── │ ────── Change ───▶┘                             │
//!                             └▶ spool, while the store is away                 │
//!                                                             SSE reader ◀──────┘ ring, or the store when it is behind
//! ```
//!
//! Invariants: an event is in the store before any reader sees it, so a reader that returns with the id of its last event misses
//! nothing and receives nothing twice. Readers pull, so a slow reader delays nobody else. If it is too slow for transient states
//! (of providers and devices), which are not stored, it gets a gap marker.

mod bus;
mod decide;
mod ingest;
mod known_tenants;
mod listeners;
mod music;
mod own_calls;
mod presence;
mod reconcile;
mod refused;
mod spool;
mod sse;
mod steps;
mod tenants;
mod writer;

pub use bus::{Bus, Passing, Provider};
pub use ingest::ingest;
pub(crate) use known_tenants::KnownFile;
pub use listeners::{Listeners, Listening};
pub use own_calls::OwnCalls;
pub use refused::{RefusedEvent, refused_clear, refused_list};
pub use sse::{Reader, STREAM_END_QUIET, sse_response};
pub use tenants::Tenants;
pub use writer::Writer;
