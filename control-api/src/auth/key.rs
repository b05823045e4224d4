//! API keys to be made: what they may do and until when, the same for API and command line.

use std::time::Duration;

use jiff::Timestamp;

use super::account::{AccountError, check_name, organization_named};
use super::token::{KEY_PREFIX, Secret};
use crate::rbac::{self, Action};
use crate::store::{By, NewKey, Organization, Role, Store, now};

/// Longest life of a key that ends, in days.
pub(crate) const KEY_DAYS_MAX: u32 = 3_650;

/// What a key may do, and until when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyTerms {
    /// Permissions such as `calls.read`; nothing: all that a key may.
    pub scopes: Option<Vec<String>>,
    /// In how many days it ends; nothing: never.
    pub expires_in_days: Option<u32>,
}

impl KeyTerms {
    /// The words of its scopes, each once, if an admin may all of them and `may` lets its maker give them.
    pub(crate) fn granted(&self, may: impl Fn(Action) -> bool) -> Result<Option<Vec<&'static str>>, AccountError> {
        let Some(asked) = &self.scopes else { return Ok(None) };
        if asked.is_empty() {
            let expected = "expected at least one permission; GET /api/rbac/permissions lists them";
            return Err(AccountError::invalid("scopes", expected));
        }
        let mut scopes = Vec::new();
        for (n, word) in asked.iter().enumerate() {
            let refused = |problem: &'static str| AccountError::invalid(format!("scopes[{n}]"), problem);
            let action = Action::from_word(word).ok_or_else(|| {
                refused("there is no such permission; GET /api/rbac/permissions and docs/permissions.md list them")
            })?;
            if !key_may(action) || !may(action) {
                return Err(refused("a key never may more than an admin, nor more than whoever makes it"));
            }
            if !scopes.contains(&action.as_str()) {
                scopes.push(action.as_str());
            }
        }
        Ok(Some(scopes))
    }

    /// When it ends.
    pub(crate) fn expires_at(&self) -> Result<Option<Timestamp>, AccountError> {
        match self.expires_in_days {
            None => Ok(None),
            Some(days @ 1..=KEY_DAYS_MAX) => Ok(Some(now() + Duration::from_secs(u64::from(days) * 86_400))),
            Some(_) => Err(AccountError::invalid("expires_in_days", format!("expected 1 to {KEY_DAYS_MAX}"))),
        }
    }
}

/// Whether any key may do this.
fn key_may(action: Action) -> bool {
    rbac::actions(Role::Admin).contains(&action)
}

/// Makes an API key, and the organization when it does not exist (`true`). The key is returned once.
pub async fn api_key_create(
    store: &Store,
    organization: &str,
    name: &str,
    terms: &KeyTerms,
) -> Result<(Organization, bool, Secret), AccountError> {
    check_name("org", organization)?;
    check_name("name", name)?;
    let (scopes, expires_at) = (terms.granted(|_| true)?, terms.expires_at()?);
    let (organization, made) = organization_named(store, organization).await?;
    let key = Secret::random(KEY_PREFIX);
    let new = NewKey { name, prefix: key.prefix(), key_hash: &key.hash(), scopes, expires_at, created_by: None };
    store.api_key_create(organization.id, new, &By::system("operator")).await?;
    Ok((organization, made, key))
}
