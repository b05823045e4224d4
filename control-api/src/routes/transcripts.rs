//! What was said in a call, segment by segment.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::calls::call_of;
use crate::auth::Actor;
use crate::body::CallPath;
use crate::problem::Problem;
use crate::state::AppState;
use crate::store::TranscriptSegment;

/// Final segments in their order, each in its latest version.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Transcript {
    segments: Vec<TranscriptSegment>,
}

/// The transcript of a call with its translation.
#[utoipa::path(get, path = "/calls/{id}/transcript", tag = "translations", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call")),
    responses((status = 200, body = Transcript), (status = 401, body = Problem), (status = 403, body = Problem),
              (status = 404, body = Problem), (status = 429, body = Problem)))]
pub(super) async fn transcript_show(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
) -> Result<Json<Transcript>, Problem> {
    call_of(&state, &actor, id).await?;
    Ok(Json(Transcript { segments: state.store.transcript_list(actor.organization, id).await? }))
}
