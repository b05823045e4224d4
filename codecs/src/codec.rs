//! Traits that every voice codec implements, writing to buffers that the caller owns.
//!
//! Implementations keep state between calls (prediction, concealment), so one instance belongs to one direction
//! of one stream. They do not allocate after construction.
//!
//! Not here: the choice of a codec for a call (offer/answer), RTP clocks, packets.

use crate::SampleRate;

/// Why a codec call failed. The caller should drop the frame and count it; the instance stays usable for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The payload does not belong to this codec; drop the packet and conceal.
    #[error("malformed payload")]
    Malformed,
    /// The output buffer is too short.
    #[error("output buffer too small, {needed} needed")]
    BufferTooSmall {
        /// Length that is sufficient: bytes when encoding, samples when decoding.
        needed: usize,
    },
    /// The codec library failed, with its own message: a wrong frame length when encoding, or an internal fault.
    #[error("codec library: {0}")]
    Library(&'static str),
}

/// Encodes samples to payloads.
pub trait Encoder: Send {
    /// Returns the rate of the samples that [`encode`](Encoder::encode) takes.
    fn sample_rate(&self) -> SampleRate;

    /// Encodes one frame: `pcm` is ptime × rate samples, mono. Returns the bytes written to the front of `out`.
    ///
    /// # Errors
    /// [`CodecError::BufferTooSmall`] when `out` cannot hold the payload; [`CodecError::Library`] for a frame length
    /// that the codec does not support (Opus: 2.5, 5, 10, 20, 40 or 60 ms). Nothing is to be sent then.
    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Result<usize, CodecError>;

    /// Sets the encoding effort from the next frame on: 0 (least) to 10 (best); higher values count as 10. Does nothing for
    /// codecs without such a setting.
    fn set_complexity(&mut self, _complexity: u8) {}

    /// Sets the share of packets that the peer reports as lost: 0 to 100 percent; higher values count as 100. Codecs that
    /// carry redundancy weigh it by this share; for others this does nothing.
    fn expect_loss(&mut self, _percent: u8) {}
}

/// Decodes payloads to samples, and conceals payloads that were lost.
pub trait Decoder: Send {
    /// Returns the rate of the samples that this decoder writes.
    fn sample_rate(&self) -> SampleRate;

    /// Decodes one payload. Returns the samples written to the front of `out`.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] for bytes that are not a payload of this codec; [`CodecError::BufferTooSmall`] with the
    /// required length. The state is unchanged in either case: treat the packet as lost, or retry with a larger buffer.
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, CodecError>;

    /// Fills all of `out` in place of one lost stretch that follows the samples decoded or concealed last. Repeated calls
    /// fade to silence. Writes silence before anything was decoded.
    fn conceal(&mut self, out: &mut [i16]);

    /// Fills all of `out` with the lost stretch that ends where `next_payload` begins, from redundancy carried inside
    /// `next_payload` (Opus in-band FEC). Call it once, before `next_payload` itself is decoded.
    ///
    /// Returns `false` if there is no redundancy; `out` and the state are then unchanged, and the caller should use
    /// [`conceal`](Decoder::conceal).
    fn recover(&mut self, next_payload: &[u8], out: &mut [i16]) -> bool;

    /// Returns whether [`recover`](Decoder::recover) would find redundancy in `next_payload`, so that it is worth waiting for.
    fn has_copy(&self, _next_payload: &[u8]) -> bool {
        false
    }
}
