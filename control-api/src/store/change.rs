//! Everything that the engine tells, written down: rows and the event that says so, in one transaction.
//!
//! ```text
//! Change ──▶ row (calls, legs, recordings, translations) ─┐
//!        └─▶ call_events row ── id ──▶ StoredEvent        ├─ one commit
//! ```
//!
//! Invariants: one writer, so event ids grow in the order of commits. A call that is over never changes its
//! status again. The tenant is the call's; a change for an unknown call is dropped by the caller's leave.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::db::Tx;
use super::{
    Call, LegFlow, OrganizationId, Quality, Store, StoreError, StoredEvent, call, lookup, missed, now, transcript,
    translation,
};
use crate::engine::{CallStatus, LegRole, LegState, TransferStage, TranslationEvent, word};
use crate::voice_config::VoiceConfig;

/// Calls whose owner is remembered at most.
const OWNERS_MAX: usize = 50_000;
/// Events in one statement: enough to save round trips, few enough for databases to know every length by heart.
const EVENTS_AT_ONCE: usize = 16;
/// Parameters of an event's row.
const EVENT_COLUMNS: usize = 5;

/// One of a few words. Not spelled out in the fields, where serde would want to borrow it from its input.
type Word = &'static str;

/// A call that begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewCall {
    /// Identity.
    pub id: Uuid,
    /// Whose.
    pub organization: OrganizationId,
    /// `inbound` or `outbound`.
    #[serde(deserialize_with = "direction")]
    pub direction: Word,
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
}

/// One thing to be written down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// A call begins, `queued`.
    CallCreated {
        /// The call.
        call: NewCall,
        /// When.
        at: Timestamp,
    },
    /// A call's status changed.
    CallStatus {
        /// The call.
        call: Uuid,
        /// New status.
        status: CallStatus,
        /// Why, when it is over.
        cause: Option<String>,
        /// When.
        at: Timestamp,
    },
    /// A leg's state changed.
    Leg {
        /// The call.
        call: Uuid,
        /// The leg's number.
        leg: u64,
        /// Its part.
        role: LegRole,
        /// New state.
        state: LegState,
        /// The other end.
        peer: String,
        /// Codec, once answered.
        codec: Option<String>,
        /// When.
        at: Timestamp,
    },
    /// A party has its call transferred.
    Transfer {
        /// The call.
        call: Uuid,
        /// Number of the leg whose party wants it.
        leg: u64,
        /// Its part, which the new leg takes over.
        role: LegRole,
        /// Who takes its place; empty while that is not known.
        to: String,
        /// How far it has come.
        stage: TransferStage,
        /// Why it failed.
        cause: Option<String>,
        /// The call that the other leg goes on in, when this one ends by it.
        other: Option<Uuid>,
        /// When.
        at: Timestamp,
    },
    /// A leg's media report: replaces the one before; told, but not kept as an event.
    LegQuality {
        /// The call.
        call: Uuid,
        /// The leg's number.
        leg: u64,
        /// Its part.
        role: LegRole,
        /// The report.
        quality: Quality,
        /// When.
        at: Timestamp,
    },
    /// Whether a leg's sound flows has changed.
    LegFlow {
        /// The call.
        call: Uuid,
        /// The leg's number.
        leg: u64,
        /// Its part.
        role: LegRole,
        /// Both directions.
        flow: LegFlow,
        /// When.
        at: Timestamp,
    },
    /// A leg was found dead.
    MediaTimeout {
        /// The call.
        call: Uuid,
        /// The leg's number.
        leg: u64,
        /// Its part.
        role: LegRole,
        /// For how long nothing came.
        after_s: u64,
        /// When.
        at: Timestamp,
    },
    /// The state of a part of a recording changed.
    Recording {
        /// The call.
        call: Uuid,
        /// 1 for the first file, which a short recording consists of.
        #[serde(default = "first_part")]
        part: u32,
        /// The file.
        path: String,
        /// `started`, `finished` or `interrupted`.
        #[serde(deserialize_with = "recording_state")]
        state: Word,
        /// Why it was interrupted.
        note: Option<String>,
        /// Audio in it.
        duration_ms: u64,
        /// When.
        at: Timestamp,
    },
    /// A key was pressed.
    Dtmf {
        /// The call.
        call: Uuid,
        /// The leg's number.
        leg: u64,
        /// 0-9, *, #, A-D.
        digit: char,
        /// How long it was held.
        duration_ms: u32,
        /// When.
        at: Timestamp,
    },
    /// Words: partial, final, translated.
    Translation {
        /// The call.
        call: Uuid,
        /// What was said and what it means.
        event: TranslationEvent,
        /// When.
        at: Timestamp,
    },
}

