//! Telephone-events: key presses as RTP payloads (RFC 4733).
//!
//! ```text
//! packets of one key press: same timestamp, growing duration, the end three times
//!   M d=160 │ d=320 │ d=480 │ … │ E d=800 │ E d=800 │ E d=800
//! EventReceiver ─▶ one Digit          EventSender ◀─ one key
//! ```
//!
//! Invariants: a key press is reported once, however many of its packets are lost, doubled or late;
//! where every end packet is lost it ends 250 ms after its last packet. Nothing allocates.
//! Not here: tones in the audio (`codecs::dtmf`), RTP headers (`RelayMap::generate` numbers them).

use std::time::{Duration, Instant};

use super::packet::RtpError;
use crate::units::ClockRate;

/// Bytes of a telephone-event payload.
pub const EVENT_LEN: usize = 4;

/// A key press whose end was lost is over when nothing more came for this long.
const LOST_END: Duration = Duration::from_millis(250);

/// How long packets of a finished key press may still arrive.
const STRAGGLERS: Duration = Duration::from_secs(5);

/// One telephone-event payload (RFC 4733 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TelephoneEvent {
    /// Event code: 0–9, 10 `*`, 11 `#`, 12–15 A–D, 16 flash; others are not key presses.
    pub event: u8,
    /// The event has ended.
    pub end: bool,
    /// Level as positive dB below 0 dBm0, 0 to 63.
    pub volume: u8,
    /// Time since the event began, in ticks of the RTP clock.
    pub duration: u16,
}

impl TelephoneEvent {
    /// Reads the first event of a payload.
    ///
    /// # Errors
    /// [`RtpError::Short`] below four bytes.
    pub fn parse(payload: &[u8]) -> Result<TelephoneEvent, RtpError> {
        let Some(&[event, flags, high, low]) = payload.first_chunk::<EVENT_LEN>() else {
            return Err(RtpError::Short);
        };
        Ok(TelephoneEvent {
            event,
            end: flags & 0x80 != 0,
            volume: flags & 0x3f,
            duration: u16::from_be_bytes([high, low]),
        })
    }

    /// Writes the payload to the front of `out`; returns the bytes written, always [`EVENT_LEN`].
    ///
    /// # Errors
    /// [`RtpError::BufferTooSmall`] below four bytes, [`RtpError::Range`] for a volume above 63.
    pub fn write_to(&self, out: &mut [u8]) -> Result<usize, RtpError> {
        let out = out.get_mut(..EVENT_LEN).ok_or(RtpError::BufferTooSmall)?;
        if self.volume > 63 {
            return Err(RtpError::Range);
        }
        let [high, low] = self.duration.to_be_bytes();
        out.copy_from_slice(&[self.event, u8::from(self.end) << 7 | self.volume, high, low]);
        Ok(EVENT_LEN)
    }
}

/// The key of an event code; `None` for codes that are not keys.
pub fn digit_of(event: u8) -> Option<char> {
    b"0123456789*#ABCD".get(usize::from(event)).map(|&byte| char::from(byte))
}

/// The event code of a key: `0`–`9`, `*`, `#`, `A`–`D` in either case.
pub fn event_of(digit: char) -> Option<u8> {
    let upper = digit.to_ascii_uppercase();
    (0..16).find(|&event| digit_of(event) == Some(upper))
}

/// A key press: one that has ended, or what is known of it so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digit {
    /// `0`–`9`, `*`, `#`, `A`–`D`.
    pub digit: char,
    /// Its length in ticks of the RTP clock.
    pub duration_ticks: u32,
    /// Timestamp at which it began.
    pub began: u32,
}

#[derive(Clone, Copy, Debug)]
struct Press {
    event: u8,
    began: u32,
    /// Timestamp of the current segment; equal to the press's own until 65535 ticks have passed.
    timestamp: u32,
    /// Ticks of the segments before the current one (RFC 4733 section 2.5.1.3).
    before: u32,
    duration: u16,
    deadline: Instant,
}

impl Press {
    fn digit(&self) -> Option<Digit> {
        let duration_ticks = self.before.saturating_add(u32::from(self.duration));
        digit_of(self.event).map(|digit| Digit { digit, duration_ticks, began: self.began })
    }
}

/// Makes key presses of telephone-event packets.
#[derive(Clone, Debug)]
pub struct EventReceiver {
    straggler_ticks: u32,
    pressed: Option<Press>,
    finished: Option<u32>,
}

impl EventReceiver {
    /// Nothing pressed; `clock` is that of the telephone-event payload type.
    pub fn new(clock: ClockRate) -> EventReceiver {
        let straggler_ticks = clock.ticks(STRAGGLERS).min(i32::MAX as u64) as u32;
        EventReceiver { straggler_ticks, pressed: None, finished: None }
    }

