use super::*;
use crate::units::test_epoch;

const CLOCK: ClockRate = ClockRate::HZ_8000;
const MS_20: Duration = Duration::from_millis(20);

fn event(event: u8, end: bool, duration: u16) -> TelephoneEvent {
    TelephoneEvent { event, end, volume: 10, duration }
}

#[test]
fn payload_is_read_as_it_was_written() {
    let event = TelephoneEvent { event: 11, end: true, volume: 63, duration: 0x1234 };
    let mut out = [0; 4];
    assert_eq!(event.write_to(&mut out), Ok(4));
    assert_eq!(out, [11, 0x80 | 63, 0x12, 0x34]);
    assert_eq!(TelephoneEvent::parse(&out), Ok(event));
    assert_eq!(TelephoneEvent::parse(&out[..3]), Err(RtpError::Short));
    assert_eq!(event.write_to(&mut out[..3]), Err(RtpError::BufferTooSmall));
    assert_eq!(TelephoneEvent { volume: 64, ..event }.write_to(&mut out), Err(RtpError::Range));
}

#[test]
fn every_key_has_its_code() {
    for (code, key) in "0123456789*#ABCD".chars().enumerate() {
        assert_eq!((digit_of(code as u8), event_of(key)), (Some(key), Some(code as u8)));
    }
    assert_eq!((event_of('d'), event_of('x'), digit_of(16)), (Some(15), None, None));
}

#[test]
fn sent_press_has_a_marker_growing_durations_and_three_ends() {
    let mut sender = EventSender::new('5', Duration::from_millis(100), MS_20, CLOCK).unwrap();
    let packets: Vec<_> = std::iter::from_fn(|| sender.next_packet())
        .map(|p| (p.event.event, p.marker, p.event.end, p.event.duration, p.last))
        .collect();
    assert_eq!(
        packets,
        [
            (5, true, false, 160, false),
            (5, false, false, 320, false),
            (5, false, false, 480, false),
            (5, false, false, 640, false),
            (5, false, true, 800, false),
            (5, false, true, 800, false),
            (5, false, true, 800, true),
        ]
    );
    assert_eq!(sender.total_ticks(), 800);
    assert!(EventSender::new('x', MS_20, MS_20, CLOCK).is_none());
}

#[test]
fn press_is_reported_once_despite_loss_doubling_and_reordering() {
    let base = test_epoch();
    let mut sender = EventSender::new('7', Duration::from_millis(80), MS_20, CLOCK).unwrap();
    let packets: Vec<_> = std::iter::from_fn(|| sender.next_packet()).collect();
    // Every subset of packets, forwards, backwards and doubled.
    for mask in 1_u32..1 << packets.len() {
        for order in 0..3 {
            let mut kept: Vec<_> =
                packets.iter().enumerate().filter(|(i, _)| mask & 1 << i != 0).map(|(_, p)| p.event).collect();
            match order {
                1 => kept.reverse(),
                2 => kept = kept.iter().flat_map(|&p| [p, p]).collect(),
                _ => {}
            }
            let mut receiver = EventReceiver::new(CLOCK);
            let mut digits: Vec<Digit> = kept.iter().filter_map(|packet| receiver.on_packet(9, packet, base)).collect();
            digits.extend(receiver.on_timeout(base + Duration::from_millis(250)));
            assert_eq!(digits.len(), 1, "mask {mask:b} order {order}");
            let longest = kept.iter().map(|p| u32::from(p.duration)).max().unwrap();
            assert!(order == 1 || digits[0] == Digit { digit: '7', duration_ticks: longest, began: 9 });
            assert_eq!(receiver.poll_timeout(), None);
        }
    }
}

#[test]
fn lost_end_is_assumed_after_250_ms_of_silence() {
    let base = test_epoch();
    let mut receiver = EventReceiver::new(CLOCK);
    assert_eq!(receiver.on_packet(100, &event(1, false, 160), base), None);
    let later = base + Duration::from_millis(200);
    assert_eq!(receiver.on_packet(100, &event(1, false, 1760), later), None);
    assert_eq!(receiver.on_timeout(base + Duration::from_millis(449)), None);
    assert_eq!(receiver.poll_timeout(), Some(base + Duration::from_millis(450)));
    let digit = Some(Digit { digit: '1', duration_ticks: 1760, began: 100 });
    assert_eq!(receiver.on_timeout(base + Duration::from_millis(450)), digit);
    assert_eq!(receiver.on_packet(100, &event(1, true, 2000), base + Duration::from_secs(1)), None);
}

