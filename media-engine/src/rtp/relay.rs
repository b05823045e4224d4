//! Relay: maps the numbers of incoming streams onto one outgoing stream.
//!
//! ```text
//! incoming  SSRC A: 7 8 10 9 ┊ SSRC B: 500 501 ┊ (played locally) ┊ B: 640 641
//! outgoing  SSRC X: 1 2  4 3 ┊           5   6 ┊        7 8 9     ┊    10  11
//! ```
//!
//! Invariants:
//! - Within one source, numbers and timestamps move by a constant: gaps, reordering and marker bits reach
//!   the far end unchanged, so its statistics stay correct. Copies are dropped before (`Repeats`).
//! - A new source, a restarted source and a locally generated stretch continue at the next number: no
//!   number is lost between two stretches and none is used by both.
//! - A late packet of the previous stretch still gets the number that was kept for it. A packet whose
//!   number belongs to another stretch is refused and counted.
//! - Nothing allocates: `media-engine/tests/no_alloc_pure.rs`.
//!
//! Not here: payload types (the leg rewrites `payload_type` to the one that its far end negotiated), and the
//! choice between relaying and generating.
//!
//! Sources: RFC 3550 sections 5.1 and 7.1, appendix A.1 (restart after two packets in sequence).

use std::time::{Duration, Instant};

use super::extend::SeqExtender;
use super::packet::{RtpHeader, RtpPacket};
use crate::units::ClockRate;

/// How far a late packet may be behind the newest one (RFC 3550 appendix A.1, MAX_MISORDER).
const MAX_MISORDER: u64 = 100;

/// A jump this far ahead of the last sent number has to be confirmed by a second packet, and then leaves no gap: a far end, or
/// the roll-over counter of SRTP, takes half of all numbers for past ones, and would discard packets for that long. The
/// value exceeds any loss that a call survives.
const MAX_AHEAD: u64 = 0x6000;

/// Longest packet duration that is accepted when it is derived from two timestamps.
const MAX_PACKET: Duration = Duration::from_millis(120);

/// A run of numbers that come from one source.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    ssrc: u32,
    incoming: SeqExtender,
    /// Extended incoming number that maps to `base_out`.
    base_in: u64,
    base_out: u64,
    /// Lowest outgoing number that belongs to this stretch.
    floor_out: u64,
    timestamp_offset: u32,
    /// Incoming timestamp of the newest packet.
    newest_timestamp: u32,
}

/// Position of a packet relative to the stretch of its source.
enum Place {
    /// Outgoing number; `true` when it is higher than all before.
    At(u64, bool),
    /// The number belongs to the previous stretch.
    BelowFloor,
    /// Too far behind: the source restarted, or the packet is a stray.
    TooOld,
    /// Too far ahead: the source restarted, or the packet is a stray.
    TooFar,
}

impl Stretch {
    fn newest_in(&self) -> u64 {
        self.incoming.highest().unwrap_or(self.base_in)
    }

    fn place(&mut self, packet: &RtpPacket<'_>) -> Place {
        let newest = self.newest_in();
        let mut extender = self.incoming;
        let extended = extender.extend(packet.sequence());
        if extended + MAX_MISORDER < newest {
            return Place::TooOld;
        }
        let Some(out) = (self.base_out + extended).checked_sub(self.base_in).filter(|&out| out >= self.floor_out)
        else {
            return Place::BelowFloor;
        };
        self.incoming = extender;
        if extended > newest {
            self.newest_timestamp = packet.timestamp();
        }
        Place::At(out, extended > newest)
    }

    /// Returns the number kept for a late packet of this stretch, which has ended.
    fn late(&self, packet: &RtpPacket<'_>) -> Option<u64> {
        let behind = packet.timestamp().wrapping_sub(self.newest_timestamp) as i32 <= 0;
        let mut stretch = *self;
        match stretch.place(packet) {
            Place::At(out, false) if behind => Some(out),
            _ => None,
        }
    }
}

/// Maps sequence numbers, timestamps and SSRC of a relayed stream; see the module's invariants.
#[derive(Clone, Debug)]
pub struct RelayMap {
    ssrc: u32,
    clock: ClockRate,
    /// Extended number that follows all assigned ones.
    next_sequence: u64,
    /// Extended number that follows all packets that were really sent; see [`RelayMap::has_left`].
    sent_to: u64,
    /// Timestamp of the next packet if the stream continues without a pause.
    next_timestamp: u32,
    last_timestamp: u32,
    last_at: Option<Instant>,
    packet_ticks: u32,
    current: Option<Stretch>,
    previous: Option<Stretch>,
    /// SSRC and number that would prove a restart of the current source.
    restart: Option<(u32, u16)>,
    started: bool,
    refused: u64,
}

