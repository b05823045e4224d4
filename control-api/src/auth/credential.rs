//! What a key or a session stands for, remembered for a moment, so that not every request asks the store.
//!
//! Invariants: nothing older than two seconds is believed; the table is bounded; a change made by this process empties it;
//! what was looked up before such a change is not remembered after it. What is unknown is never remembered.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use uuid::Uuid;

use super::Person;
use crate::rbac::Action;
use crate::store::{OrganizationId, Store, StoreError, now};

/// For how long a look-up is believed.
const FRESH: Duration = Duration::from_secs(2);
/// Look-ups remembered.
const ENTRIES_MAX: usize = 10_000;
/// For how long it is remembered that a credential was good.
const GOOD_FOR: Duration = Duration::from_secs(3600);

/// What a key or session stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credential {
    pub(super) organization: OrganizationId,
    pub(super) organization_name: String,
    /// Limits that the organization set itself.
    pub(super) limits: BTreeMap<String, u32>,
    pub(super) holder: Holder,
    pub(super) expires_at: Option<Timestamp>,
}

/// Who holds a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    Person(Box<Person>),
    Key(KeyInfo),
}

/// The key that is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Identity.
    pub id: Uuid,
    /// What it is for.
    pub name: String,
    /// What it may do; nothing: all that a key may.
    pub scopes: Option<Vec<Action>>,
}

/// Which kind of credential a request shows. One is never taken for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Session,
    Key,
}

/// What was found by kind and hash, and when.
type Entries = HashMap<(Kind, String), (Arc<Credential>, Instant)>;

/// Look-ups of the last two seconds.
#[derive(Debug, Default)]
pub struct Credentials {
    entries: Mutex<Entries>,
    /// Credentials that were valid within the last hour, and when: they are looked up even while their address is refused for
    /// guessing. They prove nothing by themselves.
    good: Mutex<HashMap<(Kind, String), Instant>>,
    /// Counts how often everything was forgotten.
    generation: AtomicU64,
}

impl Credentials {
    /// Nothing remembered yet.
    pub fn new() -> Credentials {
        Credentials::default()
    }

    /// Forgets everything: somebody's rights have changed.
    pub fn forget(&self) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        self.generation.fetch_add(1, Ordering::AcqRel);
        entries.clear();
    }

    /// What the credential with this hash stands for; nothing when it is unknown, revoked or over.
    pub(crate) async fn find(
        &self,
        store: &Store,
        kind: Kind,
        hash: &str,
    ) -> Result<Option<Arc<Credential>>, StoreError> {
        let key = (kind, hash.to_owned());
        let found = match self.remembered(&key) {
            Some(found) => found,
            None => {
                let generation = self.generation.load(Ordering::Acquire);
                let Some(found) = look_up(store, kind, hash).await? else { return Ok(None) };
                let found = Arc::new(found);
                self.note_good(&key);
                self.remember(key, &found, generation);
                found
            }
        };
        Ok(Some(found).filter(|found| found.expires_at.is_none_or(|end| end > now())))
    }

    /// Whether the credential with this hash was good within the last hour.
    pub(crate) fn was_good(&self, kind: Kind, hash: &str) -> bool {
        let good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        good.get(&(kind, hash.to_owned())).is_some_and(|at| at.elapsed() < GOOD_FOR)
    }

    fn note_good(&self, key: &(Kind, String)) {
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        if good.len() >= ENTRIES_MAX && !good.contains_key(key) {
            good.retain(|_, at| at.elapsed() < GOOD_FOR);
        }
        if good.len() < ENTRIES_MAX || good.contains_key(key) {
            good.insert(key.clone(), Instant::now());
        }
    }

    fn remembered(&self, key: &(Kind, String)) -> Option<Arc<Credential>> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let (found, at) = entries.get(key)?;
        (at.elapsed() < FRESH).then(|| Arc::clone(found))
    }

    fn remember(&self, key: (Kind, String), found: &Arc<Credential>, generation: u64) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if self.generation.load(Ordering::Acquire) != generation {
            return;
        }
        if entries.len() >= ENTRIES_MAX {
            entries.retain(|_, (_, at)| at.elapsed() < FRESH);
        }
        if entries.len() >= ENTRIES_MAX {
            entries.clear();
        }
        entries.insert(key, (Arc::clone(found), Instant::now()));
    }
}

async fn look_up(store: &Store, kind: Kind, hash: &str) -> Result<Option<Credential>, StoreError> {
    let (organization, holder, expires_at) = match kind {
        Kind::Session => {
            let Some(session) = store.session_by_hash(hash).await? else { return Ok(None) };
            let expires_at = Some(session.expires_at);
            let membership = &session.membership;
            let (organization, user, sip_name) =
                (membership.organization, membership.user, membership.sip_name.clone());
            (organization, Holder::Person(Box::new(Person { user, sip_name, session })), expires_at)
        }
        Kind::Key => {
            let Some(key) = store.api_key_by_hash(hash).await? else { return Ok(None) };
            // A scope that this version does not know permits nothing.
            let scopes = key.scopes.map(|words| words.iter().filter_map(|word| Action::from_word(word)).collect());
            (key.organization, Holder::Key(KeyInfo { id: key.id, name: key.name, scopes }), key.expires_at)
        }
    };
    let Some(organization) = store.organization_settings(organization).await? else { return Ok(None) };
    Ok(Some(Credential {
        organization: organization.id,
        organization_name: organization.name,
        limits: organization.limits,
        holder,
        expires_at,
    }))
}
