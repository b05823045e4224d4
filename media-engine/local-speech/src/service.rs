//! One connection: events in, events out.
//!
//! ```text
//!   reader ─┬─ transcribe, audio-* ─▶ [queue] ─▶ recognition thread ─┐
//!           ├─ translate ───────────▶ [queue] ─▶ translation thread ─┼─▶ one writer, an event at a time
//!           ├─ synthesize ──────────▶ [queue] ─▶ synthesis thread ───┤
//!           └─ describe, ping ───────────────────────────────────────┘
//! ```
//!
//! Extensions of the protocol: `transcript-partial {text}` during speech, `unrecognised` in `transcript`, and `translate {text,
//! source_language, target_language}` answered by `translation {text}`. Errors name the answered event in `request`.
//!
//! Invariants: requests of one kind are answered in order; the queues are bounded (audio waits, and requests beyond the queue are
//! answered with `overloaded`); no input ends the process except its end. Model and pipelines are started by the first event that
//! needs them, the model by `transcribe`.

use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::Result;
use serde_json::{Value, json};
use wyoming::{AudioFormat, Decoder, Event, SampleReader};

use crate::apertium::Apertium;
use crate::espeak;
use crate::phrases::{Language, Phrases};
use crate::recogniser::{Heard, Recogniser};

/// Capacity of the audio queue in pieces: 5 s at 20 ms. When it is full, the reader waits.
const SOUND_QUEUE: usize = 256;
/// Capacity of a request queue.
const REQUEST_QUEUE: usize = 32;
/// Maximum length of a text to translate or speak, in characters.
const MAX_TEXT: usize = 4_000;
/// Maximum length of an utterance, in seconds.
const MAX_UTTERANCE_S: usize = 60;
/// New audio between two partial transcripts, in milliseconds.
const PARTIAL_EVERY_MS: usize = 200;

const SPANISH_IS_NOT_HEARD: &str = "only English speech can be recognised offline; type what was said in another \
                                    language, or configure another recogniser";

/// Reason for refusing a request: a code for programs and a sentence for people.
struct Refusal {
    code: &'static str,
    text: String,
}

impl Refusal {
    fn new(code: &'static str, text: impl ToString) -> Refusal {
        Refusal { code, text: text.to_string() }
    }
}

impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Refusal {
        Refusal::new("failed", format!("{error:#}"))
    }
}

/// Output of a connection, shared by its threads.
#[derive(Clone)]
struct Outlet(Arc<Mutex<Box<dyn Write + Send>>>);

impl Outlet {
    fn send(&self, event: &Event) -> Result<()> {
        let mut bytes = Vec::new();
        event.write_to(&mut bytes);
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writer.write_all(&bytes)?;
        writer.flush()?;
        Ok(())
    }

    fn refuse(&self, request: &str, refusal: &Refusal) -> Result<()> {
        self.send(&Event::error(refusal.code, &refusal.text).with("request", request))
    }
}

/// Serves one connection until its input ends or becomes unreadable; earlier requests are still answered.
pub(crate) fn serve(mut input: impl Read, output: Box<dyn Write + Send>, phrases: &Arc<Phrases>) -> Result<()> {
    let outlet = Outlet(Arc::new(Mutex::new(output)));
    let lanes = Lanes::start(&outlet, phrases)?;
    let mut decoder = Decoder::new();
    let mut block = vec![0_u8; 16 * 1024];
    loop {
        let count = input.read(&mut block)?;
        if count == 0 {
            return lanes.finish();
        }
        decoder.push(&block[..count]);
        while let Some(found) = decoder.poll_event() {
            match found {
                Ok(event) => lanes.dispatch(event, &outlet)?,
                Err(error) => {
                    outlet.send(&Event::error("bad-request", &error.to_string()))?;
                    if error.is_fatal() {
                        return lanes.finish();
                    }
                }
            }
        }
    }
}

