//! What the pipelines add to the lag of a translation, and what they cost, in 50 calls whose sides both talk without a pause.
//!
//! ```text
//! numbered frames ─▶ taps ─▶ pipelines, one thread ─ TCP ─▶ recogniser: reads the numbers
//!                                     │  ▲          ─ TCP ─▶ translator: answers at once
//!                     orders to play ◀┘  └── sound, stamped ── synthesiser: two pieces, 30 ms apart
//! ```
//!
//! The second piece of a clause is measured: the first one waits for its turn by intent. The providers are in threads of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use codecs::SampleRate;
use media_engine::audio::tap::{FrameKind, TapWriter, tap};
use media_engine::config::{SpeechConfig, SpeechProvider};
use media_engine::net::clock;
use media_engine::speech::Providers;
use media_engine::speech::pipeline::{self, Clock, Pipeline, PipelineParams, PlayOrder};
use media_engine::translate::schedule::BUDGET;
use media_engine::translate::{Hears, Listener, Presence, Speaker};
use tests::speech::PROMPTS;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use wyoming::{AudioFormat, Decoder, Event};

use crate::cpu;
use crate::latencies::Latencies;

/// Number of calls; each has two directions.
pub(super) const CALLS: usize = 50;
/// Length of the measurement.
const LENGTH: Duration = Duration::from_secs(20);
const FRAME: Duration = Duration::from_millis(20);
const RATE: SampleRate = SampleRate::HZ_8000;
const SAMPLES: usize = 160;
/// Number of frames whose times are remembered.
const FRAMES: usize = 4_096;
/// Number of latencies that may be measured: two for each frame of each direction.
const LATENCIES: usize = 1 << 18;
/// Frames for each word that the recogniser shows.
const FRAMES_PER_WORD: usize = 15;
/// Samples that follow the stamp of a piece of sound.
const MARK: [i16; 2] = [12_345, -12_345];
const WORDS: &str = "we met the new owner of the house in London and talked about the price of the garden yesterday";

/// What the pipelines added and cost.
pub(super) struct Share {
    /// From the tap to the recogniser.
    pub(super) heard: Latencies,
    /// From the synthesiser to the order to play.
    pub(super) sent: Latencies,
    /// Milliseconds of a processor for each second of a call.
    pub(super) cpu_ms: f64,
}

/// Times on the clock of the measurement, in microseconds.
struct Times {
    began: Instant,
    pushed: Vec<AtomicU32>,
}

impl Times {
    fn now(&self) -> u32 {
        self.began.elapsed().as_micros() as u32
    }

    fn since(&self, us: u32) -> Duration {
        Duration::from_micros(self.now().wrapping_sub(us).into())
    }
}

/// Runs the calls.
pub(super) fn measure() -> Result<Share> {
    let times = Arc::new(Times { began: clock::now(), pushed: (0..FRAMES).map(|_| AtomicU32::new(0)).collect() });
    let outside = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (heard_in, mut heard) = mpsc::channel(LATENCIES);
    let (sent_in, mut sent) = mpsc::channel(LATENCIES);
    let listener = outside.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?.to_string();
    let of_server = Arc::clone(&times);
    outside.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A connection that ends is a link that the client gave up.
            tokio::spawn(serve(stream, Arc::clone(&of_server), heard_in.clone()));
        }
    });
    let folder = tempfile::tempdir()?;
    let speech = PROMPTS[2].speak(RATE, folder.path());
    // Without its pauses, so that the sides talk all the time.
    let speech: Vec<i16> =
        speech.chunks(SAMPLES).filter(|frame| codecs::tones::level_dbfs(frame) > -45.0).flatten().copied().collect();

    let (of_calls, outside_of_calls) = (Arc::clone(&times), outside.handle().clone());
    let calls = thread::spawn(move || -> Result<u64> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut taps = Vec::new();
            let mut pipelines = Vec::new();
            for _ in 0..CALLS {
                let (pipeline, both) = call(&address, &of_calls, &sent_in, &outside_of_calls);
                pipelines.push(pipeline);
                taps.extend(both);
            }
            let pushing = thread::spawn(move || push(&mut taps, &speech, &of_calls));
            let before = cpu::own_run_time_ns();
            tokio::time::sleep(LENGTH).await;
            let spent = cpu::own_run_time_ns() - before;
            // Its taps are closed by the end of their readers.
            drop(pipelines);
            pushing.join().map_err(|_| anyhow::anyhow!("the thread that pushes frames failed"))?;
            Ok(spent)
        })
    });
    let spent = calls.join().map_err(|_| anyhow::anyhow!("the thread of the pipelines failed"))??;
    outside.shutdown_timeout(Duration::from_secs(1));
    let mut share = Share {
        heard: Latencies::default(),
        sent: Latencies::default(),
        cpu_ms: spent as f64 / 1e6 / LENGTH.as_secs_f64() / CALLS as f64,
    };
    while let Ok(latency) = heard.try_recv() {
        share.heard.add(latency);
    }
    while let Ok(latency) = sent.try_recv() {
        share.sent.add(latency);
    }
    anyhow::ensure!(share.heard.len() > 1_000 && share.sent.len() > 100, "too little was heard to be measured");
    Ok(share)
}

