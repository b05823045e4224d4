//! Why a call is refused or ends, as messages say it: the headers Reason (RFC 3326) and Warning (RFC 3261 section 20.43).
//!
//! ```text
//!   Reason: SIP;cause=200;text="Call completed elsewhere", Q.850;cause=16;text="Normal call clearing"
//!   Warning: 399 pbx.example "Line out of order", 370 pbx.example "Insufficient bandwidth"
//! ```
//!
//! Read leniently: a value that does not follow the grammar is passed over, and the next one is read. Texts are bounded, and
//! control characters in them are replaced.
//!
//! Not here: what a cause means for a call (`error::HangupCause`).

use std::fmt;

use super::header::{Name, SplitOutside, quote, quoted_end, unescape_quoted};
use super::message::Message;

/// Most values of one message that are read; nothing real comes near.
const VALUES_MAX: usize = 16;
/// Longest text that is taken, in characters.
pub const TEXT_MAX: usize = 200;

/// What a message says of why it refuses or ends a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Cause value of ITU-T Q.850, 1 to 127.
    pub q850: Option<u8>,
    /// In words: of the Warning header, else of the Reason header; at most [`TEXT_MAX`] characters, no control characters.
    pub text: Option<String>,
}

impl Told {
    /// What this message says.
    pub fn of(message: &Message<'_>) -> Told {
        let warning = message.headers(Name::Warning).take(VALUES_MAX).find_map(warning_text);
        let reason = Told::of_values(message.headers(Name::Reason));
        Told { q850: reason.q850, text: warning.or(reason.text) }
    }

    /// What the value of a Reason header says, or several of them that are separated by commas.
    pub fn of_reason(value: &str) -> Told {
        Told::of_values(SplitOutside::new(value, b','))
    }

    fn of_values<'a>(values: impl Iterator<Item = &'a str>) -> Told {
        let mut told = Told::default();
        for reason in values.take(VALUES_MAX).filter_map(Reason::parse) {
            if told.q850.is_none() && reason.is_q850() {
                told.q850 = reason.q850;
                // The words beside the cause that counts.
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

/// The text of a warning: code, agent, quoted text.
fn warning_text(value: &str) -> Option<String> {
    let (code, rest) = value.trim_ascii().split_once(' ')?;
    let is_code = code.len() == 3 && code.bytes().all(|b| b.is_ascii_digit());
    let (_, text) = rest.trim_ascii_start().split_once(' ')?;
    let text = text.trim_ascii();
    (is_code && text.starts_with('"')).then(|| words(text)).flatten()
}

/// A token or a quoted string as words that may be kept and shown; `None`: there are none.
fn words(value: &str) -> Option<String> {
    let inner = match value.starts_with('"') {
        true => value.get(1..quoted_end(value)?.checked_sub(1)?)?,
        false => value,
    };
    clean(&unescape_quoted(inner))
}

/// Words from outside, bounded, with control characters replaced by spaces; `None`: there are none.
pub fn clean(text: &str) -> Option<String> {
    let bare = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.trim().chars().take(TEXT_MAX).map(bare).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The value of a Reason header that tells a cause of Q.850, with its standard words where it has some.
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

/// The standard words for a cause of Q.850 (ITU-T Q.850 table 1), for the causes that telephony systems send.
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
    fn a_reason_s_q_850_cause_and_its_words_are_read_among_others() {
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
    fn a_warning_s_text_is_read_and_what_is_none_is_passed_over() {
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
    fn words_from_outside_are_bounded_and_control_no_terminal() {
        let long = format!("Q.850;cause=1;text=\"\u{1b}[2J\u{7f}{}\"", "ü".repeat(400));
        let text = Told::of_reason(&long).text.unwrap();
        assert!(text.chars().count() <= TEXT_MAX && !text.contains(char::is_control), "{text}");
        let many = "Q.850;cause=x, ".repeat(100) + "Q.850;cause=16";
        assert_eq!(Told::of_reason(&many), Told::default(), "the first {VALUES_MAX} count");
    }

    #[test]
    fn a_message_s_warning_is_told_before_its_reason_s_words() {
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
    fn what_is_written_is_read_again() {
        for cause in 1..=127 {
            let told = Told::of_reason(&Q850(cause).to_string());
            assert_eq!((told.q850, told.text.as_deref()), (Some(cause), phrase(cause)));
        }
        assert_eq!(Q850(16).to_string(), "Q.850;cause=16;text=\"Normal call clearing\"");
        assert_eq!(Q850(99).to_string(), "Q.850;cause=99");
    }
}
