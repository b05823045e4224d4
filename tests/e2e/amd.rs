//! What answered a customer's leg, and what follows: persons, voicemails, messages, tones before the answer.
//!
//! ```text
//! agents ana, ben ◀─ Tandem ─▶ customer (carrier, 127.0.0.2): says clips made by espeak-ng, and beeps
//! dialer (127.0.0.3) ─▶ the application `amd` ─▶ customer
//! ```
//!
//! The clips pass the real jitter buffer. Not here: how well the detector tells answers apart (`amd-training`).

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use codecs::SampleRate;
use codecs::tones::level_dbfs;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::api::{Api, Events, SentEvent};
use tests::browser::Browser;
use tests::desk::{Desk, LEVEL_DBFS, Line, hear_each_other};
use tests::office::{ANNA_HZ, BEN_HZ, CUSTOMER_HZ, PATIENCE};
use tests::sipp::Sipp;
use tests::speech::Prompt;
use tests::tandem::{Setup, Tandem};
use tests::{ports, sound};

const RATE: SampleRate = SampleRate::HZ_8000;
/// Number of the customer at the carrier.
const CUSTOMER: &str = "+15550142";
/// Frequency of a voicemail's beep.
const BEEP_HZ: f32 = 1_000.0;
/// Frequency of the message that is left.
const MESSAGE_HZ: f32 = 1_700.0;
/// Frequency of Tandem's ring-back.
const RINGBACK_HZ: f32 = 425.0;
/// Time within which there is a verdict on any of the clips.
const VERDICT: Duration = Duration::from_secs(12);

/// A server with the agents ana and ben, a customer at a carrier, and a dialer.
struct House {
    tandem: Tandem,
    api: Api,
    ana: Desk,
    ben: Desk,
    customer: Desk,
    dialer: Desk,
    /// Address of the trunk `clips`, at which a test may start a carrier of its own.
    clips: SocketAddr,
    events: Events,
}

impl House {
    async fn open() -> House {
        let [carrier, dialer, clips] = [2, 3, 4].map(|n| SocketAddr::from(([127, 0, 0, n], ports::free())));
        let tandem = Tandem::start(&Setup {
            trunks: vec![
                ("carrier", vec![carrier.to_string()]),
                ("dialer", vec![dialer.to_string()]),
                ("clips", vec![clips.to_string()]),
            ],
            routes: vec![("+1555*", "app:amd:carrier")],
            further: "[dial]\nallow = [\"+1555\"]\n",
            speech: true,
            ..Setup::default()
        })
        .await;
        let api = tandem.api("acme").await;
        let (ana, _) = Desk::of_agent(&tandem, "ana").await;
        let (ben, _) = Desk::of_agent(&tandem, "ben").await;
        let customer = Desk::start_at(carrier, tandem.sip(), CUSTOMER).await;
        let dialer = Desk::start_at(dialer, tandem.sip(), "+15550100").await;
        let events = api.events("/api/events", None).await;
        House { tandem, api, ana, ben, customer, dialer, clips, events }
    }

    /// Calls ana and then the customer, and returns the id of the call, ana's line and the customer's INVITE.
    async fn bridge(&mut self, amd: Value) -> (String, Line, String) {
        let request = json!({ "mode": "bridge", "agent": "ana", "to": CUSTOMER, "config": { "amd": amd } });
        let call = self.place(request).await;
        let invite = self.ana.rings(PATIENCE).await;
        let ana = self.ana.answer(&invite, ANNA_HZ, PATIENCE).await;
        (call, ana, self.customer.rings(PATIENCE).await)
    }

    async fn place(&self, request: Value) -> String {
        let (status, placed) = self.api.ask(Method::POST, "/api/calls", Some(request)).await;
        assert_eq!(status, StatusCode::CREATED, "{placed}");
        placed["id"].as_str().expect("an id").to_owned()
    }

    /// Waits for the next event of the detection at this stage.
    async fn stage(&mut self, stage: &str) -> Value {
        let is_it =
            |event: &SentEvent| (event.name == "call.amd" && event.data["stage"] == stage).then(|| event.data.clone());
        self.events.until(&format!("call.amd at {stage}"), Duration::from_secs(30), is_it).await
    }

