//! The event stream: stored events after a given event.

use std::sync::Arc;

use jiff::Timestamp;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::db::Row;
use super::{LegReport, OrganizationId, Store, StoreError};

/// Prefix of the kinds of event that carry words.
const TRANSLATION: &str = "translation.";
/// Kinds of event that report who is in a call.
const PEOPLE: [&str; 2] = ["call.joined", "call.left"];

/// An event as it is stored and sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Identity, which grows from commit to commit; the event id of SSE.
    pub id: i64,
    /// Organization that the call belongs to.
    pub organization: OrganizationId,
    /// Call that the event is about.
    pub call: Uuid,
    /// Name of the event, such as `call.status` or `translation.final`.
    pub kind: Arc<str>,
    /// Time of the event.
    pub at: Timestamp,
    /// JSON text of the event, ready to be sent.
    pub body: Arc<str>,
}

impl StoredEvent {
    /// Returns whether the event reports that a person joined or left the call.
    pub fn is_of_people(&self) -> bool {
        PEOPLE.contains(&&*self.kind)
    }
}

/// Selects the events that a reader wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamFilter {
    /// Events of every call of a tenant.
    Organization {
        /// Organization of the calls.
        organization: OrganizationId,
        /// Whether events with words are included.
        translations: bool,
    },
    /// Events with the words of one call.
    Translations {
        /// Organization of the call.
        organization: OrganizationId,
        /// Call whose words are wanted.
        call: Uuid,
        /// Whether to include the events of joining and leaving, for a listener who may read words only while in the
        /// call.
        people: bool,
    },
}

impl StreamFilter {
    /// Returns whether the filter selects the event.
    pub fn matches(&self, event: &StoredEvent) -> bool {
        self.selects(event.organization, event.call, &event.kind)
    }

    /// Returns whether the filter selects the report.
    pub(crate) fn passes(&self, report: &LegReport) -> bool {
        self.selects(report.organization, report.call, report.kind)
    }

    fn selects(&self, of: OrganizationId, about: Uuid, kind: &str) -> bool {
        let is_words = kind.starts_with(TRANSLATION);
        match self {
            StreamFilter::Organization { organization, translations } => {
                of == *organization && (*translations || !is_words)
            }
            StreamFilter::Translations { organization, call, people } => {
                of == *organization && about == *call && (is_words || (*people && PEOPLE.contains(&kind)))
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
    /// Returns up to `limit` selected events with ids above `after`, in order.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
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
        // The text contains only the constants above; values are bound.
        let sql = format!(
            "SELECT id, organization_id, call_id, kind, at, body FROM call_events \
             WHERE organization_id = $1 AND id > $2 {condition} ORDER BY id LIMIT $3"
        );
        self.db.rows(organization, AssertSqlSafe(sql), &values).await?.iter().map(stored_event).collect()
    }

    /// Returns up to `limit` events of a tenant's call with ids above `after`, in order, words included.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn call_event_after(
        &self,
        organization: OrganizationId,
        call: Uuid,
        after: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let sql = "SELECT id, organization_id, call_id, kind, at, body FROM call_events \
                   WHERE organization_id = $1 AND call_id = $4 AND id > $2 ORDER BY id LIMIT $3";
        let values = [organization.into(), after.into(), limit.into(), call.into()];
        self.db.rows(organization, sql, &values).await?.iter().map(stored_event).collect()
    }

    /// Returns the id of the latest event of all tenants, 0 if there is none.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
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
    /// Tries to change stored events, which must fail.
    pub(crate) async fn tamper_for_test(&self, organization: OrganizationId) -> Result<(), StoreError> {
        self.db.run(organization, "UPDATE call_events SET kind = 'other'", &[]).await?;
        Ok(())
    }
}
