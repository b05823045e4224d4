//! What becomes of incoming calls and of legs that transfers want: each decision is a task of its own, which a slow store does
//! not hold up for long.
//!
//! ```text
//! announced ─▶ Decisions::begin ─▶ Tenants::of ─▶ limits ─┬─▶ identity ─▶ engine: proceed or reject
//!                   └ place in the backlog ◀── beginning ─┘
//! wanted    ─▶ Decisions::leg ───────────────────▶ limits ──▶ identity ─▶ engine: proceed or reject
//! ```
//!
//! Invariants: the beginning of a call is written in the place where it was announced. A call that ends before it is decided
//! about keeps no place in the limits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::known::Owner;
use super::tenants::{Tenant, Tenants};
use super::writer::Writer;
use crate::call_limits::CallLimits;
use crate::capabilities::Capabilities;
use crate::engine::{
    CallProgram, CallSettings, Command, CommandError, Engine, EventKind, HangupCause, LegId, LegState, TransferStage,
    call_id, call_settings, mask,
};
use crate::identity;
use crate::number::as_e164;
use crate::programs::{Programs, Served, Supply};
use crate::store::{Change, NewCall, OrganizationId, UnassignedCall};
use crate::voice_config::VoiceConfig;

/// An engine with a full inbox is asked again for this long; then it lets the call go on by itself.
const ENGINE: Duration = Duration::from_millis(800);
/// The store is given this long to say which identity a call shows; then it shows none of its own.
const IDENTITY: Duration = Duration::from_millis(500);
/// The store is given this long for the program of a number: the decision has to come within the engine's time.
const PROGRAM: Duration = Duration::from_millis(500);
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(20);
/// Calls whose organization is unknown share the bounds of one organization.
const UNASSIGNED: OrganizationId = OrganizationId(Uuid::nil());

/// A call that came in, or that an agent has dialled.
pub(super) struct Announced {
    pub(super) call: Uuid,
    pub(super) from: String,
    pub(super) to: String,
    /// `None`: an agent calls.
    pub(super) trunk: Option<String>,
    pub(super) agent: Option<String>,
    pub(super) at: Timestamp,
}

/// A leg that a transfer wants to call.
pub(super) struct WantedLeg {
    pub(super) call: Uuid,
    pub(super) leg: LegId,
    pub(super) to: String,
    /// Who transfers, when it is an agent.
    pub(super) agent: Option<String>,
    pub(super) emergency: bool,
}

/// An agent who calls somebody.
struct Caller {
    organization: OrganizationId,
    agent: String,
    to: String,
}

/// Decides about calls; clones share it.
#[derive(Clone)]
pub(super) struct Decisions {
    engine: Engine,
    tenants: Tenants,
    limits: Arc<CallLimits>,
    programs: Programs,
    writer: Writer,
    /// Calls that are being decided about, and whether they have ended meanwhile.
    pending: Arc<Mutex<HashMap<Uuid, bool>>>,
}

/// What the engine is told.
enum Verdict {
    Proceed(CallSettings),
    Reject(HangupCause),
}

impl Verdict {
    fn command(&self, call: Uuid) -> Command {
        let call = call_id(call);
        match self {
            Verdict::Proceed(settings) => Command::CallProceed { call, settings: settings.clone() },
            Verdict::Reject(cause) => Command::CallReject { call, cause: cause.clone() },
        }
    }
}

impl Decisions {
    pub(super) fn new(engine: Engine, tenants: Tenants, limits: Arc<CallLimits>, writer: Writer) -> Decisions {
        let programs = Programs::new(tenants.store().clone(), limits.shared_config());
        Decisions { engine, tenants, limits, programs, writer, pending: Arc::default() }
    }

    /// Decides about a call. Gives its beginning, to be written down; an error: the call leaves no trace.
    pub(super) fn begin(&self, announced: Announced) -> oneshot::Receiver<Change> {
        let (tell, beginning) = oneshot::channel();
        self.pending().insert(announced.call, false);
        let decisions = self.clone();
        tokio::spawn(async move {
            let call = announced.call;
            let (change, mut verdict, caller) = decisions.decide(announced).await;
            if let Some(change) = change {
                // An error: the server stops.
                let _ = tell.send(change);
            }
            if let (Verdict::Proceed(settings), Some(caller)) = (&mut verdict, caller) {
                settings.from = decisions.shown(caller).await;
            }
            let over = decisions.pending().remove(&call) == Some(true);
            let proceeds = matches!(verdict, Verdict::Proceed(_));
            if over || !decisions.tell_engine(call, || verdict.command(call)).await || !proceeds {
                decisions.limits.ended(call);
            }
        });
        beginning
    }

    /// Decides about a leg: it counts like a call.
    pub(super) fn leg(&self, wanted: WantedLeg) {
        let decisions = self.clone();
        tokio::spawn(async move {
            let WantedLeg { call, leg, to, agent, emergency } = wanted;
            tracing::info!(%call, leg = leg.0, to = mask(&to), emergency, "a transfer calls a further leg");
            let admitted = decisions.limits.admit_leg(call, leg.0, emergency);
            let from = match (admitted, agent) {
                (Ok(Some(organization)), Some(agent)) => decisions.shown(Caller { organization, agent, to }).await,
                _ => None,
            };
            let command = || match admitted {
                Ok(_) => Command::LegProceed { call: call_id(call), leg, from: from.clone() },
                Err(_) => Command::LegReject { call: call_id(call), leg, cause: HangupCause::Rejected },
            };
            if !decisions.tell_engine(call, command).await {
                decisions.limits.leg_ended(call, leg.0);
            }
        });
    }

