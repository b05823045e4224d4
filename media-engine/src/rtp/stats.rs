//! Reception and sending statistics of one stream (RFC 3550 section 6.4, appendices A.1, A.3, A.8).
//!
//! ```text
//! incoming packets ─▶ ReceiveStats ─▶ report block ─▶ our SR or RR
//! outgoing packets ─▶ SendStats ───▶ sender info ──▶ our SR
//! ```
//!
//! Invariants: integer arithmetic as in the RFC's appendix; a restart of the source and a change of
//! SSRC reset the statistics of the source; nothing allocates.
//! Not here: report packets (`rtcp`) and the times at which they are sent.

use std::time::{Duration, Instant};

use super::packet::RtpPacket;
use crate::units::ClockRate;

/// Largest forward jump that counts as loss (RFC 3550 appendix A.1).
const MAX_DROPOUT: u16 = 3000;
/// Largest backward jump that counts as reordering (RFC 3550 appendix A.1).
const MAX_MISORDER: u16 = 100;

/// Reception values of a report block (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reception {
    /// Share of packets lost since the last report, in 1/256; 0 when duplicates outweigh losses.
    pub fraction_lost: u8,
    /// Packets expected minus packets received since the start, within 24 bits; negative with duplicates.
    pub cumulative_lost: i32,
    /// Highest sequence number in the low 16 bits, count of its cycles above.
    pub extended_highest: u32,
    /// Inter-arrival jitter in ticks of the RTP clock.
    pub jitter: u32,
}

#[derive(Clone, Copy, Debug)]
struct Source {
    base: u16,
    highest: u16,
    /// Wraps so far, shifted to the upper half.
    cycles: u32,
    received: u64,
    expected_before: u64,
    received_before: u64,
    /// The sequence number that would prove a restart.
    restart: Option<u16>,
    /// First arrival: the zero of arrival ticks.
    origin: Option<Instant>,
    /// Arrival in ticks since `origin`, and timestamp, of the previous packet.
    transit: Option<(i64, u32)>,
    /// Jitter in 1/16 ticks.
    jitter: u64,
}

impl Source {
    fn new(sequence: u16) -> Source {
        Source {
            base: sequence,
            highest: sequence,
            cycles: 0,
            received: 0,
            expected_before: 0,
            received_before: 0,
            restart: None,
            origin: None,
            transit: None,
            jitter: 0,
        }
    }

    fn extended_highest(&self) -> u32 {
        self.cycles.wrapping_add(u32::from(self.highest))
    }

    fn expected(&self) -> u64 {
        u64::from(self.extended_highest().wrapping_sub(u32::from(self.base))) + 1
    }

    fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received)
    }
}

/// Reception statistics of one stream.
#[derive(Clone, Debug)]
pub struct ReceiveStats {
    clock: ClockRate,
    ssrc: Option<u32>,
    source: Option<Source>,
    packets: u64,
    octets: u64,
    /// Packets lost from sources before this one.
    lost_before: u64,
    last_arrival: Option<Instant>,
}

impl ReceiveStats {
    /// Creates statistics without packets; `clock` is the stream's RTP clock.
    pub fn new(clock: ClockRate) -> ReceiveStats {
        ReceiveStats { clock, ssrc: None, source: None, packets: 0, octets: 0, lost_before: 0, last_arrival: None }
    }

    /// Counts a packet; an SSRC other than before resets the statistics of the source.
    pub fn on_rtp(&mut self, packet: &RtpPacket<'_>, arrival: Instant) {
        if self.ssrc != Some(packet.ssrc()) {
            self.ssrc = Some(packet.ssrc());
            self.lost_before = self.lost();
            self.source = None;
        }
        self.octets += packet.payload().len() as u64;
        self.on_packet(packet.sequence(), packet.timestamp(), arrival);
    }

    /// Counts a packet whose timestamp follows the stream's clock (audio).
    pub fn on_packet(&mut self, sequence: u16, timestamp: u32, arrival: Instant) {
        if self.count(sequence, arrival) {
            self.measure(timestamp, arrival);
        }
    }

    /// Counts a packet whose timestamp is unrelated to its sending time, such as a telephone-event. It does not affect
    /// the jitter. A packet with another SSRC does not affect this stream: gateways send key presses under a separate one.
    pub fn on_untimed_rtp(&mut self, packet: &RtpPacket<'_>, arrival: Instant) {
        if *self.ssrc.get_or_insert(packet.ssrc()) == packet.ssrc() {
            self.count(packet.sequence(), arrival);
        } else {
            self.packets += 1;
            self.last_arrival = Some(arrival);
        }
    }

