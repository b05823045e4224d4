//! Packets: from datagrams to playout buffers and on to listeners; from frames and keys to datagrams.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use codecs::opus::DTX_MAX_PAYLOAD;
use codecs::splice;

use super::leg::{Format, Leg, Path, Transport, table_between};
use super::{Counters, MAX_SOURCES, Slot, Socket, Switch};
use crate::jitter::Next;
use crate::leg::rtp::{Component, Received};
use crate::leg::webrtc::{Media, PeerOutput, stun_username_ufrag};
use crate::rtp::telephone_event::{Digit, EVENT_LEN, TelephoneEvent};
use crate::rtp::{RtpHeader, RtpPacket};
use crate::sdp::Codec;
use crate::worker::command::WorkerEventKind;
use crate::worker::outbox::Outbox;

/// Least time between two looks at a browser leg's timers.
const TIMER_STEP: Duration = Duration::from_millis(1);
/// Longest RTP packet taken from a browser.
const MAX_PACKET: usize = 1500;

/// At most so much sound is left out or repeated where a leg changes from frames to relayed packets.
const SPLICE_MS: u32 = 10;

/// A pause is told of by comfort noise from its third frame on: the first may hold the end of the sound before.
const PAUSE_AFTER: u32 = 3;
/// Frames from one description of the noise to the next.
const NOISE_EVERY: u32 = 20;

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carries {
    Audio,
    Event,
    Noise,
}

impl Switch {
    /// A datagram on one of a plain RTP leg's ports.
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

