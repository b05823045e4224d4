//! The two sides of a call, and their part in the conversation.

use super::exchange::PartyId;

/// Side of a call that speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Speaker {
    /// The customer, who is party 0 of the conversation.
    Customer,
    /// The agent, who is party 1 of the conversation.
    Agent,
}

impl Speaker {
    /// Both sides, in the order of their numbers.
    pub const BOTH: [Speaker; 2] = [Speaker::Customer, Speaker::Agent];

    /// Returns the side that listens to this one.
    pub fn other(self) -> Speaker {
        match self {
            Speaker::Customer => Speaker::Agent,
            Speaker::Agent => Speaker::Customer,
        }
    }

    /// Returns the name as in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Speaker::Customer => "customer",
            Speaker::Agent => "agent",
        }
    }

    pub(super) fn party(self) -> PartyId {
        PartyId(self as u32)
    }

    /// Returns the party that reads the translation of this side's words while the other side is not in the conversation.
    pub(super) fn reader(self) -> PartyId {
        PartyId(self as u32 + 2)
    }

    pub(super) fn of(party: PartyId) -> Option<Speaker> {
        Speaker::BOTH.into_iter().find(|side| side.party() == party)
    }
}

/// Part of a side in the conversation. A side that is muted hears, and is not heard; one that is aside does neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// Whether the others hear it, so that it is recognised.
    pub is_heard: bool,
    /// Whether it hears the other side, so that translations are spoken to it.
    pub is_spoken_to: bool,
}

impl Presence {
    /// In the conversation, in both directions.
    pub const JOINED: Presence = Presence { is_heard: true, is_spoken_to: true };

    pub(super) fn is_aside(self) -> bool {
        !self.is_heard && !self.is_spoken_to
    }
}
