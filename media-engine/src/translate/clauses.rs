//! Where a speaker's words are cut into clauses, the units that are translated and spoken.
//!
//! ```text
//! pending words with risks ─┐
//! allowed risk, backlog ────┴▶ Cutter::cut ─▶ number of words that are committed as the next clause, or wait
//! ```
//!
//! A clause ends after punctuation or before a conjunction if there is such a place, otherwise at its longest length. It never ends
//! with an article, preposition, conjunction or number, or within a number, unless the turn has ended or its words have waited too
//! long. Clauses are short while the listener has nothing to hear and longer while a backlog waits; the longest length follows
//! slowly, so that it is tuned to the providers and the pair of languages. For target languages with the verb at the end
//! (`lexicon`), clauses are held back until they are larger.
//!
//! Not here: how sure a word is (`commit`), and when a turn has ended (`turns`).

use std::time::Duration;

use super::commit::Pending;
use super::lexicon::{self, Class};

/// Limits of the lengths of clauses and of waiting. Lengths are in words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lengths {
    /// Shortest clause, except at the end of a turn; at least 1.
    pub least: usize,
    /// Longest clause while the listener is idle.
    pub longest: usize,
    /// Longest clause while a backlog waits.
    pub longest_busy: usize,
    /// Highest risk of a single word of a clause, from 0 to 1.
    pub word_risk: f32,
    /// Time after which words are cut off even when that place is not good or not quite certain.
    pub patience: Duration,
    /// Whether a clause ends at punctuation or before a conjunction only, as long as it is shorter than the longest one.
    pub at_boundaries: bool,
}

impl Lengths {
    /// Returns the lengths for a target language.
    pub fn towards(language: &str) -> Lengths {
        let short = Lengths {
            least: 2,
            longest: 5,
            longest_busy: 6,
            word_risk: 0.1,
            patience: Duration::from_millis(1_500),
            at_boundaries: false,
        };
        if lexicon::is_verb_final(language) {
            let patience = Duration::from_millis(3_000);
            return Lengths { least: 4, longest: 9, longest_busy: 12, patience, at_boundaries: true, ..short };
        }
        short
    }

    /// Returns the lengths for a translator that knows phrases rather than words: a short sentence stays whole.
    pub fn of_phrases() -> Lengths {
        Lengths {
            least: 8,
            longest: 16,
            longest_busy: 20,
            word_risk: 0.1,
            patience: Duration::from_secs(5),
            at_boundaries: true,
        }
    }
}

/// What else decides about a cut.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Time of the decision, on the clock of the call.
    pub now: Duration,
    /// Highest mean risk of a clause's words.
    pub allowed_risk: f32,
    /// Time that the listener still needs for what is queued.
    pub busy: Duration,
    /// Whether the turn has no further words.
    pub is_over: bool,
}

/// Cuts the words of one speaker for one target language.
#[derive(Debug)]
pub struct Cutter {
    lengths: Lengths,
    /// Longest clause as tuned, from `longest` to `longest_busy`.
    longest: f32,
}

/// Backlog above which the listener counts as busy: about what translation and synthesis take, so that waiting for more words
/// delays nothing.
const BUSY: Duration = Duration::from_millis(800);
/// Factors of the allowed risk: while the listener is busy, and when words have waited too long.
const BUSY_RISK: f32 = 0.6;
const LATE_RISK: f32 = 3.0;
/// Step by which the longest length follows the backlog at each clause, in words.
const STEP: f32 = 0.25;

impl Cutter {
    /// Creates a cutter with the given limits.
    pub fn new(lengths: Lengths) -> Cutter {
        Cutter { lengths, longest: lengths.longest as f32 }
    }

    /// Returns the number of words of the next clause, or `None` to wait for more words or hypotheses.
    pub fn cut(&mut self, words: &[Pending], moment: Moment) -> Option<usize> {
        let count = if moment.is_over { self.rest(words) } else { self.next(words, moment) }?;
        let Lengths { longest, longest_busy, .. } = self.lengths;
        let step = if moment.busy > BUSY { STEP } else { -STEP };
        self.longest = (self.longest + step).clamp(longest as f32, longest_busy.max(longest) as f32);
        Some(count)
    }

