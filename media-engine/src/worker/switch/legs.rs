//! Opening, moving, guarding and removing legs.
//!
//! Invariants: an identity exists once; a slot is reused after its leg has ended. A leg that is worked on is taken out
//! of its slot, so that the work can access the switch around it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Instant, SystemTime};

use super::leg::Leg;
use super::transport::{Browser, Transport};
use super::{Outcome, PHASES, Slot, Switch, TICK, panic_text};
use crate::leg::rtp::RtpLeg;
use crate::leg::webrtc::WebRtcPeer;
use crate::sdp;
use crate::units::LegId;
use crate::worker::command::{LegQuality, WorkerEventKind};

/// Highest effort of encoders.
const MAX_EFFORT: u8 = 10;

/// Returns the phase in which a leg ticks at first: spread over the slots, and independent of other legs, because a
/// replay lacks browser legs.
fn first_phase(slot: Slot) -> usize {
    slot.index() * 7 % PHASES
}

/// A plain RTP leg on its way from one switch to another, with its streams, keys, numbering and statistics. Dropping it
/// ends the leg without a message to its far end.
pub struct MovingLeg(Box<Leg>);

impl std::fmt::Debug for MovingLeg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("MovingLeg").field(&self.0.id).finish()
    }
}

impl Switch {
    /// Opens a plain RTP leg.
    pub(super) fn open_rtp(&mut self, id: LegId, audio: Option<sdp::Audio>, nat: bool, now: Instant) -> Outcome {
        if self.is_taken(id) {
            return Outcome::Done;
        }
        let cname = format!("{:012x}@tandem", self.random.next() & 0xffff_ffff_ffff);
        let rtp = RtpLeg::new(self.random.next() as u32, &cname, nat, now, self.wall_at(now));
        let slot = self.insert(id, Transport::Rtp(Box::new(rtp)), now);
        if let Some(audio) = audio {
            self.rtp_update(id, audio, now);
        }
        Outcome::Opened(slot)
    }

    /// Opens a browser leg; in a replay, which has no browser, a placeholder.
    pub(super) fn open_browser(&mut self, id: LegId, peer: Option<Box<WebRtcPeer>>, now: Instant) -> Outcome {
        if self.is_taken(id) {
            return Outcome::Done;
        }
        let Some(mut peer) = peer else { return Outcome::Opened(self.insert_absent(id, now)) };
        peer.set_wall(now, self.wall_at(now));
        let slot = self.insert(id, Transport::WebRtc(Box::new(Browser::new(*peer, now))), now);
        self.connecting.push(slot);
        self.on_webrtc_negotiated(slot, now);
        Outcome::Opened(slot)
    }

    /// Removes a plain RTP leg for another switch, after separating it from all other legs.
    pub(super) fn detach(&mut self, id: LegId, now: Instant) -> Outcome {
        let slot = self.by_id.get(&id).copied();
        let Some(slot) = slot.filter(|slot| !self.leg_mut(*slot).transport.is_browser()) else {
            self.counters.commands_void += 1;
            return Outcome::Done;
        };
        self.unseat(slot, now);
        self.part(slot, now);
        let Some(mut leg) = self.legs.get_mut(slot.index()).and_then(Option::take) else { return Outcome::Done };
        self.forget(slot, id, leg.timing.phase);
        self.end_overhearing(&mut leg, now);
        leg.move_out();
        Outcome::Detached(MovingLeg(leg), slot)
    }

    /// Takes over a leg that left another switch; in a replay, which does not have it, a placeholder.
    pub(super) fn attach(&mut self, id: LegId, moving: Option<MovingLeg>, now: Instant) -> Outcome {
        if self.is_taken(id) {
            return Outcome::Done;
        }
        let slot = self.insert_absent(id, now);
        if let Some(MovingLeg(mut leg)) = moving {
            leg.move_in(slot, first_phase(slot), self.effort);
            self.legs[slot.index()] = Some(leg);
            self.refresh(slot, now);
        }
        Outcome::Opened(slot)
    }

    /// Inserts a placeholder for a leg that is not available.
    fn insert_absent(&mut self, id: LegId, now: Instant) -> Slot {
        let absent = RtpLeg::new(0, "absent", false, now, self.wall_at(now));
        self.insert(id, Transport::Rtp(Box::new(absent)), now)
    }

