//! Delays of log-in attempts, and the table of those who have to wait.
//!
//! Wrong passwords never lock an account. They delay the next attempt from the same network for the same account, up to a
//! maximum.
//! Failures for an account from all networks shorten the patience with each network, but the first attempt of a network is always
//! checked, so that the owner of an account under attack can log in from anywhere else.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Time after the latest failure at which failures are forgotten.
pub(super) const WINDOW: Duration = Duration::from_secs(3_600);
/// Largest number of accounts and networks in the table.
const ENTRIES_MAX: usize = 10_000;

/// Rule that turns failures into a delay: none for the first `free`, then 1 s, doubled by every failure, up to `longest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience {
    free: u64,
    longest: Duration,
}

/// For one account from one network: mistakes of a person.
const PAIR: Patience = Patience { free: 10, longest: Duration::from_secs(30) };
/// For one account from one network while the account is being guessed from everywhere.
const PAIR_UNDER_ATTACK: Patience = Patience { free: 1, longest: Duration::from_secs(900) };
/// For one network and all accounts: several people behind one address.
pub(super) const NETWORK: Patience = Patience { free: 100, longest: Duration::from_secs(30) };
/// Number of failures for an account, from all networks, that count as an attack.
const ATTACK: u64 = 100;

impl Patience {
    /// Returns the rule for one account from one network. `account_failures` is the account's number of failures from all
    /// networks.
    pub(super) fn with_pair(account_failures: u64) -> Patience {
        if account_failures >= ATTACK { PAIR_UNDER_ATTACK } else { PAIR }
    }

    /// Returns the time that must pass between the latest attempt and the next one after this many failures.
    pub(super) fn delay(self, failures: u64) -> Duration {
        let Some(beyond) = failures.checked_sub(self.free) else { return Duration::ZERO };
        let seconds = u32::try_from(beyond).ok().and_then(|beyond| 1_u64.checked_shl(beyond)).unwrap_or(u64::MAX);
        Duration::from_secs(seconds).min(self.longest)
    }
}

/// Table of subjects that have to wait, so that attempts during a wait do not reach the store. It is bounded: when it is full,
/// the subjects with the shortest waits are removed.
#[derive(Debug, Default)]
pub struct Throttle {
    until: Mutex<HashMap<String, Instant>>,
    turns: AtomicU32,
}

impl Throttle {
    /// Creates an empty table.
    pub fn new() -> Throttle {
        Throttle::default()
    }

    /// Returns `true` on every `n`th call.
    pub(super) fn is_nth(&self, n: u32) -> bool {
        self.turns.fetch_add(1, Ordering::Relaxed) % n == n - 1
    }

    /// Checks that none of these subjects has to wait. Returns the longest wait as `Err`.
    pub(super) fn check(&self, subjects: &[String], now: Instant) -> Result<(), Duration> {
        let until = self.until.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let waits = subjects.iter().filter_map(|subject| until.get(subject)?.checked_duration_since(now));
        match waits.max() {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => Ok(()),
        }
    }

    /// Makes `subject` wait until `then`.
    pub(super) fn wait(&self, subject: &str, then: Instant, now: Instant) {
        let mut until = self.until.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if until.len() >= ENTRIES_MAX {
            until.retain(|_, then| *then > now);
        }
        if until.len() >= ENTRIES_MAX {
            // A quarter is removed at once, so that a flood does not scan the table at every attempt.
            let mut ends: Vec<Instant> = until.values().copied().collect();
            let (_, threshold, _) = ends.select_nth_unstable(ENTRIES_MAX / 4);
            let threshold = *threshold;
            until.retain(|_, then| *then > threshold);
        }
        until.insert(subject.to_owned(), then);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_their_maximum() {
        let calm = Patience::with_pair(0);
        let seconds = |patience: Patience, failures| patience.delay(failures).as_secs();
        assert_eq!([0, 9, 10, 11, 14, 15, 1_000, u64::MAX].map(|n| seconds(calm, n)), [0, 0, 1, 2, 16, 30, 30, 30]);
        let attacked = Patience::with_pair(ATTACK);
        assert_eq!([0, 1, 2, 10, 11].map(|n| seconds(attacked, n)), [0, 1, 2, 512, 900]);
    }

    #[test]
    fn the_first_attempt_of_a_network_never_waits() {
        for account in [0, ATTACK, u64::MAX] {
            assert_eq!(Patience::with_pair(account).delay(0), Duration::ZERO);
        }
    }

    #[test]
    fn waits_are_remembered_until_they_end() {
        let throttle = Throttle::new();
        let (start, subjects) = (Instant::now(), ["pair".to_owned(), "network".to_owned()]);
        assert_eq!(throttle.check(&subjects, start), Ok(()));
        throttle.wait("network", start + Duration::from_secs(5), start);
        assert_eq!(throttle.check(&subjects, start), Err(Duration::from_secs(5)));
        assert_eq!(throttle.check(&subjects, start + Duration::from_secs(5)), Ok(()));
    }

    #[test]
    fn the_table_stays_bounded() {
        let (throttle, start) = (Throttle::new(), Instant::now());
        for n in 0..ENTRIES_MAX as u64 + 500 {
            throttle.wait(&n.to_string(), start + Duration::from_secs(100) + Duration::from_millis(n), start);
        }
        assert!(throttle.until.lock().unwrap().len() <= ENTRIES_MAX);
    }
}
