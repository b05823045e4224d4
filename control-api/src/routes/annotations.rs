//! What people and programs say about a call: its outcome, notes.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::calls::call_of;
use crate::auth::Actor;
use crate::body::{CallPath, JsonBody, NotePath};
use crate::problem::Problem;
use crate::rbac::Action;
use crate::state::AppState;
use crate::store::{Deed, Note, Outcome};
use crate::{text, who};

/// Longest outcome and longest note.
pub(super) const OUTCOME_MAX: usize = 50;
pub(super) const TEXT_MAX: usize = 4_000;

/// How a call turned out.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OutcomeRequest {
    /// A word of the organization's own, 1 to 50 characters.
    #[schema(example = "callback")]
    outcome: String,
    /// What there is to say about it, at most 4,000 characters.
    note: Option<String>,
}

/// A call's outcome and those that it had before.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct OutcomeState {
    /// The latest; null until one was set.
    outcome: Option<String>,
    /// All, the first one first.
    history: Vec<Outcome>,
}

/// The notes on a call, the oldest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct NoteList {
    notes: Vec<Note>,
}

/// A note.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NoteRequest {
    /// 1 to 4,000 characters.
    text: String,
}

/// A call's outcome with its history.
#[utoipa::path(get, path = "/calls/{id}/outcome", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call")),
    responses((status = 200, body = OutcomeState), (status = 401, body = Problem), (status = 403, body = Problem),
              (status = 404, body = Problem), (status = 429, body = Problem)))]
pub(super) async fn outcome_show(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
) -> Result<Json<OutcomeState>, Problem> {
    call_of(&state, &actor, id).await?;
    outcome_state(&state, &actor, id).await
}

/// Gives a call an outcome. What it had before stays in its history.
#[utoipa::path(put, path = "/calls/{id}/outcome", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call")), request_body = OutcomeRequest,
    responses((status = 200, body = OutcomeState), (status = 400, body = Problem), (status = 401, body = Problem),
              (status = 403, body = Problem), (status = 404, body = Problem), (status = 408, body = Problem),
              (status = 413, body = Problem), (status = 415, body = Problem), (status = 422, body = Problem),
              (status = 429, body = Problem)))]
pub(super) async fn outcome_put(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
    JsonBody(request): JsonBody<OutcomeRequest>,
) -> Result<Json<OutcomeState>, Problem> {
    actor.may(Action::CallsAnnotate)?;
    let call = call_of(&state, &actor, id).await?;
    let outcome = text::name("outcome", &request.outcome, OUTCOME_MAX)?;
    let note = request.note.as_deref().map(|note| text::prose("note", note, TEXT_MAX)).transpose()?;
    if !state.store.outcome_put(actor.organization, id, &outcome, note.as_deref(), actor.name()).await? {
        return Err(Problem::not_found("call"));
    }
    let deed = Deed::new("call.outcome", format!("call:{id}")).before(call.outcome).after(outcome);
    state.audit(&actor, deed).await?;
    outcome_state(&state, &actor, id).await
}

async fn outcome_state(state: &AppState, actor: &Actor, id: Uuid) -> Result<Json<OutcomeState>, Problem> {
    let history = state.store.outcome_list(actor.organization, id).await?;
    Ok(Json(OutcomeState { outcome: history.last().map(|last| last.outcome.clone()), history }))
}

/// The notes on a call.
#[utoipa::path(get, path = "/calls/{id}/notes", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call")),
    responses((status = 200, body = NoteList), (status = 401, body = Problem), (status = 403, body = Problem),
              (status = 404, body = Problem), (status = 429, body = Problem)))]
pub(super) async fn note_list(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
) -> Result<Json<NoteList>, Problem> {
    call_of(&state, &actor, id).await?;
    Ok(Json(NoteList { notes: state.store.note_list(actor.organization, id).await? }))
}

/// Writes a note on a call.
#[utoipa::path(post, path = "/calls/{id}/notes", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call")), request_body = NoteRequest,
    responses((status = 201, body = Note), (status = 400, body = Problem), (status = 401, body = Problem),
              (status = 403, body = Problem), (status = 404, body = Problem), (status = 408, body = Problem),
              (status = 413, body = Problem), (status = 415, body = Problem), (status = 422, body = Problem),
              (status = 429, body = Problem)))]
pub(super) async fn note_create(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
    JsonBody(request): JsonBody<NoteRequest>,
) -> Result<(StatusCode, Json<Note>), Problem> {
    actor.may(Action::CallsAnnotate)?;
    call_of(&state, &actor, id).await?;
    let text = text::prose("text", &request.text, TEXT_MAX)?;
    let author = (actor.name(), who::identity(&actor));
    let note = state.store.note_create(actor.organization, id, &text, author.0, &author.1).await?;
    state.audit(&actor, Deed::new("call.note.create", of(id, note.id)).after(&note)).await?;
    Ok((StatusCode::CREATED, Json(note)))
}

/// Changes one's own note; owners and admins change any.
#[utoipa::path(patch, path = "/calls/{id}/notes/{note}", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call"), ("note" = Uuid, Path, description = "The note")),
    request_body = NoteRequest,
    responses((status = 200, body = Note), (status = 400, body = Problem), (status = 401, body = Problem),
              (status = 403, body = Problem), (status = 404, body = Problem), (status = 408, body = Problem),
              (status = 413, body = Problem), (status = 415, body = Problem), (status = 422, body = Problem),
              (status = 429, body = Problem)))]
pub(super) async fn note_update(
    State(state): State<AppState>,
    actor: Actor,
    NotePath(id, note): NotePath,
    JsonBody(request): JsonBody<NoteRequest>,
) -> Result<Json<Note>, Problem> {
    let before = note_of(&state, &actor, id, note).await?;
    let text = text::prose("text", &request.text, TEXT_MAX)?;
    let none = || Problem::not_found("note");
    if !state.store.note_update(actor.organization, id, note, &text).await? {
        return Err(none());
    }
    let after = state.store.note_show(actor.organization, id, note).await?.ok_or_else(none)?;
    state.audit(&actor, Deed::new("call.note.update", of(id, note)).before(&before).after(&after)).await?;
    Ok(Json(after))
}

/// Removes one's own note; owners and admins remove any.
#[utoipa::path(delete, path = "/calls/{id}/notes/{note}", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call"), ("note" = Uuid, Path, description = "The note")),
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem),
              (status = 404, body = Problem), (status = 429, body = Problem)))]
pub(super) async fn note_delete(
    State(state): State<AppState>,
    actor: Actor,
    NotePath(id, note): NotePath,
) -> Result<StatusCode, Problem> {
    let before = note_of(&state, &actor, id, note).await?;
    if !state.store.note_delete(actor.organization, id, note).await? {
        return Err(Problem::not_found("note"));
    }
    state.audit(&actor, Deed::new("call.note.delete", of(id, note)).before(&before)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A note that this actor may change.
async fn note_of(state: &AppState, actor: &Actor, call: Uuid, id: Uuid) -> Result<Note, Problem> {
    actor.may(Action::CallsAnnotate)?;
    call_of(state, actor, call).await?;
    let note = state.store.note_show(actor.organization, call, id).await?;
    let note = note.ok_or_else(|| Problem::not_found("note"))?;
    if note.author_id != who::identity(actor) && !actor.allows(Action::OrganizationWrite) {
        return Err(Problem::forbidden("only an owner or admin changes what somebody else wrote"));
    }
    Ok(note)
}

fn of(call: Uuid, note: Uuid) -> String {
    format!("call:{call}/note:{note}")
}
