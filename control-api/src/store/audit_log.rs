//! The audit log: rows that are only added, each bound to the previous one by its hash.
//!
//! ```text
//! row n-1 ── hash ──▶ prev_hash ┐
//!                               ├─ SHA-256 ─▶ hash of row n
//! row n: seq, who, what, … ─────┘
//! ```
//!
//! Invariants: `seq` counts from 1 in each tenant without gaps; one writer at a time extends a tenant's chain; no code
//! here changes or removes a row, and triggers prevent any other code from doing so.
//!
//! `append` writes a row in the same unit of work as the change; [`Store::audit_append`] writes rows by themselves. Not here:
//! which requests are recorded (`ledger/audit`, `routes`).

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::AssertSqlSafe;
use utoipa::ToSchema;
use uuid::Uuid;

use super::db::{Row, Tx, Value};
use super::{OrganizationId, Store, StoreError, now};

/// Previous hash of the first row.
const BEFORE_FIRST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Rows read at once while a chain is verified.
const PAGE: u32 = 1_000;

/// Kind of actor that performed an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// A person with an account.
    User,
    /// A program with an API key.
    Key,
    /// The server itself, or its operator on the machine.
    System,
}

impl ActorKind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            ActorKind::User => "user",
            ActorKind::Key => "key",
            ActorKind::System => "system",
        }
    }
}

/// The actor of an action, and the origin of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// Kind of the actor.
    pub kind: ActorKind,
    /// Identity of the person or key; `None` for the system.
    pub id: Option<Uuid>,
    /// E-mail address of a person, name of a key, or part of the system.
    pub name: String,
    /// Network address that the request came from.
    pub address: Option<String>,
    /// Id of the request.
    pub request_id: Option<String>,
}

impl By {
    /// Returns the server as actor. `name` is the part of the server or the command that acted.
    pub fn system(name: &str) -> By {
        By { kind: ActorKind::System, id: None, name: name.to_owned(), address: None, request_id: None }
    }
}

/// An action to be recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Deed {
    action: &'static str,
    target: String,
    before: Option<serde_json::Value>,
    after: Option<serde_json::Value>,
}

impl Deed {
    /// Returns an action such as `member.update` on a target such as `member:ID`.
    pub fn new(action: &'static str, target: impl Into<String>) -> Deed {
        Deed { action, target: target.into(), before: None, after: None }
    }

    /// Adds the state before the action. It must not contain secrets.
    pub fn before(mut self, value: impl Serialize) -> Deed {
        self.before = serde_json::to_value(value).ok();
        self
    }

    /// Adds the state after the action. It must not contain secrets.
    pub fn after(mut self, value: impl Serialize) -> Deed {
        self.after = serde_json::to_value(value).ok();
        self
    }
}

/// A row of the audit log.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditRow {
    /// Identity of the row.
    pub id: Uuid,
    /// Position in the tenant's chain, from 1.
    pub seq: u64,
    /// Time of the action.
    pub at: Timestamp,
    /// Kind of actor: `user`, `key` or `system`.
    pub actor_kind: String,
    /// Identity of the person or key, if any.
    pub actor_id: Option<String>,
    /// E-mail address of a person, name of a key, or part of the system.
    pub actor_name: String,
    /// Network address that the request came from.
    pub address: Option<String>,
    /// Id of the request.
    pub request_id: Option<String>,
    /// Name of the action, such as `member.update`.
    pub action: String,
    /// Target of the action, such as `member:ID`.
    pub target: String,
    /// State before the action, as JSON.
    pub before: Option<String>,
    /// State after the action, as JSON.
    pub after: Option<String>,
    /// Hash of the previous row.
    pub prev_hash: String,
    /// SHA-256 in hex over all fields above.
    pub hash: String,
}

