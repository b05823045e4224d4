//! Our own requests: their transactions and responses.
//!
//! `start_client` sends a request and stores its transaction with a [`ClientUser`], the owner of the response. Responses
//! are delivered to that owner; a missing response counts as 408, and a lost connection as 503 (RFC 3261 section 8.1.3.1).
//! A trunk's challenge is answered before the owner sees it (`challenging`).
//!
//! Not here: the state machines (`transaction`), the consequences of a response (`outgoing`, `offers`, `registering`).

use std::time::{Duration, Instant};

use super::Endpoint;
use super::ids::{ClientId, TagOwner};
use super::outbox::Timeout;
use super::tables::{Client, ClientState, ClientUser, Original, client_key};
use crate::sip::dialog::Dialog;
use crate::sip::flow::Flow;
use crate::sip::header::Name;
use crate::sip::message::{Message, Method};
use crate::sip::transaction::{ClientInvite, ClientNonInvite, StatusClass};
use crate::sip::trunk::TrunkIndex;
use crate::sip::write::RequestBuilder;

/// Status that stands for a missing response.
const TIME_OUT: (u16, &str) = (408, "Request Timeout");

impl Client {
    /// Returns whether a final response may still come.
    pub(super) fn is_unanswered(&self) -> bool {
        matches!(
            self.state,
            ClientState::Invite(ClientInvite::Calling(_) | ClientInvite::Proceeding)
                | ClientState::NonInvite(ClientNonInvite::Trying(_) | ClientNonInvite::Proceeding(_))
        )
    }
}

impl Endpoint {
    /// Sends a request and waits for its response.
    pub(super) fn start_client(
        &mut self,
        flow: Flow,
        branch: &str,
        method: Method<'_>,
        bytes: Vec<u8>,
        user: ClientUser,
        now: Instant,
    ) -> ClientId {
        self.start_client_of(None, flow, branch, method, bytes, user, now)
    }

    /// Like [`start_client`](Self::start_client), for a request that a trunk may challenge.
    #[expect(clippy::too_many_arguments, reason = "a transaction has this many independent parts")]
    pub(super) fn start_client_of(
        &mut self,
        trunk: Option<TrunkIndex>,
        flow: Flow,
        branch: &str,
        method: Method<'_>,
        bytes: Vec<u8>,
        user: ClientUser,
        now: Instant,
    ) -> ClientId {
        let pace = self.pace(&flow);
        let state = match method {
            Method::Invite => ClientState::Invite(ClientInvite::start(now, &pace)),
            _ => ClientState::NonInvite(ClientNonInvite::start(now, &pace)),
        };
        let id = self.tables.client_id();
        self.transmit(flow, bytes.clone());
        let original = trunk
            .filter(|trunk| self.trunks.settings(*trunk).credentials.is_some())
            .map(|trunk| Box::new(Original { trunk, bytes: bytes.clone(), answered: 0 }));
        // Over a reliable transport only INVITE is needed again, for its ACK and CANCEL.
        let bytes = if pace.reliable && method != Method::Invite { Vec::new() } else { bytes };
        let key = client_key(branch, method.as_str()).into();
        let client = Client { id, key, state, flow, bytes, user, timer: None, forget_at: None, original };
        self.tables.client_insert(Box::new(client));
        if let Some(client) = self.tables.client_take(id) {
            self.settle_client(client, Some(state), now);
        }
        id
    }

    /// Sends a request within a dialog; responses to BYE and INFO are not evaluated.
    pub(super) fn request_in_dialog(
        &mut self,
        dialog: &mut Dialog,
        method: Method<'_>,
        user: ClientUser,
        finish: impl FnOnce(RequestBuilder, &Dialog) -> RequestBuilder,
        now: Instant,
    ) -> ClientId {
        let (flow, branch, cseq) = (self.next_flow(dialog), self.tokens.branch(), dialog.next_cseq());
        let request = dialog.request(method.as_str(), cseq, &self.config.via(&flow, &branch));
        let request = request.header("User-Agent", &self.config.user_agent);
        let bytes = finish(request, dialog).build();
        self.start_client_of(dialog.trunk, flow, &branch, method, bytes, user, now)
    }

    /// Ends a request after `limit`, even if provisional responses have arrived.
    pub(super) fn limit_client(&mut self, id: ClientId, limit: Duration, now: Instant) {
        let Some(mut client) = self.tables.client_take(id) else { return };
        client.forget_at = Some(now + limit);
        let state = client.state;
        self.settle_client(client, Some(state), now);
    }

