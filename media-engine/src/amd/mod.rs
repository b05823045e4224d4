//! What answered a call: a person, a machine, an exchange, from the audio alone.
//!
//! ```text
//! 20 ms of sound ─▶ tones (codecs::progress) ─────────────────▶ fax, SIT, busy, ringback; a beep after speech: a machine
//!              └─▶ features ─ every 100 ms ─▶ forest ─▶ policy ─▶ human, machine, screening, ivr, music, silence
//!                  └ net: kinds of phrases, such as "leave a message"
//! ```
//!
//! Invariants: a decision depends only on sound that has been heard, and its time is the amount of that sound. There is one
//! verdict. What is heard later and contradicts it is one revision, which never changes the verdict. Nothing is allocated after
//! [`Detector::new`] (`no_alloc_pure`).
//!
//! Used by calls (`engine::screening`) and on files (`tandem amd`).
//!
//! Not here: tones (`codecs::progress`), what follows a verdict, and the training of the classifier (`amd-training`).

mod features;
mod forest;
mod frame;
mod line;
mod message;
mod net;
mod numbers;
mod policy;
mod segments;

use std::sync::LazyLock;
use std::time::Duration;

use codecs::SampleRate;
use codecs::progress::{Beep, FaxKind, Heard, Progress, Signal, SignalKind, SitKind};
use codecs::resample::Resampler;

use features::Features;
use forest::{CLASSES, Forest};
use frame::FRAME;
pub use line::LineHint;
pub use message::{MessageAfter, MessageCue, MessageWatch};
pub use policy::Mode;
use policy::{HUMAN, Policy};

/// Frames between two looks of the classifier: 100 ms.
const STEP: u32 = 5;
/// Probability of a verdict that a tone decides. Tones are told from voices without a classifier.
const BY_TONE: f32 = 0.99;
/// Longest distance between the last speech and a beep that ends a greeting.
const BEEP_AFTER_SPEECH: Duration = Duration::from_secs(6);

/// Number of features that are named as grounds of a decision.
pub const SIGNS: usize = 6;
/// Least level of a machine's beep above the noise of the line.
const BEEP_ABOVE_FLOOR_DB: f32 = 20.0;

static FOREST: LazyLock<Forest> = LazyLock::new(Forest::trained);

/// What answered a call, as far as its sound tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
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

impl Ground {
    /// Returns the word for the ground on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Ground::Sound => "sound",
            Ground::Fax(_) => "fax",
            Ground::Sit(_) => "sit",
            Ground::Signal(_) => "signal",
            Ground::Beep => "beep",
        }
    }

    /// Returns whether a decision on this ground contradicts an earlier one. After a voice, a tone of the exchange only says that
    /// the other end hung up; an assistant and a menu beep like a voicemail.
    fn contradicts(self, answer: Answer) -> bool {
        match self {
            Ground::Sound => false,
            Ground::Fax(_) | Ground::Sit(_) => true,
            Ground::Signal(_) => matches!(answer, Answer::Silence | Answer::Music | Answer::Unknown | Answer::Ringback),
            Ground::Beep => matches!(answer, Answer::Human | Answer::Silence | Answer::Music | Answer::Unknown),
        }
    }
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

/// A kind of phrase that was recognised in a greeting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Phrase {
    /// English name of the kind, such as "leave a message"; the words may have been said in any language.
    pub phrase: &'static str,
    /// Probability that it was said, at its strongest moment.
    pub probability: f32,
}

/// A feature and its part in a decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sign {
    /// Name of the feature, as in `amd-training/README.md`.
    pub feature: &'static str,
    /// Value of the feature.
    pub value: f32,
    /// Contribution to the verdict in log odds: positive for a person, negative for a recording.
    pub weight: f32,
}

/// A report of the detector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AmdEvent {
    /// The verdict. There is at most one.
    Verdict(Verdict),
    /// A correction: later sound contradicts the verdict. There is at most one.
    Revised(Verdict),
    /// A beep has ended. A later event with the same start replaces it, because another pulse followed.
    Beep(Beep),
}

