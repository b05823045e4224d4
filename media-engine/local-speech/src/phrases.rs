//! The known phrases: recognisable sentences, and their translations without machine translation.
//!
//! `en.txt` contains one English sentence per line, `en-es.tsv` English, a tab, Spanish; `#` starts a comment. Both are built in
//! and can be replaced by a folder with files of the same names.
//!
//! Invariants: phrases are compared in their normal form (lower case, no punctuation) and displayed as written. Not here: sounds
//! (grammar), machine translation (apertium).

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail};

const BUILT_IN_ENGLISH: &str = include_str!("../../../phrases/en.txt");
const BUILT_IN_SPANISH: &str = include_str!("../../../phrases/en-es.tsv");
/// Maximum number of phrases: recognition slows down as the grammar grows, and must keep up with speech.
const MAX_PHRASES: usize = 2_000;

/// The known phrases and their translations.
pub(crate) struct Phrases {
    english: Vec<Phrase>,
    spanish_by_english: HashMap<String, String>,
    english_by_spanish: HashMap<String, String>,
}

/// One recognisable sentence.
pub(crate) struct Phrase {
    /// Words in normal form.
    pub(crate) words: Vec<String>,
    /// Words as written, one for each of `words`.
    written: Vec<String>,
}

impl Phrases {
    /// Loads the built-in phrases, or those in `folder`.
    pub(crate) fn load(folder: Option<&Path>) -> Result<Phrases> {
        let Some(folder) = folder else {
            return Phrases::parse(BUILT_IN_ENGLISH, BUILT_IN_SPANISH);
        };
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).with_context(|| format!("--phrases: cannot read {}", path.display()))
        };
        Phrases::parse(&read("en.txt")?, &read("en-es.tsv")?)
    }

    fn parse(english: &str, pairs: &str) -> Result<Phrases> {
        let english: Vec<Phrase> = lines(english).filter_map(Phrase::parse).collect();
        if english.is_empty() || english.len() > MAX_PHRASES {
            bail!("en.txt holds {} phrases; 1 to {MAX_PHRASES} can be used", english.len());
        }
        let mut phrases = Phrases { english, spanish_by_english: HashMap::new(), english_by_spanish: HashMap::new() };
        for line in lines(pairs) {
            let Some((english, spanish)) = line.split_once('\t') else {
                bail!("en-es.tsv: no tab in `{line}`");
            };
            let (english, spanish) = (english.trim(), spanish.trim());
            phrases.spanish_by_english.entry(normalise(english)).or_insert_with(|| spanish.to_owned());
            phrases.english_by_spanish.entry(normalise(spanish)).or_insert_with(|| english.to_owned());
        }
        Ok(phrases)
    }

    /// The recognisable sentences.
    pub(crate) fn english(&self) -> &[Phrase] {
        &self.english
    }

    /// Returns the written translation of a text that consists of one or several whole phrases.
    pub(crate) fn look_up(&self, text: &str, target: Language) -> Option<String> {
        let table = match target {
            Language::Spanish => &self.spanish_by_english,
            Language::English => &self.english_by_spanish,
        };
        if let Some(found) = table.get(&normalise(text)) {
            return Some(found.clone());
        }
        let sentences = sentences(text);
        if sentences.len() < 2 {
            return None;
        }
        let found: Option<Vec<&str>> =
            sentences.iter().map(|sentence| table.get(&normalise(sentence)).map(String::as_str)).collect();
        Some(found?.join(" "))
    }

    /// Returns the recognised words as written, if they are whole phrases in a row, the last one perhaps unfinished.
    ///
    /// Otherwise `None`, which the grammar of the phrases does not produce.
    pub(crate) fn write(&self, words: &[&str]) -> Option<String> {
        // reached[n]: the phrase that ends after word n, if only whole phrases precede it.
        let mut reached: Vec<Option<&Phrase>> = vec![None; words.len() + 1];
        let mut tail = None;
        for from in 0..words.len() {
            if from > 0 && reached[from].is_none() {
                continue;
            }
            for phrase in &self.english {
                let rest = &words[from..];
                let common = phrase.words.iter().zip(rest).take_while(|(known, word)| known == *word).count();
                if common == phrase.words.len() {
                    reached[from + common].get_or_insert(phrase);
                } else if common == rest.len() {
                    tail = tail.or(Some((from, &phrase.written[..common])));
                }
            }
        }
        let (mut end, mut pieces) = match (reached[words.len()], tail) {
            (Some(_), _) => (words.len(), Vec::new()),
            (None, Some((from, unfinished))) => (from, vec![unfinished.join(" ")]),
            (None, None) => return None,
        };
        while let Some(phrase) = reached[end].filter(|_| end > 0) {
            pieces.push(phrase.written.join(" "));
            end -= phrase.words.len();
        }
        pieces.reverse();
        Some(pieces.join(" "))
    }
}

