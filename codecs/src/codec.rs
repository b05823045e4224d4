//! What every voice codec can do, into buffers that the caller owns.
//!
//! Implementations keep their state between calls (prediction, concealment), so one instance belongs to one direction
//! of one stream. They do not allocate after construction.
//!
//! Not here: which codec a call uses (offer/answer), RTP clocks, packets.

use crate::SampleRate;

/// Why a codec call failed. All are *drop and count*: the instance stays usable for the next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The payload is not one of this codec: drop the packet and conceal.
    #[error("malformed payload")]
    Malformed,
    /// The output buffer is too short.
    #[error("output buffer too small, {needed} needed")]
    BufferTooSmall {
        /// Length that would have sufficed: bytes when encoding, samples when decoding.
        needed: usize,
    },
    /// The codec library refused, with its own words: wrong frame length when encoding, or a fault of its own.
    #[error("codec library: {0}")]
    Library(&'static str),
}

/// Samples in, payload out.
pub trait Encoder: Send {
    /// Rate of the samples that [`encode`](Encoder::encode) takes.
    fn sample_rate(&self) -> SampleRate;

    /// Encodes one frame: `pcm` is ptime × rate samples, mono. Returns the bytes written to the front of `out`.
    ///
    /// # Errors
    /// [`CodecError::BufferTooSmall`] when `out` cannot hold the payload; [`CodecError::Library`] for a frame length
    /// that the codec does not have (Opus: 2.5, 5, 10, 20, 40 or 60 ms). Nothing is to be sent then.
    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Result<usize, CodecError>;

    /// How hard to work from the next frame on: 0 (least) to 10 (best); more counts as 10. For codecs that have no
    /// choice this does nothing.
    fn set_complexity(&mut self, _complexity: u8) {}

    /// What share of packets the peer says it loses: 0 to 100 percent; more counts as 100. Codecs that carry redundancy
    /// weigh it by this, for others this does nothing.
    fn expect_loss(&mut self, _percent: u8) {}
}

/// Payload in, samples out; and something in place of payloads that never came.
pub trait Decoder: Send {
    /// Rate of the samples that this decoder writes.
    fn sample_rate(&self) -> SampleRate;

    /// Decodes one payload. Returns the samples written to the front of `out`.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] for bytes that are no payload of this codec, [`CodecError::BufferTooSmall`] with the
    /// length it takes. The state is unchanged in either case: treat the packet as lost, or come back with more room.
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, CodecError>;

    /// Fills all of `out` in place of one lost stretch that follows what was decoded or concealed last. Repeated calls
    /// fade to silence. Silence before anything was decoded.
    fn conceal(&mut self, out: &mut [i16]);

    /// Fills all of `out` with the lost stretch that ends where `next_payload` begins, from redundancy carried inside
    /// `next_payload` (Opus in-band FEC). Call it once, before `next_payload` itself is decoded.
    ///
    /// `false`: nothing is in there, `out` and the state are unchanged, use [`conceal`](Decoder::conceal).
    fn recover(&mut self, next_payload: &[u8], out: &mut [i16]) -> bool;

    /// Whether [`recover`](Decoder::recover) would find something in `next_payload`: then it is worth waiting for it.
    fn has_copy(&self, _next_payload: &[u8]) -> bool {
        false
    }
}
