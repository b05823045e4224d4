//! Call capabilities of an organization: switches for kinds of calls and processing.

use axum::Json;
use axum::extract::State;

use crate::auth::Actor;
use crate::http::body::JsonBody;
use crate::http::problem::Problem;
use crate::state::AppState;
use crate::tenant::capabilities::{Capabilities, CapabilitiesPatch};
use crate::tenant::rbac::Action;

/// Returns the organization's call capabilities.
#[utoipa::path(get, path = "/call-capabilities", tag = "voice", security(("key" = []), ("session" = [])),
    responses((status = 200, body = Capabilities)))]
pub(super) async fn capabilities_show(
    State(state): State<AppState>,
    actor: Actor,
) -> Result<Json<Capabilities>, Problem> {
    actor.may(Action::VoiceRead)?;
    Ok(Json(state.store.capabilities_show(actor.organization).await?))
}

/// Switches call capabilities on or off.
///
/// Switches that are left out keep their value, and running calls are not affected.
///
/// A request that needs a capability that is off gets 403 with its name as `capability`. Defaults of the voice configuration and
/// incoming calls silently go without it.
#[utoipa::path(put, path = "/call-capabilities", tag = "voice", security(("key" = []), ("session" = [])),
    request_body = CapabilitiesPatch,
    responses((status = 200, body = Capabilities)))]
pub(super) async fn capabilities_put(
    State(state): State<AppState>,
    actor: Actor,
    JsonBody(patch): JsonBody<CapabilitiesPatch>,
) -> Result<Json<Capabilities>, Problem> {
    actor.may(Action::VoiceWrite)?;
    let before = state.store.capabilities_show(actor.organization).await?;
    let after = before.patched(patch);
    state.store.capabilities_put(actor.organization, &before, &after, &actor.by).await?;
    Ok(Json(after))
}
