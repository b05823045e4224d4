//! Changes to a running call through the API: legs added and dropped, hold, mute, keys, supervisors.
//!
//! ```text
//! customer (trunk, 127.0.0.2) ── Tandem ◀─ HTTP: verb          anna, ben, carla (registered, 127.0.0.1)
//! ```
//!
//! Every party sends a distinct tone, so that the tests can check which parties hear each other. Not here: the same verbs with
//! real telephones (`parties`), latency of verbs (benches).

use codecs::SampleRate;
use codecs::dtmf::{DtmfDetector, DtmfEvent};
use media_engine::sdp::Codec;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::api::SentEvent;
use tests::desk::{Desk, Line, hear_each_other, hears_tones};
use tests::ears::FarEnd;
use tests::office::{ANNA_HZ, BEN_HZ, CUSTOMER_HZ, Office, PATIENCE};
use tests::sound;
use tests::tandem::{Setup, Tandem};

const CARLA_HZ: f32 = 1000.0;
/// Frequency of the tone that a held party hears at intervals, in Hz.
const HOLD_HZ: f32 = 350.0;
const TONES: [f32; 4] = [CUSTOMER_HZ, ANNA_HZ, BEN_HZ, CARLA_HZ];

/// Asserts that a line hears these tones and no others.
async fn hears(what: &str, line: &mut Line, tones: &[f32]) {
    let others: Vec<f32> = TONES.into_iter().filter(|hertz| !tones.contains(hertz)).collect();
    hears_tones(what, line, tones, &others).await;
}

/// Runs a verb on a call and returns status and answer.
async fn verb(office: &Office, method: Method, call: &str, path: &str, body: Value) -> (StatusCode, Value) {
    let body = (!body.is_null()).then_some(body);
    office.api.ask(method, &format!("/api/calls/{call}/{path}"), body).await
}

/// Runs a verb that must succeed, and returns its answer.
async fn done(office: &Office, method: Method, call: &str, path: &str, body: Value) -> Value {
    let (status, answer) = verb(office, method, call, path, body).await;
    assert!(status.is_success(), "{path}: {status} {answer}");
    answer
}

async fn post(office: &Office, call: &str, path: &str) {
    done(office, Method::POST, call, path, Value::Null).await;
}

/// Waits until the leg at `peer` has answered, and returns its number.
async fn answered(office: &Office, call: &str, peer: &str) -> u64 {
    office.leg(call, peer, |leg| leg["state"] == "answered").await["leg"].as_u64().expect("a number")
}

