//! Keeps a leg's tick close behind its packets, so that a frame is played just after the packets that it needs arrive.
//!
//! ```text
//! packets  ▏      ▏      ▏         every 20 ms, by the far end's clock
//! needed    ├ bound ┤              required by jitter, plus a margin (jitter's estimate)
//! tick              │←room→▏       room is useless delay: the tick moves towards the bound, 1 ms at a time
//! ```
//!
//! Moving the tick costs the listener nothing, except that two packets are once 1 ms nearer or further apart. It
//! follows the drift of the far end's clock, so that no sound is left out or repeated because of it. Larger changes
//! (jitter that grew or ended) are left to the playout, which splices.

/// Ticks between two decisions: 200 ms.
const WINDOW: u32 = 10;
/// Microseconds of room beyond which the tick comes earlier: a step of 1 ms must fit in, plus some noise.
const SPARE_US: i64 = 1_200;

/// Direction in which a tick should move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Stay,
    /// 1 ms earlier.
    Earlier,
    /// 1 ms later.
    Later,
}

/// Tracks one leg's room. See the module head.
#[derive(Debug)]
pub(super) struct Align {
    least_us: i64,
    ticks: u32,
}

impl Align {
    pub(super) fn new() -> Align {
        Align { least_us: i64::MAX, ticks: 0 }
    }

    /// Records the room of a tick's frame in microseconds; `None` if the frame needed no packet or was spliced.
    pub(super) fn on_tick(&mut self, room_us: Option<i64>) -> Step {
        let Some(room_us) = room_us else {
            *self = Align::new();
            return Step::Stay;
        };
        self.least_us = self.least_us.min(room_us);
        self.ticks += 1;
        if self.ticks < WINDOW {
            return Step::Stay;
        }
        let least_us = std::mem::replace(self, Align::new()).least_us;
        match least_us {
            ..0 => Step::Later,
            0..=SPARE_US => Step::Stay,
            _ => Step::Earlier,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(rooms: impl IntoIterator<Item = Option<i64>>) -> Vec<Step> {
        let mut align = Align::new();
        rooms.into_iter().map(|room| align.on_tick(room)).filter(|&step| step != Step::Stay).collect()
    }

    #[test]
    fn the_tightest_frame_of_a_window_decides() {
        assert_eq!(decision((0..10).map(|n| Some(if n == 4 { -50 } else { 9_000 }))), [Step::Later]);
        assert_eq!(decision((0..10).map(|n| Some(1_300 + n))), [Step::Earlier]);
        assert_eq!(decision((0..10).map(|n| Some(if n == 9 { 900 } else { 15_000 }))), []);
    }

    #[test]
    fn a_frame_without_a_packet_restarts_the_window() {
        assert_eq!(decision((0..15).map(|n| (n != 8).then_some(5_000))), []);
        assert_eq!(decision((0..19).map(|n| (n != 8).then_some(5_000))), [Step::Earlier]);
    }
}
