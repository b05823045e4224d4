//! Events that the store refuses, and a database that is unavailable.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use media_engine::sdp::Codec;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::api::{Api, SentEvent};
use tests::desk::Desk;
use tests::ears::FarEnd;
use tests::postgres::{Database, Postgres};
use tests::tandem::{Setup, Tandem};
use tokio::time::{Instant, timeout};

const PATIENCE: Duration = Duration::from_secs(15);
/// Interval between two polls.
const LOOK: Duration = Duration::from_millis(50);
/// The engine continues a call by itself after 2 s: for a call answered before that, the control plane decided.
const DECIDED: Duration = Duration::from_millis(1_900);
/// Address of the telephones; 127.0.0.1 is the trunk.
const TELEPHONES: &str = "127.0.0.2";
/// Number of the external caller.
const CALLER: &str = "+34910000001";
/// Number of the second organization.
const NUMBER: &str = "+15555550177";
/// Tone of the program of that number, in Hz.
const PROGRAM_HZ: f32 = 1_000.0;

fn setup(database: &Database) -> Setup {
    Setup {
        store: format!("url = {:?}\nmigrate_url = {:?}\n", database.url, database.migrate_url),
        routes: vec![("echo", "app:echo"), ("+1555*", "app:echo"), ("*", "agent:anna")],
        further: "[dial]\ncalls = 1\n",
        ..Setup::default()
    }
}