/// Which batch of which run: what was written once is not written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// A run of the process.
    pub run: Uuid,
    /// Grows with every batch of the run, in the order in which they are written.
    pub seq: i64,
}

/// A leg's media report, to be told to those who listen now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegReport {
    /// Whose.
    pub organization: OrganizationId,
    /// The call.
    pub call: Uuid,
    /// JSON text, ready to be sent.
    pub body: Arc<str>,
}

/// What became of changes.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// The events that they made, in order.
    pub events: Vec<StoredEvent>,
    /// Media reports among them.
    pub reports: Vec<LegReport>,
    /// How many belonged to calls that are not known, and were skipped.
    pub unknown: usize,
}

/// An event about to be appended.
struct Draft {
    organization: OrganizationId,
    call: Uuid,
    kind: &'static str,
    body: Value,
    at: Timestamp,
}

impl Store {
    /// Writes the changes down, all or none. Changes of unknown calls are skipped.
    pub async fn changes_record(&self, changes: &[Change]) -> Result<Written, StoreError> {
        let mut tx = self.db.write_outside().await?;
        let (written, owners) = record(&mut tx, &self.owners, changes).await?;
        tx.commit().await?;
        self.owners.learn(owners);
        Ok(written)
    }

    /// The same, unless this batch or a later one of its run was written before: then nothing. A commit of which no
    /// answer came is tried again so.
    pub async fn changes_record_once(&self, mark: Mark, changes: &[Change]) -> Result<Option<Written>, StoreError> {
        let mut tx = self.db.write_outside().await?;
        let sql = "INSERT INTO ingest_marks (run, seq, at) VALUES ($1, $2, $3) ON CONFLICT (run) DO UPDATE \
                   SET seq = excluded.seq, at = excluded.at WHERE ingest_marks.seq < excluded.seq";
        if tx.run(sql, &[mark.run.into(), mark.seq.into(), now().into()]).await? == 0 {
            return Ok(None);
        }
        let (written, owners) = record(&mut tx, &self.owners, changes).await?;
        tx.commit().await?;
        self.owners.learn(owners);
        Ok(Some(written))
    }

    /// Closes what a run that ended without a word left open: calls with cause `crash`, their legs and
    /// recordings. Returns the number of calls. Called before the engine starts.
    pub async fn calls_close_left_open(&self) -> Result<usize, StoreError> {
        let mut closed = 0;
        for organization in self.organization_list().await? {
            closed += self.calls_close_of(organization).await?;
        }
        Ok(closed)
    }

    async fn calls_close_of(&self, organization: OrganizationId) -> Result<usize, StoreError> {
        let sql = "SELECT id, answered_at FROM calls \
                   WHERE organization_id = $1 AND status NOT IN ('ended', 'failed') ORDER BY id";
        let rows = self.db.rows(organization, sql, &[organization.into()]).await?;
        let at = now();
        let mut changes = Vec::new();
        for row in &rows {
            let call = row.uuid("id")?;
            let status = if row.time_opt("answered_at")?.is_some() { CallStatus::Ended } else { CallStatus::Failed };
            changes.push(Change::CallStatus { call, status, cause: Some("crash".into()), at });
            for recording in self.recording_parts(organization, call).await? {
                if recording.state != "started" {
                    continue;
                }
                changes.push(Change::Recording {
                    call,
                    part: recording.part,
                    path: recording.path.to_string_lossy().into_owned(),
                    state: "interrupted",
                    note: Some("the server stopped while the call was running; audio until then is in the file".into()),
                    duration_ms: recording.duration_ms,
                    at,
                });
            }
        }
        self.changes_record(&changes).await?;
        let sql = "UPDATE legs SET state = 'ended', ended_at = $1 WHERE organization_id = $2 AND state <> 'ended' \
                   AND EXISTS (SELECT 1 FROM calls c WHERE c.id = legs.call_id \
                               AND c.organization_id = legs.organization_id AND c.status IN ('ended', 'failed'))";
        self.db.run(organization, sql, &[at.into(), organization.into()]).await?;
        Ok(rows.len())
    }
}

