//! The store under a busy server: killed at any moment, or without its database for a while.
//!
//! ```text
//! sipp, telephones ─▶ Tandem ─▶ SQLite or PostgreSQL          SIGKILL, restart on the same folder, compare
//! ```
//!
//! Invariants tested: every event that a client received is in the store once; every call has ended after the restart; a
//! request with an idempotency key dials once. Not here: full disks (`abuse::disk`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, Row, SqliteConnection};
use tests::api::SentEvent;
use tests::desk::{Desk, Line, hears_tones};
use tests::office::{ANNA_HZ, BEN_HZ, CUSTOMER_HZ};
use tests::postgres::{Database, Postgres};
use tests::rtp::{RtpEnd, assert_unaltered};
use tests::sipp::Sipp;
use tests::tandem::{Setup, Tandem};
use tests::{ports, soak, sound};
use tokio::time::{Instant, timeout};

const PATIENCE: Duration = Duration::from_secs(15);
/// Deadline for a killed server to be ready again.
const RESTART: Duration = Duration::from_secs(2);
/// Calls per second.
const RATE: u32 = 60;
const HOLD: Duration = Duration::from_millis(300);

/// Database of a server.
enum Kept<'a> {
    Sqlite,
    Postgres(&'a Database),
}

/// Row of a call: status, whether it has ended, and the cause.
type CallRow = (String, bool, Option<String>);
/// Row of an event: id, call, kind, body.
type EventRow = (i64, String, String, String);

macro_rules! read {
    ($connection:expr) => {{
        let mut connection = $connection.await.expect("the database opens");
        let sql = "SELECT CAST(id AS TEXT), status, ended_at, ended_reason FROM calls";
        let rows = sqlx::query(sql).fetch_all(&mut connection).await.expect("calls");
        let call = |row: &_| {
            (Row::get(row, 0), (Row::get(row, 1), Row::get::<Option<i64>, _>(row, 2).is_some(), Row::get(row, 3)))
        };
        let calls: BTreeMap<String, CallRow> = rows.iter().map(call).collect();
        let sql = "SELECT id, CAST(call_id AS TEXT), kind, body FROM call_events ORDER BY id";
        let rows = sqlx::query(sql).fetch_all(&mut connection).await.expect("events");
        let event = |row: &_| (Row::get(row, 0), Row::get(row, 1), Row::get(row, 2), Row::get(row, 3));
        let events: Vec<EventRow> = rows.iter().map(event).collect();
        (calls, events)
    }};
}

impl Kept<'_> {
    fn setup(&self) -> Setup {
        let store = match self {
            Kept::Sqlite => String::new(),
            Kept::Postgres(database) => {
                format!("url = {:?}\nmigrate_url = {:?}\n", database.url, database.migrate_url)
            }
        };
        Setup { store, ..Setup::default() }
    }

    async fn rows(&self, data: &Path) -> (BTreeMap<String, CallRow>, Vec<EventRow>) {
        match self {
            Kept::Sqlite => read!(SqliteConnection::connect(&format!("sqlite:{}", data.join("tandem.db").display()))),
            Kept::Postgres(database) => read!(PgConnection::connect(&database.admin_url)),
        }
    }
}

/// Blocks a server when it writes to the audit log.
enum Hold<'a> {
    Sqlite(&'a Path),
    Postgres(PgConnection),
}

impl Hold<'_> {
    async fn release(self) {
        match self {
            Hold::Sqlite(data) => {
                let mut connection = sqlite_of(data).await;
                sqlx::raw_sql("DROP TRIGGER hold").execute(&mut connection).await.expect("a trigger dropped");
            }
            Hold::Postgres(connection) => connection.close().await.expect("a connection closed"),
        }
    }
}

async fn sqlite_of(data: &Path) -> SqliteConnection {
    let path = format!("sqlite:{}", data.join("tandem.db").display());
    SqliteConnection::connect(&path).await.expect("the database opens")
}

