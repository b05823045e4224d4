//! Attempts counted within a time window: log-ins, mails to an address, calls that speak a code. Counts outlive a
//! restart.
//!
//! The table belongs to no tenant. A subject is a hash, so that a row does not reveal who tried.

use std::time::Duration;

use jiff::Timestamp;

use super::{Store, StoreError, now};

/// Largest number of rows; beyond it, those that expire first are removed.
const ROWS_MAX: u64 = 100_000;

/// Time after which a count starts anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// Measured from the first attempt: a quota.
    FromFirst(Duration),
    /// Measured from the latest attempt: a growing delay.
    FromLatest(Duration),
}

/// A subject's attempts before the one that is being judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempts {
    /// Number of earlier attempts in the window.
    pub count: u64,
    /// Time of the first attempt.
    pub since: Timestamp,
    /// Time of the latest attempt.
    pub last_at: Timestamp,
}

impl Store {
    /// Counts an attempt for every subject, unless `judge` refuses it. `judge` receives the earlier attempts, in the
    /// order of
    /// `subjects`, and returns the time to wait as the inner `Err`. A refused attempt is not counted. Attempts that
    /// arrive
    /// together are judged one after the other.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn attempt_count(
        &self,
        subjects: &[String],
        window: Window,
        judge: impl FnOnce(&[Attempts], Timestamp) -> Result<(), Duration>,
    ) -> Result<Result<(), Duration>, StoreError> {
        let mut tx = self.db.write_outside().await?;
        let at = now();
        // All units of work take the rows in the same order, so that no two wait for each other.
        let mut order: Vec<usize> = (0..subjects.len()).collect();
        order.sort_by_key(|n| &subjects[*n]);
        let mut before = vec![Attempts { count: 0, since: at, last_at: at }; subjects.len()];
        for n in order {
            let sql = "INSERT INTO attempts (subject, since, count, last_at, forget_at) VALUES ($1, $2, 0, $2, $2) \
                       ON CONFLICT (subject) DO NOTHING";
            tx.run(sql, &[(&subjects[n]).into(), at.into()]).await?;
            let sql = tx.pick(
                "SELECT since, count, last_at, forget_at FROM attempts WHERE subject = $1",
                "SELECT since, count, last_at, forget_at FROM attempts WHERE subject = $1 FOR UPDATE",
            );
            let row = tx.row(sql, &[(&subjects[n]).into()]).await?.ok_or(StoreError::Corrupt { column: "subject" })?;
            if row.time("forget_at")? > at {
                before[n] =
                    Attempts { count: row.count("count")?, since: row.time("since")?, last_at: row.time("last_at")? };
            }
        }
        if let Err(wait) = judge(&before, at) {
            return Ok(Err(wait));
        }
        for (subject, before) in subjects.iter().zip(&before) {
            let forget_at = match window {
                Window::FromFirst(window) => before.since + window,
                Window::FromLatest(window) => at + window,
            };
            let sql = "UPDATE attempts SET since = $2, count = $3, last_at = $4, forget_at = $5 WHERE subject = $1";
            let values = [subject.into(), before.since.into(), (before.count + 1).into(), at.into(), forget_at.into()];
            tx.run(sql, &values).await?;
        }
        tx.commit().await?;
        Ok(Ok(()))
    }

    /// Counts one use of a quota for every subject, given with its limit per `window`. The inner `Err` is the time
    /// until the fullest quota starts anew; nothing is counted then.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn quota_take(
        &self,
        subjects: &[(String, u64)],
        window: Duration,
    ) -> Result<Result<(), Duration>, StoreError> {
        let names: Vec<String> = subjects.iter().map(|(subject, _)| subject.clone()).collect();
        let judge = |before: &[Attempts], at: Timestamp| {
            let full = before.iter().zip(subjects).filter(|(before, (_, limit))| before.count >= *limit);
            let waits = full.map(|(before, _)| (before.since + window).duration_since(at));
            match waits.max() {
                Some(wait) => Err(Duration::try_from(wait).unwrap_or(window)),
                None => Ok(()),
            }
        };
        self.attempt_count(&names, Window::FromFirst(window), judge).await
    }

    /// Takes back an attempt that succeeded: the count of `cleared` starts anew, each of `lowered` is reduced by one.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn attempt_forgive(&self, cleared: &str, lowered: &[&str]) -> Result<(), StoreError> {
        let mut tx = self.db.write_outside().await?;
        let mut subjects: Vec<&str> = lowered.to_vec();
        subjects.push(cleared);
        subjects.sort_unstable();
        for subject in subjects {
            let sql = if subject == cleared {
                "DELETE FROM attempts WHERE subject = $1"
            } else {
                "UPDATE attempts SET count = count - 1 WHERE subject = $1 AND count > 0"
            };
            tx.run(sql, &[subject.into()]).await?;
        }
        tx.commit().await
    }

    /// Removes the rows that have expired by `at`, and those that expire first beyond the largest number of rows.
    /// Returns the number of removed rows.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn attempt_prune(&self, at: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.db.write_outside().await?;
        let mut removed = tx.run("DELETE FROM attempts WHERE forget_at <= $1", &[at.into()]).await?;
        let sql = "DELETE FROM attempts WHERE forget_at <= \
                   (SELECT forget_at FROM attempts ORDER BY forget_at DESC LIMIT 1 OFFSET $1)";
        removed += tx.run(sql, &[ROWS_MAX.into()]).await?;
        tx.commit().await?;
        Ok(removed)
    }
}
