//! Proving that a number is the organization's: a call to it speaks a code, which is typed back.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::{AccountError, Actor, Secret, token_hash, too_early};
use crate::body::{JsonBody, PathId};
use crate::engine;
use crate::problem::Problem;
use crate::rbac::Action;
use crate::state::AppState;
use crate::store::{CallerIdNumber, Deed, Proof, now};

/// A code is good for this long.
const VALID_FOR: Duration = Duration::from_secs(10 * 60);
/// Codes may be typed this often, right or wrong.
pub(super) const TRIES: u32 = 5;
/// Digits of a code.
pub(super) const DIGITS: usize = 6;
/// Time in which calls are counted.
const DAY: Duration = Duration::from_secs(86_400);
/// Calls to one number in a day, whoever asks: nobody is called at a stranger's wish more often.
const PER_NUMBER: u64 = 3;
/// Calls of one organization in a day.
const PER_ORGANIZATION: u64 = 20;

/// A call that speaks a code has begun.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct NumberCallStarted {
    /// Time until which the code is good.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// How often a code may be typed.
    tries: u32,
}

/// A code as it was heard.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NumberCode {
    /// Six digits.
    #[schema(example = "471109")]
    code: String,
}

/// Calls a number and speaks a code, which proves the number when it is typed back.
///
/// A number is called at most three times a day. Without a speech provider no code can be spoken: then the server's
/// operator gives the number, with `tandem number assign`.
#[utoipa::path(post, path = "/caller-id/numbers/{id}/call", tag = "voice", security(("key" = []), ("session" = [])),
    params(("id" = uuid::Uuid, Path, description = "The number")),
    responses((status = 202, body = NumberCallStarted), (status = 403, body = Problem), (status = 404, body = Problem),
              (status = 409, body = Problem), (status = 429, body = Problem)))]
pub(super) async fn number_call(
    State(state): State<AppState>,
    actor: Actor,
    id: PathId,
) -> Result<(StatusCode, Json<NumberCallStarted>), Problem> {
    actor.may(Action::VoiceWrite)?;
    let number = unproven(&state, &actor, &id).await?;
    if engine::is_emergency(&state.config, &number.number) {
        return Err(Problem::forbidden("emergency numbers are not called to speak a code"));
    }
    if !state.bus.providers().iter().any(|provider| provider.kind == "tts" && provider.state == "up") {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "no-speech",
            "No code can be spoken",
            "no speech provider works here; the server's operator can give you the number with `tandem number assign`",
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
    let hash = state.passwords.hash(code.reveal()).await.map_err(AccountError::from)?;
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

/// Takes the code that was spoken in a call to the number. From then on calls to the number are the organization's, and it
/// may be shown.
#[utoipa::path(post, path = "/caller-id/numbers/{id}/code", tag = "voice", security(("key" = []), ("session" = [])),
    params(("id" = uuid::Uuid, Path, description = "The number")), request_body = NumberCode,
    responses((status = 200, body = CallerIdNumber), (status = 404, body = Problem), (status = 409, body = Problem)))]
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
    // The try counts before it is checked.
    let Some(hash) = state.store.caller_id_code_try(actor.organization, before.id).await? else {
        let detail = "no code is good for this number now: it was typed too often, or is over; have the number called";
        return Err(Problem::new(StatusCode::CONFLICT, "no-code", "There is no code to type", detail));
    };
    let target = format!("caller_id_number:{}", before.id);
    if !state.passwords.verify(&request.code, Some(hash)).await? {
        state.audit(&actor, Deed::new("caller_id.number.refuse", target)).await?;
        return Err(Problem::field("code", "this is not the code that was spoken"));
    }
    let none = || Problem::not_found("number");
    if !state.store.caller_id_number_prove(actor.organization, before.id, Proof::Code).await? {
        return Err(none());
    }
    let after = state.store.caller_id_number_show(actor.organization, before.id).await?.ok_or_else(none)?;
    state.audit(&actor, Deed::new("caller_id.number.prove", target).before(&before).after(&after)).await?;
    Ok(Json(after))
}

/// The number, or 409 when nobody needs to prove it any more, or another organization has.
async fn unproven(state: &AppState, actor: &Actor, id: &PathId) -> Result<CallerIdNumber, Problem> {
    let number = state.store.caller_id_number_show(actor.organization, id.of("number")?).await?;
    let number = number.ok_or_else(|| Problem::not_found("number"))?;
    let conflict = |detail: &str| Problem::new(StatusCode::CONFLICT, "proven", "The number is proven already", detail);
    if number.proven_at.is_some() {
        return Err(conflict("the number is your organization's already"));
    }
    match state.store.caller_id_number_organization(&number.number).await? {
        Some(_) => Err(conflict("another organization has proven this number; ask the server's operator")),
        None => Ok(number),
    }
}
