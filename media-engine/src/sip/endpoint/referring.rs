//! Transfers: REFER both ways, and the NOTIFY requests that report their progress (RFC 3515, RFC 4488).
//!
//! ```text
//!   peer's REFER ─▶ 202, NOTIFY 100, Referred ── ReferProgress … final ──▶ NOTIFY terminated
//!   our Refer ─▶ REFER ─▶ 2xx ─▶ NOTIFY … final ─▶ ReferResult
//! ```
//!
//! - Within a dialog only: being in the dialog is what authorises a REFER.
//! - One in each direction at a time in a dialog; the peer's further ones get 491.
//! - A subscription ends with its dialog: after BYE no NOTIFY is sent.
//! - Ours ends with 408 if the peer reports nothing: no NOTIFY within 64·T1 of the 2xx (RFC 6665 section 4.1.2.4), or
//!   none within the time that the last one announced.
//!
//! Not here: the effect of a transfer on a call (`engine`).

use std::time::{Duration, Instant};

use super::Endpoint;
use super::abilities::{ALLOW, SUPPORTED};
use super::command::{DialogId, ReferId, Replaces};
use super::event::SipEvent;
use super::ids::TagOwner;
use super::incoming::joined_values;
use super::legs::LegState;
use super::outbox::Timeout;
use super::status::phrase;
use super::tables::ClientUser;
use crate::sip::dialog::Dialog;
use crate::sip::flow::Flow;
use crate::sip::header::{Name, NameAddr, Params};
use crate::sip::message::{Message, Method, Start, parse_delta_seconds};
use crate::sip::uri::{Uri, decode_escapes, escape_header};
use crate::sip::write::RequestBuilder;

/// Announced lifetime of a subscription without news, in seconds.
const EXPIRES: u32 = 180;
/// Longest announced lifetime that is accepted from a peer, in seconds.
const EXPIRES_MOST: u32 = 600;
const SIPFRAG: &str = "message/sipfrag;version=2.0";

/// The peer's REFER in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Referred {
    id: ReferId,
    /// Whether the peer wants no NOTIFY (RFC 4488).
    quiet: bool,
}

