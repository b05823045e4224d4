//! SRTP and SRTCP contexts, which protect and unprotect packets in place.
//!
//! ```text
//! MasterKey ─ key derivation ─▶ session keys
//! clear packet ─▶ Protect::rtp, rtcp ─▶ encrypt, tag ─▶ datagram
//! datagram ─▶ Unprotect::rtp, rtcp ─▶ index guessed ─▶ replay? ─▶ tag right? ─▶ state updated, decrypted ─▶ clear packet
//! ```
//!
//! Invariants:
//! - No state is taken from a packet before its tag is verified: neither its source, nor its rollover, nor its place in the
//!   replay window. The bytes of a refused packet may have been changed and must not be used.
//! - No index is ever used twice to encrypt: a packet that would repeat one is not sent.
//! - At most [`MAX_SOURCES`] synchronisation sources are remembered; beyond that the one silent for longest is forgotten.
//! - Nothing allocates per packet (`tests/no_alloc_pure.rs`).
//!
//! Not here: key agreement (`sdp` for SDES, `leg::webrtc` for DTLS), master key identifiers, key derivation rates, sockets.
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

/// Longest tag and index of any suite, in bytes: space that [`Protect`] needs after the clear packet.
pub const MAX_OVERHEAD: usize = 20;

/// Longest master key, in bytes.
const MAX_KEY: usize = 32;
/// Longest master salt, in bytes; AEAD uses 12 (RFC 7714 section 12).
const MAX_SALT: usize = 14;

/// Algorithms for encryption and authentication (names of RFC 4568 and RFC 7714 section 14.2).
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
    /// All suites, the strongest first.
    pub const ALL: [Suite; 4] =
        [Suite::AeadAes256Gcm, Suite::AeadAes128Gcm, Suite::AesCm128HmacSha1_80, Suite::AesCm128HmacSha1_32];

    /// Returns the name used in `a=crypto`.
    pub fn name(self) -> &'static str {
        match self {
            Suite::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Suite::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Suite::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Suite::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// Returns the length of master key and salt together in bytes: 30, 28 or 44.
    pub const fn key_and_salt_len(self) -> usize {
        self.key_len() + self.salt_len()
    }

    /// Returns the length of the master key in bytes: 16 or 32.
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

    /// Returns the number of bytes appended to an RTP packet.
    const fn rtp_tag_len(self) -> usize {
        match self {
            Suite::AesCm128HmacSha1_80 => 10,
            Suite::AesCm128HmacSha1_32 => 4,
            Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => 16,
        }
    }

    /// Returns the length of an RTCP packet's tag in bytes; its index takes four more.
    const fn rtcp_tag_len(self) -> usize {
        match self {
            Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 => 10,
            Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => 16,
        }
    }
}

/// A suite with its master key and salt, as key agreement provides them for one direction. `Debug` omits the key; the serialised
/// form contains it in hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "KeyText", into = "KeyText")]
pub struct MasterKey {
    suite: Suite,
    key: [u8; MAX_KEY],
    /// Salt; for AEAD its 12 bytes are followed by zeros, as its key derivation requires (RFC 7714 section 11).
    salt: [u8; MAX_SALT],
}

impl MasterKey {
    /// Creates a key from key and salt as SDES and DTLS provide them, concatenated; `None` if the length does not fit the suite.
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

    /// Returns the suite of the key.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Returns key and salt, to be sent to the far end: the bytes that [`MasterKey::new`] takes, and how many of them are used.
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

/// Serialised form of a [`MasterKey`].
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

/// The text is not a key and salt of the suite's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("key_and_salt: expected hexadecimal digits, as many as the suite's key and salt have")]
struct BadKey;

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey").field("suite", &self.suite).finish_non_exhaustive()
    }
}

/// Why a packet was refused. The caller should drop and count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SrtpError {
    /// The packet is too short for its header and tag, or is neither RTP nor RTCP.
    #[error("not an SRTP packet")]
    Malformed,
    /// The tag is wrong: the packet is forged, damaged, or protected with another key.
    #[error("the authentication tag is wrong")]
    Unauthentic,
    /// The packet was received before, or is older than the replay window.
    #[error("the packet was replayed")]
    Replayed,
}

/// Returns the length of an RTP header with its contributing sources and extension; `None` if it exceeds `bytes`.
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

/// Reads the four bytes at `at`, which must exist.
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
