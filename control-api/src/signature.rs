//! URLs that open one thing for a while without a login: HMAC-SHA-256 over what, whose, and until when.
//!
//! The key is the organization's own and lies in the store, so that a URL outlives the process.

use aws_lc_rs::hmac;
use jiff::Timestamp;
use uuid::Uuid;

use crate::store::OrganizationId;

/// The signature that opens the recording of a call until `expires` (seconds since 1970).
pub(crate) fn of_recording(key: &str, organization: OrganizationId, call: Uuid, expires: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    hex::encode(hmac::sign(&key, text(organization, call, expires).as_bytes()))
}

/// Whether a signature opens the recording now.
pub(crate) fn opens_recording(
    key: &str,
    organization: OrganizationId,
    call: Uuid,
    expires: i64,
    signature: &str,
    now: Timestamp,
) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    // One spelling only: hex in small letters.
    let told = hex::decode(signature).ok().filter(|bytes| hex::encode(bytes) == signature);
    let right =
        told.is_some_and(|told| hmac::verify(&key, text(organization, call, expires).as_bytes(), &told).is_ok());
    right && now.as_second() < expires
}

fn text(organization: OrganizationId, call: Uuid, expires: i64) -> String {
    format!("recording\n{organization}\n{call}\n{expires}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_opens_one_recording_of_one_tenant_until_it_expires() {
        let (organization, call) = (OrganizationId(Uuid::now_v7()), Uuid::now_v7());
        let at = Timestamp::from_second(1_000).unwrap();
        let signature = of_recording("key", organization, call, 1_001);
        let opens = |key: &str, organization, call, expires, signature: &str, at| {
            opens_recording(key, organization, call, expires, signature, at)
        };
        assert!(opens("key", organization, call, 1_001, &signature, at));
        assert!(!opens("other", organization, call, 1_001, &signature, at));
        assert!(!opens("key", OrganizationId(Uuid::now_v7()), call, 1_001, &signature, at));
        assert!(!opens("key", organization, Uuid::now_v7(), 1_001, &signature, at));
        assert!(!opens("key", organization, call, 1_002, &signature, at));
        assert!(!opens("key", organization, call, 1_001, &signature.to_uppercase(), at));
        assert!(!opens("key", organization, call, 1_001, &signature[2..], at));
        assert!(!opens("key", organization, call, 1_001, "", at));
        let late = Timestamp::from_second(1_001).unwrap();
        assert!(!opens("key", organization, call, 1_001, &signature, late));
    }
}
