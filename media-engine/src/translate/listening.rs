//! How each side of a translated call listens: in which language, and what it hears of the original.
//!
//! ```text
//! configuration ─▶ Listener ◀─ ListenerPatch (program, page, API; while the call runs)
//!                     └─ Listening: both sides, their level, and the languages that are applied so far
//! ```
//!
//! Not here: when a change takes effect (`session`), and how the original is lowered (`worker`).

use serde::{Deserialize, Serialize};

use super::lexicon;
use super::schedule::Level;
use super::speaker::Speaker;

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
    /// Creates a side that speaks and hears this language.
    pub fn new(language: impl Into<String>, hears: Hears) -> Listener {
        Listener { language: language.into(), hears, level: Level::default() }
    }

    /// Applies a change.
    pub fn apply(&mut self, ListenerPatch { language, hears }: ListenerPatch) {
        if let Some(language) = language {
            self.language = language;
        }
        self.hears = hears.unwrap_or(self.hears);
    }

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

/// How both sides listen, and the languages in which they are translated at present.
#[derive(Debug)]
pub(super) struct Listening {
    /// The customer and the agent; `level` is that of their schedules.
    sides: [Listener; 2],
    /// Languages from and to which each side is translated, until the chosen ones are applied.
    languages: [[String; 2]; 2],
    /// Whether speech of a side is not recognised.
    unheard: [bool; 2],
    reported: Option<[Listener; 2]>,
}

impl Listening {
    /// Creates the state of the customer and the agent.
    pub(super) fn new(sides: [Listener; 2]) -> Listening {
        let languages =
            Speaker::BOTH.map(|side| [side, side.other()].map(|side| sides[side as usize].language.clone()));
        Listening { sides, languages, unheard: [false; 2], reported: None }
    }

    /// Takes the choices of both sides.
    pub(super) fn choose(&mut self, patches: [ListenerPatch; 2]) {
        for (listener, patch) in self.sides.iter_mut().zip(patches) {
            listener.apply(patch);
        }
    }

    /// Sets how the schedule of a side serves it.
    pub(super) fn set_level(&mut self, side: Speaker, level: Level) {
        self.sides[side as usize].level = level;
    }

    /// Sets whether speech of a side is recognised.
    pub(super) fn set_recognised(&mut self, side: Speaker, is_recognised: bool) {
        self.unheard[side as usize] = !is_recognised;
    }

    /// Returns whether a side wants to hear translations.
    pub(super) fn wants_voice(&self, side: Speaker) -> bool {
        self.sides[side as usize].hears != Hears::Original
    }

    /// Returns the languages from and to which a side is translated at present.
    pub(super) fn languages(&self, speaker: Speaker) -> &[String; 2] {
        &self.languages[speaker as usize]
    }

    /// Returns whether other languages have been chosen for the words of a side.
    pub(super) fn is_changing(&self, speaker: Speaker) -> bool {
        let wanted = [speaker, speaker.other()].map(|side| &self.sides[side as usize].language);
        self.languages[speaker as usize].each_ref() != wanted
    }

    /// Applies the languages that have been chosen for the words of a side. Returns whether the side speaks another one than before.
    pub(super) fn change(&mut self, speaker: Speaker) -> bool {
        let wanted = [speaker, speaker.other()].map(|side| self.sides[side as usize].language.clone());
        let before = std::mem::replace(&mut self.languages[speaker as usize], wanted);
        let is_spoken_anew = before[0] != self.languages[speaker as usize][0];
        self.unheard[speaker as usize] &= !is_spoken_anew;
        is_spoken_anew
    }

    /// Returns how both sides listen. A side whose speaker is not recognised has the original.
    pub(super) fn both(&self) -> [Listener; 2] {
        Speaker::BOTH.map(|side| Listener { level: self.level(side), ..self.sides[side as usize].clone() })
    }

    /// Returns how both sides listen if that has changed since the last report.
    pub(super) fn news(&mut self) -> Option<[Listener; 2]> {
        let is_reported = |side: Speaker, reported: &[Listener; 2]| {
            let (before, now) = (&reported[side as usize], &self.sides[side as usize]);
            before.language == now.language && before.hears == now.hears && before.level == self.level(side)
        };
        let reported = self.reported.as_ref();
        if reported.is_some_and(|reported| Speaker::BOTH.into_iter().all(|side| is_reported(side, reported))) {
            return None;
        }
        self.reported = Some(self.both());
        self.reported.clone()
    }

    fn level(&self, side: Speaker) -> Level {
        if self.unheard[side.other() as usize] { Level::Original } else { self.sides[side as usize].level }
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
