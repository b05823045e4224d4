//! Glossary of an organization: terms with their translations and names, for recognisers and translators.

use axum::Json;
use axum::extract::State;

use crate::auth::Actor;
use crate::http::body::JsonBody;
use crate::http::problem::Problem;
use crate::state::AppState;
use crate::tenant::glossary::Glossary;
use crate::tenant::rbac::Action;

/// Returns the organization's glossary.
#[utoipa::path(get, path = "/glossary", tag = "voice", security(("key" = []), ("session" = [])),
    responses((status = 200, body = Glossary)))]
pub(super) async fn glossary_show(State(state): State<AppState>, actor: Actor) -> Result<Json<Glossary>, Problem> {
    actor.may(Action::VoiceRead)?;
    Ok(Json(state.store.glossary_show(actor.organization).await?))
}

/// Replaces the organization's glossary.
///
/// New calls use it. Calls in progress keep theirs.
#[utoipa::path(put, path = "/glossary", tag = "voice", security(("key" = []), ("session" = [])),
    request_body = Glossary,
    responses((status = 200, body = Glossary)))]
pub(super) async fn glossary_put(
    State(state): State<AppState>,
    actor: Actor,
    JsonBody(glossary): JsonBody<Glossary>,
) -> Result<Json<Glossary>, Problem> {
    actor.may(Action::VoiceWrite)?;
    let glossary = glossary.checked()?;
    let before = state.store.glossary_show(actor.organization).await?;
    state.store.glossary_put(actor.organization, &before, &glossary, &actor.by).await?;
    Ok(Json(glossary))
}
