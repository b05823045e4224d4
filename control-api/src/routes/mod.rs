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
mod glossary;
mod health;
mod limits;
mod listening;
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
mod subtitles;
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
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Content, ContentBuilder, RefOr, ResponseBuilder};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use crate::auth::SESSION_COOKIE;
use crate::gate::idempotency;
use crate::gate::rate_limit::{Charge, Charges, Group};
use crate::http::problem::Problem;
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

/// Counted for the sender only.
const GENERAL: Charge = Charge::Actor(None);
/// Starts a call or adds somebody to one.
const CALLS: Charge = Charge::Actor(Some(Group::Calls));
/// Makes speech or plays sounds.
const SPEECH: Charge = Charge::Actor(Some(Group::Speech));
/// Changes settings of an organization.
const SETTINGS: Charge = Charge::Actor(Some(Group::Configuration));
/// Changes retention times.
const RETENTION: Charge = Charge::Actor(Some(Group::Retention));
/// Sends mail for its sender.
const INVITES: Charge = Charge::Both;
/// Is open to anybody who has no credential yet.
const ENTRANCE: Charge = Charge::Address;
/// Is opened by a signature.
const SIGNED: Charge = Charge::Signed;
/// Costs little, or is bounded in another way.
const FREE: Charge = Charge::Free;

/// Routes with their descriptions, and how requests to each are counted. A route cannot be added without its charge.
struct Api {
    router: OpenApiRouter<AppState>,
    charges: Charges,
}

impl Api {
    fn new() -> Api {
        Api { router: OpenApiRouter::new(), charges: Charges::default() }
    }

    /// Adds the routes of one path below `/api`.
    fn routes(mut self, charge: Charge, routes: UtoipaMethodRouter<AppState>) -> Api {
        for (path, item) in &routes.1.paths {
            for (method, _operation) in operations(item) {
                self.charges.add(method, format!("/api{path}"), charge);
            }
        }
        Api { router: self.router.routes(routes), ..self }
    }

    fn merge(mut self, other: Api) -> Api {
        self.charges.extend(other.charges);
        Api { router: self.router.merge(other.router), ..self }
    }
}

