//! Recordings: where the file is and how it ended.

use std::path::PathBuf;

use jiff::Timestamp;
use uuid::Uuid;

use super::{OrganizationId, Store, StoreError};

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
        let sql = "SELECT path, state, note, duration_ms, started_at, ended_at FROM recordings \
                   WHERE organization_id = $1 AND call_id = $2";
        let Some(row) = self.db.row(organization, sql, &[organization.into(), call.into()]).await? else {
            return Ok(None);
        };
        Ok(Some(Recording {
            path: PathBuf::from(row.text("path")?),
            state: row.text("state")?,
            note: row.text_opt("note")?,
            duration_ms: row.count("duration_ms")?,
            started_at: row.time("started_at")?,
            ended_at: row.time_opt("ended_at")?,
        }))
    }
}
