//! How many calls one organization may have and start: what bounds the bill when an account is stolen.
//!
//! - Calls that its people and programs start count, and so does every leg that a transfer adds; calls that come in from
//!   carriers do not, but what is added to them does.
//! - Emergency calls meet none of these bounds, only generous ones of their own, so that no program keeps the emergency trunk
//!   busy.
//! - A call or leg that has ended gives its place back; what is held is one entry for each running call.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    calls: HashMap<Uuid, Running>,
    organizations: HashMap<OrganizationId, Usage>,
}

/// A call, and the places that it has in its organization's bounds.
#[derive(Debug)]
struct Running {
    organization: OrganizationId,
    places: Vec<Held>,
}

/// One place.
#[derive(Debug)]
struct Held {
    /// The leg that a transfer has added; `None`: the call itself.
    leg: Option<u64>,
    answered: bool,
    urgent: bool,
}

#[derive(Debug)]
struct Usage {
    running: u32,
    emergencies: u32,
    /// Calls that may start now, as of `at`.
    allowance: Allowance,
    urgent_allowance: Allowance,
    at: Instant,
}

/// Calls that may start now, in thousandths.
#[derive(Clone, Copy, Debug)]
struct Allowance(u64);

impl Allowance {
    fn full(most: u32) -> Allowance {
        Allowance(u64::from(most) * 1000)
    }

    /// Fills up by `most` calls in `span`.
    fn refill(&mut self, most: u32, span: Duration, passed: Duration) {
        let millis = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        let gained = millis.saturating_mul(u64::from(most)).saturating_mul(1000) / span.as_millis().max(1) as u64;
        self.0 = self.0.saturating_add(gained).min(Allowance::full(most).0);
    }

    fn is_used_up(self) -> bool {
        self.0 < 1000
    }

    fn take(&mut self) {
        self.0 = self.0.saturating_sub(1000);
    }
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
    /// Too many emergency calls at once.
    #[error("your organization has {0} emergency calls running, which is all it may have ([dial] emergency_calls)")]
    Emergencies(u32),
    /// Too many emergency calls in a minute.
    #[error("your organization may start {0} emergency calls a minute ([dial] emergency_calls_per_minute)")]
    EmergencyRate(u32),
}

impl LimitReached {
    fn word(self) -> &'static str {
        match self {
            LimitReached::Running(_) => "running",
            LimitReached::Rate(_) => "rate",
            LimitReached::Emergencies(_) => "emergencies",
            LimitReached::EmergencyRate(_) => "emergency_rate",
        }
    }
}

impl CallLimits {
    /// The bounds of this configuration; 0 there means none.
    pub fn new(config: Arc<Config>) -> CallLimits {
        CallLimits { config, used: Mutex::default() }
    }

    /// The configuration of the bounds.
    pub(crate) fn shared_config(&self) -> Arc<Config> {
        Arc::clone(&self.config)
    }

    /// The configuration that they follow.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Whether `call` to `to` may start; it then counts until [`CallLimits::ended`].
    ///
    /// # Errors
    /// Which bound it meets.
    pub fn admit(&self, organization: OrganizationId, call: Uuid, to: &str) -> Result<(), LimitReached> {
        let urgent = engine::is_emergency(&self.config, to);
        let admitted = self.admit_at(organization, call, urgent, Instant::now());
        told(admitted, organization, call)
    }

    /// A call that does not count: whose it is, for legs that are added to it.
    pub fn belongs(&self, organization: OrganizationId, call: Uuid) {
        self.used().calls.entry(call).or_insert(Running { organization, places: Vec::new() });
    }

    /// Whether a transfer may add a leg to a call; it then counts until [`CallLimits::leg_ended`]. Gives the call's organization;
    /// `None`: the call is not known, and nothing counts.
    ///
    /// # Errors
    /// Which bound it meets.
    pub fn admit_leg(&self, call: Uuid, leg: u64, urgent: bool) -> Result<Option<OrganizationId>, LimitReached> {
        self.admit_leg_at(call, leg, urgent, Instant::now())
    }