impl RelayMap {
    /// Creates a map for an outgoing stream `ssrc` whose first packet has `sequence` and `timestamp`.
    ///
    /// `clock` is the RTP clock of both sides, `packet` the usual length of a packet: the step of the
    /// timestamp until it is learnt.
    pub fn new(ssrc: u32, sequence: u16, timestamp: u32, clock: ClockRate, packet: Duration) -> RelayMap {
        RelayMap {
            ssrc,
            clock,
            next_sequence: u64::from(sequence),
            sent_to: u64::from(sequence),
            next_timestamp: timestamp,
            last_timestamp: timestamp,
            last_at: None,
            packet_ticks: clock.ticks(packet).min(u64::from(u32::MAX)) as u32,
            current: None,
            previous: None,
            restart: None,
            started: false,
            refused: 0,
        }
    }

    /// Returns the SSRC of the outgoing stream.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Returns the outgoing header of a packet to be relayed; its payload type is the incoming one.
    ///
    /// `None`: the packet's number belongs to another stretch, or its source jumped and has not
    /// confirmed a restart by a second packet yet. The caller must drop it; [`RelayMap::refused`] has counted it.
    pub fn map(&mut self, packet: &RtpPacket<'_>) -> Option<RtpHeader> {
        self.relay(packet, None)
    }

    /// Like [`RelayMap::map`], but a pause before a new stretch is reflected in the timestamps.
    pub fn map_at(&mut self, packet: &RtpPacket<'_>, now: Instant) -> Option<RtpHeader> {
        self.relay(packet, Some(now))
    }

    /// Reports that the packet with the last header was sent.
    pub fn has_left(&mut self) {
        self.sent_to = self.next_sequence;
    }

    /// Sets the duration of the packet that was mapped last, if its payload reveals it. Otherwise the duration is derived from
    /// timestamps, and a pause between two packets would falsify it.
    pub fn last_lasts(&mut self, timestamp: u32, ticks: u32) {
        let newest = self.current.is_some_and(|stretch| stretch.newest_timestamp == timestamp);
        if newest {
            self.packet_ticks = ticks;
            self.next_timestamp = self.last_timestamp.wrapping_add(ticks);
        }
    }

    /// Returns the SSRC of the current source, the timestamp after its newest relayed packet, and the time of that packet.
    pub fn relayed_to(&self) -> Option<(u32, u32, Instant)> {
        let stretch = self.current?;
        let ahead = self.next_timestamp.wrapping_sub(self.last_timestamp);
        Some((stretch.ssrc, stretch.newest_timestamp.wrapping_add(ahead), self.last_at?))
    }

    /// Begins a stretch with a source whose next packet will be `sequence` at `timestamp`, without a gap after the packets sent
    /// before: that packet gets the next number and timestamp, and its successors the following ones, in whatever order
    /// they arrive.
    pub fn resume(&mut self, ssrc: u32, sequence: u16, timestamp: u32) {
        if let Some(stretch) = self.current.take() {
            self.previous = Some(stretch);
        }
        self.restart = None;
        let mut incoming = SeqExtender::new();
        let base_in = incoming.extend(sequence.wrapping_sub(1)) + 1;
        self.current = Some(Stretch {
            ssrc,
            incoming,
            base_in,
            base_out: self.next_sequence,
            floor_out: self.next_sequence,
            timestamp_offset: self.next_timestamp.wrapping_sub(timestamp),
            newest_timestamp: timestamp.wrapping_sub(self.packet_ticks),
        });
    }

    /// Changes the clock and the usual length of packets.
    pub fn set_clock(&mut self, clock: ClockRate, packet: Duration) {
        self.previous = None;
        if self.current.take().is_some() {
            self.restart = None;
        }
        self.clock = clock;
        self.packet_ticks = clock.ticks(packet).min(u64::from(u32::MAX)) as u32;
    }

    fn relay(&mut self, packet: &RtpPacket<'_>, now: Option<Instant>) -> Option<RtpHeader> {
        let mut same_source = false;
        if let Some(stretch) = self.current.as_mut().filter(|stretch| stretch.ssrc == packet.ssrc()) {
            same_source = true;
            let before = *stretch;
            let mut place = stretch.place(packet);
            let offset = stretch.timestamp_offset;
            if matches!(place, Place::At(out, true) if out >= self.sent_to + MAX_AHEAD) {
                *stretch = before;
                place = Place::TooFar;
            }
            match place {
                Place::At(out, newest) => {
                    self.restart = None;
                    let timestamp = packet.timestamp().wrapping_add(offset);
                    if newest {
                        self.advance(out, timestamp, now);
                    }
                    return Some(self.header(packet, packet.marker(), out, timestamp));
                }
                Place::BelowFloor => {}
                Place::TooOld | Place::TooFar => {
                    let proof = (packet.ssrc(), packet.sequence());
                    if self.restart == Some(proof) {
                        // Numbers that were never sent are free.
                        self.next_sequence = self.sent_to;
                        return Some(self.rebase(packet, now));
                    }
                    self.restart = Some((packet.ssrc(), packet.sequence().wrapping_add(1)));
                }
            }
        }
        if let Some(stretch) = self.previous.filter(|stretch| stretch.ssrc == packet.ssrc())
            && let Some(out) = stretch.late(packet)
            && self.current.is_none_or(|current| out < current.floor_out)
        {
            let timestamp = packet.timestamp().wrapping_add(stretch.timestamp_offset);
            return Some(self.header(packet, packet.marker(), out, timestamp));
        }
        if same_source {
            self.refused += 1;
            return None;
        }
        Some(self.rebase(packet, now))
    }

