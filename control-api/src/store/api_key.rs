//! API keys: shown once and stored as a hash.

use jiff::Timestamp;
use uuid::Uuid;

use super::audit_log::{self, By, Deed};
use super::db::Row;
use super::{OrganizationId, Place, Store, StoreError, UserId, lookup, now};

/// A valid key, as used to authorize a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Identity of the key.
    pub id: Uuid,
    /// Owning organization of the key.
    pub organization: OrganizationId,
    /// Purpose of the key, for people.
    pub name: String,
    /// Scopes; `None` grants everything that keys may do.
    pub scopes: Option<Vec<String>>,
    /// Expiry; `None` if the key does not expire.
    pub expires_at: Option<Timestamp>,
}

/// A key to be stored.
#[derive(Clone, Debug)]
pub struct NewKey<'a> {
    /// Purpose of the key, for people.
    pub name: &'a str,
    /// First characters of the key, to tell keys apart.
    pub prefix: &'a str,
    /// SHA-256 of the key in hex.
    pub key_hash: &'a str,
    /// Scopes; `None` grants everything that keys may do.
    pub scopes: Option<Vec<&'static str>>,
    /// Expiry; `None` if the key does not expire.
    pub expires_at: Option<Timestamp>,
    /// Person who created the key, if a person did.
    pub created_by: Option<UserId>,
}

/// A key as it is listed, also if it is no longer valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// Identity of the key.
    pub id: Uuid,
    /// Purpose of the key, for people.
    pub name: String,
    /// First characters of the key.
    pub prefix: String,
    /// Scopes; `None` grants everything that keys may do.
    pub scopes: Option<Vec<String>>,
    /// Time at which the key was created.
    pub created_at: Timestamp,
    /// Expiry; `None` if the key does not expire.
    pub expires_at: Option<Timestamp>,
    /// Time of the latest use, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// Time at which the key was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// Shortest time between two writes of `last_used_at` of a key.
const LAST_USED_STEP_MS: i64 = 60_000;

fn key_row(row: &Row) -> Result<KeyRow, StoreError> {
    Ok(KeyRow {
        id: row.uuid("id")?,
        name: row.text("name")?,
        prefix: row.text("prefix")?,
        scopes: row.json_opt("scopes")?,
        created_at: row.time("created_at")?,
        expires_at: row.time_opt("expires_at")?,
        last_used_at: row.time_opt("last_used_at")?,
        revoked_at: row.time_opt("revoked_at")?,
    })
}

impl Store {
    /// Stores a new key.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn api_key_create(
        &self,
        organization: OrganizationId,
        new: NewKey<'_>,
        by: &By,
    ) -> Result<KeyRow, StoreError> {
        let scopes = match &new.scopes {
            Some(scopes) => Some(serde_json::to_string(scopes).map_err(|_| StoreError::Corrupt { column: "scopes" })?),
            None => None,
        };
        let created = KeyRow {
            id: Uuid::now_v7(),
            name: new.name.to_owned(),
            prefix: new.prefix.to_owned(),
            scopes: new.scopes.map(|scopes| scopes.into_iter().map(str::to_owned).collect()),
            created_at: now(),
            expires_at: new.expires_at,
            last_used_at: None,
            revoked_at: None,
        };
        let mut tx = self.db.write(organization).await?;
        let sql = "INSERT INTO api_keys (id, organization_id, name, key_hash, created_at, prefix, scopes, expires_at, created_by) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let values = [
            created.id.into(),
            organization.into(),
            new.name.into(),
            new.key_hash.into(),
            created.created_at.into(),
            new.prefix.into(),
            scopes.as_deref().into(),
            created.expires_at.into(),
            new.created_by.map(|user| user.0).into(),
        ];
        tx.run(sql, &values).await?;
        let deed = Deed::new("api_key.create", format!("api_key:{}", created.id)).after(serde_json::json!({
            "name": created.name, "prefix": created.prefix, "scopes": created.scopes,
            "expires_at": created.expires_at.map(|at| at.to_string()),
        }));
        audit_log::append(&mut tx, organization, by, &deed).await?;
        tx.commit().await?;
        Ok(created)
    }

    /// Returns the key with this hash, unless it is revoked or has expired. This look-up runs before the tenant is
    /// known.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn api_key_by_hash(&self, key_hash: &str) -> Result<Option<ApiKey>, StoreError> {
        let Some(organization) = lookup::api_key(&self.db, key_hash).await? else { return Ok(None) };
        let sql = "SELECT id, name, scopes, expires_at, last_used_at FROM api_keys WHERE organization_id = $1 \
                   AND key_hash = $2 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $3)";
        let time = now();
        let values = [organization.into(), key_hash.into(), time.into()];
        let Some(row) = self.db.row(organization, sql, &values).await? else { return Ok(None) };
        let key = ApiKey {
            id: row.uuid("id")?,
            organization,
            name: row.text("name")?,
            scopes: row.json_opt("scopes")?,
            expires_at: row.time_opt("expires_at")?,
        };
        if row.int_opt("last_used_at")?.is_none_or(|at| time.as_millisecond() - at >= LAST_USED_STEP_MS) {
            let sql = "UPDATE api_keys SET last_used_at = $1 WHERE organization_id = $2 AND id = $3";
            self.db.run(organization, sql, &[time.into(), organization.into(), key.id.into()]).await?;
        }
        Ok(Some(key))
    }

    /// Returns one key of a tenant.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn api_key_show(&self, organization: OrganizationId, id: Uuid) -> Result<Option<KeyRow>, StoreError> {
        let sql = "SELECT id, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at FROM api_keys \
                   WHERE organization_id = $1 AND id = $2";
        self.db.row(organization, sql, &[organization.into(), id.into()]).await?.as_ref().map(key_row).transpose()
    }

    /// Returns a tenant's keys after this place, newest first.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn api_key_list(
        &self,
        organization: OrganizationId,
        after: Place,
        limit: u32,
    ) -> Result<Vec<KeyRow>, StoreError> {
        let sql = "SELECT id, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at FROM api_keys \
                   WHERE organization_id = $1 AND (created_at, id) < ($2, $3) \
                   ORDER BY created_at DESC, id DESC LIMIT $4";
        let values = [organization.into(), after.at.into(), after.id.into(), limit.into()];
        self.db.rows(organization, sql, &values).await?.iter().map(key_row).collect()
    }

    /// Revokes a key. Returns `false` if the tenant has no such key or it is revoked already.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn api_key_revoke(&self, organization: OrganizationId, id: Uuid, by: &By) -> Result<bool, StoreError> {
        let mut tx = self.db.write(organization).await?;
        let sql = "UPDATE api_keys SET revoked_at = $1 WHERE organization_id = $2 AND id = $3 AND revoked_at IS NULL";
        let done = tx.run(sql, &[now().into(), organization.into(), id.into()]).await? == 1;
        if done {
            let deed = Deed::new("api_key.revoke", format!("api_key:{id}"));
            audit_log::append(&mut tx, organization, by, &deed).await?;
            tx.commit().await?;
        }
        Ok(done)
    }
}
