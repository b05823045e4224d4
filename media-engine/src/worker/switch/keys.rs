//! Keys to press towards a leg: requested by a command, or pressed on the other leg.
//!
//! ```text
//! SendDtmf ───────────────────────▶ ┐
//! other leg's telephone-events ───▶ ┴─▶ queue ─▶ one at a time ─▶ EventSender, a packet a tick
//! ```
//!
//! A key of the other leg begins when the sound of that time leaves the playout, continues while it is held there, and
//! ends with the length that it had there. Audio pauses while a key is sent.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::TICK;
use crate::rtp::telephone_event::{EventPacket, EventSender, event_of};
use crate::units::ClockRate;

/// Number of keys that may wait.
const MAX_KEYS: usize = 32;
/// Silence after a requested key, in ticks: 60 ms. A key of the other leg is followed by its own pause.
const KEY_PAUSE: u32 = 3;
/// Time after which a held key ends if nothing more is received of it: longer than its receiver waits for a lost end.
const ABANDONED: Duration = Duration::from_secs(2);

/// One key press.
#[derive(Clone, Copy, Debug)]
struct Key {
    digit: char,
    /// Length, as far as it is known.
    length: Duration,
    /// While held on the other leg: the timestamp at which it began there, and the time of its last packet.
    held: Option<(u32, Instant)>,
    /// Time at which it begins; `None` means at once.
    starts_at: Option<Instant>,
    /// Whether a pause follows it.
    pause: bool,
}

/// Keys to press towards one leg. See the module head.
pub(super) struct Keys {
    waiting: VecDeque<Key>,
    current: Option<(Key, EventSender)>,
    clock: ClockRate,
    pause: u32,
    /// RTP clock ticks of the stream since the key that is being sent began.
    ticks: u32,
    /// Keys were pressed, and `take_ended` has not reported their end yet.
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

    /// Queues a requested key. Returns `false` if the character is not a key or too many wait.
    pub(super) fn press(&mut self, digit: char, duration_ms: u32) -> bool {
        let length = Duration::from_millis(u64::from(duration_ms.clamp(40, 6_000)));
        self.push(Key { digit, length, held: None, starts_at: None, pause: true })
    }

    /// Follows a key on the other leg that began there at timestamp `began` and has lasted for `length`. `over`: it was
    /// released. `starts_at`: when to begin a key that is not known yet. Returns `false` if it cannot be sent.
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

    /// Ends the keys that are held on the other leg, because it has left.
    pub(super) fn let_go(&mut self) {
        for key in self.current.iter_mut().map(|(key, _)| key).chain(&mut self.waiting) {
            key.held = None;
        }
    }

    /// Whether there are keys to send, now or soon.
    pub(super) fn are_pending(&self) -> bool {
        self.current.is_some() || !self.waiting.is_empty() || self.pause > 0
    }

    /// Whether this tick belongs to a key or to the pause after one, so that no audio is sent.
    pub(super) fn are_due(&self, now: Instant) -> bool {
        let begins = |key: &Key| key.starts_at.is_none_or(|at| at < now + TICK);
        self.current.is_some() || self.pause > 0 || self.waiting.front().is_some_and(begins)
    }

    /// Returns the packet of this tick, which lasts `ticks` of the stream; `None` during a pause.
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

    /// Records that the timestamp has moved by this many ticks within the key.
    pub(super) fn on_advance(&mut self, ticks: u32) {
        self.ticks = self.ticks.saturating_sub(ticks);
    }

    /// Ends the current key after its last packet, or because it cannot be sent. Returns the ticks that it took.
    pub(super) fn release(&mut self) -> u32 {
        if let Some((key, _)) = self.current.take()
            && (key.pause || !self.waiting.is_empty())
        {
            self.pause = KEY_PAUSE;
        }
        std::mem::take(&mut self.ticks)
    }

    /// Drops all keys, because the leg cannot receive them any more.
    pub(super) fn forget(&mut self) {
        self.waiting.clear();
        (self.current, self.pause) = (None, 0);
    }

    /// Returns `true` once after the last key: audio may take its former path again.
    pub(super) fn take_ended(&mut self) -> bool {
        !self.are_pending() && std::mem::take(&mut self.pressed)
    }
}
