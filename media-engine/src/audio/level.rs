//! Gain, ducking and mixing.
//!
//! ```text
//! original voice ──▶ Ducker (−18 dB while translated voice plays, or silence) ──▶ dst ◀── mix_into ── translated voice
//! ```
//!
//! Invariants: a gain never jumps, it changes gradually; a ducker at rest and a mix with silence leave samples
//! bit-exact. Nothing allocates. Not here: when ducking is active (`call`).

use std::time::Duration;

use crate::units::SampleRate;

/// Decibels by which the original voice is lowered under translated voice.
pub const DUCK_DB: f32 = -18.0;
/// Level below which an original that is not to be heard is silence.
const SILENT_DB: f32 = -80.0;
/// Time from full level to ducked.
pub const DUCK_ATTACK: Duration = Duration::from_millis(50);
/// Time from ducked to full level.
pub const DUCK_RELEASE: Duration = Duration::from_millis(300);

/// Time in which a changed gain reaches its new value.
const GAIN_GLIDE: Duration = Duration::from_millis(10);

/// Level above which a mixed sample is bent towards full scale instead of being clipped: −2.5 dBFS.
pub(super) const KNEE: i32 = 24_576;

/// A gain that reaches a new value within 10 ms, so that no change clicks.
#[derive(Clone, Copy, Debug)]
pub struct Gain {
    current: f32,
    target: f32,
}

impl Gain {
    /// Creates a gain of `db` decibels; −∞ is silence.
    pub fn from_db(db: f32) -> Gain {
        let factor = factor(db);
        Gain { current: factor, target: factor }
    }

    /// Changes the gain to `db`; the change is spread over the next 10 ms.
    pub fn change_db(&mut self, db: f32) {
        self.target = factor(db);
    }

    /// Whether samples pass unchanged from now on.
    pub fn is_at_rest(&self) -> bool {
        self.current == 1.0 && self.target == 1.0
    }

    /// Applies the gain as it is now to mono `samples`; a change waits.
    pub fn hold(&self, samples: &mut [i16]) {
        if self.current != 1.0 {
            samples.iter_mut().for_each(|sample| *sample = scale(*sample, self.current));
        }
    }

    /// Applies the gain to mono `samples`.
    pub fn process(&mut self, samples: &mut [i16], rate: SampleRate) {
        let glide = (GAIN_GLIDE.as_secs_f32() * rate.hz() as f32).max(1.0);
        // At most full scale per glide: a change by 1.0 takes the whole time.
        let step = (1.0_f32 / glide).max((self.target - self.current).abs() / glide);
        let mut rest = samples;
        while self.current != self.target {
            let Some((sample, after)) = rest.split_first_mut() else { return };
            let distance = self.target - self.current;
            self.current = if distance.abs() <= step { self.target } else { self.current + step.copysign(distance) };
            *sample = scale(*sample, self.current);
            rest = after;
        }
        if self.current != 1.0 {
            rest.iter_mut().for_each(|sample| *sample = scale(*sample, self.current));
        }
    }
}

/// Level at which the original is heard beside translated voice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Original {
    /// As loud as it came.
    Full,
    /// Lowered by [`DUCK_DB`].
    Ducked,
    /// Replaced by silence.
    Silent,
}

impl Original {
    fn db(self) -> f32 {
        match self {
            Original::Full => 0.0,
            Original::Ducked => DUCK_DB,
            Original::Silent => SILENT_DB,
        }
    }
}

/// Lowers one voice while another speaks: within 50 ms, back within 300 ms, linear in decibels.
#[derive(Clone, Copy, Debug)]
pub struct Ducker {
    /// Decibels, from 0 at full level to [`SILENT_DB`].
    db: f32,
    target: f32,
    /// Decibels per second of the change to `target`.
    slope: f32,
}

impl Default for Ducker {
    fn default() -> Ducker {
        Ducker::new()
    }
}

impl Ducker {
    /// Creates a ducker at full level.
    pub const fn new() -> Ducker {
        Ducker { db: 0.0, target: 0.0, slope: 0.0 }
    }

