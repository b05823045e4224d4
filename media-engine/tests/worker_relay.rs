//! Workers with real sockets on loopback: packets that enter at one leg leave at the other.
//!
//! ```text
//! Phone ─ RTP ─▶ leg │ worker thread │ leg ─ RTP ─▶ Phone
//! ```
//!
//! The tests cover relay, transcoding, built-in applications, NAT, taps, shutdown, and captures with their replay. Each test has
//! its own port range and closes its legs, after which no port may be leased. Not here: floods (`worker_flood`), a full worker
//! (`worker_full`).

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "real sockets run on the real clock")]

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use codecs::g711::{ulaw_decode, ulaw_encode};
use codecs::opus::{OpusDecoder, OpusEncoder, OpusSettings};
use codecs::tones::{Sine, goertzel_dbfs};
use codecs::{Decoder, Encoder};
use media_engine::audio::tap::{FrameKind, TapPoint, tap};
use media_engine::config::{MediaConfig, Profile};
use media_engine::net::ports::PortRange;
use media_engine::rtp::{RtpHeader, RtpPacket};
use media_engine::sdp::{Audio, Codec, Direction, TelephoneEventFormat};
use media_engine::units::{LegId, SampleRate};
use media_engine::worker::capture::replay;
use media_engine::worker::{
    App, Census, LegMedia, Pool, Worker, WorkerCommand, WorkerEvent, WorkerEventKind, WorkerRequest,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::{mpsc, oneshot};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PATIENCE: Duration = Duration::from_secs(5);

/// A worker pool and the ports of its legs; each test has its own range.
struct Bench {
    pool: Pool,
    worker: Worker,
    range: PortRange,
    next: u64,
}

/// The far end of one leg.
struct Phone {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    leg: LegId,
    leg_rtp: SocketAddr,
    audio: Audio,
    events: mpsc::Receiver<WorkerEvent>,
    sequence: u16,
    timestamp: u32,
    payload_type: u8,
}

impl Bench {
    fn new(low: u16) -> Bench {
        Bench::with(low, MediaConfig::default())
    }

    fn with(low: u16, media: MediaConfig) -> Bench {
        let media = MediaConfig { addresses: vec![LOOPBACK], ports: (low + 100, low + 199), ..media };
        let pool = Pool::start(&media).unwrap();
        let worker = pool.place();
        Bench { pool, worker, range: PortRange::new(LOOPBACK, (low, low + 99)), next: 1 }
    }

    fn phone(&mut self, codec: Codec, nat: bool) -> Phone {
        let (rtp, rtcp) = (UdpSocket::bind((LOOPBACK, 0)).unwrap(), UdpSocket::bind((LOOPBACK, 0)).unwrap());
        rtp.set_read_timeout(Some(PATIENCE)).unwrap();
        rtcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let ports = self.range.lease().unwrap();
        let leg_rtp = SocketAddr::new(LOOPBACK, ports.rtp_port());
        let leg = LegId(self.next);
        self.next += 1;
        let (sender, events) = mpsc::channel(256);
        let payload_type = codec.static_payload_type().unwrap_or(111);
        let audio = Audio { remote_rtcp: rtcp.local_addr().unwrap(), ..Audio::plain(codec, rtp.local_addr().unwrap()) };
        let media = LegMedia::Rtp { ports, audio: Some(audio), nat };
        self.send(WorkerRequest::LegOpen { leg, media, events: sender });
        let mut phone =
            Phone { rtp, rtcp, leg, leg_rtp, audio, events, sequence: 65_500, timestamp: 4_000_000_000, payload_type };
        assert_eq!(phone.event(), WorkerEventKind::Connected);
        phone
    }

    fn send(&self, command: impl Into<WorkerRequest>) {
        self.worker.send(command).unwrap();
    }

    fn bridge(&self, a: &Phone, b: &Phone) {
        self.send(WorkerCommand::Bridge { a: a.leg, b: b.leg });
        self.census();
    }

    /// Returns the worker's census, and serves as a barrier: earlier commands have been executed.
    fn census(&self) -> Census {
        let (reply, answer) = oneshot::channel();
        self.send(WorkerRequest::Census { reply });
        answer.blocking_recv().unwrap()
    }

    fn close(self, phones: Vec<Phone>) {
        for mut phone in phones {
            self.send(WorkerCommand::LegClose { leg: phone.leg });
            while !matches!(phone.event(), WorkerEventKind::Closed(_)) {}
        }
        assert_eq!(self.census(), Census::default());
        assert_eq!(self.range.leased(), 0);
        self.pool.shutdown();
    }
}

impl Phone {
    fn event(&mut self) -> WorkerEventKind {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.events.try_recv() {
                Ok(event) => {
                    assert_eq!(event.leg, self.leg);
                    return event.kind;
                }
                Err(mpsc::error::TryRecvError::Empty) if Instant::now() < deadline => std::thread::yield_now(),
                Err(error) => panic!("no event of {:?}: {error}", self.leg),
            }
        }
    }

    fn packet(&self, payload: &[u8]) -> Vec<u8> {
        let header = RtpHeader {
            payload_type: self.payload_type,
            marker: false,
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: 0x1234_0000 + self.leg.0 as u32,
        };
        let mut bytes = vec![0; 12];
        header.write_to(&mut bytes).unwrap();
        bytes.extend_from_slice(payload);
        bytes
    }

    fn send(&mut self, payload: &[u8], ticks: u32) {
        self.rtp.send_to(&self.packet(payload), self.leg_rtp).unwrap();
        self.skip(ticks);
    }

    fn skip(&mut self, ticks: u32) {
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(ticks);
    }

    fn receive(&self) -> (RtpHeader, Vec<u8>) {
        let mut bytes = [0; 2048];
        let (length, from) = self.rtp.recv_from(&mut bytes).expect("a packet in time");
        assert_eq!(from, self.leg_rtp, "media leaves from the port that the SDP names");
        let packet = RtpPacket::parse(&bytes[..length]).unwrap();
        let header = RtpHeader {
            payload_type: packet.payload_type(),
            marker: packet.marker(),
            sequence: packet.sequence(),
            timestamp: packet.timestamp(),
            ssrc: packet.ssrc(),
        };
        (header, packet.payload().to_vec())
    }
}

