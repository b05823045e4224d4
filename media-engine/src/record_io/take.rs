//! One recording: its timeline, its taps, the file that is being written.
//!
//! ```text
//!   a leg joins ─ a channel is free ─▶ it takes it
//!        └─ none is ─▶ `Cut`: from that moment on the recording goes on in a next file, with the channels of those who are there
//! ```

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::BufWriter;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use codecs::SampleRate;
use codecs::resample::Resampler;
use tokio::sync::mpsc;

use super::seal::{Sealed, Sealer, tell};
use super::writer::Begin;
use super::{ChannelReport, Joining, PartReport, PartState};
use crate::audio::tap::TapReader;
use crate::record::{Layout, Timeline};
use crate::units::LegId;

/// How often a file is made readable up to its last sample.
const FLUSH: Duration = Duration::from_secs(1);
/// How long the past stays open: audio that comes later than this after it was spoken finds its place taken.
const OPEN_PAST: Duration = Duration::from_millis(500);
/// Most bytes of samples in a file: RIFF counts its bytes in 32 bits, less some for the head.
const PART_BYTES_MAX: u64 = u32::MAX as u64 - 4_096;

type Wav = hound::WavWriter<BufWriter<File>>;

/// One recording.
pub(super) struct Take {
    stem: PathBuf,
    rate: SampleRate,
    start: Instant,
    timeline: Timeline,
    sources: Vec<Source>,
    /// Fewest channels of a file.
    least: usize,
    /// Who has which channel of the file that is being written.
    layout: Layout,
    /// What comes after it.
    cut: Option<Cut>,
    /// The file; `None` before the first and after an interruption.
    part: Option<Part>,
    number: u32,
    /// Frames in all files that are sealed.
    sealed_frames: u64,
    /// Longest file.
    longest: Duration,
    flushed: Instant,
    scratch: Vec<i16>,
    resampled: Vec<i16>,
    reporter: mpsc::Sender<PartReport>,
}

/// A file that is being written.
struct Part {
    wav: Wav,
    /// The same open file, for its sync after `wav` has written its head.
    file: File,
    frames: u64,
    /// After so many it is full.
    frames_max: u64,
    channels: usize,
}

/// A next file, from a moment on that has not been written yet.
struct Cut {
    at: Instant,
    layout: Layout,
}

struct Source {
    leg: LegId,
    tap: TapReader,
    resampler: Option<(SampleRate, Resampler)>,
}

