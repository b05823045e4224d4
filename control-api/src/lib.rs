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
//! Rooms, from the bottom up: `engine`, `tenant` (rules), `store` (all SQL), `config`, `mail`, `media`, `http`, `ledger` (audit log),
//! `auth`, `gate`, `calls`, `programs`, `events`, `jobs`, `state`, `routes`, `tail`, `admin`, `amd`, `translate`, `serve`, `demo`. A room
//! imports only rooms that come before it (`tests/architecture`).

#![forbid(unsafe_code)]

pub mod admin;
pub mod amd;
pub mod auth;
pub mod calls;
pub mod config;
pub mod demo;
pub mod engine;
pub mod events;
pub mod gate;
pub mod jobs;
pub mod ledger;
pub mod serve;
pub mod store;
pub mod tail;
pub mod tenant;
pub mod translate;

mod http;
mod mail;
mod media;
mod programs;
mod routes;
mod state;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use gate::rate_limit::Enforcement;
use tower_http::catch_panic::CatchPanicLayer;

pub use routes::{charges, openapi};
pub use state::AppState;

/// Builds the HTTP application: API, `/openapi.json`, SIP over WebSocket and pages.
pub fn app(state: AppState) -> Router {
    let (router, charges) = routes::router();
    let enforcement = Enforcement { gate: state.gate.clone(), charges: Arc::new(charges) };
    router
        .layer(from_fn_with_state(enforcement, gate::rate_limit::enforce))
        .layer(CatchPanicLayer::custom(|_panic: Box<dyn std::any::Any + Send>| {
            metrics::counter!("tandem_http_panics_total").increment(1);
            http::problem::Problem::internal().into_response()
        }))
        .layer(from_fn_with_state(state.clone(), gate::setup::known_host))
        .layer(from_fn_with_state(state.clone(), http::headers::secure))
        .layer(from_fn(http::headers::count))
        .layer(from_fn(http::request_id::attach))
        .with_state(state)
}
