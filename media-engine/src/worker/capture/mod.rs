//! Captures: a worker's inputs and outputs as they happen, and their replay, which must produce the same outputs byte
//! for byte.
//!
//! ```text
//! thread ── Input ─▶ CapturedSwitch ─ Entry ─▶ Capture ── blocks of JSON lines, bounded ─▶ writer's thread ─▶ media-0-….jsonl
//!                                                                                                       │
//!                                                  Report ◀── compare ◀── Switch::handle ◀── replay ◀────┘
//! ```
//!
//! A line is one [`Line`]: nanoseconds since the start, then an input ([`Input`](super::switch::Input)) or an output
//! (datagram, event).
//! The switch is sans-IO and seeded, so the same inputs give the same outputs. Datagrams and events are compared as two
//! streams, because the thread empties the outbox after several datagrams at once.
//!
//! Invariants: the media thread never waits for the disk: if the writer is busy, a block is dropped and counted, and
//! the capture records the gap. Not captured: browser legs, whose keys cannot be known beforehand, and the previous
//! state of a leg that came from another worker. Legs that were bridged to these, or in a conference with them, are
//! replayed but not compared from then on.
//!
//! A capture contains the audio of calls and, for SRTP legs, the keys: only the owner of the file may read it.

mod entry;
mod replay;
mod switch;
#[cfg(test)]
mod tests;
mod writer;

pub use replay::{Difference, Report, replay};

pub(crate) use entry::{Entry, Start};
pub(crate) use switch::CapturedSwitch;
pub(crate) use writer::Capture;
