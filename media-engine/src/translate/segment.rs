//! Segments of a call's transcript and their clauses, as state and as events.
//!
//! ```text
//! texts of the recogniser ─▶ Segment ─ words ─▶ conversation ─ clauses ─▶ Segment ─▶ TranslationEvent
//! ```
//!
//! Not here: when a segment begins and ends, and when it is published (`session`).

use std::time::{Duration, Instant};

use super::commit::Word;
use super::event::{ClauseEvent, ClauseHeard, LagMs, TranslationEvent};
use super::exchange::{ClauseId, Request};
use super::lag::{Stage, Stamps};
use super::speaker::Speaker;

/// What a side says between two pauses, or what it typed.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) speaker: Speaker,
    /// Languages from and to which it is translated.
    pub(super) languages: [String; 2],
    /// Number of the listening in which it began, which its hypotheses must carry.
    pub(super) listening: u32,
    pub(super) text: String,
    pub(super) is_final: bool,
    pub(super) unrecognised: bool,
    /// Whether recognition missed the segment; published when its speech has ended.
    pub(super) missed: bool,
    /// Beginning of the speech; `None` for typed text.
    pub(super) began_at: Option<Instant>,
    pub(super) ended_at: Option<Instant>,
    /// Lag of the text, while no clause has one.
    pub(super) stt: Option<u32>,
    pub(super) committed: u32,
    pub(super) corrections: u32,
    pub(super) clauses: Vec<Clause>,
    /// Number of states that were published.
    pub(super) revision: u32,
}

/// Part of a segment that is translated and spoken as a whole.
#[derive(Debug)]
pub(super) struct Clause {
    pub(super) id: ClauseId,
    pub(super) text: String,
    /// Language of its translation.
    pub(super) language: String,
    /// Text that the translator has just returned.
    pub(super) returned: String,
    pub(super) translation: Option<String>,
    pub(super) heard: ClauseHeard,
    pub(super) speed: f32,
    pub(super) stamps: Stamps,
    /// Time at which its voice had been played.
    pub(super) played: Option<Duration>,
    pub(super) differences: Vec<String>,
}

impl Segment {
    pub(super) fn new(speaker: Speaker, languages: [String; 2], began_at: Option<Instant>) -> Segment {
        Segment {
            speaker,
            languages,
            listening: 0,
            text: String::new(),
            is_final: false,
            unrecognised: false,
            missed: false,
            began_at,
            ended_at: None,
            stt: None,
            committed: 0,
            corrections: 0,
            clauses: Vec::new(),
            revision: 0,
        }
    }

    /// Returns the state as listeners get it. `number`: that of the segment. `voice`: the other side wants to hear translations.
    pub(super) fn event(&self, number: u64, voice: bool, now: Instant) -> TranslationEvent {
        let ago = |at: Option<Instant>| at.map(|at| u64::from(millis(at, now)));
        let translations: Vec<&str> = self.clauses.iter().filter_map(|clause| clause.translation.as_deref()).collect();
        let has_translation = !translations.is_empty() && !self.missed;
        let [source_language, target_language] = self.languages.clone();
        let last = self.clauses.last().map(|clause| clause.lag(voice));
        TranslationEvent {
            segment: number,
            revision: self.revision,
            is_passing: false,
            leg: self.speaker.as_str().to_owned(),
            source_language,
            target_language,
            text: self.text.clone(),
            translation: has_translation.then(|| translations.join(" ")),
            is_final: self.is_final,
            unrecognised: self.unrecognised,
            missed: self.missed,
            began_ms_ago: ago(self.began_at),
            ended_ms_ago: ago(self.began_at.and(self.ended_at)),
            committed: self.committed,
            corrections: self.corrections,
            clauses: self.clauses.iter().map(|clause| clause.event(voice)).collect(),
            lag_ms: last.unwrap_or(LagMs { stt: self.stt, ..LagMs::default() }),
        }
    }

    /// Returns the words of the text. Once the speech has ended, their ends are spread over it by their lengths.
    pub(super) fn words(&self, epoch: Instant) -> Vec<Word> {
        let mut words: Vec<Word> = words(&self.text).map(Word::new).collect();
        if let (Some(began), Some(ended)) = (self.began_at, self.ended_at) {
            let since = |at: Instant| at.saturating_duration_since(epoch);
            spread(&mut words, since(began), since(ended));
        }
        words
    }
}

impl Clause {
    pub(super) fn new(request: &Request, stamps: Stamps) -> Clause {
        Clause {
            id: request.clause,
            text: request.text(),
            language: request.to.clone(),
            returned: String::new(),
            translation: None,
            heard: ClauseHeard::Pending,
            speed: 1.0,
            stamps,
            played: None,
            differences: Vec::new(),
        }
    }

    /// Returns whether its voice was being played at this time.
    pub(super) fn sounds_at(&self, time: Duration) -> bool {
        self.stamps.at(Stage::Playing).is_some_and(|began| began <= time)
            && self.played.is_none_or(|ended| time < ended)
    }

    /// Returns the translation, if its voice has been or is played.
    pub(super) fn spoken(&self) -> Option<&str> {
        self.stamps.at(Stage::Playing).and(self.translation.as_deref())
    }

    fn lag(&self, voice: bool) -> LagMs {
        let between =
            |from, to| self.stamps.between(from, to).map(|time| u32::try_from(time.as_millis()).unwrap_or(u32::MAX));
        let is_spoken = self.heard == ClauseHeard::Voice || (voice && self.heard == ClauseHeard::Pending);
        LagMs {
            stt: between(Stage::Captured, Stage::Committed),
            translate: between(Stage::Committed, Stage::Translated),
            tts: between(Stage::Translated, Stage::Playing),
            total: between(Stage::Captured, if is_spoken { Stage::Playing } else { Stage::Translated }),
        }
    }

    fn event(&self, voice: bool) -> ClauseEvent {
        ClauseEvent {
            clause: self.id.0,
            text: self.text.clone(),
            translation: self.translation.clone(),
            heard: self.heard,
            speed: (self.speed > 1.0).then_some(self.speed),
            lag_ms: self.lag(voice),
            differences: self.differences.clone(),
        }
    }
}

/// Spreads the ends of words over speech whose bounds are known, by their lengths. The last word ends with the speech.
fn spread(words: &mut [Word], began: Duration, ended: Duration) {
    let length = |word: &Word| word.text.chars().count() as u32;
    let all = words.iter().map(length).sum::<u32>().max(1);
    let mut before = 0;
    for word in words {
        before += length(word);
        word.to = Some(began + ended.saturating_sub(began) * before / all);
    }
}

/// Splits a text into its words.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
}

/// Returns the time from one to the other in milliseconds.
pub(super) fn millis(from: Instant, to: Instant) -> u32 {
    u32::try_from(to.saturating_duration_since(from).as_millis()).unwrap_or(u32::MAX)
}
