//! Extractors for bodies, queries and paths. Each error is a problem that names the field.
//!
//! ```text
//! body  ─▶ declared type (415) ─▶ size (413), time (408) ─▶ JSON (400) ─▶ NUL, fields (422) ─▶ T
//! query ─▶ known names, each once, not empty (422) ─▶ values
//! path  ─▶ a malformed id is treated as unknown (404)
//! ```
//!
//! Invariants: bodies are bounded in size and time. No text with the character NUL passes, because no store accepts it.

use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::http::problem::Problem;

/// Size limit of a request body, in bytes.
const BODY_MAX: usize = 64 * 1024;

/// Time in which a body must arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Time in which a file must arrive.
const FILE_TIMEOUT: Duration = Duration::from_secs(60);

/// JSON body of a request. Returns 415 if it is not declared as JSON, 413 if it is too large, 400 if it is not JSON, otherwise
/// 422 with the wrong field.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        parse_json(&read_json(request).await?).map(JsonBody)
    }
}

/// Reads the bytes of a JSON body. Returns 415 if it is not declared as JSON, 413 if it is too large, 408 if it is too slow.
pub(crate) async fn read_json(request: Request) -> Result<Bytes, Problem> {
    if !is_declared(&request, &["application/json"]) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not-json",
            "The body must be JSON",
            "send the body as `Content-Type: application/json`",
        ));
    }
    read_all(request, BODY_MAX, BODY_TIMEOUT).await
}

/// Reads the bytes of a file. Returns 415 if it is not declared as one of `types`, the first of which is named in the problem,
/// 413 if it is too large, 408 if it is too slow.
pub(crate) async fn read_bytes(request: Request, types: &[&str], most: usize) -> Result<Bytes, Problem> {
    if !is_declared(&request, types) {
        let expected = types.first().copied().unwrap_or_default();
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not-this-type",
            "The body has the wrong type",
            format!("send the file as `Content-Type: {expected}`"),
        ));
    }
    read_all(request, most, FILE_TIMEOUT).await
}

/// Returns whether the body is declared to be of one of these types.
fn is_declared(request: &Request, types: &[&str]) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    types.iter().any(|known| media_type.eq_ignore_ascii_case(known))
}

async fn read_all(request: Request, most: usize, within: Duration) -> Result<Bytes, Problem> {
    let read = axum::body::to_bytes(request.into_body(), most);
    match tokio::time::timeout(within, read).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "The body is too large",
            format!("a body may have at most {most} bytes here and must arrive completely"),
        )),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "too-slow",
            "The body took too long",
            format!("a body must arrive within {} s", within.as_secs()),
        )),
    }
}

/// Parses a JSON body. The problem names the wrong field.
pub(crate) fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // serde would accept an array for a struct, field by field.
    let is_object = bytes.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{');
    if !is_object && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok() {
        return Err(Problem::field("body", "expected a JSON object"));
    }
    if let Some(field) = nul_in(bytes) {
        return Err(Problem::field(field, "expected a text without the character NUL"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value: T = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        json_problem(path, error.inner())
    })?;
    deserializer.end().map_err(|error| json_problem(String::new(), &error))?;
    Ok(value)
}

/// Returns the first field of a JSON body that contains the character NUL, which no store accepts.
fn nul_in(bytes: &[u8]) -> Option<String> {
    // Only an escape can produce it. That is rare enough to read the body twice.
    let escape = br"\u0000";
    bytes.windows(escape.len()).find(|part| part == escape)?;
    let mut places = vec![(String::new(), serde_json::from_slice::<serde_json::Value>(bytes).ok()?)];
    while let Some((path, value)) = places.pop() {
        match value {
            serde_json::Value::String(text) if text.contains('\0') => return Some(path),
            serde_json::Value::Array(items) => {
                places.extend(items.into_iter().enumerate().map(|(at, item)| (format!("{path}[{at}]"), item)));
            }
            serde_json::Value::Object(fields) => {
                let dot = if path.is_empty() { "" } else { "." };
                places.extend(fields.into_iter().map(|(name, item)| (format!("{path}{dot}{name}"), item)));
            }
            _ => {}
        }
    }
    None
}

fn json_problem(path: String, error: &serde_json::Error) -> Problem {
    if !error.is_data() {
        return Problem::malformed(format!("the body is not JSON: {error}"));
    }
    let message = error.to_string();
    // serde reports "... at line 1 column 9". The position is not useful together with the name of the field.
    let message = message.split(" at line ").next().unwrap_or_default();
    let quoted = ["unknown field `", "missing field `", "duplicate field `"]
        .iter()
        .find_map(|start| message.strip_prefix(start)?.split('`').next());
    let path = if path == "." { "" } else { path.as_str() };
    let field = match quoted {
        Some(name) if path == name || path.ends_with(&format!(".{name}")) => path.to_owned(),
        Some(name) if path.is_empty() => name.to_owned(),
        Some(name) => format!("{path}.{name}"),
        None if path.is_empty() => return Problem::field("body", message),
        None => path.to_owned(),
    };
    Problem::field(field, message)
}

/// Query parameters, each at most once. Unknown names are refused.
pub(crate) struct QueryPairs(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for QueryPairs {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::<Vec<(String, String)>>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(pairs)) => Ok(QueryPairs(pairs)),
            Err(error) => Err(Problem::malformed(format!("the query cannot be read: {error}"))),
        }
    }
}

