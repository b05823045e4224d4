//! Rows and events of one change.
//!
//! ```text
//! Change ─▶ rows (`call`, `leg`, `media`) ─▶ event     and who is in the call (stays) ─▶ call.joined, call.left
//! ```
//!
//! Invariant: whoever joins receives the call before its other events; whoever leaves still receives the end of their leg.

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Change;
use super::call::{call_amd_update, call_insert, call_load_in, call_status_update, is_first_answer};
use super::leg::{LegColumn, leg_amd_update, leg_media_update, leg_seat_update, leg_upsert};
use super::media::{recording_upsert, translation_upsert};
use crate::engine::{AmdNews, CallStatus, LegRole, LegState, TransferStage};
use crate::store::db::Tx;
use crate::store::{LegReport, OrganizationId, PartId, RecordedChannel, StoreError, recording, stay, translation};

/// An event that is about to be appended.
pub(in crate::store) struct Draft {
    pub(in crate::store) organization: OrganizationId,
    pub(in crate::store) call: Uuid,
    pub(in crate::store) kind: &'static str,
    pub(in crate::store) body: Value,
    pub(in crate::store) at: Timestamp,
}

/// Writes the rows of one change. Returns the events that announce it, in order.
pub(in crate::store) async fn apply(
    tx: &mut Tx,
    organization: OrganizationId,
    change: &Change,
) -> Result<Vec<Draft>, StoreError> {
    let draft = apply_rows(tx, organization, change).await?;
    let (joined, left) = apply_stays(tx, organization, change).await?;
    // A person who joins receives the call first; a person who leaves still receives the end of their leg.
    Ok(joined.into_iter().chain(draft).chain(left).collect())
}

/// Writes how one change affects who is in the call. Returns the events of a person joining and of a person leaving.
async fn apply_stays(
    tx: &mut Tx,
    organization: OrganizationId,
    change: &Change,
) -> Result<(Option<Draft>, Option<Draft>), StoreError> {
    let call = change.call();
    let draft = |kind, body, at| Draft { organization, call, kind, body, at };
    let (leg, at) = match change {
        Change::Leg { leg, state: LegState::Ended, at, .. } => (*leg, *at),
        // This comes before the end of the dialog: a party that was transferred away no longer hears or is heard.
        Change::Transfer { leg, stage: TransferStage::Done, at, .. } => (*leg, *at),
        Change::Leg { leg, agent: Some(agent), state, at, .. } => {
            stay::leg_set_in(tx, organization, call, *leg, agent).await?;
            if *state != LegState::Answered || !is_first_answer(tx, organization, call, *leg, *at).await? {
                return Ok((None, None));
            }
            stay::join_in(tx, organization, call, *leg, agent, *at).await?;
            let Some(shown) = call_load_in(tx, organization, call).await? else { return Ok((None, None)) };
            return Ok((Some(draft("call.joined", stay::joined_body(&shown, *leg, agent, *at), *at)), None));
        }
        Change::CallStatus { status: CallStatus::Ended | CallStatus::Failed, at, .. } => {
            stay::end_all_in(tx, organization, call, *at).await?;
            return Ok((None, None));
        }
        _ => return Ok((None, None)),
    };
    let left = stay::leave_in(tx, organization, call, leg, at).await?;
    Ok((None, left.map(|agent| draft("call.left", stay::left_body(call, leg, &agent, at), at))))
}

