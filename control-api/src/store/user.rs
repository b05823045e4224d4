//! People and their accounts. Their roles in organizations are in `membership`.

use jiff::Timestamp;
use uuid::Uuid;

use super::audit_log::{self, By, Deed};
use super::db::{Row, Tx};
use super::{Membership, OrganizationId, Role, Store, StoreError, UserId, lookup, membership, now, taken};

/// A person with an account.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Identity of the person.
    pub id: UserId,
    /// E-mail address, the log-in name; lower case, unique.
    pub email: String,
    /// Name of the person, as pages show it.
    pub name: String,
    /// argon2id hash of the password, as a PHC string.
    pub password_hash: String,
    /// Time at which the account was created.
    pub created_at: Timestamp,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A person without an account who joins an organization.
#[derive(Clone, Copy)]
pub struct NewMember<'a> {
    /// E-mail address, the log-in name; stored in lower case.
    pub email: &'a str,
    /// Name of the person, as pages show it.
    pub name: &'a str,
    /// argon2id hash of the password, as a PHC string.
    pub password_hash: &'a str,
    /// Role in the organization.
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

/// Adds a person. The unit of work must belong to a tenant that the person joins. [`StoreError::Taken`] if the e-mail
/// address exists anywhere.
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
    /// Adds a person together with a membership, both or neither.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the e-mail address or the SIP name exists anywhere; else when the database fails.
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

    /// Returns the person with this e-mail address and their oldest membership, to which a log-in leads. `None` if the
    /// person belongs to no organization. This look-up runs before the tenant is known.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn user_by_email(&self, email: &str) -> Result<Option<(User, Membership)>, StoreError> {
        let Some((organization, id)) = lookup::login(&self.db, &email.to_lowercase()).await? else { return Ok(None) };
        let user = self.user_by_id(organization, id).await?;
        let membership = self.membership_by_user(organization, id).await?;
        Ok(user.zip(membership))
    }

    /// Returns a member of a tenant as a person.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn user_by_id(&self, organization: OrganizationId, id: UserId) -> Result<Option<User>, StoreError> {
        let sql = "SELECT u.id, u.email, u.name, u.password_hash, u.created_at FROM users u \
                   JOIN memberships m ON m.user_id = u.id WHERE m.organization_id = $1 AND u.id = $2";
        self.db.row(organization, sql, &[organization.into(), id.into()]).await?.as_ref().map(user).transpose()
    }

    /// Changes a password. Every session of the person ends, in every organization, except the one with the hash `but`.
    /// Returns
    /// `false` if there is no such person.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
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
            // Links that were mailed before the change become invalid.
            let sql = "DELETE FROM password_resets WHERE organization_id = $1 AND user_id = $2";
            tx.run(sql, &[organization.into(), id.into()]).await?;
            let deed = Deed::new("user.password", format!("user:{id}"));
            audit_log::append(&mut tx, organization, by, &deed).await?;
        }
        tx.commit().await?;
        Ok(changed == 1)
    }

    /// Renames a member. Returns `false` if the tenant has no such member.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
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

    /// Returns whether any account exists.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn user_exists(&self) -> Result<bool, StoreError> {
        let sql = self.db.pick("SELECT id FROM users LIMIT 1", "SELECT user_id FROM look_up_any_user()");
        Ok(!self.db.rows_outside(sql, &[]).await?.is_empty())
    }
}
