//! Short-lived credentials for TURN servers that share a secret with this server (coturn's `use-auth-secret`).
//!
//! ```text
//!   username = <end, Unix time>:<user>      credential = base64(HMAC-SHA1(secret, username))
//! ```
//!
//! Nothing is stored on either side: the TURN server computes the same value. Source: draft-uberti-behave-turn-rest-00.

use aws_lc_rs::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::config::TurnConfig;

/// Credentials for TURN servers, in the form of the TURN REST API.
#[derive(Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct TurnCredentials {
    /// User name: expiry in Unix time, and SIP user name.
    #[schema(example = "1767323045:anna")]
    pub(crate) username: String,
    /// Password, valid until the expiry in `username`.
    pub(crate) password: String,
    /// Validity in seconds.
    pub(crate) ttl: u32,
    /// URIs of the TURN servers.
    #[schema(example = json!(["turn:turn.example.com:3478?transport=tcp"]))]
    pub(crate) uris: Vec<String>,
}

/// Returns credentials for `user`, valid from `now` for the configured time, or `None` if no servers are configured.
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

    /// Password printed by `printf 1767323045:anna | openssl dgst -sha1 -hmac north -binary | base64`.
    #[test]
    fn credentials_equal_those_that_the_turn_server_computes() {
        let config = "[turn]\nuris = \"turn:192.0.2.1,turns:turn.example.com:5349?transport=tcp\"\nsecret = \"north\"\nttl_s = 600";
        let config = Config::from_toml(config).unwrap();
        let made = credentials(&config.turn, "anna", Timestamp::from_second(1_767_322_445).unwrap()).unwrap();
        assert_eq!(made.username, "1767323045:anna");
        assert_eq!(made.password, "B1kjc90ybzAbo3d/2zvukFiW/i8=");
        assert_eq!((made.ttl, made.uris.len()), (600, 2));
        assert!(credentials(&TurnConfig::default(), "anna", Timestamp::UNIX_EPOCH).is_none());
    }
}