const CUSTOMER: &str = "+15550142";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_added_agent_hears_both_parties_and_two_remain_when_another_leaves() {
    let mut office = Office::open().await;
    let (mut customer, mut anna) = office.talk().await;
    let call = office.bridged().await;
    let mut events = office.api.events("/api/events", None).await;
    let added = done(&office, Method::POST, &call, "legs", json!({ "agent": "ben" })).await;
    let invite = office.ben.rings(PATIENCE).await;
    assert!(invite.contains("\r\nFrom: <sip:+15550142@"), "ben sees the customer: {invite}");
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;
    let mut ben = office.ben.answer(&invite, BEN_HZ, PATIENCE).await;
    tokio::join!(
        hears("the customer", &mut customer, &[ANNA_HZ, BEN_HZ]),
        hears("anna", &mut anna, &[CUSTOMER_HZ, BEN_HZ]),
        hears("ben", &mut ben, &[CUSTOMER_HZ, ANNA_HZ]),
    );
    let leg = answered(&office, &call, "ben").await;
    assert_eq!(added["leg"].as_u64(), Some(leg), "{added}");
    let speaks = |event: &SentEvent| (event.name == "call.active_speaker").then(|| event.data.clone());
    let told = events.until("call.active_speaker", PATIENCE, speaks).await;
    assert!(told["leg"].is_u64() && told["active"].is_boolean(), "{told}");

    let of_anna = answered(&office, &call, "anna").await;
    done(&office, Method::DELETE, &call, &format!("legs/{of_anna}"), Value::Null).await;
    office.anna.is_hung_up(&anna, PATIENCE).await;
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut ben, BEN_HZ)).await;
    office.ben.hang_up(&mut ben, PATIENCE).await;
    office.customer.is_hung_up(&customer, PATIENCE).await;
    office.close(&["normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_called_first_is_joined_with_the_agent_called_second() {
    let mut office = Office::open().await;
    let body = json!({ "first": { "to": CUSTOMER, "trunk": "carrier", "ring_s": 20 }, "second": { "agent": "anna" } });
    let (status, made) = office.api.ask(Method::POST, "/api/calls", Some(body)).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let invite = office.customer.rings(PATIENCE).await;
    let mut customer = office.customer.answer(&invite, CUSTOMER_HZ, PATIENCE).await;
    let invite = office.anna.rings(PATIENCE).await;
    assert!(invite.contains("\r\nFrom: <sip:+15550142@"), "anna sees the customer: {invite}");
    let mut anna = office.anna.answer(&invite, ANNA_HZ, PATIENCE).await;
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;
    // Ben's desk telephone is not a browser: in mode `webrtc` it does not ring, and no number is called.
    let body = json!({ "mode": "webrtc", "to": "+15550177", "agent": "ben" });
    let (status, refused) = office.api.ask(Method::POST, "/api/calls", Some(body)).await;
    assert_eq!(status, StatusCode::CREATED, "{refused}");
    office.api.call_becomes("failed", PATIENCE).await;
    office.anna.hang_up(&mut anna, PATIENCE).await;
    office.customer.is_hung_up(&customer, PATIENCE).await;
    office.tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_added_leg_that_refuses_leaves_both_talking_and_is_reported_as_ended() {
    let mut office = Office::open().await;
    let (mut customer, mut anna) = office.talk().await;
    let call = office.bridged().await;
    let mut events = office.api.events("/api/events", None).await;
    let added = done(&office, Method::POST, &call, "legs", json!({ "to": "+15550177" })).await;
    let invite = office.customer.rings(PATIENCE).await;
    assert!(invite.starts_with("INVITE sip:+15550177@"), "{invite}");
    office.customer.refuse(&invite, 486).await;
    let is_over = |event: &SentEvent| {
        let is_it = event.name == "call.leg" && event.data["leg"] == added["leg"] && event.data["state"] == "ended";
        is_it.then_some(())
    };
    events.until("call.leg", PATIENCE, is_over).await;
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;
    for (body, status) in [
        (json!({ "to": "+19005551234" }), StatusCode::FORBIDDEN),
        (json!({ "agent": "nobody-of-this-name" }), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({}), StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let (refused, answer) = verb(&office, Method::POST, &call, "legs", body.clone()).await;
        assert_eq!(refused, status, "{body}: {answer}");
    }
    office.customer.hang_up(&mut customer, PATIENCE).await;
    office.anna.is_hung_up(&anna, PATIENCE).await;
    office.close(&["normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_party_hears_a_soft_tone_and_is_neither_heard_nor_recorded() {
    let mut office = Office::open().await;
    office.api.voice_config(json!({ "record": true })).await;
    let (mut customer, mut anna) = office.talk().await;
    let call = office.bridged().await;
    let leg = answered(&office, &call, CUSTOMER).await;
    post(&office, &call, &format!("legs/{leg}/hold")).await;
    tokio::join!(hears("the customer on hold", &mut customer, &[]), hears("anna who waits", &mut anna, &[]));
    customer.sound.until_tone(HOLD_HZ, PATIENCE).await;
    assert_eq!(office.leg(&call, CUSTOMER, |leg| leg["held"] == true).await["muted"], false);
    post(&office, &call, &format!("legs/{leg}/resume")).await;
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;
    office.leg(&call, CUSTOMER, |leg| leg["held"] == false).await;
    office.customer.hang_up(&mut customer, PATIENCE).await;
    office.anna.is_hung_up(&anna, PATIENCE).await;

    let path = office.tandem.data().join("recordings").join(format!("{call}.wav"));
    let (rate, channels) = sound::read_wav(&path).expect("a recording");
    for (channel, hertz) in [(0, CUSTOMER_HZ), (1, ANNA_HZ)] {
        let stretches = channels[channel].chunks_exact(rate.samples_in_ms(100));
        let loud: Vec<bool> = stretches.map(|stretch| sound::find(stretch, rate, hertz).tone_dbfs > -40.0).collect();
        let longest = loud.split(|loud| *loud).map(<[bool]>::len).skip(1).max().unwrap_or_default();
        assert!(longest >= 20, "{hertz} Hz is recorded while the customer is held: {loud:?}");
    }
    office.close(&["normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_muted_party_hears_but_is_not_heard() {
    let mut office = Office::open().await;
    let (mut customer, mut anna) = office.talk().await;
    let call = office.bridged().await;
    let leg = answered(&office, &call, "anna").await;
    for _ in 0..2 {
        post(&office, &call, &format!("legs/{leg}/mute")).await;
    }
    tokio::join!(hears("the customer", &mut customer, &[]), hears("anna, muted", &mut anna, &[CUSTOMER_HZ]));
    assert_eq!(office.leg(&call, "anna", |leg| leg["muted"] == true).await["held"], false);
    post(&office, &call, &format!("legs/{leg}/unmute")).await;
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;
    office.customer.hang_up(&mut customer, PATIENCE).await;
    office.anna.is_hung_up(&anna, PATIENCE).await;
    office.close(&["normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_listens_whispers_barges_in_and_never_ends_the_call() {
    let mut office = Office::open().await;
    let (mut carla_desk, _) = Desk::of_agent(&office.tandem, "carla").await;
    let (mut customer, mut anna) = office.talk().await;
    let call = office.bridged().await;
    let asked = json!({ "mode": "listen", "agent": "carla" });
    done(&office, Method::POST, &call, "supervise", asked).await;
    let invite = carla_desk.rings(PATIENCE).await;
    assert!(invite.contains(&format!("\r\nTandem-Supervises: {call}\r\n")), "a page knows it by this: {invite}");
    let mut carla = carla_desk.answer(&invite, CARLA_HZ, PATIENCE).await;
    let leg = answered(&office, &call, "carla").await;
    let supervise = format!("supervise/{leg}");
    tokio::join!(
        hears("carla listens", &mut carla, &[CUSTOMER_HZ, ANNA_HZ]),
        hears("the customer does not hear her", &mut customer, &[ANNA_HZ]),
        hears("anna does not hear her", &mut anna, &[CUSTOMER_HZ]),
    );
    for (mode, of_customer, of_anna) in [
        ("whisper", &[ANNA_HZ][..], &[CUSTOMER_HZ, CARLA_HZ][..]),
        ("barge", &[ANNA_HZ, CARLA_HZ], &[CUSTOMER_HZ, CARLA_HZ]),
        ("listen", &[ANNA_HZ], &[CUSTOMER_HZ]),
    ] {
        done(&office, Method::PUT, &call, &supervise, json!({ "mode": mode })).await;
        let [of_who, to_customer, to_anna] = ["carla", "the customer", "anna"].map(|who| format!("{who}, {mode}"));
        tokio::join!(
            hears(&of_who, &mut carla, &[CUSTOMER_HZ, ANNA_HZ]),
            hears(&to_customer, &mut customer, of_customer),
            hears(&to_anna, &mut anna, of_anna),
        );
    }
    let of_customer = answered(&office, &call, CUSTOMER).await;
    post(&office, &call, &format!("legs/{of_customer}/hold")).await;
    tokio::join!(hears("carla during a hold", &mut carla, &[]), hears("anna", &mut anna, &[]));
    post(&office, &call, &format!("legs/{of_customer}/resume")).await;
    hears("carla after the hold", &mut carla, &[CUSTOMER_HZ, ANNA_HZ]).await;

    carla_desk.hang_up(&mut carla, PATIENCE).await;
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;
    let (status, _) = verb(&office, Method::PUT, &call, &supervise, json!({ "mode": "barge" })).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "her leg has ended");
    office.customer.hang_up(&mut customer, PATIENCE).await;
    office.anna.is_hung_up(&anna, PATIENCE).await;
    office.close(&["normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consultation_in_the_same_call_ends_in_a_transfer_or_a_return() {
    let mut office = Office::open().await;
    let (mut customer, mut anna) = office.talk().await;
    let call = office.bridged().await;
    let of_customer = answered(&office, &call, CUSTOMER).await;
    for returns in [true, false] {
        post(&office, &call, &format!("legs/{of_customer}/hold")).await;
        done(&office, Method::POST, &call, "legs", json!({ "agent": "ben", "ring_s": 20 })).await;
        let invite = office.ben.rings(PATIENCE).await;
        let mut ben = office.ben.answer(&invite, BEN_HZ, PATIENCE).await;
        hear_each_other((&mut anna, ANNA_HZ), (&mut ben, BEN_HZ)).await;
        hears("the customer waits", &mut customer, &[]).await;
        if returns {
            let of_ben = answered(&office, &call, "ben").await;
            done(&office, Method::DELETE, &call, &format!("legs/{of_ben}"), Value::Null).await;
            office.ben.is_hung_up(&ben, PATIENCE).await;
            hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;
        } else {
            office.anna.hang_up(&mut anna, PATIENCE).await;
            hear_each_other((&mut customer, CUSTOMER_HZ), (&mut ben, BEN_HZ)).await;
            office.ben.hang_up(&mut ben, PATIENCE).await;
            office.customer.is_hung_up(&customer, PATIENCE).await;
            break;
        }
    }
    office.close(&["normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_sent_in_band_to_a_leg_without_telephone_events() {
    let mut office = Office::open().await;
    let (mut customer, anna) = office.talk().await;
    let call = office.bridged().await;
    let leg = answered(&office, &call, CUSTOMER).await;
    let keys = format!("legs/{leg}/dtmf");
    let (heard, _) = tokio::join!(
        customer.sound.hears(3.0, PATIENCE),
        done(&office, Method::POST, &call, &keys, json!({ "digits": "12,#9" }))
    );
    let mut detector = DtmfDetector::new(SampleRate::HZ_8000);
    let mut pressed = String::new();
    for frame in heard.chunks(160) {
        detector.push(frame, |event| {
            if let DtmfEvent::Began { digit } = event {
                pressed.push(digit);
            }
        });
    }
    assert_eq!(pressed, "12#9");
    for digits in ["", "5x", &"1".repeat(65)] {
        let (status, answer) = verb(&office, Method::POST, &call, &keys, json!({ "digits": digits })).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{digits:?}: {answer}");
        assert!(answer.to_string().contains("digits"), "the field is named: {answer}");
    }
    office.customer.hang_up(&mut customer, PATIENCE).await;
    office.anna.is_hung_up(&anna, PATIENCE).await;
    office.close(&["normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_sent_as_telephone_events_to_a_leg_that_supports_them() {
    let setup = Setup {
        trunks: vec![("carrier", vec!["127.0.0.1".into()])],
        routes: vec![("100", "agent:anna")],
        ..Setup::default()
    };
    let tandem = Tandem::start(&setup).await;
    let api = tandem.api("acme").await;
    let (mut anna, _) = Desk::of_agent_at(&tandem, "127.0.0.3", tandem.sip(), "anna").await;
    let mut far = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
    let ((), line) = tokio::join!(far.call("+15550142", "100", PATIENCE), async {
        let invite = anna.rings(PATIENCE).await;
        anna.answer(&invite, ANNA_HZ, PATIENCE).await
    });
    let call = api.call_becomes("bridged", PATIENCE).await["id"].as_str().expect("an id").to_owned();
    let shown = api.get(&format!("/api/calls/{call}")).await;
    let mut legs = shown["legs"].as_array().expect("legs").iter();
    let leg = legs.find(|leg| leg["role"] == "customer").expect("the customer")["leg"].clone();
    let (status, answer) =
        api.ask(Method::POST, &format!("/api/calls/{call}/legs/{leg}/dtmf"), Some(json!({ "digits": "0*8D" }))).await;
    assert!(status.is_success(), "{answer}");
    far.until_keys("0*8D", PATIENCE).await;
    drop(line);
    api.ask(Method::DELETE, &format!("/api/calls/{call}"), None).await;
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unsuitable_verb_is_refused_with_a_reason_and_concurrent_verbs_do_not_mix() {
    let mut office = Office::open().await;
    let (mut customer, mut anna) = office.talk().await;
    let call = office.bridged().await;
    let of_anna = answered(&office, &call, "anna").await;
    let (status, _) = verb(&office, Method::POST, &call, "legs/999999/hold", Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let supervise = format!("supervise/{of_anna}");
    let (status, answer) = verb(&office, Method::PUT, &call, &supervise, json!({ "mode": "barge" })).await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    assert!(answer.to_string().contains("does not supervise"), "{answer}");

    // Two simultaneous requests with one key call ben once.
    let body = json!({ "agent": "ben" });
    let path = format!("/api/calls/{call}/legs");
    let (one, other) = tokio::join!(office.api.once(&path, "add-ben", &body), office.api.once(&path, "add-ben", &body));
    let (one, other) = (one.expect("an answer"), other.expect("an answer"));
    let made = [&one, &other].into_iter().filter(|(status, ..)| status.is_success()).collect::<Vec<_>>();
    assert!(!made.is_empty(), "{one:?} {other:?}");
    assert!(made.iter().all(|(_, _, body)| body["leg"] == made[0].2["leg"]), "{one:?} {other:?}");
    let invite = office.ben.rings(PATIENCE).await;
    let of_ben = made[0].2["leg"].as_u64().expect("a number");
    let (status, answer) = verb(&office, Method::POST, &call, &format!("legs/{of_ben}/hold"), Value::Null).await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    assert!(answer.to_string().contains("not connected"), "{answer}");
    done(&office, Method::DELETE, &call, &format!("legs/{of_ben}"), Value::Null).await;
    assert!(invite.starts_with("INVITE"), "{invite}");
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;
    office.anna.hang_up(&mut anna, PATIENCE).await;
    office.customer.is_hung_up(&customer, PATIENCE).await;
    let (status, _) = verb(&office, Method::POST, &call, &format!("legs/{of_anna}/mute"), Value::Null).await;
    assert!(matches!(status, StatusCode::NOT_FOUND | StatusCode::CONFLICT), "the call has ended: {status}");
    office.close(&["normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn destinations_ring_in_turn_until_one_answers_and_the_call_ends_only_on_request() {
    let mut office = Office::open().await;
    let (mut customer, mut anna) = office.talk().await;
    let call = office.bridged().await;
    let asked = json!({ "to": "+15550177", "ring_s": 20, "or_else": [{ "agent": "ben", "ring_s": 20 }] });
    done(&office, Method::POST, &call, "legs", asked).await;
    let invite = office.customer.rings(PATIENCE).await;
    office.customer.refuse(&invite, 486).await;
    let invite = office.ben.rings(PATIENCE).await;
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;
    let mut ben = office.ben.answer(&invite, BEN_HZ, PATIENCE).await;
    tokio::join!(
        hears("the customer", &mut customer, &[ANNA_HZ, BEN_HZ]),
        hears("ben", &mut ben, &[CUSTOMER_HZ, ANNA_HZ]),
    );
    office.ben.hang_up(&mut ben, PATIENCE).await;
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;

    let leg = answered(&office, &call, "anna").await;
    let targets = json!([{ "agent": "ben" }, { "to": "+15550177" }]);
    for (if_fails, ends) in [("return", false), ("hangup", true)] {
        let asked = json!({ "leg": leg, "targets": targets, "if_fails": if_fails });
        done(&office, Method::POST, &call, "transfer", asked).await;
        let invite = office.ben.rings(PATIENCE).await;
        hears("the customer waits", &mut customer, &[]).await;
        office.ben.refuse(&invite, 486).await;
        let invite = office.customer.rings(PATIENCE).await;
        office.customer.refuse(&invite, 486).await;
        if ends {
            office.anna.is_hung_up(&anna, PATIENCE).await;
            office.customer.is_hung_up(&customer, PATIENCE).await;
        } else {
            hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;
        }
    }
    office.close(&["busy"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_volume_of_a_leg_changes_only_for_the_other_parties() {
    let mut office = Office::open().await;
    let (mut customer, mut anna) = office.talk().await;
    let call = office.bridged().await;
    let leg = answered(&office, &call, CUSTOMER).await;
    let path = format!("legs/{leg}/gain");
    let level = async |line: &mut Line, hertz: f32| {
        let heard = line.sound.hears(0.5, PATIENCE).await;
        sound::find(&heard, SampleRate::HZ_8000, hertz).tone_dbfs
    };
    let before = level(&mut anna, CUSTOMER_HZ).await;
    done(&office, Method::POST, &call, &path, json!({ "db": -12 })).await;
    assert_eq!(office.leg(&call, CUSTOMER, |leg| leg["gain_db"] == -12).await["muted"], false);
    let softer = level(&mut anna, CUSTOMER_HZ).await;
    assert!((before - softer - 12.0).abs() < 1.5, "{before} dBFS before, {softer} after");
    let of_anna = level(&mut customer, ANNA_HZ).await;
    assert!((of_anna - before).abs() < 2.0, "anna is as loud as she was: {of_anna}");
    done(&office, Method::POST, &call, &path, json!({ "db": 0 })).await;
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;
    for db in [-21, 21] {
        let (status, answer) = verb(&office, Method::POST, &call, &path, json!({ "db": db })).await;
        assert_eq!((status, &answer["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("db")), "{answer}");
    }
    office.customer.hang_up(&mut customer, PATIENCE).await;
    office.anna.is_hung_up(&anna, PATIENCE).await;
    office.close(&["normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parties_hear_a_supervision_tone_where_the_organization_enables_it() {
    /// Frequency of the supervision tone, in Hz.
    const NOTICE_HZ: f32 = 1_400.0;
    let mut office = Office::open().await;
    let (mut carla_desk, _) = Desk::of_agent(&office.tandem, "carla").await;
    let body = json!({ "supervision_notice": true });
    let (status, set) = office.api.ask(Method::PUT, "/api/call-handling", Some(body)).await;
    assert_eq!((status, &set["supervision_notice"]), (StatusCode::OK, &json!(true)), "{set}");
    let (mut customer, mut anna) = office.talk().await;
    let call = office.bridged().await;
    done(&office, Method::POST, &call, "supervise", json!({ "mode": "listen", "agent": "carla" })).await;
    let invite = carla_desk.rings(PATIENCE).await;
    let notice = async |line: &mut Line, who: &str| {
        let heard = line.sound.hears(3.0, PATIENCE).await;
        let stretches = heard.chunks_exact(SampleRate::HZ_8000.samples_in_ms(100));
        let loud = |stretch: &[i16]| sound::find(stretch, SampleRate::HZ_8000, NOTICE_HZ).tone_dbfs > -30.0;
        let loud = stretches.filter(|stretch| loud(stretch)).count();
        assert!((1..=4).contains(&loud), "{who} hears {loud} tenths of a second of it");
    };
    let answers = carla_desk.answer(&invite, CARLA_HZ, PATIENCE);
    let (mut carla, (), ()) = tokio::join!(answers, notice(&mut customer, "the customer"), notice(&mut anna, "anna"));
    tokio::join!(
        hears("carla listens", &mut carla, &[CUSTOMER_HZ, ANNA_HZ]),
        hears("the customer", &mut customer, &[ANNA_HZ]),
        hears("anna", &mut anna, &[CUSTOMER_HZ]),
    );
    let audited = office.api.get("/api/audit-logs").await;
    assert!(audited.to_string().contains("\"notice\":true"), "{audited}");
    office.customer.hang_up(&mut customer, PATIENCE).await;
    office.anna.is_hung_up(&anna, PATIENCE).await;
    carla_desk.is_hung_up(&carla, PATIENCE).await;
    office.close(&["normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unanswered_transfer_calls_back_the_agent_who_has_hung_up() {
    let mut office = Office::open().await;
    let (mut customer, mut anna) = office.talk().await;
    let call = office.bridged().await;
    let leg = answered(&office, &call, "anna").await;
    let asked = json!({ "leg": leg, "targets": [{ "agent": "ben", "ring_s": 20 }] });
    done(&office, Method::POST, &call, "transfer", asked).await;
    let invite = office.ben.rings(PATIENCE).await;
    office.anna.hang_up(&mut anna, PATIENCE).await;
    hears("the customer waits", &mut customer, &[]).await;
    office.ben.refuse(&invite, 486).await;
    let invite = office.anna.rings(PATIENCE).await;
    assert!(invite.contains("\r\nFrom: <sip:+15550142@"), "anna sees the customer: {invite}");
    let mut anna = office.anna.answer(&invite, ANNA_HZ, PATIENCE).await;
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;
    office.customer.hang_up(&mut customer, PATIENCE).await;
    office.anna.is_hung_up(&anna, PATIENCE).await;
    office.close(&["normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unanswered_transfer_ends_in_the_call_program_at_the_end_of_its_list() {
    /// Frequency of the program's tone, in Hz.
    const PROGRAM_HZ: f32 = 1_600.0;
    let mut office = Office::open().await;
    let (mut customer, mut anna) = office.talk().await;
    let call = office.bridged().await;
    let leg = answered(&office, &call, "anna").await;
    let program = json!([{ "play": { "tone": { "hz": [1600], "duration_ms": 8000 } } }, { "hangup": {} }]);
    for (targets, field) in [
        (json!([{ "program": program }, { "agent": "ben" }]), "targets[0].program"),
        (json!([{ "agent": "ben" }, { "program": [{ "sing": {} }] }]), "targets[1].program"),
        (json!([{ "program": program }]), "targets"),
    ] {
        let asked = json!({ "leg": leg, "targets": targets });
        let (status, answer) = verb(&office, Method::POST, &call, "transfer", asked).await;
        assert_eq!((status, &answer["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(field)), "{answer}");
    }
    let asked = json!({ "leg": leg, "targets": [{ "agent": "ben", "ring_s": 20 }, { "program": program }] });
    done(&office, Method::POST, &call, "transfer", asked).await;
    let invite = office.ben.rings(PATIENCE).await;
    hears("the customer waits", &mut customer, &[]).await;
    office.ben.refuse(&invite, 486).await;
    office.anna.is_hung_up(&anna, PATIENCE).await;
    anna.sound.forget();
    hears_tones("the customer is with the program", &mut customer, &[], &[ANNA_HZ, BEN_HZ]).await;
    customer.sound.until_tone(PROGRAM_HZ, PATIENCE).await;
    office.customer.is_hung_up(&customer, 2 * PATIENCE).await;
    office.tandem.stop().await;
}
