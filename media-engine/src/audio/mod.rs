//! Gain, ducking, mixing and taps for linear samples.
//!
//! ```text
//! leg's frame ──┬──▶ Ducker ──▶ mix_into ──▶ peer's encoder
//!               ├──▶ Mix: N parties, each hears the others ──▶ each one's encoder
//!               └──▶ tap (a copy) ──▶ recording, recognition
//! ```
//!
//! Invariants: mono `i16`; nothing here allocates after construction, blocks or reads the clock.
//! Not here: resampling and codecs (crate `codecs`), and the membership of rooms (`call`).

#![forbid(unsafe_code)]

mod level;
mod limit;
pub mod mix;
mod overhear;
pub mod tap;

pub use level::{DUCK_ATTACK, DUCK_DB, DUCK_RELEASE, Ducker, Gain, Original, mix_into};
pub use mix::{HeardBy, Mix, Party, SpeakerChange};
pub use overhear::Ears;
pub use tap::{FrameKind, TapFrame, TapItem, TapReader, TapWriter, tap};
