//! A call: one pure machine with any number of legs.
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
//! - A leg has a *phase* (where its signalling stands), a *seat* (what it does once it is up) and a *part* (what its answer means:
//!   it opened the call, it is the plan's callee, or it is the heir of another leg's place).
//! - Who hears whom is never stored: [`Call::hearing`] derives it from the legs, and every input that changes it ends in
//!   [`Effect::Hearing`]. Media, recording and translation follow that and keep no idea of their own.
//! - The machine numbers its legs itself, from a block that it is given, so that the same inputs make the same call again.
//!
//! Invariants: a call ends exactly once, with one cause; every leg that was opened is hung up, given away or forgotten by an
//! effect; after `Over` no input has an effect. Not here: SIP, RTP, sockets, tasks. Signalling and media reach this room as inputs,
//! and leave it as effects that the engine carries out.

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
pub use verbs::{GAIN_DB, LEGS_AT_ONCE, Refused, TARGETS_MAX};

use serde::{Deserialize, Serialize};

use crate::config::App;
use crate::error::HangupCause;
use crate::units::LegId;
use leg::{Fallback, Leg, LegPhase, Part, Seat};
use parking::Parked;
use recording::Recordings;
use succession::told;

/// How many legs a call may have in its life: the size of the block of names that [`Start`] begins.
pub const LEGS: u64 = 4_096;

/// Whom a leg reaches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// A registered agent by SIP user name.
    Agent(String),
    /// The same, but none of the agent's telephones except those in browsers.
    Browser(String),
    /// A number through a trunk.
    Trunk {
        /// Trunk's name.
        trunk: String,
        /// User part of the request.
        user: String,
    },
    /// An emergency number, past every limit.
    Emergency {
        /// Name of the trunk that carries emergency calls.
        trunk: String,
        /// User part of the request.
        user: String,
    },
    /// A SIP URI, through the trunk that serves its host or to the address it names.
    Uri(String),
}

/// Somebody who is called in turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Who.
    pub to: Destination,
    /// How long it may ring; `None`: as long as the others.
    pub ring: Option<Duration>,
}

impl From<Destination> for Target {
    fn from(to: Destination) -> Target {
        Target { to, ring: None }
    }
}

/// What follows when nobody answers who was called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IfFails {
    /// The others talk on as before.
    #[default]
    Return,
    /// The call ends.
    HangUp,
    /// The one party that stays is given to a call program, and the transferor is hung up. Where several stay, or it has a program of its
    /// own already, as [`IfFails::Return`].
    Program,
}

/// What the call does once the first leg is up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    /// Join the first leg with this destination.
    Join(Destination),
    /// Hand the first leg to an application.
    Application(App),
    /// Leave the first leg alone: it hears silence.
    Hold,
}

/// Where the call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// An incoming call waits for the control plane's decision.
    Announced,
    /// Legs are being called.
    Connecting,
    /// Joined, or with its application.
    Talking,
    /// Ended once, for ever.
    Over,
}

/// How long a call waits for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// For the control plane: to decide on an announced call, or on a leg that a transfer wants.
    pub decision: Duration,
    /// For the answer of a leg that is called.
    pub ring: Duration,
    /// For that of the leg with which a call of our own begins; `None`: `ring`.
    #[serde(default)]
    pub ring_first: Option<Duration>,
    /// For that of the leg that the plan calls next; `None`: `ring`.
    #[serde(default)]
    pub ring_second: Option<Duration>,
    /// For a lost leg to come back.
    pub lost: Duration,
    /// For a leg that was replaced to hang up by itself.
    pub leave: Duration,
    /// For the goodbye of a leg whose media has gone first.
    pub goodbye: Duration,
    /// For the end of the whole call; `None`: as long as it likes.
    pub longest: Option<Duration>,
}

impl Timing {
    fn longest_wait(&self) -> Duration {
        let Timing { decision, ring, ring_first, ring_second, lost, leave, goodbye, longest } = *self;
        let chosen = [ring_first, ring_second, longest].into_iter().flatten();
        [decision, ring, lost, leave, goodbye].into_iter().chain(chosen).max().unwrap_or_default()
    }
}

