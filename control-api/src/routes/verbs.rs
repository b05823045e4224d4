//! Actions on a running call: adding and dropping legs, hold, mute, keys, gain, transfer and supervision.
//!
//! ```text
//! request ─▶ actor, tenant's call ─▶ once (Idempotency-Key) ─▶ Command::CallVerb ─▶ audit ─▶ the leg's number
//! ```
//!
//! Invariant: the engine decides whether the state of the call allows a verb. A leg that is dialled here waits for the same
//! decision (limits, caller ID) as one that a transfer by REFER requests.

use crate::config::is_emergency;
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
use crate::engine::{
    self, Callee, Command, CommandError, GAIN_DB, IfFails, LegId, NewLeg, SuperviseMode, Verb, VerbTarget, call_id,
    mask,
};
use crate::gate::idempotency::{Keyed, KeyedBare, Reply, once};
use crate::http::body::{CallPath, LegPath};
use crate::http::problem::Problem;
use crate::programs::{Served, Supply};
use crate::state::AppState;
use crate::store::{Call, Deed};
use crate::tenant::capabilities::SwitchedOff;
use crate::tenant::number;
use crate::tenant::rbac::Action;

/// Seconds that a leg may ring before the attempt is given up.
pub(super) const RING_S: std::ops::RangeInclusive<u16> = 1..=300;
/// Largest number of targets in one transfer.
const TARGETS_MAX: usize = 16;

/// Reference to a leg of a call.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct LegNumber {
    /// Number of the leg within its call.
    leg: u64,
}

/// Party to call. Exactly one of `agent` and `to` is required.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LegTarget {
    /// SIP user name of an agent of your organization.
    agent: Option<String>,
    /// Phone number in E.164 format, or a `sip:` URI.
    #[schema(example = "+15555550142")]
    to: Option<String>,
    /// Longest ringing time in seconds. Defaults to the ringing time of the request.
    #[schema(minimum = 1, maximum = 300)]
    ring_s: Option<u16>,
    /// Call program to run in place of calling somebody, as a list of steps (see docs/programs.md). Allowed only as the last
    /// target of a transfer, without `agent`, `to` and `ring_s`.
    #[schema(value_type = Option<Vec<Object>>)]
    program: Option<Box<RawValue>>,
}

/// Consequence when no target answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum IfNobodyAnswers {
    /// The parties stay connected as before.
    #[default]
    Return,
    /// The call is ended.
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

/// Volume of a leg.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GainRequest {
    /// Gain in decibels, -20 to 20. 0 leaves the volume unchanged.
    #[schema(minimum = -20, maximum = 20)]
    db: i8,
}

/// Party to add to the call. Exactly one of `agent` and `to` is required.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LegRequest {
    /// SIP user name of an agent of your organization.
    agent: Option<String>,
    /// Phone number in E.164 format, or a `sip:` URI.
    #[schema(example = "+15555550142")]
    to: Option<String>,
    /// Caller ID shown to `to`, under the same rules as for a new call. Not allowed with `agent`.
    from: Option<String>,
    /// Longest ringing time in seconds. Defaults to the server's ringing time.
    #[schema(minimum = 1, maximum = 300)]
    ring_s: Option<u16>,
    /// Targets that are called one after the other when the first party does not answer. Each becomes a leg of its own, reported
    /// by `call.leg`.
    #[serde(default)]
    #[schema(max_items = 16)]
    or_else: Vec<LegTarget>,
    /// Consequence when none of them answers; `return` by default.
    #[serde(default)]
    #[schema(default = "return")]
    if_fails: IfNobodyAnswers,
}

/// DTMF keys to send.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DtmfRequest {
    /// Keys to send: 0-9, *, #, A-D. A comma is a pause of half a second.
    #[schema(example = "12,34#", min_length = 1, max_length = 64)]
    digits: String,
}

/// Leg to replace, and the targets that may replace it.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TransferRequest {
    /// Number of the leg that leaves the call. Its partner is connected to the first target that answers.
    leg: u64,
    /// Targets that are called one after the other until one answers. The last one may be a call program: it takes over the
    /// partner when no target answers, and the transferring leg is hung up.
    #[schema(min_items = 1, max_items = 16)]
    targets: Vec<LegTarget>,
    /// Longest ringing time of each target, in seconds. Defaults to the server's ringing time.
    #[schema(minimum = 1, maximum = 300)]
    ring_s: Option<u16>,
    /// Consequence when no target answers. Defaults to `return`.
    #[serde(default)]
    #[schema(default = "return")]
    if_fails: IfNobodyAnswers,
}

