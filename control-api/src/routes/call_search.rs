//! Search for calls by filters: one page at a time, or all results as a file.
//!
//! ```text
//! query ─▶ filter_of ─ what the actor may see ─▶ CallFilter ─▶ store ─┬─▶ a page and its cursor
//!                                                                     └─▶ steps of a file, CSV or JSON
//! ```
//!
//! Invariants: an export holds one step in memory, and is audited before it begins. Not here: how calls are found (`store::search`).

use std::collections::VecDeque;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Actor;
use crate::auth::visibility::Seen;
use crate::http::body::QueryPairs;
use crate::http::csv;
use crate::http::cursor::Page;
use crate::http::problem::Problem;
use crate::state::AppState;
use crate::store::{Call, CallFilter, Deed, OrganizationId, Place, Store, StoreError};
use crate::tenant::rbac::Action;

/// Possible statuses of a call.
pub(super) const STATUSES: [&str; 6] = ["queued", "ringing", "answered", "bridged", "ended", "failed"];
/// Possible directions of a call.
pub(super) const DIRECTIONS: [&str; 2] = ["inbound", "outbound"];
/// Possible verdicts on what answered a call.
pub(super) const VERDICTS: [&str; 11] =
    ["human", "machine", "screening", "ivr", "fax", "sit", "busy", "ringback", "music", "silence", "unknown"];
/// Longest text of a filter, in characters.
pub(super) const FILTER_MAX: usize = 200;
/// Number of calls read at a time for an export.
const EXPORT_STEP: u32 = 500;
/// Pattern of the `number` filter, for the description: the first digits of a number.
pub(super) const NUMBER_PATTERN: &str = r"^\+?[0-9]{1,15}$";
/// Names of the filters, in the order that `filter_of` expects.
const FILTERS: [&str; 9] = ["status", "direction", "agent", "number", "outcome", "amd", "from", "to", "q"];

/// One page of calls, newest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct CallList {
    /// The calls, newest first.
    calls: Vec<Call>,
    /// Cursor of the next page, or null on the last page.
    next_cursor: Option<String>,
}

/// Lists the organization's calls, newest first.
///
/// A user who may see only their own calls gets only those.
#[utoipa::path(get, path = "/calls", tag = "calls", security(("key" = []), ("session" = [])),
    params(("status" = Option<String>, Query, description = "Only calls in this status"),
           ("direction" = Option<String>, Query, description = "`inbound` or `outbound`"),
           ("agent" = Option<String>, Query, description = "Only calls in which the agent with this SIP user name took part"),
           ("number" = Option<String>, Query, description = "Calls from or to numbers with this prefix: 1 to 15 digits, with or without +"),
           ("outcome" = Option<String>, Query, description = "Only calls with this outcome"),
           ("amd" = Option<String>, Query, description = "Only calls of which this was the newest verdict on what answered"),
           ("from" = Option<String>, Query, description = "Calls that began at this time or later (RFC 3339)"),
           ("to" = Option<String>, Query, description = "Calls that began before this time (RFC 3339)"),
           ("q" = Option<String>, Query, description = "Calls whose transcript or translation contains all these words"),
           ("limit" = Option<u32>, Query, description = "Page size, 1 to 200; 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page")),
    responses((status = 200, body = CallList)))]
pub(super) async fn call_list(
    State(state): State<AppState>,
    actor: Actor,
    query: QueryPairs,
) -> Result<Json<CallList>, Problem> {
    let seen = Seen::calls(&actor);
    let [status, direction, agent, number, outcome, amd, from, to, q, limit, cursor] = query.take([
        "status",
        "direction",
        "agent",
        "number",
        "outcome",
        "amd",
        "from",
        "to",
        "q",
        "limit",
        "cursor",
    ])?;
    let asked = [status, direction, agent, number, outcome, amd, from, to, q];
    let page = Page::filtered("calls", actor.organization, &asked, cursor.as_deref(), limit.as_deref())?;
    let Some(filter) = filter_of(asked, seen)? else {
        return Ok(Json(CallList { calls: Vec::new(), next_cursor: None }));
    };
    let filter = CallFilter { after: page.after.unwrap_or(Place::LAST), limit: page.fetch(), ..filter };
    let mut calls = state.store.call_list(actor.organization, &filter).await?;
    let next_cursor = page.cut(&mut calls, place);
    Ok(Json(CallList { calls, next_cursor }))
}

