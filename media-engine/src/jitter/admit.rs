//! Input side: decides which stream a packet belongs to and whether it can still be played.

use std::time::Instant;

use super::playout::{Course, Inserted, Playout, State, Stream};
use super::slots::{Content, SLOTS};

/// Sequence numbers further apart than this do not belong to one stream (RFC 3550 appendix A.1 allows 3000 forwards and 100
/// backwards; 1000 are 20 s).
const SEQUENCE_JUMP: i64 = 1_000;
/// Packet length that is assumed before the first packet.
const USUAL_PACKET_MS: u32 = 20;
/// Start of extended numbers, so that packets sent before the first one have valid numbers too.
const ORIGIN: i64 = 1 << 33;

/// A packet without its position in the stream.
struct Arrived<'a> {
    content: Content,
    payload: &'a [u8],
    arrival_us: i64,
}

impl Playout {
    /// Inserts a packet. Copies the payload; never allocates.
    ///
    /// `marker` is ignored and accepted only for the caller's convenience: senders set it wrongly or not at all, and numbers
    /// and time stamps contain the same information (a pause has a gap in time but none in number).
    pub fn insert(
        &mut self,
        sequence: u16,
        timestamp: u32,
        ssrc: u32,
        _marker: bool,
        payload: &[u8],
        arrival: Instant,
    ) -> Inserted {
        self.insert_content(sequence, timestamp, ssrc, Content::Voice, payload, arrival)
    }

    /// Inserts a comfort noise packet (RFC 3389) of the stream: from its time on nothing is sent, and the noise that it
    /// describes fills the pause.
    pub fn insert_noise(
        &mut self,
        sequence: u16,
        timestamp: u32,
        ssrc: u32,
        payload: &[u8],
        arrival: Instant,
    ) -> Inserted {
        self.insert_content(sequence, timestamp, ssrc, Content::Noise, payload, arrival)
    }

    /// Notes that a sequence number was used by a packet that is not audio, such as a telephone-event, and is not lost.
    pub fn skip(&mut self, sequence: u16, ssrc: u32) {
        let Some(stream) = self.stream.as_mut().filter(|stream| stream.ssrc == ssrc) else { return };
        let sequence = extend16(stream.highest_sequence, sequence);
        if (sequence - stream.highest_sequence).abs() <= SEQUENCE_JUMP
            && let Some(bit) = stream.note(sequence)
        {
            stream.other |= bit;
        }
    }

    fn insert_content(
        &mut self,
        sequence: u16,
        timestamp: u32,
        ssrc: u32,
        content: Content,
        payload: &[u8],
        arrival: Instant,
    ) -> Inserted {
        self.counters.packets += 1;
        self.epoch.get_or_insert(arrival);
        let arrived = Arrived { content, payload, arrival_us: self.micros(arrival) };
        let outcome = self.admit(sequence, timestamp, ssrc, &arrived);
        match outcome {
            Inserted::Accepted => {}
            Inserted::Late => self.counters.late += 1,
            Inserted::Duplicate => self.counters.duplicate += 1,
            Inserted::Overflow => self.counters.overflow += 1,
        }
        outcome
    }

    fn admit(&mut self, sequence: u16, timestamp: u32, ssrc: u32, packet: &Arrived<'_>) -> Inserted {
        let arrival_us = packet.arrival_us;
        if !self.slots.fits(packet.payload) {
            return Inserted::Overflow;
        }
        let Some(stream) = self.stream else {
            return self.begin(sequence, timestamp, ssrc, packet);
        };
        if stream.ssrc != ssrc {
            if self.previous_ssrc == Some(ssrc) && !self.confirms(ssrc, sequence) {
                return Inserted::Overflow;
            }
            self.previous_ssrc = Some(stream.ssrc);
            return self.begin(sequence, timestamp, ssrc, packet);
        }
        let sequence_ext = extend16(stream.highest_sequence, sequence);
        let timestamp_ext = extend32(stream.highest_timestamp, timestamp);
        let newer = sequence_ext > stream.highest_sequence;
        let transit_us = arrival_us - self.media_us(self.position(timestamp_ext));
        let jumped = (sequence_ext - stream.highest_sequence).abs() > SEQUENCE_JUMP
            || newer && timestamp_ext < stream.highest_timestamp
            || self.delay.is_foreign(transit_us, newer);
        if jumped {
            if self.confirms(ssrc, sequence) {
                return self.begin(sequence, timestamp, ssrc, packet);
            }
            return Inserted::Overflow;
        }
        self.accept(sequence_ext, timestamp_ext, packet)
    }

    /// Returns whether this is the second consecutive packet at an unexpected position (RFC 3550 appendix A.1): a single
    /// one may be late or belong to another stream.
    fn confirms(&mut self, ssrc: u32, sequence: u16) -> bool {
        let confirmed = self.suspect == Some((ssrc, sequence));
        self.suspect = Some((ssrc, sequence.wrapping_add(1)));
        confirmed
    }

