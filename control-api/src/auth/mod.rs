//! Authentication: API keys, sessions and passwords.
//!
//! ```text
//! request ─▶ Authorization: Bearer KEY ─▶ sha256 ─▶ credentials ─▶ store ─▶ Actor (organization, admin, scopes)
//!        └─▶ Cookie: tandem_session    ─▶ sha256 ─▶ credentials ─▶ store ─▶ Actor (organization, user, role)
//!                                          └─ for changes: own origin and X-CSRF-Token, else 403
//! ```
//!
//! Invariants: secrets are stored only as hashes. argon2 never runs on an async thread. A cookie by itself never allows a page of
//! another origin to change anything. A look-up is used for two seconds at most.

mod account;
mod actor;
mod attempts;
mod authenticator;
mod credential;
mod key;
mod password;
mod throttle;
mod token;

pub(crate) mod visibility;

#[cfg(test)]
pub(crate) use account::check_sip_name;
pub use account::{AccountError, NewAccount, account_create, password_reset};
pub(crate) use account::{
    EMAIL_MAX, NAME_MAX, PASSWORD_MAX, PASSWORD_MIN, SIP_NAME_MAX, SIP_NAME_PATTERN, check_email, check_name,
    checked_password, free_sip_name,
};
pub use actor::{Actor, CSRF_COOKIE, CSRF_HEADER, Person, SESSION_COOKIE, session_cookie};
pub(crate) use actor::{Identified, Origin, csrf_token, own_origin, own_page};
pub(crate) use attempts::{Attempt, too_early};
pub use authenticator::Authenticator;
pub use credential::{Credentials, KeyInfo};
pub(crate) use key::KEY_DAYS_MAX;
pub use key::{KeyTerms, api_key_create};
pub use password::{HashError, Passwords};
pub use throttle::Throttle;
pub(crate) use token::KEY_PREFIX;
pub use token::{Secret, token_hash};
