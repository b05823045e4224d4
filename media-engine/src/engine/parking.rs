//! The parking slots of every organization.
//!
//! ```text
//!   Verb::Park ─▶ Parking::take ─▶ Slot, held for the life of the call ─▶ dropped: the slot is free again
//! ```
//!
//! Invariant: a slot holds one call. Not here: the waiting time of a party, and the leg that picks it up (`call::parking`).

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::SystemTime;

use dashmap::DashMap;

use crate::units::{CallId, Group, LegId};

/// Numbers of the slots in a group.
pub const SLOTS: RangeInclusive<u16> = 1..=99;

/// Status and reason of the refusal of a telephone that dials an empty slot, or one of another organization.
pub(super) const NOT_PARKED: (u16, &str) = (404, "No call is parked in this slot");

/// A call that is parked, with its slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedCall {
    /// Slot that the call is parked in.
    pub slot: u16,
    /// Id of the parked call.
    pub call: CallId,
    /// Leg that waits in the slot.
    pub leg: LegId,
    /// Far end of the leg: number, agent's name or URI.
    pub peer: String,
    /// SIP user name of the agent who parked it; `None`: an outside party did.
    pub parked_by: Option<String>,
    /// Time at which the call was parked.
    pub since: SystemTime,
    /// Time until which the party waits, unless it is being picked up by then.
    pub until: SystemTime,
}

/// Reason why no slot was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoSlot {
    /// Another call is parked in the slot.
    #[error("another call is parked in slot {0}")]
    Taken(u16),
    /// Every slot of the group is taken.
    #[error("all {} slots are taken", SLOTS.end())]
    Full,
}

/// The slots of every group that has a parked call.
#[derive(Debug, Default)]
pub(super) struct Parking(DashMap<Group, BTreeMap<u16, ParkedCall>>);

/// A slot that a call holds; dropping it frees the slot.
#[derive(Debug)]
pub(super) struct Slot {
    parking: Arc<Parking>,
    group: Group,
    number: u16,
}

impl Parking {
    /// Gives a call the slot in `parked.slot`, or the lowest free one if that is zero.
    pub(super) fn take(self: &Arc<Self>, group: Group, mut parked: ParkedCall) -> Result<Slot, NoSlot> {
        let mut slots = self.0.entry(group).or_default();
        let is_free = |slot: &u16| !slots.contains_key(slot);
        let number = match parked.slot {
            0 => SLOTS.into_iter().find(is_free).ok_or(NoSlot::Full)?,
            slot if is_free(&slot) => slot,
            slot => return Err(NoSlot::Taken(slot)),
        };
        parked.slot = number;
        slots.insert(number, parked);
        Ok(Slot { parking: self.clone(), group, number })
    }

    /// Returns the parked calls of a group, in the order of their slots.
    pub(super) fn list(&self, group: Group) -> Vec<ParkedCall> {
        self.0.get(&group).into_iter().flat_map(|slots| slots.values().cloned().collect::<Vec<_>>()).collect()
    }

    /// Returns the call that is parked in a slot.
    pub(super) fn call(&self, group: Group, slot: u16) -> Option<CallId> {
        self.0.get(&group)?.get(&slot).map(|parked| parked.call)
    }
}

impl Slot {
    /// Returns the slot's number.
    pub(super) fn number(&self) -> u16 {
        self.number
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(mut slots) = self.parking.0.get_mut(&self.group) {
            slots.remove(&self.number);
        }
        self.parking.0.remove_if(&self.group, |_, slots| slots.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parked(slot: u16, call: u128) -> ParkedCall {
        let since = SystemTime::UNIX_EPOCH;
        let (call, leg) = (CallId(call), LegId(1));
        ParkedCall { slot, call, leg, peer: "+15550142".into(), parked_by: None, since, until: since }
    }

    #[test]
    fn the_lowest_free_slot_is_given_and_is_free_again_when_dropped() {
        let parking = Arc::new(Parking::default());
        let group = Group(7);
        let first = parking.take(group, parked(0, 1)).unwrap();
        let second = parking.take(group, parked(0, 2)).unwrap();
        assert_eq!((first.number(), second.number()), (1, 2));
        assert_eq!(parking.take(group, parked(2, 3)).unwrap_err(), NoSlot::Taken(2));
        assert_eq!(
            parking.take(Group(8), parked(2, 3)).unwrap().number(),
            2,
            "another organization has slots of its own"
        );
        drop(first);
        assert_eq!(parking.call(group, 1), None);
        assert_eq!(parking.take(group, parked(0, 4)).unwrap().number(), 1);
        assert_eq!(parking.list(group).len(), 1, "the slot of the fourth call was dropped");
    }

    #[test]
    fn no_more_calls_are_parked_than_there_are_slots() {
        let parking = Arc::new(Parking::default());
        let all: Vec<Slot> = SLOTS.map(|_| parking.take(Group(7), parked(0, 1)).unwrap()).collect();
        assert_eq!(all.len(), 99);
        assert_eq!(parking.take(Group(7), parked(0, 1)).unwrap_err(), NoSlot::Full);
    }
}
