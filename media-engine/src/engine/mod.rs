//! The front door of the engine: takes commands, runs calls, and sends events.
//!
//! ```text
//! control plane ─ Command ─▶ switchboard ─▶ one task per call ─▶ call::Call::handle ─▶ effects
//!                               ▲                ▲    ▲             │ sip_io, worker, speech, record_io
//!                          sip_io events         │    └─ media ◀────┘
//!                               └── by dialog ───┘
//! ```
//!
//! One task per call feeds its inputs to the pure machine in `call`, and carries out the effects; the switchboard starts these
//! tasks and passes commands and SIP events on to them.
//!
//! Invariants: the switchboard never waits for a call, a provider or the control plane; every call's task ends with its call and
//! releases its dialogs, legs, ports and files; a panic in one call's task ends only that call. Not here: tenants, users,
//! databases.

mod amd;
mod capture;
mod command;
mod consumers;
mod dial;
mod event;
mod leg;
mod outlet;
mod parking;
mod placement;
mod prompt;
mod screening;
mod signalling;
mod switchboard;
mod task;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use dashmap::DashMap;
use tokio::sync::mpsc;

pub use crate::call::{GAIN_DB, IfFails};
pub use crate::record_io::{Room, Space};
pub use crate::sip::{CallTrace, PlaceStatus, TraceParty, TraceStep, TrunkStatus};
pub use crate::translate::{ClauseEvent, ClauseHeard, LagMs, TranslationEvent};
pub use amd::{
    AMD_LIMIT_MAX, AMD_LIMIT_MIN, AmdAction, AmdEvidence, AmdFeature, AmdNews, AmdPhrase, AmdSettings, AmdStrip,
    AmdVerdict, MessageAfter, MessageEnd,
};
pub use capture::replay_calls;
pub use command::{
    CallProgram, CallSettings, CallTarget, Callee, Command, CommandError, DTMF_MAX, Engine, Envelope, NewCall, NewLeg,
    Park, ProgramHost, ProgramRequest, Reply, Verb, VerbTarget,
};
pub use event::{
    CallStatus, Direction, EndedBy, Ending, Event, EventKind, Flow, GatherEnd, LegQuality, LegRole, LegState,
    ProgramNews, ProviderKind, ProviderState, Rating, RecordingChannel, RecordingPart, RecordingState, SuperviseMode,
    TransferStage, Unparked,
};
pub use parking::{ParkedCall, SLOTS};
pub use prompt::{GatherId, NewGather, PlayId, PlayState, SPEECH_MAX, Sound, TONE_MS_MAX, TONES_MAX};

use crate::config::{Config, TrunkConfig};
use crate::error::StartError;
use crate::net::clock;
use crate::net::ports::PortRange;
use crate::net::supervisor::Supervisor;
use crate::record_io::Recorder;
use crate::sip::dial::Guard;
use crate::sip::{DialogId, Source};
use crate::sip_io::{ConnectionLimits, Listener, SipHandle, SipStack};
use crate::speech::Providers;
use crate::units::{CallId, Group, LegId};
use crate::worker::{Pool, Worker};
use outlet::Outlet;

/// Capacity of the command inbox.
const COMMANDS: usize = 1024;
/// Capacity of the event queue to the control plane; further events are dropped and counted, except ends of calls, which wait.
const EVENTS: usize = 16_384;
/// Capacity of the input queue of one call's task.
const CALL_INPUTS: usize = 256;

/// State that the tasks of all calls share.
struct Shared {
    config: Config,
    sip: SipHandle,
    pool: Pool,
    ports: Vec<PortRange>,
    providers: Providers,
    recorder: Recorder,
    /// Folder and writer for captures of calls' inputs, if they are captured.
    captures: Option<capture::Captures>,
    guard: Guard,
    events: Outlet,
    calls: DashMap<CallId, mpsc::Sender<task::TaskInput>>,
    dialogs: DashMap<DialogId, (CallId, mpsc::Sender<task::TaskInput>)>,
    user_workers: Arc<placement::UserWorkers>,
    parking: Arc<parking::Parking>,
    /// Users with at least one registered contact.
    registered: DashMap<String, ()>,
    /// Groups of the users who have a password.
    groups: DashMap<String, Group>,
    next_leg: AtomicU64,
}

impl Shared {
    fn new_leg(&self) -> LegId {
        LegId(self.next_leg.fetch_add(1, Ordering::Relaxed))
    }

    /// Reserves `count` consecutive leg ids and returns the first.
    fn new_legs(&self, count: u64) -> LegId {
        LegId(self.next_leg.fetch_add(count, Ordering::Relaxed))
    }

    /// Chooses a worker for a new call: the worker of this user's other calls, else the least loaded.
    fn place(&self, user: Option<&str>) -> Worker {
        match user.and_then(|user| self.user_workers.of(user)) {
            Some(home) => self.pool.place_at(home),
            None => self.pool.place(),
        }
    }

