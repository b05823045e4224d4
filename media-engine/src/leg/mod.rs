//! One media leg: RTP, plain or with SDES keys, or WebRTC. Code here never handles two legs; connections between legs
//! are made in `worker`.

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

/// Creates a decoder that yields samples at `rate`. Only Opus supports any rate; the other codecs yield their own.
///
/// # Errors
/// The codec library is out of memory; the leg must end.
pub fn make_decoder(codec: Codec, rate: SampleRate) -> Result<Box<dyn Decoder>, CodecError> {
    Ok(match codec {
        Codec::Pcmu => Box::new(UlawCodec::new()),
        Codec::Pcma => Box::new(AlawCodec::new()),
        Codec::G722 => Box::new(G722Decoder::new()),
        Codec::L16 { rate } => Box::new(L16Codec::new(rate)),
        Codec::Opus => Box::new(OpusDecoder::new(rate)?),
    })
}

/// Creates an encoder that takes samples at `rate`. Only Opus supports any rate (8 kHz: narrowband, at half the cost);
/// the other codecs take their own. `opus` applies to Opus only.
///
/// # Errors
/// The codec library is out of memory; the leg must end.
pub fn make_encoder(codec: Codec, rate: SampleRate, opus: OpusSettings) -> Result<Box<dyn Encoder>, CodecError> {
    Ok(match codec {
        Codec::Pcmu => Box::new(UlawCodec::new()),
        Codec::Pcma => Box::new(AlawCodec::new()),
        Codec::G722 => Box::new(G722Encoder::new()),
        Codec::L16 { rate } => Box::new(L16Codec::new(rate)),
        Codec::Opus => Box::new(OpusEncoder::new(rate, opus)?),
    })
}
