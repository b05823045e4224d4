//! Providers that use the Wyoming protocol: the local child process over stdio, any server over TCP.
//!
//! ```text
//! Client ─ take or connect ─▶ Link ─ events ─▶ tandem-local-speech (stdio) | faster-whisper, piper (TCP)
//!    └── idle links are kept; one link of a recogniser is ready before the first call needs it
//! ```
//!
//! A link serves one task at a time: the recognition of one speaker, one translation, or the synthesis of one sentence.
//! In addition to the standard events, the local process uses two of our own: `translate` → `translation`, and
//! `transcript-partial`. Source: the README of the Wyoming protocol.

mod client;
mod link;
mod recognise;

#[cfg(test)]
pub(in crate::speech) mod tests;

pub(super) use client::Client;