    fn admit_leg_at(
        &self,
        call: Uuid,
        leg: u64,
        urgent: bool,
        now: Instant,
    ) -> Result<Option<OrganizationId>, LimitReached> {
        let mut used = self.used();
        let Some(organization) = used.calls.get(&call).map(|running| running.organization) else { return Ok(None) };
        let place = Held { leg: Some(leg), answered: false, urgent };
        let admitted = used.take_place(&self.config, organization, call, place, now);
        drop(used);
        told(admitted, organization, call).map(|()| Some(organization))
    }

    fn admit_at(
        &self,
        organization: OrganizationId,
        call: Uuid,
        urgent: bool,
        now: Instant,
    ) -> Result<(), LimitReached> {
        let mut used = self.used();
        if used.calls.get(&call).is_some_and(|running| running.places.iter().any(|place| place.leg.is_none())) {
            return Ok(());
        }
        let place = Held { leg: None, answered: false, urgent };
        used.take_place(&self.config, organization, call, place, now)
    }

    /// A leg that a transfer has added was answered.
    pub fn leg_answered(&self, call: Uuid, leg: u64) {
        let mut used = self.used();
        let places = used.calls.get_mut(&call).map(|running| &mut running.places);
        for place in places.into_iter().flatten().filter(|place| place.leg == Some(leg)) {
            place.answered = true;
        }
    }

    /// A leg has ended; one that never counted changes nothing.
    pub fn leg_ended(&self, call: Uuid, leg: u64) {
        self.used().give_back(call, |place| place.leg == Some(leg));
    }

    /// A transfer of this call has failed: the leg that it added is gone.
    pub fn transfer_failed(&self, call: Uuid) {
        self.used().give_back(call, |place| place.leg.is_some() && !place.answered);
    }

    /// Every call that counts, or whose organization is known for legs that are added to it.
    pub(crate) fn calls(&self) -> Vec<Uuid> {
        self.used().calls.keys().copied().collect()
    }

