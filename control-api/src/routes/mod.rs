//! Routes of the HTTP API, one file per resource.
//!
//! A handler authenticates the caller (`Actor`), checks the request, then calls the store and the engine.
//!
//! Invariants: every route under `/api` appears in `/openapi.json`, because both come from the same list. No file here contains
//! SQL. A resource of another organization is answered like one that does not exist.

mod annotations;
mod api_keys;
mod audit_logs;
mod auth;
mod call_handling;
mod call_search;
mod call_targets;
mod caller_id;
mod calls;
mod capabilities;
mod events;
mod health;
mod limits;
mod media;
mod number_proof;
mod organizations;
mod pages;
mod parking;
mod password_reset;
mod programs;
mod prompts;
mod rbac;
mod recording_list;
mod recording_verbs;
mod recordings;
mod signup;
mod sip;
mod team;
mod trace;
mod transcripts;
mod translations;
mod usage;
mod users;
mod values;
mod verbs;
mod voice_config;
mod voice_targets;
mod webrtc;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::routing::get;
use bytes::Bytes;
use utoipa::OpenApi;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Content, ContentBuilder, RefOr, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::SESSION_COOKIE;
use crate::idempotency;
use crate::problem::Problem;
use crate::rate_limit::{Charge, charge};
use crate::state::AppState;

#[derive(OpenApi)]
#[openapi(
    info(title = "Tandem", description = "Telephone calls, their transcripts, translations and recordings."),
    modifiers(&Security),
    tags(
        (name = "calls", description = "Start, control, watch and end calls"),
        (name = "translations", description = "Transcripts of calls and their translations"),
        (name = "voice", description = "Processing of the audio of calls"),
        (name = "events", description = "Live stream of events"),
        (name = "auth", description = "Sign-up, browser sessions and passwords"),
        (name = "organizations", description = "Settings of your organization"),
        (name = "users", description = "Users and their profiles"),
        (name = "team", description = "Members and invitations"),
        (name = "rbac", description = "Roles and permissions"),
        (name = "api-keys", description = "API keys for programs"),
        (name = "audit-logs", description = "Record of every change and its author"),
        (name = "usage", description = "Usage and limits"),
        (name = "health", description = "Liveness and readiness of the server"),
        (name = "webrtc", description = "Credentials for browser telephones"),
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

/// Returns every route of the API with its description.
fn api() -> OpenApiRouter<AppState> {
    let api = OpenApiRouter::new()
        .routes(routes!(call_search::call_list, calls::call_create))
        .routes(routes!(call_search::call_export))
        .routes(routes!(calls::call_show))
        .routes(routes!(calls::call_hangup))
        .routes(routes!(calls::call_say))
        .routes(routes!(verbs::leg_create))
        .routes(routes!(verbs::leg_delete))
        .routes(routes!(verbs::leg_hold))
        .routes(routes!(verbs::leg_resume))
        .routes(routes!(verbs::leg_mute))
        .routes(routes!(verbs::leg_unmute))
        .routes(routes!(verbs::leg_dtmf))
        .routes(routes!(verbs::call_transfer))
        .routes(routes!(parking::call_park))
        .routes(routes!(verbs::leg_gain))
        .routes(routes!(call_handling::call_handling_show, call_handling::call_handling_put))
        .routes(routes!(parking::parked_list))
        .routes(routes!(parking::parked_pickup))
        .routes(routes!(prompts::call_play))
        .routes(routes!(prompts::call_stop))
        .routes(routes!(prompts::call_gather))
        .routes(routes!(recording_verbs::call_recordings, recording_verbs::recording_start))
        .routes(routes!(recording_verbs::recording_pause))
        .routes(routes!(recording_verbs::recording_resume))
        .routes(routes!(recording_verbs::recording_stop))
        .routes(routes!(verbs::supervise_start))
        .routes(routes!(verbs::supervise_change))
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
        .routes(routes!(media::media_list, media::media_create))
        .routes(routes!(media::media_delete))
        .routes(routes!(programs::program_show, programs::program_put, programs::program_delete))
        .routes(routes!(programs::secret_show, programs::secret_replace))
        .routes(routes!(programs::secret_revoke_previous))
        .routes(routes!(media::media_audio))
        .routes(routes!(caller_id::number_list, caller_id::number_create))
        .routes(routes!(caller_id::number_update, caller_id::number_delete))
        .routes(routes!(number_proof::number_call))
        .routes(routes!(number_proof::number_code))
        .routes(routes!(caller_id::rule_list, caller_id::rule_create))
        .routes(routes!(caller_id::rule_update, caller_id::rule_delete))
        .routes(routes!(capabilities::capabilities_show, capabilities::capabilities_put))
        .routes(routes!(usage::usage_show))
        .routes(routes!(webrtc::token_create))
        .routes(routes!(events::event_stream))
        .routes(routes!(events::provider_list))
        .merge(people())
        .routes(routes!(health::health_alias));
    OpenApiRouter::with_openapi(ApiDoc::openapi())
        .nest("/api", api)
        .routes(routes!(health::health_show))
        .routes(routes!(health::readiness_show))
}

/// Returns the routes of accounts, sessions, teams, permissions, keys and the audit log.
fn people() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(auth::provider_list))
        .routes(routes!(signup::signup))
        .routes(routes!(signup::invitation_show))
        .routes(routes!(auth::login))
        .routes(routes!(auth::logout))
        .routes(routes!(auth::refresh))
        .routes(routes!(auth::session_show))
        .routes(routes!(auth::csrf_show))
        .routes(routes!(auth::password_change))
        .routes(routes!(password_reset::reset_request, password_reset::reset_use))
        .routes(routes!(auth::key_validate))
        .routes(routes!(organizations::organization_create))
        .routes(routes!(organizations::organization_show, organizations::organization_update))
        .routes(routes!(organizations::retention_put))
        .routes(routes!(users::me_show, users::me_update))
        .routes(routes!(users::user_show))
        .routes(routes!(team::member_list))
        .routes(routes!(team::member_update, team::member_remove))
        .routes(routes!(team::invitation_list, team::invitation_create))
        .routes(routes!(team::invitation_revoke))
        .routes(routes!(rbac::role_list))
        .routes(routes!(rbac::permission_list))
        .routes(routes!(api_keys::key_list, api_keys::key_create))
        .routes(routes!(api_keys::key_revoke))
        .routes(routes!(audit_logs::audit_list))
        .routes(routes!(audit_logs::audit_verify))
        .routes(routes!(audit_logs::audit_export))
        .routes(routes!(limits::limit_list))
}

