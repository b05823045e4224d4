//! What two sides agree on: codec, telephone-event, direction.

use codecs::SampleRate;

use crate::units::ClockRate;

/// A voice codec as SDP names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// Opus, always `opus/48000/2` in SDP (RFC 7587 section 4.1).
    Opus,
    /// Linear PCM, mono, network byte order.
    L16 {
        /// Samples per second, which is also its RTP clock.
        rate: SampleRate,
    },
}

/// Direction of media from our side (RFC 3264 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Both ways.
    SendRecv,
    /// We send only: the other side is held by us.
    SendOnly,
    /// We receive only: we are held.
    RecvOnly,
    /// Neither way.
    Inactive,
}

/// Telephone-events as negotiated (RFC 4733 section 2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TelephoneEventFormat {
    /// To send with.
    pub payload_type: u8,
    /// To expect.
    pub receive_payload_type: u8,
    /// Their RTP clock.
    pub clock: ClockRate,
}
