//! Links that set a new password. What stands in the link is kept as a hash only, and is good once.

use jiff::Timestamp;

use super::audit_log::{self, By, Deed};
use super::{OrganizationId, Store, StoreError, User, UserId, lookup, now};

impl Store {
    /// Keeps a link for a member; earlier ones of the same person stay good until they end.
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

    /// Uses a link: every link of the person ends. Nothing: it is not good, or was used. Look-up before a tenant is known.
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
