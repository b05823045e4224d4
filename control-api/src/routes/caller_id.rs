//! Caller IDs: the organization's numbers, and the rules for showing them.
//!
//! A number can be shown once the operator has given it to the organization or the organization has proven it (`number_proof`).
//! As soon as an organization has rules, a call shows a number only if a rule allows it for the agent and the destination.
//!
//! Invariants: a number belongs to one organization only; rules are tried in the order of their positions. The choice for a call
//! without `from` is in `crate::calls::caller_identity`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::Actor;
use crate::calls::caller_identity as identity;
use crate::http::body::{JsonBody, PathId, QueryPairs};
use crate::http::cursor::Page;
use crate::http::problem::Problem;
use crate::state::AppState;
use crate::store::{CallerIdNumber, CallerIdRule, CallerIdRuleDraft, Place};
use crate::tenant::number;
use crate::tenant::rbac::Action;
use crate::tenant::text;

/// Longest label and longest name of a campaign, in characters.
pub(super) const NAME_MAX: usize = 100;
/// Largest position of a rule.
pub(super) const POSITION_MAX: u32 = 1_000_000;
/// Largest number of rules of an organization. Each call is compared with all of them.
const RULES_MAX: usize = 1_000;

/// One page of numbers, oldest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct NumberList {
    /// The numbers, oldest first.
    numbers: Vec<CallerIdNumber>,
    /// Cursor of the next page, or null on the last page.
    next_cursor: Option<String>,
}

/// Number to add.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NumberRequest {
    /// Phone number in E.164 format. It must not belong to another organization.
    #[schema(example = "+15555550100")]
    number: String,
    /// Label that says what the number is for, at most 100 characters.
    label: Option<String>,
}

/// Fields of a number to change.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NumberPatch {
    /// Label that says what the number is for, at most 100 characters. May be empty.
    label: String,
}

/// Rules in the order in which they are tried.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct RuleList {
    /// The rules, in order of their positions.
    rules: Vec<CallerIdRule>,
}

/// Rule that allows agents to show a number to destinations. A condition that is left out matches every call.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleRequest {
    /// Id of one of the organization's numbers.
    number_id: Uuid,
    /// Position of the rule. Rules are tried from the lowest position to the highest. Defaults to the end.
    position: Option<u32>,
    /// SIP user name of the only agent who may show the number.
    agent: Option<String>,
    /// Name of the only campaign that may show the number.
    campaign: Option<String>,
    /// Prefix of the destinations: `+` and 1 to 15 digits.
    #[schema(example = "+34")]
    destination_prefix: Option<String>,
}

/// Fields of a rule to change. A field that is left out keeps its value; `null` removes the condition.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RulePatch {
    /// Id of one of the organization's numbers.
    number_id: Option<Uuid>,
    /// Position of the rule. Rules are tried from the lowest position to the highest.
    position: Option<u32>,
    /// SIP user name of the only agent who may show the number.
    #[serde(default, deserialize_with = "null_or_value")]
    #[schema(value_type = Option<String>)]
    agent: Option<Option<String>>,
    /// Name of the only campaign that may show the number.
    #[serde(default, deserialize_with = "null_or_value")]
    #[schema(value_type = Option<String>)]
    campaign: Option<Option<String>>,
    /// Prefix of the destinations: `+` and 1 to 15 digits.
    #[serde(default, deserialize_with = "null_or_value")]
    #[schema(value_type = Option<String>)]
    destination_prefix: Option<Option<String>>,
}

/// Distinguishes `null` from a field that was left out: `Some(None)` and `None`.
fn null_or_value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

fn checked_label(label: &str) -> Result<String, Problem> {
    if label.trim().is_empty() { Ok(String::new()) } else { Ok(text::name("label", label, NAME_MAX)?) }
}

/// Lists the organization's numbers, oldest first.
#[utoipa::path(get, path = "/caller-id/numbers", tag = "voice", security(("key" = []), ("session" = [])),
    params(("limit" = Option<u32>, Query, description = "Page size, 1 to 200; 50 by default"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page")),
    responses((status = 200, body = NumberList)))]
pub(super) async fn number_list(
    State(state): State<AppState>,
    actor: Actor,
    query: QueryPairs,
) -> Result<Json<NumberList>, Problem> {
    actor.may(Action::VoiceRead)?;
    let [limit, cursor] = query.take(["limit", "cursor"])?;
    let page = Page::read("numbers", actor.organization, "", cursor.as_deref(), limit.as_deref())?;
    let after = page.after.unwrap_or(Place::FIRST);
    let mut numbers = state.store.caller_id_number_list(actor.organization, after, page.fetch()).await?;
    let next_cursor = page.cut(&mut numbers, |number| Place::of(number.created_at, number.id));
    Ok(Json(NumberList { numbers, next_cursor }))
}

