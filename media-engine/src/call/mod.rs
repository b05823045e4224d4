//! Call state: one pure function from state and input to effects.
//!
//! ```text
//! inbound   Announced ─Proceed─▶ Connecting ─callee answers─▶ Talking ─▶ Over
//!               └──────────────── application ───────────────────▲
//! outbound  Connecting(first leg) ─▶ Connecting(second leg) ─▶ Talking ─▶ Over
//!
//! while Talking   Transfer: third leg called, or fetched from another call ─answers─▶ it changes places with the leg that asked,
//!                           which hangs up, or is hung up
//!                 Lost:     the other leg hears a sign of life ─Back, or replaced─▶ joined again
//!                 Replace:  third leg calls us ─accepted─▶ it changes places with the leg that it replaces
//! ```
//!
//! Invariants: a call ends exactly once, with one cause; every leg that was opened is ended or hung up by
//! an effect; after `Over` no input has an effect. Not here: SIP, RTP, sockets, tasks. Signalling and media
//! reach this room as inputs, and leave it as effects that the engine carries out.

mod losing;
mod route;
mod succession;
mod transition;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_losing;
#[cfg(test)]
mod tests_succession;

pub use route::{pattern_matches, route};

use crate::config::App;
use crate::error::HangupCause;

/// Which of a call's legs: the two that are joined, or the one beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The leg that called us, or that we called first, or what took its place.
    First,
    /// The leg that is joined to it.
    Second,
    /// A leg that is to take the place of one of the two, or that has just lost it.
    Third,
}

impl Side {
    /// All of them.
    pub const ALL: [Side; 3] = [Side::First, Side::Second, Side::Third];

    /// The other one of the two that are joined; for the third see [`Call::partner`].
    fn other(self) -> Side {
        match self {
            Side::First => Side::Second,
            Side::Second | Side::Third => Side::First,
        }
    }
}

/// Whom a leg reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A registered agent by SIP user name.
    Agent(String),
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

/// What the call does once the first leg is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Join the first leg with this destination.
    Join(Destination),
    /// Hand the first leg to an application.
    Application(App),
    /// Leave the first leg alone: it hears silence.
    Hold,
}

/// Where a leg stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegPhase {
    /// It called us and has not been answered.
    Offered,
    /// We call it.
    Dialling,
    /// Answered.
    Up,
    /// Gone.
    Over,
}

/// Where the call stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// An incoming call waits for the control plane's decision.
    Announced,
    /// Legs are being called.
    Connecting,
    /// Joined, or with its application.
    Talking,
    /// Ended once, for ever.
    Over(HangupCause),
}

/// A call's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    phase: Phase,
    plan: Plan,
    first: LegPhase,
    second: Option<LegPhase>,
    third: Option<succession::Third>,
    /// A leg that nothing is heard of, and that may come back.
    lost: Option<Side>,
    /// Both legs' audio was joined before the answer.
    early: bool,
}

/// What a leg hears that waits for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitingSound {
    /// That the other one is being called.
    Ringback,
    /// That the other one will be back.
    Hold,
}

