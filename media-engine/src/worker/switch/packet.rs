//! Packets: from datagrams to playout buffers and on to listeners; from frames and keys to datagrams.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::leg::{Format, Leg, Path, Transport};
use super::{Counters, MAX_SOURCES, Slot, Socket, Switch};
use crate::leg::rtp::{Component, Received};
use crate::leg::webrtc::{PeerOutput, stun_username_ufrag};
use crate::rtp::telephone_event::{Digit, EVENT_LEN, TelephoneEvent};
use crate::rtp::{RtpHeader, RtpPacket};
use crate::worker::command::WorkerEventKind;
use crate::worker::outbox::Outbox;

/// Least time between two looks at a browser leg's timers.
const TIMER_STEP: Duration = Duration::from_millis(1);
/// Longest RTP packet taken from a browser.
const MAX_PACKET: usize = 1500;

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carries {
    Audio,
    Event,
}

impl Switch {
    /// A datagram on one of a plain RTP leg's ports.
    pub fn handle_datagram(&mut self, slot: Slot, socket: Socket, from: SocketAddr, bytes: &[u8], now: Instant) {
        self.counters.datagrams += 1;
        self.guarded(slot, now, |switch, leg| {
            let Transport::Rtp(rtp) = &mut leg.transport else { return };
            let component = if socket == Socket::Rtcp { Component::Rtcp } else { Component::Rtp };
            match rtp.handle_datagram(component, from, bytes, now) {
                Received::Rtp(packet) => switch.on_packet(leg, &packet, now),
                Received::Rtcp => {}
                Received::Foreign => switch.counters.foreign += 1,
                Received::Malformed => switch.counters.malformed += 1,
            }
        });
        self.settle(slot, now);
    }

    /// A datagram on the shared port number `at`: by the ICE user it names, else by where it comes from.
    pub fn handle_shared_datagram(&mut self, at: usize, from: SocketAddr, bytes: &[u8], now: Instant) {
        self.counters.datagrams += 1;
        let named = stun_username_ufrag(bytes).and_then(|ufrag| self.by_ufrag.get(ufrag)).copied();
        let known = self.by_source.get(&from).copied();
        let (Some(slot), Some(&local)) = (named.or(known), self.shared.get(at)) else {
            self.counters.strangers += 1;
            return;
        };
        if known != Some(slot) {
            if self.by_source.values().filter(|&&other| other == slot).count() >= MAX_SOURCES {
                self.counters.strangers += 1;
                return;
            }
            self.by_source.insert(from, slot);
        }
        self.guarded(slot, now, |switch, leg| {
            let Transport::WebRtc(peer) = &mut leg.transport else { return };
            peer.handle_datagram(from, local, bytes, now);
            switch.pump(leg, now);
        });
        self.settle(slot, now);
    }

