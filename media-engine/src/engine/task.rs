//! One call's task: carries out the effects of `call::transition`.
//!
//! Not here: session descriptions of its legs (`answers`).

mod answers;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use codecs::SampleRate;
use tokio::sync::{mpsc, oneshot};

use super::Shared;
use super::command::{CallSettings, CommandError, Reply};
use super::consumers::{self, FromTranslation, Translation};
use super::dial::{self, Incoming, Outgoing};
use super::event::{CallStatus, EventKind, LegRole, LegState, RecordingState};
use super::leg::Leg;
use crate::call::{Call, Destination, Effect, Input, Side};
use crate::config::App;
use crate::error::HangupCause;
use crate::net::clock;
use crate::record_io::Recording;
use crate::sdp::Codec;
use crate::sip::{DialogId, SipCommand, SipEvent, TraceLabel};
use crate::units::{CallId, mask};
use crate::worker::{LegQuality, Worker, WorkerCommand, WorkerEvent, WorkerEventKind};

/// How long the control plane may take to decide on an announced call.
const DECISION: Duration = Duration::from_secs(2);
/// How long the worker may take to close legs.
const CLOSING: Duration = Duration::from_millis(500);
/// A browser that hangs up closes its media first: its BYE is given this long.
const BYE_AFTER_MEDIA: Duration = Duration::from_secs(1);
/// Media events that may wait for the task.
const MEDIA_EVENTS: usize = 256;

/// What the switchboard hands to a call.
#[derive(Debug)]
pub(super) enum TaskInput {
    Sip(SipEvent),
    Proceed(CallSettings),
    Refuse(HangupCause),
    Hangup(HangupCause),
    Say { text: String, reply: oneshot::Sender<Result<Reply, CommandError>> },
}

