//! Keys that sign an organization's URLs. They are stored, sealed, so that a URL outlives the process.

use uuid::Uuid;

use super::db::Tx;
use super::lookup;
use super::seal::Slot;
use super::{OrganizationId, Store, StoreError, now};

fn slot(organization: OrganizationId) -> Slot<'static> {
    Slot { column: "signing_keys.key", organization, row: "" }
}

/// Seals a tenant's key anew. Returns the number of keys.
pub(super) async fn reseal(
    tx: &mut Tx,
    organization: OrganizationId,
    again: impl Fn(Slot<'_>, &str) -> Result<String, StoreError>,
) -> Result<usize, StoreError> {
    let rows = tx.rows("SELECT key FROM signing_keys WHERE organization_id = $1", &[organization.into()]).await?;
    for row in &rows {
        let sealed = again(slot(organization), &row.text("key")?)?;
        let sql = "UPDATE signing_keys SET key = $2 WHERE organization_id = $1";
        tx.run(sql, &[organization.into(), sealed.into()]).await?;
    }
    Ok(rows.len())
}

impl Store {
    /// Returns the tenant's key. If there is none, `fresh` becomes the key.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn signing_key(&self, organization: OrganizationId, fresh: &str) -> Result<String, StoreError> {
        if let Some(key) = self.signing_key_show(organization).await? {
            return Ok(key);
        }
        let sql = "INSERT INTO signing_keys (organization_id, key, created_at) VALUES ($1, $2, $3) \
                   ON CONFLICT (organization_id) DO NOTHING";
        let sealed = self.sealer()?.seal(slot(organization), fresh)?;
        self.db.run(organization, sql, &[organization.into(), sealed.into(), now().into()]).await?;
        // Another request may have stored a key in the meantime.
        self.signing_key_show(organization).await?.ok_or(StoreError::Corrupt { column: "key" })
    }

    /// Returns the tenant's key, or `None` if it has never signed anything.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn signing_key_show(&self, organization: OrganizationId) -> Result<Option<String>, StoreError> {
        let sql = "SELECT key FROM signing_keys WHERE organization_id = $1";
        let row = self.db.row(organization, sql, &[organization.into()]).await?;
        row.map(|row| self.sealer()?.open(slot(organization), &row.text("key")?)).transpose()
    }

    /// Returns the tenant of a call. This look-up runs before the tenant is known, for signed URLs without a log-in.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn call_organization(&self, call: Uuid) -> Result<Option<OrganizationId>, StoreError> {
        let sql = self.db.pick(lookup::CALL_SQLITE, lookup::CALL_POSTGRES);
        let rows = self.db.rows_outside(sql, &[call.into()]).await?;
        rows.first().map(|row| row.uuid("organization_id").map(OrganizationId)).transpose()
    }
}
