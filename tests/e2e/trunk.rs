//! A carrier's trunk: passwords, further hosts, the operator's view, and an orderly end.

use std::time::{Duration, Instant};

use media_engine::party::Noticed;
use media_engine::sdp::Codec;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tests::ears::FarEnd;
use tests::ports;
use tests::sipp::Sipp;
use tests::sound;
use tests::tandem::{Setup, Tandem};

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carrier_with_a_password_is_called_at_its_second_host_if_the_first_is_silent() {
    let (silent, carrier_port) = (ports::free(), ports::free());
    // This socket holds the port and never answers.
    let deaf = tokio::net::UdpSocket::bind(("127.0.0.1", silent)).await.expect("a port of one's own");
    let tandem = Tandem::start(&Setup {
        trunks: vec![("carrier", vec![format!("127.0.0.1:{silent}"), format!("127.0.0.1:{carrier_port}")])],
        trunk_settings: "options_s = 0\nuser = \"account\"\npassword = \"hush\"\nnumbers = \"e164\"\n",
        routes: vec![("+1555*", "trunk:carrier")],
        ..Setup::default()
    })
    .await;
    let carrier = Sipp::carrier(carrier_port, 1).await;
    let mut caller = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
    let asked = Instant::now();
    caller.call("+34910000001", "+15550100", PATIENCE).await;
    let took = asked.elapsed();
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(4), "the next host after {took:?}");
    let status = tandem.run_command(&["trunks"]).await;
    assert!(status.starts_with("carrier  2 calls\n"), "both legs are the trunk's, known by its address: {status}");
    assert!(status.contains(&format!("up    udp 127.0.0.1:{carrier_port}")), "{status}");
    assert!(
        status.contains(&format!("last error: 127.0.0.1:{silent}: no answer, not even a provisional one")),
        "{status}"
    );
    let tone = sound::tone(codecs::SampleRate::HZ_8000, 440.0, -12.0, 3.0);
    caller.party.say(1, codecs::SampleRate::HZ_8000, &tone).expect("a tone is sent");
    let (rate, heard) = caller.hear_samples(1.0, 1.0).await;
    sound::assert_tone("the carrier's echo", &heard, rate, 440.0, -12.0, 1.0);
    caller.party.hang_up();
    carrier.succeeds(PATIENCE).await;
    caller.party.stop().await;
    drop(deaf);
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_server_refuses_new_calls_and_lets_running_ones_end() {
    let tandem = Tandem::start(&Setup { drain_s: 30, ..Setup::default() }).await;
    let mut running = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
    running.call("+34910000001", "tone", PATIENCE).await;
    tandem.terminate();
    tandem.process().line("draining", PATIENCE, |line| line.contains("draining: no new calls").then_some(())).await;
    let mut late = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
    late.party.call("+34910000002", "tone").expect("a call placed");
    let refused = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(Noticed::Failed(status)) = late.party.next().await {
                return status;
            }
        }
    });
    assert_eq!(refused.await.expect("an answer"), 503);
    let (rate, heard) = running.hear_samples(0.2, 1.0).await;
    sound::assert_tone("a call while the server drains", &heard, rate, 1_000.0, -16.0, 0.5);
    let hung_up = Instant::now();
    running.party.hang_up();
    tandem.ends(PATIENCE).await;
    assert!(hung_up.elapsed() < Duration::from_secs(5), "with the last call the server ends: {:?}", hung_up.elapsed());
    running.party.stop().await;
    late.party.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_outlasts_the_drain_time_is_hung_up() {
    let tandem = Tandem::start(&Setup { drain_s: 1, ..Setup::default() }).await;
    let mut running = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
    running.call("+34910000001", "tone", PATIENCE).await;
    tandem.terminate();
    running.until(PATIENCE, |noticed| matches!(noticed, Noticed::Over)).await;
    tandem.ends(PATIENCE).await;
    running.party.stop().await;
}

/// Places a call from an agent's phone and returns the status of the refusal.
async fn refused(tandem: &Tandem, number: &str) -> u16 {
    let mut phone = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
    phone.party.call("+34910000001", number).expect("a call placed");
    let status = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(Noticed::Failed(status)) = phone.party.next().await {
                return status;
            }
        }
    });
    let status = status.await.expect("an answer");
    phone.party.stop().await;
    status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn premium_numbers_are_refused_and_emergency_calls_go_to_their_trunk() {
    let carrier_port = ports::free();
    let tandem = Tandem::start(&Setup {
        trunks: vec![("carrier", vec![format!("127.0.0.1:{carrier_port}")])],
        // The trunk has one channel, so that only emergency calls exceed it.
        trunk_settings: "options_s = 0\nchannels = 1\n",
        routes: vec![("*", "trunk:carrier")],
        further: "[dial]\nallow = [\"+34\"]\nemergency_trunk = \"carrier\"\n",
        ..Setup::default()
    })
    .await;
    for number in ["+15550100", "+870776123456", "+34803123456"] {
        assert_eq!(refused(&tandem, number).await, 403, "{number}");
    }
    let api = tandem.api("acme").await;
    let direct = |to: &str| Some(json!({ "mode": "direct", "to": to }));
    let (status, problem) = api.ask(Method::POST, "/api/calls", direct("+870776123456")).await;
    assert_eq!((status, &problem["detail"]), (StatusCode::FORBIDDEN, &json!("Satellite numbers are switched off")));
    let carrier = Sipp::echo_callee(carrier_port, 2).await;
    let (status, _) = api.ask(Method::POST, "/api/calls", direct("+34911222333")).await;
    assert_eq!(status, StatusCode::CREATED);
    let first = api.call_becomes("answered", PATIENCE).await;
    assert_eq!(refused(&tandem, "+34911222334").await, 503, "the trunk's one channel is taken");
    let (status, _) = api.ask(Method::POST, "/api/calls", direct("112")).await;
    assert_eq!(status, StatusCode::CREATED);
    let second = api.call_becomes("answered", PATIENCE).await;
    assert_ne!(first["id"], second["id"]);
    for call in [first, second] {
        let path = format!("/api/calls/{}/hangup", call["id"].as_str().expect("an id"));
        assert!(api.ask(Method::POST, &path, None).await.0.is_success());
    }
    carrier.succeeds(PATIENCE).await;
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emergency_calls_without_a_trunk_are_refused_at_once_with_a_reason() {
    let tandem = Tandem::start(&Setup::default()).await;
    let api = tandem.api("acme").await;
    let body = json!({ "mode": "direct", "to": "911" });
    let (status, problem) = api.ask(Method::POST, "/api/calls", Some(body)).await;
    let sentence = "This system does not place emergency calls: use another phone";
    assert_eq!((status, &problem["detail"]), (StatusCode::FORBIDDEN, &json!(sentence)));
    tandem.stop().await;
}
