//! Offers and answers for RTP legs (RFC 3264).
//!
//! [`Local`] describes our side. [`Local::offer`] writes an offer, and [`Local::accept`] reads the answer to it;
//! [`Local::answer`] reads an offer and writes the answer. Both ends of a negotiation yield an [`Audio`].
//!
//! Invariants: one audio section is accepted and all others are refused in their places; an answer uses the payload types of
//! the offer. Not here: parsing of descriptions (`super`), key agreement (`crypto`), browser sessions (`leg::webrtc`).

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::crypto::{Crypto, LocalSrtp, SrtpKeys};
use super::{Codec, Direction, Media, SdpError, Session};
use crate::units::{ClockRate, Ptime};

/// Our side of a session: addresses, codecs and keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Address to which peers send.
    pub address: IpAddr,
    /// Local port for RTP.
    pub rtp_port: u16,
    /// Local port for RTCP.
    pub rtcp_port: u16,
    /// Identity of the session, the same in all its descriptions.
    pub session_id: u64,
    /// Supported codecs; in offers the first one is preferred.
    pub codecs: Vec<Codec>,
    /// Policy for encryption, and the keys agreed so far.
    pub srtp: LocalSrtp,
    /// Whether comfort noise is offered and accepted: true if the other leg of the call supports it, so that it can be relayed.
    pub comfort_noise: bool,
}

/// Agreed comfort noise format (RFC 3389): a side that pauses may send this instead of audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComfortNoiseFormat {
    /// Payload type to send.
    pub payload_type: u8,
    /// Payload type that the peer sends.
    pub receive_payload_type: u8,
}

/// Agreed telephone-event format (RFC 4733).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelephoneEventFormat {
    /// Payload type to send.
    pub payload_type: u8,
    /// Payload type that the peer sends.
    pub receive_payload_type: u8,
    /// Clock of the durations; that of the codec unless the peer does not offer it.
    pub clock: ClockRate,
}

/// Result of a negotiation. Its serialised form contains the SRTP keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audio {
    /// Codec used in both directions.
    pub codec: Codec,
    /// Payload type to send.
    pub payload_type: u8,
    /// Payload type that the peer sends.
    pub receive_payload_type: u8,
    /// Telephone-events for key presses, if agreed.
    pub telephone_event: Option<TelephoneEventFormat>,
    /// Comfort noise with the codec's clock, if agreed.
    pub comfort_noise: Option<ComfortNoiseFormat>,
    /// Whether the peer prefers not to receive silence (Opus).
    pub dtx: bool,
    /// Duration of the packets that we send.
    pub ptime: Ptime,
    /// Destination of RTP; unspecified (`0.0.0.0`) while the peer holds in the old way.
    pub remote_rtp: SocketAddr,
    /// Destination of RTCP.
    pub remote_rtcp: SocketAddr,
    /// Whether RTP and RTCP share one port.
    pub rtcp_mux: bool,
    /// Direction of media, seen from our side.
    pub direction: Direction,
    /// SRTP keys of both directions; `None` without encryption.
    pub srtp: Option<SrtpKeys>,
}

impl Audio {
    /// Returns a minimal agreement with a far end at `remote`, as a base for others: packets of 20 ms in both directions, the codec's
    /// static payload type or 111, RTCP to the next port; no telephone-events, no comfort noise, no DTX, no encryption.
    pub fn plain(codec: Codec, remote: SocketAddr) -> Audio {
        let payload_type = codec.static_payload_type().unwrap_or(111);
        Audio {
            codec,
            payload_type,
            receive_payload_type: payload_type,
            telephone_event: None,
            comfort_noise: None,
            dtx: false,
            ptime: Ptime::MS_20,
            remote_rtp: remote,
            remote_rtcp: SocketAddr::new(remote.ip(), remote.port().saturating_add(1)),
            rtcp_mux: false,
            direction: Direction::SendRecv,
            srtp: None,
        }
    }
}

impl Local {
    /// Writes an offer. `version` must grow with every change.
    pub fn offer(&self, version: u64, direction: Direction) -> String {
        let mut out = self.head(version, "0 0");
        let formats = self.formats();
        let keys = if self.srtp.is_offered() { self.srtp.offered() } else { Vec::new() };
        let protocol = if keys.is_empty() { "RTP/AVP" } else { "RTP/SAVP" };
        let _ = write!(out, "m=audio {} {protocol}", self.rtp_port);
        for (payload_type, _) in &formats {
            let _ = write!(out, " {payload_type}");
        }
        out.push_str("\r\n");
        for (payload_type, format) in &formats {
            write_format(&mut out, *payload_type, *format);
        }
        keys.iter().for_each(|crypto| out.push_str(&crypto.line()));
        self.write_tail(&mut out, Ptime::MS_20, false, direction);
        out
    }