    /// Moves towards this level over mono `samples` of any length.
    pub fn process(&mut self, original: Original, samples: &mut [i16], rate: SampleRate) {
        let target = original.db();
        if target != self.target {
            let span = if target < self.db { DUCK_ATTACK } else { DUCK_RELEASE };
            self.slope = (target - self.db).abs().max(DUCK_DB.abs()) / span.as_secs_f32();
            self.target = target;
        }
        let step = self.slope.max(1.0) / rate.hz() as f32;
        let gliding = ((target - self.db).abs() / step).ceil() as usize;
        let (head, tail) = samples.split_at_mut(gliding.min(samples.len()));
        if !head.is_empty() {
            let signed = step.copysign(target - self.db);
            let ratio = factor(signed);
            let mut gain = factor(self.db);
            for sample in head.iter_mut() {
                gain *= ratio;
                *sample = scale(*sample, gain);
            }
            let moved = self.db + signed * head.len() as f32;
            self.db = if head.len() == gliding || (target - moved).abs() < step / 2.0 { target } else { moved };
        }
        if original == Original::Silent {
            tail.fill(0);
        } else if target != 0.0 {
            let gain = factor(target);
            tail.iter_mut().for_each(|sample| *sample = scale(*sample, gain));
        }
    }

    /// Returns the present gain in decibels, 0 to −80.
    pub fn db(&self) -> f32 {
        self.db
    }

    /// Whether samples at full level pass unchanged.
    pub fn is_at_rest(&self) -> bool {
        self.db == 0.0
    }
}

/// Adds `src` to `dst`, sample by sample, up to the shorter length.
///
/// A sum louder than both its parts and than −2.5 dBFS is bent smoothly below full scale.
pub fn mix_into(dst: &mut [i16], src: &[i16]) {
    for (dst, src) in dst.iter_mut().zip(src) {
        *dst = soft_sum(i32::from(*dst), i32::from(*src));
    }
}

fn soft_sum(a: i32, b: i32) -> i16 {
    let sum = a + b;
    let size = sum.abs();
    let knee = KNEE.max(a.abs()).max(b.abs());
    if size <= knee {
        return sum.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
    }
    // knee + r·d/(r + d): slope 1 at the knee, full scale at infinity.
    let room = (i32::from(i16::MAX) - knee).max(0);
    let over = size - knee;
    let bent = (knee + room * over / (room + over)).min(i32::from(i16::MAX));
    (bent * sum.signum()) as i16
}

/// Returns the linear factor of `db`.
fn factor(db: f32) -> f32 {
    10_f32.powf(db / 20.0)
}

