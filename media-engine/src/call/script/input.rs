//! What reaches a running script.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::effect::Ticket;
use crate::error::HangupCause;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A sound has ended.
    Played(Ticket, PlayEnd),
    /// A collection of digits has ended.
    Gathered {
        /// Which.
        ticket: Ticket,
        /// The digits, without the finish key.
        digits: String,
        /// Why there are no more.
        end: GatherEnd,
    },
    /// A recording has ended.
    RecordEnded {
        /// Which.
        ticket: Ticket,
        /// Why.
        end: RecordEnd,
        /// Its length.
        duration: Duration,
    },
    /// Somebody who was dialled answered, could not be reached, or left.
    Dialled(Ticket, DialOutcome),
    /// The caller is in other hands, or nobody would take them.
    Transferred(Ticket, Result<(), HangupCause>),
    /// The answer of a server of programs: its whole body.
    Fetched(Ticket, Result<Vec<u8>, FetchFailure>),
    /// The caller hung up, or is lost for good.
    FarEndGone,
    /// The program is taken away: the call has ended, or somebody else decides about the caller.
    Withdrawn,
    /// [`super::Script::poll_timeout`] has come.
    Timeout,
}

/// How a sound ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlayEnd {
    /// The caller heard all of it.
    Done,
    /// Somebody cut it short.
    Stopped,
    /// There is no such media, or its text could not be spoken.
    Failed,
}

/// Why no more digits are collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatherEnd {
    /// As many as may be are there.
    Length,
    /// The finish key was pressed.
    FinishKey,
    /// No key came, or no further one.
    Timeout,
    /// Somebody stopped it.
    Stopped,
    /// The caller has left.
    FarEndGone,
}

/// Why a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordEnd {
    /// The caller was silent for as long as a message allows.
    Silence,
    /// The finish key was pressed.
    FinishKey,
    /// It is as long as it may be.
    Longest,
    /// Somebody stopped it.
    Stopped,
    /// It could not be written.
    Failed,
    /// The caller has left.
    FarEndGone,
}

/// What came of a dial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DialOutcome {
    /// One of the targets answered, and is joined with the caller.
    Answered,
    /// None of them answered; the cause is that of the last one.
    Failed(HangupCause),
    /// Who had answered has left, and the caller is still there.
    Ended,
}

/// Why a fetched program cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum FetchFailure {
    /// The server took too long.
    #[error("the server of the program took too long to answer")]
    Slow,
    /// No connection, or it broke.
    #[error("the server of the program cannot be reached")]
    Unreachable,
    /// It answered with another HTTP status than 200.
    #[error("the server of the program answered with status {0}")]
    Status(u16),
    /// Its answer is longer than a program may be.
    #[error("the server's answer is longer than a program may be")]
    TooLarge,
    /// Its address may not be asked.
    #[error("the program's address may not be asked")]
    Forbidden,
    /// Its answer is no program; the text names the field.
    #[error("the server's answer is no program: {0}")]
    Malformed(String),
}
