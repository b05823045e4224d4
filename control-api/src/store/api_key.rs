//! API keys: shown once, kept as a hash.

use sqlx::Row;
use uuid::Uuid;

use super::{OrganizationId, Store, StoreError, now, uuid_column};

/// A valid key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Identity.
    pub id: Uuid,
    /// Whose.
    pub organization: OrganizationId,
    /// What it is for.
    pub name: String,
}

/// `last_used_at` is written at most this often per key.
const LAST_USED_STEP_MS: i64 = 60_000;

impl Store {
    /// Keeps a new key; `key_hash` is its SHA-256 in hex.
    pub async fn api_key_create(
        &self,
        organization: OrganizationId,
        name: &str,
        key_hash: &str,
    ) -> Result<ApiKey, StoreError> {
        let id = Uuid::now_v7();
        sqlx::query("INSERT INTO api_keys (id, organization_id, name, key_hash, created_at) VALUES (?, ?, ?, ?, ?)")
            .bind(id.to_string())
            .bind(organization.to_string())
            .bind(name)
            .bind(key_hash)
            .bind(now().as_millisecond())
            .execute(&self.writer)
            .await?;
        Ok(ApiKey { id, organization, name: name.to_owned() })
    }

    /// The key with this hash, unless revoked. Look-up before a tenant is known.
    pub async fn api_key_by_hash(&self, key_hash: &str) -> Result<Option<ApiKey>, StoreError> {
        let row = sqlx::query(
            "SELECT id, organization_id, name, last_used_at FROM api_keys WHERE key_hash = ? AND revoked_at IS NULL",
        )
        .bind(key_hash)
        .fetch_optional(&self.readers)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let key = ApiKey {
            id: uuid_column(&row, "id")?,
            organization: OrganizationId(uuid_column(&row, "organization_id")?),
            name: row.try_get("name")?,
        };
        let last_used: Option<i64> = row.try_get("last_used_at")?;
        let time = now().as_millisecond();
        if last_used.is_none_or(|at| time - at >= LAST_USED_STEP_MS) {
            sqlx::query("UPDATE api_keys SET last_used_at = ? WHERE organization_id = ? AND id = ?")
                .bind(time)
                .bind(key.organization.to_string())
                .bind(key.id.to_string())
                .execute(&self.writer)
                .await?;
        }
        Ok(Some(key))
    }

    /// Ends a key's validity. `false`: the tenant has no such key, or it was revoked before.
    pub async fn api_key_revoke(&self, organization: OrganizationId, id: Uuid) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE api_keys SET revoked_at = ? WHERE organization_id = ? AND id = ? AND revoked_at IS NULL",
        )
        .bind(now().as_millisecond())
        .bind(organization.to_string())
        .bind(id.to_string())
        .execute(&self.writer)
        .await?;
        Ok(done.rows_affected() == 1)
    }
}
