//! Shortens or lengthens sound at the same pitch: one stretch that repeats itself is left out or played twice.
//!
//! ```text
//!   shorten   x[0 ..] ~fades into~ x[lag ..]               lag samples fewer
//!   lengthen  x[0 .. lag] x[lag ..] ~fades into~ x[0 ..]   lag samples more
//! ```
//!
//! Both join the same two places, 0 and `lag`; [`best`] finds the lag at which they are most similar, for voiced speech a
//! multiple of its period. If they are similar, the cross-fade is inaudible; if not, there is at least no click.
//!
//! Pure functions over slices: nothing allocates. Not here: when a stream should be shortened (`jitter`, `record`).
//!
//! Source: the idea of waveform-similarity overlap-add (Verhelst and Roelands, ICASSP 1993).

use crate::SampleRate;

/// Length of the cross-fade.
const OVERLAP_MS: u32 = 4;
/// Peak below which all places count as equal (−56 dBFS).
const SILENCE_PEAK: u16 = 50;
/// A stretch whose peak exceeds those of both joined places by this factor contains an onset that must not be lost.
const TRANSIENT: u32 = 3;
/// Rate at which the search runs; higher rates are first searched in steps.
const COARSE_HZ: u32 = 8_000;

/// Place at which to join, and its quality.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Splice {
    /// Samples left out or repeated.
    pub lag: usize,
    /// Similarity of the joined places: 1 equal, 0 unrelated, −1 opposed.
    pub likeness: f32,
}

/// Returns the number of samples of one cross-fade at `rate`.
pub const fn overlap(rate: SampleRate) -> usize {
    rate.samples_in_ms(OVERLAP_MS)
}

/// Returns the lag within `least..=most` samples at which `samples` is most similar to its beginning; in silence `most`.
///
/// Examines `samples[..most + overlap]`; returns `None` if `samples` is shorter or the range is empty.
pub fn best(samples: &[i16], rate: SampleRate, least: usize, most: usize) -> Option<Splice> {
    let overlap = overlap(rate);
    let least = least.max(1);
    if least > most || samples.len() < most + overlap {
        return None;
    }
    if peak(&samples[..most + overlap]) < SILENCE_PEAK {
        return Some(Splice { lag: most, likeness: 1.0 });
    }
    let step = (rate.hz() / COARSE_HZ).max(1) as usize;
    let coarse = most_alike(samples, overlap, (least..=most).step_by(step), step)?;
    let around = coarse.lag.saturating_sub(step - 1).max(least)..=(coarse.lag + step - 1).min(most);
    let mut found = most_alike(samples, overlap, around, 1)?;
    let joined = peak(&samples[..overlap]).max(peak(&samples[found.lag..found.lag + overlap]));
    if u32::from(peak(&samples[..found.lag + overlap])) > TRANSIENT * u32::from(joined.max(SILENCE_PEAK)) {
        found.likeness = found.likeness.min(0.0);
    }
    Some(found)
}

/// Fills `out` from the front of `samples`, leaving `lag` of them out; `out.len() + lag` are consumed.
///
/// # Panics
/// When there are fewer. If `out` is shorter than the overlap, it ends in the middle of the cross-fade.
pub fn shorten(samples: &[i16], rate: SampleRate, lag: usize, out: &mut [i16]) {
    out.copy_from_slice(&samples[lag..lag + out.len()]);
    fade(&samples[..out.len()], rate, out);
}

/// Fills `out` from the front of `samples`, playing `lag` of them twice; `out.len() − lag` are consumed.
///
/// # Panics
/// When `samples` is shorter than `out`, or `out` than `lag`.
pub fn lengthen(samples: &[i16], rate: SampleRate, lag: usize, out: &mut [i16]) {
    let again = out.len() - lag;
    out[..lag].copy_from_slice(&samples[..lag]);
    out[lag..].copy_from_slice(&samples[..again]);
    fade(&samples[lag..lag + again], rate, &mut out[lag..]);
}

/// Fades from `old` into the first samples of `new`.
pub fn fade(old: &[i16], rate: SampleRate, new: &mut [i16]) {
    let overlap = overlap(rate) as i32;
    for (index, (new, &old)) in new.iter_mut().zip(old).take(overlap as usize).enumerate() {
        let (from, to) = (i32::from(old), i32::from(*new));
        *new = (from + (to - from) * (index as i32 + 1) / (overlap + 1)) as i16;
    }
}