/// Detector of the kind of answer, for one leg.
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
    /// Most samples that are resampled at once: 20 ms.
    longest: usize,
    /// Sound at 8 kHz that does not fill a frame yet.
    waiting: Vec<i16>,
    piece: Box<[i16]>,
    progress: Progress,
    features: Features,
    policy: Policy,
    frames: u32,
    /// Probability of a person at the last look of the classifier.
    human: f32,
    verdict: Option<Verdict>,
    revised: bool,
}

impl Detector {
    /// Creates a detector for the sound of a leg at `rate`, which begins with the answer.
    pub fn new(rate: SampleRate, mode: Mode) -> Detector {
        // The weights are read now, not in the middle of a call.
        LazyLock::force(&FOREST);
        let resampler = Resampler::new(rate, SampleRate::HZ_8000);
        let longest = rate.samples_in_ms(20);
        let piece = vec![0; resampler.max_output(longest)].into_boxed_slice();
        Detector {
            longest,
            waiting: Vec::with_capacity(FRAME + piece.len()),
            piece,
            resampler,
            progress: Progress::new(SampleRate::HZ_8000),
            features: Features::new(),
            policy: Policy::new(mode),
            frames: 0,
            human: 0.5,
            verdict: None,
            revised: false,
        }
    }

    /// Takes the next sound, of any length, and reports what it decides, in order.
    pub fn push(&mut self, sound: &[i16], mut report: impl FnMut(AmdEvent)) {
        for part in sound.chunks(self.longest) {
            let length = self.resampler.process(part, &mut self.piece);
            self.waiting.extend_from_slice(&self.piece[..length]);
            while let Some(frame) = self.waiting.first_chunk::<FRAME>().copied() {
                self.waiting.drain(..FRAME);
                self.on_frame(&frame, &mut report);
            }
        }
    }

    /// Returns the verdict, once there is one.
    pub fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    /// Returns the probability of a person, from 0 to 1, as of the last 100 ms before the verdict.
    pub fn human(&self) -> f32 {
        self.human
    }

    /// Returns the features of everything that was heard, by name. Allocates; meant for explanations.
    pub fn features(&self) -> Vec<(&'static str, f32)> {
        features::NAMES.into_iter().zip(self.features.vector()).collect()
    }

    /// Decides at the end of a recording, when nothing more will be heard: silence if no one spoke, otherwise unknown.
    pub fn finish(&mut self, mut report: impl FnMut(AmdEvent)) {
        if self.verdict.is_none() {
            let answer = if self.speech_end(self.heard()).is_some() { Answer::Unknown } else { Answer::Silence };
            self.decide(Verdict { answer, probability: 0.5, at: self.heard(), ground: Ground::Sound }, &mut report);
        }
    }

    /// Returns the end of the last speech that began before this moment, within the first 30 s.
    pub fn speech_end(&self, before: Duration) -> Option<Duration> {
        self.features.speech_end(before)
    }

    /// Returns the kinds of phrases that were most likely said so far, the likeliest first; `None` where there are fewer.
    ///
    /// It is one of the grounds of a decision by [`Ground::Sound`], beside timing, voice and channel.
    pub fn phrases(&self) -> [Option<Phrase>; 3] {
        self.features.phrases().map(|heard| heard.map(|(phrase, probability)| Phrase { phrase, probability }))
    }

    /// Returns the features that weigh most for or against a person in what was heard so far, the heaviest first; `None` where there
    /// are fewer. They are grounds of a decision by [`Ground::Sound`] only.
    pub fn signs(&self) -> [Option<Sign>; SIGNS] {
        let vector = self.features.vector();
        let likeliest = policy::recorded(&FOREST.probabilities(&vector));
        let weights = FOREST.weights(&vector, likeliest);
        let mut signs = [None; SIGNS];
        for (n, weight) in weights.into_iter().enumerate().filter(|(_, weight)| *weight != 0.0) {
            let lighter = |other: &Option<Sign>| other.is_none_or(|other| other.weight.abs() < weight.abs());
            if let Some(at) = signs.iter().position(lighter) {
                signs[at..].rotate_right(1);
                signs[at] = Some(Sign { feature: features::NAMES[n], value: vector[n], weight });
            }
        }
        signs
    }