/// Writes the rows of the change except stays. Returns the event that announces it, if there is one.
async fn apply_rows(tx: &mut Tx, organization: OrganizationId, change: &Change) -> Result<Option<Draft>, StoreError> {
    let call = change.call();
    let draft = |kind, body, at| Some(Draft { organization, call, kind, body, at });
    match change {
        Change::CallCreated { call: new, at } => {
            let shown = call_insert(tx, new, *at).await?;
            Ok(draft("call.created", json!({"type": "call.created", "call_id": call, "at": at, "call": shown}), *at))
        }
        // `record` has turned it into `CallCreated`.
        Change::CallUnassigned { .. } => Ok(None),
        Change::CallStatus { status, cause, at, .. } => {
            let updated = call_status_update(tx, organization, call, *status, cause.as_deref(), *at).await?;
            let Some(shown) = updated else { return Ok(None) };
            let body = json!({"type": "call.status", "call_id": call, "at": at, "status": status, "cause": cause,
                "call": shown});
            Ok(draft("call.status", body, *at))
        }
        Change::Leg { leg, role, state, peer, agent, codec, ending, at, .. } => {
            leg_upsert(tx, organization, change).await?;
            let body = json!({"type": "call.leg", "call_id": call, "at": at, "leg": leg, "role": role,
                "state": state, "peer": peer, "agent": agent, "codec": codec, "ending": ending});
            Ok(draft("call.leg", body, *at))
        }
        Change::LegSeat { leg, role, held, muted, holds, gain_db, supervises, at, .. } => {
            leg_seat_update(tx, organization, change).await?;
            let body = json!({"type": "call.seat", "call_id": call, "at": at, "leg": leg, "role": role, "held": held,
                "muted": muted, "holds": holds, "gain_db": gain_db, "supervises": supervises});
            Ok(draft("call.seat", body, *at))
        }
        Change::Parked { leg, slot, parked_by, until, at, .. } => {
            let body = json!({"type": "call.parked", "call_id": call, "at": at, "leg": leg, "slot": slot,
                "parked_by": parked_by, "until": until});
            Ok(draft("call.parked", body, *at))
        }
        Change::Unparked { leg, slot, why, at, .. } => {
            let body =
                json!({"type": "call.unparked", "call_id": call, "at": at, "leg": leg, "slot": slot, "why": why});
            Ok(draft("call.unparked", body, *at))
        }
        // Sent to current listeners only.
        Change::ActiveSpeaker { .. } => Ok(None),
        Change::Play { play, legs, state, note, at, .. } => {
            let body = json!({"type": "call.play", "call_id": call, "at": at, "play": play, "legs": legs,
                "state": state, "note": note});
            Ok(draft("call.play", body, *at))
        }
        Change::Program { leg, news, at, .. } => {
            let mut body = json!({"type": "call.program", "call_id": call, "at": at, "leg": leg});
            if let (Value::Object(body), Ok(Value::Object(news))) = (&mut body, serde_json::to_value(news)) {
                body.extend(news);
            }
            Ok(draft("call.program", body, *at))
        }
        Change::Gathered { gather, leg, digits, ended_by, enough, at, .. } => {
            let body = json!({"type": "call.gathered", "call_id": call, "at": at, "gather": gather, "leg": leg,
                "digits": digits, "ended_by": ended_by, "enough": enough});
            Ok(draft("call.gathered", body, *at))
        }
        Change::Transfer { leg, role, to, stage, cause, other, at, .. } => {
            let body = json!({"type": "call.transfer", "call_id": call, "at": at, "leg": leg, "role": role, "to": to,
                "stage": stage, "cause": cause, "other_call_id": other});
            Ok(draft("call.transfer", body, *at))
        }
        Change::LegQuality { leg, quality, .. } => {
            let text = json!(quality).to_string();
            leg_media_update(tx, organization, call, *leg, LegColumn::Quality, &text).await?;
            Ok(None)
        }
        Change::LegFlow { leg, role, flow, at, .. } => {
            leg_media_update(tx, organization, call, *leg, LegColumn::Flow, &json!(flow).to_string()).await?;
            let body = json!({"type": "call.flow", "call_id": call, "at": at, "leg": leg, "role": role, "flow": flow});
            Ok(draft("call.flow", body, *at))
        }
        Change::Listening { listeners, at, .. } => {
            let [customer, agent] = listeners.as_ref();
            let body =
                json!({"type": "call.listening", "call_id": call, "at": at, "customer": customer, "agent": agent});
            Ok(draft("call.listening", body, *at))
        }
        // Sent to current listeners only.
        Change::Amd { news: AmdNews::Heard(_), .. } => Ok(None),
        Change::Amd { leg, role, news, at, .. } => {
            leg_amd_update(tx, organization, call, *leg, news).await?;
            if let AmdNews::Verdict(verdict) = news {
                call_amd_update(tx, organization, call, verdict.verdict).await?;
            }
            Ok(draft("call.amd", amd_body((call, *leg), *role, news, *at), *at))
        }
        Change::MediaTimeout { leg, role, after_s, at, .. } => {
            let body = json!({"type": "call.media_timeout", "call_id": call, "at": at, "leg": leg, "role": role,
                "after_s": after_s});
            Ok(draft("call.media_timeout", body, *at))
        }
        Change::Recording { file: PartId { number, part }, channels, state, note, duration_ms, at, .. } => {
            recording_upsert(tx, organization, change).await?;
            let channels: Vec<Value> = channels.iter().map(RecordedChannel::without_names).collect();
            let body = json!({"type": "call.recording", "call_id": call, "at": at, "number": number, "part": part,
                "state": state, "note": note, "duration_ms": duration_ms, "channels": channels});
            Ok(draft("call.recording", body, *at))
        }
        Change::RecordingSeated { file, channels, .. } => {
            recording::channels_update(tx, organization, call, *file, channels).await?;
            Ok(None)
        }
        Change::RecordingPaused { number, paused, at, .. } => {
            recording::gap_record(tx, organization, call, *number, (*paused, *at)).await?;
            let state = if *paused { "paused" } else { "resumed" };
            let body = json!({"type": "call.recording", "call_id": call, "at": at, "number": number, "state": state});
            Ok(draft("call.recording", body, *at))
        }
        Change::Dtmf { leg, digit, duration_ms, at, .. } => {
            let body = json!({"type": "call.dtmf", "call_id": call, "at": at, "leg": leg, "digit": digit,
                "duration_ms": duration_ms});
            Ok(draft("call.dtmf", body, *at))
        }
        Change::Translation { event, .. } if event.is_passing => Ok(None),
        Change::Translation { event, at, .. } => {
            let upserted = translation_upsert(tx, organization, call, event, *at).await?;
            Ok(upserted.and_then(|(kind, body)| draft(kind, body, *at)))
        }
    }
}

