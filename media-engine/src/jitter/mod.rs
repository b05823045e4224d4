//! From packets in any order to an even stream of samples.
//!
//! ```text
//! insert(packet, arrival) ─▶ admit ─▶ slots by sequence ─▶ play: decode, conceal ─▶ fifo ─▶ splice ─▶ pull(now)
//!                              └─▶ delay: bound, baseline ────────┴──────────────────────────┘          a frame
//! ```
//!
//! Playout goes by the engine's clock: one frame per tick. How far it lies behind follows from the transit times of
//! the last seconds, and is corrected by leaving out or repeating short stretches at the same pitch, so that clock
//! skew, another route and jitter that comes or goes are one mechanism, and no backlog lasts.
//!
//! What happens when packets are missing:
//! - a newer one waits: the gap is filled from its in-band FEC, else concealed; what comes later is dropped, *late*. While
//!   packets are lost, and the next ones carry copies, playout keeps far enough behind to use them: the first copy is played
//!   behind the concealment of what it holds, which brings that delay at once;
//! - nothing waits: up to 100 ms are concealed while media time stands still. Then a packet tells what it was. Missing
//!   numbers: loss. Missing time only: a pause, which is no loss. Neither: a stall. After a stall everything is played
//!   (counted late), and the delay it brought is worked off by splices, 300 ms within two seconds. Beyond 500 ms the
//!   oldest is given up instead. The estimate is not moved by one such burst.
//! - the sender has told that it pauses, by a comfort noise packet or by Opus DTX: noise of that kind fills the pause.
//! - numbers or time stamps jump as no network makes them: the second packet in a row that says so begins anew.
//!   Another SSRC begins anew at once.
//!
//! Invariants: nothing allocates after construction (`tests/no_alloc_playout.rs`); nothing that comes in panics
//! (`tests/sim_playout`, fuzzed); at most 64 packets wait; each is played at most once, in order of its number.
//! Not here: sockets, reports, telephone-events (they are sorted out before), who listens.
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
