//! A call: one pure state machine with any number of legs.
//!
//! ```text
//! Call::handle(Input, now) -> effects           Call::poll_timeout() -> when Input::Timeout is due
//!
//! status   Announced ─Proceed─▶ Connecting ─▶ Talking ─▶ Over
//!
//! leg      Offered ─────────────┐
//!          Wanted ─▶ Dialling ──┼─▶ Up ─▶ Leaving ─▶ gone
//!          Coming ──────────────┘
//! ```
//!
//! - A leg has a *phase* (where its signalling stands), a *seat* (what it does once it is up) and a *part* (what its answer
//!   means: it opened the call, it is the plan's callee, or it is the heir of another leg's place).
//! - The topology (which leg hears which) is never stored: [`Call::hearing`] derives it from the legs, and every input that
//!   changes it ends in [`Effect::Hearing`]. Media, recording and translation follow it and store nothing of their own.
//! - The machine numbers its legs itself, from a block of ids that it is given, so that the same inputs always produce the same
//!   call.
//!
//! Invariants: a call ends exactly once, with one cause; every leg that was opened is hung up, given away or forgotten by an
//! effect; after `Over` no input has an effect. Not here: SIP, RTP, sockets, tasks. Signalling and media arrive as inputs, and
//! the engine carries out the effects.

mod capture;
mod connecting;
mod gather;
mod hearing;
mod leg;
mod losing;
mod parking;
mod program;
mod recording;
mod route;
mod screening;
pub mod script;
mod succession;
mod verbs;

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

pub use capture::{Captured, Happened, Replay};
pub use gather::{DIGITS_MAX, Gather, GatherEnd, GatherRules, Gathered, KeyWay, KeyWays};
pub use hearing::{Place, Sound, Topology};
pub use leg::{Holding, LegRole};
pub use parking::Unparked;
pub use recording::{RECORDINGS_AT_ONCE, RECORDINGS_MAX, Recorded};
pub use route::{pattern_matches, route};
pub use screening::Followed;
pub use verbs::{GAIN_DB, LEGS_AT_ONCE, Refused, TARGETS_MAX};

use serde::{Deserialize, Serialize};

use crate::config::App;
use crate::error::HangupCause;
use crate::units::LegId;
use leg::{Fallback, Leg, LegPhase, Part, Seat};
use parking::Parked;
use recording::Recordings;
use succession::transfer_notice;

/// Maximum number of legs over the life of a call: the size of the block of ids that [`Start`] begins.
pub const LEGS: u64 = 4_096;

/// Destination that a leg calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// A registered agent by SIP user name.
    Agent(String),
    /// A registered agent as above, but only the agent's browsers.
    Browser(String),
    /// A number that is called through a trunk.
    Trunk {
        /// Name of the trunk.
        trunk: String,
        /// User part of the request URI.
        user: String,
    },
    /// An emergency number, exempt from every limit.
    Emergency {
        /// Name of the trunk that carries emergency calls.
        trunk: String,
        /// User part of the request URI.
        user: String,
    },
    /// A SIP URI, called through the trunk that serves its host or at the address it names.
    Uri(String),
}

/// A target that is called in turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Destination that is called.
    pub to: Destination,
    /// Maximum ring time; `None`: that of the other targets.
    pub ring: Option<Duration>,
}

impl From<Destination> for Target {
    fn from(to: Destination) -> Target {
        Target { to, ring: None }
    }
}

/// Consequence when no target answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IfFails {
    /// The others keep talking as before.
    #[default]
    Return,
    /// The call ends.
    HangUp,
    /// The one party that stays is handed to a call program, and the transferor is hung up. If several parties stay, or the one
    /// has a program already, this is the same as [`IfFails::Return`].
    Program,
}

/// Plan of the call for the time after its first leg is up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    /// Join the first leg with this destination.
    Join(Destination),
    /// Hand the first leg to an application.
    Application(App),
    /// Leave the first leg alone in silence.
    Hold,
}

