//! Sample maths of a voice engine: no I/O, no clock, no network, no notion of a call.

mod rate;

pub use rate::SampleRate;
