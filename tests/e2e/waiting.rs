//! Audio for waiting parties, and how telephones signal hold to each other.

use std::time::Duration;

use codecs::SampleRate;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::desk::{LEVEL_DBFS, Line, hear_each_other, hears_tones};
use tests::office::{ANNA_HZ, BEN_HZ, CUSTOMER_HZ, Office, PATIENCE};
use tests::sound;

/// Frequency of the organization's music on hold, in Hz.
const MUSIC_HZ: f32 = 1_200.0;
/// Frequency of the default hold tone, in Hz.
const HOLD_HZ: f32 = 350.0;
const CUSTOMER: &str = "+15550142";
/// Tones of the parties, in Hz.
const TONES: [f32; 3] = [CUSTOMER_HZ, ANNA_HZ, BEN_HZ];

async fn ask(office: &Office, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
    let body = (!body.is_null()).then_some(body);
    office.api.ask(method, path, body).await
}

async fn done(office: &Office, method: Method, path: &str, body: Value) -> Value {
    let (status, answer) = ask(office, method, path, body).await;
    assert!(status.is_success(), "{path}: {status} {answer}");
    answer
}

async fn leg_of(office: &Office, call: &str, peer: &str) -> u64 {
    office.leg(call, peer, |leg| leg["state"] == "answered").await["leg"].as_u64().expect("a number")
}

async fn hold(office: &Office, call: &str, leg: u64, verb: &str) {
    done(office, Method::POST, &format!("/api/calls/{call}/legs/{leg}/{verb}"), Value::Null).await;
}

/// Asserts that a line hears the music and no party.
async fn hears_music(what: &str, line: &mut Line) {
    hears_tones(what, line, &[MUSIC_HZ], &TONES).await;
}

