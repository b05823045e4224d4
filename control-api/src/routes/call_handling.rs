//! Call handling settings of an organization: hold music and notice of supervision.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use crate::auth::Actor;
use crate::http::body::JsonBody;
use crate::http::problem::Problem;
use crate::state::AppState;
use crate::store::CallHandling;
use crate::tenant::rbac::Action;

/// Settings to change. Fields that are left out keep their value.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CallHandlingPatch {
    /// Name of one of the organization's sounds, or `null` for the soft tone.
    #[serde(default, deserialize_with = "null_or_value")]
    #[schema(value_type = Option<String>)]
    hold_music: Option<Option<String>>,
    /// Whether the parties hear a short tone when a supervisor joins, and once a minute while the supervisor stays.
    supervision_notice: Option<bool>,
}

/// Distinguishes `null` from a field that was left out: `Some(None)` and `None`.
fn null_or_value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Returns the organization's call handling settings.
#[utoipa::path(get, path = "/call-handling", tag = "voice", security(("key" = []), ("session" = [])),
    responses((status = 200, body = CallHandling)))]
pub(super) async fn call_handling_show(
    State(state): State<AppState>,
    actor: Actor,
) -> Result<Json<CallHandling>, Problem> {
    actor.may(Action::VoiceRead)?;
    Ok(Json(state.store.call_handling_show(actor.organization).await?))
}

/// Changes the organization's call handling settings.
///
/// Fields that are left out keep their value. A party that is on hold already keeps its music.
#[utoipa::path(put, path = "/call-handling", tag = "voice", security(("key" = []), ("session" = [])),
    request_body = CallHandlingPatch,
    responses((status = 200, body = CallHandling)))]
pub(super) async fn call_handling_put(
    State(state): State<AppState>,
    actor: Actor,
    JsonBody(patch): JsonBody<CallHandlingPatch>,
) -> Result<Json<CallHandling>, Problem> {
    actor.may(Action::VoiceWrite)?;
    if let Some(Some(name)) = &patch.hold_music
        && state.store.media_file_named(actor.organization, name).await?.is_none()
    {
        return Err(Problem::field("hold_music", "your organization has no sound with this name"));
    }
    let before = state.store.call_handling_show(actor.organization).await?;
    let after = CallHandling {
        hold_music: patch.hold_music.unwrap_or_else(|| before.hold_music.clone()),
        supervision_notice: patch.supervision_notice.unwrap_or(before.supervision_notice),
    };
    state.store.call_handling_put(actor.organization, &before, &after, &actor.by).await?;
    Ok(Json(after))
}