impl Endpoint {
    /// Handles a REFER in an answered call whose CSeq is in order.
    pub(super) fn receive_refer(&mut self, flow: &Flow, refer: &Message<'_>, id: DialogId, now: Instant) {
        let Some(talking) = self.legs.talking(id) else {
            return self.refuse_in_dialog(flow, refer, id, (491, "refer_early"), now);
        };
        if talking.referred.is_some() {
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
        talking.referred = Some(Referred { id: number, quiet });
        let response = self.response(flow, refer, 202);
        let response = match self.legs.talking(id) {
            Some(talking) => response.header("Contact", &talking.dialog.contact),
            None => response,
        };
        let response = response.header("Supported", SUPPORTED).header_opt("Refer-Sub", quiet.then_some("false"));
        self.answer(flow, refer, response, now);
        let referred_by = joined_values(refer, Name::ReferredBy);
        let replaced = replaces.as_ref().and_then(|replaces| match self.find_replaced(replaces) {
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
        match self.find_replaced(&replaces) {
            Named::Answered(_) if replaces.early_only => Err((486, "replaces_answered")),
            Named::Answered(dialog) => Ok(Some(dialog)),
            Named::Over => Err((603, "replaces_over")),
            Named::Early | Named::Nobody => Err((481, "replaces_nobody")),
        }
    }

    fn find_replaced(&self, replaces: &Replaces) -> Named {
        let Some(TagOwner::Leg(id)) = self.legs.owner_of(replaces.to_tag.as_str()) else { return Named::Nobody };
        let Some(leg) = self.legs.get(id) else { return Named::Nobody };
        let (dialog, named) = match &leg.state {
            LegState::Ringing(ringing) => (&ringing.dialog, Named::Early),
            LegState::Talking(talking) if talking.closing.is_some() => (&talking.dialog, Named::Over),
            LegState::Talking(talking) => (&talking.dialog, Named::Answered(id)),
            LegState::Calling(_) => return Named::Nobody,
        };
        let is_it = *dialog.call_id == *replaces.call_id && *dialog.remote_tag == *replaces.from_tag;
        if is_it { named } else { Named::Nobody }
    }

    /// Reports the progress of the peer's REFER for the engine.
    pub(super) fn refer_progress(
        &mut self,
        id: DialogId,
        refer: ReferId,
        (status, reason): (u16, Option<&str>),
        now: Instant,
    ) {
        let current =
            self.legs.talking(id).and_then(|talking| talking.referred).is_some_and(|current| current.id == refer);
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
            && let Some(Referred { id: ReferId(number), quiet }) = talking.referred
        {
            let last = status >= 200;
            if last {
                talking.referred = None;
            }
            let state = match last {
                true => "terminated;reason=noresource".to_owned(),
                false => format!("active;expires={EXPIRES}"),
            };
            let reason: String = reason.chars().filter(|c| !c.is_control()).collect();
            let finish = |request: RequestBuilder, dialog: &Dialog| {
                request
                    .header("Contact", &dialog.contact)
                    .header("Event", format_args!("refer;id={number}"))
                    .header("Subscription-State", state)
                    .body(SIPFRAG, format!("SIP/2.0 {status} {reason}\r\n"))
            };
            if has_room && !quiet {
                self.request_in_dialog(&mut talking.dialog, Method::Notify, ClientUser::Notify(id), finish, now);
            }
        }
        self.legs.put(leg);
    }

    /// Handles the refusal of a NOTIFY of ours: the peer has no such subscription any more (RFC 6665 section 4.2.2).
    pub(super) fn notify_failed(&mut self, id: DialogId, status: u16) {
        if let (481 | 489, Some(talking)) = (status, self.legs.talking(id)) {
            talking.referred = None;
        }
    }

    /// Sends a REFER of the engine.
    pub(super) fn refer(&mut self, id: DialogId, to: &str, replaces: Option<&Replaces>, now: Instant) {
        let Some(leg) = self.legs.get(id).filter(|leg| leg.is_open()) else { return };
        let free = matches!(&leg.state, LegState::Talking(talking) if !talking.refers);
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
            talking.refers = true;
            self.request_in_dialog(&mut talking.dialog, Method::Refer, ClientUser::Refer(id), finish, now);
        }
        self.legs.put(leg);
    }

    /// Handles the response to our REFER; a 2xx only says that NOTIFY will follow.
    pub(super) fn refer_answer(&mut self, id: DialogId, status: u16, now: Instant) {
        match status {
            ..200 => {}
            // A NOTIFY may have arrived before it.
            200..300 if self.legs.get(id).is_some_and(|leg| leg.refer_timer.is_none()) => {
                self.expect_notify(id, self.config.timers.give_up(), now);
            }
            200..300 => {}
            _ => self.end_refer(id, status),
        }
    }

    /// Arms the timer for the next NOTIFY, which must arrive within `span`.
    fn expect_notify(&mut self, id: DialogId, span: Duration, now: Instant) {
        if !self.legs.talking(id).is_some_and(|talking| talking.refers) {
            return;
        }
        let Some(mut leg) = self.legs.take(id) else { return };
        let mut timer = leg.refer_timer.take();
        self.out.rearm_after(&mut timer, span, now, Timeout::Refer(id));
        leg.refer_timer = timer;
        self.legs.put(leg);
    }

    /// Ends a REFER whose peer has reported nothing for too long.
    pub(super) fn refer_timer(&mut self, id: DialogId) {
        if let Some(leg) = self.legs.get_mut(id) {
            leg.refer_timer = None;
        }
        self.end_refer(id, 408);
    }

    fn end_refer(&mut self, id: DialogId, status: u16) {
        if let Some(leg) = self.legs.get_mut(id) {
            self.out.cancel(&mut leg.refer_timer);
        }
        if let Some(talking) = self.legs.talking(id).filter(|talking| talking.refers && talking.closing.is_none()) {
            talking.refers = false;
            self.event(SipEvent::ReferResult { dialog: id, status });
        }
    }

    /// Handles a NOTIFY in an answered call: the progress of our REFER.
    pub(super) fn receive_notify(&mut self, flow: &Flow, notify: &Message<'_>, id: DialogId, now: Instant) {
        let event = notify.header(Name::Event).and_then(|event| event.split(';').next()).unwrap_or_default();
        let refers = self.legs.talking(id).is_some_and(|talking| talking.refers);
        if !refers || !event.trim().eq_ignore_ascii_case("refer") {
            return self.refuse_in_dialog(flow, notify, id, (481, "no_subscription"), now);
        }
        self.answer(flow, notify, self.response(flow, notify, 200), now);
        let state = notify.header(Name::SubscriptionState).unwrap_or_default();
        let (state, params) = state.split_at(state.find(';').unwrap_or(state.len()));
        let over = state.trim().eq_ignore_ascii_case("terminated");
        match fragment_status(notify.body()) {
            Some(status @ 200..) => self.end_refer(id, status),
            // The subscription ends before the transfer: its result will not be reported.
            _ if over => self.end_refer(id, 500),
            _ => {
                let promised = Params::parse(params).unwrap_or_default().value("expires").and_then(parse_delta_seconds);
                let seconds = promised.unwrap_or(EXPIRES).min(EXPIRES_MOST);
                self.expect_notify(id, Duration::from_secs(u64::from(seconds)), now);
            }
        }
    }
}

/// The dialog named in a Replaces header.
enum Named {
    Answered(DialogId),
    /// A call of the peer that has no answer yet.
    Early,
    /// A call that is being hung up.
    Over,
    Nobody,
}

/// Returns the target of a REFER and the dialog to be replaced there, or the status and label of its refusal.
fn referral(refer: &Message<'_>) -> Result<(String, Option<Replaces>), (u16, &'static str)> {
    const BAD: (u16, &str) = (400, "refer_to");
    let mut values = refer.lines(Name::ReferTo);
    let (Some(value), None) = (values.next(), values.next()) else { return Err(BAD) };
    let target = NameAddr::parse(value).map_err(|_| BAD)?.uri;
    if !target.scheme.is_sip() {
        return Err((416, "refer_to_scheme"));
    }
    if target.params.value("method").is_some_and(|method| method != "INVITE") {
        return Err((603, "refer_method"));
    }
    let headers = target.headers.unwrap_or_default().split('&').filter_map(|header| header.split_once('='));
    let mut replaces = None;
    for (name, value) in headers {
        if name.eq_ignore_ascii_case("Replaces") {
            if replaces.is_some() {
                return Err(BAD);
            }
            replaces = Some(Replaces::parse(&decode_escapes(value)).ok_or(BAD)?);
        }
    }
    let to = target.as_str().split('?').next().unwrap_or_default();
    Ok((to.to_owned(), replaces))
}

/// Returns the status in a message/sipfrag body.
fn fragment_status(body: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(body).ok()?.lines().next()?;
    let with_end = format!("{line}\r\n\r\n");
    match Message::parse(with_end.as_bytes()).ok()?.start() {
        Start::Response { status, .. } => Some(status),
        Start::Request { .. } => None,
    }
}

impl Replaces {
    /// Reads the value of a Replaces header (RFC 3891 section 6.1).
    pub(super) fn parse(value: &str) -> Option<Replaces> {
        let mut fields = value.split(';').map(str::trim);
        let call_id = fields.next().filter(|call_id| !call_id.is_empty())?.to_owned();
        let (mut to_tag, mut from_tag, mut early_only) = (None, None, false);
        for field in fields {
            match field.split_once('=') {
                Some((name, tag)) if name.trim().eq_ignore_ascii_case("to-tag") => to_tag = Some(tag.trim().to_owned()),
                Some((name, tag)) if name.trim().eq_ignore_ascii_case("from-tag") => {
                    from_tag = Some(tag.trim().to_owned());
                }
                _ => early_only |= field.eq_ignore_ascii_case("early-only"),
            }
        }
        Some(Replaces { call_id, to_tag: to_tag?, from_tag: from_tag?, early_only })
    }
}

impl std::fmt::Display for Replaces {
    /// Writes the value of a Replaces header.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{};to-tag={};from-tag={}", self.call_id, self.to_tag, self.from_tag)?;
        if self.early_only { f.write_str(";early-only") } else { Ok(()) }
    }
}
