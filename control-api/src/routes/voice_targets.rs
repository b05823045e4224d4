//! Named numbers and SIP addresses that an organization calls often.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::Actor;
use crate::http::body::{JsonBody, PathId, QueryPairs};
use crate::http::cursor::Page;
use crate::http::problem::Problem;
use crate::state::AppState;
use crate::store::{Place, VoiceTarget, now};
use crate::tenant::number;
use crate::tenant::rbac::Action;
use crate::tenant::text;

/// Longest name of a target, in characters.
pub(super) const NAME_MAX: usize = 100;

/// One page of targets, oldest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct TargetList {
    /// The targets, oldest first.
    targets: Vec<VoiceTarget>,
    /// Cursor of the next page, or null on the last page.
    next_cursor: Option<String>,
}

/// Target to add.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TargetRequest {
    /// Unique name, 1 to 100 characters.
    name: String,
    /// Phone number in E.164 format, or a `sip:` URI.
    #[schema(example = "+15555550142")]
    address: String,
}

/// Fields of a target to change.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TargetPatch {
    /// Unique name, 1 to 100 characters.
    name: Option<String>,
    /// Phone number in E.164 format, or a `sip:` URI.
    address: Option<String>,
}

fn checked_address(address: &str) -> Result<(), Problem> {
    if number::is_callable(address) { Ok(()) } else { Err(Problem::field("address", number::EXPECTED)) }
}

/// Lists the organization's targets, oldest first.
#[utoipa::path(get, path = "/voice/targets", tag = "voice", security(("key" = []), ("session" = [])),
    params(("limit" = Option<u32>, Query, description = "Page size, 1 to 200; 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page")),
    responses((status = 200, body = TargetList)))]
pub(super) async fn target_list(
    State(state): State<AppState>,
    actor: Actor,
    query: QueryPairs,
) -> Result<Json<TargetList>, Problem> {
    actor.may(Action::VoiceRead)?;
    let [limit, cursor] = query.take(["limit", "cursor"])?;
    let page = Page::read("targets", actor.organization, "", cursor.as_deref(), limit.as_deref())?;
    let after = page.after.unwrap_or(Place::FIRST);
    let mut targets = state.store.voice_target_list(actor.organization, after, page.fetch()).await?;
    let next_cursor = page.cut(&mut targets, |target| Place::of(target.created_at, target.id));
    Ok(Json(TargetList { targets, next_cursor }))
}

/// Adds a named target.
#[utoipa::path(post, path = "/voice/targets", tag = "voice", security(("key" = []), ("session" = [])),
    request_body = TargetRequest,
    responses((status = 201, body = VoiceTarget), (status = 409, body = Problem)))]
pub(super) async fn target_create(
    State(state): State<AppState>,
    actor: Actor,
    JsonBody(request): JsonBody<TargetRequest>,
) -> Result<(StatusCode, Json<VoiceTarget>), Problem> {
    actor.may(Action::VoiceWrite)?;
    let name = text::name("name", &request.name, NAME_MAX)?;
    checked_address(&request.address)?;
    let target = state.store.voice_target_create(actor.organization, &name, &request.address, &actor.by).await?;
    Ok((StatusCode::CREATED, Json(target)))
}

/// Changes a target. Fields that are left out keep their value.
#[utoipa::path(patch, path = "/voice/targets/{id}", tag = "voice", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the target")), request_body = TargetPatch,
    responses((status = 200, body = VoiceTarget),
              (status = 409, body = Problem)))]
pub(super) async fn target_update(
    State(state): State<AppState>,
    actor: Actor,
    id: PathId,
    JsonBody(patch): JsonBody<TargetPatch>,
) -> Result<Json<VoiceTarget>, Problem> {
    actor.may(Action::VoiceWrite)?;
    let none = || Problem::not_found("target");
    let before = state.store.voice_target_show(actor.organization, id.of("target")?).await?.ok_or_else(none)?;
    let mut target = VoiceTarget { updated_at: now(), ..before.clone() };
    if let Some(name) = &patch.name {
        target.name = text::name("name", name, NAME_MAX)?;
    }
    if let Some(address) = patch.address {
        checked_address(&address)?;
        target.address = address;
    }
    if !state.store.voice_target_update(actor.organization, &before, &target, &actor.by).await? {
        return Err(none());
    }
    Ok(Json(target))
}

/// Deletes a named target.
#[utoipa::path(delete, path = "/voice/targets/{id}", tag = "voice", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the target")),
    responses((status = 204)))]
pub(super) async fn target_delete(
    State(state): State<AppState>,
    actor: Actor,
    id: PathId,
) -> Result<StatusCode, Problem> {
    actor.may(Action::VoiceWrite)?;
    let none = || Problem::not_found("target");
    let before = state.store.voice_target_show(actor.organization, id.of("target")?).await?.ok_or_else(none)?;
    if !state.store.voice_target_delete(actor.organization, &before, &actor.by).await? {
        return Err(none());
    }
    Ok(StatusCode::NO_CONTENT)
}
