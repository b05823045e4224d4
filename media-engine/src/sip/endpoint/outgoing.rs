//! Outgoing calls: from the engine's command to the first answer.
//!
//! ```text
//!   Invite ─▶ one INVITE for each contact (a fork, with a Call-ID of its own)
//!     first 2xx ─▶ ACK, Answered; the other forks are cancelled
//!     further 2xx (late, or of another fork) ─▶ ACK and BYE at once
//!     all failed ─▶ Failed with the best status
//! ```

use std::time::Instant;

use super::Endpoint;
use super::abilities::{ALLOW, PeerAbilities, SDP};
use super::command::{DialogId, Invite, Target};
use super::early_dialogs::EarlyDialogs;
use super::event::SipEvent;
use super::ids::{ClientId, TagOwner};
use super::legs::{Calling, Failure, Leg, LegState, Talking};
use super::outbox::Timeout;
use super::place::Place;
use super::proof::Proof;
use super::referrals::Referrals;
use super::requests::session_description;
use super::session_timer::{Session, SessionTimer, propose_session};
use super::status::phrase;
use super::tables::{Client, ClientState, ClientUser, Fork};
use crate::sip::dial::Written;
use crate::sip::dialog::Dialog;
use crate::sip::flow::Flow;
use crate::sip::header::{Name, quote};
use crate::sip::message::{Message, Method, Start, body_of};
use crate::sip::reason::Told;
use crate::sip::registrar::Binding;
use crate::sip::transaction::{ClientInvite, StatusClass};
use crate::sip::trunk::TrunkSettings;
use crate::sip::uri::{Uri, escape_user};
use crate::sip::write::RequestBuilder;

impl Invite {
    /// Returns the offer for the peer of this flow.
    fn offer(&self, flow: &Flow) -> &str {
        let browser = self.webrtc_sdp.as_ref().filter(|_| flow.transport.is_websocket());
        // An IPv4-mapped IPv6 address is an IPv4 address.
        let v6 = self.sdp_v6.as_ref().filter(|_| flow.peer.ip().to_canonical().is_ipv6());
        browser.or(v6).unwrap_or(&self.sdp)
    }
}

/// One destination to call.
pub(super) struct Goal {
    pub(super) uri: String,
    pub(super) to: String,
    pub(super) flow: Flow,
    pub(super) routes: Vec<String>,
    /// The trunk destination, if it is one.
    pub(super) place: Option<Place>,
}

/// Identity of the caller.
struct Identity {
    /// Value of From, with our tag.
    local: String,
    /// Value of P-Asserted-Identity.
    asserted: Option<String>,
}

/// Reason for forks that are cancelled because another one was answered: a phone that supports it does not list the
/// call among missed ones (RFC 3326 section 3.1).
const ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";

/// Headers that the endpoint writes itself.
const OWN_HEADERS: [Name; 20] = [
    Name::Via,
    Name::From,
    Name::To,
    Name::CallId,
    Name::CSeq,
    Name::MaxForwards,
    Name::Contact,
    Name::ContentLength,
    Name::ContentType,
    Name::ContentEncoding,
    Name::Route,
    Name::RecordRoute,
    Name::Path,
    Name::Allow,
    Name::Supported,
    Name::Require,
    Name::ProxyRequire,
    Name::UserAgent,
    Name::Authorization,
    Name::ProxyAuthorization,
];

impl Endpoint {
    pub(super) fn invite(&mut self, call: Invite, now: Instant) {
        let (id, target) = (call.dialog, &call.target);
        if self.legs.contains(id) {
            return;
        }
        let urgent = matches!(target, Target::Emergency { .. });
        let goals = match self.goals(target) {
            _ if self.draining && !urgent => Err((503, "Shutting Down")),
            _ if !urgent && (!self.has_room_for_leg() || !self.has_room()) => Err((503, "Too Many Calls")),
            found => found,
        };
        let goals = match (goals, target) {
            (Err((status, reason)), _) => {
                return self.event(SipEvent::Failed { dialog: id, status, reason: reason.into(), told: None });
            }
            (Ok(_), Target::Trunk { name, user } | Target::Emergency { name, user }) => {
                let (name, user) = (name.clone(), user.clone());
                return self.invite_trunk(call, &name, &user, urgent, now);
            }
            (Ok(goals), _) => goals,
        };
        let mut leg = Leg::new(id, LegState::Calling(Calling::default()));
        if let Target::User(user) | Target::Browser(user) = target {
            leg.user = Some(user.as_str().into());
        }
        for goal in goals {
            let flow = goal.flow;
            let client = self.start_fork(&call, goal, now);
            self.legs.attach(&mut leg, &flow);
            if let LegState::Calling(calling) = &mut leg.state {
                calling.forks.push((client, flow));
            }
        }
        self.out.rearm_after(&mut leg.timer, self.config.unanswered, now, Timeout::Leg(id));
        self.legs.put(leg);
    }

