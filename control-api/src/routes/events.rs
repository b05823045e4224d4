//! What happens to all calls of a tenant, as it happens.

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
use crate::body::QueryPairs;
use crate::events::{OwnCalls, Provider, Reader, sse_response};
use crate::problem::Problem;
use crate::state::AppState;
use crate::store::StreamFilter;
use crate::who::Seen;

/// State of the speech providers.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ProviderList {
    providers: Vec<Provider>,
}

/// Events of the tenant's calls: `call.created`, `call.status` (both with the whole call), `call.leg`,
/// `call.transfer` (a party has somebody else take its place: `started`, `done`, `failed`),
/// `call.flow` (whether a leg's sound flows, per direction, and why not), `call.media_timeout`, `call.recording`,
/// `call.dtmf`, `call.joined` (an agent is in the call from now on; with the whole call), `call.left`; with `translations=true` also `translation.partial`, `.final`, `.translation`, `.lag`. States that
/// are not kept come without id: `call.quality` (every 5 s for each leg, and at its end), `provider`, `registration`, and `gap` when
/// some were missed.
///
/// Whoever sees own calls only hears of those while they are in them, afterwards of their status alone; and of their own devices. From now on, or after `Last-Event-ID` (0: from the first).
#[utoipa::path(get, path = "/events", tag = "events", security(("key" = []), ("session" = [])),
    params(("Last-Event-ID" = Option<i64>, Header, description = "The event seen last"),
           ("last_event_id" = Option<i64>, Query, description = "The same, for clients that cannot set headers"),
           ("translations" = Option<bool>, Query, description = "Whether words are told too")),
    responses((status = 200, content_type = "text/event-stream", body = String), (status = 401, body = Problem),
              (status = 422, body = Problem), (status = 429, body = Problem)))]
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
    let after = resume_after(&headers, by_query)?.unwrap_or_else(|| state.bus.latest());
    let filter = StreamFilter::Organization { organization: actor.organization, translations };
    let own = (Seen::calls(&actor) != Seen::All).then(|| own_calls(&state, &actor));
    let listening = state.listeners.listen(&actor)?;
    let allowed = still_allowed(&state, actor);
    let reader = Reader::new(&state.bus, filter, after, state.stopping.clone(), listening, allowed);
    Ok(sse_response(reader.of_own(own).with_passing()))
}

/// The calls of a listener who does not hear of every call.
pub(super) fn own_calls(state: &AppState, actor: &Actor) -> OwnCalls {
    let agent = match Seen::calls(actor) {
        Seen::Own(agent) => Some(agent),
        Seen::All | Seen::Nothing => None,
    };
    OwnCalls::new(state.store.clone(), actor.organization, agent)
}

/// State of the speech providers, as last heard.
#[utoipa::path(get, path = "/providers", tag = "events", security(("key" = []), ("session" = [])),
    responses((status = 200, body = ProviderList), (status = 401, body = Problem)))]
pub(super) async fn provider_list(State(state): State<AppState>, _actor: Actor) -> Json<ProviderList> {
    Json(ProviderList { providers: state.bus.providers() })
}

/// What an open stream asks from time to time: whether its key or session is still good.
pub(super) fn still_allowed(
    state: &AppState,
    actor: Actor,
) -> impl Fn() -> BoxFuture<'static, bool> + Send + Sync + 'static {
    let (state, actor) = (state.clone(), Arc::new(actor));
    move || {
        let (state, actor) = (state.clone(), actor.clone());
        async move { actor.is_still_good(&state).await }.boxed()
    }
}

/// The id after which a listener goes on: the header, which an EventSource sends by itself, before the query.
pub(super) fn resume_after(headers: &HeaderMap, by_query: Option<String>) -> Result<Option<i64>, Problem> {
    let by_header = headers.get("last-event-id").map(|value| value.to_str().unwrap_or("?").trim().to_owned());
    let (field, text) = match (by_header.filter(|text| !text.is_empty()), by_query) {
        (Some(text), _) => ("Last-Event-ID", text),
        (None, Some(text)) => ("last_event_id", text),
        (None, None) => return Ok(None),
    };
    match text.parse::<i64>() {
        Ok(id) if id >= 0 => Ok(Some(id)),
        _ => Err(Problem::field(field, "expected the number of an event")),
    }
}
