//! Organizations, which are the tenants, and their own settings.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit_log::{self, By, Deed};
use super::db::{Row, Tx};
use super::{OrganizationId, Store, StoreError, lookup, now, taken};

/// A tenant, without its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Identity of the tenant.
    pub id: OrganizationId,
    /// Name, unique over all tenants.
    pub name: String,
    /// Time at which the tenant was created.
    pub created_at: Timestamp,
}

/// A tenant with its own settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrganizationSettings {
    /// Identity of the tenant.
    pub id: OrganizationId,
    /// Name, unique over all tenants.
    pub name: String,
    /// Time at which the tenant was created.
    pub created_at: Timestamp,
    /// Limits by name, lower than the operator's.
    pub limits: BTreeMap<String, u32>,
    /// Times after which data are removed.
    pub retention: Retention,
}

/// Times after which data are removed, in days; null keeps them for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Days for which recordings are kept.
    pub recordings_days: Option<u32>,
    /// Days for which events of ended calls are kept.
    pub events_days: Option<u32>,
}

/// Changes to a tenant; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrganizationChange {
    /// New name, unique over all tenants.
    pub name: Option<String>,
    /// New limits, which replace all existing ones.
    pub limits: Option<BTreeMap<String, u32>>,
    /// New times after which data are removed.
    pub retention: Option<Retention>,
}

fn settings(row: &Row) -> Result<OrganizationSettings, StoreError> {
    let Organization { id, name, created_at } = organization(row)?;
    Ok(OrganizationSettings { id, name, created_at, limits: row.json("limits")?, retention: row.json("retention")? })
}

async fn settings_in(tx: &mut Tx, id: OrganizationId) -> Result<Option<OrganizationSettings>, StoreError> {
    let sql = "SELECT id, name, created_at, limits, retention FROM organizations WHERE id = $1";
    tx.row(sql, &[id.into()]).await?.as_ref().map(settings).transpose()
}

fn organization(row: &Row) -> Result<Organization, StoreError> {
    Ok(Organization {
        id: OrganizationId(row.uuid("id")?),
        name: row.text("name")?,
        created_at: row.time("created_at")?,
    })
}

impl Store {
    /// Creates a tenant without members.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the name exists; [`StoreError::None`] without a store; else when the database fails.
    pub async fn organization_create(&self, name: &str) -> Result<Organization, StoreError> {
        if !self.keeps() {
            return Err(StoreError::None);
        }
        let created = Organization { id: OrganizationId(Uuid::now_v7()), name: name.to_owned(), created_at: now() };
        let sql = "INSERT INTO organizations (id, name, created_at) VALUES ($1, $2, $3)";
        let values = [created.id.into(), name.into(), created.created_at.into()];
        self.db.run(created.id, sql, &values).await.map_err(taken("an organization of this name"))?;
        self.settings_changed(created.id);
        Ok(created)
    }

    /// Returns the tenant with this name. This look-up runs before the tenant is known.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn organization_by_name(&self, name: &str) -> Result<Option<Organization>, StoreError> {
        match lookup::organization_named(&self.db, name).await? {
            Some(id) => self.organization_by_id(id).await,
            None => Ok(None),
        }
    }

    /// Returns the tenant with this identity.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn organization_by_id(&self, id: OrganizationId) -> Result<Option<Organization>, StoreError> {
        let sql = "SELECT id, name, created_at FROM organizations WHERE id = $1";
        self.db.row(id, sql, &[id.into()]).await?.as_ref().map(organization).transpose()
    }

    /// Returns a tenant with its own settings.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn organization_settings(&self, id: OrganizationId) -> Result<Option<OrganizationSettings>, StoreError> {
        let sql = "SELECT id, name, created_at, limits, retention FROM organizations WHERE id = $1";
        self.db.row(id, sql, &[id.into()]).await?.as_ref().map(settings).transpose()
    }

    /// Changes a tenant and returns its settings. `None` if there is no such tenant.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when another tenant has the new name; else when the database fails.
    pub async fn organization_update(
        &self,
        id: OrganizationId,
        change: OrganizationChange,
        by: &By,
    ) -> Result<Option<OrganizationSettings>, StoreError> {
        let mut tx = self.db.write(id).await?;
        let Some(before) = settings_in(&mut tx, id).await? else { return Ok(None) };
        let after = OrganizationSettings {
            name: change.name.unwrap_or_else(|| before.name.clone()),
            limits: change.limits.unwrap_or_else(|| before.limits.clone()),
            retention: change.retention.unwrap_or(before.retention),
            ..before.clone()
        };
        if after == before {
            return Ok(Some(before));
        }
        let text = |value: serde_json::Result<String>| value.map_err(|_| StoreError::Corrupt { column: "limits" });
        let sql = "UPDATE organizations SET name = $1, limits = $2, retention = $3, updated_at = $4 WHERE id = $5";
        let values = [
            (&after.name).into(),
            text(serde_json::to_string(&after.limits))?.into(),
            text(serde_json::to_string(&after.retention))?.into(),
            now().into(),
            id.into(),
        ];
        tx.run(sql, &values).await.map_err(taken("an organization of this name"))?;
        let told = |of: &OrganizationSettings| serde_json::json!({"name": of.name, "limits": of.limits, "retention": of.retention});
        let deed = Deed::new("organization.update", "organization").before(told(&before)).after(told(&after));
        audit_log::append(&mut tx, id, by, &deed).await?;
        tx.commit().await?;
        Ok(Some(after))
    }

    /// Returns every tenant, the oldest first, for jobs that run tenant by tenant.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn organization_list(&self) -> Result<Vec<OrganizationId>, StoreError> {
        lookup::organizations(&self.db).await
    }

    /// Returns the default tenant, which is the oldest. It owns incoming calls that belong to no other tenant by agent
    /// or number.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn organization_default(&self) -> Result<Option<Organization>, StoreError> {
        match self.organization_list().await?.first() {
            Some(id) => self.organization_by_id(*id).await,
            None => Ok(None),
        }
    }
}
