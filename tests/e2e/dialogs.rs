//! Dialogs that sipp plays against the running server: each scenario (`tests/data/sipp`) checks the messages that it receives, and
//! fails on anything else.
//!
//! ```text
//! sipp caller_*  ──▶ Tandem: echo                 callers of a trunk
//!                    Tandem ──▶ sipp callee_*     each callee is a trunk of its own, by its address
//! ```
//! Not here: the same under virtual time, with every message lost, duplicated or late (`tests/sim`, and the endpoint's own tests).

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::api::Api;
use tests::desk::Desk;
use tests::ports;
use tests::rtp::{Packet, RtpEnd};
use tests::sipp::Sipp;
use tests::tandem::{Setup, Tandem};

const PATIENCE: Duration = Duration::from_secs(10);

/// Scenarios of callers: name, number of the caller, and cause with which the call ends.
const CALLERS: [(&str, &str, &str); 11] = [
    ("caller_holds", "+34910000011", "normal"),
    ("caller_wants_an_offer", "+34910000012", "normal"),
    ("caller_loses_acks", "+34910000013", "normal"),
    ("caller_ends_before_ack", "+34910000014", "normal"),
    ("caller_ends_early", "+34910000015", "cancelled"),
    ("caller_cancels", "+34910000016", "cancelled"),
    ("caller_cancels_too_late", "+34910000017", "normal"),
    ("caller_overlaps", "+34910000018", "normal"),
    ("caller_agrees_on_session_timers", "+34910000019", "normal"),
    ("caller_asks_for_what_is_not", "+34910000022", "normal"),
    ("caller_presses_keys", "+34910000023", "normal"),
];

/// Callees that end their calls themselves, and the cause of the end.
const CALLEES: [(&str, &str); 5] = [
    ("callee_forks", "normal"),
    ("callee_redirects", "normal"),
    ("callee_is_busy", "busy"),
    ("callee_wants_longer_sessions", "normal"),
    ("callee_holds", "unreachable"),
];

/// Callees whose calls the server ends, and the call's status at that moment.
const HUNG_UP: [(&str, &str); 4] = [
    // Cancelled at once, before any response.
    ("callee_is_cancelled_unheard", ""),
    ("callee_is_cancelled", "ringing"),
    ("callee_answers_when_cancelled", "ringing"),
    ("callee_is_hung_up", "bridged"),
];

/// Address of the `n`th callee.
fn callee_at(n: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 1, n as u8 + 1], ports::free()))
}

/// Returns the call from (or to) an address, which must have ended.
fn ended<'c>(calls: &'c Value, key: &str, address: &str) -> &'c Value {
    let mut calls = calls["calls"].as_array().expect("a list of calls").iter();
    let call = calls.find(|call| call[key].as_str().is_some_and(|found| found.contains(address)));
    let call = call.unwrap_or_else(|| panic!("no call whose {key} is {address}"));
    assert!(call["status"] == "ended" || call["status"] == "failed", "{call}");
    call
}

/// Calls `to` and returns the call's id.
async fn dial(api: &Api, to: &str) -> String {
    let (status, call) =
        api.ask(Method::POST, "/api/calls", Some(json!({ "mode": "direct", "to": to, "app": "tone" }))).await;
    assert_eq!(status, StatusCode::CREATED, "{to}: {call}");
    call["id"].as_str().expect("an id").to_owned()
}

