//! Header names and typed header values (RFC 3261 sections 7.3, 20 and 25).
//!
//! Values are already unfolded by `message`. Strings stay borrowed; escapes are decoded on request.
//! A value that does not follow the grammar is an error when it is read, never a panic.
//!
//! Not here: the split of a message into headers (`message`), digest headers (`digest`).

use std::borrow::Cow;
use std::fmt;

use memchr::{memchr, memchr3};

use super::message::Method;
use super::uri::{Host, Uri, UriError, is_token, is_token_char, parse_host_port, split_at_byte};

macro_rules! names {
    ($($variant:ident $text:literal $($compact:literal)?;)*) => {
        /// Headers that Tandem reads, by their meaning; compact forms included (RFC 3261 section 7.3.3).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Name {
            $(#[doc = concat!("`", $text, "`")] $variant,)*
            /// Any other header; found by its text.
            Other,
        }

        impl Name {
            /// Returns the name that `text` means, without regard to case.
            pub fn parse(text: &str) -> Name {
                $(if text.eq_ignore_ascii_case($text) $(|| text.eq_ignore_ascii_case($compact))? {
                    return Name::$variant;
                })*
                Name::Other
            }

            /// Returns the long form as it is written; empty for [`Name::Other`].
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Name::$variant => $text,)*
                    Name::Other => "",
                }
            }
        }
    };
}

names! {
    Via "Via" "v";
    From "From" "f";
    To "To" "t";
    CallId "Call-ID" "i";
    CSeq "CSeq";
    MaxForwards "Max-Forwards";
    Contact "Contact" "m";
    ContentLength "Content-Length" "l";
    ContentType "Content-Type" "c";
    ContentEncoding "Content-Encoding" "e";
    Route "Route";
    RecordRoute "Record-Route";
    Path "Path";
    Allow "Allow";
    Accept "Accept";
    Supported "Supported" "k";
    Require "Require";
    ProxyRequire "Proxy-Require";
    Unsupported "Unsupported";
    Expires "Expires";
    MinExpires "Min-Expires";
    RetryAfter "Retry-After";
    Authorization "Authorization";
    ProxyAuthorization "Proxy-Authorization";
    WwwAuthenticate "WWW-Authenticate";
    ProxyAuthenticate "Proxy-Authenticate";
    Reason "Reason";
    Warning "Warning";
    UserAgent "User-Agent";
    Server "Server";
    Subject "Subject" "s";
    Date "Date";
    Event "Event" "o";
    AllowEvents "Allow-Events" "u";
    SubscriptionState "Subscription-State";
    ReferTo "Refer-To" "r";
    ReferredBy "Referred-By" "b";
    Replaces "Replaces";
    SessionExpires "Session-Expires" "x";
    MinSe "Min-SE";
    RSeq "RSeq";
    RAck "RAck";
    PAssertedIdentity "P-Asserted-Identity";
    PPreferredIdentity "P-Preferred-Identity";
    Privacy "Privacy";
    Diversion "Diversion";
}

impl Name {
    /// Returns whether several values may share one line, separated by commas.
    pub fn is_list(self) -> bool {
        use Name::{Accept, Allow, AllowEvents, Contact, Diversion, PAssertedIdentity, PPreferredIdentity, Path};
        use Name::{ProxyRequire, Reason, RecordRoute, Require, Route, Supported, Unsupported, Via, Warning};
        matches!(
            self,
            Via | Contact
                | Route
                | RecordRoute
                | Path
                | Allow
                | Accept
                | Supported
                | Require
                | ProxyRequire
                | Unsupported
                | AllowEvents
                | Reason
                | Warning
                | Diversion
                | PAssertedIdentity
                | PPreferredIdentity
        )
    }
}

/// Why a header value cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The header is missing.
    #[error("no {} header", .0.as_str())]
    Missing(Name),
    /// The value does not follow the grammar.
    #[error("malformed {} header", .0.as_str())]
    Malformed(Name),
}

/// Parameters after a value: `;name=value;flag`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'a>(&'a str);

/// Most parameters of one value; real values have far fewer.
const MAX_PARAMS: usize = 64;

