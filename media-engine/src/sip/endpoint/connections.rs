//! Connections: the listeners of the driver, the connections that we open, and the choice among them for a request.
//!
//! ```text
//!   towards ─▶ an existing connection, else a new flow and Connect, for the driver to open it
//!   closed ──▶ forgotten
//! ```
//! [`Connections`] owns the listeners' flows and, for each peer that we have connected to, the flow of that connection
//! and its last use.
//!
//! - A flow of ours is never reused nor confused with one of the driver's (its top bit marks it).
//! - There are at most [`Limits::connections`](crate::sip::Limits::connections) at once; to open one more, the least
//!   recently used one that nothing needs is closed.
//! - UDP has no connections: requests above 1300 bytes stay on UDP, in fragments if need be, unless their destination
//!   asks for another transport (against RFC 3261 section 18.1.1, whose change to TCP fails at most carriers).
//!
//! Not here: what needs a connection, and the consequences when one closes (`connecting`); sockets, TLS, time limits for
//! opening, closing of idle connections (`sip_io`).

use std::collections::HashMap;
use std::net::SocketAddr;

use super::outbox::Outbox;
use crate::sip::flow::{Flow, FlowId, Transport};

/// The peer of a connection. Over TLS the certificate must be valid for the name.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Far {
    transport: Transport,
    peer: SocketAddr,
    server_name: Box<str>,
}

/// Listeners, and connections that we have opened or that the driver is opening.
#[derive(Debug)]
pub(super) struct Connections {
    listeners: Vec<Flow>,
    flows: HashMap<Far, Opened>,
    /// Number of connections opened so far.
    last: u64,
    /// Number of uses of connections so far.
    uses: u64,
    most: usize,
}

/// A connection and its last use, numbered among all uses.
#[derive(Debug)]
struct Opened {
    flow: Flow,
    used: u64,
}

impl Connections {
    /// Returns a table without listeners that opens at most `most` connections at once.
    pub(super) fn new(most: usize) -> Connections {
        Connections { listeners: Vec::new(), flows: HashMap::new(), last: 0, uses: 0, most }
    }

    /// Adds a listener; it replaces one with the same id.
    pub(super) fn listen(&mut self, flow: Flow) {
        self.listeners.retain(|known| known.id != flow.id);
        self.listeners.push(flow);
    }

    /// Forgets a listener or connection that has closed.
    pub(super) fn closed(&mut self, id: FlowId) {
        self.listeners.retain(|listener| listener.id != id);
        if id.is_outgoing() {
            self.flows.retain(|_, opened| opened.flow.id != id);
        }
    }

    /// Returns whether a listener has an address of the peer's family.
    pub(super) fn reaches(&self, peer: SocketAddr) -> bool {
        self.near(peer).next().is_some()
    }

    /// Returns the flow by which requests go to `peer`; `None` if no listener has an address of its family, or if there
    /// are too many connections, all of which `is_needed`. Over TCP and TLS a new flow is announced by `Connect` before
    /// anything is sent on it.
    pub(super) fn towards(
        &mut self,
        transport: Transport,
        peer: SocketAddr,
        server_name: &str,
        is_needed: impl Fn(FlowId) -> bool,
        out: &mut Outbox,
    ) -> Option<Flow> {
        match transport {
            Transport::Udp => {
                return self.near(peer).find(|flow| flow.transport == Transport::Udp).map(|flow| flow.towards(peer));
            }
            Transport::Tcp | Transport::Tls => {}
            Transport::Ws | Transport::Wss => return None,
        }
        let far = Far { transport, peer, server_name: server_name.into() };
        self.uses += 1;
        if let Some(known) = self.flows.get_mut(&far) {
            known.used = self.uses;
            return Some(known.flow);
        }
        if self.flows.len() >= self.most && !self.close_longest_idle(is_needed, out) {
            out.overflow();
            return None;
        }
        let of_transport = self.near(peer).find(|listener| listener.transport == transport);
        let local = of_transport.or_else(|| self.near(peer).next())?.local;
        self.last += 1;
        let flow = Flow { id: FlowId::outgoing(self.last), transport, local, peer };
        self.flows.insert(far, Opened { flow, used: self.uses });
        out.connect(flow, server_name.to_owned());
        Some(flow)
    }

    /// Returns whether a connection is not known to have closed.
    pub(super) fn may_be_open(&self, id: FlowId) -> bool {
        id != FlowId::GONE && (!id.is_outgoing() || self.flows.values().any(|opened| opened.flow.id == id))
    }

