//! When a speaker's turn has ended: the only place that decides it.
//!
//! ```text
//! speech probability per 20 ms ─▶ speaking, silent since ─┐
//! provider says the turn has ended ───────────────────────┼▶ wait for silence of a length ─▶ turn has ended
//! text: open phrase, number, closed question ─────────────┘
//! ```
//!
//! The length of the silence follows the speaker: it is longer than the pauses after which this speaker went on. An open
//! conjunction, preposition, article or number waits longer, a closed sentence shorter; the provider's word shortens the wait but
//! does not end a turn by itself while the text is open. A turn whose words only show attention is a back-channel
//! ([`Turns::is_back_channel`]).
//!
//! Invariants: a turn ends at most once, and only after it began; without activity scores the provider's word alone ends it.
//! Not here: the detector that gives the scores.

use std::time::Duration;

use super::lexicon::{self, Lexicon, normalised};

/// Duration of one activity score.
pub const FRAME: Duration = Duration::from_millis(20);
/// Probabilities of speech at which speaking begins and below which it ends.
const SPEECH: f32 = 0.6;
const SILENCE: f32 = 0.35;
/// Successive frames of speech that begin it: 60 ms, longer than a click.
const ONSET_FRAMES: u32 = 3;
/// Silence after which a turn ends when nothing else is known about speaker and text, and its limits.
const WAIT: Duration = Duration::from_millis(460);
const WAIT_LEAST: Duration = Duration::from_millis(350);
const WAIT_MOST: Duration = Duration::from_millis(1_600);
/// Silence after which any turn ends.
const WAIT_OPEN_MOST: Duration = Duration::from_millis(3_000);
/// Time within which a speaker who goes on after the end shows that the wait was too short.
const REGRET: Duration = Duration::from_millis(600);
/// Margin above the pauses of the speaker.
const MARGIN: f32 = 1.3;
/// Weight of a new pause in their average.
const WEIGHT: f32 = 0.25;

/// What the text says about the end of the turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// Something must follow.
    Open,
    /// Nothing is known.
    Neutral,
    /// A complete sentence.
    Closed,
    /// A complete question: an answer is expected.
    Question,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Voice {
    Silent { since: Duration },
    Speaking { quiet: Option<Duration> },
}

/// Turns of one speaker.
#[derive(Debug)]
pub struct Turns {
    lexicon: &'static Lexicon,
    voice: Voice,
    onset: u32,
    has_scores: bool,
    /// Whether a turn has begun and not ended.
    is_open: bool,
    meaning: Meaning,
    provider_ended: bool,
    /// Average of the pauses after which this speaker went on.
    pause: Duration,
    ended_at: Option<Duration>,
}

impl Turns {
    /// Creates the turns of a speaker of a language (BCP 47 tag).
    pub fn new(language: &str) -> Turns {
        Turns {
            lexicon: Lexicon::of(language),
            voice: Voice::Silent { since: Duration::ZERO },
            onset: 0,
            has_scores: false,
            is_open: false,
            meaning: Meaning::Neutral,
            provider_ended: false,
            pause: WAIT.div_f32(MARGIN),
            ended_at: None,
        }
    }

    /// Takes the probability of speech, from 0 to 1, in the frame that ends at `now`.
    pub fn on_activity(&mut self, probability: f32, now: Duration) {
        self.has_scores = true;
        self.onset = if probability >= SPEECH { self.onset.saturating_add(1) } else { 0 };
        match self.voice {
            Voice::Silent { since } if self.onset >= ONSET_FRAMES => {
                self.on_speech(since, now);
                self.voice = Voice::Speaking { quiet: None };
            }
            Voice::Speaking { quiet: None } if probability < SILENCE => {
                self.voice = Voice::Speaking { quiet: Some(now) };
            }
            Voice::Speaking { quiet: Some(_) } if probability >= SPEECH => self.voice = Voice::Speaking { quiet: None },
            Voice::Speaking { quiet: Some(since) } if now.saturating_sub(since) >= FRAME * 5 => {
                self.voice = Voice::Silent { since };
            }
            _ => {}
        }
    }