    /// A datagram on the shared port number `at`: by the ICE user it names, else by where it comes from.
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
            let Transport::WebRtc(peer) = &mut leg.transport else { return };
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
            if matches!(&leg.transport, Transport::WebRtc(peer) if peer.quality().packets_received == received) {
                leg.on_refused(bytes, true, now);
            }
        });
        // A name is no secret: only a check with the right password says where a browser is.
        if proven && known != Some(slot) {
            self.learn_source(from, slot);
        }
        self.settle(slot, now);
    }

    /// Packets from there are the leg's from now on, unless another leg lives there: who has a password of their own can send a
    /// check from anywhere.
    fn learn_source(&mut self, from: SocketAddr, slot: Slot) {
        let owner = self.by_source.get(&from).and_then(|owner| self.legs.get(owner.index())?.as_ref());
        if let Some(Transport::WebRtc(peer)) = owner.map(|leg| &leg.transport)
            && peer.has_verified(from)
        {
            self.counters.strangers += 1;
            return;
        }
        if self.by_source.values().filter(|&&other| other == slot).count() >= MAX_SOURCES
            && let Some(Some(leg)) = self.legs.get(slot.index())
            && let Transport::WebRtc(peer) = &leg.transport
        {
            self.by_source.retain(|source, other| *other != slot || peer.has_verified(*source));
        }
        self.by_source.insert(from, slot);
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
        } else if format.noise.is_some_and(|noise| noise.receive_payload_type == packet.payload_type()) {
            Carries::Noise
        } else {
            self.counters.malformed += 1;
            return;
        };
        leg.on_heard(&mut self.outbox, now);
        match (&leg.transport, carries) {
            (Transport::Rtp(_), _) => {}
            (Transport::WebRtc(_), Carries::Audio | Carries::Noise) => leg.received.on_rtp(packet, now),
            (Transport::WebRtc(_), Carries::Event) => leg.received.on_untimed_rtp(packet, now),
        }
        if !format.receives {
            self.counters.unroutable += 1;
            return;
        }
        match carries {
            Carries::Audio => {
                if let Some(wait) = leg.first_wait().filter(|_| leg.seat.is_none()) {
                    let phase = self.phase_at(now + wait);
                    self.rephase(leg, phase, now);
                }
                leg.listen(format.codec, packet.payload(), now);
                leg.insert(packet, now);
            }
            Carries::Noise => {
                leg.reporting.flow.on_pause();
                leg.insert_noise(packet, now);
            }
            Carries::Event => {
                let Ok(event) = TelephoneEvent::parse(packet.payload()) else {
                    self.counters.malformed += 1;
                    return;
                };
                leg.skip(packet);
                if let Some(digit) = leg.events_in.on_packet(packet.timestamp(), &event, now) {
                    self.on_digit(leg, &format, digit, now);
                }
                if let Some(held) = leg.events_in.pressed() {
                    self.pass_key(leg, &format, held, false, now);
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

    /// A key was pressed on the leg: told, and passed on.
    pub(super) fn on_digit(&mut self, leg: &Leg, format: &Format, digit: Digit, now: Instant) {
        let duration_ms = length_of(format, digit).as_millis() as u32;
        self.outbox.event(leg.slot, leg.id, WorkerEventKind::Dtmf { digit: digit.digit, duration_ms });
        self.pass_key(leg, format, digit, true, now);
    }

    /// A key is or was held on the leg: pressed anew towards a listener that its packets do not reach, in time with the audio.
    fn pass_key(&mut self, leg: &Leg, format: &Format, key: Digit, over: bool, now: Instant) {
        if leg.seat.is_some() {
            return;
        }
        let Some(Some(Some(listener))) = leg.peer.map(|peer| self.legs.get_mut(peer.index())) else { return };
        if listener.seat.is_some() || reaches(listener, leg.slot, format) {
            return;
        }
        if leg.muted {
            listener.keys.let_go();
            return;
        }
        if listener.format.is_none_or(|format| format.event.is_none()) {
            self.counters.unroutable += u64::from(over);
            return;
        }
        let starts_at = leg.plays_at(format, key.began, now);
        let length = length_of(format, key);
        if !listener.keys.follow(key.digit, key.began, length, over, starts_at, now) {
            self.counters.unroutable += u64::from(over);
        } else if matches!(listener.path, Path::Relay(_)) {
            self.stale.push(listener.slot);
        }
    }

    /// One packet of the key that is being pressed towards the leg, or the pause after it: 20 ms of the stream either way.
    pub(super) fn send_key(&mut self, leg: &mut Leg, format: &Format, now: Instant) {
        let Some(event) = format.event.filter(|_| leg.can_send()) else {
            leg.keys.forget();
            leg.outgoing.skip(leg.keys.released().saturating_add(format.tick()));
            return;
        };
        let Some(packet) = leg.keys.next_packet(event.clock, format.tick(), now) else {
            leg.outgoing.skip(format.tick());
            return;
        };
        if packet.advance > 0 {
            let ticks = u64::from(packet.advance) * u64::from(format.clock().0) / u64::from(event.clock.0.max(1));
            leg.outgoing.skip(ticks as u32);
            leg.keys.advanced(ticks as u32);
        }
        let mut payload = [0; EVENT_LEN];
        let written = packet.event.write_to(&mut payload);
        // The packets of one key share a timestamp; the ticks that they take are made up for at the end.
        let header = leg.outgoing.generate_at(event.payload_type, packet.marker, 0, now);
        if written.is_ok() && send(leg, &header, &payload, &mut self.outbox, &self.shared, now) {
            self.counters.packets_sent += 1;
        }
        if packet.last {
            let ticks = leg.keys.released();
            leg.outgoing.skip(ticks);
        }
    }

    /// Encodes the samples in the scratch buffer and sends the packets that they fill.
    pub(super) fn encode(&mut self, leg: &mut Leg, format: &Format, samples: Range<usize>, now: Instant) {
        let Some(to) = leg.send.as_mut() else { return };
        let packet = format.ptime.samples(to.rate()).max(1);
        if samples.len() == packet && to.pending.is_empty() {
            self.encode_packet(leg, format, samples, now);
            return;
        }
        // Another ptime, or a stream that began within a frame: packets are cut from a run of samples.
        let mut at = samples.start;
        while let Some(to) = leg.send.as_mut().filter(|_| at < samples.end) {
            let count = packet.saturating_sub(to.pending.len()).min(samples.end - at);
            to.pending.extend_from_slice(&self.scratch.pcm[at..at + count]);
            at += count;
            if to.pending.len() < packet {
                return;
            }
            // Behind the samples that are still to come.
            let whole = samples.end..samples.end + packet;
            self.scratch.pcm[whole.clone()].copy_from_slice(&to.pending[..packet]);
            // More than a packet, where the far end has asked for shorter ones.
            to.pending.drain(..packet);
            self.encode_packet(leg, format, whole, now);
        }
    }

    /// A frame of a source that pauses, in the scratch buffer, for a leg that knows comfort noise: that is sent instead of
    /// audio (RFC 3389), when the pause begins and now and then. `false`: the pause is too young.
    pub(super) fn pause(&mut self, leg: &mut Leg, format: &Format, frame: usize, now: Instant) -> bool {
        let (Some(to), Some(noise)) = (leg.send.as_mut(), format.noise) else { return false };
        let payload = to.noise.analyse(&self.scratch.pcm[..frame]);
        to.quiet = to.quiet.saturating_add(1);
        if to.quiet < PAUSE_AFTER {
            return false;
        }
        let begins = (to.quiet - PAUSE_AFTER).is_multiple_of(NOISE_EVERY);
        leg.break_off();
        if begins {
            let header = leg.outgoing.generate_at(noise.payload_type, false, 0, now);
            if send(leg, &header, payload.as_ref(), &mut self.outbox, &self.shared, now) {
                self.counters.packets_sent += 1;
            }
        }
        leg.outgoing.skip(format.tick());
        true
    }

    /// Encodes the samples of one packet and sends it.
    fn encode_packet(&mut self, leg: &mut Leg, format: &Format, samples: Range<usize>, now: Instant) {
        let Switch { outbox, counters, shared, scratch, .. } = self;
        let Some(to) = leg.send.as_mut() else { return };
        let ticks = format.clock().ticks(format.ptime.0) as u32;
        let Ok(length) = to.encode(&scratch.pcm[samples], &mut scratch.payload) else {
            counters.frames_failed += 1;
            leg.outgoing.skip(ticks);
            return;
        };
        if format.codec == Codec::Opus && length <= DTX_MAX_PAYLOAD {
            // The encoder has nothing to say: the next packet begins a talkspurt (RFC 7587 section 3.1.3).
            leg.outgoing.skip(ticks);
            leg.talking = false;
            return;
        }
        emit(leg, format, ticks, &scratch.payload[..length], outbox, counters, shared, now);
    }

    /// The leg's way from frames to the packets of the leg in `from`: what playout had not played yet goes out at once, and the
    /// packets behind it follow as they come. `frame`: this tick's samples, in the scratch buffer. `false`: a packet would
    /// have to be stretched by too much now, which is better tried after the next frame.
    pub(super) fn leave(&mut self, leg: &mut Leg, format: &Format, from: Slot, frame: usize, now: Instant) -> bool {
        let Some(Some(source)) = self.legs.get_mut(from.index()) else { return false };
        let Some(to) = leg.send.as_mut() else { return false };
        let packet = format.ptime.samples(to.rate());
        let pcm = &mut self.scratch.pcm;
        let next = source.decode_ahead();
        let ahead = if next.is_some() { source.ahead() } else { &[] };
        // Pending samples, this frame, what is decoded ahead: one run.
        let before = to.pending.len();
        let total = (before + frame + ahead.len()).min(pcm.len() / 2 - to.rate().samples_in_ms(SPLICE_MS));
        let Some(length) = whole_packets(total, packet, to.rate().samples_in_ms(SPLICE_MS)) else {
            return false;
        };
        pcm.copy_within(..frame, before);
        pcm[..before].copy_from_slice(&to.pending);
        let room = total - before - frame;
        pcm[before + frame..total].copy_from_slice(&ahead[..room]);
        to.pending.clear();
        let rate = to.rate();
        let (run, out) = pcm.split_at_mut(total);
        let out = &mut out[..length];
        if length <= total {
            splice::shorten(run, rate, total - length, out);
        } else {
            let lag = length - total;
            splice::lengthen(run, rate, lag, &mut out[..total]);
            out[total..].copy_from_slice(&run[total - lag..]);
        }
        for at in (total..total + length).step_by(packet) {
            self.encode_packet(leg, format, at..at + packet, now);
        }
        leg.path = Path::Relay(from);
        if let Some(next) = next {
            leg.outgoing.resume(next.ssrc, next.sequence, next.timestamp);
        }
        self.relay_waiting(leg, from, now);
        self.stale.push(leg.slot);
        true
    }

    /// Passes on what waits in the playout buffer of the leg in `from`.
    fn relay_waiting(&mut self, leg: &mut Leg, from: Slot, now: Instant) {
        let Switch { legs, outbox, counters, shared, .. } = self;
        let Some(Some(source)) = legs.get(from.index()) else { return };
        let Some(format) = source.format else { return };
        for (place, payload) in source.waiting() {
            let Next { ssrc, sequence, timestamp } = place;
            let header =
                RtpHeader { payload_type: format.receive_payload_type, marker: false, sequence, timestamp, ssrc };
            let mut bytes = [0; MAX_PACKET];
            if let Some(packet) = assemble(&header, payload, &mut bytes) {
                pass_on(leg, &format, &packet, Carries::Audio, outbox, counters, shared, now);
            }
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
                    let due = leg.timer_at <= now;
                    if due {
                        peer.handle_timeout(now);
                    }
                    // Looking at str0m costs microseconds; a leg whose media goes past it has nothing to say between its timers.
                    if due || peer.route().is_none() || !leg.deferred.is_empty() {
                        switch.pump(leg, now);
                    }
                }
            }
            leg.report(&mut switch.outbox, &mut switch.counters, now);
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
        Carries::Noise => to.noise.map(|noise| noise.payload_type),
    };
    // A packet that cannot go on still takes its number: the far end sees the gap that there is.
    let header = listener.outgoing.map_at(packet, now);
    if let (Carries::Audio, Some(ticks)) = (carries, from.ticks_of(packet.payload())) {
        listener.outgoing.last_lasts(packet.timestamp(), ticks);
    }
    listener.talking = false;
    let (Some(payload_type), Some(header)) = (payload_type, header) else {
        counters.unroutable += 1;
        return;
    };
    let header = RtpHeader { payload_type, ..header };
    let sent = match table_between(from.codec, to.codec).filter(|_| carries == Carries::Audio) {
        Some(table) => {
            let mut room = [0; MAX_PACKET];
            recode(packet.payload(), table, &mut room)
                .is_some_and(|payload| send(listener, &header, payload, outbox, shared, now))
        }
        None => send(listener, &header, packet.payload(), outbox, shared, now),
    };
    if sent {
        listener.outgoing.has_left();
        counters.packets_sent += 1;
        counters.packets_relayed += 1;
    }
}

/// The payload with every byte changed by the table; `None`: it is longer than any packet.
fn recode<'a>(payload: &[u8], table: &[u8; 256], room: &'a mut [u8; MAX_PACKET]) -> Option<&'a [u8]> {
    let changed = room.get_mut(..payload.len())?;
    for (to, &from) in changed.iter_mut().zip(payload) {
        *to = table[usize::from(from)];
    }
    Some(changed)
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
    let header = if std::mem::take(&mut leg.seamless) {
        leg.outgoing.generate(format.payload_type, begins, ticks)
    } else {
        leg.outgoing.generate_at(format.payload_type, begins, ticks, now)
    };
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
        Transport::WebRtc(peer) => match peer.route() {
            Some((to, from)) => outbox.transmit(leg.slot, Socket::Shared(shared_index(shared, from)), |out| {
                Some((to, peer.write_media(header, payload, out, now).ok()?))
            }),
            None => {
                let sequence = leg.outgoing.extend_outgoing(header.sequence);
                let RtpHeader { payload_type, timestamp, marker, .. } = *header;
                let sent = peer.write_rtp(payload_type, sequence, timestamp, marker, payload, now).is_ok();
                transmit_pending(leg, outbox, shared);
                sent
            }
        },
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
                let at = shared_index(shared, from);
                outbox.transmit(leg.slot, Socket::Shared(at), |out| {
                    out.get_mut(..bytes.len())?.copy_from_slice(&bytes);
                    Some((to, bytes.len()))
                });
            }
            other => leg.deferred.push_back(other),
        }
    }
}

/// The shared port that a candidate stands for.
fn shared_index(shared: &[SocketAddr], candidate: SocketAddr) -> usize {
    shared.iter().position(|&address| address == candidate).unwrap_or(0)
}

/// Length of a key of the leg's, so that the same clock gives the same number of ticks again.
fn length_of(format: &Format, key: Digit) -> Duration {
    let clock = format.event.map_or(format.clock(), |event| event.clock);
    Duration::from_nanos((u64::from(key.duration_ticks) * 1_000_000_000).div_ceil(u64::from(clock.0.max(1))))
}

/// The whole packets nearest to `total` samples; `None` when more than `most` samples would have to be left out or repeated.
fn whole_packets(total: usize, packet: usize, most: usize) -> Option<usize> {
    let packet = packet.max(1);
    let length = (total + packet / 2) / packet * packet;
    (length > 0 && length.abs_diff(total) <= most).then_some(length)
}

/// Whether telephone-event packets of the leg in `from` are relayed to `listener`.
fn reaches(listener: &Leg, from: Slot, format: &Format) -> bool {
    let clocks =
        (format.event.map(|event| event.clock), listener.format.and_then(|f| f.event).map(|event| event.clock));
    listener.path == Path::Relay(from) && clocks.0 == clocks.1
}
