//! Voice queued for a listener: segments of samples, played in order, one frame per tick.
//!
//! ```text
//! Play chunks (any rate) ─▶ queue ─▶ resampler ─▶ staged ─▶ mixed into the listener's frame
//! ```
//!
//! Invariants: the queue is bounded by duration and count, except that a single chunk may have any length; a segment is
//! reported as started at most once and as done exactly once, also when it is dropped. Mixing allocates nothing. Not
//! here: the ducking of the original.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use codecs::resample::Resampler;

use crate::audio::mix_into;
use crate::units::SampleRate;

/// Longest voice that may wait; beyond that, nobody would still be listening.
const MAX_QUEUED: Duration = Duration::from_secs(120);
/// Largest number of chunks that may wait.
const MAX_CHUNKS: usize = 4096;
/// A segment whose next chunk is late keeps the original ducked for this many frames (300 ms).
const STARVED_FRAMES: u32 = 15;
/// Samples fed to the resampler at a time: 20 ms at 48 kHz.
const BLOCK: usize = 960;
/// Milliseconds in which a cancelled voice fades out.
const FADE_MS: u32 = 8;

/// Progress of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlayNotice {
    /// The segment's first sample is in the frame.
    Started(u64),
    /// The segment's last sample is in the frame, or the segment was dropped.
    Done(u64),
}

struct Chunk {
    segment: u64,
    rate: SampleRate,
    samples: Arc<[i16]>,
    played: usize,
    last: bool,
}

/// Queue of voice for one listener.
pub(crate) struct PlayQueue {
    chunks: VecDeque<Chunk>,
    queued: Duration,
    /// Segment that has started and is not done yet.
    open: Option<u64>,
    starved: u32,
    resampler: Option<(SampleRate, SampleRate, Resampler)>,
    staged: Box<[i16]>,
    staged_from: usize,
    staged_to: usize,
}

impl PlayQueue {
    pub(crate) fn new() -> PlayQueue {
        PlayQueue {
            chunks: VecDeque::new(),
            queued: Duration::ZERO,
            open: None,
            starved: 0,
            resampler: None,
            staged: Box::default(),
            staged_from: 0,
            staged_to: 0,
        }
    }

    /// Queues a chunk. Returns `false` if the queue is full and the chunk was dropped; if it was the last one, its
    /// segment is reported as done.
    pub(crate) fn push(
        &mut self,
        segment: u64,
        rate: SampleRate,
        samples: Arc<[i16]>,
        last: bool,
        notice: &mut impl FnMut(PlayNotice),
    ) -> bool {
        let span = duration(samples.len(), rate);
        if self.chunks.len() >= MAX_CHUNKS || (!self.chunks.is_empty() && self.queued + span > MAX_QUEUED) {
            if last {
                self.finish_or_mark(segment, notice);
            }
            return false;
        }
        self.queued += span;
        self.chunks.push_back(Chunk { segment, rate, samples, played: 0, last });
        true
    }

    /// Whether voice is being played or expected at once, so that the original is ducked.
    pub(crate) fn is_active(&self) -> bool {
        !self.chunks.is_empty()
            || self.staged_from < self.staged_to
            || (self.open.is_some() && self.starved < STARVED_FRAMES)
    }

    /// Whether nothing is queued and no segment is unfinished.
    pub(crate) fn is_idle(&self) -> bool {
        self.chunks.is_empty() && self.staged_from >= self.staged_to && self.open.is_none()
    }

    /// Prepares for frames at `rate`, off the packet path, so that the next `mix` allocates nothing.
    pub(crate) fn prepare(&mut self, rate: SampleRate) {
        if let Some(chunk) = self.chunks.front() {
            self.resampler_for(chunk.rate, rate);
        }
    }

    /// Mixes the next samples into `frame`, whose rate is `rate`.
    pub(crate) fn mix(&mut self, frame: &mut [i16], rate: SampleRate, notice: &mut impl FnMut(PlayNotice)) {
        let mut at = 0;
        while at < frame.len() {
            if self.staged_from == self.staged_to && !self.stage(rate, notice) {
                break;
            }
            let count = (self.staged_to - self.staged_from).min(frame.len() - at);
            mix_into(&mut frame[at..at + count], &self.staged[self.staged_from..self.staged_from + count]);
            self.staged_from += count;
            at += count;
        }
        self.starved = if at > 0 { 0 } else { self.starved.saturating_add(1) };
    }

    /// Discards everything; unfinished segments are reported as done.
    pub(crate) fn stop(&mut self, notice: &mut impl FnMut(PlayNotice)) {
        (self.staged_from, self.staged_to) = (0, 0);
        if let Some(open) = self.open.take() {
            self.chunks.retain(|chunk| chunk.segment != open);
            notice(PlayNotice::Done(open));
        }
        let mut told = None;
        for chunk in self.chunks.drain(..) {
            if told != Some(chunk.segment) {
                told = Some(chunk.segment);
                notice(PlayNotice::Done(chunk.segment));
            }
        }
        self.queued = Duration::ZERO;
    }