pub(super) struct CallTask {
    shared: Arc<Shared>,
    id: CallId,
    call: Call,
    settings: CallSettings,
    worker: Worker,
    first: Leg,
    second: Leg,
    /// Caller identity for legs that we dial.
    from: Option<String>,
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
    recording: Option<Recording>,
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
        let Incoming { id, call, dialog, from_user, trunk, anonymous, headers, offer } = incoming;
        let (role, other) = match trunk {
            None => (LegRole::Agent, LegRole::Customer),
            Some(_) => (LegRole::Customer, LegRole::Agent),
        };
        let mut first = Leg::new(call.leg_id(Side::First), role, from_user.clone());
        first.dialog = Some(dialog);
        first.offer = offer;
        if let Some(trunk) = shared.trunk(trunk.as_deref()) {
            first.goes_through(trunk);
        }
        let second = Leg::new(call.leg_id(Side::Second), other, String::new());
        let mut task = CallTask::new(shared, id, call, first, second, inbox_in, inbox);
        task.name_dialog(Side::First);
        task.from = Some(from_user);
        (task.anonymous, task.passed) = (anonymous, headers);
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
        let first = Leg::new(call.leg_id(Side::First), first_role, String::new());
        let second = Leg::new(call.leg_id(Side::Second), other, String::new());
        let mut task = CallTask::new(shared, id, call, first, second, inbox_in, inbox);
        task.settings = settings;
        task.from = from;
        task.first_effects = effects;
        task
    }

    fn new(
        shared: Arc<Shared>,
        id: CallId,
        call: Call,
        first: Leg,
        second: Leg,
        inbox_in: mpsc::Sender<TaskInput>,
        inbox: mpsc::Receiver<TaskInput>,
    ) -> CallTask {
        let (media_in, media) = mpsc::channel(MEDIA_EVENTS);
        let worker = shared.pool.place();
        CallTask {
            shared,
            id,
            call,
            settings: CallSettings::default(),
            worker,
            first,
            second,
            from: None,
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
        while self.over.is_none() {
            let deadline = self.deadline.map(tokio::time::Instant::from_std);
            let lost = self.lost.map(tokio::time::Instant::from_std);
            tokio::select! {
                Some(input) = self.inbox.recv() => self.on_input(input).await,
                Some(event) = self.media.recv() => self.on_media(event).await,
                Some(next) = next_translation(&mut self.translation) => self.on_translation(next),
                () = sleep_until(deadline), if deadline.is_some() => self.on_deadline().await,
                () = sleep_until(lost), if lost.is_some() => {
                    self.lost = None;
                    self.transition(Input::Hangup(HangupCause::MediaTimeout)).await;
                }
            }
        }
        self.finish().await;
    }

    async fn on_input(&mut self, input: TaskInput) {
        match input {
            TaskInput::Sip(event) => self.on_sip(event).await,
            TaskInput::Proceed(settings) => {
                self.settings = settings;
                self.proceed().await;
            }
            TaskInput::Refuse(cause) => self.transition(Input::Refuse(cause)).await,
            TaskInput::Hangup(cause) => self.transition(Input::Hangup(cause)).await,
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

    async fn on_sip(&mut self, event: SipEvent) {
        let Some(side) = event.dialog().and_then(|dialog| self.side_of_dialog(dialog)) else { return };
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
            SipEvent::Referred { dialog, refer, .. } => {
                // Calls are transferred by the control plane, not by their parties.
                tracing::info!(call = %self.id, leg = %self.leg(side).id, "transfer by REFER declined");
                self.sip(SipCommand::ReferProgress { dialog, refer, status: 603, reason: None });
            }
            SipEvent::Info { content_type, body, .. } => self.on_info(side, &content_type, &body),
            SipEvent::Ended { .. } => {
                let cause = if self.call.is_talking() { HangupCause::Normal } else { HangupCause::Cancelled };
                self.transition(Input::Gone(side, cause)).await;
            }
            _ => {}
        }
    }

    /// DTMF by SIP INFO (`application/dtmf-relay`, `application/dtmf`).
    fn on_info(&mut self, side: Side, content_type: &str, body: &str) {
        let Some((digit, duration_ms)) = dtmf_of_info(content_type, body) else { return };
        let leg = self.leg(side).id;
        self.shared.tell(Some(self.id), EventKind::Dtmf { leg, digit, duration_ms });
        if let Some(leg) = self.leg(side.other()).media().filter(|_| self.call.is_talking()) {
            self.media_command(WorkerCommand::SendDtmf { leg, digit, duration_ms });
        }
    }

    async fn on_media(&mut self, event: WorkerEvent) {
        let Some(side) = [Side::First, Side::Second].into_iter().find(|&side| self.leg(side).owns(event.leg)) else {
            return;
        };
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
            WorkerEventKind::Closed(quality) => self.tell_quality(side, quality),
            WorkerEventKind::Flow(flow) => self.shared.tell(Some(self.id), EventKind::LegFlow { leg, role, flow }),
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
                if self.leg(side).codec.is_some() {
                    self.lost.get_or_insert(clock::now() + BYE_AFTER_MEDIA);
                }
            }
            WorkerEventKind::Connected
            | WorkerEventKind::FirstPacket
            | WorkerEventKind::ActiveSpeaker { .. }
            | WorkerEventKind::PlayDone { .. } => {}
        }
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
        // Effects that failed became inputs of their own.
        while let Some(input) = self.pending.pop_front() {
            let effects = self.call.transition(input);
            self.carry_out(effects).await;
        }
    }

    async fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Dial(side, destination) => self.dial(side, destination).await,
                Effect::Alert(side) => {
                    if let Some(dialog) = self.leg(side).dialog {
                        self.sip(SipCommand::Progress { dialog, status: 180, sdp: None });
                    }
                }
                Effect::AnswerEarly(side) => self.answer_early(side).await,
                Effect::Accept(side) => self.accept(side).await,
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
                Effect::Release(side, _) => {
                    if let Some(dialog) = self.leg(side).dialog {
                        self.sip(SipCommand::Bye { dialog, reason: None });
                    }
                }
                Effect::Join => self.join(),
                Effect::Run(side, app) => self.run_app(side, app),
                Effect::ArmRingTimer => self.deadline = Some(clock::now() + self.shared.config.ring_timeout),
                Effect::DisarmRingTimer => self.deadline = None,
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

    async fn dial(&mut self, side: Side, destination: Destination) {
        let failed = |why: String, task: &mut CallTask| {
            tracing::warn!(call = %task.id, why, "a leg could not be called");
            task.pending.push_back(Input::Failed(side, HangupCause::Unreachable));
        };
        self.leg_mut(side).peer = match &destination {
            Destination::Agent(user) | Destination::Trunk { user, .. } | Destination::Emergency { user, .. } => {
                user.clone()
            }
            Destination::Uri(uri) => uri.clone(),
        };
        let shared = self.shared.clone();
        let trunk = match &destination {
            Destination::Trunk { trunk, .. } | Destination::Emergency { trunk, .. } => shared.trunk(Some(trunk)),
            _ => None,
        };
        if let Some(trunk) = trunk {
            self.leg_mut(side).goes_through(trunk);
        }
        let mut headers = self.passed.clone();
        headers.retain(|(name, _)| trunk.is_none_or(|trunk| trunk.sip.passes(name)));
        let target = match dial::target(&destination, &shared.sip).await {
            Ok(target) => target,
            Err(why) => return failed(why, self),
        };
        let prefer = self.first_offered_codec(side);
        let may_be_browser = matches!(destination, Destination::Agent(_));
        let (worker, media_in) = (self.worker.clone(), self.media_in.clone());
        self.leg_mut(side).noise = self.leg(side.other()).has_noise();
        let offers = self.leg_mut(side).make_offers(&shared, &worker, &media_in, prefer.as_ref(), may_be_browser).await;
        let (sdp, webrtc_sdp) = match offers {
            Ok(offers) => offers,
            Err(error) => return failed(error.to_string(), self),
        };
        let dialog = DialogId::outgoing();
        self.leg_mut(side).dialog = Some(dialog);
        self.shared.dialogs.insert(dialog, (self.id, self.inbox_in.clone()));
        self.name_dialog(side);
        let from_user = self.from.clone().unwrap_or_else(|| "tandem".into());
        tracing::info!(call = %self.id, leg = %self.leg(side).id, to = %mask(&self.leg(side).peer), "calling");
        self.tell_leg(side, LegState::Ringing);
        self.sip(SipCommand::Invite {
            dialog,
            target,
            from_user,
            from_display: None,
            anonymous: self.anonymous,
            headers,
            sdp,
            webrtc_sdp,
        });
    }

    /// The caller's first codec: offered first to the other leg, so that both can be relayed.
    fn first_offered_codec(&self, dialled: Side) -> Option<Codec> {
        let other = self.leg(dialled.other());
        if let Some(audio) = &other.audio {
            return Some(audio.codec);
        }
        let offer = other.offer.as_ref()?;
        let session = crate::sdp::Session::parse(offer.as_bytes()).ok()?;
        session.first_audio_codec()
    }

    fn join(&mut self) {
        if let (Some(a), Some(b)) = (self.first.media(), self.second.media()) {
            self.media_command(WorkerCommand::Bridge { a, b });
        }
    }

    fn run_app(&mut self, side: Side, app: App) {
        self.record_app = app == App::Record;
        if let Some(leg) = self.leg(side).media() {
            self.media_command(WorkerCommand::App { leg, app: Some(app) });
        }
    }

    /// Starts what the settings ask for, on the legs that are up; called again when the second leg joins.
    fn listen(&mut self) {
        if self.settings.record || self.record_app {
            self.record();
        }
        let wanted = self.settings.live_translate || self.settings.transcribe;
        if wanted && self.call.is_talking() && self.translation.is_none() && !self.record_app {
            let customer = self.leg_of(LegRole::Customer).media();
            let agent = self.leg_of(LegRole::Agent).media();
            let translation = Translation::start(&self.shared, &self.worker, &self.settings, customer, agent);
            self.translation = Some(translation);
        }
    }

    fn record(&mut self) {
        let fresh = self.recording.is_none();
        if fresh {
            let wide = [&self.first, &self.second].iter().any(|leg| leg.codec == Some("opus"));
            let rate = if wide { SampleRate::HZ_16000 } else { SampleRate::HZ_8000 };
            match consumers::record(&self.shared, self.id, rate) {
                Ok(recording) => self.recording = Some(recording),
                Err(note) => return self.tell_recording(RecordingState::Interrupted(note), 0),
            }
            self.tell_recording(RecordingState::Started, 0);
        }
        let Some(recording) = &self.recording else { return };
        for leg in [&mut self.first, &mut self.second] {
            let Some(media) = leg.media().filter(|_| !leg.recorded) else { continue };
            match consumers::record_leg(recording, &self.worker, media, leg.role) {
                Ok(()) => leg.recorded = true,
                Err(note) => tracing::error!(call = %self.id, leg = %leg.id, note, "leg is not recorded"),
            }
        }
    }

    fn tell_recording(&self, state: RecordingState, duration_ms: u64) {
        let path = self.shared.config.record_dir.join(format!("{}.wav", self.id));
        self.shared.tell(Some(self.id), EventKind::Recording { path, state, duration_ms });
    }

    /// Closes media, seals the recording, tells the last words, then the end: what the end promises is there.
    async fn finish(mut self) {
        let ended_at = clock::system_now();
        if let Some(translation) = self.translation.take() {
            for words in translation.stop().await {
                self.shared.tell(Some(self.id), EventKind::Translation(words));
            }
        }
        self.close_media().await;
        if let Some(recording) = self.recording.take() {
            let recorded = consumers::finish(recording).await;
            let state = recorded.interrupted.map_or(RecordingState::Finished, RecordingState::Interrupted);
            self.tell_recording(state, recorded.duration_ms);
        }
        for leg in [&self.first, &self.second] {
            if let Some(dialog) = leg.dialog {
                self.shared.dialogs.remove(&dialog);
                let (leg, role, peer, codec) = (leg.id, leg.role, leg.peer.clone(), leg.codec);
                self.shared.tell(Some(self.id), EventKind::Leg { leg, role, state: LegState::Ended, peer, codec });
            }
        }
        let (cause, answered) = self.over.take().unwrap_or((HangupCause::Internal, false));
        tracing::info!(call = %self.id, cause = cause.as_str(), answered, "call over");
        let status = if answered { CallStatus::Ended } else { CallStatus::Failed };
        self.shared.tell_at(ended_at, Some(self.id), EventKind::CallStatus { status, cause: Some(cause) });
    }

    async fn close_media(&mut self) {
        let mut open = self.first.close_media(&self.worker) + self.second.close_media(&self.worker);
        let deadline = tokio::time::Instant::now() + CLOSING;
        while open > 0 {
            match tokio::time::timeout_at(deadline, self.media.recv()).await {
                Ok(Some(WorkerEvent { leg, kind: WorkerEventKind::Closed(quality) })) => {
                    open -= 1;
                    let side = [Side::First, Side::Second].into_iter().find(|&side| self.leg(side).owns(leg));
                    if let Some(side) = side {
                        self.tell_quality(side, quality);
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => {
                    tracing::error!(call = %self.id, legs = open, "the worker did not report its legs closed");
                    return;
                }
            }
        }
    }

    fn tell_status(&self, status: CallStatus, cause: Option<HangupCause>) {
        self.shared.tell(Some(self.id), EventKind::CallStatus { status, cause });
    }

    fn tell_leg(&self, side: Side, state: LegState) {
        let Leg { id, role, peer, codec, .. } = self.leg(side);
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
        }
    }

    fn leg_mut(&mut self, side: Side) -> &mut Leg {
        match side {
            Side::First => &mut self.first,
            Side::Second => &mut self.second,
        }
    }

    fn leg_of(&self, role: LegRole) -> &Leg {
        if self.first.role == role { &self.first } else { &self.second }
    }

    /// Says whose the dialog of a leg is, so that its messages can be shown with the call.
    fn name_dialog(&self, side: Side) {
        let Leg { id, role, peer, dialog, .. } = self.leg(side);
        if let Some(dialog) = *dialog {
            let label = TraceLabel { call: self.id, leg: *id, role: role.as_str(), peer: peer.clone() };
            self.shared.sip.label(dialog, label);
        }
    }

    fn side_of_dialog(&self, dialog: DialogId) -> Option<Side> {
        [Side::First, Side::Second].into_iter().find(|&side| self.leg(side).dialog == Some(dialog))
    }
}

