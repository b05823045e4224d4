//! Actions of users and programs on a running call: add and drop legs, hold, mute, supervise. Recordings: `recording`.
//!
//! The engine asks [`Call::check`] before it gives a verb to the machine, so that a refusal reaches the requester at once.
//!
//! ```text
//!   Add ─▶ leg Wanted (part Added) ─ Allowed ─▶ Dialling ─ answers ─▶ Up: on the floor beside the others, or in the gallery
//!               └ fails ─▶ it is forgotten, and the others keep talking
//! ```
//!
//! - [`Call::check`] says why an input is refused; a refused input has no effect if it is given all the same.
//! - Hold and mute are flags of a leg. A hold ends when only two parties are left: the third may have been the one that held.
//! - A supervisor neither keeps a call alive nor ends it, and survives holds and transfers: its place follows from its seat.

use std::time::{Duration, Instant};

use super::leg::{Fallback, Holding, Leg, LegPhase, LegRole, Part, Seat};
use super::recording::{RECORDINGS_AT_ONCE, RECORDINGS_MAX};
use super::{Call, Destination, Effect, Ending, IfFails, Input, Notice, SuperviseMode, Target};
use crate::error::HangupCause;
use crate::units::LegId;

/// Maximum number of legs in a call at one time.
pub const LEGS_AT_ONCE: usize = 128;

/// Maximum number of targets of one transfer.
pub const TARGETS_MAX: usize = 16;

/// Range of a leg's gain, in decibels.
pub const GAIN_DB: std::ops::RangeInclusive<i8> = -20..=20;

/// Interval of the supervision notice.
const NOTICE_EVERY: Duration = Duration::from_secs(60);

/// Reason why a verb is refused, as a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The call has no leg with this id.
    #[error("the call has no such leg")]
    NoLeg,
    /// No party has answered yet, or an application has the call.
    #[error("the call has no conversation yet: its parties have not been joined")]
    NotTalking,
    /// The leg has not answered, or is on its way out.
    #[error("the leg is not connected")]
    NotConnected,
    /// The leg is with an application.
    #[error("this leg is with an application")]
    Scripted,
    /// The leg supervises the call.
    #[error("this leg supervises the call: it takes no part in the conversation")]
    Supervises,
    /// The leg does not supervise the call.
    #[error("this leg does not supervise the call")]
    NoSupervisor,
    /// The leg that should hear the whisper is not in the conversation.
    #[error("the leg that should hear the whisper takes no part in the conversation")]
    NoListener,
    /// The leg is alone, another transfer is under way, or a leg is lost.
    #[error("the leg cannot be transferred now: it must be in a conversation, and no other leg may be on its way in")]
    NotNow,
    /// The number of targets is out of range.
    #[error("a transfer has 1 to {TARGETS_MAX} targets")]
    Targets,
    /// The gain is out of range.
    #[error("a gain is from {} to {} dB", GAIN_DB.start(), GAIN_DB.end())]
    Gain,
    /// The leg does not talk with exactly one other party, or another leg is on its way in.
    #[error("the leg must talk with exactly one other party, and no other leg may be on its way in")]
    NotAlone,
    /// A party of the call is parked.
    #[error("the call is parked: it must be picked up first")]
    Parked,
    /// No party of this call is parked.
    #[error("no party of the call is parked")]
    NotParked,
    /// Another agent is already picking the call up.
    #[error("another agent is already picking the call up")]
    PickedUp,
    /// The parked party's time has passed, and it is being returned.
    #[error("the call is being returned to the agent who parked it")]
    Returns,
    /// The call has reached its maximum number of legs.
    #[error("the call has reached its maximum number of legs")]
    Full,
    /// The call has no running recording with this number.
    #[error("the call has no such running recording")]
    NoRecording,
    /// The call has reached its maximum number of recordings.
    #[error("a call has at most {RECORDINGS_AT_ONCE} recordings at once, and {RECORDINGS_MAX} in total")]
    Recordings,
}