/// Whose a call is, for as long as it can be remembered: it never changes.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners(Arc<Mutex<HashMap<Uuid, OrganizationId>>>);

impl Owners {
    fn of(&self, call: Uuid) -> Option<OrganizationId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&call).copied()
    }

    /// Only what was committed.
    fn learn(&self, calls: HashMap<Uuid, OrganizationId>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() + calls.len() > OWNERS_MAX {
            known.clear();
        }
        known.extend(calls);
    }
}

/// What became of the changes, and whose their calls are.
async fn record(
    tx: &mut Tx,
    known: &Owners,
    changes: &[Change],
) -> Result<(Written, HashMap<Uuid, OrganizationId>), StoreError> {
    let mut entered = None;
    let mut written = Written::default();
    let mut owners = HashMap::new();
    let mut drafts = Vec::new();
    for change in changes {
        let call = change.call();
        let organization = match change {
            Change::CallCreated { call, .. } => Some(call.organization),
            _ => match owners.get(&call).copied().or_else(|| known.of(call)) {
                None => organization_of(tx, call).await?,
                found => found,
            },
        };
        let Some(organization) = organization else {
            written.unknown += 1;
            continue;
        };
        owners.insert(call, organization);
        if entered != Some(organization) {
            append(tx, &mut drafts, &mut written.events).await?;
            tx.enter(organization).await?;
            entered = Some(organization);
        }
        if let Some(report) = leg_report(organization, change) {
            written.reports.push(report);
        }
        drafts.extend(apply(tx, organization, change).await?);
    }
    append(tx, &mut drafts, &mut written.events).await?;
    Ok((written, owners))
}

/// One of the words that a field may hold.
fn word_of<'de, D: Deserializer<'de>>(from: D, words: &[&'static str]) -> Result<&'static str, D::Error> {
    let text = String::deserialize(from)?;
    let found = words.iter().find(|word| **word == text);
    found.copied().ok_or_else(|| D::Error::custom(format!("`{text}`: expected one of {}", words.join(", "))))
}

/// What a spool of an earlier version means.
fn first_part() -> u32 {
    1
}

fn direction<'de, D: Deserializer<'de>>(from: D) -> Result<&'static str, D::Error> {
    word_of(from, &["inbound", "outbound"])
}

fn recording_state<'de, D: Deserializer<'de>>(from: D) -> Result<&'static str, D::Error> {
    word_of(from, &["started", "finished", "interrupted"])
}

impl Change {
    /// The call it belongs to.
    pub fn call(&self) -> Uuid {
        match self {
            Change::CallCreated { call, .. } => call.id,
            Change::CallStatus { call, .. }
            | Change::Leg { call, .. }
            | Change::Transfer { call, .. }
            | Change::LegQuality { call, .. }
            | Change::LegFlow { call, .. }
            | Change::MediaTimeout { call, .. }
            | Change::Recording { call, .. }
            | Change::Dtmf { call, .. }
            | Change::Translation { call, .. } => *call,
        }
    }
}

/// The tenant of a call that the engine names, also of one that began in this unit of work.
async fn organization_of(tx: &mut Tx, call: Uuid) -> Result<Option<OrganizationId>, StoreError> {
    let sql = tx.pick(lookup::CALL_SQLITE, lookup::CALL_POSTGRES);
    let row = tx.row(sql, &[call.into()]).await?;
    row.as_ref().map(|row| row.uuid("organization_id").map(OrganizationId)).transpose()
}

