//! Alignment of the frames of several tracks on one clock; see the documentation of [`record`](super).

use std::collections::VecDeque;
use std::time::Instant;

use codecs::splice;

use super::Track;
use crate::units::SampleRate;

/// Offset below which a frame simply follows its predecessor.
const TOLERANCE_US: i64 = 500;
/// Offset up to which a frame is stretched by one part in [`NUDGE`]; beyond, a stretch is left out or repeated.
const SPLICE_US: i64 = 3_000;
/// 0.6 %: a tenth of a semitone, for 20 ms.
const NUDGE: usize = 160;
/// Range of stretches that are left out or repeated.
const SPLICE_LEAST_US: i64 = 2_500;
const SPLICE_MOST_US: i64 = 12_500;
/// Offset beyond which a frame is placed where it belongs at once: forwards after silence, because frames are missing;
/// backwards over concealment, because it contains the concealed audio.
const JUMP_US: i64 = 15_000;
/// Largest distance of a frame from the drained position.
const HORIZON_US: i64 = 10_000_000;
/// Longest frame, in samples.
const FRAME: usize = 5_760;

/// Audio of the tracks of one recording, aligned on one clock.
#[derive(Debug)]
pub struct Timeline {
    rate: SampleRate,
    start: Instant,
    /// Position of the first sample that was not drained.
    drained: i64,
    lines: Vec<(Track, Line)>,
    /// Pauses that have not been drained yet, from a position up to another; `i64::MAX` for one that has not ended.
    pauses: Vec<(i64, i64)>,
    scratch: Box<[i16]>,
}

/// Audio of one track.
#[derive(Debug, Default)]
struct Line {
    /// Samples from `drained` on.
    samples: VecDeque<i16>,
    /// End of the last frame; `None` before the first.
    end: Option<i64>,
}

impl Timeline {
    /// Creates an empty timeline whose first sample is at `start`.
    pub fn new(rate: SampleRate, start: Instant) -> Timeline {
        let scratch = vec![0; FRAME * 2].into_boxed_slice();
        Timeline { rate, start, drained: 0, lines: Vec::new(), pauses: Vec::new(), scratch }
    }

    /// Adds a track, unless it is present.
    pub fn add(&mut self, track: Track) {
        if self.lines.iter().all(|(known, _)| *known != track) {
            self.lines.push((track, Line::default()));
        }
    }

    /// Keeps only the tracks for which `keep` returns true; audio of the others that was not drained is dropped.
    pub fn retain(&mut self, keep: impl Fn(Track) -> bool) {
        self.lines.retain(|(track, _)| keep(*track));
    }

    /// Begins a pause: from `at` on the timeline contains silence, whatever is placed.
    pub fn pause(&mut self, at: Instant) {
        let at = self.position(at);
        if self.pauses.last().is_none_or(|(_, until)| *until != i64::MAX) {
            self.pauses.push((at, i64::MAX));
        }
    }

    /// Ends a pause.
    pub fn resume(&mut self, at: Instant) {
        let at = self.position(at);
        if let Some((_, until)) = self.pauses.last_mut().filter(|(_, until)| *until == i64::MAX) {
            *until = at;
        }
    }

    /// Places a frame (mono, at the timeline's rate) of a track at the time of its capture. A frame that goes back
    /// replaces earlier samples, as when packets arrive after their time was concealed; samples that were drained
    /// do not change.
    pub fn place(&mut self, track: Track, captured_at: Instant, samples: &[i16]) {
        let position = self.position(captured_at);
        let horizon = self.drained + self.samples_in_us(HORIZON_US);
        let (tolerance, splice) = (self.samples_in_us(TOLERANCE_US), self.samples_in_us(SPLICE_US));
        let jump = self.samples_in_us(JUMP_US);
        let (drained, rate) = (self.drained, self.rate);
        let Some((_, line)) = self.lines.iter_mut().find(|(known, _)| *known == track) else { return };
        let samples = &samples[..samples.len().min(FRAME)];
        if samples.is_empty() || position > horizon {
            return;
        }
        let off = line.end.map_or(i64::MAX, |end| position.saturating_sub(end));
        let Some(end) = line.end.filter(|_| off.saturating_abs() <= jump) else {
            line.write(position, drained, rate, samples);
            return;
        };
        let length = if off.abs() <= tolerance {
            samples.len()
        } else if off.abs() > splice {
            spliced(samples, rate, off, &mut self.scratch)
        } else {
            nudged(samples, off, &mut self.scratch)
        };
        let samples = if length == samples.len() { samples } else { &self.scratch[..length] };
        line.write(end, drained, rate, samples);
    }

