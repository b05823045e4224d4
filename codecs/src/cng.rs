//! Comfort noise (RFC 3389): during a talker's silence a few bytes describe level and spectrum of the background noise.
//!
//! ```text
//!   background ─▶ NoiseEncoder ─▶ level, reflection coefficients ─▶ NoiseGenerator ─▶ noise that sounds like it
//!                 (Levinson)      1 byte, 0 to 12 bytes              (white noise through a lattice)
//! ```
//!
//! The payload contains no sample rate: both ends use that of the codec it accompanies. Levels are dBov: relative to the
//! loudest square wave, 3 dB above the full-scale sine of the rest of this crate.
//!
//! Invariants: neither end allocates after construction; any payload gives noise that is stable and no louder than its
//! level. Not here: the detection of silence ([`crate::vad`], the codec's DTX), and how often payloads are sent.

use crate::CodecError;

/// Maximum number of reflection coefficients written or read; RFC 3389 sets no limit, further ones have no audible effect.
pub const MAX_ORDER: usize = 12;

/// Longest payload that is written, in bytes.
pub const MAX_PAYLOAD: usize = 1 + MAX_ORDER;

/// Quietest level, −dBov.
const QUIETEST: u8 = 127;
/// Amplitude of 0 dBov: that of the loudest square wave.
const OVERLOAD: f32 = 32_767.0;
/// Value of one step of a coefficient's byte, and the byte that means zero (RFC 3389 §3.2).
const STEP: f32 = 258.0 / 32_768.0;
const ZERO: f32 = 127.0;
/// Weight of a new frame in the estimate of the background, and of a new payload in the noise.
const LEARN: f32 = 0.25;
/// Factor for the zeroth correlation, so that pure tones give stable filters: −40 dB of white noise.
const WHITE: f32 = 1.0001;

/// One comfort noise payload; `as_ref` returns its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoisePayload {
    bytes: [u8; MAX_PAYLOAD],
    len: usize,
}

impl AsRef<[u8]> for NoisePayload {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Estimator of the background noise of one stream.
#[derive(Clone, Debug)]
pub struct NoiseEncoder {
    order: usize,
    /// Mean square, and correlations at lags 0 to `order` relative to it; `None` before the first frame.
    background: Option<(f32, [f32; MAX_ORDER + 1])>,
}

impl NoiseEncoder {
    /// Creates an encoder that writes `order` coefficients, at most [`MAX_ORDER`]; with 0 the noise is white.
    pub fn new(order: usize) -> NoiseEncoder {
        NoiseEncoder { order: order.min(MAX_ORDER), background: None }
    }

    /// Forgets the background, for another talker.
    pub fn reset(&mut self) {
        self.background = None;
    }

    /// Adds a frame of background and returns a payload that describes the recent background. `samples` are some
    /// milliseconds, at any rate.
    pub fn analyse(&mut self, samples: &[i16]) -> NoisePayload {
        let (power, correlations) = correlate(samples, self.order);
        let (known_power, known) = self.background.get_or_insert((power, correlations));
        *known_power += LEARN * (power - *known_power);
        for (known, new) in known.iter_mut().zip(correlations) {
            *known += LEARN * (new - *known);
        }
        let mut bytes = [0; MAX_PAYLOAD];
        bytes[0] = level_byte(*known_power);
        for (byte, coefficient) in bytes[1..].iter_mut().zip(reflect(known, self.order)) {
            *byte = (coefficient / STEP + ZERO).round().clamp(0.0, 2.0 * ZERO) as u8;
        }
        NoisePayload { bytes, len: 1 + self.order }
    }
}

/// Generator of the noise that the last payload describes.
#[derive(Clone, Debug)]
pub struct NoiseGenerator {
    /// RMS of the noise and its filter: the target values, and the current values, which approach them.
    wanted: Noise,
    played: Noise,
    /// State of the lattice filter.
    back: [f32; MAX_ORDER],
    random: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Noise {
    rms: f32,
    coefficients: [f32; MAX_ORDER],
}

impl NoiseGenerator {
    /// Creates a generator that is silent until its first payload.
    pub fn new() -> NoiseGenerator {
        NoiseGenerator {
            wanted: Noise::default(),
            played: Noise::default(),
            back: [0.0; MAX_ORDER],
            random: 0x2545_f491,
        }
    }

