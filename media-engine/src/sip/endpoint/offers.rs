//! Changed sessions: re-INVITE and UPDATE, ours and the peer's (RFC 3261 section 14, RFC 3311).
//!
//! Only one offer is open at a time: meanwhile the peer gets 491 for another one, and so does the engine for its own.
//! An offer of ours that the peer refuses with 491 is tried again (`glare`). A re-INVITE without a session description
//! is answered with the one last agreed, as an offer; its answer comes in the ACK.

use std::time::Instant;

use super::Endpoint;
use super::abilities::{ALLOW, PeerAbilities, SDP, SUPPORTED};
use super::command::DialogId;
use super::event::SipEvent;
use super::ids::ServerId;
use super::incoming::Success;
use super::legs::{LegState, OurOffer, PeerOffer, Talking};
use super::proof::Proof;
use super::requests::{BadBody, session_description};
use super::session_timer::{Proposal, SessionTimer, add_session, refresh_session};
use super::tables::ClientUser;
use crate::sip::dialog::Dialog;
use crate::sip::flow::Flow;
use crate::sip::message::{Message, Method};
use crate::sip::transaction::StatusClass;
use crate::sip::write::{RequestBuilder, ResponseBuilder, ResponseHead};

/// A session description, if there is one, and the session timer that comes with it.
type Offer = (Option<String>, Option<SessionTimer>);

impl Endpoint {
    /// Handles a re-INVITE whose CSeq is in order.
    pub(super) fn receive_reinvite(&mut self, flow: &Flow, invite: &Message<'_>, id: DialogId, now: Instant) {
        let talking = match self.legs.get(id).map(|leg| &leg.state) {
            Some(LegState::Talking(talking)) => talking,
            // A second INVITE before the first was answered (section 14.2).
            _ => return self.refuse_in_dialog(flow, invite, id, (500, "invite_pending"), now),
        };
        if talking.peer_offer.is_some() {
            return self.refuse_in_dialog(flow, invite, id, (500, "invite_pending"), now);
        }
        if talking.has_offered() || talking.unacknowledged.is_some() {
            return self.refuse_in_dialog(flow, invite, id, (491, "glare"), now);
        }
        let tag = talking.dialog.local_tag.clone();
        let (sdp, session) = match self.offer_of(invite) {
            Ok(offer) => offer,
            Err(refusal) => return self.refuse_in_dialog(flow, invite, id, refusal, now),
        };
        if let Some(why) = self.full_for(flow) {
            return self.refuse(flow, invite, 503, why);
        }
        let server = self.open_invite(flow, invite, &tag, id);
        let cseq = invite.cseq().map_or(0, |cseq| cseq.number);
        let Some(talking) = self.legs.talking(id) else { return };
        talking.peer_offer = Some(PeerOffer { server, cseq, is_invite: true, session });
        match sdp {
            Some(sdp) => self.event(SipEvent::Reoffer { dialog: id, sdp }),
            None => {
                let sdp = talking.sdp.clone();
                self.answer_peer_offer(id, sdp, true, now);
            }
        }
    }

    /// Handles an UPDATE whose CSeq is in order: a new offer, or a session refresh.
    pub(super) fn receive_update(&mut self, flow: &Flow, update: &Message<'_>, id: DialogId, now: Instant) {
        if let Some(why) = self.full_for(flow) {
            return self.refuse(flow, update, 503, why);
        }
        let (sdp, session) = match self.offer_of(update) {
            Ok(offer) => offer,
            Err(refusal) => return self.refuse_in_dialog(flow, update, id, refusal, now),
        };
        let Some(sdp) = sdp else {
            let (peer, contact) = self.peer_and_contact(id);
            let response = self.response(flow, update, 200).header("Contact", contact).header("Allow", ALLOW);
            let response = add_session(response.header("Supported", SUPPORTED), session, peer);
            self.answer(flow, update, response, now);
            return self.session_refreshed(id, session, now);
        };
        let Some(talking) = self.legs.talking(id) else {
            return self.receive_early_update(flow, update, id, sdp, now);
        };
        if talking.peer_offer.is_some() {
            return self.refuse_in_dialog(flow, update, id, (500, "offer_pending"), now);
        }
        let awaits_answer = talking.unacknowledged.as_ref().is_some_and(|waiting| waiting.offered);
        if talking.has_offered() || awaits_answer {
            return self.refuse_in_dialog(flow, update, id, (491, "glare"), now);
        }
        let server = self.open_non_invite(flow, update, Method::Update, id);
        let Some(talking) = self.legs.talking(id) else { return };
        talking.peer_offer = Some(PeerOffer { server, cseq: 0, is_invite: false, session });
        self.event(SipEvent::Reoffer { dialog: id, sdp });
    }

