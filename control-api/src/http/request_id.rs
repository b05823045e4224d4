//! Request ids: the client's `X-Request-Id` if it is acceptable, or else a new one. The response carries the id.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use uuid::Uuid;

/// Name of the header with the request id.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is accepted, in characters.
const LENGTH_MAX: usize = 64;

/// Id of a request, stored in its extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(pub(crate) String);

/// Determines the id of a request and adds it to the response.
pub(crate) async fn attach(mut request: Request, next: Next) -> Response {
    let id = match request.headers().get(X_REQUEST_ID).and_then(sane) {
        Some(id) => id.to_owned(),
        None => Uuid::now_v7().to_string(),
    };
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    response
}

/// Accepts only letters, digits, `.`, `_` and `-`, because the id is written to logs and responses.
fn sane(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok()?;
    let fine = (1..=LENGTH_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    fine.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_acceptable_ids_are_used() {
        let taken = |text: &str| sane(&HeaderValue::from_bytes(text.as_bytes()).unwrap()).is_some();
        for fine in ["a", "01HV3-x_y.z", &"a".repeat(64)] {
            assert!(taken(fine), "{fine}");
        }
        for bad in ["", "a b", "a;b", "<script>", "ä", &"a".repeat(65)] {
            assert!(!taken(bad), "{bad}");
        }
    }
}
