//! Commands of the control plane to the engine, and their replies.
//!
//! A command travels in an [`Envelope`] through the engine's inbox to the switchboard, which answers it, or hands it to the task
//! of the call that it names. A [`Verb`] is an action on a running call or on one of its legs. A [`ProgramRequest`] goes the
//! other way: a call program asks the control plane for what the engine does not have.
//!
//! Invariants: every command is answered exactly once; a full inbox refuses a command at once, except [`Command::Drain`] and
//! [`Command::Shutdown`], which wait. Not here: events ([`super::EventKind`]) and the checks of rights.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use codecs::SampleRate;
use tokio::sync::{mpsc, oneshot};

use super::amd::AmdSettings;
use super::parking::ParkedCall;
use super::prompt::{GatherId, NewGather, PlayId, Sound};
use crate::call::script::FetchFailure;
use crate::call::{IfFails, SuperviseMode};
use crate::config::App;
use crate::error::HangupCause;
use crate::sip::{CallTrace, TrunkStatus};
use crate::translate::glossary::Glossary;
use crate::translate::schedule::BUDGET;
use crate::translate::{Hears, Listener, ListenerPatch};
use crate::units::{CallId, Group, LegId};

/// Handle to the running engine; all clones refer to the same engine.
#[derive(Clone, Debug)]
pub struct Engine {
    inbox: mpsc::Sender<Envelope>,
}

/// A command and the channel for its reply.
#[derive(Debug)]
pub struct Envelope {
    /// Command that the engine carries out.
    pub command: Command,
    /// Channel for the reply, which is sent exactly once.
    pub reply: oneshot::Sender<Result<Reply, CommandError>>,
    /// Span in which the command was sent, such as a request's. What the engine logs of the command, and all that it logs of a call
    /// that the command creates, is in this span too.
    pub span: tracing::Span,
}

/// Settings of one call: treatment of its audio and rights of its parties. The control plane decides them for each call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallSettings {
    /// Recognise and translate the speech of both sides, and show the text.
    pub live_translate: bool,
    /// Recognise speech without translating it.
    pub transcribe: bool,
    /// Customer's language, BCP 47 (`en`).
    pub translate_from: String,
    /// Agent's language, BCP 47 (`es`).
    pub translate_to: String,
    /// What the customer and the agent hear of each other when the call is translated.
    pub hears: [Hears; 2],
    /// Highest lateness of a translated clause that is spoken.
    pub budget: Duration,
    /// Terms and names of the organization, for recognisers and translators.
    pub glossary: Arc<Glossary>,
    /// Record both legs.
    pub record: bool,
    /// Record also what each leg hears, on channels of its own.
    pub record_heard: bool,
    /// Let the application `record` make a recording; otherwise it only answers.
    pub record_app: bool,
    /// Let the application `amd` tell its caller what answered; otherwise its calls pass unscreened.
    pub amd_app: bool,
    /// Let parties transfer the call by REFER; otherwise they are refused with 403. Emergency numbers are always allowed.
    pub transfer: bool,
    /// Group whose agents the call may reach; `None`: it may reach no agents.
    pub group: Option<Group>,
    /// Identity that an agent's own outside call shows; `None`: the trunk's identity, or none (RFC 3323).
    pub from: Option<String>,
    /// Program that the first leg is connected with, regardless of the call's own plan.
    pub program: Option<Box<CallProgram>>,
    /// Detection of what answers the customers that the call dials; `None`: nothing is detected.
    pub amd: Option<Box<AmdSettings>>,
}

impl Default for CallSettings {
    /// Everything is off: no audio leaves the engine, and no party may transfer the call.
    fn default() -> Self {
        CallSettings {
            live_translate: false,
            transcribe: false,
            translate_from: "en".into(),
            translate_to: "es".into(),
            hears: [Hears::Original; 2],
            budget: BUDGET,
            glossary: Arc::default(),
            record: false,
            record_heard: false,
            record_app: false,
            amd_app: false,
            transfer: false,
            group: None,
            from: None,
            program: None,
            amd: None,
        }
    }
}

/// A program for a call, and the host that serves its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallProgram {
    /// Program, fallback, variables and limits that the script starts with.
    pub start: crate::call::script::Start,
    /// Host that is asked for everything that the engine does not have.
    pub host: ProgramHost,
}

/// Request channel to the host that provides what a call's program needs besides the call. The receiver is closed when the call
/// has ended.
#[derive(Clone, Debug)]
pub struct ProgramHost(mpsc::Sender<ProgramRequest>);

impl ProgramHost {
    /// Capacity of the request channel.
    const REQUESTS: usize = 16;

