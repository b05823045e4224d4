//! Simultaneous translation in a real call: the agent hears clauses while the customer goes on speaking, and chooses what it hears.
//!
//! ```text
//! customer (carrier, 127.0.0.2) ─▶ Tandem ─▶ agent anna: the original, tones as the voice of clauses, or both
//!                                    └─ TCP ─▶ Interpreter (recogniser, translator, synthesiser), Transcriber (HTTP)
//! ```

use std::time::Duration;

use codecs::SampleRate;
use codecs::tones::{goertzel_dbfs, level_dbfs};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::api::{Api, SentEvent};
use tests::desk::{Desk, Line};
use tests::interpreter::{FIRST_HZ, Interpreter, LEVEL_DBFS, STEP_HZ, TONES};
use tests::office::PATIENCE;
use tests::ports;
use tests::speech::PROMPTS;
use tests::tandem::{Holdings, Setup, Tandem};
use tests::transcriber::{Reply, Transcriber};
use tokio::time::Instant;

const RATE: SampleRate = SampleRate::HZ_8000;
/// Level below which a frame is silence, in dBFS.
const SILENCE_DBFS: f32 = -60.0;

/// Returns which of the interpreter's tones a frame holds, if any.
fn tone_of(frame: &[i16]) -> Option<usize> {
    let level = |n: &usize| goertzel_dbfs(frame, RATE, FIRST_HZ + STEP_HZ * *n as f32);
    (0..TONES).max_by(|a, b| level(a).total_cmp(&level(b))).filter(|n| level(n) > LEVEL_DBFS - 6.0)
}

/// Listens for a while. Returns the last tone, and the loudest frame that is not near a tone, in dBFS.
async fn hears(line: &mut Line, length: Duration) -> (Option<Instant>, f32) {
    let until = Instant::now() + length;
    let (mut last_tone, mut loudest) = (None, f32::NEG_INFINITY);
    // Levels of frames that may still turn out to be the beginning of a tone.
    let mut since_tone: Vec<f32> = Vec::new();
    while Instant::now() < until {
        let frame = line.sound.next(PATIENCE).await;
        if tone_of(&frame).is_some() {
            last_tone = Some(Instant::now());
            since_tone.clear();
            continue;
        }
        since_tone.push(level_dbfs(&frame));
        // The two frames after a tone hold its end, and the newest two perhaps the beginning of the next one.
        if let [_, _, settled, _, _] = since_tone[..] {
            loudest = loudest.max(settled);
            since_tone.remove(2);
        }
    }
    (last_tone, loudest)
}

/// Sends back what a line hears for a while, 12 dB quieter and some 100 ms later, as a loudspeaker telephone does. What the party says
/// itself is `own`, from the beginning.
async fn echoes(line: &mut Line, own: &[i16], length: Duration) {
    let until = Instant::now() + length;
    let mut own = own.chunks_exact(RATE.samples_in_ms(20)).chain(std::iter::repeat(&[0; 160][..]));
    while Instant::now() < until {
        let heard = line.sound.next(PATIENCE).await;
        let own = own.next().into_iter().flatten();
        let both: Vec<i16> = heard.iter().zip(own).map(|(heard, own)| (heard / 4).saturating_add(*own)).collect();
        line.sound.say(&both);
    }
}

/// Number that a test gives a program.
const NUMBER: &str = "+15550100";

/// A translated call between a customer on a trunk and an agent.
struct Scene {
    tandem: Tandem,
    api: Api,
    anna: Desk,
    customer: Desk,
    line: Line,
    agent: Line,
    call: String,
    before: Holdings,
    /// Ends with the scene.
    _interpreter: Interpreter,
}

impl Scene {
    /// Sets the call up, with the interpreter for everything or with these settings of recognition.
    async fn open(stt: Option<&str>) -> Scene {
        Scene::open_with(stt, translated(), None).await
    }

