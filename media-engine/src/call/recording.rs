//! What of a call is recorded: derived from who is heard, never stored.
//!
//! ```text
//!   Record ─▶ runs ─ RecordPause on ─▶ paused ─ RecordPause off ─▶ runs ─ RecordStop, its leg goes, the call ends ─▶ over
//! ```
//!
//! - Recordings are numbered from 1: a second start is a second recording, and both run side by side.
//! - A recording takes everybody, or one leg alone; of those, at each moment, whoever is heard ([`Topology::is_heard`]). So whoever is
//!   set aside, muted, lost or only listens is in none.
//!
//! Not here: files and their channels (`record_io`), who may start one (the control plane).

use serde::{Deserialize, Serialize};

use super::verbs::Refused;
use super::{Call, Effect, Topology};
use crate::units::LegId;

/// Most recordings of a call that run at once.
pub const RECORDINGS_AT_ONCE: usize = 4;
/// Most recordings of a call in its life.
pub const RECORDINGS_MAX: u32 = 99;

/// A recording that runs, and whom it takes now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Its number in the call, 1 for the first.
    pub number: u32,
    /// The leg that it is of; `None`: everybody.
    pub of: Option<LegId>,
    /// Nothing is recorded for the moment.
    pub paused: bool,
    /// Those who are recorded, in the order in which they came.
    pub legs: Vec<LegId>,
}

/// A call's recordings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Recordings {
    begun: u32,
    running: Vec<Running>,
    /// As they were told last.
    told: Vec<Recorded>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Running {
    number: u32,
    of: Option<LegId>,
    paused: bool,
}

impl Recordings {
    fn running(&self, number: u32) -> Result<&Running, Refused> {
        self.running.iter().find(|running| running.number == number).ok_or(Refused::NoRecording)
    }

    /// Every recording that runs, and whom it takes.
    fn recorded(&self, topology: &Topology) -> Vec<Recorded> {
        let legs = |of: Option<LegId>| {
            let legs = topology.places().map(|(leg, _)| leg);
            legs.filter(|leg| topology.is_heard(*leg) && of.is_none_or(|of| of == *leg)).collect()
        };
        let recorded = |&Running { number, of, paused }: &Running| Recorded { number, of, paused, legs: legs(of) };
        self.running.iter().map(recorded).collect()
    }
}

impl Call {
    /// The number that the next recording gets.
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

    pub(super) fn on_record(&mut self, of: Option<LegId>) -> Vec<Effect> {
        self.recordings.begun += 1;
        self.recordings.running.push(Running { number: self.recordings.begun, of, paused: false });
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

    /// Adds to an input's effects what has changed about the call's recordings. A recording of one leg ends with it.
    pub(super) fn tell_recordings(&mut self, effects: &mut Vec<Effect>) {
        if self.is_over() {
            return;
        }
        let legs = &self.legs;
        self.recordings.running.retain(|running| running.of.is_none_or(|of| legs.iter().any(|leg| leg.id == of)));
        if self.recordings.running.is_empty() && self.recordings.told.is_empty() {
            return;
        }
        let recorded = self.recordings.recorded(&self.told);
        if recorded != self.recordings.told {
            self.recordings.told.clone_from(&recorded);
            effects.push(Effect::Record(recorded));
        }
    }
}
