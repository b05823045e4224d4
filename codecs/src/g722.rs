//! G.722 at 64 kbit/s: 16 kHz samples in 8 bits a pair (ITU-T G.722, mode 1; RTP payload RFC 3551 §4.5.2).
//!
//! ```text
//!   two samples ─▶ split filter ─┬─ low band,  8 kHz ─▶ ADPCM, 6 bits ─┐
//!                  (24 taps)     └─ high band, 8 kHz ─▶ ADPCM, 2 bits ─┴─▶ one byte, high band in its upper bits
//! ```
//!
//! Each band ([`band`]) predicts its next sample from the previously decoded ones (two poles, six zeros, both adaptive) and
//! sends the quantised error; encoder and decoder run the same prediction and so remain identical. The low band's
//! prediction uses only the upper four of its six bits, so that the lower two may carry data; in practice they never do.
//!
//! The RTP clock of G.722 is 8 kHz although the samples are at 16 kHz: this is an error of the standard, kept for compatibility.
//!
//! Payloads have no structure, so none is malformed. Lost payloads are concealed by [`PitchConceal`]; meanwhile the
//! prediction does not change. Not here: the modes of 56 and 48 kbit/s.

mod band;

use band::{High, Low};

use crate::plc::PitchConceal;
use crate::{CodecError, Decoder, Encoder, SampleRate};

/// Taps of the split filter; every second tap applies to every second sample.
const TAPS: usize = 24;
const HALF: usize = TAPS / 2;
/// Every second coefficient (G.722 table 11); the others are the same in reverse order.
const SPLIT: [i32; HALF] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];
/// Largest magnitude of a band's values, which have 15 bits (G.722 §3.1, §4.4).
const BAND_MOST: i32 = 16_383;
const BAND_LEAST: i32 = -16_384;

/// Newest values in a split filter, the newest at the end; each row has every second sample.
#[derive(Clone, Debug, Default)]
struct Window {
    even: [i32; HALF],
    odd: [i32; HALF],
}

impl Window {
    /// Inserts two values; returns the two sums of products.
    #[inline]
    fn push(&mut self, even: i32, odd: i32) -> (i32, i32) {
        self.even.copy_within(1.., 0);
        self.odd.copy_within(1.., 0);
        self.even[HALF - 1] = even;
        self.odd[HALF - 1] = odd;
        let (mut forth, mut back) = (0_i32, 0_i32);
        for (tap, &coefficient) in SPLIT.iter().enumerate() {
            // Twelve products of 17 by 12 bits fit easily into 32 bits.
            forth = forth.wrapping_add(self.even[tap].wrapping_mul(coefficient));
            back = back.wrapping_add(self.odd[tap].wrapping_mul(SPLIT[HALF - 1 - tap]));
        }
        (forth, back)
    }
}

/// Encoder of samples to bytes. An odd sample at the end of a frame waits for the next frame.
#[derive(Debug)]
pub struct G722Encoder {
    window: Window,
    low: Low,
    high: High,
    waiting: Option<i16>,
}

impl G722Encoder {
    /// Creates an encoder for one direction of one stream.
    pub fn new() -> G722Encoder {
        G722Encoder { window: Window::default(), low: Low::new(), high: High::new(), waiting: None }
    }

    #[inline]
    fn pair(&mut self, first: i16, second: i16) -> u8 {
        let (forth, back) = self.window.push(i32::from(first), i32::from(second));
        let low = ((forth + back) >> 14).clamp(BAND_LEAST, BAND_MOST);
        let high = ((back - forth) >> 14).clamp(BAND_LEAST, BAND_MOST);
        self.high.encode(high) << 6 | self.low.encode(low)
    }
}

impl Default for G722Encoder {
    fn default() -> G722Encoder {
        G722Encoder::new()
    }
}

