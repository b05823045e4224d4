//! How many calls one organization may have and start: what bounds the bill when an account is stolen.
//!
//! - Calls that its people and programs start count; calls that come in from carriers do not.
//! - Emergency numbers are never refused here.
//! - A call that is over gives its place back; what is held is one entry for each running call.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::config::Config;
use crate::engine;
use crate::store::OrganizationId;

/// Bounds of every organization, and who uses how much of them.
#[derive(Debug)]
pub struct CallLimits {
    config: Arc<Config>,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    calls: HashMap<Uuid, OrganizationId>,
    organizations: HashMap<OrganizationId, Usage>,
}

#[derive(Debug)]
struct Usage {
    running: u32,
    /// Calls that may start now, in thousandths, as of `at`.
    allowance: u64,
    at: Instant,
}

/// Why a call may not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitReached {
    /// Too many at once.
    #[error(
        "your organization has {0} calls running, which is all it may have; end one, or ask the operator ([dial] calls)"
    )]
    Running(u32),
    /// Too many in a second.
    #[error("your organization may start {0} calls a second; try again in a second")]
    Rate(u32),
}

impl CallLimits {
    /// The bounds of this configuration; 0 there means none.
    pub fn new(config: Arc<Config>) -> CallLimits {
        CallLimits { config, used: Mutex::default() }
    }

    /// Whether `call` to `to` may start; it then counts until [`CallLimits::ended`].
    ///
    /// # Errors
    /// Which bound it meets.
    pub fn admit(&self, organization: OrganizationId, call: Uuid, to: &str) -> Result<(), LimitReached> {
        let urgent = engine::is_emergency(&self.config, to);
        let admitted = self.admit_at(organization, call, urgent, Instant::now());
        if let Err(reached) = admitted {
            metrics::counter!("tandem_calls_limited_total").increment(1);
            tracing::warn!(%call, %organization, %reached, "a call was refused");
        }
        admitted
    }

    fn admit_at(
        &self,
        organization: OrganizationId,
        call: Uuid,
        urgent: bool,
        now: Instant,
    ) -> Result<(), LimitReached> {
        let (most, rate) = (self.config.dial.calls, self.config.dial.calls_per_second);
        let full = u64::from(rate) * 1000;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let Used { calls, organizations } = &mut *used;
        let usage = organizations.entry(organization).or_insert(Usage { running: 0, allowance: full, at: now });
        let millis = u64::try_from(now.saturating_duration_since(usage.at).as_millis()).unwrap_or(u64::MAX);
        usage.allowance = usage.allowance.saturating_add(millis.saturating_mul(u64::from(rate))).min(full);
        usage.at = now;
        if !urgent && most > 0 && usage.running >= most {
            return Err(LimitReached::Running(usage.running));
        }
        if !urgent && rate > 0 && usage.allowance < 1000 {
            return Err(LimitReached::Rate(rate));
        }
        if calls.insert(call, organization).is_none() {
            usage.running += 1;
            usage.allowance = usage.allowance.saturating_sub(1000);
        }
        Ok(())
    }

    /// A call is over; one that never counted changes nothing.
    pub fn ended(&self, call: Uuid) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let Used { calls, organizations } = &mut *used;
        let Some(organization) = calls.remove(&call) else { return };
        if let Some(usage) = organizations.get_mut(&organization) {
            usage.running = usage.running.saturating_sub(1);
        }
        // Who has not called for long is forgotten: its allowance is full again.
        organizations.retain(|_, usage| usage.running > 0 || usage.at.elapsed() < Duration::from_secs(60));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(calls: u32, calls_per_second: u32) -> CallLimits {
        let mut config = Config::default();
        (config.dial.calls, config.dial.calls_per_second) = (calls, calls_per_second);
        CallLimits::new(Arc::new(config))
    }

    fn organization() -> OrganizationId {
        OrganizationId(Uuid::now_v7())
    }

    #[test]
    fn one_call_too_many_is_refused_until_another_ends_and_others_are_not_concerned() {
        let limits = limits(2, 0);
        let (ours, theirs, now) = (organization(), organization(), Instant::now());
        let calls: Vec<Uuid> = (0..3).map(|_| Uuid::now_v7()).collect();
        assert_eq!(limits.admit_at(ours, calls[0], false, now), Ok(()));
        assert_eq!(limits.admit_at(ours, calls[1], false, now), Ok(()));
        assert_eq!(limits.admit_at(ours, calls[2], false, now), Err(LimitReached::Running(2)));
        assert_eq!(limits.admit_at(theirs, calls[2], false, now), Ok(()));
        limits.ended(calls[0]);
        limits.ended(calls[0]);
        assert_eq!(limits.admit_at(ours, Uuid::now_v7(), false, now), Ok(()));
        assert_eq!(limits.admit_at(ours, Uuid::now_v7(), false, now), Err(LimitReached::Running(2)));
    }

    #[test]
    fn a_second_brings_as_many_calls_as_it_may() {
        let limits = limits(0, 3);
        let (ours, now) = (organization(), Instant::now());
        let start = |at: Duration| limits.admit_at(ours, Uuid::now_v7(), false, now + at).is_ok();
        let started = (0..10).filter(|_| start(Duration::ZERO)).count();
        assert_eq!(started, 3);
        assert!(!start(Duration::from_millis(333)) && start(Duration::from_millis(334)));
        assert_eq!((0..10).filter(|_| start(Duration::from_secs(60))).count(), 3, "no more after a long pause");
    }

    #[test]
    fn somebody_in_need_meets_no_limit() {
        let limits = limits(1, 1);
        let (ours, now) = (organization(), Instant::now());
        for _ in 0..5 {
            assert_eq!(limits.admit_at(ours, Uuid::now_v7(), true, now), Ok(()));
        }
        assert!(limits.admit_at(ours, Uuid::now_v7(), false, now).is_err());
        assert_eq!(limits.admit(ours, Uuid::now_v7(), "112"), Ok(()));
    }

    #[test]
    fn calls_that_are_over_leave_nothing() {
        let limits = limits(0, 0);
        for _ in 0..100 {
            let call = Uuid::now_v7();
            assert_eq!(limits.admit(organization(), call, "+15550100"), Ok(()));
            limits.ended(call);
        }
        assert!(limits.used.lock().unwrap().calls.is_empty());
    }
}
