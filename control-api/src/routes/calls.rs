//! Calls: make, list, show, end, speak into.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::Actor;
use crate::body::{CallPath, JsonBody, QueryPairs};
use crate::engine::{self, App, CallMode, CallStatus, Command, CommandError, call_id, mask};
use crate::number;
use crate::problem::Problem;
use crate::rate_limit::Deferred;
use crate::rbac::Action;
use crate::state::AppState;
use crate::store::{Call, CallFilter, Change, Leg, NewCall, now};
use crate::voice_config::VoiceConfigPatch;

/// Calls in a list unless asked otherwise, and at most.
const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 200;
/// Events shown with one call.
const EVENTS_MAX: u32 = 1_000;
/// Longest text that is spoken.
const SAY_MAX: usize = 1_000;
/// What a call's status may be.
const STATUSES: [&str; 6] = ["queued", "ringing", "answered", "bridged", "ended", "failed"];

/// In which order a call's legs are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    /// The platform calls `to` and connects `app`.
    Direct,
    /// The agent is called first, then `to`, then both are joined.
    Bridge,
    /// Like `bridge`, with the agent's browser as first leg.
    Webrtc,
}

/// A built-in application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum AppName {
    /// Sends your audio back.
    Echo,
    /// 1 kHz at −16 dBFS.
    Tone,
    /// Records you.
    Record,
}

/// A call to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CallRequest {
    /// In which order the legs are made.
    mode: Mode,
    /// Whom to call: E.164 or a `sip:` URI.
    #[schema(example = "+15555550142")]
    to: String,
    /// Caller identity shown to the called: E.164 or a `sip:` URI.
    from: Option<String>,
    /// Agent's SIP user name. Needed by `bridge`; with `webrtc`, a logged-in user's own by default.
    agent: Option<String>,
    /// Application for `direct`.
    app: Option<AppName>,
    /// Differences to the organization's voice configuration.
    config: Option<VoiceConfigPatch>,
}

/// A call's identity and status.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct CallState {
    /// Identity.
    id: Uuid,
    /// `queued`, `ringing`, `answered`, `bridged`, `ended` or `failed`.
    status: String,
}

/// Calls, newest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct CallList {
    calls: Vec<Call>,
}

/// A call with all that is known of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct CallDetail {
    #[serde(flatten)]
    call: Call,
    /// Its parties.
    legs: Vec<Leg>,
    /// What happened, oldest first, without words.
    #[schema(value_type = Vec<Object>)]
    events: Vec<serde_json::Value>,
    /// Its recording, when there is one.
    recording: Option<RecordingInfo>,
}

/// A call's recording.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct RecordingInfo {
    /// `started`, `finished` or `interrupted`.
    state: String,
    /// Why it was interrupted.
    note: Option<String>,
    /// Audio in it.
    duration_ms: u64,
    /// First audio.
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    /// Last audio, once it is over.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// Where the audio is, relative to this server.
    url: String,
}

/// Text to be spoken to the customer.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SayRequest {
    /// In the agent's language, 1 to 1,000 characters.
    text: String,
}

/// The tenant's calls, newest first.
#[utoipa::path(get, path = "/calls", tag = "calls", security(("key" = []), ("session" = [])),
    params(("status" = Option<String>, Query, description = "Only calls in this status"),
           ("limit" = Option<u32>, Query, description = "At most this many, 1 to 200; 50 by default")),
    responses((status = 200, body = CallList), (status = 401, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn call_list(
    State(state): State<AppState>,
    actor: Actor,
    query: QueryPairs,
) -> Result<Json<CallList>, Problem> {
    let [status, limit] = query.take(["status", "limit"])?;
    if let Some(status) = &status
        && !STATUSES.contains(&status.as_str())
    {
        return Err(Problem::field("status", format!("expected one of {}", STATUSES.join(", "))));
    }
    let limit = match limit {
        None => LIMIT_DEFAULT,
        Some(text) => match text.parse() {
            Ok(limit @ 1..=LIMIT_MAX) => limit,
            _ => return Err(Problem::field("limit", format!("expected a number from 1 to {LIMIT_MAX}"))),
        },
    };
    let calls = state.store.call_list(actor.organization, &CallFilter { status, limit }).await?;
    Ok(Json(CallList { calls }))
}

/// Starts a call.
#[utoipa::path(post, path = "/calls", tag = "calls", security(("key" = []), ("session" = [])),
    request_body = CallRequest,
    responses((status = 201, body = CallState), (status = 400, body = Problem), (status = 401, body = Problem),
              (status = 403, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem),
              (status = 415, body = Problem), (status = 422, body = Problem), (status = 429, body = Problem),
              (status = 503, body = Problem)))]
