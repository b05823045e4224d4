//! Incoming calls: from INVITE to our answer.
//!
//! ```text
//! INVITE ─▶ source, credentials, limits ─▶ SipEvent::Incoming ─▶ Progress ─▶ Accept (AnswerHeader) | Reject
//! ```
//!
//! Invariants: an INVITE has one final response; a 200 is repeated until its ACK arrives, and waits for the acknowledgement of early
//! media that was sent reliably. Not here: requests within a dialog (`in_dialog`), and offers during a call (`offers`).

use std::time::Instant;

use super::Endpoint;
use super::abilities::{ALLOW, PeerAbilities, SDP, SUPPORTED};
use super::command::{Cause, DialogId};
use super::event::{SipEvent, Source};
use super::ids::{ServerId, TagOwner};
use super::legs::{Leg, LegState, Ringing, Talking, Unacknowledged};
use super::outbox::Timeout;
use super::referrals::Referrals;
use super::reliable::Reliable;
use super::requests::{BadBody, session_description};
use super::servers::Cancelled;
use super::session_timer::{Proposal, Session, SessionTimer, add_session};
use crate::sip::dial::{Dialled, Written};
use crate::sip::dialog::Dialog;
use crate::sip::flow::Flow;
use crate::sip::header::{Name, NameAddr, SplitOutside, Via};
use crate::sip::message::Message;
use crate::sip::reason::Q850;
use crate::sip::transaction::{Pace, Resend};
use crate::sip::trunk::TrunkSettings;
use crate::sip::write::{ResponseBuilder, ResponseHead};

/// Longest user part of the called and of the calling address, in bytes after its escapes are decoded.
const USER_MAX: usize = 256;

