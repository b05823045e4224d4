//! Recordings: their list, and signed URLs that open one of them for some time without a log-in.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::recordings::{Form, file_of, file_response};
use crate::auth::visibility::{Seen, identity};
use crate::auth::{Actor, Origin, Secret};
use crate::gate::idempotency::{Keyed, Reply, once};
use crate::gate::signature::{RecordingLink, SignedLink};
use crate::http::body::{PathId, QueryPairs};
use crate::http::client::Client;
use crate::http::cursor::Page;
use crate::http::problem::Problem;
use crate::state::AppState;
use crate::store::{ActorKind, By, Deed, ListedRecording, PartId, Place, now};

/// Default validity of a signed URL, in seconds.
const EXPIRES_DEFAULT: u32 = 3_600;
/// Longest validity of a signed URL, in seconds: one week.
pub(super) const EXPIRES_MAX: u32 = 7 * 24 * 3_600;

/// One page of recordings, newest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct RecordingList {
    /// The recordings, newest first.
    recordings: Vec<ListedRecording>,
    /// Cursor of the next page, or null on the last page.
    next_cursor: Option<String>,
}

/// Recording to open by a signed URL, and for how long.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignRequest {
    /// Validity in seconds, 1 to 604,800 (a week). Defaults to one hour.
    expires_in_s: Option<u32>,
    /// Number of the recording within the call. Defaults to 1.
    #[schema(minimum = 1)]
    number: Option<u32>,
    /// Number of the file within the recording. Defaults to 1.
    #[schema(minimum = 1)]
    part: Option<u32>,
}

/// URL that opens one recording without a log-in.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct SignedUrl {
    /// URL of the audio. Everybody who has it can hear the recording.
    url: String,
    /// Expiry of the URL.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// Lists the organization's recordings, newest first.
///
/// A user who may hear only their own calls gets the recordings that were made while they were in the call.
#[utoipa::path(get, path = "/recordings", tag = "recordings", security(("key" = []), ("session" = [])),
    params(("limit" = Option<u32>, Query, description = "Page size, 1 to 200; 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page")),
    responses((status = 200, body = RecordingList)))]
pub(super) async fn recording_list(
    State(state): State<AppState>,
    actor: Actor,
    query: QueryPairs,
) -> Result<Json<RecordingList>, Problem> {
    let own = match Seen::recordings(&actor) {
        Seen::All => None,
        Seen::Own(own) => Some(own),
        Seen::Nothing => return Ok(Json(RecordingList { recordings: Vec::new(), next_cursor: None })),
    };
    let [limit, cursor] = query.take(["limit", "cursor"])?;
    let page = Page::read("recordings", actor.organization, "", cursor.as_deref(), limit.as_deref())?;
    let after = page.after.unwrap_or(Place::LAST);
    let mut recordings = state.store.recording_list(actor.organization, own.as_deref(), after, page.fetch()).await?;
    let next_cursor = page.cut(&mut recordings, |recording| Place::of(recording.started_at, recording.call_id));
    Ok(Json(RecordingList { recordings, next_cursor }))
}

/// Returns the description of a call's recording.
#[utoipa::path(get, path = "/recordings/{id}", tag = "recordings", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call that was recorded"),
           ("number" = Option<u32>, Query, minimum = 1, description = "Number of the recording; 1 by default"),
           ("part" = Option<u32>, Query, minimum = 1, description = "Number of the file; 1 by default")),
    responses((status = 200, body = ListedRecording)))]
pub(super) async fn recording_info(
    State(state): State<AppState>,
    actor: Actor,
    id: PathId,
    query: QueryPairs,
) -> Result<Json<ListedRecording>, Problem> {
    let [number, part] = query.take(["number", "part"])?;
    let file = file_of(number.as_deref(), part.as_deref())?;
    Ok(Json(recording_of(&state, &actor, &id, file).await?))
}

/// Returns one file of a recording if the actor may hear it.
async fn recording_of(state: &AppState, actor: &Actor, id: &PathId, file: PartId) -> Result<ListedRecording, Problem> {
    let id = id.of("recording")?;
    let recording = state.store.recording_show(actor.organization, id, file).await?;
    let sight = Seen::recordings(actor).sight(&state.store, actor.organization, id).await?;
    let heard = recording.zip(sight).filter(|(recording, sight)| recording.is_heard_by(sight));
    heard.map(|(recording, _)| recording).ok_or_else(|| Problem::not_found("recording"))
}

