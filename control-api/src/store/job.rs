//! Work to be done in the background: claimed by lease, tried again with back-off.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::db::Row;
use super::{OrganizationId, Store, StoreError, now};

/// Tried at most this often.
pub const ATTEMPTS_MAX: u64 = 5;
/// The first pause after a failure; each further one is twice as long.
const BACK_OFF: Duration = Duration::from_secs(30);

/// One job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Identity.
    pub id: Uuid,
    /// What is to be done, such as `usage.roll_up`.
    pub kind: String,
    /// For which period or subject: one job of a kind for each.
    pub slot: String,
    /// `waiting`, `running`, `done` or `failed`.
    pub state: String,
    /// How often it was begun.
    pub attempts: u64,
    /// Not before.
    pub due_at: Timestamp,
    /// Why it failed last.
    pub error: Option<String>,
    /// What it did, in words.
    pub result: Option<String>,
    /// When it was over.
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
    /// Puts a job on the list, unless one of this kind and slot is or was there. `true`: it is new.
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

    /// Takes the job that has been due longest, for `lease`. Also one whose lease ran out: who had it has died. One that
    /// has been begun too often fails instead.
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
        // Two servers on one database never take the same job, and do not wait for each other.
        let locked = self.db.pick("", "FOR UPDATE SKIP LOCKED");
        let sql = format!(
            "UPDATE jobs SET state = 'running', attempts = attempts + 1, lease_until = $3, leased_by = $4 \
             WHERE organization_id = $1 AND id = ({due} {locked}) RETURNING {COLUMNS}"
        );
        let mut tx = self.db.write(organization).await?;
        let values = [organization.into(), at.into(), (at + lease).into(), worker.into()];
        // Only the constants above enter the text; values are bound.
        let row = tx.row(sqlx::AssertSqlSafe(sql), &values).await?;
        tx.commit().await?;
        row.as_ref().map(job).transpose()
    }

    /// A job is done. Nothing happens when its lease has run out and another has it.
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

    /// A job failed: it is tried again later, or was tried often enough.
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

    /// A tenant's newest jobs, at most `limit`.
    pub async fn job_list(&self, organization: OrganizationId, limit: u32) -> Result<Vec<Job>, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM jobs WHERE organization_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2");
        let rows = self.db.rows(organization, sqlx::AssertSqlSafe(sql), &[organization.into(), limit.into()]).await?;
        rows.iter().map(job).collect()
    }

    /// Forgets jobs that were over before `before`; how many.
    pub async fn job_prune(&self, organization: OrganizationId, before: Timestamp) -> Result<u64, StoreError> {
        let sql = "DELETE FROM jobs WHERE organization_id = $1 AND state IN ('done', 'failed') AND finished_at < $2";
        self.db.run(organization, sql, &[organization.into(), before.into()]).await
    }
}
