//! Writes requests and responses (RFC 3261 sections 7 and 8.2.6).
//!
//! [`RequestBuilder`] and [`ResponseBuilder`] append header lines in the order of the calls, and the body at the end.
//! Content-Length is always written. Line ends are removed from values, so that no text from outside can add a header
//! of its own. Not here: which headers a request needs (dialogs).

use std::fmt::Display;
use std::fmt::Write as _;
use std::net::SocketAddr;

use super::gate::Refusal;
use super::header::{Name, Via};
use super::message::Message;
use super::uri::is_token;

/// Writes one request.
#[derive(Clone, Debug)]
pub struct RequestBuilder {
    head: String,
    body: Vec<u8>,
}

impl RequestBuilder {
    /// Starts a request with the line `method uri SIP/2.0`.
    pub fn new(method: &str, uri: &str) -> RequestBuilder {
        let mut head = String::with_capacity(1024);
        push_clean(&mut head, method);
        head.push(' ');
        push_clean(&mut head, uri);
        head.push_str(" SIP/2.0\r\n");
        RequestBuilder { head, body: Vec::new() }
    }

    /// Adds a header line. A name that is not a token is left out; see [`is_token`].
    pub fn header(mut self, name: &str, value: impl Display) -> Self {
        push_header(&mut self.head, name, value);
        self
    }

    /// Adds a header line if there is a value.
    pub fn header_opt(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.header(name, value),
            None => self,
        }
    }

    /// Sets the body and its Content-Type.
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header(Name::ContentType.as_str(), content_type)
    }

    /// Returns the bytes of the message.
    pub fn build(self) -> Vec<u8> {
        finish(self.head, self.body)
    }
}

/// Returns a copy of our own request with another Via, CSeq number and authorization; all else stays the same.
pub fn with_credentials(request: &Message<'_>, via: &str, cseq: u32, proof: Name, value: &str) -> Vec<u8> {
    let method = request.method().map_or("", |method| method.as_str());
    let mut written = RequestBuilder::new(method, request.request_uri().map_or("", |uri| uri.as_str()));
    written = written.header("Via", via);
    for (name, value) in request.all_headers() {
        written = match Name::parse(name) {
            Name::Via | Name::ContentLength => written,
            Name::CSeq => written.header(name, format_args!("{cseq} {method}")),
            known if known == proof => written,
            _ => written.header(name, value),
        };
    }
    written = written.header(proof.as_str(), value);
    finish(written.head, request.body().to_vec())
}

/// Writes one response.
#[derive(Clone, Debug)]
pub struct ResponseBuilder {
    head: String,
    body: Vec<u8>,
}

/// The parts of a request that all its responses repeat, so that the request itself can be dropped: Via (the topmost
/// with `received` and `rport` of `source`, RFC 3581), From, To (with `to_tag` if it has no tag), Call-ID and CSeq.
/// Headers that the request lacks are left out.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    lines: Box<str>,
    record_routes: Box<str>,
}

impl ResponseHead {
    /// Reads these parts of `request`.
    pub fn of(request: &Message<'_>, source: Option<SocketAddr>, to_tag: Option<&str>) -> ResponseHead {
        let (mut lines, mut record_routes) = (String::with_capacity(512), String::new());
        repeat_head(&mut lines, request, source, to_tag);
        for route in request.lines(Name::RecordRoute) {
            push_header(&mut record_routes, Name::RecordRoute.as_str(), route);
        }
        ResponseHead { lines: lines.into(), record_routes: record_routes.into() }
    }

    /// Starts a response with this status.
    pub fn response(&self, status: u16, reason: &str) -> ResponseBuilder {
        let mut head = status_line(status, reason);
        head.push_str(&self.lines);
        ResponseBuilder { head, body: Vec::new() }
    }
}

/// Starts the only response to `request`, as [`ResponseHead`] does for one of several.
pub fn response_to(
    request: &Message<'_>,
    source: Option<SocketAddr>,
    status: u16,
    reason: &str,
    to_tag: Option<&str>,
) -> ResponseBuilder {
    let mut head = status_line(status, reason);
    repeat_head(&mut head, request, source, to_tag);
    ResponseBuilder { head, body: Vec::new() }
}

