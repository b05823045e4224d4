//! The organization of an incoming call and its settings: asked of the store, and taken from memory when it does not answer.
//!
//! ```text
//! store ─ all organizations every 30 s, a changed one at once ─▶ Known ─▶ tandem.known
//! call ─▶ of ─┬─ asked within the last second ─▶ the same answer
//!             ├─ the store answers within a second ─▶ its answer, learned
//!             └─ it does not ─▶ Known ─ not complete ─▶ unknown: found out when the call is written
//! ```
//!
//! Invariant: an answer takes a second at most, whatever the store does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::known::{Known, KnownFile, Owner};
use crate::capabilities::Capabilities;
use crate::number::as_e164;
use crate::store::{OrganizationId, Store, StoreError};
use crate::voice_config::VoiceConfig;

/// Answers remembered at most: more agents than one machine carries.
const LATELY_MAX: usize = 10_000;
/// What was learned so lately is not asked again, unless this server changed a setting since: many calls begin in one
/// second.
const FRESH: Duration = Duration::from_secs(1);
/// The store is given this long for a decision; the engine waits twice as long.
const ANSWER: Duration = Duration::from_secs(1);
/// A store that failed or kept silent is not asked again for this long.
const SILENCE: Duration = Duration::from_secs(1);
/// Questions to the store at once: its other connections stay free for writing.
const ASKING: usize = 4;
/// Between two readings of all organizations, and after one that failed.
const REFRESH: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(2));
/// The organizations are read in steps of so many, with a pause between, so that the store is not kept busy.
const STEP: (usize, Duration) = (16, Duration::from_millis(100));
/// The first reading delays the start by this at most.
const FIRST: Duration = Duration::from_secs(2);

/// Organizations as last read from the store, and the way to ask it; clones share both.
#[derive(Clone, Debug)]
pub struct Tenants {
    store: Store,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    known: Mutex<Known>,
    lately: Mutex<HashMap<Key, Lately>>,
    asking: Semaphore,
    silent_until: Mutex<Option<Instant>>,
    file: Option<KnownFile>,
    /// What the file holds.
    written: Mutex<Vec<u8>>,
}

#[derive(Debug)]
struct Lately {
    found: Tenant,
    asked: Instant,
    settings: u64,
}

/// Whose a call is, what is done with its audio, and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tenant {
    pub(super) organization: OrganizationId,
    /// With the capabilities applied.
    pub(super) config: VoiceConfig,
    pub(super) capabilities: Capabilities,
}

/// The agent, and the called number when it is an organization's own.
type Key = (Option<String>, Option<String>);

impl Tenants {
    /// Without a file: no organization is known until the store is asked.
    pub fn new(store: Store) -> Tenants {
        Tenants::open(store, None)
    }

    /// What the file knows, if there is one. Blocks.
    pub(crate) fn open(store: Store, file: Option<KnownFile>) -> Tenants {
        let known = file.as_ref().and_then(KnownFile::read).unwrap_or_default();
        let shared = Shared {
            known: Mutex::new(known),
            lately: Mutex::default(),
            asking: Semaphore::new(ASKING),
            silent_until: Mutex::default(),
            file,
            written: Mutex::default(),
        };
        Tenants { store, shared: Arc::new(shared) }
    }

