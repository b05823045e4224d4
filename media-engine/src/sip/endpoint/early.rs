//! Provisional responses to our calls, and requests of callees that have not answered yet.
//!
//! ```text
//!   18x ─▶ early dialog of its To tag ─┬─ Require: 100rel ─▶ PRACK        BYE ─▶ only this early dialog ends
//!                                      └─ news ─▶ Progress                2xx ─▶ the call's dialog
//! ```
//!
//! Not here: the early dialogs (`early_dialogs`), provisional responses of ours (`provisional`), the outcome of the INVITE
//! (`outgoing`).

use std::time::Instant;

use super::Endpoint;
use super::abilities::{ALLOW, SUPPORTED};
use super::command::DialogId;
use super::early_dialogs::{Early, Order};
use super::event::SipEvent;
use super::ids::ClientId;
use super::legs::{EarlyOffer, LegState, PeerOffer};
use super::requests::{BadBody, session_description};
use super::tables::{Client, ClientUser, Fork};
use crate::sip::dialog::Dialog;
use crate::sip::flow::Flow;
use crate::sip::message::{Message, Method};
use crate::sip::write::RequestBuilder;

impl Endpoint {
    /// Handles a provisional response other than 100 to an INVITE that is still wanted.
    pub(super) fn fork_progress(
        &mut self,
        fork: &mut Fork,
        flow: &Flow,
        response: &Message<'_>,
        status: u16,
        now: Instant,
    ) {
        let id = fork.dialog;
        let Some(calling) = self.legs.calling(id) else { return };
        let trunk = fork.place.as_ref().map(|place| place.trunk);
        let us = (&*fork.local, &*fork.contact, trunk);
        let Some(early) = fork.early.of_answer(&mut calling.early_count, us, flow, response) else {
            self.out.overflow();
            return;
        };
        let order = early.order_of(response);
        match order {
            Order::Unreliable => {}
            Order::Unexpected => return,
            Order::Repeated(_, prack) if self.tables.client_is_known(prack) => return,
            Order::Next(rseq) | Order::Repeated(rseq, _) => {
                let cseq = response.cseq().map_or(0, |cseq| cseq.number);
                if !self.has_room() {
                    return;
                }
                let prack = self.send_prack(&mut early.dialog, rseq, cseq, now);
                early.acknowledge(rseq, prack);
            }
        }
        let sdp = early.describe(session_description(response).unwrap_or_default(), order);
        let fork = early.number();
        let Some(calling) = self.legs.calling(id) else { return };
        if sdp.is_some() || calling.progress != status {
            calling.progress = status;
            self.event(SipEvent::Progress { dialog: id, status, sdp, fork });
        }
    }

    fn send_prack(&mut self, dialog: &mut Dialog, rseq: u32, cseq: u32, now: Instant) -> ClientId {
        let finish = |request: RequestBuilder, _: &Dialog| request.header("RAck", format_args!("{rseq} {cseq} INVITE"));
        self.request_in_dialog(dialog, Method::Prack, ClientUser::Nobody, finish, now)
    }

    /// Handles a request of the callee before its answer.
    pub(super) fn receive_early(
        &mut self,
        flow: &Flow,
        request: &Message<'_>,
        method: Method<'_>,
        id: ClientId,
        now: Instant,
    ) {
        let Some(mut client) = self.tables.client_take(id) else { return };
        self.early_request(&mut client, flow, request, method, now);
        self.tables.client_put_back(client);
    }

    fn early_request(
        &mut self,
        client: &mut Client,
        flow: &Flow,
        request: &Message<'_>,
        method: Method<'_>,
        now: Instant,
    ) {
        let client_id = client.id;
        let ClientUser::Fork(fork) = &mut client.user else { return };
        let Some(early) = fork.early.of_request(request) else {
            return match method {
                Method::Options => self.reply(flow, request, self.abilities(flow, request)),
                _ => self.refuse(flow, request, 481, "no_dialog"),
            };
        };
        let cseq = request.cseq().map_or(0, |cseq| cseq.number);
        if early.dialog.remote_cseq.is_some_and(|last| cseq <= last) {
            return self.refuse(flow, request, 500, "cseq");
        }
        match method {
            Method::Bye => {
                self.answer(flow, request, self.response(flow, request, 200), now);
                let ended = early.number();
                let tag = early.dialog.remote_tag.clone();
                fork.early.take(&tag);
                self.drop_early_offer(fork.dialog, client_id, Some(ended), now);
            }
            Method::Options => self.reply(flow, request, self.abilities(flow, request)),
            // Our INVITE has no final response yet (RFC 3261 section 14.2).
            Method::Invite => self.refuse(flow, request, 491, "invite_pending"),
            Method::Update | Method::Info => {
                if let Some(why) = self.full_for(flow) {
                    return self.refuse(flow, request, 503, why);
                }
                early.dialog.remote_cseq = Some(cseq);
                if method == Method::Info {
                    return self.answer(flow, request, self.response(flow, request, 200), now);
                }
                early.dialog.refresh(request, *flow);
                self.early_update((client_id, fork.dialog), early, flow, request, now);
            }
            Method::Other(_) => self.refuse(flow, request, 501, "unknown_method"),
            Method::Prack => self.refuse(flow, request, 481, "prack"),
            _ => self.refuse(flow, request, 405, "method"),
        }
    }