/// Where the call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// An incoming call waits for the control plane's decision.
    Announced,
    /// Legs are being called.
    Connecting,
    /// Legs are joined, or the first leg is with its application.
    Talking,
    /// The call has ended, once and for all.
    Over,
}

/// How long a call waits, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// Time for the control plane to decide on an announced call, or on a leg that a transfer wants.
    pub decision: Duration,
    /// Time for a called leg to answer.
    pub ring: Duration,
    /// Time for the first leg of an outgoing call to answer; `None`: `ring`.
    #[serde(default)]
    pub ring_first: Option<Duration>,
    /// Time for the leg that the plan calls next to answer; `None`: `ring`.
    #[serde(default)]
    pub ring_second: Option<Duration>,
    /// Time for a lost leg to come back.
    pub lost: Duration,
    /// Time for a replaced leg to hang up by itself.
    pub leave: Duration,
    /// Time for the BYE of a leg whose media closed first.
    pub goodbye: Duration,
    /// Maximum duration of the call; `None`: unlimited.
    pub longest: Option<Duration>,
}

impl Timing {
    fn longest_wait(&self) -> Duration {
        let Timing { decision, ring, ring_first, ring_second, lost, leave, goodbye, longest } = *self;
        let chosen = [ring_first, ring_second, longest].into_iter().flatten();
        [decision, ring, lost, leave, goodbye].into_iter().chain(chosen).max().unwrap_or_default()
    }
}

/// Ids, time-outs and start time of a new call.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// First of the [`LEGS`] ids that are reserved for this call.
    pub legs: LegId,
    /// Time-outs of the call.
    pub timing: Timing,
    /// Time at which the call begins.
    pub now: Instant,
}

/// Progress of a transfer, as it is reported to its transferor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferState {
    /// The new leg is being called or fetched from another call.
    Started,
    /// The new leg is ringing.
    Ringing,
    /// The new leg is joined with the party that stays.
    Done,
    /// The new leg could not be joined; the call continues as before if the transferor is still there.
    Failed(Ending),
    /// The call's state allows no transfer.
    Refused,
}

/// How a leg ended: as a telephony cause, and as its signalling reported it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// Cause of the end, as a telephony cause.
    pub cause: HangupCause,
    /// Side that ended the leg.
    pub by: EndedBy,
    /// The final SIP status of a failed INVITE: sent by the far end, or by us to a leg that called us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_status: Option<u16>,
    /// The ITU-T Q.850 cause value from its Reason header (RFC 3326), or the one passed on to it from another leg; 1 to 127.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q850: Option<u8>,
    /// The far end's explanation: the text of its Warning header or Reason header, or its reason phrase; at most
    /// [`ENDING_TEXT_MAX`] characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Maximum length of [`Ending::text`], in characters.
pub const ENDING_TEXT_MAX: usize = 200;

/// Side that ended a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// The far end refused, failed or hung up.
    FarEnd,
    /// Tandem ended it, because of another leg, a time-out, a rule or a fault.
    Tandem,
    /// A request to the API ended it.
    Request,
}

impl Ending {
    /// Creates the ending of a leg whose far end refused with this final SIP status.
    pub fn refused(status: u16) -> Ending {
        let cause = HangupCause::from_sip_status(status);
        Ending { cause, by: EndedBy::FarEnd, sip_status: Some(status), q850: None, text: None }
    }

    /// Creates the ending of a leg whose far end hung up or gave up.
    pub fn far_end(cause: HangupCause) -> Ending {
        Ending { by: EndedBy::FarEnd, ..cause.into() }
    }

    /// Returns the ending of another leg that Tandem ends because of this one. The text of a far end stays with its own leg.
    fn of_another(&self, stage: Option<Stage>) -> Ending {
        let sip_status = (stage == Some(Stage::Offered)).then(|| self.cause.sip_status());
        Ending { sip_status, q850: self.q850, ..self.cause.clone().into() }
    }
}

impl From<HangupCause> for Ending {
    /// Creates an ending by Tandem, or by request for [`HangupCause::Requested`].
    fn from(cause: HangupCause) -> Ending {
        let by = if cause == HangupCause::Requested { EndedBy::Request } else { EndedBy::Tandem };
        Ending { cause, by, sip_status: None, q850: None, text: None }
    }
}