/// What a call begins with.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// The first of [`LEGS`] names that are this call's alone.
    pub legs: LegId,
    /// Its patience.
    pub timing: Timing,
    /// When it begins.
    pub now: Instant,
}

/// How a transfer goes, as its transferor is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferState {
    /// The new leg is being called or fetched.
    Started,
    /// It rings.
    Ringing,
    /// It is joined with the party that stays.
    Done,
    /// It is not, and the call goes on as before if the transferor is still there.
    Failed(Ending),
    /// The call's state allows no transfer.
    Refused,
}

/// How a leg ended: in the field's words, and raw as its signalling had it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// In the field's words.
    pub cause: HangupCause,
    /// Who ended it.
    pub by: EndedBy,
    /// The final SIP status of its INVITE, when that failed: theirs, or ours to a leg that called us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_status: Option<u16>,
    /// The cause value of ITU-T Q.850 that its Reason header gave (RFC 3326), or that was passed on to it from another leg's; 1 to
    /// 127.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q850: Option<u8>,
    /// What it said in words: the text of its Warning header, of its Reason header, or its reason phrase; at most
    /// [`ENDING_TEXT_MAX`] characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Longest [`Ending::text`], in characters.
pub const ENDING_TEXT_MAX: usize = 200;

/// Who ended a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// Its far end: it refused, failed or hung up.
    FarEnd,
    /// Tandem, because of what another leg did, a time-out, a rule or a fault.
    Tandem,
    /// Somebody who asked for it by the API.
    Request,
}

impl Ending {
    /// The far end refused with this final SIP status.
    pub fn refused(status: u16) -> Ending {
        let cause = HangupCause::from_sip_status(status);
        Ending { cause, by: EndedBy::FarEnd, sip_status: Some(status), q850: None, text: None }
    }

    /// The far end hung up or gave up.
    pub fn far_end(cause: HangupCause) -> Ending {
        Ending { by: EndedBy::FarEnd, ..cause.into() }
    }

    /// How a leg ends that Tandem ends because of this: what a far end said in words stays with its own leg.
    fn of_another(&self, stage: Option<Stage>) -> Ending {
        let sip_status = (stage == Some(Stage::Offered)).then(|| self.cause.sip_status());
        Ending { sip_status, q850: self.q850, ..self.cause.clone().into() }
    }
}

impl From<HangupCause> for Ending {
    /// An end of ours.
    fn from(cause: HangupCause) -> Ending {
        let by = if cause == HangupCause::Requested { EndedBy::Request } else { EndedBy::Tandem };
        Ending { cause, by, sip_status: None, q850: None, text: None }
    }
}

