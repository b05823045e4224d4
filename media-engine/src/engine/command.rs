//! What the control plane may ask of the engine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use codecs::SampleRate;
use tokio::sync::{mpsc, oneshot};

use super::parking::ParkedCall;
use super::prompt::{GatherId, NewGather, PlayId, Sound};
use crate::call::script::FetchFailure;
use crate::call::{IfFails, SuperviseMode};
use crate::config::App;
use crate::error::HangupCause;
use crate::sip::{CallTrace, TrunkStatus};
use crate::units::{CallId, Group, LegId};

/// Handle to the running engine; clones share it.
#[derive(Clone, Debug)]
pub struct Engine {
    inbox: mpsc::Sender<Envelope>,
}

/// A command and where its reply goes.
#[derive(Debug)]
pub struct Envelope {
    /// What is asked.
    pub command: Command,
    /// Answered exactly once.
    pub reply: oneshot::Sender<Result<Reply, CommandError>>,
}

/// What is done with a call's audio, and what its parties may do. Decided by the control plane, per call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallSettings {
    /// Recognise and translate both sides, show text.
    pub live_translate: bool,
    /// Recognise without translating.
    pub transcribe: bool,
    /// Customer's language, BCP 47 (`en`).
    pub translate_from: String,
    /// Agent's language, BCP 47 (`es`).
    pub translate_to: String,
    /// Speak translations to the other side over the ducked original.
    pub voice_to_voice: bool,
    /// Record both legs.
    pub record: bool,
    /// Let the application `record` do what it is for; else it only answers.
    pub record_app: bool,
    /// Let parties transfer the call by REFER; else they are refused with 403. Emergency numbers stay open.
    pub transfer: bool,
    /// Whose agents the call may reach; `None`: those of nobody.
    pub group: Option<Group>,
    /// Identity that an agent's own call shows outside; `None`: the trunk's own, or none (RFC 3323).
    pub from: Option<String>,
    /// What the first leg is connected with, whatever the call was for.
    pub program: Option<Box<CallProgram>>,
}

impl Default for CallSettings {
    /// Everything off: nothing leaves the engine, nobody is transferred.
    fn default() -> Self {
        CallSettings {
            live_translate: false,
            transcribe: false,
            translate_from: "en".into(),
            translate_to: "es".into(),
            voice_to_voice: false,
            record: false,
            record_app: false,
            transfer: false,
            group: None,
            from: None,
            program: None,
        }
    }
}

/// A program for a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallProgram {
    /// What is run.
    pub start: crate::call::script::Start,
    /// Who is asked for what the engine does not have.
    pub host: ProgramHost,
}

/// The way to whoever has what a call's program needs besides the call. Its far end is closed when the call has ended.
#[derive(Clone, Debug)]
pub struct ProgramHost(mpsc::Sender<ProgramRequest>);

impl ProgramHost {
    /// Requests that may wait.
    const REQUESTS: usize = 16;

    /// The host of one call's program, and what it is asked.
    pub fn channel() -> (ProgramHost, mpsc::Receiver<ProgramRequest>) {
        let (requests, asked) = mpsc::channel(ProgramHost::REQUESTS);
        (ProgramHost(requests), asked)
    }

    /// Asks; `None`: there is no answer.
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

/// What a call's program needs. A question whose answer is not wanted any more has a closed `reply`.
#[derive(Debug)]
pub enum ProgramRequest {
    /// The samples of a file of the organization's media store; `None`: there is no such file.
    Media {
        /// Its name.
        name: String,
        /// The answer.
        reply: oneshot::Sender<Option<(SampleRate, Arc<[i16]>)>>,
    },
    /// Which identity a number or URI is shown that the program calls.
    Identity {
        /// What the program wants to be shown; `None`: what is shown by any call.
        from: Option<String>,
        /// Whom it calls.
        to: String,
        /// The identity, or none of our own. [`HangupCause`]: it may not be shown.
        reply: oneshot::Sender<Result<Option<String>, HangupCause>>,
    },
    /// The next program.
    Fetch {
        /// Where it is.
        url: String,
        /// Sent as a JSON object.
        payload: BTreeMap<String, String>,
        /// The whole body of the answer.
        reply: oneshot::Sender<Result<Vec<u8>, FetchFailure>>,
    },
}

/// A call of our own that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCall {
    /// Its id: a fresh UUID.
    pub call: CallId,
    /// Who is called first.
    pub first: CallTarget,
    /// Who is called once the first has answered, and joined with it; `None`: the first is left with `app`, or with silence.
    pub second: Option<CallTarget>,
    /// What the first is connected with when nobody else is called.
    pub app: Option<App>,
    /// What is done with the audio.
    pub settings: CallSettings,
}