/// Appends the events of one tenant, in order, a few rows a statement.
async fn append(tx: &mut Tx, drafts: &mut Vec<Draft>, events: &mut Vec<StoredEvent>) -> Result<(), StoreError> {
    while !drafts.is_empty() {
        let some: Vec<Draft> = drafts.drain(..drafts.len().min(EVENTS_AT_ONCE)).collect();
        let bodies: Vec<Arc<str>> = some.iter().map(|draft| draft.body.to_string().into()).collect();
        let rows: Vec<String> = (0..some.len())
            .map(|row| {
                let first = row * EVENT_COLUMNS;
                format!("(${}, ${}, ${}, ${}, ${})", first + 1, first + 2, first + 3, first + 4, first + 5)
            })
            .collect();
        let sql = format!(
            "INSERT INTO call_events (organization_id, call_id, kind, body, at) VALUES {} RETURNING id",
            rows.join(", ")
        );
        let mut values = Vec::with_capacity(some.len() * EVENT_COLUMNS);
        for (draft, body) in some.iter().zip(&bodies) {
            values.extend([
                draft.organization.into(),
                draft.call.into(),
                draft.kind.into(),
                (&**body).into(),
                draft.at.into(),
            ]);
        }
        // Ids grow from row to row; in which order they come back is nobody's promise.
        let rows = tx.rows(AssertSqlSafe(sql), &values).await?;
        let mut ids = rows.iter().map(|row| row.int("id")).collect::<Result<Vec<i64>, _>>()?;
        ids.sort_unstable();
        if ids.len() != some.len() {
            return Err(StoreError::Corrupt { column: "id" });
        }
        for ((draft, body), id) in some.into_iter().zip(bodies).zip(ids) {
            if draft.kind.starts_with("translation.") {
                let sql = "UPDATE translations SET event_id = $1 \
                           WHERE organization_id = $2 AND call_id = $3 AND segment = $4";
                let segment = draft.body["segment"].as_i64().unwrap_or_default();
                tx.run(sql, &[id.into(), draft.organization.into(), draft.call.into(), segment.into()]).await?;
            }
            let (organization, call, kind) = (draft.organization, draft.call, draft.kind.into());
            events.push(StoredEvent { id, organization, call, kind, body });
        }
    }
    Ok(())
}

