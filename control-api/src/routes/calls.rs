//! Calls: make, show, end, speak into.

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
use super::caller_id;
use crate::auth::Actor;
use crate::body::CallPath;
use crate::capabilities::switched_off;
use crate::engine::{self, App, CallStatus, Command, CommandError, call_id, call_settings, mask};
use crate::idempotency::{Attempt, Keyed, Reply, once};
use crate::problem::Problem;
use crate::programs::{Served, Supply};
use crate::rate_limit::Deferred;
use crate::rbac::Action;
use crate::state::AppState;
use crate::store::{self, Call, Change, Deed, Leg, NewCall, PartId, Recording, Sight, now};
use crate::text;
use crate::voice_config::VoiceConfigPatch;
use crate::who::Seen;

/// Events shown with one call.
const EVENTS_MAX: u32 = 1_000;
/// Longest text that is spoken.
pub(super) const SAY_MAX: usize = 1_000;

/// In which order a call's legs are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    /// The platform calls `to` and connects `app`.
    Direct,
    /// The agent is called first, then `to`, then both are joined.
    Bridge,
    /// Like `bridge`, with the agent's browser as first leg: none of the agent's other telephones rings.
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
    /// Who is called first, in place of `mode`, `to`, `from` and `agent`.
    pub(super) first: Option<CallTargetRequest>,
    /// Who is called when the first has answered, and joined with it. Without one the first is connected with `app`, or hears silence.
    pub(super) second: Option<CallTargetRequest>,
    /// In which order the legs are made.
    pub(super) mode: Option<Mode>,
    /// Whom to call: E.164 or a `sip:` URI.
    #[schema(example = "+15555550142")]
    pub(super) to: Option<String>,
    /// Caller identity shown to the called: one of the organization's own or proven numbers, as its rules allow. By default what the
    /// first fitting rule gives; without one the trunk's own number, or none.
    pub(super) from: Option<String>,
    /// Agent's SIP user name. Needed by `bridge`; with `webrtc`, a logged-in user's own by default.
    pub(super) agent: Option<String>,
    /// Application for `direct`, and for `first` alone.
    pub(super) app: Option<AppName>,
    /// Call program for `direct`, and for `first` alone: a list of steps, as in docs/programs.md.
    #[schema(value_type = Option<Vec<Object>>)]
    program: Option<Box<RawValue>>,
    /// Where the program is asked for once the call is answered, in place of `program`.
    #[schema(example = "https://programs.example/survey")]
    program_url: Option<String>,
    /// The program that runs once when another one cannot be had.
    #[schema(value_type = Option<Vec<Object>>)]
    program_fallback: Option<Box<RawValue>>,
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
    /// Its first recording, when there is one: the first part that you may hear.
    recording: Option<RecordingInfo>,
    /// All parts of its first recording that you may hear, in order: one that is longer than `[recording] part_s`, or that somebody
    /// joined, has several. `GET /calls/{id}/recordings` lists every recording.
    recording_parts: Vec<RecordingInfo>,
}

/// A call's recording.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct RecordingInfo {
    /// Number of the file, 1 for the first.
    #[schema(minimum = 1)]
    part: u32,
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

impl RecordingInfo {
    fn of(call: Uuid, recording: Recording) -> RecordingInfo {
        let url = recording_url(call, recording.file);
        let Recording { file, state, note, duration_ms, started_at, ended_at, .. } = recording;
        RecordingInfo { part: file.part, state, note, duration_ms, started_at, ended_at, url }
    }
}

/// Where a file of a call's recordings is heard, relative to this server.
pub(super) fn recording_url(call: Uuid, file: PartId) -> String {
    let query = match file {
        PartId::FIRST => String::new(),
        PartId { number: 1, part } => format!("?part={part}"),
        PartId { number, part } => format!("?number={number}&part={part}"),
    };
    format!("/api/calls/{call}/recording{query}")
}

/// Text to be spoken to the customer.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SayRequest {
    /// In the agent's language, 1 to 1,000 characters.
    text: String,
}

/// Starts a call.
///
/// With `Idempotency-Key`, the same request gets the same answer for a day and starts no second call.
#[utoipa::path(post, path = "/calls", tag = "calls", security(("key" = []), ("session" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable characters of your choice")),
    request_body = CallRequest,
    responses((status = 201, body = CallState,
               headers(("Idempotent-Replayed" = String, description = "`true`: this answer was given before"))),
              (status = 400, body = Problem), (status = 401, body = Problem),
              (status = 403, body = Problem), (status = 408, body = Problem), (status = 409, body = Problem),
              (status = 413, body = Problem), (status = 415, body = Problem), (status = 422, body = Problem),
              (status = 429, body = Problem), (status = 503, body = Problem)))]
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
    once(&state, &actor, key, &hash, |attempt| async move { call_out(inner, by, request, attempt).await }).await
}

