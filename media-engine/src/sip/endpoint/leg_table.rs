//! The table of legs, with what leads to a leg: our tags, the connections that carry it, and its lost connection.
//!
//! ```text
//!   tag in To ─────────▶ owner ─▶ leg, or the INVITE of ours that has no answer yet
//!   closed connection ─▶ legs that it carries
//!   new registration ──▶ legs whose device is unreachable
//! ```
//! [`Legs`] owns all legs and these three look-up tables. The endpoint takes a leg out while it changes it together with
//! other parts of the endpoint, and puts it back; a leg that ends is detached and its tag released.
//!
//! - A connection is listed for a leg if and only if the leg lists the connection. UDP has no connections.
//! - A tag has one owner: the INVITE of ours until its answer, then the leg.
//! - A leg counts as unreachable from the loss of its connection until it is reached or ends.
//!
//! Not here: the states of a leg (`legs`), its end (`ending`).

use std::collections::{BTreeSet, HashMap};

use super::command::{DialogId, Replaces};
use super::ids::TagOwner;
use super::legs::{Calling, Leg, LegState, Ringing, Talking};
use crate::sip::flow::{Flow, FlowId};
use crate::sip::id_table::IdTable;

/// All legs of an endpoint.
#[derive(Default)]
pub(super) struct Legs {
    legs: IdTable<DialogId, Box<Leg>>,
    /// Our local tags of calls in progress.
    tags: HashMap<Box<str>, TagOwner>,
    /// Legs by the connection that carries them.
    attached: BTreeSet<(FlowId, DialogId)>,
    /// Legs whose device lost its connection and may come back by another one.
    unreachable: BTreeSet<DialogId>,
}

/// The dialog named in a Replaces header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Answered(DialogId),
    /// A call of the peer that has no answer yet.
    Early,
    /// A call that is being hung up.
    Over,
    Nobody,
}

impl Legs {
    pub(super) fn len(&self) -> usize {
        self.legs.len()
    }

    /// Returns the number of entries in the look-up tables.
    pub(super) fn entry_count(&self) -> usize {
        self.tags.len() + self.attached.len() + self.unreachable.len()
    }

    pub(super) fn contains(&self, id: DialogId) -> bool {
        self.legs.contains_key(&id)
    }

    pub(super) fn get(&self, id: DialogId) -> Option<&Leg> {
        self.legs.get(&id).map(|leg| &**leg)
    }

    pub(super) fn get_mut(&mut self, id: DialogId) -> Option<&mut Leg> {
        self.legs.get_mut(&id).map(|leg| &mut **leg)
    }

    /// Returns the state of an incoming call without final response.
    pub(super) fn ringing(&mut self, id: DialogId) -> Option<&mut Ringing> {
        match &mut self.get_mut(id)?.state {
            LegState::Ringing(ringing) => Some(ringing),
            _ => None,
        }
    }

    /// Returns the state of an outgoing call without answer.
    pub(super) fn calling(&mut self, id: DialogId) -> Option<&mut Calling> {
        match &mut self.get_mut(id)?.state {
            LegState::Calling(calling) => Some(calling),
            _ => None,
        }
    }

    /// Returns the state of an answered call.
    pub(super) fn talking(&mut self, id: DialogId) -> Option<&mut Talking> {
        match &mut self.get_mut(id)?.state {
            LegState::Talking(talking) => Some(talking),
            _ => None,
        }
    }

    /// Takes a leg out while it is being changed, or for good; its entries in the look-up tables stay.
    pub(super) fn take(&mut self, id: DialogId) -> Option<Box<Leg>> {
        self.legs.remove(&id)
    }

    /// Adds a leg, or puts one back.
    pub(super) fn put(&mut self, leg: Box<Leg>) {
        self.legs.insert(leg.id, leg);
    }

    /// Returns the owner of a tag of ours.
    pub(super) fn owner_of(&self, tag: &str) -> Option<TagOwner> {
        self.tags.get(tag).copied()
    }

    /// Gives a tag to its first or next owner.
    pub(super) fn give_tag(&mut self, tag: Box<str>, owner: TagOwner) {
        self.tags.insert(tag, owner);
    }

    /// Removes a tag unless it has another owner by now.
    pub(super) fn release_tag(&mut self, tag: &str, owner: TagOwner) {
        if self.owner_of(tag) == Some(owner) {
            self.tags.remove(tag);
        }
    }

    /// Returns the dialog that a Replaces header names.
    pub(super) fn named_by(&self, replaces: &Replaces) -> Named {
        let Some(TagOwner::Leg(id)) = self.owner_of(&replaces.to_tag) else { return Named::Nobody };
        let Some(leg) = self.get(id) else { return Named::Nobody };
        let (dialog, named) = match &leg.state {
            LegState::Ringing(ringing) => (&ringing.dialog, Named::Early),
            LegState::Talking(talking) if talking.closing.is_some() => (&talking.dialog, Named::Over),
            LegState::Talking(talking) => (&talking.dialog, Named::Answered(id)),
            LegState::Calling(_) => return Named::Nobody,
        };
        let is_it = *dialog.call_id == *replaces.call_id && *dialog.remote_tag == *replaces.from_tag;
        if is_it { named } else { Named::Nobody }
    }

