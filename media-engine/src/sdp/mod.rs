//! Session descriptions (RFC 8866) and offer/answer for RTP legs (RFC 3264), plain or with keys (RFC 4568).
//!
//! ```text
//!  text ─▶ Session::parse ─▶ Local::answer ─▶ (answer text, Audio)
//!           Local::offer ─▶ text … answer ─▶ Session::parse ─▶ Local::accept ─▶ Audio
//! ```
//!
//! The parser is tolerant because peers vary: it accepts LF line ends, unknown lines and attributes, and static
//! payload types without rtpmap. Sizes are bounded. Browser sessions are only recognised here
//! ([`is_webrtc`]); `leg::webrtc` answers them.

mod codec;
mod crypto;
#[doc(hidden)]
pub mod fuzz;
mod offer;

pub use codec::Codec;
pub use crypto::{LocalSrtp, Srtp, SrtpKeys};
pub use offer::{Audio, ComfortNoiseFormat, Local, TelephoneEventFormat};

use std::net::IpAddr;
use std::time::Duration;

use crate::units::Ptime;

/// Longest description, in bytes.
pub const MAX_SDP: usize = 64 * 1024;
/// Maximum number of media sections.
pub const MAX_MEDIA: usize = 32;
/// Maximum number of attributes of the session or of one section.
pub const MAX_ATTRIBUTES: usize = 512;
/// Maximum number of formats of one section: there are no more payload types.
pub const MAX_FORMATS: usize = 128;

/// Why a description cannot be used. All are answered with 488, except [`SdpError::Syntax`] and [`SdpError::TooLarge`] with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// A required line does not follow the grammar.
    #[error("malformed SDP line `{0}=`")]
    Syntax(char),
    /// The description exceeds a size limit.
    #[error("SDP too large")]
    TooLarge,
    /// There is no audio section that RTP could carry.
    #[error("no RTP audio offered")]
    NoAudio,
    /// The answer rejects our audio (port 0).
    #[error("audio rejected by the answer")]
    Rejected,
    /// The description has none of our codecs.
    #[error("no codec in common")]
    NoCommonCodec,
    /// Keys were offered but are not allowed, or are required but were not offered, or none of them is supported.
    #[error("no agreement on SRTP keys")]
    Keys,
    /// A media address is missing, a name, or not unicast.
    #[error("no usable media address")]
    Address,
}

impl SdpError {
    /// Returns the SIP status with which to refuse the description.
    pub fn sip_status(&self) -> u16 {
        match self {
            SdpError::Syntax(_) | SdpError::TooLarge => 400,
            _ => 488,
        }
    }
}

/// Direction of media, seen from the side that describes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Media flows both ways.
    #[default]
    SendRecv,
    /// Only the describer sends: the other side is on hold.
    SendOnly,
    /// Only the describer receives.
    RecvOnly,
    /// No media flows.
    Inactive,
}

impl Direction {
    /// Returns the name of the attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }

    fn parse(name: &str) -> Option<Direction> {
        [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive]
            .into_iter()
            .find(|direction| direction.as_str() == name)
    }

    /// Returns the same flow seen from the other side.
    pub fn reversed(self) -> Direction {
        match self {
            Direction::SendOnly => Direction::RecvOnly,
            Direction::RecvOnly => Direction::SendOnly,
            other => other,
        }
    }

    /// Returns whether the describer sends.
    pub fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    /// Returns whether the describer receives.
    pub fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }
}

/// One attribute line (`a=`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Name before the colon.
    pub name: String,
    /// Text after the colon; `None` without a colon.
    pub value: Option<String>,
}

/// One media section (`m=`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Media type: `audio`, `video`, `image`, `application`.
    pub kind: String,
    /// Transport port; 0 rejects or ends the section.
    pub port: u16,
    /// Protocol, such as `RTP/AVP`.
    pub protocol: String,
    /// Formats; for RTP, payload types.
    pub formats: Vec<String>,
    /// The section's own `c=` address; the inner option is `None` if it is a name.
    pub connection: Option<Option<IpAddr>>,
    /// Attributes in the order of the description.
    pub attributes: Vec<Attribute>,
}

/// Description of a codec: from `rtpmap`, or from the static payload type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpMap<'a> {
    /// Encoding name as written by the peer.
    pub name: &'a str,
    /// RTP clock in ticks per second.
    pub clock: u32,
    /// Number of channels.
    pub channels: u8,
}

impl Media {
    /// Returns the value of the first attribute of this name: `Some(None)` if it has none.
    pub fn attribute(&self, name: &str) -> Option<Option<&str>> {
        find_attribute(&self.attributes, name)
    }

    /// Returns whether the section is RTP without encryption: `RTP/AVP` or `RTP/AVPF`.
    pub fn is_plain_rtp(&self) -> bool {
        self.protocol.eq_ignore_ascii_case("RTP/AVP") || self.protocol.eq_ignore_ascii_case("RTP/AVPF")
    }

