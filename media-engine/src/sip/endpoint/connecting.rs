//! Which flow leads to an address.

use std::net::SocketAddr;

use super::Endpoint;
use super::flow::{Flow, Transport};

impl Endpoint {
    /// The way to an address; `None` when no listener fits.
    pub(super) fn flow_towards(&mut self, transport: Transport, peer: SocketAddr, _server_name: &str) -> Option<Flow> {
        match transport {
            Transport::Udp => self.listener_towards(peer),
            _ => None,
        }
    }
}