/// What a supervisor does in a call. A supervisor hears what the conversation's parties say, but for [`SuperviseMode::Barge`] is not
/// heard by all of them, and neither keeps a call alive nor ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuperviseMode {
    /// Nobody hears it.
    Listen,
    /// One party alone hears it; `None`: the first agent on the floor.
    Whisper(Option<LegId>),
    /// All hear it.
    Barge,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// The control plane lets an announced call go on.
    Proceed,
    /// The control plane lets an announced call go on with a call program, whatever it was for.
    ProceedWithProgram,
    /// A leg's call program has come to its end: the leg stays with whom it talks with, and nowhere without.
    ProgramOver(LegId),
    /// The control plane refuses an announced call.
    Refuse(HangupCause),
    /// The API or an operator ends the call.
    HangUp(HangupCause),
    /// A dialled leg rings.
    Rang(LegId),
    /// A dialled leg sends sound before its answer, and its media is known: ring-back or announcements.
    EarlyMedia(LegId),
    /// A dialled leg answered, or an offered one was answered, and its media is known.
    Answered(LegId),
    /// A leg could not be reached, refused, broke before its answer, or hung up.
    Gone(LegId, Ending),
    /// The control plane lets a leg be called that was asked for.
    Allowed(LegId),
    /// The control plane refuses a leg that was asked for.
    Denied(LegId, Ending),
    /// A leg wants the party that it is joined with to be joined with somebody else in its place.
    Transfer {
        /// Who wants it.
        by: LegId,
        /// Who is called; `None`: a leg of another call, which the engine fetches.
        to: Option<Destination>,
    },
    /// A leg's partner is to be joined with one of these in its place: they are called in turn until one answers.
    TransferTo {
        /// Whose place it is.
        by: LegId,
        /// Who is called, 1 to [`TARGETS_MAX`].
        to: Vec<Target>,
        /// How long each may ring that says nothing else; `None`: [`Timing::ring`].
        ring: Option<Duration>,
        /// What follows when none of them answers.
        if_fails: IfFails,
        /// Who is called, with [`IfFails::Return`], when none of them answers and `by` has gone meanwhile.
        back: Option<Destination>,
    },
    /// The leg that was awaited from another call is here.
    Fetched {
        /// As whom it was awaited.
        heir: LegId,
        /// Its own name, which it keeps.
        leg: LegId,
    },
    /// Somebody who may do so has called to take this leg's place.
    Replace(LegId),
    /// Another call takes the leg that is joined with this one.
    Take(LegId),
    /// Somebody is to be called into the call.
    Add {
        /// Who.
        to: Destination,
        /// As what.
        role: LegRole,
        /// `None`: to take part in the conversation; else to supervise it.
        supervises: Option<SuperviseMode>,
        /// How long it may ring; `None`: [`Timing::ring`].
        ring: Option<Duration>,
        /// Who is called in turn when it does not answer, at most [`TARGETS_MAX`].
        or_else: Vec<Target>,
        /// What follows when none of them does.
        if_fails: IfFails,
        /// While it supervises, the parties hear a short tone when it begins and every minute.
        notice: bool,
    },
    /// A leg is to leave the call.
    Drop(LegId),
    /// A leg is to be set aside with music, or to be taken back.
    Hold {
        /// The leg.
        leg: LegId,
        /// On or off.
        on: bool,
    },
    /// A leg is to lose its voice, or to get it back.
    Mute {
        /// The leg.
        leg: LegId,
        /// On or off.
        on: bool,
    },
    /// How loud the others are to hear a leg.
    Gain {
        /// The leg.
        leg: LegId,
        /// −20 to 20.
        db: i8,
    },
    /// A leg's own telephone has put the call on hold, or has taken it back.
    Holds {
        /// The leg.
        leg: LegId,
        /// What it does.
        holding: Holding,
    },
    /// A leg leaves, and the one party that it talks with waits to be picked up.
    Park {
        /// Who leaves.
        by: LegId,
        /// How long the party waits at most.
        wait: Duration,
        /// Who is called then; `None`: the call ends, or the party goes back to its call program.
        back: Option<Destination>,
    },
    /// Somebody is to be called for the parked party.
    PickUp {
        /// Who.
        to: Destination,
        /// How long it may ring; `None`: [`Timing::ring`].
        ring: Option<Duration>,
    },
    /// What a supervisor is to do from now on.
    Supervise {
        /// The supervisor's leg.
        leg: LegId,
        /// What it does.
        mode: SuperviseMode,
    },
    /// A recording is to begin.
    Record {
        /// The leg that it is of; `None`: everybody.
        leg: Option<LegId>,
    },
    /// A recording is to pause, or to go on.
    RecordPause {
        /// Its number.
        number: u32,
        /// Pause, or go on.
        on: bool,
    },
    /// A recording is to end, or has.
    RecordStop {
        /// Its number.
        number: u32,
    },
    /// Nothing is heard of an answered leg any more, but its party may come back: a page that is loaded anew.
    Lost(LegId),
    /// A lost leg is heard again.
    Back(LegId),
    /// A leg's media has closed by itself; its goodbye is on its way.
    MediaGone(LegId),
    /// A leg is dead: nothing has come from it for too long.
    MediaDead(LegId),
    /// [`Call::poll_timeout`] has come.
    Timeout,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Ask the control plane whether this leg may be called; [`Input::Allowed`] or [`Input::Denied`] answers.
    Ask {
        /// The leg.
        leg: LegId,
        /// Who wants it, or the party in whose name somebody else does.
        by: LegId,
        /// The destination to call.
        to: Destination,
    },
    /// Call this destination.
    Ring(LegId, Destination),
    /// A leg of another call is to come under this name: [`Input::Fetched`].
    Await(LegId),
    /// Tell an offered leg that it rings.
    Alert(LegId),
    /// Open an offered leg's media before its answer, so that it hears another leg ring.
    AnswerEarly(LegId),
    /// Answer an offered leg.
    Answer(LegId),
    /// Refuse, cancel or hang up a leg.
    HangUp {
        /// The leg.
        leg: LegId,
        /// How far it had come.
        stage: Stage,
        /// What it is told.
        cause: HangupCause,
    },
    /// How a leg ended: told once for every leg that ends in the call, before it is hung up or forgotten.
    Ended(LegId, Ending),
    /// Close the leg's media; its dialog may live on for a while.
    Retire(LegId),
    /// A leg's part in the call is over, and so is its dialog, or as good as: give back what it has.
    Forget(LegId),
    /// Hand this leg over to the call that takes it.
    Give(LegId),
    /// Who hears whom from now on.
    Hearing(Topology),
    /// Every recording that runs from now on, and whom it takes; those that are not named have ended.
    Record(Vec<Recorded>),
    /// Let these parties hear that they are supervised.
    Notify(Vec<LegId>),
    /// Tell the control plane, the transferor or the log.
    Tell(Notice),
}

