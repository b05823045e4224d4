//! Newtypes that carry units and identities.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use codecs::SampleRate;

/// Identity of a call: a UUID, made by whoever creates the call (control plane or engine).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u128);

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a hyphenated UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a call id is a UUID such as 0190f3c4-7a1b-7c2d-8e3f-0123456789ab")]
pub struct BadCallId;

impl FromStr for CallId {
    type Err = BadCallId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = text.as_bytes();
        if bytes.len() != 36 || [8, 13, 18, 23].iter().any(|&at| bytes[at] != b'-') {
            return Err(BadCallId);
        }
        let hex: String = text.split('-').collect();
        if hex.len() != 32 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(BadCallId);
        }
        u128::from_str_radix(&hex, 16).map(CallId).map_err(|_| BadCallId)
    }
}

/// Identity of a leg: unique in the process, never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LegId(pub u64);

impl fmt::Display for LegId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "leg-{}", self.0)
    }
}

impl fmt::Debug for LegId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Identity of a conference on one worker: made by whoever opens it, unique in the process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConferenceId(pub u64);

impl fmt::Display for ConferenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conference-{}", self.0)
    }
}

impl fmt::Debug for ConferenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// RTP clock in ticks per second. Not the audio rate: G.722 samples at 16 kHz and clocks at 8 kHz
/// (RFC 3551 section 4.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClockRate(pub u32);

impl ClockRate {
    /// 8 kHz: G.711, G.722 and narrowband telephone-events.
    pub const HZ_8000: ClockRate = ClockRate(8_000);
    /// 48 kHz: Opus, always (RFC 7587 section 4.1).
    pub const HZ_48000: ClockRate = ClockRate(48_000);

    /// Ticks in `span`, rounded down.
    pub fn ticks(self, span: Duration) -> u64 {
        (span.as_nanos() * u128::from(self.0) / 1_000_000_000) as u64
    }
}

/// Length of audio in one packet. Serialised in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Ptime(pub Duration);

impl TryFrom<u64> for Ptime {
    type Error = BadPtime;

    fn try_from(us: u64) -> Result<Ptime, BadPtime> {
        PTIME_US.contains(&us).then_some(Ptime(Duration::from_micros(us))).ok_or(BadPtime)
    }
}

impl From<Ptime> for u64 {
    fn from(ptime: Ptime) -> u64 {
        ptime.0.as_micros() as u64
    }
}

/// Lengths of packets that can be agreed on, microseconds.
const PTIME_US: std::ops::RangeInclusive<u64> = 1_000..=120_000;

/// The length is one that nobody agrees on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a packet length of 1000 to 120000 microseconds")]
pub struct BadPtime;

impl Ptime {
    /// The field's default: 20 ms.
    pub const MS_20: Ptime = Ptime(Duration::from_millis(20));

    /// Samples of one packet at `rate`.
    pub fn samples(self, rate: SampleRate) -> usize {
        (self.0.as_micros() as u64 * u64::from(rate.hz()) / 1_000_000) as usize
    }
}

/// Whose a user or a call is, told by the control plane: only those of one group reach one another. Opaque here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group(pub u128);

/// A phone number or SIP user fit for a log: of a long number its beginning and its end (`+1555•••0142`), so that calls can be
/// told apart, of anything else the last two characters.
pub fn mask(text: &str) -> String {
    let is_number = text.strip_prefix('+').is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    if is_number && text.len() >= NUMBER_SHOWN {
        return format!("{}•••{}", &text[..5], &text[text.len() - 4..]);
    }
    let count = text.chars().count();
    if count <= 2 {
        return "•••".into();
    }
    let tail: String = text.chars().skip(count - 2).collect();
    format!("•••{tail}")
}

/// Shortest number, with its `+`, of which both ends are shown: at least two digits are hidden.
const NUMBER_SHOWN: usize = 11;

/// One base instant for tests of pure modules, which are passed time and never read it.
#[cfg(test)]
#[allow(clippy::disallowed_methods)]
pub(crate) fn test_epoch() -> std::time::Instant {
    std::time::Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_id_survives_text_and_back() {
        let id = CallId(0x0190_f3c4_7a1b_7c2d_8e3f_0123_4567_89ab);
        assert_eq!(id.to_string(), "0190f3c4-7a1b-7c2d-8e3f-0123456789ab");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn malformed_call_ids_are_refused() {
        for bad in ["", "0190f3c4", "0190f3c47a1b-7c2d-8e3f-0123456789ab-", "+190f3c4-7a1b-7c2d-8e3f-0123456789ab"] {
            assert_eq!(bad.parse::<CallId>(), Err(BadCallId), "{bad}");
        }
    }

    #[test]
    fn numbers_are_masked() {
        assert_eq!(mask("+15555550142"), "+1555•••0142");
        assert_eq!(mask("+1555555014"), "+1555•••5014");
        assert_eq!(mask("+155555501"), "•••01");
        assert_eq!((mask("7").as_str(), mask("anna").as_str()), ("•••", "•••na"));
    }
}
