//! Where speech begins and ends.

use std::time::{Duration, Instant};

/// Speech frames among the last [`ONSET_WINDOW`] that begin a segment: 60 ms of 100 ms.
const ONSET: u32 = 3;
const ONSET_WINDOW: u32 = 5;
/// A pause this long ends a segment.
const PAUSE: Duration = Duration::from_millis(450);
/// Nobody speaks longer without a breath; the recogniser need not either.
const LONGEST: Duration = Duration::from_secs(12);

/// What a frame meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nobody speaks.
    Nothing,
    /// Speech began with a frame shortly before this one.
    Begin,
    /// Speech goes on, or a pause that may be short.
    Speech,
    /// Speech is over; it ended at this time.
    End(Instant),
}

/// Finds the bounds of speech in a row of decisions per frame.
#[derive(Debug, Default)]
pub struct Endpointer {
    /// The last decisions, newest in the lowest bit.
    recent: u32,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Quiet,
    Speaking {
        since: Instant,
        /// End of the last speech frame.
        last: Instant,
    },
}

impl Endpointer {
    /// Takes the decision about one frame that ended at `until`.
    pub fn on_frame(&mut self, speech: bool, until: Instant) -> Heard {
        self.recent = self.recent << 1 | u32::from(speech);
        match &mut self.state {
            State::Quiet => {
                let onset = (self.recent & ((1 << ONSET_WINDOW) - 1)).count_ones() >= ONSET;
                if !onset {
                    return Heard::Nothing;
                }
                self.state = State::Speaking { since: until, last: until };
                Heard::Begin
            }
            State::Speaking { since, last } => {
                if speech {
                    *last = until;
                }
                let paused = until.saturating_duration_since(*last) >= PAUSE;
                let too_long = until.saturating_duration_since(*since) >= LONGEST;
                if !paused && !too_long {
                    return Heard::Speech;
                }
                let ended = *last;
                self.recent = 0;
                self.state = State::Quiet;
                Heard::End(ended)
            }
        }
    }

    /// Ends what is open, as when the call ends.
    pub fn finish(&mut self) -> Option<Instant> {
        match std::mem::take(&mut self.state) {
            State::Quiet => None,
            State::Speaking { last, .. } => Some(last),
        }
    }
}
