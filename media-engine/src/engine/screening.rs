//! The task that listens to a screened leg: it reads a tap, off the media thread, and reports what the detector finds.
//!
//! ```text
//!   worker ─ tap ─▶ Listener ─ Detector, MessageWatch ─▶ Found ─▶ the call's task
//!                      ▲                                               │
//!                      └──────── Order: judge again, message ──────────┘
//! ```
//!
//! Time zero is the start of the tap, which is the answer. Frames that the tap lost count as silence of their length.
//!
//! Invariants: dropping a [`Screening`] ends its task and its tap; every queue is bounded; a full queue of findings makes the task
//! wait while the tap drops its oldest frames, which are counted. Not here: what follows a finding (`task/screening`).

use std::time::Duration;

use codecs::SampleRate;
use codecs::progress::{Beep, Heard, Progress, SignalKind};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

use super::amd::{AmdEvidence, AmdFeature, AmdPhrase, AmdStrip};
use super::consumers;
use crate::amd::{AmdEvent, Answer, Detector, Ground, MessageCue, MessageWatch, Mode, Verdict};
use crate::audio::tap::{FrameKind, TapItem, TapReader};
use crate::units::LegId;
use crate::worker::Worker;

/// Interval at which a tap is emptied.
const LOOK: Duration = Duration::from_millis(20);
/// Capacity of a tap in frames: two seconds.
const TAP: usize = 100;
/// Number of findings that may wait for the call's task.
const FOUND: usize = 64;
/// Number of orders that may wait for a task.
const ORDERS: usize = 8;
/// Time for which a leg is listened to after its verdict, so that the verdict can be revised.
const AFTERWARDS: Duration = Duration::from_secs(15);
/// Quiet after which a greeting has ended, if no beep ends it before.
const GREETING_QUIET: Duration = Duration::from_millis(1_500);
/// Length of a step of a strip, and number of its steps.
const STEP: Duration = Duration::from_millis(100);
const STRIP_STEPS: usize = 5;
/// Least probability with which a kind of phrase is named as evidence.
const LIKELY: f32 = 0.5;
/// Intervals of speech that are kept as evidence.
const INTERVALS: usize = 32;

/// A finding about a screened leg.
#[derive(Debug)]
pub(super) enum Found {
    Strip(AmdStrip),
    Verdict(Verdict, AmdEvidence),
    Revised(Verdict, AmdEvidence),
    GreetingEnd(Duration),
    Beep(Beep),
    Message(MessageCue),
    /// A tone in early media says that the leg will not be answered.
    Early(Answer, Duration, AmdEvidence),
}

/// A finding and the leg that it is about.
pub(super) type Finding = (LegId, Found);

/// An order of the call's task.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// Start a new detection, with this time limit.
    Again(Duration),
    /// Wait for the moment at which a message may begin, and then for a person.
    Message { beep: Duration, for_machine: bool },
}

/// Purpose of listening to a leg.
#[derive(Clone, Copy, Debug)]
pub(super) enum Watch {
    /// A verdict on the answer, with this time limit.
    Answer(Mode, Duration),
    /// Only the moment for a message.
    Message,
    /// Tones in the early media of a leg that has not answered.
    Early,
}

/// A leg that is listened to. Dropping it ends its task.
pub(super) struct Screening {
    pub(super) leg: LegId,
    task: AbortHandle,
    orders: mpsc::Sender<Order>,
}

/// Counts a running listener.
struct Counted;

impl Counted {
    fn new() -> Counted {
        metrics::gauge!("tandem_amd_listeners").increment(1.0);
        Counted
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!("tandem_amd_listeners").decrement(1.0);
    }
}

impl Drop for Screening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Screening {
    /// Listens to the media of a leg, which answered `before` ago; `None`: the media worker is overloaded.
    pub(super) fn start(
        worker: &Worker,
        (leg, media): (LegId, LegId),
        (watch, before): (Watch, Duration),
        found: mpsc::Sender<Finding>,
    ) -> Option<Screening> {
        let tap = consumers::listen(worker, media, TAP)?;
        let (orders, order) = mpsc::channel(ORDERS);
        let listener = Listener { before, ..Listener::new(leg, watch, found) };
        let counted = Counted::new();
        let task = tokio::spawn(async move {
            listener.run(tap, order).await;
            drop(counted);
        });
        let task = task.abort_handle();
        Some(Screening { leg, task, orders })
    }

