//! What a listener may hear who sees only calls that they are or were in: what happens while they are in them (`store::Sight`).
//!
//! Events tell in their order who joins and leaves, so what is known of a call is right until one of the listener's own passes.

use std::collections::HashMap;

use serde_json::Value;
use uuid::Uuid;

use super::bus::Passing;
use crate::store::{OrganizationId, Sight, Store, StoreError, StoredEvent};

/// Calls remembered at most; asked again beyond.
const KNOWN_MAX: usize = 1_024;

/// One listener's calls.
pub struct OwnCalls {
    store: Store,
    organization: OrganizationId,
    agent: Option<String>,
    /// What was learned since the listener last joined or left the call; `None`: it is none of theirs.
    known: HashMap<Uuid, Option<Sight>>,
}

impl OwnCalls {
    /// Those of the agent with this SIP name; of nobody: none.
    pub fn new(store: Store, organization: OrganizationId, agent: Option<String>) -> OwnCalls {
        OwnCalls { store, organization, agent, known: HashMap::new() }
    }

    /// What the listener may see of a call.
    async fn sight(&mut self, call: Uuid) -> Result<Option<&Sight>, StoreError> {
        let Some(agent) = &self.agent else { return Ok(None) };
        if !self.known.contains_key(&call) {
            let stays = self.store.stay_list_of(self.organization, agent, &[call]).await?;
            if self.known.len() == KNOWN_MAX {
                self.known.clear();
            }
            self.known.insert(call, stays.get(&call).and_then(|stays| Sight::of(stays)));
        }
        Ok(self.known.get(&call).and_then(Option::as_ref))
    }

    /// Whether an event is theirs to hear.
    pub(crate) async fn hears_event(&mut self, event: &StoredEvent) -> Result<bool, StoreError> {
        let body = || -> Value { serde_json::from_str(&event.body).unwrap_or_default() };
        // Whoever else joins or leaves changes nothing for this listener.
        if event.is_of_people() && body()["agent"].as_str() == self.agent.as_deref() {
            self.known.remove(&event.call);
        }
        let sight = self.sight(event.call).await?;
        Ok(sight.is_some_and(|sight| sight.shows(&event.kind, event.at, body)))
    }

    /// Whether they have left a call, or never were in it.
    pub(super) async fn has_left(&mut self, call: Uuid) -> Result<bool, StoreError> {
        Ok(!self.sight(call).await?.is_some_and(Sight::is_present))
    }

    /// Whether what is told and not kept concerns them: providers concern everybody.
    pub(super) async fn hears(&mut self, passing: &Passing) -> Result<bool, StoreError> {
        match passing {
            Passing::Provider(_) => Ok(true),
            Passing::Registration { agent, .. } => Ok(self.agent.as_ref() == Some(agent)),
            Passing::LegReport(report) => Ok(!self.has_left(report.call).await?),
        }
    }
}
