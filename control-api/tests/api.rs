//! The API of calls, events, recordings and log-in, without sockets and over a fake engine.
//!
//! Requests enter the router directly. The tests read the commands that reach the engine and inject the events that the engine would
//! send; what is stored and streamed comes back by the API. Covered: credentials and tenants, validation of input, creation of calls and
//! their targets, call limits, incoming calls, legs, quality and media flow, translations, providers, sessions and cookies, telephones of
//! browsers, SIP traces, recordings with channels, pauses and ranges, security headers.
//!
//! Not here: permissions of every operation (`access.rs`), people and keys (`people.rs`), voice settings (`voice.rs`), event streams in
//! depth (`stream.rs`), real sockets (`server.rs`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use control_api::engine::{
    CallStatus, CallTarget, Callee, Command, CommandError, EventKind, Flow, HangupCause, Incoming, LegId, LegQuality,
    LegRole, LegState, NewCall, Outgoing, ProviderKind, ProviderState, Rating, RecordingChannel, RecordingPart,
    RecordingState, call_id,
};
use control_api::store::By;
use serde_json::{Value, json};
use support::{PASSWORD, SseReader, World, first_part, words, world};
use uuid::Uuid;

fn number(number: &str) -> Callee {
    Callee::Number(number.into())
}

/// Routes of calls, voice settings, telephones and events, each with a valid body where it takes one.
fn routes(call: Uuid) -> Vec<(Method, String, Option<&'static str>)> {
    let of = |tail: &str| format!("/api/calls/{call}{tail}");
    vec![
        (Method::GET, "/api/calls".into(), None),
        (Method::POST, "/api/calls".into(), Some(r#"{"mode": "direct", "to": "+15555550142"}"#)),
        (Method::GET, of(""), None),
        (Method::POST, of("/hangup"), Some("")),
        (Method::GET, of("/translations"), None),
        (Method::GET, of("/translations/stream"), None),
        (Method::POST, of("/say"), Some(r#"{"text": "hola"}"#)),
        (Method::GET, of("/recording"), None),
        (Method::GET, of("/trace"), None),
        (Method::GET, "/api/voice/config".into(), None),
        (Method::PUT, "/api/voice/config".into(), Some(r#"{"record": true}"#)),
        (Method::POST, "/api/webrtc/token".into(), None),
        (Method::GET, "/api/events".into(), None),
        (Method::GET, "/api/providers".into(), None),
        (Method::GET, "/api/auth/session".into(), None),
    ]
}

#[tokio::test]
async fn every_route_answers_401_without_a_key_or_with_a_wrong_one() {
    let mut world = world("").await;
    let call = world.call().await;
    let wrong = ["Bearer tdm_wrong".to_owned(), format!("Basic {}", world.key), world.key.clone(), "Bearer ".into()];
    for (method, path, body) in routes(call) {
        for authorization in [None].into_iter().chain(wrong.iter().map(Some)) {
            let mut request = Request::builder()
                .method(&method)
                .uri(&path)
                .header(header::CONTENT_TYPE, "application/json")
                .header(header::COOKIE, "tandem_session=guessed");
            if let Some(value) = authorization {
                request = request.header(header::AUTHORIZATION, value);
            }
            let answer = world.answer(request.body(Body::from(body.unwrap_or_default())).unwrap()).await;
            assert_eq!(answer.problem().0, 401, "{method} {path} with {authorization:?}");
        }
    }
    assert!(world.commands.try_recv().is_err(), "no command reached the engine");
}

#[tokio::test]
async fn another_organizations_call_gets_the_same_404_as_a_missing_call() {
    let mut world = world("").await;
    let call = world.call().await;
    world.emit(call, words(1, "hello", true, None)).await;
    let foreign = |method: &Method, path: &str, body: Option<&'static str>| {
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", world.other_key))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.unwrap_or_default()))
            .unwrap()
    };
    let missing = Uuid::now_v7();
    for (method, path, body) in routes(call).into_iter().filter(|(_, path, _)| path.contains(&call.to_string())) {
        let theirs = world.answer(foreign(&method, &path, body)).await;
        let none = world.answer(foreign(&method, &path.replace(&call.to_string(), &missing.to_string()), body)).await;
        let malformed = world.answer(foreign(&method, &path.replace(&call.to_string(), "..%2f1"), body)).await;
        assert_eq!(theirs.problem().0, 404, "{method} {path}");
        assert_eq!(theirs.bytes, none.bytes, "{method} {path}");
        assert_eq!(theirs.bytes, malformed.bytes, "{method} {path}");
    }
    let list = world.answer(foreign(&Method::GET, "/api/calls", None)).await;
    assert_eq!(list.json(), json!({"calls": [], "next_cursor": null}));
    assert!(world.commands.try_recv().is_err(), "no command reached the engine");
}

#[tokio::test]
async fn invalid_input_is_refused_and_the_field_is_named() {
    let mut world = world("").await;
    let call = world.call().await;
    let say = format!("/api/calls/{call}/say");
    let long = format!(r#"{{"text": "{}"}}"#, "a".repeat(1001));
    for (method, path, body, status, field) in [
        (Method::POST, "/api/calls", r#"{"mode": "direct""#, 400, None),
        (Method::POST, "/api/calls", r#"{"mode": "direct"}"#, 422, Some("to")),
        (Method::POST, "/api/calls", r#"{"mode": "direct", "to": 15555550142}"#, 422, Some("to")),
        (Method::POST, "/api/calls", r#"{"mode": "direct", "to": "15555550142"}"#, 422, Some("to")),
        (Method::POST, "/api/calls", r#"{"mode": "direct", "to": "+05555550142"}"#, 422, Some("to")),
        (Method::POST, "/api/calls", r#"{"mode": "direct", "to": "sip:a@b\r\nX: y"}"#, 422, Some("to")),
        (Method::POST, "/api/calls", r#"{"mode": "direct", "to": "+15555550142", "from": "me"}"#, 422, Some("from")),
        (Method::POST, "/api/calls", r#"{"mode": "dial", "to": "+15555550142"}"#, 422, Some("mode")),
        (Method::POST, "/api/calls", r#"{"mode": "bridge", "to": "+15555550142"}"#, 422, Some("agent")),
        (Method::POST, "/api/calls", r#"{"mode": "webrtc", "to": "+15555550142"}"#, 422, Some("agent")),
        (Method::POST, "/api/calls", r#"{"mode": "bridge", "to": "+15555550142", "agent": "zoe"}"#, 422, Some("agent")),
        (
            Method::POST,
            "/api/calls",
            r#"{"mode": "direct", "to": "+15555550142", "agent": "anna"}"#,
            422,
            Some("agent"),
        ),
        (Method::POST, "/api/calls", r#"{"mode": "direct", "to": "+15555550142", "app": "shell"}"#, 422, Some("app")),
        (
            Method::POST,
            "/api/calls",
            r#"{"mode": "bridge", "to": "+15555550142", "agent": "anna", "app": "echo"}"#,
            422,
            Some("app"),
        ),
        (
            Method::POST,
            "/api/calls",
            r#"{"mode": "direct", "to": "+15555550142", "organization_id": "x"}"#,
            422,
            Some("organization_id"),
        ),
        (
            Method::POST,
            "/api/calls",
            r#"{"mode": "direct", "to": "+15555550142", "config": {"rec": 1}}"#,
            422,
            Some("config.rec"),
        ),
        (
            Method::POST,
            "/api/calls",
            r#"{"mode": "direct", "to": "+15555550142", "config": {"record": 1}}"#,
            422,
            Some("config.record"),
        ),
        (
            Method::POST,
            "/api/calls",
            r#"{"mode": "direct", "to": "+15555550142", "config": {"translate_to": "Spanish please"}}"#,
            422,
            Some("config.translate_to"),
        ),
        (Method::PUT, "/api/voice/config", r#"{"translate_from": ""}"#, 422, Some("translate_from")),
        (Method::PUT, "/api/voice/config", r#"{"role": "owner"}"#, 422, Some("role")),
        (Method::POST, &say, r#"{"text": ""}"#, 422, Some("text")),
        (Method::POST, &say, r#"{"text": "bell \u0007"}"#, 422, Some("text")),
        (Method::POST, &say, &long, 422, Some("text")),
        (Method::POST, "/api/auth/login", r#"{"email": "anna@example.com"}"#, 422, Some("password")),
    ] {
        let answer = world.with_json(method, path, body).await;
        assert_eq!(answer.problem(), (status, field.map(Into::into)), "{path} {body}");
    }
    for (path, field) in [
        ("/api/calls?limit=0", "limit"),
        ("/api/calls?limit=x", "limit"),
        ("/api/calls?limit=1&limit=2", "limit"),
        ("/api/calls?status=over", "status"),
        ("/api/calls?sort=up", "sort"),
        ("/api/events?translations=1", "translations"),
        ("/api/events?last_event_id=-1", "last_event_id"),
        ("/api/calls?limit=", "limit"),
        ("/api/calls?cursor=", "cursor"),
        ("/api/calls/export?format=", "format"),
        ("/api/events?last_event_id=", "last_event_id"),
    ] {
        assert_eq!(world.get(path).await.problem(), (422, Some(field.into())), "{path}");
    }
    for path in ["/api/webrtc/token", "/api/webrtc/token?agent=zoe", "/api/webrtc/token?agent="] {
        assert_eq!(world.post(path, "").await.problem(), (422, Some("agent".into())), "{path}");
    }
    // The request changes state, so GET is not allowed.
    let got = world.get("/api/webrtc/token?agent=anna").await;
    assert_eq!((got.problem().0, &got.headers[header::ALLOW]), (405, &"POST".parse().unwrap()));
    assert_eq!(world.get("/api/nothing").await.problem().0, 404);
    assert_eq!(world.get("/nothing").await.problem().0, 404);
    let wrong_method = world.with_json(Method::DELETE, "/api/calls", "").await;
    assert_eq!(wrong_method.problem().0, 405);
    let allowed = wrong_method.headers[header::ALLOW].to_str().unwrap();
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
    let plain = world.request(Method::POST, "/api/calls").body(Body::from("{}")).unwrap();
    assert_eq!(world.answer(plain).await.problem().0, 415);
    let huge = world.with_json(Method::POST, "/api/calls", &"x".repeat(65 * 1024)).await;
    assert_eq!(huge.problem().0, 413);
    assert!(world.commands.try_recv().is_err(), "no command reached the engine");
}

#[tokio::test]
async fn the_call_limit_of_an_organization_covers_the_api_and_telephones() {
    let mut world = world("[dial]\ncalls = 1\n").await;
    let out = r#"{"mode": "direct", "to": "+15555550142"}"#;
    let created = world.post("/api/calls", out).await;
    assert_eq!(created.status, StatusCode::CREATED);
    let first: Uuid = created.json()["id"].as_str().unwrap().parse().unwrap();
    assert!(matches!(world.commands.recv().await, Some(Command::CallCreate(_))));
    let refused = world.post("/api/calls", out).await;
    assert_eq!(refused.problem(), (429, None));
    assert!(refused.json()["detail"].as_str().unwrap().contains("[dial] calls"), "{refused:?}");
    assert_eq!(refused.headers[header::RETRY_AFTER], "1");
    let incoming = |trunk: Option<&str>| EventKind::CallIncoming {
        from: "+15555550100".into(),
        to: "+15555550142".into(),
        trunk: trunk.map(Into::into),
        agent: Some("anna".into()),
    };
    world.emit(Uuid::now_v7(), incoming(None)).await;
    let Some(Command::CallReject { cause, .. }) = world.commands.recv().await else { panic!("not rejected") };
    assert_eq!(cause.sip_status(), 403);
    world.emit(Uuid::now_v7(), incoming(Some("carrier"))).await;
    assert!(
        matches!(world.commands.recv().await, Some(Command::CallProceed { .. })),
        "calls that come in by a trunk do not count"
    );
    let urgent = world.post("/api/calls", r#"{"mode": "direct", "to": "112"}"#).await;
    assert_eq!(urgent.status, StatusCode::CREATED);
    let urgent: Uuid = urgent.json()["id"].as_str().unwrap().parse().unwrap();
    assert!(matches!(world.commands.recv().await, Some(Command::CallCreate(_))), "emergency calls are not limited");
    for over in [first, urgent] {
        let ended = EventKind::CallStatus { status: CallStatus::Ended, cause: Some(HangupCause::Normal) };
        world.emit(over, ended).await;
    }
    world.emit(Uuid::now_v7(), incoming(None)).await;
    assert!(matches!(world.commands.recv().await, Some(Command::CallProceed { .. })), "ended calls free their places");
}

#[tokio::test]
async fn calls_and_transfers_of_agents_follow_caller_id_rules_and_the_call_limit() {
    let mut world = world("[dial]\ncalls = 2\nemergency_calls = 1\n").await;
    let acme = world.state.store.organization_by_name("acme").await.unwrap().unwrap().id;
    let by = control_api::store::By::system("test");
    world.state.store.caller_id_number_assign(acme, "+34600000002", &by).await.unwrap();
    let numbers = world.get("/api/caller-id/numbers").await.json();
    let rule = json!({"number_id": numbers["numbers"][0]["id"], "agent": "anna", "destination_prefix": "+34"});
    assert_eq!(world.post("/api/caller-id/rules", &rule.to_string()).await.status, StatusCode::CREATED);
    let incoming = |to: &str| EventKind::CallIncoming {
        from: "anna".into(),
        to: to.into(),
        trunk: None,
        agent: Some("anna".into()),
    };
    let mut call = Uuid::nil();
    for (to, shown) in [("+15555550142", None), ("0034911222333", Some("+34600000002"))] {
        world.emit(call, EventKind::CallStatus { status: CallStatus::Ended, cause: Some(HangupCause::Normal) }).await;
        call = Uuid::now_v7();
        world.emit(call, incoming(to)).await;
        let Some(Command::CallProceed { settings, .. }) = world.commands.recv().await else { panic!("not let go on") };
        assert_eq!(
            (settings.from.as_deref(), settings.group.map(|group| group.0)),
            (shown, Some(acme.0.as_u128())),
            "{to}"
        );
    }
    let wanted = |leg: u64, to: &str, emergency: bool| EventKind::LegWanted {
        leg: LegId(leg),
        to: to.into(),
        agent: Some("anna".into()),
        emergency,
    };
    world.emit(call, wanted(7, "+34911222444", false)).await;
    let Some(Command::LegProceed { leg, from, .. }) = world.commands.recv().await else { panic!("not let go on") };
    assert_eq!((leg, from.as_deref()), (LegId(7), Some("+34600000002")));
    world.emit(call, wanted(8, "+34911222445", false)).await;
    let Some(Command::LegReject { leg, cause, .. }) = world.commands.recv().await else {
        panic!("a leg beyond the limit was allowed")
    };
    assert_eq!((leg, cause.sip_status()), (LegId(8), 403));
    for (leg, goes_on) in [(9, true), (10, false)] {
        world.emit(call, wanted(leg, "112", true)).await;
        let decision = world.commands.recv().await;
        assert_eq!(matches!(decision, Some(Command::LegProceed { .. })), goes_on, "{decision:?}");
    }
}

#[tokio::test]
async fn a_call_is_created_with_the_organizations_settings_and_its_own_overrides() {
    let mut world = world("").await;
    let put = world.with_json(Method::PUT, "/api/voice/config", r#"{"live_translate": true, "record": true}"#).await;
    assert_eq!(put.status, StatusCode::OK);
    let acme = world.state.store.organization_by_name("acme").await.unwrap().unwrap().id;
    let by = control_api::store::By::system("test");
    world.state.store.caller_id_number_assign(acme, "+15555550100", &by).await.unwrap();
    let body = r#"{"mode": "bridge", "to": "sip:c@example.com", "from": "+15555550100", "agent": "anna",
        "config": {"record": false, "translate_to": "fr"}}"#;
    let created = world.post("/api/calls", body).await;
    assert_eq!(created.status, StatusCode::CREATED);
    assert_eq!(created.json()["status"], "queued");
    let id = created.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(created.headers[header::LOCATION], format!("/api/calls/{id}"));
    let Some(Command::CallCreate(new)) = world.commands.recv().await else { panic!("no call") };
    let NewCall { call, first, second, settings, .. } = *new;
    assert_eq!(call.to_string(), id);
    let customer = CallTarget { from: Some("+15555550100".into()), ..CallTarget::new(number("sip:c@example.com")) };
    assert_eq!((first, second), (CallTarget::new(Callee::Agent("anna".into())), Some(customer)));
    assert!(settings.live_translate && !settings.record && settings.translate_to == "fr");
    assert_eq!(
        settings.group.map(|group| group.0),
        Some(acme.0.as_u128()),
        "the call can reach only agents of its own organization"
    );
    let listed = world.get("/api/calls?status=queued&limit=1").await.json();
    let listed = &listed["calls"][0];
    assert_eq!(listed["id"], id.as_str());
    assert_eq!((&listed["direction"], &listed["mode"]), (&json!("outbound"), &json!("bridge")));
    assert_eq!((&listed["from"], &listed["to"]), (&json!("+15555550100"), &json!("sip:c@example.com")));
    assert_eq!(listed["config"]["translate_to"], "fr");
    for field in ["agent", "created_at", "answered_at", "ended_at", "ended_reason", "outcome"] {
        assert!(listed.get(field).is_some(), "{field} is missing");
    }
    // The settings of the organization have not changed.
    let config = world.get("/api/voice/config").await.json();
    assert_eq!((&config["record"], &config["translate_to"]), (&json!(true), &json!("es")));
}

#[tokio::test]
async fn mode_webrtc_calls_only_the_agents_browsers() {
    let mut world = world("").await;
    let body = r#"{"mode": "webrtc", "to": "+15555550142", "agent": "anna"}"#;
    assert_eq!(world.post("/api/calls", body).await.status, StatusCode::CREATED);
    let Some(Command::CallCreate(new)) = world.commands.recv().await else { panic!("no call") };
    assert_eq!(new.first.to, Callee::Browser("anna".into()));
}

#[tokio::test]
async fn two_targets_are_called_each_with_its_own_ring_time_caller_id_and_trunk() {
    let trunk = "[[trunks]]\nname = \"backup\"\nhosts = [\"192.0.2.7\"]\n";
    let mut world = world(trunk).await;
    let acme = world.state.store.organization_by_name("acme").await.unwrap().unwrap().id;
    let by = control_api::store::By::system("test");
    world.state.store.caller_id_number_assign(acme, "+15555550100", &by).await.unwrap();
    let anna = CallTarget::new(Callee::Agent("anna".into()));
    let one = CallTarget::new(number("+15555550142"));
    let backup = CallTarget { trunk: Some("backup".into()), ring: Some(Duration::from_secs(9)), ..one.clone() };
    let shown = CallTarget { from: Some("+15555550100".into()), ..CallTarget::new(number("sip:c@example.com")) };
    for (body, first, second, row) in [
        (
            json!({"first": {"to": "+15555550142", "ring_s": 9, "trunk": "backup"}, "second": {"agent": "anna"}}),
            backup.clone(),
            Some(anna.clone()),
            ("bridge", "+15555550142", Some("anna"), None),
        ),
        (
            json!({"first": {"to": "+15555550142"}, "second": {"to": "sip:c@example.com", "from": "+15555550100"}}),
            one.clone(),
            Some(shown),
            ("bridge", "sip:c@example.com", None, Some("+15555550100")),
        ),
        (
            json!({"first": {"agent": "anna", "ring_s": 300}, "second": {"agent": "vera"}}),
            CallTarget { ring: Some(Duration::from_secs(300)), ..anna.clone() },
            Some(CallTarget::new(Callee::Agent("vera".into()))),
            ("bridge", "vera", Some("anna"), None),
        ),
        (json!({"first": {"agent": "anna"}, "app": "echo"}), anna, None, ("direct", "anna", Some("anna"), None)),
    ] {
        let made = world.post("/api/calls", &body.to_string()).await;
        assert_eq!(made.status, StatusCode::CREATED, "{body} {made:?}");
        let Some(Command::CallCreate(new)) = world.commands.recv().await else { panic!("no call") };
        assert_eq!((new.first, new.second), (first, second), "{body}");
        let shown = world.get(&format!("/api/calls/{}", made.json()["id"].as_str().unwrap())).await.json();
        let (mode, to, agent, from) = row;
        assert_eq!((&shown["mode"], &shown["to"]), (&json!(mode), &json!(to)));
        assert_eq!((&shown["agent"], &shown["from"]), (&json!(agent), &json!(from)));
    }
}

#[tokio::test]
async fn targets_are_given_in_exactly_one_form_and_each_is_validated() {
    let world = world("").await;
    let number = || json!({"to": "+15555550142"});
    for (body, field) in [
        (json!({}), "mode"),
        (json!({"second": number()}), "second"),
        (json!({"first": number(), "mode": "direct"}), "mode"),
        (json!({"first": number(), "to": "+15555550142"}), "to"),
        (json!({"first": number(), "agent": "anna"}), "agent"),
        (json!({"first": number(), "from": "+15555550142"}), "from"),
        (json!({"first": number(), "second": number(), "app": "echo"}), "app"),
        (json!({"first": {}}), "first.to"),
        (json!({"first": {"to": "x"}}), "first.to"),
        (json!({"first": {"to": "+15555550142", "agent": "anna"}}), "first.to"),
        (json!({"first": {"agent": "zoe"}}), "first.agent"),
        (json!({"first": {"agent": "anna", "from": "+15555550142"}}), "first.from"),
        (json!({"first": {"agent": "anna", "trunk": "carrier"}}), "first.trunk"),
        (json!({"first": {"agent": "anna"}, "second": {"to": "+15555550142", "trunk": "nobody's"}}), "second.trunk"),
        (json!({"first": {"to": "+15555550142", "ring_s": 0}}), "first.ring_s"),
        (json!({"first": {"agent": "anna"}, "second": {"to": "+15555550142", "ring_s": 301}}), "second.ring_s"),
        (json!({"first": {"to": "+15555550142", "from": "me"}}), "first.from"),
    ] {
        let answer = world.post("/api/calls", &body.to_string()).await;
        assert_eq!(answer.problem(), (422, Some(field.into())), "{body}");
    }
    let foreign = json!({"first": {"to": "+15555550142", "from": "+19998887777"}});
    assert_eq!(world.post("/api/calls", &foreign.to_string()).await.problem(), (403, Some("first.from".into())));
}

#[tokio::test]
async fn choosing_a_trunk_needs_the_permission_to_change_the_voice_configuration() {
    let mut world = world("[[trunks]]\nname = \"backup\"\nhosts = [\"192.0.2.7\"]\n").await;
    let made = world.post("/api/api-keys", r#"{"name": "dialler", "scopes": ["calls.dial"]}"#).await.json();
    let dialler = made["key"].as_str().unwrap();
    let chosen = r#"{"first": {"to": "+15555550142", "trunk": "backup"}}"#;
    assert_eq!(world.with_key(dialler, Method::POST, "/api/calls", chosen).await.status, StatusCode::FORBIDDEN);
    let plain = r#"{"first": {"to": "+15555550142"}}"#;
    assert_eq!(world.with_key(dialler, Method::POST, "/api/calls", plain).await.status, StatusCode::CREATED);
    assert!(matches!(world.commands.recv().await, Some(Command::CallCreate(_))));
}

#[tokio::test]
async fn a_call_that_the_engine_refuses_is_stored_as_failed() {
    let world = world("").await;
    for (error, status, field) in [
        (CommandError::Busy("draining"), 503, None),
        (CommandError::Conflict("no".into()), 409, None),
        (CommandError::Invalid { field: "to", problem: "no trunk is configured".into() }, 422, Some("to".to_owned())),
        (CommandError::Stopped, 503, None),
    ] {
        *world.refuse.lock().unwrap() = Some(error);
        let answer = world.post("/api/calls", r#"{"mode": "direct", "to": "+15555550142"}"#).await;
        assert_eq!(answer.problem(), (status, field));
    }
    let calls = world.get("/api/calls?status=failed").await.json();
    assert_eq!(calls["calls"].as_array().unwrap().len(), 4);
    assert!(calls["calls"][0]["ended_at"].is_string());
}

#[tokio::test]
async fn a_call_is_shown_with_legs_events_and_recording() {
    let mut world = world("").await;
    let call = world.call().await;
    let leg = |leg, role, state, codec| EventKind::Leg {
        leg: LegId(leg),
        role,
        state,
        peer: "+15555550142".into(),
        agent: None,
        codec,
        ending: None,
    };
    world.emit(call, EventKind::CallStatus { status: CallStatus::Ringing, cause: None }).await;
    world.emit(call, leg(7, LegRole::Customer, LegState::Ringing, None)).await;
    world.emit(call, leg(7, LegRole::Customer, LegState::Answered, Some("PCMU"))).await;
    world.emit(call, EventKind::CallStatus { status: CallStatus::Answered, cause: None }).await;
    let path = world.folder.path().join("r.wav");
    let recording =
        |state, duration_ms| EventKind::Recording { part: first_part(), path: path.clone(), state, duration_ms };
    world.emit(call, recording(RecordingState::Started, 0)).await;
    world.emit(call, EventKind::Dtmf { leg: LegId(7), digit: '5', duration_ms: 100 }).await;
    let rating = |mos| Rating { mos: Some(mos), mos_call: Some(4.2), loss: Some(0.004), ..Rating::default() };
    let quality = EventKind::LegQuality {
        leg: LegId(7),
        role: LegRole::Customer,
        quality: LegQuality {
            packets_received: 250,
            packets_sent: 251,
            packets_lost: 1,
            jitter_ms: 1.5,
            incoming: rating(4.41),
            ..LegQuality::default()
        },
    };
    world.emit(call, quality).await;
    world.emit(call, recording(RecordingState::Interrupted("the disk is full".into()), 5000)).await;
    world.emit(call, EventKind::CallStatus { status: CallStatus::Ended, cause: Some(HangupCause::Normal) }).await;
    world.until(async || world.get(&format!("/api/calls/{call}")).await.json()["status"] == "ended").await;
    let shown = world.get(&format!("/api/calls/{call}")).await.json();
    assert_eq!(shown["ended_reason"], "normal");
    assert!(shown["answered_at"].is_string() && shown["ended_at"].is_string());
    assert_eq!(shown["legs"].as_array().unwrap().len(), 1);
    assert_eq!(shown["legs"][0]["codec"], "PCMU");
    let quality = &shown["legs"][0]["quality"];
    assert_eq!((&quality["packets_lost"], &quality["jitter_ms"]), (&json!(1), &json!(1.5)));
    assert_eq!((&quality["incoming"]["mos"], &quality["incoming"]["loss_percent"]), (&json!(4.41), &json!(0.4)));
    assert_eq!(quality["outgoing"]["mos"], Value::Null, "the far end sent no report");
    let kinds: Vec<&str> = shown["events"].as_array().unwrap().iter().map(|e| e["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "call.created",
            "call.status",
            "call.leg",
            "call.leg",
            "call.status",
            "call.recording",
            "call.dtmf",
            "call.recording",
            "call.status"
        ]
    );
    assert_eq!(shown["recording"]["state"], "interrupted");
    assert_eq!(shown["recording"]["note"], "the disk is full");
    assert!(!shown.to_string().contains("r.wav"), "paths of files are not shown");
    // Hanging up a call that has ended is not an error, and no command is sent to the engine.
    let hung_up = world.post(&format!("/api/calls/{call}/hangup"), "").await;
    assert_eq!((hung_up.status, &hung_up.json()["status"]), (StatusCode::ACCEPTED, &json!("ended")));
    let said = world.post(&format!("/api/calls/{call}/say"), r#"{"text": "hola"}"#).await;
    assert_eq!(said.problem().0, 409);
    assert!(world.commands.try_recv().is_err());
}

#[tokio::test]
async fn flow_quality_and_media_timeout_of_a_leg_are_shown_and_streamed() {
    let mut world = world("").await;
    let call = world.call().await;
    let request = world.request(Method::GET, "/api/events").body(Body::empty()).unwrap();
    let mut stream = SseReader::new(world.send(request).await);
    let theirs = Request::get("/api/events").header(header::AUTHORIZATION, format!("Bearer {}", world.other_key));
    let mut theirs = SseReader::new(world.send(theirs.body(Body::empty()).unwrap()).await);
    let (from, expected) = ("192.0.2.7:4000".parse().unwrap(), Some("192.0.2.1:4000".parse().unwrap()));
    let flow = Flow {
        incoming: Incoming::WrongAddress { from, expected },
        outgoing: Outgoing::NothingReported { rtcp: false },
    };
    let (leg, role) = (LegId(7), LegRole::Customer);
    let (state, peer) = (LegState::Answered, "x".into());
    let answered = EventKind::Leg { leg, role, state, peer, agent: None, codec: Some("PCMU"), ending: None };
    world.emit(call, answered).await;
    world.emit(call, EventKind::LegFlow { leg, role, flow }).await;
    let mut quality = LegQuality { packets_sent: 251, ..LegQuality::default() };
    quality.outgoing.mos = Some(3.456);
    world.emit(call, EventKind::LegQuality { leg, role, quality }).await;
    world.emit(call, EventKind::MediaTimeout { leg, role, after: std::time::Duration::from_secs(60) }).await;
    let mut seen = std::collections::BTreeMap::new();
    while !["call.flow", "call.quality", "call.media_timeout"].iter().all(|kind| seen.contains_key(*kind)) {
        let event = stream.next().await.unwrap();
        seen.insert(event.event, serde_json::from_str::<Value>(&event.data).unwrap());
    }
    let shown = world.get(&format!("/api/calls/{call}")).await.json();
    let why = "packets come from 192.0.2.7:4000, not from 192.0.2.1:4000";
    let told = &shown["legs"][0]["flow"];
    assert_eq!(told["incoming"], json!({"state": "wrong_address", "detail": why}));
    assert_eq!(told["outgoing"]["state"], "far_end_reports_nothing");
    assert_eq!(shown["legs"][0]["quality"]["outgoing"]["mos"], 3.46);
    let of = |kind: &str, pointer: &str| seen[kind].pointer(pointer).cloned().unwrap_or_default();
    for kind in ["call.flow", "call.quality", "call.media_timeout"] {
        assert_eq!((of(kind, "/call_id"), of(kind, "/leg")), (json!(call), json!(7)), "{kind}");
        assert_eq!(of(kind, "/role"), "customer", "{kind}");
    }
    assert_eq!(of("call.flow", "/flow/incoming/detail"), why);
    assert_eq!(of("call.quality", "/quality/outgoing/mos"), 3.46);
    assert_eq!(of("call.media_timeout", "/after_s"), 60);
    // The other organization gets none of these events: the first event on its stream is one that goes to all.
    let provider = EventKind::Provider { kind: ProviderKind::Stt, name: "local".into(), state: ProviderState::Up };
    world.emit(Uuid::nil(), provider).await;
    loop {
        let event = theirs.next().await.unwrap();
        match event.event.as_str() {
            "provider" => break,
            kind => assert!(!kind.starts_with("call."), "{kind}: {}", event.data),
        }
    }
    // Occurrences are stored; quality figures, which are sent every 5 s, are not.
    let kinds: Vec<_> = shown["events"].as_array().unwrap().iter().map(|e| e["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["call.created", "call.leg", "call.flow", "call.media_timeout"]);
}

#[tokio::test]
async fn hang_up_and_say_reach_the_engine() {
    let mut world = world("").await;
    let call = world.call().await;
    let said = world.post(&format!("/api/calls/{call}/say"), r#"{"text": " ¿Cómo está? "}"#).await;
    assert_eq!(said.status, StatusCode::ACCEPTED);
    let Some(Command::CallSay { call: id, text }) = world.commands.recv().await else { panic!("nothing said") };
    assert_eq!((id, text.as_str()), (call_id(call), "¿Cómo está?"));
    let hung_up = world.post(&format!("/api/calls/{call}/hangup"), "").await;
    assert_eq!(hung_up.status, StatusCode::ACCEPTED);
    assert!(matches!(world.commands.recv().await, Some(Command::CallHangup { call: id }) if id == call_id(call)));
}

#[tokio::test]
async fn an_incoming_call_proceeds_with_the_settings_of_its_organization() {
    let mut world = world("").await;
    world.with_json(Method::PUT, "/api/voice/config", r#"{"transcribe": true}"#).await;
    let call = Uuid::now_v7();
    let incoming = |agent: Option<&str>| EventKind::CallIncoming {
        from: "+15555550142".into(),
        to: "100".into(),
        trunk: Some("carrier".into()),
        agent: agent.map(Into::into),
    };
    world.emit(call, incoming(Some("anna"))).await;
    let Some(Command::CallProceed { call: id, settings }) = world.commands.recv().await else {
        panic!("the call does not proceed")
    };
    assert_eq!((id, settings.transcribe, settings.record), (call_id(call), true, false));
    // The engine gets the decision before the call is stored.
    let path = format!("/api/calls/{call}");
    world.until(async || world.get(&path).await.status == StatusCode::OK).await;
    let shown = world.get(&path).await.json();
    assert_eq!((&shown["direction"], &shown["agent"]), (&json!("inbound"), &json!("anna")));
    assert_eq!((&shown["from"], &shown["mode"]), (&json!("+15555550142"), &Value::Null));
    // A call for no known agent belongs to the first organization.
    let call = Uuid::now_v7();
    world.emit(call, incoming(None)).await;
    assert!(matches!(world.commands.recv().await, Some(Command::CallProceed { .. })));
    let path = format!("/api/calls/{call}");
    world.until(async || world.get(&path).await.status == StatusCode::OK).await;
}

#[tokio::test]
async fn a_call_that_an_agent_dials_is_outbound_and_counted_as_such() {
    let mut world = world("").await;
    let dialled = |trunk: Option<&str>| EventKind::CallIncoming {
        from: "anna".into(),
        to: "+15555550142".into(),
        trunk: trunk.map(Into::into),
        agent: Some("anna".into()),
    };
    let (out, back) = (Uuid::now_v7(), Uuid::now_v7());
    for (call, trunk) in [(out, None), (back, Some("carrier"))] {
        world.emit(call, dialled(trunk)).await;
        assert!(matches!(world.commands.recv().await, Some(Command::CallProceed { .. })));
    }
    for (leg, role, peer) in [(1, LegRole::Agent, "anna"), (2, LegRole::Customer, "+15555550142")] {
        let (peer, state) = (peer.to_owned(), LegState::Answered);
        world
            .emit(out, EventKind::Leg { leg: LegId(leg), role, state, peer, codec: None, agent: None, ending: None })
            .await;
    }
    let path = format!("/api/calls/{out}");
    let legs = async || world.get(&path).await.json()["legs"].as_array().map_or(0, Vec::len);
    world.until(async || legs().await == 2).await;
    let shown = world.get(&path).await.json();
    assert_eq!((&shown["direction"], &shown["mode"]), (&json!("outbound"), &Value::Null));
    assert_eq!(
        (&shown["from"], &shown["to"], &shown["agent"]),
        (&json!("anna"), &json!("+15555550142"), &json!("anna"))
    );
    assert_eq!((&shown["legs"][0]["role"], &shown["legs"][1]["role"]), (&json!("agent"), &json!("customer")));
    for call in [out, back] {
        let cause = Some(HangupCause::Normal);
        world.emit(call, EventKind::CallStatus { status: CallStatus::Ended, cause }).await;
        let path = format!("/api/calls/{call}");
        world.until(async || world.get(&path).await.json()["status"] == "ended").await;
    }
    let usage = world.get("/api/usage").await.json();
    let counted = (&usage["total"]["calls_inbound"], &usage["total"]["calls_outbound"]);
    assert_eq!(counted, (&json!(1), &json!(1)), "one call was dialled, one came in by a trunk");
    let listed = world.get("/api/calls?direction=outbound").await.json();
    assert_eq!(listed["calls"].as_array().unwrap().iter().map(|call| &call["id"]).collect::<Vec<_>>(), [&json!(out)]);
}

#[tokio::test]
async fn events_of_unknown_calls_are_dropped_and_delay_no_other_event() {
    let mut world = world("").await;
    let call = world.call().await;
    world.emit(Uuid::now_v7(), EventKind::CallStatus { status: CallStatus::Ringing, cause: None }).await;
    world.emit(call, EventKind::CallStatus { status: CallStatus::Ringing, cause: None }).await;
    world.until(async || world.get(&format!("/api/calls/{call}")).await.json()["status"] == "ringing").await;
}

#[tokio::test]
async fn the_latest_events_of_a_call_are_listed_oldest_first() {
    let mut world = world("").await;
    let call = world.call().await;
    for (digit, duration_ms) in [('1', 100), ('2', 100), ('3', 100)] {
        world.emit(call, EventKind::Dtmf { leg: LegId(1), digit, duration_ms }).await;
    }
    world.emit(call, EventKind::CallStatus { status: CallStatus::Ringing, cause: None }).await;
    world.until(async || world.get(&format!("/api/calls/{call}")).await.json()["status"] == "ringing").await;
    let organization = world.state.store.organization_by_name("acme").await.unwrap().unwrap().id;
    let latest = world.state.store.call_event_list(organization, call, 2).await.unwrap();
    let kinds: Vec<_> = latest.iter().map(|(_, body)| (&body["type"], &body["digit"])).collect();
    assert_eq!(kinds, [(&json!("call.dtmf"), &json!("3")), (&json!("call.status"), &Value::Null)]);
}

#[tokio::test]
async fn the_event_name_of_a_segment_says_what_is_new_in_it() {
    let mut world = world("").await;
    let call = world.call().await;
    for kind in [
        words(1, "hel", false, None),
        words(1, "hello", false, None),
        words(1, "hello", true, None),
        words(1, "hello", true, Some("hola")),
        words(1, "hello", true, Some("hola")),
        words(1, "late partial", false, None),
        words(2, "gracias", true, Some("thank you")),
    ] {
        world.emit(call, kind).await;
    }
    let path = format!("/api/calls/{call}/translations");
    let request = world.request(Method::GET, &format!("{path}/stream")).body(Body::empty()).unwrap();
    let mut stream = SseReader::new(world.send(request).await);
    let mut names = Vec::new();
    let mut last = Value::Null;
    while names.len() < 6 {
        let event = stream.next().await.unwrap();
        names.push(event.event);
        last = serde_json::from_str(&event.data).unwrap();
    }
    assert_eq!(names, ["partial", "partial", "final", "translation", "lag", "translation"]);
    let expected = json!({"segment": 2, "call_id": call, "leg": "customer", "source_language": "en",
        "target_language": "es", "text": "gracias", "translation": "thank you", "final": true,
        "lag_ms": {"stt": null, "translate": null, "tts": null, "total": null}});
    assert_eq!(last, expected);
    let list = world.get(&path).await.json();
    assert_eq!(list["translations"].as_array().unwrap().len(), 2);
    assert_eq!(list["translations"][0]["text"], "hello");
    assert_eq!(list["translations"][1], expected);
}

#[tokio::test]
async fn provider_states_are_sent_to_new_and_to_connected_listeners() {
    let world = world("").await;
    let provider = |state| EventKind::Provider { kind: ProviderKind::Stt, name: "local".into(), state };
    world.emit(Uuid::nil(), provider(ProviderState::Up)).await;
    world.until(async || world.get("/api/providers").await.json()["providers"].as_array().unwrap().len() == 1).await;
    let request = world.request(Method::GET, "/api/events").body(Body::empty()).unwrap();
    let mut stream = SseReader::new(world.send(request).await);
    let first = stream.next().await.unwrap();
    assert_eq!((first.id, first.event.as_str()), (None, "provider"));
    assert!(first.data.contains("\"up\""), "{}", first.data);
    world.emit(Uuid::nil(), provider(ProviderState::Down("install espeak-ng".into()))).await;
    let second = stream.next().await.unwrap();
    assert!(second.data.contains("\"down\"") && second.data.contains("install espeak-ng"), "{}", second.data);
}

async fn login(world: &World, email: &str, password: &str, origin: Option<&str>) -> support::Answer {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri("/api/auth/login")
        .header(header::HOST, "127.0.0.1:8080")
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(origin) = origin {
        request = request.header(header::ORIGIN, origin);
    }
    let body = json!({"email": email, "password": password}).to_string();
    world.answer(request.body(Body::from(body)).unwrap()).await
}

fn cookie(answer: &support::Answer) -> String {
    let set = answer.headers[header::SET_COOKIE].to_str().unwrap();
    set.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_session_opens_with_the_right_password_and_closes_with_log_out() {
    let world = world("").await;
    assert_eq!(login(&world, "anna@example.com", "wrong password here", None).await.problem().0, 401);
    assert_eq!(login(&world, "nobody@example.com", PASSWORD, None).await.problem().0, 401);
    let answer = login(&world, "Anna@Example.com", PASSWORD, Some("http://127.0.0.1:8080")).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let set = answer.headers[header::SET_COOKIE].to_str().unwrap().to_owned();
    for part in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(set.contains(part), "{set}");
    }
    assert!(!set.contains("Secure"), "a browser would not send it back over plain HTTP: {set}");
    assert!(!String::from_utf8_lossy(&answer.bytes).contains("argon2"));
    let cookie = cookie(&answer);
    let csrf = answer.json()["csrf_token"].as_str().unwrap().to_owned();
    let with_cookie = |method: Method, path: &str, headers: &[(&'static str, &str)]| {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "127.0.0.1:8080")
            .header(header::COOKIE, format!("other=1; {cookie}"))
            .header("x-csrf-token", &csrf)
            .header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::from(r#"{"record": true}"#)).unwrap()
    };
    let session = world.answer(with_cookie(Method::GET, "/api/auth/session", &[])).await.json();
    assert_eq!(session["user"]["sip_name"], "anna");
    assert_eq!(session["organization"]["name"], "acme");
    // A page of another origin can make the browser send the cookie, but its requests are refused.
    for headers in [
        &[][..],
        &[("origin", "https://evil.example.com")],
        &[("origin", "null")],
        &[("origin", "http://127.0.0.1:8081")],
        &[("sec-fetch-site", "cross-site"), ("origin", "http://127.0.0.1:8080")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "none")],
    ] {
        let answer = world.answer(with_cookie(Method::PUT, "/api/voice/config", headers)).await;
        assert_eq!(answer.problem().0, 403, "{headers:?}");
        let answer = world.answer(with_cookie(Method::POST, "/api/auth/logout", headers)).await;
        assert_eq!(answer.problem().0, 403, "{headers:?}");
    }
    for headers in [&[("origin", "http://127.0.0.1:8080")][..], &[("sec-fetch-site", "same-origin")]] {
        let answer = world.answer(with_cookie(Method::PUT, "/api/voice/config", headers)).await;
        assert_eq!(answer.status, StatusCode::OK, "{headers:?}");
    }
    let own = [("origin", "http://127.0.0.1:8080")];
    assert_eq!(world.answer(with_cookie(Method::POST, "/api/auth/logout", &own)).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.answer(with_cookie(Method::GET, "/api/auth/session", &[])).await.problem().0, 401);
    assert_eq!(login(&world, "anna@example.com", PASSWORD, Some("https://evil.example.com")).await.problem().0, 403);
}

#[tokio::test]
async fn cookies_are_secure_when_the_public_url_is_https() {
    let world = world("[http]\npublic_url = \"https://voice.example.com\"").await;
    let answer = login(&world, "anna@example.com", PASSWORD, Some("https://voice.example.com")).await;
    assert!(answer.headers[header::SET_COOKIE].to_str().unwrap().ends_with("; Secure"));
}

#[tokio::test]
async fn many_wrong_passwords_slow_the_account_down() {
    let world = world("").await;
    for _ in 0..10 {
        assert_eq!(login(&world, "anna@example.com", "wrong password here", None).await.problem().0, 401);
    }
    let refused = login(&world, "anna@example.com", PASSWORD, None).await;
    assert_eq!(refused.problem().0, 429);
    let retry_after: u64 = refused.headers[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=30).contains(&retry_after), "{retry_after} s");
    assert_eq!(login(&world, "vera@example.com", PASSWORD, None).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_viewer_can_read_but_change_nothing() {
    let mut world = world("").await;
    let call = world.call().await;
    let vera = world.sign_in("vera@example.com").await;
    for (method, path, body) in routes(call) {
        if path.ends_with("/stream")
            || path == "/api/events"
            || path.ends_with("/recording")
            || path.ends_with("/trace")
        {
            continue;
        }
        let answer = world.with_browser(&vera, method.clone(), &path, body.unwrap_or_default()).await;
        let allowed = method == Method::GET && path != "/api/voice/config";
        let expected = if allowed { 200 } else { 403 };
        assert_eq!(answer.status.as_u16(), expected, "{method} {path}");
    }
}

#[tokio::test]
async fn a_revoked_key_gets_401() {
    let world = world("").await;
    let key = world.state.store.api_key_by_hash(&control_api::auth::token_hash(&world.key)).await.unwrap().unwrap();
    assert!(world.state.store.api_key_revoke(key.organization, key.id, &By::system("test")).await.unwrap());
    assert_eq!(world.get("/api/calls").await.problem().0, 401);
}

#[tokio::test]
async fn browser_telephones_get_short_lived_credentials() {
    let mut world = world("[http]\npublic_url = \"https://voice.example.com\"").await;
    let answer = world.post("/api/webrtc/token?agent=anna", "").await;
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    let token = answer.json();
    let Some(Command::CredentialSet { user, password, valid_for, .. }) = world.commands.recv().await else {
        panic!("the engine does not know the password")
    };
    assert_eq!((token["username"].as_str(), token["password"].as_str()), (Some(&*user), Some(&*password)));
    assert!((600..=3600).contains(&valid_for.as_secs()));
    assert_eq!(token["ws_url"], "wss://voice.example.com/sip");
    assert_eq!(token["sip_uri"], "sip:anna@voice.example.com");
    assert_eq!(token["ice_servers"], json!([]));
    assert!(token["expires_at"].is_string());
}

#[tokio::test]
async fn browser_telephones_get_turn_servers_in_both_forms() {
    let turn = "[turn]\nuris = [\"turn:turn.example.com:3478?transport=tcp\"]\nsecret = \"north\"\nttl_s = 600";
    let token = world(turn).await.post("/api/webrtc/token?agent=anna", "").await.json();
    let (turn, ice) = (&token["turn"], &token["ice_servers"][0]);
    assert_eq!((&turn["ttl"], &turn["uris"]), (&json!(600), &json!(["turn:turn.example.com:3478?transport=tcp"])));
    let (end, user) = turn["username"].as_str().unwrap().split_once(':').unwrap();
    let left = end.parse::<i64>().unwrap() - control_api::store::now().as_second();
    assert!(user == "anna" && (590..=600).contains(&left), "{turn}");
    assert_eq!(
        (&ice["urls"], &ice["username"], &ice["credential"]),
        (&turn["uris"], &turn["username"], &turn["password"])
    );
    assert!(!token.to_string().contains("north"), "the shared secret is not sent");
}

#[tokio::test]
async fn a_viewer_reads_the_ladder_but_not_the_sip_messages() {
    let mut world = world("").await;
    let call = world.call().await;
    let cookie = cookie(&login(&world, "vera@example.com", PASSWORD, None).await);
    let path = format!("/api/calls/{call}/trace");
    let as_viewer = |query: &str| {
        let request = Request::get(format!("{path}{query}")).header(header::HOST, "h").header(header::COOKIE, &cookie);
        world.answer(request.body(Body::empty()).unwrap())
    };
    world.trace(call, "INVITE sip:bob@192.0.2.1 SIP/2.0\n");
    let ladder = as_viewer("").await.json();
    assert_eq!((&ladder["steps"][0]["label"], ladder["steps"][0].get("message")), (&json!("INVITE"), None));
    assert_eq!(as_viewer("?messages=true").await.problem().0, 403);
    assert_eq!(as_viewer("?messages=yes").await.problem(), (422, Some("messages".into())));
    world.trace(call, "INVITE sip:bob@192.0.2.1 SIP/2.0\n");
    let ladder = world.get(&format!("{path}?messages=true")).await.json();
    assert_eq!(ladder["steps"][0]["message"], "INVITE sip:bob@192.0.2.1 SIP/2.0\n");
    assert_eq!(world.get(&path).await.problem().0, 404, "the engine has no trace of the call");
    *world.refuse.lock().unwrap() = Some(CommandError::Conflict("messages are not kept".into()));
    assert_eq!(world.get(&path).await.problem().0, 409);
}

#[tokio::test]
async fn openapi_states_the_security_of_each_route_and_has_every_schema() {
    let world = world("").await;
    let document = world.answer(Request::get("/openapi.json").body(Body::empty()).unwrap()).await.json();
    let paths = document["paths"].as_object().unwrap();
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            if ["get", "put", "post", "patch", "delete"].contains(&method.as_str()) {
                assert!(operation["security"].is_array(), "{method} {path} does not state its security");
                assert!(operation["responses"].as_object().is_some_and(|r| !r.is_empty()), "{method} {path}");
            }
        }
    }
    // Every schema that is referenced exists.
    let text = document.to_string();
    for name in text.split("#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(document["components"]["schemas"].get(name).is_some(), "schema {name} is missing");
    }
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let world = world("").await;
    let pages = ["/", "/login", "/signup", "/invitation", "/agent", "/live", "/calls", "/calls/1", "/settings"];
    let others =
        ["/assets/nothing.js", "/favicon.svg", "/api/calls", "/nothing", "/health", "/readyz", "/openapi.json"];
    for path in pages.into_iter().chain(others) {
        let answer = world.answer(Request::get(path).body(Body::empty()).unwrap()).await;
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        for part in ["default-src 'self'", "frame-ancestors 'none'", "object-src 'none'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(answer.headers["x-frame-options"], "DENY", "{path}");
        assert!(answer.headers.contains_key("referrer-policy"), "{path}");
        assert!(answer.headers["permissions-policy"].to_str().unwrap().contains("microphone=(self)"), "{path}");
        if pages.contains(&path) {
            assert_eq!(answer.status, StatusCode::OK, "{path}");
            assert!(answer.headers[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/html"), "{path}");
        }
    }
}

#[tokio::test]
async fn a_call_lists_its_recordings_with_their_channels_and_pauses() {
    let mut world = world("").await;
    let call = world.call().await;
    let began = SystemTime::now();
    let channel = |channel, leg, role, until| RecordingChannel {
        channel,
        leg: LegId(leg),
        heard: channel == 3,
        role,
        peer: "+15555550142".into(),
        agent: (role == LegRole::Agent).then(|| "ana".into()),
        from: began,
        until,
    };
    let channels = vec![
        channel(0, 7, LegRole::Customer, None),
        channel(1, 8, LegRole::Agent, None),
        channel(2, 9, LegRole::Customer, Some(began + Duration::from_secs(2))),
        channel(3, 8, LegRole::Agent, None),
    ];
    let of_all = RecordingPart { channels, ..first_part() };
    let of_one = RecordingPart { number: 2, of: Some(LegId(8)), part: 1, channels: vec![] };
    let path = |name: &str| world.folder.path().join(name);
    let (first, second) = (path("r.wav"), path("r.r2.wav"));
    let state = |part: &RecordingPart, path: &Path, state| EventKind::Recording {
        part: part.clone(),
        path: path.to_owned(),
        state,
        duration_ms: 2_000,
    };
    world.emit(call, state(&first_part(), &first, RecordingState::Started)).await;
    world.emit(call, EventKind::RecordingSeated(of_all.clone())).await;
    world.emit(call, state(&of_one, &second, RecordingState::Started)).await;
    world.emit(call, EventKind::RecordingPaused { number: 2, paused: true }).await;
    let listed = format!("/api/calls/{call}/recordings");
    world.until(async || world.get(&listed).await.json()["recordings"][1]["state"] == "paused").await;
    let shown = world.get(&listed).await.json();
    let [whole, alone] = &shown["recordings"].as_array().unwrap()[..] else { panic!("{shown}") };
    assert_eq!((&whole["number"], &whole["leg"], &whole["state"]), (&json!(1), &Value::Null, &json!("started")));
    assert_eq!((&alone["number"], &alone["leg"], &alone["gaps"][0]["until"]), (&json!(2), &json!(8), &Value::Null));
    let who = whole["parts"][0]["channels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["leg"].as_u64().unwrap(), one["role"].as_str().unwrap(), one["heard"].as_bool().unwrap()));
    let expected = [(7, "customer", false), (8, "agent", false), (9, "customer", false), (8, "agent", true)];
    assert!(who.eq(expected), "{whole}");
    assert_eq!(whole["parts"][0]["channels"][1]["agent"], "ana");
    // The end of the recording ends the pause.
    world.emit(call, state(&of_one, &second, RecordingState::Finished)).await;
    world.emit(call, state(&of_all, &first, RecordingState::Finished)).await;
    world.until(async || world.get(&listed).await.json()["recordings"][0]["state"] == "finished").await;
    let alone = world.get(&listed).await.json()["recordings"][1].clone();
    assert_eq!((&alone["state"], &alone["gaps"][0]["until"]), (&json!("finished"), &alone["ended_at"]), "{alone}");

    // One frame of three channels: a player gets two channels, `original_url` returns all three.
    let mut wav =
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x03\0\x40\x1f\0\0\0\x7d\0\0\x06\0\x10\0data\x06\0\0\0".to_vec();
    wav.extend([1, 0, 2, 0, 4, 0]);
    std::fs::write(&first, &wav).unwrap();
    let part = &world.get(&listed).await.json()["recordings"][0]["parts"][0];
    let played = world.get(part["url"].as_str().unwrap()).await;
    assert_eq!((played.bytes.len(), &played.bytes[44..]), (48, &[5, 0, 2, 0][..]));
    let original = world.get(part["original_url"].as_str().unwrap()).await;
    assert_eq!(original.bytes[..], wav[..]);
    assert_eq!(world.get(&format!("/api/calls/{call}/recording?channels=two")).await.problem().0, 422);
    assert_eq!(world.get(&format!("/api/calls/{call}/recording?number=3")).await.problem().0, 404);
    let events = world.get(&format!("/api/calls/{call}")).await.json()["events"].clone();
    let told = events.as_array().unwrap().iter().filter(|event| event["type"] == "call.recording");
    let told: Vec<_> =
        told.map(|event| (event["number"].as_u64().unwrap(), event["state"].as_str().unwrap())).collect();
    assert_eq!(told, [(1, "started"), (2, "started"), (2, "paused"), (2, "finished"), (1, "finished")]);
}

#[tokio::test]
async fn a_recording_is_read_whole_and_by_range_also_while_it_is_written() {
    let mut world = world("").await;
    let call = world.call().await;
    let path = format!("/api/calls/{call}/recording");
    assert_eq!(world.get(&path).await.problem().0, 404);
    let file = world.folder.path().join("r.wav");
    let state = |state| EventKind::Recording { part: first_part(), path: file.clone(), state, duration_ms: 0 };
    world.emit(call, state(RecordingState::Started)).await;
    world.until(async || world.get(&format!("/api/calls/{call}")).await.json()["recording"].is_object()).await;
    assert_eq!(world.get(&path).await.problem().0, 404, "the row exists, but the file does not");
    let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x02\0\x40\x1f\0\0\0\x7d\0\0\x04\0\x10\0data\0\0\0\0".to_vec();
    wav.extend((0..200_000u32).map(|n| n as u8));
    std::fs::write(&file, &wav).unwrap();
    let whole = world.get(&path).await;
    assert_eq!(whole.status, StatusCode::OK);
    assert_eq!(whole.headers[header::CONTENT_TYPE], "audio/wav");
    assert_eq!(whole.headers[header::ACCEPT_RANGES], "bytes");
    assert_eq!(whole.bytes.len(), wav.len());
    assert_eq!(whole.bytes[40..44], 200_000u32.to_le_bytes(), "the header covers all that is written so far");
    assert_eq!(whole.bytes[44..], wav[44..]);
    for (range, from, to) in [
        ("bytes=0-0", 0, 0),
        ("bytes=10-49", 10, 49),
        ("bytes=4090-4100", 4090, 4100),
        ("bytes=200000-", 200_000, 200_043),
        ("bytes=-7", 200_037, 200_043),
    ] {
        let request = world.request(Method::GET, &path).header(header::RANGE, range).body(Body::empty()).unwrap();
        let part = world.answer(request).await;
        assert_eq!(part.status, StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(part.headers[header::CONTENT_RANGE], format!("bytes {from}-{to}/200044"), "{range}");
        assert_eq!(part.bytes, whole.bytes[from..=to], "{range}");
    }
    let request = world.request(Method::GET, &path).header(header::RANGE, "bytes=200044-").body(Body::empty()).unwrap();
    let outside = world.answer(request).await;
    assert_eq!(outside.problem().0, 416);
    assert_eq!(outside.headers[header::CONTENT_RANGE], "bytes */200044");
}

#[tokio::test]
async fn health_needs_no_key() {
    let world = world("").await;
    let answer = world.answer(Request::get("/health").body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status, &answer.json()["status"]), (StatusCode::OK, &json!("ok")));
}
