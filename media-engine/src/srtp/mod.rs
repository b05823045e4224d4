//! SRTP and SRTCP contexts: packets protected and opened in place.
//!
//! ```text
//! MasterKey ─ key derivation ─▶ session keys
//! clear packet ─▶ Protect::rtp, rtcp ─▶ encrypt, tag ─▶ datagram
//! datagram ─▶ Unprotect::rtp, rtcp ─▶ index guessed ─▶ replay? ─▶ tag right? ─▶ learned, decrypted ─▶ clear packet
//! ```
//!
//! Invariants:
//! - Nothing is learned from a packet before its tag is verified: neither its source, nor its rollover, nor its place in the
//!   replay window. A refused packet's bytes may be changed and are good for nothing.
//! - No index is ever used twice to encrypt: what would repeat one is not sent.
//! - At most [`MAX_SOURCES`] synchronisation sources are remembered; beyond that the one silent for longest is forgotten.
//! - Nothing allocates per packet (`tests/no_alloc_pure.rs`).
//!
//! Not here: how keys are agreed (`sdp` for SDES, `leg::webrtc` for DTLS), master key identifiers, key derivation rates, sockets.
//!
//! Sources: RFC 3711 (SRTP, AES_CM_128_HMAC_SHA1), RFC 7714 (AEAD_AES_128_GCM, AEAD_AES_256_GCM), RFC 4568 section 6.2 (tag lengths).

#![forbid(unsafe_code)]

#[doc(hidden)]
pub mod fuzz;
mod protect;
mod session;
#[cfg(test)]
mod tests;
mod unprotect;
mod window;

pub use protect::Protect;
pub use unprotect::Unprotect;
pub use window::MAX_SOURCES;

use std::fmt;

/// Longest tag and index that any suite puts behind a packet: room that [`Protect`] wants behind the clear packet.
pub const MAX_OVERHEAD: usize = 20;

/// Longest master key.
const MAX_KEY: usize = 32;
/// Longest master salt; AEAD has 12 bytes (RFC 7714 section 12).
const MAX_SALT: usize = 14;

/// What encrypts and authenticates (names of RFC 4568 and RFC 7714 section 14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Suite {
    /// AES in counter mode, HMAC-SHA1 tags of 80 bits.
    AesCm128HmacSha1_80,
    /// The same with tags of 32 bits on RTP; on RTCP still 80.
    AesCm128HmacSha1_32,
    /// AES in Galois counter mode, tags of 128 bits.
    AeadAes128Gcm,
    /// The same with keys of 256 bits.
    AeadAes256Gcm,
}

impl Suite {
    /// All of them, the strongest first.
    pub const ALL: [Suite; 4] =
        [Suite::AeadAes256Gcm, Suite::AeadAes128Gcm, Suite::AesCm128HmacSha1_80, Suite::AesCm128HmacSha1_32];

    /// Its name in `a=crypto`.
    pub fn name(self) -> &'static str {
        match self {
            Suite::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Suite::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Suite::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Suite::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// Bytes of master key and salt together: 30, 28 or 44.
    pub const fn key_and_salt_len(self) -> usize {
        self.key_len() + self.salt_len()
    }

    /// Bytes of the master key.
    pub const fn key_len(self) -> usize {
        match self {
            Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 | Suite::AeadAes128Gcm => 16,
            Suite::AeadAes256Gcm => 32,
        }
    }

    const fn salt_len(self) -> usize {
        match self {
            Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 => 14,
            Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => 12,
        }
    }

    /// Bytes behind an RTP packet.
    const fn rtp_tag_len(self) -> usize {
        match self {
            Suite::AesCm128HmacSha1_80 => 10,
            Suite::AesCm128HmacSha1_32 => 4,
            Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => 16,
        }
    }

    /// Bytes of an RTCP packet's tag; its index takes four more.
    const fn rtcp_tag_len(self) -> usize {
        match self {
            Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 => 10,
            Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => 16,
        }
    }
}

/// A suite with its master key and salt: what key agreement gives for one direction. `Debug` leaves the key out; its serialised
/// form has it, in hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "KeyText", into = "KeyText")]
pub struct MasterKey {
    suite: Suite,
    key: [u8; MAX_KEY],
    /// Zeros behind an AEAD's 12 bytes, as its key derivation wants it (RFC 7714 section 11).
    salt: [u8; MAX_SALT],
}

impl MasterKey {
    /// From key and salt as SDES and DTLS give them, one behind the other; `None` when the length is not the suite's.
    pub fn new(suite: Suite, key_and_salt: &[u8]) -> Option<MasterKey> {
        if key_and_salt.len() != suite.key_and_salt_len() {
            return None;
        }
        let (mut key, mut salt) = ([0; MAX_KEY], [0; MAX_SALT]);
        let (key_bytes, salt_bytes) = key_and_salt.split_at(suite.key_len());
        key[..key_bytes.len()].copy_from_slice(key_bytes);
        salt[..salt_bytes.len()].copy_from_slice(salt_bytes);
        Some(MasterKey { suite, key, salt })
    }

    /// Its suite.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Key and salt, for the far end to be told: the bytes that [`MasterKey::new`] takes, and how many of them count.
    pub fn key_and_salt(&self) -> ([u8; MAX_KEY + MAX_SALT], usize) {
        let mut bytes = [0; MAX_KEY + MAX_SALT];
        let key_len = self.suite.key_len();
        bytes[..key_len].copy_from_slice(self.key());
        bytes[key_len..key_len + MAX_SALT].copy_from_slice(&self.salt);
        (bytes, self.suite.key_and_salt_len())
    }

    fn key(&self) -> &[u8] {
        &self.key[..self.suite.key_len()]
    }
}

/// How a [`MasterKey`] is serialised.
#[derive(serde::Serialize, serde::Deserialize)]
struct KeyText {
    suite: Suite,
    key_and_salt: String,
}

impl From<MasterKey> for KeyText {
    fn from(key: MasterKey) -> KeyText {
        let (bytes, length) = key.key_and_salt();
        KeyText { suite: key.suite, key_and_salt: hex::encode(&bytes[..length]) }
    }
}

impl TryFrom<KeyText> for MasterKey {
    type Error = BadKey;

    fn try_from(text: KeyText) -> Result<MasterKey, BadKey> {
        let bytes = hex::decode(text.key_and_salt).map_err(|_| BadKey)?;
        MasterKey::new(text.suite, &bytes).ok_or(BadKey)
    }
}

/// The text is no key and salt of the suite's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("key_and_salt: expected hexadecimal digits, as many as the suite's key and salt have")]
struct BadKey;

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey").field("suite", &self.suite).finish_non_exhaustive()
    }
}

/// Why a packet was not opened. Reaction: drop and count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SrtpError {
    /// Too short for its header and tag, or no RTP or RTCP at all.
    #[error("not an SRTP packet")]
    Malformed,
    /// The tag is wrong: forged, damaged, or of another key.
    #[error("the authentication tag is wrong")]
    Unauthentic,
    /// It came before, or is older than the replay window.
    #[error("the packet was replayed")]
    Replayed,
}

/// Bytes of an RTP header with its contributing sources and extension; `None` when they do not fit `bytes`.
fn rtp_header_len(bytes: &[u8]) -> Option<usize> {
    let first = *bytes.first()?;
    if first >> 6 != 2 {
        return None;
    }
    let mut length = 12 + 4 * usize::from(first & 0x0f);
    if first & 0x10 != 0 {
        let words = bytes.get(length + 2..length + 4)?;
        length += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
    }
    (length <= bytes.len()).then_some(length)
}

/// The four bytes at `at`, which are there.
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
