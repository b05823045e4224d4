//! Calls over real sockets, in real time, all at once, each on its own sockets.
//!
//! The worker's thread has priority over others where the system permits it; calls whose packets the machine delayed are reported.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use media_engine::config::MediaConfig;
use media_engine::net::ports::PortRange;
use media_engine::sdp::{Audio, Codec};
use media_engine::units::LegId;
use media_engine::worker::{LegMedia, Pool, Worker, WorkerCommand, WorkerEvent, WorkerRequest};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, timeout_at};

use super::{Call, Condition, Ear, FRAME, LINGER, Spoken};
use crate::impair::Network;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PORTS: (u16, u16) = (28_000, 29_999);
/// Spacing error above which a call counts as held up: the engine allows a network 3 ms before it has measured its jitter.
const HELD_UP: Duration = Duration::from_millis(3);

/// The engine with one worker and no pinning.
struct Engine {
    pool: Pool,
    worker: Worker,
    range: PortRange,
    legs: std::cell::Cell<u64>,
}

/// Addresses of a bridged call.
struct Ends {
    network: Network,
    into: SocketAddr,
    ear: UdpSocket,
    _events: [mpsc::Receiver<WorkerEvent>; 2],
}

impl Engine {
    fn start() -> Engine {
        let media = MediaConfig { ports: PORTS, realtime: true, ..MediaConfig::default() };
        let pool = Pool::start(&media).expect("a worker starts");
        let worker = pool.place();
        Engine { pool, worker, range: PortRange::new(LOOPBACK, PORTS), legs: std::cell::Cell::new(1) }
    }

    /// Opens a leg that is reached through a network of its own, and bridges it to a leg that receives samples.
    async fn bridge(&self, spoken: Spoken) -> Ends {
        let network = Network::bind().await;
        let ear = UdpSocket::bind((LOOPBACK, 0)).await.expect("a free port on loopback");
        let heard_at = ear.local_addr().expect("a bound socket has an address");
        let heard = Codec::L16 { rate: spoken.rate() };
        let (from, into, events) = self.open(spoken.codec(), network.address());
        let (to, _, more) = self.open(heard, heard_at);
        self.worker.send(WorkerCommand::Bridge { a: from, b: to }).expect("the worker takes orders");
        Ends { network, into, ear, _events: [events, more] }
    }

    fn open(&self, codec: Codec, remote: SocketAddr) -> (LegId, SocketAddr, mpsc::Receiver<WorkerEvent>) {
        let ports = self.range.lease().expect("free ports for media");
        let address = SocketAddr::new(LOOPBACK, ports.rtp_port());
        let leg = LegId(self.legs.get());
        self.legs.set(leg.0 + 1);
        let (events, receiver) = mpsc::channel(256);
        let audio = Audio { remote_rtcp: SocketAddr::new(LOOPBACK, 9), ..Audio::plain(codec, remote) };
        let media = LegMedia::Rtp { ports, audio: Some(audio), nat: false };
        self.worker.send(WorkerRequest::LegOpen { leg, media, events }).expect("the worker takes orders");
        (leg, address, receiver)
    }
}

/// Speaks all calls at once and returns the received audio of each; `None` if the machine held its packets up.
///
/// # Panics
/// When the engine delivers no audio.
pub(super) async fn speak_all(calls: &[Call], conditions: &[Condition], round: u64) -> Vec<Option<Vec<i16>>> {
    let engine = Engine::start();
    let mut running = JoinSet::new();
    for (n, call) in calls.iter().enumerate() {
        let (ends, condition) = (engine.bridge(call.spoken).await, conditions[call.condition]);
        let (call, seed) = (call.clone(), call.seed(n, round));
        running.spawn(async move { (n, speak(call, ends, condition, seed).await) });
    }
    let mut spoken: Vec<_> = calls.iter().map(|_| None).collect();
    while let Some(ended) = running.join_next().await {
        let (n, (heard, late)) = ended.expect("no panic in an endpoint");
        spoken[n] = (late <= HELD_UP).then_some(heard);
    }
    engine.pool.shutdown();
    spoken
}

/// Speaks one call in real time. Returns the received audio and the largest deviation from even spacing with which packets left
/// the network.
async fn speak(call: Call, ends: Ends, condition: Condition, seed: u64) -> (Vec<i16>, Duration) {
    let mouth = UdpSocket::bind((LOOPBACK, 0)).await.expect("a free port on loopback");
    let towards = ends.network.address();
    let impairment = condition.impairment(seed);
    let carried = tokio::spawn(ends.network.carry(ends.into, call.packets.len(), FRAME, impairment));
    let until = Instant::now() + FRAME * call.packets.len() as u32 + LINGER;
    let heard = tokio::spawn(listen(ends.ear, until));
    let mut pace = interval_at(Instant::now() + Call::offset(seed), FRAME);
    for n in 0..call.packets.len() {
        pace.tick().await;
        mouth.send_to(&call.datagram(n, seed), towards).await.expect("a datagram sent on loopback");
    }
    let (lost, late) = carried.await.expect("no panic in the network");
    let heard = heard.await.expect("no panic in an ear");
    let losses = impairment.losses(call.packets.len());
    assert_eq!(losses.iter().filter(|&&lost| lost).count(), lost, "the losses follow from the seed");
    (heard, late)
}

async fn listen(ear: UdpSocket, until: Instant) -> Vec<i16> {
    let mut heard = Ear::default();
    let mut buffer = [0; 4096];
    while let Ok(came) = timeout_at(until, ear.recv_from(&mut buffer)).await {
        let (length, _) = came.expect("a datagram on loopback");
        heard.hear(&buffer[..length]);
    }
    heard.into_samples()
}
