//! A parked party: it waits alone with music until it is picked up.
//!
//! ```text
//!   Park ─▶ the parker is hung up; the party waits ─┬─ PickUp ─▶ a leg is called ─ answers ─▶ both talk
//!                                                   │               └ fails ─▶ it keeps waiting
//!                                                   ├─ PickUpByCaller ─▶ the caller is answered ─▶ both talk
//!                                                   └─ time has passed ─▶ the parker is called ─ answers ─▶ both talk
//!                                                                         └ fails, or there is no parker to call ─▶ the call ends
//! ```
//!
//! - Only one leg at a time is called for a parked party. Its time does not end while that leg is on its way.
//! - A party with a call program returns to its program instead of ending the call.
//! - Not here: slots, which belong to an organization (the engine).

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::leg::{Leg, LegPhase, LegRole, Part};
use super::verbs::LEGS_AT_ONCE;
use super::{Call, Destination, Effect, Ending, Notice, Refused, hang_up};
use crate::error::HangupCause;
use crate::units::LegId;

/// Ring time of the parker when the party has not been picked up.
const RETURN_RING: Duration = Duration::from_secs(30);

/// Reason why a party is no longer parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unparked {
    /// The party was picked up.
    PickedUp,
    /// The party was not picked up, and has been returned to the parker.
    Returned,
    /// The party was not picked up, and the parker could not be reached or was not to be called.
    GivenUp,
    /// The party hung up, or the call ended.
    Ended,
}

/// The parked party, and the leg that is on its way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parked {
    pub(super) leg: LegId,
    /// Role of the parker, which the next leg takes over.
    role: LegRole,
    until: Instant,
    /// The parker, who is called when the party is not picked up.
    back: Option<Destination>,
    comes: Option<(LegId, Unparked)>,
}

impl Parked {
    /// Returns when the party's time ends; `None` while a leg is on its way.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.comes.is_none().then_some(self.until)
    }
}

impl Call {
    /// Returns whether this leg is parked.
    pub(super) fn is_parked(&self, id: LegId) -> bool {
        self.parked.as_ref().is_some_and(|parked| parked.leg == id)
    }

    /// Returns the role of the parker, which the leg that picks the party up takes over.
    pub fn parker_role(&self) -> Option<LegRole> {
        self.parked.as_ref().map(|parked| parked.role)
    }

    pub(super) fn check_park(&self, by: LegId) -> Result<(), Refused> {
        if self.may_give_partner(by) { Ok(()) } else { Err(Refused::NotAlone) }
    }

    pub(super) fn check_pick_up(&self) -> Result<(), Refused> {
        match &self.parked {
            None => Err(Refused::NotParked),
            Some(Parked { comes: Some((_, Unparked::Returned)), .. }) => Err(Refused::Returns),
            Some(Parked { comes: Some(_), .. }) => Err(Refused::PickedUp),
            Some(_) if self.legs.len() >= LEGS_AT_ONCE || self.next_leg >= self.end_of_legs => Err(Refused::Full),
            Some(_) => Ok(()),
        }
    }

    pub(super) fn on_park(
        &mut self,
        by: LegId,
        (wait, back): (Duration, Option<Destination>),
        now: Instant,
    ) -> Vec<Effect> {
        let Some(leg) = self.partner(by) else { return Vec::new() };
        let mut effects = self.let_all_go();
        let Some(parker) = self.remove(by) else { return effects };
        self.targets = None;
        let until = now.checked_add(wait).unwrap_or(now);
        self.parked = Some(Parked { leg, role: parker.role, until, back, comes: None });
        effects.extend(hang_up(&parker, &HangupCause::Requested.into()));
        effects.push(Effect::Forget(by));
        effects.extend(self.end_holds_beside(by));
        effects.push(Effect::Tell(Notice::Parked { leg, by, wait }));
        effects
    }

    pub(super) fn on_pick_up(&mut self, to: Destination, ring: Option<Duration>, now: Instant) -> Vec<Effect> {
        self.come_for_parked(to, ring, Unparked::PickedUp, now)
    }

    /// Answers the caller who picks the party up.
    pub(super) fn on_pick_up_by_caller(&mut self) -> Vec<Effect> {
        let Some(role) = self.parker_role() else { return Vec::new() };
        let Some(id) = self.enter(role, LegPhase::Offered { early: false }, Part::Added) else { return Vec::new() };
        if let Some(parked) = &mut self.parked {
            parked.comes = Some((id, Unparked::PickedUp));
        }
        vec![Effect::Answer(id)]
    }

    /// Calls a leg for the parked party; nothing happens when the call has no room for another leg.
    fn come_for_parked(&mut self, to: Destination, ring: Option<Duration>, why: Unparked, now: Instant) -> Vec<Effect> {
        let Some((by, role)) = self.parked.as_ref().map(|parked| (parked.leg, parked.role)) else { return Vec::new() };
        let phase = self.wanted(&to, ring, now);
        let Some(id) = self.enter(role, phase, Part::Added) else { return Vec::new() };
        if let Some(parked) = &mut self.parked {
            parked.comes = Some((id, why));
        }
        vec![Effect::Ask { leg: id, by, to }]
    }

    /// Ends the parking when the leg that was called for the parked party is up.
    pub(super) fn on_comer_up(&mut self, id: LegId) -> Vec<Effect> {
        match self.parked.as_ref().and_then(|parked| parked.comes) {
            Some((comer, why)) if comer == id => self.unpark(why),
            _ => Vec::new(),
        }
    }

    /// Handles an added leg, perhaps one for the parked party, that failed or left before its answer.
    pub(super) fn on_comer_gone(&mut self, leg: &Leg, ending: &Ending) -> Vec<Effect> {
        let Some(parked) = &mut self.parked else { return Vec::new() };
        match parked.comes {
            Some((id, Unparked::Returned)) if id == leg.id => self.give_up_parked(ending),
            Some((id, _)) if id == leg.id => {
                parked.comes = None;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Returns the party to the parker when it has not been picked up in time.
    pub(super) fn on_parked_too_long(&mut self, now: Instant) -> Vec<Effect> {
        let back = self.parked.as_mut().and_then(|parked| parked.back.take());
        let effects = back.map(|to| self.come_for_parked(to, Some(RETURN_RING), Unparked::Returned, now));
        effects
            .filter(|effects| !effects.is_empty())
            .unwrap_or_else(|| self.give_up_parked(&HangupCause::NoAnswer.into()))
    }

    /// Gives up: no further leg is called for the party.
    fn give_up_parked(&mut self, ending: &Ending) -> Vec<Effect> {
        let mut effects = self.unpark(Unparked::GivenUp);
        effects.extend(match self.legs.iter().any(|leg| leg.is_party() && leg.program) {
            true => self.return_to_program(),
            false => self.end(ending),
        });
        effects
    }

    /// Ends the parking for this reason.
    pub(super) fn unpark(&mut self, why: Unparked) -> Vec<Effect> {
        let notice = |Parked { leg, .. }| Effect::Tell(Notice::Unparked { leg, why });
        self.parked.take().map(notice).into_iter().collect()
    }
}
