//! argon2id, off the async threads and few at a time: one hash takes 19 MiB.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

/// Hashes that may run at once; more wait their turn.
const AT_ONCE: usize = 2;
/// Hashes that may run and wait: with some 30 ms each, nobody waits much longer than a second.
const IN_LINE: usize = 64;

/// Makes and checks password hashes.
#[derive(Clone, Debug)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    line: Arc<Semaphore>,
}

/// Why a password was neither hashed nor checked.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// Too many others wait: try again in a second.
    #[error("too many passwords are being checked; try again in a second")]
    Busy,
    /// Out of memory, or no randomness.
    #[error("the password cannot be hashed: {0}")]
    Failed(String),
}

impl Passwords {
    /// A new hasher.
    pub fn new() -> Passwords {
        Passwords { turns: Arc::new(Semaphore::new(AT_ONCE)), line: Arc::new(Semaphore::new(IN_LINE)) }
    }

    /// The PHC string of a password.
    pub async fn hash(&self, password: &str) -> Result<String, HashError> {
        let password = password.to_owned();
        self.run(move || Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string()))
            .await?
            .map_err(|error| HashError::Failed(error.to_string()))
    }

    /// Whether `password` makes `hash`. Without a hash (no such user) it takes as long and is `false`.
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
    async fn the_line_is_bounded() {
        let passwords = Passwords::new();
        let all = (0..IN_LINE + 10).map(|_| passwords.verify("x", Some("not a hash".into())));
        let mut all = futures_util::future::join_all(all);
        // Everybody comes while nobody gets a turn.
        let turns = passwords.turns.acquire_many(AT_ONCE as u32).await.unwrap();
        assert!(futures_util::poll!(&mut all).is_pending());
        drop(turns);
        let busy = all.await.into_iter().filter(Result::is_err).count();
        assert_eq!(busy, 10);
        assert!(passwords.verify("x", Some("not a hash".into())).await.is_ok(), "who waited has left the line");
    }
}
