//! Turns and segments of live translation, independent of speech providers.
//!
//! ```text
//! frames ─▶ Endpointer ─ begin, audio, end ─▶ recogniser ─ partial, final ─▶ Session ─ translate ─▶ translator
//!                                                                             │  ▲                    │
//!                          TranslationEvent ◀─────────────────────────────────┘  └────── text ◀──────┘
//!                                                              speak ─▶ synthesis ─▶ first sample: lag is known
//! ```
//!
//! Sans-IO: inputs are frames, results and times; effects are returned by [`Session::poll_effect`]. Invariants: a
//! result for a closed segment changes nothing; a final text never changes; every stage is timed with one
//! clock; at most [`SEGMENTS_MAX`] segments are remembered. Not here: calls, legs, RTP, sockets, providers.

mod endpoint;
mod event;
mod session;

#[cfg(test)]
mod tests;

pub use endpoint::{Endpointer, Heard};
pub use event::{LagMs, TranslationEvent};
pub use session::{Effect, SEGMENTS_MAX, Session, SessionParams};
