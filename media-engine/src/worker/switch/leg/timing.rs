//! Timing of a leg's ticks.

use crate::worker::switch::PHASES;
use crate::worker::switch::align::{Align, Step};

/// A leg's phase of ticks, and its alignment.
pub(crate) struct Timing {
    pub(crate) phase: usize,
    align: Align,
    /// The leg has moved to a later phase, whose next tick would come too soon.
    pub(crate) skips_tick: bool,
}

impl Timing {
    pub(super) fn new(phase: usize) -> Timing {
        Timing { phase, align: Align::new(), skips_tick: false }
    }

    /// Returns the phase that suits the leg after a frame with this room; see `Speech::room_us`.
    pub(super) fn align(&mut self, room_us: Option<Option<i64>>) -> usize {
        let step = room_us.map_or(Step::Stay, |room_us| self.align.on_tick(room_us));
        self.skips_tick = step == Step::Later;
        match step {
            Step::Stay => self.phase,
            Step::Earlier => (self.phase + PHASES - 1) % PHASES,
            Step::Later => (self.phase + 1) % PHASES,
        }
    }
}
