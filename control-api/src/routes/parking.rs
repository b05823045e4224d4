//! Calls that are parked: a party waits with music in a slot of its organization until an agent picks it up.
//!
//! ```text
//! park    ─▶ who, whose call ─▶ once (Idempotency-Key) ─▶ Verb::Park ─▶ audit ─▶ leg and slot
//! pickup  ─▶ who ─▶ once (Idempotency-Key) ─▶ Command::PickUp ─▶ audit ─▶ call and leg
//! ```
//!
//! Invariant: slots are an organization's own; whoever may dial sees and picks up every call that is parked there. Not here: who waits for
//! how long, and which of two pickups wins (the engine).

use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::verbs::{agent_of, ring, running, verb};
use crate::auth::Actor;
use crate::body::{CallPath, SlotPath};
use crate::engine::{self, Command, CommandError, LegId, Park, ParkedCall, SLOTS, Verb, call_uuid, group};
use crate::idempotency::{Keyed, Reply, once};
use crate::problem::Problem;
use crate::rbac::Action;
use crate::state::AppState;
use crate::store::Deed;

/// Seconds that a party may wait.
pub(super) const WAIT_S: std::ops::RangeInclusive<u16> = 5..=3_600;

/// What is done with a parked party that nobody has picked up in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum IfNobodyComes {
    /// The agent who parked it is called.
    #[default]
    Return,
    /// The call ends.
    Hangup,
}

/// How a party is parked.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ParkRequest {
    /// The leg that parks: it is hung up, and the one party that it talks with waits.
    leg: u64,
    /// The slot; by default the lowest free one.
    #[schema(minimum = 1, maximum = 99)]
    slot: Option<u16>,
    /// How long the party waits at most, in seconds.
    #[serde(default = "wait_s")]
    #[schema(minimum = 5, maximum = 3600, default = 120)]
    wait_s: u16,
    /// What follows then. An outside party that parks is not called again: the call ends.
    #[serde(default)]
    #[schema(default = "return")]
    if_fails: IfNobodyComes,
}

fn wait_s() -> u16 {
    120
}

/// Who picks a parked call up.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PickupRequest {
    /// SIP user name of the agent whose telephone is called; a logged-in person's own by default.
    agent: Option<String>,
    /// How long it may ring, in seconds; by default as long as any leg.
    #[schema(minimum = 1, maximum = 300)]
    ring_s: Option<u16>,
}

/// A leg that was parked.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct ParkedLeg {
    /// Its number in its call.
    leg: u64,
    /// The slot.
    slot: u16,
}

/// A leg that is called for a parked party.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct PickupLeg {
    /// The call.
    call_id: Uuid,
    /// The number of the agent's leg in it.
    leg: u64,
}

/// A party that waits in a slot.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Parked {
    /// The slot.
    slot: u16,
    /// Its call.
    call_id: Uuid,
    /// The number of its leg.
    leg: u64,
    /// Its number, agent's name or URI.
    peer: String,
    /// SIP user name of the agent who parked it; null: somebody outside.
    parked_by: Option<String>,
    /// From when.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// How long it waits at most, unless somebody is on the way.
    #[schema(value_type = String, format = DateTime)]
    until: Timestamp,
}

impl TryFrom<ParkedCall> for Parked {
    type Error = Problem;

    fn try_from(parked: ParkedCall) -> Result<Parked, Problem> {
        let ParkedCall { slot, call, leg, peer, parked_by, since, until } = parked;
        let at = |time: SystemTime| Timestamp::try_from(time).map_err(|_| Problem::internal());
        let (since, until) = (at(since)?, at(until)?);
        Ok(Parked { slot, call_id: call_uuid(call), leg: leg.0, peer, parked_by, since, until })
    }
}

/// Calls that are parked.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ParkedList {
    /// By slot.
    parked: Vec<Parked>,
}

