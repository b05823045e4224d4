//! Creating API keys: scopes and expiry, the same for the API and the command line.

use std::time::Duration;

use jiff::Timestamp;

use super::account::{AccountError, check_name, organization_named};
use super::token::{KEY_PREFIX, Secret};
use crate::store::{By, NewKey, Organization, Role, Store, now};
use crate::tenant::rbac::{self, Action};

/// Longest life of a key with an expiry, in days.
pub(crate) const KEY_DAYS_MAX: u32 = 3_650;

/// Scopes and expiry of a key to create.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyTerms {
    /// Permissions such as `calls.read`; `None` grants everything a key may do.
    pub scopes: Option<Vec<String>>,
    /// Days until the key expires; `None` means never.
    pub expires_in_days: Option<u32>,
}

impl KeyTerms {
    /// Returns the names of the scopes without duplicates. Every scope must be allowed for an admin, and `may` must allow its
    /// creator to grant it.
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
                refused("unknown permission; GET /api/rbac/permissions and docs/permissions.md list all permissions")
            })?;
            if !key_may(action) || !may(action) {
                return Err(refused("a key cannot have more permissions than an admin or than its creator"));
            }
            if !scopes.contains(&action.as_str()) {
                scopes.push(action.as_str());
            }
        }
        Ok(Some(scopes))
    }

    /// Returns the time of expiry, or `None` if the key never expires.
    pub(crate) fn expires_at(&self) -> Result<Option<Timestamp>, AccountError> {
        match self.expires_in_days {
            None => Ok(None),
            Some(days @ 1..=KEY_DAYS_MAX) => Ok(Some(now() + Duration::from_secs(u64::from(days) * 86_400))),
            Some(_) => Err(AccountError::invalid("expires_in_days", format!("expected 1 to {KEY_DAYS_MAX}"))),
        }
    }
}

/// Returns whether a key can have this permission.
fn key_may(action: Action) -> bool {
    rbac::actions(Role::Admin).contains(&action)
}

/// Creates an API key, and the organization if it does not exist (`true` in the result). The key is returned only here.
///
/// # Errors
///
/// Fails if a name, a scope or the expiry cannot be used, or if the store fails. The text says what to change.
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
