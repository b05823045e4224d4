//! Listeners from the configuration, and the addresses under which peers see them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::{TcpListener, UdpSocket};

use super::Listener;
use crate::error::StartError;
use crate::sip::Transport;

/// A port for querying the system's routes; nothing is sent to it.
const ANY_PORT: u16 = 5060;
/// Kernel buffer of a UDP listener: a burst of some thousand messages while the owner is busy.
const UDP_BUFFER: usize = 4 << 20;

/// A bound listener socket.
#[derive(Debug)]
pub(super) enum Bound {
    Udp(Arc<UdpSocket>, SocketAddr),
    Tcp(TcpListener, SocketAddr),
    Tls(TcpListener, SocketAddr),
}

impl Bound {
    pub(super) fn listener(&self) -> Listener {
        match self {
            Bound::Udp(_, address) => Listener { transport: Transport::Udp, address: *address },
            Bound::Tcp(_, address) => Listener { transport: Transport::Tcp, address: *address },
            Bound::Tls(_, address) => Listener { transport: Transport::Tls, address: *address },
        }
    }
}

/// Binds every entry of `sip.listen`, such as `udp:127.0.0.1:5060`.
pub(super) fn bind_all(entries: &[String]) -> Result<Vec<Bound>, StartError> {
    entries.iter().map(|entry| bind(entry)).collect()
}

fn bind(entry: &str) -> Result<Bound, StartError> {
    let (transport, address) = parse_entry(entry)?;
    let fail = |source| StartError::Listen { key: "sip.listen", address: entry.to_owned(), source };
    let bound = match transport {
        Transport::Udp => bind_udp(address).map(|(socket, address)| Bound::Udp(socket, address)),
        Transport::Tls => bind_tcp(address).map(|(socket, address)| Bound::Tls(socket, address)),
        _ => bind_tcp(address).map(|(socket, address)| Bound::Tcp(socket, address)),
    };
    bound.map_err(fail)
}

fn parse_entry(entry: &str) -> Result<(Transport, SocketAddr), StartError> {
    let expected = || StartError::Config {
        key: "sip.listen".into(),
        problem: format!("`{entry}`: expected udp:, tcp: or tls:ADDRESS:PORT, such as udp:0.0.0.0:5060"),
    };
    let (transport, address) = entry.split_once(':').ok_or_else(expected)?;
    let transport = match transport {
        "udp" => Transport::Udp,
        "tcp" => Transport::Tcp,
        "tls" => Transport::Tls,
        _ => return Err(expected()),
    };
    Ok((transport, address.parse().map_err(|_| expected())?))
}

fn bind_udp(address: SocketAddr) -> io::Result<(Arc<UdpSocket>, SocketAddr)> {
    let socket = std::net::UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    // As large as the system allows; the listener works with less.
    if let Err(error) = socket2::SockRef::from(&socket).set_recv_buffer_size(UDP_BUFFER) {
        tracing::debug!(%error, "UDP receive buffer size not changed");
    }
    let address = socket.local_addr()?;
    Ok((Arc::new(UdpSocket::from_std(socket)?), address))
}

fn bind_tcp(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a stopped server linger in TIME_WAIT and would keep the port in use.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from_std(socket.into())?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Returns the address that `peer` sees when a listener on `bound` sends to it: its own, or for a listener on all
/// addresses the one that the system's routes choose. Nothing is sent.
pub(super) fn address_towards(bound: SocketAddr, peer: IpAddr) -> SocketAddr {
    if !bound.ip().is_unspecified() {
        return bound;
    }
    let any: IpAddr = if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let chosen = std::net::UdpSocket::bind((any, 0)).and_then(|probe| {
        probe.connect((peer, ANY_PORT))?;
        probe.local_addr()
    });
    let loopback: IpAddr = if peer.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    SocketAddr::new(chosen.map_or(loopback, |address| address.ip().to_canonical()), bound.port())
}

/// Returns the address under which most peers see a listener on `bound`.
pub(super) fn route_to_anywhere(bound: IpAddr) -> IpAddr {
    // Documentation addresses (RFC 5737, RFC 3849): routed like any other, but assigned to no host.
    let anywhere: IpAddr = match bound {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    address_towards(SocketAddr::new(bound, ANY_PORT), anywhere).ip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_cannot_be_read_are_explained() {
        for entry in ["", "udp", "udp:", "udp:5060", "ws:127.0.0.1:5061", "127.0.0.1:5060", "udp:localhost:5060"] {
            let error = parse_entry(entry).unwrap_err().to_string();
            assert!(error.contains(entry) && error.contains("tls:ADDRESS:PORT"), "{error}");
        }
        assert_eq!(parse_entry("tcp:[::1]:5060").unwrap(), (Transport::Tcp, "[::1]:5060".parse().unwrap()));
        assert_eq!(parse_entry("tls:[::1]:5061").unwrap(), (Transport::Tls, "[::1]:5061".parse().unwrap()));
    }

    #[tokio::test]
    async fn a_taken_port_is_named_with_its_key() {
        let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let entry = format!("udp:{}", taken.local_addr().unwrap());
        let error = bind(&entry).unwrap_err().to_string();
        assert!(error.contains("sip.listen") && error.contains(&entry), "{error}");
    }

    #[test]
    fn a_listener_on_all_addresses_is_seen_under_the_routed_address() {
        let bound = "0.0.0.0:5060".parse().unwrap();
        assert_eq!(address_towards(bound, Ipv4Addr::LOCALHOST.into()), "127.0.0.1:5060".parse().unwrap());
        let bound = "127.0.0.1:5060".parse().unwrap();
        assert_eq!(address_towards(bound, Ipv4Addr::new(192, 0, 2, 1).into()), bound);
    }
}
