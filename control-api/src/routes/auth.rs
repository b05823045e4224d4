//! Log-in by browser.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::{Actor, PASSWORD_MAX, SESSION_COOKIE, Secret, own_origin, session_cookie, token_hash};
use crate::body::JsonBody;
use crate::client::Client;
use crate::problem::Problem;
use crate::state::AppState;
use crate::store::{OrganizationId, Role, now};

/// How long a log-in lasts: a working day.
const SESSION: Duration = Duration::from_secs(12 * 3600);

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
}

/// Who is logged in.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct SessionInfo {
    user: SessionUser,
    organization: SessionOrganization,
    /// When the log-in ends.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// The person.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct SessionUser {
    id: Uuid,
    email: String,
    name: String,
    role: Role,
    /// SIP user name: what routes call `agent:NAME`.
    sip_name: String,
}

/// The tenant.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct SessionOrganization {
    id: Uuid,
    name: String,
}

/// Logs in: sets the session cookie.
#[utoipa::path(post, path = "/auth/login", tag = "auth", security(()), request_body = LoginRequest,
    responses((status = 200, body = SessionInfo), (status = 400, body = Problem), (status = 401, body = Problem),
              (status = 403, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem),
              (status = 422, body = Problem), (status = 429, body = Problem)))]
pub(super) async fn login(
    State(state): State<AppState>,
    client: Client,
    headers: HeaderMap,
    JsonBody(request): JsonBody<LoginRequest>,
) -> Result<Response, Problem> {
    // Another origin's page must not log a browser in as somebody else.
    own_origin(&state, &client, &headers, false)?;
    let address = client.address.ip();
    if request.email.len() > 254 || request.password.len() > PASSWORD_MAX {
        return Err(wrong());
    }
    if let Err(seconds) = state.throttle.attempt(&request.email, address, Instant::now()) {
        metrics::counter!("tandem_logins_throttled_total").increment(1);
        return Err(Problem {
            retry_after: Some(seconds),
            ..Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-attempts",
                "Too many attempts",
                format!("try again in {} minutes", seconds.div_ceil(60)),
            )
        });
    }
    let found = state.store.user_by_email(&request.email).await?;
    let hash = found.as_ref().map(|(user, _)| user.password_hash.clone());
    let right = state.passwords.verify(&request.password, hash).await;
    let Some((user, membership)) = found.filter(|_| right) else {
        metrics::counter!("tandem_logins_failed_total").increment(1);
        return Err(wrong());
    };
    state.throttle.succeeded(&request.email, address);
    let token = Secret::random("");
    let expires_at = now() + SESSION;
    state.store.session_create(membership.organization, user.id, &token.hash(), expires_at).await?;
    let info = session_info(
        &state,
        membership.organization,
        SessionUser {
            id: user.id.0,
            email: user.email,
            name: user.name,
            role: membership.role,
            sip_name: membership.sip_name,
        },
        expires_at,
    )
    .await?;
    Ok(with_cookie(Json(info).into_response(), &state, &client, token.reveal(), SESSION))
}

fn wrong() -> Problem {
    Problem { detail: "the e-mail address or the password is wrong".into(), ..Problem::unauthorized() }
}

/// Logs out: ends the session and takes the cookie back. Without a session it does nothing.
#[utoipa::path(post, path = "/auth/logout", tag = "auth", security(("session" = []), ()),
    responses((status = 204), (status = 403, body = Problem)))]
pub(super) async fn logout(
    State(state): State<AppState>,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if let Some(token) = session_cookie(&headers) {
        own_origin(&state, &client, &headers, true)?;
        state.store.session_delete(&token_hash(token)).await?;
    }
    Ok(with_cookie(StatusCode::NO_CONTENT.into_response(), &state, &client, "", Duration::ZERO))
}

/// Who is logged in.
#[utoipa::path(get, path = "/auth/session", tag = "auth", security(("session" = [])),
    responses((status = 200, body = SessionInfo), (status = 401, body = Problem)))]
pub(super) async fn session_show(State(state): State<AppState>, actor: Actor) -> Result<Json<SessionInfo>, Problem> {
    // A key is no session.
    let person = actor.person.ok_or_else(Problem::unauthorized)?;
    let user = SessionUser {
        id: person.user.0,
        email: person.session.email.clone(),
        name: person.session.user_name.clone(),
        role: actor.role,
        sip_name: person.sip_name,
    };
    Ok(Json(session_info(&state, actor.organization, user, person.session.expires_at).await?))
}

async fn session_info(
    state: &AppState,
    organization: OrganizationId,
    user: SessionUser,
    expires_at: Timestamp,
) -> Result<SessionInfo, Problem> {
    let organization =
        state.store.organization_by_id(organization).await?.ok_or_else(|| Problem::not_found("organization"))?;
    let organization = SessionOrganization { id: organization.id.0, name: organization.name };
    Ok(SessionInfo { user, organization, expires_at })
}

/// Sets the session cookie, `Secure` where the pages are reached by TLS.
fn with_cookie(mut response: Response, state: &AppState, client: &Client, value: &str, age: Duration) -> Response {
    let secure = if client.base_url(&state.config).starts_with("https:") { "; Secure" } else { "" };
    let cookie = format!("{SESSION_COOKIE}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={}{secure}", age.as_secs());
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
