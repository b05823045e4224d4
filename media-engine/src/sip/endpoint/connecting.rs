//! Connections that we open: which exist, who their peers are, and the consequences when one closes.
//!
//! ```text
//!   flow_towards ─▶ an existing connection, else a new flow and Connect, for the driver to open it
//!   handle_flow_closed ─▶ forgotten; each request on it fails with 503 at once (RFC 3261 section 8.1.3.1)
//! ```
//!
//! Invariants: a flow of ours is never reused nor confused with one of the driver's (its top bit marks it). There are
//! at most [`Limits::connections`](crate::sip::Limits::connections) at once; to open one more, the least recently used one
//! that nothing needs is closed. UDP has no connections: requests above 1300 bytes stay on UDP, in fragments if need
//! be, unless their destination asks for another transport (against RFC 3261 section 18.1.1, whose change to TCP fails
//! at most carriers).
//!
//! Not here: sockets, TLS, time limits for opening, closing of idle connections (`sip_io`).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

use super::Endpoint;
use super::command::DialogId;
use super::tables::Client;
use crate::sip::dialog::Dialog;
use crate::sip::flow::{Flow, FlowId, Transport};
use crate::sip::trunk::Destination;

/// The peer of a connection. Over TLS the certificate must be valid for the name.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Far {
    transport: Transport,
    peer: SocketAddr,
    server_name: Box<str>,
}

/// Connections that we have opened, or that the driver is opening.
#[derive(Debug, Default)]
pub(super) struct Connections {
    flows: HashMap<Far, Opened>,
    last: u64,
    /// Number of uses of connections so far.
    uses: u64,
}

/// A connection and its last use, numbered among all uses.
#[derive(Debug)]
struct Opened {
    flow: Flow,
    used: u64,
}

impl Endpoint {
    /// Returns the flow by which requests go to `peer`; `None` if no listener has an address of its family, or if there
    /// are too many connections. Over TCP and TLS a new flow is announced by `Connect` before anything is sent on it.
    pub(super) fn flow_towards(&mut self, transport: Transport, peer: SocketAddr, server_name: &str) -> Option<Flow> {
        match transport {
            Transport::Udp => return self.listener_towards(peer),
            Transport::Tcp | Transport::Tls => {}
            Transport::Ws | Transport::Wss => return None,
        }
        let far = Far { transport, peer, server_name: server_name.into() };
        self.connections.uses += 1;
        let used = self.connections.uses;
        if let Some(known) = self.connections.flows.get_mut(&far) {
            known.used = used;
            return Some(known.flow);
        }
        if self.connections.flows.len() >= self.config.limits.connections && !self.close_longest_idle() {
            self.out.overflow();
            return None;
        }
        let near = || self.listeners.iter().filter(|listener| listener.local.is_ipv4() == peer.is_ipv4());
        let local = near().find(|listener| listener.transport == transport).or_else(|| near().next())?.local;
        self.connections.last += 1;
        let flow = Flow { id: FlowId::outgoing(self.connections.last), transport, local, peer };
        self.connections.flows.insert(far, Opened { flow, used });
        self.out.connect(flow, server_name.to_owned());
        Some(flow)
    }

    /// Closes the least recently used connection that nothing needs; returns `false` if all are needed.
    fn close_longest_idle(&mut self) -> bool {
        let mut oldest: Vec<(u64, FlowId)> =
            self.connections.flows.values().map(|opened| (opened.used, opened.flow.id)).collect();
        oldest.sort_unstable();
        let Some((_, idle)) = oldest.into_iter().find(|(_, id)| !self.is_flow_used(*id)) else { return false };
        self.connections.flows.retain(|_, opened| opened.flow.id != idle);
        self.out.close(idle);
        true
    }

    /// Returns whether the peer of a connection is a trunk, a registered user or a party of a call, and not a stranger.
    pub fn is_flow_known(&self, flow: &Flow) -> bool {
        self.trunks.owner_of(flow).is_some() || self.has_legs(flow.id) || self.registrar.has_flow(flow.id)
    }

    fn has_legs(&self, id: FlowId) -> bool {
        self.attached.range((id, DialogId(0))..=(id, DialogId(u64::MAX))).next().is_some()
    }

    /// Returns the flow of a dialog's next request; a closed connection of a trunk is replaced by another one to the
    /// same destination.
    pub(super) fn next_flow(&mut self, dialog: &Dialog) -> Flow {
        let flow = dialog.next_flow();
        let (true, Some(trunk)) = (flow.transport.is_reliable() && !self.may_be_open(flow.id), dialog.trunk) else {
            return flow;
        };
        let destinations = &self.trunks.trunk(trunk).destinations;
        let fits = |to: &&Destination| to.transport == flow.transport;
        let at = |address: SocketAddr| destinations.iter().filter(fits).find(|to| to.addresses.contains(&address));
        // The peer's port of a connection that it opened does not accept connections.
        let listens = |to: &Destination| to.addresses.iter().copied().find(|address| address.ip() == flow.peer.ip());
        let near = || destinations.iter().filter(fits).find_map(|to| Some((to, listens(to)?)));
        let Some((host, peer)) =
            at(flow.peer).map(|to| (to, flow.peer)).or_else(near).map(|(to, peer)| (to.host.clone(), peer))
        else {
            return flow;
        };
        self.flow_towards(flow.transport, peer, &host).unwrap_or(flow)
    }

    /// Returns whether a connection is not known to have closed.
    fn may_be_open(&self, id: FlowId) -> bool {
        id != FlowId::GONE && (!id.is_outgoing() || self.connections.flows.values().any(|opened| opened.flow.id == id))
    }

    /// Forgets a connection; users of requests on it learn that no response will come.
    pub(super) fn connection_lost(&mut self, id: FlowId, now: Instant) {
        if id.is_outgoing() {
            self.connections.flows.retain(|_, opened| opened.flow.id != id);
        }
        for client in self.tables.clients_on(id) {
            self.client_lost_flow(client, now);
        }
        self.registrations_lost(id, now);
    }

    /// Returns whether a connection is needed by a leg, an unanswered request or a registration of ours. The driver
    /// closes one of ours that has not been needed for long.
    pub fn is_flow_used(&self, id: FlowId) -> bool {
        self.has_legs(id)
            || self
                .tables
                .clients_on(id)
                .iter()
                .any(|client| self.tables.client(*client).is_some_and(Client::is_unanswered))
            || self.registrations.uses_flow(id)
    }
}