impl Drop for CallTask {
    /// A task that ends early, by a panic or with the runtime, still gives back its media.
    fn drop(&mut self) {
        self.first.close_media(&self.worker);
        self.second.close_media(&self.worker);
    }
}

/// Ends the dialogs of a call whose task panicked; its media, ports and files went with the task.
pub(super) fn clear_after_panic(shared: &Shared, id: CallId) {
    let dialogs: Vec<DialogId> =
        shared.dialogs.iter().filter(|entry| entry.value().0 == id).map(|entry| *entry.key()).collect();
    for dialog in dialogs {
        shared.dialogs.remove(&dialog);
        for command in [
            SipCommand::Reject { dialog, status: 500, reason: None },
            SipCommand::Cancel { dialog },
            SipCommand::Bye { dialog, reason: None },
        ] {
            if shared.sip.send(command).is_err() {
                tracing::error!(call = %id, "the SIP stack is overloaded: a dialog was left to its timers");
            }
        }
    }
    let cause = Some(HangupCause::Internal);
    shared.tell(Some(id), EventKind::CallStatus { status: CallStatus::Failed, cause });
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

/// The key in an INFO body: `Signal=5\r\nDuration=160` or the bare key.
fn dtmf_of_info(content_type: &str, body: &str) -> Option<(char, u32)> {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let (signal, duration) = match kind.as_str() {
        "application/dtmf-relay" => {
            let field = |name: &str| {
                body.lines().find_map(|line| {
                    let (key, value) = line.split_once('=')?;
                    key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
                })
            };
            (field("signal")?, field("duration").and_then(|text| text.parse().ok()).unwrap_or(160))
        }
        "application/dtmf" => (body.trim(), 160),
        _ => return None,
    };
    let mut characters = signal.chars();
    let digit = characters.next()?.to_ascii_uppercase();
    let known = digit.is_ascii_digit() || matches!(digit, '*' | '#' | 'A'..='D');
    (known && characters.next().is_none()).then_some((digit, duration.clamp(40, 5_000)))
}

#[cfg(test)]
mod tests {
    use super::dtmf_of_info;

    #[test]
    fn keys_are_read_from_both_forms_of_info() {
        for (kind, body, key) in [
            ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", Some(('5', 160))),
            ("application/dtmf-relay", "signal= * \nduration= 1", Some(('*', 40))),
            ("Application/DTMF-Relay; charset=utf-8", "Signal=#", Some(('#', 160))),
            ("application/dtmf", "d", Some(('D', 160))),
            ("application/dtmf", "12", None),
            ("application/dtmf-relay", "Duration=160", None),
            ("text/plain", "5", None),
        ] {
            assert_eq!(dtmf_of_info(kind, body), key, "{kind} {body:?}");
        }
    }
}
