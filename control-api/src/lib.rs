//! The control plane of Tandem: REST, events, pages, store.
//!
//! ```text
//!   browser, program ── HTTP ─▶ app(state) ─▶ routes ─▶ store
//!                                               │  ▲
//!                                      Command  │  │ events (bus, SSE)
//!                                               ▼  │
//!                                  engine.rs: the only user of media_engine
//! ```
//!
//! Modules: `config` (file and environment), `store` (all SQL), `auth` (authentication), `routes` (one file per resource),
//! `events` (event bus and streams), `serve` (listeners, start and stop), `admin` (the operator's socket).

#![forbid(unsafe_code)]

pub mod admin;
pub mod audit;
pub mod auth;
pub mod call_limits;
pub mod capabilities;
pub mod config;
pub mod demo;
pub mod engine;
pub mod events;
pub mod jobs;
pub mod private;
pub mod problem;
pub mod rate_limit;
pub mod rbac;
pub mod serve;
pub mod store;
pub mod tail;
pub mod trace;
pub mod voice_config;

mod body;
mod client;
mod csv;
mod cursor;
mod headers;
mod http;
mod idempotency;
mod identity;
mod mail;
mod metric_table;
mod mixdown;
mod number;
mod number_call;
mod opening;
mod phones;
mod play_log;
mod programs;
mod readiness;
mod request_id;
mod routes;
mod setup;
mod signature;
mod sound;
mod state;
mod text;
mod tls;
mod turn;
mod visibility;
mod wav;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use tower_http::catch_panic::CatchPanicLayer;

pub use routes::openapi;
pub use state::AppState;

/// Builds the HTTP application: API, `/openapi.json`, SIP over WebSocket and pages.
pub fn app(state: AppState) -> Router {
    routes::router()
        .layer(from_fn_with_state(state.clone(), rate_limit::enforce))
        .layer(CatchPanicLayer::custom(|_panic: Box<dyn std::any::Any + Send>| {
            metrics::counter!("tandem_http_panics_total").increment(1);
            problem::Problem::internal().into_response()
        }))
        .layer(from_fn_with_state(state.clone(), setup::known_host))
        .layer(from_fn_with_state(state.clone(), headers::secure))
        .layer(from_fn(headers::count))
        .layer(from_fn(request_id::attach))
        .with_state(state)
}
