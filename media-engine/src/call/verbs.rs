//! What people and programs do with a call that runs: add and drop legs, hold, mute, supervise. Recordings: `recording`.
//!
//! ```text
//!   Add ─▶ leg Wanted (part Added) ─ Allowed ─▶ Dialling ─ answers ─▶ Up: on the floor beside the others, or in the gallery
//!               └ fails ─▶ it is forgotten, and the others talk on
//! ```
//!
//! - [`Call::check`] says why an input is refused; what it refuses has no effect when it comes all the same.
//! - Hold and mute are flags of a leg. A hold ends with the last party that could end it: when two are left.
//! - A supervisor neither keeps a call alive nor ends it, and survives holds and transfers: its place follows from its seat.

use std::time::{Duration, Instant};

use super::leg::{Fallback, Holding, Leg, LegPhase, LegRole, Part, Seat};
use super::recording::{RECORDINGS_AT_ONCE, RECORDINGS_MAX};
use super::{Call, Destination, Effect, Ending, IfFails, Input, Notice, SuperviseMode, Target};
use crate::error::HangupCause;
use crate::units::LegId;

/// Most legs that a call has at once when another one is added.
pub const LEGS_AT_ONCE: usize = 128;

/// Most targets of one transfer.
pub const TARGETS_MAX: usize = 16;

/// Least and most decibels by which a leg is made louder.
pub const GAIN_DB: std::ops::RangeInclusive<i8> = -20..=20;

/// How often parties hear that they are supervised.
const NOTICE_EVERY: Duration = Duration::from_secs(60);

/// Why a verb is refused, in a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The call has no leg of that name.
    #[error("the call has no such leg")]
    NoLeg,
    /// Nobody has answered yet, or an application has the call.
    #[error("the call has no conversation yet: its parties have not been joined")]
    NotTalking,
    /// The leg has not answered, or is on its way out.
    #[error("the leg is not connected")]
    NotConnected,
    /// The leg is with an application.
    #[error("an application has this leg")]
    Scripted,
    /// The leg supervises.
    #[error("this leg supervises the call: it takes no part in the conversation")]
    Supervises,
    /// The leg does not supervise.
    #[error("this leg does not supervise the call")]
    NoSupervisor,
    /// The leg that is whispered to is not in the conversation.
    #[error("the leg that is to hear the whisper takes no part in the conversation")]
    NoListener,
    /// It talks with nobody, another transfer is under way, or somebody is lost.
    #[error("the leg cannot be transferred now: it has to talk with somebody, and nobody may be on the way in")]
    NotNow,
    /// Too many or none.
    #[error("a transfer has 1 to {TARGETS_MAX} targets")]
    Targets,
    /// Too loud, or too soft.
    #[error("a gain is from {} to {} dB", GAIN_DB.start(), GAIN_DB.end())]
    Gain,
    /// It does not talk with exactly one other party, or somebody is on the way in.
    #[error("the leg has to talk with exactly one other party, and nobody may be on the way in")]
    NotAlone,
    /// A party of the call is parked.
    #[error("the call is parked: it has to be picked up first")]
    Parked,
    /// Nobody is parked here.
    #[error("no party of the call is parked")]
    NotParked,
    /// Somebody else was faster.
    #[error("somebody else is picking the call up already")]
    PickedUp,
    /// Its time is over.
    #[error("the call is on its way back to whoever parked it")]
    Returns,
    /// There are as many as there may be.
    #[error("the call has as many legs as a call may have")]
    Full,
    /// The call has no recording of that number that runs.
    #[error("the call has no such recording that runs")]
    NoRecording,
    /// There are as many recordings as there may be.
    #[error("a call has at most {RECORDINGS_AT_ONCE} recordings at once, and {RECORDINGS_MAX} in its life")]
    Recordings,
}