/// Exports all calls that match the filters as a file, newest first.
///
/// In CSV, a cell that a spreadsheet would take for a formula begins with `'`.
#[utoipa::path(get, path = "/calls/export", tag = "calls", security(("key" = []), ("session" = [])),
    params(("format" = Option<String>, Query, description = "`csv` (the default) or `json`"),
           ("status" = Option<String>, Query, description = "Only calls in this status"),
           ("direction" = Option<String>, Query, description = "`inbound` or `outbound`"),
           ("agent" = Option<String>, Query, description = "Only calls in which the agent with this SIP user name took part"),
           ("number" = Option<String>, Query, description = "Calls from or to numbers with this prefix: 1 to 15 digits, with or without +"),
           ("outcome" = Option<String>, Query, description = "Only calls with this outcome"),
           ("amd" = Option<String>, Query, description = "Only calls of which this was the newest verdict on what answered"),
           ("from" = Option<String>, Query, description = "Calls that began at this time or later (RFC 3339)"),
           ("to" = Option<String>, Query, description = "Calls that began before this time (RFC 3339)"),
           ("q" = Option<String>, Query, description = "Calls whose transcript or translation contains all these words")),
    responses((status = 200, description = "The exported file", content((String = "text/csv"), (Vec<Call> = "application/json")))))]
pub(super) async fn call_export(
    State(state): State<AppState>,
    actor: Actor,
    query: QueryPairs,
) -> Result<Response, Problem> {
    actor.may(Action::CallsExport)?;
    let seen = Seen::calls(&actor);
    let [format, status, direction, agent, number, outcome, amd, from, to, q] =
        query.take(["format", "status", "direction", "agent", "number", "outcome", "amd", "from", "to", "q"])?;
    let format = match format.as_deref() {
        None | Some("csv") => Format::Csv,
        Some("json") => Format::Json,
        Some(_) => return Err(Problem::field("format", "expected csv or json")),
    };
    let asked = [status, direction, agent, number, outcome, amd, from, to, q];
    let given: serde_json::Map<String, serde_json::Value> = FILTERS
        .iter()
        .zip(&asked)
        .filter_map(|(name, value)| Some(((*name).to_owned(), value.clone()?.into())))
        .collect();
    let filter = filter_of(asked, seen)?;
    state.audit(&actor, Deed::new("calls.export", "calls").after(given)).await?;
    let body =
        Body::from_stream(stream::try_unfold(Export::new(&state.store, actor.organization, format, filter), step));
    let (media_type, name) = match format {
        Format::Csv => ("text/csv; charset=utf-8", "attachment; filename=\"calls.csv\""),
        Format::Json => ("application/json", "attachment; filename=\"calls.json\""),
    };
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(name));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Returns the filter for the values `asked`, in the order of [`FILTERS`]. Returns `None` if it matches no call that `seen`
/// allows.
fn filter_of(asked: [Option<String>; 9], seen: Seen) -> Result<Option<CallFilter>, Problem> {
    for (name, value) in FILTERS.iter().zip(&asked) {
        let unfit = |text: &String| text.chars().count() > FILTER_MAX || text.chars().any(char::is_control);
        if value.as_ref().is_some_and(unfit) {
            return Err(Problem::field(
                *name,
                format!("expected at most {FILTER_MAX} characters and no control characters"),
            ));
        }
    }
    let [status, direction, agent, number, outcome, amd, from, to, words] = asked;
    for (name, value, words) in
        [("status", &status, &STATUSES[..]), ("direction", &direction, &DIRECTIONS[..]), ("amd", &amd, &VERDICTS[..])]
    {
        if value.as_deref().is_some_and(|value| !words.contains(&value)) {
            return Err(Problem::field(name, format!("expected one of {}", words.join(", "))));
        }
    }
    if number.as_deref().is_some_and(|number| !is_beginning(number)) {
        return Err(Problem::field("number", "expected 1 to 15 digits, with or without a leading `+`"));
    }
    let time = |name: &str, text: Option<String>| match text.map(|text| text.parse::<Timestamp>()) {
        None => Ok(None),
        Some(Ok(at)) => Ok(Some(at.as_millisecond())),
        Some(Err(_)) => Err(Problem::field(name, "expected a time in RFC 3339 form such as 2026-01-31T00:00:00Z")),
    };
    let (since, until) = (time("from", from)?, time("to", to)?);
    let seen_by = match seen {
        Seen::All => None,
        Seen::Own(own) if agent.as_ref().is_some_and(|agent| *agent != own) => return Ok(None),
        Seen::Own(own) => Some(own),
        Seen::Nothing => return Ok(None),
    };
    let filter = CallFilter { status, direction, agent, seen_by, number, outcome, amd, ..CallFilter::default() };
    Ok(Some(CallFilter { since, until, words, ..filter }))
}