    /// Returns the group of a user.
    fn group_of(&self, user: &str) -> Option<Group> {
        self.groups.get(user).map(|group| *group)
    }

    fn claim(&self, owner: Source, worker: &Worker) -> placement::Claim {
        placement::UserWorkers::claim(&self.user_workers, owner, worker)
    }

    /// Returns the configuration of a trunk.
    fn trunk(&self, name: Option<&str>) -> Option<&TrunkConfig> {
        self.config.trunks.iter().find(|known| Some(known.name.as_str()) == name)
    }

    /// Sends an event to the control plane. A full queue drops and counts it; the caller never waits.
    fn tell(&self, call: Option<CallId>, kind: EventKind) {
        self.tell_at(clock::system_now(), call, kind);
    }

    /// Sends the end of a call, which must not be lost; waits while the queue is full.
    async fn tell_end(&self, at: SystemTime, call: CallId, kind: EventKind) {
        self.events.tell_end(Event { at, call: Some(call), kind }).await;
    }

    fn tell_at(&self, at: SystemTime, call: Option<CallId>, kind: EventKind) {
        self.events.tell(Event { at, call, kind });
    }
}

/// A running engine, with its handle and its event queue.
#[derive(Debug)]
pub struct Started {
    /// Handle that takes commands.
    pub engine: Engine,
    /// Events of the engine; the receiver must be drained.
    pub events: mpsc::Receiver<Event>,
    /// SIP listeners with the ports that were actually bound, in the order of the configuration.
    pub sip: Vec<Listener>,
    /// Speech providers of the calls, also available outside calls.
    pub providers: Providers,
}

/// Starts listeners, media threads and providers.
///
/// The caller must drain the events.
///
/// # Errors
/// [`StartError`] names the configuration key and says what to do.
pub async fn start(config: Config) -> Result<Started, StartError> {
    start_supervised(config, Supervisor::log_only()).await
}

/// Starts the engine like [`start`]. `supervisor` watches the parts that have to run until [`Command::Shutdown`]; its owner shuts
/// the engine down when one of them ends.
///
/// # Errors
/// The errors of [`start`].
pub async fn start_supervised(mut config: Config, supervisor: Supervisor) -> Result<Started, StartError> {
    check_record_dir(&config)?;
    if config.dial.allow.is_empty() && !config.trunks.is_empty() {
        tracing::warn!(
            "[dial] allow is empty: every number except satellite and premium numbers may be called through trunks"
        );
    }
    config.sip.dial = config.dial.clone();
    let (engine, envelopes) = Engine::pair(COMMANDS);
    let (events_in, events) = mpsc::channel(EVENTS);
    let pool = Pool::start_supervised(&config.media, &supervisor)?;
    let ports = config.media.addresses.iter().map(|&address| PortRange::new(address, config.media.ports)).collect();
    let (sip, sip_events) =
        SipStack::start_supervised(&config.sip, &config.trunks, ConnectionLimits::of_process(), supervisor.clone())
            .await?;
    let (status_in, status) = mpsc::channel(64);
    let providers = Providers::start(&config.speech, status_in);
    let recorder = Recorder::start(&config.record_dir, &config.record, &supervisor)
        .map_err(|source| StartError::Folder { path: "recorder thread".into(), source })?;
    let captures = match &config.media.capture {
        Some(folder) => Some(
            capture::Captures::start(folder)
                .map_err(|source| StartError::Folder { path: folder.display().to_string(), source })?,
        ),
        None => None,
    };
    let guard = Guard::new(config.dial.clone());
    let shared = Arc::new(Shared {
        config,
        guard,
        sip,
        pool,
        ports,
        providers,
        recorder,
        captures,
        events: Outlet::new(events_in),
        calls: DashMap::new(),
        dialogs: DashMap::new(),
        user_workers: Arc::default(),
        parking: Arc::default(),
        registered: DashMap::new(),
        groups: DashMap::new(),
        next_leg: AtomicU64::new(1),
    });
    let sip = shared.sip.local_addresses().to_vec();
    let providers = shared.providers.clone();
    switchboard::start(shared, switchboard::Inputs { envelopes, sip_events, status }, supervisor);
    Ok(Started { engine, events, sip, providers })
}

/// Checks that the recordings' folder is writable, before the first call needs it.
fn check_record_dir(config: &Config) -> Result<(), StartError> {
    let path = &config.record_dir;
    let fail = |source| StartError::Folder { path: path.display().to_string(), source };
    std::fs::create_dir_all(path).map_err(fail)?;
    let probe = path.join(".tandem-probe");
    std::fs::write(&probe, b"").map_err(fail)?;
    std::fs::remove_file(&probe).map_err(fail)
}
