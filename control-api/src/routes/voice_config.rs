//! Voice configuration of an organization: processing of the audio of its calls.

use axum::Json;
use axum::extract::State;

use crate::auth::Actor;
use crate::http::body::JsonBody;
use crate::http::problem::Problem;
use crate::state::AppState;
use crate::tenant::rbac::Action;
use crate::tenant::voice_config::{VoiceConfig, VoiceConfigPatch};

/// Returns the organization's voice configuration.
#[utoipa::path(get, path = "/voice/config", tag = "voice", security(("key" = []), ("session" = [])),
    responses((status = 200, body = VoiceConfig)))]
pub(super) async fn voice_config_show(
    State(state): State<AppState>,
    actor: Actor,
) -> Result<Json<VoiceConfig>, Problem> {
    actor.may(Action::VoiceRead)?;
    Ok(Json(state.store.voice_config_show(actor.organization).await?))
}

/// Changes the organization's voice configuration.
///
/// Fields that are left out keep their value. Calls in progress keep their configuration.
#[utoipa::path(put, path = "/voice/config", tag = "voice", security(("key" = []), ("session" = [])),
    request_body = VoiceConfigPatch,
    responses((status = 200, body = VoiceConfig)))]
pub(super) async fn voice_config_put(
    State(state): State<AppState>,
    actor: Actor,
    JsonBody(patch): JsonBody<VoiceConfigPatch>,
) -> Result<Json<VoiceConfig>, Problem> {
    actor.may(Action::VoiceWrite)?;
    state.store.capabilities_show(actor.organization).await?.must_allow(&patch)?;
    sounds_exist(&state, &actor, &patch, "").await?;
    let before = state.store.voice_config_show(actor.organization).await?;
    let config = before.clone().patched(patch, "")?;
    state.store.voice_config_put(actor.organization, &before, &config, &actor.by).await?;
    Ok(Json(config))
}

/// Refuses a patch that names a sound which the organization does not have. `prefix` is put before the field.
pub(super) async fn sounds_exist(
    state: &AppState,
    actor: &Actor,
    patch: &VoiceConfigPatch,
    prefix: &str,
) -> Result<(), Problem> {
    let Some(amd) = &patch.amd else { return Ok(()) };
    for (field, name) in amd.sounds(&format!("{prefix}amd.")) {
        if state.store.media_file_named(actor.organization, name.trim()).await?.is_none() {
            return Err(Problem::field(field, "your organization has no sound with this name"));
        }
    }
    Ok(())
}
