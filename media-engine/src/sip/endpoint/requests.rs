//! Received messages: classification and admission.
//!
//! ```text
//!   bytes ─▶ parse ─▶ gate ─┬─ response ─▶ client
//!                           ├─ copy, ACK, CANCEL of a known request ─▶ its transaction
//!                           ├─ with a tag of ours ─▶ in_dialog
//!                           └─ new ─▶ OPTIONS, REGISTER, INVITE; all else is refused
//! ```

use std::time::Instant;

use super::Endpoint;
use super::abilities::{ALLOW, SDP, SUPPORTED};
use super::authentication::Admission;
use super::command::DialogId;
use super::event::Source;
use crate::sip::flow::Flow;
use crate::sip::framing::{PING, PONG};
use crate::sip::gate;
use crate::sip::header::Name;
use crate::sip::message::{Message, Method, ParseError, Start};
use crate::sip::write::{ResponseBuilder, refusal_to};

/// A body that cannot be used, and the status of the refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadBody(pub(super) u16);

impl Endpoint {
    pub(super) fn receive(&mut self, flow: &Flow, bytes: &[u8], now: Instant) {
        if self.is_ignored(flow, bytes, now) {
            return self.out.refused(flow, "scanner");
        }
        let message = match Message::parse(bytes) {
            Ok(message) => message,
            Err(ParseError::Empty) => {
                if flow.transport.is_reliable() && bytes == PING {
                    self.transmit(*flow, PONG.to_vec());
                }
                return;
            }
            Err(error) => return self.out.refused(flow, error.as_str()),
        };
        if let Err(refusal) = gate::check(&message) {
            self.out.refused(flow, refusal.log);
            if let Some(status) = refusal.status {
                let tag = self.tokens.reply_tag(&message);
                let response = refusal_to(&message, Some(flow.peer), status, &refusal, &tag);
                self.reply(flow, &message, response.header("Server", &self.config.user_agent));
            }
            return;
        }
        match message.start() {
            Start::Response { status, .. } => self.receive_response(flow, &message, status, now),
            Start::Request { method, .. } => self.receive_request(flow, &message, method, now),
        }
    }

    fn receive_request(&mut self, flow: &Flow, request: &Message<'_>, method: Method<'_>, now: Instant) {
        if let Some(id) = self.servers.find(request, method) {
            match method {
                Method::Cancel => return self.receive_cancel(flow, request, id, now),
                Method::Ack if self.servers.acknowledged(id, now, &mut self.out) => return,
                // The ACK for a 2xx with the INVITE's branch, as some peers send it.
                Method::Ack => {}
                _ => return self.servers.copy_received(id, now, &mut self.out),
            }
        }
        match method {
            Method::Ack => self.receive_ack(flow, request, now),
            Method::Cancel => self.reply(flow, request, self.response(flow, request, 481)),
            Method::Register => self.receive_register(flow, request, now),
            _ if request.to().is_ok_and(|to| to.tag().is_some()) => {
                self.receive_in_dialog(flow, request, method, now);
            }
            _ => self.receive_new(flow, request, method, now),
        }
    }

    /// Handles a request outside any dialog.
    fn receive_new(&mut self, flow: &Flow, request: &Message<'_>, method: Method<'_>, now: Instant) {
        let hops_left = request.max_forwards().ok().flatten() != Some(0);
        match method {
            Method::Options => self.reply(flow, request, self.abilities(flow, request)),
            _ if !hops_left => self.refuse(flow, request, 483, "max_forwards"),
            _ if self.servers.is_merged(request) => self.refuse(flow, request, 482, "merged"),
            Method::Invite => self.receive_invite(flow, request, now),
            Method::Bye | Method::Info | Method::Update | Method::Prack => {
                self.refuse(flow, request, 481, "no_dialog");
            }
            Method::Other(_) => self.refuse(flow, request, 501, "unknown_method"),
            // Not served, but the sender has to authenticate before it learns that.
            _ => {
                if self.admit(flow, request, now).is_some() {
                    self.refuse(flow, request, 405, "method");
                }
            }
        }
    }

    fn receive_invite(&mut self, flow: &Flow, request: &Message<'_>, now: Instant) {
        if let Some(source) = self.admit(flow, request, now) {
            self.incoming_call(flow, request, source, now);
        }
    }

    /// Returns the proven source of a request; `None` if its sender was challenged or refused.
    fn admit(&mut self, flow: &Flow, request: &Message<'_>, now: Instant) -> Option<Source> {
        match self.source_of(flow, request, now) {
            Admission::Admitted(source) => return Some(source),
            Admission::Challenge { stale } => {
                self.out.refused(flow, if stale { "stale_nonce" } else { "challenged" });
                self.challenge(flow, request, 407, stale, now);
            }
            Admission::Refused { status, why } => self.refuse(flow, request, status, why),
        }
        None
    }

    /// Refuses a request without any state.
    pub(super) fn refuse(&mut self, flow: &Flow, request: &Message<'_>, status: u16, why: &'static str) {
        self.out.refused(flow, why);
        let response = explain(self.response(flow, request, status), status);
        self.reply(flow, request, response);
    }

    /// Refuses a request within a dialog; copies of it get the same response.
    pub(super) fn refuse_in_dialog(
        &mut self,
        flow: &Flow,
        request: &Message<'_>,
        dialog: DialogId,
        (status, why): (u16, &'static str),
        now: Instant,
    ) {
        if let Some(why) = self.full_for(flow) {
            return self.refuse(flow, request, 503, why);
        }
        self.out.refused(flow, why);
        if request.method() == Some(Method::Invite) {
            let server = self.open_invite(flow, request, "", dialog);
            self.respond(server, status, None, |response, _| explain(response, status), now);
        } else {
            let response = explain(self.response(flow, request, status), status);
            self.answer(flow, request, response, now);
        }
    }

    /// Starts a response that lists our abilities, as for OPTIONS (RFC 3261 section 11.2).
    pub(super) fn abilities(&self, flow: &Flow, request: &Message<'_>) -> ResponseBuilder {
        self.response(flow, request, 200).header("Allow", ALLOW).header("Accept", SDP).header("Supported", SUPPORTED)
    }
}

/// Adds the headers with which a refusal says what would be accepted.
fn explain(response: ResponseBuilder, status: u16) -> ResponseBuilder {
    match status {
        405 | 501 => response.header("Allow", ALLOW),
        415 => response.header("Accept", SDP),
        422 => response.header("Min-SE", super::session_timer::MIN_SE),
        500 => response.header("Retry-After", 2),
        503 => response.header("Retry-After", 5),
        _ => response,
    }
}

/// Returns the session description in a message, if there is one.
pub(super) fn session_description(message: &Message<'_>) -> Result<Option<String>, BadBody> {
    if message.body().is_empty() {
        return Ok(None);
    }
    let plain = message.header(Name::ContentEncoding).is_none_or(|coding| coding.eq_ignore_ascii_case("identity"));
    if !plain || !message.content_type().is_some_and(|kind| kind.eq_ignore_ascii_case(SDP)) {
        return Err(BadBody(415));
    }
    match std::str::from_utf8(message.body()) {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(_) => Err(BadBody(400)),
    }
}
