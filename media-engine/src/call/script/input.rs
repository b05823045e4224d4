//! Answers and events that reach a running script.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::effect::Ticket;
use crate::error::HangupCause;

/// An answer to an effect, or an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A sound has ended.
    Played(Ticket, PlayEnd),
    /// A collection of digits has ended.
    Gathered {
        /// Ticket of the [`super::Effect::Gather`].
        ticket: Ticket,
        /// Digits that were pressed, without the finish key.
        digits: String,
        /// Reason why the collection has ended.
        end: GatherEnd,
    },
    /// A recording has ended.
    RecordEnded {
        /// Ticket of the recording.
        ticket: Ticket,
        /// Reason why the recording has ended.
        end: RecordEnd,
        /// Length of the recording.
        duration: Duration,
    },
    /// A message that was to be left has ended.
    MessageLeft(Ticket, MessageEnd),
    /// A dialled target has answered, could not be reached, or has left.
    Dialled(Ticket, DialOutcome),
    /// The caller has been handed to another party, or no target accepted.
    Transferred(Ticket, Result<(), HangupCause>),
    /// The answer of a program server: its whole body.
    Fetched(Ticket, Result<Vec<u8>, FetchFailure>),
    /// The caller has hung up, or is lost for good.
    FarEndGone,
    /// The program is taken away: the call has ended, or another part of the system now decides about the caller.
    Withdrawn,
    /// The time of [`super::Script::poll_timeout`] has come.
    Timeout,
}

/// Reason why a sound has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlayEnd {
    /// The caller heard all of it.
    Done,
    /// The sound was stopped before its end.
    Stopped,
    /// The media does not exist, or its text could not be spoken.
    Failed,
}

/// Reason why a collection of digits has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatherEnd {
    /// The maximum number of digits has been reached.
    Length,
    /// The finish key was pressed.
    FinishKey,
    /// No key, or no further key, came in time.
    Timeout,
    /// A request stopped the collection.
    Stopped,
    /// The caller has left.
    FarEndGone,
}

/// Reason why a recording has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordEnd {
    /// The caller was silent for as long as the message allows.
    Silence,
    /// The finish key was pressed.
    FinishKey,
    /// The recording has reached its maximum length.
    Longest,
    /// A request stopped the recording.
    Stopped,
    /// The recording could not be written.
    Failed,
    /// The caller has left.
    FarEndGone,
}

/// How a message that was to be left has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageEnd {
    /// It was played to its end.
    Left,
    /// A person spoke while it played.
    Human,
    /// It was stopped before its end.
    Stopped,
    /// It could not be played.
    Failed,
}

/// Result of a dial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DialOutcome {
    /// One of the targets has answered and is joined with the caller.
    Answered,
    /// No target answered; the cause is that of the last one.
    Failed(HangupCause),
    /// The target that answered has left, and the caller is still there.
    Ended,
}

/// Reason why a fetched program cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum FetchFailure {
    /// The server took too long to answer.
    #[error("the program server took too long to answer")]
    Slow,
    /// The server could not be reached, or the connection broke.
    #[error("the program server cannot be reached")]
    Unreachable,
    /// The server answered with an HTTP status other than 200.
    #[error("the program server answered with status {0}")]
    Status(u16),
    /// The answer is longer than a program may be.
    #[error("the server's answer is longer than a program may be")]
    TooLarge,
    /// The address of the program may not be requested.
    #[error("the program's address may not be requested")]
    Forbidden,
    /// The answer is not a program; the text names the field.
    #[error("the server's answer is not a program: {0}")]
    Malformed(String),
}
