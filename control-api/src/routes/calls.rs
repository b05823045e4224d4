//! Calls: starting, showing and ending them, and speaking text into them.
//!
//! ```text
//! POST /calls ─▶ targets, program, caller IDs ─▶ capabilities, limits ─▶ event written ─▶ Command::CallCreate ─▶ audit
//! ```
//!
//! Invariants: a call is written to the store before the engine is asked; a refusal of the engine is written too. With an
//! idempotency key, a repeated request starts no second call. A call that the actor may not see is answered with 404.
//!
//! Searching is in `call_search`, actions on running calls are in `verbs`.

use crate::calls::limits::LimitReached;
use crate::tenant::capabilities::call_settings;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::call_targets::{self, Asked, CallTargetRequest, Wanted};
use super::{caller_id, voice_config};
use crate::auth::Actor;
use crate::auth::visibility::Seen;
use crate::engine::{self, App, CallStatus, Command, CommandError, call_id, mask};
use crate::gate::idempotency::{Attempt, Keyed, Reply, once};
use crate::gate::rate_limit::Deferred;
use crate::http::body::CallPath;
use crate::http::problem::Problem;
use crate::programs::{Served, Supply};
use crate::state::AppState;
use crate::store::{self, Call, Change, Deed, Leg, NewCall, PartId, Recording, Sight, now};
use crate::tenant::capabilities::SwitchedOff;
use crate::tenant::rbac::Action;
use crate::tenant::text;
use crate::tenant::voice_config::VoiceConfigPatch;

/// Largest number of events returned with one call.
const EVENTS_MAX: u32 = 1_000;
/// Longest text that is spoken, in characters.
pub(super) const SAY_MAX: usize = 1_000;

/// Order in which the legs of a call are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    /// `to` is called and connected to `app`.
    Direct,
    /// The agent is called first, then `to`; then both are connected.
    Bridge,
    /// Like `bridge`, but only the agent's browser is called: none of the agent's other phones rings.
    Webrtc,
}

/// Built-in application for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum AppName {
    /// Sends the caller's audio back.
    Echo,
    /// PlayLog a tone of 1 kHz at −16 dBFS.
    Tone,
    /// Records the caller.
    Record,
}

/// Call to start.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CallRequest {
    /// Party that is called first, in place of `mode`, `to`, `from` and `agent`.
    pub(super) first: Option<CallTargetRequest>,
    /// Party that is called once the first has answered, and is then connected to it. Without it the first party is connected to
    /// `app` or the program, or hears silence.
    pub(super) second: Option<CallTargetRequest>,
    /// Order in which the legs are made.
    pub(super) mode: Option<Mode>,
    /// Party to call: a phone number in E.164 format or a `sip:` URI.
    #[schema(example = "+15555550142")]
    pub(super) to: Option<String>,
    /// Caller ID shown to the called party: one of the organization's own or proven numbers, as its rules allow. Defaults to the
    /// number given by the first matching rule, then to the trunk's own number, then to none.
    pub(super) from: Option<String>,
    /// SIP user name of the agent. Required with `bridge`; with `webrtc` it defaults to that of the logged-in user.
    pub(super) agent: Option<String>,
    /// Application to run, with `direct` or with `first` and no `second`.
    pub(super) app: Option<AppName>,
    /// Call program to run, with `direct` or with `first` and no `second`: a list of steps (see docs/programs.md).
    #[schema(value_type = Option<Vec<Object>>)]
    program: Option<Box<RawValue>>,
    /// URL from which the program is fetched once the call is answered, in place of `program`.
    #[schema(example = "https://programs.example/survey")]
    program_url: Option<String>,
    /// Program to run when the main program cannot be fetched. It is run once.
    #[schema(value_type = Option<Vec<Object>>)]
    program_fallback: Option<Box<RawValue>>,
    /// Overrides of the organization's voice configuration, for this call only.
    config: Option<VoiceConfigPatch>,
}

/// Id and status of a call.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct CallState {
    /// Id of the call.
    id: Uuid,
    /// Status: `queued`, `ringing`, `answered`, `bridged`, `ended` or `failed`.
    status: String,
}

