//! Choice of a leg's source, under virtual time.

use super::*;
use crate::rtp::RtpHeader;
use crate::units::test_epoch;

const CLOCK: ClockRate = ClockRate::HZ_8000;

/// Source address and position of a stream.
#[derive(Clone, Copy)]
struct Sender {
    from: SocketAddr,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
}

fn at(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], port))
}

fn sender(from: SocketAddr, ssrc: u32) -> Sender {
    Sender { from, ssrc, sequence: 65_530, timestamp: u32::MAX - 1_000 }
}

/// A leg whose description names port 4000 of host 1, under virtual time.
struct Lab {
    latch: Latch,
    now: Instant,
}

impl Lab {
    fn new() -> Lab {
        let mut lab = Lab { latch: Latch::default(), now: test_epoch() };
        lab.latch.describe(at(1, 4000), lab.now);
        lab
    }

    fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    /// Sends one packet without any time passing.
    fn send(&mut self, sender: &mut Sender, authentic: bool) -> Verdict {
        let Sender { from, ssrc, sequence, timestamp } = *sender;
        let mut bytes = [0; 20];
        RtpHeader { payload_type: 0, marker: false, sequence, timestamp, ssrc }.write_to(&mut bytes).unwrap();
        sender.sequence = sequence.wrapping_add(1);
        sender.timestamp = timestamp.wrapping_add(160);
        let packet = &RtpPacket::parse(&bytes).unwrap();
        self.latch.on_packet(&Arrival { from, packet, clock: CLOCK, authentic, now: self.now })
    }

    /// Lets each sender send a packet every 20 ms for `ms`, in turn, and returns how many of each were accepted.
    fn talk<const N: usize>(&mut self, ms: u64, mut senders: [&mut Sender; N]) -> [u64; N] {
        let mut heard = [0; N];
        for _ in 0..ms / 20 {
            for (sender, heard) in senders.iter_mut().zip(&mut heard) {
                *heard += u64::from(matches!(self.send(sender, false), Verdict::Heard | Verdict::Moved));
            }
            self.pass(20);
        }
        heard
    }
}

#[test]
fn the_described_address_is_accepted_from_its_first_packet_on() {
    for head_start_ms in [0, 500, 1_000, 5_000] {
        let mut lab = Lab::new();
        let (mut caller, mut stranger) = (sender(at(1, 4000), 1), sender(at(66, 6_666), 2));
        lab.talk(head_start_ms, [&mut stranger]);
        assert_eq!(lab.talk(2_000, [&mut stranger, &mut caller]), [u64::from(head_start_ms >= 1_000), 100]);
        assert_eq!(lab.latch.source(), Some(at(1, 4000)));
    }
}

#[test]
fn one_source_is_learnt_after_a_second_and_five_packets_and_no_other_later() {
    let mut lab = Lab::new();
    let (mut caller, mut stranger) = (sender(at(9, 555), 1), sender(at(66, 6_666), 2));
    assert_eq!(lab.talk(1_000, [&mut caller]), [0]);
    assert_eq!(lab.latch.source(), None, "nothing is sent to it either");
    assert_eq!(lab.talk(2_000, [&mut caller, &mut stranger]), [100, 0]);
    // Once a source is learnt, even a long silence does not let another address take over.
    lab.pass(30_000);
    assert_eq!(lab.talk(2_000, [&mut stranger]), [0]);
    let mut lab = Lab::new();
    lab.pass(3_000);
    let verdicts = [0; 6].map(|_| lab.send(&mut caller, false));
    assert_eq!(verdicts[3..], [Verdict::Unproven, Verdict::Moved, Verdict::Heard]);
}

#[test]
fn packets_that_form_no_stream_prove_nothing() {
    let mut lab = Lab::new();
    lab.pass(2_000);
    for n in 0..200 {
        let mut changing = sender(at(66, 6_666), 1_000 + n);
        assert_eq!(lab.send(&mut changing, false), Verdict::Unproven);
        let mut standing = sender(at(66, 6_668), 2);
        assert_eq!(lab.send(&mut standing, false), Verdict::Unproven);
        let mut jumping = Sender { sequence: (n as u16).wrapping_mul(7_919), ..sender(at(66, 6_670), 3) };
        assert_eq!(lab.send(&mut jumping, false), Verdict::Unproven);
        let mut hasty = Sender { timestamp: n * 1_000_000, sequence: n as u16, ..sender(at(66, 6_672), 4) };
        assert_eq!(lab.send(&mut hasty, false), Verdict::Unproven);
        lab.pass(20);
    }
}

#[test]
fn the_described_host_is_preferred_to_other_hosts() {
    let mut lab = Lab::new();
    let (mut stranger, mut caller) = (sender(at(66, 6_666), 2), sender(at(1, 40_404), 1));
    assert_eq!(lab.talk(3_000, [&mut stranger, &mut caller]), [0, 100]);
    // A crowd of strangers does not displace it either.
    let mut lab = Lab::new();
    let mut crowd = [0; 9].map(|_| sender(at(0, 0), 0));
    for (n, stranger) in crowd.iter_mut().enumerate() {
        *stranger = sender(at(66, 7_000 + n as u16), n as u32);
    }
    for _ in 0..55 {
        for stranger in &mut crowd {
            assert!(matches!(lab.send(stranger, false), Verdict::Unproven | Verdict::Foreign));
        }
        lab.talk(20, [&mut caller]);
    }
    assert_eq!(lab.latch.source(), Some(caller.from));
}

