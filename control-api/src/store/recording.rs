//! Recordings: their files, the legs on their channels, their pauses, and how they ended.
//!
//! ```text
//! call ─▶ recordings, numbered from 1 ─▶ parts, numbered from 1: one file each ─▶ channels: one leg each
//!                         └─▶ gaps: pauses, in which the files hold silence
//! ```
//!
//! A recording that is still running has state `started`. Rows are written through `change` only, and removed by
//! `prune`.
//!
//! Not here: writing the files (engine), removal by age (`jobs`).

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use utoipa::ToSchema;
use uuid::Uuid;

use super::db::{Row, Tx};
use super::{OrganizationId, Place, Sight, Store, StoreError};
use crate::engine::RecordingPart;

/// Identity of a recorded file within its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PartId {
    /// Number of the recording in its call, 1 for the first.
    #[serde(default = "first")]
    pub number: u32,
    /// Number of the part in its recording, 1 for the first.
    #[serde(default = "first")]
    pub part: u32,
}

/// Returns the number in the spool of an earlier version, which did not write it.
fn first() -> u32 {
    1
}

impl PartId {
    /// The first part of the first recording, the only one of most calls.
    pub const FIRST: PartId = PartId { number: 1, part: 1 };

    /// Returns the identity of a part as the engine reports it.
    pub fn of(part: &RecordingPart) -> PartId {
        PartId { number: part.number, part: part.part }
    }
}

/// A period in which one side of one leg has a channel of a part for itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecordedChannel {
    /// Index of the channel in the file, 0 for the first.
    pub channel: u32,
    /// Number of the leg in its call.
    pub leg: u64,
    /// Whether the channel holds what the leg hears, rather than what it says.
    #[serde(default)]
    pub heard: bool,
    /// Role of the leg: `customer`, `agent` or `supervisor`.
    pub role: String,
    /// The other end: number, agent's SIP user name or URI.
    pub peer: String,
    /// SIP user name of the agent whose leg it is.
    pub agent: Option<String>,
    /// Time from which it is in this file.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// Time up to which it is; null if to the end of the file.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
}

impl RecordedChannel {
    /// Returns the channel as events show it.
    pub(super) fn without_names(&self) -> Value {
        let RecordedChannel { channel, leg, heard, role, from, until, .. } = self;
        json!({"channel": channel, "leg": leg, "heard": heard, "role": role, "from": from, "until": until})
    }
}

/// A pause of a recording, during which its files hold silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Gap {
    /// Beginning of the pause.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// End of the pause; null while it lasts.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
}

/// One file of a call's recording, with its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Number of the recording and of the part.
    pub file: PartId,
    /// The only leg that is recorded; `None` for the whole call.
    pub of_leg: Option<u64>,
    /// The legs on its channels.
    pub channels: Vec<RecordedChannel>,
    /// Path of the file.
    pub path: PathBuf,
    /// State of the part: `started`, `finished` or `interrupted`.
    pub state: String,
    /// Why the recording was interrupted, if it was.
    pub note: Option<String>,
    /// Length of the audio, in milliseconds.
    pub duration_ms: u64,
    /// Time of the first audio.
    pub started_at: Timestamp,
    /// Time of the last audio, once the part has ended.
    pub ended_at: Option<Timestamp>,
}

/// One file of a recording in a list. A recording longer than `[recording] part_s` has several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ListedRecording {
    /// The call that was recorded.
    pub call_id: Uuid,
    /// Number of the recording in its call, 1 for the first.
    #[schema(minimum = 1)]
    pub number: u32,
    /// Number of the file, 1 for the first.
    #[schema(minimum = 1)]
    pub part: u32,
    /// State of the part: `started`, `finished` or `interrupted`.
    pub state: String,
    /// Why the recording was interrupted, if it was.
    pub note: Option<String>,
    /// Length of the audio, in milliseconds.
    pub duration_ms: u64,
    /// Time of the first audio.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// Time of the last audio, once the part has ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// Caller identity, if known.
    pub from: Option<String>,
    /// Called number or URI.
    pub to: String,
    /// SIP user name of the agent who made the call, or for whom it was made.
    pub agent: Option<String>,
}

