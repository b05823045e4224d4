//! Invitations into a tenant. What stands in the link is kept as a hash only.

use jiff::Timestamp;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::audit_log::{self, ActorKind, By, Deed};
use super::db::{Row, Tx, Value};
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
    /// Identity of the person or key that invited, where it is known.
    pub inviter: Option<(ActorKind, Uuid)>,
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

/// What the inviter of an invitation may do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inviter {
    /// A member with this role.
    Member(Role),
    /// A valid key with these scopes; nothing: all that a key may.
    Key(Option<Vec<String>>),
    /// No member and no valid key any more.
    Gone,
}

/// What became of taking an invitation back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvitationChange {
    /// Done.
    Done,
    /// There is no such open one.
    NoSuch,
    /// Whoever asks may not do all that its role may do.
    BeyondRights,
}

/// Who takes an invitation.
pub enum Joining<'a> {
    /// Somebody new.
    New(NewMember<'a>),
    /// Somebody who has an account, under this SIP name.
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
    /// Whether it can still be taken.
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
    /// Invites somebody; earlier open invitations of the same address end. `Taken` when the address is a member's.
    /// Nothing: one of those has a role that `covers` (whether whoever asks may do all that a role may) does not take.
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

    /// A tenant's invitations, newest first, after this place.
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

    /// Takes an invitation back. `covers`: whether whoever asks may do all that a role may.
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

    /// What the inviter of an invitation may do now.
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

    /// The open invitation of this link. Look-up before a tenant is known.
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

    /// Makes somebody a member by an invitation, once. Nothing: it is not open any more, or `may` does not take what its
    /// inviter may do now.
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
