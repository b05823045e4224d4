//! Calls and their legs as the API shows them. Only `change` writes them.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::AssertSqlSafe;
use utoipa::ToSchema;
use uuid::Uuid;

use super::db::Row;
use super::{LegAmd, LegFlow, OrganizationId, Quality, Store, StoreError};
use crate::engine::{Ending, SuperviseMode};
use crate::tenant::voice_config::VoiceConfig;

/// A call as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Call {
    /// Identity of the call.
    pub id: Uuid,
    /// Status: `queued`, `ringing`, `answered`, `bridged`, `ended` or `failed`.
    pub status: String,
    /// `inbound` or `outbound`; an outbound call was started by the API or dialled by an agent.
    pub direction: String,
    /// `direct`, `bridge` or `webrtc`; null for incoming calls and for calls that an agent dials.
    pub mode: Option<String>,
    /// Caller identity, if known.
    pub from: Option<String>,
    /// Called number or URI.
    pub to: String,
    /// SIP user name of the agent who made the call, or for whom it was made.
    pub agent: Option<String>,
    /// SIP user names of the agents who are in the call now, in the order in which they joined; empty once it has
    /// ended.
    pub people: Vec<String>,
    /// How the audio is processed.
    pub config: VoiceConfig,
    /// Time at which the call began.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Time at which the first leg answered.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub answered_at: Option<Timestamp>,
    /// Time at which the call ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// Why the call ended, such as `normal`, `busy` or `no_answer`; `crash` if the server was killed during the call.
    pub ended_reason: Option<String>,
    /// Outcome in the organization's own word, once one was set.
    pub outcome: Option<String>,
    /// What answered the customer: the newest verdict that was acted upon, such as `human` or `machine`. Null without detection.
    pub amd: Option<String>,
}

/// One party of a call, as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Leg {
    /// Number of the leg in its call.
    pub leg: u64,
    /// Role in the call: `customer`, `agent` or `supervisor`.
    pub role: String,
    /// State of the leg: `ringing`, `answered` or `ended`.
    pub state: String,
    /// The other end: number, agent's name or URI.
    pub peer: String,
    /// SIP user name of the agent who was in the call by this leg, from joining on.
    pub agent: Option<String>,
    /// Time at which that agent joined the call.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub joined_at: Option<Timestamp>,
    /// Time at which that agent left the call.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub left_at: Option<Timestamp>,
    /// Codec once answered, such as `PCMU` or `opus`.
    pub codec: Option<String>,
    /// Time at which the leg began.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Time at which the leg answered.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub answered_at: Option<Timestamp>,
    /// Time at which the leg ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// Whether the leg is on hold and hears music or a soft tone.
    pub held: bool,
    /// Whether the others hear silence in its place.
    pub muted: bool,
    /// Whether its own telephone has put the call on hold.
    pub holds: bool,
    /// Gain at which the others hear the leg, in decibels.
    pub gain_db: i64,
    /// Mode of supervision: `listen`, `barge`, or the leg to which the supervisor whispers (`null`: the first agent).
    #[schema(value_type = Option<Object>)]
    pub supervises: Option<SuperviseMode>,
    /// How the leg ended: `cause`, `by` whom, and the `sip_status`, `q850` and `text` of its signalling.
    #[schema(value_type = Option<Object>)]
    pub ending: Option<Ending>,
    /// Whether audio flows, per direction, and why not.
    pub flow: Option<LegFlow>,
    /// Latest media report of the leg.
    pub quality: Option<Quality>,
    /// What answered, if that was to be detected.
    pub amd: Option<LegAmd>,
}

/// Columns of a [`Call`].
pub(super) const COLUMNS: [&str; 14] = [
    "id",
    "status",
    "direction",
    "mode",
    "from_address",
    "to_address",
    "agent",
    "config",
    "created_at",
    "answered_at",
    "ended_at",
    "ended_reason",
    "outcome",
    "amd",
];

impl Call {
    /// Returns the columns for a table with this alias, separated by commas.
    pub(super) fn columns(alias: &str) -> String {
        COLUMNS.map(|column| format!("{alias}.{column}")).join(", ")
    }
}

