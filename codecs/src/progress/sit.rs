//! Special information tones: three rising tones before an announcement that a call failed.
//!
//! ITU-T E.180 allows 950, 1400 and 1800 Hz ± 50 Hz, 330 ms ± 70 ms each, with pauses of up to 30 ms; some countries pause for
//! 200 ms. North American exchanges encode a reason in the first two tones, which are low or high and short (274 ms) or long
//! (380 ms); the third one is always 1776.7 Hz and long:
//!
//! ```text
//!   intercept  short low,  short low        reorder     short low,  long high  (local); short high, long low
//!   vacant     long high,  short low        no circuit  long high,  long high  (local); long low,   long low
//! ```
//!
//! They are decided while the third tone sounds.

use super::{Heard, SitKind, Tone, ToneKind};

/// Nominal frequencies, Hz.
const NOMINAL_HZ: [f32; 3] = [950.0, 1_400.0, 1_800.0];
/// Distance from them: 50 Hz, and 2 % for clocks.
const WITHIN_HZ: [f32; 3] = [70.0, 78.0, 86.0];
/// Length of each tone, ms: 330 ± 70 and the accuracy of our edges.
const LENGTH_MS: std::ops::RangeInclusive<u32> = 240..=420;
/// Longest pause between tones, ms.
const PAUSE_MS: u32 = 250;
/// Frequencies of North American exchanges, low and high, of the first and the second tone.
const LOW_HIGH_HZ: [(f32, f32); 2] = [(913.8, 985.2), (1_370.6, 1_428.5)];
const THIRD_HZ: f32 = 1_776.7;
/// Length that parts short from long tones, ms.
const LONG_MS: u32 = 327;

/// The last tones that may be part of the three.
#[derive(Clone, Debug, Default)]
pub(super) struct Rising {
    first: Option<Tone>,
    second: Option<Tone>,
    /// Start of the third tone once it has been told.
    told: Option<u32>,
}

/// Returns whether a tone is the one with the number `n`, its length apart.
fn is_at(tone: &Tone, n: usize) -> bool {
    // Noise may add lines to it.
    let is_single = !matches!(tone.kind, ToneKind::Chirp | ToneKind::Modulated);
    is_single && (tone.frequencies[0] - NOMINAL_HZ[n]).abs() <= WITHIN_HZ[n]
}

/// Returns whether a tone may be the first one of the three.
pub(super) fn may_begin(tone: &Tone) -> bool {
    is_at(tone, 0) && LENGTH_MS.contains(&tone.length_ms())
}

/// Returns whether a tone may be the second one of the three.
pub(super) fn may_follow(tone: &Tone) -> bool {
    is_at(tone, 1) && LENGTH_MS.contains(&tone.length_ms())
}

impl Rising {
    /// Learns that a tone sounds; tells the three tones when it is the third one.
    pub(super) fn on_sound(&mut self, tone: &Tone) -> Option<Heard> {
        let (first, second) = (self.first?, self.second?);
        let follows = tone.start_ms.saturating_sub(second.end_ms) <= PAUSE_MS;
        if self.told == Some(tone.start_ms) || !follows || !is_at(tone, 2) {
            return None;
        }
        self.told = Some(tone.start_ms);
        let frequencies = [first, second, *tone].map(|tone| tone.frequencies[0]);
        Some(Heard::Sit { kind: kind_of(&first, &second, tone), start_ms: first.start_ms, frequencies })
    }

    /// Learns that a tone has ended; returns whether it was the third one.
    pub(super) fn on_end(&mut self, tone: &Tone) -> bool {
        let follows =
            |before: Option<Tone>| before.is_some_and(|before| tone.start_ms.saturating_sub(before.end_ms) <= PAUSE_MS);
        if may_follow(tone) && self.second.is_none() && follows(self.first) {
            self.second = Some(*tone);
            return false;
        }
        let is_third = self.told == Some(tone.start_ms);
        (self.first, self.second) = (may_begin(tone).then_some(*tone), None);
        is_third
    }
}

fn kind_of(first: &Tone, second: &Tone, third: &Tone) -> SitKind {
    // All three come from one clock, whose error the third one shows.
    let clock = third.frequencies[0] / THIRD_HZ;
    let is_high = |tone: &Tone, n: usize| {
        let (low, high) = LOW_HIGH_HZ[n];
        let hz = tone.frequencies[0] / clock;
        let near = |nominal: f32| (hz - nominal).abs() < 0.014 * nominal;
        if near(low) { Some(false) } else { near(high).then_some(true) }
    };
    let (Some(one), Some(two)) = (is_high(first, 0), is_high(second, 1)) else { return SitKind::Other };
    let is_long = |tone: &Tone| tone.length_ms() > LONG_MS;
    match ((is_long(first), one), (is_long(second), two)) {
        ((false, false), (false, false)) => SitKind::Intercept,
        ((true, true), (false, false)) => SitKind::Vacant,
        ((false, false), (true, true)) | ((false, true), (true, false)) => SitKind::Reorder,
        ((true, true), (true, true)) | ((true, false), (true, false)) => SitKind::NoCircuit,
        _ => SitKind::Other,
    }
}
