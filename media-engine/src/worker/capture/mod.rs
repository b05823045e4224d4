//! Captures: a worker's inputs and outputs as they happen, and their replay to the same outputs, byte for byte.
//!
//! ```text
//! thread ── Input ─▶ CapturedSwitch ─ Entry ─▶ Capture ── blocks of JSON lines, bounded ─▶ writer's thread ─▶ media-0-….jsonl
//!                                                                                                       │
//!                                                  Report ◀── compare ◀── Switch::handle ◀── replay ◀────┘
//! ```
//!
//! A line is one [`Line`]: nanoseconds since the start, then what came in (an [`Input`](super::switch::Input)) or what left
//! (datagram, event).
//! The switch is sans-IO and seeded, so the same inputs give the same outputs. Datagrams and events are compared as two
//! streams, because the thread empties the outbox after several datagrams at once.
//!
//! Invariants: the media thread never waits for the disk: a block that finds the writer busy is dropped and counted, and the
//! capture says where it is broken. Not captured: browser legs, whose keys nobody can know beforehand, and what a leg was before it
//! came from another worker; the legs that they were bridged to, or in a conference with, are replayed but not compared from then on.
//!
//! A capture holds what was said and, for SRTP legs, the keys: its file is readable by its owner only.

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
