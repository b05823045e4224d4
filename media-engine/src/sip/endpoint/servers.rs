//! Requests of peers: their transactions, the copies of their responses, and the share of each sender (RFC 3261 sections
//! 17.2 and 8.2.2.2).
//!
//! ```text
//!   request ─▶ key ─┬─ known ─▶ copy_received, acknowledged: the last response again, or silence
//!                   └─ new ───▶ open_invite (100 Trying), open_non_invite ─▶ respond … final ─▶ lingers ─▶ gone
//!                          └──▶ answer: the final response at once
//! ```
//! [`Servers`] owns these transactions, their keys and timers, and the number of them for each network.
//!
//! - A transaction is found by its key, and is counted for its sender, until its timers have ended; then nothing of it is
//!   left.
//! - After a final response `respond` does nothing.
//!
//! Not here: what a request means and which response it gets (`requests`), stateless responses (`server`).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::time::Instant;

use super::command::DialogId;
use super::ids::ServerId;
use super::outbox::{Outbox, Timeout};
use super::status::phrase;
use crate::sip::flow::{Flow, Transport, network};
use crate::sip::header::Name;
use crate::sip::id_table::IdTable;
use crate::sip::message::{Message, Method};
use crate::sip::transaction::{Effects, Pace, ServerInvite, ServerNonInvite, StatusClass, Timers};
use crate::sip::uri::{push_host, push_number};
use crate::sip::wheel::TimerKey;
use crate::sip::write::{ResponseBuilder, ResponseHead, response_to};

/// Transactions that peers started.
pub(super) struct Servers {
    servers: IdTable<ServerId, Box<Server>>,
    keys: HashMap<Box<str>, ServerId>,
    merged: HashMap<Box<str>, ServerId>,
    /// Number of servers of each network.
    shares: HashMap<IpAddr, usize>,
    last: u64,
    timers: Timers,
    /// Value of the Server header of their responses.
    user_agent: String,
    /// Transactions taken out so far, by which tests measure the table's work.
    #[cfg(test)]
    steps: u64,
}

/// The INVITE that a CANCEL names.
pub(super) struct Cancelled {
    /// Our tag in its dialog.
    pub(super) tag: Box<str>,
    pub(super) dialog: Option<DialogId>,
    /// Whether it has no final response yet.
    pub(super) pending: bool,
}

#[derive(Clone, Copy, Debug)]
enum ServerState {
    Invite(ServerInvite),
    NonInvite(ServerNonInvite),
}

/// A transaction that the peer started.
struct Server {
    id: ServerId,
    key: Box<str>,
    merge_key: Option<Box<str>>,
    state: ServerState,
    /// Flow of its responses.
    reply: Flow,
    /// Our To tag.
    tag: Box<str>,
    /// The parts that responses repeat of the request, until it has a final one.
    head: Option<ResponseHead>,
    /// The last response, for copies of the request.
    response: Vec<u8>,
    /// The leg that it belongs to.
    dialog: Option<DialogId>,
    timer: Option<TimerKey>,
}

impl Servers {
    pub(super) fn new(timers: Timers, user_agent: &str) -> Servers {
        Servers {
            servers: IdTable::default(),
            keys: HashMap::new(),
            merged: HashMap::new(),
            shares: HashMap::new(),
            last: 0,
            timers,
            user_agent: user_agent.to_owned(),
            #[cfg(test)]
            steps: 0,
        }
    }

    /// Returns the transaction that a request belongs to; ACK and CANCEL belong to their INVITE.
    pub(super) fn find(&self, request: &Message<'_>, method: Method<'_>) -> Option<ServerId> {
        self.keys.get(server_key(request, method).as_str()).copied()
    }

    /// Returns whether another branch of the same request is in progress (section 8.2.2.2).
    pub(super) fn is_merged(&self, request: &Message<'_>) -> bool {
        self.merged.contains_key(merge_key(request).as_str())
    }

    /// Returns the INVITE that a CANCEL names.
    pub(super) fn cancelled(&self, id: ServerId) -> Option<Cancelled> {
        let server = self.servers.get(&id)?;
        Some(Cancelled { tag: server.tag.clone(), dialog: server.dialog, pending: server.head.is_some() })
    }

    pub(super) fn len(&self) -> usize {
        self.servers.len()
    }

    /// Returns the number of transactions of this address's network.
    pub(super) fn count_of(&self, address: IpAddr) -> usize {
        self.shares.get(&network(address)).copied().unwrap_or_default()
    }

    /// Returns the number of entries in the look-up tables.
    pub(super) fn key_count(&self) -> usize {
        self.keys.len() + self.merged.len() + self.shares.len()
    }

