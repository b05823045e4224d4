//! Read-only copies of a leg's frames for listeners off the packet path.
//!
//! ```text
//! worker ── TapWriter::push ──▶ [ bounded ring, oldest dropped ] ──▶ TapReader::pop ── tokio
//! ```
//!
//! Invariants:
//! - Writing never blocks, never allocates and never fails: a full ring loses its *oldest* frame.
//! - Every frame is numbered from 0 by the writer; the reader learns how many frames were lost before each one, so a
//!   loss is a numbered gap and never a silent splice.
//! - Either end notices when the other one has been dropped.
//!
//! Not here: waking the reader. A wake-up is a system call per frame; readers poll at frame rate.
//! The ring is allocation-free after construction: `media-engine/tests/no_alloc_pure.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crossbeam_queue::ArrayQueue;

use crate::units::SampleRate;

/// Length of the longest frame that a tap carries, in samples: 20 ms at 48 kHz.
pub const MAX_FRAME_SAMPLES: usize = 960;

/// Origin of a frame's samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// Samples decoded from a packet that arrived.
    Voice,
    /// Samples generated for a lost packet.
    Concealed,
    /// Nothing was sent, or nothing has arrived yet.
    Silence,
}

/// Side of a leg that a tap copies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TapPoint {
    /// Speech of the leg, as decoded.
    #[default]
    Speech,
    /// Sound that the leg is sent: its source, and the voice that is played to it. There are no frames while nothing is sent.
    Hearing,
}

/// One frame of linear audio: at most [`MAX_FRAME_SAMPLES`] of mono `i16`.
#[derive(Clone)]
pub struct TapFrame {
    /// Number of frames pushed before this one since the tap was created.
    pub number: u64,
    /// Tick of the engine's clock at which the frame was played.
    pub at: Instant,
    /// Time at which the audio was captured at its source, on the engine's clock; `None` if unknown.
    pub captured_at: Option<Instant>,
    /// Origin of the samples.
    pub kind: FrameKind,
    /// Sample rate of `samples`.
    pub rate: SampleRate,
    /// Number of valid `samples`.
    pub len: u16,
    /// Mono samples; those from `len` on are zero.
    pub samples: [i16; MAX_FRAME_SAMPLES],
}

impl TapFrame {
    /// Returns the valid samples only.
    pub fn samples(&self) -> &[i16] {
        &self.samples[..usize::from(self.len).min(MAX_FRAME_SAMPLES)]
    }
}

/// A frame and the number of frames lost before it.
#[derive(Clone)]
pub struct TapItem {
    /// The next frame, oldest first.
    pub frame: TapFrame,
    /// Number of frames lost between the previously popped frame and this one.
    pub gap: u64,
}

struct Ring {
    id: u64,
    frames: ArrayQueue<TapFrame>,
    dropped: AtomicU64,
    writer_gone: AtomicBool,
    reader_gone: AtomicBool,
}

/// End of a tap that a media worker holds. Dropping it lets the reader drain the ring and stop.
pub struct TapWriter {
    ring: Arc<Ring>,
    next: u64,
}

/// End of a tap that recording or recognition holds. Dropping it lets the worker remove the tap.
pub struct TapReader {
    ring: Arc<Ring>,
    next: u64,
}

/// Creates a tap whose ring holds `capacity_frames` frames (at least one).
pub fn tap(capacity_frames: usize) -> (TapWriter, TapReader) {
    // Only the value matters: no other memory is published through this counter.
    static NEXT_ID: AtomicU64 = AtomicU64::new(1);
    let ring = Arc::new(Ring {
        id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
        frames: ArrayQueue::new(capacity_frames.max(1)),
        dropped: AtomicU64::new(0),
        writer_gone: AtomicBool::new(false),
        reader_gone: AtomicBool::new(false),
    });
    (TapWriter { ring: Arc::clone(&ring), next: 0 }, TapReader { ring, next: 0 })
}

impl TapWriter {
    /// Returns the tap's identity, unique in the process; the reader has the same.
    pub fn id(&self) -> u64 {
        self.ring.id
    }