    /// Returns the customer's leg in the record of the call.
    async fn leg(&self, call: &str) -> Value {
        let record = self.api.get(&format!("/api/calls/{call}")).await;
        let legs = record["legs"].as_array().expect("legs").clone();
        legs.into_iter().find(|leg| leg["role"] == "customer").unwrap_or_else(|| panic!("no customer: {record:#}"))
    }

    async fn ended(&self, call: &str) -> Value {
        ended(&self.api, call).await
    }
}

/// Waits for the end of a call, and returns its record.
async fn ended(api: &Api, call: &str) -> Value {
    let until = Instant::now() + PATIENCE;
    let mut looks = tokio::time::interval(Duration::from_millis(50));
    loop {
        looks.tick().await;
        let record = api.get(&format!("/api/calls/{call}")).await;
        if !record["ended_at"].is_null() {
            return record;
        }
        assert!(Instant::now() < until, "the call goes on: {record:#}");
    }
}

/// Returns a sentence spoken by espeak-ng, with half a second of silence before and after it.
fn speak(text: &'static str, voice: &'static str) -> Vec<i16> {
    let folder = tempfile::tempdir().expect("an empty folder");
    Prompt { voice, text }.speak(RATE, folder.path())
}

/// Returns a person who answers and waits.
fn person() -> Vec<i16> {
    speak("Hello?", "en-us+m3")
}

/// Returns a voicemail's greeting with its beep.
fn voicemail() -> Vec<i16> {
    let mut clip = speak(
        "You have reached the voicemail of Jane Miller. I cannot take your call right now. \
         Please leave your name, your number and a short message after the tone.",
        "en-us+f3",
    );
    clip.extend(sound::tone(RATE, BEEP_HZ, -15.0, 0.4));
    clip
}

fn busy_tone() -> Vec<i16> {
    let pulse = [sound::tone(RATE, RINGBACK_HZ, -15.0, 0.5), vec![0; RATE.samples_in_ms(500)]].concat();
    pulse.repeat(6)
}

