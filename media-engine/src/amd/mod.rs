//! What answered a call: a person, a machine, an exchange, from the audio alone.
//!
//! ```text
//! 20 ms of sound ─▶ tones (codecs::progress) ─────────────────▶ fax, SIT, busy, ringback; a beep after speech: a machine
//!              └─▶ features ─ every 100 ms ─▶ forest ─▶ policy ─▶ human, machine, screening, ivr, music, silence
//! ```
//!
//! Invariants: a decision depends only on sound that has been heard, and its time is the amount of that sound. There is one
//! verdict. What is heard later and contradicts it is one revision, which never changes the verdict. Nothing is allocated after
//! [`Detector::new`].
//!
//! Not here: tones (`codecs::progress`), what follows a verdict, and the training of the classifier (`amd-training`).

mod features;
mod forest;
mod policy;

use std::sync::LazyLock;
use std::time::Duration;

use codecs::SampleRate;
use codecs::progress::{Beep, FaxKind, Heard, Progress, Signal, SignalKind, SitKind};
use codecs::resample::Resampler;

use features::{FRAME, Features};
use forest::{CLASSES, Forest};
pub use policy::Mode;
use policy::Policy;

/// Frames between two looks of the classifier: 100 ms.
const STEP: u32 = 5;
/// Probability of a verdict that a tone decides. Tones are told from voices without a classifier.
const BY_TONE: f32 = 0.99;
/// Longest distance between the last speech and a beep that ends a greeting.
const BEEP_AFTER_SPEECH: Duration = Duration::from_secs(6);

static FOREST: LazyLock<Forest> = LazyLock::new(Forest::trained);

/// What answered a call, as far as its sound tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// A person who speaks live.
    Human,
    /// A voicemail, with or without a beep.
    Machine,
    /// An assistant that asks who is calling.
    Screening,
    /// A menu or a queue.
    Ivr,
    /// A fax machine or a modem.
    Fax,
    /// Special information tones, or a tone of an unobtainable number.
    Sit,
    /// A busy or congestion tone.
    Busy,
    /// A ringing tone.
    Ringback,
    /// Music without speech.
    Music,
    /// No sound within the time limit.
    Silence,
    /// None of these.
    Unknown,
}

impl Answer {
    /// Returns the word for the answer in the API and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Answer::Human => "human",
            Answer::Machine => "machine",
            Answer::Screening => "screening",
            Answer::Ivr => "ivr",
            Answer::Fax => "fax",
            Answer::Sit => "sit",
            Answer::Busy => "busy",
            Answer::Ringback => "ringback",
            Answer::Music => "music",
            Answer::Silence => "silence",
            Answer::Unknown => "unknown",
        }
    }

    /// Returns the answer of a class of the classifier.
    fn of_class(class: usize) -> Answer {
        match CLASSES[class] {
            "human" => Answer::Human,
            "machine" => Answer::Machine,
            "screening" => Answer::Screening,
            "ivr" => Answer::Ivr,
            "music" => Answer::Music,
            "silence" => Answer::Silence,
            _ => Answer::Unknown,
        }
    }
}

/// Ground of a decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ground {
    /// Timing, voice and channel of what was heard.
    Sound,
    /// Tone of a fax machine or a modem.
    Fax(FaxKind),
    /// Special information tones.
    Sit(SitKind),
    /// Tone of an exchange.
    Signal(SignalKind),
    /// Beep after speech.
    Beep,
}

/// A decision about what answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// What answered the call.
    pub answer: Answer,
    /// Probability that it is right, from 0 to 1.
    pub probability: f32,
    /// Amount of sound that had been heard since the answer.
    pub at: Duration,
    /// Ground of the decision.
    pub ground: Ground,
}

/// What the detector reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AmdEvent {
    /// The verdict. There is at most one.
    Verdict(Verdict),
    /// What was heard after the verdict contradicts it. There is at most one.
    Revised(Verdict),
    /// A beep has ended. A later event with the same start replaces it, because another pulse followed.
    Beep(Beep),
}

/// Detector of what answered, for one leg.
///
/// ```
/// use std::time::Duration;
/// use codecs::SampleRate;
/// use codecs::tones::Sine;
/// use media_engine::amd::{AmdEvent, Answer, Detector, Mode};
///
/// let mut detector = Detector::new(SampleRate::HZ_8000, Mode::Balanced);
/// let mut tone = Sine::new(SampleRate::HZ_8000, 425.0, -20.0);
/// let mut verdict = None;
/// for n in 0..300 {
///     let mut frame = [0; 160];
///     // Busy in most of Europe: half a second on, half a second off.
///     if n % 50 < 25 {
///         tone.fill(&mut frame);
///     }
///     detector.push(&frame, |event| {
///         if let AmdEvent::Verdict(found) = event {
///             verdict = Some(found);
///         }
///     });
/// }
/// let verdict = verdict.expect("six seconds of a busy tone");
/// assert_eq!(verdict.answer, Answer::Busy);
/// assert!(verdict.at < Duration::from_secs(4));
/// ```
pub struct Detector {
    resampler: Resampler,
    /// Sound at 8 kHz that does not fill a frame yet.
    waiting: Vec<i16>,
    piece: Box<[i16]>,
    progress: Progress,
    features: Features,
    policy: Policy,
    frames: u32,
    verdict: Option<Verdict>,
    revised: bool,
}

