//! Concealment for codecs that have none of their own (G.711, G.722, L16): the last pitch period is repeated.
//!
//! ```text
//!   last samples heard, 48.75 ms               | lost stretch                                         | next good frame
//!   ...[ third ][ second ][  last  ]           |~[ last ][ last ]~[ second ][ last ]~[ third ][ sec...|~~good...
//!      period    period    period              | 0 to 10 ms       to 20 ms           on               | cross-fade
//!   level:                                       1.0              1.0 to 0.8         down to 0 at 60 ms
//! ```
//!
//! The pitch is the lag, 3 to 15 ms, at which the last 10 ms are most similar to the samples before them. A loop of one
//! period sounds natural for 10 ms and like a buzz after that: a second and a third period are added. Every seam is a
//! cross-fade of a quarter of a period, except the first: samples that were already played cannot be overlapped without
//! adding delay, and the remaining step decays over the same quarter.
//!
//! Invariants: silence from 60 ms on; pieces of any length are the same samples as the whole; no allocation after `new`
//! (`tests/no_alloc.rs`). A received frame costs one copy; only lost frames cause a search.
//!
//! Source: ITU-T G.711 Appendix I, with three differences. The appendix delays all output by 3.75 ms for the first seam,
//! compares 20 ms with the samples 5 to 15 ms before, and fades back over up to 10 ms. Measured on synthesised speech
//! (PESQ narrowband, µ-law, at 1, 5 and 10 % independent loss of 20 ms packets): 3.79, 3.19, 2.61 with the appendix, 3.82,
//! 3.28, 2.72 with this module.

use std::ops::RangeInclusive;

use crate::SampleRate;
use crate::lanes::dot;

/// Range of pitch periods that are searched: voices from 66 to 333 Hz; higher pitches are found at a multiple.
const LEAST_PITCH_MS: u32 = 3;
const MOST_PITCH_MS: u32 = 15;
/// Length of the window that is compared with the samples one period before it.
const WINDOW_MS: u32 = 10;
/// The loop grows by one period after each of these, up to three; after the first it loses a fifth of its level.
const STEP_MS: u32 = 10;
/// Time after which silence is written: a longer hum is worse than a gap.
const SILENT_MS: u32 = 60;
const MOST_PERIODS: usize = 3;
/// Rate at which the search runs; higher rates are first searched in a copy at this rate.
const COARSE_HZ: u32 = 8_000;

/// Conceals the gaps of one stream by repeating its last pitch periods, fading to silence in 60 ms.
#[derive(Debug)]
pub struct PitchConceal {
    rate: SampleRate,
    /// Samples heard last, concealment included; the oldest sample is at `oldest`.
    history: Box<[i16]>,
    oldest: usize,
    /// The history in order, as it was when the gap began.
    before: Box<[i16]>,
    gap: Option<Gap>,
}

/// Progress of the concealment of a gap.
#[derive(Clone, Copy, Debug)]
struct Gap {
    pitch: usize,
    /// Length of the seams.
    quarter: usize,
    /// Samples since the last good one; stops at the length after which all is silent.
    lost: usize,
    /// Number of periods in the loop, and the position of the next sample in it.
    periods: usize,
    offset: usize,
    /// Position in the previous loop, which is faded out, and the samples left of that fade.
    old_offset: usize,
    fading: usize,
    /// Step from the last good sample to the loop.
    step: i32,
}

impl PitchConceal {
    /// Creates a concealer for a stream at `rate`.
    pub fn new(rate: SampleRate) -> PitchConceal {
        let history = vec![0; history(rate)].into_boxed_slice();
        PitchConceal { rate, before: history.clone(), history, oldest: 0, gap: None }
    }

    /// Records the samples of a received frame. After a gap their first 0.7 to 4 ms are cross-faded with the
    /// concealment.
    #[inline]
    pub fn good(&mut self, samples: &mut [i16]) {
        if self.gap.is_some() && !samples.is_empty() {
            self.join(samples);
        }
        self.remember(samples);
    }

