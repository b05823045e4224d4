//! Keys in descriptions: SDES (RFC 4568).
//!
//! ```text
//! a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:<base64 of key and salt>|2^31
//! ```
//!
//! Every line is read on its own: one that we cannot follow (another suite, a master key identifier, a parameter that changes the
//! packets) is as if it were not there. Lifetimes are read over: a call ends long before 2³¹ packets.
//!
//! Our own keys come out of a secret of the leg. As long as the peer keeps its key ours stays too, so that a re-INVITE changes
//! nothing; a peer that comes with another key (perhaps another device, which knows no rollover counter) gets another one, and
//! none comes twice: a context that begins anew never meets an old key.
//!
//! Sources: RFC 4568 sections 4, 6, 7, 9; RFC 7714 section 14.2.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD};

use super::{Media, SdpError};
use crate::srtp::{MasterKey, Suite};

/// Padding is asked for by RFC 4568 and forgotten by some.
const TOLERANT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// Most crypto lines of one section that are looked at.
const MAX_LINES: usize = 16;

/// Whether a leg's media is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Srtp {
    /// Never: offers that want it are refused.
    Off,
    /// When the other side offers it; our own offers are plain.
    #[default]
    Optional,
    /// Always: plain offers are refused, our own offers carry keys.
    Required,
}

/// The agreed keys of both directions. Serialised, they stand in the open: without them nothing of a capture's encrypted leg
/// could be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SrtpKeys {
    /// What we protect with.
    pub send: MasterKey,
    /// What the far end protects with.
    pub receive: MasterKey,
}

/// Our side's part in key agreement.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LocalSrtp {
    /// Whether to agree on keys.
    pub policy: Srtp,
    /// What was agreed last; to be set after every answer, given or taken. Forgotten, every answer brings a new key.
    pub agreed: Option<SrtpKeys>,
    secret: [u8; 32],
}

impl LocalSrtp {
    /// `secret`: random bytes, new for every leg.
    pub fn new(policy: Srtp, secret: [u8; 32]) -> LocalSrtp {
        LocalSrtp { policy, agreed: None, secret }
    }

    /// Of a leg that never encrypts.
    pub fn off() -> LocalSrtp {
        LocalSrtp::new(Srtp::Off, [0; 32])
    }

    /// Whether our offers carry keys.
    pub(super) fn is_offered(&self) -> bool {
        self.policy == Srtp::Required || (self.policy == Srtp::Optional && self.agreed.is_some())
    }

    /// Makes ready for another answer to our first offer: a call that is forked has several. Each chooses anew among all
    /// keys that were offered.
    pub fn reopen(&mut self) {
        self.agreed = None;
    }

    /// The lines of our offers: what is agreed already, else every suite, the most common first.
    pub(super) fn offered(&self) -> Vec<Crypto> {
        if let Some(keys) = self.agreed {
            return vec![Crypto { tag: 1, key: keys.send }];
        }
        let suites =
            [Suite::AesCm128HmacSha1_80, Suite::AeadAes128Gcm, Suite::AeadAes256Gcm, Suite::AesCm128HmacSha1_32];
        (1..).zip(suites).map(|(tag, suite)| Crypto { tag, key: self.key(suite, &[b"offer"]) }).collect()
    }

    /// What the answer to [`LocalSrtp::offered`] agrees to.
    pub(super) fn accept(&self, answer: &Media) -> Result<SrtpKeys, SdpError> {
        let theirs = first_crypto(answer).ok_or(SdpError::Keys)?;
        let ours = self.offered().into_iter().find(|ours| ours.tag == theirs.tag);
        let ours = ours.filter(|ours| ours.key.suite() == theirs.key.suite()).ok_or(SdpError::Keys)?;
        Ok(SrtpKeys { send: ours.key, receive: theirs.key })
    }

    /// What the answer of this version to an offered section agrees to, with the number of its line; `None`: it will be plain.
    pub(super) fn answer(&self, offer: &Media, version: u64) -> Result<Option<(u32, SrtpKeys)>, SdpError> {
        let theirs = match (self.policy, offer.is_srtp()) {
            (Srtp::Off, false) => return Ok(None),
            (Srtp::Off, true) => return Err(SdpError::Keys),
            // A plain profile with keys is an offer too (RFC 8643).
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

/// One `a=crypto` line that we can follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crypto {
    /// Its number: an answer repeats the one it takes.
    pub(super) tag: u32,
    /// The key of whoever wrote the line.
    pub(super) key: MasterKey,
}

impl Crypto {
    /// Reads the value of an attribute; `None`: nothing that we can follow.
    pub(super) fn parse(value: &str) -> Option<Crypto> {
        let mut fields = value.split_ascii_whitespace();
        let tag = fields.next().filter(|tag| (1..=9).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_digit()));
        let tag = tag?.parse().ok()?;
        let name = fields.next()?;
        let suite = Suite::ALL.into_iter().find(|suite| suite.name().eq_ignore_ascii_case(name))?;
        let parameters = fields.next()?;
        // Several keys (`;`) or a key identifier (`:` behind the second bar) would stand in every packet: not followed.
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

    /// The line, with its end.
    pub(super) fn line(&self) -> String {
        let (bytes, length) = self.key.key_and_salt();
        let text = STANDARD.encode(&bytes[..length]);
        format!("a=crypto:{} {} inline:{text}\r\n", self.tag, self.key.suite().name())
    }
}

/// The first line of a section that we can follow: its writer prefers it.
pub(super) fn first_crypto(media: &Media) -> Option<Crypto> {
    let lines = media.attributes.iter().filter(|attribute| attribute.name.eq_ignore_ascii_case("crypto"));
    lines.take(MAX_LINES).filter_map(|attribute| Crypto::parse(attribute.value.as_deref()?)).next()
}

/// Session parameters that change no packet: a hint for the replay window, and extensions that may be ignored (RFC 4568
/// sections 6.3.7, 6.3.8).
fn is_harmless(parameter: &str) -> bool {
    parameter.starts_with('-') || parameter.get(..4).is_some_and(|name| name.eq_ignore_ascii_case("WSH="))
}
