//! Glossary of an organization: terms with their translations and names, for recognisers and translators.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::invalid::Invalid;
use super::text;
use super::voice_config::is_language_tag;
use crate::engine::translation::glossary as engine;

/// Largest number of terms, and of names.
pub(crate) const ENTRIES_MAX: usize = 200;
/// Longest term or name, in characters.
pub(crate) const TEXT_MAX: usize = 80;

/// Terms and names of an organization.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Glossary {
    /// Terms with their translations, at most 200. Each holds in both directions.
    #[schema(max_items = 200)]
    pub terms: Vec<GlossaryTerm>,
    /// Names that are spelled alike in all languages, at most 200.
    #[schema(max_items = 200)]
    pub names: Vec<String>,
}

/// A term in two languages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GlossaryTerm {
    /// Language of `source` as a BCP 47 tag.
    #[schema(example = "en")]
    pub from: String,
    /// The term in the one language.
    #[schema(example = "smart meter")]
    pub source: String,
    /// Language of `target` as a BCP 47 tag.
    #[schema(example = "es")]
    pub to: String,
    /// The term in the other language.
    #[schema(example = "contador inteligente")]
    pub target: String,
}

impl Glossary {
    /// Returns the glossary with trimmed texts.
    ///
    /// # Errors
    ///
    /// Returns [`Invalid`] with the field, such as `terms[3].source`, if there are too many entries, a text is empty, too long or has
    /// control characters, or a language is not a BCP 47 tag.
    pub fn checked(mut self) -> Result<Glossary, Invalid> {
        for (field, count) in [("terms", self.terms.len()), ("names", self.names.len())] {
            if count > ENTRIES_MAX {
                return Err(Invalid::new(field, format!("expected at most {ENTRIES_MAX} entries")));
            }
        }
        for (at, term) in self.terms.iter_mut().enumerate() {
            for (name, language) in [("from", &term.from), ("to", &term.to)] {
                if !is_language_tag(language) {
                    let expected = "expected a BCP 47 language tag such as `en` or `es-419`";
                    return Err(Invalid::new(format!("terms[{at}].{name}"), expected));
                }
            }
            for (name, text) in [("source", &mut term.source), ("target", &mut term.target)] {
                *text = text::name(format!("terms[{at}].{name}"), text, TEXT_MAX)?;
            }
        }
        for (at, name) in self.names.iter_mut().enumerate() {
            *name = text::name(format!("names[{at}]"), name, TEXT_MAX)?;
        }
        Ok(self)
    }

    /// Returns the glossary as calls use it.
    pub fn for_calls(&self) -> Arc<engine::Glossary> {
        let term = |term: &GlossaryTerm| engine::GlossaryTerm {
            languages: [term.from.clone(), term.to.clone()],
            texts: [term.source.clone(), term.target.clone()],
        };
        Arc::new(engine::Glossary { terms: self.terms.iter().map(term).collect(), names: self.names.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(source: &str, target: &str) -> GlossaryTerm {
        GlossaryTerm { from: "en".into(), source: source.into(), to: "es".into(), target: target.into() }
    }

    #[test]
    fn entries_are_trimmed_or_refused_by_their_field() {
        let glossary = Glossary { terms: vec![term(" smart meter ", "contador")], names: vec!["Grünwald".into()] };
        let checked = glossary.clone().checked().unwrap();
        assert_eq!(checked.terms[0].source, "smart meter");
        assert_eq!(checked.for_calls().hints("en"), ["Grünwald", "smart meter"]);
        let long = "a".repeat(TEXT_MAX + 1);
        let foreign = GlossaryTerm { to: "español".into(), ..term("a", "b") };
        for (wrong, field) in [
            (Glossary { terms: vec![term("a", "b"), term("a", " ")], ..Glossary::default() }, "terms[1].target"),
            (Glossary { terms: vec![term(&long, "b")], ..Glossary::default() }, "terms[0].source"),
            (Glossary { terms: vec![foreign], ..Glossary::default() }, "terms[0].to"),
            (Glossary { names: vec!["a\nb".into()], ..Glossary::default() }, "names[0]"),
            (Glossary { names: vec!["a".into(); ENTRIES_MAX + 1], ..Glossary::default() }, "names"),
        ] {
            assert_eq!(wrong.checked().unwrap_err().field, field);
        }
    }
}
