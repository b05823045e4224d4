//! Live translation with the real local speech process: audio in, text, translation and speech out.
//!
//! ```text
//!   espeak-ng (through the process) ─▶ 8 kHz, µ-law ─▶ tap ─▶ pipeline ─▶ events, voice
//! ```
//!
//! Frames are delivered faster than real time; their timestamps give the time at which they were spoken.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use codecs::SampleRate;
use codecs::g711::{ulaw_decode, ulaw_encode};
use codecs::resample::Resampler;
use codecs::tones::level_dbfs;
use media_engine::audio::tap::{FrameKind, TapReader, TapWriter, tap};
use media_engine::config::{SpeechConfig, SpeechProvider};
use media_engine::engine::{ProviderKind, ProviderState};
use media_engine::net::clock;
use media_engine::speech::pipeline::{self, Clock, Pipeline, PipelineParams, PlayOrder};
use media_engine::speech::{BoxFuture, ProviderStatus, Providers, SpeechError, Translator, Tts, TtsChunk};
use media_engine::translate::schedule::BUDGET;
use media_engine::translate::{Hears, Listener, Presence, Speaker, TranslationEvent};
use tokio::sync::mpsc;

const NARROW: SampleRate = SampleRate::HZ_8000;
const PROGRAM: &str = "tandem-local-speech";
/// Deadline of every wait: a loaded machine may be slow, and a lost event never arrives.
const PATIENCE: Duration = Duration::from_secs(30);

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("the expected event did not arrive within 30 s")
}

/// Path of the process's binary from the same build.
fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let built = tests.ancestors().nth(2).unwrap().join(PROGRAM);
    assert!(built.is_file(), "{} is missing: run `cargo build -p {PROGRAM}`", built.display());
    built
}

/// Starts the providers with `program` and waits until all are up.
async fn providers(program: &Path) -> (Providers, mpsc::Receiver<ProviderStatus>) {
    let local = || SpeechProvider::Local(Some(program.to_owned()));
    let (status_in, mut status) = mpsc::channel(64);
    let providers =
        Providers::start(&SpeechConfig { stt: local().into(), translator: local(), tts: local() }, status_in);
    let mut missing = vec![ProviderKind::Stt, ProviderKind::Translator, ProviderKind::Tts];
    while !missing.is_empty() {
        let ProviderStatus { kind, state, .. } = within(status.recv()).await.unwrap();
        assert_eq!(state, ProviderState::Up, "{kind:?}");
        missing.retain(|waiting| *waiting != kind);
    }
    (providers, status)
}

/// One side of a call and its listener, as the engine creates them.
struct Direction {
    pipeline: Pipeline,
    tap: TapWriter,
    voice: mpsc::Receiver<PlayOrder>,
    events: mpsc::Receiver<TranslationEvent>,
}

/// Starts the translation of a call between English and Spanish, and hears one side of it.
fn direction(providers: &Providers, speaker: Speaker) -> Direction {
    let (tap, reader): (TapWriter, TapReader) = tap(1_000);
    let (voice_in, voice) = mpsc::channel(512);
    let (events_in, events) = mpsc::channel(512);
    let params = PipelineParams {
        listeners: ["en", "es"].map(|language| Listener::new(language, Hears::Ducked)),
        translate: true,
        budget: BUDGET,
        glossary: Default::default(),
        clock: Clock::real(),
    };
    let pipeline = pipeline::start(params, providers.clone(), voice_in, events_in);
    assert!(pipeline.set_presence([Presence::JOINED; 2]) && pipeline.follow(speaker, reader.into()));
    Direction { pipeline, tap, voice, events }
}

impl Direction {
    /// Delivers `sound` followed by a second of silence, as if its last sample were received now.
    fn hear(&mut self, sound: &[i16]) {
        let mut line = vec![0; 1_600];
        line.extend_from_slice(sound);
        line.extend(vec![0; 8_000]);
        self.push(&line);
    }

    fn push(&mut self, line: &[i16]) {
        let frames = line.chunks(160);
        let began = clock::now() - Duration::from_millis(20) * frames.len() as u32;
        for (number, frame) in frames.enumerate() {
            let at = began + Duration::from_millis(20) * (number as u32 + 1);
            self.tap.push(at, Some(at), FrameKind::Voice, NARROW, frame);
        }
    }

    async fn event(&mut self) -> TranslationEvent {
        within(self.events.recv()).await.unwrap()
    }

    /// Waits for the next event for which `holds` returns true.
    async fn event_where(&mut self, holds: impl Fn(&TranslationEvent) -> bool) -> TranslationEvent {
        loop {
            let event = self.event().await;
            if holds(&event) {
                return event;
            }
        }
    }

