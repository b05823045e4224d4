//! Pipeline between a speaker's tap and a listener: drives `translate::Session` with real providers.
//!
//! ```text
//! TapReader ─ every 10 ms ─▶ Vad ─▶ Session ─▶ SttSession
//!                                      │ ▲ ◀────── finals
//!                                      │ └──────── translations ◀─ one task, in order
//!                                      └─ speak ─▶ one task, in order ─▶ playout
//! ```
//!
//! Speech that the recogniser did not accept, or failed on, is published as missed, so that it can be recognised later from
//! the recording.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use codecs::SampleRate;
use codecs::resample::Resampler;
use codecs::vad::Vad;
use tokio::sync::{mpsc, oneshot};

use super::live_rate::{LIVE_RATE, LiveRateResampler};
use super::{Providers, SpeechError, SttInput, SttOutput, SttSession};
use crate::audio::tap::{TapFrame, TapReader};
use crate::net::clock;
use crate::translate::{Effect, Session, SessionParams, TranslationEvent};

/// Interval at which the tap is emptied.
const TICK: Duration = Duration::from_millis(10);
/// Time that open segments may take to finish after the end of the call.
const FINISH: Duration = Duration::from_secs(1);
/// Number of sentences that may wait for the translator or the synthesiser.
const SENTENCES: usize = 16;
/// Number of orders that may wait for the pipeline.
const CONTROLS: usize = 64;
/// Longest sentence that is sent to a provider, in characters.
const SENTENCE_MAX: usize = 1_000;

/// Parameters of a [`Pipeline`].
#[derive(Clone, Debug)]
pub struct PipelineParams {
    /// Leg of the speaker: `customer` or `agent`.
    pub leg_name: &'static str,
    /// BCP 47 tag of the speaker's language.
    pub source_language: String,
    /// BCP 47 tag of the listener's language.
    pub target_language: String,
    /// Whether final texts are translated; otherwise they are only transcribed.
    pub translate: bool,
    /// Whether translations are spoken.
    pub voice: bool,
    /// Number of the next segment, shared by both directions of a call.
    pub first_segment: Arc<AtomicU64>,
}

/// Synthesised speech for a listener, at a rate that the live path supports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlayChunk {
    /// Number of the segment.
    pub segment: u64,
    /// Sample rate of `samples`.
    pub rate: SampleRate,
    /// Mono samples at `rate`.
    pub samples: Arc<[i16]>,
    /// Whether this is the last chunk of the segment.
    pub last: bool,
}

/// A running direction of translation. Dropping it ends it at once.
#[derive(Debug)]
pub struct Pipeline {
    controls: mpsc::Sender<Control>,
}

/// The queue of the pipeline is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many sentences are waiting")]
pub struct Overloaded;

#[derive(Debug)]
enum Control {
    Say(String),
    Spoken(u64, Instant),
    Stop(oneshot::Sender<()>),
}

impl Pipeline {
    /// Translates and speaks typed text.
    ///
    /// # Errors
    /// [`Overloaded`]: the text was not accepted; try again later.
    pub fn say(&self, text: String) -> Result<(), Overloaded> {
        self.controls.try_send(Control::Say(text)).map_err(|_| Overloaded)
    }

    /// Notes that the first sample of a segment's translation was sent to the listener.
    pub fn play_started(&self, segment: u64, at: Instant) {
        if self.controls.try_send(Control::Spoken(segment, at)).is_err() {
            metrics::counter!("tandem_translation_stamps_dropped_total").increment(1);
        }
    }

    /// Finishes open segments, within a second.
    pub async fn stop(&self) {
        let (done, wait) = oneshot::channel();
        if self.controls.send(Control::Stop(done)).await.is_ok() {
            // An error means that the pipeline has ended, which is the purpose.
            let _ = wait.await;
        }
    }
}

