//! Audit of recordings that are played: each play is logged once, whatever byte range it begins with.
//!
//! ```text
//! read of a range ─▶ (listener, recording) played recently? ─ yes ─▶ continues
//!                                  └─ no ─▶ audit log ─▶ remembered for ten minutes
//! ```
//!
//! Invariants: audio is sent only after its play has been logged. A player that seeks creates no second entry. The table is
//! bounded; when it overflows, a play may be logged twice, but never not at all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::ledger::audit::{AuditLog, NotWritten};
use crate::store::{By, Deed, OrganizationId};

/// Time within which reads belong to one play.
const PLAY: Duration = Duration::from_secs(600);
/// Largest number of plays that are remembered.
const PLAYS_MAX: usize = 10_000;

/// Listener, and the id of the recorded call.
type Key = (String, Uuid);

/// Start of a play, and whether it has been logged.
struct Play {
    begun: Instant,
    written: Arc<OnceCell<()>>,
}

/// Table of recent plays.
#[derive(Default)]
pub(crate) struct PlayLog {
    plays: Mutex<HashMap<Key, Play>>,
}

impl PlayLog {
    /// Creates an empty table.
    pub(crate) fn new() -> PlayLog {
        PlayLog::default()
    }

    /// Records that `who` hears a part of a call's recording. Returns when the play is in the audit log.
    pub(crate) async fn record_play(
        &self,
        log: &AuditLog,
        (organization, by, who): (OrganizationId, By, String),
        call: Uuid,
        told: impl FnOnce(Deed) -> Deed,
    ) -> Result<(), NotWritten> {
        let written = self.play((who, call), Instant::now());
        let write = || log.append(organization, by, told(Deed::new("recording.read", format!("call:{call}"))));
        written.get_or_try_init(write).await?;
        Ok(())
    }

    /// Returns the play that a read at `now` belongs to. The first caller that finds it unlogged must log it.
    fn play(&self, key: Key, now: Instant) -> Arc<OnceCell<()>> {
        let mut plays = self.plays.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = |play: &Play| now.duration_since(play.begun) < PLAY;
        if let Some(play) = plays.get(&key).filter(|play| lately(play)) {
            return Arc::clone(&play.written);
        }
        if plays.len() >= PLAYS_MAX {
            plays.retain(|_, play| lately(play));
        }
        if plays.len() >= PLAYS_MAX {
            metrics::counter!("tandem_plays_forgotten_total").increment(plays.len() as u64);
            plays.clear();
        }
        let written = Arc::default();
        plays.insert(key, Play { begun: now, written: Arc::clone(&written) });
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_within_ten_minutes_are_one_play_of_one_listener() {
        let (plays, call, now) = (PlayLog::new(), Uuid::now_v7(), Instant::now());
        let first = plays.play(("user:a".into(), call), now);
        let again = plays.play(("user:a".into(), call), now + PLAY - Duration::from_millis(1));
        assert!(Arc::ptr_eq(&first, &again));
        for other in [
            plays.play(("user:b".into(), call), now),
            plays.play(("user:a".into(), Uuid::now_v7()), now),
            plays.play(("user:a".into(), call), now + PLAY),
        ] {
            assert!(!Arc::ptr_eq(&first, &other));
        }
    }

    #[test]
    fn the_table_stays_bounded() {
        let (plays, now) = (PlayLog::new(), Instant::now());
        for n in 0..PLAYS_MAX as u128 + 10 {
            plays.play(("user:a".into(), Uuid::from_u128(n)), now);
        }
        assert!(plays.plays.lock().unwrap().len() <= PLAYS_MAX);
    }
}
