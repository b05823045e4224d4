//! Reduces the browser's SDP to the parts that a voice leg needs, and adapts our SDP to it.
//!
//! ```text
//! browser's SDP ──parse──▶ Remote ──canonical──▶ str0m ──its SDP──▶ compose ──▶ SDP for the browser
//!                 bounded,          one audio               every m-line of the offer in its place,
//!                 checked           m-line, one codec       rejected ones with port 0 (RFC 3264 section 6)
//! ```
//!
//! The detour is needed because str0m accepts any subset that both sides know, and asserts that payload types are
//! unique. Here outside text is checked and bounded first, one codec is chosen, session-level attributes are resolved,
//! and candidates that cannot be used (TCP, mDNS names) are dropped.
//!
//! Invariant: `canonical` writes only values that `parse` has checked. Not here: the negotiation itself (`webrtc`).
//! Sources: RFC 8829, RFC 8839 (ICE in SDP), RFC 8842 (DTLS), RFC 9143 (BUNDLE), RFC 7587 (Opus).

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use super::LegError;
use crate::sdp::Codec;

const MAX_SDP: usize = 64 * 1024;
const MAX_SECTIONS: usize = 16;
const MAX_CANDIDATES: usize = 32;
const MAX_SSRCS: usize = 4;

/// A browser codec with its payload type. Our order of preference: Opus carries speech best, then G.711 in the
/// browser's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChosenCodec {
    pub(super) codec: Codec,
    pub(super) payload_type: u8,
}

/// Codecs that may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// First negotiation: the best of the offered codecs.
    Best,
    /// Later negotiations: the codec in use is kept, with its payload type.
    Same(ChosenCodec),
}

/// One m-line as it must reappear in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    kind: String,
    protocol: String,
    formats: String,
    mid: Option<String>,
}

/// A checked remote description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remote {
    lines: Vec<Line>,
    /// Index of the voice m-line in `lines`.
    audio: usize,
    pub(super) codec: ChosenCodec,
    pub(super) telephone_event: Option<u8>,
    /// Upper-case hexadecimal digits with colons.
    pub(super) fingerprint: String,
    ufrag: String,
    password: String,
    setup: &'static str,
    mid: String,
    direction: &'static str,
    mid_extension: Option<u8>,
    ssrcs: Vec<u32>,
    candidates: Vec<String>,
}

/// One media section while it is parsed: its m-line and its attributes `name[:value]` without `a=`.
struct Section<'a> {
    kind: &'a str,
    port: &'a str,
    protocol: &'a str,
    formats: &'a str,
    attributes: Vec<&'a str>,
}

impl<'a> Section<'a> {
    fn open(line: &'a str) -> Option<Section<'a>> {
        let mut words = line.splitn(4, ' ');
        let (kind, port, protocol, formats) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let printable = line.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        printable.then_some(Section { kind, port, protocol, formats, attributes: Vec::new() })
    }

    fn value(&self, name: &str) -> Option<&'a str> {
        self.values(name).next()
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.attributes.iter().filter_map(move |line| line.strip_prefix(name)?.strip_prefix(':'))
    }

    fn has(&self, name: &str) -> bool {
        self.attributes.contains(&name)
    }
}

fn refuse<T>(problem: impl Into<String>) -> Result<T, LegError> {
    Err(LegError::Sdp(problem.into()))
}

