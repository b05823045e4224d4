//! Headers of all responses, and metrics of all requests.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::config::{Config, Tls};
use crate::http::client::Client;
use crate::http::problem::Problem;

/// Size limit of path and query, in bytes.
const TARGET_MAX: usize = 8 * 1024;
/// Makes browsers use HTTPS for a year. It is sent only with a certificate of the operator: with a self-signed one, browsers
/// would lock their users out.
const TRANSPORT_SECURITY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Headers of every response, with their values.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("permissions-policy"), "microphone=(self), camera=(), geolocation=()"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Sets the headers of responses and refuses targets that are too long.
pub(crate) async fn secure(State(config): State<Arc<Config>>, request: Request, next: Next) -> Response {
    let policy = content_policy(&config, &Client::of(&config, None, request.headers()).host);
    let is_api = request.uri().path().starts_with("/api/");
    let length = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let mut response = if length > TARGET_MAX { too_long().into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    if matches!(config.http.tls, Tls::Files { .. }) {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, TRANSPORT_SECURITY);
    }
    keep_out_of_caches(headers, is_api);
    response
}

/// Forbids caching of API responses. Pages and assets set their own cache times.
fn keep_out_of_caches(headers: &mut HeaderMap, is_api: bool) {
    if is_api || !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

fn too_long() -> Problem {
    Problem::new(
        StatusCode::URI_TOO_LONG,
        "uri-too-long",
        "The path and query are too long",
        format!("path and query may have at most {TARGET_MAX} bytes"),
    )
}

/// Returns a policy that allows only scripts, styles and sounds of this server and forbids framing. Pages may connect only to
/// this server: under the name by which they were reached, and under `http.public_url`, which their WebSockets use.
fn content_policy(config: &Config, host: &str) -> HeaderValue {
    let public = config.http.public_url.as_ref().map(ToString::to_string);
    let public = public.as_deref().and_then(|url| url.split_once("://")).map(|(_, host)| host.trim_end_matches('/'));
    let mut sockets = String::new();
    for host in [Some(host), public].into_iter().flatten().filter(|host| is_authority(host)) {
        sockets += &format!(" ws://{host} wss://{host}");
    }
    let text = format!(
        "default-src 'self'; connect-src 'self'{sockets}; media-src 'self' blob:; img-src 'self' data:; \
         frame-ancestors 'none'; object-src 'none'; base-uri 'none'; form-action 'self'"
    );
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("default-src 'self'"))
}

/// Returns whether a text can only be a host with or without a port. It is put into a policy whose words are separated by spaces
/// and semicolons.
fn is_authority(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    !text.is_empty() && text.len() <= 260 && text.bytes().all(good)
}

/// Counts requests by route and not by path, because paths contain ids.
pub(crate) async fn count(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = request.method().as_str().to_owned();
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    let labels = [("route", route), ("method", method), ("status", status)];
    metrics::counter!("tandem_http_requests_total", &labels).increment(1);
    metrics::histogram!("tandem_http_request_seconds", &labels).record(start.elapsed().as_secs_f64());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_may_connect_only_to_this_server() {
        let config = Config::from_toml("[http]\npublic_url = \"https://voice.example.com/\"").unwrap();
        let policy = |host| content_policy(&config, host).to_str().unwrap().to_owned();
        let public = "ws://voice.example.com wss://voice.example.com;";
        assert!(
            policy("10.0.0.1:8080")
                .contains(&format!("connect-src 'self' ws://10.0.0.1:8080 wss://10.0.0.1:8080 {public}"))
        );
        assert!(policy("[2001:db8::1]").contains("wss://[2001:db8::1] "));
        for host in ["", "evil.example ws:", "x; script-src *", "a,b", "*", "evil/path"] {
            assert!(policy(host).contains(&format!("connect-src 'self' {public}")), "{host}");
        }
    }
}
