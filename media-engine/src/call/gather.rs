//! Collection of digits from one leg.
//!
//! ```text
//! new ─▶ listen(now) ─▶ key … key ─┬─ finish key, or maximum length ─▶ Gathered
//!                                  └─ time-out ─────────────────────▶ Gathered
//! ```
//!
//! Not here: how keys are recognised, and the prompt before them (the engine).

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Maximum number of digits in one collection.
pub const DIGITS_MAX: u8 = 64;

/// Rules of a collection: how many digits it takes, and when it ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatherRules {
    /// Minimum number of digits for success, 0 to `max`.
    pub min: u8,
    /// Number of digits that completes the collection, 1 to [`DIGITS_MAX`].
    pub max: u8,
    /// Key that completes the collection without being part of it; `None`: every key is a digit.
    pub finish: Option<char>,
    /// Time to wait for the first key, 0.1 to 300 s.
    pub first: Duration,
    /// Time to wait for each further key, 0.1 to 300 s.
    pub between: Duration,
}

impl GatherRules {
    /// Checks that the rules can be carried out.
    ///
    /// # Errors
    /// The field, and what was expected of it; both belong in the answer to the requester.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let waits = GatherRules::SHORTEST..=GatherRules::LONGEST;
        let is_key = |key: char| key.is_ascii_digit() || matches!(key, '*' | '#' | 'A'..='D');
        if !(1..=DIGITS_MAX).contains(&self.max) {
            Err(("max", format!("expected 1 to {DIGITS_MAX} digits")))
        } else if self.min > self.max {
            Err(("min", "expected at most `max`".into()))
        } else if !self.finish.is_none_or(is_key) {
            Err(("finish", "expected one of 0-9, *, #, A-D".into()))
        } else if !waits.contains(&self.first) {
            Err(("first_s", "expected 0.1 to 300 seconds".into()))
        } else if !waits.contains(&self.between) {
            Err(("between_s", "expected 0.1 to 300 seconds".into()))
        } else {
            Ok(())
        }
    }

    /// Shortest time to wait for a key.
    const SHORTEST: Duration = Duration::from_millis(100);
    /// Longest time to wait for a key.
    const LONGEST: Duration = Duration::from_secs(300);
}

/// Reason why a collection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatherEnd {
    /// The maximum number of digits has been reached.
    Length,
    /// The finish key was pressed.
    FinishKey,
    /// No key, or no further key, came in time.
    Timeout,
    /// A request stopped the collection.
    Stopped,
    /// The leg has left the call.
    LegGone,
}

/// Result of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gathered {
    /// Digits without the finish key.
    pub digits: String,
    /// Reason why the collection has ended.
    pub end: GatherEnd,
    /// At least the minimum was collected, and the collection ended by length, finish key or time-out.
    pub enough: bool,
}

/// A collection that is in progress.
#[derive(Clone, Debug)]
pub struct Gather {
    rules: GatherRules,
    digits: String,
    /// Time-out of the next key; `None`: the clock has not started.
    until: Option<Instant>,
}

impl Gather {
    /// Creates a collection that waits without a limit until [`Gather::listen`] or the first key.
    pub fn new(rules: GatherRules) -> Gather {
        Gather { rules, digits: String::new(), until: None }
    }

    /// Starts the clock for the first key, unless a key has come.
    pub fn listen(&mut self, now: Instant) {
        if self.until.is_none() {
            self.until = now.checked_add(self.rules.first);
        }
    }

    /// Takes a key; returns the result if the key completes the collection.
    pub fn key(&mut self, digit: char, now: Instant) -> Option<Gathered> {
        if self.rules.finish == Some(digit) {
            return Some(self.end(GatherEnd::FinishKey));
        }
        self.digits.push(digit);
        self.until = now.checked_add(self.rules.between);
        (self.digits.len() >= usize::from(self.rules.max)).then(|| self.end(GatherEnd::Length))
    }

    /// Returns when [`Gather::timeout`] is due; `None`: the clock has not started.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.until
    }

    /// Ends the collection if its time-out has passed.
    pub fn timeout(&mut self, now: Instant) -> Option<Gathered> {
        self.until.is_some_and(|until| until <= now).then(|| self.end(GatherEnd::Timeout))
    }

    /// Ends the collection for this reason, and returns the result.
    pub fn end(&mut self, end: GatherEnd) -> Gathered {
        let digits = std::mem::take(&mut self.digits);
        let is_whole = matches!(end, GatherEnd::Length | GatherEnd::FinishKey | GatherEnd::Timeout);
        let has_some = !digits.is_empty() || end == GatherEnd::FinishKey;
        let enough = is_whole && has_some && digits.len() >= usize::from(self.rules.min);
        Gathered { digits, end, enough }
    }
}

