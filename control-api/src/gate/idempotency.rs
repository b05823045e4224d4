//! `Idempotency-Key`: a repeated request is not executed again.
//!
//! ```text
//! key, body ─▶ claim ─┬─ mine: work in a task of its own ─▶ success is stored, an error releases the key
//!                     ├─ done: the same response, `Idempotent-Replayed: true`
//!                     ├─ in progress: wait, claim again
//!                     └─ other body: 422
//! ```
//!
//! Invariants: a client that disconnects does not stop the work, and the response is stored. Only success is stored, because a
//! refused request has created nothing. Keys of different users and API keys are separate.

use crate::store::Store;
use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};
use tracing::Instrument;
use uuid::Uuid;

use crate::auth::Actor;
use crate::auth::visibility;
use crate::http::body::{self, parse_json};
use crate::http::problem::Problem;
use crate::store::{Claimed, IdempotencyKey, KeptAnswer, LEASE};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Length limit of a key, in characters.
pub(crate) const KEY_MAX: usize = 255;
/// Pattern of keys that [`key_of`] accepts, for the API's description. Spaces around the value of a header do not belong to it.
pub(crate) const KEY_PATTERN: &str = "^[!-~]([ -~]*[!-~])?$";

/// Description of the key in the API's description of every operation that accepts it.
pub(crate) const DESCRIPTION: &str = "Key of your choice, 1 to 255 printable ASCII characters. Repeating the request with the same key \
    within a day returns the same response. 422: the key was used with another request. 409: the same request is still in progress.";

/// Interval at which the result of another request is checked.
const LOOK: Duration = Duration::from_millis(20);

/// JSON body of a request, with its key.
pub(crate) struct Keyed<T> {
    /// The parsed body.
    pub(crate) body: T,
    key: Option<String>,
    hash: String,
}

/// Response that can be stored and replayed.
pub(crate) struct Reply {
    status: StatusCode,
    location: Option<String>,
    body: String,
}

impl Reply {
    /// Creates a response with this status and body.
    pub(crate) fn new(status: StatusCode, body: &impl Serialize) -> Result<Reply, Problem> {
        let body = serde_json::to_string(body).map_err(|_| Problem::internal())?;
        Ok(Reply { status, location: None, body })
    }

    /// Sets the URL of the created resource, sent as `Location`.
    pub(crate) fn at(self, location: String) -> Reply {
        Reply { location: Some(location), ..self }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(location) = self.location.and_then(|location| HeaderValue::from_str(&location).ok()) {
            headers.insert(header::LOCATION, location);
        }
        response
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Keyed<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let key = key_of(request.headers())?;
        let asked = format!("{} {}\n", request.method(), request.uri().path());
        let bytes = body::read_json(request).await?;
        let hash = hex::encode(Sha256::new().chain_update(asked).chain_update(&bytes).finalize());
        Ok(Keyed { body: parse_json(&bytes)?, key, hash })
    }
}

/// Key of a request without a body.
pub(crate) struct KeyedBare {
    /// The key, if there is one.
    pub(crate) key: Option<String>,
    /// Hash of method and path.
    pub(crate) hash: String,
}

impl<S: Send + Sync> FromRequestParts<S> for KeyedBare {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let asked = format!("{} {}\n", parts.method, parts.uri.path());
        Ok(KeyedBare { key: key_of(&parts.headers)?, hash: hex::encode(Sha256::digest(asked)) })
    }
}

fn key_of(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let fine = |text: &&str| (1..=KEY_MAX).contains(&text.len()) && text.bytes().all(|b| (0x20..0x7f).contains(&b));
    match value.to_str().ok().filter(fine) {
        Some(text) if values.next().is_none() => Ok(Some(text.to_owned())),
        _ => Err(Problem::field("Idempotency-Key", "expected one key of 1 to 255 printable ASCII characters")),
    }
}

/// Attempt whose work is executed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    /// Id for the resource to create.
    pub(crate) subject: Uuid,
    /// Whether an earlier attempt ended without a result, so that the resource may exist already.
    pub(crate) again: bool,
}

/// Executes a request once: `work` runs unless it has been done before under the same key.
pub(crate) async fn once<F, W>(
    store: &Store,
    actor: &Actor,
    key: Option<String>,
    hash: &str,
    work: F,
) -> Result<Response, Problem>
where
    F: FnOnce(Attempt) -> W,
    W: Future<Output = Result<Reply, Problem>> + Send + 'static,
{
    let Some(key) = key else {
        let attempt = Attempt { subject: Uuid::now_v7(), again: false };
        // The work runs to its end, so that a client that disconnects does not leave it half done.
        return Ok(tokio::spawn(work(attempt).in_current_span())
            .await
            .map_err(|_| Problem::internal())??
            .into_response());
    };
    let key = IdempotencyKey { organization: actor.organization, actor: visibility::identity(actor), key };
    let deadline = Instant::now() + LEASE;
    loop {
        match store.idempotency_claim(&key, hash).await? {
            Claimed::Mine { claim, subject, again } => {
                let attempt = Attempt { subject, again };
                return carry_out(store.clone(), key, claim, work(attempt)).await;
            }
            Claimed::Done(answer) => return Ok(replayed_response(answer)),
            Claimed::OtherBody => {
                return Err(Problem::field(
                    "Idempotency-Key",
                    "this key was used with another request; use a new key for a new request",
                ));
            }
            Claimed::Running if Instant::now() < deadline => sleep(LOOK).await,
            Claimed::Running => {
                return Err(Problem {
                    retry_after: Some(1),
                    ..Problem::new(
                        StatusCode::CONFLICT,
                        "in-progress",
                        "The same request is in progress",
                        "a request with this key is still in progress; try again",
                    )
                });
            }
        }
    }
}

impl<T> Keyed<T> {
    /// Returns body, key and hash.
    pub(crate) fn parts(self) -> (T, Option<String>, String) {
        (self.body, self.key, self.hash)
    }
}

/// Executes the claimed work in a task of its own and stores its response.
async fn carry_out(
    store: Store,
    key: IdempotencyKey,
    claim: Uuid,
    work: impl Future<Output = Result<Reply, Problem>> + Send + 'static,
) -> Result<Response, Problem> {
    // After a panic the claim expires by itself, because it is not known what was created.
    let work = async move {
        let done = work.await;
        let kept = match &done {
            Ok(reply) => {
                let answer = KeptAnswer {
                    status: reply.status.as_u16(),
                    location: reply.location.clone(),
                    body: reply.body.clone(),
                };
                store.idempotency_finish(&key, claim, &answer).await
            }
            Err(_) => store.idempotency_release(&key, claim).await,
        };
        if let Err(error) = kept {
            // The work is done nevertheless; the claim expires by itself.
            tracing::warn!(%error, "cannot store the response for an idempotency key");
        }
        done
    };
    Ok(tokio::spawn(work.in_current_span()).await.map_err(|_| Problem::internal())??.into_response())
}

fn replayed_response(answer: KeptAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = Reply { status, location: answer.location, body: answer.body }.into_response();
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
