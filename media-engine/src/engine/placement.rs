//! The worker of each user's calls: a transfer that merges two of them needs both on one worker.
//!
//! Invariant: an entry lives as long as a leg of the user. Not here: trunks, whose calls are spread over all workers.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use crate::sip::Source;
use crate::worker::Worker;

/// Worker index and number of legs by user.
#[derive(Debug, Default)]
pub(super) struct UserWorkers(DashMap<String, (usize, usize)>);

impl UserWorkers {
    /// Returns the index of the worker that a user's calls are on.
    pub(super) fn of(&self, user: &str) -> Option<usize> {
        self.0.get(user).map(|home| home.0)
    }

    /// Registers a leg of `owner` on this worker. The user's first leg decides where further calls go.
    pub(super) fn claim(user_workers: &Arc<UserWorkers>, owner: Source, worker: &Worker) -> Claim {
        if let Source::User(user) = &owner {
            user_workers.0.entry(user.clone()).or_insert((worker.index(), 0)).1 += 1;
        }
        Claim { owner, user_workers: user_workers.clone() }
    }
}

/// The owner of a leg; dropping it releases the entry.
#[derive(Debug)]
pub(super) struct Claim {
    owner: Source,
    user_workers: Arc<UserWorkers>,
}

impl Claim {
    pub(super) fn owner(&self) -> &Source {
        &self.owner
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let Source::User(user) = &self.owner else { return };
        if let Entry::Occupied(mut home) = self.user_workers.0.entry(user.clone()) {
            home.get_mut().1 = home.get().1.saturating_sub(1);
            if home.get().1 == 0 {
                home.remove();
            }
        }
    }
}