/// Selects rows of a tenant's log, newest first. An absent field matches every row.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Identity of a person or key, or the name of an actor.
    pub actor: Option<String>,
    /// Only rows with exactly this action.
    pub action: Option<String>,
    /// Only rows with exactly this target.
    pub target: Option<String>,
    /// Only rows at or after this time.
    pub from: Option<Timestamp>,
    /// Only rows before this time.
    pub to: Option<Timestamp>,
    /// Only rows before this position in the chain.
    pub below: Option<u64>,
    /// Largest number of rows to return.
    pub limit: u32,
}

/// Result of verifying a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuditProof {
    /// Whether every row's hash matches its content and the previous row.
    pub intact: bool,
    /// Number of intact rows, up to the first broken one.
    pub checked: u64,
    /// First row that does not match, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_broken: Option<Uuid>,
}

const COLUMNS: &str = "id, seq, at, actor_kind, actor_id, actor_name, address, request_id, action, target, before, after, \
                       prev_hash, hash";

impl AuditRow {
    fn read(row: &Row) -> Result<AuditRow, StoreError> {
        Ok(AuditRow {
            id: row.uuid("id")?,
            seq: row.count("seq")?,
            at: row.time("at")?,
            actor_kind: row.text("actor_kind")?,
            actor_id: row.text_opt("actor_id")?,
            actor_name: row.text("actor_name")?,
            address: row.text_opt("address")?,
            request_id: row.text_opt("request_id")?,
            action: row.text("action")?,
            target: row.text("target")?,
            before: row.text_opt("before")?,
            after: row.text_opt("after")?,
            prev_hash: row.text("prev_hash")?,
            hash: row.text("hash")?,
        })
    }

    /// Returns the SHA-256 of the row as a JSON list, in hex. JSON keeps the fields apart.
    fn fingerprint(&self, organization: OrganizationId) -> Result<String, StoreError> {
        let fields = (
            (organization.0, self.seq, self.id, self.at.as_millisecond()),
            (&self.actor_kind, &self.actor_id, &self.actor_name, &self.address, &self.request_id),
            (&self.action, &self.target, &self.before, &self.after, &self.prev_hash),
        );
        let text = serde_json::to_vec(&fields).map_err(|_| StoreError::Corrupt { column: "hash" })?;
        Ok(hex::encode(Sha256::digest(text)))
    }
}

/// Extends a tenant's chain inside the unit of work that makes the change. This should be its last statement: on
/// PostgreSQL, other writers of the chain wait from here until the unit of work ends.
pub(super) async fn append(tx: &mut Tx, organization: OrganizationId, by: &By, deed: &Deed) -> Result<(), StoreError> {
    // SQLite has only one writer.
    if let Tx::Postgres(_) = tx {
        let lock = "SELECT pg_advisory_xact_lock(hashtextextended('audit_log ' || $1, 0))";
        tx.run(lock, &[organization.to_string().into()]).await?;
    }
    let newest = "SELECT seq, hash FROM audit_log WHERE organization_id = $1 ORDER BY seq DESC LIMIT 1";
    let (seq, prev_hash) = match tx.row(newest, &[organization.into()]).await? {
        Some(row) => (row.count("seq")? + 1, row.text("hash")?),
        None => (1, BEFORE_FIRST.to_owned()),
    };
    let mut row = AuditRow {
        id: Uuid::now_v7(),
        seq,
        at: now(),
        actor_kind: by.kind.as_str().to_owned(),
        actor_id: by.id.map(|id| id.to_string()),
        actor_name: by.name.clone(),
        address: by.address.clone(),
        request_id: by.request_id.clone(),
        action: deed.action.to_owned(),
        target: deed.target.clone(),
        before: deed.before.as_ref().map(ToString::to_string),
        after: deed.after.as_ref().map(ToString::to_string),
        prev_hash,
        hash: String::new(),
    };
    row.hash = row.fingerprint(organization)?;
    let sql = "INSERT INTO audit_log (id, organization_id, seq, at, actor_kind, actor_id, actor_name, address, request_id, \
               action, target, before, after, prev_hash, hash) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
    let values = [
        row.id.into(),
        organization.into(),
        row.seq.into(),
        row.at.into(),
        row.actor_kind.into(),
        (&row.actor_id).into(),
        row.actor_name.into(),
        (&row.address).into(),
        (&row.request_id).into(),
        row.action.into(),
        row.target.into(),
        (&row.before).into(),
        (&row.after).into(),
        row.prev_hash.into(),
        row.hash.into(),
    ];
    tx.run(sql, &values).await?;
    Ok(())
}

