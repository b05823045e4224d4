//! Usage of an organization, by the day (UTC) on which calls ended.
//!
//! Complete days are rolled up into `usage_days`, which outlives the calls; the current day, and a day before it that
//! is not rolled up yet, are counted from the calls.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::Serialize;
use utoipa::ToSchema;

use super::db::{Row, Tx};
use super::{OrganizationId, Store, StoreError, now};

/// Usage of one day, or the sum of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Usage {
    /// Number of incoming calls.
    pub calls_inbound: u64,
    /// Number of outgoing calls.
    pub calls_outbound: u64,
    /// Seconds from answer to end, over all calls.
    pub call_seconds: u64,
    /// Seconds of audio in all recordings.
    pub recorded_seconds: u64,
    /// Number of translated segments.
    pub segments_translated: u64,
}

impl Usage {
    /// Adds the usage of another day.
    pub fn add(&mut self, other: Usage) {
        self.calls_inbound += other.calls_inbound;
        self.calls_outbound += other.calls_outbound;
        self.call_seconds += other.call_seconds;
        self.recorded_seconds += other.recorded_seconds;
        self.segments_translated += other.segments_translated;
    }
}

fn usage(row: &Row) -> Result<Usage, StoreError> {
    Ok(Usage {
        calls_inbound: row.count("calls_inbound")?,
        calls_outbound: row.count("calls_outbound")?,
        call_seconds: row.count("call_seconds")?,
        recorded_seconds: row.count("recorded_seconds")?,
        segments_translated: row.count("segments_translated")?,
    })
}

/// Returns the first millisecond of a day (UTC) and of the next day, or `None` beyond the range of time stamps.
fn day_bounds_ms(day: Date) -> Option<(i64, i64)> {
    let start = |day: Date| day.to_zoned(TimeZone::UTC).ok().map(|start| start.timestamp().as_millisecond());
    Some((start(day)?, start(day.tomorrow().ok()?)?))
}

/// Returns the day of a time, UTC.
pub(crate) fn day_of(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

/// Counts a day from the calls that ended on it.
async fn count_day(tx: &mut Tx, organization: OrganizationId, day: Date) -> Result<Usage, StoreError> {
    let Some((since, until)) = day_bounds_ms(day) else { return Ok(Usage::default()) };
    let sql = "SELECT CAST(COALESCE(SUM(CASE WHEN c.direction = 'inbound' THEN 1 ELSE 0 END), 0) AS BIGINT) \
               AS calls_inbound, \
               CAST(COALESCE(SUM(CASE WHEN c.direction = 'outbound' THEN 1 ELSE 0 END), 0) AS BIGINT) \
               AS calls_outbound, \
               CAST(COALESCE(SUM(c.ended_at - COALESCE(c.answered_at, c.ended_at)), 0) AS BIGINT) / 1000 \
               AS call_seconds, \
               CAST(COALESCE(SUM((SELECT COALESCE(SUM(r.duration_ms), 0) FROM recordings r WHERE r.organization_id = $1 \
               AND r.call_id = c.id)), 0) AS BIGINT) / 1000 AS recorded_seconds, \
               CAST(COALESCE(SUM((SELECT COUNT(*) FROM translations t WHERE t.organization_id = $1 \
               AND t.call_id = c.id AND t.translation IS NOT NULL)), 0) AS BIGINT) AS segments_translated \
               FROM calls c WHERE c.organization_id = $1 AND c.ended_at >= $2 AND c.ended_at < $3";
    let row = tx.row(sql, &[organization.into(), since.into(), until.into()]).await?;
    row.as_ref().map_or(Ok(Usage::default()), usage)
}

impl Store {
    /// Stores a tenant's usage of a day that is complete. It may be repeated: it counts anew and replaces the stored
    /// row.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn usage_roll_up(&self, organization: OrganizationId, day: Date) -> Result<(), StoreError> {
        let mut tx = self.db.write(organization).await?;
        let used = count_day(&mut tx, organization, day).await?;
        if used != Usage::default() {
            let sql = "INSERT INTO usage_days (organization_id, day, calls_inbound, calls_outbound, call_seconds, \
                       recorded_seconds, segments_translated) VALUES ($1, $2, $3, $4, $5, $6, $7) \
                       ON CONFLICT (organization_id, day) DO UPDATE SET calls_inbound = excluded.calls_inbound, \
                       calls_outbound = excluded.calls_outbound, call_seconds = excluded.call_seconds, \
                       recorded_seconds = excluded.recorded_seconds, \
                       segments_translated = excluded.segments_translated";
            let values = [
                organization.into(),
                day.to_string().into(),
                used.calls_inbound.into(),
                used.calls_outbound.into(),
                used.call_seconds.into(),
                used.recorded_seconds.into(),
                used.segments_translated.into(),
            ];
            tx.run(sql, &values).await?;
        }
        tx.commit().await
    }

    /// Returns a tenant's usage of each day from `from` to `to` inclusive, the earliest first. Days without usage are
    /// left out.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn usage_list(
        &self,
        organization: OrganizationId,
        from: Date,
        to: Date,
    ) -> Result<Vec<(Date, Usage)>, StoreError> {
        let mut tx = self.db.read(organization).await?;
        let sql = "SELECT day, calls_inbound, calls_outbound, call_seconds, recorded_seconds, segments_translated \
                   FROM usage_days WHERE organization_id = $1 AND day >= $2 AND day <= $3 ORDER BY day";
        let rows = tx.rows(sql, &[organization.into(), from.to_string().into(), to.to_string().into()]).await?;
        let mut days = Vec::with_capacity(rows.len());
        for row in &rows {
            let day = row.text("day")?.parse().map_err(|_| StoreError::Corrupt { column: "day" })?;
            days.push((day, usage(row)?));
        }
        let today = day_of(now());
        for running in [today.checked_sub(1.day()).unwrap_or(today), today] {
            if running < from || running > to || days.iter().any(|(day, _)| *day == running) {
                continue;
            }
            let used = count_day(&mut tx, organization, running).await?;
            if used != Usage::default() {
                days.push((running, used));
            }
        }
        tx.commit().await?;
        Ok(days)
    }
}