    /// Returns whether the section is RTP encrypted by keys in the description: `RTP/SAVP` or `RTP/SAVPF`.
    pub fn is_srtp(&self) -> bool {
        self.protocol.eq_ignore_ascii_case("RTP/SAVP") || self.protocol.eq_ignore_ascii_case("RTP/SAVPF")
    }

    /// Returns the payload types in order of preference.
    pub fn payload_types(&self) -> impl Iterator<Item = u8> {
        self.formats.iter().filter_map(|format| format.parse().ok()).filter(|pt| *pt < 128)
    }

    /// Returns the codec of a payload type: from its rtpmap, or its static assignment (RFC 3551 section 6) if that is known.
    pub fn rtpmap(&self, payload_type: u8) -> Option<RtpMap<'_>> {
        let of_type = |attribute: &'_ Attribute| attribute.name == "rtpmap";
        let lines = self.attributes.iter().filter(|attribute| of_type(attribute));
        for line in lines.filter_map(|attribute| attribute.value.as_deref()) {
            let Some((number, map)) = line.trim().split_once([' ', '\t']) else { continue };
            if number.parse() != Ok(payload_type) {
                continue;
            }
            let mut parts = map.trim().split('/');
            let name = parts.next()?;
            let clock = parts.next()?.trim().parse().ok()?;
            let channels = parts.next().map_or(Some(1), |text| text.trim().parse().ok())?;
            return Some(RtpMap { name, clock, channels });
        }
        match payload_type {
            0 => Some(RtpMap { name: "PCMU", clock: 8000, channels: 1 }),
            8 => Some(RtpMap { name: "PCMA", clock: 8000, channels: 1 }),
            9 => Some(RtpMap { name: "G722", clock: 8000, channels: 1 }),
            13 => Some(RtpMap { name: "CN", clock: 8000, channels: 1 }),
            _ => None,
        }
    }

    /// Returns the requested packet length: `ptime` within 10 to 60 ms and `maxptime`, in whole 10 ms; else 20 ms.
    pub fn ptime(&self) -> Ptime {
        let number = |name| self.attribute(name).flatten().and_then(|text| text.trim().parse::<u32>().ok());
        let longest = number("maxptime").map_or(60, |max| (max / 10 * 10).clamp(10, 60));
        let asked = number("ptime").filter(|ms| (10..=60).contains(ms)).unwrap_or(20) / 10 * 10;
        Ptime(Duration::from_millis(u64::from(asked.min(longest))))
    }

    /// Returns whether the section's describer asks for an Opus format that silence is not sent (RFC 7587 section 6.1).
    pub fn wants_dtx(&self, payload_type: u8) -> bool {
        let lines = self.attributes.iter().filter(|attribute| attribute.name == "fmtp");
        lines.filter_map(|attribute| attribute.value.as_deref()?.trim().split_once([' ', '\t'])).any(
            |(number, values)| {
                number.parse() == Ok(payload_type) && values.split(';').any(|value| value.trim() == "usedtx=1")
            },
        )
    }

    fn direction(&self) -> Option<Direction> {
        self.attributes.iter().find_map(|attribute| Direction::parse(&attribute.name))
    }
}

/// A parsed session description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Session identity from `o=`, if it is a number.
    pub session_id: Option<u64>,
    /// Version from `o=`: unchanged if the description did not change.
    pub version: Option<u64>,
    /// The session's `c=` address; the inner option is `None` if it is a name.
    pub connection: Option<Option<IpAddr>>,
    /// Value of the `t=` line.
    pub time: Option<String>,
    /// Attributes before the first section.
    pub attributes: Vec<Attribute>,
    /// Media sections in order; an answer has as many as its offer.
    pub media: Vec<Media>,
}

impl Session {
    /// Parses a description; invalid UTF-8 is read with replacement characters.
    ///
    /// # Errors
    /// [`SdpError`] if a required line is malformed or a size limit is exceeded; refuse it with [`SdpError::sip_status`].
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Session, SdpError> {
        let bytes = text.as_ref();
        if bytes.len() > MAX_SDP {
            return Err(SdpError::TooLarge);
        }
        let text = String::from_utf8_lossy(bytes);
        let mut session = Session::default();
        for line in text.split('\n') {
            let line = line.trim_end_matches(['\r', ' ', '\0']);
            let Some((kind, value)) = line.split_once('=') else { continue };
            match kind {
                "o" => session.read_origin(value),
                "t" => {
                    let numbers = value.split(' ').all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
                    session.time = (numbers && value.len() < 64).then(|| value.to_owned());
                }
                "c" => {
                    let address = parse_connection(value)?;
                    match session.media.last_mut() {
                        Some(media) => media.connection = Some(address),
                        None => session.connection = Some(address),
                    }
                }
                "m" if session.media.len() == MAX_MEDIA => return Err(SdpError::TooLarge),
                "m" => session.media.push(parse_media(value)?),
                "a" => {
                    let attributes = match session.media.last_mut() {
                        Some(media) => &mut media.attributes,
                        None => &mut session.attributes,
                    };
                    if attributes.len() == MAX_ATTRIBUTES {
                        return Err(SdpError::TooLarge);
                    }
                    attributes.push(parse_attribute(value));
                }
                _ => {}
            }
        }
        Ok(session)
    }

