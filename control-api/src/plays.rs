//! Plays of recordings: each is written down once in the audit log, whichever bytes it begins with.
//!
//! ```text
//! read of a range ─▶ (who, recording) played lately? ─ yes ─▶ goes on
//!                                  └─ no ─▶ audit log ─▶ remembered for ten minutes
//! ```
//!
//! Invariants: nothing is heard whose play is not written down; a player that seeks writes no second row; the table is
//! bounded, and when it overflows rather a play is written twice than not at all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::audit::{AuditLog, NotWritten};
use crate::store::{By, Deed, OrganizationId};

/// Reads within this belong to one play.
const PLAY: Duration = Duration::from_secs(600);
/// Plays remembered.
const PLAYS_MAX: usize = 10_000;

/// Who plays, and the call that was recorded.
type Key = (String, Uuid);

/// Begun at, and whether its row is written.
struct Play {
    begun: Instant,
    written: Arc<OnceCell<()>>,
}

/// What is being played.
#[derive(Default)]
pub(crate) struct Plays {
    plays: Mutex<HashMap<Key, Play>>,
}

impl Plays {
    /// Nothing is being played.
    pub(crate) fn new() -> Plays {
        Plays::default()
    }

    /// `who` hears some of a call's recording: returns when it stands in the log, now or since the play began.
    pub(crate) async fn heard(
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

    /// The play that a read at `now` belongs to. Its row is written by the first that finds it unwritten.
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
        let (plays, call, now) = (Plays::new(), Uuid::now_v7(), Instant::now());
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
        let (plays, now) = (Plays::new(), Instant::now());
        for n in 0..PLAYS_MAX as u128 + 10 {
            plays.play(("user:a".into(), Uuid::from_u128(n)), now);
        }
        assert!(plays.plays.lock().unwrap().len() <= PLAYS_MAX);
    }
}
