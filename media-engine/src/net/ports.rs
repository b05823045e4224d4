//! Pairs of UDP ports for plain RTP legs.
//!
//! ```text
//! PortRange ── lease() ──▶ PortLease { rtp: even port, rtcp: the odd one above }   ── drop ──▶ free again
//! ```
//!
//! Invariants: the operating system's bind is the only judge of what is free, so other programs on the same
//! range do no harm; the range is walked round, so a port just freed is the last to be given again and late packets of an
//! old call do not reach a new one. Not here: which leg owns a lease, and the shared ports of browser legs
//! beyond their binding.
//!
//! Sources: RFC 3550 section 11 (even port for RTP, the next for RTCP), RFC 4594 section 4.1 (EF for telephony).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use socket2::{Domain, Protocol, Socket, Type};

/// DSCP "expedited forwarding" in the place of the TOS byte.
const TOS_EXPEDITED: u32 = 0xb8;

/// No pair of the range can be bound.
#[derive(Debug, thiserror::Error)]
#[error("no pair of UDP ports is free in {low}-{high} on {address}: {source}; widen `media.ports`")]
pub struct NoPorts {
    /// Where ports were sought.
    pub address: IpAddr,
    /// First port of the range.
    pub low: u16,
    /// Last port of the range.
    pub high: u16,
    /// What the system said last.
    pub source: io::Error,
}

/// A range of media ports on one address. Clones share the count and the place of the search.
#[derive(Clone, Debug)]
pub struct PortRange {
    address: IpAddr,
    low: u16,
    high: u16,
    next: Arc<AtomicUsize>,
    leased: Arc<AtomicUsize>,
}

impl PortRange {
    /// The range `low..=high` on `address`. An address that is not this host's own (a public address before a 1:1 NAT) is
    /// served by sockets on every local address.
    pub fn new(address: IpAddr, (low, high): (u16, u16)) -> PortRange {
        PortRange { address, low, high, next: Arc::default(), leased: Arc::default() }
    }

    /// Binds a free pair. Errors: every pair is taken, or the address cannot be bound at all.
    pub fn lease(&self) -> Result<PortLease, NoPorts> {
        let first = u32::from(self.low) + u32::from(self.low % 2);
        let pairs = ((u32::from(self.high) + 1).saturating_sub(first) / 2) as usize;
        let mut last = io::Error::new(io::ErrorKind::InvalidInput, "the range holds no even and odd pair");
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        for step in 0..pairs {
            let rtp_port = (first as usize + (start.wrapping_add(step) % pairs) * 2) as u16;
            match self.bind_pair(rtp_port) {
                Ok((rtp, rtcp)) => {
                    self.next.fetch_add(step, Ordering::Relaxed);
                    self.leased.fetch_add(1, Ordering::Relaxed);
                    return Ok(PortLease { rtp, rtcp, rtp_port, count: LeaseCount(Arc::clone(&self.leased)) });
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                Err(error) => {
                    last = error;
                    break;
                }
            }
        }
        Err(NoPorts { address: self.address, low: self.low, high: self.high, source: last })
    }

    /// Address that goes into SDP.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Pairs that are leased now.
    pub fn leased(&self) -> usize {
        self.leased.load(Ordering::Relaxed)
    }

    fn bind_pair(&self, rtp_port: u16) -> io::Result<(UdpSocket, UdpSocket)> {
        let rtp = bind_media(self.address, rtp_port)?;
        // Room for what a flood brings while the thread is held up; a refusal leaves the system's default.
        let _ = socket2::SockRef::from(&rtp).set_recv_buffer_size(LEG_BUFFER);
        let rtcp = bind_media(self.address, rtp_port + 1)?;
        Ok((rtp, rtcp))
    }
}

/// A bound pair of ports; both are free again when it is dropped.
#[derive(Debug)]
pub struct PortLease {
    /// Socket on the even port, non-blocking.
    pub rtp: UdpSocket,
    /// Socket on the odd port above, non-blocking.
    pub rtcp: UdpSocket,
    rtp_port: u16,
    #[allow(dead_code, reason = "counts down when dropped")]
    count: LeaseCount,
}

impl PortLease {
    /// Port for RTP, as it goes into SDP.
    pub fn rtp_port(&self) -> u16 {
        self.rtp_port
    }

