//! Access control: one row for every operation of `/openapi.json`, and the rules that follow from these rows.
//!
//! `LINES` states for each operation the permission that it needs, how it keeps tenants apart, which rate limit it is charged to, and a
//! valid body. The first test compares the rows with the OpenAPI document, so an operation without a row fails. The other tests go
//! through all rows: credentials of the wrong kind, sessions without CSRF token or with a foreign origin, each role, each scope of a key,
//! ids of another tenant (on SQLite and on PostgreSQL), bodies with unexpected fields, bodies that are too deep or too large, and CORS.
//!
//! Rate limits are off in these tests. Not here: what an operation does when it is allowed (`api.rs`, `people.rs`, `voice.rs`), and the
//! limits themselves (`watched.rs`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use control_api::engine::Command;
use control_api::gate::rate_limit::{Charge, Group};
use control_api::store::{Role, Store, StorePlace};
use control_api::tenant::rbac::{self, Action};
use serde_json::json;
use support::{Answer, Browser, World, world, world_on};
use tests::postgres::Postgres;
use uuid::Uuid;

/// Credential or permission that an operation needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// None: the operation is open to everybody.
    Nobody,
    /// Any session or any API key.
    Anybody,
    /// A session; API keys are refused.
    Person,
    /// A session or key with this permission.
    May(Action),
    /// A session or key that sees calls; other people's calls get the same 404 as missing ones.
    Sees,
}

/// How an operation keeps tenants apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tenant {
    /// It neither shows nor changes data of a tenant.
    None,
    /// It takes no id, so it can reach only the caller's own tenant.
    Own,
    /// It takes an id; an id of another tenant gets the same 404 as a missing one.
    ById,
    /// It takes an id that the tenant has signed; the signature is the credential.
    Signed,
}

/// Row of one operation: method and path, need, tenant rule, rate limit, and a valid body (empty if it takes none).
struct Line(&'static str, Need, Tenant, Charge, &'static str);

use Charge::{Actor as By, Address, Both, Free};
use Need::{Anybody, May, Nobody, Person, Sees};
use Tenant::{ById, Own, Signed};