    /// Returns the destinations to call at once; a trunk's destinations are tried one after the other (`trunking`).
    fn goals(&mut self, target: &Target) -> Result<Vec<Goal>, (u16, &'static str)> {
        match target {
            Target::Trunk { .. } | Target::Emergency { .. } => Ok(Vec::new()),
            Target::User(user) | Target::Browser(user) => {
                let browsers_only = matches!(target, Target::Browser(_));
                let to = format!("<sip:{}@{}>", escape_user(user), self.config.domain);
                let bindings = self.registrar.bindings(user);
                let goal = |binding: &Binding| Goal {
                    uri: binding.uri.clone(),
                    to: to.clone(),
                    flow: binding.flow,
                    routes: binding.path.clone(),
                    place: None,
                };
                let rings = |binding: &&Binding| !browsers_only || binding.flow.transport.is_websocket();
                let goals: Vec<Goal> = bindings.iter().filter(rings).map(goal).collect();
                if goals.is_empty() { Err((480, "Not Registered")) } else { Ok(goals) }
            }
            Target::Uri { uri, addr, transport } => {
                let parsed = Uri::parse(uri).ok().filter(|uri| uri.scheme.is_sip());
                let host = parsed.ok_or((416, "Unsupported URI Scheme"))?.host.to_string();
                let flow = self.flow_towards(*transport, *addr, &host).ok_or((503, "No Listener"))?;
                Ok(vec![Goal { uri: uri.clone(), to: format!("<{uri}>"), flow, routes: Vec::new(), place: None }])
            }
        }
    }

    pub(super) fn start_fork(&mut self, call: &Invite, goal: Goal, now: Instant) -> ClientId {
        let branch = self.tokens.invite_branch(call.cause.called.as_deref().unwrap_or(&uri_user(&goal.uri)));
        let call_id = self.tokens.fresh();
        let local_tag = self.tokens.invite_tag(&call_id);
        let Goal { uri, to, flow, routes, place } = goal;
        let Identity { local, asserted } = self.identity(call, place.as_ref(), &local_tag);
        let trunk = place.as_ref().map(|place| place.trunk);
        let account = trunk.and_then(|trunk| self.trunks.settings(trunk).credentials.as_ref());
        let shown = if call.anonymous { "" } else { call.from_user.as_deref().unwrap_or_default() };
        let contact = self.config.contact(&flow, account.map_or(shown, |account| &account.user));
        let mut request = RequestBuilder::new("INVITE", &uri).header("Via", self.config.via(&flow, &branch));
        for route in &routes {
            request = request.header("Route", route);
        }
        request = request
            .header("Max-Forwards", call.cause.max_forwards)
            .header("From", &local)
            .header("To", &to)
            .header("Call-ID", &call_id)
            .header("CSeq", "1 INVITE")
            .header("Contact", &contact)
            .header_opt("P-Asserted-Identity", asserted)
            .header_opt("Privacy", call.anonymous.then_some("id"))
            .header("Allow", ALLOW)
            .header("User-Agent", &self.config.user_agent);
        request = propose_session(request);
        for (name, value) in &call.headers {
            if !OWN_HEADERS.contains(&Name::parse(name)) && !value.contains(char::is_control) {
                request = request.header(name, value);
            }
        }
        let bytes = request.body(SDP, call.offer(&flow).to_owned()).build();
        let fork = Box::new(Fork {
            dialog: call.dialog,
            local,
            local_tag: local_tag.as_str().into(),
            contact,
            abandoned: false,
            cancel_reason: None,
            provisional: false,
            cancelled: false,
            winner: None,
            place,
            early: EarlyDialogs::default(),
            request: Vec::new(),
            raised: false,
            contacts: None,
        });
        let client = self.start_client_of(trunk, flow, &branch, Method::Invite, bytes, ClientUser::Fork(fork), now);
        self.legs.give_tag(local_tag.into(), TagOwner::Fork(client));
        client
    }

