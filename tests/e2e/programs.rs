//! Call programs: the shipped examples, and program servers that misbehave.
//!
//! ```text
//! customer (carrier, 127.0.0.2) ─▶ number with a program ─▶ Tandem ─▶ agents ana, ben
//!                                                             └─ HTTP, HTTPS ─▶ ProgramServer
//! ```
//!
//! Every step is followed by its events, and its effect is heard on the line. Not here: validation in detail (control-api's own
//! tests).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use codecs::SampleRate;
use media_engine::party::Noticed;
use media_engine::sdp::Codec;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::api::{Api, Events, SentEvent};
use tests::desk::{Desk, Line, hear_each_other};
use tests::ears::FarEnd;
use tests::office::{ANNA_HZ, BEN_HZ, CUSTOMER_HZ, PATIENCE};
use tests::program_server::{Identity, ProgramServer};
use tests::speech::Prompt;
use tests::tandem::{Setup, Tandem};
use tests::{ports, repository, sound};

/// Number that has a program.
const NUMBER: &str = "+15550100";
/// Tone of the program that a server supplies, in Hz.
const GOOD_HZ: f32 = 1_000.0;
/// Tone of the fallback program, in Hz.
const FALLBACK_HZ: f32 = 1_800.0;

/// A server with the agents ana and ben, and a customer at a carrier.
struct House {
    tandem: Tandem,
    api: Api,
    ana: Desk,
    ben: Desk,
    customer: Desk,
    events: Events,
}

impl House {
    async fn open(speech: bool) -> House {
        House::open_with(Setup { speech, ..Setup::default() }).await
    }

    async fn open_with(setup: Setup) -> House {
        let carrier = SocketAddr::from(([127, 0, 0, 2], ports::free()));
        let tandem = Tandem::start(&Setup {
            trunks: vec![("carrier", vec![carrier.to_string()])],
            routes: vec![("+*", "trunk:carrier")],
            further: "[dial]\nallow = [\"+1555\"]\n[programs]\nnetworks = [\"127.0.0.1\"]\n",
            ..setup
        })
        .await;
        let api = tandem.api("acme").await;
        tandem.run_command(&["number", "assign", "--org", "acme", NUMBER]).await;
        let (ana, _) = Desk::of_agent(&tandem, "ana").await;
        let (ben, _) = Desk::of_agent(&tandem, "ben").await;
        let customer = Desk::start_at(carrier, tandem.sip(), "+15550142").await;
        let events = api.events("/api/events", None).await;
        House { tandem, api, ana, ben, customer, events }
    }

    /// API path of the number's program.
    async fn program_path(&self) -> String {
        let numbers = self.api.get("/api/caller-id/numbers").await;
        format!("/api/caller-id/numbers/{}/program", numbers["numbers"][0]["id"].as_str().expect("an id"))
    }