    /// Fills `out` with the next stretch of the gap.
    pub fn conceal(&mut self, out: &mut [i16]) {
        if out.is_empty() {
            return;
        }
        let mut gap = self.gap.unwrap_or_else(|| self.begin());
        let audible = self.rate.samples_in_ms(SILENT_MS).saturating_sub(gap.lost).min(out.len());
        for sample in &mut out[..audible] {
            *sample = self.next(&mut gap);
        }
        out[audible..].fill(0);
        self.gap = Some(gap);
        self.remember(out);
    }

    /// Fades from continued concealment into `samples`, and ends the gap.
    #[cold]
    fn join(&mut self, samples: &mut [i16]) {
        let Some(mut gap) = self.gap.take() else { return };
        let overlap = gap.quarter.min(samples.len());
        for (index, sample) in samples[..overlap].iter_mut().enumerate() {
            *sample = blend(self.next(&mut gap), *sample, index + 1, overlap + 1);
        }
    }

    /// Starts a gap: finds the pitch period of the samples heard last.
    #[cold]
    fn begin(&mut self) -> Gap {
        let (newer, older) = self.history.split_at(self.oldest);
        self.before[..older.len()].copy_from_slice(older);
        self.before[older.len()..].copy_from_slice(newer);
        let pitch = pitch(&self.before, self.rate);
        let last = self.before.len() - 1;
        Gap {
            pitch,
            quarter: pitch / 4,
            lost: 0,
            periods: 1,
            offset: 0,
            old_offset: 0,
            fading: 0,
            step: i32::from(self.before[last]) - i32::from(self.before[last - pitch]),
        }
    }

    /// Returns the next sample of concealment.
    fn next(&self, gap: &mut Gap) -> i16 {
        let (step, silent) = (self.rate.samples_in_ms(STEP_MS), self.rate.samples_in_ms(SILENT_MS));
        if gap.lost >= silent {
            return 0;
        }
        if gap.periods < MOST_PERIODS && gap.lost == gap.periods * step {
            // The phase is kept; the loop begins one period earlier.
            gap.old_offset = gap.offset;
            gap.offset %= gap.pitch;
            gap.periods += 1;
            gap.fading = gap.quarter;
        }
        let mut sample = self.looped(gap, gap.periods, gap.offset);
        gap.offset = (gap.offset + 1) % (gap.periods * gap.pitch);
        if gap.fading > 0 {
            let old = self.looped(gap, gap.periods - 1, gap.old_offset);
            sample = blend(sample, old, gap.fading, gap.quarter + 1);
            gap.old_offset = (gap.old_offset + 1) % ((gap.periods - 1) * gap.pitch);
            gap.fading -= 1;
        }
        let mut value = i32::from(sample);
        if gap.lost < gap.quarter {
            value += gap.step * (gap.quarter - gap.lost) as i32 / (gap.quarter + 1) as i32;
        }
        if gap.lost >= step {
            value = value * (silent - gap.lost) as i32 / (silent - step) as i32;
        }
        gap.lost += 1;
        value.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
    }

    /// Returns one sample of the loop of `periods`: the end of the history, whose own end is cross-faded into the samples
    /// before its beginning.
    fn looped(&self, gap: &Gap, periods: usize, offset: usize) -> i16 {
        let (end, length) = (self.before.len(), periods * gap.pitch);
        let sample = self.before[end - length + offset];
        let seam = length - gap.quarter;
        if offset < seam {
            return sample;
        }
        blend(sample, self.before[end + offset - 2 * length], offset - seam + 1, gap.quarter + 1)
    }

    /// Appends samples to the history, keeping the newest.
    #[inline]
    fn remember(&mut self, samples: &[i16]) {
        let length = self.history.len();
        let samples = &samples[samples.len().saturating_sub(length)..];
        let (first, rest) = samples.split_at(samples.len().min(length - self.oldest));
        self.history[self.oldest..self.oldest + first.len()].copy_from_slice(first);
        self.history[..rest.len()].copy_from_slice(rest);
        self.oldest += samples.len();
        if self.oldest >= length {
            self.oldest -= length;
        }
    }
}

/// Returns the length of the history: the longest three and a quarter periods.
const fn history(rate: SampleRate) -> usize {
    let most = rate.samples_in_ms(MOST_PITCH_MS);
    MOST_PERIODS * most + most / 4
}

