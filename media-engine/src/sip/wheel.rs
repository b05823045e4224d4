//! Timers: a hierarchical wheel whose every operation costs the same for one timer and for a million.
//!
//! ```text
//!   level 0: 64 slots of 1 ms   level 1: 64 slots of 64 ms   ...   level 5: 64 slots of 12 days
//!   an entry sits where its deadline first differs from the wheel's time, and moves down as that time approaches
//! ```
//!
//! - Arming and cancelling touch one slot's list; a cancelled timer leaves nothing behind.
//! - Deadlines are rounded up to the millisecond: nothing fires early.
//! - [`TimerWheel::next`] may name an instant before the first deadline, when entries must move down a level; it never
//!   names a later one.
//!
//! Source: Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (1987).

use std::time::{Duration, Instant};

const LEVELS: usize = 6;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
const NONE: u32 = u32::MAX;
/// Most entries kept for later use while the wheel is empty.
const RETAINED: usize = 4096;
/// Furthest deadline that the wheel can distinguish; timers with a later one are placed again at this time.
const HORIZON: u64 = (1 << (SLOT_BITS * LEVELS as u32)) - 1;

/// Handle of one armed timer. A stale handle (fired or cancelled) is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey {
    index: u32,
    serial: u64,
}

struct Entry<T> {
    /// Milliseconds since the wheel's origin.
    due: u64,
    /// Number of the arming, never repeated: distinguishes a stale key from a live one.
    serial: u64,
    /// List neighbours in the slot; `next` links the free list when the entry is free.
    previous: u32,
    next: u32,
    slot: u16,
    value: Option<T>,
}

/// Timers that carry a `T` each.
pub(crate) struct TimerWheel<T> {
    origin: Option<Instant>,
    /// The wheel's time in milliseconds since the origin; nothing armed is due before it.
    elapsed: u64,
    serial: u64,
    entries: Vec<Entry<T>>,
    free: u32,
    heads: [u32; LEVELS * SLOTS],
    occupied: [u64; LEVELS],
    armed: usize,
    /// Entries linked so far, by which tests measure the wheel's work.
    #[cfg(test)]
    pub(crate) steps: u64,
}

impl<T> TimerWheel<T> {
    pub(crate) fn new() -> TimerWheel<T> {
        TimerWheel {
            origin: None,
            elapsed: 0,
            serial: 0,
            entries: Vec::new(),
            free: NONE,
            heads: [NONE; LEVELS * SLOTS],
            occupied: [0; LEVELS],
            armed: 0,
            #[cfg(test)]
            steps: 0,
        }
    }

    /// Returns the number of armed timers.
    pub(crate) fn len(&self) -> usize {
        self.armed
    }

    /// Fires `value` after `delay` from `now`, at the earliest in one millisecond.
    pub(crate) fn arm(&mut self, now: Instant, delay: Duration, value: T) -> TimerKey {
        let origin = *self.origin.get_or_insert(now);
        let due = round_up(now.saturating_duration_since(origin) + delay).max(self.elapsed + 1);
        self.serial += 1;
        let serial = self.serial;
        let entry = Entry { due, serial, previous: NONE, next: NONE, slot: 0, value: Some(value) };
        let index = match self.free {
            NONE => {
                self.entries.push(entry);
                u32::try_from(self.entries.len() - 1).expect("timers are bounded by the endpoint's limits")
            }
            index => {
                self.free = self.entries[index as usize].next;
                self.entries[index as usize] = entry;
                index
            }
        };
        self.armed += 1;
        self.link(index);
        TimerKey { index, serial }
    }

