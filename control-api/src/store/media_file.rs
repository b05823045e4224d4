//! Sounds of an organization: WAV files that are played in calls.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit_log::{self, By, Deed};
use super::db::Row;
use super::{OrganizationId, Place, Store, StoreError, now, taken};

/// A sound of an organization, without its samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MediaFile {
    /// Identity of the sound.
    pub id: Uuid,
    /// Name, unique in its organization.
    #[schema(example = "Greeting")]
    pub name: String,
    /// Size of the file in bytes.
    pub size_bytes: u64,
    /// Sample rate in hertz.
    #[schema(example = 16_000)]
    pub rate_hz: u64,
    /// Duration in milliseconds.
    pub duration_ms: u64,
    /// Time at which it was added.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A sound to be stored.
#[derive(Clone, Debug)]
pub struct NewMediaFile {
    /// Name, unique in its organization.
    pub name: String,
    /// Content of the WAV file.
    pub wav: Vec<u8>,
    /// Sample rate in hertz.
    pub rate_hz: u32,
    /// Duration in milliseconds.
    pub duration_ms: u64,
}

const COLUMNS: &str = "id, name, size_bytes, rate_hz, duration_ms, created_at";
const NAME: &str = "a sound of this name";

fn file(row: &Row) -> Result<MediaFile, StoreError> {
    Ok(MediaFile {
        id: row.uuid("id")?,
        name: row.text("name")?,
        size_bytes: row.count("size_bytes")?,
        rate_hz: row.count("rate_hz")?,
        duration_ms: row.count("duration_ms")?,
        created_at: row.time("created_at")?,
    })
}

/// Returns the target of an action in the audit log.
fn of(id: Uuid) -> String {
    format!("media:{id}")
}

impl Store {
    /// Returns a tenant's sounds after a place, the oldest first.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn media_file_list(
        &self,
        organization: OrganizationId,
        after: Place,
        limit: u32,
    ) -> Result<Vec<MediaFile>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM media_files WHERE organization_id = $1 AND (created_at, id) > ($2, $3) \
             ORDER BY created_at, id LIMIT $4"
        );
        let values = [organization.into(), after.at.into(), after.id.into(), limit.into()];
        self.db.rows(organization, sqlx::AssertSqlSafe(sql), &values).await?.iter().map(file).collect()
    }

    /// Returns one sound of a tenant, without its samples.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn media_file_show(
        &self,
        organization: OrganizationId,
        id: Uuid,
    ) -> Result<Option<MediaFile>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM media_files WHERE organization_id = $1 AND id = $2");
        let row = self.db.row(organization, sqlx::AssertSqlSafe(sql), &[organization.into(), id.into()]).await?;
        row.as_ref().map(file).transpose()
    }

    /// Returns the WAV file of a tenant's sound.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn media_file_read(&self, organization: OrganizationId, id: Uuid) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT wav FROM media_files WHERE organization_id = $1 AND id = $2";
        let row = self.db.row(organization, sql, &[organization.into(), id.into()]).await?;
        row.as_ref().map(|row| row.bytes("wav")).transpose()
    }

    /// Returns the WAV file of a tenant's sound with this name.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn media_file_named(
        &self,
        organization: OrganizationId,
        name: &str,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT wav FROM media_files WHERE organization_id = $1 AND name = $2";
        let row = self.db.row(organization, sql, &[organization.into(), name.into()]).await?;
        row.as_ref().map(|row| row.bytes("wav")).transpose()
    }

    /// Adds a sound. `None` if the tenant has `most` sounds already.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the tenant has a sound with this name; else when the database fails.
    pub async fn media_file_create(
        &self,
        organization: OrganizationId,
        new: NewMediaFile,
        most: u64,
        by: &By,
    ) -> Result<Option<MediaFile>, StoreError> {
        let NewMediaFile { name, wav, rate_hz, duration_ms } = new;
        let made = MediaFile {
            id: Uuid::now_v7(),
            name,
            size_bytes: wav.len() as u64,
            rate_hz: rate_hz.into(),
            duration_ms,
            created_at: now(),
        };
        let mut tx = self.db.write(organization).await?;
        let count = "SELECT COUNT(*) AS known FROM media_files WHERE organization_id = $1";
        let known = tx.row(count, &[organization.into()]).await?;
        if known.map(|row| row.count("known")).transpose()?.unwrap_or_default() >= most {
            return Ok(None);
        }
        let sql = "INSERT INTO media_files (id, organization_id, name, wav, size_bytes, rate_hz, duration_ms, created_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let values = [
            made.id.into(),
            organization.into(),
            (&made.name).into(),
            wav.into(),
            made.size_bytes.into(),
            made.rate_hz.into(),
            duration_ms.into(),
            made.created_at.into(),
        ];
        tx.run(sql, &values).await.map_err(taken(NAME))?;
        let deed = Deed::new("media.create", of(made.id)).after(&made);
        audit_log::append(&mut tx, organization, by, &deed).await?;
        tx.commit().await?;
        Ok(Some(made))
    }

    /// Removes a tenant's sound. Returns `false` if there is no such sound.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn media_file_delete(
        &self,
        organization: OrganizationId,
        before: &MediaFile,
        by: &By,
    ) -> Result<bool, StoreError> {
        let sql = "DELETE FROM media_files WHERE organization_id = $1 AND id = $2";
        let deed = Deed::new("media.delete", of(before.id)).before(before);
        self.run_audited(organization, sql, &[organization.into(), before.id.into()], by, deed).await
    }
}
