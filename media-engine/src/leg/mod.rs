//! One media leg: RTP, plain or with SDES keys, or WebRTC. Never two legs: what joins them is elsewhere.

use codecs::g711::{AlawCodec, UlawCodec};
use codecs::g722::{G722Decoder, G722Encoder};
use codecs::l16::L16Codec;
use codecs::opus::{OpusDecoder, OpusEncoder, OpusSettings};
use codecs::{CodecError, Decoder, Encoder};

use crate::sdp::Codec;
use crate::units::SampleRate;

pub mod flow;
mod latch;
pub mod rtp;
pub mod webrtc;

pub use webrtc::LegError;

/// A decoder that gives samples at `rate`; only Opus can choose, the others give their own rate.
///
/// # Errors
/// The codec library has no memory.
pub fn make_decoder(codec: Codec, rate: SampleRate) -> Result<Box<dyn Decoder>, CodecError> {
    Ok(match codec {
        Codec::Pcmu => Box::new(UlawCodec::new()),
        Codec::Pcma => Box::new(AlawCodec::new()),
        Codec::G722 => Box::new(G722Decoder::new()),
        Codec::L16 { rate } => Box::new(L16Codec::new(rate)),
        Codec::Opus => Box::new(OpusDecoder::new(rate)?),
    })
}

/// An encoder that takes samples at `rate`; only Opus can choose (8 kHz: narrowband, at half the cost), the others take their own.
/// `opus` is for Opus alone.
///
/// # Errors
/// The codec library has no memory.
pub fn make_encoder(codec: Codec, rate: SampleRate, opus: OpusSettings) -> Result<Box<dyn Encoder>, CodecError> {
    Ok(match codec {
        Codec::Pcmu => Box::new(UlawCodec::new()),
        Codec::Pcma => Box::new(AlawCodec::new()),
        Codec::G722 => Box::new(G722Encoder::new()),
        Codec::L16 { rate } => Box::new(L16Codec::new(rate)),
        Codec::Opus => Box::new(OpusEncoder::new(rate, opus)?),
    })
}
