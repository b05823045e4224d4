//! What a provider is, and how it is.

use serde::Serialize;

/// Kinds of speech provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    /// Recognition.
    Stt,
    /// Translation.
    Translator,
    /// Synthesis.
    Tts,
}

/// State of a speech provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "detail")]
pub enum ProviderState {
    /// Usable.
    Up,
    /// Being started again; calls go on without it.
    Restarting(String),
    /// Not to be had; the text says what to install or configure.
    Down(String),
    /// Works, but not for this language; the text says so plainly.
    Unsupported(String),
}