/// A call with its legs, events and recordings.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct CallDetail {
    #[serde(flatten)]
    call: Call,
    /// Legs of the call, one for each party.
    legs: Vec<Leg>,
    /// Events of the call, oldest first, at most 1,000 and without transcripts.
    #[schema(value_type = Vec<Object>)]
    events: Vec<serde_json::Value>,
    /// First part of the first recording that you may hear, if any.
    recording: Option<RecordingInfo>,
    /// All parts of the first recording that you may hear, in order. A recording has several parts if it is longer than
    /// `[recording] part_s` or if a party joined during it. `GET /calls/{id}/recordings` lists every recording.
    recording_parts: Vec<RecordingInfo>,
}

/// One part of a recording.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct RecordingInfo {
    /// Number of the part, counted from 1.
    #[schema(minimum = 1)]
    part: u32,
    /// State: `started`, `finished` or `interrupted`.
    state: String,
    /// Reason why the recording was interrupted.
    note: Option<String>,
    /// Length of the audio in milliseconds.
    duration_ms: u64,
    /// Time of the first audio.
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    /// Time of the last audio. Set once the part has ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// URL of the audio, relative to this server.
    url: String,
}

impl RecordingInfo {
    fn of(call: Uuid, recording: Recording) -> RecordingInfo {
        let url = recording_url(call, recording.file);
        let Recording { file, state, note, duration_ms, started_at, ended_at, .. } = recording;
        RecordingInfo { part: file.part, state, note, duration_ms, started_at, ended_at, url }
    }
}

/// Returns the URL of one file of a call's recordings, relative to this server.
pub(super) fn recording_url(call: Uuid, file: PartId) -> String {
    let query = match file {
        PartId::FIRST => String::new(),
        PartId { number: 1, part } => format!("?part={part}"),
        PartId { number, part } => format!("?number={number}&part={part}"),
    };
    format!("/api/calls/{call}/recording{query}")
}

/// Text to speak to the customer.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SayRequest {
    /// Text in the agent's language, 1 to 1,000 characters.
    text: String,
}

/// Starts a call.
///
/// With `Idempotency-Key`, repeating the request within a day returns the same response and starts no second call.
#[utoipa::path(post, path = "/calls", tag = "calls", security(("key" = []), ("session" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Key of your choice, 1 to 255 printable ASCII characters")),
    request_body = CallRequest,
    responses((status = 201, body = CallState,
               headers(("Idempotent-Replayed" = String, description = "`true` if this response repeats an earlier one"))),
              (status = 503, body = Problem)))]
pub(super) async fn call_create(
    State(state): State<AppState>,
    actor: Actor,
    deferred: Deferred,
    keyed: Keyed<CallRequest>,
) -> Result<Response, Problem> {
    actor.may(Action::CallsDial)?;
    let (request, key, hash) = keyed.parts();
    deferred.unless(call_targets::is_urgent(&state, &request))?;
    let (inner, by) = (state.clone(), actor.clone());
    once(&state.store, &actor, key, &hash, |attempt| async move { call_out(inner, by, request, attempt).await }).await
}

