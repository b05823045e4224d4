//! People. What they may do where is in `membership`.

use jiff::Timestamp;
use uuid::Uuid;

use super::audit_log::{self, By, Deed};
use super::db::{Row, Tx};
use super::{Membership, OrganizationId, Role, Store, StoreError, UserId, lookup, membership, now, taken};

/// A person.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Identity.
    pub id: UserId,
    /// Log-in name, lower case, unique.
    pub email: String,
    /// Shown on pages.
    pub name: String,
    /// argon2id, as a PHC string.
    pub password_hash: String,
    /// Since when.
    pub created_at: Timestamp,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Somebody who joins an organization.
#[derive(Clone, Copy)]
pub struct NewMember<'a> {
    /// Log-in name; kept in lower case.
    pub email: &'a str,
    /// Shown on pages.
    pub name: &'a str,
    /// argon2id, as a PHC string.
    pub password_hash: &'a str,
    /// As what.
    pub role: Role,
    /// SIP user name, unique over all organizations.
    pub sip_name: &'a str,
}

fn user(row: &Row) -> Result<User, StoreError> {
    Ok(User {
        id: UserId(row.uuid("id")?),
        email: row.text("email")?,
        name: row.text("name")?,
        password_hash: row.text("password_hash")?,
        created_at: row.time("created_at")?,
    })
}

/// A new person; the unit of work must be a tenant's that the person joins. `Taken` when the e-mail address exists anywhere.
pub(super) async fn insert(tx: &mut Tx, email: &str, name: &str, password_hash: &str) -> Result<User, StoreError> {
    let created = User {
        id: UserId(Uuid::now_v7()),
        email: email.to_lowercase(),
        name: name.to_owned(),
        password_hash: password_hash.to_owned(),
        created_at: now(),
    };
    let sql = "INSERT INTO users (id, email, name, password_hash, created_at) VALUES ($1, $2, $3, $4, $5)";
    let values =
        [created.id.into(), (&created.email).into(), name.into(), password_hash.into(), created.created_at.into()];
    tx.run(sql, &values).await.map_err(taken("a user with this e-mail address"))?;
    Ok(created)
}

impl Store {
    /// A new person and the membership, both or none. `Taken` when the e-mail address or the SIP name exists anywhere.
    pub async fn user_create(
        &self,
        organization: OrganizationId,
        new: NewMember<'_>,
    ) -> Result<(User, Membership), StoreError> {
        let mut tx = self.db.write(organization).await?;
        let created = insert(&mut tx, new.email, new.name, new.password_hash).await?;
        let joined = membership::insert(&mut tx, organization, created.id, new.role, new.sip_name).await?;
        tx.commit().await?;
        self.settings_changed(organization);
        Ok((created, joined))
    }

    /// The person with this e-mail address, and the oldest membership: where a log-in leads. Nothing for somebody who
    /// belongs to no organization. Look-up before a tenant is known.
    pub async fn user_by_email(&self, email: &str) -> Result<Option<(User, Membership)>, StoreError> {
        let Some((organization, id)) = lookup::login(&self.db, &email.to_lowercase()).await? else { return Ok(None) };
        let user = self.user_by_id(organization, id).await?;
        let membership = self.membership_by_user(organization, id).await?;
        Ok(user.zip(membership))
    }

    /// A tenant's member.
    pub async fn user_by_id(&self, organization: OrganizationId, id: UserId) -> Result<Option<User>, StoreError> {
        let sql = "SELECT u.id, u.email, u.name, u.password_hash, u.created_at FROM users u \
                   JOIN memberships m ON m.user_id = u.id WHERE m.organization_id = $1 AND u.id = $2";
        self.db.row(organization, sql, &[organization.into(), id.into()]).await?.as_ref().map(user).transpose()
    }

    /// A new password; every session of the person ends, in every organization, but the one with the hash `but`. `false`:
    /// no such person.
    pub async fn user_password_change(
        &self,
        id: UserId,
        password_hash: &str,
        but: Option<&str>,
        by: &By,
    ) -> Result<bool, StoreError> {
        let organizations = lookup::memberships(&self.db, id).await?;
        let mut tx = self.db.write_outside().await?;
        let mut changed = 0;
        for organization in organizations {
            tx.enter(organization).await?;
            let sql = "UPDATE users SET password_hash = $1 WHERE id = $2";
            changed = tx.run(sql, &[password_hash.into(), id.into()]).await?;
            let sql = "DELETE FROM sessions WHERE organization_id = $1 AND user_id = $2 AND token_hash <> $3";
            tx.run(sql, &[organization.into(), id.into(), but.unwrap_or_default().into()]).await?;
            // What was mailed for the old password is worth nothing now.
            let sql = "DELETE FROM password_resets WHERE organization_id = $1 AND user_id = $2";
            tx.run(sql, &[organization.into(), id.into()]).await?;
            let deed = Deed::new("user.password", format!("user:{id}"));
            audit_log::append(&mut tx, organization, by, &deed).await?;
        }
        tx.commit().await?;
        Ok(changed == 1)
    }

    /// A member's new name. `false`: the tenant has no such member.
    pub async fn user_rename(
        &self,
        organization: OrganizationId,
        id: UserId,
        name: &str,
        by: &By,
    ) -> Result<bool, StoreError> {
        let mut tx = self.db.write(organization).await?;
        let sql = "SELECT u.name FROM users u JOIN memberships m ON m.user_id = u.id \
                   WHERE m.organization_id = $1 AND u.id = $2";
        let Some(row) = tx.row(sql, &[organization.into(), id.into()]).await? else { return Ok(false) };
        let before = row.text("name")?;
        tx.run("UPDATE users SET name = $1 WHERE id = $2", &[name.into(), id.into()]).await?;
        let deed = Deed::new("user.update", format!("user:{id}"))
            .before(serde_json::json!({"name": before}))
            .after(serde_json::json!({"name": name}));
        audit_log::append(&mut tx, organization, by, &deed).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Whether anybody could log in.
    pub async fn user_exists(&self) -> Result<bool, StoreError> {
        let sql = self.db.pick("SELECT id FROM users LIMIT 1", "SELECT user_id FROM look_up_any_user()");
        Ok(!self.db.rows_outside(sql, &[]).await?.is_empty())
    }
}