/// Returns the OpenAPI description of the API, as `/openapi.json` serves it.
pub fn openapi() -> utoipa::openapi::OpenApi {
    with_common_responses(api().into_openapi())
}

/// Adds the error responses that all routes of a kind share, so that they are written in one place: 401 and 403 where
/// authentication is required, 429 where requests are counted, 4xx for bodies and parameters where there are any, and 500 for a
/// failure of the store.
fn with_common_responses(mut document: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    // A test checks that nothing is left undescribed.
    let _unsaid = values::describe(&mut document);
    for (path, item) in &mut document.paths.paths {
        let operations = [
            (Method::GET, &mut item.get),
            (Method::PUT, &mut item.put),
            (Method::POST, &mut item.post),
            (Method::PATCH, &mut item.patch),
            (Method::DELETE, &mut item.delete),
        ];
        for (method, operation) in operations {
            let Some(operation) = operation else { continue };
            let known = operation.security.iter().flatten().any(|need| *need != SecurityRequirement::default());
            let mut statuses: Vec<&str> = Vec::new();
            if known {
                statuses.extend(["401", "403"]);
            }
            if charge(&method, path) != Charge::Free {
                statuses.extend(["429", "500"]);
            }
            if operation.parameters.as_ref().is_some_and(|parameters| !parameters.is_empty()) {
                statuses.extend(["400", "422"]);
            }
            let parameters = operation.parameters.iter_mut().flatten();
            for parameter in parameters.filter_map(|parameter| match parameter {
                RefOr::T(parameter) if parameter.name == "Idempotency-Key" => Some(parameter),
                _ => None,
            }) {
                parameter.description = Some(idempotency::DESCRIPTION.into());
                statuses.extend(["409", "422"]);
            }
            if operation.request_body.is_some() {
                statuses.extend(["400", "408", "413", "415", "422"]);
            }
            for (status, response) in &mut operation.responses.responses {
                if status.starts_with(['4', '5']) && is_problem(response) {
                    *response = refusal();
                }
            }
            for status in statuses {
                operation.responses.responses.entry(status.into()).or_insert_with(refusal);
            }
        }
    }
    document
}

/// Returns whether a response has `Problem` as its schema. Its content type must then be that of a problem.
fn is_problem(response: &RefOr<utoipa::openapi::Response>) -> bool {
    let RefOr::T(response) = response else { return false };
    let problem = RefOr::from(utoipa::openapi::Ref::from_schema_name("Problem"));
    let shows =
        |content: &RefOr<Content>| matches!(content, RefOr::T(content) if content.schema.as_ref() == Some(&problem));
    response.content.values().any(shows)
}

/// Returns the description of an error response.
fn refusal() -> RefOr<utoipa::openapi::Response> {
    let schema = utoipa::openapi::Ref::from_schema_name("Problem");
    let content = ContentBuilder::new().schema(Some(schema)).build();
    RefOr::T(
        ResponseBuilder::new()
            .description("The request failed; the body is a problem document (RFC 9457)")
            .content("application/problem+json", content)
            .build(),
    )
}

/// Returns all routes: the API, its description, SIP over WebSocket and the pages.
pub(crate) fn router() -> Router<AppState> {
    let (api, document) = api().split_for_parts();
    let document = with_common_responses(document);
    // Shared by all responses, so a client that stops reading costs no copy.
    let document = Bytes::from(serde_json::to_string(&document).unwrap_or_default());
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
        "Method not allowed",
        format!("{method} is not supported on this path; the Allow header lists the methods that are"),
    )
}
