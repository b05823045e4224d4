//! What is dialled: one reading of every form in which a destination is written, and whether it may be called.
//!
//! ```text
//!   API `to`, Request-URI, Refer-To, Contact of a 3xx
//!        └─▶ Written::parse ─┬─ number ─▶ Guard: Emergency, or Number judged by the numbering plan of its trunk
//!                            └─ name   ─▶ Uri: an agent, or whatever its host knows by it
//! ```
//!
//! - Escapes are decoded once; what is still escaped after that, control characters and characters beyond ASCII are refused.
//!   Visual separators, parameters, a password and headers are taken off. What is sent is written anew from what was read,
//!   so that nobody further on reads it in another way.
//! - A user part that a telephone network would take for a number is a number whatever host it is written with.
//!
//! Not here: which host is a trunk's, and where names lead (`engine`, `sip_io`).
//! Sources: RFC 3261 sections 19.1 and 25, RFC 3966, RFC 4967.

mod guard;
mod hosts;
mod number;
pub(crate) mod place;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub use guard::{DialConfig, Guard, NO_EMERGENCY_CALLS, Verdict, knows_country};
pub use hosts::{HostRule, HostRules, is_public};
pub use number::{Number, Plan};
pub use place::Place;

use super::uri::{Scheme, Uri, decode_escapes, escape_user};

/// Why a destination is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.why())]
pub enum DialError {
    /// Neither a number nor a URI of a scheme that can be called.
    Scheme,
    /// It does not parse.
    Malformed,
    /// A control character, a character beyond ASCII, or one that separates parts of a URI, perhaps escaped.
    Character,
    /// Letters in something that says it is a telephone number.
    Letters,
    /// Such as `127.1` or `0x7f000001`: addresses that some systems read and others look up.
    Host,
}

impl DialError {
    /// What was expected, in words that hold nothing of the destination.
    pub fn why(self) -> &'static str {
        match self {
            DialError::Scheme => "expected a number, or a URI that begins with sip:, sips: or tel:",
            DialError::Malformed => "malformed URI",
            DialError::Character => "the user part has a character that no number or name has",
            DialError::Letters => "a telephone number has digits only",
            DialError::Host => "the host is neither a name nor an address in its usual form",
        }
    }
}

/// A destination as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The user part.
    pub user: User,
    /// Its host; `None` for bare numbers and names, and for `tel:`.
    pub at: Option<Place>,
}

/// A user part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User {
    /// A telephone network would take it for a number.
    Number(Number),
    /// Anything else; empty when there is none.
    Name(String),
}

/// A destination whose kind is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialled {
    /// An emergency number: its digits.
    Emergency(String),
    /// A number, and the host that was written with it.
    Number {
        /// The number.
        number: Number,
        /// `None`: whatever trunk carries numbers.
        at: Option<Place>,
    },
    /// A name at a host.
    Uri {
        /// Name, decoded, without parameters; may be empty.
        user: String,
        /// `None`: a bare name.
        at: Option<Place>,
    },
}

impl Written {
    /// Reads a number, a bare name, or a `sip:`, `sips:` or `tel:` URI.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Written, DialError> {
        if text.contains(':') {
            let uri = Uri::parse(text).map_err(|_| match text.split_once(':') {
                Some((scheme, _)) if is_called(scheme) => DialError::Malformed,
                _ => DialError::Scheme,
            })?;
            return Written::of_uri(&uri);
        }
        if text.contains('@') {
            return Err(DialError::Scheme);
        }
        Ok(Written { user: User::parse(text, "", false)?, at: None })
    }

    /// Reads a URI that was parsed.
    ///
    /// # Errors
    /// What was expected.
    pub fn of_uri(uri: &Uri<'_>) -> Result<Written, DialError> {
        let raw = uri.user.unwrap_or_default();
        match uri.scheme {
            Scheme::Tel => {
                let context = uri.params.value("phone-context").unwrap_or_default();
                Ok(Written { user: User::parse(raw, context, true)?, at: None })
            }
            Scheme::Sip | Scheme::Sips => {
                let is_phone = uri.params.value("user").is_some_and(|user| user.eq_ignore_ascii_case("phone"));
                let at = Place::of_uri(uri)?;
                Ok(Written { user: User::parse(raw, "", is_phone)?, at: Some(at) })
            }
            Scheme::Other(_) => Err(DialError::Scheme),
        }
    }
}

fn is_called(scheme: &str) -> bool {
    ["sip", "sips", "tel"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
}

impl User {
    /// Reads a user part as it is written, escapes and parameters included. `context`: a `phone-context` that stands
    /// elsewhere. `is_phone`: its writer says that it is a telephone number.
    fn parse(raw: &str, context: &str, is_phone: bool) -> Result<User, DialError> {
        let user = decoded(raw)?;
        let mut parts = user.split(';');
        let name = parts.next().unwrap_or_default().trim_matches(' ');
        let params = parts.filter_map(|param| param.split_once('='));
        let mut contexts = params.filter(|(name, _)| name.trim().eq_ignore_ascii_case("phone-context"));
        let own = contexts.next().map(|(_, value)| value);
        let elsewhere = decoded(context)?;
        let context = own.unwrap_or(&elsewhere);
        match Number::read(name, context)? {
            Some(number) => Ok(User::Number(number)),
            None if is_phone && !name.is_empty() => Err(DialError::Letters),
            None => Ok(User::Name(name.to_owned())),
        }
    }

    /// The number or name as it is told and looked up.
    pub fn as_str(&self) -> &str {
        match self {
            User::Number(number) => number.as_str(),
            User::Name(name) => name,
        }
    }
}

/// Undoes escapes. What is left holds no escape, no control character, nothing beyond ASCII, and no delimiter of a URI; parameters
/// begin at a plain semicolon only, since others might take an escaped one for a part of the number.
fn decoded(raw: &str) -> Result<Cow<'_, str>, DialError> {
    let text = decode_escapes(raw);
    let semicolons = |text: &str| text.bytes().filter(|byte| *byte == b';').count();
    if semicolons(&text) != semicolons(raw) {
        return Err(DialError::Character);
    }
    let fits = |byte: u8| matches!(byte, b' '..=b'~') && !b"@:<>\"\\%`{}|^[]".contains(&byte);
    if text.bytes().all(fits) { Ok(text) } else { Err(DialError::Character) }
}

/// The `sip:` URI of a user at a host, with nothing in it that was not read. `sips:` becomes `transport=tls`.
pub fn uri_of(user: &str, at: &Place) -> String {
    let (host, transport) = (at.authority(), at.transport_parameter());
    match user {
        "" => format!("sip:{host}{transport}"),
        user => format!("sip:{}@{host}{transport}", escape_user(user)),
    }
}