    /// Returns the host of one call's program, and the receiver of its requests.
    pub fn channel() -> (ProgramHost, mpsc::Receiver<ProgramRequest>) {
        let (requests, asked) = mpsc::channel(ProgramHost::REQUESTS);
        (ProgramHost(requests), asked)
    }

    /// Sends a request and returns its answer; `None`: there is no answer.
    pub(super) async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> ProgramRequest) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.0.send(question(reply)).await.ok()?;
        answer.await.ok()
    }
}

impl PartialEq for ProgramHost {
    fn eq(&self, other: &ProgramHost) -> bool {
        self.0.same_channel(&other.0)
    }
}

impl Eq for ProgramHost {}

/// A request of a call's program. When the answer is no longer wanted, `reply` is closed.
#[derive(Debug)]
pub enum ProgramRequest {
    /// The samples of a file in the organization's media store; `None`: the file does not exist.
    Media {
        /// Name of the media file.
        name: String,
        /// Channel for the sample rate and the samples.
        reply: oneshot::Sender<Option<(SampleRate, Arc<[i16]>)>>,
    },
    /// The identity that is shown to a number or URI that the program calls.
    Identity {
        /// Identity that the program asks for; `None`: the identity that any call shows.
        from: Option<String>,
        /// Number or URI that is called.
        to: String,
        /// Channel for the identity; `None`: no identity of our own. [`HangupCause`]: the identity may not be shown.
        reply: oneshot::Sender<Result<Option<String>, HangupCause>>,
    },
    /// The next program, fetched from a server.
    Fetch {
        /// URL of the program.
        url: String,
        /// Fields that are sent as a JSON object.
        payload: BTreeMap<String, String>,
        /// Channel for the whole body of the answer.
        reply: oneshot::Sender<Result<Vec<u8>, FetchFailure>>,
    },
}

/// A call that the engine is to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCall {
    /// Id of the call: a fresh UUID.
    pub call: CallId,
    /// Target that is called first.
    pub first: CallTarget,
    /// Target that is called once the first has answered, and is joined with it; `None`: the first is left with `app`, or with
    /// silence.
    pub second: Option<CallTarget>,
    /// Application that the first leg is connected with when no second target is called.
    pub app: Option<App>,
    /// Treatment of the audio: recording, transcription and translation.
    pub settings: CallSettings,
}

/// A target of a new call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallTarget {
    /// Agent, browser, number or URI that is called.
    pub to: Callee,
    /// Name of the trunk that carries the call; `None`: the one that the URI's host names, else the first. Emergency numbers
    /// always use their own trunk, and only a number can be given a trunk.
    pub trunk: Option<String>,
    /// Caller identity that is shown outside; `None`: the trunk's own, or none.
    pub from: Option<String>,
    /// Maximum ring time; `None`: the default of every leg.
    pub ring: Option<Duration>,
}

impl CallTarget {
    /// Creates a target with the default trunk, identity and ring time.
    pub fn new(to: Callee) -> CallTarget {
        CallTarget { to, trunk: None, from: None, ring: None }
    }
}

