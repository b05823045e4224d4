//! Log-in by browser: sessions, their cookies, passwords.

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
use crate::body::JsonBody;
use crate::client::Client;
use crate::config::Signup;
use crate::phones;
use crate::problem::Problem;
use crate::rbac;
use crate::state::AppState;
use crate::store::{By, Deed, Membership, Role, now};

/// How long a log-in lasts: a working day.
const SESSION: Duration = Duration::from_secs(12 * 3600);
/// How long a session can be refreshed after its log-in.
const SESSION_LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// Longest key that is looked at.
const KEY_MAX: usize = 256;

/// Who wants in.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LoginRequest {
    /// E-mail address.
    #[schema(example = "anna@example.com")]
    email: String,
    /// Password.
    #[schema(format = Password)]
    password: String,
    /// Name of the organization, for those who belong to several; the one joined first when left out.
    organization: Option<String>,
}

/// Who is logged in.
#[derive(Clone, Serialize, ToSchema)]
pub(super) struct SessionInfo {
    user: SessionUser,
    organization: SessionOrganization,
    /// What may be done, such as `calls.dial`.
    permissions: Vec<&'static str>,
    /// When the log-in ends.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// What pages send as `X-CSRF-Token` with every change.
    csrf_token: String,
}

/// The person.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct SessionUser {
    pub(super) id: Uuid,
    pub(super) email: String,
    pub(super) name: String,
    pub(super) role: Role,
    /// SIP user name: what routes call `agent:NAME`.
    pub(super) sip_name: String,
}

/// The tenant.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct SessionOrganization {
    pub(super) id: Uuid,
    pub(super) name: String,
}

/// How people get in.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ProviderInfo {
    /// By e-mail address and password.
    password: bool,
    /// Who may sign up: the first user, everybody, or whoever is invited.
    signup: SignupMode,
    /// Whether invitations are mailed.
    mail: bool,
    /// Whether a forgotten password can be set anew by mail.
    password_reset: bool,
    /// Whether the first sign-up needs the code that the server's terminal printed.
    signup_code: bool,
}

/// Who may sign up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SignupMode {
    /// The first user of a fresh installation, who will own it.
    FirstUser,
    /// Everybody.
    Open,
    /// Whoever is invited.
    Invitation,
}

/// What changes are proved with.
#[derive(Clone, Serialize, ToSchema)]
pub(super) struct CsrfInfo {
    csrf_token: String,
}

/// A password is to be changed.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PasswordChange {
    /// As it is.
    #[schema(format = Password)]
    current: String,
    /// As it shall be: 12 to 256 bytes.
    #[schema(format = Password)]
    new: String,
}

/// A key to be looked at.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyQuestion {
    /// The key.
    #[schema(format = Password)]
    key: String,
}

/// Whether a key is valid, and for what.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(super) struct KeyAnswer {
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// How people get in, and who may sign up.
#[utoipa::path(get, path = "/auth/providers", tag = "auth", security(()),
    responses((status = 200, body = ProviderInfo)))]
pub(super) async fn provider_list(State(state): State<AppState>) -> Result<Json<ProviderInfo>, Problem> {
    let signup = signup_mode(&state).await?;
    let code = state.setup.as_ref().is_some_and(|setup| setup.code().is_some());
    let password_reset = state.mail.is_some() && state.config.http.public_url.is_some();
    let signup_code = signup == SignupMode::FirstUser && code;
    Ok(Json(ProviderInfo { password: true, signup, mail: state.mail.is_some(), password_reset, signup_code }))
}

/// Who may sign up now.
pub(super) async fn signup_mode(state: &AppState) -> Result<SignupMode, Problem> {
    if state.is_fresh().await? {
        return Ok(SignupMode::FirstUser);
    }
    Ok(match state.config.auth.signup {
        Signup::Open => SignupMode::Open,
        Signup::Invitation => SignupMode::Invitation,
    })
}

/// Logs in: sets the session cookie.
#[utoipa::path(post, path = "/auth/login", tag = "auth", security(()), request_body = LoginRequest,
    responses((status = 200, body = SessionInfo), (status = 401, body = Problem), (status = 403, body = Problem)))]
pub(super) async fn login(
    State(state): State<AppState>,
    client: Client,
    Origin(origin): Origin,
    headers: HeaderMap,
    JsonBody(request): JsonBody<LoginRequest>,
) -> Result<Response, Problem> {
    // Another origin's page must not log a browser in as somebody else.
    own_origin(&state, &client, &headers, false)?;
    if check_email(&request.email).is_err() || request.password.len() > PASSWORD_MAX {
        return Err(wrong());
    }
    let attempt = Attempt::begin(&state, &request.email, client.address.ip()).await?;
    let found = state.store.user_by_email(&request.email).await?;
    let hash = found.as_ref().map(|(user, _)| user.password_hash.clone());
    let right = state.passwords.verify(&request.password, hash).await?;
    let Some((user, first)) = found else { return Err(failed()) };
    let by = By { id: Some(user.id.0), name: user.email.clone(), ..origin };
    if !right {
        let deed = Deed::new("session.refuse", format!("user:{}", user.id));
        state.audit_log.append(first.organization, by, deed).await?;
        return Err(failed());
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
            member.ok_or_else(|| Problem::field("organization", "you belong to no organization of this name"))?
        }
    };
    let session = open_session(&state, &client, &membership, (user.email, user.name), &by).await?;
    Ok(session.answer(StatusCode::OK))
}

fn failed() -> Problem {
    metrics::counter!("tandem_logins_failed_total").increment(1);
    wrong()
}

