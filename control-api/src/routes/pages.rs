//! The web pages, embedded in the binary. They name no other host, and the policy in `headers` enforces this.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use rust_embed::{EmbeddedFile, RustEmbed};
use serde::Deserialize;

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

/// The table of the pages, from which the build of the pages makes their HTML files.
const TABLE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/ui/pages.json"));

/// A row of the table: the path that a person opens, and the name of the page's HTML file. The other columns are for the build.
#[derive(Deserialize)]
struct PageRow {
    name: &'static str,
    path: &'static str,
}

fn table() -> Vec<PageRow> {
    serde_json::from_str(TABLE).expect("the table is part of the binary, and a test reads it")
}

/// Pages that do not redirect to sign-up while there is no organization.
const WITHOUT_ACCOUNT: [&str; 2] = ["/signup", "/invitation"];

pub(super) fn router() -> Router<AppState> {
    let mut router = Router::new();
    for PageRow { name, path } in table() {
        let handler = move |State(state): State<AppState>, headers: HeaderMap| async move {
            // Without an organization nobody can log in, so every page redirects to sign-up. If the store fails, that page
            // reports it.
            if !WITHOUT_ACCOUNT.contains(&path) && state.gate.is_fresh().await.unwrap_or(false) {
                return Redirect::temporary("/signup").into_response();
            }
            page(&headers, name)
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

/// Returns the page's file, or the notice if the pages were not built.
fn page(headers: &HeaderMap, name: &str) -> Response {
    let file = format!("{name}.html");
    match Dist::get(&file) {
        Some(found) => embedded(headers, &file, found, "no-cache"),
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

#[cfg(test)]
mod tests {
    use super::{Dist, WITHOUT_ACCOUNT, table};

    #[test]
    fn the_table_has_each_page_once_and_those_that_need_no_account() {
        let rows = table();
        assert_eq!(rows.iter().filter(|row| row.path == "/").map(|row| row.name).collect::<Vec<_>>(), ["index"]);
        for row in &rows {
            let same = |other: &&super::PageRow| other.name == row.name || other.path == row.path;
            assert_eq!(rows.iter().filter(same).count(), 1, "{} is there twice", row.path);
            assert!(row.path.starts_with('/'), "{}", row.path);
        }
        for path in WITHOUT_ACCOUNT {
            assert!(rows.iter().any(|row| row.path == path), "{path} is no page");
        }
    }

    #[test]
    fn the_embedded_pages_are_those_of_the_table() {
        let mut named: Vec<String> = table().iter().map(|row| format!("{}.html", row.name)).collect();
        named.sort();
        let mut embedded: Vec<String> =
            Dist::iter().filter(|file| file.ends_with(".html")).map(|file| file.into_owned()).collect();
        embedded.sort();
        assert!(embedded.is_empty() || embedded == named, "build the pages again by `make ui`: {embedded:?}");
    }
}