    /// Gives back what an event says is over.
    pub(super) fn heard(&self, call: Uuid, kind: &EventKind) {
        match kind {
            EventKind::CallStatus { cause: Some(_), .. } => self.ended(call),
            EventKind::Leg { leg, state: LegState::Answered, .. } => self.limits.leg_answered(call, leg.0),
            EventKind::Leg { leg, state: LegState::Ended, .. } => self.limits.leg_ended(call, leg.0),
            EventKind::Transfer { stage: TransferStage::Failed, .. } => self.limits.transfer_failed(call),
            _ => {}
        }
    }

    fn ended(&self, call: Uuid) {
        if let Some(over) = self.pending().get_mut(&call) {
            *over = true;
        }
        self.limits.ended(call);
    }

    /// The identity that an agent's call shows outside; `None`: the trunk's own, or none.
    async fn shown(&self, Caller { organization, agent, to }: Caller) -> Option<String> {
        let asked = identity::of_call(self.tenants.store(), self.limits.config(), organization, Some(&agent), &to);
        match tokio::time::timeout(IDENTITY, asked).await {
            Ok(Ok(shown)) => shown,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the store failed to say which identity a call shows: it shows none of its own");
                None
            }
            Err(_) => {
                tracing::warn!("the store is slow to say which identity a call shows: it shows none of its own");
                None
            }
        }
    }

    async fn decide(&self, announced: Announced) -> (Option<Change>, Verdict, Option<Caller>) {
        let Announced { call: id, from, to, trunk, agent, at } = announced;
        tracing::info!(call = %id, from = mask(&from), to = mask(&to), trunk, agent, "call in");
        let is_own = trunk.is_none();
        let direction = if is_own { "outbound" } else { "inbound" };
        let away = self.writer.waiting() > 0;
        match self.tenants.of(agent.as_deref(), &to, away).await {
            Owner::Tenant(Tenant { organization, config, capabilities }) => {
                let mut settings = call_settings(&config, &capabilities, Some(organization.0));
                // A store that has just kept silent is not asked again: the call would wait for nothing.
                if !is_own && !away && !self.tenants.is_silent() {
                    let served = Served { organization, call: id, caller: from.clone(), called: to.clone() };
                    settings.program = self.program(served).await;
                }
                let verdict = self.admit(organization, id, &to, is_own, settings);
                let own = agent.clone().filter(|_| is_own);
                let caller = own.map(|agent| Caller { organization, agent, to: to.clone() });
                let (mode, from) = (None, Some(from));
                let call = NewCall { id, organization, direction, mode, from, to, agent, config };
                (Some(Change::CallCreated { call, at }), verdict, caller)
            }
            Owner::Nobody => {
                if self.tenants.store().keeps() {
                    tracing::warn!(call = %id, "no organization exists yet, so the call leaves no trace; make one");
                }
                let settings = call_settings(&VoiceConfig::default(), &Capabilities::default(), None);
                (None, Verdict::Proceed(settings), None)
            }
            Owner::Unknown => {
                metrics::counter!("tandem_calls_unassigned_total").increment(1);
                tracing::warn!(call = %id,
                    "the organization of a call is unknown while the database is away: the call goes on unrecorded, and gets its organization when it is written");
                let verdict = self.admit(UNASSIGNED, id, &to, is_own, CallSettings::default());
                let (from, config) = (Some(from), VoiceConfig::default());
                let call = UnassignedCall { id, direction, from, to, agent, config };
                (Some(Change::CallUnassigned { call, at }), verdict, None)
            }
        }
    }

    /// The program of the number that is called, if it has one.
    async fn program(&self, served: Served) -> Option<Box<CallProgram>> {
        let number = as_e164(&served.called)?;
        let kept = self.tenants.store().number_program_of_call(served.organization, &number);
        let kept = match tokio::time::timeout(PROGRAM, kept).await {
            Ok(Ok(kept)) => kept?,
            Ok(Err(error)) => {
                tracing::warn!(call = %served.call, %error, "the store failed to give a number's program: the call goes where its route leads");
                return None;
            }
            Err(_) => {
                tracing::warn!(call = %served.call, "the store is slow to give a number's program: the call goes where its route leads");
                return None;
            }
        };
        Some(self.programs.of_call(served, Supply::of_number(&kept)?))
    }

    /// Calls that an organization's own people start count; calls that come in do not.
    fn admit(&self, of: OrganizationId, call: Uuid, to: &str, is_own: bool, settings: CallSettings) -> Verdict {
        if !is_own {
            self.limits.belongs(of, call);
            return Verdict::Proceed(settings);
        }
        match self.limits.admit(of, call, to) {
            Ok(()) => Verdict::Proceed(settings),
            Err(_) => Verdict::Reject(HangupCause::Rejected),
        }
    }

    /// Whether the call may still run.
    async fn tell_engine(&self, call: Uuid, command: impl Fn() -> Command) -> bool {
        let until = Instant::now() + ENGINE;
        loop {
            match self.engine.command(command()).await {
                Ok(_) => return true,
                // The caller may have hung up already.
                Err(CommandError::NotFound) => return false,
                Err(CommandError::Busy(_)) if Instant::now() < until => sleep(AGAIN).await,
                Err(error) => {
                    tracing::warn!(%call, %error, "the engine did not hear what becomes of a call or leg");
                    return true;
                }
            }
        }
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<Uuid, bool>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
