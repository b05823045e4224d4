//! Captures of calls: what went into each machine and what it said, as JSON lines; and their replay to the same effects.
//!
//! Lines of many calls stand in one file, each with its call's id. The machine is pure, so the same inputs at the same times have
//! the same effects. A difference means that another version of the program wrote the capture, or that the machine is not pure.

use std::collections::HashMap;
use std::io::BufRead;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Call, Destination, Effect, Input, LegRole, Plan, Start, Timing};
use crate::error::ReplayError;
use crate::units::LegId;

/// Format of captures; another one is refused.
const VERSION: u32 = 1;
/// No call waits longer for anything.
const MAX_WAIT: Duration = Duration::from_secs(366 * 24 * 3_600);
/// Longest line that is read: one with as many legs as a call may have.
const MAX_LINE: usize = 1 << 20;

/// One line of a capture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Captured {
    /// The call's id, as a UUID.
    pub call: String,
    /// Nanoseconds since the call began.
    pub at: u64,
    /// What happened.
    #[serde(flatten)]
    pub happened: Happened,
}

/// What happened to a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happened {
    /// It began: the first line of each call.
    Began {
        /// Format of the capture.
        version: u32,
        /// Whom it called first; `None`: it came in.
        to: Option<Destination>,
        /// The plan for the time after the first leg's answer.
        plan: Plan,
        /// Role of its first leg.
        role: LegRole,
        /// First of its legs' names.
        legs: LegId,
        /// How long it waited for what.
        timing: Timing,
    },
    /// An input, and what it led to.
    Took {
        /// The input.
        input: Input,
        /// Its effects.
        effects: Vec<Effect>,
    },
    /// Inputs before this line are missing: the disk did not keep up.
    Broke,
}

impl Happened {
    /// The beginning of a call.
    pub fn began(to: Option<Destination>, plan: Plan, role: LegRole, start: &Start) -> Happened {
        Happened::Began { version: VERSION, to, plan, role, legs: start.legs, timing: start.timing }
    }
}

/// What a replay showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// Calls that began.
    pub calls: u64,
    /// Inputs put in.
    pub inputs: u64,
    /// Effects that came as written.
    pub effects: u64,
    /// Calls of which inputs are missing: they are compared up to there.
    pub broken: u64,
    /// The first difference: line, what is written, what came.
    pub difference: Option<(u64, String, String)>,
}

impl Replay {
    /// Replays a capture of calls.
    ///
    /// # Errors
    /// [`ReplayError`] when the file cannot be read or is no capture. A difference is no error: it stands in the result.
    pub fn of(mut capture: impl BufRead, now: Instant) -> Result<Replay, ReplayError> {
        let mut replay = Replay::default();
        let mut calls: HashMap<String, Call> = HashMap::new();
        for line in 1.. {
            let mut text = Vec::new();
            if std::io::Read::take(&mut capture, MAX_LINE as u64).read_until(b'\n', &mut text)? == 0 {
                break;
            }
            let malformed = |problem: String| ReplayError::Line { line, problem };
            let captured = serde_json::from_slice(&text)
                .map_err(|error| malformed(format!("expected a line of a capture of calls: {error}")))?;
            replay.take(&mut calls, captured, now, line).map_err(malformed)?;
        }
        Ok(replay)
    }

    fn take(
        &mut self,
        calls: &mut HashMap<String, Call>,
        captured: Captured,
        base: Instant,
        line: u64,
    ) -> Result<(), String> {
        let Captured { call: id, at, happened } = captured;
        let now = base.checked_add(Duration::from_nanos(at)).ok_or("at: expected nanoseconds since the call began")?;
        match happened {
            Happened::Began { timing, .. } if timing.longest_wait() > MAX_WAIT => {
                return Err("timing: expected times of at most a year".into());
            }
            Happened::Began { version: VERSION, to, plan, role, legs, timing } => {
                let start = Start { legs, timing, now };
                let call = match to {
                    Some(to) => Call::outgoing(to, plan, role, start).0,
                    None => Call::incoming(plan, role, start).0,
                };
                calls.insert(id, call);
                self.calls += 1;
            }
            Happened::Began { version, .. } => {
                return Err(format!("version {version}; this program replays version {VERSION}"));
            }
            Happened::Broke => {
                calls.remove(&id);
                self.broken += 1;
            }
            Happened::Took { input, effects } => {
                // One that broke, or began before the capture did.
                let Some(call) = calls.get_mut(&id) else { return Ok(()) };
                self.inputs += 1;
                let came = call.handle(input, now);
                if came == effects {
                    self.effects += came.len() as u64;
                } else if self.difference.is_none() {
                    self.difference = Some((line, format!("{effects:?}"), format!("{came:?}")));
                }
                if call.is_over() {
                    calls.remove(&id);
                }
            }
        }
        Ok(())
    }
}
