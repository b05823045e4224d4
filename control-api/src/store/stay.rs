//! Stays: the people who took part in calls, each with the time of joining and of leaving.
//!
//! ```text
//! call made for an agent ─▶ a stay from the call's beginning, leg 0 ─ their first leg ─▶ the number of that leg
//! another agent's leg answered ─▶ a stay from then on
//! leg ended, transferred away, or call ended ─▶ the stay ends
//! ```
//!
//! Invariant: a call that has ended has no open stay. Not here: what a stay lets its person see (`sight`).

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::call::Call;
use super::db::{Row, Tx, Value};
use super::{OrganizationId, Store, StoreError};

/// Leg number of a stay whose leg is not known yet.
const NO_LEG: u64 = 0;

/// A period in which a person was in a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stay {
    /// Number of the person's leg; 0 until it is known.
    pub leg: u64,
    /// The person's SIP user name.
    pub agent: String,
    /// Time at which the person joined.
    pub joined_at: Timestamp,
    /// Time at which the person left; `None` while they are in the call.
    pub left_at: Option<Timestamp>,
}

fn stay(row: &Row) -> Result<Stay, StoreError> {
    Ok(Stay {
        leg: row.count("leg")?,
        agent: row.text("agent")?,
        joined_at: row.time("joined_at")?,
        left_at: row.time_opt("left_at")?,
    })
}

/// Returns `$first, $first+1, …`: one parameter for each of `count` values.
fn parameters(first: usize, count: usize) -> String {
    (first..first + count).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}

impl Store {
    /// Returns the stays of all people in a tenant's call, in the order in which they joined.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn stay_list(&self, organization: OrganizationId, call: Uuid) -> Result<Vec<Stay>, StoreError> {
        let sql = "SELECT leg, agent, joined_at, left_at FROM call_stays \
                   WHERE organization_id = $1 AND call_id = $2 ORDER BY joined_at, leg";
        self.db.rows(organization, sql, &[organization.into(), call.into()]).await?.iter().map(stay).collect()
    }

    /// Returns one person's stays in these calls of a tenant. Calls in which the person never was are left out.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn stay_list_of(
        &self,
        organization: OrganizationId,
        agent: &str,
        calls: &[Uuid],
    ) -> Result<HashMap<Uuid, Vec<Stay>>, StoreError> {
        let mut stays: HashMap<Uuid, Vec<Stay>> = HashMap::new();
        if calls.is_empty() {
            return Ok(stays);
        }
        // The text contains only parameter names; values are bound.
        let sql = format!(
            "SELECT call_id, leg, agent, joined_at, left_at FROM call_stays WHERE organization_id = $1 AND agent = $2 \
             AND call_id IN ({}) ORDER BY joined_at, leg",
            parameters(3, calls.len())
        );
        let mut values: Vec<Value> = vec![organization.into(), agent.into()];
        values.extend(calls.iter().map(|call| Value::from(*call)));
        for row in &self.db.rows(organization, AssertSqlSafe(sql), &values).await? {
            stays.entry(row.uuid("call_id")?).or_default().push(stay(row)?);
        }
        Ok(stays)
    }

    /// Fills in the people who are in each of these calls now.
    pub(super) async fn people_fill(&self, organization: OrganizationId, calls: &mut [Call]) -> Result<(), StoreError> {
        let running: Vec<Uuid> = calls.iter().filter(|call| call.ended_at.is_none()).map(|call| call.id).collect();
        if running.is_empty() {
            return Ok(());
        }
        let mut values: Vec<Value> = vec![organization.into()];
        values.extend(running.iter().map(|call| Value::from(*call)));
        let rows = self.db.rows(organization, AssertSqlSafe(present_sql(running.len())), &values).await?;
        fill(&rows, calls)
    }
}

/// Returns the query for the people who are in `calls` calls now, each person once per call.
fn present_sql(calls: usize) -> String {
    format!(
        "SELECT call_id, agent, MIN(joined_at) AS joined FROM call_stays WHERE organization_id = $1 AND left_at IS NULL \
         AND call_id IN ({}) GROUP BY call_id, agent ORDER BY joined, agent",
        parameters(2, calls)
    )
}