    /// Returns the kind of line on which a person seems to have answered, as far as it can be told; `None` in doubt or if no person did.
    pub fn line(&self) -> Option<LineHint> {
        let verdict = self.verdict.filter(|verdict| verdict.answer == Answer::Human)?;
        (verdict.ground == Ground::Sound).then(|| LineHint::of(&self.features.vector())).flatten()
    }

    /// Returns the amount of sound that was heard.
    pub fn heard(&self) -> Duration {
        Duration::from_millis(20) * self.frames
    }

    fn on_frame(&mut self, frame: &[i16; FRAME], report: &mut impl FnMut(AmdEvent)) {
        self.features.push(frame);
        self.frames += 1;
        let at = self.heard();
        let (mut by_tone, mut beeped) = (None, false);
        for event in self.progress.push(frame) {
            match event.heard {
                Heard::Beep(beep) => {
                    report(AmdEvent::Beep(beep));
                    let start = Duration::from_millis(beep.start_ms.into());
                    let spoke = self
                        .features
                        .speech_end(start)
                        .is_some_and(|end| start.saturating_sub(end) < BEEP_AFTER_SPEECH);
                    // A beep in the room of a person who answered is weaker.
                    if spoke && beep.above_floor_db > BEEP_ABOVE_FLOOR_DB {
                        beeped = true;
                    }
                }
                Heard::Fax { kind, .. } => by_tone = Some((Answer::Fax, Ground::Fax(kind))),
                Heard::Sit { kind, .. } => by_tone = Some((Answer::Sit, Ground::Sit(kind))),
                Heard::Signal(signal) => {
                    by_tone = of_signal(&signal).map(|answer| (answer, Ground::Signal(signal.kind))).or(by_tone)
                }
                Heard::ToneBegan(_) | Heard::Tone(_) | Heard::Key { .. } | Heard::CallWaiting(_) => {}
            }
        }
        if beeped && by_tone.is_none() {
            by_tone = Some((self.beeping(), Ground::Beep));
        }
        if let Some((answer, ground)) = by_tone {
            self.decide(Verdict { answer, probability: BY_TONE, at, ground }, report);
        }
        if self.verdict.is_none() && self.frames.is_multiple_of(STEP) {
            let vector = self.features.vector();
            let probabilities = FOREST.probabilities(&vector);
            self.human = probabilities[HUMAN];
            if let Some(found) = self.policy.decide(&vector, &probabilities) {
                let answer = Answer::of_class(found.class);
                self.decide(Verdict { answer, probability: found.probability, at, ground: Ground::Sound }, report);
            }
        }
    }

    /// What beeps after it spoke: a voicemail, unless the words were those of an assistant or a menu. What was taken for a person is
    /// revised to a voicemail.
    fn beeping(&self) -> Answer {
        if self.verdict.is_some() {
            return Answer::Machine;
        }
        Answer::of_class(policy::recorded(&FOREST.probabilities(&self.features.vector())))
    }

