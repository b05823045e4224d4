//! A call's words: as they stand, and as they come.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::calls::call_seen;
use super::events::{own_calls, resume_after, still_allowed};
use crate::auth::Actor;
use crate::body::{CallPath, QueryPairs};
use crate::events::{Bus, OwnCalls, Reader, STREAM_END_QUIET, sse_response};
use crate::problem::Problem;
use crate::state::AppState;
use crate::store::{Sight, StoreError, StreamFilter, TAIL, event_time, now};

/// Events looked through at a time.
const PAGE: usize = 128;

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

/// The latest state of every segment of a call; for who sees own calls only, of those said while they were in it.
#[utoipa::path(get, path = "/calls/{id}/translations", tag = "translations",
    security(("key" = []), ("session" = [])), params(("id" = Uuid, Path, description = "The call")),
    responses((status = 200, body = TranslationList), (status = 401, body = Problem), (status = 404, body = Problem)))]
pub(super) async fn translation_list(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
) -> Result<Json<TranslationList>, Problem> {
    let (_, sight) = call_seen(&state, &actor, id).await?;
    let mut translations = state.store.translation_list(actor.organization, id).await?;
    if sight != Sight::Whole {
        // Typed text has no times of its own: the transcript knows when it came.
        let kept = state.store.transcript_list(actor.organization, id).await?;
        let came: HashMap<u64, Timestamp> = kept.iter().map(|kept| (kept.segment, kept.started_at)).collect();
        translations.retain(|body| {
            let began = event_time(body, "began_at").or_else(|| came.get(&body["segment"].as_u64()?).copied());
            began.is_some_and(|began| sight.reads(began, event_time(body, "ended_at")))
        });
    }
    Ok(Json(TranslationList { translations }))
}

/// A call's words as they come: events `partial`, `final`, `translation` and `lag`, each a whole segment's state.
///
/// From the call's first word, or after `Last-Event-ID`; for who sees own calls only, from their joining it on. `end` follows when the
/// call is over and its words are told, `left` within 5 s after such a listener has left a call that goes on; asking again after
/// that gets 204, which ends an EventSource.
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
    let (call, sight) = call_seen(&state, &actor, id).await?;
    let [by_query] = query.take(["last_event_id"])?;
    let after = resume_after(&headers, by_query)?;
    let organization = actor.organization;
    let mut own = (sight != Sight::Whole).then(|| own_calls(&state, &actor));
    let filter = StreamFilter::Translations { organization, call: id, people: own.is_some() };
    let since = |then: Timestamp| now().duration_since(then).unsigned_abs();
    let told = call.ended_at.is_some_and(|ended| since(ended) >= STREAM_END_QUIET);
    let has_left = call.ended_at.is_none() && sight.left_at().is_some_and(|left| since(left) >= TAIL.unsigned_abs());
    if let Some(after) = after
        && (told || has_left)
        && !has_more(&state.bus, &filter, &mut own, after).await?
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
    let left_already = call.ended_at.is_none() && !sight.is_present();
    Ok(sse_response(reader.of_own(own).of_one_who_left(left_already).ending_when(told, over)))
}

/// Whether there are words after this event that the listener may hear.
async fn has_more(
    bus: &Bus,
    filter: &StreamFilter,
    own: &mut Option<OwnCalls>,
    mut after: i64,
) -> Result<bool, StoreError> {
    loop {
        let (events, seen) = bus.page(filter, after, PAGE).await?;
        if events.is_empty() {
            return Ok(false);
        }
        for event in &events {
            let heard = match own {
                Some(own) => own.hears_event(event).await? && !event.is_of_people(),
                None => true,
            };
            if heard {
                return Ok(true);
            }
        }
        after = seen;
    }
}
