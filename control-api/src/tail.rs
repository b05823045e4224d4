//! Events of a call as lines for a terminal: words, states, and whether sound flows.
//!
//! ```text
//! events of the store ─┐
//! flow of its legs ────┴▶ Tail::read ─▶ lines, the oldest first ─▶ `tandem tail CALL`
//! ```
//!
//! Events are read from the store and not from the running server, so a call of yesterday is shown in the same way. Not here: SIP
//! messages (`trace`).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::store::{LegFlow, OrganizationId, Store, StoreError};

/// Most events of one look.
const EVENTS: u32 = 500;
/// Fields of an event that every line has already.
const COMMON: [&str; 4] = ["type", "call_id", "at", "seq"];

/// New events of a call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tail {
    /// Owning organization, which makes the next look cheaper.
    pub organization: OrganizationId,
    /// Id of the latest event that was read.
    pub latest: i64,
    /// Lines to print, the oldest first.
    pub lines: Vec<String>,
    /// Each leg with the state of its sound, in words.
    pub flows: Vec<(u64, String)>,
    /// Whether more may come.
    pub running: bool,
}

impl Tail {
    /// Reads what comes after the event `after`. `None`: there is no such call.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub(crate) async fn read(
        store: &Store,
        (organization, call): (Option<OrganizationId>, Uuid),
        after: i64,
    ) -> Result<Option<Tail>, StoreError> {
        let organizations = match organization {
            Some(organization) => vec![organization],
            None => store.organization_list().await?,
        };
        for organization in organizations {
            // The state first: events that are written after it are read in any case.
            let Some(shown) = store.call_show(organization, call).await? else { continue };
            let events = store.call_event_after(organization, call, after, EVENTS).await?;
            let is_full = events.len() == EVENTS as usize;
            let latest = events.last().map_or(after, |event| event.id);
            let lines = events.iter().map(|event| line(event.at, &event.kind, &event.body)).collect();
            let legs = store.leg_list(organization, call).await?;
            let flows = legs.iter().filter_map(|leg| Some((leg.leg, words(leg.flow.as_ref()?)))).collect();
            let running = is_full || !matches!(shown.status.as_str(), "ended" | "failed");
            return Ok(Some(Tail { organization, latest, lines, flows, running }));
        }
        Ok(None)
    }
}

/// A line for one event: its time (UTC), its name and its fields.
fn line(at: Timestamp, kind: &str, body: &str) -> String {
    let mut text = format!("{} {kind}", at.strftime("%H:%M:%S%.3f"));
    if let Ok(Value::Object(fields)) = serde_json::from_str(body) {
        for (key, value) in fields.iter().filter(|(key, value)| !COMMON.contains(&key.as_str()) && !value.is_null()) {
            text += &format!(" {key}={value}");
        }
    }
    text
}

/// The state of a leg's sound in both directions.
fn words(flow: &LegFlow) -> String {
    format!("in {}, out {}", flow.incoming.state, flow.outgoing.state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_time_the_name_and_the_fields_of_an_event() {
        let at: Timestamp = "2026-01-02T03:04:05.678Z".parse().unwrap();
        let body = r#"{"type":"translation.final","call_id":"x","segment":3,"text":"good morning","translation":null}"#;
        assert_eq!(
            line(at, "translation.final", body),
            "03:04:05.678 translation.final segment=3 text=\"good morning\""
        );
        assert_eq!(line(at, "call.status", "no JSON"), "03:04:05.678 call.status");
    }
}
