use super::*;
use crate::units::test_epoch;

const PACKET: Duration = Duration::from_millis(20);

fn map() -> RelayMap {
    RelayMap::new(0xaaaa, 1000, 50_000, ClockRate::HZ_8000, PACKET)
}

fn bytes(ssrc: u32, sequence: u16, timestamp: u32, marker: bool) -> [u8; 16] {
    let mut out = [0x55; 16];
    RtpHeader { payload_type: 8, marker, sequence, timestamp, ssrc }.write_to(&mut out).unwrap();
    out
}

/// Relays a packet; returns its sequence number and timestamp relative to the first ones of [`map`].
fn relay(map: &mut RelayMap, ssrc: u32, sequence: u16, timestamp: u32) -> Option<(i32, i32)> {
    let bytes = bytes(ssrc, sequence, timestamp, false);
    map.map(&RtpPacket::parse(&bytes).unwrap()).map(|header| {
        map.has_left();
        assert_eq!((header.ssrc, header.payload_type), (0xaaaa, 8));
        (i32::from(header.sequence) - 1000, header.timestamp.wrapping_sub(50_000) as i32)
    })
}

#[test]
fn gaps_reordering_duplicates_and_timestamps_are_kept() {
    let mut map = map();
    let incoming = [65534_u16, 65535, 2, 1, 1, 0, 6];
    let expected = [0, 1, 4, 3, 3, 2, 8];
    for (sequence, out) in incoming.into_iter().zip(expected) {
        let timestamp = (u32::MAX - 100).wrapping_add(out as u32 * 160);
        assert_eq!(relay(&mut map, 1, sequence, timestamp), Some((out, out * 160)));
    }
    assert_eq!(map.refused(), 0);
}

#[test]
fn marker_bits_are_kept() {
    let mut map = map();
    for (sequence, marker) in [(5, true), (6, false), (7, true), (8, false)] {
        let bytes = bytes(1, sequence, 0, marker);
        assert_eq!(map.map(&RtpPacket::parse(&bytes).unwrap()).unwrap().marker, marker);
    }
}

#[test]
fn packets_before_the_very_first_one_keep_their_place() {
    let mut map = map();
    assert_eq!(relay(&mut map, 1, 100, 16_000), Some((0, 0)));
    assert_eq!(relay(&mut map, 1, 99, 15_840), Some((-1, -160)));
    assert_eq!(relay(&mut map, 1, 101, 16_160), Some((1, 160)));
}

#[test]
fn new_source_continues_at_the_next_number_with_a_marker() {
    let mut map = map();
    relay(&mut map, 1, 10, 1600);
    relay(&mut map, 1, 13, 2080);
    let bytes = bytes(2, 60_000, 7, false);
    let header = map.map(&RtpPacket::parse(&bytes).unwrap()).unwrap();
    assert_eq!((header.sequence, header.timestamp, header.marker), (1004, 50_640, true));
    assert_eq!(relay(&mut map, 2, 60_001, 167), Some((5, 800)));
}

#[test]
fn late_packet_of_the_old_source_fills_its_own_gap() {
    let mut map = map();
    relay(&mut map, 1, 10, 1600);
    relay(&mut map, 1, 12, 1920);
    assert_eq!(relay(&mut map, 2, 500, 0), Some((3, 480)));
    assert_eq!(relay(&mut map, 1, 11, 1760), Some((1, 160)));
    assert_eq!(relay(&mut map, 2, 501, 160), Some((4, 640)));
}

#[test]
fn packet_from_before_a_splice_is_refused_not_renumbered() {
    let mut map = map();
    relay(&mut map, 1, 10, 1600);
    assert_eq!(relay(&mut map, 2, 500, 8000), Some((1, 160)));
    assert_eq!(relay(&mut map, 2, 499, 7840), None);
    assert_eq!(map.refused(), 1);
    assert_eq!(relay(&mut map, 2, 501, 8160), Some((2, 320)));
}

