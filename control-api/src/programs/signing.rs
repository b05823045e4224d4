//! Signatures by which a program server recognises requests of this server: HMAC-SHA-256 over time, call and body, with a secret
//! of the organization.
//!
//! The secret is derived from the organization's signing key and a version number, so that it can be replaced without
//! invalidating signed URLs.

use aws_lc_rs::hmac;
use uuid::Uuid;

use crate::auth::Secret;
use crate::store::{OrganizationId, Store, StoreError, now};

/// Header with the id of the call.
const CALL: &str = "tandem-call";
/// Header with the time of signing, in seconds since 1970.
const TIMESTAMP: &str = "tandem-timestamp";
/// Header with the signature.
const SIGNATURE: &str = "tandem-signature";

/// Returns the secret that signs an organization's requests for programs. Its signing key is created if there is none.
pub(crate) async fn secret(store: &Store, organization: OrganizationId) -> Result<String, StoreError> {
    let key = store.signing_key(organization, Secret::random("").reveal()).await?;
    let version = store.program_secret_version(organization).await?.unwrap_or(1);
    Ok(derive_secret(&key, version))
}

fn derive_secret(key: &str, version: u64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    hex::encode(hmac::sign(&key, format!("program requests {version}").as_bytes()))
}

/// Returns the headers that sign a request with this body.
pub(super) fn headers(secret: &str, call: Uuid, body: &[u8]) -> [(&'static str, String); 3] {
    let timestamp = now().as_second();
    let signature = signature(secret, timestamp, call, body);
    [(CALL, call.to_string()), (TIMESTAMP, timestamp.to_string()), (SIGNATURE, format!("v1={signature}"))]
}

fn signature(secret: &str, timestamp: i64, call: Uuid, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()));
    context.update(format!("{timestamp}.{call}.").as_bytes());
    context.update(body);
    hex::encode(context.sign())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_depends_on_secret_time_call_and_body() {
        let call = Uuid::from_u128(7);
        // printf '1700000000.00000000-0000-0000-0000-000000000007.{"pin":"1"}' | openssl dgst -sha256 -hmac secret
        let signed = signature("secret", 1_700_000_000, call, br#"{"pin":"1"}"#);
        assert_eq!(signed, "569fde93592300d300980e1297a0256397209dce6380ca6a3146d0ba9258ca29");
        for other in [
            signature("other", 1_700_000_000, call, br#"{"pin":"1"}"#),
            signature("secret", 1_700_000_001, call, br#"{"pin":"1"}"#),
            signature("secret", 1_700_000_000, Uuid::from_u128(8), br#"{"pin":"1"}"#),
            signature("secret", 1_700_000_000, call, br#"{"pin":"2"}"#),
        ] {
            assert_ne!(other, signed);
        }
    }

    #[test]
    fn a_replaced_secret_differs_from_the_old_one() {
        assert_ne!(derive_secret("key", 1), derive_secret("key", 2));
        assert_ne!(derive_secret("key", 1), derive_secret("other", 1));
    }
}
