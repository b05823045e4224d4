//! Parking of a call: its slot, and the events about it.

use std::time::Duration;

use super::{CallTask, Newcomer};
use crate::call::{Destination, Input, LegRole, Refused, Unparked};
use crate::engine::command::{CommandError, Park, Reply};
use crate::engine::dial;
use crate::engine::event::EventKind;
use crate::engine::leg::Leg;
use crate::engine::parking::{NOT_PARKED, ParkedCall, SLOTS};
use crate::net::clock;
use crate::sip::Source;
use crate::units::{LegId, mask};

impl CallTask {
    /// Parks the partner of a leg.
    pub(super) async fn park(&mut self, by: LegId, park: Park) -> Result<Reply, CommandError> {
        let Park { slot, wait, back } = park;
        if slot.is_some_and(|slot| !SLOTS.contains(&slot)) {
            let problem = format!("expected {} to {}", SLOTS.start(), SLOTS.end());
            return Err(CommandError::Invalid { field: "slot", problem });
        }
        let group = self.group.ok_or_else(|| CommandError::Conflict("the call belongs to no organization".into()))?;
        let parker = match self.leg(by).and_then(Leg::owner) {
            Some(Source::User(user)) => Some(user.clone()),
            Some(Source::Trunk(_)) | None => None,
        };
        let back = parker.clone().filter(|_| back).map(Destination::Agent);
        let input = Input::Park { by, wait, back };
        self.call.check(&input)?;
        let Some(waits) = self.partner(by) else { return Err(CommandError::NoLeg) };
        let (leg, since) = (waits.id, clock::system_now());
        let until = since.checked_add(wait).unwrap_or(since);
        let (call, peer, slot) = (self.id, waits.peer.clone(), slot.unwrap_or_default());
        let parked = ParkedCall { slot, call, leg, peer, parked_by: parker, since, until };
        let slot = self.shared.parking.take(group, parked);
        let slot = slot.map_err(|why| CommandError::Conflict(why.to_string()))?;
        let number = slot.number();
        self.slot = Some(slot);
        self.handle(input).await;
        Ok(Reply::Parked { leg, slot: number })
    }

    /// Calls an agent for the party that is parked in a slot.
    pub(super) async fn pick_up(
        &mut self,
        slot: u16,
        agent: String,
        ring: Option<Duration>,
    ) -> Result<Reply, CommandError> {
        if self.slot.as_ref().is_none_or(|known| known.number() != slot) {
            return Err(CommandError::NotFound);
        }
        let to = Destination::Agent(agent.clone());
        let input = Input::PickUp { to: to.clone(), ring };
        self.call.check(&input)?;
        if !self.reaches(&agent) {
            let problem = "no agent of this call's organization has this name".to_owned();
            return Err(CommandError::Invalid { field: "agent", problem });
        }
        if !self.shared.pool.has_room() {
            return Err(CommandError::Busy("the media threads have no room for another leg; try again later"));
        }
        let id = self.call.next_leg();
        tracing::info!(call = %self.id, leg = %id, to = %mask(&agent), slot, "picking up a parked call");
        let role = self.call.parker_role().unwrap_or(LegRole::Agent);
        let mut leg = Leg::new(id, role, dial::name_of(&to).to_owned());
        leg.added = true;
        self.legs.push(leg);
        self.picks_up = Some(id);
        self.handle(input).await;
        Ok(Reply::PickedUp { call: self.id, leg: id })
    }

    /// Takes in a telephone that has dialled the call's slot.
    pub(super) async fn on_picked_up(&mut self, newcomer: Newcomer, slot: u16) {
        let is_ours = match &newcomer.from {
            Source::User(user) => self.group.is_some() && self.shared.group_of(user) == self.group,
            Source::Trunk(_) => false,
        };
        let refusal = match self.call.check(&Input::PickUpByCaller) {
            _ if !is_ours || self.slot.as_ref().is_none_or(|known| known.number() != slot) => {
                Some((NOT_PARKED.0, NOT_PARKED.1.to_owned()))
            }
            Err(Refused::Full) => Some((503, Refused::Full.to_string())),
            Err(why) => Some((486, why.to_string())),
            Ok(()) if !self.shared.pool.has_room() => {
                Some((503, "no media thread has room for another leg".to_owned()))
            }
            Ok(()) => None,
        };
        if let Some((status, why)) = refusal {
            tracing::info!(call = %self.id, slot, status, why, "a telephone may not pick up a parked call");
            self.shared.dialogs.remove(&newcomer.dialog);
            return self.signals().refuse(newcomer.dialog, status, Some(&why));
        }
        tracing::info!(call = %self.id, by = %mask(&newcomer.from_user), slot, "a telephone picks up a parked call");
        self.admit(newcomer, self.call.parker_role().unwrap_or(LegRole::Agent));
        self.handle(Input::PickUpByCaller).await;
    }

    pub(super) fn tell_parked(&self, leg: LegId, wait: Duration) {
        let Some(slot) = self.slot.as_ref() else { return };
        let slot = slot.number();
        let listed = self.group.map(|group| self.shared.parking.list(group)).unwrap_or_default();
        let Some(ParkedCall { parked_by, until, .. }) = listed.into_iter().find(|parked| parked.slot == slot) else {
            return;
        };
        tracing::info!(call = %self.id, %leg, slot, ?wait, "parked");
        self.shared.tell(Some(self.id), EventKind::Parked { leg, slot, parked_by, until });
    }

    /// Reports that the party is no longer parked, and frees the slot.
    pub(super) fn tell_unparked(&mut self, leg: LegId, why: Unparked) {
        let Some(slot) = self.slot.take() else { return };
        tracing::info!(call = %self.id, %leg, slot = slot.number(), ?why, "no longer parked");
        self.shared.tell(Some(self.id), EventKind::Unparked { leg, slot: slot.number(), why });
    }
}
