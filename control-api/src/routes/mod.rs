//! A file per resource. Each handler: who (Actor), what (a checked request), then store and engine.
//!
//! Invariants: every route of `/api` stands in `/openapi.json`, because one list makes both. Nothing here writes
//! SQL. What belongs to another organization looks like what does not exist.

mod annotations;
mod auth;
mod call_search;
mod caller_id;
mod calls;
mod capabilities;
mod events;
mod health;
mod pages;
mod recording_list;
mod recordings;
mod sip;
mod trace;
mod transcripts;
mod translations;
mod usage;
mod voice_config;
mod voice_targets;
mod webrtc;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::routing::get;
use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::SESSION_COOKIE;
use crate::problem::Problem;
use crate::state::AppState;

#[derive(OpenApi)]
#[openapi(
    info(title = "Tandem", description = "Calls, their words and their recordings."),
    modifiers(&Security),
    tags(
        (name = "calls", description = "Make, watch and end calls"),
        (name = "translations", description = "What was said and what it means"),
        (name = "voice", description = "What is done with calls' audio"),
        (name = "events", description = "What happens, as it happens"),
        (name = "auth", description = "Log-in by browser"),
        (name = "usage", description = "What was used"),
        (name = "webrtc", description = "Browser telephones"),
    ),
)]
struct ApiDoc;

struct Security;

impl utoipa::Modify for Security {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let key = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("An API key")).build();
        components.add_security_scheme("key", SecurityScheme::Http(key));
        components
            .add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(SESSION_COOKIE))));
    }
}

/// Every route of the API, with its description.
fn api() -> OpenApiRouter<AppState> {
    let api = OpenApiRouter::new()
        .routes(routes!(call_search::call_list, calls::call_create))
        .routes(routes!(call_search::call_export))
        .routes(routes!(calls::call_show))
        .routes(routes!(calls::call_hangup))
        .routes(routes!(calls::call_say))
        .routes(routes!(annotations::outcome_show, annotations::outcome_put))
        .routes(routes!(annotations::note_list, annotations::note_create))
        .routes(routes!(annotations::note_update, annotations::note_delete))
        .routes(routes!(transcripts::transcript_show))
        .routes(routes!(translations::translation_list))
        .routes(routes!(translations::translation_stream))
        .routes(routes!(recordings::recording_show))
        .routes(routes!(recording_list::recording_list))
        .routes(routes!(recording_list::recording_info))
        .routes(routes!(recording_list::recording_sign))
        .routes(routes!(recording_list::recording_signed))
        .routes(routes!(trace::trace_show))
        .routes(routes!(voice_config::voice_config_show, voice_config::voice_config_put))
        .routes(routes!(voice_targets::target_list, voice_targets::target_create))
        .routes(routes!(voice_targets::target_update, voice_targets::target_delete))
        .routes(routes!(caller_id::number_list, caller_id::number_create))
        .routes(routes!(caller_id::number_update, caller_id::number_delete))
        .routes(routes!(caller_id::rule_list, caller_id::rule_create))
        .routes(routes!(caller_id::rule_update, caller_id::rule_delete))
        .routes(routes!(capabilities::capabilities_show, capabilities::capabilities_put))
        .routes(routes!(usage::usage_show))
        .routes(routes!(webrtc::token_create))
        .routes(routes!(events::event_stream))
        .routes(routes!(events::provider_list))
        .routes(routes!(auth::login))
        .routes(routes!(auth::logout))
        .routes(routes!(auth::session_show));
    OpenApiRouter::with_openapi(ApiDoc::openapi()).nest("/api", api).routes(routes!(health::health_show))
}

/// The description of the API, as `/openapi.json` serves it.
pub fn openapi() -> utoipa::openapi::OpenApi {
    api().into_openapi()
}

/// All routes: API, its description, SIP over WebSocket, pages.
pub(crate) fn router() -> Router<AppState> {
    let (api, document) = api().split_for_parts();
    let document = serde_json::to_string(&document).unwrap_or_default();
    let openapi = move || async move { ([(axum::http::header::CONTENT_TYPE, "application/json")], document) };
    api.route("/openapi.json", get(openapi))
        .route("/sip", get(sip::upgrade))
        .merge(pages::router())
        .fallback(no_such_path)
        .method_not_allowed_fallback(wrong_method)
}

async fn no_such_path(uri: Uri) -> Problem {
    Problem::not_found(if uri.path().starts_with("/api") { "resource" } else { "page" })
}

async fn wrong_method(method: Method) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "This path knows other methods",
        format!("{method} is not known here; the Allow header lists what is"),
    )
}
