//! What is done with a call that runs: legs added and dropped, hold, mute, keys, transfer, supervision.
//!
//! ```text
//! request ─▶ who, whose call ─▶ once (Idempotency-Key) ─▶ Command::CallVerb ─▶ audit ─▶ the leg's number
//! ```
//!
//! Invariant: whether the call's state allows a verb is the engine's to say. A leg that is dialled here waits for the same decision
//! (limits, identity) as one that a transfer by REFER wants.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::caller_id;
use super::calls::call_joined;
use crate::auth::Actor;
use crate::body::{CallPath, LegPath};
use crate::capabilities::switched_off;
use crate::engine::{
    self, Callee, Command, CommandError, GAIN_DB, IfFails, LegId, NewLeg, SuperviseMode, Verb, VerbTarget, call_id,
    mask,
};
use crate::idempotency::{Keyed, KeyedBare, Reply, once};
use crate::number;
use crate::problem::Problem;
use crate::programs::{Served, Supply};
use crate::rbac::Action;
use crate::state::AppState;
use crate::store::{Call, Deed};

/// Seconds that a leg may ring.
pub(super) const RING_S: std::ops::RangeInclusive<u16> = 1..=300;
/// Most targets of one transfer.
const TARGETS_MAX: usize = 16;

/// A leg of a call.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct LegNumber {
    /// Its number in its call.
    leg: u64,
}

/// Somebody who is called: `agent` or `to`, one of both.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LegTarget {
    /// An agent's SIP user name.
    agent: Option<String>,
    /// A number in E.164, or a `sip:` URI.
    #[schema(example = "+15555550142")]
    to: Option<String>,
    /// How long they may ring, in seconds; by default as long as the others.
    #[schema(minimum = 1, maximum = 300)]
    ring_s: Option<u16>,
    /// In place of `agent` and `to`, and as the last target of a transfer only: a call program, a list of steps as in docs/programs.md.
    #[schema(value_type = Option<Vec<Object>>)]
    program: Option<Box<RawValue>>,
}

/// What follows when nobody answers who was called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum IfNobodyAnswers {
    /// The others talk on as before.
    #[default]
    Return,
    /// The call ends.
    Hangup,
}

impl From<IfNobodyAnswers> for IfFails {
    fn from(fate: IfNobodyAnswers) -> IfFails {
        match fate {
            IfNobodyAnswers::Return => IfFails::Return,
            IfNobodyAnswers::Hangup => IfFails::HangUp,
        }
    }
}

/// How loud a leg is.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GainRequest {
    /// In decibels; 0: as it comes.
    #[schema(minimum = -20, maximum = 20)]
    db: i8,
}

/// Somebody to be called into the call: `agent` or `to`, one of both.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LegRequest {
    /// An agent's SIP user name.
    agent: Option<String>,
    /// A number in E.164, or a `sip:` URI.
    #[schema(example = "+15555550142")]
    to: Option<String>,
    /// Caller identity shown to `to`, as in a call of your own.
    from: Option<String>,
    /// How long it may ring, in seconds; by default as long as any leg.
    #[schema(minimum = 1, maximum = 300)]
    ring_s: Option<u16>,
    /// Called in turn when they do not answer. Each is a leg of its own, told by `call.leg`.
    #[serde(default)]
    #[schema(max_items = 16)]
    or_else: Vec<LegTarget>,
    /// What follows when none of them answers.
    #[serde(default)]
    #[schema(default = "return")]
    if_fails: IfNobodyAnswers,
}

/// Keys to be pressed.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DtmfRequest {
    /// 0-9, *, #, A-D; a comma is a pause of half a second.
    #[schema(example = "12,34#", min_length = 1, max_length = 64)]
    digits: String,
}

/// Who is to take a leg's place.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TransferRequest {
    /// The leg that gives its place: its partner is joined with the first target that answers.
    leg: u64,
    /// Called in turn until one answers. The last one may be a call program, which then has the partner when nobody answers; the leg that
    /// gives its place is hung up.
    #[schema(min_items = 1, max_items = 16)]
    targets: Vec<LegTarget>,
    /// How long each may ring, in seconds; by default as long as any leg.
    #[schema(minimum = 1, maximum = 300)]
    ring_s: Option<u16>,
    /// What follows when none of them answers.
    #[serde(default)]
    #[schema(default = "return")]
    if_fails: IfNobodyAnswers,
}