/// A command of the control plane.
#[derive(Debug)]
pub enum Command {
    /// Starts a call from the engine.
    CallCreate(Box<NewCall>),
    /// Lets an announced incoming call (`EventKind::CallIncoming`) proceed with these settings.
    CallProceed {
        /// Id of the announced call.
        call: CallId,
        /// Treatment of the audio: recording, transcription and translation.
        settings: CallSettings,
    },
    /// Lets the engine call a leg that a transfer wants (`EventKind::LegWanted`).
    LegProceed {
        /// Call that the leg belongs to.
        call: CallId,
        /// Leg that may be called.
        leg: LegId,
        /// Caller identity that is shown outside; `None`: the trunk's own, or none.
        from: Option<String>,
    },
    /// Refuses a leg that a transfer wants: the transfer fails, and the call continues.
    LegReject {
        /// Call that the leg belongs to.
        call: CallId,
        /// Leg that is refused.
        leg: LegId,
        /// Cause that is reported to the transferor.
        cause: HangupCause,
    },
    /// Refuses an announced incoming call.
    CallReject {
        /// Id of the announced call.
        call: CallId,
        /// Cause that is reported to the caller.
        cause: HangupCause,
    },
    /// Ends a call. A call that has already ended is `NotFound`.
    CallHangup {
        /// Call to end.
        call: CallId,
    },
    /// Translates `text` from the agent's language and speaks it to the customer.
    CallSay {
        /// Call whose customer hears the text.
        call: CallId,
        /// Text that the agent typed, at most 1,000 characters.
        text: String,
    },
    /// Plays these samples to waiting parties of a call instead of the soft tone; requested by `EventKind::MusicWanted`.
    CallMusic {
        /// Call whose parties hear the music.
        call: CallId,
        /// Sample rate of the music.
        rate: SampleRate,
        /// Mono samples, not empty; played in a loop.
        samples: Arc<[i16]>,
    },
    /// Does something with a running call or with one of its legs; the call's task answers once the state has changed.
    CallVerb {
        /// Call that the verb applies to.
        call: CallId,
        /// Action on the call.
        verb: Verb,
    },
    /// Lets a user register and call by SIP with this password until it expires. Several passwords of one user may be valid at
    /// once.
    CredentialSet {
        /// SIP user name: user part of the address of record and digest user name.
        user: String,
        /// Password in clear text.
        password: String,
        /// Validity, counted from now.
        valid_for: Duration,
        /// Group of the user. A user who moves to another group loses all earlier passwords and registrations.
        group: Option<Group>,
    },
    /// Ends all SIP passwords and registrations of a user; answered when no request of that user outside dialogs is accepted any
    /// more. Running calls continue.
    CredentialEnd {
        /// SIP user name.
        user: String,
    },
    /// Takes over a WebSocket that the HTTP server upgraded with the subprotocol `sip`.
    SipConnection(crate::sip_io::WsConnection),
    /// Refuses new calls from now on, and ends registrations at trunks; answered when the last running call has ended.
    Drain,
    /// Calls an agent for the party that is parked in a slot; answered by [`Reply::PickedUp`] when the agent is being called. An
    /// empty slot is `NotFound`; a slot that is already being picked up is a `Conflict`.
    PickUp {
        /// Group that the slot belongs to.
        group: Group,
        /// Number of the slot, one of [`super::SLOTS`].
        slot: u16,
        /// The agent's SIP user name.
        agent: String,
        /// Maximum ring time of the agent's telephone; `None`: the default of every leg.
        ring: Option<Duration>,
    },
    /// Lists the parked calls of a group; answered by [`Reply::ParkedCalls`].
    ParkedCalls {
        /// Group whose parked calls are listed.
        group: Group,
    },
    /// Reports the state of all trunks; answered by [`Reply::Trunks`].
    Trunks,
    /// Lists the running calls; answered by [`Reply::Calls`].
    Calls,
    /// Returns the SIP messages of a running or recent call; answered by [`Reply::Trace`].
    Trace {
        /// Call whose messages are returned.
        call: CallId,
    },
    /// Ends every call with cause `Shutdown` and stops the engine; answered when everything is closed.
    Shutdown,
}