fn most_alike(samples: &[i16], overlap: usize, lags: impl Iterator<Item = usize>, step: usize) -> Option<Splice> {
    let mut best: Option<Splice> = None;
    for lag in lags {
        let likeness = likeness(&samples[..overlap], &samples[lag..lag + overlap], step);
        if best.is_none_or(|best| likeness > best.likeness) {
            best = Some(Splice { lag, likeness });
        }
    }
    best
}

/// Returns a correlation that is 1 for equal stretches; a difference in level reduces it.
fn likeness(a: &[i16], b: &[i16], step: usize) -> f32 {
    let (mut both, mut energy) = (0i64, 1i64);
    for (&a, &b) in a.iter().zip(b).step_by(step) {
        let (a, b) = (i64::from(a), i64::from(b));
        both += a * b;
        energy += a * a + b * b;
    }
    2.0 * both as f32 / energy as f32
}

fn peak(samples: &[i16]) -> u16 {
    samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tones::Sine;

    const RATES: [SampleRate; 4] =
        [SampleRate::HZ_8000, SampleRate::HZ_16000, SampleRate::HZ_24000, SampleRate::HZ_48000];

    fn tone(rate: SampleRate, hz: f32, count: usize) -> Vec<i16> {
        let mut samples = vec![0; count];
        Sine::new(rate, hz, -10.0).fill(&mut samples);
        samples
    }

    fn largest_step(samples: &[i16]) -> i32 {
        samples.windows(2).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs()).max().unwrap()
    }

    #[test]
    fn a_tone_is_joined_at_a_whole_number_of_its_periods() {
        for rate in RATES {
            let samples = tone(rate, 200.0, rate.samples_in_ms(40));
            let found = best(&samples, rate, rate.samples_in_ms(3), rate.samples_in_ms(12)).unwrap();
            let period = rate.hz() as usize / 200;
            let off = (found.lag + period / 2) % period;
            assert!(off.abs_diff(period / 2) <= 1, "{rate}: lag {} period {period}", found.lag);
            assert!(found.likeness > 0.98, "{rate}: {}", found.likeness);
        }
    }

    #[test]
    fn neither_direction_steps_more_than_the_tone_itself() {
        for rate in RATES {
            let frame = rate.samples_in_ms(20);
            let samples = tone(rate, 300.0, rate.samples_in_ms(60));
            let allowed = largest_step(&samples) * 5 / 4;
            let found = best(&samples, rate, rate.samples_in_ms(3), rate.samples_in_ms(12)).unwrap();
            let mut out = vec![0; frame];
            shorten(&samples, rate, found.lag, &mut out);
            out.extend_from_slice(&samples[frame + found.lag..]);
            assert!(largest_step(&out) <= allowed, "{rate} shortened");
            let mut out = vec![0; frame];
            lengthen(&samples, rate, found.lag, &mut out);
            out.extend_from_slice(&samples[frame - found.lag..]);
            assert!(largest_step(&out) <= allowed, "{rate} lengthened");
        }
    }

    #[test]
    fn silence_gives_the_longest_lag() {
        let rate = SampleRate::HZ_8000;
        assert_eq!(best(&[3; 160], rate, 20, 100), Some(Splice { lag: 100, likeness: 1.0 }));
    }

    #[test]
    fn a_click_between_the_joined_places_is_not_taken_for_likeness() {
        let rate = SampleRate::HZ_8000;
        let mut samples = [0; 160];
        samples[45] = 20_000;
        assert!(best(&samples, rate, 60, 100).unwrap().likeness <= 0.0);
    }

    #[test]
    fn too_few_samples_and_empty_ranges_give_no_splice() {
        let rate = SampleRate::HZ_8000;
        assert_eq!(best(&[1; 131], rate, 20, 100), None);
        assert_eq!(best(&[1; 132], rate, 101, 100), None);
    }

    #[test]
    fn the_loudest_samples_do_not_overflow() {
        let rate = SampleRate::HZ_48000;
        let samples: Vec<i16> = (0..2_000).map(|n| if n % 480 < 240 { i16::MIN } else { i16::MAX }).collect();
        assert_eq!(best(&samples, rate, 120, 600).unwrap().lag, 480);
        let mut out = vec![0; 960];
        shorten(&samples, rate, 480, &mut out);
        lengthen(&samples, rate, 480, &mut out);
    }
}