/// How a supervisor takes part in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ModeName {
    /// The supervisor hears the parties and is heard by nobody.
    Listen,
    /// Only one party hears the supervisor.
    Whisper,
    /// All parties hear the supervisor.
    Barge,
}

/// Supervisor to add to a call.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SuperviseRequest {
    /// How the supervisor takes part.
    mode: ModeName,
    /// With `whisper`, number of the leg that hears the supervisor. Defaults to the leg of the first agent.
    whisper_to: Option<u64>,
    /// SIP user name of the supervisor's phone. Defaults to that of the logged-in user.
    agent: Option<String>,
    /// Phone number in E.164 format or a `sip:` URI, in place of `agent`.
    to: Option<String>,
    /// Longest ringing time in seconds. Defaults to the server's ringing time.
    #[schema(minimum = 1, maximum = 300)]
    ring_s: Option<u16>,
}

/// New mode of a supervisor who is already in the call.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ModeRequest {
    /// How the supervisor takes part from now on.
    mode: ModeName,
    /// With `whisper`, number of the leg that hears the supervisor. Defaults to the leg of the first agent.
    whisper_to: Option<u64>,
}

/// Adds a party to a running call.
///
/// Returns once the call has accepted the request. The call's events report whether the party rings, answers or refuses. The
/// other parties keep talking meanwhile.
#[utoipa::path(post, path = "/calls/{id}/legs", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call"),
           ("Idempotency-Key" = Option<String>, Header, description = "Key of your choice, 1 to 255 printable ASCII characters")),
    request_body = LegRequest,
    responses((status = 201, body = LegNumber,
               headers(("Idempotent-Replayed" = String, description = "`true` if this response repeats an earlier one"))),
              (status = 503, body = Problem)))]
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
        running_call(&inner, &by, id).await?;
        let LegRequest { agent, to, from, ring_s, or_else, if_fails } = request;
        let from = match (&to, from) {
            (Some(to), Some(from)) => caller_id::checked_caller_id(&inner, &by, None, to, Some(from)).await?,
            (None, Some(_)) => {
                return Err(Problem::field(
                    "from",
                    "expected no `from` with `agent`: an agent sees the parties of the call",
                ));
            }
            (_, None) => None,
        };
        let urgent = to.as_ref().is_some_and(|to| is_emergency(&inner.config, to));
        if !urgent && !inner.store.capabilities_show(by.organization).await?.conference {
            return Err(SwitchedOff("conference").into());
        }
        let to = callee(&inner, &by, (&agent, &to)).await?;
        let ring = ring("ring_s", ring_s)?;
        let or_else = targets(&inner, &by, "or_else", &or_else).await?;
        let if_fails = if_fails.into();
        let new = NewLeg { to, supervises: None, from, ring, or_else, if_fails, notice: false };
        let shown = callee_label(&new.to);
        let leg = leg_of(verb(&inner, id, Verb::LegAdd(new)).await?)?;
        let deed = Deed::new("call.leg.add", format!("call:{id}")).after(json!({"leg": leg, "to": shown}));
        inner.audit(&by, deed).await?;
        Reply::new(StatusCode::CREATED, &LegNumber { leg })
    };
    once(&state.store, &actor, key, &hash, |_| work).await
}

/// Hangs up one leg of a call, or stops calling it. The call continues while two other parties are connected, and ends otherwise.
#[utoipa::path(delete, path = "/calls/{id}/legs/{leg}", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call"), ("leg" = u64, Path, description = "Number of the leg"),
           ("Idempotency-Key" = Option<String>, Header, description = "Key of your choice, 1 to 255 printable ASCII characters")),
    responses((status = 200, body = LegNumber),
              (status = 503, body = Problem)))]
pub(super) async fn leg_delete(
    State(state): State<AppState>,
    actor: Actor,
    path: LegPath,
    keyed: KeyedBare,
) -> Result<Response, Problem> {
    leg_verb(state, actor, path, keyed, "call.leg.drop", |leg| Verb::LegDrop { leg }).await
}