/// Starts one direction. `tap` is the speaker's tap, or `None` if only typed text is to be translated.
pub fn start(
    params: PipelineParams,
    tap: Option<TapReader>,
    providers: Providers,
    playout: mpsc::Sender<PlayChunk>,
    events: mpsc::Sender<TranslationEvent>,
) -> Pipeline {
    let (controls_in, controls) = mpsc::channel(CONTROLS);
    let session = Session::new(SessionParams {
        leg: params.leg_name.to_owned(),
        source_language: params.source_language.clone(),
        target_language: params.target_language.clone(),
        translate: params.translate,
        voice: params.voice,
        segments: params.first_segment.clone(),
    });
    let (translated_in, translated) = mpsc::channel(SENTENCES);
    let translate = translator(&params, &providers, translated_in);
    let speak = speaker(&params, &providers, playout);
    let run = Run { params, session, ears: None, translate, translated, waiting: 0, speak, events };
    tokio::spawn(run.run(tap, providers, controls));
    Pipeline { controls: controls_in }
}

/// Translates sentences in order.
fn translator(
    params: &PipelineParams,
    providers: &Providers,
    results: mpsc::Sender<(u64, Result<String, SpeechError>)>,
) -> mpsc::Sender<(u64, String)> {
    let (sentences_in, mut sentences) = mpsc::channel::<(u64, String)>(SENTENCES);
    let (from, to) = (params.source_language.clone(), params.target_language.clone());
    let provider = providers.translator.clone();
    tokio::spawn(async move {
        while let Some((segment, text)) = sentences.recv().await {
            let result = provider.translate(&text, &from, &to).await;
            if results.send((segment, result)).await.is_err() {
                return;
            }
        }
    });
    sentences_in
}

/// Speaks sentences in order.
fn speaker(
    params: &PipelineParams,
    providers: &Providers,
    playout: mpsc::Sender<PlayChunk>,
) -> mpsc::Sender<(u64, String)> {
    let (sentences_in, mut sentences) = mpsc::channel::<(u64, String)>(SENTENCES);
    let language = params.target_language.clone();
    let provider = providers.tts.clone();
    tokio::spawn(async move {
        while let Some((segment, text)) = sentences.recv().await {
            let mut chunks = match provider.speak(&text, &language).await {
                Ok(chunks) => chunks,
                Err(error) => {
                    tracing::warn!(segment, %error, "the translation is not spoken: the listener hears the original");
                    metrics::counter!("tandem_speech_failures_total", "kind" => "tts").increment(1);
                    continue;
                }
            };
            let mut carried = LiveRateResampler::default();
            while let Some(chunk) = chunks.recv().await {
                let Some((rate, samples)) = carried.push(chunk) else { continue };
                let piece = PlayChunk { segment, rate, samples: samples.into(), last: false };
                if !piece.samples.is_empty() && playout.send(piece).await.is_err() {
                    return;
                }
            }
            let rest = carried.finish();
            let end = PlayChunk { segment, rate: LIVE_RATE, samples: rest.into(), last: true };
            if playout.send(end).await.is_err() {
                return;
            }
        }
    });
    sentences_in
}

/// State of the pipeline's own task.
struct Run {
    params: PipelineParams,
    session: Session,
    ears: Option<Ears>,
    translate: mpsc::Sender<(u64, String)>,
    translated: mpsc::Receiver<(u64, Result<String, SpeechError>)>,
    /// Number of sentences at the translator.
    waiting: usize,
    speak: mpsc::Sender<(u64, String)>,
    events: mpsc::Sender<TranslationEvent>,
}

