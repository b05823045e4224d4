//! The topology of a call: which leg hears which, derived from the legs and never stored.
//!
//! ```text
//! Floor      hears all others on the floor, and they hear it
//! Muted      on the floor too, but no leg hears it
//! Listening  a supervisor: hears the floor, and no leg hears it
//! Whispering a supervisor: hears the floor, and one leg of it hears it
//! Aside      hears a sound or silence; it is not heard, recognised, translated or recorded
//! Scripted   hears its application, which hears it
//! Screened   hears silence, and only a detector hears it
//! ```
//!
//! While a call program dials a target, its caller hears ring-back. A supervisor who barges in is on the floor. Waiting follows
//! from the legs: a leg that is alone on the floor waits for the leg that is called in another's place, for a lost leg, for a leg
//! that is being called, or for one on hold, and hears the sound that fits.

use serde::{Deserialize, Serialize};

use super::leg::{Holding, Leg, LegPhase, Means, Part, Seat};
use super::{Call, Effect, LegRole, Notice, SuperviseMode};
use crate::config::App;
use crate::units::LegId;

/// Place of a leg with media in the topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In the conversation.
    Floor,
    /// In the conversation, but muted.
    Muted,
    /// Hears the conversation without taking part in it.
    Listening,
    /// Hears the conversation, and only this leg of it hears the whisper.
    Whispering(LegId),
    /// Outside the conversation for a while, with this sound.
    Aside(Sound),
    /// With this application.
    Scripted(App),
    /// Heard by a detector only.
    Screened,
}

/// Sound for a leg that is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sound {
    /// Silence; nothing is played.
    Silence,
    /// Ring-back: another leg is being called.
    Ringback,
    /// The sound of waiting: a leg is being called in the place of this leg's partner.
    Wait,
    /// Music on hold: the partner will be back.
    Hold,
}

/// Every leg that has media, with its place. Legs that are not named have no media yet, or no longer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Topology(Vec<(LegId, Place)>);

impl Topology {
    /// Returns all legs with their places, in the order in which they came.
    pub fn places(&self) -> impl Iterator<Item = (LegId, Place)> + '_ {
        self.0.iter().copied()
    }

    /// Returns the place of a leg; `None`: the leg has no media.
    pub fn place(&self, leg: LegId) -> Option<Place> {
        self.places().find(|(known, _)| *known == leg).map(|(_, place)| place)
    }

    /// Returns the legs in the conversation.
    pub fn floor(&self) -> impl Iterator<Item = LegId> + '_ {
        self.places().filter(|(_, place)| place.is_on_floor()).map(|(leg, _)| leg)
    }

    /// Returns whether a leg is heard, so that its speech may be recognised, translated and recorded.
    pub fn is_heard(&self, leg: LegId) -> bool {
        matches!(self.place(leg), Some(Place::Floor | Place::Scripted(_)))
    }

    /// Returns whether both legs are in the conversation.
    pub fn joins(&self, a: LegId, b: LegId) -> bool {
        a != b && [a, b].into_iter().all(|leg| self.place(leg).is_some_and(Place::is_on_floor))
    }

    /// Returns whether the leg is in the conversation with at least one other leg.
    pub fn is_joined(&self, leg: LegId) -> bool {
        self.floor().any(|other| self.joins(leg, other))
    }
}

impl Place {
    /// Returns whether a leg at this place hears all who speak on the floor.
    pub fn is_on_floor(self) -> bool {
        matches!(self, Place::Floor | Place::Muted)
    }
}

impl Call {
    /// Returns the current topology.
    pub fn hearing(&self) -> Topology {
        let mut topology = Topology(self.legs.iter().filter_map(|leg| Some((leg.id, self.place_of(leg)?))).collect());
        let mut on_floor = topology.0.iter_mut().filter(|(_, place)| place.is_on_floor());
        if let (Some((_, alone)), None, Some(sound)) = (on_floor.next(), on_floor.next(), self.awaited()) {
            *alone = Place::Aside(sound);
        }
        self.seat_whisperers(&mut topology);
        topology
    }

