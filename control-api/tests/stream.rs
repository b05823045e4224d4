//! Server-sent events: resuming without loss or repetition, visibility by organization and role, slow readers, and the ends of streams.
//!
//! ```text
//! events of the engine ─▶ World (the server in this process) ─▶ bodies of responses ─▶ SseReader
//! ```
//!
//! Not here: what an agent gets of a call that was transferred (`stays.rs`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, StatusCode};
use control_api::engine::{CallStatus, EventKind, HangupCause, LegId, TranslationEvent};
use control_api::events::Passing;
use control_api::store::{By, LegReport, Role};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use support::{Browser, Sse, SseReader, World, words, world};
use tokio::sync::watch;
use uuid::Uuid;

/// Reads `wanted` events as a listener whose connection breaks at random places and that resumes each time with the last id it got.
///
/// Returns the events and the number of connections. `heard` is set to the number of events after each one.
async fn read_with_breaks(
    world: &World,
    path: &str,
    wanted: usize,
    rng: &mut SmallRng,
    heard: &watch::Sender<usize>,
) -> (Vec<Sse>, usize) {
    let mut seen: Vec<Sse> = Vec::new();
    let mut breaks = 0;
    while seen.len() < wanted {
        let mut request = world.request(Method::GET, path);
        // Id 0 requests all events, including those stored before the listener connected.
        let last = seen.last().and_then(|event| event.id).unwrap_or(0);
        if rng.random_bool(0.5) || path.contains('?') {
            request = request.header("Last-Event-ID", last);
        } else {
            request = request.uri(format!("{path}?last_event_id={last}"));
        }
        let mut stream = SseReader::new(world.send(request.body(Body::empty()).unwrap()).await);
        let until_break = rng.random_range(1..40);
        for _ in 0..until_break {
            let event = stream.next().await.unwrap();
            if event.id.is_some() {
                seen.push(event);
                heard.send_replace(seen.len());
            }
            if seen.len() == wanted {
                break;
            }
        }
        breaks += 1;
    }
    (seen, breaks)
}

#[tokio::test]
async fn a_listener_that_reconnects_misses_no_event_and_gets_none_twice() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut world = world("").await;
    let (call, noise) = (world.call().await, world.call().await);
    const WORDS: usize = 600;
    let told = world.events.clone();
    let pauses: Vec<bool> = (0..WORDS).map(|_| rng.random_bool(0.05)).collect();
    let (heard, mut received) = watch::channel(0);
    let teller = tokio::spawn(async move {
        let tell = async |call, kind| {
            let event = control_api::engine::Event {
                at: std::time::SystemTime::now(),
                call: Some(control_api::engine::call_id(call)),
                kind,
            };
            told.send(event).await.unwrap();
        };
        for (n, pause) in pauses.into_iter().enumerate() {
            tell(call, words(n as u64 + 1, &format!("word {n}"), true, None)).await;
            tell(noise, EventKind::Dtmf { leg: LegId(1), digit: '1', duration_ms: 100 }).await;
            if pause {
                // Waits until the listener has read everything, so that it has to wait for the next event.
                received.wait_for(|heard| *heard > n).await.unwrap();
            }
        }
    });
    let path = format!("/api/calls/{call}/translations/stream");
    let (seen, breaks) = read_with_breaks(&world, &path, WORDS, &mut rng, &heard).await;
    assert!(breaks > 5, "the connection broke {breaks} times");
    for (n, event) in seen.iter().enumerate() {
        assert!(event.data.contains(&format!("\"word {n}\"")), "seed {seed}: event {n} is {event:?}");
        assert_eq!(event.event, "final");
    }
    assert!(seen.windows(2).all(|pair| pair[0].id < pair[1].id), "seed {seed}");
    // The organization's stream: two created calls, then words of one call and digits of the other.
    let path = "/api/events?translations=true";
    let (seen, _) = read_with_breaks(&world, path, 2 + 2 * WORDS, &mut rng, &heard).await;
    assert!(seen.windows(2).all(|pair| pair[0].id < pair[1].id), "seed {seed}");
    let count = |name: &str| seen.iter().filter(|event| event.event == name).count();
    assert_eq!(
        (count("call.created"), count("call.dtmf"), count("translation.final")),
        (2, WORDS, WORDS),
        "seed {seed}"
    );
    teller.await.unwrap();
}