fn status_line(status: u16, reason: &str) -> String {
    let mut head = String::with_capacity(1024);
    let _ = write!(head, "SIP/2.0 {status} ");
    push_clean(&mut head, reason);
    head.push_str("\r\n");
    head
}

fn repeat_head(head: &mut String, request: &Message<'_>, source: Option<SocketAddr>, to_tag: Option<&str>) {
    let mut vias = request.headers(Name::Via);
    if let Some(top) = vias.next() {
        match (request.top_via(), source) {
            (Ok(via), Some(source)) => push_via(head, top, &via, source),
            _ => push_header(head, "Via", top),
        }
    }
    for via in vias {
        push_header(head, "Via", via);
    }
    if let Some(from) = request.header(Name::From) {
        push_header(head, "From", from);
    }
    if let Some(to) = request.header(Name::To) {
        let untagged = request.to().map_or_else(|_| !to.contains(";tag="), |to| to.tag().is_none());
        match to_tag.filter(|_| untagged) {
            Some(tag) => push_header(head, "To", format_args!("{to};tag={tag}")),
            None => push_header(head, "To", to),
        }
    }
    for name in [Name::CallId, Name::CSeq] {
        if let Some(value) = request.header(name) {
            push_header(head, name.as_str(), value);
        }
    }
}

/// Writes the response that refuses a request by the verdict of `gate`.
pub fn refusal_to(
    request: &Message<'_>,
    source: Option<SocketAddr>,
    status: u16,
    refusal: &Refusal,
    to_tag: &str,
) -> ResponseBuilder {
    let response = response_to(request, source, status, refusal.reason, Some(to_tag));
    response.header_opt(Name::Unsupported.as_str(), refusal.unsupported.as_deref())
}

impl ResponseBuilder {
    /// Adds a header line. A name that is not a token is left out; see [`is_token`].
    pub fn header(mut self, name: &str, value: impl Display) -> Self {
        push_header(&mut self.head, name, value);
        self
    }

    /// Adds a header line if there is a value.
    pub fn header_opt(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.header(name, value),
            None => self,
        }
    }

    /// Copies Record-Route, as a response that creates a dialog must (RFC 3261 section 12.1.1).
    pub fn record_routes(mut self, head: &ResponseHead) -> Self {
        self.head.push_str(&head.record_routes);
        self
    }

    /// Sets the body and its Content-Type.
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header(Name::ContentType.as_str(), content_type)
    }

    /// Returns the bytes of the message.
    pub fn build(self) -> Vec<u8> {
        finish(self.head, self.body)
    }
}

/// Writes the Via unchanged if it is already correct, otherwise with `received` and `rport` set to `source`. Values
/// that the peer itself wrote into them are dropped.
fn push_via(head: &mut String, raw: &str, via: &Via<'_>, source: SocketAddr) {
    let stale = via.params.has("received") || via.params.value("rport").is_some();
    if via.host.ip() == Some(source.ip()) && !via.wants_rport() && !stale {
        return push_header(head, "Via", raw);
    }
    let _ = write!(head, "Via: SIP/{}/{} {}", via.version, via.transport, via.host);
    if let Some(port) = via.port {
        let _ = write!(head, ":{port}");
    }
    for (name, value) in via.params.iter() {
        if name.eq_ignore_ascii_case("received") || name.eq_ignore_ascii_case("rport") {
            continue;
        }
        head.push(';');
        head.push_str(name);
        if let Some(value) = value {
            head.push('=');
            head.push_str(value);
        }
    }
    let _ = write!(head, ";received={}", source.ip());
    if via.wants_rport() {
        let _ = write!(head, ";rport={}", source.port());
    }
    head.push_str("\r\n");
}

