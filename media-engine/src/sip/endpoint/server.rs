//! Responses to requests of peers, within a transaction (`servers`) and without one (RFC 3261 section 8.2.7).

use std::time::Instant;

use super::Endpoint;
use super::command::DialogId;
use super::ids::ServerId;
use super::servers::reply_flow;
use super::status::phrase;
use crate::sip::flow::Flow;
use crate::sip::message::{Message, Method};
use crate::sip::write::{ResponseBuilder, ResponseHead, response_to};

impl Endpoint {
    /// Starts an INVITE server transaction and sends 100 Trying.
    pub(super) fn open_invite(&mut self, flow: &Flow, request: &Message<'_>, tag: &str, dialog: DialogId) -> ServerId {
        self.servers.open_invite(flow, request, tag, dialog, &mut self.out)
    }

    /// Starts the transaction of a request that the engine answers later.
    pub(super) fn open_non_invite(
        &mut self,
        flow: &Flow,
        request: &Message<'_>,
        method: Method<'_>,
        dialog: DialogId,
    ) -> ServerId {
        self.servers.open_non_invite(flow, request, method, dialog)
    }

    /// Sends the final response to a request other than INVITE.
    pub(super) fn answer(&mut self, flow: &Flow, request: &Message<'_>, response: ResponseBuilder, now: Instant) {
        self.servers.answer(flow, request, response, now, &mut self.out);
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
        self.servers.respond(id, status, reason, finish, now, &mut self.out)
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
}
