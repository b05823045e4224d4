//! One recording: its timeline, its taps, and the file that is being written.
//!
//! ```text
//!   a leg joins ─ a channel is free ─▶ it takes it
//!        └─ none is ─▶ `Cut`: from that moment on the recording continues in a next file, with the channels of the present legs
//! ```

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::BufWriter;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use codecs::SampleRate;
use codecs::resample::Resampler;
use tokio::sync::mpsc;

use super::seal::{Sealed, Sealer, send_report};
use super::writer::Begin;
use super::{ChannelReport, Joining, PartReport, PartState};
use crate::audio::tap::TapReader;
use crate::record::{Full, Layout, Side, Timeline, Track};
use crate::units::LegId;

/// Interval at which a file is made readable up to its last sample.
const FLUSH: Duration = Duration::from_secs(1);
/// Time for which the past stays open: audio that arrives later than this after its capture is dropped.
const OPEN_PAST: Duration = Duration::from_millis(500);
/// Maximum number of sample bytes in a file: RIFF counts its bytes in 32 bits, less some for the header.
const PART_BYTES_MAX: u64 = u32::MAX as u64 - 4_096;

type Wav = hound::WavWriter<BufWriter<File>>;

/// State of one recording.
pub(super) struct Take {
    stem: PathBuf,
    rate: SampleRate,
    start: Instant,
    timeline: Timeline,
    sources: Vec<Source>,
    /// Channels of the file that is being written.
    layout: Layout,
    /// Change to a next file that is due.
    cut: Option<Cut>,
    /// Current file; `None` before the first and after an interruption.
    part: Option<Part>,
    number: u32,
    /// Number of frames in all sealed files.
    sealed_frames: u64,
    /// Maximum duration of a file.
    longest: Duration,
    flushed: Instant,
    scratch: Vec<i16>,
    resampled: Vec<i16>,
    reporter: mpsc::Sender<PartReport>,
}

/// File that is being written.
struct Part {
    wav: Wav,
    /// The same open file, to be synced after `wav` has written its header.
    file: File,
    frames: u64,
    /// Number of frames after which the file is full.
    frames_max: u64,
    channels: usize,
}

/// Change to a next file at a moment that has not been written yet.
struct Cut {
    at: Instant,
    layout: Layout,
}

struct Source {
    track: Track,
    tap: TapReader,
    resampler: Option<(SampleRate, Resampler)>,
}

impl Take {
    /// Creates a recording without a file.
    pub(super) fn new(begin: Begin, longest: Duration) -> Take {
        let Begin { stem, rate, start, reserved, legs, reporter, .. } = begin;
        let mut take = Take {
            stem,
            rate,
            start,
            timeline: Timeline::new(rate, start),
            sources: Vec::new(),
            layout: Layout::new(reserved),
            cut: None,
            part: None,
            number: 0,
            sealed_frames: 0,
            longest,
            flushed: start,
            scratch: Vec::new(),
            resampled: Vec::new(),
            reporter,
        };
        for joining in legs {
            let side = joining.side;
            for (track, tap) in joining.tracks() {
                match take.layout.admit_or_grow(track, side, start) {
                    Ok(()) => take.listen(track, tap),
                    Err(full) => take.leave_out(track.leg, &full),
                }
            }
        }
        take
    }

    fn listen(&mut self, track: Track, tap: TapReader) {
        self.timeline.add(track);
        self.sources.push(Source { track, tap, resampler: None });
    }

    fn leave_out(&self, leg: LegId, full: &dyn std::fmt::Display) {
        tracing::error!(path = %self.path().display(), %leg, %full, "a leg is not recorded");
        metrics::counter!("tandem_recording_legs_left_out_total").increment(1);
    }

    /// Creates the next file; a failure ends the recording.
    pub(super) fn open_part(&mut self) {
        self.number += 1;
        let path = self.path();
        match Part::open(&path, self.rate, self.layout.seats().len(), self.longest) {
            Ok(part) => {
                self.part = Some(part);
                send_report(&self.reporter, self.report(PartState::Started, 0));
            }
            Err(error) => self.give_up(&error, 0),
        }
    }

    /// Returns the path of the current part.
    fn path(&self) -> PathBuf {
        let mut name = self.stem.clone().into_os_string();
        match self.number {
            1 => name.push(".wav"),
            number => name.push(format!(".{number}.wav")),
        }
        PathBuf::from(name)
    }

    fn report(&self, state: PartState, frames: u64) -> PartReport {
        PartReport {
            part: self.number,
            path: self.path(),
            state,
            offset: span(self.rate, self.sealed_frames),
            duration_ms: frames * 1_000 / u64::from(self.rate.hz()),
            channels: self.channels(),
        }
    }

