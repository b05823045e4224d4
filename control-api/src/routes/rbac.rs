//! Roles and permissions, as the table in `rbac` has them.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Actor;
use crate::rbac;
use crate::store::Role;

/// Every role.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct RoleList {
    roles: Vec<RoleInfo>,
}

/// A role and what it may do.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct RoleInfo {
    role: Role,
    /// Such as `calls.dial`.
    permissions: Vec<&'static str>,
}

/// Every permission.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct PermissionList {
    permissions: Vec<PermissionInfo>,
}

/// A permission and what it means.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct PermissionInfo {
    permission: &'static str,
    description: &'static str,
}

/// Every role and what it may do.
#[utoipa::path(get, path = "/rbac/roles", tag = "rbac", security(("key" = []), ("session" = [])),
    responses((status = 200, body = RoleList)))]
pub(super) async fn role_list(_actor: Actor) -> Json<RoleList> {
    let permissions = |role| rbac::actions(role).iter().map(|action| action.as_str()).collect();
    let roles = rbac::ROLES.into_iter().map(|role| RoleInfo { role, permissions: permissions(role) });
    Json(RoleList { roles: roles.collect() })
}

/// Every permission and what it means.
#[utoipa::path(get, path = "/rbac/permissions", tag = "rbac", security(("key" = []), ("session" = [])),
    responses((status = 200, body = PermissionList)))]
pub(super) async fn permission_list(_actor: Actor) -> Json<PermissionList> {
    let all = rbac::ACTIONS.iter().map(|(_, permission, description)| PermissionInfo { permission, description });
    Json(PermissionList { permissions: all.collect() })
}
