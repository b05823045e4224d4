//! Transcript of a call, segment by segment.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::calls::call_seen;
use crate::auth::Actor;
use crate::http::body::CallPath;
use crate::http::problem::Problem;
use crate::state::AppState;
use crate::store::TranscriptSegment;

/// Final segments in order, each in its latest version.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Transcript {
    /// The segments, in order.
    segments: Vec<TranscriptSegment>,
}

/// Returns the transcript of a call with its translation.
///
/// A user who may see only their own calls gets the part that was said while they were in the call.
#[utoipa::path(get, path = "/calls/{id}/transcript", tag = "translations", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call")),
    responses((status = 200, body = Transcript)))]
pub(super) async fn transcript_show(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
) -> Result<Json<Transcript>, Problem> {
    let (_, sight) = call_seen(&state, &actor, id).await?;
    let mut segments = state.store.transcript_list(actor.organization, id).await?;
    segments.retain(|segment| sight.reads(segment.started_at, segment.ended_at));
    Ok(Json(Transcript { segments }))
}
