//! Timeline of a recording: two channels on one clock.
//!
//! ```text
//! place(channel, captured_at, samples) ─▶ ring per channel ─▶ drain(until) ─▶ interleaved samples
//! ```
//!
//! Frames are placed by when they were captured, not by when they were played, so that the channels line up
//! whatever each leg's buffer delays. A frame that lies within a millisecond of the end of its predecessor follows
//! it directly; beyond that it is stretched or squeezed by at most an eighth until it lies right again; beyond
//! 40 ms it goes where it belongs, after silence or over what is older. Not here: files, taps.

mod timeline;

#[cfg(test)]
mod tests;

pub use timeline::Timeline;
