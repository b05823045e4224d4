//! The ends of legs: by either side, by time, by a lost connection. All of them lead through `dismantle`.

use std::time::Instant;

use super::Endpoint;
use super::command::DialogId;
use super::event::SipEvent;
use super::ids::{ClientId, TagOwner};
use super::legs::{Leg, LegState, Talking};
use super::status::phrase;
use super::tables::{ClientState, ClientUser};
use crate::sip::dialog::Dialog;
use crate::sip::flow::{Flow, FlowId};
use crate::sip::message::Method;
use crate::sip::transaction::ClientInvite;

impl Endpoint {
    /// Hangs up or cancels for the engine, whatever the leg's state.
    pub(super) fn hang_up(&mut self, id: DialogId, reason: Option<String>, now: Instant) {
        let Some(leg) = self.legs.get_mut(id).filter(|leg| leg.is_open()) else { return };
        match &mut leg.state {
            LegState::Ringing(_) => self.end_ringing(id, 480, (None, None), now),
            LegState::Calling(calling) => {
                let forks: Vec<ClientId> = calling.forks.iter().map(|(client, _)| *client).collect();
                for client in forks {
                    self.note_cancel_reason(client, reason.as_deref());
                }
                self.drop_leg(id, now);
                self.event(SipEvent::Failed { dialog: id, status: 487, reason: phrase(487).into(), told: None });
            }
            LegState::Talking(talking) if talking.unacknowledged.is_some() => {
                // BYE has to wait for the ACK (RFC 3261 section 15); the engine need not.
                talking.closing = Some(reason);
                self.event(SipEvent::Ended { dialog: id, reason: None, fault: None });
            }
            LegState::Talking(_) => {
                self.bye_and_drop(id, reason.as_deref(), now);
                self.event(SipEvent::Ended { dialog: id, reason: None, fault: None });
            }
        }
    }

    /// Ends a dialog that the peer no longer knows or in which it does not respond (RFC 3261 section 12.2.1.2).
    pub(super) fn dialog_is_dead(&mut self, id: DialogId, why: &'static str, now: Instant) {
        let Some(leg) = self.legs.get(id).filter(|leg| matches!(leg.state, LegState::Talking(_))) else { return };
        let open = leg.is_open();
        self.bye_and_drop(id, None, now);
        if open {
            self.event(SipEvent::Ended { dialog: id, reason: None, fault: Some(why) });
        }
    }

    /// Handles a leg's own timer: a 2xx to repeat or give up, or a call that was not answered.
    pub(super) fn leg_timer(&mut self, id: DialogId, now: Instant) {
        let longest = self.config.timers.t2;
        let Some(leg) = self.legs.get_mut(id) else { return };
        leg.timer = None;
        match &mut leg.state {
            LegState::Ringing(_) => self.ringing_timer(id, now),
            LegState::Calling(_) => {
                self.drop_leg(id, now);
                self.event(SipEvent::Failed { dialog: id, status: 408, reason: phrase(408).into(), told: None });
            }
            LegState::Talking(talking) => {
                let Some(waiting) = &mut talking.unacknowledged else { return };
                if waiting.resend.until <= now {
                    talking.unacknowledged = None;
                    return self.no_acknowledgement(id, now);
                }
                let again = waiting.resend.due(now, longest).then(|| (waiting.reply, waiting.bytes.clone()));
                if let Some((flow, bytes)) = again {
                    self.transmit(flow, bytes);
                }
                let Some(mut leg) = self.legs.take(id) else { return };
                self.watch_acknowledgement(&mut leg, now);
                self.legs.put(leg);
            }
        }
    }

    fn no_acknowledgement(&mut self, id: DialogId, now: Instant) {
        let Some(Leg { state: LegState::Talking(talking), .. }) = self.legs.get(id) else { return };
        match talking.closing.clone() {
            Some(reason) => self.bye_and_drop(id, reason.as_deref(), now),
            None => self.dialog_is_dead(id, "no ACK was received", now),
        }
    }

    /// Handles the ACK: a hang-up that waited for it is sent.
    pub(super) fn acknowledged(&mut self, id: DialogId, now: Instant) {
        let Some(mut leg) = self.legs.take(id) else { return };
        self.watch_acknowledgement(&mut leg, now);
        let closing = match &mut leg.state {
            LegState::Talking(talking) => talking.closing.take(),
            _ => None,
        };
        self.legs.put(leg);
        if let Some(reason) = closing {
            self.bye_and_drop(id, reason.as_deref(), now);
        }
    }

