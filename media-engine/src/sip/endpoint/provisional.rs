//! Provisional responses that we send, the PRACK requests for them, and offers of the caller before our answer.
//!
//! ```text
//!   Progress ─▶ `reliable` ─▶ 18x ── PRACK ──▶ the next one; a delayed Accept is sent
//!   UPDATE or PRACK with an offer ─▶ Reoffer ─▶ AcceptReinvite, RejectReinvite ─▶ its response
//! ```
//!
//! Not here: which responses are reliable, their order and repetition (`reliable`); reliable responses of a callee
//! (`early`).

use std::time::Instant;

use super::Endpoint;
use super::abilities::{ALLOW, SDP, SUPPORTED};
use super::command::DialogId;
use super::event::SipEvent;
use super::ids::ServerId;
use super::legs::{Leg, LegState, PeerOffer, Ringing};
use super::outbox::Timeout;
use super::reliable::{Due, Next, RAck, Step};
use super::requests::{BadBody, session_description};
use crate::sip::flow::Flow;
use crate::sip::message::{Message, Method};
use crate::sip::write::{ResponseBuilder, ResponseHead};

impl Ringing {
    /// Returns whether a 2xx has to wait: for the PRACK of a session description, or for the engine's answer to an
    /// offer.
    pub(super) fn holds_back(&self) -> bool {
        self.peer_offer.is_some() || self.reliable.awaits_description()
    }

    /// Returns the time of the next action.
    fn deadline(&self) -> Instant {
        self.reliable.deadline().map_or(self.until, |at| at.min(self.until))
    }
}

impl Endpoint {
    /// Sends ringing or early media for the engine.
    pub(super) fn progress(&mut self, id: DialogId, status: u16, sdp: Option<String>, now: Instant) {
        let Some(ringing) = self.legs.ringing(id) else { return };
        if !(101..200).contains(&status) {
            return;
        }
        match ringing.reliable.progress(status, sdp, ringing.wants_offer) {
            Step::Nothing => {}
            Step::Overflow => self.out.overflow(),
            Step::Queued => self.send_next_progress(id, now),
            Step::Unreliably(sdp) => {
                let (server, contact) = (ringing.invite, ringing.dialog.contact.clone());
                self.send_progress(server, &contact, (status, sdp), None, now);
            }
        }
    }

    fn send_progress(
        &mut self,
        server: ServerId,
        contact: &str,
        (status, sdp): (u16, Option<String>),
        rseq: Option<u32>,
        now: Instant,
    ) -> Option<(Flow, Vec<u8>)> {
        let finish = |response: ResponseBuilder, head: &ResponseHead| {
            let response = response.record_routes(head).header("Contact", contact).header("Allow", ALLOW);
            let response = match rseq {
                Some(rseq) => response.header("Require", "100rel").header("RSeq", rseq),
                None => response,
            };
            match sdp {
                Some(sdp) => response.body(SDP, sdp),
                None => response,
            }
        };
        self.respond(server, status, None, finish, now)
    }

    /// Sends what is queued, unless a response waits for its PRACK.
    fn send_next_progress(&mut self, id: DialogId, now: Instant) {
        let Some(mut leg) = self.legs.take(id) else { return };
        if let LegState::Ringing(ringing) = &mut leg.state
            && let Some(Next { status, sdp, rseq }) = ringing.reliable.next()
        {
            let described = sdp.is_some();
            let sent = self.send_progress(ringing.invite, &ringing.dialog.contact, (status, sdp), Some(rseq), now);
            if let Some(sent) = sent {
                ringing.reliable.sent(sent, described, self.config.timers, now);
            }
        }
        self.watch_ringing(&mut leg, now);
        self.legs.put(leg);
    }

    /// Arms the leg's timer for a call that rings.
    pub(super) fn watch_ringing(&mut self, leg: &mut Leg, now: Instant) {
        let LegState::Ringing(ringing) = &leg.state else { return };
        let deadline = Some(ringing.deadline());
        self.out.rearm(&mut leg.timer, deadline, now, Timeout::Leg(leg.id));
    }

    /// Handles a ringing call's timer: the call was not answered, or a PRACK is late.
    pub(super) fn ringing_timer(&mut self, id: DialogId, now: Instant) {
        let give_up = self.config.timers.give_up();
        let Some(ringing) = self.legs.ringing(id) else { return };
        if ringing.until <= now {
            return self.end_ringing(id, 480, (None, Some("the call was not answered")), now);
        }
        match ringing.reliable.due(now, give_up) {
            Due::Nothing => {}
            Due::Repeat(reply, bytes) => self.transmit(reply, bytes),
            Due::GiveUp => return self.end_ringing(id, 504, (None, Some("no PRACK was received")), now),
        }
        let Some(mut leg) = self.legs.take(id) else { return };
        self.watch_ringing(&mut leg, now);
        self.legs.put(leg);
    }

