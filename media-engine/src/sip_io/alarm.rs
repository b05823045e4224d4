//! Waiting for a deadline that may be absent, and may change.

use std::future::pending;
use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::time::Sleep;

/// Wakes the owner for the endpoint's timers. Their next deadline changes with every message, mostly to a later one:
/// then the timer is not set anew, and the alarm may ring once too early.
pub(super) struct Alarm {
    sleep: Pin<Box<Sleep>>,
    /// Time for which it is set.
    set: Option<Instant>,
}

impl Alarm {
    pub(super) fn new() -> Alarm {
        Alarm { sleep: Box::pin(tokio::time::sleep(Duration::ZERO)), set: None }
    }

    /// Rings at `deadline` at the latest; without one it never rings. It is cancel-safe: a later call continues the
    /// wait.
    pub(super) async fn ring(&mut self, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return pending().await };
        if self.set.is_none_or(|set| deadline < set) {
            self.sleep.as_mut().reset(deadline.into());
            self.set = Some(deadline);
        }
        self.sleep.as_mut().await;
        self.set = None;
    }
}

/// Sleeps until `deadline`, or for ever without one.
pub(super) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_alarm_rings_at_the_earlier_time_and_once_too_early_for_a_later_one() {
        let start = tokio::time::Instant::now().into_std();
        let at = |seconds| Some(start + Duration::from_secs(seconds));
        let passed = || tokio::time::Instant::now().into_std().saturating_duration_since(start).as_secs();
        let mut alarm = Alarm::new();
        // Cancelled each time before it rings, as by an owner that another input has woken.
        for deadline in [at(60), at(20), at(40), None] {
            let waited = tokio::time::timeout(Duration::from_secs(1), alarm.ring(deadline)).await;
            assert!(waited.is_err(), "{deadline:?}");
        }
        alarm.ring(at(40)).await;
        assert_eq!(passed(), 20, "that was set before");
        alarm.ring(at(40)).await;
        assert_eq!(passed(), 40);
    }
}
