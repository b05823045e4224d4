//! Ears of a leg that overhears others: the sum of taps, read frame by frame.
//!
//! ```text
//! a leg's tick ─ TapWriter ─▶ [ring] ─┐
//! another's    ─ TapWriter ─▶ [ring] ─┴▶ resample ─▶ sum ─▶ limit ─▶ the listener's frame, in the listener's tick
//! ```
//!
//! Speakers and listener tick at times of their own, which move by milliseconds: each ring starts with two frames, so
//! that a tick that is slightly early or late is inaudible.
//!
//! Invariants: overhearing does not change the overheard sound; a frame allocates nothing except a resampler, once for
//! each pair of rates.

use super::limit::limit;
use super::tap::{TapReader, TapWriter, tap};
use crate::units::{LegId, SampleRate};
use codecs::resample::Resampler;

/// Number of frames that a ring holds.
const RING: usize = 8;
/// Number of frames that wait before the first one is heard.
const FIRST: usize = 2;
/// Largest number of waiting frames; the rest is a backlog, which is skipped.
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
    tap: TapReader,
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

    /// Stops overhearing all legs except these.
    pub fn retain(&mut self, legs: &[LegId]) {
        self.ears.retain(|ear| legs.contains(&ear.of));
    }

    /// Begins to overhear a leg, whose frames must be pushed into the returned writer from now on.
    pub fn overhear(&mut self, of: LegId) -> TapWriter {
        let (writer, reader) = tap(RING);
        self.ears.push(Ear { of, tap: reader, begun: false, resampler: None });
        writer
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
    fn add_to(&mut self, sum: &mut [f32], rate: SampleRate, resampled: &mut Vec<i16>) {
        self.begun = if self.begun { !self.tap.is_empty() } else { self.tap.len() >= FIRST };
        if !self.begun {
            return;
        }
        while self.tap.len() > MOST {
            self.tap.pop();
        }
        let Some(item) = self.tap.pop() else { return };
        let frame = &item.frame;
        let mut samples = frame.samples();
        if frame.rate != rate {
            if self.resampler.as_ref().is_none_or(|known| known.from_rate() != frame.rate || known.to_rate() != rate) {
                self.resampler = Some(Resampler::new(frame.rate, rate));
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
    use crate::audio::FrameKind;
    use crate::units::test_epoch;

    const RATE: SampleRate = SampleRate::HZ_8000;

    fn say(writer: &mut TapWriter, rate: SampleRate, value: i16) {
        let samples = vec![value; rate.samples_in_ms(20)];
        writer.push(test_epoch(), None, FrameKind::Voice, rate, &samples);
    }

    fn hears(ears: &mut Ears) -> i16 {
        let mut pcm = [1; 160];
        ears.hear(&mut pcm, RATE);
        pcm[80]
    }

    #[test]
    fn two_speakers_are_summed_from_their_second_frame_on() {
        let mut ears = Ears::new();
        let (mut a, mut b) = (ears.overhear(LegId(1)), ears.overhear(LegId(2)));
        assert_eq!(hears(&mut ears), 0);
        for value in [100, 200, 300] {
            say(&mut a, RATE, value);
            say(&mut b, RATE, 1_000);
            let expected = if value == 100 { 0 } else { value - 100 + 1_000 };
            assert_eq!(hears(&mut ears), expected);
        }
    }

    #[test]
    fn an_early_or_late_tick_is_inaudible_and_a_backlog_is_skipped() {
        let mut ears = Ears::new();
        let mut a = ears.overhear(LegId(1));
        say(&mut a, RATE, 1);
        say(&mut a, RATE, 2);
        assert_eq!(hears(&mut ears), 1);
        assert_eq!(hears(&mut ears), 2, "the next frame came late, and nothing is lost");
        (3..=5).for_each(|value| say(&mut a, RATE, value));
        assert_eq!([hears(&mut ears), hears(&mut ears)], [3, 4]);
        (6..=12).for_each(|value| say(&mut a, RATE, value));
        assert_eq!(hears(&mut ears), 10, "three frames wait at most");
        for _ in 0..3 {
            hears(&mut ears);
        }
        assert_eq!(hears(&mut ears), 0);
        say(&mut a, RATE, 13);
        assert_eq!(hears(&mut ears), 0, "after a pause two frames gather again");
    }

    #[test]
    fn other_rates_are_converted_and_sums_do_not_wrap() {
        let mut ears = Ears::new();
        let (mut a, mut b) = (ears.overhear(LegId(1)), ears.overhear(LegId(2)));
        let mut loudest = 0;
        for _ in 0..6 {
            say(&mut a, SampleRate::HZ_48000, 30_000);
            say(&mut b, RATE, 30_000);
            loudest = hears(&mut ears).max(loudest);
        }
        assert!(loudest > 29_000, "{loudest}");
    }

    #[test]
    fn the_writer_notices_the_end_of_the_overhearing() {
        let mut ears = Ears::new();
        let (a, b) = (ears.overhear(LegId(1)), ears.overhear(LegId(2)));
        ears.retain(&[LegId(2)]);
        assert!(a.is_reader_gone() && !b.is_reader_gone());
        assert_eq!(ears.of().collect::<Vec<_>>(), [LegId(2)]);
    }
}
