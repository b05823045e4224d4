//! Users: the caller, and other members by id.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::{SessionOrganization, SessionUser, whoami};
use crate::auth::{Actor, check_name};
use crate::http::body::{JsonBody, PathId};
use crate::http::problem::Problem;
use crate::state::AppState;
use crate::store::UserId;
use crate::tenant::rbac::Action;

/// The logged-in user with organization and permissions.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Me {
    #[serde(flatten)]
    user: SessionUser,
    /// Organization of the session.
    organization: SessionOrganization,
    /// Permissions of the user in this organization, such as `calls.dial`.
    permissions: Vec<&'static str>,
}

/// Fields of the caller's profile to change.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MePatch {
    /// New display name of the user.
    name: String,
}

/// Returns the logged-in user.
#[utoipa::path(get, path = "/users/me", tag = "users", security(("session" = [])),
    responses((status = 200, body = Me)))]
pub(super) async fn me_show(actor: Actor) -> Result<Json<Me>, Problem> {
    let (user, organization) = whoami(&actor)?;
    Ok(Json(Me { user, organization, permissions: actor.permissions() }))
}

/// Changes the display name of the logged-in user.
#[utoipa::path(patch, path = "/users/me", tag = "users", security(("session" = [])), request_body = MePatch,
    responses((status = 200, body = Me)))]
pub(super) async fn me_update(
    State(state): State<AppState>,
    actor: Actor,
    JsonBody(patch): JsonBody<MePatch>,
) -> Result<Json<Me>, Problem> {
    let person = actor.must_be_person()?;
    check_name("name", &patch.name)?;
    if !state.store.user_rename(actor.organization, person.user, &patch.name, &actor.by).await? {
        return Err(Problem::not_found("user"));
    }
    state.auth.credentials.forget();
    let (mut user, organization) = whoami(&actor)?;
    user.name = patch.name;
    Ok(Json(Me { user, organization, permissions: actor.permissions() }))
}

/// Returns a member of the organization.
#[utoipa::path(get, path = "/users/{id}", tag = "users", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the user")),
    responses((status = 200, body = SessionUser)))]
pub(super) async fn user_show(
    State(state): State<AppState>,
    actor: Actor,
    id: PathId,
) -> Result<Json<SessionUser>, Problem> {
    actor.may(Action::OrganizationRead)?;
    let found = state.store.member_show(actor.organization, UserId(id.of("user")?)).await?;
    let member = found.ok_or_else(|| Problem::not_found("user"))?;
    Ok(Json(SessionUser {
        id: member.user.0,
        email: member.email,
        name: member.name,
        role: member.role,
        sip_name: member.sip_name,
    }))
}
