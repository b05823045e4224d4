//! Log-in attempts, limited by account and by address.
//!
//! The fast path: what is closed here needs no store. Only failures count. The table is bounded: when full, the entries that have waited longest go.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Failures are forgotten after this.
pub(super) const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Failures of one account within the window.
pub(super) const PER_ACCOUNT: u32 = 10;
/// Failures from one address within the window.
pub(super) const PER_ADDRESS: u32 = 100;
/// Accounts and addresses remembered.
const ENTRIES_MAX: usize = 10_000;

/// Counts failed attempts.
#[derive(Debug, Default)]
pub struct Throttle {
    entries: Mutex<HashMap<Key, Entry>>,
    turns: AtomicU32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Account(String),
    Address(IpAddr),
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    since: Instant,
    failures: u32,
}

impl Throttle {
    /// Nothing counted yet.
    pub fn new() -> Throttle {
        Throttle::default()
    }

    /// Every `n`th time it is asked.
    pub(super) fn is_nth(&self, n: u32) -> bool {
        self.turns.fetch_add(1, Ordering::Relaxed) % n == n - 1
    }

    /// Counts an attempt before it is checked, so that many at once cannot pass together. `Err`: seconds to wait.
    pub fn attempt(&self, account: &str, address: IpAddr, now: Instant) -> Result<(), u64> {
        let mut entries = self.entries.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let keys = [(Key::Account(account.to_lowercase()), PER_ACCOUNT), (Key::Address(address), PER_ADDRESS)];
        for (key, limit) in &keys {
            if let Some(entry) = entries.get(key)
                && now.duration_since(entry.since) < WINDOW
                && entry.failures >= *limit
            {
                return Err((WINDOW - now.duration_since(entry.since)).as_secs().max(1));
            }
        }
        if entries.len() + keys.len() > ENTRIES_MAX {
            entries.retain(|_, entry| now.duration_since(entry.since) < WINDOW);
        }
        if entries.len() + keys.len() > ENTRIES_MAX {
            // The oldest quarter at once, so that a flood does not scan the table at every attempt.
            let mut ages: Vec<Instant> = entries.values().map(|entry| entry.since).collect();
            let (_, threshold, _) = ages.select_nth_unstable(ENTRIES_MAX / 4);
            let threshold = *threshold;
            entries.retain(|_, entry| entry.since > threshold);
        }
        for (key, _) in keys {
            let entry = entries.entry(key).or_insert(Entry { since: now, failures: 0 });
            if now.duration_since(entry.since) >= WINDOW {
                *entry = Entry { since: now, failures: 0 };
            }
            entry.failures = entry.failures.saturating_add(1);
        }
        Ok(())
    }

    /// The attempt was right: the account's count starts anew, the address's is taken back by one.
    pub fn succeeded(&self, account: &str, address: IpAddr) {
        let mut entries = self.entries.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        entries.remove(&Key::Account(account.to_lowercase()));
        if let Some(entry) = entries.get_mut(&Key::Address(address)) {
            entry.failures = entry.failures.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn an_account_is_closed_after_ten_failures_and_open_again_after_the_window() {
        let throttle = Throttle::new();
        let start = Instant::now();
        for _ in 0..PER_ACCOUNT {
            throttle.attempt("Anna@example.com", HOME, start).unwrap();
        }
        assert_eq!(throttle.attempt("anna@EXAMPLE.com", HOME, start), Err(WINDOW.as_secs()));
        throttle.attempt("other@example.com", HOME, start).unwrap();
        throttle.attempt("anna@example.com", HOME, start + WINDOW).unwrap();
    }

    #[test]
    fn an_address_that_tries_many_accounts_is_closed() {
        let throttle = Throttle::new();
        let start = Instant::now();
        for n in 0..PER_ADDRESS {
            throttle.attempt(&format!("user{n}"), HOME, start).unwrap();
        }
        assert!(throttle.attempt("one more", HOME, start).is_err());
        throttle.attempt("one more", IpAddr::from([192, 0, 2, 1]), start).unwrap();
    }

    #[test]
    fn right_passwords_do_not_count() {
        let throttle = Throttle::new();
        for _ in 0..1_000 {
            throttle.attempt("anna", HOME, Instant::now()).unwrap();
            throttle.succeeded("anna", HOME);
        }
    }

    #[test]
    fn the_table_stays_bounded() {
        let throttle = Throttle::new();
        let start = Instant::now();
        for n in 0..ENTRIES_MAX as u32 + 500 {
            let address = IpAddr::from(std::net::Ipv4Addr::from(n));
            let _refused = throttle.attempt("same", address, start + Duration::from_millis(u64::from(n)));
            let _refused = throttle.attempt(&format!("u{n}"), address, start + Duration::from_millis(u64::from(n)));
        }
        assert!(throttle.entries.lock().unwrap().len() <= ENTRIES_MAX);
    }
}
