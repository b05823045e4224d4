//! What every request handler may use.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::audit::{AuditLog, NotWritten};
use crate::auth::{Actor, Passwords, Throttle};
use crate::call_limits::CallLimits;
use crate::config::Config;
use crate::engine::Engine;
use crate::events::Bus;
use crate::store::{By, Deed, Store};

/// Shared by all requests; clones are cheap.
#[derive(Clone)]
pub struct AppState {
    /// The configuration in force.
    pub config: Arc<Config>,
    /// Rows.
    pub store: Store,
    /// Calls.
    pub engine: Engine,
    /// What happens.
    pub bus: Bus,
    /// Password hashing, off the async threads.
    pub passwords: Passwords,
    /// Log-in attempts.
    pub throttle: Arc<Throttle>,
    /// What is done by whom.
    pub audit_log: AuditLog,
    /// What organizations may call.
    pub limits: Arc<CallLimits>,
    /// Cancelled when the server stops: ends streams.
    pub stopping: CancellationToken,
}

impl AppState {
    /// The state of a server with this configuration, store and engine.
    pub fn new(config: Config, store: Store, engine: Engine, bus: Bus) -> AppState {
        let config = Arc::new(config);
        AppState {
            audit_log: AuditLog::new(store.clone()),
            limits: Arc::new(CallLimits::new(Arc::clone(&config))),
            config,
            store,
            engine,
            bus,
            passwords: Passwords::new(),
            throttle: Arc::new(Throttle::new()),
            stopping: CancellationToken::new(),
        }
    }

    /// Writes down what an actor did; returns when it is committed.
    ///
    /// # Errors
    /// The log cannot be written: then the request fails, too.
    pub async fn audit(&self, actor: &Actor, deed: Deed) -> Result<(), NotWritten> {
        self.audit_log.append(actor.organization, By::system(actor.name()), deed).await
    }
}
