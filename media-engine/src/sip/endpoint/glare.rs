//! Offers from both sides at once (RFC 3261 section 14.1).
//!
//! ```text
//!   our re-INVITE ── 491 ──▶ waits 2.1 s to 4 s (the call is ours) or 0 to 2 s ──▶ re-INVITE again
//!                                  └─ the peer's offer is agreed meanwhile ─▶ 491 is reported to the engine
//! ```
//! A refusal is reported to the engine only if a retry would be useless: its offer is outdated, or was refused with 491
//! three times.

use std::time::{Duration, Instant};

use super::Endpoint;
use super::command::DialogId;
use super::event::SipEvent;
use super::ids::ClientId;
use super::legs::{LegState, OurOffer, Talking};
use super::outbox::Timeout;

/// How often an offer is sent.
const MAX_TRIES: u8 = 3;

impl OurOffer {
    /// Creates an offer of the engine.
    pub(super) fn of_engine(sdp: String) -> OurOffer {
        OurOffer { sdp, sent: None, tries: 0, refreshes: false }
    }

    /// Creates an offer that repeats the present session to keep it alive.
    pub(super) fn refresh(sdp: String) -> OurOffer {
        OurOffer { refreshes: true, ..OurOffer::of_engine(sdp) }
    }
}

impl Talking {
    /// Returns whether an offer of ours could be sent now.
    pub(super) fn may_offer(&self) -> bool {
        self.peer_offer.is_none() && self.our_offer.is_none() && self.unacknowledged.is_none()
    }

    /// Returns whether our offer has been sent and not answered.
    pub(super) fn has_offered(&self) -> bool {
        self.our_offer.as_ref().is_some_and(|offer| offer.sent.is_some())
    }
}

impl Endpoint {
    /// Handles a 491: the offer waits for its next try, unless it was tried often enough.
    pub(super) fn offer_again_later(&mut self, id: DialogId, mut offer: OurOffer, now: Instant) {
        if offer.tries >= MAX_TRIES {
            return self.offer_failed(id, &offer, 491);
        }
        let tens = if id.is_outgoing() { 210 + self.tokens.below(191) } else { self.tokens.below(201) };
        offer.sent = None;
        let Some(mut leg) = self.legs.take(id) else { return };
        if let LegState::Talking(talking) = &mut leg.state {
            talking.our_offer = Some(offer);
        }
        let mut timer = leg.offer_timer.take();
        self.out.rearm_after(&mut timer, Duration::from_millis(10) * tens, now, Timeout::Offer(id));
        leg.offer_timer = timer;
        self.legs.put(leg);
    }

    /// Sends the next try.
    pub(super) fn offer_timer(&mut self, id: DialogId, now: Instant) {
        let Some(leg) = self.legs.get_mut(id) else { return };
        leg.offer_timer = None;
        let open = leg.is_open();
        let Some(offer) =
            self.legs.talking(id).and_then(|talking| talking.our_offer.take_if(|offer| offer.sent.is_none()))
        else {
            return;
        };
        if !open {
            return;
        }
        if !self.legs.talking(id).is_some_and(|talking| talking.may_offer()) {
            return self.offer_again_later(id, OurOffer { tries: offer.tries.saturating_add(1), ..offer }, now);
        }
        if !self.has_room() {
            return self.offer_failed(id, &offer, 503);
        }
        self.send_offer(id, offer, now);
    }

    /// Handles the lost connection of our re-INVITE: the session stays unchanged.
    pub(super) fn offer_lost_flow(&mut self, id: DialogId, client: ClientId) {
        let ours = |offer: &mut OurOffer| offer.sent.is_some_and(|(sent, _)| sent == client);
        if let Some(offer) = self.legs.talking(id).and_then(|talking| talking.our_offer.take_if(ours)) {
            self.offer_failed(id, &offer, 503);
        }
    }

    /// Handles an agreed offer of the peer while ours waited: ours was made for a session that no longer exists.
    pub(super) fn outdate_offer(&mut self, id: DialogId) {
        let waiting = self.legs.talking(id).and_then(|talking| talking.our_offer.take_if(|offer| offer.sent.is_none()));
        if let Some(offer) = waiting {
            self.offer_failed(id, &offer, 491);
        }
    }

    /// Reports the refusal of an offer to the engine, unless it was only a refresh.
    pub(super) fn offer_failed(&mut self, id: DialogId, offer: &OurOffer, status: u16) {
        if !offer.refreshes {
            self.event(SipEvent::ReinviteFailed { dialog: id, status });
        }
    }
}
