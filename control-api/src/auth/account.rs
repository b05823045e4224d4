//! Creating users and organizations, for the command line and the demo; and checks of account fields, shared with the API.

use std::borrow::Cow;

use crate::http::problem::Problem;

use super::password::HashError;
use super::{Passwords, Secret, token_hash};
use crate::store::{
    By, Deed, Membership, NewMember, Organization, OrganizationId, Role, Store, StoreError, User, UserId,
};

/// User to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAccount {
    /// Name of the organization. It is created if it does not exist.
    pub organization: String,
    /// E-mail address, with which the user logs in.
    pub email: String,
    /// Display name, 1 to 100 characters.
    pub name: String,
    /// Role that is granted.
    pub role: Role,
    /// SIP user name, 1 to 64 of `a-z`, `0-9`, `.`, `_` and `-`.
    pub sip_name: String,
    /// Password of 12 to 256 bytes. Without it a random one is generated.
    pub password: Option<String>,
}

/// Reason why an account or key was not created. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// A value cannot be used.
    #[error("{field}: {problem}")]
    Invalid {
        /// Name of the field.
        field: Cow<'static, str>,
        /// Values that were expected.
        problem: Cow<'static, str>,
    },
    /// No user has this e-mail address.
    #[error("email: no user has this e-mail address; `tandem user create` creates a user")]
    NoSuchUser,
    /// The store refused the change or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The password could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
}

impl AccountError {
    /// Creates an error about the value of `field`.
    pub(super) fn invalid(field: impl Into<Cow<'static, str>>, problem: impl Into<Cow<'static, str>>) -> AccountError {
        AccountError::Invalid { field: field.into(), problem: problem.into() }
    }
}

/// Length of the shortest password, in bytes.
pub(crate) const PASSWORD_MIN: usize = 12;
/// Length of the longest password, in bytes. argon2 reads all of it.
pub(crate) const PASSWORD_MAX: usize = 256;

/// Creates a user, and the organization if it does not exist. Returns the password, which is stored only as a hash.
///
/// # Errors
///
/// Fails if a field of the account cannot be used, if the e-mail address or SIP name is taken, or if the store fails. The text
/// says what to change.
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

/// Gives a user a new random password and ends the user's sessions. The caller must end the registrations of the user's phones.
///
/// # Errors
///
/// Fails if no user has this address ([`AccountError::NoSuchUser`]), or if hashing or the store fails.
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
        // Another process created it in the meantime.
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
/// Longest SIP user name, in bytes.
pub(crate) const SIP_NAME_MAX: usize = 64;
/// Pattern of names that [`check_sip_name`] accepts, for the API's description.
pub(crate) const SIP_NAME_PATTERN: &str = "^[a-z0-9._-]+$";

pub(crate) fn check_name(field: &'static str, name: &str) -> Result<(), AccountError> {
    if name.trim() != name || name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(AccountError::invalid(field, "expected 1 to 100 characters and no control characters"));
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

/// Returns a SIP name for a new member: the requested one, or one derived from the e-mail address that is not reserved for an
/// organization other than `organization`. An organization that does not exist yet has no reserved names.
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
    // A random suffix does not reveal how many users have the same name.
    let tail = token_hash(Secret::random("").reveal());
    Ok(format!("{base}-{}", &tail[..8]))
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Problem {
        match error {
            AccountError::Invalid { field, problem } => Problem::field(field, problem),
            AccountError::NoSuchUser => Problem::not_found("user"),
            AccountError::Store(error) => error.into(),
            AccountError::Hash(error) => error.into(),
        }
    }
}