/// Returns the lag at which the end of `samples`, of the length given by [`history`], is most similar to the samples before it.
fn pitch(samples: &[i16], rate: SampleRate) -> usize {
    let step = (rate.hz() / COARSE_HZ).max(1) as usize;
    let mut coarse = [0.0; history(SampleRate::HZ_8000)];
    for (one, group) in coarse.iter_mut().zip(samples.chunks_exact(step)) {
        *one = group.iter().map(|&sample| f32::from(sample)).sum();
    }
    let at_coarse = |ms| SampleRate::HZ_8000.samples_in_ms(ms);
    let found = most_alike(&coarse, at_coarse(WINDOW_MS), at_coarse(LEAST_PITCH_MS)..=at_coarse(MOST_PITCH_MS));
    if step == 1 {
        return found;
    }
    let mut fine = [0.0; history(SampleRate::HZ_48000)];
    let fine = &mut fine[..samples.len()];
    for (one, &sample) in fine.iter_mut().zip(samples) {
        *one = f32::from(sample);
    }
    let (least, most) = (rate.samples_in_ms(LEAST_PITCH_MS), rate.samples_in_ms(MOST_PITCH_MS));
    let around = (found * step - step).max(least)..=(found * step + step).min(most);
    most_alike(fine, rate.samples_in_ms(WINDOW_MS), around)
}

/// Returns the lag at which the last `window` of `samples` are most similar to earlier ones, whatever the level.
fn most_alike(samples: &[f32], window: usize, lags: RangeInclusive<usize>) -> usize {
    let end = samples.len();
    let last = &samples[end - window..];
    let mut best = (*lags.start(), f32::NEG_INFINITY);
    for lag in lags {
        let earlier = &samples[end - window - lag..end - lag];
        // One quantum of energy per sample avoids a division by zero in silence.
        let energy = dot(earlier, earlier) + window as f32;
        let likeness = dot(last, earlier) / energy.sqrt();
        if likeness > best.1 {
            best = (lag, likeness);
        }
    }
    best.0
}

