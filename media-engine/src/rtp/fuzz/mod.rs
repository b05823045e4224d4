//! Fuzz functions of this module: no input causes a panic or violates an invariant.

#[cfg(test)]
pub(crate) mod mutate;

use super::packet::{HEADER_LEN, RtpPacket, is_rtcp};
use super::telephone_event::{EVENT_LEN, TelephoneEvent};

/// Checks that every parsed RTP packet has its payload inside the datagram and a header that is read back as written.
pub fn fuzz_rtp(bytes: &[u8]) {
    // Either result is allowed; the call must not panic.
    let _ = is_rtcp(bytes);
    let Ok(packet) = RtpPacket::parse(bytes) else { return };
    assert!(packet.header_len() >= HEADER_LEN);
    assert!(packet.header_len() + packet.payload().len() <= bytes.len());
    let mut out = [0; HEADER_LEN];
    let written = packet.header().write_to(&mut out);
    assert_eq!(written, Ok(HEADER_LEN));
    assert_eq!(RtpPacket::parse(&out).map(|again| again.header()), Ok(packet.header()));
}

/// Checks that every parsed telephone-event is read back as written.
pub fn fuzz_telephone_event(bytes: &[u8]) {
    let Ok(event) = TelephoneEvent::parse(bytes) else {
        assert!(bytes.len() < EVENT_LEN);
        return;
    };
    let mut out = [0; EVENT_LEN];
    assert_eq!(event.write_to(&mut out), Ok(EVENT_LEN));
    assert_eq!(TelephoneEvent::parse(&out), Ok(event));
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use super::mutate::{Random, mutate_and_run};
    use super::*;
    use crate::rtp::telephone_event::{EventReceiver, EventSender};
    use crate::rtp::{ReceiveStats, RelayMap, RtpHeader};
    use crate::units::{ClockRate, test_epoch};

    const ROUNDS: usize = 50_000;

    fn rtp_seeds() -> Vec<Vec<u8>> {
        let mut plain = vec![0x80, 0x80, 0x12, 0x34, 0, 0, 0, 160, 0xde, 0xad, 0xbe, 0xef];
        plain.extend([0xd5; 20]);
        let mut full = plain.clone();
        full[0] = 0x80 | 0x20 | 0x10 | 2;
        full.splice(12..12, [[9_u8; 8].as_slice(), &[0xbe, 0xde, 0, 1, 7, 7, 7, 7]].concat());
        full.extend([0, 0, 0, 4]);
        let event = [&plain[..12], &[5, 0x8a, 3, 0x20]].concat();
        let rtcp = vec![0x80, 200, 0, 6, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let stun = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        vec![plain, full, event, rtcp, stun]
    }

    /// Feeds a stream cut out of `bytes`, 16 bytes a packet, through everything that keeps state.
    fn stream(bytes: &[u8]) {
        let base = test_epoch();
        let mut relay = RelayMap::new(1, 0, 0, ClockRate::HZ_8000, Duration::from_millis(20));
        let mut stats = ReceiveStats::new(ClockRate::HZ_8000);
        let mut events = EventReceiver::new(ClockRate::HZ_8000);
        let mut reported = 0;
        for (n, chunk) in bytes.chunks(16).enumerate() {
            let now = base + Duration::from_millis(20) * n as u32;
            let Ok(packet) = RtpPacket::parse(chunk) else { continue };
            stats.on_rtp(&packet, now);
            if relay.map_at(&packet, now).is_some() && n % 3 > 0 {
                relay.has_left();
            }
            if let Ok(event) = TelephoneEvent::parse(packet.payload()) {
                reported += usize::from(events.on_packet(packet.timestamp(), &event, now).is_some());
            }
            reported += usize::from(events.on_timeout(now).is_some());
            stats.report();
        }
        assert!(reported <= bytes.len() / 16 + 1);
    }

    #[test]
    fn mutated_rtp_packets_violate_no_invariant() {
        mutate_and_run(&rtp_seeds(), ROUNDS, fuzz_rtp);
    }

    #[test]
    fn mutated_telephone_events_violate_no_invariant() {
        let seeds = [vec![5, 0x0a, 0, 160], vec![11, 0x8a, 0xff, 0xff], vec![16, 0x40, 0, 0, 1, 2, 3, 4]];
        mutate_and_run(&seeds, ROUNDS, fuzz_telephone_event);
    }

    #[test]
    fn mutated_streams_violate_no_invariant() {
        let mut sender =
            EventSender::new('4', Duration::from_millis(160), Duration::from_millis(20), ClockRate::HZ_8000).unwrap();
        let mut bytes = Vec::new();
        let mut sequence = 65_530_u16;
        while let Some(packet) = sender.next_packet() {
            let mut out = [0; 16];
            let header =
                RtpHeader { payload_type: 101, marker: packet.marker, sequence, timestamp: u32::MAX - 40, ssrc: 9 };
            header.write_to(&mut out).unwrap();
            packet.event.write_to(&mut out[12..]).unwrap();
            bytes.extend(out);
            sequence = sequence.wrapping_add(1);
        }
        mutate_and_run(&[bytes.clone(), [bytes.clone(), bytes].concat()], ROUNDS / 5, stream);
    }

    #[test]
    fn no_outgoing_number_is_used_for_two_packets() {
        for seed in 0..200 {
            let mut random = Random::new(seed + 1);
            let mut relay = RelayMap::new(7, 60_000, 0, ClockRate::HZ_8000, Duration::from_millis(20));
            let mut sources = [(1_u32, 10_u64, 0_u64), (2, 65_500, 0)];
            let mut used: HashMap<u64, (u32, u16)> = HashMap::new();
            let mut local = 0_u16;
            let (mut active, mut highest) = (0, 60_000);
            for step in 0..3000 {
                let (owner, header) = match random.below(100) {
                    0..=9 => {
                        local += 1;
                        ((0, local), relay.generate(0, false, 160))
                    }
                    other => {
                        active = if other == 10 { 1 - active } else { active };
                        let (ssrc, next, restarts) = &mut sources[active];
                        if other == 11 {
                            *restarts += 1;
                            // A restart moves far; the model never uses a number twice.
                            *next += 20_000 + random.below(20_000) as u64;
                        }
                        *next += 1;
                        let number = next.saturating_sub(if other < 30 { random.below(6) as u64 } else { 0 });
                        let mut out = [0; 16];
                        let header = RtpHeader {
                            payload_type: 0,
                            marker: false,
                            sequence: number as u16,
                            timestamp: number.wrapping_mul(160) as u32,
                            ssrc: *ssrc,
                        };
                        header.write_to(&mut out).unwrap();
                        let packet = RtpPacket::parse(&out).unwrap();
                        let Some(mapped) = relay.map(&packet) else { continue };
                        ((*ssrc, number as u16), mapped)
                    }
                };
                // Some packets are not forwarded, such as key presses to a leg that does not support keys.
                if owner.0 != 0 && random.below(8) == 0 {
                    continue;
                }
                relay.has_left();
                let number = relay.extend_outgoing(header.sequence);
                assert!(number < highest + 0x8000, "seed {seed} step {step}: {number} after {highest}");
                highest = highest.max(number);
                let before = used.insert(number, owner);
                assert!(before.is_none_or(|before| before == owner), "seed {seed} step {step}: {before:?} {owner:?}");
            }
            assert!(relay.refused() < 600, "seed {seed}: {}", relay.refused());
        }
    }
}
