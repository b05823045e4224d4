//! The writer thread.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use codecs::SampleRate;
use codecs::resample::Resampler;
use tokio::sync::oneshot;

use super::Recorded;
use crate::audio::tap::TapReader;
use crate::net::clock;
use crate::record::Timeline;

/// How often the taps are emptied.
const ROUND: Duration = Duration::from_millis(100);
/// How often a file is made readable up to its last sample.
const FLUSH: Duration = Duration::from_secs(1);
/// How long the past stays open: audio that comes later than this after it was spoken finds its place taken.
const OPEN_PAST: Duration = Duration::from_millis(500);

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

pub(super) fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

type Wav = hound::WavWriter<BufWriter<File>>;

pub(super) enum Order {
    Begin { id: u64, path: PathBuf, wav: Wav, rate: SampleRate, start: Instant },
    Attach { id: u64, channel: usize, tap: TapReader },
    Finish { id: u64, reply: Option<oneshot::Sender<Recorded>> },
}

/// Serves orders until every [`super::Recorder`] and [`super::Recording`] is gone, then seals what is left.
pub(super) fn run(inbox: &Receiver<Order>) {
    let mut takes: HashMap<u64, Take> = HashMap::new();
    let mut next_round = clock::now() + ROUND;
    loop {
        match inbox.recv_timeout(next_round.saturating_duration_since(clock::now())) {
            Ok(order) => obey(&mut takes, order),
            Err(RecvTimeoutError::Timeout) => {
                let now = clock::now();
                for take in takes.values_mut() {
                    take.round(now);
                }
                next_round = now + ROUND;
            }
            Err(RecvTimeoutError::Disconnected) => {
                for (_, take) in takes.drain() {
                    take.seal(clock::now());
                }
                return;
            }
        }
    }
}

fn obey(takes: &mut HashMap<u64, Take>, order: Order) {
    match order {
        Order::Begin { id, path, wav, rate, start } => {
            takes.insert(id, Take::new(path, wav, rate, start));
        }
        Order::Attach { id, channel, tap } => {
            if let Some(take) = takes.get_mut(&id) {
                take.sources.push(Source { channel, tap, resampler: None });
            }
        }
        Order::Finish { id, reply } => {
            if let Some(take) = takes.remove(&id) {
                let recorded = take.seal(clock::now());
                if let Some(reply) = reply {
                    // Nobody waits any more: the file is sealed all the same.
                    let _ = reply.send(recorded);
                }
            }
        }
    }
}

/// One file being written.
struct Take {
    path: PathBuf,
    wav: Option<Wav>,
    rate: SampleRate,
    timeline: Timeline,
    sources: Vec<Source>,
    frames: u64,
    flushed: Instant,
    scratch: Vec<i16>,
    resampled: Vec<i16>,
    interrupted: Option<String>,
}

struct Source {
    channel: usize,
    tap: TapReader,
    resampler: Option<(SampleRate, Resampler)>,
}

impl Take {
    fn new(path: PathBuf, wav: Wav, rate: SampleRate, start: Instant) -> Take {
        Take {
            path,
            wav: Some(wav),
            rate,
            timeline: Timeline::new(rate, start, 2),
            sources: Vec::new(),
            frames: 0,
            flushed: start,
            scratch: Vec::new(),
            resampled: Vec::new(),
            interrupted: None,
        }
    }

    fn round(&mut self, now: Instant) {
        self.collect();
        if let Some(until) = now.checked_sub(OPEN_PAST) {
            self.write_until(until);
        }
        if now.saturating_duration_since(self.flushed) >= FLUSH {
            self.flushed = now;
            if let Some(wav) = &mut self.wav
                && let Err(error) = wav.flush()
            {
                self.interrupt(&error);
            }
        }
    }