impl Remote {
    /// Parses a browser's offer or answer.
    ///
    /// # Errors
    /// `LegError::Sdp` names the first reason why it is unusable; `LegError::NoCommonCodec`: answer 488.
    pub(super) fn parse(text: &str, choice: Choice) -> Result<Remote, LegError> {
        let (session, sections) = split(text)?;
        let bundle: Vec<&str> = session
            .iter()
            .find_map(|line| line.strip_prefix("group:BUNDLE "))
            .map(|mids| mids.split(' ').collect())
            .unwrap_or_default();
        let audio = sections
            .iter()
            .position(|section| is_voice(section, &bundle))
            .ok_or_else(|| LegError::Sdp("no audio m-line over UDP/TLS/RTP/SAVPF".into()))?;
        let section = &sections[audio];
        let either = |name: &str| section.value(name).or_else(|| attribute(&session, name));

        if !section.has("rtcp-mux") {
            return refuse("RTCP must share the RTP port: `a=rtcp-mux` is missing");
        }
        let (codec, telephone_event) = choose(section, choice)?;
        let ufrag = either("ice-ufrag").filter(|text| is_ice_text(text, 4));
        let password = either("ice-pwd").filter(|text| is_ice_text(text, 22));
        let (Some(ufrag), Some(password)) = (ufrag, password) else {
            return refuse("`a=ice-ufrag` or `a=ice-pwd` is missing or malformed");
        };
        let fingerprint = section
            .values("fingerprint")
            .chain(session.iter().filter_map(|line| line.strip_prefix("fingerprint:")))
            .find_map(sha256_fingerprint)
            .ok_or_else(|| LegError::Sdp("no `a=fingerprint:sha-256`".into()))?;
        let mid = section.value("mid").unwrap_or("0");
        if mid.is_empty() || mid.len() > 16 || !mid.bytes().all(is_token_char) {
            return refuse("`a=mid` has more than 16 characters or is malformed");
        }
        Ok(Remote {
            lines: sections.iter().map(line).collect(),
            audio,
            codec,
            telephone_event,
            fingerprint,
            ufrag: ufrag.to_owned(),
            password: password.to_owned(),
            setup: match either("setup") {
                Some("active") => "active",
                Some("passive") => "passive",
                _ => "actpass",
            },
            mid: mid.to_owned(),
            direction: direction(section).or_else(|| direction_of(&session)).unwrap_or("sendrecv"),
            mid_extension: section.values("extmap").find_map(mid_extension),
            ssrcs: ssrcs(section),
            candidates: section.values("candidate").filter_map(udp_candidate).take(MAX_CANDIDATES).collect(),
        })
    }

    /// Returns the same session for str0m: one audio m-line with one codec.
    pub(super) fn canonical(&self) -> String {
        let ChosenCodec { codec, payload_type } = self.codec;
        let mut out = String::with_capacity(1024);
        let (name, clock) = encoding(codec);
        let mid = &self.mid;
        out.push_str("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n");
        // Writing into a String cannot fail.
        let _ = write!(out, "a=group:BUNDLE {mid}\r\nm=audio 9 UDP/TLS/RTP/SAVPF {payload_type}");
        if let Some(event) = self.telephone_event {
            let _ = write!(out, " {event}");
        }
        out.push_str("\r\nc=IN IP4 0.0.0.0\r\n");
        for candidate in &self.candidates {
            let _ = write!(out, "a=candidate:{candidate}\r\n");
        }
        let _ = write!(out, "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", self.ufrag, self.password);
        let _ = write!(out, "a=fingerprint:sha-256 {}\r\na=setup:{}\r\n", self.fingerprint, self.setup);
        let _ = write!(out, "a=mid:{mid}\r\n");
        if let Some(id) = self.mid_extension {
            let _ = write!(out, "a=extmap:{id} {MID_URI}\r\n");
        }
        let _ = write!(out, "a={}\r\na=rtcp-mux\r\na=rtpmap:{payload_type} {name}\r\n", self.direction);
        if codec == Codec::Opus {
            let _ = write!(out, "a=fmtp:{payload_type} minptime=10;useinbandfec=1\r\n");
        }
        if let Some(event) = self.telephone_event {
            let _ = write!(out, "a=rtpmap:{event} telephone-event/{clock}\r\na=fmtp:{event} 0-15\r\n");
        }
        for ssrc in &self.ssrcs {
            let _ = write!(out, "a=ssrc:{ssrc} cname:browser\r\n");
        }
        out
    }

    /// Returns the identification of the voice m-line; at most 16 characters.
    pub(super) fn mid(&self) -> &str {
        &self.mid
    }

    /// Whether these credentials differ from `other`'s: an ICE restart (RFC 8839 section 4.4.1.1.1).
    pub(super) fn restarts(&self, other: &Remote) -> bool {
        (&self.ufrag, &self.password) != (&other.ufrag, &other.password)
    }
}

/// Our SDP's origin line and default address.
pub(super) struct Origin {
    pub(super) session: u64,
    pub(super) version: u64,
    pub(super) address: SocketAddr,
}

