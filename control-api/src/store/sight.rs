//! What a person may see of a call: the one rule, for lists, records, words, recordings, verbs and streams.
//!
//! ```text
//!   time ───────────────────────────────────────────────────────────────────────▶
//!   call      created            ben joins                anna leaves       ended
//!   anna      |── everything ──────────────────────────────────|   the record
//!   ben                          |── everything ────────────────────────────|
//! ```
//!
//! - Whoever was ever in a call sees its record: the parties, the times, how it ended, what was noted about it.
//! - What was said, pressed or recorded is seen by those who were in the call while it was.
//! - What is done to a running call takes that one is in it.
//!
//! Whoever may see every call sees all of each. Pure: stays and times in, yes or no out.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::Stay;

/// For so long after somebody has left, what belongs to their time may still be finished: the last sentence's end, a file's.
pub const TAIL: SignedDuration = SignedDuration::from_secs(2);

/// A word takes longer: what was said in the last moment of a call was begun before it.
const MOMENT: SignedDuration = SignedDuration::from_millis(200);

/// What somebody may see of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// All of it.
    Whole,
    /// What happened while they were in it: at least one window, in order, none touching the next.
    While(Vec<Window>),
}

/// A stretch of time without a gap for which a person was in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    from: Timestamp,
    /// `None`: it lasts.
    until: Option<Timestamp>,
}

impl Window {
    fn has(&self, at: Timestamp, tail: SignedDuration) -> bool {
        self.from <= at && self.until.is_none_or(|until| at.duration_since(until) <= tail)
    }
}

impl Sight {
    /// What a person sees who was in a call for these stays; `None`: nothing, as if there were no such call.
    pub fn of(stays: &[Stay]) -> Option<Sight> {
        let mut stays: Vec<Window> =
            stays.iter().map(|stay| Window { from: stay.joined_at, until: stay.left_at }).collect();
        stays.sort_by_key(|window| window.from);
        let mut windows: Vec<Window> = Vec::with_capacity(stays.len());
        for next in stays {
            match windows.last_mut() {
                // A device took over from another, or a page was loaded again.
                Some(last) if last.has(next.from, TAIL) => {
                    last.until = last.until.zip(next.until).map(|(one, other)| one.max(other));
                }
                _ => windows.push(next),
            }
        }
        (!windows.is_empty()).then_some(Sight::While(windows))
    }

    /// Whether they are in the call now, as far as the call runs: they may do something to it.
    pub fn is_present(&self) -> bool {
        self.left_at().is_none()
    }

    /// When they left the call for the last time, if they have.
    pub fn left_at(&self) -> Option<Timestamp> {
        match self {
            Sight::Whole => None,
            Sight::While(windows) => windows.last().and_then(|window| window.until),
        }
    }

    /// Whether words are theirs that were begun then, and, when that is known, ended then. A sentence is theirs when they were there
    /// for all of it.
    pub fn reads(&self, began: Timestamp, ended: Option<Timestamp>) -> bool {
        match self {
            Sight::Whole => true,
            Sight::While(windows) => windows.iter().any(|window| {
                window.has(began, SignedDuration::ZERO) && ended.is_none_or(|ended| window.has(ended, TAIL))
            }),
        }
    }

    /// Whether a recording is theirs that begins and ends then; `None`: it goes on.
    pub fn hears(&self, began: Timestamp, ended: Option<Timestamp>) -> bool {
        match (self, ended) {
            (Sight::Whole, _) => true,
            (Sight::While(_), Some(_)) => self.reads(began, ended),
            (Sight::While(windows), None) => {
                windows.iter().any(|window| window.until.is_none() && window.from <= began)
            }
        }
    }

    /// Whether they were in the call for all of this time, but for a moment at its end: then every word of it is theirs.
    pub fn covers(&self, began: Timestamp, ended: Option<Timestamp>) -> bool {
        match (self, ended) {
            (Sight::Whole, _) => true,
            (Sight::While(windows), Some(ended)) => {
                windows.iter().any(|window| window.has(began, SignedDuration::ZERO) && window.has(ended, MOMENT))
            }
            (Sight::While(_), None) => self.hears(began, None),
        }
    }

