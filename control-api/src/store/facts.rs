//! The data that decide about a tenant's calls, in one value that can be kept while the database is away.

use serde::{Deserialize, Serialize};

use super::{OrganizationId, Store, StoreError};
use crate::tenant::capabilities::Capabilities;
use crate::tenant::voice_config::VoiceConfig;

/// The data of a tenant that decisions about calls need. It holds no secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationFacts {
    /// Identity of the tenant.
    pub id: OrganizationId,
    /// How the audio of its calls is processed.
    pub config: VoiceConfig,
    /// Capabilities of the organization's calls.
    pub capabilities: Capabilities,
    /// SIP user names of its members, sorted.
    pub agents: Vec<String>,
    /// Its proven numbers, E.164, sorted.
    pub numbers: Vec<String>,
}

impl Store {
    /// Returns the data that decide about a tenant's calls. An unknown tenant has defaults, no agents and no numbers.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn organization_facts(&self, id: OrganizationId) -> Result<OrganizationFacts, StoreError> {
        let agents = "SELECT sip_name AS name FROM memberships WHERE organization_id = $1 ORDER BY sip_name";
        let numbers = "SELECT number AS name FROM caller_id_numbers \
                       WHERE organization_id = $1 AND proven_at IS NOT NULL ORDER BY number";
        Ok(OrganizationFacts {
            id,
            config: self.voice_config_show(id).await?,
            capabilities: self.capabilities_show(id).await?,
            agents: self.names(id, agents).await?,
            numbers: self.names(id, numbers).await?,
        })
    }

    async fn names(&self, id: OrganizationId, sql: &'static str) -> Result<Vec<String>, StoreError> {
        self.db.rows(id, sql, &[id.into()]).await?.iter().map(|row| row.text("name")).collect()
    }
}
