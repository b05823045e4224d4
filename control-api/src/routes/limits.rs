//! How many requests may still come.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Actor;
use crate::rate_limit::Group;
use crate::state::AppState;

/// The limits that hold for the caller.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct LimitList {
    limits: Vec<LimitInfo>,
}

/// One limit.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct LimitInfo {
    /// `default`, `calls`, `speech`, `configuration` or `retention`.
    name: &'static str,
    /// So many; nothing: no limit.
    limit: Option<u32>,
    /// In so many seconds.
    window_s: Option<u32>,
    /// So many at once now.
    remaining: Option<u32>,
    /// In so many seconds all of them.
    reset_s: Option<u64>,
}

/// The limits that hold for the caller, and how much is left of them.
#[utoipa::path(get, path = "/usage/limits", tag = "usage", security(("key" = []), ("session" = [])),
    responses((status = 200, body = LimitList)))]
pub(super) async fn limit_list(State(state): State<AppState>, actor: Actor) -> Json<LimitList> {
    let info = |group: Group| {
        let standing = state.rate_limits.standing(&state.config.limits, &actor, group);
        LimitInfo {
            name: group.as_str(),
            limit: standing.map(|standing| standing.rate.limit),
            window_s: standing.map(|standing| standing.rate.window_s),
            remaining: standing.map(|standing| standing.remaining),
            reset_s: standing.map(|standing| standing.reset_s),
        }
    };
    Json(LimitList { limits: Group::OF_ORGANIZATIONS.into_iter().map(info).collect() })
}
