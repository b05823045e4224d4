//! Who may use a telephone here, and the end of it: SIP passwords live on their own, so whoever loses the right to call has
//! them taken away.
//!
//! ```text
//! webrtc/token ─▶ password in the engine, an hour       member removed, role without calls.dial, new account password,
//!                                    ▲                  key revoked ─┐
//!                                    └──────── CredentialEnd ◀───────┘
//! ```
//!
//! Invariants: calls that run go on; a password that is given out while the right ends does not outlive it, because the right
//! is looked at again after it was given. The table of what keys have asked for is bounded.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use uuid::Uuid;

use crate::engine::{Command, Engine};
use crate::rbac::{self, Action};
use crate::store::{Membership, Role, Store, StoreError, UserId};

/// Passwords remembered that keys have asked for: more than one machine's agents.
const GIVEN_MAX: usize = 10_000;

/// Which agents' passwords were given to which key, and until when they are good.
#[derive(Default)]
pub(crate) struct Phones {
    given: Mutex<HashMap<(Uuid, String), Instant>>,
}

/// Whether a role may use a telephone.
pub(crate) fn may_call(role: Role) -> bool {
    rbac::actions(role).contains(&Action::CallsDial)
}

/// Ends these members' SIP passwords and registrations; a client that goes away does not stop it.
pub(crate) async fn end(engine: &Engine, names: Vec<String>) {
    let engine = engine.clone();
    let ended = tokio::spawn(async move {
        for user in names {
            tracing::info!(agent = user, "the agent's SIP password and registrations end");
            if let Err(error) = engine.command(Command::CredentialEnd { user }).await {
                tracing::error!(%error, "an agent's SIP password is good until it expires");
            }
        }
    });
    if ended.await.is_err() {
        tracing::error!("SIP passwords could not be ended");
    }
}

/// The same for a person, in every organization.
pub(crate) async fn end_of(engine: &Engine, store: &Store, user: UserId) -> Result<(), StoreError> {
    let memberships = store.membership_list(user).await?;
    end(engine, memberships.into_iter().map(|Membership { sip_name, .. }| sip_name).collect()).await;
    Ok(())
}

impl Phones {
    /// A key was given an agent's password.
    pub(crate) fn given(&self, key: Uuid, agent: &str, until: Instant) {
        let mut given = self.table();
        if given.len() >= GIVEN_MAX {
            let now = Instant::now();
            given.retain(|_, until| *until > now);
        }
        if given.len() >= GIVEN_MAX
            && let Some(first) = given.iter().min_by_key(|(_, until)| **until).map(|(first, _)| first.clone())
        {
            metrics::counter!("tandem_phones_forgotten_total").increment(1);
            given.remove(&first);
        }
        given.insert((key, agent.to_owned()), until);
    }

    /// The agents whose passwords a key was given and that are good still; they are forgotten here.
    pub(crate) fn of_key(&self, key: Uuid) -> Vec<String> {
        let now = Instant::now();
        let mine = self.table().extract_if(|(holder, _), _| *holder == key).collect::<Vec<_>>();
        mine.into_iter().filter(|(_, until)| *until > now).map(|((_, agent), _)| agent).collect()
    }

    fn table(&self) -> MutexGuard<'_, HashMap<(Uuid, String), Instant>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_key_s_passwords_are_known_while_they_are_good() {
        let (phones, key, other) = (Phones::default(), Uuid::now_v7(), Uuid::now_v7());
        let later = Instant::now() + Duration::from_secs(60);
        phones.given(key, "anna", later);
        phones.given(key, "ben", Instant::now());
        phones.given(other, "carl", later);
        assert_eq!(phones.of_key(key), ["anna"]);
        assert_eq!(phones.of_key(key), Vec::<String>::new());
        assert_eq!(phones.of_key(other), ["carl"]);
    }

    #[test]
    fn the_table_stays_bounded() {
        let (phones, key, now) = (Phones::default(), Uuid::now_v7(), Instant::now() + Duration::from_secs(60));
        for n in 0..GIVEN_MAX as u64 + 5 {
            phones.given(key, &n.to_string(), now + Duration::from_millis(n));
        }
        let kept = phones.of_key(key);
        assert_eq!(kept.len(), GIVEN_MAX);
        assert!(!kept.contains(&"0".to_owned()), "the first to end goes first");
    }
}
