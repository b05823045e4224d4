//! The audit log: listed, exported and verified.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::Actor;
use crate::http::body::QueryPairs;
use crate::http::csv;
use crate::http::cursor::Page;
use crate::http::problem::Problem;
use crate::state::AppState;
use crate::store::{AuditFilter, AuditProof, AuditRow, Deed, OrganizationId, Place, Store, StoreError};
use crate::tenant::rbac::Action;

/// Number of rows read at a time for an export.
const EXPORT_PAGE: u32 = 500;
/// Columns of a CSV export.
const COLUMNS: [&str; 14] = [
    "seq",
    "id",
    "at",
    "actor_kind",
    "actor_id",
    "actor_name",
    "address",
    "request_id",
    "action",
    "target",
    "before",
    "after",
    "prev_hash",
    "hash",
];

/// One page of the audit log, newest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct AuditList {
    /// The entries, newest first.
    audit_logs: Vec<AuditInfo>,
    /// Cursor of the next page, or null on the last page.
    next_cursor: Option<String>,
}

/// Entry of the audit log: one action by one actor.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct AuditInfo {
    /// Id of the entry.
    id: Uuid,
    /// Position in the organization's chain, counted from 1.
    seq: u64,
    /// Time of the action.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// User, key or system that acted.
    actor: AuditActor,
    /// Address from which the request came.
    address: Option<String>,
    /// `X-Request-Id` of the response.
    request_id: Option<String>,
    /// Name of the action, such as `member.update`.
    action: String,
    /// Object of the action, such as `member:ID`.
    target: String,
    /// State of the object before the action.
    #[schema(value_type = Object, nullable)]
    before: Value,
    /// State of the object after the action.
    #[schema(value_type = Object, nullable)]
    after: Value,
    /// Hash of the previous entry.
    prev_hash: String,
    /// SHA-256 over this entry and `prev_hash`.
    hash: String,
}

/// Actor of an entry.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct AuditActor {
    /// Kind of actor: `user`, `key` or `system`.
    kind: String,
    /// Id of the user or key, or null for the system.
    id: Option<String>,
    /// E-mail address of a user, or name of a key.
    name: String,
}

impl From<AuditRow> for AuditInfo {
    fn from(row: AuditRow) -> AuditInfo {
        let json = |text: Option<String>| text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        AuditInfo {
            id: row.id,
            seq: row.seq,
            at: row.at,
            actor: AuditActor { kind: row.actor_kind, id: row.actor_id, name: row.actor_name },
            address: row.address,
            request_id: row.request_id,
            action: row.action,
            target: row.target,
            before: json(row.before),
            after: json(row.after),
            prev_hash: row.prev_hash,
            hash: row.hash,
        }
    }
}

/// Reads the filters that list and export share.
fn filter([actor, action, target, from, to]: [Option<String>; 5], limit: u32) -> Result<AuditFilter, Problem> {
    let time = |field: &str, text: Option<String>| match text.map(|text| text.parse::<Timestamp>()) {
        None => Ok(None),
        Some(Ok(at)) => Ok(Some(at)),
        Some(Err(_)) => Err(Problem::field(field, "expected a time such as 2026-01-31T12:00:00Z")),
    };
    // PostgreSQL texts cannot contain NUL.
    for (field, text) in [("actor", &actor), ("action", &action), ("target", &target)] {
        if text.as_ref().is_some_and(|text| text.contains('\0')) {
            return Err(Problem::field(field, "expected no control characters"));
        }
    }
    Ok(AuditFilter { actor, action, target, from: time("from", from)?, to: time("to", to)?, below: None, limit })
}

/// Lists the organization's audit log, newest first.
#[utoipa::path(get, path = "/audit-logs", tag = "audit-logs", security(("key" = []), ("session" = [])),
    params(("actor" = Option<String>, Query, description = "Id of a user or key, or e-mail address or name"),
           ("action" = Option<String>, Query, description = "Name of the action, matched exactly"),
           ("target" = Option<String>, Query, description = "Target, matched exactly"),
           ("from" = Option<String>, Query, description = "Entries at this time or later (RFC 3339)"),
           ("to" = Option<String>, Query, description = "Entries before this time (RFC 3339)"),
           ("limit" = Option<u32>, Query, description = "Page size, 1 to 200; 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page")),
    responses((status = 200, body = AuditList)))]
pub(super) async fn audit_list(
    State(state): State<AppState>,
    actor: Actor,
    query: QueryPairs,
) -> Result<Json<AuditList>, Problem> {
    actor.may(Action::AuditRead)?;
    let [who, action, target, from, to, limit, cursor] =
        query.take(["actor", "action", "target", "from", "to", "limit", "cursor"])?;
    let asked = [who, action, target, from, to];
    let page = Page::filtered("audit-logs", actor.organization, &asked, cursor.as_deref(), limit.as_deref())?;
    let mut filter = filter(asked, page.fetch())?;
    // The cursor holds the position in the chain in place of a time.
    filter.below = page.after.and_then(|after| u64::try_from(after.at).ok());
    let mut rows = state.store.audit_list(actor.organization, &filter).await?;
    let next_cursor =
        page.cut(&mut rows, |last| Place { at: i64::try_from(last.seq).unwrap_or(i64::MAX), id: last.id });
    Ok(Json(AuditList { audit_logs: rows.into_iter().map(Into::into).collect(), next_cursor }))
}

