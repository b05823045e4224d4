//! The REGISTER requests of our own registrations: their place, connection and transaction.
//!
//! Not here: what is sent when, and what a response means (`registrations`).

use std::time::{Duration, Instant};

use super::Endpoint;
use super::event::SipEvent;
use super::place::Place;
use super::registrations::{Next, Turn, Wish};
use super::tables::ClientUser;
use crate::sip::flow::{Flow, FlowId};
use crate::sip::message::{Message, Method};
use crate::sip::trunk::TrunkCredentials;

impl Endpoint {
    /// Registers a user at a trunk; replaces an earlier registration of the same user there.
    pub(super) fn register(&mut self, name: String, account: TrunkCredentials, expires: Duration, now: Instant) {
        let Some(trunk) = self.trunks.find(&name) else {
            let user = account.user;
            return self.event(SipEvent::RegistrationState { trunk: name, user, ok: false, status: 404 });
        };
        let turn = self.registrations.register(Wish { trunk, name, account, expires }, &mut self.tokens);
        self.send_register(turn, now);
    }

    /// Returns whether a registrar has not yet confirmed the removal of our registration.
    pub fn is_unregistering(&self) -> bool {
        self.registrations.is_unregistering()
    }

    /// Removes all registrations of ours.
    pub(super) fn unregister(&mut self, now: Instant) {
        for turn in self.registrations.unregister(&mut self.out) {
            self.send_register(turn, now);
        }
    }

    /// Handles a closed connection: the contacts that were registered over it are lost.
    pub(super) fn registrations_lost(&mut self, flow: FlowId, now: Instant) {
        for index in self.registrations.lost_with(flow) {
            self.register_failed(index, 503, now);
        }
    }

    pub(super) fn registration_timer(&mut self, index: usize, now: Instant) {
        if let Some(turn) = self.registrations.due(index) {
            self.send_register(turn, now);
        }
    }

    pub(super) fn register_answer(&mut self, index: usize, response: &Message<'_>, status: u16, now: Instant) {
        let answer = (response, status);
        match self.registrations.answered(index, answer, now, &mut self.tokens, &mut self.out) {
            Next::Rest => {}
            Next::Send(turn) => self.send_register(turn, now),
            Next::Refused(trunk) => self.trunks.note_error(trunk, refused_with(status)),
        }
    }

    /// Handles a REGISTER that could not be sent, or got no response.
    pub(super) fn register_failed(&mut self, index: usize, status: u16, now: Instant) {
        if let Some(trunk) = self.registrations.failed(index, status, None, now, &mut self.tokens, &mut self.out) {
            self.trunks.note_error(trunk, refused_with(status));
        }
    }

    fn send_register(&mut self, turn: Turn, now: Instant) {
        let index = turn.index;
        let to = match turn.proof {
            Some(_) => self.registrations.last_place(index),
            None => self.register_place(index, now),
        };
        let Some(to) = to.filter(|_| self.has_room()) else { return self.register_failed(index, 503, now) };
        let (branch, flow) = (self.tokens.branch(), to.1);
        let request = self.registrations.request(turn, to, &branch, &self.config);
        self.start_client(flow, &branch, Method::Register, request, ClientUser::Register(index), now);
    }

    fn register_place(&mut self, index: usize, now: Instant) -> Option<(Place, Flow)> {
        let places = self.places(self.registrations.trunk_of(index)?, now);
        let place = self.registrations.place(index, &places)?;
        let flow = self.flow_of(&place)?;
        Some((place, flow))
    }
}

fn refused_with(status: u16) -> String {
    format!("registration refused with {status}")
}
