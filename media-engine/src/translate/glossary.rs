//! Glossary of an organization: terms with their prescribed translations, and names that stay as they are.
//!
//! ```text
//! glossary ─┬─ hints(language) ─────▶ recogniser: words that it should expect
//!           ├─ applied(text, from, to) ▶ translator: the text with each term in the other language already
//!           └─ terms(from, to) ──────▶ guard: what the translation must contain
//! ```
//!
//! A term holds in both directions. Terms are found word by word, without case and without punctuation around words; of two that begin
//! at the same word, the longer one is taken. A translator that has no means of its own for terms gets them in its text: it leaves words
//! of the other language as they are. Not here: the differences that are reported (`guard`).

use super::guard::Term;
use super::lexicon::{is_same, normalised};
use super::segment::words;

/// Terms and names; see the module head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Glossary {
    /// Terms with their translations.
    pub terms: Vec<GlossaryTerm>,
    /// Names that are spelled alike in all languages.
    pub names: Vec<String>,
}

/// A term in two languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlossaryTerm {
    /// BCP 47 tags of the two languages. Regions do not count.
    pub languages: [String; 2],
    /// The term in each of them.
    pub texts: [String; 2],
}

impl Glossary {
    /// Returns the terms of a language and the names, as they are spelled.
    pub fn hints(&self, language: &str) -> Vec<String> {
        let of_language = self.terms.iter().flat_map(|term| {
            let both = term.languages.iter().zip(&term.texts);
            both.filter(|(tag, _)| is_same(tag, language)).map(|(_, text)| text.clone())
        });
        let mut hints: Vec<String> = self.names.iter().cloned().chain(of_language).collect();
        let mut seen = std::collections::HashSet::new();
        hints.retain(|hint| seen.insert(hint.clone()));
        hints
    }

    /// Returns what a translation from one language to another must contain: the translations of terms, and the names.
    pub fn terms(&self, from: &str, to: &str) -> Vec<Term> {
        let one_way = |term: &GlossaryTerm, [source, target]: [usize; 2]| {
            let is_pair = is_same(&term.languages[source], from) && is_same(&term.languages[target], to);
            is_pair.then(|| Term { source: term.texts[source].clone(), translation: term.texts[target].clone() })
        };
        let terms = self.terms.iter().filter_map(|term| one_way(term, [0, 1]).or_else(|| one_way(term, [1, 0])));
        let names = self.names.iter().map(|name| Term { source: name.clone(), translation: name.clone() });
        terms.chain(names).collect()
    }

    /// Returns the text with each term in the other language; punctuation around terms stays.
    pub fn applied(&self, text: &str, from: &str, to: &str) -> String {
        let mut terms: Vec<(Vec<String>, String)> = self
            .terms(from, to)
            .into_iter()
            .map(|term| (words(&term.source).map(normalised).collect::<Vec<_>>(), term.translation))
            .filter(|(source, _)| !source.is_empty())
            .collect();
        if terms.is_empty() {
            return text.to_owned();
        }
        terms.sort_by_key(|(source, _)| std::cmp::Reverse(source.len()));
        let spoken: Vec<&str> = words(text).collect();
        let normal: Vec<String> = spoken.iter().map(|word| normalised(word)).collect();
        let mut applied: Vec<String> = Vec::new();
        let mut at = 0;
        while at < spoken.len() {
            match terms.iter().find(|(source, _)| normal[at..].starts_with(source)) {
                Some((source, translation)) => {
                    let (first, last) = (spoken[at], spoken[at + source.len() - 1]);
                    let is_part = |c: char| c.is_alphanumeric();
                    let before = &first[..first.find(is_part).unwrap_or(0)];
                    let after = last.rfind(is_part).map_or("", |end| {
                        let end = end + last[end..].chars().next().map_or(0, char::len_utf8);
                        &last[end..]
                    });
                    applied.push(format!("{before}{translation}{after}"));
                    at += source.len();
                }
                None => {
                    applied.push(spoken[at].to_owned());
                    at += 1;
                }
            }
        }
        applied.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glossary() -> Glossary {
        let term =
            |en: &str, es: &str| GlossaryTerm { languages: ["en".into(), "es".into()], texts: [en.into(), es.into()] };
        Glossary {
            terms: vec![term("meter", "contador"), term("smart meter", "contador inteligente")],
            names: vec!["Grünwald".into()],
        }
    }

    #[test]
    fn terms_are_applied_in_both_directions_and_the_longer_one_first() {
        let glossary = glossary();
        let applied = |text| glossary.applied(text, "en-GB", "es");
        assert_eq!(applied("Your smart meter, and \"Meter\"!"), "Your contador inteligente, and \"contador\"!");
        assert_eq!(applied("The meters of (Grünwald)."), "The meters of (Grünwald).");
        assert_eq!(glossary.applied("¿El contador inteligente?", "es-419", "en"), "¿El smart meter?");
        assert_eq!(glossary.applied("Der meter", "de", "es"), "Der meter");
        assert_eq!(applied(""), "");
    }

    #[test]
    fn recognisers_expect_the_terms_of_their_language_and_the_names() {
        let glossary = glossary();
        assert_eq!(glossary.hints("es-MX"), ["Grünwald", "contador", "contador inteligente"]);
        assert_eq!(glossary.hints("fr"), ["Grünwald"]);
        assert_eq!(glossary.terms("fr", "es"), [Term { source: "Grünwald".into(), translation: "Grünwald".into() }]);
    }
}
