//! Captures of calls: the inputs and effects of each machine, as JSON lines, and their replay.
//!
//! One file holds the lines of many calls, each with its call's id. The machine is pure, so the same inputs at the same times
//! have the same effects. A difference means that another version of the program wrote the capture, or that the machine is not
//! pure.

use std::collections::HashMap;
use std::io::BufRead;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Call, Destination, Effect, Input, LegRole, Plan, Start, Timing};
use crate::error::ReplayError;
use crate::units::LegId;

/// Version of the capture format; other versions are refused.
const VERSION: u32 = 1;
/// No call waits longer than this for anything.
const MAX_WAIT: Duration = Duration::from_secs(366 * 24 * 3_600);
/// Maximum length of a line in bytes, sufficient for a call with the maximum number of legs.
const MAX_LINE: usize = 1 << 20;

/// One line of a capture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Captured {
    /// Id of the call, as a UUID.
    pub call: String,
    /// Nanoseconds since the call began.
    pub at: u64,
    /// Beginning, input or gap of the call.
    #[serde(flatten)]
    pub happened: Happened,
}

/// An entry in the capture of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happened {
    /// The call began; the first line of each call.
    Began {
        /// Version of the capture format.
        version: u32,
        /// Destination that was called first; `None`: the call came in.
        to: Option<Destination>,
        /// Plan for the time after the first leg's answer.
        plan: Plan,
        /// Role of the first leg.
        role: LegRole,
        /// First of the call's leg ids.
        legs: LegId,
        /// Time-outs of the call.
        timing: Timing,
    },
    /// The machine took an input, with these effects.
    Took {
        /// Input that was given to the machine.
        input: Input,
        /// Effects that the machine returned, in order.
        effects: Vec<Effect>,
    },
    /// Inputs before this line are missing because the disk was too slow.
    Broke,
}

impl Happened {
    /// Creates the first entry of a call.
    pub fn began(to: Option<Destination>, plan: Plan, role: LegRole, start: &Start) -> Happened {
        Happened::Began { version: VERSION, to, plan, role, legs: start.legs, timing: start.timing }
    }
}

/// Result of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// Number of calls that began.
    pub calls: u64,
    /// Number of inputs that were replayed.
    pub inputs: u64,
    /// Number of effects that matched the capture.
    pub effects: u64,
    /// Number of calls with missing inputs; they are compared up to the gap.
    pub broken: u64,
    /// First difference: line number, captured effects, replayed effects.
    pub difference: Option<(u64, String, String)>,
}

impl Replay {
    /// Replays a capture of calls and compares the effects.
    ///
    /// # Errors
    /// [`ReplayError`] when the file cannot be read or is not a capture. A difference is not an error: the result reports it.
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
                // The capture has a gap in this call, or began after it.
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