    /// Does the same with this voice configuration. With a program, the customer calls the number that has it, and presses 2 as soon as
    /// the program gathers.
    async fn open_with(stt: Option<&str>, config: Value, program: Option<Value>) -> Scene {
        let interpreter = Interpreter::start().await;
        let section = stt.map_or_else(|| interpreter.section(), |stt| interpreter.section_with(stt));
        let carrier = std::net::SocketAddr::from(([127, 0, 0, 2], ports::free()));
        let tandem = Tandem::start(&Setup {
            speech: true,
            trunks: vec![("carrier", vec![carrier.to_string()])],
            routes: vec![("100", "agent:anna"), ("+*", "trunk:carrier")],
            further: section.leak(),
            ..Setup::default()
        })
        .await;
        let api = tandem.api("acme").await;
        let is_translated = config["live_translate"] == true;
        if stt.is_some() {
            let term = json!({ "from": "en", "source": "good morning", "to": "es", "target": "buenos días" });
            let glossary = json!({ "terms": [term], "names": ["Grünwald"] });
            let (status, answer) = api.ask(Method::PUT, "/api/glossary", Some(glossary)).await;
            assert_eq!(status, StatusCode::OK, "{answer}");
        }
        api.voice_config(config).await;
        let (mut anna, _) = Desk::of_agent(&tandem, "anna").await;
        let mut customer = Desk::start_at(carrier, tandem.sip(), "+15550142").await;
        if let Some(program) = &program {
            tandem.run_command(&["number", "assign", "--org", "acme", NUMBER]).await;
            let numbers = api.get("/api/caller-id/numbers").await;
            let number = numbers["numbers"][0]["id"].as_str().expect("an id");
            let path = format!("/api/caller-id/numbers/{number}/program");
            let (status, answer) = api.ask(Method::PUT, &path, Some(json!({ "program": program }))).await;
            assert_eq!(status, StatusCode::OK, "{answer}");
        }
        let before = tandem.holdings().await;
        let mut events = api.events("/api/events", None).await;
        let calls = async {
            let Some(_) = program else {
                return customer.call("100", 0.0, "", PATIENCE).await.expect("anna answers");
            };
            let mut line = customer.call(NUMBER, 0.0, "", PATIENCE).await.expect("the program answers");
            let gathers = |event: &SentEvent| {
                let data = &event.data;
                let is_it = event.name == "call.program" && data["verb"] == "gather" && data["state"] == "step_started";
                is_it.then(|| data["call_id"].as_str().expect("an id").to_owned())
            };
            let call = events.until("gather", PATIENCE, gathers).await;
            // The agent's choice is kept until the translation begins.
            let change = Some(json!({ "agent": { "hears": "translation" } }));
            let (status, both) = api.ask(Method::PATCH, &format!("/api/calls/{call}/listening"), change).await;
            if is_translated {
                assert_eq!((status, &both["agent"]["hears"]), (StatusCode::OK, &json!("translation")), "{both}");
            } else {
                assert_eq!(status, StatusCode::CONFLICT, "{both}");
            }
            customer.info(&mut line, '2', PATIENCE).await;
            line
        };
        let (line, agent) = tokio::join!(calls, async {
            let invite = anna.rings(PATIENCE).await;
            anna.answer(&invite, 0.0, PATIENCE).await
        });
        let call = api.call_becomes("bridged", PATIENCE).await["id"].as_str().expect("an id").to_owned();
        Scene { tandem, api, anna, customer, line, agent, call, before, _interpreter: interpreter }
    }

    /// Returns the segments of the call.
    async fn segments(&self) -> Vec<Value> {
        let list = self.api.get(&format!("/api/calls/{}/translations", self.call)).await;
        list["translations"].as_array().expect("segments").clone()
    }

    /// Waits until a segment is so.
    async fn segment(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + PATIENCE;
        let mut look = tokio::time::interval(Duration::from_millis(50));
        loop {
            look.tick().await;
            let segments = self.segments().await;
            if let Some(segment) = segments.iter().find(|segment| is_so(segment)) {
                return segment.clone();
            }
            assert!(Instant::now() < until, "no segment {what}: {segments:#?}");
        }
    }