    /// Gives an order; `false`: the task has ended.
    pub(super) fn order(&self, order: Order) -> bool {
        self.orders.try_send(order).is_ok()
    }
}

/// Creates the channel of findings of one call.
pub(super) fn findings() -> (mpsc::Sender<Finding>, mpsc::Receiver<Finding>) {
    mpsc::channel(FOUND)
}

/// The state of a listening task.
struct Listener {
    leg: LegId,
    watch: Watch,
    found: mpsc::Sender<Finding>,
    rate: SampleRate,
    ear: Option<Ear>,
    /// Time since the answer before the detector began.
    before: Duration,
    message: Option<MessageWatch>,
    wants: Option<(Duration, bool)>,
    /// Time limit of the verdict, and of what may revise it, in sound since the answer.
    limit: Duration,
    decided: Option<Duration>,
    greeting_ended: bool,
    beep: Option<Beep>,
    strip: AmdStrip,
    intervals: Vec<(u64, u64)>,
    /// End of the last speech as of the last 100 ms, in sound since the detector began.
    speech_end: Option<Duration>,
}

/// What hears the sound.
enum Ear {
    Answer(Box<Detector>),
    Early(Box<Progress>, u32),
}

impl Listener {
    fn new(leg: LegId, watch: Watch, found: mpsc::Sender<Finding>) -> Listener {
        let limit = match watch {
            Watch::Answer(_, limit) => limit,
            Watch::Message | Watch::Early => Duration::MAX,
        };
        Listener {
            leg,
            watch,
            found,
            rate: SampleRate::HZ_8000,
            ear: None,
            before: Duration::ZERO,
            message: None,
            wants: None,
            limit,
            decided: None,
            greeting_ended: false,
            beep: None,
            strip: AmdStrip::default(),
            intervals: Vec::new(),
            speech_end: None,
        }
    }

