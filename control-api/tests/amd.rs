//! Detection of what answers a customer's leg: its configuration on the way to the engine, and its news on the way back.
//!
//! Each test is a function of the database; the macro `on_both` at the end runs every one by itself on SQLite and all of them, one after
//! the other, on one PostgreSQL server. Covered: settings of calls by the API and by agents, actions, events, records, rights of
//! listeners, and a server that was killed.
//!
//! Not here: the detection itself (`media-engine`), problems of single fields (`voice.rs`, `tenant::amd`), and the switch of the
//! capability (`voice.rs`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use control_api::engine::{
    AmdAction, AmdEvidence, AmdFeature, AmdMode, AmdNews, AmdPhrase, AmdSettings, AmdStrip, AmdVerdict, Answer,
    CallStatus, Command, EventKind, HangupCause, LegId, LegRole, LegState, MessageAfter, MessageEnd, SampleRate, Sound,
};
use control_api::store::Role;
use serde_json::{Value, json};
use support::{Database, SseReader, World};
use tests::postgres::Postgres;
use uuid::Uuid;

async fn put(world: &World, amd: Value) -> Value {
    let answer = world.with_json(Method::PUT, "/api/voice/config", &json!({"amd": amd}).to_string()).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()["amd"].clone()
}

/// Starts a call and returns its id with the settings that the engine gets.
async fn dial(world: &mut World, body: Value) -> (Uuid, Option<AmdSettings>) {
    let answer = world.post("/api/calls", &body.to_string()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let Some(Command::CallCreate(new)) = world.commands.recv().await else { panic!("no call") };
    (answer.json()["id"].as_str().unwrap().parse().unwrap(), new.settings.amd.map(|amd| *amd))
}

/// Lets a call arrive, or be dialled by `anna` if it comes from no trunk, and returns the settings that the engine gets.
async fn arrive(world: &mut World, to: &str, trunk: Option<&str>) -> Option<AmdSettings> {
    let (from, to, trunk) = ("+15555550100".to_owned(), to.to_owned(), trunk.map(str::to_owned));
    world.emit(Uuid::now_v7(), EventKind::CallIncoming { from, to, trunk, agent: Some("anna".into()) }).await;
    let Some(Command::CallProceed { settings, .. }) = world.commands.recv().await else { panic!("no call") };
    settings.amd.map(|amd| *amd)
}

async fn a_customers_leg_is_detected_as_configured_unless_urgent_or_incoming(database: &Database) {
    let mut world = database.world("").await;
    let call = |to: &str, config: Value| json!({"mode": "direct", "to": to, "app": "echo", "config": config});
    assert_eq!(dial(&mut world, call("+15555550142", json!({}))).await.1, None, "by default nothing is detected");
    let shown = put(&world, json!({"mode": "balanced", "actions": {"ivr": {"hang_up": {}}}})).await;
    assert_eq!(shown, json!({"mode": "balanced", "limit_s": 10, "actions": {"ivr": {"hang_up": {}}}}));
    let (id, amd) = dial(&mut world, call("+15555550142", json!({}))).await;
    let amd = amd.unwrap();
    assert_eq!((amd.mode, amd.limit), (AmdMode::Balanced, Duration::from_secs(10)));
    for (answer, action) in [
        (Answer::Machine, AmdAction::HangUp),
        (Answer::Ivr, AmdAction::HangUp),
        (Answer::Human, AmdAction::Connect),
        (Answer::Unknown, AmdAction::Connect),
    ] {
        assert_eq!(*amd.action(answer), action, "{answer:?}");
    }
    assert_eq!(world.get(&format!("/api/calls/{id}")).await.json()["config"]["amd"], shown);
    // A call's own configuration changes only what it names.
    let own = json!({"amd": {"mode": "fast", "limit_s": 3, "actions": {"ivr": null, "silence": {"retry_later": {}}}}});
    let amd = dial(&mut world, call("+15555550142", own)).await.1.unwrap();
    assert_eq!((amd.mode, amd.limit), (AmdMode::Fast, Duration::from_secs(3)));
    assert_eq!((amd.action(Answer::Ivr), amd.action(Answer::Silence)), (&AmdAction::Connect, &AmdAction::RetryLater));
    assert_eq!(dial(&mut world, call("+15555550142", json!({"amd": {"mode": "off"}}))).await.1, None);
    assert_eq!(dial(&mut world, call("112", json!({"amd": {"mode": "careful"}}))).await.1, None, "an emergency call");
    // Calls that an agent dials, and calls from a trunk.
    let by_agent = arrive(&mut world, "+15555550142", None).await.unwrap();
    assert_eq!((by_agent.mode, by_agent.action(Answer::Ivr)), (AmdMode::Balanced, &AmdAction::HangUp));
    assert_eq!(arrive(&mut world, "112", None).await, None, "an emergency call of an agent");
    assert_eq!(arrive(&mut world, "100", Some("carrier")).await, None, "an incoming call");
}

async fn actions_reach_the_engine_as_sounds_and_programs_with_one_host(database: &Database) {
    let mut world = database.world("").await;
    let text = |text: &str| json!({"text": text, "language": "en"});
    put(
        &world,
        json!({"mode": "careful", "actions": {
            "screening": {"reply": text("Acme, about your order.")},
            "human": {"transfer": {"targets": [{"agent": "anna"}, {"to": "+15555550143"}], "ring_s": 15}},
            "fax": {"program": [{"hangup": {"cause": "rejected"}}]},
        }}),
    )
    .await;
    let amd = dial(&mut world, json!({"mode": "direct", "to": "+15555550142", "app": "echo"})).await.1.unwrap();
    let reply = Sound::Speech { text: "Acme, about your order.".into(), language: "en".into() };
    assert_eq!(*amd.action(Answer::Screening), AmdAction::Reply(reply));
    let program = |answer| match amd.action(answer) {
        AmdAction::Program { name, program } => (*name, program.clone()),
        other => panic!("{other:?}"),
    };
    let ((transfer, first), (other, second)) = (program(Answer::Human), program(Answer::Fax));
    assert_eq!((transfer, other), ("transfer", "program"));
    assert_eq!(first.host, second.host);
    assert_ne!(first.start.program, second.start.program);
}

async fn a_message_is_left_with_a_sound_that_the_organization_has(database: &Database) {
    let mut world = database.world("").await;
    let message = json!({"actions": {"machine": {"message": {
        "media": "Callback", "beep_s": 12, "person": {"targets": [{"agent": "anna"}]}, "sentence": {"text": "Sorry.", "language": "en"},
    }}}});
    let refused = world.with_json(Method::PUT, "/api/voice/config", &json!({"amd": message}).to_string()).await;
    assert_eq!(refused.problem(), (422, Some("amd.actions.machine.message.media".into())));
    let path = world.folder.path().join("callback.wav");
    tests::sound::write_wav(&path, SampleRate::HZ_8000, &[1_000; 8_000]);
    let wav = std::fs::read(path).unwrap();
    let request = world.request(Method::POST, "/api/media?name=Callback").header(header::CONTENT_TYPE, "audio/wav");
    assert_eq!(world.answer(request.body(Body::from(wav)).unwrap()).await.status, StatusCode::CREATED);
    let shown = put(&world, message.clone()).await;
    assert_eq!(shown["actions"], message["actions"]);
    put(&world, json!({"mode": "balanced"})).await;
    let amd = dial(&mut world, json!({"mode": "direct", "to": "+15555550142", "app": "echo"})).await.1.unwrap();
    let action = amd.action(Answer::Machine);
    assert_eq!(action.as_str(), "message");
    assert!(matches!(action, AmdAction::Program { .. }));
}

fn leg(leg: u64, role: LegRole, agent: Option<&str>) -> EventKind {
    let (peer, agent) = (agent.unwrap_or("+15555550142").to_owned(), agent.map(str::to_owned));
    EventKind::Leg { leg: LegId(leg), role, state: LegState::Answered, peer, agent, codec: Some("PCMU"), ending: None }
}

fn amd(news: AmdNews) -> EventKind {
    EventKind::Amd { leg: LegId(2), role: LegRole::Customer, news }
}

fn verdict(verdict: Answer, decided_at_ms: u64, action: &str) -> AmdVerdict {
    let evidence = AmdEvidence {
        ground: "sound".into(),
        hz: Vec::new(),
        speech: vec![(320, 1_900), (2_250, 4_200)],
        line: None,
        phrases: vec![AmdPhrase { phrase: "leave a message".into(), probability: 0.75 }],
        features: vec![
            AmdFeature { name: "speech_share".into(), value: 0.81, weight: -1.25 },
            AmdFeature { name: "longest_pause".into(), value: 0.35, weight: 0.5 },
        ],
    };
    AmdVerdict { verdict, probability: 0.97, decided_at_ms, action: action.into(), evidence }
}

fn strip(from_ms: u64) -> AmdNews {
    AmdNews::Heard(AmdStrip { from_ms, level_dbfs: vec![-31, -60], speech: vec![true, false], human: vec![62, 58] })
}

async fn what_is_detected_is_told_stored_and_shown_with_its_leg(database: &Database) {
    let mut world = database.world("").await;
    let call = world.call().await;
    let request = world.request(Method::GET, "/api/events").body(Body::empty()).unwrap();
    let mut stream = SseReader::new(world.send(request).await);
    world.emit(call, leg(2, LegRole::Customer, None)).await;
    let evidence = json!({"ground": "sound", "speech": [[320, 1900], [2250, 4200]],
        "phrases": [{"phrase": "leave a message", "probability": 0.75}],
        "features": [{"name": "speech_share", "value": 0.81, "weight": -1.25},
            {"name": "longest_pause", "value": 0.35, "weight": 0.5}]});
    let judged = |verdict: &str, ms: u64, action: &str| {
        let mut judged = json!({"verdict": verdict, "probability": 0.97, "decided_at_ms": ms, "action": action});
        judged["evidence"] = evidence.clone();
        judged
    };
    let with = |mut body: Value, more: Value| {
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let news = [
        (AmdNews::Listening { mode: AmdMode::Balanced }, json!({"stage": "listening", "mode": "balanced"})),
        (
            strip(0),
            json!({"stage": "heard", "from_ms": 0, "level_dbfs": [-31, -60], "speech": [true, false], "human": [62, 58]}),
        ),
        (
            AmdNews::Verdict(verdict(Answer::Screening, 2_400, "reply")),
            with(json!({"stage": "verdict"}), judged("screening", 2_400, "reply")),
        ),
        (
            AmdNews::Verdict(verdict(Answer::Machine, 5_100, "message")),
            with(json!({"stage": "verdict"}), judged("machine", 5_100, "message")),
        ),
        (
            AmdNews::Revised(verdict(Answer::Human, 7_000, "")),
            with(json!({"stage": "revised"}), judged("human", 7_000, "")),
        ),
        (AmdNews::GreetingEnd { at_ms: 6_200 }, json!({"stage": "greeting_end", "at_ms": 6_200})),
        (
            AmdNews::Beep { start_ms: 6_700, end_ms: 7_000, hz: vec![1_000] },
            json!({"stage": "beep", "start_ms": 6_700, "end_ms": 7_000, "hz": [1_000]}),
        ),
        (
            AmdNews::MessageBegun { at_ms: 7_300, after: MessageAfter::Beep },
            json!({"stage": "message_begun", "at_ms": 7_300, "after": "beep"}),
        ),
        (
            AmdNews::MessageLeft { at_ms: 15_900, end: MessageEnd::Left },
            json!({"stage": "message_left", "at_ms": 15_900, "end": "left"}),
        ),
    ];
    for (news, _) in &news {
        world.emit(call, amd(news.clone())).await;
    }
    // A strip is sent at once, while the others are read from the store: its place among them is not fixed.
    let (mut told, mut strips) = (Vec::new(), Vec::new());
    while told.len() + strips.len() < news.len() {
        let event = stream.next().await.unwrap();
        if event.event != "call.amd" {
            continue;
        }
        let mut body: Value = serde_json::from_str(&event.data).unwrap();
        let fields = body.as_object_mut().unwrap();
        assert!(fields.remove("at").is_some_and(|at| at.is_string()));
        for (field, value) in
            [("type", json!("call.amd")), ("call_id", json!(call)), ("leg", json!(2)), ("role", json!("customer"))]
        {
            assert_eq!(fields.remove(field), Some(value), "{field}");
        }
        assert_eq!(event.id.is_none(), body["stage"] == "heard", "{body}");
        if body["stage"] == "heard" { strips.push(body) } else { told.push(body) }
    }
    let (expected_strips, expected): (Vec<Value>, Vec<Value>) =
        news.into_iter().map(|(_, body)| body).partition(|body| body["stage"] == "heard");
    assert_eq!((told, strips), (expected, expected_strips));
    let shown = world.get(&format!("/api/calls/{call}")).await.json();
    let stages: Vec<&Value> =
        shown["events"].as_array().unwrap().iter().filter(|event| event["type"] == "call.amd").collect();
    assert_eq!((stages.len(), &stages[0]["stage"], &stages[1]["probability"]), (8, &json!("listening"), &json!(0.97)));
    let expected = with(
        judged("screening", 2_400, "reply"),
        json!({
            "mode": "balanced",
            "later": [judged("machine", 5_100, "message")],
            "revised": judged("human", 7_000, ""),
            "greeting_end_ms": 6_200,
            "beeps": [{"start_ms": 6_700, "end_ms": 7_000, "hz": [1_000]}],
            "message_begun_ms": 7_300,
            "message_after": "beep",
            "message_end": "left",
            "message_end_ms": 15_900,
        }),
    );
    assert_eq!(shown["legs"][0]["amd"], expected);
    assert_eq!(shown["amd"], "machine", "the newest verdict that was acted upon");
    for (filter, found) in [("amd=machine", 1), ("amd=screening", 0), ("amd=human", 0)] {
        let listed = world.get(&format!("/api/calls?{filter}")).await.json();
        assert_eq!(listed["calls"].as_array().unwrap().len(), found, "{filter}");
    }
    assert_eq!(world.get("/api/calls?amd=robot").await.problem(), (422, Some("amd".into())));
    // A leg on which nothing is detected shows nothing, and an unknown leg is no fault.
    world.emit(call, leg(3, LegRole::Agent, Some("anna"))).await;
    let unknown = AmdNews::GreetingEnd { at_ms: 1 };
    world.emit(call, EventKind::Amd { leg: LegId(9), role: LegRole::Customer, news: unknown }).await;
    world.emit(call, EventKind::CallStatus { status: CallStatus::Ended, cause: Some(HangupCause::Normal) }).await;
    world.until(async || world.get(&format!("/api/calls/{call}")).await.json()["status"] == "ended").await;
    let shown = world.get(&format!("/api/calls/{call}")).await.json();
    assert_eq!((&shown["legs"][0]["amd"], &shown["legs"][1]["amd"]), (&expected, &Value::Null));
}

async fn a_strip_reaches_only_those_who_may_see_the_call(database: &Database) {
    let world = database.world("").await;
    let (bea, sue) = (world.member("bea", Role::Agent).await, world.member("sue", Role::Supervisor).await);
    let mut own = SseReader::new(world.send(world.page(&bea, Method::GET, "/api/events", "")).await);
    let mut all = SseReader::new(world.send(world.page(&sue, Method::GET, "/api/events", "")).await);
    let (not_hers, hers) = (Uuid::now_v7(), Uuid::now_v7());
    for (call, agent) in [(not_hers, "anna"), (hers, "bea")] {
        let (from, to, agent) = (agent.to_owned(), "+15555550142".to_owned(), Some(agent));
        world.emit(call, EventKind::CallIncoming { from, to, trunk: None, agent: agent.map(str::to_owned) }).await;
        world.emit(call, leg(1, LegRole::Agent, agent)).await;
        world.emit(call, leg(2, LegRole::Customer, None)).await;
        world.emit(call, amd(AmdNews::Listening { mode: AmdMode::Fast })).await;
        world.emit(call, amd(strip(0))).await;
    }
    let next_strip = async |stream: &mut SseReader| loop {
        let event = stream.next().await.unwrap();
        let body: Value = serde_json::from_str(&event.data).unwrap();
        if body["stage"] == "heard" {
            return (event.id, body["call_id"].clone());
        }
    };
    let mut seen = [next_strip(&mut all).await, next_strip(&mut all).await].map(|(_, call)| call.to_string());
    let mut expected = [json!(not_hers), json!(hers)].map(|call| call.to_string());
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected);
    assert_eq!(next_strip(&mut own).await, (None, json!(hers)), "the strip of the other call was not sent");
    // Strips are stored nowhere.
    let shown = world.get(&format!("/api/calls/{hers}")).await.json();
    assert!(!shown.to_string().contains("level_dbfs"), "{shown}");
    let path = "/api/events?last_event_id=0";
    let mut stored = SseReader::new(world.send(world.page(&sue, Method::GET, path, "")).await);
    loop {
        let event = stored.next().await.unwrap();
        assert!(!event.data.contains("level_dbfs"), "{event:?}");
        if event.data.contains("listening") && event.data.contains(&hers.to_string()) {
            break;
        }
    }
}

async fn a_killed_server_leaves_what_was_detected_on_a_closed_leg(database: &Database) {
    let mut world = database.world("").await;
    let call = world.call().await;
    world.emit(call, leg(2, LegRole::Customer, None)).await;
    world.emit(call, amd(AmdNews::Listening { mode: AmdMode::Fast })).await;
    world.emit(call, amd(AmdNews::Verdict(verdict(Answer::Human, 900, "connect")))).await;
    let path = format!("/api/calls/{call}");
    world.until(async || world.get(&path).await.json()["legs"][0]["amd"]["verdict"] == "human").await;
    assert_eq!(world.state.store.calls_close_left_open().await.unwrap(), 1);
    let shown = world.get(&path).await.json();
    assert_eq!((&shown["ended_reason"], &shown["legs"][0]["state"]), (&json!("crash"), &json!("ended")));
    let amd = &shown["legs"][0]["amd"];
    assert_eq!(
        (&amd["verdict"], &amd["decided_at_ms"], &amd["message_end"]),
        (&json!("human"), &json!(900), &Value::Null)
    );
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
    a_customers_leg_is_detected_as_configured_unless_urgent_or_incoming,
    actions_reach_the_engine_as_sounds_and_programs_with_one_host,
    a_message_is_left_with_a_sound_that_the_organization_has,
    what_is_detected_is_told_stored_and_shown_with_its_leg,
    a_strip_reaches_only_those_who_may_see_the_call,
    a_killed_server_leaves_what_was_detected_on_a_closed_leg,
}