#[tokio::test]
async fn a_new_listener_gets_only_new_events() {
    let mut world = world("").await;
    let call = world.call().await;
    let request = world.request(Method::GET, "/api/events").body(Body::empty()).unwrap();
    let mut stream = SseReader::new(world.send(request).await);
    world.emit(call, words(1, "hello", true, None)).await;
    world.emit(call, EventKind::CallStatus { status: CallStatus::Ringing, cause: None }).await;
    let event = stream.next().await.unwrap();
    assert_eq!(event.event, "call.status", "neither the earlier creation nor words, which were not requested");
    let data: serde_json::Value = serde_json::from_str(&event.data).unwrap();
    assert_eq!((&data["status"], &data["call"]["status"]), (&"ringing".into(), &"ringing".into()));
    assert_eq!(data["call_id"], call.to_string());
}

#[tokio::test]
async fn events_of_another_organization_are_not_sent() {
    let mut world = world("").await;
    let request = axum::http::Request::get("/api/events?translations=true&last_event_id=0")
        .header("authorization", format!("Bearer {}", world.other_key))
        .body(Body::empty())
        .unwrap();
    let mut stream = SseReader::new(world.send(request).await);
    let call = world.call().await;
    world.emit(call, words(1, "secret", true, None)).await;
    let organization = world.state.store.organization_by_name("acme").await.unwrap().unwrap().id;
    world.state.bus.pass(Passing::Registration { organization, agent: "anna".into(), contacts: 1 });
    let other = world.state.store.organization_by_name("other").await.unwrap().unwrap().id;
    world.until(async || world.state.bus.latest_id() >= 2).await;
    world.state.bus.pass(Passing::Registration { organization: other, agent: "otto".into(), contacts: 1 });
    let event = stream.next().await.unwrap();
    assert!(event.data.contains("otto"), "{event:?}");
}

#[tokio::test]
async fn unsettled_words_are_sent_to_those_who_may_read_them_and_not_stored() {
    let world = world("").await;
    let (bea, other) = (world.member("bea", Role::Agent).await, world.member("carl", Role::Agent).await);
    let call = Uuid::now_v7();
    let (from, to) = ("+15555550142".to_owned(), "100".to_owned());
    world.emit(call, EventKind::CallIncoming { from, to, trunk: Some("t".into()), agent: Some("bea".into()) }).await;
    world.until(async || world.get(&format!("/api/calls/{call}")).await.status == 200).await;
    let unsettled = |text: &str| match words(1, text, false, None) {
        EventKind::Translation(event) => EventKind::Translation(TranslationEvent { is_passing: true, ..event }),
        other => other,
    };
    let open = async |person: &Browser, path: &str| {
        SseReader::new(world.send(world.page(person, Method::GET, path, "")).await)
    };
    let all = "/api/events?translations=true";
    let mut streams = [open(&bea, all).await, open(&bea, &format!("/api/calls/{call}/translations/stream")).await];
    let mut silent = [open(&other, all).await, open(&bea, "/api/events").await];
    world.emit(call, unsettled("good mor")).await;
    world.emit(call, words(1, "good morning", true, None)).await;
    world.emit(call, EventKind::CallStatus { status: CallStatus::Ringing, cause: None }).await;
    for (stream, prefix) in streams.iter_mut().zip(["translation.", ""]) {
        // The two come on different ways, and each has all of the segment.
        let mut both = [next_words(stream).await, next_words(stream).await];
        both.sort_by_key(|event| event.id.is_some());
        let names = both.each_ref().map(|event| event.event.clone());
        assert_eq!(names, [format!("{prefix}partial"), format!("{prefix}final")]);
        assert!(both[0].id.is_none() && both[0].data.contains("\"good mor\""), "{both:?}");
    }
    let organization = world.state.store.organization_by_name("acme").await.unwrap().unwrap().id;
    // Agents are told of their own telephones only.
    for agent in ["carl", "bea"] {
        world.state.bus.pass(Passing::Registration { organization, agent: agent.into(), contacts: 1 });
    }
    // Words that were passed on would come before the registration. The first stream is of somebody who is not in the call, the second
    // of somebody who did not ask for words.
    for (stream, expected) in silent.iter_mut().zip([&["registration"][..], &["call.status", "registration"]]) {
        let mut names: Vec<String> = Vec::new();
        while !expected.iter().all(|name| names.iter().any(|known| known == name)) {
            names.push(stream.next().await.unwrap().event);
        }
        names.sort();
        assert_eq!(names, expected);
    }
    let list = world.get(&format!("/api/calls/{call}/translations")).await.json();
    assert_eq!(list["translations"].as_array().unwrap().len(), 1);
    let kept = world.state.store.call_event_list(organization, call, 100).await.unwrap();
    assert!(kept.iter().all(|(_, body)| body["text"] != "good mor"), "{kept:?}");
}

