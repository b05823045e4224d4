//! A party that is parked: it waits with music, alone, until somebody picks it up.
//!
//! ```text
//!   Park ─▶ the parker is hung up; the party waits ─┬─ PickUp ─▶ a leg is called ─ answers ─▶ both talk
//!                                                   │               └ fails ─▶ it waits on
//!                                                   └─ time is over ─▶ the parker is called ─ answers ─▶ both talk
//!                                                                      └ fails, or nobody is to be called ─▶ the call ends
//! ```
//!
//! - One leg at a time comes for a parked party. Its time does not end while a leg is on its way.
//! - A party that a call program has goes back to its program in place of the end.
//! - Not here: slots, which are an organization's (the engine).

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::leg::{Leg, LegRole, Part};
use super::verbs::LEGS_AT_ONCE;
use super::{Call, Destination, Effect, Ending, Notice, Refused, hang_up};
use crate::error::HangupCause;
use crate::units::LegId;

/// How long the parker rings when nobody has picked the party up.
const RETURN_RING: Duration = Duration::from_secs(30);

/// What became of a parked party.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unparked {
    /// Somebody picked it up.
    PickedUp,
    /// Nobody did, and the parker has it back.
    Returned,
    /// Nobody did, and the parker could not be reached or was not to be called.
    GivenUp,
    /// It hung up, or the call ended.
    Ended,
}

/// The parked party, and who comes for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parked {
    pub(super) leg: LegId,
    /// The parker's role, which whoever comes takes over.
    role: LegRole,
    until: Instant,
    /// The parker, who is called when nobody has come.
    back: Option<Destination>,
    comes: Option<(LegId, Unparked)>,
}

impl Parked {
    /// When its time is over; nobody looks at it while somebody comes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.comes.is_none().then_some(self.until)
    }
}

impl Call {
    /// Whether this leg is parked.
    pub(super) fn is_parked(&self, id: LegId) -> bool {
        self.parked.as_ref().is_some_and(|parked| parked.leg == id)
    }

    /// The role of whoever parked the party, which whoever comes for it takes over.
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

    /// Somebody is to be called for the parked party; nothing happens when the call has no room for another leg.
    fn come_for_parked(&mut self, to: Destination, ring: Option<Duration>, why: Unparked, now: Instant) -> Vec<Effect> {
        let Some((by, role)) = self.parked.as_ref().map(|parked| (parked.leg, parked.role)) else { return Vec::new() };
        let phase = self.wanted(&to, ring, now);
        let Some(id) = self.enter(role, phase, Part::Added) else { return Vec::new() };
        if let Some(parked) = &mut self.parked {
            parked.comes = Some((id, why));
        }
        vec![Effect::Ask { leg: id, by, to }]
    }

    /// Whoever was called for the parked party is there.
    pub(super) fn on_comer_up(&mut self, id: LegId) -> Vec<Effect> {
        match self.parked.as_ref().and_then(|parked| parked.comes) {
            Some((comer, why)) if comer == id => self.unpark(why),
            _ => Vec::new(),
        }
    }

    /// A leg that was added, perhaps for the parked party, could not be reached, or has gone before its answer.
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

    /// Nobody has picked it up in time.
    pub(super) fn on_parked_too_long(&mut self, now: Instant) -> Vec<Effect> {
        let back = self.parked.as_mut().and_then(|parked| parked.back.take());
        let effects = back.map(|to| self.come_for_parked(to, Some(RETURN_RING), Unparked::Returned, now));
        effects
            .filter(|effects| !effects.is_empty())
            .unwrap_or_else(|| self.give_up_parked(&HangupCause::NoAnswer.into()))
    }

    /// Nobody comes any more.
    fn give_up_parked(&mut self, ending: &Ending) -> Vec<Effect> {
        let mut effects = self.unpark(Unparked::GivenUp);
        effects.extend(match self.legs.iter().any(|leg| leg.is_party() && leg.program) {
            true => self.return_to_program(),
            false => self.end(ending),
        });
        effects
    }

    /// It is parked no more.
    pub(super) fn unpark(&mut self, why: Unparked) -> Vec<Effect> {
        let told = |Parked { leg, .. }| Effect::Tell(Notice::Unparked { leg, why });
        self.parked.take().map(told).into_iter().collect()
    }
}
