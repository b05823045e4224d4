//! A program that has been parsed and checked: its steps, with labels resolved to places.

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
    /// Parses a program: a JSON list of steps (`docs/programs.md`).
    ///
    /// # Errors
    /// [`ProgramError`] names the field and what was expected there; its author must correct it.
    pub fn parse(bytes: &[u8]) -> Result<Program, ProgramError> {
        parse::program(bytes)
    }

    /// Creates a program that fetches the real one, for a number that has only a URL.
    ///
    /// # Errors
    /// [`ProgramError`] says what is wrong with the URL; its author must correct it.
    pub fn at_url(url: &str) -> Result<Program, ProgramError> {
        let url = parse::url(url)?;
        Ok(Program { steps: vec![Step::Webhook(Webhook { url, payload: None })] })
    }

    /// Returns the number of steps, including labels.
    pub fn steps(&self) -> usize {
        self.steps.len()
    }
}

/// Target that a step calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// An agent, by SIP user name.
    Agent(String),
    /// A number or a URI as written; it has not been checked against the dial rules.
    To(String),
}

/// Index of the step at which a program continues.
pub(super) type Place = usize;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Label,
    Play(Prompt),
    Gather(Gather),
    Record(Record),
    LeaveMessage(LeaveMessage),
    Dial(Dial),
    Transfer(Transfer),
    SetLanguage(String),
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
            Step::LeaveMessage(_) => Verb::LeaveMessage,
            Step::Dial(_) => Verb::Dial,
            Step::Transfer(_) => Verb::Transfer,
            Step::SetLanguage(_) => Verb::SetLanguage,
            Step::Pause(_) => Verb::Pause,
            Step::Hangup(_) => Verb::Hangup,
            Step::Jump(_) => Verb::Jump,
            Step::Webhook(_) => Verb::Webhook,
        }
    }

    /// Returns whether the step takes no time and plays nothing to the caller: such steps may run while the caller talks.
    pub(super) fn is_instant(&self) -> bool {
        match self {
            Step::Label | Step::Jump(_) | Step::SetLanguage(_) => true,
            Step::Record(record) => !matches!(record, Record::Message { .. }),
            Step::Play(_)
            | Step::Gather(_)
            | Step::LeaveMessage(_)
            | Step::Dial(_)
            | Step::Transfer(_)
            | Step::Pause(_)
            | Step::Hangup(_)
            | Step::Webhook(_) => false,
        }
    }
}

/// A sound whose variables have not been substituted yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Prompt {
    Media(String),
    Tone { hz: Vec<u16>, duration_ms: u32 },
    Speech { text: Template, language: String },
}

impl Prompt {
    /// Substitutes the variables; `None`: the text has no words.
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
    /// Variable that receives the pressed digits.
    pub(super) into: Name,
    /// The pressed digits are not reported.
    pub(super) secret: bool,
    pub(super) on_digits: OnDigits,
    pub(super) on_timeout: Option<Place>,
    pub(super) on_invalid: Option<Place>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OnDigits {
    /// Accepts any digits.
    Any(Option<Place>),
    /// Accepts only these digits.
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
        /// Variable that receives the message's length in seconds.
        into: Option<Name>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeaveMessage {
    pub(super) message: Prompt,
    /// Time to wait for a beep after the greeting.
    pub(super) beep: Duration,
    /// Variable that receives the result.
    pub(super) into: Option<Name>,
    /// Where the program continues when a person speaks while the message plays; `None`: the message is played to its end.
    pub(super) on_human: Option<Place>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dial {
    pub(super) callees: Callees,
    /// Variable that receives the result of the dial.
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
    /// Number of times that the jump is taken in the life of the program; after that, the next step follows.
    pub(super) times: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Webhook {
    pub(super) url: String,
    /// Fields that are sent; `None`: all variables.
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