impl Recording {
    /// Returns whether a person with this sight may hear it: they must have been in the call for all of it.
    pub fn is_heard_by(&self, sight: &Sight) -> bool {
        may_hear(sight, &self.state, self.started_at, self.duration_ms)
    }
}

impl ListedRecording {
    /// Returns whether a person with this sight may hear it, like [`Recording::is_heard_by`].
    pub fn is_heard_by(&self, sight: &Sight) -> bool {
        may_hear(sight, &self.state, self.started_at, self.duration_ms)
    }
}

fn may_hear(sight: &Sight, state: &str, started_at: Timestamp, duration_ms: u64) -> bool {
    let length = SignedDuration::from_millis(i64::try_from(duration_ms).unwrap_or(i64::MAX));
    let ended_at =
        if state == "started" { None } else { Some(started_at.saturating_add(length).unwrap_or(started_at)) };
    sight.hears(started_at, ended_at)
}

pub(super) fn part_id(row: &Row) -> Result<PartId, StoreError> {
    let number = |column| u32::try_from(row.int(column)?).map_err(|_| StoreError::Corrupt { column });
    Ok(PartId { number: number("number")?, part: number("part")? })
}

pub(super) fn channels(row: &Row) -> Result<Vec<RecordedChannel>, StoreError> {
    serde_json::from_str(&row.text("channels")?).map_err(|_| StoreError::Corrupt { column: "channels" })
}

/// Replaces the legs on the channels of a part.
pub(super) async fn channels_update(
    tx: &mut Tx,
    organization: OrganizationId,
    call: Uuid,
    PartId { number, part }: PartId,
    channels: &[RecordedChannel],
) -> Result<(), StoreError> {
    let sql = "UPDATE recordings SET channels = $5 \
               WHERE organization_id = $1 AND call_id = $2 AND number = $3 AND part = $4";
    let channels = json!(channels).to_string();
    tx.run(sql, &[organization.into(), call.into(), number.into(), part.into(), channels.into()]).await?;
    Ok(())
}

/// Begins or ends a pause of a recording.
pub(super) async fn gap_record(
    tx: &mut Tx,
    organization: OrganizationId,
    call: Uuid,
    number: u32,
    (paused, at): (bool, Timestamp),
) -> Result<(), StoreError> {
    let sql = if paused {
        "INSERT INTO recording_gaps (organization_id, call_id, number, began_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (organization_id, call_id, number, began_at) DO NOTHING"
    } else {
        "UPDATE recording_gaps SET ended_at = $4 \
         WHERE organization_id = $1 AND call_id = $2 AND number = $3 AND ended_at IS NULL"
    };
    tx.run(sql, &[organization.into(), call.into(), number.into(), at.into()]).await?;
    Ok(())
}