impl Kept<'_> {
    /// Blocks every new call after dialling, until the value is dropped.
    async fn hold<'a>(&self, data: &'a Path) -> Hold<'a> {
        match self {
            Kept::Sqlite => {
                // The query takes longer than any test.
                let sql = "CREATE TRIGGER hold BEFORE INSERT ON audit_log WHEN NEW.action = 'call.create' BEGIN \
                           SELECT COUNT(*) FROM (WITH RECURSIVE n (x) AS \
                           (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 1000000000000) SELECT x FROM n); END";
                let mut connection = sqlite_of(data).await;
                sqlx::raw_sql(sql).execute(&mut connection).await.expect("a trigger made");
                Hold::Sqlite(data)
            }
            Kept::Postgres(database) => {
                let mut connection = PgConnection::connect(&database.admin_url).await.expect("the database opens");
                let sql = "BEGIN; LOCK TABLE audit_log IN ACCESS EXCLUSIVE MODE";
                sqlx::raw_sql(sql).execute(&mut connection).await.expect("a table locked");
                Hold::Postgres(connection)
            }
        }
    }
}

/// Makes the store refuse, for good, the answer of one leg in two calls of three. With one to three events per commit and about
/// ten events per call, every tenth batch or more contains such an event.
async fn poison(data: &Path) {
    let sql = "CREATE TRIGGER poison BEFORE INSERT ON call_events WHEN NEW.kind = 'call.leg' \
               AND NEW.body LIKE '%\"state\":\"answered\"%' AND substr(NEW.call_id, -1) < 'a' \
               BEGIN SELECT RAISE(ABORT, 'poisoned'); END";
    sqlx::raw_sql(sql).execute(&mut sqlite_of(data).await).await.expect("a trigger made");
}

/// Returns whether the store refuses the answer of this call's leg.
fn is_poisoned(call: &str) -> bool {
    call.ends_with(|last: char| last.is_ascii_digit())
}

/// Asserts that the refused events, and only those, are stored apart, each once; returns their number.
async fn check_refused(tandem: &Tandem, events: &[EventRow]) -> usize {
    let told = tandem.run_command(&["refused"]).await;
    let mut seen = BTreeSet::new();
    for line in told.lines() {
        let event: Value = serde_json::from_str(line).expect("a refused event is JSON");
        let call = event["call"].as_str().expect("its call").to_owned();
        assert_eq!((&event["kind"], is_poisoned(&call)), (&json!("leg"), true), "nothing else is refused: {event}");
        assert!(seen.insert((call, event["change"]["Leg"]["leg"].to_string())), "refused twice: {event}");
    }
    let mut answered = BTreeSet::new();
    let mut bridged = BTreeSet::new();
    for (_, call, kind, body) in events {
        let body: Value = serde_json::from_str(body).expect("an event's body is JSON");
        if kind == "call.leg" && body["state"] == "answered" {
            answered.insert(call.as_str());
        }
        if kind == "call.status" && body["status"] == "bridged" {
            bridged.insert(call.as_str());
        }
    }
    // The answer of a leg is reported before its call is bridged: it is in the store or among the refused events, and not in both.
    for call in bridged {
        let refused = seen.iter().any(|(refused, _)| refused == call);
        assert_eq!((answered.contains(call), refused), (!is_poisoned(call), is_poisoned(call)), "{call}");
    }
    seen.len()
}

/// Starts callers that each call the echo once.
fn busy(tandem: &Tandem, calls: usize) -> Sipp {
    let callers: Vec<(String, u16)> = (0..calls).map(|_| ("echo".to_owned(), ports::free())).collect();
    Sipp::caller(tandem.sip(), &callers, RATE, HOLD)
}

