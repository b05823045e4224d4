//! Music on hold: samples that many legs share, played in a loop.
//!
//! ```text
//! samples (any rate) ─▶ resampler ─▶ staged ─▶ the listener's frame
//! ```
//!
//! Invariants: after `prepare`, `fill` allocates nothing. On the next hold, a leg hears the music continue from where
//! it stopped.

use std::sync::Arc;

use codecs::resample::Resampler;

use crate::units::SampleRate;

/// Samples that the resampler produces at a time, at most: 20 ms at 48 kHz.
const BLOCK: usize = 960;

/// Position of one leg in shared music. See the module head.
pub(crate) struct Music {
    rate: SampleRate,
    samples: Arc<[i16]>,
    at: usize,
    resampler: Option<(SampleRate, Resampler)>,
    staged: Box<[i16]>,
    staged_from: usize,
    staged_to: usize,
}

impl Music {
    /// Returns `None` if `samples` is empty.
    pub(crate) fn new(rate: SampleRate, samples: Arc<[i16]>) -> Option<Music> {
        let (resampler, staged) = (None, Box::default());
        (!samples.is_empty()).then_some(Music { rate, samples, at: 0, resampler, staged, staged_from: 0, staged_to: 0 })
    }

    /// Prepares for frames at `rate`, off the packet path.
    pub(crate) fn prepare(&mut self, rate: SampleRate) {
        if rate != self.rate && self.resampler.as_ref().is_none_or(|(to, _)| *to != rate) {
            self.resampler = Some((rate, Resampler::new(self.rate, rate)));
            (self.staged_from, self.staged_to) = (0, 0);
        }
        if self.staged.is_empty() {
            self.staged = vec![0; BLOCK * 2].into_boxed_slice();
        }
    }

    /// Fills the frame with the next samples.
    pub(crate) fn fill(&mut self, frame: &mut [i16], rate: SampleRate) {
        self.prepare(rate);
        let mut at = 0;
        while at < frame.len() {
            if rate == self.rate {
                let count = (self.samples.len() - self.at).min(frame.len() - at);
                frame[at..at + count].copy_from_slice(&self.samples[self.at..self.at + count]);
                self.advance(count);
                at += count;
                continue;
            }
            if self.staged_from == self.staged_to {
                self.stage();
            }
            let count = (self.staged_to - self.staged_from).min(frame.len() - at);
            frame[at..at + count].copy_from_slice(&self.staged[self.staged_from..self.staged_from + count]);
            self.staged_from += count;
            at += count;
        }
    }

    fn stage(&mut self) {
        let Some((_, resampler)) = &mut self.resampler else { return };
        self.staged_from = 0;
        // A resampler may consume some samples before it produces any.
        loop {
            let count = (self.samples.len() - self.at).min(self.rate.samples_in_ms(20));
            self.staged_to = resampler.process(&self.samples[self.at..self.at + count], &mut self.staged);
            self.at = (self.at + count) % self.samples.len();
            if self.staged_to > 0 {
                return;
            }
        }
    }

    fn advance(&mut self, count: usize) {
        self.at = (self.at + count) % self.samples.len();
    }
}

#[cfg(test)]
mod tests {
    use codecs::tones::{Sine, level_dbfs};

    use super::*;

    #[test]
    fn music_loops_without_a_gap() {
        let mut music = Music::new(SampleRate::HZ_8000, (1..=100).collect()).unwrap();
        let mut frame = [0; 160];
        music.fill(&mut frame, SampleRate::HZ_8000);
        assert_eq!((frame[0], frame[99], frame[100], frame[159]), (1, 100, 1, 60));
        music.fill(&mut frame, SampleRate::HZ_8000);
        assert_eq!((frame[0], frame[39], frame[40]), (61, 100, 1));
    }

    #[test]
    fn music_is_resampled_to_every_rate() {
        for from in [SampleRate::HZ_8000, SampleRate::HZ_16000, SampleRate::HZ_48000] {
            let mut samples = vec![0; from.samples_in_ms(1_000)];
            Sine::new(from, 440.0, -16.0).fill(&mut samples);
            for to in [SampleRate::HZ_8000, SampleRate::HZ_16000, SampleRate::HZ_48000] {
                let mut music = Music::new(from, samples.clone().into()).unwrap();
                let mut heard = Vec::new();
                for _ in 0..100 {
                    let mut frame = vec![0; to.samples_in_ms(20)];
                    music.fill(&mut frame, to);
                    heard.extend(frame);
                }
                let level = level_dbfs(&heard);
                assert!((level + 16.0).abs() < 1.0, "{from:?} to {to:?}: {level} dBFS");
            }
        }
    }

    #[test]
    fn no_samples_make_no_music() {
        assert!(Music::new(SampleRate::HZ_8000, Vec::new().into()).is_none());
    }
}
