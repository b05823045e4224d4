//! Relays packets unchanged except for mapped headers, and changes from frames back to relayed packets.

use std::time::Instant;

use codecs::g711::{ALAW_TO_ULAW, ULAW_TO_ALAW};
use codecs::splice;

use super::leg::{Format, Leg, Path};
use super::receive::Carries;
use super::send::{MAX_PACKET, Wire, assemble, send};
use super::{Slot, Switch};
use crate::jitter::Next;
use crate::rtp::{RtpHeader, RtpPacket};
use crate::sdp::Codec;

/// Longest stretch of sound, in milliseconds, that is left out or repeated when a leg changes from frames to relayed
/// packets.
const SPLICE_MS: u32 = 10;

impl Switch {
    /// Passes the packet to the legs that hear this leg by relay.
    pub(super) fn relay(
        &mut self,
        leg: &mut Leg,
        format: &Format,
        packet: &RtpPacket<'_>,
        carries: Carries,
        now: Instant,
    ) {
        let (from, Switch { legs, outbox, counters, shared, .. }) = (leg.slot, self);
        let wire = &mut Wire { outbox, counters, shared, now };
        if leg.hearing.path == Path::Relay(from) {
            pass_on(leg, format, packet, carries, wire);
        }
        let Some(peer) = leg.peer else { return };
        if let Some(Some(listener)) = legs.get_mut(peer.index())
            && listener.hearing.path == Path::Relay(from)
        {
            pass_on(listener, format, packet, carries, wire);
        }
    }

    /// Changes the leg from frames to the packets of the leg in `from`: sends the samples that playout has not played
    /// yet at once, and lets the later packets follow as they come. `frame` is the number of this tick's samples in the
    /// scratch buffer. Returns `false` if a packet would have to be stretched too much now, which is better tried after
    /// the next frame.
    pub(super) fn leave(&mut self, leg: &mut Leg, format: &Format, from: Slot, frame: usize, now: Instant) -> bool {
        let Some(Some(source)) = self.legs.get_mut(from.index()) else { return false };
        let Some(to) = leg.hearing.send.as_mut() else { return false };
        let packet = format.ptime.samples(to.rate());
        let pcm = &mut self.scratch.pcm;
        let next = source.speech.decode_ahead();
        let ahead = if next.is_some() { source.speech.ahead() } else { &[] };
        // Pending samples, this frame and the samples decoded ahead form one run.
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
        leg.hearing.path = Path::Relay(from);
        if let Some(next) = next {
            leg.hearing.outgoing.resume(next.ssrc, next.sequence, next.timestamp);
        }
        self.relay_waiting(leg, from, now);
        self.stale.push(leg.slot);
        true
    }

    /// Passes on the packets that wait in the playout buffer of the leg in `from`.
    fn relay_waiting(&mut self, leg: &mut Leg, from: Slot, now: Instant) {
        let Switch { legs, outbox, counters, shared, .. } = self;
        let wire = &mut Wire { outbox, counters, shared, now };
        let Some(Some(source)) = legs.get(from.index()) else { return };
        let Some(format) = source.format else { return };
        for (place, payload) in source.speech.waiting() {
            let Next { ssrc, sequence, timestamp } = place;
            let header =
                RtpHeader { payload_type: format.receive_payload_type, marker: false, sequence, timestamp, ssrc };
            let mut bytes = [0; MAX_PACKET];
            if let Some(packet) = assemble(&header, payload, &mut bytes) {
                pass_on(leg, &format, &packet, Carries::Audio, wire);
            }
        }
    }
}

/// Sends a packet of another leg to `listener`, with mapped numbers.
fn pass_on(listener: &mut Leg, from: &Format, packet: &RtpPacket<'_>, carries: Carries, wire: &mut Wire<'_>) {
    let Some(to) = listener.format else { return };
    let payload_type = match carries {
        Carries::Audio => Some(to.payload_type),
        Carries::Event => match (from.event, to.event) {
            (Some(here), Some(there)) if here.clock == there.clock => Some(there.payload_type),
            _ => None,
        },
        Carries::Noise => to.noise.map(|noise| noise.payload_type),
    };
    // A packet that cannot be passed on still takes its number, so that the far end sees the gap.
    let header = listener.hearing.outgoing.map_at(packet, wire.now);
    if let (Carries::Audio, Some(ticks)) = (carries, from.ticks_of(packet.payload())) {
        listener.hearing.outgoing.last_lasts(packet.timestamp(), ticks);
    }
    listener.hearing.talking = false;
    let (Some(payload_type), Some(header)) = (payload_type, header) else {
        wire.counters.unroutable += 1;
        return;
    };
    let header = RtpHeader { payload_type, ..header };
    let sent = match table_between(from.codec, to.codec).filter(|_| carries == Carries::Audio) {
        Some(table) => {
            let mut room = [0; MAX_PACKET];
            recode(packet.payload(), table, &mut room).is_some_and(|payload| send(listener, &header, payload, wire))
        }
        None => send(listener, &header, packet.payload(), wire),
    };
    if sent {
        listener.hearing.outgoing.has_left();
        wire.counters.packets_sent += 1;
        wire.counters.packets_relayed += 1;
    }
}

/// Maps every byte of the payload by the table; `None` if it is longer than any packet.
fn recode<'a>(payload: &[u8], table: &[u8; 256], room: &'a mut [u8; MAX_PACKET]) -> Option<&'a [u8]> {
    let changed = room.get_mut(..payload.len())?;
    for (to, &from) in changed.iter_mut().zip(payload) {
        *to = table[usize::from(from)];
    }
    Some(changed)
}

/// Returns the table that converts payloads of `from` into payloads of `to`, if a table is enough for these two codecs.
pub(super) fn table_between(from: Codec, to: Codec) -> Option<&'static [u8; 256]> {
    match (from, to) {
        (Codec::Pcmu, Codec::Pcma) => Some(&ULAW_TO_ALAW),
        (Codec::Pcma, Codec::Pcmu) => Some(&ALAW_TO_ULAW),
        _ => None,
    }
}

/// Returns the length in whole packets nearest to `total` samples; `None` if more than `most` samples would have to be
/// left out or repeated.
fn whole_packets(total: usize, packet: usize, most: usize) -> Option<usize> {
    let packet = packet.max(1);
    let length = (total + packet / 2) / packet * packet;
    (length > 0 && length.abs_diff(total) <= most).then_some(length)
}
