//! Every request has an id: the caller's `X-Request-Id` when it is sane, else one of ours; the answer carries it.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use uuid::Uuid;

/// The header.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is taken over.
const LENGTH_MAX: usize = 64;

/// The id of a request, among its extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub String);

/// Finds or makes the id, and writes it onto the answer.
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

/// Letters, digits, `.`, `_`, `-` only: it goes into logs and answers.
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
    fn only_sane_ids_are_taken_over() {
        let taken = |text: &str| sane(&HeaderValue::from_bytes(text.as_bytes()).unwrap()).is_some();
        for fine in ["a", "01HV3-x_y.z", &"a".repeat(64)] {
            assert!(taken(fine), "{fine}");
        }
        for bad in ["", "a b", "a;b", "<script>", "ä", &"a".repeat(65)] {
            assert!(!taken(bad), "{bad}");
        }
    }
}
