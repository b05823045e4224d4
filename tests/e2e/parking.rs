//! Parked calls and their pickup. Every party sends a distinct tone, so that the tests can check which parties hear each other.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::api::{Api, Events, SentEvent};
use tests::desk::{Desk, Line, hear_each_other, hears_tones};
use tests::office::{ANNA_HZ, BEN_HZ, CUSTOMER_HZ, Office, PATIENCE};

/// Frequency of the tone that a waiting party hears at intervals, in Hz.
const HOLD_HZ: f32 = 350.0;
const TONES: [f32; 3] = [CUSTOMER_HZ, ANNA_HZ, BEN_HZ];
const CUSTOMER: &str = "+15550142";

/// Asserts that a line hears no party, and the soft hold tone at intervals.
async fn waits(line: &mut Line) {
    hears_tones("the parked party", line, &[], &TONES).await;
    line.sound.until_tone(HOLD_HZ, PATIENCE).await;
}

async fn next_event(events: &mut Events, name: &str) -> Value {
    let is_it = |event: &SentEvent| (event.name == name).then(|| event.data.clone());
    events.until(name, PATIENCE, is_it).await
}

async fn post(office: &Office, path: &str, body: Value) -> (StatusCode, Value) {
    office.api.ask(Method::POST, path, Some(body)).await
}

async fn leg_of(office: &Office, call: &str, peer: &str) -> u64 {
    office.leg(call, peer, |leg| leg["state"] == "answered").await["leg"].as_u64().expect("a number")
}

/// Parks the customer by anna: her leg ends, and the customer waits in a slot.
async fn parks(office: &mut Office, (customer, anna): (&mut Line, &mut Line), further: Value) -> (String, Value) {
    let call = office.bridged().await;
    let leg = leg_of(office, &call, "anna").await;
    let mut body = json!({ "leg": leg });
    body.as_object_mut().expect("an object").extend(further.as_object().cloned().unwrap_or_default());
    let (status, parked) = post(office, &format!("/api/calls/{call}/park"), body).await;
    assert_eq!(status, StatusCode::OK, "{parked}");
    office.anna.is_hung_up(anna, PATIENCE).await;
    waits(customer).await;
    (call, parked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_customer_hears_music_until_a_colleague_picks_the_call_up() {
    let mut office = Office::open().await;
    let (mut customer, mut anna) = office.talk().await;
    let mut events = office.api.events("/api/events", None).await;
    let (call, parked) = parks(&mut office, (&mut customer, &mut anna), json!({})).await;
    assert_eq!(parked["slot"], 1, "the lowest free one: {parked}");
    let event = next_event(&mut events, "call.parked").await;
    assert_eq!((&event["slot"], &event["parked_by"], &event["leg"]), (&json!(1), &json!("anna"), &parked["leg"]));
    let list = office.api.get("/api/parked").await;
    let shown = &list["parked"][0];
    assert_eq!(
        (&shown["slot"], &shown["call_id"], &shown["peer"], &shown["parked_by"]),
        (&json!(1), &json!(call), &json!(CUSTOMER), &json!("anna")),
        "{list}"
    );
    let (status, refused) = post(&office, &format!("/api/calls/{call}/legs"), json!({ "agent": "ben" })).await;
    assert_eq!(status, StatusCode::CONFLICT, "{refused}");
    assert!(refused["detail"].as_str().is_some_and(|why| why.contains("parked")), "{refused}");

    // Two agents pick the call up at once: one rings, the other gets the reason of the refusal.
    let pickup = |agent: &str| post(&office, "/api/parked/1/pickup", json!({ "agent": agent, "ring_s": 20 }));
    let answers: [(StatusCode, Value); 2] = tokio::join!(pickup("ben"), pickup("ben")).into();
    let won: Vec<&Value> =
        answers.iter().filter(|(status, _)| *status == StatusCode::CREATED).map(|(_, answer)| answer).collect();
    assert_eq!(won.len(), 1, "{answers:?}");
    assert_eq!(won[0]["call_id"], json!(call), "{answers:?}");
    let (_, lost) = answers.iter().find(|(status, _)| *status == StatusCode::CONFLICT).expect("one is refused");
    assert!(lost["detail"].as_str().is_some_and(|why| why.contains("another agent")), "{lost}");
    let invite = office.ben.rings(PATIENCE).await;
    assert!(invite.contains(&format!("\r\nTandem-Picks-Up: {call}\r\n")), "a page knows it by this: {invite}");
    assert!(invite.contains("\r\nFrom: <sip:+15550142@"), "ben sees the customer: {invite}");
    waits(&mut customer).await;
    let mut ben = office.ben.answer(&invite, BEN_HZ, PATIENCE).await;
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut ben, BEN_HZ)).await;
    let event = next_event(&mut events, "call.unparked").await;
    assert_eq!((&event["slot"], &event["why"]), (&json!(1), &json!("picked_up")), "{event}");
    assert_eq!(office.api.get("/api/parked").await["parked"], json!([]));
    let (status, _) = post(&office, "/api/parked/1/pickup", json!({ "agent": "anna" })).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "the slot is empty");
    office.ben.hang_up(&mut ben, PATIENCE).await;
    office.customer.is_hung_up(&customer, PATIENCE).await;
    office.close(&["normal"]).await;
}