    /// Returns the state of recognition in the list of providers.
    async fn recognition(&self) -> Value {
        let providers = self.api.get("/api/providers").await;
        let list = providers.as_array().or_else(|| providers["providers"].as_array()).expect("a list");
        list.iter().find(|provider| provider["kind"] == "stt").expect("recognition").clone()
    }

    /// Changes how the agent listens while it listens for a while. Returns how both sides listen, and what the agent heard.
    async fn agent_listens(&mut self, change: Value, length: Duration) -> (Value, Option<Instant>, f32) {
        let path = format!("/api/calls/{}/listening", self.call);
        let body = Some(json!({ "agent": change }));
        let asked = self.api.ask(Method::PATCH, &path, body);
        let ((status, body), (tone, original)) = tokio::join!(asked, hears(&mut self.agent, length));
        assert_eq!(status, StatusCode::OK, "{body}");
        (body, tone, original)
    }

    async fn hang_up(&mut self) {
        self.customer.hang_up(&mut self.line, PATIENCE).await;
        self.anna.is_hung_up(&self.agent, PATIENCE).await;
    }

    async fn close(mut self) {
        self.hang_up().await;
        self.end().await;
    }

    /// Stops the server after the call, which has given everything back.
    async fn end(self) {
        self.tandem.gives_back(&self.before, PATIENCE).await;
        self.tandem.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_hears_clauses_in_order_while_the_customer_goes_on() {
    let mut config = translated();
    config["record"] = json!(true);
    config["record_heard"] = json!(true);
    let mut scene = Scene::open_with(None, config, None).await;
    let folder = tempfile::tempdir().expect("a folder");
    let speech = PROMPTS[2].speak(RATE, folder.path());
    scene.line.sound.say(&speech);
    let mut tones: Vec<(usize, Instant)> = Vec::new();
    let until = Instant::now() + Duration::from_secs_f32(speech.len() as f32 / 8_000.0 + 4.0);
    while Instant::now() < until {
        let frame = scene.agent.sound.next(PATIENCE).await;
        if let Some(tone) = tone_of(&frame)
            && tones.last().is_none_or(|(last, _)| *last != tone)
        {
            tones.push((tone, Instant::now()));
        }
    }
    let said = scene.line.sound.said().expect("the speech has ended");
    let early = tones.iter().filter(|(_, at)| *at < said).count();
    assert!(early >= 4, "{early} clauses were heard before the end of speech: {tones:?}");
    let order: Vec<usize> = tones.iter().map(|(tone, _)| *tone).collect();
    assert_eq!(order, (0..order.len()).collect::<Vec<_>>(), "each clause is heard once, in order");

    // The record agrees with what was heard.
    let list = scene.api.get(&format!("/api/calls/{}/translations", scene.call)).await;
    let segments = list["translations"].as_array().expect("segments");
    let clauses: Vec<_> =
        segments.iter().flat_map(|segment| segment["clauses"].as_array().into_iter().flatten()).collect();
    let voiced = clauses.iter().filter(|clause| clause["heard"] == "voice").count();
    assert_eq!(voiced, tones.len(), "{list:#}");
    for clause in &clauses {
        let text = clause["text"].as_str().expect("text");
        assert_eq!(clause["translation"], text.to_uppercase(), "{clause}");
        assert!(
            clause["heard"] != "voice" || clause["lag_ms"]["total"].as_u64().is_some_and(|ms| ms < 4_000),
            "{clause}"
        );
    }
    for segment in segments {
        let texts = segment["clauses"].as_array().into_iter().flatten().filter_map(|clause| clause["text"].as_str());
        assert_eq!(segment["text"], texts.collect::<Vec<_>>().join(" "), "every word is in one clause: {segment}");
    }

    // So does the recording: the agent's tones are in the channel of what the agent heard, and in no other.
    scene.hang_up().await;
    scene.api.call_becomes("ended", PATIENCE).await;
    let listed = scene.api.get(&format!("/api/calls/{}/recordings", scene.call)).await;
    let listed: Vec<_> = listed["recordings"][0]["parts"][0]["channels"].as_array().into_iter().flatten().collect();
    let sides: Vec<_> = listed.iter().map(|channel| (channel["role"].as_str(), channel["heard"] == true)).collect();
    let expected = [("customer", false), ("agent", false), ("customer", true), ("agent", true)];
    assert_eq!(sides, expected.map(|(role, heard)| (Some(role), heard)), "{listed:#?}");
    let path = scene.tandem.data().join("recordings").join(format!("{}.wav", scene.call));
    let (rate, channels) = tests::sound::read_wav(&path).expect("the recording");
    let tones_of = |channel: &Vec<i16>| {
        let mut tones: Vec<usize> = channel.chunks_exact(rate.samples_in_ms(20)).filter_map(tone_of).collect();
        tones.dedup();
        tones
    };
    assert_eq!(tones_of(&channels[3]), order, "what the agent heard");
    for channel in [0, 1, 2] {
        assert_eq!(tones_of(&channels[channel]), [0; 0], "channel {channel}");
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_changes_what_it_hears_while_the_customer_talks() {
    let mut scene = Scene::open(None).await;
    let folder = tempfile::tempdir().expect("a folder");
    scene.line.sound.say(&PROMPTS[2].speak(RATE, folder.path()).repeat(6));
    scene.segment("with a voice", |segment| segment["clauses"][0]["heard"] == "voice").await;
    let (tone, original) = hears(&mut scene.agent, Duration::from_secs(3)).await;
    assert!(tone.is_some() && original > -45.0, "translations over the original: {original} dBFS");

    let settles = Duration::from_millis(500);
    let (both, ..) = scene.agent_listens(json!({ "hears": "translation" }), settles).await;
    assert_eq!(scene.api.get(&format!("/api/calls/{}/listening", scene.call)).await["agent"]["hears"], "translation");
    assert_eq!(both["agent"], json!({ "language": "es", "hears": "translation", "level": both["agent"]["level"] }));
    assert_eq!(both["customer"]["hears"], "ducked");
    let (tone, original) = hears(&mut scene.agent, Duration::from_secs(4)).await;
    assert!(tone.is_some() && original < SILENCE_DBFS, "translations only: {original} dBFS");

    // The voice is stopped at the beginning of a clause, which would go on for 0.4 s.
    let mut before = None;
    loop {
        let tone = tone_of(&scene.agent.sound.next(PATIENCE).await);
        if before.is_some_and(|before: Option<usize>| tone.is_some() && tone != before) {
            break;
        }
        before = Some(tone);
    }
    let asked = Instant::now();
    let (_, tone, original) = scene.agent_listens(json!({ "hears": "original" }), Duration::from_secs(3)).await;
    let stopped = tone.map_or(Duration::ZERO, |tone| tone - asked);
    println!("the voice was last heard {stopped:?} after the request to stop it");
    assert!(stopped < Duration::from_millis(200), "{stopped:?}");
    assert!(original > -30.0, "the original at full level: {original} dBFS");

    let (both, ..) = scene.agent_listens(json!({ "hears": "ducked", "language": "fr" }), settles).await;
    assert_eq!((&both["agent"]["language"], &both["agent"]["hears"]), (&json!("fr"), &json!("ducked")));
    let has_voice = |segment: &Value| {
        let clauses = segment["clauses"].as_array().into_iter().flatten();
        segment["target_language"] == "fr" && clauses.into_iter().any(|clause| clause["heard"] == "voice")
    };
    scene.segment("spoken in French", has_voice).await;
    let targets: Vec<Value> = scene.segments().await.iter().map(|segment| segment["target_language"].clone()).collect();
    assert!(targets.is_sorted_by_key(|target| target == "fr") && targets[0] == "es", "{targets:?}");
    let record = scene.api.get(&format!("/api/calls/{}", scene.call)).await;
    let kinds = record["events"].as_array().into_iter().flatten().filter(|event| event["type"] == "call.listening");
    assert!(kinds.count() >= 4, "{record:#}");
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_echo_of_a_loudspeaker_telephone_is_not_interpreted() {
    let mut scene = Scene::open(None).await;
    let folder = tempfile::tempdir().expect("a folder");
    let speech = PROMPTS[2].speak(RATE, folder.path());
    scene.line.sound.say(&speech.repeat(4));
    // 100 ms of delay.
    scene.agent.sound.forget();
    scene.agent.sound.say(&[0; 800]);
    echoes(&mut scene.agent, &[], Duration::from_secs(8)).await;
    let words = async |scene: &Scene, side: &str| {
        let segments = scene.segments().await;
        let texts =
            segments.iter().filter(|segment| segment["leg"] == side).filter_map(|segment| segment["text"].as_str());
        texts.map(|text| text.split_whitespace().count()).sum::<usize>()
    };
    let before = [words(&scene, "customer").await, words(&scene, "agent").await];
    echoes(&mut scene.agent, &[], Duration::from_secs(12)).await;
    let after = [words(&scene, "customer").await, words(&scene, "agent").await];
    let [said, echoed] = [0, 1].map(|side| after[side] - before[side]);
    println!("of {said} words of the customer, {echoed} came back as the agent's");
    assert!(said > 20 && echoed * 5 < said, "the echo is recognised: {echoed} of {said} words");

    // The agent talks while the customer's translations go on.
    echoes(&mut scene.agent, &speech[..RATE.samples_in_ms(6_000)], Duration::from_secs(8)).await;
    let own = words(&scene, "agent").await - after[1];
    assert!(own > 8, "the agent is not recognised over the echo: {own} words");
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_are_recognised_by_a_transcription_server_that_fails_at_times() {
    let mut server = Transcriber::start(&[
        Reply::Text("good morning"),
        Reply::Status(503, "overloaded"),
        Reply::Plain("how are you\n"),
        Reply::Status(500, "{}"),
        Reply::Close,
        Reply::Text("good bye"),
        Reply::Status(404, ""),
        Reply::Text("hello again"),
    ])
    .await;
    let stt = format!("stt = {:?}\nstt_key = {:?}\n", server.provider(), Transcriber::KEY);
    let scene = Scene::open(Some(&stt)).await;
    let folder = tempfile::tempdir().expect("a folder");
    // The first of three sentences.
    let sentence = PROMPTS[0].speak(RATE, folder.path())[..RATE.samples_in_ms(3_200)].to_vec();

    scene.line.sound.say(&sentence);
    let request = server.asked(PATIENCE).await;
    let body = String::from_utf8_lossy(&request.body);
    for (field, value) in
        [("model", "whisper-1"), ("language", "en"), ("response_format", "json"), ("prompt", "Grünwald, good morning")]
    {
        assert!(body.contains(&format!("name=\"{field}\"\r\n\r\n{value}\r\n")), "{field} in {body:.600}");
    }
    let at = request.body.windows(4).position(|four| four == b"RIFF").expect("a WAV file");
    let wav = hound::WavReader::new(std::io::Cursor::new(&request.body[at..])).expect("a WAV file");
    let seconds = wav.duration() as f32 / 8_000.0;
    assert!(wav.spec().sample_rate == 8_000 && (2.0..5.0).contains(&seconds), "{seconds} s");
    let first = scene.segment("one", |segment| segment["text"] == "good morning").await;
    assert_eq!((&first["final"], &first["source_language"]), (&json!(true), &json!("en")));
    scene.segment("one in voice", |segment| segment["clauses"][0]["heard"] == "voice").await;
    assert_eq!(scene.segments().await[0]["translation"], "BUENOS DÍAS", "the translator got the term of the glossary");

    scene.line.sound.say(&sentence);
    scene.segment("two, at the second attempt", |segment| segment["text"] == "how are you").await;
    scene.line.sound.say(&sentence);
    scene.segment("three, missed", |segment| segment["missed"] == true).await;
    scene.line.sound.say(&sentence);
    let four = scene.segment("four", |segment| segment["text"] == "good bye").await;
    assert_eq!(scene.recognition().await["state"], "up");

    // A server that can be reached and does not know the model is down until it recognises a segment.
    scene.line.sound.say(&sentence);
    let is_newer = |segment: &Value| segment["segment"].as_u64() > four["segment"].as_u64();
    scene.segment("five, missed", |segment| is_newer(segment) && segment["missed"] == true).await;
    let stt = scene.recognition().await;
    assert_eq!(stt["state"], "down", "{stt}");
    assert!(stt["detail"].as_str().is_some_and(|detail| detail.contains("stt_model")), "{stt}");
    let mut events = scene.api.events("/api/events", None).await;
    let spoke = Instant::now();
    scene.line.sound.say(&sentence);
    let is_up = |event: &SentEvent| {
        let provider = &event.data["provider"];
        (event.name == "provider" && provider["kind"] == "stt" && provider["state"] == "up").then(Instant::now)
    };
    let up = events.until("recognition is up", PATIENCE, is_up).await;
    assert!(up - spoke > Duration::from_secs(2), "it was up before the sentence had ended");
    scene.segment("six", |segment| segment["text"] == "hello again").await;
    scene.close().await;
}

/// Returns the configuration of a call between English and Spanish in which translations are spoken.
fn translated() -> Value {
    json!({ "live_translate": true, "voice_to_voice": true, "translate_from": "en", "translate_to": "es" })
}

/// Returns a program that speaks French with a caller who presses 2.
fn program_by_key() -> Value {
    json!([
        { "gather": { "max_digits": 1, "first_timeout_ms": 20_000, "on_digits": { "2": "french" } } },
        { "hangup": {} },
        { "label": "french" },
        { "set_language": { "language": "fr" } },
        { "dial": { "targets": [{ "agent": "anna" }] } },
    ])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_is_transcribed_in_the_language_that_a_key_has_chosen() {
    let mut server = Transcriber::start(&[Reply::Text("bonjour")]).await;
    let stt = format!("stt = {:?}\nstt_key = {:?}\n", server.provider(), Transcriber::KEY);
    let config = json!({ "live_translate": false, "transcribe": true, "translate_from": "en", "translate_to": "es" });
    let scene = Scene::open_with(Some(&stt), config, Some(program_by_key())).await;
    let folder = tempfile::tempdir().expect("a folder");
    scene.line.sound.say(&PROMPTS[0].speak(RATE, folder.path())[..RATE.samples_in_ms(3_200)]);
    let request = server.asked(PATIENCE).await;
    let body = String::from_utf8_lossy(&request.body);
    assert!(body.contains("name=\"language\"\r\n\r\nfr\r\n"), "{body:.600}");
    let segment = scene.segment("with text", |segment| segment["text"] == "bonjour").await;
    assert_eq!(segment["source_language"], "fr", "{segment}");
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_chooses_the_language_of_the_translation_by_a_key() {
    let mut server = Transcriber::start(&[Reply::Text("bonjour")]).await;
    let stt = format!("stt = {:?}\nstt_key = {:?}\n", server.provider(), Transcriber::KEY);
    let mut scene = Scene::open_with(Some(&stt), translated(), Some(program_by_key())).await;
    let both = scene.api.get(&format!("/api/calls/{}/listening", scene.call)).await;
    let choice = |side: &str| (both[side]["language"].as_str(), both[side]["hears"].as_str());
    assert_eq!(choice("customer"), (Some("fr"), Some("ducked")), "{both}");
    assert_eq!(choice("agent"), (Some("es"), Some("translation")), "{both}");

    let folder = tempfile::tempdir().expect("a folder");
    scene.line.sound.say(&PROMPTS[0].speak(RATE, folder.path())[..RATE.samples_in_ms(3_200)]);
    let request = server.asked(PATIENCE).await;
    let body = String::from_utf8_lossy(&request.body);
    assert!(body.contains("name=\"language\"\r\n\r\nfr\r\n"), "{body:.600}");
    let segment = scene.segment("spoken", |segment| segment["clauses"][0]["heard"] == "voice").await;
    assert_eq!((&segment["source_language"], &segment["target_language"]), (&json!("fr"), &json!("es")), "{segment}");
    let (tone, original) = hears(&mut scene.agent, Duration::from_secs(1)).await;
    assert!(original < SILENCE_DBFS, "the agent hears translations only: {original} dBFS, {tone:?}");
    scene.close().await;
}
