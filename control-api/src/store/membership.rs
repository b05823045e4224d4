//! Memberships: the people of each tenant with their roles and SIP user names.

use super::db::{Row, Tx};
use super::{OrganizationId, Store, StoreError, UserId, lookup, now, taken};
use crate::tenant::role::Role;

/// A person's membership in an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Organization that the person belongs to.
    pub organization: OrganizationId,
    /// Identity of the person.
    pub user: UserId,
    /// Role in the organization.
    pub role: Role,
    /// SIP user name, unique over all organizations; it stays reserved for this organization after the member is gone.
    pub sip_name: String,
}

pub(super) fn membership(row: &Row) -> Result<Membership, StoreError> {
    Ok(Membership {
        organization: OrganizationId(row.uuid("organization_id")?),
        user: UserId(row.uuid("user_id")?),
        role: row.text("role")?.parse().map_err(|_| StoreError::Corrupt { column: "role" })?,
        sip_name: row.text("sip_name")?,
    })
}

/// Adds a person to a tenant. [`StoreError::Taken`] if the SIP name is or ever was another tenant's, or is another
/// member's.
pub(super) async fn insert(
    tx: &mut Tx,
    organization: OrganizationId,
    user: UserId,
    role: Role,
    sip_name: &str,
) -> Result<Membership, StoreError> {
    reserve(tx, organization, sip_name).await?;
    let sql = "INSERT INTO memberships (organization_id, user_id, role, sip_name, created_at) \
               VALUES ($1, $2, $3, $4, $5)";
    let values = [organization.into(), user.into(), role.as_str().into(), sip_name.into(), now().into()];
    tx.run(sql, &values).await.map_err(taken("a member with this SIP name"))?;
    Ok(Membership { organization, user, role, sip_name: sip_name.to_owned() })
}

/// Reserves a SIP name for this tenant for good, because telephones, routes and old calls still name it after its
/// member is gone.
async fn reserve(tx: &mut Tx, organization: OrganizationId, sip_name: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO sip_names (sip_name, organization_id, created_at) VALUES ($1, $2, $3) \
               ON CONFLICT (sip_name) DO NOTHING";
    tx.run(sql, &[sip_name.into(), organization.into(), now().into()]).await?;
    let sql = "SELECT sip_name FROM sip_names WHERE organization_id = $1 AND sip_name = $2";
    match tx.row(sql, &[organization.into(), sip_name.into()]).await? {
        Some(_) => Ok(()),
        None => Err(StoreError::Taken("a member with this SIP name")),
    }
}

impl Store {
    /// Returns a person's membership in a tenant.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn membership_by_user(
        &self,
        organization: OrganizationId,
        user: UserId,
    ) -> Result<Option<Membership>, StoreError> {
        let sql = "SELECT organization_id, user_id, role, sip_name FROM memberships \
                   WHERE organization_id = $1 AND user_id = $2";
        self.db.row(organization, sql, &[organization.into(), user.into()]).await?.as_ref().map(membership).transpose()
    }

    /// Returns all memberships of a person, the oldest first. This look-up runs before the tenant is known.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn membership_list(&self, user: UserId) -> Result<Vec<Membership>, StoreError> {
        let mut memberships = Vec::new();
        for organization in lookup::memberships(&self.db, user).await? {
            memberships.extend(self.membership_by_user(organization, user).await?);
        }
        Ok(memberships)
    }

    /// Returns the member of this tenant with this SIP name.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn membership_by_sip_name(
        &self,
        organization: OrganizationId,
        sip_name: &str,
    ) -> Result<Option<Membership>, StoreError> {
        let sql = "SELECT organization_id, user_id, role, sip_name FROM memberships \
                   WHERE organization_id = $1 AND sip_name = $2";
        let row = self.db.row(organization, sql, &[organization.into(), sip_name.into()]).await?;
        row.as_ref().map(membership).transpose()
    }

    /// Returns the tenant for which a SIP name is reserved, whether or not a member has it now. This look-up runs
    /// before the tenant is known.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn sip_name_organization(&self, sip_name: &str) -> Result<Option<OrganizationId>, StoreError> {
        lookup::sip_name_reserved(&self.db, sip_name).await
    }

    /// Returns the tenant whose member has this SIP name. This look-up runs before the tenant is known.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn membership_organization(&self, sip_name: &str) -> Result<Option<OrganizationId>, StoreError> {
        lookup::sip_name(&self.db, sip_name).await
    }
}
