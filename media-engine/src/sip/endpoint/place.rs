//! Places of trunks: the addresses of their destinations, each of which a request can be sent to.

use std::net::SocketAddr;

use crate::sip::flow::Transport;
use crate::sip::trunk::{Destination, TrunkIndex};
use crate::sip::uri::escape_user;

/// One address of one destination of a trunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) trunk: TrunkIndex,
    pub(super) transport: Transport,
    pub(super) address: SocketAddr,
    /// Host of the destination, for which its certificate must be valid.
    pub(super) host: String,
    /// Host and port as written in a Request-URI.
    pub(super) authority: String,
}

impl Place {
    pub(super) fn of(trunk: TrunkIndex, destination: &Destination, address: SocketAddr) -> Place {
        Place {
            trunk,
            transport: destination.transport,
            address,
            host: destination.host.clone(),
            authority: destination.authority(),
        }
    }

    /// Returns the SIP address of `user` there; of the place itself if `user` is empty.
    pub(super) fn uri(&self, user: &str) -> String {
        let transport = match self.transport.uri_parameter() {
            Some(name) => format!(";transport={name}"),
            None => String::new(),
        };
        match user {
            "" => format!("sip:{}{transport}", self.authority),
            user => format!("sip:{}@{}{transport}", escape_user(user), self.authority),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_addressed_with_its_user_and_transport() {
        let udp = Destination::udp("192.0.2.1:5060".parse().unwrap());
        let tls = Destination { host: "sip.example".into(), transport: Transport::Tls, port: None, ..udp.clone() };
        for (destination, user, uri) in [
            (&udp, "", "sip:192.0.2.1"),
            (&udp, "a b", "sip:a%20b@192.0.2.1"),
            (&tls, "1", "sip:1@sip.example;transport=tls"),
        ] {
            assert_eq!(Place::of(TrunkIndex(0), destination, destination.addresses[0]).uri(user), uri);
        }
    }
}