#[test]
fn local_stream_takes_over_and_returns_without_losing_or_repeating_a_number() {
    let mut map = map();
    let mut sent = Vec::new();
    let mut sequence = 65_000_u16;
    let mut timestamp = 9_u32;
    for round in 0..400 {
        for _ in 0..(round % 7 + 1) {
            let (out, _) = relay(&mut map, 1, sequence, timestamp).unwrap();
            sent.push((out as u16).wrapping_add(1000));
            sequence = sequence.wrapping_add(1);
            timestamp = timestamp.wrapping_add(160);
        }
        for _ in 0..(round % 3) {
            let header = map.generate(0, false, 160);
            assert_eq!(header.ssrc, 0xaaaa);
            sent.push(header.sequence);
        }
        // Packets that arrive while the local stream plays are not relayed.
        sequence = sequence.wrapping_add(round % 3);
        timestamp = timestamp.wrapping_add(u32::from(round % 3) * 160);
    }
    for (index, number) in sent.iter().enumerate() {
        assert_eq!(*number, 1000_u16.wrapping_add(index as u16), "packet {index}");
    }
}

#[test]
fn late_packet_under_a_local_stream_never_takes_a_local_number() {
    let mut map = map();
    relay(&mut map, 1, 10, 1600);
    relay(&mut map, 1, 12, 1920);
    assert_eq!(map.generate(0, true, 160).sequence, 1003);
    assert_eq!(relay(&mut map, 1, 11, 1760), Some((1, 160)), "its number was kept for it");
    assert_eq!(map.generate(0, false, 160).sequence, 1004);
    assert_eq!(relay(&mut map, 1, 15, 2400), Some((5, 800)));
    assert_eq!(relay(&mut map, 1, 14, 2240), None, "1004 was sent already");
    assert_eq!(relay(&mut map, 1, 16, 2560), Some((6, 960)));
}

#[test]
fn newer_packet_with_the_same_timestamp_is_not_taken_for_a_late_one() {
    // Packets of one telephone-event share a timestamp.
    let mut map = map();
    relay(&mut map, 1, 10, 1600);
    assert_eq!(map.generate(0, true, 160).sequence, 1001);
    assert_eq!(relay(&mut map, 1, 11, 1600), Some((2, 320)));
}

#[test]
fn source_back_after_a_whole_wrap_is_not_taken_for_a_late_packet() {
    let mut map = map();
    relay(&mut map, 1, 10, 1600);
    relay(&mut map, 1, 12, 1920);
    assert_eq!(map.generate(0, true, 160).sequence, 1003);
    assert_eq!(relay(&mut map, 1, 11, 1760 + 65_536 * 160), Some((4, 640)));
}

#[test]
fn timestamps_of_a_local_stream_follow_its_ticks() {
    let mut map = map();
    relay(&mut map, 1, 1, 0);
    relay(&mut map, 1, 2, 240);
    assert_eq!(map.generate(0, true, 160).timestamp, 50_480, "the 30 ms step was learnt");
    assert_eq!(map.generate(101, true, 0).timestamp, 50_640);
    assert_eq!(map.generate(101, false, 0).timestamp, 50_640);
    map.skip(800);
    assert_eq!(map.generate(0, false, 160).timestamp, 51_440);
    assert_eq!(relay(&mut map, 1, 3, 480), Some((6, 1600)));
}

#[test]
fn pause_between_stretches_is_reflected_in_the_timestamps() {
    let base = test_epoch();
    let mut map = map();
    let first = bytes(1, 1, 0, false);
    map.map_at(&RtpPacket::parse(&first).unwrap(), base);
    let header = map.generate_at(0, true, 160, base + Duration::from_millis(27));
    assert_eq!(header.timestamp, 50_160, "network jitter is no pause");
    let second = bytes(2, 70, 0, false);
    let header = map.map_at(&RtpPacket::parse(&second).unwrap(), base + Duration::from_millis(1033)).unwrap();
    assert_eq!((header.sequence, header.timestamp), (1002, 50_160 + 50 * 160));
}

