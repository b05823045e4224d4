//! Detection of repeated packets: a window over the newest sequence numbers of each source, as SRTP has for authentic packets.
//!
//! ```text
//! packet ─▶ same source, number and timestamp as one of its newest 64?  ─▶ repeat: drop and count
//!                                                                      └▶ new: late, previously lost, or ahead
//! ```
//!
//! Invariants:
//! - A number passes once, however often and in whatever order its copies arrive. Reordered and late packets pass.
//! - A source that restarts at other numbers is accepted at its second packet in sequence (RFC 3550 appendix A.1); a restart
//!   among numbers that were just used is distinguished from copies by its timestamps.
//! - Every SSRC has its own window, because gateways send key presses under a second one.
//! - Nothing allocates: `media-engine/tests/no_alloc_worker.rs`.
//!
//! Deliberate redundancy is not affected: RFC 2198 repeats payloads within new packets, and the retransmitted end packets of a
//! key press (RFC 4733 section 2.5.1.4) have different numbers. Of two identical streams for redundancy (RFC 7198) one copy passes.

use super::packet::RtpPacket;

/// Newest numbers of a source that are remembered: 1.28 s at 20 ms a packet, more than any reordering that playout can use, and
/// the minimum that SRTP remembers (RFC 3711 section 3.3.2).
const WIDTH: u16 = 64;
/// Number of sources remembered at once: audio, key presses, and those before a change.
const SOURCES: usize = 4;

/// State of one source.
#[derive(Clone, Copy, Debug)]
struct Window {
    ssrc: u32,
    highest: u16,
    /// Bit n is set when packet `highest − n` was received.
    taken: u64,
    /// Timestamp of each packet, folded to 16 bits, by sequence number modulo [`WIDTH`].
    stamps: [u16; WIDTH as usize],
    /// Number and timestamp of a packet at an unexpected position; its successor would prove that the source restarted.
    suspect: Option<(u16, u16)>,
}

impl Window {
    fn new(ssrc: u32, sequence: u16, stamp: u16) -> Window {
        let mut window = Window { ssrc, highest: sequence, taken: 1, stamps: [0; WIDTH as usize], suspect: None };
        window.stamps[place(sequence)] = stamp;
        window
    }

    /// Records a packet; returns whether it is new.
    fn take(&mut self, sequence: u16, stamp: u16) -> bool {
        let ahead = sequence.wrapping_sub(self.highest);
        if (1..=u16::MAX / 2).contains(&ahead) {
            self.taken = self.taken.checked_shl(u32::from(ahead)).unwrap_or(0) | 1;
            self.highest = sequence;
            self.keep(sequence, stamp);
            return true;
        }
        let age = self.highest.wrapping_sub(sequence);
        let is_new = age < WIDTH && self.taken >> age & 1 == 0;
        if is_new {
            self.taken |= 1 << age;
            self.keep(sequence, stamp);
            return true;
        }
        if age < WIDTH && self.stamps[place(sequence)] == stamp {
            return false;
        }
        match self.prove_restart(sequence, stamp) {
            Proof::Copy => false,
            // If it is only very late, the users of the packets decide, by the same rule.
            Proof::First => age >= WIDTH,
            Proof::Restarted => true,
        }
    }

    fn keep(&mut self, sequence: u16, stamp: u16) {
        self.stamps[place(sequence)] = stamp;
        self.suspect = None;
    }

    /// Records a packet at an unexpected position. If its successor is the next such packet, the window is reset.
    fn prove_restart(&mut self, sequence: u16, stamp: u16) -> Proof {
        match self.suspect {
            Some(suspect) if suspect == (sequence, stamp) => Proof::Copy,
            Some((before, stamp_before)) if before.wrapping_add(1) == sequence => {
                *self = Window::new(self.ssrc, before, stamp_before);
                self.take(sequence, stamp);
                Proof::Restarted
            }
            _ => {
                self.suspect = Some((sequence, stamp));
                Proof::First
            }
        }
    }
}

/// Evidence for a restart of the source, given by a packet at an unexpected position.
enum Proof {
    /// It is a copy of an earlier packet.
    Copy,
    /// It may be the first after a restart.
    First,
    /// It is the second in sequence.
    Restarted,
}

/// Windows of the sources that were received last, the latest first. See the module documentation.
#[derive(Clone, Debug, Default)]
pub struct Repeats {
    windows: [Option<Window>; SOURCES],
}

impl Repeats {
    /// Creates a detector that has seen no packet.
    pub fn new() -> Repeats {
        Repeats::default()
    }

    /// Returns whether the packet was seen before, and records it.
    pub fn is_repeat(&mut self, packet: &RtpPacket<'_>) -> bool {
        let (ssrc, sequence, stamp) = (packet.ssrc(), packet.sequence(), fold(packet.timestamp()));
        let known = self.windows.iter().position(|window| window.is_some_and(|window| window.ssrc == ssrc));
        let at = known.unwrap_or(SOURCES - 1);
        let fresh = match &mut self.windows[at] {
            Some(window) if window.ssrc == ssrc => window.take(sequence, stamp),
            window => {
                *window = Some(Window::new(ssrc, sequence, stamp));
                true
            }
        };
        self.windows[..=at].rotate_right(1);
        !fresh
    }
}

fn place(sequence: u16) -> usize {
    usize::from(sequence % WIDTH)
}

