//! Flows: the path by which a message arrived and by which its responses leave (RFC 5626 section 2).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Identity of a flow: a connection, or a UDP listener. Unique in the process, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId(pub u64);

impl FlowId {
    /// Set in flows that the endpoint names; the driver's own numbers never get that high.
    const OUTGOING: u64 = 1 << 63;

    /// No connection: that of a dialog has closed, and its next request needs another one. No real flow has this id.
    pub(crate) const GONE: FlowId = FlowId(0);

    /// Returns the id of the `count`th connection that we open.
    pub(crate) fn outgoing(count: u64) -> FlowId {
        FlowId(FlowId::OUTGOING | count)
    }

    /// Returns whether it is a connection that we opened.
    pub fn is_outgoing(self) -> bool {
        self.0 & FlowId::OUTGOING != 0
    }
}

/// Transport protocol of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams; lossy, so requests and final answers are retransmitted.
    Udp,
    /// A TCP connection, framed by Content-Length.
    Tcp,
    /// A TLS connection.
    Tls,
    /// A WebSocket (RFC 7118).
    Ws,
    /// A WebSocket over TLS.
    Wss,
}

impl Transport {
    /// Returns whether the transport either delivers or reports failure; then nothing is retransmitted (RFC 3261
    /// section 17).
    pub fn is_reliable(self) -> bool {
        self != Transport::Udp
    }

    /// Returns whether TLS protects it.
    pub fn is_secure(self) -> bool {
        matches!(self, Transport::Tls | Transport::Wss)
    }

    /// Returns whether the peer is a browser behind a WebSocket.
    pub fn is_websocket(self) -> bool {
        matches!(self, Transport::Ws | Transport::Wss)
    }

    /// Returns the transport's name in a Via header (RFC 3261 section 20.42, RFC 7118 section 5.2).
    pub fn via_token(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
            Transport::Ws => "WS",
            Transport::Wss => "WSS",
        }
    }

    /// Returns the value of a `transport` URI parameter; `None` for UDP, which is the default.
    pub fn uri_parameter(self) -> Option<&'static str> {
        match self {
            Transport::Udp => None,
            Transport::Tcp => Some("tcp"),
            Transport::Tls => Some("tls"),
            Transport::Ws | Transport::Wss => Some("ws"),
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.via_token())
    }
}

/// One path for messages: a connection, or a UDP listener together with a peer's address.
///
/// For UDP the `id` is the listener's and `peer` is the datagram's source or destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Id of the connection or UDP listener.
    pub id: FlowId,
    /// Transport of the connection or listener.
    pub transport: Transport,
    /// Our address: written into Via and Contact.
    pub local: SocketAddr,
    /// Address of the peer.
    pub peer: SocketAddr,
}

impl Flow {
    /// Returns the same listener towards another peer. Only UDP flows have other peers; a connection is returned
    /// unchanged.
    pub fn towards(self, peer: SocketAddr) -> Flow {
        if self.transport == Transport::Udp { Flow { peer, ..self } } else { self }
    }
}

/// Network of one customer: an IPv4 address, or the /64 of an IPv6 one (RFC 6177).
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}
