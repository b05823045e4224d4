//! One leg in the state machine of a call.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Destination, IfFails, Stage, SuperviseMode, Target};
use crate::config::App;
use crate::units::LegId;

/// Role of a leg in the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegRole {
    /// The outside party: recording channel 1.
    Customer,
    /// The party at work: recording channel 2.
    Agent,
    /// A supervisor who listens, whispers or barges in; never recorded.
    Supervisor,
}

impl LegRole {
    /// Returns the role as a word, such as `customer`.
    pub fn as_str(self) -> &'static str {
        match self {
            LegRole::Customer => "customer",
            LegRole::Agent => "agent",
            LegRole::Supervisor => "supervisor",
        }
    }

    /// Returns the role on the other side of the conversation.
    pub fn other(self) -> LegRole {
        match self {
            LegRole::Customer => LegRole::Agent,
            LegRole::Agent | LegRole::Supervisor => LegRole::Customer,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leg {
    pub(super) id: LegId,
    pub(super) role: LegRole,
    pub(super) phase: LegPhase,
    pub(super) seat: Seat,
    pub(super) part: Part,
    /// It was called as a registered agent, whatever its role.
    pub(super) is_agent: bool,
    /// A call program takes over the leg whenever it is alone.
    pub(super) program: bool,
    /// The leg is on hold and hears music.
    pub(super) held: bool,
    /// The leg is muted.
    pub(super) muted: bool,
    /// Whether the leg's own telephone has put the call on hold.
    pub(super) holds: Holding,
    /// Gain with which the others hear the leg, in decibels.
    pub(super) gain_db: i8,
    /// Targets to call when the leg does not answer, and what follows when none of them does.
    pub(super) fallback: Option<Box<Fallback>>,
    /// Next time at which the parties hear that the leg supervises them; `None`: they hear no notice.
    pub(super) notice: Option<Instant>,
    /// End of a lost leg's time to come back; `None`: the leg is not lost.
    pub(super) lost: Option<Instant>,
    /// End of the time to wait for the BYE of a leg whose media has gone.
    pub(super) goodbye: Option<Instant>,
}

/// State of a leg's signalling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LegPhase {
    /// It called us and has not been answered; `early`: it already hears the call.
    Offered { early: bool },
    /// It will be called when the control plane allows it.
    Wanted { to: Destination, until: Instant, ring: Option<Duration> },
    /// We are calling it; `early`: it is already heard.
    Dialling { until: Instant, early: bool },
    /// It is on its way from another call, in which it is up.
    Coming,
    /// It has answered.
    Up,
    /// It was replaced, and may hang up by itself.
    Leaving { until: Instant },
}

/// Task of a leg once it is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seat {
    /// It takes part in the conversation.
    Floor,
    /// A detector listens to it until this time, and nobody talks with it.
    Screened { until: Instant },
    /// It is with an application.
    Scripted(App),
    /// It supervises the conversation: it neither keeps the call alive nor ends it.
    Gallery(SuperviseMode),
}

/// Whether a leg's own telephone has put the call on hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holding {
    /// The telephone has not put the call on hold.
    #[default]
    No,
    /// The telephone holds the call, and sends a sound of its own to the others.
    Sounding,
    /// The telephone holds the call and sends nothing: the others hear music.
    Silent,
}

/// Consequence when an added leg does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fallback {
    pub(super) targets: VecDeque<Target>,
    pub(super) ring: Option<Duration>,
    pub(super) if_fails: IfFails,
    /// The transferor, who is called again when no target answers and it has gone meanwhile.
    pub(super) back: Option<Destination>,
}

/// Effect of a leg's answer on the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// It called us, or was called first: the plan follows.
    Opener,
    /// The plan calls it.
    Callee,
    /// It will take the place of another leg.
    Heir { of: LegId, by: Means },
    /// It was added while the call was running, and will join the others.
    Added,
    /// It has been seated in the call.
    Party,
}

/// How an heir comes into the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Means {
    /// We call it; the party that stays waits for it.
    Called,
    /// It is fetched from another call.
    Fetched,
    /// It called us.
    Came,
}

impl Leg {
    /// Returns whether the leg talks, or will talk by the call's plan: it is neither on its way in or out nor a supervisor.
    pub(super) fn is_party(&self) -> bool {
        !matches!(self.part, Part::Heir { .. } | Part::Added)
            && !matches!(self.phase, LegPhase::Leaving { .. })
            && !self.is_supervisor()
    }

    /// Returns whether its call program controls it now, so that it talks with no other leg.
    pub(super) fn is_with_program(&self) -> bool {
        self.seat == Seat::Scripted(App::Program)
    }

    pub(super) fn is_supervisor(&self) -> bool {
        matches!(self.seat, Seat::Gallery(_))
    }

    /// Returns whether it is a party, or a supervisor who has answered.
    pub(super) fn is_present(&self) -> bool {
        self.is_party() || self.is_supervisor() && self.is_up()
    }

    /// Returns when the parties are to hear the next supervision notice.
    pub(super) fn next_notice(&self) -> Option<Instant> {
        self.notice.filter(|_| self.is_up())
    }

    /// Returns how far its signalling has come; `None`: we have no signalling with it yet.
    pub(super) fn stage(&self) -> Option<Stage> {
        match self.phase {
            LegPhase::Offered { .. } => Some(Stage::Offered),
            LegPhase::Dialling { .. } => Some(Stage::Dialling),
            LegPhase::Up | LegPhase::Leaving { .. } => Some(Stage::Up),
            LegPhase::Wanted { .. } | LegPhase::Coming => None,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.phase == LegPhase::Up
    }

    /// Returns whether its time to come back, or the time to wait for its BYE, has passed.
    pub(super) fn is_given_up(&self, now: Instant) -> bool {
        [self.lost, self.goodbye].into_iter().flatten().any(|until| until <= now)
    }

    /// Returns when the leg next needs attention.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let phase = match self.phase {
            LegPhase::Wanted { until, .. } | LegPhase::Dialling { until, .. } | LegPhase::Leaving { until } => {
                Some(until)
            }
            LegPhase::Offered { .. } | LegPhase::Coming | LegPhase::Up => None,
        };
        let screened = if let Seat::Screened { until } = self.seat { Some(until) } else { None };
        [phase, screened, self.lost, self.goodbye].into_iter().flatten().min()
    }
}