impl Store {
    /// Runs one statement and records the action, both or neither. Returns whether a row was changed; if none was, nothing is
    /// recorded.
    pub(super) async fn run_audited(
        &self,
        organization: OrganizationId,
        sql: &'static str,
        values: &[Value],
        by: &By,
        deed: Deed,
    ) -> Result<bool, StoreError> {
        let mut tx = self.db.write(organization).await?;
        if tx.run(sql, values).await? == 0 {
            return Ok(false);
        }
        append(&mut tx, organization, by, &deed).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Records actions in order, all or none.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn audit_append(&self, organization: OrganizationId, deeds: &[(By, Deed)]) -> Result<(), StoreError> {
        let mut tx = self.db.write(organization).await?;
        for (by, deed) in deeds {
            append(&mut tx, organization, by, deed).await?;
        }
        tx.commit().await
    }

    /// Returns the selected rows of a tenant's log, newest first.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn audit_list(
        &self,
        organization: OrganizationId,
        filter: &AuditFilter,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let mut sql = format!("SELECT {COLUMNS} FROM audit_log WHERE organization_id = $1");
        let mut values: Vec<Value> = vec![organization.into()];
        let actor = if filter.actor.as_ref().is_some_and(|actor| actor.parse::<Uuid>().is_ok()) {
            "actor_id ="
        } else {
            "actor_name ="
        };
        let conditions: [(&str, Option<Value>); 6] = [
            (actor, filter.actor.as_ref().map(Into::into)),
            ("action =", filter.action.as_ref().map(Into::into)),
            ("target =", filter.target.as_ref().map(Into::into)),
            ("at >=", filter.from.map(Into::into)),
            ("at <", filter.to.map(Into::into)),
            ("seq <", filter.below.map(Into::into)),
        ];
        for (condition, value) in conditions {
            if let Some(value) = value {
                values.push(value);
                sql.push_str(&format!(" AND {condition} ${}", values.len()));
            }
        }
        values.push(filter.limit.into());
        sql.push_str(&format!(" ORDER BY seq DESC LIMIT ${}", values.len()));
        // The text contains only the fragments above and numbers; values are bound.
        self.db.rows(organization, AssertSqlSafe(sql), &values).await?.iter().map(AuditRow::read).collect()
    }

    /// Verifies a tenant's chain from its first row.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn audit_verify(&self, organization: OrganizationId) -> Result<AuditProof, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM audit_log WHERE organization_id = $1 AND seq > $2 ORDER BY seq LIMIT {PAGE}"
        );
        let (mut checked, mut prev_hash) = (0_u64, BEFORE_FIRST.to_owned());
        loop {
            let values = [organization.into(), checked.into()];
            let rows = self.db.rows(organization, AssertSqlSafe(sql.clone()), &values).await?;
            for row in &rows {
                let row = AuditRow::read(row)?;
                let fits = row.seq == checked + 1 && row.prev_hash == prev_hash;
                if !fits || row.fingerprint(organization)? != row.hash {
                    return Ok(AuditProof { intact: false, checked, first_broken: Some(row.id) });
                }
                checked += 1;
                prev_hash = row.hash;
            }
            if rows.len() < PAGE as usize {
                return Ok(AuditProof { intact: true, checked, first_broken: None });
            }
        }
    }
}
