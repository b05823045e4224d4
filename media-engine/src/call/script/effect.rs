//! Actions that a running script asks of its driver.
//!
//! A blocking effect opens a [`Ticket`], and the script waits for its answer ([`super::Input`]). Reports for the control plane are
//! effects as well ([`Notice`]), and so is the end of the script ([`Ended`]).
//!
//! Not here: how a driver carries out an effect (the head of the module `script`), and the steps that cause it (`steps`).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::input::{FetchFailure, MessageEnd, RecordEnd};
use super::program::Target;
use crate::error::HangupCause;

/// Id of an effect that takes time; unique in its script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ticket(pub u64);

/// An action for the driver. The head of the module `script` says how to carry out each effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Plays a sound to the caller. Blocking.
    Play {
        /// Ticket that the answer repeats.
        ticket: Ticket,
        /// Sound that the caller hears.
        sound: Sound,
    },
    /// Collects digits from the caller. Blocking.
    Gather {
        /// Ticket that the answer repeats.
        ticket: Ticket,
        /// Number of digits, and how long to wait for them.
        rules: GatherRules,
        /// Prompts that are played before, in turn.
        prompts: Vec<Sound>,
        /// A key ends the prompts, and counts.
        barge_in: bool,
        /// Keep the digits secret: only the program may see them.
        secret: bool,
    },
    /// Records the caller's message. Blocking.
    RecordMessage {
        /// Ticket that the answer repeats.
        ticket: Ticket,
        /// Rules for the end of the message.
        rules: MessageRules,
    },
    /// Waits for the end of a voicemail's greeting and its beep, and leaves a message. Blocking.
    LeaveMessage {
        /// Ticket that the answer repeats.
        ticket: Ticket,
        /// Message that is played.
        sound: Sound,
        /// Time to wait for a beep after the greeting; the message begins without one then.
        beep: Duration,
        /// A person who speaks while the message plays ends it.
        for_machine: bool,
    },
    /// Starts a recording that continues beside the program.
    Record(Ticket),
    /// Pauses or resumes a recording.
    PauseRecording {
        /// Ticket of the recording.
        ticket: Ticket,
        /// Pause (`true`) or resume (`false`).
        on: bool,
    },
    /// Calls the targets, and joins the first that answers with the caller. Blocking until one answers; the ticket stays open
    /// until that party leaves.
    Dial {
        /// Ticket that the answers repeat.
        ticket: Ticket,
        /// Targets that are called in turn until one answers; at least one.
        targets: Vec<Target>,
        /// Maximum ring time of each target; `None`: the default of every leg.
        ring: Option<Duration>,
        /// Caller identity that is shown to the targets, as written; `None`: the default of every call.
        from: Option<String>,
    },
    /// Hands the caller to another party. Blocking.
    Transfer {
        /// Ticket that the answer repeats.
        ticket: Ticket,
        /// Targets that are called in turn until one answers; at least one.
        targets: Vec<Target>,
        /// Maximum ring time of each target; `None`: the default of every leg.
        ring: Option<Duration>,
        /// Caller identity that is shown to the targets, as written; `None`: the default of every call.
        from: Option<String>,
    },
    /// Requests the next program from a server. Blocking.
    Fetch {
        /// Ticket that the answer repeats.
        ticket: Ticket,
        /// Absolute URL, http or https.
        url: String,
        /// Fields of the JSON object in the request body.
        payload: BTreeMap<String, String>,
    },
    /// Sets the language (BCP 47) that the caller speaks and hears when the call is translated.
    SetLanguage(String),
    /// Stops the ticket's action; the driver sends no answer.
    Stop(Ticket),
    /// Hangs up the caller with this cause.
    HangUp(HangupCause),
    /// Reports this to the control plane.
    Tell(Notice),
    /// Ends the script: this is its last effect.
    Done(Ended),
}

impl Effect {
    /// Returns the ticket that a blocking effect opens; `None`: the effect does not block.
    pub fn blocks(&self) -> Option<Ticket> {
        match self {
            Effect::Play { ticket, .. }
            | Effect::Gather { ticket, .. }
            | Effect::RecordMessage { ticket, .. }
            | Effect::LeaveMessage { ticket, .. }
            | Effect::Dial { ticket, .. }
            | Effect::Transfer { ticket, .. }
            | Effect::Fetch { ticket, .. } => Some(*ticket),
            Effect::Record(_)
            | Effect::PauseRecording { .. }
            | Effect::SetLanguage(_)
            | Effect::Stop(_)
            | Effect::HangUp(_)
            | Effect::Tell(_)
            | Effect::Done(_) => None,
        }
    }
}

