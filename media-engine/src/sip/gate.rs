//! Checks whether a message may be acted upon: mandatory headers, sizes, versions, agreement of its parts.
//!
//! ```text
//!  Message ─▶ check ─▶ Ok: every typed value of the mandatory headers parses
//!                  └─▶ Refusal: answer with its status, or drop the message if it has none
//! ```
//!
//! Not here: permissions (registrar, trunks), methods and bodies that are not served.
//! Sources: RFC 3261 sections 8.1.1, 8.1.3.3, 8.2, 16.3, 18.3; RFC 4475; RFC 5118.

use super::header::{MAGIC_COOKIE, Name, Via};
use super::message::{Defect, Message, Method, Start};
use super::uri::UriError;

/// Most Via values; beyond the default of Max-Forwards a request has been looping.
pub const MAX_VIA: usize = 70;

/// Extensions that a peer may put into Require (RFC 3262, RFC 4028, RFC 4488, RFC 3891, RFC 3327, RFC 5626).
pub const SUPPORTED_EXTENSIONS: &[&str] = &["100rel", "timer", "norefersub", "replaces", "path", "outbound"];

/// Why a message is not acted upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Status to answer with; `None`: drop (responses, ACK, requests without a usable Via).
    pub status: Option<u16>,
    /// Reason phrase of the answer.
    pub reason: &'static str,
    /// Label for log and metric.
    pub log: &'static str,
    /// Value of the header Unsupported in a 420.
    pub unsupported: Option<String>,
}

impl Refusal {
    fn new(status: u16, reason: &'static str, log: &'static str) -> Refusal {
        Refusal { status: Some(status), reason, log, unsupported: None }
    }

    fn bad(reason: &'static str, log: &'static str) -> Refusal {
        Refusal::new(400, reason, log)
    }
}

/// Checks a message before anything acts upon it.
///
/// # Errors
/// Returns a [`Refusal`]: answer with its status, or drop the message if it has none.
pub fn check(message: &Message<'_>) -> Result<(), Refusal> {
    let verdict = match message.start() {
        Start::Request { method, .. } => {
            check_vias(message).and_then(|()| check_request(message, method)).map_err(|refusal| match method {
                Method::Ack => Refusal { status: None, ..refusal },
                _ => refusal,
            })
        }
        Start::Response { .. } => check_response(message).map_err(|refusal| Refusal { status: None, ..refusal }),
    };
    // Without a topmost Via, an answer could not be matched to a transaction.
    verdict.map_err(|refusal| match message.header(Name::Via) {
        Some(_) => refusal,
        None => Refusal { status: None, ..refusal },
    })
}

fn check_request(message: &Message<'_>, method: Method<'_>) -> Result<(), Refusal> {
    if message.version() != "2.0" {
        return Err(Refusal::new(505, "Version Not Supported", "version"));
    }
    check_defect(message)?;
    check_identity(message)?;
    check_target(message, method)?;
    if message.cseq().is_ok_and(|cseq| cseq.method != method) {
        return Err(Refusal::bad("CSeq Method Mismatch", "cseq_method"));
    }
    message.max_forwards().map_err(|_| Refusal::bad("Bad Max-Forwards", "max_forwards"))?;
    check_contacts(message, method)?;
    if message.routes().chain(message.record_routes()).any(|route| route.is_err()) {
        return Err(Refusal::bad("Bad Route", "route"));
    }
    check_extensions(message, method)
}

fn check_response(message: &Message<'_>) -> Result<(), Refusal> {
    if message.headers(Name::Via).take(2).count() != 1 {
        return Err(Refusal::bad("Bad Via", "response_via"));
    }
    check_vias(message)?;
    check_defect(message)?;
    check_identity(message)?;
    if message.routes().chain(message.record_routes()).any(|route| route.is_err()) {
        return Err(Refusal::bad("Bad Route", "route"));
    }
    Ok(())
}

fn check_vias(message: &Message<'_>) -> Result<(), Refusal> {
    let mut count = 0;
    for via in message.headers(Name::Via) {
        count += 1;
        if count > MAX_VIA {
            return Err(Refusal::new(483, "Too Many Hops", "too_many_vias"));
        }
        let via = if count == 1 { message.top_via() } else { Via::parse(via) };
        let via = via.map_err(|_| Refusal::bad("Bad Via", "via"))?;
        if count == 1 && via.branch().is_some_and(|branch| branch.eq_ignore_ascii_case(MAGIC_COOKIE)) {
            return Err(Refusal::bad("Bad Via Branch", "branch"));
        }
    }
    if count == 0 { Err(Refusal::bad("Missing Via", "via")) } else { Ok(()) }
}

fn check_defect(message: &Message<'_>) -> Result<(), Refusal> {
    Err(match message.defect() {
        None => return Ok(()),
        Some(Defect::StartLine) => Refusal::bad("Bad Request Line", "start_line"),
        Some(Defect::HeaderLine) => Refusal::bad("Bad Header Line", "header_line"),
        Some(Defect::ContentLength) => Refusal::bad("Bad Content-Length", "content_length"),
        Some(Defect::ShortBody) => Refusal::bad("Body Shorter Than Content-Length", "short_body"),
    })
}

