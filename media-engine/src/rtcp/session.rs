//! RTCP reports of one leg: their schedule, their content, and the evaluation of the far end's reports.
//!
//! ```text
//! SendStats, ReceiveStats ──▶ Session::poll_report ──▶ SR or RR, SDES        every 5 s
//! datagram ──▶ Session::handle_datagram ──▶ round trip, loss at the far end, goodbye
//! ```
//!
//! Invariants: a report every 5 s (RFC 3550 section 6.2's minimum interval), the first at a random
//! point between 0.5 and 2.5 s so that legs do not all report at once; the round trip is measured
//! with the engine's clock only. Nothing allocates after construction.
//! Not here: sockets, SRTCP, the bandwidth rules for sessions with many members.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::packet::{Packet, ReportBlock, SenderReport, parse};
use super::write::{Compound, RtcpError, write_compound};
use crate::rtp::{ReceiveStats, SendStats};
use crate::units::ClockRate;

/// Time between reports (RFC 3550 section 6.2).
pub const INTERVAL: Duration = Duration::from_secs(5);

/// Time without sent packets after which a stream produces receiver reports (RFC 3550 section 6.4: two intervals).
const SENDER_TIMEOUT: Duration = Duration::from_secs(10);

/// Round trips above this indicate a broken clock or a stale report.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(30);

/// Seconds between 1900 and 1970.
const NTP_UNIX_OFFSET: u64 = 2_208_988_800;

/// The far end's latest report about the stream that we send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteReport {
    /// Share of packets lost in its last interval, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the start.
    pub cumulative_lost: i32,
    /// Jitter in ticks of the clock of our stream.
    pub jitter: u32,
    /// Arrival time of the report.
    pub at: Instant,
}

/// Summary of the far end's reports about the stream that we send, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FarEnd {
    /// Number of reports about our stream.
    pub reports: u64,
    /// Sum of the reported lost shares, each 0 to 1; the difference of two sums gives the mean over the time between.
    pub loss_sum: f64,
    /// Latest reported lost share, 0 to 1.
    pub loss: f64,
    /// Jitter that the far end measures.
    pub jitter: Duration,
    /// Arrival time of the latest report about our stream.
    pub reported_at: Option<Instant>,
    /// Arrival time of the latest RTCP packet of any kind.
    pub heard_at: Option<Instant>,
}

/// RTCP session of one leg.
#[derive(Clone, Debug)]
pub struct Session {
    ssrc: u32,
    cname: String,
    anchor: (Instant, u64),
    next: Instant,
    /// SSRC of the last sender report, the middle of its NTP time, and its arrival time.
    last_sender_report: Option<(u32, u32, Instant)>,
    round_trip: Option<Duration>,
    remote: Option<RemoteReport>,
    /// Reports about our stream, the sum of their lost shares in 1/256, and the latest RTCP of any kind.
    reports: u64,
    lost_sum: u64,
    heard_at: Option<Instant>,
    bye: bool,
    malformed: u64,
}

