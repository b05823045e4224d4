//! A worker full of transcoded calls refuses more before the running ones lose a packet. Real sockets, real time.

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "real sockets run on the real clock")]

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use codecs::opus::OpusSettings;
use media_engine::config::{MediaConfig, Profile};
use media_engine::net::ports::PortRange;
use media_engine::rtp::{RtpHeader, RtpPacket};
use media_engine::sdp::{Audio, Codec};
use media_engine::units::LegId;
use media_engine::worker::{LegMedia, Pool, Worker, WorkerCommand, WorkerEvent, WorkerEventKind, WorkerRequest};
use tokio::sync::mpsc;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TICK: Duration = Duration::from_millis(20);
/// More calls than any current machine transcodes on one CPU at full complexity.
const MOST: usize = 600;
/// Measured ticks of 20 ms: five seconds.
const MEASURED: u32 = 250;

/// The far end of one leg.
struct Phone {
    socket: UdpSocket,
    leg: LegId,
    leg_rtp: SocketAddr,
    codec: Codec,
    heard: HashSet<u16>,
    events: mpsc::Receiver<WorkerEvent>,
}

fn phone(worker: &Worker, range: &PortRange, id: u64, codec: Codec) -> Phone {
    let socket = UdpSocket::bind((LOOPBACK, 0)).unwrap();
    socket.set_nonblocking(true).unwrap();
    let ports = range.lease().unwrap();
    let (leg, leg_rtp) = (LegId(id), SocketAddr::new(LOOPBACK, ports.rtp_port()));
    let audio =
        Audio { remote_rtcp: SocketAddr::new(LOOPBACK, 9), ..Audio::plain(codec, socket.local_addr().unwrap()) };
    let (sender, events) = mpsc::channel(64);
    let media = LegMedia::Rtp { ports, audio: Some(audio), nat: false };
    worker.send(WorkerRequest::LegOpen { leg, media, events: sender }).unwrap();
    Phone { socket, leg, leg_rtp, codec, heard: HashSet::new(), events }
}

impl Phone {
    fn talk(&self, n: u32) {
        let (payload_type, ticks) = if self.codec == Codec::Opus { (111, 960) } else { (0, 160) };
        let header = RtpHeader {
            payload_type,
            marker: false,
            sequence: n as u16,
            timestamp: n.wrapping_mul(ticks),
            ssrc: self.leg.0 as u32,
        };
        let mut bytes = vec![0; 12];
        header.write_to(&mut bytes).unwrap();
        // Audio without a pattern, so that the encoder does its full work; in Opus a frame of silence.
        match self.codec {
            Codec::Opus => bytes.extend([0xf8, 0xff, 0xfe]),
            _ => bytes
                .extend((0..160_u32).map(|i| (i.wrapping_add(n * 160).wrapping_mul(2_654_435_761) >> 24) as u8 | 0x20)),
        }
        // A full buffer is a loss that the test then detects.
        let _ = self.socket.send_to(&bytes, self.leg_rtp);
    }

    fn listen(&mut self) {
        let mut bytes = [0; 2048];
        while let Ok((length, _)) = self.socket.recv_from(&mut bytes) {
            self.heard.insert(RtpPacket::parse(&bytes[..length]).unwrap().sequence());
        }
    }
}

#[test]
#[ignore = "soak: fills a CPU for up to a minute; make soak runs it"]
fn a_full_worker_refuses_calls_before_running_calls_lose_a_packet() {
    let opus = OpusSettings { complexity: 10, ..OpusSettings::default() };
    let media = MediaConfig {
        addresses: vec![LOOPBACK],
        ports: (28_900, 28_999),
        cpus: vec![0],
        profile: Profile::Throughput,
        realtime: true,
        opus,
        ..MediaConfig::default()
    };
    let pool = Pool::start(&media).unwrap();
    let worker = pool.place();
    let range = PortRange::new(LOOPBACK, (24_000, 28_899));
    let mut phones: Vec<Phone> = Vec::new();
    let (begun, mut n, mut full_at) = (Instant::now(), 0_u32, None);
    while full_at.is_none_or(|at| n < at + MEASURED + 60) {
        if full_at.is_none() && n.is_multiple_of(5) {
            if !pool.has_room() || phones.len() / 2 == MOST {
                // The last admitted calls settle for a second before the measurement.
                full_at = Some(n + 50);
            } else {
                let id = phones.len() as u64 + 1;
                phones.push(phone(&worker, &range, id, Codec::Pcmu));
                phones.push(phone(&worker, &range, id + 1, Codec::Opus));
                worker.send(WorkerCommand::Bridge { a: LegId(id), b: LegId(id + 1) }).unwrap();
            }
        }
        let measured = full_at.is_some_and(|at| n == at);
        for phone in &mut phones {
            phone.listen();
            if measured {
                phone.heard.clear();
            }
            phone.talk(n);
        }
        n += 1;
        std::thread::sleep((TICK * n).saturating_sub(begun.elapsed()));
    }
    let least = phones.iter().map(|phone| phone.heard.len()).min().unwrap();
    println!("{} calls, each leg received at least {least} packets in {} ticks", phones.len() / 2, MEASURED + 60);
    assert!(phones.len() / 2 < MOST, "the worker was never full");
    // The first and last packets of the measurement may be in flight.
    assert!(least >= MEASURED as usize + 50, "{least} of {}", MEASURED + 60);
    for phone in &mut phones {
        worker.send(WorkerCommand::LegClose { leg: phone.leg }).unwrap();
        let quality = loop {
            let event = phone.events.blocking_recv().expect("a closing leg reports it");
            if let WorkerEventKind::Closed(quality) = event.kind {
                break quality;
            }
        };
        assert_eq!(quality.packets_lost, 0, "{}: sent to the worker and not read by it", phone.leg);
    }
    pool.shutdown();
}
