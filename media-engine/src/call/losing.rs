//! Legs that fall silent for a while (a page that is reloaded, a network that changes), and legs whose media dies.
//!
//! ```text
//!   Lost ─▶ the other leg hears that it waits ─┬─ Back ─────────────▶ joined again
//!                                               ├─ Replace, answered ─▶ joined with the leg that took its place
//!                                               └─ time has passed ───▶ it is hung up, and the call ends unless two others talk
//! ```
//!
//! Not here: how a lost leg is recognised (the engine: no connection and no sound, or broken media).

use std::time::Instant;

use super::leg::Leg;
use super::{Call, Effect, Notice};
use crate::error::HangupCause;
use crate::units::LegId;

impl Call {
    pub(super) fn on_lost(&mut self, id: LegId, now: Instant) -> Vec<Effect> {
        let until = now + self.timing.lost;
        let none_is_lost = self.legs.iter().all(|leg| leg.lost.is_none());
        let is_talking = self.is_talking();
        match self.leg_mut(id) {
            Some(leg) if is_talking && none_is_lost && leg.is_party() && leg.is_up() => {
                leg.lost = Some(until);
                vec![Effect::Tell(Notice::Lost(id))]
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn on_back(&mut self, id: LegId) -> Vec<Effect> {
        if let Some(leg) = self.leg_mut(id) {
            leg.lost = None;
        }
        Vec::new()
    }

    /// A browser that hangs up closes its media before it sends BYE.
    pub(super) fn on_media_gone(&mut self, id: LegId, now: Instant) -> Vec<Effect> {
        let until = now + self.timing.goodbye;
        if let Some(leg) = self.leg_mut(id).filter(|leg| leg.is_present()) {
            leg.goodbye.get_or_insert(until);
        }
        Vec::new()
    }

    /// A leg that has not answered, or was replaced, ends only by its own time-outs.
    pub(super) fn on_media_dead(&mut self, id: LegId, now: Instant) -> Vec<Effect> {
        match self.leg(id).is_some_and(Leg::is_present) {
            true => self.put_out(id, HangupCause::MediaTimeout, now),
            false => Vec::new(),
        }
    }
}
