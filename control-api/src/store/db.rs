//! One interface to both databases: values in, rows out, units of work that belong to a tenant.
//!
//! ```text
//! Store ──▶ Db::read(tenant), Db::write(tenant) ──▶ Tx ──▶ run / rows / row ──▶ commit
//!                 SQLite: BEGIN                      statements with $1, $2 …, the same text for both
//!                 PostgreSQL: BEGIN; set_config('app.current_org_id', tenant, local)
//! ```
//!
//! Invariants: statements have `$1`-style parameters and, where possible, one text for both databases; elsewhere
//! [`Db::pick`] chooses between two texts. A [`Tx`] that is dropped is rolled back. On PostgreSQL a tenant's rows are
//! visible only inside a unit of work that has entered the tenant, because row level security is forced.
//!
//! Column types: ids are UUID (SQLite: text), times are whole milliseconds since 1970 UTC, booleans are BOOLEAN
//! (SQLite: 0 and 1), JSON is text that was validated before it was written.

use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, PgPool, Postgres, Row as _, SqlSafeStr, SqlStr, Sqlite, SqlitePool};
use uuid::Uuid;

use super::unit::Unit;
use super::{OrganizationId, StoreError, UserId};

/// Connections to one of the two databases; clones share them.
#[derive(Clone, Debug)]
pub(super) enum Db {
    /// One connection writes while the others read.
    Sqlite { writer: SqlitePool, readers: SqlitePool },
    /// One pool for reads and writes.
    Postgres(Pool),
}

/// The PostgreSQL pool, empty until it is connected; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Pool(Arc<OnceLock<PgPool>>);

impl Pool {
    pub(super) fn connected(pool: PgPool) -> Pool {
        Pool(Arc::new(OnceLock::from(pool)))
    }

    /// Returns the connections, or [`StoreError::Away`] if there are none yet.
    pub(super) fn get(&self) -> Result<&PgPool, StoreError> {
        self.0.get().ok_or(StoreError::Away)
    }

    /// Takes over the connections of another pool, unless this one has its own.
    pub(super) fn adopt(&self, other: &Pool) {
        if let Some(pool) = other.0.get() {
            // A pool that is already set is kept.
            let _ = self.0.set(pool.clone());
        }
    }
}

/// A unit of work: committed as a whole, or rolled back when dropped.
pub(super) enum Tx {
    Sqlite(Unit<Sqlite>),
    Postgres(Unit<Postgres>),
}

/// A parameter of a statement.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(Option<String>),
    Int(Option<i64>),
    Bool(bool),
    Uuid(Option<Uuid>),
    Bytes(Vec<u8>),
}

