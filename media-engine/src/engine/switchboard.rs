//! The one task that takes every command and every dialog event, and passes each to its call.
//!
//! ```text
//!   commands ──────┐                     ┌─ a question to a call ─▶ its task answers
//!   SIP events ────┼─▶ Switchboard ──────┼─ an event of a dialog ─▶ its call's task
//!   provider state,│   (one task)        └─ a new call ─▶ CallTask, spawned
//!   disk space ────┘
//! ```
//!
//! Invariants: it never waits for a call: if the call's inbox is full, a command is refused, and an event is dropped and counted;
//! every command is answered once; emergency calls pass every limit. Not here: the destination of a call (`dial`), and the call
//! itself (`task`).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::Instrument;

use super::command::{CallTarget, Callee, Command, CommandError, Envelope, NewCall, Reply, Verb};
use super::dial::Refusal;
use super::event::EventKind;
use super::parking::{NOT_PARKED, SLOTS};
use super::task::{CallTask, Newcomer, TaskInput};
use super::{CALL_INPUTS, Shared, dial, signalling};
use crate::call::{self, Destination, Plan};
use crate::config::RouteTarget;
use crate::error::HangupCause;
use crate::net::supervisor::Supervisor;
use crate::record_io::Space;
use crate::sip::dial::Dialled;
use crate::sip::{DialogId, SipEvent, Source};
use crate::sip_io::{NotAttached, SipHandle};
use crate::speech::ProviderStatus;
use crate::units::{CallId, Group, mask};

/// Time for ended calls to seal their files at shutdown.
const SHUTDOWN: Duration = Duration::from_secs(5);
/// Number of users whose group is remembered; above it, only those of registered users are kept.
const GROUPS: usize = 20_000;
/// Reason in the log, metric and SIP answer for a call that is refused because every media thread is full; `tandem_media_load`
/// shows the load.
const NO_CAPACITY: &str = "No media capacity";
/// Reason for refusing a call that could not be announced: it would run without a decision and without a trace.
const NO_CONTROL: &str = "Control plane overloaded";

/// Receivers of everything that reaches the switchboard.
pub(super) struct Inputs {
    pub(super) envelopes: mpsc::Receiver<Envelope>,
    pub(super) sip_events: mpsc::Receiver<SipEvent>,
    pub(super) status: mpsc::Receiver<ProviderStatus>,
}

/// Starts the switchboard; the supervisor knows it by that name. After a panic it still ends the calls, so that their files are
/// sealed, and answers the shutdown that the supervisor's owner then requests.
pub(super) fn start(shared: Arc<Shared>, mut inputs: Inputs, supervisor: Supervisor) {
    tokio::spawn(async move {
        let mut space = shared.recorder.space();
        let mut board = Switchboard { shared, tasks: JoinSet::new(), draining: false, drained: Vec::new() };
        let mut requester = None;
        let serving = async {
            requester = board.serve(&mut inputs, &mut space).await;
            supervisor.stopping();
        };
        supervisor.run("switchboard", serving).await;
        board.shutdown().await;
        // The media threads end when the last reference is dropped.
        drop(board);
        if requester.is_none() {
            requester = next_shutdown(&mut inputs.envelopes).await;
        }
        if let Some(reply) = requester {
            // The requester may have gone away; the engine stops all the same.
            let _ = reply.send(Ok(Reply::Done));
        }
    });
}

type Requester = oneshot::Sender<Result<Reply, CommandError>>;

/// Waits for a shutdown and refuses every other command; `None`: no handle is left that could send one.
async fn next_shutdown(envelopes: &mut mpsc::Receiver<Envelope>) -> Option<Requester> {
    while let Some(Envelope { command, reply, .. }) = envelopes.recv().await {
        if matches!(command, Command::Shutdown) {
            return Some(reply);
        }
        // The requester may have gone away.
        let _ = reply.send(Err(CommandError::Stopped));
    }
    None
}

async fn trace(sip: &SipHandle, call: CallId) -> Result<Reply, CommandError> {
    if !sip.traces() {
        return Err(CommandError::Conflict("SIP messages are not stored: set `sip.trace` in the configuration".into()));
    }
    let trace = sip.trace(call).await.ok_or(CommandError::Stopped)?;
    // There are no messages with a leg that could not be called.
    if trace.steps.is_empty() { Err(CommandError::NotFound) } else { Ok(Reply::Trace(Box::new(trace))) }
}

