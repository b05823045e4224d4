//! Takes what the engine tells, writes it down in batches, and lets incoming calls go on.
//!
//! Invariants: order is kept. While the store is away, events wait in the engine's bounded channel; media does not.
//! A change that the store refuses for good is dropped, logged and counted, and holds up no other.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::bus::{Bus, Passing, Provider};
use crate::call_limits::CallLimits;
use crate::engine::{
    Command, CommandError, Engine, Event, EventKind, HangupCause, ProviderState, RecordingState, call_id, call_uuid,
    mask, word,
};
use crate::store::{Change, NewCall, OrganizationId, Store, StoreError, now};
use crate::voice_config::VoiceConfig;

/// Events written in one commit.
const BATCH: usize = 64;
/// Between tries while the store is away.
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Runs until the engine's channel closes: then everything told before is written down.
pub async fn ingest(
    store: Store,
    engine: Engine,
    bus: Bus,
    limits: Arc<CallLimits>,
    mut events: mpsc::Receiver<Event>,
) {
    let mut batch = Vec::with_capacity(BATCH);
    while events.recv_many(&mut batch, BATCH).await > 0 {
        let mut changes = Vec::with_capacity(batch.len());
        let mut decided = Vec::new();
        for event in batch.drain(..) {
            if let (EventKind::CallStatus { cause: Some(_), .. }, Some(call)) = (&event.kind, event.call) {
                limits.ended(call_uuid(call));
            }
            translate(&store, &bus, &limits, event, &mut changes, &mut decided).await;
        }
        if store.keeps() && !changes.is_empty() {
            write(&bus, changes).await;
        }
        for command in decided {
            // Not awaited here: the engine may be waiting for us to take its events.
            tokio::spawn(decide(engine.clone(), command));
        }
    }
}

/// What becomes of an announced call.
async fn decide(engine: Engine, decision: Command) {
    match engine.command(decision).await {
        // The caller may have hung up already.
        Ok(_) | Err(CommandError::NotFound) => {}
        Err(error) => tracing::warn!(%error, "the engine did not hear what becomes of an incoming call"),
    }
}

/// Writes a batch; when it is refused as a whole, each change by itself.
async fn write(bus: &Bus, changes: Vec<Change>) {
    match write_patiently(bus, &changes).await {
        Ok(()) => {}
        Err(_) => {
            for change in changes {
                let call = change.call();
                if let Err(error) = write_patiently(bus, std::slice::from_ref(&change)).await {
                    metrics::counter!("tandem_events_refused_total").increment(1);
                    tracing::error!(%call, %error, "an event was refused by the store and is lost");
                }
            }
        }
    }
}

/// Tries again for as long as the store is only away.
async fn write_patiently(bus: &Bus, changes: &[Change]) -> Result<(), StoreError> {
    let mut pause = Duration::from_millis(50);
    loop {
        match bus.record(changes.to_vec()).await {
            Err(error) if error.is_transient() => {
                metrics::counter!("tandem_store_retries_total").increment(1);
                tracing::warn!(%error, "the store does not take events; trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY_MAX);
            }
            done => return done,
        }
    }
}

/// What one event means for store, listeners and engine.
async fn translate(
    store: &Store,
    bus: &Bus,
    limits: &CallLimits,
    event: Event,
    changes: &mut Vec<Change>,
    decided: &mut Vec<Command>,
) {
    let proceed = |call, config: &VoiceConfig| Command::CallProceed { call: call_id(call), settings: config.into() };
    let at = timestamp(event.at);
    match (event.kind, event.call.map(call_uuid)) {
        (EventKind::CallIncoming { from, to, trunk, agent }, Some(call)) => {
            tracing::info!(%call, from = mask(&from), to = mask(&to), trunk, agent, "call in");
            match incoming(store, call, from, to, agent).await {
                Ok(Some(new)) => {
                    // What its own people start counts; who calls them does not.
                    let admitted = match trunk {
                        None => limits.admit(new.organization, call, &new.to),
                        Some(_) => Ok(()),
                    };
                    decided.push(match admitted {
                        Ok(()) => proceed(call, &new.config),
                        Err(_) => Command::CallReject { call: call_id(call), cause: HangupCause::Rejected },
                    });
                    changes.push(Change::CallCreated { call: new, at });
                }
                Ok(None) => {
                    if store.keeps() {
                        tracing::warn!(%call, "no organization exists yet, so the call leaves no trace; make one");
                    }
                    decided.push(proceed(call, &VoiceConfig::default()));
                }
                // The engine lets it go on by itself after its time-out.
                Err(error) => tracing::error!(%call, %error, "the store failed an incoming call"),
            }
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

/// A new inbound call, of the agent's organization or else the default one.
async fn incoming(
    store: &Store,
    id: Uuid,
    from: String,
    to: String,
    agent: Option<String>,
) -> Result<Option<NewCall>, StoreError> {
    let by_agent = match &agent {
        Some(agent) => store.membership_organization(agent).await?,
        None => None,
    };
    let organization: OrganizationId = match by_agent {
        Some(organization) => organization,
        None => match store.organization_default().await? {
            Some(organization) => organization.id,
            None => return Ok(None),
        },
    };
    let config = store.voice_config_show(organization).await?;
    Ok(Some(NewCall { id, organization, direction: "inbound", mode: None, from: Some(from), to, agent, config }))
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
        EventKind::Recording { path, state, duration_ms } => {
            let (state, note) = match state {
                RecordingState::Started => ("started", None),
                RecordingState::Finished => ("finished", None),
                RecordingState::Interrupted(why) => ("interrupted", Some(why)),
            };
            Change::Recording { call, path: path.to_string_lossy().into_owned(), state, note, duration_ms, at }
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
        | EventKind::Provider { .. }
        | EventKind::Registration { .. }
        | EventKind::Scanner { .. } => return None,
    })
}

fn timestamp(at: SystemTime) -> Timestamp {
    Timestamp::try_from(at).unwrap_or_else(|_| now())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{StorePlace, StreamFilter};

    #[tokio::test]
    async fn a_change_that_the_store_refuses_takes_no_other_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StorePlace::new("sqlite:t.db", folder.path())).await.unwrap();
        let organization = store.organization_create("acme").await.unwrap().id;
        let bus = Bus::start(store).await.unwrap();
        let call = Uuid::now_v7();
        let new = NewCall {
            id: call,
            organization,
            direction: "inbound",
            mode: None,
            from: None,
            to: "100".into(),
            agent: None,
            config: VoiceConfig::default(),
        };
        let press = |digit| Change::Dtmf { call, leg: 1, digit, duration_ms: 100, at: now() };
        let refused =
            Change::Recording { call, path: "/r.wav".into(), state: "sideways", note: None, duration_ms: 0, at: now() };
        write(&bus, vec![Change::CallCreated { call: new, at: now() }, press('1'), refused, press('2')]).await;
        let filter = StreamFilter::Organization { organization, translations: false };
        let (events, _) = bus.page(&filter, 0, 10).await.unwrap();
        let kinds: Vec<&str> = events.iter().map(|event| &*event.kind).collect();
        assert_eq!(kinds, ["call.created", "call.dtmf", "call.dtmf"]);
    }
}
