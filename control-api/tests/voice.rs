//! Voice settings and records of calls, over the API, on SQLite and on PostgreSQL.
//!
//! Each test is a function of the database; the macro `on_both` at the end runs every one by itself on SQLite and all of them, one after
//! the other, on one PostgreSQL server. Covered: tenants, validation of input, transfer targets, caller identities and their rules,
//! proof of a number by a spoken code, capabilities that are switched off, idempotency keys, signed URLs of recordings and their audit,
//! paging, export, visibility for agents, transcripts and usage.
//!
//! Not here: calls and their events (`api.rs`), permissions (`access.rs`), and the real engine.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use control_api::auth::{NewAccount, Passwords, account_create};
use control_api::engine::translation::schedule::Level;
use control_api::engine::translation::{Hears, Listener};
use control_api::engine::{
    CallStatus, CallTarget, Callee, Command, CommandError, EventKind, HangupCause, NewCall, ProviderKind,
    ProviderState, RecordingState, Verb, call_uuid,
};
use control_api::store::{Assigned, By, Proof};
use serde_json::{Value, json};
use support::{Answer, Database, PASSWORD, World, first_part, words};
use tests::postgres::Postgres;
use uuid::Uuid;

/// An installation without rate limits: these tests send many requests with few credentials.
async fn unlimited(database: &Database) -> World {
    database.world("[limits]\ndefault = \"off\"\ncalls = \"off\"\nspeech = \"off\"\nconfiguration = \"off\"\n").await
}

async fn send_json(world: &World, method: Method, path: &str, body: Value) -> Answer {
    world.with_json(method, path, &body.to_string()).await
}

async fn create(world: &World, path: &str, body: Value) -> Value {
    let answer = send_json(world, Method::POST, path, body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{path} {answer:?}");
    answer.json()
}

fn id(value: &Value) -> String {
    value["id"].as_str().unwrap().to_owned()
}

/// Sends a request with the API key of the organization `other`.
async fn with_other_key(world: &World, method: Method, path: &str, body: &str) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::AUTHORIZATION, format!("Bearer {}", world.other_key))
        .header(header::CONTENT_TYPE, "application/json");
    world.answer(request.body(Body::from(body.to_owned())).unwrap()).await
}

/// Creates a call that has ended, with one translated segment and a recording of 1,000 bytes.
async fn recorded_call(world: &mut World) -> Uuid {
    let call = world.call().await;
    let path = world.folder.path().join(format!("{call}.wav"));
    std::fs::write(&path, (0..1_000).map(|n| (n % 251) as u8).collect::<Vec<u8>>()).unwrap();
    world.emit(call, words(1, "hello", true, Some("hola"))).await;
    for state in [RecordingState::Started, RecordingState::Finished] {
        world.emit(call, EventKind::Recording { part: first_part(), path: path.clone(), state, duration_ms: 5 }).await;
    }
    world.emit(call, EventKind::CallStatus { status: CallStatus::Ended, cause: Some(HangupCause::Normal) }).await;
    world.until(async || world.get(&format!("/api/calls/{call}")).await.json()["status"] == "ended").await;
    call
}

