//! What decides about a tenant's calls, in one piece, for when the database is away.

use serde::{Deserialize, Serialize};

use super::{OrganizationId, Store, StoreError};
use crate::capabilities::Capabilities;
use crate::voice_config::VoiceConfig;

/// A tenant, as far as decisions about calls need it. No secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationFacts {
    /// Identity.
    pub id: OrganizationId,
    /// What is done with the audio of its calls.
    pub config: VoiceConfig,
    /// Its switches.
    pub capabilities: Capabilities,
    /// SIP user names of its members.
    pub agents: Vec<String>,
    /// Its proven numbers, E.164.
    pub numbers: Vec<String>,
}

impl Store {
    /// What decides about a tenant's calls. Of a tenant that does not exist: defaults and no names.
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
