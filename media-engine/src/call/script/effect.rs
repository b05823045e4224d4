//! What a running script wants to be done.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::input::{FetchFailure, RecordEnd};
use super::program::Target;
use crate::error::HangupCause;

/// Names an effect that takes time; unique in its script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ticket(pub u64);

/// What is to be done. The head of this module says how a driver carries out each effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Play a sound to the caller. Blocking.
    Play {
        /// Its name.
        ticket: Ticket,
        /// What.
        sound: Sound,
    },
    /// Collect digits from the caller. Blocking.
    Gather {
        /// Its name.
        ticket: Ticket,
        /// How many, and how long they are waited for.
        rules: GatherRules,
        /// Heard before, in turn.
        prompts: Vec<Sound>,
        /// A key ends the prompts, and counts.
        barge_in: bool,
        /// What is pressed is nobody's but the program's.
        secret: bool,
    },
    /// Record what the caller says. Blocking.
    RecordMessage {
        /// Its name.
        ticket: Ticket,
        /// How it ends.
        rules: MessageRules,
    },
    /// Begin a recording that goes on while the program does.
    Record(Ticket),
    /// Leave a gap in a recording, or go on with it.
    PauseRecording {
        /// The recording.
        ticket: Ticket,
        /// Whether the gap begins.
        on: bool,
    },
    /// Call somebody, and join them with the caller. Blocking until they answer; its ticket stays open until they leave.
    Dial {
        /// Its name.
        ticket: Ticket,
        /// Called in turn until one answers; at least one.
        targets: Vec<Target>,
        /// How long each may ring; `None`: as long as any leg.
        ring: Option<Duration>,
        /// Caller identity that is shown to them, as written; `None`: as for any call.
        from: Option<String>,
    },
    /// Give the caller to somebody else. Blocking.
    Transfer {
        /// Its name.
        ticket: Ticket,
        /// Called in turn until one answers; at least one.
        targets: Vec<Target>,
        /// How long each may ring; `None`: as long as any leg.
        ring: Option<Duration>,
        /// Caller identity that is shown to them, as written; `None`: as for any call.
        from: Option<String>,
    },
    /// Ask a server for the next program. Blocking.
    Fetch {
        /// Its name.
        ticket: Ticket,
        /// An absolute URL, http or https.
        url: String,
        /// Its body, as fields of a JSON object.
        payload: BTreeMap<String, String>,
    },
    /// End what the ticket names; nothing is to be answered.
    Stop(Ticket),
    /// Hang up the caller.
    HangUp(HangupCause),
    /// Tell the control plane.
    Tell(Notice),
    /// The script has ended: its last effect.
    Done(Ended),
}

impl Effect {
    /// The ticket that a blocking effect opens.
    pub fn blocks(&self) -> Option<Ticket> {
        match self {
            Effect::Play { ticket, .. }
            | Effect::Gather { ticket, .. }
            | Effect::RecordMessage { ticket, .. }
            | Effect::Dial { ticket, .. }
            | Effect::Transfer { ticket, .. }
            | Effect::Fetch { ticket, .. } => Some(*ticket),
            Effect::Record(_)
            | Effect::PauseRecording { .. }
            | Effect::Stop(_)
            | Effect::HangUp(_)
            | Effect::Tell(_)
            | Effect::Done(_) => None,
        }
    }
}

/// Something to be heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sound {
    /// A file of the media store, by its name.
    Media(String),
    /// Tones together.
    Tone {
        /// 1 to [`super::TONES_MAX`] frequencies, each 20 to 3,400 Hz.
        hz: Vec<u16>,
        /// 20 to [`super::TONE_MS_MAX`].
        duration_ms: u32,
    },
    /// A text in words.
    Speech {
        /// 1 to [`super::TEXT_MAX`] characters.
        text: String,
        /// BCP 47.
        language: String,
    },
}

/// How digits are collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatherRules {
    /// Fewer are too few, 0 to `max`.
    pub min: u8,
    /// As many are complete, 1 to [`super::DIGITS_MAX`].
    pub max: u8,
    /// The key that completes them, and is none of them; `None`: every key is a digit.
    pub finish: Option<char>,
    /// How long the first key is waited for.
    pub first: Duration,
    /// How long each further key is waited for.
    pub between: Duration,
}

/// How a message is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRules {
    /// Longest message.
    pub longest: Duration,
    /// The message ends when the caller has been silent for so long; the silence belongs to it.
    pub silence: Duration,
    /// The key that ends it; `None`: no key does.
    pub finish: Option<char>,
    /// A beep is heard before.
    pub beep: bool,
}

/// News for the control plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// A step has begun. Labels and jumps are not told.
    Started(StepAt),
    /// A step that was told as started has ended. A recording's step ends with the recording.
    Ended(StepAt, StepEnd),
    /// The fallback program runs from now on, because the next program could not be had.
    FellBack(FetchFailure),
}

/// Which step of which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StepAt {
    /// The script's programs are counted from 0.
    pub program: u32,
    /// The program's steps are counted from 0, with its labels.
    pub step: usize,
    /// What it does.
    pub verb: Verb,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// A place to jump to.
    Label,
    /// Plays media or a tone.
    Play,
    /// Speaks a text.
    Speak,
    /// Collects digits.
    Gather,
    /// Records.
    Record,
    /// Calls somebody, and comes back to the program.
    Dial,
    /// Gives the caller away.
    Transfer,
    /// Waits.
    Pause,
    /// Hangs up.
    Hangup,
    /// Goes on elsewhere.
    Jump,
    /// Fetches the next program.
    Webhook,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepEnd {
    /// It did what it says.
    Completed,
    /// There was nothing to do: a text without words, a recording that does not run.
    Skipped,
    /// The sound could not be played.
    Failed,
    /// It was cut short.
    Stopped,
    /// Digits were collected, or not.
    Gathered {
        /// Where the program goes on.
        branch: GatherBranch,
        /// What was pressed; `None`: it is secret.
        digits: Option<String>,
    },
    /// A recording has ended.
    Recorded {
        /// Why.
        end: RecordEnd,
        /// Its length.
        duration: Duration,
    },
    /// Nobody who was dialled answered.
    NotReached(HangupCause),
    /// The caller talked with who was dialled.
    Talked(Duration),
    /// The caller is in other hands.
    Transferred,
    /// The next program is here.
    Fetched {
        /// Its steps.
        steps: usize,
    },
    /// There is no next program.
    NotFetched(FetchFailure),
}

/// What a collection of digits led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatherBranch {
    /// They are what was wanted.
    Digits,
    /// No key was pressed.
    Timeout,
    /// Too few, or none of the choices.
    Invalid,
}

/// Why a script has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Its last step is done: the caller was hung up.
    Finished,
    /// By its step `hangup`.
    HungUp,
    /// The caller is in other hands.
    Transferred,
    /// The caller hung up.
    FarEndGone,
    /// The program was taken away.
    Withdrawn,
    /// It did more than a script may: the caller was hung up.
    Bound(Bound),
    /// The next program could not be had, and there is no fallback (any more): the caller was hung up.
    NotFetched(FetchFailure),
}

/// What a script has too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// [`super::Limits::steps`].
    Steps,
    /// [`super::Limits::burst`]: it goes round without time passing.
    Burst,
    /// [`super::Limits::time`].
    Time,
    /// [`super::Limits::fetches`].
    Fetches,
    /// [`super::VARIABLES_MAX`].
    Variables,
}