/// How a supervisor takes part in a call. A supervisor hears the parties of the conversation, is heard by all of them only with
/// [`SuperviseMode::Barge`], and neither keeps a call alive nor ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuperviseMode {
    /// No party hears the supervisor.
    Listen,
    /// Only one party hears the supervisor; `None`: the first agent in the conversation.
    Whisper(Option<LegId>),
    /// All parties hear the supervisor.
    Barge,
}

/// An event or a request that reaches the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// The control plane lets an announced call proceed.
    Proceed,
    /// The control plane lets an announced call proceed with a call program instead of its plan.
    ProceedWithProgram,
    /// The call program of a leg has ended: the leg stays in its conversation if it has one, and leaves the call otherwise.
    ProgramOver(LegId),
    /// Customers that the plan dials are screened when they answer, each for at most this time; `None`: none is.
    Screen(Option<Duration>),
    /// The detector has told what answered a screened leg.
    Verdict {
        /// The screened leg.
        leg: LegId,
        /// What follows the verdict.
        followed: Followed,
    },
    /// A tone in a leg's early media tells that it will not be answered.
    EarlyVerdict(LegId, HangupCause),
    /// The control plane refuses an announced call.
    Refuse(HangupCause),
    /// The API or an operator ends the call.
    HangUp(HangupCause),
    /// A dialled leg is ringing.
    Rang(LegId),
    /// A dialled leg sends sound before its answer (ring-back or announcements), and its media is known.
    EarlyMedia(LegId),
    /// A dialled leg has answered, or an offered leg was answered, and its media is known.
    Answered(LegId),
    /// A leg could not be reached, refused, failed before its answer, or hung up.
    Gone(LegId, Ending),
    /// The control plane allows a leg to be called.
    Allowed(LegId),
    /// The control plane forbids a leg to be called.
    Denied(LegId, Ending),
    /// A leg wants its partner to be joined with a new leg in its place.
    Transfer {
        /// Leg of the transferor.
        by: LegId,
        /// Destination that is called; `None`: a leg of another call, which the engine fetches.
        to: Option<Destination>,
    },
    /// A leg's partner is to be joined with one of these targets in its place; they are called in turn until one answers.
    TransferTo {
        /// Leg that is replaced.
        by: LegId,
        /// Targets, 1 to [`TARGETS_MAX`].
        to: Vec<Target>,
        /// Ring time of targets that have none of their own; `None`: [`Timing::ring`].
        ring: Option<Duration>,
        /// Consequence when no target answers.
        if_fails: IfFails,
        /// Destination that is called with [`IfFails::Return`] when no target answers and `by` has gone meanwhile.
        back: Option<Destination>,
    },
    /// The leg that was awaited from another call has arrived.
    Fetched {
        /// Id under which the leg was awaited.
        heir: LegId,
        /// The leg's own id, which it keeps.
        leg: LegId,
    },
    /// An authorised caller has called to take this leg's place.
    Replace(LegId),
    /// Another call takes over the partner of this leg.
    Take(LegId),
    /// A new leg is to be called into the call.
    Add {
        /// Destination that is called first.
        to: Destination,
        /// Role of the new leg.
        role: LegRole,
        /// Supervision mode; `None`: the leg takes part in the conversation.
        supervises: Option<SuperviseMode>,
        /// Maximum ring time; `None`: [`Timing::ring`].
        ring: Option<Duration>,
        /// Targets that are called in turn when `to` does not answer, at most [`TARGETS_MAX`].
        or_else: Vec<Target>,
        /// Consequence when no target answers.
        if_fails: IfFails,
        /// While the leg supervises, play a short tone to the parties at the start and every minute.
        notice: bool,
    },
    /// A leg is to leave the call.
    Drop(LegId),
    /// A leg is to be put on hold with music, or taken off hold.
    Hold {
        /// Leg that is held.
        leg: LegId,
        /// Hold (`true`) or resume (`false`).
        on: bool,
    },
    /// A leg is to be muted or unmuted.
    Mute {
        /// Leg that is muted.
        leg: LegId,
        /// Mute (`true`) or unmute (`false`).
        on: bool,
    },
    /// The gain of a leg for the others is to change.
    Gain {
        /// Leg whose gain changes.
        leg: LegId,
        /// Gain in decibels, −20 to 20.
        db: i8,
    },
    /// A leg's own telephone has put the call on hold, or has taken it back.
    Holds {
        /// Leg whose telephone holds or resumes.
        leg: LegId,
        /// Hold state of that telephone.
        holding: Holding,
    },
    /// A leg leaves, and the one party that it talks with waits to be picked up.
    Park {
        /// Leg that leaves.
        by: LegId,
        /// Longest waiting time of the party.
        wait: Duration,
        /// Destination that is called after that time; `None`: the call ends, or the party returns to its call program.
        back: Option<Destination>,
    },
    /// An agent is to be called for the parked party.
    PickUp {
        /// Destination that is called.
        to: Destination,
        /// Maximum ring time; `None`: [`Timing::ring`].
        ring: Option<Duration>,
    },
    /// An authorised caller has called to pick up the parked party.
    PickUpByCaller,
    /// The mode of a supervisor is to change.
    Supervise {
        /// Leg of the supervisor.
        leg: LegId,
        /// New mode of the supervisor.
        mode: SuperviseMode,
    },
    /// A recording is to begin.
    Record {
        /// Leg that is recorded; `None`: all legs.
        leg: Option<LegId>,
        /// Whether what the legs hear is recorded beside what they say.
        #[serde(default)]
        heard: bool,
    },
    /// A recording is to be paused or resumed.
    RecordPause {
        /// Number of the recording.
        number: u32,
        /// Pause (`true`) or resume (`false`).
        on: bool,
    },
    /// A recording is to end, or has ended by itself.
    RecordStop {
        /// Number of the recording.
        number: u32,
    },
    /// An answered leg is silent, but its party may come back: for example, its page is being reloaded.
    Lost(LegId),
    /// A lost leg is heard again.
    Back(LegId),
    /// A leg's media has closed by itself; its BYE is on the way.
    MediaGone(LegId),
    /// A leg is dead: no packet has come from it for too long.
    MediaDead(LegId),
    /// The time of [`Call::poll_timeout`] has come.
    Timeout,
}

