//! Delay estimate: when packets must be expected, from when the last ones came.
//!
//! A packet's *transit* is its arrival minus its media time; only differences mean something, because the two clocks
//! have unrelated zeros. The transits of the last seconds are kept sorted. From them follow
//! - the *bound*: playing at this transit costs least, when a millisecond of delay costs one and each percent of
//!   packets that come too late costs ten. Even jitter is thus covered whole, the tail of a bell is cut off, and a
//!   rare straggler or one stalled burst changes nothing;
//! - the *baseline*: the least transit, slew-limited, by which capture times are told.

use std::collections::VecDeque;

/// How long a transit counts, and how many are kept at most (10 ms packets: 5 s).
const MEMORY_US: i64 = 6_000_000;
const CAPACITY: usize = 512;
/// So many are kept even if older: after pauses a single transit says nothing.
const KEPT_AT_LEAST: usize = 50;
/// Delay that may be saved by one percent of late packets being more.
const PERCENT_LATE_US: i64 = 10_000;
/// At most one packet in this many may be planned to be late: a burst of 300 ms (15 packets of 300) is.
const LATE_ONE_IN: usize = 16;
/// Added to what packets need: timer and scheduling noise of both ends.
const MARGIN_US: i64 = 3_000;
/// The baseline follows the least transit at 500 ppm, above any real clock's skew,
const SLEW_DIVISOR: i64 = 2_000;
/// or at 50 000 ppm, 1 ms a frame, while a stream is young or where it is off by more than this (another route).
const FAST_SLEW_DIVISOR: i64 = 20;
const FAST_SLEW_BEYOND_US: i64 = 10_000;
const YOUNG_US: i64 = 8_000_000;
/// Time that one packet's slew may stand for.
const SLEW_SPAN_US: i64 = 60_000;
/// No network brings a packet this much before the least transit,
const EARLY_US: i64 = 500_000;
/// and one that comes this much after all others belongs to a new time line.
const LATE_US: i64 = 2_000_000;

/// All times in microseconds.
#[derive(Debug)]
pub(super) struct DelayEstimate {
    /// (arrival, transit), oldest first. Never longer than [`CAPACITY`], which is reserved.
    recent: VecDeque<(i64, i64)>,
    /// The same transits, least first.
    sorted: Vec<i64>,
    baseline_us: i64,
    slewed_at_us: i64,
    began_us: i64,
    bound_us: i64,
}

impl DelayEstimate {
    /// Nothing known yet.
    pub(super) fn new() -> DelayEstimate {
        DelayEstimate {
            recent: VecDeque::with_capacity(CAPACITY),
            sorted: Vec::with_capacity(CAPACITY),
            baseline_us: 0,
            slewed_at_us: 0,
            began_us: 0,
            bound_us: 0,
        }
    }

    /// Forgets everything: a new stream with unrelated time stamps.
    pub(super) fn clear(&mut self) {
        self.recent.clear();
        self.sorted.clear();
    }

    /// Takes one packet.
    pub(super) fn on_packet(&mut self, transit_us: i64, arrival_us: i64) {
        while self.recent.len() >= CAPACITY || self.oldest_is_over(arrival_us) {
            let Some((_, transit)) = self.recent.pop_front() else { break };
            let at = self.sorted.partition_point(|&other| other < transit);
            self.sorted.remove(at);
        }
        let at = self.sorted.partition_point(|&other| other < transit_us);
        self.sorted.insert(at, transit_us);
        self.recent.push_back((arrival_us, transit_us));
        self.bound_us = self.cheapest() + MARGIN_US;
        if self.recent.len() == 1 {
            self.baseline_us = transit_us;
            self.slewed_at_us = arrival_us;
            self.began_us = arrival_us;
        } else {
            self.slew(arrival_us);
        }
    }

    fn oldest_is_over(&self, arrival_us: i64) -> bool {
        self.recent.len() >= KEPT_AT_LEAST
            && self.recent.front().is_some_and(|&(oldest, _)| arrival_us - oldest > MEMORY_US)
    }

    /// The transit at which delay and late packets together cost least.
    fn cheapest(&self) -> i64 {
        let count = self.sorted.len();
        let cost = |late: usize| late as i64 * 100 * PERCENT_LATE_US / count as i64;
        (0..=count / LATE_ONE_IN)
            .filter_map(|late| Some((self.sorted.get(count - 1 - late)?, late)))
            .min_by_key(|&(&transit, late)| transit + cost(late))
            .map_or(0, |(&transit, _)| transit)
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

    /// Whether a transit cannot belong to the stream that is known. `newer`: no later packet came before.
    pub(super) fn is_foreign(&self, transit_us: i64, newer: bool) -> bool {
        let (Some(&least), Some(&most)) = (self.sorted.first(), self.sorted.last()) else { return false };
        transit_us < least - EARLY_US || newer && transit_us > most + LATE_US
    }

    /// Least transit of the last seconds.
    pub(super) fn least_us(&self) -> i64 {
        self.sorted.first().copied().unwrap_or(0)
    }

    /// The same without steps.
    pub(super) fn baseline_us(&self) -> i64 {
        self.baseline_us
    }

    /// The transit at which a packet should be played, so that it is there in time.
    pub(super) fn bound_us(&self) -> i64 {
        self.bound_us
    }
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
    fn what_is_older_than_the_memory_is_forgotten_in_both_directions() {
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
