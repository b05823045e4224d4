//! Packets that wait for their time, by sequence number, in memory taken once.

/// Packets that can wait: 640 ms at 10 ms a packet.
pub(super) const SLOTS: i64 = 64;

#[derive(Clone, Copy, Debug)]
pub(super) struct SlotHead {
    pub(super) sequence: i64,
    /// Media time of the first sample, in samples.
    pub(super) position: i64,
    len: usize,
}

#[derive(Debug)]
pub(super) struct Slots {
    heads: [Option<SlotHead>; SLOTS as usize],
    bytes: Box<[u8]>,
    slot_bytes: usize,
}

impl Slots {
    pub(super) fn new(slot_bytes: usize) -> Slots {
        let bytes = vec![0; slot_bytes * SLOTS as usize].into_boxed_slice();
        Slots { heads: [None; SLOTS as usize], bytes, slot_bytes }
    }

    pub(super) fn clear(&mut self) {
        self.heads.fill(None);
    }

    /// Whether the packet fits into a slot.
    pub(super) fn fits(&self, payload: &[u8]) -> bool {
        payload.len() <= self.slot_bytes
    }

    /// The caller sees to it that the slot is free: numbers that wait lie within [`SLOTS`] of each other.
    pub(super) fn put(&mut self, sequence: i64, position: i64, payload: &[u8]) {
        let index = index(sequence);
        let at = index * self.slot_bytes;
        self.bytes[at..at + payload.len()].copy_from_slice(payload);
        self.heads[index] = Some(SlotHead { sequence, position, len: payload.len() });
    }

    pub(super) fn head(&self, sequence: i64) -> Option<SlotHead> {
        self.heads[index(sequence)].filter(|head| head.sequence == sequence)
    }

    pub(super) fn payload(&self, head: SlotHead) -> &[u8] {
        let at = index(head.sequence) * self.slot_bytes;
        &self.bytes[at..at + head.len]
    }

    /// Whether the packet was there.
    pub(super) fn remove(&mut self, sequence: i64) -> bool {
        let was_there = self.head(sequence).is_some();
        if was_there {
            self.heads[index(sequence)] = None;
        }
        was_there
    }
}

fn index(sequence: i64) -> usize {
    sequence.rem_euclid(SLOTS) as usize
}