impl Call {
    /// Whether a verb's input fits the call as it stands. Inputs that are no verbs always do.
    ///
    /// # Errors
    /// [`Refused`] says why it does not.
    pub fn check(&self, input: &Input) -> Result<(), Refused> {
        match input {
            Input::Add { or_else, .. } if or_else.len() > TARGETS_MAX => Err(Refused::Targets),
            Input::Add { supervises, .. } => {
                let is_there = |leg: &Leg| leg.is_party() && (leg.seat == Seat::Floor || leg.is_with_program());
                if !self.is_talking() || !self.legs.iter().any(is_there) {
                    return Err(Refused::NotTalking);
                }
                if self.parked.is_some() && supervises.is_none() {
                    return Err(Refused::Parked);
                }
                if self.legs.len() >= LEGS_AT_ONCE || self.next_leg >= self.end_of_legs {
                    return Err(Refused::Full);
                }
                self.check_listener(*supervises)
            }
            Input::Drop(id) => self.leg(*id).map(drop).ok_or(Refused::NoLeg),
            Input::Hold { leg, .. } => self.check_party(*leg),
            Input::Mute { leg, .. } => match self.leg(*leg).map(|leg| leg.seat) {
                Some(Seat::Scripted(_)) => Err(Refused::Scripted),
                _ => self.check_connected(*leg),
            },
            Input::Gain { leg, db } if GAIN_DB.contains(db) => self.check_connected(*leg),
            Input::Gain { .. } => Err(Refused::Gain),
            Input::TransferTo { by, to, .. } => {
                self.check_party(*by)?;
                match self.may_be_succeeded(*by) {
                    true if (1..=TARGETS_MAX).contains(&to.len()) => Ok(()),
                    true => Err(Refused::Targets),
                    false => Err(Refused::NotNow),
                }
            }
            Input::Park { by, .. } => self.check_party(*by).and_then(|()| self.check_park(*by)),
            Input::PickUp { .. } => self.check_pick_up(),
            Input::Supervise { leg, mode } => match self.leg(*leg).map(|leg| leg.seat) {
                None => Err(Refused::NoLeg),
                Some(Seat::Gallery(_)) => self.check_listener(Some(*mode)),
                Some(Seat::Floor | Seat::Scripted(_)) => Err(Refused::NoSupervisor),
            },
            Input::Record { leg } => self.check_record(*leg),
            Input::RecordPause { number, .. } | Input::RecordStop { number } => self.check_recording(*number),
            _ => Ok(()),
        }
    }

    /// Whether a leg has answered, and is not on its way out.
    ///
    /// # Errors
    /// [`Refused::NoLeg`] or [`Refused::NotConnected`].
    pub fn check_connected(&self, id: LegId) -> Result<(), Refused> {
        match self.leg(id) {
            None => Err(Refused::NoLeg),
            Some(leg) if !leg.is_up() => Err(Refused::NotConnected),
            Some(_) => Ok(()),
        }
    }

    fn check_party(&self, id: LegId) -> Result<(), Refused> {
        let leg = self.leg(id).ok_or(Refused::NoLeg)?;
        match leg.seat {
            Seat::Gallery(_) => Err(Refused::Supervises),
            Seat::Scripted(_) => Err(Refused::Scripted),
            Seat::Floor if !leg.is_up() || !self.is_talking() => Err(Refused::NotConnected),
            Seat::Floor if self.is_parked(id) => Err(Refused::Parked),
            Seat::Floor => Ok(()),
        }
    }

    fn check_listener(&self, mode: Option<SuperviseMode>) -> Result<(), Refused> {
        let Some(SuperviseMode::Whisper(Some(to))) = mode else { return Ok(()) };
        match self.leg(to) {
            Some(leg) if leg.is_party() && leg.seat == Seat::Floor => Ok(()),
            Some(_) => Err(Refused::NoListener),
            None => Err(Refused::NoLeg),
        }
    }

    pub(super) fn on_add(
        &mut self,
        (target, role): (Target, LegRole),
        supervises: Option<(SuperviseMode, bool)>,
        fallback: Fallback,
        now: Instant,
    ) -> Vec<Effect> {
        let agent = self.legs.iter().find(|leg| leg.is_party() && leg.role == LegRole::Agent);
        let Some(by) = agent.or(self.legs.iter().find(|leg| leg.is_party())).map(|leg| leg.id) else {
            return Vec::new();
        };
        let Target { to, ring } = target;
        let phase = self.wanted(&to, ring.or(fallback.ring), now);
        let Some(id) = self.enter(role, phase, Part::Added) else { return Vec::new() };
        if let Some(leg) = self.leg_mut(id) {
            leg.fallback = Some(Box::new(fallback));
            if let Some((mode, notice)) = supervises {
                (leg.seat, leg.notice) = (Seat::Gallery(mode), notice.then_some(now));
            }
        }
        vec![Effect::Ask { leg: id, by, to }]
    }

    /// An added leg could not be reached, or has gone before its answer: the next one is called, if there is one.
    pub(super) fn on_added_gone(&mut self, mut leg: Leg, ending: &Ending, now: Instant) -> Vec<Effect> {
        let mut effects = vec![Effect::Forget(leg.id)];
        effects.extend(self.on_comer_gone(&leg, ending));
        let Some(mut fallback) = leg.fallback.take() else { return effects };
        if let Some(target) = fallback.targets.pop_front() {
            let role = match &target.to {
                _ if leg.is_supervisor() => leg.role,
                Destination::Agent(_) | Destination::Browser(_) => LegRole::Agent,
                Destination::Trunk { .. } | Destination::Emergency { .. } | Destination::Uri(_) => LegRole::Customer,
            };
            let notice = leg.notice.is_some();
            let supervises = if let Seat::Gallery(mode) = leg.seat { Some((mode, notice)) } else { None };
            effects.extend(self.on_add((target, role), supervises, *fallback, now));
        } else if fallback.if_fails == IfFails::HangUp && !leg.is_supervisor() {
            effects.extend(self.end(ending));
        }
        effects
    }

