//! State shared by all request handlers.

use std::sync::Arc;

use axum::extract::FromRef;
use tokio_util::sync::CancellationToken;

use crate::auth::{Actor, Authenticator};
use crate::calls::limits::CallLimits;
use crate::calls::phones::Phones;
use crate::config::Config;
use crate::engine::{self, Budget, Engine};
use crate::events::{Bus, Listeners};
use crate::gate::Gate;
use crate::gate::readiness::Readiness;
use crate::ledger::audit::{AuditLog, NotWritten};
use crate::ledger::play_log::PlayLog;
use crate::mail::Mail;
use crate::programs::Programs;
use crate::store::{Deed, Store};

/// State of the server, shared by all requests; clones are cheap.
#[derive(Clone)]
pub struct AppState {
    /// Configuration of the server.
    pub config: Arc<Config>,
    /// Database with all rows.
    pub store: Store,
    /// Media engine that carries the calls.
    pub engine: Engine,
    /// Event bus that publishes all events.
    pub bus: Bus,
    /// Open event streams and their limits.
    pub listeners: Listeners,
    /// Last result of the readiness check.
    pub(crate) readiness: Arc<Readiness>,
    /// Authentication of requests.
    pub auth: Authenticator,
    /// Checks that a request passes before its handler runs.
    pub gate: Gate,
    /// Writer of the audit log.
    pub audit_log: AuditLog,
    /// Recordings that are being played, and their listeners.
    pub(crate) plays: Arc<PlayLog>,
    /// SIP passwords that were issued to keys.
    pub(crate) phones: Arc<Phones>,
    /// Mail client, if mail is configured.
    pub(crate) mail: Option<Mail>,
    /// Limits of the organizations' calls.
    pub limits: Arc<CallLimits>,
    /// Services for call programs.
    pub(crate) programs: Programs,
    /// Cancelled when the server stops; ends event streams.
    pub stopping: CancellationToken,
}

impl AppState {
    /// Creates the state of a server with this configuration, store and engine.
    pub fn new(config: Config, store: Store, engine: Engine, bus: Bus) -> AppState {
        let config = Arc::new(config);
        let mail = Mail::new(&config.mail).unwrap_or_else(|error| {
            tracing::error!(%error, "mail is not available");
            None
        });
        let auth = Authenticator::new(Arc::clone(&config), store.clone());
        AppState {
            audit_log: AuditLog::new(store.clone()),
            plays: Arc::new(PlayLog::new()),
            phones: Arc::default(),
            mail,
            gate: Gate::new(auth.clone()),
            auth,
            limits: Arc::new(CallLimits::new(Arc::clone(&config))),
            programs: Programs::new(store.clone(), Arc::clone(&config)),
            config,
            store,
            engine,
            bus,
            listeners: Listeners::new(Budget::of(engine::descriptor_limit()).http),
            readiness: Arc::default(),
            stopping: CancellationToken::new(),
        }
    }

    /// Writes an action of an actor to the audit log. Returns when it is committed.
    ///
    /// # Errors
    /// Returns [`NotWritten`] if the log cannot be written; the request must then fail too.
    pub async fn audit(&self, actor: &Actor, deed: Deed) -> Result<(), NotWritten> {
        self.audit_log.append(actor.organization, actor.by.clone(), deed).await
    }
}

impl FromRef<AppState> for Arc<Config> {
    fn from_ref(state: &AppState) -> Arc<Config> {
        Arc::clone(&state.config)
    }
}

impl FromRef<AppState> for Store {
    fn from_ref(state: &AppState) -> Store {
        state.store.clone()
    }
}

impl FromRef<AppState> for Authenticator {
    fn from_ref(state: &AppState) -> Authenticator {
        state.auth.clone()
    }
}

impl FromRef<AppState> for Gate {
    fn from_ref(state: &AppState) -> Gate {
        state.gate.clone()
    }
}
