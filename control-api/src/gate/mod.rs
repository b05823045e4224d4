//! Gate: checks that a request passes before its handler runs.
//!
//! ```text
//!  known host (setup) ─▶ rate limit ─▶ signed link or actor ─▶ idempotency key ─▶ handler
//! ```
//!
//! `readiness` limits the checks behind `/readyz` in the same way.

pub(crate) mod idempotency;
pub mod rate_limit;
pub(crate) mod readiness;
pub(crate) mod setup;
pub(crate) mod signature;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::auth::Authenticator;
use crate::store::StoreError;

use rate_limit::RateLimits;
use setup::Setup;

/// State of the checks that a request passes. Clones are cheap and share it.
#[derive(Clone)]
pub struct Gate {
    /// Authentication of requests.
    pub auth: Authenticator,
    /// Rate limits of requests.
    pub rate_limits: Arc<RateLimits>,
    /// Rules until there is an organization; `None` if there is one already.
    pub(crate) setup: Option<Arc<Setup>>,
    /// Whether there is an organization. Once set, it is not checked again.
    inhabited: Arc<AtomicBool>,
}

impl Gate {
    /// Creates the checks of a server that has no rules for a fresh installation.
    pub(crate) fn new(auth: Authenticator) -> Gate {
        Gate { auth, rate_limits: Arc::new(RateLimits::new()), setup: None, inhabited: Arc::default() }
    }

    /// Returns whether this installation has no organization yet. Once it has one, the store is not asked again.
    pub(crate) async fn is_fresh(&self) -> Result<bool, StoreError> {
        let store = &self.auth.store;
        if !store.keeps() || self.inhabited.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let fresh = store.organization_list().await?.is_empty();
        self.inhabited.store(!fresh, Ordering::Relaxed);
        Ok(fresh)
    }
}