/// Queues to the threads, which end when the queues are dropped.
struct Lanes {
    recognition: SyncSender<Event>,
    translation: SyncSender<Event>,
    synthesis: SyncSender<Event>,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Lanes {
    fn start(outlet: &Outlet, phrases: &Arc<Phrases>) -> Result<Lanes> {
        let (recognition, sound) = sync_channel(SOUND_QUEUE);
        let (translation, texts) = sync_channel(REQUEST_QUEUE);
        let (synthesis, speeches) = sync_channel(REQUEST_QUEUE);
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let (way_out, known) = (outlet.clone(), Arc::clone(phrases));
        let mut threads = Vec::with_capacity(3);
        // The recogniser is not `Send`, so it is created on the thread that uses it.
        threads.push(thread("recognition").spawn(move || Listener::new(way_out, known).run(&sound))?);
        let (way_out, known) = (outlet.clone(), Arc::clone(phrases));
        threads.push(thread("translation").spawn(move || translate_all(&texts, &way_out, &known))?);
        let way_out = outlet.clone();
        threads.push(thread("synthesis").spawn(move || speak_all(&speeches, &way_out))?);
        Ok(Lanes { recognition, translation, synthesis, threads })
    }

    /// Waits until all requests are answered, or the peer has closed the connection (a thread that cannot write ends).
    fn finish(self) -> Result<()> {
        drop((self.recognition, self.translation, self.synthesis));
        for thread in self.threads {
            thread.join().map_err(|_| anyhow::anyhow!("a thread of the connection panicked"))??;
        }
        Ok(())
    }

    fn dispatch(&self, event: Event, outlet: &Outlet) -> Result<()> {
        match event.kind.as_str() {
            "describe" => outlet.send(&info()),
            "ping" => outlet.send(&Event::new("pong").with("text", event.text("text"))),
            // Audio arrives in real time: if it is not processed in time, its sender blocks and drops audio.
            "transcribe" | "audio-start" | "audio-chunk" | "audio-stop" => {
                self.recognition.send(event).map_err(|_| anyhow::anyhow!("recognition has ended"))
            }
            "translate" => enqueue(&self.translation, event, outlet),
            "synthesize" => enqueue(&self.synthesis, event, outlet),
            other => {
                let name: String = other.chars().take(64).collect();
                outlet.refuse(
                    &name,
                    &Refusal::new("unknown-event", format!("no event of the name `{name}` is known here")),
                )
            }
        }
    }
}

fn enqueue(queue: &SyncSender<Event>, event: Event, outlet: &Outlet) -> Result<()> {
    match queue.try_send(event) {
        Ok(()) => Ok(()),
        Err(TrySendError::Full(event)) => {
            outlet.refuse(&event.kind, &Refusal::new("overloaded", "too many requests are waiting"))
        }
        Err(TrySendError::Disconnected(event)) => anyhow::bail!("the thread for {} has ended", event.kind),
    }
}

/// Recognition of one connection's audio.
struct Listener {
    outlet: Outlet,
    phrases: Arc<Phrases>,
    recogniser: Option<Recogniser>,
    /// Whether the language of the last `transcribe` was refused.
    refused_language: bool,
    utterance: Option<Utterance>,
}

struct Utterance {
    format: AudioFormat,
    reader: SampleReader,
    samples: usize,
    samples_at_partial: usize,
    partial: String,
}

impl Listener {
    fn new(outlet: Outlet, phrases: Arc<Phrases>) -> Listener {
        Listener { outlet, phrases, recogniser: None, refused_language: false, utterance: None }
    }

    fn run(mut self, sound: &Receiver<Event>) -> Result<()> {
        while let Ok(event) = sound.recv() {
            let request = if event.kind == "transcribe" { "transcribe" } else { "audio" };
            if let Err(refusal) = self.handle(&event)? {
                self.utterance = None;
                self.outlet.refuse(request, &refusal)?;
            }
        }
        Ok(())
    }

    /// Handles an event. The outer error means that the output is closed.
    fn handle(&mut self, event: &Event) -> Result<Result<(), Refusal>> {
        match event.kind.as_str() {
            "transcribe" => Ok(self.transcribe(event)),
            "audio-start" => Ok(self.start(event)),
            "audio-chunk" => self.chunk(event),
            _ => self.stop(),
        }
    }

    fn transcribe(&mut self, event: &Event) -> Result<(), Refusal> {
        let language = event.text("language");
        self.refused_language = !language.is_empty() && Language::from_tag(language) != Some(Language::English);
        if self.refused_language {
            return Err(Refusal::new("unsupported-language", SPANISH_IS_NOT_HEARD));
        }
        self.recogniser().map(|_| ())
    }