    /// Assigns a program to the number.
    async fn put(&self, program: Value) {
        let path = self.program_path().await;
        let (status, answer) = self.api.ask(Method::PUT, &path, Some(program)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!(self.api.get(&path).await, answer);
    }

    /// Waits for the next program event that contains these fields.
    async fn next_event(&mut self, expected: Value) -> Value {
        let fields = expected.as_object().expect("an object").clone();
        let what = format!("call.program with {expected}");
        let is_it = |event: &SentEvent| {
            let is_so = fields.iter().all(|(field, value)| event.data[field] == *value);
            (event.name == "call.program" && is_so).then(|| event.data.clone())
        };
        self.events.until(&what, Duration::from_secs(30), is_it).await
    }

    /// Waits for the end of the next step, which must be this one.
    async fn step(&mut self, verb: &str, outcome: &str) -> Value {
        let ended = self.next_event(json!({ "state": "step_ended" })).await;
        assert_eq!((&ended["verb"], &ended["outcome"]), (&json!(verb), &json!(outcome)), "{ended}");
        ended
    }
}

/// Loads a program that is shipped as an example.
fn example(name: &str) -> Value {
    let path = repository().join("examples/programs").join(format!("{name}.json"));
    serde_json::from_slice(&std::fs::read(path).expect("an example")).expect("JSON")
}

/// Speech that a caller leaves in a voicemail, and its sample rate.
fn words() -> (SampleRate, Vec<i16>) {
    let folder = tempfile::tempdir().expect("an empty folder");
    let text = "Good morning, this is Jane Miller. Please call me back this afternoon.";
    let rate = SampleRate::HZ_8000;
    (rate, Prompt { voice: "en-us+f1", text }.speak(rate, folder.path()))
}

/// Waits until a line hears speech.
async fn hears_a_voice(line: &mut Line) {
    let until = Instant::now() + PATIENCE;
    loop {
        let heard = line.sound.hears(0.2, PATIENCE).await;
        let found = sound::find(&heard, SampleRate::HZ_8000, CUSTOMER_HZ);
        if found.total_dbfs > -45.0 {
            return;
        }
        assert!(Instant::now() < until, "no voice is heard: {found:?}");
    }
}

fn tone(hz: f32, duration_ms: u32) -> Value {
    json!({ "play": { "tone": { "hz": [hz as u16], "duration_ms": duration_ms } } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_menu_of_two_levels_leads_to_the_chosen_agent() {
    let mut house = House::open(true).await;
    house.put(json!({ "program": example("menu") })).await;
    let mut customer = house.customer.call(NUMBER, CUSTOMER_HZ, "", PATIENCE).await.expect("the program answers");
    let began = house.next_event(json!({ "state": "started" })).await;
    let call = began["call_id"].as_str().expect("an id").to_owned();
    assert_eq!(house.next_event(json!({ "state": "step_started" })).await["path"], "steps[1]");
    hears_a_voice(&mut customer).await;
    // A wrong key comes first: the menu is repeated.
    house.customer.info(&mut customer, '9', PATIENCE).await;
    assert_eq!(house.step("gather", "invalid").await["digits"], "9");
    house.customer.info(&mut customer, '1', PATIENCE).await;
    assert_eq!(house.step("gather", "digits").await["digits"], "1");
    house.customer.info(&mut customer, '2', PATIENCE).await;
    assert_eq!(house.step("gather", "digits").await["digits"], "2");
    // The first input is too short; the second is right and sent in band.
    house.next_event(json!({ "state": "step_started", "verb": "gather" })).await;
    customer.sound.press("12#");
    assert_eq!(house.step("gather", "invalid").await["digits"], "12");
    house.step("speak", "completed").await;
    customer.sound.press("4711#");
    assert_eq!(house.step("gather", "digits").await["digits"], "4711");
    house.step("speak", "completed").await;
    let invite = house.ben.rings(PATIENCE).await;
    let mut ben = house.ben.answer(&invite, BEN_HZ, PATIENCE).await;
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut ben, BEN_HZ)).await;
    house.ben.hang_up(&mut ben, PATIENCE).await;
    let talked = house.step("dial", "talked").await;
    assert!(talked["duration_ms"].as_u64() > Some(500), "{talked}");
    hears_a_voice(&mut customer).await;
    house.step("speak", "completed").await;
    house.step("hangup", "completed").await;
    house.next_event(json!({ "state": "ended", "outcome": "hung_up" })).await;
    house.customer.is_hung_up(&customer, PATIENCE).await;
    let record = house.api.get(&format!("/api/calls/{call}")).await;
    let steps = record["events"].as_array().expect("events").iter().filter(|event| event["type"] == "call.program");
    assert!(steps.count() > 16, "the record has the steps: {record:#}");
    house.tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_answers_a_survey_after_the_agent_has_hung_up() {
    let mut house = House::open(true).await;
    let request = json!({ "mode": "direct", "to": "+15550142", "program": example("survey") });
    let placed = house.api.ask(Method::POST, "/api/calls", Some(request)).await;
    assert_eq!(placed.0, StatusCode::CREATED, "{}", placed.1);
    let invite = house.customer.rings(PATIENCE).await;
    let mut customer = house.customer.answer(&invite, CUSTOMER_HZ, PATIENCE).await;
    house.step("speak", "completed").await;
    // Ana is busy, and ben is called next.
    let invite = house.ana.rings(PATIENCE).await;
    house.ana.refuse(&invite, 486).await;
    let invite = house.ben.rings(PATIENCE).await;
    let mut ben = house.ben.answer(&invite, BEN_HZ, PATIENCE).await;
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut ben, BEN_HZ)).await;
    house.ben.hang_up(&mut ben, PATIENCE).await;
    house.step("dial", "talked").await;
    hears_a_voice(&mut customer).await;
    house.customer.info(&mut customer, '5', PATIENCE).await;
    assert_eq!(house.step("gather", "digits").await["digits"], "5");
    customer.sound.press("1");
    assert_eq!(house.step("gather", "digits").await["digits"], "1");
    house.step("speak", "completed").await;
    house.step("hangup", "completed").await;
    house.customer.is_hung_up(&customer, PATIENCE).await;
    house.tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_dials_transfers_and_keeps_secrets() {
    let mut house = House::open(false).await;
    let pin = json!({ "gather": { "max_digits": 4, "min_digits": 4, "into": "pin", "secret": true,
        "on_timeout": "bye", "on_invalid": "bye" } });
    let program = json!([
        tone(GOOD_HZ, 300),
        pin,
        { "transfer": { "targets": [{ "to": "+99955501" }, { "agent": "ana" }], "ring_s": 20, "on_failed": "bye" } },
        { "label": "bye" },
        { "hangup": {} }
    ]);
    house.put(json!({ "program": program })).await;
    let mut customer = house.customer.call(NUMBER, CUSTOMER_HZ, "", PATIENCE).await.expect("the program answers");
    let began = house.next_event(json!({ "state": "started" })).await;
    house.step("play", "completed").await;
    house.next_event(json!({ "state": "step_started", "verb": "gather" })).await;
    for key in ['4', '7', '1', '1'] {
        house.customer.info(&mut customer, key, PATIENCE).await;
    }
    assert_eq!(house.step("gather", "digits").await["digits"], Value::Null, "it is secret");
    let invite = house.ana.rings(PATIENCE).await;
    let mut ana = house.ana.answer(&invite, ANNA_HZ, PATIENCE).await;
    house.step("transfer", "transferred").await;
    house.next_event(json!({ "state": "ended", "outcome": "transferred" })).await;
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut ana, ANNA_HZ)).await;
    house.ana.hang_up(&mut ana, PATIENCE).await;
    house.customer.is_hung_up(&customer, PATIENCE).await;
    let call = began["call_id"].as_str().expect("an id");
    house.api.call_becomes("ended", PATIENCE).await;
    let record = house.api.get(&format!("/api/calls/{call}")).await;
    let keys = record["events"].as_array().expect("events").iter().filter(|event| event["type"] == "call.dtmf");
    assert_eq!(keys.count(), 0, "no event contains the keys of a secret: {record:#}");

