//! The event stream: what happened after a given event.

use std::sync::Arc;

use jiff::Timestamp;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::db::Row;
use super::{OrganizationId, Store, StoreError};

/// Prefix of the kinds that carry words.
const TRANSLATION: &str = "translation.";
/// The kinds that tell who is in a call.
const PEOPLE: [&str; 2] = ["call.joined", "call.left"];

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
    /// When it happened.
    pub at: Timestamp,
    /// JSON text, ready to be sent.
    pub body: Arc<str>,
}

impl StoredEvent {
    /// Whether somebody joined or left the call by it.
    pub fn is_of_people(&self) -> bool {
        PEOPLE.contains(&&*self.kind)
    }
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
        /// Also who joins and leaves it, for a listener who hears what is said while they are in it.
        people: bool,
    },
}

impl StreamFilter {
    /// Whether the event is wanted.
    pub fn matches(&self, event: &StoredEvent) -> bool {
        match self {
            StreamFilter::Organization { organization, translations } => {
                event.organization == *organization && (*translations || !event.kind.starts_with(TRANSLATION))
            }
            StreamFilter::Translations { organization, call, people } => {
                let wanted = event.kind.starts_with(TRANSLATION) || (*people && event.is_of_people());
                event.organization == *organization && event.call == *call && wanted
            }
        }
    }
}

fn stored_event(row: &Row) -> Result<StoredEvent, StoreError> {
    Ok(StoredEvent {
        id: row.int("id")?,
        organization: OrganizationId(row.uuid("organization_id")?),
        call: row.uuid("call_id")?,
        kind: row.text("kind")?.into(),
        at: row.time("at")?,
        body: row.text("body")?.into(),
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
        let (condition, organization, call) = match *filter {
            StreamFilter::Organization { organization, translations: true } => ("", organization, None),
            StreamFilter::Organization { organization, translations: false } => {
                ("AND kind NOT LIKE 'translation.%'", organization, None)
            }
            StreamFilter::Translations { organization, call, people: false } => {
                ("AND call_id = $4 AND kind LIKE 'translation.%'", organization, Some(call))
            }
            StreamFilter::Translations { organization, call, people: true } => {
                let kinds = "AND call_id = $4 AND (kind LIKE 'translation.%' OR kind IN ('call.joined', 'call.left'))";
                (kinds, organization, Some(call))
            }
        };
        let mut values = vec![organization.into(), after.into(), limit.into()];
        values.extend(call.map(Into::into));
        // Only the constants above enter the text; values are bound.
        let sql = format!(
            "SELECT id, organization_id, call_id, kind, at, body FROM call_events \
             WHERE organization_id = $1 AND id > $2 {condition} ORDER BY id LIMIT $3"
        );
        self.db.rows(organization, AssertSqlSafe(sql), &values).await?.iter().map(stored_event).collect()
    }

    /// The last event of all tenants, 0 when there is none.
    pub async fn stream_latest(&self) -> Result<i64, StoreError> {
        let sql = self.db.pick(
            "SELECT COALESCE(MAX(id), 0) AS latest FROM call_events",
            "SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS latest FROM call_events_id_seq",
        );
        self.db.rows_outside(sql, &[]).await?.first().map_or(Ok(0), |row| row.int("latest"))
    }
}

#[cfg(test)]
impl Store {
    /// What must not succeed: rewriting history.
    pub(crate) async fn tamper_for_test(&self, organization: OrganizationId) -> Result<(), StoreError> {
        self.db.run(organization, "UPDATE call_events SET kind = 'other'", &[]).await?;
        Ok(())
    }
}
