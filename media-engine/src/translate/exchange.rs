//! What goes into a translated conversation and what comes out of it.
//!
//! ```text
//! Hypothesis, Translation, Voice ─▶ Conversation ─▶ Effect
//! ```
//!
//! Every answer carries the clause and the revision of the [`Request`] that it answers. Not here: what is decided (`conversation`).

use std::sync::Arc;

use super::clauses::Lengths;
use super::commit::{Correction, Rule, Word};
use super::glossary::Glossary;
use super::guard::Difference;
use super::lag::Stamps;
use super::schedule::{Level, Limits};

/// Party of the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartyId(pub u32);

/// Clause of a speaker towards one language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClauseId(pub u64);

/// Policy of a conversation.
#[derive(Clone, Debug)]
pub struct Policy {
    /// When a word becomes certain.
    pub rule: Rule,
    /// Lengths of clauses; `None`: by the target language.
    pub lengths: Option<Lengths>,
    /// Limits of each listener.
    pub limits: Limits,
    /// Whether a clause is translated anew when a word of it is corrected before any answer has come.
    pub revises: bool,
    /// Terms that translations must keep.
    pub glossary: Arc<Glossary>,
}

impl Default for Policy {
    fn default() -> Policy {
        let limits = Limits::default();
        Policy { rule: Rule::Adaptive, lengths: None, limits, revises: true, glossary: Arc::default() }
    }
}

/// Hypothesis of a recogniser: the whole turn so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hypothesis {
    /// Number of the listening that it belongs to ([`Effect::Listen`]).
    pub listening: u32,
    /// Number of the turn; rises within a listening.
    pub turn: u32,
    /// Words of the turn.
    pub words: Vec<Word>,
    /// Number of words that the provider will not change.
    pub settled: usize,
    /// Whether the turn has no further words.
    pub is_final: bool,
}

/// Progress of a translation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Translation {
    /// The first words are there; synthesis may begin.
    Begun,
    /// The whole text is there.
    Done(String),
    /// There will be no translation.
    Failed,
}

/// Progress of a synthesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// The first sample is there.
    Begun,
    /// There will be no voice.
    Failed,
}

/// Clause that was translated, as context for the next ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextLine {
    /// Party that said it.
    pub speaker: PartyId,
    /// Source text of the clause.
    pub source: String,
    /// Translation; `None` while there is none.
    pub translation: Option<String>,
}

/// Clause to be translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Clause and its revision, which every answer must carry.
    pub clause: ClauseId,
    /// Number of times that the clause was changed before.
    pub revision: u32,
    /// Party that said it.
    pub speaker: PartyId,
    /// Turn of the speaker.
    pub turn: u32,
    /// Position of the clause in its turn, counted from 0.
    pub index: u32,
    /// BCP 47 tag of the speaker's language.
    pub from: String,
    /// BCP 47 tag of the target language.
    pub to: String,
    /// Source words with their punctuation.
    pub words: Vec<String>,
    /// Clauses before it, of both sides, oldest first.
    pub context: Vec<ContextLine>,
}

impl Request {
    /// Returns the source text.
    pub fn text(&self) -> String {
        self.words.join(" ")
    }
}

/// Work for the caller, or news.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Recognise the party from now on, as the listening of this number.
    Listen(PartyId, u32),
    /// Stop recognising the party.
    Unlisten(PartyId),
    /// The turn has ended: ask the recogniser for its final hypothesis.
    EndTurn(PartyId, u32),
    /// Translate a clause.
    Translate(Request),
    /// Speak the translation of a clause once for all its listeners, as its words arrive.
    Speak {
        /// Clause to speak.
        clause: ClauseId,
        /// Revision that answers must carry.
        revision: u32,
    },
    /// Play the voice of a clause to a listener.
    Play {
        /// Listener that hears it.
        listener: PartyId,
        /// Clause to play.
        clause: ClauseId,
        /// Factor of the speed, from 1 to 1.25.
        speed: f32,
        /// Times of the clause so far.
        stamps: Stamps,
    },
    /// Stop playing a clause, because the listener must not hear its speaker any more.
    Stop(PartyId, ClauseId),
    /// A clause that waited for a listener is not for it any more, because it must not hear the speaker.
    Dropped(PartyId, ClauseId),
    /// Show a clause to a listener instead of playing it.
    Show(PartyId, ClauseId),
    /// A clause is neither played nor shown to a listener: it has no translation.
    Lost(PartyId, ClauseId),
    /// The listener is served at another level.
    Level(PartyId, Level),
    /// The translation of a clause is complete, with what differs from the source.
    Translated(ClauseId, String, Vec<Difference>),
    /// A committed word of a turn was wrong: position, old and new word.
    Corrected(PartyId, u32, Correction),
    /// The words of a turn only showed attention and are not translated.
    BackChannel(PartyId, u32, String),
}
