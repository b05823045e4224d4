//! Delays of log-in attempts, and the memory of who has to wait.
//!
//! Nobody is shut out: wrong passwords make the next try from the same network for the same account wait longer, up to a
//! bound. Failures for an account from all networks shorten the patience with each network, and the first try of a
//! network is checked always, so that the owner of an account that is under attack gets in from anywhere else.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Failures are forgotten this long after the latest.
pub(super) const WINDOW: Duration = Duration::from_secs(3_600);
/// Accounts and networks remembered.
const ENTRIES_MAX: usize = 10_000;

/// How failures become a delay: none for the first `free`, then 1 s, doubled by every failure, up to `longest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience {
    free: u64,
    longest: Duration,
}

/// With one account from one network: a person's mistakes.
const PAIR: Patience = Patience { free: 10, longest: Duration::from_secs(30) };
/// The same while the account is guessed from everywhere.
const PAIR_UNDER_ATTACK: Patience = Patience { free: 1, longest: Duration::from_secs(900) };
/// With one network, whatever the accounts: people behind one address.
pub(super) const NETWORK: Patience = Patience { free: 100, longest: Duration::from_secs(30) };
/// Failures of an account, from all networks, that make an attack.
const ATTACK: u64 = 100;

impl Patience {
    /// With one account from one network, of an account that has this many failures from all networks.
    pub(super) fn with_pair(account_failures: u64) -> Patience {
        if account_failures >= ATTACK { PAIR_UNDER_ATTACK } else { PAIR }
    }

    /// Time between the latest attempt and the next, after so many failures.
    pub(super) fn delay(self, failures: u64) -> Duration {
        let Some(beyond) = failures.checked_sub(self.free) else { return Duration::ZERO };
        let seconds = u32::try_from(beyond).ok().and_then(|beyond| 1_u64.checked_shl(beyond)).unwrap_or(u64::MAX);
        Duration::from_secs(seconds).min(self.longest)
    }
}

/// Who has to wait until when: the fast path, so that whoever does not wait costs the store nothing. Bounded: when full,
/// those who may try soonest go.
#[derive(Debug, Default)]
pub struct Throttle {
    until: Mutex<HashMap<String, Instant>>,
    turns: AtomicU32,
}

impl Throttle {
    /// Nobody waits.
    pub fn new() -> Throttle {
        Throttle::default()
    }

    /// Every `n`th time it is asked.
    pub(super) fn is_nth(&self, n: u32) -> bool {
        self.turns.fetch_add(1, Ordering::Relaxed) % n == n - 1
    }

    /// `Err`: the time that one of these subjects still has to wait.
    pub(super) fn check(&self, subjects: &[String], now: Instant) -> Result<(), Duration> {
        let until = self.until.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let waits = subjects.iter().filter_map(|subject| until.get(subject)?.checked_duration_since(now));
        match waits.max() {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => Ok(()),
        }
    }

    /// From now on `subject` waits until then.
    pub(super) fn wait(&self, subject: &str, then: Instant, now: Instant) {
        let mut until = self.until.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if until.len() >= ENTRIES_MAX {
            until.retain(|_, then| *then > now);
        }
        if until.len() >= ENTRIES_MAX {
            // A quarter at once, so that a flood does not scan the table at every attempt.
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
    fn delays_double_and_end_at_their_bound() {
        let calm = Patience::with_pair(0);
        let seconds = |patience: Patience, failures| patience.delay(failures).as_secs();
        assert_eq!([0, 9, 10, 11, 14, 15, 1_000, u64::MAX].map(|n| seconds(calm, n)), [0, 0, 1, 2, 16, 30, 30, 30]);
        let attacked = Patience::with_pair(ATTACK);
        assert_eq!([0, 1, 2, 10, 11].map(|n| seconds(attacked, n)), [0, 1, 2, 512, 900]);
    }

    #[test]
    fn the_first_try_of_a_network_never_waits() {
        for account in [0, ATTACK, u64::MAX] {
            assert_eq!(Patience::with_pair(account).delay(0), Duration::ZERO);
        }
    }

    #[test]
    fn who_waits_is_remembered_until_the_end() {
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