impl Call {
    /// Checks whether a verb's input fits the call's current state. Inputs that are not verbs always fit.
    ///
    /// # Errors
    /// [`Refused`] gives the reason, which is meant for the requester.
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
            Input::PickUp { .. } | Input::PickUpByCaller => self.check_pick_up(),
            Input::Supervise { leg, mode } => match self.leg(*leg).map(|leg| leg.seat) {
                None => Err(Refused::NoLeg),
                Some(Seat::Gallery(_)) => self.check_listener(Some(*mode)),
                Some(Seat::Floor | Seat::Screened { .. } | Seat::Scripted(_)) => Err(Refused::NoSupervisor),
            },
            Input::Record { leg, .. } => self.check_record(*leg),
            Input::RecordPause { number, .. } | Input::RecordStop { number } => self.check_recording(*number),
            _ => Ok(()),
        }
    }

    /// Checks that a leg has answered and is not on its way out.
    ///
    /// # Errors
    /// [`Refused::NoLeg`] or [`Refused::NotConnected`]; the reason is meant for the requester.
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
            Seat::Screened { .. } => Err(Refused::NotConnected),
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

    /// Handles an added leg that failed or left before its answer: the next target is called, if there is one.
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

    /// Seats an added leg that has answered.
    pub(super) fn on_added_up(&mut self, id: LegId, now: Instant) -> Vec<Effect> {
        self.seat(id);
        if let Some(leg) = self.leg_mut(id) {
            leg.fallback = None;
        }
        match self.leg(id).is_some_and(|leg| leg.is_supervisor()) {
            true => {
                let mut effects = self.seat_notice(id);
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
            // Its heir has taken its place, and it is on its way out.
            Some(leg) if matches!(leg.phase, LegPhase::Leaving { .. }) => self.let_go(id),
            Some(leg) => {
                if matches!(leg.part, Part::Heir { .. }) {
                    // The transfer is cancelled; its next target is not called.
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
                self.seat_notice(id)
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn on_mute(&mut self, id: LegId, on: bool) -> Vec<Effect> {
        match self.leg_mut(id) {
            Some(leg) if leg.muted != on => {
                leg.muted = on;
                self.seat_notice(id)
            }
            _ => Vec::new(),
        }
    }

    /// Returns a supervisor whose notice is due.
    pub(super) fn notice_due(&self, now: Instant) -> Option<LegId> {
        let due = |leg: &&Leg| leg.next_notice().is_some_and(|at| at <= now);
        self.legs.iter().find(due).map(|leg| leg.id)
    }

    /// Plays the supervision notice to the parties that talk, and schedules the next one.
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
                self.seat_notice(id)
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn on_holds(&mut self, id: LegId, holding: Holding) -> Vec<Effect> {
        let Some(leg) = self.leg_mut(id).filter(|leg| leg.is_up()) else { return Vec::new() };
        let before = std::mem::replace(&mut leg.holds, holding);
        if (before == Holding::No) == (holding == Holding::No) { Vec::new() } else { self.seat_notice(id) }
    }

    pub(super) fn on_supervise(&mut self, id: LegId, mode: SuperviseMode) -> Vec<Effect> {
        match self.leg_mut(id) {
            Some(leg) if leg.is_supervisor() && leg.seat != Seat::Gallery(mode) => {
                leg.seat = Seat::Gallery(mode);
                self.seat_notice(id)
            }
            _ => Vec::new(),
        }
    }

    /// Ends holds when a party leaves. Of two remaining parties, neither waits for the other: the third may have been the one
    /// that held.
    pub(super) fn end_holds_beside(&mut self, gone: LegId) -> Vec<Effect> {
        if self.legs.iter().filter(|leg| leg.id != gone && leg.is_party()).count() > 2 {
            return Vec::new();
        }
        let held: Vec<LegId> = self.legs.iter().filter(|leg| leg.held).map(|leg| leg.id).collect();
        held.into_iter().flat_map(|id| self.on_hold(id, false)).collect()
    }

    /// Reports what a leg does in the call.
    pub(super) fn seat_notice(&self, id: LegId) -> Vec<Effect> {
        let notice = |leg: &Leg| {
            let holds = leg.holds != Holding::No;
            let supervises = match leg.seat {
                Seat::Gallery(mode) => Some(mode),
                Seat::Floor | Seat::Screened { .. } | Seat::Scripted(_) => None,
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
        self.leg(id).map(notice).into_iter().collect()
    }
}
