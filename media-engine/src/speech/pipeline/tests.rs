//! Tests of a pipeline with providers that are slow or fail: servers in the test, over real sockets.
//!
//! ```text
//! espeak-ng ─▶ tap ─▶ pipeline ─▶ events, orders to play
//!                       └─ Wyoming ─▶ servers of the test: recognise, translate and speak by rule, die, answer nothing
//! ```

use std::process::Command;

use tokio::net::TcpListener;
use wyoming::Event;

use super::*;
use crate::audio::tap::{FrameKind, TapWriter, tap};
use crate::speech::live_rate::LiveRateResampler;
use crate::speech::wyoming::Client;
use crate::speech::wyoming::tests::{Peer, accept, client, within};
use crate::speech::{
    BoxFuture, ProviderKind, ProviderState, ProviderStatus, SpeechError, Stt, SttSession, Tts, TtsChunk,
};
use crate::translate::schedule::BUDGET;
use crate::translate::{ClauseHeard, Hears};

pub(super) const FRAME: Duration = Duration::from_millis(20);

/// Returns speech from espeak-ng at 16 kHz. The output of `--stdout` is a WAV file of 22050 Hz with a header of 44 bytes.
fn speech() -> Vec<i16> {
    let output = Command::new("espeak-ng")
        .args(["-v", "en", "--stdout", "My package has not arrived yet"])
        .output()
        .expect("this test needs the program espeak-ng: apt-get install espeak-ng");
    let samples = output.stdout[44..].as_chunks::<2>().0.iter().map(|&pair| i16::from_le_bytes(pair)).collect();
    let mut carried = LiveRateResampler::default();
    let (rate, mut whole) = carried.push(TtsChunk { rate_hz: 22_050, samples }).unwrap();
    assert_eq!(rate, SampleRate::HZ_16000);
    whole.extend(carried.finish());
    whole
}

struct Heard {
    pipeline: Pipeline,
    tap: TapWriter,
    events: mpsc::Receiver<TranslationEvent>,
    playout: mpsc::Receiver<PlayOrder>,
    /// End of the next frame.
    at: Instant,
}

/// Starts the recognition of a customer with `stt`, without translation.
async fn hearing(stt: Arc<dyn Stt>) -> Heard {
    let (translator, ..) = client(ProviderKind::Translator).await;
    let (tts, ..) = client(ProviderKind::Tts).await;
    listening(Providers { stt, translator: Arc::new(translator), tts: Arc::new(tts) }, false)
}

fn listening(providers: Providers, translate: bool) -> Heard {
    playing(providers, translate, 1_024)
}

/// Does the same with a player that takes so many orders.
fn playing(providers: Providers, translate: bool, orders: usize) -> Heard {
    let (tap, reader) = tap(1_500);
    let (playout_in, playout) = mpsc::channel(orders);
    let (events_in, events) = mpsc::channel(256);
    let params = PipelineParams {
        listeners: ["en", "es"]
            .map(|language| Listener::new(language, if translate { Hears::Ducked } else { Hears::Original })),
        translate,
        budget: BUDGET,
        glossary: Default::default(),
        clock: Clock::real(),
    };
    let pipeline = start(params, providers, playout_in, events_in);
    assert!(pipeline.set_presence([Presence::JOINED; 2]) && pipeline.follow(Speaker::Customer, reader.into()));
    Heard { pipeline, tap, events, playout, at: clock::now() - Duration::from_secs(20) }
}

impl Heard {
    fn hear(&mut self, sound: &[i16]) {
        for frame in sound.chunks(320) {
            self.at += FRAME;
            self.tap.push(self.at, Some(self.at), FrameKind::Voice, SampleRate::HZ_16000, frame);
        }
    }

    /// Returns the next piece of a voice.
    async fn chunk(&mut self) -> PlayChunk {
        loop {
            match within(self.playout.recv()).await.expect("an order") {
                PlayOrder::Chunk(chunk) => return chunk,
                PlayOrder::Stop { clause, .. } => panic!("clause {clause} is stopped"),
                PlayOrder::Listeners(_) => {}
            }
        }
    }

    async fn event(&mut self) -> TranslationEvent {
        within(self.events.recv()).await.unwrap()
    }
}

