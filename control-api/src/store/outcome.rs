//! Outcomes of calls: the latest one and all that were set before.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit_log::{self, By, Deed};
use super::{OrganizationId, Store, StoreError, now};

/// One outcome that was set for a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Outcome {
    /// The outcome in the organization's own word.
    #[schema(example = "callback")]
    pub outcome: String,
    /// Remark on the outcome, if any.
    pub note: Option<String>,
    /// Name of the user or API key that set it.
    pub set_by: String,
    /// Time at which it was set.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

impl Store {
    /// Returns every outcome of a tenant's call, the earliest first.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn outcome_list(&self, organization: OrganizationId, call: Uuid) -> Result<Vec<Outcome>, StoreError> {
        let sql = "SELECT outcome, note, set_by, at FROM call_outcomes WHERE organization_id = $1 AND call_id = $2 \
                   ORDER BY at, id";
        let rows = self.db.rows(organization, sql, &[organization.into(), call.into()]).await?;
        rows.iter()
            .map(|row| {
                Ok(Outcome {
                    outcome: row.text("outcome")?,
                    note: row.text_opt("note")?,
                    set_by: row.text("set_by")?,
                    at: row.time("at")?,
                })
            })
            .collect()
    }

    /// Sets the outcome of a tenant's call, with its row in the audit log, where `before` is the one so far.
    /// Returns `false` if there is no such call.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn outcome_put(
        &self,
        organization: OrganizationId,
        call: Uuid,
        outcome: &str,
        note: Option<&str>,
        before: Option<String>,
        by: &By,
    ) -> Result<bool, StoreError> {
        let mut tx = self.db.write(organization).await?;
        let sql = "UPDATE calls SET outcome = $3 WHERE organization_id = $1 AND id = $2";
        if tx.run(sql, &[organization.into(), call.into(), outcome.into()]).await? == 0 {
            return Ok(false);
        }
        let sql = "INSERT INTO call_outcomes (id, organization_id, call_id, outcome, note, set_by, at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let values = [
            Uuid::now_v7().into(),
            organization.into(),
            call.into(),
            outcome.into(),
            note.into(),
            by.name.as_str().into(),
            now().into(),
        ];
        tx.run(sql, &values).await?;
        let deed = Deed::new("call.outcome", format!("call:{call}")).before(before).after(outcome);
        audit_log::append(&mut tx, organization, by, &deed).await?;
        tx.commit().await?;
        Ok(true)
    }
}