    /// An added leg has answered.
    pub(super) fn on_added_up(&mut self, id: LegId, now: Instant) -> Vec<Effect> {
        self.seat(id);
        if let Some(leg) = self.leg_mut(id) {
            leg.fallback = None;
        }
        match self.leg(id).is_some_and(|leg| leg.is_supervisor()) {
            true => {
                let mut effects = self.seat_told(id);
                if self.leg(id).is_some_and(|leg| leg.notice.is_some()) {
                    effects.extend(self.notify(id, now));
                }
                effects
            }
            false => {
                let mut effects = self.on_comer_up(id);
                effects.extend(self.leave_program());
                effects
            }
        }
    }

    pub(super) fn on_drop(&mut self, id: LegId, now: Instant) -> Vec<Effect> {
        match self.leg(id) {
            // Its heir has its place, and it is on its way out.
            Some(leg) if matches!(leg.phase, LegPhase::Leaving { .. }) => self.let_go(id),
            Some(leg) => {
                if matches!(leg.part, Part::Heir { .. }) {
                    // The transfer is called off, not sent on to its next target.
                    self.targets = None;
                }
                if let Some(leg) = self.leg_mut(id) {
                    leg.fallback = None;
                }
                self.put_out(id, HangupCause::Requested, now)
            }
            None => Vec::new(),
        }
    }

    pub(super) fn on_hold(&mut self, id: LegId, on: bool) -> Vec<Effect> {
        match self.leg_mut(id) {
            Some(leg) if leg.held != on => {
                leg.held = on;
                self.seat_told(id)
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn on_mute(&mut self, id: LegId, on: bool) -> Vec<Effect> {
        match self.leg_mut(id) {
            Some(leg) if leg.muted != on => {
                leg.muted = on;
                self.seat_told(id)
            }
            _ => Vec::new(),
        }
    }

    /// A supervisor of whom the parties are to hear now.
    pub(super) fn notice_due(&self, now: Instant) -> Option<LegId> {
        let due = |leg: &&Leg| leg.next_notice().is_some_and(|at| at <= now);
        self.legs.iter().find(due).map(|leg| leg.id)
    }

    /// Lets the parties that talk hear that they are supervised, and again in a minute.
    pub(super) fn notify(&mut self, supervisor: LegId, now: Instant) -> Vec<Effect> {
        if let Some(leg) = self.leg_mut(supervisor) {
            leg.notice = Some(now + NOTICE_EVERY);
        }
        let to: Vec<LegId> = self.hearing().floor().filter(|leg| self.is_party(*leg)).collect();
        if to.is_empty() { Vec::new() } else { vec![Effect::Notify(to)] }
    }

    pub(super) fn on_gain(&mut self, id: LegId, db: i8) -> Vec<Effect> {
        match self.leg_mut(id) {
            Some(leg) if leg.gain_db != db => {
                leg.gain_db = db;
                self.seat_told(id)
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn on_holds(&mut self, id: LegId, holding: Holding) -> Vec<Effect> {
        let Some(leg) = self.leg_mut(id).filter(|leg| leg.is_up()) else { return Vec::new() };
        let before = std::mem::replace(&mut leg.holds, holding);
        if (before == Holding::No) == (holding == Holding::No) { Vec::new() } else { self.seat_told(id) }
    }

    pub(super) fn on_supervise(&mut self, id: LegId, mode: SuperviseMode) -> Vec<Effect> {
        match self.leg_mut(id) {
            Some(leg) if leg.is_supervisor() && leg.seat != Seat::Gallery(mode) => {
                leg.seat = Seat::Gallery(mode);
                self.seat_told(id)
            }
            _ => Vec::new(),
        }
    }

    /// A party goes, or has gone. Of two who are left neither waits for the other: whoever held one of them may have been the third.
    pub(super) fn end_holds_beside(&mut self, gone: LegId) -> Vec<Effect> {
        if self.legs.iter().filter(|leg| leg.id != gone && leg.is_party()).count() > 2 {
            return Vec::new();
        }
        let held: Vec<LegId> = self.legs.iter().filter(|leg| leg.held).map(|leg| leg.id).collect();
        held.into_iter().flat_map(|id| self.on_hold(id, false)).collect()
    }

    /// What a leg does in the call, to be told.
    pub(super) fn seat_told(&self, id: LegId) -> Vec<Effect> {
        let told = |leg: &Leg| {
            let holds = leg.holds != Holding::No;
            let supervises = match leg.seat {
                Seat::Gallery(mode) => Some(mode),
                Seat::Floor | Seat::Scripted(_) => None,
            };
            Effect::Tell(Notice::Seat {
                leg: id,
                role: leg.role,
                held: leg.held,
                muted: leg.muted,
                holds,
                gain_db: leg.gain_db,
                supervises,
            })
        };
        self.leg(id).map(told).into_iter().collect()
    }
}