async fn holds(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let wait = async {
        let mut look = tokio::time::interval(LOOK);
        while !condition().await {
            look.tick().await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"));
}

/// Creates two organizations: calls of the first are recorded, and the second has a number.
async fn organizations(tandem: &Tandem) -> (Api, Api) {
    let (acme, other) = (tandem.api("acme").await, tandem.api("other").await);
    acme.voice_config(json!({ "record": true })).await;
    tandem.run_command(&["number", "assign", "--org", "other", NUMBER]).await;
    (acme, other)
}

/// Makes a call from a trunk that is answered in time, sends audio, and ends.
async fn calls(tandem: &Tandem, to: &str) {
    let mut caller = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
    let begun = Instant::now();
    caller.call(CALLER, to, PATIENCE).await;
    assert!(begun.elapsed() < DECIDED, "a call to {to} waited {:?} for a decision", begun.elapsed());
    caller.hear(0.0, 0.5).await;
    caller.party.hang_up();
    caller.party.stop().await;
}

/// Returns whether the organization has `count` calls that have all ended.
async fn has_ended(api: &Api, count: usize) -> bool {
    let (status, list) = api.ask(Method::GET, "/api/calls", None).await;
    let Some(calls) = list["calls"].as_array().filter(|_| status.is_success()) else { return false };
    assert!(calls.len() <= count, "no call is listed twice or belongs to another organization: {calls:?}");
    calls.len() == count && calls.iter().all(|call| call["status"] == "ended")
}

/// Returns the newest call with its recording.
async fn newest(api: &Api) -> Value {
    let call = api.newest_call().await.expect("a call");
    api.get(&format!("/api/calls/{}", call["id"].as_str().expect("an id"))).await
}

async fn answers(api: &Api) -> StatusCode {
    api.ask(Method::GET, "/api/calls", None).await.0
}

/// Starts a server on PostgreSQL with two organizations and restarts it, so that no call was made since its start.
async fn restarted(setup: &Setup) -> (Tandem, Api, Api) {
    let tandem = Tandem::start(setup).await;
    let (acme, other) = organizations(&tandem).await;
    let tandem = Tandem::start_in(tandem.kill().await, setup).await;
    let (acme, other) = (acme.with_base(&tandem.http), other.with_base(&tandem.http));
    (tandem, acme, other)
}

/// Asserts that the events of an outage are written, and that the API answers again.
async fn is_back(tandem: &Tandem, api: &Api) {
    holds("the API answers", async || answers(api).await.is_success()).await;
    holds("the events are written", async || tandem.metric("tandem_spool_bytes", "").await == 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_database_changes_no_decision_and_loses_no_call() {
    let mut postgres = Postgres::start().await;
    let database = postgres.database().await;
    let (tandem, acme, other) = restarted(&setup(&database)).await;
    let (mut desk, session) = Desk::of_agent_at(&tandem, TELEPHONES, tandem.sip(), "ana").await;
    let password = desk.password().expect("a password").to_owned();
    let mut stream = session.events("/api/events", None).await;
    postgres.halt().await;

    // From the first second of the outage, calls are recorded as acme configured it, and the number belongs to its organization.
    calls(&tandem, "echo").await;
    calls(&tandem, NUMBER).await;
    // A telephone registers at once, and pages receive the event.
    let mut second = Desk::start(TELEPHONES, tandem.sip(), "ana").await;
    let begun = Instant::now();
    second.register(&password, PATIENCE).await;
    let of_ana = |event: &SentEvent| (event.data["agent"] == "ana").then_some(());
    stream.until("the registration", PATIENCE, of_ana).await;
    assert!(begun.elapsed() < DECIDED, "a registration waited {:?}", begun.elapsed());
    // The limit of one concurrent call also applies now; the end of a call frees its place.
    let mut line = desk.call("echo", 440.0, "", PATIENCE).await.expect("the first call is accepted");
    assert!(desk.call("echo", 440.0, "", PATIENCE).await.is_err(), "the limit holds");
    desk.hang_up(&mut line, PATIENCE).await;
    let until = Instant::now() + PATIENCE;
    let mut line = loop {
        match desk.call("echo", 440.0, "", PATIENCE).await {
            Ok(line) => break line,
            Err(_) => assert!(Instant::now() < until, "its place is not free"),
        }
    };
    desk.hang_up(&mut line, PATIENCE).await;
    assert_eq!(answers(&acme).await, StatusCode::SERVICE_UNAVAILABLE);

    postgres.resume().await;
    is_back(&tandem, &acme).await;
    assert!(has_ended(&other, 1).await);
    assert_eq!(newest(&other).await["to"], NUMBER);
    let listed = acme.get("/api/calls").await;
    let calls = listed["calls"].as_array().expect("calls");
    assert_eq!(calls.iter().filter(|call| call["from"] == CALLER).count(), 1, "{listed}");
    assert!(calls.iter().all(|call| call["config"]["record"] == true), "{listed}");
    let recorded = acme.get("/api/recordings").await;
    assert_eq!(recorded["recordings"].as_array().expect("recordings").len(), 3, "{recorded}");
    assert_eq!(tandem.metric("tandem_spool_dropped_total", "").await, 0.0);
    tandem.stop().await;
    postgres.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_started_without_its_database_decides_as_before_and_stores_calls_later() {
    let mut postgres = Postgres::start().await;
    let database = postgres.database().await;
    let setup = setup(&database);
    let (tandem, acme, other) = restarted(&setup).await;
    let mut cut = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
    cut.call(CALLER, "echo", PATIENCE).await;
    holds("its row", async || acme.newest_call().await.is_some_and(|call| call["status"] == "bridged")).await;
    let folder = tandem.kill().await;
    cut.party.stop().await;
    postgres.halt().await;
    let tandem = Tandem::start_in(folder, &setup).await;
    let (acme, other) = (acme.with_base(&tandem.http), other.with_base(&tandem.http));
    let (status, refused) = acme.ask(Method::GET, "/api/calls", None).await;
    assert_eq!(
        (status, &refused["type"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("urn:tandem:problem:store-away")),
        "{refused}"
    );
    let (status, ready) = acme.ask(Method::GET, "/readyz", None).await;
    let states = [&ready["store"], &ready["listeners"]];
    assert_eq!((status, states), (StatusCode::SERVICE_UNAVAILABLE, [&json!(false), &json!(true)]));

    calls(&tandem, "echo").await;
    calls(&tandem, NUMBER).await;
    let mut through = FarEnd::start(tandem.sip(), vec![Codec::Pcmu]).await;
    through.call(CALLER, "echo", PATIENCE).await;
    postgres.resume().await;
    is_back(&tandem, &acme).await;
    let running = newest(&acme).await;
    assert_eq!(running["status"], "bridged", "a call that runs is not one that was left open: {running}");
    through.party.hang_up();
    through.party.stop().await;

    holds("every call's end", async || has_ended(&acme, 3).await && has_ended(&other, 1).await).await;
    let reasons = acme.get("/api/calls").await;
    let reasons: Vec<&Value> =
        reasons["calls"].as_array().expect("calls").iter().map(|call| &call["ended_reason"]).collect();
    assert_eq!(reasons, ["normal", "normal", "crash"]);
    let recorded = acme.get("/api/recordings").await;
    assert_eq!(recorded["recordings"].as_array().expect("recordings").len(), 3, "{recorded}");
    let used = async |api: &Api| api.get("/api/usage").await["total"]["calls_inbound"].clone();
    assert_eq!([used(&acme).await, used(&other).await], [json!(3), json!(1)]);
    let (status, _) = acme.ask(Method::GET, "/readyz", None).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(tandem.metric("tandem_calls_unassigned_total", "").await, 0.0);
    tandem.stop().await;
    postgres.stop().await;
}

/// Makes a call to a number whose program plays a tone, and asserts that the caller hears it.
async fn hears_the_program(tandem: &Tandem, desk: &mut Desk) {
    let begun = Instant::now();
    let mut line = desk.call(NUMBER, 440.0, "", PATIENCE).await.expect("the program answers");
    assert!(begun.elapsed() < DECIDED, "the call waited {:?} for a decision", begun.elapsed());
    line.sound.until_tone(PROGRAM_HZ, PATIENCE).await;
    desk.hang_up(&mut line, PATIENCE).await;
    tandem.becomes_zero("tandem_calls_running", PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_keeps_its_program_while_the_database_is_away() {
    let mut postgres = Postgres::start().await;
    let database = postgres.database().await;
    let setup = setup(&database);
    let (tandem, _, other) = restarted(&setup).await;
    let numbers = other.get("/api/caller-id/numbers").await;
    let path = format!("/api/caller-id/numbers/{}/program", numbers["numbers"][0]["id"].as_str().expect("an id"));
    let tone = json!([{ "play": { "tone": { "hz": [PROGRAM_HZ as u16], "duration_ms": 10_000 } } }]);
    let (status, put) = other.ask(Method::PUT, &path, Some(json!({ "program": tone }))).await;
    assert_eq!(status, StatusCode::OK, "{put}");
    let known = tandem.data().join("tandem.known");
    let is_known = async || std::fs::read_to_string(&known).is_ok_and(|text| text.contains("duration_ms"));
    holds("the program is known", is_known).await;
    postgres.halt().await;

    // No call has asked for the program before.
    let mut trunk = Desk::start("127.0.0.1", tandem.sip(), CALLER).await;
    hears_the_program(&tandem, &mut trunk).await;
    drop(trunk);
    let tandem = Tandem::start_in(tandem.kill().await, &setup).await;
    let other = other.with_base(&tandem.http);
    let mut trunk = Desk::start("127.0.0.1", tandem.sip(), CALLER).await;
    hears_the_program(&tandem, &mut trunk).await;

    postgres.resume().await;
    is_back(&tandem, &other).await;
    // A program that a server supplies cannot be requested without the database: its fallback runs, or the call follows its route.
    let url = json!({ "program_url": "http://127.0.0.1:9/program", "fallback": tone });
    let (status, put) = other.ask(Method::PUT, &path, Some(url)).await;
    assert_eq!(status, StatusCode::OK, "{put}");
    let known = tandem.data().join("tandem.known");
    let has_changed = async || std::fs::read_to_string(&known).is_ok_and(|text| text.contains("127.0.0.1:9"));
    holds("the change is known", has_changed).await;
    postgres.halt().await;
    hears_the_program(&tandem, &mut trunk).await;
    postgres.resume().await;
    is_back(&tandem, &other).await;
    tandem.stop().await;
    postgres.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_call_is_assigned_to_its_organization_once_the_database_answers() {
    let mut postgres = Postgres::start().await;
    let database = postgres.database().await;
    let setup = setup(&database);
    let (tandem, acme, other) = restarted(&setup).await;
    let folder = tandem.kill().await;
    postgres.halt().await;
    let known = folder.path().join("data/tandem.known");
    assert_eq!(std::fs::metadata(&known).expect("the file").permissions().mode() & 0o777, 0o600);
    let text = std::fs::read(&known).expect("the known state");
    let mut content: Value = serde_json::from_slice(&text).expect("JSON");
    content["organizations"] = json!([]);
    std::fs::write(&known, content.to_string()).expect("written");
    let tandem = Tandem::start_in(folder, &setup).await;
    let (acme, other) = (acme.with_base(&tandem.http), other.with_base(&tandem.http));
    calls(&tandem, NUMBER).await;
    calls(&tandem, "echo").await;
    assert_eq!(tandem.metric("tandem_calls_unassigned_total", "").await, 2.0);
    postgres.resume().await;
    is_back(&tandem, &acme).await;
    holds("each call belongs to its organization", async || has_ended(&acme, 1).await && has_ended(&other, 1).await)
        .await;
    let (of_acme, of_other) = (newest(&acme).await, newest(&other).await);
    assert_eq!([&of_acme["to"], &of_other["to"]], [&json!("echo"), &json!(NUMBER)]);
    assert_eq!(of_acme["config"]["record"], false, "the row contains the decisions: {of_acme}");
    assert_eq!(of_acme["recording"], Value::Null);
    tandem.stop().await;

    // Without data of an earlier run the server cannot serve: the start reports the reason.
    postgres.halt().await;
    let folder = tempfile::tempdir().expect("a folder");
    let why = Tandem::fails_in(&folder, &setup).await;
    assert!(why.contains("cannot connect to PostgreSQL"), "{why}");
    postgres.resume().await;
    postgres.stop().await;
}
