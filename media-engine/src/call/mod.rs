//! Call state: one pure function from state and input to effects.
//!
//! ```text
//! inbound   Announced ─Proceed─▶ Connecting ─callee answers─▶ Talking ─▶ Over
//!               └──────────────── application ───────────────────▲
//! outbound  Connecting(first leg) ─▶ Connecting(second leg) ─▶ Talking ─▶ Over
//! ```
//!
//! Invariants: a call ends exactly once, with one cause; every leg that was opened is ended or hung up by
//! an effect; after `Over` no input has an effect. Not here: SIP, RTP, sockets, tasks. Signalling and media
//! reach this room as inputs, and leave it as effects that the engine carries out.

mod guard;
mod route;
mod transition;

#[cfg(test)]
mod tests;

pub use guard::{Guard, NO_EMERGENCY_CALLS, Verdict, knows_country};
pub use route::{pattern_matches, route};

use crate::config::App;
use crate::error::HangupCause;
use crate::units::LegId;

/// Which of a call's two legs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The leg that called us, or that we called first.
    First,
    /// The leg that is joined to it.
    Second,
}

impl Side {
    /// The other leg of the call.
    pub fn other(self) -> Side {
        match self {
            Side::First => Side::Second,
            Side::Second => Side::First,
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

/// One leg as the call sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallLeg {
    /// The engine's name for it.
    pub id: LegId,
    /// Where it stands.
    pub phase: LegPhase,
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
    first: CallLeg,
    second: Option<CallLeg>,
    second_id: LegId,
    /// Both legs' audio was joined before the answer.
    early: bool,
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
    /// Join both legs' audio.
    Join,
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
    pub fn incoming(first: LegId, second: LegId, plan: Plan) -> Call {
        Call {
            phase: Phase::Announced,
            plan,
            first: CallLeg { id: first, phase: LegPhase::Offered },
            second: None,
            second_id: second,
            early: false,
        }
    }

    /// A call of our own: `first` is dialled at once, `plan` follows its answer.
    pub fn outgoing(first: LegId, second: LegId, to: Destination, plan: Plan) -> (Call, Vec<Effect>) {
        let call = Call {
            phase: Phase::Connecting,
            plan,
            first: CallLeg { id: first, phase: LegPhase::Dialling },
            second: None,
            second_id: second,
            early: false,
        };
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

    /// The leg's id.
    pub fn leg_id(&self, side: Side) -> LegId {
        match side {
            Side::First => self.first.id,
            Side::Second => self.second_id,
        }
    }

    /// The side of a leg of this call.
    pub fn side_of(&self, leg: LegId) -> Option<Side> {
        if leg == self.first.id {
            Some(Side::First)
        } else if leg == self.second_id {
            Some(Side::Second)
        } else {
            None
        }
    }

    fn leg_mut(&mut self, side: Side) -> Option<&mut CallLeg> {
        match side {
            Side::First => Some(&mut self.first),
            Side::Second => self.second.as_mut(),
        }
    }
}