/// Waits until a call has a status.
async fn becomes(api: &Api, id: &str, status: &str) {
    let mut seen = Value::Null;
    let wait = async {
        let mut look = tokio::time::interval(Duration::from_millis(20));
        while seen["status"] != status {
            look.tick().await;
            seen = api.get(&format!("/api/calls/{id}")).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "the call never was {status}: {seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sipp_callers_hold_cancel_overlap_and_are_refused_as_the_rfcs_say() {
    let ringing = callee_at(0);
    let tandem = Tandem::start(&Setup {
        trunks: vec![("ringing", vec![ringing.to_string()]), ("local", vec!["127.0.0.1".into()])],
        routes: vec![("echo", "app:echo"), ("+1555777*", "trunk:ringing")],
        ..Setup::default()
    })
    .await;
    let api = tandem.api("acme").await;
    let mut events = api.events("/api/events", None).await;
    let before = tandem.holdings().await;
    let silent = RtpEnd::bind().await;
    let callee = Sipp::awaits("callee_is_cancelled", ringing, silent.port(), 2).await;

    let plays = |(name, ..): &(&str, &str, &str)| {
        // sipp hides retransmissions unless an option says otherwise.
        let counts_copies = ["caller_loses_acks", "caller_ends_before_ack"].contains(name);
        let extra: &[&str] = if counts_copies { &["-nr"] } else { &[] };
        Sipp::plays(name, tandem.sip(), silent.port(), extra)
    };
    let callers: Vec<Sipp> = CALLERS.iter().map(plays).collect();
    Sipp::all_succeed(callers.into_iter().chain([callee]), PATIENCE).await;
    for key in ["5", "#"] {
        let told = events.until("a key", PATIENCE, |event| (event.name == "call.dtmf").then(|| event.data.clone()));
        assert_eq!(told.await["digit"], key);
    }
    tandem.gives_back(&before, PATIENCE).await;
    let calls = api.get("/api/calls").await;
    for (name, number, cause) in CALLERS {
        assert_eq!(ended(&calls, "from", number)["ended_reason"], cause, "{name}");
    }
    assert_eq!(calls["calls"].as_array().expect("a list").len(), CALLERS.len(), "a refused request creates no call");
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sipp_callees_fork_redirect_hold_and_answer_across_a_cancel() {
    let places: Vec<SocketAddr> = (0..CALLEES.len() + HUNG_UP.len()).map(callee_at).collect();
    let scenarios: Vec<&'static str> = CALLEES.iter().chain(&HUNG_UP).map(|(name, _)| *name).collect();
    let trunks = scenarios.iter().zip(&places).map(|(name, place)| (*name, vec![place.to_string()])).collect();
    let tandem = Tandem::start(&Setup { trunks, ..Setup::default() }).await;
    let api = tandem.api("acme").await;
    let before = tandem.holdings().await;
    let silent = RtpEnd::bind().await;
    let mut callees = Vec::new();
    for (name, place) in scenarios.iter().zip(&places) {
        callees.push(Sipp::awaits(name, *place, silent.port(), 1).await);
    }
    let mut calls = Vec::new();
    for place in &places {
        calls.push(dial(&api, &format!("sip:callee@{}", place.ip())).await);
    }
    for (id, (_, status)) in calls[CALLEES.len()..].iter().zip(&HUNG_UP) {
        if !status.is_empty() {
            becomes(&api, id, status).await;
        }
        assert!(api.ask(Method::POST, &format!("/api/calls/{id}/hangup"), None).await.0.is_success());
    }
    Sipp::all_succeed(callees, PATIENCE).await;
    tandem.gives_back(&before, PATIENCE).await;
    let causes = CALLEES.iter().copied().chain(HUNG_UP.map(|(name, _)| (name, "requested")));
    for (id, (name, cause)) in calls.iter().zip(causes) {
        assert_eq!(api.get(&format!("/api/calls/{id}")).await["ended_reason"], cause, "{name}");
    }
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reliable_early_media_is_heard_before_the_answer_and_both_ways_after_it() {
    let place = callee_at(0);
    let tandem = Tandem::start(&Setup {
        trunks: vec![("early", vec![place.to_string()]), ("local", vec!["127.0.0.1".into()])],
        routes: vec![("+1555777*", "trunk:early")],
        ..Setup::default()
    })
    .await;
    let before = tandem.holdings().await;
    let (near, far) = (RtpEnd::bind().await, RtpEnd::bind().await);
    let callee = Sipp::awaits("callee_sounds_early", place, far.port(), 1).await;
    let caller = Sipp::plays("caller_hears_early", tandem.sip(), near.port(), &["-nr"]);
    let (_, to_callee_leg) = callee.next_answered(0, PATIENCE).await;
    let (to_caller_leg, _) = near.peer(PATIENCE, &far, to_callee_leg).await;
    let (_, told) = caller.next_answered(0, PATIENCE).await;
    assert_eq!(to_caller_leg, told, "from the address in the 183");
    both_hear("early", 1, (&near, to_caller_leg), (&far, to_callee_leg)).await;
    assert!(!caller.logged("final"), "all that was before the answer");
    caller.logs("settled", PATIENCE).await;
    both_hear("after the answer", 3, (&near, to_caller_leg), (&far, to_callee_leg)).await;
    caller.succeeds(PATIENCE).await;
    callee.succeeds(PATIENCE).await;
    tandem.gives_back(&before, PATIENCE).await;
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transfers_of_a_caller_are_reported_by_notify_until_the_agents_talk() {
    let tandem =
        Tandem::start(&Setup { routes: vec![("100", "agent:anna"), ("ben", "agent:ben")], ..Setup::default() }).await;
    let ((mut anna, _), (mut ben, _)) = (Desk::of_agent(&tandem, "anna").await, Desk::of_agent(&tandem, "ben").await);
    let before = tandem.holdings().await;
    let silent = RtpEnd::bind().await;
    let caller = Sipp::plays("caller_is_transferred_on", tandem.sip(), silent.port(), &[]);
    let invite = anna.rings(PATIENCE).await;
    let mut first = anna.answer(&invite, 440.0, PATIENCE).await;
    let invite = ben.rings(PATIENCE).await;
    let mut second = ben.answer(&invite, 600.0, PATIENCE).await;
    caller.succeeds(PATIENCE).await;
    tokio::join!(first.sound.until_tone(600.0, PATIENCE), second.sound.until_tone(440.0, PATIENCE));
    anna.hang_up(&mut first, PATIENCE).await;
    ben.is_hung_up(&second, PATIENCE).await;
    tandem.gives_back(&before, PATIENCE).await;
    tandem.stop().await;
}

/// Sends half a second of noise in both directions, with `seed` and the next seed, and asserts that it arrives unaltered except at
/// the seam where relaying begins. The same seed twice would give copies of the same packets.
async fn both_hear(step: &str, seed: u64, (a, to_a): (&RtpEnd, SocketAddr), (b, to_b): (&RtpEnd, SocketAddr)) {
    const SENT: usize = 25;
    let linger = Duration::from_millis(500);
    let ((a_sent, a_came), (b_sent, b_came)) =
        tokio::join!(a.exchange(to_a, seed, SENT, linger), b.exchange(to_b, seed + 1, SENT, linger));
    for (direction, sent, came) in [("caller to callee", a_sent, b_came), ("callee to caller", b_sent, a_came)] {
        let is_sent = |packet: &&Packet| sent.iter().any(|one| one.payload == packet.payload);
        let unaltered = came.iter().filter(is_sent).count();
        assert!(unaltered >= SENT * 4 / 5, "{step}: {direction}: {unaltered} of {SENT} packets");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: the shortest session is refreshed after 45 s, and an ACK is waited for 32 s"]
async fn the_server_refreshes_sessions_and_hangs_up_a_call_without_ack() {
    let tandem = Tandem::start(&Setup::default()).await;
    let before = tandem.holdings().await;
    let silent = RtpEnd::bind().await;
    let play = |name: &str| Sipp::plays(name, tandem.sip(), silent.port(), &[]);
    let names = ["caller_never_acknowledges", "caller_is_refreshed_by_update", "caller_leaves_refreshing_to_us"];
    Sipp::all_succeed(names.map(play), Duration::from_secs(60)).await;
    tandem.gives_back(&before, PATIENCE).await;
    tandem.stop().await;
}