/// Somebody whom a new call calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallTarget {
    /// Who.
    pub to: Callee,
    /// Name of the trunk that carries it; `None`: the one that its host names, else the first. Emergency numbers go through theirs
    /// whatever this says, and only a number can be given one.
    pub trunk: Option<String>,
    /// Caller identity that it is shown outside; `None`: the trunk's own, or none.
    pub from: Option<String>,
    /// How long it may ring; `None`: as long as any leg.
    pub ring: Option<Duration>,
}

impl CallTarget {
    /// Somebody who is called as any leg is.
    pub fn new(to: Callee) -> CallTarget {
        CallTarget { to, trunk: None, from: None, ring: None }
    }
}

/// What the control plane may ask.
#[derive(Debug)]
pub enum Command {
    /// Start a call of our own.
    CallCreate(Box<NewCall>),
    /// Let an announced incoming call (`EventKind::CallIncoming`) go on, with these settings.
    CallProceed {
        /// The announced call.
        call: CallId,
        /// What is done with the audio.
        settings: CallSettings,
    },
    /// Let a leg be called that a transfer wants (`EventKind::LegWanted`).
    LegProceed {
        /// Its call.
        call: CallId,
        /// The leg.
        leg: LegId,
        /// Identity that it is shown outside; `None`: the trunk's own, or none.
        from: Option<String>,
    },
    /// Refuse a leg that a transfer wants: the transfer fails, and the call goes on.
    LegReject {
        /// Its call.
        call: CallId,
        /// The leg.
        leg: LegId,
        /// Told to the transferor.
        cause: HangupCause,
    },
    /// Refuse an announced incoming call.
    CallReject {
        /// The announced call.
        call: CallId,
        /// Told to the caller.
        cause: HangupCause,
    },
    /// End a call. Ending an ended call is `NotFound`.
    CallHangup {
        /// The call.
        call: CallId,
    },
    /// Translate `text` from the agent's language and speak it to the customer.
    CallSay {
        /// The call.
        call: CallId,
        /// What the agent typed, at most 1,000 characters.
        text: String,
    },
    /// Let a call's parties hear these samples in place of the soft tone while they wait; asked for by `EventKind::MusicWanted`.
    CallMusic {
        /// The call.
        call: CallId,
        /// Their rate.
        rate: SampleRate,
        /// Mono, not empty; heard over and over.
        samples: Arc<[i16]>,
    },
    /// Do something with a call that runs, or with one of its legs; its task answers once the state has changed.
    CallVerb {
        /// The call.
        call: CallId,
        /// What is done.
        verb: Verb,
    },
    /// Let a user register and call by SIP with this password until it expires. Several passwords of one
    /// user may be valid at once.
    CredentialSet {
        /// SIP user name: user part of the address of record and digest user name.
        user: String,
        /// Clear-text password.
        password: String,
        /// Validity from now.
        valid_for: Duration,
        /// Whose the user is. A user who becomes another group's loses all earlier passwords and registrations.
        group: Option<Group>,
    },
    /// End all SIP passwords and registrations of a user; answered when no request of that user outside dialogs is let in any
    /// more. Calls that run go on.
    CredentialEnd {
        /// SIP user name.
        user: String,
    },
    /// A WebSocket that was upgraded with subprotocol `sip` elsewhere (the HTTP server) hands its messages over.
    SipConnection(crate::sip_io::WsConnection),
    /// No new calls from now on, and no registrations at trunks; answered when the last running call has ended.
    Drain,
    /// Call an agent for the party that is parked in a slot; answered by [`Reply::PickedUp`] when the agent is being called.
    /// An empty slot is `NotFound`, one for which somebody is on the way already a `Conflict`.
    PickUp {
        /// Whose slot.
        group: Group,
        /// Which.
        slot: u16,
        /// The agent's SIP user name.
        agent: String,
        /// How long the agent's telephone may ring; `None`: as long as any leg.
        ring: Option<Duration>,
    },
    /// Which calls of a group are parked; answered by [`Reply::ParkedCalls`].
    ParkedCalls {
        /// The group.
        group: Group,
    },
    /// How trunks fare; answered by [`Reply::Trunks`].
    Trunks,
    /// Which calls run; answered by [`Reply::Calls`].
    Calls,
    /// The SIP messages of a call that runs or ran; answered by [`Reply::Trace`].
    Trace {
        /// The call.
        call: CallId,
    },
    /// End every call with this cause and stop; answered when all is closed.
    Shutdown,
}