impl Encoder for G722Encoder {
    fn sample_rate(&self) -> SampleRate {
        SampleRate::HZ_16000
    }

    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Result<usize, CodecError> {
        let needed = (pcm.len() + usize::from(self.waiting.is_some())) / 2;
        let out = out.get_mut(..needed).ok_or(CodecError::BufferTooSmall { needed })?;
        let mut codes = out.iter_mut();
        let mut pcm = pcm;
        if let (Some(first), [second, rest @ ..]) = (self.waiting, pcm)
            && let Some(code) = codes.next()
        {
            *code = self.pair(first, *second);
            self.waiting = None;
            pcm = rest;
        }
        let (pairs, rest) = pcm.as_chunks::<2>();
        for (code, &[first, second]) in codes.zip(pairs) {
            *code = self.pair(first, second);
        }
        self.waiting = rest.first().copied().or(self.waiting);
        Ok(needed)
    }
}

/// Decoder of bytes to samples, two each.
#[derive(Debug)]
pub struct G722Decoder {
    window: Window,
    low: Low,
    high: High,
    plc: PitchConceal,
}

impl G722Decoder {
    /// Creates a decoder for one direction of one stream.
    pub fn new() -> G722Decoder {
        let plc = PitchConceal::new(SampleRate::HZ_16000);
        G722Decoder { window: Window::default(), low: Low::new(), high: High::new(), plc }
    }

    #[inline]
    fn pair(&mut self, code: u8) -> [i16; 2] {
        let low = self.low.decode(code & 0x3f).clamp(BAND_LEAST, BAND_MOST);
        let high = self.high.decode(code >> 6).clamp(BAND_LEAST, BAND_MOST);
        let (forth, back) = self.window.push(low + high, low - high);
        [back, forth].map(|sum| (sum >> 11).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16)
    }
}

impl Default for G722Decoder {
    fn default() -> G722Decoder {
        G722Decoder::new()
    }
}

impl Decoder for G722Decoder {
    fn sample_rate(&self) -> SampleRate {
        SampleRate::HZ_16000
    }

    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, CodecError> {
        let needed = payload.len() * 2;
        let out = out.get_mut(..needed).ok_or(CodecError::BufferTooSmall { needed })?;
        for (samples, &code) in out.as_chunks_mut::<2>().0.iter_mut().zip(payload) {
            *samples = self.pair(code);
        }
        self.plc.good(out);
        Ok(needed)
    }

    fn conceal(&mut self, out: &mut [i16]) {
        self.plc.conceal(out);
    }

    fn recover(&mut self, _next_payload: &[u8], _out: &mut [i16]) -> bool {
        false
    }
}

/// Fuzz target of the payload decoder.
#[doc(hidden)]
pub mod fuzz {
    use super::G722Decoder;
    use crate::Decoder;

