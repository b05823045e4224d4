//! One call's task, which drives the call's machine (`call::Call`). Signalling, media and the control plane become inputs, and
//! the task carries out the effects.
//!
//! ```text
//!   TaskInput, WorkerEvent, speech, time-outs ─▶ Input ─▶ Call::handle ─▶ effects ─▶ signals, media commands, events
//!                                                 ▲                          │
//!                                                 └── an effect that fails ──┘
//! ```
//!
//! Invariants: the task makes no decision about who talks with whom; `hearing` applies the machine's topology. Inputs are handled
//! one at a time, and their effects in order. Not here: session descriptions of legs (`answers`), legs of other calls
//! (`transfer`).

mod answers;
mod dialling;
mod ending;
mod gathers;
mod hearing;
mod holding;
mod info;
mod listening;
mod messages;
mod music;
mod parking;
mod program;
mod prompts;
mod recordings;
mod screening;
mod transfer;
mod verbs;

pub(super) use ending::clear_after_panic;
pub(super) use transfer::Newcomer;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use codecs::SampleRate;
use tokio::sync::{mpsc, oneshot};

use super::Shared;
use super::capture::CallCapture;
use super::command::{CallProgram, CallSettings, CommandError, Reply, Verb};
use super::consumers::{FromTranslation, Translation, side};
use super::dial::{Incoming, Outgoing};
use super::event::{CallStatus, EventKind, LegRole, LegState};
use super::leg::{ClosingLeg, Leg};
use super::parking::Slot;
use super::signalling::Signals;
use crate::call::{
    Call, Destination, Effect, EndedBy, Ending, Happened, Input, KeyWay, LEGS, Notice, Start, Timing, Topology,
};
use crate::error::HangupCause;
use crate::net::clock;
use crate::sip::{Cause, DialogId, SipEvent, Told, TraceLabel, reason};
use crate::units::{CallId, ConferenceId, Group, LegId, mask};
use crate::worker::{Incoming as Heard, LegQuality, Worker, WorkerEvent, WorkerEventKind, WorkerRequest};
use dialling::Unreached;
use gathers::Gathering;
use hearing::Heard as Applied;
use music::WaitingMusic;
use program::Programs;
use prompts::Prompts;
use recordings::{CallRecording, next_recorded};
use screening::Screenings;
use transfer::{Fetch, Fetching, next_fetched};
use verbs::Keys;

/// Time for the control plane to decide on an announced call, or on a transfer's leg.
const DECISION: Duration = Duration::from_secs(2);
/// Time for the BYE of a browser, which closes its media before it hangs up.
const BYE_AFTER_MEDIA: Duration = Duration::from_secs(1);
/// Time for a lost leg to come back: a page reloads and registers within a few seconds.
const LOST: Duration = Duration::from_secs(15);
/// Time for a transferor to hang up after it was notified of success; after that, it is hung up.
const LEAVE: Duration = Duration::from_secs(2);
/// Capacity of the queue of media events.
const MEDIA_EVENTS: usize = 256;

/// An input from the switchboard.
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
    Verb {
        verb: Verb,
        reply: oneshot::Sender<Result<Reply, CommandError>>,
    },
    /// Music for waiting parties.
    Music(SampleRate, Arc<[i16]>),
    /// Another call asks for one of our legs.
    Fetch(Fetch),
    /// A caller wants to replace the leg that has this dialog.
    Replace(Newcomer, DialogId),
    /// A caller wants to pick up the call, which is parked in this slot.
    PickUp(Newcomer, u16),
    /// Decision on a leg that a transfer wants: the identity that it is shown, or the cause of the refusal.
    LegDecided(LegId, Result<Option<String>, HangupCause>),
}

