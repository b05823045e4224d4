//! Reports about a leg: whether its sound flows, its quality, and whether it is dead.
//!
//! Every leg is checked at its ticks. Events go to the leg's owner, which decides what to do about a dead or silent
//! leg.
//!
//! ```text
//! packets ─▶ on_heard, on_foreign, … ─▶ FlowWatch ─ each second ─▶ Flow, when it changed
//! statistics, playout, far end's reports ─ each 5 s ─▶ Rater ─▶ Quality
//! nothing for the time-out, and not on hold ─▶ MediaTimeout, once
//! ```

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Counters;
use super::leg::{Format, Leg};
use crate::leg::flow::{Flow, FlowWatch, LegView, is_silent_payload};
use crate::leg::rtp::Component;
use crate::rtcp::FarEnd;
use crate::rtcp::mos::{Interval, Rater, Robustness};
use crate::rtp::{HEADER_LEN, is_rtcp};
use crate::sdp::Codec;
use crate::worker::command::{LegQuality, WorkerEventKind};
use crate::worker::outbox::Outbox;

/// How often a leg's quality is reported.
const REPORT_PERIOD: Duration = Duration::from_secs(5);
/// How often a leg's flow is evaluated.
const FLOW_PERIOD: Duration = Duration::from_secs(1);
/// A leg that should send but has not for this long is dead, unless its owner sets another time.
const MEDIA_TIMEOUT: Duration = Duration::from_secs(60);
/// A shorter interval at the end of a leg gets no rating of its own.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// Loss from which an encoder that can is armed against it, and how long it stays armed after the last loss.
const ARMED_FROM: f64 = 0.01;
const ARMED_FOR: Duration = Duration::from_secs(30);
/// Least loss in percent that an encoder is armed against: below, Opus spends nothing on copies at some rates.
const ARMED_AT_LEAST: u8 = 10;
/// Largest loss in percent that an encoder is armed against.
const ARMED_AT_MOST: u8 = 30;
/// Look-ahead of libopus for voice (its `OPUS_GET_LOOKAHEAD` at 48 kHz: 312 samples).
const OPUS_LOOK_AHEAD: Duration = Duration::from_micros(6_500);

/// State from which a leg reports on itself.
pub(super) struct Reporting {
    pub(super) flow: FlowWatch,
    flow_at: Instant,
    report_at: Instant,
    pub(super) timeout: Option<Duration>,
    timeout_told: bool,
    incoming: Rater,
    outgoing: Rater,
    /// Start of the interval, and the totals at that time.
    since: Instant,
    before: Totals,
    pub(super) loss: LossWatch,
}

/// Detects packet loss on the way to the far end: from its reports, and from our own reception, because networks mostly
/// lose packets both ways and our reception shows it at once.
#[derive(Debug, Default)]
pub(super) struct LossWatch {
    received: u64,
    lost: u64,
    reports: u64,
    seen_at: Option<Instant>,
    percent: u8,
    /// Configured percentage that is armed against in any case.
    pub(super) at_least: u8,
}

impl LossWatch {
    /// Returns the percentage to be armed against from now on, if it has changed.
    fn check(&mut self, received: u64, lost: u64, far_end: &FarEnd, now: Instant) -> Option<u8> {
        let (came, missed) = (received.saturating_sub(self.received), lost.saturating_sub(self.lost));
        let own = if came + missed == 0 { 0.0 } else { missed as f64 / (came + missed) as f64 };
        let told = if far_end.reports > self.reports { far_end.loss } else { 0.0 };
        (self.received, self.lost, self.reports) = (received, lost, far_end.reports);
        let loss = own.max(told);
        let percent = if loss >= ARMED_FROM {
            self.seen_at = Some(now);
            let seen = ((loss * 100.0).ceil() as u8).clamp(ARMED_AT_LEAST, ARMED_AT_MOST);
            self.percent.max(seen)
        } else if self.seen_at.is_some_and(|at| now.saturating_duration_since(at) < ARMED_FOR) {
            self.percent
        } else {
            0
        };
        (percent != std::mem::replace(&mut self.percent, percent)).then_some(percent)
    }
}

/// Totals since the leg began.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    received: u64,
    lost: u64,
    late: u64,
    sent: u64,
    reports: u64,
    loss_sum: f64,
}

impl Reporting {
    pub(super) fn new(now: Instant) -> Reporting {
        Reporting {
            flow: FlowWatch::default(),
            flow_at: now + FLOW_PERIOD,
            report_at: now + REPORT_PERIOD,
            timeout: Some(MEDIA_TIMEOUT),
            timeout_told: false,
            incoming: Rater::default(),
            outgoing: Rater::default(),
            since: now,
            before: Totals::default(),
            loss: LossWatch::default(),
        }
    }

