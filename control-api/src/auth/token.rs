//! Random secrets: API keys, session tokens, first passwords, SIP passwords.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRng;
use sha2::{Digest, Sha256};

/// Prefix of API keys.
pub(crate) const KEY_PREFIX: &str = "tdm_";
/// Number of characters of a key that are shown: its prefix and six more.
const PREFIX: usize = 10;
/// Number of characters of 256 bits in base64 without padding.
const RANDOM: usize = 43;

/// Secret text. `Debug` does not print it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Creates a secret from `prefix` and 256 random bits of the operating system, in URL-safe base64.
    pub fn random(prefix: &str) -> Secret {
        Secret(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(random::<32>())))
    }

    /// Creates a password that people can type: 5 groups of 4 letters and digits (100 bits), without characters that look alike.
    pub fn password() -> Secret {
        const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let letters: Vec<u8> = random::<20>().iter().map(|byte| ALPHABET[usize::from(byte & 31)]).collect();
        let groups: Vec<&str> = letters.chunks(4).map(|group| std::str::from_utf8(group).unwrap_or_default()).collect();
        Secret(groups.join("-"))
    }

    /// Creates a code of random decimal digits, which can be spoken.
    pub fn digits(count: usize) -> Secret {
        let mut text = String::with_capacity(count);
        while text.len() < count {
            // 250 is the largest multiple of 10 below 256, so all digits are equally likely.
            let usable = random::<16>().into_iter().filter(|byte| *byte < 250);
            text.extend(usable.take(count - text.len()).map(|byte| char::from(b'0' + byte % 10)));
        }
        Secret(text)
    }

    /// Wraps a secret that was chosen by a person or created earlier.
    pub(crate) fn typed(text: String) -> Secret {
        Secret(text)
    }

    /// Returns the text itself, to show it once or to send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Returns the first characters: enough to distinguish keys, far too few to guess the rest.
    pub fn prefix(&self) -> &str {
        self.0.get(..PREFIX).unwrap_or_default()
    }

    /// Returns the SHA-256 of the secret in hexadecimal, which is what is stored.
    pub fn hash(&self) -> String {
        token_hash(&self.0)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Returns whether a text has the form of a secret created by [`Secret::random`] with this prefix.
pub(super) fn is_random_secret(text: &str, prefix: &str) -> bool {
    let of_alphabet = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    text.strip_prefix(prefix).is_some_and(|rest| rest.len() == RANDOM && rest.bytes().all(of_alphabet))
}

/// Returns the SHA-256 of a token in hexadecimal. It is suitable only for secrets of 256 random bits; passwords are hashed with
/// argon2.
pub fn token_hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rngs::SysRng
        .try_fill_bytes(&mut bytes)
        .expect("the random source of the operating system is available; without it no secret can be created");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_debug_does_not_print_them() {
        let (a, b) = (Secret::random("tdm_"), Secret::random("tdm_"));
        assert_ne!(a.reveal(), b.reveal());
        assert_eq!(a.reveal().len(), "tdm_".len() + RANDOM);
        assert!(is_random_secret(a.reveal(), "tdm_") && is_random_secret(Secret::random("").reveal(), ""));
        for other in ["", "tdm_", "tdm_short", &a.reveal()[1..], &format!("{}=", &a.reveal()[..46])] {
            assert!(!is_random_secret(other, "tdm_"), "{other}");
        }
        assert_eq!(format!("{a:?}"), "Secret(..)");
        assert_eq!(a.hash().len(), 64);
    }

    #[test]
    fn codes_are_digits() {
        let codes: std::collections::HashSet<String> = (0..50).map(|_| Secret::digits(6).0).collect();
        assert!(codes.iter().all(|code| code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit())));
        assert!(codes.len() > 40);
    }

    #[test]
    fn passwords_are_five_groups_of_four() {
        let password = Secret::password();
        assert_eq!(password.reveal().split('-').map(str::len).collect::<Vec<_>>(), [4; 5]);
    }
}
