//! From packets in any order to an even stream of samples.
//!
//! ```text
//! insert(packet, arrival) ─▶ slots by sequence ─▶ decoder ─▶ fifo ─▶ rate trim ─▶ pull(now): 20 ms of samples
//!          └─▶ delay: baseline (least transit), histogram ─▶ target ────┘
//! ```
//!
//! The playout point is a position in RTP time. Where it should be follows from the engine's clock alone:
//! `now − baseline − target`. Every pull trims it towards there, by a few samples while somebody speaks and by
//! more in silence, so that clock skew, route changes and a changing target are one mechanism, and no backlog can
//! last. A gap is filled from the next packet's in-band FEC where there is some, else concealed.
//!
//! Invariants: nothing allocates after construction (`no_alloc_pure`); the buffer holds at most its slots; a
//! packet is played at most once and never after its time. Not here: sockets, reports, who listens.
//!
//! Sources: RFC 3550 (timestamps, SSRC), RFC 3551 section 4.1 (talkspurts), RFC 6716 section 2.1.7 (Opus FEC).

mod delay;
mod playout;
mod slots;

pub use playout::{Inserted, Playout, PlayoutConfig, PlayoutCounters, Pulled, PulledKind};
