//! Requests of peers: their transactions and responses.

use std::time::Instant;

use super::Endpoint;
use super::command::DialogId;
use super::ids::ServerId;
use super::outbox::Timeout;
use super::status::phrase;
use super::tables::{Server, ServerState, merge_key, server_key};
use crate::sip::flow::{Flow, Transport};
use crate::sip::message::{Message, Method};
use crate::sip::transaction::{Effects, ServerInvite, ServerNonInvite, StatusClass};
use crate::sip::write::{ResponseBuilder, ResponseHead, response_to};

impl Endpoint {
    /// Starts an INVITE server transaction and sends 100 Trying.
    pub(super) fn open_invite(&mut self, flow: &Flow, request: &Message<'_>, tag: &str, dialog: DialogId) -> ServerId {
        let trying = response_to(request, Some(flow.peer), 100, phrase(100), None).build();
        let state = ServerState::Invite(ServerInvite::Proceeding);
        let mut server = self.new_server(flow, request, Method::Invite, state);
        (server.tag, server.head) = (tag.into(), Some(ResponseHead::of(request, Some(flow.peer), Some(tag))));
        server.merge_key = request.to().is_ok_and(|to| to.tag().is_none()).then(|| merge_key(request).into());
        server.dialog = Some(dialog);
        server.response = trying.clone();
        self.transmit(server.reply, trying);
        let id = server.id;
        self.tables.server_insert(server);
        id
    }

    /// Starts the transaction of a request that the engine answers later.
    pub(super) fn open_non_invite(
        &mut self,
        flow: &Flow,
        request: &Message<'_>,
        method: Method<'_>,
        dialog: DialogId,
    ) -> ServerId {
        let mut server = self.new_server(flow, request, method, ServerState::NonInvite(ServerNonInvite::Trying));
        server.head = Some(ResponseHead::of(request, Some(flow.peer), None));
        server.dialog = Some(dialog);
        let id = server.id;
        self.tables.server_insert(server);
        id
    }

    /// Sends the final response to a request other than INVITE. Over UDP the response is kept for copies of the
    /// request.
    pub(super) fn answer(&mut self, flow: &Flow, request: &Message<'_>, response: ResponseBuilder, now: Instant) {
        let method = request.method().unwrap_or(Method::Options);
        let bytes = response.build();
        if flow.transport.is_reliable() {
            self.transmit(*flow, bytes);
            return;
        }
        let mut server = self.new_server(flow, request, method, ServerState::NonInvite(ServerNonInvite::Trying));
        server.response = bytes;
        // It is kept for half a minute.
        server.response.shrink_to_fit();
        server.merge_key = request.to().is_ok_and(|to| to.tag().is_none()).then(|| merge_key(request).into());
        let (state, effects) = ServerNonInvite::Trying.on_answer(now, &self.pace(flow));
        let id = server.id;
        self.tables.server_insert(server);
        if let Some(server) = self.tables.server_take(id) {
            self.settle_server(server, state.map(ServerState::NonInvite), effects, now);
        }
    }

    /// Answers a request without keeping state (RFC 3261 section 8.2.7).
    pub(super) fn reply(&mut self, flow: &Flow, request: &Message<'_>, response: ResponseBuilder) {
        self.transmit(reply_flow(flow, request), response.build());
    }

    /// Starts a response to `request` with the tag that all copies of a stateless response share.
    pub(super) fn response(&self, flow: &Flow, request: &Message<'_>, status: u16) -> ResponseBuilder {
        // Within a dialog the request has our tag.
        let untagged = !request.to().is_ok_and(|to| to.tag().is_some());
        let tag = untagged.then(|| self.tokens.reply_tag(request));
        response_to(request, Some(flow.peer), status, phrase(status), tag.as_deref())
            .header("Server", &self.config.user_agent)
    }

    /// Answers an open transaction; `finish` adds headers and body. After a final response this does nothing.
    pub(super) fn respond(
        &mut self,
        id: ServerId,
        status: u16,
        reason: Option<&str>,
        finish: impl FnOnce(ResponseBuilder, &ResponseHead) -> ResponseBuilder,
        now: Instant,
    ) -> Option<(Flow, Vec<u8>)> {
        let mut server = self.tables.server_take(id)?;
        let class = StatusClass::of(status);
        let Some(head) = &server.head else {
            self.tables.server_put_back(server);
            return None;
        };
        let response = head.response(status, reason.unwrap_or(phrase(status)));
        server.response = finish(response.header("Server", &self.config.user_agent), head).build();
        if class != StatusClass::Provisional {
            server.head = None;
        }
        let pace = self.pace(&server.reply);
        let (state, effects) = match server.state {
            ServerState::Invite(state) => {
                let (state, effects) = state.on_answer(class, now, &pace);
                (state.map(ServerState::Invite), effects)
            }
            ServerState::NonInvite(state) => {
                let (state, effects) = state.on_answer(now, &pace);
                (state.map(ServerState::NonInvite), effects)
            }
        };
        let sent = (server.reply, server.response.clone());
        self.settle_server(server, state, effects, now);
        Some(sent)
    }