/// An action that the engine is to carry out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Asks the control plane whether this leg may be called; [`Input::Allowed`] or [`Input::Denied`] answers.
    Ask {
        /// Leg that is to be called.
        leg: LegId,
        /// Leg that wants the call, or the party on whose behalf it is wanted.
        by: LegId,
        /// Destination that is to be called.
        to: Destination,
    },
    /// Calls this destination for this leg.
    Ring(LegId, Destination),
    /// Waits for a leg of another call, which arrives under this id: [`Input::Fetched`].
    Await(LegId),
    /// Sends ringing to an offered leg.
    Alert(LegId),
    /// Opens an offered leg's media before its answer, so that it hears another leg ring.
    AnswerEarly(LegId),
    /// Answers an offered leg.
    Answer(LegId),
    /// Refuses, cancels or hangs up a leg.
    HangUp {
        /// Leg that ends.
        leg: LegId,
        /// How far the leg had come.
        stage: Stage,
        /// Cause that is sent to the leg.
        cause: HangupCause,
    },
    /// Reports how a leg ended; once for every leg that ends in the call, before it is hung up or forgotten.
    Ended(LegId, Ending),
    /// Closes the leg's media; its dialog may continue for a while.
    Retire(LegId),
    /// Releases everything that a leg holds: it has left the call, and its dialog has ended or is about to end.
    Forget(LegId),
    /// Hands this leg over to the call that takes it.
    Give(LegId),
    /// Applies a new topology.
    Hearing(Topology),
    /// Names every running recording and the legs in it; recordings that are not named have ended.
    Record(Vec<Recorded>),
    /// Plays the supervision notice to these parties.
    Notify(Vec<LegId>),
    /// Sends news to the control plane, the transferor or the log.
    Tell(Notice),
}

