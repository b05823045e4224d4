//! Pairs of UDP ports for plain RTP legs.
//!
//! ```text
//! PortRange ── lease() ──▶ PortLease { rtp: even port, rtcp: the odd one above }   ── drop ──▶ free again
//! ```
//!
//! Invariants: leased pairs are not tried, so a lease costs the same however many there are. Of the other pairs the operating
//! system's bind decides, so other programs on the same range do no harm; at most [`TRIES`] of their pairs are skipped per
//! lease. Pairs wait in a queue that is shuffled at the start: a pair just freed is the last to be leased again, so late packets of
//! an old call do not reach a new one, and the ports of the next call cannot be predicted. Not here: which leg owns a lease, and
//! the shared ports of browser legs beyond their binding.
//!
//! Sources: RFC 3550 section 11 (even port for RTP, the next for RTCP), RFC 4594 section 4.1 (EF for telephony).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use crossbeam_queue::ArrayQueue;
use socket2::{Domain, Protocol, Socket, Type};

/// DSCP "expedited forwarding", shifted to its position in the TOS byte.
const TOS_EXPEDITED: u32 = 0xb8;

/// Maximum number of pairs held by other programs that one lease skips.
const TRIES: usize = 32;

/// No pair of ports in the range can be bound.
#[derive(Debug, thiserror::Error)]
#[error("no pair of UDP ports is free in {low}-{high} on {address}: {source}; widen `media.ports`")]
pub struct NoPorts {
    /// Address on which ports were sought.
    pub address: IpAddr,
    /// First port of the range.
    pub low: u16,
    /// Last port of the range.
    pub high: u16,
    /// Last error of the operating system.
    pub source: io::Error,
}

/// A range of media ports on one address. Clones share the queue of free pairs.
#[derive(Clone, Debug)]
pub struct PortRange {
    address: IpAddr,
    low: u16,
    high: u16,
    free: Arc<Free>,
}

/// Pairs that are not leased, by their even port, the longest free first.
#[derive(Debug)]
struct Free {
    waiting: ArrayQueue<u16>,
    /// Number of pairs in the whole range.
    pairs: usize,
}

impl PortRange {
    /// Creates the range `low..=high` on `address`. If the address does not belong to this host (a public address before a 1:1
    /// NAT), the sockets are bound to every local address.
    pub fn new(address: IpAddr, (low, high): (u16, u16)) -> PortRange {
        let even = (low..high).filter(|port| port % 2 == 0);
        let mut shuffled: Vec<u16> = even.collect();
        shuffle(&mut shuffled);
        let pairs = shuffled.len();
        let waiting = ArrayQueue::new(pairs.max(1));
        for port in shuffled {
            // The queue has room for all pairs.
            let _ = waiting.push(port);
        }
        PortRange { address, low, high, free: Arc::new(Free { waiting, pairs }) }
    }

    /// Binds a free pair.
    ///
    /// # Errors
    /// [`NoPorts`] if every pair is leased, if other programs hold all that were tried, or if the address cannot be bound at all.
    /// The caller should refuse the leg.
    pub fn lease(&self) -> Result<PortLease, NoPorts> {
        let mut last = io::Error::new(io::ErrorKind::AddrInUse, "every pair is in use");
        for _ in 0..TRIES.min(self.free.pairs) {
            let Some(rtp_port) = self.free.waiting.pop() else { break };
            // In any case the pair returns to the end of the queue.
            let place = Place { rtp_port, free: Arc::clone(&self.free) };
            match self.bind_pair(rtp_port) {
                Ok((rtp, rtcp)) => return Ok(PortLease { rtp, rtcp, place }),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                Err(error) => {
                    last = error;
                    break;
                }
            }
        }
        Err(NoPorts { address: self.address, low: self.low, high: self.high, source: last })
    }

    /// Returns the address that is written into SDP.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Returns the number of pairs that are leased now.
    pub fn leased(&self) -> usize {
        self.free.pairs - self.free.waiting.len()
    }

    fn bind_pair(&self, rtp_port: u16) -> io::Result<(UdpSocket, UdpSocket)> {
        let rtp = bind_media(self.address, rtp_port)?;
        // Room for the packets of a flood while the thread is delayed; if refused, the system's default remains.
        let _ = socket2::SockRef::from(&rtp).set_recv_buffer_size(LEG_BUFFER);
        let rtcp = bind_media(self.address, rtp_port + 1)?;
        Ok((rtp, rtcp))
    }
}