/// How a key was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyWay {
    /// As a telephone-event (RFC 4733).
    Event,
    /// By signalling, in a SIP INFO request.
    Info,
    /// As tones in the sound.
    Sound,
}

/// Tells keys from their duplicates: a telephone may report one key in two ways at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyWays {
    last: Option<(char, KeyWay, Instant)>,
}

impl KeyWays {
    /// Longest time between the two reports of one key.
    const APART: Duration = Duration::from_millis(700);

    /// Returns whether this is a new key, and not the previous one reported in another way.
    pub fn is_new(&mut self, digit: char, way: KeyWay, now: Instant) -> bool {
        let is_echo = self.last.is_some_and(|(last, last_way, at)| {
            last == digit && last_way != way && now.saturating_duration_since(at) < KeyWays::APART
        });
        if !is_echo {
            self.last = Some((digit, way, now));
        }
        !is_echo
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::test_epoch;

    const SECOND: Duration = Duration::from_secs(1);

    fn rules(min: u8, max: u8, finish: Option<char>) -> GatherRules {
        GatherRules { min, max, finish, first: 5 * SECOND, between: 2 * SECOND }
    }

    fn press(gather: &mut Gather, keys: &str, now: Instant) -> Option<Gathered> {
        keys.chars().find_map(|key| gather.key(key, now))
    }

    #[test]
    fn digits_end_by_length_finish_key_or_pause() {
        let now = test_epoch();
        let gathered = |digits: &str, end, enough| Some(Gathered { digits: digits.into(), end, enough });
        let mut gather = Gather::new(rules(1, 3, Some('#')));
        assert_eq!(press(&mut gather, "123", now), gathered("123", GatherEnd::Length, true));
        let mut gather = Gather::new(rules(2, 3, Some('#')));
        assert_eq!(press(&mut gather, "1#", now), gathered("1", GatherEnd::FinishKey, false));
        let mut gather = Gather::new(rules(0, 3, Some('#')));
        assert_eq!(press(&mut gather, "#", now), gathered("", GatherEnd::FinishKey, true));
        let mut gather = Gather::new(rules(1, 3, None));
        assert_eq!(press(&mut gather, "#", now), None, "without a finish key, # is a digit");
        assert_eq!(gather.poll_timeout(), Some(now + 2 * SECOND));
        assert_eq!(gather.timeout(now + SECOND), None);
        assert_eq!(gather.timeout(now + 2 * SECOND), gathered("#", GatherEnd::Timeout, true));
    }

    #[test]
    fn the_clock_for_the_first_key_starts_with_listen() {
        let now = test_epoch();
        let mut gather = Gather::new(rules(0, 3, None));
        assert_eq!(gather.poll_timeout(), None);
        gather.listen(now);
        assert_eq!(gather.poll_timeout(), Some(now + 5 * SECOND));
        gather.key('1', now + 4 * SECOND);
        gather.listen(now + 5 * SECOND);
        assert_eq!(gather.poll_timeout(), Some(now + 6 * SECOND), "a key that has come already sets the time-out");
        let mut silent = Gather::new(rules(0, 3, None));
        silent.listen(now);
        let nothing = Gathered { digits: String::new(), end: GatherEnd::Timeout, enough: false };
        assert_eq!(silent.timeout(now + 5 * SECOND), Some(nothing));
    }

    #[test]
    fn a_key_reported_in_two_ways_counts_once_and_twice_in_one_way_counts_twice() {
        let now = test_epoch();
        let mut ways = KeyWays::default();
        assert!(ways.is_new('5', KeyWay::Event, now));
        assert!(!ways.is_new('5', KeyWay::Sound, now + SECOND / 20));
        assert!(!ways.is_new('5', KeyWay::Info, now + SECOND / 10));
        assert!(ways.is_new('5', KeyWay::Event, now + SECOND / 5));
        assert!(ways.is_new('6', KeyWay::Sound, now + SECOND / 4));
        assert!(ways.is_new('6', KeyWay::Event, now + SECOND));
    }
}