/// Folds a timestamp. Half of its bits suffice to distinguish a copy from a restart: two in a row would have to agree.
fn fold(timestamp: u32) -> u16 {
    (timestamp ^ (timestamp >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::RtpHeader;

    /// Returns for each (SSRC, number, timestamp) whether it is new.
    fn fresh(repeats: &mut Repeats, packets: impl IntoIterator<Item = (u32, u16, u32)>) -> Vec<bool> {
        let one = |(ssrc, sequence, timestamp)| {
            let mut bytes = [0; 20];
            let header = RtpHeader { payload_type: 0, marker: false, sequence, timestamp, ssrc };
            header.write_to(&mut bytes).unwrap();
            !repeats.is_repeat(&RtpPacket::parse(&bytes).unwrap())
        };
        packets.into_iter().map(one).collect()
    }

    /// Returns a packet of a stream whose timestamps follow the sequence numbers.
    fn stream(sequence: u16) -> (u32, u16, u32) {
        (7, sequence, u32::from(sequence.wrapping_sub(65_000)) * 160)
    }

    #[test]
    fn each_packet_five_times_passes_once_in_any_order_and_over_the_wrap() {
        let mut repeats = Repeats::new();
        let numbers = (0..2_000u16).map(|n| n.wrapping_add(65_000));
        // Five copies at once, and one of the packet 60 before.
        let packets = numbers.clone().flat_map(|n| [n, n, n.wrapping_sub(60), n, n, n]).map(stream);
        let passed = fresh(&mut repeats, packets).into_iter().filter(|fresh| *fresh).count();
        // The first packet is preceded by 60 packets that are late and new.
        assert_eq!(passed, 2_000 + 60);
    }

    #[test]
    fn reordered_and_late_packets_pass_once() {
        let mut repeats = Repeats::new();
        let numbers = [10, 12, 11, 15, 13, 14, 13, 200, 137, 136, 137];
        let expected = [true, true, true, true, true, true, false, true, true, true, false];
        assert_eq!(fresh(&mut repeats, numbers.map(stream)), expected);
    }

    #[test]
    fn source_that_restarts_far_away_passes_from_its_first_packet() {
        let mut repeats = Repeats::new();
        let restarted = |n| (7, n, 900_000 + u32::from(n) * 160);
        let before = (20_000..20_050).map(stream);
        let after = (100..150).flat_map(|n| [restarted(n), restarted(n)]);
        let passed = fresh(&mut repeats, before.chain(after));
        assert!(passed[..50].iter().all(|fresh| *fresh));
        assert!(passed[50..].chunks(2).all(|pair| pair == [true, false]), "{passed:?}");
    }

    #[test]
    fn source_that_restarts_among_its_newest_numbers_loses_one_packet() {
        let mut repeats = Repeats::new();
        let restarted = |n| (7, n, 3_000_000_000 + u32::from(n) * 160);
        let before = fresh(&mut repeats, (1_000..1_100).map(stream));
        let after = fresh(&mut repeats, (1_050..1_150).map(restarted));
        assert!(before.iter().all(|fresh| *fresh));
        assert!(!after[0] && after[1..].iter().all(|fresh| *fresh), "{after:?}");
    }

    #[test]
    fn number_used_again_with_another_timestamp_does_not_pass() {
        let mut repeats = Repeats::new();
        assert_eq!(fresh(&mut repeats, (1..100).map(stream)).len(), 99);
        let forged = (0..50).map(|n| (7, 99, 5_000 + n));
        assert!(fresh(&mut repeats, forged).iter().all(|fresh| !*fresh));
    }

    #[test]
    fn copies_of_a_whole_stretch_do_not_look_like_a_restart() {
        let mut repeats = Repeats::new();
        fresh(&mut repeats, (1..=100).map(stream));
        assert!(fresh(&mut repeats, (40..=100).map(stream)).iter().all(|fresh| !*fresh));
        assert_eq!(fresh(&mut repeats, [stream(101)]), [true]);
    }

    #[test]
    fn sources_have_windows_of_their_own() {
        let mut repeats = Repeats::new();
        // Audio and keys in turn, the keys with one timestamp and with copies; then another source with the same numbers.
        let mixed = (500..520).flat_map(|n| [(7, n, u32::from(n)), (8, n, 42), (8, n, 42)]);
        let passed = fresh(&mut repeats, mixed);
        assert!(passed.chunks(3).all(|three| three == [true, true, false]), "{passed:?}");
        let changed = fresh(&mut repeats, (500..520).map(|n| (9, n, u32::from(n))));
        assert!(changed.iter().all(|fresh| *fresh));
    }

    #[test]
    fn random_copies_and_reordering_pass_each_packet_exactly_once() {
        for seed in 0..50u64 {
            let mut random = seed;
            let mut next = |below: u64| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (random >> 33) % below
            };
            let mut sent: Vec<(u64, u16)> = Vec::new();
            for n in 0..3_000u64 {
                for _ in 0..=next(4) {
                    sent.push((n * 20 + next(1_000), 60_000u16.wrapping_add(n as u16)));
                }
            }
            sent.sort_unstable();
            let mut repeats = Repeats::new();
            let passed = fresh(&mut repeats, sent.iter().map(|&(_, sequence)| stream(sequence)));
            assert_eq!(passed.iter().filter(|fresh| **fresh).count(), 3_000, "seed {seed}");
        }
    }
}
