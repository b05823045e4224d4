//! Providers that speak the Wyoming protocol: the local child process over stdio, any server over TCP.
//!
//! ```text
//! Client ─ take or connect ─▶ Link ─ events ─▶ tandem-local-speech (stdio) | faster-whisper, piper (TCP)
//!    └── idle links are kept; one recogniser's link is warm before the first call needs it
//! ```
//!
//! A link serves one thing at a time: one speaker's recognition, one translation, one sentence's synthesis.
//! Beside the standard events two of our own are used with the local process: `translate` → `translation`, and
//! `transcript-partial`. Sources: the Wyoming README; the sheet of synthesis providers, section 4.

mod client;
mod link;
mod recognise;

#[cfg(test)]
pub(in crate::speech) mod tests;

pub(super) use client::Client;
