//! Calls through a trunk's places in turn, and the probes of their health.
//!
//! ```text
//!   Invite ─▶ places: healthy first, then by priority, then by weight
//!     ├─ 408, 480, 503, 504, connection failed ──▶ next place at once
//!     ├─ silence for 2 s (4 s if only unhealthy places are left) ──▶ next place; this one is cancelled
//!     └─ anything else ends the call
//!   OPTIONS every `probe` ─▶ health
//! ```
//!
//! Not here: which place is tried when (`attempts`), the state of trunks (`trunks`), challenges (`challenging`),
//! registrations (`registrations`), names (`sip_io`).

use std::time::Instant;

use super::Endpoint;
use super::abilities::ALLOW;
use super::attempts::Attempts;
use super::command::{DialogId, Invite};
use super::event::SipEvent;
use super::ids::ClientId;
use super::legs::{Calling, Failure, Leg, LegState};
use super::outbox::Timeout;
use super::outgoing::Goal;
use super::place::Place;
use super::tables::ClientUser;
use super::trunks::{TrunkStatus, Way};
use crate::sip::flow::Flow;
use crate::sip::message::{Message, Method};
use crate::sip::trunk::{Destination, TrunkIndex};
use crate::sip::write::RequestBuilder;

impl Endpoint {
    /// Returns the state of every trunk.
    pub fn trunk_status(&self, now: Instant) -> Vec<TrunkStatus> {
        self.trunks.status(|trunk| self.registrations.is_registered(trunk), now)
    }

    /// Replaces a trunk's destinations after its names were resolved.
    pub(super) fn trunk_resolved(&mut self, name: &str, destinations: Vec<Destination>, now: Instant) {
        let Some(index) = self.trunks.find(name) else { return };
        self.trunks.resolved(index, destinations);
        self.registrations.wake(index, now, &mut self.out);
    }

    /// Starts what trunks do on their own: registrations and probes.
    pub(super) fn start_trunks(&mut self, now: Instant) {
        for index in self.trunks.indices() {
            let settings = self.trunks.settings(index);
            if let (Some(expires), Some(credentials)) = (settings.register, settings.credentials.clone()) {
                let name = self.trunks.trunk(index).name.clone();
                self.register(name, credentials, expires, now);
            }
            self.probe(index, now);
        }
    }

    /// Calls a number through a trunk. `urgent` calls ignore its limits.
    pub(super) fn invite_trunk(&mut self, call: Invite, name: &str, user: &str, urgent: bool, now: Instant) {
        let id = call.dialog;
        let fail = |status, reason: &str| SipEvent::Failed { dialog: id, status, reason: reason.into(), told: None };
        let Some(index) = self.trunks.find(name) else { return self.event(fail(404, "No Such Trunk")) };
        let places = self.places(index, now);
        if places.is_empty() {
            self.trunks.note_error(index, "no address is known: its name does not resolve");
            return self.event(fail(503, "Trunk Without Address"));
        }
        if !self.trunks.has_room(index, Way::Out, now) && !urgent {
            self.trunks.note_error(index, "its call limit was reached");
            return self.event(fail(503, "Trunk Full"));
        }
        let user = self.trunks.settings(index).numbers.to_trunk(user);
        let attempts = Attempts::new(call, user, places);
        let mut leg =
            Leg::new(id, LegState::Calling(Calling { attempts: Some(Box::new(attempts)), ..Calling::default() }));
        self.belongs_to(&mut leg, index);
        self.out.rearm_after(&mut leg.timer, self.config.unanswered, now, Timeout::Leg(id));
        self.legs.put(leg);
        if !self.try_next_place(id, now) {
            self.drop_leg(id, now);
            self.trunks.note_error(index, "no listener can reach its addresses");
            self.event(fail(503, "No Listener"));
        }
    }

    /// Counts a leg as a call of its trunk until it is dismantled.
    pub(super) fn belongs_to(&mut self, leg: &mut Leg, index: TrunkIndex) {
        leg.trunk = Some(index);
        self.trunks.call_started(index);
    }

    /// Returns whether a call of the trunk fits into its channels.
    pub(super) fn has_channel(&mut self, index: TrunkIndex, now: Instant) -> bool {
        self.trunks.has_room(index, Way::In, now)
    }

    /// Tries the next place of a call's trunk; returns `false` if none is left.
    pub(super) fn try_next_place(&mut self, id: DialogId, now: Instant) -> bool {
        let Some(mut leg) = self.legs.take(id) else { return false };
        let tried = self.start_attempt(&mut leg, now);
        self.legs.put(leg);
        tried
    }