    /// Empties the taps into the timeline.
    fn collect(&mut self) {
        let rate = self.rate;
        for source in &mut self.sources {
            while let Some(item) = source.tap.pop() {
                if item.gap > 0 {
                    metrics::counter!("recording_tap_gap_frames_total").increment(item.gap);
                }
                let frame = &item.frame;
                let Some(captured_at) = frame.captured_at else { continue };
                let samples = &frame.samples[..usize::from(frame.len)];
                if frame.rate == rate {
                    self.timeline.place(source.channel, captured_at, samples);
                    continue;
                }
                if source.resampler.as_ref().is_none_or(|(from, _)| *from != frame.rate) {
                    source.resampler = Some((frame.rate, Resampler::new(frame.rate, rate)));
                }
                if let Some((_, resampler)) = &mut source.resampler {
                    self.resampled.resize(resampler.max_output(samples.len()), 0);
                    let written = resampler.process(samples, &mut self.resampled);
                    self.timeline.place(source.channel, captured_at, &self.resampled[..written]);
                }
            }
        }
    }

    fn write_until(&mut self, until: Instant) {
        self.scratch.clear();
        self.timeline.drain(until, &mut self.scratch);
        let Some(wav) = &mut self.wav else { return };
        let mut failure = None;
        for &sample in &self.scratch {
            if let Err(error) = wav.write_sample(sample) {
                failure = Some(error);
                break;
            }
        }
        match failure {
            None => self.frames += self.scratch.len() as u64 / 2,
            Some(error) => self.interrupt(&error),
        }
    }

    /// Ends the file early: what is in it stays; the call goes on.
    fn interrupt(&mut self, error: &hound::Error) {
        let note = format!("{error}; free space in the recordings' folder");
        tracing::error!(path = %self.path.display(), problem = %note, "recording interrupted");
        metrics::counter!("recordings_interrupted_total").increment(1);
        self.interrupted = Some(note);
        self.wav = None;
    }

    fn seal(mut self, now: Instant) -> Recorded {
        self.collect();
        self.write_until(now);
        if let Some(wav) = self.wav.take()
            && let Err(error) = wav.finalize()
        {
            self.interrupt(&error);
        }
        Recorded {
            duration_ms: self.frames * 1000 / u64::from(self.rate.hz()),
            path: self.path,
            interrupted: self.interrupted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::tap::{FrameKind, tap};

    const RATE: SampleRate = SampleRate::HZ_8000;

    fn spec() -> hound::WavSpec {
        hound::WavSpec {
            channels: 2,
            sample_rate: RATE.hz(),
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        }
    }

    /// A take into `file`, with one second of a leg's audio waiting for channel 1.
    fn take(file: File, start: Instant) -> Take {
        let wav = hound::WavWriter::new(BufWriter::new(file), spec()).unwrap();
        let mut take = Take::new("take.wav".into(), wav, RATE, start);
        let (mut writer, reader) = tap(100);
        for frame in 0..50u32 {
            let at = start + Duration::from_millis(20) * frame;
            writer.push(at, Some(at), FrameKind::Voice, RATE, &[1_000; 160]);
        }
        take.sources.push(Source { channel: 1, tap: reader, resampler: None });
        take
    }

    #[test]
    fn what_was_heard_is_in_the_file_before_it_is_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("take.wav");
        let start = clock::now();
        let mut take = take(File::create(&path).unwrap(), start);
        take.round(start + Duration::from_millis(1_400));
        // The process may be killed from here on.
        let mut wav = hound::WavReader::open(&path).unwrap();
        let samples: Vec<i16> = wav.samples().map(Result::unwrap).collect();
        assert_eq!(samples.len(), 2 * 900 * 8, "all but the half second that is still open");
        assert!(samples.chunks_exact(2).all(|pair| pair == [0, 1_000]));
        let recorded = take.seal(start + Duration::from_secs(1));
        assert_eq!((recorded.duration_ms, recorded.interrupted), (1_000, None));
    }

    #[test]
    fn a_full_disk_ends_the_recording_with_a_note() {
        let start = clock::now();
        let mut take = take(File::options().write(true).open("/dev/full").unwrap(), start);
        take.round(start + Duration::from_millis(1_500));
        let note = take.interrupted.clone().expect("the disk is full");
        assert!(note.contains("free space"), "{note}");
        // Further rounds and the seal have nothing left to do, and fail at nothing.
        take.round(start + Duration::from_secs(3));
        assert_eq!(take.seal(start + Duration::from_secs(4)).interrupted, Some(note));
    }
}
