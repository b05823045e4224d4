//! Stays: an agent sees only what happens in a call while they are in it.
//!
//! A `Scene` is a call from a customer to bea that is transferred to cleo; sue supervises and sees everything. Words, digits and parts of
//! recordings before the transfer are bea's, those after it cleo's. The engine events are sent 100 ms apart in the past, so that every
//! moment lies on one side of the transfer.
//!
//! Invariants: transcripts, translations, digits, recordings, searches and streams agree on what a person may see; an agent who has left
//! cannot control the call; the stream of an agent who leaves ends within 5 s, after the words that were said before they left.
//!
//! Not here: permissions of roles (`access.rs`), streams in general (`stream.rs`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use axum::http::{Method, StatusCode};
use control_api::engine::{
    CallStatus, Event, EventKind, HangupCause, LegId, LegRole, LegState, RecordingPart, RecordingState, TransferStage,
    TranslationEvent, call_id,
};
use control_api::store::Role;
use serde_json::{Value, json};
use support::{Browser, Sse, SseReader, World, first_part, words, world};
use uuid::Uuid;

/// Longest time until the stream of a person who left the call ends.
const ENDS: Duration = Duration::from_secs(5);

/// A call between a customer and the agent bea, as the events of the engine describe it.
struct Scene {
    world: World,
    call: Uuid,
    bea: Browser,
    cleo: Browser,
    /// Supervisor, who sees the whole call.
    sue: Browser,
    /// Number of events sent so far; each is dated one [`STEP`] after the one before.
    events_sent: AtomicU32,
    began: SystemTime,
}

/// Time between two events of the engine.
const STEP: Duration = Duration::from_millis(100);

impl Scene {
    async fn begin() -> Scene {
        let world = world("").await;
        let (bea, cleo) = (world.member("bea", Role::Agent).await, world.member("cleo", Role::Agent).await);
        let sue = world.member("sue", Role::Supervisor).await;
        // The call began in the past, so that no event is dated in the future.
        let began = SystemTime::now() - Duration::from_secs(60);
        let scene = Scene { world, call: Uuid::now_v7(), bea, cleo, sue, events_sent: AtomicU32::new(0), began };
        let (from, to) = ("+15555550142".to_owned(), "100".to_owned());
        scene.emit(EventKind::CallIncoming { from, to, trunk: Some("t".into()), agent: Some("bea".into()) }).await;
        scene.emit_leg(1, None, LegState::Ringing).await;
        scene.emit_leg(2, Some("bea"), LegState::Answered).await;
        scene.emit_leg(1, None, LegState::Answered).await;
        scene.emit(EventKind::CallStatus { status: CallStatus::Bridged, cause: None }).await;
        scene.emit_recording(1, RecordingState::Started).await;
        scene.emit_words(1, "before").await;
        scene
    }

    async fn emit(&self, kind: EventKind) {
        let at = self.began + STEP * self.events_sent.fetch_add(1, Ordering::Relaxed);
        self.world.events.send(Event { at, call: Some(call_id(self.call)), kind }).await.unwrap();
    }

    async fn emit_leg(&self, leg: u64, agent: Option<&str>, state: LegState) {
        let role = if agent.is_some() { LegRole::Agent } else { LegRole::Customer };
        let (peer, agent) = (agent.unwrap_or("+15555550142").to_owned(), agent.map(str::to_owned));
        self.emit(EventKind::Leg { leg: LegId(leg), role, state, peer, agent, codec: None, ending: None }).await;
    }

    async fn emit_recording(&self, part: u32, state: RecordingState) {
        let path = self.world.folder.path().join(format!("{part}.wav"));
        std::fs::write(&path, b"RIFF").unwrap();
        let part = RecordingPart { part, ..first_part() };
        self.emit(EventKind::Recording { part, path, state, duration_ms: 1 }).await;
    }

    async fn emit_words(&self, segment: u64, text: &str) {
        self.emit(words(segment, text, true, Some(&format!("{text} there")))).await;
    }