    /// Whether an event of the call is theirs. `kind`: its name; `at`: when it came; `body`: the rest of it, asked for where it counts.
    pub fn shows(&self, kind: &str, at: Timestamp, body: impl FnOnce() -> Value) -> bool {
        let Sight::While(windows) = self else { return true };
        match kind {
            // The record.
            "call.created" | "call.status" | "call.recording" => true,
            "call.dtmf" => windows.iter().any(|window| window.has(at, SignedDuration::ZERO)),
            kind if kind.starts_with("translation.") => {
                let body = body();
                self.reads(event_time(&body, "began_at").unwrap_or(at), event_time(&body, "ended_at"))
            }
            _ => windows.iter().any(|window| window.has(at, TAIL)),
        }
    }
}

/// A time among an event's fields.
pub fn event_time(body: &Value, field: &str) -> Option<Timestamp> {
    body[field].as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(1_700_000_000_000 + ms).unwrap()
    }

    fn stay(joined: i64, left: Option<i64>) -> Stay {
        Stay { leg: 1, agent: "anna".into(), joined_at: at(joined), left_at: left.map(at) }
    }

    fn sight(stays: &[(i64, Option<i64>)]) -> Sight {
        let stays: Vec<Stay> = stays.iter().map(|(joined, left)| stay(*joined, *left)).collect();
        Sight::of(&stays).unwrap()
    }

    #[test]
    fn whoever_was_never_in_a_call_sees_nothing_of_it() {
        assert_eq!(Sight::of(&[]), None);
    }

    #[test]
    fn words_are_read_by_those_who_were_there_for_all_of_them() {
        let gone = sight(&[(10_000, Some(20_000))]);
        for (began, ended, read) in [
            (9_999, Some(12_000), false),
            (10_000, Some(12_000), true),
            (19_000, Some(20_500), true),
            (19_000, Some(25_000), false),
            (20_001, Some(20_500), false),
            (15_000, None, true),
            (21_000, None, false),
        ] {
            assert_eq!(gone.reads(at(began), ended.map(at)), read, "{began} to {ended:?}");
        }
        let there = sight(&[(10_000, None)]);
        assert!(there.reads(at(90_000), Some(at(95_000))) && !there.reads(at(0), Some(at(11_000))));
    }

    #[test]
    fn a_device_that_takes_over_leaves_no_gap_and_a_return_does() {
        let moved = sight(&[(0, Some(5_000)), (4_000, None)]);
        assert!(moved.is_present() && moved.hears(at(100), Some(at(60_000))));
        let back = sight(&[(0, Some(5_000)), (30_000, Some(40_000))]);
        assert!(!back.hears(at(100), Some(at(35_000))) && !back.reads(at(10_000), Some(at(11_000))));
        assert!(back.reads(at(31_000), Some(at(32_000))));
        assert_eq!(back.left_at(), Some(at(40_000)));
    }

    #[test]
    fn a_recording_that_goes_on_is_heard_by_those_who_are_in_it_since_it_began() {
        assert!(sight(&[(0, None)]).hears(at(100), None));
        assert!(!sight(&[(200, None)]).hears(at(100), None));
        assert!(!sight(&[(0, Some(9_000))]).hears(at(100), None));
        assert!(sight(&[(0, Some(9_000))]).hears(at(100), Some(at(10_000))));
    }

    #[test]
    fn the_record_is_seen_whenever_and_the_rest_while_there() {
        let gone = sight(&[(10_000, Some(20_000))]);
        let shows = |kind: &str, ms: i64| gone.shows(kind, at(ms), || json!({}));
        for kind in ["call.created", "call.status", "call.recording"] {
            assert!(shows(kind, 0) && shows(kind, 90_000), "{kind}");
        }
        for kind in ["call.leg", "call.seat", "call.dtmf", "translation.final", "call.left"] {
            assert!(!shows(kind, 0) && shows(kind, 15_000) && shows(kind, 20_000) && !shows(kind, 90_000), "{kind}");
        }
        assert!(shows("call.leg", 21_000) && !shows("call.dtmf", 20_001) && !shows("translation.final", 20_001));
        // The words were said before, and are told after.
        let late = json!({"began_at": at(19_000), "ended_at": at(19_900)});
        assert!(gone.shows("translation.translation", at(23_000), || late));
        let early = json!({"began_at": at(9_000), "ended_at": at(10_500)});
        assert!(!gone.shows("translation.final", at(11_000), || early));
    }

    #[test]
    fn whoever_may_see_every_call_sees_all_of_it() {
        let whole = Sight::Whole;
        assert!(whole.is_present() && whole.reads(at(0), None) && whole.hears(at(0), None));
        assert!(whole.shows("call.dtmf", at(0), || json!({})));
    }
}