/// How far a leg had come that is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It called us and has no answer.
    Offered,
    /// We call it.
    Dialling,
    /// Answered.
    Up,
}

/// News for the control plane, the transferor or the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// A leg rings.
    Ringing,
    /// The first leg answered, the other is not there yet.
    Answered,
    /// Two are joined, or the application has the call.
    Bridged,
    /// How a transfer goes.
    Transfer {
        /// Who wanted it; perhaps it has gone meanwhile.
        by: LegId,
        /// Its role, which its heir takes over.
        role: LegRole,
        /// The leg that is to take its place; `None`: the transfer was refused.
        heir: Option<LegId>,
        /// How far it has come.
        state: TransferState,
    },
    /// The control plane has not decided on the announced call (`None`), or on this leg.
    Undecided(Option<LegId>),
    /// The first leg's announcements can be heard before its answer, and nobody else is to be called.
    EarlyMedia,
    /// Nothing is heard of a leg any more: the others wait for it.
    Lost(LegId),
    /// What a leg does in the call has changed.
    Seat {
        /// The leg.
        leg: LegId,
        /// Its role.
        role: LegRole,
        /// It is set aside, with music.
        held: bool,
        /// It has no voice.
        muted: bool,
        /// Its own telephone has put the call on hold.
        holds: bool,
        /// How loud the others hear it, in decibels.
        gain_db: i8,
        /// What it supervises; `None`: it takes part in the conversation.
        supervises: Option<SuperviseMode>,
    },
    /// A party waits to be picked up.
    Parked {
        /// The party.
        leg: LegId,
        /// Who parked it, and has gone.
        by: LegId,
        /// How long it waits at most.
        wait: Duration,
    },
    /// A call program has a party that was on its way to somebody else.
    WithProgram(LegId),
    /// The party that was parked is so no more.
    Unparked {
        /// The party.
        leg: LegId,
        /// Why.
        why: Unparked,
    },
    /// The call has lasted as long as it may.
    TooLong,
    /// The end, once; `answered` tells `ended` from `failed`.
    Over {
        /// Why.
        cause: HangupCause,
        /// Whether the party that was wanted had answered.
        answered: bool,
    },
}