    // The caller hangs up during a program.
    house.put(json!({ "program": [tone(GOOD_HZ, 10_000)] })).await;
    let mut customer = house.customer.call(NUMBER, CUSTOMER_HZ, "", PATIENCE).await.expect("the program answers");
    customer.sound.until_tone(GOOD_HZ, PATIENCE).await;
    house.customer.hang_up(&mut customer, PATIENCE).await;
    house.next_event(json!({ "state": "step_ended", "verb": "play", "outcome": "stopped" })).await;
    house.next_event(json!({ "state": "ended", "outcome": "caller_gone" })).await;
    house.tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn program_requests_are_signed_and_a_bad_program_server_leads_to_the_fallback() {
    let mut house = House::open(false).await;
    let mut server = ProgramServer::start(&json!([tone(GOOD_HZ, 10_000)])).await;
    let secret = house.api.get("/api/voice/program-secret").await["secret"].as_str().expect("a secret").to_owned();
    let fallback = json!([tone(FALLBACK_HZ, 10_000)]);
    let gone = format!("http://127.0.0.1:{}/good", ports::free());
    let cases = [
        (server.url("/good"), None),
        (server.url("/slow"), Some("took too long")),
        (server.url("/wrong"), Some("is not a program")),
        (server.url("/huge"), Some("longer than a program")),
        (server.url("/redirect"), Some("status 302")),
        (server.url("/absent"), Some("status 404")),
        (gone, Some("cannot be reached")),
        ("http://127.0.0.2:9/good".to_owned(), Some("may not be requested")),
        ("http://localhost.invalid/good".to_owned(), Some("cannot be reached")),
    ];
    for (url, why) in cases {
        house.put(json!({ "program_url": url, "fallback": fallback })).await;
        let begun = Instant::now();
        let mut customer = house.customer.call(NUMBER, CUSTOMER_HZ, "", PATIENCE).await.expect("the program answers");
        let hertz = if why.is_none() { GOOD_HZ } else { FALLBACK_HZ };
        customer.sound.until_tone(hertz, PATIENCE).await;
        assert!(begun.elapsed() < Duration::from_secs(4), "{url}: the caller waited {:?}", begun.elapsed());
        match why {
            None => {
                drop(house.next_event(json!({ "state": "step_ended", "verb": "webhook", "outcome": "fetched" })).await)
            }
            Some(why) => {
                let fell = house.next_event(json!({ "state": "fell_back" })).await;
                assert!(fell["detail"].as_str().is_some_and(|detail| detail.contains(why)), "{url}: {fell}");
            }
        }
        house.customer.hang_up(&mut customer, PATIENCE).await;
        house.next_event(json!({ "state": "ended" })).await;
        if url.contains("/good") && why.is_none() {
            let asked = server.asked(PATIENCE).await;
            let body: Value = serde_json::from_slice(&asked.body).expect("JSON");
            assert_eq!((&body["caller"], &body["called"]), (&json!("+15550142"), &json!(NUMBER)), "{body}");
            let (call, at) = (asked.header("tandem-call").to_owned(), asked.header("tandem-timestamp").to_owned());
            assert_eq!(body["call"], json!(call));
            let signed = format!("{at}.{call}.{}", String::from_utf8_lossy(&asked.body));
            assert_eq!(asked.header("tandem-signature"), format!("v1={}", hmac(&secret, &signed)));
        }
    }
    // Without a fallback the caller is hung up, and the reason is reported.
    house.put(json!({ "program_url": server.url("/absent") })).await;
    let customer = house.customer.call(NUMBER, CUSTOMER_HZ, "", PATIENCE).await.expect("the program answers");
    let ended = house.next_event(json!({ "state": "ended" })).await;
    assert_eq!(ended["outcome"], "not_fetched", "{ended}");
    house.customer.is_hung_up(&customer, PATIENCE).await;

    let path = house.program_path().await;
    assert_eq!(house.api.ask(Method::DELETE, &path, None).await.0, StatusCode::NO_CONTENT);
    assert_eq!(house.api.ask(Method::GET, &path, None).await.0, StatusCode::NOT_FOUND);
    house.tandem.stop().await;
}

/// Signatures of the next request to a program server, and those that these secrets give for it.
async fn signatures(house: &mut House, server: &mut ProgramServer, secrets: &[&str]) -> (Vec<String>, Vec<String>) {
    let mut customer = house.customer.call(NUMBER, CUSTOMER_HZ, "", PATIENCE).await.expect("the program answers");
    customer.sound.until_tone(GOOD_HZ, PATIENCE).await;
    house.customer.hang_up(&mut customer, PATIENCE).await;
    house.next_event(json!({ "state": "ended" })).await;
    let asked = server.asked(PATIENCE).await;
    let (call, at) = (asked.header("tandem-call"), asked.header("tandem-timestamp"));
    let signed = format!("{at}.{call}.{}", String::from_utf8_lossy(&asked.body));
    let carried = asked.header("tandem-signature").split(' ').map(str::to_owned).collect();
    (carried, secrets.iter().map(|secret| format!("v1={}", hmac(secret, &signed))).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_secret_signs_requests_beside_the_new_one_until_it_is_revoked() {
    const SECRET: &str = "/api/voice/program-secret";
    const PREVIOUS: &str = "/api/voice/program-secret/previous";
    let mut house = House::open(false).await;
    let mut server = ProgramServer::start(&json!([tone(GOOD_HZ, 10_000)])).await;
    house.put(json!({ "program_url": server.url("/good") })).await;
    let first = house.api.get(SECRET).await;
    assert_eq!(first["previous"], Value::Null, "{first}");
    assert_eq!(house.api.ask(Method::DELETE, PREVIOUS, None).await.0, StatusCode::NOT_FOUND);
    let old = first["secret"].as_str().expect("a secret");
    let (carried, expected) = signatures(&mut house, &mut server, &[old]).await;
    assert_eq!(carried, expected);

    let replaced = house.api.post(SECRET).await;
    let new = replaced["secret"].as_str().expect("a secret");
    assert_ne!(new, old);
    assert_eq!(replaced["previous"]["secret"], json!(old), "{replaced}");
    assert!(replaced["previous"]["until"].is_string(), "{replaced}");
    assert_eq!(house.api.get(SECRET).await, replaced);
    let (carried, expected) = signatures(&mut house, &mut server, &[new, old]).await;
    assert_eq!(carried, expected);

    assert_eq!(house.api.ask(Method::DELETE, PREVIOUS, None).await.0, StatusCode::NO_CONTENT);
    assert_eq!(house.api.get(SECRET).await, json!({ "secret": new, "previous": null }));
    let (carried, expected) = signatures(&mut house, &mut server, &[new]).await;
    assert_eq!(carried, expected);
    house.tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_is_fetched_over_https_only_from_a_server_with_a_trusted_certificate() {
    let (trusted, unknown) = (Identity::new(), Identity::new());
    let folder = tempfile::tempdir().expect("an empty folder");
    let authorities = folder.path().join("authorities.pem");
    std::fs::write(&authorities, trusted.pem()).expect("the authorities written");
    let environment = vec![("SSL_CERT_FILE", authorities.to_string_lossy().into_owned())];
    let mut house = House::open_with(Setup { environment, ..Setup::default() }).await;
    let program = json!([tone(GOOD_HZ, 10_000)]);
    let good = ProgramServer::start_secure(&program, &trusted).await;
    let forged = ProgramServer::start_secure(&program, &unknown).await;
    for (server, hertz) in [(&good, GOOD_HZ), (&forged, FALLBACK_HZ)] {
        let fallback = json!([tone(FALLBACK_HZ, 10_000)]);
        house.put(json!({ "program_url": server.url("/good"), "fallback": fallback })).await;
        let mut customer = house.customer.call(NUMBER, CUSTOMER_HZ, "", PATIENCE).await.expect("the program answers");
        customer.sound.until_tone(hertz, PATIENCE).await;
        house.customer.hang_up(&mut customer, PATIENCE).await;
        house.next_event(json!({ "state": "ended" })).await;
    }
    house.tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_program_is_refused_with_its_field() {
    let house = House::open(false).await;
    let path = house.program_path().await;
    let hangup = json!([{ "hangup": {} }]);
    let gather = json!([{ "gather": { "max_digits": 65 } }]);
    for (body, field, named) in [
        (json!({}), "program", "expected `program` or `program_url`"),
        (json!({ "program": gather }), "program", "steps[0].gather.max_digits"),
        (json!({ "program": "hangup" }), "program", "expected"),
        (json!({ "program": hangup, "program_url": "https://a.example/" }), "program_url", "not both"),
        (json!({ "program_url": "ftp://a.example/" }), "program_url", "http"),
        (json!({ "program_url": "https://a.example/", "fallback": gather }), "fallback", "max_digits"),
        (json!({ "fallback": hangup }), "fallback", "together with a fallback"),
        (json!({ "programm": hangup }), "programm", "unknown field"),
    ] {
        let (status, answer) = house.api.ask(Method::PUT, &path, Some(body.clone())).await;
        assert_eq!((status, &answer["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(field)), "{body}: {answer}");
        assert!(answer["detail"].as_str().is_some_and(|detail| detail.contains(named)), "{body}: {answer}");
    }
    // A duplicate field is refused.
    let twice = r#"{"program": [{"pause": {"ms": 1, "ms": 2}}]}"#.to_owned();
    assert_eq!(house.api.send(Method::PUT, &path, Some(twice)).await.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let direct = json!({ "mode": "direct", "to": "+15550142" });
    for (further, field) in [
        (json!({ "program": gather }), "program"),
        (json!({ "program": hangup, "app": "echo" }), "app"),
        (json!({ "program": hangup, "mode": "bridge", "agent": "ana" }), "program"),
        (json!({ "program_fallback": hangup }), "program_fallback"),
    ] {
        let mut body = direct.clone();
        for (field, value) in further.as_object().expect("an object") {
            body[field] = value.clone();
        }
        let (status, answer) = house.api.ask(Method::POST, "/api/calls", Some(body.clone())).await;
        assert_eq!((status, &answer["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(field)), "{body}: {answer}");
    }
    house.tandem.stop().await;
}

/// A caller leaves a message and ends it by a key, by silence, or by hanging up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn voicemail_records_until_a_key_silence_or_the_end_of_the_call() {
    let tandem = Tandem::start(&Setup {
        trunks: vec![("carrier", vec!["127.0.0.1".into()])],
        routes: vec![("+*", "app:echo")],
        speech: true,
        ..Setup::default()
    })
    .await;
    let api = tandem.api("acme").await;
    tandem.run_command(&["number", "assign", "--org", "acme", NUMBER]).await;
    let (ana, _) = Desk::of_agent_at(&tandem, "127.0.0.3", tandem.sip(), "ana").await;
    let (ben, _) = Desk::of_agent_at(&tandem, "127.0.0.4", tandem.sip(), "ben").await;
    let customer = Desk::start_at(SocketAddr::from(([127, 0, 0, 5], ports::free())), tandem.sip(), "+15550143").await;
    let events = api.events("/api/events", None).await;
    let mut house = House { tandem, api, ana, ben, customer, events };
    let mut program = example("voicemail");
    program[2]["record"]["silence_s"] = json!(2);
    house.put(json!({ "program": program })).await;
    let (rate, words) = words();
    let words_ms = words.len() as u64 * 1_000 / u64::from(rate.hz());
    for (way, ended_by) in [("key", "finish_key"), ("silence", "silence"), ("hang-up", "far_end_gone")] {
        let mut far = FarEnd::start(house.tandem.sip(), vec![Codec::Pcmu]).await;
        far.call("+15550142", NUMBER, PATIENCE).await;
        let began = house.next_event(json!({ "state": "started" })).await;
        let call = began["call_id"].as_str().expect("an id").to_owned();
        // The beep has ended.
        let is_begun =
            |event: &SentEvent| (event.name == "call.recording" && event.data["state"] == "started").then_some(());
        house.events.until("the message begins", Duration::from_secs(30), is_begun).await;
        far.party.say(1, rate, &words).expect("words");
        far.until(PATIENCE, |noticed| matches!(noticed, Noticed::Said(_))).await;
        match way {
            "key" => far.party.press('#').expect("a key"),
            "hang-up" => far.party.hang_up(),
            _ => {}
        }
        let ended = house.next_event(json!({ "state": "step_ended", "verb": "record" })).await;
        assert_eq!((&ended["outcome"], &ended["detail"]), (&json!("recorded"), &json!(ended_by)), "{way}: {ended}");
        let length = ended["duration_ms"].as_u64().expect("a length");
        let after = if way == "silence" { 2_000 } else { 0 };
        // When the caller hangs up, audio still waiting for playout is discarded: here the silence after the words.
        assert!((words_ms - 200..words_ms + after + 1_500).contains(&length), "{way}: {length} ms for {words_ms} ms");
        if way == "hang-up" {
            house.next_event(json!({ "state": "ended", "outcome": "caller_gone" })).await;
        } else {
            house.next_event(json!({ "state": "ended", "outcome": "hung_up" })).await;
        }
        house.api.call_becomes("ended", PATIENCE).await;
        let kept = house.api.get(&format!("/api/calls/{call}/recordings")).await;
        let [recording] = &kept["recordings"].as_array().expect("recordings")[..] else { panic!("{kept}") };
        assert_eq!(recording["state"], "finished", "{recording}");
        let part = &recording["parts"][0];
        assert_eq!(part["channels"].as_array().map(Vec::len), Some(1), "the caller only: {part}");
        let url = part["original_url"].as_str().expect("a URL");
        let file = house.api.send(Method::GET, url, None).await.bytes().await.expect("a file");
        let folder = tempfile::tempdir().expect("an empty folder");
        let path = folder.path().join("message.wav");
        std::fs::write(&path, &file).expect("a file");
        let (rate, channels) = sound::read_wav(&path).expect("a WAV");
        let found = sound::find(&channels[0], rate, CUSTOMER_HZ);
        assert!(found.total_dbfs > -45.0, "{way}: the words are in it: {found:?}");
    }
    house.tandem.stop().await;
}

/// HMAC-SHA-256 in hexadecimal.
fn hmac(key: &str, text: &str) -> String {
    use sha2::{Digest, Sha256};
    let mut block = [0_u8; 64];
    match key.len() {
        0..=64 => block[..key.len()].copy_from_slice(key.as_bytes()),
        _ => block[..32].copy_from_slice(&Sha256::digest(key)),
    }
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    hex::encode(Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize())
}
