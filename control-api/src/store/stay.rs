//! Who took part in calls, and from when to when.
//!
//! ```text
//! call made for an agent ─▶ a stay from the call's beginning, leg 0 ─ their first leg ─▶ that leg's
//! another agent's leg answered ─▶ a stay from then on
//! leg over, transferred away, or call over ─▶ the stay ends
//! ```
//!
//! Invariant: a call that is over has no open stay. Not here: what a stay lets its person see (`sight`).

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::call::Call;
use super::db::{Row, Tx, Value};
use super::{OrganizationId, Store, StoreError};

/// The leg of a stay whose leg is not known yet.
const NO_LEG: u64 = 0;

/// A stretch of time for which a person was in a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stay {
    /// The leg by which they were in it; 0 until it is known.
    pub leg: u64,
    /// The person's SIP user name.
    pub agent: String,
    /// When they joined.
    pub joined_at: Timestamp,
    /// When they left; `None`: they are in the call.
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

/// `$first, $first+1, …`: one parameter for each of `count` values.
fn parameters(first: usize, count: usize) -> String {
    (first..first + count).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}

impl Store {
    /// The stays of all people in a tenant's call, in the order in which they joined.
    pub async fn stay_list(&self, organization: OrganizationId, call: Uuid) -> Result<Vec<Stay>, StoreError> {
        let sql = "SELECT leg, agent, joined_at, left_at FROM call_stays \
                   WHERE organization_id = $1 AND call_id = $2 ORDER BY joined_at, leg";
        self.db.rows(organization, sql, &[organization.into(), call.into()]).await?.iter().map(stay).collect()
    }

    /// The stays of one person in these calls of a tenant; calls in which they never were are left out.
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
        // Only names of parameters enter the text; values are bound.
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

    /// Fills in who is in each of these calls now.
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

/// Who is in each of `calls` calls now, each person once.
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

/// The same inside the unit of work that changes a call.
pub(super) async fn people_fill_in(
    tx: &mut Tx,
    organization: OrganizationId,
    call: &mut Call,
) -> Result<(), StoreError> {
    let rows = tx.rows(AssertSqlSafe(present_sql(1)), &[organization.into(), call.id.into()]).await?;
    fill(&rows, std::slice::from_mut(call))
}

/// A call was made for this person, or by them: they are in it from its beginning.
pub(super) async fn made_for_in(
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

/// The person for whom a call was made has a leg now.
pub(super) async fn leg_known_in(
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

/// A person's leg was answered: they are in the call, if it runs.
pub(super) async fn joined_in(
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

/// Whoever was in a call by this leg has left it: their name, unless nobody was.
pub(super) async fn left_in(
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

/// A call is over for everybody who was still in it.
pub(super) async fn all_left_in(
    tx: &mut Tx,
    organization: OrganizationId,
    call: Uuid,
    at: Timestamp,
) -> Result<(), StoreError> {
    let sql = "UPDATE call_stays SET left_at = $1 WHERE organization_id = $2 AND call_id = $3 AND left_at IS NULL";
    tx.run(sql, &[at.into(), organization.into(), call.into()]).await?;
    Ok(())
}

/// The event that tells that a person is in a call now.
pub(super) fn joined_body(call: &Call, leg: u64, agent: &str, at: Timestamp) -> Json {
    json!({"type": "call.joined", "call_id": call.id, "at": at, "leg": leg, "agent": agent, "call": call})
}

/// The event that tells that a person is no more in a call.
pub(super) fn left_body(call: Uuid, leg: u64, agent: &str, at: Timestamp) -> Json {
    json!({"type": "call.left", "call_id": call, "at": at, "leg": leg, "agent": agent})
}