impl Session {
    /// Creates a session that reports for the stream `ssrc` that we send.
    ///
    /// `wall` is the time of day at `now`; from then on NTP times follow the engine's clock. `cname`
    /// (cut to 255 bytes) must not identify a person (RFC 7022). `seed` determines the time of the first report.
    pub fn new(ssrc: u32, cname: &str, now: Instant, wall: SystemTime, seed: u64) -> Session {
        let mut end = cname.len().min(super::write::MAX_TEXT);
        while !cname.is_char_boundary(end) {
            end -= 1;
        }
        // One step of a multiplicative hash (Knuth), because seeds may be consecutive.
        let spread = Duration::from_millis((seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % 2000);
        Session {
            ssrc,
            cname: cname[..end].to_owned(),
            anchor: (now, ntp_of(wall)),
            next: now + Duration::from_millis(500) + spread,
            last_sender_report: None,
            round_trip: None,
            remote: None,
            reports: 0,
            lost_sum: 0,
            heard_at: None,
            bye: false,
            malformed: 0,
        }
    }

    /// Processes a datagram; malformed content is counted.
    pub fn handle_datagram(&mut self, bytes: &[u8], now: Instant) {
        let mut packets = parse(bytes);
        for packet in packets.by_ref() {
            self.heard_at = Some(now);
            match packet {
                Packet::SenderReport { report, blocks } => {
                    self.last_sender_report = Some((report.ssrc, (report.ntp >> 16) as u32, now));
                    blocks.for_each(|block| self.handle_block(&block, now));
                }
                Packet::ReceiverReport { blocks, .. } => blocks.for_each(|block| self.handle_block(&block, now)),
                Packet::Bye(_) => self.bye = true,
                Packet::Sdes(_) | Packet::Other { .. } => {}
            }
        }
        self.malformed += u64::from(packets.is_malformed());
    }

    /// Computes the round trip as in RFC 3550 section 6.4.1: arrival − last SR − delay since it, in 1/65536 s.
    fn handle_block(&mut self, block: &ReportBlock, now: Instant) {
        if block.ssrc != self.ssrc {
            return;
        }
        self.reports += 1;
        self.lost_sum += u64::from(block.fraction_lost);
        self.remote = Some(RemoteReport {
            fraction_lost: block.fraction_lost,
            cumulative_lost: block.cumulative_lost,
            jitter: block.jitter,
            at: now,
        });
        if block.last_sender_report == 0 {
            return;
        }
        let arrival = (self.ntp_at(now) >> 16) as u32;
        let units = arrival.wrapping_sub(block.last_sender_report).wrapping_sub(block.delay_since_last);
        // Rounding of both clocks may make a fast answer slightly negative.
        let units = if units as i32 > -64 { (units as i32).max(0) as u64 } else { return };
        let round_trip = Duration::from_nanos(units * 1_000_000_000 / 65_536);
        if round_trip <= MAX_ROUND_TRIP {
            self.round_trip = Some(round_trip);
        }
    }

    /// Returns the time at which [`Session::poll_report`] is due.
    pub fn poll_timeout(&self) -> Instant {
        self.next
    }

    /// Writes a report into `out` if one is due, and returns its length.
    ///
    /// Returns `None` if none is due. The next one is due one interval after this one was, or after `now` if it is late.
    ///
    /// # Errors
    /// [`RtcpError::BufferTooSmall`]; 400 bytes always suffice.
    pub fn poll_report(
        &mut self,
        now: Instant,
        send: &SendStats,
        receive: &mut ReceiveStats,
        out: &mut [u8],
    ) -> Option<Result<usize, RtcpError>> {
        if now < self.next {
            return None;
        }
        self.next += INTERVAL;
        if self.next <= now {
            self.next = now + INTERVAL;
        }
        Some(self.write(now, send, receive, out, false))
    }

    /// Writes the last report, with a goodbye; returns its length.
    ///
    /// # Errors
    /// [`RtcpError::BufferTooSmall`]; 400 bytes always suffice.
    pub fn write_bye(
        &mut self,
        now: Instant,
        send: &SendStats,
        receive: &mut ReceiveStats,
        out: &mut [u8],
    ) -> Result<usize, RtcpError> {
        self.write(now, send, receive, out, true)
    }

    fn write(
        &mut self,
        now: Instant,
        send: &SendStats,
        receive: &mut ReceiveStats,
        out: &mut [u8],
        bye: bool,
    ) -> Result<usize, RtcpError> {
        let block = self.block(now, receive);
        let sending = send.last_sent().is_some_and(|at| now.saturating_duration_since(at) < SENDER_TIMEOUT);
        let sender = send.timestamp_at(now).filter(|_| sending).map(|rtp_timestamp| SenderReport {
            ssrc: self.ssrc,
            ntp: self.ntp_at(now),
            rtp_timestamp,
            packets: send.packets(),
            octets: send.octets(),
        });
        let compound = Compound { ssrc: self.ssrc, sender, blocks: block.as_slice(), cname: &self.cname, bye };
        write_compound(out, &compound)
    }

    fn block(&self, now: Instant, receive: &mut ReceiveStats) -> Option<ReportBlock> {
        let reception = receive.report()?;
        // Without on_rtp the statistics contain no SSRC; it is then taken from the far end's sender report.
        let ssrc = receive.ssrc().or(self.last_sender_report.map(|(ssrc, ..)| ssrc))?;
        let (last_sender_report, delay_since_last) = match self.last_sender_report {
            Some((from, middle, at)) if from == ssrc => {
                let delay = now.saturating_duration_since(at).as_nanos() * 65_536 / 1_000_000_000;
                (middle, delay.min(u128::from(u32::MAX)) as u32)
            }
            _ => (0, 0),
        };
        Some(ReportBlock {
            ssrc,
            fraction_lost: reception.fraction_lost,
            cumulative_lost: reception.cumulative_lost,
            extended_highest: reception.extended_highest,
            jitter: reception.jitter,
            last_sender_report,
            delay_since_last,
        })
    }

    /// Returns the last measured round trip; `None` before the first.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// Returns the far end's latest report about our stream.
    pub fn remote(&self) -> Option<RemoteReport> {
        self.remote
    }

    /// Returns a summary of the far end's reports about our stream, whose clock is `clock`.
    pub fn far_end(&self, clock: ClockRate) -> FarEnd {
        let share = |lost: u64| lost as f64 / 256.0;
        let (loss, ticks, reported_at) = match self.remote {
            Some(remote) => (share(u64::from(remote.fraction_lost)), remote.jitter, Some(remote.at)),
            None => (0.0, 0, None),
        };
        let jitter = Duration::from_nanos(u64::from(ticks) * 1_000_000_000 / u64::from(clock.0.max(1)));
        let (reports, loss_sum) = (self.reports, share(self.lost_sum));
        FarEnd { reports, loss_sum, loss, jitter, reported_at, heard_at: self.heard_at }
    }

    /// Returns whether the far end sent a goodbye. It does not end the leg; only signalling does.
    pub fn is_bye_received(&self) -> bool {
        self.bye
    }

    /// Returns the number of datagrams that were malformed in whole or in part.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Returns the NTP time at `now`, following the engine's clock since construction.
    fn ntp_at(&self, now: Instant) -> u64 {
        let (base, ntp) = self.anchor;
        let passed = now.saturating_duration_since(base);
        ntp.wrapping_add(ntp_span(passed))
    }
}

fn ntp_of(wall: SystemTime) -> u64 {
    // A clock before 1970 only falsifies the time of day in reports, not the round trip.
    let unix = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    ntp_span(unix).wrapping_add(NTP_UNIX_OFFSET << 32)
}

/// Converts a time span to NTP's 32.32 format; seconds wrap as NTP's eras do.
fn ntp_span(span: Duration) -> u64 {
    let fraction = (u64::from(span.subsec_nanos()) << 32) / 1_000_000_000;
    (span.as_secs() << 32) | fraction
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::{RtpHeader, RtpPacket};
    use crate::units::{ClockRate, test_epoch};

    const WALL: Duration = Duration::from_millis(1_700_000_000_500);
    const MS: Duration = Duration::from_millis(1);

    struct End {
        session: Session,
        send: SendStats,
        receive: ReceiveStats,
        ssrc: u32,
    }

    impl End {
        fn new(ssrc: u32, now: Instant) -> End {
            End {
                session: Session::new(ssrc, "leg", now, UNIX_EPOCH + WALL, u64::from(ssrc)),
                send: SendStats::new(ClockRate::HZ_8000),
                receive: ReceiveStats::new(ClockRate::HZ_8000),
                ssrc,
            }
        }

        fn report(&mut self, now: Instant) -> Option<Vec<u8>> {
            let mut out = [0; 400];
            let len = self.session.poll_report(now, &self.send, &mut self.receive, &mut out)?.unwrap();
            Some(out[..len].to_vec())
        }

        fn packet(&mut self, sequence: u16, now: Instant) -> [u8; 172] {
            let timestamp = u32::from(sequence) * 160;
            let mut out = [0; 172];
            let header = RtpHeader { payload_type: 0, marker: false, sequence, timestamp, ssrc: self.ssrc };
            header.write_to(&mut out).unwrap();
            self.send.on_packet(160, timestamp, now);
            out
        }
    }

    #[test]
    fn two_ends_measure_their_round_trip_and_loss() {
        let base = test_epoch();
        let (mut a, mut b) = (End::new(1, base), End::new(2, base + 777 * MS));
        let (there, back) = (30 * MS, 50 * MS);
        let mut wire: Vec<(Instant, bool, Vec<u8>)> = Vec::new();
        for tick in 0..1000_u32 {
            let now = base + tick * 20 * MS;
            let packet = a.packet(tick as u16, now);
            if tick % 10 != 3 {
                b.receive.on_rtp(&RtpPacket::parse(&packet).unwrap(), now + there);
            }
            let packet = b.packet(tick as u16, now);
            a.receive.on_rtp(&RtpPacket::parse(&packet).unwrap(), now + back);
            for (at, to_b, bytes) in wire.extract_if(.., |(at, ..)| *at <= now) {
                (if to_b { &mut b } else { &mut a }).session.handle_datagram(&bytes, at);
            }
            wire.extend(a.report(now).map(|bytes| (now + there, true, bytes)));
            wire.extend(b.report(now).map(|bytes| (now + back, false, bytes)));
        }
        for end in [&a, &b] {
            let round_trip = end.session.round_trip().expect("both ends received reports");
            assert!(round_trip.abs_diff(80 * MS) < MS, "{round_trip:?}");
            assert_eq!(end.session.malformed(), 0);
        }
        let remote = a.session.remote().unwrap();
        assert!((24..=27).contains(&remote.fraction_lost), "{remote:?}");
        assert!((70..=100).contains(&remote.cumulative_lost), "{remote:?}");
        assert_eq!(b.session.remote().unwrap().fraction_lost, 0);
    }

    #[test]
    fn reports_are_sent_every_five_seconds_after_a_random_start() {
        let base = test_epoch();
        let mut starts = std::collections::HashSet::new();
        for ssrc in 0..50 {
            let mut end = End::new(ssrc, base);
            let first = end.session.poll_timeout();
            assert!(first >= base + 500 * MS && first < base + 2500 * MS);
            starts.insert(first);
            assert!(end.report(first - MS).is_none());
            assert!(end.report(first).is_some());
            assert_eq!(end.session.poll_timeout(), first + INTERVAL);
            // A late poll returns one report, not a burst.
            assert!(end.report(first + 60_000 * MS).is_some());
            assert!(end.report(first + 60_000 * MS).is_none());
        }
        assert!(starts.len() > 40);
    }

    #[test]
    fn only_a_sending_stream_produces_sender_reports() {
        let base = test_epoch();
        let mut end = End::new(9, base);
        let kinds = |bytes: &[u8]| bytes[1];
        let at = end.session.poll_timeout();
        assert_eq!(kinds(&end.report(at).unwrap()), 201);
        end.packet(1, at + 4000 * MS);
        assert_eq!(kinds(&end.report(at + 5000 * MS).unwrap()), 200);
        assert_eq!(kinds(&end.report(at + 20_000 * MS).unwrap()), 201);
    }

    #[test]
    fn sender_report_pairs_time_of_day_with_the_stream_s_timestamp() {
        let base = test_epoch();
        let mut end = End::new(9, base);
        let at = end.session.poll_timeout();
        end.packet(100, at - 10 * MS);
        let bytes = end.report(at).unwrap();
        let Some(Packet::SenderReport { report, .. }) = parse(&bytes).next() else { panic!() };
        assert_eq!(report.rtp_timestamp, 100 * 160 + 80);
        let seconds = WALL + (at - base);
        assert_eq!(report.ntp >> 32, seconds.as_secs() + NTP_UNIX_OFFSET);
        assert!(
            ((report.ntp & 0xffff_ffff) as f64 / 2_f64.powi(32) - f64::from(seconds.subsec_millis()) / 1e3).abs()
                < 1e-4
        );
    }

    #[test]
    fn reports_about_others_and_from_the_future_are_ignored() {
        let base = test_epoch();
        let mut end = End::new(9, base);
        let now = base + 1000 * MS;
        let middle = (end.session.ntp_at(now) >> 16) as u32;
        let mut out = [0; 64];
        for (ssrc, last_sender_report, expected) in
            [(8, middle - 6554, None), (9, middle + 65_536, None), (9, middle - 6554, Some(100))]
        {
            let block = ReportBlock { ssrc, last_sender_report, ..ReportBlock::default() };
            let len = super::super::write_receiver_report(&mut out, 1, &[block]).unwrap();
            end.session.handle_datagram(&out[..len], now);
            assert_eq!(end.session.round_trip().map(|rtt| rtt.as_millis()), expected);
        }
    }

    #[test]
    fn goodbye_is_written_and_recognised_and_malformed_data_is_counted() {
        let base = test_epoch();
        let (mut a, mut b) = (End::new(1, base), End::new(2, base));
        let mut out = [0; 400];
        let len = a.session.write_bye(base, &a.send, &mut a.receive, &mut out).unwrap();
        b.session.handle_datagram(&out[..len], base);
        assert!(b.session.is_bye_received());
        b.session.handle_datagram(&out[..len - 1], base);
        b.session.handle_datagram(b"noise", base);
        assert_eq!(b.session.malformed(), 2);
    }

    #[test]
    fn longest_name_fits_400_bytes() {
        let base = test_epoch();
        let mut end = End::new(1, base);
        end.session = Session::new(1, &"ü".repeat(200), base, UNIX_EPOCH, 0);
        let packet = end.packet(1, base);
        end.receive.on_rtp(&RtpPacket::parse(&packet).unwrap(), base);
        let mut out = [0; 400];
        assert!(end.session.write_bye(base, &end.send, &mut end.receive, &mut out).is_ok());
    }
}
