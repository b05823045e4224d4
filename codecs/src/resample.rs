//! Sample rate conversion between 8, 16, 24 and 48 kHz by one polyphase FIR filter.
//!
//! ```text
//!   input --> zero-stuff to the common rate --> low-pass --> keep every n-th --> output
//!             8 -> 48 kHz: common 48; 16 -> 24 and 24 -> 16 kHz: common 48
//! ```
//!
//! Only the products that reach the output are computed: each output sample is one dot product of the newest inputs with
//! one *phase* of the filter.
//!
//! The filter is a sinc with a Kaiser window, 32 taps per sample of the slower rate, cut off at 0.98 of that rate's
//! Nyquist frequency *N*. It is flat (± 0.5 dB) up to 0.85 N, which is the telephone band's 3400 Hz at 8 kHz, and ≥ 60 dB
//! down from 1.12 N on, so the image of anything in the flat band is removed. Between them is a slope: sound in 1–1.12 N
//! folds into 0.88–1 N, attenuated.
//!
//! Delay: [`DELAY`] samples of the slower rate, in either direction (8 kHz: 2 ms, 16 kHz: 1 ms, 24 kHz: 0.67 ms).
//!
//! Invariants: linear phase; n input samples always give the output count that follows from the ratio, so frames
//! of whole milliseconds stay whole; nothing is allocated after `new`. Not here: odd rates such as 22.05 or 44.1 kHz,
//! drift correction.

use std::f64::consts::PI;

use crate::SampleRate;
use crate::lanes::dot;

/// Delay in samples of the slower of the two rates.
pub const DELAY: usize = 16;

/// Shape of the Kaiser window: side lobes at −67 dB.
const KAISER_BETA: f64 = 6.2;
/// Middle of the slope, in Nyquist frequencies of the slower rate.
const CUTOFF: f64 = 0.98;
/// Number of input samples filtered at once; longer inputs are processed in pieces.
const PIECE: usize = 480;

/// Sample rate converter for one stream.
#[derive(Clone, Debug)]
pub struct Resampler {
    from: SampleRate,
    to: SampleRate,
    /// Common rate ÷ input rate: the number of phases.
    up: usize,
    /// Common rate ÷ output rate.
    down: usize,
    /// Taps per phase.
    taps: usize,
    /// Coefficients phase after phase, the oldest input first in each.
    coefficients: Box<[f32]>,
    /// The last `taps − 1` inputs, followed by room for a piece.
    window: Box<[f32]>,
    /// Position of the next output relative to the next input, in samples of the common rate.
    position: usize,
}

impl Resampler {
    /// Creates a converter from one rate to another; equal rates copy.
    pub fn new(from: SampleRate, to: SampleRate) -> Resampler {
        let (up, down) = ratio(from, to);
        let slower = from.min(to).hz();
        let per_slow_sample = (from.hz() as usize * up) / slower as usize;
        let length = 2 * DELAY * per_slow_sample;
        let taps = length / up;
        let prototype = low_pass(length, per_slow_sample, up);
        let mut coefficients = vec![0.0; length].into_boxed_slice();
        for (index, &value) in prototype.iter().enumerate() {
            coefficients[index % up * taps + (taps - 1 - index / up)] = value;
        }
        let window = vec![0.0; taps - 1 + PIECE].into_boxed_slice();
        Resampler { from, to, up, down, taps, coefficients, window, position: 0 }
    }

    /// Returns the rate of the input.
    pub fn from_rate(&self) -> SampleRate {
        self.from
    }

    /// Returns the rate of the output.
    pub fn to_rate(&self) -> SampleRate {
        self.to
    }

    /// Returns the largest number of output samples that `input_length` input samples can produce.
    pub fn max_output(&self, input_length: usize) -> usize {
        (input_length * self.up).div_ceil(self.down)
    }

    /// Converts `input`, which may have any length, writes the result to the front of `out` and returns its number of
    /// samples. Over time the ratio is exact.
    ///
    /// # Panics
    /// When `out` is shorter than [`max_output`](Resampler::max_output) of the input's length.
    pub fn process(&mut self, input: &[i16], out: &mut [i16]) -> usize {
        // `as` saturates, which is the desired clipping.
        self.run(input, out, f32::from, |value| value.round_ties_even() as i16)
    }

