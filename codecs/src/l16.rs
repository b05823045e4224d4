//! L16: uncompressed 16-bit samples in network byte order (RFC 3551 §4.5.11), mono.
//!
//! Lost payloads are concealed by [`PitchConceal`].

use crate::plc::PitchConceal;
use crate::{CodecError, Decoder, Encoder, SampleRate};

/// Codec for linear samples, most significant byte first, at any rate of the live path.
#[derive(Debug)]
pub struct L16Codec {
    rate: SampleRate,
    plc: PitchConceal,
}

impl L16Codec {
    /// Creates a codec for one direction of one stream at `rate`.
    pub fn new(rate: SampleRate) -> L16Codec {
        L16Codec { rate, plc: PitchConceal::new(rate) }
    }
}

impl Encoder for L16Codec {
    fn sample_rate(&self) -> SampleRate {
        self.rate
    }

    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Result<usize, CodecError> {
        let needed = pcm.len() * 2;
        let out = out.get_mut(..needed).ok_or(CodecError::BufferTooSmall { needed })?;
        for (bytes, &sample) in out.chunks_exact_mut(2).zip(pcm) {
            bytes.copy_from_slice(&sample.to_be_bytes());
        }
        Ok(needed)
    }
}

impl Decoder for L16Codec {
    fn sample_rate(&self) -> SampleRate {
        self.rate
    }

    /// Decodes one payload. An odd number of bytes is malformed, because either end may have been cut.
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, CodecError> {
        let (pairs, rest) = payload.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(CodecError::Malformed);
        }
        let needed = pairs.len();
        let out = out.get_mut(..needed).ok_or(CodecError::BufferTooSmall { needed })?;
        for (sample, &pair) in out.iter_mut().zip(pairs) {
            *sample = i16::from_be_bytes(pair);
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
    use super::L16Codec;
    use crate::{CodecError, Decoder, SampleRate};

    /// Decodes and conceals with lengths taken from `bytes`.
    pub fn fuzz_l16(bytes: &[u8]) {
        let mut codec = L16Codec::new(SampleRate::HZ_16000);
        let mut out = [0; 320];
        for payload in bytes.split(|&byte| byte == 0xa5) {
            match codec.decode(payload, &mut out) {
                Ok(samples) => assert_eq!(samples * 2, payload.len()),
                Err(CodecError::Malformed) => assert_eq!(payload.len() % 2, 1),
                Err(CodecError::BufferTooSmall { needed }) => assert!(needed > out.len()),
                Err(CodecError::Library(why)) => panic!("no library here: {why}"),
            }
            codec.conceal(&mut out[..payload.len().min(320)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_in_network_order() {
        let mut codec = L16Codec::new(SampleRate::HZ_16000);
        let mut payload = [0; 4];
        assert_eq!(codec.encode(&[0x1234, -2], &mut payload), Ok(4));
        assert_eq!(payload, [0x12, 0x34, 0xff, 0xfe]);
        let mut pcm = [0; 2];
        assert_eq!(codec.decode(&payload, &mut pcm), Ok(2));
        assert_eq!(pcm, [0x1234, -2]);
    }

    #[test]
    fn half_a_sample_is_malformed() {
        let mut codec = L16Codec::new(SampleRate::HZ_8000);
        assert_eq!(codec.decode(&[1, 2, 3], &mut [0; 4]), Err(CodecError::Malformed));
    }

    #[test]
    fn short_buffers_are_refused_with_the_length_needed() {
        let mut codec = L16Codec::new(SampleRate::HZ_8000);
        assert_eq!(codec.encode(&[0; 3], &mut [0; 5]), Err(CodecError::BufferTooSmall { needed: 6 }));
        assert_eq!(codec.decode(&[0; 6], &mut [0; 2]), Err(CodecError::BufferTooSmall { needed: 3 }));
    }
}
