//! Calls and their legs, as the API shows them. They are written by `change` only.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    LegFlow, OrganizationId, Quality, Store, StoreError, json_column, time_column, time_column_opt, uuid_column,
};
use crate::voice_config::VoiceConfig;

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Call {
    /// Identity.
    pub id: Uuid,
    /// `queued`, `ringing`, `answered`, `bridged`, `ended` or `failed`.
    pub status: String,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// `direct`, `bridge` or `webrtc`; nothing for inbound calls.
    pub mode: Option<String>,
    /// Caller identity.
    pub from: Option<String>,
    /// Called number or URI.
    pub to: String,
    /// Agent's SIP user name.
    pub agent: Option<String>,
    /// What is done with the audio.
    pub config: VoiceConfig,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When the first leg answered.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub answered_at: Option<Timestamp>,
    /// When it was over.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// Why it ended, such as `normal`, `busy`, `no_answer`; `crash`: the server stopped without a word.
    pub cause: Option<String>,
}

/// One party of a call.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Leg {
    /// Number of the leg in its call.
    pub leg: u64,
    /// `customer` or `agent`.
    pub role: String,
    /// `ringing`, `answered` or `ended`.
    pub state: String,
    /// The other end: number, agent's name or URI.
    pub peer: String,
    /// Once answered, such as `PCMU` or `opus`.
    pub codec: Option<String>,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it answered.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub answered_at: Option<Timestamp>,
    /// When it was over.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// Whether its sound flows, per direction, and why not.
    pub flow: Option<LegFlow>,
    /// Latest media report.
    pub quality: Option<Quality>,
}

/// Which calls are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallFilter {
    /// Only calls in this status.
    pub status: Option<String>,
    /// At most this many.
    pub limit: u32,
}

pub(super) fn call(row: &SqliteRow) -> Result<Call, StoreError> {
    Ok(Call {
        id: uuid_column(row, "id")?,
        status: row.try_get("status")?,
        direction: row.try_get("direction")?,
        mode: row.try_get("mode")?,
        from: row.try_get("from_address")?,
        to: row.try_get("to_address")?,
        agent: row.try_get("agent")?,
        config: json_column(row, "config")?,
        created_at: time_column(row, "created_at")?,
        answered_at: time_column_opt(row, "answered_at")?,
        ended_at: time_column_opt(row, "ended_at")?,
        cause: row.try_get("cause")?,
    })
}

fn leg(row: &SqliteRow) -> Result<Leg, StoreError> {
    Ok(Leg {
        leg: row.try_get::<i64, _>("leg")?.cast_unsigned(),
        role: row.try_get("role")?,
        state: row.try_get("state")?,
        peer: row.try_get("peer")?,
        codec: row.try_get("codec")?,
        created_at: time_column(row, "created_at")?,
        answered_at: time_column_opt(row, "answered_at")?,
        ended_at: time_column_opt(row, "ended_at")?,
        flow: json_opt(row, "flow")?,
        quality: json_opt(row, "quality")?,
    })
}

fn json_opt<T: serde::de::DeserializeOwned>(row: &SqliteRow, column: &'static str) -> Result<Option<T>, StoreError> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(serde_json::from_str).transpose().map_err(|_| StoreError::Corrupt { column })
}

/// One call of a tenant, read on a given connection.
pub(super) async fn call_on(
    connection: &mut SqliteConnection,
    organization: OrganizationId,
    id: Uuid,
) -> Result<Option<Call>, StoreError> {
    let row = sqlx::query(
        "SELECT id, status, direction, mode, from_address, to_address, agent, config, created_at, answered_at, \
         ended_at, cause FROM calls WHERE id = ? AND organization_id = ?",
    )
    .bind(id.to_string())
    .bind(organization.to_string())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(call).transpose()
}

impl Store {
    /// One call of a tenant.
    pub async fn call_show(&self, organization: OrganizationId, id: Uuid) -> Result<Option<Call>, StoreError> {
        call_on(&mut *self.readers.acquire().await?, organization, id).await
    }

    /// A tenant's calls, newest first.
    pub async fn call_list(&self, organization: OrganizationId, filter: &CallFilter) -> Result<Vec<Call>, StoreError> {
        let rows = match &filter.status {
            Some(status) => {
                sqlx::query(
                    "SELECT id, status, direction, mode, from_address, to_address, agent, config, created_at, \
                     answered_at, ended_at, cause FROM calls WHERE organization_id = ? AND status = ? \
                     ORDER BY created_at DESC, id DESC LIMIT ?",
                )
                .bind(organization.to_string())
                .bind(status)
                .bind(filter.limit)
                .fetch_all(&self.readers)
                .await?
            }
            None => {
                sqlx::query(
                    "SELECT id, status, direction, mode, from_address, to_address, agent, config, created_at, \
                     answered_at, ended_at, cause FROM calls WHERE organization_id = ? \
                     ORDER BY created_at DESC, id DESC LIMIT ?",
                )
                .bind(organization.to_string())
                .bind(filter.limit)
                .fetch_all(&self.readers)
                .await?
            }
        };
        rows.iter().map(call).collect()
    }

    /// The legs of a tenant's call, in the order in which they began.
    pub async fn leg_list(&self, organization: OrganizationId, call: Uuid) -> Result<Vec<Leg>, StoreError> {
        let rows = sqlx::query(
            "SELECT leg, role, state, peer, codec, created_at, answered_at, ended_at, flow, quality FROM legs \
             WHERE organization_id = ? AND call_id = ? ORDER BY created_at, leg",
        )
        .bind(organization.to_string())
        .bind(call.to_string())
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(leg).collect()
    }

    /// What happened to a tenant's call, without its words, oldest first: at most the latest `limit` events.
    pub async fn call_event_list(
        &self,
        organization: OrganizationId,
        call: Uuid,
        limit: u32,
    ) -> Result<Vec<(i64, serde_json::Value)>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, body FROM (SELECT id, body FROM call_events WHERE organization_id = ? AND call_id = ? \
             AND kind NOT GLOB 'translation.*' ORDER BY id DESC LIMIT ?) ORDER BY id",
        )
        .bind(organization.to_string())
        .bind(call.to_string())
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(|row| Ok((row.try_get("id")?, json_column(row, "body")?))).collect()
    }
}
