//! Removal by age, a few rows at a time, so that no other writer waits longer than one step.

use std::path::PathBuf;

use jiff::Timestamp;
use uuid::Uuid;

use super::{OrganizationId, PartId, Store, StoreError, recording};

/// Rows removed in one step, which takes a few milliseconds.
const STEP: u32 = 500;

impl Store {
    /// Removes a tenant's events from before `before`, oldest first. Returns their number. Events of running calls are
    /// kept.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn event_prune(&self, organization: OrganizationId, before: Timestamp) -> Result<u64, StoreError> {
        // Only the oldest events are examined, so that the cost of a step does not depend on their number.
        let sql = "DELETE FROM call_events WHERE organization_id = $1 AND id IN (SELECT id FROM \
                   (SELECT e.id, e.at, e.call_id FROM call_events e WHERE e.organization_id = $1 ORDER BY e.id LIMIT $3) \
                   AS oldest WHERE at < $2 AND EXISTS (SELECT 1 FROM calls c WHERE c.organization_id = $1 \
                   AND c.id = oldest.call_id AND c.ended_at IS NOT NULL))";
        self.prune_in_steps(organization, sql, before).await
    }

    /// Removes a tenant's partial texts from before `before`. Returns their number. They are of no use once the final
    /// text exists.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn partial_prune(&self, organization: OrganizationId, before: Timestamp) -> Result<u64, StoreError> {
        let sql = "DELETE FROM call_events WHERE organization_id = $1 AND id IN (SELECT id FROM call_events \
                   WHERE organization_id = $1 AND kind = 'translation.partial' AND at < $2 ORDER BY at LIMIT $3)";
        self.prune_in_steps(organization, sql, before).await
    }

    async fn prune_in_steps(
        &self,
        organization: OrganizationId,
        sql: &'static str,
        before: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let step = self.db.run(organization, sql, &[organization.into(), before.into(), STEP.into()]).await?;
            removed += step;
            if step < u64::from(STEP) {
                return Ok(removed);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Returns the parts of a tenant's recordings that ended before `before`, with their files, at most `limit`.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn recording_old(
        &self,
        organization: OrganizationId,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<(Uuid, PartId, PathBuf)>, StoreError> {
        let sql = "SELECT call_id, number, part, path FROM recordings WHERE organization_id = $1 AND started_at < $2 \
                   AND ended_at < $2 ORDER BY started_at LIMIT $3";
        let rows = self.db.rows(organization, sql, &[organization.into(), before.into(), limit.into()]).await?;
        rows.iter()
            .map(|row| Ok((row.uuid("call_id")?, recording::part_id(row)?, PathBuf::from(row.text("path")?))))
            .collect()
    }

    /// Removes the row of a part whose file is gone, and with the last part the recording's pauses. Returns `false` if
    /// there was no such part.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn recording_delete(
        &self,
        organization: OrganizationId,
        call: Uuid,
        PartId { number, part }: PartId,
    ) -> Result<bool, StoreError> {
        let sql = "DELETE FROM recordings WHERE organization_id = $1 AND call_id = $2 AND number = $3 AND part = $4";
        let values = [organization.into(), call.into(), number.into(), part.into()];
        let is_gone = self.db.run(organization, sql, &values).await? == 1;
        let sql = "DELETE FROM recording_gaps WHERE organization_id = $1 AND call_id = $2 AND number = $3 \
                   AND NOT EXISTS (SELECT 1 FROM recordings r WHERE r.organization_id = $1 AND r.call_id = $2 \
                                   AND r.number = $3)";
        self.db.run(organization, sql, &[organization.into(), call.into(), number.into()]).await?;
        Ok(is_gone)
    }
}
