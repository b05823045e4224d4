//! Attempts to authenticate with a password, slowed down for each account and each network.
//!
//! ```text
//! attempt ─▶ memory: must wait? ─▶ store: counts pair, account, network; must wait? ─▶ argon2 ─▶ correct: uncounted
//! ```
//!
//! Invariants: an attempt is counted before it is checked, so that simultaneous attempts cannot pass together, and the counts
//! survive a restart. An attempt that comes too early is not counted, so that nobody can extend another person's wait.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use axum::http::StatusCode;

use super::authenticator::Authenticator;
use super::throttle::{NETWORK, Patience, WINDOW};
use super::token_hash;
use crate::http::client::network;
use crate::http::problem::Problem;
use crate::store::{Attempts, Window, now};

/// Number of attempts between two removals of expired counts.
const PRUNE_EVERY: u32 = 256;

/// Attempt that has been counted and may be checked.
pub(crate) struct Attempt<'a> {
    auth: &'a Authenticator,
    pair: String,
    network: String,
    account: String,
}

impl<'a> Attempt<'a> {
    /// Counts an attempt. Returns 429 with `Retry-After` if it comes too early after failed ones.
    pub(crate) async fn begin(auth: &'a Authenticator, email: &str, address: IpAddr) -> Result<Attempt<'a>, Problem> {
        let (email, network) = (email.to_lowercase(), network(address));
        let subjects = [
            token_hash(&format!("log-in {network} {email}")),
            token_hash(&format!("log-in network {network}")),
            token_hash(&format!("log-in account {email}")),
        ];
        let at = Instant::now();
        auth.throttle.check(&subjects[..2], at).map_err(slowed)?;
        let mut waits = [Duration::ZERO; 2];
        let judge = |before: &[Attempts], now| {
            let patience = [Patience::with_pair(before[2].count), NETWORK];
            for ((wait, patience), before) in waits.iter_mut().zip(patience).zip(before) {
                let since = Duration::try_from(before.last_at.duration_until(now)).unwrap_or_default();
                *wait = patience.delay(before.count).saturating_sub(since);
            }
            let longest = waits[0].max(waits[1]);
            if longest.is_zero() { Ok(()) } else { Err(longest) }
        };
        let counted = auth.store.attempt_count(&subjects, Window::FromLatest(WINDOW), judge).await?;
        for (subject, wait) in subjects.iter().zip(waits).filter(|(_, wait)| !wait.is_zero()) {
            auth.throttle.wait(subject, at + wait, at);
        }
        counted.map_err(slowed)?;
        if auth.throttle.is_nth(PRUNE_EVERY) {
            auth.store.attempt_prune(now()).await?;
        }
        let [pair, network, account] = subjects;
        Ok(Attempt { auth, pair, network, account })
    }

    /// Records that the password was correct: the count of the pair is reset, and the attempt is subtracted for network and
    /// account.
    pub(crate) async fn succeeded(self) -> Result<(), Problem> {
        self.auth.store.attempt_forgive(&self.pair, &[&self.network, &self.account]).await?;
        Ok(())
    }
}

/// Returns a 429 for a log-in attempt, with the time to wait.
pub(crate) fn slowed(wait: Duration) -> Problem {
    metrics::counter!("tandem_logins_throttled_total").increment(1);
    too_early("too-many-attempts", wait)
}

/// Returns a 429 of this kind with the time to wait, in whole seconds, at least 1.
pub(crate) fn too_early(kind: &'static str, wait: Duration) -> Problem {
    let seconds = u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1);
    let time = match seconds {
        1..120 => format!("{seconds} s"),
        120..7_200 => format!("{} minutes", seconds.div_ceil(60)),
        _ => format!("{} hours", seconds.div_ceil(3600)),
    };
    Problem {
        retry_after: Some(seconds),
        ..Problem::new(StatusCode::TOO_MANY_REQUESTS, kind, "Too many attempts", format!("try again in {time}"))
    }
}
