//! Password reset by e-mail.
//!
//! Invariants: the response to a request does not reveal whether the account exists, in content or in time. A link is valid once
//! and for one hour. The number of mails is limited for each account and each network.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::auth::{AccountError, Origin, Secret, check_email, checked_password, own_origin, token_hash, too_early};
use crate::calls::phones;
use crate::http::body::JsonBody;
use crate::http::client::Client;
use crate::http::client::network;
use crate::http::problem::Problem;
use crate::mail::Mail;
use crate::state::AppState;
use crate::store::{By, now};

/// Validity of a link: one hour.
const VALID_FOR: Duration = Duration::from_secs(3_600);
/// Period in which mails and requests are counted.
const WINDOW: Duration = Duration::from_secs(3_600);
/// Mails to one account per period. Further ones are dropped silently.
const PER_ACCOUNT: u64 = 3;
/// Requests from one network per period.
const PER_NETWORK: u64 = 20;
/// Longest token that is looked up, in bytes.
const TOKEN_MAX: usize = 256;

/// Account whose password was forgotten.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResetRequest {
    /// E-mail address of the account.
    #[schema(example = "anna@example.com")]
    email: String,
}

/// New password, with the token from the e-mail.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResetUse {
    /// Token from the link in the e-mail.
    token: String,
    /// New password, 12 to 256 bytes.
    #[schema(format = Password)]
    password: String,
}

/// Sends a link for a new password to an e-mail address.
///
/// The response is the same whether or not there is an account with this address.
#[utoipa::path(post, path = "/auth/password-reset", tag = "auth", security(()), request_body = ResetRequest,
    responses((status = 202), (status = 403, body = Problem)))]
pub(super) async fn reset_request(
    State(state): State<AppState>,
    client: Client,
    Origin(origin): Origin,
    headers: HeaderMap,
    JsonBody(request): JsonBody<ResetRequest>,
) -> Result<StatusCode, Problem> {
    own_origin(&state.auth, &client, &headers, false)?;
    // The link contains the host that the operator has configured, never one from the request.
    let (Some(mail), Some(base)) = (state.mail.clone(), state.config.http.public_url.as_ref()) else {
        return Err(Problem::forbidden(
            "this server sends no links by e-mail ([mail] and http.public_url are not set); its operator can set a new password with \
             `tandem user password`",
        ));
    };
    let base = base.to_string();
    check_email(&request.email)?;
    let subject = token_hash(&format!("reset network {}", network(client.address.ip())));
    let taken = state.store.quota_take(&[(subject, PER_NETWORK)], WINDOW).await?;
    taken.map_err(|wait| too_early("too-many-resets", wait))?;
    // Not awaited, so neither time nor status reveals whether the account exists.
    tokio::spawn(async move {
        if let Err(problem) = mail_link(&state, &mail, &request.email.to_lowercase(), &base, origin).await {
            tracing::warn!(problem = problem.detail, "a link for a new password could not be mailed");
        }
    });
    Ok(StatusCode::ACCEPTED)
}

async fn mail_link(state: &AppState, mail: &Mail, email: &str, base: &str, origin: By) -> Result<(), Problem> {
    let Some((user, membership)) = state.store.user_by_email(email).await? else { return Ok(()) };
    let subject = token_hash(&format!("reset account {email}"));
    if state.store.quota_take(&[(subject, PER_ACCOUNT)], WINDOW).await?.is_err() {
        metrics::counter!("tandem_mails_throttled_total").increment(1);
        return Ok(());
    }
    let (token, expires_at) = (Secret::random(""), now() + VALID_FOR);
    let by = By { id: Some(user.id.0), name: user.email.clone(), ..origin };
    state.store.password_reset_create(membership.organization, user.id, &token.hash(), expires_at, &by).await?;
    // A browser does not send the part after `#` to a server, so the token appears in no log.
    let text = format!(
        "Somebody asked for a new password for your account on Tandem.\r\n\r\nTo choose one, open this address until {}:\r\n\r\n\
         {base}/reset#{}\r\n\r\nIf it was not you, ignore this mail: your password stays as it is.\r\n",
        expires_at.strftime("%Y-%m-%d %H:%M UTC"),
        token.reveal(),
    );
    if let Err(error) = mail.send(&user.email, "New password for Tandem", text).await {
        metrics::counter!("tandem_mails_failed_total").increment(1);
        tracing::warn!(%error, user = %user.id, "a link for a new password could not be mailed");
    }
    Ok(())
}

/// Sets a new password with a token from an e-mail.
///
/// The token is valid once. All sessions of the user end, and their phones lose their registrations.
#[utoipa::path(put, path = "/auth/password-reset", tag = "auth", security(()), request_body = ResetUse,
    responses((status = 204), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(super) async fn reset_use(
    State(state): State<AppState>,
    client: Client,
    Origin(origin): Origin,
    headers: HeaderMap,
    JsonBody(request): JsonBody<ResetUse>,
) -> Result<StatusCode, Problem> {
    own_origin(&state.auth, &client, &headers, false)?;
    let password = checked_password(request.password)?;
    let missing = || Problem::not_found("link for a new password; it was used or has expired");
    if request.token.len() > TOKEN_MAX {
        return Err(missing());
    }
    // Hashed first, so that an error does not use up the link.
    let hash = state.auth.passwords.hash(password.reveal()).await.map_err(AccountError::from)?;
    let user = state.store.password_reset_use(&token_hash(&request.token)).await?.ok_or_else(missing)?;
    let by = By { id: Some(user.id.0), name: user.email, ..origin };
    state.store.user_password_change(user.id, &hash, None, &by).await?;
    state.auth.credentials.forget();
    phones::end_of(&state.engine, &state.store, user.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
