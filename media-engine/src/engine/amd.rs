//! Detection of what answered a customer's leg: settings of a call, and the events that report it.
//!
//! ```text
//! CallSettings::amd ─▶ a dialled customer answers ─▶ detector ─▶ AmdNews::Verdict ─▶ AmdAction
//! ```
//!
//! Invariants: a leg has at most one verdict at a time, and what was acted upon is never changed: a later correction is an event of
//! its own. All positions are amounts of sound heard since the answer. Not here: the detector ([`crate::amd`]), and who hears whom
//! meanwhile (`call::screening`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::command::CallProgram;
use super::prompt::Sound;
pub use crate::amd::MessageAfter;
use crate::amd::{Answer, LineHint, Mode, Phrase, Sign};
pub use crate::call::script::MessageEnd;

/// Shortest time limit of a verdict.
pub const AMD_LIMIT_MIN: Duration = Duration::from_secs(2);
/// Longest time limit of a verdict.
pub const AMD_LIMIT_MAX: Duration = Duration::from_secs(30);

/// Detection of what answers a customer's leg that the call dials, and what follows each verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmdSettings {
    /// How soon a verdict is given.
    pub mode: Mode,
    /// Time from the answer within which there is a verdict; [`Answer::Unknown`] at its end. [`AMD_LIMIT_MIN`] to
    /// [`AMD_LIMIT_MAX`].
    pub limit: Duration,
    /// What follows each verdict; a verdict that is not named connects, and [`Answer::Unknown`] always does.
    pub actions: Vec<(Answer, AmdAction)>,
}

/// What follows a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AmdAction {
    /// The call goes on as planned: the other party is joined, the application or the program begins.
    Connect,
    /// The call ends.
    HangUp,
    /// The call ends, and whoever asked for it is told to try again later.
    RetryLater,
    /// The sound answers a call assistant, and what follows it is judged again.
    Reply(Sound),
    /// A call program takes the leg, and every other party is hung up. A message that is left is such a program.
    Program {
        /// Word for the action in events, such as `message`.
        name: &'static str,
        /// Program that runs for the leg.
        program: Box<CallProgram>,
    },
}

impl AmdAction {
    /// Returns the word for the action in events.
    pub fn as_str(&self) -> &'static str {
        match self {
            AmdAction::Connect => "connect",
            AmdAction::HangUp => "hang_up",
            AmdAction::RetryLater => "retry_later",
            AmdAction::Reply(_) => "reply",
            AmdAction::Program { name, .. } => name,
        }
    }
}

impl AmdSettings {
    /// Returns what follows a verdict.
    pub fn action(&self, answer: Answer) -> &AmdAction {
        let named = self.actions.iter().find(|(known, _)| *known == answer && answer != Answer::Unknown);
        named.map_or(&AmdAction::Connect, |(_, action)| action)
    }
}

/// News of the detection on one leg.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum AmdNews {
    /// The leg has answered, and the detector listens.
    Listening {
        /// How soon a verdict is given.
        mode: Mode,
    },
    /// Level and speech of the newest sound while there is no verdict, for the live page. Not stored.
    Heard(AmdStrip),
    /// The verdict, upon which the call acts.
    Verdict(AmdVerdict),
    /// A correction: later sound contradicts the verdict. The call has acted upon the verdict already.
    Revised(AmdVerdict),
    /// The greeting of a machine has ended.
    GreetingEnd {
        /// End of its last word, in milliseconds since the answer.
        at_ms: u64,
    },
    /// A beep was heard.
    Beep {
        /// Start of the beep, in milliseconds since the answer.
        start_ms: u64,
        /// End of the beep, in milliseconds since the answer.
        end_ms: u64,
        /// Frequencies of the beep, in hertz.
        hz: Vec<u16>,
    },
    /// The first sample of a message is played to the leg.
    MessageBegun {
        /// Position in milliseconds since the answer.
        at_ms: u64,
        /// What the message waited for.
        after: MessageAfter,
    },
    /// A message has ended.
    MessageLeft {
        /// Position in milliseconds since the answer.
        at_ms: u64,
        /// How the message ended.
        end: MessageEnd,
    },
}

/// A verdict with its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AmdVerdict {
    /// Kind of answer.
    pub verdict: Answer,
    /// Probability that it is right, from 0 to 1.
    pub probability: f32,
    /// Amount of sound that had been heard since the answer, in milliseconds.
    pub decided_at_ms: u64,
    /// Name of the action that follows, such as `connect`; empty if none follows.
    pub action: String,
    /// Evidence for the verdict.
    pub evidence: AmdEvidence,
}

/// Evidence for a verdict.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AmdEvidence {
    /// Deciding evidence: `sound`, `fax`, `sit`, `signal`, `beep` or `limit`.
    pub ground: String,
    /// Frequencies of the tone that decided, in hertz.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hz: Vec<u16>,
    /// Speech that had been heard, as pairs of start and end in milliseconds since the answer; the newest 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub speech: Vec<(u64, u64)>,
    /// Kind of line on which a person seems to have answered, if there is a hint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<LineHint>,
    /// Kinds of phrases that were recognised, likeliest first; at most 3.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phrases: Vec<AmdPhrase>,
    /// Features with the largest weight, largest first; at most 6. Only if the ground is `sound`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<AmdFeature>,
}

/// A kind of phrase that was recognised in a greeting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AmdPhrase {
    /// English name of the kind, such as `leave a message`; the words may have been said in any language.
    pub phrase: String,
    /// Probability that it was said, from 0 to 1.
    pub probability: f32,
}

impl From<Phrase> for AmdPhrase {
    fn from(Phrase { phrase, probability }: Phrase) -> AmdPhrase {
        AmdPhrase { phrase: phrase.into(), probability }
    }
}

/// A feature of the sound and its part in a verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AmdFeature {
    /// Name of the feature, as in `amd-training/README.md`.
    pub name: String,
    /// Value of the feature.
    pub value: f32,
    /// How much it speaks for a person, in log odds; negative: for a recording.
    pub weight: f32,
}

impl From<Sign> for AmdFeature {
    fn from(Sign { feature, value, weight }: Sign) -> AmdFeature {
        AmdFeature { name: feature.into(), value, weight }
    }
}

/// A piece of what the detector hears, in steps of 100 ms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AmdStrip {
    /// Start of the piece, in milliseconds since the answer.
    pub from_ms: u64,
    /// Level of each step in dBFS.
    pub level_dbfs: Vec<i8>,
    /// Whether there was speech in each step.
    pub speech: Vec<bool>,
    /// Probability of a person after each step, in percent.
    pub human: Vec<u8>,
}