impl Run {
    async fn run(mut self, mut tap: Option<TapReader>, providers: Providers, mut controls: mpsc::Receiver<Control>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                control = controls.recv() => match control {
                    Some(Control::Say(text)) => {
                        let text: String = text.chars().take(SENTENCE_MAX).collect();
                        self.session.handle_typed(&text, clock::now());
                    }
                    Some(Control::Spoken(segment, at)) => self.session.handle_spoken(segment, at, clock::now()),
                    Some(Control::Stop(done)) => {
                        self.finish(tap.as_mut(), &providers).await;
                        // The requester may have gone away.
                        let _ = done.send(());
                        return;
                    }
                    None => return,
                },
                _ = tick.tick(), if tap.is_some() => {
                    if let Some(tap) = &mut tap {
                        self.drain(tap, &providers).await;
                    }
                }
                output = heard(&mut self.ears) => self.on_heard(output),
                Some((segment, result)) = self.translated.recv() => self.on_translated(segment, result),
            }
            self.carry_out();
        }
    }

    /// Processes the frames in the tap; opens the recogniser with the first one, whose rate it needs.
    async fn drain(&mut self, tap: &mut TapReader, providers: &Providers) {
        while let Some(item) = tap.pop() {
            if item.gap > 0 {
                metrics::counter!("tandem_speech_tap_gap_frames_total").increment(item.gap);
            }
            if self.ears.is_none() {
                self.ears = Some(Ears::open(&self.params, providers, item.frame.rate).await);
            }
            if let Some(ears) = &mut self.ears {
                ears.on_frame(&item.frame, &mut self.session);
            }
        }
    }

    fn on_heard(&mut self, output: Option<SttOutput>) {
        match output {
            Some(SttOutput::Partial { segment, text }) => self.session.handle_partial(segment, &text, clock::now()),
            Some(SttOutput::Final { segment, text, unrecognised }) => {
                self.segment_finished();
                self.session.handle_final(segment, &text, unrecognised, clock::now());
            }
            Some(SttOutput::Missed { segment, .. }) => {
                self.segment_finished();
                self.session.handle_missed(segment, clock::now());
            }
            // The recogniser has ended: its unfinished segments are missed, and the call continues without it.
            None => {
                if let Some(ears) = &mut self.ears {
                    ears.stt = None;
                    ears.open_segments = 0;
                }
                self.session.handle_recogniser_gone(clock::now());
            }
        }
    }

    /// Notes that one segment less is expected from the recogniser.
    fn segment_finished(&mut self) {
        if let Some(ears) = &mut self.ears {
            ears.open_segments = ears.open_segments.saturating_sub(1);
        }
    }

    fn on_translated(&mut self, segment: u64, result: Result<String, SpeechError>) {
        self.waiting = self.waiting.saturating_sub(1);
        match result {
            Ok(translation) => self.session.handle_translation(segment, &translation, clock::now()),
            Err(error) => {
                tracing::warn!(segment, %error, "the text is not translated: the original is shown");
                metrics::counter!("tandem_speech_failures_total", "kind" => "translate").increment(1);
            }
        }
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.session.poll_effect() {
            match effect {
                Effect::Begin(segment) => self.feed_recogniser(SttInput::Begin(segment)),
                Effect::Audio(samples) => self.feed_recogniser(SttInput::Audio(samples)),
                Effect::End(segment) => self.feed_recogniser(SttInput::End(segment)),
                Effect::Translate(segment, text) => match self.translate.try_send((segment, text)) {
                    Ok(()) => self.waiting += 1,
                    Err(_) => metrics::counter!("tandem_speech_overflow_total", "kind" => "translate").increment(1),
                },
                Effect::Speak(segment, text) => {
                    if self.speak.try_send((segment, text)).is_err() {
                        metrics::counter!("tandem_speech_overflow_total", "kind" => "tts").increment(1);
                    }
                }
                Effect::Publish(event) => {
                    if self.events.try_send(event).is_err() {
                        metrics::counter!("tandem_translation_events_dropped_total").increment(1);
                    }
                }
            }
        }
    }

    fn feed_recogniser(&mut self, input: SttInput) {
        let Some(ears) = &mut self.ears else { return };
        let begun = if let SttInput::Begin(segment) = input { Some(segment) } else { None };
        let taken = match &ears.stt {
            Some(stt) => stt.input.try_send(input).is_ok(),
            None => false,
        };
        if taken {
            ears.open_segments += usize::from(begun.is_some());
            return;
        }
        if ears.stt.is_some() {
            metrics::counter!("tandem_speech_overflow_total", "kind" => "stt").increment(1);
        }
        // The recogniser sends no result for a segment that it did not receive.
        if let Some(segment) = begun {
            self.session.handle_missed(segment, clock::now());
        }
    }

    /// Ends the open segment and waits for its text and translation.
    async fn finish(&mut self, tap: Option<&mut TapReader>, providers: &Providers) {
        if let Some(tap) = tap {
            self.drain(tap, providers).await;
        }
        self.session.finish(clock::now());
        self.carry_out();
        let deadline = tokio::time::Instant::now() + FINISH;
        while self.waiting > 0 || self.ears.as_ref().is_some_and(|ears| ears.open_segments > 0) {
            tokio::select! {
                output = heard(&mut self.ears) => self.on_heard(output),
                Some((segment, result)) = self.translated.recv() => self.on_translated(segment, result),
                () = tokio::time::sleep_until(deadline) => {
                    tracing::warn!("the last words were not finished within 1 s");
                    self.session.handle_recogniser_gone(clock::now());
                    return self.carry_out();
                }
            }
            self.carry_out();
        }
    }
}

