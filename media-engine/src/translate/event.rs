//! Events of live translation, as sent to listeners.

use serde::{Deserialize, Serialize};

/// One state of one segment: what a party said between two pauses. Later events of the same `segment` replace earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TranslationEvent {
    /// Number of the segment in its call, counted from 1 over both legs.
    pub segment: u64,
    /// Number of this state of the segment, counted from 1. Of two states the one with the higher number is newer.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub revision: u32,
    /// Whether only words that may still change are new since the state before. Such a state need not be stored.
    #[serde(skip)]
    pub is_passing: bool,
    /// Leg that spoke or typed: `customer` or `agent`.
    pub leg: String,
    /// BCP 47 tag of the language that was spoken or typed.
    pub source_language: String,
    /// BCP 47 tag of the language of the translation.
    pub target_language: String,
    /// Recognised text. Empty while there is none.
    pub text: String,
    /// Translations of the clauses so far, joined; `None` until there is one, or if translation is not possible. It grows while the
    /// segment is spoken.
    pub translation: Option<String>,
    /// Whether `text` is final.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// Whether there were words outside the recogniser's vocabulary; `text` is then empty.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unrecognised: bool,
    /// Whether live recognition missed speech because the provider was unavailable or failed; `text` is then empty.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub missed: bool,
    /// Beginning of the speech, in milliseconds before this event; `None` for typed text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_ms_ago: Option<u64>,
    /// End of the speech, in milliseconds before this event; `None` while it continues, and for typed text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms_ago: Option<u64>,
    /// Number of words of `text` that are committed to translation and do not change any more, except by a correction.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub committed: u32,
    /// Number of committed words that the recogniser contradicted later.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub corrections: u32,
    /// Clauses in which the segment is translated, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clauses: Vec<ClauseEvent>,
    /// Lag by stage, filled as the stages finish: of the last clause or, without clauses, of the text.
    pub lag_ms: LagMs,
}

/// State of a clause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClauseEvent {
    /// Number of the clause in its call, counted from 0 over both legs.
    pub clause: u64,
    /// Words of the segment that belong to the clause.
    pub text: String,
    /// Translated text; `None` until it is available, or if translation failed.
    pub translation: Option<String>,
    /// How the listener gets the clause.
    pub heard: ClauseHeard,
    /// Factor of the speed of the voice, above 1 when it catches up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<f32>,
    /// Lag by stage.
    pub lag_ms: LagMs,
    /// Facts in which source and translation differ, such as `15 → 50`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,
}

/// How a listener gets a clause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClauseHeard {
    /// Nothing is decided yet.
    #[default]
    Pending,
    /// As a voice.
    Voice,
    /// As text: voice is off or failed, it came too late, or the listener was not in the conversation.
    Text,
    /// Not at all: there is no translation, so the original is all there is.
    Original,
}

/// Lag by stage, in milliseconds, all measured with one clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LagMs {
    /// Time from the end of the last word until the words were committed, or until the final text if they are not translated.
    pub stt: Option<u32>,
    /// Time until the translation.
    pub translate: Option<u32>,
    /// Time from the translation to the first synthesised sample sent to the listener.
    pub tts: Option<u32>,
    /// Time from the end of the last word to that first sample or, without voice, to the translated text.
    pub total: Option<u32>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}
