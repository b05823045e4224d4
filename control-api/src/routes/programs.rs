//! Call programs of numbers, and the secret by which servers of programs know our requests.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::Actor;
use crate::body::{JsonBody, PathId};
use crate::problem::Problem;
use crate::programs::{self, NoProgram, Supply};
use crate::rbac::Action;
use crate::state::AppState;
use crate::store::{self, Deed};

/// What is to happen to whoever calls a number: `program` or `program_url`, one of both.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProgramRequest {
    /// A list of steps, as in docs/programs.md.
    #[schema(value_type = Option<Vec<Object>>, example = json!([{"speak": {"text": "Welcome.", "language": "en"}}]))]
    program: Option<Box<RawValue>>,
    /// Where the program is asked for when a call comes: an absolute URL of https or http.
    #[schema(example = "https://programs.example/menu")]
    program_url: Option<String>,
    /// The program that runs once when another one cannot be had.
    #[schema(value_type = Option<Vec<Object>>)]
    fallback: Option<Box<RawValue>>,
}

/// What happens to whoever calls a number.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct NumberProgram {
    /// The number's identity.
    number_id: Uuid,
    /// Its program, when it has one of its own.
    #[schema(value_type = Option<Vec<Object>>)]
    program: Option<Box<RawValue>>,
    /// Where its program is asked for, when it has none.
    program_url: Option<String>,
    /// The program that runs once when another one cannot be had.
    #[schema(value_type = Option<Vec<Object>>)]
    fallback: Option<Box<RawValue>>,
    /// Time of the last change.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// The secret that signs requests to servers of programs.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ProgramSecret {
    /// 64 hexadecimal digits.
    secret: String,
}

impl From<store::NumberProgram> for NumberProgram {
    fn from(kept: store::NumberProgram) -> NumberProgram {
        let store::NumberProgram { number_id, program, program_url, fallback, updated_at } = kept;
        // They were JSON when they were kept.
        let raw = |text: Option<String>| text.and_then(|text| RawValue::from_string(text).ok());
        NumberProgram { number_id, program: raw(program), program_url, fallback: raw(fallback), updated_at }
    }
}

impl From<NoProgram> for Problem {
    fn from(NoProgram { field, problem }: NoProgram) -> Problem {
        Problem::field(field, problem)
    }
}

/// The program of a number.
#[utoipa::path(get, path = "/caller-id/numbers/{id}/program", tag = "voice", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The number")),
    responses((status = 200, body = NumberProgram), (status = 404, body = Problem)))]
pub(super) async fn program_show(
    State(state): State<AppState>,
    actor: Actor,
    id: PathId,
) -> Result<Json<NumberProgram>, Problem> {
    actor.may(Action::VoiceRead)?;
    let kept = state.store.number_program_show(actor.organization, id.of("program")?).await?;
    kept.map(|kept| Json(kept.into())).ok_or_else(|| Problem::not_found("program"))
}

/// Gives a number a program: it takes the calls that come to this number through a trunk, once the number is proven.
///
/// Calls that run go on with what they have.
#[utoipa::path(put, path = "/caller-id/numbers/{id}/program", tag = "voice", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The number")), request_body = ProgramRequest,
    responses((status = 200, body = NumberProgram), (status = 404, body = Problem)))]
pub(super) async fn program_put(
    State(state): State<AppState>,
    actor: Actor,
    id: PathId,
    JsonBody(request): JsonBody<ProgramRequest>,
) -> Result<Json<NumberProgram>, Problem> {
    actor.may(Action::VoiceWrite)?;
    let ProgramRequest { program, program_url, fallback } = &request;
    let (program, fallback) = (program.as_ref().map(|raw| raw.get()), fallback.as_ref().map(|raw| raw.get()));
    let none = || Problem::not_found("number");
    let number = state.store.caller_id_number_show(actor.organization, id.of("number")?).await?.ok_or_else(none)?;
    let supply = Supply::read((program, program_url.as_deref()), ("fallback", fallback))?;
    let supply = supply.ok_or_else(|| Problem::field("program", "expected `program` or `program_url`"))?;
    let before = state.store.number_program_show(actor.organization, number.id).await?;
    let put = (program, program_url.as_deref());
    let after = state.store.number_program_put(actor.organization, number.id, put, fallback).await?.ok_or_else(none)?;
    let deed = Deed::new("caller_id.number.program", format!("caller_id_number:{}", number.id));
    let deed = match &before {
        Some(before) => deed.before(told(before)),
        None => deed,
    };
    let steps = json!({"steps": supply.program.steps(), "program": told(&after)});
    state.audit(&actor, deed.after(&steps)).await?;
    Ok(Json(after.into()))
}

/// Takes a number's program away: calls to it go where its route leads.
#[utoipa::path(delete, path = "/caller-id/numbers/{id}/program", tag = "voice", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The number")),
    responses((status = 204), (status = 404, body = Problem)))]
pub(super) async fn program_delete(
    State(state): State<AppState>,
    actor: Actor,
    id: PathId,
) -> Result<StatusCode, Problem> {
    actor.may(Action::VoiceWrite)?;
    let none = || Problem::not_found("program");
    let before = state.store.number_program_show(actor.organization, id.of("program")?).await?.ok_or_else(none)?;
    if !state.store.number_program_delete(actor.organization, before.number_id).await? {
        return Err(none());
    }
    let deed = Deed::new("caller_id.number.program", format!("caller_id_number:{}", before.number_id));
    state.audit(&actor, deed.before(told(&before))).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The secret that signs requests to servers of programs.
#[utoipa::path(get, path = "/voice/program-secret", tag = "voice", security(("key" = []), ("session" = [])),
    responses((status = 200, body = ProgramSecret)))]
pub(super) async fn secret_show(State(state): State<AppState>, actor: Actor) -> Result<Json<ProgramSecret>, Problem> {
    actor.may(Action::VoiceWrite)?;
    Ok(Json(ProgramSecret { secret: programs::secret(&state.store, actor.organization).await? }))
}

/// Replaces the secret that signs requests to servers of programs: from now on the new one signs.
#[utoipa::path(post, path = "/voice/program-secret", tag = "voice", security(("key" = []), ("session" = [])),
    responses((status = 200, body = ProgramSecret)))]
pub(super) async fn secret_replace(
    State(state): State<AppState>,
    actor: Actor,
) -> Result<Json<ProgramSecret>, Problem> {
    actor.may(Action::VoiceWrite)?;
    // The key that it is derived from is made where there is none.
    programs::secret(&state.store, actor.organization).await?;
    state.store.program_secret_replace(actor.organization).await?;
    state.audit(&actor, Deed::new("program_secret.replace", "program_secret")).await?;
    Ok(Json(ProgramSecret { secret: programs::secret(&state.store, actor.organization).await? }))
}

/// What the audit log tells of a program: neither its texts nor what the address asks.
fn told(program: &store::NumberProgram) -> serde_json::Value {
    let url = program.program_url.as_deref().map(|url| url.split('?').next().unwrap_or_default());
    let bytes = |text: &Option<String>| text.as_ref().map(String::len);
    json!({"program_bytes": bytes(&program.program), "program_url": url, "fallback_bytes": bytes(&program.fallback)})
}
