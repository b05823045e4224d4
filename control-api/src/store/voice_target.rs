//! Named numbers and SIP addresses that an organization calls often.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit_log::{By, Deed};
use super::db::Row;
use super::{OrganizationId, Place, Store, StoreError, now, taken};

/// A named destination that is called often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct VoiceTarget {
    /// Identity of the target.
    pub id: Uuid,
    /// Name, unique in its organization.
    #[schema(example = "Front desk")]
    pub name: String,
    /// E.164 number or `sip:` URI.
    #[schema(example = "+15555550142")]
    pub address: String,
    /// Time at which it was added.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Time of the last change.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

fn target(row: &Row) -> Result<VoiceTarget, StoreError> {
    Ok(VoiceTarget {
        id: row.uuid("id")?,
        name: row.text("name")?,
        address: row.text("address")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

/// Returns the target of an action in the audit log.
fn of(id: Uuid) -> String {
    format!("target:{id}")
}

const NAME: &str = "a target of this name";

impl Store {
    /// Returns a tenant's targets after a place, the oldest first.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn voice_target_list(
        &self,
        organization: OrganizationId,
        after: Place,
        limit: u32,
    ) -> Result<Vec<VoiceTarget>, StoreError> {
        let sql = "SELECT id, name, address, created_at, updated_at FROM voice_targets WHERE organization_id = $1 \
                   AND (created_at, id) > ($2, $3) ORDER BY created_at, id LIMIT $4";
        let values = [organization.into(), after.at.into(), after.id.into(), limit.into()];
        self.db.rows(organization, sql, &values).await?.iter().map(target).collect()
    }

    /// Returns one target of a tenant.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn voice_target_show(
        &self,
        organization: OrganizationId,
        id: Uuid,
    ) -> Result<Option<VoiceTarget>, StoreError> {
        let sql = "SELECT id, name, address, created_at, updated_at FROM voice_targets \
                   WHERE organization_id = $1 AND id = $2";
        let row = self.db.row(organization, sql, &[organization.into(), id.into()]).await?;
        row.as_ref().map(target).transpose()
    }

    /// Adds a target, with its row in the audit log.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the tenant has a target with this name; else when the database fails.
    pub async fn voice_target_create(
        &self,
        organization: OrganizationId,
        name: &str,
        address: &str,
        by: &By,
    ) -> Result<VoiceTarget, StoreError> {
        let at = now();
        let new = VoiceTarget {
            id: Uuid::now_v7(),
            name: name.into(),
            address: address.into(),
            created_at: at,
            updated_at: at,
        };
        let sql = "INSERT INTO voice_targets (id, organization_id, name, address, created_at, updated_at) \
                   VALUES ($1, $2, $3, $4, $5, $5)";
        let values = [new.id.into(), organization.into(), name.into(), address.into(), at.into()];
        let deed = Deed::new("target.create", of(new.id)).after(&new);
        self.run_audited(organization, sql, &values, by, deed).await.map_err(taken(NAME))?;
        Ok(new)
    }

    /// Changes a tenant's target, with its row in the audit log. Returns `false` if there is no such target.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when another target has the name; else when the database fails.
    pub async fn voice_target_update(
        &self,
        organization: OrganizationId,
        before: &VoiceTarget,
        changed: &VoiceTarget,
        by: &By,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE voice_targets SET name = $3, address = $4, updated_at = $5 \
                   WHERE organization_id = $1 AND id = $2";
        let values = [
            organization.into(),
            changed.id.into(),
            (&changed.name).into(),
            (&changed.address).into(),
            changed.updated_at.into(),
        ];
        let deed = Deed::new("target.update", of(changed.id)).before(before).after(changed);
        self.run_audited(organization, sql, &values, by, deed).await.map_err(taken(NAME))
    }

    /// Removes a tenant's target, with its row in the audit log. Returns `false` if there is no such target.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn voice_target_delete(
        &self,
        organization: OrganizationId,
        before: &VoiceTarget,
        by: &By,
    ) -> Result<bool, StoreError> {
        let sql = "DELETE FROM voice_targets WHERE organization_id = $1 AND id = $2";
        let deed = Deed::new("target.delete", of(before.id)).before(before);
        self.run_audited(organization, sql, &[organization.into(), before.id.into()], by, deed).await
    }
}
