//! Rights of a person to see a call: one rule for lists, records, words, recordings, verbs and streams.
//!
//! ```text
//!   time ───────────────────────────────────────────────────────────────────────▶
//!   call      created            ben joins                anna leaves       ended
//!   anna      |── everything ──────────────────────────────────|   the record
//!   ben                          |── everything ────────────────────────────|
//! ```
//!
//! - A person who was ever in a call sees its record: the parties, the times, how it ended, the notes about it.
//! - Words, pressed keys and recordings are seen by those who were in the call at the time.
//! - Only a person who is in a running call may change it.
//!
//! A person who may see every call sees all of each. The rule is pure: stays and times in, yes or no out.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::Stay;

/// Tolerance after a person has left, 2 s, within which the last sentence or file of their time may end.
pub const TAIL: SignedDuration = SignedDuration::from_secs(2);

/// Tolerance at the end of a call, shorter than a word: words of the last moment began before it.
const MOMENT: SignedDuration = SignedDuration::from_millis(200);

/// Parts of one call that a person may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// All of the call.
    Whole,
    /// Times during which the person was in the call: at least one window, in order, none overlapping or touching the next.
    While(Vec<Window>),
}

/// An uninterrupted period in which a person was in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    from: Timestamp,
    /// `None` while the period lasts.
    until: Option<Timestamp>,
}

impl Window {
    fn has(&self, at: Timestamp, tail: SignedDuration) -> bool {
        self.from <= at && self.until.is_none_or(|until| at.duration_since(until) <= tail)
    }
}

impl Sight {
    /// Returns the sight of a person who had these stays in a call. `None` without stays: the call must then look as if
    /// it did not exist.
    pub fn of(stays: &[Stay]) -> Option<Sight> {
        let mut stays: Vec<Window> =
            stays.iter().map(|stay| Window { from: stay.joined_at, until: stay.left_at }).collect();
        stays.sort_by_key(|window| window.from);
        let mut windows: Vec<Window> = Vec::with_capacity(stays.len());
        for next in stays {
            match windows.last_mut() {
                // One device took over from another, or a page was reloaded.
                Some(last) if last.has(next.from, TAIL) => {
                    last.until = last.until.zip(next.until).map(|(one, other)| one.max(other));
                }
                _ => windows.push(next),
            }
        }
        (!windows.is_empty()).then_some(Sight::While(windows))
    }

    /// Returns whether the person is in the call, if it is running, and so may change it.
    pub fn is_present(&self) -> bool {
        self.left_at().is_none()
    }

    /// Returns the time at which the person left the call for the last time, if they have left.
    pub fn left_at(&self) -> Option<Timestamp> {
        match self {
            Sight::Whole => None,
            Sight::While(windows) => windows.last().and_then(|window| window.until),
        }
    }

    /// Returns whether the person may read words that began and, if known, ended at these times. They must have been
    /// present for the whole sentence.
    pub fn reads(&self, began: Timestamp, ended: Option<Timestamp>) -> bool {
        match self {
            Sight::Whole => true,
            Sight::While(windows) => windows.iter().any(|window| {
                window.has(began, SignedDuration::ZERO) && ended.is_none_or(|ended| window.has(ended, TAIL))
            }),
        }
    }

    /// Returns whether the person may hear a recording that began and ended at these times; `None` if it is still
    /// running.
    pub fn hears(&self, began: Timestamp, ended: Option<Timestamp>) -> bool {
        match (self, ended) {
            (Sight::Whole, _) => true,
            (Sight::While(_), Some(_)) => self.reads(began, ended),
            (Sight::While(windows), None) => {
                windows.iter().any(|window| window.until.is_none() && window.from <= began)
            }
        }
    }

    /// Returns whether the person was in the call for all of this time, except for a moment at its end: then they may
    /// read every word of it.
    pub fn covers(&self, began: Timestamp, ended: Option<Timestamp>) -> bool {
        match (self, ended) {
            (Sight::Whole, _) => true,
            (Sight::While(windows), Some(ended)) => {
                windows.iter().any(|window| window.has(began, SignedDuration::ZERO) && window.has(ended, MOMENT))
            }
            (Sight::While(_), None) => self.hears(began, None),
        }
    }

    /// Returns whether the person may see an event of the call. `kind` is its name, `at` its time; `body` is called
    /// only if the rest of the event matters.
    pub fn shows(&self, kind: &str, at: Timestamp, body: impl FnOnce() -> Value) -> bool {
        let Sight::While(windows) = self else { return true };
        match kind {
            // Events of the record.
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

/// Returns the time in a field of an event, or `None` if the field is absent or is no time.
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
    fn a_person_who_was_never_in_a_call_sees_nothing_of_it() {
        assert_eq!(Sight::of(&[]), None);
    }

    #[test]
    fn words_are_read_by_those_present_for_the_whole_sentence() {
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
    fn a_change_of_device_leaves_no_gap_but_a_later_return_does() {
        let moved = sight(&[(0, Some(5_000)), (4_000, None)]);
        assert!(moved.is_present() && moved.hears(at(100), Some(at(60_000))));
        let back = sight(&[(0, Some(5_000)), (30_000, Some(40_000))]);
        assert!(!back.hears(at(100), Some(at(35_000))) && !back.reads(at(10_000), Some(at(11_000))));
        assert!(back.reads(at(31_000), Some(at(32_000))));
        assert_eq!(back.left_at(), Some(at(40_000)));
    }

    #[test]
    fn a_running_recording_is_heard_by_those_present_since_its_beginning() {
        assert!(sight(&[(0, None)]).hears(at(100), None));
        assert!(!sight(&[(200, None)]).hears(at(100), None));
        assert!(!sight(&[(0, Some(9_000))]).hears(at(100), None));
        assert!(sight(&[(0, Some(9_000))]).hears(at(100), Some(at(10_000))));
    }

    #[test]
    fn the_record_is_always_seen_and_the_rest_only_while_present() {
        let gone = sight(&[(10_000, Some(20_000))]);
        let shows = |kind: &str, ms: i64| gone.shows(kind, at(ms), || json!({}));
        for kind in ["call.created", "call.status", "call.recording"] {
            assert!(shows(kind, 0) && shows(kind, 90_000), "{kind}");
        }
        for kind in ["call.leg", "call.seat", "call.dtmf", "translation.final", "call.left"] {
            assert!(!shows(kind, 0) && shows(kind, 15_000) && shows(kind, 20_000) && !shows(kind, 90_000), "{kind}");
        }
        assert!(shows("call.leg", 21_000) && !shows("call.dtmf", 20_001) && !shows("translation.final", 20_001));
        // The words were said before the person left, and the event comes after.
        let late = json!({"began_at": at(19_000), "ended_at": at(19_900)});
        assert!(gone.shows("translation.translation", at(23_000), || late));
        let early = json!({"began_at": at(9_000), "ended_at": at(10_500)});
        assert!(!gone.shows("translation.final", at(11_000), || early));
    }

    #[test]
    fn a_person_who_may_see_every_call_sees_all_of_it() {
        let whole = Sight::Whole;
        assert!(whole.is_present() && whole.reads(at(0), None) && whole.hears(at(0), None));
        assert!(whole.shows("call.dtmf", at(0), || json!({})));
    }
}
