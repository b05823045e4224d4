//! Tenants.

use jiff::Timestamp;
use uuid::Uuid;

use super::db::Row;
use super::{OrganizationId, Store, StoreError, lookup, now, taken};

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

fn organization(row: &Row) -> Result<Organization, StoreError> {
    Ok(Organization {
        id: OrganizationId(row.uuid("id")?),
        name: row.text("name")?,
        created_at: row.time("created_at")?,
    })
}

impl Store {
    /// A new tenant. `Taken` when the name exists.
    pub async fn organization_create(&self, name: &str) -> Result<Organization, StoreError> {
        if !self.keeps() {
            return Err(StoreError::None);
        }
        let created = Organization { id: OrganizationId(Uuid::now_v7()), name: name.to_owned(), created_at: now() };
        let sql = "INSERT INTO organizations (id, name, created_at) VALUES ($1, $2, $3)";
        let values = [created.id.into(), name.into(), created.created_at.into()];
        self.db.run(created.id, sql, &values).await.map_err(taken("an organization of this name"))?;
        Ok(created)
    }

    /// The tenant of this name.
    pub async fn organization_by_name(&self, name: &str) -> Result<Option<Organization>, StoreError> {
        match lookup::organization_named(&self.db, name).await? {
            Some(id) => self.organization_by_id(id).await,
            None => Ok(None),
        }
    }

    /// A tenant by identity.
    pub async fn organization_by_id(&self, id: OrganizationId) -> Result<Option<Organization>, StoreError> {
        let sql = "SELECT id, name, created_at FROM organizations WHERE id = $1";
        self.db.row(id, sql, &[id.into()]).await?.as_ref().map(organization).transpose()
    }

    /// Every tenant, the oldest first: for jobs, which go tenant by tenant.
    pub async fn organization_list(&self) -> Result<Vec<OrganizationId>, StoreError> {
        lookup::organizations(&self.db).await
    }

    /// The default tenant: the oldest. It owns incoming calls that no agent's name gives to another.
    pub async fn organization_default(&self) -> Result<Option<Organization>, StoreError> {
        match self.organization_list().await?.first() {
            Some(id) => self.organization_by_id(*id).await,
            None => Ok(None),
        }
    }
}
