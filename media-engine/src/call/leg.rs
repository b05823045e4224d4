//! One leg as the machine sees it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Destination, IfFails, Stage, SuperviseMode, Target};
use crate::config::App;
use crate::units::LegId;

/// A leg's part in the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegRole {
    /// The outside party: recording channel 1.
    Customer,
    /// The person at work: recording channel 2.
    Agent,
    /// Somebody in the gallery, who listens, whispers or barges in; in no recording.
    Supervisor,
}

impl LegRole {
    /// The word that stands for it.
    pub fn as_str(self) -> &'static str {
        match self {
            LegRole::Customer => "customer",
            LegRole::Agent => "agent",
            LegRole::Supervisor => "supervisor",
        }
    }

    /// The other side of the conversation.
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
    /// A call program has it whenever it is alone.
    pub(super) program: bool,
    /// Somebody has set it aside, with music.
    pub(super) held: bool,
    /// Somebody has taken its voice.
    pub(super) muted: bool,
    /// Its own telephone has put the call on hold.
    pub(super) holds: Holding,
    /// How loud the others hear it, in decibels.
    pub(super) gain_db: i8,
    /// Who is called when it does not answer, and what follows when none of them does.
    pub(super) fallback: Option<Box<Fallback>>,
    /// When the parties hear the next time that it supervises them; `None`: they do not.
    pub(super) notice: Option<Instant>,
    /// Nothing is heard of it; when its time to come back is over.
    pub(super) lost: Option<Instant>,
    /// Its media has gone; when the time for its goodbye is over.
    pub(super) goodbye: Option<Instant>,
}

/// Where its signalling stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LegPhase {
    /// It called us and has not been answered; `early`: it hears the call already.
    Offered { early: bool },
    /// It is to be called when the control plane allows it.
    Wanted { to: Destination, until: Instant, ring: Option<Duration> },
    /// We call it; `early`: it is heard already.
    Dialling { until: Instant, early: bool },
    /// It is on its way from another call, in which it is up.
    Coming,
    /// Answered.
    Up,
    /// It was replaced, and may hang up by itself.
    Leaving { until: Instant },
}

/// What it does once it is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seat {
    /// It takes part in the conversation.
    Floor,
    /// An application has it.
    Scripted(App),
    /// It supervises the conversation: it neither keeps the call alive nor ends it.
    Gallery(SuperviseMode),
}

/// Whether a leg's own telephone has put the call on hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holding {
    /// It has not.
    #[default]
    No,
    /// It has, and sends a sound of its own for the others.
    Sounding,
    /// It has, and sends nothing: the others hear music.
    Silent,
}

/// What follows when an added leg does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fallback {
    pub(super) targets: VecDeque<Target>,
    pub(super) ring: Option<Duration>,
    pub(super) if_fails: IfFails,
    /// Whose place it is: called again when nobody answers and it has gone meanwhile.
    pub(super) back: Option<Destination>,
}

/// What its answer means to the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// It called us, or was called first: the plan follows.
    Opener,
    /// The plan calls it.
    Callee,
    /// It is to take the place of another leg.
    Heir { of: LegId, by: Means },
    /// It was asked for while the call runs, and is to be in beside the others.
    Added,
    /// It is in.
    Party,
}

/// How an heir comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Means {
    /// We call it; whoever stays waits for it.
    Called,
    /// It is fetched from another call.
    Fetched,
    /// It called us.
    Came,
}

impl Leg {
    /// It talks, or is to talk by the call's plan: it is not on its way in or out, and no supervisor.
    pub(super) fn is_party(&self) -> bool {
        !matches!(self.part, Part::Heir { .. } | Part::Added)
            && !matches!(self.phase, LegPhase::Leaving { .. })
            && !self.is_supervisor()
    }

    /// Its call program has it now: it talks with nobody.
    pub(super) fn is_with_program(&self) -> bool {
        self.seat == Seat::Scripted(App::Program)
    }

    pub(super) fn is_supervisor(&self) -> bool {
        matches!(self.seat, Seat::Gallery(_))
    }

    /// A party, or a supervisor who is there.
    pub(super) fn is_present(&self) -> bool {
        self.is_party() || self.is_supervisor() && self.is_up()
    }

    /// When the parties are to hear that it supervises them.
    pub(super) fn next_notice(&self) -> Option<Instant> {
        self.notice.filter(|_| self.is_up())
    }

    /// How far its signalling has come; `None`: there is none of ours yet.
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

    /// Whether it is lost, or its media has gone, and its time to come back or to say goodbye is over.
    pub(super) fn is_given_up(&self, now: Instant) -> bool {
        [self.lost, self.goodbye].into_iter().flatten().any(|until| until <= now)
    }

    /// When something has to happen to it.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let phase = match self.phase {
            LegPhase::Wanted { until, .. } | LegPhase::Dialling { until, .. } | LegPhase::Leaving { until } => {
                Some(until)
            }
            LegPhase::Offered { .. } | LegPhase::Coming | LegPhase::Up => None,
        };
        [phase, self.lost, self.goodbye].into_iter().flatten().min()
    }
}