    /// Returns the proposal of a request, or the status and label of its refusal.
    fn offer_of(&self, request: &Message<'_>) -> Result<Offer, (u16, &'static str)> {
        let session = match Proposal::of(request) {
            Proposal::None => None,
            Proposal::Agreed(session) => Some(session),
            Proposal::TooSmall => return Err((422, "session_interval")),
        };
        match session_description(request) {
            Ok(sdp) => Ok((sdp, session)),
            Err(BadBody(status)) => Err((status, "body")),
        }
    }

    /// Sends the engine's answer to the peer's offer.
    pub(super) fn accept_reinvite(&mut self, id: DialogId, sdp: String, now: Instant) {
        match self.legs.get(id).map(|leg| &leg.state) {
            Some(LegState::Ringing(_)) => self.answer_ringing_offer(id, Ok(sdp), now),
            Some(LegState::Calling(_)) => self.answer_calling_offer(id, Ok(sdp), now),
            _ => self.answer_peer_offer(id, sdp, false, now),
        }
    }

    fn answer_peer_offer(&mut self, id: DialogId, sdp: String, offered: bool, now: Instant) {
        let Some(mut leg) = self.legs.take(id) else { return };
        let mut refreshed = None;
        if let LegState::Talking(talking) = &mut leg.state
            && let Some(offer) = talking.peer_offer.take()
        {
            let Talking { dialog, peer, .. } = &**talking;
            if offer.is_invite {
                let success = Success {
                    server: offer.server,
                    cseq: offer.cseq,
                    dialog,
                    session: offer.session,
                    peer: *peer,
                    sdp: Some(sdp.clone()),
                    offered,
                    headers: Vec::new(),
                };
                let waiting = self.send_success(success, now);
                talking.unacknowledged = waiting;
            } else {
                let finish = |response: ResponseBuilder, _: &ResponseHead| {
                    let response = response.header("Contact", &dialog.contact).header("Allow", ALLOW);
                    add_session(response.header("Supported", SUPPORTED), offer.session, *peer).body(SDP, sdp.clone())
                };
                self.respond(offer.server, 200, None, finish, now);
            }
            talking.sdp = sdp;
            refreshed = Some(offer.session);
        }
        self.watch_acknowledgement(&mut leg, now);
        self.legs.put(leg);
        if let Some(session) = refreshed {
            self.session_refreshed(id, session, now);
            self.outdate_offer(id);
        }
    }

    /// Refuses the peer's offer for the engine.
    pub(super) fn reject_reinvite(&mut self, id: DialogId, status: u16, now: Instant) {
        let status = if (400..700).contains(&status) { status } else { 488 };
        match self.legs.get(id).map(|leg| &leg.state) {
            Some(LegState::Ringing(_)) => return self.answer_ringing_offer(id, Err(status), now),
            Some(LegState::Calling(_)) => return self.answer_calling_offer(id, Err(status), now),
            _ => {}
        }
        let Some(offer) = self.legs.talking(id).and_then(|talking| talking.peer_offer.take()) else { return };
        self.respond(offer.server, status, None, |response, _| response, now);
    }

    /// Drops the offer of a re-INVITE that the peer has cancelled.
    pub(super) fn withdraw_peer_offer(&mut self, id: DialogId, server: ServerId, now: Instant) {
        let Some(talking) = self.legs.talking(id) else { return };
        if talking.peer_offer.as_ref().is_some_and(|offer| offer.server == server) {
            talking.peer_offer = None;
            self.respond(server, 487, None, |response, _| response, now);
        }
    }