/// Returns the next event with words.
async fn next_words(stream: &mut SseReader) -> Sse {
    loop {
        let event = stream.next().await.unwrap();
        if event.data.contains("\"segment\"") {
            return event;
        }
    }
}

#[tokio::test]
async fn an_agent_gets_events_of_own_calls_and_a_supervisor_of_all_calls() {
    let world = world("").await;
    let organization = world.state.store.organization_by_name("acme").await.unwrap().unwrap().id;
    let (bea, sue) = (world.member("bea", Role::Agent).await, world.member("sue", Role::Supervisor).await);
    let path = "/api/events?translations=true&last_event_id=0";
    let mut own = SseReader::new(world.send(world.page(&bea, Method::GET, path, "")).await);
    let mut all = SseReader::new(world.send(world.page(&sue, Method::GET, path, "")).await);
    let (theirs, hers) = (Uuid::now_v7(), Uuid::now_v7());
    for (call, agent, said) in
        [(theirs, Some("anna"), "secret"), (Uuid::now_v7(), None, "nobody's"), (hers, Some("bea"), "hello")]
    {
        let agent = agent.map(str::to_owned);
        let (from, to) = ("+15555550142".to_owned(), "100".to_owned());
        world.emit(call, EventKind::CallIncoming { from, to, trunk: Some("t".into()), agent }).await;
        world.emit(call, words(1, said, true, None)).await;
    }
    let report = |call| {
        Passing::LegReport(LegReport {
            organization,
            call,
            kind: "call.quality",
            body: format!("{{\"of\":\"{call}\"}}").into(),
        })
    };
    let kinds = async |stream: &mut SseReader, count: usize| {
        let mut told = Vec::new();
        for _ in 0..count {
            told.push(stream.next().await.unwrap());
        }
        told
    };
    let told = kinds(&mut all, 6).await;
    assert!(told.iter().any(|event| event.data.contains("secret")), "{told:?}");
    let told = kinds(&mut own, 2).await;
    assert!(told.iter().all(|event| event.data.contains(&hers.to_string())), "{told:?}");
    assert_eq!(
        told.iter().map(|event| event.event.as_str()).collect::<Vec<_>>(),
        ["call.created", "translation.final"]
    );
    // Events that are not stored: quality of own calls and registrations of own telephones.
    for call in [theirs, hers] {
        world.state.bus.pass(report(call));
    }
    for agent in ["anna", "bea"] {
        world.state.bus.pass(Passing::Registration { organization, agent: agent.into(), contacts: 1 });
    }
    let told = kinds(&mut own, 2).await;
    assert!(told[0].data.contains(&hers.to_string()) && told[1].data.contains("bea"), "{told:?}");
    let told = kinds(&mut all, 4).await;
    assert!(told[0].data.contains(&theirs.to_string()) && told[2].data.contains("anna"), "{told:?}");
}

