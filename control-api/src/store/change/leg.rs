//! Rows of legs: their state, what they do, and their media data.

use serde_json::json;
use uuid::Uuid;

use super::Change;
use crate::engine::{AmdNews, LegState, word};
use crate::store::db::Tx;
use crate::store::{LegAmd, OrganizationId, StoreError};

pub(super) async fn leg_upsert(tx: &mut Tx, organization: OrganizationId, change: &Change) -> Result<(), StoreError> {
    let Change::Leg { call, leg, role, state, peer, codec, ending, at, .. } = change else { return Ok(()) };
    let sql = "INSERT INTO legs (organization_id, call_id, leg, role, state, peer, codec, created_at, answered_at, \
               ended_at, ending) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
               ON CONFLICT (organization_id, call_id, leg) DO UPDATE SET state = excluded.state, \
               peer = excluded.peer, codec = COALESCE(excluded.codec, legs.codec), \
               answered_at = COALESCE(legs.answered_at, excluded.answered_at), \
               ended_at = COALESCE(legs.ended_at, excluded.ended_at), \
               ending = COALESCE(legs.ending, excluded.ending)";
    let values = [
        organization.into(),
        (*call).into(),
        (*leg).into(),
        word(role).into(),
        word(state).into(),
        peer.into(),
        codec.into(),
        (*at).into(),
        (*state == LegState::Answered).then_some(*at).into(),
        (*state == LegState::Ended).then_some(*at).into(),
        (&ending.as_ref().map(|ending| json!(ending).to_string())).into(),
    ];
    tx.run(sql, &values).await?;
    Ok(())
}

/// Updates what a leg does. An unknown leg is ignored.
pub(super) async fn leg_seat_update(
    tx: &mut Tx,
    organization: OrganizationId,
    change: &Change,
) -> Result<(), StoreError> {
    let Change::LegSeat { call, leg, held, muted, holds, gain_db, supervises, .. } = change else { return Ok(()) };
    let sql = "UPDATE legs SET held = $1, muted = $2, supervises = $3, holds = $4, gain_db = $5 \
               WHERE organization_id = $6 AND call_id = $7 AND leg = $8";
    let supervises = supervises.map(|mode| json!(mode).to_string());
    let values = [
        (*held).into(),
        (*muted).into(),
        (&supervises).into(),
        (*holds).into(),
        i64::from(*gain_db).into(),
        organization.into(),
        (*call).into(),
        (*leg).into(),
    ];
    tx.run(sql, &values).await?;
    Ok(())
}

/// Column of a leg's media data.
#[derive(Clone, Copy)]
pub(super) enum LegColumn {
    Quality,
    Flow,
}

pub(super) async fn leg_media_update(
    tx: &mut Tx,
    organization: OrganizationId,
    call: Uuid,
    leg: u64,
    column: LegColumn,
    text: &str,
) -> Result<(), StoreError> {
    let sql = match column {
        LegColumn::Quality => "UPDATE legs SET quality = $1 WHERE organization_id = $2 AND call_id = $3 AND leg = $4",
        LegColumn::Flow => "UPDATE legs SET flow = $1 WHERE organization_id = $2 AND call_id = $3 AND leg = $4",
    };
    tx.run(sql, &[text.into(), organization.into(), call.into(), leg.into()]).await?;
    Ok(())
}

/// Adds news of the detection to what is known of the leg's answer. An unknown leg is ignored.
pub(super) async fn leg_amd_update(
    tx: &mut Tx,
    organization: OrganizationId,
    call: Uuid,
    leg: u64,
    news: &AmdNews,
) -> Result<(), StoreError> {
    let sql = "SELECT amd FROM legs WHERE organization_id = $1 AND call_id = $2 AND leg = $3";
    let Some(row) = tx.row(sql, &[organization.into(), call.into(), leg.into()]).await? else { return Ok(()) };
    let mut amd: LegAmd = row.json_opt("amd")?.unwrap_or_default();
    amd.add(news);
    // As a text, in which a number of 32 bits has its shortest form.
    let text = serde_json::to_string(&amd).map_err(|_| StoreError::Corrupt { column: "amd" })?;
    let sql = "UPDATE legs SET amd = $1 WHERE organization_id = $2 AND call_id = $3 AND leg = $4";
    tx.run(sql, &[text.into(), organization.into(), call.into(), leg.into()]).await?;
    Ok(())
}