async fn upload_message(api: &Api, seconds: f32) {
    let folder = tempfile::tempdir().expect("an empty folder");
    let path = folder.path().join("message.wav");
    sound::write_wav(&path, RATE, &sound::tone(RATE, MESSAGE_HZ, -12.0, seconds));
    let file = std::fs::read::<&Path>(&path).expect("a WAV");
    api.upload("/api/media?name=message", "audio/wav", file).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_is_joined_with_a_person_and_hears_nothing_before() {
    let mut house = House::open().await;
    let (call, mut ana, invite) = house.bridge(json!({ "mode": "balanced" })).await;
    // Before the answer the agent hears what the carrier sends, and from the answer on Tandem's own ring-back.
    let announcement = house.customer.announce(&invite, CUSTOMER_HZ).await;
    ana.sound.until_tone(CUSTOMER_HZ, PATIENCE).await;
    drop(announcement);
    let mut customer = house.customer.answer_saying(&invite, &person(), PATIENCE).await;
    let listening = house.stage("listening").await;
    assert_eq!((&listening["mode"], &listening["role"]), (&json!("balanced"), &json!("customer")), "{listening}");
    ana.sound.until_tone(RINGBACK_HZ, PATIENCE).await;
    let verdict = house.stage("verdict").await;
    assert_eq!((&verdict["verdict"], &verdict["action"]), (&json!("human"), &json!("connect")), "{verdict}");
    assert!(verdict["decided_at_ms"].as_u64().is_some_and(|ms| (500..6_000).contains(&ms)), "{verdict}");
    assert!(verdict["evidence"]["speech"].as_array().is_some_and(|speech| !speech.is_empty()), "{verdict}");
    let features = verdict["evidence"]["features"].as_array().expect("what weighed most");
    assert!(
        features.iter().all(|sign| sign["name"].is_string() && sign["weight"].is_number()) && !features.is_empty(),
        "{verdict}"
    );
    // A person who answers waits at most two seconds for a voice (47 CFR 64.1200(a)(7)). The clip ends with half a second of silence.
    let voice = customer.sound.until_loud(-30.0, PATIENCE).await;
    let greeting_end = customer.sound.said().expect("the clip was sent") - Duration::from_millis(500);
    let wait = voice.saturating_duration_since(greeting_end);
    assert!(wait <= Duration::from_secs(2), "the customer waits {wait:?} for a voice");
    customer.sound.hears_tone("the customer", ANNA_HZ, PATIENCE).await;
    customer.sound.say(&sound::tone(RATE, CUSTOMER_HZ, LEVEL_DBFS, 4.0));
    ana.sound.hears_tone("ana", CUSTOMER_HZ, PATIENCE).await;
    let amd = &house.leg(&call).await["amd"];
    assert_eq!((&amd["verdict"], &amd["decided_at_ms"]), (&verdict["verdict"], &verdict["decided_at_ms"]), "{amd}");
    house.ana.hang_up(&mut ana, PATIENCE).await;
    house.customer.is_hung_up(&customer, PATIENCE).await;
    house.tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voicemail_is_hung_up_and_the_agent_is_freed() {
    let mut house = House::open().await;
    let before = house.tandem.holdings().await;
    let (call, ana, invite) = house.bridge(json!({ "mode": "balanced" })).await;
    let customer = house.customer.answer_saying(&invite, &voicemail(), PATIENCE).await;
    let verdict = house.stage("verdict").await;
    assert_ne!(verdict["verdict"], "human", "{verdict}");
    assert_eq!(verdict["action"], "hang_up", "{verdict}");
    house.ana.is_hung_up(&ana, PATIENCE).await;
    house.customer.is_hung_up(&customer, PATIENCE).await;
    let record = house.ended(&call).await;
    assert_eq!((&record["status"], &record["ended_reason"]), (&json!("ended"), &json!("not_human")), "{record:#}");
    drop((ana, customer));
    house.tandem.gives_back(&before, PATIENCE).await;
    house.tandem.stop().await;
}

/// Leaves a message on a voicemail up to the beep, and returns the call and the customer's line.
async fn begin_message(house: &mut House, person: Value) -> (String, Line) {
    upload_message(&house.api, 4.0).await;
    let mut message = json!({ "media": "message" });
    if !person.is_null() {
        message["person"] = person;
    }
    let action = json!({ "message": message });
    let actions = json!({ "machine": action, "screening": action, "ivr": action });
    let (call, ana, invite) = house.bridge(json!({ "mode": "balanced", "actions": actions })).await;
    let mut customer = house.customer.answer_saying(&invite, &voicemail(), PATIENCE).await;
    let verdict = house.stage("verdict").await;
    assert_eq!(verdict["action"], "message", "{verdict}");
    house.ana.is_hung_up(&ana, PATIENCE).await;
    let heard = customer.sound.until_loud(-30.0, VERDICT).await;
    let beep_ended = customer.sound.said().expect("the clip was sent");
    let after = heard.saturating_duration_since(beep_ended);
    assert!(after <= Duration::from_millis(250), "the message begins {after:?} after the beep");
    (call, customer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_begins_right_after_the_beep_and_ends_the_call() {
    let mut house = House::open().await;
    let (call, mut customer) = begin_message(&mut house, Value::Null).await;
    customer.sound.hears_tone("the voicemail", MESSAGE_HZ, PATIENCE).await;
    let beep = house.stage("beep").await;
    assert_eq!(beep["hz"], json!([1_000]), "{beep}");
    let begun = house.stage("message_begun").await;
    assert_eq!(begun["after"], "beep", "{begun}");
    let gap = begun["at_ms"].as_u64().zip(beep["end_ms"].as_u64()).map(|(begun, beep)| begun.abs_diff(beep));
    assert!(gap.is_some_and(|gap| gap <= 250), "{begun} {beep}");
    assert_eq!(house.stage("message_left").await["end"], "left");
    house.customer.is_hung_up(&customer, PATIENCE).await;
    let record = house.ended(&call).await;
    assert_eq!((&record["status"], &record["ended_reason"]), (&json!("ended"), &json!("normal")), "{record:#}");
    let amd = &house.leg(&call).await["amd"];
    assert_eq!((&amd["message_end"], &amd["message_begun_ms"]), (&json!("left"), &begun["at_ms"]), "{amd}");
    assert!(amd["greeting_end_ms"].as_u64().is_some(), "{amd}");
    house.tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_who_speaks_during_the_message_is_handed_to_an_agent() {
    let mut house = House::open().await;
    let person = json!({ "targets": [{ "agent": "ben" }], "ring_s": 20 });
    let (_, mut customer) = begin_message(&mut house, person).await;
    customer.sound.hears_tone("the voicemail", MESSAGE_HZ, PATIENCE).await;
    customer.sound.say(&speak("Hello? Hello, this is Jane, I am here. Who is calling please?", "en-us+f3"));
    let spoke = Instant::now();
    assert_eq!(house.stage("message_left").await["end"], "human");
    let noticed = spoke.elapsed();
    // The clip begins with half a second of silence.
    assert!(noticed <= Duration::from_millis(2_000), "a person is noticed after {noticed:?}");
    let invite = house.ben.rings(PATIENCE).await;
    let mut ben = house.ben.answer(&invite, BEN_HZ, PATIENCE).await;
    customer.sound.say(&sound::tone(RATE, CUSTOMER_HZ, LEVEL_DBFS, 20.0));
    hear_each_other((&mut customer, CUSTOMER_HZ), (&mut ben, BEN_HZ)).await;
    house.ben.hang_up(&mut ben, PATIENCE).await;
    house.customer.is_hung_up(&customer, PATIENCE).await;
    house.tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_tone_before_the_answer_ends_the_call_as_busy() {
    let mut house = House::open().await;
    let (call, ana, invite) = house.bridge(json!({ "mode": "fast" })).await;
    let announcement = house.customer.announce(&invite, 0.0).await;
    announcement.say(&busy_tone());
    let verdict = house.stage("verdict").await;
    assert_eq!((&verdict["verdict"], &verdict["evidence"]["hz"]), (&json!("busy"), &json!([425])), "{verdict}");
    house.customer.is_cancelled(&invite, PATIENCE).await;
    house.ana.is_hung_up(&ana, PATIENCE).await;
    let record = house.ended(&call).await;
    assert_eq!((&record["status"], &record["ended_reason"]), (&json!("failed"), &json!("busy")), "{record:#}");
    house.tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_by_signalling_is_the_same_outcome_as_its_tone() {
    let mut house = House::open().await;
    for (status, expected) in [(486, "busy"), (404, "sit")] {
        let (call, ana, invite) = house.bridge(json!({ "mode": "balanced" })).await;
        house.customer.refuse(&invite, status).await;
        let verdict = house.stage("verdict").await;
        assert_eq!((&verdict["verdict"], &verdict["evidence"]["ground"]), (&json!(expected), &json!("signalling")));
        house.ana.is_hung_up(&ana, PATIENCE).await;
        assert_eq!(house.leg(&call).await["amd"]["verdict"], expected);
    }
    house.tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_assistant_is_answered_and_its_owner_is_joined() {
    let mut house = House::open().await;
    let reply = json!({ "reply": { "text": "This is Acme about your order.", "language": "en" } });
    // Whatever the assistant is taken for, it is answered.
    let actions = json!({ "screening": reply, "ivr": reply, "silence": reply, "machine": { "connect": {} } });
    let request = json!({
        "mode": "direct", "to": CUSTOMER, "app": "tone",
        "config": { "amd": { "mode": "balanced", "actions": actions } },
    });
    house.place(request).await;
    let invite = house.customer.rings(PATIENCE).await;
    // Silence is told after its limit, and answered; then a person comes.
    let mut customer = house.customer.answer_saying(&invite, &[0; 160], PATIENCE).await;
    let verdict = house.stage("verdict").await;
    assert_eq!((&verdict["verdict"], &verdict["action"]), (&json!("silence"), &json!("reply")), "{verdict}");
    customer.sound.until_loud(-35.0, PATIENCE).await;
    customer.sound.until_quiet(-45.0, 0.8, PATIENCE).await;
    customer.sound.say(&person());
    let verdict = house.stage("verdict").await;
    assert_eq!((&verdict["verdict"], &verdict["action"]), (&json!("human"), &json!("connect")), "{verdict}");
    customer.sound.until_tone(1_000.0, PATIENCE).await;
    house.customer.hang_up(&mut customer, PATIENCE).await;
    house.tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_application_amd_tells_a_dialer_what_answered() {
    let mut house = House::open().await;
    let customer = async {
        let invite = house.customer.rings(PATIENCE).await;
        house.customer.answer_saying(&invite, &person(), PATIENCE).await
    };
    let (line, mut customer) = tokio::join!(house.dialer.call(CUSTOMER, BEN_HZ, "", VERDICT + PATIENCE), customer);
    let mut line = line.expect("the dialer is answered");
    let header = line
        .answer
        .lines()
        .find(|line| line.starts_with("X-Tandem-AMD: "))
        .unwrap_or_else(|| panic!("{}", line.answer));
    assert!(header.starts_with("X-Tandem-AMD: human;probability=0."), "{header}");
    let informed = house.dialer.informed(&line, PATIENCE).await;
    let news: Value = serde_json::from_str(&informed).unwrap_or_else(|error| panic!("{error}: {informed}"));
    assert_eq!((&news["stage"], &news["verdict"]), (&json!("verdict"), &json!("human")), "{news}");
    customer.sound.hears_tone("the customer", BEN_HZ, PATIENCE).await;
    house.dialer.hang_up(&mut line, PATIENCE).await;
    house.customer.is_hung_up(&customer, PATIENCE).await;
    house.tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_without_detection_runs_no_detector() {
    let mut house = House::open().await;
    let (_, mut ana, invite) = house.bridge(json!({ "mode": "off" })).await;
    let mut customer = house.customer.answer(&invite, CUSTOMER_HZ, PATIENCE).await;
    hear_each_other((&mut ana, ANNA_HZ), (&mut customer, CUSTOMER_HZ)).await;
    assert_eq!(house.tandem.metric("tandem_amd_listeners", "").await, 0.0);
    house.ana.hang_up(&mut ana, PATIENCE).await;
    house.customer.is_hung_up(&customer, PATIENCE).await;
    house.tandem.stop().await;
}

/// Returns clips of the development set that bear these classes, with what counts as right.
fn clips(folder: &Path, classes: &[(&str, usize)]) -> Vec<(String, Vec<String>)> {
    let truth = std::fs::read_to_string(folder.join("truth.jsonl")).expect("the truth");
    let rows: Vec<Value> = truth.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of_class = |(class, count): &(&str, usize)| {
        let is_it = |row: &&Value| row["class"] == *class;
        let row = |row: &Value| {
            let accept = row["accept"].as_array().expect("a list").iter();
            let accept = accept.filter_map(Value::as_str).map(str::to_owned).collect();
            (row["clip"].as_str().expect("a name").to_owned(), accept)
        };
        rows.iter().filter(is_it).take(*count).map(row).collect::<Vec<_>>()
    };
    classes.iter().flat_map(of_class).collect()
}

/// Decodes a clip to samples at 8 kHz.
fn decode(path: &Path) -> Vec<i16> {
    let raw = Command::new("sox").arg(path).args(["-t", "raw", "-e", "signed", "-b", "16", "-L", "-"]).output();
    let raw = raw.expect("sox: run scripts/setup.sh test");
    assert!(raw.status.success(), "{}", String::from_utf8_lossy(&raw.stderr));
    raw.stdout.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// Returns the verdict on a clip that is followed by silence, as in a call, and the time of the verdict in milliseconds.
fn judged_as_in_a_call(clip: &Path) -> (String, u64) {
    let folder = tempfile::tempdir().expect("an empty folder");
    let path = folder.path().join("clip.wav");
    let mut samples = decode(clip);
    samples.resize(samples.len() + RATE.samples_in_ms(VERDICT.as_millis() as u32), 0);
    sound::write_wav(&path, RATE, &samples);
    judged(&path)
}

/// Returns the verdict on a file, and the time at which it was given in milliseconds.
fn judged(path: &Path) -> (String, u64) {
    let judged = Command::new(tests::tandem::binary("tandem")).args(["amd", "--json"]).arg(path).output();
    let judged: Value = serde_json::from_slice(&judged.expect("the binary").stdout).expect("JSON");
    (judged["verdict"].as_str().expect("a verdict").to_owned(), judged["decided_at_ms"].as_u64().expect("a time"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_answers_are_judged_in_calls_as_they_are_on_files() {
    let Some(folder) = tests::shared("amd-dev") else { return };
    let classes = [("human", 3), ("machine", 3), ("fax", 1), ("busy", 2), ("sit", 2), ("screening", 1)];
    let clips = clips(&folder, &classes);
    let file = |clip: &str| folder.join("clips").join(format!("{clip}.flac"));
    let mut house = House::open().await;
    let verdicts = ["human", "machine", "screening", "ivr", "fax", "sit", "busy", "ringback", "music", "silence"];
    let connect: serde_json::Map<String, Value> =
        verdicts.iter().map(|verdict| ((*verdict).to_owned(), json!({ "connect": {} }))).collect();
    let mut calls = Vec::new();
    for (n, (clip, accept)) in clips.iter().enumerate() {
        let amd = json!({ "mode": "balanced", "actions": connect });
        let to = format!("+155502{n:02}");
        let call = house.place(json!({ "mode": "direct", "to": to, "app": "tone", "config": { "amd": amd } })).await;
        let invite = house.customer.rings(PATIENCE).await;
        let line = house.customer.answer_saying(&invite, &decode(&file(clip)), PATIENCE).await;
        calls.push((call, clip, accept, line));
    }
    let mut heard = std::collections::HashMap::new();
    while heard.len() < calls.len() {
        let verdict = house.stage("verdict").await;
        heard.insert(verdict["call_id"].as_str().expect("an id").to_owned(), verdict);
    }
    let mut as_on_file = 0;
    for (call, clip, accept, _) in &calls {
        let verdict = &heard[call];
        let (word, at) =
            (verdict["verdict"].as_str().expect("a word"), verdict["decided_at_ms"].as_u64().expect("a time"));
        let (expected, expected_at) = judged_as_in_a_call(&file(clip));
        println!("{clip}: {word} after {at} ms, on the file {expected} after {expected_at} ms, right: {accept:?}");
        as_on_file += usize::from(word == expected && at.abs_diff(expected_at) <= 400);
        assert!(at <= 12_000, "{clip}: {verdict}");
        if ["fax", "busy", "sit"].contains(&expected.as_str()) {
            assert_eq!(word, expected, "{clip}: {verdict}");
        }
    }
    // The encoding and the jitter buffer may tip the balance of a doubtful clip.
    assert!(as_on_file + 2 >= calls.len(), "only {as_on_file} of {} are judged as on their files", calls.len());
    house.tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_is_joined_only_with_persons_among_clips_that_sipp_plays() {
    let Some(folder) = tests::shared("amd-dev") else { return };
    let file = |clip: &str| folder.join("clips").join(format!("{clip}.flac"));
    let mut house = House::open().await;
    // Clips whose files are judged correctly: this test is about what follows a verdict.
    let right = |class: &'static str| {
        let is_right = |(clip, _): &(String, Vec<String>)| judged(&file(clip)).0 == class;
        let clip = clips(&folder, &[(class, 20)]).into_iter().find(is_right).expect("a clip that is judged correctly");
        (class, clip.0)
    };
    for (class, clip) in [right("human"), right("machine"), right("human")] {
        let sipp = Sipp::playing(&decode(&file(&clip)), house.clips).await;
        let amd = json!({ "mode": "balanced" });
        let customer = json!({ "to": CUSTOMER, "trunk": "clips" });
        let request = json!({ "first": { "agent": "ana" }, "second": customer, "config": { "amd": amd } });
        let call = house.place(request).await;
        let invite = house.ana.rings(PATIENCE).await;
        let mut ana = house.ana.answer(&invite, ANNA_HZ, PATIENCE).await;
        let verdict = house.stage("verdict").await;
        assert_eq!((&verdict["call_id"], &verdict["verdict"]), (&json!(call), &json!(class)), "{clip}: {verdict}");
        assert!(verdict["decided_at_ms"].as_u64().is_some_and(|ms| ms <= 12_000), "{clip}: {verdict}");
        if class == "human" {
            let is_bridged = |event: &SentEvent| (event.data["status"] == "bridged").then_some(());
            house.events.until("the bridged call", PATIENCE, is_bridged).await;
            house.ana.hang_up(&mut ana, PATIENCE).await;
        } else {
            house.ana.is_hung_up(&ana, PATIENCE).await;
        }
        sipp.succeeds(PATIENCE).await;
    }
    house.tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_leaves_no_screened_call_open() {
    let mut house = House::open().await;
    let (call, _ana, invite) = house.bridge(json!({ "mode": "careful" })).await;
    let _customer = house.customer.answer_saying(&invite, &voicemail(), PATIENCE).await;
    house.stage("listening").await;
    let House { tandem, api, .. } = house;
    let folder = tandem.kill().await;
    let restarted = Tandem::start_in(folder, &Setup::default()).await;
    let record = ended(&api.with_base(&restarted.http), &call).await;
    assert_eq!(record["ended_reason"], "crash", "{record:#}");
    let legs = record["legs"].as_array().expect("legs");
    assert!(legs.len() == 2 && legs.iter().all(|leg| leg["state"] == "ended"), "{legs:#?}");
    restarted.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_live_page_shows_the_verdict_as_it_forms_and_the_call_page_its_grounds() {
    let mut house = House::open().await;
    upload_message(&house.api, 2.0).await;
    let account = house.tandem.member("acme", "sara", "supervisor").await;
    let mut page = Browser::launch(CUSTOMER_HZ, LEVEL_DBFS).await;
    page.sign_in(&house.tandem.http, &account).await;
    page.open(&format!("{}/live", house.tandem.http)).await;
    page.visible("#calls-empty", PATIENCE).await;
    let message = json!({ "message": { "media": "message" } });
    let actions = json!({ "machine": message, "screening": message, "ivr": message });
    let (call, ana, invite) = house.bridge(json!({ "mode": "balanced", "actions": actions })).await;
    let customer = house.customer.answer_saying(&invite, &voicemail(), PATIENCE).await;
    page.visible("[data-amd-leg] .amd-plot", PATIENCE).await;
    page.attribute("[data-amd-leg] [data-role=amd-verdict]", "data-verdict", "", PATIENCE).await;
    let verdict = house.stage("verdict").await;
    let word = verdict["verdict"].as_str().expect("a verdict");
    page.attribute("[data-amd-leg] [data-role=amd-verdict]", "data-verdict", word, PATIENCE).await;
    page.visible("[data-amd-leg] [data-mark=decision]", PATIENCE).await;
    page.visible("[data-amd-leg] [data-mark=beep]", VERDICT).await;
    house.customer.is_hung_up(&customer, PATIENCE).await;
    drop(ana);
    ended(&house.api, &call).await;
    page.open(&format!("{}/calls/{call}", house.tandem.http)).await;
    page.visible("#answered .amd-facts", PATIENCE).await;
    page.says("#answered", "1000 Hz").await;
    let complaints = page.complaints().await;
    assert!(complaints.is_empty(), "the page complained: {complaints:?}");
    page.close().await;
    house.tandem.stop().await;
}

#[test]
fn the_clips_have_the_level_of_a_call() {
    for clip in [person(), voicemail()] {
        assert!((-40.0..-15.0).contains(&level_dbfs(&clip)), "{}", level_dbfs(&clip));
    }
}
