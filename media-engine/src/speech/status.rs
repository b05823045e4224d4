//! Kind and state of a speech provider.

use serde::Serialize;

/// Kinds of speech provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    /// Recognition (speech to text).
    Stt,
    /// Translation of text.
    Translator,
    /// Synthesis (text to speech).
    Tts,
}

/// State of a speech provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "detail")]
pub enum ProviderState {
    /// The provider can be used.
    Up,
    /// The provider is being restarted; calls continue without it. The text gives the reason.
    Restarting(String),
    /// The provider is unavailable; the text says what to install or configure.
    Down(String),
    /// The provider works, but does not support this language; the text says so.
    Unsupported(String),
}
