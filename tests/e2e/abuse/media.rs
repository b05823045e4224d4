//! Media from strangers, duplicated packets, failing tasks.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use tests::tandem::{Setup, Tandem};
use tokio::net::UdpSocket;
use tokio::time::Instant;

use crate::media::Caller;

/// Interval between packets.
const PACE: Duration = Duration::from_millis(20);
/// Time after the last packet in which packets in flight arrive.
const LINGER: Duration = Duration::from_millis(500);

/// A PCMU stream whose packets contain their own number, from any address.
struct Stream {
    ssrc: u32,
    next: u16,
}

impl Stream {
    fn new(ssrc: u32) -> Stream {
        Stream { ssrc, next: 0 }
    }

    fn packet(&mut self) -> Vec<u8> {
        let n = self.next;
        self.next += 1;
        let mut bytes = vec![0x80, 0];
        bytes.extend(n.to_be_bytes());
        bytes.extend((u32::from(n) * 160).to_be_bytes());
        bytes.extend(self.ssrc.to_be_bytes());
        bytes.extend(n.to_be_bytes().repeat(80));
        bytes
    }
}

/// Collects the numbers of the echoed packets that a socket has received.
fn echoed(socket: &UdpSocket, numbers: &mut Vec<u16>) {
    let mut bytes = [0; 2048];
    while let Ok(length) = socket.try_recv(&mut bytes) {
        let payload = &bytes[12..length.max(12)];
        // Comfort silence, sent before the first packet, has a constant payload; RTCP is ignored too.
        if length == 172 && payload.chunks(2).all(|two| two == &payload[..2]) && bytes[1] & 0x7f == 0 {
            numbers.push(u16::from_be_bytes([payload[0], payload[1]]));
        }
    }
}

async fn socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.expect("a UDP socket")
}

fn port(socket: &UdpSocket) -> u16 {
    socket.local_addr().expect("its address").port()
}

/// Sends `count` packets of a stream, one every 20 ms and each `copies` times; returns the numbers echoed by then.
async fn speak(socket: &UdpSocket, to: SocketAddr, stream: &mut Stream, count: usize, copies: usize) -> Vec<u16> {
    let mut numbers = Vec::new();
    let mut pace = tokio::time::interval(PACE);
    for _ in 0..count {
        pace.tick().await;
        let packet = stream.packet();
        for _ in 0..copies {
            socket.send_to(&packet, to).await.expect("a datagram sent on loopback");
        }
        echoed(socket, &mut numbers);
    }
    tokio::time::sleep_until(Instant::now() + LINGER).await;
    echoed(socket, &mut numbers);
    numbers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_packet_received_five_times_is_forwarded_once() {
    const PACKETS: usize = 100;
    let tandem = Tandem::start(&Setup::default()).await;
    let own = socket().await;
    let (_caller, media) = Caller::call(tandem.sip(), port(&own)).await;
    let mut stream = Stream::new(7);
    let numbers = speak(&own, media, &mut stream, PACKETS, 5).await;
    let once: HashSet<u16> = numbers.iter().copied().collect();
    assert_eq!((numbers.len(), once.len()), (PACKETS, PACKETS), "{numbers:?}");
    let deadline = Instant::now() + Duration::from_secs(10);
    while tandem.metric("tandem_media_packets_replayed_total", "").await != (PACKETS * 4) as f64 {
        assert!(Instant::now() < deadline, "the copies are not counted");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tandem.stop().await;
}

/// Sends its own stream to ports of the server until it is stopped.
struct Stranger {
    stop: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<Vec<u16>>,
}

impl Stranger {
    /// Starts a sender of one packet to each of `ports` per `pace`.
    async fn start(ports: std::ops::Range<u16>, pace: Duration) -> Stranger {
        let own = socket().await;
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let (mut stream, mut numbers) = (Stream::new(0x6666), Vec::new());
            let mut pace = tokio::time::interval(pace);
            loop {
                tokio::select! {
                    _ = pace.tick() => {}
                    _ = &mut stopped => return numbers,
                }
                let packet = stream.packet();
                for port in ports.clone().filter(|port| port % 2 == 0) {
                    // No call may exist yet, or any more.
                    let _ = own.try_send_to(&packet, SocketAddr::from(([127, 0, 0, 1], port)));
                }
                echoed(&own, &mut numbers);
                // Every received packet counts as a failure: silence is sent to a leg's source too.
                while own.try_recv(&mut [0; 2048]).is_ok() {
                    numbers.push(u16::MAX);
                }
            }
        });
        Stranger { stop, task }
    }

    /// Stops and returns the number of received packets.
    async fn got(self) -> usize {
        // The task may have panicked, which the next line reports.
        let _ = self.stop.send(());
        self.task.await.expect("the stranger's task has not panicked").len()
    }
}

