//! SIP, SIPS and TEL URIs as borrowed views (RFC 3261 section 19.1, RFC 3966).
//!
//! Parsing is strict about structure (brackets around IPv6, complete escapes, no spaces) and about the characters of
//! user and parameters, because a URI that can be read in two ways is a security hole. Not here: display names and
//! header parameters (`header`), name resolution (`sip_io`).

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use memchr::memchr;

use super::header::Params;

/// The scheme: the text before the first colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme<'a> {
    /// `sip:` (RFC 3261).
    Sip,
    /// `sips:` (RFC 3261).
    Sips,
    /// `tel:` (RFC 3966).
    Tel,
    /// Any other well-formed scheme; the rest of the URI is opaque.
    Other(&'a str),
}

impl<'a> Scheme<'a> {
    fn parse(text: &'a str) -> Option<Scheme<'a>> {
        let mut bytes = text.bytes();
        if !bytes.next()?.is_ascii_alphabetic()
            || !bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        {
            return None;
        }
        Some(match text {
            _ if text.eq_ignore_ascii_case("sip") => Scheme::Sip,
            _ if text.eq_ignore_ascii_case("sips") => Scheme::Sips,
            _ if text.eq_ignore_ascii_case("tel") => Scheme::Tel,
            _ => Scheme::Other(text),
        })
    }

    /// Returns whether the URI names a SIP resource at a host.
    pub fn is_sip(self) -> bool {
        matches!(self, Scheme::Sip | Scheme::Sips)
    }
}

/// The host of a URI or of a Via's sent-by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    /// A domain name: letters, digits, dots, hyphens and (seen in the field) underscores.
    Name(&'a str),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address; written in brackets.
    V6(Ipv6Addr),
}

impl<'a> Host<'a> {
    /// Reads a host without port; IPv6 must be in brackets.
    pub fn parse(text: &'a str) -> Option<Host<'a>> {
        if let Some(inner) = text.strip_prefix('[') {
            return inner.strip_suffix(']')?.parse().ok().map(Host::V6);
        }
        if let Ok(v4) = text.parse() {
            return Some(Host::V4(v4));
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        (!text.is_empty() && text.len() <= 255 && text.bytes().all(allowed)).then_some(Host::Name(text))
    }

    /// Returns the address if the host is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Host::Name(_) => None,
            Host::V4(v4) => Some(IpAddr::V4(*v4)),
            Host::V6(v6) => Some(IpAddr::V6(*v6)),
        }
    }

    /// Returns whether two hosts are equal; names are compared without regard to case (RFC 3261 section 19.1.4).
    pub fn same_as(&self, other: &Host<'_>) -> bool {
        match (self, other) {
            (Host::Name(a), Host::Name(b)) => a.eq_ignore_ascii_case(b),
            _ => self.ip().is_some() && self.ip() == other.ip(),
        }
    }
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::V4(v4) => write!(f, "{v4}"),
            Host::V6(v6) => write!(f, "[{v6}]"),
        }
    }
}

/// Reads `host[:port]`; spaces around the colon are allowed only if `spaces` is set (Via).
pub(crate) fn parse_host_port(text: &str, spaces: bool) -> Option<(Host<'_>, Option<u16>)> {
    let host_end = match text.strip_prefix('[') {
        Some(inner) => inner.find(']')? + 2,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (mut host, mut rest) = (&text[..host_end], &text[host_end..]);
    if spaces {
        host = host.trim_ascii();
        rest = rest.trim_ascii_start();
    }
    let host = Host::parse(host)?;
    if rest.is_empty() {
        return Some((host, None));
    }
    let mut port = rest.strip_prefix(':')?;
    if spaces {
        port = port.trim_ascii();
    }
    if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    port.parse().ok().filter(|&port: &u16| port != 0).map(|port| (host, Some(port)))
}

/// Why a URI cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// No scheme, or characters that no scheme has.
    #[error("no URI scheme")]
    Scheme,
    /// A user part with characters that must be escaped, or a broken escape.
    #[error("malformed user part")]
    User,
    /// A malformed host or port.
    #[error("malformed host or port")]
    Host,
    /// Parameters or headers that do not parse.
    #[error("malformed URI parameters")]
    Params,
    /// Spaces, control characters, quotes or angle brackets.
    #[error("character that is not allowed in a URI")]
    Character,
}

