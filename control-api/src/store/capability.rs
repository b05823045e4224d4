//! Capabilities: what an organization's calls may do at all.

use super::audit_log::{By, Deed};
use super::{OrganizationId, Store, StoreError, now};
use crate::tenant::capabilities::Capabilities;

impl Store {
    /// Returns the tenant's switches; all are on until they are set.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn capabilities_show(&self, organization: OrganizationId) -> Result<Capabilities, StoreError> {
        let sql = "SELECT record, transcribe, translate, voice_to_voice, amd, transfer, conference, api_dialing \
                   FROM call_capabilities WHERE organization_id = $1";
        let Some(row) = self.db.row(organization, sql, &[organization.into()]).await? else {
            return Ok(Capabilities::default());
        };
        Ok(Capabilities {
            record: row.bool("record")?,
            transcribe: row.bool("transcribe")?,
            translate: row.bool("translate")?,
            voice_to_voice: row.bool("voice_to_voice")?,
            amd: row.bool("amd")?,
            transfer: row.bool("transfer")?,
            conference: row.bool("conference")?,
            api_dialing: row.bool("api_dialing")?,
        })
    }

    /// Replaces the tenant's switches. Running calls keep those with which they began.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn capabilities_put(
        &self,
        organization: OrganizationId,
        before: &Capabilities,
        switches: &Capabilities,
        by: &By,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO call_capabilities (organization_id, record, transcribe, translate, voice_to_voice, amd, \
                   transfer, conference, api_dialing, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
                   ON CONFLICT (organization_id) DO UPDATE SET record = excluded.record, \
                   transcribe = excluded.transcribe, translate = excluded.translate, \
                   voice_to_voice = excluded.voice_to_voice, amd = excluded.amd, transfer = excluded.transfer, \
                   conference = excluded.conference, api_dialing = excluded.api_dialing, \
                   updated_at = excluded.updated_at";
        let values = [
            organization.into(),
            switches.record.into(),
            switches.transcribe.into(),
            switches.translate.into(),
            switches.voice_to_voice.into(),
            switches.amd.into(),
            switches.transfer.into(),
            switches.conference.into(),
            switches.api_dialing.into(),
            now().into(),
        ];
        let deed = Deed::new("capabilities.update", "call_capabilities").before(before).after(switches);
        self.run_audited(organization, sql, &values, by, deed).await?;
        self.settings_changed(organization);
        Ok(())
    }
}
