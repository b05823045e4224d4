//! Delay estimate: predicts when packets will arrive from the arrivals of recent ones.
//!
//! The *transit* of a packet is its arrival minus its media time; only differences are meaningful, because the two clocks
//! have unrelated zeros. The transits of the last seconds are kept sorted. Two values are derived from them:
//! - the *bound*: the transit at which playout costs least, when a millisecond of delay costs one and each percent of
//!   late packets costs ten. Evenly spread jitter is thus covered whole, the tail of a bell curve is cut off, and a
//!   rare late packet or one stalled burst changes nothing;
//! - the *baseline*: the least transit, slew-limited, from which capture times are computed.

use std::collections::VecDeque;
use std::time::Duration;

/// Time for which a transit counts, and the maximum number kept (10 ms packets: 5 s).
const MEMORY_US: i64 = 6_000_000;
const CAPACITY: usize = 512;
/// Number of transits that are kept even if older, because a single one is not significant after a pause.
const KEPT_AT_LEAST: usize = 50;
/// Reduction of delay that justifies one more percent of late packets.
const PERCENT_LATE_US: i64 = 10_000;
/// At most one packet in this many may be planned to be late; a burst of 300 ms (15 packets of 300) stays below that.
const LATE_ONE_IN: usize = 16;
/// Once the copy of a lost packet arrived in the next one, further copies are awaited for this long. They cost a packet's
/// length of delay and avoid audible concealment: at one percent of loss PESQ gives Opus 3.81 this way, and 3.65 when
/// three copies within this time are required first.
const COPY_MEMORY_US: i64 = 20_000_000;
/// Largest spread that is assumed of a network before packets have shown it.
const MOST_EXPECTED_US: i64 = 60_000;
/// Added to the transits of packets for timer and scheduling noise of both ends.
const MARGIN_US: i64 = 3_000;
/// The baseline follows the least transit at 500 ppm, which exceeds the skew of any real clock,
const SLEW_DIVISOR: i64 = 2_000;
/// or at 50 000 ppm, 1 ms a frame, while a stream is young or the difference exceeds this (a route change).
const FAST_SLEW_DIVISOR: i64 = 20;
const FAST_SLEW_BEYOND_US: i64 = 10_000;
const YOUNG_US: i64 = 8_000_000;
/// Longest time that the slew of one packet may cover.
const SLEW_SPAN_US: i64 = 60_000;
/// A packet this much before the least transit does not belong to the stream,
const EARLY_US: i64 = 500_000;
/// and one this much after all others belongs to a new time line.
const LATE_US: i64 = 2_000_000;

/// All times are in microseconds, except those in [`Seen`].
#[derive(Debug)]
pub(super) struct DelayEstimate {
    /// Recent packets, the oldest first. Never longer than [`CAPACITY`], which is reserved.
    recent: VecDeque<Seen>,
    /// The same transits in ascending order, relative to `origin_us`.
    sorted: Vec<i32>,
    /// The first transit.
    origin_us: i64,
    baseline_us: i64,
    slewed_at_us: i64,
    began_us: i64,
    bound_us: i64,
    /// Additional delay so that copies arrive in time, and the time until which it applies.
    copy_us: i64,
    copies_until_us: i64,
    /// Spread of transits that is known from another source; used until enough packets have arrived.
    expected_us: i64,
}

/// Record of a packet: half the size of two full times, because every leg keeps hundreds of them.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Arrival in units of 1,024 µs, wrapping after 50 days.
    arrival: u32,
    transit: i32,
}

fn coarse(arrival_us: i64) -> u32 {
    (arrival_us >> 10) as u32
}

impl DelayEstimate {
    /// Creates an empty estimate.
    pub(super) fn new() -> DelayEstimate {
        DelayEstimate {
            recent: VecDeque::with_capacity(CAPACITY),
            sorted: Vec::with_capacity(CAPACITY),
            origin_us: 0,
            baseline_us: 0,
            slewed_at_us: 0,
            began_us: 0,
            bound_us: 0,
            copy_us: 0,
            copies_until_us: 0,
            expected_us: 0,
        }
    }

    /// Sets the spread of transits that is expected before the first packet.
    pub(super) fn expect(&mut self, spread: Duration) {
        self.expected_us = i64::try_from(spread.as_micros()).unwrap_or(LATE_US).min(MOST_EXPECTED_US);
    }

