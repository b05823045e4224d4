//! What an organization used, by the day on which calls ended.
//!
//! Whole days are rolled up into `usage_days`, which outlives the calls; the day that runs, and one that was not rolled up
//! yet, are counted from the calls.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::Serialize;
use utoipa::ToSchema;

use super::db::{Row, Tx};
use super::{OrganizationId, Store, StoreError, now};

/// One day, or several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Usage {
    /// Calls that came in.
    pub calls_inbound: u64,
    /// Calls that went out.
    pub calls_outbound: u64,
    /// Seconds from answer to end.
    pub call_seconds: u64,
    /// Seconds of audio in recordings.
    pub recorded_seconds: u64,
    /// Segments that were translated.
    pub segments_translated: u64,
}

impl Usage {
    /// Adds another's.
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

/// The milliseconds of a day, UTC: first, and first of the next. Nothing: beyond what time can tell.
fn milliseconds(day: Date) -> Option<(i64, i64)> {
    let start = |day: Date| day.to_zoned(TimeZone::UTC).ok().map(|start| start.timestamp().as_millisecond());
    Some((start(day)?, start(day.tomorrow().ok()?)?))
}

/// The day of a time, UTC.
pub(crate) fn day_of(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

/// Counts a day from the calls that ended on it.
async fn counted(tx: &mut Tx, organization: OrganizationId, day: Date) -> Result<Usage, StoreError> {
    let Some((since, until)) = milliseconds(day) else { return Ok(Usage::default()) };
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
    /// Keeps what a tenant used on a day that is over. Doing it again counts again, and keeps the same.
    pub async fn usage_roll_up(&self, organization: OrganizationId, day: Date) -> Result<(), StoreError> {
        let mut tx = self.db.write(organization).await?;
        let used = counted(&mut tx, organization, day).await?;
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

    /// What a tenant used on each of these days on which it used anything, the first one first.
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
            let used = counted(&mut tx, organization, running).await?;
            if used != Usage::default() {
                days.push((running, used));
            }
        }
        tx.commit().await?;
        Ok(days)
    }
}