/// Recognition of the speaker.
struct Ears {
    /// Session of the recogniser; `None` without one: speech is then missed.
    stt: Option<SttSession>,
    /// Whether the language cannot be recognised: no speech is detected then.
    deaf: bool,
    vad: Vad,
    rate: SampleRate,
    resampler: Option<(SampleRate, Resampler)>,
    /// Number of segments that have begun and have no final text.
    open_segments: usize,
    scratch: Vec<i16>,
    /// Samples that wait for a whole 20 ms frame.
    partial: VecDeque<i16>,
}

impl Ears {
    async fn open(params: &PipelineParams, providers: &Providers, tap_rate: SampleRate) -> Ears {
        // Narrowband is not converted: the provider decides how to recognise it.
        let rate = if tap_rate == SampleRate::HZ_8000 { tap_rate } else { SampleRate::HZ_16000 };
        let opened = providers.stt.open(&params.source_language, rate).await;
        let deaf = matches!(opened, Err(SpeechError::Unsupported(_)));
        let stt = match opened {
            Ok(session) => Some(session),
            Err(error) => {
                tracing::info!(leg = params.leg_name, language = params.source_language, %error, "speech is not recognised");
                None
            }
        };
        Ears {
            stt,
            deaf,
            vad: Vad::new(rate),
            rate,
            resampler: None,
            open_segments: 0,
            scratch: Vec::new(),
            partial: VecDeque::new(),
        }
    }

    fn on_frame(&mut self, frame: &TapFrame, session: &mut Session) {
        // This speaker cannot be recognised: nothing leaves the engine, and no segment is opened.
        if self.deaf {
            return;
        }
        if frame.rate == self.rate {
            self.partial.extend(frame.samples());
        } else {
            if self.resampler.as_ref().is_none_or(|(from, _)| *from != frame.rate) {
                self.resampler = Some((frame.rate, Resampler::new(frame.rate, self.rate)));
            }
            if let Some((_, resampler)) = &mut self.resampler {
                self.scratch.resize(resampler.max_output(frame.samples().len()), 0);
                let written = resampler.process(frame.samples(), &mut self.scratch);
                self.partial.extend(&self.scratch[..written]);
            }
        }
        let whole = self.rate.samples_in_ms(20);
        while self.partial.len() >= whole {
            let samples: Vec<i16> = self.partial.drain(..whole).collect();
            let speech = self.vad.push(&samples);
            session.handle_frame(&samples, speech, frame.at);
        }
    }
}

async fn heard(ears: &mut Option<Ears>) -> Option<SttOutput> {
    match ears.as_mut().and_then(|ears| ears.stt.as_mut()) {
        Some(stt) => stt.output.recv().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
