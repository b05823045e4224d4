//! Invitations into a tenant. The token in the link is stored as a hash only.
//!
//! ```text
//! create ─▶ open ─ accept, once ─▶ accepted: the person is a member
//!            └─ revoked, replaced by a newer one of the same address, or expired ─▶ closed
//! ```
//!
//! Invariant: acceptance checks the present rights of the inviter, not those at the time of the invitation. Not here:
//! the mail with the link, and which role may grant which (`routes`, `auth`).

use jiff::Timestamp;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::audit_log::{self, ActorKind, By, Deed};
use super::db::{Row, Tx, Value};
use super::user::{self, NewMember};
use super::{Membership, OrganizationId, Place, Role, Store, StoreError, UserId, lookup, membership, now};

/// An invitation into a tenant, open or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Identity of the invitation.
    pub id: Uuid,
    /// E-mail address of the invited person.
    pub email: String,
    /// Role that is granted.
    pub role: Role,
    /// Name of the inviter.
    pub invited_by: String,
    /// Identity of the person or key that invited, if known.
    pub inviter: Option<(ActorKind, Uuid)>,
    /// Time of the invitation.
    pub created_at: Timestamp,
    /// Time at which the invitation expires.
    pub expires_at: Timestamp,
    /// Time at which it was accepted.
    pub accepted_at: Option<Timestamp>,
    /// Time at which it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// An invitation to be created.
#[derive(Clone, Copy)]
pub struct NewInvitation<'a> {
    /// E-mail address of the invited person; stored in lower case.
    pub email: &'a str,
    /// Role that is granted.
    pub role: Role,
    /// SHA-256 of the token in the link, in hex.
    pub token_hash: &'a str,
    /// Time at which the invitation expires.
    pub expires_at: Timestamp,
}

/// Present rights of the inviter of an invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inviter {
    /// A member with this role.
    Member(Role),
    /// A valid key with these scopes; `None` grants everything that keys may do.
    Key(Option<Vec<String>>),
    /// No longer a member or a valid key.
    Gone,
}

/// Result of revoking an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvitationChange {
    /// The invitation is revoked.
    Done,
    /// There is no such open invitation.
    NoSuch,
    /// The requester lacks rights that its role has.
    BeyondRights,
}