    /// Returns the time at which the words will have waited too long, so that [`Cutter::cut`] is to be asked again.
    pub fn poll_timeout(&self, words: &[Pending], now: Duration) -> Option<Duration> {
        let seen_at = words.first()?.seen_at;
        [1, 2].map(|n| seen_at.saturating_add(self.lengths.patience * n)).into_iter().find(|at| *at > now)
    }

    fn longest(&self) -> usize {
        (self.longest as usize).max(1)
    }

    /// Returns the length of the next clause while the turn continues.
    fn next(&self, words: &[Pending], moment: Moment) -> Option<usize> {
        let waited = words.first().map_or(Duration::ZERO, |word| moment.now.saturating_sub(word.seen_at));
        let is_late = waited >= self.lengths.patience;
        let is_very_late = waited >= self.lengths.patience * 2;
        let factor = match moment.busy > BUSY {
            _ if is_late => LATE_RISK,
            true => BUSY_RISK,
            false => 1.0,
        };
        let least = if is_late { 1 } else { self.lengths.least.max(1) };
        let (mut sum, mut best) = (0.0, None);
        for (n, word) in words.iter().enumerate().take(self.longest().max(least)) {
            let length = n + 1;
            sum += word.risk;
            if word.risk > self.lengths.word_risk * factor.max(1.0) {
                break;
            }
            if length < least || sum / length as f32 > moment.allowed_risk * factor {
                continue;
            }
            let next = words.get(length);
            if is_boundary(word, next) {
                return Some(length);
            }
            let may_end = is_very_late || !is_open(word, next);
            let is_full = length >= self.longest();
            if may_end && (!self.lengths.at_boundaries || is_full || is_late) {
                best = Some(length);
            }
        }
        best.or_else(|| self.overlong(words, moment.allowed_risk * factor))
    }

    /// Returns the length of a clause that has no good end up to its longest length: the first end after it that is not open.
    fn overlong(&self, words: &[Pending], allowed: f32) -> Option<usize> {
        let mut sum = 0.0;
        for (n, word) in words.iter().enumerate().take(self.longest() * 2) {
            let length = n + 1;
            sum += word.risk;
            if length <= self.longest() {
                continue;
            }
            let is_end = !is_open(word, words.get(length)) || length == self.longest() * 2;
            if is_end && sum / length as f32 <= allowed && word.risk <= self.lengths.word_risk {
                return Some(length);
            }
        }
        None
    }

    /// Returns the length of the next clause of a turn that has ended.
    fn rest(&self, words: &[Pending]) -> Option<usize> {
        let longest = self.longest().max(self.lengths.least);
        // A single word is not left behind.
        if words.len() <= longest + 1 {
            return (!words.is_empty()).then_some(words.len());
        }
        let ends = self.lengths.least.max(1)..=longest;
        let boundary = ends.clone().find(|length| is_boundary(&words[length - 1], words.get(*length)));
        let closed = || ends.rev().find(|length| !is_open(&words[length - 1], words.get(*length)));
        Some(boundary.or_else(closed).unwrap_or(longest))
    }
}

/// Returns whether a clause ends between two words: after punctuation or before a conjunction.
fn is_boundary(word: &Pending, next: Option<&Pending>) -> bool {
    lexicon::ends_clause(&word.word.text)
        || next.is_some_and(|next| next.class == Class::Opener && !word.class.is_open())
}

