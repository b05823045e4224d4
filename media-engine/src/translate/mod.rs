//! Live translation, independent of speech providers: what is committed, cut, translated, spoken and shown, and when.
//!
//! ```text
//! frames ─▶ Session ─ audio ─▶ recogniser ─ partial, final ─▶ Session ─ TranslationEvent ─▶ pages, store
//!              │ activity                                         │ hypothesis
//!              ▼                                                  ▼
//!            turns ──────────────▶ conversation ◀────────────── commit ─▶ clauses ─▶ translator
//!                                   speakers × listeners × languages      └─▶ lag, guard
//!                                       └─▶ schedule (per listener) ─▶ voice, text or the original
//! ```
//!
//! A sentence flows in clauses while it is said. Calls use [`Session`], which ties the segments of a transcript to the turns of a
//! [`conversation`]; `tandem translate --study` drives the conversation alone.
//!
//! Sans-IO: inputs are frames, results and times; effects are returned by `poll_effect`. Invariants: a result that is not current
//! changes nothing; every stage is timed with one clock; memory is bounded ([`SEGMENTS_MAX`], [`conversation::CLAUSES_MAX`]). More
//! invariants stand in `conversation`. Not here: calls, legs, RTP, sockets, providers.

pub mod clauses;
pub mod commit;
pub mod conversation;
pub mod edits;
pub mod exchange;
pub mod glossary;
pub mod guard;
pub mod lag;
pub mod lexicon;
pub mod numerals;
pub mod schedule;
pub mod turns;

mod echo;
mod endpoint;
mod event;
mod listening;
mod segment;
mod session;
mod speaker;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_conversation;
#[cfg(test)]
mod tests_session;

pub use endpoint::{Endpointer, Heard};
pub use event::{ClauseEvent, ClauseHeard, LagMs, TranslationEvent};
pub use listening::{Hears, Listener, ListenerPatch};
pub use session::{Effect, SEGMENTS_MAX, Session, SessionParams};
pub use speaker::{Presence, Speaker};
