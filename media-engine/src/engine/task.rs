//! One call's task: carries out the effects of `call::transition`.
//!
//! Not here: session descriptions of its legs (`answers`), legs that take another's place (`transfer`).

mod answers;
mod dialling;
mod ending;
mod info;
mod joining;
mod listening;
mod transfer;

pub(super) use ending::clear_after_panic;
pub(super) use transfer::Replacement;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::Shared;
use super::command::{CallSettings, CommandError, Reply};
use super::consumers::{FromTranslation, Translation};
use super::dial::{Incoming, Outgoing};
use super::event::{CallStatus, EventKind, LegRole, LegState};
use super::leg::{ClosingLeg, Leg};
use crate::call::{Call, Destination, Effect, Input, Side};
use crate::config::App;
use crate::error::HangupCause;
use crate::net::clock;
use crate::sip::{Cause, DialogId, SipCommand, SipEvent, TraceLabel};
use crate::units::{CallId, Group, LegId};
use crate::worker::{Incoming as Heard, LegQuality, Worker, WorkerCommand, WorkerEvent, WorkerEventKind};
use dialling::Wanted;
use listening::{CallRecording, next_recorded};
use transfer::{Fetch, Fetching, next_fetched};

/// How long the control plane may take to decide on an announced call.
const DECISION: Duration = Duration::from_secs(2);
/// A browser that hangs up closes its media first: its BYE is given this long.
const BYE_AFTER_MEDIA: Duration = Duration::from_secs(1);
/// A leg that is lost is given this long to come back: a page is loaded anew, and registers, within a few seconds.
const LOST: Duration = Duration::from_secs(15);
/// A transferor that was told of its success hangs up within this, or is hung up.
const LEAVE: Duration = Duration::from_secs(2);
/// Media events that may wait for the task.
const MEDIA_EVENTS: usize = 256;

/// What the switchboard hands to a call.
#[derive(Debug)]
pub(super) enum TaskInput {
    Sip(SipEvent),
    Proceed(CallSettings),
    Refuse(HangupCause),
    Hangup(HangupCause),
    Say {
        text: String,
        reply: oneshot::Sender<Result<Reply, CommandError>>,
    },
    /// Another call asks for one of our legs.
    Fetch(Fetch),
    /// Somebody calls who wants the place of one of our legs.
    Replace(Replacement),
    /// Whether a leg that a transfer wants may be called, and the identity that it is shown.
    LegDecided(LegId, Result<Option<String>, HangupCause>),
}

pub(super) struct CallTask {
    shared: Arc<Shared>,
    id: CallId,
    call: Call,
    settings: CallSettings,
    worker: Worker,
    first: Leg,
    second: Leg,
    /// The leg beside these, empty while there is none.
    third: Leg,
    /// A caller that is to be accepted as the third leg.
    arrived: Option<Leg>,
    /// Legs that are over and whose media is being closed.
    closing: Vec<ClosingLeg>,
    /// A leg of another call that this one waits for.
    fetching: Option<Fetching>,
    /// Which call gets the leg that this one gives away.
    asked: Option<Fetch>,
    /// Media that was given away, and whom its events concern.
    given: Vec<(LegId, mpsc::Sender<WorkerEvent>)>,
    /// Until when a leg that was replaced may hang up by itself.
    leave: Option<Instant>,
    /// Until when a lost leg may come back.
    away: Option<Instant>,
    /// Whose the call is: it reaches no agents of others.
    group: Option<Group>,
    /// The call comes from a trunk and nobody has said yet whose it is: the agent that its route names says so.
    is_unclaimed: bool,
    /// Caller identity for agents that we call.
    caller: Option<String>,
    /// Caller identity for everybody else; `None`: the trunk's own, or none.
    from: Option<String>,
    /// A leg that a transfer wants, until the control plane has decided.
    wanted: Option<Wanted>,
    /// What goes with every INVITE of ours.
    cause: Cause,
    /// The caller wants not to be shown to legs that we dial.
    anonymous: bool,
    /// Headers of the caller's that may pass to legs that we dial.
    passed: Vec<(String, String)>,
    inbox_in: mpsc::Sender<TaskInput>,
    inbox: mpsc::Receiver<TaskInput>,
    media_in: mpsc::Sender<WorkerEvent>,
    media: mpsc::Receiver<WorkerEvent>,
    pending: VecDeque<Input>,
    first_effects: Vec<Effect>,
    /// When the ring clock, or the control plane's time to decide, runs out.
    deadline: Option<Instant>,
    announced: bool,
    /// A leg's media is gone: when the call is given up unless the leg's BYE comes.
    lost: Option<Instant>,
    /// When the call has lasted as long as it may; none for emergency calls.
    longest: Option<Instant>,
    recording: Option<CallRecording>,
    record_app: bool,
    translation: Option<Translation>,
    over: Option<(HangupCause, bool)>,
}

