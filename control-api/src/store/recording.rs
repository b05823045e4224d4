//! Recordings: where the file is and how it ended.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use sqlx::AssertSqlSafe;
use utoipa::ToSchema;
use uuid::Uuid;

use super::db::Row;
use super::{OrganizationId, Place, Sight, Store, StoreError};

/// One file of a call's recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// 1 for the first.
    pub part: u32,
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

/// One file of a recording in a list. A recording longer than `[recording] part_s` has several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ListedRecording {
    /// The call that was recorded.
    pub call_id: Uuid,
    /// Number of the file, 1 for the first.
    #[schema(minimum = 1)]
    pub part: u32,
    /// `started`, `finished` or `interrupted`.
    pub state: String,
    /// Why it was interrupted.
    pub note: Option<String>,
    /// Audio in it, in milliseconds.
    pub duration_ms: u64,
    /// First audio.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// Last audio, once it is over.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// Caller identity.
    pub from: Option<String>,
    /// Called number or URI.
    pub to: String,
    /// Agent's SIP user name.
    pub agent: Option<String>,
}

impl Recording {
    /// Whether it is somebody's to hear: what is in it was said while they were in the call.
    pub fn is_heard_by(&self, sight: &Sight) -> bool {
        is_heard(sight, &self.state, self.started_at, self.duration_ms)
    }
}

impl ListedRecording {
    /// The same.
    pub fn is_heard_by(&self, sight: &Sight) -> bool {
        is_heard(sight, &self.state, self.started_at, self.duration_ms)
    }
}

fn is_heard(sight: &Sight, state: &str, started_at: Timestamp, duration_ms: u64) -> bool {
    let length = SignedDuration::from_millis(i64::try_from(duration_ms).unwrap_or(i64::MAX));
    let ended_at =
        if state == "started" { None } else { Some(started_at.saturating_add(length).unwrap_or(started_at)) };
    sight.hears(started_at, ended_at)
}

pub(super) fn part(row: &Row) -> Result<u32, StoreError> {
    u32::try_from(row.int("part")?).map_err(|_| StoreError::Corrupt { column: "part" })
}

fn listed(row: &Row) -> Result<ListedRecording, StoreError> {
    Ok(ListedRecording {
        call_id: row.uuid("call_id")?,
        part: part(row)?,
        state: row.text("state")?,
        note: row.text_opt("note")?,
        duration_ms: row.count("duration_ms")?,
        started_at: row.time("started_at")?,
        ended_at: row.time_opt("ended_at")?,
        from: row.text_opt("from_address")?,
        to: row.text("to_address")?,
        agent: row.text_opt("agent")?,
    })
}

impl Store {
    /// A tenant's recordings after a place, the newest first; with an agent, only those that this agent may hear.
    pub async fn recording_list(
        &self,
        organization: OrganizationId,
        agent: Option<&str>,
        after: Place,
        limit: u32,
    ) -> Result<Vec<ListedRecording>, StoreError> {
        let Some(agent) = agent else { return self.recording_list_of(organization, None, after, limit).await };
        let (mut after, most) = (after, limit as usize);
        let mut heard: Vec<ListedRecording> = Vec::new();
        loop {
            let found = self.recording_list_of(organization, Some(agent), after, limit).await?;
            let (is_last, last) =
                (found.len() < most, found.last().map(|last| Place::of(last.started_at, last.call_id)));
            let calls: Vec<Uuid> = found.iter().map(|recording| recording.call_id).collect();
            let stays = self.stay_list_of(organization, agent, &calls).await?;
            heard.extend(found.into_iter().filter(|recording| {
                let sight = stays.get(&recording.call_id).and_then(|stays| Sight::of(stays));
                sight.is_some_and(|sight| recording.is_heard_by(&sight))
            }));
            match last {
                Some(last) if !is_last && heard.len() < most => after = last,
                _ => {
                    heard.truncate(most);
                    return Ok(heard);
                }
            }
        }
    }

    /// With an agent, of those calls in which this agent took part.
    async fn recording_list_of(
        &self,
        organization: OrganizationId,
        agent: Option<&str>,
        after: Place,
        limit: u32,
    ) -> Result<Vec<ListedRecording>, StoreError> {
        // SQLite goes by the call, of which few people were part, and not by the agent.
        let plus = self.db.pick("+", "");
        let sql = format!(
            "SELECT r.call_id, r.part, r.state, r.note, r.duration_ms, r.started_at, r.ended_at, c.from_address, \
             c.to_address, c.agent FROM recordings r \
             JOIN calls c ON c.organization_id = r.organization_id AND c.id = r.call_id \
             WHERE r.organization_id = $1 AND (r.started_at, r.call_id) < ($2, $3) \
             AND ($4 IS NULL OR EXISTS (SELECT 1 FROM call_stays s WHERE s.organization_id = $1 \
             AND s.call_id = r.call_id AND {plus}s.agent = $4 AND s.is_first)) \
             ORDER BY r.started_at DESC, r.call_id DESC LIMIT $5"
        );
        let values = [organization.into(), after.at.into(), after.id.into(), agent.into(), limit.into()];
        self.db.rows(organization, AssertSqlSafe(sql), &values).await?.iter().map(listed).collect()
    }

    /// A part of the recording of a tenant's call, as lists show it.
    pub async fn recording_show(
        &self,
        organization: OrganizationId,
        call: Uuid,
        part: u32,
    ) -> Result<Option<ListedRecording>, StoreError> {
        let sql = "SELECT r.call_id, r.part, r.state, r.note, r.duration_ms, r.started_at, r.ended_at, c.from_address, \
                   c.to_address, c.agent FROM recordings r \
                   JOIN calls c ON c.organization_id = r.organization_id AND c.id = r.call_id \
                   WHERE r.organization_id = $1 AND r.call_id = $2 AND r.part = $3";
        let row = self.db.row(organization, sql, &[organization.into(), call.into(), part.into()]).await?;
        row.as_ref().map(listed).transpose()
    }

    /// The recording of a tenant's call, if there is one: its first part.
    pub async fn recording_by_call(
        &self,
        organization: OrganizationId,
        call: Uuid,
    ) -> Result<Option<Recording>, StoreError> {
        self.recording_part(organization, call, 1).await
    }

    /// A part of the recording of a tenant's call, if there is one.
    pub async fn recording_part(
        &self,
        organization: OrganizationId,
        call: Uuid,
        part: u32,
    ) -> Result<Option<Recording>, StoreError> {
        let parts = self.recording_parts(organization, call).await?;
        Ok(parts.into_iter().find(|recording| recording.part == part))
    }

    /// All parts of the recording of a tenant's call, in order.
    pub async fn recording_parts(
        &self,
        organization: OrganizationId,
        call: Uuid,
    ) -> Result<Vec<Recording>, StoreError> {
        let sql = "SELECT part, path, state, note, duration_ms, started_at, ended_at FROM recordings \
                   WHERE organization_id = $1 AND call_id = $2 ORDER BY part";
        let rows = self.db.rows(organization, sql, &[organization.into(), call.into()]).await?;
        let recording = |row: &Row| {
            Ok(Recording {
                part: part(row)?,
                path: PathBuf::from(row.text("path")?),
                state: row.text("state")?,
                note: row.text_opt("note")?,
                duration_ms: row.count("duration_ms")?,
                started_at: row.time("started_at")?,
                ended_at: row.time_opt("ended_at")?,
            })
        };
        rows.iter().map(recording).collect()
    }
}