    fn recogniser(&mut self) -> Result<&mut Recogniser, Refusal> {
        if self.recogniser.is_none() {
            let loaded = Recogniser::load(Arc::clone(&self.phrases));
            self.recogniser = Some(loaded.map_err(|error| Refusal::new("not-installed", format!("{error:#}")))?);
        }
        self.recogniser.as_mut().ok_or_else(|| Refusal::new("failed", "no recogniser"))
    }

    fn start(&mut self, event: &Event) -> Result<(), Refusal> {
        if self.refused_language {
            return Err(Refusal::new("unsupported-language", SPANISH_IS_NOT_HEARD));
        }
        let format = AudioFormat::of(event).filter(|format| format.width == 2 && format.channels == 1);
        let Some(format) = format else {
            return Err(Refusal::new("unsupported-audio", "send mono, 2 bytes a sample, with `rate` in audio-start"));
        };
        self.recogniser()?.start(format.rate).map_err(|error| Refusal::new("unsupported-audio", error))?;
        let reader = SampleReader::default();
        self.utterance = Some(Utterance { format, reader, samples: 0, samples_at_partial: 0, partial: String::new() });
        Ok(())
    }

    fn chunk(&mut self, event: &Event) -> Result<Result<(), Refusal>> {
        // Audio outside an utterance was answered at its start, or belongs to a refused one.
        let (Some(utterance), Some(recogniser)) = (&mut self.utterance, &mut self.recogniser) else {
            return Ok(Ok(()));
        };
        let rate = utterance.format.rate as usize;
        if utterance.samples >= rate * MAX_UTTERANCE_S {
            return Ok(Ok(()));
        }
        let mut samples = Vec::with_capacity(event.payload.len() / 2 + 1);
        utterance.reader.read(&event.payload, &mut samples);
        utterance.samples += samples.len();
        if let Err(error) = recogniser.feed(&samples) {
            return Ok(Err(error.into()));
        }
        if utterance.samples - utterance.samples_at_partial >= rate * PARTIAL_EVERY_MS / 1_000 {
            utterance.samples_at_partial = utterance.samples;
            let partial = recogniser.partial().unwrap_or_default();
            if !partial.is_empty() && partial != utterance.partial {
                self.outlet.send(&Event::new("transcript-partial").with("text", partial.as_str()))?;
                utterance.partial = partial;
            }
        }
        Ok(Ok(()))
    }

