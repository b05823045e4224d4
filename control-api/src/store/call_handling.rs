//! How an organization handles its calls, beside what is done with their audio.

use serde::Serialize;
use utoipa::ToSchema;

use super::{OrganizationId, Store, StoreError, now};

/// How an organization handles its calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct CallHandling {
    /// Name of the sound of the organization that a party hears who waits: on hold, parked, while a transfer calls somebody. `null`, or a
    /// sound that was removed: a soft tone.
    #[schema(example = "Waltz")]
    pub hold_music: Option<String>,
    /// The parties hear a short tone when somebody begins to supervise them, and every minute while it lasts.
    pub supervision_notice: bool,
}

impl Store {
    /// The tenant's settings; none until they were put.
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

    /// Replaces the tenant's settings.
    pub async fn call_handling_put(
        &self,
        organization: OrganizationId,
        settings: &CallHandling,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO call_handling (organization_id, hold_music, supervision_notice, updated_at) \
                   VALUES ($1, $2, $3, $4) ON CONFLICT (organization_id) DO UPDATE SET \
                   hold_music = excluded.hold_music, supervision_notice = excluded.supervision_notice, \
                   updated_at = excluded.updated_at";
        let CallHandling { hold_music, supervision_notice } = settings;
        let values = [organization.into(), hold_music.into(), (*supervision_notice).into(), now().into()];
        self.db.run(organization, sql, &values).await?;
        Ok(())
    }

    /// The sound that the tenant's parties hear who wait.
    pub async fn hold_music_show(&self, organization: OrganizationId) -> Result<Option<uuid::Uuid>, StoreError> {
        let sql = "SELECT m.id FROM call_handling h JOIN media_files m ON m.organization_id = h.organization_id \
                   AND m.name = h.hold_music WHERE h.organization_id = $1";
        let row = self.db.row(organization, sql, &[organization.into()]).await?;
        row.as_ref().map(|row| row.uuid("id")).transpose()
    }
}