/// What people and programs may do with a call that runs. What its state does not allow is a [`CommandError::Conflict`], a leg that it
/// does not have [`CommandError::NoLeg`], a recording [`CommandError::NoRecording`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Dial somebody into the call; answered by [`Reply::Leg`] when the leg is being called. Its fate is told by
    /// `EventKind::Leg`.
    LegAdd(NewLeg),
    /// Hang up a leg, or stop calling it. The call goes on while two others talk, and ends otherwise.
    LegDrop {
        /// The leg.
        leg: LegId,
    },
    /// Set a leg aside with music, or take it back. Setting it twice is no error.
    Hold {
        /// The leg.
        leg: LegId,
        /// On or off.
        on: bool,
    },
    /// Let others hear silence instead of a leg, or hear it again. Setting it twice is no error.
    Mute {
        /// The leg.
        leg: LegId,
        /// On or off.
        on: bool,
    },
    /// Press keys towards a leg, one after the other.
    SendDtmf {
        /// The leg that hears them.
        leg: LegId,
        /// 1 to [`DTMF_MAX`] of 0-9, *, #, A-D; `,` is a pause of half a second.
        digits: String,
    },
    /// Join the partner of a leg with somebody else in its place. The targets are called in turn until one answers. Its fate is told by `EventKind::Transfer`.
    Transfer {
        /// The leg whose place it is.
        leg: LegId,
        /// Who is called, 1 to [`crate::call::TARGETS_MAX`].
        to: Vec<VerbTarget>,
        /// How long each may ring that says nothing else; `None`: as long as any leg.
        ring: Option<Duration>,
        /// What follows when none of them answers.
        if_fails: IfFails,
        /// The program of [`IfFails::Program`].
        program: Option<Box<CallProgram>>,
    },
    /// Let the others hear a leg louder or softer.
    Gain {
        /// The leg.
        leg: LegId,
        /// One of [`crate::call::GAIN_DB`].
        db: i8,
    },
    /// Let a leg, or everybody in the conversation, hear something; answered by [`Reply::Play`] once it is to be heard. Its fate is told
    /// by `EventKind::Play`.
    Play {
        /// The leg; `None`: everybody who takes part, and whoever is with an application.
        leg: Option<LegId>,
        /// What.
        sound: Sound,
    },
    /// Cut short what is played and collected: what is named, or everything.
    Stop {
        /// A play.
        play: Option<PlayId>,
        /// A collection of digits.
        gather: Option<GatherId>,
    },
    /// Collect digits that a leg's party presses; answered by [`Reply::Gather`]. What was collected is told by
    /// `EventKind::Gathered`.
    Gather {
        /// The leg.
        leg: LegId,
        /// What is collected, and what is heard before.
        gather: NewGather,
    },
    /// Start a recording; answered by [`Reply::Recording`]. What becomes of it is told by `EventKind::Recording`.
    Record {
        /// The leg that it is of; `None`: everybody.
        leg: Option<LegId>,
    },
    /// Pause a recording, or let it go on. Pausing it twice is no error.
    RecordPause {
        /// Its number in the call.
        number: u32,
        /// Pause, or go on.
        on: bool,
    },
    /// End a recording.
    RecordStop {
        /// Its number in the call.
        number: u32,
    },
    /// Hang up a leg and let the one party that it talks with wait, with music, until it is picked up; answered by
    /// [`Reply::Parked`].
    Park {
        /// The leg whose party parks the other.
        leg: LegId,
        /// How.
        park: Park,
    },
    /// Call an agent for the party that is parked in this slot; [`Command::PickUp`] finds the call.
    PickUp {
        /// The slot.
        slot: u16,
        /// The agent's SIP user name.
        agent: String,
        /// How long the agent's telephone may ring; `None`: as long as any leg.
        ring: Option<Duration>,
    },
    /// Change what a supervisor does in the call.
    Supervise {
        /// The supervisor's leg.
        leg: LegId,
        /// What it does from now on.
        mode: SuperviseMode,
    },
}

/// How a party is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Park {
    /// The slot, one of [`super::SLOTS`]; `None`: the lowest free one.
    pub slot: Option<u16>,
    /// How long the party waits at most.
    pub wait: Duration,
    /// Call the agent who parked it then; else, and when there is none, the call ends.
    pub back: bool,
}

/// Most keys and pauses of one [`Verb::SendDtmf`].
pub const DTMF_MAX: usize = 64;

