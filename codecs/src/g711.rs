//! G.711: µ-law (PCMU) and A-law (PCMA), 8 kHz, one byte a sample (ITU-T G.711; RTP payload RFC 3551 §4.5.14).
//!
//! Tables are computed at compile time: 256 values to decode, 16 kB (µ-law, 14-bit input) and 4 kB (A-law, 12-bit input) to
//! encode. Decoding and encoding again returns every code unchanged, except µ-law's negative zero (0x7F), which becomes 0xFF.
//!
//! Payloads have no structure, so none is malformed. Lost payloads are concealed by [`PitchConceal`]; there is no redundancy
//! to recover from.

use crate::plc::PitchConceal;
use crate::{CodecError, Decoder, Encoder, SampleRate};

/// Offset of µ-law that makes segment bounds powers of two, on the 14-bit scale.
const ULAW_BIAS: i32 = 33;
/// Largest biased µ-law magnitude, on the 14-bit scale.
const ULAW_CLIP: i32 = 0x1fff;
/// Every second bit of A-law is inverted on the line (G.711 §3).
const ALAW_TOGGLE: u8 = 0x55;

static ULAW_TO_LINEAR: [i16; 256] = table_of_decoded(true);
static ALAW_TO_LINEAR: [i16; 256] = table_of_decoded(false);
/// µ-law codes by the upper 14 bits of the sample.
static LINEAR_TO_ULAW: [u8; 1 << 14] = table_of_ulaw();
/// A-law codes by the upper 12 bits of the sample.
static LINEAR_TO_ALAW: [u8; 1 << 12] = table_of_alaw();

/// A-law code with the nearest sample, by µ-law code. Converts between the two laws without decoding; no state is needed.
pub static ULAW_TO_ALAW: [u8; 256] = table_between(true);
/// µ-law code with the nearest sample, by A-law code.
pub static ALAW_TO_ULAW: [u8; 256] = table_between(false);

/// Returns the µ-law code of one sample.
#[inline]
pub fn ulaw_encode(sample: i16) -> u8 {
    LINEAR_TO_ULAW[usize::from(sample as u16 >> 2)]
}

/// Returns the sample of one µ-law code: −32124 to 32124.
#[inline]
pub fn ulaw_decode(code: u8) -> i16 {
    ULAW_TO_LINEAR[usize::from(code)]
}

/// Returns the A-law code of one sample.
#[inline]
pub fn alaw_encode(sample: i16) -> u8 {
    LINEAR_TO_ALAW[usize::from(sample as u16 >> 4)]
}

/// Returns the sample of one A-law code: −32256 to 32256.
#[inline]
pub fn alaw_decode(code: u8) -> i16 {
    ALAW_TO_LINEAR[usize::from(code)]
}