    /// Removes one segment; if it is being heard, it fades out.
    pub(crate) fn cancel(&mut self, segment: u64, notice: &mut impl FnMut(PlayNotice)) {
        let is_open = self.open == Some(segment);
        let count = self.chunks.len();
        let mut fading = None;
        let mut freed = Duration::ZERO;
        self.chunks.retain(|chunk| {
            if chunk.segment != segment {
                return true;
            }
            freed += duration(chunk.samples.len(), chunk.rate);
            if is_open && fading.is_none() {
                fading = Some(fade_out_of(chunk));
            }
            false
        });
        self.queued = self.queued.saturating_sub(freed);
        if let Some(chunk) = fading {
            self.queued += duration(chunk.samples.len(), chunk.rate);
            self.chunks.push_front(chunk);
        } else if is_open || self.chunks.len() < count {
            self.open.take_if(|open| *open == segment);
            notice(PlayNotice::Done(segment));
        }
    }

    /// Brings up to one block of the next chunk into `staged`. Returns `false` if nothing is queued.
    fn stage(&mut self, rate: SampleRate, notice: &mut impl FnMut(PlayNotice)) -> bool {
        let Some(chunk) = self.chunks.front() else { return false };
        let (segment, chunk_rate) = (chunk.segment, chunk.rate);
        if self.open != Some(segment) && !chunk.samples.is_empty() {
            // A segment ends when another one follows, even without its last chunk.
            if let Some(before) = self.open.replace(segment) {
                notice(PlayNotice::Done(before));
            }
            notice(PlayNotice::Started(segment));
        }
        self.resampler_for(chunk_rate, rate);
        let Some(chunk) = self.chunks.front_mut() else { return false };
        let block = (chunk.samples.len() - chunk.played).min(chunk_rate.samples_in_ms(20));
        let input = &chunk.samples[chunk.played..chunk.played + block];
        (self.staged_from, self.staged_to) = (0, 0);
        if block > 0 {
            self.staged_to = match &mut self.resampler {
                Some((_, _, resampler)) => resampler.process(input, &mut self.staged),
                None => 0,
            };
        }
        chunk.played += block;
        if chunk.played == chunk.samples.len() {
            let last = chunk.last;
            let span = duration(chunk.samples.len(), chunk.rate);
            self.queued = self.queued.saturating_sub(span);
            self.chunks.pop_front();
            if last {
                self.open = None;
                notice(PlayNotice::Done(segment));
            }
        }
        true
    }

    fn resampler_for(&mut self, from: SampleRate, to: SampleRate) {
        if !matches!(&self.resampler, Some((f, t, _)) if *f == from && *t == to) {
            self.resampler = Some((from, to, Resampler::new(from, to)));
        }
        if self.staged.is_empty() {
            self.staged = vec![0; BLOCK * 2].into_boxed_slice();
        }
    }

    /// Ends a segment whose last chunk was dropped: after its queued chunks, or at once if there are none.
    fn finish_or_mark(&mut self, segment: u64, notice: &mut impl FnMut(PlayNotice)) {
        if let Some(chunk) = self.chunks.iter_mut().rev().find(|chunk| chunk.segment == segment) {
            chunk.last = true;
            return;
        }
        if self.open == Some(segment) {
            self.open = None;
        }
        notice(PlayNotice::Done(segment));
    }
}

/// Returns the next samples of a chunk, fading to silence, as its last chunk.
fn fade_out_of(chunk: &Chunk) -> Chunk {
    let rest = &chunk.samples[chunk.played..];
    let rest = &rest[..rest.len().min(chunk.rate.samples_in_ms(FADE_MS))];
    let fall = |(at, sample): (usize, &i16)| (f64::from(*sample) * (1.0 - at as f64 / rest.len() as f64)) as i16;
    Chunk { samples: rest.iter().enumerate().map(fall).collect(), played: 0, last: true, ..*chunk }
}