    /// Fails a request whose connection has closed: its user learns at once that no response will come (RFC 3261
    /// section 8.1.3.1).
    pub(super) fn client_lost_flow(&mut self, id: ClientId, now: Instant) {
        let Some(mut client) = self.tables.client_take(id) else { return };
        if client.is_unanswered() {
            self.deliver_failure(&mut client, (503, "Connection Failed"), now);
        }
        self.settle_client(client, None, now);
    }

    /// Handles a response.
    pub(super) fn receive_response(&mut self, flow: &Flow, response: &Message<'_>, status: u16, now: Instant) {
        let (Ok(via), Ok(cseq)) = (response.top_via(), response.cseq()) else { return };
        let key = client_key(via.branch().unwrap_or_default(), cseq.method.as_str());
        let Some(mut client) = self.tables.client_find(&key).and_then(|id| self.tables.client_take(id)) else {
            if cseq.method == Method::Invite && StatusClass::of(status) == StatusClass::Success {
                self.late_answer(flow, response, now);
            }
            return;
        };
        let pace = self.pace(&client.flow);
        let class = StatusClass::of(status);
        let (state, effects) = match client.state {
            ClientState::Invite(state) => {
                let (state, effects) = state.on_response(class, now, &pace);
                (state.map(ClientState::Invite), effects)
            }
            ClientState::NonInvite(state) => {
                let (state, effects) = state.on_response(class, now, &pace);
                (state.map(ClientState::NonInvite), effects)
            }
        };
        if effects.acknowledge {
            let ack = failure_ack(&client.bytes, response);
            let request = std::mem::replace(&mut client.bytes, ack);
            if let ClientUser::Fork(fork) = &mut client.user {
                fork.request = request;
            }
        }
        if effects.transmit || effects.acknowledge {
            self.transmit(client.flow, client.bytes.clone());
        }
        if effects.deliver {
            self.note_trunk_response(&client.user, response, status, now);
            if !self.answer_challenge(&mut client, response, status, now) {
                self.deliver(&mut client, flow, response, status, now);
            }
        }
        self.settle_client(client, state, now);
    }

    pub(super) fn client_timer(&mut self, id: ClientId, now: Instant) {
        let Some(mut client) = self.tables.client_take(id) else { return };
        client.timer = None;
        if client.forget_at.is_some_and(|at| at <= now) {
            if matches!(client.user, ClientUser::Reinvite(_)) {
                self.deliver_failure(&mut client, TIME_OUT, now);
            }
            self.settle_client(client, None, now);
            return;
        }
        let pace = self.pace(&client.flow);
        let (state, effects) = match client.state {
            ClientState::Invite(state) => {
                let (state, effects) = state.on_timer(now);
                (state.map(ClientState::Invite), effects)
            }
            ClientState::NonInvite(state) => {
                let (state, effects) = state.on_timer(now, &pace);
                (state.map(ClientState::NonInvite), effects)
            }
        };
        if effects.transmit {
            self.transmit(client.flow, client.bytes.clone());
        }
        if effects.timed_out {
            self.deliver_failure(&mut client, TIME_OUT, now);
        }
        self.settle_client(client, state, now);
    }

    fn deliver(&mut self, client: &mut Client, flow: &Flow, response: &Message<'_>, status: u16, now: Instant) {
        match &client.user {
            ClientUser::Fork(_) => self.fork_answer(client, flow, response, status, now),
            ClientUser::Probe(_) => {}
            ClientUser::Reinvite(dialog) => {
                let proofs = client.proofs();
                self.reinvite_answer(*dialog, (flow, response, status), &proofs, now);
            }
            ClientUser::Refresh(dialog) => self.refresh_answer(*dialog, flow, response, status, now),
            ClientUser::Register(index) => self.register_answer(*index, response, status, now),
            ClientUser::Refer(dialog) => self.refer_answer(*dialog, status, now),
            ClientUser::Notify(dialog) => self.notify_refused(*dialog, status),
            ClientUser::Nobody => {
                // A re-INVITE whose dialog has ended.
                let cseq = response.cseq().ok();
                if StatusClass::of(status) == StatusClass::Success && cseq.is_some_and(|c| c.method == Method::Invite) {
                    self.late_reinvite_answer(flow, response, &client.proofs());
                }
            }
        }
    }

