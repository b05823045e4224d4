//! The store: everything that outlives a request. SQL stands only in this folder.
//!
//! ```text
//! routes, auth, events ──▶ Store ──▶ db ──▶ SQLite: one connection writes, a pool reads beside it (WAL)
//!                            │        └──▶ PostgreSQL: a pool; row level security, forced
//!                            └─▶ lookup: ids before a tenant is known
//! ```
//!
//! Invariants: every query on a tenant's table filters by organization, except the named look-ups that come
//! before a tenant is known (API key, session, e-mail, agent's SIP name, the organization of a call that the
//! engine names). Methods are noun-first. Times are [`Timestamp`]s of whole milliseconds.
//!
//! Not here: who may do what (`auth`), what a request looks like (`routes`).

mod api_key;
mod attempt;
mod audit_log;
mod backup;
mod call;
mod call_handling;
mod caller_id;
mod capability;
mod change;
mod clean;
mod db;
mod facts;
mod idempotency;
mod invitation;
mod job;
mod lookup;
mod media;
mod media_file;
mod member;
mod membership;
mod missed;
mod note;
mod number_program;
mod organization;
mod outcome;
mod password_reset;
mod place;
mod postgres;
mod prune;
mod record;
mod recording;
mod schema;
mod seal;
mod search;
mod session;
mod settings;
mod sight;
mod signing_key;
mod signup;
mod sqlite;
mod stay;
mod stream;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_calls;
mod transcript;
mod translation;
mod unit;
mod usage;
mod user;
mod voice_config;
mod voice_target;

use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use api_key::{ApiKey, KeyRow, NewKey};
pub use attempt::{Attempts, Window};
pub use audit_log::{ActorKind, AuditFilter, AuditProof, AuditRow, By, Deed};
pub use backup::{SPOOL, backup, restore};
pub use call::{Call, Leg};
pub use call_handling::CallHandling;
pub use caller_id::{Assigned, CallerIdNumber, CallerIdRule, CallerIdRuleDraft, Proof};
pub use change::{Change, NewCall, UnassignedCall};
pub use facts::OrganizationFacts;
pub use idempotency::{Claimed, IdempotencyKey, KEPT, KeptAnswer, LEASE};
pub use invitation::{Invitation, InvitationChange, Inviter, Joining, NewInvitation};
pub use job::{ATTEMPTS_MAX, Job};
pub use media::{FlowState, LegFlow, Quality, Score};
pub use media_file::{MediaFile, NewMediaFile};
pub use member::{Member, MemberChange};
pub use membership::{Membership, Role};
pub use missed::MissedSegment;
pub use note::Note;
pub use number_program::{NumberProgram, ProgramStep};
pub use organization::{Organization, OrganizationChange, OrganizationSettings, Retention};
pub use outcome::Outcome;
pub use place::Place;
pub use record::{LegReport, Mark, Written};
pub use recording::{Gap, ListedRecording, PartId, RecordedChannel, Recording};
pub use schema::{SchemaStep, StorePlace, schema_down, schema_status, schema_up};
pub use seal::{SealKey, SealState, seal_forget, seal_rotate, seal_state};
pub use search::CallFilter;
pub use session::Session;
pub use sight::{Sight, TAIL, event_time};
pub use signup::Founder;
pub use stay::Stay;
pub use stream::{StoredEvent, StreamFilter};
pub use transcript::TranscriptSegment;
pub use usage::Usage;
pub(crate) use usage::day_of;
pub use user::{NewMember, User};
pub use voice_target::VoiceTarget;

/// Handle to the store; clones share its connections.
#[derive(Clone, Debug)]
pub struct Store {
    db: db::Db,
    keeps: bool,
    /// Nothing until the store is connected.
    sealer: Arc<OnceLock<Arc<seal::Sealer>>>,
    /// Whose calls are.
    owners: record::Owners,
    settings: Arc<settings::Settings>,
}

impl Store {
    /// Whether anything is kept. Otherwise (`store.url = "none"`) there are no organizations, so that calls leave no trace.
    pub fn keeps(&self) -> bool {
        self.keeps
    }

    fn over(db: db::Db, keeps: bool, sealer: seal::Sealer) -> Store {
        let sealer = Arc::new(OnceLock::from(Arc::new(sealer)));
        Store { db, keeps, sealer, owners: record::Owners::default(), settings: Arc::default() }
    }

