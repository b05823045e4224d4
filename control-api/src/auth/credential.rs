//! Cache of valid keys and sessions, so that not every request reads the store.
//!
//! Invariants: an entry is used for at most two seconds. The table is bounded. A change made by this process empties it, and a
//! look-up that began before such a change is not cached. Unknown credentials are never cached.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use uuid::Uuid;

use super::Person;
use crate::store::{OrganizationId, Store, StoreError, now};
use crate::tenant::rbac::Action;

/// Time for which a look-up is used.
const FRESH: Duration = Duration::from_secs(2);
/// Largest number of cached look-ups.
const ENTRIES_MAX: usize = 10_000;
/// Time for which a credential is remembered as having been valid.
const GOOD_FOR: Duration = Duration::from_secs(3600);

/// Organization and holder of a valid key or session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credential {
    pub(super) organization: OrganizationId,
    pub(super) organization_name: String,
    /// Limits that the organization has set itself.
    pub(super) limits: BTreeMap<String, u32>,
    pub(super) holder: Holder,
    pub(super) expires_at: Option<Timestamp>,
}

/// Holder of a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    Person(Box<Person>),
    Key(KeyInfo),
}

/// API key that sent a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Id of the key.
    pub id: Uuid,
    /// Name that says what the key is for.
    pub name: String,
    /// Scopes; `None` grants everything a key may do.
    pub scopes: Option<Vec<Action>>,
}

/// Kind of credential in a request. A key is never accepted as a session or the reverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Session,
    Key,
}

/// Look-ups by kind and hash, with their times.
type Entries = HashMap<(Kind, String), (Arc<Credential>, Instant)>;

/// Cache of look-ups of the last two seconds.
#[derive(Debug, Default)]
pub struct Credentials {
    entries: Mutex<Entries>,
    /// Credentials that were valid within the last hour, with their times. They are looked up even while their address is refused
    /// for guessing, and prove nothing by themselves.
    good: Mutex<HashMap<(Kind, String), Instant>>,
    /// Number of times that the cache was emptied.
    generation: AtomicU64,
}

impl Credentials {
    /// Creates an empty cache.
    pub fn new() -> Credentials {
        Credentials::default()
    }

    /// Empties the cache. Must be called after every change of rights.
    pub fn forget(&self) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        self.generation.fetch_add(1, Ordering::AcqRel);
        entries.clear();
    }

    /// Returns the credential with this hash, or `None` if it is unknown, revoked or expired.
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

    /// Returns whether the credential with this hash was valid within the last hour.
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
            // Scopes that this version does not know grant nothing.
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
