//! Request ids: the client's `X-Request-Id` if it is acceptable, or else a new one. The response carries the id.
//!
//! Every line that is logged while a request is carried out stands in the span `request` with the id, and so does every line that
//! the engine logs of a call that the request creates. A request that changes something logs a line of its own with its path,
//! which names the call if it is about a running one.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;
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
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let span = tracing::info_span!("request", %id);
    let mut response = next.run(request).instrument(span.clone()).await;
    // Without those that were refused, which anybody can send in any number.
    if !matches!(method, Method::GET | Method::HEAD) && response.status().is_success() {
        span.in_scope(|| tracing::info!(%method, path, status = response.status().as_u16(), "request"));
    }
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
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn;
    use axum::routing::post;
    use tower::ServiceExt;

    use super::*;

    /// Lines of a log.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn the_id_stands_in_every_line_of_a_request_and_of_what_it_sends_to_the_engine() {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let _logging = tracing::subscriber::set_default(log);
        let (engine, mut envelopes) = crate::engine::Engine::pair(1);
        let create = move || async move {
            tracing::info!("call out");
            let sent =
                tokio::spawn(async move { engine.command(crate::engine::Command::Calls).await }.in_current_span());
            let envelope = envelopes.recv().await.unwrap();
            envelope.span.in_scope(|| tracing::info!("call ended"));
            drop(envelope);
            assert!(sent.await.unwrap().is_err());
        };
        let create = Arc::new(Mutex::new(Some(create)));
        let app = Router::new()
            .route("/api/calls", post(move || create.lock().unwrap().take().unwrap()()))
            .layer(from_fn(attach));
        let request = Request::post("/api/calls").header(X_REQUEST_ID, "trail-7").body(Body::empty()).unwrap();
        assert_eq!(app.oneshot(request).await.unwrap().headers()[X_REQUEST_ID], "trail-7");
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| line.contains("request{id=trail-7}")).collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[0].contains("call out") && lines[1].contains("call ended"), "{text}");
        assert!(lines[2].ends_with("request method=POST path=\"/api/calls\" status=200"), "{text}");
    }

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
