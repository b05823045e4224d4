//! Calls during a flood: 10,000 hostile datagrams a second at one port, real sockets, real time.

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "real sockets run on the real clock")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use media_engine::config::MediaConfig;
use media_engine::net::ports::PortRange;
use media_engine::rtp::{RtpHeader, RtpPacket};
use media_engine::sdp::{Audio, Codec};
use media_engine::units::LegId;
use media_engine::worker::{LegMedia, Pool, Worker, WorkerCommand, WorkerEvent, WorkerEventKind, WorkerRequest};
use tokio::sync::{mpsc, oneshot};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TICK: Duration = Duration::from_millis(20);
const PACKETS: usize = 250;
/// 49 of 50 packets.
const ENOUGH: usize = PACKETS * 49 / 50;
const PER_MS: usize = 10;

struct Phone {
    socket: UdpSocket,
    codec: Codec,
    leg: LegId,
    leg_rtp: SocketAddr,
    events: mpsc::Receiver<WorkerEvent>,
}

fn phone(worker: &Worker, range: &PortRange, id: u64, codec: Codec) -> Phone {
    let (socket, rtcp) = (UdpSocket::bind((LOOPBACK, 0)).unwrap(), UdpSocket::bind((LOOPBACK, 0)).unwrap());
    let ports = range.lease().unwrap();
    let (leg, leg_rtp) = (LegId(id), SocketAddr::new(LOOPBACK, ports.rtp_port()));
    let audio = Audio { remote_rtcp: rtcp.local_addr().unwrap(), ..Audio::plain(codec, socket.local_addr().unwrap()) };
    let (sender, events) = mpsc::channel(256);
    let media = LegMedia::Rtp { ports, audio: Some(audio), nat: false };
    worker.send(WorkerRequest::LegOpen { leg, media, events: sender }).unwrap();
    Phone { socket, codec, leg, leg_rtp, events }
}

impl Phone {
    fn packet(&self, n: usize) -> Vec<u8> {
        let header = RtpHeader {
            payload_type: self.codec.static_payload_type().unwrap(),
            marker: false,
            sequence: n as u16,
            timestamp: n as u32 * 160,
            ssrc: self.leg.0 as u32,
        };
        let mut bytes = vec![0; 12];
        header.write_to(&mut bytes).unwrap();
        // The payload contains the packet number.
        bytes.extend((0..160).map(|at| if at < 2 { (n >> (8 * at)) as u8 } else { 0x20 }));
        bytes
    }
}

/// Datagrams of a stranger, in turn: forged media, truncated and huge packets, RTCP BYE, STUN, a ClientHello.
fn hostile(n: usize) -> Vec<u8> {
    match n % 6 {
        0 => [&[0x80, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3][..], &[0x20; 160]].concat(),
        1 => vec![0x80; n % 12],
        2 => vec![0x80; 1_472],
        3 => vec![0x81, 203, 0, 1, 0, 0, 0, 9],
        4 => [&[0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12], &[0, 6, 0, 4, b'a', b':', b'b', b'c']].concat(),
        _ => [&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40, 1][..], &[1; 200]].concat(),
    }
}

