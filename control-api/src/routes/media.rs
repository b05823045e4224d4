//! Sounds of an organization: WAV files that are played in calls.
//!
//! ```text
//! upload ─▶ read whole, at most 10 MiB ─▶ sound::read ─▶ kept as it came
//! play   ─▶ sound::read ─▶ samples at a rate that calls carry ─▶ engine
//! ```

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Actor;
use crate::http::body::{PathId, QueryPairs, read_bytes};
use crate::http::cursor::Page;
use crate::http::problem::Problem;
use crate::media::sound;
use crate::state::AppState;
use crate::store::{MediaFile, NewMediaFile, Place};
use crate::tenant::rbac::Action;
use crate::tenant::text;

/// Longest name of a sound, in characters.
pub(super) const NAME_MAX: usize = 100;
/// Largest file, in bytes.
const FILE_MAX: usize = 10 * 1024 * 1024;
/// Largest number of sounds of one organization.
const FILES_MAX: u64 = 200;

/// One page of sounds, oldest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct MediaList {
    /// The sounds, oldest first.
    media: Vec<MediaFile>,
    /// Cursor of the next page, or null on the last page.
    next_cursor: Option<String>,
}

/// Lists the organization's sounds, oldest first.
#[utoipa::path(get, path = "/media", tag = "voice", security(("key" = []), ("session" = [])),
    params(("limit" = Option<u32>, Query, description = "Page size, 1 to 200; 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page")),
    responses((status = 200, body = MediaList)))]
pub(super) async fn media_list(
    State(state): State<AppState>,
    actor: Actor,
    query: QueryPairs,
) -> Result<Json<MediaList>, Problem> {
    actor.may(Action::VoiceRead)?;
    let [limit, cursor] = query.take(["limit", "cursor"])?;
    let page = Page::read("media", actor.organization, "", cursor.as_deref(), limit.as_deref())?;
    let after = page.after.unwrap_or(Place::FIRST);
    let mut media = state.store.media_file_list(actor.organization, after, page.fetch()).await?;
    let next_cursor = page.cut(&mut media, |file| Place::of(file.created_at, file.id));
    Ok(Json(MediaList { media, next_cursor }))
}

/// Adds a sound.
///
/// The body is a WAV file of 8 to 32 bits PCM or of floats, with one or two channels, at most 10 MiB and ten minutes.
#[utoipa::path(post, path = "/media", tag = "voice", security(("key" = []), ("session" = [])),
    params(("name" = String, Query, description = "Unique name of the sound, 1 to 100 characters")),
    request_body(content((Vec<u8> = "audio/wav"), (Vec<u8> = "application/octet-stream"))),
    responses((status = 201, body = MediaFile), (status = 409, body = Problem)))]
pub(super) async fn media_create(
    State(state): State<AppState>,
    actor: Actor,
    query: QueryPairs,
    request: Request,
) -> Result<(StatusCode, Json<MediaFile>), Problem> {
    actor.may(Action::VoiceWrite)?;
    let [name] = query.take(["name"])?;
    let name = text::name("name", &name.unwrap_or_default(), NAME_MAX)?;
    let wav = read_bytes(
        request,
        &["audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave", "application/octet-stream"],
        FILE_MAX,
    )
    .await?;
    let (wav, heard) = tokio::task::spawn_blocking(move || {
        let heard = sound::read(&wav);
        (wav, heard)
    })
    .await
    .map_err(|_| Problem::internal())?;
    let heard = heard.map_err(|error| Problem::field("body", error.to_string()))?;
    let new = NewMediaFile { name, rate_hz: heard.hz, duration_ms: heard.duration_ms, wav: wav.into() };
    let made = state.store.media_file_create(actor.organization, new, FILES_MAX, &actor.by).await?;
    let made = made.ok_or_else(|| {
        let why = format!("an organization has at most {FILES_MAX} sounds; delete one first");
        Problem::new(StatusCode::CONFLICT, "too-many", "Too many sounds", why)
    })?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Returns the file of a sound, exactly as it was added.
#[utoipa::path(get, path = "/media/{id}/audio", tag = "voice", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the sound")),
    responses((status = 200, description = "The WAV file", content_type = "audio/wav", body = Vec<u8>)))]
pub(super) async fn media_audio(State(state): State<AppState>, actor: Actor, id: PathId) -> Result<Response, Problem> {
    actor.may(Action::VoiceRead)?;
    let wav = state.store.media_file_read(actor.organization, id.of("sound")?).await?;
    let wav = wav.ok_or_else(|| Problem::not_found("sound"))?;
    Ok(([(header::CONTENT_TYPE, "audio/wav")], wav).into_response())
}

/// Deletes a sound. Calls that are playing it finish playing it.
#[utoipa::path(delete, path = "/media/{id}", tag = "voice", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the sound")),
    responses((status = 204)))]
pub(super) async fn media_delete(
    State(state): State<AppState>,
    actor: Actor,
    id: PathId,
) -> Result<StatusCode, Problem> {
    actor.may(Action::VoiceWrite)?;
    let none = || Problem::not_found("sound");
    let before = state.store.media_file_show(actor.organization, id.of("sound")?).await?.ok_or_else(none)?;
    if !state.store.media_file_delete(actor.organization, &before, &actor.by).await? {
        return Err(none());
    }
    Ok(StatusCode::NO_CONTENT)
}
