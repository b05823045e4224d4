//! When to look for packets: at once while there are few, once per interval when there are many.
//!
//! A wake-up costs several times what a relayed packet costs. Under load the worker therefore lets packets gather for a
//! stated time, which is the delay it may add.

use std::time::{Duration, Instant};

/// Packets per window above which wake-ups are batched: 3,200 packets a second.
const BUSY_PACKETS: u32 = 64;
/// Packets per window below which they are not any more.
const CALM_PACKETS: u32 = 40;
/// How the load is measured.
const WINDOW: Duration = Duration::from_millis(20);
/// How long packets gather under load.
const GATHER: Duration = Duration::from_millis(1);

/// Decides how long a worker rests between two looks.
#[derive(Debug)]
pub(crate) struct Pace {
    window_end: Instant,
    packets: u32,
    busy: bool,
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Pace {
        Pace { window_end: now + WINDOW, packets: 0, busy: false }
    }

    /// Counts the packets found by a look at `now`.
    pub(crate) fn on_packets(&mut self, count: u32, now: Instant) {
        if now >= self.window_end {
            self.busy = if self.busy { self.packets >= CALM_PACKETS } else { self.packets > BUSY_PACKETS };
            self.packets = 0;
            self.window_end = now + WINDOW;
        }
        self.packets = self.packets.saturating_add(count);
    }

    /// Until when to rest after a look at `looked`; `None`: not at all.
    pub(crate) fn rest_until(&self, looked: Instant) -> Option<Instant> {
        self.busy.then(|| looked + GATHER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batching_starts_with_load_and_ends_with_it() {
        let mut now = crate::units::test_epoch();
        let mut pace = Pace::new(now);
        for (packets_per_ms, rests) in [(1, false), (6, true), (3, true), (1, false)] {
            for _ in 0..60 {
                now += Duration::from_millis(1);
                pace.on_packets(packets_per_ms, now);
            }
            assert_eq!(pace.rest_until(now).is_some(), rests, "{packets_per_ms} packets per ms");
        }
    }
}
