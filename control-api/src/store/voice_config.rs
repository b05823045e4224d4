//! Settings for the audio of an organization's calls, unless a call has its own.

use serde_json::json;

use super::audit_log::{By, Deed};
use super::db::Row;
use super::{OrganizationId, Store, StoreError, now};
use crate::engine::word;
use crate::tenant::amd::AmdConfig;
use crate::tenant::voice_config::{Hears, VoiceConfig};

impl Store {
    /// Returns the tenant's settings; all are off until they are set.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn voice_config_show(&self, organization: OrganizationId) -> Result<VoiceConfig, StoreError> {
        let sql = "SELECT live_translate, transcribe, translate_from, translate_to, voice_to_voice, customer_hears, \
                   agent_hears, budget_ms, record, record_heard, amd FROM voice_configs WHERE organization_id = $1";
        let Some(row) = self.db.row(organization, sql, &[organization.into()]).await? else {
            return Ok(VoiceConfig::default());
        };
        Ok(VoiceConfig {
            live_translate: row.bool("live_translate")?,
            transcribe: row.bool("transcribe")?,
            translate_from: row.text("translate_from")?,
            translate_to: row.text("translate_to")?,
            voice_to_voice: row.bool("voice_to_voice")?,
            customer_hears: hears(&row, "customer_hears")?,
            agent_hears: hears(&row, "agent_hears")?,
            budget_ms: u32::try_from(row.count("budget_ms")?).unwrap_or(u32::MAX),
            record: row.bool("record")?,
            record_heard: row.bool("record_heard")?,
            amd: row.json_opt("amd")?.unwrap_or_default(),
        })
    }

    /// Replaces the tenant's settings, with its row in the audit log, where `before` are those so far.
    /// Running calls keep those with which they began.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn voice_config_put(
        &self,
        organization: OrganizationId,
        before: &VoiceConfig,
        settings: &VoiceConfig,
        by: &By,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO voice_configs (organization_id, live_translate, transcribe, translate_from, \
                   translate_to, voice_to_voice, customer_hears, agent_hears, budget_ms, record, record_heard, amd, updated_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
                   ON CONFLICT (organization_id) DO UPDATE SET live_translate = excluded.live_translate, \
                   transcribe = excluded.transcribe, translate_from = excluded.translate_from, \
                   translate_to = excluded.translate_to, voice_to_voice = excluded.voice_to_voice, \
                   customer_hears = excluded.customer_hears, agent_hears = excluded.agent_hears, \
                   budget_ms = excluded.budget_ms, \
                   record = excluded.record, record_heard = excluded.record_heard, amd = excluded.amd, updated_at = excluded.updated_at";
        let amd = (settings.amd != AmdConfig::default()).then(|| json!(settings.amd).to_string());
        let (customer_hears, agent_hears) = (word(&settings.customer_hears), word(&settings.agent_hears));
        let values = [
            organization.into(),
            settings.live_translate.into(),
            settings.transcribe.into(),
            (&settings.translate_from).into(),
            (&settings.translate_to).into(),
            settings.voice_to_voice.into(),
            (&customer_hears).into(),
            (&agent_hears).into(),
            settings.budget_ms.into(),
            settings.record.into(),
            settings.record_heard.into(),
            (&amd).into(),
            now().into(),
        ];
        let deed = Deed::new("voice_config.update", "voice_config").before(before).after(settings);
        self.run_audited(organization, sql, &values, by, deed).await?;
        self.settings_changed(organization);
        Ok(())
    }
}

fn hears(row: &Row, name: &'static str) -> Result<Hears, StoreError> {
    // A word that a later version wrote is taken for the default.
    Ok(serde_json::from_value(row.text(name)?.into()).unwrap_or_default())
}
