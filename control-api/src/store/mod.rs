//! The store: everything that outlives a request. SQL stands only in this folder.
//!
//! ```text
//! routes, auth, events ──▶ Store ──▶ writer: one connection, commits in order
//!                                └─▶ readers: a pool; WAL lets them read while the writer writes
//! ```
//!
//! Invariants: every query on a tenant's table filters by organization, except the named look-ups that come
//! before a tenant is known (API key, session, e-mail, agent's SIP name, the organization of a call that the
//! engine names). Methods are noun-first. Times are [`Timestamp`]s of whole milliseconds.
//!
//! Not here: who may do what (`auth`), what a request looks like (`routes`).

mod api_key;
mod call;
mod change;
mod media;
mod membership;
mod organization;
mod recording;
mod session;
mod sqlite;
mod stream;
mod translation;
mod user;
mod voice_config;

use jiff::Timestamp;
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

pub use api_key::ApiKey;
pub use call::{Call, CallFilter, Leg};
pub use change::{Change, LegReport, NewCall, Written};
pub use media::{FlowState, LegFlow, Quality, Score};
pub use membership::{Membership, Role};
pub use organization::Organization;
pub use recording::Recording;
pub use session::Session;
pub use stream::{StoredEvent, StreamFilter};
pub use user::User;

/// Handle to the store; clones share its connections.
#[derive(Clone, Debug)]
pub struct Store {
    writer: SqlitePool,
    readers: SqlitePool,
    keeps: bool,
}

impl Store {
    /// Whether anything is kept. Otherwise (`store.url = "none"`) there are no organizations, so that calls leave no trace.
    pub fn keeps(&self) -> bool {
        self.keeps
    }
}

/// A tenant. Every query on a tenant's table takes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrganizationId(pub Uuid);

/// A person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(pub Uuid);

impl std::fmt::Display for OrganizationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Display for UserId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What can go wrong between us and the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be opened, or is no database. The text says what to do.
    #[error("store.url: {0}")]
    Open(String),
    /// The schema cannot be brought to what this binary expects. The text says what to do.
    #[error("store: {0}")]
    Migrate(String),
    /// There is no store.
    #[error("store.url is \"none\": nothing is kept, and nobody can have an account; choose a database there")]
    None,
    /// A name or address that must be unique is taken.
    #[error("{0} exists already")]
    Taken(&'static str),
    /// Anything else that the database says.
    #[error("store: {0}")]
    Database(#[from] sqlx::Error),
    /// A row holds what this binary never writes.
    #[error("store: column {column} holds an unexpected value")]
    Corrupt {
        /// Which column.
        column: &'static str,
    },
}

impl StoreError {
    /// Whether trying the same statement again may succeed: the database is busy, full or away, not refusing.
    pub fn is_transient(&self) -> bool {
        match self {
            StoreError::Database(sqlx::Error::Database(error)) => {
                // The low byte is the primary result code (SQLite, "Result and Error Codes").
                let code = error.code().and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff);
                code.is_some_and(|code| TRANSIENT.contains(&code))
            }
            StoreError::Database(sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed) => true,
            _ => false,
        }
    }
}

/// SQLite's busy, locked, out of memory, read-only, I/O error, full, cannot open.
const TRANSIENT: [u32; 7] = [5, 6, 7, 8, 10, 13, 14];

/// Turns a violated uniqueness into [`StoreError::Taken`].
fn taken(what: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |error| match &error {
        sqlx::Error::Database(inner) if inner.is_unique_violation() => StoreError::Taken(what),
        _ => StoreError::Database(error),
    }
}

/// The wall clock in whole milliseconds: what the store keeps.
pub fn now() -> Timestamp {
    Timestamp::from_millisecond(Timestamp::now().as_millisecond()).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn uuid_column(row: &SqliteRow, column: &'static str) -> Result<Uuid, StoreError> {
    let text: &str = row.try_get(column)?;
    text.parse().map_err(|_| StoreError::Corrupt { column })
}

fn time_column(row: &SqliteRow, column: &'static str) -> Result<Timestamp, StoreError> {
    let ms: i64 = row.try_get(column)?;
    Timestamp::from_millisecond(ms).map_err(|_| StoreError::Corrupt { column })
}

fn time_column_opt(row: &SqliteRow, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
    let ms: Option<i64> = row.try_get(column)?;
    ms.map(Timestamp::from_millisecond).transpose().map_err(|_| StoreError::Corrupt { column })
}

fn json_column<T: serde::de::DeserializeOwned>(row: &SqliteRow, column: &'static str) -> Result<T, StoreError> {
    let text: &str = row.try_get(column)?;
    serde_json::from_str(text).map_err(|_| StoreError::Corrupt { column })
}

/// The connection inside a transaction, under a short name for signatures.
type Connection = SqliteConnection;
