//! How one leg takes another's place in a talking call: transfers, and INVITE with Replaces.
//!
//! ```text
//!   Transfer ─▶ heir Wanted ─Allowed─▶ Dialling ─answers─▶ Up; the transferor is Leaving and has time to hang up by itself
//!                     └ fails ─▶ transferor still there? joined again : the call ends unless two others talk
//!   TransferTo ─▶ the same with each target in turn until one answers; if none does and the transferor has gone, it is called again
//!   Transfer ─▶ heir Coming ─Fetched─▶ the same; until then both keep talking
//!   Replace  ─▶ heir Offered ─answered─▶ Up; the leg that it replaces is hung up at once (RFC 3891 section 3)
//! ```
//!
//! - Only one succession runs at a time; a leg that is still leaving makes room for the next.
//! - A transferor that hangs up leaves the transfer running (RFC 5589 section 6.1); when the party that stays hangs up, the call
//!   ends.

use std::time::{Duration, Instant};

use super::leg::{Fallback, Leg, LegPhase, LegRole, Means, Part};
use super::{Call, Destination, Effect, Ending, IfFails, Notice, Stage, Target, TransferState};
use crate::error::HangupCause;
use crate::units::LegId;

impl Call {
    /// Returns whether this leg may be replaced now: it talks with another party, and no other leg is about to be replaced.
    pub fn may_be_succeeded(&self, id: LegId) -> bool {
        let party = |leg: &&Leg| leg.is_party() && leg.is_up();
        let is_free =
            self.next_leg < self.end_of_legs && !self.legs.iter().any(|leg| matches!(leg.part, Part::Heir { .. }));
        // A lost leg itself may be replaced; transfers by the other party have to wait.
        let all_present = self.legs.iter().all(|leg| leg.lost.is_none() || leg.id == id);
        let parties = self.legs.iter().filter(party).count();
        self.is_talking() && self.leg(id).as_ref().is_some_and(party) && parties >= 2 && is_free && all_present
    }

    /// Returns whether another call may take this leg's partner: it talks with exactly one.
    pub fn may_give_partner(&self, id: LegId) -> bool {
        let others = self.legs.iter().filter(|leg| leg.id != id && (leg.is_party() || leg.part == Part::Added));
        self.may_be_succeeded(id) && others.filter(|leg| !leg.is_supervisor()).count() == 1
    }

    /// Returns the partner of this leg, now or after its answer: the first other party.
    pub fn partner(&self, id: LegId) -> Option<LegId> {
        let place = match self.leg(id)?.part {
            Part::Heir { of, .. } => of,
            Part::Opener | Part::Callee | Part::Party | Part::Added => id,
        };
        self.legs.iter().find(|leg| leg.id != id && leg.id != place && leg.is_party()).map(|leg| leg.id)
    }

    /// Returns the leg whose place this heir will take.
    pub fn place_of_heir(&self, heir: LegId) -> Option<LegId> {
        match self.leg(heir)?.part {
            Part::Heir { of, .. } => Some(of),
            Part::Opener | Part::Callee | Part::Party | Part::Added => None,
        }
    }

    /// Returns the heir that is about to take this leg's place.
    pub(super) fn heir_of(&self, id: LegId) -> Option<LegId> {
        let is_heir = |leg: &&Leg| matches!(leg.part, Part::Heir { of, .. } if of == id);
        self.legs.iter().find(is_heir).map(|leg| leg.id)
    }

    pub(super) fn on_transfer(&mut self, by: LegId, to: Option<Destination>, now: Instant) -> Vec<Effect> {
        let Some(role) = self.role(by) else { return Vec::new() };
        let notice = |heir, state| Effect::Tell(Notice::Transfer { by, role, heir, state });
        if !self.may_be_succeeded(by) {
            return vec![notice(None, TransferState::Refused)];
        }
        self.targets = None;
        let mut effects = self.let_all_go();
        effects.extend(match to {
            Some(to) => self.want_heir((by, role), to.into(), now),
            None => match self.enter(role, LegPhase::Coming, Part::Heir { of: by, by: Means::Fetched }) {
                Some(heir) => vec![Effect::Await(heir), notice(Some(heir), TransferState::Started)],
                None => vec![notice(None, TransferState::Refused)],
            },
        });
        effects
    }