    /// Records a connection that carries a leg.
    pub(super) fn attach(&mut self, leg: &mut Leg, flow: &Flow) {
        if flow.transport.is_reliable() && !leg.flows.contains(&flow.id) {
            leg.flows.push(flow.id);
            self.attached.insert((flow.id, leg.id));
        }
    }

    /// Forgets the connections that carry a leg.
    pub(super) fn detach(&mut self, leg: &mut Leg) {
        for flow in leg.flows.drain(..) {
            self.attached.remove(&(flow, leg.id));
        }
    }

    /// Forgets one connection of a leg.
    pub(super) fn detach_from(&mut self, leg: &mut Leg, flow: FlowId) {
        leg.flows.retain(|known| *known != flow);
        self.attached.remove(&(flow, leg.id));
    }

    /// Returns the legs that a connection carries.
    pub(super) fn on_flow(&self, flow: FlowId) -> Vec<DialogId> {
        self.attached_to(flow).collect()
    }

    /// Returns whether a connection carries a leg.
    pub(super) fn use_flow(&self, flow: FlowId) -> bool {
        self.attached_to(flow).next().is_some()
    }

    /// Marks a leg as unreachable; returns whether it was reachable.
    pub(super) fn lose(&mut self, leg: &mut Leg) -> bool {
        self.unreachable.insert(leg.id);
        !std::mem::replace(&mut leg.unreachable, true)
    }

    /// Marks a leg as reachable; returns whether it was unreachable.
    pub(super) fn reach(&mut self, leg: &mut Leg) -> bool {
        self.unreachable.remove(&leg.id);
        std::mem::take(&mut leg.unreachable)
    }

    /// Returns the legs that are unreachable.
    pub(super) fn unreachable(&self) -> Vec<DialogId> {
        self.unreachable.iter().copied().collect()
    }

    fn attached_to(&self, flow: FlowId) -> impl Iterator<Item = DialogId> {
        let range = (flow, DialogId(0))..=(flow, DialogId(u64::MAX));
        self.attached.range(range).map(|(_, dialog)| *dialog)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::endpoint::ids::ClientId;
    use crate::sip::flow::Transport;

    fn flow(id: u64, transport: Transport) -> Flow {
        let address = "192.0.2.1:5060".parse().unwrap();
        Flow { id: FlowId(id), transport, local: address, peer: address }
    }

    fn leg(id: u64) -> Box<Leg> {
        Leg::new(DialogId(id), LegState::Calling(Calling::default()))
    }

    #[test]
    fn a_connection_lists_the_legs_that_it_carries_until_they_are_detached() {
        let (mut legs, mut one, mut two) = (Legs::default(), leg(1), leg(3));
        for (id, transport) in [(7, Transport::Ws), (7, Transport::Ws), (8, Transport::Tcp)] {
            legs.attach(&mut one, &flow(id, transport));
        }
        legs.attach(&mut two, &flow(7, Transport::Ws));
        legs.attach(&mut two, &flow(9, Transport::Udp));
        assert_eq!((legs.on_flow(FlowId(7)), legs.on_flow(FlowId(8))), (vec![one.id, two.id], vec![one.id]));
        assert!(!legs.use_flow(FlowId(9)), "UDP has no connections");
        legs.detach_from(&mut one, FlowId(7));
        assert_eq!((legs.on_flow(FlowId(7)), legs.use_flow(FlowId(8))), (vec![two.id], true));
        legs.detach(&mut one);
        legs.detach(&mut two);
        assert_eq!(legs.entry_count(), 0);
    }

    #[test]
    fn a_tag_is_released_by_its_present_owner_only() {
        let (mut legs, leg, fork) = (Legs::default(), TagOwner::Leg(DialogId(1)), TagOwner::Fork(ClientId(4)));
        legs.give_tag("t".into(), fork);
        legs.give_tag("t".into(), leg);
        legs.release_tag("t", fork);
        assert_eq!(legs.owner_of("t"), Some(leg));
        legs.release_tag("t", leg);
        assert_eq!((legs.owner_of("t"), legs.entry_count()), (None, 0));
    }

    #[test]
    fn a_leg_is_lost_and_reached_once_each() {
        let (mut legs, mut leg) = (Legs::default(), leg(1));
        assert_eq!([legs.lose(&mut leg), legs.lose(&mut leg)], [true, false]);
        assert_eq!(legs.unreachable(), [leg.id]);
        assert_eq!([legs.reach(&mut leg), legs.reach(&mut leg)], [true, false]);
        assert_eq!(legs.entry_count(), 0);
    }
}