/// Parks a party: the leg that it talks with is hung up, and it waits with music until an agent picks it up.
///
/// After `wait_s` whoever parked it is called, or the call ends.
#[utoipa::path(post, path = "/calls/{id}/park", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "The call"),
           ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable characters of your choice")),
    request_body = ParkRequest,
    responses((status = 200, body = ParkedLeg,
               headers(("Idempotent-Replayed" = String, description = "`true`: this answer was given before"))),
              (status = 404, body = Problem), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn call_park(
    State(state): State<AppState>,
    actor: Actor,
    CallPath(id): CallPath,
    keyed: Keyed<ParkRequest>,
) -> Result<Response, Problem> {
    actor.may(Action::CallsDial)?;
    let (request, key, hash) = keyed.parts();
    let (inner, by) = (state.clone(), actor.clone());
    let work = async move {
        running(&inner, &by, id).await?;
        let ParkRequest { leg, slot, wait_s, if_fails } = request;
        if slot.is_some_and(|slot| !SLOTS.contains(&slot)) {
            return Err(Problem::field("slot", format!("expected {} to {}", SLOTS.start(), SLOTS.end())));
        }
        if !WAIT_S.contains(&wait_s) {
            return Err(Problem::field("wait_s", format!("expected {} to {} seconds", WAIT_S.start(), WAIT_S.end())));
        }
        let wait = Duration::from_secs(wait_s.into());
        let park = Park { slot, wait, back: if_fails == IfNobodyComes::Return };
        let engine::Reply::Parked { leg: parked, slot } =
            verb(&inner, id, Verb::Park { leg: LegId(leg), park }).await?
        else {
            return Err(Problem::internal());
        };
        let after = json!({"leg": parked.0, "by": leg, "slot": slot, "wait_s": wait_s, "if_fails": if_fails});
        inner.audit(&by, Deed::new("call.park", format!("call:{id}")).after(after)).await?;
        Reply::new(StatusCode::OK, &ParkedLeg { leg: parked.0, slot })
    };
    once(&state, &actor, key, &hash, |_| work).await
}

/// The organization's calls that are parked, by slot.
#[utoipa::path(get, path = "/parked", tag = "calls", security(("key" = []), ("session" = [])),
    responses((status = 200, body = ParkedList), (status = 401, body = Problem), (status = 403, body = Problem),
              (status = 429, body = Problem)))]
pub(super) async fn parked_list(State(state): State<AppState>, actor: Actor) -> Result<Json<ParkedList>, Problem> {
    actor.may(Action::CallsDial)?;
    let parked = parked(&state, &actor).await?.into_iter().map(Parked::try_from).collect::<Result<_, _>>()?;
    Ok(Json(ParkedList { parked }))
}

/// Calls an agent's telephone for the party that waits in a slot. Of two who pick it up at once, one is told that the other was faster.
///
/// When the agent does not answer, the party waits on.
#[utoipa::path(post, path = "/parked/{slot}/pickup", tag = "calls", security(("key" = []), ("session" = [])),
    params(("slot" = u16, Path, description = "The slot"),
           ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable characters of your choice")),
    request_body = PickupRequest,
    responses((status = 201, body = PickupLeg,
               headers(("Idempotent-Replayed" = String, description = "`true`: this answer was given before"))),
              (status = 404, body = Problem), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn parked_pickup(
    State(state): State<AppState>,
    actor: Actor,
    SlotPath(slot): SlotPath,
    keyed: Keyed<PickupRequest>,
) -> Result<Response, Problem> {
    actor.may(Action::CallsDial)?;
    let (PickupRequest { agent, ring_s }, key, hash) = keyed.parts();
    let (inner, by) = (state.clone(), actor.clone());
    let work = async move {
        let none = || Problem::not_found("parked call");
        if parked(&inner, &by).await?.iter().all(|parked| parked.slot != slot) {
            return Err(none());
        }
        let own = by.person.as_ref().map(|person| person.sip_name.clone());
        let Some(agent) = agent.or(own) else {
            return Err(Problem::field("agent", "expected the SIP user name of the agent who picks the call up"));
        };
        agent_of(&inner, &by, &agent).await?;
        let ring = ring("ring_s", ring_s)?;
        let command = Command::PickUp { group: group(by.organization.0), slot, agent: agent.clone(), ring };
        let reply = inner.engine.command(command).await;
        let (call, leg) = match reply {
            Ok(engine::Reply::PickedUp { call, leg }) => (call_uuid(call), leg.0),
            Ok(_) => return Err(Problem::internal()),
            Err(CommandError::NotFound) => return Err(none()),
            Err(error) => return Err(error.into()),
        };
        let deed =
            Deed::new("call.pickup", format!("call:{call}")).after(json!({"leg": leg, "slot": slot, "to": agent}));
        inner.audit(&by, deed).await?;
        Reply::new(StatusCode::CREATED, &PickupLeg { call_id: call, leg })
    };
    once(&state, &actor, key, &hash, |_| work).await
}

async fn parked(state: &AppState, actor: &Actor) -> Result<Vec<ParkedCall>, Problem> {
    match state.engine.command(Command::ParkedCalls { group: group(actor.organization.0) }).await? {
        engine::Reply::ParkedCalls(parked) => Ok(parked),
        _ => Ok(Vec::new()),
    }
}