/// Scales a sample. `as` saturates and maps NaN to 0, so no sample wraps.
fn scale(sample: i16, gain: f32) -> i16 {
    (f32::from(sample) * gain).round() as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: SampleRate = SampleRate::HZ_8000;

    fn db_of(sample: i16, of: i16) -> f32 {
        20.0 * (f32::from(sample) / f32::from(of)).log10()
    }

    #[test]
    fn ducking_is_18_db_after_50_ms_and_gone_after_300_ms() {
        for rate in [SampleRate::HZ_8000, SampleRate::HZ_16000, SampleRate::HZ_48000] {
            let mut ducker = Ducker::new();
            let mut heard = Vec::new();
            for tick in 0..25 {
                let mut frame = vec![20_000; rate.samples_in_ms(20)];
                let original = if tick < 5 { Original::Ducked } else { Original::Full };
                ducker.process(original, &mut frame, rate);
                heard.extend(frame);
            }
            let at = |ms| db_of(heard[rate.samples_in_ms(ms) - 1], 20_000);
            for (ms, db) in [(25, -9.0), (50, -18.0), (100, -18.0), (250, -9.0), (400, 0.0)] {
                assert!((at(ms) - db).abs() < 0.1, "{rate} {ms} ms: {}", at(ms));
            }
            assert!(ducker.is_at_rest());
            // No step of the gain is louder than the attack's own slope.
            let largest = heard.windows(2).map(|w| (i32::from(w[0]) - i32::from(w[1])).abs()).max().unwrap();
            let slope = 20_000.0 * (1.0 - factor(-18.0 / rate.samples_in_ms(50) as f32));
            assert!(largest as f32 <= slope + 2.0, "{rate}: {largest}");
        }
    }

    #[test]
    fn ducking_that_is_reversed_half_way_returns_from_there() {
        let mut ducker = Ducker::new();
        ducker.process(Original::Ducked, &mut [1000; 200], RATE);
        assert!((ducker.db() + 9.0).abs() < 0.1);
        let mut frame = [20_000; 8];
        ducker.process(Original::Full, &mut frame, RATE);
        assert!((db_of(frame[0], 20_000) + 9.0).abs() < 0.1);
    }

    #[test]
    fn a_ducker_at_rest_is_bit_exact() {
        let frame: Vec<i16> = (0..160).map(|n| (n * 409 - 32_768) as i16).collect();
        let mut heard = frame.clone();
        Ducker::new().process(Original::Full, &mut heard, RATE);
        assert_eq!(heard, frame);
    }

    #[test]
    fn a_silenced_original_is_digital_silence_and_comes_back_within_300_ms() {
        let mut ducker = Ducker::new();
        ducker.process(Original::Silent, &mut [1000; 400], RATE);
        let mut frame = [20_000; 160];
        ducker.process(Original::Silent, &mut frame, RATE);
        assert_eq!(frame, [0; 160]);
        ducker.process(Original::Full, &mut [1000; 2_400], RATE);
        assert!(ducker.is_at_rest(), "{} dB", ducker.db());
    }

    #[test]
    fn a_gain_of_6_db_doubles_and_saturates() {
        let mut samples = [100, -100, 30_000, i16::MIN];
        Gain::from_db(6.0206).process(&mut samples, RATE);
        assert_eq!(samples, [200, -200, i16::MAX, i16::MIN]);
        let mut silent = [100; 4];
        Gain::from_db(f32::NEG_INFINITY).process(&mut silent, RATE);
        assert_eq!(silent, [0; 4]);
    }

    #[test]
    fn a_changed_gain_is_applied_without_a_jump() {
        let mut gain = Gain::from_db(0.0);
        let mut samples = [10_000; 160];
        gain.process(&mut samples, RATE);
        assert_eq!(samples, [10_000; 160]);
        gain.change_db(f32::NEG_INFINITY);
        gain.process(&mut samples, RATE);
        let largest = samples.windows(2).map(|w| (w[0] - w[1]).abs()).max().unwrap();
        assert!(largest <= 126, "{largest}");
        assert_eq!(samples[81..], [0; 79]);
    }

    #[test]
    fn a_mix_with_silence_is_bit_exact() {
        let loud: Vec<i16> = vec![i16::MIN, -32_000, -1, 0, 1, 25_000, i16::MAX];
        let mut dst = loud.clone();
        mix_into(&mut dst, &[0; 7]);
        assert_eq!(dst, loud);
        let mut dst = vec![0; 7];
        mix_into(&mut dst, &loud);
        assert_eq!(dst, loud);
    }

    #[test]
    fn a_mix_adds_below_the_knee_and_never_wraps_above() {
        for a in (-32_768..=32_767_i32).step_by(257) {
            let mut before = None;
            for b in (-32_768..=32_767_i32).step_by(101) {
                let mixed = i32::from(soft_sum(a, b));
                let sum = a + b;
                assert!(mixed.signum() * sum.signum() >= 0, "{a} + {b}");
                if sum.abs() <= KNEE {
                    assert_eq!(mixed, sum);
                }
                assert!(mixed.abs() <= sum.abs() && mixed.abs() >= sum.abs().min(KNEE));
                // Neighbours stay neighbours: no crackle.
                if let Some(before) = before {
                    assert!(mixed - before >= -1 && mixed - before <= 102, "{a} + {b}: {before} to {mixed}");
                }
                before = Some(mixed);
            }
        }
    }
}
