//! Sign-up: the first user of a fresh installation, everybody if configured, or people with an invitation.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::{SessionInfo, SignupMode, open_session, signup_mode, wrong_credentials};
use crate::auth::{
    AccountError, Attempt, Origin, PASSWORD_MAX, Secret, check_email, check_name, checked_password, free_sip_name,
    own_origin, token_hash,
};
use crate::http::body::JsonBody;
use crate::http::client::Client;
use crate::http::problem::Problem;
use crate::state::AppState;
use crate::store::{
    By, Founder, Invitation, Inviter, Joining, Membership, NewMember, OrganizationId, Role, StoreError,
};
use crate::tenant::rbac::{Action, Rights};

/// Longest token of an invitation that is looked up, in bytes.
const TOKEN_MAX: usize = 256;

/// Account to create, either with a new organization or by an invitation.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignupRequest {
    /// Name of the organization to create.
    #[schema(example = "Example Ltd")]
    organization: Option<String>,
    /// Token from the link of an invitation, in place of `organization` and `email`.
    invitation: Option<String>,
    /// Display name of the user.
    name: String,
    /// E-mail address, with which the user logs in.
    #[schema(example = "anna@example.com")]
    email: Option<String>,
    /// Password, 12 to 256 bytes. If the invited person already has an account, the password of that account.
    #[schema(format = Password)]
    password: String,
    /// SIP user name. Derived from the e-mail address by default.
    sip_name: Option<String>,
    /// Code that the server printed on its terminal. Required for the first user of a server that other hosts can reach.
    code: Option<String>,
}

/// Token of an invitation.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InvitationQuestion {
    /// Token from the link of the invitation.
    token: String,
}

/// Content of an invitation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct InvitationOffer {
    /// Name of the organization that invites.
    organization: String,
    /// E-mail address of the invited person.
    email: String,
    /// Role that is granted.
    role: Role,
    /// Expiry of the invitation.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// Creates an account and logs the user in.
