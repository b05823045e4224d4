//! The extractor that stands before every handler: without it, or with a wrong key, 401.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};

use super::token_hash;
use crate::client::Client;
use crate::problem::Problem;
use crate::rbac::{self, Action};
use crate::state::AppState;
use crate::store::{OrganizationId, Role, Session, Store, UserId};

/// Name of the session cookie.
pub const SESSION_COOKIE: &str = "tandem_session";

/// Longest secret that is looked at.
const SECRET_MAX: usize = 256;

/// Who is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Whose things may be seen.
    pub organization: OrganizationId,
    /// As what. A key acts as admin.
    pub role: Role,
    /// The person, unless a key is asking.
    pub person: Option<Person>,
    /// The key, unless a person is asking.
    pub key: Option<KeyInfo>,
    /// Hash of the key or of the session's token.
    credential: String,
}

/// The key that is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Identity.
    pub id: uuid::Uuid,
    /// What it is for.
    pub name: String,
}

/// The person of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Who.
    pub user: UserId,
    /// SIP user name.
    pub sip_name: String,
    /// The session itself.
    pub session: Session,
}

impl Actor {
    /// Whether the key or session is still good: asked again while a stream is open. A store that fails says
    /// nothing about it.
    pub async fn is_still_good(&self, store: &Store) -> bool {
        match &self.person {
            Some(_) => !matches!(store.session_by_hash(&self.credential).await, Ok(None)),
            None => !matches!(store.api_key_by_hash(&self.credential).await, Ok(None)),
        }
    }

    /// 403 unless the actor's role has this action.
    pub fn may(&self, action: Action) -> Result<(), Problem> {
        if rbac::actions(self.role).contains(&action) {
            return Ok(());
        }
        Err(Problem::forbidden(format!("this takes the permission `{}`", action.as_str())))
    }

    /// Whether the actor may do this.
    pub fn allows(&self, action: Action) -> bool {
        self.may(action).is_ok()
    }

    /// Whether a call with this agent is the actor's to see: with `all` every call is, with `own` those of one's own.
    pub fn sees_call(&self, agent: Option<&str>, all: Action, own: Action) -> bool {
        let is_own = || self.person.as_ref().is_some_and(|person| agent == Some(person.sip_name.as_str()));
        self.allows(all) || (self.allows(own) && is_own())
    }

    /// E-mail address of a person, name of a key.
    pub fn name(&self) -> &str {
        match (&self.person, &self.key) {
            (Some(person), _) => &person.session.email,
            (None, Some(key)) => &key.name,
            (None, None) => "",
        }
    }

    /// 403 unless settings may be changed.
    pub fn must_configure(&self) -> Result<(), Problem> {
        if self.role.configures() {
            return Ok(());
        }
        Err(Problem::forbidden("changing settings takes an owner or admin"))
    }

    /// 403 unless calls may be made, ended and spoken into.
    pub fn must_dial(&self) -> Result<(), Problem> {
        if self.role.dials() {
            return Ok(());
        }
        Err(Problem::forbidden("making and ending calls takes an owner, admin, supervisor or agent"))
    }
}

impl FromRequestParts<AppState> for Actor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
            let value = value.to_str().map_err(|_| Problem::unauthorized())?;
            let (scheme, key) = value.split_once(' ').ok_or_else(Problem::unauthorized)?;
            if !scheme.eq_ignore_ascii_case("bearer") || key.len() > SECRET_MAX {
                return Err(Problem::unauthorized());
            }
            let credential = token_hash(key.trim());
            let key = state.store.api_key_by_hash(&credential).await?.ok_or_else(Problem::unauthorized)?;
            return Ok(Actor {
                organization: key.organization,
                role: Role::Admin,
                person: None,
                key: Some(KeyInfo { id: key.id, name: key.name }),
                credential,
            });
        }
        let token = session_cookie(&parts.headers).ok_or_else(Problem::unauthorized)?;
        let credential = token_hash(token);
        let session = state.store.session_by_hash(&credential).await?.ok_or_else(Problem::unauthorized)?;
        if !matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS) {
            let client = Client::from_request_parts(parts, state).await?;
            own_origin(state, &client, &parts.headers, true)?;
        }
        let membership = session.membership.clone();
        Ok(Actor {
            organization: membership.organization,
            role: membership.role,
            person: Some(Person { user: membership.user, sip_name: membership.sip_name, session }),
            key: None,
            credential,
        })
    }
}

/// The value of the session cookie.
pub fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, value)| *name == SESSION_COOKIE && !value.is_empty() && value.len() <= SECRET_MAX)
        .map(|(_, value)| value)
}

/// Refuses what another origin's page sends. `proof`: also what does not say where it comes from, because only
/// programs do that, and programs use keys.
pub(crate) fn own_origin(state: &AppState, client: &Client, headers: &HeaderMap, proof: bool) -> Result<(), Problem> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("null"));
    let foreign = || Problem::forbidden("with a session cookie, changes are taken only from pages of this server");
    match (text("sec-fetch-site"), text("origin")) {
        (Some("same-origin"), None) => Ok(()),
        (None | Some("same-origin"), Some(origin)) if client.is_own_origin(&state.config, origin) => Ok(()),
        (None, None) if !proof => Ok(()),
        _ => Err(foreign()),
    }
}