    /// Transfers the call from bea to cleo, with a new recording part, a digit and the segment "after".
    async fn transfer(&self) {
        self.emit_recording(1, RecordingState::Finished).await;
        self.emit_leg(3, Some("cleo"), LegState::Ringing).await;
        self.emit_leg(3, Some("cleo"), LegState::Answered).await;
        let (leg, role, stage) = (LegId(2), LegRole::Agent, TransferStage::Done);
        self.emit(EventKind::Transfer { leg, role, to: "cleo".into(), stage, cause: None, other: None }).await;
        self.emit_recording(2, RecordingState::Started).await;
        self.emit(EventKind::Dtmf { leg: LegId(1), digit: '7', duration_ms: 100 }).await;
        self.emit_words(2, "after").await;
    }

    async fn end(&self) {
        self.emit_recording(2, RecordingState::Finished).await;
        self.emit_leg(3, Some("cleo"), LegState::Ended).await;
        self.emit_leg(1, None, LegState::Ended).await;
        let (status, cause) = (CallStatus::Ended, Some(HangupCause::Normal));
        self.emit(EventKind::CallStatus { status, cause }).await;
    }

    fn path(&self, tail: &str) -> String {
        format!("/api/calls/{}{tail}", self.call)
    }

    async fn get(&self, who: &Browser, tail: &str) -> support::Answer {
        self.world.with_browser(who, Method::GET, &self.path(tail), "").await
    }

    async fn stream(&self, who: &Browser, path: &str) -> SseReader {
        SseReader::new(self.world.send(self.world.page(who, Method::GET, path, "")).await)
    }

    /// Waits until the stored transcript contains `text`.
    async fn until_said(&self, text: &str) {
        let said = async || self.get(&self.sue, "/transcript").await.json().to_string().contains(text);
        self.world.until(said).await;
    }

    /// Returns what `who` sees of the call: the texts of transcript and translations, the number of digits, the parts of the call and of
    /// the list of recordings, and the number of calls found by the words "before" and "after".
    async fn visible_to(&self, who: &Browser) -> Value {
        let texts = |answer: Value, list: &str| -> Vec<Value> {
            answer[list].as_array().unwrap().iter().map(|segment| segment["text"].clone()).collect()
        };
        let shown = self.get(who, "").await.json();
        let digits = shown["events"].as_array().unwrap().iter().filter(|event| event["type"] == "call.dtmf").count();
        let parts: Vec<&Value> =
            shown["recording_parts"].as_array().unwrap().iter().map(|part| &part["part"]).collect();
        let mut found = Vec::new();
        for word in ["before", "after"] {
            let list = self.world.with_browser(who, Method::GET, &format!("/api/calls?q={word}"), "").await.json();
            found.push(list["calls"].as_array().unwrap().len());
        }
        let listed = self.world.with_browser(who, Method::GET, "/api/recordings", "").await.json();
        let mut listed: Vec<u64> =
            listed["recordings"].as_array().unwrap().iter().map(|part| part["part"].as_u64().unwrap()).collect();
        listed.sort_unstable();
        json!({
            "transcript": texts(self.get(who, "/transcript").await.json(), "segments"),
            "translations": texts(self.get(who, "/translations").await.json(), "translations"),
            "digits": digits,
            "parts": parts,
            "listed": listed,
            "found": found,
        })
    }
}

fn texts_of(events: &[Sse]) -> Vec<String> {
    let text = |event: &Sse| serde_json::from_str::<Value>(&event.data).unwrap()["text"].as_str().map(str::to_owned);
    events.iter().filter_map(text).collect()
}

