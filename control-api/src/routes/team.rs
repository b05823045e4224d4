//! Members and invitations of an organization.
//!
//! ```text
//! invite ─▶ quota ─▶ store (token as hash) ─▶ link in the response, and by mail ─▶ `signup` ─▶ member
//! ```
//!
//! Invariants: nobody grants, changes or removes a role with rights that they lack. An organization keeps at least one owner. The
//! token of an invitation is in the fragment of its link, so it is in no log. Mails to strangers are limited (see `mail`).
//!
//! Accepting an invitation is in `signup`.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::{Actor, Secret, check_email, token_hash, too_early};
use crate::calls::phones;
use crate::config::Signup;
use crate::http::body::{JsonBody, PathId, QueryPairs};
use crate::http::client::Client;
use crate::http::cursor::Page;
use crate::http::problem::Problem;
use crate::state::AppState;
use crate::store::{Invitation, InvitationChange, Member, MemberChange, NewInvitation, Place, Role, UserId, now};
use crate::tenant::rbac::Action;

/// Period in which invitations are counted.
const DAY: Duration = Duration::from_secs(86_400);
/// Invitations of one organization per period.
const PER_ORGANIZATION: u64 = 50;
/// Mails to one address per period, by all inviters together.
const PER_RECIPIENT: u64 = 3;
/// Longest name in a mail, in characters.
const MAIL_NAME_MAX: usize = 40;

/// Member of the organization.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct MemberInfo {
    /// Id of the user.
    user_id: Uuid,
    /// E-mail address of the user.
    email: String,
    /// Display name of the user.
    name: String,
    /// Role of the member.
    role: Role,
    /// SIP user name of the member.
    sip_name: String,
    /// Time at which the user joined the organization.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Time of the last log-in, or null if there was none.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_login_at: Option<Timestamp>,
}

/// One page of members, in the order in which they joined.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct MemberList {
    /// The members, in the order in which they joined.
    members: Vec<MemberInfo>,
    /// Cursor of the next page, or null on the last page.
    next_cursor: Option<String>,
}

/// New role of a member.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MemberPatch {
    /// Role that is granted.
    role: Role,
}

/// Invitation to the organization.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct InvitationInfo {
    /// Id of the invitation.
    id: Uuid,
    /// E-mail address of the invited person.
    email: String,
    /// Role that is granted.
    role: Role,
    /// Name of the inviter.
    invited_by: String,
    /// Time of creation.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Expiry of the invitation.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// Whether the invitation can still be accepted.
    state: InvitationState,
}

/// State of an invitation.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum InvitationState {
    /// The invitation can be accepted.
    Open,
    /// The invitation was accepted.
    Accepted,
    /// The invitation has expired.
    Expired,
    /// The invitation was revoked.
    Revoked,
}

/// One page of invitations, newest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct InvitationList {
    /// The invitations, newest first.
    invitations: Vec<InvitationInfo>,
    /// Cursor of the next page, or null on the last page.
    next_cursor: Option<String>,
}

/// Person to invite.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InvitationRequest {
    /// E-mail address of the person.
    #[schema(example = "anna@example.com")]
    email: String,
    /// Role that is granted.
    role: Role,
}

/// New invitation with its link. The link is shown only in this response.
#[derive(Clone, Serialize, ToSchema)]
pub(super) struct InvitationMade {
    #[serde(flatten)]
    invitation: InvitationInfo,
    /// Link to accept the invitation. Everybody who has it can accept.
    url: String,
    /// Whether the mail server accepted a mail with the link.
    mailed: bool,
}

impl From<Member> for MemberInfo {
    fn from(member: Member) -> MemberInfo {
        let Member { user, email, name, role, sip_name, created_at, last_login_at } = member;
        MemberInfo { user_id: user.0, email, name, role, sip_name, created_at, last_login_at }
    }
}

impl From<Invitation> for InvitationInfo {
    fn from(invitation: Invitation) -> InvitationInfo {
        let state = match &invitation {
            Invitation { accepted_at: Some(_), .. } => InvitationState::Accepted,
            Invitation { revoked_at: Some(_), .. } => InvitationState::Revoked,
            open if open.is_open(now()) => InvitationState::Open,
            _ => InvitationState::Expired,
        };
        let Invitation { id, email, role, invited_by, created_at, expires_at, .. } = invitation;
        InvitationInfo { id, email, role, invited_by, created_at, expires_at, state }
    }
}

/// Lists the organization's members.
#[utoipa::path(get, path = "/team/members", tag = "team", security(("key" = []), ("session" = [])),
    params(("limit" = Option<u32>, Query, description = "Page size, 1 to 200; 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page")),
    responses((status = 200, body = MemberList)))]
