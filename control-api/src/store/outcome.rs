//! How calls turned out: the latest word and all that were given before.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{OrganizationId, Store, StoreError, now};

/// One outcome that a call was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Outcome {
    /// A word of the organization's own.
    #[schema(example = "callback")]
    pub outcome: String,
    /// What there was to say about it.
    pub note: Option<String>,
    /// Who: a user's or a key's name.
    pub set_by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

impl Store {
    /// Every outcome that a tenant's call was given, the first one first.
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

    /// Gives a tenant's call an outcome; `false`: there is no such call.
    pub async fn outcome_put(
        &self,
        organization: OrganizationId,
        call: Uuid,
        outcome: &str,
        note: Option<&str>,
        set_by: &str,
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
            set_by.into(),
            now().into(),
        ];
        tx.run(sql, &values).await?;
        tx.commit().await?;
        Ok(true)
    }
}