/// A row of a result.
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Db {
    /// Chooses the statement for this database where the two need different ones.
    pub(super) fn pick(&self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self {
            Db::Sqlite { .. } => sqlite,
            Db::Postgres(_) => postgres,
        }
    }

    /// Begins a read-only unit of work for a tenant. It is a snapshot: it does not see later commits.
    pub(super) async fn read(&self, tenant: OrganizationId) -> Result<Tx, StoreError> {
        Ok(match self {
            Db::Sqlite { readers, .. } => Tx::Sqlite(Unit::sqlite(readers, "BEGIN").await?),
            Db::Postgres(pool) => Tx::Postgres(Unit::postgres(pool.get()?, begin_for(tenant)).await?),
        })
    }

    /// Begins a unit of work that writes for a tenant. On SQLite it waits for the previous writer.
    pub(super) async fn write(&self, tenant: OrganizationId) -> Result<Tx, StoreError> {
        Ok(match self {
            Db::Sqlite { writer, .. } => Tx::Sqlite(Unit::sqlite(writer, "BEGIN IMMEDIATE").await?),
            Db::Postgres(pool) => Tx::Postgres(Unit::postgres(pool.get()?, begin_for(tenant)).await?),
        })
    }

    /// Begins a unit of work without a tenant: on PostgreSQL it sees no tenant's rows until it enters a tenant.
    pub(super) async fn write_outside(&self) -> Result<Tx, StoreError> {
        Ok(match self {
            Db::Sqlite { writer, .. } => Tx::Sqlite(Unit::sqlite(writer, "BEGIN IMMEDIATE").await?),
            Db::Postgres(pool) => Tx::Postgres(Unit::postgres(pool.get()?, SqlStr::from_static("BEGIN")).await?),
        })
    }

    /// Runs one query for a tenant.
    pub(super) async fn rows(
        &self,
        tenant: OrganizationId,
        sql: impl SqlSafeStr,
        values: &[Value],
    ) -> Result<Vec<Row>, StoreError> {
        if let Db::Sqlite { .. } = self {
            return self.rows_outside(sql, values).await;
        }
        let mut tx = self.read(tenant).await?;
        let rows = tx.rows(sql, values).await?;
        tx.commit().await?;
        Ok(rows)
    }

    /// Runs one query for a tenant and returns its first row.
    pub(super) async fn row(
        &self,
        tenant: OrganizationId,
        sql: impl SqlSafeStr,
        values: &[Value],
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(tenant, sql, values).await?.into_iter().next())
    }

    /// Runs one statement that writes for a tenant. Returns the number of changed rows.
    pub(super) async fn run(
        &self,
        tenant: OrganizationId,
        sql: impl SqlSafeStr,
        values: &[Value],
    ) -> Result<u64, StoreError> {
        let mut tx = self.write(tenant).await?;
        let changed = tx.run(sql, values).await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// Runs one query before the tenant is known. On PostgreSQL only the look-up functions see rows then.
    pub(super) async fn rows_outside(&self, sql: impl SqlSafeStr, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        refuse_nul(values)?;
        Ok(match self {
            Db::Sqlite { readers, .. } => {
                query_sqlite(sql, values).fetch_all(readers).await?.into_iter().map(Row::Sqlite).collect()
            }
            Db::Postgres(pool) => {
                query_postgres(sql, values).fetch_all(pool.get()?).await?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// Waits for running statements and closes the connections; SQLite's write-ahead log is merged into the file.
    pub(super) async fn close(&self) {
        match self {
            Db::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Db::Postgres(pool) => {
                if let Ok(pool) = pool.get() {
                    pool.close().await;
                }
            }
        }
    }
}

/// Returns the statements that begin a tenant's unit of work in one round trip. The id consists of hexadecimal digits
/// and hyphens only.
fn begin_for(tenant: OrganizationId) -> SqlStr {
    let sql = format!("BEGIN; SELECT set_config('app.current_org_id', '{}', true)", tenant.0.hyphenated());
    AssertSqlSafe(sql).into_sql_str()
}

impl Tx {
    /// Enters a tenant: from here on, this unit of work sees the rows of this tenant and no others.
    pub(super) async fn enter(&mut self, tenant: OrganizationId) -> Result<(), StoreError> {
        if let Tx::Postgres(tx) = self {
            let statement = sqlx::query("SELECT set_config('app.current_org_id', $1, true)");
            statement.bind(tenant.0.hyphenated().to_string()).execute(tx.connection()).await?;
        }
        Ok(())
    }

    /// Chooses the statement for this database where the two need different ones.
    pub(super) fn pick(&self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self {
            Tx::Sqlite(_) => sqlite,
            Tx::Postgres(_) => postgres,
        }
    }

    /// Runs a statement and returns the number of changed rows.
    pub(super) async fn run(&mut self, sql: impl SqlSafeStr, values: &[Value]) -> Result<u64, StoreError> {
        refuse_nul(values)?;
        Ok(match self {
            Tx::Sqlite(tx) => query_sqlite(sql, values).execute(tx.connection()).await?.rows_affected(),
            Tx::Postgres(tx) => query_postgres(sql, values).execute(tx.connection()).await?.rows_affected(),
        })
    }

    /// Runs a statement and returns all its rows.
    pub(super) async fn rows(&mut self, sql: impl SqlSafeStr, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        refuse_nul(values)?;
        Ok(match self {
            Tx::Sqlite(tx) => {
                query_sqlite(sql, values).fetch_all(tx.connection()).await?.into_iter().map(Row::Sqlite).collect()
            }
            Tx::Postgres(tx) => {
                query_postgres(sql, values).fetch_all(tx.connection()).await?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// Runs a statement and returns its first row.
    pub(super) async fn row(&mut self, sql: impl SqlSafeStr, values: &[Value]) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// Sets a savepoint. [`Tx::roll_back_to_savepoint`] goes back to the latest one.
    pub(super) async fn savepoint(&mut self) -> Result<(), StoreError> {
        self.raw("SAVEPOINT piece").await
    }

    /// Undoes the statements after the latest savepoint.
    pub(super) async fn roll_back_to_savepoint(&mut self) -> Result<(), StoreError> {
        self.raw("ROLLBACK TO SAVEPOINT piece").await
    }

    /// Makes the database check constraints at each statement instead of at the commit. SQLite always does so.
    pub(super) async fn constraints_immediate(&mut self) -> Result<(), StoreError> {
        match self {
            Tx::Sqlite(_) => Ok(()),
            Tx::Postgres(_) => self.raw("SET CONSTRAINTS ALL IMMEDIATE").await,
        }
    }

    async fn raw(&mut self, sql: &'static str) -> Result<(), StoreError> {
        match self {
            Tx::Sqlite(tx) => sqlx::raw_sql(sql).execute(tx.connection()).await.map(drop)?,
            Tx::Postgres(tx) => sqlx::raw_sql(sql).execute(tx.connection()).await.map(drop)?,
        }
        Ok(())
    }

    /// Commits the unit of work.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Tx::Sqlite(tx) => tx.commit().await?,
            Tx::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }
}

/// Refuses NUL in texts, for both databases and before anything is sent, because PostgreSQL does not accept it.
fn refuse_nul(values: &[Value]) -> Result<(), StoreError> {
    let nul = values.iter().any(|value| matches!(value, Value::Text(Some(text)) if text.contains('\0')));
    if nul { Err(StoreError::Nul) } else { Ok(()) }
}

fn query_sqlite<'q>(sql: impl SqlSafeStr, values: &[Value]) -> Query<'q, Sqlite, SqliteArguments> {
    let mut query = sqlx::query(sql);
    for value in values {
        query = match value {
            Value::Text(text) => query.bind(text.clone()),
            Value::Int(number) => query.bind(*number),
            Value::Bool(truth) => query.bind(*truth),
            Value::Uuid(id) => query.bind(id.map(|id| id.hyphenated().to_string())),
            Value::Bytes(bytes) => query.bind(bytes.clone()),
        };
    }
    query
}

fn query_postgres<'q>(sql: impl SqlSafeStr, values: &[Value]) -> Query<'q, Postgres, PgArguments> {
    let mut query = sqlx::query(sql);
    for value in values {
        query = match value {
            Value::Text(text) => query.bind(text.clone()),
            Value::Int(number) => query.bind(*number),
            Value::Bool(truth) => query.bind(*truth),
            Value::Uuid(id) => query.bind(*id),
            Value::Bytes(bytes) => query.bind(bytes.clone()),
        };
    }
    query
}

/// Reads a column from a row of either database.
macro_rules! column {
    ($row:expr, $type:ty, $name:expr) => {
        match $row {
            Row::Sqlite(row) => row.try_get::<$type, _>($name)?,
            Row::Postgres(row) => row.try_get::<$type, _>($name)?,
        }
    };
}

impl Row {
    pub(super) fn text(&self, name: &'static str) -> Result<String, StoreError> {
        Ok(column!(self, String, name))
    }

    pub(super) fn text_opt(&self, name: &'static str) -> Result<Option<String>, StoreError> {
        Ok(column!(self, Option<String>, name))
    }

    pub(super) fn int(&self, name: &'static str) -> Result<i64, StoreError> {
        Ok(column!(self, i64, name))
    }

    pub(super) fn int_opt(&self, name: &'static str) -> Result<Option<i64>, StoreError> {
        Ok(column!(self, Option<i64>, name))
    }

    pub(super) fn bytes(&self, name: &'static str) -> Result<Vec<u8>, StoreError> {
        Ok(column!(self, Vec<u8>, name))
    }

    /// Reads a count or length. A negative value is [`StoreError::Corrupt`].
    pub(super) fn count(&self, name: &'static str) -> Result<u64, StoreError> {
        u64::try_from(self.int(name)?).map_err(|_| StoreError::Corrupt { column: name })
    }

    pub(super) fn bool(&self, name: &'static str) -> Result<bool, StoreError> {
        Ok(match self {
            Row::Sqlite(row) => row.try_get::<i64, _>(name)? != 0,
            Row::Postgres(row) => row.try_get(name)?,
        })
    }

    pub(super) fn uuid(&self, name: &'static str) -> Result<Uuid, StoreError> {
        self.uuid_opt(name)?.ok_or(StoreError::Corrupt { column: name })
    }

    pub(super) fn uuid_opt(&self, name: &'static str) -> Result<Option<Uuid>, StoreError> {
        match self {
            Row::Sqlite(row) => {
                let text: Option<&str> = row.try_get(name)?;
                text.map(str::parse).transpose().map_err(|_| StoreError::Corrupt { column: name })
            }
            Row::Postgres(row) => Ok(row.try_get(name)?),
        }
    }

    pub(super) fn time(&self, name: &'static str) -> Result<Timestamp, StoreError> {
        self.time_opt(name)?.ok_or(StoreError::Corrupt { column: name })
    }

    pub(super) fn time_opt(&self, name: &'static str) -> Result<Option<Timestamp>, StoreError> {
        let ms = self.int_opt(name)?;
        ms.map(Timestamp::from_millisecond).transpose().map_err(|_| StoreError::Corrupt { column: name })
    }

    /// Reads a JSON column as the type that wrote it.
    pub(super) fn json<T: DeserializeOwned>(&self, name: &'static str) -> Result<T, StoreError> {
        self.json_opt(name)?.ok_or(StoreError::Corrupt { column: name })
    }

    pub(super) fn json_opt<T: DeserializeOwned>(&self, name: &'static str) -> Result<Option<T>, StoreError> {
        let text = self.text_opt(name)?;
        text.as_deref().map(serde_json::from_str).transpose().map_err(|_| StoreError::Corrupt { column: name })
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(Some(text.to_owned()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(Some(text))
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Value {
        Value::Text(Some(text.clone()))
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Value {
        Value::Text(text.map(str::to_owned))
    }
}

impl From<&Option<String>> for Value {
    fn from(text: &Option<String>) -> Value {
        Value::Text(text.clone())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Int(Some(number))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Value {
        Value::Int(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Value {
        Value::Int(Some(number.into()))
    }
}

/// For lengths and counters; a value above `i64::MAX`, which none reaches, is stored as `i64::MAX`.
impl From<u64> for Value {
    fn from(number: u64) -> Value {
        Value::Int(Some(i64::try_from(number).unwrap_or(i64::MAX)))
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Value {
        Value::Bool(truth)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Value {
        Value::Bytes(bytes)
    }
}

impl From<Uuid> for Value {
    fn from(id: Uuid) -> Value {
        Value::Uuid(Some(id))
    }
}

impl From<Option<Uuid>> for Value {
    fn from(id: Option<Uuid>) -> Value {
        Value::Uuid(id)
    }
}

impl From<OrganizationId> for Value {
    fn from(id: OrganizationId) -> Value {
        id.0.into()
    }
}

impl From<UserId> for Value {
    fn from(id: UserId) -> Value {
        id.0.into()
    }
}

impl From<Timestamp> for Value {
    fn from(at: Timestamp) -> Value {
        at.as_millisecond().into()
    }
}

impl From<Option<Timestamp>> for Value {
    fn from(at: Option<Timestamp>) -> Value {
        at.map(|at| at.as_millisecond()).into()
    }
}
