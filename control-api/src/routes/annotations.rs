//! Annotations of calls by people and programs: outcomes and notes.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::calls::call_of;
use crate::auth::Actor;
use crate::auth::visibility;
use crate::http::body::{CallPath, JsonBody, NotePath};
use crate::http::problem::Problem;
use crate::state::AppState;
use crate::store::{Note, Outcome};
use crate::tenant::rbac::Action;
use crate::tenant::text;

/// Longest outcome, in characters.
pub(super) const OUTCOME_MAX: usize = 50;
/// Longest note, in characters.
pub(super) const TEXT_MAX: usize = 4_000;

/// Outcome to set on a call.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OutcomeRequest {
    /// Outcome, a word of your organization's choice, 1 to 50 characters.
    #[schema(example = "callback")]
    outcome: String,
    /// Remark on the outcome, at most 4,000 characters.
    note: Option<String>,
}

/// Current outcome of a call and all earlier ones.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct OutcomeState {
    /// Current outcome, or null if none was set.
    outcome: Option<String>,
    /// All outcomes, oldest first.
    history: Vec<Outcome>,
}

/// Notes on a call, oldest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct NoteList {
    /// The notes, oldest first.
    notes: Vec<Note>,
}

/// Text of a note.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NoteRequest {
    /// Text of the note, 1 to 4,000 characters.
    text: String,
}

/// Returns the outcome of a call with its history.
#[utoipa::path(get, path = "/calls/{id}/outcome", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call")),
    responses((status = 200, body = OutcomeState)))]
pub(super) async fn outcome_show(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
) -> Result<Json<OutcomeState>, Problem> {
    call_of(&state, &actor, id).await?;
    outcome_state(&state, &actor, id).await
}

/// Sets the outcome of a call. The previous outcome is kept in the history.
#[utoipa::path(put, path = "/calls/{id}/outcome", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call")), request_body = OutcomeRequest,
    responses((status = 200, body = OutcomeState)))]
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
    if !state.store.outcome_put(actor.organization, id, &outcome, note.as_deref(), call.outcome, &actor.by).await? {
        return Err(Problem::not_found("call"));
    }
    outcome_state(&state, &actor, id).await
}

async fn outcome_state(state: &AppState, actor: &Actor, id: Uuid) -> Result<Json<OutcomeState>, Problem> {
    let history = state.store.outcome_list(actor.organization, id).await?;
    Ok(Json(OutcomeState { outcome: history.last().map(|last| last.outcome.clone()), history }))
}

/// Lists the notes on a call, oldest first.
#[utoipa::path(get, path = "/calls/{id}/notes", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call")),
    responses((status = 200, body = NoteList)))]
pub(super) async fn note_list(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
) -> Result<Json<NoteList>, Problem> {
    call_of(&state, &actor, id).await?;
    Ok(Json(NoteList { notes: state.store.note_list(actor.organization, id).await? }))
}

/// Adds a note to a call.
#[utoipa::path(post, path = "/calls/{id}/notes", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call")), request_body = NoteRequest,
    responses((status = 201, body = Note)))]
pub(super) async fn note_create(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
    JsonBody(request): JsonBody<NoteRequest>,
) -> Result<(StatusCode, Json<Note>), Problem> {
    actor.may(Action::CallsAnnotate)?;
    call_of(&state, &actor, id).await?;
    let text = text::prose("text", &request.text, TEXT_MAX)?;
    let author = (actor.name(), visibility::identity(&actor));
    let note = state.store.note_create(actor.organization, id, &text, author.0, &author.1, &actor.by).await?;
    Ok((StatusCode::CREATED, Json(note)))
}

/// Changes a note. Owners and admins may change every note, others only their own.
#[utoipa::path(patch, path = "/calls/{id}/notes/{note}", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call"), ("note" = Uuid, Path, description = "Id of the note")),
    request_body = NoteRequest,
    responses((status = 200, body = Note)))]
pub(super) async fn note_update(
    State(state): State<AppState>,
    actor: Actor,
    NotePath(id, note): NotePath,
    JsonBody(request): JsonBody<NoteRequest>,
) -> Result<Json<Note>, Problem> {
    let before = note_of(&state, &actor, id, note).await?;
    let text = text::prose("text", &request.text, TEXT_MAX)?;
    let after = state.store.note_update(actor.organization, id, &before, &text, &actor.by).await?;
    Ok(Json(after.ok_or_else(|| Problem::not_found("note"))?))
}

/// Deletes a note. Owners and admins may delete every note, others only their own.
#[utoipa::path(delete, path = "/calls/{id}/notes/{note}", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call"), ("note" = Uuid, Path, description = "Id of the note")),
    responses((status = 204)))]
pub(super) async fn note_delete(
    State(state): State<AppState>,
    actor: Actor,
    NotePath(id, note): NotePath,
) -> Result<StatusCode, Problem> {
    let before = note_of(&state, &actor, id, note).await?;
    if !state.store.note_delete(actor.organization, id, &before, &actor.by).await? {
        return Err(Problem::not_found("note"));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Returns a note if the actor may change it.
async fn note_of(state: &AppState, actor: &Actor, call: Uuid, id: Uuid) -> Result<Note, Problem> {
    actor.may(Action::CallsAnnotate)?;
    call_of(state, actor, call).await?;
    let note = state.store.note_show(actor.organization, call, id).await?;
    let note = note.ok_or_else(|| Problem::not_found("note"))?;
    if note.author_id != visibility::identity(actor) && !actor.allows(Action::OrganizationWrite) {
        return Err(Problem::forbidden("only an owner or admin may change another author's note"));
    }
    Ok(note)
}