    /// Handles an UPDATE of a callee (RFC 3311 section 5.2).
    fn early_update(
        &mut self,
        (client, id): (ClientId, DialogId),
        early: &mut Early,
        flow: &Flow,
        update: &Message<'_>,
        now: Instant,
    ) {
        let sdp = match session_description(update) {
            Ok(sdp) => sdp,
            Err(BadBody(status)) => return self.refuse_in_dialog(flow, update, id, (status, "body"), now),
        };
        let Some(sdp) = sdp else {
            let response = self.response(flow, update, 200).header("Contact", &early.dialog.contact);
            return self.answer(flow, update, response.header("Allow", ALLOW).header("Supported", SUPPORTED), now);
        };
        let refusal = match self.legs.get(id).map(|leg| &leg.state) {
            // Our offer in the INVITE has no reliable answer yet.
            _ if !early.is_settled() => Some((491, "early_offer")),
            Some(LegState::Calling(calling)) if calling.peer_offer.is_none() => None,
            _ => Some((500, "offer_pending")),
        };
        if let Some(refusal) = refusal {
            return self.refuse_in_dialog(flow, update, id, refusal, now);
        }
        let server = self.open_non_invite(flow, update, Method::Update, id);
        let Some(calling) = self.legs.calling(id) else { return };
        calling.peer_offer = Some(EarlyOffer { server, client, fork: early.number(), sdp: sdp.clone() });
        self.event(SipEvent::Reoffer { dialog: id, sdp });
    }

    /// Sends the engine's answer (`Ok`) or refusal to a callee's offer.
    pub(super) fn answer_calling_offer(&mut self, id: DialogId, verdict: Result<String, u16>, now: Instant) {
        let Some(calling) = self.legs.calling(id) else { return };
        let Some(offer) = calling.peer_offer.take() else { return };
        let Some(mut client) = self.tables.client_take(offer.client) else {
            self.respond(offer.server, 487, None, |response, _| response, now);
            return;
        };
        if let ClientUser::Fork(fork) = &mut client.user
            && let Some(early) = fork.early.numbered(offer.fork)
        {
            if let Ok(answer) = &verdict {
                early.answered_offer(offer.sdp, answer.clone());
            }
            self.answer_update(offer.server, &early.dialog.contact, verdict, now);
        } else {
            self.respond(offer.server, 487, None, |response, _| response, now);
        }
        self.tables.client_put_back(client);
    }

    /// Drops the open offer of an early dialog that has ended (or with `None` of all early dialogs of an INVITE).
    pub(super) fn drop_early_offer(&mut self, id: DialogId, client: ClientId, fork: Option<u32>, now: Instant) {
        let Some(calling) = self.legs.calling(id) else { return };
        let over = |offer: &mut EarlyOffer| offer.client == client && fork.is_none_or(|fork| fork == offer.fork);
        if let Some(offer) = calling.peer_offer.take_if(over) {
            self.respond(offer.server, 487, None, |response, _| response, now);
        }
    }

    /// The call is answered in the early dialog with this number: its open offer is kept, that of any other one is
    /// dropped.
    pub(super) fn keep_early_offer(
        &mut self,
        offer: Option<EarlyOffer>,
        answered: Option<(ClientId, u32)>,
        now: Instant,
    ) -> Option<PeerOffer> {
        let EarlyOffer { server, client, fork, .. } = offer?;
        if Some((client, fork)) == answered {
            return Some(PeerOffer { server, cseq: 0, is_invite: false, session: None });
        }
        self.respond(server, 487, None, |response, _| response, now);
        None
    }
}