    /// Returns how long the first packet has to wait.
    pub(super) fn first_wait(&self) -> Duration {
        Duration::from_micros((MARGIN_US + self.expected_us) as u64)
    }

    /// Forgets everything, for a new stream with unrelated time stamps.
    pub(super) fn clear(&mut self) {
        self.recent.clear();
        self.sorted.clear();
        (self.copy_us, self.copies_until_us) = (0, 0);
    }

    /// Records one packet.
    pub(super) fn on_packet(&mut self, transit_us: i64, arrival_us: i64) {
        let first = self.recent.is_empty();
        if first {
            self.origin_us = transit_us;
            self.baseline_us = transit_us;
            self.slewed_at_us = arrival_us;
            self.began_us = arrival_us;
        }
        self.record(transit_us, arrival_us);
        if arrival_us > self.copies_until_us {
            self.copy_us = 0;
        }
        self.bound_us = self.cheapest() + MARGIN_US + self.copy_us;
        if self.recent.len() < KEPT_AT_LEAST {
            self.bound_us = self.bound_us.max(self.least_us() + MARGIN_US + self.expected_us);
        }
        if !first {
            self.slew(arrival_us);
        }
    }

    /// Records that a packet was lost and that the next one, just recorded, holds a copy of it. For a while packets are expected
    /// `packet_us` later, so that copies arrive in time. `true`: until now they were not.
    pub(super) fn on_copy(&mut self, packet_us: i64, arrival_us: i64) -> bool {
        self.copies_until_us = arrival_us + COPY_MEMORY_US;
        let before_us = std::mem::replace(&mut self.copy_us, packet_us);
        self.bound_us += packet_us - before_us;
        before_us == 0
    }

    fn record(&mut self, transit_us: i64, arrival_us: i64) {
        let arrival = coarse(arrival_us);
        // 35 minutes in either direction: clocks that drift by 200 ppm take months for that.
        let transit = (transit_us - self.origin_us).clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
        while self.second_has_expired(arrival) {
            let Some(seen) = self.recent.pop_front() else { break };
            let at = self.sorted.partition_point(|&other| other < seen.transit);
            self.sorted.remove(at);
        }
        match self.recent.front().copied().filter(|_| self.recent.len() == CAPACITY || self.oldest_has_expired(arrival))
        {
            // One is removed and one inserted: only the values between their places move.
            Some(oldest) => {
                self.recent.pop_front();
                let from = self.sorted.partition_point(|&other| other < oldest.transit);
                let to = self.sorted.partition_point(|&other| other < transit);
                if from < to {
                    self.sorted.copy_within(from + 1..to, from);
                    self.sorted[to - 1] = transit;
                } else {
                    self.sorted.copy_within(to..from, to + 1);
                    self.sorted[to] = transit;
                }
            }
            None => {
                let at = self.sorted.partition_point(|&other| other < transit);
                self.sorted.insert(at, transit);
            }
        }
        self.recent.push_back(Seen { arrival, transit });
    }

    fn oldest_has_expired(&self, arrival: u32) -> bool {
        self.recent.len() >= KEPT_AT_LEAST && self.recent.front().is_some_and(|seen| has_expired(seen, arrival))
    }

    fn second_has_expired(&self, arrival: u32) -> bool {
        self.recent.len() > KEPT_AT_LEAST && self.recent.get(1).is_some_and(|seen| has_expired(seen, arrival))
    }

    /// Returns the transit at which delay and late packets together cost least.
    fn cheapest(&self) -> i64 {
        let count = self.sorted.len();
        // Both costs are multiplied by `count`, which avoids a division for each.
        let cost = |transit: i32, late: usize| i64::from(transit) * count as i64 + late as i64 * 100 * PERCENT_LATE_US;
        let dearest_first = self.sorted.iter().rev().zip(0..=count / LATE_ONE_IN);
        dearest_first.min_by_key(|&(&transit, late)| cost(transit, late)).map_or(0, |(&transit, _)| transit.into())
            + self.origin_us
    }

