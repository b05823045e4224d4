//! Extension of wrapping RTP numbers to 64 bits (RFC 3711 section 3.3.1 describes the idea).
//!
//! Each value is read as the one nearest to the highest seen so far: reordering across the wrap is
//! handled, and a value never jumps by more than half its range. The first value starts one whole
//! range above zero, and no step is longer than half a range, so no value falls below zero.

/// Extends 16-bit sequence numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SeqExtender {
    highest: Option<u64>,
}

impl SeqExtender {
    /// Creates an extender that has seen no value.
    pub const fn new() -> SeqExtender {
        SeqExtender { highest: None }
    }

    /// Returns the extended number of `sequence`; the low 16 bits are `sequence` itself.
    pub fn extend(&mut self, sequence: u16) -> u64 {
        let value = match self.highest {
            None => (1 << 16) + u64::from(sequence),
            Some(highest) => {
                let step = i64::from(sequence.wrapping_sub(highest as u16) as i16);
                highest.wrapping_add_signed(step)
            }
        };
        self.highest = Some(self.highest.map_or(value, |highest| highest.max(value)));
        value
    }

    /// Returns the highest extended number seen; `None` before the first.
    pub fn highest(&self) -> Option<u64> {
        self.highest
    }
}

/// Extends 32-bit timestamps.
#[derive(Clone, Copy, Debug, Default)]
pub struct TimestampExtender {
    highest: Option<u64>,
}

impl TimestampExtender {
    /// Creates an extender that has seen no value.
    pub const fn new() -> TimestampExtender {
        TimestampExtender { highest: None }
    }

    /// Returns the extended number of `timestamp`; the low 32 bits are `timestamp` itself.
    pub fn extend(&mut self, timestamp: u32) -> u64 {
        let value = match self.highest {
            None => (1 << 32) + u64::from(timestamp),
            Some(highest) => {
                let step = i64::from(timestamp.wrapping_sub(highest as u32) as i32);
                highest.wrapping_add_signed(step)
            }
        };
        self.highest = Some(self.highest.map_or(value, |highest| highest.max(value)));
        value
    }

    /// Returns the highest extended number seen; `None` before the first.
    pub fn highest(&self) -> Option<u64> {
        self.highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_continues_over_the_wrap_and_back() {
        let mut extender = SeqExtender::new();
        let first = extender.extend(65534);
        let steps: Vec<i64> =
            [65535, 1, 0, 65535, 2, 65530].iter().map(|&s| extender.extend(s) as i64 - first as i64).collect();
        assert_eq!(steps, [1, 3, 2, 1, 4, -4]);
        assert_eq!(extender.highest(), Some(first + 4));
    }

    #[test]
    fn packets_before_the_first_one_stay_positive() {
        let mut extender = SeqExtender::new();
        assert_eq!(extender.extend(0), 65536);
        assert_eq!(extender.extend(65535), 65535);
        let mut extender = TimestampExtender::new();
        assert_eq!(extender.extend(0), 1 << 32);
        assert_eq!(extender.extend(u32::MAX - 159), (1 << 32) - 160);
    }

    #[test]
    fn timestamp_continues_over_the_wrap() {
        let mut extender = TimestampExtender::new();
        let first = extender.extend(u32::MAX - 79);
        assert_eq!(extender.extend(80), first + 160);
        assert_eq!(extender.extend(u32::MAX - 79), first);
    }

    #[test]
    fn million_packets_keep_their_low_bits() {
        let mut extender = SeqExtender::new();
        let first = extender.extend(9);
        for n in 1..1_000_000_u64 {
            assert_eq!(extender.extend((9 + n) as u16), first + n);
        }
    }
}