pub(super) fn wrong() -> Problem {
    Problem { detail: "the e-mail address or the password is wrong".into(), ..Problem::unauthorized() }
}

/// A session that has just begun.
pub(super) struct Opened {
    info: SessionInfo,
    cookies: [String; 2],
}

impl Opened {
    pub(super) fn answer(self, status: StatusCode) -> Response {
        with_cookies((status, Json(self.info)).into_response(), self.cookies)
    }
}

/// Begins a session for a member; `person`: e-mail address and name.
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

/// Logs out: ends the session and takes the cookies back. Without a session it does nothing.
#[utoipa::path(post, path = "/auth/logout", tag = "auth", security(("session" = []), ()),
    responses((status = 204), (status = 403, body = Problem)))]
pub(super) async fn logout(
    State(state): State<AppState>,
    client: Client,
    actor: Option<Actor>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if let Some(token) = session_cookie(&headers) {
        own_page(&state, &client, &headers, token)?;
        state.store.session_delete(&token_hash(token)).await?;
        state.credentials.forget();
        if let Some(actor) = actor.filter(|actor| actor.person.is_some()) {
            let user = actor.by.id.unwrap_or_default();
            state.audit(&actor, Deed::new("session.close", format!("user:{user}"))).await?;
        }
    }
    Ok(with_cookies(StatusCode::NO_CONTENT.into_response(), cookies(&state, &client, "", Duration::ZERO)))
}

/// Gives the session a new token, and twelve hours from now, up to a week after its log-in. The old token ends.
#[utoipa::path(post, path = "/auth/refresh", tag = "auth", security(("session" = [])),
    responses((status = 200, body = SessionInfo), (status = 401, body = Problem), (status = 403, body = Problem)))]
pub(super) async fn refresh(State(state): State<AppState>, client: Client, actor: Actor) -> Result<Response, Problem> {
    actor.must_be_person()?;
    let token = Secret::random("");
    let refreshed = state
        .store
        .session_refresh(actor.organization, actor.credential(), &token.hash(), now() + SESSION, SESSION_LONGEST)
        .await?;
    let expires_at = refreshed.ok_or_else(Problem::unauthorized)?;
    state.credentials.forget();
    let info = info_of(&actor, expires_at, csrf_token(token.reveal()))?;
    let age = Duration::try_from(expires_at.duration_since(now())).unwrap_or_default();
    Ok(Opened { info, cookies: cookies(&state, &client, token.reveal(), age) }.answer(StatusCode::OK))
}

/// Who is logged in.
#[utoipa::path(get, path = "/auth/session", tag = "auth", security(("session" = [])),
    responses((status = 200, body = SessionInfo), (status = 401, body = Problem)))]
pub(super) async fn session_show(actor: Actor) -> Result<Json<SessionInfo>, Problem> {
    // A key is no session.
    let person = actor.person.as_ref().ok_or_else(Problem::unauthorized)?;
    let csrf = actor.csrf().unwrap_or_default().to_owned();
    Ok(Json(info_of(&actor, person.session.expires_at, csrf)?))
}

/// What pages send as `X-CSRF-Token`.
#[utoipa::path(get, path = "/auth/csrf", tag = "auth", security(("session" = [])),
    responses((status = 200, body = CsrfInfo), (status = 401, body = Problem)))]
pub(super) async fn csrf_show(actor: Actor) -> Result<Json<CsrfInfo>, Problem> {
    let csrf_token = actor.csrf().ok_or_else(Problem::unauthorized)?.to_owned();
    Ok(Json(CsrfInfo { csrf_token }))
}

fn info_of(actor: &Actor, expires_at: Timestamp, csrf_token: String) -> Result<SessionInfo, Problem> {
    let (user, organization) = whoami(actor)?;
    Ok(SessionInfo { user, organization, permissions: actor.permissions(), expires_at, csrf_token })
}

/// The person of an actor, and the tenant.
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

/// Changes one's own password; every other session of one's own ends, and so does every telephone's registration.
#[utoipa::path(post, path = "/auth/password", tag = "auth", security(("session" = [])), request_body = PasswordChange,
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem)))]
pub(super) async fn password_change(
    State(state): State<AppState>,
    client: Client,
    actor: Actor,
    JsonBody(request): JsonBody<PasswordChange>,
) -> Result<StatusCode, Problem> {
    let person = actor.must_be_person()?;
    let new = checked_password(request.new).map_err(|_| Problem::field("new", "expected 12 to 256 bytes"))?;
    let not_current = || Problem::field("current", "this is not your password");
    if request.current.len() > PASSWORD_MAX {
        return Err(not_current());
    }
    let attempt = Attempt::begin(&state, &person.session.email, client.address.ip()).await?;
    let user = state.store.user_by_id(actor.organization, person.user).await?.ok_or_else(Problem::unauthorized)?;
    if !state.passwords.verify(&request.current, Some(user.password_hash)).await? {
        state.audit(&actor, Deed::new("user.password_refuse", format!("user:{}", user.id))).await?;
        return Err(not_current());
    }
    attempt.succeeded().await?;
    let hash = state.passwords.hash(new.reveal()).await.map_err(AccountError::from)?;
    state.store.user_password_change(user.id, &hash, Some(actor.credential()), &actor.by).await?;
    state.credentials.forget();
    phones::end_of(&state.engine, &state.store, user.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether an API key is valid, whose it is, and what it may do.
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

/// The session's cookie and that of its CSRF token, `Secure` where the pages are reached by TLS.
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