    /// Closes the least recently used connection that nothing needs; returns `false` if all are needed.
    fn close_longest_idle(&mut self, is_needed: impl Fn(FlowId) -> bool, out: &mut Outbox) -> bool {
        let mut oldest: Vec<(u64, FlowId)> = self.flows.values().map(|opened| (opened.used, opened.flow.id)).collect();
        oldest.sort_unstable();
        let Some((_, idle)) = oldest.into_iter().find(|(_, id)| !is_needed(*id)) else { return false };
        self.flows.retain(|_, opened| opened.flow.id != idle);
        out.close(idle);
        true
    }

    fn near(&self, peer: SocketAddr) -> impl Iterator<Item = &Flow> {
        self.listeners.iter().filter(move |listener| listener.local.is_ipv4() == peer.is_ipv4())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::endpoint::event::SipOutput;

    fn connections(most: usize) -> Connections {
        let mut connections = Connections::new(most);
        for (id, transport, local) in [
            (1, Transport::Udp, "192.0.2.1:5060"),
            (2, Transport::Tcp, "192.0.2.1:5062"),
            (3, Transport::Tcp, "[2001:db8::1]:5060"),
        ] {
            let local = local.parse().unwrap();
            connections.listen(Flow { id: FlowId(id), transport, local, peer: local });
        }
        connections
    }

    fn peer(n: u8) -> SocketAddr {
        SocketAddr::from(([198, 51, 100, n], 5060))
    }

    /// Opens a connection, or uses the one that is there.
    fn open(connections: &mut Connections, n: u8, needed: &[FlowId], out: &mut Outbox) -> Option<FlowId> {
        let is_needed = |id| needed.contains(&id);
        connections.towards(Transport::Tcp, peer(n), "host", is_needed, out).map(|flow| flow.id)
    }

    #[test]
    fn requests_leave_from_a_listener_of_the_peers_family() {
        let (mut connections, mut out) = (connections(8), Outbox::new());
        let v6: SocketAddr = "[2001:db8::7]:5060".parse().unwrap();
        for (transport, to, from) in [
            (Transport::Udp, peer(7), Some("192.0.2.1:5060")),
            (Transport::Udp, v6, None),
            (Transport::Tcp, peer(7), Some("192.0.2.1:5062")),
            (Transport::Tls, peer(7), Some("192.0.2.1:5060")),
            (Transport::Tcp, v6, Some("[2001:db8::1]:5060")),
            (Transport::Ws, peer(7), None),
        ] {
            let flow = connections.towards(transport, to, "host", |_| false, &mut out);
            assert_eq!(
                flow.map(|flow| (flow.local.to_string(), flow.peer)),
                from.map(|from| (from.into(), to)),
                "{to}"
            );
        }
        connections.closed(FlowId(3));
        assert!(connections.reaches(peer(7)) && !connections.reaches(v6));
    }

    #[test]
    fn a_connection_is_opened_once_until_it_closes() {
        let (mut connections, mut out) = (connections(8), Outbox::new());
        let first = open(&mut connections, 1, &[], &mut out).unwrap();
        assert!(matches!(out.poll(), Some(SipOutput::Connect { flow, .. }) if flow.id == first));
        assert_eq!((open(&mut connections, 1, &[], &mut out), out.is_empty()), (Some(first), true));
        assert!(connections.may_be_open(first));
        connections.closed(first);
        assert!(!connections.may_be_open(first) && connections.may_be_open(FlowId(9)), "others are the driver's");
        assert!(!connections.may_be_open(FlowId::GONE));
        assert_ne!(open(&mut connections, 1, &[], &mut out), Some(first));
    }

    #[test]
    fn room_is_made_by_the_least_recently_used_that_nothing_needs() {
        let (mut connections, mut out) = (connections(3), Outbox::new());
        let [one, two, three] = [1, 2, 3].map(|n| open(&mut connections, n, &[], &mut out).unwrap());
        open(&mut connections, 1, &[], &mut out);
        (0..3).for_each(|_| drop(out.poll()));
        let four = open(&mut connections, 4, &[two], &mut out).unwrap();
        assert_eq!(out.poll(), Some(SipOutput::CloseFlow(three)));
        assert_eq!(open(&mut connections, 5, &[one, two, four], &mut out), None);
        assert_eq!(out.overflows(), 1);
    }
}
