//! Whose an incoming call is, and what is done with its audio: asked of the store, remembered for when it is away.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::capabilities::Capabilities;
use crate::number::is_e164;
use crate::store::{OrganizationId, Store, StoreError};
use crate::voice_config::VoiceConfig;

/// Remembered at most: more agents than one machine carries.
const KNOWN_MAX: usize = 10_000;

/// What was learned so lately is not asked again, unless this server changed a setting since: many calls begin in one
/// second.
const FRESH: Duration = Duration::from_secs(1);

/// What was learned last: by agent, by called number where that decided, and of the default organization.
pub(super) struct Tenants {
    store: Store,
    known: HashMap<Key, Known>,
}

struct Known {
    found: Tenant,
    asked: Instant,
    settings: u64,
}

/// Whose a call is, what is done with its audio, and what it may do.
#[derive(Clone)]
pub(super) struct Tenant {
    pub(super) organization: OrganizationId,
    /// With the capabilities applied.
    pub(super) config: VoiceConfig,
    pub(super) capabilities: Capabilities,
}

/// The agent, and the called number when it is an organization's own.
type Key = (Option<String>, Option<String>);

impl Tenants {
    pub(super) fn new(store: Store) -> Tenants {
        Tenants { store, known: HashMap::new() }
    }

    /// The organization of this agent, or else of the called number, or else the default one, with its settings. `away`:
    /// the store is known not to answer, and is not waited for when the answer is remembered. Nothing: there is no
    /// organization.
    pub(super) async fn of(&mut self, agent: Option<&str>, to: &str, away: bool) -> Result<Option<Tenant>, StoreError> {
        let number = e164(to);
        if away && let Some(known) = self.remembered(agent, number.as_deref()) {
            return Ok(Some(known));
        }
        let settings = self.store.settings_version();
        if let Some(known) = self.fresh(agent, number.as_deref(), settings) {
            return Ok(Some(known));
        }
        let asked = Instant::now();
        match self.ask(agent, number.as_deref()).await {
            Ok(Some((found, by_number))) => {
                if self.known.len() == KNOWN_MAX {
                    self.known.clear();
                }
                let key = (agent.map(str::to_owned), number.filter(|_| by_number));
                self.known.insert(key, Known { found: found.clone(), asked, settings });
                Ok(Some(found))
            }
            Ok(None) => {
                self.known.clear();
                Ok(None)
            }
            Err(error) => match self.remembered(agent, number.as_deref()).filter(|_| error.is_transient()) {
                Some(known) => Ok(Some(known)),
                None => Err(error),
            },
        }
    }

    fn remembered(&self, agent: Option<&str>, number: Option<&str>) -> Option<Tenant> {
        let agent = agent.map(str::to_owned);
        let by_number = number.and_then(|number| self.known.get(&(agent.clone(), Some(number.to_owned()))));
        by_number.or_else(|| self.known.get(&(agent, None))).map(|known| known.found.clone())
    }

    /// An agent's organization does not depend on the number; without an agent, the number's own answer only.
    fn fresh(&self, agent: Option<&str>, number: Option<&str>, settings: u64) -> Option<Tenant> {
        let number = if agent.is_some() { None } else { number };
        let known = self.known.get(&(agent.map(str::to_owned), number.map(str::to_owned)))?;
        (known.settings == settings && known.asked.elapsed() < FRESH).then(|| known.found.clone())
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
        let config = capabilities.applied(self.store.voice_config_show(organization).await?);
        Ok(Some((Tenant { organization, config, capabilities }, by_number.is_some())))
    }
}

/// A called number in E.164 form; trunks may leave the plus out.
fn e164(to: &str) -> Option<String> {
    let number = if to.starts_with('+') { to.to_owned() } else { format!("+{to}") };
    is_e164(&number).then_some(number)
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
        let mut tenants = Tenants::new(store.clone());
        let mut records = async || tenants.of(None, "echo", false).await.unwrap().unwrap().config.record;
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
}
