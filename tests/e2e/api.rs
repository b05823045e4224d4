//! The API over real HTTP. `control-api` tests the individual cases; these tests show that the binary serves them.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::ears::FarEnd;
use tests::tandem::{Setup, Tandem};

use media_engine::sdp::Codec;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unauthenticated_requests_are_refused_and_bad_requests_name_their_field() {
    let tandem = Tandem::start(&Setup::default()).await;
    let api = tandem.api("Home").await;
    for key in ["", "tandem_wrong", "Bearer"] {
        let (status, problem) = api.with_key(key).ask(Method::GET, "/api/calls", None).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "key {key:?}: {problem}");
    }
    let refused: [(Value, StatusCode, &str); 5] = [
        (json!({ "mode": "direct", "to": "0123" }), StatusCode::UNPROCESSABLE_ENTITY, "to"),
        (json!({ "mode": "direct", "to": "+0123456" }), StatusCode::UNPROCESSABLE_ENTITY, "to"),
        (json!({ "mode": "sideways", "to": "+15550001" }), StatusCode::UNPROCESSABLE_ENTITY, "mode"),
        (json!({ "mode": "direct", "to": "+15550001", "colour": 1 }), StatusCode::UNPROCESSABLE_ENTITY, "colour"),
        (json!({ "mode": "bridge", "to": "+15550001" }), StatusCode::UNPROCESSABLE_ENTITY, "agent"),
    ];
    for (body, expected, field) in refused {
        let (status, problem) = api.ask(Method::POST, "/api/calls", Some(body.clone())).await;
        assert_eq!(status, expected, "{body}: {problem}");
        assert!(problem.to_string().contains(field), "{body}: the problem does not name `{field}`: {problem}");
    }
    let answer = api.send(Method::POST, "/api/calls", Some("{".into())).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let kind = answer.headers()["content-type"].to_str().expect("text").to_owned();
    assert!(kind.starts_with("application/problem+json"), "{kind}");
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_events_go_only_to_their_organization_and_the_stream_resumes() {
    let tandem = Tandem::start(&Setup::default()).await;
    let (api, stranger) = (tandem.api("Home").await, tandem.api("Elsewhere").await);
    let mut events = api.events("/api/events", None).await;
    let mut far = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
    far.call("+34910000001", "tone", Duration::from_secs(5)).await;

    let mut ids = Vec::new();
    let patience = Duration::from_secs(5);
    let bridged = events.until("a bridged call", patience, |event| {
        ids.push(event.id.clone());
        (event.data["status"] == "bridged").then(|| event.data.clone())
    });
    let bridged = bridged.await;
    let id = bridged["call_id"].as_str().or(bridged["call"].as_str()).expect("the call's id").to_owned();
    far.party.hang_up();
    let ended = |event: &tests::api::SentEvent| (event.data["status"] == "ended").then(|| event.data.clone());
    events
        .until("the call's end", patience, |event| {
            ids.push(event.id.clone());
            ended(event)
        })
        .await;

    let (status, call) = stranger.ask(Method::GET, &format!("/api/calls/{id}"), None).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "another organization's call: {call}");
    let call = api.get(&format!("/api/calls/{id}")).await;
    assert_eq!((&call["status"], &call["ended_reason"]), (&json!("ended"), &json!("normal")), "{call}");

    // After any event the rest arrives once and in order. Events without an id are sent again to every listener.
    ids.retain(|id| !id.is_empty());
    let mut again = api.events("/api/events", Some(&ids[0])).await;
    let mut repeated = Vec::new();
    again
        .until("the call's end once more", patience, |event| {
            repeated.push(event.id.clone());
            ended(event)
        })
        .await;
    repeated.retain(|id| !id.is_empty());
    assert_eq!(repeated, ids[1..]);
    far.party.stop().await;
    tandem.stop().await;
}
