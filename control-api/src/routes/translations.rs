//! Transcripts and translations of a call: their current state, and a live stream.

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
use crate::events::{Bus, OwnCalls, Reader, STREAM_END_QUIET, sse_response};
use crate::http::body::{CallPath, QueryPairs};
use crate::http::problem::Problem;
use crate::state::AppState;
use crate::store::{Sight, StoreError, StreamFilter, TAIL, event_time, now};

/// Number of events read at a time.
const PAGE: usize = 128;

/// Latest state of every segment of a call.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct TranslationList {
    /// The segments, in order.
    #[schema(value_type = Vec<Translation>)]
    translations: Vec<serde_json::Value>,
}

/// State of one segment. A later event of the same segment replaces an earlier one.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[allow(dead_code, reason = "describes what the store keeps as JSON")]
pub(super) struct Translation {
    /// Number of the segment within its call, counted from 1 over both legs.
    segment: u64,
    /// Number of this state of the segment, counted from 1. Of two states the one with the higher number is newer.
    revision: Option<u32>,
    /// Id of the call.
    call_id: Uuid,
    /// Party that spoke or typed: `customer` or `agent`.
    leg: String,
    /// Language of `text` as a BCP 47 tag.
    source_language: String,
    /// Language of `translation` as a BCP 47 tag.
    target_language: String,
    /// Transcript of the speech, or typed text.
    text: String,
    /// Translations of the clauses so far, joined. Null until there is one. It grows while the segment is spoken.
    translation: Option<String>,
    /// Whether `text` is final.
    r#final: bool,
    /// Whether the recogniser did not know the words. `text` is then empty.
    unrecognised: Option<bool>,
    /// Whether there was speech that live recognition missed. `text` is then empty.
    missed: Option<bool>,
    /// Whether the text was recognised from the recording afterwards, because live recognition had missed the speech.
    late: Option<bool>,
    /// Start of the speech. Null for typed text.
    #[schema(value_type = Option<String>, format = DateTime)]
    began_at: Option<Timestamp>,
    /// End of the speech. Null while it continues, and for typed text.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// Number of words of `text` that are committed to translation: they do not change any more, except by a correction.
    committed: Option<u32>,
    /// Number of committed words that the recogniser contradicted later.
    corrections: Option<u32>,
    /// Clauses in which the segment is translated, in order.
    clauses: Option<Vec<Clause>>,
    /// Lag by stage: of the last clause or, without clauses, of the text. Values are added as the stages finish.
    lag_ms: Lag,
}

/// State of a clause, the unit that is translated and spoken.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[allow(dead_code, reason = "describes what the store keeps as JSON")]
pub(super) struct Clause {
    /// Number of the clause within its call, counted from 0 over both legs.
    clause: u64,
    /// Words of the segment that belong to the clause.
    text: String,
    /// Translation. Null until it is available, or if translation failed.
    translation: Option<String>,
    /// How the listener gets it: `pending`, `voice`, `text` (voice is off, failed or came too late) or `original` (not translated).
    heard: String,
    /// Factor of the speed of the voice, above 1 when it catches up.
    speed: Option<f32>,
    /// Lag by stage.
    lag_ms: Lag,
    /// Facts in which source and translation differ, such as `15 → 50`.
    differences: Option<Vec<String>>,
}

/// Lag by stage, in milliseconds.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[allow(dead_code, reason = "describes what the store keeps as JSON")]
pub(super) struct Lag {
    /// From the end of the last word until the words were committed, or until the final text if they are not translated.
    stt: Option<u32>,
    /// From there to the translation.
    translate: Option<u32>,
    /// From the translation to the first synthesised sample sent to the listener.
    tts: Option<u32>,
    /// From the end of the last word to that first sample, or without voice to the translated text.
    total: Option<u32>,
}

/// Returns the latest state of every segment of a call.
///
/// A user who may see only their own calls gets the segments that were said while they were in the call.
#[utoipa::path(get, path = "/calls/{id}/translations", tag = "translations",
    security(("key" = []), ("session" = [])), params(("id" = Uuid, Path, description = "Id of the call")),
    responses((status = 200, body = TranslationList)))]
pub(super) async fn translation_list(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
) -> Result<Json<TranslationList>, Problem> {
    let (_, sight) = call_seen(&state, &actor, id).await?;
    let mut translations = state.store.translation_list(actor.organization, id).await?;
    if sight != Sight::Whole {
        // Typed text has no times of its own; the transcript holds the time of its arrival.
        let kept = state.store.transcript_list(actor.organization, id).await?;
        let came: HashMap<u64, Timestamp> = kept.iter().map(|kept| (kept.segment, kept.started_at)).collect();
        translations.retain(|body| {
            let began = event_time(body, "began_at").or_else(|| came.get(&body["segment"].as_u64()?).copied());
            began.is_some_and(|began| sight.reads(began, event_time(body, "ended_at")))
        });
    }
    Ok(Json(TranslationList { translations }))
}

/// Streams the transcript and translation of a call as server-sent events.
///
/// The events are `partial`, `final`, `translation` and `lag`; each carries the whole state of a segment. A `partial` that brings nothing
/// but words that may still change is not stored: it has no id and is not sent again. `revision` orders the states of a segment.
///
/// The stream starts with the call's first segment, or after `Last-Event-ID`. A user who may see only their own calls gets the
/// segments from the time they joined. `end` is sent when the call has ended and all its segments were sent, and `left` within 5
/// s after such a user has left a call that continues. A request after that gets 204, which stops an EventSource.
#[utoipa::path(get, path = "/calls/{id}/translations/stream", tag = "translations",
    security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call"),
           ("Last-Event-ID" = Option<i64>, Header, description = "Id of the last event received; the stream continues after it"),
           ("last_event_id" = Option<i64>, Query, description = "Same as `Last-Event-ID`, for clients that cannot set headers")),
    responses((status = 200, content_type = "text/event-stream", body = Translation),
              (status = 204, description = "The call has ended and there are no further events"),
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
        // A failure of the store says nothing about the call, so the stream stays open.
        async move { matches!(store.call_show(organization, id).await, Ok(Some(call)) if call.ended_at.is_some()) }
            .boxed()
    };
    let listening = state.listeners.listen(&actor)?;
    let allowed = still_allowed(&state, actor);
    let reader = Reader::new(&state.bus, filter, after.unwrap_or(0), state.stopping.clone(), listening, allowed);
    let left_already = call.ended_at.is_none() && !sight.is_present();
    let reader = reader.of_own(own).of_one_who_left(left_already).ending_when(told, over);
    Ok(sse_response(reader.with_unsettled_words()))
}

/// Returns whether there are events after `after` that the listener may receive.
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
