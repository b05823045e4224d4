//! `tandem translate FILE`: what a file says, translated as in a call.
//!
//! ```text
//! file ─ 20 ms at a time ─▶ tap ─▶ pipeline of calls ─┬─▶ partial texts (standard error), a JSON line for each clause
//!                                   ▲ started, played └─▶ voice ─▶ listener on the clock of the file ─▶ --out
//! ```
//!
//! The file is the customer of a call without SIP; its listener hears the voice of each clause when a party in a call would. With
//! `--fast` everything runs on a faster clock, so that clauses are cut at the same places; only providers seem slower. Not here:
//! the policy (`engine::translation`), and studies of it without sound (`super`).

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, timeout_at};

use super::StudyPolicy;
use crate::engine::pipeline::{self, Clock, Pipeline, PipelineParams, PlayChunk, PlayOrder};
use crate::engine::settings::SpeechConfig;
use crate::engine::tap::{FrameKind, TapWriter, tap};
use crate::engine::translation::schedule::BUDGET;
use crate::engine::translation::{ClauseEvent, ClauseHeard, Hears, Listener as Side, Presence, Speaker};
use crate::engine::{ProviderKind, ProviderState, ProviderStatus, Providers, Resampler, SampleRate, TranslationEvent};

/// Length of a frame.
const FRAME: Duration = Duration::from_millis(20);
/// Silence before the file and after it, so that the first and the last word are heard whole.
const BEFORE: Duration = Duration::from_millis(200);
const AFTER: Duration = Duration::from_secs(2);
/// Factor of the speed with `--fast`.
const FAST: u32 = 8;
/// Capacity of the tap in frames: one second, also at that speed.
const TAP: usize = 400;
/// Time limit for the providers to be ready, and for what is open after the end of the file.
const READY: Duration = Duration::from_secs(15);
const REST: Duration = Duration::from_secs(30);
/// Rate of the file that is written.
const OUT_RATE: SampleRate = SampleRate::HZ_16000;

/// Arguments of `tandem translate`.
#[derive(Args, Clone, Debug)]
pub struct TranslateArgs {
    /// Sound (WAV, FLAC) of one speaker.
    #[arg(required_unless_present = "study", conflicts_with = "study")]
    pub file: Option<PathBuf>,
    /// Language of the sound (BCP 47).
    #[arg(long, value_name = "LANGUAGE", default_value = "en")]
    pub from: String,
    /// Language of the translation (BCP 47).
    #[arg(long, value_name = "LANGUAGE", default_value = "es")]
    pub to: String,
    /// Pass the sound on faster than it was spoken. Lags are not reported then.
    #[arg(long)]
    pub fast: bool,
    /// File (WAV) for the original on the left and the translation, as it was heard, on the right.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Configuration file, whose section `[speech]` names the providers.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Trace to study, one turn a line (JSON). The run is printed as one clause a line (JSON).
    #[arg(long, value_name = "TRACE")]
    pub study: Option<PathBuf>,
    /// Policy of the study that decides what is committed and spoken.
    #[arg(long, value_enum, default_value = "adaptive")]
    pub policy: StudyPolicy,
}

/// A clause as it is printed.
#[derive(Serialize)]
struct Line<'a> {
    segment: u64,
    #[serde(flatten)]
    clause: &'a ClauseEvent,
}