macro_rules! g711_codec {
    ($(#[$doc:meta])* $name:ident, $encode:ident, $decode:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            plc: PitchConceal,
        }

        impl $name {
            /// Creates a codec for one direction of one stream.
            pub fn new() -> $name {
                $name { plc: PitchConceal::new(SampleRate::HZ_8000) }
            }
        }

        impl Default for $name {
            fn default() -> $name {
                $name::new()
            }
        }

        impl Encoder for $name {
            fn sample_rate(&self) -> SampleRate {
                SampleRate::HZ_8000
            }

            fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Result<usize, CodecError> {
                let out = out.get_mut(..pcm.len()).ok_or(CodecError::BufferTooSmall { needed: pcm.len() })?;
                for (code, &sample) in out.iter_mut().zip(pcm) {
                    *code = $encode(sample);
                }
                Ok(pcm.len())
            }
        }

        impl Decoder for $name {
            fn sample_rate(&self) -> SampleRate {
                SampleRate::HZ_8000
            }

            fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, CodecError> {
                let needed = payload.len();
                let out = out.get_mut(..needed).ok_or(CodecError::BufferTooSmall { needed })?;
                for (sample, &code) in out.iter_mut().zip(payload) {
                    *sample = $decode(code);
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
    };
}

g711_codec!(
    /// PCMU, static payload type 0. Conceals gaps by pitch repetition.
    UlawCodec, ulaw_encode, ulaw_decode
);
g711_codec!(
    /// PCMA, static payload type 8. Conceals gaps by pitch repetition.
    AlawCodec, alaw_encode, alaw_decode
);

const fn table_of_decoded(ulaw: bool) -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < table.len() {
        table[code] = if ulaw { ulaw_expand(code as u8) } else { alaw_expand(code as u8) };
        code += 1;
    }
    table
}

const fn table_of_ulaw() -> [u8; 1 << 14] {
    let mut table = [0; 1 << 14];
    let mut index = 0;
    while index < table.len() {
        table[index] = ulaw_compress(((index << 2) as u16) as i16);
        index += 1;
    }
    table
}

const fn table_of_alaw() -> [u8; 1 << 12] {
    let mut table = [0; 1 << 12];
    let mut index = 0;
    while index < table.len() {
        table[index] = alaw_compress(((index << 4) as u16) as i16);
        index += 1;
    }
    table
}

const fn table_between(from_ulaw: bool) -> [u8; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < table.len() {
        table[code] =
            if from_ulaw { alaw_compress(ulaw_expand(code as u8)) } else { ulaw_compress(alaw_expand(code as u8)) };
        code += 1;
    }
    table
}

/// Expands a code: sign, three bits of segment, four of step; all inverted on the line (G.711 table 2).
const fn ulaw_expand(code: u8) -> i16 {
    let code = !code;
    let segment = (code >> 4) & 7;
    let magnitude = ((((code & 15) as i32) * 2 + ULAW_BIAS) << segment) - ULAW_BIAS;
    let sample = (magnitude * 4) as i16;
    if code & 0x80 != 0 { -sample } else { sample }
}

const fn ulaw_compress(sample: i16) -> u8 {
    // One's complement mirrors the negative half exactly, as the 14-bit scale has no zero in its middle.
    let magnitude = (if sample < 0 { !sample } else { sample } >> 2) as i32 + ULAW_BIAS;
    let magnitude = if magnitude > ULAW_CLIP { ULAW_CLIP } else { magnitude };
    // Biased magnitudes have their top bit at 5 to 12: the segment.
    let segment = (magnitude.ilog2() - 5) as u8;
    let step = ((magnitude >> (segment + 1)) & 15) as u8;
    let sign = if sample < 0 { 0x80 } else { 0 };
    !(sign | segment << 4 | step)
}

/// Expands a code: sign (set: positive), three bits of segment, four of step; the two lowest segments share one step (G.711
/// table 1).
const fn alaw_expand(code: u8) -> i16 {
    let code = code ^ ALAW_TOGGLE;
    let segment = (code >> 4) & 7;
    let step = ((code & 15) as i16) << 4;
    let magnitude = if segment == 0 { step + 8 } else { (step + 0x108) << (segment - 1) };
    if code & 0x80 != 0 { magnitude } else { -magnitude }
}

const fn alaw_compress(sample: i16) -> u8 {
    let magnitude = (if sample < 0 { !sample } else { sample } >> 4) as u16;
    let code = if magnitude < 16 {
        magnitude as u8
    } else {
        let segment = (magnitude.ilog2() - 3) as u8;
        segment << 4 | ((magnitude >> (segment - 1)) & 15) as u8
    };
    let sign = if sample < 0 { 0 } else { 0x80 };
    (sign | code) ^ ALAW_TOGGLE
}

/// Fuzz target of the payload decoders.
#[doc(hidden)]
pub mod fuzz {
    use super::{AlawCodec, UlawCodec};
    use crate::Decoder;

    /// Decodes, conceals and decodes again with lengths taken from `bytes`.
    pub fn fuzz_g711(bytes: &[u8]) {
        let mut out = [0; 480];
        let decoders: [&mut dyn Decoder; 2] = [&mut UlawCodec::new(), &mut AlawCodec::new()];
        for decoder in decoders {
            for payload in bytes.split(|&byte| byte == 0xa5) {
                let decoded = decoder.decode(payload, &mut out);
                assert_eq!(decoded.is_ok(), payload.len() <= out.len());
                decoder.conceal(&mut out[..payload.len().min(480)]);
                assert!(!decoder.recover(payload, &mut out));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// End points of both laws (G.711 tables 1a–2b, on the 16-bit scale).
    #[test]
    fn known_codes_decode_to_the_values_of_the_standard() {
        for (code, sample) in [
            (0x00, -32124),
            (0x80, 32124),
            (0xff, 0),
            (0x7f, 0),
            (0xfe, 8),
            (0x7e, -8),
            (0xef, 132),
            (0xdf, 396),
            (0x0f, -16764),
        ] {
            assert_eq!(ulaw_decode(code), sample, "µ-law {code:#x}");
        }
        for (code, sample) in
            [(0xd5, 8), (0x55, -8), (0xaa, 32256), (0x2a, -32256), (0xd4, 24), (0xc5, 264), (0xf5, 528), (0x95, 2112)]
        {
            assert_eq!(alaw_decode(code), sample, "A-law {code:#x}");
        }
    }

    #[test]
    fn every_code_survives_a_round_trip() {
        for code in 0..=255 {
            let expected = if code == 0x7f { 0xff } else { code };
            assert_eq!(ulaw_encode(ulaw_decode(code)), expected);
            assert_eq!(alaw_encode(alaw_decode(code)), code);
        }
    }

    #[test]
    fn direct_conversion_between_the_laws_equals_decoding_and_encoding() {
        for code in 0..=255 {
            assert_eq!(ULAW_TO_ALAW[usize::from(code)], alaw_encode(ulaw_decode(code)));
            assert_eq!(ALAW_TO_ULAW[usize::from(code)], ulaw_encode(alaw_decode(code)));
        }
    }

    #[test]
    fn no_sample_is_further_from_its_level_than_half_a_step() {
        // Plus one quantum of the law's own input scale: 14 bits for µ-law, 12 for A-law (plus their sign).
        for (encode, decode, quantum) in [
            (ulaw_encode as fn(i16) -> u8, ulaw_decode as fn(u8) -> i16, 4),
            (alaw_encode as fn(i16) -> u8, alaw_decode as fn(u8) -> i16, 16),
        ] {
            let mut levels: Vec<i32> = (0..=255).map(|code| i32::from(decode(code))).collect();
            levels.sort_unstable();
            levels.dedup();
            for sample in i16::MIN..=i16::MAX {
                let level = i32::from(decode(encode(sample)));
                let at = levels.binary_search(&level).unwrap();
                let around = &levels[at.saturating_sub(1)..(at + 2).min(levels.len())];
                let step = around.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
                let error = (level - i32::from(sample)).abs();
                let clipped = i32::from(sample).abs() > 32000;
                assert!(error <= step / 2 + quantum || clipped && error <= 700, "{sample}: {level}, step {step}");
            }
        }
    }

    #[test]
    fn positive_and_negative_samples_have_mirrored_codes() {
        for sample in 0..=i16::MAX {
            assert_eq!(ulaw_encode(sample) ^ 0x80, ulaw_encode(!sample));
            assert_eq!(alaw_encode(sample) ^ 0x80, alaw_encode(!sample));
        }
    }

    #[test]
    fn short_buffers_are_refused_with_the_length_needed() {
        let mut codec = UlawCodec::new();
        assert_eq!(codec.encode(&[0; 160], &mut [0; 159]), Err(CodecError::BufferTooSmall { needed: 160 }));
        assert_eq!(codec.decode(&[0; 160], &mut [0; 159]), Err(CodecError::BufferTooSmall { needed: 160 }));
    }

    #[test]
    fn lost_frame_is_filled_from_the_voice_before_it() {
        let mut codec = AlawCodec::new();
        let pcm: Vec<i16> = (0..320).map(|n| (9000.0 * (n as f32 * 0.4).sin()) as i16).collect();
        let mut payload = [0; 320];
        assert_eq!(codec.encode(&pcm, &mut payload), Ok(320));
        let mut out = [0; 320];
        assert_eq!(codec.decode(&payload, &mut out), Ok(320));
        let mut gap = [0; 160];
        codec.conceal(&mut gap);
        assert!(gap.iter().any(|&sample| sample.abs() > 4000));
    }
}
