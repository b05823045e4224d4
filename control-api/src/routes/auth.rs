//! Browser sessions: log-in, log-out, refresh, passwords.
//!
//! ```text
//! log-in ─▶ throttle ─▶ password ─▶ session in the store ─▶ two cookies: session (HttpOnly) and CSRF token
//! ```
//!
//! Invariants: a session token is stored only as a hash and leaves the server only in its cookie. Unknown addresses and wrong
//! passwords get the same response. A new password ends the user's other sessions and the registrations of their phones.
//!
//! Sign-up is in `signup`, forgotten passwords are in `password_reset`, and authentication of requests is in `crate::auth`.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::{
    AccountError, Actor, Attempt, CSRF_COOKIE, Origin, PASSWORD_MAX, SESSION_COOKIE, Secret, check_email, check_name,
    checked_password, csrf_token, own_origin, own_page, session_cookie, token_hash,
};
use crate::calls::phones;
use crate::config::Signup;
use crate::http::body::JsonBody;
use crate::http::client::Client;
use crate::http::problem::Problem;
use crate::state::AppState;
use crate::store::{By, Deed, Membership, Role, now};
use crate::tenant::rbac;

/// Lifetime of a session: 12 hours, a working day.
const SESSION: Duration = Duration::from_secs(12 * 3600);
/// Longest time after the log-in for which a session can be refreshed: one week.
const SESSION_LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// Longest API key that is validated, in bytes.
const KEY_MAX: usize = 256;

/// Credentials of a user.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LoginRequest {
    /// E-mail address of the user.
    #[schema(example = "anna@example.com")]
    email: String,
    /// Password of the user, at most 256 bytes.
    #[schema(format = Password)]
    password: String,
    /// Name of the organization, for users who belong to several. Defaults to the organization that the user joined first.
    organization: Option<String>,
}

/// The current session: user, organization and permissions.
#[derive(Clone, Serialize, ToSchema)]
pub(super) struct SessionInfo {
    /// User who is logged in.
    user: SessionUser,
    /// Organization of the session.
    organization: SessionOrganization,
    /// Permissions of the user in this organization, such as `calls.dial`.
    permissions: Vec<&'static str>,
    /// Time at which the session expires.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// Token that pages must send as `X-CSRF-Token` with every change.
    csrf_token: String,
}

/// User of a session.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct SessionUser {
    /// Id of the user.
    pub(super) id: Uuid,
    /// E-mail address of the user.
    pub(super) email: String,
    /// Display name of the user.
    pub(super) name: String,
    /// Role of the user in this organization.
    pub(super) role: Role,
    /// SIP user name. In call routes, the user is `agent:NAME`.
    pub(super) sip_name: String,
}

/// Organization of a session.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct SessionOrganization {
    /// Id of the organization.
    pub(super) id: Uuid,
    /// Name of the organization.
    pub(super) name: String,
}

/// Ways to log in and to sign up on this server.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ProviderInfo {
    /// Whether users can log in by e-mail address and password. Always `true`.
    password: bool,
    /// Rule for sign-up at present: by invitation only, or open to everybody.
    signup: SignupMode,
    /// Whether the server sends invitations by e-mail.
    mail: bool,
    /// Whether a forgotten password can be reset by e-mail.
    password_reset: bool,
    /// Whether the first sign-up requires the code that the server printed on its terminal.
    signup_code: bool,
}

/// Group of people who may sign up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SignupMode {
    /// The first user of a fresh installation, who becomes its owner.
    FirstUser,
    /// Everybody may sign up.
    Open,
    /// Only people with an invitation may sign up.
    Invitation,
}

/// CSRF token of the current session.
#[derive(Clone, Serialize, ToSchema)]
pub(super) struct CsrfInfo {
    /// Token that pages must send as `X-CSRF-Token` with every change.
    csrf_token: String,
}

/// Change of the caller's own password.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PasswordChange {
    /// Current password of the user.
    #[schema(format = Password)]
    current: String,
    /// New password, 12 to 256 bytes.
    #[schema(format = Password)]
    new: String,
}

/// API key to validate.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyQuestion {
    /// The API key in full.
    #[schema(format = Password)]
    key: String,
}

