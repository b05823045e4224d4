//! Packets that wait for their time, by sequence number, in memory taken once.

/// Packets that can wait: 640 ms at 10 ms a packet.
pub(super) const SLOTS: usize = 64;

#[derive(Clone, Copy, Debug)]
pub(super) struct SlotHead {
    pub(super) sequence: u64,
    pub(super) timestamp: u64,
    len: usize,
}

#[derive(Debug)]
pub(super) struct Slots {
    heads: [Option<SlotHead>; SLOTS],
    bytes: Box<[u8]>,
    slot_bytes: usize,
}

impl Slots {
    pub(super) fn new(slot_bytes: usize) -> Slots {
        Slots { heads: [None; SLOTS], bytes: vec![0; slot_bytes * SLOTS].into_boxed_slice(), slot_bytes }
    }

    pub(super) fn clear(&mut self) {
        self.heads = [None; SLOTS];
    }

    /// Whether the packet fits into a slot.
    pub(super) fn fits(&self, payload: &[u8]) -> bool {
        payload.len() <= self.slot_bytes
    }

    pub(super) fn put(&mut self, sequence: u64, timestamp: u64, payload: &[u8]) {
        let index = (sequence % SLOTS as u64) as usize;
        let at = index * self.slot_bytes;
        self.bytes[at..at + payload.len()].copy_from_slice(payload);
        self.heads[index] = Some(SlotHead { sequence, timestamp, len: payload.len() });
    }

    pub(super) fn head(&self, sequence: u64) -> Option<SlotHead> {
        self.heads[(sequence % SLOTS as u64) as usize].filter(|head| head.sequence == sequence)
    }

    pub(super) fn payload(&self, head: SlotHead) -> &[u8] {
        let at = (head.sequence % SLOTS as u64) as usize * self.slot_bytes;
        &self.bytes[at..at + head.len]
    }

    pub(super) fn remove(&mut self, sequence: u64) {
        let index = (sequence % SLOTS as u64) as usize;
        if self.heads[index].is_some_and(|head| head.sequence == sequence) {
            self.heads[index] = None;
        }
    }
}
