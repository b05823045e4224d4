//! Audio sample rate.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Samples per second of linear audio. Not the RTP clock, which may differ (G.722).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct SampleRate(u32);

impl SampleRate {
    /// Narrowband telephony.
    pub const HZ_8000: SampleRate = SampleRate(8_000);
    /// Wideband; what recognisers want.
    pub const HZ_16000: SampleRate = SampleRate(16_000);
    /// Super-wideband; what some synthesisers give.
    pub const HZ_24000: SampleRate = SampleRate(24_000);
    /// Fullband.
    pub const HZ_48000: SampleRate = SampleRate(48_000);

    /// A rate by number; `None` for rates the live path does not carry.
    pub fn from_hz(hz: u32) -> Option<SampleRate> {
        matches!(hz, 8_000 | 16_000 | 24_000 | 48_000).then_some(SampleRate(hz))
    }

    /// Samples per second.
    pub const fn hz(self) -> u32 {
        self.0
    }

    /// Samples in `ms` milliseconds.
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

/// The live path does not carry this rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a sample rate of 8000, 16000, 24000 or 48000 Hz")]
pub struct UnknownRate;

impl fmt::Display for SampleRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Hz", self.0)
    }
}
