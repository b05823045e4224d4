//! Live stream of the events of all calls of an organization.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Actor;
use crate::auth::visibility::Seen;
use crate::events::{OwnCalls, Provider, Reader, sse_response};
use crate::http::body::QueryPairs;
use crate::http::problem::Problem;
use crate::state::AppState;
use crate::store::StreamFilter;

/// State of the organization's speech providers.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ProviderList {
    /// All providers that reported a state.
    providers: Vec<Provider>,
}

/// Streams the events of the organization's calls as server-sent events.
///
/// - `call.created`, `call.status`: a call began or changed its status; both carry the whole call.
/// - `call.leg`: a leg was added, rang, was answered or ended.
/// - `call.seat`: a leg was held, muted, changed in gain, or given another task of supervision.
/// - `call.parked`, `call.unparked`: a party was parked in a slot, or has left it.
/// - `call.play`, `call.gathered`: a play ended; digits were collected.
/// - `call.program`: a call program began, made a step, fell back or ended.
/// - `call.amd`: the detection of what answered a customer's leg has reached a `stage`: `listening`, `verdict`, `revised`,
///   `greeting_end`, `beep`, `message_begun` or `message_left` (see docs/answering-machines.md).
/// - `call.transfer`: a transfer was `started`, is `done` or has `failed`.
/// - `call.flow`: whether audio of a leg flows, per direction, and why not.
/// - `call.listening`: the sides of a translated call hear each other in another way or language, or translations reach one of
///   them at another level.
/// - `call.media_timeout`, `call.recording`, `call.dtmf`: lost media, recordings, keys.
/// - `call.joined`, `call.left`: an agent joined the call (carries the whole call) or left it.
/// - `translation.partial`, `.final`, `.translation`, `.lag`: only with `translations=true`.
///
/// States that are not stored have no id: `call.quality` (every 5 s for each leg, and at its end), `call.active_speaker` (a leg became,
/// or is no longer, the one who speaks in its conference), `call.amd` with the stage `heard` (a strip of what is heard while there is no
/// verdict), `translation.partial` if it brings nothing but words that may still change, `provider`, `registration`, and `gap` when some
/// of them were dropped.
///
/// A caller who may see only their own calls gets all events of a call while they are in it, only its status afterwards, and the
/// registrations of their own devices. The stream starts now, or after `Last-Event-ID` (0 starts with the first event).
#[utoipa::path(get, path = "/events", tag = "events", security(("key" = []), ("session" = [])),
    params(("Last-Event-ID" = Option<i64>, Header, description = "Id of the last event received; the stream continues after it"),
           ("last_event_id" = Option<i64>, Query, description = "Same as `Last-Event-ID`, for clients that cannot set headers"),
           ("translations" = Option<bool>, Query, description = "`true` to include transcripts and translations")),
    responses((status = 200, content_type = "text/event-stream", body = String), (status = 429, body = Problem)))]
pub(super) async fn event_stream(
    State(state): State<AppState>,
    actor: Actor,
    headers: HeaderMap,
    query: QueryPairs,
) -> Result<Response, Problem> {
    let [by_query, translations] = query.take(["last_event_id", "translations"])?;
    let translations = match translations.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Problem::field("translations", "expected true or false")),
    };
    let after = resume_after(&headers, by_query)?.unwrap_or_else(|| state.bus.latest_id());
    let filter = StreamFilter::Organization { organization: actor.organization, translations };
    let own = (Seen::calls(&actor) != Seen::All).then(|| own_calls(&state, &actor));
    let listening = state.listeners.listen(&actor)?;
    let allowed = still_allowed(&state, actor);
    let reader = Reader::new(&state.bus, filter, after, state.stopping.clone(), listening, allowed);
    Ok(sse_response(reader.of_own(own).with_passing()))
}

/// Returns the set of calls of a listener who may not see every call.
pub(super) fn own_calls(state: &AppState, actor: &Actor) -> OwnCalls {
    let agent = match Seen::calls(actor) {
        Seen::Own(agent) => Some(agent),
        Seen::All | Seen::Nothing => None,
    };
    OwnCalls::new(state.store.clone(), actor.organization, agent)
}

/// Returns the last reported state of the speech providers.
#[utoipa::path(get, path = "/providers", tag = "events", security(("key" = []), ("session" = [])),
    responses((status = 200, body = ProviderList)))]
pub(super) async fn provider_list(State(state): State<AppState>, _actor: Actor) -> Json<ProviderList> {
    Json(ProviderList { providers: state.bus.providers() })
}

/// Returns the check that an open stream makes from time to time: whether its key or session is still valid.
pub(super) fn still_allowed(
    state: &AppState,
    actor: Actor,
) -> impl Fn() -> BoxFuture<'static, bool> + Send + Sync + 'static {
    let (state, actor) = (state.clone(), Arc::new(actor));
    move || {
        let (state, actor) = (state.clone(), actor.clone());
        async move { actor.is_still_good(&state.auth).await }.boxed()
    }
}

/// Returns the id after which a stream continues. The header, which an EventSource sends by itself, takes precedence over the
/// query.
pub(super) fn resume_after(headers: &HeaderMap, by_query: Option<String>) -> Result<Option<i64>, Problem> {
    let by_header = headers.get("last-event-id").map(|value| value.to_str().unwrap_or("?").trim().to_owned());
    let (field, text) = match (by_header.filter(|text| !text.is_empty()), by_query) {
        (Some(text), _) => ("Last-Event-ID", text),
        (None, Some(text)) => ("last_event_id", text),
        (None, None) => return Ok(None),
    };
    match text.parse::<i64>() {
        Ok(id) if id >= 0 => Ok(Some(id)),
        _ => Err(Problem::field(field, "expected the id of an event")),
    }
}