/// Asserts that a telephone that dials `to` is refused with this status line.
async fn is_refused(desk: &mut Desk, to: &str, status_line: &str) {
    let answer = desk.is_refused(to, PATIENCE).await;
    assert!(answer.starts_with(&format!("SIP/2.0 {status_line}\r\n")), "{to}: {answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_telephone_picks_up_a_parked_call_by_dialling_its_slot() {
    const NOT_PARKED: &str = "404 No call is parked in this slot";
    let mut office = Office::open().await;
    let account = office.tandem.member("other", "olga", "agent").await;
    let session = Api::sign_in(&office.tandem.http, &account.email, &account.password).await;
    let password = session.post("/api/webrtc/token").await["password"].as_str().expect("a password").to_owned();
    let mut olga = Desk::start("127.0.0.1", office.tandem.sip(), "olga").await;
    olga.register(&password, PATIENCE).await;

    is_refused(&mut office.ben, "*77", NOT_PARKED).await;
    let (mut customer, mut anna) = office.talk().await;
    let mut events = office.api.events("/api/events", None).await;
    let (call, _) = parks(&mut office, (&mut customer, &mut anna), json!({ "slot": 7 })).await;
    next_event(&mut events, "call.parked").await;
    is_refused(&mut office.ben, "*78", NOT_PARKED).await;
    is_refused(&mut office.ben, "*7100", "404 No route for this number").await;
    is_refused(&mut olga, "*77", NOT_PARKED).await;
    // A party on a trunk is no telephone of the organization.
    is_refused(&mut office.customer, "*77", "404 No route for this number").await;
    // While another agent's telephone rings for the party, nobody else gets it.
    let (status, picked) = post(&office, "/api/parked/7/pickup", json!({ "agent": "anna" })).await;
    assert_eq!(status, StatusCode::CREATED, "{picked}");
    let invite = office.anna.rings(PATIENCE).await;
    is_refused(&mut office.ben, "*77", "486 another agent is already picking the call up").await;
    office.anna.refuse(&invite, 486).await;
    waits(&mut customer).await;

    let mut ben = office.ben.call("*77", BEN_HZ, "", PATIENCE).await.expect("ben is connected");
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut ben, BEN_HZ)).await;
    let event = next_event(&mut events, "call.unparked").await;
    assert_eq!((&event["call_id"], &event["slot"], &event["why"]), (&json!(call), &json!(7), &json!("picked_up")));
    assert_eq!(office.api.get("/api/parked").await["parked"], json!([]));
    let leg = office.leg(&call, "ben", |leg| leg["state"] == "answered").await;
    assert_eq!((&leg["role"], &leg["agent"]), (&json!("agent"), &json!("ben")), "{leg}");
    is_refused(&mut office.anna, "*707", NOT_PARKED).await;
    office.customer.hang_up(&mut customer, PATIENCE).await;
    office.ben.is_hung_up(&ben, PATIENCE).await;
    office.close(&["normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_call_that_is_not_picked_up_returns_to_whoever_parked_it() {
    let mut office = Office::open().await;
    let (mut customer, mut anna) = office.talk().await;
    let mut events = office.api.events("/api/events", None).await;
    let (call, _) = parks(&mut office, (&mut customer, &mut anna), json!({ "slot": 42, "wait_s": 10 })).await;
    // A pickup that is not answered leaves the call in its slot.
    let (status, picked) = post(&office, "/api/parked/42/pickup", json!({ "agent": "ben" })).await;
    assert_eq!(status, StatusCode::CREATED, "{picked}");
    let invite = office.ben.rings(PATIENCE).await;
    office.ben.refuse(&invite, 486).await;
    let invite = office.anna.rings(PATIENCE).await;
    waits(&mut customer).await;
    let (status, refused) = post(&office, "/api/parked/42/pickup", json!({ "agent": "ben" })).await;
    assert_eq!(status, StatusCode::CONFLICT, "{refused}");
    let mut anna = office.anna.answer(&invite, ANNA_HZ, PATIENCE).await;
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;
    let event = next_event(&mut events, "call.unparked").await;
    assert_eq!((&event["slot"], &event["why"]), (&json!(42), &json!("returned")), "{event}");
    let shown = office.api.get(&format!("/api/calls/{call}")).await;
    let annas = shown["legs"].as_array().expect("legs").iter().filter(|leg| leg["peer"] == "anna").count();
    assert_eq!(annas, 2, "the leg that parked and the one that came back: {shown:#}");
    office.customer.hang_up(&mut customer, PATIENCE).await;
    office.anna.is_hung_up(&anna, PATIENCE).await;
    office.close(&["normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parking_is_idempotent_and_bounded_and_refused_in_unsuitable_states() {
    let mut office = Office::open().await;
    let (mut customer, mut anna) = office.talk().await;
    let call = office.bridged().await;
    let leg = leg_of(&office, &call, "anna").await;
    let path = format!("/api/calls/{call}/park");
    for (body, field) in [
        (json!({ "leg": leg, "slot": 0 }), "slot"),
        (json!({ "leg": leg, "slot": 100 }), "slot"),
        (json!({ "leg": leg, "wait_s": 4 }), "wait_s"),
    ] {
        let (status, answer) = post(&office, &path, body).await;
        assert_eq!((status, &answer["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(field)), "{answer}");
    }
    let (status, answer) = post(&office, &path, json!({ "leg": 999_999 })).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{answer}");
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;

    let further = json!({ "slot": 7, "wait_s": 5, "if_fails": "hangup" });
    parks(&mut office, (&mut customer, &mut anna), further).await;
    let (mut other, status) = another_customer_cannot_have_slot_seven(&mut office).await;
    assert_eq!(status, StatusCode::CONFLICT);
    // No agent picks the call up, and none is to be called afterwards.
    office.customer.is_hung_up(&customer, PATIENCE).await;
    office.customer.hang_up(&mut other, PATIENCE).await;
    office.tandem.stop().await;
}

/// Lets another customer call, and anna try to park that call in the slot of the first one.
async fn another_customer_cannot_have_slot_seven(office: &mut Office) -> (Line, StatusCode) {
    let (other, _anna) = office.talk().await;
    let calls = office.api.get("/api/calls?status=bridged").await;
    let parked = office.api.get("/api/parked").await["parked"][0]["call_id"].clone();
    let calls = calls["calls"].as_array().expect("calls");
    let call = calls.iter().find(|call| call["id"] != parked).expect("the second call")["id"].as_str().expect("an id");
    let leg = leg_of(office, call, "anna").await;
    let (status, refused) = post(office, &format!("/api/calls/{call}/park"), json!({ "leg": leg, "slot": 7 })).await;
    assert!(refused["detail"].as_str().is_some_and(|why| why.contains("slot 7")), "{refused}");
    (other, status)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_organizations_slots_look_empty() {
    let mut office = Office::open().await;
    let (mut customer, mut anna) = office.talk().await;
    let other = office.tandem.api("other").await;
    parks(&mut office, (&mut customer, &mut anna), json!({})).await;
    assert_eq!(other.get("/api/parked").await["parked"], json!([]));
    let (status, answer) = other.ask(Method::POST, "/api/parked/1/pickup", Some(json!({ "agent": "anna" }))).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{answer}");
    office.customer.hang_up(&mut customer, PATIENCE).await;
    let until = tokio::time::Instant::now() + PATIENCE;
    while office.api.get("/api/parked").await["parked"] != json!([]) {
        assert!(tokio::time::Instant::now() < until, "the slot is free again");
        tokio::task::yield_now().await;
    }
    office.close(&["normal"]).await;
}