/// One parsed URI that borrows its text.
#[derive(Clone, Copy, Debug)]
pub struct Uri<'a> {
    raw: &'a str,
    /// Scheme of the URI.
    pub scheme: Scheme<'a>,
    /// User part, still escaped; for `tel:` and unknown schemes the opaque part.
    pub user: Option<&'a str>,
    /// Password, still escaped. Obsolete, but accepted.
    pub password: Option<&'a str>,
    /// Host; an empty name for `tel:` and unknown schemes.
    pub host: Host<'a>,
    /// Port, if written.
    pub port: Option<u16>,
    /// Parameters after the host.
    pub params: Params<'a>,
    /// Headers after `?`, still escaped.
    pub headers: Option<&'a str>,
}

impl<'a> Uri<'a> {
    /// Reads a whole URI; nothing may stand before or after it.
    ///
    /// # Errors
    /// Returns a [`UriError`] that names the malformed part.
    pub fn parse(raw: &'a str) -> Result<Uri<'a>, UriError> {
        let (scheme, rest) = split_at_byte(raw, b':').ok_or(UriError::Scheme)?;
        let scheme = Scheme::parse(scheme).ok_or(UriError::Scheme)?;
        if rest.bytes().any(|byte| is_of(byte, NEVER)) {
            return Err(UriError::Character);
        }
        if !scheme.is_sip() {
            return Uri::parse_opaque(raw, scheme, rest);
        }
        let (userinfo, rest) = match split_at_byte(rest, b'@') {
            Some((userinfo, rest)) => (Some(userinfo), rest),
            None => (None, rest),
        };
        let (user, password) = match userinfo {
            None => (None, None),
            Some(userinfo) => match split_at_byte(userinfo, b':') {
                Some((user, password)) => (Some(user), Some(password)),
                None => (Some(userinfo), None),
            },
        };
        if user.is_some_and(|user| user.is_empty() || !is_escaped_text(user, USER))
            || password.is_some_and(|password| !is_escaped_text(password, USER))
        {
            return Err(UriError::User);
        }
        let (rest, headers) = match split_at_byte(rest, b'?') {
            Some((rest, headers)) => (rest, Some(headers)),
            None => (rest, None),
        };
        let (host_port, params) = rest.split_at(rest.find(';').unwrap_or(rest.len()));
        let (host, port) = parse_host_port(host_port, false).ok_or(UriError::Host)?;
        if !is_escaped_text(params, PARAM) || !is_escaped_text(headers.unwrap_or(""), HEADER) {
            return Err(UriError::Params);
        }
        let params = Params::parse(params).map_err(|_| UriError::Params)?;
        Ok(Uri { raw, scheme, user, password, host, port, params, headers })
    }

    fn parse_opaque(raw: &'a str, scheme: Scheme<'a>, rest: &'a str) -> Result<Uri<'a>, UriError> {
        let (user, params) = match scheme {
            Scheme::Tel => rest.split_at(rest.find(';').unwrap_or(rest.len())),
            _ => (rest, ""),
        };
        if user.is_empty() || !is_escaped_text(params, PARAM) {
            return Err(UriError::User);
        }
        let params = Params::parse(params).map_err(|_| UriError::Params)?;
        let host = Host::Name("");
        Ok(Uri { raw, scheme, user: Some(user), password: None, host, port: None, params, headers: None })
    }

    /// Returns the text that was parsed.
    pub fn as_str(&self) -> &'a str {
        self.raw
    }

    /// Returns the user part with its escapes decoded; invalid UTF-8 becomes U+FFFD.
    pub fn user_decoded(&self) -> Option<Cow<'a, str>> {
        self.user.map(decode_escapes)
    }

    /// Returns the parameter `transport`, if written.
    pub fn transport(&self) -> Option<&'a str> {
        self.params.value("transport")
    }

    /// Returns whether the parameter `lr` is there (loose routing).
    pub fn is_loose_route(&self) -> bool {
        self.params.has("lr")
    }

    /// Returns whether two URIs are equal by RFC 3261 section 19.1.4, without URI headers: user with case, host
    /// without; the parameters user, ttl, method, maddr and transport in both or in neither; others equal if both have
    /// them.
    pub fn equivalent(&self, other: &Uri<'_>) -> bool {
        let same_scheme = match (self.scheme, other.scheme) {
            (Scheme::Other(a), Scheme::Other(b)) => a.eq_ignore_ascii_case(b),
            (a, b) => a == b,
        };
        let same_user = self.user_decoded() == other.user_decoded();
        let same_place = (self.host == other.host || self.host.same_as(&other.host)) && self.port == other.port;
        if !(same_scheme && same_user && same_place && self.password == other.password) {
            return false;
        }
        let strict = ["user", "ttl", "method", "maddr", "transport"];
        let same = |a: Option<&str>, b: Option<&str>| match (a, b) {
            (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
            (None, None) => true,
            _ => false,
        };
        strict.iter().all(|name| same(self.params.value(name), other.params.value(name)))
            && self.params.iter().all(|(name, value)| !other.params.has(name) || same(value, other.params.value(name)))
    }
}

