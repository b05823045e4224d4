//! Calls whose providers die at random: no word is lost or heard twice or in another call, and nothing is left over.
//!
//! ```text
//! tap: the samples are the number of the call ─▶ pipeline ─ TCP ─▶ recogniser: words with that number, dies at times
//!                                                   │       ─ TCP ─▶ translator, synthesiser: die at times
//!        Ledger ◀─ events, orders to play ◀─────────┘                 sound: samples with that number
//! ```
//!
//! Ten calls for some seconds in `make test`, and fifty calls for an hour with TANDEM_SOAK=1.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wyoming::{AudioFormat, Decoder, Event};

use super::tests::FRAME;
use super::*;
use crate::audio::tap::{FrameKind, TapWriter, tap};
use crate::config::{SpeechConfig, SpeechProvider};
use crate::translate::Hears;
use crate::translate::schedule::BUDGET;

const RATE: SampleRate = SampleRate::HZ_8000;
/// Frames for each word.
const FRAMES_PER_WORD: usize = 12;
/// Samples of the voice of a clause, 50 ms.
const VOICE: usize = 800;

/// Random numbers (splitmix64) that several tasks share.
struct Dice(AtomicU64);

impl Dice {
    fn one_in(&self, n: u64) -> bool {
        let mut x = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)).is_multiple_of(n)
    }
}