#[tokio::test]
async fn a_slow_listener_gets_a_gap_marker_and_then_the_newer_events() {
    let world = world("").await;
    let organization = world.state.store.organization_by_name("acme").await.unwrap().unwrap().id;
    let request = world.request(Method::GET, "/api/events").body(Body::empty()).unwrap();
    let mut stream = SseReader::new(world.send(request).await);
    // The stream subscribes when its body is first polled; receiving one event proves that it has.
    world.state.bus.pass(Passing::Registration { organization, agent: "first".into(), contacts: 1 });
    assert!(stream.next().await.unwrap().data.contains("first"));
    for n in 0..2_000 {
        world.state.bus.pass(Passing::Registration { organization, agent: format!("a{n}"), contacts: 1 });
    }
    let gap = stream.next().await.unwrap();
    assert_eq!((gap.id, gap.event.as_str()), (None, "gap"));
    assert!(gap.data.contains("976"), "{}", gap.data);
    assert!(stream.next().await.unwrap().data.contains("\"a976\""));
}

#[tokio::test]
async fn a_last_event_id_of_another_store_is_reported_as_a_gap() {
    let mut world = world("").await;
    let request =
        world.request(Method::GET, "/api/events").header("Last-Event-ID", "999999").body(Body::empty()).unwrap();
    let mut stream = SseReader::new(world.send(request).await);
    assert_eq!(stream.next().await.unwrap().event, "gap");
    world.call().await;
    assert_eq!(stream.next().await.unwrap().event, "call.created");
}

#[tokio::test]
async fn a_call_stream_ends_with_its_call_and_is_not_opened_again() {
    let mut world = world("").await;
    let call = world.call().await;
    world.emit(call, words(1, "goodbye", true, Some("adiós"))).await;
    let over = std::time::SystemTime::now() - Duration::from_secs(3600);
    let ended = EventKind::CallStatus { status: CallStatus::Ended, cause: Some(HangupCause::Normal) };
    let event = control_api::engine::Event { at: over, call: Some(control_api::engine::call_id(call)), kind: ended };
    world.events.send(event).await.unwrap();
    world.until(async || world.get(&format!("/api/calls/{call}")).await.json()["status"] == "ended").await;
    let path = format!("/api/calls/{call}/translations/stream");
    let request = world.request(Method::GET, &path).body(Body::empty()).unwrap();
    let mut stream = SseReader::new(world.send(request).await);
    let last = stream.next().await.unwrap();
    assert!(last.data.contains("adiós"));
    assert_eq!(stream.next().await.unwrap().event, "end");
    assert_eq!(stream.next().await, None);
    let again = world.request(Method::GET, &path).header("Last-Event-ID", last.id.unwrap());
    assert_eq!(world.send(again.body(Body::empty()).unwrap()).await.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_listener_that_does_not_read_delays_no_other() {
    let mut world = world("").await;
    let call = world.call().await;
    // This stream is opened and never read.
    let request = world.request(Method::GET, "/api/events?translations=true").body(Body::empty()).unwrap();
    let _stuck = world.send(request).await;
    let path = format!("/api/calls/{call}/translations/stream");
    let mut stream = SseReader::new(world.send(world.request(Method::GET, &path).body(Body::empty()).unwrap()).await);
    for n in 0..3_000 {
        world.emit(call, words(1, &format!("w{n}"), false, None)).await;
    }
    for n in 0..3_000 {
        let event = stream.next().await.unwrap();
        assert!(event.data.contains(&format!("\"w{n}\"")), "{n}: {event:?}");
    }
}

#[tokio::test]
async fn streams_end_when_the_server_stops() {
    let world = world("").await;
    let request = world.request(Method::GET, "/api/events").body(Body::empty()).unwrap();
    let mut stream = SseReader::new(world.send(request).await);
    world.state.stopping.cancel();
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn revoking_a_key_closes_its_open_streams() {
    let mut world = world("").await;
    let call = world.call().await;
    let of_call = format!("/api/calls/{call}/translations/stream");
    let mut streams = Vec::new();
    for path in ["/api/events", &of_call] {
        let request = world.request(Method::GET, path).body(Body::empty()).unwrap();
        streams.push(SseReader::new(world.send(request).await));
    }
    let key = world.state.store.api_key_by_hash(&control_api::auth::token_hash(&world.key)).await.unwrap().unwrap();
    world.state.store.api_key_revoke(key.organization, key.id, &By::system("test")).await.unwrap();
    let revoked = std::time::Instant::now();
    for stream in &mut streams {
        assert_eq!(stream.next().await, None);
    }
    assert!(revoked.elapsed() < Duration::from_secs(5), "{:?}", revoked.elapsed());
}