    /// Returns whether nothing more is played until the end of the pipeline.
    async fn is_silent(&mut self) -> bool {
        while let Some(order) = self.voice.recv().await {
            if !matches!(order, PlayOrder::Listeners(_)) {
                return false;
            }
        }
        true
    }

    /// Collects the speech of a whole clause; its start and its end are reported to the pipeline, as a worker does.
    async fn voice(&mut self) -> (u64, Vec<i16>) {
        let mut samples = Vec::new();
        loop {
            let chunk = match within(self.voice.recv()).await.unwrap() {
                PlayOrder::Chunk(chunk) => chunk,
                PlayOrder::Stop { clause, .. } => panic!("clause {clause} is stopped"),
                PlayOrder::Listeners(_) => continue,
            };
            if samples.is_empty() && !chunk.samples.is_empty() {
                self.pipeline.play_started(chunk.clause, clock::now());
            }
            samples.extend_from_slice(&chunk.samples);
            if chunk.last {
                self.pipeline.played(chunk.listener, chunk.clause);
                return (chunk.clause, samples);
            }
        }
    }
}

/// Synthesises the process's English voice and passes it through telephone quality.
async fn telephone(providers: &Providers, text: &str) -> Vec<i16> {
    let (rate, samples) = within(providers.utterance(text, "en")).await.unwrap();
    let narrow = Resampler::new(rate, NARROW).converted(&samples);
    narrow.iter().map(|&sample| ulaw_decode(ulaw_encode(sample / 8 * 5))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn english_phrases_become_spanish_text_and_speech_with_every_lag_measured() {
    let (providers, _status) = providers(&program()).await;
    let mut call = direction(&providers, Speaker::Customer);
    let phrases = [
        ("My package has not arrived yet.", "Mi paquete no ha llegado todavía."),
        ("I would like to change my delivery address.", "Quisiera cambiar mi dirección de entrega."),
        ("Can you call me back tomorrow?", "¿Puede volver a llamarme mañana?"),
    ];
    for (number, (english, spanish)) in (1..).zip(phrases) {
        let sound = telephone(&providers, english).await;
        call.hear(&sound);
        let partial = call.event().await;
        assert!(!partial.is_final && english.starts_with(&partial.text), "{partial:?}");
        let last = call.event_where(|event| event.is_final).await;
        assert_eq!((last.segment, last.text.as_str(), last.translation), (number, english, None));
        assert!(last.lag_ms.stt.is_some());
        let (clause, voice) = call.voice().await;
        assert_eq!(clause + 1, number, "one clause for each sentence");
        assert!(level_dbfs(&voice) > -40.0 && voice.len() > 8_000, "{} samples", voice.len());
        let done = call.event_where(|event| event.lag_ms.total.is_some()).await;
        assert_eq!(done.translation.as_deref(), Some(spanish));
        let lag = done.lag_ms;
        let sum = lag.stt.unwrap() + lag.translate.unwrap() + lag.tts.unwrap();
        assert!(lag.total.unwrap().abs_diff(sum) <= 3, "stages and total differ: {lag:?}");
        println!("{english} -> {spanish} {lag:?}");
    }
    within(call.pipeline.stop()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_speech_is_reported_as_unrecognised_and_not_spoken() {
    let (providers, _status) = providers(&program()).await;
    let mut call = direction(&providers, Speaker::Customer);
    let sound = telephone(&providers, "My grandmother used to bake bread every Friday.").await;
    call.hear(&sound);
    let last = call.event_where(|event| event.is_final).await;
    assert!(last.unrecognised && last.text.is_empty() && last.translation.is_none(), "{last:?}");
    within(call.pipeline.stop()).await;
    assert!(call.is_silent().await, "nothing is spoken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_killed_in_mid_sentence_restarts_and_translates_the_next_one() {
    // A distinct path distinguishes this test's processes from those of other tests.
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join(PROGRAM);
    std::os::unix::fs::symlink(program(), &own).unwrap();
    let (providers, mut status) = providers(&own).await;
    let sound = telephone(&providers, "I lost my card.").await;
    let mut call = direction(&providers, Speaker::Customer);
    // The first part of a sentence, until its first words are reported.
    call.push(&sound[..sound.len() * 3 / 4]);
    call.event().await;

    assert!(kill_children(&own) >= 3, "one process for each provider");
    let mut restarted = false;
    loop {
        let ProviderStatus { kind, state, .. } = within(status.recv()).await.unwrap();
        match state {
            ProviderState::Restarting(_) if kind == ProviderKind::Stt => restarted = true,
            ProviderState::Up if kind == ProviderKind::Stt && restarted => break,
            _ => {}
        }
    }
    // Silence ends the interrupted segment; the next one is complete again.
    call.push(&[0; 16_000]);
    call.hear(&sound);
    let done = call.event_where(|event| event.translation.is_some()).await;
    assert_eq!((done.text.as_str(), done.translation.as_deref()), ("I lost my card.", Some("Perdí mi tarjeta.")));
    let (clause, voice) = call.voice().await;
    assert_eq!(Some(clause), done.clauses.first().map(|clause| clause.clause));
    assert!(level_dbfs(&voice) > -40.0);
    within(call.pipeline.stop()).await;
}

/// Kills the children of this process that run `program`; returns their number.
fn kill_children(program: &Path) -> usize {
    let us = std::process::id().to_string();
    let listed = Command::new("ps").args(["-o", "pid=,args=", "--ppid", &us]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let ours = listed.lines().filter(|line| line.contains(program.to_str().unwrap()));
    ours.filter(|line| {
        let pid = line.split_whitespace().next().unwrap();
        Command::new("kill").args(["-9", pid]).status().unwrap().success()
    })
    .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spanish_speech_is_reported_unsupported_and_typed_spanish_is_spoken_in_english() {
    let (providers, mut status) = providers(&program()).await;
    let mut call = direction(&providers, Speaker::Agent);
    call.hear(&[0; 1_600]);
    let text = loop {
        if let ProviderState::Unsupported(text) = within(status.recv()).await.unwrap().state {
            break text;
        }
    };
    assert!(text.contains("es") && text.contains("type"), "{text}");
    call.pipeline.say("Su pedido sale el lunes.".to_owned()).unwrap();
    let (_, voice) = call.voice().await;
    assert!(level_dbfs(&voice) > -40.0);
    let done = call.event_where(|event| event.lag_ms.total.is_some()).await;
    assert_eq!(done.translation.as_deref(), Some("Your order ships on Monday."));
    within(call.pipeline.stop()).await;
    assert!(status.try_recv().is_err(), "reported once");
}

/// A provider that always fails.
struct Broken;

impl Translator for Broken {
    fn translate<'a>(&'a self, _: &'a str, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<String, SpeechError>> {
        Box::pin(async { Err(SpeechError::Refused("out of words".into())) })
    }
}

impl Tts for Broken {
    fn speak<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<mpsc::Receiver<TtsChunk>, SpeechError>> {
        Box::pin(async { Err(SpeechError::Refused("hoarse".into())) })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_is_shown_when_it_cannot_be_translated_or_spoken() {
    let (providers, _status) = providers(&program()).await;
    let sound = telephone(&providers, "I lost my card.").await;
    let mute = Providers { tts: Arc::new(Broken), ..providers.clone() };
    let mut call = direction(&mute, Speaker::Customer);
    call.hear(&sound);
    let shown = call.event_where(|event| event.translation.is_some()).await;
    assert_eq!(shown.translation.as_deref(), Some("Perdí mi tarjeta."));
    within(call.pipeline.stop()).await;

    let dumb = Providers { translator: Arc::new(Broken), ..providers };
    let mut call = direction(&dumb, Speaker::Customer);
    call.hear(&sound);
    let shown = call.event_where(|event| event.is_final).await;
    assert_eq!((shown.text.as_str(), shown.translation), ("I lost my card.", None));
    within(call.pipeline.stop()).await;
    assert!(call.is_silent().await, "nothing is spoken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_model_is_reported_with_its_package_and_the_rest_works() {
    let folder = tempfile::tempdir().unwrap();
    let wrapper = folder.path().join(PROGRAM);
    // Another process writes the script: if this process had it open for writing, starting it could fail with "text file busy".
    let script =
        "printf '#!/bin/sh\\nTANDEM_LOCAL_SPEECH_MODEL=/nonexistent exec %s\\n' \"$1\" > \"$2\" && chmod +x \"$2\"";
    let written = Command::new("sh").args(["-c", script, "sh"]).arg(program()).arg(&wrapper).status().unwrap();
    assert!(written.success());
    let local = || SpeechProvider::Local(Some(wrapper.clone()));
    let (status_in, mut status) = mpsc::channel(64);
    let providers =
        Providers::start(&SpeechConfig { stt: local().into(), translator: local(), tts: local() }, status_in);
    let down = loop {
        let ProviderStatus { kind, state, .. } = within(status.recv()).await.unwrap();
        if kind == ProviderKind::Stt {
            break state;
        }
    };
    let ProviderState::Down(text) = down else { panic!("{down:?}") };
    assert!(text.contains("apt-get install pocketsphinx-en-us"), "{text}");
    assert_eq!(within(providers.translator.translate("hello", "en", "es")).await.as_deref(), Ok("Hola."));
}