/// Parameters that do not follow the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadParams;

impl<'a> Params<'a> {
    /// Reads text that is empty or starts with `;`. Names are tokens; values are tokens, quoted strings, or text
    /// without separators (addresses). No name may occur twice (RFC 3261 section 7.3.1).
    ///
    /// # Errors
    /// Returns [`BadParams`] for text that does not follow this grammar, or more than 64 parameters.
    pub fn parse(text: &'a str) -> Result<Params<'a>, BadParams> {
        let text = text.trim_ascii();
        if text.is_empty() {
            return Ok(Params(""));
        }
        let body = text.strip_prefix(';').ok_or(BadParams)?;
        let mut names = Names::default();
        for item in SplitOutside::new(body, b';') {
            let (name, value) = split_param(item);
            if !names.is_new(name) {
                return Err(BadParams);
            }
            let good_name = !name.is_empty() && name.bytes().all(|b| is_token_char(b) || b"[]/:&$()".contains(&b));
            if !good_name || !value.is_none_or(is_param_value) {
                return Err(BadParams);
            }
        }
        Ok(Params(body))
    }

    /// Returns the parameters in order; values as written, quotes included.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> + use<'a> {
        SplitOutside::new(self.0, b';').filter(|item| !item.trim_ascii().is_empty()).map(split_param)
    }

    /// Returns the value of the first parameter with this name, without quotes; `None` if it is absent or has no value.
    pub fn value(&self, name: &str) -> Option<&'a str> {
        let (_, value) = self.iter().find(|(candidate, _)| candidate.eq_ignore_ascii_case(name))?;
        value.map(|value| value.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(value))
    }

    /// Returns whether the parameter is there, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.iter().any(|(candidate, _)| candidate.eq_ignore_ascii_case(name))
    }
}

/// Names of the parameters so far; the usual few need no allocation.
#[derive(Default)]
struct Names<'a> {
    count: usize,
    first: [&'a str; 4],
    further: Vec<&'a str>,
}

impl<'a> Names<'a> {
    /// Adds a name; returns whether it is new and within the limit.
    fn is_new(&mut self, name: &'a str) -> bool {
        let known = self.first.iter().take(self.count).chain(&self.further);
        if self.count == MAX_PARAMS || known.into_iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return false;
        }
        match self.first.get_mut(self.count) {
            Some(place) => *place = name,
            None => self.further.push(name),
        }
        self.count += 1;
        true
    }
}

fn split_param(item: &str) -> (&str, Option<&str>) {
    match split_at_byte(item, b'=') {
        Some((name, value)) => (name.trim_ascii(), Some(value.trim_ascii())),
        None => (item.trim_ascii(), None),
    }
}

fn is_param_value(value: &str) -> bool {
    if value.starts_with('"') {
        return quoted_end(value) == Some(value.len());
    }
    !value.is_empty() && !value.bytes().any(|b| b <= b' ' || b == 0x7f || matches!(b, b'"' | b',' | b';' | b'<' | b'>'))
}

/// For text that starts with `"`, returns the index after the closing quote.
pub(crate) fn quoted_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

/// Splits at a separator that stands outside quoted strings and angle brackets.
///
/// An unterminated quote takes the rest; the parser of the item reports the fault.
pub(crate) struct SplitOutside<'a> {
    rest: Option<&'a str>,
    separator: u8,
}

impl<'a> SplitOutside<'a> {
    pub(crate) fn new(text: &'a str, separator: u8) -> SplitOutside<'a> {
        SplitOutside { rest: Some(text), separator }
    }
}

impl<'a> Iterator for SplitOutside<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.rest?;
        let bytes = text.as_bytes();
        let (mut at, mut in_angle) = (memchr3(self.separator, b'"', b'<', bytes).unwrap_or(bytes.len()), false);
        while at < bytes.len() {
            match bytes[at] {
                b'"' if !in_angle => match quoted_end(&text[at..]) {
                    Some(length) => at += length,
                    None => break,
                },
                b'<' => {
                    in_angle = true;
                    at += 1;
                }
                b'>' => {
                    in_angle = false;
                    at += 1;
                }
                byte if byte == self.separator && !in_angle => {
                    self.rest = Some(&text[at + 1..]);
                    return Some(&text[..at]);
                }
                _ => at += 1,
            }
        }
        self.rest = None;
        Some(text)
    }
}

