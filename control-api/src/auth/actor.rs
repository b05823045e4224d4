//! Authentication of requests: the [`Actor`] extractor of handlers.
//!
//! A request without a valid credential gets 401. A change with a session cookie must come from a page of this server and carry the
//! session's CSRF token, else it gets 403. The result is stored in the request, so that it is determined once, by whichever of
//! rate limit and handler comes first.
//!
//! Not here: how long a look-up is used (`credential`), and delays after wrong passwords (`attempts`).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};

use super::authenticator::Authenticator;
use super::credential::{Credential, Holder, KeyInfo, Kind};
use super::token::{KEY_PREFIX, is_random_secret, token_hash};
use crate::config::Config;
use crate::http::client::Client;
use crate::http::listener::Place;
use crate::http::problem::Problem;
use crate::http::request_id::RequestId;
use crate::store::{ActorKind, By, OrganizationId, Role, Session, UserId};
use crate::tenant::rbac::{self, Action, Rights};

/// Name of the session cookie.
pub const SESSION_COOKIE: &str = "tandem_session";
/// Name of the cookie from which pages read the value of `X-CSRF-Token`.
pub const CSRF_COOKIE: &str = "tandem_csrf";
/// Header that changes with a session cookie must carry. A page of another origin cannot know its value.
pub const CSRF_HEADER: &str = "x-csrf-token";

/// Longest secret that is looked up, in bytes.
const SECRET_MAX: usize = 256;

/// Authenticated sender of a request: a user or an API key.
#[derive(Clone)]
pub struct Actor {
    /// Organization whose resources the actor may access.
    pub organization: OrganizationId,
    /// Role of the user. A key has the role of an admin, restricted by its scopes.
    pub role: Role,
    /// The user, or `None` for a key.
    pub person: Option<Person>,
    /// The key, or `None` for a user.
    pub key: Option<KeyInfo>,
    /// The actor as recorded in the audit log, with address and request id.
    pub by: By,
    /// Hash of the key or of the session's token.
    credential: String,
    known: Arc<Credential>,
    csrf: Option<String>,
}

/// User of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Id of the user.
    pub user: UserId,
    /// SIP user name of the user in this organization.
    pub sip_name: String,
    /// The session itself.
    pub session: Session,
}

/// Result of the authentication of a request. It is stored in the request's extensions, so that it is determined only once.
#[derive(Clone)]
pub(crate) struct Identified(pub(crate) Result<Actor, Problem>);

impl std::fmt::Debug for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Actor")
            .field("organization", &self.organization)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl Actor {
    /// Returns whether the key or session is still valid with the same rights. Open streams check this repeatedly. If the store
    /// fails, the credential is assumed to be valid.
    pub async fn is_still_good(&self, auth: &Authenticator) -> bool {
        let kind = if self.person.is_some() { Kind::Session } else { Kind::Key };
        match auth.credentials.find(&auth.store, kind, &self.credential).await {
            Ok(Some(now)) => self.may_do_the_same(&now),
            Ok(None) => false,
            Err(_) => true,
        }
    }

    fn may_do_the_same(&self, now: &Credential) -> bool {
        match &now.holder {
            Holder::Person(person) => person.session.membership.role == self.role,
            Holder::Key(key) => Some(key) == self.key.as_ref(),
        }
    }

    /// Checks that the actor has this permission.
    ///
    /// # Errors
    ///
    /// Returns a 403 that names the permission.
    pub fn may(&self, action: Action) -> Result<(), Problem> {
        if self.allows(action) {
            return Ok(());
        }
        Err(Problem::forbidden(format!("this requires the permission `{}`", action.as_str())))
    }

    /// Returns whether the role, and for a key also its scopes, allow this action.
    pub fn allows(&self, action: Action) -> bool {
        self.rights().has(action)
    }

    /// Returns all rights of the actor. They are the most that the actor can grant.
    pub fn rights(&self) -> Rights {
        match &self.key {
            Some(key) => Rights::of_key(key.scopes.as_deref()),
            None => Rights::of_role(self.role),
        }
    }

    /// Checks that the actor has all rights of this role.
    ///
    /// # Errors
    ///
    /// Returns a 403 that names the role.
    pub fn covers_role(&self, role: Role) -> Result<(), Problem> {
        if self.rights().cover_role(role) {
            return Ok(());
        }
        Err(Problem::forbidden(format!("the role `{}` has permissions that you do not have", role.as_str())))
    }

    /// Returns the names of all permissions of the actor.
    pub fn permissions(&self) -> Vec<&'static str> {
        rbac::ACTIONS.iter().filter(|(action, ..)| self.allows(*action)).map(|(_, word, _)| *word).collect()
    }

    /// Returns the e-mail address of a user or the name of a key.
    pub fn name(&self) -> &str {
        &self.by.name
    }

    /// Returns the user of the request.
    ///
    /// # Errors
    ///
    /// Returns a 403 if the actor is a key.
    pub fn must_be_person(&self) -> Result<&Person, Problem> {
        self.person
            .as_ref()
            .ok_or_else(|| Problem::forbidden("this requires a logged-in user; API keys cannot do this"))
    }

    /// Returns the value of `X-CSRF-Token` for the pages of this session; `None` for a key.
    pub(crate) fn csrf(&self) -> Option<&str> {
        self.csrf.as_deref()
    }

    /// Returns the hash of the key or of the session's token.
    pub(crate) fn credential(&self) -> &str {
        &self.credential
    }

    /// Returns the name of the organization.
    pub(crate) fn organization_name(&self) -> &str {
        &self.known.organization_name
    }

    /// Returns the limits that the organization has set itself.
    pub(crate) fn limits(&self) -> &BTreeMap<String, u32> {
        &self.known.limits
    }

    /// Authenticates a request. A change with a session cookie must come from a page of this server.
    pub(crate) async fn identify(parts: &mut Parts, auth: &Authenticator) -> Result<Actor, Problem> {
        let client = Client::from_request_parts(parts, auth).await?;
        let (kind, secret) = presented(&parts.headers).ok_or_else(Problem::unauthorized)?;
        let actor = Actor::of(auth, parts, &client, kind, secret).await?;
        if kind == Kind::Session && !matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS) {
            own_page(auth, &client, &parts.headers, secret)?;
        }
        if let Some(place) = parts.extensions.get::<Arc<Place>>() {
            place.proven();
        }
        Ok(actor)
    }

    /// Returns whether authenticating the request would look up a credential in the store that is probably a guess.
    pub(crate) fn may_be_guess(headers: &HeaderMap, auth: &Authenticator) -> bool {
        let was_good = |(kind, secret)| auth.credentials.was_good(kind, &token_hash(secret));
        !presented(headers).is_some_and(was_good)
    }

    async fn of(
        auth: &Authenticator,
        parts: &Parts,
        client: &Client,
        kind: Kind,
        secret: &str,
    ) -> Result<Actor, Problem> {
        let credential = token_hash(secret);
        let found = auth.credentials.find(&auth.store, kind, &credential).await?;
        let known = found.ok_or_else(Problem::unauthorized)?;
        let (role, person, key, kind, id, name) = match &known.holder {
            Holder::Person(person) => {
                let (role, name) = (person.session.membership.role, person.session.email.clone());
                (role, Some((**person).clone()), None, ActorKind::User, person.user.0, name)
            }
            Holder::Key(key) => (Role::Admin, None, Some(key.clone()), ActorKind::Key, key.id, key.name.clone()),
        };
        let by = By { kind, id: Some(id), name, ..origin(parts, client) };
        let csrf = person.is_some().then(|| csrf_token(secret));
        Ok(Actor { organization: known.organization, role, person, key, by, credential, known, csrf })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Actor
where
    Authenticator: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match parts.extensions.get::<Identified>() {
            Some(Identified(identified)) => identified.clone(),
            None => Actor::identify(parts, &Authenticator::from_ref(state)).await,
        }
    }
}

