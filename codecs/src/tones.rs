//! Tone generation and level measurement: a sine source, and levels relative to a full-scale sine.
//!
//! Not here: DTMF pairs ([`crate::dtmf`]).

use std::f64::consts::TAU;

use crate::SampleRate;

/// Level that measurements report instead of minus infinity: below one quantum of 16 bits.
pub const SILENCE_DBFS: f32 = -120.0;

/// Peak of a full-scale sine: 0 dBFS.
const FULL_SCALE: f64 = 32_767.0;

/// An endless sine, continuous from one `fill` to the next.
///
/// A point rotates on a circle, one multiplication a sample; its radius is corrected at every fill.
#[derive(Clone, Debug)]
pub struct Sine {
    /// Coordinates of the point: (cosine, sine).
    point: (f64, f64),
    step: (f64, f64),
    peak: f64,
}

impl Sine {
    /// Creates a sine of `freq_hz` at `level_dbfs` (at most 0), beginning with a rising zero crossing.
    pub fn new(rate: SampleRate, freq_hz: f32, level_dbfs: f32) -> Sine {
        let (sin, cos) = (TAU * f64::from(freq_hz) / f64::from(rate.hz())).sin_cos();
        Sine { point: (1.0, 0.0), step: (cos, sin), peak: peak(level_dbfs.min(0.0)) }
    }

    /// Overwrites `out` with the next samples.
    pub fn fill(&mut self, out: &mut [i16]) {
        for sample in out {
            *sample = self.next_value().round() as i16;
        }
        self.keep_length();
    }

    /// Returns the next sample, not rounded.
    pub(crate) fn next_value(&mut self) -> f64 {
        let ((x, y), (cos, sin)) = (self.point, self.step);
        self.point = (x * cos - y * sin, x * sin + y * cos);
        y * self.peak
    }

    /// Corrects the radius of the point, which rounding errors change very slowly.
    pub(crate) fn keep_length(&mut self) {
        let (x, y) = self.point;
        let length = x.hypot(y);
        self.point = (x / length, y / length);
    }
}

/// A tone with pauses, without clicks.
#[derive(Clone, Debug)]
pub struct Cadence {
    sine: Sine,
    /// Lengths in samples: of the tone, of the period, of a fade.
    on: u32,
    period: u32,
    fade: u32,
    at: u32,
}

impl Cadence {
    /// Length of the fades in and out.
    const FADE_MS: u32 = 10;

    /// Creates a tone of `freq_hz` at `level_dbfs` that sounds for the first `on_ms` of every `period_ms`.
    pub fn new(rate: SampleRate, freq_hz: f32, level_dbfs: f32, on_ms: u32, period_ms: u32) -> Cadence {
        let samples = |ms: u32| rate.hz() / 1_000 * ms;
        let (on, period) = (samples(on_ms), samples(period_ms.max(on_ms)).max(1));
        Cadence { sine: Sine::new(rate, freq_hz, level_dbfs), on, period, fade: samples(Cadence::FADE_MS), at: 0 }
    }

    /// Overwrites `out` with the next samples.
    pub fn fill(&mut self, out: &mut [i16]) {
        for sample in out {
            let value = self.sine.next_value();
            let from_edge = if self.at < self.on { self.at.min(self.on - self.at) } else { 0 };
            let gain = f64::from(from_edge.min(self.fade)) / f64::from(self.fade.max(1));
            *sample = (value * gain).round() as i16;
            self.at = (self.at + 1) % self.period;
        }
        self.sine.keep_length();
    }
}

/// Returns the peak of a sine at `dbfs`, as a sample value.
fn peak(dbfs: f32) -> f64 {
    FULL_SCALE * 10f64.powf(f64::from(dbfs) / 20.0)
}

/// Returns the level of the component of `samples` at `freq_hz` in dBFS, by the Goertzel algorithm over all of them.
///
/// Exact when whole periods fit; else a neighbour less than about `rate / samples.len()` away leaks in.
/// Never below [`SILENCE_DBFS`].
pub fn goertzel_dbfs(samples: &[i16], rate: SampleRate, freq_hz: f32) -> f32 {
    let power = goertzel_power(samples, goertzel_coefficient(rate, freq_hz));
    // A sine of amplitude a over n samples has power (a·n/2)².
    let full = FULL_SCALE * samples.len() as f64 / 2.0;
    decibels(power / (full * full))
}

/// Returns the level of `samples` in dBFS: RMS relative to that of a full-scale sine. Never below [`SILENCE_DBFS`]; a
/// full-scale square has +3 dBFS.
pub fn level_dbfs(samples: &[i16]) -> f32 {
    let mean = energy(samples) as f64 / samples.len().max(1) as f64;
    decibels(mean / (FULL_SCALE * FULL_SCALE / 2.0))
}

/// Returns the sum of the squares.
pub(crate) fn energy(samples: &[i16]) -> u64 {
    samples.iter().map(|&sample| u64::from(sample.unsigned_abs()).pow(2)).sum()
}

