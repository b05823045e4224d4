//! Finds the leg that a datagram belongs to.
//!
//! ```text
//! a leg's own port ──▶ the leg ───────────────────────────┐
//! shared port ─▶ STUN user name, else source address ─▶ leg ┴─▶ checked, opened ─▶ receive
//! ```

use std::net::SocketAddr;
use std::time::Instant;

use super::transport::Transport;
use super::{MAX_SOURCES, Slot, Switch};
use crate::leg::rtp::{Component, Received};
use crate::leg::webrtc::{Media, stun_username_ufrag};
use crate::worker::command::WorkerEventKind;

impl Switch {
    /// Handles a datagram at one of a plain RTP leg's ports.
    pub(super) fn leg_datagram(
        &mut self,
        slot: Slot,
        component: Component,
        from: SocketAddr,
        bytes: &mut [u8],
        now: Instant,
    ) {
        self.counters.datagrams += 1;
        self.guarded(slot, now, |switch, leg| {
            let Transport::Rtp(rtp) = &mut leg.transport else { return };
            match rtp.handle_datagram(component, from, bytes, now) {
                Received::Rtp(packet) => switch.on_packet(leg, &packet, now),
                Received::Moved(packet) => {
                    switch.counters.sources_moved += 1;
                    switch.outbox.event(leg.slot, leg.id, WorkerEventKind::SourceMoved { to: from });
                    switch.on_packet(leg, &packet, now);
                }
                Received::Rtcp => {}
                Received::Unproven => switch.counters.unproven += 1,
                Received::Foreign => {
                    leg.on_foreign(component, from, bytes, now);
                    switch.counters.foreign += 1;
                }
                Received::Malformed => {
                    leg.on_refused(bytes, false, now);
                    switch.counters.malformed += 1;
                }
                Received::Unauthentic => {
                    leg.on_refused(bytes, true, now);
                    switch.counters.unauthentic += 1;
                }
                Received::Replayed => switch.counters.replayed += 1,
            }
        });
        self.settle(slot, now);
    }

    /// Handles a datagram at shared port number `at`: assigned by the ICE user that it names, else by its source
    /// address.
    pub(super) fn shared_datagram(&mut self, at: usize, from: SocketAddr, bytes: &mut [u8], now: Instant) {
        self.counters.datagrams += 1;
        let named = stun_username_ufrag(bytes).and_then(|ufrag| self.by_ufrag.get(ufrag)).copied();
        let known = self.by_source.get(&from).copied();
        let (Some(slot), Some(&local)) = (named.or(known), self.shared.get(at)) else {
            self.counters.strangers += 1;
            return;
        };
        let mut proven = false;
        self.guarded(slot, now, |switch, leg| {
            let Some(browser) = leg.transport.browser_mut() else { return };
            let peer = &mut browser.peer;
            if peer.is_media(bytes) {
                match peer.handle_media(from, bytes, now) {
                    Media::Rtp(packet) => switch.on_packet(leg, &packet, now),
                    Media::Rtcp => leg.reporting.flow.on_reached(now),
                    Media::Unauthentic => {
                        leg.on_refused(bytes, true, now);
                        switch.counters.unauthentic += 1;
                    }
                    Media::Replayed => switch.counters.replayed += 1,
                    Media::Foreign => switch.counters.foreign += 1,
                    Media::Malformed => {
                        leg.on_refused(bytes, false, now);
                        switch.counters.malformed += 1;
                    }
                }
                return;
            }
            let received = peer.quality().packets_received;
            peer.handle_datagram(from, local, bytes, now);
            proven = peer.has_verified(from);
            if proven {
                leg.reporting.flow.on_reached(now);
            }
            switch.pump(leg, now);
            if leg.transport.browser().is_some_and(|browser| browser.peer.quality().packets_received == received) {
                leg.on_refused(bytes, true, now);
            }
        });
        // A user name is not secret: only a check with the right password proves a browser's address.
        if proven && known != Some(slot) {
            self.learn_source(from, slot);
        }
        self.settle(slot, now);
    }

    /// Assigns packets from this address to the leg from now on, unless another leg has proven the address. Otherwise
    /// any leg could claim it, because a peer with a password of its own can send a check from anywhere.
    fn learn_source(&mut self, from: SocketAddr, slot: Slot) {
        let owner = self.by_source.get(&from).and_then(|owner| self.legs.get(owner.index())?.as_ref());
        let owner = owner.and_then(|leg| leg.transport.browser());
        if owner.is_some_and(|browser| browser.peer.has_verified(from)) {
            self.counters.strangers += 1;
            return;
        }
        if self.by_source.values().filter(|&&other| other == slot).count() >= MAX_SOURCES
            && let Some(Some(leg)) = self.legs.get(slot.index())
            && let Some(browser) = leg.transport.browser()
        {
            self.by_source.retain(|source, other| *other != slot || browser.peer.has_verified(*source));
        }
        self.by_source.insert(from, slot);
    }
}
