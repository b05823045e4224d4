//! The identity that a call shows outside, by an organization's rules.
//!
//! Invariant: a number is shown only by the organization that has proven it; an agent's name is never shown.

use crate::config::Config;
use crate::engine;
use crate::store::{OrganizationId, Store, StoreError};

/// The number of the first rule that fits this agent and destination; `None`: the trunk's own number, or none.
pub(crate) async fn of_call(
    store: &Store,
    config: &Config,
    organization: OrganizationId,
    agent: Option<&str>,
    to: &str,
) -> Result<Option<String>, StoreError> {
    let to = destination(config, to);
    for rule in store.caller_id_rule_list(organization).await?.into_iter().filter(|rule| rule.fits(agent, &to)) {
        if store.caller_id_proven(organization, &rule.number).await? {
            return Ok(Some(rule.number));
        }
    }
    Ok(None)
}

/// Whether a number may be shown by this agent to this destination: it is proven, and a rule allows it where there are rules.
pub(crate) async fn may_show(
    store: &Store,
    config: &Config,
    organization: OrganizationId,
    (agent, from): (Option<&str>, &str),
    to: &str,
) -> Result<bool, StoreError> {
    if !store.caller_id_proven(organization, from).await? {
        return Ok(false);
    }
    let rules = store.caller_id_rule_list(organization).await?;
    let to = destination(config, to);
    Ok(rules.is_empty() || rules.iter().any(|rule| rule.number == from && rule.fits(agent, &to)))
}

/// A destination as rules name it: `+` and digits, however it is written.
pub(crate) fn destination(config: &Config, to: &str) -> String {
    engine::dialled_number(config, to).unwrap_or_else(|| to.to_owned())
}
