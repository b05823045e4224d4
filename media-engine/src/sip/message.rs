//! One SIP message as a borrowed view (RFC 3261 section 7).
//!
//! ```text
//!  start line ─ headers (unfolded, long or compact) ─ empty line ─ body (by Content-Length)
//! ```
//!
//! `parse` fails only for messages that cannot be answered: no SIP start line, no end of the head, sizes beyond the
//! caps. Any other fault is kept as a [`Defect`] or found when a typed value is read, so that `gate` can refuse the
//! message with a status. The values that are read most (topmost Via, From, To, CSeq) are parsed once and cached.
//! Not here: whether a message may be acted upon (`gate`), streams (`framing`).

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;

use memchr::{memchr_iter, memchr2};

use super::header::{CSeq, Contact, HeaderError, Name, NameAddr, SplitOutside, Via, parse_digits};
use super::uri::{Uri, UriError, is_token};

/// Longest message, start line to body, in bytes.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// Longest header with its continuation lines, in bytes.
pub const MAX_HEADER: usize = 16 * 1024;
/// Most header lines.
pub const MAX_HEADERS: usize = 128;

/// A request method; methods are case-sensitive tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method<'a> {
    /// Starts or changes a call.
    Invite,
    /// Ends the three-way handshake of INVITE.
    Ack,
    /// Gives up a call that is not answered.
    Cancel,
    /// Ends a call.
    Bye,
    /// Asks what is supported.
    Options,
    /// Binds a contact to an address.
    Register,
    /// Carries data within a dialog (RFC 6086).
    Info,
    /// Changes a session before or after the answer (RFC 3311).
    Update,
    /// Acknowledges a reliable provisional response (RFC 3262).
    Prack,
    /// Carries an instant message (RFC 3428).
    Message,
    /// Asks the peer to call another party (RFC 3515).
    Refer,
    /// Reports an event of a subscription (RFC 6665).
    Notify,
    /// Subscribes to events (RFC 6665).
    Subscribe,
    /// Publishes event state (RFC 3903).
    Publish,
    /// Any other token.
    Other(&'a str),
}

impl<'a> Method<'a> {
    /// Reads a method; `None` if the text is not a token.
    pub fn parse(text: &'a str) -> Option<Method<'a>> {
        Some(match text {
            "INVITE" => Method::Invite,
            "ACK" => Method::Ack,
            "CANCEL" => Method::Cancel,
            "BYE" => Method::Bye,
            "OPTIONS" => Method::Options,
            "REGISTER" => Method::Register,
            "INFO" => Method::Info,
            "UPDATE" => Method::Update,
            "PRACK" => Method::Prack,
            "MESSAGE" => Method::Message,
            "REFER" => Method::Refer,
            "NOTIFY" => Method::Notify,
            "SUBSCRIBE" => Method::Subscribe,
            "PUBLISH" => Method::Publish,
            other if is_token(other) => Method::Other(other),
            _ => return None,
        })
    }

    /// Returns the method as written.
    pub fn as_str(&self) -> &'a str {
        match self {
            Method::Invite => "INVITE",
            Method::Ack => "ACK",
            Method::Cancel => "CANCEL",
            Method::Bye => "BYE",
            Method::Options => "OPTIONS",
            Method::Register => "REGISTER",
            Method::Info => "INFO",
            Method::Update => "UPDATE",
            Method::Prack => "PRACK",
            Method::Message => "MESSAGE",
            Method::Refer => "REFER",
            Method::Notify => "NOTIFY",
            Method::Subscribe => "SUBSCRIBE",
            Method::Publish => "PUBLISH",
            Method::Other(other) => other,
        }
    }
}

impl fmt::Display for Method<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The first line of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start<'a> {
    /// A request line; the URI is as written and not yet checked.
    Request {
        /// Method of the request.
        method: Method<'a>,
        /// Request-URI as written.
        uri: &'a str,
    },
    /// The status line of a response.
    Response {
        /// Status code, 100 to 699.
        status: u16,
        /// Reason phrase; may be empty.
        reason: &'a str,
    },
}