/// Asserts that the rows of the store are consistent with each other and with the events that were sent.
fn check(calls: &BTreeMap<String, CallRow>, events: &[EventRow], told: &[SentEvent]) {
    let mut states: BTreeMap<&str, Vec<(String, Value)>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (_, call, kind, body) in events {
        let body: Value = serde_json::from_str(body).expect("an event's body is JSON");
        let mark = match kind.as_str() {
            "call.created" => String::new(),
            "call.status" => body["status"].to_string(),
            "call.leg" => format!("{} {}", body["leg"], body["state"]),
            _ => continue,
        };
        assert!(seen.insert((call.as_str(), kind.clone(), mark)), "{call}: an event occurs twice: {kind} {body}");
        if kind == "call.status" {
            states.entry(call).or_default().push((body["status"].as_str().expect("a status").to_owned(), body));
        }
    }
    for (call, (status, over, reason)) in calls {
        assert!(*over && matches!(status.as_str(), "ended" | "failed"), "{call} is left open as {status}");
        let (last, body) =
            states.get(call.as_str()).and_then(|told| told.last()).expect("an ended call has its status");
        assert_eq!((last, body["cause"].as_str()), (status, reason.as_deref()), "{call}: row and events differ");
        assert!(
            seen.contains(&(call.as_str(), "call.created".to_owned(), String::new())),
            "{call} began without a word"
        );
    }
    let kept: BTreeMap<i64, &str> = events.iter().map(|(id, _, _, body)| (*id, body.as_str())).collect();
    for event in told.iter().filter(|event| !event.id.is_empty()) {
        let body = event.id.parse().ok().and_then(|id: i64| kept.get(&id));
        let body = body.unwrap_or_else(|| panic!("event {} was sent and is lost: {}", event.id, event.data));
        assert_eq!(serde_json::from_str::<Value>(body).ok().as_ref(), Some(&event.data), "event {} differs", event.id);
    }
}

