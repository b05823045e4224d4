//! Recordings by leg: one channel each, pauses, several recordings of one call at the same time.
//!
//! Every party sends a distinct tone, which identifies its channel.

use std::path::{Path, PathBuf};

use codecs::SampleRate;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::api::SentEvent;
use tests::desk::{hear_each_other, hears_tones};
use tests::office::{ANNA_HZ, BEN_HZ, CUSTOMER_HZ, Office, PATIENCE};
use tests::sound;

const CUSTOMER: &str = "+15550142";
const TONES: [f32; 3] = [CUSTOMER_HZ, ANNA_HZ, BEN_HZ];

/// Runs a verb that must succeed, and returns its answer.
async fn done(office: &Office, path: &str, body: Value) -> Value {
    let (status, answer) = office.api.ask(Method::POST, path, Some(body).filter(|body| !body.is_null())).await;
    assert!(status.is_success(), "{path}: {status} {answer}");
    answer
}

/// Downloads a URL of this server.
async fn bytes(office: &Office, url: &Value) -> Vec<u8> {
    let answer = office.api.send(Method::GET, url.as_str().expect("a url"), None).await;
    assert_eq!(answer.status(), StatusCode::OK, "{url}");
    answer.bytes().await.expect("audio").to_vec()
}

async fn number(office: &Office, call: &str, peer: &str) -> u64 {
    office.leg(call, peer, |leg| leg["state"] == "answered").await["leg"].as_u64().expect("a number")
}

/// Returns the duration in seconds for which a tone is heard in a channel.
fn seconds_of(channel: &[i16], rate: SampleRate, hertz: f32) -> f64 {
    let stretches = channel.chunks_exact(rate.samples_in_ms(100));
    stretches.filter(|part| sound::find(part, rate, hertz).tone_dbfs > -30.0).count() as f64 / 10.0
}

/// Asserts that a channel contains this tone for some time, and none of the others.
fn has_only(what: &str, channel: &[i16], rate: SampleRate, hertz: f32) {
    for tone in TONES {
        let heard = seconds_of(channel, rate, tone);
        assert!(
            (heard >= 1.0) == (tone == hertz) && (tone == hertz || heard == 0.0),
            "{what}: {tone} Hz for {heard} s"
        );
    }
}

/// Seconds since midnight of a time such as `2026-01-31T12:00:00.5Z`.
fn time_of_day(value: &Value) -> f64 {
    let (_, time) = value.as_str().and_then(|text| text.trim_end_matches('Z').split_once('T')).expect("a time");
    time.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().expect("a number"))
}

fn file(office: &Office, name: &str) -> PathBuf {
    office.tandem.data().join("recordings").join(name)
}

