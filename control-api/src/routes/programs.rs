//! Call programs of numbers, and the secret that signs requests to program servers.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::Actor;
use crate::http::body::{JsonBody, PathId};
use crate::http::problem::Problem;
use crate::programs::{self, NoProgram, Secrets, Supply};
use crate::state::AppState;
use crate::store::{self, ProgramDraft};
use crate::tenant::rbac::Action;

/// Program to run for calls to a number. Exactly one of `program` and `program_url` is required.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProgramRequest {
    /// Program as a list of steps (see docs/programs.md).
    #[schema(value_type = Option<Vec<Object>>, example = json!([{"speak": {"text": "Welcome.", "language": "en"}}]))]
    program: Option<Box<RawValue>>,
    /// Absolute https or http URL from which the program is fetched when a call arrives.
    #[schema(example = "https://programs.example/menu")]
    program_url: Option<String>,
    /// Program to run when the main program cannot be fetched. It is run once.
    #[schema(value_type = Option<Vec<Object>>)]
    fallback: Option<Box<RawValue>>,
}

/// Program that runs for calls to a number.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct NumberProgram {
    /// Id of the number.
    number_id: Uuid,
    /// Program as a list of steps, or null if it is fetched.
    #[schema(value_type = Option<Vec<Object>>)]
    program: Option<Box<RawValue>>,
    /// URL from which the program is fetched, or null if it is stored.
    program_url: Option<String>,
    /// Program to run when the main program cannot be fetched.
    #[schema(value_type = Option<Vec<Object>>)]
    fallback: Option<Box<RawValue>>,
    /// Time of the last change.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// Secret that signs requests to program servers.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ProgramSecret {
    /// Secret, 64 hexadecimal digits.
    secret: String,
    /// Secret that was replaced and still signs requests as well, or null.
    previous: Option<PreviousSecret>,
}

/// Secret that was replaced and still signs requests, beside the new one.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct PreviousSecret {
    /// Secret, 64 hexadecimal digits.
    secret: String,
    /// Time from which it no longer signs requests.
    #[schema(value_type = String, format = DateTime)]
    until: Timestamp,
}

impl From<Secrets> for ProgramSecret {
    fn from(Secrets { newest, previous }: Secrets) -> ProgramSecret {
        let previous = previous.map(|(secret, until)| PreviousSecret { secret, until });
        ProgramSecret { secret: newest, previous }
    }
}

impl From<store::NumberProgram> for NumberProgram {
    fn from(kept: store::NumberProgram) -> NumberProgram {
        let store::NumberProgram { number_id, program, program_url, fallback, updated_at } = kept;
        // The texts were valid JSON when they were stored.
        let raw = |text: Option<String>| text.and_then(|text| RawValue::from_string(text).ok());
        NumberProgram { number_id, program: raw(program), program_url, fallback: raw(fallback), updated_at }
    }
}

impl From<NoProgram> for Problem {
    fn from(NoProgram { field, problem }: NoProgram) -> Problem {
        Problem::field(field, problem)
    }
}

/// Returns the program of a number.
#[utoipa::path(get, path = "/caller-id/numbers/{id}/program", tag = "voice", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the number")),
    responses((status = 200, body = NumberProgram)))]
pub(super) async fn program_show(
    State(state): State<AppState>,
    actor: Actor,
    id: PathId,
) -> Result<Json<NumberProgram>, Problem> {
    actor.may(Action::VoiceRead)?;
    let kept = state.store.number_program_show(actor.organization, id.of("program")?).await?;
    kept.map(|kept| Json(kept.into())).ok_or_else(|| Problem::not_found("program"))
}

/// Sets the program of a number.
///
/// The program handles the calls that reach this number through a trunk, once the number is proven.
///
/// Calls in progress keep their program.
#[utoipa::path(put, path = "/caller-id/numbers/{id}/program", tag = "voice", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the number")), request_body = ProgramRequest,
    responses((status = 200, body = NumberProgram)))]
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
    let draft = ProgramDraft { program, program_url: program_url.as_deref(), fallback, steps: supply.program.steps() };
    let put = state.store.number_program_put(actor.organization, number.id, &draft, before.as_ref(), &actor.by);
    Ok(Json(put.await?.ok_or_else(none)?.into()))
}

/// Removes the program of a number. Calls to the number then follow the routes.
#[utoipa::path(delete, path = "/caller-id/numbers/{id}/program", tag = "voice", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the number")),
    responses((status = 204)))]
pub(super) async fn program_delete(
    State(state): State<AppState>,
    actor: Actor,
    id: PathId,
) -> Result<StatusCode, Problem> {
    actor.may(Action::VoiceWrite)?;
    let none = || Problem::not_found("program");
    let before = state.store.number_program_show(actor.organization, id.of("program")?).await?.ok_or_else(none)?;
    if !state.store.number_program_delete(actor.organization, &before, &actor.by).await? {
        return Err(none());
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Returns the secret that signs requests to program servers.
#[utoipa::path(get, path = "/voice/program-secret", tag = "voice", security(("key" = []), ("session" = [])),
    responses((status = 200, body = ProgramSecret)))]
pub(super) async fn secret_show(State(state): State<AppState>, actor: Actor) -> Result<Json<ProgramSecret>, Problem> {
    actor.may(Action::VoiceWrite)?;
    Ok(Json(programs::secrets(&state.store, actor.organization).await?.into()))
}

/// Replaces the secret that signs requests to program servers. The new secret is used at once.
///
/// For 24 hours, requests are signed with the replaced secret as well, unless it is revoked.
#[utoipa::path(post, path = "/voice/program-secret", tag = "voice", security(("key" = []), ("session" = [])),
    responses((status = 200, body = ProgramSecret)))]
pub(super) async fn secret_replace(
    State(state): State<AppState>,
    actor: Actor,
) -> Result<Json<ProgramSecret>, Problem> {
    actor.may(Action::VoiceWrite)?;
    let secrets = programs::replace_secret(&state.store, actor.organization, &actor.by).await?;
    Ok(Json(secrets.into()))
}

/// Revokes the replaced secret at once: requests are signed with the new secret only.
#[utoipa::path(delete, path = "/voice/program-secret/previous", tag = "voice",
    security(("key" = []), ("session" = [])), responses((status = 204), (status = 404, body = Problem)))]
pub(super) async fn secret_revoke_previous(State(state): State<AppState>, actor: Actor) -> Result<StatusCode, Problem> {
    actor.may(Action::VoiceWrite)?;
    if !state.store.program_secret_revoke_previous(actor.organization, &actor.by).await? {
        return Err(Problem::not_found("replaced secret"));
    }
    Ok(StatusCode::NO_CONTENT)
}
