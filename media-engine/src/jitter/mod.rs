//! Jitter buffer: turns packets that arrive in any order into an even stream of samples.
//!
//! ```text
//! insert(packet, arrival) ─▶ admit ─▶ slots by sequence ─▶ play: decode, conceal ─▶ fifo ─▶ splice ─▶ pull(now)
//!                              └─▶ delay: bound, baseline ────────┴──────────────────────────┘          a frame
//! ```
//!
//! Playout follows the engine's clock: one frame per tick. Its delay is derived from the transit times of the last
//! seconds, and is corrected by leaving out or repeating short stretches at the same pitch. This one mechanism handles
//! clock skew, route changes and changing jitter, so that no backlog lasts.
//!
//! Handling of missing packets:
//! - A newer packet waits: the gap is filled from its in-band FEC, else concealed; missing packets that arrive later are
//!   dropped as *late*. While packets are lost and the next ones carry copies, playout keeps enough delay to use them: the
//!   first copy is played after the concealment of the packet it replaces, which adds that delay at once.
//! - No packet waits: up to 100 ms are concealed while media time stands still. The next packet then shows the cause.
//!   Missing numbers: loss. Missing time only: a pause, which is no loss. Neither: a stall. After a stall everything is
//!   played (and counted as late), and the delay it caused is removed by splices, 300 ms within two seconds. Beyond 500 ms
//!   the oldest packets are dropped instead. One such burst does not change the estimate.
//! - The sender announced a pause, by a comfort noise packet or by Opus DTX: noise of that kind fills the pause.
//! - Numbers or time stamps jump further than any network causes: the second consecutive packet that confirms the jump
//!   resets the buffer. A new SSRC resets it at once.
//!
//! Invariants: nothing allocates after construction (`tests/no_alloc_playout.rs`); no input causes a panic
//! (`tests/sim_playout`, fuzzed); at most 64 packets wait; each is played at most once, in order of sequence numbers.
//! Not here: sockets, reports, telephone-events (they are filtered out before), and the listeners.
//!
//! Sources: RFC 3550 (time stamps, SSRC, appendix A.1), RFC 3551 section 4.1 (talkspurts), RFC 6716 section 2.1.7
//! (Opus FEC), RFC 3389 (comfort noise), RFC 7587 section 3.1.3 (DTX).

mod admit;
mod delay;
mod fifo;
mod handover;
mod play;
mod playout;
mod slots;

pub use handover::Next;
pub use playout::{Inserted, Playout, PlayoutConfig, PlayoutCounters, Pulled, PulledKind};