    /// Sends an offer of the engine.
    pub(super) fn reinvite(&mut self, id: DialogId, sdp: String, now: Instant) {
        let Some(leg) = self.legs.get(id).filter(|leg| leg.is_open()) else { return };
        let LegState::Talking(talking) = &leg.state else {
            return self.event(SipEvent::ReinviteFailed { dialog: id, status: 491 });
        };
        if !talking.may_offer() {
            return self.event(SipEvent::ReinviteFailed { dialog: id, status: 491 });
        }
        if !self.has_room() {
            return self.event(SipEvent::ReinviteFailed { dialog: id, status: 503 });
        }
        self.send_offer(id, OurOffer::of_engine(sdp), now);
    }

    /// Sends a re-INVITE, which also refreshes the session.
    pub(super) fn send_offer(&mut self, id: DialogId, mut offer: OurOffer, now: Instant) {
        let Some(mut leg) = self.legs.take(id) else { return };
        if let LegState::Talking(talking) = &mut leg.state {
            let session = talking.session.agreed();
            let finish = |request: RequestBuilder, dialog: &Dialog| {
                let request = request.header("Contact", &dialog.contact).header("Allow", ALLOW);
                refresh_session(request, session).body(SDP, offer.sdp.clone())
            };
            let user = ClientUser::Reinvite(id);
            let client = self.request_in_dialog(&mut talking.dialog, Method::Invite, user, finish, now);
            self.limit_client(client, self.config.unanswered, now);
            offer.sent = Some((client, talking.dialog.local_cseq));
            offer.tries = offer.tries.saturating_add(1);
            talking.our_offer = Some(offer);
        }
        self.legs.put(leg);
    }

    /// Handles a response to our re-INVITE.
    pub(super) fn reinvite_answer(
        &mut self,
        id: DialogId,
        (flow, response, status): (&Flow, &Message<'_>, u16),
        proofs: &[Proof],
        now: Instant,
    ) {
        let class = StatusClass::of(status);
        if class == StatusClass::Provisional {
            return;
        }
        let Some(talking) = self.legs.talking(id) else {
            if class == StatusClass::Success {
                self.late_reinvite_answer(flow, response, proofs);
            }
            return;
        };
        let cseq = response.cseq().map_or(0, |cseq| cseq.number);
        let ours = talking.our_offer.take_if(|offer| offer.sent.is_some_and(|(_, sent)| sent == cseq));
        if class == StatusClass::Success {
            talking.dialog.refresh(response, *flow);
            let dialog = talking.dialog.clone();
            self.send_ack(&dialog, cseq, proofs);
        }
        // A copy of a 2xx is only acknowledged.
        let Some(offer) = ours else { return };
        match (class, session_description(response).unwrap_or_default()) {
            (StatusClass::Success, Some(sdp)) => {
                let session = SessionTimer::of_answer(response);
                self.session_refreshed(id, session, now);
                // Reported for a refresh too: the peer may answer with other media than before.
                self.event(SipEvent::ReinviteAnswered { dialog: id, sdp });
                if let Some(talking) = self.legs.talking(id) {
                    talking.sdp = offer.sdp;
                }
            }
            (StatusClass::Success, None) => self.dialog_is_dead(id, "2xx without the answer to our offer", now),
            _ if status == 481 || status == 408 => self.dialog_is_dead(id, "the peer has lost the dialog", now),
            _ if status == 491 => self.offer_again_later(id, offer, now),
            _ => {
                self.offer_failed(id, &offer, status);
                if status == 422 && offer.refreshes {
                    self.raise_interval(id, response, now);
                }
            }
        }
    }

    /// Acknowledges a 2xx for a re-INVITE whose dialog has ended, so that the peer stops repeating it.
    pub(super) fn late_reinvite_answer(&mut self, flow: &Flow, response: &Message<'_>, proofs: &[Proof]) {
        let local = response.header(crate::sip::header::Name::From).unwrap_or_default();
        let dialog = Dialog::uac(response, local, *flow, "");
        self.send_ack(&dialog, dialog.local_cseq, proofs);
    }

    fn peer_and_contact(&self, id: DialogId) -> (PeerAbilities, Box<str>) {
        match self.legs.get(id).map(|leg| &leg.state) {
            Some(LegState::Ringing(ringing)) => (ringing.peer, ringing.dialog.contact.clone()),
            Some(LegState::Talking(talking)) => (talking.peer, talking.dialog.contact.clone()),
            _ => (PeerAbilities::default(), Box::from("")),
        }
    }
}