/// How far a leg had come when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It called us and has not been answered.
    Offered,
    /// We are calling it.
    Dialling,
    /// It has answered.
    Up,
}

/// News for the control plane, the transferor or the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// A leg is ringing.
    Ringing,
    /// The first leg has answered; the other is not joined yet.
    Answered,
    /// Two legs are joined, or the application has the call.
    Bridged,
    /// A transfer has made progress.
    Transfer {
        /// Leg of the transferor, which may have gone meanwhile.
        by: LegId,
        /// Role of the transferor's leg, which its heir takes over.
        role: LegRole,
        /// Leg that is to take its place; `None`: the transfer was refused.
        heir: Option<LegId>,
        /// Progress of the transfer.
        state: TransferState,
    },
    /// The control plane has not decided in time on the announced call (`None`) or on this leg.
    Undecided(Option<LegId>),
    /// A leg has answered, and is to be screened.
    Screened(LegId),
    /// The first leg's announcements can be heard before its answer, and no other leg is to be called.
    EarlyMedia,
    /// A leg is lost: it is silent, and the others wait for it.
    Lost(LegId),
    /// The state of a leg has changed: hold, mute, gain or supervision.
    Seat {
        /// Leg that has changed.
        leg: LegId,
        /// Role of the leg.
        role: LegRole,
        /// The leg is on hold and hears music.
        held: bool,
        /// The leg is muted.
        muted: bool,
        /// The leg's own telephone has put the call on hold.
        holds: bool,
        /// Gain with which the others hear the leg, in decibels.
        gain_db: i8,
        /// Supervision mode; `None`: the leg takes part in the conversation.
        supervises: Option<SuperviseMode>,
    },
    /// A party waits to be picked up.
    Parked {
        /// Leg of the parked party.
        leg: LegId,
        /// Leg that parked it, and has gone.
        by: LegId,
        /// Longest waiting time of the party.
        wait: Duration,
    },
    /// A call program has taken over a party that was about to talk with another leg.
    WithProgram(LegId),
    /// A party is no longer parked.
    Unparked {
        /// Leg of the party.
        leg: LegId,
        /// Reason why it is no longer parked.
        why: Unparked,
    },
    /// The call has reached its maximum duration.
    TooLong,
    /// The call has ended; sent once. `answered` distinguishes `ended` from `failed`.
    Over {
        /// Cause of the end.
        cause: HangupCause,
        /// Whether the wanted party had answered.
        answered: bool,
    },
}

/// The state machine of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    status: Status,
    /// Plan for the time after the first leg is up; taken at that point.
    plan: Option<Plan>,
    /// Legs that have not ended, in the order in which they came.
    legs: Vec<Leg>,
    next_leg: LegId,
    /// One past the last id of the block.
    end_of_legs: LegId,
    timing: Timing,
    /// End of the control plane's time to decide on an announced call.
    decision: Option<Instant>,
    /// End of the call's maximum duration; `None` for emergency calls.
    longest: Option<Instant>,
    /// Targets to call when the heir of a leg's place cannot be reached, and what follows when none can.
    targets: Option<Box<Fallback>>,
    /// Time for which a customer that the plan dials is screened; `None`: none is screened.
    screens: Option<Duration>,
    /// Party that waits to be picked up.
    parked: Option<Parked>,
    /// Topology as it was last reported.
    reported: Topology,
    recordings: Recordings,
}

impl Call {
    /// Creates an incoming call, announced and waiting for `Proceed` or `Refuse`, and returns it with its first leg.
    pub fn incoming(plan: Plan, role: LegRole, start: Start) -> (Call, LegId) {
        let mut call = Call::new(Status::Announced, plan, start);
        call.decision = Some(start.now + start.timing.decision);
        let first = call.enter(role, LegPhase::Offered { early: false }, Part::Opener).unwrap_or(start.legs);
        (call, first)
    }