/// Payloads that all differ.
fn payload(n: u32) -> Vec<u8> {
    (0..160_u32).map(|i| (i.wrapping_mul(2_654_435_761).wrapping_add(n.wrapping_mul(40_503)) >> 13) as u8).collect()
}

/// Sends `count` payloads except one, and checks that the other end receives them unaltered, with the gap.
fn relayed_exactly(from: &mut Phone, to: &Phone, count: u32, lost: u32) {
    let mut places = HashMap::new();
    for n in 0..count {
        if n == lost {
            from.skip(160);
            continue;
        }
        let bytes = payload(n + 1_000 * from.leg.0 as u32);
        places.insert(bytes.clone(), n);
        from.send(&bytes, 160);
    }
    let mut base: Option<(u32, RtpHeader)> = None;
    while !places.is_empty() {
        let (header, bytes) = to.receive();
        // Packets sent before the bridge existed are comfort silence.
        let Some(n) = places.remove(&bytes) else { continue };
        let (first, start) = *base.get_or_insert((n, header));
        assert_eq!(header.sequence, start.sequence.wrapping_add((n - first) as u16), "packet {n}");
        assert_eq!(header.timestamp, start.timestamp.wrapping_add((n - first) * 160), "packet {n}");
        assert_eq!((header.ssrc, header.payload_type), (start.ssrc, 0));
    }
}

#[test]
fn pcmu_is_relayed_bit_exact_both_ways_including_gaps() {
    let mut bench = Bench::new(21_000);
    let (mut a, mut b) = (bench.phone(Codec::Pcmu, false), bench.phone(Codec::Pcmu, false));
    bench.bridge(&a, &b);
    let census = bench.census();
    assert_eq!((census.legs, census.bridged, census.ports), (2, 2, 2));
    relayed_exactly(&mut a, &b, 60, 20);
    relayed_exactly(&mut b, &a, 60, 41);
    bench.close(vec![a, b]);
}

#[test]
fn the_throughput_profile_relays_many_and_few_packets_in_time() {
    let media = MediaConfig { profile: Profile::Throughput, ..MediaConfig::default() };
    let mut bench = Bench::with(23_000, media);
    let mut pairs: Vec<(Phone, Phone)> =
        (0..8).map(|_| (bench.phone(Codec::Pcmu, false), bench.phone(Codec::Pcmu, false))).collect();
    for (a, b) in &pairs {
        bench.bridge(a, b);
    }
    // 800 packets a second for a second, then 50, then 800 again: each arrives in time.
    for (talking, ticks) in [(8, 50_u32), (1, 25), (8, 25)] {
        let begun = Instant::now();
        for n in 0..ticks {
            for (a, b) in &mut pairs[..talking] {
                let (there, back) = (payload(n), payload(n + 500));
                a.send(&there, 160);
                b.send(&back, 160);
                while b.receive().1 != there {}
                while a.receive().1 != back {}
            }
            std::thread::sleep((Duration::from_millis(20) * (n + 1)).saturating_sub(begun.elapsed()));
        }
    }
    bench.close(pairs.into_iter().flat_map(|(a, b)| [a, b]).collect());
}

