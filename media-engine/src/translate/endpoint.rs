//! Detection of the beginning of speech, and of a place to cut speech that does not end.

use std::time::{Duration, Instant};

/// Length of a frame.
const FRAME: Duration = Duration::from_millis(20);
/// Number of speech frames among the last [`ONSET_WINDOW`] that begin a segment: 60 ms of 100 ms.
const ONSET: u32 = 3;
const ONSET_WINDOW: u32 = 5;
/// Pause that ends a segment even when nothing else has ended the turn.
const PAUSE: Duration = Duration::from_secs(3);
/// Length from which a segment ends at the next frame without speech, so that no word is cut.
const LONG: Duration = Duration::from_secs(20);
/// Longest segment. Without a single quiet frame it is cut in the middle of a word.
const LONGEST: Duration = Duration::from_secs(30);

/// Meaning of a frame for the bounds of speech.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// There is no speech.
    Nothing,
    /// Speech has begun at this time: the start of the first speech frame of the onset, up to 100 ms ago.
    Begin(Instant),
    /// Speech continues, or there is a pause that may be short.
    Speech,
    /// Speech has ended at this time.
    End(Instant),
}

/// Finds the bounds of speech in a sequence of decisions per frame. The end of a turn is decided by `turns`, which looks at the words
/// too; it is reported to [`Endpointer::finish`].
#[derive(Debug, Default)]
pub struct Endpointer {
    /// The last decisions, the newest in the lowest bit.
    recent: u32,
    /// Ends of the frames that could belong to an onset, the newest first.
    recent_ends: [Option<Instant>; ONSET_WINDOW as usize],
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
    /// Processes the decision about one frame that ended at `until`.
    pub fn on_frame(&mut self, speech: bool, until: Instant) -> Heard {
        self.recent = self.recent << 1 | u32::from(speech);
        self.recent_ends.rotate_right(1);
        self.recent_ends[0] = Some(until);
        match &mut self.state {
            State::Quiet => {
                let onset = self.recent & ((1 << ONSET_WINDOW) - 1);
                if onset.count_ones() < ONSET {
                    return Heard::Nothing;
                }
                self.state = State::Speaking { since: until, last: until };
                let first = self.recent_ends[onset.ilog2() as usize].unwrap_or(until);
                Heard::Begin(first.checked_sub(FRAME).unwrap_or(first))
            }
            State::Speaking { since, last } => {
                if speech {
                    *last = until;
                }
                let length = until.saturating_duration_since(*since);
                let paused = until.saturating_duration_since(*last) >= PAUSE;
                if !paused && length < LONGEST && (speech || length < LONG) {
                    return Heard::Speech;
                }
                self.finish().map_or(Heard::Nothing, Heard::End)
            }
        }
    }

    /// Returns whether there was no speech in the last 100 ms, so that no word is cut here.
    pub fn is_between_words(&self) -> bool {
        self.recent & ((1 << ONSET_WINDOW) - 1) == 0
    }

    /// Ends open speech, because the turn or the call has ended; returns the end of its last speech frame.
    pub fn finish(&mut self) -> Option<Instant> {
        self.recent = 0;
        match std::mem::take(&mut self.state) {
            State::Quiet => None,
            State::Speaking { last, .. } => Some(last),
        }
    }
}