    /// Returns the caller's identity as shown to a destination (RFC 3261 section 8.1.1.3, RFC 3323, RFC 3325).
    fn identity(&self, call: &Invite, place: Option<&Place>, local_tag: &str) -> Identity {
        let trunk = place.map(|place| (place, self.trunks.settings(place.trunk)));
        let own = || trunk.and_then(|(_, trunk)| trunk.own_number());
        let anonymous = format!("\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag={local_tag}");
        let Some(shown) = call.from_user.as_deref().or_else(own) else {
            return Identity { local: anonymous, asserted: None };
        };
        let number = trunk.map_or_else(|| shown.to_owned(), |(_, trunk)| trunk.numbers.to_trunk(shown));
        let host = match trunk {
            Some((_, TrunkSettings { from_host: Some(host), .. })) => host,
            Some((place, TrunkSettings { credentials: Some(_), .. })) => &place.authority,
            _ => &self.config.domain,
        };
        let display = call.from_display.as_ref().map(|display| format!("{} ", quote(display))).unwrap_or_default();
        let address = format!("{display}<sip:{}@{host}>", escape_user(&number));
        let local = match call.anonymous {
            true => anonymous,
            false => format!("{address};tag={local_tag}"),
        };
        let asserted = trunk.is_some_and(|(_, trunk)| trunk.assert_identity).then_some(address);
        Identity { local, asserted }
    }

    /// Handles a response to the INVITE of a fork.
    pub(super) fn fork_answer(
        &mut self,
        client: &mut Client,
        flow: &Flow,
        response: &Message<'_>,
        status: u16,
        now: Instant,
    ) {
        let ClientUser::Fork(fork) = &mut client.user else { return };
        match StatusClass::of(status) {
            StatusClass::Provisional => {
                fork.provisional = true;
                match fork.abandoned {
                    false if status > 100 => self.fork_progress(fork, flow, response, status, now),
                    false => {}
                    true => self.cancel_fork(client, now),
                }
            }
            StatusClass::Success => self.fork_accepted(client, flow, response, now),
            StatusClass::Failure => {
                let Start::Response { reason, .. } = response.start() else { return };
                let reason = if reason.is_empty() { phrase(status) } else { reason };
                self.drop_early_offer(fork.dialog, client.id, None, now);
                let reason = reason.to_owned();
                if self.retry_call(client, response, status, now) {
                    return;
                }
                self.fork_failed(client, (status, reason), Some(Box::new(Told::of(response))), now);
            }
        }
    }

    fn fork_accepted(&mut self, client: &mut Client, flow: &Flow, response: &Message<'_>, now: Instant) {
        let proofs = client.proofs();
        let ClientUser::Fork(fork) = &mut client.user else { return };
        let tag = response.to().ok().and_then(|to| to.tag()).unwrap_or_default();
        let mut dialog = Dialog::uac(response, &fork.local, *flow, &fork.contact);
        let cseq = dialog.local_cseq;
        self.send_ack(&dialog, cseq, &proofs);
        if fork.winner.as_deref() == Some(tag) {
            return;
        }
        let calling = matches!(self.legs.get(fork.dialog).map(|leg| &leg.state), Some(LegState::Calling(_)));
        let early = fork.early.take(tag);
        let answer = session_description(response).unwrap_or_default();
        let answer = match &early {
            Some(early) => early.answer(answer),
            None => answer,
        };
        if let Some(early) = &early {
            dialog.continue_from(&early.dialog);
        }
        dialog.trunk = fork.place.as_ref().map(|place| place.trunk);
        if fork.abandoned || !calling {
            let reason = fork.cancel_reason.clone();
            return self.send_bye(&mut dialog, reason.as_deref(), now);
        }
        fork.winner = Some(tag.into());
        let Some(mut leg) = self.legs.take(fork.dialog) else { return };
        let Some(answer) = answer else {
            self.send_bye(&mut dialog, Some("SIP;cause=488;text=\"Answer without a session description\""), now);
            self.dismantle(leg, now);
            let reason = "Answer Without Session Description".into();
            return self.event(SipEvent::Failed { dialog: fork.dialog, status: 488, reason, told: None });
        };
        self.leave_forks(&mut leg, client.id, now);
        // Our last session description is the offer in the INVITE, unless an offer of the callee was answered
        // meanwhile.
        let said = early.as_ref().and_then(|early| early.said().map(str::to_owned));
        let said = said.unwrap_or_else(|| String::from_utf8_lossy(body_of(&client.bytes)).into_owned());
        let peer = PeerAbilities::of(response);
        let session = SessionTimer::of_answer(response);
        self.legs.give_tag(dialog.local_tag.clone(), TagOwner::Leg(leg.id));
        self.legs.attach(&mut leg, flow);
        let open_offer = match &mut leg.state {
            LegState::Calling(calling) => calling.peer_offer.take(),
            _ => None,
        };
        let peer_offer = self.keep_early_offer(open_offer, early.map(|early| (client.id, early.number())), now);
        leg.state = LegState::Talking(Box::new(Talking {
            dialog,
            sdp: said,
            unacknowledged: None,
            peer_offer,
            our_offer: None,
            session: Session::start(session, leg.id, now, &mut self.out),
            peer,
            unpracked: None,
            referrals: Referrals::default(),
            closing: None,
        }));
        self.watch_acknowledgement(&mut leg, now);
        self.event(SipEvent::Answered { dialog: leg.id, sdp: answer, remote: flow.peer });
        self.legs.put(leg);
    }

