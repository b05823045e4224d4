//! A leg as the switch sees it: transport, format, speech, hearing and timing.

mod entry;
mod format;
mod hearing;
mod speech;
mod timing;

use std::net::SocketAddr;
use std::time::Instant;

use super::mix::Seat;
use super::report::Reporting;
use super::transport::Transport;
use super::{Slot, TICK};
use crate::rtp::telephone_event::EventReceiver;
use crate::sdp::Audio;
use crate::units::{ClockRate, LegId, Ptime};
use crate::worker::command::LegQuality;
use crate::worker::outbox::Outbox;

pub(super) use entry::Entry;
pub(super) use format::Format;
#[cfg(test)]
pub(super) use hearing::Send;
pub(super) use hearing::{Exit, Hearing, Path, Source, play_event};
pub(super) use speech::{Frame, Speech, Tap};
pub(super) use timing::Timing;

/// Number of frames for which a leg without a source is sent nothing at first: it is usually bridged at once, and a packet of
/// silence before the first one of its peer would reach the far end as a packet that no party sent.
const SETTLES: u8 = 5;

/// State of one leg.
pub(super) struct Leg {
    pub(super) id: LegId,
    pub(super) slot: Slot,
    pub(super) timing: Timing,
    pub(super) transport: Transport,
    pub(super) format: Option<Format>,
    pub(super) connected: bool,
    /// Number of frames of silence that the leg is still not sent; 0 once it has had a source.
    pub(super) settling: u8,
    /// Why the leg has ended; it is removed after the current work on it.
    pub(super) over: Option<String>,
    pub(super) speech: Speech,
    pub(super) hearing: Hearing,
    /// Slot of the leg that it is bridged to.
    pub(super) peer: Option<Slot>,
    /// Its seat in a conference.
    pub(super) seat: Option<Seat>,
    /// Whether a valid packet has arrived, and the time of the last one.
    pub(super) heard: bool,
    pub(super) heard_at: Instant,
    pub(super) reporting: Reporting,
}

impl Leg {
    pub(super) fn new(id: LegId, slot: Slot, phase: usize, transport: Transport, random: u64, now: Instant) -> Leg {
        let ssrc = transport.ssrc();
        Leg {
            id,
            slot,
            timing: Timing::new(phase),
            transport,
            format: None,
            connected: false,
            settling: SETTLES,
            over: None,
            speech: Speech::new(),
            hearing: Hearing::new(ssrc, random),
            peer: None,
            seat: None,
            heard: false,
            heard_at: now,
            reporting: Reporting::new(now),
        }
    }

    // ---- from one switch to another ----

    /// Removes everything that belongs to the switch that the leg leaves.
    pub(super) fn move_out(&mut self) {
        self.speech.taps.clear();
        self.hearing.taps.clear();
        self.break_off();
        self.hearing.path = Path::Generate(Source::Silence);
        self.hearing.exit = None;
        self.hearing.served = None;
    }

    /// Adapts the leg to the switch that takes it over.
    pub(super) fn move_in(&mut self, slot: Slot, phase: usize, effort: u8) {
        self.slot = slot;
        self.timing = Timing::new(phase);
        self.hearing.set_effort(effort);
    }

    // ---- negotiation ----

    /// Applies offer and answer of a plain RTP leg. Returns `true` if this connects the leg.
    pub(super) fn on_audio(&mut self, audio: Audio, now: Instant) -> bool {
        let Transport::Rtp(rtp) = &mut self.transport else { return false };
        let format = Format {
            codec: audio.codec,
            payload_type: audio.payload_type,
            receive_payload_type: audio.receive_payload_type,
            event: audio.telephone_event,
            noise: audio.comfort_noise,
            dtx: audio.dtx,
            ptime: audio.ptime,
            sends: audio.direction.sends() && !audio.remote_rtp.ip().is_unspecified() && audio.remote_rtp.port() != 0,
            receives: audio.direction.receives(),
        };
        rtp.update(audio, now);
        self.heard_at = now;
        self.on_format(format);
        !std::mem::replace(&mut self.connected, true)
    }

