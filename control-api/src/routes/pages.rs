//! The web pages, embedded in the binary. They name no other host, and the policy in `headers` enforces this.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::http::problem::Problem;
use crate::state::AppState;

#[derive(RustEmbed)]
#[folder = "ui/dist"]
#[allow_missing = true]
struct Dist;

/// Page that is served if the pages were not built.
const NOTICE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Tandem</title>\
     <h1>The pages were not built</h1><p>Run <code>make build</code> and start the server again. \
     The API at <a href=\"/openapi.json\">/openapi.json</a> works.</p></html>\n";

/// Paths that a person opens, with the file of each page.
const PAGES: [(&str, &str); 10] = [
    ("/", "index.html"),
    ("/login", "login.html"),
    ("/signup", "signup.html"),
    ("/invitation", "invitation.html"),
    ("/reset", "reset.html"),
    ("/agent", "agent.html"),
    ("/live", "live.html"),
    ("/calls", "calls.html"),
    ("/calls/{id}", "call.html"),
    ("/settings", "settings.html"),
];

/// Pages that do not redirect to sign-up while there is no organization.
const WITHOUT_ACCOUNT: [&str; 2] = ["/signup", "/invitation"];

pub(super) fn router() -> Router<AppState> {
    let mut router = Router::new();
    for (path, file) in PAGES {
        let handler = move |State(state): State<AppState>, headers: HeaderMap| async move {
            // Without an organization nobody can log in, so every page redirects to sign-up. If the store fails, that page
            // reports it.
            if !WITHOUT_ACCOUNT.contains(&path) && state.gate.is_fresh().await.unwrap_or(false) {
                return Redirect::temporary("/signup").into_response();
            }
            page(&headers, file)
        };
        router = router.route(path, get(handler));
    }
    router.route("/assets/{*path}", get(asset)).route(
        "/favicon.svg",
        get(|headers: HeaderMap| async move {
            match Dist::get("favicon.svg") {
                Some(file) => embedded(&headers, "favicon.svg", file, "no-cache"),
                None => Problem::not_found("page").into_response(),
            }
        }),
    )
}

/// Returns the page's own file, or else `index.html`, or else the notice.
fn page(headers: &HeaderMap, file: &str) -> Response {
    match Dist::get(file).map(|found| (file, found)).or_else(|| Some(("index.html", Dist::get("index.html")?))) {
        Some((name, found)) => embedded(headers, name, found, "no-cache"),
        None => (StatusCode::OK, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], NOTICE).into_response(),
    }
}

/// Serves scripts, styles and sounds. Their names contain a hash of their content, so they are cached for ever.
async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    let name = format!("assets/{path}");
    match Dist::get(&name) {
        Some(file) => embedded(&headers, &name, file, "public, max-age=31536000, immutable"),
        None => Problem::not_found("page").into_response(),
    }
}

fn embedded(headers: &HeaderMap, name: &str, file: EmbeddedFile, cache: &'static str) -> Response {
    let tag = format!("\"{}\"", hex::encode(&file.metadata.sha256_hash()[..16]));
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = file.data.into_response();
        let content_type = match name.rsplit('.').next() {
            Some("html") => "text/html; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            _ => file.metadata.mimetype(),
        };
        if let Ok(value) = HeaderValue::from_str(content_type) {
            response.headers_mut().insert(header::CONTENT_TYPE, value);
        }
        response
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if let Ok(value) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, value);
    }
    response
}
