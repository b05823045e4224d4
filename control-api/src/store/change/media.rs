//! Rows of recordings and of translated segments.

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Change;
use crate::engine::TranslationEvent;
use crate::store::db::Tx;
use crate::store::{OrganizationId, StoreError, missed, transcript, translation};

pub(super) async fn recording_upsert(
    tx: &mut Tx,
    organization: OrganizationId,
    change: &Change,
) -> Result<(), StoreError> {
    let Change::Recording { call, file, of_leg, channels, path, state, note, duration_ms, at } = change else {
        return Ok(());
    };
    let sql = "INSERT INTO recordings (organization_id, call_id, number, part, path, state, note, duration_ms, started_at, \
               ended_at, of_leg, channels) VALUES ($1, $2, $9, $10, $3, $4, $5, $6, $7, $8, $11, $12) \
               ON CONFLICT (organization_id, call_id, number, part) DO UPDATE SET path = excluded.path, \
               state = excluded.state, note = excluded.note, duration_ms = excluded.duration_ms, \
               ended_at = excluded.ended_at, channels = excluded.channels";
    let values = [
        organization.into(),
        (*call).into(),
        path.into(),
        (*state).into(),
        note.into(),
        (*duration_ms).into(),
        (*at).into(),
        (*state != "started").then_some(*at).into(),
        file.number.into(),
        file.part.into(),
        of_leg.and_then(|leg| i64::try_from(leg).ok()).into(),
        json!(channels).to_string().into(),
    ];
    tx.run(sql, &values).await?;
    Ok(())
}

/// Stores the segment's state and returns its event, whose kind says what is new. `None` if a partial text came after
/// the final text of its segment.
pub(super) async fn translation_upsert(
    tx: &mut Tx,
    organization: OrganizationId,
    call: Uuid,
    event: &TranslationEvent,
    at: Timestamp,
) -> Result<Option<(&'static str, Value)>, StoreError> {
    let sql =
        "SELECT final, translation FROM translations WHERE organization_id = $1 AND call_id = $2 AND segment = $3";
    let before = tx.row(sql, &[organization.into(), call.into(), event.segment.into()]).await?;
    let (was_final, was_translated) = match &before {
        Some(row) => (row.bool("final")?, row.text_opt("translation")?.is_some()),
        None => (false, false),
    };
    let kind = match (event.is_final, event.translation.is_some()) {
        (false, _) if was_final => return Ok(None),
        (false, _) => "translation.partial",
        (true, true) if !was_translated => "translation.translation",
        (true, _) if !was_final => "translation.final",
        (true, _) => "translation.lag",
    };
    let times = translation::speech_times(event, at);
    let body = translation::body(call, event, times);
    let sql = "INSERT INTO translations (organization_id, call_id, segment, event_id, final, text, translation, body) \
               VALUES ($1, $2, $3, 0, $4, $5, $6, $7) \
               ON CONFLICT (organization_id, call_id, segment) DO UPDATE SET final = excluded.final, \
               text = excluded.text, translation = excluded.translation, body = excluded.body";
    let values = [
        organization.into(),
        call.into(),
        event.segment.into(),
        event.is_final.into(),
        (&event.text).into(),
        (&event.translation).into(),
        body.to_string().into(),
    ];
    tx.run(sql, &values).await?;
    if event.is_final && !was_final && !event.text.is_empty() {
        transcript::live_insert_in(tx, organization, call, event, times.0.unwrap_or(at)).await?;
    }
    if event.is_final && !was_final {
        missed::insert_in(tx, organization, call, event, times).await?;
    }
    Ok(Some((kind, body)))
}
