//! Storage of waiting packets by sequence number, allocated once.
//!
//! Payloads are stored one after the other in one arena. When its end is reached, the payloads that still wait are
//! compacted; an orderly stream never has more than a few and stays at the beginning of the arena.

/// Maximum number of waiting packets: 640 ms at 10 ms a packet.
pub(super) const SLOTS: i64 = 64;

/// Kind of a packet's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// A payload of the codec.
    Voice,
    /// The sender pauses; the payload describes its background noise (RFC 3389).
    Noise,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct SlotHead {
    pub(super) sequence: i64,
    /// Media time of the first sample, in samples.
    pub(super) position: i64,
    pub(super) content: Content,
    at: u32,
    length: u32,
}

#[derive(Debug)]
pub(super) struct Slots {
    heads: [Option<SlotHead>; SLOTS as usize],
    arena: Box<[u8]>,
    /// Offset of the next payload; meaningless while no packet waits.
    end: usize,
    waiting: usize,
    longest: usize,
}

impl Slots {
    /// Creates storage for payloads of up to `longest` bytes each and `room` bytes in total.
    pub(super) fn new(longest: usize, room: usize) -> Slots {
        let arena = vec![0; room.max(longest).max(1)].into_boxed_slice();
        Slots { heads: [None; SLOTS as usize], arena, end: 0, waiting: 0, longest }
    }

    pub(super) fn clear(&mut self) {
        self.heads.fill(None);
        (self.end, self.waiting) = (0, 0);
    }

    /// Returns whether the payload is short enough to be stored.
    pub(super) fn fits(&self, payload: &[u8]) -> bool {
        payload.len() <= self.longest
    }

    /// Stores a packet; `false` if the arena is full. The caller ensures that the slot is free: waiting numbers lie within
    /// [`SLOTS`] of each other.
    pub(super) fn put(&mut self, sequence: i64, position: i64, content: Content, payload: &[u8]) -> bool {
        if self.waiting == 0 {
            self.end = 0;
        } else if self.arena.len() - self.end < payload.len().max(1) {
            self.compact();
        }
        let at = self.end;
        // An empty payload takes a byte, so that no two have the same offset.
        let Some(room) = self.arena.get_mut(at..at + payload.len().max(1)) else { return false };
        room[..payload.len()].copy_from_slice(payload);
        self.end += room.len();
        self.waiting += 1;
        let (at, length) = (at as u32, payload.len() as u32);
        let before = self.heads[index(sequence)].replace(SlotHead { sequence, position, content, at, length });
        self.waiting -= usize::from(before.is_some());
        true
    }

    pub(super) fn head(&self, sequence: i64) -> Option<SlotHead> {
        self.heads[index(sequence)].filter(|head| head.sequence == sequence)
    }

    pub(super) fn payload(&self, head: SlotHead) -> &[u8] {
        &self.arena[head.at as usize..(head.at + head.length) as usize]
    }

    /// Removes a packet; returns whether it was present.
    pub(super) fn remove(&mut self, sequence: i64) -> bool {
        let was_there = self.head(sequence).is_some();
        if was_there {
            self.heads[index(sequence)] = None;
            self.waiting -= 1;
        }
        was_there
    }

    /// Compacts the arena by closing the holes between payloads.
    fn compact(&mut self) {
        let mut end = 0;
        // In order of offset; at most 64 of them, and only when as much has passed through as the arena holds.
        let mut from = 0;
        while let Some(head) = self.heads.iter_mut().flatten().filter(|head| head.at >= from).min_by_key(|head| head.at)
        {
            from = head.at + head.length.max(1);
            self.arena.copy_within(head.at as usize..(head.at + head.length) as usize, end);
            head.at = end as u32;
            end += head.length.max(1) as usize;
        }
        self.end = end;
    }
}

fn index(sequence: i64) -> usize {
    sequence.rem_euclid(SLOTS) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares with a plain map: after any sequence of insertions and removals both hold the same packets.
    #[test]
    fn payloads_survive_compaction() {
        for seed in 0..200u64 {
            let mut random = seed;
            let mut next = |below: u64| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (random >> 33) % below
            };
            let (mut slots, mut kept) = (Slots::new(100, 400), std::collections::BTreeMap::new());
            for number in 0..1_000i64 {
                let payload: Vec<u8> = (0..next(101)).map(|_| next(256) as u8).collect();
                while kept.keys().next().is_some_and(|&oldest| oldest + SLOTS <= number) {
                    let (oldest, _) = kept.pop_first().unwrap();
                    assert!(slots.remove(oldest));
                }
                while !slots.put(number, number * 160, Content::Voice, &payload) {
                    let (oldest, _) = kept.pop_first().expect("one payload fits into an empty arena");
                    assert!(slots.remove(oldest), "seed {seed}");
                }
                kept.insert(number, payload);
                if next(3) == 0 {
                    let gone = *kept.keys().nth(next(kept.len() as u64) as usize).unwrap();
                    kept.remove(&gone);
                    assert!(slots.remove(gone) && !slots.remove(gone));
                }
                for (&number, payload) in &kept {
                    let head = slots.head(number).unwrap();
                    assert_eq!((slots.payload(head), head.position), (&payload[..], number * 160), "seed {seed}");
                }
            }
        }
    }
}