    /// Returns the channels of the current file, with the times at which legs joined and left.
    fn channels(&self) -> Vec<ChannelReport> {
        let begins = span(self.rate, self.sealed_frames);
        let after = |at: Instant| at.saturating_duration_since(self.start).max(begins);
        let seats = self.layout.seats().iter().enumerate();
        let channel = |(channel, seat): (usize, &Option<crate::record::Seat>)| {
            let seat = (*seat)?;
            let (from, until) = (after(seat.from), seat.until.map(after));
            Some(ChannelReport { channel, track: seat.track, from, until })
        };
        seats.filter_map(channel).collect()
    }

    /// Adds a leg's audio, in a free channel or in a next file.
    pub(super) fn attach(&mut self, joining: Joining, at: Instant) {
        if self.part.is_none() {
            return;
        }
        let side = joining.side;
        for (track, tap) in joining.tracks() {
            match self.admit(track, side, at) {
                Ok(()) => self.listen(track, tap),
                Err(full) => self.leave_out(track.leg, &full),
            }
        }
    }

    fn admit(&mut self, track: Track, side: Side, at: Instant) -> Result<(), Full> {
        match &mut self.cut {
            None if self.layout.admit(track, side, at) => report_channels(self),
            None => {
                let mut layout = self.layout.next();
                layout.admit_or_grow(track, side, at)?;
                self.cut = Some(Cut { at, layout });
            }
            Some(cut) => cut.layout.admit_or_grow(track, side, at)?,
        }
        Ok(())
    }

    /// Removes a leg that has left; no further audio of it is recorded.
    pub(super) fn detach(&mut self, leg: LegId, at: Instant) {
        self.collect();
        self.sources.retain(|source| source.track.leg != leg);
        if let Some(cut) = &mut self.cut {
            cut.layout.leave(leg, at);
        }
        if self.layout.has_leg(leg) && self.part.is_some() {
            self.layout.leave(leg, at);
            report_channels(self);
        }
    }

    /// Begins or ends a pause.
    pub(super) fn pause(&mut self, on: bool, at: Instant) {
        if on {
            self.timeline.pause(at);
        } else {
            self.timeline.resume(at);
        }
    }

    /// Returns whether a file is being written.
    pub(super) fn is_running(&self) -> bool {
        self.part.is_some()
    }

    /// Empties the taps, and writes the audio that is old enough.
    pub(super) fn round(&mut self, now: Instant, sealer: &Sealer) {
        if self.part.is_none() {
            return;
        }
        self.collect();
        if let Some(until) = now.checked_sub(OPEN_PAST) {
            self.write_until(until, sealer);
        }
        if now.saturating_duration_since(self.flushed) >= FLUSH {
            self.flushed = now;
            if let Some(part) = &mut self.part
                && let Err(error) = part.wav.flush()
            {
                self.interrupt(&describe(&error), sealer);
            }
        }
    }

    /// Empties the taps into the timeline.
    fn collect(&mut self) {
        let rate = self.rate;
        for source in &mut self.sources {
            while let Some(item) = source.tap.pop() {
                if item.gap > 0 {
                    metrics::counter!("tandem_recording_tap_gap_frames_total").increment(item.gap);
                }
                let frame = &item.frame;
                let Some(captured_at) = frame.captured_at else { continue };
                let samples = frame.samples();
                if frame.rate == rate {
                    self.timeline.place(source.track, captured_at, samples);
                    continue;
                }
                if source.resampler.as_ref().is_none_or(|(from, _)| *from != frame.rate) {
                    source.resampler = Some((frame.rate, Resampler::new(frame.rate, rate)));
                }
                if let Some((_, resampler)) = &mut source.resampler {
                    self.resampled.resize(resampler.max_output(samples.len()), 0);
                    let written = resampler.process(samples, &mut self.resampled);
                    self.timeline.place(source.track, captured_at, &self.resampled[..written]);
                }
            }
        }
    }

    /// Writes the timeline up to a time, to as many files as necessary.
    fn write_until(&mut self, until: Instant, sealer: &Sealer) {
        while let Some(cut) = self.cut.take_if(|cut| cut.at <= until) {
            self.write_channels_until(cut.at, sealer);
            self.next_part(cut.layout, sealer);
        }
        self.write_channels_until(until, sealer);
    }

    /// Writes the timeline up to a time, with unchanged channels.
    fn write_channels_until(&mut self, until: Instant, sealer: &Sealer) {
        let mut samples = std::mem::take(&mut self.scratch);
        samples.clear();
        self.timeline.drain(until, &self.layout.tracks(), &mut samples);
        let mut rest = samples.as_slice();
        while !rest.is_empty() {
            let Some(part) = &mut self.part else { break };
            let room = part.frames_max.saturating_sub(part.frames);
            if room == 0 {
                // The number of channels is unchanged: the samples are interleaved already.
                let mut layout = self.layout.clone();
                layout.vacate(self.start + span(self.rate, self.sealed_frames + part.frames));
                self.next_part(layout, sealer);
                continue;
            }
            let count = usize::try_from(room).unwrap_or(usize::MAX).saturating_mul(part.channels).min(rest.len());
            let (now, later) = rest.split_at(count);
            if let Err(error) = part.write(now) {
                self.interrupt(&describe(&error), sealer);
                break;
            }
            rest = later;
        }
        self.scratch = samples;
    }