    fn stop(&mut self) -> Result<Result<(), Refusal>> {
        let (Some(_), Some(recogniser)) = (self.utterance.take(), &mut self.recogniser) else {
            return Ok(Ok(()));
        };
        match recogniser.finish() {
            Ok(Heard { text, unrecognised }) => {
                let transcript = Event::new("transcript").with("text", text).with("language", "en");
                self.outlet.send(&transcript.with("unrecognised", unrecognised))?;
                Ok(Ok(()))
            }
            Err(error) => Ok(Err(error.into())),
        }
    }
}

fn translate_all(texts: &Receiver<Event>, outlet: &Outlet, phrases: &Phrases) -> Result<()> {
    let mut to_spanish = Apertium::new(Language::Spanish);
    let mut to_english = Apertium::new(Language::English);
    while let Ok(event) = texts.recv() {
        let (from, to) = (event.text("source_language"), event.text("target_language"));
        let translated = match (Language::from_tag(from), Language::from_tag(to)) {
            (Some(source), Some(target)) if source == target => Ok(event.text("text").to_owned()),
            (Some(_), Some(target)) => {
                let apertium = if target == Language::Spanish { &mut to_spanish } else { &mut to_english };
                translate(event.text("text"), target, phrases, apertium)
            }
            _ => Err(Refusal::new(
                "unsupported-language",
                format!("`{from}` to `{to}` cannot be translated offline; en and es can"),
            )),
        };
        match translated {
            Ok(text) => outlet.send(&Event::new("translation").with("text", text).with("language", to))?,
            Err(refusal) => outlet.refuse("translate", &refusal)?,
        }
    }
    Ok(())
}

fn translate(text: &str, target: Language, phrases: &Phrases, apertium: &mut Apertium) -> Result<String, Refusal> {
    check_length(text)?;
    if let Some(known) = phrases.look_up(text, target) {
        return Ok(known);
    }
    Apertium::check_installed(target).map_err(|error| Refusal::new("not-installed", error))?;
    // A pipeline that died since the last sentence is restarted once.
    apertium.translate(text).or_else(|_| apertium.translate(text)).map_err(Refusal::from)
}

fn speak_all(speeches: &Receiver<Event>, outlet: &Outlet) -> Result<()> {
    while let Ok(event) = speeches.recv() {
        if let Err(refusal) = speak(&event, outlet) {
            outlet.refuse("synthesize", &refusal)?;
        }
    }
    Ok(())
}

fn speak(event: &Event, outlet: &Outlet) -> Result<(), Refusal> {
    let text = event.text("text");
    check_length(text)?;
    let of_voice = |name: &str| {
        let voice = event.data.get("voice").and_then(|voice| voice.get(name));
        voice.and_then(Value::as_str).unwrap_or_default()
    };
    let (name, tag) = (of_voice("name"), of_voice("language"));
    let language = if tag.is_empty() { Some(Language::English) } else { Language::from_tag(tag) };
    let Some(language) = language else {
        return Err(Refusal::new("unsupported-language", format!("`{tag}` is not spoken here; en and es are")));
    };
    espeak::check_installed().map_err(|error| Refusal::new("not-installed", error))?;
    let mut rate_sent = None;
    espeak::speak(text, &espeak::voice(language, name), |rate, samples| {
        if rate_sent.replace(rate).is_none() {
            outlet.send(&Event::audio_start(AudioFormat::mono(rate)))?;
        }
        outlet.send(&Event::audio_chunk(rate, samples))
    })?;
    if rate_sent.is_none() {
        outlet.send(&Event::audio_start(AudioFormat::mono(22_050)))?;
    }
    outlet.send(&Event::new("audio-stop")).map_err(Refusal::from)
}

fn check_length(text: &str) -> Result<(), Refusal> {
    if text.trim().is_empty() {
        return Err(Refusal::new("bad-request", "`text` is empty"));
    }
    if text.chars().count() > MAX_TEXT {
        return Err(Refusal::new("bad-request", format!("`text` is longer than {MAX_TEXT} characters")));
    }
    Ok(())
}

/// Answer to `describe`: the available services, and the packages to install for the others.
fn info() -> Event {
    let entry = |name: &str, installed: Result<()>, more: Value| {
        let mut entry = json!({
            "name": name,
            "attribution": {"name": name, "url": ""},
            "installed": installed.is_ok(),
            "description": installed.map_or_else(|missing| missing.to_string(), |()| "usable".to_owned()),
            "version": Value::Null,
        });
        if let (Some(entry), Value::Object(more)) = (entry.as_object_mut(), more) {
            entry.extend(more);
        }
        Value::Array(vec![entry])
    };
    let model = |name: &str, languages: &[&str]| {
        json!([{"name": name, "languages": languages, "installed": true,
        "attribution": {"name": name, "url": ""}, "description": name, "version": Value::Null}])
    };
    let translation = Apertium::check_installed(Language::Spanish).and(Apertium::check_installed(Language::English));
    Event::new("info")
        .with("asr", entry("pocketsphinx", Recogniser::check_installed(), json!({"models": model("en-us", &["en"])})))
        .with(
            "tts",
            entry("espeak-ng", espeak::check_installed(), json!({"voices": model("espeak-ng", &["en", "es"])})),
        )
        .with("translate", entry("apertium", translation, json!({"pairs": [["en", "es"], ["es", "en"]]})))
}

/// Entry point for fuzzing.
#[cfg(test)]
pub(crate) mod fuzz {
    use super::{Arc, Phrases, serve};

    /// Serves arbitrary bytes as a whole connection to its end; must not panic.
    pub(crate) fn fuzz_connection(bytes: &[u8], phrases: &Arc<Phrases>) {
        serve(bytes, Box::new(std::io::sink()), phrases).expect("a sink takes everything");
    }
}

#[cfg(test)]
mod tests;