    /// Returns the loss in percent that a new encoder is armed against.
    pub(super) fn expected_loss(&self) -> u8 {
        self.loss.percent
    }
}

impl Leg {
    /// Sends the events that are due: flow, quality, and silence for too long.
    pub(super) fn report(&mut self, outbox: &mut Outbox, counters: &mut Counters, now: Instant) {
        if now >= self.reporting.flow_at || self.transport.is_browser() && self.reporting.flow.fell_silent(now) {
            self.reporting.flow_at = now + FLOW_PERIOD;
            self.arm(now);
            if let Some(flow) = self.check_flow(now) {
                outbox.event(self.slot, self.id, WorkerEventKind::Flow(flow));
            }
            if self.is_dead(now) && !std::mem::replace(&mut self.reporting.timeout_told, true) {
                counters.media_timeouts += 1;
                outbox.event(self.slot, self.id, WorkerEventKind::MediaTimeout);
            }
        }
        if self.connected && now >= self.reporting.report_at {
            self.reporting.report_at = now + REPORT_PERIOD;
            self.end_interval(now);
            outbox.event(self.slot, self.id, WorkerEventKind::Quality(self.quality()));
        }
    }

    /// Records a valid packet.
    pub(super) fn on_heard(&mut self, outbox: &mut Outbox, now: Instant) {
        self.heard_at = now;
        self.reporting.timeout_told = false;
        self.reporting.flow.on_valid(now);
        if !std::mem::replace(&mut self.heard, true) {
            outbox.event(self.slot, self.id, WorkerEventKind::FirstPacket);
        }
    }

    /// Records a datagram from an address that is not the leg's. Only one that looks like the leg's media is evidence.
    pub(super) fn on_foreign(&mut self, component: Component, from: SocketAddr, bytes: &[u8], now: Instant) {
        if component == Component::Rtp
            && let Some(format) = &self.format
            && media_type(bytes).is_some_and(|payload_type| format.carries(payload_type))
        {
            self.reporting.flow.on_foreign(from, now);
        }
    }

    /// Records a refused datagram from the leg's own source; `sealed`: the leg's media is encrypted.
    pub(super) fn on_refused(&mut self, bytes: &[u8], sealed: bool, now: Instant) {
        let (Some(format), Some(payload_type)) = (&self.format, media_type(bytes)) else { return };
        if !format.carries(payload_type) {
            self.reporting.flow.on_wrong_type(payload_type, now);
        } else if sealed {
            self.reporting.flow.on_undecryptable(now);
        }
    }

    /// Checks now and then whether a packet contains sound, for a leg that is not decoded.
    pub(super) fn listen(&mut self, codec: Codec, payload: &[u8], now: Instant) {
        let flow = &mut self.reporting.flow;
        flow.on_audio();
        if !self.speech.is_decoded() && flow.wants_look(now) && is_silent_payload(codec, payload) != Some(true) {
            flow.on_sound(now);
        }
    }

    /// Arms the encoder while packets are lost. Copies inside Opus cost bits and a third of the encoder's work.
    fn arm(&mut self, now: Instant) {
        let (quality, far_end) = (self.quality(), self.transport.far_end());
        let changed = self.reporting.loss.check(quality.packets_received, quality.packets_lost, &far_end, now);
        if let (Some(percent), Some(send)) = (changed, &mut self.hearing.send) {
            send.expect_loss(percent.max(self.reporting.loss.at_least));
        }
    }

    fn check_flow(&mut self, now: Instant) -> Option<Flow> {
        let format = self.format?;
        let view = LegView {
            connected: self.connected,
            receives: format.receives,
            sends: format.sends,
            sent: self.hearing.packets_sent,
            expected: self.transport.source(),
            payload_type: format.receive_payload_type,
            far_end: self.transport.far_end(),
            checked: self.transport.is_browser(),
        };
        self.reporting.flow.check(&view, now)
    }

    /// Whether neither media nor reports arrived for the whole time-out, though the far end should send.
    fn is_dead(&mut self, now: Instant) -> bool {
        if !self.connected || !self.format.is_some_and(|format| format.receives) {
            self.heard_at = now;
            return false;
        }
        let heard_at = self.transport.far_end().heard_at.map_or(self.heard_at, |reported| reported.max(self.heard_at));
        self.reporting.timeout.is_some_and(|timeout| now.saturating_duration_since(heard_at) >= timeout)
    }