/// Why bytes cannot be answered as a message. They are dropped and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Only line ends: a keep-alive.
    #[error("empty: a keep-alive")]
    Empty,
    /// Longer than [`MAX_MESSAGE`], a header longer than [`MAX_HEADER`], or more than [`MAX_HEADERS`] headers.
    #[error("too large")]
    TooLarge,
    /// No empty line ends the head.
    #[error("no end of headers")]
    Truncated,
    /// The first line is neither a request line nor a status line of SIP.
    #[error("no SIP start line")]
    StartLine,
    /// A carriage return without line feed, or a line feed without carriage return.
    #[error("stray line end")]
    StrayLineEnd,
}

impl ParseError {
    /// Returns the label used in metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            ParseError::Empty => "empty",
            ParseError::TooLarge => "too_large",
            ParseError::Truncated => "truncated",
            ParseError::StartLine => "start_line",
            ParseError::StrayLineEnd => "stray_line_end",
        }
    }
}

/// A fault of a message that could still be split into its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// Superfluous spaces in the request line.
    StartLine,
    /// A line that is not a header.
    HeaderLine,
    /// Content-Length repeated, negative, or not a number.
    ContentLength,
    /// The body is shorter than Content-Length says.
    ShortBody,
}

#[derive(Clone, Debug)]
struct Header<'a> {
    name: Name,
    text: &'a str,
    value: Cow<'a, str>,
}

/// A parsed message that borrows its bytes.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    start: Start<'a>,
    version: &'a str,
    headers: Vec<Header<'a>>,
    body: &'a [u8],
    defect: Option<Defect>,
    top_via: Once<Via<'a>>,
    from: Once<NameAddr<'a>>,
    to: Once<NameAddr<'a>>,
    cseq: Once<CSeq<'a>>,
}

/// A header value, parsed at its first use. Text that does not stand in the message literally (folded lines, invalid
/// UTF-8) is parsed each time.
type Once<T> = OnceCell<Result<T, HeaderError>>;

impl<'a> Message<'a> {
    /// Splits a datagram, a framed stream message or a WebSocket message into its parts.
    ///
    /// Line ends before the start line and bytes after the body are ignored (RFC 3261 sections 7.5, 18.3). Invalid
    /// UTF-8 in header text is read as U+FFFD.
    ///
    /// # Errors
    /// Returns a [`ParseError`] if the bytes cannot be answered; drop them.
    pub fn parse(bytes: &'a [u8]) -> Result<Message<'a>, ParseError> {
        let lead = bytes.iter().take_while(|&&b| b == b'\r' || b == b'\n').count();
        let bytes = &bytes[lead..];
        if bytes.is_empty() {
            return Err(ParseError::Empty);
        }
        if bytes.len() > MAX_MESSAGE {
            return Err(ParseError::TooLarge);
        }
        let head_end = end_of_head(bytes).ok_or(ParseError::Truncated)?;
        let mut lines = Lines { rest: &bytes[..head_end + 2] };
        let first = lines.next().ok_or(ParseError::Truncated)??;
        let (start, version, mut defect) = parse_start(first)?;
        let headers = parse_headers(lines, &mut defect)?;
        let rest = &bytes[head_end + 4..];
        let mut message = Message {
            start,
            version,
            headers,
            body: rest,
            defect,
            top_via: Once::new(),
            from: Once::new(),
            to: Once::new(),
            cseq: Once::new(),
        };
        match message.content_length() {
            Ok(None) => {}
            Ok(Some(length)) if length <= rest.len() => message.body = &rest[..length],
            Ok(Some(_)) => message.defect = message.defect.or(Some(Defect::ShortBody)),
            Err(_) => message.defect = message.defect.or(Some(Defect::ContentLength)),
        }
        Ok(message)
    }

    /// Returns the first line.
    pub fn start(&self) -> Start<'a> {
        self.start
    }