    fn slew(&mut self, arrival_us: i64) {
        let elapsed = (arrival_us - self.slewed_at_us).clamp(0, SLEW_SPAN_US);
        let off = self.least_us() - self.baseline_us;
        let fast = off.abs() > FAST_SLEW_BEYOND_US || arrival_us - self.began_us < YOUNG_US;
        let divisor = if fast { FAST_SLEW_DIVISOR } else { SLEW_DIVISOR };
        let most = elapsed / divisor;
        self.baseline_us += off.clamp(-most, most);
        self.slewed_at_us = self.slewed_at_us.max(arrival_us);
    }

    /// Returns whether a transit cannot belong to the current stream. `newer`: no later packet came before.
    pub(super) fn is_foreign(&self, transit_us: i64, newer: bool) -> bool {
        let (Some(&least), Some(&most)) = (self.sorted.first(), self.sorted.last()) else { return false };
        let transit_us = transit_us - self.origin_us;
        transit_us < i64::from(least) - EARLY_US || newer && transit_us > i64::from(most) + LATE_US
    }

    /// Returns the least transit of the last seconds.
    pub(super) fn least_us(&self) -> i64 {
        self.sorted.first().map_or(0, |&least| self.origin_us + i64::from(least))
    }

    /// Returns the least transit without steps.
    pub(super) fn baseline_us(&self) -> i64 {
        self.baseline_us
    }

    /// Returns the transit at which a packet should be played so that most packets arrive in time.
    pub(super) fn bound_us(&self) -> i64 {
        self.bound_us
    }
}

fn has_expired(seen: &Seen, arrival: u32) -> bool {
    // An arrival that is stamped before this one has not aged.
    let age = arrival.wrapping_sub(seen.arrival) as i32;
    i64::from(age) << 10 > MEMORY_US
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(transits: impl IntoIterator<Item = i64>) -> DelayEstimate {
        let mut delay = DelayEstimate::new();
        for (index, transit_ms) in transits.into_iter().enumerate() {
            delay.on_packet(transit_ms * 1_000, index as i64 * 20_000);
        }
        delay
    }

    #[test]
    fn an_even_spread_is_covered_whole() {
        let delay = after((0..300).map(|index| index * 7 % 51));
        assert_eq!(delay.bound_us(), 50_000 + MARGIN_US);
        assert_eq!(delay.least_us(), 0);
    }

    #[test]
    fn expected_spread_applies_until_enough_packets_have_arrived() {
        let mut delay = DelayEstimate::new();
        delay.expect(Duration::from_millis(15));
        assert_eq!(delay.first_wait(), Duration::from_micros(15_000 + MARGIN_US as u64));
        for index in 0..100 {
            delay.on_packet(0, index * 20_000);
            let bound_us = if index < KEPT_AT_LEAST as i64 - 1 { 15_000 + MARGIN_US } else { MARGIN_US };
            assert_eq!(delay.bound_us(), bound_us, "packet {index}");
        }
    }

    #[test]
    fn a_rare_straggler_does_not_count() {
        let delay = after((0..300).map(|index| if index == 200 { 400 } else { 1 }));
        assert_eq!(delay.bound_us(), 1_000 + MARGIN_US);
    }

    #[test]
    fn one_burst_of_300_ms_does_not_count_once_the_window_is_full() {
        let burst = (0..15).map(|index| 300 - index * 20);
        let delay = after(std::iter::repeat_n(1, 285).chain(burst));
        assert!(delay.bound_us() <= 21_000 + MARGIN_US, "{}", delay.bound_us());
    }

    #[test]
    fn transits_older_than_the_memory_are_forgotten_in_both_directions() {
        let delay = after(std::iter::repeat_n(0, 300).chain(std::iter::repeat_n(70, 310)));
        assert_eq!((delay.least_us(), delay.bound_us()), (70_000, 70_000 + MARGIN_US));
        let delay = after(std::iter::repeat_n(70, 300).chain(std::iter::repeat_n(0, 310)));
        assert_eq!((delay.least_us(), delay.bound_us()), (0, MARGIN_US));
    }

    #[test]
    fn the_baseline_moves_by_at_most_a_millisecond_a_frame() {
        let mut delay = after(std::iter::repeat_n(90, 300));
        let mut last = delay.baseline_us();
        for index in 300..400 {
            delay.on_packet(0, index * 20_000);
            assert!(last - delay.baseline_us() <= 1_000);
            last = delay.baseline_us();
        }
        assert!(delay.baseline_us() <= FAST_SLEW_BEYOND_US, "{}", delay.baseline_us());
    }
}