    /// Like [`process`](Resampler::process), into a new vector.
    pub fn converted(&mut self, input: &[i16]) -> Vec<i16> {
        let mut out = vec![0; self.max_output(input.len())];
        let written = self.process(input, &mut out);
        out.truncate(written);
        out
    }

    /// Like [`process`](Resampler::process), for values on the same scale that are neither rounded nor limited: sums of several
    /// voices, which may exceed 16 bits until they are limited.
    ///
    /// # Panics
    /// When `out` is shorter than [`max_output`](Resampler::max_output) of the input's length.
    pub fn process_f32(&mut self, input: &[f32], out: &mut [f32]) -> usize {
        self.run(input, out, |value| value, |value| value)
    }

    fn run<In: Copy, Out>(
        &mut self,
        input: &[In],
        out: &mut [Out],
        load: impl Fn(In) -> f32 + Copy,
        store: impl Fn(f32) -> Out + Copy,
    ) -> usize {
        assert!(out.len() >= self.max_output(input.len()), "`out` must have room for max_output samples");
        if self.up == self.down {
            out.iter_mut().zip(input).for_each(|(out, &value)| *out = store(load(value)));
            return input.len();
        }
        let mut written = 0;
        for piece in input.chunks(PIECE) {
            written += self.filter(piece, &mut out[written..], load, store);
        }
        written
    }

    /// Resets the state to that of a new converter.
    pub fn reset(&mut self) {
        self.window.fill(0.0);
        self.position = 0;
    }

    fn filter<In: Copy, Out>(
        &mut self,
        piece: &[In],
        out: &mut [Out],
        load: impl Fn(In) -> f32,
        store: impl Fn(f32) -> Out,
    ) -> usize {
        let past = self.taps - 1;
        for (value, &sample) in self.window[past..].iter_mut().zip(piece) {
            *value = load(sample);
        }
        let end = piece.len() * self.up;
        let mut written = 0;
        while self.position < end {
            let (newest, phase) = (self.position / self.up, self.position % self.up);
            let coefficients = &self.coefficients[phase * self.taps..][..self.taps];
            out[written] = store(dot(coefficients, &self.window[newest..newest + self.taps]));
            written += 1;
            self.position += self.down;
        }
        self.position -= end;
        self.window.copy_within(piece.len()..piece.len() + past, 0);
        written
    }
}

/// Returns the common rate divided by each of the two rates, in lowest terms.
fn ratio(from: SampleRate, to: SampleRate) -> (usize, usize) {
    let (mut a, mut b) = (from.hz() as usize, to.hz() as usize);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    (to.hz() as usize / a, from.hz() as usize / a)
}

/// Returns `length` values of the low-pass at the common rate, symmetrical about `length / 2`, with a gain that compensates
/// zero-stuffing by `up`.
fn low_pass(length: usize, per_slow_sample: usize, up: usize) -> Vec<f32> {
    let middle = (length / 2) as f64;
    let cutoff = CUTOFF / per_slow_sample as f64;
    let mut values: Vec<f64> = (0..length)
        .map(|index| {
            let x = index as f64 - middle;
            let sinc = if x == 0.0 { 1.0 } else { (PI * cutoff * x).sin() / (PI * cutoff * x) };
            sinc * bessel_i0(KAISER_BETA * (1.0 - (x / middle).powi(2)).max(0.0).sqrt())
        })
        .collect();
    // The first value has no counterpart on the other side.
    values[0] = 0.0;
    // Each phase passes a constant unchanged, so that the loudest, lowest sounds have no ripple at the input rate.
    for phase in 0..up {
        let sum: f64 = values.iter().skip(phase).step_by(up).sum();
        values.iter_mut().skip(phase).step_by(up).for_each(|value| *value /= sum);
    }
    values.into_iter().map(|value| value as f32).collect()
}

