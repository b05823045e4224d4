//! Error responses as RFC 9457 problems: `application/problem+json` with `type`, `title`, `status`, `detail` and `field`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::CommandError;
use crate::store::StoreError;
use crate::tenant::capabilities::SwitchedOff;
use crate::tenant::invalid::Invalid;

/// Seconds after which a client should repeat a request that failed because the database was unavailable.
const AWAY_S: u32 = 5;

/// Error response (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// Kind of the problem, as the URN `urn:tandem:problem:KIND`. Kinds are stable; clients should compare this field.
    #[serde(rename = "type", serialize_with = "urn")]
    #[schema(value_type = String, example = "urn:tandem:problem:invalid-field")]
    pub kind: &'static str,
    /// Kind of the problem in words, the same for all problems of a kind.
    pub title: &'static str,
    /// HTTP status of the response.
    #[schema(value_type = u16, example = 422)]
    #[serde(serialize_with = "status_number")]
    pub status: StatusCode,
    /// Cause of this problem, and the values that were expected.
    pub detail: String,
    /// Field of the request that is wrong, if the problem is about one: `to`, `config.record`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Capability that is switched off, if that is the cause: `record`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capability: Option<&'static str>,
    /// Seconds until the request may be repeated, sent as `Retry-After`.
    #[serde(skip)]
    pub retry_after: Option<u32>,
}

fn status_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

fn urn<S: serde::Serializer>(kind: &&'static str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("urn:tandem:problem:{kind}"))
}

impl Problem {
    /// Creates a problem with this status. `kind` is the last part of its URN.
    pub fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Problem {
        Problem { kind, title, status, detail: detail.into(), field: None, capability: None, retry_after: None }
    }

    /// Creates a 422: a field has a value that cannot be used. The detail is prefixed with the name of the field.
    pub fn field(field: impl Into<String>, detail: impl Into<String>) -> Problem {
        let field = field.into();
        let detail = format!("{field}: {}", detail.into());
        Problem {
            field: Some(field),
            ..Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid-field",
                "A field of the request cannot be used",
                detail,
            )
        }
    }

    /// Creates a 400: the request cannot be parsed.
    pub fn malformed(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "malformed", "The request cannot be read", detail)
    }

    /// Creates a 401: the request carries no valid credential.
    pub fn unauthorized() -> Problem {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "Authentication required",
            "log in, or send an API key as `Authorization: Bearer KEY`",
        )
    }

    /// Creates a 403: the caller is known but may not do this.
    pub fn forbidden(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail)
    }

    /// Creates a 404 for `what`, such as `call`. A resource of another organization is answered in the same way.
    pub fn not_found(what: &str) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not-found", "Not found", format!("there is no such {what}"))
    }

    /// Creates a 503: the database is unavailable.
    pub fn away() -> Problem {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "store-away",
            "The database is unavailable",
            "calls continue; try again in a few seconds",
        )
    }

    /// Creates a 500: an error of the server. Its details are only in the log.
    pub fn internal() -> Problem {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Internal error",
            "the server failed to process the request; its log has the details",
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_string(&self).unwrap_or_default();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tandem\""));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        match error {
            StoreError::Taken(what) => {
                Problem::new(StatusCode::CONFLICT, "taken", "Already exists", format!("{what} already exists"))
            }
            StoreError::None => Problem::forbidden(error.to_string()),
            StoreError::Nul => Problem::malformed("a text of the request contains the character NUL"),
            away if away.is_transient() => {
                tracing::warn!(error = %away, "a request was refused because the database is unavailable");
                metrics::counter!("tandem_store_errors_total").increment(1);
                Problem { retry_after: Some(AWAY_S), ..Problem::away() }
            }
            other => {
                tracing::error!(error = %other, "a request failed in the store");
                metrics::counter!("tandem_store_errors_total").increment(1);
                Problem::internal()
            }
        }
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Problem {
        Problem::field(invalid.field, invalid.expected)
    }
}

impl From<SwitchedOff> for Problem {
    fn from(off: SwitchedOff) -> Problem {
        Problem {
            capability: Some(off.0),
            ..Problem::new(StatusCode::FORBIDDEN, "capability-off", "This capability is switched off", off.to_string())
        }
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Problem {
        match error {
            CommandError::NotFound => {
                Problem::new(StatusCode::CONFLICT, "call-over", "The call has ended", "the call is no longer running")
            }
            CommandError::NoLeg => Problem::not_found("leg"),
            CommandError::NoRecording => Problem::not_found("recording"),
            CommandError::Conflict(why) => {
                Problem::new(StatusCode::CONFLICT, "conflict", "The call's state does not allow this", why)
            }
            CommandError::Forbidden(why) => {
                Problem::new(StatusCode::FORBIDDEN, "destination-refused", "This number may not be called", why)
            }
            CommandError::Invalid { field, problem } => Problem::field(field, problem),
            CommandError::Busy(why) => Problem {
                retry_after: Some(1),
                ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "The server is busy", why)
            },
            CommandError::Stopped => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "stopped",
                "The engine has stopped",
                "the media engine has stopped; restart the server",
            ),
        }
    }
}