/// Result of validating an API key. The other fields are present only if the key is valid.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(super) struct KeyAnswer {
    /// Whether the key is valid: known, not revoked and not expired.
    valid: bool,
    /// Id of the organization that owns the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    organization_id: Option<Uuid>,
    /// Name of the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Scopes of the key, such as `calls.read`.
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<&'static str>>,
    /// Expiry of the key. Absent if it never expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// Returns the ways to log in and who may sign up.
#[utoipa::path(get, path = "/auth/providers", tag = "auth", security(()),
    responses((status = 200, body = ProviderInfo)))]
pub(super) async fn provider_list(State(state): State<AppState>) -> Result<Json<ProviderInfo>, Problem> {
    let signup = signup_mode(&state).await?;
    let code = state.gate.setup.as_ref().is_some_and(|setup| setup.code().is_some());
    let password_reset = state.mail.is_some() && state.config.http.public_url.is_some();
    let signup_code = signup == SignupMode::FirstUser && code;
    Ok(Json(ProviderInfo { password: true, signup, mail: state.mail.is_some(), password_reset, signup_code }))
}

/// Returns who may sign up at present.
pub(super) async fn signup_mode(state: &AppState) -> Result<SignupMode, Problem> {
    if state.gate.is_fresh().await? {
        return Ok(SignupMode::FirstUser);
    }
    Ok(match state.config.auth.signup {
        Signup::Open => SignupMode::Open,
        Signup::Invitation => SignupMode::Invitation,
    })
}

/// Logs a user in and sets the session cookie.
#[utoipa::path(post, path = "/auth/login", tag = "auth", security(()), request_body = LoginRequest,
    responses((status = 200, body = SessionInfo), (status = 401, body = Problem), (status = 403, body = Problem)))]
pub(super) async fn login(
    State(state): State<AppState>,
    client: Client,
    Origin(origin): Origin,
    headers: HeaderMap,
    JsonBody(request): JsonBody<LoginRequest>,
) -> Result<Response, Problem> {
    // A page of another origin must not log the browser in as another user.
    own_origin(&state.auth, &client, &headers, false)?;
    if check_email(&request.email).is_err() || request.password.len() > PASSWORD_MAX {
        return Err(wrong_credentials());
    }
    let attempt = Attempt::begin(&state.auth, &request.email, client.address.ip()).await?;
    let found = state.store.user_by_email(&request.email).await?;
    let hash = found.as_ref().map(|(user, _)| user.password_hash.clone());
    let right = state.auth.passwords.verify(&request.password, hash).await?;
    let Some((user, first)) = found else { return Err(login_failed()) };
    let by = By { id: Some(user.id.0), name: user.email.clone(), ..origin };
    if !right {
        let deed = Deed::new("session.refuse", format!("user:{}", user.id));
        state.audit_log.append(first.organization, by, deed).await?;
        return Err(login_failed());
    }
    attempt.succeeded().await?;
    let membership = match request.organization {
        None => first,
        Some(name) => {
            check_name("organization", &name)?;
            let organization = state.store.organization_by_name(&name).await?;
            let member = match organization {
                Some(organization) => state.store.membership_by_user(organization.id, user.id).await?,
                None => None,
            };
            member.ok_or_else(|| Problem::field("organization", "you belong to no organization with this name"))?
        }
    };
    let session = open_session(&state, &client, &membership, (user.email, user.name), &by).await?;
    Ok(session.answer(StatusCode::OK))
}

fn login_failed() -> Problem {
    metrics::counter!("tandem_logins_failed_total").increment(1);
    wrong_credentials()
}

/// Returns the problem for wrong credentials. It does not say which of the two was wrong.
pub(super) fn wrong_credentials() -> Problem {
    Problem { detail: "the e-mail address or the password is wrong".into(), ..Problem::unauthorized() }
}

/// Session that has just been opened, with the cookies for its response.
pub(super) struct Opened {
    info: SessionInfo,
    cookies: [String; 2],
}

impl Opened {
    /// Returns the response with this status, the session as its body and both cookies.
    pub(super) fn answer(self, status: StatusCode) -> Response {
        with_cookies((status, Json(self.info)).into_response(), self.cookies)
    }
}

