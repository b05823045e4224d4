//! Roles and permissions, taken from the table in `crate::tenant::rbac`.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Actor;
use crate::store::Role;
use crate::tenant::rbac;

/// All roles and their permissions.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct RoleList {
    /// The roles, from most to fewest permissions.
    roles: Vec<RoleInfo>,
}

/// Role with its permissions.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct RoleInfo {
    /// Name of the role.
    role: Role,
    /// Permissions of the role, such as `calls.dial`.
    permissions: Vec<&'static str>,
}

/// All permissions that exist.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct PermissionList {
    /// The permissions with their descriptions.
    permissions: Vec<PermissionInfo>,
}

/// Permission with its description.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct PermissionInfo {
    /// Name of the permission, such as `calls.dial`.
    permission: &'static str,
    /// Description for people.
    description: &'static str,
}

/// Lists all roles with their permissions.
#[utoipa::path(get, path = "/rbac/roles", tag = "rbac", security(("key" = []), ("session" = [])),
    responses((status = 200, body = RoleList)))]
pub(super) async fn role_list(_actor: Actor) -> Json<RoleList> {
    let permissions = |role| rbac::actions(role).iter().map(|action| action.as_str()).collect();
    let roles = rbac::ROLES.into_iter().map(|role| RoleInfo { role, permissions: permissions(role) });
    Json(RoleList { roles: roles.collect() })
}

/// Lists all permissions with their descriptions.
#[utoipa::path(get, path = "/rbac/permissions", tag = "rbac", security(("key" = []), ("session" = [])),
    responses((status = 200, body = PermissionList)))]
pub(super) async fn permission_list(_actor: Actor) -> Json<PermissionList> {
    let all = rbac::ACTIONS.iter().map(|(_, permission, description)| PermissionInfo { permission, description });
    Json(PermissionList { permissions: all.collect() })
}
