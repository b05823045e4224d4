//! Proof of numbers: a call to the number speaks a code, which the organization sends back.

use crate::config::is_emergency;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::{AccountError, Actor, Secret, token_hash, too_early};
use crate::http::body::{JsonBody, PathId};
use crate::http::problem::Problem;
use crate::state::AppState;
use crate::store::{CallerIdNumber, Deed, Proof, now};
use crate::tenant::rbac::Action;

/// Validity of a code: ten minutes.
const VALID_FOR: Duration = Duration::from_secs(10 * 60);
/// Attempts to enter a code, right or wrong.
pub(super) const TRIES: u32 = 5;
/// Number of digits of a code.
pub(super) const DIGITS: usize = 6;
/// Period in which calls are counted.
const DAY: Duration = Duration::from_secs(86_400);
/// Verification calls to one number per day, by all organizations together. This protects strangers from being called repeatedly.
const PER_NUMBER: u64 = 3;
/// Verification calls of one organization per day.
const PER_ORGANIZATION: u64 = 20;

/// Verification call that has been started.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct NumberCallStarted {
    /// Expiry of the code.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// Number of attempts to enter the code.
    tries: u32,
}

/// Code that was spoken in a verification call.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NumberCode {
    /// Code of six digits.
    #[schema(example = "471109")]
    code: String,
}

/// Calls a number and speaks a verification code.
///
/// Sending the code back proves the number. A number is called at most three times a day. Without a speech provider no code can
/// be spoken; the server's operator can then assign the number with `tandem number assign`.
#[utoipa::path(post, path = "/caller-id/numbers/{id}/call", tag = "voice", security(("key" = []), ("session" = [])),
    params(("id" = uuid::Uuid, Path, description = "Id of the number")),
    responses((status = 202, body = NumberCallStarted),
              (status = 409, body = Problem)))]
pub(super) async fn number_call(
    State(state): State<AppState>,
    actor: Actor,
    id: PathId,
) -> Result<(StatusCode, Json<NumberCallStarted>), Problem> {
    actor.may(Action::VoiceWrite)?;
    let number = unproven(&state, &actor, &id).await?;
    if is_emergency(&state.config, &number.number) {
        return Err(Problem::forbidden("an emergency number cannot be proven by a call"));
    }
    if !state.bus.providers().iter().any(|provider| provider.kind == "tts" && provider.state == "up") {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "no-speech",
            "The code cannot be spoken",
            "no speech provider is available; the server's operator can assign the number to you with `tandem number assign`",
        ));
    }
    let call = state.bus.number_calls().begin().ok_or_else(|| too_early("busy", Duration::from_secs(30)))?;
    let quotas = [
        (token_hash(&format!("number call {}", number.number)), PER_NUMBER),
        (token_hash(&format!("number calls of {}", actor.organization)), PER_ORGANIZATION),
    ];
    let taken = state.store.quota_take(&quotas, DAY).await?;
    taken.map_err(|wait| too_early("too-many-number-calls", wait))?;
    state.limits.admit(actor.organization, call.id(), &number.number)?;
    let (code, expires_at) = (Secret::digits(DIGITS), now() + VALID_FOR);
    let hash = state.auth.passwords.hash(code.reveal()).await.map_err(AccountError::from)?;
    state.store.caller_id_code_put(actor.organization, number.id, &hash, TRIES, expires_at).await?;
    let deed = Deed::new("caller_id.number.call", format!("caller_id_number:{}", number.id));
    state.audit(&actor, deed).await?;
    let (engine, limits, id) = (state.engine.clone(), state.limits.clone(), call.id());
    tokio::spawn(async move {
        call.speak(engine, number.number, code.reveal().to_owned()).await;
        limits.ended(id);
    });
    Ok((StatusCode::ACCEPTED, Json(NumberCallStarted { expires_at, tries: TRIES })))
}

/// Proves a number by the code that was spoken in a call to it.
///
/// From then on, calls to the number belong to the organization, and the organization may show it.
#[utoipa::path(post, path = "/caller-id/numbers/{id}/code", tag = "voice", security(("key" = []), ("session" = [])),
    params(("id" = uuid::Uuid, Path, description = "Id of the number")), request_body = NumberCode,
    responses((status = 200, body = CallerIdNumber), (status = 409, body = Problem)))]
pub(super) async fn number_code(
    State(state): State<AppState>,
    actor: Actor,
    id: PathId,
    JsonBody(request): JsonBody<NumberCode>,
) -> Result<Json<CallerIdNumber>, Problem> {
    actor.may(Action::VoiceWrite)?;
    let before = unproven(&state, &actor, &id).await?;
    if request.code.len() != DIGITS || !request.code.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Problem::field("code", "expected six digits"));
    }
    // The attempt is counted before the code is checked.
    let Some(hash) = state.store.caller_id_code_try(actor.organization, before.id).await? else {
        let detail = "no code is valid for this number: it was entered too often or has expired; start a new call";
        return Err(Problem::new(StatusCode::CONFLICT, "no-code", "No valid code", detail));
    };
    let target = format!("caller_id_number:{}", before.id);
    if !state.auth.passwords.verify(&request.code, Some(hash)).await? {
        state.audit(&actor, Deed::new("caller_id.number.refuse", target)).await?;
        return Err(Problem::field("code", "wrong code"));
    }
    let after = state.store.caller_id_number_prove(actor.organization, &before, Proof::Code, &actor.by).await?;
    Ok(Json(after.ok_or_else(|| Problem::not_found("number"))?))
}

/// Returns the number if it still has to be proven. Otherwise, or if another organization has proven it, returns 409.
async fn unproven(state: &AppState, actor: &Actor, id: &PathId) -> Result<CallerIdNumber, Problem> {
    let number = state.store.caller_id_number_show(actor.organization, id.of("number")?).await?;
    let number = number.ok_or_else(|| Problem::not_found("number"))?;
    let conflict = |detail: &str| Problem::new(StatusCode::CONFLICT, "proven", "The number is already proven", detail);
    if number.proven_at.is_some() {
        return Err(conflict("the number already belongs to your organization"));
    }
    match state.store.caller_id_number_organization(&number.number).await? {
        Some(_) => Err(conflict("another organization has proven this number; ask the server's operator")),
        None => Ok(number),
    }
}