/// Opens a session for a member. The pair is e-mail address and name of the user.
pub(super) async fn open_session(
    state: &AppState,
    client: &Client,
    membership: &Membership,
    (email, name): (String, String),
    by: &By,
) -> Result<Opened, Problem> {
    let token = Secret::random("");
    let expires_at = now() + SESSION;
    state.store.session_open(membership, &token.hash(), expires_at, by).await?;
    let organization = state.store.organization_by_id(membership.organization).await?;
    let organization = organization.ok_or_else(|| Problem::not_found("organization"))?;
    let user = SessionUser {
        id: membership.user.0,
        email,
        name,
        role: membership.role,
        sip_name: membership.sip_name.clone(),
    };
    let actions = rbac::actions(membership.role);
    let info = SessionInfo {
        user,
        organization: SessionOrganization { id: organization.id.0, name: organization.name },
        permissions: actions.iter().map(|action| action.as_str()).collect(),
        expires_at,
        csrf_token: csrf_token(token.reveal()),
    };
    Ok(Opened { info, cookies: cookies(state, client, token.reveal(), SESSION) })
}

/// Logs out: ends the session and removes its cookies. Without a session nothing happens.
#[utoipa::path(post, path = "/auth/logout", tag = "auth", security(("session" = []), ()),
    responses((status = 204)))]
pub(super) async fn logout(
    State(state): State<AppState>,
    client: Client,
    actor: Option<Actor>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if let Some(token) = session_cookie(&headers) {
        own_page(&state.auth, &client, &headers, token)?;
        state.store.session_delete(&token_hash(token)).await?;
        state.auth.credentials.forget();
        if let Some(actor) = actor.filter(|actor| actor.person.is_some()) {
            let user = actor.by.id.unwrap_or_default();
            state.audit(&actor, Deed::new("session.close", format!("user:{user}"))).await?;
        }
    }
    Ok(with_cookies(StatusCode::NO_CONTENT.into_response(), cookies(&state, &client, "", Duration::ZERO)))
}

/// Extends the session and replaces its token.
///
/// The session then lasts twelve hours from now, but no longer than one week after the log-in. The old token stops working.
#[utoipa::path(post, path = "/auth/refresh", tag = "auth", security(("session" = [])),
    responses((status = 200, body = SessionInfo)))]
pub(super) async fn refresh(State(state): State<AppState>, client: Client, actor: Actor) -> Result<Response, Problem> {
    actor.must_be_person()?;
    let token = Secret::random("");
    let refreshed = state
        .store
        .session_refresh(actor.organization, actor.credential(), &token.hash(), now() + SESSION, SESSION_LONGEST)
        .await?;
    let expires_at = refreshed.ok_or_else(Problem::unauthorized)?;
    state.auth.credentials.forget();
    let info = info_of(&actor, expires_at, csrf_token(token.reveal()))?;
    let age = Duration::try_from(expires_at.duration_since(now())).unwrap_or_default();
    Ok(Opened { info, cookies: cookies(&state, &client, token.reveal(), age) }.answer(StatusCode::OK))
}

/// Returns the user who is logged in, with organization and permissions.
#[utoipa::path(get, path = "/auth/session", tag = "auth", security(("session" = [])),
    responses((status = 200, body = SessionInfo)))]
pub(super) async fn session_show(actor: Actor) -> Result<Json<SessionInfo>, Problem> {
    // An API key is not a session.
    let person = actor.person.as_ref().ok_or_else(Problem::unauthorized)?;
    let csrf = actor.csrf().unwrap_or_default().to_owned();
    Ok(Json(info_of(&actor, person.session.expires_at, csrf)?))
}

/// Returns the token that pages must send as `X-CSRF-Token`.
#[utoipa::path(get, path = "/auth/csrf", tag = "auth", security(("session" = [])),
    responses((status = 200, body = CsrfInfo)))]
pub(super) async fn csrf_show(actor: Actor) -> Result<Json<CsrfInfo>, Problem> {
    let csrf_token = actor.csrf().ok_or_else(Problem::unauthorized)?.to_owned();
    Ok(Json(CsrfInfo { csrf_token }))
}