    /// Takes one packet; returns a key press that this packet ends.
    ///
    /// When the packet ends two at once (an old one whose end was lost, and its own), the second is due
    /// at once through [`EventReceiver::on_timeout`].
    pub fn on_packet(&mut self, timestamp: u32, event: &TelephoneEvent, now: Instant) -> Option<Digit> {
        if self.is_straggler(timestamp) {
            return None;
        }
        if let Some(press) = self.pressed.as_mut() {
            let continued = press.timestamp.wrapping_add(u32::from(u16::MAX)) == timestamp;
            if press.event == event.event && continued && press.duration > u16::MAX / 2 {
                press.before = press.before.saturating_add(u32::from(u16::MAX));
                press.timestamp = timestamp;
                press.duration = 0;
            }
            if press.timestamp == timestamp {
                press.duration = press.duration.max(event.duration);
                press.deadline = now + LOST_END;
                return if event.end { self.finish() } else { None };
            }
            if self.is_before_current(timestamp) {
                return None;
            }
        }
        let lost = self.finish();
        self.pressed = Some(Press {
            event: event.event,
            began: timestamp,
            timestamp,
            before: 0,
            duration: event.duration,
            deadline: now + LOST_END,
        });
        match (event.end, lost) {
            (false, _) => lost,
            (true, None) => self.finish(),
            (true, Some(_)) => {
                if let Some(press) = self.pressed.as_mut() {
                    press.deadline = now;
                }
                lost
            }
        }
    }

    /// The key that is being pressed, with its length so far.
    pub fn pressed(&self) -> Option<Digit> {
        self.pressed.as_ref().and_then(Press::digit)
    }

    /// Ends a key press whose end packets were lost.
    pub fn on_timeout(&mut self, now: Instant) -> Option<Digit> {
        if self.poll_timeout()? > now {
            return None;
        }
        self.finish()
    }

    /// When [`EventReceiver::on_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.pressed.map(|press| press.deadline)
    }

    /// Forgets timestamps seen so far: the stream's SSRC has changed. Returns a key press cut short.
    pub fn restart(&mut self) -> Option<Digit> {
        let digit = self.finish();
        self.finished = None;
        digit
    }

    fn finish(&mut self) -> Option<Digit> {
        let press = self.pressed.take()?;
        self.finished = Some(press.timestamp);
        press.digit()
    }

    /// Whether `timestamp` is that of the finished press or a little earlier.
    fn is_straggler(&self, timestamp: u32) -> bool {
        self.finished.is_some_and(|finished| finished.wrapping_sub(timestamp) <= self.straggler_ticks)
    }

    fn is_before_current(&self, timestamp: u32) -> bool {
        self.pressed.is_some_and(|press| press.timestamp.wrapping_sub(timestamp) <= self.straggler_ticks)
    }
}

/// One packet of a key press that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPacket {
    /// Its payload.
    pub event: TelephoneEvent,
    /// Set on the first packet only.
    pub marker: bool,
    /// Ticks by which the timestamp moves for this packet and those behind it: a new segment (RFC 4733 section 2.5.1.3).
    pub advance: u32,
    /// The last of the three end packets.
    pub last: bool,
}

/// Makes the packets of one key press, one per packet interval.
///
/// Its length may be known from the start ([`EventSender::new`]) or become known while it lasts ([`EventSender::open`]).
#[derive(Clone, Debug)]
pub struct EventSender {
    event: u8,
    step: u32,
    /// Length as far as it is known.
    total: u32,
    open: bool,
    sent: u32,
    /// Ticks of the segments before the current one.
    before: u32,
    first: bool,
    ends_left: u8,
}

impl EventSender {
    /// Level of the keys we send, in −dBm0: a usual telephone's.
    const VOLUME: u8 = 10;
    /// Longest segment.
    const SEGMENT: u32 = u16::MAX as u32;

    /// A press of `digit` for `duration`, at least one interval, packets every `interval`; `None` when it is not a key.
    pub fn new(digit: char, duration: Duration, interval: Duration, clock: ClockRate) -> Option<EventSender> {
        let mut sender = EventSender::open(digit, interval, clock)?;
        sender.close(clock.ticks(duration).min(u64::from(u32::MAX)) as u32);
        Some(sender)
    }

    /// A press of `digit` that lasts until it is closed.
    pub fn open(digit: char, interval: Duration, clock: ClockRate) -> Option<EventSender> {
        let event = event_of(digit)?;
        let step = clock.ticks(interval).clamp(1, u64::from(u16::MAX)) as u32;
        Some(EventSender { event, step, total: step, open: true, sent: 0, before: 0, first: true, ends_left: 3 })
    }

    /// So long it has lasted, at least. What is sent never says more, but for one interval at its beginning.
    pub fn lasts(&mut self, ticks: u32) {
        if self.open {
            self.total = self.total.max(ticks);
        }
    }

    /// So long it lasted.
    pub fn close(&mut self, ticks: u32) {
        self.lasts(ticks);
        self.open = false;
    }

    /// The next packet; those of one segment share a timestamp. `None` after the third end packet.
    pub fn next_packet(&mut self) -> Option<EventPacket> {
        if self.ends_left == 0 {
            return None;
        }
        let mut advance = 0;
        let full = self.before.saturating_add(Self::SEGMENT);
        if self.sent == full && self.total > full {
            self.before = full;
            advance = Self::SEGMENT;
        }
        let most = self.total.min(self.before.saturating_add(Self::SEGMENT));
        self.sent = self.sent.saturating_add(self.step).min(most);
        let end = !self.open && self.sent == self.total;
        if end {
            self.ends_left -= 1;
        }
        let duration = (self.sent - self.before) as u16;
        let event = TelephoneEvent { event: self.event, end, volume: Self::VOLUME, duration };
        let marker = std::mem::replace(&mut self.first, false);
        Some(EventPacket { event, marker, advance, last: self.ends_left == 0 })
    }

    /// Length of the whole press in ticks, as far as it is known: how far the audio's timestamp has moved at its end, not
    /// counting the two repeated end packets.
    pub fn total_ticks(&self) -> u32 {
        self.total
    }
}

#[cfg(test)]
mod tests;