pub(super) struct CallTask {
    shared: Arc<Shared>,
    id: CallId,
    call: Call,
    settings: CallSettings,
    worker: Worker,
    /// Legs that have signalling or media, in the order in which they came.
    legs: Vec<Leg>,
    /// Topology as the machine last reported it.
    topology: Topology,
    /// The part of the topology that the worker has applied, by media leg.
    applied: Vec<(LegId, Applied)>,
    /// Music for waiting parties.
    music: WaitingMusic,
    /// Conference that mixes the parties when there are more than two.
    conference: ConferenceId,
    /// Slot in which the call is parked.
    slot: Option<Slot>,
    /// Leg of the agent who picks the call up.
    picks_up: Option<LegId>,
    /// Keys that wait to be sent.
    keys: Vec<Keys>,
    /// Sounds that are being played.
    prompts: Prompts,
    /// Collections of digits in progress.
    gathers: Vec<Gathering>,
    /// Legs that are listened to, to tell what answered.
    screenings: Screenings,
    /// The application `amd` tells the caller what answered.
    tells_amd: bool,
    /// Call program that a transfer falls back to when no target answers.
    next_program: Option<Box<CallProgram>>,
    /// Call program of the first leg.
    programs: Programs,
    /// Legs that have ended and whose media is being closed.
    closing: Vec<ClosingLeg>,
    /// Leg of another call that this one waits for.
    fetching: Option<Fetching>,
    /// Request of the call that gets the leg that this one gives away.
    asked: Option<Fetch>,
    /// Media that was given away, and the calls that its events concern.
    given: Vec<transfer::GivenMedia>,
    /// Group that the call belongs to; it cannot reach agents of other groups.
    group: Option<Group>,
    /// The call comes from a trunk and its group is not known yet: it takes the group of the agent that its route names.
    is_unclaimed: bool,
    /// Identity that is shown to the first leg of an outgoing call.
    first_shown: Option<(LegId, Option<String>)>,
    /// Caller identity that is shown to agents that we call.
    caller: Option<String>,
    /// Caller identity that is shown to all others; `None`: the trunk's own, or none.
    from: Option<String>,
    /// Cause that is sent with each of our INVITEs.
    cause: Cause,
    /// The caller's identity must be hidden from legs that we dial.
    anonymous: bool,
    /// Headers of the caller that may be passed to legs that we dial.
    passed: Vec<(String, String)>,
    inbox_in: mpsc::Sender<TaskInput>,
    inbox: mpsc::Receiver<TaskInput>,
    media_in: mpsc::Sender<WorkerEvent>,
    media: mpsc::Receiver<WorkerEvent>,
    pending: VecDeque<Input>,
    first_effects: Vec<Effect>,
    capture: Option<CallCapture>,
    recordings: Vec<CallRecording>,
    /// The recording that the settings ask for has started.
    is_recorded: bool,
    record_app: bool,
    /// The call has reached the state in which it may be recorded and translated.
    listens: bool,
    translation: Option<Translation>,
    over: Option<(HangupCause, bool)>,
    /// Reason why the last leg that we called could not be reached, as a text for a caller who is one of our users.
    unreached: Option<Unreached>,
}

impl CallTask {
    pub(super) fn incoming(
        shared: Arc<Shared>,
        incoming: Incoming,
        inbox_in: mpsc::Sender<TaskInput>,
        inbox: mpsc::Receiver<TaskInput>,
    ) -> CallTask {
        let Incoming { id, plan, dialog, from, from_user, agent, trunk, anonymous, cause, headers, tells_amd, offer } =
            incoming;
        // Behind the application `amd` the caller is a dialer, on the agents' side of the call.
        let role = if trunk.is_some() && !tells_amd { LegRole::Customer } else { LegRole::Agent };
        let worker = shared.place(agent.as_deref());
        let begins = start(&shared);
        let capture = begin_capture(&shared, id, &begins, || Happened::began(None, plan.clone(), role, &begins));
        let (call, first) = Call::incoming(plan, role, begins);
        let mut leg = Leg::new(first, role, from_user.clone());
        leg.owner = Some(shared.claim(from, &worker));
        leg.dialog = Some(dialog);
        leg.offer = offer;
        if let Some(trunk) = shared.trunk(trunk.as_deref()) {
            leg.goes_through(trunk);
        }
        let mut task = CallTask::new(shared, id, call, worker, (inbox_in, inbox));
        task.capture = capture;
        task.name_dialog(&leg);
        task.legs.push(leg);
        match trunk {
            Some(_) => (task.is_unclaimed, task.from) = (true, Some(from_user.clone())),
            None => task.group = task.shared.group_of(&from_user),
        }
        task.caller = Some(from_user);
        (task.anonymous, task.passed, task.cause) = (anonymous, headers, cause);
        task.tells_amd = tells_amd;
        task
    }

