//! Tests with their own recogniser and translator, which speak the protocol over a real socket, and with a recording on the disk.
//!
//! ```text
//! missed segment, recording of 5 s ─▶ run ─▶ server: a text, or it dies ─▶ what the API shows
//! ```
//!
//! Not here: how segments become missed (`media-engine`), and the list of them on both databases (`store/tests_calls`).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::wyoming::{Decoder, Event};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::*;
use crate::config::{SpeechConfig, SttAddress, speech_config};
use crate::engine::{CallStatus, SpeechProvider, TranslationEvent};
use crate::store::{Change, NewCall, PartId, StorePlace, now};
use crate::tenant::voice_config::VoiceConfig;

/// Sample rate of recorded telephone calls, in hertz.
const RATE: usize = 8_000;
const CUSTOMER: i16 = 1_000;
const AGENT: i16 = -2_000;

/// Reaction of the server to a complete segment.
#[derive(Clone, Copy)]
enum Answer {
    Text(&'static str),
    /// Closes the connection.
    Dies,
}

/// A speech recogniser for tests.
struct Server {
    address: String,
    /// Number of complete segments that it received.
    segments: Arc<AtomicUsize>,
    /// Audio of each segment.
    sound: mpsc::Receiver<Vec<u8>>,
}

impl Server {
    async fn start(answer: Answer) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let segments = Arc::new(AtomicUsize::new(0));
        let (sound_in, sound) = mpsc::channel(SEGMENTS as usize * 8);
        let counted = Arc::clone(&segments);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answer, Arc::clone(&counted), sound_in.clone()));
            }
        });
        Server { address, segments, sound }
    }
}

async fn serve(mut stream: TcpStream, answer: Answer, segments: Arc<AtomicUsize>, heard: mpsc::Sender<Vec<u8>>) {
    let (mut decoder, mut sound) = (Decoder::new(), Vec::new());
    loop {
        while let Some(Ok(event)) = decoder.poll_event() {
            let reply = match event.kind.as_str() {
                "describe" => Event::new("info"),
                "audio-chunk" => {
                    sound.extend(event.payload);
                    continue;
                }
                "audio-stop" => {
                    segments.fetch_add(1, Ordering::Relaxed);
                    heard.try_send(std::mem::take(&mut sound)).unwrap();
                    match answer {
                        Answer::Text(text) => Event::new("transcript").with("text", text),
                        Answer::Dies => return,
                    }
                }
                "translate" => Event::new("translation").with("text", event.text("text").to_uppercase()),
                _ => continue,
            };
            let mut bytes = Vec::new();
            reply.write_to(&mut bytes);
            if stream.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let mut piece = Vec::new();
        if stream.read_buf(&mut piece).await.unwrap_or(0) == 0 {
            return;
        }
        decoder.push(&piece);
    }
}

fn providers(address: &str) -> Providers {
    let provider = || SpeechProvider::Wyoming(address.to_owned());
    let stt = SttAddress::Wyoming(provider());
    let config = SpeechConfig { stt, translator: provider(), tts: provider(), ..SpeechConfig::default() };
    Providers::start(&speech_config(&config), mpsc::channel(64).0)
}

/// Writes a recording of `seconds` with an incomplete header, as a killed server leaves it.
fn recording(folder: &Path, seconds: usize) -> PathBuf {
    let mut bytes = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x02\0".to_vec();
    bytes.extend((RATE as u32).to_le_bytes());
    bytes.extend((RATE as u32 * 4).to_le_bytes());
    bytes.extend(b"\x04\0\x10\0data\0\0\0\0");
    for _ in 0..RATE * seconds {
        bytes.extend(CUSTOMER.to_le_bytes());
        bytes.extend(AGENT.to_le_bytes());
    }
    let path = folder.join("call.wav");
    std::fs::write(&path, bytes).unwrap();
    path
}

struct Scene {
    folder: TempDir,
    store: Store,
    organization: OrganizationId,
    call: Uuid,
    /// Time of the recording's first sample.
    start: Timestamp,
}

/// Creates a call without translation that began ten seconds ago. The test adds the recording, the missed segment and the end.
async fn scene() -> Scene {
    scene_of(VoiceConfig::default()).await
}

async fn scene_of(config: VoiceConfig) -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&StorePlace::new("sqlite:t.db", folder.path())).await.unwrap();
    let organization = store.organization_create("acme").await.unwrap().id;
    let (call, start) = (Uuid::now_v7(), now() - SignedDuration::from_secs(10));
    let new = NewCall {
        id: call,
        organization,
        direction: "inbound",
        mode: None,
        from: None,
        to: "+15555550142".into(),
        agent: None,
        config,
    };
    let scene = Scene { folder, store, organization, call, start };
    scene.record(Change::CallCreated { call: new, at: start }).await;
    scene
}

impl Scene {
    async fn record(&self, change: Change) {
        assert_eq!(self.store.changes_record(&[change]).await.unwrap().unknown, 0);
    }

    /// Adds speech from 2 s to 3 s that was missed and was reported half a second later.
    async fn missed(&self, leg: &str) {
        let event = TranslationEvent {
            segment: 1,
            leg: leg.into(),
            source_language: "en".into(),
            target_language: "es".into(),
            text: String::new(),
            translation: None,
            is_final: true,
            unrecognised: false,
            missed: true,
            began_ms_ago: Some(1_500),
            ended_ms_ago: Some(500),
            lag_ms: Default::default(),
            ..TranslationEvent::default()
        };
        let at = self.start + SignedDuration::from_millis(3_500);
        self.record(Change::Translation { call: self.call, event, at }).await;
    }