    /// Seals a file and continues in the next one.
    fn next_part(&mut self, layout: Layout, sealer: &Sealer) {
        if self.part.is_none() {
            return;
        }
        self.close(PartState::Finished, sealer);
        self.layout = layout;
        let (layout, cut) = (&self.layout, &self.cut);
        self.timeline.retain(|track| layout.has(track) || cut.as_ref().is_some_and(|cut| cut.layout.has(track)));
        self.open_part();
    }

    /// Ends the recording early: the file keeps its audio; the call continues.
    pub(super) fn interrupt(&mut self, note: &str, sealer: &Sealer) {
        if self.part.is_some() {
            count_interruption(&self.path(), note);
            self.close(PartState::Interrupted(note.to_owned()), sealer);
        }
        self.sources.clear();
    }

    /// Writes the header of the file, and has the file synced and reported.
    fn close(&mut self, state: PartState, sealer: &Sealer) {
        let Some(Part { wav, file, frames, .. }) = self.part.take() else { return };
        let state = match (wav.finalize(), state) {
            (Err(error), PartState::Finished) => {
                let note = describe(&error);
                count_interruption(&self.path(), &note);
                PartState::Interrupted(note)
            }
            (_, state) => state,
        };
        let report = self.report(state, frames);
        self.sealed_frames += frames;
        sealer.seal(Sealed { file, report, reporter: self.reporter.clone() });
    }

    /// Ends a recording without a file, with a note.
    pub(super) fn refuse(&mut self, note: &str) {
        self.number += 1;
        self.give_up(note, 0);
    }

    fn give_up(&mut self, note: &str, frames: u64) {
        count_interruption(&self.path(), note);
        self.sources.clear();
        send_report(&self.reporter, self.report(PartState::Interrupted(note.to_owned()), frames));
    }

    /// Ends the recording with its call: writes the rest of the taps and seals the file.
    pub(super) fn finish(mut self, now: Instant, sealer: &Sealer) {
        if self.part.is_some() {
            self.collect();
            self.write_until(now, sealer);
        }
        self.close(PartState::Finished, sealer);
    }

    /// Returns the report after a fault of the writer: the file up to its last flush, and a note.
    pub(super) fn lost(&self, note: &str) -> (mpsc::Sender<PartReport>, PartReport) {
        let frames = self.part.as_ref().map_or(0, |part| part.frames);
        (self.reporter.clone(), self.report(PartState::Interrupted(note.to_owned()), frames))
    }
}

impl Part {
    /// Creates a file with a header that only this user may read.
    fn open(path: &Path, rate: SampleRate, channels: usize, longest: Duration) -> Result<Part, String> {
        let failed = |error: &dyn std::fmt::Display| format!("the file cannot be created: {error}");
        if let Some(folder) = path.parent() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(|error| failed(&error))?;
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|error| failed(&error))?;
        let same = file.try_clone().map_err(|error| failed(&error))?;
        let spec = spec(rate, channels);
        let mut wav = hound::WavWriter::new(BufWriter::new(file), spec).map_err(|error| failed(&error))?;
        wav.flush().map_err(|error| failed(&error))?;
        Ok(Part { wav, file: same, frames: 0, frames_max: frames_max(rate, channels, longest), channels })
    }

    fn write(&mut self, samples: &[i16]) -> hound::Result<()> {
        for &sample in samples {
            self.wav.write_sample(sample)?;
        }
        self.frames += (samples.len() / self.channels) as u64;
        Ok(())
    }
}

/// Returns the number of frames after which a file is full: by its duration, and by the capacity of a WAV.
fn frames_max(rate: SampleRate, channels: usize, longest: Duration) -> u64 {
    let by_time = longest.as_secs().max(1).saturating_mul(rate.hz().into());
    by_time.min(PART_BYTES_MAX / (2 * channels.max(1) as u64))
}

fn span(rate: SampleRate, frames: u64) -> Duration {
    Duration::from_micros(frames.saturating_mul(1_000_000) / u64::from(rate.hz()))
}

/// Reports that the assignment of channels has changed.
fn report_channels(take: &Take) {
    let frames = take.part.as_ref().map_or(0, |part| part.frames);
    send_report(&take.reporter, take.report(PartState::Seated, frames));
}

fn spec(rate: SampleRate, channels: usize) -> hound::WavSpec {
    hound::WavSpec {
        channels: channels as u16,
        sample_rate: rate.hz(),
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    }
}

fn describe(error: &hound::Error) -> String {
    format!("{error}; free space in the recordings' folder")
}

fn count_interruption(path: &Path, note: &str) {
    tracing::error!(path = %path.display(), note, "recording interrupted");
    metrics::counter!("tandem_recordings_interrupted_total").increment(1);
}

#[cfg(test)]
mod tests;
