//! Limits of the calls that one organization may have and start. They bound the bill if an account is stolen.
//!
//! - Calls that its people and programs start count, and so does every leg that a transfer adds. Calls from carriers do not
//!   count, but legs that are added to them do.
//! - Emergency calls are exempt from these limits. They have generous limits of their own, so that no program keeps the emergency
//!   trunk busy.
//! - A call or leg that has ended releases its place. One entry is held for each running call.

use crate::config::is_emergency;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::config::Config;
use crate::store::OrganizationId;

/// Limits of every organization, and their current use.
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

/// Running call, with the places that it takes.
#[derive(Debug)]
struct Running {
    organization: OrganizationId,
    places: Vec<Held>,
}

/// Place that a call or leg takes.
#[derive(Debug)]
struct Held {
    /// Leg that a transfer has added; `None` for the call itself.
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

/// Number of calls that may start now, in thousandths.
#[derive(Clone, Copy, Debug)]
struct Allowance(u64);

impl Allowance {
    fn full(most: u32) -> Allowance {
        Allowance(u64::from(most) * 1000)
    }

    /// Refills at a rate of `most` calls per `span`.
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

/// Limit that prevents a call from starting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitReached {
    /// There are too many simultaneous calls.
    #[error("your organization has {0} running calls, which is its limit; end one, or ask the operator ([dial] calls)")]
    Running(u32),
    /// Too many calls were started within a second.
    #[error("your organization may start {0} calls per second; try again in a second")]
    Rate(u32),
    /// There are too many simultaneous emergency calls.
    #[error("your organization has {0} running emergency calls, which is its limit ([dial] emergency_calls)")]
    Emergencies(u32),
    /// Too many emergency calls were started within a minute.
    #[error("your organization may start {0} emergency calls per minute ([dial] emergency_calls_per_minute)")]
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
    /// Creates the limits of this configuration, in which 0 means no limit.
    pub fn new(config: Arc<Config>) -> CallLimits {
        CallLimits { config, used: Mutex::default() }
    }

    /// Returns a shared reference to the configuration.
    pub(crate) fn shared_config(&self) -> Arc<Config> {
        Arc::clone(&self.config)
    }

    /// Returns the configuration of the limits.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Checks whether `call` to `to` may start. If so, it counts until [`CallLimits::ended`].
    ///
    /// # Errors
    /// Returns the limit that is reached; the caller may try again when another call has ended or a second has passed.
    pub fn admit(&self, organization: OrganizationId, call: Uuid, to: &str) -> Result<(), LimitReached> {
        let urgent = is_emergency(&self.config, to);
        let admitted = self.admit_at(organization, call, urgent, Instant::now());
        report_refusal(admitted, organization, call)
    }

    /// Registers a call that does not count, so that the organization is known for legs that are added to it.
    pub fn belongs(&self, organization: OrganizationId, call: Uuid) {
        self.used().calls.entry(call).or_insert(Running { organization, places: Vec::new() });
    }

    /// Checks whether a transfer may add a leg to a call. If so, it counts until [`CallLimits::leg_ended`]. Returns the call's
    /// organization, or `None` for an unknown call, which does not count.
    ///
    /// # Errors
    /// Returns the limit that is reached; the transfer should then fail.
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
        report_refusal(admitted, organization, call).map(|()| Some(organization))
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

    /// Records that a leg added by a transfer was answered.
    pub fn leg_answered(&self, call: Uuid, leg: u64) {
        let mut used = self.used();
        let places = used.calls.get_mut(&call).map(|running| &mut running.places);
        for place in places.into_iter().flatten().filter(|place| place.leg == Some(leg)) {
            place.answered = true;
        }
    }

    /// Releases the place of a leg that has ended. Legs that did not count are ignored.
    pub fn leg_ended(&self, call: Uuid, leg: u64) {
        self.used().give_back(call, |place| place.leg == Some(leg));
    }

    /// Releases the places of unanswered legs of this call, because its transfer has failed.
    pub fn transfer_failed(&self, call: Uuid) {
        self.used().give_back(call, |place| place.leg.is_some() && !place.answered);
    }

    /// Returns all calls that count or whose organization is known.
    pub(crate) fn calls(&self) -> Vec<Uuid> {
        self.used().calls.keys().copied().collect()
    }