/// A 2xx for an INVITE or re-INVITE.
pub(super) struct Success<'d> {
    pub(super) server: ServerId,
    /// CSeq number of the INVITE, which the ACK repeats.
    pub(super) cseq: u32,
    pub(super) dialog: &'d Dialog,
    pub(super) session: Option<SessionTimer>,
    pub(super) peer: PeerAbilities,
    /// Session description; `None` if both sides know it from a reliable provisional response (RFC 3262 section 5).
    pub(super) sdp: Option<String>,
    /// Whether `sdp` is an offer, which the ACK answers.
    pub(super) offered: bool,
    /// Further headers, which the engine has asked for.
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Endpoint {
    /// Handles an INVITE of a trunk or user.
    pub(super) fn incoming_call(&mut self, flow: &Flow, invite: &Message<'_>, source: Source, now: Instant) {
        // A user may dial an emergency number: the engine can tell, and refuses all other calls.
        if self.draining && matches!(source, Source::Trunk(_)) {
            return self.refuse(flow, invite, 503, "draining");
        }
        let to_user = invite.request_uri().ok().and_then(|uri| uri.user_decoded()).unwrap_or_default().into_owned();
        let trunk = match &source {
            Source::Trunk(name) => self.trunks.find(name),
            Source::User(_) => None,
        };
        let (from_user, from_display) = caller(invite, trunk.map(|trunk| self.trunks.settings(trunk)));
        if let Some((status, why)) = user_part_fault(&to_user, 414).or(user_part_fault(&from_user, 400)) {
            return self.refuse(flow, invite, status, why);
        }
        let sdp = match session_description(invite) {
            Ok(sdp) => sdp,
            Err(BadBody(status)) => return self.refuse(flow, invite, status, "body"),
        };
        let replaces = match self.dialog_to_replace(invite) {
            Ok(replaces) => replaces,
            Err((status, why)) => return self.refuse(flow, invite, status, why),
        };
        let Some(dialled) = invite.request_uri().ok().and_then(|uri| Written::of_uri(&uri).ok()) else {
            return self.refuse(flow, invite, 400, "dialled");
        };
        let to_user = match self.config.guard.dialled(dialled) {
            Dialled::Emergency(digits) => digits,
            Dialled::Number { number, .. } => number.as_str().to_owned(),
            Dialled::Uri { user, .. } => user,
        };
        if self.is_loop(invite, &to_user) {
            return self.refuse(flow, invite, 482, "loop");
        }
        let session = match Proposal::of(invite) {
            Proposal::None => None,
            Proposal::Agreed(session) => Some(session),
            Proposal::TooSmall => return self.refuse(flow, invite, 422, "session_interval"),
        };
        if trunk.is_some_and(|trunk| !self.has_channel(trunk, now)) {
            return self.refuse(flow, invite, 503, "trunk_full");
        }
        let full = if self.has_room_for_leg() { self.full_for(flow) } else { Some("full") };
        if let Some(why) = full {
            return self.refuse(flow, invite, 503, why);
        }
        self.last_incoming += 2;
        let id = DialogId(self.last_incoming);
        let tag = self.tokens.fresh();
        let server = self.open_invite(flow, invite, &tag, id);
        let mut dialog = Dialog::uas(invite, &tag, *flow, self.config.contact(flow, &to_user));
        dialog.trunk = trunk;
        self.legs.give_tag(dialog.local_tag.clone(), TagOwner::Leg(id));
        let wants_offer = sdp.is_none();
        let peer = PeerAbilities::of(invite);
        let cseq = dialog.remote_cseq.unwrap_or_default();
        let until = now + self.config.unanswered;
        let reliable = Reliable::of(invite, self.tokens.below(1 << 30));
        let ringing = Ringing {
            invite: server,
            cseq,
            dialog,
            wants_offer,
            session,
            peer,
            until,
            reliable,
            headers: Vec::new(),
            peer_offer: None,
        };
        let mut leg = Leg::new(id, LegState::Ringing(Box::new(ringing)));
        if let Source::User(user) = &source {
            leg.user = Some(user.as_str().into());
        }
        self.legs.attach(&mut leg, flow);
        if let Some(trunk) = trunk {
            self.belongs_to(&mut leg, trunk);
        }
        self.watch_ringing(&mut leg, now);
        self.legs.put(leg);
        let settings = trunk.map(|trunk| self.trunks.settings(trunk));
        let call_id = invite.call_id().unwrap_or_default().to_owned();
        let anonymous = invite.extension("Privacy").is_some_and(|privacy| {
            privacy.split([';', ',']).any(|word| matches!(word.trim(), "id" | "user" | "header" | "full"))
        });
        let passes = |name: &str| settings.is_some_and(|trunk| trunk.passes(name));
        let headers = invite.all_headers().filter(|(name, _)| passes(name));
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let max_forwards = invite.max_forwards().ok().flatten().unwrap_or(70).min(70).saturating_sub(1);
        let cause = Cause { max_forwards, called: Some(to_user.clone()) };
        let to_user = settings.map_or(to_user.clone(), |trunk| trunk.numbers.from_trunk(&to_user));
        self.event(SipEvent::Incoming {
            dialog: id,
            from: source,
            from_user,
            from_display,
            anonymous,
            headers,
            to_user,
            cause,
            call_id,
            sdp,
            replaces,
        });
    }

    /// Returns whether this INVITE is a loop: it results from an INVITE of ours that a call to the same user part
    /// caused (RFC 3261 section 16.3). A call that comes back for another number continues until its hops are used up.
    fn is_loop(&self, invite: &Message<'_>, called: &str) -> bool {
        let branches = invite.headers(Name::Via).filter_map(|via| Via::parse(via).ok()?.branch());
        branches.into_iter().any(|branch| self.tokens.is_branch_of(branch, called))
    }

    /// Answers the call for the engine.
    pub(super) fn accept(&mut self, id: DialogId, sdp: String, now: Instant) {
        let Some(ringing) = self.legs.ringing(id) else { return };
        if ringing.holds_back() {
            ringing.reliable.hold(sdp);
            return;
        }
        let Some(mut leg) = self.legs.take(id) else { return };
        let LegState::Ringing(ringing) = leg.state else { return };
        let Ringing { invite, cseq, dialog, wants_offer, session, peer, mut reliable, headers, .. } = *ringing;
        let described = (!reliable.is_settled()).then(|| sdp.clone());
        let said = reliable.agreed().unwrap_or(sdp);
        let offered = wants_offer && described.is_some();
        let success =
            Success { server: invite, cseq, dialog: &dialog, session, peer, sdp: described, offered, headers };
        let unacknowledged = self.send_success(success, now);
        leg.state = LegState::Talking(Box::new(Talking {
            dialog,
            sdp: said,
            unacknowledged,
            peer_offer: None,
            our_offer: None,
            session: Session::start(session, id, now, &mut self.out),
            peer,
            unpracked: reliable.outstanding(cseq),
            referrals: Referrals::default(),
            closing: None,
        }));
        self.watch_acknowledgement(&mut leg, now);
        self.legs.put(leg);
    }

    /// Sends a 200 for an INVITE or re-INVITE; the leg repeats it until the ACK arrives.
    pub(super) fn send_success(&mut self, success: Success<'_>, now: Instant) -> Option<Unacknowledged> {
        let Success { server, cseq, dialog, session, peer, sdp, offered, headers } = success;
        let finish = |response: ResponseBuilder, head: &ResponseHead| {
            let response = response
                .record_routes(head)
                .header("Contact", &dialog.contact)
                .header("Allow", ALLOW)
                .header("Supported", SUPPORTED);
            let response = headers.into_iter().fold(response, |response, (name, value)| response.header(name, value));
            let response = add_session(response, session, peer);
            match sdp {
                Some(sdp) => response.body(SDP, sdp),
                None => response,
            }
        };
        let (reply, bytes) = self.respond(server, 200, None, finish, now)?;
        // Repeated over reliable transports too: a proxy may lose it further on (RFC 3261 section 13.3.1.4).
        let pace = Pace { timers: self.config.timers, reliable: false };
        Some(Unacknowledged { cseq, resend: Resend::start(now, &pace), reply, bytes, offered })
    }

    /// Arms the leg's timer for the 2xx that waits for its ACK, or cancels it.
    pub(super) fn watch_acknowledgement(&mut self, leg: &mut Leg, now: Instant) {
        let LegState::Talking(talking) = &leg.state else { return };
        let deadline = talking.unacknowledged.as_ref().map(|waiting| waiting.resend.deadline());
        self.out.rearm(&mut leg.timer, deadline, now, Timeout::Leg(leg.id));
    }

    /// Rejects the call for the engine.
    pub(super) fn reject(
        &mut self,
        id: DialogId,
        (status, phrase): (u16, Option<&str>),
        q850: Option<u8>,
        now: Instant,
    ) {
        if matches!(self.legs.get(id).map(|leg| &leg.state), Some(LegState::Ringing(_))) {
            let status = if (300..700).contains(&status) { status } else { 480 };
            self.refuse_ringing(id, (status, phrase), q850, (None, None), now);
        }
    }

    /// Ends an unanswered incoming call with a final status. `reason` comes from the peer; `fault` says why the
    /// endpoint itself ends it.
    pub(super) fn end_ringing(
        &mut self,
        id: DialogId,
        status: u16,
        (reason, fault): (Option<String>, Option<&'static str>),
        now: Instant,
    ) {
        self.refuse_ringing(id, (status, None), None, (reason, fault), now);
    }

    fn refuse_ringing(
        &mut self,
        id: DialogId,
        (status, phrase): (u16, Option<&str>),
        q850: Option<u8>,
        (reason, fault): (Option<String>, Option<&'static str>),
        now: Instant,
    ) {
        let Some(leg) = self.legs.take(id) else { return };
        if let LegState::Ringing(ringing) = &leg.state {
            let finish = |response: ResponseBuilder, _: &ResponseHead| response.header_opt("Reason", q850.map(Q850));
            self.respond(ringing.invite, status, phrase, finish, now);
        }
        self.dismantle(leg, now);
        self.event(SipEvent::Ended { dialog: id, reason, fault });
    }

    /// Handles the CANCEL of a transaction that we know (RFC 3261 section 9.2).
    pub(super) fn receive_cancel(&mut self, flow: &Flow, cancel: &Message<'_>, invite: ServerId, now: Instant) {
        let Some(Cancelled { tag, dialog, pending }) = self.servers.cancelled(invite) else { return };
        let response =
            crate::sip::write::response_to(cancel, Some(flow.peer), 200, super::status::phrase(200), Some(&tag));
        self.reply(flow, cancel, response.header("Server", &self.config.user_agent));
        let Some(dialog) = dialog.filter(|_| pending) else { return };
        let reason = joined_values(cancel, Name::Reason);
        match self.legs.get(dialog).map(|leg| &leg.state) {
            Some(LegState::Ringing(ringing)) if ringing.invite == invite => {
                self.end_ringing(dialog, 487, (reason, None), now);
            }
            // A cancelled re-INVITE: the session stays unchanged; the engine's answer comes too late and is ignored.
            Some(LegState::Talking(_)) => self.withdraw_peer_offer(dialog, invite, now),
            _ => {}
        }
    }
}

/// Returns user part and display name of the caller: from P-Asserted-Identity if the trunk is trusted with it, else
/// from From.
fn caller(invite: &Message<'_>, trunk: Option<&TrunkSettings>) -> (String, Option<String>) {
    let asserted = invite.extension("P-Asserted-Identity").filter(|_| trunk.is_some_and(|trunk| trunk.assert_identity));
    let asserted = asserted
        .and_then(|list| SplitOutside::new(list, b',').find_map(|value| NameAddr::parse(value).ok()))
        .filter(|address| address.uri.user.is_some());
    let Some(address) = asserted.or(invite.from().ok()) else { return (String::new(), None) };
    let user = address.uri.user_decoded().unwrap_or_default();
    let user = trunk.map_or_else(|| user.to_string(), |trunk| trunk.numbers.from_trunk(&user));
    (user, address.display_name().map(|name| name.into_owned()))
}

/// Returns how to refuse a user part that is neither a name nor a number: it would reach logs, database rows and other
/// telephones unchanged.
fn user_part_fault(user: &str, too_long: u16) -> Option<(u16, &'static str)> {
    if user.len() > USER_MAX {
        return Some((too_long, "long_user"));
    }
    user.chars().any(char::is_control).then_some((400, "control_character"))
}

/// Returns all values of a header in one line.
pub(super) fn joined_values(message: &Message<'_>, name: Name) -> Option<String> {
    let values: Vec<&str> = message.headers(name).collect();
    if values.is_empty() { None } else { Some(values.join(", ")) }
}