    /// Adopts a payload. Noise that is playing approaches it within a few calls of [`generate`](Self::generate).
    ///
    /// # Errors
    /// [`CodecError::Malformed`] for an empty payload; nothing changes then, and the packet should be dropped.
    pub fn update(&mut self, payload: &[u8]) -> Result<(), CodecError> {
        let (&level, coefficients) = payload.split_first().ok_or(CodecError::Malformed)?;
        let mut wanted = Noise { rms: rms(level & QUIETEST), ..Noise::default() };
        for (coefficient, &byte) in wanted.coefficients.iter_mut().zip(coefficients) {
            // 255 is not used; it would describe a filter that is not stable.
            *coefficient = (f32::from(byte.min(254)) - ZERO) * STEP;
        }
        if self.played.rms == 0.0 {
            self.played = wanted;
        }
        self.wanted = wanted;
        Ok(())
    }

    /// Fills `out` with the next stretch of noise.
    pub fn generate(&mut self, out: &mut [i16]) {
        let (played, wanted) = (&mut self.played, &self.wanted);
        played.rms += LEARN * (wanted.rms - played.rms);
        for (played, wanted) in played.coefficients.iter_mut().zip(wanted.coefficients) {
            *played += LEARN * (wanted - *played);
        }
        // The lattice amplifies white noise by the inverse of this; uniform noise of peak 1 has a power of 1/3.
        let loss: f32 = self.played.coefficients.iter().map(|k| 1.0 - k * k).product();
        let peak = self.played.rms * (3.0 * loss).sqrt();
        for sample in out {
            let value = self.lattice(self.white() * peak);
            *sample = value.round().clamp(-OVERLOAD, OVERLOAD) as i16;
            self.advance();
        }
    }

    /// Returns a uniformly distributed value, −1 to 1.
    fn white(&self) -> f32 {
        self.random as i32 as f32 / -(i32::MIN as f32)
    }

    fn advance(&mut self) {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
    }

    /// Applies an all-pole filter given by reflection coefficients.
    fn lattice(&mut self, input: f32) -> f32 {
        let mut forth = input;
        for n in (0..MAX_ORDER).rev() {
            forth -= self.played.coefficients[n] * self.back[n];
            let back = self.back[n] + self.played.coefficients[n] * forth;
            if let Some(next) = self.back.get_mut(n + 1) {
                *next = back;
            }
        }
        self.back[0] = forth;
        forth
    }
}

impl Default for NoiseGenerator {
    fn default() -> NoiseGenerator {
        NoiseGenerator::new()
    }
}

fn rms(level: u8) -> f32 {
    OVERLOAD * 10_f32.powf(-f32::from(level) / 20.0)
}

fn level_byte(power: f32) -> u8 {
    let below = -10.0 * (power.max(f32::MIN_POSITIVE) / (OVERLOAD * OVERLOAD)).log10();
    below.round().clamp(0.0, f32::from(QUIETEST)) as u8
}

/// Returns the mean square of `samples`, and their correlations at lags 0 to `order` divided by that at 0.
fn correlate(samples: &[i16], order: usize) -> (f32, [f32; MAX_ORDER + 1]) {
    let mut sums = [0.0; MAX_ORDER + 1];
    for (lag, sum) in sums.iter_mut().enumerate().take(order + 1) {
        let later = samples.get(lag..).unwrap_or_default();
        *sum = later.iter().zip(samples).map(|(&a, &b)| f32::from(a) * f32::from(b)).sum::<f32>();
    }
    let energy = sums[0];
    if energy > 0.0 {
        sums.iter_mut().for_each(|sum| *sum /= energy);
    }
    (energy / samples.len().max(1) as f32, sums)
}

/// Returns the reflection coefficients of the all-pole model of these correlations (Levinson and Durbin).
fn reflect(correlations: &[f32; MAX_ORDER + 1], order: usize) -> [f32; MAX_ORDER] {
    let mut reflections = [0.0; MAX_ORDER];
    let mut predictor = [0.0; MAX_ORDER + 1];
    predictor[0] = 1.0;
    let mut error = correlations[0] * WHITE;
    for n in 0..order {
        if error <= f32::EPSILON {
            break;
        }
        let missed: f32 = (0..=n).map(|i| predictor[i] * correlations[n + 1 - i]).sum();
        let reflection = (-missed / error).clamp(-0.99, 0.99);
        let before = predictor;
        for i in 0..=n {
            predictor[i + 1] += reflection * before[n - i];
        }
        error *= 1.0 - reflection * reflection;
        reflections[n] = reflection;
    }
    reflections
}

/// Fuzz target of the payload reader.
#[doc(hidden)]
pub mod fuzz {
    use super::NoiseGenerator;