    /// Handles the loss of a connection that carries a leg.
    pub(super) fn leg_lost_flow(&mut self, id: DialogId, flow: FlowId, now: Instant) {
        let Some(mut leg) = self.legs.take(id) else { return };
        self.legs.detach_from(&mut leg, flow);
        if let LegState::Calling(_) = &leg.state {
            // Its INVITE there fails separately (`connection_lost`): others may ring, or be tried next.
            self.legs.put(leg);
            return;
        }
        if let LegState::Talking(talking) = &leg.state
            && leg.user.is_some()
            && talking.closing.is_none()
        {
            if talking.dialog.flow.id == flow && self.legs.lose(&mut leg) {
                self.event(SipEvent::Unreachable { dialog: id });
            }
            self.legs.put(leg);
            return;
        }
        let open = leg.is_open();
        match &mut leg.state {
            // A carrier's connections come and go; the next request opens another one.
            LegState::Talking(talking) if leg.trunk.is_some() && open => {
                if talking.dialog.flow.id == flow {
                    talking.dialog.flow.id = FlowId::GONE;
                }
                self.legs.put(leg);
                return;
            }
            LegState::Ringing(ringing) => self.servers.forget(ringing.invite, now, &mut self.out),
            _ => {}
        }
        self.dismantle(leg, now);
        if open {
            self.event(SipEvent::Ended { dialog: id, reason: None, fault: Some("the connection was lost") });
        }
    }

    /// Moves the dialogs of a device to `flow` after its user has registered the contact there.
    pub(super) fn device_returned(&mut self, user: &str, contact: &str, flow: &Flow) {
        for id in self.legs.unreachable() {
            let Some(mut leg) = self.legs.take(id) else { continue };
            if let LegState::Talking(talking) = &mut leg.state
                && leg.user.as_deref() == Some(user)
                && talking.dialog.is_at(contact)
            {
                talking.dialog.flow = *flow;
                self.legs.detach(&mut leg);
                self.legs.attach(&mut leg, flow);
                self.reachable(&mut leg);
            }
            self.legs.put(leg);
        }
    }

    /// Reports that a leg has a connection again.
    pub(super) fn reachable(&mut self, leg: &mut Leg) {
        if self.legs.reach(leg) {
            self.event(SipEvent::Reachable { dialog: leg.id });
        }
    }

    /// Sends BYE in a confirmed dialog.
    pub(super) fn send_bye(&mut self, dialog: &mut Dialog, reason: Option<&str>, now: Instant) {
        let finish = |request: crate::sip::write::RequestBuilder, _: &Dialog| request.header_opt("Reason", reason);
        self.request_in_dialog(dialog, Method::Bye, ClientUser::Nobody, finish, now);
    }

    fn bye_and_drop(&mut self, id: DialogId, reason: Option<&str>, now: Instant) {
        let Some(mut leg) = self.legs.take(id) else { return };
        if let LegState::Talking(talking) = &mut leg.state {
            self.send_bye(&mut talking.dialog, reason, now);
        }
        self.dismantle(leg, now);
    }

    pub(super) fn drop_leg(&mut self, id: DialogId, now: Instant) {
        if let Some(leg) = self.legs.take(id) {
            self.dismantle(leg, now);
        }
    }

    /// Removes everything of a leg from the tables; requests that it still waits for are answered or given up.
    pub(super) fn dismantle(&mut self, mut leg: Box<Leg>, now: Instant) {
        let timers = [&mut leg.timer, &mut leg.offer_timer];
        for timer in timers {
            self.out.cancel(timer);
        }
        self.legs.detach(&mut leg);
        self.legs.reach(&mut leg);
        if let Some(trunk) = leg.trunk.take() {
            self.trunks.call_ended(trunk);
        }
        match leg.state {
            LegState::Ringing(ringing) => {
                self.legs.release_tag(&ringing.dialog.local_tag, TagOwner::Leg(leg.id));
                if let Some(offer) = ringing.peer_offer {
                    self.respond(offer.server, 487, None, |response, _| response, now);
                }
            }
            LegState::Calling(calling) => {
                if let Some(offer) = calling.peer_offer {
                    self.respond(offer.server, 487, None, |response, _| response, now);
                }
                for (client, _) in calling.forks {
                    self.abandon_fork(client, now);
                }
                if let Some(mut attempts) = calling.attempts {
                    attempts.stop(&mut self.out);
                }
            }
            LegState::Talking(talking) => {
                let Talking { dialog, peer_offer, our_offer, mut referrals, mut session, .. } = *talking;
                session.dismantle(&mut self.out);
                referrals.dismantle(&mut self.out);
                self.legs.release_tag(&dialog.local_tag, TagOwner::Leg(leg.id));
                if let Some(offer) = peer_offer {
                    self.respond(offer.server, 487, None, |response, _| response, now);
                }
                if let Some((client, _)) = our_offer.and_then(|offer| offer.sent) {
                    self.forget_soon(client, now);
                }
            }
        }
    }

    /// Limits an INVITE whose dialog has ended and which need not be answered any more: it is forgotten after 64·T1.
    fn forget_soon(&mut self, id: ClientId, now: Instant) {
        let give_up = now + self.config.timers.give_up();
        let Some(mut client) = self.tables.client_take(id) else { return };
        if matches!(client.state, ClientState::Invite(ClientInvite::Calling(_) | ClientInvite::Proceeding)) {
            client.forget_at = Some(give_up);
            client.user = ClientUser::Nobody;
        }
        let state = client.state;
        self.settle_client(client, Some(state), now);
    }
}