/// An address with an optional display name: From, To, Contact, Route.
#[derive(Clone, Copy, Debug)]
pub struct NameAddr<'a> {
    /// Display name as written, without its quotes, with its escapes.
    pub display: Option<&'a str>,
    /// URI of the address.
    pub uri: Uri<'a>,
    /// Header parameters, such as `tag`.
    pub params: Params<'a>,
}

/// An address header that does not follow the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed address")]
pub struct BadAddress;

impl From<UriError> for BadAddress {
    fn from(_: UriError) -> BadAddress {
        BadAddress
    }
}

impl<'a> NameAddr<'a> {
    /// Reads `"display" <uri>;params`, `display <uri>;params` or `uri;params`.
    ///
    /// Without angle brackets, parameters belong to the header, and `?` or `,` are errors (RFC 3261 section 20).
    ///
    /// # Errors
    /// Returns [`BadAddress`] if the text has none of these forms or its URI is malformed.
    pub fn parse(text: &'a str) -> Result<NameAddr<'a>, BadAddress> {
        let text = text.trim_ascii();
        let (display, rest) = if text.starts_with('"') {
            let end = quoted_end(text).ok_or(BadAddress)?;
            (Some(&text[1..end - 1]), text[end..].trim_ascii_start())
        } else if let Some(open) = memchr(b'<', text.as_bytes()) {
            let display = text[..open].trim_ascii();
            if !display.bytes().all(is_bare_display_char) {
                return Err(BadAddress);
            }
            ((!display.is_empty()).then_some(display), &text[open..])
        } else {
            let end = text.find(';').unwrap_or(text.len());
            let uri = text[..end].trim_ascii_end();
            if uri.contains(['?', ',']) {
                return Err(BadAddress);
            }
            let params = Params::parse(&text[end..]).map_err(|_| BadAddress)?;
            return Ok(NameAddr { display: None, uri: Uri::parse(uri)?, params });
        };
        let (uri, params) = rest.strip_prefix('<').and_then(|rest| split_at_byte(rest, b'>')).ok_or(BadAddress)?;
        let params = Params::parse(params).map_err(|_| BadAddress)?;
        Ok(NameAddr { display, uri: Uri::parse(uri)?, params })
    }

    /// Returns the parameter `tag`.
    pub fn tag(&self) -> Option<&'a str> {
        self.params.value("tag")
    }

    /// Returns the display name with its escapes decoded.
    pub fn display_name(&self) -> Option<Cow<'a, str>> {
        self.display.map(unescape_quoted)
    }
}

impl fmt::Display for NameAddr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = self.display {
            write!(f, "\"{display}\" ")?;
        }
        write!(f, "<{}>", self.uri)?;
        if !self.params.0.is_empty() {
            write!(f, ";{}", self.params.0)?;
        }
        Ok(())
    }
}

/// Characters of a display name without quotes. By the grammar these are tokens and spaces; the others are sent by
/// telephone exchanges and cannot be confused with a separator.
fn is_bare_display_char(byte: u8) -> bool {
    is_token_char(byte) || byte >= 0x80 || matches!(byte, b' ' | b'\t' | b'(' | b')' | b'/' | b'@' | b'#' | b'&' | b'$')
}

/// Decodes `\x` inside a quoted string.
pub fn unescape_quoted(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' { chars.next().unwrap_or('\\') } else { c });
    }
    Cow::Owned(out)
}

/// Returns text as a quoted string; control characters become spaces.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// One value of a Contact header.
#[derive(Clone, Copy, Debug)]
pub enum Contact<'a> {
    /// `*`: all bindings, in a REGISTER with `Expires: 0`.
    Star,
    /// An address with its parameters.
    Address(NameAddr<'a>),
}

