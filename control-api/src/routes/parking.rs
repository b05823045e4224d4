//! Parked calls: a party waits with music in a slot of its organization until an agent picks it up.
//!
//! ```text
//! park    ─▶ actor, tenant's call ─▶ once (Idempotency-Key) ─▶ Verb::Park ─▶ audit ─▶ leg and slot
//! pickup  ─▶ actor ─▶ once (Idempotency-Key) ─▶ Command::PickUp ─▶ audit ─▶ call and leg
//! ```
//!
//! Invariant: a slot belongs to one organization, and every caller who may dial sees and may pick up every call parked there. Not
//! here: waiting times and the choice between two pickups, which are the engine's.

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

use super::verbs::{agent_of, ring, running_call, verb};
use crate::auth::Actor;
use crate::engine::{self, Command, CommandError, LegId, Park, ParkedCall, SLOTS, Verb, call_uuid, group};
use crate::gate::idempotency::{Keyed, Reply, once};
use crate::http::body::{CallPath, SlotPath};
use crate::http::problem::Problem;
use crate::state::AppState;
use crate::store::Deed;
use crate::tenant::rbac::Action;

/// Allowed waiting times of a parked party, in seconds.
pub(super) const WAIT_S: std::ops::RangeInclusive<u16> = 5..=3_600;

/// Consequence for a parked party that is not picked up in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum IfNobodyComes {
    /// The agent who parked the party is called.
    #[default]
    Return,
    /// The call is ended.
    Hangup,
}

/// Party to park, and for how long.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ParkRequest {
    /// Number of the leg that parks. It is hung up, and the one party that it is connected to waits.
    leg: u64,
    /// Slot to use, 1 to 99. Defaults to the lowest free slot.
    #[schema(minimum = 1, maximum = 99)]
    slot: Option<u16>,
    /// Longest waiting time in seconds, 5 to 3,600.
    #[serde(default = "wait_s")]
    #[schema(minimum = 5, maximum = 3600, default = 120)]
    wait_s: u16,
    /// Consequence after the waiting time. If the parking party is not an agent, it is not called back: the call ends.
    #[serde(default)]
    #[schema(default = "return")]
    if_fails: IfNobodyComes,
}

fn wait_s() -> u16 {
    120
}

/// Agent who picks a parked call up.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PickupRequest {
    /// SIP user name of the agent whose phone is called. Defaults to that of the logged-in user.
    agent: Option<String>,
    /// Longest ringing time in seconds. Defaults to the server's ringing time.
    #[schema(minimum = 1, maximum = 300)]
    ring_s: Option<u16>,
}

/// Leg that has been parked.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct ParkedLeg {
    /// Number of the parked leg within its call.
    leg: u64,
    /// Slot in which the party waits.
    slot: u16,
}

/// Leg that is called to pick a parked party up.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct PickupLeg {
    /// Id of the call.
    call_id: Uuid,
    /// Number of the agent's leg within the call.
    leg: u64,
}

/// Party that waits in a slot.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Parked {
    /// Slot in which the party waits.
    slot: u16,
    /// Id of the party's call.
    call_id: Uuid,
    /// Number of the party's leg.
    leg: u64,
    /// Phone number, agent name or URI of the party.
    peer: String,
    /// SIP user name of the agent who parked the party, or null if it was not an agent.
    parked_by: Option<String>,
    /// Time at which the party was parked.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// End of the waiting time. It does not end while an agent is being called.
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

/// Parked calls of the organization.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ParkedList {
    /// The parked parties, ordered by slot.
    parked: Vec<Parked>,
}

/// Parks a party until an agent picks it up.
///
/// The leg that the party is connected to is hung up, and the party hears music.
///
/// After `wait_s`, the agent who parked the party is called, or the call ends (`if_fails`).
#[utoipa::path(post, path = "/calls/{id}/park", tag = "calls", security(("key" = []), ("session" = [])),
    params(("id" = Uuid, Path, description = "Id of the call"),
           ("Idempotency-Key" = Option<String>, Header, description = "Key of your choice, 1 to 255 printable ASCII characters")),
    request_body = ParkRequest,
    responses((status = 200, body = ParkedLeg,
               headers(("Idempotent-Replayed" = String, description = "`true` if this response repeats an earlier one"))),
              (status = 503, body = Problem)))]
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
        running_call(&inner, &by, id).await?;
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
    once(&state.store, &actor, key, &hash, |_| work).await
}

/// Lists the organization's parked calls, ordered by slot.
#[utoipa::path(get, path = "/parked", tag = "calls", security(("key" = []), ("session" = [])),
    responses((status = 200, body = ParkedList)))]
pub(super) async fn parked_list(State(state): State<AppState>, actor: Actor) -> Result<Json<ParkedList>, Problem> {
    actor.may(Action::CallsDial)?;
    let parked = parked(&state, &actor).await?.into_iter().map(Parked::try_from).collect::<Result<_, _>>()?;
    Ok(Json(ParkedList { parked }))
}

/// Picks a parked call up: calls an agent's phone and connects it to the waiting party.
///
/// If two agents pick the same call up, one of them gets 409.
///
/// If the agent does not answer, the party keeps waiting.
#[utoipa::path(post, path = "/parked/{slot}/pickup", tag = "calls", security(("key" = []), ("session" = [])),
    params(("slot" = u16, Path, description = "Number of the slot"),
           ("Idempotency-Key" = Option<String>, Header, description = "Key of your choice, 1 to 255 printable ASCII characters")),
    request_body = PickupRequest,
    responses((status = 201, body = PickupLeg,
               headers(("Idempotent-Replayed" = String, description = "`true` if this response repeats an earlier one"))),
              (status = 503, body = Problem)))]
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
    once(&state.store, &actor, key, &hash, |_| work).await
}

async fn parked(state: &AppState, actor: &Actor) -> Result<Vec<ParkedCall>, Problem> {
    match state.engine.command(Command::ParkedCalls { group: group(actor.organization.0) }).await? {
        engine::Reply::ParkedCalls(parked) => Ok(parked),
        _ => Ok(Vec::new()),
    }
}
