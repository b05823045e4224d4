//! Ears of a leg that overhears others: the sum of their frames, read frame by frame.
//!
//! ```text
//! a leg's tick ─ push ─▶ [frames of one ear] ─┐
//! another's    ─ push ─▶ [frames of one ear] ─┴▶ resample ─▶ sum ─▶ limit ─▶ the listener's frame, in the listener's tick
//! ```
//!
//! Speakers and listener tick at different times, which move by milliseconds: each ear starts with two frames, so that a tick that
//! comes too early or too late is not audible. All legs belong to one worker, so the frames need no lock and a single copy; a tap,
//! which is made for readers on other threads, copies four times as much.
//!
//! Invariants: a leg does not change by being overheard; a frame allocates nothing but, once for each change of rate, a resampler and
//! the room for frames.

use super::limit::limit;
use crate::units::{LegId, SampleRate};
use codecs::resample::Resampler;

/// Number of frames that wait before the first one is heard.
const FIRST: usize = 2;
/// Largest number of waiting frames; the oldest frames of a longer backlog are skipped.
const MOST: usize = 3;
/// Number of samples in 20 ms at the highest rate.
const FRAME: usize = 960;

/// Ears of one leg on other legs.
pub struct Ears {
    ears: Vec<Ear>,
    sum: Box<[f32]>,
    resampled: Vec<i16>,
}

struct Ear {
    of: LegId,
    /// Frames of one length, the oldest at `oldest`: room for [`MOST`].
    frames: Vec<i16>,
    rate: SampleRate,
    oldest: usize,
    waiting: usize,
    /// Whether enough frames have arrived to begin.
    begun: bool,
    resampler: Option<Resampler>,
}

impl Ears {
    /// Creates ears that overhear no leg yet.
    pub fn new() -> Ears {
        Ears { ears: Vec::new(), sum: vec![0.0; FRAME].into(), resampled: Vec::new() }
    }

    /// Returns the legs that are overheard.
    pub fn of(&self) -> impl Iterator<Item = LegId> + '_ {
        self.ears.iter().map(|ear| ear.of)
    }

    /// Stops overhearing all legs but these.
    pub fn retain(&mut self, legs: &[LegId]) {
        self.ears.retain(|ear| legs.contains(&ear.of));
    }

    /// Stops overhearing a leg. Returns whether any other leg is still overheard.
    pub fn forget(&mut self, leg: LegId) -> bool {
        self.ears.retain(|ear| ear.of != leg);
        !self.ears.is_empty()
    }

    /// Starts overhearing a leg: its frames are expected from now on.
    pub fn overhear(&mut self, of: LegId) {
        let (frames, rate) = (Vec::new(), SampleRate::HZ_8000);
        self.ears.push(Ear { of, frames, rate, oldest: 0, waiting: 0, begun: false, resampler: None });
    }

    /// Takes 20 ms of what a leg says. `false`: the leg is not overheard.
    pub fn push(&mut self, of: LegId, rate: SampleRate, samples: &[i16]) -> bool {
        match self.ears.iter_mut().find(|ear| ear.of == of) {
            Some(ear) => {
                ear.push(rate, samples);
                true
            }
            None => false,
        }
    }

    /// Writes the next frame: at most 20 ms at `rate`.
    pub fn hear(&mut self, pcm: &mut [i16], rate: SampleRate) {
        let Some(sum) = self.sum.get_mut(..pcm.len()) else { return pcm.fill(0) };
        sum.fill(0.0);
        for ear in &mut self.ears {
            ear.add_to(sum, rate, &mut self.resampled);
        }
        limit(sum, pcm);
    }
}

impl Default for Ears {
    fn default() -> Ears {
        Ears::new()
    }
}

impl Ear {
    fn push(&mut self, rate: SampleRate, samples: &[i16]) {
        if self.rate != rate || self.frames.len() != MOST * samples.len() {
            self.frames.clear();
            self.frames.resize(MOST * samples.len(), 0);
            (self.rate, self.oldest, self.waiting) = (rate, 0, 0);
        }
        if self.waiting == MOST {
            self.oldest = (self.oldest + 1) % MOST;
            self.waiting -= 1;
        }
        let at = (self.oldest + self.waiting) % MOST * samples.len();
        self.frames[at..at + samples.len()].copy_from_slice(samples);
        self.waiting += 1;
    }