    /// Applies the negotiated audio of a browser leg, if there is any.
    pub(super) fn on_webrtc_audio(&mut self, now: Instant) {
        let Some(audio) = self.transport.browser().and_then(|browser| browser.peer.audio()) else { return };
        let format = Format {
            codec: audio.codec,
            payload_type: audio.payload_type,
            receive_payload_type: audio.payload_type,
            event: audio.telephone_event,
            noise: None,
            dtx: false,
            ptime: Ptime::MS_20,
            sends: audio.direction.sends(),
            receives: audio.direction.receives(),
        };
        self.heard_at = now;
        self.on_format(format);
    }

    fn on_format(&mut self, format: Format) {
        let before = self.format.replace(format);
        if before.is_some_and(|before| before.codec != format.codec) {
            self.speech.drop_samples();
            self.hearing.drop_encoder();
        }
        if before.is_none_or(|before| before.clock() != format.clock()) {
            self.transport.set_clock(format.clock());
            // The same stream at another clock: the numbering continues, and timestamps advance at the new pace.
            self.hearing.outgoing.set_clock(format.clock(), TICK);
        }
        let clock = format.event.map_or(format.clock(), |event| event.clock);
        if before.is_none_or(|before| before.event != format.event) {
            self.speech.events_in = EventReceiver::new(clock);
        }
    }

    // ---- what it says, what it hears, when ----

    /// Returns the taps on both sides of the leg.
    pub(super) fn taps(&self) -> impl Iterator<Item = &Tap> {
        self.speech.taps.iter().chain(&self.hearing.taps)
    }

    /// Takes the tick's frame from the playout buffer and copies it to the taps. `entry`: its listener changes from relayed packets
    /// to frames.
    pub(super) fn pull(&mut self, entry: Option<Entry>, now: Instant) {
        self.speech.pull(&mut self.reporting.flow, entry, now);
    }

    /// Returns the phase to which the tick should move after the pulled frame. Legs of a conference never move.
    pub(super) fn align(&mut self) -> usize {
        let room_us = if self.seat.is_some() { None } else { self.speech.room_us() };
        self.timing.align(room_us)
    }

    /// Whether a packet may be sent to the leg now.
    pub(super) fn can_send(&self) -> bool {
        self.connected && self.format.is_some_and(|format| format.sends)
    }

    /// Counts a frame without any source. Returns whether it is one of the first, so that the leg may be about to get a source.
    pub(super) fn settles(&mut self) -> bool {
        let settles = self.settling > 0;
        self.settling = self.settling.saturating_sub(1);
        settles
    }

    /// Whether packets may be sent to the leg and it hears nothing but its source.
    pub(super) fn may_be_relayed_to(&self, now: Instant) -> bool {
        self.can_send() && self.hearing.is_plain(now)
    }

    /// Whether it is neither decoded nor encoded nor timed by its tick.
    pub(super) fn rests(&self) -> bool {
        let Hearing { path, exit, keys, .. } = &self.hearing;
        let relayed = matches!(path, Path::Relay(_)) && !self.transport.is_browser();
        relayed && !self.speech.is_decoded() && exit.is_none() && !keys.are_pending()
    }

    /// Ends a run of generated audio; samples that do not fill a packet are dropped.
    pub(super) fn break_off(&mut self) {
        self.hearing.break_off(self.format.map_or(ClockRate::HZ_8000, |format| format.clock()));
    }

    /// Queues a key. Returns `false` if the leg has no telephone-event, the character is not a key, or too many wait.
    pub(super) fn press(&mut self, digit: char, duration_ms: u32) -> bool {
        self.format.is_some_and(|format| format.event.is_some()) && self.hearing.keys.press(digit, duration_ms)
    }

    /// Ends the leg towards the far end and returns its final statistics.
    pub(super) fn say_goodbye(&mut self, outbox: &mut Outbox, shared: &[SocketAddr], now: Instant) -> LegQuality {
        let (slot, id) = (self.slot, self.id);
        self.hearing.play.stop(&mut |notice| outbox.event(slot, id, play_event(notice, now)));
        self.transport.say_goodbye(slot, outbox, shared, now);
        self.last_quality(now)
    }
}