/// Returns the event for news of the detection on a leg: the stage and its fields beside those of every event of a leg.
fn amd_body((call, leg): (Uuid, u64), role: LegRole, news: &AmdNews, at: Timestamp) -> Value {
    let mut body = json!({"type": "call.amd", "call_id": call, "at": at, "leg": leg, "role": role});
    // By way of a text, in which a number of 32 bits has its shortest form.
    let news = serde_json::to_string(news).and_then(|text| serde_json::from_str(&text));
    if let (Value::Object(body), Ok(Value::Object(news))) = (&mut body, news) {
        body.extend(news);
    }
    body
}

/// Returns the report that is sent to current listeners and not stored: media quality, active speaker, a strip of what the
/// detection hears, or unsettled words.
pub(in crate::store) fn leg_report(organization: OrganizationId, change: &Change) -> Option<LegReport> {
    let (kind, call, body) = match change {
        Change::LegQuality { call, leg, role, quality, at } => {
            let body = json!({"type": "call.quality", "call_id": call, "at": at, "leg": leg, "role": role,
                "quality": quality});
            ("call.quality", call, body)
        }
        Change::ActiveSpeaker { call, leg, role, active, at } => {
            let body = json!({"type": "call.active_speaker", "call_id": call, "at": at, "leg": leg, "role": role,
                "active": active});
            ("call.active_speaker", call, body)
        }
        Change::Amd { call, leg, role, news: news @ AmdNews::Heard(_), at } => {
            ("call.amd", call, amd_body((*call, *leg), *role, news, *at))
        }
        Change::Translation { call, event, at } if event.is_passing => {
            ("translation.partial", call, translation::body(*call, event, translation::speech_times(event, *at)))
        }
        _ => return None,
    };
    Some(LegReport { organization, call: *call, kind, body: body.to_string().into() })
}
