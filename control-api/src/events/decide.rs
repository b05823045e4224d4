//! Decisions about incoming calls, and about legs that transfers want to call. Each decision is a task of its own, so that a slow
//! store delays neither events nor other calls.
//!
//! ```text
//! announced ─▶ Decisions::begin ─▶ Tenants::of ─▶ limits ─┬─▶ identity, detection ─▶ engine: proceed or reject
//!                   └ place in the backlog ◀── beginning ─┘
//! wanted    ─▶ Decisions::leg ───────────────────▶ limits ──▶ identity ─▶ engine: proceed or reject
//! ```
//!
//! Invariants: the beginning of a call is written at the position at which the call was announced. A call that ends before its
//! decision keeps no place in the limits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::known_tenants::Owner;
use super::tenants::{Tenant, Tenants};
use super::writer::Writer;
use crate::calls::caller_identity;
use crate::calls::limits::CallLimits;
use crate::config::is_emergency;
use crate::engine::{
    CallProgram, CallSettings, Command, CommandError, Engine, EventKind, HangupCause, LegId, LegState, TransferStage,
    call_id, mask,
};
use crate::programs::{Programs, Served, Supply};
use crate::store::{Change, NewCall, OrganizationId, UnassignedCall};
use crate::tenant::amd::AmdConfig;
use crate::tenant::capabilities::{Capabilities, call_settings};
use crate::tenant::glossary::Glossary;
use crate::tenant::number::as_e164;
use crate::tenant::voice_config::VoiceConfig;

/// Time for which an engine with a full inbox is asked again. After that it lets the call proceed by itself.
const ENGINE: Duration = Duration::from_millis(800);
/// Time the store has to return the caller ID of a call. After that the call shows no caller ID of its own.
const IDENTITY: Duration = Duration::from_millis(500);
/// Time the store has to return the program of a number. The decision must reach the engine within the engine's time limit.
const PROGRAM: Duration = Duration::from_millis(500);
/// Pause between two attempts to reach the engine.
const AGAIN: Duration = Duration::from_millis(20);
/// Calls whose organization is unknown share the limits of one organization.
const UNASSIGNED: OrganizationId = OrganizationId(Uuid::nil());

/// Call that came in, or that an agent has dialled.
pub(super) struct Announced {
    pub(super) call: Uuid,
    pub(super) from: String,
    pub(super) to: String,
    /// Trunk from which the call came; `None` for a call by an agent.
    pub(super) trunk: Option<String>,
    pub(super) agent: Option<String>,
    pub(super) at: Timestamp,
}

/// Leg that a transfer wants to call.
pub(super) struct WantedLeg {
    pub(super) call: Uuid,
    pub(super) leg: LegId,
    pub(super) to: String,
    /// Agent who transfers, if the transferring party is one.
    pub(super) agent: Option<String>,
    pub(super) emergency: bool,
}

/// Call that an agent of an organization has dialled.
struct OwnCall {
    caller: Caller,
    amd: AmdConfig,
}

/// Agent who calls a number.
struct Caller {
    organization: OrganizationId,
    agent: String,
    to: String,
}

/// Decides about calls; clones share the state.
#[derive(Clone)]
pub(super) struct Decisions {
    engine: Engine,
    tenants: Tenants,
    limits: Arc<CallLimits>,
    programs: Programs,
    writer: Writer,
    /// Calls whose decision is pending, and whether they have ended meanwhile.
    pending: Arc<Mutex<HashMap<Uuid, bool>>>,
}