/// Translates a file and writes a JSON line for each clause, in the order in which they were finished.
///
/// # Errors
/// The file cannot be read, a provider is not available or does not know the language, nothing was recognised, or writing fails.
pub(super) async fn translate_file(
    file: &Path,
    arguments: &TranslateArgs,
    speech: &SpeechConfig,
    out: impl Write,
) -> Result<()> {
    let (rate, samples) = crate::amd::samples(file)?;
    let (status, mut states) = mpsc::channel(64);
    let providers = Providers::start(speech, status);
    ready(&mut states).await?;
    let (orders_in, orders) = mpsc::channel(4_096);
    let (events_in, events) = mpsc::channel(1_024);
    let clock = Clock::faster(if arguments.fast { FAST } else { 1 });
    let listeners = [&arguments.from, &arguments.to].map(|language| Side::new(language.as_str(), Hears::Ducked));
    let params = PipelineParams { listeners, translate: true, budget: BUDGET, glossary: Default::default(), clock };
    let pipeline = pipeline::start(params, providers, orders_in, events_in);
    let (tap, reader) = tap(TAP);
    ensure!(
        pipeline.set_presence([Presence::JOINED; 2]) && pipeline.follow(Speaker::Customer, reader.into()),
        "the translation did not start"
    );
    let mut line = vec![0; rate.samples_in_ms(BEFORE.as_millis() as u32)];
    line.extend_from_slice(&samples);
    line.resize(line.len() + rate.samples_in_ms(AFTER.as_millis() as u32), 0);

    let listener = Listener::new(clock);
    let mut run = Run {
        fast: arguments.fast,
        pipeline,
        orders,
        events,
        listener,
        segments: BTreeMap::new(),
        printed: Vec::new(),
        out,
    };
    run.play(Speaking { clock, tap, line: &line, rate, at: 0 }, &mut states).await?;
    if let Some(path) = &arguments.out {
        let original = Resampler::new(rate, OUT_RATE).converted(&line);
        write_wav(path, &original, &run.listener.sound).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let has_words = run.segments.values().any(|segment| !segment.text.is_empty());
    ensure!(has_words, "{}: no words were recognised in {}", file.display(), arguments.from);
    Ok(())
}

/// Waits until every provider has reported that it is up.
async fn ready(states: &mut mpsc::Receiver<ProviderStatus>) -> Result<()> {
    let deadline = tokio::time::Instant::now() + READY;
    let mut missing = vec![ProviderKind::Stt, ProviderKind::Translator, ProviderKind::Tts];
    while !missing.is_empty() {
        let status = timeout_at(deadline, states.recv()).await.ok().flatten();
        let status = status.with_context(|| format!("not ready within {} s: {missing:?}", READY.as_secs()))?;
        match status.state {
            ProviderState::Up => missing.retain(|kind| *kind != status.kind),
            ProviderState::Down(why) | ProviderState::Unsupported(why) | ProviderState::Restarting(why) => bail!(why),
        }
    }
    Ok(())
}

/// The speaker, who is heard frame by frame.
struct Speaking<'a> {
    clock: Clock,
    tap: TapWriter,
    line: &'a [i16],
    rate: SampleRate,
    at: usize,
}

impl Speaking<'_> {
    /// Passes on the next frame; returns whether there was one.
    fn next(&mut self) -> bool {
        let length = self.rate.samples_in_ms(20);
        let frame = &self.line[self.at.min(self.line.len())..self.line.len().min(self.at + length)];
        self.at += length;
        if !frame.is_empty() {
            self.tap.push(self.clock.now(), None, FrameKind::Voice, self.rate, frame);
        }
        !frame.is_empty()
    }
}

/// The listener, who hears one clause after another.
struct Listener {
    clock: Clock,
    began: Instant,
    /// Sound that was heard so far, at [`OUT_RATE`].
    sound: Vec<i16>,
    /// Converter of the clause that is being heard.
    resampler: Option<(u64, Resampler)>,
    /// Clauses that are being heard, with their ends.
    ends: Vec<(u64, Instant)>,
    /// Time at which the sound so far has been heard.
    free_at: Instant,
}

impl Listener {
    fn new(clock: Clock) -> Listener {
        let began = clock.now();
        Listener { clock, began, sound: Vec::new(), resampler: None, ends: Vec::new(), free_at: began }
    }

    /// Hears a piece of a clause; returns the time at which it begins to be heard.
    fn hear(&mut self, chunk: &PlayChunk) -> Instant {
        let from = self.free_at.max(self.clock.now());
        self.resampler.take_if(|(clause, resampler)| *clause != chunk.clause || resampler.from_rate() != chunk.rate);
        let (_, resampler) = self.resampler.get_or_insert_with(|| (chunk.clause, Resampler::new(chunk.rate, OUT_RATE)));
        let samples = resampler.converted(&chunk.samples);
        let seconds = |count: usize| Duration::from_secs_f64(count as f64 / f64::from(OUT_RATE.hz()));
        let place = (from.duration_since(self.began).as_secs_f64() * f64::from(OUT_RATE.hz())) as usize;
        self.sound.resize(self.sound.len().max(place), 0);
        self.sound.extend_from_slice(&samples);
        self.free_at = from + seconds(samples.len());
        if chunk.last {
            self.ends.push((chunk.clause, self.free_at));
        }
        from
    }
}

