//! Telephone-events: key presses as RTP payloads (RFC 4733).
//!
//! ```text
//! packets of one key press: same timestamp, growing duration, the end three times
//!   M d=160 │ d=320 │ d=480 │ … │ E d=800 │ E d=800 │ E d=800
//! EventReceiver ─▶ one Digit          EventSender ◀─ one key
//! ```
//!
//! Invariants: a key press is reported once, however many of its packets are lost, doubled or late;
//! if every end packet is lost, the press ends 250 ms after its last packet. Nothing allocates.
//! Not here: tones in the audio (`codecs::dtmf`), RTP headers (`RelayMap::generate` numbers them).

use std::time::{Duration, Instant};

use super::packet::RtpError;
use crate::units::ClockRate;

/// Length of a telephone-event payload in bytes.
pub const EVENT_LEN: usize = 4;

/// Time without packets after which a key press ends whose end packets were lost.
const LOST_END: Duration = Duration::from_millis(250);

/// Time for which packets of a finished key press may still arrive.
const STRAGGLERS: Duration = Duration::from_secs(5);

/// One telephone-event payload (RFC 4733 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TelephoneEvent {
    /// Event code: 0–9, 10 `*`, 11 `#`, 12–15 A–D, 16 flash; others are not key presses.
    pub event: u8,
    /// Whether the event has ended.
    pub end: bool,
    /// Level as positive dB below 0 dBm0, 0 to 63.
    pub volume: u8,
    /// Time since the event began, in ticks of the RTP clock.
    pub duration: u16,
}

impl TelephoneEvent {
    /// Parses the first event of a payload.
    ///
    /// # Errors
    /// [`RtpError::Short`] below four bytes; the caller should drop the packet.
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
    /// [`RtpError::BufferTooSmall`] below four bytes, [`RtpError::Range`] for a volume above 63. Nothing is written then.
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

/// Returns the key of an event code; `None` for codes that are not keys.
pub fn digit_of(event: u8) -> Option<char> {
    b"0123456789*#ABCD".get(usize::from(event)).map(|&byte| char::from(byte))
}

/// Returns the event code of a key: `0`–`9`, `*`, `#`, `A`–`D` in either case.
pub fn event_of(digit: char) -> Option<u8> {
    let upper = digit.to_ascii_uppercase();
    (0..16).find(|&event| digit_of(event) == Some(upper))
}

/// A key press that has ended, or the part of it that is known so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digit {
    /// Key: `0`–`9`, `*`, `#`, `A`–`D`.
    pub digit: char,
    /// Length in ticks of the RTP clock.
    pub duration_ticks: u32,
    /// RTP timestamp at which the press began.
    pub began: u32,
}

#[derive(Clone, Copy, Debug)]
struct Press {
    event: u8,
    began: u32,
    /// Timestamp of the current segment; equal to that of the press until 65535 ticks have passed.
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

/// Assembles key presses from telephone-event packets.
#[derive(Clone, Debug)]
pub struct EventReceiver {
    straggler_ticks: u32,
    pressed: Option<Press>,
    finished: Option<u32>,
}

impl EventReceiver {
    /// Creates a receiver with no key pressed; `clock` is that of the telephone-event payload type.
    pub fn new(clock: ClockRate) -> EventReceiver {
        let straggler_ticks = clock.ticks(STRAGGLERS).min(i32::MAX as u64) as u32;
        EventReceiver { straggler_ticks, pressed: None, finished: None }
    }

    /// Processes one packet; returns a key press that this packet ends.
    ///
    /// When the packet ends two presses at once (an old one whose end was lost, and its own), the second is due
    /// immediately through [`EventReceiver::on_timeout`].
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

    /// Returns the key that is being pressed, with its length so far.
    pub fn pressed(&self) -> Option<Digit> {
        self.pressed.as_ref().and_then(Press::digit)
    }

    /// Ends a key press whose end packets were lost, if its time has come.
    pub fn on_timeout(&mut self, now: Instant) -> Option<Digit> {
        if self.poll_timeout()? > now {
            return None;
        }
        self.finish()
    }

    /// Returns the time at which [`EventReceiver::on_timeout`] is due; `None` while no key is pressed.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.pressed.map(|press| press.deadline)
    }

    /// Forgets all timestamps after a change of the stream's SSRC. Returns a key press that was cut short.
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

    /// Returns whether `timestamp` is that of the finished press or a little earlier.
    fn is_straggler(&self, timestamp: u32) -> bool {
        self.finished.is_some_and(|finished| finished.wrapping_sub(timestamp) <= self.straggler_ticks)
    }

    fn is_before_current(&self, timestamp: u32) -> bool {
        self.pressed.is_some_and(|press| press.timestamp.wrapping_sub(timestamp) <= self.straggler_ticks)
    }
}

/// One packet of a key press to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPacket {
    /// Payload of the packet.
    pub event: TelephoneEvent,
    /// Marker bit, set on the first packet only.
    pub marker: bool,
    /// Ticks by which the timestamp of this and later packets advances: a new segment (RFC 4733 section 2.5.1.3).
    pub advance: u32,
    /// Whether this is the last of the three end packets.
    pub last: bool,
}

/// Generates the packets of one key press, one per packet interval.
///
/// The length is known from the start ([`EventSender::new`]), or only when the press ends ([`EventSender::open`]).
#[derive(Clone, Debug)]
pub struct EventSender {
    event: u8,
    step: u32,
    /// Length as far as it is known, in ticks.
    total: u32,
    open: bool,
    sent: u32,
    /// Ticks of the segments before the current one.
    before: u32,
    first: bool,
    ends_left: u8,
}

impl EventSender {
    /// Level of sent key presses, in −dBm0: that of an ordinary telephone.
    const VOLUME: u8 = 10;
    /// Longest segment, in ticks.
    const SEGMENT: u32 = u16::MAX as u32;

    /// Creates a press of `digit` for `duration` (at least one interval), a packet every `interval`; `None` if it is not a key.
    pub fn new(digit: char, duration: Duration, interval: Duration, clock: ClockRate) -> Option<EventSender> {
        let mut sender = EventSender::open(digit, interval, clock)?;
        sender.close(clock.ticks(duration).min(u64::from(u32::MAX)) as u32);
        Some(sender)
    }

    /// Creates a press of `digit` that lasts until [`EventSender::close`]; `None` if it is not a key.
    pub fn open(digit: char, interval: Duration, clock: ClockRate) -> Option<EventSender> {
        let event = event_of(digit)?;
        let step = clock.ticks(interval).clamp(1, u64::from(u16::MAX)) as u32;
        Some(EventSender { event, step, total: step, open: true, sent: 0, before: 0, first: true, ends_left: 3 })
    }

    /// Extends the press to at least `ticks`. Packets never report a greater length, except for one interval at the beginning.
    pub fn lasts(&mut self, ticks: u32) {
        if self.open {
            self.total = self.total.max(ticks);
        }
    }

    /// Ends the press with a length of `ticks`.
    pub fn close(&mut self, ticks: u32) {
        self.lasts(ticks);
        self.open = false;
    }

    /// Returns the next packet; those of one segment share a timestamp. `None` after the third end packet.
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

    /// Returns the length of the whole press in ticks, as far as it is known: the advance of the audio's timestamp at its end,
    /// not counting the two repeated end packets.
    pub fn total_ticks(&self) -> u32 {
        self.total
    }
}

#[cfg(test)]
mod tests;
