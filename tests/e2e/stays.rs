//! The transcript follows the parties: after a transfer it ends for the first agent and begins for the second.
//!
//! ```text
//! customer (trunk, 127.0.0.2) ── Tandem ── carla, dora (agents who see own calls only, 127.0.0.1)
//! ```

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::api::{Api, Events, SentEvent};
use tests::desk::{Desk, hear_each_other};
use tests::office::{ANNA_HZ, BEN_HZ, CUSTOMER_HZ, Office, PATIENCE};
use tokio::time::{Instant, timeout_at};

/// Deadline for a stream of words to end after its listener has left the call.
const ENDS: Duration = Duration::from_secs(5);

/// Types a text into a call as soon as the call accepts it.
async fn types(api: &Api, call: &str, text: &str) {
    let until = Instant::now() + PATIENCE;
    let mut again = tokio::time::interval(Duration::from_millis(100));
    loop {
        again.tick().await;
        let say = format!("/api/calls/{call}/say");
        let (status, answer) = api.ask(Method::POST, &say, Some(json!({ "text": text }))).await;
        if status == StatusCode::ACCEPTED {
            return;
        }
        assert!(status == StatusCode::CONFLICT && Instant::now() < until, "{text}: {status} {answer}");
    }
}

async fn reads(stream: &mut Events, text: &str) {
    stream.until(text, PATIENCE, |event| (event.data["text"] == text).then_some(())).await;
}

async fn words(api: &Api, call: &str) -> Events {
    api.events(&format!("/api/calls/{call}/translations/stream"), None).await
}

/// Returns the texts that a member reads in the call's transcript afterwards.
async fn transcript(api: &Api, call: &str) -> Vec<Value> {
    let shown = api.get(&format!("/api/calls/{call}/transcript")).await;
    let segments = shown["segments"].as_array().expect("segments").iter();
    segments.map(|segment| segment["text"].clone()).filter(|text| text != "").collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_moves_the_transcript_to_the_second_agent_within_five_seconds() {
    let mut office = Office::open().await;
    office.api.voice_config(json!({ "live_translate": true })).await;
    let (mut carla_desk, carla_api) = Desk::of_own_calls(&office.tandem, "carla").await;
    let (mut dora_desk, dora_api) = Desk::of_own_calls(&office.tandem, "dora").await;
    let request = json!({ "mode": "bridge", "agent": "carla", "to": "+15550142" });
    let (status, made) = office.api.ask(Method::POST, "/api/calls", Some(request)).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let call = made["id"].as_str().expect("an id").to_owned();
    let invite = carla_desk.rings(PATIENCE).await;
    let (mut carla, mut customer) = tokio::join!(carla_desk.answer(&invite, ANNA_HZ, PATIENCE), async {
        let invite = office.customer.rings(PATIENCE).await;
        office.customer.answer(&invite, CUSTOMER_HZ, PATIENCE).await
    });
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut carla, ANNA_HZ)).await;
    office.bridged().await;

    let mut of_carla = words(&carla_api, &call).await;
    let mut calls_of_dora = dora_api.events("/api/events", None).await;
    types(&carla_api, &call, "before").await;
    reads(&mut of_carla, "before").await;
    let (status, _) = dora_api.ask(Method::GET, &format!("/api/calls/{call}"), None).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "dora is not in it yet");

    carla_desk.refer(&mut carla, &office.sip_uri("dora"), None, PATIENCE).await;
    let invite = dora_desk.rings(PATIENCE).await;
    let mut dora = dora_desk.answer(&invite, BEN_HZ, PATIENCE).await;
    let left = Instant::now();
    let joined = |event: &SentEvent| (event.name == "call.joined").then(|| event.data.clone());
    let joined = calls_of_dora.until("dora's joining", PATIENCE, joined).await;
    assert_eq!((&joined["agent"], &joined["call"]["id"]), (&json!("dora"), &json!(call)), "{joined}");
    let mut of_dora = words(&dora_api, &call).await;
    types(&dora_api, &call, "after").await;
    reads(&mut of_dora, "after").await;

    let mut last = Vec::new();
    while let Ok(Some(event)) = timeout_at(left + ENDS, of_carla.next()).await {
        last.push(event);
    }
    assert!(Instant::now() < left + ENDS, "her stream has not ended: {last:?}");
    assert_eq!(last.last().map(|event| event.name.as_str()), Some("left"), "{last:?}");
    assert!(last.iter().all(|event| event.data["text"] != "after"), "{last:?}");
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut dora, BEN_HZ)).await;
    carla_desk.is_hung_up(&carla, PATIENCE).await;
    let (status, refused) = carla_api.ask(Method::POST, &format!("/api/calls/{call}/hangup"), None).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{refused}");
    types(&dora_api, &call, "later").await;
    reads(&mut of_dora, "later").await;

    dora_desk.hang_up(&mut dora, PATIENCE).await;
    office.customer.is_hung_up(&customer, PATIENCE).await;
    office.api.call_becomes("ended", PATIENCE).await;
    assert_eq!(transcript(&carla_api, &call).await, ["before"]);
    assert_eq!(transcript(&dora_api, &call).await, ["after", "later"]);
    assert_eq!(transcript(&office.api, &call).await, ["before", "after", "later"]);
    for (api, who) in [(&carla_api, "carla"), (&dora_api, "dora")] {
        let mine = api.newest_call().await.unwrap_or_else(|| panic!("{who} has no call"));
        assert_eq!((&mine["id"], &mine["people"]), (&json!(call), &json!([])), "{who}");
    }
    office.close(&["normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_colleagues_read_the_words_of_their_call_and_keep_its_transcript() {
    let office = Office::open().await;
    office.api.voice_config(json!({ "live_translate": true })).await;
    let (mut carla_desk, carla_api) = Desk::of_own_calls(&office.tandem, "carla").await;
    let (mut bob_desk, bob_api) = Desk::of_own_calls(&office.tandem, "bob").await;
    let request = json!({ "mode": "bridge", "agent": "carla", "to": office.sip_uri("bob") });
    let (status, made) = office.api.ask(Method::POST, "/api/calls", Some(request)).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let call = made["id"].as_str().expect("an id").to_owned();
    let invite = carla_desk.rings(PATIENCE).await;
    let (mut carla, mut bob) = tokio::join!(carla_desk.answer(&invite, ANNA_HZ, PATIENCE), async {
        let invite = bob_desk.rings(PATIENCE).await;
        bob_desk.answer(&invite, BEN_HZ, PATIENCE).await
    });
    hear_each_other((&mut carla, ANNA_HZ), (&mut bob, BEN_HZ)).await;
    office.bridged().await;
    let (mut of_carla, mut of_bob) = (words(&carla_api, &call).await, words(&bob_api, &call).await);
    types(&carla_api, &call, "hello").await;
    tokio::join!(reads(&mut of_carla, "hello"), reads(&mut of_bob, "hello"));
    carla_desk.hang_up(&mut carla, PATIENCE).await;
    bob_desk.is_hung_up(&bob, PATIENCE).await;
    office.api.call_becomes("ended", PATIENCE).await;
    for api in [&carla_api, &bob_api] {
        assert_eq!(transcript(api, &call).await, ["hello"]);
    }
    office.close(&["normal"]).await;
}
