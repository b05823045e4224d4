//! How legs end: status, Q.850 cause, text and originator of the end, and what of these the other side receives.
//!
//! ```text
//! anna (registered) ── Tandem ── the carrier (scripted phones, sipp), which refuses or hangs up with its own text
//! ```

use std::net::SocketAddr;

use reqwest::Method;
use serde_json::{Value, json};
use tests::api::{Api, SentEvent};
use tests::desk::Desk;
use tests::office::{ANNA_HZ, CUSTOMER_HZ, Office, PATIENCE};
use tests::ports;
use tests::sipp::Sipp;
use tests::tandem::{Setup, Tandem};

const NUMBER: &str = "+15550177";

/// Waits until the newest call has `status` and returns the ends of its legs, sorted by peer; numbers sort before names.
async fn endings(api: &Api, status: &str) -> Vec<(Value, Value)> {
    let call = api.call_becomes(status, PATIENCE).await;
    endings_of(api, call["id"].as_str().expect("an id")).await
}

/// Returns the ends of the legs of a call, sorted by peer; numbers sort before names.
async fn endings_of(api: &Api, call: &str) -> Vec<(Value, Value)> {
    let shown = api.get(&format!("/api/calls/{call}")).await;
    let legs = shown["legs"].as_array().expect("legs");
    let mut endings: Vec<_> = legs.iter().map(|leg| (leg["peer"].clone(), leg["ending"].clone())).collect();
    endings.sort_by_key(|(peer, _)| peer.to_string());
    endings
}

