//! Timeline of a recording: what any number of legs said, on one clock; and who has which channel of its files.
//!
//! ```text
//! place(leg, captured_at, samples) ─▶ ring per leg ─▶ drain(until, channels) ─▶ interleaved samples, silence in pauses
//! admit, leave ─▶ Layout: channels of the file that is being written, or of the next one
//! ```
//!
//! Frames are placed by when they were captured, not by when they were played, so that the channels line up
//! whatever each leg's buffer delays. A frame that lies within half a millisecond of the end of its predecessor
//! follows it directly. Up to 3 ms (clock skew) it is stretched by 0.6 % until it lies right; beyond that, where the
//! jitter buffer moved its playout point, a stretch that repeats itself is left out or repeated; what is further off
//! goes where it belongs, after silence or over what was there. Not here: files, taps.
//!
//! Invariants: after an hour at ±100 ppm the channels lie within 5 ms of each other (`tests/sim_recording.rs`). A channel is one leg's as
//! long as its file is written. Nothing that was said during a pause comes out.

mod layout;
mod timeline;

#[cfg(test)]
mod tests;

pub use layout::{CHANNELS_MAX, Full, Layout, Seat, Side};
pub use timeline::Timeline;
