//! Browser sessions. The cookie's value itself is never stored.

use jiff::Timestamp;
use sqlx::Row;

use super::{Membership, OrganizationId, Store, StoreError, UserId, now, time_column, uuid_column};

/// A running session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Who, where and as what: read at each request, so a changed role holds at once.
    pub membership: Membership,
    /// Shown on pages.
    pub user_name: String,
    /// Log-in name.
    pub email: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl Store {
    /// Starts a session; `token_hash` is the SHA-256 of the cookie's value in hex.
    pub async fn session_create(
        &self,
        organization: OrganizationId,
        user: UserId,
        token_hash: &str,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO sessions (token_hash, organization_id, user_id, created_at, expires_at) \
             VALUES (?, ?, ?, ?, ?)",
        )
        .bind(token_hash)
        .bind(organization.to_string())
        .bind(user.to_string())
        .bind(now().as_millisecond())
        .bind(expires_at.as_millisecond())
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// The session with this hash, unless it has expired. Look-up before a tenant is known.
    pub async fn session_by_hash(&self, token_hash: &str) -> Result<Option<Session>, StoreError> {
        let row = sqlx::query(
            "SELECT s.organization_id, s.user_id, s.expires_at, m.role, m.sip_name, u.name, u.email \
             FROM sessions s \
             JOIN memberships m ON m.organization_id = s.organization_id AND m.user_id = s.user_id \
             JOIN users u ON u.id = s.user_id \
             WHERE s.token_hash = ? AND s.expires_at > ?",
        )
        .bind(token_hash)
        .bind(now().as_millisecond())
        .fetch_optional(&self.readers)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Session {
            membership: Membership {
                organization: OrganizationId(uuid_column(&row, "organization_id")?),
                user: UserId(uuid_column(&row, "user_id")?),
                role: row.try_get::<&str, _>("role")?.parse().map_err(|_| StoreError::Corrupt { column: "role" })?,
                sip_name: row.try_get("sip_name")?,
            },
            user_name: row.try_get("name")?,
            email: row.try_get("email")?,
            expires_at: time_column(&row, "expires_at")?,
        }))
    }

    /// Ends a session.
    pub async fn session_delete(&self, token_hash: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM sessions WHERE token_hash = ?").bind(token_hash).execute(&self.writer).await?;
        Ok(())
    }

    /// Removes sessions that have expired; how many.
    pub async fn session_expire(&self) -> Result<u64, StoreError> {
        let done = sqlx::query("DELETE FROM sessions WHERE expires_at <= ?")
            .bind(now().as_millisecond())
            .execute(&self.writer)
            .await?;
        Ok(done.rows_affected())
    }
}
