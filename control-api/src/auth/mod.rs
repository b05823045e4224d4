//! Who is asking: API keys, sessions, passwords.
//!
//! ```text
//! request ─▶ Authorization: Bearer KEY ─▶ sha256 ─▶ store ─▶ Actor (organization, admin)
//!        └─▶ Cookie: tandem_session    ─▶ sha256 ─▶ store ─▶ Actor (organization, user, role)
//!                                          └─ changing something: own origin, else 403
//! ```
//!
//! Invariants: secrets are kept as hashes only; argon2 never runs on an async thread; a cookie alone never
//! changes anything for another origin's page.

mod account;
mod actor;
mod password;
mod throttle;
mod token;

pub(crate) use account::PASSWORD_MAX;
pub use account::{AccountError, NewAccount, account_create, api_key_create, password_reset};
pub(crate) use actor::own_origin;
pub use actor::{Actor, Person, SESSION_COOKIE, session_cookie};
pub use password::Passwords;
pub use throttle::Throttle;
pub use token::{Secret, token_hash};