pub(super) async fn member_list(
    State(state): State<AppState>,
    actor: Actor,
    query: QueryPairs,
) -> Result<Json<MemberList>, Problem> {
    actor.may(Action::OrganizationRead)?;
    let [limit, cursor] = query.take(["limit", "cursor"])?;
    let page = Page::read("members", actor.organization, "", cursor.as_deref(), limit.as_deref())?;
    let after = page.after.unwrap_or(Place::FIRST);
    let mut members = state.store.member_list(actor.organization, after, page.fetch()).await?;
    let next_cursor = page.cut(&mut members, |last| Place::of(last.created_at, last.user.0));
    Ok(Json(MemberList { members: members.into_iter().map(Into::into).collect(), next_cursor }))
}

/// Changes the role of a member.
///
/// Neither the old nor the new role may have permissions that the caller lacks, and the last owner cannot be changed. A member
/// whose new role may not make calls loses the phone registration; calls in progress continue.
#[utoipa::path(patch, path = "/team/members/{id}", tag = "team", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the user")), request_body = MemberPatch,
    responses((status = 200, body = MemberInfo), (status = 409, body = Problem)))]
pub(super) async fn member_update(
    State(state): State<AppState>,
    actor: Actor,
    id: PathId,
    JsonBody(patch): JsonBody<MemberPatch>,
) -> Result<Json<MemberInfo>, Problem> {
    actor.may(Action::TeamWrite)?;
    let user = UserId(id.of("member")?);
    let covers = |role| actor.rights().cover_role(role);
    let change = state.store.member_role_change(actor.organization, user, patch.role, covers, &actor.by).await?;
    state.auth.credentials.forget();
    let member = changed(change)?;
    if !phones::may_call(member.role) {
        phones::end(&state.engine, vec![member.sip_name.clone()]).await;
    }
    Ok(Json(member.into()))
}

/// Removes a member.
///
/// The member's role may not have permissions that the caller lacks, and the last owner cannot be removed. Sessions and phone
/// registrations of the member end; calls in progress continue.
#[utoipa::path(delete, path = "/team/members/{id}", tag = "team", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the user")),
    responses((status = 204), (status = 409, body = Problem)))]
pub(super) async fn member_remove(
    State(state): State<AppState>,
    actor: Actor,
    id: PathId,
) -> Result<StatusCode, Problem> {
    actor.may(Action::TeamWrite)?;
    let user = UserId(id.of("member")?);
    let covers = |role| actor.rights().cover_role(role);
    let change = state.store.member_remove(actor.organization, user, covers, &actor.by).await?;
    state.auth.credentials.forget();
    phones::end(&state.engine, vec![changed(change)?.sip_name]).await;
    Ok(StatusCode::NO_CONTENT)
}

fn changed(change: MemberChange) -> Result<Member, Problem> {
    match change {
        MemberChange::Done(member) => Ok(member),
        MemberChange::NoSuch => Err(Problem::not_found("member")),
        MemberChange::BeyondRights => {
            Err(Problem::forbidden("the old or the new role of the member has permissions that you do not have"))
        }
        MemberChange::LastOwner => Err(Problem::new(
            StatusCode::CONFLICT,
            "last-owner",
            "The organization needs an owner",
            "this is the last owner; make another member an owner first",
        )),
    }
}

/// Lists the organization's invitations, newest first.
#[utoipa::path(get, path = "/team/invitations", tag = "team", security(("key" = []), ("session" = [])),
    params(("limit" = Option<u32>, Query, description = "Page size, 1 to 200; 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page")),
    responses((status = 200, body = InvitationList)))]
pub(super) async fn invitation_list(
    State(state): State<AppState>,
    actor: Actor,
    query: QueryPairs,
) -> Result<Json<InvitationList>, Problem> {
    actor.may(Action::TeamWrite)?;
    let [limit, cursor] = query.take(["limit", "cursor"])?;
    let page = Page::read("invitations", actor.organization, "", cursor.as_deref(), limit.as_deref())?;
    let after = page.after.unwrap_or(Place::LAST);
    let mut invitations = state.store.invitation_list(actor.organization, after, page.fetch()).await?;
    let next_cursor = page.cut(&mut invitations, |last| Place::of(last.created_at, last.id));
    Ok(Json(InvitationList { invitations: invitations.into_iter().map(Into::into).collect(), next_cursor }))
}

/// Invites a person to the organization.
///
/// The response contains the link, which is also mailed where mail is configured. An earlier open invitation of the same address
/// is revoked.
#[utoipa::path(post, path = "/team/invitations", tag = "team", security(("key" = []), ("session" = [])),
    request_body = InvitationRequest,
    responses((status = 201, body = InvitationMade), (status = 409, body = Problem)))]