impl CallTask {
    pub(super) fn incoming(
        shared: Arc<Shared>,
        incoming: Incoming,
        inbox_in: mpsc::Sender<TaskInput>,
        inbox: mpsc::Receiver<TaskInput>,
    ) -> CallTask {
        let Incoming { id, call, dialog, from, from_user, agent, trunk, anonymous, cause, headers, offer } = incoming;
        let (role, other) = match trunk {
            None => (LegRole::Agent, LegRole::Customer),
            Some(_) => (LegRole::Customer, LegRole::Agent),
        };
        let worker = shared.place(agent.as_deref());
        let mut first = Leg::new(shared.new_leg(), role, from_user.clone());
        first.owner = Some(shared.claim(from, &worker));
        first.dialog = Some(dialog);
        first.offer = offer;
        if let Some(trunk) = shared.trunk(trunk.as_deref()) {
            first.goes_through(trunk);
        }
        let second = Leg::new(shared.new_leg(), other, String::new());
        let mut task = CallTask::new(shared, id, call, worker, (first, second), (inbox_in, inbox));
        task.name_dialog(Side::First);
        match trunk {
            Some(_) => (task.is_unclaimed, task.from) = (true, Some(from_user.clone())),
            None => task.group = task.shared.group_of(&from_user),
        }
        task.caller = Some(from_user);
        (task.anonymous, task.passed, task.cause) = (anonymous, headers, cause);
        task.announced = true;
        task.deadline = Some(clock::now() + DECISION);
        task
    }

    pub(super) fn outgoing(
        shared: Arc<Shared>,
        outgoing: Outgoing,
        inbox_in: mpsc::Sender<TaskInput>,
        inbox: mpsc::Receiver<TaskInput>,
    ) -> CallTask {
        let Outgoing { id, call, effects, settings, from, first_role } = outgoing;
        let other = match first_role {
            LegRole::Customer => LegRole::Agent,
            LegRole::Agent => LegRole::Customer,
        };
        let agent = effects.iter().find_map(|effect| match effect {
            Effect::Dial(_, Destination::Agent(user)) => Some(user.as_str()),
            _ => None,
        });
        let worker = shared.place(agent);
        let first = Leg::new(shared.new_leg(), first_role, String::new());
        let second = Leg::new(shared.new_leg(), other, String::new());
        let mut task = CallTask::new(shared, id, call, worker, (first, second), (inbox_in, inbox));
        task.group = settings.group;
        task.settings = settings;
        (task.caller, task.from) = (from.clone(), from);
        task.first_effects = effects;
        task
    }

    fn new(
        shared: Arc<Shared>,
        id: CallId,
        call: Call,
        worker: Worker,
        (first, second): (Leg, Leg),
        (inbox_in, inbox): (mpsc::Sender<TaskInput>, mpsc::Receiver<TaskInput>),
    ) -> CallTask {
        let (media_in, media) = mpsc::channel(MEDIA_EVENTS);
        let third = Leg::new(shared.new_leg(), second.role, String::new());
        let longest = shared.config.max_call.map(|most| clock::now() + most);
        CallTask {
            shared,
            id,
            call,
            settings: CallSettings::default(),
            worker,
            first,
            second,
            third,
            arrived: None,
            closing: Vec::new(),
            fetching: None,
            asked: None,
            given: Vec::new(),
            leave: None,
            away: None,
            group: None,
            is_unclaimed: false,
            caller: None,
            from: None,
            wanted: None,
            cause: Cause::default(),
            anonymous: false,
            passed: Vec::new(),
            inbox_in,
            inbox,
            media_in,
            media,
            pending: VecDeque::new(),
            first_effects: Vec::new(),
            deadline: None,
            announced: false,
            lost: None,
            longest,
            recording: None,
            record_app: false,
            translation: None,
            over: None,
        }
    }