impl<'a> Contact<'a> {
    /// Reads one value of the header.
    ///
    /// # Errors
    /// Returns [`BadAddress`] if the value is neither `*` nor an address.
    pub fn parse(text: &'a str) -> Result<Contact<'a>, BadAddress> {
        match text.trim_ascii() {
            "*" => Ok(Contact::Star),
            text => NameAddr::parse(text).map(Contact::Address),
        }
    }

    /// Returns the address; `None` for `*`.
    pub fn address(&self) -> Option<&NameAddr<'a>> {
        match self {
            Contact::Star => None,
            Contact::Address(address) => Some(address),
        }
    }
}

/// One value of a Via header.
#[derive(Clone, Copy, Debug)]
pub struct Via<'a> {
    /// Protocol version, `2.0`.
    pub version: &'a str,
    /// Transport as written: UDP, TCP, TLS, WS, WSS or anything else.
    pub transport: &'a str,
    /// Host of sent-by.
    pub host: Host<'a>,
    /// Port of sent-by, if written.
    pub port: Option<u16>,
    /// Parameters such as `branch` and `rport`.
    pub params: Params<'a>,
}

/// Start of every branch of RFC 3261; other branches follow RFC 2543 and are not unique.
pub const MAGIC_COOKIE: &str = "z9hG4bK";

impl<'a> Via<'a> {
    /// Reads one value of the header.
    ///
    /// # Errors
    /// Returns [`HeaderError::Malformed`] if the value does not follow the grammar.
    pub fn parse(text: &'a str) -> Result<Via<'a>, HeaderError> {
        Via::parse_value(text.trim_ascii()).ok_or(HeaderError::Malformed(Name::Via))
    }

    fn parse_value(text: &'a str) -> Option<Via<'a>> {
        let (protocol, rest) = split_at_byte(text, b'/')?;
        let (version, rest) = split_at_byte(rest, b'/')?;
        let rest = rest.trim_ascii_start();
        let (transport, rest) = rest.split_at(rest.find([' ', '\t'])?);
        let (sent_by, params) = rest.split_at(rest.find(';').unwrap_or(rest.len()));
        let (host, port) = parse_host_port(sent_by.trim_ascii(), true)?;
        let version = version.trim_ascii();
        let known = protocol.trim_ascii().eq_ignore_ascii_case("SIP") && is_token(version) && is_token(transport);
        known.then_some(())?;
        Some(Via { version, transport, host, port, params: Params::parse(params).ok()? })
    }

    /// Returns the branch, whatever its form.
    pub fn branch(&self) -> Option<&'a str> {
        self.params.value("branch")
    }

    /// Returns whether the branch is enough to identify the transaction (RFC 3261 section 8.1.1.7).
    pub fn has_magic_branch(&self) -> bool {
        self.branch().is_some_and(|branch| {
            branch.get(..MAGIC_COOKIE.len()).is_some_and(|head| head.eq_ignore_ascii_case(MAGIC_COOKIE))
        })
    }

    /// Returns whether responses go to the port of the request's source (RFC 3581).
    pub fn wants_rport(&self) -> bool {
        self.params.has("rport")
    }
}

/// The value of a CSeq header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// Sequence number, below 2³¹.
    pub number: u32,
    /// Method; equals that of the request.
    pub method: Method<'a>,
}

impl<'a> CSeq<'a> {
    /// Reads `number method`.
    ///
    /// # Errors
    /// Returns [`HeaderError::Malformed`] for any other text, and for numbers from 2³¹ on.
    pub fn parse(text: &'a str) -> Result<CSeq<'a>, HeaderError> {
        let malformed = HeaderError::Malformed(Name::CSeq);
        let (number, method) = text.trim_ascii().split_once([' ', '\t']).ok_or(malformed)?;
        let method = Method::parse(method.trim_ascii()).ok_or(malformed)?;
        let number = parse_digits(number).filter(|&number| number < 1 << 31).ok_or(malformed)?;
        Ok(CSeq { number, method })
    }
}

impl fmt::Display for CSeq<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

/// Reads one or more digits and nothing else; `None` also if the number does not fit.
pub(crate) fn parse_digits(text: &str) -> Option<u32> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_long_and_compact_form_in_any_case() {
        for (text, name) in [
            ("VIA", Name::Via),
            ("v", Name::Via),
            ("L", Name::ContentLength),
            ("call-id", Name::CallId),
            ("i", Name::CallId),
            ("X-Custom", Name::Other),
            ("C%6Fntact", Name::Other),
        ] {
            assert_eq!(Name::parse(text), name, "{text}");
        }
    }