    /// Returns the protocol version, `2.0` for every message that is understood.
    pub fn version(&self) -> &'a str {
        self.version
    }

    /// Returns the first fault that was found while parsing.
    pub fn defect(&self) -> Option<Defect> {
        self.defect
    }

    /// Returns whether this is a request.
    pub fn is_request(&self) -> bool {
        matches!(self.start, Start::Request { .. })
    }

    /// Returns the method of a request.
    pub fn method(&self) -> Option<Method<'a>> {
        match self.start {
            Start::Request { method, .. } => Some(method),
            Start::Response { .. } => None,
        }
    }

    /// Returns the status of a response.
    pub fn status(&self) -> Option<u16> {
        match self.start {
            Start::Request { .. } => None,
            Start::Response { status, .. } => Some(status),
        }
    }

    /// Returns the Request-URI of a request.
    ///
    /// # Errors
    /// Returns a [`UriError`] if the URI is malformed, and always [`UriError::Scheme`] for a response.
    pub fn request_uri(&self) -> Result<Uri<'a>, UriError> {
        match self.start {
            Start::Request { uri, .. } => Uri::parse(uri),
            Start::Response { .. } => Err(UriError::Scheme),
        }
    }

    /// Returns the body as delimited by Content-Length; without that header, everything after the head.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Returns the first line with this name, whole and unfolded.
    pub fn header(&self, name: Name) -> Option<&str> {
        self.lines(name).next()
    }

    /// Returns the lines with this name, whole and unfolded.
    pub fn lines(&self, name: Name) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |header| header.name == name).map(|header| &*header.value)
    }

    /// Returns the values with this name: lines, split at commas if the header is a list.
    pub fn headers(&self, name: Name) -> impl Iterator<Item = &str> {
        self.lines(name).flat_map(move |line| {
            let separator = if name.is_list() { b',' } else { b'\n' };
            SplitOutside::new(line, separator).map(str::trim_ascii)
        })
    }

    /// Returns the first line of a header that [`Name`] does not know, such as `X-Account`, without regard to case.
    pub fn extension(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.text.eq_ignore_ascii_case(name)).map(|header| &*header.value)
    }

    /// Returns every header as (name as written, unfolded value), in order.
    pub fn all_headers(&self) -> impl Iterator<Item = (&'a str, &str)> {
        self.headers.iter().map(|header| (header.text, &*header.value))
    }

    /// Returns the number of lines with this name.
    pub fn count(&self, name: Name) -> usize {
        self.lines(name).count()
    }

    /// Returns the topmost Via.
    ///
    /// # Errors
    /// Returns a [`HeaderError`] if it is missing or malformed.
    pub fn top_via(&self) -> Result<Via<'_>, HeaderError> {
        match self.value(Name::Via) {
            Some(Cow::Borrowed(line)) => *self.top_via.get_or_init(|| first_via(line)),
            Some(Cow::Owned(line)) => first_via(line),
            None => Err(HeaderError::Missing(Name::Via)),
        }
    }

    /// Returns the From address.
    ///
    /// # Errors
    /// Returns a [`HeaderError`] if it is missing or malformed.
    pub fn from(&self) -> Result<NameAddr<'_>, HeaderError> {
        self.address(Name::From, &self.from)
    }

    /// Returns the To address.
    ///
    /// # Errors
    /// Returns a [`HeaderError`] if it is missing or malformed.
    pub fn to(&self) -> Result<NameAddr<'_>, HeaderError> {
        self.address(Name::To, &self.to)
    }

    fn address<'m>(&'m self, name: Name, once: &'m Once<NameAddr<'a>>) -> Result<NameAddr<'m>, HeaderError> {
        match self.value(name) {
            Some(Cow::Borrowed(text)) => *once.get_or_init(|| address(name, text)),
            Some(Cow::Owned(text)) => address(name, text),
            None => Err(HeaderError::Missing(name)),
        }
    }

    /// Returns the first line with this name; `Borrowed` if it stands in the message literally.
    fn value(&self, name: Name) -> Option<&Cow<'a, str>> {
        self.headers.iter().find(|header| header.name == name).map(|header| &header.value)
    }

    /// Returns the Call-ID: one word, or two joined by `@`.
    ///
    /// # Errors
    /// Returns a [`HeaderError`] if it is missing or has spaces or control characters.
    pub fn call_id(&self) -> Result<&str, HeaderError> {
        let text = self.header(Name::CallId).ok_or(HeaderError::Missing(Name::CallId))?;
        let good = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        good.then_some(text).ok_or(HeaderError::Malformed(Name::CallId))
    }

    /// Returns the CSeq number and method.
    ///
    /// # Errors
    /// Returns a [`HeaderError`] if it is missing or malformed.
    pub fn cseq(&self) -> Result<CSeq<'_>, HeaderError> {
        match self.value(Name::CSeq) {
            Some(Cow::Borrowed(text)) => *self.cseq.get_or_init(|| CSeq::parse(text)),
            Some(Cow::Owned(text)) => CSeq::parse(text),
            None => Err(HeaderError::Missing(Name::CSeq)),
        }
    }

    /// Returns the Contact values in order.
    pub fn contacts(&self) -> impl Iterator<Item = Result<Contact<'_>, HeaderError>> {
        self.headers(Name::Contact).map(|text| Contact::parse(text).map_err(|_| HeaderError::Malformed(Name::Contact)))
    }

    /// Returns the first Contact: the remote target of a dialog.
    ///
    /// # Errors
    /// Returns a [`HeaderError`] if it is missing, malformed or `*`.
    pub fn contact(&self) -> Result<NameAddr<'_>, HeaderError> {
        match self.contacts().next() {
            Some(Ok(Contact::Address(address))) => Ok(address),
            Some(_) => Err(HeaderError::Malformed(Name::Contact)),
            None => Err(HeaderError::Missing(Name::Contact)),
        }
    }

    /// Returns Max-Forwards; `None` if it is absent, as from RFC 2543 peers.
    ///
    /// # Errors
    /// Returns [`HeaderError::Malformed`] unless it is a number from 0 to 255.
    pub fn max_forwards(&self) -> Result<Option<u8>, HeaderError> {
        let Some(text) = self.header(Name::MaxForwards) else { return Ok(None) };
        let hops = parse_digits(text).and_then(|hops| u8::try_from(hops).ok());
        hops.map(Some).ok_or(HeaderError::Malformed(Name::MaxForwards))
    }

    /// Returns Content-Length; `None` if it is absent.
    ///
    /// # Errors
    /// Returns [`HeaderError::Malformed`] if it is repeated or not a number.
    pub fn content_length(&self) -> Result<Option<usize>, HeaderError> {
        let mut lines = self.lines(Name::ContentLength);
        let Some(text) = lines.next() else { return Ok(None) };
        let length = parse_digits(text).filter(|_| lines.next().is_none());
        length.map(|length| Some(length as usize)).ok_or(HeaderError::Malformed(Name::ContentLength))
    }

    /// Returns the media type `type/subtype` without parameters, as written.
    pub fn content_type(&self) -> Option<&str> {
        self.header(Name::ContentType).and_then(|text| text.split(';').next()).map(str::trim_ascii)
    }

    /// Returns Expires in seconds; too large a number is read as the largest that fits (RFC 3261 section 20.19), and
    /// text that is not a number counts as absent.
    pub fn expires(&self) -> Option<u32> {
        self.header(Name::Expires).and_then(parse_delta_seconds)
    }

    /// Returns the lines of Authorization.
    pub fn authorization(&self) -> impl Iterator<Item = &str> {
        self.lines(Name::Authorization)
    }

    /// Returns the lines of Proxy-Authorization.
    pub fn proxy_authorization(&self) -> impl Iterator<Item = &str> {
        self.lines(Name::ProxyAuthorization)
    }

    /// Returns the Record-Route addresses in order.
    pub fn record_routes(&self) -> impl Iterator<Item = Result<NameAddr<'_>, HeaderError>> {
        self.addresses(Name::RecordRoute)
    }

    /// Returns the Route addresses in order.
    pub fn routes(&self) -> impl Iterator<Item = Result<NameAddr<'_>, HeaderError>> {
        self.addresses(Name::Route)
    }

    fn addresses(&self, name: Name) -> impl Iterator<Item = Result<NameAddr<'_>, HeaderError>> {
        self.headers(name).map(move |text| address(name, text))
    }
}