async fn another_organizations_records_get_the_same_404_as_missing_ones(database: &Database) {
    let mut world = unlimited(database).await;
    let call = recorded_call(&mut world).await.to_string();
    let target = id(&create(&world, "/api/voice/targets", json!({"name": "desk", "address": "+15555550100"})).await);
    let number = id(&create(&world, "/api/caller-id/numbers", json!({"number": "+15555550100"})).await);
    let rule = id(&create(&world, "/api/caller-id/rules", json!({"number_id": number})).await);
    let note = id(&create(&world, &format!("/api/calls/{call}/notes"), json!({"text": "secret"})).await);
    let text = r#"{"text": "x"}"#;
    let mut routes = vec![
        (Method::PATCH, format!("/api/voice/targets/{target}"), r#"{"name": "x"}"#),
        (Method::DELETE, format!("/api/voice/targets/{target}"), ""),
        (Method::PATCH, format!("/api/caller-id/numbers/{number}"), r#"{"label": "x"}"#),
        (Method::DELETE, format!("/api/caller-id/numbers/{number}"), ""),
        (Method::PATCH, format!("/api/caller-id/rules/{rule}"), r#"{"position": 9}"#),
        (Method::DELETE, format!("/api/caller-id/rules/{rule}"), ""),
        (Method::GET, format!("/api/recordings/{call}"), ""),
        (Method::POST, format!("/api/recordings/{call}/signed-url"), "{}"),
    ];
    for (method, tail, body) in [
        (Method::GET, "", ""),
        (Method::POST, "/hangup", ""),
        (Method::POST, "/say", text),
        (Method::GET, "/outcome", ""),
        (Method::PUT, "/outcome", r#"{"outcome": "lost"}"#),
        (Method::GET, "/notes", ""),
        (Method::POST, "/notes", text),
        (Method::GET, "/transcript", ""),
        (Method::GET, "/subtitles", ""),
        (Method::GET, "/recording", ""),
    ] {
        routes.push((method, format!("/api/calls/{call}{tail}"), body));
    }
    for method in [Method::PATCH, Method::DELETE] {
        routes.push((method, format!("/api/calls/{call}/notes/{note}"), text));
    }
    let missing = Uuid::now_v7().to_string();
    for (method, path, body) in &routes {
        let theirs = with_other_key(&world, method.clone(), path, body).await;
        assert_eq!(theirs.problem().0, 404, "{method} {path}");
        let known = [&call, &target, &number, &rule].into_iter().find(|id| path.contains(id.as_str())).unwrap();
        for other in [missing.as_str(), "..%2F..%2Fetc%2Fpasswd", "'%20OR%20'1'%3D'1", "%00", "0"] {
            let none = with_other_key(&world, method.clone(), &path.replace(known.as_str(), other), body).await;
            assert_eq!((none.status, &none.bytes), (theirs.status, &theirs.bytes), "{method} {path} {other}");
        }
    }
    let strange =
        with_other_key(&world, Method::POST, "/api/caller-id/rules", &json!({"number_id": number}).to_string()).await;
    assert_eq!(strange.problem(), (422, Some("number_id".into())));
    for (path, list) in [
        ("/api/calls", "calls"),
        ("/api/calls?q=hello", "calls"),
        ("/api/recordings", "recordings"),
        ("/api/voice/targets", "targets"),
        ("/api/caller-id/numbers", "numbers"),
        ("/api/caller-id/rules", "rules"),
        ("/api/usage", "days"),
    ] {
        let theirs = with_other_key(&world, Method::GET, path, "").await;
        assert_eq!(theirs.status, StatusCode::OK, "{path}");
        assert_eq!(theirs.json()[list], json!([]), "{path}");
        assert_ne!(world.get(path).await.json()[list], json!([]), "{path}");
    }
    // The records are unchanged.
    let notes = world.get(&format!("/api/calls/{call}/notes")).await.json();
    assert_eq!((notes["notes"].as_array().unwrap().len(), &notes["notes"][0]["text"]), (1, &json!("secret")));
    assert_eq!(world.get(&format!("/api/calls/{call}/outcome")).await.json(), json!({"outcome": null, "history": []}));
}

async fn invalid_fields_are_refused_by_name_and_change_nothing(database: &Database) {
    let mut world = unlimited(database).await;
    let call = recorded_call(&mut world).await;
    let number = id(&create(&world, "/api/caller-id/numbers", json!({"number": "+15555550100"})).await);
    let of = |tail: &str| format!("/api/calls/{call}{tail}");
    let long = "a".repeat(4_001);
    for (method, path, body, field) in [
        (Method::POST, "/api/voice/targets".to_owned(), json!({"name": "", "address": "+15555550100"}), "name"),
        (Method::POST, "/api/voice/targets".into(), json!({"name": "a\nb", "address": "+15555550100"}), "name"),
        (Method::POST, "/api/voice/targets".into(), json!({"name": "a", "address": "15555550100"}), "address"),
        (Method::POST, "/api/voice/targets".into(), json!({"name": "a", "address": "../../etc/passwd"}), "address"),
        (
            Method::POST,
            "/api/voice/targets".into(),
            json!({"name": "a", "address": "+15555550100", "organization_id": Uuid::now_v7()}),
            "organization_id",
        ),
        (Method::POST, "/api/caller-id/numbers".into(), json!({"number": "sip:a@b"}), "number"),
        (Method::POST, "/api/caller-id/numbers".into(), json!({"number": "+15555550101", "id": number}), "id"),
        (Method::POST, "/api/caller-id/rules".into(), json!({"number_id": Uuid::now_v7()}), "number_id"),
        (Method::POST, "/api/caller-id/rules".into(), json!({"number_id": "' OR 1=1"}), "number_id"),
        (Method::POST, "/api/caller-id/rules".into(), json!({"number_id": number, "agent": "zoe"}), "agent"),
        (
            Method::POST,
            "/api/caller-id/rules".into(),
            json!({"number_id": number, "destination_prefix": "34%"}),
            "destination_prefix",
        ),
        (Method::POST, "/api/caller-id/rules".into(), json!({"number_id": number, "position": -1}), "position"),
        (Method::PUT, "/api/call-capabilities".into(), json!({"record": "off"}), "record"),
        (Method::PUT, "/api/call-capabilities".into(), json!({"dial": false}), "dial"),
        // The detection is part of `config`; a conference is not a mode.
        (Method::POST, "/api/calls".into(), json!({"mode": "direct", "to": "+15555550100", "amd": true}), "amd"),
        (
            Method::POST,
            "/api/calls".into(),
            json!({"mode": "direct", "to": "+15555550100", "conference": "team"}),
            "conference",
        ),
        (
            Method::POST,
            "/api/calls".into(),
            json!({"mode": "direct", "to": "+15555550100", "config": {"amd": true}}),
            "config.amd",
        ),
        (Method::POST, "/api/calls".into(), json!({"mode": "conference", "to": "+15555550100"}), "mode"),
        (Method::PUT, "/api/voice/config".into(), json!({"amd": true}), "amd"),
        (Method::PUT, "/api/voice/config".into(), json!({"amd": {"mode": "slow"}}), "amd.mode"),
        (Method::PUT, "/api/voice/config".into(), json!({"amd": {"limit_s": 31}}), "amd.limit_s"),
        (
            Method::PUT,
            "/api/voice/config".into(),
            json!({"amd": {"actions": {"unknown": {"hang_up": {}}}}}),
            "amd.actions.unknown",
        ),
        (
            Method::PUT,
            "/api/voice/config".into(),
            json!({"amd": {"actions": {"ivr": {"reply": {"text": 5, "language": "en"}}}}}),
            "amd.actions.ivr.reply.text",
        ),
        (
            Method::PUT,
            "/api/voice/config".into(),
            json!({"amd": {"actions": {"machine": {"hang_up": {}, "connect": {}}}}}),
            "amd.actions.machine",
        ),
        (
            Method::PUT,
            "/api/voice/config".into(),
            json!({"amd": {"actions": {"machine": {"message": {"media": "Nothing"}}}}}),
            "amd.actions.machine.message.media",
        ),
        (
            Method::POST,
            "/api/calls".into(),
            json!({"mode": "direct", "to": "+15555550100",
                "config": {"amd": {"actions": {"ivr": {"reply": {"text": "Acme", "language": "english"}}}}}}),
            "config.amd.actions.ivr.reply.language",
        ),
        (
            Method::POST,
            "/api/calls".into(),
            json!({"mode": "direct", "to": "+15555550100",
                "config": {"amd": {"actions": {"machine": {"message": {"media": "Nothing"}}}}}}),
            "config.amd.actions.machine.message.media",
        ),
        (Method::PUT, "/api/voice/config".into(), json!({"conference": true}), "conference"),
        (Method::PUT, of("/outcome"), json!({"outcome": ""}), "outcome"),
        (Method::PUT, of("/outcome"), json!({"outcome": "a".repeat(51)}), "outcome"),
        (Method::PUT, of("/outcome"), json!({"outcome": "sale", "set_by": "boss"}), "set_by"),
        (Method::PUT, of("/outcome"), json!({"outcome": "sale", "note": "\u{7}"}), "note"),
        (Method::POST, of("/notes"), json!({"text": " "}), "text"),
        (Method::POST, of("/notes"), json!({"text": long}), "text"),
        (Method::POST, of("/notes"), json!({"text": "a", "author": "boss"}), "author"),
        (Method::POST, format!("/api/recordings/{call}/signed-url"), json!({"expires_in_s": 0}), "expires_in_s"),
        (Method::POST, format!("/api/recordings/{call}/signed-url"), json!({"expires_in_s": 604_801}), "expires_in_s"),
        (Method::POST, format!("/api/recordings/{call}/signed-url"), json!({"path": "/etc/passwd"}), "path"),
    ] {
        let answer = send_json(&world, method, &path, body.clone()).await;
        assert_eq!(answer.problem(), (422, Some(field.into())), "{path} {body}");
    }
    for (query, field) in [
        ("status=over", "status"),
        ("direction=up", "direction"),
        ("number=12a", "number"),
        ("number=%2B", "number"),
        ("from=yesterday", "from"),
        ("to=2026-13-01T00:00:00Z", "to"),
        ("limit=201", "limit"),
        ("cursor=x", "cursor"),
        ("agent=%00", "agent"),
        ("sort=up", "sort"),
    ] {
        let answer = world.get(&format!("/api/calls?{query}")).await;
        assert_eq!(answer.problem(), (422, Some(field.into())), "{query}");
    }
    for (path, field) in [
        ("/api/calls/export?format=xlsx", "format"),
        ("/api/usage?from=2026-1-1", "from"),
        ("/api/usage?from=2026-02-01&to=2026-01-01", "to"),
        ("/api/usage?from=2020-01-01&to=2026-01-01", "from"),
    ] {
        assert_eq!(world.get(path).await.problem(), (422, Some(field.into())), "{path}");
    }
    // Text that looks like SQL or a path is stored like any other.
    for text in ["'; DROP TABLE calls; --", "\" OR \"\"=\"", "../../etc/passwd", "%' AND 1=1 --", "$1", "\\", "{{7*7}}"]
    {
        let note = create(&world, &of("/notes"), json!({"text": text})).await;
        assert_eq!(note["text"], text);
        let set = send_json(&world, Method::PUT, &of("/outcome"), json!({"outcome": text, "note": text})).await.json();
        assert_eq!(set["outcome"], text);
        let target = create(&world, "/api/voice/targets", json!({"name": text, "address": "sip:a@b"})).await;
        assert_eq!(target["name"], text);
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        for filter in ["q", "agent", "outcome"] {
            let answer = world.get(&format!("/api/calls?{filter}={encoded}")).await;
            assert_eq!(answer.status, StatusCode::OK, "{filter} {text}");
            let expected = usize::from(filter == "outcome");
            assert_eq!(answer.json()["calls"].as_array().unwrap().len(), expected, "{filter} {text}");
        }
    }
}

async fn targets_numbers_and_rules_are_created_changed_and_deleted(database: &Database) {
    let world = unlimited(database).await;
    let target = create(&world, "/api/voice/targets", json!({"name": "desk", "address": "+15555550100"})).await;
    let path = format!("/api/voice/targets/{}", id(&target));
    let taken =
        send_json(&world, Method::POST, "/api/voice/targets", json!({"name": "desk", "address": "sip:a@b"})).await;
    assert_eq!(taken.problem().0, 409);
    let changed = send_json(&world, Method::PATCH, &path, json!({"address": "sip:desk@example.com"})).await.json();
    assert_eq!((&changed["name"], &changed["address"]), (&json!("desk"), &json!("sip:desk@example.com")));
    assert_eq!(world.get("/api/voice/targets").await.json()["targets"], json!([changed]));
    assert_eq!(world.with_json(Method::DELETE, &path, "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.with_json(Method::DELETE, &path, "").await.problem().0, 404);

    let number = create(&world, "/api/caller-id/numbers", json!({"number": "+15555550100", "label": "desk"})).await;
    assert_eq!((&number["proven_at"], &number["proven_by"]), (&Value::Null, &Value::Null));
    let body = r#"{"number": "+15555550100"}"#;
    assert_eq!(
        world.post("/api/caller-id/numbers", body).await.problem().0,
        409,
        "the organization lists the number already"
    );
    let theirs = with_other_key(&world, Method::POST, "/api/caller-id/numbers", body).await;
    assert_eq!(
        theirs.status,
        StatusCode::CREATED,
        "listing a number does not keep another organization from listing it"
    );
    let rule = json!({"number_id": id(&number), "agent": "anna", "destination_prefix": "+34"});
    let rule = create(&world, "/api/caller-id/rules", rule).await;
    let path = format!("/api/caller-id/rules/{}", id(&rule));
    let changed = send_json(&world, Method::PATCH, &path, json!({"agent": null, "position": 7})).await.json();
    assert_eq!((&changed["agent"], &changed["position"]), (&Value::Null, &json!(7)));
    assert_eq!(changed["destination_prefix"], "+34", "omitted fields do not change");
    let gone = world.with_json(Method::DELETE, &format!("/api/caller-id/numbers/{}", id(&number)), "").await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(world.get("/api/caller-id/rules").await.json()["rules"], json!([]));
}

async fn calls_use_only_caller_ids_that_the_rules_allow(database: &Database) {
    let mut world = unlimited(database).await;
    let listed = id(&create(&world, "/api/caller-id/numbers", json!({"number": "+15555550103"})).await);
    let first = assign_number(&world, "+15555550101").await;
    let second = assign_number(&world, "+34600000002").await;
    let call = |to: &str, from: Option<&str>, agent: Option<&str>| match agent {
        Some(agent) => json!({"mode": "bridge", "to": to, "from": from, "agent": agent}),
        None => json!({"mode": "direct", "to": to, "from": from}),
    };
    for (from, shown) in [
        (Some("+19998887777"), Err(())),
        (Some("+15555550103"), Err(())),
        (Some("sip:boss@bank.example"), Err(())),
        (Some("+15555550101"), Ok(Some("+15555550101"))),
        (None, Ok(None)),
    ] {
        let free = send_json(&world, Method::POST, "/api/calls", call("+34600000009", from, None)).await;
        match shown {
            Ok(shown) => {
                assert_eq!(free.status, StatusCode::CREATED, "{from:?}");
                let Some(Command::CallCreate(new)) = world.commands.recv().await else { panic!("no call") };
                assert_eq!(called_last(&new).from.as_deref(), shown);
            }
            Err(()) => {
                assert_eq!(
                    free.problem(),
                    (403, Some("from".into())),
                    "without rules only own proven numbers are allowed: {from:?}"
                )
            }
        }
    }
    create(&world, "/api/caller-id/rules", json!({"number_id": listed, "position": 0})).await;
    create(&world, "/api/caller-id/rules", json!({"number_id": second, "destination_prefix": "+34"})).await;
    create(&world, "/api/caller-id/rules", json!({"number_id": first, "agent": "anna"})).await;
    create(&world, "/api/caller-id/rules", json!({"number_id": first, "campaign": "spring"})).await;
    for (to, asked, agent, shown) in [
        ("+34600000009", None, None, Ok(Some("+34600000002"))),
        ("+34600000009", Some("+34600000002"), None, Ok(Some("+34600000002"))),
        ("+34600000009", Some("+15555550103"), None, Err(())),
        ("sip:%2B34-600000009@carrier.example", None, None, Ok(Some("+34600000002"))),
        ("+34600000009", Some("+15555550101"), None, Err(())),
        ("+34600000009", Some("+15555550101"), Some("anna"), Ok(Some("+15555550101"))),
        ("+15555550142", None, Some("anna"), Ok(Some("+15555550101"))),
        ("+15555550142", None, None, Ok(None)),
        ("+15555550142", Some("+15555550101"), Some("vera"), Err(())),
        ("+15555550142", Some("+19998887777"), Some("anna"), Err(())),
        ("112", Some("+19998887777"), None, Ok(Some("+19998887777"))),
    ] {
        let answer = send_json(&world, Method::POST, "/api/calls", call(to, asked, agent)).await;
        match shown {
            Ok(shown) => {
                assert_eq!(answer.status, StatusCode::CREATED, "{to} {asked:?} {agent:?} {answer:?}");
                let Some(Command::CallCreate(new)) = world.commands.recv().await else { panic!("no call") };
                assert_eq!(called_last(&new).from.as_deref(), shown, "{to} {asked:?} {agent:?}");
            }
            Err(()) => assert_eq!(answer.problem(), (403, Some("from".into())), "{to} {asked:?} {agent:?}"),
        }
    }
}

/// Returns the target that is called last: the second one, or the first if there is only one.
fn called_last(new: &NewCall) -> &CallTarget {
    new.second.as_ref().unwrap_or(&new.first)
}

/// Assigns `number` to acme as the operator and returns the id of the number.
async fn assign_number(world: &World, number: &str) -> String {
    let store = &world.state.store;
    let acme = store.organization_by_name("acme").await.unwrap().unwrap().id;
    match store.caller_id_number_assign(acme, number, &By::system("test")).await.unwrap() {
        Assigned::Done(number) => number.id.to_string(),
        Assigned::Elsewhere(_) => panic!("{number} belongs to another organization"),
    }
}

async fn a_disabled_capability_is_refused_by_name(database: &Database) {
    let mut world = unlimited(database).await;
    let all = world.get("/api/call-capabilities").await.json();
    assert!(all.as_object().unwrap().len() == 8 && all.as_object().unwrap().values().all(|on| on == true), "{all}");
    send_json(
        &world,
        Method::PUT,
        "/api/voice/config",
        json!({"record": true, "live_translate": true, "amd": {"mode": "balanced"}}),
    )
    .await;
    for (switch, config) in [
        ("record", json!({"record": true})),
        ("transcribe", json!({"transcribe": true})),
        ("translate", json!({"live_translate": true})),
        ("voice_to_voice", json!({"voice_to_voice": true})),
        ("amd", json!({"amd": {"mode": "fast"}})),
    ] {
        let off = send_json(&world, Method::PUT, "/api/call-capabilities", json!({switch: false})).await;
        assert_eq!((off.status, &off.json()[switch]), (StatusCode::OK, &json!(false)));
        let asked = json!({"mode": "direct", "to": "+15555550142", "config": config});
        let dial = send_json(&world, Method::POST, "/api/calls", asked).await;
        let configure = send_json(&world, Method::PUT, "/api/voice/config", config).await;
        for refused in [dial, configure] {
            assert_eq!(refused.problem().0, 403, "{switch}");
            assert_eq!(refused.json()["capability"], switch);
            assert!(refused.json()["detail"].as_str().unwrap().contains(switch));
        }
        // A disabled capability that only the voice configuration asks for is skipped without an error.
        let answer =
            send_json(&world, Method::POST, "/api/calls", json!({"mode": "direct", "to": "+15555550142"})).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{switch}");
        let Some(Command::CallCreate(new)) = world.commands.recv().await else { panic!("no call") };
        let settings = new.settings;
        assert_eq!((settings.record, settings.record_app), (switch != "record", switch != "record"));
        assert_eq!(settings.live_translate, !matches!(switch, "transcribe" | "translate"), "{switch}");
        assert_eq!(settings.amd.is_some(), switch != "amd");
        // The same holds for incoming calls.
        let incoming = EventKind::CallIncoming {
            from: "+15555550100".into(),
            to: "+15555550142".into(),
            trunk: Some("carrier".into()),
            agent: Some("anna".into()),
        };
        world.emit(Uuid::now_v7(), incoming).await;
        let Some(Command::CallProceed { settings, .. }) = world.commands.recv().await else { panic!("no call") };
        assert_eq!((settings.record, settings.record_app), (switch != "record", switch != "record"));
        send_json(&world, Method::PUT, "/api/call-capabilities", json!({switch: true})).await;
    }
    send_json(&world, Method::PUT, "/api/call-capabilities", json!({"api_dialing": false, "record": false})).await;
    let refused = send_json(&world, Method::POST, "/api/calls", json!({"mode": "direct", "to": "+15555550142"})).await;
    assert_eq!((refused.problem().0, &refused.json()["capability"]), (403, &json!("api_dialing")));
    let urgent = send_json(&world, Method::POST, "/api/calls", json!({"mode": "direct", "to": "112"})).await;
    assert_eq!(urgent.status, StatusCode::CREATED, "emergency calls are allowed");
}

async fn the_sides_of_a_call_listen_as_they_choose(database: &Database) {
    let mut world = unlimited(database).await;
    let config =
        json!({"live_translate": true, "voice_to_voice": true, "customer_hears": "translation", "budget_ms": 2_000});
    let put = send_json(&world, Method::PUT, "/api/voice/config", config).await.json();
    assert_eq!((&put["agent_hears"], &put["budget_ms"]), (&json!("ducked"), &json!(2_000)));
    assert_eq!(world.get("/api/voice/config").await.json(), put);
    let glossary = json!({"terms": [{"from": "en", "source": "meter", "to": "es", "target": "contador"}], "names": []});
    assert_eq!(send_json(&world, Method::PUT, "/api/glossary", glossary.clone()).await.json(), glossary);
    assert_eq!(world.get("/api/glossary").await.json(), glossary);
    let wrong = json!({"terms": [{"from": "en", "source": "meter", "to": "Spanish", "target": "contador"}]});
    let refused = send_json(&world, Method::PUT, "/api/glossary", wrong).await;
    assert_eq!(refused.problem(), (422, Some("terms[0].to".into())));
    let asked = json!({"mode": "direct", "to": "+15555550142", "config": {"agent_hears": "original"}});
    let call = send_json(&world, Method::POST, "/api/calls", asked).await.json()["id"].as_str().unwrap().to_owned();
    let Some(Command::CallCreate(new)) = world.commands.recv().await else { panic!("no call") };
    assert_eq!(new.settings.hears, [Hears::Translation, Hears::Original]);
    assert_eq!(new.settings.budget, Duration::from_secs(2));
    assert_eq!(new.settings.glossary.applied("The meter.", "en", "es"), "The contador.");

    let path = format!("/api/calls/{call}/listening");
    let changed =
        send_json(&world, Method::PATCH, &path, json!({"agent": {"language": "fr", "hears": "translation"}})).await;
    let agent = json!({"language": "fr", "hears": "translation", "level": "voice"});
    assert_eq!((changed.status, &changed.json()["agent"]), (StatusCode::OK, &agent));
    let sent = world.commands.recv().await;
    let Some(Command::CallVerb { verb: Verb::Listening([customer, agent]), .. }) = sent else { panic!("{sent:?}") };
    assert!(customer.is_empty() && agent.language.as_deref() == Some("fr"));
    assert_eq!(world.get(&path).await.json()["customer"]["language"], "en");
    for (body, field) in [
        (json!({}), "agent"),
        (json!({"agent": {}}), "agent"),
        (json!({"customer": {"language": "french language"}}), "customer.language"),
        (json!({"agent": {"hears": "quietly"}}), "agent.hears"),
        (json!({"supervisor": {"hears": "ducked"}}), "supervisor"),
    ] {
        let answer = send_json(&world, Method::PATCH, &path, body.clone()).await;
        assert_eq!(answer.problem(), (422, Some(field.into())), "{body}");
    }
    send_json(&world, Method::PUT, "/api/call-capabilities", json!({"voice_to_voice": false})).await;
    for (hears, status) in [("ducked", 403), ("translation", 403), ("original", 200)] {
        let answer = send_json(&world, Method::PATCH, &path, json!({"customer": {"hears": hears}})).await;
        assert_eq!(answer.status, status, "{hears}: {answer:?}");
    }
    *world.refuse.lock().unwrap() = Some(CommandError::Conflict("the call is not translated".into()));
    assert_eq!(world.get(&path).await.problem().0, 409);

    let id = call.parse().unwrap();
    let listener = |language: &str, level| Listener { language: language.into(), hears: Hears::Ducked, level };
    world.emit(id, EventKind::Listening([listener("en", Level::Voice), listener("es", Level::Text)])).await;
    let stored = async || {
        let events = world.get(&format!("/api/calls/{call}")).await.json()["events"].clone();
        events.as_array().unwrap().iter().find(|event| event["type"] == "call.listening").cloned()
    };
    world.until(async || stored().await.is_some()).await;
    assert_eq!(stored().await.unwrap()["agent"], json!({"language": "es", "hears": "ducked", "level": "text"}));
}

/// Answers and ends the verification call, checks the commands to the engine, and returns the spoken code of six digits.
async fn spoken_code(world: &mut World) -> String {
    let Some(Command::CallCreate(new)) = world.commands.recv().await else { panic!("no call") };
    let (NewCall { call, settings, .. }, to) = (&*new, Callee::Number("+15555550188".into()));
    assert_eq!((&new.first.to, settings.record, settings.record_app), (&to, false, false));
    let call = *call;
    let answered = EventKind::CallStatus { status: CallStatus::Answered, cause: None };
    world.emit(call_uuid(call), answered).await;
    let Some(Command::CallSay { text, .. }) = world.commands.recv().await else { panic!("no text is spoken") };
    let over = EventKind::CallStatus { status: CallStatus::Ended, cause: Some(HangupCause::Normal) };
    world.emit(call_uuid(call), over).await;
    assert!(matches!(world.commands.recv().await, Some(Command::CallHangup { .. })));
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    assert_eq!((digits.len(), &digits[..6]), (12, &digits[6..]), "the code is spoken twice: {text}");
    digits[..6].to_owned()
}

async fn a_number_is_proven_by_a_code_that_is_spoken_on_a_call_to_it(database: &Database) {
    let mut world = unlimited(database).await;
    let number = id(&create(&world, "/api/caller-id/numbers", json!({"number": "+15555550188"})).await);
    let (call, code) =
        (format!("/api/caller-id/numbers/{number}/call"), format!("/api/caller-id/numbers/{number}/code"));
    let typed = async |world: &World, text: &str| send_json(world, Method::POST, &code, json!({"code": text})).await;
    assert_eq!(world.post(&call, "").await.problem().0, 409, "no speech synthesis is available");
    let up = EventKind::Provider { kind: ProviderKind::Tts, name: "local".into(), state: ProviderState::Up };
    world.emit_global(up).await;
    world.until(async || !world.get("/api/providers").await.json()["providers"].as_array().unwrap().is_empty()).await;
    assert_eq!(typed(&world, "123456").await.problem().0, 409, "no code was spoken yet");
    assert_eq!(world.post(&call, "").await.status, StatusCode::ACCEPTED);
    let first = spoken_code(&mut world).await;
    for _ in 0..4 {
        let wrong = if first == "000000" { "000001" } else { "000000" };
        assert_eq!(typed(&world, wrong).await.problem(), (422, Some("code".into())));
    }
    assert_eq!(
        typed(&world, "12345").await.problem(),
        (422, Some("code".into())),
        "a malformed code does not count as a try"
    );
    let elsewhere = with_other_key(&world, Method::POST, &code, &json!({"code": first}).to_string()).await;
    assert_eq!(elsewhere.problem().0, 404);
    // The code of the second call replaces the first code.
    assert_eq!(world.post(&call, "").await.status, StatusCode::ACCEPTED);
    let second = spoken_code(&mut world).await;
    if second != first {
        assert_eq!(typed(&world, &first).await.problem().0, 422);
    }
    let proven = typed(&world, &second).await;
    assert_eq!((proven.status, &proven.json()["proven_by"]), (StatusCode::OK, &json!("code")), "{proven:?}");
    assert_eq!(world.post(&call, "").await.problem().0, 409, "the number is proven already");
    assert_eq!(world.get("/api/calls").await.json()["calls"], json!([]), "verification calls are not listed");
    // Another organization that lists the number gets neither a call nor a proof.
    let theirs = with_other_key(&world, Method::POST, "/api/caller-id/numbers", r#"{"number": "+15555550188"}"#).await;
    let theirs = format!("/api/caller-id/numbers/{}/call", id(&theirs.json()));
    assert_eq!(with_other_key(&world, Method::POST, &theirs, "").await.problem().0, 409);
    // A number is called three times a day at most, whoever lists it.
    assert_eq!(world.with_json(Method::DELETE, &format!("/api/caller-id/numbers/{number}"), "").await.status, 204);
    for expected in [202, 429] {
        assert_eq!(with_other_key(&world, Method::POST, &theirs, "").await.status, expected);
        if expected == 202 {
            spoken_code(&mut world).await;
        }
    }
}

async fn a_call_to_a_proven_number_belongs_to_the_organization_of_the_number(database: &Database) {
    let mut world = unlimited(database).await;
    for number in ["+15555550177", "+15555550179"] {
        with_other_key(&world, Method::POST, "/api/caller-id/numbers", &json!({"number": number}).to_string()).await;
    }
    let other = world.state.store.organization_by_name("other").await.unwrap().unwrap().id;
    let assigned = world.state.store.caller_id_number_assign(other, "+15555550177", &By::system("test")).await.unwrap();
    assert!(matches!(assigned, Assigned::Done(number) if number.proven_by == Some(Proof::Operator)));
    for (to, theirs) in [
        ("+15555550179", false),
        ("+15555550177", true),
        ("15555550177", true),
        ("+15555550178", false),
        ("100", false),
    ] {
        let call = Uuid::now_v7();
        let from = "+15555550100".to_owned();
        world.emit(call, EventKind::CallIncoming { from, to: to.into(), trunk: Some("t".into()), agent: None }).await;
        assert!(matches!(world.commands.recv().await, Some(Command::CallProceed { .. })));
        let path = format!("/api/calls/{call}");
        world
            .until(async || {
                let (ours, other) = (world.get(&path).await, with_other_key(&world, Method::GET, &path, "").await);
                [&ours, &other].into_iter().any(|answer| answer.status == StatusCode::OK)
            })
            .await;
        let seen = with_other_key(&world, Method::GET, &path, "").await.status;
        assert_eq!(seen == StatusCode::OK, theirs, "{to}");
    }
}

async fn post_with_idempotency_key(world: &World, path: &str, key: &str, body: &str) -> Answer {
    let request = world.request(Method::POST, path).header(header::CONTENT_TYPE, "application/json");
    world.answer(request.header("Idempotency-Key", key).body(Body::from(body.to_owned())).unwrap()).await
}

async fn a_repeated_idempotency_key_replays_the_first_answer(database: &Database) {
    let mut world = unlimited(database).await;
    let body = r#"{"mode": "direct", "to": "+15555550142"}"#;
    let first = post_with_idempotency_key(&world, "/api/calls", "one", body).await;
    assert_eq!((first.status, first.headers.get("idempotent-replayed")), (StatusCode::CREATED, None));
    let again = post_with_idempotency_key(&world, "/api/calls", "one", body).await;
    assert_eq!((again.status, &again.bytes), (first.status, &first.bytes));
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(again.headers[header::LOCATION], first.headers[header::LOCATION]);
    let other =
        post_with_idempotency_key(&world, "/api/calls", "one", r#"{"mode": "direct", "to": "+15555550143"}"#).await;
    assert_eq!(other.problem(), (422, Some("Idempotency-Key".into())));
    assert!(matches!(world.commands.recv().await, Some(Command::CallCreate(_))));
    assert!(world.commands.try_recv().is_err(), "one call");
    // The same key on another path is a separate request.
    let call = first.json()["id"].as_str().unwrap().to_owned();
    let elsewhere = post_with_idempotency_key(&world, &format!("/api/calls/{call}/say"), "one", body).await;
    assert_eq!(elsewhere.problem().0, 422);
    for _ in 0..2 {
        let said =
            post_with_idempotency_key(&world, &format!("/api/calls/{call}/say"), "two", r#"{"text": "hola"}"#).await;
        assert_eq!(said.status, StatusCode::ACCEPTED);
    }
    assert!(matches!(world.commands.recv().await, Some(Command::CallSay { .. })));
    assert!(world.commands.try_recv().is_err(), "said once");
    // Idempotency keys belong to one organization.
    let request = Request::post("/api/calls").header(header::AUTHORIZATION, format!("Bearer {}", world.other_key));
    let request = request.header(header::CONTENT_TYPE, "application/json").header("Idempotency-Key", "one");
    let theirs = world.answer(request.body(Body::from(body)).unwrap()).await;
    assert_eq!((theirs.status, theirs.headers.get("idempotent-replayed")), (StatusCode::CREATED, None));
    world.commands.recv().await.unwrap();
    for key in ["", "ключ", "a\tb", &"k".repeat(256)] {
        let answer = post_with_idempotency_key(&world, "/api/calls", key, body).await;
        assert_eq!(answer.problem(), (422, Some("Idempotency-Key".into())), "{key:?}");
    }
}

async fn concurrent_requests_with_one_idempotency_key_make_one_call(database: &Database) {
    let mut world = unlimited(database).await;
    let body = r#"{"mode": "direct", "to": "+15555550142"}"#;
    let answers =
        futures_util::future::join_all((0..6).map(|_| post_with_idempotency_key(&world, "/api/calls", "k", body)))
            .await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::CREATED), "{answers:?}");
    assert!(answers.iter().all(|answer| answer.bytes == answers[0].bytes));
    let replayed = answers.iter().filter(|answer| answer.headers.contains_key("idempotent-replayed")).count();
    assert_eq!(replayed, 5);
    assert!(matches!(world.commands.recv().await, Some(Command::CallCreate(_))));
    assert!(world.commands.try_recv().is_err());
    assert_eq!(world.get("/api/calls").await.json()["calls"].as_array().unwrap().len(), 1);
}

async fn a_refused_request_does_not_use_up_its_idempotency_key(database: &Database) {
    let mut world = unlimited(database).await;
    let body = r#"{"mode": "direct", "to": "+15555550142"}"#;
    *world.refuse.lock().unwrap() = Some(CommandError::Busy("draining"));
    assert_eq!(post_with_idempotency_key(&world, "/api/calls", "k", body).await.problem().0, 503);
    world.commands.recv().await.unwrap();
    let again = post_with_idempotency_key(&world, "/api/calls", "k", body).await;
    assert_eq!((again.status, again.headers.get("idempotent-replayed")), (StatusCode::CREATED, None));
    assert_eq!(
        post_with_idempotency_key(&world, "/api/calls", "j", r#"{"mode": "direct", "to": "x"}"#).await.problem().0,
        422
    );
    assert_eq!(post_with_idempotency_key(&world, "/api/calls", "j", body).await.status, StatusCode::CREATED);
}

async fn a_signed_url_opens_one_recording_until_it_expires(database: &Database) {
    let mut world = unlimited(database).await;
    let (call, other) = (recorded_call(&mut world).await, recorded_call(&mut world).await);
    let sign = async |call: Uuid, seconds: u32| {
        let path = format!("/api/recordings/{call}/signed-url");
        let url = create(&world, &path, json!({"expires_in_s": seconds})).await["url"].as_str().unwrap().to_owned();
        url[url.find("/api/").unwrap()..].to_owned()
    };
    let open = async |path: &str, range: Option<&str>| {
        let mut request = Request::get(path);
        if let Some(range) = range {
            request = request.header(header::RANGE, range);
        }
        world.answer(request.body(Body::empty()).unwrap()).await
    };
    let url = sign(call, 60).await;
    let whole = open(&url, None).await;
    assert_eq!((whole.status, whole.bytes.len()), (StatusCode::OK, 1_000));
    let part = open(&url, Some("bytes=100-199")).await;
    assert_eq!((part.status, &part.bytes[..]), (StatusCode::PARTIAL_CONTENT, &whole.bytes[100..200]));
    assert_eq!(open(&url, Some("bytes=2000-")).await.status, StatusCode::RANGE_NOT_SATISFIABLE);
    let signature = url.rsplit('=').next().unwrap();
    let expires: i64 = url.split("expires=").nth(1).unwrap().split('&').next().unwrap().parse().unwrap();
    let by = url.split("by=").nth(1).unwrap().split('&').next().unwrap();
    let of = |call: &str, expires: &str, signature: &str| {
        format!("/api/recordings/{call}/audio?expires={expires}&by={by}&signature={signature}")
    };
    let (this, until) = (call.to_string(), expires.to_string());
    let flipped = format!("{}{}", if signature.starts_with('0') { '1' } else { '0' }, &signature[1..]);
    let refused = open(&of(&this, &until, &flipped), None).await;
    assert_eq!(refused.problem().0, 403);
    for altered in [
        of(&other.to_string(), &until, signature),
        of(&Uuid::now_v7().to_string(), &until, signature),
        of("..%2Fx", &until, signature),
        of(&this, &(expires + 1).to_string(), signature),
        of(&this, "x", signature),
        url.replace(by, "user:somebody"),
        url.replace("by=", "by=x"),
        of(&this, &until, ""),
        of(&this, &until, &signature.to_uppercase()),
        format!("/api/recordings/{this}/audio"),
        sign(other, 60).await.replace(&other.to_string(), &this),
    ] {
        let answer = open(&altered, None).await;
        assert_eq!((answer.status, &answer.bytes), (refused.status, &refused.bytes), "{altered}");
    }
    // A URL that is signed for one second expires.
    let brief = sign(call, 1).await;
    world.until(async || open(&brief, None).await.status == StatusCode::FORBIDDEN).await;
    let listed = world.get("/api/recordings").await.json();
    assert_eq!(listed["recordings"].as_array().unwrap().len(), 2);
    assert_eq!(world.get(&format!("/api/recordings/{call}")).await.json()["state"], "finished");
}

/// Returns the audit rows about reads of a recording, newest first.
async fn reads(world: &World, call: Uuid) -> Vec<Value> {
    let log = world.get(&format!("/api/audit-logs?action=recording.read&target=call:{call}&limit=200")).await.json();
    log["audit_logs"].as_array().unwrap().clone()
}

async fn a_playback_is_audited_once_whichever_ranges_it_reads(database: &Database) {
    let mut world = unlimited(database).await;
    let call = recorded_call(&mut world).await;
    let path = world.folder.path().join(format!("{call}.wav"));
    std::fs::write(&path, vec![1; 200_000]).unwrap();
    let audio = format!("/api/calls/{call}/recording");
    let ranged = |request: axum::http::request::Builder, first: usize| {
        request.header(header::RANGE, format!("bytes={first}-{}", first + 99)).body(Body::empty()).unwrap()
    };
    let outside = world.answer(ranged(world.request(Method::GET, &audio), 900_000)).await;
    assert_eq!(outside.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(reads(&world, call).await, Vec::<Value>::new(), "no audio was sent");
    // Players seek to the middle, the beginning and the end, with several requests at once.
    let seeks =
        (0..100).map(|n| world.answer(ranged(world.request(Method::GET, &audio), (n * 7_919 + 100_000) % 199_000)));
    let answers = futures_util::future::join_all(seeks).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::PARTIAL_CONTENT));
    assert_eq!(world.get(&audio).await.status, StatusCode::OK);
    let rows = reads(&world, call).await;
    assert_eq!((rows.len(), &rows[0]["actor"]["kind"]), (1, &json!("key")), "{rows:?}");
    // Playback by another person and by a signed URL is audited separately.
    let anna = world.sign_in("anna@example.com").await;
    let sign =
        world.with_browser(&anna, Method::POST, &format!("/api/recordings/{call}/signed-url"), "{}").await.json();
    let url = sign["url"].as_str().unwrap();
    let link = &url[url.find("/api/").unwrap()..];
    for _ in 0..3 {
        let by_anna = Request::get(&audio).header(header::COOKIE, &anna.cookie);
        assert_eq!(world.answer(ranged(by_anna, 5_000)).await.status, StatusCode::PARTIAL_CONTENT);
        assert_eq!(world.answer(ranged(Request::get(link), 6_000)).await.status, StatusCode::PARTIAL_CONTENT);
    }
    let rows = reads(&world, call).await;
    assert_eq!(rows.len(), 3, "{rows:?}");
    assert_eq!(rows[1]["actor"]["name"], "anna@example.com");
    assert_eq!((&rows[0]["actor"]["kind"], &rows[0]["actor"]["name"]), (&json!("system"), &json!("signed URL")));
    assert_eq!(rows[0]["after"]["signed_by"], format!("user:{}", rows[1]["actor"]["id"].as_str().unwrap()));
    assert!(rows[0]["address"].is_string() && rows[0]["request_id"].is_string(), "{}", rows[0]);
}

async fn only_requests_with_a_bad_signature_count_against_the_rate_limit(database: &Database) {
    // Requests with the key of acme are not limited, requests from an address are.
    let limits = "[limits]\ndefault = \"20/1440min\"\n[[limits.organizations]]\nid = \"{acme}\"\ndefault = \"off\"\n";
    let mut world = database.world(limits).await;
    let call = recorded_call(&mut world).await;
    let url = create(&world, &format!("/api/recordings/{call}/signed-url"), json!({})).await["url"].clone();
    let url = &url.as_str().unwrap()[url.as_str().unwrap().find("/api/").unwrap()..];
    let open = async |path: &str| world.answer(Request::get(path).body(Body::empty()).unwrap()).await;
    for _ in 0..50 {
        let answer = open(url).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(!answer.headers.contains_key("x-ratelimit-limit"));
    }
    let bad = url.replace("by=key", "by=user");
    for left in (0..20).rev() {
        let answer = open(&bad).await;
        assert_eq!(answer.problem().0, 403);
        assert_eq!(answer.headers["x-ratelimit-remaining"], left.to_string());
    }
    let refused = open(&bad).await;
    assert_eq!(refused.problem().0, 429);
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(open(url).await.status, StatusCode::OK, "a valid signature is served even then");
}

async fn lists_are_paged_by_their_own_cursors_only(database: &Database) {
    let mut world = unlimited(database).await;
    let mut calls = Vec::new();
    for _ in 0..7 {
        calls.push(world.call().await);
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.get(&format!("/api/calls?limit=2{cursor}")).await.json();
        seen.extend(page["calls"].as_array().unwrap().iter().map(id));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
        world.call().await;
    }
    let expected: Vec<String> = calls.iter().rev().map(Uuid::to_string).collect();
    assert_eq!(seen, expected, "new calls do not shift the pages");
    for wrong in [format!("/api/calls?limit=2&status=queued{cursor}"), format!("/api/recordings?limit=2{cursor}")] {
        assert_eq!(world.get(&wrong).await.problem(), (422, Some("cursor".into())), "{wrong}");
    }
    let theirs = with_other_key(&world, Method::GET, &format!("/api/calls?limit=2{cursor}"), "").await;
    assert_eq!(theirs.problem(), (422, Some("cursor".into())));
}

async fn an_export_has_every_call_and_escapes_formulas(database: &Database) {
    let mut world = unlimited(database).await;
    let call = recorded_call(&mut world).await;
    for _ in 0..3 {
        world.call().await;
    }
    let outcome = "=HYPERLINK(\"http://evil\",\"x\")";
    send_json(&world, Method::PUT, &format!("/api/calls/{call}/outcome"), json!({"outcome": outcome})).await;
    let csv = world.get("/api/calls/export?format=csv").await;
    assert_eq!(csv.headers[header::CONTENT_TYPE], "text/csv; charset=utf-8");
    assert!(csv.headers[header::CONTENT_DISPOSITION].to_str().unwrap().contains("calls.csv"));
    let text = String::from_utf8(csv.bytes).unwrap();
    assert_eq!(text.lines().count(), 5, "{text}");
    assert!(text.contains("\"'=HYPERLINK(\"\"http://evil\"\",\"\"x\"\")\""), "{text}");
    assert!(text.contains(",'+15555550142,") && !text.contains(",+"), "{text}");
    let all: Vec<Value> = serde_json::from_slice(&world.get("/api/calls/export?format=json").await.bytes).unwrap();
    assert_eq!(all.len(), 4);
    let some: Vec<Value> =
        serde_json::from_slice(&world.get("/api/calls/export?format=json&q=hola").await.bytes).unwrap();
    assert_eq!((some.len(), &some[0]["outcome"]), (1, &json!(outcome)));
    let none = with_other_key(&world, Method::GET, "/api/calls/export?format=json", "").await;
    assert_eq!(none.json(), json!([]));
}

async fn an_agent_sees_only_own_calls_and_recordings(database: &Database) {
    let mut world = unlimited(database).await;
    let account = NewAccount {
        organization: "acme".into(),
        email: "ben@example.com".into(),
        name: "Ben".into(),
        role: control_api::store::Role::Agent,
        sip_name: "ben".into(),
        password: Some(PASSWORD.into()),
    };
    account_create(&world.state.store, &Passwords::new(), account).await.unwrap();
    let login = json!({"email": "ben@example.com", "password": PASSWORD}).to_string();
    let request = Request::post("/api/auth/login").header(header::CONTENT_TYPE, "application/json");
    let answer = world.answer(request.body(Body::from(login)).unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let cookies = answer.headers.get_all(header::SET_COOKIE).iter();
    let cookie = cookies.map(|value| value.to_str().unwrap().split(';').next().unwrap()).collect::<Vec<_>>().join("; ");
    let get = async |path: &str| {
        world.answer(Request::get(path).header(header::COOKIE, &cookie).body(Body::empty()).unwrap()).await
    };
    let mine = create(&world, "/api/calls", json!({"mode": "bridge", "to": "+15555550142", "agent": "ben"})).await;
    let annas = create(&world, "/api/calls", json!({"mode": "bridge", "to": "+15555550142", "agent": "anna"})).await;
    let listed = get("/api/calls").await.json();
    assert_eq!(listed["calls"].as_array().unwrap().iter().map(id).collect::<Vec<_>>(), [id(&mine)]);
    assert_eq!(get("/api/calls?agent=anna").await.json()["calls"], json!([]));
    for tail in ["", "/notes", "/outcome", "/transcript", "/subtitles", "/translations", "/recording", "/trace"] {
        let theirs = get(&format!("/api/calls/{}{tail}", id(&annas))).await;
        assert_eq!(theirs.problem().0, 404, "{tail}");
        let none = get(&format!("/api/calls/{}{tail}", Uuid::now_v7())).await;
        assert_eq!(theirs.bytes, none.bytes, "{tail}");
    }
    assert_eq!(get(&format!("/api/calls/{}", id(&mine))).await.status, StatusCode::OK);
    assert_eq!(get("/api/recordings").await.json()["recordings"], json!([]));
    assert_eq!(get("/api/calls/export").await.problem().0, 403);
    assert_eq!(get("/api/usage").await.problem().0, 403);
    for _ in 0..2 {
        world.commands.recv().await.unwrap();
    }
}

async fn a_transcript_has_each_segment_with_its_translation(database: &Database) {
    let mut world = unlimited(database).await;
    let call = recorded_call(&mut world).await;
    let shown = world.get(&format!("/api/calls/{call}/transcript")).await.json();
    let segment = &shown["segments"][0];
    assert_eq!((&segment["text"], &segment["translation"]), (&json!("hello"), &json!("hola")));
    assert_eq!(
        (&segment["version"], &segment["source"], &segment["leg"]),
        (&json!(1), &json!("live"), &json!("customer"))
    );
    let subtitles = async |query: &str| world.get(&format!("/api/calls/{call}/subtitles{query}")).await;
    let spanish = subtitles("?language=es&format=srt").await;
    assert!(spanish.headers["content-type"].to_str().unwrap().starts_with("application/x-subrip"));
    let text = |answer: support::Answer| String::from_utf8(answer.bytes).unwrap();
    let spanish = text(spanish);
    assert!(spanish.starts_with("1\n") && spanish.contains("Customer: hola\n"), "{spanish}");
    assert!(text(subtitles("").await).contains("<v Customer>hello\n"));
    for (query, field) in [("?format=txt", "format"), ("?language=en_US", "language")] {
        assert_eq!(subtitles(query).await.problem(), (422, Some(field.into())));
    }
    let usage = world.get("/api/usage").await.json();
    assert_eq!((&usage["total"]["calls_outbound"], &usage["total"]["segments_translated"]), (&json!(1), &json!(1)));
}

/// Runs the tests on both databases: each by itself on SQLite, all of them in turn on one PostgreSQL server.
macro_rules! on_both {
    ($($test:ident,)*) => {
        mod sqlite {
            use super::support::Database;

            $(#[tokio::test]
            async fn $test() {
                super::$test(&Database::Sqlite).await;
            })*
        }

        #[tokio::test]
        async fn all_tests_of_this_file_pass_on_postgresql() {
            let database = Database::Postgres(Postgres::start().await);
            $(println!("{}", stringify!($test));
            $test(&database).await;)*
            if let Database::Postgres(postgres) = database {
                postgres.stop().await;
            }
        }
    };
}

on_both! {
    another_organizations_records_get_the_same_404_as_missing_ones,
    invalid_fields_are_refused_by_name_and_change_nothing,
    targets_numbers_and_rules_are_created_changed_and_deleted,
    calls_use_only_caller_ids_that_the_rules_allow,
    a_disabled_capability_is_refused_by_name,
    the_sides_of_a_call_listen_as_they_choose,
    a_call_to_a_proven_number_belongs_to_the_organization_of_the_number,
    a_number_is_proven_by_a_code_that_is_spoken_on_a_call_to_it,
    a_repeated_idempotency_key_replays_the_first_answer,
    concurrent_requests_with_one_idempotency_key_make_one_call,
    a_refused_request_does_not_use_up_its_idempotency_key,
    a_signed_url_opens_one_recording_until_it_expires,
    a_playback_is_audited_once_whichever_ranges_it_reads,
    only_requests_with_a_bad_signature_count_against_the_rate_limit,
    lists_are_paged_by_their_own_cursors_only,
    an_export_has_every_call_and_escapes_formulas,
    an_agent_sees_only_own_calls_and_recordings,
    a_transcript_has_each_segment_with_its_translation,
}
