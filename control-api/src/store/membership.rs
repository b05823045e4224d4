//! Who belongs to which tenant, as what, and under which SIP name.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{OrganizationId, Store, StoreError, UserId, now, taken, uuid_column};

/// A person's part in an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May do everything, including what would remove the organization.
    Owner,
    /// May change settings.
    Admin,
    /// Reads every call.
    Supervisor,
    /// Takes and makes calls.
    Agent,
    /// Reads recordings and records of what was done.
    Compliance,
    /// Reads.
    Viewer,
}

impl Role {
    /// The word in store and API.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Owner => "owner",
            Role::Admin => "admin",
            Role::Supervisor => "supervisor",
            Role::Agent => "agent",
            Role::Compliance => "compliance",
            Role::Viewer => "viewer",
        }
    }

    /// Whether settings of the organization may be changed.
    pub fn configures(self) -> bool {
        matches!(self, Role::Owner | Role::Admin)
    }

    /// Whether calls may be made, ended and spoken into.
    pub fn dials(self) -> bool {
        matches!(self, Role::Owner | Role::Admin | Role::Supervisor | Role::Agent)
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Role, String> {
        [Role::Owner, Role::Admin, Role::Supervisor, Role::Agent, Role::Compliance, Role::Viewer]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| format!("`{text}`: expected owner, admin, supervisor, agent, compliance or viewer"))
    }
}

/// One membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Where.
    pub organization: OrganizationId,
    /// Who.
    pub user: UserId,
    /// As what.
    pub role: Role,
    /// SIP user name, unique over all organizations.
    pub sip_name: String,
}

fn membership(row: &SqliteRow) -> Result<Membership, StoreError> {
    Ok(Membership {
        organization: OrganizationId(uuid_column(row, "organization_id")?),
        user: UserId(uuid_column(row, "user_id")?),
        role: row.try_get::<&str, _>("role")?.parse().map_err(|_| StoreError::Corrupt { column: "role" })?,
        sip_name: row.try_get("sip_name")?,
    })
}

impl Store {
    /// Adds a person to a tenant. `Taken` when the SIP name exists anywhere.
    pub async fn membership_create(
        &self,
        organization: OrganizationId,
        user: UserId,
        role: Role,
        sip_name: &str,
    ) -> Result<Membership, StoreError> {
        sqlx::query(
            "INSERT INTO memberships (organization_id, user_id, role, sip_name, created_at) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(organization.to_string())
        .bind(user.to_string())
        .bind(role.as_str())
        .bind(sip_name)
        .bind(now().as_millisecond())
        .execute(&self.writer)
        .await
        .map_err(taken("a member with this SIP name"))?;
        Ok(Membership { organization, user, role, sip_name: sip_name.to_owned() })
    }

    /// A person's oldest membership: where a log-in leads. Look-up before a tenant is known.
    pub async fn membership_first(&self, user: UserId) -> Result<Option<Membership>, StoreError> {
        let row = sqlx::query(
            "SELECT organization_id, user_id, role, sip_name FROM memberships WHERE user_id = ? \
             ORDER BY created_at, organization_id LIMIT 1",
        )
        .bind(user.to_string())
        .fetch_optional(&self.readers)
        .await?;
        row.as_ref().map(membership).transpose()
    }

    /// A person's membership in a tenant.
    pub async fn membership_by_user(
        &self,
        organization: OrganizationId,
        user: UserId,
    ) -> Result<Option<Membership>, StoreError> {
        let row = sqlx::query(
            "SELECT organization_id, user_id, role, sip_name FROM memberships \
             WHERE organization_id = ? AND user_id = ?",
        )
        .bind(organization.to_string())
        .bind(user.to_string())
        .fetch_optional(&self.readers)
        .await?;
        row.as_ref().map(membership).transpose()
    }

    /// The member of this tenant with this SIP name.
    pub async fn membership_by_sip_name(
        &self,
        organization: OrganizationId,
        sip_name: &str,
    ) -> Result<Option<Membership>, StoreError> {
        let row = sqlx::query(
            "SELECT organization_id, user_id, role, sip_name FROM memberships \
             WHERE sip_name = ? AND organization_id = ?",
        )
        .bind(sip_name)
        .bind(organization.to_string())
        .fetch_optional(&self.readers)
        .await?;
        row.as_ref().map(membership).transpose()
    }

    /// The tenant to which an agent's SIP name belongs. Look-up before a tenant is known.
    pub async fn membership_organization(&self, sip_name: &str) -> Result<Option<OrganizationId>, StoreError> {
        let row = sqlx::query("SELECT organization_id FROM memberships WHERE sip_name = ?")
            .bind(sip_name)
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(|row| uuid_column(row, "organization_id").map(OrganizationId)).transpose()
    }
}