    /// Rates the interval since the previous one.
    fn end_interval(&mut self, now: Instant) {
        let Some(format) = self.format else { return };
        let (quality, far_end) = (self.quality(), self.transport.far_end());
        let totals = Totals {
            received: quality.packets_received,
            lost: quality.packets_lost,
            late: quality.packets_late,
            sent: quality.packets_sent,
            reports: far_end.reports,
            loss_sum: far_end.loss_sum,
        };
        let before = std::mem::replace(&mut self.reporting.before, totals);
        self.reporting.since = now;
        let jitter = Duration::from_secs_f32(quality.jitter_ms / 1e3);
        // Half of the round trip, one packet, and the codec's look-ahead; the buffer's delay is added.
        let round_trip = quality.round_trip_ms.map_or(Duration::ZERO, |ms| Duration::from_secs_f32(ms / 1e3));
        let fixed = round_trip / 2 + format.ptime.0 + look_ahead(format.codec);
        // Where the buffer is not ours, its length is assumed to be twice the jitter.
        let buffer = self.speech.delay().unwrap_or(jitter * 2);
        let lost = totals.lost.saturating_sub(before.lost);
        let incoming = Interval {
            expected: totals.received.saturating_sub(before.received) + lost,
            lost: (lost + totals.late.saturating_sub(before.late)) as f64,
            delay: fixed + buffer,
            jitter,
        };
        let (sent, reports) =
            (totals.sent.saturating_sub(before.sent), totals.reports - before.reports.min(totals.reports));
        let outgoing = (reports > 0).then(|| Interval {
            expected: sent,
            lost: sent as f64 * (totals.loss_sum - before.loss_sum) / reports as f64,
            delay: fixed + far_end.jitter * 2,
            jitter: far_end.jitter,
        });
        let codec = robustness(format.codec);
        self.reporting.incoming.on_interval(codec, Some(incoming));
        self.reporting.outgoing.on_interval(codec, outgoing);
    }

    /// Returns the final statistics of a leg that ends; the last interval is rated too.
    pub(super) fn last_quality(&mut self, now: Instant) -> LegQuality {
        if self.connected && now.saturating_duration_since(self.reporting.since) >= SHORTEST_INTERVAL {
            self.end_interval(now);
        }
        self.quality()
    }

    /// Returns the statistics since the leg began.
    pub(super) fn quality(&self) -> LegQuality {
        let mut quality = self.transport.reception();
        quality.packets_sent = self.hearing.packets_sent;
        (quality.packets_late, quality.frames_concealed) = self.speech.late_and_concealed();
        quality.incoming = self.reporting.incoming.rating();
        quality.outgoing = self.reporting.outgoing.rating();
        quality
    }
}

impl Format {
    /// Whether a payload type was agreed for packets from the far end.
    fn carries(&self, payload_type: u8) -> bool {
        payload_type == self.receive_payload_type
            || self.event.is_some_and(|event| event.receive_payload_type == payload_type)
            || self.noise.is_some_and(|noise| noise.receive_payload_type == payload_type)
    }
}

/// Returns the payload type of a datagram that looks like RTP, encrypted or not: the header is never encrypted.
fn media_type(bytes: &[u8]) -> Option<u8> {
    let is_media = bytes.len() >= HEADER_LEN && bytes[0] >> 6 == 2 && !is_rtcp(bytes);
    is_media.then(|| bytes[1] & 0x7f)
}

fn robustness(codec: Codec) -> Robustness {
    match codec {
        Codec::Pcmu | Codec::Pcma => Robustness::G711_CONCEALED,
        _ => Robustness::WIDEBAND,
    }
}

fn look_ahead(codec: Codec) -> Duration {
    if codec == Codec::Opus { OPUS_LOOK_AHEAD } else { Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::test_epoch;

    #[test]
    fn loss_seen_by_either_side_arms_the_encoder_until_it_is_long_past() {
        let (mut watch, epoch) = (LossWatch::default(), test_epoch());
        let far = |reports, loss| FarEnd { reports, loss, ..FarEnd::default() };
        let cases = [
            (1, 50, 0, far(0, 0.0), None),
            (2, 98, 2, far(0, 0.0), Some(10)),
            (3, 148, 2, far(1, 0.135), Some(14)),
            (4, 198, 2, far(1, 0.135), None),
            (32, 1_598, 2, far(2, 0.0), None),
            (34, 1_698, 2, far(2, 0.0), Some(0)),
            (35, 1_748, 2, far(3, 0.9), Some(30)),
        ];
        for (second, received, lost, far_end, expected) in cases {
            let told = watch.check(received, lost, &far_end, epoch + Duration::from_secs(second));
            assert_eq!(told, expected, "second {second}");
        }
    }
}
