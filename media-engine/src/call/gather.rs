//! Digits that are collected from one leg.
//!
//! ```text
//! new ─▶ listen(now) ─▶ key … key ─┬─ finish key, or as many as wanted ─▶ Gathered
//!                                  └─ nothing for too long ─────────────▶ Gathered
//! ```
//!
//! Not here: how keys are heard, and the prompt before them (the engine).

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Most digits of one collection.
pub const DIGITS_MAX: u8 = 64;

/// How digits are collected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatherRules {
    /// Fewer are too few, 0 to `max`.
    pub min: u8,
    /// As many are complete, 1 to [`DIGITS_MAX`].
    pub max: u8,
    /// The key that completes them, and is none of them; `None`: every key is a digit.
    pub finish: Option<char>,
    /// How long the first key is waited for.
    pub first: Duration,
    /// How long each further key is waited for.
    pub between: Duration,
}

impl GatherRules {
    /// Whether digits can be collected so.
    ///
    /// # Errors
    /// The field, and what was expected of it.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let waits = GatherRules::SHORTEST..=GatherRules::LONGEST;
        let is_key = |key: char| key.is_ascii_digit() || matches!(key, '*' | '#' | 'A'..='D');
        if !(1..=DIGITS_MAX).contains(&self.max) {
            Err(("max", format!("expected 1 to {DIGITS_MAX} digits")))
        } else if self.min > self.max {
            Err(("min", "expected no more than `max`".into()))
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

    /// Shortest time in which a key can come.
    const SHORTEST: Duration = Duration::from_millis(100);
    /// Longest time that a key is waited for.
    const LONGEST: Duration = Duration::from_secs(300);
}

/// Why no more digits are collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatherEnd {
    /// As many as may be are there.
    Length,
    /// The finish key was pressed.
    FinishKey,
    /// No key came, or no further one.
    Timeout,
    /// Somebody stopped it.
    Stopped,
    /// The leg has left the call.
    LegGone,
}

/// What was collected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gathered {
    /// The digits, without the finish key.
    pub digits: String,
    /// Why there are no more.
    pub end: GatherEnd,
    /// At least as many as wanted, and complete by length, key or pause.
    pub enough: bool,
}

/// A collection under way.
#[derive(Clone, Debug)]
pub struct Gather {
    rules: GatherRules,
    digits: String,
    /// When the next key is given up; `None`: the time has not begun.
    until: Option<Instant>,
}

impl Gather {
    /// Waits, without a limit, until [`Gather::listen`] or the first key.
    pub fn new(rules: GatherRules) -> Gather {
        Gather { rules, digits: String::new(), until: None }
    }

    /// The time for the first key begins, unless one has come.
    pub fn listen(&mut self, now: Instant) {
        if self.until.is_none() {
            self.until = now.checked_add(self.rules.first);
        }
    }

    /// A key was pressed.
    pub fn key(&mut self, digit: char, now: Instant) -> Option<Gathered> {
        if self.rules.finish == Some(digit) {
            return Some(self.end(GatherEnd::FinishKey));
        }
        self.digits.push(digit);
        self.until = now.checked_add(self.rules.between);
        (self.digits.len() >= usize::from(self.rules.max)).then(|| self.end(GatherEnd::Length))
    }

    /// When [`Gather::timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.until
    }

    /// The time has come.
    pub fn timeout(&mut self, now: Instant) -> Option<Gathered> {
        self.until.is_some_and(|until| until <= now).then(|| self.end(GatherEnd::Timeout))
    }

    /// No more keys are wanted, or can come.
    pub fn end(&mut self, end: GatherEnd) -> Gathered {
        let digits = std::mem::take(&mut self.digits);
        let is_whole = matches!(end, GatherEnd::Length | GatherEnd::FinishKey | GatherEnd::Timeout);
        let has_some = !digits.is_empty() || end == GatherEnd::FinishKey;
        let enough = is_whole && has_some && digits.len() >= usize::from(self.rules.min);
        Gathered { digits, end, enough }
    }
}

/// How a key was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyWay {
    /// As a telephone-event (RFC 4733).
    Event,
    /// By signalling.
    Info,
    /// In the sound.
    Sound,
}

/// Tells keys from their echoes: a telephone may press one key in two ways at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyWays {
    last: Option<(char, KeyWay, Instant)>,
}

impl KeyWays {
    /// How far the two reports of one key may lie apart.
    const APART: Duration = Duration::from_millis(700);

    /// Whether it is a key of its own, and not the one before, heard in another way.
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
        assert_eq!(press(&mut gather, "#", now), None, "a digit like all others");
        assert_eq!(gather.poll_timeout(), Some(now + 2 * SECOND));
        assert_eq!(gather.timeout(now + SECOND), None);
        assert_eq!(gather.timeout(now + 2 * SECOND), gathered("#", GatherEnd::Timeout, true));
    }

    #[test]
    fn the_time_for_the_first_key_begins_when_it_is_told_to() {
        let now = test_epoch();
        let mut gather = Gather::new(rules(0, 3, None));
        assert_eq!(gather.poll_timeout(), None);
        gather.listen(now);
        assert_eq!(gather.poll_timeout(), Some(now + 5 * SECOND));
        gather.key('1', now + 4 * SECOND);
        gather.listen(now + 5 * SECOND);
        assert_eq!(gather.poll_timeout(), Some(now + 6 * SECOND), "a key has come meanwhile");
        let mut silent = Gather::new(rules(0, 3, None));
        silent.listen(now);
        let nothing = Gathered { digits: String::new(), end: GatherEnd::Timeout, enough: false };
        assert_eq!(silent.timeout(now + 5 * SECOND), Some(nothing));
    }

    #[test]
    fn a_key_in_two_ways_is_one_and_a_key_twice_in_one_way_is_two() {
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