/// Creates a URL that opens one recording for some time without a log-in.
///
/// The URL also accepts range requests.
#[utoipa::path(post, path = "/recordings/{id}/signed-url", tag = "recordings",
    security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call that was recorded"),
           ("Idempotency-Key" = Option<String>, Header, description = "Key of your choice, 1 to 255 printable ASCII characters")),
    request_body = SignRequest,
    responses((status = 201, body = SignedUrl,
               headers(("Idempotent-Replayed" = String, description = "`true` if this response repeats an earlier one")))))]
pub(super) async fn recording_sign(
    State(state): State<AppState>,
    actor: Actor,
    client: Client,
    id: PathId,
    keyed: Keyed<SignRequest>,
) -> Result<Response, Problem> {
    let (request, key, hash) = keyed.parts();
    let file = PartId { number: request.number.unwrap_or(1), part: request.part.unwrap_or(1) };
    let recording = recording_of(&state, &actor, &id, file).await?;
    let seconds = request.expires_in_s.unwrap_or(EXPIRES_DEFAULT);
    if !(1..=EXPIRES_MAX).contains(&seconds) {
        return Err(Problem::field("expires_in_s", format!("expected 1 to {EXPIRES_MAX} seconds")));
    }
    let base = client.base_url(&state.config);
    let (inner, by) = (state.clone(), actor.clone());
    let sign = |_| async move { signed(inner, by, (recording.call_id, file), seconds, base).await };
    once(&state.store, &actor, key, &hash, sign).await
}

async fn signed(
    state: AppState,
    actor: Actor,
    (call, file): (Uuid, PartId),
    seconds: u32,
    base: String,
) -> Result<Reply, Problem> {
    // Whole seconds, because the URL contains them.
    let expires = now().as_second() + i64::from(seconds);
    let expires_at = Timestamp::from_second(expires).map_err(|_| Problem::internal())?;
    let key = state.store.signing_key(actor.organization, Secret::random("").reveal()).await?;
    let link = RecordingLink { organization: actor.organization, call, file, expires, by: identity(&actor) };
    state.audit(&actor, Deed::new("recording.sign", format!("call:{call}")).after(expires_at)).await?;
    let (by, signature) = (&link.by, link.signature(&key));
    let which = match file {
        PartId::FIRST => String::new(),
        PartId { number: 1, part } => format!("part={part}&"),
        PartId { number, part } => format!("number={number}&part={part}&"),
    };
    let url = format!("{base}/api/recordings/{call}/audio?{which}expires={expires}&by={by}&signature={signature}");
    Reply::new(StatusCode::CREATED, &SignedUrl { url, expires_at })
}

/// Returns the audio of a signed URL, without a log-in.
///
/// A URL that was altered, belongs to another recording or has expired gets the same response, and only such requests are
/// counted.
#[utoipa::path(get, path = "/recordings/{id}/audio", tag = "recordings", security(()),
    params(("id" = Uuid, Path, description = "Id of the call that was recorded"),
           ("number" = Option<u32>, Query, minimum = 1, description = "Value from the signed URL; 1 by default"),
           ("part" = Option<u32>, Query, minimum = 1, description = "Value from the signed URL; 1 by default"),
           ("expires" = i64, Query, description = "Value from the signed URL"),
           ("by" = String, Query, description = "Value from the signed URL"),
           ("signature" = String, Query, description = "Value from the signed URL"),
           ("Range" = Option<String>, Header, description = "A single byte range")),
    responses((status = 200, content_type = "audio/wav", body = Vec<u8>),
              (status = 206, content_type = "audio/wav", body = Vec<u8>),
              (status = 403, body = Problem), (status = 416, body = Problem)))]
pub(super) async fn recording_signed(
    State(state): State<AppState>,
    Origin(origin): Origin,
    SignedLink { link, signature }: SignedLink,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let RecordingLink { organization, call, file, expires, by } = link;
    let none = || Problem::not_found("recording");
    let recording = state.store.recording_part(organization, call, file).await?.ok_or_else(none)?;
    let response = file_response(call, &recording, Form::Playable, &headers).await?;
    if response.status().is_success() {
        // Everybody with the URL may hear the recording. Different addresses count as different listeners.
        let who = format!("link:{signature} {}", origin.address.as_deref().unwrap_or_default());
        let listener = By { kind: ActorKind::System, name: "signed URL".into(), ..origin };
        let expires_at = Timestamp::from_second(expires).map_err(|_| Problem::internal())?;
        let told = |deed: Deed| deed.after(json!({"signed_by": by, "expires_at": expires_at}));
        state.plays.record_play(&state.audit_log, (organization, listener, who), call, told).await?;
    }
    Ok(response)
}
