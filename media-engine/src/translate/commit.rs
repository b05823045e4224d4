//! Which words of a recogniser's successive hypotheses will not change any more.
//!
//! ```text
//! hypothesis (the whole turn so far) ─▶ aligned with the one before ─▶ words: committed │ pending, each with a risk
//!                                              │                                             ▲
//!                    which words changed ──────┴──▶ Stability: chance of a change by age ────┘
//! ```
//!
//! The *age* of a word is the number of successive hypotheses that agree on it. Its *risk* is the chance that one of the next
//! hypotheses changes it, counted in the running call by age, by the grammatical classes of the word and the one before it, and by
//! whether the word was used in such a place before (`Usage`): an article after a verb settles sooner than a noun in its place, and
//! a noun where this call had only verbs is doubtful. Words are committed as clauses while their mean risk is at
//! most [`Committer::allowed_risk`], which follows the share of commitments that were contradicted. So the number of hypotheses
//! that must agree is different for each word and adapts to the recogniser.
//!
//! Invariants: a committed word never becomes pending again; each committed word is counted as contradicted at most once; case and
//! punctuation are no contradiction; memory is bounded by [`TURN_WORDS_MAX`]. Not here: where clauses are cut (`clauses`).

use std::collections::HashMap;
use std::time::Duration;

use super::edits::{Alignment, Start, align};
use super::lexicon::{Class, Lexicon, normalised};

/// Maximum number of words of a turn. Words beyond it are ignored until the next turn.
pub const TURN_WORDS_MAX: usize = 2_000;
/// Number of committed words that a hypothesis is aligned with when it differs from them.
const WINDOW: usize = 48;
/// Number of committed words at the end that may still be young enough to learn from.
const YOUNG: usize = 32;
/// Number of ages that are told apart; a word that more hypotheses agree on has no risk.
const AGES: usize = 8;

/// Word of a hypothesis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// Text with its punctuation.
    pub text: String,
    /// End of the word in the captured sound, on the clock of the call, when the provider tells it.
    pub to: Option<Duration>,
}

impl Word {
    /// Creates a word without a time.
    pub fn new(text: impl Into<String>) -> Word {
        Word { text: text.into(), to: None }
    }
}

/// Rule by which a word becomes certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The provider says so: settled words, or the final.
    Provider,
    /// So many successive hypotheses agree, at least 1.
    Agreement(u32),
    /// The risk of a change is low, as the running call shows.
    Adaptive,
}

/// Word that is not committed.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Word as in the newest hypothesis.
    pub word: Word,
    /// Form in which it is compared.
    pub normal: String,
    /// Grammatical class in the speaker's language.
    pub class: Class,
    /// Time at which the word first appeared, whatever it was then.
    pub seen_at: Duration,
    /// Chance that one of the next hypotheses changes it, from 0 to 1.
    pub risk: f32,
}

/// Change of a word that was already committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correction {
    /// Position in the turn, counted from 0 over committed words.
    pub at: usize,
    /// Word as it was committed.
    pub was: String,
    /// Word as it is now; empty when it was taken back.
    pub is: String,
}

/// Numbers of words of all turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Words that were committed.
    pub committed: u64,
    /// Committed words that a later hypothesis contradicted.
    pub contradicted: u64,
}

#[derive(Clone, Debug)]
struct Held {
    word: Word,
    normal: String,
    class: Class,
    /// Place of the word in the table of [`Stability`], as it was when the word appeared there.
    cell: usize,
    age: u32,
    seen_at: Duration,
    is_settled: bool,
    was_contradicted: bool,
}

/// Hypotheses of one speaker, and how far their words are committed.
#[derive(Debug)]
pub struct Committer {
    rule: Rule,
    lexicon: &'static Lexicon,
    stability: Stability,
    usage: Usage,
    /// Words of the current turn: the committed ones first.
    words: Vec<Held>,
    committed: usize,
    is_final: bool,
    counts: Counts,
    allowed: f32,
}

impl Committer {
    /// Creates a committer for a speaker of a language (BCP 47 tag).
    pub fn new(rule: Rule, language: &str) -> Committer {
        Committer {
            rule,
            lexicon: Lexicon::of(language),
            stability: Stability::default(),
            usage: Usage::default(),
            words: Vec::new(),
            committed: 0,
            is_final: false,
            counts: Counts::default(),
            allowed: ALLOWED_START,
        }
    }

