//! Writes changes: each batch in one transaction and exactly once, and finds the changes that the database refuses.
//!
//! ```text
//! changes_record_once ─ mark ─▶ Pass ─ Change::apply ─▶ rows, events ─▶ commit: all or none
//!        └─ refused ─▶ changes_refused: each after a savepoint, rolled back as a whole ─▶ indexes and errors
//! ```
//!
//! Invariant: a mark and the changes of its batch are in the same commit, so a batch is written exactly once, whichever
//! of its changes are left out.
//!
//! Not here: the rows and events of each change (`change`), retries and the spool (`events`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::change::{CRASH, Change, Draft, apply, ending_unreported, leg_report};
use super::db::Tx;
use super::{OrganizationId, Store, StoreError, StoredEvent, clean, lookup, now};
use crate::engine::CallStatus;
use crate::tenant::number;

/// Largest number of calls whose organization is remembered.
const OWNERS_MAX: usize = 50_000;
/// Events in one statement: enough to save round trips, few enough for databases to cache the statement of every
/// length.
const EVENTS_AT_ONCE: usize = 16;
/// Parameters per row of an event.
const EVENT_COLUMNS: usize = 5;

/// Identity of a batch of changes, by which it is written only once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Identity of one run of the process.
    pub run: Uuid,
    /// Number of the batch, which grows in the order in which the run writes them.
    pub seq: i64,
}

/// A report on a leg that is sent to current listeners and not stored: media quality, active speaker, what the detection of
/// the answering party hears, or unsettled words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegReport {
    /// Organization that the call belongs to.
    pub organization: OrganizationId,
    /// Call of the leg.
    pub call: Uuid,
    /// Name of the event, such as `call.quality`.
    pub kind: &'static str,
    /// JSON text of the event, ready to be sent.
    pub body: Arc<str>,
}

/// Result of writing changes.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// Events that were stored, in order.
    pub events: Vec<StoredEvent>,
    /// Reports that are to be sent to current listeners only.
    pub reports: Vec<LegReport>,
    /// Number of changes that were skipped because their calls are unknown.
    pub unknown: usize,
}

impl Store {
    /// Writes all changes or none. Changes of unknown calls are skipped.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn changes_record(&self, changes: &[Change]) -> Result<Written, StoreError> {
        let mut tx = self.db.write_outside().await?;
        let (written, owners) = record(&mut tx, &self.owners, changes).await?;
        tx.commit().await?;
        self.owners.learn(owners);
        Ok(written)
    }

    /// Returns the reports of changes that leave nothing in the store, without access to the database. `None` if one of them is to be
    /// stored, or belongs to a call whose organization is not cached.
    pub(crate) fn passing_reports(&self, changes: &[Change]) -> Option<Vec<LegReport>> {
        let report = |change: &Change| {
            let organization = self.owners.of(change.call()).filter(|_| change.is_passing())?;
            leg_report(organization, &clean::clean_change(change))
        };
        changes.iter().map(report).collect()
    }

    /// Writes all changes or none, unless this batch or a later one of its run has been written already: then returns
    /// `None`.
    /// A caller may therefore repeat a batch whose commit was not confirmed.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
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

    /// Finds the changes that the database refuses, and returns their indexes and errors. The changes are tried in
    /// order, each after those that were accepted; nothing is stored. There may be more refused changes after the last
    /// one returned.
    ///
    /// # Errors
    /// When the database is away, or refuses a statement that belongs to no change: then no change is at fault.
    pub async fn changes_refused(&self, changes: &[Change]) -> Result<Vec<(usize, StoreError)>, StoreError> {
        let mut tx = self.db.write_outside().await?;
        tx.constraints_immediate().await?;
        let mut pass = Pass::new(&self.owners);
        let mut refused = Vec::new();
        for (index, change) in changes.iter().enumerate() {
            tx.savepoint().await?;
            let Err(error) = pass.change_with_events(&mut tx, change).await else { continue };
            if error.is_transient() {
                return Err(error);
            }
            refused.push((index, error));
            // A database that has rolled back the whole transaction by itself has no savepoint left.
            if tx.roll_back_to_savepoint().await.is_err() {
                break;
            }
            pass.forget(change.call());
        }
        Ok(refused)
    }

    /// Closes the calls that a killed run left open, with cause `crash`, and their legs and recordings. Returns the
    /// number of calls. Must be called before the engine starts.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
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
            changes.push(Change::CallStatus { call, status, cause: Some(CRASH.into()), at });
            for recording in self.recording_parts(organization, call).await? {
                if recording.state != "started" {
                    continue;
                }
                changes.push(Change::Recording {
                    call,
                    file: recording.file,
                    of_leg: recording.of_leg,
                    channels: recording.channels,
                    path: recording.path.to_string_lossy().into_owned(),
                    state: "interrupted",
                    note: Some("the server stopped while the call was running; audio until then is in the file".into()),
                    duration_ms: recording.duration_ms,
                    at,
                });
            }
        }
        self.changes_record(&changes).await?;
        let sql = "UPDATE legs SET state = 'ended', ended_at = $1, ending = COALESCE(ending, $3) \
                   WHERE organization_id = $2 AND state <> 'ended' \
                   AND EXISTS (SELECT 1 FROM calls c WHERE c.id = legs.call_id \
                               AND c.organization_id = legs.organization_id AND c.status IN ('ended', 'failed'))";
        let ending = json!(ending_unreported(Some(CRASH))).to_string();
        self.db.run(organization, sql, &[at.into(), organization.into(), ending.into()]).await?;
        Ok(rows.len())
    }
}