    /// Resets the buffer for a first packet, another SSRC, or a jump that no network causes.
    fn begin(&mut self, sequence: u16, timestamp: u32, ssrc: u32, packet: &Arrived<'_>) -> Inserted {
        if self.stream.is_some() {
            self.counters.resyncs += 1;
        }
        let (sequence, timestamp) = (ORIGIN + i64::from(sequence), ORIGIN + i64::from(timestamp));
        self.slots.clear();
        self.fifo.clear();
        self.delay.clear();
        self.stream = Some(Stream {
            ssrc,
            highest_sequence: sequence - 1,
            highest_timestamp: timestamp,
            seen: 0,
            other: 0,
            done: sequence - 1,
            state: State::Fresh,
            decoded_to: self.position(timestamp),
            packet: self.config.sample_rate.samples_in_ms(USUAL_PACKET_MS),
            owed: 0,
            bridged: false,
            noise: None,
            course: Course::Steady,
            roomy_since_us: None,
            copies_begin: -1,
            impatience: 0,
        });
        self.accept(sequence, timestamp, packet)
    }

    fn accept(&mut self, sequence: i64, timestamp: i64, packet: &Arrived<'_>) -> Inserted {
        self.suspect = None;
        let (position, arrival_us) = (self.position(timestamp), packet.arrival_us);
        let transit_us = arrival_us - self.media_us(position);
        let Some(stream) = &mut self.stream else { return Inserted::Overflow };
        let step = sequence - stream.highest_sequence;
        if stream.note(sequence).is_none() {
            return Inserted::Duplicate;
        }
        if step > 0 {
            stream.highest_timestamp = timestamp;
        }
        let lost_before = step > 1 && stream.seen & 2 == 0;
        let packet_samples = stream.packet as i64;
        self.delay.on_packet(transit_us, arrival_us);
        let mut copies_begin = false;
        if lost_before && packet.content == Content::Voice && self.decoder.has_copy(packet.payload) {
            copies_begin = self.delay.on_copy(self.media_us(packet_samples), arrival_us);
        }
        let Some(stream) = &mut self.stream else { return Inserted::Overflow };
        if copies_begin {
            stream.copies_begin = sequence;
        }
        if sequence <= stream.done {
            // Overtaken by its successors before playout began: playout begins with this packet.
            if stream.state != State::Fresh || stream.highest_sequence - sequence >= SLOTS {
                return Inserted::Late;
            }
            stream.done = sequence - 1;
            stream.decoded_to = stream.decoded_to.min(position);
        }
        self.make_room(sequence);
        while !self.slots.put(sequence, position, packet.content, packet.payload) {
            if !self.drop_oldest_before(sequence) {
                return Inserted::Overflow;
            }
        }
        Inserted::Accepted
    }

    /// Drops the first waiting packet before `sequence` to make room for it; `false` if there is none.
    fn drop_oldest_before(&mut self, sequence: i64) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let mut waiting = (stream.done + 1..sequence).take(SLOTS as usize);
        let Some(oldest) = waiting.find(|&sequence| self.slots.remove(sequence)) else { return false };
        stream.done = oldest;
        self.counters.overflow += 1;
        true
    }

    /// Drops the oldest packets if `sequence` is further ahead than there are slots; their time has passed.
    fn make_room(&mut self, sequence: i64) {
        let Some(stream) = &mut self.stream else { return };
        if sequence <= stream.done + SLOTS {
            return;
        }
        for old in (stream.done + 1..=sequence - SLOTS).take(SLOTS as usize) {
            if self.slots.remove(old) {
                self.counters.overflow += 1;
            }
        }
        stream.done = sequence - SLOTS;
        if stream.state == State::Playing {
            stream.state = State::Waiting;
            self.fifo.clear();
            self.counters.resyncs += 1;
        }
    }
}

impl Stream {
    /// Marks a number as seen. Returns its bit, or `None` if it was seen before. A number too old for a bit counts as new.
    fn note(&mut self, sequence: i64) -> Option<u128> {
        if sequence > self.highest_sequence {
            let ahead = (sequence - self.highest_sequence).min(128) as u32;
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.other = self.other.checked_shl(ahead).unwrap_or(0);
            self.highest_sequence = sequence;
            return Some(1);
        }
        let bit = 1u128.checked_shl((self.highest_sequence - sequence).min(128) as u32).unwrap_or(0);
        let new = self.seen & bit == 0;
        self.seen |= bit;
        new.then_some(bit)
    }
}

fn extend16(highest: i64, low: u16) -> i64 {
    highest + i64::from(low.wrapping_sub(highest as u16) as i16)
}

pub(super) fn extend32(highest: i64, low: u32) -> i64 {
    highest + i64::from(low.wrapping_sub(highest as u32) as i32)
}