fn push_header(head: &mut String, name: &str, value: impl Display) {
    if !is_token(name) {
        return;
    }
    head.push_str(name);
    head.push_str(": ");
    let start = head.len();
    let _ = write!(head, "{value}");
    if has_line_end(&head[start..]) {
        let value = head.split_off(start);
        push_clean(head, &value);
    }
    head.push_str("\r\n");
}

fn push_clean(out: &mut String, text: &str) {
    match has_line_end(text) {
        true => out.extend(text.chars().map(|c| if c == '\r' || c == '\n' { ' ' } else { c })),
        false => out.push_str(text),
    }
}

/// Looks at every byte without branching on its value, so that several are processed at once.
fn has_line_end(text: &str) -> bool {
    text.bytes().fold(false, |found, byte| found | (byte == b'\r') | (byte == b'\n'))
}

fn finish(mut head: String, body: Vec<u8>) -> Vec<u8> {
    let _ = write!(head, "Content-Length: {}\r\n\r\n", body.len());
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = "INVITE sip:b@example.com SIP/2.0\r\n\
        Via: SIP/2.0/UDP a.example:5070;rport;branch=z9hG4bK1;received=9.9.9.9, SIP/2.0/TCP c.example;branch=z9hG4bK0\r\n\
        Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\n\
        From: \"A\" <sip:a@example.com>;tag=x\r\nTo: <sip:b@example.com>\r\nCall-ID: 1@a\r\nCSeq: 1 INVITE\r\n\r\n";

    #[test]
    fn response_copies_what_identifies_the_transaction() {
        let request = Message::parse(REQUEST.as_bytes()).unwrap();
        let source = "192.0.2.7:49152".parse().unwrap();
        let head = ResponseHead::of(&request, Some(source), Some("mine"));
        let bytes = head.response(200, "OK").record_routes(&head).body("application/sdp", "v=0\r\n").build();
        let response = Message::parse(&bytes).unwrap();
        let vias: Vec<&str> = response.headers(Name::Via).collect();
        assert_eq!(vias[0], "SIP/2.0/UDP a.example:5070;branch=z9hG4bK1;received=192.0.2.7;rport=49152");
        assert_eq!(vias[1], "SIP/2.0/TCP c.example;branch=z9hG4bK0");
        assert_eq!(response.to().unwrap().tag(), Some("mine"));
        assert_eq!(response.record_routes().count(), 2);
        assert_eq!((response.status(), response.body()), (Some(200), &b"v=0\r\n"[..]));
        assert_eq!(response.defect(), None);
    }

    #[test]
    fn via_of_a_browser_is_copied_exactly_but_for_received() {
        let text = "OPTIONS sip:b@x SIP/2.0\r\nVia: SIP/2.0/WSS f7bq2.invalid;branch=z9hG4bK77\r\n\r\n";
        let request = Message::parse(text.as_bytes()).unwrap();
        let bytes = response_to(&request, Some("192.0.2.7:1".parse().unwrap()), 200, "OK", None).build();
        let response = Message::parse(&bytes).unwrap();
        assert_eq!(response.header(Name::Via), Some("SIP/2.0/WSS f7bq2.invalid;branch=z9hG4bK77;received=192.0.2.7"));
    }

    #[test]
    fn an_existing_tag_is_kept() {
        let text = REQUEST.replace("To: <sip:b@example.com>", "To: <sip:b@example.com>;tag=theirs");
        let request = Message::parse(text.as_bytes()).unwrap();
        let bytes = response_to(&request, None, 200, "OK", Some("mine")).build();
        assert_eq!(Message::parse(&bytes).unwrap().to().unwrap().tag(), Some("theirs"));
    }

    #[test]
    fn no_text_can_add_a_header() {
        let bytes = RequestBuilder::new("INVITE", "sip:a@b\r\nEvil: 0")
            .header("X-Note", "hello\r\nEvil: 1")
            .header("Evil: 2\r\nX", "y")
            .build();
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(message.extension("Evil"), None);
        assert_eq!(message.extension("X-Note"), Some("hello  Evil: 1"));
    }
}
