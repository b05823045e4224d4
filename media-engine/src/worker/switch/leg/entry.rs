//! The change of a listener from relayed packets to frames.
//!
//! ```text
//! relayed ─────────▶│ entry.timestamp
//! playout      ─────┼───▶ played_to     frames before the end of the relay are withheld, and the first one is sent in part
//! ```

use std::time::Instant;

/// Change of a leg from relayed packets to frames: nothing is sent until playout has reached the end of the relay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Stream and timestamp that follow the last relayed packet.
    pub(crate) ssrc: u32,
    pub(crate) timestamp: u32,
    /// Length of a frame on the clock of the stream.
    pub(crate) tick: u32,
    /// Time after which frames are sent in any case, because the source seems to have paused.
    pub(crate) until: Instant,
}

impl Entry {
    /// Returns how far playout, which has come to `played_to`, is beyond the end of the relay, on the clock of the stream; `None`:
    /// it has not reached the end, and the listener still waits.
    pub(crate) fn beyond(&self, played_to: Option<(u32, u32)>, now: Instant) -> Option<i32> {
        let fresh = match played_to {
            Some((ssrc, timestamp)) if ssrc == self.ssrc => timestamp.wrapping_sub(self.timestamp) as i32,
            Some(_) => i32::MAX,
            None => 0,
        };
        (fresh > 0 || now >= self.until).then_some(fresh)
    }

    /// Returns how many samples at the front of the frame that ends at `played_to` the listener is not sent, because it has heard
    /// them from the relay. The frame has `samples` in total.
    pub(crate) fn withheld(&self, played_to: Option<(u32, u32)>, samples: usize, now: Instant) -> usize {
        let tick = self.tick.max(1) as i32;
        match self.beyond(played_to, now) {
            None => samples,
            Some(fresh) if (1..tick).contains(&fresh) => samples * (tick - fresh) as usize / tick as usize,
            Some(_) => 0,
        }
    }
}
