//! Attempts to prove oneself by password, limited by account and by address.
//!
//! ```text
//! attempt ─▶ memory: closed? ─▶ store: counts, closed? ─▶ argon2 ─▶ right: both forget
//! ```
//!
//! Invariant: an attempt counts before it is checked, so that many at once cannot pass together, and survives a restart.

use std::net::IpAddr;
use std::time::Instant;

use axum::http::StatusCode;

use super::throttle::{PER_ACCOUNT, PER_ADDRESS, WINDOW};
use super::token_hash;
use crate::problem::Problem;
use crate::rate_limit::network;
use crate::state::AppState;
use crate::store::now;

/// Every so many new accounts or addresses, old ones are removed.
const PRUNE_EVERY: u32 = 256;

/// An attempt that may be checked.
pub(crate) struct Attempt<'a> {
    state: &'a AppState,
    email: &'a str,
    address: IpAddr,
    account_subject: String,
    address_subject: String,
}

impl<'a> Attempt<'a> {
    /// Counts an attempt. 429: too many have failed.
    pub(crate) async fn begin(state: &'a AppState, email: &'a str, address: IpAddr) -> Result<Attempt<'a>, Problem> {
        let address = network(address);
        state.throttle.attempt(email, address, Instant::now()).map_err(closed)?;
        let attempt = Attempt {
            state,
            email,
            address,
            account_subject: token_hash(&format!("account {}", email.to_lowercase())),
            address_subject: token_hash(&format!("address {address}")),
        };
        let forgotten = now() - WINDOW;
        for (subject, limit) in [(&attempt.account_subject, PER_ACCOUNT), (&attempt.address_subject, PER_ADDRESS)] {
            let (since, failures) = state.store.login_attempt_count(subject, forgotten).await?;
            if failures > u64::from(limit) {
                let left = (since + WINDOW).duration_since(now()).as_secs();
                return Err(closed(u64::try_from(left).unwrap_or(0).max(1)));
            }
            if failures == 1 && state.throttle.is_nth(PRUNE_EVERY) {
                state.store.login_attempt_prune(forgotten).await?;
            }
        }
        Ok(attempt)
    }

    /// It was right.
    pub(crate) async fn succeeded(self) -> Result<(), Problem> {
        self.state.throttle.succeeded(self.email, self.address);
        self.state.store.login_attempt_forgive(&self.account_subject, &self.address_subject).await?;
        Ok(())
    }
}

fn closed(seconds: u64) -> Problem {
    metrics::counter!("tandem_logins_throttled_total").increment(1);
    Problem {
        retry_after: Some(u32::try_from(seconds).unwrap_or(u32::MAX)),
        ..Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-attempts",
            "Too many attempts",
            format!("try again in {} minutes", seconds.div_ceil(60)),
        )
    }
}
