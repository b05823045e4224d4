//! The recordings of a call: the recorded legs are derived from the topology, never stored.
//!
//! ```text
//!   Record ─▶ runs ─ RecordPause on ─▶ paused ─ RecordPause off ─▶ runs ─ RecordStop, leg gone, or call ended ─▶ ended
//! ```
//!
//! - Recordings are numbered from 1: a second start is a second recording, and both run side by side.
//! - A recording takes all legs, or only one; of those, it takes the legs that are heard at each moment ([`Topology::is_heard`]).
//!   A leg that is set aside, muted, lost or listening is therefore not recorded.
//! - If requested, a recording also takes what these legs hear, with what is whispered to them.
//!
//! Not here: files and their channels (`record_io`), permission to start a recording (the control plane).

use serde::{Deserialize, Serialize};

use super::verbs::Refused;
use super::{Call, Effect, Topology};
use crate::units::LegId;

/// Maximum number of recordings of a call that run at the same time.
pub const RECORDINGS_AT_ONCE: usize = 4;
/// Maximum number of recordings over the life of a call.
pub const RECORDINGS_MAX: u32 = 99;

/// A running recording, and the legs that it takes now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Number of the recording in the call, starting at 1.
    pub number: u32,
    /// Leg that the recording is of; `None`: all legs.
    pub of: Option<LegId>,
    /// Whether what the legs hear is recorded beside what they say.
    #[serde(default)]
    pub heard: bool,
    /// The recording is paused: nothing is recorded.
    pub paused: bool,
    /// Legs that are recorded, in the order in which they came.
    pub legs: Vec<LegId>,
}

/// A call's recordings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Recordings {
    begun: u32,
    running: Vec<Running>,
    /// Recordings as they were last reported.
    reported: Vec<Recorded>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Running {
    number: u32,
    of: Option<LegId>,
    heard: bool,
    paused: bool,
}

impl Recordings {
    fn running(&self, number: u32) -> Result<&Running, Refused> {
        self.running.iter().find(|running| running.number == number).ok_or(Refused::NoRecording)
    }

    /// Returns every running recording with the legs that it takes.
    fn recorded(&self, topology: &Topology) -> Vec<Recorded> {
        let legs = |of: Option<LegId>| {
            let legs = topology.places().map(|(leg, _)| leg);
            legs.filter(|leg| topology.is_heard(*leg) && of.is_none_or(|of| of == *leg)).collect()
        };
        let recorded =
            |&Running { number, of, heard, paused }: &Running| Recorded { number, of, heard, paused, legs: legs(of) };
        self.running.iter().map(recorded).collect()
    }
}

impl Call {
    /// Returns the number that the next recording will get.
    pub fn next_recording(&self) -> u32 {
        self.recordings.begun + 1
    }

    pub(super) fn check_record(&self, of: Option<LegId>) -> Result<(), Refused> {
        if let Some(of) = of {
            self.check_connected(of)?;
            if self.leg(of).is_some_and(|leg| leg.is_supervisor()) {
                return Err(Refused::Supervises);
            }
        }
        let hearing = || self.hearing();
        if !self.is_talking() && !hearing().places().any(|(leg, _)| hearing().is_heard(leg)) {
            return Err(Refused::NotTalking);
        }
        let Recordings { begun, running, .. } = &self.recordings;
        if running.len() >= RECORDINGS_AT_ONCE || *begun >= RECORDINGS_MAX {
            return Err(Refused::Recordings);
        }
        Ok(())
    }

    pub(super) fn check_recording(&self, number: u32) -> Result<(), Refused> {
        self.recordings.running(number).map(drop)
    }

    pub(super) fn on_record(&mut self, of: Option<LegId>, heard: bool) -> Vec<Effect> {
        self.recordings.begun += 1;
        self.recordings.running.push(Running { number: self.recordings.begun, of, heard, paused: false });
        Vec::new()
    }

    pub(super) fn on_record_pause(&mut self, number: u32, on: bool) -> Vec<Effect> {
        if let Some(running) = self.recordings.running.iter_mut().find(|running| running.number == number) {
            running.paused = on;
        }
        Vec::new()
    }

    pub(super) fn on_record_stop(&mut self, number: u32) -> Vec<Effect> {
        self.recordings.running.retain(|running| running.number != number);
        Vec::new()
    }

    /// Adds changes of the call's recordings to an input's effects. A recording of one leg ends with that leg.
    pub(super) fn report_recordings(&mut self, effects: &mut Vec<Effect>) {
        if self.is_over() {
            return;
        }
        let legs = &self.legs;
        self.recordings.running.retain(|running| running.of.is_none_or(|of| legs.iter().any(|leg| leg.id == of)));
        if self.recordings.running.is_empty() && self.recordings.reported.is_empty() {
            return;
        }
        let recorded = self.recordings.recorded(&self.reported);
        if recorded != self.recordings.reported {
            self.recordings.reported.clone_from(&recorded);
            effects.push(Effect::Record(recorded));
        }
    }
}