/// What a supervisor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ModeName {
    /// Hears the parties; nobody hears the supervisor.
    Listen,
    /// One party alone hears the supervisor.
    Whisper,
    /// All hear the supervisor.
    Barge,
}

/// A supervisor's telephone to be called into the call.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SuperviseRequest {
    /// What the supervisor does.
    mode: ModeName,
    /// With `whisper`, the leg that hears it; by default the first agent's.
    whisper_to: Option<u64>,
    /// SIP user name of the supervisor's telephone; a logged-in person's own by default.
    agent: Option<String>,
    /// A number in E.164 or a `sip:` URI, in place of `agent`.
    to: Option<String>,
    /// How long it may ring, in seconds; by default as long as any leg.
    #[schema(minimum = 1, maximum = 300)]
    ring_s: Option<u16>,
}

/// What a supervisor is to do from now on.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ModeRequest {
    /// What the supervisor does.
    mode: ModeName,
    /// With `whisper`, the leg that hears it; by default the first agent's.
    whisper_to: Option<u64>,
}

/// Calls somebody into a running call, beside its parties.
///
/// Answered when the call has taken it; whether it rings, answers or is refused is told by the call's events. The others talk on meanwhile.
#[utoipa::path(post, path = "/calls/{id}/legs", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call"),
           ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable characters of your choice")),
    request_body = LegRequest,
    responses((status = 201, body = LegNumber,
               headers(("Idempotent-Replayed" = String, description = "`true`: this answer was given before"))),
              (status = 404, body = Problem), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn leg_create(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
    keyed: Keyed<LegRequest>,
) -> Result<Response, Problem> {
    actor.may(Action::CallsDial)?;
    let (request, key, hash) = keyed.parts();
    let (inner, by) = (state.clone(), actor.clone());
    let work = async move {
        running(&inner, &by, id).await?;
        let LegRequest { agent, to, from, ring_s, or_else, if_fails } = request;
        let from = match (&to, from) {
            (Some(to), Some(from)) => caller_id::shown(&inner, &by, None, to, Some(from)).await?,
            (None, Some(_)) => return Err(Problem::field("from", "an agent is shown who is in the call")),
            (_, None) => None,
        };
        let urgent = to.as_ref().is_some_and(|to| engine::is_emergency(&inner.config, to));
        if !urgent && !inner.store.capabilities_show(by.organization).await?.conference {
            return Err(switched_off("conference"));
        }
        let to = callee(&inner, &by, (&agent, &to)).await?;
        let ring = ring("ring_s", ring_s)?;
        let or_else = targets(&inner, &by, "or_else", &or_else).await?;
        let if_fails = if_fails.into();
        let new = NewLeg { to, supervises: None, from, ring, or_else, if_fails, notice: false };
        let shown = shown(&new.to);
        let leg = leg_of(verb(&inner, id, Verb::LegAdd(new)).await?)?;
        let deed = Deed::new("call.leg.add", format!("call:{id}")).after(json!({"leg": leg, "to": shown}));
        inner.audit(&by, deed).await?;
        Reply::new(StatusCode::CREATED, &LegNumber { leg })
    };
    once(&state, &actor, key, &hash, |_| work).await
}

/// Hangs up one leg of a call, or stops calling it. The call goes on while two others talk, and ends otherwise.
#[utoipa::path(delete, path = "/calls/{id}/legs/{leg}", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call"), ("leg" = u64, Path, description = "Number of the leg"),
           ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable characters of your choice")),
    responses((status = 200, body = LegNumber), (status = 404, body = Problem), (status = 409, body = Problem),
              (status = 503, body = Problem)))]
pub(super) async fn leg_delete(
    State(state): State<AppState>,
    actor: Actor,
    path: LegPath,
    keyed: KeyedBare,
) -> Result<Response, Problem> {
    leg_verb(state, actor, path, keyed, "call.leg.drop", |leg| Verb::LegDrop { leg }).await
}

/// Sets a leg aside: it hears a soft tone, nobody hears it, and nothing of it is recorded. Setting it twice is no error.
#[utoipa::path(post, path = "/calls/{id}/legs/{leg}/hold", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call"), ("leg" = u64, Path, description = "Number of the leg"),
           ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable characters of your choice")),
    responses((status = 200, body = LegNumber), (status = 404, body = Problem), (status = 409, body = Problem),
              (status = 503, body = Problem)))]