impl QueryPairs {
    /// Returns the values of the `expected` names, in their order. An empty value is refused, because a name without a value is
    /// probably a mistake.
    pub(crate) fn take<const N: usize>(self, expected: [&str; N]) -> Result<[Option<String>; N], Problem> {
        let mut values = [const { None }; N];
        for (name, value) in self.0 {
            let Some(at) = expected.iter().position(|known| *known == name) else {
                let known = expected.join("`, `");
                return Err(Problem::field(name, format!("unknown query parameter, expected `{known}`")));
            };
            if value.contains('\0') {
                return Err(Problem::field(name, "expected a value without the character NUL"));
            }
            if values[at].is_some() {
                return Err(Problem::field(name, "expected only one value"));
            }
            if value.is_empty() {
                return Err(Problem::field(name, "expected a value; omit the parameter if there is none"));
            }
            values[at] = Some(value);
        }
        Ok(values)
    }
}

/// The `{id}` of a call in a path. A malformed id is treated as unknown: 404.
pub(crate) struct CallPath(pub(crate) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for CallPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(text)) => text,
            Err(_) => return Err(Problem::not_found("call")),
        };
        text.parse().map(CallPath).map_err(|_| Problem::not_found("call"))
    }
}

/// The `{id}` of a call in a path, followed by the number of a leg.
pub(crate) struct LegPath(pub(crate) Uuid, pub(crate) u64);

impl<S: Send + Sync> FromRequestParts<S> for LegPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let texts = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Ok(Path((call, leg))) = texts else { return Err(Problem::not_found("call")) };
        let call = call.parse().map_err(|_| Problem::not_found("call"))?;
        // A malformed number is looked up as 0, which no leg has, so that the call of another tenant looks like an unknown one.
        Ok(LegPath(call, leg.parse().unwrap_or(0)))
    }
}

/// The `{id}` of a call in a path, followed by the number of a recording.
pub(crate) struct RecordingPath(pub(crate) Uuid, pub(crate) u32);

impl<S: Send + Sync> FromRequestParts<S> for RecordingPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let LegPath(call, number) = LegPath::from_request_parts(parts, state).await?;
        // No recording has the number 0.
        Ok(RecordingPath(call, u32::try_from(number).unwrap_or(0)))
    }
}

/// The `{slot}` of a parked call in a path. A malformed slot is treated as 0, in which no call is parked.
pub(crate) struct SlotPath(pub(crate) u16);

impl<S: Send + Sync> FromRequestParts<S> for SlotPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await.ok();
        Ok(SlotPath(text.and_then(|Path(text)| text.parse().ok()).unwrap_or(0)))
    }
}