/// How a transfer goes, as its transferor is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferState {
    /// The new leg is being called or fetched.
    Started,
    /// It rings.
    Ringing,
    /// It is joined with the party that stays.
    Done,
    /// It is not, and the call goes on as before if the transferor is still there.
    Failed(HangupCause),
    /// The call's state allows no transfer.
    Refused,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The control plane lets an announced call go on.
    Proceed,
    /// The control plane refuses an announced call.
    Refuse(HangupCause),
    /// The API or an operator ends the call.
    Hangup(HangupCause),
    /// A dialled leg rings.
    Ringing(Side),
    /// A dialled leg sends sound before its answer, and its media is known: ring-back or announcements.
    EarlyMedia(Side),
    /// A dialled leg answered and its media is known.
    Answered(Side),
    /// A leg could not be reached, refused, or broke before its answer.
    Failed(Side, HangupCause),
    /// A leg hung up, gave up, or its media died.
    Gone(Side, HangupCause),
    /// A leg rang too long.
    RingTimeout,
    /// A leg wants the other one to be joined with somebody else in its place.
    Transfer {
        /// Who wants it.
        by: Side,
        /// Who is called; `None`: a leg of another call, which the engine fetches.
        to: Option<Destination>,
    },
    /// Somebody who may do so has called to take a leg's place.
    Replace(Side),
    /// Another call takes the leg that is joined with this one.
    Take(Side),
    /// A leg that was replaced has had its time to hang up.
    LeaveTimeout,
    /// Nothing is heard of an answered leg any more, but its party may come back: a page that is loaded anew.
    Lost(Side),
    /// A lost leg is heard again.
    Back(Side),
    /// A lost leg has had its time to come back.
    LostTimeout,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Call this destination.
    Dial(Side, Destination),
    /// Tell the caller that it rings.
    Alert(Side),
    /// Open an offered leg's media before its answer, so that it hears the other leg ring.
    AnswerEarly(Side),
    /// Answer an offered leg.
    Accept(Side),
    /// Refuse an offered leg.
    Reject(Side, HangupCause),
    /// Stop calling a leg that has not answered.
    Cancel(Side),
    /// Hang up an answered leg.
    Release(Side, HangupCause),
    /// Join the audio of the first and the second leg.
    Join,
    /// Join the audio of this leg and the third one, which has not answered.
    JoinThird(Side),
    /// Part a leg from the other one; it hears this instead.
    Wait(Side, WaitingSound),
    /// The third leg and this one change places.
    Exchange(Side),
    /// Whoever stands here now is to be recorded and translated like the one before.
    Listen(Side),
    /// A leg's part in the call is over, and so is its dialog, or as good as: give back what it has.
    Forget(Side),
    /// Hand this leg over to the call that takes it.
    Give(Side),
    /// Start the clock of a leg that was replaced and is to hang up by itself.
    ArmLeaveTimer,
    /// Start the clock of a leg that is lost.
    ArmLostTimer,
    /// Stop it.
    DisarmLostTimer,
    /// Hand a leg to an application.
    Run(Side, App),
    /// Start the ring clock anew.
    ArmRingTimer,
    /// Stop the ring clock.
    DisarmRingTimer,
    /// Tell: a leg rings.
    TellRinging,
    /// Tell: the first leg answered, the second is not there yet.
    TellAnswered,
    /// Tell: both legs are joined, or the application has the call.
    TellBridged,
    /// Tell the transferor and the control plane how a transfer goes.
    TellTransfer(Side, TransferState),
    /// Tell the end, once; `answered` tells `ended` from `failed`.
    TellOver {
        /// Why.
        cause: HangupCause,
        /// Whether the party that was wanted had answered.
        answered: bool,
    },
}

impl Call {
    /// An incoming call, announced and waiting for `Proceed` or `Refuse`.
    pub fn incoming(plan: Plan) -> Call {
        Call {
            phase: Phase::Announced,
            plan,
            first: LegPhase::Offered,
            second: None,
            third: None,
            lost: None,
            early: false,
        }
    }

    /// A call of our own: the first leg is dialled at once, `plan` follows its answer.
    pub fn outgoing(to: Destination, plan: Plan) -> (Call, Vec<Effect>) {
        let first = LegPhase::Dialling;
        let call = Call { phase: Phase::Connecting, plan, first, second: None, third: None, lost: None, early: false };
        (call, vec![Effect::Dial(Side::First, to), Effect::ArmRingTimer])
    }

    /// Where the call stands.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Whether both legs are joined or the application has the call.
    pub fn is_talking(&self) -> bool {
        self.phase == Phase::Talking
    }

    /// Whether the call has ended.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over(_))
    }

    fn leg(&self, side: Side) -> Option<LegPhase> {
        match side {
            Side::First => Some(self.first),
            Side::Second => self.second,
            Side::Third => self.third.as_ref().map(|third| third.phase),
        }
    }

    fn leg_mut(&mut self, side: Side) -> Option<&mut LegPhase> {
        match side {
            Side::First => Some(&mut self.first),
            Side::Second => self.second.as_mut(),
            Side::Third => self.third.as_mut().map(|third| &mut third.phase),
        }
    }
}