/// Stores a sound and makes it the organization's music on hold.
async fn has_music(office: &Office) {
    let (status, refused) =
        ask(office, Method::PUT, "/api/call-handling", json!({ "hold_music": "no such sound" })).await;
    assert_eq!((status, &refused["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("hold_music")), "{refused}");
    let folder = tempfile::tempdir().expect("an empty folder");
    let path = folder.path().join("waltz.wav");
    sound::write_wav(&path, SampleRate::HZ_16000, &sound::tone(SampleRate::HZ_16000, MUSIC_HZ, LEVEL_DBFS, 1.0));
    office.api.upload("/api/media?name=Waltz", "audio/wav", std::fs::read(path).expect("a WAV")).await;
    let set = done(office, Method::PUT, "/api/call-handling", json!({ "hold_music": "Waltz" })).await;
    assert_eq!(set, json!({ "hold_music": "Waltz", "supervision_notice": false }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_parties_hear_the_music_on_hold_when_parked_and_during_a_transfer() {
    let mut office = Office::open().await;
    has_music(&office).await;
    let (mut customer, mut anna) = office.talk().await;
    let call = office.bridged().await;
    let leg = leg_of(&office, &call, CUSTOMER).await;
    hold(&office, &call, leg, "hold").await;
    hears_music("the customer on hold", &mut customer).await;
    hears_tones("anna", &mut anna, &[], &[MUSIC_HZ, CUSTOMER_HZ]).await;
    hold(&office, &call, leg, "resume").await;
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;

    let by = leg_of(&office, &call, "anna").await;
    let to = json!({ "leg": by, "targets": [{ "agent": "ben", "ring_s": 20 }] });
    done(&office, Method::POST, &format!("/api/calls/{call}/transfer"), to).await;
    let invite = office.ben.rings(PATIENCE).await;
    hears_music("the customer while ben rings", &mut customer).await;
    let mut ben = office.ben.answer(&invite, BEN_HZ, PATIENCE).await;
    office.anna.is_hung_up(&anna, PATIENCE).await;
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut ben, BEN_HZ)).await;

    let by = leg_of(&office, &call, "ben").await;
    done(&office, Method::POST, &format!("/api/calls/{call}/park"), json!({ "leg": by })).await;
    office.ben.is_hung_up(&ben, PATIENCE).await;
    hears_music("the customer who is parked", &mut customer).await;
    office.customer.hang_up(&mut customer, PATIENCE).await;

    // After the sound was removed, the default tone is played again.
    let media = office.api.get("/api/media").await;
    let id = media["media"][0]["id"].as_str().expect("an id");
    let (status, _) = ask(&office, Method::DELETE, &format!("/api/media/{id}"), Value::Null).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    office.api.call_becomes("ended", PATIENCE).await;
    let (mut customer, mut anna) = office.talk().await;
    let call = office.bridged().await;
    let leg = leg_of(&office, &call, CUSTOMER).await;
    hold(&office, &call, leg, "hold").await;
    customer.sound.until_tone(HOLD_HZ, PATIENCE).await;
    office.anna.hang_up(&mut anna, PATIENCE).await;
    office.customer.is_hung_up(&customer, PATIENCE).await;
    office.close(&["normal", "normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carrier_gets_a_hold_re_invite_where_its_trunk_is_configured_so() {
    let mut office = Office::open_with("options_s = 0\nhold = \"sendonly\"\n", "hold = \"inactive\"\n").await;
    let (mut customer, mut anna) = office.talk().await;
    let call = office.bridged().await;
    let leg = leg_of(&office, &call, CUSTOMER).await;
    for _ in 0..2 {
        hold(&office, &call, leg, "hold").await;
        let offer = office.customer.is_redirected(&mut customer, PATIENCE).await;
        assert!(offer.contains("\r\na=sendonly\r\n"), "{offer}");
        customer.sound.until_tone(HOLD_HZ, PATIENCE).await;
        hold(&office, &call, leg, "resume").await;
        let offer = office.customer.is_redirected(&mut customer, PATIENCE).await;
        assert!(offer.contains("\r\na=sendrecv\r\n"), "{offer}");
        hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;
    }
    assert_eq!(office.leg(&call, CUSTOMER, |_| true).await["holds"], false, "the telephone put no call on hold");
    // An agent's telephone follows the setting of `[sip]`; the hold is resumed before the telephone has answered.
    let leg = leg_of(&office, &call, "anna").await;
    hold(&office, &call, leg, "hold").await;
    hold(&office, &call, leg, "resume").await;
    let offer = office.anna.is_redirected(&mut anna, PATIENCE).await;
    assert!(offer.contains("\r\na=inactive\r\n"), "{offer}");
    let offer = office.anna.is_redirected(&mut anna, PATIENCE).await;
    assert!(offer.contains("\r\na=sendrecv\r\n"), "{offer}");
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;
    office.customer.hang_up(&mut customer, PATIENCE).await;
    office.anna.is_hung_up(&anna, PATIENCE).await;
    office.close(&["normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_by_a_telephone_is_reported_and_the_other_party_hears_music_or_its_sound() {
    let mut office = Office::open().await;
    has_music(&office).await;
    let (mut customer, mut anna) = office.talk().await;
    let call = office.bridged().await;
    office.anna.redirect(&mut anna, "inactive", PATIENCE).await;
    let shown = office.leg(&call, "anna", |leg| leg["holds"] == true).await;
    assert_eq!(shown["held"], false, "no party put the call on hold: {shown}");
    hears_music("the customer", &mut customer).await;
    anna.sound.hears_nothing("anna who holds", Duration::from_millis(300)).await;
    office.anna.redirect(&mut anna, "sendrecv", PATIENCE).await;
    office.leg(&call, "anna", |leg| leg["holds"] == false).await;
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;
    // Audio of the holding telephone is heard in place of the music.
    office.anna.redirect(&mut anna, "sendonly", PATIENCE).await;
    office.leg(&call, "anna", |leg| leg["holds"] == true).await;
    hears_tones("the customer", &mut customer, &[ANNA_HZ], &[MUSIC_HZ]).await;
    office.anna.redirect(&mut anna, "sendrecv", PATIENCE).await;
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;
    office.customer.hang_up(&mut customer, PATIENCE).await;
    office.anna.is_hung_up(&anna, PATIENCE).await;
    office.close(&["normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_sent_by_info_to_a_trunk_that_supports_nothing_else() {
    let mut office = Office::open_with("options_s = 0\ndtmf = \"info\"\n", "").await;
    let (mut customer, mut anna) = office.talk().await;
    let call = office.bridged().await;
    let leg = leg_of(&office, &call, CUSTOMER).await;
    done(&office, Method::POST, &format!("/api/calls/{call}/legs/{leg}/dtmf"), json!({ "digits": "5#D" })).await;
    for key in ['5', '#', 'D'] {
        assert_eq!(office.customer.hears_info(&customer, PATIENCE).await, key);
    }
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;
    office.customer.hang_up(&mut customer, PATIENCE).await;
    office.anna.is_hung_up(&anna, PATIENCE).await;
    office.close(&["normal"]).await;
}