    /// Copies a frame into the ring; drops the oldest frame if the ring is full.
    ///
    /// `at` is the tick, `captured_at` the time of capture on the same clock. Samples beyond
    /// [`MAX_FRAME_SAMPLES`] go into further frames with the same times.
    pub fn push(
        &mut self,
        at: Instant,
        captured_at: Option<Instant>,
        kind: FrameKind,
        rate: SampleRate,
        samples: &[i16],
    ) {
        for part in samples.chunks(MAX_FRAME_SAMPLES) {
            let mut frame = TapFrame {
                number: self.next,
                at,
                captured_at,
                kind,
                rate,
                len: part.len() as u16,
                samples: [0; MAX_FRAME_SAMPLES],
            };
            frame.samples[..part.len()].copy_from_slice(part);
            self.next += 1;
            if self.ring.frames.force_push(frame).is_some() {
                self.ring.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Returns the number of frames dropped because the reader was late.
    pub fn dropped(&self) -> u64 {
        self.ring.dropped.load(Ordering::Relaxed)
    }

    /// Whether the reader has been dropped, so that the tap can be removed.
    pub fn is_reader_gone(&self) -> bool {
        self.ring.reader_gone.load(Ordering::Acquire)
    }
}

impl Drop for TapWriter {
    fn drop(&mut self) {
        self.ring.writer_gone.store(true, Ordering::Release);
    }
}

impl TapReader {
    /// Returns the tap's identity, unique in the process; the writer has the same.
    pub fn id(&self) -> u64 {
        self.ring.id
    }

    /// Takes the oldest frame, with the number of frames lost before it; `None` if the ring is empty.
    pub fn pop(&mut self) -> Option<TapItem> {
        let frame = self.ring.frames.pop()?;
        let gap = frame.number.saturating_sub(self.next);
        self.next = frame.number + 1;
        Some(TapItem { frame, gap })
    }

    /// Returns the number of frames that wait.
    pub fn len(&self) -> usize {
        self.ring.frames.len()
    }

    /// Whether no frame is waiting.
    pub fn is_empty(&self) -> bool {
        self.ring.frames.is_empty()
    }

    /// Returns the number of frames dropped because this reader was late.
    pub fn dropped(&self) -> u64 {
        self.ring.dropped.load(Ordering::Relaxed)
    }

    /// Whether no frame is waiting and none will ever follow.
    pub fn is_finished(&self) -> bool {
        // The flag is read first: frames pushed before it was set are then visible to `is_empty`.
        self.ring.writer_gone.load(Ordering::Acquire) && self.ring.frames.is_empty()
    }
}

impl Drop for TapReader {
    fn drop(&mut self) {
        self.ring.reader_gone.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::test_epoch;

    fn push(writer: &mut TapWriter, at: Instant, value: i16) {
        writer.push(at, None, FrameKind::Voice, SampleRate::HZ_8000, &[value; 160]);
    }

    #[test]
    fn frames_are_read_as_they_were_written() {
        let now = test_epoch();
        let (mut writer, mut reader) = tap(4);
        assert_eq!(writer.id(), reader.id());
        writer.push(now, Some(now), FrameKind::Concealed, SampleRate::HZ_16000, &[7; 320]);
        let item = reader.pop().unwrap();
        assert_eq!((item.frame.number, item.gap, item.frame.kind), (0, 0, FrameKind::Concealed));
        assert_eq!(item.frame.samples(), &[7; 320]);
        assert_eq!((item.frame.at, item.frame.captured_at), (now, Some(now)));
        assert_eq!(item.frame.rate, SampleRate::HZ_16000);
        assert!(reader.pop().is_none());
    }

    #[test]
    fn a_full_ring_loses_the_oldest_frames_and_counts_them() {
        let now = test_epoch();
        let (mut writer, mut reader) = tap(3);
        for value in 0..8 {
            push(&mut writer, now, value);
        }
        let seen: Vec<(u64, u64, i16)> =
            std::iter::from_fn(|| reader.pop()).map(|i| (i.frame.number, i.gap, i.frame.samples[0])).collect();
        assert_eq!(seen, [(5, 5, 5), (6, 0, 6), (7, 0, 7)]);
        assert_eq!((writer.dropped(), reader.dropped()), (5, 5));
        push(&mut writer, now, 8);
        assert_eq!(reader.pop().unwrap().gap, 0);
    }

    #[test]
    fn long_input_is_split_without_loss() {
        let now = test_epoch();
        let (mut writer, mut reader) = tap(4);
        let samples: Vec<i16> = (0..2000).collect();
        writer.push(now, None, FrameKind::Voice, SampleRate::HZ_48000, &samples);
        let mut out = Vec::new();
        while let Some(item) = reader.pop() {
            assert_eq!(item.gap, 0);
            out.extend_from_slice(item.frame.samples());
        }
        assert_eq!(out, samples);
    }

    #[test]
    fn each_end_notices_that_the_other_was_dropped() {
        let now = test_epoch();
        let (mut writer, mut reader) = tap(2);
        push(&mut writer, now, 1);
        assert!(!reader.is_finished() && !writer.is_reader_gone());
        drop(writer);
        assert!(!reader.is_finished(), "a frame still waits");
        reader.pop();
        assert!(reader.is_finished());
        let (writer, reader) = tap(2);
        drop(reader);
        assert!(writer.is_reader_gone());
    }

    #[test]
    fn a_concurrent_reader_accounts_for_every_frame() {
        let now = test_epoch();
        let (mut writer, mut reader) = tap(8);
        let pushed = 20_000_u64;
        let thread = std::thread::spawn(move || {
            for value in 0..pushed {
                push(&mut writer, now, (value % 1000) as i16);
            }
        });
        let (mut seen, mut lost) = (0, 0);
        while !reader.is_finished() {
            if let Some(item) = reader.pop() {
                assert_eq!(item.frame.samples[159], (item.frame.number % 1000) as i16);
                seen += 1;
                lost += item.gap;
            } else {
                std::thread::yield_now();
            }
        }
        thread.join().unwrap();
        assert_eq!(seen + lost, pushed);
        assert_eq!(reader.dropped(), lost);
    }
}