    /// Implements RFC 3550 appendix A.1 without probation: the leg decides which sources are valid.
    fn count(&mut self, sequence: u16, arrival: Instant) -> bool {
        self.packets += 1;
        self.last_arrival = Some(arrival);
        let source = self.source.get_or_insert_with(|| Source::new(sequence));
        let step = sequence.wrapping_sub(source.highest);
        if step < MAX_DROPOUT {
            if sequence < source.highest {
                source.cycles = source.cycles.wrapping_add(1 << 16);
            }
            source.highest = sequence;
            source.restart = None;
        } else if step <= u16::MAX - MAX_MISORDER + 1 {
            if source.restart != Some(sequence) {
                source.restart = Some(sequence.wrapping_add(1));
                return false;
            }
            self.lost_before += source.lost();
            *source = Source::new(sequence);
        }
        source.received += 1;
        true
    }

    /// Implements RFC 3550 appendix A.8: J += (|D| − J)/16, in integers scaled by 16 so that rounding errors cancel.
    fn measure(&mut self, timestamp: u32, arrival: Instant) {
        let Some(source) = self.source.as_mut() else { return };
        let origin = *source.origin.get_or_insert(arrival);
        let ticks = self.clock.ticks(arrival.saturating_duration_since(origin)) as i64;
        if let Some((last_ticks, last_timestamp)) = source.transit {
            let spacing = ticks.saturating_sub(last_ticks);
            let sent = i64::from(timestamp.wrapping_sub(last_timestamp) as i32);
            let deviation = spacing.saturating_sub(sent).unsigned_abs().min(u64::from(u32::MAX));
            source.jitter = (source.jitter + deviation).saturating_sub((source.jitter + 8) >> 4);
        }
        source.transit = Some((ticks, timestamp));
    }

    /// Returns the values for a report block and starts the interval of the next one; `None` before any packet.
    pub fn report(&mut self) -> Option<Reception> {
        let source = self.source.as_mut()?;
        let expected = source.expected();
        let expected_interval = expected.saturating_sub(source.expected_before);
        let received_interval = source.received.saturating_sub(source.received_before);
        source.expected_before = expected;
        source.received_before = source.received;
        let lost = expected_interval.saturating_sub(received_interval);
        let fraction_lost = (lost * 256).checked_div(expected_interval).unwrap_or(0).min(255) as u8;
        Some(Reception { fraction_lost, ..self.peek() })
    }

    /// Returns the same values without starting an interval; the lost share is 0.
    pub fn peek(&self) -> Reception {
        let Some(source) = self.source.as_ref() else { return Reception::default() };
        let lost = source.expected() as i64 - source.received as i64;
        Reception {
            fraction_lost: 0,
            cumulative_lost: lost.clamp(-0x80_0000, 0x7f_ffff) as i32,
            extended_highest: source.extended_highest(),
            jitter: (source.jitter >> 4).min(u64::from(u32::MAX)) as u32,
        }
    }

    /// Returns the SSRC of the stream; `None` before [`ReceiveStats::on_rtp`] was called.
    pub fn ssrc(&self) -> Option<u32> {
        self.ssrc
    }

    /// Returns the packets received since the start, over all sources.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Returns the payload bytes passed to [`ReceiveStats::on_rtp`], over all sources.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// Returns the packets lost since the start, over all sources.
    pub fn lost(&self) -> u64 {
        self.lost_before + self.source.as_ref().map_or(0, Source::lost)
    }

    /// Returns the packets that the current source should have sent so far.
    pub fn expected(&self) -> u64 {
        self.source.as_ref().map_or(0, Source::expected)
    }

    /// Returns the inter-arrival jitter as a time span.
    pub fn jitter(&self) -> Duration {
        let ticks = u64::from(self.peek().jitter);
        Duration::from_nanos(ticks.saturating_mul(1_000_000_000) / u64::from(self.clock.0.max(1)))
    }

    /// Returns the arrival time of the newest packet; `None` before any packet.
    pub fn last_arrival(&self) -> Option<Instant> {
        self.last_arrival
    }
}

/// Sending statistics of one stream.
#[derive(Clone, Debug)]
pub struct SendStats {
    clock: ClockRate,
    packets: u32,
    octets: u32,
    newest: Option<(Instant, u32)>,
}

impl SendStats {
    /// Creates statistics without packets; `clock` is the stream's RTP clock.
    pub fn new(clock: ClockRate) -> SendStats {
        SendStats { clock, packets: 0, octets: 0, newest: None }
    }

