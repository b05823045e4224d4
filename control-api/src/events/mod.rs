//! What happens, from the engine to whoever listens.
//!
//! ```text
//! engine ─ Event ─▶ ingest ─▶ Writer ─ Change ─▶ Bus ─▶ store (one commit) ─▶ ring ─▶ wakes readers
//! routes ──────────────────── │ ────── Change ───▶┘                             │
//!                             └▶ spool, while the store is away                 │
//!                                                             SSE reader ◀──────┘ ring, or the store when it is behind
//! ```
//!
//! Invariants: an event is in the store before any reader sees it, so a reader that comes back with the id it saw
//! last misses nothing and sees nothing twice. Readers pull; a slow one holds up nobody, and what is not kept
//! (states of providers and devices) reaches it as a gap marker when it was too slow.

mod bus;
mod decide;
mod ingest;
mod known;
mod listeners;
mod music;
mod own;
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
pub(crate) use known::KnownFile;
pub use listeners::{Listeners, Listening};
pub use own::OwnCalls;
pub use refused::{RefusedEvent, refused_clear, refused_list};
pub use sse::{Reader, STREAM_END_QUIET, sse_response};
pub use tenants::Tenants;
pub use writer::Writer;