/// Reads a call without its people, who are in rows of their own (`stay`).
pub(super) fn call(row: &Row) -> Result<Call, StoreError> {
    Ok(Call {
        id: row.uuid("id")?,
        status: row.text("status")?,
        direction: row.text("direction")?,
        mode: row.text_opt("mode")?,
        from: row.text_opt("from_address")?,
        to: row.text("to_address")?,
        agent: row.text_opt("agent")?,
        people: Vec::new(),
        config: row.json("config")?,
        created_at: row.time("created_at")?,
        answered_at: row.time_opt("answered_at")?,
        ended_at: row.time_opt("ended_at")?,
        ended_reason: row.text_opt("ended_reason")?,
        outcome: row.text_opt("outcome")?,
        amd: row.text_opt("amd")?,
    })
}

fn leg(row: &Row) -> Result<Leg, StoreError> {
    Ok(Leg {
        leg: row.count("leg")?,
        role: row.text("role")?,
        state: row.text("state")?,
        peer: row.text("peer")?,
        agent: row.text_opt("agent")?,
        joined_at: row.time_opt("joined_at")?,
        left_at: row.time_opt("left_at")?,
        codec: row.text_opt("codec")?,
        created_at: row.time("created_at")?,
        answered_at: row.time_opt("answered_at")?,
        ended_at: row.time_opt("ended_at")?,
        held: row.bool("held")?,
        muted: row.bool("muted")?,
        holds: row.bool("holds")?,
        gain_db: row.int("gain_db")?,
        supervises: row.json_opt("supervises")?,
        ending: row.json_opt("ending")?,
        flow: row.json_opt("flow")?,
        quality: row.json_opt("quality")?,
        amd: row.json_opt("amd")?,
    })
}

impl Store {
    /// Returns one call of a tenant.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn call_show(&self, organization: OrganizationId, id: Uuid) -> Result<Option<Call>, StoreError> {
        let sql = format!("SELECT {} FROM calls c WHERE c.organization_id = $1 AND c.id = $2", Call::columns("c"));
        let row = self.db.row(organization, AssertSqlSafe(sql), &[organization.into(), id.into()]).await?;
        let Some(mut call) = row.as_ref().map(call).transpose()? else { return Ok(None) };
        self.people_fill(organization, std::slice::from_mut(&mut call)).await?;
        Ok(Some(call))
    }

    /// Returns the legs of a tenant's call in the order in which they began.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn leg_list(&self, organization: OrganizationId, call: Uuid) -> Result<Vec<Leg>, StoreError> {
        let sql = "SELECT l.leg, l.role, l.state, l.peer, s.agent, s.joined_at, s.left_at, l.codec, l.created_at, \
                   l.answered_at, l.ended_at, l.held, l.muted, l.holds, l.gain_db, l.supervises, l.ending, l.flow, \
                   l.quality, l.amd FROM legs l \
                   LEFT JOIN call_stays s ON s.organization_id = l.organization_id AND s.call_id = l.call_id \
                   AND s.leg = l.leg WHERE l.organization_id = $1 AND l.call_id = $2 ORDER BY l.created_at, l.leg";
        self.db.rows(organization, sql, &[organization.into(), call.into()]).await?.iter().map(leg).collect()
    }

    /// Returns the latest `limit` events of a tenant's call, oldest first, each with its id. Translation events are
    /// left out.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn call_event_list(
        &self,
        organization: OrganizationId,
        call: Uuid,
        limit: u32,
    ) -> Result<Vec<(i64, serde_json::Value)>, StoreError> {
        let sql = "SELECT id, body FROM (SELECT id, body FROM call_events WHERE organization_id = $1 \
                   AND call_id = $2 AND kind NOT LIKE 'translation.%' ORDER BY id DESC LIMIT $3) AS latest ORDER BY id";
        let rows = self.db.rows(organization, sql, &[organization.into(), call.into(), limit.into()]).await?;
        rows.iter().map(|row| Ok((row.int("id")?, row.json("body")?))).collect()
    }
}
