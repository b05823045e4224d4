//! Sample rate of linear audio.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Samples per second of linear audio. It may differ from the RTP clock (G.722).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct SampleRate(u32);

impl SampleRate {
    /// Narrowband, as used in telephony.
    pub const HZ_8000: SampleRate = SampleRate(8_000);
    /// Wideband, the input of speech recognisers.
    pub const HZ_16000: SampleRate = SampleRate(16_000);
    /// Super-wideband, the output of some speech synthesisers.
    pub const HZ_24000: SampleRate = SampleRate(24_000);
    /// Fullband, the native rate of Opus.
    pub const HZ_48000: SampleRate = SampleRate(48_000);

    /// Returns the rate of `hz` samples per second; `None` for rates that the live path does not support.
    pub fn from_hz(hz: u32) -> Option<SampleRate> {
        matches!(hz, 8_000 | 16_000 | 24_000 | 48_000).then_some(SampleRate(hz))
    }

    /// Returns the samples per second.
    pub const fn hz(self) -> u32 {
        self.0
    }

    /// Returns the number of samples in `ms` milliseconds.
    pub const fn samples_in_ms(self, ms: u32) -> usize {
        (self.0 / 1000 * ms) as usize
    }
}

impl TryFrom<u32> for SampleRate {
    type Error = UnknownRate;

    fn try_from(hz: u32) -> Result<SampleRate, UnknownRate> {
        SampleRate::from_hz(hz).ok_or(UnknownRate)
    }
}

impl From<SampleRate> for u32 {
    fn from(rate: SampleRate) -> u32 {
        rate.0
    }
}

/// The live path does not support this rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a sample rate of 8000, 16000, 24000 or 48000 Hz")]
pub struct UnknownRate;

impl fmt::Display for SampleRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Hz", self.0)
    }
}
