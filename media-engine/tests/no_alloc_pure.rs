//! After construction, the RTP, RTCP, audio and answer-detection modules neither allocate nor free.

#![allow(clippy::disallowed_methods, reason = "one base instant for a pure test")]
#![allow(clippy::unwrap_used, reason = "a test")]

mod counting;

use std::hint::black_box;
use std::time::{Duration, Instant, UNIX_EPOCH};

use media_engine::amd::{Detector, Mode};
use media_engine::audio::{Ducker, FrameKind, Gain, Original, mix_into, tap};
use media_engine::rtcp;
use media_engine::rtp::telephone_event::{EventReceiver, EventSender, TelephoneEvent};
use media_engine::rtp::{ReceiveStats, RelayMap, RtpHeader, RtpPacket, SendStats, is_rtcp};
use media_engine::srtp::{MAX_OVERHEAD, MasterKey, Protect, Suite, Unprotect};
use media_engine::units::{ClockRate, SampleRate};

/// Returns the number of allocations and frees while `work` runs.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = counting::calls();
    work();
    counting::calls() - before
}

const PACKET: Duration = Duration::from_millis(20);
const CLOCK: ClockRate = ClockRate::HZ_8000;

fn datagram(n: u32) -> [u8; 172] {
    let mut out = [0xd5; 172];
    let ssrc = n / 400;
    let header = RtpHeader { payload_type: 8, marker: false, sequence: n as u16, timestamp: n * 160, ssrc };
    header.write_to(&mut out).unwrap();
    out
}

fn relay(base: Instant) -> u64 {
    let mut map = RelayMap::new(9, 65_000, 0, CLOCK, PACKET);
    let mut receive = ReceiveStats::new(CLOCK);
    let mut send = SendStats::new(CLOCK);
    let mut ours = rtcp::Session::new(9, "ours", base, UNIX_EPOCH, 1);
    let mut theirs = rtcp::Session::new(0, "theirs", base, UNIX_EPOCH, 2);
    let mut sent = 0_u64;
    let count = allocations(|| {
        let mut report = [0; 400];
        for n in 0..2000_u32 {
            let now = base + PACKET * n;
            let mut bytes = datagram(n);
            assert!(!is_rtcp(&bytes));
            let packet = RtpPacket::parse(&bytes).unwrap();
            receive.on_rtp(&packet, now);
            let header = if n % 100 < 90 { map.map_at(&packet, now) } else { Some(map.generate(8, false, 160)) };
            let Some(header) = header else { continue };
            header.write_to(&mut bytes).unwrap();
            send.on_packet(160, header.timestamp, now);
            sent += 1;
            for (from, to) in [(&mut ours, &mut theirs)] {
                if let Some(len) = from.poll_report(now, &send, &mut receive, &mut report) {
                    to.handle_datagram(&report[..len.unwrap()], now);
                }
            }
            black_box((&bytes, receive.peek(), theirs.round_trip()));
        }
        let len = ours.write_bye(base + PACKET * 2000, &send, &mut receive, &mut report).unwrap();
        theirs.handle_datagram(&report[..len], base + PACKET * 2000);
    });
    assert!(sent > 1900 && theirs.is_bye_received());
    count
}

fn srtp(_: Instant) -> u64 {
    let mut opened = 0;
    let mut contexts = Suite::ALL.map(|suite| {
        let key = MasterKey::new(suite, &[7; 44][..suite.key_and_salt_len()]).unwrap();
        (Protect::new(&key), Unprotect::new(&key))
    });
    let count = allocations(|| {
        for n in 0..2000_u32 {
            for (protect, unprotect) in &mut contexts {
                let mut bytes = [0; 172 + MAX_OVERHEAD];
                bytes[..172].copy_from_slice(&datagram(n));
                let length = protect.rtp(&mut bytes, 172).unwrap();
                let mut forged = bytes;
                forged[20] ^= 1;
                assert!(unprotect.rtp(&mut forged[..length]).is_err());
                assert_eq!(unprotect.rtp(&mut bytes[..length]), Ok(172));
                let mut report = [0; 8 + MAX_OVERHEAD];
                report[..4].copy_from_slice(&[0x80, 201, 0, 1]);
                let length = protect.rtcp(&mut report, 8).unwrap();
                assert_eq!(unprotect.rtcp(&mut report[..length]), Ok(8));
                opened += 1;
            }
        }
    });
    assert_eq!(opened, 8000);
    count
}

