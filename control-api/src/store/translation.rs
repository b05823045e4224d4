//! The latest state of each segment of a call. The event stream holds its history.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{OrganizationId, Store, StoreError};
use crate::engine::TranslationEvent;

impl Store {
    /// Returns the latest state of every segment of a tenant's call, in the order of segments, as the API shows them.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn translation_list(&self, organization: OrganizationId, call: Uuid) -> Result<Vec<Value>, StoreError> {
        let sql = "SELECT body FROM translations WHERE organization_id = $1 AND call_id = $2 ORDER BY segment";
        let rows = self.db.rows(organization, sql, &[organization.into(), call.into()]).await?;
        rows.iter().map(|row| row.json("body")).collect()
    }
}

/// Returns the times at which a segment's speech began and ended, from an event that came at `at`.
pub(super) fn speech_times(event: &TranslationEvent, at: Timestamp) -> (Option<Timestamp>, Option<Timestamp>) {
    let time = |ago: Option<u64>| {
        let ago = SignedDuration::from_millis(i64::try_from(ago?).ok()?);
        at.checked_sub(ago).ok()
    };
    (time(event.began_ms_ago), time(event.ended_ms_ago))
}

/// Returns a segment as the API shows it: with absolute times in place of ages.
pub(super) fn body(
    call: Uuid,
    event: &TranslationEvent,
    (began_at, ended_at): (Option<Timestamp>, Option<Timestamp>),
) -> Value {
    let mut body = json!(event);
    body["call_id"] = json!(call);
    if let Some(fields) = body.as_object_mut() {
        fields.remove("began_ms_ago");
        fields.remove("ended_ms_ago");
    }
    for (name, time) in [("began_at", began_at), ("ended_at", ended_at)] {
        if let Some(time) = time {
            body[name] = json!(time);
        }
    }
    body
}
