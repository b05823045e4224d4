//! Receives the engine's events and writes them to the store in batches.
//!
//! ```text
//! engine ─▶ take ─┬─ call announced ─▶ Decisions ─ beginning ─┐ its place is kept
//!                 ├─ registration ─▶ Presence                 ▼
//!                 └─ everything else of a call ──────────▶ backlog ─▶ write_down ─▶ Writer
//! ```
//!
//! Invariants: receiving never waits for the store, and a decision never waits for writing. Order is kept. The backlog is
//! bounded; when it is full, the engine's queue fills, which drops and counts all events except the ends of calls. While the
//! store is unavailable, events wait in the spool (`writer`), and media is not affected.

use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::bus::{Bus, Passing, Provider};
use super::decide::{Announced, Decisions, WantedLeg};
use super::music::HoldMusic;
use super::presence::Presence;
use super::reconcile::reconcile;
use super::steps;
use super::tenants::Tenants;
use super::writer::Writer;
use crate::calls::limits::CallLimits;
use crate::engine::{
    Engine, Event, EventKind, PlayState, ProviderState, RecordingChannel, RecordingPart, RecordingState, Room, Space,
    call_uuid, word,
};
use crate::store::{Change, PartId, RecordedChannel, now};

/// Largest number of events written in one commit.
const BATCH: usize = 64;
/// Largest number of events that may wait to be written: those of a busy server while the store does not answer and no batch is
/// in the spool yet.
const BACKLOG: usize = 32_768;

/// Runs until the engine's channel closes and all events received before have been written.
pub async fn ingest(
    tenants: Tenants,
    engine: Engine,
    bus: Bus,
    limits: Arc<CallLimits>,
    writer: Writer,
    events: mpsc::Receiver<Event>,
) {
    let decisions = Decisions::new(engine.clone(), tenants.clone(), Arc::clone(&limits), writer.clone());
    let presence = Presence::new(bus.clone(), tenants.clone());
    let (backlog, entries) = mpsc::channel(BACKLOG);
    let music = HoldMusic::new(tenants.store().clone(), engine.clone());
    let taker = Taker { keeps: tenants.store().keeps(), bus, decisions, presence: presence.clone(), music, backlog };
    // All parts run in one task, so that its supervisor notices when any of them ends.
    tokio::select! {
        ((), ()) = async { tokio::join!(taker.take(events), write_down(writer, entries)) } => {}
        () = presence.run() => {}
        () = reconcile(engine, limits) => {}
    }
}

/// Entry of the backlog.
enum Entry {
    Change(Box<Change>),
    /// Beginning of a call whose decision is pending.
    Beginning(oneshot::Receiver<Change>),
}

/// Writes the backlog in order until all senders are dropped.
async fn write_down(writer: Writer, mut entries: mpsc::Receiver<Entry>) {
    let mut batch = Vec::with_capacity(BATCH);
    while entries.recv_many(&mut batch, BATCH).await > 0 {
        let mut changes = Vec::with_capacity(batch.len());
        for entry in batch.drain(..) {
            match entry {
                Entry::Change(change) => changes.push(*change),
                // An error means that the call is not recorded. A decision takes a second at most.
                Entry::Beginning(beginning) => changes.extend(beginning.await.ok()),
            }
        }
        if !changes.is_empty() {
            writer.write(changes).await;
        }
    }
}

/// Receives events and passes each one on to the parts that need it.
struct Taker {
    keeps: bool,
    bus: Bus,
    decisions: Decisions,
    presence: Presence,
    music: HoldMusic,
    backlog: mpsc::Sender<Entry>,
}

impl Taker {
    async fn take(self, mut events: mpsc::Receiver<Event>) {
        let mut batch = Vec::with_capacity(BATCH);
        while events.recv_many(&mut batch, BATCH).await > 0 {
            for event in batch.drain(..) {
                if let Some(entry) = self.translate(event) {
                    self.add(entry).await;
                }
            }
        }
    }

    async fn add(&self, entry: Entry) {
        if !self.keeps {
            return;
        }
        if let Err(TrySendError::Full(entry)) = self.backlog.try_send(entry) {
            metrics::counter!("tandem_ingest_backlog_full_total").increment(1);
            // An error means that the writer has stopped.
            let _ = self.backlog.send(entry).await;
        }
    }

    /// Handles an event for listeners and engine, and returns the entry to be written, if any.
    fn translate(&self, event: Event) -> Option<Entry> {
        let at = timestamp(event.at);
        let call = event.call.map(call_uuid);
        if call.is_some_and(|call| self.bus.number_calls().take(call, &event.kind)) {
            return None;
        }
        if let Some(call) = call {
            self.decisions.note_event(call, &event.kind);
        }
        match (event.kind, call) {
            (EventKind::CallIncoming { from, to, trunk, agent }, Some(call)) => {
                return Some(Entry::Beginning(self.decisions.begin(Announced { call, from, to, trunk, agent, at })));
            }
            (EventKind::LegWanted { leg, to, agent, emergency }, Some(call)) => {
                self.decisions.leg(WantedLeg { call, leg, to, agent, emergency });
            }
            (EventKind::MusicWanted { group }, Some(call)) => self.music.bring(call, group),
            (EventKind::Provider { kind, name, state }, _) => {
                let (state, detail) = match state {
                    ProviderState::Up => ("up", None),
                    ProviderState::Restarting(why) => ("restarting", Some(why)),
                    ProviderState::Down(why) => ("down", Some(why)),
                    ProviderState::Unsupported(why) => ("unsupported", Some(why)),
                };
                tracing::info!(kind = word(&kind), name, state, detail, "speech provider");
                self.bus.pass(Passing::Provider(Provider { kind: word(&kind), name, state: state.into(), detail }));
            }
            (EventKind::Disk(space), _) => self.bus.pass(Passing::Provider(room_for_recordings(space))),
            (EventKind::Registration { user, contacts }, _) => self.presence.registered(user, contacts),
            // The engine has logged it.
            (EventKind::Scanner { .. }, _) => {}
            (kind, Some(call)) => return change(kind, call, at).map(Box::new).map(Entry::Change),
            (kind, None) => tracing::warn!(?kind, "an event about a call has no call id"),
        }
        None
    }
}