    /// A call has ended; one that never counted changes nothing.
    pub fn ended(&self, call: Uuid) {
        let mut used = self.used();
        used.give_back(call, |_| true);
        used.calls.remove(&call);
        // Who has not called for long is forgotten: its allowance is full again.
        used.organizations.retain(|_, usage| usage.running > 0 || usage.at.elapsed() < Duration::from_secs(60));
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Used {
    fn take_place(
        &mut self,
        config: &Config,
        organization: OrganizationId,
        call: Uuid,
        place: Held,
        now: Instant,
    ) -> Result<(), LimitReached> {
        let dial = &config.dial;
        let (most, rate) = (dial.calls, dial.calls_per_second);
        let (urgent_most, urgent_rate) = (dial.emergency_calls, dial.emergency_calls_per_minute);
        let usage = self.organizations.entry(organization).or_insert_with(|| Usage {
            running: 0,
            emergencies: 0,
            allowance: Allowance::full(rate),
            urgent_allowance: Allowance::full(urgent_rate),
            at: now,
        });
        let passed = now.saturating_duration_since(usage.at);
        usage.allowance.refill(rate, Duration::from_secs(1), passed);
        usage.urgent_allowance.refill(urgent_rate, Duration::from_secs(60), passed);
        usage.at = now;
        let reached = match place.urgent {
            true if urgent_most > 0 && usage.emergencies >= urgent_most => {
                Some(LimitReached::Emergencies(usage.emergencies))
            }
            true if urgent_rate > 0 && usage.urgent_allowance.is_used_up() => {
                Some(LimitReached::EmergencyRate(urgent_rate))
            }
            false if most > 0 && usage.running >= most => Some(LimitReached::Running(usage.running)),
            false if rate > 0 && usage.allowance.is_used_up() => Some(LimitReached::Rate(rate)),
            _ => None,
        };
        if let Some(reached) = reached {
            return Err(reached);
        }
        usage.running += 1;
        usage.allowance.take();
        if place.urgent {
            usage.emergencies += 1;
            usage.urgent_allowance.take();
        }
        self.calls.entry(call).or_insert(Running { organization, places: Vec::new() }).places.push(place);
        Ok(())
    }

    fn give_back(&mut self, call: Uuid, is_over: impl Fn(&Held) -> bool) {
        let Some(running) = self.calls.get_mut(&call) else { return };
        let usage = self.organizations.get_mut(&running.organization);
        let over: Vec<Held> = running.places.extract_if(.., |place| is_over(place)).collect();
        let Some(usage) = usage else { return };
        usage.running = usage.running.saturating_sub(over.len() as u32);
        let urgent = over.iter().filter(|place| place.urgent).count();
        usage.emergencies = usage.emergencies.saturating_sub(urgent as u32);
    }
}

/// Tells a refusal by log and metric.
fn told(admitted: Result<(), LimitReached>, organization: OrganizationId, call: Uuid) -> Result<(), LimitReached> {
    if let Err(reached) = admitted {
        metrics::counter!("tandem_calls_limited_total", "limit" => reached.word()).increment(1);
        tracing::warn!(%call, %organization, %reached, "a call was refused");
    }
    admitted
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
    fn a_transfer_s_leg_counts_until_it_ends_also_in_a_call_that_came_in() {
        let limits = limits(2, 0);
        let (ours, now) = (organization(), Instant::now());
        let (came_in, made) = (Uuid::now_v7(), Uuid::now_v7());
        limits.belongs(ours, came_in);
        assert_eq!(limits.admit_at(ours, made, false, now), Ok(()));
        assert_eq!(limits.admit_leg_at(came_in, 7, false, now), Ok(Some(ours)));
        assert_eq!(limits.admit_leg_at(made, 8, false, now), Err(LimitReached::Running(2)));
        assert_eq!(limits.admit_leg_at(made, 9, true, now), Ok(Some(ours)), "nobody in need waits");
        limits.leg_ended(made, 9);
        limits.transfer_failed(came_in);
        assert_eq!(limits.admit_leg_at(made, 10, false, now), Ok(Some(ours)));
        limits.leg_answered(made, 10);
        limits.transfer_failed(made);
        assert_eq!(
            limits.admit_leg_at(came_in, 11, false, now),
            Err(LimitReached::Running(2)),
            "an answered leg stays"
        );
        limits.ended(made);
        assert_eq!(limits.admit_leg_at(came_in, 12, false, now), Ok(Some(ours)));
        assert_eq!(limits.admit_leg_at(Uuid::now_v7(), 13, false, now), Ok(None), "an unknown call");
    }

    #[test]
    fn emergency_calls_have_generous_bounds_of_their_own() {
        let mut config = Config::default();
        (config.dial.calls, config.dial.emergency_calls, config.dial.emergency_calls_per_minute) = (1, 2, 3);
        let limits = CallLimits::new(Arc::new(config));
        let (ours, theirs, now) = (organization(), organization(), Instant::now());
        let first = Uuid::now_v7();
        assert_eq!(limits.admit_at(ours, first, true, now), Ok(()));
        assert_eq!(limits.admit_at(ours, Uuid::now_v7(), true, now), Ok(()));
        assert_eq!(limits.admit_at(ours, Uuid::now_v7(), true, now), Err(LimitReached::Emergencies(2)));
        assert_eq!(limits.admit_at(theirs, Uuid::now_v7(), true, now), Ok(()), "others are not concerned");
        limits.ended(first);
        let third = Uuid::now_v7();
        assert_eq!(limits.admit_at(ours, third, true, now), Ok(()));
        limits.ended(third);
        assert_eq!(limits.admit_at(ours, Uuid::now_v7(), true, now), Err(LimitReached::EmergencyRate(3)));
        assert_eq!(limits.admit_at(ours, Uuid::now_v7(), true, now + Duration::from_secs(20)), Ok(()));
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