#[test]
fn a_stream_that_continues_from_another_port_is_followed() {
    for gap_ms in [0, 400, 6_000] {
        let mut lab = Lab::new();
        let mut caller = sender(at(9, 555), 1);
        lab.talk(2_000, [&mut caller]);
        lab.pass(gap_ms);
        caller.from = at(9, 777);
        caller.sequence = caller.sequence.wrapping_add(gap_ms as u16 / 20);
        caller.timestamp = caller.timestamp.wrapping_add(gap_ms as u32 * 8);
        assert_eq!(lab.talk(1_000, [&mut caller]), [48], "{gap_ms} ms");
        assert_eq!(lab.latch.source(), Some(caller.from));
        // It may move back, and to the described address.
        for from in [at(9, 555), at(1, 4000)] {
            caller.from = from;
            assert!(lab.talk(1_000, [&mut caller])[0] >= 48);
            assert_eq!(lab.latch.source(), Some(from));
        }
    }
}

#[test]
fn a_stranger_that_does_not_know_the_stream_s_numbers_cannot_take_over() {
    let mut lab = Lab::new();
    let mut caller = sender(at(9, 555), 1);
    lab.talk(2_000, [&mut caller]);
    let strangers = [
        // Another SSRC; an old number; a number far ahead; an unrelated timestamp.
        Sender { ssrc: 2, ..caller },
        Sender { sequence: caller.sequence.wrapping_sub(200), ..caller },
        Sender { sequence: caller.sequence.wrapping_add(20_000), ..caller },
        Sender { timestamp: caller.timestamp.wrapping_add(0x4000_0000), ..caller },
        Sender { timestamp: caller.timestamp.wrapping_sub(100_000), ..caller },
    ];
    for (n, mut stranger) in strangers.into_iter().enumerate() {
        stranger.from = at(66, 6_666);
        let silent = (0..50).all(|_| lab.send(&mut stranger, false) == Verdict::Foreign);
        assert!(silent, "stranger {n}");
    }
    assert_eq!(lab.latch.source(), Some(at(9, 555)));
}

#[test]
fn a_copier_of_a_stream_cannot_take_over_while_its_sender_sends() {
    let mut lab = Lab::new();
    let mut caller = sender(at(9, 555), 1);
    lab.talk(2_000, [&mut caller]);
    // The copier sees each packet and sends the next ones first.
    for _ in 0..200 {
        let mut copier = Sender { from: at(66, 6_666), ..caller };
        for _ in 0..2 {
            assert_ne!(lab.send(&mut copier, false), Verdict::Moved);
        }
        assert_eq!(lab.talk(20, [&mut caller]), [1]);
    }
}

#[test]
fn stragglers_of_the_described_address_do_not_restore_it() {
    let mut lab = Lab::new();
    let mut caller = sender(at(1, 4000), 1);
    lab.talk(1_000, [&mut caller]);
    let mut straggler = caller;
    caller.sequence = caller.sequence.wrapping_add(1);
    caller.timestamp = caller.timestamp.wrapping_add(160);
    caller.from = at(9, 777);
    assert_eq!(lab.talk(100, [&mut caller]), [3]);
    assert_eq!(lab.send(&mut straggler, false), Verdict::Heard);
    assert_eq!(lab.latch.source(), Some(at(9, 777)));
    assert_eq!(lab.talk(100, [&mut caller]), [5]);
}

#[test]
fn an_authentic_packet_needs_no_waiting_time_and_no_row() {
    let mut lab = Lab::new();
    let mut caller = sender(at(9, 555), 1);
    assert_eq!(lab.send(&mut caller, true), Verdict::Moved);
    assert!(lab.latch.concerns(at(66, 1), 1) && !lab.latch.concerns(at(66, 1), 2));
    // From elsewhere, only the same stream is accepted, after a row.
    caller.from = at(9, 777);
    let verdicts = [0; 3].map(|_| lab.send(&mut caller, true));
    assert_eq!(verdicts, [Verdict::Unproven, Verdict::Unproven, Verdict::Moved]);
}

#[test]
fn another_description_restarts_the_search_and_the_same_one_does_not() {
    let mut lab = Lab::new();
    let mut caller = sender(at(9, 555), 1);
    lab.talk(2_000, [&mut caller]);
    lab.latch.describe(at(1, 4000), lab.now);
    assert_eq!(lab.latch.source(), Some(at(9, 555)));
    lab.latch.describe(at(1, 5000), lab.now);
    assert_eq!(lab.latch.source(), None);
    let mut stranger = sender(at(66, 6_666), 2);
    let mut anew = sender(at(1, 5000), 3);
    assert_eq!(lab.talk(900, [&mut stranger, &mut caller]), [0, 0]);
    assert_eq!(lab.talk(900, [&mut stranger, &mut caller, &mut anew]), [0, 0, 45]);
}