fn events(base: Instant) -> u64 {
    let mut receiver = EventReceiver::new(CLOCK);
    let mut digits = 0;
    let count = allocations(|| {
        for n in 0..100_u32 {
            let mut sender = EventSender::new('5', PACKET * 5, PACKET, CLOCK).unwrap();
            while let Some(packet) = sender.next_packet() {
                let mut payload = [0; 4];
                packet.event.write_to(&mut payload).unwrap();
                let event = TelephoneEvent::parse(&payload).unwrap();
                digits += u32::from(receiver.on_packet(n * 8000, &event, base).is_some());
            }
            receiver.on_timeout(base);
        }
    });
    assert_eq!(digits, 100);
    count
}

fn taps_and_levels(base: Instant) -> u64 {
    let (mut writer, mut reader) = tap(8);
    let mut ducker = Ducker::new();
    let mut gain = Gain::from_db(-3.0);
    let mut popped = 0;
    let count = allocations(|| {
        let mut frame = [1000_i16; 960];
        for n in 0..500_u32 {
            let original = [Original::Full, Original::Ducked, Original::Silent][n as usize / 20 % 3];
            ducker.process(original, &mut frame, SampleRate::HZ_48000);
            gain.process(&mut frame, SampleRate::HZ_48000);
            mix_into(&mut frame, &[500; 960]);
            writer.push(base, Some(base), FrameKind::Voice, SampleRate::HZ_48000, &frame);
            if n % 20 > 10 {
                popped += u32::from(reader.pop().is_some());
            }
        }
    });
    assert!(popped > 100 && reader.dropped() > 0);
    count
}

/// What answered: the detector of a screened leg, which runs beside the packet path on a tap.
fn answers(_: Instant) -> u64 {
    let mut detector = Detector::new(SampleRate::HZ_16000, Mode::Balanced);
    let mut events = 0;
    let count = allocations(|| {
        let mut seed = 1_u32;
        for n in 0..2000_u32 {
            // Bursts of noise, then a busy tone.
            let mut frame = [0_i16; 320];
            for (k, sample) in frame.iter_mut().enumerate() {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let tone = (f64::from(n * 320 + k as u32) * 425.0 / 16_000.0 * std::f64::consts::TAU).sin() * 4_000.0;
                *sample = match (n / 25) % 2 {
                    0 if n < 100 => (seed >> 18) as i16,
                    0 => tone as i16,
                    _ => 0,
                };
            }
            detector.push(&frame, |_event| events += 1);
        }
    });
    assert!(events > 0 && detector.verdict().is_some());
    count
}

#[test]
fn packet_path_neither_allocates_nor_frees() {
    assert!(allocations(|| drop(black_box(Box::new(7_u64)))) >= 2, "the counter counts");
    let base = Instant::now();
    // The test harness's main thread may allocate once while it starts; a real leak appears in every run.
    let fewest = |work: fn(Instant) -> u64| (0..3).map(|_| work(base)).min();
    assert_eq!(fewest(relay), Some(0), "relay, statistics and reports");
    assert_eq!(fewest(srtp), Some(0), "protecting and opening, new sources among them");
    assert_eq!(fewest(events), Some(0), "telephone-events");
    assert_eq!(fewest(taps_and_levels), Some(0), "taps, ducking, mixing");
    assert_eq!(fewest(answers), Some(0), "answer detection");
}
