//! Takes what the engine tells, writes it down in batches, and lets incoming calls and legs of transfers go on.
//!
//! Invariants: order is kept. While the store is away, events wait in the spool (`writer`), incoming calls go on with what
//! was last known of their organization, and media does not notice.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::bus::{Bus, Passing, Provider};
use super::tenants::{Tenant, Tenants};
use super::writer::Writer;
use crate::call_limits::CallLimits;
use crate::capabilities::Capabilities;
use crate::engine::{
    CallSettings, Command, CommandError, Engine, Event, EventKind, HangupCause, LegId, LegState, ProviderState,
    RecordingState, Room, Space, TransferStage, call_id, call_settings, call_uuid, mask, word,
};
use crate::identity;
use crate::store::{Change, NewCall, OrganizationId, Store, now};
use crate::voice_config::VoiceConfig;

/// Events written in one commit.
const BATCH: usize = 64;
/// How long a call waits for the identity that it shows.
const IDENTITY: Duration = Duration::from_secs(1);

/// Runs until the engine's channel closes: then everything told before is written down.
pub async fn ingest(
    store: Store,
    engine: Engine,
    bus: Bus,
    limits: Arc<CallLimits>,
    writer: Writer,
    mut events: mpsc::Receiver<Event>,
) {
    let mut tenants = Tenants::new(store.clone());
    let mut batch = Vec::with_capacity(BATCH);
    while events.recv_many(&mut batch, BATCH).await > 0 {
        let mut changes = Vec::with_capacity(batch.len());
        let mut decided = Vec::new();
        for event in batch.drain(..) {
            if let Some(call) = event.call {
                if bus.number_calls().take(call_uuid(call), &event.kind) {
                    continue;
                }
                give_back(&limits, call_uuid(call), &event.kind);
            }
            let away = writer.waiting() > 0;
            translate(&store, &bus, &limits, (&mut tenants, away), event, &mut changes, &mut decided).await;
        }
        if store.keeps() && !changes.is_empty() {
            writer.write(changes).await;
        }
        for decision in decided {
            // Not awaited here: the engine may be waiting for us to take its events.
            tokio::spawn(decide(engine.clone(), store.clone(), Arc::clone(&limits), decision));
        }
    }
}

/// What has ended no longer counts.
fn give_back(limits: &CallLimits, call: Uuid, kind: &EventKind) {
    match kind {
        EventKind::CallStatus { cause: Some(_), .. } => limits.ended(call),
        EventKind::Leg { leg, state: LegState::Answered, .. } => limits.leg_answered(call, leg.0),
        EventKind::Leg { leg, state: LegState::Ended, .. } => limits.leg_ended(call, leg.0),
        EventKind::Transfer { stage: TransferStage::Failed, .. } => limits.transfer_failed(call),
        _ => {}
    }
}

/// What becomes of an announced call, or of a leg that a transfer wants.
struct Decision {
    command: Command,
    /// Who calls out, for the identity that is shown.
    shown: Option<Caller>,
}

/// An agent who calls somebody.
struct Caller {
    organization: OrganizationId,
    agent: String,
    to: String,
}

async fn decide(engine: Engine, store: Store, limits: Arc<CallLimits>, Decision { mut command, shown }: Decision) {
    if let Some(Caller { organization, agent, to }) = shown {
        let asked = identity::of_call(&store, limits.config(), organization, Some(&agent), &to);
        let shown = match tokio::time::timeout(IDENTITY, asked).await {
            Ok(Ok(shown)) => shown,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the store failed to say which identity a call shows: it shows none of its own");
                None
            }
            Err(_) => {
                tracing::warn!("the store is slow to say which identity a call shows: it shows none of its own");
                None
            }
        };
        match &mut command {
            Command::CallProceed { settings, .. } => settings.from = shown,
            Command::LegProceed { from, .. } => *from = shown,
            _ => {}
        }
    }
    match engine.command(command).await {
        // The caller may have hung up already.
        Ok(_) | Err(CommandError::NotFound) => {}
        Err(error) => tracing::warn!(%error, "the engine did not hear what becomes of a call or leg"),
    }
}