/// An action of a user or program on a running call. An action that the call's state does not allow is refused with
/// [`CommandError::Conflict`], an unknown leg with [`CommandError::NoLeg`], an unknown recording with
/// [`CommandError::NoRecording`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Dials a new leg into the call; answered by [`Reply::Leg`] when the leg is being called. `EventKind::Leg` reports what
    /// becomes of it.
    LegAdd(NewLeg),
    /// Hangs up a leg, or stops calling it. The call continues while two others talk, and ends otherwise.
    LegDrop {
        /// Leg that is dropped.
        leg: LegId,
    },
    /// Puts a leg on hold with music, or takes it off hold. Repeating either is not an error.
    Hold {
        /// Leg that is held.
        leg: LegId,
        /// Hold (`true`) or resume (`false`).
        on: bool,
    },
    /// Mutes a leg for the others, or unmutes it. Repeating either is not an error.
    Mute {
        /// Leg that is muted.
        leg: LegId,
        /// Mute (`true`) or unmute (`false`).
        on: bool,
    },
    /// Sends DTMF keys to a leg, one after the other.
    SendDtmf {
        /// Leg that receives the keys.
        leg: LegId,
        /// 1 to [`DTMF_MAX`] of 0-9, *, #, A-D; `,` is a pause of half a second.
        digits: String,
    },
    /// Joins the partner of a leg with a new leg that takes this leg's place. The targets are called in turn until one answers.
    /// `EventKind::Transfer` reports the result.
    Transfer {
        /// Leg that is replaced.
        leg: LegId,
        /// Targets, 1 to [`crate::call::TARGETS_MAX`].
        to: Vec<VerbTarget>,
        /// Ring time of targets that have none of their own; `None`: the default of every leg.
        ring: Option<Duration>,
        /// Consequence when no target answers.
        if_fails: IfFails,
        /// Program for [`IfFails::Program`].
        program: Option<Box<CallProgram>>,
    },
    /// Makes a leg louder or softer for the others.
    Gain {
        /// Leg whose volume changes.
        leg: LegId,
        /// Gain in decibels, within [`crate::call::GAIN_DB`].
        db: i8,
    },
    /// Plays a sound to a leg or to everybody in the conversation; answered by [`Reply::Play`] once it is about to be heard.
    /// `EventKind::Play` reports its progress.
    Play {
        /// Leg that hears the sound; `None`: every leg in the conversation or with an application.
        leg: Option<LegId>,
        /// Sound that is played.
        sound: Sound,
    },
    /// Stops the named play or collection, or everything if neither is named.
    Stop {
        /// Play to stop.
        play: Option<PlayId>,
        /// Collection of digits to stop.
        gather: Option<GatherId>,
    },
    /// Collects digits that a leg's party presses; answered by [`Reply::Gather`]. `EventKind::Gathered` reports the digits.
    Gather {
        /// Leg whose keys are collected.
        leg: LegId,
        /// Rules of the collection, and the prompt before it.
        gather: NewGather,
    },
    /// Starts a recording; answered by [`Reply::Recording`]. `EventKind::Recording` reports its progress.
    Record {
        /// Leg that is recorded; `None`: all legs.
        leg: Option<LegId>,
        /// Whether what the legs hear is recorded beside what they say; `None`: [`CallSettings::record_heard`].
        heard: Option<bool>,
    },
    /// Pauses or resumes a recording. Repeating either is not an error.
    RecordPause {
        /// Number of the recording in the call.
        number: u32,
        /// Pause (`true`) or resume (`false`).
        on: bool,
    },
    /// Ends a recording.
    RecordStop {
        /// Number of the recording in the call.
        number: u32,
    },
    /// Hangs up a leg and parks the one party that it talks with, which hears music until it is picked up; answered by
    /// [`Reply::Parked`].
    Park {
        /// Leg whose party parks the other party.
        leg: LegId,
        /// Slot, waiting time and what follows.
        park: Park,
    },
    /// Calls an agent for the party that is parked in this slot; [`Command::PickUp`] finds the call.
    PickUp {
        /// Number of the slot, one of [`super::SLOTS`].
        slot: u16,
        /// The agent's SIP user name.
        agent: String,
        /// Maximum ring time of the agent's telephone; `None`: the default of every leg.
        ring: Option<Duration>,
    },
    /// Changes how the customer and the agent of a translated call listen; answered by [`Reply::Listening`]. Empty patches change
    /// nothing. `EventKind::Listening` reports each change.
    Listening([ListenerPatch; 2]),
    /// Changes how a supervisor takes part in the call.
    Supervise {
        /// Leg of the supervisor.
        leg: LegId,
        /// New mode of the supervisor.
        mode: SuperviseMode,
    },
}

/// How a party is parked: slot, waiting time and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Park {
    /// Slot, one of [`super::SLOTS`]; `None`: the lowest free slot.
    pub slot: Option<u16>,
    /// Longest waiting time of the party.
    pub wait: Duration,
    /// After that time, call the agent who parked the party; otherwise, or if there is no such agent, the call ends.
    pub back: bool,
}

/// Maximum number of keys and pauses in one [`Verb::SendDtmf`].
pub const DTMF_MAX: usize = 64;

/// A leg that is to be dialled into a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLeg {
    /// Agent, browser, number or URI that is called first.
    pub to: Callee,
    /// Supervision mode; `None`: the leg takes part in the conversation.
    pub supervises: Option<SuperviseMode>,
    /// Caller identity that is shown outside; `None`: the trunk's own, or none.
    pub from: Option<String>,
    /// Maximum ring time; `None`: the default of every leg.
    pub ring: Option<Duration>,
    /// Targets that are called in turn when `to` does not answer, at most [`crate::call::TARGETS_MAX`].
    pub or_else: Vec<VerbTarget>,
    /// Consequence when no target answers.
    pub if_fails: IfFails,
    /// Play a short tone to the parties when the leg begins to supervise them, and every minute after that.
    pub notice: bool,
}

/// A target that a verb calls in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerbTarget {
    /// Agent, browser, number or URI that is called.
    pub to: Callee,
    /// Maximum ring time; `None`: that of the other targets.
    pub ring: Option<Duration>,
}

/// Callee of a verb or of a new call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callee {
    /// An agent, by SIP user name.
    Agent(String),
    /// Only an agent's browsers, by SIP user name; the agent's other telephones do not ring.
    Browser(String),
    /// A number, or a `sip:`, `sips:` or `tel:` URI.
    Number(String),
}

