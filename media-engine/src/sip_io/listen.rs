//! Listeners from the configuration, trunks' hosts, and the address that peers see.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UdpSocket};

use super::Listener;
use crate::config::TrunkConfig;
use crate::error::StartError;
use crate::sip::trunk::Destination;
use crate::sip::{Transport, Trunk};

/// Port of SIP where none is written.
const SIP_PORT: u16 = 5060;
/// Kernel buffer of a UDP listener: a burst of some thousand messages while the owner is busy.
const UDP_BUFFER: usize = 4 << 20;
/// How long names of trunks may take to resolve at start.
const RESOLVE: Duration = Duration::from_secs(5);

/// A bound listener.
#[derive(Debug)]
pub(super) enum Bound {
    Udp(Arc<UdpSocket>, SocketAddr),
    Tcp(TcpListener, SocketAddr),
}

impl Bound {
    pub(super) fn listener(&self) -> Listener {
        match self {
            Bound::Udp(_, address) => Listener { transport: Transport::Udp, address: *address },
            Bound::Tcp(_, address) => Listener { transport: Transport::Tcp, address: *address },
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
        _ => bind_tcp(address).map(|(socket, address)| Bound::Tcp(socket, address)),
    };
    bound.map_err(fail)
}

fn parse_entry(entry: &str) -> Result<(Transport, SocketAddr), StartError> {
    let expected = || StartError::Config {
        key: "sip.listen".into(),
        problem: format!("`{entry}`: expected udp:ADDRESS:PORT or tcp:ADDRESS:PORT, such as udp:0.0.0.0:5060"),
    };
    let (transport, address) = entry.split_once(':').ok_or_else(expected)?;
    let transport = match transport {
        "udp" => Transport::Udp,
        "tcp" => Transport::Tcp,
        _ => return Err(expected()),
    };
    Ok((transport, address.parse().map_err(|_| expected())?))
}

fn bind_udp(address: SocketAddr) -> io::Result<(Arc<UdpSocket>, SocketAddr)> {
    let socket = std::net::UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    // As large as the system allows; the listener works with less.
    if let Err(error) = socket2::SockRef::from(&socket).set_recv_buffer_size(UDP_BUFFER) {
        tracing::debug!(%error, "UDP receive buffer stays as it is");
    }
    let address = socket.local_addr()?;
    Ok((Arc::new(UdpSocket::from_std(socket)?), address))
}

fn bind_tcp(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a stopped server linger in TIME_WAIT and would keep the port taken.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from_std(socket.into())?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// The address that `peer` sees when a listener on `bound` sends to it: its own, or for a listener on all
/// addresses the one that the system's routes choose. Nothing is sent.
pub(super) fn address_towards(bound: SocketAddr, peer: IpAddr) -> SocketAddr {
    if !bound.ip().is_unspecified() {
        return bound;
    }
    let any: IpAddr = if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let chosen = std::net::UdpSocket::bind((any, 0)).and_then(|probe| {
        probe.connect((peer, SIP_PORT))?;
        probe.local_addr()
    });
    let loopback: IpAddr = if peer.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    SocketAddr::new(chosen.map_or(loopback, |address| address.ip().to_canonical()), bound.port())
}

/// The address from which most peers see a listener on `bound`.
pub(super) fn route_to_anywhere(bound: IpAddr) -> IpAddr {
    // Documentation addresses (RFC 5737, RFC 3849): routed like any other, reached by nothing.
    let anywhere: IpAddr = match bound {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    address_towards(SocketAddr::new(bound, SIP_PORT), anywhere).ip()
}

/// A trunk's hosts as addresses. Names are resolved once, at start.
pub(super) async fn resolve_trunk(trunk: &TrunkConfig) -> Result<Trunk, StartError> {
    let fail = |problem| StartError::Config { key: format!("trunks.{}.hosts", trunk.name), problem };
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for host in &trunk.hosts {
        match parse_host(host) {
            Some(address) => addresses.push(address),
            None => addresses.extend(resolve_name(host).await.map_err(&fail)?),
        }
    }
    if addresses.is_empty() {
        return Err(fail("expected at least one address".into()));
    }
    // In the order of the configuration.
    let destination = |(at, address): (usize, &SocketAddr)| Destination {
        priority: u16::try_from(at).unwrap_or(u16::MAX),
        ..Destination::udp(*address)
    };
    Ok(Trunk {
        name: trunk.name.clone(),
        addresses: addresses.iter().map(SocketAddr::ip).collect(),
        destinations: addresses.iter().enumerate().map(destination).collect(),
        settings: trunk.sip.clone(),
    })
}

/// `address`, `address:port`, `[v6]:port`.
fn parse_host(host: &str) -> Option<SocketAddr> {
    let bare = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host);
    host.parse().ok().or_else(|| bare.parse().ok().map(|ip| SocketAddr::new(ip, SIP_PORT)))
}

async fn resolve_name(host: &str) -> Result<Vec<SocketAddr>, String> {
    let with_port = if host.contains(':') { host.to_owned() } else { format!("{host}:{SIP_PORT}") };
    let advice = "write its address, or check the name and this machine's resolver";
    match tokio::time::timeout(RESOLVE, tokio::net::lookup_host(with_port)).await {
        Ok(Ok(found)) => Ok(found.collect()),
        Ok(Err(error)) => Err(format!("`{host}` cannot be resolved: {error}; {advice}")),
        Err(_) => Err(format!("`{host}` was not resolved within {} s; {advice}", RESOLVE.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_cannot_be_read_are_explained() {
        for entry in ["", "udp", "udp:", "udp:5060", "tls:127.0.0.1:5061", "127.0.0.1:5060", "udp:localhost:5060"] {
            let error = parse_entry(entry).unwrap_err().to_string();
            assert!(error.contains(entry) && error.contains("udp:ADDRESS:PORT"), "{error}");
        }
        assert_eq!(parse_entry("tcp:[::1]:5060").unwrap(), (Transport::Tcp, "[::1]:5060".parse().unwrap()));
    }

    #[test]
    fn hosts_of_trunks_are_read_with_and_without_port() {
        for (host, address) in [
            ("192.0.2.1", "192.0.2.1:5060"),
            ("192.0.2.1:5080", "192.0.2.1:5080"),
            ("2001:db8::1", "[2001:db8::1]:5060"),
            ("[2001:db8::1]", "[2001:db8::1]:5060"),
            ("[2001:db8::1]:5080", "[2001:db8::1]:5080"),
        ] {
            assert_eq!(parse_host(host), Some(address.parse().unwrap()), "{host}");
        }
        assert_eq!(parse_host("sip.example.com"), None);
    }

    #[tokio::test]
    async fn a_taken_port_is_named_with_its_key() {
        let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let entry = format!("udp:{}", taken.local_addr().unwrap());
        let error = bind(&entry).unwrap_err().to_string();
        assert!(error.contains("sip.listen") && error.contains(&entry), "{error}");
    }

    #[test]
    fn a_listener_on_all_addresses_is_seen_where_the_route_leads() {
        let bound = "0.0.0.0:5060".parse().unwrap();
        assert_eq!(address_towards(bound, Ipv4Addr::LOCALHOST.into()), "127.0.0.1:5060".parse().unwrap());
        let bound = "127.0.0.1:5060".parse().unwrap();
        assert_eq!(address_towards(bound, Ipv4Addr::new(192, 0, 2, 1).into()), bound);
    }
}
