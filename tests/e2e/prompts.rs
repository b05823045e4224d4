//! Prompts played to a running call, and digits collected from it.

use std::time::Duration;

use codecs::SampleRate;
use media_engine::sdp::Codec;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::api::{Events, SentEvent};
use tests::desk::{Desk, hear_each_other};
use tests::ears::FarEnd;
use tests::office::{ANNA_HZ, CUSTOMER_HZ, Office, PATIENCE};
use tests::sound;
use tests::tandem::{Setup, Tandem};

/// Frequency of the prompt, in Hz.
const PROMPT_HZ: u16 = 1_500;

/// Runs a verb on a call, which must succeed, and returns its answer.
async fn done(office: &Office, call: &str, path: &str, body: Value) -> Value {
    let (status, answer) = office.api.ask(Method::POST, &format!("/api/calls/{call}/{path}"), Some(body)).await;
    assert!(status.is_success(), "{path}: {status} {answer}");
    answer
}

/// Number of the leg at `peer`.
async fn leg_of(office: &Office, call: &str, peer: &str) -> u64 {
    office.leg(call, peer, |leg| leg["state"] == "answered").await["leg"].as_u64().expect("a number")
}

/// Waits for the next event of this name about a play or collection; `kind` is the field with its number.
async fn next_event(events: &mut Events, name: &str, (kind, number): (&str, &Value)) -> Value {
    let is_it = |event: &SentEvent| (event.name == name && event.data[kind] == *number).then(|| event.data.clone());
    events.until(name, PATIENCE, is_it).await
}