fn address(name: Name, text: &str) -> Result<NameAddr<'_>, HeaderError> {
    NameAddr::parse(text).map_err(|_| HeaderError::Malformed(name))
}

/// Returns the first of the values on a line.
fn first_via(line: &str) -> Result<Via<'_>, HeaderError> {
    Via::parse(SplitOutside::new(line, b',').next().unwrap_or_default())
}

/// Reads seconds as in Expires and the Contact parameter `expires`; too large a number saturates.
pub fn parse_delta_seconds(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u32::MAX))
}

/// Lines that end in CRLF; a stray CR or LF is an error.
struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Lines<'a> {
    type Item = Result<&'a [u8], ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let end = memchr2(b'\r', b'\n', self.rest)?;
        if !self.rest[end..].starts_with(b"\r\n") {
            self.rest = &[];
            return Some(Err(ParseError::StrayLineEnd));
        }
        let line = &self.rest[..end];
        self.rest = &self.rest[end + 2..];
        Some(Ok(line))
    }
}

fn parse_start(line: &[u8]) -> Result<(Start<'_>, &str, Option<Defect>), ParseError> {
    let line = std::str::from_utf8(line).map_err(|_| ParseError::StartLine)?;
    if let Some(rest) = strip_sip(line) {
        let (version, rest) = rest.split_once(' ').ok_or(ParseError::StartLine)?;
        let (status, reason) = rest.split_once(' ').unwrap_or((rest, ""));
        let status = (status.len() == 3).then(|| parse_digits(status)).flatten().ok_or(ParseError::StartLine)?;
        if version != "2.0" || !(100..700).contains(&status) {
            return Err(ParseError::StartLine);
        }
        return Ok((Start::Response { status: status as u16, reason }, version, None));
    }
    let trimmed = line.trim_end_matches(' ');
    let (method, rest) = trimmed.split_once(' ').ok_or(ParseError::StartLine)?;
    let (uri, version) = rest.rsplit_once(' ').ok_or(ParseError::StartLine)?;
    let version = strip_sip(version).ok_or(ParseError::StartLine)?;
    let method = Method::parse(method).ok_or(ParseError::StartLine)?;
    let defect = (trimmed.len() != line.len() || uri.trim_ascii() != uri).then_some(Defect::StartLine);
    Ok((Start::Request { method, uri: uri.trim_ascii() }, version, defect))
}

