//! Passes a leg's valid packets to its playout buffer, to the events about keys, and to the listeners.

use std::time::{Duration, Instant};

use super::leg::{Format, Leg, Path};
use super::{Slot, Switch};
use crate::rtp::RtpPacket;
use crate::rtp::telephone_event::{Digit, TelephoneEvent};
use crate::worker::command::WorkerEventKind;

/// Kind of payload in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carries {
    Audio,
    Event,
    Noise,
}

impl Switch {
    /// Handles a valid packet of the leg.
    pub(super) fn on_packet(&mut self, leg: &mut Leg, packet: &RtpPacket<'_>, now: Instant) {
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
        leg.transport.on_received(packet, carries != Carries::Event, now);
        if !format.receives {
            self.counters.unroutable += 1;
            return;
        }
        match carries {
            Carries::Audio => {
                if let Some(wait) = leg.speech.first_wait().filter(|_| leg.seat.is_none()) {
                    let phase = self.phase_at(now + wait);
                    self.rephase(leg, phase, now);
                }
                leg.listen(format.codec, packet.payload(), now);
                leg.speech.insert(packet, now);
            }
            Carries::Noise => {
                leg.reporting.flow.on_pause();
                leg.speech.insert_noise(packet, now);
            }
            Carries::Event => {
                let Ok(event) = TelephoneEvent::parse(packet.payload()) else {
                    self.counters.malformed += 1;
                    return;
                };
                leg.speech.skip(packet);
                if let Some(digit) = leg.speech.events_in.on_packet(packet.timestamp(), &event, now) {
                    self.on_digit(leg, &format, digit, now);
                }
                if let Some(held) = leg.speech.events_in.pressed() {
                    self.pass_key(leg, &format, held, false, now);
                }
            }
        }
        self.relay(leg, &format, packet, carries, now);
    }

    /// Reports a key that was pressed on the leg, and passes it on.
    pub(super) fn on_digit(&mut self, leg: &Leg, format: &Format, digit: Digit, now: Instant) {
        let duration_ms = length_of(format, digit).as_millis() as u32;
        self.outbox.event(leg.slot, leg.id, WorkerEventKind::Dtmf { digit: digit.digit, duration_ms });
        self.pass_key(leg, format, digit, true, now);
    }

    /// Passes on a key that is or was held on the leg. It is pressed again towards a listener that its packets do not
    /// reach, in time with the audio.
    fn pass_key(&mut self, leg: &Leg, format: &Format, key: Digit, over: bool, now: Instant) {
        if leg.seat.is_some() {
            return;
        }
        let Some(Some(Some(listener))) = leg.peer.map(|peer| self.legs.get_mut(peer.index())) else { return };
        if listener.seat.is_some() || is_event_relayed(listener, leg.slot, format) {
            return;
        }
        if leg.speech.muted {
            listener.hearing.keys.let_go();
            return;
        }
        if listener.format.is_none_or(|format| format.event.is_none()) {
            self.counters.unroutable += u64::from(over);
            return;
        }
        let starts_at = leg.speech.plays_at(format, key.began, now);
        let length = length_of(format, key);
        if !listener.hearing.keys.follow(key.digit, key.began, length, over, starts_at, now) {
            self.counters.unroutable += u64::from(over);
        } else if matches!(listener.hearing.path, Path::Relay(_)) {
            self.stale.push(listener.slot);
        }
    }
}

/// Returns the length of a key on the leg, rounded so that the same clock yields the same number of ticks again.
fn length_of(format: &Format, key: Digit) -> Duration {
    let clock = format.event.map_or(format.clock(), |event| event.clock);
    Duration::from_nanos((u64::from(key.duration_ticks) * 1_000_000_000).div_ceil(u64::from(clock.0.max(1))))
}

/// Whether telephone-event packets of the leg in `from` are relayed to `listener`.
fn is_event_relayed(listener: &Leg, from: Slot, format: &Format) -> bool {
    let clocks =
        (format.event.map(|event| event.clock), listener.format.and_then(|f| f.event).map(|event| event.clock));
    listener.hearing.path == Path::Relay(from) && clocks.0 == clocks.1
}
