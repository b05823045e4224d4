//! A network of the tests' own: datagrams go through it to one place, and some are lost or come late.
//!
//! What happens to a datagram depends on the seed and on how many came before it, so that losses are the same in every
//! run. Delays are real time, from the moment of arrival.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What a network does to its datagrams.
#[derive(Clone, Copy, Debug)]
pub struct Impairment {
    /// Decides about every single datagram.
    pub seed: u64,
    /// Share of datagrams that are lost, each for itself: 0 to 1.
    pub loss: f64,
    /// Every datagram is late by a span of its own, evenly spread from zero to this.
    pub jitter: Duration,
}

impl Impairment {
    /// Which of the first `count` datagrams are lost.
    pub fn losses(&self, count: usize) -> Vec<bool> {
        self.waits(count).iter().map(Option::is_none).collect()
    }

    /// By how much each of the first `count` datagrams is late; `None`: it is lost.
    pub fn waits(&self, count: usize) -> Vec<Option<Duration>> {
        let mut fate = self.fate();
        (0..count).map(|_| fate.next()).collect()
    }

    fn fate(&self) -> Fate {
        Fate { impairment: *self, random: StdRng::seed_from_u64(self.seed) }
    }
}

/// What becomes of one datagram after the other.
struct Fate {
    impairment: Impairment,
    random: StdRng,
}

impl Fate {
    /// How much later the next datagram comes; `None`: it is lost.
    fn next(&mut self) -> Option<Duration> {
        let (loss, wait) = (self.random.random::<f64>(), self.random.random::<f64>());
        (loss >= self.impairment.loss).then(|| self.impairment.jitter.mul_f64(wait))
    }
}

/// One direction of a network, from an address of its own to wherever [`Network::carry`] is told.
pub struct Network {
    socket: UdpSocket,
    address: SocketAddr,
}

impl Network {
    /// Binds both of its ends, which are one socket on 127.0.0.1.
    pub async fn bind() -> Network {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port on loopback");
        let address = socket.local_addr().expect("a bound socket has an address");
        Network { socket, address }
    }

    /// Where to send, and where what it carries comes from.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Carries `count` datagrams to `to`, which were to come `every` so often; what comes from there is dropped. Returns how
    /// many were lost on purpose, and by how much the times at which datagrams were passed on differ from an even spacing,
    /// ordered delays apart.
    pub async fn carry(
        self,
        to: SocketAddr,
        count: usize,
        every: Duration,
        impairment: Impairment,
    ) -> (usize, Duration) {
        let socket = std::sync::Arc::new(self.socket);
        let mut fate = impairment.fate();
        let (mut came, mut lost) = (0, 0);
        let begun = Instant::now();
        let mut places = (i128::MAX, i128::MIN);
        let mut late = JoinSet::new();
        let mut buffer = [0; 2048];
        while came < count {
            let (length, from) = socket.recv_from(&mut buffer).await.expect("a datagram on loopback");
            if from == to {
                continue;
            }
            came += 1;
            let place = begun.elapsed().as_nanos() as i128 - every.as_nanos() as i128 * came as i128;
            places = (places.0.min(place), places.1.max(place));
            let Some(wait) = fate.next() else {
                lost += 1;
                continue;
            };
            let datagram = buffer[..length].to_vec();
            if wait.is_zero() {
                socket.send_to(&datagram, to).await.expect("a datagram sent on loopback");
            } else {
                let socket = socket.clone();
                late.spawn(async move {
                    tokio::time::sleep(wait).await;
                    socket.send_to(&datagram, to).await.expect("a datagram sent on loopback");
                });
            }
        }
        late.join_all().await;
        (lost, Duration::from_nanos((places.1 - places.0).clamp(0, i64::MAX.into()) as u64))
    }
}
