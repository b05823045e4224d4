//! Terms and names of an organization.

use serde_json::json;

use super::audit_log::{By, Deed};
use super::{OrganizationId, Store, StoreError, now};
use crate::tenant::glossary::Glossary;
use crate::tenant::voice_config::VoiceConfig;

impl Store {
    /// Returns the tenant's glossary; it is empty until it is set.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn glossary_show(&self, organization: OrganizationId) -> Result<Glossary, StoreError> {
        let sql = "SELECT content FROM glossaries WHERE organization_id = $1";
        let Some(row) = self.db.row(organization, sql, &[organization.into()]).await? else {
            return Ok(Glossary::default());
        };
        Ok(row.json_opt("content")?.unwrap_or_default())
    }

    /// Returns the glossary of a call with these settings; it is empty if nothing is recognised.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn glossary_of_call(
        &self,
        organization: OrganizationId,
        config: &VoiceConfig,
    ) -> Result<Glossary, StoreError> {
        let recognises = config.live_translate || config.transcribe;
        if recognises { self.glossary_show(organization).await } else { Ok(Glossary::default()) }
    }

    /// Replaces the tenant's glossary, with its row in the audit log, where `before` is the one so far. Running calls keep the one with
    /// which they began.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn glossary_put(
        &self,
        organization: OrganizationId,
        before: &Glossary,
        glossary: &Glossary,
        by: &By,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO glossaries (organization_id, content, updated_at) VALUES ($1, $2, $3) \
                   ON CONFLICT (organization_id) DO UPDATE SET content = excluded.content, updated_at = excluded.updated_at";
        let content = json!(glossary).to_string();
        let deed = Deed::new("glossary.update", "glossary").before(before).after(glossary);
        self.run_audited(organization, sql, &[organization.into(), (&content).into(), now().into()], by, deed).await?;
        self.settings_changed(organization);
        Ok(())
    }
}