impl Detector {
    /// Creates a detector for the sound of a leg at `rate`, which begins with the answer.
    pub fn new(rate: SampleRate, mode: Mode) -> Detector {
        let resampler = Resampler::new(rate, SampleRate::HZ_8000);
        let piece = vec![0; resampler.max_output(rate.samples_in_ms(20))].into_boxed_slice();
        Detector {
            waiting: Vec::with_capacity(FRAME + piece.len()),
            piece,
            resampler,
            progress: Progress::new(SampleRate::HZ_8000),
            features: Features::new(),
            policy: Policy::new(mode),
            frames: 0,
            verdict: None,
            revised: false,
        }
    }

    /// Takes the next sound, at most 20 ms, and reports what it decides, in order.
    pub fn push(&mut self, sound: &[i16], mut report: impl FnMut(AmdEvent)) {
        let length = self.resampler.process(sound, &mut self.piece);
        self.waiting.extend_from_slice(&self.piece[..length]);
        while let Some(frame) = self.waiting.first_chunk::<FRAME>().copied() {
            self.waiting.drain(..FRAME);
            self.on_frame(&frame, &mut report);
        }
    }

    /// Returns the verdict, once there is one.
    pub fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    /// Returns the amount of sound that was heard.
    pub fn heard(&self) -> Duration {
        Duration::from_millis(20) * self.frames
    }

    fn on_frame(&mut self, frame: &[i16; FRAME], report: &mut impl FnMut(AmdEvent)) {
        self.features.push(frame);
        self.frames += 1;
        let at = self.heard();
        let mut by_tone = None;
        for event in self.progress.push(frame) {
            match event.heard {
                Heard::Beep(beep) => {
                    report(AmdEvent::Beep(beep));
                    by_tone = by_tone.or(self
                        .features
                        .spoke_before(beep.start_ms, BEEP_AFTER_SPEECH)
                        .then_some((Answer::Machine, Ground::Beep)));
                }
                Heard::Fax { kind, .. } => by_tone = Some((Answer::Fax, Ground::Fax(kind))),
                Heard::Sit { kind, .. } => by_tone = Some((Answer::Sit, Ground::Sit(kind))),
                Heard::Signal(signal) => {
                    by_tone = of_signal(&signal).map(|answer| (answer, Ground::Signal(signal.kind))).or(by_tone)
                }
                Heard::ToneBegan(_) | Heard::Tone(_) | Heard::Key { .. } | Heard::CallWaiting(_) => {}
            }
        }
        if let Some((answer, ground)) = by_tone {
            self.decide(Verdict { answer, probability: BY_TONE, at, ground }, report);
        }
        if self.verdict.is_none() && self.frames.is_multiple_of(STEP) {
            let vector = self.features.vector();
            if let Some(found) = self.policy.decide(&vector, &FOREST.probabilities(&vector)) {
                let answer = Answer::of_class(found.class);
                self.decide(Verdict { answer, probability: found.probability, at, ground: Ground::Sound }, report);
            }
        }
    }

    /// Makes this the verdict, or the revision of one that it contradicts.
    fn decide(&mut self, found: Verdict, report: &mut impl FnMut(AmdEvent)) {
        match self.verdict {
            None => {
                self.verdict = Some(found);
                report(AmdEvent::Verdict(found));
            }
            Some(verdict) if verdict.answer != found.answer && !self.revised => {
                // An assistant and a menu beep as well.
                let fits = found.ground == Ground::Beep && matches!(verdict.answer, Answer::Screening | Answer::Ivr);
                if !fits {
                    self.revised = true;
                    report(AmdEvent::Revised(found));
                }
            }
            Some(_) => {}
        }
    }
}

/// Returns what a tone of an exchange means for the answer; a dial tone means nothing.
fn of_signal(signal: &Signal) -> Option<Answer> {
    match signal.kind {
        SignalKind::Ringback => Some(Answer::Ringback),
        SignalKind::Busy | SignalKind::Congestion => Some(Answer::Busy),
        SignalKind::Unobtainable => Some(Answer::Sit),
        SignalKind::Dial => None,
    }
}
