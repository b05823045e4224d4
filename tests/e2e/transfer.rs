//! Calls that parties transfer: blind, attended, while held; and legs that another device takes over.
//!
//! ```text
//! customer (trunk, 127.0.0.2) ── Tandem ── anna, ben (registered, 127.0.0.1)
//! ```

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::api::SentEvent;
use tests::baresip::Baresip;
use tests::desk::{Desk, LEVEL_DBFS, Line, hear_each_other};
use tests::office::{ANNA_HZ, BEN_HZ, CUSTOMER_HZ, Office, PATIENCE};
use tests::sound;
use tests::tandem::{Setup, Tandem};

/// Frequency of the ring-back tone that a waiting party hears, in Hz.
const RINGBACK_HZ: f32 = 425.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blind_transfer_joins_customer_and_second_agent_and_hangs_up_the_first() {
    let mut office = Office::open().await;
    let (mut customer, mut anna) = office.talk().await;
    let mut events = office.api.events("/api/events", None).await;
    office.anna.refer(&mut anna, &office.sip_uri("ben"), None, PATIENCE).await;
    let invite = office.ben.rings(PATIENCE).await;
    assert!(invite.contains("\r\nFrom: <sip:+15550142@"), "ben sees the number of the new party: {invite}");
    customer.sound.until_tone(RINGBACK_HZ, PATIENCE).await;
    let mut ben = office.ben.answer(&invite, BEN_HZ, PATIENCE).await;
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut ben, BEN_HZ)).await;
    assert_eq!(office.anna.notified(&anna, PATIENCE).await, [100, 180, 200]);
    office.anna.is_hung_up(&anna, PATIENCE).await;
    for stage in ["started", "done"] {
        let is_it = |event: &SentEvent| (event.name == "call.transfer").then(|| event.data.clone());
        let told = events.until("call.transfer", PATIENCE, is_it).await;
        assert_eq!((&told["stage"], &told["role"]), (&json!(stage), &json!("agent")), "{told}");
    }

    let call = office.api.call_becomes("bridged", PATIENCE).await;
    let shown = office.api.get(&format!("/api/calls/{}", call["id"].as_str().expect("an id"))).await;
    let mut legs: Vec<(String, String, String)> = shown["legs"].as_array().expect("legs").iter().map(leg_of).collect();
    legs.sort();
    let leg = |peer: &str, role: &str, state: &str| (peer.to_owned(), role.to_owned(), state.to_owned());
    assert_eq!(
        legs,
        [leg("+15550142", "customer", "answered"), leg("anna", "agent", "ended"), leg("ben", "agent", "answered")]
    );
    office.ben.hang_up(&mut ben, PATIENCE).await;
    office.customer.is_hung_up(&customer, PATIENCE).await;
    office.close(&["normal"]).await;
}