fn tone(duration_ms: u32) -> Value {
    json!({ "hz": [PROMPT_HZ], "duration_ms": duration_ms })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tone_plays_to_one_leg_or_all_and_ends_by_itself_or_when_stopped() {
    let mut office = Office::open().await;
    let (mut customer, mut anna) = office.talk().await;
    let call = office.bridged().await;
    let mut events = office.api.events("/api/events", None).await;
    let leg = leg_of(&office, &call, "anna").await;
    let level = |heard: &[i16]| sound::find(heard, SampleRate::HZ_8000, PROMPT_HZ.into()).tone_dbfs;

    let played = done(&office, &call, "play", json!({ "leg": leg, "tone": tone(1_000) })).await;
    let (at_anna, at_customer) = tokio::join!(anna.sound.hears(0.8, PATIENCE), customer.sound.hears(0.8, PATIENCE));
    assert!(level(&at_anna) > -26.0, "anna hears it at {} dBFS", level(&at_anna));
    assert!(level(&at_customer) < -45.0, "the customer hears it at {} dBFS", level(&at_customer));
    for state in ["started", "done"] {
        let event = next_event(&mut events, "call.play", ("play", &played["play"])).await;
        assert_eq!((&event["state"], &event["legs"]), (&json!(state), &json!([leg])), "{event}");
    }

    let played = done(&office, &call, "play", json!({ "tone": tone(10_000) })).await;
    let begun = next_event(&mut events, "call.play", ("play", &played["play"])).await;
    assert_eq!(begun["legs"].as_array().map(Vec::len), Some(2), "{begun}");
    let (at_anna, at_customer) = tokio::join!(anna.sound.hears(0.5, PATIENCE), customer.sound.hears(0.5, PATIENCE));
    assert!(level(&at_anna) > -26.0 && level(&at_customer) > -26.0, "all hear it");
    done(&office, &call, "stop", json!({ "play": played["play"] })).await;
    let ended = next_event(&mut events, "call.play", ("play", &played["play"])).await;
    assert_eq!(ended["state"], "stopped", "{ended}");
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;

    let folder = tempfile::tempdir().expect("an empty folder");
    let path = folder.path().join("bell.wav");
    sound::write_wav(&path, SampleRate::HZ_16000, &sound::tone(SampleRate::HZ_16000, PROMPT_HZ.into(), -16.0, 2.0));
    let file = std::fs::read(path).expect("a WAV");
    let kept = office.api.upload("/api/media?name=bell", "audio/wav", file).await;
    assert_eq!((&kept["duration_ms"], &kept["rate_hz"]), (&json!(2_000), &json!(16_000)), "{kept}");
    let played = done(&office, &call, "play", json!({ "leg": leg, "media": "bell" })).await;
    let heard = anna.sound.hears(0.8, PATIENCE).await;
    assert!(level(&heard) > -26.0, "anna hears it at {} dBFS", level(&heard));
    for state in ["started", "done"] {
        let event = next_event(&mut events, "call.play", ("play", &played["play"])).await;
        assert_eq!(event["state"], state, "{event}");
    }

    let spoken = done(&office, &call, "play", json!({ "speak": { "text": "Hello", "language": "en" } })).await;
    let failed = next_event(&mut events, "call.play", ("play", &spoken["play"])).await;
    assert_eq!(failed["state"], "failed", "no synthesiser is configured: {failed}");
    assert!(failed["note"].as_str().is_some_and(|note| !note.is_empty()), "{failed}");

    for (path, body, status, named) in [
        ("play", json!({ "leg": 999_999, "tone": tone(100) }), StatusCode::NOT_FOUND, "leg"),
        ("play", json!({ "media": "no such" }), StatusCode::UNPROCESSABLE_ENTITY, "media"),
        ("play", json!({}), StatusCode::UNPROCESSABLE_ENTITY, "tone"),
        ("play", json!({ "tone": tone(5) }), StatusCode::UNPROCESSABLE_ENTITY, "tone.duration_ms"),
        ("play", json!({ "tone": { "hz": [], "duration_ms": 100 } }), StatusCode::UNPROCESSABLE_ENTITY, "tone.hz"),
        ("stop", json!({ "play": played["play"] }), StatusCode::CONFLICT, "in progress"),
        ("gather", json!({ "leg": leg, "max": 0 }), StatusCode::UNPROCESSABLE_ENTITY, "max"),
        ("gather", json!({ "leg": leg, "max": 2, "finish": "x" }), StatusCode::UNPROCESSABLE_ENTITY, "finish"),
        ("gather", json!({ "leg": leg, "max": 2, "first_s": 0 }), StatusCode::UNPROCESSABLE_ENTITY, "first_s"),
    ] {
        let asked = office.api.ask(Method::POST, &format!("/api/calls/{call}/{path}"), Some(body.clone())).await;
        assert_eq!(asked.0, status, "{path} {body}: {}", asked.1);
        assert!(asked.1.to_string().contains(named), "{path} {body}: {}", asked.1);
    }
    office.customer.hang_up(&mut customer, PATIENCE).await;
    office.anna.is_hung_up(&anna, PATIENCE).await;
    office.close(&["normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_band_digits_are_collected_in_order_despite_packet_loss() {
    let mut office = Office::open().await;
    let (mut customer, anna) = office.talk().await;
    let call = office.bridged().await;
    let mut events = office.api.events("/api/events", None).await;
    let leg = leg_of(&office, &call, "+15550142").await;
    let digits = "0123456789*ABCD55500998877";
    let request = json!({ "leg": leg, "max": 64, "first_s": 10, "between_s": 5 });
    let begun = done(&office, &call, "gather", request.clone()).await;
    let again = office.api.ask(Method::POST, &format!("/api/calls/{call}/gather"), Some(request)).await;
    assert_eq!(again.0, StatusCode::CONFLICT, "one collection at a time: {}", again.1);
    customer.sound.press(&format!("{digits}#"));
    let gathered = next_event(&mut events, "call.gathered", ("gather", &begun["gather"])).await;
    assert_eq!((&gathered["digits"], &gathered["ended_by"]), (&json!(digits), &json!("finish_key")), "{gathered}");
    assert_eq!(gathered["enough"], true);
    assert!(customer.sound.lost() >= 2, "{} packets were lost", customer.sound.lost());
    office.customer.hang_up(&mut customer, PATIENCE).await;
    office.anna.is_hung_up(&anna, PATIENCE).await;
    office.close(&["normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_counts_once_and_an_uninterruptible_prompt_plays_to_its_end() {
    let mut office = Office::open().await;
    let (mut customer, anna) = office.talk().await;
    let call = office.bridged().await;
    let mut events = office.api.events("/api/events", None).await;
    let leg = leg_of(&office, &call, "+15550142").await;
    let request = json!({ "leg": leg, "max": 3, "min": 2, "finish": null, "between_s": 1,
        "prompt": { "tone": tone(800) }, "barge_in": false });
    let begun = done(&office, &call, "gather", request).await;
    let prompt = ("play", &begun["play"]);
    assert_eq!(next_event(&mut events, "call.play", prompt).await["state"], "started");
    office.customer.info(&mut customer, '7', PATIENCE).await;
    assert_eq!(next_event(&mut events, "call.play", prompt).await["state"], "done", "7 does not end it");
    // The same key arrives by signalling and in band.
    office.customer.info(&mut customer, '5', PATIENCE).await;
    customer.sound.press("5");
    let gathered = next_event(&mut events, "call.gathered", ("gather", &begun["gather"])).await;
    assert_eq!((&gathered["digits"], &gathered["ended_by"]), (&json!("5"), &json!("timeout")), "{gathered}");
    assert_eq!(gathered["enough"], false, "two were expected");

    let begun =
        done(&office, &call, "gather", json!({ "leg": leg, "max": 1, "prompt": { "tone": tone(10_000) } })).await;
    let prompt = ("play", &begun["play"]);
    assert_eq!(next_event(&mut events, "call.play", prompt).await["state"], "started");
    office.customer.info(&mut customer, '3', PATIENCE).await;
    let gathered = next_event(&mut events, "call.gathered", ("gather", &begun["gather"])).await;
    assert_eq!((&gathered["digits"], &gathered["ended_by"]), (&json!("3"), &json!("length")), "{gathered}");
    assert_eq!(next_event(&mut events, "call.play", prompt).await["state"], "stopped", "a key interrupts it");

    let begun = done(&office, &call, "gather", json!({ "leg": leg, "max": 4 })).await;
    office.customer.hang_up(&mut customer, PATIENCE).await;
    let gathered = next_event(&mut events, "call.gathered", ("gather", &begun["gather"])).await;
    assert_eq!((&gathered["ended_by"], &gathered["enough"]), (&json!("leg_gone"), &json!(false)), "{gathered}");
    office.anna.is_hung_up(&anna, PATIENCE).await;
    office.close(&["normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spoken_prompt_is_interrupted_by_a_telephone_event_which_is_collected() {
    let setup = Setup {
        speech: true,
        trunks: vec![("carrier", vec!["127.0.0.1".into()])],
        routes: vec![("100", "agent:anna")],
        ..Setup::default()
    };
    let tandem = Tandem::start(&setup).await;
    let api = tandem.api("acme").await;
    let (mut anna, _) = Desk::of_agent_at(&tandem, "127.0.0.3", tandem.sip(), "anna").await;
    let mut far = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
    let ((), mut line) = tokio::join!(far.call("+15550142", "100", PATIENCE), async {
        let invite = anna.rings(PATIENCE).await;
        anna.answer(&invite, ANNA_HZ, PATIENCE).await
    });
    let call = api.call_becomes("bridged", PATIENCE).await["id"].as_str().expect("an id").to_owned();
    let shown = api.get(&format!("/api/calls/{call}")).await;
    let mut legs = shown["legs"].as_array().expect("legs").iter();
    let leg = legs.find(|leg| leg["role"] == "customer").expect("the customer")["leg"].clone();
    let mut events = api.events("/api/events", None).await;
    let text = "Please enter your four digit number, followed by the pound key. ".repeat(4);
    let request = json!({ "leg": leg, "max": 4, "prompt": { "speak": { "text": text, "language": "en" } } });
    let (status, begun) = api.ask(Method::POST, &format!("/api/calls/{call}/gather"), Some(request)).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{begun}");
    let prompt = ("play", &begun["play"]);
    assert_eq!(next_event(&mut events, "call.play", prompt).await["state"], "started");
    // The caller hears the voice over anna's tone, which is attenuated meanwhile.
    let (rate, heard) = far.hear_samples(0.3, 1.0).await;
    let anna_hz = sound::find(&heard, rate, ANNA_HZ);
    assert!(anna_hz.total_dbfs > anna_hz.tone_dbfs + 3.0, "a voice is heard: {anna_hz:?}");
    for key in ['2', '2', '0', '4'] {
        far.party.press(key).expect("a key");
        let is_key =
            |event: &SentEvent| (event.name == "call.dtmf" && event.data["digit"] == key.to_string()).then_some(());
        events.until("call.dtmf", PATIENCE, is_key).await;
    }
    let gathered = next_event(&mut events, "call.gathered", ("gather", &begun["gather"])).await;
    assert_eq!((&gathered["digits"], &gathered["ended_by"]), (&json!("2204"), &json!("length")), "{gathered}");
    anna.hang_up(&mut line, Duration::from_secs(10)).await;
    tandem.stop().await;
}