#[tokio::test]
async fn agents_see_only_what_was_said_pressed_and_recorded_while_they_were_there() {
    let scene = Scene::begin().await;
    scene.until_said("before").await;
    let mine = scene.world.with_browser(&scene.cleo, Method::GET, "/api/calls", "").await.json();
    assert_eq!(mine["calls"], json!([]), "cleo is not in the call yet");
    for tail in
        ["", "/transcript", "/subtitles", "/translations", "/translations/stream", "/recording", "/trace", "/notes"]
    {
        assert_eq!(scene.get(&scene.cleo, tail).await.problem().0, 404, "{tail}");
    }
    assert_eq!(scene.get(&scene.bea, "").await.json()["people"], json!(["bea"]));
    scene.transfer().await;
    scene.until_said("after").await;
    assert_eq!(scene.get(&scene.bea, "").await.json()["people"], json!(["cleo"]));
    for ended in [false, true] {
        if ended {
            scene.end().await;
            scene.world.until(async || scene.get(&scene.sue, "").await.json()["status"] == "ended").await;
        }
        let bea = scene.visible_to(&scene.bea).await;
        assert_eq!(
            bea,
            json!({"transcript": ["before"], "translations": ["before"], "digits": 0, "parts": [1], "listed": [1],
                   "found": [1, 0]}),
            "bea, who left"
        );
        let cleo = scene.visible_to(&scene.cleo).await;
        assert_eq!(
            cleo,
            json!({"transcript": ["after"], "translations": ["after"], "digits": 1, "parts": [2], "listed": [2],
                   "found": [0, 1]}),
            "cleo, who joined"
        );
        let sue = scene.visible_to(&scene.sue).await;
        assert_eq!((&sue["transcript"], &sue["listed"]), (&json!(["before", "after"]), &json!([1, 2])));
        for (who, part, status) in
            [(&scene.bea, 1, 200), (&scene.bea, 2, 403), (&scene.cleo, 1, 403), (&scene.cleo, 2, 200)]
        {
            assert_eq!(scene.get(who, &format!("/recording?part={part}")).await.status.as_u16(), status, "part {part}");
            let info = format!("/api/recordings/{}?part={part}", scene.call);
            let told = scene.world.with_browser(who, Method::GET, &info, "").await.status.as_u16();
            assert_eq!(told, if status == 200 { 200 } else { 404 }, "part {part}");
        }
    }
    // The supervisor finds the call by either agent.
    for agent in ["bea", "cleo"] {
        let list =
            scene.world.with_browser(&scene.sue, Method::GET, &format!("/api/calls?agent={agent}"), "").await.json();
        assert_eq!(list["calls"].as_array().unwrap().len(), 1, "{agent}");
    }
}