/// Checks the request against the organization's capabilities and limits, and starts the call.
async fn call_out(state: AppState, actor: Actor, request: CallRequest, attempt: Attempt) -> Result<Reply, Problem> {
    let id = attempt.subject;
    let made =
        |status: String| Ok(Reply::new(StatusCode::CREATED, &CallState { id, status })?.at(format!("/api/calls/{id}")));
    if attempt.again
        && let Some(call) = state.store.call_show(actor.organization, id).await?
    {
        return made(call.status);
    }
    let wanted = call_targets::wanted(&state, &actor, &request).await?;
    let supply = supply(&request, &wanted)?;
    let urgent = wanted.is_urgent();
    let capabilities = state.store.capabilities_show(actor.organization).await?;
    if actor.person.is_none() && !capabilities.api_dialing && wanted.dials() {
        return Err(SwitchedOff("api_dialing").into());
    }
    let patch = request.config.clone().unwrap_or_default();
    capabilities.must_allow(&patch)?;
    voice_config::sounds_exist(&state, &actor, &patch, "config.").await?;
    if request.app == Some(AppName::Record) && !capabilities.record {
        return Err(SwitchedOff("record").into());
    }
    let defaults = state.store.voice_config_show(actor.organization).await?;
    let config = capabilities.applied(defaults.patched(patch, "config.")?);
    let glossary = state.store.glossary_of_call(actor.organization, &config).await?;
    let agent = wanted.agent().map(str::to_owned);
    let first = identity(&state, &actor, &wanted, &wanted.first).await?;
    let second = match &wanted.second {
        Some(second) => Some(identity(&state, &actor, &wanted, second).await?),
        None => None,
    };
    // Caller ID for the record of the call: that of the second party if there is one.
    let from = second.clone().flatten().or_else(|| first.clone());
    let (to, mode) = (wanted.to().to_owned(), wanted.mode);
    let call = NewCall {
        id,
        organization: actor.organization,
        direction: "outbound",
        mode: Some(mode.into()),
        from: from.clone(),
        to: to.clone(),
        agent: agent.clone(),
        config: config.clone(),
    };
    state.limits.admit(actor.organization, id, wanted.counted())?;
    tracing::info!(call = %id, to = mask(&to), mode, urgent, "call out");
    let deed = Deed::new("call.create", format!("call:{id}"))
        .after(json!({"mode": mode, "from": &from, "to": &to, "agent": &agent, "config": &config}));
    let mut settings = call_settings(&config, &glossary, &capabilities, Some(actor.organization.0));
    let called = from.clone().unwrap_or_default();
    let served = Served { organization: actor.organization, call: id, caller: to.clone(), called };
    if !urgent {
        settings.amd = state.programs.amd_of_call(&served, &config.amd);
    }
    if let Some(supply) = supply {
        settings.program = Some(state.programs.of_call(served, supply));
    }
    let new = engine::NewCall {
        call: call_id(id),
        first: wanted.first.target(first),
        second: wanted.second.as_ref().map(|asked| asked.target(second.flatten())),
        app: request.app.map(|app| match app {
            AppName::Echo => App::Echo,
            AppName::Tone => App::Tone,
            AppName::Record => App::Record,
        }),
        settings,
    };
    call_start(&state, call, Command::CallCreate(Box::new(new))).await?;
    state.audit(&actor, deed).await?;
    made("queued".into())
}

/// Writes the call to the store, then asks the engine to start it. A refusal is written too, and returned.
async fn call_start(state: &AppState, call: NewCall, command: Command) -> Result<(), Problem> {
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

/// Returns the program of a request, which replaces an application.
fn supply(request: &CallRequest, wanted: &Wanted) -> Result<Option<Supply>, Problem> {
    let text = |raw: &Option<Box<RawValue>>| raw.as_ref().map(|raw| raw.get().to_owned());
    let (program, fallback) = (text(&request.program), text(&request.program_fallback));
    let program = (program.as_deref(), request.program_url.as_deref());
    let supply = Supply::read(program, ("program_fallback", fallback.as_deref()))?;
    let field = if request.program.is_some() { "program" } else { "program_url" };
    match supply {
        Some(_) if wanted.second.is_some() => {
            Err(Problem::field(field, "expected no program with two parties: they are connected to each other"))
        }
        Some(_) if request.app.is_some() => Err(Problem::field("app", "expected either `app` or a program, not both")),
        supply => Ok(supply),
    }
}

/// Returns the caller ID for a party that is called outside; `None` for agents.
async fn identity(state: &AppState, actor: &Actor, wanted: &Wanted, asked: &Asked) -> Result<Option<String>, Problem> {
    match asked.number() {
        None => Ok(None),
        // The choice of a caller ID never prevents an emergency call.
        Some(_) if asked.is_urgent() => Ok(asked.from.clone()),
        Some(to) => {
            let shown = caller_id::checked_caller_id(state, actor, wanted.agent(), to, asked.from.clone()).await;
            shown.map_err(|problem| match problem.field {
                Some(_) => Problem { field: Some(asked.from_field.clone()), ..problem },
                None => problem,
            })
        }
    }
}

/// Returns a call with its legs, events and recording.
#[utoipa::path(get, path = "/calls/{id}", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call")),
    responses((status = 200, body = CallDetail)))]