    /// Creates an outgoing call: the first leg is dialled at once, and `plan` follows its answer.
    pub fn outgoing(to: Destination, plan: Plan, role: LegRole, start: Start) -> (Call, Vec<Effect>) {
        let mut call = Call::new(Status::Connecting, plan, start);
        let effects = call.dial(role, Part::Opener, to, start.now);
        (call, effects)
    }

    fn new(status: Status, plan: Plan, start: Start) -> Call {
        let Start { legs, timing, now } = start;
        Call {
            status,
            plan: Some(plan),
            legs: Vec::new(),
            next_leg: legs,
            end_of_legs: LegId(legs.0.saturating_add(LEGS)),
            timing,
            decision: None,
            longest: timing.longest.map(|most| now + most),
            targets: None,
            screens: None,
            parked: None,
            reported: Topology::default(),
            recordings: Recordings::default(),
        }
    }

    /// Takes one input and returns the effects, which must be carried out in order.
    pub fn handle(&mut self, input: Input, now: Instant) -> Vec<Effect> {
        if self.is_over() || self.check(&input).is_err() {
            return Vec::new();
        }
        let mut effects = match input {
            Input::Proceed => self.on_proceed(now),
            Input::ProceedWithProgram => self.on_proceed_with_program(now),
            Input::ProgramOver(leg) => self.on_program_over(leg),
            Input::Refuse(cause) | Input::HangUp(cause) => self.end(&cause.into()),
            Input::Screen(limit) => self.on_screen(limit),
            Input::Verdict { leg, followed } => self.on_verdict(leg, followed, now),
            Input::EarlyVerdict(leg, cause) => self.on_early_verdict(leg, cause, now),
            Input::Rang(leg) => self.on_rang(leg),
            Input::EarlyMedia(leg) => self.on_early_media(leg),
            Input::Answered(leg) => self.on_answered(leg, now),
            Input::Gone(leg, ending) => self.on_gone(leg, ending, now),
            Input::Allowed(leg) => self.on_allowed(leg, now),
            Input::Denied(leg, ending) => self.on_denied(leg, ending, now),
            Input::Transfer { by, to } => self.on_transfer(by, to, now),
            Input::TransferTo { by, to, ring, if_fails, back } => {
                self.on_transfer_to(by, Fallback { targets: to.into(), ring, if_fails, back }, now)
            }
            Input::Fetched { heir, leg } => self.on_fetched(heir, leg, now),
            Input::Replace(leg) => self.on_replace(leg),
            Input::Take(leg) => self.on_take(leg),
            Input::Add { to, role, supervises, ring, or_else, if_fails, notice } => {
                let fallback = Fallback { targets: or_else.into(), ring, if_fails, back: None };
                self.on_add((to.into(), role), supervises.map(|mode| (mode, notice)), fallback, now)
            }
            Input::Drop(leg) => self.on_drop(leg, now),
            Input::Hold { leg, on } => self.on_hold(leg, on),
            Input::Mute { leg, on } => self.on_mute(leg, on),
            Input::Gain { leg, db } => self.on_gain(leg, db),
            Input::Holds { leg, holding } => self.on_holds(leg, holding),
            Input::Park { by, wait, back } => self.on_park(by, (wait, back), now),
            Input::PickUp { to, ring } => self.on_pick_up(to, ring, now),
            Input::PickUpByCaller => self.on_pick_up_by_caller(),
            Input::Supervise { leg, mode } => self.on_supervise(leg, mode),
            Input::Record { leg, heard } => self.on_record(leg, heard),
            Input::RecordPause { number, on } => self.on_record_pause(number, on),
            Input::RecordStop { number } => self.on_record_stop(number),
            Input::Lost(leg) => self.on_lost(leg, now),
            Input::Back(leg) => self.on_back(leg),
            Input::MediaGone(leg) => self.on_media_gone(leg, now),
            Input::MediaDead(leg) => self.on_media_dead(leg, now),
            Input::Timeout => self.on_timeout(now),
        };
        self.report_hearing(&mut effects);
        self.report_recordings(&mut effects);
        effects
    }