    /// Handles a missing response like one with this status (RFC 3261 section 8.1.3.1).
    fn deliver_failure(&mut self, client: &mut Client, (status, reason): (u16, &str), now: Instant) {
        match &client.user {
            ClientUser::Fork(fork) => {
                // An INVITE that was abandoned because of silence has already been counted as a failure.
                if let Some(place) = fork.tried_place().cloned().filter(|_| !fork.abandoned) {
                    self.trunks.failed(&place, reason, None, now, &mut self.out);
                }
                self.fork_failed(client, (status, reason.into()), None, now);
            }
            ClientUser::Probe(place) => {
                let place = place.clone();
                self.trunks.failed(&place, reason, None, now, &mut self.out);
            }
            ClientUser::Reinvite(dialog) if status == 503 => self.offer_lost_flow(*dialog, client.id),
            ClientUser::Refresh(dialog) if status == 503 => self.refresh_later(*dialog, now),
            ClientUser::Reinvite(dialog) | ClientUser::Refresh(dialog) => {
                self.dialog_is_dead(*dialog, "no answer", now);
            }
            ClientUser::Register(index) => self.register_failed(*index, status, now),
            ClientUser::Refer(dialog) => self.refer_answer(*dialog, 408, now),
            ClientUser::Notify(dialog) => self.notify_refused(*dialog, 481),
            ClientUser::Nobody => {}
        }
    }

    /// Keeps or forgets the transaction.
    pub(super) fn settle_client(&mut self, mut client: Box<Client>, state: Option<ClientState>, now: Instant) {
        let mut timer = client.timer.take();
        let Some(state) = state else {
            self.out.rearm(&mut timer, None, now, Timeout::Client(client.id));
            self.tables.client_forget(&client);
            if let ClientUser::Fork(fork) = &client.user {
                self.legs.release_tag(&fork.local_tag, TagOwner::Fork(client.id));
            }
            return;
        };
        let deadline = match state {
            ClientState::Invite(state) => state.deadline(),
            ClientState::NonInvite(state) => Some(state.deadline()),
        };
        match state {
            ClientState::Invite(ClientInvite::Completed { .. }) => client.forget_at = None,
            ClientState::Invite(ClientInvite::Accepted { .. })
            | ClientState::NonInvite(ClientNonInvite::Completed { .. }) => {
                client.forget_at = None;
                client.bytes = Vec::new();
            }
            _ => {}
        }
        let deadline = [deadline, client.forget_at].into_iter().flatten().min();
        self.out.rearm(&mut timer, deadline, now, Timeout::Client(client.id));
        client.timer = timer;
        client.state = state;
        self.tables.client_put_back(client);
    }

    /// Cancels an INVITE that has no final response (RFC 3261 section 9.1).
    pub(super) fn send_cancel(&mut self, client: &mut Client, now: Instant) {
        let Ok(invite) = Message::parse(&client.bytes) else { return };
        let Ok(branch) = invite.top_via().map(|via| via.branch().unwrap_or_default().to_owned()) else { return };
        let reason = match &client.user {
            ClientUser::Fork(fork) => fork.cancel_reason.as_deref(),
            _ => None,
        };
        let request = hop_request(&invite, "CANCEL", invite.header(Name::To).unwrap_or_default());
        let bytes = request.header_opt("Reason", reason).build();
        let give_up = now + self.config.timers.give_up();
        self.start_client(client.flow, &branch, Method::Cancel, bytes, ClientUser::Nobody, now);
        client.forget_at = Some(give_up);
        let mut timer = client.timer.take();
        self.out.rearm(&mut timer, Some(give_up), now, Timeout::Client(client.id));
        client.timer = timer;
    }
}

/// Writes the ACK for a failure: it belongs to the INVITE's transaction (RFC 3261 section 17.1.1.3).
fn failure_ack(invite: &[u8], response: &Message<'_>) -> Vec<u8> {
    match Message::parse(invite) {
        Ok(invite) => hop_request(&invite, "ACK", response.header(Name::To).unwrap_or_default()).build(),
        Err(_) => Vec::new(),
    }
}

/// Starts a request that goes hop by hop like the INVITE it belongs to.
fn hop_request(invite: &Message<'_>, method: &str, to: &str) -> RequestBuilder {
    let uri = invite.request_uri().map_or("", |uri| uri.as_str());
    let cseq = invite.cseq().map_or(0, |cseq| cseq.number);
    let mut request = RequestBuilder::new(method, uri);
    for name in [Name::Via, Name::Route, Name::From, Name::CallId] {
        for line in invite.lines(name) {
            request = request.header(name.as_str(), line);
        }
    }
    request.header("Max-Forwards", 70).header("To", to).header("CSeq", format_args!("{cseq} {method}"))
}
