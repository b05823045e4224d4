//! Turns frames, pauses and keys into packets of the single stream that a leg is sent.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Instant;

use codecs::opus::DTX_MAX_PAYLOAD;

use super::leg::{Format, Leg};
use super::{Counters, Switch};
use crate::rtp::telephone_event::EVENT_LEN;
use crate::rtp::{RtpHeader, RtpPacket};
use crate::sdp::Codec;
use crate::worker::outbox::Outbox;

/// Length of the longest RTP packet assembled here, in bytes.
pub(super) const MAX_PACKET: usize = 1500;

/// Frame of a pause from which comfort noise describes it: the first may contain the end of the sound before.
const PAUSE_AFTER: u32 = 3;
/// Number of frames between two descriptions of the noise.
const NOISE_EVERY: u32 = 20;

/// Parts of the switch that sending needs.
pub(super) struct Wire<'a> {
    pub(super) outbox: &'a mut Outbox,
    pub(super) counters: &'a mut Counters,
    pub(super) shared: &'a [SocketAddr],
    pub(super) now: Instant,
}

impl Switch {
    /// Sends one packet of the key that is being pressed towards the leg, or the pause after it: 20 ms of the stream
    /// either way.
    pub(super) fn send_key(&mut self, leg: &mut Leg, format: &Format, now: Instant) {
        let Some(event) = format.event.filter(|_| leg.can_send()) else {
            leg.hearing.keys.forget();
            leg.hearing.outgoing.skip(leg.hearing.keys.release().saturating_add(format.tick()));
            return;
        };
        let Some(packet) = leg.hearing.keys.next_packet(event.clock, format.tick(), now) else {
            leg.hearing.outgoing.skip(format.tick());
            return;
        };
        if packet.advance > 0 {
            let ticks = u64::from(packet.advance) * u64::from(format.clock().0) / u64::from(event.clock.0.max(1));
            leg.hearing.outgoing.skip(ticks as u32);
            leg.hearing.keys.on_advance(ticks as u32);
        }
        let mut payload = [0; EVENT_LEN];
        let written = packet.event.write_to(&mut payload);
        // The packets of one key share a timestamp; it catches up at the end of the key.
        let header = leg.hearing.outgoing.generate_at(event.payload_type, packet.marker, 0, now);
        let Switch { outbox, counters, shared, .. } = self;
        let wire = &mut Wire { outbox, counters, shared, now };
        if written.is_ok() && send(leg, &header, &payload, wire) {
            wire.counters.packets_sent += 1;
        }
        if packet.last {
            let ticks = leg.hearing.keys.release();
            leg.hearing.outgoing.skip(ticks);
        }
    }

    /// Encodes the samples in the scratch buffer and sends the packets that they fill.
    pub(super) fn encode(&mut self, leg: &mut Leg, format: &Format, samples: Range<usize>, now: Instant) {
        let Some(to) = leg.hearing.send.as_mut() else { return };
        let packet = format.ptime.samples(to.rate()).max(1);
        if samples.len() == packet && to.pending.is_empty() {
            self.encode_packet(leg, format, samples, now);
            return;
        }
        // Another ptime, or a stream that began within a frame: packets are cut from a run of samples.
        let mut at = samples.start;
        while let Some(to) = leg.hearing.send.as_mut().filter(|_| at < samples.end) {
            let count = packet.saturating_sub(to.pending.len()).min(samples.end - at);
            to.pending.extend_from_slice(&self.scratch.pcm[at..at + count]);
            at += count;
            if to.pending.len() < packet {
                return;
            }
            // The packet is copied behind the samples that are still to come.
            let whole = samples.end..samples.end + packet;
            self.scratch.pcm[whole.clone()].copy_from_slice(&to.pending[..packet]);
            // More than a packet may be pending if the far end has asked for shorter ones.
            to.pending.drain(..packet);
            self.encode_packet(leg, format, whole, now);
        }
    }

    /// Sends comfort noise instead of a frame of a source that pauses, at the beginning of the pause and now and then
    /// (RFC 3389). The frame is in the scratch buffer. Returns `false` while the pause is too young or the leg does not
    /// know comfort noise.
    pub(super) fn pause(&mut self, leg: &mut Leg, format: &Format, frame: usize, now: Instant) -> bool {
        let (Some(to), Some(noise)) = (leg.hearing.send.as_mut(), format.noise) else { return false };
        let payload = to.noise.analyse(&self.scratch.pcm[..frame]);
        to.quiet = to.quiet.saturating_add(1);
        if to.quiet < PAUSE_AFTER {
            return false;
        }
        let begins = (to.quiet - PAUSE_AFTER).is_multiple_of(NOISE_EVERY);
        leg.break_off();
        if begins {
            let header = leg.hearing.outgoing.generate_at(noise.payload_type, false, 0, now);
            let Switch { outbox, counters, shared, .. } = self;
            let wire = &mut Wire { outbox, counters, shared, now };
            if send(leg, &header, payload.as_ref(), wire) {
                wire.counters.packets_sent += 1;
            }
        }
        leg.hearing.outgoing.skip(format.tick());
        true
    }

    /// Encodes the samples of one packet and sends it.
    pub(super) fn encode_packet(&mut self, leg: &mut Leg, format: &Format, samples: Range<usize>, now: Instant) {
        let Switch { outbox, counters, shared, scratch, .. } = self;
        let Some(to) = leg.hearing.send.as_mut() else { return };
        let ticks = format.clock().ticks(format.ptime.0) as u32;
        let Ok(length) = to.encode(&scratch.pcm[samples], &mut scratch.payload) else {
            counters.frames_failed += 1;
            leg.hearing.outgoing.skip(ticks);
            return;
        };
        if format.codec == Codec::Opus && length <= DTX_MAX_PAYLOAD {
            // The encoder has no sound to send: the next packet begins a talkspurt (RFC 7587 section 3.1.3).
            leg.hearing.outgoing.skip(ticks);
            leg.hearing.talking = false;
            return;
        }
        emit(leg, format, ticks, &scratch.payload[..length], &mut Wire { outbox, counters, shared, now });
    }
}

/// Sends one generated audio packet that lasts `ticks`.
fn emit(leg: &mut Leg, format: &Format, ticks: u32, payload: &[u8], wire: &mut Wire<'_>) {
    let begins = !std::mem::replace(&mut leg.hearing.talking, true);
    let header = if std::mem::take(&mut leg.hearing.seamless) {
        leg.hearing.outgoing.generate(format.payload_type, begins, ticks)
    } else {
        leg.hearing.outgoing.generate_at(format.payload_type, begins, ticks, wire.now)
    };
    if send(leg, &header, payload, wire) {
        wire.counters.packets_sent += 1;
    } else {
        wire.counters.frames_failed += 1;
    }
}

/// Sends one packet to the leg.
pub(super) fn send(leg: &mut Leg, header: &RtpHeader, payload: &[u8], wire: &mut Wire<'_>) -> bool {
    let sent = leg.transport.send(leg.slot, header, payload, &leg.hearing.outgoing, wire);
    leg.hearing.packets_sent += u64::from(sent);
    sent
}

/// Assembles a packet from its parts, so that the packets of both transports look the same from here on.
pub(super) fn assemble<'a>(header: &RtpHeader, payload: &[u8], bytes: &'a mut [u8]) -> Option<RtpPacket<'a>> {
    let begin = header.write_to(bytes).ok()?;
    bytes.get_mut(begin..begin + payload.len())?.copy_from_slice(payload);
    RtpPacket::parse(&bytes[..begin + payload.len()]).ok()
}