/// The `{id}` of another resource in a path. A malformed id is treated as unknown: 404.
pub(crate) struct PathId(Option<Uuid>);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await.ok();
        Ok(PathId(text.and_then(|Path(text)| text.parse().ok())))
    }
}

impl PathId {
    /// Returns the id, or a 404 that says that there is no such `what`.
    pub(crate) fn of(&self, what: &str) -> Result<Uuid, Problem> {
        self.0.ok_or_else(|| Problem::not_found(what))
    }
}

/// The `{id}` of a call in a path, followed by the id of a note.
pub(crate) struct NotePath(pub(crate) Uuid, pub(crate) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for NotePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let texts = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Ok(Path((call, note))) = texts else { return Err(Problem::not_found("call")) };
        let call = call.parse().map_err(|_| Problem::not_found("call"))?;
        // A malformed id is looked up as nil, which no note has, so that the call of another tenant looks like an unknown one.
        Ok(NotePath(call, note.parse().unwrap_or(Uuid::nil())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Outer {
        to: String,
        inner: Option<Inner>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Inner {
        on: bool,
    }

    #[test]
    fn every_problem_names_its_field() {
        for (body, status, field) in [
            (r#"{"to": 5}"#, 422, Some("to")),
            (r#"{}"#, 422, Some("to")),
            (r#"{"to": "a", "too": "b"}"#, 422, Some("too")),
            (r#"{"to": "a", "to": "b"}"#, 422, Some("to")),
            (r#"{"to": "a", "inner": {"on": "yes"}}"#, 422, Some("inner.on")),
            (r#"{"to": "a", "inner": {"off": true}}"#, 422, Some("inner.off")),
            (r#"{"to": "a", "inner": {}}"#, 422, Some("inner.on")),
            (r#"["a", null]"#, 422, Some("body")),
            (r#"{"to": "a\u0000b"}"#, 422, Some("to")),
            (r#"{"to": "a", "inner": {"on": ["\u0000"]}}"#, 422, Some("inner.on[0]")),
            (r#"{"to": "a""#, 400, None),
            (r#"{"to": "a"} trailing"#, 400, None),
            ("", 400, None),
            ("\u{0}", 400, None),
        ] {
            let problem = parse_json::<Outer>(body.as_bytes()).unwrap_err();
            assert_eq!((problem.status.as_u16(), problem.field.as_deref()), (status, field), "{body}: {problem:?}");
        }
    }

    /// Under virtual time: a body that arrives byte by byte is given up.
    #[tokio::test(start_paused = true)]
    async fn a_body_that_arrives_too_slowly_is_given_up() {
        let trickle = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, std::io::Error>("{"), ()))
        });
        let request = Request::post("/")
            .header(header::CONTENT_TYPE, "application/json")
            .body(axum::body::Body::from_stream(trickle))
            .unwrap();
        let started = tokio::time::Instant::now();
        let refused = JsonBody::<Outer>::from_request(request, &()).await.err().unwrap();
        assert_eq!(refused.status, StatusCode::REQUEST_TIMEOUT);
        assert_eq!(started.elapsed(), BODY_TIMEOUT);
    }

    #[test]
    fn query_parameters_have_a_known_name_and_one_value_that_is_not_empty() {
        let take = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            QueryPairs(pairs).take(["limit", "cursor"]).map_err(|problem| (problem.status.as_u16(), problem.field))
        };
        assert_eq!(take(&[("limit", "5")]), Ok([Some("5".into()), None]));
        for pairs in [&[("limit", "")][..], &[("cursor", "")], &[("size", "1")], &[("limit", "1"), ("limit", "2")]] {
            assert_eq!(take(pairs), Err((422, Some(pairs[0].0.to_owned()))), "{pairs:?}");
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        let deep = format!("{{\"to\": {}", "[".repeat(50_000));
        assert_eq!(parse_json::<Outer>(deep.as_bytes()).unwrap_err().status.as_u16(), 422);
        let ignored = "[".repeat(50_000);
        assert!(parse_json::<serde_json::Value>(ignored.as_bytes()).is_err());
    }
}
