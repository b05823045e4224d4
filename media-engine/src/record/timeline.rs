//! The timeline.

use std::collections::VecDeque;
use std::time::Instant;

use crate::units::SampleRate;

/// Off by less than this, a frame simply follows its predecessor.
const TOLERANCE_MS: u32 = 1;
/// Off by more than this, a frame goes where it belongs at once.
const JUMP_MS: u32 = 40;
/// Nothing is placed further than this after what was drained.
const HORIZON_MS: u32 = 10_000;
/// Longest frame, samples.
const FRAME: usize = 5_760;

/// Channels of one recording, aligned on one clock.
#[derive(Debug)]
pub struct Timeline {
    rate: SampleRate,
    start: Instant,
    /// Position of the first sample that was not drained.
    drained: i64,
    channels: Vec<Channel>,
}

#[derive(Debug)]
struct Channel {
    /// Samples from `drained` on.
    samples: VecDeque<i16>,
    /// Where the last frame ended; `None` before the first.
    end: Option<i64>,
}

impl Timeline {
    /// An empty timeline whose first sample stands at `start`.
    pub fn new(rate: SampleRate, start: Instant, channels: usize) -> Timeline {
        let channel = || Channel { samples: VecDeque::new(), end: None };
        Timeline { rate, start, drained: 0, channels: (0..channels).map(|_| channel()).collect() }
    }

    /// Puts a frame (mono, at the timeline's rate) where it was captured. Frames of a channel come in order; what
    /// was drained already is not changed any more.
    pub fn place(&mut self, channel: usize, captured_at: Instant, samples: &[i16]) {
        let position = self.position(captured_at);
        let (tolerance, jump) = (self.samples_in_ms(TOLERANCE_MS), self.samples_in_ms(JUMP_MS));
        let horizon = self.drained + self.samples_in_ms(HORIZON_MS);
        let drained = self.drained;
        let Some(channel) = self.channels.get_mut(channel) else { return };
        let samples = &samples[..samples.len().min(FRAME)];
        if samples.is_empty() || position > horizon {
            return;
        }
        let off = channel.end.map_or(i64::MAX, |end| position - end);
        if off.saturating_abs() > jump {
            channel.write(position, drained, samples.iter().copied());
            return;
        }
        let end = channel.end.unwrap_or(position);
        if off.abs() <= tolerance {
            channel.write(end, drained, samples.iter().copied());
            return;
        }
        // Half of what is off, at most an eighth of the frame.
        let most = (samples.len() / 8) as i64;
        let length = (samples.len() as i64 + (off / 2).clamp(-most, most)) as usize;
        channel.write(end, drained, stretched(samples, length));
    }

    /// Appends everything before `until`, channel by channel interleaved; silence where nothing came.
    pub fn drain(&mut self, until: Instant, out: &mut Vec<i16>) {
        let until = self.position(until);
        while self.drained < until {
            for channel in &mut self.channels {
                out.push(channel.samples.pop_front().unwrap_or(0));
            }
            self.drained += 1;
        }
    }

    fn position(&self, at: Instant) -> i64 {
        let rate = i128::from(self.rate.hz());
        let samples = |nanos: u128| ((nanos as i128 * rate + 500_000_000) / 1_000_000_000) as i64;
        match at.checked_duration_since(self.start) {
            Some(span) => samples(span.as_nanos()),
            None => -samples(self.start.duration_since(at).as_nanos()),
        }
    }

    fn samples_in_ms(&self, ms: u32) -> i64 {
        i64::from(self.rate.hz()) * i64::from(ms) / 1000
    }
}

impl Channel {
    fn write(&mut self, position: i64, drained: i64, samples: impl Iterator<Item = i16>) {
        let mut at = position;
        for sample in samples {
            if at >= drained {
                let index = (at - drained) as usize;
                if index < self.samples.len() {
                    self.samples[index] = sample;
                } else {
                    self.samples.resize(index, 0);
                    self.samples.push_back(sample);
                }
            }
            at += 1;
        }
        self.end = Some(at);
    }
}

/// `samples` spread over `length` by linear interpolation.
fn stretched(samples: &[i16], length: usize) -> impl Iterator<Item = i16> {
    let count = samples.len();
    (0..length).map(move |index| {
        let scaled = index * count;
        let (whole, part) = (scaled / length, (scaled % length) as i64);
        let a = i64::from(samples[whole]);
        let b = i64::from(samples[(whole + 1).min(count - 1)]);
        (a + (b - a) * part / length as i64) as i16
    })
}
