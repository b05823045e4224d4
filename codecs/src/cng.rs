//! Comfort noise (RFC 3389): in place of a talker's silence a few bytes say how loud its background is, and of what colour.
//!
//! ```text
//!   background ─▶ NoiseEncoder ─▶ level, reflection coefficients ─▶ NoiseGenerator ─▶ noise that sounds like it
//!                 (Levinson)      1 byte, 0 to 12 bytes              (white noise through a lattice)
//! ```
//!
//! The payload knows no sample rate: both ends take that of the codec it stands beside. Levels are dBov: relative to the
//! loudest square wave, 3 dB above the full-scale sine of the rest of this crate.
//!
//! Invariants: neither end allocates after construction; any payload gives noise that is stable and no louder than its
//! level says. Not here: when a frame is silence ([`crate::vad`], the codec's DTX), how often payloads are sent.

use crate::CodecError;

/// Most reflection coefficients that are written or read; RFC 3389 sets no limit, further ones colour nothing audible.
pub const MAX_ORDER: usize = 12;

/// Longest payload that is written.
pub const MAX_PAYLOAD: usize = 1 + MAX_ORDER;

/// Quietest level, −dBov.
const QUIETEST: u8 = 127;
/// 0 dBov.
const OVERLOAD: f32 = 32_767.0;
/// One step of a coefficient's byte, and the byte that means zero (RFC 3389 §3.2).
const STEP: f32 = 258.0 / 32_768.0;
const ZERO: f32 = 127.0;
/// Share that a new frame has in the background's picture, and a new payload in the noise.
const LEARN: f32 = 0.25;
/// Added to the zeroth correlation, so that pure tones give filters that are stable: −40 dB of white noise.
const WHITE: f32 = 1.0001;

/// One payload.
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

/// Watches one stream's background.
#[derive(Clone, Debug)]
pub struct NoiseEncoder {
    order: usize,
    /// Mean square, and correlations at lags 0 to `order` relative to it; `None` before the first frame.
    background: Option<(f32, [f32; MAX_ORDER + 1])>,
}

impl NoiseEncoder {
    /// An encoder that writes `order` coefficients, at most [`MAX_ORDER`]; none: white noise.
    pub fn new(order: usize) -> NoiseEncoder {
        NoiseEncoder { order: order.min(MAX_ORDER), background: None }
    }

    /// Forgets the background: another talker.
    pub fn reset(&mut self) {
        self.background = None;
    }

    /// Takes a frame of background and tells what the background has been like lately. Samples: some milliseconds, at
    /// any rate.
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

/// Makes noise by the last payload.
#[derive(Clone, Debug)]
pub struct NoiseGenerator {
    /// RMS of the noise, and the filter: as they are wanted, and as they are on their way there.
    wanted: Noise,
    played: Noise,
    /// The lattice's memory.
    back: [f32; MAX_ORDER],
    random: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Noise {
    rms: f32,
    coefficients: [f32; MAX_ORDER],
}

impl NoiseGenerator {
    /// A generator that is silent until its first payload.
    pub fn new() -> NoiseGenerator {
        NoiseGenerator {
            wanted: Noise::default(),
            played: Noise::default(),
            back: [0.0; MAX_ORDER],
            random: 0x2545_f491,
        }
    }

    /// Follows a payload. Noise that is playing goes over to it within some calls of [`generate`](Self::generate).
    ///
    /// # Errors
    /// [`CodecError::Malformed`] for an empty payload; nothing changes then.
    pub fn update(&mut self, payload: &[u8]) -> Result<(), CodecError> {
        let (&level, coefficients) = payload.split_first().ok_or(CodecError::Malformed)?;
        let mut wanted = Noise { rms: rms(level & QUIETEST), ..Noise::default() };
        for (coefficient, &byte) in wanted.coefficients.iter_mut().zip(coefficients) {
            // 255 is not used; it would stand for a filter that is not stable.
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
        // The lattice makes white noise louder by this much; uniform noise of peak 1 has a power of 1/3.
        let loss: f32 = self.played.coefficients.iter().map(|k| 1.0 - k * k).product();
        let peak = self.played.rms * (3.0 * loss).sqrt();
        for sample in out {
            let value = self.lattice(self.white() * peak);
            *sample = value.round().clamp(-OVERLOAD, OVERLOAD) as i16;
            self.advance();
        }
    }

    /// Uniform, −1 to 1.
    fn white(&self) -> f32 {
        self.random as i32 as f32 / -(i32::MIN as f32)
    }

    fn advance(&mut self) {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
    }

    /// All-pole filter by reflection coefficients.
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

/// Mean square of `samples`, and their correlations at lags 0 to `order` divided by that at 0.
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

/// Reflection coefficients of the all-pole model of these correlations (Levinson and Durbin).
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

    /// Follows each part of `bytes` and plays some of it.
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

    /// Noise of a colour: `tilt` 0.9 is dull, −0.9 is sharp.
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

    /// Correlation of neighbours: the colour.
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
    fn noise_comes_back_at_its_level_and_of_its_colour() {
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

    /// Level 40 is −40 dBov, −37 dBFS; the second byte's middle is zero.
    #[test]
    fn bytes_mean_what_the_standard_says() {
        let mut generator = NoiseGenerator::new();
        generator.update(&[40, 127]).unwrap();
        let mut out = [0; 8_000];
        generator.generate(&mut out);
        assert!((level_dbfs(&out) + 37.0).abs() < 0.3, "{}", level_dbfs(&out));
        assert!(colour(&out).abs() < 0.06);
        // A negative first coefficient is a dull sound.
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
    fn a_change_of_level_is_no_step() {
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