    /// Begins a turn. What the call has shown about the recogniser is kept.
    pub fn begin_turn(&mut self) {
        (self.committed, self.is_final) = (0, false);
        self.words.clear();
    }

    /// Takes a hypothesis of the whole turn, of which the provider has settled the first `settled` words; a final one settles all.
    /// Returns what it changes of committed words. After a final hypothesis the turn takes no other.
    pub fn on_hypothesis(&mut self, words: &[Word], settled: usize, is_final: bool, now: Duration) -> Vec<Correction> {
        if self.is_final {
            return Vec::new();
        }
        let words = &words[..words.len().min(TURN_WORDS_MAX)];
        let normals: Vec<String> = words.iter().map(|word| normalised(&word.text)).collect();
        let (tail, corrections) = self.correct(&normals, words, is_final);
        if !is_final {
            self.age_committed(&corrections, normals.len());
        }
        self.follow(&normals[tail..], &words[tail..], is_final, now);
        let settled = if is_final { words.len() } else { settled };
        for held in self.words.iter_mut().skip(self.committed).take(settled.saturating_sub(tail)) {
            held.is_settled = true;
        }
        self.is_final = is_final;
        if is_final {
            self.usage.learn(&self.words);
        }
        self.tune(&corrections);
        corrections
    }

    /// Returns the words that are not committed, in their order.
    pub fn pending(&self) -> Vec<Pending> {
        (self.committed..self.words.len()).map(|at| self.pending_at(at)).collect()
    }

    /// Commits the first `count` pending words, or all when there are fewer.
    pub fn commit(&mut self, count: usize) {
        let count = count.min(self.words.len() - self.committed);
        self.committed += count;
        self.counts.committed += count as u64;
    }

    /// Returns the text of the committed words of the turn, from the word at `from` on.
    pub fn committed(&self, from: usize) -> impl Iterator<Item = &str> {
        self.words[..self.committed].iter().skip(from).map(|held| held.word.text.as_str())
    }

    /// Returns the number of committed words of the turn.
    pub fn committed_len(&self) -> usize {
        self.committed
    }

    /// Returns the word at a position of the turn, committed or not.
    pub fn word(&self, at: usize) -> Option<Pending> {
        (at < self.words.len()).then(|| self.pending_at(at))
    }

    /// Returns whether the turn's final hypothesis has arrived.
    pub fn is_final(&self) -> bool {
        self.is_final
    }

    /// Returns how many words were committed and contradicted in all turns.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Returns the highest mean risk at which the words of a clause may be committed.
    pub fn allowed_risk(&self) -> f32 {
        match self.rule {
            Rule::Adaptive => self.allowed,
            _ => 0.0,
        }
    }

    fn pending_at(&self, at: usize) -> Pending {
        let held = &self.words[at];
        let is_certain = held.is_settled || at < self.committed;
        let risk = match self.rule {
            _ if is_certain => 0.0,
            Rule::Provider => 1.0,
            Rule::Agreement(n) => f32::from(u8::from(held.age < n)),
            Rule::Adaptive => self.stability.risk(held.cell, held.age),
        };
        let Held { word, normal, class, seen_at, .. } = held.clone();
        Pending { word, normal, class, seen_at, risk }
    }

    /// Compares a hypothesis with the committed words and puts these right. Returns the position at which its further words begin.
    fn correct(&mut self, normals: &[String], words: &[Word], is_final: bool) -> (usize, Vec<Correction>) {
        let held = &self.words[..self.committed];
        let same = held.iter().zip(normals).take_while(|(held, normal)| held.normal == **normal).count();
        let first = same.max(self.committed.saturating_sub(WINDOW)).min(normals.len());
        let mut corrections = Vec::new();
        let (held, normals_left) = (&held[first.min(held.len())..], &normals[first..]);
        let columns = normals_left.len().min(held.len() + WINDOW);
        let Alignment { pairs, end: tail } =
            align(held.len(), columns, Start::Together, |i, j| held[i].normal == normals_left[j]);
        for (n, pair) in pairs.into_iter().enumerate() {
            let at = first + n;
            let held = &mut self.words[at];
            let is = match pair {
                Some(n) if normals[first + n] == held.normal => {
                    held.word.text.clone_from(&words[first + n].text);
                    continue;
                }
                Some(n) => words[first + n].text.clone(),
                // A partial that is shorter than what is committed takes nothing back yet.
                None if tail + first >= normals.len() && !is_final => continue,
                None => String::new(),
            };
            if held.word.text == is {
                continue;
            }
            let was = std::mem::replace(&mut held.word.text, is.clone());
            held.normal = normalised(&is);
            if !std::mem::replace(&mut held.was_contradicted, true) {
                self.counts.contradicted += 1;
            }
            corrections.push(Correction { at, was, is });
        }
        // Words that agree take over their punctuation as well.
        for (held, word) in self.words.iter_mut().zip(words).take(first.min(self.committed)) {
            if held.normal == normalised(&word.text) {
                held.word.text.clone_from(&word.text);
            }
        }
        (first + tail, corrections)
    }

