//! Reasons for a call's refusal or end as messages carry them: the headers Reason (RFC 3326) and Warning (RFC 3261
//! section 20.43).
//!
//! ```text
//!   Reason: SIP;cause=200;text="Call completed elsewhere", Q.850;cause=16;text="Normal call clearing"
//!   Warning: 399 pbx.example "Line out of order", 370 pbx.example "Insufficient bandwidth"
//! ```
//!
//! Reading is lenient: a value that does not follow the grammar is skipped, and the next one is read. Texts are
//! bounded, and control characters in them are replaced.
//!
//! Not here: the effect of a cause on a call (`error::HangupCause`).

use std::fmt;

use super::header::{Name, SplitOutside, quote, quoted_end, unescape_quoted};
use super::message::Message;

/// Most values of one message that are read; real messages have far fewer.
const VALUES_MAX: usize = 16;
/// Longest text that is kept, in characters.
pub const TEXT_MAX: usize = 200;

/// Details that a message gives about its refusal or the end of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Cause value of ITU-T Q.850, 1 to 127.
    pub q850: Option<u8>,
    /// Text of the Warning header, or else of the Reason header; at most [`TEXT_MAX`] characters, no control
    /// characters.
    pub text: Option<String>,
}

impl Told {
    /// Reads the details from a message.
    pub fn of(message: &Message<'_>) -> Told {
        let warning = message.headers(Name::Warning).take(VALUES_MAX).find_map(warning_text);
        let reason = Told::of_values(message.headers(Name::Reason));
        Told { q850: reason.q850, text: warning.or(reason.text) }
    }

    /// Reads the value of a Reason header, or several values separated by commas.
    pub fn of_reason(value: &str) -> Told {
        Told::of_values(SplitOutside::new(value, b','))
    }

    fn of_values<'a>(values: impl Iterator<Item = &'a str>) -> Told {
        let mut told = Told::default();
        for reason in values.take(VALUES_MAX).filter_map(Reason::parse) {
            if told.q850.is_none() && reason.is_q850() {
                told.q850 = reason.q850;
                // The text that stands beside the chosen cause takes precedence.
                told.text = reason.text.or(told.text);
            } else {
                told.text = told.text.or(reason.text);
            }
        }
        told
    }
}

/// One value of a Reason header.
struct Reason<'a> {
    protocol: &'a str,
    q850: Option<u8>,
    text: Option<String>,
}

impl<'a> Reason<'a> {
    fn parse(value: &'a str) -> Option<Reason<'a>> {
        let mut parts = SplitOutside::new(value, b';').take(VALUES_MAX);
        let protocol = parts.next()?.trim_ascii();
        let mut reason = Reason { protocol, q850: None, text: None };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let (name, value) = (name.trim_ascii(), value.trim_ascii());
            if name.eq_ignore_ascii_case("cause") {
                reason.q850 = value.parse().ok().filter(|cause| (1..=127).contains(cause));
            } else if name.eq_ignore_ascii_case("text") {
                reason.text = words(value);
            }
        }
        (!protocol.is_empty()).then_some(reason)
    }

    fn is_q850(&self) -> bool {
        self.protocol.eq_ignore_ascii_case("Q.850") && self.q850.is_some()
    }
}

/// Returns the text of a warning, whose value is code, agent and quoted text.
fn warning_text(value: &str) -> Option<String> {
    let (code, rest) = value.trim_ascii().split_once(' ')?;
    let is_code = code.len() == 3 && code.bytes().all(|b| b.is_ascii_digit());
    let (_, text) = rest.trim_ascii_start().split_once(' ')?;
    let text = text.trim_ascii();
    (is_code && text.starts_with('"')).then(|| words(text)).flatten()
}

/// Returns a token or quoted string as clean text; `None` if there is none.
fn words(value: &str) -> Option<String> {
    let inner = match value.starts_with('"') {
        true => value.get(1..quoted_end(value)?.checked_sub(1)?)?,
        false => value,
    };
    clean(&unescape_quoted(inner))
}

/// Returns text from outside, bounded, with control characters replaced by spaces; `None` if nothing is left.
pub fn clean(text: &str) -> Option<String> {
    let bare = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.trim().chars().take(TEXT_MAX).map(bare).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Writes a Reason header value for a Q.850 cause, with its standard text if it has one.
pub struct Q850(pub u8);

impl fmt::Display for Q850 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Q.850;cause={}", self.0)?;
        match phrase(self.0) {
            Some(phrase) => write!(f, ";text={}", quote(phrase)),
            None => Ok(()),
        }
    }
}