fn strip_sip(text: &str) -> Option<&str> {
    let (head, rest) = text.split_at_checked(4)?;
    head.eq_ignore_ascii_case("SIP/").then_some(rest)
}

fn parse_headers<'a>(lines: Lines<'a>, defect: &mut Option<Defect>) -> Result<Vec<Header<'a>>, ParseError> {
    let mut headers: Vec<Header<'a>> = Vec::with_capacity(16);
    // Whether there is a header that a continuation line can extend; continuation lines of a defective line are
    // defective too.
    let mut open = false;
    for line in lines {
        let line = line?;
        if line.len() > MAX_HEADER {
            return Err(ParseError::TooLarge);
        }
        if matches!(line.first(), Some(b' ' | b'\t')) {
            match headers.last_mut().filter(|_| open) {
                Some(header) => continue_header(header, line)?,
                None => *defect = defect.or(Some(Defect::HeaderLine)),
            }
            continue;
        }
        let Some((text, value)) = split_header(line) else {
            *defect = defect.or(Some(Defect::HeaderLine));
            open = false;
            continue;
        };
        if headers.len() == MAX_HEADERS {
            return Err(ParseError::TooLarge);
        }
        // Nearly all values are valid UTF-8, and the strict check is faster.
        let value = std::str::from_utf8(value).map_or_else(|_| String::from_utf8_lossy(value), Cow::Borrowed);
        headers.push(Header { name: Name::parse(text), text, value });
        open = true;
    }
    Ok(headers)
}

/// Unfolding: the line end and the spaces around it are one space (RFC 3261 section 7.3.1).
fn continue_header(header: &mut Header<'_>, line: &[u8]) -> Result<(), ParseError> {
    let more = String::from_utf8_lossy(line.trim_ascii());
    let value = header.value.to_mut();
    if !value.is_empty() && !more.is_empty() {
        value.push(' ');
    }
    value.push_str(&more);
    if value.len() > MAX_HEADER { Err(ParseError::TooLarge) } else { Ok(()) }
}

fn split_header(line: &[u8]) -> Option<(&str, &[u8])> {
    let colon = line.iter().position(|&b| b == b':')?;
    let name = std::str::from_utf8(&line[..colon]).ok()?.trim_end_matches([' ', '\t']);
    is_token(name).then(|| (name, line[colon + 1..].trim_ascii()))
}

/// Returns the bytes after the head of a message that we wrote.
pub(crate) fn body_of(bytes: &[u8]) -> &[u8] {
    end_of_head(bytes).map_or(&[], |end| &bytes[end + 4..])
}

