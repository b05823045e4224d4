//! Recognition and translation of a running call: drives `translate::Session` with real providers.
//!
//! ```text
//! SideTaps ×2 ── every 10 ms ─▶ Ears ─▶ Session ◀─ partials, finals ─ SttSession
//!                                        │  ▲
//!                          clause ───────┘  └─── translation ◀─ a task per side, in order
//!                          text to speak ─▶ a task per side, in order ─▶ voice ─▶ Pace ─▶ playout of the listener
//! ```
//!
//! The voice of a clause waits here until the session has it played, which is when the clause before it has ended at the listener.
//! Speech that the recogniser did not accept, or failed on, is published as missed, so that it can be recognised later from the
//! recording.
//!
//! Invariants: the task never waits for a provider; every queue is bounded, and what does not fit is counted; a listener that does not
//! report the end of a clause does not hold up the next one; a voice that is not wanted any more is not synthesised.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use codecs::SampleRate;
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument as _;

use self::tasks::{Piece, Sentence, Translated, Voiced, synthesiser, translator};
use super::ears::{Ears, FromRecogniser};
use super::echo::{EchoGate, EchoPath};
use super::live_rate::LIVE_RATE;
use super::pace::Pace;
use super::{Providers, SttInput, SttOutput};
use crate::audio::tap::{TapItem, TapReader};
use crate::net::clock;
use crate::translate::clauses::Lengths;
use crate::translate::exchange::{ClauseId, Request, Voice};
use crate::translate::glossary::Glossary;
use crate::translate::schedule::Level;
use crate::translate::{Effect, Listener, ListenerPatch, Presence, Session, SessionParams, Speaker, TranslationEvent};

/// Interval at which the taps are emptied.
const TICK: Duration = Duration::from_millis(10);
/// Time that open segments may take to finish after the end of the call.
const FINISH: Duration = Duration::from_secs(1);
/// Number of clauses of one side that may wait for the translator or the synthesiser.
const CLAUSES: usize = 64;
/// Number of pieces of voice that may wait for the pipeline.
const PIECES: usize = 64;
/// Number of orders that may wait for the pipeline; of these, so many are kept for others than a person's.
const CONTROLS: usize = 256;
const RESERVED: usize = 192;
/// Longest sentence that is sent to a provider, in characters.
const SENTENCE_MAX: usize = 1_000;
/// Longest voice of a clause; a synthesiser that goes on is not listened to.
const VOICE_MAX: Duration = Duration::from_secs(60);
/// Time after the end of a voice by which the listener must have reported it.
const OVERDUE: Duration = Duration::from_secs(2);
/// Time before the start of the pipeline from which frames may come.
const PAST: Duration = Duration::from_secs(60);

/// Parameters of a [`Pipeline`].
#[derive(Clone, Debug)]
pub struct PipelineParams {
    /// How the customer and the agent listen at the beginning.
    pub listeners: [Listener; 2],
    /// Whether words are translated; otherwise they are only transcribed.
    pub translate: bool,
    /// Highest lateness of a clause that is spoken.
    pub budget: Duration,
    /// Terms and names of the organization.
    pub glossary: Arc<Glossary>,
    /// Clock of the frames and of everything that is timed.
    pub clock: Clock,
}

/// Clock of a translation, which may run faster than the real one.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: Instant,
    speed: u32,
}

impl Clock {
    /// Returns the engine's clock.
    pub fn real() -> Clock {
        Clock::faster(1)
    }

    /// Returns a clock that runs faster by this factor from now on, for sound that is passed on faster than it was spoken. Providers
    /// seem slower by the same factor.
    pub fn faster(speed: u32) -> Clock {
        Clock { began: clock::now(), speed: speed.max(1) }
    }

    /// Returns the time on this clock.
    pub fn now(self) -> Instant {
        let now = clock::now();
        // Frames may be older than the clock.
        self.began + now.saturating_duration_since(self.began) * self.speed
    }
}