/// A sound for the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sound {
    /// A file in the media store, by name.
    Media(String),
    /// Tones that sound together.
    Tone {
        /// 1 to [`super::TONES_MAX`] frequencies, each 20 to 3,400 Hz.
        hz: Vec<u16>,
        /// Duration in milliseconds, 20 to [`super::TONE_MS_MAX`].
        duration_ms: u32,
    },
    /// A text that is spoken.
    Speech {
        /// Text of 1 to [`super::TEXT_MAX`] characters.
        text: String,
        /// Language of the text as a BCP 47 tag.
        language: String,
    },
}

/// Rules of a collection of digits: how many it takes, and when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatherRules {
    /// Minimum number of digits for success, 0 to `max`.
    pub min: u8,
    /// Number of digits that completes the collection, 1 to [`super::DIGITS_MAX`].
    pub max: u8,
    /// Key that completes the collection without being part of it; `None`: every key is a digit.
    pub finish: Option<char>,
    /// Time to wait for the first key.
    pub first: Duration,
    /// Time to wait for each further key.
    pub between: Duration,
}

/// Rules for recording a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRules {
    /// Maximum length of the message.
    pub longest: Duration,
    /// Silence of the caller that ends the message; the silence is part of it.
    pub silence: Duration,
    /// Key that ends the message; `None`: no key does.
    pub finish: Option<char>,
    /// Play a beep before the message.
    pub beep: bool,
}

/// A report for the control plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// A step has started. Labels and jumps are not reported.
    Started(StepAt),
    /// A step that was reported as started has ended. A recording's step ends with the recording.
    Ended(StepAt, StepEnd),
    /// The fallback program runs from now on, because the next program could not be fetched.
    FellBack(FetchFailure),
}

/// Position of a step: its program and its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StepAt {
    /// Index of the program in the script, starting at 0.
    pub program: u32,
    /// Index of the step in the program, starting at 0 and including labels.
    pub step: usize,
    /// Verb of the step.
    pub verb: Verb,
}

/// Verb of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Marks a place to jump to.
    Label,
    /// Plays media or a tone.
    Play,
    /// Speaks a text.
    Speak,
    /// Collects digits from the caller.
    Gather,
    /// Starts, pauses, resumes or stops a recording, or records a message.
    Record,
    /// Leaves a message on a voicemail.
    LeaveMessage,
    /// Calls a target, and returns to the program.
    Dial,
    /// Hands the caller to another party.
    Transfer,
    /// Sets the caller's language.
    SetLanguage,
    /// Waits for a fixed time.
    Pause,
    /// Hangs up the caller.
    Hangup,
    /// Continues at a label.
    Jump,
    /// Fetches the next program.
    Webhook,
}

/// Result of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepEnd {
    /// The step did what it says.
    Completed,
    /// There was nothing to do: the text has no words, or the recording is not running.
    Skipped,
    /// The sound could not be played.
    Failed,
    /// The step was stopped before its end.
    Stopped,
    /// A collection of digits has ended.
    Gathered {
        /// Branch that the program takes.
        branch: GatherBranch,
        /// Digits that were pressed; `None`: they are secret.
        digits: Option<String>,
    },
    /// A recording has ended.
    Recorded {
        /// Reason why the recording has ended.
        end: RecordEnd,
        /// Length of the recording.
        duration: Duration,
    },
    /// A message that was to be left has ended.
    MessageLeft(MessageEnd),
    /// None of the dialled targets answered.
    NotReached(HangupCause),
    /// The caller has talked with the dialled party for this long.
    Talked(Duration),
    /// The caller has been handed to another party.
    Transferred,
    /// The next program has been fetched.
    Fetched {
        /// Number of steps in the program, including labels.
        steps: usize,
    },
    /// The next program could not be fetched.
    NotFetched(FetchFailure),
}

/// Branch that a collection of digits leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatherBranch {
    /// The digits are what was expected.
    Digits,
    /// No key was pressed.
    Timeout,
    /// Too few digits, or none of the choices.
    Invalid,
}

/// Reason why a script has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Its last step has ended: the caller was hung up.
    Finished,
    /// Its step `hangup` has hung up the caller.
    HungUp,
    /// The caller has been handed to another party.
    Transferred,
    /// The caller hung up.
    FarEndGone,
    /// The program was taken away.
    Withdrawn,
    /// It exceeded a limit of scripts: the caller was hung up.
    Bound(Bound),
    /// The next program could not be fetched, and there is no fallback (any more): the caller was hung up.
    NotFetched(FetchFailure),
}

/// Limit that a script has exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Number of steps in its life, [`super::Limits::steps`].
    Steps,
    /// Number of steps within a second, [`super::Limits::burst`]: it loops without time passing.
    Burst,
    /// Running time, [`super::Limits::time`].
    Time,
    /// Number of fetched programs, [`super::Limits::fetches`].
    Fetches,
    /// Number of variables, [`super::VARIABLES_MAX`].
    Variables,
}
