//! Signatures by which a program server recognises requests of this server: HMAC-SHA-256 over time, call and body, with a secret
//! of the organization.
//!
//! The secret is derived from the organization's signing key and a version number, so that it can be replaced without
//! invalidating signed URLs. When it is replaced, requests are signed with the previous secret as well for [`OVERLAP`], so that no
//! request fails while the servers are given the new one.

use aws_lc_rs::hmac;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::auth::Secret;
use crate::store::{By, OrganizationId, ProgramSecretVersions, Store, StoreError, now};

/// Header with the id of the call.
const CALL: &str = "tandem-call";
/// Header with the time of signing, in seconds since 1970.
const TIMESTAMP: &str = "tandem-timestamp";
/// Header with the signatures, separated by spaces: that of the newest secret comes first.
const SIGNATURE: &str = "tandem-signature";
/// Time for which a replaced secret still signs requests, beside the new one.
const OVERLAP: SignedDuration = SignedDuration::from_hours(24);

/// Secrets that sign an organization's requests for programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Secrets {
    /// Secret that was put in force last.
    pub(crate) newest: String,
    /// Secret before it, and the time until which it signs as well.
    pub(crate) previous: Option<(String, Timestamp)>,
}

impl Secrets {
    fn derive(key: &str, versions: ProgramSecretVersions, now: Timestamp) -> Secrets {
        let ProgramSecretVersions { newest, previous_until } = versions;
        let until = previous_until.filter(|until| *until > now);
        let previous = until.and_then(|until| Some((derive_secret(key, newest.checked_sub(1)?), until)));
        Secrets { newest: derive_secret(key, newest), previous }
    }
}

/// Returns the secrets that sign an organization's requests for programs. Its signing key is created if there is none.
pub(crate) async fn secrets(store: &Store, organization: OrganizationId) -> Result<Secrets, StoreError> {
    let key = store.signing_key(organization, Secret::random("").reveal()).await?;
    let first = ProgramSecretVersions { newest: 1, previous_until: None };
    let versions = store.program_secret_versions(organization).await?.unwrap_or(first);
    Ok(Secrets::derive(&key, versions, now()))
}

/// Replaces the secret that signs an organization's requests for programs, and returns the new state.
pub(crate) async fn replace_secret(
    store: &Store,
    organization: OrganizationId,
    by: &By,
) -> Result<Secrets, StoreError> {
    // Creates the key from which the secret is derived, if there is none.
    secrets(store, organization).await?;
    store.program_secret_replace(organization, now().checked_add(OVERLAP).unwrap_or(Timestamp::MAX), by).await?;
    secrets(store, organization).await
}

fn derive_secret(key: &str, version: u64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    hex::encode(hmac::sign(&key, format!("program requests {version}").as_bytes()))
}

/// Returns the headers that sign a request with this body.
pub(super) fn headers(secrets: &Secrets, call: Uuid, body: &[u8]) -> [(&'static str, String); 3] {
    let timestamp = now().as_second();
    let signed = |secret: &str| format!("v1={}", signature(secret, timestamp, call, body));
    let mut signatures = signed(&secrets.newest);
    if let Some((previous, _)) = &secrets.previous {
        signatures = format!("{signatures} {}", signed(previous));
    }
    [(CALL, call.to_string()), (TIMESTAMP, timestamp.to_string()), (SIGNATURE, signatures)]
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
    fn requests_carry_both_signatures_until_the_time_of_the_replaced_secret_has_passed() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let replaced = ProgramSecretVersions { newest: 2, previous_until: Some(at(1_000)) };
        let call = Uuid::from_u128(7);
        let signatures = |secrets: &Secrets| {
            let [_, (_, timestamp), (_, signatures)] = headers(secrets, call, b"{}");
            (timestamp.parse().unwrap(), signatures)
        };
        let both = Secrets::derive("key", replaced, at(999));
        assert_eq!(both.newest, derive_secret("key", 2));
        assert_eq!(both.previous, Some((derive_secret("key", 1), at(1_000))));
        let (time, carried) = signatures(&both);
        let of = |version| format!("v1={}", signature(&derive_secret("key", version), time, call, b"{}"));
        assert_eq!(carried, format!("{} {}", of(2), of(1)));

        let newest = Secrets::derive("key", replaced, at(1_000));
        assert_eq!(newest.previous, None);
        let (time, carried) = signatures(&newest);
        assert_eq!(
            carried,
            format!("v1={}", signature(&derive_secret("key", 2), time, call, b"{}")),
            "as for one secret"
        );
        let never = ProgramSecretVersions { newest: 1, previous_until: None };
        assert_eq!(Secrets::derive("key", never, at(0)).previous, None);
    }

    #[test]
    fn a_replaced_secret_differs_from_the_old_one() {
        assert_ne!(derive_secret("key", 1), derive_secret("key", 2));
        assert_ne!(derive_secret("key", 1), derive_secret("other", 1));
    }
}
