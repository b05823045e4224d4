//! Transfers: the REFER and NOTIFY requests of a dialog, both ways (RFC 3515, RFC 4488), and INVITE with Replaces.
//!
//! ```text
//!   peer's REFER ─▶ 202, NOTIFY 100, Referred ── ReferProgress … final ──▶ NOTIFY terminated
//!   our Refer ─▶ REFER ─▶ 2xx ─▶ NOTIFY … final ─▶ ReferResult
//! ```
//!
//! - Within a dialog only: being in the dialog is what authorises a REFER.
//! - The peer's further REFER gets 491 while one is in progress.
//! - A subscription ends with its dialog: after BYE no NOTIFY is sent.
//!
//! Not here: the state of the two subscriptions of a dialog (`referrals`), the effect of a transfer on a call (`engine`).

use std::time::Instant;

use super::Endpoint;
use super::abilities::{ALLOW, SUPPORTED};
use super::command::{DialogId, ReferId, Replaces};
use super::event::SipEvent;
use super::incoming::joined_values;
use super::leg_table::Named;
use super::legs::LegState;
use super::referrals::referral;
use super::status::phrase;
use super::tables::ClientUser;
use crate::sip::dialog::Dialog;
use crate::sip::flow::Flow;
use crate::sip::header::Name;
use crate::sip::message::{Message, Method};
use crate::sip::uri::{Uri, escape_header};
use crate::sip::write::RequestBuilder;

impl Endpoint {
    /// Handles a REFER in an answered call whose CSeq is in order.
    pub(super) fn receive_refer(&mut self, flow: &Flow, refer: &Message<'_>, id: DialogId, now: Instant) {
        let Some(talking) = self.legs.talking(id) else {
            return self.refuse_in_dialog(flow, refer, id, (491, "refer_early"), now);
        };
        if talking.referrals.is_referred() {
            return self.refuse_in_dialog(flow, refer, id, (491, "refer_pending"), now);
        }
        let (to, replaces) = match referral(refer) {
            Ok(referral) => referral,
            Err(refusal) => return self.refuse_in_dialog(flow, refer, id, refusal, now),
        };
        if let Some(why) = self.full_for(flow) {
            return self.refuse(flow, refer, 503, why);
        }
        let quiet = refer.extension("Refer-Sub").is_some_and(|value| value.trim().eq_ignore_ascii_case("false"));
        let number = ReferId(refer.cseq().map_or(0, |cseq| cseq.number));
        let Some(talking) = self.legs.talking(id) else { return };
        talking.referrals.accept(number, quiet);
        let contact = talking.dialog.contact.clone();
        let response = self.response(flow, refer, 202).header("Contact", contact).header("Supported", SUPPORTED);
        self.answer(flow, refer, response.header_opt("Refer-Sub", quiet.then_some("false")), now);
        let referred_by = joined_values(refer, Name::ReferredBy);
        let replaced = replaces.as_ref().and_then(|replaces| match self.legs.named_by(replaces) {
            Named::Answered(dialog) => Some(dialog),
            Named::Early | Named::Over | Named::Nobody => None,
        });
        self.event(SipEvent::Referred { dialog: id, refer: number, to, replaces, replaced, referred_by });
        self.notify(id, 100, phrase(100), now);
    }

    /// Returns the dialog that an INVITE wants to take over, or the status and label of its refusal (RFC 3891 section
    /// 3).
    pub(super) fn dialog_to_replace(&self, invite: &Message<'_>) -> Result<Option<DialogId>, (u16, &'static str)> {
        let mut values = invite.lines(Name::Replaces);
        let Some(value) = values.next() else { return Ok(None) };
        let replaces = values.next().is_none().then(|| Replaces::parse(value)).flatten();
        let replaces = replaces.ok_or((400, "replaces"))?;
        match self.legs.named_by(&replaces) {
            Named::Answered(_) if replaces.early_only => Err((486, "replaces_answered")),
            Named::Answered(dialog) => Ok(Some(dialog)),
            Named::Over => Err((603, "replaces_over")),
            Named::Early | Named::Nobody => Err((481, "replaces_nobody")),
        }
    }