impl Take {
    /// A recording without a file yet.
    pub(super) fn new(begin: Begin, longest: Duration) -> Take {
        let Begin { stem, rate, start, least, legs, reporter, .. } = begin;
        let mut take = Take {
            stem,
            rate,
            start,
            timeline: Timeline::new(rate, start),
            sources: Vec::new(),
            least,
            layout: Layout::new(least),
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
        for Joining { leg, side, tap } in legs {
            match take.layout.admit_or_grow(leg, side, start) {
                Ok(()) => take.listen(leg, tap),
                Err(full) => take.leave_out(leg, &full),
            }
        }
        take
    }

    fn listen(&mut self, leg: LegId, tap: TapReader) {
        self.timeline.add(leg);
        self.sources.push(Source { leg, tap, resampler: None });
    }

    fn leave_out(&self, leg: LegId, full: &dyn std::fmt::Display) {
        tracing::error!(path = %self.path().display(), %leg, %full, "a leg is not recorded");
        metrics::counter!("recording_legs_left_out_total").increment(1);
    }

    /// Makes the next file. One that cannot be made ends the recording.
    pub(super) fn open_part(&mut self) {
        self.number += 1;
        let path = self.path();
        match Part::open(&path, self.rate, self.layout.seats().len(), self.longest) {
            Ok(part) => {
                self.part = Some(part);
                tell(&self.reporter, self.report(PartState::Started, 0));
            }
            Err(error) => self.give_up(&error, 0),
        }
    }

    /// The file of the current part.
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

    /// Who has which channel of the file that is being written, and for which of its time.
    fn channels(&self) -> Vec<ChannelReport> {
        let begins = span(self.rate, self.sealed_frames);
        let after = |at: Instant| at.saturating_duration_since(self.start).max(begins);
        let seats = self.layout.seats().iter().enumerate();
        let channel = |(channel, seat): (usize, &Option<crate::record::Seat>)| {
            let seat = (*seat)?;
            let (from, until) = (after(seat.from), seat.until.map(after));
            Some(ChannelReport { channel, leg: seat.leg, from, until })
        };
        seats.filter_map(channel).collect()
    }

    /// Adds a leg's audio: in a channel that is free, or in a next file.
    pub(super) fn attach(&mut self, Joining { leg, side, tap }: Joining, at: Instant) {
        if self.part.is_none() {
            return;
        }
        match &mut self.cut {
            None if self.layout.admit(leg, side, at) => tell_channels(self),
            None => {
                let mut layout = self.layout.next(self.least);
                if let Err(full) = layout.admit_or_grow(leg, side, at) {
                    return self.leave_out(leg, &full);
                }
                self.cut = Some(Cut { at, layout });
            }
            Some(cut) => {
                if let Err(full) = cut.layout.admit_or_grow(leg, side, at) {
                    return self.leave_out(leg, &full);
                }
            }
        }
        self.listen(leg, tap);
    }

    /// A leg has left: nothing more of it is recorded.
    pub(super) fn detach(&mut self, leg: LegId, at: Instant) {
        self.collect();
        self.sources.retain(|source| source.leg != leg);
        if let Some(cut) = &mut self.cut {
            cut.layout.leave(leg, at);
        }
        if self.layout.has(leg) && self.part.is_some() {
            self.layout.leave(leg, at);
            tell_channels(self);
        }
    }

    /// Silence from here on, or sound again.
    pub(super) fn pause(&mut self, on: bool, at: Instant) {
        if on {
            self.timeline.pause(at);
        } else {
            self.timeline.resume(at);
        }
    }

    /// Whether anything is being written.
    pub(super) fn is_running(&self) -> bool {
        self.part.is_some()
    }

    /// Empties the taps and writes what is old enough.
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
                    metrics::counter!("recording_tap_gap_frames_total").increment(item.gap);
                }
                let frame = &item.frame;
                let Some(captured_at) = frame.captured_at else { continue };
                let samples = frame.samples();
                if frame.rate == rate {
                    self.timeline.place(source.leg, captured_at, samples);
                    continue;
                }
                if source.resampler.as_ref().is_none_or(|(from, _)| *from != frame.rate) {
                    source.resampler = Some((frame.rate, Resampler::new(frame.rate, rate)));
                }
                if let Some((_, resampler)) = &mut source.resampler {
                    self.resampled.resize(resampler.max_output(samples.len()), 0);
                    let written = resampler.process(samples, &mut self.resampled);
                    self.timeline.place(source.leg, captured_at, &self.resampled[..written]);
                }
            }
        }
    }

    /// Writes the timeline up to a time, into as many files as that takes.
    fn write_until(&mut self, until: Instant, sealer: &Sealer) {
        while let Some(cut) = self.cut.take_if(|cut| cut.at <= until) {
            self.write_channels_until(cut.at, sealer);
            self.next_part(cut.layout, sealer);
        }
        self.write_channels_until(until, sealer);
    }

    /// The same for the channels as they are.
    fn write_channels_until(&mut self, until: Instant, sealer: &Sealer) {
        let mut samples = std::mem::take(&mut self.scratch);
        samples.clear();
        self.timeline.drain(until, &self.layout.legs(), &mut samples);
        let mut rest = samples.as_slice();
        while !rest.is_empty() {
            let Some(part) = &mut self.part else { break };
            let room = part.frames_max.saturating_sub(part.frames);
            if room == 0 {
                // As many channels as before: the samples are interleaved already.
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

    /// Seals a file and goes on in the next one.
    fn next_part(&mut self, layout: Layout, sealer: &Sealer) {
        if self.part.is_none() {
            return;
        }
        self.close(PartState::Finished, sealer);
        self.layout = layout;
        let (layout, cut) = (&self.layout, &self.cut);
        self.timeline.retain(|leg| layout.has(leg) || cut.as_ref().is_some_and(|cut| cut.layout.has(leg)));
        self.open_part();
    }

    /// Ends the recording early: what is in the file stays; the call goes on.
    pub(super) fn interrupt(&mut self, note: &str, sealer: &Sealer) {
        if self.part.is_some() {
            count_interruption(&self.path(), note);
            self.close(PartState::Interrupted(note.to_owned()), sealer);
        }
        self.sources.clear();
    }

    /// Writes the head of the file and has it synced and reported.
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

    /// A recording that has no file ends with a note.
    pub(super) fn refuse(&mut self, note: &str) {
        self.number += 1;
        self.give_up(note, 0);
    }

    fn give_up(&mut self, note: &str, frames: u64) {
        count_interruption(&self.path(), note);
        self.sources.clear();
        tell(&self.reporter, self.report(PartState::Interrupted(note.to_owned()), frames));
    }

    /// The call is over: writes what the taps still hold, seals the file.
    pub(super) fn finish(mut self, now: Instant, sealer: &Sealer) {
        if self.part.is_some() {
            self.collect();
            self.write_until(now, sealer);
        }
        self.close(PartState::Finished, sealer);
    }

    /// What a writer's fault leaves: the file as far as it was flushed, and a note.
    pub(super) fn lost(&self, note: &str) -> (mpsc::Sender<PartReport>, PartReport) {
        let frames = self.part.as_ref().map_or(0, |part| part.frames);
        (self.reporter.clone(), self.report(PartState::Interrupted(note.to_owned()), frames))
    }
}

impl Part {
    /// Makes a file that only this user may read, with a head.
    fn open(path: &Path, rate: SampleRate, channels: usize, longest: Duration) -> Result<Part, String> {
        let failed = |error: &dyn std::fmt::Display| format!("the file cannot be made: {error}");
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

/// Frames after which a file is full: by its time, and by what a WAV can hold.
fn frames_max(rate: SampleRate, channels: usize, longest: Duration) -> u64 {
    let by_time = longest.as_secs().max(1).saturating_mul(rate.hz().into());
    by_time.min(PART_BYTES_MAX / (2 * channels.max(1) as u64))
}

fn span(rate: SampleRate, frames: u64) -> Duration {
    Duration::from_micros(frames.saturating_mul(1_000_000) / u64::from(rate.hz()))
}

/// Who has which channel has changed.
fn tell_channels(take: &Take) {
    let frames = take.part.as_ref().map_or(0, |part| part.frames);
    tell(&take.reporter, take.report(PartState::Seated, frames));
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
    metrics::counter!("recordings_interrupted_total").increment(1);
}

#[cfg(test)]
mod tests;
