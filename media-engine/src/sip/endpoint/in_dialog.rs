//! Requests within a call: ACK, BYE, INFO, OPTIONS. Passed on: re-INVITE and UPDATE to `offers`, PRACK to `reliable`,
//! REFER and NOTIFY to `referring`.

use std::time::Instant;

use super::Endpoint;
use super::command::DialogId;
use super::event::SipEvent;
use super::ids::TagOwner;
use super::incoming::joined_values;
use super::legs::{Leg, LegState};
use super::requests::session_description;
use super::tables::ClientUser;
use crate::sip::flow::Flow;
use crate::sip::header::Name;
use crate::sip::message::{Message, Method};

impl Endpoint {
    /// Handles a request with a tag in To.
    pub(super) fn receive_in_dialog(&mut self, flow: &Flow, request: &Message<'_>, method: Method<'_>, now: Instant) {
        let tag = request.to().ok().and_then(|to| to.tag()).unwrap_or_default();
        let leg = match self.legs.owner_of(tag) {
            Some(TagOwner::Leg(id)) => self.legs.get_mut(id),
            Some(TagOwner::Fork(id)) => return self.receive_early(flow, request, method, id, now),
            None => None,
        };
        let known = leg.and_then(|leg| {
            let (id, open) = (leg.id, leg.is_open());
            let dialog = match &mut leg.state {
                LegState::Ringing(ringing) => &mut ringing.dialog,
                LegState::Talking(talking) => &mut talking.dialog,
                LegState::Calling(_) => return None,
            };
            dialog.is_of(request).then_some((id, open, dialog))
        });
        let Some((id, open, dialog)) = known else {
            return match method {
                Method::Options => self.reply(flow, request, self.abilities(flow, request)),
                _ => self.refuse(flow, request, 481, "no_dialog"),
            };
        };
        let cseq = request.cseq().map_or(0, |cseq| cseq.number);
        if dialog.remote_cseq.is_some_and(|last| cseq <= last) {
            return self.refuse_in_dialog(flow, request, id, (500, "cseq"), now);
        }
        dialog.remote_cseq = Some(cseq);
        if !open && method != Method::Bye {
            return self.refuse_in_dialog(flow, request, id, (481, "no_dialog"), now);
        }
        self.update_location(id, flow, request, method);
        match method {
            Method::Bye => self.receive_bye(flow, request, id, now),
            Method::Invite => self.receive_reinvite(flow, request, id, now),
            Method::Update => self.receive_update(flow, request, id, now),
            Method::Prack => self.receive_prack(flow, request, id, now),
            Method::Info => self.receive_info(flow, request, id, now),
            Method::Refer => self.receive_refer(flow, request, id, now),
            Method::Notify => self.receive_notify(flow, request, id, now),
            Method::Options => self.reply(flow, request, self.abilities(flow, request)),
            Method::Other(_) => self.refuse_in_dialog(flow, request, id, (501, "unknown_method"), now),
            _ => self.refuse_in_dialog(flow, request, id, (405, "method"), now),
        }
    }

    /// Updates the peer's location: later messages go to the source of its last one.
    fn update_location(&mut self, id: DialogId, flow: &Flow, request: &Message<'_>, method: Method<'_>) {
        let Some(mut leg) = self.legs.take(id) else { return };
        let dialog = match &mut leg.state {
            LegState::Ringing(ringing) => Some(&mut ringing.dialog),
            LegState::Talking(talking) => Some(&mut talking.dialog),
            LegState::Calling(_) => None,
        };
        match (dialog, method) {
            (Some(dialog), Method::Invite | Method::Update) => dialog.refresh(request, *flow),
            (Some(dialog), _) => dialog.flow = *flow,
            (None, _) => {}
        }
        if leg.flows != [flow.id] {
            self.legs.detach(&mut leg);
            self.legs.attach(&mut leg, flow);
        }
        self.reachable(&mut leg);
        self.legs.put(leg);
    }

    /// Handles the ACK for a 2xx of ours.
    pub(super) fn receive_ack(&mut self, flow: &Flow, ack: &Message<'_>, now: Instant) {
        let tag = ack.to().ok().and_then(|to| to.tag()).unwrap_or_default();
        let Some(TagOwner::Leg(id)) = self.legs.owner_of(tag) else { return };
        let Some(Leg { state: LegState::Talking(talking), .. }) = self.legs.get_mut(id) else {
            return;
        };
        let cseq = ack.cseq().map_or(0, |cseq| cseq.number);
        if !talking.dialog.is_of(ack) || talking.unacknowledged.as_ref().is_none_or(|waiting| waiting.cseq != cseq) {
            return;
        }
        let offered = talking.unacknowledged.take().is_some_and(|waiting| waiting.offered);
        let open = talking.closing.is_none();
        self.update_location(id, flow, ack, Method::Ack);
        self.acknowledged(id, now);
        if offered && open {
            match session_description(ack) {
                Ok(Some(sdp)) => self.event(SipEvent::ReinviteAnswered { dialog: id, sdp }),
                Ok(None) | Err(_) => self.dialog_is_dead(id, "ACK without the answer to our offer", now),
            }
        }
    }

    fn receive_bye(&mut self, flow: &Flow, bye: &Message<'_>, id: DialogId, now: Instant) {
        self.answer(flow, bye, self.response(flow, bye, 200), now);
        let reason = joined_values(bye, Name::Reason);
        let Some(leg) = self.legs.get(id) else { return };
        if matches!(leg.state, LegState::Ringing(_)) {
            return self.end_ringing(id, 487, (reason, None), now);
        }
        let open = leg.is_open();
        self.drop_leg(id, now);
        if open {
            self.event(SipEvent::Ended { dialog: id, reason, fault: None });
        }
    }

    fn receive_info(&mut self, flow: &Flow, info: &Message<'_>, id: DialogId, now: Instant) {
        if !flow.transport.is_reliable()
            && let Some(why) = self.full_for(flow)
        {
            return self.refuse(flow, info, 503, why);
        }
        self.answer(flow, info, self.response(flow, info, 200), now);
        if let (Some(kind), Ok(body)) = (info.content_type(), std::str::from_utf8(info.body()))
            && !body.is_empty()
        {
            let (content_type, body) = (kind.to_ascii_lowercase(), body.to_owned());
            self.event(SipEvent::Info { dialog: id, content_type, body });
        }
    }

    /// Sends an INFO of the engine.
    pub(super) fn send_info(&mut self, id: DialogId, content_type: &str, body: String, now: Instant) {
        if !self.has_room() {
            return;
        }
        let Some(mut leg) = self.legs.take(id) else { return };
        if let LegState::Talking(talking) = &mut leg.state
            && talking.closing.is_none()
        {
            let finish = |request: crate::sip::write::RequestBuilder, _: &crate::sip::dialog::Dialog| {
                request.body(content_type, body)
            };
            self.request_in_dialog(&mut talking.dialog, Method::Info, ClientUser::Nobody, finish, now);
        }
        self.legs.put(leg);
    }
}