fn listed_recording(row: &Row) -> Result<ListedRecording, StoreError> {
    let file = part_id(row)?;
    Ok(ListedRecording {
        call_id: row.uuid("call_id")?,
        number: file.number,
        part: file.part,
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
    /// Returns a tenant's recordings after a place, the newest first. With an agent, only those that this agent may
    /// hear.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
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

    /// Lists recordings; with an agent, those of the calls in which this agent took part.
    async fn recording_list_of(
        &self,
        organization: OrganizationId,
        agent: Option<&str>,
        after: Place,
        limit: u32,
    ) -> Result<Vec<ListedRecording>, StoreError> {
        // The unary plus makes SQLite search stays by the call, which has few, instead of by the agent.
        let plus = self.db.pick("+", "");
        let sql = format!(
            "SELECT r.call_id, r.number, r.part, r.state, r.note, r.duration_ms, r.started_at, r.ended_at, c.from_address, \
             c.to_address, c.agent FROM recordings r \
             JOIN calls c ON c.organization_id = r.organization_id AND c.id = r.call_id \
             WHERE r.organization_id = $1 AND (r.started_at, r.call_id) < ($2, $3) \
             AND ($4 IS NULL OR EXISTS (SELECT 1 FROM call_stays s WHERE s.organization_id = $1 \
             AND s.call_id = r.call_id AND {plus}s.agent = $4 AND s.is_first)) \
             ORDER BY r.started_at DESC, r.call_id DESC LIMIT $5"
        );
        let values = [organization.into(), after.at.into(), after.id.into(), agent.into(), limit.into()];
        self.db.rows(organization, AssertSqlSafe(sql), &values).await?.iter().map(listed_recording).collect()
    }

    /// Returns one part of a recording of a tenant's call, as lists show it.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn recording_show(
        &self,
        organization: OrganizationId,
        call: Uuid,
        PartId { number, part }: PartId,
    ) -> Result<Option<ListedRecording>, StoreError> {
        let sql = "SELECT r.call_id, r.number, r.part, r.state, r.note, r.duration_ms, r.started_at, r.ended_at, c.from_address, \
                   c.to_address, c.agent FROM recordings r \
                   JOIN calls c ON c.organization_id = r.organization_id AND c.id = r.call_id \
                   WHERE r.organization_id = $1 AND r.call_id = $2 AND r.number = $3 AND r.part = $4";
        let values = [organization.into(), call.into(), number.into(), part.into()];
        let row = self.db.row(organization, sql, &values).await?;
        row.as_ref().map(listed_recording).transpose()
    }

    /// Returns the first part of the first recording of a tenant's call, if there is one.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn recording_by_call(
        &self,
        organization: OrganizationId,
        call: Uuid,
    ) -> Result<Option<Recording>, StoreError> {
        self.recording_part(organization, call, PartId::FIRST).await
    }

    /// Returns one part of a recording of a tenant's call, if there is one.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn recording_part(
        &self,
        organization: OrganizationId,
        call: Uuid,
        file: PartId,
    ) -> Result<Option<Recording>, StoreError> {
        let parts = self.recording_parts(organization, call).await?;
        Ok(parts.into_iter().find(|recording| recording.file == file))
    }

    /// Returns all parts of all recordings of a tenant's call, in order.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn recording_parts(
        &self,
        organization: OrganizationId,
        call: Uuid,
    ) -> Result<Vec<Recording>, StoreError> {
        let sql = "SELECT number, part, of_leg, channels, path, state, note, duration_ms, started_at, ended_at \
                   FROM recordings WHERE organization_id = $1 AND call_id = $2 ORDER BY number, part";
        let rows = self.db.rows(organization, sql, &[organization.into(), call.into()]).await?;
        let recording = |row: &Row| {
            Ok(Recording {
                file: part_id(row)?,
                of_leg: row.int_opt("of_leg")?.and_then(|leg| u64::try_from(leg).ok()),
                channels: channels(row)?,
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

    /// Returns the pauses in the recordings of a tenant's call, in order, each with the number of its recording.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn recording_gaps(
        &self,
        organization: OrganizationId,
        call: Uuid,
    ) -> Result<Vec<(u32, Gap)>, StoreError> {
        let sql = "SELECT number, began_at, ended_at FROM recording_gaps \
                   WHERE organization_id = $1 AND call_id = $2 ORDER BY number, began_at";
        let gap = |row: &Row| {
            let number = u32::try_from(row.int("number")?).map_err(|_| StoreError::Corrupt { column: "number" })?;
            Ok((number, Gap { from: row.time("began_at")?, until: row.time_opt("ended_at")? }))
        };
        self.db.rows(organization, sql, &[organization.into(), call.into()]).await?.iter().map(gap).collect()
    }
}