    /// Learns from what a hypothesis of `len` words did to the committed words that are still young.
    fn age_committed(&mut self, corrections: &[Correction], len: usize) {
        for at in self.committed.saturating_sub(YOUNG)..self.committed.min(len) {
            let Held { cell, age, .. } = self.words[at];
            let is_changed = corrections.iter().any(|correction| correction.at == at);
            self.stability.learn(cell, age, is_changed);
            self.words[at].age = if is_changed { 1 } else { age.saturating_add(1) };
        }
    }

    /// Replaces the pending words by those of a hypothesis. A word that both have in the same place grows older.
    fn follow(&mut self, normals: &[String], words: &[Word], is_final: bool, now: Duration) {
        let old = self.words.split_off(self.committed);
        let mut from = 0;
        for (n, (normal, word)) in normals.iter().zip(words).enumerate() {
            if self.words.len() >= TURN_WORDS_MAX {
                break;
            }
            let is = |at: usize, n: usize| old.get(at).zip(normals.get(n)).is_some_and(|(a, b)| a.normal == *b);
            if !is(from, n) && !is(from + 1, n + 1) {
                // A word was added to or taken from the hypothesis before this place.
                if is(from + 1, n) {
                    from += 1;
                } else if from > 0 && is(from, n + 1) {
                    from -= 1;
                }
            }
            let before = old.get(from);
            let agrees = before.is_some_and(|before| before.normal == *normal);
            if let Some(before) = before.filter(|_| !is_final) {
                self.stability.learn(before.cell, before.age, !agrees);
            }
            let class = self.lexicon.class(normal);
            let class_before = self.words.last().map(|held| held.class);
            let cell = cell(class_before, class, self.usage.of(class_before, normal));
            self.words.push(Held {
                word: word.clone(),
                normal: normal.clone(),
                class,
                cell,
                age: before.filter(|_| agrees).map_or(1, |before| before.age.saturating_add(1)),
                seen_at: before.map_or(now, |before| before.seen_at),
                is_settled: false,
                was_contradicted: false,
            });
            from += 1;
        }
    }

    /// Moves the allowed risk so that the share of contradicted words approaches [`TARGET_SHARE`].
    fn tune(&mut self, corrections: &[Correction]) {
        if self.is_final || !corrections.is_empty() {
            let Counts { committed, contradicted } = self.counts;
            let share = (contradicted as f32 + TARGET_SHARE * PRIOR_WORDS) / (committed as f32 + PRIOR_WORDS);
            let step = (TARGET_SHARE / share.max(0.001)).clamp(0.9, 1.05);
            self.allowed = (self.allowed * step).clamp(ALLOWED_LEAST, ALLOWED_MOST);
        }
    }
}

/// Share of committed words that may be contradicted.
const TARGET_SHARE: f32 = 0.017;
/// Number of words after which the share of the running call counts as much as the target.
const PRIOR_WORDS: f32 = 150.0;
/// Mean risk of a clause at which it may be committed: at the beginning of a call, at least, at most.
const ALLOWED_START: f32 = 0.02;
const ALLOWED_LEAST: f32 = 0.006;
const ALLOWED_MOST: f32 = 0.05;