#[utoipa::path(post, path = "/auth/signup", tag = "auth", security(()), request_body = SignupRequest,
    responses((status = 201, body = SessionInfo), (status = 401, body = Problem), (status = 403, body = Problem),
              (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn signup(
    State(state): State<AppState>,
    client: Client,
    Origin(origin): Origin,
    headers: HeaderMap,
    JsonBody(mut request): JsonBody<SignupRequest>,
) -> Result<Response, Problem> {
    own_origin(&state.auth, &client, &headers, false)?;
    check_name("name", &request.name)?;
    let (email, name, membership) = match (request.invitation.take(), request.organization.take()) {
        (Some(token), None) => {
            if request.email.is_some() {
                return Err(Problem::field(
                    "email",
                    "expected no `email` with an invitation, which contains the address",
                ));
            }
            join(&state, &client, &token, &request, &origin).await?
        }
        (None, Some(organization)) => {
            let (email, membership) = found(&state, &organization, &request, &origin).await?;
            (email, request.name, membership)
        }
        _ => return Err(Problem::field("organization", "expected either `organization` or `invitation`")),
    };
    let by = By { id: Some(membership.user.0), name: email.clone(), ..origin };
    let session = open_session(&state, &client, &membership, (email, name), &by).await?;
    Ok(session.answer(StatusCode::CREATED))
}

/// Creates an organization and its owner.
async fn found(
    state: &AppState,
    organization: &str,
    request: &SignupRequest,
    origin: &By,
) -> Result<(String, Membership), Problem> {
    let mode = signup_mode(state).await?;
    if mode == SignupMode::Invitation {
        return Err(closed());
    }
    if mode == SignupMode::FirstUser
        && let Some(setup) = &state.gate.setup
        && !setup.lets_in(request.code.as_deref())
    {
        metrics::counter!("tandem_signup_codes_refused_total").increment(1);
        let expected = "expected the code that the server printed on its terminal; it is also in the file `signup-code` in the data folder";
        return Err(Problem::field("code", expected));
    }
    check_name("organization", organization)?;
    let email = request.email.as_deref().ok_or_else(|| Problem::field("email", "expected an e-mail address"))?;
    check_email(email)?;
    let password = checked_password(request.password.clone())?;
    let sip_name = free_sip_name(&state.store, None, request.sip_name.clone(), email).await?;
    let password_hash = hashed(state, &password).await?;
    let email = email.to_lowercase();
    let member = NewMember {
        email: &email,
        name: &request.name,
        password_hash: &password_hash,
        role: Role::Owner,
        sip_name: &sip_name,
    };
    let by = By { name: email.clone(), ..origin.clone() };
    let only_first = mode == SignupMode::FirstUser && state.config.auth.signup == crate::config::Signup::Invitation;
    let made = state.store.organization_found(organization, Founder::New(member), only_first, by).await?;
    // Another user may have been the first in the meantime.
    let (_, membership) = made.ok_or_else(closed)?;
    if let Some(setup) = state.gate.setup.as_ref().filter(|_| mode == SignupMode::FirstUser) {
        setup.done();
    }
    Ok((email, membership))
}

fn closed() -> Problem {
    Problem::forbidden("sign-up requires an invitation here; ask an owner or admin of your organization for one")
}

/// Accepts an invitation for a new or an existing account.
async fn join(
    state: &AppState,
    client: &Client,
    token: &str,
    request: &SignupRequest,
    origin: &By,
) -> Result<(String, String, Membership), Problem> {
    let (organization, invitation) = open_invitation(state, token).await?;
    let email = invitation.email.clone();
    let by = By { name: email.clone(), ..origin.clone() };
    let sip_name = free_sip_name(&state.store, Some(organization), request.sip_name.clone(), &email).await?;
    let mut name = request.name.clone();
    let may = |inviter: &Inviter| may_invite(inviter, invitation.role);
    let accepted = match state.store.user_by_email(&email).await? {
        // The holder of the link is not necessarily the owner of the account, so the password is required.
        Some((user, _)) => {
            if request.password.len() > PASSWORD_MAX {
                return Err(wrong_credentials());
            }
            let attempt = Attempt::begin(&state.auth, &email, client.address.ip()).await?;
            if !state.auth.passwords.verify(&request.password, Some(user.password_hash)).await? {
                return Err(wrong_credentials());
            }
            attempt.succeeded().await?;
            if state.store.membership_by_user(organization, user.id).await?.is_some() {
                return Err(StoreError::Taken("this membership").into());
            }
            name = user.name;
            let known = Joining::Known(user.id, &sip_name);
            state.store.invitation_accept(organization, &invitation, may, known, by).await?
        }
        None => {
            let password = checked_password(request.password.clone())?;
            let password_hash = hashed(state, &password).await?;
            let new = NewMember {
                email: &email,
                name: &request.name,
                password_hash: &password_hash,
                role: invitation.role,
                sip_name: &sip_name,
            };
            state.store.invitation_accept(organization, &invitation, may, Joining::New(new), by).await?
        }
    };
    let (_, membership) = accepted.ok_or_else(|| Problem::not_found("invitation"))?;
    Ok((email, name, membership))
}

async fn hashed(state: &AppState, password: &Secret) -> Result<String, Problem> {
    Ok(state.auth.passwords.hash(password.reveal()).await.map_err(AccountError::from)?)
}

/// Returns the content of an invitation.
///
/// An invitation that is unknown, expired, accepted or revoked gets the same response.
#[utoipa::path(post, path = "/auth/invitation", tag = "auth", security(()), request_body = InvitationQuestion,
    responses((status = 200, body = InvitationOffer), (status = 404, body = Problem)))]
pub(super) async fn invitation_show(
    State(state): State<AppState>,
    JsonBody(request): JsonBody<InvitationQuestion>,
) -> Result<Json<InvitationOffer>, Problem> {
    let (organization, invitation) = open_invitation(&state, &request.token).await?;
    let organization = state.store.organization_by_id(organization).await?;
    let organization = organization.ok_or_else(|| Problem::not_found("invitation"))?.name;
    let Invitation { email, role, expires_at, .. } = invitation;
    Ok(Json(InvitationOffer { organization, email, role, expires_at }))
}

async fn open_invitation(state: &AppState, token: &str) -> Result<(OrganizationId, Invitation), Problem> {
    let missing = || Problem::not_found("invitation");
    if token.len() > TOKEN_MAX {
        return Err(missing());
    }
    let (organization, invitation) = state.store.invitation_by_hash(&token_hash(token)).await?.ok_or_else(missing)?;
    let inviter = state.store.invitation_inviter(organization, &invitation).await?;
    if !may_invite(&inviter, invitation.role) {
        return Err(missing());
    }
    Ok((organization, invitation))
}

/// Returns whether the inviter may at present invite to this role. This is checked again when an invitation is accepted, because
/// the inviter may have lost rights or left the organization.
fn may_invite(inviter: &Inviter, role: Role) -> bool {
    let rights = match inviter {
        Inviter::Member(role) => Rights::of_role(*role),
        Inviter::Key(scopes) => Rights::of_key_words(scopes.as_deref()),
        Inviter::Gone => Rights::NONE,
    };
    rights.has(Action::TeamWrite) && rights.cover_role(role)
}