    pub(super) fn on_transfer_to(&mut self, by: LegId, targets: Fallback, now: Instant) -> Vec<Effect> {
        let Some(role) = self.role(by) else { return Vec::new() };
        let mut effects = self.let_all_go();
        self.targets = Some(Box::new(targets));
        effects.extend(self.next_heir((by, role), now));
        effects
    }

    /// Calls the next target of a transfer, if there is one.
    fn next_heir(&mut self, place: (LegId, LegRole), now: Instant) -> Vec<Effect> {
        match self.targets.as_mut().and_then(|left| left.targets.pop_front()) {
            Some(target) => self.want_heir(place, target, now),
            None => Vec::new(),
        }
    }

    /// Returns the phase of a leg that waits for the control plane to allow it.
    pub(super) fn wanted(&self, to: &Destination, ring: Option<Duration>, now: Instant) -> LegPhase {
        LegPhase::Wanted { to: to.clone(), until: now + self.timing.decision, ring }
    }

    /// Adds an heir for a leg's place, and asks whether it may be called.
    fn want_heir(&mut self, (by, role): (LegId, LegRole), target: Target, now: Instant) -> Vec<Effect> {
        let Target { to, ring } = target;
        let notice = |heir, state| Effect::Tell(Notice::Transfer { by, role, heir, state });
        let phase = self.wanted(&to, ring.or(self.targets.as_ref().and_then(|left| left.ring)), now);
        match self.enter(role, phase, Part::Heir { of: by, by: Means::Called }) {
            Some(heir) => vec![Effect::Ask { leg: heir, by, to }, notice(Some(heir), TransferState::Started)],
            None => vec![notice(None, TransferState::Refused)],
        }
    }

    pub(super) fn on_allowed(&mut self, id: LegId, now: Instant) -> Vec<Effect> {
        let Some(Leg { phase: LegPhase::Wanted { to, ring, .. }, .. }) = self.leg(id) else { return Vec::new() };
        let (to, ring) = (to.clone(), *ring);
        let phase = self.dialling(&to, ring, now);
        if let Some(leg) = self.leg_mut(id) {
            leg.phase = phase;
        }
        vec![Effect::Ring(id, to)]
    }

    pub(super) fn on_denied(&mut self, id: LegId, ending: Ending, now: Instant) -> Vec<Effect> {
        match self.leg(id) {
            Some(Leg { phase: LegPhase::Wanted { .. }, .. }) => self.on_gone(id, ending, now),
            _ => Vec::new(),
        }
    }

    /// Handles a missing decision of the control plane: only an emergency number is called without one.
    pub(super) fn on_undecided(&mut self, id: LegId, now: Instant) -> Vec<Effect> {
        let wanted = self.leg(id).map(|leg| &leg.phase);
        let urgent = matches!(wanted, Some(LegPhase::Wanted { to: Destination::Emergency { .. }, .. }));
        let mut effects = vec![Effect::Tell(Notice::Undecided(Some(id)))];
        effects.extend(match urgent {
            true => self.on_allowed(id, now),
            false => {
                let ending = Ending { sip_status: Some(503), ..HangupCause::Unreachable.into() };
                self.on_gone(id, ending, now)
            }
        });
        effects
    }

    pub(super) fn on_replace(&mut self, id: LegId) -> Vec<Effect> {
        let Some(role) = self.role(id).filter(|_| self.may_be_succeeded(id)) else { return Vec::new() };
        self.targets = None;
        let mut effects = self.let_all_go();
        let heir = self.enter(role, LegPhase::Offered { early: false }, Part::Heir { of: id, by: Means::Came });
        effects.extend(heir.map(Effect::Answer));
        effects
    }

    /// Gives this leg's partner to another call; this call ends.
    pub(super) fn on_take(&mut self, id: LegId) -> Vec<Effect> {
        let Some(taken) = self.partner(id).filter(|_| self.may_give_partner(id)) else { return Vec::new() };
        self.remove(taken);
        let mut effects = vec![Effect::Give(taken)];
        effects.extend(self.end(&HangupCause::Transferred.into()));
        effects
    }

