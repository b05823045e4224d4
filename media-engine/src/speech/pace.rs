//! Speeds up a voice without changing its pitch: single periods of the sound are left out.

use codecs::SampleRate;
use codecs::splice;

/// Range of lengths that are left out at once: periods of voices from 80 to 400 Hz.
const LEAST_US: u32 = 2_500;
const MOST_US: u32 = 12_500;
/// Likeness of the joined places from which a cut is not heard.
const ALIKE: f32 = 0.7;
/// Delay in multiples of the longest piece after which a cut is made wherever it is heard least.
const PATIENCE: f32 = 4.0;

/// A voice at a constant speed. Samples go in and come out in order.
#[derive(Debug)]
pub(super) struct Pace {
    speed: f32,
    rate: SampleRate,
    waiting: Vec<i16>,
    /// Samples that are still to be left out.
    debt: f32,
}

impl Pace {
    /// Creates a pace; a speed of 1 or less leaves the voice as it is.
    pub(super) fn new(rate: SampleRate, speed: f32) -> Pace {
        Pace { speed, rate, waiting: Vec::new(), debt: 0.0 }
    }

    /// Takes samples, and returns those that are ready.
    pub(super) fn push(&mut self, samples: Vec<i16>) -> Vec<i16> {
        if self.speed <= 1.0 {
            return samples;
        }
        self.debt += samples.len() as f32 * (1.0 - 1.0 / self.speed);
        self.waiting.extend(samples);
        let (least, most) = (self.samples(LEAST_US), self.samples(MOST_US));
        let window = most + splice::overlap(self.rate);
        let mut out = Vec::with_capacity(self.waiting.len());
        let mut at = 0;
        while self.waiting.len() - at >= 2 * window {
            let rest = &self.waiting[at..];
            let is_impatient = self.debt > most as f32 * PATIENCE;
            let found = (self.debt >= least as f32).then(|| splice::best(rest, self.rate, least, most)).flatten();
            if let Some(cut) =
                found.filter(|cut| cut.lag as f32 <= self.debt && (cut.likeness >= ALIKE || is_impatient))
            {
                let from = out.len();
                out.resize(from + window, 0);
                splice::shorten(rest, self.rate, cut.lag, &mut out[from..]);
                self.debt -= cut.lag as f32;
                at += window + cut.lag;
            } else {
                // A place a little later may be better.
                out.extend_from_slice(&rest[..least]);
                at += least;
            }
        }
        self.waiting.drain(..at);
        out
    }

    /// Returns the remaining samples.
    pub(super) fn finish(&mut self) -> Vec<i16> {
        std::mem::take(&mut self.waiting)
    }

    fn samples(&self, us: u32) -> usize {
        (self.rate.hz() as u64 * u64::from(us) / 1_000_000) as usize
    }
}

#[cfg(test)]
mod tests {
    use codecs::tones::{Sine, level_dbfs};

    use super::*;

    const RATE: SampleRate = SampleRate::HZ_16000;

    /// Plays a tone in pieces of 20 ms, and returns what comes out.
    fn played(hz: f32, speed: f32, seconds: usize) -> Vec<i16> {
        let (mut tone, mut pace, mut out) = (Sine::new(RATE, hz, -20.0), Pace::new(RATE, speed), Vec::new());
        for _ in 0..seconds * 50 {
            let mut piece = vec![0; 320];
            tone.fill(&mut piece);
            out.extend(pace.push(piece));
        }
        out.extend(pace.finish());
        out
    }

    #[test]
    fn a_faster_voice_is_shorter_and_keeps_its_pitch_and_level() {
        for speed in [1.1, 1.25] {
            let out = played(200.0, speed, 4);
            let expected = 64_000.0 / speed;
            assert!((out.len() as f32 - expected).abs() < expected * 0.02, "{speed}: {} of {expected}", out.len());
            // Crossings of zero per second: two for each period.
            let crossings = out.windows(2).filter(|pair| (pair[0] < 0) != (pair[1] < 0)).count();
            let hz = crossings as f32 / 2.0 / (out.len() as f32 / 16_000.0);
            assert!((hz - 200.0).abs() < 6.0, "{speed}: {hz} Hz");
            assert!((level_dbfs(&out) + 20.0).abs() < 1.0);
        }
    }

    #[test]
    fn normal_speed_changes_nothing() {
        let mut tone = vec![0; 320];
        Sine::new(RATE, 200.0, -20.0).fill(&mut tone);
        assert_eq!(Pace::new(RATE, 1.0).push(tone.clone()), tone);
        assert_eq!(played(300.0, 1.0, 1).len(), 16_000);
    }

    #[test]
    fn noise_reaches_its_speed_too() {
        let mut seed = 1_u32;
        let mut noise = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 18) as i16 - 8_192
        };
        let mut pace = Pace::new(RATE, 1.2);
        let mut count = 0;
        for _ in 0..200 {
            count += pace.push((0..320).map(|_| noise()).collect()).len();
        }
        count += pace.finish().len();
        assert!((count as f32 - 64_000.0 / 1.2).abs() < 1_500.0, "{count}");
    }
}