pub(super) async fn call_create(
    State(state): State<AppState>,
    actor: Actor,
    deferred: Deferred,
    JsonBody(request): JsonBody<CallRequest>,
) -> Result<Response, Problem> {
    actor.may(Action::CallsDial)?;
    deferred.unless(engine::is_emergency(&state.config, &request.to))?;
    let agent = checked(&state, &actor, &request).await?;
    let defaults = state.store.voice_config_show(actor.organization).await?;
    let config = defaults.patched(request.config.clone().unwrap_or_default(), "config.")?;
    let (mode, mode_name) = match request.mode {
        Mode::Direct => (CallMode::Direct, "direct"),
        Mode::Bridge => (CallMode::Bridge, "bridge"),
        Mode::Webrtc => (CallMode::Webrtc, "webrtc"),
    };
    let id = Uuid::now_v7();
    let call = NewCall {
        id,
        organization: actor.organization,
        direction: "outbound",
        mode: Some(mode_name.into()),
        from: request.from.clone(),
        to: request.to.clone(),
        agent: agent.clone(),
        config: config.clone(),
    };
    state.limits.admit(actor.organization, id, &request.to)?;
    tracing::info!(call = %id, to = mask(&request.to), mode = mode_name, "call out");
    let command = Command::CallCreate {
        call: call_id(id),
        mode,
        to: request.to,
        from: request.from,
        agent,
        app: request.app.map(|app| match app {
            AppName::Echo => App::Echo,
            AppName::Tone => App::Tone,
            AppName::Record => App::Record,
        }),
        settings: (&config).into(),
    };
    // A client that goes away now must not leave a row without its call: the rest runs to its end.
    tokio::spawn(call_start(state, call, command)).await.map_err(|_| Problem::internal())??;
    let body = Json(CallState { id, status: "queued".into() });
    Ok((StatusCode::CREATED, [(header::LOCATION, format!("/api/calls/{id}"))], body).into_response())
}

/// Writes the call down, then asks the engine; a refusal is written down too, and returned.
async fn call_start(state: AppState, call: NewCall, command: Command) -> Result<(), Problem> {
    let id = call.id;
    if let Err(error) = state.bus.record(vec![Change::CallCreated { call, at: now() }]).await {
        state.limits.ended(id);
        return Err(error.into());
    }
    let Err(error) = state.engine.command(command).await else { return Ok(()) };
    state.limits.ended(id);
    let cause = match &error {
        CommandError::Busy(_) | CommandError::Stopped => "unreachable",
        _ => "rejected",
    };
    let failed = Change::CallStatus { call: id, status: CallStatus::Failed, cause: Some(cause.into()), at: now() };
    state.bus.record(vec![failed]).await?;
    Err(error.into())
}