    pub(super) fn on_fetched(&mut self, heir: LegId, leg: LegId, now: Instant) -> Vec<Effect> {
        let Some(Leg { phase: LegPhase::Coming, part: Part::Heir { of, by }, .. }) = self.leg(heir) else {
            return Vec::new();
        };
        let place = (*of, *by);
        if let Some(known) = self.leg_mut(heir) {
            known.id = leg;
        }
        self.on_heir_up(leg, place, now)
    }

    pub(super) fn on_heir_rang(&self, heir: LegId) -> Vec<Effect> {
        self.leg(heir).and_then(|heir| transfer_notice(heir, TransferState::Ringing)).into_iter().collect()
    }

    /// Joins an heir that has answered or arrived.
    pub(super) fn on_heir_up(&mut self, heir: LegId, (of, by): (LegId, Means), now: Instant) -> Vec<Effect> {
        let until = now + self.timing.leave;
        let mut effects: Vec<Effect> =
            self.leg(heir).and_then(|heir| transfer_notice(heir, TransferState::Done)).into_iter().collect();
        self.seat(heir);
        // Legs that the replaced leg held are there for the heir to talk with.
        effects.extend(self.end_holds_beside(of));
        // A leg that has already gone leaves nothing to do.
        let Some(replaced) = self.leg_mut(of) else { return effects };
        (replaced.lost, replaced.goodbye) = (None, None);
        replaced.phase = LegPhase::Leaving { until };
        match by {
            Means::Came => effects.extend(self.let_go(of)),
            Means::Called | Means::Fetched => effects.push(Effect::Retire(of)),
        }
        effects
    }

    /// Handles an heir that failed, hung up or rang too long, and was removed: the next target is called, if there is one.
    pub(super) fn on_heir_gone(&mut self, heir: &Leg, of: LegId, ending: Ending, now: Instant) -> Vec<Effect> {
        let mut effects: Vec<Effect> =
            transfer_notice(heir, TransferState::Failed(ending.clone())).into_iter().collect();
        effects.push(Effect::Forget(heir.id));
        let next = self.next_heir((of, heir.role), now);
        if !next.is_empty() && self.heir_of(of).is_some() {
            effects.extend(next);
            return effects;
        }
        let (failed, back) = self.targets.take().map(|left| (left.if_fails, left.back)).unzip();
        if failed == Some(IfFails::HangUp) {
            effects.extend(self.end(&ending));
            return effects;
        }
        if failed == Some(IfFails::Program)
            && let Some(given) = self.give_to_program(of)
        {
            effects.extend(given);
            return effects;
        }
        let has_gone = self.leg(of).is_none() && self.legs.iter().any(|leg| leg.is_party() && leg.is_up());
        if let Some(back) = back.flatten().filter(|_| has_gone) {
            effects.extend(self.want_heir((of, heir.role), back.into(), now));
            if self.heir_of(of).is_some() {
                return effects;
            }
        }
        let parties = self.legs.iter().filter(|leg| leg.is_party()).count();
        if self.leg(of).is_none() && parties < 2 {
            effects.extend(match self.legs.iter().any(|leg| leg.is_party() && leg.program) {
                true => self.return_to_program(),
                false => self.end(&ending),
            });
        }
        effects
    }

    /// Hangs up a replaced leg that has not gone by itself.
    pub(super) fn let_go(&mut self, id: LegId) -> Vec<Effect> {
        self.remove(id);
        let cause = HangupCause::Transferred;
        let ended = Effect::Ended(id, cause.clone().into());
        vec![ended, Effect::HangUp { leg: id, stage: Stage::Up, cause }, Effect::Forget(id)]
    }

    pub(super) fn let_all_go(&mut self) -> Vec<Effect> {
        let leaves = |leg: &&Leg| matches!(leg.phase, LegPhase::Leaving { .. });
        let leaving: Vec<LegId> = self.legs.iter().filter(leaves).map(|leg| leg.id).collect();
        leaving.into_iter().flat_map(|id| self.let_go(id)).collect()
    }
}

/// Reports the progress of the transfer that this heir belongs to; a leg that called us belongs to none.
pub(super) fn transfer_notice(heir: &Leg, state: TransferState) -> Option<Effect> {
    match heir.part {
        Part::Heir { of, by: Means::Called | Means::Fetched } => {
            Some(Effect::Tell(Notice::Transfer { by: of, role: heir.role, heir: Some(heir.id), state }))
        }
        _ => None,
    }
}