/// Kills a busy server `times` times at random moments and checks its store each time.
async fn killed_often(kept: Kept<'_>, times: u32, seed: u64) {
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let setup = kept.setup();
    let mut tandem = Tandem::start(&setup).await;
    let api = tandem.api("Acme").await;
    if let Kept::Sqlite = kept {
        poison(&tandem.data()).await;
    }
    let (mut longest, mut crashed, mut refused) = (Duration::ZERO, 0, 0);
    for _ in 0..times {
        let mut stream = api.with_base(&tandem.http).events("/api/events", None).await;
        let callers = busy(&tandem, 120);
        let mut told = Vec::new();
        let listen = async {
            while let Some(event) = stream.next().await {
                told.push(event);
            }
        };
        let moment = Duration::from_millis(random.random_range(250..1_200));
        // The kill comes at this moment, whatever the server is doing.
        let _moment_is_over = timeout(moment, listen).await;
        let folder = tandem.kill().await;
        let _rest = timeout(PATIENCE, async {
            while let Some(event) = stream.next().await {
                told.push(event);
            }
        })
        .await;
        drop(callers);
        assert!(!told.is_empty(), "nothing happened within {moment:?}");
        let begun = Instant::now();
        tandem = Tandem::start_in(folder, &setup).await;
        longest = longest.max(begun.elapsed());
        let (calls, events) = kept.rows(&tandem.data()).await;
        check(&calls, &events, &told);
        if let Kept::Sqlite = kept {
            refused = check_refused(&tandem, &events).await;
        }
        crashed = calls.values().filter(|(_, _, reason)| reason.as_deref() == Some("crash")).count();
    }
    assert!(crashed > 0, "no call was running at any of {times} moments");
    assert!(longest < RESTART, "a start took {longest:?}");
    println!("{times} times: {crashed} calls closed as crashed, {refused} events refused, longest start {longest:?}");
    if let Kept::Sqlite = kept {
        assert!(refused > 0, "no event was refused");
        let path = format!("sqlite:{}", tandem.data().join("tandem.db").display());
        let mut connection = SqliteConnection::connect(&path).await.expect("the database opens");
        let row = sqlx::query("PRAGMA integrity_check").fetch_one(&mut connection).await.expect("an answer");
        assert_eq!(row.get::<String, _>(0), "ok");
    }
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_at_any_moment_loses_duplicates_and_leaves_open_no_call() {
    killed_often(Kept::Sqlite, if soak() { 60 } else { 12 }, 0x51).await;
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    killed_often(Kept::Postgres(&database), if soak() { 60 } else { 8 }, 0x52).await;
    postgres.stop().await;
}

/// Number of calls with three parties that are running when the server is killed.
const CONFERENCES: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_with_ten_conferences_leaves_readable_recordings_and_closed_rows() {
    let carrier = SocketAddr::from(([127, 0, 0, 2], ports::free()));
    let setup = Setup {
        trunks: vec![("carrier", vec![carrier.to_string()])],
        routes: vec![("+*", "trunk:carrier"), ("100", "agent:anna")],
        further: "[dial]\nallow = [\"+1555\"]\n",
        ..Setup::default()
    };
    let tandem = Tandem::start(&setup).await;
    let api = tandem.api("acme").await;
    api.voice_config(json!({ "record": true })).await;
    let (mut anna, _) = Desk::of_agent(&tandem, "anna").await;
    let mut outside = Desk::start_at(carrier, tandem.sip(), "+15550142").await;
    let mut stream = api.events("/api/events", None).await;
    let (mut calls, mut lines): (Vec<String>, Vec<[Line; 3]>) = (Vec::new(), Vec::new());
    for n in 0..CONFERENCES {
        let (customer, agent) = tokio::join!(outside.call("100", CUSTOMER_HZ, "", PATIENCE), async {
            let invite = anna.rings(PATIENCE).await;
            anna.answer(&invite, ANNA_HZ, PATIENCE).await
        });
        let is_next = |event: &SentEvent| {
            let id = event.data["call_id"].as_str()?;
            let is_it = event.data["status"] == "bridged" && calls.iter().all(|call| call != id);
            is_it.then(|| id.to_owned())
        };
        let call = stream.until("a call that is bridged", PATIENCE, is_next).await;
        let body = json!({ "to": format!("+1555010{n}") });
        let (status, added) = api.ask(Method::POST, &format!("/api/calls/{call}/legs"), Some(body)).await;
        assert!(status.is_success(), "{status} {added}");
        let invite = outside.rings(PATIENCE).await;
        let third = outside.answer(&invite, BEN_HZ, PATIENCE).await;
        lines.push([customer.expect("anna answered"), agent, third]);
        calls.push(call);
    }
    // All ten calls are running: the three parties of the last one hear each other.
    let [customer, agent, third] = lines.last_mut().expect("there are ten");
    tokio::join!(
        hears_tones("a customer", customer, &[ANNA_HZ, BEN_HZ], &[CUSTOMER_HZ]),
        hears_tones("an agent", agent, &[CUSTOMER_HZ, BEN_HZ], &[ANNA_HZ]),
        hears_tones("the added party", third, &[CUSTOMER_HZ, ANNA_HZ], &[BEN_HZ]),
    );
    // By its size, each call's file of three parties contains three seconds of three channels of 16 bits.
    let folder = tandem.data().join("recordings");
    let kept = |call: &String| std::fs::metadata(folder.join(format!("{call}.2.wav"))).map_or(0, |file| file.len());
    let flushed = async {
        let mut look = tokio::time::interval(Duration::from_millis(50));
        while !calls.iter().all(|call| kept(call) >= 44 + 3 * 8_000 * 6) {
            look.tick().await;
        }
    };
    timeout(PATIENCE, flushed).await.expect("ten recordings grow");
    let mut told = Vec::new();
    let folder = tandem.kill().await;
    let _rest = timeout(PATIENCE, async {
        while let Some(event) = stream.next().await {
            told.push(event);
        }
    })
    .await;
    drop(lines);

    for call in &calls {
        // The first two parties of a call have an earlier file.
        let name = |end: &str| folder.path().join("data/recordings").join(format!("{call}{end}.wav"));
        let (_, of_two) = sound::read_wav(&name("")).unwrap_or_else(|error| panic!("{call}: {error}"));
        assert_eq!(of_two.len(), 2, "{call}");
        let (rate, channels) = sound::read_wav(&name(".2")).unwrap_or_else(|error| panic!("{call}: {error}"));
        let loud = |channel: &Vec<i16>, hertz: f32| {
            let stretches = channel.chunks_exact(rate.samples_in_ms(100));
            stretches.filter(|part| sound::find(part, rate, hertz).tone_dbfs > -30.0).count()
        };
        let tones = [CUSTOMER_HZ, ANNA_HZ, BEN_HZ];
        let heard = tones.map(|hertz| channels.iter().map(|channel| loud(channel, hertz)).collect::<Vec<_>>());
        let what = format!("{call}: stretches of 100 ms by tone and channel: {heard:?} of {tones:?}");
        assert_eq!(channels.len(), 3, "{what}");
        for (own, heard) in heard.iter().enumerate() {
            let mut others = heard.iter().enumerate().filter(|(channel, _)| *channel != own);
            assert!(heard[own] >= 10 && others.all(|(_, stretches)| *stretches == 0), "a channel each: {what}");
        }
    }
    let tandem = Tandem::start_in(folder, &setup).await;
    let (rows, events) = Kept::Sqlite.rows(&tandem.data()).await;
    check(&rows, &events, &told);
    assert_eq!(rows.len(), CONFERENCES);
    assert!(rows.values().all(|(_, _, reason)| reason.as_deref() == Some("crash")), "{rows:?}");
    let api = api.with_base(&tandem.http);
    for call in &calls {
        let shown = api.get(&format!("/api/calls/{call}")).await;
        let parts = shown["recording_parts"].as_array().expect("parts").iter().map(|part| part["state"].clone());
        assert_eq!(parts.collect::<Vec<_>>(), ["finished", "interrupted"], "{shown}");
        let listed = api.get(&format!("/api/calls/{call}/recordings")).await;
        let channels = listed["recordings"][0]["parts"][1]["channels"].as_array().map(Vec::len);
        assert_eq!((&listed["recordings"][0]["state"], channels), (&json!("interrupted"), Some(3)), "{listed}");
        let legs = shown["legs"].as_array().expect("legs");
        assert_eq!(legs.len(), 3, "{shown}");
        assert!(legs.iter().all(|leg| leg["state"] == "ended"), "{shown}");
    }
    tandem.stop().await;
}

/// Kills a server between the dial and the answer, and asserts that the same request does not dial twice.
async fn dialled_once(kept: Kept<'_>) {
    let carrier = SocketAddr::from(([127, 0, 0, 2], ports::free()));
    let setup = Setup {
        trunks: vec![("carrier", vec![carrier.to_string()])],
        further: "[dial]\nallow = [\"+1555\"]\n",
        ..kept.setup()
    };
    let tandem = Tandem::start(&setup).await;
    let api = tandem.api("Acme").await;
    let mut customer = Desk::start_at(carrier, tandem.sip(), "+15550142").await;
    let request = |to: &str| json!({ "mode": "direct", "to": to });
    let data = tandem.data();
    let hold = kept.hold(&data).await;
    let (asker, asked) = (api.clone(), request("+15550142"));
    let answer = tokio::spawn(async move { asker.once("/api/calls", "k", &asked).await });
    let first = customer.rings(PATIENCE).await;
    assert!(first.starts_with("INVITE sip:+15550142@"), "{first}");
    assert!(!answer.is_finished(), "it is held up between the dial and the answer");
    let folder = tandem.kill().await;
    answer.await.expect("no panic").expect_err("no leg was left to answer");
    hold.release().await;

    let tandem = Tandem::start_in(folder, &setup).await;
    let api = api.with_base(&tandem.http);
    // The request waits until the dead server's claim has expired.
    let (status, replayed, made) = api.once("/api/calls", "k", &request("+15550142")).await.expect("an answer");
    assert_eq!((status, replayed), (StatusCode::CREATED, false), "{made}");
    let calls = api.get("/api/calls").await;
    let calls = calls["calls"].as_array().expect("a list of calls");
    assert_eq!(
        (calls.len(), &calls[0]["id"], &calls[0]["ended_reason"]),
        (1, &made["id"], &json!("crash")),
        "{calls:?}"
    );
    let (status, replayed, again) = api.once("/api/calls", "k", &request("+15550142")).await.expect("an answer");
    assert_eq!((status, replayed, &again), (StatusCode::CREATED, true, &made));
    let (status, _, other) = api.once("/api/calls", "k", &request("+15550143")).await.expect("an answer");
    assert_eq!((status, &other["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("Idempotency-Key")));
    // The next ringing call belongs to the next request: nothing was dialled in between.
    let (status, ..) = api.once("/api/calls", "l", &request("+15550143")).await.expect("an answer");
    assert_eq!(status, StatusCode::CREATED);
    let call_id = |invite: &str| invite.lines().find(|line| line.starts_with("Call-ID:")).map(str::to_owned);
    let next = loop {
        let invite = customer.rings(PATIENCE).await;
        // The first INVITE is retransmitted until it is answered.
        if call_id(&invite) != call_id(&first) {
            break invite;
        }
    };
    assert!(next.starts_with("INVITE sip:+15550143@"), "{next}");
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_between_dial_and_answer_dials_once_on_sqlite() {
    dialled_once(Kept::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_between_dial_and_answer_dials_once_on_postgresql() {
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    dialled_once(Kept::Postgres(&database)).await;
    postgres.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_continue_and_nothing_is_lost_while_the_database_is_down() {
    let away = Duration::from_secs(if soak() { 30 } else { 4 });
    let mut postgres = Postgres::start().await;
    let database = postgres.database().await;
    let kept = Kept::Postgres(&database);
    let tandem = Tandem::start(&kept.setup()).await;
    let api = tandem.api("Acme").await;
    let mut stream = api.events("/api/events", None).await;
    // Enough calls for the time before the outage, until it is noticed, and after it.
    let calls = (away.as_secs() as usize + 14) * RATE as usize;
    let callers = busy(&tandem, calls);
    callers.next_answered(RATE as usize, PATIENCE).await;
    // A caller who sends without a break and gets every packet back.
    let end = RtpEnd::bind().await;
    let talk = away + Duration::from_secs(8);
    let talker = Sipp::caller(tandem.sip(), &[("echo".to_owned(), end.port())], 1, talk + Duration::from_secs(2));
    let (_, through) = talker.next_answered(0, PATIENCE).await;
    let talking = tokio::spawn(async move {
        let (sent, came) = end.exchange(through, 1, talk.as_millis() as usize / 20, Duration::from_secs(1)).await;
        (sent, came, Instant::now())
    });

    postgres.halt().await;
    let waits = async {
        let mut look = tokio::time::interval(Duration::from_millis(50));
        while tandem.metric("tandem_spool_bytes", "").await == 0.0 {
            look.tick().await;
        }
    };
    timeout(PATIENCE, waits).await.expect("events wait in the spool");
    let known = callers.answered().len();
    // The outage must last; calls answered meanwhile show that it does not affect them.
    let later = (known + away.as_secs() as usize * RATE as usize).min(calls - 1);
    callers.next_answered(later, away + PATIENCE).await;
    let over = Instant::now();
    postgres.resume().await;

    let (sent, came, quiet) = talking.await.expect("no panic while talking");
    assert!(quiet > over, "the talk ended before the outage did");
    assert_unaltered("a talk through the outage", &sent, &came);
    talker.succeeds(PATIENCE).await;
    callers.succeeds(away + PATIENCE).await;
    let mut ended = BTreeSet::new();
    let mut told = Vec::new();
    stream
        .until("every call's end", PATIENCE, |event| {
            told.push(event.clone());
            if matches!(event.data["status"].as_str(), Some("ended" | "failed")) {
                ended.insert(event.data["call_id"].to_string());
            }
            (ended.len() == calls + 1).then_some(())
        })
        .await;
    let (rows, events) = kept.rows(&tandem.data()).await;
    assert_eq!(rows.len(), calls + 1, "every call has its row");
    assert!(rows.values().all(|(status, ..)| status == "ended"), "a call suffered");
    check(&rows, &events, &told);
    assert_eq!(tandem.metric("tandem_spool_dropped_total", "").await, 0.0);
    tandem.stop().await;
    postgres.stop().await;
}
