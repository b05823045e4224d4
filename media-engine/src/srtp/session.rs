//! Session keys and the operations on bytes: one cipher for RTP, one for RTCP.
//!
//! Sources: RFC 3711 sections 4.1.1 (counter mode), 4.2.1 (tags), 4.3 (key derivation); RFC 7714 sections 8 to 11.

use aws_lc_rs::aead::{self, AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};
use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;

use super::{MAX_SALT, MasterKey, Suite};

/// Length of an AEAD tag in bytes.
pub(super) const AEAD_TAG: usize = 16;
/// Length of an HMAC-SHA1 key in bytes.
const AUTH_KEY_LEN: usize = 20;

/// The two ciphers of one direction.
pub(super) struct Session {
    pub(super) suite: Suite,
    pub(super) rtp: Cipher,
    pub(super) rtcp: Cipher,
}

/// One set of session keys.
#[expect(clippy::large_enum_variant, reason = "two a context, which stays where it was made")]
pub(super) enum Cipher {
    /// Encryption by counter mode, authentication by HMAC.
    Counter { aes: EncryptingKey, hmac: hmac::Key, salt: [u8; MAX_SALT] },
    /// Authenticated encryption in one step.
    Aead { key: Box<LessSafeKey>, salt: [u8; 12] },
}

impl Session {
    /// Derives the session keys; labels 0 to 2 are RTP's, 3 to 5 RTCP's (RFC 3711 section 4.3.2).
    pub(super) fn new(master: &MasterKey) -> Session {
        Session { suite: master.suite, rtp: Cipher::derive(master, 0), rtcp: Cipher::derive(master, 3) }
    }
}

impl Cipher {
    fn derive(master: &MasterKey, label: u8) -> Cipher {
        match master.suite {
            Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 => {
                let key: [u8; 16] = derive(master, label);
                let auth: [u8; AUTH_KEY_LEN] = derive(master, label + 1);
                let hmac = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &auth);
                Cipher::Counter { aes: counter_mode(&key), hmac, salt: derive(master, label + 2) }
            }
            Suite::AeadAes128Gcm => Cipher::aead(&AES_128_GCM, &derive::<16>(master, label), derive(master, label + 2)),
            Suite::AeadAes256Gcm => Cipher::aead(&AES_256_GCM, &derive::<32>(master, label), derive(master, label + 2)),
        }
    }

    fn aead(algorithm: &'static aead::Algorithm, key: &[u8], salt: [u8; 12]) -> Cipher {
        let key = UnboundKey::new(algorithm, key).expect("the key has the length that its algorithm requires");
        Cipher::Aead { key: Box::new(LessSafeKey::new(key)), salt }
    }
}

/// Encrypts or decrypts `bytes` by counter mode (RFC 3711 section 4.1.1). `None`: the crypto library returned an error.
pub(super) fn crypt(aes: &EncryptingKey, salt: &[u8; MAX_SALT], ssrc: u32, index: u64, bytes: &mut [u8]) -> Option<()> {
    let mut counter = [0; 16];
    counter[..MAX_SALT].copy_from_slice(salt);
    xor(&mut counter[4..8], &ssrc.to_be_bytes());
    xor(&mut counter[8..14], &index.to_be_bytes()[2..]);
    run_counter(aes, counter, bytes)
}

/// Computes the full tag over `bytes`.
pub(super) fn tag_of(key: &hmac::Key, bytes: &[u8]) -> hmac::Tag {
    hmac::sign(key, bytes)
}

/// Compares a packet's tag with the full one, in constant time.
pub(super) fn is_tag(full: &hmac::Tag, tag: &[u8]) -> bool {
    full.as_ref().get(..tag.len()).is_some_and(|full| verify_slices_are_equal(full, tag).is_ok())
}

/// Builds the nonce of one packet: source in bytes 2 to 5, `index` in the last six (RFC 7714 sections 8.1, 9.1).
pub(super) fn nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> Nonce {
    let mut nonce = *salt;
    xor(&mut nonce[2..6], &ssrc.to_be_bytes());
    xor(&mut nonce[6..], &index.to_be_bytes()[2..]);
    Nonce::assume_unique_for_key(nonce)
}

/// Encrypts `bytes`; the tag also covers `aad`.
pub(super) fn seal(key: &LessSafeKey, nonce: Nonce, aad: &[u8], bytes: &mut [u8]) -> Option<Tag> {
    key.seal_in_place_separate_tag(nonce, Aad::from(aad), bytes).ok()
}

/// Decrypts `bytes`, which end with their tag; `false` if the tag is wrong for them and `aad`.
pub(super) fn open(key: &LessSafeKey, nonce: Nonce, aad: &[u8], bytes: &mut [u8]) -> bool {
    key.open_in_place(nonce, Aad::from(aad), bytes).is_ok()
}

/// Derives one session key or salt: key stream of the master key at the position given by the label (RFC 3711 section 4.3.1,
/// rate 0).
pub(super) fn derive<const N: usize>(master: &MasterKey, label: u8) -> [u8; N] {
    let (mut counter, mut out) = ([0; 16], [0; N]);
    counter[..MAX_SALT].copy_from_slice(&master.salt);
    counter[7] ^= label;
    run_counter(&counter_mode(master.key()), counter, &mut out).expect("counter mode accepts any length");
    out
}

pub(super) fn counter_mode(key: &[u8]) -> EncryptingKey {
    let algorithm = if key.len() == 32 { &AES_256 } else { &AES_128 };
    let key = UnboundCipherKey::new(algorithm, key).expect("keys have 16 or 32 bytes");
    EncryptingKey::ctr(key).expect("AES has a counter mode")
}

fn run_counter(aes: &EncryptingKey, counter: [u8; 16], bytes: &mut [u8]) -> Option<()> {
    aes.less_safe_encrypt(bytes, EncryptionContext::Iv128(FixedLength::from(counter))).ok().map(drop)
}

fn xor(to: &mut [u8], with: &[u8]) {
    to.iter_mut().zip(with).for_each(|(to, with)| *to ^= with);
}
