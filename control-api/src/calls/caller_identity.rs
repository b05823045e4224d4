//! Caller ID of calls, according to the organization's rules.
//!
//! Invariant: a number is shown only by the organization that has proven it, and the name of an agent is never shown.

use crate::config::Config;
use crate::config::dialled_number;
use crate::store::{OrganizationId, Store, StoreError};

/// Returns the number of the first rule that matches this agent and destination. `None` means the trunk's own number, or none.
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

/// Returns whether this agent may show a number to this destination: it must be proven, and allowed by a rule if there are rules.
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

/// Returns a destination in the form used by rules: `+` and digits, in whatever form it is written.
pub(crate) fn destination(config: &Config, to: &str) -> String {
    dialled_number(config, to).unwrap_or_else(|| to.to_owned())
}
