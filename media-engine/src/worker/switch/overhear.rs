//! Legs that overhear others, such as a supervisor of a call that stays unchanged.
//!
//! An overheard leg is decoded beside the path to its peer, so that a relay stays a relay. Each of its frames is pushed into the ears of
//! its listeners in its own tick.
//!
//! Invariant: a speaker lists the slots of its listeners, and their ears name the speaker. Whichever of them goes away first, the other
//! side forgets it ([`Switch::end_overhearing`]).

use std::time::Instant;

use super::leg::{Leg, Speech};
use super::{Slot, Switch};
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
        self.take_off(slot, &changed);
        ears.retain(of);
        for &other in of {
            let Some(&speaker) = self.by_id.get(&other).filter(|_| other != id) else { continue };
            if !ears.of().any(|known| known == other) {
                ears.overhear(other);
                let overheard = &mut self.leg_mut(speaker).speech.overheard;
                // A listener that a panic took away may have had this slot.
                if !overheard.contains(&slot) {
                    overheard.push(slot);
                }
                changed.push(other);
            }
        }
        self.leg_mut(slot).hearing.ears = (ears.of().count() > 0).then_some(ears);
        self.refresh(slot, now);
        self.refresh_all(changed, now);
    }

    /// Ends what a leg that goes away overhears, and what others overhear of it. Speakers that nobody overhears any more are not decoded
    /// for it.
    pub(super) fn end_overhearing(&mut self, leg: &mut Leg, now: Instant) {
        for listener in std::mem::take(&mut leg.speech.overheard) {
            if let Some(Some(listener)) = self.legs.get_mut(listener.index()) {
                listener.hearing.ears.take_if(|ears| !ears.forget(leg.id));
            }
        }
        let Some(ears) = leg.hearing.ears.take() else { return };
        let speakers: Vec<LegId> = ears.of().collect();
        self.take_off(leg.slot, &speakers);
        self.refresh_all(speakers, now);
    }

    /// Pushes the frame that a leg has just said into the ears of its listeners. A listener that a panic took away without
    /// [`Switch::end_overhearing`] is taken off the list here.
    pub(super) fn let_overhear(&mut self, leg: &mut Leg) {
        if leg.speech.overheard.is_empty() || !leg.speech.is_decoded() {
            return;
        }
        let Speech { frame, overheard, .. } = &mut leg.speech;
        let before = overheard.len();
        overheard.retain(|listener| {
            let listener = self.legs.get_mut(listener.index()).and_then(Option::as_mut);
            let ears = listener.and_then(|listener| listener.hearing.ears.as_mut());
            ears.is_some_and(|ears| ears.push(leg.id, frame.rate, &frame.samples))
        });
        if overheard.len() < before {
            self.stale.push(leg.slot);
        }
    }

    /// Takes a listener off the lists of these speakers.
    fn take_off(&mut self, listener: Slot, speakers: &[LegId]) {
        for speaker in speakers {
            let slot = self.by_id.get(speaker).copied();
            if let Some(Some(leg)) = slot.and_then(|slot| self.legs.get_mut(slot.index())) {
                leg.speech.overheard.retain(|slot| *slot != listener);
            }
        }
    }

    fn refresh_all(&mut self, legs: Vec<LegId>, now: Instant) {
        let slots: Vec<Slot> = legs.iter().filter_map(|leg| self.by_id.get(leg)).copied().collect();
        for slot in slots {
            self.refresh(slot, now);
        }
    }
}