/// The headers that identify transaction and dialog: each exactly once, each readable.
fn check_identity(message: &Message<'_>) -> Result<(), Refusal> {
    for name in [Name::From, Name::To, Name::CallId, Name::CSeq, Name::MaxForwards, Name::ContentType] {
        if message.count(name) > 1 {
            return Err(Refusal::bad("Repeated Header", "repeated_header"));
        }
    }
    message.from().map_err(|_| Refusal::bad("Bad Or Missing From", "from"))?;
    message.to().map_err(|_| Refusal::bad("Bad Or Missing To", "to"))?;
    message.call_id().map_err(|_| Refusal::bad("Bad Or Missing Call-ID", "call_id"))?;
    message.cseq().map_err(|_| Refusal::bad("Bad Or Missing CSeq", "cseq"))?;
    Ok(())
}

fn check_target(message: &Message<'_>, method: Method<'_>) -> Result<(), Refusal> {
    use super::uri::Scheme;
    let uri = match message.request_uri() {
        Ok(uri) => uri,
        Err(UriError::Scheme) => return Err(Refusal::bad("Bad Request-URI", "request_uri_scheme")),
        Err(_) => return Err(Refusal::bad("Bad Request-URI", "request_uri")),
    };
    if let Scheme::Other(_) = uri.scheme {
        return Err(Refusal::new(416, "Unsupported URI Scheme", "uri_scheme"));
    }
    if uri.headers.is_some() {
        return Err(Refusal::bad("Headers In Request-URI", "request_uri"));
    }
    let names_nobody = |scheme| matches!(scheme, Scheme::Other(_));
    if method == Method::Register && message.to().is_ok_and(|to| names_nobody(to.uri.scheme)) {
        return Err(Refusal::bad("Bad Address Of Record", "to"));
    }
    Ok(())
}

fn check_contacts(message: &Message<'_>, method: Method<'_>) -> Result<(), Refusal> {
    let mut count = 0;
    for contact in message.contacts() {
        let contact = contact.map_err(|_| Refusal::bad("Bad Contact", "contact"))?;
        if contact.address().is_none() && method != Method::Register {
            return Err(Refusal::bad("Bad Contact", "contact"));
        }
        count += 1;
    }
    // RFC 2543 peers, whose branches have no magic cookie, need not send one.
    let modern = message.top_via().is_ok_and(|via| via.has_magic_branch());
    if method == Method::Invite && (count > 1 || (count == 0 && modern)) {
        return Err(Refusal::bad("Not One Contact", "contact"));
    }
    Ok(())
}

/// Checks Require, which CANCEL and ACK do not have (RFC 3261 section 8.2.2.3).
fn check_extensions(message: &Message<'_>, method: Method<'_>) -> Result<(), Refusal> {
    if matches!(method, Method::Ack | Method::Cancel) {
        return Ok(());
    }
    let known = |option: &str| SUPPORTED_EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(option));
    let unknown: Vec<&str> =
        message.headers(Name::Require).filter(|option| !option.is_empty() && !known(option)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let refusal = Refusal::new(420, "Bad Extension", "extension");
    Err(Refusal { unsupported: Some(unknown.join(", ")), ..refusal })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> Result<(), Refusal> {
        check(&Message::parse(text.as_bytes()).unwrap())
    }

    const OPTIONS: &str = "OPTIONS sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/UDP a.example;branch=z9hG4bK1\r\n\
        From: <sip:a@example.com>;tag=x\r\nTo: <sip:b@example.com>\r\nCall-ID: 1@a\r\nCSeq: 1 OPTIONS\r\n\r\n";

    #[test]
    fn ordinary_request_passes() {
        assert_eq!(verdict(OPTIONS), Ok(()));
    }

    #[test]
    fn ack_is_never_answered() {
        let text = OPTIONS.replace("OPTIONS", "ACK").replace("CSeq: 1 ACK", "CSeq: x ACK");
        assert_eq!(verdict(&text).unwrap_err().status, None);
    }

    #[test]
    fn request_without_via_is_dropped() {
        let text = OPTIONS.replace("Via", "X-Via");
        assert_eq!(verdict(&text).unwrap_err().status, None);
    }

    #[test]
    fn more_than_70_vias_are_too_many_hops() {
        let via = "Via: SIP/2.0/UDP a.example;branch=z9hG4bK1\r\n";
        assert_eq!(verdict(&OPTIONS.replace(via, &via.repeat(70))), Ok(()));
        assert_eq!(verdict(&OPTIONS.replace(via, &via.repeat(71))).unwrap_err().status, Some(483));
    }

    #[test]
    fn unknown_extension_is_named() {
        let text = OPTIONS.replace("CSeq", "Require: one, two\r\nCSeq");
        let refusal = verdict(&text).unwrap_err();
        assert_eq!((refusal.status, refusal.unsupported.as_deref()), (Some(420), Some("one, two")));
    }

    #[test]
    fn invite_needs_one_contact() {
        let invite = OPTIONS.replace("OPTIONS", "INVITE");
        assert_eq!(verdict(&invite).unwrap_err().status, Some(400));
        assert_eq!(verdict(&invite.replace("CSeq", "Contact: <sip:a@a.example>\r\nCSeq")), Ok(()));
        assert_eq!(verdict(&invite.replace("CSeq", "Contact: *\r\nCSeq")).unwrap_err().status, Some(400));
    }
}