/// Sends at a fixed rate until `stop` is set; returns the number sent. Any answer is a failure.
fn flood(victim: SocketAddr, stop: &AtomicBool) -> usize {
    let socket = UdpSocket::bind((LOOPBACK, 0)).unwrap();
    socket.set_nonblocking(true).unwrap();
    let datagrams: Vec<Vec<u8>> = (0..60).map(hostile).collect();
    let (begun, mut sent) = (Instant::now(), 0);
    while !stop.load(Ordering::Relaxed) {
        let due = begun.elapsed().as_millis() as usize * PER_MS;
        while sent < due {
            // A full buffer at the receiver loses the datagram and is not an error here.
            let _ = socket.send_to(&datagrams[sent % datagrams.len()], victim);
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut bytes = [0; 2048];
    assert!(socket.recv_from(&mut bytes).is_err(), "a stranger got an answer");
    sent
}

/// Lets the phones send 50 packets a second. Returns how many of `PACKETS` each received of its peer's, or, where the audio is
/// transcoded, how many packets it received in total.
fn converse(phones: &[Phone], relayed: bool) -> Vec<usize> {
    let mut heard = vec![std::collections::HashSet::new(); phones.len()];
    let mut bytes = [0; 2048];
    let begun = Instant::now();
    // Half a second more, for packets in flight.
    for n in 0..PACKETS + 25 {
        if n < PACKETS {
            phones.iter().for_each(|phone| {
                phone.socket.send_to(&phone.packet(n), phone.leg_rtp).unwrap();
            });
        }
        std::thread::sleep((TICK * (n as u32 + 1)).saturating_sub(begun.elapsed()));
        for (phone, heard) in phones.iter().zip(&mut heard) {
            while let Ok((length, from)) = phone.socket.recv_from(&mut bytes) {
                assert_eq!(from, phone.leg_rtp, "only the leg speaks to the phone");
                let packet = RtpPacket::parse(&bytes[..length]).unwrap();
                match packet.payload() {
                    [low, high, 0x20, ..] if relayed => heard.insert(u16::from_le_bytes([*low, *high])),
                    _ => !relayed && heard.insert(packet.sequence()),
                };
            }
        }
    }
    heard.iter().map(std::collections::HashSet::len).collect()
}

fn beside_a_flood(low: u16, at_shared_port: bool, codecs: [Codec; 2]) {
    let media = MediaConfig { addresses: vec![LOOPBACK], ports: (low + 100, low + 199), ..MediaConfig::default() };
    let pool = Pool::start(&media).unwrap();
    let worker = pool.place();
    let range = PortRange::new(LOOPBACK, (low, low + 99));
    let mut phones: Vec<Phone> = (1..=4).map(|id| phone(&worker, &range, id, codecs[id as usize % 2])).collect();
    for pair in phones.chunks(2) {
        worker.send(WorkerCommand::Bridge { a: pair[0].leg, b: pair[1].leg }).unwrap();
    }
    let (reply, answer) = oneshot::channel();
    worker.send(WorkerRequest::Census { reply }).unwrap();
    assert_eq!(answer.blocking_recv().unwrap().bridged, 4);
    phones.iter().for_each(|phone| phone.socket.set_nonblocking(true).unwrap());
    // The worker's port for browsers is the highest of its range.
    let victim = if at_shared_port { SocketAddr::new(LOOPBACK, low + 199) } else { phones[0].leg_rtp };
    let stop = AtomicBool::new(false);
    let (heard, sent) = std::thread::scope(|scope| {
        let attacker = scope.spawn(|| flood(victim, &stop));
        let heard = converse(&phones, codecs[0] == codecs[1]);
        stop.store(true, Ordering::Relaxed);
        (heard, attacker.join().unwrap())
    });
    println!("received {heard:?} of {PACKETS} packets during {sent} hostile datagrams");
    assert!(sent > 40_000, "{sent}");
    assert!(heard.iter().all(|&heard| heard >= ENOUGH), "{heard:?} of {PACKETS}");
    for phone in &mut phones {
        while let Ok(event) = phone.events.try_recv() {
            assert!(!matches!(event.kind, WorkerEventKind::Failed(_) | WorkerEventKind::Closed(_)), "{event:?}");
        }
        worker.send(WorkerCommand::LegClose { leg: phone.leg }).unwrap();
        let quality = loop {
            if let WorkerEventKind::Closed(quality) = phone.events.blocking_recv().unwrap().kind {
                break quality;
            }
        };
        assert!(quality.packets_received as usize >= ENOUGH, "{}: {quality:?}", phone.leg);
    }
    pool.shutdown();
}

#[test]
fn a_call_whose_port_is_flooded_continues_and_so_does_its_neighbour() {
    beside_a_flood(22_000, false, [Codec::Pcmu; 2]);
}

#[test]
fn a_decoded_call_whose_port_is_flooded_continues_while_packets_are_batched() {
    beside_a_flood(22_400, false, [Codec::Pcmu, Codec::G722]);
}

#[test]
fn calls_continue_while_the_port_of_browsers_is_flooded() {
    beside_a_flood(22_200, true, [Codec::Pcmu; 2]);
}