#[tokio::test]
async fn an_agent_who_left_a_call_can_add_notes_but_not_control_it() {
    let mut scene = Scene::begin().await;
    scene.transfer().await;
    scene.until_said("after").await;
    while scene.world.commands.try_recv().is_ok() {}
    let verbs = [
        ("/hangup", ""),
        ("/say", r#"{"text": "hola"}"#),
        ("/legs", r#"{"to": "+15555550142"}"#),
        ("/legs/1/hold", ""),
        ("/legs/1/mute", ""),
        ("/legs/1/dtmf", r#"{"digits": "1"}"#),
        ("/park", r#"{"leg": 3}"#),
        ("/transfer", r#"{"leg": 3, "targets": [{"agent": "bea"}]}"#),
    ];
    for (tail, body) in verbs {
        let refused = scene.world.with_browser(&scene.bea, Method::POST, &scene.path(tail), body).await;
        assert_eq!(refused.problem().0, 403, "{tail}");
        assert!(refused.json()["detail"].as_str().unwrap().contains("left this call"), "{refused:?}");
    }
    let refused = scene.world.with_browser(&scene.bea, Method::DELETE, &scene.path("/legs/3"), "").await;
    assert_eq!(refused.problem().0, 403);
    assert!(scene.world.commands.try_recv().is_err(), "no command reached the engine");
    let noted =
        scene.world.with_browser(&scene.bea, Method::POST, &scene.path("/notes"), r#"{"text": "sent to cleo"}"#).await;
    assert_eq!(noted.status, StatusCode::CREATED);
    let muted = scene.world.with_browser(&scene.cleo, Method::POST, &scene.path("/legs/1/mute"), "").await;
    assert_eq!(muted.status, StatusCode::OK, "cleo is in the call and may control it: {muted:?}");
    let ended = scene.world.with_browser(&scene.cleo, Method::POST, &scene.path("/hangup"), "").await;
    assert_eq!(ended.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_call_stream_ends_within_five_seconds_after_the_agent_left_the_call() {
    let scene = Scene::begin().await;
    scene.until_said("before").await;
    let path = scene.path("/translations/stream");
    let mut of_bea = scene.stream(&scene.bea, &path).await;
    let first = of_bea.next().await.unwrap();
    assert!(first.data.contains("before") && first.event == "translation", "{first:?}");
    let left = Instant::now();
    scene.transfer().await;
    scene.until_said("after").await;
    let mut of_cleo = scene.stream(&scene.cleo, &path).await;
    let begun = of_cleo.next().await.unwrap();
    assert!(begun.data.contains("after"), "{begun:?}");

    // A sentence that was said before bea left and is recognised only now, four steps later.
    let EventKind::Translation(last) = words(3, "before she left", true, None) else {
        unreachable!("words() returns a translation")
    };
    let last = TranslationEvent { began_ms_ago: Some(550), ended_ms_ago: Some(500), ..last };
    scene.emit(EventKind::Translation(last)).await;
    scene.until_said("before she left").await;
    let mut heard = vec![first];
    while let Some(event) = of_bea.next().await {
        heard.push(event);
    }
    assert!(left.elapsed() < ENDS, "{:?}", left.elapsed());
    let end = heard.pop().unwrap();
    assert_eq!((end.event.as_str(), end.id), ("left", None), "{heard:?}");
    assert_eq!(serde_json::from_str::<Value>(&end.data).unwrap()["call_id"], scene.call.to_string());
    assert_eq!(texts_of(&heard), ["before", "before she left"], "{heard:?}");

    // A stream that bea opens again sends what she may see, and then its end.
    let last = heard.last().unwrap().id.unwrap();
    let again = scene.world.page(&scene.bea, Method::GET, &format!("{path}?last_event_id={last}"), "");
    assert_eq!(scene.world.send(again).await.status(), StatusCode::NO_CONTENT);
    let mut again = scene.stream(&scene.bea, &format!("{path}?last_event_id=0")).await;
    assert!(again.next().await.unwrap().data.contains("before"));
    let mut told = Vec::new();
    while let Some(event) = again.next().await {
        told.push(event);
    }
    assert_eq!(told.pop().unwrap().event, "left");
    assert_eq!(texts_of(&told), ["before she left"], "{told:?}");

    // The stream of cleo, who is in the call, continues.
    scene.emit_words(4, "later").await;
    loop {
        let event = of_cleo.next().await.unwrap();
        assert!(!event.data.contains("before"), "{event:?}");
        if event.data.contains("later") {
            break;
        }
    }
}

#[tokio::test]
async fn the_organization_stream_has_a_calls_words_only_while_the_agent_is_in_it() {
    let scene = Scene::begin().await;
    scene.until_said("before").await;
    let path = "/api/events?translations=true&last_event_id=0";
    let mut of_bea = scene.stream(&scene.bea, path).await;
    let mut of_cleo = scene.stream(&scene.cleo, path).await;
    scene.transfer().await;
    scene.end().await;
    let told = async |stream: &mut SseReader| {
        let mut told = Vec::new();
        loop {
            let event = stream.next().await.unwrap();
            let is_last = event.event == "call.status" && event.data.contains("\"status\":\"ended\"");
            told.push(event);
            if is_last {
                return told;
            }
        }
    };
    let bea = told(&mut of_bea).await;
    let cleo = told(&mut of_cleo).await;
    let of_people = |told: &[Sse]| -> Vec<(String, String)> {
        let people = told.iter().filter(|event| matches!(event.event.as_str(), "call.joined" | "call.left"));
        let agent =
            |event: &Sse| serde_json::from_str::<Value>(&event.data).unwrap()["agent"].as_str().unwrap().to_owned();
        people.map(|event| (event.event.clone(), agent(event))).collect()
    };
    let event = |kind: &str, agent: &str| (kind.to_owned(), agent.to_owned());
    assert_eq!(of_people(&bea)[..2], [event("call.joined", "bea"), event("call.joined", "cleo")], "{bea:?}");
    assert!(of_people(&bea).contains(&event("call.left", "bea")), "{bea:?}");
    assert!(texts_of(&bea).iter().all(|text| text == "before") && !texts_of(&bea).is_empty(), "{bea:?}");
    assert!(texts_of(&cleo).iter().all(|text| text == "after") && !texts_of(&cleo).is_empty(), "{cleo:?}");
    let joined = cleo.iter().find(|event| event.event == "call.joined").unwrap();
    let shown = serde_json::from_str::<Value>(&joined.data).unwrap();
    assert_eq!((&shown["call"]["id"], &shown["agent"]), (&json!(scene.call.to_string()), &json!("cleo")));
    for (told, digits) in [(&bea, 0), (&cleo, 1)] {
        assert_eq!(told.iter().filter(|event| event.event == "call.dtmf").count(), digits, "{told:?}");
    }
}

#[tokio::test]
async fn both_agents_of_an_internal_call_see_it() {
    let world = world("").await;
    let (bea, cleo) = (world.member("bea", Role::Agent).await, world.member("cleo", Role::Agent).await);
    let call = Uuid::now_v7();
    let (from, to) = ("bea".to_owned(), "cleo".to_owned());
    world.emit(call, EventKind::CallIncoming { from, to, trunk: None, agent: Some("bea".into()) }).await;
    let leg = |leg, agent: &str, state| EventKind::Leg {
        leg: LegId(leg),
        role: LegRole::Agent,
        state,
        peer: agent.into(),
        agent: Some(agent.into()),
        codec: None,
        ending: None,
    };
    for (number, agent) in [(2, "cleo"), (1, "bea")] {
        world.emit(call, leg(number, agent, LegState::Answered)).await;
    }
    let mut of_cleo = None;
    let path = format!("/api/calls/{call}/translations/stream");
    world
        .until(async || {
            let answer = world.send(world.page(&cleo, Method::GET, &path, "")).await;
            let is_open = answer.status() == StatusCode::OK;
            of_cleo = is_open.then(|| SseReader::new(answer));
            is_open
        })
        .await;
    world.emit(call, words(1, "hello", true, None)).await;
    let heard = of_cleo.unwrap().next().await.unwrap();
    assert!(heard.data.contains("hello"), "{heard:?}");
    for (number, agent) in [(1, "bea"), (2, "cleo")] {
        world.emit(call, leg(number, agent, LegState::Ended)).await;
    }
    let (status, cause) = (CallStatus::Ended, Some(HangupCause::Normal));
    world.emit(call, EventKind::CallStatus { status, cause }).await;
    for who in [&bea, &cleo] {
        let shown = async || world.with_browser(who, Method::GET, &format!("/api/calls/{call}"), "").await.json();
        world.until(async || shown().await["status"] == "ended").await;
        let list = world.with_browser(who, Method::GET, "/api/calls?q=hello", "").await.json();
        assert_eq!(list["calls"][0]["id"], call.to_string());
        let read = world.with_browser(who, Method::GET, &format!("/api/calls/{call}/transcript"), "").await.json();
        assert_eq!(read["segments"][0]["text"], "hello");
    }
}

#[tokio::test]
async fn a_call_stream_sends_the_last_words_and_end_when_the_call_ends_for_all() {
    let scene = Scene::begin().await;
    scene.until_said("before").await;
    let mut stream = scene.stream(&scene.bea, &scene.path("/translations/stream")).await;
    // The leg of bea ends first, then the call.
    scene.emit_leg(2, Some("bea"), LegState::Ended).await;
    let (status, cause) = (CallStatus::Ended, Some(HangupCause::Normal));
    scene.emit(EventKind::CallStatus { status, cause }).await;
    let mut kinds = Vec::new();
    while let Some(event) = stream.next().await {
        kinds.push(event.event);
    }
    assert_eq!(kinds, ["translation", "end"]);
}
