//! Making organizations' first users and keys: what the command line and the demo need.

use std::borrow::Cow;

use super::password::HashError;
use super::{Passwords, Secret, token_hash};
use crate::store::{
    By, Deed, Membership, NewMember, Organization, OrganizationId, Role, Store, StoreError, User, UserId,
};

/// A user to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAccount {
    /// Name of the organization; made when absent.
    pub organization: String,
    /// Log-in name.
    pub email: String,
    /// Shown on pages.
    pub name: String,
    /// As what.
    pub role: Role,
    /// SIP user name: letters, digits, `.`, `_`, `-`.
    pub sip_name: String,
    /// A random one when absent.
    pub password: Option<String>,
}

/// Why an account or key was not made. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// A value cannot be used.
    #[error("{field}: {problem}")]
    Invalid {
        /// Which.
        field: Cow<'static, str>,
        /// What was expected.
        problem: Cow<'static, str>,
    },
    /// No such user.
    #[error("email: nobody has this e-mail address; `tandem user create` makes a user")]
    NoSuchUser,
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The password cannot be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
}

impl AccountError {
    /// A value that cannot be used.
    pub(super) fn invalid(field: impl Into<Cow<'static, str>>, problem: impl Into<Cow<'static, str>>) -> AccountError {
        AccountError::Invalid { field: field.into(), problem: problem.into() }
    }
}

/// Shortest password taken.
pub(crate) const PASSWORD_MIN: usize = 12;
/// Longest password taken: argon2 reads all of it.
pub(crate) const PASSWORD_MAX: usize = 256;

/// Makes a user, and the organization when it does not exist. The password is returned once and kept as a hash.
pub async fn account_create(
    store: &Store,
    passwords: &Passwords,
    account: NewAccount,
) -> Result<(User, Membership, Secret), AccountError> {
    check_name("org", &account.organization)?;
    check_name("name", &account.name)?;
    check_email(&account.email)?;
    check_sip_name(&account.sip_name)?;
    let password = match account.password {
        Some(password) => checked_password(password)?,
        None => Secret::password(),
    };
    let hash = passwords.hash(password.reveal()).await?;
    let (organization, _made) = organization_named(store, &account.organization).await?;
    let member = NewMember {
        email: &account.email,
        name: &account.name,
        password_hash: &hash,
        role: account.role,
        sip_name: &account.sip_name,
    };
    let (user, membership) = store.user_create(organization.id, member).await?;
    let deed = Deed::new("user.create", format!("user:{}", user.id))
        .after(serde_json::json!({"email": user.email, "role": membership.role, "sip_name": membership.sip_name}));
    store.audit_append(organization.id, &[(By::system("operator"), deed)]).await?;
    Ok((user, membership, password))
}

/// Gives a user a new random password and ends the user's sessions. Telephones are the engine's.
pub async fn password_reset(
    store: &Store,
    passwords: &Passwords,
    email: &str,
) -> Result<(UserId, Secret), AccountError> {
    let (user, _membership) = store.user_by_email(email).await?.ok_or(AccountError::NoSuchUser)?;
    let password = Secret::password();
    let hash = passwords.hash(password.reveal()).await?;
    store.user_password_change(user.id, &hash, None, &By::system("operator")).await?;
    Ok((user.id, password))
}

pub(super) async fn organization_named(store: &Store, name: &str) -> Result<(Organization, bool), StoreError> {
    if let Some(organization) = store.organization_by_name(name).await? {
        return Ok((organization, false));
    }
    match store.organization_create(name).await {
        // Somebody else made it in the meantime.
        Err(StoreError::Taken(what)) => {
            let organization = store.organization_by_name(name).await?.ok_or(StoreError::Taken(what))?;
            Ok((organization, false))
        }
        made => Ok((made?, true)),
    }
}

/// Longest name, in characters.
pub(crate) const NAME_MAX: usize = 100;
/// Longest e-mail address (RFC 5321 section 4.5.3.1.3, without its brackets), in bytes.
pub(crate) const EMAIL_MAX: usize = 254;
/// Longest SIP user name.
pub(crate) const SIP_NAME_MAX: usize = 64;
/// What [`check_sip_name`] takes, for the API's description.
pub(crate) const SIP_NAME_PATTERN: &str = "^[a-z0-9._-]+$";

pub(crate) fn check_name(field: &'static str, name: &str) -> Result<(), AccountError> {
    if name.trim() != name || name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(AccountError::invalid(field, "expected 1 to 100 characters, none of them control"));
    }
    Ok(())
}

pub(crate) fn check_email(email: &str) -> Result<(), AccountError> {
    let parts = email.split_once('@');
    let fine = parts.is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'));
    if !fine || email.len() > EMAIL_MAX || email.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(AccountError::invalid("email", "expected an address such as anna@example.com"));
    }
    Ok(())
}

pub(crate) fn check_sip_name(name: &str) -> Result<(), AccountError> {
    let fine = (1..=SIP_NAME_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b));
    if !fine {
        let problem = "expected 1 to 64 of a-z, 0-9, `.`, `_` and `-`";
        return Err(AccountError::invalid("sip_name", problem));
    }
    Ok(())
}

pub(crate) fn checked_password(password: String) -> Result<Secret, AccountError> {
    if !(PASSWORD_MIN..=PASSWORD_MAX).contains(&password.len()) {
        return Err(AccountError::invalid("password", "expected 12 to 256 bytes"));
    }
    Ok(Secret::typed(password))
}

/// A SIP name for somebody new: the wanted one, else one made from the e-mail address that is free for `organization`; an
/// organization that is yet to be made has none reserved.
pub(crate) async fn free_sip_name(
    store: &Store,
    organization: Option<OrganizationId>,
    wanted: Option<String>,
    email: &str,
) -> Result<String, AccountError> {
    if let Some(name) = wanted {
        check_sip_name(&name)?;
        return Ok(name);
    }
    let fit = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(*c);
    let local = email.split('@').next().unwrap_or_default().to_lowercase();
    let base: String = local.chars().filter(fit).take(48).collect();
    let base = if base.is_empty() { "agent".to_owned() } else { base };
    let reserved = store.sip_name_organization(&base).await?;
    let is_ours = reserved.is_none() || reserved == organization;
    if is_ours && store.membership_organization(&base).await?.is_none() {
        return Ok(base);
    }
    // A random tail does not say how many of a name there are.
    let tail = token_hash(Secret::random("").reveal());
    Ok(format!("{base}-{}", &tail[..8]))
}