    /// Handles a copy of a request.
    pub(super) fn server_request(&mut self, id: ServerId, now: Instant) {
        let Some(server) = self.tables.server_take(id) else { return };
        let (state, effects) = match server.state {
            ServerState::Invite(state) => {
                let (state, effects) = state.on_request();
                (state.map(ServerState::Invite), effects)
            }
            ServerState::NonInvite(state) => {
                let (state, effects) = state.on_request();
                (state.map(ServerState::NonInvite), effects)
            }
        };
        self.settle_server(server, state, effects, now);
    }

    /// Handles an ACK with the INVITE's own branch, which acknowledges a failure; returns whether it did.
    pub(super) fn server_ack(&mut self, id: ServerId, now: Instant) -> bool {
        let Some(server) = self.tables.server_take(id) else { return false };
        let pace = self.pace(&server.reply);
        match server.state {
            ServerState::Invite(state @ (ServerInvite::Completed(_) | ServerInvite::Confirmed { .. })) => {
                let (state, effects) = state.on_ack(now, &pace);
                self.settle_server(server, state.map(ServerState::Invite), effects, now);
                true
            }
            _ => {
                self.tables.server_put_back(server);
                false
            }
        }
    }

    pub(super) fn server_timer(&mut self, id: ServerId, now: Instant) {
        let Some(mut server) = self.tables.server_take(id) else { return };
        server.timer = None;
        let pace = self.pace(&server.reply);
        let (state, effects) = match server.state {
            ServerState::Invite(state) => {
                let (state, effects) = state.on_timer(now, &pace);
                (state.map(ServerState::Invite), effects)
            }
            ServerState::NonInvite(state) => {
                let (state, effects) = state.on_timer(now);
                (state.map(ServerState::NonInvite), effects)
            }
        };
        self.settle_server(server, state, effects, now);
    }

    /// Forgets a request at once: its connection has closed.
    pub(super) fn drop_server(&mut self, id: ServerId, now: Instant) {
        if let Some(server) = self.tables.server_take(id) {
            self.settle_server(server, None, Effects::NONE, now);
        }
    }

    fn new_server(
        &mut self,
        flow: &Flow,
        request: &Message<'_>,
        method: Method<'_>,
        state: ServerState,
    ) -> Box<Server> {
        Box::new(Server {
            id: self.tables.server_id(),
            key: server_key(request, method).into(),
            merge_key: None,
            state,
            reply: reply_flow(flow, request),
            tag: Box::from(""),
            head: None,
            response: Vec::new(),
            dialog: None,
            timer: None,
        })
    }

    /// Applies the effects of a transition, and keeps or forgets the transaction.
    fn settle_server(&mut self, mut server: Box<Server>, state: Option<ServerState>, effects: Effects, now: Instant) {
        if effects.transmit && !server.response.is_empty() {
            self.transmit(server.reply, server.response.clone());
        }
        let mut timer = server.timer.take();
        let Some(state) = state else {
            self.out.rearm(&mut timer, None, now, Timeout::Server(server.id));
            self.tables.server_forget(&server);
            return;
        };
        let deadline = match state {
            ServerState::Invite(state) => state.deadline(),
            ServerState::NonInvite(state) => state.deadline(),
        };
        if matches!(state, ServerState::Invite(ServerInvite::Accepted { .. } | ServerInvite::Confirmed { .. })) {
            // Copies are absorbed in silence from now on.
            server.response = Vec::new();
        }
        self.out.rearm(&mut timer, deadline, now, Timeout::Server(server.id));
        server.timer = timer;
        server.state = state;
        self.tables.server_put_back(server);
    }
}

/// Returns the flow of responses to a request (RFC 3261 section 18.2.2, RFC 3581): back by the connection; over UDP to
/// the source's address, and to its port only if the request asked for that.
fn reply_flow(flow: &Flow, request: &Message<'_>) -> Flow {
    let mut reply = *flow;
    if flow.transport == Transport::Udp
        && let Ok(via) = request.top_via()
        && !via.wants_rport()
    {
        reply.peer.set_port(via.port.unwrap_or(5060));
    }
    reply
}