/// Chance that the next hypothesis changes a word, by age and by the place that the word stands in.
#[derive(Debug)]
struct Stability {
    by_age: [Trials; AGES],
    by_use: [[Trials; AGES]; USES],
    by_cell: Vec<[Trials; AGES]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Trials {
    count: f32,
    changed: f32,
}

/// Chances that are assumed before the call has shown any, by age.
const PRIOR: [f32; AGES] = [0.06, 0.04, 0.02, 0.008, 0.004, 0.002, 0.001, 0.001];
/// Weight of what is assumed, in trials: for an age, a use, and a cell.
const AGE_WEIGHT: f32 = 30.0;
const USE_WEIGHT: f32 = 20.0;
const CELL_WEIGHT: f32 = 8.0;
/// Number of trials after which older ones are forgotten by half.
const TRIALS_MAX: f32 = 2_000.0;
/// Number of cells: class of the word before or none, class of the word, use.
const CELLS: usize = (Class::COUNT + 1) * Class::COUNT * USES;

impl Default for Stability {
    fn default() -> Stability {
        let none = [Trials::default(); AGES];
        Stability { by_age: none, by_use: [none; USES], by_cell: vec![none; CELLS] }
    }
}

impl Stability {
    /// Returns the chance that one of the next hypotheses changes a word of an age.
    fn risk(&self, cell: usize, age: u32) -> f32 {
        let stays: f32 = (age.max(1) as usize - 1..AGES)
            .map(|at| {
                let by_age = self.by_age[at].chance(PRIOR[at], AGE_WEIGHT);
                let by_use = self.by_use[cell % USES][at].chance(by_age, USE_WEIGHT);
                1.0 - self.by_cell[cell][at].chance(by_use, CELL_WEIGHT)
            })
            .product();
        1.0 - stays
    }

    /// Counts what the next hypothesis did to a word of an age.
    fn learn(&mut self, cell: usize, age: u32, changed: bool) {
        let at = age.max(1) as usize - 1;
        if at < AGES {
            self.by_age[at].add(changed);
            self.by_use[cell % USES][at].add(changed);
            self.by_cell[cell][at].add(changed);
        }
    }
}

impl Trials {
    fn chance(self, assumed: f32, weight: f32) -> f32 {
        (self.changed + assumed * weight) / (self.count + weight)
    }

    fn add(&mut self, changed: bool) {
        self.count += 1.0;
        self.changed += f32::from(u8::from(changed));
        if self.count > TRIALS_MAX {
            self.count /= 2.0;
            self.changed /= 2.0;
        }
    }
}

fn cell(before: Option<Class>, class: Class, used: Use) -> usize {
    (before.map_or(0, |before| before.index() + 1) * Class::COUNT + class.index()) * USES + used as usize
}

/// Whether a word was used in a place before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// The call did not have the word.
    New,
    /// The call had the word, but never after a word of this class.
    Odd,
    /// The call had the word after a word of this class.
    Known,
}

/// Number of kinds of use.
const USES: usize = 3;

/// Classes of words after which each word of this call was used, from final hypotheses. Bounded by [`USAGE_MAX`].
#[derive(Debug, Default)]
struct Usage(HashMap<String, u8>);

/// Maximum number of words whose use is remembered; about the vocabulary of an hour.
const USAGE_MAX: usize = 4_000;

impl Usage {
    fn of(&self, before: Option<Class>, normal: &str) -> Use {
        match self.0.get(normal) {
            None => Use::New,
            Some(classes) if classes & bit(before) == 0 => Use::Odd,
            Some(_) => Use::Known,
        }
    }

    fn learn(&mut self, words: &[Held]) {
        let mut before = None;
        for held in words {
            if self.0.len() < USAGE_MAX || self.0.contains_key(&held.normal) {
                *self.0.entry(held.normal.clone()).or_default() |= bit(before);
            }
            before = Some(held.class);
        }
    }
}

