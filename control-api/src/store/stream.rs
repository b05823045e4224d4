//! The event stream: what happened after a given event.

use std::sync::Arc;

use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use super::{OrganizationId, Store, StoreError, uuid_column};

/// Prefix of the kinds that carry words.
const TRANSLATION: &str = "translation.";

/// One event as it is kept and sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Grows by commit: what SSE calls the event's id.
    pub id: i64,
    /// Whose.
    pub organization: OrganizationId,
    /// The call.
    pub call: Uuid,
    /// Such as `call.status` or `translation.final`.
    pub kind: Arc<str>,
    /// JSON text, ready to be sent.
    pub body: Arc<str>,
}

/// Which events a reader wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamFilter {
    /// Every call of the tenant; with or without words.
    Organization {
        /// Whose.
        organization: OrganizationId,
        /// Whether words are wanted too.
        translations: bool,
    },
    /// The words of one call.
    Translations {
        /// Whose.
        organization: OrganizationId,
        /// The call.
        call: Uuid,
    },
}

impl StreamFilter {
    /// Whether the event is wanted.
    pub fn matches(&self, event: &StoredEvent) -> bool {
        match self {
            StreamFilter::Organization { organization, translations } => {
                event.organization == *organization && (*translations || !event.kind.starts_with(TRANSLATION))
            }
            StreamFilter::Translations { organization, call } => {
                event.organization == *organization && event.call == *call && event.kind.starts_with(TRANSLATION)
            }
        }
    }
}

fn stored_event(row: &SqliteRow) -> Result<StoredEvent, StoreError> {
    Ok(StoredEvent {
        id: row.try_get("id")?,
        organization: OrganizationId(uuid_column(row, "organization_id")?),
        call: uuid_column(row, "call_id")?,
        kind: row.try_get::<&str, _>("kind")?.into(),
        body: row.try_get::<&str, _>("body")?.into(),
    })
}

impl Store {
    /// Up to `limit` wanted events after `after`, in order.
    pub async fn stream_after(
        &self,
        filter: &StreamFilter,
        after: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let (condition, organization, call) = match filter {
            StreamFilter::Organization { organization, translations: true } => ("", organization, None),
            StreamFilter::Organization { organization, translations: false } => {
                ("AND kind NOT GLOB 'translation.*'", organization, None)
            }
            StreamFilter::Translations { organization, call } => {
                ("AND call_id = ? AND kind GLOB 'translation.*'", organization, Some(call))
            }
        };
        // Only the constants above enter the text; values are bound.
        let sql = format!(
            "SELECT id, organization_id, call_id, kind, body FROM call_events \
             WHERE organization_id = ? AND id > ? {condition} ORDER BY id LIMIT ?"
        );
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(organization.to_string()).bind(after);
        if let Some(call) = call {
            query = query.bind(call.to_string());
        }
        query.bind(limit).fetch_all(&self.readers).await?.iter().map(stored_event).collect()
    }

    /// The last event of all tenants, 0 when there is none.
    pub async fn stream_latest(&self) -> Result<i64, StoreError> {
        let row =
            sqlx::query("SELECT COALESCE(MAX(id), 0) AS latest FROM call_events").fetch_one(&self.readers).await?;
        Ok(row.try_get("latest")?)
    }
}

#[cfg(test)]
impl Store {
    /// What must not succeed: rewriting history.
    pub(crate) async fn tamper_for_test(&self) -> Result<(), StoreError> {
        sqlx::query("UPDATE call_events SET kind = 'other'").execute(&self.writer).await?;
        Ok(())
    }
}