    fn read_origin(&mut self, value: &str) {
        let mut fields = value.split(' ').skip(1);
        self.session_id = fields.next().and_then(|field| field.parse().ok());
        self.version = fields.next().and_then(|field| field.parse().ok());
    }

    /// Returns the value of the session's first attribute of this name: `Some(None)` if it has none.
    pub fn attribute(&self, name: &str) -> Option<Option<&str>> {
        find_attribute(&self.attributes, name)
    }

    /// Returns the first audio section.
    pub fn audio(&self) -> Option<&Media> {
        self.media.iter().find(|media| media.kind == "audio")
    }

    /// Returns the first codec of the first audio section that Tandem supports; in an answer, this is the chosen one.
    pub fn first_audio_codec(&self) -> Option<Codec> {
        let audio = self.audio()?;
        audio.payload_types().find_map(|payload_type| audio.rtpmap(payload_type).as_ref().and_then(Codec::of))
    }

    /// Returns whether the first audio section supports comfort noise (RFC 3389).
    pub fn offers_comfort_noise(&self) -> bool {
        let is_noise = |map: RtpMap<'_>| map.name.eq_ignore_ascii_case("CN");
        self.audio().is_some_and(|audio| audio.payload_types().any(|number| audio.rtpmap(number).is_some_and(is_noise)))
    }

    /// Returns the address to which audio, or else the session, is to be sent; `None` if it is not an address.
    pub fn connection_address(&self) -> Option<IpAddr> {
        self.audio().and_then(|audio| audio.connection).or(self.connection).flatten()
    }

    /// Returns the direction of a section as its describer sees it: its own, the session's, or both ways.
    pub fn direction_of(&self, media: &Media) -> Direction {
        let of_session = || self.attributes.iter().find_map(|attribute| Direction::parse(&attribute.name));
        media.direction().or_else(of_session).unwrap_or_default()
    }

    /// Returns the address of a section: its own or the session's.
    ///
    /// # Errors
    /// [`SdpError::Address`] if there is none, or if it is a name or not unicast; refuse the description.
    pub fn address_of(&self, media: &Media) -> Result<IpAddr, SdpError> {
        let address = media.connection.or(self.connection).flatten().ok_or(SdpError::Address)?;
        let unicast = !address.is_multicast() && address != IpAddr::V4(std::net::Ipv4Addr::BROADCAST);
        unicast.then_some(address).ok_or(SdpError::Address)
    }
}

/// Returns whether the description comes from a browser or a similar client: DTLS-SRTP with ICE.
pub fn is_webrtc(session: &Session) -> bool {
    let has = |media: &Media, name| media.attribute(name).is_some() || session.attribute(name).is_some();
    session.media.iter().any(|media| {
        media.protocol.to_ascii_uppercase().starts_with("UDP/TLS/RTP/")
            || (has(media, "fingerprint") && has(media, "ice-ufrag"))
    })
}

fn find_attribute<'a>(attributes: &'a [Attribute], name: &str) -> Option<Option<&'a str>> {
    attributes.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.value.as_deref())
}

fn parse_attribute(value: &str) -> Attribute {
    match value.split_once(':') {
        Some((name, value)) => Attribute { name: name.to_owned(), value: Some(value.to_owned()) },
        None => Attribute { name: value.to_owned(), value: None },
    }
}

/// Parses `IN IP4 192.0.2.1` with an optional `/ttl`; returns `None` for a name instead of an address.
fn parse_connection(value: &str) -> Result<Option<IpAddr>, SdpError> {
    let mut fields = value.split_ascii_whitespace();
    match (fields.next(), fields.next(), fields.next()) {
        (Some("IN"), Some("IP4" | "IP6"), Some(address)) => {
            Ok(address.split('/').next().and_then(|address| address.parse().ok()))
        }
        _ => Err(SdpError::Syntax('c')),
    }
}

fn parse_media(value: &str) -> Result<Media, SdpError> {
    let malformed = SdpError::Syntax('m');
    let mut fields = value.split_ascii_whitespace();
    let kind = fields.next().ok_or(malformed)?.to_owned();
    let port = fields.next().and_then(|port| port.split('/').next()?.parse().ok()).ok_or(malformed)?;
    let protocol = fields.next().ok_or(malformed)?.to_owned();
    let formats: Vec<String> = fields.map(str::to_owned).collect();
    if formats.len() > MAX_FORMATS {
        return Err(SdpError::TooLarge);
    }
    Ok(Media { kind, port, protocol, formats, connection: None, attributes: Vec::new() })
}

#[cfg(test)]
mod tests;