/// The person who accepts an invitation.
pub enum Joining<'a> {
    /// A person without an account.
    New(NewMember<'a>),
    /// A person with an account, and their SIP user name in the tenant.
    Known(UserId, &'a str),
}

const COLUMNS: &str =
    "id, email, role, invited_by, inviter_kind, inviter_id, created_at, expires_at, accepted_at, revoked_at";

fn invitation(row: &Row) -> Result<Invitation, StoreError> {
    let kind = match row.text_opt("inviter_kind")?.as_deref() {
        Some("user") => Some(ActorKind::User),
        Some("key") => Some(ActorKind::Key),
        _ => None,
    };
    Ok(Invitation {
        inviter: kind.zip(row.uuid_opt("inviter_id")?),
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
    /// Returns whether the invitation can still be accepted at this time.
    pub fn is_open(&self, at: Timestamp) -> bool {
        self.accepted_at.is_none() && self.revoked_at.is_none() && self.expires_at > at
    }
}

async fn inviter(tx: &mut Tx, organization: OrganizationId, invitation: &Invitation) -> Result<Inviter, StoreError> {
    let Some((kind, id)) = invitation.inviter else { return Ok(Inviter::Gone) };
    let row = if kind == ActorKind::User {
        let sql = "SELECT role FROM memberships WHERE organization_id = $1 AND user_id = $2";
        tx.row(sql, &[organization.into(), id.into()]).await?
    } else {
        let sql = "SELECT scopes FROM api_keys WHERE organization_id = $1 AND id = $2 AND revoked_at IS NULL \
                   AND (expires_at IS NULL OR expires_at > $3)";
        tx.row(sql, &[organization.into(), id.into(), now().into()]).await?
    };
    Ok(match row {
        None => Inviter::Gone,
        Some(row) if kind == ActorKind::User => {
            Inviter::Member(row.text("role")?.parse().map_err(|_| StoreError::Corrupt { column: "role" })?)
        }
        Some(row) => Inviter::Key(row.json_opt("scopes")?),
    })
}

impl Store {
    /// Creates an invitation and revokes earlier open ones of the same address. `covers` tells whether the requester
    /// has all rights of a role; `None` if it refuses the role of an earlier invitation.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when a member has the address; else when the database fails.
    pub async fn invitation_create(
        &self,
        organization: OrganizationId,
        new: NewInvitation<'_>,
        covers: impl Fn(Role) -> bool,
        by: &By,
    ) -> Result<Option<Invitation>, StoreError> {
        let created = Invitation {
            id: Uuid::now_v7(),
            email: new.email.to_lowercase(),
            role: new.role,
            invited_by: by.name.clone(),
            inviter: by.id.map(|id| (by.kind, id)),
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
        let sql = format!(
            "SELECT {COLUMNS} FROM invitations \
             WHERE organization_id = $1 AND email = $2 AND accepted_at IS NULL AND revoked_at IS NULL"
        );
        for row in tx.rows(AssertSqlSafe(sql), &[organization.into(), (&created.email).into()]).await? {
            let earlier = invitation(&row)?;
            if earlier.is_open(now()) && !covers(earlier.role) {
                return Ok(None);
            }
        }
        let sql = "UPDATE invitations SET revoked_at = $1 \
                   WHERE organization_id = $2 AND email = $3 AND accepted_at IS NULL AND revoked_at IS NULL";
        tx.run(sql, &[now().into(), organization.into(), (&created.email).into()]).await?;
        let sql = "INSERT INTO invitations (id, organization_id, email, role, token_hash, invited_by, inviter_kind, \
                   inviter_id, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        let values = [
            created.id.into(),
            organization.into(),
            (&created.email).into(),
            created.role.as_str().into(),
            new.token_hash.into(),
            (&created.invited_by).into(),
            created.inviter.map(|(kind, _)| kind.as_str()).into(),
            created.inviter.map(|(_, id)| id).into(),
            created.created_at.into(),
            created.expires_at.into(),
        ];
        tx.run(sql, &values).await?;
        let deed = Deed::new("invitation.create", format!("invitation:{}", created.id))
            .after(serde_json::json!({"email": created.email, "role": created.role}));
        audit_log::append(&mut tx, organization, by, &deed).await?;
        tx.commit().await?;
        Ok(Some(created))
    }

    /// Returns a tenant's invitations after this place, newest first.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn invitation_list(
        &self,
        organization: OrganizationId,
        after: Place,
        limit: u32,
    ) -> Result<Vec<Invitation>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM invitations WHERE organization_id = $1 AND (created_at, id) < ($2, $3) \
             ORDER BY created_at DESC, id DESC LIMIT $4"
        );
        let values: [Value; 4] = [organization.into(), after.at.into(), after.id.into(), limit.into()];
        self.db.rows(organization, AssertSqlSafe(sql), &values).await?.iter().map(invitation).collect()
    }

    /// Revokes an invitation. `covers` tells whether the requester has all rights of a role.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn invitation_revoke(
        &self,
        organization: OrganizationId,
        id: Uuid,
        covers: impl Fn(Role) -> bool,
        by: &By,
    ) -> Result<InvitationChange, StoreError> {
        let mut tx = self.db.write(organization).await?;
        let sql = format!("SELECT {COLUMNS} FROM invitations WHERE organization_id = $1 AND id = $2");
        let row = tx.row(AssertSqlSafe(sql), &[organization.into(), id.into()]).await?;
        if row.as_ref().map(invitation).transpose()?.is_some_and(|found| !covers(found.role)) {
            return Ok(InvitationChange::BeyondRights);
        }
        let sql = "UPDATE invitations SET revoked_at = $1 \
                   WHERE organization_id = $2 AND id = $3 AND accepted_at IS NULL AND revoked_at IS NULL";
        let done = tx.run(sql, &[now().into(), organization.into(), id.into()]).await? == 1;
        if done {
            let deed = Deed::new("invitation.revoke", format!("invitation:{id}"));
            audit_log::append(&mut tx, organization, by, &deed).await?;
            tx.commit().await?;
        }
        Ok(if done { InvitationChange::Done } else { InvitationChange::NoSuch })
    }

    /// Returns the present rights of the inviter of an invitation.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn invitation_inviter(
        &self,
        organization: OrganizationId,
        invitation: &Invitation,
    ) -> Result<Inviter, StoreError> {
        let mut tx = self.db.read(organization).await?;
        let inviter = inviter(&mut tx, organization, invitation).await?;
        tx.commit().await?;
        Ok(inviter)
    }

    /// Returns the open invitation of this link and its tenant. This look-up runs before the tenant is known.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn invitation_by_hash(
        &self,
        token_hash: &str,
    ) -> Result<Option<(OrganizationId, Invitation)>, StoreError> {
        let Some(organization) = lookup::invitation(&self.db, token_hash).await? else { return Ok(None) };
        let sql = format!("SELECT {COLUMNS} FROM invitations WHERE organization_id = $1 AND token_hash = $2");
        let row = self.db.row(organization, AssertSqlSafe(sql), &[organization.into(), token_hash.into()]).await?;
        let found = row.as_ref().map(invitation).transpose()?;
        Ok(found.filter(|found| found.is_open(now())).map(|found| (organization, found)))
    }

    /// Accepts an invitation, once, and makes the person a member. `None` if it is no longer open or `may` refuses the
    /// present rights of its inviter.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the e-mail address or the SIP name is taken; else when the database fails.
    pub async fn invitation_accept(
        &self,
        organization: OrganizationId,
        invitation: &Invitation,
        may: impl Fn(&Inviter) -> bool,
        joining: Joining<'_>,
        by: By,
    ) -> Result<Option<(By, Membership)>, StoreError> {
        let mut tx = self.db.write(organization).await?;
        if !may(&inviter(&mut tx, organization, invitation).await?) {
            return Ok(None);
        }
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
        self.settings_changed(organization);
        Ok(Some((by, joined)))
    }
}