fn is_beginning(number: &str) -> bool {
    let digits = number.strip_prefix('+').unwrap_or(number);
    (1..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
}

fn place(call: &Call) -> Place {
    Place::of(call.created_at, call.id)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Csv,
    Json,
}

/// Export that is being sent. Memory holds one step of it.
struct Export {
    store: Store,
    organization: OrganizationId,
    format: Format,
    /// Filter of the next step; `None` once everything was read.
    filter: Option<CallFilter>,
    waiting: VecDeque<Bytes>,
    first: bool,
    ended: bool,
}

/// Columns of a CSV export.
const COLUMNS: [&str; 14] = [
    "id",
    "created_at",
    "answered_at",
    "ended_at",
    "direction",
    "mode",
    "status",
    "ended_reason",
    "outcome",
    "from",
    "to",
    "agent",
    "recorded",
    "amd",
];

impl Export {
    fn new(store: &Store, organization: OrganizationId, format: Format, filter: Option<CallFilter>) -> Export {
        let head = match format {
            Format::Csv => csv::line(COLUMNS),
            Format::Json => "[".into(),
        };
        Export {
            store: store.clone(),
            organization,
            format,
            filter: filter.map(|filter| CallFilter { limit: EXPORT_STEP, ..filter }),
            waiting: VecDeque::from([Bytes::from(head)]),
            first: true,
            ended: false,
        }
    }

    /// Returns the next calls as text in the export's format.
    fn text_of(&mut self, calls: &[Call]) -> String {
        let mut text = String::new();
        for call in calls {
            match self.format {
                Format::Csv => text.push_str(&csv_line(call)),
                Format::Json => {
                    text.push_str(if self.first { "\n" } else { ",\n" });
                    text.push_str(&serde_json::to_string(call).unwrap_or_default());
                }
            }
            self.first = false;
        }
        text
    }
}

async fn step(mut export: Export) -> Result<Option<(Bytes, Export)>, StoreError> {
    if let Some(bytes) = export.waiting.pop_front() {
        return Ok(Some((bytes, export)));
    }
    if let Some(filter) = export.filter.take() {
        // An error ends the connection, so that a client does not take a partial file for a complete one.
        let calls = export.store.call_list(export.organization, &filter).await.inspect_err(|error| {
            tracing::error!(%error, "export of calls ended early");
        })?;
        if let Some(last) = calls.last()
            && calls.len() as u64 == u64::from(EXPORT_STEP)
        {
            export.filter = Some(CallFilter { after: place(last), ..filter });
        }
        let text = export.text_of(&calls);
        return Ok(Some((Bytes::from(text), export)));
    }
    if export.ended || export.format == Format::Csv {
        return Ok(None);
    }
    export.ended = true;
    Ok(Some((Bytes::from_static(b"\n]\n"), export)))
}

fn csv_line(call: &Call) -> String {
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    let (id, created_at) = (call.id.to_string(), call.created_at.to_string());
    let (answered_at, ended_at) = (time(call.answered_at), time(call.ended_at));
    let text = |value: &'_ Option<String>| value.clone().unwrap_or_default();
    let (mode, reason, outcome) = (text(&call.mode), text(&call.ended_reason), text(&call.outcome));
    let (from, agent, amd) = (text(&call.from), text(&call.agent), text(&call.amd));
    csv::line([
        id.as_str(),
        &created_at,
        &answered_at,
        &ended_at,
        &call.direction,
        &mode,
        &call.status,
        &reason,
        &outcome,
        &from,
        &call.to,
        &agent,
        if call.config.record { "yes" } else { "no" },
        &amd,
    ])
}
