//! Trunks: carriers known by their addresses.
//!
//! A trunk needs no password: its requests are known by the IP address they come from, over UDP, TCP or TLS. A
//! WebSocket never belongs to a trunk, whatever its address: browsers must give a password even from the same host.
//!
//! Not here: digest answers to a trunk's challenges, registration with a trunk, failover.

use std::net::{IpAddr, SocketAddr};

use crate::sip::endpoint::{Flow, Transport};

/// A carrier's SIP connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trunk {
    /// Name used in routes and commands.
    pub name: String,
    /// Addresses from which calls are taken.
    pub addresses: Vec<IpAddr>,
    /// Where calls go.
    pub destinations: Vec<Destination>,
}

/// One place to which a trunk's calls can go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Host as it was configured: in Request-URIs, and the name that a TLS certificate must be for.
    pub host: String,
    /// Port as it was configured.
    pub port: Option<u16>,
    /// What carries requests there.
    pub transport: Transport,
    /// Its addresses as they were last resolved, in the order to be tried.
    pub addresses: Vec<SocketAddr>,
    /// Lower is tried first (RFC 2782).
    pub priority: u16,
    /// Share of calls among destinations of the same priority (RFC 2782).
    pub weight: u16,
}

impl Destination {
    /// A destination by its address over UDP, as good as any other.
    pub fn udp(address: SocketAddr) -> Destination {
        Destination {
            host: address.ip().to_string(),
            port: Some(address.port()),
            transport: Transport::Udp,
            addresses: vec![address],
            priority: 0,
            weight: 1,
        }
    }
}

impl Trunk {
    /// Names lead elsewhere now. Calls are taken from all destinations, and from addresses that were never one's.
    pub(crate) fn resolved(&mut self, destinations: Vec<Destination>) {
        let hosts = |destinations: &[Destination]| -> Vec<IpAddr> {
            destinations.iter().flat_map(|destination| &destination.addresses).map(SocketAddr::ip).collect()
        };
        let (before, after) = (hosts(&self.destinations), hosts(&destinations));
        self.addresses.retain(|address| !before.contains(address) && !after.contains(address));
        self.addresses.extend(after);
        self.destinations = destinations;
    }
}

/// The trunk that a message on `flow` comes from, if any.
pub(crate) fn trunk_of<'t>(trunks: &'t [Trunk], flow: &Flow) -> Option<&'t Trunk> {
    if flow.transport.is_websocket() {
        return None;
    }
    let peer = flow.peer.ip().to_canonical();
    trunks.iter().find(|trunk| trunk.addresses.iter().any(|address| address.to_canonical() == peer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::endpoint::FlowId;

    fn flow(transport: Transport, peer: &str) -> Flow {
        Flow { id: FlowId(1), transport, local: "192.0.2.1:5060".parse().unwrap(), peer: peer.parse().unwrap() }
    }

    #[test]
    fn resolved_addresses_come_and_go_and_configured_ones_stay() {
        let at = |address: &str| Destination::udp(address.parse().unwrap());
        let mut trunk = Trunk {
            name: "carrier".into(),
            addresses: vec!["192.0.2.1".parse().unwrap(), "198.51.100.7".parse().unwrap()],
            destinations: vec![at("198.51.100.7:5060")],
        };
        trunk.resolved(vec![at("198.51.100.8:5060"), at("198.51.100.7:5070")]);
        assert_eq!(
            trunk.addresses,
            ["192.0.2.1", "198.51.100.8", "198.51.100.7"].map(|ip| ip.parse::<IpAddr>().unwrap())
        );
        trunk.resolved(vec![at("198.51.100.9:5060")]);
        assert_eq!(trunk.addresses, ["192.0.2.1", "198.51.100.9"].map(|ip| ip.parse::<IpAddr>().unwrap()));
        assert_eq!(trunk.destinations, [at("198.51.100.9:5060")]);
    }

    #[test]
    fn a_trunk_is_known_by_address_whatever_its_port_and_never_over_a_websocket() {
        let trunks = [Trunk {
            name: "carrier".into(),
            addresses: vec!["198.51.100.7".parse().unwrap()],
            destinations: vec![Destination::udp("198.51.100.7:5060".parse().unwrap())],
        }];
        for (transport, peer, found) in [
            (Transport::Udp, "198.51.100.7:5060", true),
            (Transport::Tcp, "198.51.100.7:40123", true),
            (Transport::Udp, "[::ffff:198.51.100.7]:5060", true),
            (Transport::Udp, "198.51.100.8:5060", false),
            (Transport::Ws, "198.51.100.7:40123", false),
            (Transport::Wss, "198.51.100.7:40123", false),
        ] {
            assert_eq!(trunk_of(&trunks, &flow(transport, peer)).is_some(), found, "{transport} {peer}");
        }
    }
}