#[test]
fn echo_returns_pcmu_bit_exact() {
    let mut bench = Bench::new(21_200);
    let mut a = bench.phone(Codec::Pcmu, false);
    bench.send(WorkerCommand::App { leg: a.leg, app: Some(App::Echo) });
    bench.census();
    let mut places: HashMap<Vec<u8>, u32> = (0..40).map(|n| (payload(n), n)).collect();
    for n in 0..40 {
        a.send(&payload(n), 160);
    }
    while !places.is_empty() {
        let (_, bytes) = a.receive();
        places.remove(&bytes);
    }
    bench.close(vec![a]);
}

#[test]
fn packets_of_strangers_and_junk_have_no_effect() {
    for nat in [false, true] {
        let mut bench = Bench::new(if nat { 21_600 } else { 21_400 });
        let (mut a, b) = (bench.phone(Codec::Pcmu, nat), bench.phone(Codec::Pcmu, false));
        bench.bridge(&a, &b);
        relayed_exactly(&mut a, &b, 5, 99);
        let stranger = UdpSocket::bind((LOOPBACK, 0)).unwrap();
        let foreign = payload(77_777);
        for n in 0..20_u8 {
            stranger.send_to(&a.packet(&foreign), a.leg_rtp).unwrap();
            a.rtp.send_to(&vec![n.wrapping_mul(37); usize::from(n)], a.leg_rtp).unwrap();
            let mut wrong_type = a.packet(&foreign);
            wrong_type[1] = 96;
            a.rtp.send_to(&wrong_type, a.leg_rtp).unwrap();
            stranger.send_to(&[0x80, 203, 0, 1, 0, 0, 0, n], SocketAddr::new(LOOPBACK, a.leg_rtp.port() + 1)).unwrap();
        }
        // The stranger's packets are dropped, and the leg's own stream continues.
        let next = payload(4_242);
        let before = a.sequence;
        a.send(&next, 160);
        let (_, bytes) = b.receive();
        assert_eq!(bytes, next, "nat {nat}, sequence {before}");
        // No packet is sent to the stranger either.
        stranger.set_nonblocking(true).unwrap();
        assert!(stranger.recv_from(&mut [0; 64]).is_err());
        bench.close(vec![a, b]);
    }
}

#[test]
fn a_leg_behind_nat_is_learnt_after_a_second_of_silence_from_its_sdp_address() {
    let mut bench = Bench::new(21_800);
    let (mut a, mut b) = (bench.phone(Codec::Pcmu, true), bench.phone(Codec::Pcmu, false));
    // The phone sends from a port other than the one in its SDP.
    a.rtp = UdpSocket::bind((LOOPBACK, 0)).unwrap();
    a.rtp.set_read_timeout(Some(PATIENCE)).unwrap();
    bench.bridge(&a, &b);
    let deadline = Instant::now() + PATIENCE;
    while !matches!(a.events.try_recv(), Ok(WorkerEvent { kind: WorkerEventKind::SourceMoved { .. }, .. })) {
        assert!(Instant::now() < deadline, "its source is not learnt");
        a.send(&payload(0), 160);
        std::thread::sleep(Duration::from_millis(20)); // A telephone's pace: one packet each 20 ms.
    }
    relayed_exactly(&mut a, &b, 5, 99);
    relayed_exactly(&mut b, &a, 5, 99);
    bench.close(vec![a, b]);
}