fn missed_for(event: &TranslationEvent) -> u64 {
    assert!(event.missed && event.is_final && event.text.is_empty() && event.translation.is_none(), "{event:?}");
    event.began_ms_ago.unwrap() - event.ended_ms_ago.unwrap()
}

/// Serves every link until a speaker has spoken for a while on one; then closes that one and accepts no more.
async fn die_in_mid_segment(listener: TcpListener) {
    let (heard_in, mut heard) = mpsc::channel(1);
    loop {
        tokio::select! {
            mut peer = accept(&listener) => {
                let heard = heard_in.clone();
                tokio::spawn(async move {
                    peer.until("audio-chunk").await;
                    peer.send(&Event::new("transcript-partial").with("text", "My package")).await;
                    for _ in 0..10 {
                        peer.until("audio-chunk").await;
                    }
                    heard.send(()).await.unwrap();
                });
            }
            _ = heard.recv() => return,
        }
    }
}

/// Reads all input and sends no result.
async fn say_nothing(mut peer: Peer) {
    while let Some(event) = peer.next().await {
        if event.kind == "describe" {
            peer.send(&Event::new("info")).await;
        }
    }
}

#[tokio::test]
async fn a_change_of_listening_is_reported_when_the_player_has_room_again() {
    let (stt, ..) = client(ProviderKind::Stt).await;
    let (translator, ..) = client(ProviderKind::Translator).await;
    let (tts, ..) = client(ProviderKind::Tts).await;
    let providers = Providers { stt: Arc::new(stt), translator: Arc::new(translator), tts: Arc::new(tts) };
    // The report at the beginning fills the queue.
    let mut heard = playing(providers, true, 1);
    let original = ListenerPatch { hears: Some(Hears::Original), ..ListenerPatch::default() };
    let changed = heard.pipeline.listening([ListenerPatch::default(), original]).unwrap();
    let changed = within(changed).await.unwrap();
    let mut reports = Vec::new();
    for _ in 0..2 {
        reports.extend(within(heard.playout.recv()).await);
    }
    let begun = ["en", "es"].map(|language| Listener::new(language, Hears::Ducked));
    assert_eq!(reports, [PlayOrder::Listeners(begun), PlayOrder::Listeners(changed)]);
}

#[tokio::test]
async fn a_recogniser_that_dies_in_mid_segment_misses_it_and_all_later_ones() {
    let (stt, listener, mut status) = client(ProviderKind::Stt).await;
    let server = tokio::spawn(die_in_mid_segment(listener));
    let mut call = hearing(Arc::new(stt)).await;
    let sound = speech();
    call.hear(&[0; 16_000]);
    call.hear(&sound);
    let partial = call.event().await;
    assert_eq!((partial.text.as_str(), partial.is_final, partial.missed), ("My package", false, false));
    assert!(partial.began_ms_ago.is_some());
    within(server).await.unwrap();
    while !matches!(within(status.recv()).await.unwrap().state, ProviderState::Restarting(_)) {}
    call.hear(&[0; 16_000]);
    let missed = call.event().await;
    assert_eq!(missed.segment, partial.segment);
    let spoken_ms = sound.len() as u64 / 16;
    let told_ms = missed_for(&missed);
    assert!(told_ms.abs_diff(spoken_ms) < 500, "{told_ms} ms of {spoken_ms}");
    // There is no server any more; the next sentence is at least known to have been spoken.
    call.hear(&sound);
    call.hear(&[0; 16_000]);
    let next = call.event().await;
    assert_eq!(next.segment, missed.segment + 1);
    assert!(missed_for(&next).abs_diff(spoken_ms) < 500);
    within(call.pipeline.stop()).await;
    assert!(call.events.recv().await.is_none());
}

/// Recogniser that cannot be opened.
struct Closed(SpeechError);

impl Stt for Closed {
    fn open<'a>(
        &'a self,
        _: &'a str,
        _: &'a [String],
        _: SampleRate,
    ) -> BoxFuture<'a, Result<SttSession, SpeechError>> {
        Box::pin(async { Err(self.0.clone()) })
    }
}

