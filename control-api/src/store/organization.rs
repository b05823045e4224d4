//! Tenants.

use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::{OrganizationId, Store, StoreError, now, taken, time_column, uuid_column};

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Identity.
    pub id: OrganizationId,
    /// Unique name.
    pub name: String,
    /// Since when.
    pub created_at: Timestamp,
}

fn organization(row: &SqliteRow) -> Result<Organization, StoreError> {
    Ok(Organization {
        id: OrganizationId(uuid_column(row, "id")?),
        name: row.try_get("name")?,
        created_at: time_column(row, "created_at")?,
    })
}

impl Store {
    /// A new tenant. `Taken` when the name exists.
    pub async fn organization_create(&self, name: &str) -> Result<Organization, StoreError> {
        if !self.keeps() {
            return Err(StoreError::None);
        }
        let created = Organization { id: OrganizationId(Uuid::now_v7()), name: name.to_owned(), created_at: now() };
        sqlx::query("INSERT INTO organizations (id, name, created_at) VALUES (?, ?, ?)")
            .bind(created.id.to_string())
            .bind(name)
            .bind(created.created_at.as_millisecond())
            .execute(&self.writer)
            .await
            .map_err(taken("an organization of this name"))?;
        Ok(created)
    }

    /// The tenant of this name.
    pub async fn organization_by_name(&self, name: &str) -> Result<Option<Organization>, StoreError> {
        let row = sqlx::query("SELECT id, name, created_at FROM organizations WHERE name = ?")
            .bind(name)
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(organization).transpose()
    }

    /// A tenant by identity.
    pub async fn organization_by_id(&self, id: OrganizationId) -> Result<Option<Organization>, StoreError> {
        let row = sqlx::query("SELECT id, name, created_at FROM organizations WHERE id = ?")
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(organization).transpose()
    }

    /// The default tenant: the oldest. It owns incoming calls that no agent's name gives to another.
    pub async fn organization_default(&self) -> Result<Option<Organization>, StoreError> {
        let row = sqlx::query("SELECT id, name, created_at FROM organizations ORDER BY created_at, id LIMIT 1")
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(organization).transpose()
    }
}