    fn add_to(&mut self, sum: &mut [f32], rate: SampleRate, resampled: &mut Vec<i16>) {
        self.begun = self.waiting >= if self.begun { 1 } else { FIRST };
        if !self.begun {
            return;
        }
        let length = self.frames.len() / MOST;
        let mut samples = &self.frames[self.oldest * length..][..length];
        self.oldest = (self.oldest + 1) % MOST;
        self.waiting -= 1;
        if self.rate != rate {
            if self.resampler.as_ref().is_none_or(|known| known.from_rate() != self.rate || known.to_rate() != rate) {
                self.resampler = Some(Resampler::new(self.rate, rate));
            }
            let Some(resampler) = &mut self.resampler else { return };
            resampled.resize(resampler.max_output(samples.len()), 0);
            let written = resampler.process(samples, resampled);
            samples = &resampled[..written];
        }
        for (sum, &sample) in sum.iter_mut().zip(samples) {
            *sum += f32::from(sample);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: SampleRate = SampleRate::HZ_8000;
    const A: LegId = LegId(1);
    const B: LegId = LegId(2);

    fn say(ears: &mut Ears, of: LegId, rate: SampleRate, value: i16) {
        assert!(ears.push(of, rate, &vec![value; rate.samples_in_ms(20)]));
    }

    fn hears(ears: &mut Ears) -> i16 {
        let mut pcm = [1; 160];
        ears.hear(&mut pcm, RATE);
        pcm[80]
    }

    fn ears_of(legs: &[LegId]) -> Ears {
        let mut ears = Ears::new();
        legs.iter().for_each(|leg| ears.overhear(*leg));
        ears
    }

    #[test]
    fn two_speakers_are_summed_from_their_second_frame_on() {
        let mut ears = ears_of(&[A, B]);
        assert_eq!(hears(&mut ears), 0);
        for value in [100, 200, 300] {
            say(&mut ears, A, RATE, value);
            say(&mut ears, B, RATE, 1_000);
            let expected = if value == 100 { 0 } else { value - 100 + 1_000 };
            assert_eq!(hears(&mut ears), expected);
        }
    }

    #[test]
    fn early_and_late_ticks_are_not_audible_and_a_backlog_is_left_out() {
        let mut ears = ears_of(&[A]);
        say(&mut ears, A, RATE, 1);
        say(&mut ears, A, RATE, 2);
        assert_eq!(hears(&mut ears), 1);
        assert_eq!(hears(&mut ears), 2, "the next frame came late, and nothing is missed");
        (3..=5).for_each(|value| say(&mut ears, A, RATE, value));
        assert_eq!([hears(&mut ears), hears(&mut ears)], [3, 4]);
        (6..=12).for_each(|value| say(&mut ears, A, RATE, value));
        assert_eq!(hears(&mut ears), 10, "three frames wait at most");
        for _ in 0..3 {
            hears(&mut ears);
        }
        assert_eq!(hears(&mut ears), 0);
        say(&mut ears, A, RATE, 13);
        assert_eq!(hears(&mut ears), 0, "after a pause two frames gather again");
    }

    #[test]
    fn other_rates_are_converted_and_sums_do_not_wrap() {
        let mut ears = ears_of(&[A, B]);
        let mut loudest = 0;
        for _ in 0..6 {
            say(&mut ears, A, SampleRate::HZ_48000, 30_000);
            say(&mut ears, B, RATE, 30_000);
            loudest = hears(&mut ears).max(loudest);
        }
        assert!(loudest > 29_000, "{loudest}");
    }

    #[test]
    fn frames_of_a_leg_that_is_not_overheard_are_refused() {
        let mut ears = ears_of(&[A, B]);
        ears.retain(&[B]);
        assert!(!ears.push(A, RATE, &[1; 160]) && ears.push(B, RATE, &[1; 160]));
        assert_eq!(ears.of().collect::<Vec<_>>(), [B]);
    }
}
