//! The audio format that offer and answer agreed on for a leg.

use crate::sdp::{Codec, ComfortNoiseFormat, TelephoneEventFormat};
use crate::units::{ClockRate, Ptime, SampleRate};

/// Longest payload that is played, in bytes: 60 ms of Opus at its highest rate in one packet of the usual MTU.
const MAX_PAYLOAD: usize = 1_460;

/// Negotiated format, for either transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) codec: Codec,
    pub(crate) payload_type: u8,
    pub(crate) receive_payload_type: u8,
    pub(crate) event: Option<TelephoneEventFormat>,
    pub(crate) noise: Option<ComfortNoiseFormat>,
    /// The far end prefers not to be sent silence.
    pub(crate) dtx: bool,
    pub(crate) ptime: Ptime,
    /// Whether we may send.
    pub(crate) sends: bool,
    /// Whether the far end may send.
    pub(crate) receives: bool,
}

impl Format {
    /// Whether the codec supports several sample rates.
    pub(crate) fn has_free_rate(&self) -> bool {
        self.codec == Codec::Opus
    }

    /// Returns the codec's own sample rate.
    pub(crate) fn codec_rate(&self) -> SampleRate {
        self.codec.sample_rate()
    }

    pub(crate) fn clock(&self) -> ClockRate {
        self.codec.clock()
    }

    /// Returns 20 ms in RTP clock ticks.
    pub(crate) fn tick(&self) -> u32 {
        self.clock().0 / 50
    }

    /// Returns the length of the longest payload that can wait for playout, and the number of bytes for all that wait.
    pub(super) fn waiting_bytes(&self) -> (usize, usize) {
        match self.codec {
            // 64 kbit/s: packets of 120 ms, 1.28 s in all.
            Codec::Pcmu | Codec::Pcma | Codec::G722 => (960, 10_240),
            // 640 ms of whole packets.
            Codec::L16 { rate } => (MAX_PAYLOAD, rate.samples_in_ms(640) * 2),
            // 3 s at 64 kbit/s, 400 ms at the highest rate there is.
            Codec::Opus => (MAX_PAYLOAD, 25_600),
        }
    }

    /// Returns the duration of a payload in RTP clock ticks; `None` for an empty or malformed one.
    pub(crate) fn ticks_of(&self, payload: &[u8]) -> Option<u32> {
        match self.codec {
            Codec::Pcmu | Codec::Pcma | Codec::G722 => u32::try_from(payload.len()).ok(),
            Codec::L16 { .. } => u32::try_from(payload.len() / 2).ok(),
            Codec::Opus => opus_ticks(payload),
        }
    }
}

/// Returns the duration of an Opus packet in RTP clock ticks: its frames times their length (RFC 6716 section 3.1).
fn opus_ticks(payload: &[u8]) -> Option<u32> {
    let &head = payload.first()?;
    let frame = match head >> 3 {
        config @ 0..12 => [480, 960, 1_920, 2_880][usize::from(config & 3)],
        config @ 12..16 => [480, 960][usize::from(config & 1)],
        config => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let frames = match head & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(payload.get(1)? & 0x3f),
    };
    Some(frame * frames).filter(|ticks| (1..=5_760).contains(ticks))
}