/// Plays 440 Hz at −12 dBFS into `from` in real time for `ticks` × 20 ms while collecting the audio that `to` receives.
fn tone_across(
    from: &mut Phone,
    encode: &mut dyn FnMut(&[i16]) -> Vec<u8>,
    from_rate: SampleRate,
    from_ticks: u32,
    to: &Phone,
    decode: &mut dyn FnMut(&[u8]) -> Vec<i16>,
) -> Vec<i16> {
    let mut sine = Sine::new(from_rate, 440.0, -12.0);
    let mut pcm = vec![0; from_rate.samples_in_ms(20)];
    let mut heard = Vec::new();
    let start = Instant::now();
    for tick in 1..=75_u32 {
        sine.fill(&mut pcm);
        from.send(&encode(&pcm), from_ticks);
        // Received packets are read until the next tick.
        while let Some(left) = (start + Duration::from_millis(20) * tick).checked_duration_since(Instant::now()) {
            to.rtp.set_read_timeout(Some(left.max(Duration::from_micros(100)))).unwrap();
            let mut bytes = [0; 2048];
            if let Ok((length, _)) = to.rtp.recv_from(&mut bytes) {
                heard.extend(decode(RtpPacket::parse(&bytes[..length]).unwrap().payload()));
            }
        }
    }
    to.rtp.set_read_timeout(Some(PATIENCE)).unwrap();
    heard
}

#[test]
fn a_tone_is_transcoded_between_pcmu_and_opus_both_ways() {
    let mut bench = Bench::new(22_000);
    let (mut a, mut b) = (bench.phone(Codec::Pcmu, false), bench.phone(Codec::Opus, false));
    bench.bridge(&a, &b);
    let narrow = SampleRate::HZ_8000;
    let mut decoder = OpusDecoder::new(narrow).unwrap();
    let heard = tone_across(
        &mut a,
        &mut |pcm| pcm.iter().map(|&s| ulaw_encode(s)).collect(),
        narrow,
        160,
        &b,
        &mut |payload| {
            let mut out = vec![0; 960];
            let count = decoder.decode(payload, &mut out).unwrap();
            out[..count].to_vec()
        },
    );
    assert_tone(&heard, narrow, "PCMU to Opus");
    let wide = SampleRate::HZ_48000;
    let mut encoder = OpusEncoder::new(wide, OpusSettings::default()).unwrap();
    let heard = tone_across(
        &mut b,
        &mut |pcm| {
            let mut out = vec![0; 1500];
            let count = encoder.encode(pcm, &mut out).unwrap();
            out[..count].to_vec()
        },
        wide,
        960,
        &a,
        &mut |payload| payload.iter().map(|&code| ulaw_decode(code)).collect(),
    );
    assert_tone(&heard, narrow, "Opus to PCMU");
    bench.close(vec![a, b]);
}

fn assert_tone(heard: &[i16], rate: SampleRate, what: &str) {
    assert!(heard.len() > rate.hz() as usize, "{what}: only {} samples", heard.len());
    let settled = &heard[heard.len() - rate.hz() as usize / 2..];
    let level = goertzel_dbfs(settled, rate, 440.0);
    assert!((level + 12.0).abs() < 1.5, "{what}: 440 Hz at {level} dBFS");
    for other in [300.0, 600.0, 1_000.0] {
        let level = goertzel_dbfs(settled, rate, other);
        assert!(level < -30.0, "{what}: {other} Hz at {level} dBFS");
    }
}

#[test]
fn the_tone_application_sends_1_khz_at_minus_16_dbfs_without_any_input() {
    let mut bench = Bench::new(22_200);
    let a = bench.phone(Codec::Pcmu, false);
    bench.send(WorkerCommand::App { leg: a.leg, app: Some(App::Tone) });
    bench.census();
    let mut heard: Vec<i16> = Vec::new();
    while heard.len() < 8_000 {
        heard.extend(a.receive().1.iter().map(|&code| ulaw_decode(code)));
    }
    let level = goertzel_dbfs(&heard[1_600..], SampleRate::HZ_8000, 1_000.0);
    assert!((level + 16.0).abs() < 0.5, "{level} dBFS");
    bench.close(vec![a]);
}

#[test]
fn an_answered_leg_that_is_alone_hears_comfort_silence_in_one_stream() {
    let mut bench = Bench::new(22_400);
    let a = bench.phone(Codec::Pcmu, false);
    let (first, _) = a.receive();
    for n in 1..20_u32 {
        let (header, bytes) = a.receive();
        assert_eq!(header.sequence, first.sequence.wrapping_add(n as u16));
        assert_eq!(header.timestamp, first.timestamp.wrapping_add(160 * n));
        assert_eq!(bytes.len(), 160);
        assert!(bytes.iter().all(|&code| ulaw_decode(code).abs() < 10));
    }
    bench.close(vec![a]);
}

