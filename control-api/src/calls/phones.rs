//! Right to use phones, and its revocation. SIP passwords are independent of sessions, so they are revoked when their owner loses
//! the right to call.
//!
//! ```text
//! webrtc/token ─▶ password in the engine, one hour       member removed, role without calls.dial, new account password,
//!                                    ▲                  key revoked ─┐
//!                                    └──────── CredentialEnd ◀───────┘
//! ```
//!
//! Invariants: calls in progress continue. A password that is issued while the right ends does not outlive it, because the right
//! is checked again after issuing. The table of passwords issued to keys is bounded.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use uuid::Uuid;

use crate::engine::{Command, Engine};
use crate::store::{Membership, Role, Store, StoreError, UserId};
use crate::tenant::rbac::{self, Action};

/// Largest number of passwords issued to keys that are remembered: more than the agents of one machine.
const GIVEN_MAX: usize = 10_000;

/// Passwords of agents that were issued to keys, with their expiry.
#[derive(Default)]
pub(crate) struct Phones {
    given: Mutex<HashMap<(Uuid, String), Instant>>,
}

/// Returns whether a role may use a phone.
pub(crate) fn may_call(role: Role) -> bool {
    rbac::actions(role).contains(&Action::CallsDial)
}

/// Revokes the SIP passwords and registrations of these members. A client that disconnects does not stop this.
pub(crate) async fn end(engine: &Engine, names: Vec<String>) {
    let engine = engine.clone();
    let ended = tokio::spawn(async move {
        for user in names {
            tracing::info!(agent = user, "revoking the agent's SIP password and registrations");
            if let Err(error) = engine.command(Command::CredentialEnd { user }).await {
                tracing::error!(%error, "cannot revoke an agent's SIP password; it is valid until it expires");
            }
        }
    });
    if ended.await.is_err() {
        tracing::error!("cannot revoke SIP passwords");
    }
}

/// Does the same for a user in every organization.
pub(crate) async fn end_of(engine: &Engine, store: &Store, user: UserId) -> Result<(), StoreError> {
    let memberships = store.membership_list(user).await?;
    end(engine, memberships.into_iter().map(|Membership { sip_name, .. }| sip_name).collect()).await;
    Ok(())
}

impl Phones {
    /// Records that an agent's password was issued to a key.
    pub(crate) fn record_given(&self, key: Uuid, agent: &str, until: Instant) {
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

    /// Returns the agents whose passwords were issued to a key and are still valid, and removes them from the table.
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
    fn passwords_of_a_key_are_known_while_they_are_valid() {
        let (phones, key, other) = (Phones::default(), Uuid::now_v7(), Uuid::now_v7());
        let later = Instant::now() + Duration::from_secs(60);
        phones.record_given(key, "anna", later);
        phones.record_given(key, "ben", Instant::now());
        phones.record_given(other, "carl", later);
        assert_eq!(phones.of_key(key), ["anna"]);
        assert_eq!(phones.of_key(key), Vec::<String>::new());
        assert_eq!(phones.of_key(other), ["carl"]);
    }

    #[test]
    fn the_table_stays_bounded() {
        let (phones, key, now) = (Phones::default(), Uuid::now_v7(), Instant::now() + Duration::from_secs(60));
        for n in 0..GIVEN_MAX as u64 + 5 {
            phones.record_given(key, &n.to_string(), now + Duration::from_millis(n));
        }
        let kept = phones.of_key(key);
        assert_eq!(kept.len(), GIVEN_MAX);
        assert!(!kept.contains(&"0".to_owned()), "the first to expire is removed first");
    }
}