    #[test]
    fn commas_in_quotes_and_angle_brackets_do_not_split() {
        let text = r#""Bell, \" A" <sip:a@b;x=1,2>;q=1 , <sip:c,d@e>, sip:f@g"#;
        let items: Vec<&str> = SplitOutside::new(text, b',').map(str::trim).collect();
        assert_eq!(items, [r#""Bell, \" A" <sip:a@b;x=1,2>;q=1"#, "<sip:c,d@e>", "sip:f@g"]);
    }

    #[test]
    fn addresses_parse_in_every_form() {
        let address = NameAddr::parse(r#""J Rosenberg \\\"" <sip:jdrosen@example.com> ; tag = 98asjd8"#).unwrap();
        assert_eq!(address.display_name().as_deref(), Some(r#"J Rosenberg \""#));
        assert_eq!(address.tag(), Some("98asjd8"));
        let address = NameAddr::parse("caller<sip:caller@example.com>;tag=323").unwrap();
        assert_eq!(address.display, Some("caller"));
        let address = NameAddr::parse("sip:+16505552222@ss1.example.net;user=phone").unwrap();
        assert_eq!((address.uri.params.value("user"), address.params.value("user")), (None, Some("phone")));
        assert!(NameAddr::parse("  <sip:a@b>").unwrap().display.is_none());
    }

    #[test]
    fn malformed_addresses_are_refused() {
        for text in [
            "",
            "\"Mr. J. User <sip:j.user@example.com>",
            "\"Watson, Thomas\" < sip:t.watson@example.org >",
            "Bell, Alexander <sip:a.g.bell@example.com>;tag=43",
            "\"Joe\" <sip:joe@example.org>;;;;",
            "sip:user@example.com?Route=%3Csip:sip.example.com%3E",
            "<sip:a@b",
            "<sip:a@b> tail",
            "\"A\" sip:a@b",
        ] {
            assert!(NameAddr::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn via_parses_with_spaces_ipv6_and_bare_received() {
        let via = Via::parse("SIP  / 2.0  / TCP     spindle.example.com   ;  branch  =   z9hG4bK9ikj8  ").unwrap();
        assert_eq!((via.transport, via.host), ("TCP", Host::Name("spindle.example.com")));
        assert_eq!(via.branch(), Some("z9hG4bK9ikj8"));
        let via =
            Via::parse("SIP/2.0/UDP [2001:db8::9:1]:6050;received=2001:db8::9:255;branch=z9hG4bKas3;rport").unwrap();
        assert_eq!(via.port, Some(6050));
        assert_eq!(via.params.value("received"), Some("2001:db8::9:255"));
        assert!(via.wants_rport() && via.has_magic_branch());
        assert!(!Via::parse("SIP/2.0/UDP 192.0.2.2;branch=390skdjuw").unwrap().has_magic_branch());
    }

    #[test]
    fn malformed_vias_are_refused() {
        for text in ["", ";", "SIP/2.0/UDP 192.0.2.15;;", "SIP/2.0/UDP", "SIP/2.0 host", "HTTP/2.0/UDP a.example"] {
            assert!(Via::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn cseq_numbers_beyond_31_bits_are_refused() {
        assert_eq!(CSeq::parse("0009   INVITE"), Ok(CSeq { number: 9, method: Method::Invite }));
        for text in
            ["2147483648 INVITE", "36893488147419103232 REGISTER", "-1 BYE", "1", "INVITE", "1 IN VITE", "+1 BYE"]
        {
            assert_eq!(CSeq::parse(text), Err(HeaderError::Malformed(Name::CSeq)), "{text}");
        }
    }

    #[test]
    fn quoting_survives_unescaping() {
        let text = "a \"b\" \\ c";
        let quoted = quote(text);
        assert_eq!(unescape_quoted(&quoted[1..quoted.len() - 1]), text);
    }
}