    /// Returns the header of the next locally generated packet, `ticks` long on the RTP clock.
    ///
    /// Ends the relayed stretch: the next [`RelayMap::map`] starts a new one after this packet. With
    /// `ticks` 0 the next packet has the same timestamp, as telephone-events require (RFC 4733 section
    /// 2.5.1.2); call [`RelayMap::skip`] with the event's length at its end.
    pub fn generate(&mut self, payload_type: u8, marker: bool, ticks: u32) -> RtpHeader {
        self.local(payload_type, marker, ticks, None)
    }

    /// Like [`RelayMap::generate`], but a pause after a relayed stretch is reflected in the timestamps.
    pub fn generate_at(&mut self, payload_type: u8, marker: bool, ticks: u32, now: Instant) -> RtpHeader {
        self.local(payload_type, marker, ticks, Some(now))
    }

    fn local(&mut self, payload_type: u8, marker: bool, ticks: u32, now: Option<Instant>) -> RtpHeader {
        if let Some(stretch) = self.current.take() {
            self.previous = Some(stretch);
            self.next_timestamp = self.resumed_timestamp(now);
        }
        self.restart = None;
        let (out, timestamp) = (self.next_sequence, self.next_timestamp);
        self.advance(out, timestamp, now);
        self.has_left();
        self.next_timestamp = timestamp.wrapping_add(ticks);
        RtpHeader { payload_type, marker, sequence: out as u16, timestamp, ssrc: self.ssrc }
    }

    /// Advances the locally generated stream by `ticks` without a packet (silence, a finished event).
    pub fn skip(&mut self, ticks: u32) {
        self.next_timestamp = self.next_timestamp.wrapping_add(ticks);
    }

    /// Returns the number of packets that [`RelayMap::map`] refused.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Extends the sequence number of a header made here, counted from the stream's first number: its upper bits
    /// are the roll-over counter of SRTP (RFC 3711 section 3.3.1), 0 at the start.
    pub fn extend_outgoing(&self, sequence: u16) -> u64 {
        let newest = self.next_sequence.saturating_sub(1);
        let step = i64::from(sequence.wrapping_sub(newest as u16) as i16);
        newest.checked_add_signed(step).unwrap_or(u64::from(sequence))
    }

    /// Starts a stretch at the next number with `packet` as its first.
    fn rebase(&mut self, packet: &RtpPacket<'_>, now: Option<Instant>) -> RtpHeader {
        if let Some(stretch) = self.current.take() {
            self.previous = Some(stretch);
        }
        self.restart = None;
        let first = !self.started;
        let out = self.next_sequence;
        let timestamp = if first { self.next_timestamp } else { self.resumed_timestamp(now) };
        let mut incoming = SeqExtender::new();
        let base_in = incoming.extend(packet.sequence());
        self.current = Some(Stretch {
            ssrc: packet.ssrc(),
            incoming,
            base_in,
            base_out: out,
            floor_out: if first { 0 } else { out },
            timestamp_offset: timestamp.wrapping_sub(packet.timestamp()),
            newest_timestamp: packet.timestamp(),
        });
        self.advance(out, timestamp, now);
        // A splice is a new talkspurt for the far end: its playout may adapt there (RFC 3551 section 4.1).
        self.header(packet, packet.marker() || !first, out, timestamp)
    }

    /// Returns the timestamp after a stretch: whole packets later if time has passed.
    fn resumed_timestamp(&self, now: Option<Instant>) -> u32 {
        let (Some(now), Some(last)) = (now, self.last_at) else { return self.next_timestamp };
        let elapsed = self.clock.ticks(now.saturating_duration_since(last));
        let sent = u64::from(self.next_timestamp.wrapping_sub(self.last_timestamp));
        let pause = elapsed.saturating_sub(sent);
        let step = u64::from(self.packet_ticks.max(1));
        self.next_timestamp.wrapping_add((pause / step * step) as u32)
    }

    /// Records a packet with a number higher than all before.
    fn advance(&mut self, out: u64, timestamp: u32, now: Option<Instant>) {
        let step = timestamp.wrapping_sub(self.last_timestamp);
        let believable = 1..=self.clock.ticks(MAX_PACKET) as u32;
        if self.started && out == self.next_sequence && believable.contains(&step) && self.current.is_some() {
            self.packet_ticks = step;
        }
        self.started = true;
        self.next_sequence = out + 1;
        self.last_timestamp = timestamp;
        self.next_timestamp = timestamp.wrapping_add(self.packet_ticks);
        self.last_at = now.or(self.last_at);
    }

    fn header(&self, packet: &RtpPacket<'_>, marker: bool, out: u64, timestamp: u32) -> RtpHeader {
        RtpHeader { payload_type: packet.payload_type(), marker, sequence: out as u16, timestamp, ssrc: self.ssrc }
    }
}

#[cfg(test)]
mod tests;
