//! Background jobs: claimed by lease, retried with back-off.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::db::Row;
use super::{OrganizationId, Store, StoreError, now};

/// Largest number of attempts per job.
pub const ATTEMPTS_MAX: u64 = 5;
/// Pause after the first failure; it doubles with each further one.
const BACK_OFF: Duration = Duration::from_secs(30);

/// A background job of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Identity of the job.
    pub id: Uuid,
    /// Kind of work, such as `usage.roll_up`.
    pub kind: String,
    /// Period or subject of the work; there is one job of a kind per slot.
    pub slot: String,
    /// State of the job: `waiting`, `running`, `done` or `failed`.
    pub state: String,
    /// Number of attempts that were begun.
    pub attempts: u64,
    /// Time before which it is not begun.
    pub due_at: Timestamp,
    /// Cause of the latest failure.
    pub error: Option<String>,
    /// Result of the job, in words.
    pub result: Option<String>,
    /// Time at which it was done or failed for good.
    pub finished_at: Option<Timestamp>,
}

const COLUMNS: &str = "id, kind, slot, state, attempts, due_at, error, result, finished_at";

fn job(row: &Row) -> Result<Job, StoreError> {
    Ok(Job {
        id: row.uuid("id")?,
        kind: row.text("kind")?,
        slot: row.text("slot")?,
        state: row.text("state")?,
        attempts: row.count("attempts")?,
        due_at: row.time("due_at")?,
        error: row.text_opt("error")?,
        result: row.text_opt("result")?,
        finished_at: row.time_opt("finished_at")?,
    })
}

impl Store {
    /// Adds a job, unless one of this kind and slot exists already. Returns whether it was added.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn job_add(
        &self,
        organization: OrganizationId,
        kind: &str,
        slot: &str,
        due_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let known = "SELECT 1 AS one FROM jobs WHERE organization_id = $1 AND kind = $2 AND slot = $3";
        if self.db.row(organization, known, &[organization.into(), kind.into(), slot.into()]).await?.is_some() {
            return Ok(false);
        }
        let sql = "INSERT INTO jobs (id, organization_id, kind, slot, state, attempts, due_at, created_at) \
                   VALUES ($1, $2, $3, $4, 'waiting', 0, $5, $6) ON CONFLICT (organization_id, kind, slot) DO NOTHING";
        let values =
            [Uuid::now_v7().into(), organization.into(), kind.into(), slot.into(), due_at.into(), now().into()];
        Ok(self.db.run(organization, sql, &values).await? == 1)
    }

    /// Claims the job that has been due longest, for the time `lease`. A job whose lease has run out, because its
    /// worker died, is claimed too, or fails if it has been begun [`ATTEMPTS_MAX`] times. `None` if no job is due.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn job_claim(
        &self,
        organization: OrganizationId,
        worker: Uuid,
        lease: Duration,
    ) -> Result<Option<Job>, StoreError> {
        let at = now();
        let sql = "UPDATE jobs SET state = 'failed', finished_at = $1, error = COALESCE(error, 'the worker died') \
                   WHERE organization_id = $2 AND state = 'running' AND lease_until < $1 AND attempts >= $3";
        self.db.run(organization, sql, &[at.into(), organization.into(), ATTEMPTS_MAX.into()]).await?;
        let due = "SELECT id FROM jobs WHERE organization_id = $1 AND due_at <= $2 \
                   AND (state = 'waiting' OR (state = 'running' AND lease_until < $2)) ORDER BY due_at, id LIMIT 1";
        // Two servers on one database never claim the same job and do not wait for each other.
        let locked = self.db.pick("", "FOR UPDATE SKIP LOCKED");
        let sql = format!(
            "UPDATE jobs SET state = 'running', attempts = attempts + 1, lease_until = $3, leased_by = $4 \
             WHERE organization_id = $1 AND id = ({due} {locked}) RETURNING {COLUMNS}"
        );
        let mut tx = self.db.write(organization).await?;
        let values = [organization.into(), at.into(), (at + lease).into(), worker.into()];
        // The text contains only the constants above; values are bound.
        let row = tx.row(sqlx::AssertSqlSafe(sql), &values).await?;
        tx.commit().await?;
        row.as_ref().map(job).transpose()
    }

    /// Marks a job as done. Does nothing if its lease has run out and another worker has claimed it.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn job_done(
        &self,
        organization: OrganizationId,
        id: Uuid,
        worker: Uuid,
        result: &str,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE jobs SET state = 'done', result = $1, error = NULL, finished_at = $2, lease_until = NULL \
                   WHERE organization_id = $3 AND id = $4 AND leased_by = $5 AND state = 'running'";
        let values = [result.into(), now().into(), organization.into(), id.into(), worker.into()];
        self.db.run(organization, sql, &values).await?;
        Ok(())
    }

    /// Records a failure of a job: it is retried later, or has failed for good after [`ATTEMPTS_MAX`] attempts.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn job_failed(
        &self,
        organization: OrganizationId,
        job: &Job,
        worker: Uuid,
        error: &str,
    ) -> Result<(), StoreError> {
        let at = now();
        let last = job.attempts >= ATTEMPTS_MAX;
        let pause = BACK_OFF * 2_u32.saturating_pow(u32::try_from(job.attempts.saturating_sub(1)).unwrap_or(u32::MAX));
        let sql = "UPDATE jobs SET state = $1, error = $2, due_at = $3, finished_at = $4, lease_until = NULL \
                   WHERE organization_id = $5 AND id = $6 AND leased_by = $7 AND state = 'running'";
        let values = [
            if last { "failed" } else { "waiting" }.into(),
            error.into(),
            (at + pause).into(),
            last.then_some(at).into(),
            organization.into(),
            job.id.into(),
            worker.into(),
        ];
        self.db.run(organization, sql, &values).await?;
        Ok(())
    }

    /// Returns a tenant's newest jobs, at most `limit`.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn job_list(&self, organization: OrganizationId, limit: u32) -> Result<Vec<Job>, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM jobs WHERE organization_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2");
        let rows = self.db.rows(organization, sqlx::AssertSqlSafe(sql), &[organization.into(), limit.into()]).await?;
        rows.iter().map(job).collect()
    }

    /// Removes jobs that ended before `before`. Returns their number.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn job_prune(&self, organization: OrganizationId, before: Timestamp) -> Result<u64, StoreError> {
        let sql = "DELETE FROM jobs WHERE organization_id = $1 AND state IN ('done', 'failed') AND finished_at < $2";
        self.db.run(organization, sql, &[organization.into(), before.into()]).await
    }
}