/// A leg that is to be dialled into a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLeg {
    /// Who is called.
    pub to: Callee,
    /// `None`: it takes part in the conversation; else it supervises it.
    pub supervises: Option<SuperviseMode>,
    /// Caller identity that it is shown outside; `None`: the trunk's own, or none.
    pub from: Option<String>,
    /// How long it may ring; `None`: as long as any leg.
    pub ring: Option<Duration>,
    /// Who is called in turn when it does not answer, at most [`crate::call::TARGETS_MAX`].
    pub or_else: Vec<VerbTarget>,
    /// What follows when none of them answers.
    pub if_fails: IfFails,
    /// The parties hear a short tone when it begins to supervise them, and every minute.
    pub notice: bool,
}

/// Somebody whom a verb calls in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerbTarget {
    /// Who.
    pub to: Callee,
    /// How long they may ring; `None`: as long as the others.
    pub ring: Option<Duration>,
}

/// Who is called by a verb or by a new call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callee {
    /// An agent, by SIP user name.
    Agent(String),
    /// An agent's browsers alone, by SIP user name: none of the agent's other telephones rings.
    Browser(String),
    /// A number, or a `sip:`, `sips:` or `tel:` URI.
    Number(String),
}

/// A command's success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Done, nothing to tell.
    Done,
    /// How every trunk fares, in the order of the configuration.
    Trunks(Vec<TrunkStatus>),
    /// Every call whose end has not been told yet, in no order.
    Calls(Vec<CallId>),
    /// A call's SIP messages, without secrets.
    Trace(Box<CallTrace>),
    /// The leg that a verb has made.
    Leg(LegId),
    /// The leg that was parked, and where.
    Parked {
        /// The leg.
        leg: LegId,
        /// The slot.
        slot: u16,
    },
    /// The parked call that an agent is called into.
    PickedUp {
        /// The call.
        call: CallId,
        /// The agent's leg.
        leg: LegId,
    },
    /// Calls that are parked, by slot.
    ParkedCalls(Vec<ParkedCall>),
    /// What a verb plays.
    Play(PlayId),
    /// What a verb collects, and the prompt that it plays before.
    Gather(GatherId, Option<PlayId>),
    /// The number of the recording that a verb has started.
    Recording(u32),
}

/// Why a command was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No such call is running.
    #[error("no such call is running")]
    NotFound,
    /// The call has no such leg.
    #[error("the call has no such leg")]
    NoLeg,
    /// The call has no such recording that runs.
    #[error("the call has no such recording that runs")]
    NoRecording,
    /// The command does not fit the call's state or settings; the text says why.
    #[error("{0}")]
    Conflict(String),
    /// The number may not be called; the text says why.
    #[error("{0}")]
    Forbidden(String),
    /// A field has an unusable value.
    #[error("{field}: {problem}")]
    Invalid {
        /// Field of the API request.
        field: &'static str,
        /// What is wrong and what was expected.
        problem: String,
    },
    /// The engine refuses new work: draining, or its inbox is full.
    #[error("the engine takes no new work now: {0}")]
    Busy(&'static str),
    /// The engine has stopped.
    #[error("the engine has stopped")]
    Stopped,
}

impl Engine {
    /// A handle and the inbox it fills: `capacity` commands may wait.
    ///
    /// The engine's own start makes this pair; tests of the control plane make it to answer commands themselves.
    pub fn pair(capacity: usize) -> (Engine, mpsc::Receiver<Envelope>) {
        let (inbox, envelopes) = mpsc::channel(capacity);
        (Engine { inbox }, envelopes)
    }

    /// Ask and await the reply. Never waits for a full inbox, that is `Busy`; but for [`Command::Drain`] and
    /// [`Command::Shutdown`], which are to come to pass however much is going on. Whoever gives them has a limit of his own.
    pub async fn command(&self, command: Command) -> Result<Reply, CommandError> {
        let (reply, answer) = oneshot::channel();
        let envelope = Envelope { command, reply };
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
    async fn an_engine_with_a_full_inbox_is_still_drained_and_shut_down() {
        for command in [Command::Drain, Command::Shutdown] {
            let mut context = Context::from_waker(Waker::noop());
            let (engine, mut inbox) = Engine::pair(1);
            let mut waiting = pin!(engine.command(Command::Trunks));
            assert!(waiting.as_mut().poll(&mut context).is_pending(), "it fills the inbox");
            assert!(matches!(engine.command(Command::Trunks).await, Err(CommandError::Busy(_))));
            let mut ordered = pin!(engine.command(command));
            assert!(ordered.as_mut().poll(&mut context).is_pending(), "it waits for its turn");
            assert!(matches!(inbox.recv().await.unwrap().command, Command::Trunks));
            assert!(ordered.as_mut().poll(&mut context).is_pending(), "it is in the inbox now");
            inbox.recv().await.unwrap().reply.send(Ok(Reply::Done)).unwrap();
            assert!(matches!(ordered.await, Ok(Reply::Done)));
        }
    }
}
