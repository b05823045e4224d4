//! Legs that nothing is heard of for a while (a page that is loaded anew, a network that is changed), and legs whose media dies.
//!
//! ```text
//!   Lost ─▶ the other leg hears that it waits ─┬─ Back ─────────────▶ joined again
//!                                               ├─ Replace, answered ─▶ joined with what took its place
//!                                               └─ time is over ──────▶ it is hung up, and the call ends when nobody else talks
//! ```
//!
//! Not here: how it is known that a leg is lost (the engine: no connection and no sound, or broken media).

use std::time::Instant;

use super::leg::Leg;
use super::{Call, Effect, Notice};
use crate::error::HangupCause;
use crate::units::LegId;

impl Call {
    pub(super) fn on_lost(&mut self, id: LegId, now: Instant) -> Vec<Effect> {
        let until = now + self.timing.lost;
        let nobody_is = self.legs.iter().all(|leg| leg.lost.is_none());
        let is_talking = self.is_talking();
        match self.leg_mut(id) {
            Some(leg) if is_talking && nobody_is && leg.is_party() && leg.is_up() => {
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

    /// A browser that hangs up closes its media first.
    pub(super) fn on_media_gone(&mut self, id: LegId, now: Instant) -> Vec<Effect> {
        let until = now + self.timing.goodbye;
        if let Some(leg) = self.leg_mut(id).filter(|leg| leg.is_present()) {
            leg.goodbye.get_or_insert(until);
        }
        Vec::new()
    }

    /// A leg that has not answered, or was replaced, is dead by its own clocks alone.
    pub(super) fn on_media_dead(&mut self, id: LegId, now: Instant) -> Vec<Effect> {
        match self.leg(id).is_some_and(Leg::is_present) {
            true => self.put_out(id, HangupCause::MediaTimeout, now),
            false => Vec::new(),
        }
    }
}
