//! When to look for packets: at once while there are few and somebody hears them at once, else once per interval.
//!
//! A wake-up costs several times what a relayed packet costs. Under load the worker therefore lets packets gather for a
//! stated time, which is the delay it may add. Packets that wait in a playout buffer for their tick anyway always may gather.

use std::time::{Duration, Instant};

/// Packets per window above which wake-ups are batched: 3,200 packets a second.
const BUSY_PACKETS: u64 = 64;
/// Packets per window below which they are not any more.
const CALM_PACKETS: u64 = 40;
/// How the load is measured.
const WINDOW: Duration = Duration::from_millis(20);
/// How long packets gather.
const GATHER: Duration = Duration::from_millis(1);

/// Decides how long a worker rests between two looks.
#[derive(Debug)]
pub(crate) struct Pace {
    window_end: Instant,
    packets: u64,
    relayed_before: u64,
    gathers: bool,
    busy: bool,
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Pace {
        Pace { window_end: now + WINDOW, packets: 0, relayed_before: 0, gathers: false, busy: false }
    }

    /// Counts the packets found by a look at `now`; `relayed` is the count of all that were relayed since the start.
    pub(crate) fn on_look(&mut self, packets: u64, relayed: u64, now: Instant) {
        self.packets += packets;
        if now < self.window_end {
            return;
        }
        self.busy = if self.busy { self.packets >= CALM_PACKETS } else { self.packets > BUSY_PACKETS };
        self.gathers = self.busy || (self.packets > 0 && relayed == self.relayed_before);
        (self.packets, self.relayed_before, self.window_end) = (0, relayed, now + WINDOW);
    }

    /// Until when to rest after a look at `looked`; `None`: not at all.
    pub(crate) fn rest_until(&self, looked: Instant) -> Option<Instant> {
        self.gathers.then(|| looked + GATHER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the worker rests after 60 ms of so many packets per ms.
    fn rests(pace: &mut Pace, now: &mut Instant, relayed: &mut u64, packets: u64, relays: bool) -> bool {
        for _ in 0..60 {
            *now += Duration::from_millis(1);
            *relayed += if relays { packets } else { 0 };
            pace.on_look(packets, *relayed, *now);
        }
        pace.rest_until(*now).is_some()
    }

    #[test]
    fn relayed_packets_gather_under_load_only() {
        let mut now = crate::units::test_epoch();
        let (mut pace, mut relayed) = (Pace::new(now), 0);
        for (packets_per_ms, expected) in [(1, false), (6, true), (3, true), (1, false)] {
            let rests = rests(&mut pace, &mut now, &mut relayed, packets_per_ms, true);
            assert_eq!(rests, expected, "{packets_per_ms} packets per ms");
        }
    }

    #[test]
    fn packets_that_wait_for_a_tick_gather_always() {
        let mut now = crate::units::test_epoch();
        let (mut pace, mut relayed) = (Pace::new(now), 0);
        assert!(rests(&mut pace, &mut now, &mut relayed, 1, false));
        assert!(!rests(&mut pace, &mut now, &mut relayed, 1, true));
        assert!(!rests(&mut pace, &mut now, &mut relayed, 0, false), "nothing to gather");
    }
}