    /// Decodes and conceals with lengths taken from `bytes`.
    pub fn fuzz_g722(bytes: &[u8]) {
        let mut decoder = G722Decoder::new();
        let mut out = [0; 640];
        for payload in bytes.split(|&byte| byte == 0xa5) {
            assert_eq!(decoder.decode(payload, &mut out).is_ok(), payload.len() <= 320);
            decoder.conceal(&mut out[..payload.len().min(640)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tones::{Sine, goertzel_dbfs, level_dbfs};

    const RATE: SampleRate = SampleRate::HZ_16000;

    /// Returns noise of two colours and a square wave, from soft to loud, in integer arithmetic so that every machine gets the same.
    fn mixture(count: usize) -> Vec<i16> {
        let (mut random, mut dull) = (1_u32, 0_i32);
        (0..count as i32)
            .map(|n| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let noise = (random as i32) >> 17;
                dull += (noise - dull) / 8;
                let square = if n / 37 % 2 == 0 { 8_000 } else { -8_000 };
                let mixed = [dull, noise / 2, square + noise / 50, dull / 2 + square / 4][(n / 4_000 % 4) as usize];
                (mixed >> (n / 16_000 % 5 * 2)) as i16
            })
            .collect()
    }

    fn fnv(bytes: impl IntoIterator<Item = u8>) -> u64 {
        bytes
            .into_iter()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }

    fn encoded(pcm: &[i16]) -> Vec<u8> {
        let mut codes = vec![0; pcm.len() / 2];
        assert_eq!(G722Encoder::new().encode(pcm, &mut codes), Ok(pcm.len() / 2));
        codes
    }

    fn decoded(codes: &[u8]) -> Vec<i16> {
        let mut pcm = vec![0; codes.len() * 2];
        assert_eq!(G722Decoder::new().decode(codes, &mut pcm), Ok(codes.len() * 2));
        pcm
    }

    /// The hashes were taken when encoder and decoder agreed bit for bit with an independent implementation, for these
    /// and for ten seconds of louder signals.
    #[test]
    fn codes_and_samples_equal_those_of_an_independent_implementation() {
        let codes = encoded(&mixture(160_000));
        assert_eq!(fnv(codes.iter().copied()), 0x603b_7890_a61d_c045);
        let samples = decoded(&codes);
        assert_eq!(fnv(samples.iter().flat_map(|sample| sample.to_le_bytes())), 0x8e89_0b80_37cc_abb9);
    }

    #[test]
    fn a_voice_band_tone_comes_back_with_little_noise() {
        for hz in [300.0, 1_000.0, 3_000.0, 6_000.0] {
            let mut pcm = vec![0; 16_000];
            Sine::new(RATE, hz, -12.0).fill(&mut pcm);
            let heard = decoded(&encoded(&pcm));
            // The first quarter of a second adapts; the rest has whole periods.
            let heard = &heard[4_000..12_000];
            let (tone, all) = (goertzel_dbfs(heard, RATE, hz), level_dbfs(heard));
            let noise = 10.0 * (10_f32.powf(all / 10.0) - 10_f32.powf(tone / 10.0)).max(1e-12).log10();
            assert!((tone + 12.0).abs() < 0.5, "{hz} Hz: {tone} dBFS");
            let least = if hz < 4_000.0 { 25.0 } else { 12.0 };
            assert!(tone - noise > least, "{hz} Hz: {} dB", tone - noise);
        }
    }

    /// Checks that the two filters together delay by 22 samples.
    #[test]
    fn the_delay_is_22_samples() {
        let pcm = mixture(3_000);
        let heard = decoded(&encoded(&pcm));
        let error = |delay: usize| -> f64 {
            pcm.iter().zip(&heard[delay..]).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum()
        };
        let best = (0..60).min_by(|&a, &b| error(a).total_cmp(&error(b)));
        assert_eq!(best, Some(22));
    }

    #[test]
    fn frames_of_any_length_give_the_same_codes() {
        let pcm = mixture(6_000);
        let whole = encoded(&pcm);
        let (mut encoder, mut pieces) = (G722Encoder::new(), Vec::new());
        for piece in pcm.chunks(77) {
            let mut codes = [0; 40];
            let count = encoder.encode(piece, &mut codes).unwrap();
            pieces.extend_from_slice(&codes[..count]);
        }
        assert_eq!(whole, pieces);
    }

    #[test]
    fn short_buffers_are_refused_with_the_length_needed() {
        let mut encoder = G722Encoder::new();
        assert_eq!(encoder.encode(&[0; 320], &mut [0; 159]), Err(CodecError::BufferTooSmall { needed: 160 }));
        let mut decoder = G722Decoder::new();
        assert_eq!(decoder.decode(&[0; 160], &mut [0; 319]), Err(CodecError::BufferTooSmall { needed: 320 }));
    }

    #[test]
    fn loudest_samples_do_not_overflow() {
        let square: Vec<i16> = (0..32_000).map(|n| if n / 9 % 2 == 0 { i16::MAX } else { i16::MIN }).collect();
        let heard = decoded(&encoded(&square));
        assert!(level_dbfs(&heard) > -3.0);
    }

    #[test]
    fn a_lost_frame_is_filled_from_the_voice_before_it() {
        let mut pcm = vec![0; 1_600];
        Sine::new(RATE, 200.0, -12.0).fill(&mut pcm);
        let mut decoder = G722Decoder::new();
        decoder.decode(&encoded(&pcm), &mut [0; 1_600]).unwrap();
        let mut gap = [0; 320];
        decoder.conceal(&mut gap);
        assert!(level_dbfs(&gap) > -15.0, "{}", level_dbfs(&gap));
    }
}