    /// Returns when [`Input::Timeout`] is due; `None`: the call waits for nothing.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let legs = self.legs.iter().filter_map(Leg::deadline);
        let parked = self.parked.as_ref().and_then(Parked::deadline);
        let notices = self.legs.iter().filter_map(Leg::next_notice);
        legs.chain(notices).chain(self.decision).chain(self.longest).chain(parked).min()
    }

    fn on_timeout(&mut self, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        while !self.is_over() {
            if self.longest.is_some_and(|at| at <= now) {
                effects.push(Effect::Tell(Notice::TooLong));
                effects.extend(self.end(&HangupCause::MaxDuration.into()));
            } else if self.decision.is_some_and(|at| at <= now) {
                effects.push(Effect::Tell(Notice::Undecided(None)));
                effects.extend(self.on_proceed(now));
            } else if self.parked.as_ref().and_then(Parked::deadline).is_some_and(|at| at <= now) {
                effects.extend(self.on_parked_too_long(now));
            } else if let Some(supervisor) = self.notice_due(now) {
                effects.extend(self.notify(supervisor, now));
            } else {
                let due = |leg: &&Leg| leg.deadline().is_some_and(|at| at <= now);
                let Some(leg) = self.legs.iter().find(due).map(|leg| leg.id) else { break };
                effects.extend(self.on_leg_timeout(leg, now));
            }
        }
        effects
    }

    fn on_leg_timeout(&mut self, id: LegId, now: Instant) -> Vec<Effect> {
        let Some(leg) = self.leg(id) else { return Vec::new() };
        match &leg.phase {
            _ if leg.is_given_up(now) => self.put_out(id, HangupCause::MediaTimeout, now),
            _ if leg.is_screened() => self.on_verdict(id, Followed::Connect, now),
            LegPhase::Wanted { .. } => self.on_undecided(id, now),
            LegPhase::Dialling { .. } => self.put_out(id, HangupCause::NoAnswer, now),
            LegPhase::Leaving { .. } => self.let_go(id),
            LegPhase::Offered { .. } | LegPhase::Coming | LegPhase::Up => Vec::new(),
        }
    }

    /// Returns whether legs are joined, or the first leg is with its application.
    pub fn is_talking(&self) -> bool {
        self.status == Status::Talking
    }

    /// Returns whether the call has ended.
    pub fn is_over(&self) -> bool {
        self.status == Status::Over
    }

    /// Returns the role of a leg; `None`: the call has no such leg.
    pub fn role(&self, leg: LegId) -> Option<LegRole> {
        self.leg(leg).map(|leg| leg.role)
    }

    /// Returns the id that the next leg will get.
    pub fn next_leg(&self) -> LegId {
        self.next_leg
    }

    /// Returns whether a leg is a party of the conversation, now or by the plan, and not on its way in or out by a transfer.
    pub fn is_party(&self, leg: LegId) -> bool {
        self.leg(leg).is_some_and(Leg::is_party)
    }

    /// Returns whether a leg is held or parked.
    pub fn is_set_aside(&self, leg: LegId) -> bool {
        self.is_parked(leg) || self.leg(leg).is_some_and(|leg| leg.held)
    }

    /// Returns whether a leg is being added beside the parties, and has not answered.
    pub fn is_added(&self, leg: LegId) -> bool {
        self.leg(leg).is_some_and(|leg| leg.part == Part::Added)
    }

    fn leg(&self, id: LegId) -> Option<&Leg> {
        self.legs.iter().find(|leg| leg.id == id)
    }

    fn leg_mut(&mut self, id: LegId) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|leg| leg.id == id)
    }

    /// Adds a new leg; `None`: the call has used all its leg ids.
    fn enter(&mut self, role: LegRole, phase: LegPhase, part: Part) -> Option<LegId> {
        let id = self.next_leg;
        if id >= self.end_of_legs {
            return None;
        }
        self.next_leg = LegId(id.0 + 1);
        let (program, held, muted) = (false, false, false);
        let (holds, gain_db, fallback) = (Holding::No, 0, None);
        let (seat, lost, goodbye) = (Seat::Floor, None, None);
        self.legs.push(Leg {
            id,
            role,
            phase,
            seat,
            part,
            is_agent: false,
            program,
            held,
            muted,
            holds,
            gain_db,
            fallback,
            notice: None,
            lost,
            goodbye,
        });
        Some(id)
    }

    /// Removes a leg whose signalling has ended or is ended by the caller of this method.
    fn remove(&mut self, id: LegId) -> Option<Leg> {
        let at = self.legs.iter().position(|leg| leg.id == id)?;
        Some(self.legs.remove(at))
    }

    fn on_gone(&mut self, id: LegId, ending: Ending, now: Instant) -> Vec<Effect> {
        let Some(leg) = self.remove(id) else { return Vec::new() };
        let mut effects = vec![Effect::Ended(id, ending.clone())];
        effects.extend(self.on_leg_removed(leg, ending, now));
        effects
    }

    /// Ends a leg that has not ended by itself, and whatever ends with it.
    fn put_out(&mut self, id: LegId, cause: HangupCause, now: Instant) -> Vec<Effect> {
        let ending: Ending = cause.into();
        if self.leg(id).is_some_and(Leg::is_party) && self.is_needed(id) {
            return self.end(&ending);
        }
        let Some(leg) = self.remove(id) else { return Vec::new() };
        let mut effects = hang_up(&leg, &ending);
        effects.extend(self.on_leg_removed(leg, ending, now));
        effects
    }

    /// Returns what follows from the end of a leg that was removed.
    fn on_leg_removed(&mut self, leg: Leg, ending: Ending, now: Instant) -> Vec<Effect> {
        match leg.part {
            _ if matches!(leg.phase, LegPhase::Leaving { .. }) => vec![Effect::Forget(leg.id)],
            Part::Heir { of, .. } => self.on_heir_gone(&leg, of, ending, now),
            Part::Added => self.on_added_gone(leg, &ending, now),
            _ if leg.is_supervisor() => vec![Effect::Forget(leg.id)],
            // The leg leaves its place to its heir, or the others to themselves.
            Part::Opener | Part::Callee | Part::Party if !self.is_needed(leg.id) => {
                let mut effects = vec![Effect::Forget(leg.id)];
                effects.extend(self.end_holds_beside(leg.id));
                effects.extend(self.return_to_program());
                effects
            }
            Part::Opener | Part::Callee | Part::Party => self.end(&ending),
        }
    }

    /// Whether the call ends without this party: no other leg is to take its place, no two others talk, and no remaining party
    /// has a program to return to.
    fn is_needed(&self, id: LegId) -> bool {
        let others = || self.legs.iter().filter(|leg| leg.id != id && leg.part == Part::Party && leg.is_party());
        self.heir_of(id).is_none() && others().count() < 2 && !others().any(|leg| leg.program)
    }

    /// Ends the call: every remaining leg is refused, cancelled or hung up. `ending` is that of the leg that ends the call, or
    /// the call's own.
    fn end(&mut self, ending: &Ending) -> Vec<Effect> {
        let answered = self.is_talking();
        self.status = Status::Over;
        (self.decision, self.longest) = (None, None);
        let legs = std::mem::take(&mut self.legs);
        let cause = ending.cause.clone();
        let transfers = legs.iter().filter_map(|leg| transfer_notice(leg, TransferState::Failed(cause.clone().into())));
        let parked = self.unpark(Unparked::Ended);
        let mut effects: Vec<Effect> =
            transfers.chain(parked).chain(legs.iter().flat_map(|leg| hang_up(leg, ending))).collect();
        effects.push(Effect::Tell(Notice::Over { cause, answered }));
        effects
    }
}

/// Ends a removed leg because of this ending.
fn hang_up(leg: &Leg, because: &Ending) -> Vec<Effect> {
    let stage = leg.stage();
    let mut effects = vec![Effect::Ended(leg.id, because.of_another(stage))];
    effects.extend(stage.map(|stage| Effect::HangUp { leg: leg.id, stage, cause: because.cause.clone() }));
    effects
}