    /// Reports the progress of the peer's REFER for the engine.
    pub(super) fn refer_progress(
        &mut self,
        id: DialogId,
        refer: ReferId,
        (status, reason): (u16, Option<&str>),
        now: Instant,
    ) {
        let current = self.legs.talking(id).is_some_and(|talking| talking.referrals.is_current(refer));
        if current && (100..700).contains(&status) {
            self.notify(id, status, reason.unwrap_or(phrase(status)), now);
        }
    }

    fn notify(&mut self, id: DialogId, status: u16, reason: &str, now: Instant) {
        // Without room no NOTIFY is sent, but a finished REFER must end here so that the peer's next one is accepted.
        let has_room = self.has_room();
        let Some(mut leg) = self.legs.take(id) else { return };
        if let LegState::Talking(talking) = &mut leg.state
            && talking.closing.is_none()
            && let Some(notice) = talking.referrals.report(status, reason).filter(|_| has_room)
        {
            let finish =
                |request: RequestBuilder, dialog: &Dialog| notice.write(request.header("Contact", &dialog.contact));
            self.request_in_dialog(&mut talking.dialog, Method::Notify, ClientUser::Notify(id), finish, now);
        }
        self.legs.put(leg);
    }

    /// Handles the refusal of a NOTIFY of ours.
    pub(super) fn notify_refused(&mut self, id: DialogId, status: u16) {
        if let Some(talking) = self.legs.talking(id) {
            talking.referrals.notify_refused(status);
        }
    }

    /// Sends a REFER of the engine.
    pub(super) fn refer(&mut self, id: DialogId, to: &str, replaces: Option<&Replaces>, now: Instant) {
        let Some(leg) = self.legs.get(id).filter(|leg| leg.is_open()) else { return };
        let free = matches!(&leg.state, LegState::Talking(talking) if !talking.referrals.refers());
        let status = (!free).then_some(491);
        let status = status.or_else(|| (!Uri::parse(to).is_ok_and(|uri| uri.scheme.is_sip())).then_some(416));
        if let Some(status) = status.or_else(|| (!self.has_room()).then_some(503)) {
            return self.event(SipEvent::ReferResult { dialog: id, status });
        }
        let target = match replaces {
            Some(replaces) => format!("<{to}?Replaces={}>", escape_header(&replaces.to_string())),
            None => format!("<{to}>"),
        };
        let Some(mut leg) = self.legs.take(id) else { return };
        if let LegState::Talking(talking) = &mut leg.state {
            let finish = |request: RequestBuilder, dialog: &Dialog| {
                let request = request.header("Contact", &dialog.contact).header("Allow", ALLOW);
                request.header("Refer-To", target).header("Referred-By", &dialog.contact)
            };
            talking.referrals.begin();
            self.request_in_dialog(&mut talking.dialog, Method::Refer, ClientUser::Refer(id), finish, now);
        }
        self.legs.put(leg);
    }

    /// Handles the response to our REFER.
    pub(super) fn refer_answer(&mut self, id: DialogId, status: u16, now: Instant) {
        let patience = self.config.timers.give_up();
        if let Some(talking) = self.legs.talking(id) {
            let result = talking.referrals.answered(id, status, patience, now, &mut self.out);
            self.refer_ended(id, result);
        }
    }

    /// Ends a REFER whose peer has reported nothing for too long.
    pub(super) fn refer_timer(&mut self, id: DialogId) {
        let result = self.legs.talking(id).and_then(|talking| talking.referrals.overdue());
        self.refer_ended(id, result);
    }

    /// Handles a NOTIFY in an answered call: the progress of our REFER.
    pub(super) fn receive_notify(&mut self, flow: &Flow, notify: &Message<'_>, id: DialogId, now: Instant) {
        if !self.legs.talking(id).is_some_and(|talking| talking.referrals.expects(notify)) {
            return self.refuse_in_dialog(flow, notify, id, (481, "no_subscription"), now);
        }
        self.answer(flow, notify, self.response(flow, notify, 200), now);
        if let Some(talking) = self.legs.talking(id) {
            let result = talking.referrals.notified(id, notify, now, &mut self.out);
            self.refer_ended(id, result);
        }
    }

    /// Reports the result of our REFER, if it has ended, to an engine that still knows the dialog.
    fn refer_ended(&mut self, id: DialogId, result: Option<u16>) {
        if let Some(status) = result
            && self.legs.get(id).is_some_and(|leg| leg.is_open())
        {
            self.event(SipEvent::ReferResult { dialog: id, status });
        }
    }
}