    #[cfg(test)]
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// Starts an INVITE server transaction and sends 100 Trying.
    pub(super) fn open_invite(
        &mut self,
        flow: &Flow,
        request: &Message<'_>,
        tag: &str,
        dialog: DialogId,
        out: &mut Outbox,
    ) -> ServerId {
        let trying = response_to(request, Some(flow.peer), 100, phrase(100), None).build();
        let state = ServerState::Invite(ServerInvite::Proceeding);
        let mut server = self.new_server(flow, request, Method::Invite, state);
        (server.tag, server.head) = (tag.into(), Some(ResponseHead::of(request, Some(flow.peer), Some(tag))));
        server.merge_key = request.to().is_ok_and(|to| to.tag().is_none()).then(|| merge_key(request).into());
        server.dialog = Some(dialog);
        server.response = trying.clone();
        out.transmit(server.reply, trying);
        let id = server.id;
        self.insert(server);
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
        self.insert(server);
        id
    }

    /// Sends the final response to a request other than INVITE. Over UDP the response is kept for copies of the
    /// request.
    pub(super) fn answer(
        &mut self,
        flow: &Flow,
        request: &Message<'_>,
        response: ResponseBuilder,
        now: Instant,
        out: &mut Outbox,
    ) {
        let method = request.method().unwrap_or(Method::Options);
        let bytes = response.build();
        if flow.transport.is_reliable() {
            out.transmit(*flow, bytes);
            return;
        }
        let mut server = self.new_server(flow, request, method, ServerState::NonInvite(ServerNonInvite::Trying));
        server.response = bytes;
        // It is kept for half a minute.
        server.response.shrink_to_fit();
        server.merge_key = request.to().is_ok_and(|to| to.tag().is_none()).then(|| merge_key(request).into());
        let (state, effects) = ServerNonInvite::Trying.on_answer(now, &self.pace(flow));
        let id = server.id;
        self.insert(server);
        if let Some(server) = self.take(id) {
            self.settle(server, state.map(ServerState::NonInvite), effects, now, out);
        }
    }

    /// Answers an open transaction; `finish` adds headers and body. After a final response this does nothing.
    pub(super) fn respond(
        &mut self,
        id: ServerId,
        status: u16,
        reason: Option<&str>,
        finish: impl FnOnce(ResponseBuilder, &ResponseHead) -> ResponseBuilder,
        now: Instant,
        out: &mut Outbox,
    ) -> Option<(Flow, Vec<u8>)> {
        let mut server = self.take(id)?;
        let class = StatusClass::of(status);
        let Some(head) = &server.head else {
            self.put_back(server);
            return None;
        };
        let response = head.response(status, reason.unwrap_or(phrase(status)));
        server.response = finish(response.header("Server", &self.user_agent), head).build();
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
        self.settle(server, state, effects, now, out);
        Some(sent)
    }

    /// Handles a copy of a request.
    pub(super) fn copy_received(&mut self, id: ServerId, now: Instant, out: &mut Outbox) {
        let Some(server) = self.take(id) else { return };
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
        self.settle(server, state, effects, now, out);
    }

    /// Handles an ACK with the INVITE's own branch, which acknowledges a failure; returns whether it did.
    pub(super) fn acknowledged(&mut self, id: ServerId, now: Instant, out: &mut Outbox) -> bool {
        let Some(server) = self.take(id) else { return false };
        let pace = self.pace(&server.reply);
        match server.state {
            ServerState::Invite(state @ (ServerInvite::Completed(_) | ServerInvite::Confirmed { .. })) => {
                let (state, effects) = state.on_ack(now, &pace);
                self.settle(server, state.map(ServerState::Invite), effects, now, out);
                true
            }
            _ => {
                self.put_back(server);
                false
            }
        }
    }

    /// Handles the timer of a request.
    pub(super) fn expired(&mut self, id: ServerId, now: Instant, out: &mut Outbox) {
        let Some(mut server) = self.take(id) else { return };
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
        self.settle(server, state, effects, now, out);
    }

