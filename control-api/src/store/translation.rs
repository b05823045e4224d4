//! The latest state of each segment of a call. Its history is the event stream's.

use serde_json::Value;
use uuid::Uuid;

use super::{OrganizationId, Store, StoreError, json_column};

impl Store {
    /// The latest state of every segment of a tenant's call, in the order of segments, as the API shows them.
    pub async fn translation_list(&self, organization: OrganizationId, call: Uuid) -> Result<Vec<Value>, StoreError> {
        let rows =
            sqlx::query("SELECT body FROM translations WHERE organization_id = ? AND call_id = ? ORDER BY segment")
                .bind(organization.to_string())
                .bind(call.to_string())
                .fetch_all(&self.readers)
                .await?;
        rows.iter().map(|row| json_column(row, "body")).collect()
    }
}