/// Returns the values of a message's Reason headers.
fn reason(message: &str) -> Vec<&str> {
    message.lines().filter_map(|line| line.strip_prefix("Reason: ")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_refusal_of_a_trunk_is_kept_raw_and_its_q_850_cause_reaches_the_caller() {
    let mut office = Office::open().await;
    let mut events = office.api.events("/api/events", None).await;
    for (status, said, cause, q850, text) in [
        (486, "Q.850;cause=17;text=\"User busy\"", "busy", 17, "Line 3 is busy"),
        (404, "SIP;cause=404, Q.850;cause=1", "not_found", 1, "Line 3 is busy"),
    ] {
        let refuse = async {
            let invite = office.customer.rings(PATIENCE).await;
            let warning = ("Warning", "399 carrier.example \"Line 3 is busy\"");
            office.customer.refuse_with(&invite, status, &[("Reason", said), warning]).await;
        };
        let (answer, ()) = tokio::join!(office.anna.is_refused(NUMBER, PATIENCE), refuse);
        assert!(answer.starts_with(&format!("SIP/2.0 {status} ")), "{answer}");
        let [passed_on] = reason(&answer)[..] else { panic!("one reason is expected: {answer}") };
        assert!(passed_on.starts_with(&format!("Q.850;cause={q850};text=")), "{answer}");
        assert!(!answer.contains("Line 3"), "the carrier's own words are not for the caller: {answer}");
        let theirs = json!({"cause": cause, "by": "far_end", "sip_status": status, "q850": q850, "text": text});
        let ours = json!({"cause": cause, "by": "tandem", "sip_status": status, "q850": q850});
        let is_it = |event: &SentEvent| (event.data["ending"] == theirs).then(|| event.data["peer"].clone());
        assert_eq!(events.until("the leg's end", PATIENCE, is_it).await, json!(NUMBER));
        let failed = |event: &SentEvent| (event.data["status"] == "failed").then(|| event.data["call_id"].clone());
        let call = events.until("the call's end", PATIENCE, failed).await;
        let ended = endings_of(&office.api, call.as_str().expect("an id")).await;
        assert_eq!(ended, [(json!(NUMBER), theirs), (json!("anna"), ours)]);
    }
    office.tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_custom_busy_reason_of_a_sipp_carrier_is_reported_with_its_leg() {
    let carrier = SocketAddr::from(([127, 0, 0, 1], ports::free()));
    let tandem = Tandem::start(&Setup {
        trunks: vec![("carrier", vec![carrier.to_string()])],
        further: "[dial]\nallow = [\"+1555\"]\n",
        ..Setup::default()
    })
    .await;
    let api = tandem.api("acme").await;
    let sipp = Sipp::awaits("callee_refuses_in_words", carrier, ports::free(), 1).await;
    let body = json!({ "mode": "direct", "to": NUMBER });
    assert!(api.ask(Method::POST, "/api/calls", Some(body)).await.0.is_success());
    let told = json!({
        "cause": "busy", "by": "far_end", "sip_status": 486, "q850": 17, "text": "Only two calls at once, please"
    });
    assert_eq!(endings(&api, "failed").await, [(json!(NUMBER), told)]);
    sipp.succeeds(PATIENCE).await;
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_answered_at_the_second_host_ends_with_that_host_s_bye_as_its_cause() {
    let hosts = [2, 3].map(|n| SocketAddr::from(([127, 0, 0, n], ports::free())));
    let tandem = Tandem::start(&Setup {
        trunks: vec![("carrier", hosts.map(|host| host.to_string()).to_vec())],
        trunk_settings: "options_s = 0\n",
        routes: vec![("+*", "trunk:carrier")],
        further: "[dial]\nallow = [\"+1555\"]\n",
        ..Setup::default()
    })
    .await;
    let api = tandem.api("acme").await;
    let (mut anna, _) = Desk::of_agent(&tandem, "anna").await;
    let mut full = Desk::start_at(hosts[0], tandem.sip(), "full").await;
    let mut free = Desk::start_at(hosts[1], tandem.sip(), "free").await;
    let (line, mut callee) = tokio::join!(anna.call(NUMBER, ANNA_HZ, "", PATIENCE), async {
        let invite = full.rings(PATIENCE).await;
        full.refuse_with(&invite, 503, &[("Warning", "399 full.example \"No room\"")]).await;
        let invite = free.rings(PATIENCE).await;
        free.answer(&invite, CUSTOMER_HZ, PATIENCE).await
    });
    let line = line.expect("the second host answers");
    free.hang_up_with(&mut callee, "Reason: Q.850;cause=31\r\n", PATIENCE).await;
    let bye = anna.is_hung_up(&line, PATIENCE).await;
    assert_eq!(reason(&bye), ["Q.850;cause=31;text=\"Normal, unspecified\""], "{bye}");
    let ours = json!({"cause": "normal", "by": "tandem", "q850": 31});
    let theirs = json!({"cause": "normal", "by": "far_end", "q850": 31});
    assert_eq!(endings(&api, "ended").await, [(json!(NUMBER), theirs), (json!("anna"), ours)]);
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bye_with_a_reason_header_is_kept_with_its_text() {
    let mut office = Office::open().await;
    let (mut customer, anna) = office.talk().await;
    let reason = "Reason: Q.850 ;cause=16;text=\"Normal call clearing\"\r\n";
    office.customer.hang_up_with(&mut customer, reason, PATIENCE).await;
    office.anna.is_hung_up(&anna, PATIENCE).await;
    let theirs = json!({"cause": "normal", "by": "far_end", "q850": 16, "text": "Normal call clearing"});
    let ours = json!({"cause": "normal", "by": "tandem", "q850": 16});
    let ended = endings(&office.api, "ended").await;
    assert_eq!(ended, [(json!("+15550142"), theirs), (json!("anna"), ours)]);
    office.close(&["normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leg_ended_through_the_api_is_reported_as_ended_by_request() {
    let mut office = Office::open().await;
    let (customer, anna) = office.talk().await;
    let call = office.bridged().await;
    office.api.post(&format!("/api/calls/{call}/hangup")).await;
    for bye in [office.customer.is_hung_up(&customer, PATIENCE).await, office.anna.is_hung_up(&anna, PATIENCE).await] {
        assert_eq!(reason(&bye), ["Q.850;cause=16;text=\"Normal call clearing\""], "{bye}");
    }
    let requested = json!({"cause": "requested", "by": "request"});
    let ended = endings(&office.api, "ended").await;
    assert_eq!(ended, [(json!("+15550142"), requested.clone()), (json!("anna"), requested.clone())]);

    // A ringing call is cancelled, and the phone receives the reason.
    let body = json!({ "mode": "direct", "to": NUMBER });
    let (_, made) = office.api.ask(Method::POST, "/api/calls", Some(body)).await;
    let invite = office.customer.rings(PATIENCE).await;
    office.api.post(&format!("/api/calls/{}/hangup", made["id"].as_str().expect("an id"))).await;
    let cancel = office.customer.is_cancelled(&invite, PATIENCE).await;
    assert_eq!(reason(&cancel), ["Q.850;cause=16;text=\"Normal call clearing\""], "{cancel}");
    assert_eq!(endings(&office.api, "failed").await, [(json!(NUMBER), requested)]);
    office.tandem.stop().await;
}
