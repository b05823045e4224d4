//! Decoded samples that wait for the next tick, contiguous, in memory allocated once.

#[derive(Debug)]
pub(super) struct Fifo {
    samples: Box<[i16]>,
    len: usize,
}

impl Fifo {
    pub(super) fn new(capacity: usize) -> Fifo {
        Fifo { samples: vec![0; capacity].into_boxed_slice(), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns the number of samples that still fit.
    pub(super) fn room(&self) -> usize {
        self.samples.len() - self.len
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    pub(super) fn samples(&self) -> &[i16] {
        &self.samples[..self.len]
    }

    /// Appends as many samples as fit.
    pub(super) fn push(&mut self, new: &[i16]) {
        let count = new.len().min(self.room());
        self.samples[self.len..self.len + count].copy_from_slice(&new[..count]);
        self.len += count;
    }

    pub(super) fn drop_front(&mut self, count: usize) {
        let count = count.min(self.len);
        self.samples.copy_within(count..self.len, 0);
        self.len -= count;
    }

    /// Fades the last `count` samples to zero.
    pub(super) fn fade_end(&mut self, count: usize) {
        fade_to_zero(&mut self.samples[self.len - count.min(self.len)..self.len]);
    }
}

/// Scales samples linearly from full level to zero.
pub(super) fn fade_to_zero(samples: &mut [i16]) {
    let length = samples.len() as i32;
    for (index, sample) in samples.iter_mut().enumerate() {
        *sample = (i32::from(*sample) * (length - 1 - index as i32) / length) as i16;
    }
}
