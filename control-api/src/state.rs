//! What every request handler may use.

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
use crate::plays::Plays;
use crate::programs::Programs;
use crate::rate_limit::RateLimits;
use crate::readiness::Readiness;
use crate::setup::Setup;
use crate::store::{Deed, Store, StoreError};

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
    /// Who listens to it.
    pub listeners: Listeners,
    /// When it was last looked whether store and engine serve.
    pub(crate) readiness: Arc<Readiness>,
    /// Password hashing, off the async threads.
    pub passwords: Passwords,
    /// Log-in attempts.
    pub throttle: Arc<Throttle>,
    /// What keys and sessions stand for, remembered for a moment.
    pub credentials: Arc<Credentials>,
    /// How often.
    pub rate_limits: Arc<RateLimits>,
    /// What is done by whom.
    pub audit_log: AuditLog,
    /// What is being heard by whom.
    pub(crate) plays: Arc<Plays>,
    /// Which telephones keys have opened.
    pub(crate) phones: Arc<Phones>,
    /// What holds until there is an organization; nothing: nobody has to be kept out.
    pub(crate) setup: Option<Arc<Setup>>,
    /// Whether there is an organization: seen once, it stays so.
    inhabited: Arc<AtomicBool>,
    /// Mail, where it is configured.
    pub(crate) mail: Option<Mail>,
    /// What organizations may call.
    pub limits: Arc<CallLimits>,
    /// What call programs need.
    pub(crate) programs: Programs,
    /// Cancelled when the server stops: ends streams.
    pub stopping: CancellationToken,
}

impl AppState {
    /// The state of a server with this configuration, store and engine.
    pub fn new(config: Config, store: Store, engine: Engine, bus: Bus) -> AppState {
        let config = Arc::new(config);
        let mail = Mail::new(&config.mail).unwrap_or_else(|error| {
            tracing::error!(%error, "there is no mail");
            None
        });
        AppState {
            audit_log: AuditLog::new(store.clone()),
            plays: Arc::new(Plays::new()),
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

    /// Whether this installation has no organization yet. Once it has one, it is not asked again.
    pub(crate) async fn is_fresh(&self) -> Result<bool, StoreError> {
        if !self.store.keeps() || self.inhabited.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let fresh = self.store.organization_list().await?.is_empty();
        self.inhabited.store(!fresh, Ordering::Relaxed);
        Ok(fresh)
    }

    /// Writes down what an actor did; returns when it is committed.
    ///
    /// # Errors
    /// The log cannot be written: then the request fails, too.
    pub async fn audit(&self, actor: &Actor, deed: Deed) -> Result<(), NotWritten> {
        self.audit_log.append(actor.organization, actor.by.clone(), deed).await
    }
}