/// Order to the players of the listeners, or news of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlayOrder {
    /// Play a piece of a clause's voice after what was ordered before.
    Chunk(PlayChunk),
    /// Stop playing a clause; it fades out.
    Stop {
        /// Side that hears it.
        listener: Speaker,
        /// Number of the clause.
        clause: u64,
    },
    /// The customer and the agent listen like this from now on.
    Listeners([Listener; 2]),
}

/// Synthesised speech for a listener, at a rate that the live path supports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlayChunk {
    /// Side that hears it.
    pub listener: Speaker,
    /// Number of the clause, counted from 0 over both sides.
    pub clause: u64,
    /// Sample rate of `samples`.
    pub rate: SampleRate,
    /// Mono samples at `rate`.
    pub samples: Arc<[i16]>,
    /// Whether this is the last chunk of the clause.
    pub last: bool,
}

/// Taps on the media of one side.
pub struct SideTaps {
    /// Tap on what the side says.
    pub speech: TapReader,
    /// Tap on what the side hears, whose echo is not recognised; `None` if it hears nothing.
    pub hearing: Option<TapReader>,
}

impl From<TapReader> for SideTaps {
    fn from(speech: TapReader) -> SideTaps {
        SideTaps { speech, hearing: None }
    }
}

/// A running translation. Dropping it ends it at once.
#[derive(Debug)]
pub struct Pipeline {
    controls: mpsc::Sender<Control>,
}

/// The queue of the pipeline is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many sentences are waiting")]
pub struct Overloaded;

enum Control {
    Say(String),
    PlayStarted(u64, Instant),
    Played(Speaker, u64),
    Follow(Speaker, SideTaps),
    Presence([Presence; 2]),
    Listening([ListenerPatch; 2], oneshot::Sender<[Listener; 2]>),
    IsIdle(oneshot::Sender<bool>),
    Stop(oneshot::Sender<()>),
}

impl Pipeline {
    /// Translates and speaks text that the agent typed.
    ///
    /// # Errors
    /// [`Overloaded`]: the text was not accepted; try again later.
    pub fn say(&self, text: String) -> Result<(), Overloaded> {
        self.ask(Control::Say(text))
    }

    /// Notes that the first sample of a clause was sent to its listener.
    pub fn play_started(&self, clause: u64, at: Instant) {
        self.order(Control::PlayStarted(clause, at));
    }

    /// Notes that a listener has heard a clause to its end.
    pub fn played(&self, listener: Speaker, clause: u64) {
        self.order(Control::Played(listener, clause));
    }

    /// Makes these taps the source of a side's words from now on. Words from the previous one are finished, unless the new one needs a
    /// recogniser of another rate: they are then missed. Returns `false` if the order was not accepted; to be repeated.
    pub fn follow(&self, speaker: Speaker, taps: SideTaps) -> bool {
        self.order(Control::Follow(speaker, taps))
    }

    /// Sets who is in the conversation, customer first. No one is before it is called. Returns `false` if the order was not accepted;
    /// to be repeated.
    pub fn set_presence(&self, presence: [Presence; 2]) -> bool {
        self.order(Control::Presence(presence))
    }

    /// Changes how the customer and the agent listen; the receiver gets the result. Empty patches change nothing.
    ///
    /// # Errors
    /// [`Overloaded`]: nothing was changed; try again later.
    pub fn listening(&self, patches: [ListenerPatch; 2]) -> Result<oneshot::Receiver<[Listener; 2]>, Overloaded> {
        let (tell, told) = oneshot::channel();
        self.ask(Control::Listening(patches, tell))?;
        Ok(told)
    }

    /// Returns whether nothing is being said, recognised, translated or spoken.
    pub async fn is_idle(&self) -> bool {
        let (tell, told) = oneshot::channel();
        // A pipeline that has ended does nothing.
        self.controls.send(Control::IsIdle(tell)).await.is_err() || told.await.unwrap_or(true)
    }