/// Rows of all operations.
const LINES: &[Line] = &[
    Line("GET /health", Nobody, Tenant::None, Free, ""),
    Line("GET /readyz", Nobody, Tenant::None, Free, ""),
    Line("GET /api/health", Nobody, Tenant::None, Free, ""),
    Line("GET /api/auth/providers", Nobody, Tenant::None, By(None), ""),
    Line(
        "POST /api/auth/signup",
        Nobody,
        Own,
        Address,
        r#"{"organization": "x", "name": "x", "email": "x@y", "password": "x"}"#,
    ),
    Line("POST /api/auth/invitation", Nobody, Own, Address, r#"{"token": "x"}"#),
    Line("POST /api/auth/login", Nobody, Own, Address, r#"{"email": "x@y", "password": "x"}"#),
    Line("POST /api/auth/logout", Nobody, Own, By(None), ""),
    Line("POST /api/auth/refresh", Person, Own, By(None), ""),
    Line("GET /api/auth/session", Person, Own, By(None), ""),
    Line("GET /api/auth/csrf", Person, Own, By(None), ""),
    Line("POST /api/auth/password", Person, Own, By(None), r#"{"current": "x", "new": "twelve bytes or more"}"#),
    Line("POST /api/auth/password-reset", Nobody, Own, Address, r#"{"email": "x@y"}"#),
    Line("PUT /api/auth/password-reset", Nobody, Own, Address, r#"{"token": "x", "password": "x"}"#),
    Line("POST /api/auth/validate-key", Nobody, Own, Address, r#"{"key": "x"}"#),
    Line("POST /api/organizations", Person, Own, By(Some(Group::Configuration)), r#"{"name": ""}"#),
    Line("GET /api/organizations/current", May(Action::OrganizationRead), Own, By(None), ""),
    Line(
        "PATCH /api/organizations/current",
        May(Action::OrganizationWrite),
        Own,
        By(Some(Group::Configuration)),
        r#"{"name": "acme"}"#,
    ),
    Line(
        "PUT /api/organizations/current/retention",
        May(Action::RetentionWrite),
        Own,
        By(Some(Group::Retention)),
        r#"{"recordings_days": 30}"#,
    ),
    Line("GET /api/users/me", Person, Own, By(None), ""),
    Line("PATCH /api/users/me", Person, Own, By(None), r#"{"name": "me"}"#),
    Line("GET /api/users/{id}", May(Action::OrganizationRead), ById, By(None), ""),
    Line("GET /api/team/members", May(Action::OrganizationRead), Own, By(None), ""),
    Line(
        "PATCH /api/team/members/{id}",
        May(Action::TeamWrite),
        ById,
        By(Some(Group::Configuration)),
        r#"{"role": "viewer"}"#,
    ),
    Line("DELETE /api/team/members/{id}", May(Action::TeamWrite), ById, By(Some(Group::Configuration)), ""),
    Line("GET /api/team/invitations", May(Action::TeamWrite), Own, By(None), ""),
    Line(
        "POST /api/team/invitations",
        May(Action::TeamWrite),
        Own,
        Both,
        r#"{"email": "guest@example.com", "role": "agent"}"#,
    ),
    Line("DELETE /api/team/invitations/{id}", May(Action::TeamWrite), ById, By(Some(Group::Configuration)), ""),
    Line("GET /api/rbac/roles", Anybody, Tenant::None, By(None), ""),
    Line("GET /api/rbac/permissions", Anybody, Tenant::None, By(None), ""),
    Line("GET /api/api-keys", May(Action::ApiKeysRead), Own, By(None), ""),
    Line(
        "POST /api/api-keys",
        May(Action::ApiKeysWrite),
        Own,
        By(Some(Group::Configuration)),
        r#"{"name": "k", "scopes": ["calls.read"]}"#,
    ),
    Line("DELETE /api/api-keys/{id}", May(Action::ApiKeysWrite), ById, By(Some(Group::Configuration)), ""),
    Line("GET /api/audit-logs", May(Action::AuditRead), Own, By(None), ""),
    Line("GET /api/audit-logs/verify", May(Action::AuditRead), Own, By(None), ""),
    Line("GET /api/audit-logs/export", May(Action::AuditRead), Own, By(None), ""),
    Line("GET /api/usage/limits", Anybody, Own, By(None), ""),
    Line("GET /api/calls", Sees, Own, By(None), ""),
    Line(
        "POST /api/calls",
        May(Action::CallsDial),
        Own,
        By(Some(Group::Calls)),
        r#"{"mode": "direct", "to": "+15555550142"}"#,
    ),
    Line("GET /api/calls/{id}", Sees, ById, By(None), ""),
    Line("POST /api/calls/{id}/hangup", May(Action::CallsDial), ById, By(None), ""),
    Line("POST /api/calls/{id}/say", May(Action::CallsDial), ById, By(Some(Group::Speech)), r#"{"text": "hola"}"#),
    Line(
        "POST /api/calls/{id}/legs",
        May(Action::CallsDial),
        ById,
        By(Some(Group::Calls)),
        r#"{"to": "+15555550142"}"#,
    ),
    Line("DELETE /api/calls/{id}/legs/{leg}", May(Action::CallsDial), ById, By(None), ""),
    Line("POST /api/calls/{id}/legs/{leg}/hold", May(Action::CallsDial), ById, By(None), ""),
    Line("POST /api/calls/{id}/legs/{leg}/resume", May(Action::CallsDial), ById, By(None), ""),
    Line("POST /api/calls/{id}/legs/{leg}/mute", May(Action::CallsDial), ById, By(None), ""),
    Line("POST /api/calls/{id}/legs/{leg}/unmute", May(Action::CallsDial), ById, By(None), ""),
    Line("POST /api/calls/{id}/legs/{leg}/dtmf", May(Action::CallsDial), ById, By(None), r#"{"digits": "1"}"#),
    Line("POST /api/calls/{id}/legs/{leg}/gain", May(Action::CallsDial), ById, By(None), r#"{"db": -6}"#),
    Line(
        "POST /api/calls/{id}/transfer",
        May(Action::CallsDial),
        ById,
        By(Some(Group::Calls)),
        r#"{"leg": 1, "targets": [{"to": "+15555550142"}]}"#,
    ),
    Line("POST /api/calls/{id}/park", May(Action::CallsDial), ById, By(None), r#"{"leg": 2}"#),
    Line("GET /api/parked", May(Action::CallsDial), Own, By(None), ""),
    Line(
        "POST /api/parked/{slot}/pickup",
        May(Action::CallsDial),
        ById,
        By(Some(Group::Calls)),
        r#"{"agent": "anna"}"#,
    ),
    Line(
        "POST /api/calls/{id}/play",
        May(Action::CallsDial),
        ById,
        By(Some(Group::Speech)),
        r#"{"tone": {"hz": [440], "duration_ms": 100}}"#,
    ),
    Line("POST /api/calls/{id}/stop", May(Action::CallsDial), ById, By(None), "{}"),
    Line(
        "POST /api/calls/{id}/gather",
        May(Action::CallsDial),
        ById,
        By(Some(Group::Speech)),
        r#"{"leg": 1, "max": 4}"#,
    ),
    Line("POST /api/calls/{id}/recordings", May(Action::CallsDial), ById, By(None), "{}"),
    Line("POST /api/calls/{id}/recordings/{number}/pause", May(Action::CallsDial), ById, By(None), ""),
    Line("POST /api/calls/{id}/recordings/{number}/resume", May(Action::CallsDial), ById, By(None), ""),
    Line("POST /api/calls/{id}/recordings/{number}/stop", May(Action::CallsDial), ById, By(None), ""),
    Line(
        "POST /api/calls/{id}/supervise",
        May(Action::CallsMonitor),
        ById,
        By(Some(Group::Calls)),
        r#"{"mode": "listen", "to": "+15555550142"}"#,
    ),
    Line("PUT /api/calls/{id}/supervise/{leg}", May(Action::CallsMonitor), ById, By(None), r#"{"mode": "barge"}"#),
    Line("GET /api/calls/{id}/translations", Sees, ById, By(None), ""),
    Line("GET /api/calls/{id}/translations/stream", Sees, ById, Free, ""),
    Line("GET /api/calls/{id}/recording", Sees, ById, By(None), ""),
    Line("GET /api/calls/{id}/recordings", Sees, ById, By(None), ""),
    Line("GET /api/calls/{id}/trace", Sees, ById, By(None), ""),
    Line("GET /api/calls/export", May(Action::CallsExport), Own, By(None), ""),
    Line("GET /api/calls/{id}/outcome", Sees, ById, By(None), ""),
    Line("PUT /api/calls/{id}/outcome", May(Action::CallsAnnotate), ById, By(None), r#"{"outcome": "sale"}"#),
    Line("GET /api/calls/{id}/notes", Sees, ById, By(None), ""),
    Line("POST /api/calls/{id}/notes", May(Action::CallsAnnotate), ById, By(None), r#"{"text": "x"}"#),
    Line("PATCH /api/calls/{id}/notes/{note}", May(Action::CallsAnnotate), ById, By(None), r#"{"text": "x"}"#),
    Line("DELETE /api/calls/{id}/notes/{note}", May(Action::CallsAnnotate), ById, By(None), ""),
    Line("GET /api/calls/{id}/transcript", Sees, ById, By(None), ""),
    Line("GET /api/calls/{id}/subtitles", Sees, ById, By(None), ""),
    Line("GET /api/calls/{id}/listening", May(Action::CallsDial), ById, By(None), ""),
    Line(
        "PATCH /api/calls/{id}/listening",
        May(Action::CallsDial),
        ById,
        By(None),
        r#"{"agent": {"hears": "original"}}"#,
    ),
    Line("GET /api/recordings", Sees, Own, By(None), ""),
    Line("GET /api/recordings/{id}", Sees, ById, By(None), ""),
    Line("POST /api/recordings/{id}/signed-url", Sees, ById, By(None), r#"{"expires_in_s": 60}"#),
    Line("GET /api/recordings/{id}/audio", Nobody, Signed, Charge::Signed, ""),
    Line("GET /api/voice/targets", May(Action::VoiceRead), Own, By(None), ""),
    Line(
        "POST /api/voice/targets",
        May(Action::VoiceWrite),
        Own,
        By(Some(Group::Configuration)),
        r#"{"name": "desk", "address": "+15555550142"}"#,
    ),
    Line(
        "PATCH /api/voice/targets/{id}",
        May(Action::VoiceWrite),
        ById,
        By(Some(Group::Configuration)),
        r#"{"address": "+15555550142"}"#,
    ),
    Line("DELETE /api/voice/targets/{id}", May(Action::VoiceWrite), ById, By(Some(Group::Configuration)), ""),
    Line("GET /api/media", May(Action::VoiceRead), Own, By(None), ""),
    Line("POST /api/media", May(Action::VoiceWrite), Own, By(Some(Group::Configuration)), "{}"),
    Line("GET /api/media/{id}/audio", May(Action::VoiceRead), ById, By(None), ""),
    Line("DELETE /api/media/{id}", May(Action::VoiceWrite), ById, By(Some(Group::Configuration)), ""),
    Line("GET /api/caller-id/numbers", May(Action::VoiceRead), Own, By(None), ""),
    Line(
        "POST /api/caller-id/numbers",
        May(Action::VoiceWrite),
        Own,
        By(Some(Group::Configuration)),
        r#"{"number": "+15555550142"}"#,
    ),
    Line(
        "PATCH /api/caller-id/numbers/{id}",
        May(Action::VoiceWrite),
        ById,
        By(Some(Group::Configuration)),
        r#"{"label": "x"}"#,
    ),
    Line("DELETE /api/caller-id/numbers/{id}", May(Action::VoiceWrite), ById, By(Some(Group::Configuration)), ""),
    Line("GET /api/caller-id/numbers/{id}/program", May(Action::VoiceRead), ById, By(None), ""),
    Line(
        "PUT /api/caller-id/numbers/{id}/program",
        May(Action::VoiceWrite),
        ById,
        By(Some(Group::Configuration)),
        r#"{"program": [{"hangup": {}}]}"#,
    ),
    Line(
        "DELETE /api/caller-id/numbers/{id}/program",
        May(Action::VoiceWrite),
        ById,
        By(Some(Group::Configuration)),
        "",
    ),
    Line("GET /api/voice/program-secret", May(Action::VoiceWrite), Own, By(None), ""),
    Line("POST /api/voice/program-secret", May(Action::VoiceWrite), Own, By(Some(Group::Configuration)), ""),
    Line("DELETE /api/voice/program-secret/previous", May(Action::VoiceWrite), Own, By(Some(Group::Configuration)), ""),
    Line("POST /api/caller-id/numbers/{id}/call", May(Action::VoiceWrite), ById, By(Some(Group::Configuration)), ""),
    Line(
        "POST /api/caller-id/numbers/{id}/code",
        May(Action::VoiceWrite),
        ById,
        By(Some(Group::Configuration)),
        r#"{"code": "123456"}"#,
    ),
    Line("GET /api/caller-id/rules", May(Action::VoiceRead), Own, By(None), ""),
    Line(
        "POST /api/caller-id/rules",
        May(Action::VoiceWrite),
        Own,
        By(Some(Group::Configuration)),
        r#"{"number_id": "00000000-0000-0000-0000-000000000000"}"#,
    ),
    Line(
        "PATCH /api/caller-id/rules/{id}",
        May(Action::VoiceWrite),
        ById,
        By(Some(Group::Configuration)),
        r#"{"position": 1}"#,
    ),
    Line("DELETE /api/caller-id/rules/{id}", May(Action::VoiceWrite), ById, By(Some(Group::Configuration)), ""),
    Line("GET /api/call-capabilities", May(Action::VoiceRead), Own, By(None), ""),
    Line(
        "PUT /api/call-capabilities",
        May(Action::VoiceWrite),
        Own,
        By(Some(Group::Configuration)),
        r#"{"amd": false}"#,
    ),
    Line("GET /api/call-handling", May(Action::VoiceRead), Own, By(None), ""),
    Line(
        "PUT /api/call-handling",
        May(Action::VoiceWrite),
        Own,
        By(Some(Group::Configuration)),
        r#"{"supervision_notice": true}"#,
    ),
    Line("GET /api/usage", May(Action::UsageRead), Own, By(None), ""),
    Line("GET /api/voice/config", May(Action::VoiceRead), Own, By(None), ""),
    Line("PUT /api/voice/config", May(Action::VoiceWrite), Own, By(Some(Group::Configuration)), r#"{"record": true}"#),
    Line("GET /api/glossary", May(Action::VoiceRead), Own, By(None), ""),
    Line(
        "PUT /api/glossary",
        May(Action::VoiceWrite),
        Own,
        By(Some(Group::Configuration)),
        r#"{"names": ["Grünwald"]}"#,
    ),
    Line("POST /api/webrtc/token", May(Action::CallsDial), Own, By(None), ""),
    Line("GET /api/events", Sees, Own, Free, ""),
    Line("GET /api/providers", Anybody, Tenant::None, By(None), ""),
];

/// Configuration without limits: the tests of this file send more requests than the default limits allow.
const UNLIMITED: &str = "[limits]\ndefault = \"off\"\ncalls = \"off\"\nspeech = \"off\"\nconfiguration = \"off\"\n\
                         retention = \"off\"\nentrance = \"off\"\n[dial]\ncalls = 0\ncalls_per_second = 0\n";

impl Line {
    fn method_and_path(&self, id: Uuid) -> (Method, String) {
        let (method, path) = self.0.split_once(' ').unwrap();
        (
            method.parse().unwrap(),
            path.replace("{id}", &id.to_string())
                .replace("{note}", &id.to_string())
                .replace("{leg}", "7")
                .replace("{number}", "1")
                .replace("{slot}", "7"),
        )
    }
}

/// Returns the status without reading the body, because some answers are streams without end.
async fn status(world: &World, request: Request<Body>) -> u16 {
    world.send(request).await.status().as_u16()
}

#[tokio::test]
async fn every_operation_has_a_row_with_its_permission_tenant_rule_and_rate_limit() {
    let world = world("").await;
    let document = world.answer(Request::get("/openapi.json").body(Body::empty()).unwrap()).await.json();
    let charges = control_api::charges();
    let mut lines: BTreeMap<&str, &Line> = LINES.iter().map(|line| (line.0, line)).collect();
    assert_eq!(lines.len(), LINES.len(), "two rows have the same operation");
    let mut wrong = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if !["get", "put", "post", "patch", "delete"].contains(&method.as_str()) {
                continue;
            }
            let name = format!("{} {path}", method.to_uppercase());
            let Some(Line(_, need, tenant, limit, body)) = lines.remove(name.as_str()) else {
                wrong.push(format!("{name} has no row"));
                continue;
            };
            let security = operation["security"].as_array().cloned().unwrap_or_default();
            if security.contains(&json!({})) != (*need == Nobody) {
                wrong.push(format!("{name}: {need:?}, but its security is {security:?}"));
            }
            if path.contains('{') != matches!(tenant, ById | Signed) {
                wrong.push(format!("{name}: {tenant:?}"));
            }
            let charged = charges.of(&method.to_uppercase().parse().unwrap(), path);
            if charged != *limit {
                wrong.push(format!("{name}: counted as {charged:?}, not as {limit:?}"));
            }
            if operation.get("requestBody").is_some() == body.is_empty() {
                wrong.push(format!("{name}: body `{body}`"));
            }
            let documented = |status: &str| operation["responses"].get(status).is_some();
            if (charged != Free && !documented("429")) || (*need != Nobody && !documented("401")) {
                wrong.push(format!("{name} does not document 429 or 401"));
            }
        }
    }
    wrong.extend(lines.into_keys().map(|name| format!("{name} is not in the OpenAPI document")));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn requests_without_a_valid_credential_of_the_right_kind_get_401() {
    let world = world(UNLIMITED).await;
    let anna = world.sign_in("anna@example.com").await;
    let session = anna.cookie.split("; ").find_map(|pair| pair.strip_prefix("tandem_session=")).unwrap();
    let revoked = world.post("/api/api-keys", r#"{"name": "soon gone", "scopes": ["calls.read"]}"#).await.json();
    let path = format!("/api/api-keys/{}", revoked["id"].as_str().unwrap());
    assert_eq!(world.with_json(Method::DELETE, &path, "").await.status, StatusCode::NO_CONTENT);
    let bearer = |secret: &str| Some((header::AUTHORIZATION, format!("Bearer {secret}")));
    let cookie = |secret: &str| Some((header::COOKIE, format!("tandem_session={secret}")));
    let credentials = [
        ("nothing", None),
        ("a wrong key", bearer("tdm_wrong")),
        ("an empty key", bearer("")),
        ("a key by another scheme", Some((header::AUTHORIZATION, format!("Basic {}", world.key)))),
        ("a key without scheme", Some((header::AUTHORIZATION, world.key.clone()))),
        ("a session as key", bearer(session)),
        ("a CSRF token as key", bearer(&anna.csrf)),
        ("a key as session", cookie(&world.key)),
        ("a CSRF token as session", cookie(&anna.csrf)),
        ("a revoked key", bearer(revoked["key"].as_str().unwrap())),
        ("a key of 300 letters", bearer(&"k".repeat(300))),
    ];
    for line in LINES.iter().filter(|line| line.1 != Nobody) {
        let (method, path) = line.method_and_path(Uuid::now_v7());
        for (what, credential) in &credentials {
            let mut request = Request::builder()
                .method(&method)
                .uri(&path)
                .header(header::HOST, "h")
                .header(header::ORIGIN, "http://h")
                .header("x-csrf-token", &anna.csrf)
                .header(header::CONTENT_TYPE, "application/json");
            if let Some((name, value)) = credential {
                request = request.header(name, value);
            }
            let answer = world.answer(request.body(Body::from(line.4)).unwrap()).await;
            assert_eq!(answer.problem().0, 401, "{} with {what}", line.0);
        }
    }
}

#[tokio::test]
async fn changes_with_a_session_need_the_servers_origin_and_the_csrf_token() {
    let world = world(UNLIMITED).await;
    let anna = world.sign_in("anna@example.com").await;
    let vera = world.sign_in("vera@example.com").await;
    for line in LINES.iter().filter(|line| line.1 != Nobody && !line.0.starts_with("GET")) {
        let (method, path) = line.method_and_path(Uuid::now_v7());
        for (origin, token) in [
            (Some("http://h"), None),
            (Some("http://h"), Some("")),
            (Some("http://h"), Some(vera.csrf.as_str())),
            (None, Some(anna.csrf.as_str())),
            (Some("http://evil.example"), Some(anna.csrf.as_str())),
            (Some("null"), Some(anna.csrf.as_str())),
        ] {
            let mut request = Request::builder()
                .method(&method)
                .uri(&path)
                .header(header::HOST, "h")
                .header(header::COOKIE, &anna.cookie)
                .header(header::CONTENT_TYPE, "application/json");
            if let Some(origin) = origin {
                request = request.header(header::ORIGIN, origin);
            }
            if let Some(token) = token {
                request = request.header("x-csrf-token", token);
            }
            let answer = world.answer(request.body(Body::from(line.4)).unwrap()).await;
            assert_eq!(answer.problem().0, 403, "{} from {origin:?} with {token:?}", line.0);
        }
    }
}

#[tokio::test]
async fn each_role_may_do_exactly_what_the_table_says() {
    let world = world(UNLIMITED).await;
    for role in rbac::ROLES {
        let somebody = async || world.member(&format!("p{}", Uuid::now_v7().simple()), role).await;
        let mut browser = somebody().await;
        for line in LINES.iter().filter(|line| line.1 != Nobody) {
            let (method, path) = line.method_and_path(Uuid::now_v7());
            let status = status(&world, world.page(&browser, method, &path, line.4)).await;
            let may = match line.1 {
                May(action) => rbac::actions(role).contains(&action),
                // Operations on calls are open to every role; a call that the role does not see is a 404.
                _ => true,
            };
            let by_rule = line.0 == "POST /api/organizations" && role != Role::Owner;
            if may && !by_rule {
                assert!(status != 401 && status != 403, "{role:?} {}: {status}", line.0);
            } else {
                assert_eq!(status, 403, "{role:?} {}", line.0);
            }
            if line.0 == "POST /api/auth/refresh" {
                browser = somebody().await;
            }
        }
    }
}

/// Requests of an agent's page for a running call, except adding a leg: the fake engine returns no ids of legs.
const VERBS: [(Method, &str, &str); 9] = [
    (Method::POST, "legs/1/hold", ""),
    (Method::POST, "legs/1/resume", ""),
    (Method::POST, "legs/2/mute", ""),
    (Method::POST, "legs/2/unmute", ""),
    (Method::POST, "legs/1/dtmf", r#"{"digits": "1"}"#),
    (Method::POST, "legs/1/gain", r#"{"db": 6}"#),
    (Method::POST, "transfer", r#"{"leg": 2, "targets": [{"agent": "anna"}], "ring_s": 30}"#),
    (Method::DELETE, "legs/1", ""),
    (Method::POST, "hangup", ""),
];

#[tokio::test]
async fn agents_control_their_own_calls_and_get_404_for_a_colleagues_call() {
    let mut world = world(UNLIMITED).await;
    let (ben, carla) = (world.member("ben", Role::Agent).await, world.member("carla", Role::Agent).await);
    let made = world.post("/api/calls", r#"{"mode": "webrtc", "to": "+15555550142", "agent": "ben"}"#).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert!(matches!(world.commands.recv().await, Some(Command::CallCreate(_))));
    let call = made.json()["id"].as_str().unwrap().to_owned();
    for (method, verb, body) in VERBS {
        let path = format!("/api/calls/{call}/{verb}");
        let refused = world.with_browser(&carla, method.clone(), &path, body).await;
        assert_eq!(refused.problem().0, 404, "carla, {verb}: {refused:?}");
        assert!(world.commands.try_recv().is_err(), "the engine received a command for carla's request: {verb}");
        let done = world.with_browser(&ben, method, &path, body).await;
        assert!(done.status.is_success(), "ben, {verb}: {done:?}");
        let asked = world.commands.recv().await;
        assert!(matches!(asked, Some(Command::CallVerb { .. } | Command::CallHangup { .. })), "{verb}: {asked:?}");
    }
}

#[tokio::test]
async fn a_key_may_do_what_its_scopes_allow_and_never_what_only_owners_may() {
    let world = world(UNLIMITED).await;
    let key = async |scopes: serde_json::Value| -> String {
        let made = world.post("/api/api-keys", &json!({"name": "k", "scopes": scopes}).to_string()).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        made.json()["key"].as_str().unwrap().to_owned()
    };
    let narrow = key(json!(["usage.read"])).await;
    for line in LINES {
        let May(action) = line.1 else { continue };
        let (method, path) = line.method_and_path(Uuid::now_v7());
        if action != Action::UsageRead {
            let answer = world.with_key(&narrow, method.clone(), &path, line.4).await;
            assert_eq!(answer.problem().0, 403, "{}", line.0);
        }
        // A key with the scope is let through; permissions that only owners have cannot be scopes of a key.
        if rbac::actions(Role::Admin).contains(&action) {
            // An inviter needs every permission of the role: `team.write` is not enough to invite an agent.
            let mut scopes = vec![action.as_str()];
            if line.0 == "POST /api/team/invitations" {
                assert_eq!(
                    world.with_key(&key(json!(scopes)).await, method.clone(), &path, line.4).await.problem().0,
                    403
                );
                scopes.extend(rbac::actions(Role::Agent).iter().map(|action| action.as_str()));
            }
            let wide = key(json!(scopes)).await;
            let status = world.with_key(&wide, method, &path, line.4).await.status;
            assert!(status != StatusCode::FORBIDDEN && status != StatusCode::UNAUTHORIZED, "{}: {status}", line.0);
        } else {
            let body = json!({"name": "k", "scopes": [action.as_str()]}).to_string();
            assert_eq!(world.post("/api/api-keys", &body).await.problem(), (422, Some("scopes[0]".into())));
        }
    }
    for line in LINES.iter().filter(|line| line.1 == Person) {
        let (method, path) = line.method_and_path(Uuid::now_v7());
        let status = world.with_key(&world.key, method, &path, line.4).await.status.as_u16();
        assert!(status == 403 || status == 401, "{}: {status}", line.0);
    }
    // A key cannot create a key with scopes that it does not have itself.
    let maker = key(json!(["api_keys.write", "calls.read"])).await;
    let same = r#"{"name": "child", "scopes": ["calls.read", "api_keys.write"]}"#;
    let made = world.with_key(&maker, Method::POST, "/api/api-keys", same).await.json();
    assert_eq!(made["scopes"], json!(["api_keys.write", "calls.read"]));
    let more = r#"{"name": "child", "scopes": ["calls.dial"]}"#;
    assert_eq!(world.with_key(&maker, Method::POST, "/api/api-keys", more).await.problem().0, 422);
}

/// A WAV of 80 samples at 8 kHz (10 ms).
fn bell() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let (sample_format, sample_rate) = (hound::SampleFormat::Int, 8_000);
    let spec = hound::WavSpec { channels: 1, sample_rate, bits_per_sample: 16, sample_format };
    let mut wav = hound::WavWriter::new(&mut bytes, spec).unwrap();
    (0..80).for_each(|sample: i16| wav.write_sample(sample).unwrap());
    wav.finalize().unwrap();
    bytes.into_inner()
}

/// Creates one record of each kind in `acme` and returns their ids, keyed by the start of the path that takes them.
async fn create_records_of_acme(world: &mut World) -> BTreeMap<&'static str, Uuid> {
    let id = |answer: &Answer, field: &str| answer.json()[field].as_str().unwrap().parse::<Uuid>().unwrap();
    let call = world.call().await;
    let invitation = world.post("/api/team/invitations", r#"{"email": "guest@example.com", "role": "agent"}"#).await;
    let key = world.post("/api/api-keys", r#"{"name": "theirs", "scopes": ["calls.read"]}"#).await;
    let members = world.get("/api/team/members").await.json();
    let member = members["members"][1]["user_id"].as_str().unwrap().parse().unwrap();
    let target = world.post("/api/voice/targets", r#"{"name": "desk", "address": "+15555550100"}"#).await;
    let sound = Request::post("/api/media?name=bell")
        .header(header::HOST, "h")
        .header(header::AUTHORIZATION, format!("Bearer {}", world.key))
        .header(header::CONTENT_TYPE, "audio/wav");
    let sound = world.answer(sound.body(Body::from(bell())).unwrap()).await;
    let number = world.post("/api/caller-id/numbers", r#"{"number": "+15555550100"}"#).await;
    let rule = format!(r#"{{"number_id": "{}"}}"#, id(&number, "id"));
    let rule = world.post("/api/caller-id/rules", &rule).await;
    BTreeMap::from([
        ("/api/calls/", call),
        ("/api/recordings/", call),
        ("/api/voice/targets/", id(&target, "id")),
        ("/api/media/", id(&sound, "id")),
        // Slots are numbered in each organization; the path holds a slot, not an id.
        ("/api/parked/", call),
        ("/api/caller-id/numbers/", id(&number, "id")),
        ("/api/caller-id/rules/", id(&rule, "id")),
        ("/api/users/", member),
        ("/api/team/members/", member),
        ("/api/team/invitations/", id(&invitation, "id")),
        ("/api/api-keys/", id(&key, "id")),
    ])
}

#[tokio::test]
async fn another_tenants_id_gets_the_same_404_as_a_missing_id() {
    tenants_are_apart(world(UNLIMITED).await).await;
}

#[tokio::test]
async fn another_tenants_id_gets_the_same_404_as_a_missing_id_on_postgresql() {
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    let folder = tempfile::tempdir().unwrap();
    let place = StorePlace { url: &database.url, migrate_url: Some(&database.migrate_url), folder: folder.path() };
    let store = Store::open(&place).await.unwrap();
    let world = world_on(UNLIMITED, folder, store.clone()).await;
    // Sessions, roles and the audit log behave the same on PostgreSQL.
    let olga = world.member("olga", Role::Owner).await;
    let renamed = world.with_browser(&olga, Method::PATCH, "/api/users/me", r#"{"name": "Olga"}"#).await;
    assert_eq!(renamed.status, StatusCode::OK, "{renamed:?}");
    assert_eq!(world.with_browser(&olga, Method::POST, "/api/auth/refresh", "").await.status, StatusCode::OK);
    assert_eq!(world.with_browser(&olga, Method::GET, "/api/users/me", "").await.problem().0, 401);
    tenants_are_apart(world).await;
    store.close().await;
    postgres.stop().await;
}

async fn tenants_are_apart(mut world: World) {
    let theirs = create_records_of_acme(&mut world).await;
    let other = world.other_key.clone();
    for line in LINES.iter().filter(|line| line.2 == ById) {
        let (_, path) = line.0.split_once(' ').unwrap();
        let id = theirs
            .iter()
            .find(|(start, _)| path.starts_with(**start))
            .unwrap_or_else(|| panic!("{path}: no id for it"))
            .1;
        let mut answers = Vec::new();
        for id in [*id, Uuid::now_v7()] {
            let (method, path) = line.method_and_path(id);
            answers.push(world.with_key(&other, method, &path, line.4).await);
        }
        let (method, path) = line.method_and_path(Uuid::nil());
        answers.push(world.with_key(&other, method, &path.replace(&Uuid::nil().to_string(), "..%2f1"), line.4).await);
        for answer in &answers {
            assert_eq!(answer.problem().0, 404, "{}", line.0);
            assert_eq!(answer.bytes, answers[0].bytes, "{}", line.0);
        }
    }
    // Nothing was changed, and the other tenant's lists do not contain acme's records.
    for (path, list) in
        [("/api/team/members", "members"), ("/api/team/invitations", "invitations"), ("/api/calls", "calls")]
    {
        assert_eq!(world.with_key(&other, Method::GET, path, "").await.json()[list], json!([]), "{path}");
        assert!(!world.get(path).await.json()[list].as_array().unwrap().is_empty(), "{path}");
    }
    let keys = world.with_key(&other, Method::GET, "/api/api-keys", "").await.json();
    assert_eq!(keys["api_keys"].as_array().unwrap().len(), 1, "only the key of the other organization");
    let log = world.with_key(&other, Method::GET, "/api/audit-logs", "").await.json();
    let text = log.to_string();
    assert!(theirs.values().all(|id| !text.contains(&id.to_string())), "{text}");
    let proof = world.get("/api/audit-logs/verify").await.json();
    assert_eq!(proof["intact"], true, "{proof}");
}

/// Returns whether the operation takes a JSON body; sounds are uploaded as audio.
fn takes_json(line: &Line) -> bool {
    !line.4.is_empty() && line.0 != "POST /api/media"
}

#[tokio::test]
async fn bodies_with_a_tenant_a_role_or_an_unknown_field_are_refused() {
    let world = world(UNLIMITED).await;
    let anna = world.sign_in("anna@example.com").await;
    for line in LINES.iter().filter(|line| takes_json(line)) {
        for field in ["organization_id", "user_id", "id", "created_at", "is_admin", "__proto__"] {
            let mut body: serde_json::Value = serde_json::from_str(line.4).unwrap();
            body[field] = json!("00000000-0000-0000-0000-000000000000");
            let (method, path) = line.method_and_path(Uuid::now_v7());
            let answer = world.with_browser(&anna, method, &path, &body.to_string()).await;
            assert_eq!(answer.problem(), (422, Some(field.into())), "{} with {field}", line.0);
        }
        let takes_role = line.0.contains("/team/");
        let mut body: serde_json::Value = serde_json::from_str(line.4).unwrap();
        body["role"] = json!("owner");
        let (method, path) = line.method_and_path(Uuid::now_v7());
        let status = world.with_browser(&anna, method, &path, &body.to_string()).await.status.as_u16();
        let expected: &[u16] = if takes_role { &[403, 404] } else { &[422] };
        assert!(expected.contains(&status), "{} with a role: {status}", line.0);
    }
}

#[tokio::test]
async fn bodies_too_deep_too_large_or_not_json_are_refused_on_every_route() {
    let world = world(UNLIMITED).await;
    let anna: Browser = world.member("olga", Role::Owner).await;
    let deep = format!("{{\"x\": {}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    let large = format!("{{\"x\": \"{}\"}}", "a".repeat(70_000));
    for line in LINES.iter().filter(|line| takes_json(line)) {
        let (method, path) = line.method_and_path(Uuid::now_v7());
        for (body, expected) in
            [(deep.as_str(), [400, 422]), (&large, [413, 413]), ("{", [400, 400]), ("[]", [422, 422])]
        {
            let answer = world.with_browser(&anna, method.clone(), &path, body).await;
            assert!(expected.contains(&answer.problem().0), "{} {}: {answer:?}", line.0, &body[..body.len().min(9)]);
        }
        let mut plain = world.page(&anna, method, &path, line.4);
        plain.headers_mut().insert(header::CONTENT_TYPE, "text/plain".parse().unwrap());
        assert_eq!(world.answer(plain).await.problem().0, 415, "{}", line.0);
    }
}

#[tokio::test]
async fn no_other_origin_is_ever_allowed_to_read() {
    let world = world(UNLIMITED).await;
    for line in LINES {
        let (method, path) = line.method_and_path(Uuid::now_v7());
        for sent in [Method::OPTIONS, method.clone()] {
            let request = Request::builder()
                .method(&sent)
                .uri(&path)
                .header(header::ORIGIN, "https://evil.example")
                .header("access-control-request-method", method.as_str())
                .header("access-control-request-headers", "authorization, x-csrf-token")
                .header(header::CONTENT_TYPE, "application/json");
            let response = world.send(request.body(Body::from(line.4)).unwrap()).await;
            let allowed = response.headers().keys().find(|name| name.as_str().starts_with("access-control-"));
            assert_eq!(allowed, None, "{sent} {path}");
        }
    }
}