pub(super) async fn leg_hold(
    State(state): State<AppState>,
    actor: Actor,
    path: LegPath,
    keyed: KeyedBare,
) -> Result<Response, Problem> {
    leg_verb(state, actor, path, keyed, "call.leg.hold", |leg| Verb::Hold { leg, on: true }).await
}

/// Takes a leg back that was on hold.
#[utoipa::path(post, path = "/calls/{id}/legs/{leg}/resume", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call"), ("leg" = u64, Path, description = "Number of the leg"),
           ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable characters of your choice")),
    responses((status = 200, body = LegNumber), (status = 404, body = Problem), (status = 409, body = Problem),
              (status = 503, body = Problem)))]
pub(super) async fn leg_resume(
    State(state): State<AppState>,
    actor: Actor,
    path: LegPath,
    keyed: KeyedBare,
) -> Result<Response, Problem> {
    leg_verb(state, actor, path, keyed, "call.leg.resume", |leg| Verb::Hold { leg, on: false }).await
}

/// Takes a leg's voice: the others hear silence in its place. Setting it twice is no error.
#[utoipa::path(post, path = "/calls/{id}/legs/{leg}/mute", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call"), ("leg" = u64, Path, description = "Number of the leg"),
           ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable characters of your choice")),
    responses((status = 200, body = LegNumber), (status = 404, body = Problem), (status = 409, body = Problem),
              (status = 503, body = Problem)))]
pub(super) async fn leg_mute(
    State(state): State<AppState>,
    actor: Actor,
    path: LegPath,
    keyed: KeyedBare,
) -> Result<Response, Problem> {
    leg_verb(state, actor, path, keyed, "call.leg.mute", |leg| Verb::Mute { leg, on: true }).await
}

/// Gives a muted leg its voice back.
#[utoipa::path(post, path = "/calls/{id}/legs/{leg}/unmute", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call"), ("leg" = u64, Path, description = "Number of the leg"),
           ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable characters of your choice")),
    responses((status = 200, body = LegNumber), (status = 404, body = Problem), (status = 409, body = Problem),
              (status = 503, body = Problem)))]
pub(super) async fn leg_unmute(
    State(state): State<AppState>,
    actor: Actor,
    path: LegPath,
    keyed: KeyedBare,
) -> Result<Response, Problem> {
    leg_verb(state, actor, path, keyed, "call.leg.unmute", |leg| Verb::Mute { leg, on: false }).await
}