    /// Runs the call to its end.
    pub(super) async fn run(mut self) {
        let effects = std::mem::take(&mut self.first_effects);
        self.carry_out(effects).await;
        self.settle().await;
        while self.over.is_none() {
            let deadline = self.deadline.map(tokio::time::Instant::from_std);
            let lost = self.lost.map(tokio::time::Instant::from_std);
            let leave = self.leave.map(tokio::time::Instant::from_std);
            let away = self.away.map(tokio::time::Instant::from_std);
            let longest = self.longest.map(tokio::time::Instant::from_std);
            let wanted = self.wanted.as_ref().map(Wanted::until);
            tokio::select! {
                Some(input) = self.inbox.recv() => self.on_input(input).await,
                Some(event) = self.media.recv() => self.on_media(event).await,
                Some(next) = next_translation(&mut self.translation) => self.on_translation(next),
                () = sleep_until(deadline), if deadline.is_some() => self.on_deadline().await,
                () = sleep_until(lost), if lost.is_some() => {
                    self.lost = None;
                    self.transition(Input::Hangup(HangupCause::MediaTimeout)).await;
                }
                () = sleep_until(leave), if leave.is_some() => {
                    self.leave = None;
                    self.transition(Input::LeaveTimeout).await;
                }
                () = sleep_until(away), if away.is_some() => {
                    self.away = None;
                    self.transition(Input::LostTimeout).await;
                }
                report = next_recorded(&mut self.recording) => self.on_recorded(report),
                () = sleep_until(longest), if longest.is_some() => {
                    self.longest = None;
                    self.on_longest().await;
                }
                () = sleep_until(wanted), if wanted.is_some() => self.on_undecided().await,
                fetched = next_fetched(&mut self.fetching) => self.on_fetched(fetched).await,
            }
        }
        self.finish().await;
    }

    async fn on_input(&mut self, input: TaskInput) {
        match input {
            TaskInput::Sip(event) => self.on_sip(event).await,
            TaskInput::Proceed(settings) => {
                if self.is_unclaimed {
                    self.group = settings.group;
                    self.is_unclaimed = settings.group.is_none();
                } else {
                    self.from.clone_from(&settings.from);
                }
                self.settings = settings;
                self.proceed().await;
            }
            TaskInput::LegDecided(leg, decision) => self.on_leg_decided(leg, decision).await,
            TaskInput::Refuse(cause) => self.transition(Input::Refuse(cause)).await,
            TaskInput::Hangup(cause) => self.transition(Input::Hangup(cause)).await,
            TaskInput::Fetch(fetch) => self.on_fetch(fetch).await,
            TaskInput::Replace(replacement) => self.on_replacement(replacement).await,
            TaskInput::Say { text, reply } => {
                let result = match &self.translation {
                    Some(translation) => translation.say(text).map(|()| Reply::Done),
                    None => Err(CommandError::Conflict(
                        "nobody listens: the call is not joined, or its live_translate is off".into(),
                    )),
                };
                // The asker may have given up; the sentence is spoken all the same.
                let _ = reply.send(result);
            }
        }
    }

    async fn proceed(&mut self) {
        if std::mem::take(&mut self.announced) {
            self.deadline = None;
            self.transition(Input::Proceed).await;
        }
    }

    async fn on_deadline(&mut self) {
        self.deadline = None;
        if self.announced {
            tracing::warn!(call = %self.id, "no decision within 2 s: the call goes on, nothing recorded or translated");
            self.proceed().await;
        } else {
            self.transition(Input::RingTimeout).await;
        }
    }

    async fn on_longest(&mut self) {
        let most = self.shared.config.max_call.unwrap_or_default();
        tracing::warn!(call = %self.id, max_call_s = most.as_secs(), "the call has lasted as long as a call may: it ends");
        metrics::counter!("calls_ended_by_length_total").increment(1);
        self.transition(Input::Hangup(HangupCause::MaxDuration)).await;
    }