/// Rewrites str0m's SDP for the browser: our origin line, a real default address, all candidates at once (no trickle
/// over SIP), and every m-line of the offer in its place.
///
/// `offer` is the offer that is answered; `None` when `own` is itself an offer.
pub(super) fn compose(own: &str, offer: Option<&Remote>, origin: &Origin) -> String {
    let Origin { session, version, address } = origin;
    let family = if address.is_ipv4() { "IP4" } else { "IP6" };
    let (head, media) = own.split_once("m=audio ").unwrap_or((own, ""));
    let mut out = format!("v=0\r\no=- {session} {version} IN {family} {}\r\ns=-\r\nt=0 0\r\n", address.ip());
    for line in head.lines().filter(|line| line.starts_with("a=")) {
        let _ = write!(out, "{line}\r\n");
    }
    let own_media = own_media(media, address, family);
    let Some(offer) = offer else {
        return out + &own_media;
    };
    for (index, line) in offer.lines.iter().enumerate() {
        if index == offer.audio {
            out.push_str(&own_media);
            continue;
        }
        let Line { kind, protocol, formats, mid } = line;
        let _ = write!(out, "m={kind} 0 {protocol} {formats}\r\nc=IN IP4 0.0.0.0\r\n");
        if let Some(mid) = mid {
            let _ = write!(out, "a=mid:{mid}\r\n");
        }
        out.push_str("a=inactive\r\n");
    }
    out
}

fn own_media(media: &str, address: &SocketAddr, family: &str) -> String {
    let mut lines = media.lines();
    let first = lines.next().unwrap_or_default();
    let formats = first.split_once(' ').map_or("", |(_, rest)| rest);
    let mut out = format!("m=audio {} {formats}\r\nc=IN {family} {}\r\n", address.port(), address.ip());
    for line in lines.filter(|line| !line.starts_with("c=") && !line.starts_with("a=ice-options")) {
        let _ = write!(out, "{line}\r\n");
    }
    out.push_str("a=end-of-candidates\r\n");
    out
}

const MID_URI: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

/// Splits a description into session attributes (without `a=`) and media sections.
fn split(text: &str) -> Result<(Vec<&str>, Vec<Section<'_>>), LegError> {
    if text.len() > MAX_SDP {
        return refuse(format!("longer than {MAX_SDP} bytes"));
    }
    let mut session = Vec::new();
    let mut sections: Vec<Section<'_>> = Vec::new();
    for line in text.lines() {
        if let Some(line) = line.strip_prefix("m=") {
            if sections.len() == MAX_SECTIONS {
                return refuse(format!("more than {MAX_SECTIONS} m-lines"));
            }
            sections.push(Section::open(line).ok_or_else(|| LegError::Sdp("malformed m-line".into()))?);
        } else if let Some(attribute) = line.strip_prefix("a=") {
            match sections.last_mut() {
                Some(section) => section.attributes.push(attribute),
                None => session.push(attribute),
            }
        }
    }
    Ok((session, sections))
}

fn attribute<'a>(lines: &[&'a str], name: &str) -> Option<&'a str> {
    lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

fn is_voice(section: &Section<'_>, bundle: &[&str]) -> bool {
    let bundled = section.value("mid").is_some_and(|mid| bundle.contains(&mid));
    section.kind == "audio"
        && section.protocol == "UDP/TLS/RTP/SAVPF"
        && (section.port != "0" || (bundled && section.has("bundle-only")))
}

fn line(section: &Section<'_>) -> Line {
    let mid = section.value("mid").filter(|mid| mid.len() <= 64 && mid.bytes().all(is_token_char));
    Line {
        kind: section.kind.to_owned(),
        protocol: section.protocol.to_owned(),
        formats: section.formats.to_owned(),
        mid: mid.map(str::to_owned),
    }
}

/// Returns the encoding name as in `a=rtpmap`, and the RTP clock.
fn encoding(codec: Codec) -> (&'static str, u32) {
    match codec {
        Codec::Opus => ("opus/48000/2", 48_000),
        Codec::Pcma => ("PCMA/8000", 8_000),
        // `choose` admits no other codec.
        _ => ("PCMU/8000", 8_000),
    }
}