    /// The store that is asked.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Whether no organization is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.known().is_empty()
    }

    /// The organization of this agent, or else of the called number, or else the default one, with its settings. `away`:
    /// the store is known not to answer, and is not asked.
    pub(super) async fn of(&self, agent: Option<&str>, to: &str, away: bool) -> Owner {
        let number = as_e164(to);
        if !away && !self.is_silent() {
            match timeout(ANSWER, self.asked(agent, number.as_deref())).await {
                Ok(Ok(owner)) => return owner,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the store failed while a call waited for its settings: those last read are used")
                }
                Err(_) => {
                    tracing::warn!(after = ?ANSWER, "the store did not answer while a call waited for its settings: those last read are used")
                }
            }
            *lock(&self.shared.silent_until) = Some(Instant::now() + SILENCE);
        }
        metrics::counter!("tandem_decisions_from_memory_total").increment(1);
        self.known().owner(agent, number.as_deref())
    }

    /// The organization of an agent whose name is known. A SIP name stays its organization's for good, so this is never wrong.
    pub(super) fn known_agent(&self, agent: &str) -> Option<OrganizationId> {
        self.known().agent(agent)
    }

    /// Reads all organizations before the first call comes, as far as that takes no longer than [`FIRST`].
    pub(crate) async fn first_reading(&self) {
        match timeout(FIRST, self.read_all(Duration::ZERO)).await {
            Ok(Ok(())) => self.keep().await,
            Ok(Err(error)) => tracing::warn!(%error, "the organizations could not be read; they are read again"),
            Err(_) => tracing::info!(after = ?FIRST, "the organizations are many; the rest is read while calls run"),
        }
    }

    /// Runs until it is cancelled: reads all organizations again and again, and those at once that this server changes.
    pub(crate) async fn keep_up(self, stopping: CancellationToken) {
        let work = async {
            loop {
                let pause = match self.read_all(STEP.1).await {
                    Ok(()) => {
                        self.keep().await;
                        REFRESH.0
                    }
                    Err(error) => {
                        tracing::debug!(%error, "the organizations cannot be read now");
                        REFRESH.1
                    }
                };
                // An end before the pause is over: the store failed, and everything is read once it answers.
                let _pause_is_over = timeout(pause, self.follow_changes()).await;
                sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            () = work => {}
            () = stopping.cancelled() => {}
        }
    }

    /// Reads what this server changes, until the store fails.
    async fn follow_changes(&self) {
        loop {
            self.store.settings_wait().await;
            if self.read_changed(None).await.is_err() {
                return;
            }
            self.keep().await;
        }
    }

    /// Reads every organization, with a pause after each step.
    async fn read_all(&self, pause: Duration) -> Result<(), StoreError> {
        if !self.store.keeps() {
            return Ok(());
        }
        let mut fresh = Known::default();
        let organizations = self.store.organization_list().await?;
        for (n, id) in organizations.into_iter().enumerate() {
            fresh.put(self.store.organization_facts(id).await?);
            if n % STEP.0 == STEP.0 - 1 && !pause.is_zero() {
                self.read_changed(Some(&mut fresh)).await?;
                sleep(pause).await;
            }
        }
        fresh.be_complete();
        *self.known() = fresh;
        Ok(())
    }

    /// Reads what this server has changed, into the table and into one that is being made.
    async fn read_changed(&self, mut other: Option<&mut Known>) -> Result<(), StoreError> {
        for id in self.store.settings_take() {
            let facts = self.store.organization_facts(id).await?;
            if let Some(other) = &mut other
                && other.has(id)
            {
                other.put(facts.clone());
            }
            self.known().put(facts);
        }
        Ok(())
    }

    /// Writes the file, when the table has changed.
    async fn keep(&self) {
        let Some(file) = self.shared.file.clone() else { return };
        let tenants = self.clone();
        let work = move || -> std::io::Result<()> {
            let content = file.content(&tenants.known())?;
            let mut written = lock(&tenants.shared.written);
            if *written != content {
                file.write(&content)?;
                *written = content;
            }
            Ok(())
        };
        let done = tokio::task::spawn_blocking(work).await;
        if let Err(error) = done.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
            metrics::counter!("tandem_known_write_failures_total").increment(1);
            tracing::warn!(%error, "the settings of organizations cannot be saved (tandem.known): a start without the database would use older ones");
        }
    }

    /// The store's answer, or one that it gave within the last second.
    async fn asked(&self, agent: Option<&str>, number: Option<&str>) -> Result<Owner, StoreError> {
        if let Some(found) = self.fresh(agent, number) {
            return Ok(Owner::Tenant(found));
        }
        // Closed by nobody.
        let _turn = self.shared.asking.acquire().await.ok();
        if let Some(found) = self.fresh(agent, number) {
            return Ok(Owner::Tenant(found));
        }
        let (asked, settings) = (Instant::now(), self.store.settings_version());
        let Some((found, by_number)) = self.ask(agent, number).await? else {
            lock(&self.shared.lately).clear();
            return Ok(Owner::Nobody);
        };
        let mut lately = lock(&self.shared.lately);
        if lately.len() >= LATELY_MAX {
            lately.clear();
        }
        let key = (agent.map(str::to_owned), number.filter(|_| by_number).map(str::to_owned));
        lately.insert(key, Lately { found: found.clone(), asked, settings });
        Ok(Owner::Tenant(found))
    }

    /// An agent's organization does not depend on the number; without an agent, the number's own answer only.
    fn fresh(&self, agent: Option<&str>, number: Option<&str>) -> Option<Tenant> {
        let number = if agent.is_some() { None } else { number };
        let lately = lock(&self.shared.lately);
        let known = lately.get(&(agent.map(str::to_owned), number.map(str::to_owned)))?;
        let holds = known.settings == self.store.settings_version() && known.asked.elapsed() < FRESH;
        holds.then(|| known.found.clone())
    }

    /// With whether the called number decided.
    async fn ask(&self, agent: Option<&str>, number: Option<&str>) -> Result<Option<(Tenant, bool)>, StoreError> {
        let by_agent = match agent {
            Some(agent) => self.store.membership_organization(agent).await?,
            None => None,
        };
        let by_number = match (by_agent, number) {
            (None, Some(number)) => self.store.caller_id_number_organization(number).await?,
            _ => None,
        };
        let organization = match by_agent.or(by_number) {
            Some(organization) => organization,
            None => match self.store.organization_default().await? {
                Some(organization) => organization.id,
                None => return Ok(None),
            },
        };
        let capabilities = self.store.capabilities_show(organization).await?;
        let config = self.store.voice_config_show(organization).await?;
        self.known().learn(organization, &config, capabilities);
        let config = capabilities.applied(config);
        Ok(Some((Tenant { organization, config, capabilities }, by_number.is_some())))
    }

    /// Whether the store has just failed or kept silent, so that it is not asked.
    pub(super) fn is_silent(&self) -> bool {
        lock(&self.shared.silent_until).is_some_and(|until| Instant::now() < until)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.shared.known)
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StorePlace;

    #[tokio::test]
    async fn a_changed_setting_holds_for_the_next_call_and_what_is_known_is_not_asked_again() {
        let folder = tempfile::tempdir().unwrap();
        let place = StorePlace::new("sqlite:t.db", folder.path());
        let (store, elsewhere) = (Store::open(&place).await.unwrap(), Store::open(&place).await.unwrap());
        let organization = store.organization_create("acme").await.unwrap().id;
        let tenants = Tenants::new(store.clone());
        let records = async || match tenants.of(None, "echo", false).await {
            Owner::Tenant(tenant) => tenant.config.record,
            other => panic!("{other:?}"),
        };
        let put = async |store: &Store, record| {
            let config = VoiceConfig { record, ..VoiceConfig::default() };
            store.voice_config_put(organization, &config).await.unwrap();
        };
        put(&store, true).await;
        assert!(records().await);
        put(&store, false).await;
        assert!(!records().await, "its own change counts at once");
        put(&elsewhere, true).await;
        assert!(!records().await, "another server's is seen when a second is over");
        put(&store, true).await;
        let off = crate::capabilities::Capabilities { record: false, ..Default::default() };
        assert!(records().await);
        store.capabilities_put(organization, &off).await.unwrap();
        assert!(!records().await);
    }

    #[tokio::test]
    async fn what_was_last_known_decides_at_once_while_the_store_is_away() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StorePlace::new("sqlite:t.db", folder.path())).await.unwrap();
        let acme = store.organization_create("acme").await.unwrap().id;
        let other = store.organization_create("other").await.unwrap().id;
        let file = KnownFile::new(folder.path(), "sqlite:t.db");
        let tenants = Tenants::open(store.clone(), Some(file.clone()));
        tenants.first_reading().await;
        let stopping = CancellationToken::new();
        let running = tokio::spawn(tenants.clone().keep_up(stopping.clone()));
        // No call has asked for either of them; the last change is read without one.
        let config = VoiceConfig { record: true, ..VoiceConfig::default() };
        store.voice_config_put(other, &config).await.unwrap();
        let written = async {
            while !file.read().is_some_and(|known| format!("{known:?}").contains("record: true, ")) {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), written).await.expect("the change is kept");
        stopping.cancel();
        running.await.unwrap();

        let restarted = Tenants::open(Store::not_connected(), Some(file));
        let begun = Instant::now();
        for tenants in [&tenants, &restarted] {
            let Owner::Tenant(found) = tenants.of(None, "echo", true).await else { panic!("it is known") };
            assert_eq!((found.organization, found.config.record), (acme, false));
        }
        let Owner::Tenant(found) = restarted.of(None, "echo", false).await else { panic!("it is known") };
        assert_eq!(found.organization, acme);
        assert!(begun.elapsed() < ANSWER, "a store that is not connected is not waited for");
        assert_eq!(Tenants::new(Store::not_connected()).of(None, "echo", false).await, Owner::Unknown);
    }

    #[tokio::test]
    async fn a_store_that_keeps_silent_delays_a_decision_by_a_second_at_most() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StorePlace::new("sqlite:t.db", folder.path())).await.unwrap();
        let acme = store.organization_create("acme").await.unwrap().id;
        let tenants = Tenants::new(store);
        tenants.first_reading().await;
        // Whoever asks waits for a turn that does not come, as behind a database that hangs.
        let _all = tenants.shared.asking.acquire_many(ASKING as u32).await.unwrap();
        let begun = Instant::now();
        let decisions: Vec<_> = (0..50)
            .map(|_| {
                let tenants = tenants.clone();
                tokio::spawn(async move { tenants.of(None, "echo", false).await })
            })
            .collect();
        for decision in decisions {
            let Owner::Tenant(found) = decision.await.unwrap() else { panic!("it is known") };
            assert_eq!(found.organization, acme);
        }
        assert!(begun.elapsed() < ANSWER * 3 / 2, "{:?}", begun.elapsed());
    }
}
