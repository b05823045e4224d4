//! Legs that overhear others, such as a supervisor of a call that stays unchanged.
//!
//! The overheard sound goes through a tap beside the path to the peer, so that a relay stays a relay.

use std::time::Instant;

use super::{Slot, Switch};
use crate::audio::Ears;
use crate::units::LegId;

impl Switch {
    /// Makes a leg overhear exactly these other legs from now on. Legs that do not exist, and the leg itself, are left
    /// out. While it has an application, a bridge or a seat in a conference, it hears that instead.
    pub(super) fn overhear(&mut self, id: LegId, of: &[LegId], now: Instant) {
        let Some(&slot) = self.by_id.get(&id) else {
            self.counters.commands_void += 1;
            return;
        };
        let mut ears = self.leg_mut(slot).hearing.ears.take().unwrap_or_default();
        let mut changed: Vec<LegId> = ears.of().filter(|leg| !of.contains(leg)).collect();
        ears.retain(of);
        for &other in of {
            let Some(&speaker) = self.by_id.get(&other).filter(|_| other != id) else { continue };
            if !ears.of().any(|known| known == other) {
                let tap = ears.overhear(other);
                self.leg_mut(speaker).speech.overheard.push(tap);
                changed.push(other);
            }
        }
        self.leg_mut(slot).hearing.ears = (ears.of().count() > 0).then_some(ears);
        self.refresh(slot, now);
        self.refresh_all(changed, now);
    }

    /// Releases the ears of a listener that has ended: the legs that it overheard need not be decoded for it any more.
    pub(super) fn forget_ears(&mut self, ears: Option<Ears>, now: Instant) {
        let Some(ears) = ears else { return };
        let speakers = ears.of().collect();
        // The taps end together with their readers.
        drop(ears);
        self.refresh_all(speakers, now);
    }

    fn refresh_all(&mut self, legs: Vec<LegId>, now: Instant) {
        let slots: Vec<Slot> = legs.iter().filter_map(|leg| self.by_id.get(leg)).copied().collect();
        for slot in slots {
            self.refresh(slot, now);
        }
    }
}
