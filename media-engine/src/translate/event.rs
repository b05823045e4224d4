//! Events of live translation, as sent to listeners.

use serde::{Deserialize, Serialize};

/// One state of one segment. Later events of the same `segment` replace earlier ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TranslationEvent {
    /// Number of the segment in its call, counted from 1 over both legs.
    pub segment: u64,
    /// Leg that spoke or typed: `customer` or `agent`.
    pub leg: String,
    /// BCP 47 tag of the language that was spoken or typed.
    pub source_language: String,
    /// BCP 47 tag of the language of the translation.
    pub target_language: String,
    /// Recognised text. Empty while there is none.
    pub text: String,
    /// Translated text; `None` until it is available, or if translation is not possible.
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
    /// Lag by stage, filled as the stages finish.
    pub lag_ms: LagMs,
}

/// Lag of one segment by stage, in milliseconds, all measured with one clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LagMs {
    /// Time from the end of speech to the final text.
    pub stt: Option<u32>,
    /// Time from the final text to its translation.
    pub translate: Option<u32>,
    /// Time from the translation to the first synthesised sample sent to the listener.
    pub tts: Option<u32>,
    /// Time from the end of speech to that first sample or, without voice, to the translated text.
    pub total: Option<u32>,
}