    async fn on_sip(&mut self, event: SipEvent) {
        let Some(side) = event.dialog().and_then(|dialog| self.side_of_dialog(dialog)) else {
            return self.on_stray(event);
        };
        match event {
            SipEvent::Progress { sdp: Some(sdp), .. } if self.can_hear_early(side) => {
                self.on_early_media(side, &sdp).await;
            }
            SipEvent::Progress { status, .. } if status > 100 => self.transition(Input::Ringing(side)).await,
            SipEvent::Answered { sdp, remote, .. } => self.on_answer(side, &sdp, remote).await,
            SipEvent::Failed { status, reason, .. } => {
                let trunk = self.leg(side).trunk.clone().unwrap_or_default();
                if !trunk.is_empty() {
                    let labels = [("trunk", trunk.clone()), ("status", status.to_string())];
                    metrics::counter!("tandem_trunk_calls_failed_total", &labels).increment(1);
                }
                tracing::info!(call = %self.id, leg = %self.leg(side).id, trunk, status, reason, "leg failed");
                self.leg_mut(side).failed_status = Some(status);
                self.transition(Input::Failed(side, HangupCause::from_sip_status(status))).await;
            }
            SipEvent::Reoffer { dialog, sdp } => {
                let worker = self.worker.clone();
                let command = match self.leg_mut(side).answer_reoffer(&worker, &sdp).await {
                    Ok(sdp) => SipCommand::AcceptReinvite { dialog, sdp },
                    Err(error) => {
                        tracing::info!(call = %self.id, leg = %self.leg(side).id, %error, "re-INVITE refused");
                        SipCommand::RejectReinvite { dialog, status: 488 }
                    }
                };
                self.sip(command);
            }
            SipEvent::ReinviteAnswered { sdp, .. } => self.on_later_answer(side, &sdp).await,
            SipEvent::Referred { refer, to, replaces, replaced, .. } => {
                self.on_referred(side, refer, &to, (replaces, replaced)).await;
            }
            SipEvent::Info { content_type, body, .. } => self.on_info(side, &content_type, &body),
            SipEvent::Unreachable { .. } => {
                tracing::info!(call = %self.id, leg = %self.leg(side).id, "a device lost its connection in mid-call");
                self.leg_mut(side).unreachable = true;
                self.judge_loss(side).await;
            }
            SipEvent::Reachable { .. } => {
                tracing::info!(call = %self.id, leg = %self.leg(side).id, "the device is back");
                self.leg_mut(side).unreachable = false;
                self.judge_loss(side).await;
            }
            SipEvent::Ended { reason, .. } => {
                let told = reason.as_deref().and_then(HangupCause::from_reason).unwrap_or(HangupCause::Normal);
                let cause = if self.call.is_talking() { told } else { HangupCause::Cancelled };
                self.transition(Input::Gone(side, cause)).await;
            }
            _ => {}
        }
    }

    async fn on_media(&mut self, event: WorkerEvent) {
        let Some(side) = self.side_of_media(event.leg) else { return self.on_media_of_the_gone(event) };
        let (leg, role) = (self.leg(side).id, self.leg(side).role);
        match event.kind {
            WorkerEventKind::Dtmf { digit, duration_ms } => {
                self.shared.tell(Some(self.id), EventKind::Dtmf { leg, digit, duration_ms });
            }
            WorkerEventKind::PlayStarted { segment, at } => {
                if let Some(translation) = &self.translation {
                    translation.play_started(role, segment, at);
                }
            }
            WorkerEventKind::Quality(quality) => {
                for (direction, rating) in [("in", quality.incoming), ("out", quality.outgoing)] {
                    if let Some(mos) = rating.mos {
                        metrics::histogram!("tandem_media_mos", "direction" => direction).record(f64::from(mos));
                    }
                }
                self.tell_quality(side, quality);
            }
            // Its last stretch has been counted, or was too short to count.
            WorkerEventKind::Closed(quality) => {
                self.tell_last_quality(side, quality);
                self.leg_mut(side).media_closed(event.leg);
            }
            WorkerEventKind::SourceMoved { to } => {
                let described = self.leg(side).audio.map(|audio| audio.remote_rtp);
                tracing::info!(call = %self.id, %leg, %to, ?described, "media behind NAT: it comes from, and goes to, an address learnt from its packets");
            }
            WorkerEventKind::Flow(flow) => {
                self.shared.tell(Some(self.id), EventKind::LegFlow { leg, role, flow });
                let leg = self.leg_mut(side);
                // A browser whose packets stop, and whose checks of the path go on, is there.
                let stopped = flow.incoming == Heard::Stopped && !leg.is_browser();
                leg.out_of_reach = flow.incoming == Heard::Unreachable;
                leg.silent = stopped || leg.out_of_reach || flow.incoming == Heard::NoPacketsYet;
                leg.on_hold = flow.incoming == Heard::OnHold;
                self.judge_loss(side).await;
            }
            // A leg that has not answered, or was replaced, is dead by its own clocks alone.
            WorkerEventKind::MediaTimeout if side == Side::Third => {}
            WorkerEventKind::MediaTimeout => {
                let after = self.shared.config.media_timeout.unwrap_or_default();
                tracing::warn!(call = %self.id, %leg, ?role, ?after, "no media from a leg: it is dead, and its call ends");
                self.shared.tell(Some(self.id), EventKind::MediaTimeout { leg, role, after });
                // Not `Gone`: the leg's signalling may be alive, and is ended with the others.
                self.transition(Input::Hangup(HangupCause::MediaTimeout)).await;
            }
            WorkerEventKind::Failed(why) => {
                // Until the answer says which media it takes, a browser's half that fails is not the leg's end.
                tracing::warn!(call = %self.id, %leg, why, "media failed");
                if self.leg(side).codec.is_some() && self.call.is_talking() && self.leg(side).may_come_back() {
                    self.transition(Input::Lost(side)).await;
                } else if self.leg(side).codec.is_some() && side != Side::Third {
                    self.lost.get_or_insert(clock::now() + BYE_AFTER_MEDIA);
                }
            }
            WorkerEventKind::Connected
            | WorkerEventKind::FirstPacket
            | WorkerEventKind::ActiveSpeaker { .. }
            | WorkerEventKind::PlayDone { .. } => {}
        }
    }

