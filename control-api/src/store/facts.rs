//! The data that decide about a tenant's calls, in one value that can be kept while the database is away.

use serde::{Deserialize, Serialize};

use super::{NumberProgram, OrganizationId, Store, StoreError};
use crate::tenant::capabilities::Capabilities;
use crate::tenant::glossary::Glossary;
use crate::tenant::voice_config::VoiceConfig;

/// Largest size of the programs of one tenant that are kept, in bytes. The programs of further numbers are not.
const PROGRAMS_MAX: usize = 1024 * 1024;

/// The program of a proven number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramOfNumber {
    /// The number, E.164.
    pub number: String,
    /// The program that handles calls to the number.
    pub program: NumberProgram,
}

impl ProgramOfNumber {
    /// Returns the size of its texts, in bytes.
    pub(crate) fn size(&self) -> usize {
        let NumberProgram { program, program_url, fallback, .. } = &self.program;
        [program, program_url, fallback].into_iter().flatten().map(String::len).sum()
    }
}

/// The data of a tenant that decisions about calls need. It holds no secrets of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationFacts {
    /// Identity of the tenant.
    pub id: OrganizationId,
    /// How the audio of its calls is processed.
    pub config: VoiceConfig,
    /// Terms and names for recognisers and translators.
    #[serde(default)]
    pub glossary: Glossary,
    /// Capabilities of the organization's calls.
    pub capabilities: Capabilities,
    /// SIP user names of its members, sorted.
    pub agents: Vec<String>,
    /// Its proven numbers, E.164, sorted.
    pub numbers: Vec<String>,
    /// Programs of its proven numbers, in the order of the numbers; no more than fit into [`PROGRAMS_MAX`].
    #[serde(default)]
    pub programs: Vec<ProgramOfNumber>,
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
            glossary: self.glossary_show(id).await?,
            capabilities: self.capabilities_show(id).await?,
            agents: self.names(id, agents).await?,
            numbers: self.names(id, numbers).await?,
            programs: self.programs(id).await?,
        })
    }

    async fn programs(&self, id: OrganizationId) -> Result<Vec<ProgramOfNumber>, StoreError> {
        let mut programs = self.number_programs_of_calls(id).await?;
        let mut size = 0_usize;
        programs.retain(|program| {
            let with = size.saturating_add(program.size());
            let fits = with <= PROGRAMS_MAX;
            if fits {
                size = with;
            }
            fits
        });
        Ok(programs)
    }

    async fn names(&self, id: OrganizationId, sql: &'static str) -> Result<Vec<String>, StoreError> {
        self.db.rows(id, sql, &[id.into()]).await?.iter().map(|row| row.text("name")).collect()
    }
}