#[tokio::test]
async fn speech_is_missed_without_a_recogniser_but_not_in_an_unsupported_language() {
    for (error, told) in
        [(SpeechError::Unavailable("gone".into()), 1), (SpeechError::Unsupported("no Spanish".into()), 0)]
    {
        let mut call = hearing(Arc::new(Closed(error))).await;
        call.hear(&[0; 16_000]);
        call.hear(&speech());
        within(call.pipeline.stop()).await;
        let mut events = Vec::new();
        while let Some(event) = call.events.recv().await {
            missed_for(&event);
            events.push(event);
        }
        assert_eq!(events.len(), told, "{events:?}");
    }
}

#[tokio::test]
async fn a_segment_not_finished_before_the_end_of_the_call_is_missed() {
    let (stt, listener, _status): (Client, TcpListener, mpsc::Receiver<ProviderStatus>) =
        client(ProviderKind::Stt).await;
    let server = tokio::spawn(async move {
        loop {
            tokio::spawn(say_nothing(accept(&listener).await));
        }
    });
    let mut call = hearing(Arc::new(stt)).await;
    call.hear(&[0; 16_000]);
    call.hear(&speech());
    within(call.pipeline.stop()).await;
    missed_for(&call.event().await);
    assert!(call.events.recv().await.is_none());
    server.abort();
}

/// Serves every connection of a provider with `answer`, which gets each event.
fn serve<F>(listener: TcpListener, answer: impl Fn(Event) -> F + Clone + Send + Sync + 'static)
where
    F: Future<Output = Vec<Event>> + Send,
{
    tokio::spawn(async move {
        loop {
            let (mut peer, answer) = (accept(&listener).await, answer.clone());
            tokio::spawn(async move {
                while let Some(event) = peer.next().await {
                    for event in answer(event).await {
                        peer.send(&event).await;
                    }
                }
            });
        }
    });
}

/// Samples of the voice of every clause: 0.2 s.
const VOICE: usize = 3_200;

/// Returns providers whose recogniser hears a word in every 300 ms of sound, whose translator writes in capitals, and whose
/// synthesiser speaks for 0.2 s, or fails.
async fn providers(words: &'static str, speaks: bool) -> Providers {
    let (stt, listener, _) = client(ProviderKind::Stt).await;
    tokio::spawn(async move {
        loop {
            let mut peer = accept(&listener).await;
            tokio::spawn(async move {
                let words: Vec<&str> = words.split(' ').collect();
                let mut chunks = 0;
                while let Some(event) = peer.next().await {
                    let count = (chunks / 15).min(words.len());
                    match event.kind.as_str() {
                        "describe" => peer.send(&Event::new("info")).await,
                        "audio-chunk" => {
                            chunks += 1;
                            if chunks % 15 == 0 && count < words.len() {
                                let text = words[..=count].join(" ");
                                peer.send(&Event::new("transcript-partial").with("text", text.as_str())).await;
                            }
                        }
                        "audio-stop" => {
                            peer.send(&Event::new("transcript").with("text", words.join(" ").as_str())).await
                        }
                        _ => {}
                    }
                }
            });
        }
    });
    let (translator, listener, _) = client(ProviderKind::Translator).await;
    serve(listener, |event| async move {
        match event.kind.as_str() {
            "describe" => vec![Event::new("info")],
            "translate" => vec![Event::new("translation").with("text", event.text("text").to_uppercase().as_str())],
            _ => Vec::new(),
        }
    });
    let (tts, listener, _) = client(ProviderKind::Tts).await;
    serve(listener, move |event| async move {
        match event.kind.as_str() {
            "describe" => vec![Event::new("info")],
            "synthesize" if speaks => vec![
                Event::new("audio-start").with("rate", 16_000),
                Event::audio_chunk(16_000, &[1_000; VOICE]),
                Event::new("audio-stop"),
            ],
            "synthesize" => vec![Event::new("error").with("text", "no voice today")],
            _ => Vec::new(),
        }
    });
    Providers { stt: Arc::new(stt), translator: Arc::new(translator), tts: Arc::new(tts) }
}

#[tokio::test]
async fn a_long_sentence_is_heard_in_clauses_before_its_end_and_in_order() {
    const SAID: &str = "yesterday we met the new owner of the house in London and talked about the garden";
    let Heard { pipeline, mut tap, mut events, mut playout, .. } = listening(providers(SAID, true).await, true);
    let pipeline = Arc::new(pipeline);
    let listener = Arc::clone(&pipeline);
    let heard = tokio::spawn(async move {
        let mut clauses = Vec::new();
        while let Some(order) = playout.recv().await {
            let PlayOrder::Chunk(chunk) = order else { continue };
            if clauses.last().is_none_or(|(clause, _)| *clause != chunk.clause) {
                clauses.push((chunk.clause, clock::now()));
                listener.play_started(chunk.clause, clock::now());
            }
            if chunk.last {
                listener.played(Speaker::Agent, chunk.clause);
            }
        }
        clauses
    });
    let sound: Vec<i16> = speech().into_iter().cycle().take(16_000 * 6).collect();
    let mut frames = tokio::time::interval(FRAME);
    for frame in sound.chunks(320) {
        frames.tick().await;
        tap.push(clock::now(), None, FrameKind::Voice, SampleRate::HZ_16000, frame);
    }
    let ended = clock::now();
    for _ in 0..100 {
        frames.tick().await;
        tap.push(clock::now(), None, FrameKind::Silence, SampleRate::HZ_16000, &[0; 320]);
    }
    within(pipeline.stop()).await;
    drop(pipeline);
    let mut last = None;
    while let Some(event) = events.recv().await {
        last = Some(event);
    }
    let heard = within(heard).await.expect("the listener");
    assert!(heard.iter().filter(|(_, at)| *at < ended).count() >= 3, "clauses before the end of speech: {heard:?}");
    assert!(heard.is_sorted_by(|(a, _), (b, _)| a < b), "{heard:?}");
    let event = last.expect("events");
    let clauses: Vec<&str> = event.clauses.iter().map(|clause| clause.text.as_str()).collect();
    assert_eq!((clauses.join(" ").as_str(), event.text.as_str()), (SAID, SAID));
    assert_eq!(event.translation.as_deref(), Some(SAID.to_uppercase().as_str()));
    assert!(event.clauses.iter().all(|clause| clause.lag_ms.total.is_some_and(|ms| ms < 3_000)), "{event:?}");
}

/// Recogniser that takes a second to open.
struct Slow(Arc<dyn Stt>);

impl Stt for Slow {
    fn open<'a>(
        &'a self,
        language: &'a str,
        hints: &'a [String],
        rate: SampleRate,
    ) -> BoxFuture<'a, Result<SttSession, SpeechError>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.0.open(language, hints, rate).await
        })
    }
}

