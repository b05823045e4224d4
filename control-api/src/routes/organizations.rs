//! The organization itself: its name, its own limits and its retention times.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::auth::SessionOrganization;
use crate::auth::{Actor, check_name, free_sip_name};
use crate::config::Signup;
use crate::gate::rate_limit::Group;
use crate::http::body::JsonBody;
use crate::http::problem::Problem;
use crate::state::AppState;
use crate::store::{Founder, OrganizationChange, OrganizationSettings, Retention, Role};
use crate::tenant::rbac::Action;

/// Longest retention time, in days: a century.
pub(super) const DAYS_MAX: u32 = 36_500;

/// Organization to create.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OrganizationRequest {
    /// Name of the organization.
    name: String,
    /// SIP user name of the caller in the new organization. Derived from the e-mail address by default.
    sip_name: Option<String>,
}

/// Settings of the organization.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct OrganizationInfo {
    /// Id of the organization.
    id: Uuid,
    /// Name of the organization.
    name: String,
    /// Time of creation.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Limits that the organization has set itself, below the operator's. `GET /api/usage/limits` returns the effective limits.
    limits: BTreeMap<String, u32>,
    /// Retention times of recordings and events.
    retention: Retention,
}

/// Settings to change. Fields that are left out keep their value.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OrganizationPatch {
    /// New name of the organization.
    name: Option<String>,
    /// All of the organization's own limits: `default`, `calls`, `speech`, `configuration`, `retention`. Each is at most the
    /// operator's.
    limits: Option<BTreeMap<String, u32>>,
}

impl From<OrganizationSettings> for OrganizationInfo {
    fn from(of: OrganizationSettings) -> OrganizationInfo {
        let OrganizationSettings { id, name, created_at, limits, retention } = of;
        OrganizationInfo { id: id.0, name, created_at, limits, retention }
    }
}

/// Creates another organization, owned by the caller.
///
/// Owners of the first organization may do this, and every user where sign-up is open. Use the name at log-in to enter the new
/// organization.
#[utoipa::path(post, path = "/organizations", tag = "organizations", security(("session" = [])),
    request_body = OrganizationRequest,
    responses((status = 201, body = SessionOrganization), (status = 409, body = Problem)))]
pub(super) async fn organization_create(
    State(state): State<AppState>,
    actor: Actor,
    JsonBody(request): JsonBody<OrganizationRequest>,
) -> Result<(StatusCode, Json<SessionOrganization>), Problem> {
    let person = actor.must_be_person()?;
    if state.config.auth.signup != Signup::Open {
        let first = state.store.organization_list().await?.first().copied();
        if actor.role != Role::Owner || first != Some(actor.organization) {
            return Err(Problem::forbidden(
                "sign-up is not open here, so only owners of the first organization may create organizations",
            ));
        }
    }
    check_name("name", &request.name)?;
    let sip_name = free_sip_name(&state.store, None, request.sip_name, &person.session.email).await?;
    let founder = Founder::Known(person.user, &sip_name);
    let made = state.store.organization_found(&request.name, founder, false, actor.by.clone()).await?;
    let (organization, _) = made.ok_or_else(Problem::internal)?;
    Ok((StatusCode::CREATED, Json(SessionOrganization { id: organization.id.0, name: organization.name })))
}

/// Returns the settings of the organization.
#[utoipa::path(get, path = "/organizations/current", tag = "organizations", security(("key" = []), ("session" = [])),
    responses((status = 200, body = OrganizationInfo)))]
pub(super) async fn organization_show(
    State(state): State<AppState>,
    actor: Actor,
) -> Result<Json<OrganizationInfo>, Problem> {
    actor.may(Action::OrganizationRead)?;
    let settings = state.store.organization_settings(actor.organization).await?;
    Ok(Json(settings.ok_or_else(|| Problem::not_found("organization"))?.into()))
}

/// Changes the organization's name or its own limits.
#[utoipa::path(patch, path = "/organizations/current", tag = "organizations",
    security(("key" = []), ("session" = [])), request_body = OrganizationPatch,
    responses((status = 200, body = OrganizationInfo), (status = 409, body = Problem)))]
pub(super) async fn organization_update(
    State(state): State<AppState>,
    actor: Actor,
    JsonBody(patch): JsonBody<OrganizationPatch>,
) -> Result<Json<OrganizationInfo>, Problem> {
    actor.may(Action::OrganizationWrite)?;
    if let Some(name) = &patch.name {
        check_name("name", name)?;
    }
    if let Some(limits) = &patch.limits {
        check_limits(&state, &actor, limits)?;
    }
    let change = OrganizationChange { name: patch.name, limits: patch.limits, retention: None };
    change_to(&state, &actor, change).await
}

/// Sets the retention times. A field that is left out means that the data is kept for ever.
#[utoipa::path(put, path = "/organizations/current/retention", tag = "organizations",
    security(("key" = []), ("session" = [])), request_body = Retention,
    responses((status = 200, body = OrganizationInfo)))]
pub(super) async fn retention_put(
    State(state): State<AppState>,
    actor: Actor,
    JsonBody(retention): JsonBody<Retention>,
) -> Result<Json<OrganizationInfo>, Problem> {
    actor.may(Action::RetentionWrite)?;
    for (field, days) in [("recordings_days", retention.recordings_days), ("events_days", retention.events_days)] {
        if days.is_some_and(|days| !(1..=DAYS_MAX).contains(&days)) {
            return Err(Problem::field(field, format!("expected 1 to {DAYS_MAX} days, or null to keep it for ever")));
        }
    }
    change_to(&state, &actor, OrganizationChange { retention: Some(retention), ..OrganizationChange::default() }).await
}

async fn change_to(
    state: &AppState,
    actor: &Actor,
    change: OrganizationChange,
) -> Result<Json<OrganizationInfo>, Problem> {
    let changed = state.store.organization_update(actor.organization, change, &actor.by).await?;
    state.auth.credentials.forget();
    Ok(Json(changed.ok_or_else(|| Problem::not_found("organization"))?.into()))
}

/// Checks that the organization's own limits are not above the operator's.
fn check_limits(state: &AppState, actor: &Actor, limits: &BTreeMap<String, u32>) -> Result<(), Problem> {
    for (name, limit) in limits {
        let field = format!("limits.{name}");
        let Some(group) = Group::OF_ORGANIZATIONS.into_iter().find(|group| group.as_str() == name) else {
            let known = Group::OF_ORGANIZATIONS.map(Group::as_str).join(", ");
            return Err(Problem::field(field, format!("expected one of {known}")));
        };
        let most = group.rate(&state.config.limits, Some(actor.organization)).map_or(u32::MAX, |rate| rate.limit);
        if !(1..=most).contains(limit) {
            return Err(Problem::field(field, format!("expected 1 to {most}, the operator's limit")));
        }
    }
    Ok(())
}