#[test]
fn same_key_twice_is_two_presses() {
    let base = test_epoch();
    let mut receiver = EventReceiver::new(CLOCK);
    assert!(receiver.on_packet(100, &event(1, true, 400), base).is_some());
    assert!(receiver.on_packet(1700, &event(1, true, 400), base).is_some());
}

#[test]
fn next_press_ends_one_whose_end_was_lost() {
    let base = test_epoch();
    let mut receiver = EventReceiver::new(CLOCK);
    receiver.on_packet(100, &event(1, false, 160), base);
    assert_eq!(receiver.on_packet(1700, &event(2, true, 400), base).unwrap().digit, '1');
    assert_eq!(receiver.poll_timeout(), Some(base), "the second is due at once");
    assert_eq!(receiver.on_timeout(base).unwrap(), Digit { digit: '2', duration_ticks: 400, began: 1700 });
    assert_eq!(receiver.on_timeout(base), None);
}

#[test]
fn straggler_of_an_older_press_does_not_end_the_current_one() {
    let base = test_epoch();
    let mut receiver = EventReceiver::new(CLOCK);
    assert!(receiver.on_packet(100, &event(1, true, 400), base).is_some());
    assert_eq!(receiver.on_packet(1700, &event(2, false, 160), base), None);
    assert_eq!(receiver.on_packet(100, &event(1, true, 400), base), None);
    assert_eq!(receiver.on_packet(1700, &event(2, true, 320), base).unwrap().digit, '2');
}

#[test]
fn press_of_several_segments_is_one_digit() {
    let base = test_epoch();
    let mut receiver = EventReceiver::new(CLOCK);
    assert_eq!(receiver.on_packet(7, &event(3, false, u16::MAX), base), None);
    assert_eq!(receiver.on_packet(7 + 65_535, &event(3, false, 160), base), None);
    let digit = receiver.on_packet(7 + 65_535, &event(3, true, 320), base).unwrap();
    assert_eq!(digit, Digit { digit: '3', duration_ticks: 65_535 + 320, began: 7 });
}

#[test]
fn codes_that_are_not_keys_are_ignored() {
    let mut receiver = EventReceiver::new(CLOCK);
    assert_eq!(receiver.on_packet(1, &event(16, true, 160), test_epoch()), None);
    assert_eq!(receiver.on_packet(9000, &event(255, true, 160), test_epoch()), None);
}

#[test]
fn new_stream_may_start_at_an_earlier_timestamp() {
    let base = test_epoch();
    let mut receiver = EventReceiver::new(CLOCK);
    assert!(receiver.on_packet(10_000, &event(1, true, 400), base).is_some());
    assert_eq!(receiver.restart(), None);
    assert!(receiver.on_packet(9_000, &event(1, true, 400), base).is_some());
}

#[test]
fn open_press_never_reports_more_than_its_known_length() {
    let mut sender = EventSender::open('4', MS_20, CLOCK).unwrap();
    let mut said = Vec::new();
    for known in [160, 160, 320, 640, 640] {
        sender.lasts(known);
        let packet = sender.next_packet().unwrap();
        assert!(!packet.event.end && !packet.last);
        said.push(packet.event.duration);
    }
    assert_eq!(said, [160, 160, 320, 480, 640]);
    sender.close(800);
    sender.lasts(9_000);
    let ends: Vec<_> = std::iter::from_fn(|| sender.next_packet()).collect();
    assert_eq!(ends.len(), 3);
    assert!(ends.iter().all(|packet| packet.event.end && packet.event.duration == 800 && packet.advance == 0));
}

#[test]
fn long_press_of_a_fast_clock_is_sent_in_segments_that_make_one_digit() {
    let clock = ClockRate::HZ_48000;
    let mut sender = EventSender::new('#', Duration::from_secs(4), MS_20, clock).unwrap();
    let mut receiver = EventReceiver::new(clock);
    let (mut timestamp, mut digits, mut now) = (u32::MAX - 70_000, Vec::new(), test_epoch());
    while let Some(packet) = sender.next_packet() {
        timestamp = timestamp.wrapping_add(packet.advance);
        digits.extend(receiver.on_packet(timestamp, &packet.event, now));
        now += MS_20;
    }
    let digit = Digit { digit: '#', duration_ticks: 192_000, began: u32::MAX - 70_000 };
    assert_eq!((digits, sender.total_ticks()), (vec![digit], 192_000));
}
