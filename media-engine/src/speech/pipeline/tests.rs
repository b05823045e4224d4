//! Tests of a pipeline with a recogniser that fails: a server in the test, over a real socket.

use std::process::Command;

use tokio::net::TcpListener;
use wyoming::Event;

use super::*;
use crate::audio::tap::{FrameKind, TapWriter, tap};
use crate::speech::wyoming::Client;
use crate::speech::wyoming::tests::{Peer, accept, client, within};
use crate::speech::{BoxFuture, ProviderKind, ProviderState, ProviderStatus, Stt, TtsChunk};

const FRAME: Duration = Duration::from_millis(20);

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
    _playout: mpsc::Receiver<PlayChunk>,
    /// End of the next frame.
    at: Instant,
}

/// Starts one direction with `stt`, without translation.
async fn hearing(stt: Arc<dyn Stt>) -> Heard {
    let (translator, ..) = client(ProviderKind::Translator).await;
    let (tts, ..) = client(ProviderKind::Tts).await;
    let providers = Providers { stt, translator: Arc::new(translator), tts: Arc::new(tts) };
    let (tap, reader) = tap(1_000);
    let (playout, _playout) = mpsc::channel(16);
    let (events_in, events) = mpsc::channel(64);
    let params = PipelineParams {
        leg_name: "customer",
        source_language: "en".to_owned(),
        target_language: "es".to_owned(),
        translate: false,
        voice: false,
        first_segment: Arc::new(AtomicU64::new(1)),
    };
    let pipeline = start(params, Some(reader), providers, playout, events_in);
    Heard { pipeline, tap, events, _playout, at: clock::now() - Duration::from_secs(20) }
}

impl Heard {
    fn hear(&mut self, sound: &[i16]) {
        for frame in sound.chunks(320) {
            self.at += FRAME;
            self.tap.push(self.at, Some(self.at), FrameKind::Voice, SampleRate::HZ_16000, frame);
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
    fn open<'a>(&'a self, _: &'a str, _: SampleRate) -> BoxFuture<'a, Result<SttSession, SpeechError>> {
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