    /// Handles a PRACK whose CSeq is in order.
    pub(super) fn receive_prack(&mut self, flow: &Flow, prack: &Message<'_>, id: DialogId, now: Instant) {
        let rack = RAck::of(prack);
        let meant = match self.legs.get_mut(id).map(|leg| &mut leg.state) {
            Some(LegState::Ringing(ringing)) => ringing.reliable.outstanding(ringing.cseq),
            Some(LegState::Talking(talking)) => talking.unpracked.take_if(|unpracked| Some(*unpracked) == rack),
            _ => None,
        };
        if rack.is_none() || meant != rack {
            return self.refuse_in_dialog(flow, prack, id, (481, "prack"), now);
        }
        let sdp = match session_description(prack) {
            Ok(sdp) => sdp,
            Err(BadBody(status)) => return self.refuse_in_dialog(flow, prack, id, (status, "body"), now),
        };
        let Some(ringing) = self.legs.ringing(id) else {
            return self.answer(flow, prack, self.response(flow, prack, 200), now);
        };
        let described = ringing.reliable.awaits_description();
        match (described && ringing.wants_offer, sdp) {
            (true, None) => self.refuse_in_dialog(flow, prack, id, (400, "prack_without_answer"), now),
            (true, Some(sdp)) => {
                self.answer(flow, prack, self.response(flow, prack, 200), now);
                self.event(SipEvent::ReinviteAnswered { dialog: id, sdp });
                self.provisional_acknowledged(id, now);
            }
            (false, None) => {
                self.answer(flow, prack, self.response(flow, prack, 200), now);
                self.provisional_acknowledged(id, now);
            }
            (false, Some(_)) if !(described || ringing.reliable.is_settled()) || self.full_for(flow).is_some() => {
                self.refuse_in_dialog(flow, prack, id, (488, "prack_offer"), now);
            }
            (false, Some(sdp)) => {
                let server = self.open_non_invite(flow, prack, Method::Prack, id);
                let Some(ringing) = self.legs.ringing(id) else { return };
                let session = ringing.session;
                ringing.peer_offer = Some(PeerOffer { server, cseq: 0, is_invite: false, session });
                self.event(SipEvent::Reoffer { dialog: id, sdp });
                self.provisional_acknowledged(id, now);
            }
        }
    }

    fn provisional_acknowledged(&mut self, id: DialogId, now: Instant) {
        let Some(ringing) = self.legs.ringing(id) else { return };
        ringing.reliable.acknowledged();
        match ringing.reliable.holds_answer() {
            true => self.send_held_answer(id, now),
            false => self.send_next_progress(id, now),
        }
    }

    /// Sends the engine's 2xx if nothing holds it back any more.
    pub(super) fn send_held_answer(&mut self, id: DialogId, now: Instant) {
        let Some(ringing) = self.legs.ringing(id).filter(|ringing| !ringing.holds_back()) else { return };
        if let Some(sdp) = ringing.reliable.release() {
            self.accept(id, sdp, now);
        }
    }

    /// Handles an UPDATE before our answer to the call (RFC 3311 section 5.2): with an offer only once the first one is
    /// settled.
    pub(super) fn receive_early_update(
        &mut self,
        flow: &Flow,
        update: &Message<'_>,
        id: DialogId,
        sdp: String,
        now: Instant,
    ) {
        let Some(ringing) = self.legs.ringing(id) else { return };
        let refusal = match &ringing.reliable {
            _ if ringing.peer_offer.is_some() => Some((500, "offer_pending")),
            reliable if reliable.is_settled() => None,
            reliable if ringing.wants_offer && reliable.is_described() => Some((491, "glare")),
            _ => Some((500, "invite_pending")),
        };
        if let Some(refusal) = refusal {
            return self.refuse_in_dialog(flow, update, id, refusal, now);
        }
        let session = ringing.session;
        let server = self.open_non_invite(flow, update, Method::Update, id);
        if let Some(ringing) = self.legs.ringing(id) {
            ringing.peer_offer = Some(PeerOffer { server, cseq: 0, is_invite: false, session });
            self.event(SipEvent::Reoffer { dialog: id, sdp });
        }
    }

    /// Sends the engine's answer (`Ok`) or refusal to an offer that arrived before our answer to the call.
    pub(super) fn answer_ringing_offer(&mut self, id: DialogId, verdict: Result<String, u16>, now: Instant) {
        let Some(ringing) = self.legs.ringing(id) else { return };
        let Some(offer) = ringing.peer_offer.take() else { return };
        let contact = ringing.dialog.contact.clone();
        if let Ok(answer) = &verdict {
            ringing.reliable.answered_offer(answer.clone());
        }
        self.answer_update(offer.server, &contact, verdict, now);
        self.send_held_answer(id, now);
    }

    /// Answers the peer's UPDATE or PRACK that made an offer.
    pub(super) fn answer_update(
        &mut self,
        server: ServerId,
        contact: &str,
        verdict: Result<String, u16>,
        now: Instant,
    ) {
        let finish = |response: ResponseBuilder, sdp: String| {
            let response = response.header("Contact", contact).header("Allow", ALLOW);
            response.header("Supported", SUPPORTED).body(SDP, sdp)
        };
        match verdict {
            Ok(sdp) => self.respond(server, 200, None, |response, _| finish(response, sdp), now),
            Err(status) => self.respond(server, status, None, |response, _| response, now),
        };
    }
}
