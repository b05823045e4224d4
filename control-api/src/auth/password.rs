//! Password hashing with argon2id, outside the async threads and few at a time, because one hash takes 19 MiB.

use crate::http::problem::Problem;
use axum::http::StatusCode;
use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

/// Number of hashes that may run at the same time. Others wait.
const AT_ONCE: usize = 2;
/// Number of hashes that may run or wait. With about 30 ms each, the wait is about a second at most.
const IN_LINE: usize = 64;

/// Hashes and verifies passwords; clones share the queue.
#[derive(Clone, Debug)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    line: Arc<Semaphore>,
}

/// Reason why a password was neither hashed nor verified.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// Too many others are waiting. Try again in a second.
    #[error("too many passwords are being checked; try again in a second")]
    Busy,
    /// Memory or randomness is not available.
    #[error("the password cannot be hashed: {0}")]
    Failed(String),
}

impl Passwords {
    /// Creates a hasher with an empty queue.
    pub fn new() -> Passwords {
        Passwords { turns: Arc::new(Semaphore::new(AT_ONCE)), line: Arc::new(Semaphore::new(IN_LINE)) }
    }

    /// Returns the hash of a password as a PHC string.
    ///
    /// # Errors
    ///
    /// Returns [`HashError::Busy`] if too many are waiting, and [`HashError::Failed`] if hashing fails.
    pub async fn hash(&self, password: &str) -> Result<String, HashError> {
        let password = password.to_owned();
        self.run(move || Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string()))
            .await?
            .map_err(|error| HashError::Failed(error.to_string()))
    }

    /// Returns whether the password matches the hash. Without a hash (unknown user) the result is `false` and takes as long.
    ///
    /// # Errors
    ///
    /// Returns [`HashError::Busy`] if too many are waiting, and [`HashError::Failed`] if the task fails.
    pub async fn verify(&self, password: &str, hash: Option<String>) -> Result<bool, HashError> {
        let password = password.to_owned();
        self.run(move || match hash {
            Some(hash) => PasswordHash::new(&hash)
                .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()),
            None => {
                let _as_long_as_a_check = Argon2::default().hash_password(password.as_bytes());
                false
            }
        })
        .await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, HashError> {
        let Ok(place) = self.line.clone().try_acquire_owned() else {
            metrics::counter!("tandem_passwords_refused_total").increment(1);
            return Err(HashError::Busy);
        };
        let turn = self.turns.clone().acquire_owned().await.map_err(|error| HashError::Failed(error.to_string()))?;
        tokio::task::spawn_blocking(move || {
            let _held = (turn, place);
            work()
        })
        .await
        .map_err(|error| HashError::Failed(error.to_string()))
    }
}

impl Default for Passwords {
    fn default() -> Self {
        Passwords::new()
    }
}

impl From<HashError> for Problem {
    fn from(error: HashError) -> Problem {
        match error {
            HashError::Busy => Problem {
                retry_after: Some(1),
                ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "The server is busy", error.to_string())
            },
            HashError::Failed(_) => {
                tracing::error!(%error, "cannot hash a password");
                Problem::internal()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_fits_its_hash() {
        let passwords = Passwords::new();
        let hash = passwords.hash("correct horse").await.unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        assert!(passwords.verify("correct horse", Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("correct horsf", Some(hash)).await.unwrap());
        assert!(!passwords.verify("correct horse", None).await.unwrap());
        assert!(!passwords.verify("correct horse", Some("not a hash".into())).await.unwrap());
    }

    #[tokio::test]
    async fn the_queue_is_bounded() {
        let passwords = Passwords::new();
        let all = (0..IN_LINE + 10).map(|_| passwords.verify("x", Some("not a hash".into())));
        let mut all = futures_util::future::join_all(all);
        // All requests arrive while no turn is available.
        let turns = passwords.turns.acquire_many(AT_ONCE as u32).await.unwrap();
        assert!(futures_util::poll!(&mut all).is_pending());
        drop(turns);
        let busy = all.await.into_iter().filter(Result::is_err).count();
        assert_eq!(busy, 10);
        assert!(
            passwords.verify("x", Some("not a hash".into())).await.is_ok(),
            "requests that waited have left the queue"
        );
    }
}
