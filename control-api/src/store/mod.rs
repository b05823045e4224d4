//! The store: all data that outlives a request. SQL appears only in this folder.
//!
//! ```text
//! routes, auth, events ──▶ Store ──▶ db ──▶ SQLite: one connection writes, a pool reads beside it (WAL)
//!                            │        └──▶ PostgreSQL: a pool; row level security, forced
//!                            └─▶ lookup: ids before a tenant is known
//! ```
//!
//! Invariants: every query on a tenant's table filters by organization, except the named look-ups, which run
//! before the tenant is known (API key, session, e-mail address, agent's SIP name, organization of a call that the
//! engine names). Method names begin with a noun. Times are [`Timestamp`]s of whole milliseconds.
//!
//! Every method that reads or writes returns [`StoreError`] on failure; [`StoreError::is_transient`] tells whether a
//! retry can succeed. Not here: access rights (`auth`) and the format of requests (`routes`).

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
mod glossary;
mod idempotency;
mod invitation;
mod job;
mod leg_amd;
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

pub use crate::tenant::role::Role;
pub use api_key::{ApiKey, KeyRow, NewKey};
pub use attempt::{Attempts, Window};
pub use audit_log::{ActorKind, AuditFilter, AuditProof, AuditRow, By, Deed};
pub use backup::{SPOOL, backup, restore};
pub use call::{Call, Leg};
pub use call_handling::CallHandling;
pub use caller_id::{Assigned, CallerIdNumber, CallerIdRule, CallerIdRuleDraft, Proof};
pub use change::{Change, NewCall, UnassignedCall};
pub use facts::{OrganizationFacts, ProgramOfNumber};
pub use idempotency::{Claimed, IdempotencyKey, KEPT, KeptAnswer, LEASE};
pub use invitation::{Invitation, InvitationChange, Inviter, Joining, NewInvitation};
pub use job::{ATTEMPTS_MAX, Job};
pub use leg_amd::{LegAmd, LegBeep, LegVerdict};
pub use media::{FlowState, LegFlow, Quality, Score};
pub use media_file::{MediaFile, NewMediaFile};
pub use member::{Member, MemberChange};
pub use membership::Membership;
pub use missed::{LateText, MissedSegment};
pub use note::Note;
pub use number_program::{NumberProgram, ProgramDraft, ProgramSecretVersions, ProgramStep};
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

/// Handle to the store; clones share its connections and caches.
#[derive(Clone, Debug)]
pub struct Store {
    db: db::Db,
    keeps: bool,
    /// Empty until the store is connected.
    sealer: Arc<OnceLock<Arc<seal::Sealer>>>,
    /// Organizations of recent calls.
    owners: record::Owners,
    settings: Arc<settings::Settings>,
}

impl Store {
    /// Returns whether the store keeps data. With `store.url = "none"` it does not: there are no organizations, and
    /// calls leave no trace.
    pub fn keeps(&self) -> bool {
        self.keeps
    }

    fn over(db: db::Db, keeps: bool, sealer: seal::Sealer) -> Store {
        let sealer = Arc::new(OnceLock::from(Arc::new(sealer)));
        Store { db, keeps, sealer, owners: record::Owners::default(), settings: Arc::default() }
    }

    /// Returns a PostgreSQL store that is not connected yet: until [`Store::adopt`], every method fails with
    /// [`StoreError::Away`].
    pub fn not_connected() -> Store {
        let db = db::Db::Postgres(db::Pool::default());
        Store { db, keeps: true, sealer: Arc::default(), owners: record::Owners::default(), settings: Arc::default() }
    }

    /// Takes over the connections of a store that was opened later. Does nothing if this store is already connected.
    pub fn adopt(&self, opened: &Store) {
        if let (db::Db::Postgres(own), db::Db::Postgres(other)) = (&self.db, &opened.db) {
            if let Some(sealer) = opened.sealer.get() {
                // A sealer that is already set is kept.
                let _ = self.sealer.set(Arc::clone(sealer));
            }
            own.adopt(other);
        }
    }

