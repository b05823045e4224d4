//! Signed URLs, which open one recording for some time without a log-in: HMAC-SHA-256 over recording, organization, expiry and
//! signer.
//!
//! ```text
//! request ─▶ SignedLink, checked in `rate_limit`, which counts only requests without a valid signature ─▶ handler
//! ```
//!
//! The key belongs to the organization and is in the store, so that a URL outlives the process.

use crate::store::Store;
use aws_lc_rs::hmac;
use axum::extract::FromRef;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use jiff::Timestamp;
use uuid::Uuid;

use crate::http::body::{PathId, QueryPairs};
use crate::http::problem::Problem;
use crate::store::{OrganizationId, PartId, now};

/// Content of a signed URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordingLink {
    /// Organization that the recording belongs to.
    pub(crate) organization: OrganizationId,
    /// Id of the recorded call.
    pub(crate) call: Uuid,
    /// File of the recording.
    pub(crate) file: PartId,
    /// Expiry, in seconds since 1970.
    pub(crate) expires: i64,
    /// Signer, as `user:ID` or `key:ID`.
    pub(crate) by: String,
}

impl RecordingLink {
    /// Returns the signature with an organization's key.
    pub(crate) fn signature(&self, key: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
        hex::encode(hmac::sign(&key, self.text().as_bytes()))
    }

    /// Returns whether a signature is valid now.
    fn opens(&self, key: &str, signature: &str, now: Timestamp) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
        let right = hex_of(signature).is_some_and(|told| hmac::verify(&key, self.text().as_bytes(), &told).is_ok());
        right && now.as_second() < self.expires
    }

    fn text(&self) -> String {
        let RecordingLink { organization, call, file, expires, by } = self;
        // The first line distinguishes the forms, whatever the other lines contain.
        match file {
            PartId { number: 1, part: 1 } => format!("recording\n{organization}\n{call}\n{expires}\n{by}"),
            PartId { number: 1, part } => {
                format!("recording-part\n{organization}\n{call}\n{part}\n{expires}\n{by}")
            }
            PartId { number, part } => {
                format!("recording-file\n{organization}\n{call}\n{number}\n{part}\n{expires}\n{by}")
            }
        }
    }
}

/// Returns the bytes of a signature. Only lower-case hexadecimal is accepted.
fn hex_of(signature: &str) -> Option<Vec<u8>> {
    hex::decode(signature).ok().filter(|bytes| bytes.len() == 32 && hex::encode(bytes) == signature)
}

/// Request with a valid signature. Requests that were altered, belong to another recording or have expired get the same response.
#[derive(Clone, Debug)]
pub(crate) struct SignedLink {
    /// Content of the URL.
    pub(crate) link: RecordingLink,
    /// Signature of the URL.
    pub(crate) signature: String,
}

/// Result of checking a request's signature. It is stored in the request's extensions, so that it is determined only once.
#[derive(Clone)]
pub(crate) struct Checked(pub(crate) Result<SignedLink, Problem>);

impl SignedLink {
    /// Checks the signature of a request.
    pub(crate) async fn check(parts: &mut Parts, store: &Store) -> Result<SignedLink, Problem> {
        let id = PathId::from_request_parts(parts, store).await?;
        let query = QueryPairs::from_request_parts(parts, store).await?;
        // An altered link gets the same response, whichever of its parameters is empty.
        let taken = query.take(["number", "part", "expires", "by", "signature"]);
        let [number, part, expires, by, signature] = taken.map_err(|_| bad_signature())?;
        let read = |text: Option<String>| text.map_or(Ok(1), |text| text.parse::<u32>()).map_err(|_| bad_signature());
        let file = PartId { number: read(number)?, part: read(part)? };
        let expires = expires.and_then(|text| text.parse::<i64>().ok()).filter(|&expires| now().as_second() < expires);
        let (Some(expires), Some(by), Some(signature)) = (expires, by, signature) else { return Err(bad_signature()) };
        if hex_of(&signature).is_none() {
            return Err(bad_signature());
        }
        let call = id.of("recording").map_err(|_| bad_signature())?;
        let organization = store.call_organization(call).await?.ok_or_else(bad_signature)?;
        let key = store.signing_key_show(organization).await?.ok_or_else(bad_signature)?;
        let link = RecordingLink { organization, call, file, expires, by };
        if !link.opens(&key, &signature, now()) {
            return Err(bad_signature());
        }
        Ok(SignedLink { link, signature })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for SignedLink
where
    Store: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match parts.extensions.get::<Checked>() {
            Some(Checked(checked)) => checked.clone(),
            None => SignedLink::check(parts, &Store::from_ref(state)).await,
        }
    }
}

fn bad_signature() -> Problem {
    metrics::counter!("tandem_signed_urls_refused_total").increment(1);
    Problem::new(
        StatusCode::FORBIDDEN,
        "bad-signature",
        "Invalid signature",
        "the URL was altered, belongs to another recording or has expired; ask its creator for a new one",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_opens_one_recording_of_one_tenant_until_it_expires() {
        let (organization, call) = (OrganizationId(Uuid::now_v7()), Uuid::now_v7());
        let link = RecordingLink { organization, call, file: PartId::FIRST, expires: 1_001, by: "user:1".into() };
        let at = Timestamp::from_second(1_000).unwrap();
        let signature = link.signature("key");
        assert!(link.opens("key", &signature, at));
        assert!(!link.opens("other", &signature, at));
        for other in [
            RecordingLink { organization: OrganizationId(Uuid::now_v7()), ..link.clone() },
            RecordingLink { call: Uuid::now_v7(), ..link.clone() },
            RecordingLink { expires: 1_002, ..link.clone() },
            RecordingLink { file: PartId { number: 1, part: 2 }, ..link.clone() },
            RecordingLink { file: PartId { number: 1, part: 0 }, ..link.clone() },
            RecordingLink { file: PartId { number: 2, part: 1 }, ..link.clone() },
            RecordingLink { by: "user:2".into(), ..link.clone() },
        ] {
            assert!(!other.opens("key", &signature, at), "{other:?}");
        }
        for altered in [&signature.to_uppercase(), &signature[2..], ""] {
            assert!(!link.opens("key", altered, at), "{altered}");
        }
        assert!(!link.opens("key", &signature, Timestamp::from_second(1_001).unwrap()));
    }
}