/// What one event means for store, listeners and engine.
async fn translate(
    store: &Store,
    bus: &Bus,
    limits: &CallLimits,
    (tenants, away): (&mut Tenants, bool),
    event: Event,
    changes: &mut Vec<Change>,
    decided: &mut Vec<Decision>,
) {
    let proceed = |call, settings: CallSettings| Command::CallProceed { call: call_id(call), settings };
    let at = timestamp(event.at);
    match (event.kind, event.call.map(call_uuid)) {
        (EventKind::CallIncoming { from, to, trunk, agent }, Some(call)) => {
            tracing::info!(%call, from = mask(&from), to = mask(&to), trunk, agent, "call in");
            match tenants.of(agent.as_deref(), &to, away).await {
                Ok(Some(Tenant { organization, config, capabilities })) => {
                    let settings = call_settings(&config, &capabilities, Some(organization.0));
                    let new = NewCall {
                        id: call,
                        organization,
                        direction: "inbound",
                        mode: None,
                        from: Some(from),
                        to,
                        agent,
                        config,
                    };
                    // What its own people start counts; who calls them does not.
                    let admitted = match trunk {
                        None => limits.admit(organization, call, &new.to),
                        Some(_) => {
                            limits.belongs(organization, call);
                            Ok(())
                        }
                    };
                    let own = new.agent.as_ref().filter(|_| trunk.is_none());
                    let shown = own.map(|agent| Caller { organization, agent: agent.clone(), to: new.to.clone() });
                    decided.push(match admitted {
                        Ok(()) => Decision { command: proceed(call, settings), shown },
                        Err(_) => {
                            let cause = HangupCause::Rejected;
                            Decision { command: Command::CallReject { call: call_id(call), cause }, shown: None }
                        }
                    });
                    changes.push(Change::CallCreated { call: new, at });
                }
                Ok(None) => {
                    if store.keeps() {
                        tracing::warn!(%call, "no organization exists yet, so the call leaves no trace; make one");
                    }
                    let settings = call_settings(&VoiceConfig::default(), &Capabilities::default(), None);
                    decided.push(Decision { command: proceed(call, settings), shown: None });
                }
                // The engine lets it go on by itself after its time-out.
                Err(error) => tracing::error!(%call, %error, "the store failed an incoming call"),
            }
        }
        (EventKind::LegWanted { leg, to, agent, emergency }, Some(call)) => {
            decided.push(decide_on_leg(limits, (call, leg), to, agent, emergency));
        }
        (EventKind::Provider { kind, name, state }, _) => {
            let (state, detail) = match state {
                ProviderState::Up => ("up", None),
                ProviderState::Restarting(why) => ("restarting", Some(why)),
                ProviderState::Down(why) => ("down", Some(why)),
                ProviderState::Unsupported(why) => ("unsupported", Some(why)),
            };
            tracing::info!(kind = word(&kind), name, state, detail, "speech provider");
            bus.pass(Passing::Provider(Provider { kind: word(&kind), name, state: state.into(), detail }));
        }
        (EventKind::Disk(space), _) => bus.pass(Passing::Provider(room_for_recordings(space))),
        (EventKind::Registration { user, contacts }, _) => match store.membership_organization(&user).await {
            Ok(Some(organization)) => bus.pass(Passing::Registration { organization, agent: user, contacts }),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the store failed to say whose agent registered"),
        },
        // The engine's log has said it.
        (EventKind::Scanner { .. }, _) => {}
        (kind, Some(call)) => changes.extend(change(kind, call, at)),
        (kind, None) => tracing::warn!(?kind, "an event of a call came without its call"),
    }
}

/// The room for recordings, told like the state of a speech provider.
fn room_for_recordings(space: Space) -> Provider {
    let free_mb = space.free >> 20;
    let (state, detail) = match space.room {
        Room::Enough => ("up", None),
        Room::Low => {
            ("low", Some(format!("only {free_mb} MB are free; below {} MB nothing is recorded", space.floor >> 20)))
        }
        Room::Exhausted => ("down", Some(format!("only {free_mb} MB are free: nothing is recorded; make room"))),
    };
    Provider { kind: "recording".into(), name: "disk".into(), state: state.into(), detail }
}

/// A leg that a transfer adds counts like a call.
fn decide_on_leg(
    limits: &CallLimits,
    (call, leg): (Uuid, LegId),
    to: String,
    agent: Option<String>,
    emergency: bool,
) -> Decision {
    tracing::info!(%call, leg = leg.0, to = mask(&to), emergency, "a transfer calls somebody");
    match limits.admit_leg(call, leg.0, emergency) {
        Ok(organization) => {
            let shown = organization.zip(agent).map(|(organization, agent)| Caller { organization, agent, to });
            Decision { command: Command::LegProceed { call: call_id(call), leg, from: None }, shown }
        }
        Err(_) => {
            let cause = HangupCause::Rejected;
            Decision { command: Command::LegReject { call: call_id(call), leg, cause }, shown: None }
        }
    }
}

/// The change that an event of a known call makes.
fn change(kind: EventKind, call: Uuid, at: Timestamp) -> Option<Change> {
    Some(match kind {
        EventKind::CallStatus { status, cause } => {
            tracing::info!(%call, status = word(&status), cause = cause.as_ref().map(|c| c.as_str()), "call");
            Change::CallStatus { call, status, cause: cause.map(|cause| cause.as_str().to_owned()), at }
        }
        EventKind::Leg { leg, role, state, peer, codec } => {
            Change::Leg { call, leg: leg.0, role, state, peer, codec: codec.map(str::to_owned), at }
        }
        EventKind::Transfer { leg, role, to, stage, cause, other } => Change::Transfer {
            call,
            leg: leg.0,
            role,
            to,
            stage,
            cause: cause.map(|cause| cause.as_str().to_owned()),
            other: other.map(call_uuid),
            at,
        },
        EventKind::Translation(event) => Change::Translation { call, event, at },
        EventKind::Recording { part, path, state, duration_ms } => {
            let (state, note) = match state {
                RecordingState::Started => ("started", None),
                RecordingState::Finished => ("finished", None),
                RecordingState::Interrupted(why) => ("interrupted", Some(why)),
            };
            let path = path.to_string_lossy().into_owned();
            Change::Recording { call, part, path, state, note, duration_ms, at }
        }
        EventKind::Dtmf { leg, digit, duration_ms } => Change::Dtmf { call, leg: leg.0, digit, duration_ms, at },
        EventKind::LegQuality { leg, role, quality } => {
            Change::LegQuality { call, leg: leg.0, role, quality: (&quality).into(), at }
        }
        EventKind::LegFlow { leg, role, flow } => Change::LegFlow { call, leg: leg.0, role, flow: (&flow).into(), at },
        EventKind::MediaTimeout { leg, role, after } => {
            Change::MediaTimeout { call, leg: leg.0, role, after_s: after.as_secs(), at }
        }
        EventKind::CallIncoming { .. }
        | EventKind::LegWanted { .. }
        | EventKind::Provider { .. }
        | EventKind::Disk(_)
        | EventKind::Registration { .. }
        | EventKind::Scanner { .. } => return None,
    })
}

fn timestamp(at: SystemTime) -> Timestamp {
    Timestamp::try_from(at).unwrap_or_else(|_| now())
}
