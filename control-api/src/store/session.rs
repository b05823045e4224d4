//! Browser sessions. The value of the cookie itself is never stored.

use std::time::Duration;

use jiff::Timestamp;

use super::audit_log::{self, By, Deed};
use super::{Membership, OrganizationId, Store, StoreError, UserId, lookup, membership, now};

/// A session that has not expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Person, organization and role, read at each request, so that a changed role takes effect at once.
    pub membership: Membership,
    /// Name of the person, as pages show it.
    pub user_name: String,
    /// E-mail address, the log-in name.
    pub email: String,
    /// Time at which the session ends.
    pub expires_at: Timestamp,
}

impl Store {
    /// Creates a session. `token_hash` is the SHA-256 of the cookie's value in hex.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn session_create(
        &self,
        organization: OrganizationId,
        user: UserId,
        token_hash: &str,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO sessions (token_hash, organization_id, user_id, created_at, expires_at) \
                   VALUES ($1, $2, $3, $4, $5)";
        let values = [token_hash.into(), organization.into(), user.into(), now().into(), expires_at.into()];
        self.db.run(organization, sql, &values).await?;
        Ok(())
    }

    /// Creates a session after a log-in and records the log-in. `token_hash` is the SHA-256 of the cookie's value in
    /// hex.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn session_open(
        &self,
        membership: &Membership,
        token_hash: &str,
        expires_at: Timestamp,
        by: &By,
    ) -> Result<(), StoreError> {
        let (organization, user, at) = (membership.organization, membership.user, now());
        let mut tx = self.db.write(organization).await?;
        let sql = "INSERT INTO sessions (token_hash, organization_id, user_id, created_at, expires_at) \
                   VALUES ($1, $2, $3, $4, $5)";
        let values = [token_hash.into(), organization.into(), user.into(), at.into(), expires_at.into()];
        tx.run(sql, &values).await?;
        let sql = "UPDATE memberships SET last_login_at = $1 WHERE organization_id = $2 AND user_id = $3";
        tx.run(sql, &[at.into(), organization.into(), user.into()]).await?;
        let deed = Deed::new("session.open", format!("user:{user}"));
        audit_log::append(&mut tx, organization, by, &deed).await?;
        tx.commit().await
    }

    /// Replaces the token of a session and extends it, to at most `longest` after its log-in. Returns the new end, or
    /// `None` if the session has ended.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn session_refresh(
        &self,
        organization: OrganizationId,
        token_hash: &str,
        new_token_hash: &str,
        expires_at: Timestamp,
        longest: Duration,
    ) -> Result<Option<Timestamp>, StoreError> {
        let mut tx = self.db.write(organization).await?;
        let sql = "SELECT created_at FROM sessions WHERE organization_id = $1 AND token_hash = $2 AND expires_at > $3";
        let Some(row) = tx.row(sql, &[organization.into(), token_hash.into(), now().into()]).await? else {
            return Ok(None);
        };
        let expires_at = expires_at.min(row.time("created_at")? + longest);
        let sql = "UPDATE sessions SET token_hash = $1, expires_at = $2 WHERE organization_id = $3 AND token_hash = $4";
        let values = [new_token_hash.into(), expires_at.into(), organization.into(), token_hash.into()];
        let changed = tx.run(sql, &values).await?;
        tx.commit().await?;
        Ok((changed == 1).then_some(expires_at))
    }

    /// Returns the session with this hash, unless it has expired. This look-up runs before the tenant is known.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn session_by_hash(&self, token_hash: &str) -> Result<Option<Session>, StoreError> {
        let Some(organization) = lookup::session(&self.db, token_hash).await? else { return Ok(None) };
        let sql = "SELECT m.organization_id, m.user_id, m.role, m.sip_name, s.expires_at, u.name, u.email \
                   FROM sessions s \
                   JOIN memberships m ON m.organization_id = s.organization_id AND m.user_id = s.user_id \
                   JOIN users u ON u.id = s.user_id \
                   WHERE s.organization_id = $1 AND s.token_hash = $2 AND s.expires_at > $3";
        let row = self.db.row(organization, sql, &[organization.into(), token_hash.into(), now().into()]).await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Session {
            membership: membership::membership(&row)?,
            user_name: row.text("name")?,
            email: row.text("email")?,
            expires_at: row.time("expires_at")?,
        }))
    }

    /// Ends a session. Does nothing if there is none with this hash.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn session_delete(&self, token_hash: &str) -> Result<(), StoreError> {
        let Some(organization) = lookup::session(&self.db, token_hash).await? else { return Ok(()) };
        let sql = "DELETE FROM sessions WHERE organization_id = $1 AND token_hash = $2";
        self.db.run(organization, sql, &[organization.into(), token_hash.into()]).await?;
        Ok(())
    }

    /// Removes a tenant's expired sessions. Returns their number.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn session_expire(&self, organization: OrganizationId) -> Result<u64, StoreError> {
        let sql = "DELETE FROM sessions WHERE organization_id = $1 AND expires_at <= $2";
        self.db.run(organization, sql, &[organization.into(), now().into()]).await
    }
}
