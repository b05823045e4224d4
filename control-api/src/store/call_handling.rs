//! Settings for the handling of an organization's calls, apart from their audio.

use serde::Serialize;
use utoipa::ToSchema;

use super::audit_log::{By, Deed};
use super::{OrganizationId, Store, StoreError, now};

/// Settings for the handling of an organization's calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct CallHandling {
    /// Name of the organization's sound that waiting parties hear: on hold, parked, or while a transfer calls its target. A soft tone
    /// is played if this is `null` or the sound was removed.
    #[schema(example = "Waltz")]
    pub hold_music: Option<String>,
    /// Whether the parties hear a short tone when a supervisor joins, and every minute while the supervision lasts.
    pub supervision_notice: bool,
}

impl Store {
    /// Returns the tenant's settings; the defaults until they are set.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn call_handling_show(&self, organization: OrganizationId) -> Result<CallHandling, StoreError> {
        let sql = "SELECT hold_music, supervision_notice FROM call_handling WHERE organization_id = $1";
        let Some(row) = self.db.row(organization, sql, &[organization.into()]).await? else {
            return Ok(CallHandling::default());
        };
        Ok(CallHandling {
            hold_music: row.text_opt("hold_music")?,
            supervision_notice: row.bool("supervision_notice")?,
        })
    }

    /// Replaces the tenant's settings for the handling of calls.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn call_handling_put(
        &self,
        organization: OrganizationId,
        before: &CallHandling,
        settings: &CallHandling,
        by: &By,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO call_handling (organization_id, hold_music, supervision_notice, updated_at) \
                   VALUES ($1, $2, $3, $4) ON CONFLICT (organization_id) DO UPDATE SET \
                   hold_music = excluded.hold_music, supervision_notice = excluded.supervision_notice, \
                   updated_at = excluded.updated_at";
        let CallHandling { hold_music, supervision_notice } = settings;
        let values = [organization.into(), hold_music.into(), (*supervision_notice).into(), now().into()];
        let deed = Deed::new("call_handling.update", "call_handling").before(before).after(settings);
        self.run_audited(organization, sql, &values, by, deed).await?;
        Ok(())
    }

    /// Returns the identity of the sound that the tenant's waiting parties hear, if one is set and exists.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn hold_music_show(&self, organization: OrganizationId) -> Result<Option<uuid::Uuid>, StoreError> {
        let sql = "SELECT m.id FROM call_handling h JOIN media_files m ON m.organization_id = h.organization_id \
                   AND m.name = h.hold_music WHERE h.organization_id = $1";
        let row = self.db.row(organization, sql, &[organization.into()]).await?;
        row.as_ref().map(|row| row.uuid("id")).transpose()
    }
}
