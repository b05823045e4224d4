//! Invitations into a tenant. What stands in the link is kept as a hash only.

use jiff::Timestamp;
use uuid::Uuid;

use super::audit_log::{self, By, Deed};
use super::db::{Row, Value};
use super::user::{self, NewMember};
use super::{Membership, OrganizationId, Place, Role, Store, StoreError, UserId, lookup, membership, now};

/// An invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Identity.
    pub id: Uuid,
    /// Who is invited.
    pub email: String,
    /// As what.
    pub role: Role,
    /// Name of who invited.
    pub invited_by: String,
    /// Since when.
    pub created_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
    /// When it was taken.
    pub accepted_at: Option<Timestamp>,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
}

/// An invitation to be made.
#[derive(Clone, Copy)]
pub struct NewInvitation<'a> {
    /// Who is invited; kept in lower case.
    pub email: &'a str,
    /// As what.
    pub role: Role,
    /// SHA-256 of what stands in the link, in hex.
    pub token_hash: &'a str,
    /// Until when.
    pub expires_at: Timestamp,
}

/// Who takes an invitation.
pub enum Joining<'a> {
    /// Somebody new.
    New(NewMember<'a>),
    /// Somebody who has an account, under this SIP name.
    Known(UserId, &'a str),
}

const COLUMNS: &str = "id, email, role, invited_by, created_at, expires_at, accepted_at, revoked_at";

fn invitation(row: &Row) -> Result<Invitation, StoreError> {
    Ok(Invitation {
        id: row.uuid("id")?,
        email: row.text("email")?,
        role: row.text("role")?.parse().map_err(|_| StoreError::Corrupt { column: "role" })?,
        invited_by: row.text("invited_by")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
        accepted_at: row.time_opt("accepted_at")?,
        revoked_at: row.time_opt("revoked_at")?,
    })
}

impl Invitation {
    /// Whether it can still be taken.
    pub fn is_open(&self, at: Timestamp) -> bool {
        self.accepted_at.is_none() && self.revoked_at.is_none() && self.expires_at > at
    }
}

impl Store {
    /// Invites somebody; earlier open invitations of the same address end. `Taken` when the address is a member's.
    pub async fn invitation_create(
        &self,
        organization: OrganizationId,
        new: NewInvitation<'_>,
        by: &By,
    ) -> Result<Invitation, StoreError> {
        let created = Invitation {
            id: Uuid::now_v7(),
            email: new.email.to_lowercase(),
            role: new.role,
            invited_by: by.name.clone(),
            created_at: now(),
            expires_at: new.expires_at,
            accepted_at: None,
            revoked_at: None,
        };
        let mut tx = self.db.write(organization).await?;
        let sql = "SELECT m.user_id FROM memberships m JOIN users u ON u.id = m.user_id \
                   WHERE m.organization_id = $1 AND u.email = $2";
        if tx.row(sql, &[organization.into(), (&created.email).into()]).await?.is_some() {
            return Err(StoreError::Taken("a member with this e-mail address"));
        }
        let sql = "UPDATE invitations SET revoked_at = $1 \
                   WHERE organization_id = $2 AND email = $3 AND accepted_at IS NULL AND revoked_at IS NULL";
        tx.run(sql, &[now().into(), organization.into(), (&created.email).into()]).await?;
        let sql = "INSERT INTO invitations (id, organization_id, email, role, token_hash, invited_by, created_at, expires_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let values = [
            created.id.into(),
            organization.into(),
            (&created.email).into(),
            created.role.as_str().into(),
            new.token_hash.into(),
            (&created.invited_by).into(),
            created.created_at.into(),
            created.expires_at.into(),
        ];
        tx.run(sql, &values).await?;
        let deed = Deed::new("invitation.create", format!("invitation:{}", created.id))
            .after(serde_json::json!({"email": created.email, "role": created.role}));
        audit_log::append(&mut tx, organization, by, &deed).await?;
        tx.commit().await?;
        Ok(created)
    }

    /// A tenant's invitations, newest first, after this place.
    pub async fn invitation_list(
        &self,
        organization: OrganizationId,
        after: Place,
        limit: u32,
    ) -> Result<Vec<Invitation>, StoreError> {
        let sql = "SELECT id, email, role, invited_by, created_at, expires_at, accepted_at, revoked_at FROM invitations \
                   WHERE organization_id = $1 AND (created_at, id) < ($2, $3) ORDER BY created_at DESC, id DESC LIMIT $4";
        let values: [Value; 4] = [organization.into(), after.at.into(), after.id.into(), limit.into()];
        self.db.rows(organization, sql, &values).await?.iter().map(invitation).collect()
    }

    /// Takes an invitation back. `false`: there is no such open one.
    pub async fn invitation_revoke(&self, organization: OrganizationId, id: Uuid, by: &By) -> Result<bool, StoreError> {
        let mut tx = self.db.write(organization).await?;
        let sql = "UPDATE invitations SET revoked_at = $1 \
                   WHERE organization_id = $2 AND id = $3 AND accepted_at IS NULL AND revoked_at IS NULL";
        let done = tx.run(sql, &[now().into(), organization.into(), id.into()]).await? == 1;
        if done {
            let deed = Deed::new("invitation.revoke", format!("invitation:{id}"));
            audit_log::append(&mut tx, organization, by, &deed).await?;
            tx.commit().await?;
        }
        Ok(done)
    }

    /// The open invitation of this link. Look-up before a tenant is known.
    pub async fn invitation_by_hash(
        &self,
        token_hash: &str,
    ) -> Result<Option<(OrganizationId, Invitation)>, StoreError> {
        let Some(organization) = lookup::invitation(&self.db, token_hash).await? else { return Ok(None) };
        let sql = sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM invitations WHERE organization_id = $1 AND token_hash = $2"
        ));
        let row = self.db.row(organization, sql, &[organization.into(), token_hash.into()]).await?;
        let found = row.as_ref().map(invitation).transpose()?;
        Ok(found.filter(|found| found.is_open(now())).map(|found| (organization, found)))
    }

    /// Makes somebody a member by an invitation, once. Nothing: it is not open any more.
    pub async fn invitation_accept(
        &self,
        organization: OrganizationId,
        invitation: &Invitation,
        joining: Joining<'_>,
        by: By,
    ) -> Result<Option<(By, Membership)>, StoreError> {
        let mut tx = self.db.write(organization).await?;
        let sql = "UPDATE invitations SET accepted_at = $1 WHERE organization_id = $2 AND id = $3 \
                   AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > $1";
        if tx.run(sql, &[now().into(), organization.into(), invitation.id.into()]).await? != 1 {
            return Ok(None);
        }
        let (user, sip_name) = match joining {
            Joining::New(new) => {
                (user::insert(&mut tx, new.email, new.name, new.password_hash).await?.id, new.sip_name)
            }
            Joining::Known(user, sip_name) => (user, sip_name),
        };
        let joined = membership::insert(&mut tx, organization, user, invitation.role, sip_name).await?;
        let by = By { id: Some(user.0), ..by };
        let deed = Deed::new("invitation.accept", format!("invitation:{}", invitation.id))
            .after(serde_json::json!({"user_id": user.0, "role": joined.role, "sip_name": joined.sip_name}));
        audit_log::append(&mut tx, organization, &by, &deed).await?;
        tx.commit().await?;
        Ok(Some((by, joined)))
    }
}
