//! Rows of calls, and of the legs of a call that has ended.

use jiff::Timestamp;
use serde_json::json;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::NewCall;
use crate::engine::{Answer, CallStatus, Ending, HangupCause, word};
use crate::store::db::Tx;
use crate::store::{Call, OrganizationId, StoreError, call, stay};

/// Cause of calls that were running when the server was killed.
pub(in crate::store) const CRASH: &str = "crash";

/// Returns whether the leg was answered at `at` for the first time, in a running call.
pub(super) async fn is_first_answer(
    tx: &mut Tx,
    organization: OrganizationId,
    call: Uuid,
    leg: u64,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "SELECT 1 AS one FROM legs l JOIN calls c ON c.organization_id = l.organization_id AND c.id = l.call_id \
               WHERE l.organization_id = $1 AND l.call_id = $2 AND l.leg = $3 AND l.answered_at = $4 \
               AND l.ended_at IS NULL AND c.ended_at IS NULL";
    Ok(tx.row(sql, &[organization.into(), call.into(), leg.into(), at.into()]).await?.is_some())
}

/// Reads a call as it is now.
pub(super) async fn call_load_in(
    tx: &mut Tx,
    organization: OrganizationId,
    call: Uuid,
) -> Result<Option<Call>, StoreError> {
    let sql = format!("SELECT {} FROM calls c WHERE c.organization_id = $1 AND c.id = $2", Call::columns("c"));
    let row = tx.row(AssertSqlSafe(sql), &[organization.into(), call.into()]).await?;
    let Some(mut call) = row.as_ref().map(call::call).transpose()? else { return Ok(None) };
    stay::people_fill_in(tx, organization, &mut call).await?;
    Ok(Some(call))
}

pub(super) async fn call_insert(tx: &mut Tx, new: &NewCall, at: Timestamp) -> Result<Option<Call>, StoreError> {
    let sql = format!(
        "INSERT INTO calls (id, organization_id, status, direction, mode, from_address, to_address, agent, config, \
         created_at) VALUES ($1, $2, 'queued', $3, $4, $5, $6, $7, $8, $9) RETURNING {}",
        call::COLUMNS.join(", ")
    );
    let values = [
        new.id.into(),
        new.organization.into(),
        new.direction.into(),
        (&new.mode).into(),
        (&new.from).into(),
        (&new.to).into(),
        (&new.agent).into(),
        json!(new.config).to_string().into(),
        at.into(),
    ];
    let row = tx.row(AssertSqlSafe(sql), &values).await?;
    let Some(mut shown) = row.as_ref().map(call::call).transpose()? else { return Ok(None) };
    if let Some(agent) = &new.agent {
        stay::begin_in(tx, new.organization, new.id, agent, at).await?;
        shown.people.push(agent.clone());
    }
    Ok(Some(shown))
}

/// Returns the call as it is now, or `None` if it did not change because it has ended or already has this status.
pub(super) async fn call_status_update(
    tx: &mut Tx,
    organization: OrganizationId,
    call: Uuid,
    status: CallStatus,
    cause: Option<&str>,
    at: Timestamp,
) -> Result<Option<Call>, StoreError> {
    let answered = matches!(status, CallStatus::Answered | CallStatus::Bridged).then_some(at);
    let over = matches!(status, CallStatus::Ended | CallStatus::Failed).then_some(at);
    let sql = format!(
        "UPDATE calls SET status = $1, answered_at = COALESCE(answered_at, $2), ended_at = $3, ended_reason = $4 \
         WHERE organization_id = $5 AND id = $6 AND status NOT IN ('ended', 'failed') AND status <> $1 RETURNING {}",
        call::COLUMNS.join(", ")
    );
    let cause = over.and(cause);
    let values = [word(&status).into(), answered.into(), over.into(), cause.into(), organization.into(), call.into()];
    let row = tx.row(AssertSqlSafe(sql), &values).await?;
    let Some(mut shown) = row.as_ref().map(call::call).transpose()? else { return Ok(None) };
    match over {
        Some(at) => legs_close(tx, organization, call, cause, at).await?,
        None => stay::people_fill_in(tx, organization, &mut shown).await?,
    }
    Ok(Some(shown))
}

/// Keeps the newest verdict on what answered, by which calls are found.
pub(super) async fn call_amd_update(
    tx: &mut Tx,
    organization: OrganizationId,
    call: Uuid,
    verdict: Answer,
) -> Result<(), StoreError> {
    let sql = "UPDATE calls SET amd = $1 WHERE organization_id = $2 AND id = $3";
    tx.run(sql, &[verdict.as_str().into(), organization.into(), call.into()]).await?;
    Ok(())
}

/// Closes the legs of an ended call whose own end was never reported: the call's task or the whole process failed.
pub(super) async fn legs_close(
    tx: &mut Tx,
    organization: OrganizationId,
    call: Uuid,
    cause: Option<&str>,
    at: Timestamp,
) -> Result<(), StoreError> {
    let sql = "UPDATE legs SET state = 'ended', ended_at = COALESCE(ended_at, $1), ending = COALESCE(ending, $2) \
               WHERE organization_id = $3 AND call_id = $4 AND state <> 'ended'";
    let ending = json!(ending_unreported(cause)).to_string();
    tx.run(sql, &[at.into(), ending.into(), organization.into(), call.into()]).await?;
    Ok(())
}

/// Derives how a leg ended from the cause of its call, if the leg's own end was never reported.
pub(in crate::store) fn ending_unreported(cause: Option<&str>) -> Ending {
    let known = cause.and_then(|cause| serde_json::from_value(json!(cause)).ok());
    let text = (cause == Some(CRASH)).then(|| "the server stopped while the call was running".to_owned());
    Ending { text, ..known.unwrap_or(HangupCause::Internal).into() }
}