/// Puts a leg on hold.
///
/// The leg hears a soft tone, nobody hears the leg, and its audio is not recorded. Holding a leg that is on hold is not an error.
#[utoipa::path(post, path = "/calls/{id}/legs/{leg}/hold", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call"), ("leg" = u64, Path, description = "Number of the leg"),
           ("Idempotency-Key" = Option<String>, Header, description = "Key of your choice, 1 to 255 printable ASCII characters")),
    responses((status = 200, body = LegNumber),
              (status = 503, body = Problem)))]
pub(super) async fn leg_hold(
    State(state): State<AppState>,
    actor: Actor,
    path: LegPath,
    keyed: KeyedBare,
) -> Result<Response, Problem> {
    leg_verb(state, actor, path, keyed, "call.leg.hold", |leg| Verb::Hold { leg, on: true }).await
}

/// Takes a leg off hold.
#[utoipa::path(post, path = "/calls/{id}/legs/{leg}/resume", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call"), ("leg" = u64, Path, description = "Number of the leg"),
           ("Idempotency-Key" = Option<String>, Header, description = "Key of your choice, 1 to 255 printable ASCII characters")),
    responses((status = 200, body = LegNumber),
              (status = 503, body = Problem)))]
pub(super) async fn leg_resume(
    State(state): State<AppState>,
    actor: Actor,
    path: LegPath,
    keyed: KeyedBare,
) -> Result<Response, Problem> {
    leg_verb(state, actor, path, keyed, "call.leg.resume", |leg| Verb::Hold { leg, on: false }).await
}

/// Mutes a leg: the other parties hear silence from it. Muting a muted leg is not an error.
#[utoipa::path(post, path = "/calls/{id}/legs/{leg}/mute", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call"), ("leg" = u64, Path, description = "Number of the leg"),
           ("Idempotency-Key" = Option<String>, Header, description = "Key of your choice, 1 to 255 printable ASCII characters")),
    responses((status = 200, body = LegNumber),
              (status = 503, body = Problem)))]
pub(super) async fn leg_mute(
    State(state): State<AppState>,
    actor: Actor,
    path: LegPath,
    keyed: KeyedBare,
) -> Result<Response, Problem> {
    leg_verb(state, actor, path, keyed, "call.leg.mute", |leg| Verb::Mute { leg, on: true }).await
}

/// Unmutes a leg.
#[utoipa::path(post, path = "/calls/{id}/legs/{leg}/unmute", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call"), ("leg" = u64, Path, description = "Number of the leg"),
           ("Idempotency-Key" = Option<String>, Header, description = "Key of your choice, 1 to 255 printable ASCII characters")),
    responses((status = 200, body = LegNumber),
              (status = 503, body = Problem)))]
pub(super) async fn leg_unmute(
    State(state): State<AppState>,
    actor: Actor,
    path: LegPath,
    keyed: KeyedBare,
) -> Result<Response, Problem> {
    leg_verb(state, actor, path, keyed, "call.leg.unmute", |leg| Verb::Mute { leg, on: false }).await
}

/// Sends DTMF keys to a leg, one after the other: as telephone-events (RFC 4733) if the leg supports them, otherwise as tones.
#[utoipa::path(post, path = "/calls/{id}/legs/{leg}/dtmf", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call"), ("leg" = u64, Path, description = "Number of the leg"),
           ("Idempotency-Key" = Option<String>, Header, description = "Key of your choice, 1 to 255 printable ASCII characters")),
    request_body = DtmfRequest,
    responses((status = 202, body = LegNumber,
               headers(("Idempotent-Replayed" = String, description = "`true` if this response repeats an earlier one"))),
              (status = 503, body = Problem)))]
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
        running_call(&inner, &by, id).await?;
        verb(&inner, id, Verb::SendDtmf { leg: LegId(leg), digits }).await?;
        // The keys are not recorded: they may be a card number.
        inner.audit(&by, Deed::new("call.leg.dtmf", format!("call:{id}")).after(json!({"leg": leg}))).await?;
        Reply::new(StatusCode::ACCEPTED, &LegNumber { leg })
    };
    once(&state.store, &actor, key, &hash, |_| work).await
}