    fn start_attempt(&mut self, leg: &mut Leg, now: Instant) -> bool {
        let id = leg.id;
        let LegState::Calling(calling) = &mut leg.state else { return false };
        let Some(mut attempts) = calling.attempts.take() else { return false };
        attempts.stop(&mut self.out);
        let mut tried = None;
        while let Some((place, uri)) = attempts.next() {
            if let Some(flow) = self.flow_of(&place) {
                let goal = Goal { to: format!("<{uri}>"), uri, flow, routes: Vec::new(), place: Some(place) };
                tried = Some((self.start_fork(attempts.call(), goal, now), flow));
                break;
            }
            self.trunks.failed(&place, "no listener can reach this address", None, now, &mut self.out);
        }
        if tried.is_some() {
            attempts.watch(id, &self.trunks, now, &mut self.out);
        }
        calling.attempts = Some(attempts);
        if let Some((client, flow)) = tried {
            calling.forks.push((client, flow));
            self.legs.attach(leg, &flow);
        }
        tried.is_some()
    }

    /// Restarts the patience for the same place, which is asked once more with a password or a longer interval.
    pub(super) fn attempt_again(&mut self, id: DialogId, now: Instant) {
        if let Some(attempts) = self.legs.calling(id).and_then(|calling| calling.attempts.as_mut()) {
            attempts.watch(id, &self.trunks, now, &mut self.out);
        }
    }

    /// Updates the health of a trunk's place by a response to a request that may have gone there.
    pub(super) fn note_trunk_response(&mut self, user: &ClientUser, response: &Message<'_>, status: u16, now: Instant) {
        match user {
            ClientUser::Fork(fork) => {
                if let Some(place) = fork.tried_place() {
                    self.trunks.answered(place, response, status, now, &mut self.out);
                }
                if fork.place.is_some() && !fork.abandoned {
                    self.attempt_answered(fork.dialog);
                }
            }
            ClientUser::Probe(place) if status >= 200 => {
                self.trunks.answered(place, response, status, now, &mut self.out)
            }
            _ => {}
        }
    }

    /// Handles a place that has been silent for too long: the next one is tried, and a late answer of this one is
    /// cancelled.
    pub(super) fn attempt_timer(&mut self, id: DialogId, now: Instant) {
        let Some(leg) = self.legs.get_mut(id) else { return };
        let LegState::Calling(calling) = &mut leg.state else { return };
        let Some(attempts) = &mut calling.attempts else { return };
        attempts.expired();
        let nobody = || Failure { status: 408, reason: "Request Timeout".into(), told: None };
        calling.failure.get_or_insert_with(nobody);
        for (client, _) in std::mem::take(&mut calling.forks) {
            let place = self.place_of(client);
            self.abandon_fork(client, now);
            if let Some(place) = place {
                self.trunks.failed(&place, "no answer, not even a provisional one", None, now, &mut self.out);
            }
        }
        if !self.try_next_place(id, now) {
            self.call_failed(id, now);
        }
    }

    /// Stops the timer for the place's silence, since it has responded.
    fn attempt_answered(&mut self, id: DialogId) {
        if let Some(attempts) = self.legs.calling(id).and_then(|calling| calling.attempts.as_mut()) {
            attempts.stop(&mut self.out);
        }
    }

    /// Returns the flow towards a place.
    pub(super) fn flow_of(&mut self, place: &Place) -> Option<Flow> {
        self.flow_towards(place.transport, place.address, &place.host)
    }

    /// Returns every address of a trunk in the order in which they are tried.
    pub(super) fn places(&mut self, index: TrunkIndex, now: Instant) -> Vec<Place> {
        self.trunks.places(index, |address| self.connections.reaches(address), &mut self.tokens, now)
    }

    fn place_of(&mut self, client: ClientId) -> Option<Place> {
        let client = self.tables.client(client)?;
        match &client.user {
            ClientUser::Fork(fork) => fork.tried_place().cloned(),
            _ => None,
        }
    }

    /// Probes every address of a trunk, and arms the timer for the next time.
    pub(super) fn probe(&mut self, index: TrunkIndex, now: Instant) {
        if self.trunks.settings(index).probe.is_none() {
            return;
        }
        let places = if self.draining { Vec::new() } else { self.places(index, now) };
        for place in places {
            if let Some(flow) = self.flow_of(&place)
                && self.has_room()
            {
                let (branch, call_id, tag) = (self.tokens.branch(), self.tokens.fresh(), self.tokens.fresh());
                let uri = place.uri("");
                let from = format!("<sip:{}>;tag={tag}", self.config.domain);
                let options = RequestBuilder::new("OPTIONS", &uri)
                    .header("Via", self.config.via(&flow, &branch))
                    .header("Max-Forwards", 70)
                    .header("From", from)
                    .header("To", format_args!("<{uri}>"))
                    .header("Call-ID", call_id)
                    .header("CSeq", "1 OPTIONS")
                    .header("Contact", self.config.contact(&flow, ""))
                    .header("Allow", ALLOW)
                    .header("User-Agent", &self.config.user_agent);
                let user = ClientUser::Probe(Box::new(place));
                self.start_client(flow, &branch, Method::Options, options.build(), user, now);
            }
        }
        match self.draining {
            true => self.trunks.stop_probing(index, &mut self.out),
            false => self.trunks.probe_later(index, &mut self.tokens, now, &mut self.out),
        }
    }
}
