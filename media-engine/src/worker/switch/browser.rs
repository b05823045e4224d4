//! Browser legs: the outputs of their peer, their negotiation, and their timers until they are connected.

use std::time::Instant;

use super::leg::Leg;
use super::send::{MAX_PACKET, assemble};
use super::transport::Browser;
use super::{Slot, Switch, contained};
use crate::leg::LegError;
use crate::leg::webrtc::{PeerOutput, WebRtcPeer};
use crate::rtp::RtpHeader;
use crate::units::LegId;
use crate::worker::command::WorkerEventKind;

impl Switch {
    /// Applies the browser's answer.
    pub(super) fn webrtc_answer(&mut self, id: LegId, sdp: &str, now: Instant) -> Result<(), LegError> {
        let slot = self.browser_slot(id)?;
        let result = self.with_peer(slot, now, |peer| {
            let result = peer.handle_answer(sdp);
            peer.handle_timeout(now);
            result
        });
        self.on_webrtc_negotiated(slot, now);
        result.unwrap_or(Err(LegError::OutOfOrder("the leg has ended")))
    }

    /// Answers the browser's new offer.
    pub(super) fn webrtc_reoffer(&mut self, id: LegId, sdp: &str, now: Instant) -> Result<String, LegError> {
        let slot = self.browser_slot(id)?;
        let result = self.with_peer(slot, now, |peer| {
            let result = peer.handle_reoffer(sdp);
            peer.handle_timeout(now);
            result
        });
        self.on_webrtc_negotiated(slot, now);
        result.unwrap_or(Err(LegError::OutOfOrder("the leg has ended")))
    }

    /// Fetches the outputs of a browser leg and acts on them.
    pub(super) fn pump(&mut self, leg: &mut Leg, now: Instant) {
        let Some(browser) = leg.transport.browser_mut() else { return };
        browser.transmit_pending(leg.slot, &mut self.outbox, &self.shared);
        browser.set_timer(now);
        while let Some(output) = leg.transport.browser_mut().and_then(|browser| browser.deferred.pop_front()) {
            match output {
                PeerOutput::Rtp { payload_type, seq, timestamp, ssrc, marker, payload, arrival } => {
                    let header = RtpHeader { payload_type, marker, sequence: seq, timestamp, ssrc };
                    let mut bytes = [0; MAX_PACKET];
                    match assemble(&header, &payload, &mut bytes) {
                        Some(packet) => self.on_packet(leg, &packet, arrival),
                        None => self.counters.malformed += 1,
                    }
                }
                PeerOutput::Connected => {
                    leg.connected = true;
                    leg.heard_at = now;
                    self.stale.push(leg.slot);
                    self.outbox.event(leg.slot, leg.id, WorkerEventKind::Connected);
                }
                PeerOutput::Closed(why) => leg.over = Some(why),
                PeerOutput::Transmit { .. } => {}
            }
        }
    }

    /// Runs the timers of browser legs that are not connected yet.
    pub(super) fn handle_connecting(&mut self, now: Instant) {
        let mut at = 0;
        while let Some(&slot) = self.connecting.get(at) {
            let leg = self.legs.get(slot.index()).and_then(Option::as_ref);
            let browser = leg.and_then(|leg| Some((leg.connected, leg.transport.browser()?)));
            match browser.map(|(connected, browser)| (connected, browser.timer_at <= now)) {
                None | Some((true, _)) => {
                    self.connecting.swap_remove(at);
                    continue;
                }
                Some((false, false)) => {}
                Some((false, true)) => {
                    self.guarded(slot, now, |switch, leg| {
                        if let Some(browser) = leg.transport.browser_mut() {
                            browser.peer.handle_timeout(now);
                        }
                        switch.pump(leg, now);
                    });
                    self.settle(slot, now);
                }
            }
            // A leg that failed has left the list, and the next leg takes its index.
            if self.connecting.get(at) == Some(&slot) {
                at += 1;
            }
        }
    }

    /// Returns the slot of a browser leg. A plain leg is refused, because a capture does not record what browsers send.
    fn browser_slot(&self, id: LegId) -> Result<Slot, LegError> {
        let slot = self.by_id.get(&id).copied().ok_or(LegError::OutOfOrder("the leg has ended"))?;
        let leg = self.legs.get(slot.index()).and_then(Option::as_ref);
        let is_browser = leg.is_some_and(|leg| leg.transport.is_browser());
        is_browser.then_some(slot).ok_or(LegError::OutOfOrder("the leg is plain RTP"))
    }

    /// Negotiates with a browser leg; a panic ends the leg.
    fn with_peer<R>(
        &mut self,
        slot: Slot,
        now: Instant,
        work: impl FnOnce(&mut WebRtcPeer) -> Result<R, LegError>,
    ) -> Option<Result<R, LegError>> {
        let browser = self.legs.get_mut(slot.index())?.as_mut()?.transport.browser_mut()?;
        let worked = contained(|| work(&mut browser.peer));
        Some(worked.unwrap_or_else(|why| {
            self.counters.panics += 1;
            self.remove(slot, Some(why.clone()), now);
            Err(LegError::Closed(why))
        }))
    }

    /// Completes an offer or answer of a browser leg: registers names for demultiplexing, applies the codec and sends
    /// first checks.
    pub(super) fn on_webrtc_negotiated(&mut self, slot: Slot, now: Instant) {
        let Some(Some(leg)) = self.legs.get_mut(slot.index()) else { return };
        if let Some(Browser { peer, .. }) = leg.transport.browser() {
            for ufrag in [Some(peer.ufrag()), peer.previous_ufrag()].into_iter().flatten() {
                if !self.by_ufrag.contains_key(ufrag) {
                    self.by_ufrag.insert(ufrag.to_owned(), slot);
                }
            }
        }
        self.guarded(slot, now, |switch, leg| {
            leg.on_webrtc_audio(now);
            switch.pump(leg, now);
        });
        self.refresh(slot, now);
    }
}