/// Successful answer to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The command was carried out; there is nothing to report.
    Done,
    /// State of every trunk, in the order of the configuration.
    Trunks(Vec<TrunkStatus>),
    /// Every call whose end has not been reported yet, in no particular order.
    Calls(Vec<CallId>),
    /// A call's SIP messages, without secrets.
    Trace(Box<CallTrace>),
    /// Leg that a verb has created.
    Leg(LegId),
    /// The leg that was parked, and its slot.
    Parked {
        /// Leg of the parked party.
        leg: LegId,
        /// Slot that the party is parked in.
        slot: u16,
    },
    /// The parked call that an agent is called into.
    PickedUp {
        /// Id of the parked call.
        call: CallId,
        /// Leg of the agent who is called.
        leg: LegId,
    },
    /// Parked calls, in the order of their slots.
    ParkedCalls(Vec<ParkedCall>),
    /// Play that a verb has started.
    Play(PlayId),
    /// Collection that a verb has started, and the prompt that is played before it.
    Gather(GatherId, Option<PlayId>),
    /// Number of the recording that a verb has started.
    Recording(u32),
    /// How the customer and the agent listen.
    Listening([Listener; 2]),
}

/// Why a command was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No call with this id is running.
    #[error("no such call is running")]
    NotFound,
    /// The call has no such leg.
    #[error("the call has no such leg")]
    NoLeg,
    /// The call has no running recording with this number.
    #[error("the call has no such running recording")]
    NoRecording,
    /// The command does not fit the call's state or settings; the text gives the reason.
    #[error("{0}")]
    Conflict(String),
    /// The number may not be called; the text gives the reason.
    #[error("{0}")]
    Forbidden(String),
    /// A field has an invalid value.
    #[error("{field}: {problem}")]
    Invalid {
        /// Name of the field in the API request.
        field: &'static str,
        /// Description of the fault and of the expected value.
        problem: String,
    },
    /// The engine refuses new work because it is draining or its inbox is full; try again later.
    #[error("the engine takes no new work now: {0}")]
    Busy(&'static str),
    /// The engine has stopped.
    #[error("the engine has stopped")]
    Stopped,
}

impl Engine {
    /// Creates a handle and the inbox that it fills, with room for `capacity` commands.
    ///
    /// [`start`](super::start) creates this pair for the engine; tests of the control plane create it to answer commands
    /// themselves.
    pub fn pair(capacity: usize) -> (Engine, mpsc::Receiver<Envelope>) {
        let (inbox, envelopes) = mpsc::channel(capacity);
        (Engine { inbox }, envelopes)
    }

    /// Sends a command and waits for its reply. [`Command::Drain`] and [`Command::Shutdown`] wait for room in the inbox, because
    /// they must get through however busy the engine is; their callers set a limit of their own. Other commands do not wait.
    ///
    /// # Errors
    /// [`CommandError::Busy`] when the inbox is full: try again later. [`CommandError::Stopped`] when the engine has stopped.
    /// Otherwise the reason why the command was refused.
    pub async fn command(&self, command: Command) -> Result<Reply, CommandError> {
        let (reply, answer) = oneshot::channel();
        let envelope = Envelope { command, reply, span: tracing::Span::current() };
        match &envelope.command {
            Command::Drain | Command::Shutdown => {
                self.inbox.send(envelope).await.map_err(|_| CommandError::Stopped)?;
            }
            _ => self.inbox.try_send(envelope).map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => CommandError::Busy("too many commands are waiting"),
                mpsc::error::TrySendError::Closed(_) => CommandError::Stopped,
            })?,
        }
        answer.await.unwrap_or(Err(CommandError::Stopped))
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[tokio::test]
    async fn drain_and_shutdown_wait_for_room_in_a_full_inbox() {
        for command in [Command::Drain, Command::Shutdown] {
            let mut context = Context::from_waker(Waker::noop());
            let (engine, mut inbox) = Engine::pair(1);
            let mut waiting = pin!(engine.command(Command::Trunks));
            assert!(waiting.as_mut().poll(&mut context).is_pending(), "the command fills the inbox");
            assert!(matches!(engine.command(Command::Trunks).await, Err(CommandError::Busy(_))));
            let mut ordered = pin!(engine.command(command));
            assert!(ordered.as_mut().poll(&mut context).is_pending(), "the command waits for room in the inbox");
            assert!(matches!(inbox.recv().await.unwrap().command, Command::Trunks));
            assert!(
                ordered.as_mut().poll(&mut context).is_pending(),
                "the command is in the inbox and waits for its reply"
            );
            inbox.recv().await.unwrap().reply.send(Ok(Reply::Done)).unwrap();
            assert!(matches!(ordered.await, Ok(Reply::Done)));
        }
    }
}