/// Decision that is sent to the engine.
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

    /// Starts the decision about a call. The receiver gets the beginning of the call, to be written to the store; an error means
    /// that the call is not recorded.
    pub(super) fn begin(&self, announced: Announced) -> oneshot::Receiver<Change> {
        let (tell, beginning) = oneshot::channel();
        self.pending().insert(announced.call, false);
        let decisions = self.clone();
        tokio::spawn(async move {
            let call = announced.call;
            let (change, mut verdict, own) = decisions.decide(announced).await;
            if let Some(change) = change {
                // The receiver is gone only when the server stops.
                let _ = tell.send(change);
            }
            if let (Verdict::Proceed(settings), Some(own)) = (&mut verdict, own) {
                decisions.complete(call, settings, own).await;
            }
            let over = decisions.pending().remove(&call) == Some(true);
            let proceeds = matches!(verdict, Verdict::Proceed(_));
            if over || !decisions.tell_engine(call, || verdict.command(call)).await || !proceeds {
                decisions.limits.ended(call);
            }
        });
        beginning
    }

    /// Adds the caller ID of an agent's call to its settings, and the detection of what answers it. An emergency call gets none.
    async fn complete(&self, call: Uuid, settings: &mut CallSettings, OwnCall { caller, amd }: OwnCall) {
        let (organization, to) = (caller.organization, caller.to.clone());
        settings.from = self.caller_id_of(caller).await;
        if !is_emergency(self.limits.config(), &to) {
            let called = settings.from.clone().unwrap_or_default();
            settings.amd = self.programs.amd_of_call(&Served { organization, call, caller: to, called }, &amd);
        }
    }

    /// Starts the decision about a leg, which counts like a call.
    pub(super) fn leg(&self, wanted: WantedLeg) {
        let decisions = self.clone();
        tokio::spawn(async move {
            let WantedLeg { call, leg, to, agent, emergency } = wanted;
            tracing::info!(%call, leg = leg.0, to = mask(&to), emergency, "a transfer calls a further leg");
            let admitted = decisions.limits.admit_leg(call, leg.0, emergency);
            let from = match (admitted, agent) {
                (Ok(Some(organization)), Some(agent)) => {
                    decisions.caller_id_of(Caller { organization, agent, to }).await
                }
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

    /// Releases the places of calls and legs that an event reports as ended.
    pub(super) fn note_event(&self, call: Uuid, kind: &EventKind) {
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

    /// Returns the caller ID of an agent's call to the outside; `None` means that of the trunk, or none.
    async fn caller_id_of(&self, Caller { organization, agent, to }: Caller) -> Option<String> {
        let asked =
            caller_identity::of_call(self.tenants.store(), self.limits.config(), organization, Some(&agent), &to);
        match tokio::time::timeout(IDENTITY, asked).await {
            Ok(Ok(shown)) => shown,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the store failed to return the caller ID of a call, so it shows none of its own");
                None
            }
            Err(_) => {
                tracing::warn!("the store was too slow to return the caller ID of a call, so it shows none of its own");
                None
            }
        }
    }

    async fn decide(&self, announced: Announced) -> (Option<Change>, Verdict, Option<OwnCall>) {
        let Announced { call: id, from, to, trunk, agent, at } = announced;
        tracing::info!(call = %id, from = mask(&from), to = mask(&to), trunk, agent, "call in");
        let is_own = trunk.is_none();
        let direction = if is_own { "outbound" } else { "inbound" };
        let away = self.writer.waiting() > 0;
        match self.tenants.of(agent.as_deref(), &to, away).await {
            Owner::Tenant(Tenant { organization, config, glossary, capabilities }) => {
                let mut settings = call_settings(&config, &glossary, &capabilities, Some(organization.0));
                if !is_own {
                    let served = Served { organization, call: id, caller: from.clone(), called: to.clone() };
                    settings.program = self.program(served, away || self.tenants.is_silent()).await;
                }
                let verdict = self.admit(organization, id, &to, is_own, settings);
                let own = agent.clone().filter(|_| is_own);
                let own = own.map(|agent| OwnCall {
                    caller: Caller { organization, agent, to: to.clone() },
                    amd: config.amd.clone(),
                });
                let (mode, from) = (None, Some(from));
                let call = NewCall { id, organization, direction, mode, from, to, agent, config };
                (Some(Change::CallCreated { call, at }), verdict, own)
            }
            Owner::Nobody => {
                if self.tenants.store().keeps() {
                    tracing::warn!(call = %id, "no organization exists yet, so the call is not recorded; create one");
                }
                let settings =
                    call_settings(&VoiceConfig::default(), &Glossary::default(), &Capabilities::default(), None);
                (None, Verdict::Proceed(settings), None)
            }
            Owner::Unknown => {
                metrics::counter!("tandem_calls_unassigned_total").increment(1);
                tracing::warn!(call = %id,
                    "the organization of a call is unknown (no database): not recorded, assigned later");
                let verdict = self.admit(UNASSIGNED, id, &to, is_own, CallSettings::default());
                let (from, config) = (Some(from), VoiceConfig::default());
                let call = UnassignedCall { id, direction, from, to, agent, config };
                (Some(Change::CallUnassigned { call, at }), verdict, None)
            }
        }
    }

    /// Returns the program of the called number, if it has one. While the store is away, it is the one that was read last.
    async fn program(&self, served: Served, away: bool) -> Option<Box<CallProgram>> {
        let number = as_e164(&served.called)?;
        // A store that has just failed to answer is not asked again, because the call would wait for nothing.
        if !away {
            let kept = self.tenants.store().number_program_of_call(served.organization, &number);
            match tokio::time::timeout(PROGRAM, kept).await {
                Ok(Ok(kept)) => return Some(self.programs.of_call(served, Supply::of_number(&kept?)?)),
                Ok(Err(error)) => {
                    tracing::warn!(call = %served.call, %error, "the store failed to return a program, so the one last read is used");
                }
                Err(_) => {
                    tracing::warn!(call = %served.call, "the store was too slow to return a program, so the one last read is used");
                }
            }
        }
        let known = self.tenants.known_program(served.organization, &number)?;
        if known.program_url.is_some() && known.fallback.is_none() {
            tracing::warn!(call = %served.call, "a program cannot be requested while the database is away, so the call follows its route");
            return None;
        }
        Some(self.programs.of_call(served, Supply::of_number(&known)?))
    }

    /// Counts a call that the organization's own people start. Incoming calls are not limited.
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

    /// Sends a decision to the engine. Returns `false` if the call has ended.
    async fn tell_engine(&self, call: Uuid, command: impl Fn() -> Command) -> bool {
        let until = Instant::now() + ENGINE;
        loop {
            match self.engine.command(command()).await {
                Ok(_) => return true,
                // The caller may already have hung up.
                Err(CommandError::NotFound) => return false,
                Err(CommandError::Busy(_)) if Instant::now() < until => sleep(AGAIN).await,
                Err(error) => {
                    tracing::warn!(%call, %error, "the decision about a call or leg did not reach the engine");
                    return true;
                }
            }
        }
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<Uuid, bool>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