    /// A leg that was forgotten says its last word.
    fn on_media_of_the_gone(&mut self, event: WorkerEvent) {
        let WorkerEventKind::Closed(quality) = event.kind else { return };
        let Some(at) = self.closing.iter().position(|leg| leg.owns(event.leg)) else { return };
        let ClosingLeg { id: leg, role, .. } = self.closing[at];
        self.shared.tell(Some(self.id), EventKind::LegQuality { leg, role, quality });
        self.closing[at].open -= 1;
        if self.closing[at].open == 0 {
            self.closing.swap_remove(at);
        }
    }

    fn tell_last_quality(&self, side: Side, quality: LegQuality) {
        let repeated = quality.packets_repeated;
        if repeated > 0 {
            let leg = self.leg(side).id;
            tracing::info!(call = %self.id, %leg, repeated, "packets came more than once: the copies were dropped");
        }
        self.tell_quality(side, quality);
    }

    fn tell_quality(&self, side: Side, quality: LegQuality) {
        let Leg { id, role, .. } = *self.leg(side);
        self.shared.tell(Some(self.id), EventKind::LegQuality { leg: id, role, quality });
    }

    fn on_translation(&mut self, next: FromTranslation) {
        match next {
            FromTranslation::Words(words) => self.shared.tell(Some(self.id), EventKind::Translation(words)),
            FromTranslation::Speech(spoken) => {
                if let Some(leg) = self.leg_of(spoken.listener).media() {
                    let chunk = spoken.chunk;
                    self.media_command(WorkerCommand::Play {
                        leg,
                        segment: chunk.segment,
                        rate: chunk.rate,
                        samples: chunk.samples,
                        last: chunk.last,
                    });
                }
            }
        }
    }

    async fn transition(&mut self, input: Input) {
        let effects = self.call.transition(input);
        self.carry_out(effects).await;
        self.settle().await;
    }

    /// Takes what became of effects that failed at once: inputs of their own.
    async fn settle(&mut self) {
        while let Some(input) = self.pending.pop_front() {
            let effects = self.call.transition(input);
            self.carry_out(effects).await;
        }
    }

