//! Members and invitations.

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
use crate::body::{JsonBody, PathId, QueryPairs};
use crate::client::Client;
use crate::config::Signup;
use crate::cursor::Page;
use crate::phones;
use crate::problem::Problem;
use crate::rbac::Action;
use crate::state::AppState;
use crate::store::{Invitation, InvitationChange, Member, MemberChange, NewInvitation, Place, Role, UserId, now};

/// Time in which invitations are counted.
const DAY: Duration = Duration::from_secs(86_400);
/// Invitations of one organization in that time.
const PER_ORGANIZATION: u64 = 50;
/// Mails to one address in that time, whoever invites.
const PER_RECIPIENT: u64 = 3;
/// Longest name in a mail.
const MAIL_NAME_MAX: usize = 40;

/// A member.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct MemberInfo {
    user_id: Uuid,
    email: String,
    name: String,
    role: Role,
    /// SIP user name.
    sip_name: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_login_at: Option<Timestamp>,
}

/// Members in the order in which they came.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct MemberList {
    members: Vec<MemberInfo>,
    /// For the next page; nothing: this was the last.
    next_cursor: Option<String>,
}

/// A member's new role.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MemberPatch {
    role: Role,
}

/// An invitation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct InvitationInfo {
    id: Uuid,
    email: String,
    role: Role,
    /// Name of who invited.
    invited_by: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    state: InvitationState,
}

/// Whether an invitation can be taken.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum InvitationState {
    /// It can.
    Open,
    /// It was.
    Accepted,
    /// It is over.
    Expired,
    /// It was taken back.
    Revoked,
}

/// Invitations, newest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct InvitationList {
    invitations: Vec<InvitationInfo>,
    /// For the next page; nothing: this was the last.
    next_cursor: Option<String>,
}

/// Who is to be invited.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InvitationRequest {
    #[schema(example = "anna@example.com")]
    email: String,
    /// As what.
    role: Role,
}

/// An invitation with its link, shown this once.
#[derive(Clone, Serialize, ToSchema)]
pub(super) struct InvitationMade {
    #[serde(flatten)]
    invitation: InvitationInfo,
    /// Whoever has it can take the invitation.
    url: String,
    /// Whether the mail server took a mail with it.
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

/// The tenant's members.
#[utoipa::path(get, path = "/team/members", tag = "team", security(("key" = []), ("session" = [])),
    params(("limit" = Option<u32>, Query, description = "At most this many, 1 to 200; 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")),
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

/// Gives a member another role. Neither the old role nor the new one may do what the caller may not; the last owner stays.
/// A member whose new role may not make calls loses the telephone; running calls go on.
#[utoipa::path(patch, path = "/team/members/{id}", tag = "team", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The person")), request_body = MemberPatch,
    responses((status = 200, body = MemberInfo), (status = 404, body = Problem), (status = 409, body = Problem)))]
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
    state.credentials.forget();
    let member = changed(change)?;
    if !phones::may_call(member.role) {
        phones::end(&state.engine, vec![member.sip_name.clone()]).await;
    }
    Ok(Json(member.into()))
}

/// Removes a member, whose role may do nothing that the caller may not. Sessions and registrations of the telephone end,
/// running calls go on. The last owner stays.
#[utoipa::path(delete, path = "/team/members/{id}", tag = "team", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The person")),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn member_remove(
    State(state): State<AppState>,
    actor: Actor,
    id: PathId,
) -> Result<StatusCode, Problem> {
    actor.may(Action::TeamWrite)?;
    let user = UserId(id.of("member")?);
    let covers = |role| actor.rights().cover_role(role);
    let change = state.store.member_remove(actor.organization, user, covers, &actor.by).await?;
    state.credentials.forget();
    phones::end(&state.engine, vec![changed(change)?.sip_name]).await;
    Ok(StatusCode::NO_CONTENT)
}

fn changed(change: MemberChange) -> Result<Member, Problem> {
    match change {
        MemberChange::Done(member) => Ok(member),
        MemberChange::NoSuch => Err(Problem::not_found("member")),
        MemberChange::BeyondRights => {
            Err(Problem::forbidden("the member's role, before or after, may do what you may not"))
        }
        MemberChange::LastOwner => Err(Problem::new(
            StatusCode::CONFLICT,
            "last-owner",
            "Somebody must own the organization",
            "this is the last owner; make somebody else an owner first",
        )),
    }
}

/// The tenant's invitations.
#[utoipa::path(get, path = "/team/invitations", tag = "team", security(("key" = []), ("session" = [])),
    params(("limit" = Option<u32>, Query, description = "At most this many, 1 to 200; 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")),
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

/// Invites somebody. The link is shown to whoever invites, and mailed where mail is configured. An earlier open invitation
/// of the same address ends.
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
    // Behind # it is sent to no server and stands in no log.
    let url = format!("{}/invitation#{}", client.base_url(&state.config), token.reveal());
    let mailed = mail(&state, &actor, &invitation, &url).await;
    let made = InvitationMade { invitation: invitation.into(), url, mailed };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(made)).into_response())
}

/// Mails a link; whether the server took it. That it did not does not undo the invitation: its link was shown.
///
/// Strangers must not write to strangers by us: where everybody may sign up, nothing is mailed unless the operator says so;
/// one address gets few mails a day, whoever invites; and names are cut to what cannot be a link or a text.
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
            tracing::warn!(invitation = %invitation.id, "an invitation was not mailed: its address has had enough for today");
            return false;
        }
        Err(error) => {
            tracing::error!(%error, "the store failed to count a mail");
            return false;
        }
    }
    let (organization, inviter) = (mail_name(actor.organization_name()), mail_name(actor.name()));
    let subject = format!("Invitation to {organization}");
    let text = format!(
        "{inviter} invites you to {organization} on Tandem.\r\n\r\nTo take the invitation, open this address until {}:\r\n\r\n\
         {url}\r\n\r\nWhoever has the address can take it. If you do not know {inviter}, ignore this mail.\r\n",
        invitation.expires_at.strftime("%Y-%m-%d %H:%M UTC"),
    );
    match mail.send(&invitation.email, &subject, text).await {
        Ok(()) => true,
        Err(error) => {
            metrics::counter!("tandem_mails_failed_total").increment(1);
            tracing::warn!(%error, invitation = %invitation.id, "an invitation was not mailed");
            false
        }
    }
}

/// A name as mails show it: at most 40 letters, digits and signs that make no link.
fn mail_name(name: &str) -> String {
    let fit = |c: char| c.is_alphanumeric() || " ,'&-".contains(c);
    let words: String = name.chars().map(|c| if fit(c) { c } else { ' ' }).collect();
    let short: String = words.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MAIL_NAME_MAX).collect();
    if short.is_empty() { "an organization".to_owned() } else { short }
}

/// Takes an invitation back.
#[utoipa::path(delete, path = "/team/invitations/{id}", tag = "team", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The invitation")),
    responses((status = 204), (status = 404, body = Problem)))]
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
    Problem::forbidden("this person is invited to a role that may do what you may not")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_mails_are_no_text_and_no_link() {
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