/// Returns whether a cut between two words would leave a phrase or a number incomplete.
fn is_open(word: &Pending, next: Option<&Pending>) -> bool {
    let is_number_with_unit = word.class == Class::Number && next.is_some_and(|next| next.class == Class::Opener);
    word.class.is_open() && !is_number_with_unit && !lexicon::ends_clause(&word.word.text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translate::commit::Word;
    use crate::translate::lexicon::{Lexicon, normalised};

    const IDLE: Moment =
        Moment { now: Duration::from_secs(1), allowed_risk: 0.02, busy: Duration::ZERO, is_over: false };
    const BACKLOG: Moment = Moment { busy: Duration::from_secs(3), ..IDLE };
    const OVER: Moment = Moment { is_over: true, ..IDLE };

    fn pending(text: &str, language: &str) -> Vec<Pending> {
        let lexicon = Lexicon::of(language);
        let word = |text: &str| {
            let normal = normalised(text);
            let class = lexicon.class(&normal);
            Pending { word: Word::new(text), normal, class, seen_at: Duration::from_secs(1), risk: 0.0 }
        };
        text.split_whitespace().map(word).collect()
    }

    fn cut(text: &str, moment: Moment) -> Option<usize> {
        Cutter::new(Lengths::towards("es")).cut(&pending(text, "en"), moment)
    }

    #[test]
    fn a_clause_ends_at_punctuation_or_before_a_conjunction() {
        assert_eq!(cut("he waited, then left", IDLE), Some(2));
        assert_eq!(cut("she paid it because of", IDLE), Some(3));
    }

    #[test]
    fn a_clause_never_ends_with_an_open_phrase() {
        assert_eq!(cut("she sent the", IDLE), Some(2));
        assert_eq!(cut("she sent money to the office", IDLE), Some(3));
        assert_eq!(cut("she and the", IDLE), None);
        assert_eq!(cut("on to the in of next", IDLE), Some(6), "the first closed word after the longest length");
    }

    #[test]
    fn a_number_stays_whole_and_with_its_unit() {
        assert_eq!(cut("you owe twenty", IDLE), Some(2));
        assert_eq!(cut("him two hundred five euros today", IDLE), Some(5));
    }

    #[test]
    fn uncertain_words_wait() {
        let mut words = pending("he waited outside", "en");
        words[2].risk = 0.5;
        assert_eq!(Cutter::new(Lengths::towards("es")).cut(&words, IDLE), Some(2));
        words[1].risk = 0.05;
        assert_eq!(Cutter::new(Lengths::towards("es")).cut(&words, IDLE), None, "their mean is too high");
    }

    #[test]
    fn a_backlog_asks_for_surer_words_and_makes_longer_clauses() {
        let mut words = pending("he waited outside patiently yesterday all day long", "en");
        let mut cutter = Cutter::new(Lengths::towards("es"));
        for _ in 0..20 {
            cutter.cut(&words, BACKLOG);
        }
        assert_eq!(cutter.cut(&words, BACKLOG), Some(6));
        words.iter_mut().for_each(|word| word.risk = 0.015);
        assert_eq!(cutter.cut(&words, BACKLOG), None);
        assert!(cutter.cut(&words, IDLE).is_some());
    }

    #[test]
    fn words_that_waited_too_long_are_cut_off() {
        let words = pending("well", "en");
        let mut cutter = Cutter::new(Lengths::towards("es"));
        assert_eq!(cutter.cut(&words, IDLE), None);
        let at = cutter.poll_timeout(&words, IDLE.now).expect("a time-out");
        assert_eq!(cutter.cut(&words, Moment { now: at, ..IDLE }), Some(1));
        let open = pending("the", "en");
        assert_eq!(cutter.cut(&open, Moment { now: at, ..IDLE }), None, "an article waits twice as long");
        assert_eq!(cutter.cut(&open, Moment { now: Duration::from_secs(9), ..IDLE }), Some(1));
        assert_eq!(cutter.poll_timeout(&open, Duration::from_secs(9)), None);
    }

    #[test]
    fn the_rest_of_a_turn_is_cut_without_a_single_word_left() {
        assert_eq!(cut("he left at", OVER), Some(3));
        assert_eq!(cut("he left town very late today", OVER), Some(6));
        assert_eq!(cut("he left town very early in the morning", OVER), Some(5));
        assert_eq!(cut("", OVER), None);
    }

    #[test]
    fn verb_final_targets_hold_clauses_back() {
        let mut cutter = Cutter::new(Lengths::towards("de"));
        assert_eq!(cutter.cut(&pending("she sent money home yesterday", "en"), IDLE), None);
        assert_eq!(cutter.cut(&pending("she sent money home yesterday, but", "en"), IDLE), Some(5));
        assert_eq!(cutter.cut(&pending("she sent money home yesterday evening quite late again", "en"), IDLE), Some(9));
    }

    #[test]
    fn an_unknown_language_is_cut_by_length_and_punctuation() {
        let mut cutter = Cutter::new(Lengths::towards("es"));
        assert_eq!(cutter.cut(&pending("aa bb, cc dd ee", "xx"), IDLE), Some(2));
        assert_eq!(cutter.cut(&pending("aa bb cc dd ee ff", "xx"), IDLE), Some(5));
    }
}