fn fill(rows: &[Row], calls: &mut [Call]) -> Result<(), StoreError> {
    for row in rows {
        let (id, agent) = (row.uuid("call_id")?, row.text("agent")?);
        if let Some(call) = calls.iter_mut().find(|call| call.id == id) {
            call.people.push(agent);
        }
    }
    Ok(())
}

/// Fills in the people of one call, inside the unit of work that changes it.
pub(super) async fn people_fill_in(
    tx: &mut Tx,
    organization: OrganizationId,
    call: &mut Call,
) -> Result<(), StoreError> {
    let rows = tx.rows(AssertSqlSafe(present_sql(1)), &[organization.into(), call.id.into()]).await?;
    fill(&rows, std::slice::from_mut(call))
}

/// Begins the stay of the person for whom, or by whom, a call was made: from the call's beginning, with no leg yet.
pub(super) async fn begin_in(
    tx: &mut Tx,
    organization: OrganizationId,
    call: Uuid,
    agent: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO call_stays (organization_id, call_id, leg, agent, call_at, joined_at, is_first) \
               VALUES ($1, $2, $3, $4, $5, $5, TRUE)";
    tx.run(sql, &[organization.into(), call.into(), NO_LEG.into(), agent.into(), at.into()]).await?;
    Ok(())
}

/// Sets the leg of the person for whom a call was made.
pub(super) async fn leg_set_in(
    tx: &mut Tx,
    organization: OrganizationId,
    call: Uuid,
    leg: u64,
    agent: &str,
) -> Result<(), StoreError> {
    let sql = "UPDATE call_stays SET leg = $1 WHERE organization_id = $2 AND call_id = $3 AND leg = $4 AND agent = $5 \
               AND left_at IS NULL";
    tx.run(sql, &[leg.into(), organization.into(), call.into(), NO_LEG.into(), agent.into()]).await?;
    Ok(())
}

/// Begins the stay of a person whose leg was answered, if the call is running.
pub(super) async fn join_in(
    tx: &mut Tx,
    organization: OrganizationId,
    call: Uuid,
    leg: u64,
    agent: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO call_stays (organization_id, call_id, leg, agent, call_at, joined_at, is_first) \
               SELECT c.organization_id, c.id, $3, $4, c.created_at, $5, \
               NOT EXISTS (SELECT 1 FROM call_stays s WHERE s.organization_id = $1 AND s.call_id = $2 AND s.agent = $4) \
               FROM calls c WHERE c.organization_id = $1 AND c.id = $2 AND c.ended_at IS NULL \
               ON CONFLICT (organization_id, call_id, leg) DO NOTHING";
    tx.run(sql, &[organization.into(), call.into(), leg.into(), agent.into(), at.into()]).await?;
    Ok(())
}

/// Ends the stay that belongs to a leg. Returns the person's SIP user name, or `None` if the leg has no open stay.
pub(super) async fn leave_in(
    tx: &mut Tx,
    organization: OrganizationId,
    call: Uuid,
    leg: u64,
    at: Timestamp,
) -> Result<Option<String>, StoreError> {
    let sql = "UPDATE call_stays SET left_at = $1 WHERE organization_id = $2 AND call_id = $3 AND leg = $4 \
               AND left_at IS NULL RETURNING agent";
    let row = tx.row(sql, &[at.into(), organization.into(), call.into(), leg.into()]).await?;
    row.as_ref().map(|row| row.text("agent")).transpose()
}

/// Ends all open stays of a call that has ended.
pub(super) async fn end_all_in(
    tx: &mut Tx,
    organization: OrganizationId,
    call: Uuid,
    at: Timestamp,
) -> Result<(), StoreError> {
    let sql = "UPDATE call_stays SET left_at = $1 WHERE organization_id = $2 AND call_id = $3 AND left_at IS NULL";
    tx.run(sql, &[at.into(), organization.into(), call.into()]).await?;
    Ok(())
}

/// Returns the body of `call.joined`.
pub(super) fn joined_body(call: &Call, leg: u64, agent: &str, at: Timestamp) -> Json {
    json!({"type": "call.joined", "call_id": call.id, "at": at, "leg": leg, "agent": agent, "call": call})
}

/// Returns the body of `call.left`.
pub(super) fn left_body(call: Uuid, leg: u64, agent: &str, at: Timestamp) -> Json {
    json!({"type": "call.left", "call_id": call, "at": at, "leg": leg, "agent": agent})
}