    async fn recorded(&self, path: &Path, state: &'static str) {
        let path = path.to_string_lossy().into_owned();
        let at = self.start;
        self.record(Change::Recording {
            call: self.call,
            file: PartId::FIRST,
            of_leg: None,
            channels: Vec::new(),
            path,
            state,
            note: None,
            duration_ms: 5_000,
            at,
        })
        .await;
    }

    async fn end(&self) {
        let (status, cause) = (CallStatus::Ended, Some("normal".into()));
        self.record(Change::CallStatus { call: self.call, status, cause, at: now() }).await;
    }

    async fn repair(&self, providers: &Providers) -> String {
        run(&self.store, Some(providers), self.organization).await.unwrap()
    }

    /// Returns the segment as the API shows it.
    async fn shown(&self) -> serde_json::Value {
        self.store.translation_list(self.organization, self.call).await.unwrap().remove(0)
    }
}

#[tokio::test]
async fn a_call_recorded_without_a_recogniser_gets_its_words_later() {
    let scene = scene().await;
    scene.missed("agent").await;
    scene.recorded(&recording(scene.folder.path(), 5), "started").await;
    let mut server = Server::start(Answer::Text("I lost my card.")).await;
    let present = providers(&server.address);
    assert_eq!(scene.repair(&present).await, "0 segments recognised, 0 failed", "the call is still running");
    scene.end().await;
    scene.recorded(&scene.folder.path().join("call.wav"), "interrupted").await;
    assert_eq!(run(&scene.store, None, scene.organization).await.unwrap(), "no recogniser: 1 segments waiting");

    // While the provider is not available, no try is used up.
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let absent = providers(&nobody);
    for _ in 0..=TRIES {
        let told = scene.repair(&absent).await;
        assert!(told.starts_with("0 segments recognised, 0 failed, 1 waiting"), "{told}");
    }
    assert_eq!(scene.shown().await["missed"], true);

    assert_eq!(scene.repair(&present).await, "1 segments recognised, 0 failed");
    let shown = scene.shown().await;
    assert_eq!((&shown["text"], &shown["missed"]), (&"I lost my card.".into(), &serde_json::Value::Null));
    assert_eq!((&shown["late"], &shown["translation"]), (&true.into(), &serde_json::Value::Null));
    let began_at = scene.start + SignedDuration::from_secs(2);
    assert_eq!(shown["began_at"], began_at.to_string());
    assert_eq!(shown["ended_at"], (began_at + SignedDuration::from_secs(1)).to_string());
    let transcript = scene.store.transcript_list(scene.organization, scene.call).await.unwrap().remove(0);
    assert_eq!((transcript.text.as_str(), transcript.source.as_str()), ("I lost my card.", "recording"));
    assert_eq!(transcript.started_at, began_at);
    // The agent's second of speech with its margins, and no audio of the customer.
    let sound = server.sound.recv().await.unwrap();
    assert_eq!(sound.len(), RATE * 2 * 1_800 / 1_000);
    let (samples, _) = sound.as_chunks::<2>();
    assert!(samples.iter().all(|&sample| i16::from_le_bytes(sample) == AGENT));
    assert_eq!(scene.repair(&present).await, "0 segments recognised, 0 failed");
    assert_eq!(server.segments.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_late_text_of_a_translated_call_is_translated() {
    let scene = scene_of(VoiceConfig { live_translate: true, ..VoiceConfig::default() }).await;
    scene.missed("customer").await;
    scene.recorded(&recording(scene.folder.path(), 5), "finished").await;
    scene.end().await;
    let server = Server::start(Answer::Text("I lost my card.")).await;
    assert_eq!(scene.repair(&providers(&server.address)).await, "1 segments recognised, 0 failed");
    let shown = scene.shown().await;
    assert_eq!((&shown["translation"], &shown["late"]), (&"I LOST MY CARD.".into(), &true.into()));
    let line = scene.store.transcript_list(scene.organization, scene.call).await.unwrap().remove(0);
    assert_eq!(line.translation.as_deref(), Some("I LOST MY CARD."));
    assert_eq!(line.translation_language.as_deref(), Some("es"));
}

#[tokio::test]
async fn after_three_failures_a_segment_is_given_up() {
    let scene = scene().await;
    scene.missed("customer").await;
    scene.recorded(&recording(scene.folder.path(), 5), "finished").await;
    scene.end().await;
    let server = Server::start(Answer::Dies).await;
    let providers = providers(&server.address);
    for _ in 0..TRIES {
        assert_eq!(scene.repair(&providers).await, "0 segments recognised, 1 failed");
    }
    let asked = server.segments.load(Ordering::Relaxed);
    assert!(asked >= TRIES as usize);
    assert_eq!(scene.repair(&providers).await, "0 segments recognised, 0 failed");
    assert_eq!(server.segments.load(Ordering::Relaxed), asked);
    assert_eq!(scene.shown().await["missed"], true);
}

#[tokio::test]
async fn a_truncated_recording_counts_as_a_failure_and_a_missing_one_gives_up() {
    let short = scene().await;
    short.missed("customer").await;
    short.recorded(&recording(short.folder.path(), 1), "finished").await;
    short.end().await;
    let server = Server::start(Answer::Text("never asked")).await;
    let providers = providers(&server.address);
    for _ in 0..TRIES {
        assert_eq!(short.repair(&providers).await, "0 segments recognised, 1 failed");
    }
    assert_eq!(short.repair(&providers).await, "0 segments recognised, 0 failed");
    let never = scene().await;
    never.missed("customer").await;
    never.end().await;
    assert_eq!(never.repair(&providers).await, "0 segments recognised, 0 failed");
    assert_eq!(
        never.store.missed_unrecorded_give_up(never.organization).await.unwrap(),
        0,
        "the segment is given up already"
    );
    assert_eq!(server.segments.load(Ordering::Relaxed), 0);
}
