//! Whether the process lives, and whether it can serve.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::readiness::Seen;
use crate::state::AppState;

/// The process lives.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`.
    status: &'static str,
    /// Version of the program.
    version: &'static str,
}

/// Whether requests and calls can be served.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    /// All of the rest.
    ready: bool,
    /// The database answers.
    store: bool,
    /// The engine with its SIP listeners answers.
    listeners: bool,
}

/// Whether the process lives. Needs no log-in.
#[utoipa::path(get, path = "/health", tag = "health", security(()), responses((status = 200, body = Health)))]
pub(super) async fn health_show() -> Json<Health> {
    Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

/// The same under `/api`.
#[utoipa::path(get, path = "/health", tag = "health", security(()), operation_id = "health_alias",
    responses((status = 200, body = Health)))]
pub(super) async fn health_alias() -> Json<Health> {
    health_show().await
}

/// Whether store and listeners serve. Needs no log-in.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()),
    responses((status = 200, body = Readiness), (status = 503, body = Readiness)))]
pub(super) async fn readiness_show(State(state): State<AppState>) -> (StatusCode, Json<Readiness>) {
    let Seen { store, listeners } = state.readiness.look(&state).await;
    let ready = store && listeners && !state.stopping.is_cancelled();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, store, listeners }))
}