    /// Makes this the verdict, or the revision of one that it contradicts.
    fn decide(&mut self, found: Verdict, report: &mut impl FnMut(AmdEvent)) {
        match self.verdict {
            None => {
                self.verdict = Some(found);
                report(AmdEvent::Verdict(found));
            }
            Some(verdict)
                if !self.revised && verdict.answer != found.answer && found.ground.contradicts(verdict.answer) =>
            {
                self.revised = true;
                report(AmdEvent::Revised(found));
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

#[cfg(test)]
mod tests {
    use codecs::tones::Sine;

    use super::*;

    const RATE: SampleRate = SampleRate::HZ_8000;

    /// Plays pieces of silence or of tones (frequencies, milliseconds) and returns what is reported.
    fn play(pieces: &[(&[f32], usize)]) -> Vec<AmdEvent> {
        let mut detector = Detector::new(RATE, Mode::Balanced);
        let mut sound = Vec::new();
        for (frequencies, ms) in pieces {
            let mut piece = vec![0_i16; RATE.samples_in_ms(u32::try_from(*ms).unwrap())];
            for hz in *frequencies {
                let mut one = vec![0_i16; piece.len()];
                Sine::new(RATE, *hz, -20.0).fill(&mut one);
                piece.iter_mut().zip(&one).for_each(|(sum, sample)| *sum += sample);
            }
            sound.append(&mut piece);
        }
        let mut events = Vec::new();
        for frame in sound.chunks(160) {
            detector.push(frame, |event| events.push(event));
        }
        detector.finish(|event| events.push(event));
        events
    }

    fn verdicts(events: &[AmdEvent]) -> Vec<(Answer, u128)> {
        let verdict = |event: &AmdEvent| match event {
            AmdEvent::Verdict(verdict) => Some((verdict.answer, verdict.at.as_millis())),
            _ => None,
        };
        events.iter().filter_map(verdict).collect()
    }

    #[test]
    fn tones_of_exchanges_and_fax_machines_decide_at_once() {
        let busy: Vec<(&[f32], usize)> = [(&[425.0_f32][..], 500), (&[][..], 500)].repeat(5);
        let ringing: Vec<(&[f32], usize)> = [(&[440.0_f32, 480.0][..], 2000), (&[][..], 4000)].repeat(2);
        let sit: Vec<(&[f32], usize)> = vec![(&[950.0], 330), (&[1400.0], 330), (&[1800.0], 330), (&[], 2000)];
        let fax: Vec<(&[f32], usize)> = vec![(&[], 300), (&[2100.0], 3000), (&[], 500)];
        for (name, sound, answer, most) in [
            ("busy", busy, Answer::Busy, 3_500),
            ("ringback", ringing, Answer::Ringback, 8_500),
            ("SIT", sit, Answer::Sit, 1_500),
            ("fax", fax, Answer::Fax, 2_000),
        ] {
            let found = verdicts(&play(&sound));
            assert!(matches!(found[..], [(first, at)] if first == answer && at <= most), "{name}: {found:?}");
        }
    }

    #[test]
    fn a_beep_after_speech_makes_a_machine_of_what_was_taken_for_a_person() {
        let mut detector = Detector::new(RATE, Mode::Balanced);
        let vowel = |t: f64| {
            let harmonics = (1..20).map(|h| (std::f64::consts::TAU * 125.0 * f64::from(h) * t).sin() / f64::from(h));
            3_000.0 * harmonics.sum::<f64>() * (0.6 + 0.4 * (std::f64::consts::TAU * 4.0 * t).sin())
        };
        let sound = |n: u32| match f64::from(n) / 8_000.0 {
            t if (0.5..1.2).contains(&t) => vowel(t) as i16,
            t if (3.5..3.9).contains(&t) => (4_000.0 * (std::f64::consts::TAU * 1_000.0 * t).sin()) as i16,
            _ => 0,
        };
        let mut events = Vec::new();
        detector.push(&(0..40_000).map(sound).collect::<Vec<i16>>(), |event| events.push(event));
        let [AmdEvent::Verdict(verdict), AmdEvent::Beep(beep), AmdEvent::Revised(revised)] = events[..] else {
            panic!("{events:?}");
        };
        assert_eq!((verdict.answer, verdict.ground), (Answer::Human, Ground::Sound));
        assert!(beep.start_ms.abs_diff(3_500) <= 10 && beep.end_ms.abs_diff(3_900) <= 10, "{beep:?}");
        assert_eq!((revised.answer, revised.ground), (Answer::Machine, Ground::Beep));
        assert!(revised.at < Duration::from_millis(4_100), "{revised:?}");
        assert_eq!(detector.verdict(), Some(verdict), "the verdict stays");
    }

    #[test]
    fn a_verdict_is_revised_once_and_only_by_what_contradicts_it() {
        let (beep, busy, fax) = (Ground::Beep, Ground::Signal(SignalKind::Busy), Ground::Fax(FaxKind::Ced));
        for (answer, found, ground, is_revised) in [
            (Answer::Human, Answer::Machine, beep, true),
            (Answer::Screening, Answer::Machine, beep, false),
            (Answer::Ivr, Answer::Machine, beep, false),
            (Answer::Human, Answer::Busy, busy, false),
            (Answer::Machine, Answer::Busy, busy, false),
            (Answer::Ringback, Answer::Busy, busy, true),
            (Answer::Silence, Answer::Busy, busy, true),
            (Answer::Human, Answer::Fax, fax, true),
            (Answer::Fax, Answer::Fax, fax, false),
        ] {
            let mut detector = Detector::new(RATE, Mode::Balanced);
            let verdict = |answer, ground| Verdict { answer, probability: 0.9, at: Duration::ZERO, ground };
            let mut revisions = 0;
            let mut count = |event| revisions += usize::from(matches!(event, AmdEvent::Revised(_)));
            detector.decide(verdict(answer, Ground::Sound), &mut count);
            detector.decide(verdict(found, ground), &mut count);
            detector.decide(verdict(found, ground), &mut count);
            assert_eq!(revisions, usize::from(is_revised), "{answer:?}, {found:?}");
            assert_eq!(detector.verdict().map(|verdict| verdict.answer), Some(answer));
        }
    }

    #[test]
    fn no_phrase_is_evidence_before_anything_is_said() {
        let mut detector = Detector::new(RATE, Mode::Balanced);
        assert_eq!(detector.phrases(), [None; 3]);
        detector.push(&[0; 8_000], |_| {});
        assert_eq!(detector.phrases(), [None; 3]);
    }

    #[test]
    fn the_heaviest_features_come_first_with_the_values_that_were_heard() {
        let mut detector = Detector::new(RATE, Mode::Careful);
        let mut tone = Sine::new(RATE, 700.0, -20.0);
        for n in 0..100 {
            let mut frame = [0; 160];
            if n % 20 < 12 {
                tone.fill(&mut frame);
            }
            detector.push(&frame, |_| {});
        }
        let signs: Vec<Sign> = detector.signs().into_iter().flatten().collect();
        assert_eq!(signs.len(), SIGNS);
        assert!(signs.is_sorted_by(|a, b| a.weight.abs() >= b.weight.abs()), "{signs:?}");
        let features = detector.features();
        assert!(signs.iter().all(|sign| features.contains(&(sign.feature, sign.value))), "{signs:?}");
        let vector = detector.features.vector();
        let weights = FOREST.weights(&vector, policy::recorded(&FOREST.probabilities(&vector)));
        let most = weights.iter().map(|weight| weight.abs()).fold(0.0, f32::max);
        assert_eq!(signs[0].weight.abs(), most);
    }

    #[test]
    fn silence_is_named_when_the_time_limit_passes() {
        let found = verdicts(&play(&[(&[], 12_000)]));
        assert!(matches!(found[..], [(Answer::Silence, at)] if at < 12_000), "{found:?}");
        assert_eq!(verdicts(&play(&[(&[], 500)])), [(Answer::Silence, 500)], "a file that ends before");
    }

    #[test]
    fn a_verdict_is_given_once_and_a_frame_may_have_any_length() {
        let busy: Vec<(&[f32], usize)> = [(&[425.0_f32][..], 500), (&[][..], 500)].repeat(20);
        assert_eq!(verdicts(&play(&busy)).len(), 1);
        let mut detector = Detector::new(SampleRate::HZ_16000, Mode::Fast);
        let mut count = 0;
        for length in (1..700).cycle().take(2_000) {
            detector.push(&vec![0; length], |event| count += usize::from(matches!(event, AmdEvent::Verdict(_))));
        }
        assert_eq!(count, 1);
    }
}
