//! The media formats of a browser leg, as this crate and as str0m represent them.
//!
//! Sources: RFC 7587 (Opus), RFC 3551 (G.711), RFC 4733 (telephone-event).

use str0m::format::{Codec as Format, CodecSpec, FormatParams, PayloadParams};
use str0m::media::{Direction as MediaDirection, Frequency};

use super::remote::{ChosenCodec, Remote};
use crate::sdp::{Codec, Direction, TelephoneEventFormat};
use crate::units::ClockRate;

/// Negotiated voice format of a browser leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAudio {
    /// Codec of both directions.
    pub codec: Codec,
    /// Payload type of the codec, the same in both directions.
    pub payload_type: u8,
    /// Telephone-events of the codec's clock, if the browser supports them.
    pub telephone_event: Option<TelephoneEventFormat>,
    /// Our direction: `RecvOnly` and `Inactive` while the browser holds.
    pub direction: Direction,
}

impl PeerAudio {
    /// Combines `remote` and our `direction`.
    pub(super) fn new(remote: &Remote, direction: MediaDirection) -> PeerAudio {
        let clock = if remote.codec.codec == Codec::Opus { ClockRate::HZ_48000 } else { ClockRate::HZ_8000 };
        PeerAudio {
            codec: remote.codec.codec,
            payload_type: remote.codec.payload_type,
            telephone_event: remote.telephone_event.map(|payload_type| TelephoneEventFormat {
                payload_type,
                receive_payload_type: payload_type,
                clock,
            }),
            direction: match direction {
                MediaDirection::SendRecv => Direction::SendRecv,
                MediaDirection::SendOnly => Direction::SendOnly,
                MediaDirection::RecvOnly => Direction::RecvOnly,
                MediaDirection::Inactive => Direction::Inactive,
            },
        }
    }

    /// Returns the clock of the codec's RTP timestamps.
    pub fn clock(&self) -> ClockRate {
        if self.codec == Codec::Opus { ClockRate::HZ_48000 } else { ClockRate::HZ_8000 }
    }
}

pub(super) fn clock_of(codec: Codec) -> Frequency {
    if codec == Codec::Opus { Frequency::FORTY_EIGHT_KHZ } else { Frequency::EIGHT_KHZ }
}

pub(super) fn voice_format(ChosenCodec { codec, payload_type }: ChosenCodec) -> PayloadParams {
    let (format, channels) = match codec {
        Codec::Opus => (Format::Opus, Some(2)),
        Codec::Pcma => (Format::PCMA, None),
        // The remote description admits no other codec.
        _ => (Format::PCMU, None),
    };
    let parameters = match codec {
        Codec::Opus => FormatParams { min_p_time: Some(10), use_inband_fec: Some(true), ..FormatParams::default() },
        _ => FormatParams::default(),
    };
    payload(payload_type, CodecSpec { codec: format, clock_rate: clock_of(codec), channels, format: parameters })
}

pub(super) fn event_format(payload_type: u8, clock_rate: Frequency) -> PayloadParams {
    // 0-9, *, #, A-D; without the flash of event 16.
    let format = FormatParams { telephone_event_max: Some(15), ..FormatParams::default() };
    payload(payload_type, CodecSpec { codec: Format::Tele, clock_rate, channels: None, format })
}

fn payload(payload_type: u8, spec: CodecSpec) -> PayloadParams {
    let mut params = PayloadParams::new(payload_type.into(), None, spec);
    // One voice stream needs no transport-wide congestion control; its feedback would double our packets.
    params.set_fb_transport_cc(false);
    params
}
