//! API keys: shown once, kept as a hash.

use uuid::Uuid;

use super::{OrganizationId, Store, StoreError, lookup, now};

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
        let sql = "INSERT INTO api_keys (id, organization_id, name, key_hash, created_at) VALUES ($1, $2, $3, $4, $5)";
        let values = [id.into(), organization.into(), name.into(), key_hash.into(), now().into()];
        self.db.run(organization, sql, &values).await?;
        Ok(ApiKey { id, organization, name: name.to_owned() })
    }

    /// The key with this hash, unless revoked. Look-up before a tenant is known.
    pub async fn api_key_by_hash(&self, key_hash: &str) -> Result<Option<ApiKey>, StoreError> {
        let Some(organization) = lookup::api_key(&self.db, key_hash).await? else { return Ok(None) };
        let sql = "SELECT id, name, last_used_at FROM api_keys \
                   WHERE organization_id = $1 AND key_hash = $2 AND revoked_at IS NULL";
        let Some(row) = self.db.row(organization, sql, &[organization.into(), key_hash.into()]).await? else {
            return Ok(None);
        };
        let key = ApiKey { id: row.uuid("id")?, organization, name: row.text("name")? };
        let time = now();
        if row.int_opt("last_used_at")?.is_none_or(|at| time.as_millisecond() - at >= LAST_USED_STEP_MS) {
            let sql = "UPDATE api_keys SET last_used_at = $1 WHERE organization_id = $2 AND id = $3";
            self.db.run(organization, sql, &[time.into(), organization.into(), key.id.into()]).await?;
        }
        Ok(Some(key))
    }

    /// Ends a key's validity. `false`: the tenant has no such key, or it was revoked before.
    pub async fn api_key_revoke(&self, organization: OrganizationId, id: Uuid) -> Result<bool, StoreError> {
        let sql = "UPDATE api_keys SET revoked_at = $1 WHERE organization_id = $2 AND id = $3 AND revoked_at IS NULL";
        Ok(self.db.run(organization, sql, &[now().into(), organization.into(), id.into()]).await? == 1)
    }
}