    /// Returns the answer to `offer`, and the agreement: it uses the first codec of the offer that we support.
    ///
    /// # Errors
    /// [`SdpError`] if nothing can be agreed; refuse the offer with [`SdpError::sip_status`].
    pub fn answer(&self, offer: &Session, version: u64) -> Result<(String, Audio), SdpError> {
        let mut refused = SdpError::NoAudio;
        let mut accepted = None;
        for (index, media) in offer.media.iter().enumerate() {
            match self.accept_offered(offer, media, version) {
                Ok(found) => {
                    accepted = Some((index, found));
                    break;
                }
                Err(SdpError::NoAudio) => {}
                Err(error) => refused = error,
            }
        }
        let (accepted_index, (audio, crypto)) = accepted.ok_or(refused)?;
        let mut out = self.head(version, offer.time.as_deref().unwrap_or("0 0"));
        for (index, media) in offer.media.iter().enumerate() {
            if index == accepted_index {
                self.write_accepted(&mut out, media, &audio, crypto);
            } else {
                let formats = if media.formats.is_empty() { "0".to_owned() } else { media.formats.join(" ") };
                let _ = write!(out, "m={} 0 {} {formats}\r\n", media.kind, media.protocol);
            }
        }
        Ok((out, audio))
    }

    /// Returns the agreement that follows from the answer to our offer.
    ///
    /// # Errors
    /// [`SdpError`] if the answer rejects the audio or cannot be used; the call cannot be connected with it.
    pub fn accept(&self, answer: &Session) -> Result<Audio, SdpError> {
        let ours = |media: &&Media| if self.srtp.is_offered() { media.is_srtp() } else { media.is_plain_rtp() };
        let media = answer.audio().filter(ours).ok_or(SdpError::NoAudio)?;
        if media.port == 0 {
            return Err(SdpError::Rejected);
        }
        let srtp = if self.srtp.is_offered() { Some(self.srtp.accept(media)?) } else { None };
        let ours = self.formats();
        // A dynamic number of ours that the peer repeats without rtpmap has the meaning that we gave it.
        let meant = |payload_type: u8, format: Format| match media.rtpmap(payload_type) {
            Some(map) => format.matches(&map),
            None => ours.contains(&(payload_type, format)),
        };
        let find = |wanted: &dyn Fn(Format) -> bool| {
            media.payload_types().find_map(|send| {
                let (receive, format) = ours.iter().find(|(_, format)| wanted(*format) && meant(send, *format))?;
                Some((send, *receive, *format))
            })
        };
        let (payload_type, receive_payload_type, format) =
            find(&|format| matches!(format, Format::Codec(_))).ok_or(SdpError::NoCommonCodec)?;
        let Format::Codec(codec) = format else { return Err(SdpError::NoCommonCodec) };
        let events = find(&|format| format == Format::TelephoneEvent(codec.clock()))
            .or_else(|| find(&|format| matches!(format, Format::TelephoneEvent(_))));
        let telephone_event = events.and_then(|(payload_type, receive_payload_type, format)| match format {
            Format::TelephoneEvent(clock) => Some(TelephoneEventFormat { payload_type, receive_payload_type, clock }),
            Format::Codec(_) | Format::ComfortNoise(_) => None,
        });
        let comfort_noise = find(&|format| format == Format::ComfortNoise(codec.clock()))
            .map(|(payload_type, receive_payload_type, _)| ComfortNoiseFormat { payload_type, receive_payload_type });
        // Plain legs never offer rtcp-mux, so an answer cannot agree to it.
        let (remote_rtp, remote_rtcp) = remote_addresses(answer, media, false)?;
        Ok(Audio {
            codec,
            payload_type,
            receive_payload_type,
            telephone_event,
            comfort_noise,
            dtx: codec == Codec::Opus && media.wants_dtx(payload_type),
            ptime: codec.packet_length(media.ptime()),
            remote_rtp,
            remote_rtcp,
            rtcp_mux: false,
            direction: our_direction(answer, media, remote_rtp),
            srtp,
        })
    }