/// Chooses the codec and the telephone-event of the same clock (RFC 4733 section 2.5.1.2).
fn choose(section: &Section<'_>, choice: Choice) -> Result<(ChosenCodec, Option<u8>), LegError> {
    let payload_types = || section.formats.split(' ').filter_map(|word| payload_type(word).map(|pt| (word, pt)));
    let map = |word: &str| {
        section.values("rtpmap").find_map(|value| value.strip_prefix(word)?.strip_prefix(' ')).map(str::trim)
    };
    let known = |(word, payload_type): (&str, u8)| {
        let codec = match (map(word), payload_type) {
            (Some(name), _) if name.eq_ignore_ascii_case("opus/48000/2") => Codec::Opus,
            (Some(name), _) if is_encoding(name, "PCMU/8000") => Codec::Pcmu,
            (Some(name), _) if is_encoding(name, "PCMA/8000") => Codec::Pcma,
            (None, 0) => Codec::Pcmu,
            (None, 8) => Codec::Pcma,
            _ => return None,
        };
        Some(ChosenCodec { codec, payload_type })
    };
    let chosen = match choice {
        Choice::Best => payload_types()
            .filter_map(known)
            .find(|chosen| chosen.codec == Codec::Opus)
            .or_else(|| payload_types().find_map(known)),
        Choice::Same(used) => payload_types().filter_map(known).find(|chosen| *chosen == used),
    };
    let chosen = chosen.ok_or(LegError::NoCommonCodec)?;
    let (_, clock) = encoding(chosen.codec);
    let event = payload_types().find_map(|(word, payload_type)| {
        let (name, rate) = map(word)?.split_once('/')?;
        let fits = name.eq_ignore_ascii_case("telephone-event") && rate.parse() == Ok(clock);
        (fits && payload_type != chosen.payload_type).then_some(payload_type)
    });
    Ok((chosen, event))
}

fn is_encoding(name: &str, expected: &str) -> bool {
    name.eq_ignore_ascii_case(expected)
        || name.strip_suffix("/1").is_some_and(|name| name.eq_ignore_ascii_case(expected))
}

/// Parses a payload type: 0 to 127 without 64 to 95, which rtcp-mux reserves for RTCP (RFC 5761 section 4).
fn payload_type(word: &str) -> Option<u8> {
    word.parse().ok().filter(|number: &u8| *number < 64 || (96..128).contains(number))
}

fn direction(section: &Section<'_>) -> Option<&'static str> {
    direction_of(&section.attributes)
}

fn direction_of(lines: &[&str]) -> Option<&'static str> {
    ["sendrecv", "sendonly", "recvonly", "inactive"].into_iter().find(|name| lines.contains(name))
}

/// Parses `sha-256 AA:BB:…` with 32 bytes; normalised to upper case.
fn sha256_fingerprint(value: &str) -> Option<String> {
    let (hash, digest) = value.trim().split_once(' ')?;
    let bytes: Vec<&str> = digest.trim().split(':').collect();
    let valid = hash.eq_ignore_ascii_case("sha-256")
        && bytes.len() == 32
        && bytes.iter().all(|pair| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit()));
    valid.then(|| bytes.join(":").to_ascii_uppercase())
}

/// Parses `ID[/direction] URI`, one-byte identifiers only (RFC 8285 section 4.2).
fn mid_extension(value: &str) -> Option<u8> {
    let (id, uri) = value.split_once(' ')?;
    let id = id.split('/').next()?.parse().ok()?;
    (uri.trim() == MID_URI && (1..=14).contains(&id)).then_some(id)
}

fn ssrcs(section: &Section<'_>) -> Vec<u32> {
    let mut found = Vec::new();
    for value in section.values("ssrc") {
        let number = value.split(' ').next().and_then(|number| number.parse().ok());
        if let Some(number) = number.filter(|number| *number != 0 && !found.contains(number)) {
            if found.len() == MAX_SSRCS {
                break;
            }
            found.push(number);
        }
    }
    found
}

/// Rewrites a candidate that this leg can use; TCP, component 2 and `.local` names give `None`.
fn udp_candidate(value: &str) -> Option<String> {
    let mut words = value.split(' ');
    let (foundation, component, transport) = (words.next()?, words.next()?, words.next()?);
    let priority: u32 = words.next()?.parse().ok()?;
    let address: IpAddr = words.next()?.parse().ok()?;
    let port: u16 = words.next()?.parse().ok()?;
    let kind = (words.next()? == "typ").then(|| words.next()).flatten()?;
    let kind = ["host", "srflx", "prflx", "relay"].into_iter().find(|known| *known == kind)?;
    let usable = component == "1"
        && transport.eq_ignore_ascii_case("udp")
        && port != 0
        && (1..=32).contains(&foundation.len())
        && foundation.bytes().all(is_ice_char)
        && !address.is_unspecified()
        && !address.is_multicast();
    usable.then(|| format!("{foundation} 1 udp {priority} {address} {port} typ {kind}"))
}