fn leg_of(leg: &Value) -> (String, String, String) {
    let text = |key: &str| leg[key].as_str().expect("text").to_owned();
    (text("peer"), text("role"), text("state"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_customer_is_transferred_to_a_number_when_the_agent_hangs_up_at_once() {
    let mut office = Office::open().await;
    let (mut customer, mut anna) = office.talk().await;
    office.anna.redirect(&mut anna, "sendonly", PATIENCE).await;
    // The carrier's other number: the customer's phone receives a second call.
    office.anna.refer(&mut anna, &office.sip_uri("+15550199"), None, PATIENCE).await;
    let invite = office.customer.rings(PATIENCE).await;
    assert!(invite.starts_with("INVITE sip:+15550199@"), "{invite}");
    office.anna.hang_up(&mut anna, PATIENCE).await;
    customer.sound.until_tone(RINGBACK_HZ, PATIENCE).await;
    let mut other = office.customer.answer(&invite, BEN_HZ, PATIENCE).await;
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut other, BEN_HZ)).await;
    office.customer.hang_up(&mut customer, PATIENCE).await;
    office.customer.is_hung_up(&other, PATIENCE).await;
    office.close(&["normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_twenty_holds_in_a_row_both_parties_hear_each_other() {
    let mut office = Office::open().await;
    let (mut customer, mut anna) = office.talk().await;
    for round in 0..20 {
        let direction = if round % 2 == 0 { "sendonly" } else { "inactive" };
        office.anna.redirect(&mut anna, direction, PATIENCE).await;
        office.anna.redirect(&mut anna, "sendrecv", PATIENCE).await;
    }
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;
    office.customer.hang_up(&mut customer, PATIENCE).await;
    office.anna.is_hung_up(&anna, PATIENCE).await;
    office.close(&["normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_transfer_reports_its_status_and_both_parties_keep_talking() {
    let mut office = Office::open().await;
    let (mut customer, mut anna) = office.talk().await;
    office.anna.refer(&mut anna, &office.sip_uri("ben"), None, PATIENCE).await;
    let invite = office.ben.rings(PATIENCE).await;
    office.ben.refuse(&invite, 486).await;
    assert_eq!(office.anna.notified(&anna, PATIENCE).await, [100, 180, 486]);
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;
    // Refused: a premium number, a number that no list contains, and an unknown name.
    for (to, status) in [("+19005551234", 403), ("+34911222333", 403)] {
        office.anna.refer(&mut anna, &office.sip_uri(to), None, PATIENCE).await;
        assert_eq!(office.anna.notified(&anna, PATIENCE).await, [100, status], "{to}");
    }
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;
    office.customer.hang_up(&mut customer, PATIENCE).await;
    office.anna.is_hung_up(&anna, PATIENCE).await;
    office.close(&["normal"]).await;
}

/// Asserts that anna, who talks to the customer, may not transfer: her REFER is refused, an event reports it, and both keep
/// talking.
async fn is_switched_off(office: &mut Office, (customer, anna): (&mut Line, &mut Line)) {
    let mut events = office.api.events("/api/events", None).await;
    let by_customer = (office.sip_uri("ben"), "customer");
    let by_anna = [office.sip_uri("ben"), office.sip_uri("+15550199")].map(|to| (to, "agent"));
    for (to, role) in by_anna.into_iter().chain([by_customer]) {
        let (desk, line) = match role {
            "agent" => (&mut office.anna, &mut *anna),
            _ => (&mut office.customer, &mut *customer),
        };
        desk.refer(line, &to, None, PATIENCE).await;
        let told = desk.notified_status_lines(line, PATIENCE).await;
        assert_eq!(told.last().map(String::as_str), Some("SIP/2.0 403 transfer is switched off"), "{role} to {to}");
        let is_it = |event: &SentEvent| (event.name == "call.transfer").then(|| event.data.clone());
        let event = events.until("call.transfer", PATIENCE, is_it).await;
        let shown = (&event["stage"], &event["role"], &event["to"], &event["cause"]);
        assert_eq!(shown, (&json!("failed"), &json!(role), &json!(to), &json!("rejected")), "{event}");
    }
    hear_each_other((customer, CUSTOMER_HZ), (anna, ANNA_HZ)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_party_can_be_transferred_where_transfers_are_disabled() {
    let mut office = Office::open().await;
    let switch = |on: bool| Some(json!({ "transfer": on }));
    let (status, shown) = office.api.ask(Method::PUT, "/api/call-capabilities", switch(false)).await;
    assert_eq!((status, &shown["transfer"]), (StatusCode::OK, &json!(false)), "{shown}");

    // A call from outside, and a second one of anna's: neither party can leave the first one, and it cannot be merged either.
    let (mut customer, mut anna) = office.talk().await;
    is_switched_off(&mut office, (&mut customer, &mut anna)).await;
    let (consults, ben) = tokio::join!(office.anna.call("ben", ANNA_HZ, "", PATIENCE), async {
        let invite = office.ben.rings(PATIENCE).await;
        office.ben.answer(&invite, BEN_HZ, PATIENCE).await
    });
    let (mut consults, ben) = (consults.expect("ben answered"), ben);
    office.anna.refer(&mut anna, &office.sip_uri("ben"), Some(&consults), PATIENCE).await;
    let told = office.anna.notified_status_lines(&anna, PATIENCE).await;
    assert_eq!(told.last().map(String::as_str), Some("SIP/2.0 403 transfer is switched off"));
    office.anna.hang_up(&mut anna, PATIENCE).await;
    office.customer.is_hung_up(&customer, PATIENCE).await;
    office.anna.hang_up(&mut consults, PATIENCE).await;
    office.ben.is_hung_up(&ben, PATIENCE).await;

    // A call that the API creates.
    let request = json!({ "mode": "bridge", "agent": "anna", "to": "+15550142" });
    let (status, made) = office.api.ask(Method::POST, "/api/calls", Some(request)).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let invite = office.anna.rings(PATIENCE).await;
    let (mut anna, mut customer) = tokio::join!(office.anna.answer(&invite, ANNA_HZ, PATIENCE), async {
        let invite = office.customer.rings(PATIENCE).await;
        office.customer.answer(&invite, CUSTOMER_HZ, PATIENCE).await
    });
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;
    is_switched_off(&mut office, (&mut customer, &mut anna)).await;

    // Transfers are enabled again: running calls keep the setting with which they began.
    let (status, _) = office.api.ask(Method::PUT, "/api/call-capabilities", switch(true)).await;
    assert_eq!(status, StatusCode::OK);
    is_switched_off(&mut office, (&mut customer, &mut anna)).await;
    office.customer.hang_up(&mut customer, PATIENCE).await;
    office.anna.is_hung_up(&anna, PATIENCE).await;
    office.close(&["normal", "normal", "normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transferable_call_takes_no_party_out_of_one_with_transfers_disabled() {
    let mut office = Office::open().await;
    let (mut customer, mut anna) = office.talk().await;
    let (status, _) = office.api.ask(Method::PUT, "/api/call-capabilities", Some(json!({ "transfer": false }))).await;
    assert_eq!(status, StatusCode::OK);
    let (consults, ben) = tokio::join!(office.anna.call("ben", ANNA_HZ, "", PATIENCE), async {
        let invite = office.ben.rings(PATIENCE).await;
        office.ben.answer(&invite, BEN_HZ, PATIENCE).await
    });
    let (mut consults, mut ben) = (consults.expect("ben answered"), ben);
    office.anna.refer(&mut anna, &office.sip_uri("ben"), Some(&consults), PATIENCE).await;
    assert_eq!(office.anna.notified(&anna, PATIENCE).await, [100, 403]);
    tokio::join!(
        hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)),
        hear_each_other((&mut consults, ANNA_HZ), (&mut ben, BEN_HZ))
    );
    office.anna.hang_up(&mut consults, PATIENCE).await;
    office.anna.hang_up(&mut anna, PATIENCE).await;
    office.close(&["normal", "normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_party_on_a_trunk_can_transfer_to_agents_only() {
    let mut office = Office::open().await;
    let (mut customer, mut anna) = office.talk().await;
    for to in [office.sip_uri("+15550199"), "sip:+15550199@192.0.2.7".into(), "sip:eve@192.0.2.7".into()] {
        office.customer.refer(&mut customer, &to, None, PATIENCE).await;
        assert_eq!(office.customer.notified(&customer, PATIENCE).await, [100, 403], "{to}");
    }
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;
    office.customer.refer(&mut customer, &office.sip_uri("ben"), None, PATIENCE).await;
    let invite = office.ben.rings(PATIENCE).await;
    let mut ben = office.ben.answer(&invite, BEN_HZ, PATIENCE).await;
    hear_each_other((&mut anna, ANNA_HZ), (&mut ben, BEN_HZ)).await;
    office.customer.is_hung_up(&customer, PATIENCE).await;
    office.anna.hang_up(&mut anna, PATIENCE).await;
    office.ben.is_hung_up(&ben, PATIENCE).await;
    office.close(&["normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attended_transfer_merges_two_calls_and_the_recording_continues() {
    let mut office = Office::open().await;
    office.api.voice_config(json!({ "record": true })).await;
    let (mut customer, mut anna) = office.talk().await;
    office.anna.redirect(&mut anna, "sendonly", PATIENCE).await;
    let kept = office.api.call_becomes("bridged", PATIENCE).await["id"].as_str().expect("an id").to_owned();
    let (consults, ben) = tokio::join!(office.anna.call("ben", ANNA_HZ, "", PATIENCE), async {
        let invite = office.ben.rings(PATIENCE).await;
        office.ben.answer(&invite, BEN_HZ, PATIENCE).await
    });
    let (mut consults, mut ben) = (consults.expect("ben answered"), ben);
    hear_each_other((&mut consults, ANNA_HZ), (&mut ben, BEN_HZ)).await;

    office.anna.refer(&mut anna, &office.sip_uri("ben"), Some(&consults), PATIENCE).await;
    assert_eq!(office.anna.notified(&anna, PATIENCE).await, [100, 200]);
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut ben, BEN_HZ)).await;
    office.anna.is_hung_up(&consults, PATIENCE).await;
    office.anna.is_hung_up(&anna, PATIENCE).await;
    let calls = office.api.get("/api/calls").await;
    let status = |id: &str| {
        let mut calls = calls["calls"].as_array().expect("a list").iter();
        calls.find(|call| (call["id"] == id) == (id == kept)).map(|call| call["status"].clone())
    };
    assert_eq!(status(&kept), Some(json!("bridged")));
    // A party of the merged call can still transfer or end it.
    office.ben.hang_up(&mut ben, PATIENCE).await;
    office.customer.is_hung_up(&customer, PATIENCE).await;

    let shown = office.api.get(&format!("/api/calls/{kept}")).await;
    let path = office.tandem.data().join("recordings").join(format!("{kept}.wav"));
    let (rate, channels) = sound::read_parts(&path).unwrap_or_else(|error| panic!("{error}: {shown:#}"));
    // Customer left, agent right: one file contains anna and the next one ben, each talking for at least a second.
    let loud = |channel: usize, hertz: f32| {
        let stretches = channels[channel].chunks_exact(rate.samples_in_ms(100));
        stretches.filter(|stretch| sound::find(stretch, rate, hertz).tone_dbfs > LEVEL_DBFS - 3.0).count()
    };
    for (channel, hertz) in [(0, CUSTOMER_HZ), (1, ANNA_HZ), (1, BEN_HZ)] {
        assert!(loud(channel, hertz) >= 8, "{hertz} Hz in channel {channel} for {} × 100 ms", loud(channel, hertz));
    }
    office.close(&["normal", "transferred"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parties_separated_by_a_blind_transfer_are_not_recorded() {
    let mut office = Office::open().await;
    office.api.voice_config(json!({ "record": true })).await;
    let (mut customer, mut anna) = office.talk().await;
    let call = office.api.call_becomes("bridged", PATIENCE).await["id"].as_str().expect("an id").to_owned();
    office.anna.refer(&mut anna, &office.sip_uri("ben"), None, PATIENCE).await;
    let invite = office.ben.rings(PATIENCE).await;
    // Both continue to send their tones. The second ring-back begins five seconds after the first one.
    customer.sound.until_tone(RINGBACK_HZ, PATIENCE).await;
    customer.sound.hears(1.5, PATIENCE).await;
    customer.sound.until_tone(RINGBACK_HZ, PATIENCE).await;
    let mut ben = office.ben.answer(&invite, BEN_HZ, PATIENCE).await;
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut ben, BEN_HZ)).await;
    office.ben.hang_up(&mut ben, PATIENCE).await;
    office.customer.is_hung_up(&customer, PATIENCE).await;

    let path = office.tandem.data().join("recordings").join(format!("{call}.wav"));
    let (rate, channels) = sound::read_parts(&path).expect("a recording");
    let is_loud = |channel: usize, hertz: f32| -> Vec<bool> {
        let stretches = channels[channel].chunks_exact(rate.samples_in_ms(100));
        stretches.map(|stretch| sound::find(stretch, rate, hertz).tone_dbfs > LEVEL_DBFS - 12.0).collect()
    };
    let (customer, anna, ben) = (is_loud(0, CUSTOMER_HZ), is_loud(1, ANNA_HZ), is_loud(1, BEN_HZ));
    let parted = anna.iter().rposition(|&loud| loud).expect("anna is recorded") + 1;
    let joined = ben.iter().position(|&loud| loud).expect("ben is recorded");
    assert!(
        joined >= parted + 40,
        "anna is heard for {parted} × 100 ms, ben from {joined} on: ring-back lasts five seconds"
    );
    let heard = customer[parted + 2..joined - 2].iter().filter(|&&loud| loud).count();
    assert_eq!(heard, 0, "the customer is recorded while no party hears them");
    office.close(&["normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_calls_of_the_same_member_can_be_merged() {
    let mut office = Office::open().await;
    let (mut customer, mut anna) = office.talk().await;
    let (second, ben) = tokio::join!(office.customer.call("ben", CUSTOMER_HZ, "", PATIENCE), async {
        let invite = office.ben.rings(PATIENCE).await;
        office.ben.answer(&invite, BEN_HZ, PATIENCE).await
    });
    let (mut second, mut ben) = (second.expect("ben answered"), ben);
    office.anna.refer(&mut anna, &office.sip_uri("ben"), Some(&ben), PATIENCE).await;
    assert_eq!(office.anna.notified(&anna, PATIENCE).await, [100, 403], "that call is ben's");
    tokio::join!(
        hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)),
        hear_each_other((&mut second, CUSTOMER_HZ), (&mut ben, BEN_HZ))
    );
    office.anna.hang_up(&mut anna, PATIENCE).await;
    office.ben.hang_up(&mut ben, PATIENCE).await;
    office.close(&["normal", "normal"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_another_device_of_the_same_agent_can_take_over_a_call() {
    let mut office = Office::open().await;
    let (mut customer, anna) = office.talk().await;
    let replaces = format!("Require: replaces\r\nReplaces: {}\r\n", anna.replaces());
    let theirs = office.ben.call("100", BEN_HZ, &replaces, PATIENCE).await;
    assert_eq!(theirs.err(), Some(403), "anna's call is not ben's");
    let unknown = replaces.replace("from-tag=", "from-tag=x");
    assert_eq!(office.ben.call("100", BEN_HZ, &unknown, PATIENCE).await.err(), Some(481));

    let mut other = second_device(&office, "anna").await;
    let mut taken = other.call("100", BEN_HZ, &replaces, PATIENCE).await.expect("anna's other device is accepted");
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut taken, BEN_HZ)).await;
    office.anna.is_hung_up(&anna, PATIENCE).await;
    other.hang_up(&mut taken, PATIENCE).await;
    office.customer.is_hung_up(&customer, PATIENCE).await;
    office.close(&["normal"]).await;
}

/// Registers a second phone of an agent, with the password of the first.
async fn second_device(office: &Office, name: &str) -> Desk {
    let mut desk = Desk::start("127.0.0.1", office.tandem.sip(), name).await;
    desk.register(office.anna.password().expect("anna is registered"), PATIENCE).await;
    desk
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn baresip_transfers_its_call_and_the_agents_hear_each_other() {
    let tandem = Tandem::start(&Setup { routes: vec![("*", "agent:anna")], ..Setup::default() }).await;
    let ((mut anna, _), (mut ben, _)) = (Desk::of_agent(&tandem, "anna").await, Desk::of_agent(&tandem, "ben").await);
    let before = tandem.holdings().await;
    let mut baresip = Baresip::start("PCMU", CUSTOMER_HZ as u32).await;
    let uri = format!("sip:100@{}", tandem.sip());
    let ((), mut first) = tokio::join!(baresip.dial(&uri, PATIENCE), async {
        let invite = anna.rings(PATIENCE).await;
        anna.answer(&invite, ANNA_HZ, PATIENCE).await
    });
    first.sound.until_tone(CUSTOMER_HZ, PATIENCE).await;
    baresip.transfer(&format!("sip:ben@{}", tandem.sip()));
    let invite = ben.rings(PATIENCE).await;
    let mut second = ben.answer(&invite, BEN_HZ, PATIENCE).await;
    hear_each_other((&mut first, ANNA_HZ), (&mut second, BEN_HZ)).await;
    anna.hang_up(&mut first, PATIENCE).await;
    ben.is_hung_up(&second, PATIENCE).await;
    baresip.stop().await;
    tandem.gives_back(&before, Duration::from_secs(10)).await;
    tandem.stop().await;
}