#[test]
fn a_tap_gets_frames_with_consecutive_numbers() {
    let mut bench = Bench::new(22_600);
    let (mut a, b) = (bench.phone(Codec::Pcmu, false), bench.phone(Codec::Pcmu, false));
    bench.bridge(&a, &b);
    let (writer, mut reader) = tap(500);
    bench.send(WorkerRequest::Tap { leg: a.leg, point: TapPoint::Speech, tap: writer });
    assert_eq!(bench.census().taps, 1);
    let heard = tone_across(
        &mut a,
        &mut |pcm| pcm.iter().map(|&s| ulaw_encode(s)).collect(),
        SampleRate::HZ_8000,
        160,
        &b,
        &mut |payload| payload.iter().map(|&code| ulaw_decode(code)).collect(),
    );
    assert_tone(&heard, SampleRate::HZ_8000, "received while tapped");
    let (mut samples, mut voiced) = (Vec::new(), 0);
    while let Some(item) = reader.pop() {
        assert_eq!(item.gap, 0);
        voiced += usize::from(item.frame.kind == FrameKind::Voice);
        samples.extend_from_slice(item.frame.samples());
    }
    assert!(voiced > 60, "{voiced} frames of voice");
    assert_tone(&samples, SampleRate::HZ_8000, "tapped");
    drop(reader);
    bench.send(WorkerRequest::Untap { leg: a.leg });
    assert_eq!(bench.census().taps, 0);
    bench.close(vec![a, b]);
}

#[test]
fn legs_open_at_shutdown_are_closed_with_an_rtcp_bye() {
    let mut bench = Bench::new(22_800);
    let mut a = bench.phone(Codec::Pcmu, false);
    let Bench { pool, range, worker, .. } = bench;
    pool.shutdown();
    while !matches!(a.event(), WorkerEventKind::Closed(_)) {}
    assert_eq!(range.leased(), 0);
    assert!(worker.send(WorkerCommand::LegClose { leg: a.leg }).is_err());
    let mut bytes = [0; 2048];
    let (length, _) = a.rtcp.recv_from(&mut bytes).expect("a BYE");
    assert!(has_bye(&bytes[..length]));
}

/// Searches the parts of a compound RTCP packet for a BYE.
fn has_bye(mut bytes: &[u8]) -> bool {
    while bytes.len() >= 4 {
        if bytes[1] == 203 {
            return true;
        }
        let length = (usize::from(u16::from_be_bytes([bytes[2], bytes[3]])) + 1) * 4;
        bytes = bytes.get(length..).unwrap_or_default();
    }
    false
}

/// Changes a byte of the last datagram that was sent.
fn falsified(capture: &str) -> String {
    let at = capture.rfind("\"sent\"").unwrap();
    let bytes = at + capture[at..].find("\"bytes\":\"").unwrap() + 9;
    let other = if capture.as_bytes()[bytes + 30] == b'0' { "1" } else { "0" };
    format!("{}{other}{}", &capture[..bytes + 30], &capture[bytes + 31..])
}

/// Changes some digits of a capture, or removes or truncates lines; whatever still parses as JSON is replayed into the switch.
fn mutated(capture: &str, rng: &mut SmallRng) -> String {
    let mut lines: Vec<String> = capture.lines().map(str::to_owned).collect();
    for _ in 0..rng.random_range(1..20) {
        let at = rng.random_range(0..lines.len());
        match rng.random_range(0..60) {
            0 => drop(lines.remove(at)),
            1 => {
                let middle = lines.len() / 2;
                lines.swap(at, middle);
            }
            2 => {
                let half = lines[at].len() / 2;
                lines[at].truncate(half);
            }
            _ => {
                let digits: Vec<usize> =
                    lines[at].match_indices(|c: char| c.is_ascii_digit()).map(|(n, _)| n).collect();
                if let Some(&n) = digits.get(rng.random_range(0..digits.len().max(1))) {
                    lines[at].replace_range(n..=n, &rng.random_range(0..10_u32).to_string());
                }
            }
        }
    }
    lines.join("\n")
}

