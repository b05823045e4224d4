//! Events for a listener who may see only their own calls: those that happen while the listener is in the call (`store::Sight`).
//!
//! Events report in order who joins and leaves, so what is cached about a call is valid until an event reports that the listener
//! joined or left.

use std::collections::HashMap;

use serde_json::Value;
use uuid::Uuid;

use super::bus::Passing;
use crate::store::{OrganizationId, Sight, Store, StoreError, StoredEvent, now};

/// Largest number of cached calls. Beyond that the cache is emptied.
const KNOWN_MAX: usize = 1_024;

/// Calls of one listener.
pub struct OwnCalls {
    store: Store,
    organization: OrganizationId,
    agent: Option<String>,
    /// Cached since the listener last joined or left the call; `None` if the listener has no part in it.
    known: HashMap<Uuid, Option<Sight>>,
}

impl OwnCalls {
    /// Creates the filter for the agent with this SIP name. Without an agent no call is visible.
    pub fn new(store: Store, organization: OrganizationId, agent: Option<String>) -> OwnCalls {
        OwnCalls { store, organization, agent, known: HashMap::new() }
    }

    /// Returns the part of a call that the listener may see.
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

    /// Returns whether the listener may receive an event.
    pub(crate) async fn hears_event(&mut self, event: &StoredEvent) -> Result<bool, StoreError> {
        let body = || -> Value { serde_json::from_str(&event.body).unwrap_or_default() };
        // Only events about this listener change what the listener may see.
        if event.is_of_people() && body()["agent"].as_str() == self.agent.as_deref() {
            self.known.remove(&event.call);
        }
        let sight = self.sight(event.call).await?;
        Ok(sight.is_some_and(|sight| sight.shows(&event.kind, event.at, body)))
    }

    /// Returns whether the listener has left a call or never was in it.
    pub(super) async fn has_left(&mut self, call: Uuid) -> Result<bool, StoreError> {
        Ok(!self.sight(call).await?.is_some_and(Sight::is_present))
    }

    /// Returns whether the listener may receive a transient state. States of providers go to all listeners.
    pub(super) async fn hears(&mut self, passing: &Passing) -> Result<bool, StoreError> {
        match passing {
            Passing::Provider(_) => Ok(true),
            Passing::Registration { agent, .. } => Ok(self.agent.as_ref() == Some(agent)),
            Passing::LegReport(report) => {
                let body = || -> Value { serde_json::from_str(&report.body).unwrap_or_default() };
                let sight = self.sight(report.call).await?;
                Ok(sight.is_some_and(|sight| sight.is_present() && sight.shows(report.kind, now(), body)))
            }
        }
    }
}