#[tokio::test]
async fn a_slow_opening_loses_no_sound_of_the_first_sentence() {
    const SAID: &str = "my package has not arrived yet";
    let mut providers = providers(SAID, true).await;
    providers.stt = Arc::new(Slow(providers.stt));
    let mut call = listening(providers, false);
    let sound = speech();
    call.hear(&[0; 16_000]);
    call.hear(&sound);
    call.hear(&[0; 32_000]);
    let mut partials = 0;
    let event = loop {
        let event = call.event().await;
        if event.is_final {
            break event;
        }
        partials += 1;
    };
    assert_eq!((event.text.as_str(), event.missed), (SAID, false));
    // The double writes a word for each 300 ms that it gets.
    let expected = (sound.len() / 16 / 300).min(SAID.split(' ').count() - 1);
    assert!(partials >= expected - 1, "{partials} partial texts of {expected}");
}

#[tokio::test]
async fn a_listener_that_reports_no_end_does_not_hold_up_the_next_clause() {
    let mut call = listening(providers("", true).await, true);
    // The agent hears what the customer says; typed text goes the other way.
    for text in ["uno", "dos"] {
        call.pipeline.say(text.to_owned()).expect("room");
    }
    let mut lengths = [0; 2];
    loop {
        let chunk = call.chunk().await;
        assert_eq!(chunk.listener, Speaker::Customer);
        lengths[chunk.clause as usize] += chunk.samples.len();
        if chunk.last && chunk.clause == 1 {
            break;
        }
    }
    assert_eq!(lengths[0], VOICE);
    // It is late by now, and played faster.
    assert!((VOICE * 7 / 10..VOICE).contains(&lengths[1]), "{lengths:?}");
}