#[test]
fn a_captured_call_with_loss_keys_hold_and_transcoding_replays_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let media = MediaConfig { capture: Some(folder.path().to_owned()), ..MediaConfig::default() };
    let mut bench = Bench::with(22_200, media);
    let (mut a, mut b) = (bench.phone(Codec::Pcmu, false), bench.phone(Codec::Opus, false));
    for phone in [&mut a, &mut b] {
        let clock = phone.audio.codec.clock();
        phone.audio.telephone_event =
            Some(TelephoneEventFormat { payload_type: 101, receive_payload_type: 101, clock });
        bench.send(WorkerCommand::RtpUpdate { leg: phone.leg, audio: phone.audio });
    }
    bench.bridge(&a, &b);
    let mut encoder = OpusEncoder::new(SampleRate::HZ_48000, OpusSettings::default()).unwrap();
    let (mut sine, mut pcm, mut opus) = (Sine::new(SampleRate::HZ_48000, 440.0, -12.0), [0; 960], [0; 1500]);
    for n in 0..120_u32 {
        let hold = match n {
            50 => Some(Direction::RecvOnly),
            70 => Some(Direction::SendRecv),
            _ => None,
        };
        if let Some(direction) = hold {
            bench.send(WorkerCommand::RtpUpdate { leg: a.leg, audio: Audio { direction, ..a.audio } });
        }
        match n {
            20..26 => {
                let ended = if n > 22 { 0x80 } else { 0 };
                (a.payload_type, a.timestamp) = (101, 77_000);
                a.send(&[5, 10 | ended, 0, 160], 0);
                a.payload_type = 0;
            }
            _ if n % 9 == 4 => a.skip(160),
            _ => a.send(&payload(n), 160),
        }
        sine.fill(&mut pcm);
        let length = encoder.encode(&pcm, &mut opus).unwrap();
        b.send(&opus[..length], 960);
        // The received frames set the pace: one every 20 ms.
        b.receive();
    }
    bench.close(vec![a, b]);
    let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let capture = std::fs::read_to_string(file).unwrap();
    let report = replay(capture.as_bytes()).unwrap();
    assert_eq!((&report.difference, report.missing_blocks, report.uncompared), (&None, 0, 0));
    assert!(report.datagrams > 180 && report.events >= 5 && report.inputs > 240, "{report:?}");
    assert!(capture.contains("Dtmf") && capture.contains("\"direction\":\"recvonly\""), "keys and hold are in it");
    let difference = replay(falsified(&capture).as_bytes()).unwrap().difference;
    assert!(difference.is_some_and(|found| found.line > 300), "a single digit is noticed");
    let (mut read, mut refused) = (0, 0);
    for seed in 0..60 {
        println!("seed {seed}");
        match replay(mutated(&capture, &mut SmallRng::seed_from_u64(seed)).as_bytes()) {
            Ok(_) => read += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(read > 5 && refused > 5, "{read} read, {refused} refused");
}

#[test]
fn a_capture_with_a_browser_compares_every_leg_that_did_not_hear_it() {
    let folder = tempfile::tempdir().unwrap();
    let media = MediaConfig { capture: Some(folder.path().to_owned()), ..MediaConfig::default() };
    let mut bench = Bench::with(23_200, media);
    let (mut a, b) = (bench.phone(Codec::Pcmu, false), bench.phone(Codec::Opus, false));
    let browser = LegId(1_000);
    let (reply, offer) = oneshot::channel();
    let (sender, mut events) = mpsc::channel(64);
    bench.send(WorkerRequest::LegOpen { leg: browser, media: LegMedia::WebRtcOffering { reply }, events: sender });
    offer.blocking_recv().unwrap().unwrap();
    let (mut c, d) = (bench.phone(Codec::Pcmu, false), bench.phone(Codec::G722, false));
    bench.bridge(&a, &b);
    bench.send(WorkerCommand::Bridge { a: browser, b: c.leg });
    for n in 0..90 {
        match n {
            // The leg that was bridged with the browser is bridged with another leg, which is then not compared either.
            30 => bench.bridge(&c, &d),
            60 => bench.send(WorkerCommand::LegClose { leg: browser }),
            _ => {}
        }
        a.send(&payload(n), 160);
        c.send(&payload(n + 200), 160);
        b.receive();
    }
    while !matches!(events.blocking_recv().expect("the leg is reported as closed").kind, WorkerEventKind::Closed(_)) {}
    // The browser's place is free for the next leg.
    let mut e = bench.phone(Codec::Pcmu, false);
    bench.bridge(&a, &e);
    relayed_exactly(&mut a, &e, 20, 7);
    relayed_exactly(&mut e, &a, 20, 9);
    bench.close(vec![a, b, c, d, e]);
    let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let report = replay(std::fs::read(file).unwrap().as_slice()).unwrap();
    assert_eq!((&report.difference, report.missing_blocks), (&None, 0));
    assert!(report.datagrams > 110 && report.uncompared > 50, "{report:?}");
}