pub(super) async fn invitation_create(
    State(state): State<AppState>,
    actor: Actor,
    client: Client,
    JsonBody(request): JsonBody<InvitationRequest>,
) -> Result<Response, Problem> {
    actor.may(Action::TeamWrite)?;
    check_email(&request.email)?;
    actor.covers_role(request.role)?;
    let quota = [(token_hash(&format!("invitations of {}", actor.organization)), PER_ORGANIZATION)];
    let taken = state.store.quota_take(&quota, DAY).await?;
    taken.map_err(|wait| too_early("too-many-invitations", wait))?;
    let token = Secret::random("");
    let hours = Duration::from_secs(u64::from(state.config.auth.invitation_hours) * 3600);
    let new = NewInvitation {
        email: &request.email,
        role: request.role,
        token_hash: &token.hash(),
        expires_at: now() + hours,
    };
    let covers = |role| actor.rights().cover_role(role);
    let invitation = state.store.invitation_create(actor.organization, new, covers, &actor.by).await?;
    let invitation = invitation.ok_or_else(beyond_rights)?;
    // A browser does not send the part after `#` to a server, so the token appears in no log.
    let url = format!("{}/invitation#{}", client.base_url(&state.config), token.reveal());
    let mailed = mail(&state, &actor, &invitation, &url).await;
    let made = InvitationMade { invitation: invitation.into(), url, mailed };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(made)).into_response())
}

/// Mails the link of an invitation, and returns whether the mail server accepted it. A failure does not undo the invitation,
/// because its link was shown.
///
/// Strangers must not be able to write to strangers through this server. Where sign-up is open, nothing is mailed unless the
/// operator allows it. One address gets few mails a day, whoever invites. Names are reduced so that they cannot contain links or
/// messages.
async fn mail(state: &AppState, actor: &Actor, invitation: &Invitation, url: &str) -> bool {
    let Some(mail) = &state.mail else { return false };
    if state.config.auth.signup == Signup::Open && !state.config.mail.open_invitations {
        return false;
    }
    let quota = [(token_hash(&format!("invitations to {}", invitation.email)), PER_RECIPIENT)];
    match state.store.quota_take(&quota, DAY).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => {
            metrics::counter!("tandem_mails_throttled_total").increment(1);
            tracing::warn!(invitation = %invitation.id, "an invitation was not mailed: too many mails to this address today");
            return false;
        }
        Err(error) => {
            tracing::error!(%error, "cannot count a mail in the store");
            return false;
        }
    }
    let (organization, inviter) = (mail_name(actor.organization_name()), mail_name(actor.name()));
    let subject = format!("Invitation to {organization}");
    let text = format!(
        "{inviter} invites you to {organization} on Tandem.\r\n\r\nTo take the invitation, open this address until {}:\r\n\r\n\
         {url}\r\n\r\nEverybody who has the address can accept. If you do not know {inviter}, ignore this mail.\r\n",
        invitation.expires_at.strftime("%Y-%m-%d %H:%M UTC"),
    );
    match mail.send(&invitation.email, &subject, text).await {
        Ok(()) => true,
        Err(error) => {
            metrics::counter!("tandem_mails_failed_total").increment(1);
            tracing::warn!(%error, invitation = %invitation.id, "an invitation could not be mailed");
            false
        }
    }
}

/// Returns a name as mails show it: at most 40 letters, digits and characters that cannot form a link.
fn mail_name(name: &str) -> String {
    let fit = |c: char| c.is_alphanumeric() || " ,'&-".contains(c);
    let words: String = name.chars().map(|c| if fit(c) { c } else { ' ' }).collect();
    let short: String = words.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MAIL_NAME_MAX).collect();
    if short.is_empty() { "an organization".to_owned() } else { short }
}

/// Revokes an invitation, so that it can no longer be accepted.
#[utoipa::path(delete, path = "/team/invitations/{id}", tag = "team", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the invitation")),
    responses((status = 204)))]
pub(super) async fn invitation_revoke(
    State(state): State<AppState>,
    actor: Actor,
    id: PathId,
) -> Result<StatusCode, Problem> {
    actor.may(Action::TeamWrite)?;
    let covers = |role| actor.rights().cover_role(role);
    match state.store.invitation_revoke(actor.organization, id.of("invitation")?, covers, &actor.by).await? {
        InvitationChange::Done => Ok(StatusCode::NO_CONTENT),
        InvitationChange::NoSuch => Err(Problem::not_found("invitation")),
        InvitationChange::BeyondRights => Err(beyond_rights()),
    }
}

fn beyond_rights() -> Problem {
    Problem::forbidden("the role of this invitation has permissions that you do not have")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_mails_cannot_contain_messages_or_links() {
        for (name, shown) in [
            ("Acme Ltd", "Acme Ltd"),
            ("Ünïcode, \"Ltd\" <x@y>", "Ünïcode, Ltd x y"),
            ("Win at https://evil.example/?a=1", "Win at https evil example a 1"),
            ("anna@example.com", "anna example com"),
            ("<>", "an organization"),
        ] {
            assert_eq!(mail_name(name), shown);
        }
        assert_eq!(mail_name(&"x".repeat(100)).len(), MAIL_NAME_MAX);
    }
}