fn info_of(actor: &Actor, expires_at: Timestamp, csrf_token: String) -> Result<SessionInfo, Problem> {
    let (user, organization) = whoami(actor)?;
    Ok(SessionInfo { user, organization, permissions: actor.permissions(), expires_at, csrf_token })
}

/// Returns user and organization of an actor who is a person.
pub(super) fn whoami(actor: &Actor) -> Result<(SessionUser, SessionOrganization), Problem> {
    let person = actor.must_be_person()?;
    let user = SessionUser {
        id: person.user.0,
        email: person.session.email.clone(),
        name: person.session.user_name.clone(),
        role: actor.role,
        sip_name: person.sip_name.clone(),
    };
    let name = actor.organization_name().to_owned();
    Ok((user, SessionOrganization { id: actor.organization.0, name }))
}

/// Changes the caller's own password.
///
/// All other sessions of the user end, and their phones lose their registrations.
#[utoipa::path(post, path = "/auth/password", tag = "auth", security(("session" = [])), request_body = PasswordChange,
    responses((status = 204)))]
pub(super) async fn password_change(
    State(state): State<AppState>,
    client: Client,
    actor: Actor,
    JsonBody(request): JsonBody<PasswordChange>,
) -> Result<StatusCode, Problem> {
    let person = actor.must_be_person()?;
    let new = checked_password(request.new).map_err(|_| Problem::field("new", "expected 12 to 256 bytes"))?;
    let not_current = || Problem::field("current", "this is not your current password");
    if request.current.len() > PASSWORD_MAX {
        return Err(not_current());
    }
    let attempt = Attempt::begin(&state.auth, &person.session.email, client.address.ip()).await?;
    let user = state.store.user_by_id(actor.organization, person.user).await?.ok_or_else(Problem::unauthorized)?;
    if !state.auth.passwords.verify(&request.current, Some(user.password_hash)).await? {
        state.audit(&actor, Deed::new("user.password_refuse", format!("user:{}", user.id))).await?;
        return Err(not_current());
    }
    attempt.succeeded().await?;
    let hash = state.auth.passwords.hash(new.reveal()).await.map_err(AccountError::from)?;
    state.store.user_password_change(user.id, &hash, Some(actor.credential()), &actor.by).await?;
    state.auth.credentials.forget();
    phones::end_of(&state.engine, &state.store, user.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reports whether an API key is valid, and returns its organization and scopes.
#[utoipa::path(post, path = "/auth/validate-key", tag = "auth", security(()), request_body = KeyQuestion,
    responses((status = 200, body = KeyAnswer)))]
pub(super) async fn key_validate(
    State(state): State<AppState>,
    JsonBody(request): JsonBody<KeyQuestion>,
) -> Result<Json<KeyAnswer>, Problem> {
    if request.key.len() > KEY_MAX {
        return Ok(Json(KeyAnswer::default()));
    }
    let Some(key) = state.store.api_key_by_hash(&token_hash(&request.key)).await? else {
        return Ok(Json(KeyAnswer::default()));
    };
    Ok(Json(KeyAnswer {
        valid: true,
        organization_id: Some(key.organization.0),
        scopes: Some(rbac::key_scopes(key.scopes.as_deref())),
        name: Some(key.name),
        expires_at: key.expires_at,
    }))
}

/// Returns the session cookie and the CSRF cookie. They are `Secure` where the pages are served over TLS.
fn cookies(state: &AppState, client: &Client, token: &str, age: Duration) -> [String; 2] {
    let secure = if client.base_url(&state.config).starts_with("https:") { "; Secure" } else { "" };
    let rest = format!("Path=/; SameSite=Lax; Max-Age={}{secure}", age.as_secs());
    let csrf = if token.is_empty() { String::new() } else { csrf_token(token) };
    [format!("{SESSION_COOKIE}={token}; HttpOnly; {rest}"), format!("{CSRF_COOKIE}={csrf}; {rest}")]
}

fn with_cookies(mut response: Response, cookies: [String; 2]) -> Response {
    for cookie in cookies {
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