    /// Whether a leg with this identity exists; if so, the attempt is counted.
    fn is_taken(&mut self, id: LegId) -> bool {
        let taken = self.by_id.contains_key(&id);
        self.counters.commands_void += u64::from(taken);
        taken
    }

    /// Applies the negotiated audio of a plain RTP leg.
    pub(super) fn rtp_update(&mut self, id: LegId, audio: sdp::Audio, now: Instant) {
        self.with_leg(id, now, |switch, leg| {
            if leg.on_audio(audio, now) {
                switch.outbox.event(leg.slot, leg.id, WorkerEventKind::Connected);
            }
        });
    }

    /// Ends a leg: sends RTCP BYE, then `Failed` if there is a reason, then `Closed`.
    pub(super) fn end(&mut self, id: LegId, why: Option<String>, now: Instant) {
        match self.by_id.get(&id) {
            Some(&slot) => self.remove(slot, why, now),
            None => self.counters.commands_void += 1,
        }
    }

    /// Connects two legs so that they hear each other.
    pub(super) fn bridge(&mut self, a: LegId, b: LegId, now: Instant) {
        let (Some(&a), Some(&b)) = (self.by_id.get(&a), self.by_id.get(&b)) else {
            self.counters.commands_void += 1;
            return;
        };
        if a == b {
            self.counters.commands_void += 1;
            return;
        }
        for slot in [a, b] {
            self.part(slot, now);
            self.unseat(slot, now);
        }
        self.leg_mut(a).peer = Some(b);
        self.leg_mut(b).peer = Some(a);
        self.refresh(a, now);
    }

    /// Sets the effort of present and future encoders that offer a choice.
    pub(super) fn set_effort(&mut self, effort: u8) {
        self.effort = effort.min(MAX_EFFORT);
        for leg in self.legs.iter_mut().flatten() {
            leg.hearing.set_effort(self.effort);
        }
    }

    pub(super) fn wall_at(&self, now: Instant) -> SystemTime {
        self.born.1 + now.saturating_duration_since(self.born.0)
    }

    pub(super) fn insert(&mut self, id: LegId, transport: Transport, now: Instant) -> Slot {
        let slot = self.free.pop().unwrap_or(Slot(self.legs.len() as u32));
        if slot.index() == self.legs.len() {
            self.legs.push(None);
            self.rests.push(false);
            // Legs move between phases on the packet path, which must not allocate.
            for phase in &mut self.phases {
                phase.slots.reserve(self.legs.len() - phase.slots.len());
            }
        }
        let phase = first_phase(slot);
        let leg = Leg::new(id, slot, phase, transport, self.random.next(), now);
        self.rests[slot.index()] = false;
        self.legs[slot.index()] = Some(Box::new(leg));
        self.enter_phase(slot, phase, now);
        self.by_id.insert(id, slot);
        slot
    }

    fn enter_phase(&mut self, slot: Slot, index: usize, now: Instant) {
        let phase = &mut self.phases[index];
        if phase.slots.is_empty() {
            while phase.due <= now {
                phase.due += TICK;
                // A phase that was empty for long catches up in one step.
                let behind = now.saturating_duration_since(phase.due);
                phase.due += TICK * (behind.as_nanos() / TICK.as_nanos()) as u32;
            }
        }
        phase.slots.push(slot);
    }

    /// Moves a leg that is being worked on to another phase.
    pub(super) fn rephase(&mut self, leg: &mut Leg, index: usize, now: Instant) {
        let before = std::mem::replace(&mut leg.timing.phase, index);
        if before != index {
            self.phases[before].slots.retain(|&other| other != leg.slot);
            self.enter_phase(leg.slot, index, now);
        }
    }

    /// Returns the phase whose tick is the first at or after `at`.
    pub(super) fn phase_at(&self, at: Instant) -> usize {
        let since = at.saturating_duration_since(self.born.0).as_micros();
        (since.div_ceil(1_000) % PHASES as u128) as usize
    }

