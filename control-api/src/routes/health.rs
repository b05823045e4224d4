//! Liveness and readiness of the server.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::gate::readiness::Seen;
use crate::state::AppState;

/// State of a process that is alive.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// Always the word `ok`.
    status: &'static str,
    /// Version of the server.
    version: &'static str,
}

/// Readiness of the server for requests and calls.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    /// Whether the store and the listeners are ready and the server is not stopping.
    ready: bool,
    /// Whether the database answers.
    store: bool,
    /// Whether the engine with its SIP listeners answers.
    listeners: bool,
}

/// Reports that the process is alive. No authentication is needed.
#[utoipa::path(get, path = "/health", tag = "health", security(()), responses((status = 200, body = Health)))]
pub(super) async fn health_show() -> Json<Health> {
    Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

/// Reports that the process is alive, like `/health`.
#[utoipa::path(get, path = "/health", tag = "health", security(()), operation_id = "health_alias",
    responses((status = 200, body = Health)))]
pub(super) async fn health_alias() -> Json<Health> {
    health_show().await
}

/// Reports whether the store and the SIP listeners are ready. No authentication is needed. Status 503 means that they are not.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()),
    responses((status = 200, body = Readiness), (status = 503, body = Readiness)))]
pub(super) async fn readiness_show(State(state): State<AppState>) -> (StatusCode, Json<Readiness>) {
    let Seen { store, listeners } = state.readiness.look(&state.store, &state.engine).await;
    let ready = store && listeners && !state.stopping.is_cancelled();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, store, listeners }))
}