#[tokio::test]
async fn a_clause_without_a_voice_is_shown_as_text() {
    let mut call = listening(providers("", false).await, true);
    call.pipeline.say("buenos días".to_owned()).expect("room");
    let event = loop {
        let event = call.event().await;
        if event.clauses.iter().any(|clause| clause.heard != ClauseHeard::Pending) {
            break event;
        }
    };
    assert_eq!((event.clauses[0].heard, event.translation.as_deref()), (ClauseHeard::Text, Some("BUENOS DÍAS")));
    assert!(matches!(call.playout.try_recv(), Ok(PlayOrder::Listeners(_))));
    assert!(call.playout.try_recv().is_err(), "nothing is played");
}

/// The far end of a session.
type FarEnd = (mpsc::Receiver<SttInput>, mpsc::Sender<SttOutput>);

/// Recogniser that takes no sound: its queue is full after one input. Its far ends are kept open by the test.
struct Stuck(mpsc::Sender<FarEnd>);

impl Stt for Stuck {
    fn open<'a>(
        &'a self,
        _: &'a str,
        _: &'a [String],
        _: SampleRate,
    ) -> BoxFuture<'a, Result<SttSession, SpeechError>> {
        let (input, taken) = mpsc::channel(1);
        let (told, output) = mpsc::channel(1);
        self.0.try_send((taken, told)).unwrap();
        Box::pin(async { Ok(SttSession { input, output }) })
    }
}

#[tokio::test]
async fn a_recogniser_that_takes_no_sound_misses_whole_segments_in_order() {
    let (kept_in, _kept) = mpsc::channel(4);
    let mut call = hearing(Arc::new(Stuck(kept_in))).await;
    let sound = speech();
    // More than the 30 s of sound that may wait; all of it from the minute before now.
    let sentences = 33 * 16_000 / sound.len();
    call.at = clock::now() - Duration::from_secs(58);
    let mut pace = tokio::time::interval(TICK * 3);
    for _ in 0..sentences {
        call.hear(&sound);
        call.hear(&[0; 10_000]);
        pace.tick().await;
    }
    let first = call.event().await;
    assert_eq!(first.segment, 1);
    within(call.pipeline.stop()).await;
    let mut missed = vec![first];
    while let Some(event) = call.events.recv().await {
        missed.push(event);
    }
    missed.iter().for_each(|event| assert!(missed_for(event) > 0));
    let numbers: Vec<u64> = missed.iter().map(|event| event.segment).collect();
    assert_eq!(numbers, (1..=sentences as u64).collect::<Vec<_>>());
}

/// Synthesiser that speaks without end, a piece of 100 ms each 5 ms; it reports which texts it began and ended.
struct Endless(mpsc::Sender<(String, bool)>);

impl Tts for Endless {
    fn speak<'a>(&'a self, text: &'a str, _: &'a str) -> BoxFuture<'a, Result<mpsc::Receiver<TtsChunk>, SpeechError>> {
        let (sound, chunks) = mpsc::channel(4);
        let (told, text) = (self.0.clone(), text.to_owned());
        tokio::spawn(async move {
            told.send((text.clone(), true)).await.unwrap();
            let chunk = || TtsChunk { rate_hz: 16_000, samples: vec![1_000; 1_600] };
            while sound.send(chunk()).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            told.send((text, false)).await.unwrap();
        });
        Box::pin(async { Ok(chunks) })
    }
}

#[tokio::test]
async fn a_voice_that_is_not_wanted_any_more_is_not_synthesised_to_its_end() {
    let mut providers = providers("", true).await;
    let (told_in, mut told) = mpsc::channel(16);
    providers.tts = Arc::new(Endless(told_in));
    let mut call = listening(providers, true);
    for text in ["uno", "dos", "tres"] {
        call.pipeline.say(text.to_owned()).expect("room");
    }
    assert_eq!(within(told.recv()).await, Some(("UNO".to_owned(), true)));
    let first = call.chunk().await;
    // The customer is set aside: what plays is stopped, and what waits is not spoken.
    assert!(call.pipeline.set_presence([Presence::default(), Presence::JOINED]));
    let stop = loop {
        match within(call.playout.recv()).await.expect("an order") {
            PlayOrder::Stop { listener, clause } => break (listener, clause),
            PlayOrder::Chunk(_) | PlayOrder::Listeners(_) => {}
        }
    };
    assert_eq!(stop, (Speaker::Customer, first.clause));
    assert_eq!(within(told.recv()).await, Some(("UNO".to_owned(), false)));
    assert!(call.pipeline.set_presence([Presence::JOINED; 2]));
    call.pipeline.say("cuatro".to_owned()).expect("room");
    assert_eq!(within(told.recv()).await, Some(("CUATRO".to_owned(), true)), "what was given up is left out");
}