impl Phrase {
    fn parse(line: &str) -> Option<Phrase> {
        let (written, words): (Vec<String>, Vec<String>) = line
            .split_whitespace()
            .map(|written| (written.to_owned(), normalise(written)))
            .filter(|(_, word)| !word.is_empty())
            .unzip();
        (!words.is_empty()).then_some(Phrase { words, written })
    }
}

/// Languages with a phrase list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    /// Tags such as `en` and `en-US`.
    English,
    /// Tags such as `es` and `es-419`.
    Spanish,
}

impl Language {
    /// Parses a BCP 47 tag by its first subtag.
    pub(crate) fn from_tag(tag: &str) -> Option<Language> {
        let primary = tag.split(['-', '_']).next().unwrap_or_default();
        if primary.eq_ignore_ascii_case("en") {
            Some(Language::English)
        } else if primary.eq_ignore_ascii_case("es") {
            Some(Language::Spanish)
        } else {
            None
        }
    }
}

/// Normal form: lower case; only letters, digits and apostrophes; single spaces.
pub(crate) fn normalise(text: &str) -> String {
    let lower = text.to_lowercase().replace('’', "'");
    let kept: String = lower.chars().filter(|c| c.is_alphanumeric() || *c == '\'' || c.is_whitespace()).collect();
    kept.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Splits a text after `.`, `?` and `!`.
fn sentences(text: &str) -> Vec<&str> {
    text.split_inclusive(['.', '?', '!']).map(str::trim).filter(|sentence| !normalise(sentence).is_empty()).collect()
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built_in() -> Phrases {
        Phrases::load(None).unwrap()
    }

    #[test]
    fn every_phrase_has_a_translation_in_both_directions() {
        let phrases = built_in();
        assert!(phrases.english().len() >= 150, "{}", phrases.english().len());
        for line in lines(BUILT_IN_ENGLISH) {
            let spanish = phrases.look_up(line, Language::Spanish).unwrap_or_else(|| panic!("no Spanish for {line}"));
            assert_eq!(phrases.look_up(&spanish, Language::English).as_deref(), Some(line));
        }
    }

    #[test]
    fn look_up_ignores_case_and_punctuation_and_takes_several_sentences() {
        let phrases = built_in();
        assert_eq!(phrases.look_up("how MUCH does it cost", Language::Spanish).as_deref(), Some("¿Cuánto cuesta?"));
        assert_eq!(
            phrases.look_up("Hello. I lost my card.", Language::Spanish).as_deref(),
            Some("Hola. Perdí mi tarjeta.")
        );
        assert_eq!(phrases.look_up("Hello. Nonsense here.", Language::Spanish), None);
    }

    #[test]
    fn recognised_words_are_spelled_as_in_the_list() {
        let phrases = built_in();
        let write = |text: &str| phrases.write(&text.split(' ').collect::<Vec<_>>());
        assert_eq!(write("can you repeat that please").as_deref(), Some("Can you repeat that, please?"));
        assert_eq!(write("good morning i lost my card").as_deref(), Some("Good morning. I lost my card."));
        assert_eq!(write("good morning i lost").as_deref(), Some("Good morning. I lost"));
        assert_eq!(write("morning good"), None);
        assert_eq!(write(""), None);
    }

    #[test]
    fn broken_lists_are_refused_with_the_line_number() {
        assert!(Phrases::parse("", "").is_err());
        let error = Phrases::parse("Hello.", "Hello. Hola.").err().unwrap().to_string();
        assert!(error.contains("Hello. Hola."), "{error}");
    }
}