    /// Returns the agreement on one offered section, and our crypto line; `NoAudio` if the section is not for RTP audio.
    fn accept_offered(
        &self,
        offer: &Session,
        media: &Media,
        version: u64,
    ) -> Result<(Audio, Option<Crypto>), SdpError> {
        if media.kind != "audio" || media.port == 0 || !(media.is_plain_rtp() || media.is_srtp()) {
            return Err(SdpError::NoAudio);
        }
        let keys = self.srtp.answer(media, version)?;
        let ours = |payload_type| {
            let map = media.rtpmap(payload_type)?;
            self.codecs.iter().find(|codec| codec.matches(&map)).map(|codec| (payload_type, *codec))
        };
        let (payload_type, codec) = media.payload_types().find_map(ours).ok_or(SdpError::NoCommonCodec)?;
        let rtcp_mux = media.attribute("rtcp-mux").is_some();
        let (remote_rtp, remote_rtcp) = remote_addresses(offer, media, rtcp_mux)?;
        let audio = Audio {
            codec,
            payload_type,
            receive_payload_type: payload_type,
            telephone_event: offered_events(media, codec.clock()),
            comfort_noise: offered_noise(media, codec).filter(|_| self.comfort_noise),
            dtx: codec == Codec::Opus && media.wants_dtx(payload_type),
            ptime: codec.packet_length(media.ptime()),
            remote_rtp,
            remote_rtcp,
            rtcp_mux,
            direction: our_direction(offer, media, remote_rtp),
            srtp: keys.map(|(_, keys)| keys),
        };
        Ok((audio, keys.map(|(tag, keys)| Crypto { tag, key: keys.send })))
    }

    fn write_accepted(&self, out: &mut String, media: &Media, audio: &Audio, crypto: Option<Crypto>) {
        let _ = write!(out, "m=audio {} {} {}", self.rtp_port, media.protocol, audio.receive_payload_type);
        if let Some(event) = audio.telephone_event {
            let _ = write!(out, " {}", event.receive_payload_type);
        }
        if let Some(noise) = audio.comfort_noise {
            let _ = write!(out, " {}", noise.receive_payload_type);
        }
        out.push_str("\r\n");
        write_format(out, audio.receive_payload_type, Format::Codec(audio.codec));
        if let Some(event) = audio.telephone_event {
            write_format(out, event.receive_payload_type, Format::TelephoneEvent(event.clock));
        }
        if let Some(noise) = audio.comfort_noise {
            write_format(out, noise.receive_payload_type, Format::ComfortNoise(audio.codec.clock()));
        }
        out.extend(crypto.map(|crypto| crypto.line()));
        self.write_tail(out, audio.ptime, audio.rtcp_mux, audio.direction);
    }

    /// Returns the payload types of our offers: static ones, and others at fixed numbers, so that
    /// `accept` can recognise them.
    fn formats(&self) -> Vec<(u8, Format)> {
        let mut formats = Vec::with_capacity(self.codecs.len() + 2);
        let mut clocks: Vec<ClockRate> = Vec::new();
        let mut dynamic = 112..=127;
        for codec in &self.codecs {
            let fixed = codec.static_payload_type().or((*codec == Codec::Opus).then_some(111));
            let Some(payload_type) = fixed.or_else(|| dynamic.next()) else { continue };
            formats.push((payload_type, Format::Codec(*codec)));
            if !clocks.contains(&codec.clock()) {
                clocks.push(codec.clock());
            }
        }
        for clock in clocks {
            let fixed = match clock {
                ClockRate::HZ_8000 => Some(101),
                ClockRate::HZ_48000 => Some(110),
                _ => dynamic.next(),
            };
            formats.extend(fixed.map(|payload_type| (payload_type, Format::TelephoneEvent(clock))));
        }
        // One for each clock except that of Opus, which has its own way to signal silence.
        for clock in self.codecs.iter().filter(|codec| **codec != Codec::Opus).map(|codec| codec.clock()) {
            let format = Format::ComfortNoise(clock);
            if !self.comfort_noise || formats.iter().any(|(_, known)| *known == format) {
                continue;
            }
            let fixed = if clock == ClockRate::HZ_8000 { Some(NOISE_8000) } else { dynamic.next() };
            formats.extend(fixed.map(|payload_type| (payload_type, format)));
        }
        formats
    }

    fn head(&self, version: u64, time: &str) -> String {
        let mut out = String::with_capacity(512);
        let family = if self.address.is_ipv4() { "IP4" } else { "IP6" };
        let (id, address) = (self.session_id, self.address);
        let _ = write!(out, "v=0\r\no=- {id} {version} IN {family} {address}\r\ns=-\r\n");
        let _ = write!(out, "c=IN {family} {address}\r\nt={time}\r\n");
        out
    }