#[test]
fn source_that_jumps_back_continues_after_two_packets_in_sequence() {
    let mut map = map();
    relay(&mut map, 1, 40_000, 0);
    assert_eq!(relay(&mut map, 1, 20_000, 900_000), None);
    assert_eq!(relay(&mut map, 1, 40_001, 160), Some((1, 160)), "a stray changes nothing");
    assert_eq!(relay(&mut map, 1, 20_000, 900_000), None);
    assert_eq!(relay(&mut map, 1, 20_001, 900_160), Some((2, 320)));
    assert_eq!(relay(&mut map, 1, 20_002, 900_320), Some((3, 480)));
}

#[test]
fn long_loss_stays_a_gap() {
    let mut map = map();
    relay(&mut map, 1, 10, 0);
    assert_eq!(relay(&mut map, 1, 20_010, 3_200_000), Some((20_000, 3_200_000)));
}

#[test]
fn unsent_numbers_never_advance_the_stream_by_half_of_the_number_range() {
    let mut map = map();
    relay(&mut map, 1, 10, 0);
    // Packets that were not forwarded: a key press to a leg that does not support keys.
    for jump in [20_010, 24_000] {
        let unsent = bytes(1, jump, 0, false);
        map.map(&RtpPacket::parse(&unsent).unwrap()).unwrap();
    }
    assert_eq!(relay(&mut map, 1, 40_000, 3_200_000), None, "one packet proves nothing");
    let (number, _) = relay(&mut map, 1, 40_001, 3_200_160).unwrap();
    assert_eq!(number, 1, "the next number");
    assert_eq!(relay(&mut map, 1, 40_002, 3_200_320).unwrap().0, 2);
}

#[test]
fn alternating_sources_never_repeat_a_number() {
    let mut map = map();
    let mut seen = std::collections::HashSet::new();
    for n in 0..50_u16 {
        for (ssrc, start) in [(1, 10_u16), (2, 900)] {
            let (out, _) = relay(&mut map, ssrc, start + n, u32::from(n) * 160).unwrap();
            assert!(seen.insert(out));
        }
    }
    assert_eq!(seen.len(), 100);
}

#[test]
fn outgoing_numbers_extend_over_the_wrap_from_zero() {
    let mut map = RelayMap::new(7, 65_534, 0, ClockRate::HZ_8000, PACKET);
    let numbers: Vec<u64> = (0..4)
        .map(|_| {
            let header = map.generate(0, false, 160);
            map.extend_outgoing(header.sequence)
        })
        .collect();
    assert_eq!(numbers, [65_534, 65_535, 65_536, 65_537]);
    assert_eq!(map.extend_outgoing(65_535), 65_535, "a late packet");
}

#[test]
fn resumed_source_follows_what_was_sent_and_keeps_its_gaps() {
    let mut map = map();
    relay(&mut map, 1, 10, 1600);
    map.generate(8, false, 160);
    // 13 is on its way, 14 overtakes it.
    map.resume(1, 13, 2_080);
    assert_eq!(relay(&mut map, 1, 14, 2_240), Some((3, 480)));
    assert_eq!(relay(&mut map, 1, 13, 2_080), Some((2, 320)));
    assert_eq!(relay(&mut map, 1, 16, 2_560), Some((5, 800)));
    assert_eq!(relay(&mut map, 1, 12, 1_920), None, "that was heard already");
    assert_eq!(map.generate(8, false, 160).sequence, 1006);
}

#[test]
fn packet_length_is_taken_from_the_payload_when_it_is_known() {
    let mut map = map();
    relay(&mut map, 1, 10, 1_600);
    map.last_lasts(1_600, 240);
    let now = test_epoch();
    let bytes = bytes(1, 11, 1_600 + 900, false);
    map.map_at(&RtpPacket::parse(&bytes).unwrap(), now);
    assert_eq!(map.relayed_to(), Some((1, 1_600 + 900 + 900, now)), "learnt, wrongly");
    map.last_lasts(2_500, 240);
    assert_eq!(map.relayed_to(), Some((1, 2_500 + 240, now)));
    assert_eq!(map.generate(8, false, 160).timestamp, 50_000 + 900 + 240);
}