    /// Finishes open segments, within a second.
    pub async fn stop(&self) {
        let (done, wait) = oneshot::channel();
        if self.controls.send(Control::Stop(done)).await.is_ok() {
            // An error means that the pipeline has ended, which is the purpose.
            let _ = wait.await;
        }
    }

    /// Passes on what a person asks for, if that leaves room for the call's own orders.
    fn ask(&self, control: Control) -> Result<(), Overloaded> {
        if self.controls.capacity() <= RESERVED {
            return Err(Overloaded);
        }
        self.controls.try_send(control).map_err(|_| Overloaded)
    }

    fn order(&self, control: Control) -> bool {
        let is_taken = self.controls.try_send(control).is_ok();
        if !is_taken {
            metrics::counter!("tandem_translation_orders_dropped_total").increment(1);
            tracing::error!("an order to the translation of a call was dropped: its task does not keep up");
        }
        is_taken
    }
}

/// Starts the translation of a call. What it logs is in the current span.
pub fn start(
    params: PipelineParams,
    providers: Providers,
    playout: mpsc::Sender<PlayOrder>,
    events: mpsc::Sender<TranslationEvent>,
) -> Pipeline {
    let (controls_in, controls) = mpsc::channel(CONTROLS);
    let now = params.clock.now();
    let session = Session::new(SessionParams {
        listeners: params.listeners,
        translate: params.translate,
        budget: params.budget,
        lengths: providers.translator.knows_phrases().then(Lengths::of_phrases),
        glossary: Arc::clone(&params.glossary),
        epoch: now.checked_sub(PAST).unwrap_or(now),
    });
    let (translated_in, translated) = mpsc::channel(CLAUSES);
    let (voiced_in, voiced) = mpsc::channel(PIECES);
    let run = Run {
        session,
        presence: Default::default(),
        taps: [None, None],
        gates: [EchoGate::new(), EchoGate::new()],
        ears: [None, None],
        translate: Speaker::BOTH
            .map(|_| translator(providers.translator.clone(), Arc::clone(&params.glossary), translated_in.clone())),
        translated,
        waiting: 0,
        speak: Speaker::BOTH.map(|_| synthesiser(providers.clone(), voiced_in.clone())),
        voiced,
        voices: HashMap::new(),
        sounding: HashMap::new(),
        levels: Default::default(),
        unreported: None,
        playout,
        events,
        glossary: params.glossary,
        clock: params.clock,
        providers,
    };
    tokio::spawn(run.run(controls).in_current_span());
    Pipeline { controls: controls_in }
}

/// Voice of a clause that is not wholly at its listener. Dropping it ends its synthesis.
struct Buffer {
    pieces: Vec<(SampleRate, Vec<i16>)>,
    /// Length of all pieces so far.
    length: Duration,
    is_complete: bool,
    playing: Option<Playing>,
    _wanted: oneshot::Sender<Infallible>,
}

impl Buffer {
    fn new(wanted: oneshot::Sender<Infallible>) -> Buffer {
        Buffer { pieces: Vec::new(), length: Duration::ZERO, is_complete: false, playing: None, _wanted: wanted }
    }

    fn is_begun(&self) -> bool {
        self.length > Duration::ZERO
    }

    /// Adds a piece. One beyond the longest voice completes it.
    fn push(&mut self, rate: SampleRate, samples: Vec<i16>) {
        if self.length >= VOICE_MAX {
            if !std::mem::replace(&mut self.is_complete, true) {
                tracing::warn!(
                    "the voice of a clause is longer than {} s: the rest is not played",
                    VOICE_MAX.as_secs()
                );
                metrics::counter!("tandem_speech_overflow_total", "kind" => "tts").increment(1);
            }
            return;
        }
        self.length += duration(samples.len(), rate);
        self.pieces.push((rate, samples));
    }
}

struct Playing {
    listener: Speaker,
    speed: f32,
    pace: Option<(SampleRate, Pace)>,
}