async fn apply(tx: &mut Tx, organization: OrganizationId, change: &Change) -> Result<Option<Draft>, StoreError> {
    let call = change.call();
    let draft = |kind, body, at| Some(Draft { organization, call, kind, body, at });
    match change {
        Change::CallCreated { call: new, at } => {
            let shown = call_insert(tx, new, *at).await?;
            Ok(draft("call.created", json!({"type": "call.created", "call_id": call, "at": at, "call": shown}), *at))
        }
        Change::CallStatus { status, cause, at, .. } => {
            let updated = call_status_update(tx, organization, call, *status, cause.as_deref(), *at).await?;
            let Some(shown) = updated else { return Ok(None) };
            let body = json!({"type": "call.status", "call_id": call, "at": at, "status": status, "cause": cause,
                "call": shown});
            Ok(draft("call.status", body, *at))
        }
        Change::Leg { leg, role, state, peer, codec, at, .. } => {
            leg_upsert(tx, organization, change).await?;
            let body = json!({"type": "call.leg", "call_id": call, "at": at, "leg": leg, "role": role,
                "state": state, "peer": peer, "codec": codec});
            Ok(draft("call.leg", body, *at))
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
        Change::MediaTimeout { leg, role, after_s, at, .. } => {
            let body = json!({"type": "call.media_timeout", "call_id": call, "at": at, "leg": leg, "role": role,
                "after_s": after_s});
            Ok(draft("call.media_timeout", body, *at))
        }
        Change::Recording { part, state, note, duration_ms, at, .. } => {
            recording_upsert(tx, organization, change).await?;
            let body = json!({"type": "call.recording", "call_id": call, "at": at, "part": part, "state": state,
                "note": note, "duration_ms": duration_ms});
            Ok(draft("call.recording", body, *at))
        }
        Change::Dtmf { leg, digit, duration_ms, at, .. } => {
            let body = json!({"type": "call.dtmf", "call_id": call, "at": at, "leg": leg, "digit": digit,
                "duration_ms": duration_ms});
            Ok(draft("call.dtmf", body, *at))
        }
        Change::Translation { event, at, .. } => {
            let upserted = translation_upsert(tx, organization, call, event, *at).await?;
            Ok(upserted.and_then(|(kind, body)| draft(kind, body, *at)))
        }
    }
}

async fn call_insert(tx: &mut Tx, new: &NewCall, at: Timestamp) -> Result<Option<Call>, StoreError> {
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
    row.as_ref().map(call::call).transpose()
}

/// The call as it is now; nothing: it did not change, because it is over or is in this status already.
async fn call_status_update(
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
    row.as_ref().map(call::call).transpose()
}

async fn leg_upsert(tx: &mut Tx, organization: OrganizationId, change: &Change) -> Result<(), StoreError> {
    let Change::Leg { call, leg, role, state, peer, codec, at } = change else { return Ok(()) };
    let sql = "INSERT INTO legs (organization_id, call_id, leg, role, state, peer, codec, created_at, answered_at, \
               ended_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
               ON CONFLICT (organization_id, call_id, leg) DO UPDATE SET state = excluded.state, \
               peer = excluded.peer, codec = COALESCE(excluded.codec, legs.codec), \
               answered_at = COALESCE(legs.answered_at, excluded.answered_at), \
               ended_at = COALESCE(legs.ended_at, excluded.ended_at)";
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
    ];
    tx.run(sql, &values).await?;
    Ok(())
}

/// What of a leg's media is kept beside its state.
#[derive(Clone, Copy)]
enum LegColumn {
    Quality,
    Flow,
}

async fn leg_media_update(
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

/// What is told of a media report to those who listen now.
fn leg_report(organization: OrganizationId, change: &Change) -> Option<LegReport> {
    let Change::LegQuality { call, leg, role, quality, at } = change else { return None };
    let body = json!({"type": "call.quality", "call_id": call, "at": at, "leg": leg, "role": role,
        "quality": quality});
    Some(LegReport { organization, call: *call, body: body.to_string().into() })
}

async fn recording_upsert(tx: &mut Tx, organization: OrganizationId, change: &Change) -> Result<(), StoreError> {
    let Change::Recording { call, part, path, state, note, duration_ms, at } = change else { return Ok(()) };
    let sql = "INSERT INTO recordings (organization_id, call_id, part, path, state, note, duration_ms, started_at, \
               ended_at) VALUES ($1, $2, $9, $3, $4, $5, $6, $7, $8) \
               ON CONFLICT (organization_id, call_id, part) DO UPDATE SET path = excluded.path, state = excluded.state, \
               note = excluded.note, duration_ms = excluded.duration_ms, ended_at = excluded.ended_at";
    let values = [
        organization.into(),
        (*call).into(),
        path.into(),
        (*state).into(),
        note.into(),
        (*duration_ms).into(),
        (*at).into(),
        (*state != "started").then_some(*at).into(),
        (*part).into(),
    ];
    tx.run(sql, &values).await?;
    Ok(())
}

/// Keeps the segment's state; the kind of event says what is new in it. Nothing: a partial came after the final
/// text of its segment.
async fn translation_upsert(
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
        (true, false) if !was_final => "translation.final",
        (true, _) => "translation.lag",
    };
    let times = translation::spoken(event, at);
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
        transcript::live_in(tx, organization, call, event, times.0.unwrap_or(at)).await?;
    }
    if event.is_final && !was_final {
        missed::missed_in(tx, organization, call, event, times).await?;
    }
    Ok(Some((kind, body)))
}