struct Run<W> {
    fast: bool,
    pipeline: Pipeline,
    orders: mpsc::Receiver<PlayOrder>,
    events: mpsc::Receiver<TranslationEvent>,
    listener: Listener,
    segments: BTreeMap<u64, TranslationEvent>,
    /// Clauses that were printed.
    printed: Vec<u64>,
    out: W,
}

impl<W: Write> Run<W> {
    /// Passes the sound on, follows the pipeline until everything is heard, and ends it.
    async fn play(&mut self, mut speaking: Speaking<'_>, states: &mut mpsc::Receiver<ProviderStatus>) -> Result<()> {
        let mut pace = tokio::time::interval(if self.fast { FRAME / FAST } else { FRAME });
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut ended: Option<tokio::time::Instant> = None;
        loop {
            tokio::select! {
                _ = pace.tick() => {
                    if ended.is_none() && !speaking.next() {
                        ended = Some(tokio::time::Instant::now());
                    }
                    self.end_clauses();
                }
                Some(order) = self.orders.recv() => self.on_order(order),
                Some(event) = self.events.recv() => self.on_event(event)?,
                Some(status) = states.recv() => {
                    if let ProviderState::Unsupported(why) = status.state {
                        bail!(why);
                    }
                }
            }
            if let Some(at) = ended
                && (at.elapsed() > REST || self.is_over().await)
            {
                break;
            }
        }
        self.pipeline.stop().await;
        while let Ok(event) = self.events.try_recv() {
            self.on_event(event)?;
        }
        Ok(())
    }

    /// Returns whether nothing more will be heard.
    async fn is_over(&self) -> bool {
        self.pipeline.is_idle().await && self.events.is_empty() && self.orders.is_empty()
    }

    fn end_clauses(&mut self) {
        let now = self.listener.clock.now();
        for (clause, _) in self.listener.ends.extract_if(.., |(_, end)| *end <= now) {
            self.pipeline.played(Speaker::Agent, clause);
        }
    }

    fn on_order(&mut self, order: PlayOrder) {
        let PlayOrder::Chunk(chunk) = order else { return };
        let at = self.listener.hear(&chunk);
        if !chunk.samples.is_empty() {
            // Only the first report of a clause counts.
            self.pipeline.play_started(chunk.clause, at);
        }
    }

    fn on_event(&mut self, event: TranslationEvent) -> Result<()> {
        let known = self.segments.get(&event.segment);
        if known.is_some_and(|known| (&known.text, known.is_final) == (&event.text, event.is_final)) {
            // Only its clauses have changed.
        } else if event.is_final {
            let text = if event.missed {
                "(missed)"
            } else if event.unrecognised {
                "(not recognised)"
            } else {
                &event.text
            };
            eprintln!("{text}");
        } else {
            eprintln!("{} …", event.text);
        }
        for clause in &event.clauses {
            let is_decided = match clause.heard {
                ClauseHeard::Pending => false,
                ClauseHeard::Voice => clause.lag_ms.total.is_some(),
                ClauseHeard::Text => clause.translation.is_some(),
                ClauseHeard::Original => true,
            };
            if !is_decided || self.printed.contains(&clause.clause) {
                continue;
            }
            self.printed.push(clause.clause);
            let mut clause = clause.clone();
            if self.fast {
                clause.lag_ms = Default::default();
            }
            serde_json::to_writer(&mut self.out, &Line { segment: event.segment, clause: &clause })?;
            self.out.write_all(b"\n")?;
            self.out.flush()?;
        }
        self.segments.insert(event.segment, event);
        Ok(())
    }
}

fn write_wav(path: &Path, left: &[i16], right: &[i16]) -> Result<()> {
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: OUT_RATE.hz(),
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec)?;
    for at in 0..left.len().max(right.len()) {
        for channel in [left, right] {
            writer.write_sample(channel.get(at).copied().unwrap_or(0))?;
        }
    }
    Ok(writer.finalize()?)
}