    /// Appends all audio before `until` for these channels, interleaved: the audio of one track each, or silence. There is also silence
    /// where no frames came and in pauses. Audio of other tracks from this time is dropped.
    pub fn drain(&mut self, until: Instant, channels: &[Option<Track>], out: &mut Vec<i16>) {
        let until = self.position(until);
        let Ok(frames) = usize::try_from(until - self.drained) else { return };
        let from = out.len();
        out.resize(from + frames * channels.len(), 0);
        for (track, line) in &mut self.lines {
            let channel = channels.iter().position(|channel| *channel == Some(*track));
            let ready = frames.min(line.samples.len());
            for (frame, sample) in line.samples.drain(..ready).enumerate() {
                if let Some(channel) = channel {
                    out[from + frame * channels.len() + channel] = sample;
                }
            }
        }
        for &(begins, ends) in &self.pauses {
            let frame = |position: i64| (position.clamp(self.drained, until) - self.drained) as usize;
            out[from + frame(begins) * channels.len()..from + frame(ends.max(begins)) * channels.len()].fill(0);
        }
        self.pauses.retain(|(_, ends)| *ends > until);
        self.drained = until;
    }

    fn position(&self, at: Instant) -> i64 {
        let rate = i128::from(self.rate.hz());
        let samples = |nanos: u128| ((nanos as i128 * rate + 500_000_000) / 1_000_000_000) as i64;
        match at.checked_duration_since(self.start) {
            Some(span) => samples(span.as_nanos()),
            None => -samples(self.start.duration_since(at).as_nanos()),
        }
    }

    fn samples_in_us(&self, us: i64) -> i64 {
        in_us(self.rate, us)
    }
}

impl Line {
    /// Writes from `position` on, over earlier samples; fades in unless that is the end of the last
    /// frame.
    fn write(&mut self, position: i64, drained: i64, rate: SampleRate, samples: &[i16]) {
        let overlap = if self.end == Some(position) { 0 } else { splice::overlap(rate) };
        for (count, &sample) in samples.iter().enumerate() {
            let Ok(index) = usize::try_from(position + count as i64 - drained) else { continue };
            match self.samples.get_mut(index) {
                Some(old) if count < overlap => {
                    let (from, to) = (i32::from(*old), i32::from(sample));
                    *old = (from + (to - from) * (count as i32 + 1) / (overlap as i32 + 1)) as i16;
                }
                Some(old) => *old = sample,
                None => {
                    self.samples.resize(index, 0);
                    self.samples.push_back(sample);
                }
            }
        }
        self.end = Some(position + samples.len() as i64);
    }
}

/// Adds or removes one sample in [`NUDGE`], by linear interpolation. Returns the new length.
fn nudged(samples: &[i16], off: i64, out: &mut [i16]) -> usize {
    let count = samples.len();
    let by = (count / NUDGE).max(1).min(off.unsigned_abs() as usize);
    let length = if off > 0 { count + by } else { count.saturating_sub(by).max(1) };
    for (index, sample) in out[..length].iter_mut().enumerate() {
        let scaled = index * count;
        let (whole, part) = (scaled / length, (scaled % length) as i64);
        let a = i64::from(samples[whole]);
        let b = i64::from(samples[(whole + 1).min(count - 1)]);
        *sample = (a + (b - a) * part / length as i64) as i16;
    }
    length
}

/// Adds or removes at most `off` samples, joined where they are most similar. Returns the new length.
fn spliced(samples: &[i16], rate: SampleRate, off: i64, out: &mut [i16]) -> usize {
    let most =
        (samples.len().saturating_sub(splice::overlap(rate)))
            .min(off.unsigned_abs() as usize)
            .min(in_us(rate, SPLICE_MOST_US) as usize);
    let Some(found) = splice::best(samples, rate, in_us(rate, SPLICE_LEAST_US) as usize, most) else {
        return nudged(samples, off, out);
    };
    let length = if off > 0 { samples.len() + found.lag } else { samples.len() - found.lag };
    if off > 0 {
        // All samples, with the first of them played twice.
        out[..found.lag].copy_from_slice(&samples[..found.lag]);
        out[found.lag..length].copy_from_slice(samples);
        splice::fade(&samples[found.lag..], rate, &mut out[found.lag..length]);
    } else {
        splice::shorten(samples, rate, found.lag, &mut out[..length]);
    }
    length
}

fn in_us(rate: SampleRate, us: i64) -> i64 {
    i64::from(rate.hz()) * us / 1_000_000
}