struct Switchboard {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    draining: bool,
    /// Requests for a drain, which are answered when the last call has ended.
    drained: Vec<Requester>,
}

impl Switchboard {
    /// Serves until a shutdown is requested, and returns the request; `None`: no handle is left that could send one.
    async fn serve(&mut self, inputs: &mut Inputs, space: &mut watch::Receiver<Space>) -> Option<Requester> {
        loop {
            tokio::select! {
                envelope = inputs.envelopes.recv() => match envelope {
                    Some(Envelope { command: Command::Shutdown, reply, .. }) => return Some(reply),
                    Some(envelope) => self.on_command(envelope),
                    None => return None,
                },
                Some(event) = inputs.sip_events.recv() => self.on_sip(event),
                Some(status) = inputs.status.recv() => {
                    let ProviderStatus { kind, name, state } = status;
                    self.shared.tell(None, EventKind::Provider { kind, name, state });
                }
                Ok(()) = space.changed() => {
                    let space = *space.borrow_and_update();
                    self.shared.tell(None, EventKind::Disk(space));
                }
                Some(ended) = self.tasks.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a call's task could not be joined");
                    }
                    self.tell_drained();
                }
            }
        }
    }

    fn on_command(&mut self, envelope: Envelope) {
        let Envelope { command, reply, span } = envelope;
        let _within = span.enter();
        let result = match command {
            Command::CallCreate(new) => self.create(*new),
            Command::CallProceed { call, settings } => self.hand_over(call, TaskInput::Proceed(settings)),
            Command::CallReject { call, cause } => self.hand_over(call, TaskInput::Refuse(cause)),
            Command::CallHangup { call } => self.hand_over(call, TaskInput::Hangup(HangupCause::Requested)),
            // The call's own task answers these, because it knows the call's state.
            Command::CallSay { call, text } => {
                return self.ask(call, reply, |reply| TaskInput::Say { text, reply });
            }
            Command::CallVerb { call, verb } => {
                return self.ask(call, reply, |reply| TaskInput::Verb { verb, reply });
            }
            Command::PickUp { group, slot, agent, ring } => {
                let Some(call) = self.shared.parking.call(group, slot) else {
                    // The requester may have gone away.
                    let _ = reply.send(Err(CommandError::NotFound));
                    return;
                };
                let verb = Verb::PickUp { slot, agent, ring };
                return self.ask(call, reply, |reply| TaskInput::Verb { verb, reply });
            }
            Command::ParkedCalls { group } => {
                // The requester may have gone away.
                let _ = reply.send(Ok(Reply::ParkedCalls(self.shared.parking.list(group))));
                return;
            }
            Command::CallMusic { call, rate, samples } => self.hand_over(call, TaskInput::Music(rate, samples)),
            Command::LegProceed { call, leg, from } => self.hand_over(call, TaskInput::LegDecided(leg, Ok(from))),
            Command::LegReject { call, leg, cause } => self.hand_over(call, TaskInput::LegDecided(leg, Err(cause))),
            Command::CredentialSet { user, password, valid_for, group } => {
                self.credential_set(user, password, valid_for, group)
            }
            Command::CredentialEnd { user } => {
                self.shared.groups.remove(&user);
                let sip = self.shared.sip.clone();
                tokio::spawn(async move {
                    let result = sip.credential_end(user).await.map(|()| Reply::Done).ok_or(CommandError::Stopped);
                    // The requester may have gone away; the command was carried out all the same.
                    let _ = reply.send(result);
                });
                return;
            }
            Command::SipConnection(connection) => {
                let sip = self.shared.sip.clone();
                tokio::spawn(async move {
                    let result = sip.attach(connection).await.map(|()| Reply::Done).map_err(|error| match error {
                        NotAttached::Address => CommandError::Busy("too many SIP connections from this address"),
                        NotAttached::Table | NotAttached::Busy(_) => CommandError::Busy("too many SIP connections"),
                    });
                    // The requester may have gone away: then the connection's ends are dropped.
                    let _ = reply.send(result);
                });
                return;
            }
            Command::Drain => {
                self.draining = true;
                if let Err(error) = signalling::drain(&self.shared) {
                    tracing::error!(%error, "the registrations at trunks could not be ended");
                }
                self.drained.push(reply);
                return self.tell_drained();
            }
            Command::Trunks => {
                let sip = self.shared.sip.clone();
                tokio::spawn(async move {
                    let result = sip.trunks().await.map(Reply::Trunks).ok_or(CommandError::Stopped);
                    // The requester may have gone away.
                    let _ = reply.send(result);
                });
                return;
            }
            Command::Calls => {
                let running = self.shared.calls.iter().map(|entry| *entry.key()).collect();
                // The requester may have gone away.
                let _ = reply.send(Ok(Reply::Calls(running)));
                return;
            }
            Command::Trace { call } => {
                let sip = self.shared.sip.clone();
                // The requester may have gone away.
                tokio::spawn(async move { drop(reply.send(trace(&sip, call).await)) });
                return;
            }
            Command::Shutdown => Ok(()),
        };
        // The requester may have gone away; the command was carried out all the same.
        let _ = reply.send(result.map(|()| Reply::Done));
    }

    /// Sets a credential. A user who moves to another group first loses the passwords and registrations of the old one.
    fn credential_set(
        &self,
        user: String,
        password: String,
        valid_for: Duration,
        group: Option<Group>,
    ) -> Result<(), CommandError> {
        if self.shared.group_of(&user) != group {
            signalling::end_credential(&self.shared, user.clone())?;
        }
        match group {
            Some(group) => drop(self.shared.groups.insert(user.clone(), group)),
            None => drop(self.shared.groups.remove(&user)),
        }
        if self.shared.groups.len() > GROUPS {
            self.shared.groups.retain(|known, _| *known == user || self.shared.registered.contains_key(known));
        }
        signalling::set_credential(&self.shared, user, password, valid_for)
    }

    /// Answers the pending drains if no call is running.
    fn tell_drained(&mut self) {
        if self.tasks.is_empty() {
            for reply in self.drained.drain(..) {
                // The requester may have gone away.
                let _ = reply.send(Ok(Reply::Done));
            }
        }
    }

    /// Passes a question to a call's task, which answers it.
    fn ask(&self, call: CallId, reply: Requester, question: impl FnOnce(Requester) -> TaskInput) {
        let task = self.shared.calls.get(&call).map(|task| task.value().clone());
        let Some(task) = task else {
            // The requester may have gone away, here and below.
            let _ = reply.send(Err(CommandError::NotFound));
            return;
        };
        let (input, error) = match task.try_send(question(reply)) {
            Ok(()) => return,
            Err(mpsc::error::TrySendError::Full(input)) => {
                (input, CommandError::Busy("too many inputs are waiting for the call"))
            }
            Err(mpsc::error::TrySendError::Closed(input)) => (input, CommandError::NotFound),
        };
        if let TaskInput::Say { reply, .. } | TaskInput::Verb { reply, .. } = input {
            let _ = reply.send(Err(error));
        }
    }

    fn hand_over(&self, call: CallId, input: TaskInput) -> Result<(), CommandError> {
        let task = self.shared.calls.get(&call).ok_or(CommandError::NotFound)?;
        task.try_send(input).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CommandError::Busy("too many inputs are waiting for the call"),
            mpsc::error::TrySendError::Closed(_) => CommandError::NotFound,
        })
    }

    fn create(&mut self, new: NewCall) -> Result<(), CommandError> {
        let is_urgent = |target: &CallTarget| matches!(&target.to, Callee::Number(number) if self.shared.guard.is_emergency(number));
        let urgent = is_urgent(&new.first) || new.second.as_ref().is_some_and(is_urgent);
        if self.draining && !urgent {
            return Err(CommandError::Busy("the server is draining"));
        }
        if !self.shared.pool.has_room() && !urgent {
            tracing::warn!(reason = NO_CAPACITY, "outbound call refused");
            metrics::counter!("tandem_calls_refused_total", "why" => NO_CAPACITY).increment(1);
            return Err(CommandError::Busy("the media threads have no room for another call; try again later"));
        }
        let outgoing = dial::outgoing(&self.shared, new)?;
        if self.shared.calls.contains_key(&outgoing.id) {
            return Err(CommandError::Conflict(format!("call {} exists", outgoing.id)));
        }
        let (inbox_in, inbox) = mpsc::channel(CALL_INPUTS);
        self.shared.calls.insert(outgoing.id, inbox_in.clone());
        let id = outgoing.id;
        let task = CallTask::outgoing(self.shared.clone(), outgoing, inbox_in, inbox);
        self.spawn(id, task);
        Ok(())
    }

    fn on_sip(&mut self, event: SipEvent) {
        let Some(dialog) = event.dialog() else {
            match event {
                SipEvent::Registered { user, contacts } => {
                    match contacts {
                        0 => self.shared.registered.remove(&user).map(drop),
                        _ => self.shared.registered.insert(user.clone(), ()),
                    };
                    self.shared.tell(None, EventKind::Registration { user, contacts });
                }
                SipEvent::TrunkHealth { trunk, address, healthy: true, why } => {
                    tracing::info!(trunk, %address, why, "trunk has recovered");
                }
                SipEvent::TrunkHealth { trunk, address, healthy: false, why } => {
                    metrics::counter!("tandem_trunk_set_aside_total", "trunk" => trunk.clone()).increment(1);
                    tracing::warn!(trunk, %address, why, "trunk has failed: calls use other trunks until it answers");
                }
                SipEvent::Scanner { address, silence } => {
                    metrics::counter!("tandem_sip_scanners_total").increment(1);
                    tracing::warn!(%address, ?silence, "too many wrong passwords: requests from this address are ignored for a while");
                    self.shared.tell(None, EventKind::Scanner { address, silence });
                }
                SipEvent::RegistrationState { trunk, user, ok, status } => match (ok, status) {
                    (true, _) => tracing::info!(trunk, user = %mask(&user), "registered at the trunk"),
                    (false, 200..300) => {
                        tracing::info!(trunk, user = %mask(&user), "registration at the trunk withdrawn")
                    }
                    (false, _) => {
                        tracing::warn!(trunk, user = %mask(&user), status, "registration refused by the trunk")
                    }
                },
                _ => tracing::debug!("SIP event without a dialog"),
            }
            return;
        };
        if let SipEvent::Incoming { .. } = event {
            return self.on_incoming(dialog, event);
        }
        let Some(entry) = self.shared.dialogs.get(&dialog) else {
            tracing::debug!(?dialog, "event for a dialog whose call has ended");
            return;
        };
        // The entry is locked while the event is sent, so that a call that gives the dialog away knows which events it was sent.
        let (call, task) = entry.value();
        match task.try_send(TaskInput::Sip(event)) {
            Ok(()) => {}
            // The call has ended by its other leg: it has hung up this one, and does not need the event.
            Err(mpsc::error::TrySendError::Closed(_)) => {
                tracing::debug!(%call, ?dialog, "event for a call that has ended")
            }
            Err(mpsc::error::TrySendError::Full(_)) => {
                metrics::counter!("tandem_call_inputs_dropped_total").increment(1);
                tracing::error!(%call, "dialog event dropped: the call's task is too slow");
            }
        }
    }

    fn on_incoming(&mut self, dialog: DialogId, event: SipEvent) {
        let SipEvent::Incoming { from, from_user, to_user, sdp, anonymous, headers, replaces, cause, .. } = event
        else {
            return;
        };
        let refuse = |status: u16, reason: &'static str| {
            tracing::info!(from = %mask(&from_user), to = %mask(&to_user), status, reason, "call refused");
            metrics::counter!("tandem_calls_refused_total", "why" => reason).increment(1);
            signalling::refuse(&self.shared, dialog, status, reason);
        };
        if let Some(replaced) = replaces {
            // This is not a new call: the caller continues in a running one.
            let there = self.shared.dialogs.get(&replaced).map(|entry| entry.value().clone());
            let Some((call, task)) = there else { return refuse(481, "The call to be replaced has ended") };
            self.shared.dialogs.insert(dialog, (call, task.clone()));
            let newcomer = Newcomer { dialog, from, from_user: from_user.clone(), cause, offer: sdp };
            if task.try_send(TaskInput::Replace(newcomer, replaced)).is_err() {
                self.shared.dialogs.remove(&dialog);
                return refuse(481, "The call to be replaced has ended");
            }
            return;
        }
        // An emergency call comes before every limit and every route.
        let Ok(dialled) = self.shared.guard.read(&to_user) else { return refuse(404, "No route for this number") };
        let urgent = matches!((&from, &dialled), (Source::User(_), Dialled::Emergency(_)));
        if let (Source::User(user), Some(slot), false) = (&from, self.dialled_slot(&dialled), urgent) {
            // This is not a new call either: the telephone enters the one that is parked in this slot.
            let group = self.shared.group_of(user);
            let there = group.and_then(|group| self.shared.parking.call(group, slot));
            let there = there.and_then(|call| Some((call, self.shared.calls.get(&call)?.value().clone())));
            let Some((call, task)) = there else { return refuse(NOT_PARKED.0, NOT_PARKED.1) };
            self.shared.dialogs.insert(dialog, (call, task.clone()));
            let newcomer = Newcomer { dialog, from, from_user: from_user.clone(), cause, offer: sdp };
            if task.try_send(TaskInput::PickUp(newcomer, slot)).is_err() {
                self.shared.dialogs.remove(&dialog);
                return refuse(NOT_PARKED.0, NOT_PARKED.1);
            }
            return;
        }
        if self.draining && !urgent {
            return refuse(503, "Draining");
        }
        if !self.shared.pool.has_room() && !urgent {
            return refuse(503, NO_CAPACITY);
        }
        if self.shared.events.is_full() && !urgent {
            return refuse(503, NO_CONTROL);
        }
        let route = call::route(&self.shared.config.routes, &to_user);
        let tells_amd = !urgent && matches!(route, Some(RouteTarget::Amd(_)));
        let plan = match route {
            _ if urgent => match dial::through(&self.shared, "", dialled) {
                Ok(destination) => Plan::Join(destination),
                Err(Refusal { status, why }) => return refuse(status, why),
            },
            None => return refuse(404, "No route for this number"),
            Some(RouteTarget::App(app)) => Plan::Application(*app),
            Some(RouteTarget::Agent(user)) => Plan::Join(Destination::Agent(user.clone())),
            Some(RouteTarget::Trunk(trunk) | RouteTarget::Amd(trunk)) => {
                match dial::through(&self.shared, trunk, dialled) {
                    Ok(destination) => Plan::Join(destination),
                    Err(Refusal { status, why }) => return refuse(status, why),
                }
            }
        };
        let agent = match (&from, &plan) {
            (Source::User(name), _) => Some(name.clone()),
            (_, Plan::Join(Destination::Agent(name))) => Some(name.clone()),
            _ => None,
        };
        let trunk = match &from {
            Source::Trunk(name) => Some(name.clone()),
            Source::User(_) => None,
        };
        let id = dial::new_call_id();
        let (inbox_in, inbox) = mpsc::channel(CALL_INPUTS);
        self.shared.calls.insert(id, inbox_in.clone());
        self.shared.dialogs.insert(dialog, (id, inbox_in.clone()));
        let incoming = dial::Incoming {
            id,
            plan,
            dialog,
            from,
            from_user: from_user.clone(),
            agent: agent.clone(),
            trunk: trunk.clone(),
            anonymous,
            cause,
            headers,
            tells_amd,
            offer: sdp,
        };
        let task = CallTask::incoming(self.shared.clone(), incoming, inbox_in, inbox);
        self.shared.tell(Some(id), EventKind::CallIncoming { from: from_user, to: to_user, trunk, agent });
        self.spawn(id, task);
    }

    /// Returns the parking slot that a user's telephone has dialled; `None`: something else was dialled.
    fn dialled_slot(&self, dialled: &Dialled) -> Option<u16> {
        self.shared.guard.slot(dialled).filter(|slot| SLOTS.contains(slot))
    }

    fn spawn(&mut self, id: CallId, task: CallTask) {
        metrics::counter!("tandem_calls_total").increment(1);
        metrics::gauge!("tandem_calls_running").increment(1.0);
        let shared = self.shared.clone();
        // What the call logs is in the span of the request that created it, if there was one.
        let task = task.run().in_current_span();
        self.tasks.spawn(async move {
            if tokio::spawn(task).await.is_err() {
                tracing::error!(call = %id, "the call's task panicked: the call is ended");
                metrics::counter!("tandem_call_panics_total").increment(1);
                super::task::clear_after_panic(&shared, id).await;
            }
            shared.calls.remove(&id);
            metrics::gauge!("tandem_calls_running").decrement(1.0);
        });
    }

    async fn shutdown(&mut self) {
        self.draining = true;
        for entry in &self.shared.calls {
            if entry.value().try_send(TaskInput::Hangup(HangupCause::Shutdown)).is_err() {
                tracing::warn!(call = %entry.key(), "the call could not be notified of the shutdown");
            }
        }
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(SHUTDOWN, all_ended).await.is_err() {
            tracing::error!(calls = self.shared.calls.len(), "calls did not end in time");
        }
        self.shared.sip.stop().await;
    }
}