    fn write_tail(&self, out: &mut String, ptime: Ptime, rtcp_mux: bool, direction: Direction) {
        let _ = write!(out, "a=ptime:{}\r\n", ptime.0.as_millis());
        if rtcp_mux {
            out.push_str("a=rtcp-mux\r\n");
        } else if Some(self.rtcp_port) != self.rtp_port.checked_add(1) {
            let _ = write!(out, "a=rtcp:{}\r\n", self.rtcp_port);
        }
        let _ = write!(out, "a={}\r\n", direction.as_str());
    }
}

/// Meaning of a payload type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Codec(Codec),
    TelephoneEvent(ClockRate),
    ComfortNoise(ClockRate),
}

/// Payload type of comfort noise at 8 kHz (RFC 3551 section 6).
const NOISE_8000: u8 = 13;

impl Format {
    fn matches(self, map: &super::RtpMap<'_>) -> bool {
        match self {
            Format::Codec(codec) => codec.matches(map),
            Format::TelephoneEvent(clock) => is_telephone_event(map) && map.clock == clock.0,
            Format::ComfortNoise(clock) => map.name.eq_ignore_ascii_case("CN") && map.clock == clock.0,
        }
    }
}

fn is_telephone_event(map: &super::RtpMap<'_>) -> bool {
    map.name.eq_ignore_ascii_case("telephone-event") && matches!(map.clock, 8_000 | 16_000 | 24_000 | 32_000 | 48_000)
}

fn write_format(out: &mut String, payload_type: u8, format: Format) {
    match format {
        Format::Codec(codec) => {
            let _ = write!(out, "a=rtpmap:{payload_type} {}\r\n", codec.rtpmap());
            if let Some(fmtp) = codec.fmtp() {
                let _ = write!(out, "a=fmtp:{payload_type} {fmtp}\r\n");
            }
        }
        Format::TelephoneEvent(clock) => {
            let _ = write!(out, "a=rtpmap:{payload_type} telephone-event/{}\r\n", clock.0);
            let _ = write!(out, "a=fmtp:{payload_type} 0-16\r\n");
        }
        Format::ComfortNoise(clock) => {
            let _ = write!(out, "a=rtpmap:{payload_type} CN/{}\r\n", clock.0);
        }
    }
}

/// Returns the offered telephone-event with the codec's clock, else the first one with any clock (as baresip offers beside Opus).
fn offered_events(media: &Media, clock: ClockRate) -> Option<TelephoneEventFormat> {
    let events = || {
        media.payload_types().filter_map(|payload_type| {
            let map = media.rtpmap(payload_type).filter(is_telephone_event)?;
            let clock = ClockRate(map.clock);
            Some(TelephoneEventFormat { payload_type, receive_payload_type: payload_type, clock })
        })
    };
    events().find(|event| event.clock == clock).or_else(|| events().next())
}

/// Returns the offered comfort noise with the codec's clock. Opus has a mechanism of its own.
fn offered_noise(media: &Media, codec: Codec) -> Option<ComfortNoiseFormat> {
    let wanted = Format::ComfortNoise(codec.clock());
    let is_noise = |payload_type: &u8| media.rtpmap(*payload_type).is_some_and(|map| wanted.matches(&map));
    let found = media.payload_types().find(is_noise).filter(|_| codec != Codec::Opus)?;
    Some(ComfortNoiseFormat { payload_type: found, receive_payload_type: found })
}

fn remote_addresses(session: &Session, media: &Media, rtcp_mux: bool) -> Result<(SocketAddr, SocketAddr), SdpError> {
    let rtp = SocketAddr::new(session.address_of(media)?, media.port);
    if rtcp_mux {
        return Ok((rtp, rtp));
    }
    let mut rtcp = SocketAddr::new(rtp.ip(), media.port.saturating_add(1));
    // RFC 3605: a=rtcp:port [IN IP4 address]
    if let Some(Some(line)) = media.attribute("rtcp") {
        let mut fields = line.split_ascii_whitespace();
        if let Some(port) = fields.next().and_then(|port| port.parse().ok()).filter(|&port: &u16| port != 0) {
            rtcp.set_port(port);
        }
        if let Some(address) = fields.nth(2).and_then(|text| text.parse::<IpAddr>().ok()).filter(|a| !a.is_multicast())
        {
            rtcp.set_ip(address);
        }
    }
    Ok((rtp, rtcp))
}

/// Returns our direction: theirs reversed. An unspecified address is the old way to hold (RFC 3264 section 8.4).
fn our_direction(session: &Session, media: &Media, remote: SocketAddr) -> Direction {
    let ours = session.direction_of(media).reversed();
    match (remote.ip().is_unspecified(), ours.receives()) {
        (false, _) => ours,
        (true, true) => Direction::RecvOnly,
        (true, false) => Direction::Inactive,
    }
}