/// Checks the request against what the organization may do, and starts the call.
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
        return Err(switched_off("api_dialing"));
    }
    let patch = request.config.clone().unwrap_or_default();
    capabilities.must_allow(&patch)?;
    if request.app == Some(AppName::Record) && !capabilities.record {
        return Err(switched_off("record"));
    }
    let defaults = state.store.voice_config_show(actor.organization).await?;
    let config = capabilities.applied(defaults.patched(patch, "config.")?);
    let agent = wanted.agent().map(str::to_owned);
    let first = identity(&state, &actor, &wanted, &wanted.first).await?;
    let second = match &wanted.second {
        Some(second) => Some(identity(&state, &actor, &wanted, second).await?),
        None => None,
    };
    // The identity that the other side is shown.
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
    let mut settings = call_settings(&config, &capabilities, Some(actor.organization.0));
    if let Some(supply) = supply {
        let called = from.clone().unwrap_or_default();
        let served = Served { organization: actor.organization, call: id, caller: to.clone(), called };
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

/// Writes the call down, then asks the engine; a refusal is written down too, and returned.
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

/// The program of a request, which takes the place of an application.
fn supply(request: &CallRequest, wanted: &Wanted) -> Result<Option<Supply>, Problem> {
    let text = |raw: &Option<Box<RawValue>>| raw.as_ref().map(|raw| raw.get().to_owned());
    let (program, fallback) = (text(&request.program), text(&request.program_fallback));
    let program = (program.as_deref(), request.program_url.as_deref());
    let supply = Supply::read(program, ("program_fallback", fallback.as_deref()))?;
    let field = if request.program.is_some() { "program" } else { "program_url" };
    match supply {
        Some(_) if wanted.second.is_some() => {
            Err(Problem::field(field, "expected no program where two are called: they are joined with each other"))
        }
        Some(_) if request.app.is_some() => Err(Problem::field("app", "expected either `app` or a program, not both")),
        supply => Ok(supply),
    }
}

/// Whom somebody who is called is shown outside; nothing for agents.
async fn identity(state: &AppState, actor: &Actor, wanted: &Wanted, asked: &Asked) -> Result<Option<String>, Problem> {
    match asked.number() {
        None => Ok(None),
        // Nobody in need is kept from calling by what is shown.
        Some(_) if asked.is_urgent() => Ok(asked.from.clone()),
        Some(to) => {
            let shown = caller_id::shown(state, actor, wanted.agent(), to, asked.from.clone()).await;
            shown.map_err(|problem| match problem.field {
                Some(_) => Problem { field: Some(asked.from_field.clone()), ..problem },
                None => problem,
            })
        }
    }
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

/// Translates what the agent typed and speaks it to the customer.
///
/// With `Idempotency-Key`, the same request gets the same answer for a day and is spoken once.
#[utoipa::path(post, path = "/calls/{id}/say", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call"),
           ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable characters of your choice")),
    request_body = SayRequest,
    responses((status = 202, body = CallState,
               headers(("Idempotent-Replayed" = String, description = "`true`: this answer was given before"))),
              (status = 400, body = Problem), (status = 401, body = Problem),
              (status = 403, body = Problem), (status = 404, body = Problem), (status = 408, body = Problem),
              (status = 409, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem),
              (status = 422, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn call_say(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
    keyed: Keyed<SayRequest>,
) -> Result<Response, Problem> {
    actor.may(Action::CallsDial)?;
    let (request, key, hash) = keyed.parts();
    let (inner, by) = (state.clone(), actor.clone());
    once(&state, &actor, key, &hash, |_| async move { say(inner, by, id, request).await }).await
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

/// The tenant's call, or 404; also for who may see own calls only, and never was in this one.
pub(super) async fn call_of(state: &AppState, actor: &Actor, id: Uuid) -> Result<Call, Problem> {
    Ok(call_seen(state, actor, id).await?.0)
}

/// The same, with what the actor may see of it.
pub(super) async fn call_seen(state: &AppState, actor: &Actor, id: Uuid) -> Result<(Call, Sight), Problem> {
    let call = state.store.call_show(actor.organization, id).await?;
    let sight = Seen::calls(actor).sight(&state.store, actor.organization, id).await?;
    call.zip(sight).ok_or_else(|| Problem::not_found("call"))
}

/// The tenant's call to which the actor may do something: whoever has left it may not, until it ends.
pub(super) async fn call_joined(state: &AppState, actor: &Actor, id: Uuid) -> Result<Call, Problem> {
    let (call, sight) = call_seen(state, actor, id).await?;
    if call.ended_at.is_none() && !sight.is_present() {
        return Err(Problem::forbidden("you have left this call: it goes on without you"));
    }
    Ok(call)
}