/// Returns `from` × (1 − part/whole) + `to` × part/whole, which is never outside `from..=to`.
fn blend(from: i16, to: i16, part: usize, whole: usize) -> i16 {
    let (from, to) = (i32::from(from), i32::from(to));
    (from + (to - from) * part as i32 / whole as i32) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: SampleRate = SampleRate::HZ_8000;
    const FRAME: usize = 160;

    fn tone(frames: usize) -> Vec<i16> {
        (0..frames * FRAME).map(|n| (8000.0 * (n as f32 * 0.31).sin()) as i16).collect()
    }

    fn after_speech() -> PitchConceal {
        let mut plc = PitchConceal::new(RATE);
        tone(4).chunks_exact_mut(FRAME).for_each(|frame| plc.good(frame));
        plc
    }

    fn energy(samples: &[i16]) -> f64 {
        samples.iter().map(|&s| f64::from(s) * f64::from(s)).sum::<f64>() / samples.len() as f64
    }

    fn largest_step(samples: &[i16]) -> i32 {
        samples.windows(2).map(|w| (i32::from(w[1]) - i32::from(w[0])).abs()).max().unwrap()
    }

    #[test]
    fn one_lost_frame_keeps_nearly_all_of_the_level() {
        let mut out = [0; FRAME];
        after_speech().conceal(&mut out);
        let ratio = energy(&out) / energy(&tone(1));
        assert!((0.5..1.2).contains(&ratio), "energy ratio {ratio}");
    }

    #[test]
    fn gap_fades_and_is_silent_from_60_ms_on() {
        let mut plc = after_speech();
        let mut levels = Vec::new();
        for _ in 0..6 {
            let mut out = [1; FRAME];
            plc.conceal(&mut out);
            levels.push(energy(&out));
        }
        assert!(levels[1] < levels[0] && levels[2] < levels[1], "{levels:?}");
        assert!(levels[2] > 0.0, "{levels:?}");
        assert_eq!(&levels[3..], [0.0; 3]);
    }

    #[test]
    fn seams_have_no_step_larger_than_the_voice_itself() {
        for gap_frames in 1..6 {
            let mut plc = PitchConceal::new(RATE);
            let mut heard = tone(4);
            heard.chunks_exact_mut(FRAME).for_each(|frame| plc.good(frame));
            let allowed = largest_step(&heard) * 3 / 2;
            for _ in 0..gap_frames {
                let mut out = [0; FRAME];
                plc.conceal(&mut out);
                heard.extend(out);
            }
            let mut next = tone(20)[7 * FRAME + 13..][..FRAME].to_vec();
            plc.good(&mut next);
            heard.extend(next);
            assert!(largest_step(&heard) <= allowed, "gap {gap_frames}: {} > {allowed}", largest_step(&heard));
        }
    }

    #[test]
    fn concealed_in_small_pieces_equals_concealed_at_once() {
        let (mut whole, mut pieces) = ([0; 480], [0; 480]);
        after_speech().conceal(&mut whole);
        let mut plc = after_speech();
        pieces.chunks_mut(7).for_each(|piece| plc.conceal(piece));
        assert_eq!(whole, pieces);
    }

    #[test]
    fn frames_without_a_gap_before_them_are_unchanged() {
        let mut plc = PitchConceal::new(RATE);
        let original = tone(3);
        let mut played = original.clone();
        played.chunks_exact_mut(FRAME).for_each(|frame| plc.good(frame));
        assert_eq!(original, played);
    }

    #[test]
    fn gap_before_any_frame_is_silence() {
        let mut out = [5; FRAME];
        PitchConceal::new(RATE).conceal(&mut out);
        assert_eq!(out, [0; FRAME]);
    }

    #[test]
    fn loudest_samples_never_wrap_around() {
        let mut plc = PitchConceal::new(SampleRate::HZ_48000);
        let mut square: Vec<i16> = (0..2000).map(|n| if n % 7 < 3 { i16::MAX } else { i16::MIN }).collect();
        plc.good(&mut square);
        let mut out = vec![0; 9600];
        plc.conceal(&mut out);
        let mut next = vec![i16::MIN; 400];
        plc.good(&mut next);
        assert_eq!(next[399], i16::MIN);
    }

    /// Returns a sound of this period, rich in harmonics.
    fn buzz(period: f64, count: usize) -> Vec<i16> {
        (0..count)
            .map(|n| {
                let phase = n as f64 / period * std::f64::consts::TAU;
                (1..8).map(|k| 4_000.0 / f64::from(k) * (phase * f64::from(k) + f64::from(k)).sin()).sum::<f64>() as i16
            })
            .collect()
    }

    #[test]
    fn a_voiced_sound_continues_unchanged_at_every_rate() {
        for rate in [SampleRate::HZ_8000, SampleRate::HZ_16000, SampleRate::HZ_24000, SampleRate::HZ_48000] {
            for pitch_hz in [70.0, 104.0, 190.0, 251.0, 320.0] {
                let (frame, before) = (rate.samples_in_ms(10), rate.samples_in_ms(100));
                let mut voice = buzz(f64::from(rate.hz()) / pitch_hz, before + frame);
                let mut plc = PitchConceal::new(rate);
                plc.good(&mut voice[..before]);
                let mut gap = vec![0; frame];
                plc.conceal(&mut gap);
                let difference: Vec<i16> = gap.iter().zip(&voice[before..]).map(|(a, b)| a - b).collect();
                let ratio = energy(&difference) / energy(&voice[before..]);
                // Periods are whole samples: at 8 kHz the highest partial is off by up to a sixth of its own period.
                assert!(ratio < 0.1, "{rate}, {pitch_hz} Hz: {ratio}");
            }
        }
    }

    #[test]
    fn the_history_stays_in_order_after_a_short_frame() {
        let (mut pieces, mut whole) = (PitchConceal::new(RATE), PitchConceal::new(RATE));
        let mut voice = tone(10);
        voice.chunks_mut(37).for_each(|piece| pieces.good(piece));
        whole.good(&mut voice);
        let (mut one, mut other) = ([0; 480], [0; 480]);
        pieces.conceal(&mut one);
        whole.conceal(&mut other);
        assert_eq!(one, other);
    }

    #[test]
    fn empty_stretches_change_nothing() {
        let mut plc = after_speech();
        plc.conceal(&mut []);
        plc.good(&mut []);
        let (mut one, mut other) = ([0; FRAME], [0; FRAME]);
        plc.conceal(&mut one);
        after_speech().conceal(&mut other);
        assert_eq!(one, other);
    }
}