/// Verifies the audit log: checks every entry's hash against its content and the previous entry.
#[utoipa::path(get, path = "/audit-logs/verify", tag = "audit-logs", security(("key" = []), ("session" = [])),
    responses((status = 200, body = AuditProof)))]
pub(super) async fn audit_verify(State(state): State<AppState>, actor: Actor) -> Result<Json<AuditProof>, Problem> {
    actor.may(Action::AuditRead)?;
    Ok(Json(state.store.audit_verify(actor.organization).await?))
}

/// File format of an export.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Csv,
    Json,
}

/// Exports the audit log as a file, newest first.
///
/// In CSV, a cell that a spreadsheet would take for a formula begins with `'`.
#[utoipa::path(get, path = "/audit-logs/export", tag = "audit-logs", security(("key" = []), ("session" = [])),
    params(("format" = Option<String>, Query, description = "`csv` (the default) or `json`"),
           ("actor" = Option<String>, Query, description = "Id of a user or key, or e-mail address or name"),
           ("action" = Option<String>, Query, description = "Name of the action, matched exactly"),
           ("target" = Option<String>, Query, description = "Target, matched exactly"),
           ("from" = Option<String>, Query, description = "Entries at this time or later (RFC 3339)"),
           ("to" = Option<String>, Query, description = "Entries before this time (RFC 3339)")),
    responses((status = 200, description = "The exported file", content((String = "text/csv"), (Vec<AuditInfo> = "application/json")))))]
pub(super) async fn audit_export(
    State(state): State<AppState>,
    actor: Actor,
    query: QueryPairs,
) -> Result<Response, Problem> {
    actor.may(Action::AuditRead)?;
    let [form, who, action, target, from, to] = query.take(["format", "actor", "action", "target", "from", "to"])?;
    let form = match form.as_deref() {
        None | Some("csv") => Form::Csv,
        Some("json") => Form::Json,
        Some(_) => return Err(Problem::field("format", "expected csv or json")),
    };
    let filter = filter([who, action, target, from, to], EXPORT_PAGE)?;
    state.audit(&actor, Deed::new("audit.export", "audit_log")).await?;
    let (content_type, name) = match form {
        Form::Csv => ("text/csv; charset=utf-8", "attachment; filename=\"audit.csv\""),
        Form::Json => ("application/json", "attachment; filename=\"audit.json\""),
    };
    let export = Export { store: state.store.clone(), organization: actor.organization, filter, form, at: At::Head };
    let body = Body::from_stream(stream::try_unfold(export, Export::next));
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(name));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Export that is being sent. Memory holds one page of rows at a time.
struct Export {
    store: Store,
    organization: OrganizationId,
    filter: AuditFilter,
    form: Form,
    at: At,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Head,
    Rows { first: bool },
    End,
}

impl Export {
    async fn next(mut self) -> Result<Option<(String, Export)>, StoreError> {
        let text = match self.at {
            At::Head => {
                self.at = At::Rows { first: true };
                if self.form == Form::Csv { csv::line(COLUMNS) } else { "[".to_owned() }
            }
            At::Rows { first } => {
                let rows = self.store.audit_list(self.organization, &self.filter).await?;
                self.filter.below = rows.last().map(|row| row.seq);
                self.at = if rows.len() < EXPORT_PAGE as usize { At::End } else { At::Rows { first: false } };
                let mut text = String::new();
                for (n, row) in rows.into_iter().enumerate() {
                    match self.form {
                        Form::Csv => text.push_str(&csv_row(&row)),
                        Form::Json => {
                            text.push_str(if first && n == 0 { "\n" } else { ",\n" });
                            let row = serde_json::to_string(&AuditInfo::from(row));
                            text.push_str(&row.map_err(|_| StoreError::Corrupt { column: "after" })?);
                        }
                    }
                }
                if self.at == At::End && self.form == Form::Json {
                    text.push_str("\n]\n");
                }
                text
            }
            At::End => return Ok(None),
        };
        Ok(Some((text, self)))
    }
}

fn csv_row(row: &AuditRow) -> String {
    let (seq, id, at) = (row.seq.to_string(), row.id.to_string(), row.at.to_string());
    let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
    let (actor_id, address) = (or_empty(&row.actor_id), or_empty(&row.address));
    let (request_id, before, after) = (or_empty(&row.request_id), or_empty(&row.before), or_empty(&row.after));
    csv::line([
        &seq,
        &id,
        &at,
        row.actor_kind.as_str(),
        &actor_id,
        &row.actor_name,
        &address,
        &request_id,
        &row.action,
        &row.target,
        &before,
        &after,
        &row.prev_hash,
        &row.hash,
    ])
}