/// Whether RFC 8839 section 5.4 allows the character: ALPHA, DIGIT, `+`, `/`.
pub(super) fn is_ice_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

fn is_ice_text(text: &str, shortest: usize) -> bool {
    // Firefox and some gateways also use `-` and `_`.
    (shortest..=256).contains(&text.len())
        && text.bytes().all(|byte| is_ice_char(byte) || matches!(byte, b'-' | b'_' | b'='))
}

/// Whether the byte is an RFC 8866 `token-char`, reduced to the characters that occur in mids.
fn is_token_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'+' | b'{' | b'}' | b'!' | b'#' | b'$' | b'%')
}

/// Fuzz target: a description that passes the check is written in a form that passes it again unchanged.
#[doc(hidden)]
pub(super) mod fuzz {
    /// Runs the target with one SDP text.
    pub fn fuzz_remote_description(bytes: &[u8]) {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let Ok(remote) = super::Remote::parse(text, super::Choice::Best) else { return };
        let again = super::Remote::parse(&remote.canonical(), super::Choice::Best).expect("canonical text is valid");
        assert_eq!(again.canonical(), remote.canonical());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leg::webrtc::tests::{CHROMIUM_OFFER, FIREFOX_OFFER, mutate};

    fn parse(text: &str) -> Result<Remote, LegError> {
        Remote::parse(text, Choice::Best)
    }

    #[test]
    fn a_chromium_offer_yields_opus_and_48_khz_events() {
        let remote = parse(CHROMIUM_OFFER).unwrap();
        assert_eq!(remote.codec, ChosenCodec { codec: Codec::Opus, payload_type: 111 });
        assert_eq!(remote.telephone_event, Some(110));
        assert_eq!(remote.candidates, ["1510613869 1 udp 2113937151 192.0.2.7 51234 typ host"]);
    }

    #[test]
    fn a_firefox_offer_with_session_level_attributes_is_understood() {
        let remote = parse(FIREFOX_OFFER).unwrap();
        assert_eq!(remote.codec.payload_type, 109);
        assert!(remote.fingerprint.starts_with("AA:AA"));
    }

    #[test]
    fn without_opus_the_browser_s_first_g711_is_chosen_with_8_khz_events() {
        let text = CHROMIUM_OFFER.replace("opus/48000/2", "speex/16000");
        let remote = parse(&text).unwrap();
        assert_eq!(remote.codec, ChosenCodec { codec: Codec::Pcmu, payload_type: 0 });
        assert_eq!(remote.telephone_event, Some(126));
    }

    #[test]
    fn later_offers_keep_the_codec_in_use() {
        let used = ChosenCodec { codec: Codec::Pcma, payload_type: 8 };
        assert_eq!(Remote::parse(CHROMIUM_OFFER, Choice::Same(used)).unwrap().codec, used);
        let gone = ChosenCodec { codec: Codec::Opus, payload_type: 96 };
        assert_eq!(Remote::parse(CHROMIUM_OFFER, Choice::Same(gone)), Err(LegError::NoCommonCodec));
    }

    #[test]
    fn unusable_descriptions_are_refused_with_the_reason() {
        for (from, to, reason) in [
            ("a=rtcp-mux\r\n", "", "rtcp-mux"),
            ("a=ice-pwd:", "a=ice-pwx:", "ice-pwd"),
            ("a=fingerprint:sha-256", "a=fingerprint:sha-1", "fingerprint"),
            ("UDP/TLS/RTP/SAVPF", "RTP/AVP", "audio"),
            ("a=mid:0", "a=mid:0123456789abcdef0", "mid"),
        ] {
            let error = parse(&CHROMIUM_OFFER.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(reason), "{reason}: {error}");
        }
    }

    #[test]
    fn one_payload_type_for_two_formats_is_not_passed_on() {
        let text = CHROMIUM_OFFER.replace("a=rtpmap:110 telephone-event/48000", "a=rtpmap:111 telephone-event/48000");
        assert_eq!(parse(&text).unwrap().telephone_event, None);
    }

    #[test]
    fn mutated_descriptions_never_panic() {
        let seeds = [CHROMIUM_OFFER.as_bytes(), FIREFOX_OFFER.as_bytes()];
        mutate(&seeds, 20_000, fuzz::fuzz_remote_description);
    }
}