/// State of the pipeline's own task.
struct Run {
    glossary: Arc<Glossary>,
    clock: Clock,
    providers: Providers,
    session: Session,
    presence: [Presence; 2],
    taps: [Option<SideTaps>; 2],
    gates: [EchoGate; 2],
    ears: [Option<Ears>; 2],
    translate: [mpsc::Sender<Request>; 2],
    translated: mpsc::Receiver<Translated>,
    /// Number of clauses at the translators.
    waiting: usize,
    speak: [mpsc::Sender<Sentence>; 2],
    voiced: mpsc::Receiver<Voiced>,
    voices: HashMap<ClauseId, Buffer>,
    /// Clauses at their listeners, and the time by which their end must be reported.
    sounding: HashMap<ClauseId, (Speaker, Instant)>,
    /// Levels of the listeners as they were logged.
    levels: [Level; 2],
    /// How the sides listen, while the player has no room for the report.
    unreported: Option<[Listener; 2]>,
    playout: mpsc::Sender<PlayOrder>,
    events: mpsc::Sender<TranslationEvent>,
}

impl Run {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    async fn run(mut self, mut controls: mpsc::Receiver<Control>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                control = controls.recv() => match control {
                    Some(Control::Stop(done)) => {
                        self.finish().await;
                        // The requester may have gone away.
                        let _ = done.send(());
                        return;
                    }
                    Some(control) => self.on_control(control),
                    None => return,
                },
                _ = tick.tick() => self.on_tick(),
                (side, output) = heard(&mut self.ears) => self.on_heard(side, output),
                Some(translated) = self.translated.recv() => self.on_translated(translated),
                Some(voiced) = self.voiced.recv() => self.on_voiced(voiced),
            }
            self.carry_out();
        }
    }

    fn on_control(&mut self, control: Control) {
        let now = self.now();
        match control {
            Control::Say(text) => {
                let text: String = text.chars().take(SENTENCE_MAX).collect();
                self.session.handle_typed(Speaker::Agent, &text, now);
            }
            Control::PlayStarted(clause, at) => self.session.handle_play_started(ClauseId(clause), at, now),
            Control::Played(listener, clause) => self.played(listener, ClauseId(clause), now),
            Control::Follow(side, taps) => {
                self.drain(side);
                self.session.end_speech(side, now);
                self.carry_out();
                self.taps[side as usize] = Some(taps);
                self.gates[side as usize] = EchoGate::new();
                if let Some(ears) = &mut self.ears[side as usize] {
                    ears.change_source();
                }
            }
            Control::Presence(presence) => {
                // What was said before belongs to the time before.
                Speaker::BOTH.into_iter().for_each(|side| self.drain(side));
                self.presence = presence;
                self.session.set_presence(presence, now);
            }
            Control::Listening(patches, tell) => {
                self.session.set_listening(patches, now);
                // The one who asked may have gone away.
                let _ = tell.send(self.session.listeners());
            }
            Control::IsIdle(tell) => {
                // The one who asked may have gone away.
                let _ = tell.send(self.is_idle());
            }
            Control::Stop(_) => {}
        }
    }

    fn is_idle(&self) -> bool {
        let recognises = self.ears.iter().flatten().any(|ears| ears.expects() || ears.is_fed());
        !recognises && self.waiting == 0 && self.voices.is_empty() && self.sounding.is_empty() && self.session.is_idle()
    }

    fn on_tick(&mut self) {
        self.report_listeners();
        for side in Speaker::BOTH {
            self.drain(side);
            if let Some(ears) = &mut self.ears[side as usize] {
                ears.pump();
            }
        }
        let now = self.now();
        self.session.handle_timeout(now);
        let is_overdue = |(clause, (listener, until)): (&ClauseId, &(Speaker, Instant))| {
            (*until < now).then_some((*listener, *clause))
        };
        let overdue: Vec<(Speaker, ClauseId)> = self.sounding.iter().filter_map(is_overdue).collect();
        for (listener, clause) in overdue {
            if self.voices.remove(&clause).is_some() {
                self.order(PlayOrder::Chunk(end_of(listener, clause)));
            }
            self.played(listener, clause, now);
        }
    }

    fn played(&mut self, listener: Speaker, clause: ClauseId, now: Instant) {
        self.sounding.remove(&clause);
        self.session.handle_played(listener, clause, now);
    }

    /// Processes the frames in a side's tap; opens the recogniser with the first one, whose rate it needs.
    fn drain(&mut self, side: Speaker) {
        let now = self.now();
        let Some(taps) = &mut self.taps[side as usize] else { return };
        let gate = &mut self.gates[side as usize];
        while let Some(TapItem { frame, .. }) = taps.hearing.as_mut().and_then(TapReader::pop) {
            gate.played(frame.at, frame.rate, frame.samples());
        }
        let before = gate.path();
        while let Some(item) = taps.speech.pop() {
            if item.gap > 0 {
                metrics::counter!("tandem_speech_tap_gap_frames_total").increment(item.gap);
            }
            if !self.presence[side as usize].is_heard {
                continue;
            }
            let slot = &mut self.ears[side as usize];
            if slot.as_ref().is_some_and(|ears| !ears.suits(item.frame.rate)) {
                self.session.handle_recogniser_gone(side, now);
                *slot = None;
            }
            let open = || {
                let language = self.session.language(side);
                Ears::open(language, self.glossary.hints(language), item.frame.rate, &self.providers)
            };
            let ears = slot.get_or_insert_with(open);
            let session = &mut self.session;
            ears.on_item(&item, gate, |samples, speech, at| session.handle_frame(side, samples, speech, at));
        }
        if let (None, Some(EchoPath { delay, gain_db })) = (before, gate.path()) {
            let (side, delay_ms) = (side.as_str(), delay.as_millis());
            tracing::info!(side, delay_ms, gain_db, "the echo of what a side hears is not recognised");
            metrics::counter!("tandem_speech_echo_paths_total").increment(1);
        }
    }

    fn on_heard(&mut self, side: Speaker, output: FromRecogniser) {
        let now = self.now();
        let Some(ears) = &mut self.ears[side as usize] else { return };
        match output {
            FromRecogniser::Result(SttOutput::Partial { segment, text }) => {
                self.session.handle_partial(segment, &text, now);
            }
            FromRecogniser::Result(SttOutput::Final { segment, text, unrecognised }) => {
                ears.finished(segment);
                self.session.handle_final(segment, &text, unrecognised, now);
            }
            FromRecogniser::Result(SttOutput::Missed { segment, .. }) => {
                ears.finished(segment);
                self.session.handle_missed(segment, now);
            }
            FromRecogniser::Opened(result) => {
                let missed = ears.opened(result);
                if ears.is_deaf() {
                    self.session.handle_unsupported(side, now);
                }
                missed.into_iter().for_each(|segment| self.session.handle_missed(segment, now));
            }
            // Its unfinished segments are missed, and the call continues without it.
            FromRecogniser::Gone => {
                ears.gone();
                self.session.handle_recogniser_gone(side, now);
            }
        }
    }

    fn on_translated(&mut self, Translated { clause, revision, result }: Translated) {
        self.waiting = self.waiting.saturating_sub(1);
        if let Err(error) = &result {
            tracing::warn!(clause = clause.0, %error, "a clause is not translated: the listener has the original");
            metrics::counter!("tandem_speech_failures_total", "kind" => "translate").increment(1);
        }
        self.session.handle_translation(clause, revision, result.ok().as_deref(), self.now());
    }

    fn on_voiced(&mut self, Voiced { clause, revision, piece }: Voiced) {
        let now = self.now();
        let Some(buffer) = self.voices.get_mut(&clause) else { return };
        let begins = matches!(piece, Piece::Samples(..)) && !buffer.is_begun();
        match piece {
            Piece::Samples(rate, samples) => buffer.push(rate, samples),
            Piece::End | Piece::Failed if !buffer.is_begun() => {
                self.voices.remove(&clause);
                return self.session.handle_voice(clause, revision, Voice::Failed, now);
            }
            Piece::End | Piece::Failed => buffer.is_complete = true,
        }
        if begins {
            self.session.handle_voice(clause, revision, Voice::Begun, now);
        }
        self.play_out(clause);
    }

    /// Sends what there is of a clause's voice to its listener, if it is played.
    fn play_out(&mut self, clause: ClauseId) {
        let Some(buffer) = self.voices.get_mut(&clause) else { return };
        let Some(playing) = &mut buffer.playing else { return };
        let listener = playing.listener;
        let mut chunks = Vec::new();
        for (rate, samples) in buffer.pieces.drain(..) {
            if let Some((_, mut before)) = playing.pace.take_if(|(known, _)| *known != rate) {
                chunks.push((rate, before.finish()));
            }
            let (_, pace) = playing.pace.get_or_insert_with(|| (rate, Pace::new(rate, playing.speed)));
            chunks.push((rate, pace.push(samples)));
        }
        let is_complete = buffer.is_complete;
        if is_complete && let Some((rate, pace)) = &mut playing.pace {
            chunks.push((*rate, pace.finish()));
        }
        for (rate, samples) in chunks.into_iter().filter(|(_, samples)| !samples.is_empty()) {
            if let Some((_, until)) = self.sounding.get_mut(&clause) {
                *until += duration(samples.len(), rate);
            }
            let chunk = PlayChunk { listener, clause: clause.0, rate, samples: samples.into(), last: false };
            self.order(PlayOrder::Chunk(chunk));
        }
        if is_complete {
            self.voices.remove(&clause);
            self.order(PlayOrder::Chunk(end_of(listener, clause)));
        }
    }

    fn order(&self, order: PlayOrder) {
        if self.playout.try_send(order).is_err() {
            metrics::counter!("tandem_speech_overflow_total", "kind" => "playout").increment(1);
        }
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.session.poll_effect() {
            match effect {
                Effect::Begin(side, segment) => self.feed_recogniser(side, SttInput::Begin(segment)),
                Effect::Audio(side, samples) => self.feed_recogniser(side, SttInput::Audio(samples)),
                Effect::End(side, segment) => self.feed_recogniser(side, SttInput::End(segment)),
                Effect::Translate(request) => self.translate(request),
                Effect::Speak { speaker, clause, revision, text, language } => {
                    let (wanted_in, wanted) = oneshot::channel();
                    self.voices.insert(clause, Buffer::new(wanted_in));
                    let sentence = Sentence { clause, revision, text, language, wanted };
                    if self.speak[speaker as usize].try_send(sentence).is_err() {
                        tracing::warn!(
                            clause = clause.0,
                            "the synthesiser does not keep up: a clause is shown as text"
                        );
                        metrics::counter!("tandem_speech_overflow_total", "kind" => "tts").increment(1);
                        self.voices.remove(&clause);
                        self.session.handle_voice(clause, revision, Voice::Failed, self.now());
                    }
                }
                Effect::Play(listener, clause, speed) => {
                    self.sounding.insert(clause, (listener, self.now() + OVERDUE));
                    if let Some(buffer) = self.voices.get_mut(&clause) {
                        buffer.playing = Some(Playing { listener, speed, pace: None });
                    }
                    self.play_out(clause);
                }
                Effect::Stop(listener, clause) => {
                    self.sounding.remove(&clause);
                    self.voices.remove(&clause);
                    self.order(PlayOrder::Stop { listener, clause: clause.0 });
                }
                Effect::Discard(clause) => {
                    self.voices.remove(&clause);
                }
                Effect::Echo(side, segment) => {
                    tracing::info!(
                        side = side.as_str(),
                        segment,
                        "a side sent back a translation: it is not recognised"
                    );
                    metrics::counter!("tandem_speech_echo_segments_total").increment(1);
                }
                // Opened again with the next frame.
                Effect::Recognise(side) => self.ears[side as usize] = None,
                Effect::Listeners(listeners) => {
                    self.log_levels(&listeners);
                    self.unreported = Some(listeners);
                    self.report_listeners();
                }
                Effect::Publish(event) => {
                    if self.events.try_send(event).is_err() {
                        metrics::counter!("tandem_translation_events_dropped_total").increment(1);
                    }
                }
            }
        }
        // A clause that no listener waits for is not played.
        let session = &self.session;
        self.voices.retain(|clause, _| session.is_remembered(*clause));
    }

    /// Reports how the sides listen, if the player has room; otherwise at the next tick, because a listener could stay without sound.
    fn report_listeners(&mut self) {
        if let Some(listeners) = self.unreported.take() {
            let order = PlayOrder::Listeners(listeners.clone());
            // The end of the player is the end of the call.
            if let Err(mpsc::error::TrySendError::Full(_)) = self.playout.try_send(order) {
                self.unreported = Some(listeners);
            }
        }
    }

    fn log_levels(&mut self, listeners: &[Listener; 2]) {
        for (side, now) in Speaker::BOTH.into_iter().zip(listeners) {
            if std::mem::replace(&mut self.levels[side as usize], now.level) != now.level {
                let level = now.level.as_str();
                tracing::info!(listener = side.as_str(), level, "translations reach a listener differently");
                metrics::counter!("tandem_translation_levels_total", "level" => level).increment(1);
            }
        }
    }

    fn translate(&mut self, request: Request) {
        let Some(queue) = self.translate.get(request.speaker.0 as usize) else { return };
        let (clause, revision) = (request.clause, request.revision);
        match queue.try_send(request) {
            Ok(()) => self.waiting += 1,
            Err(_) => {
                tracing::warn!(clause = clause.0, "the translator does not keep up: the listener has the original");
                metrics::counter!("tandem_speech_overflow_total", "kind" => "translate").increment(1);
                self.session.handle_translation(clause, revision, None, self.now());
            }
        }
    }

    fn feed_recogniser(&mut self, side: Speaker, input: SttInput) {
        let Some(ears) = &mut self.ears[side as usize] else { return };
        for segment in ears.feed(input, &self.providers) {
            self.session.handle_missed(segment, self.now());
        }
    }

    /// Ends the open segments and waits for their texts and translations.
    async fn finish(&mut self) {
        Speaker::BOTH.into_iter().for_each(|side| self.drain(side));
        self.session.finish(self.now());
        self.carry_out();
        let deadline = tokio::time::Instant::now() + FINISH;
        let mut tick = tokio::time::interval(TICK);
        while self.waiting > 0 || self.ears.iter().flatten().any(Ears::expects) {
            tokio::select! {
                _ = tick.tick() => self.ears.iter_mut().flatten().for_each(Ears::pump),
                (side, output) = heard(&mut self.ears) => self.on_heard(side, output),
                Some(translated) = self.translated.recv() => self.on_translated(translated),
                Some(voiced) = self.voiced.recv() => self.on_voiced(voiced),
                () = tokio::time::sleep_until(deadline) => {
                    tracing::warn!("the last words were not finished within 1 s");
                    break;
                }
            }
            self.carry_out();
        }
        self.session.close(self.now());
        self.carry_out();
    }
}

fn duration(samples: usize, rate: SampleRate) -> Duration {
    Duration::from_secs_f64(samples as f64 / f64::from(rate.hz()))
}

/// Returns the empty chunk that ends a clause.
fn end_of(listener: Speaker, clause: ClauseId) -> PlayChunk {
    PlayChunk { listener, clause: clause.0, rate: LIVE_RATE, samples: Arc::default(), last: true }
}

async fn heard(ears: &mut [Option<Ears>; 2]) -> (Speaker, FromRecogniser) {
    let [customer, agent] = ears;
    let next = async |ears: &mut Option<Ears>| match ears {
        Some(ears) => ears.next().await,
        None => std::future::pending().await,
    };
    tokio::select! {
        output = next(customer) => (Speaker::Customer, output),
        output = next(agent) => (Speaker::Agent, output),
    }
}

mod tasks;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_dying;