/// Returns the bit of a class, or of none.
fn bit(class: Option<Class>) -> u8 {
    1 << class.map_or(0, |class| class.index() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1);

    fn words(text: &str) -> Vec<Word> {
        text.split_whitespace().map(Word::new).collect()
    }

    fn hear(committer: &mut Committer, text: &str, is_final: bool) -> Vec<Correction> {
        committer.on_hypothesis(&words(text), 0, is_final, NOW)
    }

    fn certain(committer: &Committer) -> usize {
        committer.pending().iter().take_while(|pending| pending.risk == 0.0).count()
    }

    #[test]
    fn a_word_is_certain_when_two_hypotheses_agree_on_it() {
        let mut committer = Committer::new(Rule::Agreement(2), "en");
        hear(&mut committer, "we met", false);
        assert_eq!(certain(&committer), 0);
        hear(&mut committer, "We met, him", false);
        assert_eq!(certain(&committer), 2, "case and punctuation agree");
        hear(&mut committer, "we let, him in", false);
        assert_eq!(certain(&committer), 1, "a changed word is new");
    }

    #[test]
    fn settled_words_and_finals_are_certain_at_once() {
        let mut committer = Committer::new(Rule::Provider, "en");
        committer.on_hypothesis(&words("see you on Monday"), 2, false, NOW);
        assert_eq!(certain(&committer), 2);
        hear(&mut committer, "see you on Monday.", true);
        assert_eq!(certain(&committer), 4);
    }

    #[test]
    fn a_contradicted_word_is_corrected_and_counted_once() {
        let mut committer = Committer::new(Rule::Agreement(1), "en");
        hear(&mut committer, "pay the bill", false);
        committer.commit(3);
        let correction = Correction { at: 2, was: "bill".into(), is: "bull,".into() };
        assert_eq!(hear(&mut committer, "pay the bull, now", false), [correction]);
        assert_eq!(hear(&mut committer, "Pay the bill, now", false).len(), 1);
        assert_eq!(committer.counts(), Counts { committed: 3, contradicted: 1 });
        assert_eq!(committer.pending().len(), 1);
    }

    #[test]
    fn inserted_and_removed_words_shift_nothing_into_or_out_of_the_tail() {
        let mut committer = Committer::new(Rule::Agreement(1), "en");
        hear(&mut committer, "we met on Monday", false);
        committer.commit(4);
        hear(&mut committer, "we all met on Monday with Anna", false);
        let tail = |committer: &Committer| -> Vec<String> {
            committer.pending().iter().map(|pending| pending.normal.clone()).collect()
        };
        assert_eq!(tail(&committer), ["with", "anna"]);
        let corrections = hear(&mut committer, "we on Monday with Anna", true);
        assert_eq!(corrections, [Correction { at: 1, was: "met".into(), is: String::new() }]);
        assert_eq!(tail(&committer), ["with", "anna"]);
    }

    #[test]
    fn a_partial_that_is_shorter_than_the_committed_text_takes_nothing_back() {
        let mut committer = Committer::new(Rule::Agreement(1), "en");
        hear(&mut committer, "we met on Monday", false);
        committer.commit(4);
        assert_eq!(hear(&mut committer, "we met", false), []);
        assert_eq!(hear(&mut committer, "", false), []);
        assert_eq!(hear(&mut committer, "we met", true).len(), 2, "the final does");
    }

    #[test]
    fn risk_falls_with_age_and_rises_with_what_the_call_shows() {
        let mut committer = Committer::new(Rule::Adaptive, "en");
        let risk = |committer: &Committer| committer.pending().first().map_or(0.0, |pending| pending.risk);
        hear(&mut committer, "boat", false);
        let first = risk(&committer);
        for _ in 0..AGES {
            hear(&mut committer, "boat", false);
        }
        assert_eq!(risk(&committer), 0.0);
        for n in 0..40 {
            committer.begin_turn();
            hear(&mut committer, &format!("boat{n}"), false);
            hear(&mut committer, "coat", false);
            hear(&mut committer, "coat", true);
        }
        committer.begin_turn();
        hear(&mut committer, "boat", false);
        assert!(risk(&committer) > 3.0 * first);
    }

    #[test]
    fn allowed_risk_falls_when_commitments_are_contradicted() {
        let mut committer = Committer::new(Rule::Adaptive, "en");
        let start = committer.allowed_risk();
        for _ in 0..30 {
            committer.begin_turn();
            hear(&mut committer, "one two three four", false);
            committer.commit(4);
            hear(&mut committer, "one two three five", true);
        }
        assert!(committer.allowed_risk() < start / 2.0);
        assert_eq!(committer.counts().contradicted, 30);
    }

    #[test]
    fn hypotheses_after_the_final_and_beyond_the_limit_are_ignored() {
        let mut committer = Committer::new(Rule::Adaptive, "en");
        hear(&mut committer, &"word ".repeat(TURN_WORDS_MAX + 10), true);
        assert_eq!(committer.pending().len(), TURN_WORDS_MAX);
        assert_eq!(hear(&mut committer, "other", false), []);
        assert_eq!(committer.pending().len(), TURN_WORDS_MAX);
    }
}