    /// Turns a supervisor into a mere listener if it whispers to a leg that is muted or not in the conversation.
    fn seat_whisperers(&self, topology: &mut Topology) {
        let agent = topology.floor().find(|leg| self.role(*leg) == Some(LegRole::Agent));
        for at in 0..topology.0.len() {
            let (id, _) = topology.0[at];
            let Some(Leg {
                seat: Seat::Gallery(SuperviseMode::Whisper(to)), phase: LegPhase::Up, muted: false, ..
            }) = self.leg(id)
            else {
                continue;
            };
            let listener = to.or(agent).filter(|to| topology.place(*to).is_some_and(Place::is_on_floor));
            topology.0[at].1 = listener.map_or(Place::Listening, Place::Whispering);
        }
    }

    /// Returns a leg's place, as far as it follows from the leg and its heir.
    fn place_of(&self, leg: &Leg) -> Option<Place> {
        match (&leg.phase, leg.seat) {
            (LegPhase::Up, Seat::Scripted(App::Program)) if self.is_anybody_called() => {
                Some(Place::Aside(Sound::Ringback))
            }
            (LegPhase::Up, Seat::Scripted(app)) => Some(Place::Scripted(app)),
            (LegPhase::Up, Seat::Screened { .. }) => Some(Place::Screened),
            (LegPhase::Up, Seat::Gallery(SuperviseMode::Listen | SuperviseMode::Whisper(_))) => Some(Place::Listening),
            (LegPhase::Up, Seat::Floor)
                if leg.lost.is_some() || leg.holds == Holding::Silent || self.is_parted(leg.id) =>
            {
                Some(Place::Aside(Sound::Silence))
            }
            (LegPhase::Up, Seat::Floor) if leg.held || self.is_parked(leg.id) => Some(Place::Aside(Sound::Hold)),
            (LegPhase::Up, _) if leg.muted => Some(Place::Muted),
            // Early media is meant for the leg that waits for this one, and no leg waits for an added one.
            (LegPhase::Dialling { .. }, _) if leg.part == Part::Added => None,
            (LegPhase::Up | LegPhase::Offered { early: true } | LegPhase::Dialling { early: true, .. }, _) => {
                Some(Place::Floor)
            }
            _ => None,
        }
    }

    /// Returns whether a leg is being called to take this leg's place: this leg is out of the conversation meanwhile.
    fn is_parted(&self, id: LegId) -> bool {
        self.legs.iter().any(|leg| leg.part == Part::Heir { of: id, by: Means::Called })
    }

    /// Returns whether a leg is being called into the conversation, beside the legs in it.
    fn is_anybody_called(&self) -> bool {
        let is_called = |leg: &Leg| leg.part == Part::Added && leg.seat == Seat::Floor;
        self.legs.iter().any(|leg| is_called(leg) && matches!(leg.phase, LegPhase::Dialling { .. }))
    }

    /// Returns the sound for a leg that is alone on the floor.
    fn awaited(&self) -> Option<Sound> {
        let any = |is: fn(&Leg) -> bool| self.legs.iter().any(is);
        if any(|leg| matches!(leg.part, Part::Heir { by: Means::Called, .. })) {
            Some(Sound::Wait)
        } else if any(|leg| leg.part == Part::Added && leg.seat == Seat::Floor) {
            Some(Sound::Ringback)
        } else if any(|leg| leg.lost.is_some() || leg.holds == Holding::Silent && leg.is_party()) {
            Some(Sound::Hold)
        } else if any(|leg| leg.part == Part::Callee && leg.stage().is_some() && (!leg.is_up() || leg.is_screened())) {
            Some(Sound::Ringback)
        } else if self.parked.is_some() || any(|leg| leg.held && leg.is_party()) {
            Some(Sound::Silence)
        } else {
            None
        }
    }

    /// Adds a changed topology to an input's effects: before news that legs are joined, else at the end.
    pub(super) fn report_hearing(&mut self, effects: &mut Vec<Effect>) {
        if self.is_over() {
            return;
        }
        let topology = self.hearing();
        if topology != self.reported {
            self.reported.clone_from(&topology);
            let joined = |effect: &Effect| {
                matches!(
                    effect,
                    Effect::Tell(Notice::Answered | Notice::Bridged | Notice::EarlyMedia | Notice::WithProgram(_))
                )
            };
            let at = effects.iter().position(joined).unwrap_or(effects.len());
            effects.insert(at, Effect::Hearing(topology));
        }
    }
}