    pub(super) fn outgoing(
        shared: Arc<Shared>,
        outgoing: Outgoing,
        inbox_in: mpsc::Sender<TaskInput>,
        inbox: mpsc::Receiver<TaskInput>,
    ) -> CallTask {
        let Outgoing { id, to, plan, settings, first_shown, caller, from, ring, first_role } = outgoing;
        let worker = match &to {
            Destination::Agent(user) | Destination::Browser(user) => shared.place(Some(user)),
            _ => shared.place(None),
        };
        let mut begins = start(&shared);
        [begins.timing.ring_first, begins.timing.ring_second] = ring;
        let called = match &to {
            Destination::Agent(called) | Destination::Browser(called) | Destination::Uri(called) => called,
            Destination::Trunk { user, .. } | Destination::Emergency { user, .. } => user,
        };
        tracing::info!(call = %id, to = mask(called), "call out");
        let how = || Happened::began(Some(to.clone()), plan.clone(), first_role, &begins);
        let capture = begin_capture(&shared, id, &begins, how);
        let (call, effects) = Call::outgoing(to, plan, first_role, begins);
        let mut task = CallTask::new(shared, id, call, worker, (inbox_in, inbox));
        task.group = settings.group;
        task.settings = settings;
        task.pending.extend(task.screen());
        (task.first_shown, task.caller, task.from) = (Some((begins.legs, first_shown)), caller, from);
        (task.first_effects, task.capture) = (effects, capture);
        task
    }

    fn new(
        shared: Arc<Shared>,
        id: CallId,
        call: Call,
        worker: Worker,
        (inbox_in, inbox): (mpsc::Sender<TaskInput>, mpsc::Receiver<TaskInput>),
    ) -> CallTask {
        let (media_in, media) = mpsc::channel(MEDIA_EVENTS);
        let conference = ConferenceId(call.next_leg().0);
        CallTask {
            shared,
            id,
            call,
            settings: CallSettings::default(),
            worker,
            legs: Vec::new(),
            topology: Topology::default(),
            applied: Vec::new(),
            music: WaitingMusic::default(),
            conference,
            slot: None,
            picks_up: None,
            keys: Vec::new(),
            prompts: Prompts::new(),
            gathers: Vec::new(),
            screenings: Screenings::new(),
            tells_amd: false,
            next_program: None,
            programs: Programs::new(),
            closing: Vec::new(),
            fetching: None,
            asked: None,
            given: Vec::new(),
            group: None,
            is_unclaimed: false,
            first_shown: None,
            caller: None,
            from: None,
            cause: Cause::default(),
            anonymous: false,
            passed: Vec::new(),
            inbox_in,
            inbox,
            media_in,
            media,
            pending: VecDeque::new(),
            first_effects: Vec::new(),
            capture: None,
            recordings: Vec::new(),
            is_recorded: false,
            record_app: false,
            listens: false,
            translation: None,
            over: None,
            unreached: None,
        }
    }