/// Starts a call's pipeline, whose listeners hear everything at once.
fn call(
    address: &str,
    times: &Arc<Times>,
    sent: &mpsc::Sender<Duration>,
    outside: &tokio::runtime::Handle,
) -> (Arc<Pipeline>, [TapWriter; 2]) {
    let provider = || SpeechProvider::Wyoming(address.to_owned());
    let (status, mut states) = mpsc::channel(16);
    let providers =
        Providers::start(&SpeechConfig { stt: provider().into(), translator: provider(), tts: provider() }, status);
    let (orders_in, mut orders) = mpsc::channel::<PlayOrder>(1_024);
    let (events_in, mut events) = mpsc::channel(256);
    let params = PipelineParams {
        listeners: ["en", "es"].map(|language| Listener::new(language, Hears::Ducked)),
        translate: true,
        budget: BUDGET,
        glossary: Default::default(),
        clock: Clock::real(),
    };
    let pipeline = Arc::new(pipeline::start(params, providers, orders_in, events_in));
    pipeline.set_presence([Presence::JOINED; 2]);
    let taps = Speaker::BOTH.map(|side| {
        let (writer, reader) = tap(50);
        pipeline.follow(side, reader.into());
        writer
    });
    let (player, times, sent) = (Arc::downgrade(&pipeline), Arc::clone(times), sent.clone());
    outside.spawn(async move {
        while let Some(order) = orders.recv().await {
            let PlayOrder::Chunk(chunk) = order else { continue };
            if let [high, low, mark, rest, ..] = chunk.samples[..]
                && [mark, rest] == MARK
            {
                // An error means that the measurement has ended.
                let _ = sent.try_send(times.since((high as u32) << 15 | low as u32));
            }
            if let Some(player) = player.upgrade().filter(|_| chunk.last) {
                player.played(chunk.listener, chunk.clause);
            }
        }
    });
    outside.spawn(async move { while events.recv().await.is_some() {} });
    outside.spawn(async move { while states.recv().await.is_some() {} });
    (pipeline, taps)
}

/// Pushes a frame into every tap each 20 ms, numbered in its first sample, for the length of the measurement.
fn push(taps: &mut [TapWriter], speech: &[i16], times: &Times) {
    let mut next = Instant::now();
    let mut frame = [0; SAMPLES];
    for (number, samples) in speech.chunks_exact(SAMPLES).cycle().take((LENGTH.as_millis() / 20) as usize).enumerate() {
        frame.copy_from_slice(samples);
        frame[0] = (number % FRAMES) as i16;
        times.pushed[number % FRAMES].store(times.now(), Ordering::Relaxed);
        let now = clock::now();
        for tap in &mut *taps {
            tap.push(now, None, FrameKind::Voice, RATE, &frame);
        }
        next += FRAME;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

/// Serves one connection as recogniser, translator and synthesiser.
async fn serve(mut stream: TcpStream, times: Arc<Times>, heard: mpsc::Sender<Duration>) -> Result<()> {
    let (mut decoder, mut piece, mut frames) = (Decoder::new(), Vec::new(), 0);
    let words: Vec<&str> = WORDS.split(' ').collect();
    loop {
        while let Some(event) = decoder.poll_event() {
            let event = event.context("the client's event")?;
            let answers = match event.kind.as_str() {
                "describe" => vec![Event::new("info")],
                "audio-start" => {
                    frames = 0;
                    Vec::new()
                }
                "audio-chunk" => {
                    frames += 1;
                    // Other lengths hold what came before the onset.
                    if let [low, high, ..] = event.payload[..]
                        && event.payload.len() == 2 * SAMPLES
                    {
                        let number = i16::from_le_bytes([low, high]) as usize % FRAMES;
                        heard.try_send(times.since(times.pushed[number].load(Ordering::Relaxed)))?;
                    }
                    let text =
                        || words.iter().cycle().take(frames / FRAMES_PER_WORD).copied().collect::<Vec<_>>().join(" ");
                    let is_word = frames % FRAMES_PER_WORD == 0;
                    is_word.then(|| Event::new("transcript-partial").with("text", text())).into_iter().collect()
                }
                "audio-stop" => vec![Event::new("transcript").with("text", "")],
                "translate" => vec![Event::new("translation").with("text", event.text("text"))],
                "synthesize" => {
                    let first = Event::audio_chunk(16_000, &[1_000; 1_600]);
                    write(&mut stream, &[Event::audio_start(AudioFormat::mono(16_000)), first]).await?;
                    tokio::time::sleep(Duration::from_millis(30)).await;
                    let now = times.now();
                    let mut samples = [1_000; 1_600];
                    samples[..2].copy_from_slice(&[(now >> 15 & 0x7FFF) as i16, (now & 0x7FFF) as i16]);
                    samples[2..4].copy_from_slice(&MARK);
                    vec![Event::audio_chunk(16_000, &samples), Event::new("audio-stop")]
                }
                _ => Vec::new(),
            };
            write(&mut stream, &answers).await?;
        }
        piece.clear();
        if stream.read_buf(&mut piece).await? == 0 {
            return Ok(());
        }
        decoder.push(&piece);
    }
}

async fn write(stream: &mut TcpStream, events: &[Event]) -> Result<()> {
    let mut bytes = Vec::new();
    events.iter().for_each(|event| event.write_to(&mut bytes));
    Ok(stream.write_all(&bytes).await?)
}
