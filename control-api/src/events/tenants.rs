//! The organization and settings of a call: read from the store, or taken from memory if the store does not answer.
//!
//! ```text
//! store ─ all organizations every 30 s, a changed one at once ─▶ KnownTenants ─▶ tandem.known
//! call ─▶ of ─┬─ read within the last second ─▶ the same answer
//!             ├─ the store answers within a second ─▶ its answer, cached
//!             └─ it does not ─▶ KnownTenants ─ not complete ─▶ unknown: determined when the call is written
//! ```
//!
//! Invariant: an answer takes a second at most, whatever the state of the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::known_tenants::{KnownFile, KnownTenants, Owner};
use crate::store::{NumberProgram, OrganizationId, Store, StoreError};
use crate::tenant::capabilities::Capabilities;
use crate::tenant::glossary::Glossary;
use crate::tenant::number::as_e164;
use crate::tenant::voice_config::VoiceConfig;

/// Largest number of cached answers: more agents than one machine can serve.
const LATELY_MAX: usize = 10_000;
/// Time for which an answer is reused, unless this server has changed a setting since. Many calls can begin within one second.
const FRESH: Duration = Duration::from_secs(1);
/// Time the store has to answer for a decision. The engine waits twice as long.
const ANSWER: Duration = Duration::from_secs(1);
/// Time for which a store that failed or did not answer is not asked again.
const SILENCE: Duration = Duration::from_secs(1);
/// Number of simultaneous queries. The store's other connections stay free for writing.
const ASKING: usize = 4;
/// Pause between two readings of all organizations, and after one that failed.
const REFRESH: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(2));
/// Number of organizations that are read in one step, and the pause between steps, so that the store is not kept busy.
const STEP: (usize, Duration) = (16, Duration::from_millis(100));
/// Longest time by which the first reading delays the start.
const FIRST: Duration = Duration::from_secs(2);

/// Organizations as last read from the store, with access to the store; clones share both.
#[derive(Clone, Debug)]
pub struct Tenants {
    store: Store,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    known: Mutex<KnownTenants>,
    lately: Mutex<HashMap<Key, Lately>>,
    asking: Semaphore,
    silent_until: Mutex<Option<Instant>>,
    file: Option<KnownFile>,
    /// Content of the file.
    written: Mutex<Vec<u8>>,
}

#[derive(Debug)]
struct Lately {
    found: Tenant,
    asked: Instant,
    settings: u64,
}

/// Organization of a call, with its settings and capabilities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tenant {
    pub(super) organization: OrganizationId,
    /// Voice configuration with the capabilities applied.
    pub(super) config: VoiceConfig,
    /// Terms and names for recognisers and translators.
    pub(super) glossary: Glossary,
    pub(super) capabilities: Capabilities,
}

/// Agent, and the called number if it belongs to an organization.
type Key = (Option<String>, Option<String>);

impl Tenants {
    /// Creates an empty table without a file. No organization is known until the store is read.
    pub fn new(store: Store) -> Tenants {
        Tenants::open(store, None)
    }

    /// Creates a table from the file, if there is one. Blocks.
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