    fn sealer(&self) -> Result<&seal::Sealer, StoreError> {
        self.sealer.get().map(|sealer| &**sealer).ok_or(StoreError::Away)
    }
}

/// Identity of a tenant. Every query on a tenant's table takes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OrganizationId(pub Uuid);

/// Identity of a person, who may belong to several tenants.
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

/// Errors of the store. [`StoreError::is_transient`] separates those that a retry can cure.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be opened or is not usable. The text says what to do.
    #[error("store.url: {0}")]
    Open(String),
    /// PostgreSQL cannot be reached at present. The text says what to do.
    #[error("store.url: {0}")]
    Unreachable(String),
    /// The schema cannot be migrated to the version that this binary expects. The text says what to do.
    #[error("store: {0}")]
    Migrate(String),
    /// The configuration has no store (`store.url = "none"`).
    #[error("store.url is \"none\", so nothing is stored and no account can exist; set it to a database")]
    None,
    /// A name or address that must be unique is taken. The text names it.
    #[error("{0} exists already")]
    Taken(&'static str),
    /// A backup cannot be made or restored. The text says what to do.
    #[error("backup: {0}")]
    Backup(String),
    /// The key that seals secrets is missing, is the wrong one, or cannot be used. The text says what to do.
    #[error("seal: {0}")]
    SealKey(String),
    /// A secret cannot be decrypted: this store did not write it in this place.
    #[error("store: the secret in {column} cannot be decrypted; it was altered or copied from another place")]
    Sealed {
        /// Table and column, such as `signing_keys.key`.
        column: &'static str,
    },
    /// The spool file, in which events wait for the database, cannot be read or written.
    #[error("spool: {0}")]
    Spool(std::io::Error),
    /// Any other error from the database.
    #[error("store: {0}")]
    Database(#[from] sqlx::Error),
    /// A text contains NUL, which no PostgreSQL column accepts; refused for SQLite as well.
    #[error("store: a text contains the character NUL")]
    Nul,
    /// The database did not answer in time or is not connected yet.
    #[error("store: the database does not answer")]
    Away,
    /// A row holds a value that this binary never writes.
    #[error("store: column {column} holds an unexpected value")]
    Corrupt {
        /// Name of the column.
        column: &'static str,
    },
}

impl StoreError {
    /// Returns whether the same statement may succeed later: the database is busy, full or away, and has not refused
    /// it.
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
            // The connection is at fault, not the statement.
            StoreError::Database(sqlx::Error::BeginFailed | sqlx::Error::InvalidSavePointStatement) => true,
            _ => false,
        }
    }
}

/// SQLite's result codes for busy, locked, out of memory, read-only, I/O error, full, cannot open.
const SQLITE_TRANSIENT: [u32; 7] = [5, 6, 7, 8, 10, 13, 14];

/// PostgreSQL's error codes ("Appendix A") for connection exceptions, serialization failures and deadlocks,
/// insufficient resources, held locks, operator intervention such as a shutdown, system errors, and a read-only server;
/// also for missing rights and tables, which only an operator can restore.
const POSTGRES_TRANSIENT: [&str; 11] =
    ["08", "40001", "40P01", "53", "55P03", "57P", "58", "25006", "42501", "42P01", "42703"];

/// Turns a unique violation into [`StoreError::Taken`].
fn taken(what: &'static str) -> impl Fn(StoreError) -> StoreError {
    move |error| match &error {
        StoreError::Database(sqlx::Error::Database(inner)) if inner.is_unique_violation() => StoreError::Taken(what),
        _ => error,
    }
}

/// Returns the wall-clock time in whole milliseconds, the precision of the store.
pub fn now() -> Timestamp {
    Timestamp::from_millisecond(Timestamp::now().as_millisecond()).unwrap_or(Timestamp::UNIX_EPOCH)
}
