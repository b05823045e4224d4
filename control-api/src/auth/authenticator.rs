//! Parts of the server that authenticate requests.

use std::sync::Arc;

use axum::extract::FromRef;

use super::credential::Credentials;
use super::password::Passwords;
use super::throttle::Throttle;
use crate::config::Config;
use crate::store::Store;

/// Everything that the authentication of a request uses. Clones are cheap and share their state.
#[derive(Clone)]
pub struct Authenticator {
    /// Configuration of the server.
    pub config: Arc<Config>,
    /// Database with users, sessions and keys.
    pub store: Store,
    /// Cache of valid keys and sessions.
    pub credentials: Arc<Credentials>,
    /// Password hashing, outside the async threads.
    pub passwords: Passwords,
    /// Delays of log-in attempts.
    pub throttle: Arc<Throttle>,
}

impl Authenticator {
    /// Creates the authentication of a server with this configuration and store.
    pub fn new(config: Arc<Config>, store: Store) -> Authenticator {
        Authenticator {
            config,
            store,
            credentials: Arc::new(Credentials::new()),
            passwords: Passwords::new(),
            throttle: Arc::new(Throttle::new()),
        }
    }
}

impl FromRef<Authenticator> for Arc<Config> {
    fn from_ref(auth: &Authenticator) -> Arc<Config> {
        Arc::clone(&auth.config)
    }
}