fn duration(samples: usize, rate: SampleRate) -> Duration {
    Duration::from_nanos(samples as u64 * 1_000_000_000 / u64::from(rate.hz()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: SampleRate = SampleRate::HZ_8000;

    fn chunk(samples: usize, value: i16) -> Arc<[i16]> {
        vec![value; samples].into()
    }

    #[test]
    fn segments_play_in_order_and_are_reported_once_each() {
        let (mut queue, mut told) = (PlayQueue::new(), Vec::new());
        queue.push(1, RATE, chunk(160, 100), false, &mut |n| told.push(n));
        queue.push(1, RATE, chunk(80, 200), true, &mut |n| told.push(n));
        queue.push(2, RATE, chunk(80, 300), true, &mut |n| told.push(n));
        let mut heard = Vec::new();
        for _ in 0..3 {
            let mut frame = [0; 160];
            queue.mix(&mut frame, RATE, &mut |n| told.push(n));
            heard.extend_from_slice(&frame);
        }
        let expected: Vec<i16> = [chunk(160, 100), chunk(80, 200), chunk(80, 300), chunk(160, 0)].concat();
        assert_eq!(heard, expected);
        assert_eq!(told, [PlayNotice::Started(1), PlayNotice::Done(1), PlayNotice::Started(2), PlayNotice::Done(2)]);
        assert!(queue.is_idle() && !queue.is_active());
    }

    #[test]
    fn late_next_chunk_keeps_the_original_ducked_for_a_while_only() {
        let mut queue = PlayQueue::new();
        queue.push(1, RATE, chunk(160, 1), false, &mut |_| ());
        let mut frame = [0; 160];
        queue.mix(&mut frame, RATE, &mut |_| ());
        let mut ducked_frames = 0;
        while queue.is_active() {
            queue.mix(&mut frame, RATE, &mut |_| ());
            ducked_frames += 1;
            assert!(ducked_frames < 100);
        }
        assert_eq!(ducked_frames, STARVED_FRAMES);
    }

    #[test]
    fn a_stopped_queue_reports_every_unfinished_segment_as_done() {
        let (mut queue, mut told) = (PlayQueue::new(), Vec::new());
        queue.push(1, RATE, chunk(400, 1), false, &mut |_| ());
        queue.push(1, RATE, chunk(400, 1), true, &mut |_| ());
        queue.push(2, RATE, chunk(400, 1), true, &mut |_| ());
        queue.mix(&mut [0; 160], RATE, &mut |_| ());
        queue.stop(&mut |n| told.push(n));
        assert_eq!(told, [PlayNotice::Done(1), PlayNotice::Done(2)]);
        assert!(queue.is_idle());
    }

    #[test]
    fn overfull_queue_drops_and_still_ends_the_segment() {
        let (mut queue, mut told) = (PlayQueue::new(), Vec::new());
        assert!(queue.push(1, RATE, chunk(8_000 * 100, 1), true, &mut |_| ()));
        assert!(!queue.push(2, RATE, chunk(8_000 * 30, 1), true, &mut |n| told.push(n)));
        assert_eq!(told, [PlayNotice::Done(2)]);
    }

    #[test]
    fn a_chunk_longer_than_the_queue_plays_alone() {
        let mut queue = PlayQueue::new();
        assert!(queue.push(1, RATE, chunk(8_000 * 300, 1), true, &mut |_| ()));
        assert!(!queue.push(2, RATE, chunk(1, 1), true, &mut |_| ()), "nothing may wait behind it");
    }

    #[test]
    fn a_cancelled_segment_fades_and_the_others_play() {
        let (mut queue, mut told) = (PlayQueue::new(), Vec::new());
        for segment in 1..=3 {
            queue.push(segment, RATE, chunk(1_600, 1_000), true, &mut |n| told.push(n));
        }
        let mut frame = [0; 160];
        queue.mix(&mut frame, RATE, &mut |n| told.push(n));
        queue.cancel(2, &mut |n| told.push(n));
        assert_eq!(told, [PlayNotice::Started(1), PlayNotice::Done(2)]);
        queue.cancel(1, &mut |n| told.push(n));
        queue.cancel(9, &mut |n| told.push(n));
        let mut heard = [0; 160];
        queue.mix(&mut heard, RATE, &mut |n| told.push(n));
        assert!(
            heard[..64].is_sorted_by(|a, b| a >= b) && heard[0] == 1_000 && heard[63] < 40,
            "the cancelled segment fades: {heard:?}"
        );
        assert_eq!(heard[64..], [1_000; 96], "the next segment follows");
        assert_eq!(told[2..], [PlayNotice::Done(1), PlayNotice::Started(3)]);
        queue.cancel(3, &mut |_| ());
        while queue.is_active() {
            queue.mix(&mut heard, RATE, &mut |n| told.push(n));
        }
        assert!(queue.is_idle() && queue.queued == Duration::ZERO);
        assert_eq!(told[4..], [PlayNotice::Done(3)]);
    }

    #[test]
    fn voice_at_another_rate_lasts_as_long() {
        let mut queue = PlayQueue::new();
        queue.push(1, SampleRate::HZ_24000, chunk(24_000, 1000), true, &mut |_| ());
        let mut frames = 0;
        while queue.is_active() {
            queue.mix(&mut [0; 160], RATE, &mut |_| ());
            frames += 1;
        }
        assert!((49..=51).contains(&frames), "{frames} frames for one second");
    }
}