/// Changes how loud the other parties hear a leg. The change takes effect at once and without a click. Setting the same gain
/// twice is not an error.
#[utoipa::path(post, path = "/calls/{id}/legs/{leg}/gain", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call"), ("leg" = u64, Path, description = "Number of the leg"),
           ("Idempotency-Key" = Option<String>, Header, description = "Key of your choice, 1 to 255 printable ASCII characters")),
    request_body = GainRequest,
    responses((status = 200, body = LegNumber,
               headers(("Idempotent-Replayed" = String, description = "`true` if this response repeats an earlier one"))),
              (status = 503, body = Problem)))]
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
        running_call(&inner, &by, id).await?;
        if !GAIN_DB.contains(&db) {
            return Err(Problem::field("db", format!("expected {} to {}", GAIN_DB.start(), GAIN_DB.end())));
        }
        verb(&inner, id, Verb::Gain { leg: LegId(leg), db }).await?;
        let deed = Deed::new("call.leg.gain", format!("call:{id}")).after(json!({"leg": leg, "db": db}));
        inner.audit(&by, deed).await?;
        Reply::new(StatusCode::OK, &LegNumber { leg })
    };
    once(&state.store, &actor, key, &hash, |_| work).await
}

/// Transfers a call: connects a leg's partner to another party.
///
/// The targets are called one after the other until one answers.
///
/// The partner hears music or a ringing tone meanwhile. When no target answers, both parties stay connected or the call ends
/// (`if_fails`). The progress is reported by `call.transfer`.
#[utoipa::path(post, path = "/calls/{id}/transfer", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call"),
           ("Idempotency-Key" = Option<String>, Header, description = "Key of your choice, 1 to 255 printable ASCII characters")),
    request_body = TransferRequest,
    responses((status = 202, body = LegNumber,
               headers(("Idempotent-Replayed" = String, description = "`true` if this response repeats an earlier one"))),
              (status = 503, body = Problem)))]
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
        let call = running_call(&inner, &by, id).await?;
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
        let named: Vec<String> = to.iter().map(|target| callee_label(&target.to)).collect();
        let ring = ring("ring_s", ring_s)?;
        let with_program = program.is_some();
        let if_fails: IfFails = if with_program { IfFails::Program } else { if_fails.into() };
        verb(&inner, id, Verb::Transfer { leg: LegId(leg), to, ring, if_fails, program }).await?;
        let after = json!({"leg": leg, "to": named, "if_fails": if_fails});
        let deed = Deed::new("call.transfer", format!("call:{id}")).after(after);
        inner.audit(&by, deed).await?;
        Reply::new(StatusCode::ACCEPTED, &LegNumber { leg })
    };
    once(&state.store, &actor, key, &hash, |_| work).await
}

/// Adds a supervisor to a call, to listen, to whisper to one party, or to barge in.
///
/// A supervisor neither keeps a call alive nor ends it by leaving.
#[utoipa::path(post, path = "/calls/{id}/supervise", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call"),
           ("Idempotency-Key" = Option<String>, Header, description = "Key of your choice, 1 to 255 printable ASCII characters")),
    request_body = SuperviseRequest,
    responses((status = 201, body = LegNumber,
               headers(("Idempotent-Replayed" = String, description = "`true` if this response repeats an earlier one"))),
              (status = 503, body = Problem)))]
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
        running_call(&inner, &by, id).await?;
        let SuperviseRequest { mode, whisper_to, agent, to, ring_s } = request;
        let own = by.person.as_ref().map(|person| person.sip_name.clone()).filter(|_| to.is_none());
        let to = callee(&inner, &by, (&agent.or(own), &to)).await?;
        let notice = inner.store.call_handling_show(by.organization).await?.supervision_notice;
        let supervises = Some(supervise_mode(mode, whisper_to)?);
        let named = callee_label(&to);
        let (ring, or_else, if_fails) = (ring("ring_s", ring_s)?, Vec::new(), IfFails::Return);
        let new = NewLeg { to, supervises, from: None, ring, or_else, if_fails, notice };
        let leg = leg_of(verb(&inner, id, Verb::LegAdd(new)).await?)?;
        let after =
            json!({"leg": leg, "to": named, "mode": mode_word(mode), "whisper_to": whisper_to, "notice": notice});
        inner.audit(&by, Deed::new("call.supervise", format!("call:{id}")).after(after)).await?;
        Reply::new(StatusCode::CREATED, &LegNumber { leg })
    };
    once(&state.store, &actor, key, &hash, |_| work).await
}

