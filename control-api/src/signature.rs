//! URLs that open one thing for a while without a login: HMAC-SHA-256 over what, whose, until when, and who signed.
//!
//! ```text
//! request ─▶ SignedLink: before it is counted (`rate_limit`), because only what is not validly signed is ─▶ handler
//! ```
//!
//! The key is the organization's own and lies in the store, so that a URL outlives the process.

use aws_lc_rs::hmac;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use jiff::Timestamp;
use uuid::Uuid;

use crate::body::{PathId, QueryPairs};
use crate::problem::Problem;
use crate::state::AppState;
use crate::store::{OrganizationId, PartId, now};

/// What a URL opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordingLink {
    /// Whose it is.
    pub(crate) organization: OrganizationId,
    /// The recorded call.
    pub(crate) call: Uuid,
    /// Which of its files.
    pub(crate) file: PartId,
    /// Until when, in seconds since 1970.
    pub(crate) expires: i64,
    /// Who signed it, as `user:ID` or `key:ID`.
    pub(crate) by: String,
}

impl RecordingLink {
    /// The signature with an organization's key.
    pub(crate) fn signature(&self, key: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
        hex::encode(hmac::sign(&key, self.text().as_bytes()))
    }

    /// Whether a signature opens it now.
    fn opens(&self, key: &str, signature: &str, now: Timestamp) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
        let right = hex_of(signature).is_some_and(|told| hmac::verify(&key, self.text().as_bytes(), &told).is_ok());
        right && now.as_second() < self.expires
    }

    fn text(&self) -> String {
        let RecordingLink { organization, call, file, expires, by } = self;
        // The first line tells the forms apart, whatever the others hold.
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

/// The bytes of a signature. One spelling only: hex in small letters.
fn hex_of(signature: &str) -> Option<Vec<u8>> {
    hex::decode(signature).ok().filter(|bytes| bytes.len() == 32 && hex::encode(bytes) == signature)
}

/// A request with a valid signature. One that was altered, is for something else or has expired is refused in the same words.
#[derive(Clone, Debug)]
pub(crate) struct SignedLink {
    /// What it opens.
    pub(crate) link: RecordingLink,
    /// What opens it.
    pub(crate) signature: String,
}

/// What a request's signature was found to be, among its extensions: looked up once.
#[derive(Clone)]
pub(crate) struct Checked(pub(crate) Result<SignedLink, Problem>);

impl SignedLink {
    /// Checks a request's signature.
    pub(crate) async fn check(parts: &mut Parts, state: &AppState) -> Result<SignedLink, Problem> {
        let id = PathId::from_request_parts(parts, state).await?;
        let query = QueryPairs::from_request_parts(parts, state).await?;
        // An altered link is refused in the same words, whichever of its parameters is empty.
        let taken = query.take(["number", "part", "expires", "by", "signature"]);
        let [number, part, expires, by, signature] = taken.map_err(|_| refused())?;
        let read = |text: Option<String>| text.map_or(Ok(1), |text| text.parse::<u32>()).map_err(|_| refused());
        let file = PartId { number: read(number)?, part: read(part)? };
        let expires = expires.and_then(|text| text.parse::<i64>().ok()).filter(|&expires| now().as_second() < expires);
        let (Some(expires), Some(by), Some(signature)) = (expires, by, signature) else { return Err(refused()) };
        if hex_of(&signature).is_none() {
            return Err(refused());
        }
        let call = id.of("recording").map_err(|_| refused())?;
        let organization = state.store.call_organization(call).await?.ok_or_else(refused)?;
        let key = state.store.signing_key_show(organization).await?.ok_or_else(refused)?;
        let link = RecordingLink { organization, call, file, expires, by };
        if !link.opens(&key, &signature, now()) {
            return Err(refused());
        }
        Ok(SignedLink { link, signature })
    }
}

impl FromRequestParts<AppState> for SignedLink {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        match parts.extensions.get::<Checked>() {
            Some(Checked(checked)) => checked.clone(),
            None => SignedLink::check(parts, state).await,
        }
    }
}

fn refused() -> Problem {
    metrics::counter!("tandem_signed_urls_refused_total").increment(1);
    Problem::new(
        StatusCode::FORBIDDEN,
        "bad-signature",
        "This URL opens nothing",
        "the URL was altered, is for something else or has expired; ask whoever made it for a new one",
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