fn read(path: &Path) -> (SampleRate, Vec<Vec<i16>>) {
    sound::read_wav(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_party_has_its_own_channel_also_one_that_joins_later() {
    let mut office = Office::open().await;
    office.api.voice_config(json!({ "record": true })).await;
    let (mut customer, mut anna) = office.talk().await;
    let call = office.bridged().await;
    done(&office, &format!("/api/calls/{call}/legs"), json!({ "agent": "ben" })).await;
    let invite = office.ben.rings(PATIENCE).await;
    let mut ben = office.ben.answer(&invite, BEN_HZ, PATIENCE).await;
    tokio::join!(
        hears_tones("the customer", &mut customer, &[ANNA_HZ, BEN_HZ], &[CUSTOMER_HZ]),
        hears_tones("anna", &mut anna, &[CUSTOMER_HZ, BEN_HZ], &[ANNA_HZ]),
        hears_tones("ben", &mut ben, &[CUSTOMER_HZ, ANNA_HZ], &[BEN_HZ]),
    );
    customer.sound.hears(1.5, PATIENCE).await;
    office.ben.hang_up(&mut ben, PATIENCE).await;
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;
    let legs = [number(&office, &call, CUSTOMER).await, number(&office, &call, "anna").await];
    office.customer.hang_up(&mut customer, PATIENCE).await;
    office.anna.is_hung_up(&anna, PATIENCE).await;

    office.api.call_becomes("ended", PATIENCE).await;
    let listed = office.api.get(&format!("/api/calls/{call}/recordings")).await;
    let recording = &listed["recordings"][0];
    assert_eq!((&recording["state"], &recording["gaps"]), (&json!("finished"), &json!([])), "{listed}");
    let parts = recording["parts"].as_array().expect("parts");
    assert_eq!(parts.len(), 2, "{listed}");
    let who = |part: usize| -> Vec<&Value> {
        parts[part]["channels"].as_array().expect("channels").iter().map(|channel| &channel["peer"]).collect()
    };
    assert_eq!(who(0), [CUSTOMER, "anna"]);
    assert_eq!(who(1), [CUSTOMER, "anna", "ben"]);
    let channels = parts[1]["channels"].as_array().expect("channels");
    let of = |channel: &Value| (channel["leg"].as_u64().expect("a leg"), channel["until"].is_string());
    assert_eq!([of(&channels[0]), of(&channels[1])], [(legs[0], false), (legs[1], false)], "{listed}");
    assert!(of(&channels[2]).1, "ben left before the end: {listed}");

    for (name, tones) in [(format!("{call}.wav"), &TONES[..2]), (format!("{call}.2.wav"), &TONES[..])] {
        let (rate, channels) = read(&file(&office, &name));
        assert_eq!(channels.len(), tones.len(), "{name}");
        for (channel, hertz) in channels.iter().zip(tones) {
            has_only(&name, channel, rate, *hertz);
        }
    }
    // A player gets two channels: the customer, and both agents mixed.
    let played = bytes(&office, &parts[1]["url"]).await;
    let path = office.tandem.data().join("played.wav");
    std::fs::write(&path, &played).expect("written");
    let (rate, sides) = read(&path);
    assert_eq!(sides.len(), 2);
    has_only("the left side", &sides[0], rate, CUSTOMER_HZ);
    assert!(seconds_of(&sides[1], rate, ANNA_HZ) >= 1.0 && seconds_of(&sides[1], rate, BEN_HZ) >= 1.0);
    let original = bytes(&office, &parts[1]["original_url"]).await;
    assert_eq!(original, std::fs::read(file(&office, &format!("{call}.2.wav"))).expect("the file"));
    office.close(&["normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_is_a_listed_gap_and_a_second_start_makes_a_second_recording() {
    let mut office = Office::open().await;
    let (mut customer, mut anna) = office.talk().await;
    let call = office.bridged().await;
    let recordings = format!("/api/calls/{call}/recordings");
    let mut events = office.api.events("/api/events", None).await;
    assert_eq!(done(&office, &recordings, json!({})).await["recording"], 1);
    customer.sound.hears(1.5, PATIENCE).await;
    for _ in 0..2 {
        done(&office, &format!("{recordings}/1/pause"), Value::Null).await;
    }
    let paused = |event: &SentEvent| (event.data["state"] == "paused").then(|| event.data.clone());
    assert_eq!(events.until("the pause", PATIENCE, paused).await["number"], 1);
    // A recording of anna only is a file with one channel.
    let of_anna = number(&office, &call, "anna").await;
    assert_eq!(done(&office, &recordings, json!({ "leg": of_anna })).await["recording"], 2);
    customer.sound.hears(2.0, PATIENCE).await;
    done(&office, &format!("{recordings}/1/resume"), Value::Null).await;
    customer.sound.hears(1.5, PATIENCE).await;
    done(&office, &format!("{recordings}/2/stop"), Value::Null).await;
    let over = |event: &SentEvent| {
        (event.data["number"] == 2 && event.data["state"] == "finished").then(|| event.data.clone())
    };
    events.until("the end of the second", PATIENCE, over).await;
    let (status, answer) = office.api.ask(Method::POST, &format!("{recordings}/2/pause"), None).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{answer}");
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;
    office.customer.hang_up(&mut customer, PATIENCE).await;
    office.anna.is_hung_up(&anna, PATIENCE).await;
    office.api.call_becomes("ended", PATIENCE).await;

    let listed = office.api.get(&recordings).await;
    let [first, second] = &listed["recordings"].as_array().expect("recordings")[..] else { panic!("{listed}") };
    let states = [&first["state"], &second["state"], &second["leg"]];
    assert_eq!(states, [&json!("finished"), &json!("finished"), &json!(of_anna)], "{listed}");
    let [gap] = &first["gaps"].as_array().expect("gaps")[..] else { panic!("{listed}") };
    let span = |from: &Value, to: &Value| (time_of_day(to) - time_of_day(from)).rem_euclid(86_400.0);
    let (from, until) = (span(&first["started_at"], &gap["from"]), span(&first["started_at"], &gap["until"]));
    assert!(until - from >= 1.9, "{listed}");
    let (rate, channels) = read(&file(&office, &format!("{call}.wav")));
    for (channel, hertz) in channels.iter().zip(TONES) {
        has_only("the first", channel, rate, hertz);
        let at = |seconds: f64| (seconds * f64::from(rate.hz())) as usize;
        // The times in the list are those of the events, some milliseconds after the pause and its end.
        let inside = &channel[at(from + 0.1)..at(until - 0.1)];
        assert!(inside.iter().all(|sample| *sample == 0), "audio is recorded in the pause");
        assert!(seconds_of(&channel[at(until + 0.1)..], rate, hertz) >= 1.0, "no audio is recorded after the pause");
    }
    let (rate, alone) = read(&file(&office, &format!("{call}.r2.wav")));
    assert_eq!(alone.len(), 1);
    has_only("the second", &alone[0], rate, ANNA_HZ);
    office.close(&["normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn impossible_recording_requests_are_refused_with_a_reason() {
    let mut office = Office::open().await;
    let (mut customer, anna) = office.talk().await;
    let call = office.bridged().await;
    let recordings = format!("/api/calls/{call}/recordings");
    let (status, answer) = office.api.ask(Method::POST, &recordings, Some(json!({ "leg": 999_999 }))).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{answer}");
    // Two requests with the same key start one recording.
    let body = json!({});
    for _ in 0..2 {
        let (status, _, answer) = office.api.once(&recordings, "start", &body).await.expect("an answer");
        assert_eq!((status, &answer["recording"]), (StatusCode::CREATED, &json!(1)), "{answer}");
    }
    for number in 2..=4 {
        assert_eq!(done(&office, &recordings, json!({})).await["recording"], number);
    }
    let (status, answer) = office.api.ask(Method::POST, &recordings, Some(json!({}))).await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    assert!(answer["detail"].as_str().is_some_and(|text| text.contains("at most 4 recordings at once")), "{answer}");
    let switches = json!({ "record": false });
    let (status, _) = office.api.ask(Method::PUT, "/api/call-capabilities", Some(switches)).await;
    assert_eq!(status, StatusCode::OK);
    let (status, answer) = office.api.ask(Method::POST, &recordings, Some(json!({}))).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{answer}");
    office.customer.hang_up(&mut customer, PATIENCE).await;
    office.anna.is_hung_up(&anna, PATIENCE).await;
    office.close(&["normal"]).await;
}