    /// Runs the call until it ends.
    pub(super) async fn run(mut self) {
        let began = clock::now();
        let effects = std::mem::take(&mut self.first_effects);
        self.carry_out(effects).await;
        self.settle().await;
        self.run_program().await;
        while self.over.is_none() {
            let timeout = self.call.poll_timeout().map(tokio::time::Instant::from_std);
            let next_key = self.next_key().map(tokio::time::Instant::from_std);
            let next_gather = self.next_gather().map(tokio::time::Instant::from_std);
            let next_look = self.programs.next_look().map(tokio::time::Instant::from_std);
            let next_step = self.programs.poll_timeout().map(tokio::time::Instant::from_std);
            tokio::select! {
                Some(input) = self.inbox.recv() => self.on_input(input).await,
                Some(event) = self.media.recv() => self.on_media(event).await,
                next = next_translation(&mut self.translation) => self.on_translation(next),
                Some(spoken) = self.prompts.next() => self.on_spoken(spoken),
                Some((leg, found)) = self.screenings.next() => self.on_found(leg, found).await,
                () = sleep_until(next_key), if next_key.is_some() => self.press_due(),
                () = sleep_until(next_gather), if next_gather.is_some() => self.gathers_due(),
                Some(answer) = self.programs.next() => self.on_program_answer(answer).await,
                () = sleep_until(next_look), if next_look.is_some() => self.message_due(),
                () = sleep_until(next_step), if next_step.is_some() => self.program_due(),
                () = sleep_until(timeout), if timeout.is_some() => self.handle(Input::Timeout).await,
                (number, report) = next_recorded(&mut self.recordings) => self.on_recorded(number, report).await,
                fetched = next_fetched(&mut self.fetching) => self.on_fetched(fetched).await,
            }
            self.run_program().await;
        }
        self.finish(began).await;
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
                let with_program = settings.program.is_some();
                self.settings = settings;
                self.settings_of_amd();
                self.pending.extend(self.screen());
                self.handle(if with_program { Input::ProceedWithProgram } else { Input::Proceed }).await;
            }
            TaskInput::LegDecided(leg, decision) => self.on_leg_decided(leg, decision).await,
            TaskInput::Music(rate, samples) => self.on_music(rate, samples),
            TaskInput::Refuse(cause) => self.handle(Input::Refuse(cause)).await,
            TaskInput::Hangup(cause) => self.handle(Input::HangUp(cause)).await,
            TaskInput::Fetch(fetch) => self.on_fetch(fetch).await,
            TaskInput::Replace(newcomer, replaced) => self.on_replacement(newcomer, replaced).await,
            TaskInput::PickUp(newcomer, slot) => self.on_picked_up(newcomer, slot).await,
            TaskInput::Say { text, reply } => {
                let result = match &self.translation {
                    Some(translation) => translation.say(text).map(|()| Reply::Done),
                    None => Err(CommandError::Conflict(
                        "no leg can hear the text: the call is not joined, or its live_translate is off".into(),
                    )),
                };
                // The requester may have gone away; the sentence is spoken all the same.
                let _ = reply.send(result);
            }
            TaskInput::Verb { verb, reply } => self.on_verb(verb, reply).await,
        }
    }

    async fn on_sip(&mut self, event: SipEvent) {
        let Some(leg) = event.dialog().and_then(|dialog| self.leg_of_dialog(dialog)) else {
            return self.on_stray(event);
        };
        match event {
            SipEvent::Progress { sdp: Some(sdp), .. } if self.can_hear_early(leg) => {
                self.on_early_media(leg, &sdp).await;
            }
            SipEvent::Progress { status, .. } if status > 100 => self.handle(Input::Rang(leg)).await,
            SipEvent::Answered { sdp, remote, .. } => self.on_answer(leg, &sdp, remote).await,
            SipEvent::Failed { status, reason, told, .. } => {
                let trunk = self.leg(leg).and_then(|leg| leg.trunk.clone()).unwrap_or_default();
                if !trunk.is_empty() {
                    let labels = [("trunk", trunk.clone()), ("status", status.to_string())];
                    metrics::counter!("tandem_trunk_calls_failed_total", &labels).increment(1);
                }
                tracing::info!(call = %self.id, %leg, trunk, status, reason, "leg failed");
                let by = if told.is_some() { EndedBy::FarEnd } else { EndedBy::Tandem };
                let Told { q850, text } = told.map(|told| *told).unwrap_or_default();
                let text = text.or_else(|| reason::clean(&reason));
                let ending = Ending { by, q850, text, ..Ending::refused(status) };
                self.unreached = Some(Unreached { ending: ending.clone(), why: reason });
                self.handle(Input::Gone(leg, ending)).await;
            }
            SipEvent::Reoffer { dialog, sdp } => {
                let answer = self.answer_reoffer(leg, &sdp).await;
                if let Err(error) = &answer {
                    tracing::info!(call = %self.id, %leg, %error, "re-INVITE refused");
                }
                if let Ok(answer) = &answer {
                    self.judge_answer(leg, answer).await;
                }
                self.signals().answer_offer(dialog, answer.ok());
                self.offer_hold(leg);
            }
            SipEvent::ReinviteAnswered { sdp, .. } => {
                self.on_later_answer(leg, &sdp).await;
                self.offer_hold(leg);
            }
            SipEvent::ReinviteFailed { status, .. } => self.on_offer_failed(leg, status),
            SipEvent::Referred { refer, to, replaces, replaced, .. } => {
                self.on_referred(leg, refer, &to, (replaces, replaced)).await;
            }
            SipEvent::Info { content_type, body, .. } => self.on_info(leg, &content_type, &body),
            SipEvent::Unreachable { .. } => {
                tracing::info!(call = %self.id, %leg, "a device lost its connection during a call");
                self.judge_loss(leg, |leg| leg.unreachable = true).await;
            }
            SipEvent::Reachable { .. } => {
                tracing::info!(call = %self.id, %leg, "the device has connected again");
                self.judge_loss(leg, |leg| leg.unreachable = false).await;
            }
            SipEvent::Ended { reason, fault, .. } => {
                let ending = self.ending_of_dialog(reason.as_deref(), fault);
                self.handle(Input::Gone(leg, ending)).await;
            }
            _ => {}
        }
    }

    /// Returns how a leg's dialog ended: by its peer, perhaps with a reason, or by a fault that the SIP core found.
    fn ending_of_dialog(&self, reason: Option<&str>, fault: Option<&'static str>) -> Ending {
        let Told { q850, text } = reason.map(Told::of_reason).unwrap_or_default();
        let told = q850.and_then(HangupCause::from_q850).unwrap_or(HangupCause::Normal);
        let cause = if self.call.is_talking() { told } else { HangupCause::Cancelled };
        match fault {
            Some(fault) => Ending { by: EndedBy::Tandem, text: Some(fault.to_owned()), ..cause.into() },
            None => Ending { q850, text, ..Ending::far_end(cause) },
        }
    }

    async fn on_media(&mut self, event: WorkerEvent) {
        let Some(of) = self.legs.iter().find(|leg| leg.owns(event.leg)) else {
            return self.on_media_of_closing_leg(event);
        };
        let (leg, role) = (of.id, of.role);
        match event.kind {
            WorkerEventKind::Dtmf { digit, duration_ms } => {
                self.on_key(leg, digit, duration_ms, KeyWay::Event);
            }
            WorkerEventKind::PlayStarted { segment, at } => {
                if self.on_play_started(segment, at) {
                    return;
                }
                if let Some(translation) = &self.translation {
                    translation.play_started(segment, at);
                }
            }
            WorkerEventKind::Quality(quality) => {
                for (direction, rating) in [("in", quality.incoming), ("out", quality.outgoing)] {
                    if let Some(mos) = rating.mos {
                        metrics::histogram!("tandem_media_mos", "direction" => direction).record(f64::from(mos));
                    }
                }
                self.shared.tell(Some(self.id), EventKind::LegQuality { leg, role, quality });
            }
            // The last period has been counted, or was too short to count.
            WorkerEventKind::Closed(quality) => {
                self.tell_last_quality(leg, role, quality);
                if let Some(leg) = self.leg_mut(leg) {
                    leg.media_closed(event.leg);
                }
            }
            WorkerEventKind::SourceMoved { to } => {
                let described = of.audio.map(|audio| audio.remote_rtp);
                tracing::info!(call = %self.id, %leg, %to, ?described, "media behind NAT: its address was learnt from its packets");
            }
            WorkerEventKind::Flow(flow) => {
                self.shared.tell(Some(self.id), EventKind::LegFlow { leg, role, flow });
                let judge = |leg: &mut Leg| {
                    // A browser whose packets stop while its connectivity checks continue is still there.
                    let stopped = flow.incoming == Heard::Stopped && !leg.is_browser();
                    leg.out_of_reach = flow.incoming == Heard::Unreachable;
                    leg.silent = stopped || leg.out_of_reach || flow.incoming == Heard::NoPacketsYet;
                    leg.on_hold = flow.incoming == Heard::OnHold;
                };
                self.judge_loss(leg, judge).await;
                self.judge_holding(leg, &flow).await;
            }
            WorkerEventKind::MediaTimeout => {
                if self.call.is_party(leg) {
                    let after = self.shared.config.media_timeout.unwrap_or_default();
                    tracing::warn!(call = %self.id, %leg, ?role, ?after, "no media from a leg within the time-out: the leg is dead");
                    self.shared.tell(Some(self.id), EventKind::MediaTimeout { leg, role, after });
                }
                // Not `Gone`: the leg's signalling may be alive, and has to be ended.
                self.handle(Input::MediaDead(leg)).await;
            }
            WorkerEventKind::Failed(why) => {
                // Until the answer chooses the media, a failure of the browser's half does not end the leg.
                tracing::warn!(call = %self.id, %leg, why, "media failed");
                let (is_agreed, may_come_back) = (of.codec.is_some(), of.may_come_back());
                if is_agreed && self.call.is_talking() && may_come_back {
                    self.handle(Input::Lost(leg)).await;
                } else if is_agreed {
                    self.handle(Input::MediaGone(leg)).await;
                }
            }
            WorkerEventKind::ActiveSpeaker { active, .. } => {
                self.shared.tell(Some(self.id), EventKind::ActiveSpeaker { leg, role, active });
            }
            WorkerEventKind::PlayDone { segment } => {
                if !self.on_play_done(event.leg, segment)
                    && let Some(translation) = &self.translation
                {
                    translation.played(side(role), segment);
                }
            }
            WorkerEventKind::Connected | WorkerEventKind::FirstPacket => {}
        }
    }

    /// Takes the last report of a leg that was forgotten.
    fn on_media_of_closing_leg(&mut self, event: WorkerEvent) {
        let WorkerEventKind::Closed(quality) = event.kind else { return };
        let Some(at) = self.closing.iter().position(|leg| leg.owns(event.leg)) else { return };
        let ClosingLeg { id: leg, role, .. } = self.closing[at];
        self.shared.tell(Some(self.id), EventKind::LegQuality { leg, role, quality });
        self.closing[at].open -= 1;
        if self.closing[at].open == 0 {
            self.closing.swap_remove(at);
        }
    }

    fn tell_last_quality(&self, leg: LegId, role: LegRole, quality: LegQuality) {
        let repeated = quality.packets_repeated;
        if repeated > 0 {
            tracing::info!(call = %self.id, %leg, repeated, "duplicate packets were dropped");
        }
        self.shared.tell(Some(self.id), EventKind::LegQuality { leg, role, quality });
    }

    async fn handle(&mut self, input: Input) {
        self.pending.push_back(input);
        self.settle().await;
    }

    /// Gives the pending inputs to the machine, including those that arise when effects fail at once.
    async fn settle(&mut self) {
        while let Some(input) = self.pending.pop_front() {
            let now = clock::now();
            let captured = self.capture.is_some().then(|| input.clone());
            let effects = self.call.handle(input, now);
            if let (Some(capture), Some(input)) = (&mut self.capture, captured) {
                capture.note(now, Happened::Took { input, effects: effects.clone() });
            }
            self.carry_out(effects).await;
        }
    }

    async fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Ask { leg, by, to } => self.ask(leg, by, &to),
                Effect::Ring(leg, to) => self.ring(leg, to).await,
                Effect::Await(leg) => {
                    if let Some(fetching) = &mut self.fetching {
                        fetching.heir = Some(leg);
                    }
                }
                Effect::Alert(leg) => {
                    if let Some(dialog) = self.dialog(leg) {
                        self.signals().alert(dialog);
                    }
                }
                Effect::AnswerEarly(leg) => self.answer_early(leg).await,
                Effect::Answer(leg) => self.answer(leg).await,
                Effect::HangUp { leg, stage, cause } => {
                    if let Some((dialog, q850)) = self.leg(leg).and_then(|leg| Some((leg.dialog?, leg.q850()))) {
                        self.signals().hang_up(dialog, stage, (&cause, q850), self.words_for(leg, &cause));
                    }
                }
                Effect::Ended(leg, ending) => {
                    self.judge_ending(leg, &ending);
                    if let Some(leg) = self.leg_mut(leg) {
                        leg.ending = Some(ending);
                    }
                }
                Effect::Retire(leg) => self.retire(leg),
                Effect::Forget(leg) => self.forget(leg),
                Effect::Give(leg) => self.give(leg).await,
                Effect::Hearing(topology) => self.hear(topology),
                Effect::Record(recorded) => self.on_record(recorded),
                Effect::Notify(legs) => self.notify(&legs),
                Effect::Tell(notice) => self.tell_notice(notice),
            }
        }
    }

    fn tell_notice(&mut self, notice: Notice) {
        match notice {
            Notice::Ringing => self.tell_status(CallStatus::Ringing, None),
            Notice::EarlyMedia => self.listen(),
            Notice::Answered => {
                self.tell_status(CallStatus::Answered, None);
                self.listen();
            }
            Notice::Bridged => {
                self.tell_status(CallStatus::Bridged, None);
                self.listen();
                self.begin_program();
            }
            Notice::Screened(leg) => self.begin_screening(leg),
            Notice::WithProgram(_) => {
                self.settings.program = self.next_program.take();
                self.begin_program();
            }
            Notice::Transfer { by, role, heir, state } => self.tell_transfer((by, role), heir, &state),
            Notice::Undecided(None) => {
                tracing::warn!(call = %self.id, "no decision within 2 s: the call proceeds without recording or translation");
            }
            Notice::Undecided(Some(leg)) => {
                metrics::counter!("tandem_legs_undecided_total").increment(1);
                tracing::warn!(call = %self.id, %leg, "no decision on a transfer's leg within 2 s");
            }
            Notice::Lost(leg) => {
                tracing::info!(call = %self.id, %leg, "a leg is lost: its partner waits for it");
            }
            Notice::Seat { leg, role, held, muted, holds, gain_db, supervises } => {
                self.change_gain(leg, gain_db);
                self.show_hold(leg);
                self.shared
                    .tell(Some(self.id), EventKind::LegSeat { leg, role, held, muted, holds, gain_db, supervises });
            }
            Notice::Parked { leg, wait, .. } => {
                self.show_hold(leg);
                self.tell_parked(leg, wait);
            }
            Notice::Unparked { leg, why } => {
                self.show_hold(leg);
                self.tell_unparked(leg, why);
            }
            Notice::TooLong => {
                let most = self.shared.config.max_call.unwrap_or_default();
                tracing::warn!(call = %self.id, max_call_s = most.as_secs(), "the call has reached its maximum duration and ends");
                metrics::counter!("tandem_calls_ended_by_length_total").increment(1);
            }
            Notice::Over { cause, answered } => self.over = Some((cause, answered)),
        }
    }

    fn tell_status(&self, status: CallStatus, cause: Option<HangupCause>) {
        self.shared.tell(Some(self.id), EventKind::CallStatus { status, cause });
    }

    fn tell_leg(&self, leg: LegId, state: LegState) {
        if let Some(leg) = self.leg(leg) {
            self.tell_leg_of(leg, state);
        }
    }

    fn tell_leg_of(&self, leg: &Leg, state: LegState) {
        let Leg { id, role, peer, codec, .. } = leg;
        let agent = leg.agent().map(str::to_owned);
        let ending = leg.ending.clone().filter(|_| state == LegState::Ended);
        let (leg, role, peer, codec) = (*id, *role, peer.clone(), *codec);
        self.shared.tell(Some(self.id), EventKind::Leg { leg, role, state, peer, agent, codec, ending });
    }

    fn signals(&self) -> Signals<'_> {
        Signals::of(&self.shared, self.id)
    }

    fn media_command(&self, command: impl Into<WorkerRequest>) {
        if self.worker.send(command).is_err() {
            metrics::counter!("tandem_worker_commands_dropped_total").increment(1);
            tracing::error!(call = %self.id, "the media worker is overloaded: a command was lost");
        }
    }

    fn leg(&self, id: LegId) -> Option<&Leg> {
        self.legs.iter().find(|leg| leg.id == id)
    }

    fn leg_mut(&mut self, id: LegId) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|leg| leg.id == id)
    }

    /// Returns a leg, with everything that is needed to make its media.
    fn with_leg(&mut self, id: LegId) -> Option<(&mut Leg, Rooms)> {
        let rooms = Rooms { shared: self.shared.clone(), worker: self.worker.clone(), events: self.media_in.clone() };
        Some((self.leg_mut(id)?, rooms))
    }

    fn dialog(&self, leg: LegId) -> Option<DialogId> {
        self.leg(leg)?.dialog
    }

    fn leg_of_dialog(&self, dialog: DialogId) -> Option<LegId> {
        self.legs.iter().find(|leg| leg.dialog == Some(dialog)).map(|leg| leg.id)
    }

    /// Returns the leg that this one talks with, or will talk with.
    fn partner(&self, leg: LegId) -> Option<&Leg> {
        self.call.partner(leg).and_then(|partner| self.leg(partner))
    }

    /// Labels a dialog with its leg, so that its messages can be shown with the call.
    fn name_dialog(&self, leg: &Leg) {
        let Leg { id, role, peer, dialog, .. } = leg;
        if let Some(dialog) = *dialog {
            let label = TraceLabel { call: self.id, leg: *id, role: role.as_str(), peer: peer.clone() };
            self.shared.sip.label(dialog, label);
        }
    }
}

/// Everything that is needed to make a leg's media.
struct Rooms {
    shared: Arc<Shared>,
    worker: Worker,
    events: mpsc::Sender<WorkerEvent>,
}

/// Starts the capture of a call, if calls are captured.
fn begin_capture(shared: &Shared, call: CallId, begins: &Start, how: impl FnOnce() -> Happened) -> Option<CallCapture> {
    shared.captures.as_ref().map(|captures| captures.begin(call, begins.now, how()))
}

/// Returns the ids, time-outs and start time for a new call's machine.
fn start(shared: &Shared) -> Start {
    let timing = Timing {
        decision: DECISION,
        ring: shared.config.ring_timeout,
        ring_first: None,
        ring_second: None,
        lost: LOST,
        leave: LEAVE,
        goodbye: BYE_AFTER_MEDIA,
        longest: shared.config.max_call,
    };
    Start { legs: shared.new_legs(LEGS), timing, now: clock::now() }
}

impl Drop for CallTask {
    /// Closes the media of a task that ends early, by a panic or with the runtime.
    fn drop(&mut self) {
        for leg in &mut self.legs {
            leg.close_media(&self.worker);
        }
    }
}

async fn next_translation(translation: &mut Option<Translation>) -> FromTranslation {
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
