//! A simulated network: datagrams pass through it to one destination, and some are lost or late.
//!
//! The fate of a datagram depends on the seed and its number, so that losses are the same in every run. Delays are in real time,
//! from the moment of arrival.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Loss and delay that a network applies to its datagrams.
#[derive(Clone, Copy, Debug)]
pub struct Impairment {
    /// Seed for the fate of every datagram.
    pub seed: u64,
    /// Probability with which each datagram is lost independently, from 0 to 1.
    pub loss: f64,
    /// Maximum of the datagrams' random delay, which is uniformly distributed from zero.
    pub jitter: Duration,
}

impl Impairment {
    /// Returns for each of the first `count` datagrams whether it is lost.
    pub fn losses(&self, count: usize) -> Vec<bool> {
        self.waits(count).iter().map(Option::is_none).collect()
    }

    /// Returns the delay of each of the first `count` datagrams; `None` if it is lost.
    pub fn waits(&self, count: usize) -> Vec<Option<Duration>> {
        let mut fate = self.fate();
        (0..count).map(|_| fate.next()).collect()
    }

    fn fate(&self) -> Fate {
        Fate { impairment: *self, random: StdRng::seed_from_u64(self.seed) }
    }
}

/// Generator of the fates of successive datagrams.
struct Fate {
    impairment: Impairment,
    random: StdRng,
}

impl Fate {
    /// Delay of the next datagram; `None` if it is lost.
    fn next(&mut self) -> Option<Duration> {
        let (loss, wait) = (self.random.random::<f64>(), self.random.random::<f64>());
        (loss >= self.impairment.loss).then(|| self.impairment.jitter.mul_f64(wait))
    }
}

/// One direction of a network, from its own address to the destination of [`Network::carry`].
pub struct Network {
    socket: UdpSocket,
    address: SocketAddr,
}

impl Network {
    /// Binds the socket on 127.0.0.1 that is both ends of the network.
    pub async fn bind() -> Network {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port on loopback");
        let address = socket.local_addr().expect("a bound socket has an address");
        Network { socket, address }
    }

    /// Address to send to, and source address of forwarded datagrams.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forwards `count` datagrams to `to`, which are expected once per `every`; datagrams from `to` are dropped. Returns the
    /// number of intended losses, and the largest deviation of the forwarding times from even spacing, apart from intended delays.
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
