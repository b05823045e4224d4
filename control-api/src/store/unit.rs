//! A transaction on a pooled connection. The connection returns to its pool only when the transaction is known to have ended.
//!
//! ```text
//! begin ─▶ Running ─ commit ─▶ Unknown ─ confirmed ─▶ Over: the connection returns to the pool
//!             │                   └─ error, cancelled ─▶ the connection is closed
//!             └─ dropped ─▶ rolled back; SQLite: closed if it is still in a transaction (`sqlite::pool_of`)
//! ```
//!
//! `sqlx::Transaction` returns the connection in every case. After a failed commit, or a BEGIN whose caller was cancelled, the
//! next unit of work would then begin inside the old transaction: refused by SQLite for as long as the connection lives, and on
//! PostgreSQL with the previous tenant still entered.

use sqlx::pool::PoolConnection;
use sqlx::{Database, PgPool, Postgres, SqlStr, Sqlite, SqlitePool};
use sqlx_core::transaction::TransactionManager;

use super::StoreError;

/// Known progress of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// BEGIN or COMMIT was sent and its outcome is not known.
    Unknown,
    Running,
    Over,
}

/// A transaction that rolls back when it is dropped.
pub(super) struct Unit<D: Database> {
    connection: PoolConnection<D>,
    progress: Progress,
}

impl Unit<Sqlite> {
    /// Begins with `statement`. A BEGIN whose caller is cancelled is rolled back by the connection's own thread.
    pub(super) async fn sqlite(pool: &SqlitePool, statement: &'static str) -> Result<Self, StoreError> {
        Unit::begin(pool.acquire().await?, SqlStr::from_static(statement), Progress::Running).await
    }
}

impl Unit<Postgres> {
    /// Begins with `statement`, which may enter a tenant.
    pub(super) async fn postgres(pool: &PgPool, statement: SqlStr) -> Result<Self, StoreError> {
        Unit::begin(pool.acquire().await?, statement, Progress::Unknown).await
    }
}

impl<D: Database> Unit<D> {
    async fn begin(connection: PoolConnection<D>, statement: SqlStr, meanwhile: Progress) -> Result<Self, StoreError> {
        let mut unit = Unit { connection, progress: meanwhile };
        D::TransactionManager::begin(&mut unit.connection, Some(statement)).await?;
        unit.progress = Progress::Running;
        Ok(unit)
    }

    /// Runs statements in the transaction.
    pub(super) fn connection(&mut self) -> &mut D::Connection {
        &mut self.connection
    }

    /// Commits. After an error the connection is closed, and it is not known whether the transaction was committed.
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        self.progress = Progress::Unknown;
        D::TransactionManager::commit(&mut self.connection).await?;
        self.progress = Progress::Over;
        Ok(())
    }
}

impl<D: Database> Drop for Unit<D> {
    fn drop(&mut self) {
        match self.progress {
            Progress::Over => {}
            Progress::Running => D::TransactionManager::start_rollback(&mut self.connection),
            Progress::Unknown => {
                metrics::counter!("tandem_store_connections_discarded_total").increment(1);
                self.connection.close_on_drop();
            }
        }
    }
}