/// Presses keys towards a leg, one after the other: as telephone-events (RFC 4733) where it knows them, else as sound.
#[utoipa::path(post, path = "/calls/{id}/legs/{leg}/dtmf", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call"), ("leg" = u64, Path, description = "Number of the leg"),
           ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable characters of your choice")),
    request_body = DtmfRequest,
    responses((status = 202, body = LegNumber,
               headers(("Idempotent-Replayed" = String, description = "`true`: this answer was given before"))),
              (status = 404, body = Problem), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn leg_dtmf(
    State(state): State<AppState>,
    actor: Actor,
    LegPath(id, leg): LegPath,
    keyed: Keyed<DtmfRequest>,
) -> Result<Response, Problem> {
    actor.may(Action::CallsDial)?;
    let (DtmfRequest { digits }, key, hash) = keyed.parts();
    let (inner, by) = (state.clone(), actor.clone());
    let work = async move {
        running(&inner, &by, id).await?;
        verb(&inner, id, Verb::SendDtmf { leg: LegId(leg), digits }).await?;
        // Which keys: a card's number, perhaps.
        inner.audit(&by, Deed::new("call.leg.dtmf", format!("call:{id}")).after(json!({"leg": leg}))).await?;
        Reply::new(StatusCode::ACCEPTED, &LegNumber { leg })
    };
    once(&state, &actor, key, &hash, |_| work).await
}

/// Lets the others hear a leg louder or softer, from one moment to the next without a click. Setting it twice is no error.
#[utoipa::path(post, path = "/calls/{id}/legs/{leg}/gain", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call"), ("leg" = u64, Path, description = "Number of the leg"),
           ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable characters of your choice")),
    request_body = GainRequest,
    responses((status = 200, body = LegNumber,
               headers(("Idempotent-Replayed" = String, description = "`true`: this answer was given before"))),
              (status = 404, body = Problem), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn leg_gain(
    State(state): State<AppState>,
    actor: Actor,
    LegPath(id, leg): LegPath,
    keyed: Keyed<GainRequest>,
) -> Result<Response, Problem> {
    actor.may(Action::CallsDial)?;
    let (GainRequest { db }, key, hash) = keyed.parts();
    let (inner, by) = (state.clone(), actor.clone());
    let work = async move {
        running(&inner, &by, id).await?;
        if !GAIN_DB.contains(&db) {
            return Err(Problem::field("db", format!("expected {} to {}", GAIN_DB.start(), GAIN_DB.end())));
        }
        verb(&inner, id, Verb::Gain { leg: LegId(leg), db }).await?;
        let deed = Deed::new("call.leg.gain", format!("call:{id}")).after(json!({"leg": leg, "db": db}));
        inner.audit(&by, deed).await?;
        Reply::new(StatusCode::OK, &LegNumber { leg })
    };
    once(&state, &actor, key, &hash, |_| work).await
}

/// Joins a leg's partner with somebody else: the targets are called in turn until one answers.
///
/// The partner hears music or that somebody is called. When nobody answers, both talk on as before, or the call ends (`if_fails`); how it goes
/// is told by `call.transfer`.
#[utoipa::path(post, path = "/calls/{id}/transfer", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call"),
           ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable characters of your choice")),
    request_body = TransferRequest,
    responses((status = 202, body = LegNumber,
               headers(("Idempotent-Replayed" = String, description = "`true`: this answer was given before"))),
              (status = 404, body = Problem), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn call_transfer(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
    keyed: Keyed<TransferRequest>,
) -> Result<Response, Problem> {
    actor.may(Action::CallsDial)?;
    let (TransferRequest { leg, targets: asked, ring_s, if_fails }, key, hash) = keyed.parts();
    let (inner, by) = (state.clone(), actor.clone());
    let work = async move {
        let call = running(&inner, &by, id).await?;
        let (asked, program) = program_of(asked)?;
        if asked.is_empty() {
            return Err(Problem::field("targets", format!("expected 1 to {TARGETS_MAX} targets to be called")));
        }
        if program.is_some() && if_fails == IfNobodyAnswers::Hangup {
            return Err(Problem::field("if_fails", "expected either a program or `hangup`, not both"));
        }
        let program = program.map(|supply| {
            let (caller, called) = (call.from.clone().unwrap_or_default(), call.to.clone());
            inner.programs.of_call(Served { organization: by.organization, call: id, caller, called }, supply)
        });
        let to = targets(&inner, &by, "targets", &asked).await?;
        let named: Vec<String> = to.iter().map(|target| shown(&target.to)).collect();
        let ring = ring("ring_s", ring_s)?;
        let with_program = program.is_some();
        let if_fails: IfFails = if with_program { IfFails::Program } else { if_fails.into() };
        verb(&inner, id, Verb::Transfer { leg: LegId(leg), to, ring, if_fails, program }).await?;
        let after = json!({"leg": leg, "to": named, "if_fails": if_fails});
        let deed = Deed::new("call.transfer", format!("call:{id}")).after(after);
        inner.audit(&by, deed).await?;
        Reply::new(StatusCode::ACCEPTED, &LegNumber { leg })
    };
    once(&state, &actor, key, &hash, |_| work).await
}

/// Calls a supervisor's telephone into a call, to listen, to whisper to one party, or to barge in.
///
/// A supervisor neither keeps a call alive nor ends it.
#[utoipa::path(post, path = "/calls/{id}/supervise", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call"),
           ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable characters of your choice")),
    request_body = SuperviseRequest,
    responses((status = 201, body = LegNumber,
               headers(("Idempotent-Replayed" = String, description = "`true`: this answer was given before"))),
              (status = 404, body = Problem), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn supervise_start(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
    keyed: Keyed<SuperviseRequest>,
) -> Result<Response, Problem> {
    actor.may(Action::CallsMonitor)?;
    let (request, key, hash) = keyed.parts();
    let (inner, by) = (state.clone(), actor.clone());
    let work = async move {
        running(&inner, &by, id).await?;
        let SuperviseRequest { mode, whisper_to, agent, to, ring_s } = request;
        let own = by.person.as_ref().map(|person| person.sip_name.clone()).filter(|_| to.is_none());
        let to = callee(&inner, &by, (&agent.or(own), &to)).await?;
        let notice = inner.store.call_handling_show(by.organization).await?.supervision_notice;
        let supervises = Some(supervise_mode(mode, whisper_to)?);
        let named = shown(&to);
        let (ring, or_else, if_fails) = (ring("ring_s", ring_s)?, Vec::new(), IfFails::Return);
        let new = NewLeg { to, supervises, from: None, ring, or_else, if_fails, notice };
        let leg = leg_of(verb(&inner, id, Verb::LegAdd(new)).await?)?;
        let after =
            json!({"leg": leg, "to": named, "mode": mode_word(mode), "whisper_to": whisper_to, "notice": notice});
        inner.audit(&by, Deed::new("call.supervise", format!("call:{id}")).after(after)).await?;
        Reply::new(StatusCode::CREATED, &LegNumber { leg })
    };
    once(&state, &actor, key, &hash, |_| work).await
}

/// Changes what a supervisor does in a call.
#[utoipa::path(put, path = "/calls/{id}/supervise/{leg}", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call"),
           ("leg" = u64, Path, description = "Number of the supervisor's leg"),
           ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable characters of your choice")),
    request_body = ModeRequest,
    responses((status = 200, body = LegNumber,
               headers(("Idempotent-Replayed" = String, description = "`true`: this answer was given before"))),
              (status = 404, body = Problem), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn supervise_change(
    State(state): State<AppState>,
    actor: Actor,
    LegPath(id, leg): LegPath,
    keyed: Keyed<ModeRequest>,
) -> Result<Response, Problem> {
    actor.may(Action::CallsMonitor)?;
    let (ModeRequest { mode, whisper_to }, key, hash) = keyed.parts();
    let (inner, by) = (state.clone(), actor.clone());
    let work = async move {
        running(&inner, &by, id).await?;
        let to = supervise_mode(mode, whisper_to)?;
        verb(&inner, id, Verb::Supervise { leg: LegId(leg), mode: to }).await?;
        let after = json!({"leg": leg, "mode": mode_word(mode), "whisper_to": whisper_to});
        inner.audit(&by, Deed::new("call.supervise", format!("call:{id}")).after(after)).await?;
        Reply::new(StatusCode::OK, &LegNumber { leg })
    };
    once(&state, &actor, key, &hash, |_| work).await
}

/// A verb on one leg that needs nothing but its name.
async fn leg_verb(
    state: AppState,
    actor: Actor,
    LegPath(id, leg): LegPath,
    KeyedBare { key, hash }: KeyedBare,
    deed: &'static str,
    make: fn(LegId) -> Verb,
) -> Result<Response, Problem> {
    actor.may(Action::CallsDial)?;
    let (inner, by) = (state.clone(), actor.clone());
    let work = async move {
        running(&inner, &by, id).await?;
        verb(&inner, id, make(LegId(leg))).await?;
        inner.audit(&by, Deed::new(deed, format!("call:{id}")).after(json!({"leg": leg}))).await?;
        Reply::new(StatusCode::OK, &LegNumber { leg })
    };
    once(&state, &actor, key, &hash, |_| work).await
}

/// The tenant's call that has not ended, and that the actor has not left.
pub(super) async fn running(state: &AppState, actor: &Actor, id: Uuid) -> Result<Call, Problem> {
    let call = call_joined(state, actor, id).await?;
    if call.ended_at.is_some() {
        return Err(CommandError::NotFound.into());
    }
    Ok(call)
}

/// Does it, in the words of the engine.
pub(super) async fn verb(state: &AppState, call: Uuid, verb: Verb) -> Result<engine::Reply, Problem> {
    Ok(state.engine.command(Command::CallVerb { call: call_id(call), verb }).await?)
}

/// The leg that a verb has made.
fn leg_of(reply: engine::Reply) -> Result<u64, Problem> {
    match reply {
        engine::Reply::Leg(leg) => Ok(leg.0),
        _ => Err(Problem::internal()),
    }
}

/// Refuses a SIP user name that no agent of the organization has.
pub(super) async fn agent_of(state: &AppState, actor: &Actor, agent: &str) -> Result<(), Problem> {
    match state.store.membership_by_sip_name(actor.organization, agent).await? {
        Some(_) => Ok(()),
        None => Err(Problem::field("agent", "there is no agent of this SIP user name in your organization")),
    }
}

/// Whom a target names: an agent of the organization, or somebody whom the actor may call.
async fn callee(
    state: &AppState,
    actor: &Actor,
    target: (&Option<String>, &Option<String>),
) -> Result<Callee, Problem> {
    match target {
        (Some(agent), None) => {
            agent_of(state, actor, agent).await?;
            Ok(Callee::Agent(agent.clone()))
        }
        (None, Some(to)) => {
            let urgent = engine::is_emergency(&state.config, to);
            if !number::is_callable(to) && !urgent {
                return Err(Problem::field("to", number::EXPECTED));
            }
            let may_dial = actor.person.is_some() || urgent;
            if !may_dial && !state.store.capabilities_show(actor.organization).await?.api_dialing {
                return Err(switched_off("api_dialing"));
            }
            Ok(Callee::Number(to.clone()))
        }
        (Some(_), Some(_)) => Err(Problem::field("to", "expected `agent` or `to`, not both")),
        (None, None) => Err(Problem::field("to", "expected `agent` (a SIP user name) or `to` (a number or URI)")),
    }
}

/// The targets that are called, and the program that a list of targets ends in.
fn program_of(mut asked: Vec<LegTarget>) -> Result<(Vec<LegTarget>, Option<Supply>), Problem> {
    let field = format!("targets[{}].program", asked.len().saturating_sub(1));
    let Some(last) = asked.pop_if(|last| last.program.is_some()) else { return Ok((asked, None)) };
    if last.agent.is_some() || last.to.is_some() || last.ring_s.is_some() {
        return Err(Problem::field(field, "a program stands alone: it is not called"));
    }
    let text = last.program.map(|program| program.get().to_owned());
    let read = Supply::read((text.as_deref(), None), ("program", None));
    let supply = read.map_err(|refused| Problem { field: Some(field), ..refused.into() })?;
    Ok((asked, supply))
}

/// Those who are called in turn, as `field` of a request names them.
async fn targets(
    state: &AppState,
    actor: &Actor,
    field: &str,
    asked: &[LegTarget],
) -> Result<Vec<VerbTarget>, Problem> {
    if asked.len() > TARGETS_MAX {
        return Err(Problem::field(field, format!("expected at most {TARGETS_MAX} targets")));
    }
    let mut targets = Vec::with_capacity(asked.len());
    for (at, LegTarget { agent, to, ring_s, program }) in asked.iter().enumerate() {
        if program.is_some() {
            let why = "only the last target of a transfer may be a program";
            return Err(Problem::field(format!("{field}[{at}].program"), why));
        }
        let within = |problem: Problem| {
            let field = problem.field.as_ref().map(|name| format!("{field}[{at}].{name}"));
            Problem { field, ..problem }
        };
        let to = callee(state, actor, (agent, to)).await.map_err(within)?;
        targets.push(VerbTarget { to, ring: ring("ring_s", *ring_s).map_err(within)? });
    }
    Ok(targets)
}

pub(super) fn ring(field: &str, seconds: Option<u16>) -> Result<Option<Duration>, Problem> {
    match seconds {
        Some(seconds) if !RING_S.contains(&seconds) => {
            Err(Problem::field(field, format!("expected {} to {} seconds", RING_S.start(), RING_S.end())))
        }
        seconds => Ok(seconds.map(|seconds| Duration::from_secs(seconds.into()))),
    }
}

fn supervise_mode(mode: ModeName, whisper_to: Option<u64>) -> Result<SuperviseMode, Problem> {
    match mode {
        ModeName::Whisper => Ok(SuperviseMode::Whisper(whisper_to.map(LegId))),
        _ if whisper_to.is_some() => Err(Problem::field("whisper_to", "only mode `whisper` has a listener")),
        ModeName::Listen => Ok(SuperviseMode::Listen),
        ModeName::Barge => Ok(SuperviseMode::Barge),
    }
}

fn mode_word(mode: ModeName) -> &'static str {
    match mode {
        ModeName::Listen => "listen",
        ModeName::Whisper => "whisper",
        ModeName::Barge => "barge",
    }
}

/// As the audit log shows somebody who is called.
fn shown(callee: &Callee) -> String {
    match callee {
        Callee::Agent(agent) | Callee::Browser(agent) => agent.clone(),
        Callee::Number(number) => mask(number),
    }
}
