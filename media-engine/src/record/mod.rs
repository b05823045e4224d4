//! Timeline of a recording, which aligns what any number of legs say and hear on one clock, and the channels of its files.
//!
//! ```text
//! place(track, captured_at, samples) ─▶ ring per track ─▶ drain(until, channels) ─▶ interleaved samples, silence in pauses
//! admit, leave ─▶ Layout: channels of the file that is being written, or of the next one
//! ```
//!
//! Frames are placed by the time of their capture, not of their playback, so that the channels are aligned whatever
//! delay the buffer of each leg adds. A frame within half a millisecond of the end of its predecessor
//! follows it directly. Up to 3 ms (clock skew) it is stretched by 0.6 % until it fits; beyond that, where the
//! jitter buffer moved its playout point, a stretch that repeats itself is left out or repeated. A frame that is further
//! off is placed where it belongs, after silence or over earlier samples. Not here: files, taps.
//!
//! Invariants: after an hour at ±100 ppm the channels lie within 5 ms of each other (`tests/sim_recording.rs`). A channel belongs
//! to one track as long as its file is written. Audio from a pause is never returned.

mod layout;
mod timeline;

#[cfg(test)]
mod tests;

pub use layout::{CHANNELS_MAX, Full, Layout, Reserved, Seat, Side, Track};
pub use timeline::Timeline;