    /// A store on PostgreSQL that is not connected yet: until [`Store::adopt`], everything fails with [`StoreError::Away`].
    pub fn not_connected() -> Store {
        let db = db::Db::Postgres(db::Pool::default());
        Store { db, keeps: true, sealer: Arc::default(), owners: record::Owners::default(), settings: Arc::default() }
    }

    /// Goes on with the connections of a store that was opened later.
    pub fn adopt(&self, opened: &Store) {
        if let (db::Db::Postgres(own), db::Db::Postgres(other)) = (&self.db, &opened.db) {
            if let Some(sealer) = opened.sealer.get() {
                // Set before: it stays as it is.
                let _ = self.sealer.set(Arc::clone(sealer));
            }
            own.adopt(other);
        }
    }

    fn sealer(&self) -> Result<&seal::Sealer, StoreError> {
        self.sealer.get().map(|sealer| &**sealer).ok_or(StoreError::Away)
    }
}

/// A tenant. Every query on a tenant's table takes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
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
    /// PostgreSQL cannot be reached now. The text says what to do.
    #[error("store.url: {0}")]
    Unreachable(String),
    /// The schema cannot be brought to what this binary expects. The text says what to do.
    #[error("store: {0}")]
    Migrate(String),
    /// There is no store.
    #[error("store.url is \"none\": nothing is kept, and nobody can have an account; choose a database there")]
    None,
    /// A name or address that must be unique is taken.
    #[error("{0} exists already")]
    Taken(&'static str),
    /// A backup cannot be made or brought back. The text says what to do.
    #[error("backup: {0}")]
    Backup(String),
    /// The key that seals secrets is missing, another, or cannot be used. The text says what to do.
    #[error("seal: {0}")]
    SealKey(String),
    /// A secret does not open: it was not written by this store in this place.
    #[error("store: the secret in {column} does not open; it was altered, or copied from elsewhere")]
    Sealed {
        /// Table and column.
        column: &'static str,
    },
    /// The file where events wait cannot be used.
    #[error("spool: {0}")]
    Spool(std::io::Error),
    /// Anything else that the database says.
    #[error("store: {0}")]
    Database(#[from] sqlx::Error),
    /// A text holds NUL, which no column of PostgreSQL takes; refused for SQLite as well.
    #[error("store: a text holds the character NUL")]
    Nul,
    /// The database did not answer in time, or is not connected yet.
    #[error("store: the database does not answer")]
    Away,
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
                let code = error.code().unwrap_or_default();
                match error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
                    Some(_) => POSTGRES_TRANSIENT.iter().any(|class| code.starts_with(class)),
                    // The low byte is the primary result code (SQLite, "Result and Error Codes").
                    None => code.parse::<u32>().is_ok_and(|code| SQLITE_TRANSIENT.contains(&(code & 0xff))),
                }
            }
            StoreError::Spool(_) | StoreError::Away | StoreError::Unreachable(_) => true,
            StoreError::Database(sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed) => true,
            // The fault of a connection, not of the statement.
            StoreError::Database(sqlx::Error::BeginFailed | sqlx::Error::InvalidSavePointStatement) => true,
            _ => false,
        }
    }
}

/// SQLite's busy, locked, out of memory, read-only, I/O error, full, cannot open.
const SQLITE_TRANSIENT: [u32; 7] = [5, 6, 7, 8, 10, 13, 14];

/// PostgreSQL's connection exceptions, serialization failures and deadlocks, insufficient resources, locks that are
/// held, operator intervention such as a shutdown, system errors, a server that is read-only for now; also missing rights
/// and tables, which an operator has to bring back and no statement of ours can help ("Appendix A").
const POSTGRES_TRANSIENT: [&str; 11] =
    ["08", "40001", "40P01", "53", "55P03", "57P", "58", "25006", "42501", "42P01", "42703"];

/// Turns a violated uniqueness into [`StoreError::Taken`].
fn taken(what: &'static str) -> impl Fn(StoreError) -> StoreError {
    move |error| match &error {
        StoreError::Database(sqlx::Error::Database(inner)) if inner.is_unique_violation() => StoreError::Taken(what),
        _ => error,
    }
}

/// The wall clock in whole milliseconds: what the store keeps.
pub fn now() -> Timestamp {
    Timestamp::from_millisecond(Timestamp::now().as_millisecond()).unwrap_or(Timestamp::UNIX_EPOCH)
}
