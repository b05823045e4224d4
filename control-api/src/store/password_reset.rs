//! Links that set a new password. The token in a link is stored as a hash only and works once.

use jiff::Timestamp;

use super::audit_log::{self, By, Deed};
use super::{OrganizationId, Store, StoreError, User, UserId, lookup, now};

impl Store {
    /// Stores a link for a member. Earlier links of the same person stay valid until they expire.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn password_reset_create(
        &self,
        organization: OrganizationId,
        user: UserId,
        token_hash: &str,
        expires_at: Timestamp,
        by: &By,
    ) -> Result<(), StoreError> {
        let mut tx = self.db.write(organization).await?;
        let sql = "DELETE FROM password_resets WHERE organization_id = $1 AND expires_at <= $2";
        tx.run(sql, &[organization.into(), now().into()]).await?;
        let sql = "INSERT INTO password_resets (token_hash, organization_id, user_id, created_at, expires_at) \
                   VALUES ($1, $2, $3, $4, $5)";
        let values = [token_hash.into(), organization.into(), user.into(), now().into(), expires_at.into()];
        tx.run(sql, &values).await?;
        audit_log::append(&mut tx, organization, by, &Deed::new("user.password_mail", format!("user:{user}"))).await?;
        tx.commit().await
    }

    /// Uses a link, which invalidates every link of the person. `None` if the link is unknown, expired or was used.
    /// This look-up runs before the tenant is known.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn password_reset_use(&self, token_hash: &str) -> Result<Option<User>, StoreError> {
        let Some(organization) = lookup::password_reset(&self.db, token_hash).await? else { return Ok(None) };
        let mut tx = self.db.write(organization).await?;
        let sql = "DELETE FROM password_resets WHERE organization_id = $1 AND token_hash = $2 AND expires_at > $3 \
                   RETURNING user_id";
        let row = tx.row(sql, &[organization.into(), token_hash.into(), now().into()]).await?;
        let Some(row) = row else { return Ok(None) };
        let user = UserId(row.uuid("user_id")?);
        let sql = "DELETE FROM password_resets WHERE organization_id = $1 AND user_id = $2";
        tx.run(sql, &[organization.into(), user.into()]).await?;
        tx.commit().await?;
        self.user_by_id(organization, user).await
    }
}
