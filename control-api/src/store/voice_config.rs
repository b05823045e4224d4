//! What an organization does with its calls' audio, unless a call says otherwise.

use sqlx::Row;

use super::{OrganizationId, Store, StoreError, now};
use crate::voice_config::VoiceConfig;

impl Store {
    /// The tenant's settings; all off until they were put.
    pub async fn voice_config_show(&self, organization: OrganizationId) -> Result<VoiceConfig, StoreError> {
        let row = sqlx::query(
            "SELECT live_translate, transcribe, translate_from, translate_to, voice_to_voice, record \
             FROM voice_configs WHERE organization_id = ?",
        )
        .bind(organization.to_string())
        .fetch_optional(&self.readers)
        .await?;
        let Some(row) = row else { return Ok(VoiceConfig::default()) };
        let switch = |column: &str| row.try_get::<i64, _>(column).map(|value| value != 0);
        Ok(VoiceConfig {
            live_translate: switch("live_translate")?,
            transcribe: switch("transcribe")?,
            translate_from: row.try_get("translate_from")?,
            translate_to: row.try_get("translate_to")?,
            voice_to_voice: switch("voice_to_voice")?,
            record: switch("record")?,
        })
    }

    /// Replaces the tenant's settings; running calls keep theirs.
    pub async fn voice_config_put(
        &self,
        organization: OrganizationId,
        settings: &VoiceConfig,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO voice_configs (organization_id, live_translate, transcribe, translate_from, translate_to, \
             voice_to_voice, record, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT (organization_id) DO UPDATE SET live_translate = excluded.live_translate, \
             transcribe = excluded.transcribe, translate_from = excluded.translate_from, \
             translate_to = excluded.translate_to, voice_to_voice = excluded.voice_to_voice, \
             record = excluded.record, updated_at = excluded.updated_at",
        )
        .bind(organization.to_string())
        .bind(i64::from(settings.live_translate))
        .bind(i64::from(settings.transcribe))
        .bind(&settings.translate_from)
        .bind(&settings.translate_to)
        .bind(i64::from(settings.voice_to_voice))
        .bind(i64::from(settings.record))
        .bind(now().as_millisecond())
        .execute(&self.writer)
        .await?;
        Ok(())
    }
}