/// Starts a server whose trunk is behind NAT.
async fn behind_nat() -> Tandem {
    Tandem::start(&Setup { trunk_settings: "options_s = 0\nnat = true\n", ..Setup::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_stranger_takes_over_a_leg_behind_nat_before_at_or_after_the_answer() {
    let tandem = behind_nat().await;
    let own = socket().await;
    // The stranger sends to all ports of the server's range before the call has one.
    let sweep = Stranger::start(20_000..24_000, Duration::from_millis(200)).await;
    let (mut caller, media) = Caller::call(tandem.sip(), port(&own)).await;
    let stranger = Stranger::start(media.port()..media.port() + 1, PACE).await;
    assert_eq!(sweep.got().await, 0);
    // The caller is late: only the stranger has sent for half a second.
    tokio::time::sleep_until(Instant::now() + Duration::from_millis(500)).await;
    let mut stream = Stream::new(7);
    let numbers = speak(&own, media, &mut stream, 100, 1).await;
    assert_eq!(numbers.len(), 100, "the caller hears itself from its first packet on");

    // A re-INVITE changes the address: it is accepted at once, and the previous one no longer.
    let other = socket().await;
    assert_eq!(caller.offer(port(&other)).await, media);
    let mut moved = Stream::new(8);
    let numbers = speak(&other, media, &mut moved, 50, 1).await;
    assert_eq!(numbers.len(), 50);
    assert_eq!(speak(&own, media, &mut stream, 25, 1).await.len(), 0);
    assert_eq!(stranger.got().await, 0, "nothing is sent to the stranger");
    tandem.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_behind_nat_is_learnt_after_a_second_and_followed_to_another_port() {
    let tandem = behind_nat().await;
    // No packet comes from the port in the SDP.
    let named = socket().await;
    let (_caller, media) = Caller::call(tandem.sip(), port(&named)).await;
    let own = socket().await;
    let mut stream = Stream::new(7);
    let numbers = speak(&own, media, &mut stream, 100, 1).await;
    let first = *numbers.first().expect("the caller is heard in the end");
    assert!((25..=60).contains(&first), "the described address is preferred for a second, then packet {first} passes");
    assert_eq!(numbers.len(), usize::from(100 - first), "from then on each packet");

    // NAT assigns another port during the call, while a stranger sends too.
    let stranger = Stranger::start(media.port()..media.port() + 1, PACE).await;
    let rebound = socket().await;
    let numbers = speak(&rebound, media, &mut stream, 50, 1).await;
    assert_eq!(numbers, (102..150).collect::<Vec<u16>>(), "the third packet in a row proves the new port");
    assert_eq!(stranger.got().await, 0);
    // The log contains the media source once for each move.
    let said = tandem.process().output();
    let moves = said.lines().filter(|line| line.contains("media behind NAT")).count();
    assert_eq!(moves, 2, "{said}");
    let deadline = Instant::now() + Duration::from_secs(10);
    while tandem.metric("tandem_media_sources_moved_total", "").await != 2.0 {
        assert!(Instant::now() < deadline, "the moves are not counted");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tandem.stop().await;
}