/// Adds a number.
///
/// From now on, calls to this number that name no agent belong to the organization.
#[utoipa::path(post, path = "/caller-id/numbers", tag = "voice", security(("key" = []), ("session" = [])),
    request_body = NumberRequest,
    responses((status = 201, body = CallerIdNumber), (status = 409, body = Problem)))]
pub(super) async fn number_create(
    State(state): State<AppState>,
    actor: Actor,
    JsonBody(request): JsonBody<NumberRequest>,
) -> Result<(StatusCode, Json<CallerIdNumber>), Problem> {
    actor.may(Action::VoiceWrite)?;
    if !number::is_e164(&request.number) {
        return Err(Problem::field("number", "expected a number in E.164 form such as +15555550142"));
    }
    let label = checked_label(request.label.as_deref().unwrap_or_default())?;
    let number = state.store.caller_id_number_create(actor.organization, &request.number, &label, &actor.by).await?;
    Ok((StatusCode::CREATED, Json(number)))
}

/// Changes the label of a number.
#[utoipa::path(patch, path = "/caller-id/numbers/{id}", tag = "voice", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the number")), request_body = NumberPatch,
    responses((status = 200, body = CallerIdNumber)))]
pub(super) async fn number_update(
    State(state): State<AppState>,
    actor: Actor,
    id: PathId,
    JsonBody(patch): JsonBody<NumberPatch>,
) -> Result<Json<CallerIdNumber>, Problem> {
    actor.may(Action::VoiceWrite)?;
    let none = || Problem::not_found("number");
    let before = state.store.caller_id_number_show(actor.organization, id.of("number")?).await?.ok_or_else(none)?;
    let after = CallerIdNumber { label: checked_label(&patch.label)?, ..before.clone() };
    if !state.store.caller_id_number_update(actor.organization, &before, &after, &actor.by).await? {
        return Err(none());
    }
    Ok(Json(after))
}

/// Deletes a number and its rules.
#[utoipa::path(delete, path = "/caller-id/numbers/{id}", tag = "voice", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the number")),
    responses((status = 204)))]
pub(super) async fn number_delete(
    State(state): State<AppState>,
    actor: Actor,
    id: PathId,
) -> Result<StatusCode, Problem> {
    actor.may(Action::VoiceWrite)?;
    let none = || Problem::not_found("number");
    let before = state.store.caller_id_number_show(actor.organization, id.of("number")?).await?.ok_or_else(none)?;
    if !state.store.caller_id_number_delete(actor.organization, &before, &actor.by).await? {
        return Err(none());
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the organization's rules.
///
/// As soon as there is one, calls can show only numbers that a rule allows.
#[utoipa::path(get, path = "/caller-id/rules", tag = "voice", security(("key" = []), ("session" = [])),
    responses((status = 200, body = RuleList)))]
pub(super) async fn rule_list(State(state): State<AppState>, actor: Actor) -> Result<Json<RuleList>, Problem> {
    actor.may(Action::VoiceRead)?;
    Ok(Json(RuleList { rules: state.store.caller_id_rule_list(actor.organization).await? }))
}

/// Adds a rule for showing a number.
///
/// The `from` of a call must be the number of a rule that matches its agent and destination. Without `from`, the number of the
/// first matching rule is shown.
#[utoipa::path(post, path = "/caller-id/rules", tag = "voice", security(("key" = []), ("session" = [])),
    request_body = RuleRequest,
    responses((status = 201, body = CallerIdRule), (status = 409, body = Problem)))]
pub(super) async fn rule_create(
    State(state): State<AppState>,
    actor: Actor,
    JsonBody(request): JsonBody<RuleRequest>,
) -> Result<(StatusCode, Json<CallerIdRule>), Problem> {
    actor.may(Action::VoiceWrite)?;
    let draft = CallerIdRuleDraft {
        position: request.position,
        number_id: request.number_id,
        agent: request.agent,
        campaign: request.campaign,
        destination_prefix: request.destination_prefix,
    };
    let draft = checked_rule(&state, &actor, draft).await?;
    if state.store.caller_id_rule_list(actor.organization).await?.len() >= RULES_MAX {
        let detail = format!("an organization has at most {RULES_MAX} rules; remove one first");
        return Err(Problem::new(StatusCode::CONFLICT, "too-many", "Too many rules", detail));
    }
    let rule = state.store.caller_id_rule_create(actor.organization, &draft, &actor.by).await?;
    let rule = rule.ok_or_else(no_such_number)?;
    Ok((StatusCode::CREATED, Json(rule)))
}