/// Cache of the organizations of calls, which never change.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners(Arc<Mutex<HashMap<Uuid, OrganizationId>>>);

impl Owners {
    fn of(&self, call: Uuid) -> Option<OrganizationId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&call).copied()
    }

    /// Adds the organizations of calls. Only committed ones may be added.
    fn learn(&self, calls: HashMap<Uuid, OrganizationId>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() + calls.len() > OWNERS_MAX {
            known.clear();
        }
        known.extend(calls);
    }
}

/// Writes changes. Returns the result and the organizations of their calls.
async fn record(
    tx: &mut Tx,
    known: &Owners,
    changes: &[Change],
) -> Result<(Written, HashMap<Uuid, OrganizationId>), StoreError> {
    let mut pass = Pass::new(known);
    for change in changes {
        pass.change(tx, change).await?;
    }
    append(tx, &mut pass.drafts, &mut pass.written.events).await?;
    Ok((pass.written, pass.owners))
}

/// State of one pass through a list of changes.
struct Pass<'a> {
    known: &'a Owners,
    /// Tenant that the unit of work has entered last.
    entered: Option<OrganizationId>,
    written: Written,
    owners: HashMap<Uuid, OrganizationId>,
    /// Events of that tenant that are still to be appended.
    drafts: Vec<Draft>,
}

impl Pass<'_> {
    fn new(known: &Owners) -> Pass<'_> {
        Pass { known, entered: None, written: Written::default(), owners: HashMap::new(), drafts: Vec::new() }
    }

    /// Writes one change and its events at once, so that any refusal by the database belongs to this change.
    async fn change_with_events(&mut self, tx: &mut Tx, change: &Change) -> Result<(), StoreError> {
        self.change(tx, change).await?;
        append(tx, &mut self.drafts, &mut self.written.events).await
    }

    async fn change(&mut self, tx: &mut Tx, change: &Change) -> Result<(), StoreError> {
        let call = change.call();
        let mut change = clean::clean_change(change);
        if let Change::CallUnassigned { call: new, at } = change {
            let number = number::as_e164(&new.to);
            let Some(organization) = lookup::incoming_call(tx, new.agent.as_deref(), number.as_deref()).await? else {
                self.written.unknown += 1;
                return Ok(());
            };
            change = Change::CallCreated { call: new.assigned(organization), at };
        }
        let organization = match &change {
            Change::CallCreated { call, .. } => Some(call.organization),
            _ => match self.owners.get(&call).copied().or_else(|| self.known.of(call)) {
                None => organization_of(tx, call).await?,
                found => found,
            },
        };
        let Some(organization) = organization else {
            self.written.unknown += 1;
            return Ok(());
        };
        self.owners.insert(call, organization);
        if self.entered != Some(organization) {
            append(tx, &mut self.drafts, &mut self.written.events).await?;
            tx.enter(organization).await?;
            self.entered = Some(organization);
        }
        if let Some(report) = leg_report(organization, &change) {
            self.written.reports.push(report);
        }
        self.drafts.extend(apply(tx, organization, &change).await?);
        Ok(())
    }

    /// Forgets the state that came from a change of this call, which was rolled back.
    fn forget(&mut self, call: Uuid) {
        self.drafts.clear();
        self.owners.remove(&call);
        self.entered = None;
    }
}

/// Returns the tenant of a call that the engine names, also if the call began in this unit of work.
async fn organization_of(tx: &mut Tx, call: Uuid) -> Result<Option<OrganizationId>, StoreError> {
    let sql = tx.pick(lookup::CALL_SQLITE, lookup::CALL_POSTGRES);
    let row = tx.row(sql, &[call.into()]).await?;
    row.as_ref().map(|row| row.uuid("organization_id").map(OrganizationId)).transpose()
}

/// Truncates a time to whole milliseconds, the precision of the store.
fn to_milliseconds(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

/// Appends the events of one tenant in order, several rows per statement.
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
        // Ids grow from row to row, but databases do not promise the order in which they return them.
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
            let (organization, call, kind, at) =
                (draft.organization, draft.call, draft.kind.into(), to_milliseconds(draft.at));
            events.push(StoredEvent { id, organization, call, kind, at, body });
        }
    }
    Ok(())
}
