//! Keys to press towards a leg: those that were asked for, and those that are being pressed on the other leg.
//!
//! ```text
//! SendDtmf ───────────────────────▶ ┐
//! other leg's telephone-events ───▶ ┴─▶ queue ─▶ one at a time ─▶ EventSender, a packet a tick
//! ```
//!
//! A key of the other leg begins when the sound of that time comes out of the playout, goes on while it is held there, and
//! ends with the length it had there. Audio pauses while a key is sent.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::TICK;
use crate::rtp::telephone_event::{EventPacket, EventSender, event_of};
use crate::units::ClockRate;

/// Keys that may wait.
const MAX_KEYS: usize = 32;
/// Silence after a key that was asked for, in ticks: 60 ms. After one of the other leg its own pause follows.
const KEY_PAUSE: u32 = 3;
/// A held key of which nothing more is heard ends: longer than its receiver waits for a lost end.
const ABANDONED: Duration = Duration::from_secs(2);

/// One press.
#[derive(Clone, Copy, Debug)]
struct Key {
    digit: char,
    /// Its length, as far as it is known.
    length: Duration,
    /// Still held on the other leg: the timestamp at which it began there, and when it was heard of last.
    held: Option<(u32, Instant)>,
    /// When it begins.
    starts_at: Option<Instant>,
    /// To be followed by a pause.
    pause: bool,
}

/// See the module head.
pub(super) struct Keys {
    waiting: VecDeque<Key>,
    current: Option<(Key, EventSender)>,
    clock: ClockRate,
    pause: u32,
    /// RTP clock ticks of the stream since the key that is being sent began.
    ticks: u32,
    /// Keys were pressed and their end was not noticed yet.
    pressed: bool,
}

impl Keys {
    pub(super) fn new() -> Keys {
        Keys {
            waiting: VecDeque::with_capacity(MAX_KEYS),
            current: None,
            clock: ClockRate::HZ_8000,
            pause: 0,
            ticks: 0,
            pressed: false,
        }
    }

    /// Queues a key that was asked for. `false`: it is none, or too many wait.
    pub(super) fn press(&mut self, digit: char, duration_ms: u32) -> bool {
        let length = Duration::from_millis(u64::from(duration_ms.clamp(40, 6_000)));
        self.push(Key { digit, length, held: None, starts_at: None, pause: true })
    }

    /// A key is held on the other leg, since its timestamp `began` and for `length` so far. `over`: it was released.
    /// `starts_at`: when a key that was not known before is to begin. `false`: it cannot be sent.
    pub(super) fn follow(
        &mut self,
        digit: char,
        began: u32,
        length: Duration,
        over: bool,
        starts_at: Option<Instant>,
        now: Instant,
    ) -> bool {
        let known = self.current.iter_mut().map(|(key, _)| key).chain(&mut self.waiting);
        for key in known {
            if key.held.is_some_and(|(id, _)| id == began) {
                key.length = key.length.max(length);
                key.held = if over { None } else { Some((began, now)) };
                return true;
            }
        }
        let held = if over { None } else { Some((began, now)) };
        self.push(Key { digit, length, held, starts_at, pause: false })
    }

    fn push(&mut self, key: Key) -> bool {
        if event_of(key.digit).is_none() || self.waiting.len() == MAX_KEYS {
            return false;
        }
        self.waiting.push_back(key);
        self.pressed = true;
        true
    }

    /// Keys that are held on the other leg end now: it is gone.
    pub(super) fn let_go(&mut self) {
        for key in self.current.iter_mut().map(|(key, _)| key).chain(&mut self.waiting) {
            key.held = None;
        }
    }

    /// Whether there are keys, now or soon.
    pub(super) fn are_there(&self) -> bool {
        self.current.is_some() || !self.waiting.is_empty() || self.pause > 0
    }

    /// Whether this tick belongs to a key or to the pause after one: no audio is sent then.
    pub(super) fn are_due(&self, now: Instant) -> bool {
        let begins = |key: &Key| key.starts_at.is_none_or(|at| at < now + TICK);
        self.current.is_some() || self.pause > 0 || self.waiting.front().is_some_and(begins)
    }

    /// The packet of this tick, which lasts `ticks` of the stream; `None` in a pause.
    pub(super) fn next_packet(&mut self, clock: ClockRate, ticks: u32, now: Instant) -> Option<EventPacket> {
        if self.current.is_none() {
            if self.pause > 0 {
                self.pause -= 1;
                return None;
            }
            let key = self.waiting.pop_front()?;
            self.clock = clock;
            self.current = Some((key, EventSender::open(key.digit, TICK, clock)?));
        }
        let (key, sender) = self.current.as_mut()?;
        if key.held.is_some_and(|(_, heard)| now.saturating_duration_since(heard) > ABANDONED) {
            key.held = None;
        }
        let length = self.clock.ticks(key.length).min(u64::from(u32::MAX)) as u32;
        match key.held {
            Some(_) => sender.lasts(length),
            None => sender.close(length),
        }
        self.ticks = self.ticks.saturating_add(ticks);
        sender.next_packet()
    }

    /// The timestamp has moved by so many ticks within the key.
    pub(super) fn advanced(&mut self, ticks: u32) {
        self.ticks = self.ticks.saturating_sub(ticks);
    }

    /// The key's last packet is out, or the key cannot be sent: the ticks that it took.
    pub(super) fn released(&mut self) -> u32 {
        if let Some((key, _)) = self.current.take()
            && (key.pause || !self.waiting.is_empty())
        {
            self.pause = KEY_PAUSE;
        }
        std::mem::take(&mut self.ticks)
    }

    /// There is no way to send keys any more.
    pub(super) fn forget(&mut self) {
        self.waiting.clear();
        (self.current, self.pause) = (None, 0);
    }

    /// `true` once after the last key: audio may take its former path again.
    pub(super) fn ended(&mut self) -> bool {
        !self.are_there() && std::mem::take(&mut self.pressed)
    }
}