    async fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Dial(Side::Third, destination) => self.want(destination),
                Effect::Dial(side, destination) => self.dial(side, destination).await,
                Effect::Alert(side) => {
                    if let Some(dialog) = self.leg(side).dialog {
                        self.sip(SipCommand::Progress { dialog, status: 180, sdp: None });
                    }
                }
                Effect::AnswerEarly(side) => self.answer_early(side).await,
                Effect::Accept(side) => {
                    if let (Side::Third, Some(leg)) = (side, self.arrived.take()) {
                        self.third = leg;
                        self.name_dialog(Side::Third);
                    }
                    self.accept(side).await;
                }
                Effect::Reject(side, cause) => {
                    if let Some(dialog) = self.leg(side).dialog {
                        self.sip(SipCommand::Reject { dialog, status: cause.sip_status(), reason: None });
                    }
                }
                Effect::Cancel(side) => {
                    if let Some(dialog) = self.leg(side).dialog {
                        self.sip(SipCommand::Cancel { dialog });
                    }
                }
                Effect::Release(side, cause) => {
                    if let Some(dialog) = self.leg(side).dialog {
                        self.sip(SipCommand::Bye { dialog, reason: Some(cause.reason().into()) });
                    }
                }
                Effect::Join => self.join(),
                Effect::Run(side, app) => self.run_app(side, app),
                Effect::ArmRingTimer => self.deadline = Some(clock::now() + self.shared.config.ring_timeout),
                Effect::DisarmRingTimer => self.deadline = None,
                Effect::ArmLostTimer => {
                    tracing::info!(call = %self.id, "a leg is lost: the other one waits for it");
                    self.away = Some(clock::now() + LOST);
                }
                Effect::DisarmLostTimer => self.away = None,
                Effect::ArmLeaveTimer => self.leave = Some(clock::now() + LEAVE),
                Effect::Listen(side) => {
                    self.listen();
                    self.listen_to_successor(side);
                }
                effect @ (Effect::JoinThird(_)
                | Effect::Wait(..)
                | Effect::Exchange(_)
                | Effect::Forget(_)
                | Effect::Give(_)
                | Effect::TellTransfer(..)) => self.carry_out_succession(effect),
                Effect::TellRinging => self.tell_status(CallStatus::Ringing, None),
                Effect::TellAnswered => {
                    self.tell_status(CallStatus::Answered, None);
                    self.listen();
                }
                Effect::TellBridged => {
                    self.tell_status(CallStatus::Bridged, None);
                    self.listen();
                }
                Effect::TellOver { cause, answered } => self.over = Some((cause, answered)),
            }
        }
    }

    fn run_app(&mut self, side: Side, app: App) {
        self.record_app = app == App::Record;
        if self.record_app && !self.settings.record_app {
            tracing::warn!(call = %self.id, "the application `record` was reached, and recording is switched off: nothing is recorded");
        }
        if let Some(leg) = self.leg(side).media() {
            self.media_command(WorkerCommand::App { leg, app: Some(app) });
        }
    }

    fn tell_status(&self, status: CallStatus, cause: Option<HangupCause>) {
        self.shared.tell(Some(self.id), EventKind::CallStatus { status, cause });
    }

    fn tell_leg(&self, side: Side, state: LegState) {
        self.tell_leg_of(self.leg(side), state);
    }

    fn tell_leg_of(&self, leg: &Leg, state: LegState) {
        let Leg { id, role, peer, codec, .. } = leg;
        let (leg, role, peer, codec) = (*id, *role, peer.clone(), *codec);
        self.shared.tell(Some(self.id), EventKind::Leg { leg, role, state, peer, codec });
    }

    fn sip(&self, command: SipCommand) {
        if self.shared.sip.send(command).is_err() {
            metrics::counter!("sip_commands_dropped_total").increment(1);
            tracing::error!(call = %self.id, "the SIP stack is overloaded: a command was lost");
        }
    }

    fn media_command(&self, command: WorkerCommand) {
        if self.worker.send(command).is_err() {
            metrics::counter!("worker_commands_dropped_total").increment(1);
            tracing::error!(call = %self.id, "the media worker is overloaded: a command was lost");
        }
    }

    fn leg(&self, side: Side) -> &Leg {
        match side {
            Side::First => &self.first,
            Side::Second => &self.second,
            Side::Third => &self.third,
        }
    }

    fn leg_mut(&mut self, side: Side) -> &mut Leg {
        match side {
            Side::First => &mut self.first,
            Side::Second => &mut self.second,
            Side::Third => &mut self.third,
        }
    }

    fn leg_of(&self, role: LegRole) -> &Leg {
        if self.first.role == role { &self.first } else { &self.second }
    }

    /// Says whose the dialog of a leg is, so that its messages can be shown with the call.
    pub(super) fn name_dialog(&self, side: Side) {
        let Leg { id, role, peer, dialog, .. } = self.leg(side);
        if let Some(dialog) = *dialog {
            let label = TraceLabel { call: self.id, leg: *id, role: role.as_str(), peer: peer.clone() };
            self.shared.sip.label(dialog, label);
        }
    }

    fn side_of_dialog(&self, dialog: DialogId) -> Option<Side> {
        Side::ALL.into_iter().find(|&side| self.leg(side).dialog == Some(dialog))
    }

    fn side_of_media(&self, media: LegId) -> Option<Side> {
        Side::ALL.into_iter().find(|&side| self.leg(side).owns(media))
    }
}

impl Drop for CallTask {
    /// A task that ends early, by a panic or with the runtime, still gives back its media.
    fn drop(&mut self) {
        for leg in [Some(&mut self.first), Some(&mut self.second), Some(&mut self.third), self.arrived.as_mut()] {
            leg.map(|leg| leg.close_media(&self.worker));
        }
    }
}

async fn next_translation(translation: &mut Option<Translation>) -> Option<FromTranslation> {
    match translation {
        Some(translation) => translation.next().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
