//! SRTP keys in descriptions: SDES (RFC 4568).
//!
//! ```text
//! a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:<base64 of key and salt>|2^31
//! ```
//!
//! Lines are read independently: an unsupported one (another suite, a master key identifier, a parameter that changes the
//! packets) is ignored. Lifetimes are ignored too: a call ends long before 2³¹ packets.
//!
//! Our own keys are derived from a secret of the leg. As long as the peer keeps its key, ours is kept too, so that a re-INVITE
//! changes nothing. A peer with another key (perhaps another device, which does not know the rollover counter) gets another one,
//! and no key is used twice: a context that starts anew never uses an old key.
//!
//! Sources: RFC 4568 sections 4, 6, 7, 9; RFC 7714 section 14.2.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD};

use super::{Media, SdpError};
use crate::srtp::{MasterKey, Suite};

/// Base64 with optional padding: RFC 4568 requires padding, and some peers omit it.
const TOLERANT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// Maximum number of crypto lines of one section that are examined.
const MAX_LINES: usize = 16;

/// Policy for the encryption of a leg's media.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Srtp {
    /// Never: offers that require it are refused.
    Off,
    /// If the other side offers it; our own offers are plain.
    #[default]
    Optional,
    /// Always: plain offers are refused, and our own offers carry keys.
    Required,
}

/// Agreed keys of both directions. The serialised form contains them in the clear: without them the encrypted legs of a capture
/// could not be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SrtpKeys {
    /// Key with which we protect packets.
    pub send: MasterKey,
    /// Key with which the far end protects packets.
    pub receive: MasterKey,
}

/// Our side of the key agreement.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LocalSrtp {
    /// Whether keys are agreed.
    pub policy: Srtp,
    /// Last agreed keys; the caller must set them after every answer, sent or received. Otherwise every answer brings a new key.
    pub agreed: Option<SrtpKeys>,
    secret: [u8; 32],
}

impl LocalSrtp {
    /// Creates the key agreement of a leg. `secret` is random and new for every leg.
    pub fn new(policy: Srtp, secret: [u8; 32]) -> LocalSrtp {
        LocalSrtp { policy, agreed: None, secret }
    }

    /// Returns the key agreement of a leg that never encrypts.
    pub fn off() -> LocalSrtp {
        LocalSrtp::new(Srtp::Off, [0; 32])
    }

    /// Returns whether our offers carry keys.
    pub(super) fn is_offered(&self) -> bool {
        self.policy == Srtp::Required || (self.policy == Srtp::Optional && self.agreed.is_some())
    }

    /// Prepares for another answer to our first offer: a forked call has several. Each answer chooses again among all keys
    /// that were offered.
    pub fn reopen(&mut self) {
        self.agreed = None;
    }

    /// Returns the lines of our offers: the agreed one, or every suite, the most common first.
    pub(super) fn offered(&self) -> Vec<Crypto> {
        if let Some(keys) = self.agreed {
            return vec![Crypto { tag: 1, key: keys.send }];
        }
        let suites =
            [Suite::AesCm128HmacSha1_80, Suite::AeadAes128Gcm, Suite::AeadAes256Gcm, Suite::AesCm128HmacSha1_32];
        (1..).zip(suites).map(|(tag, suite)| Crypto { tag, key: self.key(suite, &[b"offer"]) }).collect()
    }

    /// Returns the keys to which the answer to [`LocalSrtp::offered`] agrees.
    pub(super) fn accept(&self, answer: &Media) -> Result<SrtpKeys, SdpError> {
        let theirs = first_crypto(answer).ok_or(SdpError::Keys)?;
        let ours = self.offered().into_iter().find(|ours| ours.tag == theirs.tag);
        let ours = ours.filter(|ours| ours.key.suite() == theirs.key.suite()).ok_or(SdpError::Keys)?;
        Ok(SrtpKeys { send: ours.key, receive: theirs.key })
    }

