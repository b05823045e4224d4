//! Whose an incoming call is, and what is done with its audio: asked of the store, remembered for when it is away.

use std::collections::HashMap;

use crate::store::{OrganizationId, Store, StoreError};
use crate::voice_config::VoiceConfig;

/// Remembered at most: more agents than one machine carries.
const KNOWN_MAX: usize = 10_000;

/// What was learned last of each agent's organization, and of the default one.
pub(super) struct Tenants {
    store: Store,
    known: HashMap<Option<String>, (OrganizationId, VoiceConfig)>,
}

impl Tenants {
    pub(super) fn new(store: Store) -> Tenants {
        Tenants { store, known: HashMap::new() }
    }

    /// The organization of this agent, or else the default one, with its settings. `away`: the store is known not to
    /// answer, and is not waited for when the answer is remembered. Nothing: there is no organization.
    pub(super) async fn of(
        &mut self,
        agent: Option<&str>,
        away: bool,
    ) -> Result<Option<(OrganizationId, VoiceConfig)>, StoreError> {
        let key = agent.map(str::to_owned);
        if away && let Some(known) = self.known.get(&key) {
            return Ok(Some(known.clone()));
        }
        match self.ask(agent).await {
            Ok(Some(found)) => {
                if self.known.len() == KNOWN_MAX {
                    self.known.clear();
                }
                self.known.insert(key, found.clone());
                Ok(Some(found))
            }
            Ok(None) => {
                self.known.remove(&key);
                Ok(None)
            }
            Err(error) => match self.known.get(&key).filter(|_| error.is_transient()) {
                Some(known) => Ok(Some(known.clone())),
                None => Err(error),
            },
        }
    }

    async fn ask(&self, agent: Option<&str>) -> Result<Option<(OrganizationId, VoiceConfig)>, StoreError> {
        let by_agent = match agent {
            Some(agent) => self.store.membership_organization(agent).await?,
            None => None,
        };
        let organization = match by_agent {
            Some(organization) => organization,
            None => match self.store.organization_default().await? {
                Some(organization) => organization.id,
                None => return Ok(None),
            },
        };
        Ok(Some((organization, self.store.voice_config_show(organization).await?)))
    }
}