/// Changes a rule. Fields that are left out keep their value.
#[utoipa::path(patch, path = "/caller-id/rules/{id}", tag = "voice", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the rule")), request_body = RulePatch,
    responses((status = 200, body = CallerIdRule)))]
pub(super) async fn rule_update(
    State(state): State<AppState>,
    actor: Actor,
    id: PathId,
    JsonBody(patch): JsonBody<RulePatch>,
) -> Result<Json<CallerIdRule>, Problem> {
    actor.may(Action::VoiceWrite)?;
    let none = || Problem::not_found("rule");
    let before = state.store.caller_id_rule_show(actor.organization, id.of("rule")?).await?.ok_or_else(none)?;
    let old = before.clone();
    let draft = CallerIdRuleDraft {
        position: patch.position.or(Some(old.position)),
        number_id: patch.number_id.unwrap_or(old.number_id),
        agent: patch.agent.unwrap_or(old.agent),
        campaign: patch.campaign.unwrap_or(old.campaign),
        destination_prefix: patch.destination_prefix.unwrap_or(old.destination_prefix),
    };
    let draft = checked_rule(&state, &actor, draft).await?;
    let after = state.store.caller_id_rule_update(actor.organization, &before, &draft, &actor.by).await?;
    Ok(Json(after.ok_or_else(none)?))
}

/// Deletes a rule for showing a number.
#[utoipa::path(delete, path = "/caller-id/rules/{id}", tag = "voice", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the rule")),
    responses((status = 204)))]
pub(super) async fn rule_delete(
    State(state): State<AppState>,
    actor: Actor,
    id: PathId,
) -> Result<StatusCode, Problem> {
    actor.may(Action::VoiceWrite)?;
    let none = || Problem::not_found("rule");
    let before = state.store.caller_id_rule_show(actor.organization, id.of("rule")?).await?.ok_or_else(none)?;
    if !state.store.caller_id_rule_delete(actor.organization, &before, &actor.by).await? {
        return Err(none());
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn checked_rule(state: &AppState, actor: &Actor, draft: CallerIdRuleDraft) -> Result<CallerIdRuleDraft, Problem> {
    if draft.position.is_some_and(|position| position > POSITION_MAX) {
        return Err(Problem::field("position", format!("expected a number up to {POSITION_MAX}")));
    }
    if state.store.caller_id_number_show(actor.organization, draft.number_id).await?.is_none() {
        return Err(no_such_number());
    }
    if let Some(agent) = &draft.agent
        && state.store.membership_by_sip_name(actor.organization, agent).await?.is_none()
    {
        return Err(Problem::field("agent", "no agent of your organization has this SIP user name"));
    }
    let digits = |prefix: &str| {
        prefix.strip_prefix('+').is_some_and(|digits| {
            (1..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit())
        })
    };
    if draft.destination_prefix.as_deref().is_some_and(|prefix| !digits(prefix)) {
        return Err(Problem::field("destination_prefix", "expected `+` and 1 to 15 digits, such as +34"));
    }
    let campaign = draft.campaign.as_deref().map(|name| text::name("campaign", name, NAME_MAX)).transpose()?;
    Ok(CallerIdRuleDraft { campaign, ..draft })
}

fn no_such_number() -> Problem {
    Problem::field("number_id", "your organization has no number with this id")
}

/// Returns the caller ID that a call shows. A requested number must be proven, and allowed by a rule if there are rules. Without
/// a request, the number of the first matching rule is returned, or `None`.
pub(super) async fn checked_caller_id(
    state: &AppState,
    actor: &Actor,
    agent: Option<&str>,
    to: &str,
    from: Option<String>,
) -> Result<Option<String>, Problem> {
    let Some(from) = from else {
        return Ok(identity::of_call(&state.store, &state.config, actor.organization, agent, to).await?);
    };
    let refused = |detail: &str| Problem {
        field: Some("from".into()),
        ..Problem::new(
            StatusCode::FORBIDDEN,
            "caller-id-refused",
            "This caller ID may not be shown on this call",
            detail.to_owned(),
        )
    };
    if !state.store.caller_id_proven(actor.organization, &from).await? {
        return Err(refused(
            "from: expected a number that the operator gave to your organization, or one that it has proven",
        ));
    }
    let rules = state.store.caller_id_rule_list(actor.organization).await?;
    let to = identity::destination(&state.config, to);
    match rules.is_empty() || rules.iter().any(|rule| rule.number == from && rule.fits(agent, &to)) {
        true => Ok(Some(from)),
        false => Err(refused("from: no caller ID rule allows this agent to show this number to this destination")),
    }
}
