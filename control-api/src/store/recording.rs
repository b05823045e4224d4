//! Recordings: where the file is and how it ended.

use std::path::PathBuf;

use jiff::Timestamp;
use sqlx::Row;
use uuid::Uuid;

use super::{OrganizationId, Store, StoreError, time_column, time_column_opt};

/// One call's recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// The file.
    pub path: PathBuf,
    /// `started`, `finished` or `interrupted`.
    pub state: String,
    /// Why it was interrupted.
    pub note: Option<String>,
    /// Audio in it, in milliseconds.
    pub duration_ms: u64,
    /// First audio.
    pub started_at: Timestamp,
    /// Last audio, once it is over.
    pub ended_at: Option<Timestamp>,
}

impl Store {
    /// The recording of a tenant's call, if there is one.
    pub async fn recording_by_call(
        &self,
        organization: OrganizationId,
        call: Uuid,
    ) -> Result<Option<Recording>, StoreError> {
        let row = sqlx::query(
            "SELECT path, state, note, duration_ms, started_at, ended_at FROM recordings \
             WHERE organization_id = ? AND call_id = ?",
        )
        .bind(organization.to_string())
        .bind(call.to_string())
        .fetch_optional(&self.readers)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Recording {
            path: PathBuf::from(row.try_get::<String, _>("path")?),
            state: row.try_get("state")?,
            note: row.try_get("note")?,
            duration_ms: row.try_get::<i64, _>("duration_ms")?.unsigned_abs(),
            started_at: time_column(&row, "started_at")?,
            ended_at: time_column_opt(&row, "ended_at")?,
        }))
    }
}
