//! Holds the organizations' limits against what runs: a call whose end was never heard of keeps no place.
//!
//! A call counts before the engine has it (a request writes it down first), so that one that was never seen running is given
//! more time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::call_limits::CallLimits;
use crate::engine::{Command, Engine, Reply, call_uuid};

/// How often the engine is asked.
const LOOK: Duration = Duration::from_secs(5);
/// It answers within this, or at the next look.
const ANSWER: Duration = Duration::from_secs(2);
/// A call that counts but was never seen running is over after this: longer than any request takes to start one.
const UNSEEN: Duration = Duration::from_secs(60);

/// Runs for ever.
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
            tracing::warn!(%call, "a call that does not run any more still counted; its place is free");
            limits.ended(call);
        }
    }
}

/// How each call that counts was seen at the last look.
#[derive(Debug, Default)]
struct Counted(HashMap<Uuid, Seen>);

#[derive(Clone, Copy, Debug)]
enum Seen {
    /// It ran at the last look.
    Running,
    /// It ran, and did not at the last look; its end may be on its way.
    Gone,
    /// It has counted since, and was never seen running.
    Never(Instant),
}

impl Counted {
    /// Which of the calls that count have ended: gone at two looks, or never seen for long.
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
    fn a_call_that_ran_is_over_at_the_second_look_and_one_that_never_ran_after_a_minute() {
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
        // It runs after all, and again after a look at which it did not.
        for after in [100, 150, 210, 215] {
            let running = if after == 210 { none.clone() } else { HashSet::from([starts]) };
            assert_eq!(look(&[starts], &running, after), nothing);
        }
        assert_eq!(look(&[], &none, 300), nothing);
        assert!(counted.0.is_empty(), "what does not count is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn places_of_calls_whose_end_was_lost_are_free_again() {
        let mut config = Config::default();
        config.dial.calls = 2;
        let limits = Arc::new(CallLimits::new(Arc::new(config)));
        let (ours, runs) = (OrganizationId(Uuid::now_v7()), Uuid::now_v7());
        limits.admit(ours, runs, "+15550100").unwrap();
        limits.admit(ours, Uuid::now_v7(), "+15550100").unwrap();
        assert!(limits.admit(ours, Uuid::now_v7(), "+15550100").is_err());
        let (engine, mut inbox) = Engine::pair(8);
        let answer = async {
            while let Some(Envelope { command: Command::Calls, reply }) = inbox.recv().await {
                reply.send(Ok(Reply::Calls(vec![call_id(runs)]))).unwrap();
                if limits.calls() == [runs] {
                    return;
                }
            }
        };
        tokio::select! {
            () = reconcile(engine, Arc::clone(&limits)) => {}
            answered = timeout(Duration::from_secs(120), answer) => answered.expect("the place is free"),
        }
        assert_eq!(limits.admit(ours, Uuid::now_v7(), "+15550100"), Ok(()));
        assert!(limits.admit(ours, Uuid::now_v7(), "+15550100").is_err(), "the call that runs still counts");
    }
}