/// Authenticates if possible, for handlers that also serve anonymous requests.
impl<S: Send + Sync> OptionalFromRequestParts<S> for Actor
where
    Authenticator: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Problem> {
        Ok(<Actor as FromRequestParts<S>>::from_request_parts(parts, state).await.ok())
    }
}

/// Returns the key or session token of a request if it has the right form. An `Authorization` header takes precedence over the
/// cookie.
fn presented(headers: &HeaderMap) -> Option<(Kind, &str)> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
        let key = key.trim();
        let is_key = scheme.eq_ignore_ascii_case("bearer") && is_random_secret(key, KEY_PREFIX);
        return is_key.then_some((Kind::Key, key));
    }
    let token = session_cookie(headers)?;
    is_random_secret(token, "").then_some((Kind::Session, token))
}

/// Origin of a request for the audit log, before the sender is authenticated.
pub(crate) struct Origin(pub(crate) By);

impl<S: Send + Sync> FromRequestParts<S> for Origin
where
    Arc<Config>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let client = Client::from_request_parts(parts, state).await?;
        Ok(Origin(origin(parts, &client)))
    }
}

fn origin(parts: &Parts, client: &Client) -> By {
    let request_id = parts.extensions.get::<RequestId>().map(|id| id.0.clone());
    let address = client.address.ip().to_canonical().to_string();
    By { kind: ActorKind::User, id: None, name: String::new(), address: Some(address), request_id }
}

/// Returns the value of the session cookie, if there is one.
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

/// Returns the CSRF token of a session. It is derived from the session's token by a hash, so it does not reveal that token.
pub(crate) fn csrf_token(session_token: &str) -> String {
    token_hash(&format!("tandem csrf {session_token}"))
}

/// Checks that a request with a session cookie comes from a page of this server that knows the session's CSRF token.
pub(crate) fn own_page(auth: &Authenticator, client: &Client, headers: &HeaderMap, token: &str) -> Result<(), Problem> {
    own_origin(auth, client, headers, true)?;
    let sent = headers.get(CSRF_HEADER).map(axum::http::HeaderValue::as_bytes).unwrap_or_default();
    if aws_lc_rs::constant_time::verify_slices_are_equal(sent, csrf_token(token).as_bytes()).is_ok() {
        return Ok(());
    }
    Err(Problem::forbidden(
        "with a session cookie, changes require the header X-CSRF-Token; GET /api/auth/csrf returns its value",
    ))
}

/// Refuses requests from pages of another origin. With `proof`, requests that do not state their origin are refused too: only
/// programs send those, and programs use keys.
pub(crate) fn own_origin(
    auth: &Authenticator,
    client: &Client,
    headers: &HeaderMap,
    proof: bool,
) -> Result<(), Problem> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("null"));
    let foreign = || Problem::forbidden("with a session cookie, changes are accepted only from pages of this server");
    match (text("sec-fetch-site"), text("origin")) {
        (Some("same-origin"), None) => Ok(()),
        (None | Some("same-origin"), Some(origin)) if client.is_own_origin(&auth.config, origin) => Ok(()),
        (None, None) if !proof => Ok(()),
        _ => Err(foreign()),
    }
}