/// Returns the index of the line end before the empty line that ends the head.
pub(crate) fn end_of_head(bytes: &[u8]) -> Option<usize> {
    memchr_iter(b'\r', bytes).find(|&at| bytes[at..].starts_with(b"\r\n\r\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_headers(headers: &str) -> String {
        format!("OPTIONS sip:a@example.com SIP/2.0\r\n{headers}\r\n")
    }

    #[test]
    fn folded_lines_are_joined_by_one_space() {
        let text = with_headers("Subject: one \r\n\t two\r\n   three\r\nTo:\r\n sip:b@example.com\r\n");
        let message = Message::parse(text.as_bytes()).unwrap();
        assert_eq!(message.header(Name::Subject), Some("one two three"));
        assert_eq!(message.to().unwrap().uri.user, Some("b"));
    }

    #[test]
    fn several_values_on_one_line_are_split_and_counted_in_order() {
        let text =
            with_headers("v: SIP/2.0/UDP a.example;branch=1,SIP/2.0/UDP b.example\r\nVIA : SIP/2.0/TCP c.example\r\n");
        let message = Message::parse(text.as_bytes()).unwrap();
        let hosts: Vec<String> = message.headers(Name::Via).map(|v| Via::parse(v).unwrap().host.to_string()).collect();
        assert_eq!(hosts, ["a.example", "b.example", "c.example"]);
    }

    #[test]
    fn body_is_as_long_as_content_length_says() {
        let text = with_headers("l: 3\r\n") + "abcdef";
        assert_eq!(Message::parse(text.as_bytes()).unwrap().body(), b"abc");
        let text = with_headers("") + "abcdef";
        assert_eq!(Message::parse(text.as_bytes()).unwrap().body(), b"abcdef");
        for (header, defect) in [
            ("l: 7\r\n", Defect::ShortBody),
            ("l: -7\r\n", Defect::ContentLength),
            ("l: x\r\n", Defect::ContentLength),
            ("l: 6\r\nContent-Length: 6\r\n", Defect::ContentLength),
            ("l: 99999999999999999999\r\n", Defect::ContentLength),
        ] {
            let text = with_headers(header) + "abcdef";
            assert_eq!(Message::parse(text.as_bytes()).unwrap().defect(), Some(defect), "{header}");
        }
    }

    #[test]
    fn messages_that_cannot_be_answered_are_errors() {
        for (text, error) in [
            ("\r\n\r\n".to_owned(), ParseError::Empty),
            ("".to_owned(), ParseError::Empty),
            ("\u{0}".to_owned(), ParseError::Truncated),
            ("GET / HTTP/1.1\r\n\r\n".to_owned(), ParseError::StartLine),
            ("SIP/2.0 99 x\r\n\r\n".to_owned(), ParseError::StartLine),
            ("SIP/2.0 4294967301 x\r\n\r\n".to_owned(), ParseError::StartLine),
            ("SIP/3.0 200 OK\r\n\r\n".to_owned(), ParseError::StartLine),
            ("OPTIONS sip:a@b SIP/2.0\r\nTo: x\r\n".to_owned(), ParseError::Truncated),
            (with_headers("To: a\nFrom: b\r\n"), ParseError::StrayLineEnd),
            (with_headers(&"X: y\r\n".repeat(MAX_HEADERS + 1)), ParseError::TooLarge),
            (with_headers(&format!("X: {}\r\n", "y".repeat(MAX_HEADER))), ParseError::TooLarge),
            (with_headers(&format!("X: a\r\n{}", " bbbbbbbb\r\n".repeat(3000))), ParseError::TooLarge),
            (with_headers("") + &"z".repeat(MAX_MESSAGE), ParseError::TooLarge),
        ] {
            assert_eq!(Message::parse(text.as_bytes()).map(|_| ()), Err(error), "{:.60}", text);
        }
    }

    #[test]
    fn invalid_utf8_reads_with_replacement_characters() {
        let message = b"OPTIONS sip:a@b SIP/2.0\r\nFrom: \"Jos\xe9\" <sip:j@b>;tag=1\r\n\r\n";
        let message = Message::parse(message).unwrap();
        assert_eq!(message.from().unwrap().display_name().as_deref(), Some("Jos\u{fffd}"));
    }

    #[test]
    fn expires_saturates() {
        let text = with_headers("Expires: 10000000000000000000000\r\n");
        assert_eq!(Message::parse(text.as_bytes()).unwrap().expires(), Some(u32::MAX));
        let text = with_headers("Expires: soon\r\n");
        assert_eq!(Message::parse(text.as_bytes()).unwrap().expires(), None);
    }
}
