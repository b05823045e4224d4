//! Registrations of agents' phones for the web pages. Those of known agents are published at once, others as soon as the store
//! has returned the organization.
//!
//! Invariants: the newest state of an agent is published last. Only registrations of unknown agents wait for the store, at most
//! [`WAITING_MAX`] of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::bus::{Bus, Passing};
use super::tenants::Tenants;
use crate::store::OrganizationId;

/// Number of agents that may wait for the store. Further ones are dropped and counted.
const WAITING_MAX: usize = 10_000;
/// Time the store has to answer for one agent.
const ANSWER: Duration = Duration::from_secs(1);
/// Pause after a failure of the store.
const PAUSE: Duration = Duration::from_secs(1);

/// Publishes registrations; clones share the queue.
#[derive(Clone)]
pub(super) struct Presence {
    bus: Bus,
    tenants: Tenants,
    waiting: Arc<Mutex<BTreeMap<String, usize>>>,
    wake: Arc<Notify>,
}

impl Presence {
    pub(super) fn new(bus: Bus, tenants: Tenants) -> Presence {
        Presence { bus, tenants, waiting: Arc::default(), wake: Arc::default() }
    }

    /// Reports the number of devices that an agent has registered now.
    pub(super) fn registered(&self, agent: String, contacts: usize) {
        let mut waiting = self.waiting();
        match self.tenants.known_agent(&agent) {
            Some(organization) => {
                waiting.remove(&agent);
                self.tell(organization, agent, contacts);
            }
            None if waiting.len() >= WAITING_MAX && !waiting.contains_key(&agent) => {
                metrics::counter!("tandem_registrations_untold_total").increment(1);
                tracing::warn!(
                    agent,
                    "too many registrations are waiting for the store, so pages do not show this one"
                );
            }
            None => {
                waiting.insert(agent, contacts);
                self.wake.notify_one();
            }
        }
    }

    /// Looks up the organizations of unknown agents. Runs for ever.
    pub(super) async fn run(&self) {
        loop {
            let next = self.waiting().keys().next().cloned();
            let Some(agent) = next else {
                self.wake.notified().await;
                continue;
            };
            let owner = timeout(ANSWER, self.tenants.store().membership_organization(&agent)).await;
            let owner = match owner {
                Ok(Ok(owner)) => owner,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the store failed to return the organization of a registered agent; it will be asked again");
                    sleep(PAUSE).await;
                    continue;
                }
                Err(_) => continue,
            };
            let mut waiting = self.waiting();
            let Some(contacts) = waiting.remove(&agent) else { continue };
            if let Some(organization) = owner {
                self.tell(organization, agent, contacts);
            }
        }
    }

    fn tell(&self, organization: OrganizationId, agent: String, contacts: usize) {
        self.bus.pass(Passing::Registration { organization, agent, contacts });
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Store, StorePlace};

    #[tokio::test]
    async fn known_agents_are_published_at_once_and_the_newest_state_last() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StorePlace::new("sqlite:t.db", folder.path())).await.unwrap();
        let organization = store.organization_create("acme").await.unwrap().id;
        let member = |name: &'static str| crate::store::NewMember {
            email: name,
            name,
            password_hash: "x",
            role: crate::store::Role::Agent,
            sip_name: name,
        };
        store.user_create(organization, member("ana")).await.unwrap();
        let tenants = Tenants::new(store.clone());
        tenants.first_reading().await;
        store.user_create(organization, member("ben")).await.unwrap();
        let bus = Bus::start(store).await.unwrap();
        let presence = Presence::new(bus.clone(), tenants);
        presence.registered("ben".into(), 1);
        presence.registered("ana".into(), 1);
        assert_eq!((bus.agent_devices("ana"), bus.agent_devices("ben")), (1, 0));
        presence.registered("ben".into(), 2);
        let told = async {
            while bus.agent_devices("ben") != 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = presence.run() => {}
            told = timeout(Duration::from_secs(5), told) => told.expect("the registration is published"),
        }
    }
}
