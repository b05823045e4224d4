//! Grammar of the recogniser: the phrases in any sequence, or sounds outside them.
//!
//! ```text
//!            ┌─ word ─ word ─ ... ─┐        a chain for each phrase
//!   start ───┤                     ├─── end ──(REPEAT)──▶ start
//!            └─▶ any sound, again ─┘        each sound costs PENALTY
//! ```
//!
//! The loop of sounds competes with the phrases: it explains any speech, at a price for each sound. Speech from the list is
//! explained better by its words; other speech ends up in the loop and is reported as *unrecognised* rather than as nonsense.
//!
//! Invariants: the dictionary contains every word of the grammar. Not here: decoding.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write as _;

use anyhow::{Result, bail};

use crate::phrases::Phrases;

/// Prefix of the words that stand for one sound; no phrase contains them.
const SOUND_PREFIX: char = '_';
/// Price of one sound, as a probability. Measured on four espeak-ng voices through G.711: at 1e-11 2 % of foreign sentences pass
/// and 17 % of the phrases are rejected, at 1e-14 16 and 12 %, at 1e-20 56 and 4 %. A second opinion by a free loop of phones
/// (mean or worst word) moved along the same curve and was left out.
const PENALTY: &str = "1e-13";
/// Price of a further phrase in the same utterance: with a lower price, foreign speech is recognised as sequences of short
/// phrases.
const REPEAT: &str = "1e-20";

/// A grammar in the text form that libsphinxbase reads, and its dictionary.
pub(crate) struct Grammar {
    /// Text from `FSG_BEGIN` to `FSG_END`.
    pub(crate) text: String,
    /// Words and their phones; a word with several pronunciations as `word`, `word(2)`.
    pub(crate) dictionary: Vec<(String, String)>,
}

/// Returns whether a word of a hypothesis stands for a sound outside the phrases.
pub(crate) fn is_foreign_sound(word: &str) -> bool {
    word.starts_with(SOUND_PREFIX)
}

impl Grammar {
    /// Builds the grammar of `phrases`, with pronunciations from `dictionary` (lines `word PH PH ...`).
    pub(crate) fn compile(phrases: &Phrases, dictionary: &str) -> Result<Grammar> {
        let wanted: HashSet<&str> =
            phrases.english().iter().flat_map(|phrase| phrase.words.iter().map(String::as_str)).collect();
        let (mut entries, sounds) = pick(&wanted, dictionary);
        let known: HashSet<&str> = entries.iter().map(|(word, _)| word.as_str()).collect();
        let mut missing: Vec<&str> = wanted.difference(&known).copied().collect();
        if !missing.is_empty() {
            missing.sort_unstable();
            bail!("en.txt: the pronouncing dictionary has no {}; use other words", missing.join(", "));
        }
        let text = write(phrases, &sounds);
        entries.extend(sounds.into_iter().map(|phone| (format!("{SOUND_PREFIX}{phone}"), phone)));
        Ok(Grammar { text, dictionary: entries })
    }
}

/// Returns the entries of the wanted words and all phones of the language.
fn pick(wanted: &HashSet<&str>, dictionary: &str) -> (Vec<(String, String)>, BTreeSet<String>) {
    let mut entries = Vec::new();
    let mut sounds = BTreeSet::new();
    for line in dictionary.lines() {
        let Some((word, phones)) = line.split_once(char::is_whitespace) else { continue };
        for phone in phones.split_whitespace() {
            if !sounds.contains(phone) {
                sounds.insert(phone.to_owned());
            }
        }
        let base = word.split_once('(').map_or(word, |(base, _)| base);
        if wanted.contains(base) {
            entries.push((word.to_owned(), phones.trim().to_owned()));
        }
    }
    (entries, sounds)
}

fn write(phrases: &Phrases, sounds: &BTreeSet<String>) -> String {
    const START: usize = 0;
    const END: usize = 1;
    const BEFORE_SOUND: usize = 2;
    const AFTER_SOUND: usize = 3;
    let mut states = 4;
    let mut transitions = String::new();
    let mut add = |from: usize, to: usize, probability: &str, word: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(transitions, "TRANSITION {from} {to} {probability} {word}");
    };
    let first = format!("{:e}", 1.0 / phrases.english().len() as f64);
    for phrase in phrases.english() {
        let mut from = START;
        for (at, word) in phrase.words.iter().enumerate() {
            let to = if at + 1 == phrase.words.len() {
                END
            } else {
                states += 1;
                states - 1
            };
            add(from, to, if at == 0 { &first } else { "1.0" }, word);
            from = to;
        }
    }
    add(END, START, REPEAT, "");
    add(START, BEFORE_SOUND, "1.0", "");
    for phone in sounds {
        add(BEFORE_SOUND, AFTER_SOUND, PENALTY, &format!("{SOUND_PREFIX}{phone}"));
    }
    add(AFTER_SOUND, BEFORE_SOUND, "1.0", "");
    add(AFTER_SOUND, END, "1.0", "");
    format!("FSG_BEGIN phrases\nNUM_STATES {states}\nSTART_STATE {START}\nFINAL_STATE {END}\n{transitions}FSG_END\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phrases(english: &str) -> Phrases {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("en.txt"), english).unwrap();
        std::fs::write(folder.path().join("en-es.tsv"), "").unwrap();
        Phrases::load(Some(folder.path())).unwrap()
    }

    const DICTIONARY: &str =
        "hello HH AH L OW\nhello(2) HH EH L OW\nmorning M AO R N IH NG\ngood G UH D\nzebra Z IY B R AH\n";

    #[test]
    fn each_phrase_is_a_chain_with_all_pronunciations() {
        let grammar = Grammar::compile(&phrases("Hello!\nGood morning.\n"), DICTIONARY).unwrap();
        let words: Vec<&str> = grammar.dictionary.iter().map(|(word, _)| word.as_str()).collect();
        assert!(["hello", "hello(2)", "good", "morning", "_Z"].iter().all(|word| words.contains(word)), "{words:?}");
        assert!(!words.contains(&"zebra"));
        assert!(grammar.text.contains("TRANSITION 0 1 5e-1 hello\n"), "{}", grammar.text);
        assert!(grammar.text.contains("TRANSITION 0 4 5e-1 good\nTRANSITION 4 1 1.0 morning\n"), "{}", grammar.text);
        assert!(grammar.text.contains("NUM_STATES 5\n"), "{}", grammar.text);
    }

    #[test]
    fn a_word_without_pronunciation_is_named_in_the_error() {
        let error = Grammar::compile(&phrases("Hello Zaphod.\n"), DICTIONARY).err().unwrap().to_string();
        assert!(error.contains("zaphod"), "{error}");
    }
}