    /// Returns the keys to which the answer of this version agrees, with the number of the offered line; `None`: media is plain.
    pub(super) fn answer(&self, offer: &Media, version: u64) -> Result<Option<(u32, SrtpKeys)>, SdpError> {
        let theirs = match (self.policy, offer.is_srtp()) {
            (Srtp::Off, false) => return Ok(None),
            (Srtp::Off, true) => return Err(SdpError::Keys),
            // Keys under a plain profile are an offer too (RFC 8643).
            (Srtp::Optional, false) => match first_crypto(offer) {
                Some(theirs) => theirs,
                None => return Ok(None),
            },
            (Srtp::Required, _) | (Srtp::Optional, true) => first_crypto(offer).ok_or(SdpError::Keys)?,
        };
        let send = match self.agreed.filter(|agreed| agreed.receive == theirs.key) {
            Some(agreed) => agreed.send,
            None => {
                let (bytes, length) = theirs.key.key_and_salt();
                self.key(theirs.key.suite(), &[b"answer", &version.to_be_bytes(), &bytes[..length]])
            }
        };
        Ok(Some((theirs.tag, SrtpKeys { send, receive: theirs.key })))
    }

    fn key(&self, suite: Suite, purpose: &[&[u8]]) -> MasterKey {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA512, &self.secret));
        context.update(suite.name().as_bytes());
        purpose.iter().for_each(|part| context.update(part));
        let tag = context.sign();
        MasterKey::new(suite, &tag.as_ref()[..suite.key_and_salt_len()]).expect("a SHA-512 tag is longer than any key")
    }
}

impl fmt::Debug for LocalSrtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSrtp").field("policy", &self.policy).field("agreed", &self.agreed).finish_non_exhaustive()
    }
}

/// A supported `a=crypto` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crypto {
    /// Number of the line: an answer repeats that of the line it accepts.
    pub(super) tag: u32,
    /// Key of the side that wrote the line.
    pub(super) key: MasterKey,
}

impl Crypto {
    /// Parses the value of an attribute; `None` if it is not supported.
    pub(super) fn parse(value: &str) -> Option<Crypto> {
        let mut fields = value.split_ascii_whitespace();
        let tag = fields.next().filter(|tag| (1..=9).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_digit()));
        let tag = tag?.parse().ok()?;
        let name = fields.next()?;
        let suite = Suite::ALL.into_iter().find(|suite| suite.name().eq_ignore_ascii_case(name))?;
        let parameters = fields.next()?;
        // Several keys (`;`) or a key identifier (`:` after the second bar) would appear in every packet: not supported.
        let inline =
            parameters.get(..7).filter(|method| method.eq_ignore_ascii_case("inline:")).map(|_| &parameters[7..])?;
        let mut parts = inline.split('|');
        let text = parts.next().filter(|_| !inline.contains(';'))?;
        if parts.any(|part| part.contains(':')) {
            return None;
        }
        if !fields.all(is_harmless) {
            return None;
        }
        let mut bytes = [0; 64];
        let length = TOLERANT.decode_slice(text, &mut bytes).ok()?;
        Some(Crypto { tag, key: MasterKey::new(suite, &bytes[..length])? })
    }

    /// Returns the line, including its line end.
    pub(super) fn line(&self) -> String {
        let (bytes, length) = self.key.key_and_salt();
        let text = STANDARD.encode(&bytes[..length]);
        format!("a=crypto:{} {} inline:{text}\r\n", self.tag, self.key.suite().name())
    }
}

/// Returns the first supported line of a section, which its writer prefers.
pub(super) fn first_crypto(media: &Media) -> Option<Crypto> {
    let lines = media.attributes.iter().filter(|attribute| attribute.name.eq_ignore_ascii_case("crypto"));
    lines.take(MAX_LINES).filter_map(|attribute| Crypto::parse(attribute.value.as_deref()?)).next()
}

/// Returns whether a session parameter changes no packet: a hint for the replay window, or an extension that may be ignored (RFC
/// 4568 sections 6.3.7, 6.3.8).
fn is_harmless(parameter: &str) -> bool {
    parameter.starts_with('-') || parameter.get(..4).is_some_and(|name| name.eq_ignore_ascii_case("WSH="))
}
