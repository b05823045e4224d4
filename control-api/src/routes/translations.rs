//! A call's words: as they stand, and as they come.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::calls::call_of;
use super::events::{resume_after, still_allowed};
use crate::auth::Actor;
use crate::body::{CallPath, QueryPairs};
use crate::events::{Reader, STREAM_END_QUIET, sse_response};
use crate::problem::Problem;
use crate::state::AppState;
use crate::store::{StreamFilter, now};

/// The latest state of every segment.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct TranslationList {
    /// In the order of segments.
    #[schema(value_type = Vec<Translation>)]
    translations: Vec<serde_json::Value>,
}

/// One state of one segment. Later events of the same segment replace earlier ones.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[allow(dead_code, reason = "describes what the store keeps as JSON")]
pub(super) struct Translation {
    /// Number of the segment in its call, counted from 1 over both legs.
    segment: u64,
    /// The call.
    call_id: Uuid,
    /// `customer` or `agent`: who spoke or typed.
    leg: String,
    /// BCP 47.
    source_language: String,
    /// BCP 47.
    target_language: String,
    /// What was said.
    text: String,
    /// What it means; nothing until translated.
    translation: Option<String>,
    /// Whether `text` will not change any more.
    r#final: bool,
    /// The words lay outside what the recogniser knows; `text` is then empty.
    unrecognised: Option<bool>,
    /// There was speech that live recognition did not hear; `text` is then empty.
    missed: Option<bool>,
    /// When the speech began; nothing for typed text.
    #[schema(value_type = Option<String>, format = DateTime)]
    began_at: Option<Timestamp>,
    /// When the speech ended; nothing while it goes on, and for typed text.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// Filled as the stages finish.
    lag_ms: Lag,
}

/// Lag of one segment by stage, in milliseconds.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[allow(dead_code, reason = "describes what the store keeps as JSON")]
pub(super) struct Lag {
    /// End of speech to final text.
    stt: Option<u32>,
    /// Final text to translation.
    translate: Option<u32>,
    /// Translation to first synthesised sample leaving for the listener.
    tts: Option<u32>,
    /// End of speech to that first sample; without voice, to the translated text.
    total: Option<u32>,
}

/// The latest state of every segment of a call.
#[utoipa::path(get, path = "/calls/{id}/translations", tag = "translations",
    security(("key" = []), ("session" = [])), params(("id" = Uuid, Path, description = "The call")),
    responses((status = 200, body = TranslationList), (status = 401, body = Problem), (status = 404, body = Problem)))]
pub(super) async fn translation_list(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
) -> Result<Json<TranslationList>, Problem> {
    call_of(&state, &actor, id).await?;
    Ok(Json(TranslationList { translations: state.store.translation_list(actor.organization, id).await? }))
}

/// A call's words as they come: events `partial`, `final`, `translation` and `lag`, each a whole segment's state.
///
/// From the call's first word, or after `Last-Event-ID`. `end` follows when the call is over and its words are
/// told; asking again after that gets 204, which ends an EventSource.
#[utoipa::path(get, path = "/calls/{id}/translations/stream", tag = "translations",
    security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call"),
           ("Last-Event-ID" = Option<i64>, Header, description = "The event seen last"),
           ("last_event_id" = Option<i64>, Query, description = "The same, for clients that cannot set headers")),
    responses((status = 200, content_type = "text/event-stream", body = Translation),
              (status = 204, description = "The call is over and nothing is left to tell"),
              (status = 401, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem),
              (status = 429, body = Problem)))]
pub(super) async fn translation_stream(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
    headers: HeaderMap,
    query: QueryPairs,
) -> Result<Response, Problem> {
    let call = call_of(&state, &actor, id).await?;
    let [by_query] = query.take(["last_event_id"])?;
    let after = resume_after(&headers, by_query)?;
    let organization = actor.organization;
    let filter = StreamFilter::Translations { organization, call: id };
    let told = call.ended_at.is_some_and(|ended| now().duration_since(ended).unsigned_abs() >= STREAM_END_QUIET);
    if let Some(after) = after
        && told
        && state.bus.page(&filter, after, 1).await?.0.is_empty()
    {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let store = state.store.clone();
    let over = move || {
        let store = store.clone();
        // A store that fails says nothing about the call: the stream stays.
        async move { matches!(store.call_show(organization, id).await, Ok(Some(call)) if call.ended_at.is_some()) }
            .boxed()
    };
    let listening = state.listeners.listen(&actor)?;
    let allowed = still_allowed(&state, actor);
    let reader = Reader::new(&state.bus, filter, after.unwrap_or(0), state.stopping.clone(), listening, allowed);
    Ok(sse_response(reader.ending_when(told, over)))
}