/// Changes the mode of a supervisor in a call.
#[utoipa::path(put, path = "/calls/{id}/supervise/{leg}", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call"),
           ("leg" = u64, Path, description = "Number of the supervisor's leg"),
           ("Idempotency-Key" = Option<String>, Header, description = "Key of your choice, 1 to 255 printable ASCII characters")),
    request_body = ModeRequest,
    responses((status = 200, body = LegNumber,
               headers(("Idempotent-Replayed" = String, description = "`true` if this response repeats an earlier one"))),
              (status = 503, body = Problem)))]
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
        running_call(&inner, &by, id).await?;
        let to = supervise_mode(mode, whisper_to)?;
        verb(&inner, id, Verb::Supervise { leg: LegId(leg), mode: to }).await?;
        let after = json!({"leg": leg, "mode": mode_word(mode), "whisper_to": whisper_to});
        inner.audit(&by, Deed::new("call.supervise", format!("call:{id}")).after(after)).await?;
        Reply::new(StatusCode::OK, &LegNumber { leg })
    };
    once(&state.store, &actor, key, &hash, |_| work).await
}

/// Runs a verb that needs only the leg, and records `deed` in the audit log.
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
        running_call(&inner, &by, id).await?;
        verb(&inner, id, make(LegId(leg))).await?;
        inner.audit(&by, Deed::new(deed, format!("call:{id}")).after(json!({"leg": leg}))).await?;
        Reply::new(StatusCode::OK, &LegNumber { leg })
    };
    once(&state.store, &actor, key, &hash, |_| work).await
}

/// Returns the call if it belongs to the tenant, has not ended, and the actor has not left it.
pub(super) async fn running_call(state: &AppState, actor: &Actor, id: Uuid) -> Result<Call, Problem> {
    let call = call_joined(state, actor, id).await?;
    if call.ended_at.is_some() {
        return Err(CommandError::NotFound.into());
    }
    Ok(call)
}

/// Sends a verb for a call to the engine and returns its reply.
pub(super) async fn verb(state: &AppState, call: Uuid, verb: Verb) -> Result<engine::Reply, Problem> {
    Ok(state.engine.command(Command::CallVerb { call: call_id(call), verb }).await?)
}

/// Returns the number of the leg that a verb has created.
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
        None => Err(Problem::field("agent", "no agent of your organization has this SIP user name")),
    }
}

/// Returns the party that a target names: an agent of the organization, or a number that the actor may call.
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
            let urgent = is_emergency(&state.config, to);
            if !number::is_callable(to) && !urgent {
                return Err(Problem::field("to", number::EXPECTED));
            }
            let may_dial = actor.person.is_some() || urgent;
            if !may_dial && !state.store.capabilities_show(actor.organization).await?.api_dialing {
                return Err(SwitchedOff("api_dialing").into());
            }
            Ok(Callee::Number(to.clone()))
        }
        (Some(_), Some(_)) => Err(Problem::field("to", "expected `agent` or `to`, not both")),
        (None, None) => Err(Problem::field("to", "expected `agent` (a SIP user name) or `to` (a number or URI)")),
    }
}

/// Splits a list of targets into those that are called and the program at its end.
fn program_of(mut asked: Vec<LegTarget>) -> Result<(Vec<LegTarget>, Option<Supply>), Problem> {
    let field = format!("targets[{}].program", asked.len().saturating_sub(1));
    let Some(last) = asked.pop_if(|last| last.program.is_some()) else { return Ok((asked, None)) };
    if last.agent.is_some() || last.to.is_some() || last.ring_s.is_some() {
        return Err(Problem::field(field, "expected no `agent`, `to` or `ring_s` beside `program`"));
    }
    let text = last.program.map(|program| program.get().to_owned());
    let read = Supply::read((text.as_deref(), None), ("program", None));
    let supply = read.map_err(|refused| Problem { field: Some(field), ..refused.into() })?;
    Ok((asked, supply))
}

/// Returns the checked targets of the request field `field`, in the order in which they are called.
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

/// Checks a ringing time of the request field `field`.
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
        _ if whisper_to.is_some() => Err(Problem::field("whisper_to", "expected only with mode `whisper`")),
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

/// Returns the name of a party for the audit log; a number is masked.
fn callee_label(callee: &Callee) -> String {
    match callee {
        Callee::Agent(agent) | Callee::Browser(agent) => agent.clone(),
        Callee::Number(number) => mask(number),
    }
}
