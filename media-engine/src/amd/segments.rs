//! Speech and tones in the frames of a leg, and the levels that part them from the background.
//!
//! ```text
//! frames ─▶ floor, tones ─▶ level of the voice ─▶ threshold ─▶ bursts of speech
//! ```
//!
//! Everything is found anew from the whole history, so that what was taken for speech before the level of the voice was known is
//! corrected. Definitions: `amd-training/README.md`. Nothing is allocated.

use super::frame::{Heard, SILENT_DB};
use super::numbers::{mean, percentile, seconds};

/// Bursts and tones that are kept.
const MAX_BURSTS: usize = 64;

/// A stretch of speech in frames, the end exclusive.
#[derive(Clone, Copy, Default)]
pub(super) struct Burst {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Burst {
    pub(super) fn seconds(&self) -> f32 {
        seconds(self.end - self.start)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Quiet,
    Speech,
    Tone,
}

/// Speech and tones of the history, and the levels that part them.
pub(super) struct Segments {
    bursts: [Burst; MAX_BURSTS],
    count: usize,
    tones: [Burst; MAX_BURSTS],
    tone_count: usize,
    pub(super) level: f32,
    pub(super) floor: f32,
}

impl Segments {
    pub(super) fn find(heard: &[Heard], marks: &mut [Mark]) -> Self {
        let floor = percentile(heard.iter().filter(|h| !h.zero).map(Heard::db), 0.10).unwrap_or(SILENT_DB);
        let mut found = Segments {
            bursts: [Burst::default(); MAX_BURSTS],
            count: 0,
            tones: [Burst::default(); MAX_BURSTS],
            tone_count: 0,
            level: SILENT_DB,
            floor,
        };
        found.mark_tones(heard, marks);
        let voiced =
            heard.iter().zip(marks.iter()).filter(|(h, mark)| **mark != Mark::Tone && h.voiced()).map(|(h, _)| h.db());
        let any = heard.iter().zip(marks.iter()).filter(|(_, mark)| **mark != Mark::Tone).map(|(h, _)| h.db());
        let loud = percentile(any, 0.95).unwrap_or(SILENT_DB);
        // The level of the loudest quarter of a second of voice, lest a short word drown in a talking background.
        let count = voiced.clone().count() as f32;
        let usual = percentile(voiced.clone(), 0.90).unwrap_or(loud);
        let peak = percentile(voiced, 1.0 - 12.0 / count.max(120.0)).unwrap_or(loud);
        found.level = peak.min(usual + 9.0).max(loud - 6.0);
        let range = found.level - floor;
        if range < 7.0 || found.level < -58.0 {
            return found;
        }
        let threshold = (floor + (0.34 * range).max(4.5)).max(found.level - 30.0);
        let speech = |n: usize, marks: &[Mark]| marks[n] != Mark::Tone && heard[n].db() > threshold;
        let (mut n, end) = (0, heard.len());
        while n < end && found.count < MAX_BURSTS {
            if !speech(n, marks) {
                n += 1;
                continue;
            }
            let start = n;
            let (mut last, mut live, mut voices) = (n, 0, 0);
            while n < end && n - last <= 8 && marks[n] != Mark::Tone {
                if speech(n, marks) {
                    last = n;
                    live += 1;
                    voices += usize::from(heard[n].voiced());
                }
                n += 1;
            }
            if live >= 4 && voices >= 3 {
                found.bursts[found.count] = Burst { start, end: last + 1 };
                found.count += 1;
                marks[start..=last].fill(Mark::Speech);
            }
        }
        found
    }

    fn mark_tones(&mut self, heard: &[Heard], marks: &mut [Mark]) {
        let mut n = 0;
        while n < heard.len() {
            let Some(end) = tone_end(heard, n, self.floor) else {
                n += 1;
                continue;
            };
            // Its edges, where the window holds only a part of it, belong to it.
            let peak = heard[(n + end) / 2].peak;
            let edge = |n: usize| near(heard[n].peak, peak) && heard[n].share2 >= 50;
            let start = (n.saturating_sub(3)..n).find(|n| edge(*n)).unwrap_or(n);
            n = end;
            while n < heard.len() && edge(n) && heard[n].db() < heard[n - 1].db() + 1.0 {
                n += 1;
            }
            marks[start..n].fill(Mark::Tone);
            let joined = self.tone_count > 0 && start <= self.tones[self.tone_count - 1].end + 1;
            if joined {
                self.tones[self.tone_count - 1].end = n;
            } else if self.tone_count < MAX_BURSTS {
                self.tones[self.tone_count] = Burst { start, end: n };
                self.tone_count += 1;
            }
        }
    }

    pub(super) fn bursts(&self) -> &[Burst] {
        &self.bursts[..self.count]
    }

    pub(super) fn tones(&self) -> &[Burst] {
        &self.tones[..self.tone_count]
    }
}

/// Whether two strongest bins may belong to one tone. Two low tones that beat against one another change places at the top.
fn near(a: u8, b: u8) -> bool {
    a.abs_diff(b) <= if a < 18 { 2 } else { 1 }
}

/// End of the tone that begins at a frame, if one does: one or two peaks that stay in place for 80 ms. A voice has low peaks too, so
/// below 560 Hz a tone must be nearly pure for 140 ms, or pure enough and of one level for 240 ms.
fn tone_end(heard: &[Heard], start: usize, floor: f32) -> Option<usize> {
    let low = heard[start].peak < 18;
    let least = (floor + 8.0).max(-55.0);
    let (mut n, mut pure, mut lowest, mut highest) = (start, 0, u8::MAX, 0);
    while n < heard.len() && heard[n].db() > least && heard[n].share2 >= if low { 70 } else { 84 } {
        let peak = heard[n].peak;
        (lowest, highest) = (lowest.min(peak), highest.max(peak));
        if n > start && !near(peak, heard[n - 1].peak) || low && highest - lowest > 2 {
            break;
        }
        pure += usize::from(heard[n].share2 >= 90);
        n += 1;
    }
    let length = n - start;
    let even = || mean(heard[start..n].iter().map(Heard::db)).is_some_and(|(_, spread)| spread <= 3.0);
    let tone = if low { length >= 7 && pure * 5 >= length * 4 || length >= 12 && even() } else { length >= 4 };
    tone.then_some(n)
}