/// A bound pair of ports; both are free again when the lease is dropped.
#[derive(Debug)]
pub struct PortLease {
    /// Socket on the even port, non-blocking.
    pub rtp: UdpSocket,
    /// Socket on the odd port above, non-blocking.
    pub rtcp: UdpSocket,
    /// Dropped last: the pair returns to the queue after its sockets are closed.
    place: Place,
}

impl PortLease {
    /// Returns the port for RTP, as written into SDP.
    pub fn rtp_port(&self) -> u16 {
        self.place.rtp_port
    }

    /// Returns the port for RTCP, one above that for RTP.
    pub fn rtcp_port(&self) -> u16 {
        self.place.rtp_port + 1
    }
}

/// Receive buffer of a leg's RTP socket in bytes: at 10,000 small packets a second it lasts for some 100 ms, whereas the usual
/// default lasts for 20 ms (measured: `tests/worker_flood.rs` on a machine loaded sevenfold lost 3 % with the default).
const LEG_BUFFER: usize = 1 << 20;

/// A pair that was taken out of the queue; dropping it appends it to the queue.
#[derive(Debug)]
struct Place {
    rtp_port: u16,
    free: Arc<Free>,
}

impl Drop for Place {
    fn drop(&mut self) {
        // The pair came out of this queue, so there is room for it.
        let _ = self.free.waiting.push(self.rtp_port);
    }
}

/// Puts ports in an unpredictable order; without the system's random source the order is unchanged.
fn shuffle(ports: &mut [u16]) {
    let mut seed = [0; 8];
    if aws_lc_rs::rand::fill(&mut seed).is_err() {
        return;
    }
    let mut random = u64::from_ne_bytes(seed);
    for at in (1..ports.len()).rev() {
        // One step of a linear congruential generator (Knuth's MMIX); only its upper bits are random enough.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ports.swap(at, (random >> 33) as usize % (at + 1));
    }
}

/// Binds the highest free port of the range for a worker's browser legs; per-call pairs are taken from below.
pub(crate) fn bind_shared(address: IpAddr, (low, high): (u16, u16)) -> io::Result<(UdpSocket, SocketAddr)> {
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "the port range is empty");
    for port in (low..=high).rev() {
        match bind_media(address, port) {
            Ok(socket) => {
                let reference = socket2::SockRef::from(&socket);
                // Packets of many browsers may wait here at once; if refused, the system's default remains.
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
    // Marking is optional: some networks ignore it, and a refusal is ignored here.
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
    fn pair_is_even_and_odd_and_is_freed_when_dropped() {
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
    fn port_taken_by_another_program_is_skipped() {
        let taken = UdpSocket::bind((LOOPBACK, 17_111)).unwrap();
        let range = PortRange::new(LOOPBACK, (17_110, 17_113));
        for _ in 0..4 {
            assert_eq!(range.lease().unwrap().rtp_port(), 17_112);
        }
        drop(taken);
        assert_eq!(range.leased(), 0);
    }

    #[test]
    fn freed_pair_is_the_last_to_be_leased_again() {
        let range = PortRange::new(LOOPBACK, (17_130, 17_169));
        let first = range.lease().unwrap().rtp_port();
        let others: Vec<u16> = (1..20).map(|_| range.lease().unwrap().rtp_port()).collect();
        assert!(!others.contains(&first), "{first} was leased again among {others:?}");
        assert_eq!(range.lease().unwrap().rtp_port(), first);
    }

    #[test]
    fn ports_of_other_programs_cost_a_bounded_number_of_tries() {
        let taken: Vec<UdpSocket> =
            (17_200..17_400).step_by(2).map(|port| UdpSocket::bind((LOOPBACK, port)).unwrap()).collect();
        let range = PortRange::new(LOOPBACK, (17_200, 17_399));
        let order = || -> Vec<u16> {
            let waiting = &range.free.waiting;
            let all = std::iter::from_fn(|| waiting.pop()).collect::<Vec<u16>>();
            all.iter().for_each(|port| waiting.push(*port).unwrap());
            all
        };
        let before = order();
        assert!(range.lease().is_err());
        let after = order();
        assert_eq!(after[..after.len() - TRIES], before[TRIES..], "the others were not tried");
        drop(taken);
        assert!(range.lease().is_ok());
    }

    #[test]
    fn foreign_address_is_bound_on_every_local_address() {
        let range = PortRange::new("192.0.2.1".parse().unwrap(), (17_120, 17_129));
        let lease = range.lease().unwrap();
        assert!(lease.rtp.local_addr().unwrap().ip().is_unspecified());
    }
}