    /// Takes the words of the turn so far; the last ones decide.
    pub fn on_text<'a>(&mut self, words: impl DoubleEndedIterator<Item = &'a str>) {
        let Some(last) = words.rev().find(|word| !normalised(word).is_empty()) else { return };
        self.begin();
        let class = self.lexicon.class(&normalised(last));
        self.meaning = if last.ends_with(['?', '？']) {
            Meaning::Question
        } else if lexicon::ends_sentence(last) {
            Meaning::Closed
        } else if class.is_open() || lexicon::ends_clause(last) {
            Meaning::Open
        } else {
            Meaning::Neutral
        };
    }

    /// The provider says that the turn has ended.
    pub fn on_provider_end(&mut self) {
        self.provider_ended = self.is_open;
    }

    /// Returns whether the turn has just ended. To be asked after every input and at the time of [`Turns::poll_timeout`].
    pub fn poll(&mut self, now: Duration) -> bool {
        if self.end_at().is_none_or(|at| now < at) {
            return false;
        }
        self.is_open = false;
        self.ended_at = Some(now);
        (self.meaning, self.provider_ended) = (Meaning::Neutral, false);
        true
    }

    /// Returns the time at which the turn ends if nothing else happens.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.end_at()
    }

    /// Returns whether the speaker has begun a turn that has not ended.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Nothing more is heard of the speaker for now, so that silence begins.
    pub fn on_speech_cut(&mut self, now: Duration) {
        self.onset = 0;
        if let Voice::Speaking { .. } = self.voice {
            self.voice = Voice::Silent { since: now };
        }
    }

    /// The recogniser has finished a turn. Speech that goes on belongs to the next one.
    pub fn on_final(&mut self) {
        self.is_open = matches!(self.voice, Voice::Speaking { .. });
        (self.meaning, self.provider_ended) = (Meaning::Neutral, false);
    }

    /// Ends the turn without a decision, because the speaker is not listened to any more.
    pub fn abandon(&mut self) {
        self.is_open = false;
        (self.meaning, self.provider_ended) = (Meaning::Neutral, false);
    }

    /// Returns whether words of a turn only show attention. `other_speaks`: the other party has the floor.
    pub fn is_back_channel<'a>(&self, words: impl Iterator<Item = &'a str>, other_speaks: bool) -> bool {
        let words: Vec<String> = words.take(lexicon::BACK_CHANNEL_WORDS + 1).map(normalised).collect();
        self.lexicon.is_back_channel(words.iter().map(String::as_str), other_speaks)
    }

    fn begin(&mut self) {
        if !self.is_open {
            self.is_open = true;
            (self.meaning, self.provider_ended) = (Meaning::Neutral, false);
        }
    }

    /// Learns from the pause before speech that begins.
    fn on_speech(&mut self, silent_since: Duration, now: Duration) {
        let pause = now.saturating_sub(silent_since);
        let was_cut = self.ended_at.take().is_some_and(|at| !self.is_open && now.saturating_sub(at) <= REGRET);
        if (self.is_open || was_cut) && pause <= WAIT_OPEN_MOST {
            // Short pauses say little: the wait follows long ones quickly and returns slowly.
            let weight = if pause > self.pause { 2.0 * WEIGHT } else { WEIGHT / 4.0 };
            self.pause = self.pause.mul_f32(1.0 - weight) + pause.mul_f32(weight);
        }
        self.begin();
        self.provider_ended = false;
    }

    fn end_at(&self) -> Option<Duration> {
        if !self.is_open {
            return None;
        }
        match self.voice {
            _ if !self.has_scores => self.provider_ended.then_some(Duration::ZERO),
            Voice::Silent { since } => Some(since.saturating_add(self.wait())),
            Voice::Speaking { .. } => None,
        }
    }

    /// Returns the silence that ends the turn.
    fn wait(&self) -> Duration {
        let pause = self.pause.mul_f32(MARGIN).clamp(WAIT_LEAST, WAIT_MOST);
        let factor = match (self.meaning, self.provider_ended) {
            (Meaning::Open, false) => 3.3,
            (Meaning::Open, true) => 1.8,
            (Meaning::Neutral, false) => 1.0,
            (Meaning::Closed, false) => 0.75,
            (Meaning::Neutral | Meaning::Closed, true) | (Meaning::Question, false) => 0.5,
            (Meaning::Question, true) => 0.25,
        };
        pause.mul_f32(factor).min(WAIT_OPEN_MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Passes scores for a time in milliseconds. Returns the time at which the turn ended, if it did.
    fn pass(turns: &mut Turns, now: &mut Duration, ms: u64, probability: f32) -> Option<Duration> {
        let mut ended = None;
        for _ in 0..ms / 20 {
            *now += FRAME;
            turns.on_activity(probability, *now);
            if turns.poll(*now) {
                assert!(ended.replace(*now).is_none(), "a turn ends once");
            }
        }
        ended
    }

    /// Returns the silence in milliseconds after which a turn of this text ends.
    fn silence_after(text: &str, provider_ended: bool) -> u128 {
        let (mut turns, mut now) = (Turns::new("en"), Duration::ZERO);
        assert_eq!(pass(&mut turns, &mut now, 1_000, 0.9), None);
        turns.on_text(text.split_whitespace());
        let said = now;
        pass(&mut turns, &mut now, 120, 0.1);
        if provider_ended {
            turns.on_provider_end();
        }
        let ended = pass(&mut turns, &mut now, 4_000, 0.1).expect("the turn ends");
        (ended - said).as_millis()
    }

    #[test]
    fn open_text_waits_and_a_closed_question_does_not() {
        let [open, number, neutral, closed, question] =
            ["we met and", "it costs twenty", "we met him", "We met.", "Where?"].map(|text| silence_after(text, false));
        assert!(question < closed && closed < neutral && neutral < open && open == number);
        assert!(question <= 400 && open >= 1_500, "{question} {open}");
    }

    #[test]
    fn the_provider_shortens_the_wait() {
        for text in ["we met and", "we met him", "We met.", "Where?"] {
            assert!(silence_after(text, true) < silence_after(text, false), "{text}");
        }
        assert!(silence_after("we met and", true) > silence_after("we met him", false), "open text still waits");
    }

    #[test]
    fn the_wait_follows_the_pauses_of_the_speaker() {
        let (mut turns, mut now) = (Turns::new("en"), Duration::ZERO);
        for _ in 0..12 {
            pass(&mut turns, &mut now, 800, 0.9);
            pass(&mut turns, &mut now, 840, 0.1);
        }
        pass(&mut turns, &mut now, 800, 0.9);
        let said = now;
        let ended = pass(&mut turns, &mut now, 4_000, 0.1).expect("the turn ends");
        assert!(ended - said > Duration::from_millis(900), "{:?}", ended - said);
    }

    #[test]
    fn a_click_begins_no_turn_and_a_short_gap_ends_none() {
        let (mut turns, mut now) = (Turns::new("en"), Duration::ZERO);
        pass(&mut turns, &mut now, 40, 0.9);
        pass(&mut turns, &mut now, 2_000, 0.0);
        assert!(!turns.is_open());
        for _ in 0..50 {
            assert_eq!(pass(&mut turns, &mut now, 200, 0.9), None);
            assert_eq!(pass(&mut turns, &mut now, 80, 0.1), None);
        }
    }

    #[test]
    fn the_final_of_one_turn_does_not_end_the_next_one_that_is_being_spoken() {
        let (mut turns, mut now) = (Turns::new("en"), Duration::ZERO);
        pass(&mut turns, &mut now, 1_000, 0.9);
        assert!(pass(&mut turns, &mut now, 600, 0.1).is_some(), "the first turn ends");
        pass(&mut turns, &mut now, 500, 0.9);
        turns.on_final();
        assert!(turns.is_open(), "the speaker goes on");
        let said = now;
        let ended = pass(&mut turns, &mut now, 3_000, 0.1).expect("the second turn ends");
        assert!(ended - said < Duration::from_millis(800), "{:?}", ended - said);
        turns.on_final();
        assert!(!turns.is_open());
    }

    #[test]
    fn without_scores_the_provider_decides() {
        let mut turns = Turns::new("en");
        turns.on_provider_end();
        assert!(!turns.poll(Duration::from_secs(1)), "no turn has begun");
        turns.on_text(["and"].into_iter());
        assert!(!turns.poll(Duration::from_secs(9)));
        turns.on_provider_end();
        assert!(turns.poll(Duration::from_secs(9)));
        assert!(!turns.poll(Duration::from_secs(9)));
    }

    #[test]
    fn scores_that_are_no_numbers_end_nothing() {
        let (mut turns, mut now) = (Turns::new("en"), Duration::ZERO);
        pass(&mut turns, &mut now, 1_000, f32::NAN);
        assert!(!turns.is_open());
        pass(&mut turns, &mut now, 1_000, 0.9);
        assert_eq!(pass(&mut turns, &mut now, 200, f32::NAN), None);
    }
}