    /// Forgets a request at once: its connection has closed.
    pub(super) fn forget(&mut self, id: ServerId, now: Instant, out: &mut Outbox) {
        if let Some(server) = self.take(id) {
            self.settle(server, None, Effects::NONE, now, out);
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
            id: self.next_id(),
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
    fn settle(
        &mut self,
        mut server: Box<Server>,
        state: Option<ServerState>,
        effects: Effects,
        now: Instant,
        out: &mut Outbox,
    ) {
        if effects.transmit && !server.response.is_empty() {
            out.transmit(server.reply, server.response.clone());
        }
        let mut timer = server.timer.take();
        let Some(state) = state else {
            out.rearm(&mut timer, None, now, Timeout::Server(server.id));
            self.release(&server);
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
        out.rearm(&mut timer, deadline, now, Timeout::Server(server.id));
        server.timer = timer;
        server.state = state;
        self.put_back(server);
    }

    fn pace(&self, flow: &Flow) -> Pace {
        Pace { timers: self.timers, reliable: flow.transport.is_reliable() }
    }

    fn next_id(&mut self) -> ServerId {
        self.last += 1;
        ServerId(self.last)
    }

    fn insert(&mut self, server: Box<Server>) {
        self.keys.insert(server.key.clone(), server.id);
        if let Some(merge_key) = &server.merge_key {
            self.merged.insert(merge_key.clone(), server.id);
        }
        *self.shares.entry(network(server.reply.peer.ip())).or_default() += 1;
        self.servers.insert(server.id, server);
    }

    /// Takes a transaction out while it is being changed; its keys stay.
    fn take(&mut self, id: ServerId) -> Option<Box<Server>> {
        #[cfg(test)]
        {
            self.steps += 1;
        }
        self.servers.remove(&id)
    }

    fn put_back(&mut self, server: Box<Server>) {
        self.servers.insert(server.id, server);
    }

    /// Forgets the keys of a transaction that was taken out for good.
    fn release(&mut self, server: &Server) {
        self.keys.remove(&server.key);
        if let Some(merge_key) = &server.merge_key {
            self.merged.remove(merge_key);
        }
        if let Entry::Occupied(mut share) = self.shares.entry(network(server.reply.peer.ip())) {
            *share.get_mut() -= 1;
            if *share.get() == 0 {
                share.remove();
            }
        }
    }
}

/// Returns the flow of responses to a request (RFC 3261 section 18.2.2, RFC 3581): back by the connection; over UDP to
/// the source's address, and to its port only if the request asked for that.
pub(super) fn reply_flow(flow: &Flow, request: &Message<'_>) -> Flow {
    let mut reply = *flow;
    if flow.transport == Transport::Udp
        && let Ok(via) = request.top_via()
        && !via.wants_rport()
    {
        reply.peer.set_port(via.port.unwrap_or(5060));
    }
    reply
}

/// Returns the key of the server transaction that a request belongs to; ACK and CANCEL belong to their INVITE.
fn server_key(request: &Message<'_>, method: Method<'_>) -> String {
    let method = match method {
        Method::Ack | Method::Cancel => Method::Invite,
        other => other,
    };
    match request.top_via() {
        Ok(via) if via.has_magic_branch() => {
            let mut key = String::with_capacity(96);
            key.extend([via.branch().unwrap_or_default(), " "]);
            push_host(&mut key, &via.host);
            key.push(':');
            push_number(&mut key, via.port.unwrap_or(5060));
            key.extend([" ", method.as_str()]);
            key
        }
        // RFC 2543: the ACK repeats all of this, with a To tag added.
        _ => {
            let uri = request.request_uri().map_or("", |uri| uri.as_str());
            let via = request.headers(Name::Via).next().unwrap_or_default();
            format!("{uri} {via} {} {method}", identity(request))
        }
    }
}

/// Returns the key by which copies of one request that arrived by several ways are recognised.
fn merge_key(request: &Message<'_>) -> String {
    let method = request.method().map_or("", |method| method.as_str());
    format!("{} {method}", identity(request))
}

fn identity(request: &Message<'_>) -> String {
    let from_tag = request.from().ok().and_then(|from| from.tag()).unwrap_or_default();
    let cseq = request.cseq().map_or(0, |cseq| cseq.number);
    format!("{from_tag} {} {cseq}", request.call_id().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sip::endpoint::event::SipOutput;
    use crate::sip::flow::FlowId;
    use crate::units::test_epoch;

    fn flow(transport: Transport, peer: &str) -> Flow {
        Flow { id: FlowId(1), transport, local: "192.0.2.1:5060".parse().unwrap(), peer: peer.parse().unwrap() }
    }

    fn phone() -> Flow {
        flow(Transport::Udp, "203.0.113.9:5060")
    }

    fn request(method: &str, branch: &str) -> String {
        format!(
            "{method} sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK{branch};rport\r\nFrom: <sip:c@d>;tag=f\r\n\
             To: <sip:a@b>\r\nCall-ID: call\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
        )
    }

    /// Status of each response sent since the last call.
    fn sent(out: &mut Outbox) -> Vec<String> {
        let mut statuses = Vec::new();
        while let Some(output) = out.poll() {
            if let SipOutput::Transmit { bytes, .. } = output {
                statuses.push(String::from_utf8_lossy(&bytes[8..11]).into_owned());
            }
        }
        statuses
    }

    /// Lets time pass until all timers have ended.
    fn rest(servers: &mut Servers, now: Instant, out: &mut Outbox) {
        for second in 1..200 {
            let now = now + Duration::from_secs(second);
            while let Some(timeout) = out.expire(now) {
                let Timeout::Server(id) = timeout else { panic!("a timer of a request") };
                servers.expired(id, now, out);
            }
        }
    }

    #[test]
    fn copies_of_an_invite_get_its_last_response_until_nothing_is_left() {
        let (mut servers, mut out, now) = (Servers::new(Timers::default(), "test"), Outbox::new(), test_epoch());
        let text = request("INVITE", "1");
        let invite = Message::parse(text.as_bytes()).unwrap();
        assert_eq!(servers.find(&invite, Method::Invite), None);
        let id = servers.open_invite(&phone(), &invite, "ours", DialogId(2), &mut out);
        assert_eq!(servers.find(&invite, Method::Cancel), Some(id));
        servers.copy_received(id, now, &mut out);
        servers.respond(id, 180, None, |response, _| response, now, &mut out);
        servers.copy_received(id, now, &mut out);
        assert!(servers.cancelled(id).is_some_and(|cancelled| cancelled.pending && &*cancelled.tag == "ours"));
        servers.respond(id, 486, None, |response, _| response, now, &mut out);
        assert!(servers.cancelled(id).is_some_and(|cancelled| !cancelled.pending));
        assert!(servers.respond(id, 200, None, |response, _| response, now, &mut out).is_none(), "it is final");
        assert_eq!(sent(&mut out), ["100", "100", "180", "180", "486"]);
        assert!(servers.acknowledged(id, now, &mut out));
        servers.copy_received(id, now, &mut out);
        assert!(sent(&mut out).is_empty(), "copies are absorbed after the ACK");
        rest(&mut servers, now, &mut out);
        assert_eq!((servers.len(), servers.key_count(), out.timer_count()), (0, 0, 0));
    }

    #[test]
    fn an_answer_is_kept_for_copies_over_udp_only() {
        for (transport, kept) in [(Transport::Udp, 1), (Transport::Tcp, 0)] {
            let (mut servers, mut out, now) = (Servers::new(Timers::default(), "test"), Outbox::new(), test_epoch());
            let (text, flow) = (request("INFO", "1"), flow(transport, "203.0.113.9:5060"));
            let info = Message::parse(text.as_bytes()).unwrap();
            let ok = response_to(&info, Some(flow.peer), 200, "OK", None);
            servers.answer(&flow, &info, ok, now, &mut out);
            assert_eq!((servers.len(), sent(&mut out)), (kept, vec!["200".to_owned()]), "{transport}");
            if let Some(id) = servers.find(&info, Method::Info) {
                servers.copy_received(id, now, &mut out);
                assert_eq!(sent(&mut out), ["200"]);
            }
            rest(&mut servers, now, &mut out);
            assert_eq!((servers.len(), servers.key_count()), (0, 0));
        }
    }

    #[test]
    fn a_request_that_comes_by_two_ways_is_merged() {
        let (mut servers, mut out) = (Servers::new(Timers::default(), "test"), Outbox::new());
        let (one, two) = (request("INVITE", "1"), request("INVITE", "2"));
        let (one, two) = (Message::parse(one.as_bytes()).unwrap(), Message::parse(two.as_bytes()).unwrap());
        assert!(!servers.is_merged(&two));
        servers.open_invite(&phone(), &one, "ours", DialogId(2), &mut out);
        assert!(servers.is_merged(&two) && servers.find(&two, Method::Invite).is_none());
    }

    #[test]
    fn the_share_of_a_network_counts_until_its_requests_are_forgotten() {
        let (mut servers, mut out, now) = (Servers::new(Timers::default(), "test"), Outbox::new(), test_epoch());
        let mut ids = Vec::new();
        for (n, peer) in ["[2001:db8::1]:5060", "[2001:db8::2]:5060", "203.0.113.9:5060"].iter().enumerate() {
            let text = request("UPDATE", &n.to_string());
            let update = Message::parse(text.as_bytes()).unwrap();
            ids.push(servers.open_non_invite(&flow(Transport::Udp, peer), &update, Method::Update, DialogId(2)));
        }
        assert_eq!(servers.count_of("2001:db8::3".parse().unwrap()), 2);
        servers.forget(ids[0], now, &mut out);
        assert_eq!(servers.count_of("2001:db8::3".parse().unwrap()), 1);
        assert_eq!(servers.count_of("203.0.113.9".parse().unwrap()), 1);
    }
}