    /// Handles the failure of a fork; the call fails with the last one, or at once if the callee declines everywhere
    /// (6xx).
    pub(super) fn fork_failed(
        &mut self,
        client: &mut Client,
        (status, reason): (u16, String),
        told: Option<Box<Told>>,
        now: Instant,
    ) {
        let ClientUser::Fork(fork) = &client.user else { return };
        if fork.abandoned {
            return;
        }
        let Some(mut leg) = self.legs.take(fork.dialog) else { return };
        let LegState::Calling(calling) = &mut leg.state else {
            self.legs.put(leg);
            return;
        };
        calling.forks.retain(|(id, _)| *id != client.id);
        if calling.failure.as_ref().is_none_or(|best| rank(status) < rank(best.status)) {
            calling.failure = Some(Failure { status, reason, told });
        }
        let over = calling.forks.is_empty() || status >= 600;
        // A callee that has rung once is not called again.
        let rang = calling.progress >= 180;
        let elsewhere = over && is_worth_another_place(status) && !(rang && matches!(status, 408 | 480));
        let id = leg.id;
        self.legs.put(leg);
        if over && !(elsewhere && self.try_next_place(id, now)) {
            self.call_failed(id, now);
        }
    }

    /// Handles the failure of a call at all destinations.
    pub(super) fn call_failed(&mut self, id: DialogId, now: Instant) {
        let Some(mut leg) = self.legs.take(id) else { return };
        let failure = match &mut leg.state {
            LegState::Calling(calling) => calling.failure.take(),
            _ => None,
        };
        if let Some(trunk) = leg.trunk
            && let Some(Failure { status, reason, .. }) = &failure
        {
            self.trunks.note_error(trunk, format!("{status} {reason}"));
        }
        let nobody = || Failure { status: 408, reason: phrase(408).into(), told: None };
        let Failure { status, reason, told } = failure.unwrap_or_else(nobody);
        self.dismantle(leg, now);
        self.event(SipEvent::Failed { dialog: id, status, reason, told });
    }

    /// Gives up all forks of a call except `kept`, which was answered.
    pub(super) fn leave_forks(&mut self, leg: &mut Leg, kept: ClientId, now: Instant) {
        let LegState::Calling(calling) = &mut leg.state else { return };
        let forks = std::mem::take(&mut calling.forks);
        if let Some(mut attempts) = calling.attempts.take() {
            attempts.stop(&mut self.out);
        }
        self.legs.detach(leg);
        for (id, _) in forks {
            if id != kept {
                self.note_cancel_reason(id, Some(ELSEWHERE));
                self.abandon_fork(id, now);
            }
        }
    }