    /// Adopts each part of `bytes` as a payload and generates some noise from it.
    pub fn fuzz_cng(bytes: &[u8]) {
        let mut generator = NoiseGenerator::new();
        let mut out = [0; 160];
        for payload in bytes.split(|&byte| byte == 0xa5) {
            assert_eq!(generator.update(payload).is_ok(), !payload.is_empty());
            generator.generate(&mut out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tones::level_dbfs;

    /// Returns coloured noise: `tilt` 0.9 is dull, −0.9 is sharp.
    fn noise(count: usize, tilt: f32, gain: f32) -> Vec<i16> {
        let (mut random, mut last) = (1_u32, 0.0);
        (0..count)
            .map(|_| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                last = tilt * last + random as i32 as f32 / 2_147_483_648.0 * gain;
                last as i16
            })
            .collect()
    }

    /// Returns the correlation of neighbouring samples, a measure of colour.
    fn colour(samples: &[i16]) -> f32 {
        correlate(samples, 2).1[1]
    }

    fn through(samples: &[i16], order: usize) -> Vec<i16> {
        let (mut encoder, mut generator) = (NoiseEncoder::new(order), NoiseGenerator::new());
        let mut out = vec![0; samples.len()];
        for (frame, out) in samples.chunks(160).zip(out.chunks_mut(160)) {
            let payload = encoder.analyse(frame);
            assert_eq!(payload.as_ref().len(), 1 + order);
            generator.update(payload.as_ref()).unwrap();
            generator.generate(out);
        }
        out
    }

    #[test]
    fn noise_keeps_its_level_and_colour() {
        for order in [1, 4, 10, 12] {
            for tilt in [0.9, 0.5, 0.0, -0.5, -0.9] {
                for gain in [20.0, 300.0, 3_000.0] {
                    let heard = noise(8_000, tilt, gain);
                    let made = through(&heard, order);
                    let off = level_dbfs(&made) - level_dbfs(&heard);
                    assert!(off.abs() < 1.2, "order {order}, tilt {tilt}, gain {gain}: {off} dB");
                    let (made, heard) = (colour(&made), colour(&heard));
                    assert!((made - heard).abs() < 0.12, "order {order}, tilt {tilt}, gain {gain}: {made} for {heard}");
                }
            }
        }
    }

    #[test]
    fn without_coefficients_the_noise_is_white() {
        let made = through(&noise(8_000, 0.9, 500.0), 0);
        assert!(colour(&made).abs() < 0.06, "{}", colour(&made));
    }

    /// Level 40 is −40 dBov, −37 dBFS; the middle value of the second byte is zero.
    #[test]
    fn bytes_are_interpreted_as_in_the_standard() {
        let mut generator = NoiseGenerator::new();
        generator.update(&[40, 127]).unwrap();
        let mut out = [0; 8_000];
        generator.generate(&mut out);
        assert!((level_dbfs(&out) + 37.0).abs() < 0.3, "{}", level_dbfs(&out));
        assert!(colour(&out).abs() < 0.06);
        // A negative first coefficient gives a dull sound.
        generator.update(&[40, 127 - 100]).unwrap();
        (0..30).for_each(|_| generator.generate(&mut out));
        assert!(colour(&out) > 0.6, "{}", colour(&out));

        let square: Vec<i16> = (0..160).map(|n| if n % 2 == 0 { 32_767 } else { -32_767 }).collect();
        assert_eq!(NoiseEncoder::new(0).analyse(&square).as_ref(), [0]);
        assert_eq!(NoiseEncoder::new(2).analyse(&[0; 160]).as_ref(), [127, 127, 127]);
        assert_eq!(NoiseEncoder::new(0).analyse(&[]).as_ref(), [127]);
    }

    #[test]
    fn an_empty_payload_is_malformed_and_changes_nothing() {
        let mut generator = NoiseGenerator::new();
        assert_eq!(generator.update(&[]), Err(CodecError::Malformed));
        let mut out = [1; 160];
        generator.generate(&mut out);
        assert_eq!(out, [0; 160]);
    }

    #[test]
    fn a_change_of_level_is_gradual() {
        let mut generator = NoiseGenerator::new();
        let mut out = [0; 160];
        generator.update(&[30]).unwrap();
        (0..5).for_each(|_| generator.generate(&mut out));
        let before = level_dbfs(&out);
        generator.update(&[60]).unwrap();
        generator.generate(&mut out);
        let first = level_dbfs(&out);
        (0..40).for_each(|_| generator.generate(&mut out));
        assert!(before - first < 6.0, "{before} to {first}");
        assert!((before - level_dbfs(&out) - 30.0).abs() < 2.0, "{before} to {}", level_dbfs(&out));
    }

    #[test]
    fn the_sharpest_filters_stay_at_their_level() {
        for byte in [0, 1, 126, 128, 253, 254, 255] {
            let mut generator = NoiseGenerator::new();
            generator.update(&[50; 1].iter().copied().chain([byte; 12]).collect::<Vec<u8>>()).unwrap();
            let mut out = vec![0; 80_000];
            generator.generate(&mut out);
            assert!(level_dbfs(&out) < -40.0, "{byte}: {}", level_dbfs(&out));
        }
    }
}
