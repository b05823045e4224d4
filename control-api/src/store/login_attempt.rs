//! Attempts to log in that failed, counted by account and by address: they outlive a restart.
//!
//! No tenant's table. A subject is a hash: who tried is not told by it.

use jiff::Timestamp;

use super::{Store, StoreError, now};

/// Rows kept at most; the oldest go first.
const ROWS_MAX: u64 = 100_000;

impl Store {
    /// Counts an attempt of `subject` before it is checked: how many there have been since when, this one included. What
    /// began before `forgotten` counts no more.
    pub async fn login_attempt_count(
        &self,
        subject: &str,
        forgotten: Timestamp,
    ) -> Result<(Timestamp, u64), StoreError> {
        let mut tx = self.db.write_outside().await?;
        let sql = "INSERT INTO login_attempts (subject, since, failures) VALUES ($1, $2, 1) \
                   ON CONFLICT (subject) DO UPDATE SET \
                   failures = CASE WHEN login_attempts.since <= $3 THEN 1 ELSE login_attempts.failures + 1 END, \
                   since = CASE WHEN login_attempts.since <= $3 THEN $2 ELSE login_attempts.since END \
                   RETURNING since, failures";
        let values = [subject.into(), now().into(), forgotten.into()];
        let row = tx.row(sql, &values).await?.ok_or(StoreError::Corrupt { column: "failures" })?;
        let counted = (row.time("since")?, row.count("failures")?);
        tx.commit().await?;
        Ok(counted)
    }

    /// The attempt was right: the account starts anew, the address gets this one back.
    pub async fn login_attempt_forgive(&self, account: &str, address: &str) -> Result<(), StoreError> {
        let mut tx = self.db.write_outside().await?;
        tx.run("DELETE FROM login_attempts WHERE subject = $1", &[account.into()]).await?;
        let sql = "UPDATE login_attempts SET failures = failures - 1 WHERE subject = $1 AND failures > 0";
        tx.run(sql, &[address.into()]).await?;
        tx.commit().await
    }

    /// Removes what began before `forgotten`, and the oldest beyond what is kept at most.
    pub async fn login_attempt_prune(&self, forgotten: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.db.write_outside().await?;
        let mut removed = tx.run("DELETE FROM login_attempts WHERE since <= $1", &[forgotten.into()]).await?;
        let sql = "DELETE FROM login_attempts WHERE since <= \
                   (SELECT since FROM login_attempts ORDER BY since DESC LIMIT 1 OFFSET $1)";
        removed += tx.run(sql, &[ROWS_MAX.into()]).await?;
        tx.commit().await?;
        Ok(removed)
    }
}
