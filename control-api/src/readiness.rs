//! Whether store and engine serve, looked at rarely however often it is asked: anybody may ask.
//!
//! Ten looks a second are made; further questions get the last answer. Questions that come during a look wait for it and
//! share its answer.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::engine::{Command, CommandError};
use crate::state::AppState;

/// Store and engine answer within this, or they do not serve.
const ANSWER: Duration = Duration::from_secs(2);
/// Looks that may be made within a second.
const LOOKS: u32 = 10;

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The database answers.
    pub(crate) store: bool,
    /// The engine with its SIP listeners answers.
    pub(crate) listeners: bool,
}

/// The latest looks.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Option<Looks>>);

#[derive(Clone, Copy, Debug)]
struct Looks {
    seen: Seen,
    at: Instant,
    /// The second in which looks are counted.
    since: Instant,
    count: u32,
}

impl Readiness {
    /// What is seen now, or was a moment ago.
    pub(crate) async fn look(&self, state: &AppState) -> Seen {
        let asked = Instant::now();
        let mut looks = self.0.lock().await;
        let now = Instant::now();
        let counted = looks.filter(|looks| now.duration_since(looks.since) < Duration::from_secs(1));
        if let Some(last) = *looks
            && (last.at >= asked || counted.is_some_and(|looks| looks.count >= LOOKS))
        {
            return last.seen;
        }
        let seen = look(state).await;
        let (since, count) = counted.map_or((now, 1), |looks| (looks.since, looks.count + 1));
        *looks = Some(Looks { seen, at: Instant::now(), since, count });
        seen
    }
}

async fn look(state: &AppState) -> Seen {
    let store = async { matches!(timeout(ANSWER, state.store.ping()).await, Ok(Ok(()))) };
    let listeners = async {
        let answer = timeout(ANSWER, state.engine.command(Command::Trunks)).await;
        answer.is_ok_and(|answer| !matches!(answer, Err(CommandError::Stopped)))
    };
    let (store, listeners) = tokio::join!(store, listeners);
    Seen { store, listeners }
}
