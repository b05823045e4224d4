//! Packet indices: the estimate from a sequence number, replay windows, and the state of each source.
//!
//! Sources: RFC 3711 sections 3.2.3, 3.3.1, 3.3.2.

/// Number of synchronisation sources that one context remembers.
pub const MAX_SOURCES: usize = 8;
/// Number of indices that a window covers.
const WIDTH: u64 = u128::BITS as u64;
/// RTP indices have 48 bits: 32 of rollover counter, 16 of sequence number.
const INDICES: u64 = 1 << 48;

/// The highest index that was used, and which of the 128 up to it were.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    /// One above the highest; 0 if none was used.
    next: u64,
    /// Bit n is set when index `highest − n` was used.
    taken: u128,
}

impl Window {
    /// Returns the index of an RTP sequence number: the one nearest to the highest (RFC 3711 section 3.3.1). `None` before the first
    /// index and beyond the last one.
    pub(super) fn index_of(&self, sequence: u16) -> Option<u64> {
        let Some(highest) = self.next.checked_sub(1) else { return Some(u64::from(sequence)) };
        let ahead = sequence.wrapping_sub(highest as u16) as i16;
        highest.checked_add_signed(i64::from(ahead)).filter(|index| *index < INDICES)
    }

    /// Returns whether `index` has not been used and is not too old to be checked.
    pub(super) fn is_fresh(&self, index: u64) -> bool {
        match self.next.checked_sub(index + 1) {
            None => true,
            Some(age) => age < WIDTH && self.taken >> age & 1 == 0,
        }
    }

    /// Marks `index` as used; it must be fresh.
    pub(super) fn take(&mut self, index: u64) {
        match self.next.checked_sub(index + 1) {
            Some(age) => self.taken |= 1 << age.min(WIDTH - 1),
            None => {
                let ahead = index + 1 - self.next;
                self.taken = if ahead < WIDTH { self.taken << ahead | 1 } else { 1 };
                self.next = index + 1;
            }
        }
    }
}

/// State of one source.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Source {
    ssrc: u32,
    pub(super) rtp: Window,
    pub(super) rtcp: Window,
}

/// The remembered sources, the latest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    known: [Source; MAX_SOURCES],
    count: usize,
}

impl Sources {
    /// Returns the state of `ssrc`; an unknown source has the state of one that never sent.
    pub(super) fn find(&self, ssrc: u32) -> Source {
        let known = self.known[..self.count].iter().find(|source| source.ssrc == ssrc);
        known.copied().unwrap_or(Source { ssrc, ..Source::default() })
    }

    /// Stores the state of a source; a new source replaces the one silent for longest.
    pub(super) fn keep(&mut self, source: Source) {
        let at = match self.known[..self.count].iter().position(|known| known.ssrc == source.ssrc) {
            Some(at) => at,
            None => {
                self.count = (self.count + 1).min(MAX_SOURCES);
                self.count - 1
            }
        };
        self.known[at] = source;
        self.known[..=at].rotate_right(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_number_maps_to_the_nearest_index() {
        let mut window = Window::default();
        assert_eq!(window.index_of(65_535), Some(65_535));
        window.take(10);
        for (sequence, index) in [(11, Some(11)), (9, Some(9)), (32_777, Some(32_777)), (65_535, None)] {
            assert_eq!(window.index_of(sequence), index, "{sequence}");
        }
        window.take(0x1_fffe);
        for (sequence, index) in [(0xffff, 0x1_ffff), (0, 0x2_0000), (0x7ffd, 0x2_7ffd), (0xff00, 0x1_ff00)] {
            assert_eq!(window.index_of(sequence), Some(index), "{sequence}");
        }
        window.take(INDICES - 1);
        assert_eq!((window.index_of(0xffff), window.index_of(0)), (Some(INDICES - 1), None));
    }

    #[test]
    fn window_of_128_detects_used_indices() {
        let mut window = Window::default();
        assert!(window.is_fresh(0));
        window.take(0);
        assert!(!window.is_fresh(0) && window.is_fresh(1));
        window.take(127);
        assert!(window.is_fresh(1) && !window.is_fresh(0));
        window.take(128);
        assert!(!window.is_fresh(0), "too old to be checked");
        window.take(1);
        assert!(!window.is_fresh(1) && window.is_fresh(2));
        window.take(100_000);
        assert!(!window.is_fresh(128) && window.is_fresh(100_000 - 127) && !window.is_fresh(100_000 - 128));
    }

    #[test]
    fn source_silent_for_longest_is_forgotten_first() {
        let mut sources = Sources::default();
        let heard = |sources: &mut Sources, ssrc| {
            let mut source = sources.find(ssrc);
            source.rtp.take(5);
            sources.keep(source);
        };
        (0..MAX_SOURCES as u32).for_each(|ssrc| heard(&mut sources, ssrc));
        heard(&mut sources, 0);
        heard(&mut sources, 99);
        assert!(!sources.find(0).rtp.is_fresh(5) && !sources.find(99).rtp.is_fresh(5));
        assert!(sources.find(1).rtp.is_fresh(5), "forgotten");
        assert!(!sources.find(2).rtp.is_fresh(5));
    }
}