/// Checks all fields but `config`; the agent, if the call has one.
async fn checked(state: &AppState, actor: &Actor, request: &CallRequest) -> Result<Option<String>, Problem> {
    if !number::is_callable(&request.to) && !engine::is_emergency(&state.config, &request.to) {
        return Err(Problem::field("to", number::EXPECTED));
    }
    if request.from.as_deref().is_some_and(|from| !number::is_callable(from)) {
        return Err(Problem::field("from", number::EXPECTED));
    }
    if request.app.is_some() && request.mode != Mode::Direct {
        return Err(Problem::field("app", "only a call in mode `direct` connects an application"));
    }
    if request.mode == Mode::Direct {
        return match &request.agent {
            Some(_) => Err(Problem::field("agent", "a call in mode `direct` has no agent")),
            None => Ok(None),
        };
    }
    let own = actor.person.as_ref().map(|person| person.sip_name.clone());
    let Some(agent) = request.agent.clone().or(own.filter(|_| request.mode == Mode::Webrtc)) else {
        return Err(Problem::field("agent", "this mode needs the SIP user name of the agent who is called first"));
    };
    if state.store.membership_by_sip_name(actor.organization, &agent).await?.is_none() {
        return Err(Problem::field("agent", "there is no agent of this SIP user name in your organization"));
    }
    Ok(Some(agent))
}

/// One call with its legs, events and recording.
#[utoipa::path(get, path = "/calls/{id}", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call")),
    responses((status = 200, body = CallDetail), (status = 401, body = Problem), (status = 404, body = Problem)))]
pub(super) async fn call_show(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
) -> Result<Json<CallDetail>, Problem> {
    let call = call_of(&state, &actor, id).await?;
    let legs = state.store.leg_list(actor.organization, id).await?;
    let events = state.store.call_event_list(actor.organization, id, EVENTS_MAX).await?;
    let events = events
        .into_iter()
        .map(|(id, mut event)| {
            event["id"] = id.into();
            event
        })
        .collect();
    let recording = state.store.recording_by_call(actor.organization, id).await?.map(|recording| RecordingInfo {
        state: recording.state,
        note: recording.note,
        duration_ms: recording.duration_ms,
        started_at: recording.started_at,
        ended_at: recording.ended_at,
        url: format!("/api/calls/{id}/recording"),
    });
    Ok(Json(CallDetail { call, legs, events, recording }))
}

/// Ends a call. Ending one that is over is no error: its status is returned.
#[utoipa::path(post, path = "/calls/{id}/hangup", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call")),
    responses((status = 202, body = CallState), (status = 401, body = Problem), (status = 403, body = Problem),
              (status = 404, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn call_hangup(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
) -> Result<(StatusCode, Json<CallState>), Problem> {
    actor.may(Action::CallsDial)?;
    let call = call_of(&state, &actor, id).await?;
    if call.ended_at.is_none() {
        match state.engine.command(Command::CallHangup { call: call_id(id) }).await {
            Ok(_) | Err(CommandError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let status = call_of(&state, &actor, id).await?.status;
    Ok((StatusCode::ACCEPTED, Json(CallState { id, status })))
}

/// Translates what the agent typed and speaks it to the customer.
#[utoipa::path(post, path = "/calls/{id}/say", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call")), request_body = SayRequest,
    responses((status = 202, body = CallState), (status = 400, body = Problem), (status = 401, body = Problem),
              (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
              (status = 413, body = Problem), (status = 415, body = Problem), (status = 422, body = Problem),
              (status = 503, body = Problem)))]
pub(super) async fn call_say(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
    JsonBody(request): JsonBody<SayRequest>,
) -> Result<(StatusCode, Json<CallState>), Problem> {
    actor.may(Action::CallsDial)?;
    let call = call_of(&state, &actor, id).await?;
    let text = request.text.trim();
    let unfit = |c: char| c.is_control() && !c.is_whitespace();
    if text.is_empty() || text.chars().count() > SAY_MAX || text.chars().any(unfit) {
        return Err(Problem::field("text", format!("expected 1 to {SAY_MAX} characters, none of them control")));
    }
    if call.ended_at.is_some() {
        return Err(CommandError::NotFound.into());
    }
    state.engine.command(Command::CallSay { call: call_id(id), text: text.to_owned() }).await?;
    Ok((StatusCode::ACCEPTED, Json(CallState { id, status: call.status })))
}

/// The tenant's call, or 404.
pub(super) async fn call_of(state: &AppState, actor: &Actor, id: Uuid) -> Result<Call, Problem> {
    state.store.call_show(actor.organization, id).await?.ok_or_else(|| Problem::not_found("call"))
}