    /// Runs until the tap ends, nothing is left to be found, or the call's task has gone.
    async fn run(mut self, mut tap: TapReader, mut orders: mpsc::Receiver<Order>) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut news = Vec::new();
        loop {
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(order) => self.on_order(order),
                    None => return,
                },
                _ = looks.tick() => {}
            }
            while let Some(item) = tap.pop() {
                self.hear(&item, &mut news);
            }
            for found in news.drain(..) {
                if self.found.send((self.leg, found)).await.is_err() {
                    return;
                }
            }
            if tap.is_finished() || self.is_done() {
                return;
            }
        }
    }

    /// Returns whether nothing more is to be found.
    fn is_done(&self) -> bool {
        let is_late = self.decided.is_some_and(|at| self.heard() > at + AFTERWARDS);
        is_late && self.greeting_ended && self.message.is_none() && self.wants.is_none()
    }

    fn on_order(&mut self, order: Order) {
        match order {
            Order::Again(limit) => {
                self.before = self.heard();
                (self.ear, self.decided, self.greeting_ended) = (None, None, false);
                self.limit = self.before.saturating_add(limit);
                (self.strip, self.beep, self.speech_end) = (AmdStrip::default(), None, None);
            }
            Order::Message { beep, for_machine } => self.wants = Some((beep, for_machine)),
        }
    }

    /// Returns the amount of sound that was heard since the answer.
    fn heard(&self) -> Duration {
        self.before
            + match &self.ear {
                Some(Ear::Answer(detector)) => detector.heard(),
                Some(Ear::Early(_, frames)) => LOOK * *frames,
                None => Duration::ZERO,
            }
    }

    fn hear(&mut self, item: &TapItem, news: &mut Vec<Found>) {
        let frame = &item.frame;
        if self.ear.is_none() || self.rate != frame.rate {
            self.before = self.heard();
            self.rate = frame.rate;
            let mode = match self.watch {
                Watch::Answer(mode, _) => mode,
                Watch::Message | Watch::Early => Mode::Balanced,
            };
            self.ear = Some(match self.watch {
                Watch::Early => Ear::Early(Box::new(Progress::new(frame.rate)), 0),
                Watch::Answer(..) | Watch::Message => Ear::Answer(Box::new(Detector::new(frame.rate, mode))),
            });
            self.message = None;
        }
        let silence = [0; crate::audio::tap::MAX_FRAME_SAMPLES];
        let length = frame.rate.samples_in_ms(20).min(silence.len());
        for _ in 0..item.gap.min(TAP as u64 * 5) {
            self.take(&silence[..length], news);
        }
        match frame.kind {
            FrameKind::Silence => self.take(&silence[..length], news),
            FrameKind::Voice | FrameKind::Concealed => self.take(frame.samples(), news),
        }
    }

    /// Takes 20 ms of sound.
    fn take(&mut self, sound: &[i16], news: &mut Vec<Found>) {
        let before = self.before;
        let detector = match &mut self.ear {
            Some(Ear::Early(progress, frames)) => {
                *frames += 1;
                let at = before + LOOK * *frames;
                for event in progress.push(sound) {
                    if let Some((answer, evidence)) = early(&event.heard) {
                        news.push(Found::Early(answer, at, evidence));
                    }
                }
                return;
            }
            Some(Ear::Answer(detector)) => detector,
            None => return,
        };
        let mut events: [Option<AmdEvent>; 8] = [None; 8];
        let mut count = 0;
        detector.push(sound, |event| {
            if let Some(slot) = events.get_mut(count) {
                *slot = Some(event);
                count += 1;
            }
        });
        if detector.heard().as_millis().is_multiple_of(STEP.as_millis()) {
            self.speech_end = detector.speech_end(detector.heard());
        }
        let speech_end = self.speech_end;
        self.note_speech(speech_end);
        self.note_strip(sound, speech_end, news);
        for event in events.into_iter().flatten() {
            self.on_event(event, news);
        }
        self.judge_limit(news);
        self.watch_greeting(speech_end, news);
        self.watch_message(sound, speech_end, news);
    }

    fn on_event(&mut self, event: AmdEvent, news: &mut Vec<Found>) {
        let judges = matches!(self.watch, Watch::Answer(..));
        match event {
            AmdEvent::Verdict(verdict) if judges && self.decided.is_none() => {
                self.decided = Some(self.heard());
                self.greeting_ended = !matches!(verdict.answer, Answer::Machine | Answer::Screening | Answer::Ivr);
                let evidence = self.evidence(verdict.ground);
                news.push(Found::Verdict(self.since_answer(verdict), evidence));
            }
            AmdEvent::Revised(verdict) if judges && self.decided.is_some() => {
                let evidence = self.evidence(verdict.ground);
                news.push(Found::Revised(self.since_answer(verdict), evidence));
            }
            AmdEvent::Verdict(_) | AmdEvent::Revised(_) => {}
            AmdEvent::Beep(beep) => {
                self.beep = Some(beep);
                if let Some(message) = &mut self.message {
                    message.on_beep(&beep);
                }
                news.push(Found::Beep(self.beep_since_answer(beep)));
            }
        }
    }

    fn since_answer(&self, verdict: Verdict) -> Verdict {
        Verdict { at: self.before + verdict.at, ..verdict }
    }

    fn beep_since_answer(&self, beep: Beep) -> Beep {
        let before = u32::try_from(self.before.as_millis()).unwrap_or(u32::MAX);
        let (start_ms, end_ms) = (beep.start_ms.saturating_add(before), beep.end_ms.saturating_add(before));
        Beep { start_ms, end_ms, ..beep }
    }

    /// Gives up at the time limit.
    fn judge_limit(&mut self, news: &mut Vec<Found>) {
        let (heard, judges) = (self.heard(), matches!(self.watch, Watch::Answer(..)));
        if judges && self.decided.is_none() && heard >= self.limit {
            (self.decided, self.greeting_ended) = (Some(heard), true);
            let evidence = AmdEvidence { ground: "limit".into(), ..self.evidence(Ground::Sound) };
            let verdict = Verdict { answer: Answer::Unknown, probability: 0.5, at: heard, ground: Ground::Sound };
            news.push(Found::Verdict(verdict, evidence));
        }
    }

    /// Notices the end of a recorded greeting: a beep after it, or quiet.
    fn watch_greeting(&mut self, speech_end: Option<Duration>, news: &mut Vec<Found>) {
        let Some(Ear::Answer(detector)) = &self.ear else { return };
        if self.greeting_ended || self.decided.is_none() {
            return;
        }
        let by_beep = self.beep.and_then(|beep| detector.speech_end(Duration::from_millis(beep.start_ms.into())));
        let by_quiet = speech_end.filter(|end| detector.heard().saturating_sub(*end) >= GREETING_QUIET);
        if let Some(end) = by_beep.or(by_quiet) {
            self.greeting_ended = true;
            news.push(Found::GreetingEnd(self.before + end));
        }
    }

    fn watch_message(&mut self, sound: &[i16], speech_end: Option<Duration>, news: &mut Vec<Found>) {
        let Some(Ear::Answer(detector)) = &self.ear else { return };
        if let Some(wants) = self.wants.take() {
            self.message = Some(MessageWatch::new(self.rate, (detector.heard(), speech_end, self.beep), wants));
        }
        if let Some(cue) = self.message.as_mut().and_then(|message| message.push(sound)) {
            news.push(Found::Message(cue));
        }
    }

    /// Notes the intervals of speech for the evidence.
    fn note_speech(&mut self, speech_end: Option<Duration>) {
        let Some(end) = speech_end else { return };
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (end, heard) = (ms(self.before + end), ms(self.heard()));
        let speaks = heard.saturating_sub(end) < 100;
        match self.intervals.last_mut() {
            Some((_, known)) if end <= *known => {}
            Some((_, known)) if end - *known <= 300 => *known = end,
            _ if speaks => {
                if self.intervals.len() == INTERVALS {
                    self.intervals.remove(0);
                }
                self.intervals.push((end.saturating_sub(20), end));
            }
            _ => {}
        }
    }

    fn evidence(&self, ground: Ground) -> AmdEvidence {
        let hz = match ground {
            Ground::Beep => self.beep.map(|beep| hertz(&beep)).unwrap_or_default(),
            _ => Vec::new(),
        };
        let evidence = AmdEvidence {
            ground: ground.as_str().into(),
            hz,
            speech: self.intervals.clone(),
            ..AmdEvidence::default()
        };
        let Some(Ear::Answer(detector)) = &self.ear else { return evidence };
        let phrases = detector.phrases().into_iter().flatten().filter(|said| said.probability >= LIKELY);
        let phrases = phrases.map(AmdPhrase::from).collect();
        let features = match ground {
            Ground::Sound => detector.signs().into_iter().flatten().map(AmdFeature::from).collect(),
            _ => Vec::new(),
        };
        AmdEvidence { line: detector.line(), phrases, features, ..evidence }
    }

    /// Adds a step to the strip every 100 ms, and reports it when it is full, until there is a verdict.
    fn note_strip(&mut self, sound: &[i16], speech_end: Option<Duration>, news: &mut Vec<Found>) {
        if self.decided.is_some() || !matches!(self.watch, Watch::Answer(..)) {
            return;
        }
        let heard = self.heard();
        let ms = heard.as_millis();
        if !ms.is_multiple_of(STEP.as_millis()) {
            return;
        }
        let Some(Ear::Answer(detector)) = &self.ear else { return };
        if self.strip.level_dbfs.is_empty() {
            self.strip.from_ms = u64::try_from(ms - STEP.as_millis()).unwrap_or_default();
        }
        let speaks = speech_end.is_some_and(|end| detector.heard().saturating_sub(end) < STEP);
        self.strip.level_dbfs.push(codecs::tones::level_dbfs(sound).clamp(-99.0, 0.0) as i8);
        self.strip.speech.push(speaks);
        self.strip.human.push((detector.human().clamp(0.0, 1.0) * 100.0) as u8);
        if self.strip.level_dbfs.len() == STRIP_STEPS {
            news.push(Found::Strip(std::mem::take(&mut self.strip)));
        }
    }
}

/// Returns the frequencies of a beep, rounded to hertz.
pub(super) fn hertz(beep: &Beep) -> Vec<u16> {
    beep.tone.lines().iter().map(|hz| hz.round().clamp(0.0, f32::from(u16::MAX)) as u16).collect()
}

/// Returns what a tone in early media means for the call.
fn early(heard: &Heard) -> Option<(Answer, AmdEvidence)> {
    let evidence = |ground: &str, lines: &[f32]| AmdEvidence {
        ground: ground.into(),
        hz: lines.iter().map(|hz| hz.round().clamp(0.0, f32::from(u16::MAX)) as u16).collect(),
        ..AmdEvidence::default()
    };
    match heard {
        Heard::Signal(signal) => match signal.kind {
            SignalKind::Busy | SignalKind::Congestion => Some((Answer::Busy, evidence("signal", signal.tone.lines()))),
            SignalKind::Unobtainable => Some((Answer::Sit, evidence("signal", signal.tone.lines()))),
            SignalKind::Ringback | SignalKind::Dial => None,
        },
        Heard::Sit { frequencies, .. } => Some((Answer::Sit, evidence("sit", frequencies))),
        _ => None,
    }
}
