//! What a listener may hear who sees own calls only: those in whose row they are the agent.

use std::collections::HashMap;

use uuid::Uuid;

use super::bus::Passing;
use crate::store::{OrganizationId, Store, StoreError};

/// Calls remembered at most; asked again beyond.
const KNOWN_MAX: usize = 1_024;

/// One listener's calls. A call's agent never changes, so what was learned once holds.
pub struct OwnCalls {
    store: Store,
    organization: OrganizationId,
    agent: Option<String>,
    known: HashMap<Uuid, bool>,
}

impl OwnCalls {
    /// Those of the agent with this SIP name; of nobody: none.
    pub fn new(store: Store, organization: OrganizationId, agent: Option<String>) -> OwnCalls {
        OwnCalls { store, organization, agent, known: HashMap::new() }
    }

    /// Whether this call is one of them.
    pub(super) async fn has(&mut self, call: Uuid) -> Result<bool, StoreError> {
        if let Some(own) = self.known.get(&call) {
            return Ok(*own);
        }
        let Some(agent) = &self.agent else { return Ok(false) };
        let shown = self.store.call_show(self.organization, call).await?;
        let own = shown.is_some_and(|shown| shown.agent.as_ref() == Some(agent));
        if self.known.len() == KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(call, own);
        Ok(own)
    }

    /// Whether what is told and not kept concerns them: providers concern everybody.
    pub(super) async fn hears(&mut self, passing: &Passing) -> Result<bool, StoreError> {
        match passing {
            Passing::Provider(_) => Ok(true),
            Passing::Registration { agent, .. } => Ok(self.agent.as_ref() == Some(agent)),
            Passing::LegReport(report) => self.has(report.call).await,
        }
    }
}