/// Returns the constant that [`goertzel_power`] needs for a frequency: 2·cos ω.
pub(crate) fn goertzel_coefficient(rate: SampleRate, freq_hz: f32) -> f64 {
    2.0 * (TAU * f64::from(freq_hz) / f64::from(rate.hz())).cos()
}

/// Returns |X(ω)|² of `samples`. Uses f64 because low frequencies at high rates bring the coefficient near 2, where the
/// recursion depends on small differences.
pub(crate) fn goertzel_power(samples: &[i16], coefficient: f64) -> f64 {
    let (mut one, mut two) = (0.0, 0.0);
    for &sample in samples {
        (one, two) = (f64::from(sample) + coefficient * one - two, one);
    }
    one * one + two * two - coefficient * one * two
}

fn decibels(power_ratio: f64) -> f32 {
    ((10.0 * power_ratio.log10()) as f32).max(SILENCE_DBFS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_kilohertz_at_minus_16_dbfs_has_the_computed_peak() {
        let mut samples = [0; 8000];
        Sine::new(SampleRate::HZ_8000, 1000.0, -16.0).fill(&mut samples);
        let peak = samples.iter().max().unwrap();
        assert_eq!(i32::from(*peak), (32_767.0 * 10f64.powf(-0.8)).round() as i32);
        assert!((level_dbfs(&samples) + 16.0).abs() < 0.01);
        assert!((goertzel_dbfs(&samples, SampleRate::HZ_8000, 1000.0) + 16.0).abs() < 0.01);
    }

    #[test]
    fn a_cadence_sounds_for_its_share_of_a_period_and_never_clicks() {
        for rate in [SampleRate::HZ_8000, SampleRate::HZ_48000] {
            // It would end at its peak without a fade.
            let mut cadence = Cadence::new(rate, 425.25, -20.0, 1_000, 5_000);
            let mut heard = vec![0; rate.samples_in_ms(6_000)];
            heard.chunks_mut(rate.samples_in_ms(20)).for_each(|frame| cadence.fill(frame));
            let part = |from: u32, to: u32| &heard[rate.samples_in_ms(from)..rate.samples_in_ms(to)];
            for (from, to) in [(20, 980), (5_020, 5_980)] {
                let level = goertzel_dbfs(part(from, to), rate, 425.25);
                assert!((level + 20.0).abs() < 0.2, "{level} dBFS at {rate}");
            }
            assert!(part(1_000, 5_000).iter().all(|&sample| sample == 0));
            // The steepest slope of a sine of that peak, plus the slope of the fade.
            let steepest = 3_277.0 * TAU * 425.25 / f64::from(rate.hz()) + 3_277.0 / f64::from(rate.hz()) * 100.0;
            let step = heard.windows(2).map(|pair| (pair[1] - pair[0]).abs()).max().unwrap_or_default();
            assert!(f64::from(step) <= steepest + 1.0, "{step} of {steepest} at {rate}");
        }
    }

    #[test]
    fn full_scale_is_zero_and_silence_is_the_floor() {
        let mut samples = [0; 4800];
        Sine::new(SampleRate::HZ_48000, 440.0, 0.0).fill(&mut samples);
        assert!(level_dbfs(&samples).abs() < 0.01);
        assert_eq!(level_dbfs(&[0; 160]), SILENCE_DBFS);
        assert_eq!(level_dbfs(&[]), SILENCE_DBFS);
        assert_eq!(goertzel_dbfs(&[0; 160], SampleRate::HZ_8000, 440.0), SILENCE_DBFS);
        assert_eq!(goertzel_dbfs(&[], SampleRate::HZ_8000, 440.0), SILENCE_DBFS);
        assert!((level_dbfs(&[i16::MIN; 10]) - 3.01).abs() < 0.01);
    }

    #[test]
    fn other_frequencies_are_not_measured() {
        let mut samples = [0; 8000];
        Sine::new(SampleRate::HZ_8000, 440.0, -10.0).fill(&mut samples);
        assert!(goertzel_dbfs(&samples, SampleRate::HZ_8000, 460.0) < -70.0);
        assert!(goertzel_dbfs(&samples, SampleRate::HZ_8000, 2000.0) < -70.0);
    }

    #[test]
    fn fills_join_without_a_step_and_the_level_holds_for_hours() {
        let mut whole = [0; 960];
        Sine::new(SampleRate::HZ_8000, 1000.0, -6.0).fill(&mut whole);
        let mut pieces = [0; 960];
        let mut sine = Sine::new(SampleRate::HZ_8000, 1000.0, -6.0);
        pieces.chunks_mut(77).for_each(|piece| sine.fill(piece));
        assert_eq!(whole, pieces);

        let mut sine = Sine::new(SampleRate::HZ_48000, 997.0, -6.0);
        let mut frame = [0; 960];
        for _ in 0..200_000 {
            sine.fill(&mut frame[..16]);
        }
        sine.fill(&mut frame);
        assert!((level_dbfs(&frame) + 6.0).abs() < 0.1);
    }
}