    /// Returns the store behind the table.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Returns whether no organization is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.known().is_empty()
    }

    /// Returns the organization of this agent, or else of the called number, or else the default one, with its settings. With
    /// `away`, the store is known not to answer and is not asked.
    pub(super) async fn of(&self, agent: Option<&str>, to: &str, away: bool) -> Owner {
        let number = as_e164(to);
        if !away && !self.is_silent() {
            match timeout(ANSWER, self.ask_store(agent, number.as_deref())).await {
                Ok(Ok(owner)) => return owner,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the store failed, so the settings last read are used for a call")
                }
                Err(_) => {
                    tracing::warn!(after = ?ANSWER, "the store did not answer, so the settings last read are used for a call")
                }
            }
            *lock(&self.shared.silent_until) = Some(Instant::now() + SILENCE);
        }
        metrics::counter!("tandem_decisions_from_memory_total").increment(1);
        self.known().owner(agent, number.as_deref())
    }

    /// Returns the organization of a known agent. A SIP name is never given to another organization, so the answer is always
    /// right.
    pub(super) fn known_agent(&self, agent: &str) -> Option<OrganizationId> {
        self.known().agent(agent)
    }

    /// Returns the program of an organization's number, as last read from the store.
    pub(super) fn known_program(&self, organization: OrganizationId, number: &str) -> Option<NumberProgram> {
        self.known().program(organization, number)
    }

    /// Reads all organizations before the first call arrives, for at most [`FIRST`].
    pub(crate) async fn first_reading(&self) {
        match timeout(FIRST, self.read_all(Duration::ZERO)).await {
            Ok(Ok(())) => self.keep().await,
            Ok(Err(error)) => tracing::warn!(%error, "the organizations could not be read; they will be read again"),
            Err(_) => {
                tracing::info!(after = ?FIRST, "there are many organizations; the rest will be read while calls are running")
            }
        }
    }

    /// Reads all organizations repeatedly, and those that this server changes at once. Runs until it is cancelled.
    pub(crate) async fn keep_up(self, stopping: CancellationToken) {
        let work = async {
            loop {
                let pause = match self.read_all(STEP.1).await {
                    Ok(()) => {
                        self.keep().await;
                        REFRESH.0
                    }
                    Err(error) => {
                        tracing::debug!(%error, "the organizations cannot be read at present");
                        REFRESH.1
                    }
                };
                // If this ends before the pause, the store has failed, and everything is read again once it answers.
                let _pause_is_over = timeout(pause, self.follow_changes()).await;
                sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            () = work => {}
            () = stopping.cancelled() => {}
        }
    }

    /// Reads organizations that this server changes, until the store fails.
    async fn follow_changes(&self) {
        loop {
            self.store.settings_wait().await;
            if self.read_changed(None).await.is_err() {
                return;
            }
            self.keep().await;
        }
    }

    /// Reads all organizations, with a pause after each step.
    async fn read_all(&self, pause: Duration) -> Result<(), StoreError> {
        if !self.store.keeps() {
            return Ok(());
        }
        let mut fresh = KnownTenants::default();
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

    /// Reads the organizations that this server has changed, into the table and into one that is being built.
    async fn read_changed(&self, mut other: Option<&mut KnownTenants>) -> Result<(), StoreError> {
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

    /// Writes the file if the table has changed.
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
            tracing::warn!(%error, "cannot save the settings of organizations (tandem.known); a start may use old ones");
        }
    }

    /// Returns the store's answer, or one that it gave within the last second.
    async fn ask_store(&self, agent: Option<&str>, number: Option<&str>) -> Result<Owner, StoreError> {
        if let Some(found) = self.fresh(agent, number) {
            return Ok(Owner::Tenant(found));
        }
        // The semaphore is never closed.
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

    /// Returns a recent answer. With an agent it does not depend on the number; without one, only an answer for the same number
    /// counts.
    fn fresh(&self, agent: Option<&str>, number: Option<&str>) -> Option<Tenant> {
        let number = if agent.is_some() { None } else { number };
        let lately = lock(&self.shared.lately);
        let known = lately.get(&(agent.map(str::to_owned), number.map(str::to_owned)))?;
        let holds = known.settings == self.store.settings_version() && known.asked.elapsed() < FRESH;
        holds.then(|| known.found.clone())
    }

    /// Reads the organization from the store. The flag says whether the called number determined it.
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
        let glossary = self.store.glossary_of_call(organization, &config).await?;
        Ok(Some((Tenant { organization, config, glossary, capabilities }, by_number.is_some())))
    }

    /// Returns whether the store has just failed or not answered, so that it must not be asked.
    pub(super) fn is_silent(&self) -> bool {
        lock(&self.shared.silent_until).is_some_and(|until| Instant::now() < until)
    }

    fn known(&self) -> MutexGuard<'_, KnownTenants> {
        lock(&self.shared.known)
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{By, StorePlace};

    #[tokio::test]
    async fn a_changed_setting_applies_to_the_next_call_and_answers_are_cached() {
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
            store.voice_config_put(organization, &VoiceConfig::default(), &config, &By::system("test")).await.unwrap();
        };
        put(&store, true).await;
        assert!(records().await);
        put(&store, false).await;
        assert!(!records().await, "a change by this server applies at once");
        put(&elsewhere, true).await;
        assert!(!records().await, "a change by another server applies after a second");
        put(&store, true).await;
        let off = crate::tenant::capabilities::Capabilities { record: false, ..Default::default() };
        assert!(records().await);
        store.capabilities_put(organization, &Capabilities::default(), &off, &By::system("test")).await.unwrap();
        assert!(!records().await);
    }

    #[tokio::test]
    async fn the_last_known_settings_apply_at_once_while_the_store_is_unavailable() {
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
        store.voice_config_put(other, &VoiceConfig::default(), &config, &By::system("test")).await.unwrap();
        let written = async {
            while !file.read().is_some_and(|known| format!("{known:?}").contains("record: true, ")) {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), written).await.expect("the change is written to the file");
        stopping.cancel();
        running.await.unwrap();

        let restarted = Tenants::open(Store::not_connected(), Some(file));
        let begun = Instant::now();
        for tenants in [&tenants, &restarted] {
            let Owner::Tenant(found) = tenants.of(None, "echo", true).await else {
                panic!("the organization is known")
            };
            assert_eq!((found.organization, found.config.record), (acme, false));
        }
        let Owner::Tenant(found) = restarted.of(None, "echo", false).await else { panic!("the organization is known") };
        assert_eq!(found.organization, acme);
        assert!(begun.elapsed() < ANSWER, "a store that is not connected causes no wait");
        assert_eq!(Tenants::new(Store::not_connected()).of(None, "echo", false).await, Owner::Unknown);
    }

    #[tokio::test]
    async fn a_store_that_does_not_answer_delays_a_decision_by_a_second_at_most() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StorePlace::new("sqlite:t.db", folder.path())).await.unwrap();
        let acme = store.organization_create("acme").await.unwrap().id;
        let tenants = Tenants::new(store);
        tenants.first_reading().await;
        // All queries wait for a turn that does not come, as with a database that hangs.
        let _all = tenants.shared.asking.acquire_many(ASKING as u32).await.unwrap();
        let begun = Instant::now();
        let decisions: Vec<_> = (0..50)
            .map(|_| {
                let tenants = tenants.clone();
                tokio::spawn(async move { tenants.of(None, "echo", false).await })
            })
            .collect();
        for decision in decisions {
            let Owner::Tenant(found) = decision.await.unwrap() else { panic!("the organization is known") };
            assert_eq!(found.organization, acme);
        }
        assert!(begun.elapsed() < ANSWER * 3 / 2, "{:?}", begun.elapsed());
    }
}
