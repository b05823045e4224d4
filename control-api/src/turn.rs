//! Short-lived credentials for a TURN server that shares a secret with us (coturn's `use-auth-secret`).
//!
//! ```text
//!   username = <end, Unix time>:<user>      credential = base64(HMAC-SHA1(secret, username))
//! ```
//!
//! Nothing is stored on either side: the server computes the same. Source: draft-uberti-behave-turn-rest-00.

use aws_lc_rs::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::config::TurnConfig;

/// What a browser shows to the TURN servers.
#[derive(Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct TurnCredentials {
    /// End and user.
    #[schema(example = "1767323045:anna")]
    pub(crate) username: String,
    /// Good until the end that `username` names.
    pub(crate) password: String,
    /// Seconds until then.
    pub(crate) ttl: u32,
    /// The servers.
    #[schema(example = json!(["turn:turn.example.com:3478?transport=tcp"]))]
    pub(crate) uris: Vec<String>,
}

/// Credentials for `user`, good from `now` for as long as the configuration says; none without servers.
pub(crate) fn credentials(config: &TurnConfig, user: &str, now: Timestamp) -> Option<TurnCredentials> {
    let secret = config.secret.as_ref().filter(|_| !config.uris.is_empty())?;
    let end = now.as_second().saturating_add(config.ttl_s.into());
    let username = format!("{end}:{user}");
    let key = Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.reveal().as_bytes());
    let password = BASE64_STANDARD.encode(sign(&key, username.as_bytes()));
    Some(TurnCredentials { username, password, ttl: config.ttl_s, uris: config.uris.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// The password is what `printf 1767323045:anna | openssl dgst -sha1 -hmac north -binary | base64` prints.
    #[test]
    fn credentials_are_what_the_server_computes_itself() {
        let config = "[turn]\nuris = \"turn:192.0.2.1,turns:turn.example.com:5349?transport=tcp\"\nsecret = \"north\"\nttl_s = 600";
        let config = Config::from_toml(config).unwrap();
        let made = credentials(&config.turn, "anna", Timestamp::from_second(1_767_322_445).unwrap()).unwrap();
        assert_eq!(made.username, "1767323045:anna");
        assert_eq!(made.password, "B1kjc90ybzAbo3d/2zvukFiW/i8=");
        assert_eq!((made.ttl, made.uris.len()), (600, 2));
        assert!(credentials(&TurnConfig::default(), "anna", Timestamp::UNIX_EPOCH).is_none());
    }
}