/// Returns the modified Bessel function of the first kind, order zero, computed by its series.
fn bessel_i0(x: f64) -> f64 {
    let (mut sum, mut term, mut k) = (1.0, 1.0, 1.0);
    while term > sum * 1e-12 {
        term *= (x / (2.0 * k)).powi(2);
        sum += term;
        k += 1.0;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tones::{Sine, goertzel_dbfs, level_dbfs};

    const RATES: [SampleRate; 4] =
        [SampleRate::HZ_8000, SampleRate::HZ_16000, SampleRate::HZ_24000, SampleRate::HZ_48000];

    fn pairs() -> impl Iterator<Item = (SampleRate, SampleRate)> {
        RATES.into_iter().flat_map(|from| RATES.into_iter().map(move |to| (from, to))).filter(|(from, to)| from != to)
    }

    /// Returns one second of a tone, resampled, without its first 100 ms.
    fn resampled_tone(from: SampleRate, to: SampleRate, hz: f32, dbfs: f32) -> Vec<i16> {
        let mut input = vec![0; from.hz() as usize];
        Sine::new(from, hz, dbfs).fill(&mut input);
        let mut resampler = Resampler::new(from, to);
        let mut out = vec![0; resampler.max_output(input.len())];
        let written = resampler.process(&input, &mut out);
        assert_eq!(written, to.hz() as usize);
        out.split_off(to.samples_in_ms(100))
    }

    #[test]
    fn tones_of_the_telephone_band_keep_their_level_within_half_a_decibel() {
        for (from, to) in pairs() {
            let nyquist = from.min(to).hz() as f32 / 2.0;
            for part in [0.01, 0.05, 0.25, 0.5, 0.7, 0.765, 0.8, 0.85] {
                // Whole periods in the 900 ms that are measured.
                let hz = (part * nyquist / 10.0).round() * 10.0;
                let out = resampled_tone(from, to, hz, -6.0);
                let level = goertzel_dbfs(&out, to, hz);
                assert!((level + 6.0).abs() <= 0.5, "{from} to {to}, {hz} Hz: {level} dBFS");
            }
        }
    }

    /// Returns the level of the remainder without the sine at `hz`, in dB below the sine; `samples` contains whole periods.
    fn residue_db(samples: &[i16], rate: SampleRate, hz: f64) -> f64 {
        let angle = |n: usize| n as f64 * hz / f64::from(rate.hz()) * 2.0 * PI;
        let half = samples.len() as f64 / 2.0;
        let (mut sine, mut cosine) = (0.0, 0.0);
        for (n, &sample) in samples.iter().enumerate() {
            sine += f64::from(sample) * angle(n).sin() / half;
            cosine += f64::from(sample) * angle(n).cos() / half;
        }
        let left = |(n, &sample): (usize, &i16)| f64::from(sample) - sine * angle(n).sin() - cosine * angle(n).cos();
        let power = samples.iter().enumerate().map(left).map(|value| value * value).sum::<f64>() / half;
        10.0 * (power / (sine * sine + cosine * cosine)).log10()
    }

    #[test]
    fn all_images_of_a_tone_together_stay_60_db_below_it() {
        for (from, to) in pairs() {
            let nyquist = from.min(to).hz() as f32 / 2.0;
            for part in [0.05, 0.25, 0.5, 0.7, 0.8, 0.85] {
                let hz = (part * nyquist / 10.0).round() * 10.0;
                let residue = residue_db(&resampled_tone(from, to, hz, -1.0), to, f64::from(hz));
                assert!(residue < -60.0, "{from} to {to}, {hz} Hz: {residue} dB");
            }
        }
    }

    #[test]
    fn tones_above_the_slower_rate_do_not_fold_back() {
        for (from, to) in pairs().filter(|(from, to)| from > to) {
            let nyquist = to.hz() as f32 / 2.0;
            let highest = from.hz() as f32 / to.hz() as f32;
            for part in [1.12, 1.2, 1.45, 1.9, 2.9, 5.9].into_iter().filter(|part| *part < highest) {
                let level = level_dbfs(&resampled_tone(from, to, part * nyquist, -1.0));
                assert!(level < -61.0, "{from} to {to} at {part} of Nyquist: {level} dBFS");
            }
        }
    }

    #[test]
    fn delay_is_sixteen_samples_of_the_slower_rate() {
        for (from, to) in pairs() {
            let mut input = vec![0; from.samples_in_ms(20)];
            input[0] = 30_000;
            let mut resampler = Resampler::new(from, to);
            let mut out = vec![0; resampler.max_output(input.len())];
            resampler.process(&input, &mut out);
            let peak = (0..out.len()).max_by_key(|&index| out[index].unsigned_abs()).unwrap();
            let expected = DELAY as f64 * f64::from(to.hz()) / f64::from(from.min(to).hz());
            assert!((peak as f64 - expected).abs() < 1.0, "{from} to {to}: peak at {peak}, not {expected}");
        }
    }

    #[test]
    fn pieces_of_any_length_give_the_samples_of_the_whole() {
        for (from, to) in pairs() {
            let mut input = vec![0; 4801];
            Sine::new(from, 700.0, -3.0).fill(&mut input);
            let mut whole = vec![0; 6 * 4801];
            let length = Resampler::new(from, to).process(&input, &mut whole);
            let mut resampler = Resampler::new(from, to);
            let (mut pieces, mut at, mut size) = (vec![0; 6 * 4801], 0, 1);
            let mut rest = &input[..];
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rest.len().min(size));
                let most = resampler.max_output(piece.len());
                let written = resampler.process(piece, &mut pieces[at..]);
                assert!(written <= most);
                (at, rest, size) = (at + written, after, size * 5 % 997);
            }
            assert_eq!((length, &whole), (at, &pieces), "{from} to {to}");
        }
    }

    #[test]
    fn frames_of_twenty_milliseconds_stay_whole() {
        for (from, to) in pairs() {
            let mut resampler = Resampler::new(from, to);
            let mut out = [0; 960];
            for _ in 0..50 {
                let written = resampler.process(&[0; 960][..from.samples_in_ms(20)], &mut out);
                assert_eq!(written, to.samples_in_ms(20));
            }
        }
    }

    #[test]
    fn loudest_square_clips_and_does_not_wrap() {
        let input: Vec<i16> = (0..960).map(|n| if n / 40 % 2 == 0 { i16::MAX } else { i16::MIN }).collect();
        let mut resampler = Resampler::new(SampleRate::HZ_8000, SampleRate::HZ_48000);
        let mut out = vec![0; 5760];
        resampler.process(&input, &mut out);
        // Away from the edges of each half wave the sign is that of the input.
        for (index, &sample) in out.iter().enumerate().skip(96 + 60) {
            let within = (index - 96) % 240;
            if (60..180).contains(&within) {
                let positive = (index - 96) / 240 % 2 == 0;
                assert!(if positive { sample > 20_000 } else { sample < -20_000 }, "{index}: {sample}");
            }
        }
    }

    #[test]
    fn sums_beyond_sixteen_bits_pass_neither_limited_nor_rounded() {
        for (from, to) in pairs() {
            let mut one = vec![0; from.samples_in_ms(60)];
            Sine::new(from, 700.0, -3.0).fill(&mut one);
            let four: Vec<f32> = one.iter().map(|&sample| 4.0 * f32::from(sample)).collect();
            let mut resampler = Resampler::new(from, to);
            let (mut narrow, mut wide) = (vec![0; 2_880], vec![0.0; 2_880]);
            let written = resampler.process(&one, &mut narrow);
            resampler.reset();
            assert_eq!(resampler.process_f32(&four, &mut wide), written);
            assert!(wide.iter().any(|value| *value > 80_000.0), "{from} to {to}");
            for (&narrow, &wide) in narrow.iter().zip(&wide) {
                assert!((f32::from(narrow) - wide / 4.0).abs() < 0.6, "{from} to {to}: {narrow} and {wide}");
            }
        }
    }

    #[test]
    fn equal_rates_copy() {
        let mut resampler = Resampler::new(SampleRate::HZ_8000, SampleRate::HZ_8000);
        let mut out = [0; 4];
        assert_eq!(resampler.process(&[1, -2, 3], &mut out), 3);
        assert_eq!(out, [1, -2, 3, 0]);
    }

    #[test]
    fn a_reset_resampler_equals_a_new_one() {
        let mut resampler = Resampler::new(SampleRate::HZ_16000, SampleRate::HZ_24000);
        let mut out = [0; 64];
        resampler.process(&[20_000; 31], &mut out);
        resampler.reset();
        let written = resampler.process(&[0; 40], &mut out);
        assert_eq!(out[..written], [0; 60]);
    }
}