impl fmt::Display for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.raw)
    }
}

/// Writes `ADDRESS:PORT` as in messages, IPv6 in brackets. The standard library's formatting, which can also pad, takes
/// several times as long for IPv4.
pub(crate) fn push_authority(out: &mut String, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(v4) => push_v4(out, v4),
        IpAddr::V6(v6) => push_host(out, &Host::V6(v6)),
    }
    out.push(':');
    push_number(out, address.port());
}

/// Writes a host as its `Display` does.
pub(crate) fn push_host(out: &mut String, host: &Host<'_>) {
    match host {
        Host::Name(name) => out.push_str(name),
        Host::V4(v4) => push_v4(out, *v4),
        Host::V6(v6) => out.extend(["[", &v6.to_string(), "]"]),
    }
}

fn push_v4(out: &mut String, address: Ipv4Addr) {
    for (n, octet) in address.octets().into_iter().enumerate() {
        if n > 0 {
            out.push('.');
        }
        push_number(out, octet.into());
    }
}

/// Writes a number in decimal.
pub(crate) fn push_number(out: &mut String, number: u16) {
    if number > 9 {
        push_number(out, number / 10);
    }
    out.push(char::from(b'0' + (number % 10) as u8));
}

/// Decodes `%XX`; a broken escape stays as it is.
pub fn decode_escapes(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape =
            (bytes[at] == b'%').then(|| Some((hex_digit(*bytes.get(at + 1)?)?, hex_digit(*bytes.get(at + 2)?)?)));
        match escape.flatten() {
            Some((high, low)) => {
                out.push(high << 4 | low);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

/// Escapes every character that a user part may not hold, so that any text can stand in a URI.
pub fn escape_user(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|b| is_user_char(b) && b != b'%') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if is_user_char(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    Cow::Owned(out)
}

/// Escapes every character that the value of a header in a URI may not hold.
pub fn escape_header(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        match is_unreserved(byte) {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Returns whether `text` is a non-empty token (RFC 3261 section 25.1).
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_char)
}

pub(crate) fn is_token_char(byte: u8) -> bool {
    is_of(byte, TOKEN)
}

/// Returns the text before and after the first `byte`, which must be an ASCII character.
pub(crate) fn split_at_byte(text: &str, byte: u8) -> Option<(&str, &str)> {
    memchr(byte, text.as_bytes()).map(|at| (&text[..at], &text[at + 1..]))
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

fn is_unreserved(byte: u8) -> bool {
    is_of(byte, UNRESERVED)
}

fn is_user_char(byte: u8) -> bool {
    is_of(byte, USER)
}

/// Kinds of characters, one bit each.
const TOKEN: u8 = 1;
const UNRESERVED: u8 = 2;
/// user-unreserved, and `#`, which telephones send unescaped.
const USER: u8 = 4;
/// param-unreserved with the separators of parameters.
const PARAM: u8 = 8;
/// hnv-unreserved with the separators of headers.
const HEADER: u8 = 16;
/// Characters that no URI has.
const NEVER: u8 = 32;

/// The kinds of every byte: one look-up instead of a dozen comparisons.
const KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut n = 0;
    while n < kinds.len() {
        let byte = n as u8;
        let alphanumeric = byte.is_ascii_alphanumeric();
        let unreserved = alphanumeric || matches!(byte, b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')');
        if alphanumeric || matches!(byte, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~') {
            kinds[n] |= TOKEN;
        }
        if unreserved {
            kinds[n] |= UNRESERVED;
        }
        if unreserved || matches!(byte, b'&' | b'=' | b'+' | b'$' | b',' | b';' | b'?' | b'/' | b'#') {
            kinds[n] |= USER;
        }
        if unreserved || matches!(byte, b'[' | b']' | b'/' | b':' | b'&' | b'+' | b'$' | b';' | b'=') {
            kinds[n] |= PARAM;
        }
        if unreserved || matches!(byte, b'[' | b']' | b'/' | b'?' | b':' | b'+' | b'$' | b'&' | b'=' | b';' | b'@') {
            kinds[n] |= HEADER;
        }
        if byte <= b' ' || byte >= 0x7f || matches!(byte, b'<' | b'>' | b'"') {
            kinds[n] |= NEVER;
        }
        n += 1;
    }
    kinds
};

fn is_of(byte: u8, kind: u8) -> bool {
    KINDS[usize::from(byte)] & kind != 0
}

/// Returns whether every byte is of the kind or part of a complete escape.
fn is_escaped_text(text: &str, kind: u8) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            let complete = bytes.get(at + 1..at + 3).is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit));
            if !complete {
                return false;
            }
            at += 3;
        } else if is_of(bytes[at], kind) {
            at += 1;
        } else {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_uri_are_found() {
        let uri = Uri::parse("sips:al%20ice:pw@[2001:db8::9]:5061;transport=TCP;lr?subject=x&to=y").unwrap();
        assert_eq!(uri.scheme, Scheme::Sips);
        assert_eq!(uri.user, Some("al%20ice"));
        assert_eq!(uri.user_decoded().as_deref(), Some("al ice"));
        assert_eq!(uri.password, Some("pw"));
        assert_eq!(uri.host, Host::V6("2001:db8::9".parse().unwrap()));
        assert_eq!(uri.port, Some(5061));
        assert_eq!(uri.transport(), Some("TCP"));
        assert!(uri.is_loose_route());
        assert_eq!(uri.headers, Some("subject=x&to=y"));
    }

    #[test]
    fn user_part_may_hold_separators() {
        let uri = Uri::parse("sip:user;par=u%40example.net@example.com").unwrap();
        assert_eq!(uri.user, Some("user;par=u%40example.net"));
        assert_eq!(uri.host, Host::Name("example.com"));
    }

    #[test]
    fn malformed_uris_are_refused() {
        for (text, error) in [
            ("", UriError::Scheme),
            ("example.com", UriError::Scheme),
            ("<sip:user@example.com>", UriError::Scheme),
            ("1sip:user@example.com", UriError::Scheme),
            ("sip:", UriError::Host),
            ("sip:@example.com", UriError::User),
            ("sip:a@b@c", UriError::Host),
            ("sip:us%4@example.com", UriError::User),
            ("sip:2001:db8::10", UriError::Host),
            ("sip:user@[2001:db8:::192.0.2.1]", UriError::Host),
            ("sip:user@example.com:0", UriError::Host),
            ("sip:user@example.com:65536", UriError::Host),
            ("sip:user@example.com:+5060", UriError::Host),
            ("sip:user@example.com; lr", UriError::Character),
            ("sip:user@example.com;;lr", UriError::Params),
            ("sip:user@exa mple.com", UriError::Character),
            ("sip:Jos\u{e9}@example.com", UriError::Character),
        ] {
            assert_eq!(Uri::parse(text).map(|_| ()), Err(error), "{text}");
        }
    }

    #[test]
    fn other_schemes_are_opaque() {
        let tel = Uri::parse("tel:+1-201-555-0123;phone-context=example.com").unwrap();
        assert_eq!((tel.scheme, tel.user), (Scheme::Tel, Some("+1-201-555-0123")));
        assert_eq!(tel.params.value("phone-context"), Some("example.com"));
        assert_eq!(Uri::parse("soap.beep://192.0.2.103:3002").unwrap().scheme, Scheme::Other("soap.beep"));
    }

    #[test]
    fn equality_follows_the_rfc() {
        let same = |a, b| Uri::parse(a).unwrap().equivalent(&Uri::parse(b).unwrap());
        assert!(same("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"));
        assert!(same("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"));
        assert!(!same("SIP:ALICE@AtLanTa.CoM", "sip:alice@atlanta.com"));
        assert!(!same("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"));
        assert!(!same("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"));
        assert!(!same("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"));
    }

    #[test]
    fn addresses_are_written_as_the_standard_library_writes_them() {
        for text in ["192.0.2.1:5060", "0.0.0.0:0", "255.10.100.9:65535", "[2001:db8::9]:5061", "[::]:1"] {
            let (address, mut out): (SocketAddr, _) = (text.parse().unwrap(), String::new());
            push_authority(&mut out, address);
            assert_eq!(out, text);
        }
        for text in ["a.example", "192.0.2.1", "[2001:db8::9]"] {
            let mut out = String::new();
            push_host(&mut out, &Host::parse(text).unwrap());
            assert_eq!(out, text);
        }
    }

    #[test]
    fn escaping_any_text_gives_a_user_part_that_decodes_to_it() {
        for text in ["+15555550142", "a b@c:d", "100%", "d\u{e9}j\u{e0}", "\0"] {
            let uri = format!("sip:{}@example.com", escape_user(text));
            assert_eq!(Uri::parse(&uri).unwrap().user_decoded().as_deref(), Some(text));
        }
    }
}