/// Returns the described operations of a path with their methods.
fn operations(item: &PathItem) -> impl Iterator<Item = (Method, &Operation)> {
    let all = [
        (Method::GET, &item.get),
        (Method::PUT, &item.put),
        (Method::POST, &item.post),
        (Method::PATCH, &item.patch),
        (Method::DELETE, &item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

/// Returns every route of the API with its description and charge.
fn api() -> Api {
    let api = Api::new()
        .routes(CALLS, routes!(call_search::call_list, calls::call_create))
        .routes(GENERAL, routes!(call_search::call_export))
        .routes(GENERAL, routes!(calls::call_show))
        .routes(GENERAL, routes!(calls::call_hangup))
        .routes(SPEECH, routes!(calls::call_say))
        .routes(CALLS, routes!(verbs::leg_create))
        .routes(GENERAL, routes!(verbs::leg_delete))
        .routes(GENERAL, routes!(verbs::leg_hold))
        .routes(GENERAL, routes!(verbs::leg_resume))
        .routes(GENERAL, routes!(verbs::leg_mute))
        .routes(GENERAL, routes!(verbs::leg_unmute))
        .routes(GENERAL, routes!(verbs::leg_dtmf))
        .routes(CALLS, routes!(verbs::call_transfer))
        .routes(GENERAL, routes!(parking::call_park))
        .routes(GENERAL, routes!(verbs::leg_gain))
        .routes(SETTINGS, routes!(call_handling::call_handling_show, call_handling::call_handling_put))
        .routes(GENERAL, routes!(parking::parked_list))
        .routes(CALLS, routes!(parking::parked_pickup))
        .routes(SPEECH, routes!(prompts::call_play))
        .routes(GENERAL, routes!(prompts::call_stop))
        .routes(SPEECH, routes!(prompts::call_gather))
        .routes(GENERAL, routes!(recording_verbs::call_recordings, recording_verbs::recording_start))
        .routes(GENERAL, routes!(recording_verbs::recording_pause))
        .routes(GENERAL, routes!(recording_verbs::recording_resume))
        .routes(GENERAL, routes!(recording_verbs::recording_stop))
        .routes(CALLS, routes!(verbs::supervise_start))
        .routes(GENERAL, routes!(verbs::supervise_change))
        .routes(GENERAL, routes!(annotations::outcome_show, annotations::outcome_put))
        .routes(GENERAL, routes!(annotations::note_list, annotations::note_create))
        .routes(GENERAL, routes!(annotations::note_update, annotations::note_delete))
        .routes(GENERAL, routes!(transcripts::transcript_show))
        .routes(GENERAL, routes!(subtitles::subtitles_show))
        .routes(GENERAL, routes!(listening::listening_show, listening::listening_update))
        .routes(GENERAL, routes!(translations::translation_list))
        .routes(FREE, routes!(translations::translation_stream))
        .routes(GENERAL, routes!(recordings::recording_show))
        .routes(GENERAL, routes!(recording_list::recording_list))
        .routes(GENERAL, routes!(recording_list::recording_info))
        .routes(GENERAL, routes!(recording_list::recording_sign))
        .routes(SIGNED, routes!(recording_list::recording_signed))
        .routes(GENERAL, routes!(trace::trace_show))
        .routes(SETTINGS, routes!(voice_config::voice_config_show, voice_config::voice_config_put))
        .routes(SETTINGS, routes!(glossary::glossary_show, glossary::glossary_put))
        .routes(SETTINGS, routes!(voice_targets::target_list, voice_targets::target_create))
        .routes(SETTINGS, routes!(voice_targets::target_update, voice_targets::target_delete))
        .routes(SETTINGS, routes!(media::media_list, media::media_create))
        .routes(SETTINGS, routes!(media::media_delete))
        .routes(SETTINGS, routes!(programs::program_show, programs::program_put, programs::program_delete))
        .routes(SETTINGS, routes!(programs::secret_show, programs::secret_replace))
        .routes(SETTINGS, routes!(programs::secret_revoke_previous))
        .routes(GENERAL, routes!(media::media_audio))
        .routes(SETTINGS, routes!(caller_id::number_list, caller_id::number_create))
        .routes(SETTINGS, routes!(caller_id::number_update, caller_id::number_delete))
        .routes(SETTINGS, routes!(number_proof::number_call))
        .routes(SETTINGS, routes!(number_proof::number_code))
        .routes(SETTINGS, routes!(caller_id::rule_list, caller_id::rule_create))
        .routes(SETTINGS, routes!(caller_id::rule_update, caller_id::rule_delete))
        .routes(SETTINGS, routes!(capabilities::capabilities_show, capabilities::capabilities_put))
        .routes(GENERAL, routes!(usage::usage_show))
        .routes(GENERAL, routes!(webrtc::token_create))
        .routes(FREE, routes!(events::event_stream))
        .routes(GENERAL, routes!(events::provider_list))
        .merge(people())
        .routes(FREE, routes!(health::health_alias));
    let router = OpenApiRouter::with_openapi(ApiDoc::openapi())
        .nest("/api", api.router)
        .routes(routes!(health::health_show))
        .routes(routes!(health::readiness_show));
    Api { router, charges: api.charges }
}

/// Returns the routes of accounts, sessions, teams, permissions, keys and the audit log.
fn people() -> Api {
    Api::new()
        .routes(GENERAL, routes!(auth::provider_list))
        .routes(ENTRANCE, routes!(signup::signup))
        .routes(ENTRANCE, routes!(signup::invitation_show))
        .routes(ENTRANCE, routes!(auth::login))
        .routes(GENERAL, routes!(auth::logout))
        .routes(GENERAL, routes!(auth::refresh))
        .routes(GENERAL, routes!(auth::session_show))
        .routes(GENERAL, routes!(auth::csrf_show))
        .routes(GENERAL, routes!(auth::password_change))
        .routes(ENTRANCE, routes!(password_reset::reset_request, password_reset::reset_use))
        .routes(ENTRANCE, routes!(auth::key_validate))
        .routes(SETTINGS, routes!(organizations::organization_create))
        .routes(SETTINGS, routes!(organizations::organization_show, organizations::organization_update))
        .routes(RETENTION, routes!(organizations::retention_put))
        .routes(GENERAL, routes!(users::me_show, users::me_update))
        .routes(GENERAL, routes!(users::user_show))
        .routes(GENERAL, routes!(team::member_list))
        .routes(SETTINGS, routes!(team::member_update, team::member_remove))
        .routes(INVITES, routes!(team::invitation_list, team::invitation_create))
        .routes(SETTINGS, routes!(team::invitation_revoke))
        .routes(GENERAL, routes!(rbac::role_list))
        .routes(GENERAL, routes!(rbac::permission_list))
        .routes(SETTINGS, routes!(api_keys::key_list, api_keys::key_create))
        .routes(SETTINGS, routes!(api_keys::key_revoke))
        .routes(GENERAL, routes!(audit_logs::audit_list))
        .routes(GENERAL, routes!(audit_logs::audit_verify))
        .routes(GENERAL, routes!(audit_logs::audit_export))
        .routes(GENERAL, routes!(limits::limit_list))
}

/// Returns how requests to each route are counted.
pub fn charges() -> Charges {
    api().charges
}

/// Returns the OpenAPI description of the API, as `/openapi.json` serves it.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let Api { router, charges } = api();
    with_common_responses(router.into_openapi(), &charges)
}

/// Adds the error responses that all routes of a kind share, so that they are written in one place: 401 and 403 where
/// authentication is required, 429 where requests are counted, 404 where the path names a resource, 4xx for bodies and
/// parameters where there are any, and 500 for a failure of the store.
fn with_common_responses(mut document: utoipa::openapi::OpenApi, charges: &Charges) -> utoipa::openapi::OpenApi {
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
            if charges.of(&method, path) != Charge::Free {
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
            if path.contains('{') {
                statuses.push("404");
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

/// Returns all routes (the API, its description, SIP over WebSocket and the pages) and how requests to them are counted.
pub(crate) fn router() -> (Router<AppState>, Charges) {
    let Api { router, charges } = api();
    let (api, document) = router.split_for_parts();
    let document = with_common_responses(document, &charges);
    // Shared by all responses, so a client that stops reading costs no copy.
    let document = Bytes::from(serde_json::to_string(&document).unwrap_or_default());
    let openapi = move || async move { ([(axum::http::header::CONTENT_TYPE, "application/json")], document) };
    let router = api
        .route("/openapi.json", get(openapi))
        .route("/sip", get(sip::upgrade))
        .merge(pages::router())
        .fallback(no_such_path)
        .method_not_allowed_fallback(wrong_method);
    (router, charges)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_counted_in_the_groups_of_this_table() {
        use Charge::{Actor as By, Address, Both, Free, Signed};
        let charges = charges();
        for (method, route, expected) in [
            (Method::GET, "/health", Free),
            (Method::GET, "/readyz", Free),
            (Method::GET, "/api/health", Free),
            (Method::GET, "/assets/{*path}", Free),
            (Method::GET, "/sip", Free),
            (Method::GET, "/api/events", Free),
            (Method::GET, "/api/calls/{id}/translations/stream", Free),
            (Method::POST, "/api/auth/login", Address),
            (Method::POST, "/api/team/invitations", Both),
            (Method::GET, "/api/team/invitations", By(None)),
            (Method::GET, "/api/recordings/{id}/audio", Signed),
            (Method::POST, "/api/calls", By(Some(Group::Calls))),
            (Method::GET, "/api/calls", By(None)),
            (Method::HEAD, "/api/calls", By(None)),
            (Method::DELETE, "/api/calls", By(None)),
            (Method::POST, "/api/calls/{id}/say", By(Some(Group::Speech))),
            (Method::POST, "/api/calls/{id}/hangup", By(None)),
            (Method::PUT, "/api/voice/config", By(Some(Group::Configuration))),
            (Method::GET, "/api/voice/config", By(None)),
            (Method::PUT, "/api/call-capabilities", By(Some(Group::Configuration))),
            (Method::DELETE, "/api/caller-id/rules/{id}", By(Some(Group::Configuration))),
            (Method::PUT, "/api/organizations/current/retention", By(Some(Group::Retention))),
        ] {
            assert_eq!(charges.of(&method, route), expected, "{method} {route}");
        }
    }
}
