//! Legs that nothing is heard of for a while: a page that is loaded anew, a network that is changed.
//!
//! ```text
//!   Lost ─▶ the other leg hears that it waits ─┬─ Back ─────────────▶ joined again
//!                                               ├─ Replace, answered ─▶ joined with what took its place
//!                                               └─ LostTimeout ───────▶ the call ends
//! ```
//!
//! Not here: how it is known that a leg is lost (the engine: no connection and no sound, or broken media).

use super::{Call, Effect, LegPhase, Side, WaitingSound};
use crate::error::HangupCause;

impl Call {
    pub(super) fn on_lost(&mut self, side: Side) -> Vec<Effect> {
        let up = side != Side::Third && self.leg(side) == Some(LegPhase::Up);
        if !self.is_talking() || !up || self.lost.is_some() {
            return Vec::new();
        }
        self.lost = Some(side);
        let mut effects = self.wait_for_lost();
        effects.push(Effect::ArmLostTimer);
        effects
    }

    pub(super) fn on_back(&mut self, side: Side) -> Vec<Effect> {
        if self.lost != Some(side) {
            return Vec::new();
        }
        let waits = !self.wait_for_lost().is_empty();
        self.lost = None;
        match waits {
            true => vec![Effect::DisarmLostTimer, Effect::Join],
            false => vec![Effect::DisarmLostTimer],
        }
    }

    pub(super) fn on_lost_timeout(&mut self) -> Vec<Effect> {
        if self.lost.is_some() { self.end(HangupCause::MediaTimeout) } else { Vec::new() }
    }

    /// Somebody has taken the place of `side`, which may have been lost.
    pub(super) fn found(&mut self, side: Side) -> Option<Effect> {
        self.lost.take_if(|lost| *lost == side).map(|_| Effect::DisarmLostTimer)
    }

    /// What the other leg hears while one is lost; while it waits for a transfer it hears that already.
    pub(super) fn wait_for_lost(&self) -> Vec<Effect> {
        let Some(lost) = self.lost else { return Vec::new() };
        let hears = lost.other();
        let up = self.leg(hears) == Some(LegPhase::Up);
        if up && self.transferor().is_none() { vec![Effect::Wait(hears, WaitingSound::Hold)] } else { Vec::new() }
    }
}
