//! What needs a connection, which connection a request takes, and the consequences when one closes.
//!
//! ```text
//!   flow_towards ─▶ `connections`, which asks what is needed before it closes one
//!   handle_flow_closed ─▶ each request on it fails with 503 at once (RFC 3261 section 8.1.3.1)
//! ```
//!
//! Not here: which connections exist (`connections`).

use std::net::SocketAddr;
use std::time::Instant;

use super::Endpoint;
use super::tables::{Client, Tables};
use crate::sip::dialog::Dialog;
use crate::sip::flow::{Flow, FlowId, Transport};
use crate::sip::trunk::Destination;

impl Endpoint {
    /// Returns the flow by which requests go to `peer`, if there is one.
    pub(super) fn flow_towards(&mut self, transport: Transport, peer: SocketAddr, server_name: &str) -> Option<Flow> {
        let Endpoint { connections, legs, tables, registrations, out, .. } = self;
        let is_needed = |id| legs.use_flow(id) || awaits_answer_on(tables, id) || registrations.uses_flow(id);
        connections.towards(transport, peer, server_name, is_needed, out)
    }

    /// Returns whether the peer of a connection is a trunk, a registered user or a party of a call, and not a stranger.
    pub fn is_flow_known(&self, flow: &Flow) -> bool {
        self.trunks.owner_of(flow).is_some() || self.legs.use_flow(flow.id) || self.registrar.has_flow(flow.id)
    }

    /// Returns the flow of a dialog's next request; a closed connection of a trunk is replaced by another one to the
    /// same destination.
    pub(super) fn next_flow(&mut self, dialog: &Dialog) -> Flow {
        let flow = dialog.next_flow();
        let (true, Some(trunk)) =
            (flow.transport.is_reliable() && !self.connections.may_be_open(flow.id), dialog.trunk)
        else {
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

    /// Forgets a connection; users of requests on it learn that no response will come.
    pub(super) fn connection_lost(&mut self, id: FlowId, now: Instant) {
        self.connections.closed(id);
        for client in self.tables.clients_on(id) {
            self.client_lost_flow(client, now);
        }
        self.registrations_lost(id, now);
    }

    /// Returns whether a connection is needed by a leg, an unanswered request or a registration of ours. The driver
    /// closes one of ours that has not been needed for long.
    pub fn is_flow_used(&self, id: FlowId) -> bool {
        self.legs.use_flow(id) || awaits_answer_on(&self.tables, id) || self.registrations.uses_flow(id)
    }
}

fn awaits_answer_on(tables: &Tables, id: FlowId) -> bool {
    tables.clients_on(id).iter().any(|client| tables.client(*client).is_some_and(Client::is_unanswered))
}