    /// Releases the places of a call that has ended. Calls that did not count are ignored.
    pub fn ended(&self, call: Uuid) {
        let mut used = self.used();
        used.give_back(call, |_| true);
        used.calls.remove(&call);
        // Organizations without recent calls are removed; their allowance is full again.
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

/// Logs and counts a refusal, and returns the result unchanged.
fn report_refusal(
    admitted: Result<(), LimitReached>,
    organization: OrganizationId,
    call: Uuid,
) -> Result<(), LimitReached> {
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
    fn calls_over_the_limit_wait_for_an_end_and_other_organizations_are_unaffected() {
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
    fn the_allowance_refills_by_the_configured_rate_each_second() {
        let limits = limits(0, 3);
        let (ours, now) = (organization(), Instant::now());
        let start = |at: Duration| limits.admit_at(ours, Uuid::now_v7(), false, now + at).is_ok();
        let started = (0..10).filter(|_| start(Duration::ZERO)).count();
        assert_eq!(started, 3);
        assert!(!start(Duration::from_millis(333)) && start(Duration::from_millis(334)));
        assert_eq!((0..10).filter(|_| start(Duration::from_secs(60))).count(), 3, "no more after a long pause");
    }

    #[test]
    fn emergency_calls_are_exempt_from_the_ordinary_limits() {
        let limits = limits(1, 1);
        let (ours, now) = (organization(), Instant::now());
        for _ in 0..5 {
            assert_eq!(limits.admit_at(ours, Uuid::now_v7(), true, now), Ok(()));
        }
        assert!(limits.admit_at(ours, Uuid::now_v7(), false, now).is_err());
        assert_eq!(limits.admit(ours, Uuid::now_v7(), "112"), Ok(()));
    }

    #[test]
    fn a_leg_of_a_transfer_counts_until_it_ends_even_in_an_incoming_call() {
        let limits = limits(2, 0);
        let (ours, now) = (organization(), Instant::now());
        let (came_in, made) = (Uuid::now_v7(), Uuid::now_v7());
        limits.belongs(ours, came_in);
        assert_eq!(limits.admit_at(ours, made, false, now), Ok(()));
        assert_eq!(limits.admit_leg_at(came_in, 7, false, now), Ok(Some(ours)));
        assert_eq!(limits.admit_leg_at(made, 8, false, now), Err(LimitReached::Running(2)));
        assert_eq!(limits.admit_leg_at(made, 9, true, now), Ok(Some(ours)), "emergency calls are exempt");
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
    fn emergency_calls_have_generous_limits_of_their_own() {
        let mut config = Config::default();
        (config.dial.calls, config.dial.emergency_calls, config.dial.emergency_calls_per_minute) = (1, 2, 3);
        let limits = CallLimits::new(Arc::new(config));
        let (ours, theirs, now) = (organization(), organization(), Instant::now());
        let first = Uuid::now_v7();
        assert_eq!(limits.admit_at(ours, first, true, now), Ok(()));
        assert_eq!(limits.admit_at(ours, Uuid::now_v7(), true, now), Ok(()));
        assert_eq!(limits.admit_at(ours, Uuid::now_v7(), true, now), Err(LimitReached::Emergencies(2)));
        assert_eq!(limits.admit_at(theirs, Uuid::now_v7(), true, now), Ok(()), "other organizations are unaffected");
        limits.ended(first);
        let third = Uuid::now_v7();
        assert_eq!(limits.admit_at(ours, third, true, now), Ok(()));
        limits.ended(third);
        assert_eq!(limits.admit_at(ours, Uuid::now_v7(), true, now), Err(LimitReached::EmergencyRate(3)));
        assert_eq!(limits.admit_at(ours, Uuid::now_v7(), true, now + Duration::from_secs(20)), Ok(()));
    }

    #[test]
    fn ended_calls_leave_no_entries() {
        let limits = limits(0, 0);
        for _ in 0..100 {
            let call = Uuid::now_v7();
            assert_eq!(limits.admit(organization(), call, "+15550100"), Ok(()));
            limits.ended(call);
        }
        assert!(limits.used.lock().unwrap().calls.is_empty());
    }
}