    /// Cancels a timer; returns `None` if it has fired or was cancelled before.
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let entry = self.entries.get(key.index as usize)?;
        if entry.serial != key.serial || entry.value.is_none() {
            return None;
        }
        self.unlink(key.index);
        Some(self.release(key.index))
    }

    /// Returns the next time at which [`TimerWheel::expire`] has something to do; never later than the first deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        let (at, _, _) = self.next_slot()?;
        Some(self.origin? + Duration::from_millis(at))
    }

    /// Removes and returns the next timer that is due at `now`, in the order of deadlines (within one millisecond in
    /// any order).
    pub(crate) fn expire(&mut self, now: Instant) -> Option<T> {
        let now = now.saturating_duration_since(self.origin?).as_millis() as u64;
        loop {
            let Some((at, level, slot)) = self.next_slot() else {
                self.elapsed = self.elapsed.max(now);
                return None;
            };
            if at > now {
                self.elapsed = self.elapsed.max(now);
                return None;
            }
            // Everything before `at` is empty, so the wheel's time may move to it.
            self.elapsed = self.elapsed.max(at);
            let position = level * SLOTS + slot;
            let index = self.heads[position];
            if level == 0 && self.entries[index as usize].due <= self.elapsed {
                self.unlink(index);
                return Some(self.release(index));
            }
            self.move_down(position);
        }
    }

    /// Links the entries of a slot again, at the levels that fit the wheel's new time.
    fn move_down(&mut self, position: usize) {
        while self.heads[position] != NONE {
            let index = self.heads[position];
            self.unlink(index);
            self.link(index);
        }
    }

    /// Returns the first occupied slot: its time, level and number. Lower levels always come first in time.
    fn next_slot(&self) -> Option<(u64, usize, usize)> {
        for level in 0..LEVELS {
            if self.occupied[level] == 0 {
                continue;
            }
            let shift = SLOT_BITS * level as u32;
            let current = (self.elapsed >> shift) as u32 & (SLOTS as u32 - 1);
            let ahead = self.occupied[level].rotate_right(current).trailing_zeros();
            let slot = ((current + ahead) as usize) % SLOTS;
            let span_start = self.elapsed >> shift << shift;
            let at = span_start + (u64::from(ahead) << shift);
            return Some((at, level, slot));
        }
        None
    }

    fn link(&mut self, index: u32) {
        #[cfg(test)]
        {
            self.steps += 1;
        }
        let due = self.entries[index as usize].due.min(self.elapsed.saturating_add(HORIZON >> 1)).max(self.elapsed);
        let differing = (due ^ self.elapsed) | (SLOTS as u64 - 1);
        let level = (((63 - differing.leading_zeros()) / SLOT_BITS) as usize).min(LEVELS - 1);
        let slot = (due >> (SLOT_BITS * level as u32)) as usize % SLOTS;
        let position = level * SLOTS + slot;
        let head = self.heads[position];
        let entry = &mut self.entries[index as usize];
        entry.slot = position as u16;
        entry.previous = NONE;
        entry.next = head;
        if head != NONE {
            self.entries[head as usize].previous = index;
        }
        self.heads[position] = index;
        self.occupied[level] |= 1 << slot;
    }

    fn unlink(&mut self, index: u32) {
        let Entry { previous, next, slot, .. } = self.entries[index as usize];
        let position = usize::from(slot);
        if previous == NONE {
            self.heads[position] = next;
        } else {
            self.entries[previous as usize].next = next;
        }
        if next != NONE {
            self.entries[next as usize].previous = previous;
        }
        if self.heads[position] == NONE {
            self.occupied[position / SLOTS] &= !(1 << (position % SLOTS));
        }
    }

    fn release(&mut self, index: u32) -> T {
        let entry = &mut self.entries[index as usize];
        let value = entry.value.take().expect("only armed entries are linked");
        entry.next = self.free;
        self.free = index;
        self.armed -= 1;
        if self.armed == 0 && self.entries.capacity() > RETAINED {
            // Nothing is linked any more: the memory of a busy hour is released.
            self.entries = Vec::new();
            self.free = NONE;
        }
        value
    }
}

fn round_up(span: Duration) -> u64 {
    span.as_nanos().div_ceil(1_000_000) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::test_epoch;

    fn ms(span: u64) -> Duration {
        Duration::from_millis(span)
    }

    #[test]
    fn timers_fire_in_order_never_early_and_at_most_a_millisecond_late() {
        let start = test_epoch();
        let mut wheel = TimerWheel::new();
        // A small linear congruential sequence: spans from 1 ms to some days.
        let mut state = 7u64;
        let mut expected = Vec::new();
        for _ in 0..5_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let span = (state >> 33) % (1 << (1 + (state >> 5) % 29));
            wheel.arm(start, ms(span), span);
            expected.push(span.max(1));
        }
        expected.sort_unstable();
        let mut now = start;
        let mut fired = Vec::new();
        while let Some(next) = wheel.next() {
            assert!(next >= now, "time goes on");
            now = next;
            while let Some(span) = wheel.expire(now) {
                assert_eq!(now - start, ms(span.max(1)));
                fired.push(span.max(1));
            }
        }
        assert_eq!(fired, expected);
        assert_eq!(wheel.len(), 0);
    }

    #[test]
    fn a_late_caller_gets_every_due_timer() {
        let start = test_epoch();
        let mut wheel = TimerWheel::new();
        for span in [5, 70, 4_000, 33_000, 400_000] {
            wheel.arm(start, ms(span), span);
        }
        let now = start + ms(34_000);
        let fired: Vec<u64> = std::iter::from_fn(|| wheel.expire(now)).collect();
        assert_eq!(fired, [5, 70, 4_000, 33_000]);
        wheel.arm(now, ms(10), 1);
        assert!(wheel.expire(now + ms(9)).is_none());
        assert_eq!(wheel.expire(now + ms(10)), Some(1));
    }

    #[test]
    fn cancelled_timers_leave_nothing_and_stale_keys_are_harmless() {
        let start = test_epoch();
        let mut wheel = TimerWheel::new();
        let keys: Vec<TimerKey> = (0..100).map(|n| wheel.arm(start, ms(n * 50), n)).collect();
        for (n, key) in keys.iter().enumerate() {
            assert_eq!(wheel.cancel(*key), Some(n as u64));
            assert_eq!(wheel.cancel(*key), None);
        }
        assert_eq!((wheel.len(), wheel.next()), (0, None));
        let reused = wheel.arm(start, ms(3), 7);
        assert_eq!(wheel.cancel(keys[99]), None, "the entry now belongs to another timer");
        assert_eq!(wheel.cancel(reused), Some(7));
    }

    #[test]
    fn a_deadline_beyond_the_horizon_waits_its_full_time() {
        let start = test_epoch();
        let mut wheel = TimerWheel::new();
        let span = Duration::from_secs(5 * 365 * 86_400);
        wheel.arm(start, span, ());
        let mut wakes = 0;
        while let Some(next) = wheel.next() {
            wakes += 1;
            assert!(wakes < 100);
            if wheel.expire(next).is_some() {
                assert_eq!(next - start, span);
            }
        }
    }

    #[test]
    fn memory_of_a_busy_hour_is_released() {
        let start = test_epoch();
        let mut wheel = TimerWheel::new();
        let keys: Vec<TimerKey> = (0..100_000).map(|n| wheel.arm(start, ms(32_000), n)).collect();
        for key in keys {
            wheel.cancel(key);
        }
        assert!(wheel.entries.capacity() <= RETAINED);
    }
}
