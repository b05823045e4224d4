//! The codecs of RTP legs, and their names and parameters in descriptions.

use super::RtpMap;
use crate::units::{ClockRate, Ptime, SampleRate};
use std::time::Duration;

/// Longest payload in bytes that fits into an Ethernet frame.
const MAX_PAYLOAD: usize = 1_440;

/// Codec of the live path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// G.711 µ-law at 8 kHz.
    Pcmu,
    /// G.711 A-law at 8 kHz.
    Pcma,
    /// G.722 at 64 kbit/s: samples at 16 kHz, an RTP clock of 8 kHz (RFC 3551 section 4.5.2).
    G722,
    /// Opus (RFC 7587), mono.
    Opus,
    /// Linear PCM of 16 bits, network byte order, mono (RFC 3551 section 4.5.11).
    L16 {
        /// Audio rate, which is also the RTP clock.
        rate: SampleRate,
    },
}

impl Codec {
    /// Returns the codec that a peer's line describes, if Tandem supports it.
    pub fn of(map: &RtpMap<'_>) -> Option<Codec> {
        let l16 = SampleRate::from_hz(map.clock).map(|rate| Codec::L16 { rate });
        [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus].into_iter().chain(l16).find(|codec| codec.matches(map))
    }

    /// Returns the encoding name used in `rtpmap`.
    pub fn name(self) -> &'static str {
        match self {
            Codec::Pcmu => "PCMU",
            Codec::Pcma => "PCMA",
            Codec::G722 => "G722",
            Codec::Opus => "opus",
            Codec::L16 { .. } => "L16",
        }
    }

    /// Returns the RTP clock.
    pub fn clock(self) -> ClockRate {
        match self {
            Codec::Pcmu | Codec::Pcma | Codec::G722 => ClockRate::HZ_8000,
            Codec::Opus => ClockRate::HZ_48000,
            Codec::L16 { rate } => ClockRate(rate.hz()),
        }
    }

    /// Returns the rate of the decoded audio.
    pub fn sample_rate(self) -> SampleRate {
        match self {
            Codec::Pcmu | Codec::Pcma => SampleRate::HZ_8000,
            Codec::G722 => SampleRate::HZ_16000,
            Codec::Opus => SampleRate::HZ_48000,
            Codec::L16 { rate } => rate,
        }
    }

    /// Returns the payload type that denotes this codec without rtpmap (RFC 3551 section 6).
    pub fn static_payload_type(self) -> Option<u8> {
        match self {
            Codec::Pcmu => Some(0),
            Codec::Pcma => Some(8),
            Codec::G722 => Some(9),
            Codec::Opus | Codec::L16 { .. } => None,
        }
    }

    /// Returns `name/clock` as in rtpmap; Opus always specifies two channels (RFC 7587 section 7).
    pub fn rtpmap(self) -> String {
        let channels = if self == Codec::Opus { "/2" } else { "" };
        format!("{}/{}{channels}", self.name(), self.clock().0)
    }

    /// Returns the format parameters that we send.
    pub(super) fn fmtp(self) -> Option<&'static str> {
        (self == Codec::Opus).then_some("minptime=10;useinbandfec=1")
    }

    /// Returns whether a peer's line describes this codec.
    pub fn matches(self, map: &RtpMap<'_>) -> bool {
        let channels = if self == Codec::Opus { 2 } else { 1 };
        map.name.eq_ignore_ascii_case(self.name()) && map.clock == self.clock().0 && map.channels == channels
    }

    /// Returns the longest packet, not above `asked`, that the codec can produce and a datagram can carry: Opus has frames of 10, 20,
    /// 40 and 60 ms, and L16 may exceed the size of a datagram.
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
