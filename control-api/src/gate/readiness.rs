//! Readiness of store and engine. Everybody may ask, so the checks are limited however often requests arrive.
//!
//! At most ten checks are made per second; further requests get the last result. Requests during a check wait for it and share
//! its result.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::engine::{Command, CommandError, Engine};
use crate::store::Store;

/// Time in which store and engine must answer to be ready.
const ANSWER: Duration = Duration::from_secs(2);
/// Largest number of checks per second.
const LOOKS: u32 = 10;

/// Result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Whether the database answers.
    pub(crate) store: bool,
    /// Whether the engine with its SIP listeners answers.
    pub(crate) listeners: bool,
}

/// Latest checks and their result.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Option<Looks>>);

#[derive(Clone, Copy, Debug)]
struct Looks {
    seen: Seen,
    at: Instant,
    /// Start of the second in which checks are counted.
    since: Instant,
    count: u32,
}

impl Readiness {
    /// Returns the current result, or one of a moment ago.
    pub(crate) async fn look(&self, store: &Store, engine: &Engine) -> Seen {
        let asked = Instant::now();
        let mut looks = self.0.lock().await;
        let now = Instant::now();
        let counted = looks.filter(|looks| now.duration_since(looks.since) < Duration::from_secs(1));
        if let Some(last) = *looks
            && (last.at >= asked || counted.is_some_and(|looks| looks.count >= LOOKS))
        {
            return last.seen;
        }
        let seen = look(store, engine).await;
        let (since, count) = counted.map_or((now, 1), |looks| (looks.since, looks.count + 1));
        *looks = Some(Looks { seen, at: Instant::now(), since, count });
        seen
    }
}

async fn look(store: &Store, engine: &Engine) -> Seen {
    let store = async { matches!(timeout(ANSWER, store.ping()).await, Ok(Ok(()))) };
    let listeners = async {
        let answer = timeout(ANSWER, engine.command(Command::Trunks)).await;
        answer.is_ok_and(|answer| !matches!(answer, Err(CommandError::Stopped)))
    };
    let (store, listeners) = tokio::join!(store, listeners);
    Seen { store, listeners }
}
