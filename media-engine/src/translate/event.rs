//! What a listener of live translation is told.

use serde::{Deserialize, Serialize};

/// One state of one segment. Later events of the same `segment` replace earlier ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TranslationEvent {
    /// Number of the segment in its call, counted from 1 over both legs.
    pub segment: u64,
    /// `customer` or `agent`: who spoke or typed.
    pub leg: String,
    /// BCP 47.
    pub source_language: String,
    /// BCP 47.
    pub target_language: String,
    /// What was said. Empty while nothing is recognised yet.
    pub text: String,
    /// What it means; `None` until translated, or when it cannot be.
    pub translation: Option<String>,
    /// Whether `text` will not change any more.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// The words lay outside what the recogniser knows; `text` is then empty.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unrecognised: bool,
    /// There was speech that live recognition did not hear, because the provider was gone or failed; `text` is then empty.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub missed: bool,
    /// When the speech began, milliseconds before this event; `None` for typed text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_ms_ago: Option<u64>,
    /// When the speech ended, milliseconds before this event; `None` while it goes on, and for typed text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms_ago: Option<u64>,
    /// Filled as the stages finish.
    pub lag_ms: LagMs,
}

/// Lag of one segment by stage, in milliseconds, all on one clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LagMs {
    /// End of speech to final text.
    pub stt: Option<u32>,
    /// Final text to translation.
    pub translate: Option<u32>,
    /// Translation to first synthesised sample leaving for the listener.
    pub tts: Option<u32>,
    /// End of speech to that first sample; without voice, to the translated text.
    pub total: Option<u32>,
}
