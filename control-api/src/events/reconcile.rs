//! Compares the limits' counts with the running calls, so that a call whose end was lost does not keep its place.
//!
//! A call counts before the engine has it, because a request is written to the store first. A call that was never seen running is
//! therefore given more time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::calls::limits::CallLimits;
use crate::engine::{Command, Engine, Reply, call_uuid};

/// Interval at which the engine is asked.
const LOOK: Duration = Duration::from_secs(5);
/// Time in which the engine must answer; otherwise the look is skipped.
const ANSWER: Duration = Duration::from_secs(2);
/// Time after which a counted call that was never seen running is considered ended. No request takes that long to start a call.
const UNSEEN: Duration = Duration::from_secs(60);

/// Releases the places of ended calls. Runs for ever.
pub(super) async fn reconcile(engine: Engine, limits: Arc<CallLimits>) {
    let mut look = tokio::time::interval_at(Instant::now() + LOOK, LOOK);
    let mut counted = Counted::default();
    loop {
        look.tick().await;
        let asked = Instant::now();
        let Ok(Ok(Reply::Calls(running))) = timeout(ANSWER, engine.command(Command::Calls)).await else { continue };
        let running = running.into_iter().map(call_uuid).collect();
        for call in counted.lost(&limits.calls(), &running, asked) {
            metrics::counter!("tandem_call_places_freed_total").increment(1);
            tracing::warn!(%call, "a call that is no longer running was still counted; its place has been released");
            limits.ended(call);
        }
    }
}

/// State of each counted call at the last look.
#[derive(Debug, Default)]
struct Counted(HashMap<Uuid, Seen>);

#[derive(Clone, Copy, Debug)]
enum Seen {
    /// The call was running.
    Running,
    /// The call had been running but was not at the last look. Its end may be on its way.
    Gone,
    /// The call has been counted since then and was never seen running.
    Never(Instant),
}

impl Counted {
    /// Returns the counted calls that have ended: not running at two looks, or never seen running for a long time.
    fn lost(&mut self, counting: &[Uuid], running: &HashSet<Uuid>, now: Instant) -> Vec<Uuid> {
        let mut lost = Vec::new();
        let mut next = HashMap::with_capacity(counting.len());
        for call in counting {
            let seen = match self.0.get(call) {
                _ if running.contains(call) => Seen::Running,
                None => Seen::Never(now),
                Some(Seen::Running) => Seen::Gone,
                Some(Seen::Never(since)) if now.saturating_duration_since(*since) < UNSEEN => Seen::Never(*since),
                Some(Seen::Gone | Seen::Never(_)) => {
                    lost.push(*call);
                    continue;
                }
            };
            next.insert(*call, seen);
        }
        self.0 = next;
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::engine::{Envelope, call_id};
    use crate::store::OrganizationId;

    #[test]
    fn calls_are_ended_when_missing_at_two_looks_or_unseen_for_a_minute() {
        let (mut counted, begin) = (Counted::default(), Instant::now());
        let [ran, starts] = [Uuid::now_v7(), Uuid::now_v7()];
        let none = HashSet::new();
        let mut look = |counting: &[Uuid], running: &HashSet<Uuid>, after: u64| {
            counted.lost(counting, running, begin + Duration::from_secs(after))
        };
        let nothing: [Uuid; 0] = [];
        assert_eq!(look(&[ran, starts], &HashSet::from([ran]), 0), nothing);
        assert_eq!(look(&[ran, starts], &none, 5), nothing, "its end may be on its way");
        assert_eq!(look(&[ran, starts], &none, 10), [ran]);
        assert_eq!(look(&[starts], &none, 59), nothing);
        assert_eq!(look(&[starts], &none, 60), [starts]);
        // The call runs after all, and again after a look at which it did not.
        for after in [100, 150, 210, 215] {
            let running = if after == 210 { none.clone() } else { HashSet::from([starts]) };
            assert_eq!(look(&[starts], &running, after), nothing);
        }
        assert_eq!(look(&[], &none, 300), nothing);
        assert!(counted.0.is_empty(), "calls that are not counted are removed");
    }

    #[tokio::test(start_paused = true)]
    async fn places_of_calls_whose_end_was_lost_are_released() {
        let mut config = Config::default();
        config.dial.calls = 2;
        let limits = Arc::new(CallLimits::new(Arc::new(config)));
        let (ours, runs) = (OrganizationId(Uuid::now_v7()), Uuid::now_v7());
        limits.admit(ours, runs, "+15550100").unwrap();
        limits.admit(ours, Uuid::now_v7(), "+15550100").unwrap();
        assert!(limits.admit(ours, Uuid::now_v7(), "+15550100").is_err());
        let (engine, mut inbox) = Engine::pair(8);
        let answer = async {
            while let Some(Envelope { command: Command::Calls, reply, .. }) = inbox.recv().await {
                reply.send(Ok(Reply::Calls(vec![call_id(runs)]))).unwrap();
                if limits.calls() == [runs] {
                    return;
                }
            }
        };
        tokio::select! {
            () = reconcile(engine, Arc::clone(&limits)) => {}
            answered = timeout(Duration::from_secs(120), answer) => answered.expect("the place is released"),
        }
        assert_eq!(limits.admit(ours, Uuid::now_v7(), "+15550100"), Ok(()));
        assert!(limits.admit(ours, Uuid::now_v7(), "+15550100").is_err(), "the running call still counts");
    }
}