/// Returns the standard text of a Q.850 cause (ITU-T Q.850 table 1), for the causes that telephony systems send.
fn phrase(cause: u8) -> Option<&'static str> {
    Some(match cause {
        1 => "Unallocated number",
        2 => "No route to specified transit network",
        3 => "No route to destination",
        6 => "Channel unacceptable",
        16 => "Normal call clearing",
        17 => "User busy",
        18 => "No user responding",
        19 => "No answer from user",
        20 => "Subscriber absent",
        21 => "Call rejected",
        22 => "Number changed",
        23 => "Redirection to new destination",
        26 => "Non-selected user clearing",
        27 => "Destination out of order",
        28 => "Invalid number format",
        29 => "Facility rejected",
        31 => "Normal, unspecified",
        34 => "No circuit/channel available",
        38 => "Network out of order",
        41 => "Temporary failure",
        42 => "Switching equipment congestion",
        47 => "Resource unavailable, unspecified",
        50 => "Requested facility not subscribed",
        55 => "Incoming calls barred within CUG",
        57 => "Bearer capability not authorized",
        58 => "Bearer capability not presently available",
        63 => "Service or option not available, unspecified",
        65 => "Bearer capability not implemented",
        69 => "Requested facility not implemented",
        79 => "Service or option not implemented, unspecified",
        87 => "User not member of CUG",
        88 => "Incompatible destination",
        95 => "Invalid message, unspecified",
        96 => "Mandatory information element is missing",
        97 => "Message type non-existent or not implemented",
        102 => "Recovery on timer expiry",
        111 => "Protocol error, unspecified",
        127 => "Interworking, unspecified",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_q850_cause_and_text_are_found_among_other_reasons() {
        for (value, q850, text) in [
            ("Q.850;cause=16;text=\"Normal call clearing\"", Some(16), Some("Normal call clearing")),
            ("SIP;cause=486;text=\"Busy, here; now\", q.850 ;text=\"x\" ; Cause = 42", Some(42), Some("x")),
            ("SIP;cause=200;text=\"Call completed elsewhere\"", None, Some("Call completed elsewhere")),
            ("SIP;cause=603;text=\"No\",Q.850;cause=21", Some(21), Some("No")),
            ("Q.850;cause=300", None, None),
            ("Q.850;cause=0;text=none", None, Some("none")),
            ("Q.850;text=\"cause=17\"", None, Some("cause=17")),
            ("SIP;cause=17", None, None),
            ("Q.850;cause=17;text=\"un\\\"quoted\\\"\"", Some(17), Some("un\"quoted\"")),
            ("Q.850;cause=17;text=\"no end", Some(17), None),
            ("Q.850;cause=17;text=\"\"", Some(17), None),
            (";;;,,=,\"", None, None),
            ("", None, None),
        ] {
            let told = Told::of_reason(value);
            assert_eq!((told.q850, told.text.as_deref()), (q850, text), "{value}");
        }
    }

    #[test]
    fn warning_texts_are_read_and_malformed_ones_are_skipped() {
        for (value, text) in [
            ("399 pbx.example \"Line out of order\"", Some("Line out of order")),
            ("370  192.0.2.1:5060   \"a, \\\"b\\\"\"", Some("a, \"b\"")),
            ("399 pbx.example Line", None),
            ("39 pbx.example \"x\"", None),
            ("399 \"x\"", None),
            ("399 pbx.example \"x", None),
            ("", None),
        ] {
            assert_eq!(warning_text(value).as_deref(), text, "{value}");
        }
    }

    #[test]
    fn outside_texts_are_bounded_and_have_no_control_characters() {
        let long = format!("Q.850;cause=1;text=\"\u{1b}[2J\u{7f}{}\"", "ü".repeat(400));
        let text = Told::of_reason(&long).text.unwrap();
        assert!(text.chars().count() <= TEXT_MAX && !text.contains(char::is_control), "{text}");
        let many = "Q.850;cause=x, ".repeat(100) + "Q.850;cause=16";
        assert_eq!(Told::of_reason(&many), Told::default(), "the first {VALUES_MAX} count");
    }

    #[test]
    fn a_warning_text_takes_precedence_over_a_reason_text() {
        let head = "SIP/2.0 486 Busy Here\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\nFrom: <sip:a@h>;tag=1\r\n\
                    To: <sip:b@h>;tag=2\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n";
        let reason = "Reason: SIP;cause=486;text=\"busy\"\r\nReason: Q.850;cause=17;text=\"User busy\"\r\n";
        let warning = "Warning: 1 x, 399 pbx \"Line 3 is busy\"\r\n";
        for (headers, text) in
            [(reason.to_owned(), Some("User busy")), (format!("{reason}{warning}"), Some("Line 3 is busy"))]
        {
            let bytes = format!("{head}{headers}Content-Length: 0\r\n\r\n");
            let told = Told::of(&Message::parse(bytes.as_bytes()).unwrap());
            assert_eq!((told.q850, told.text.as_deref()), (Some(17), text));
        }
    }

    #[test]
    fn a_written_cause_is_read_back() {
        for cause in 1..=127 {
            let told = Told::of_reason(&Q850(cause).to_string());
            assert_eq!((told.q850, told.text.as_deref()), (Some(cause), phrase(cause)));
        }
        assert_eq!(Q850(16).to_string(), "Q.850;cause=16;text=\"Normal call clearing\"");
        assert_eq!(Q850(99).to_string(), "Q.850;cause=99");
    }
}
