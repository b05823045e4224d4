//! State shared by all request handlers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

use crate::audit::{AuditLog, NotWritten};
use crate::auth::{Actor, Credentials, Passwords, Throttle};
use crate::call_limits::CallLimits;
use crate::config::Config;
use crate::engine::{self, Budget, Engine};
use crate::events::{Bus, Listeners};
use crate::mail::Mail;
use crate::phones::Phones;
use crate::play_log::PlayLog;
use crate::programs::Programs;
use crate::rate_limit::RateLimits;
use crate::readiness::Readiness;
use crate::setup::Setup;
use crate::store::{Deed, Store, StoreError};

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
    /// Password hashing, outside the async threads.
    pub passwords: Passwords,
    /// Delays of log-in attempts.
    pub throttle: Arc<Throttle>,
    /// Cache of valid keys and sessions.
    pub credentials: Arc<Credentials>,
    /// Rate limits of requests.
    pub rate_limits: Arc<RateLimits>,
    /// Writer of the audit log.
    pub audit_log: AuditLog,
    /// Recordings that are being played, and their listeners.
    pub(crate) plays: Arc<PlayLog>,
    /// SIP passwords that were issued to keys.
    pub(crate) phones: Arc<Phones>,
    /// Rules until there is an organization; `None` if there is one already.
    pub(crate) setup: Option<Arc<Setup>>,
    /// Whether there is an organization. Once set, it is not checked again.
    inhabited: Arc<AtomicBool>,
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
        AppState {
            audit_log: AuditLog::new(store.clone()),
            plays: Arc::new(PlayLog::new()),
            phones: Arc::default(),
            mail,
            setup: None,
            inhabited: Arc::default(),
            credentials: Arc::new(Credentials::new()),
            rate_limits: Arc::new(RateLimits::new()),
            limits: Arc::new(CallLimits::new(Arc::clone(&config))),
            programs: Programs::new(store.clone(), Arc::clone(&config)),
            config,
            store,
            engine,
            bus,
            listeners: Listeners::new(Budget::of(engine::descriptor_limit()).http),
            readiness: Arc::default(),
            passwords: Passwords::new(),
            throttle: Arc::new(Throttle::new()),
            stopping: CancellationToken::new(),
        }
    }

    /// Returns whether this installation has no organization yet. Once it has one, the store is not asked again.
    pub(crate) async fn is_fresh(&self) -> Result<bool, StoreError> {
        if !self.store.keeps() || self.inhabited.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let fresh = self.store.organization_list().await?.is_empty();
        self.inhabited.store(!fresh, Ordering::Relaxed);
        Ok(fresh)
    }

    /// Writes an action of an actor to the audit log. Returns when it is committed.
    ///
    /// # Errors
    /// Returns [`NotWritten`] if the log cannot be written; the request must then fail too.
    pub async fn audit(&self, actor: &Actor, deed: Deed) -> Result<(), NotWritten> {
        self.audit_log.append(actor.organization, actor.by.clone(), deed).await
    }
}
