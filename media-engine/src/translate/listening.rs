//! How each side of a translated call listens: in which language, and what it hears of the original.
//!
//! ```text
//! configuration ─▶ Listener ◀─ ListenerPatch (program, page, API; while the call runs)
//! ```
//!
//! Not here: when a change takes effect (`session`), and how the original is lowered (`worker`).

use serde::{Deserialize, Serialize};

use super::lexicon;
use super::schedule::Level;

/// What a side hears of the other one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hears {
    /// The original; translations are shown as text only.
    Original,
    /// Translations over the lowered original.
    #[default]
    Ducked,
    /// Translations without the original.
    Translation,
}

impl Hears {
    /// All choices, from the original to none of it.
    pub const ALL: [Hears; 3] = [Hears::Original, Hears::Ducked, Hears::Translation];

    /// Returns the name as in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Hears::Original => "original",
            Hears::Ducked => "ducked",
            Hears::Translation => "translation",
        }
    }
}

/// How a side listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// BCP 47 tag of the language that it speaks and hears.
    pub language: String,
    /// What it hears of the other side.
    pub hears: Hears,
    /// How it is served at present.
    pub level: Level,
}

impl Listener {
    /// Returns whether translations of `speaker` take the place of the original, so that the original is not heard. When they come
    /// as text or not at all, the original is heard.
    pub fn replaces(&self, speaker: &Listener) -> bool {
        let is_translated = !lexicon::is_same(&self.language, &speaker.language);
        self.hears == Hears::Translation && is_translated && self.level < Level::Text
    }
}

/// Change of how a side listens; `None` keeps a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenerPatch {
    /// BCP 47 tag of the language that it speaks and hears from its next sentence on.
    pub language: Option<String>,
    /// What it hears of the other side.
    pub hears: Option<Hears>,
}

impl ListenerPatch {
    /// Returns whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == ListenerPatch::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn translations_replace_the_original_while_they_are_spoken() {
        let listener = |language: &str, hears, level| Listener { language: language.into(), hears, level };
        let speaker = listener("en-US", Hears::Original, Level::Voice);
        let replaces = |language, hears, level| listener(language, hears, level).replaces(&speaker);
        assert!(replaces("es", Hears::Translation, Level::Voice) && replaces("es", Hears::Translation, Level::Faster));
        assert!(!replaces("es", Hears::Translation, Level::Text), "text cannot be heard");
        assert!(!replaces("es", Hears::Translation, Level::Original));
        assert!(!replaces("en-GB", Hears::Translation, Level::Voice), "the language is the listener's own");
        assert!(!replaces("es", Hears::Ducked, Level::Voice));
    }
}