pub(super) async fn call_show(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
) -> Result<Json<CallDetail>, Problem> {
    let (call, sight) = call_seen(&state, &actor, id).await?;
    let legs = state.store.leg_list(actor.organization, id).await?;
    let events = state.store.call_event_list(actor.organization, id, EVENTS_MAX).await?;
    let is_seen = |event: &serde_json::Value| {
        let at = store::event_time(event, "at").unwrap_or(call.created_at);
        sight.shows(event["type"].as_str().unwrap_or_default(), at, || event.clone())
    };
    let events = events
        .into_iter()
        .filter(|(_, event)| is_seen(event))
        .map(|(id, mut event)| {
            event["id"] = id.into();
            event
        })
        .collect();
    let parts = state.store.recording_parts(actor.organization, id).await?;
    let parts = parts.into_iter().filter(|part| part.file.number == 1 && part.is_heard_by(&sight));
    let recording_parts: Vec<RecordingInfo> = parts.map(|part| RecordingInfo::of(id, part)).collect();
    let recording = recording_parts.first().cloned();
    Ok(Json(CallDetail { call, legs, events, recording, recording_parts }))
}

/// Ends a call. Ending a call that has ended is not an error: its status is returned.
#[utoipa::path(post, path = "/calls/{id}/hangup", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call")),
    responses((status = 202, body = CallState), (status = 503, body = Problem)))]
pub(super) async fn call_hangup(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
) -> Result<(StatusCode, Json<CallState>), Problem> {
    actor.may(Action::CallsDial)?;
    let call = call_joined(&state, &actor, id).await?;
    if call.ended_at.is_none() {
        match state.engine.command(Command::CallHangup { call: call_id(id) }).await {
            Ok(_) => state.audit(&actor, Deed::new("call.hangup", format!("call:{id}"))).await?,
            Err(CommandError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let status = call_of(&state, &actor, id).await?.status;
    Ok((StatusCode::ACCEPTED, Json(CallState { id, status })))
}

/// Translates a text that the agent typed and speaks it to the customer.
///
/// With `Idempotency-Key`, repeating the request within a day returns the same response, and the text is spoken once.
#[utoipa::path(post, path = "/calls/{id}/say", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call"),
           ("Idempotency-Key" = Option<String>, Header, description = "Key of your choice, 1 to 255 printable ASCII characters")),
    request_body = SayRequest,
    responses((status = 202, body = CallState,
               headers(("Idempotent-Replayed" = String, description = "`true` if this response repeats an earlier one"))),
              (status = 503, body = Problem)))]
pub(super) async fn call_say(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
    keyed: Keyed<SayRequest>,
) -> Result<Response, Problem> {
    actor.may(Action::CallsDial)?;
    let (request, key, hash) = keyed.parts();
    let (inner, by) = (state.clone(), actor.clone());
    once(&state.store, &actor, key, &hash, |_| async move { say(inner, by, id, request).await }).await
}

async fn say(state: AppState, actor: Actor, id: Uuid, request: SayRequest) -> Result<Reply, Problem> {
    let call = call_joined(&state, &actor, id).await?;
    let text = text::prose("text", &request.text, SAY_MAX)?;
    if call.ended_at.is_some() {
        return Err(CommandError::NotFound.into());
    }
    state.engine.command(Command::CallSay { call: call_id(id), text }).await?;
    state.audit(&actor, Deed::new("call.say", format!("call:{id}"))).await?;
    Reply::new(StatusCode::ACCEPTED, &CallState { id, status: call.status })
}

/// Returns the tenant's call, or 404. An actor who may see only their own calls gets 404 for a call they never took part in.
pub(super) async fn call_of(state: &AppState, actor: &Actor, id: Uuid) -> Result<Call, Problem> {
    Ok(call_seen(state, actor, id).await?.0)
}

/// Returns the call together with the parts of it that the actor may see.
pub(super) async fn call_seen(state: &AppState, actor: &Actor, id: Uuid) -> Result<(Call, Sight), Problem> {
    let call = state.store.call_show(actor.organization, id).await?;
    let sight = Seen::calls(actor).sight(&state.store, actor.organization, id).await?;
    call.zip(sight).ok_or_else(|| Problem::not_found("call"))
}

/// Returns the tenant's call for an action by the actor. An actor who has left a running call may not act on it.
pub(super) async fn call_joined(state: &AppState, actor: &Actor, id: Uuid) -> Result<Call, Problem> {
    let (call, sight) = call_seen(state, actor, id).await?;
    if call.ended_at.is_none() && !sight.is_present() {
        return Err(Problem::forbidden("you have left this call, so you can no longer act on it"));
    }
    Ok(call)
}

impl From<LimitReached> for Problem {
    fn from(reached: LimitReached) -> Problem {
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "call-limit", "Too many calls", reached.to_string());
        Problem { retry_after: Some(1), ..problem }
    }
}
