//! The latest state of each segment of a call. Its history is the event stream's.

use serde_json::Value;
use uuid::Uuid;

use super::{OrganizationId, Store, StoreError};

impl Store {
    /// The latest state of every segment of a tenant's call, in the order of segments, as the API shows them.
    pub async fn translation_list(&self, organization: OrganizationId, call: Uuid) -> Result<Vec<Value>, StoreError> {
        let sql = "SELECT body FROM translations WHERE organization_id = $1 AND call_id = $2 ORDER BY segment";
        let rows = self.db.rows(organization, sql, &[organization.into(), call.into()]).await?;
        rows.iter().map(|row| row.json("body")).collect()
    }
}