#[tokio::test]
async fn a_voice_without_end_is_cut_after_a_minute_and_the_next_one_is_heard() {
    let mut providers = providers("", true).await;
    let (told_in, mut told) = mpsc::channel(16);
    providers.tts = Arc::new(Endless(told_in));
    let mut call = listening(providers, true);
    call.pipeline.say("uno".to_owned()).expect("room");
    let mut length = Duration::ZERO;
    loop {
        let chunk = call.chunk().await;
        length += duration(chunk.samples.len(), chunk.rate);
        if chunk.last {
            call.pipeline.played(chunk.listener, chunk.clause);
            break;
        }
    }
    assert_eq!(length.as_millis(), VOICE_MAX.as_millis());
    call.pipeline.say("dos".to_owned()).expect("room");
    let mut begun = Vec::new();
    while begun.len() < 3 {
        begun.push(within(told.recv()).await.expect("a report"));
    }
    // The end of one voice and the beginning of the next are reported by different tasks.
    begun.sort();
    assert_eq!(begun, [("DOS".to_owned(), true), ("UNO".to_owned(), false), ("UNO".to_owned(), true)]);
}

#[tokio::test]
async fn a_pipeline_is_idle_only_when_nothing_is_heard_translated_or_spoken() {
    let mut call = listening(providers("we met", true).await, true);
    assert!(within(call.pipeline.is_idle()).await);
    call.pipeline.say("uno".to_owned()).expect("room");
    assert!(!within(call.pipeline.is_idle()).await, "it is being translated");
    loop {
        let chunk = call.chunk().await;
        assert!(!within(call.pipeline.is_idle()).await, "the voice is not heard to its end");
        if chunk.last {
            call.pipeline.played(chunk.listener, chunk.clause);
            break;
        }
    }
    assert!(within(call.pipeline.is_idle()).await);
}

/// A recogniser that reports the languages in which it is opened, and cannot be opened.
struct Languages(mpsc::Sender<String>);

impl Stt for Languages {
    fn open<'a>(
        &'a self,
        language: &'a str,
        _: &'a [String],
        _: SampleRate,
    ) -> BoxFuture<'a, Result<SttSession, SpeechError>> {
        self.0.try_send(language.to_owned()).unwrap();
        Box::pin(async { Err(SpeechError::Unavailable("closed".into())) })
    }
}

#[tokio::test]
async fn a_side_that_changes_its_language_is_recognised_and_spoken_to_in_it() {
    let mut providers = providers("", true).await;
    let (told_in, mut told) = mpsc::channel(16);
    providers.stt = Arc::new(Languages(told_in));
    let mut call = listening(providers, true);
    call.hear(&[0; 1_600]);
    assert_eq!(within(told.recv()).await.as_deref(), Some("en"));
    let choice = |language: &str, hears| ListenerPatch { language: Some(language.to_owned()), hears };
    let patches = [choice("fr", None), choice("de", Some(Hears::Translation))];
    let both = within(call.pipeline.listening(patches).expect("room")).await.expect("an answer");
    let shown = both.each_ref().map(|listener| (listener.language.as_str(), listener.hears));
    assert_eq!(shown, [("fr", Hears::Ducked), ("de", Hears::Translation)]);
    call.hear(&[0; 1_600]);
    assert_eq!(within(told.recv()).await.as_deref(), Some("fr"));
    call.pipeline.say("eins".to_owned()).expect("room");
    let event = loop {
        let event = call.event().await;
        if event.leg == "agent" {
            break event;
        }
    };
    assert_eq!((event.source_language.as_str(), event.target_language.as_str()), ("de", "fr"));
    assert_eq!(call.chunk().await.listener, Speaker::Customer);
}