    /// Port for RTCP.
    pub fn rtcp_port(&self) -> u16 {
        self.rtp_port + 1
    }
}

/// Receive buffer of a leg's RTP socket, bytes: at 10,000 small packets a second it lasts for some 100 ms, where the usual
/// default lasts for 20 ms (measured: `tests/worker_flood.rs` on a machine loaded sevenfold lost 3 % with the default).
const LEG_BUFFER: usize = 1 << 20;

/// Counts one lease down when dropped.
#[derive(Debug)]
struct LeaseCount(Arc<AtomicUsize>);

impl Drop for LeaseCount {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Binds the highest free port of the range, for a worker's browser legs; per-call pairs are sought from below.
pub(crate) fn bind_shared(address: IpAddr, (low, high): (u16, u16)) -> io::Result<(UdpSocket, SocketAddr)> {
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "the port range is empty");
    for port in (low..=high).rev() {
        match bind_media(address, port) {
            Ok(socket) => {
                let reference = socket2::SockRef::from(&socket);
                // Many browsers' packets may wait here at once; a refusal leaves the system's default.
                let _ = reference.set_recv_buffer_size(4 << 20);
                let _ = reference.set_send_buffer_size(4 << 20);
                return Ok((socket, SocketAddr::new(address, port)));
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

fn bind_media(address: IpAddr, port: u16) -> io::Result<UdpSocket> {
    match bind(address, port) {
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            let any = match address {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            };
            bind(any, port)
        }
        other => other,
    }
}

fn bind(address: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let at = SocketAddr::new(address, port);
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // Marking is a wish: networks that do not know it ignore it, and so do we if it is refused.
    let _ = match address {
        IpAddr::V4(_) => socket.set_tos_v4(TOS_EXPEDITED),
        IpAddr::V6(_) => socket.set_tclass_v6(TOS_EXPEDITED),
    };
    socket.bind(&at.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn pair_is_even_and_odd_and_comes_back_when_dropped() {
        let range = PortRange::new(LOOPBACK, (17_001, 17_099));
        let lease = range.lease().unwrap();
        assert_eq!(lease.rtp_port() % 2, 0);
        assert_eq!(lease.rtp.local_addr().unwrap().port(), lease.rtp_port());
        assert_eq!(lease.rtcp.local_addr().unwrap().port(), lease.rtp_port() + 1);
        assert_eq!(range.leased(), 1);
        drop(lease);
        assert_eq!(range.leased(), 0);
    }

    #[test]
    fn exhausted_range_is_refused_and_usable_again_after_a_lease_ends() {
        let range = PortRange::new(LOOPBACK, (17_100, 17_103));
        let first = range.lease().unwrap();
        let second = range.lease().unwrap();
        assert_ne!(first.rtp_port(), second.rtp_port());
        let refusal = range.lease().unwrap_err();
        assert!(refusal.to_string().contains("17100-17103"), "{refusal}");
        drop(first);
        assert!(range.lease().is_ok());
    }

    #[test]
    fn range_without_a_pair_is_refused() {
        assert!(PortRange::new(LOOPBACK, (17_105, 17_106)).lease().is_err());
    }

    #[test]
    fn port_taken_by_another_program_is_passed_over() {
        let taken = UdpSocket::bind((LOOPBACK, 17_111)).unwrap();
        let range = PortRange::new(LOOPBACK, (17_110, 17_113));
        assert_eq!(range.lease().unwrap().rtp_port(), 17_112);
        drop(taken);
    }

    #[test]
    fn foreign_address_is_served_on_every_local_one() {
        let range = PortRange::new("192.0.2.1".parse().unwrap(), (17_120, 17_129));
        let lease = range.lease().unwrap();
        assert!(lease.rtp.local_addr().unwrap().ip().is_unspecified());
    }
}