/// Recogniser, translator and synthesiser in one. A connection is closed at random after an event.
async fn serve(mut stream: TcpStream, dice: Arc<Dice>, deaths: Arc<AtomicU64>) -> std::io::Result<()> {
    let (mut decoder, mut piece) = (Decoder::new(), Vec::new());
    let (mut frames, mut call) = (0, 0);
    let text = |call: i16, words: usize| {
        // Word by word in order, so that a lost or doubled one shows.
        (0..words).map(|word| format!("c{call}w{word}")).collect::<Vec<_>>().join(" ")
    };
    loop {
        while let Some(Ok(event)) = decoder.poll_event() {
            let answers = match event.kind.as_str() {
                "describe" => vec![Event::new("info")],
                "audio-start" => {
                    frames = 0;
                    Vec::new()
                }
                "audio-chunk" => {
                    frames += 1;
                    if let [.., low, high] = event.payload[..] {
                        call = i16::from_le_bytes([low, high]);
                    }
                    let is_word = frames % FRAMES_PER_WORD == 0;
                    let partial =
                        || Event::new("transcript-partial").with("text", text(call, frames / FRAMES_PER_WORD));
                    is_word.then(partial).into_iter().collect()
                }
                "audio-stop" => vec![Event::new("transcript").with("text", text(call, frames / FRAMES_PER_WORD))],
                "translate" => vec![Event::new("translation").with("text", event.text("text").to_uppercase())],
                "synthesize" => {
                    let number = event.text("text").trim_start_matches('C').split('W').next().unwrap_or_default();
                    let samples = [number.parse::<i16>().unwrap_or(-1); VOICE];
                    let start = Event::audio_start(AudioFormat::mono(8_000));
                    vec![start, Event::audio_chunk(8_000, &samples), Event::new("audio-stop")]
                }
                _ => Vec::new(),
            };
            let one_in = if event.kind == "audio-chunk" { 600 } else { 25 };
            if event.kind != "describe" && dice.one_in(one_in) {
                deaths.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            let mut bytes = Vec::new();
            answers.iter().for_each(|event| event.write_to(&mut bytes));
            stream.write_all(&bytes).await?;
        }
        piece.clear();
        if stream.read_buf(&mut piece).await? == 0 {
            return Ok(());
        }
        decoder.push(&piece);
    }
}

/// Words and voices that one call has produced.
#[derive(Default)]
struct Ledger {
    number: i16,
    segments: BTreeMap<u64, TranslationEvent>,
    /// Clauses that each side has heard, and whether to the end.
    heard: [BTreeMap<u64, bool>; 2],
}

impl Ledger {
    fn publish(&mut self, event: TranslationEvent) {
        let number = self.number;
        let prefix = format!("c{number}w");
        let foreign = event.text.split_whitespace().find(|word| !word.starts_with(&prefix));
        assert_eq!(foreign, None, "call {number} shows another call's words: {event:?}");
        self.segments.insert(event.segment, event);
    }

    fn play(&mut self, chunk: &PlayChunk) {
        let number = self.number;
        // The voice of the call after which it is named; a resampler swings at its ends.
        let middle = chunk.samples.get(chunk.samples.len() / 2).copied().unwrap_or(number);
        assert!((middle - number).abs() <= 1, "call {number} hears the voice of call {middle}");
        let heard = &mut self.heard[chunk.listener as usize];
        let newest = heard.last_key_value().map_or(chunk.clause, |(newest, _)| *newest);
        assert!(chunk.clause >= newest, "call {number}: clause {} is heard after {newest}", chunk.clause);
        let is_over = heard.entry(chunk.clause).or_default();
        assert!(!std::mem::replace(is_over, chunk.last), "call {number}: clause {} is heard twice", chunk.clause);
    }

    /// Checks that every recognised word is in exactly one clause, and that each clause was heard as the event says.
    fn check(&self) {
        for event in self.segments.values().filter(|event| !event.missed) {
            let clauses = event.clauses.iter().map(|clause| clause.text.as_str()).collect::<Vec<_>>().join(" ");
            assert_eq!(event.text, clauses, "call {}: {event:#?}", self.number);
            let listener = if event.leg == "customer" { Speaker::Agent } else { Speaker::Customer };
            for clause in &event.clauses {
                let is_voice = clause.heard == crate::translate::ClauseHeard::Voice;
                let was_heard = self.heard[listener as usize].contains_key(&clause.clause);
                assert_eq!(is_voice, was_heard, "call {}: {clause:?}", self.number);
            }
        }
    }
}

/// Talks on both sides of a call, in turns and at the same time, and plays its voices. Returns what the call produced.
async fn call(number: i16, providers: Providers, length: Duration, dice: Arc<Dice>) -> Ledger {
    let (orders_in, mut orders) = mpsc::channel(1_024);
    let (events_in, mut events) = mpsc::channel(1_024);
    let params = PipelineParams {
        listeners: ["en", "es"].map(|language| Listener::new(language, Hears::Ducked)),
        translate: true,
        budget: BUDGET,
        glossary: Default::default(),
        clock: Clock::real(),
    };
    let pipeline = start(params, providers, orders_in, events_in);
    assert!(pipeline.set_presence([Presence::JOINED; 2]));
    let mut taps: [TapWriter; 2] = Speaker::BOTH.map(|side| {
        let (writer, reader) = tap(50);
        assert!(pipeline.follow(side, reader.into()));
        writer
    });
    let mut ledger = Ledger { number, ..Ledger::default() };
    let mut talks = [true, false];
    let mut tick = tokio::time::interval(FRAME);
    let mut end = std::pin::pin!(tokio::time::sleep(length));
    let mut phase = 0_i32;
    loop {
        tokio::select! {
            () = &mut end => break,
            _ = tick.tick() => {
                phase += 1;
                for (side, tap) in taps.iter_mut().enumerate() {
                    talks[side] ^= dice.one_in(75);
                    // A buzz that counts as speech; the last sample names the call.
                    let mut frame = [0; 160];
                    if talks[side] {
                        for (n, sample) in frame.iter_mut().enumerate() {
                            let at = (phase * 160 + n as i32) as f32 / 8_000.0;
                            let buzz: f32 = (1..12).map(|k| (at * 130.0 * k as f32 * std::f32::consts::TAU).sin()).sum();
                            *sample = (buzz * 700.0 * (at * 4.0 * std::f32::consts::TAU).sin().abs()) as i16;
                        }
                    }
                    frame[159] = number;
                    tap.push(clock::now(), None, FrameKind::Voice, RATE, &frame);
                }
            }
            Some(order) = orders.recv() => if let PlayOrder::Chunk(chunk) = order {
                ledger.play(&chunk);
                if chunk.last {
                    pipeline.played(chunk.listener, chunk.clause);
                }
            },
            Some(event) = events.recv() => ledger.publish(event),
        }
    }
    pipeline.stop().await;
    while let Ok(order) = orders.try_recv() {
        if let PlayOrder::Chunk(chunk) = order {
            ledger.play(&chunk);
        }
    }
    while let Some(event) = events.recv().await {
        ledger.publish(event);
    }
    ledger
}

#[tokio::test]
async fn calls_lose_and_mix_up_no_words_while_their_providers_die() {
    let soak = std::env::var_os("TANDEM_SOAK").is_some();
    let (calls, length) = if soak { (50, Duration::from_secs(3_600)) } else { (10, Duration::from_secs(12)) };
    let dice = Arc::new(Dice(AtomicU64::new(7)));
    let deaths = Arc::new(AtomicU64::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (of_server, counted) = (Arc::clone(&dice), Arc::clone(&deaths));
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A connection that ends is a link that the client gave up.
            tokio::spawn(serve(stream, Arc::clone(&of_server), Arc::clone(&counted)));
        }
    });
    let provider = || SpeechProvider::Wyoming(address.clone());
    let (status, mut states) = mpsc::channel(64);
    let config = SpeechConfig { stt: provider().into(), translator: provider(), tts: provider() };
    let providers = Providers::start(&config, status);
    let reports = tokio::spawn(async move { while states.recv().await.is_some() {} });
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();

    // The first call opens the connections that are kept.
    call(1_000, providers.clone(), Duration::from_secs(1), Arc::clone(&dice)).await.check();
    let before = tasks();
    let running: Vec<_> = (0..calls)
        .map(|n| tokio::spawn(call(1_000 + 20 * n as i16, providers.clone(), length, Arc::clone(&dice))))
        .collect();
    let (mut words, mut missed) = (0, 0);
    for call in running {
        let ledger = call.await.expect("the call's task");
        ledger.check();
        words += ledger.segments.values().map(|event| event.text.split_whitespace().count()).sum::<usize>();
        missed += ledger.segments.values().filter(|event| event.missed).count();
    }
    let deaths = deaths.load(Ordering::Relaxed);
    println!("{calls} calls, {deaths} deaths: {words} words recognised, {missed} segments missed");
    assert!(deaths > 10 && words > calls * 10, "{deaths} deaths, {words} words");
    // Connections that are kept for the next request may stay.
    let deadline = clock::now() + Duration::from_secs(5);
    while tasks() > before + 16 {
        assert!(clock::now() < deadline, "{} tasks, {before} before", tasks());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(providers);
    reports.await.expect("the states end with the providers");
    server.abort();
}