    /// Counts a packet with `payload_len` bytes of payload.
    pub fn on_packet(&mut self, payload_len: usize, timestamp: u32, now: Instant) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload_len as u32);
        self.newest = Some((now, timestamp));
    }

    /// Returns the packets sent, modulo 2³².
    pub fn packets(&self) -> u32 {
        self.packets
    }

    /// Returns the payload bytes sent, modulo 2³².
    pub fn octets(&self) -> u32 {
        self.octets
    }

    /// Returns the time at which the newest packet was sent; `None` before any packet.
    pub fn last_sent(&self) -> Option<Instant> {
        self.newest.map(|(at, _)| at)
    }

    /// Returns the stream's timestamp at `now` (RFC 3550 section 6.4.1); `None` before any packet.
    pub fn timestamp_at(&self, now: Instant) -> Option<u32> {
        let (at, timestamp) = self.newest?;
        let passed = self.clock.ticks(now.saturating_duration_since(at));
        Some(timestamp.wrapping_add(passed as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::test_epoch;

    const CLOCK: ClockRate = ClockRate::HZ_8000;

    fn feed(stats: &mut ReceiveStats, base: Instant, sequences: impl IntoIterator<Item = u16>) {
        for sequence in sequences {
            stats.on_packet(sequence, 0, base);
        }
    }

    /// Computes jitter literally as in appendix A.8: arrival and timestamps in ticks, jitter scaled by 16.
    fn rfc_jitter(packets: &[(i32, i32)]) -> u32 {
        let (mut transit, mut jitter) = (packets[0].0 - packets[0].1, 0_i32);
        for &(arrival, timestamp) in &packets[1..] {
            let d = (arrival - timestamp - transit).abs();
            transit = arrival - timestamp;
            jitter += d - ((jitter + 8) >> 4);
        }
        (jitter >> 4) as u32
    }

    #[test]
    fn loss_is_counted_as_in_appendix_a3() {
        let base = test_epoch();
        let mut stats = ReceiveStats::new(CLOCK);
        // 100 to 199 less ten: 100 expected, 90 received, 10·256/100 = 25.
        feed(&mut stats, base, (100..200).filter(|n| n % 10 != 5));
        let report = stats.report().unwrap();
        assert_eq!((report.fraction_lost, report.cumulative_lost, report.extended_highest), (25, 10, 199));
        // Only the next interval determines the share: 50 expected, 25 lost.
        feed(&mut stats, base, (200..250).filter(|n| n % 2 == 1));
        let report = stats.report().unwrap();
        assert_eq!((report.fraction_lost, report.cumulative_lost), (128, 35));
        assert_eq!((stats.packets(), stats.expected()), (115, 150));
    }

    #[test]
    fn duplicates_make_the_loss_negative_and_the_share_zero() {
        let mut stats = ReceiveStats::new(CLOCK);
        feed(&mut stats, test_epoch(), (1..=10).flat_map(|n| [n, n]));
        let report = stats.report().unwrap();
        assert_eq!((report.fraction_lost, report.cumulative_lost), (0, -10));
    }

    #[test]
    fn wrap_adds_a_cycle_and_late_packets_across_it_do_not() {
        let mut stats = ReceiveStats::new(CLOCK);
        feed(&mut stats, test_epoch(), [65533, 65535, 1, 65534, 0, 2]);
        let report = stats.report().unwrap();
        assert_eq!((report.extended_highest, report.cumulative_lost), (65536 + 2, 0));
    }

    #[test]
    fn nothing_expected_is_no_loss() {
        let mut stats = ReceiveStats::new(CLOCK);
        assert_eq!(stats.report(), None);
        feed(&mut stats, test_epoch(), [5]);
        assert_eq!(stats.report().unwrap().fraction_lost, 0);
        assert_eq!(stats.report().unwrap().fraction_lost, 0);
    }

    #[test]
    fn a_jump_resets_only_after_two_packets_in_sequence() {
        let mut stats = ReceiveStats::new(CLOCK);
        feed(&mut stats, test_epoch(), [10, 11, 40_000, 12]);
        assert_eq!(stats.peek().extended_highest, 12);
        feed(&mut stats, test_epoch(), [50_000, 50_001, 50_002]);
        let report = stats.report().unwrap();
        assert_eq!((report.extended_highest, report.cumulative_lost), (50_002, 0));
    }

    #[test]
    fn another_ssrc_resets_the_source() {
        let base = test_epoch();
        let mut stats = ReceiveStats::new(CLOCK);
        for (ssrc, sequence) in [(1_u32, 10_u16), (1, 12), (2, 500)] {
            let mut bytes = [0; 20];
            let header = crate::rtp::RtpHeader { payload_type: 0, marker: false, sequence, timestamp: 0, ssrc };
            header.write_to(&mut bytes).unwrap();
            stats.on_rtp(&RtpPacket::parse(&bytes).unwrap(), base);
        }
        assert_eq!((stats.ssrc(), stats.packets(), stats.octets()), (Some(2), 3, 24));
        assert_eq!(stats.report().unwrap().cumulative_lost, 0);
    }

    #[test]
    fn jitter_is_that_of_appendix_a8() {
        let base = test_epoch();
        // Arrivals in ticks around a 160-tick spacing.
        let late = [0, 0, 40, 8, 160, 0, 0, 320, 16, 16, 0, 80];
        let packets: Vec<(i32, i32)> =
            late.iter().enumerate().map(|(n, late)| (n as i32 * 160 + late, n as i32 * 160)).collect();
        let mut stats = ReceiveStats::new(CLOCK);
        for (n, &(arrival, timestamp)) in packets.iter().enumerate() {
            let at = base + Duration::from_micros(arrival as u64 * 125);
            stats.on_packet(n as u16, timestamp as u32, at);
            assert_eq!(stats.peek().jitter, rfc_jitter(&packets[..=n]), "packet {n}");
        }
        assert!(stats.peek().jitter > 0);
    }

    #[test]
    fn one_late_packet_of_16_ticks_is_jitter_of_one() {
        // By hand: D = 16 ticks, J = 0 + (16 − 0)/16 = 1 tick = 125 µs.
        let base = test_epoch();
        let mut stats = ReceiveStats::new(CLOCK);
        stats.on_packet(1, 0, base);
        stats.on_packet(2, 160, base + Duration::from_millis(22));
        assert_eq!((stats.peek().jitter, stats.jitter()), (1, Duration::from_micros(125)));
    }

    #[test]
    fn steady_jitter_converges_to_its_mean_deviation() {
        let base = test_epoch();
        let mut stats = ReceiveStats::new(CLOCK);
        for n in 0..1000_u32 {
            let at = base + Duration::from_millis(u64::from(n) * 20 + u64::from(n % 2) * 5);
            stats.on_packet(n as u16, n * 160, at);
        }
        assert!(stats.peek().jitter.abs_diff(40) <= 1, "{}", stats.peek().jitter);
    }

    #[test]
    fn untimed_packets_count_without_jitter() {
        let base = test_epoch();
        let mut stats = ReceiveStats::new(CLOCK);
        on(&mut stats, 9, 1, false, base);
        for n in 2..10_u16 {
            on(&mut stats, 9, n, true, base + Duration::from_millis(u64::from(n) * 20));
        }
        assert_eq!((stats.peek().jitter, stats.peek().cumulative_lost), (0, 0));
    }

    fn on(stats: &mut ReceiveStats, ssrc: u32, sequence: u16, untimed: bool, at: Instant) {
        let header = super::super::RtpHeader { payload_type: 0, marker: false, sequence, timestamp: 0, ssrc };
        let mut bytes = [0; 12];
        header.write_to(&mut bytes).unwrap();
        let packet = RtpPacket::parse(&bytes).unwrap();
        if untimed { stats.on_untimed_rtp(&packet, at) } else { stats.on_rtp(&packet, at) }
    }

    #[test]
    fn losses_add_up_over_sources_and_ignore_keys_of_another_source() {
        let (base, mut stats) = (test_epoch(), ReceiveStats::new(CLOCK));
        for n in [1, 2, 5, 6] {
            on(&mut stats, 9, n, false, base);
        }
        assert_eq!(stats.lost(), 2);
        for n in 7_000..7_008 {
            on(&mut stats, 77, n, true, base);
        }
        on(&mut stats, 9, 8, false, base);
        assert_eq!((stats.lost(), stats.packets(), stats.ssrc()), (3, 13, Some(9)));
        // Another stream, and one that restarts with the same SSRC.
        for (ssrc, n) in [(10, 100), (10, 103), (10, 40_000), (10, 40_001), (10, 40_003)] {
            on(&mut stats, ssrc, n, false, base);
        }
        assert_eq!(stats.lost(), 3 + 2 + 1);
    }

    #[test]
    fn timestamp_advances_between_sent_packets() {
        let base = test_epoch();
        let mut stats = SendStats::new(CLOCK);
        assert_eq!(stats.timestamp_at(base), None);
        stats.on_packet(160, u32::MAX, base);
        assert_eq!(stats.timestamp_at(base + Duration::from_millis(1)), Some(7));
        assert_eq!((stats.packets(), stats.octets(), stats.last_sent()), (1, 160, Some(base)));
    }
}
