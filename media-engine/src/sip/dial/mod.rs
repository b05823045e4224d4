//! Dialled destinations: one reading for every way to write a destination, and whether it may be called.
//!
//! ```text
//!   API `to`, Request-URI, Refer-To, Contact of a 3xx
//!        └─▶ Written::parse ─┬─ number ─▶ Guard: Emergency, or Number judged by the numbering plan of its trunk
//!                            └─ name   ─▶ Uri: an agent, or whatever its host knows by it
//! ```
//!
//! - Escapes are decoded once; text that is still escaped after that, control characters and characters beyond ASCII
//!   are refused. Visual separators, parameters, a password and headers are removed. The destination that is sent is
//!   written anew from what was read, so that no later system can read it in another way.
//! - A user part that a telephone network would take for a number is a number, whatever host follows it.
//!
//! Not here: which host belongs to a trunk, and name resolution (`engine`, `sip_io`).
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

/// Why a destination cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.why())]
pub enum DialError {
    /// Neither a number nor a URI of a scheme that can be called.
    Scheme,
    /// The URI does not parse.
    Malformed,
    /// A control character, a character beyond ASCII, or one that separates parts of a URI, perhaps escaped.
    Character,
    /// Letters in a destination that is marked as a telephone number.
    Letters,
    /// A host such as `127.1` or `0x7f000001`: some systems read it as an address and others look it up as a name.
    Host,
}

impl DialError {
    /// Returns what was expected, in words that contain nothing of the destination.
    pub fn why(self) -> &'static str {
        match self {
            DialError::Scheme => "expected a number, or a URI that begins with sip:, sips: or tel:",
            DialError::Malformed => "malformed URI",
            DialError::Character => "the user part has a character that is not allowed in a number or name",
            DialError::Letters => "a telephone number has digits only",
            DialError::Host => "the host is neither a name nor an address in its usual form",
        }
    }
}

/// A destination as it was read from its written form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// User part, decoded.
    pub user: User,
    /// Host; `None` for bare numbers and names, and for `tel:`.
    pub at: Option<Place>,
}

/// The user part of a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User {
    /// A user part that a telephone network would take for a number.
    Number(Number),
    /// Any other user part; may be empty.
    Name(String),
}

/// A destination whose kind is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialled {
    /// Digits of an emergency number.
    Emergency(String),
    /// A number, and the host that was written with it.
    Number {
        /// The number as dialled.
        number: Number,
        /// Host; `None`: any trunk that carries numbers.
        at: Option<Place>,
    },
    /// A name, and the host that was written with it.
    Uri {
        /// Decoded name without parameters; may be empty.
        user: String,
        /// Host; `None` for a bare name.
        at: Option<Place>,
    },
}

impl Written {
    /// Reads a number, a bare name, or a `sip:`, `sips:` or `tel:` URI.
    ///
    /// # Errors
    /// Returns a [`DialError`] that says what was expected; tell the caller and do not call.
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

    /// Reads a URI that was parsed before.
    ///
    /// # Errors
    /// Returns a [`DialError`] that says what was expected; tell the caller and do not call.
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
    /// Reads a user part as it is written, with escapes and parameters. `context` is a `phone-context` given outside
    /// the user part. `is_phone` is set if the URI is marked as a telephone number (`user=phone`).
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

    /// Returns the number or name in the form that is reported and looked up.
    pub fn as_str(&self) -> &str {
        match self {
            User::Number(number) => number.as_str(),
            User::Name(name) => name,
        }
    }
}

/// Decodes escapes. The result holds no escape, no control character, nothing beyond ASCII, and no delimiter of a URI.
/// A parameter begins only at a plain semicolon, since other systems might take an escaped one for a part of the
/// number.
fn decoded(raw: &str) -> Result<Cow<'_, str>, DialError> {
    let text = decode_escapes(raw);
    let semicolons = |text: &str| text.bytes().filter(|byte| *byte == b';').count();
    if semicolons(&text) != semicolons(raw) {
        return Err(DialError::Character);
    }
    let fits = |byte: u8| matches!(byte, b' '..=b'~') && !b"@:<>\"\\%`{}|^[]".contains(&byte);
    if text.bytes().all(fits) { Ok(text) } else { Err(DialError::Character) }
}

/// Returns the `sip:` URI of a user at a host, built only from parts that were read. `sips:` becomes `transport=tls`.
pub fn uri_of(user: &str, at: &Place) -> String {
    let (host, transport) = (at.authority(), at.transport_parameter());
    match user {
        "" => format!("sip:{host}{transport}"),
        user => format!("sip:{}@{host}{transport}", escape_user(user)),
    }
}
