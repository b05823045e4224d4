//! Request limits that apply to the caller, and what remains of them.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Actor;
use crate::gate::rate_limit::Group;
use crate::state::AppState;

/// Request limits that apply to the caller.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct LimitList {
    /// The limits, one for each group of requests.
    limits: Vec<LimitInfo>,
}

/// Request limit of one group.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct LimitInfo {
    /// Group: `default`, `calls`, `speech`, `configuration` or `retention`.
    name: &'static str,
    /// Requests allowed in each window, or null if there is no limit.
    limit: Option<u32>,
    /// Length of the window in seconds.
    window_s: Option<u32>,
    /// Requests that may be sent at once now.
    remaining: Option<u32>,
    /// Seconds until the full limit is available again.
    reset_s: Option<u64>,
}

/// Returns the request limits that apply to the caller, and what remains of them.
#[utoipa::path(get, path = "/usage/limits", tag = "usage", security(("key" = []), ("session" = [])),
    responses((status = 200, body = LimitList)))]
pub(super) async fn limit_list(State(state): State<AppState>, actor: Actor) -> Json<LimitList> {
    let info = |group: Group| {
        let standing = state.gate.rate_limits.standing(&state.config.limits, &actor, group);
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