    /// Empties a browser leg's outputs and acts on them.
    pub(super) fn pump(&mut self, leg: &mut Leg, now: Instant) {
        transmit_pending(leg, &mut self.outbox, &self.shared);
        if let Transport::WebRtc(peer) = &leg.transport {
            // Never twice in the same millisecond, whatever the peer wants: the driver's loop must end.
            leg.timer_at = peer.poll_timeout().max(now + TIMER_STEP);
        }
        while let Some(output) = leg.deferred.pop_front() {
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

    /// A valid packet of the leg's.
    fn on_packet(&mut self, leg: &mut Leg, packet: &RtpPacket<'_>, now: Instant) {
        let Some(format) = leg.format else { return };
        let carries = if packet.payload_type() == format.receive_payload_type {
            Carries::Audio
        } else if format.event.is_some_and(|event| event.receive_payload_type == packet.payload_type()) {
            Carries::Event
        } else {
            self.counters.malformed += 1;
            return;
        };
        leg.on_heard(&mut self.outbox, now);
        match (&leg.transport, carries) {
            (Transport::Rtp(_), _) => {}
            (Transport::WebRtc(_), Carries::Audio) => leg.received.on_rtp(packet, now),
            (Transport::WebRtc(_), Carries::Event) => leg.received.on_untimed_packet(packet.sequence(), now),
        }
        if !format.receives {
            self.counters.unroutable += 1;
            return;
        }
        match carries {
            Carries::Audio => leg.insert(packet, now),
            Carries::Event => {
                let Ok(event) = TelephoneEvent::parse(packet.payload()) else {
                    self.counters.malformed += 1;
                    return;
                };
                if let Some(digit) = leg.events_in.on_packet(packet.timestamp(), &event, now) {
                    self.on_digit(leg, &format, digit);
                }
            }
        }
        self.relay(leg, &format, packet, carries, now);
    }

    /// Passes the packet to those who hear the leg by relay.
    fn relay(&mut self, leg: &mut Leg, format: &Format, packet: &RtpPacket<'_>, carries: Carries, now: Instant) {
        let (from, Switch { legs, outbox, counters, shared, .. }) = (leg.slot, self);
        if leg.path == Path::Relay(from) {
            pass_on(leg, format, packet, carries, outbox, counters, shared, now);
        }
        let Some(peer) = leg.peer else { return };
        if let Some(Some(listener)) = legs.get_mut(peer.index())
            && listener.path == Path::Relay(from)
        {
            pass_on(listener, format, packet, carries, outbox, counters, shared, now);
        }
    }

    /// A key was pressed on the leg: told, and pressed anew towards a listener that its packets do not reach.
    pub(super) fn on_digit(&mut self, leg: &Leg, format: &Format, digit: Digit) {
        let clock = format.event.map_or(format.clock(), |event| event.clock);
        let duration_ms = (u64::from(digit.duration_ticks) * 1_000 / u64::from(clock.0.max(1))) as u32;
        self.outbox.event(leg.slot, leg.id, WorkerEventKind::Dtmf { digit: digit.digit, duration_ms });
        if leg.muted {
            return;
        }
        let Some(Some(Some(listener))) = leg.peer.map(|peer| self.legs.get_mut(peer.index())) else { return };
        if reaches(listener, leg.slot, format) {
            return;
        }
        if listener.press(digit.digit, duration_ms) {
            self.stale.push(listener.slot);
        } else {
            self.counters.unroutable += 1;
        }
    }

    /// One packet of the key that is being pressed towards the leg, or the pause after it: 20 ms of the stream either way.
    pub(super) fn send_key(&mut self, leg: &mut Leg, format: &Format, now: Instant) {
        if format.event.is_none() {
            leg.keys.forget();
        }
        let packet = format
            .event
            .filter(|event| leg.can_send() && leg.keys.advance(event.clock))
            .and_then(|event| Some((event, leg.keys.sender.as_mut()?.next_packet()?)));
        if let Some((event, packet)) = packet {
            let mut payload = [0; EVENT_LEN];
            let written = packet.event.write_to(&mut payload);
            // The packets of one key share a timestamp; the ticks that they take are made up for at the end.
            let header = leg.outgoing.generate_at(event.payload_type, packet.marker, 0, now);
            leg.keys.ticks += format.tick();
            if written.is_ok() && send(leg, &header, &payload, &mut self.outbox, &self.shared, now) {
                self.counters.packets_sent += 1;
            }
            if !packet.last {
                return;
            }
        }
        let ticks = leg.keys.released(format.event.is_some());
        leg.outgoing.skip(if packet.is_some() { ticks } else { format.tick() });
    }

    /// Encodes the frame in the scratch buffer and sends what it fills.
    pub(super) fn encode(&mut self, leg: &mut Leg, format: &Format, samples: usize, now: Instant) {
        let Switch { outbox, counters, shared, scratch, .. } = self;
        let Some(to) = leg.send.as_mut() else { return };
        let Ok(length) = to.encode(&scratch.pcm[..samples], &mut scratch.payload) else {
            counters.frames_failed += 1;
            leg.outgoing.skip(format.tick());
            return;
        };
        let bytes = format.packet_bytes().unwrap_or(length).max(1);
        if bytes == length && to.pending.is_empty() {
            emit(leg, format, format.tick(), &scratch.payload[..length], outbox, counters, shared, now);
            return;
        }
        // Sample-based codecs at another ptime: packets are cut from a run of encoded samples.
        if to.pending.len() + length > to.pending.capacity() {
            to.pending.clear();
        }
        to.pending.extend_from_slice(&scratch.payload[..length]);
        let ticks = format.clock().ticks(format.ptime.0) as u32;
        while let Some(to) = leg.send.as_mut().filter(|to| to.pending.len() >= bytes) {
            scratch.payload[..bytes].copy_from_slice(&to.pending[..bytes]);
            to.pending.drain(..bytes);
            emit(leg, format, ticks, &scratch.payload[..bytes], outbox, counters, shared, now);
        }
    }

    /// Third pass of a tick: RTCP, ICE and DTLS timers, reports, time-outs, paths that may become relays again.
    pub(super) fn tick_upkeep(&mut self, slot: Slot, now: Instant) {
        self.guarded(slot, now, |switch, leg| {
            match &mut leg.transport {
                Transport::Rtp(rtp) => {
                    if rtp.is_report_due(now) {
                        switch.outbox.transmit_report(slot, |out| rtp.write_report(now, out));
                    }
                }
                Transport::WebRtc(peer) => {
                    if leg.timer_at <= now {
                        peer.handle_timeout(now);
                    }
                    switch.pump(leg, now);
                }
            }
            leg.report(&mut switch.outbox, now);
            if leg.played_at.is_some() && leg.may_be_relayed_to(now) {
                leg.played_at = None;
                switch.stale.push(slot);
            } else if leg.keys.ended() {
                switch.stale.push(slot);
            }
        });
        self.settle(slot, now);
    }

    /// Timers of the browser legs that are not connected yet.
    pub(super) fn handle_connecting(&mut self, now: Instant) {
        let mut at = 0;
        while let Some(&slot) = self.connecting.get(at) {
            let leg = self.legs.get(slot.index()).and_then(Option::as_ref);
            match leg.map(|leg| (leg.connected, leg.timer_at <= now)) {
                None | Some((true, _)) => {
                    self.connecting.swap_remove(at);
                    continue;
                }
                Some((false, false)) => {}
                Some((false, true)) => {
                    self.guarded(slot, now, |switch, leg| {
                        if let Transport::WebRtc(peer) = &mut leg.transport {
                            peer.handle_timeout(now);
                        }
                        switch.pump(leg, now);
                    });
                    self.settle(slot, now);
                }
            }
            // A leg that failed has left the list: the next one then stands in its place.
            if self.connecting.get(at) == Some(&slot) {
                at += 1;
            }
        }
    }

    /// After work on a leg: ends it if its transport did, brings paths up to date that the work made stale.
    fn settle(&mut self, slot: Slot, now: Instant) {
        let over = self.legs.get_mut(slot.index()).and_then(|leg| leg.as_mut()?.over.take());
        if let Some(why) = over {
            self.remove(slot, Some(why), now);
        }
        while let Some(slot) = self.stale.pop() {
            self.refresh(slot, now);
        }
    }
}

/// Sends a packet of another leg on to `listener`, with mapped numbers.
#[expect(clippy::too_many_arguments, reason = "parts of the switch that are borrowed apart")]
fn pass_on(
    listener: &mut Leg,
    from: &Format,
    packet: &RtpPacket<'_>,
    carries: Carries,
    outbox: &mut Outbox,
    counters: &mut Counters,
    shared: &[SocketAddr],
    now: Instant,
) {
    let Some(to) = listener.format else { return };
    let payload_type = match carries {
        Carries::Audio => Some(to.payload_type),
        Carries::Event => match (from.event, to.event) {
            (Some(here), Some(there)) if here.clock == there.clock => Some(there.payload_type),
            _ => None,
        },
    };
    // A packet that cannot go on still takes its number: the far end sees the gap that there is.
    let header = listener.outgoing.map_at(packet, now);
    listener.talking = false;
    let (Some(payload_type), Some(header)) = (payload_type, header) else {
        counters.unroutable += 1;
        return;
    };
    if send(listener, &RtpHeader { payload_type, ..header }, packet.payload(), outbox, shared, now) {
        counters.packets_sent += 1;
        counters.packets_relayed += 1;
    }
}

/// Sends one generated audio packet that lasts `ticks`.
#[expect(clippy::too_many_arguments, reason = "parts of the switch that are borrowed apart")]
fn emit(
    leg: &mut Leg,
    format: &Format,
    ticks: u32,
    payload: &[u8],
    outbox: &mut Outbox,
    counters: &mut Counters,
    shared: &[SocketAddr],
    now: Instant,
) {
    let begins = !std::mem::replace(&mut leg.talking, true);
    let header = leg.outgoing.generate_at(format.payload_type, begins, ticks, now);
    if send(leg, &header, payload, outbox, shared, now) {
        counters.packets_sent += 1;
    } else {
        counters.frames_failed += 1;
    }
}

/// Writes one packet to the leg's transport.
fn send(
    leg: &mut Leg,
    header: &RtpHeader,
    payload: &[u8],
    outbox: &mut Outbox,
    shared: &[SocketAddr],
    now: Instant,
) -> bool {
    let sent = match &mut leg.transport {
        Transport::Rtp(rtp) => outbox.transmit(leg.slot, Socket::Rtp, |out| rtp.write_rtp(header, payload, out, now)),
        Transport::WebRtc(peer) => {
            let sequence = leg.outgoing.extend_outgoing(header.sequence);
            let RtpHeader { payload_type, timestamp, marker, .. } = *header;
            let sent = peer.write_rtp(payload_type, sequence, timestamp, marker, payload, now).is_ok();
            transmit_pending(leg, outbox, shared);
            sent
        }
    };
    leg.packets_sent += u64::from(sent);
    sent
}

/// A packet out of its parts, so that both transports' packets look the same from here on.
fn assemble<'a>(header: &RtpHeader, payload: &[u8], bytes: &'a mut [u8]) -> Option<RtpPacket<'a>> {
    let begin = header.write_to(bytes).ok()?;
    bytes.get_mut(begin..begin + payload.len())?.copy_from_slice(payload);
    RtpPacket::parse(&bytes[..begin + payload.len()]).ok()
}

/// Moves a browser leg's datagrams to the outbox; what else it has to say waits until the leg itself is worked on.
pub(super) fn transmit_pending(leg: &mut Leg, outbox: &mut Outbox, shared: &[SocketAddr]) {
    let Transport::WebRtc(peer) = &mut leg.transport else { return };
    while let Some(output) = peer.poll_output() {
        match output {
            PeerOutput::Transmit { to, from, bytes } => {
                let at = shared.iter().position(|&address| address == from).unwrap_or(0);
                outbox.transmit(leg.slot, Socket::Shared(at), |out| {
                    out.get_mut(..bytes.len())?.copy_from_slice(&bytes);
                    Some((to, bytes.len()))
                });
            }
            other => leg.deferred.push_back(other),
        }
    }
}

/// Whether telephone-event packets of the leg in `from` are relayed to `listener`.
fn reaches(listener: &Leg, from: Slot, format: &Format) -> bool {
    let clocks =
        (format.event.map(|event| event.clock), listener.format.and_then(|f| f.event).map(|event| event.clock));
    listener.path == Path::Relay(from) && clocks.0 == clocks.1
}
