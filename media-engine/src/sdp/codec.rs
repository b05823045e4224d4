//! The codecs that legs carry, as descriptions name them.

use super::RtpMap;
use crate::units::{ClockRate, Ptime, SampleRate};
use std::time::Duration;

/// What is left of an Ethernet frame for a payload.
const MAX_PAYLOAD: usize = 1_440;

/// A codec of the live path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722 at 64 kbit/s: samples at 16 kHz, an RTP clock of 8 kHz (RFC 3551 section 4.5.2).
    G722,
    /// Opus (RFC 7587), mono.
    Opus,
    /// Linear PCM of 16 bits, network byte order, mono (RFC 3551 section 4.5.11).
    L16 {
        /// Audio rate, which is the RTP clock too.
        rate: SampleRate,
    },
}

impl Codec {
    /// The codec that a peer's line means, if Tandem knows it.
    pub fn of(map: &RtpMap<'_>) -> Option<Codec> {
        let l16 = SampleRate::from_hz(map.clock).map(|rate| Codec::L16 { rate });
        [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus].into_iter().chain(l16).find(|codec| codec.matches(map))
    }

    /// Encoding name of `rtpmap`.
    pub fn name(self) -> &'static str {
        match self {
            Codec::Pcmu => "PCMU",
            Codec::Pcma => "PCMA",
            Codec::G722 => "G722",
            Codec::Opus => "opus",
            Codec::L16 { .. } => "L16",
        }
    }

    /// RTP clock.
    pub fn clock(self) -> ClockRate {
        match self {
            Codec::Pcmu | Codec::Pcma | Codec::G722 => ClockRate::HZ_8000,
            Codec::Opus => ClockRate::HZ_48000,
            Codec::L16 { rate } => ClockRate(rate.hz()),
        }
    }

    /// Rate of the decoded audio.
    pub fn sample_rate(self) -> SampleRate {
        match self {
            Codec::Pcmu | Codec::Pcma => SampleRate::HZ_8000,
            Codec::G722 => SampleRate::HZ_16000,
            Codec::Opus => SampleRate::HZ_48000,
            Codec::L16 { rate } => rate,
        }
    }

    /// Payload type that means this codec without rtpmap (RFC 3551 section 6).
    pub fn static_payload_type(self) -> Option<u8> {
        match self {
            Codec::Pcmu => Some(0),
            Codec::Pcma => Some(8),
            Codec::G722 => Some(9),
            Codec::Opus | Codec::L16 { .. } => None,
        }
    }

    /// `name/clock` as in rtpmap; Opus always says two channels (RFC 7587 section 7).
    pub fn rtpmap(self) -> String {
        let channels = if self == Codec::Opus { "/2" } else { "" };
        format!("{}/{}{channels}", self.name(), self.clock().0)
    }

    /// Format parameters that we send.
    pub(super) fn fmtp(self) -> Option<&'static str> {
        (self == Codec::Opus).then_some("minptime=10;useinbandfec=1")
    }

    /// Whether a peer's line means this codec.
    pub fn matches(self, map: &RtpMap<'_>) -> bool {
        let channels = if self == Codec::Opus { 2 } else { 1 };
        map.name.eq_ignore_ascii_case(self.name()) && map.clock == self.clock().0 && map.channels == channels
    }

    /// The longest packet not above `asked` that the codec can make and a datagram can carry: Opus has frames of 10, 20, 40 and
    /// 60 ms, L16 may have many bytes.
    pub(super) fn packet_length(self, asked: Ptime) -> Ptime {
        let ms = match (self, asked.0.as_millis() as u64) {
            (Codec::Opus, 30..=39) => 20,
            (Codec::Opus, 50..=59) => 40,
            (Codec::L16 { rate }, asked) => {
                let fits = MAX_PAYLOAD / (rate.samples_in_ms(10) * 2) * 10;
                asked.min((fits as u64).max(10))
            }
            (_, asked) => asked,
        };
        Ptime(Duration::from_millis(ms))
    }
}