    /// Returns the leg in a slot. Only for slots that were just found to be occupied.
    pub(super) fn leg_mut(&mut self, slot: Slot) -> &mut Leg {
        self.legs[slot.index()].as_mut().expect("the slot was looked up in this call")
    }

    /// Changes a leg that is named by its identity, then updates the paths around it.
    pub(super) fn with_leg(&mut self, id: LegId, now: Instant, change: impl FnOnce(&mut Switch, &mut Leg)) {
        let Some(&slot) = self.by_id.get(&id) else {
            self.counters.commands_void += 1;
            return;
        };
        self.guarded(slot, now, change);
        self.refresh(slot, now);
    }

    /// Takes a leg out of its slot, works on it and puts it back; a panic ends the leg and its bridged peer.
    pub(super) fn guarded(&mut self, slot: Slot, now: Instant, work: impl FnOnce(&mut Switch, &mut Leg)) {
        let Some(mut leg) = self.legs.get_mut(slot.index()).and_then(Option::take) else { return };
        let (id, peer, phase, seat) = (leg.id, leg.peer, leg.timing.phase, leg.seat);
        // After a panic no half-changed state is used: the leg is dropped, and the switch's parts are changed by single
        // assignments.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            work(self, &mut leg);
            leg
        }));
        match outcome {
            Ok(leg) => self.legs[slot.index()] = Some(leg),
            Err(panic) => {
                self.counters.panics += 1;
                self.forget(slot, id, phase);
                if let Some(seat) = seat {
                    self.vacate(slot, seat, now);
                }
                let why = format!("a panic in the media path: {}", panic_text(panic.as_ref()));
                self.outbox.event(slot, id, WorkerEventKind::Failed(why.clone()));
                self.outbox.event(slot, id, WorkerEventKind::Closed(LegQuality::default()));
                match (peer, seat) {
                    (Some(peer), None) => self.remove(peer, Some(why), now),
                    (Some(peer), Some(_)) => self.unlink(peer, now),
                    (None, _) => {}
                }
            }
        }
    }

    pub(super) fn remove(&mut self, slot: Slot, why: Option<String>, now: Instant) {
        self.unseat(slot, now);
        self.part(slot, now);
        let Some(mut leg) = self.legs.get_mut(slot.index()).and_then(Option::take) else { return };
        let (id, phase) = (leg.id, leg.timing.phase);
        let Switch { outbox, shared, .. } = self;
        let goodbye = catch_unwind(AssertUnwindSafe(|| leg.say_goodbye(outbox, shared, now)));
        self.counters.panics += u64::from(goodbye.is_err());
        self.forget(slot, id, phase);
        if let Some(why) = why {
            self.outbox.event(slot, id, WorkerEventKind::Failed(why));
        }
        self.outbox.event(slot, id, WorkerEventKind::Closed(goodbye.unwrap_or_default()));
        self.end_overhearing(&mut leg, now);
    }

    pub(super) fn forget(&mut self, slot: Slot, id: LegId, phase: usize) {
        self.by_id.remove(&id);
        self.by_ufrag.retain(|_, s| *s != slot);
        self.by_source.retain(|_, s| *s != slot);
        self.phases[phase].slots.retain(|&other| other != slot);
        self.connecting.retain(|&other| other != slot);
        self.free.push(slot);
    }

    pub(super) fn part(&mut self, slot: Slot, now: Instant) {
        let Some(Some(leg)) = self.legs.get_mut(slot.index()) else { return };
        let Some(peer) = leg.peer.take() else { return };
        self.unlink(peer, now);
        self.refresh(slot, now);
    }

    pub(super) fn unlink(&mut self, slot: Slot, now: Instant) {
        if let Some(Some(leg)) = self.legs.get_mut(slot.index()) {
            leg.peer = None;
            self.refresh(slot, now);
        }
    }

    /// Completes the work on a leg: removes it if its transport has ended, and updates the paths that the work made
    /// stale.
    pub(super) fn settle(&mut self, slot: Slot, now: Instant) {
        let over = self.legs.get_mut(slot.index()).and_then(|leg| leg.as_mut()?.over.take());
        if let Some(why) = over {
            self.remove(slot, Some(why), now);
        }
        while let Some(slot) = self.stale.pop() {
            self.refresh(slot, now);
        }
    }
}