    /// Sets the Reason of a fork's CANCEL, should one be sent.
    pub(super) fn note_cancel_reason(&mut self, id: ClientId, reason: Option<&str>) {
        let Some(mut client) = self.tables.client_take(id) else { return };
        if let ClientUser::Fork(fork) = &mut client.user {
            fork.cancel_reason = reason.map(Into::into);
        }
        self.tables.client_put_back(client);
    }

    /// Gives up a fork.
    pub(super) fn abandon_fork(&mut self, id: ClientId, now: Instant) {
        let Some(mut client) = self.tables.client_take(id) else { return };
        if let ClientUser::Fork(fork) = &mut client.user {
            fork.abandoned = true;
            if fork.provisional {
                self.cancel_fork(&mut client, now);
            }
        }
        self.tables.client_put_back(client);
    }

    /// Sends CANCEL once, if there is something to cancel.
    fn cancel_fork(&mut self, client: &mut Client, now: Instant) {
        let waiting = matches!(client.state, ClientState::Invite(ClientInvite::Calling(_) | ClientInvite::Proceeding));
        let ClientUser::Fork(fork) = &mut client.user else { return };
        if waiting && !fork.cancelled {
            fork.cancelled = true;
            self.send_cancel(client, now);
        }
    }

    /// Handles a 2xx for an INVITE that was forgotten, or for one whose dialog continues.
    pub(super) fn late_answer(&mut self, flow: &Flow, response: &Message<'_>, now: Instant) {
        let Ok(from) = response.from() else { return };
        let (tag, call_id) = (from.tag().unwrap_or_default(), response.call_id().unwrap_or_default());
        let their_tag = response.to().ok().and_then(|to| to.tag()).unwrap_or_default();
        let cseq = response.cseq().map_or(0, |cseq| cseq.number);
        if let Some(TagOwner::Leg(id)) = self.legs.owner_of(tag)
            && let Some(Leg { state: LegState::Talking(talking), .. }) = self.legs.get(id)
            && *talking.dialog.remote_tag == *their_tag
            && *talking.dialog.call_id == *call_id
        {
            let dialog = talking.dialog.clone();
            return self.send_ack(&dialog, cseq, &[]);
        }
        if !self.tokens.is_invite_tag(call_id, tag) {
            return;
        }
        let contact = self.config.contact(flow, "");
        let mut dialog = Dialog::uac(response, response.header(Name::From).unwrap_or_default(), *flow, &contact);
        self.send_ack(&dialog, cseq, &[]);
        if self.has_room() {
            self.send_bye(&mut dialog, None, now);
        }
    }

    /// Sends the ACK for a 2xx: a transaction of its own without a response. `proofs` are the credentials of its
    /// INVITE.
    pub(super) fn send_ack(&mut self, dialog: &Dialog, cseq: u32, proofs: &[Proof]) {
        let (flow, branch) = (self.next_flow(dialog), self.tokens.branch());
        let ack = dialog.request("ACK", cseq, &self.config.via(&flow, &branch));
        let ack = proofs.iter().fold(ack, |ack, proof| ack.header(proof.header.as_str(), &proof.value));
        let bytes = ack.header("User-Agent", &self.config.user_agent).build();
        self.transmit(flow, bytes);
    }
}

/// Returns the user part of a Request-URI of ours in the form that an incoming call to it has.
fn uri_user(uri: &str) -> String {
    let written = Uri::parse(uri).ok().and_then(|uri| Written::of_uri(&uri).ok());
    written.map(|written| written.user.as_str().to_owned()).unwrap_or_default()
}

/// Returns whether another destination of the trunk may succeed after this status: this one was not reachable, or had
/// no room. A statement about the callee holds at every destination.
fn is_worth_another_place(status: u16) -> bool {
    matches!(status, 408 | 480 | 503 | 504)
}

/// Returns the rank of a failure by how much it tells the caller (RFC 3261 section 16.7 step 6): lower is better.
fn rank(status: u16) -> u16 {
    match status {
        600.. => 0,
        486 => 1,
        408 | 480 | 487 => 499,
        _ => status,
    }
}

#[cfg(test)]
mod tests {
    use super::rank;

    #[test]
    fn the_most_informative_of_several_failures_ranks_first() {
        let mut statuses = [503, 480, 404, 486, 603];
        statuses.sort_by_key(|status| rank(*status));
        assert_eq!(statuses, [603, 486, 404, 480, 503]);
    }
}
