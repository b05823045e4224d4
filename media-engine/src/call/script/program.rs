//! A program that was read and checked: its steps, with labels turned into places.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::effect::{GatherRules, MessageRules, Sound, Verb};
use super::limits::{TEXT_MAX, VALUE_MAX};
use super::parse::{self, ProgramError};
use super::text::{Name, Template, Variables};
use crate::error::HangupCause;

/// A list of steps that can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    pub(super) steps: Vec<Step>,
}

impl Program {
    /// Reads a program: a JSON list of steps (`docs/programs.md`).
    ///
    /// # Errors
    /// [`ProgramError`] names the field and what was expected there.
    pub fn parse(bytes: &[u8]) -> Result<Program, ProgramError> {
        parse::program(bytes)
    }

    /// A program that is fetched: for a number that has only the address of one.
    ///
    /// # Errors
    /// [`ProgramError`] says what is wrong with the URL.
    pub fn at_url(url: &str) -> Result<Program, ProgramError> {
        let url = parse::url(url)?;
        Ok(Program { steps: vec![Step::Webhook(Webhook { url, payload: None })] })
    }

    /// How many steps it has, with its labels.
    pub fn steps(&self) -> usize {
        self.steps.len()
    }
}

/// Whom a step calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// An agent, by SIP user name.
    Agent(String),
    /// A number or a URI, as it was written: it has not been judged.
    To(String),
}

/// Index of the step at which a program goes on.
pub(super) type Place = usize;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Label,
    Play(Prompt),
    Gather(Gather),
    Record(Record),
    Dial(Dial),
    Transfer(Transfer),
    Pause(Duration),
    Hangup(HangupCause),
    Jump(Jump),
    Webhook(Webhook),
}

impl Step {
    pub(super) fn verb(&self) -> Verb {
        match self {
            Step::Label => Verb::Label,
            Step::Play(Prompt::Speech { .. }) => Verb::Speak,
            Step::Play(_) => Verb::Play,
            Step::Gather(_) => Verb::Gather,
            Step::Record(_) => Verb::Record,
            Step::Dial(_) => Verb::Dial,
            Step::Transfer(_) => Verb::Transfer,
            Step::Pause(_) => Verb::Pause,
            Step::Hangup(_) => Verb::Hangup,
            Step::Jump(_) => Verb::Jump,
            Step::Webhook(_) => Verb::Webhook,
        }
    }

    /// Whether it takes no time, and nothing of the caller: such steps may run while the caller talks with somebody.
    pub(super) fn is_instant(&self) -> bool {
        match self {
            Step::Label | Step::Jump(_) => true,
            Step::Record(record) => !matches!(record, Record::Message { .. }),
            Step::Play(_)
            | Step::Gather(_)
            | Step::Dial(_)
            | Step::Transfer(_)
            | Step::Pause(_)
            | Step::Hangup(_)
            | Step::Webhook(_) => false,
        }
    }
}

/// Something to be heard, before its values are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Prompt {
    Media(String),
    Tone { hz: Vec<u16>, duration_ms: u32 },
    Speech { text: Template, language: String },
}

impl Prompt {
    /// `None`: its text has no words.
    pub(super) fn fill(&self, variables: &Variables) -> Option<Sound> {
        match self {
            Prompt::Media(name) => Some(Sound::Media(name.clone())),
            Prompt::Tone { hz, duration_ms } => Some(Sound::Tone { hz: hz.clone(), duration_ms: *duration_ms }),
            Prompt::Speech { text, language } => {
                let text = text.fill(variables, TEXT_MAX);
                (!text.trim().is_empty()).then(|| Sound::Speech { text, language: language.clone() })
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gather {
    pub(super) rules: GatherRules,
    pub(super) prompts: Vec<Prompt>,
    pub(super) barge_in: bool,
    /// The variable that holds what was pressed.
    pub(super) into: Name,
    /// What was pressed is not told.
    pub(super) secret: bool,
    pub(super) on_digits: OnDigits,
    pub(super) on_timeout: Option<Place>,
    pub(super) on_invalid: Option<Place>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OnDigits {
    /// Whatever they are.
    Any(Option<Place>),
    /// These, and no others.
    Choices(BTreeMap<String, Place>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Start,
    Pause,
    Resume,
    Stop,
    Message {
        rules: MessageRules,
        /// The variable that holds the message's length in seconds.
        into: Option<Name>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dial {
    pub(super) callees: Callees,
    /// The variable that holds what came of it.
    pub(super) into: Option<Name>,
    pub(super) on_answered: Option<Place>,
    pub(super) on_failed: Option<Place>,
    pub(super) on_ended: Option<Place>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Transfer {
    pub(super) callees: Callees,
    pub(super) on_failed: Option<Place>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Callees {
    pub(super) targets: Vec<Target>,
    pub(super) ring: Option<Duration>,
    pub(super) from: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Jump {
    pub(super) to: Place,
    /// How often, in the life of the program; then the next step follows.
    pub(super) times: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Webhook {
    pub(super) url: String,
    /// `None`: all variables.
    pub(super) payload: Option<BTreeMap<String, Template>>,
}

impl Webhook {
    pub(super) fn fill(&self, variables: &Variables) -> BTreeMap<String, String> {
        match &self.payload {
            Some(payload) => {
                payload.iter().map(|(field, value)| (field.clone(), value.fill(variables, VALUE_MAX))).collect()
            }
            None => variables.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }
}
