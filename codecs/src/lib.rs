//! Sample processing of a voice engine, without I/O, clocks, network access or knowledge of calls.
//!
//! ```text
//!  RTP payload --> codec::Decoder --> i16 --> resample --> gain, tones --> codec::Encoder --> RTP payload
//!                  (g711 g722 l16 opus) |                                  (g711 g722 l16 opus)
//!                  gaps: plc           +--> vad, dtmf, progress (listen only)
//! ```
//!
//! **Audio** is mono `i16` at a [`SampleRate`], in buffers that the caller owns.
//!
//! **Levels** are dBFS relative to a full-scale sine: a sine that peaks at 32767 has 0 dBFS, so does its RMS.
//!
//! **Invariants.** Nothing allocates, locks or reads a clock after construction (`tests/no_alloc.rs` proves it, libopus
//! included). No payload bytes cause a panic (`tests/fuzz.rs`).
//!
//! **Not here:** packets, timestamps, jitter, mixing of parties, and decisions that need the history of a call, such as
//! end-pointing; those are modules of `media-engine`.

#![forbid(unsafe_code)]

pub mod cng;
pub mod codec;
pub mod dtmf;
pub mod fourier;
pub mod g711;
pub mod g722;
pub mod gain;
pub mod l16;
pub mod lanes;
pub mod opus;
pub mod plc;
pub mod progress;
mod rate;
pub mod resample;
pub mod splice;
pub mod tones;
pub mod vad;

pub use codec::{CodecError, Decoder, Encoder};
pub use rate::{SampleRate, UnknownRate};
