//! Concealment for codecs that bring none of their own (G.711, L16): fade and repeat.
//!
//! ```text
//!   history                      | lost stretch                                   | next good frame
//!   ...--------[ last 20 ms     ]|~mirror~[ last 20 ms ]~[ last 20 ms ]~[...      |~~good...
//!                                 5 ms     looped, seam cross-faded                5 ms cross-fade
//!   level:                        1.0 for 20 ms, then down to 0 at 80 ms
//! ```
//!
//! The start is joined by the mirrored end of the history, because what was played already cannot be overlapped without
//! adding delay. No pitch is searched for: a fixed period costs nothing and is inaudible for the single lost packets
//! that make up most loss.
//!
//! Invariants: output never exceeds the history's peak; silence from 80 ms on; no sample step at the three seams beyond
//! what the history itself holds. No allocation after `new`.

use crate::SampleRate;

/// Length of the repeated stretch.
const PERIOD_MS: u32 = 20;
/// Length of every cross-fade.
const OVERLAP_MS: u32 = 5;
/// Full level up to here, so that a single lost packet is not heard as a dip.
const HOLD_MS: u32 = 20;
/// Silence from here on: a longer hum is worse than a hole.
const SILENT_MS: u32 = 80;

/// Conceals the gaps of one stream by repeating its last 20 ms while fading to silence in 80 ms.
#[derive(Debug)]
pub struct FadeRepeat {
    /// Last good samples, oldest first: one overlap, then one period.
    history: Box<[i16]>,
    /// The loop that is played, made at the start of a gap.
    period: Box<[i16]>,
    overlap: usize,
    hold: usize,
    silent: usize,
    /// Samples concealed since the last good one.
    lost: usize,
}

impl FadeRepeat {
    /// For a stream at `rate`.
    pub fn new(rate: SampleRate) -> FadeRepeat {
        let period = rate.samples_in_ms(PERIOD_MS);
        let overlap = rate.samples_in_ms(OVERLAP_MS);
        FadeRepeat {
            history: vec![0; period + overlap].into_boxed_slice(),
            period: vec![0; period].into_boxed_slice(),
            overlap,
            hold: rate.samples_in_ms(HOLD_MS),
            silent: rate.samples_in_ms(SILENT_MS),
            lost: 0,
        }
    }

    /// Takes the samples of a frame that came. After a gap their first 5 ms are cross-faded with what was being
    /// concealed.
    pub fn good(&mut self, samples: &mut [i16]) {
        if self.lost > 0 && !samples.is_empty() {
            let overlap = self.overlap.min(samples.len());
            for (index, sample) in samples[..overlap].iter_mut().enumerate() {
                let old = self.concealed(self.lost + index);
                *sample = blend(old, *sample, index + 1, overlap + 1);
            }
            self.lost = 0;
        }
        remember(&mut self.history, samples);
    }

    /// Fills `out` with the next stretch of the gap.
    pub fn conceal(&mut self, out: &mut [i16]) {
        if self.lost == 0 {
            make_loop(&self.history, &mut self.period, self.overlap);
        }
        for (index, sample) in out.iter_mut().enumerate() {
            *sample = self.concealed(self.lost.saturating_add(index));
        }
        // Past the fade only "silent" matters; this also keeps the counter from ever wrapping.
        self.lost = self.lost.saturating_add(out.len()).min(self.silent + self.period.len());
    }

    /// The concealing sample at `position` samples after the last good one.
    fn concealed(&self, position: usize) -> i16 {
        if position >= self.silent {
            return 0;
        }
        let mut sample = self.period[position % self.period.len()];
        if position < self.overlap {
            let mirrored = self.history[self.history.len() - 2 - position];
            sample = blend(mirrored, sample, position + 1, self.overlap + 1);
        }
        if position < self.hold {
            return sample;
        }
        let (left, whole) = ((self.silent - position) as i32, (self.silent - self.hold) as i32);
        (i32::from(sample) * left / whole) as i16
    }
}

/// Writes the last period of `history` to `period`, its end cross-faded into what came before its beginning.
fn make_loop(history: &[i16], period: &mut [i16], overlap: usize) {
    period.copy_from_slice(&history[overlap..]);
    let seam = period.len() - overlap;
    for (index, (sample, &before)) in period[seam..].iter_mut().zip(&history[..overlap]).enumerate() {
        *sample = blend(*sample, before, index + 1, overlap + 1);
    }
}

/// Keeps the newest samples at the end of `history`.
fn remember(history: &mut [i16], samples: &[i16]) {
    let length = history.len();
    if samples.len() >= length {
        history.copy_from_slice(&samples[samples.len() - length..]);
    } else {
        history.copy_within(samples.len().., 0);
        history[length - samples.len()..].copy_from_slice(samples);
    }
}

/// `from` × (1 − part/whole) + `to` × part/whole. Never outside `from..=to`.
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

    fn after_speech() -> FadeRepeat {
        let mut plc = FadeRepeat::new(RATE);
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
    fn gap_fades_and_is_silent_from_80_ms_on() {
        let mut plc = after_speech();
        let mut levels = Vec::new();
        for _ in 0..6 {
            let mut out = [1; FRAME];
            plc.conceal(&mut out);
            levels.push(energy(&out));
        }
        assert!(levels[1] < levels[0] && levels[2] < levels[1] && levels[3] < levels[2], "{levels:?}");
        assert!(levels[2] > 0.0, "{levels:?}");
        assert_eq!(&levels[4..], [0.0, 0.0]);
    }

    #[test]
    fn seams_have_no_step_larger_than_the_voice_itself() {
        for gap_frames in 1..6 {
            let mut plc = FadeRepeat::new(RATE);
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
    fn frames_that_come_are_not_touched_without_a_gap() {
        let mut plc = FadeRepeat::new(RATE);
        let original = tone(3);
        let mut played = original.clone();
        played.chunks_exact_mut(FRAME).for_each(|frame| plc.good(frame));
        assert_eq!(original, played);
    }

    #[test]
    fn gap_before_any_frame_is_silence() {
        let mut out = [5; FRAME];
        FadeRepeat::new(RATE).conceal(&mut out);
        assert_eq!(out, [0; FRAME]);
    }

    #[test]
    fn loudest_samples_never_wrap_around() {
        let mut plc = FadeRepeat::new(SampleRate::HZ_48000);
        let mut square: Vec<i16> = (0..2000).map(|n| if n % 7 < 3 { i16::MAX } else { i16::MIN }).collect();
        plc.good(&mut square);
        let mut out = vec![0; 9600];
        plc.conceal(&mut out);
        let mut next = vec![i16::MIN; 400];
        plc.good(&mut next);
        assert_eq!(next[399], i16::MIN);
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