/// Returns the free space for recordings in the form of a provider's state.
fn room_for_recordings(space: Space) -> Provider {
    let free_mb = space.free >> 20;
    let (state, detail) = match space.room {
        Room::Enough => ("up", None),
        Room::Low => {
            ("low", Some(format!("only {free_mb} MB are free; below {} MB nothing is recorded", space.floor >> 20)))
        }
        Room::Exhausted => {
            ("down", Some(format!("only {free_mb} MB are free, so nothing is recorded; free disk space")))
        }
    };
    Provider { kind: "recording".into(), name: "disk".into(), state: state.into(), detail }
}

/// Returns the change that an event of a known call makes in the store.
fn change(kind: EventKind, call: Uuid, at: Timestamp) -> Option<Change> {
    Some(match kind {
        EventKind::CallStatus { status, cause } => {
            tracing::info!(%call, status = word(&status), cause = cause.as_ref().map(|c| c.as_str()), "call");
            Change::CallStatus { call, status, cause: cause.map(|cause| cause.as_str().to_owned()), at }
        }
        EventKind::Leg { leg, role, state, peer, agent, codec, ending } => {
            Change::Leg { call, leg: leg.0, role, state, peer, agent, codec: codec.map(str::to_owned), ending, at }
        }
        EventKind::LegSeat { leg, role, held, muted, holds, gain_db, supervises } => {
            Change::LegSeat { call, leg: leg.0, role, held, muted, holds, gain_db, supervises, at }
        }
        EventKind::Parked { leg, slot, parked_by, until } => {
            Change::Parked { call, leg: leg.0, slot, parked_by, until: timestamp(until), at }
        }
        EventKind::Unparked { leg, slot, why } => Change::Unparked { call, leg: leg.0, slot, why, at },
        EventKind::ActiveSpeaker { leg, role, active } => Change::ActiveSpeaker { call, leg: leg.0, role, active, at },
        EventKind::Play { play, legs, state } => {
            let (state, note) = match state {
                PlayState::Started => ("started", None),
                PlayState::Done => ("done", None),
                PlayState::Stopped => ("stopped", None),
                PlayState::Failed(why) => ("failed", Some(why)),
            };
            let legs = legs.into_iter().map(|leg| leg.0).collect();
            Change::Play { call, play: play.0, legs, state, note, at }
        }
        EventKind::Program { leg, news } => Change::Program { call, leg: leg.0, news: steps::program_step(news), at },
        EventKind::Gathered { gather, leg, digits, end, enough } => {
            Change::Gathered { call, gather: gather.0, leg: leg.0, digits, ended_by: end, enough, at }
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
            let (file, channels, of_leg) = (PartId::of(&part), channels(&part), part.of.map(|leg| leg.0));
            let (state, note) = match state {
                RecordingState::Started => ("started", None),
                RecordingState::Finished => ("finished", None),
                RecordingState::Interrupted(why) => ("interrupted", Some(why)),
            };
            let path = path.to_string_lossy().into_owned();
            Change::Recording { call, file, of_leg, channels, path, state, note, duration_ms, at }
        }
        EventKind::RecordingSeated(part) => {
            Change::RecordingSeated { call, file: PartId::of(&part), channels: channels(&part) }
        }
        EventKind::RecordingPaused { number, paused } => Change::RecordingPaused { call, number, paused, at },
        EventKind::Dtmf { leg, digit, duration_ms } => Change::Dtmf { call, leg: leg.0, digit, duration_ms, at },
        EventKind::LegQuality { leg, role, quality } => {
            Change::LegQuality { call, leg: leg.0, role, quality: (&quality).into(), at }
        }
        EventKind::LegFlow { leg, role, flow } => Change::LegFlow { call, leg: leg.0, role, flow: (&flow).into(), at },
        EventKind::Listening(listeners) => Change::Listening { call, listeners: Box::new(listeners), at },
        EventKind::Amd { leg, role, news } => Change::Amd { call, leg: leg.0, role, news, at },
        EventKind::MediaTimeout { leg, role, after } => {
            Change::MediaTimeout { call, leg: leg.0, role, after_s: after.as_secs(), at }
        }
        EventKind::CallIncoming { .. }
        | EventKind::LegWanted { .. }
        | EventKind::MusicWanted { .. }
        | EventKind::Provider { .. }
        | EventKind::Disk(_)
        | EventKind::Registration { .. }
        | EventKind::Scanner { .. } => return None,
    })
}

/// Returns the channels of a part with their legs.
fn channels(part: &RecordingPart) -> Vec<RecordedChannel> {
    let channel = |one: &RecordingChannel| RecordedChannel {
        channel: u32::try_from(one.channel).unwrap_or(u32::MAX),
        leg: one.leg.0,
        heard: one.heard,
        role: word(&one.role),
        peer: one.peer.clone(),
        agent: one.agent.clone(),
        from: timestamp(one.from),
        until: one.until.map(timestamp),
    };
    part.channels.iter().map(channel).collect()
}

fn timestamp(at: SystemTime) -> Timestamp {
    Timestamp::try_from(at).unwrap_or_else(|_| now())
}