/// A call's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    status: Status,
    /// What follows once the first leg is up; taken when it does.
    plan: Option<Plan>,
    /// Those that are not over, in the order in which they came.
    legs: Vec<Leg>,
    next_leg: LegId,
    /// One past the last name of the block.
    end_of_legs: LegId,
    timing: Timing,
    /// When the control plane's time to decide on an announced call is over.
    decision: Option<Instant>,
    /// When the call has lasted as long as it may; none for calls of somebody in need.
    longest: Option<Instant>,
    /// Who is called next when the heir of a leg's place cannot be reached, and what follows when nobody can.
    targets: Option<Box<Fallback>>,
    /// The party that waits to be picked up.
    parked: Option<Parked>,
    /// As it was told last.
    told: Topology,
    recordings: Recordings,
}

impl Call {
    /// An incoming call, announced and waiting for `Proceed` or `Refuse`; and its first leg.
    pub fn incoming(plan: Plan, role: LegRole, start: Start) -> (Call, LegId) {
        let mut call = Call::new(Status::Announced, plan, start);
        call.decision = Some(start.now + start.timing.decision);
        let first = call.enter(role, LegPhase::Offered { early: false }, Part::Opener).unwrap_or(start.legs);
        (call, first)
    }

    /// A call of our own: the first leg is dialled at once, `plan` follows its answer.
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
            parked: None,
            told: Topology::default(),
            recordings: Recordings::default(),
        }
    }

    /// Takes one input; the effects are to be carried out in order.
    pub fn handle(&mut self, input: Input, now: Instant) -> Vec<Effect> {
        if self.is_over() || self.check(&input).is_err() {
            return Vec::new();
        }
        let mut effects = match input {
            Input::Proceed => self.on_proceed(now),
            Input::ProceedWithProgram => self.on_proceed_with_program(now),
            Input::ProgramOver(leg) => self.on_program_over(leg),
            Input::Refuse(cause) | Input::HangUp(cause) => self.end(&cause.into()),
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
            Input::Supervise { leg, mode } => self.on_supervise(leg, mode),
            Input::Record { leg } => self.on_record(leg),
            Input::RecordPause { number, on } => self.on_record_pause(number, on),
            Input::RecordStop { number } => self.on_record_stop(number),
            Input::Lost(leg) => self.on_lost(leg, now),
            Input::Back(leg) => self.on_back(leg),
            Input::MediaGone(leg) => self.on_media_gone(leg, now),
            Input::MediaDead(leg) => self.on_media_dead(leg, now),
            Input::Timeout => self.on_timeout(now),
        };
        self.tell_hearing(&mut effects);
        self.tell_recordings(&mut effects);
        effects
    }

    /// When [`Input::Timeout`] is due; `None`: the call waits for nothing.
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
            LegPhase::Wanted { .. } => self.on_undecided(id, now),
            LegPhase::Dialling { .. } => self.put_out(id, HangupCause::NoAnswer, now),
            LegPhase::Leaving { .. } => self.let_go(id),
            LegPhase::Offered { .. } | LegPhase::Coming | LegPhase::Up => Vec::new(),
        }
    }

    /// Whether the call is joined or with its application.
    pub fn is_talking(&self) -> bool {
        self.status == Status::Talking
    }

    /// Whether the call has ended.
    pub fn is_over(&self) -> bool {
        self.status == Status::Over
    }

    /// What a leg is in the call; `None`: it is none of its legs.
    pub fn role(&self, leg: LegId) -> Option<LegRole> {
        self.leg(leg).map(|leg| leg.role)
    }

    /// The name that the next leg gets.
    pub fn next_leg(&self) -> LegId {
        self.next_leg
    }

    /// Whether a leg is one of those that talk, or are to talk, with each other: not on its way in or out by a transfer.
    pub fn is_party(&self, leg: LegId) -> bool {
        self.leg(leg).is_some_and(Leg::is_party)
    }

    /// Whether somebody has set a leg aside: it is held, or parked.
    pub fn is_set_aside(&self, leg: LegId) -> bool {
        self.is_parked(leg) || self.leg(leg).is_some_and(|leg| leg.held)
    }

    /// Whether a leg is called into the call beside its parties, and has not answered.
    pub fn is_added(&self, leg: LegId) -> bool {
        self.leg(leg).is_some_and(|leg| leg.part == Part::Added)
    }

    fn leg(&self, id: LegId) -> Option<&Leg> {
        self.legs.iter().find(|leg| leg.id == id)
    }

    fn leg_mut(&mut self, id: LegId) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|leg| leg.id == id)
    }

    /// Takes a new leg in; `None`: the call has had as many as a call may.
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

    /// Takes a leg out, whose signalling is over or is ended by whoever calls this.
    fn remove(&mut self, id: LegId) -> Option<Leg> {
        let at = self.legs.iter().position(|leg| leg.id == id)?;
        Some(self.legs.remove(at))
    }

    fn on_gone(&mut self, id: LegId, ending: Ending, now: Instant) -> Vec<Effect> {
        let Some(leg) = self.remove(id) else { return Vec::new() };
        let mut effects = vec![Effect::Ended(id, ending.clone())];
        effects.extend(self.after(leg, ending, now));
        effects
    }

    /// Ends a leg that has not ended by itself, and what ends with it.
    fn put_out(&mut self, id: LegId, cause: HangupCause, now: Instant) -> Vec<Effect> {
        let ending: Ending = cause.into();
        if self.leg(id).is_some_and(Leg::is_party) && self.is_needed(id) {
            return self.end(&ending);
        }
        let Some(leg) = self.remove(id) else { return Vec::new() };
        let mut effects = hang_up(&leg, &ending);
        effects.extend(self.after(leg, ending, now));
        effects
    }

    /// What follows when a leg has gone, which was taken out.
    fn after(&mut self, leg: Leg, ending: Ending, now: Instant) -> Vec<Effect> {
        match leg.part {
            _ if matches!(leg.phase, LegPhase::Leaving { .. }) => vec![Effect::Forget(leg.id)],
            Part::Heir { of, .. } => self.on_heir_gone(&leg, of, ending, now),
            Part::Added => self.on_added_gone(leg, &ending, now),
            _ if leg.is_supervisor() => vec![Effect::Forget(leg.id)],
            // It leaves its place to its heir, or the others to themselves.
            Part::Opener | Part::Callee | Part::Party if !self.is_needed(leg.id) => {
                let mut effects = vec![Effect::Forget(leg.id)];
                effects.extend(self.end_holds_beside(leg.id));
                effects.extend(self.return_to_program());
                effects
            }
            Part::Opener | Part::Callee | Part::Party => self.end(&ending),
        }
    }

    /// Whether the call ends without this party: no other leg is to take its place, no two others talk, and whoever is left has no
    /// program to go back to.
    fn is_needed(&self, id: LegId) -> bool {
        let others = || self.legs.iter().filter(|leg| leg.id != id && leg.part == Part::Party && leg.is_party());
        self.heir_of(id).is_none() && others().count() < 2 && !others().any(|leg| leg.program)
    }

    /// Ends the call: every leg that still stands is refused, cancelled or hung up. `ending`: that of the leg that ends it, or the
    /// call's own.
    fn end(&mut self, ending: &Ending) -> Vec<Effect> {
        let answered = self.is_talking();
        self.status = Status::Over;
        (self.decision, self.longest) = (None, None);
        let legs = std::mem::take(&mut self.legs);
        let cause = ending.cause.clone();
        let transfers = legs.iter().filter_map(|leg| told(leg, TransferState::Failed(cause.clone().into())));
        let parked = self.unpark(Unparked::Ended);
        let mut effects: Vec<Effect> =
            transfers.chain(parked).chain(legs.iter().flat_map(|leg| hang_up(leg, ending))).collect();
        effects.push(Effect::Tell(Notice::Over { cause, answered }));
        effects
    }
}

/// Ends a leg that was taken out because of this.
fn hang_up(leg: &Leg, because: &Ending) -> Vec<Effect> {
    let stage = leg.stage();
    let mut effects = vec![Effect::Ended(leg.id, because.of_another(stage))];
    effects.extend(stage.map(|stage| Effect::HangUp { leg: leg.id, stage, cause: because.cause.clone() }));
    effects
}
