//! Spectral estimates of short pieces of sound: strongest lines, level, flatness; and a zoom that parts close lines.
//!
//! ```text
//!   256 samples --> Hann --> real FFT --> power of 129 bins --> level, flatness, three strongest lines
//!   up to 2048 samples --> mix to 0 Hz --> low-pass, one of 16 --> Hann --> FFT of 128 --> lines within ±112 Hz
//! ```
//!
//! All sound has 8 kHz. A line is interpolated between bins: for a lone tone the error is below 0.1 Hz without noise. The FFT
//! parts lines that are 100 Hz apart, the zoom those that are 8 Hz apart once it is given 256 ms.
//!
//! Sound below 200 Hz is left out, since hum and the rumble of handsets stand there and no signalling tone does.

use std::f32::consts::{PI, TAU};

pub(super) use crate::fourier::WINDOW;
use crate::fourier::{Complex, Fourier, POINTS};

/// Sample rate of the sound.
pub(super) const RATE_HZ: f32 = 8_000.0;
/// Width of a bin in Hz.
const BIN_HZ: f32 = RATE_HZ / WINDOW as f32;
/// Bins that are looked at: 203 to 3,797 Hz.
const FIRST_BIN: usize = 7;
const LAST_BIN: usize = 121;
/// Number of bins on each side of a line that belong to it. The main lobe of a Hann window reaches to two bins.
const LOBE: usize = 2;
/// Number of lines that are looked for.
pub(super) const LINES: usize = 3;
/// Mean square of a full-scale sine.
const FULL_SCALE: f32 = 32_767.0 * 32_767.0 / 2.0;

/// A spectral line.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Line {
    pub(super) hz: f32,
    /// Mean square of its samples.
    pub(super) power: f32,
}

/// Estimates from one window.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Frame {
    /// Mean square of the sound between 200 and 3,800 Hz.
    pub(super) power: f32,
    /// Strongest lines, in falling order of power. Lines that do not exist have no power.
    pub(super) lines: [Line; LINES],
    /// Geometric mean of the bins' powers relative to their arithmetic mean: 0.56 for white noise, near 0 for a tone.
    pub(super) flatness: f32,
}

impl Frame {
    /// Returns the share of the power that the strongest `count` lines have.
    pub(super) fn share(&self, count: usize) -> f32 {
        let lines: f32 = self.lines[..count].iter().map(|line| line.power).sum();
        // Neighbouring lines share a bin.
        (lines / self.power.max(1e-9)).min(1.0)
    }
}

/// Returns a mean square in dBFS; a full-scale sine has 0.
pub(super) fn dbfs(power: f32) -> f32 {
    10.0 * (power / FULL_SCALE).max(1e-12).log10()
}

/// Tables and working memory of the analysis.
#[derive(Clone, Debug)]
pub(super) struct Spectrum {
    fourier: Fourier,
    work: [Complex; POINTS],
    /// Power of each bin of the last window.
    bins: [f32; POINTS + 1],
}

impl Spectrum {
    pub(super) fn new() -> Spectrum {
        Spectrum { fourier: Fourier::new(), work: [Complex::default(); POINTS], bins: [0.0; POINTS + 1] }
    }

    /// Analyses one window.
    pub(super) fn analyse(&mut self, samples: &[f32; WINDOW]) -> Frame {
        // Parseval: half the bins of a sine of mean square m have m·n·Σw²/2 together, and Σw² = 3n/8.
        let scale = 16.0 / 3.0 / (WINDOW * WINDOW) as f32;
        self.bins = self.fourier.powers(samples).map(|power| power * scale);
        let bins = &self.bins;
        let band = &bins[FIRST_BIN..=LAST_BIN];
        let sum: f32 = band.iter().sum();
        // One logarithm for four bins: their product is at least 1e-12 and at most 1e36.
        let (groups, rest) = band.as_chunks::<4>();
        let product = |bins: &[f32]| bins.iter().map(|bin| bin + 1e-3).product::<f32>().ln();
        let logarithms = groups.iter().map(|bins| product(bins)).sum::<f32>() + product(rest);
        let count = band.len() as f32;
        let flatness = (logarithms / count).exp() / (sum / count + 1e-3);
        let mut frame = Frame { power: sum, flatness, ..Frame::default() };
        let mut used = [false; POINTS + 1];
        for line in &mut frame.lines {
            let Some(peak) = highest(bins, &used) else { break };
            *line = self.line_at(peak);
            used[peak - LOBE..=peak + LOBE].fill(true);
        }
        frame
    }

    /// Returns the power of the last window within two bins of `hz`, and the line that is strongest there.
    pub(super) fn near(&self, hz: f32) -> Line {
        let middle = (hz / BIN_HZ).round() as usize;
        let middle = middle.clamp(FIRST_BIN, LAST_BIN);
        let around = middle - 1..=middle + 1;
        let peak = around.max_by(|&a, &b| self.bins[a].total_cmp(&self.bins[b])).unwrap_or(middle);
        let mut line = self.line_at(peak.clamp(FIRST_BIN, LAST_BIN));
        line.power = self.bins[middle - LOBE..=middle + LOBE].iter().sum();
        line
    }

    fn line_at(&self, peak: usize) -> Line {
        let offset = hann_offset(self.bins[peak - 1], self.bins[peak], self.bins[peak + 1]);
        let power = self.bins[peak - LOBE..=peak + LOBE].iter().sum();
        Line { hz: (peak as f32 + offset) * BIN_HZ, power }
    }

    /// Finds the lines within 112 Hz of `hz` in `length` samples (at most 2048) that `sample` returns by index. Lines that do not
    /// exist have no power. Also returns the power of the whole neighbourhood.
    pub(super) fn zoom(&mut self, hz: f32, length: usize, sample: impl Fn(usize) -> f32) -> ([Line; LINES], f32) {
        let count = (length / ZOOM_STEP).saturating_sub(1).min(POINTS);
        let step = Complex::turn(-TAU * hz / RATE_HZ);
        let mut turn = Complex { re: 1.0, im: 0.0 };
        self.work.fill(Complex::default());
        // A triangle over two steps is the low-pass: each sample counts for the output before it and the one after it.
        for n in 0..(count + 1) * ZOOM_STEP {
            let value = sample(n);
            let mixed = Complex { re: turn.re * value, im: turn.im * value };
            turn = turn.times(step);
            if n % 64 == 63 {
                let length = turn.power().sqrt();
                turn = Complex { re: turn.re / length, im: turn.im / length };
            }
            let (block, within) = (n / ZOOM_STEP, n % ZOOM_STEP);
            let rising = within as f32 / ZOOM_STEP as f32;
            for (index, weight) in [(Some(block), rising), (block.checked_sub(1), 1.0 - rising)] {
                if let Some(value) = index.and_then(|index| self.work[..count].get_mut(index)) {
                    *value = value.plus(Complex { re: mixed.re * weight, im: mixed.im * weight });
                }
            }
        }
        for n in 0..count {
            let weight = 0.5 - 0.5 * (TAU * (n as f32 + 0.5) / count as f32).cos();
            self.work[n] = Complex { re: self.work[n].re * weight, im: self.work[n].im * weight };
        }
        self.zoomed_lines(hz, count)
    }

    fn zoomed_lines(&mut self, hz: f32, count: usize) -> ([Line; LINES], f32) {
        self.fourier.transform(&mut self.work);
        let bin_hz = RATE_HZ / ZOOM_STEP as f32 / POINTS as f32;
        // A sine of mean square m has the amplitude √(2m)/2 after mixing, and each output sums ZOOM_STEP samples.
        let scale = 2.0 / (ZOOM_STEP * ZOOM_STEP) as f32 / (0.375 * count.max(1) as f32 * POINTS as f32);
        let reach = (ZOOM_HZ / bin_hz) as isize;
        let at = |offset: isize| offset.rem_euclid(POINTS as isize) as usize;
        // The main lobe is wider when fewer outputs than points were computed.
        let lobe = (LOBE * POINTS).div_ceil(count.max(1)) as isize;
        let mut powers = [0.0; POINTS];
        for offset in -reach..=reach {
            // The triangle attenuates away from the middle; its response is a squared sinc.
            let part = PI * offset as f32 * bin_hz * ZOOM_STEP as f32 / RATE_HZ;
            let response = if offset == 0 { 1.0 } else { (part.sin() / part).powi(4) };
            powers[at(offset)] = self.work[at(offset)].power() * scale / response;
        }
        let whole = powers.iter().sum();
        let mut lines = [Line::default(); LINES];
        let mut used = [false; POINTS];
        for line in &mut lines {
            let free = (-reach + 1..reach).filter(|&offset| !used[at(offset)]);
            let is_peak = |&offset: &isize| {
                powers[at(offset)] > powers[at(offset - 1)] && powers[at(offset)] >= powers[at(offset + 1)]
            };
            let peak = free.filter(is_peak).max_by(|&a, &b| powers[at(a)].total_cmp(&powers[at(b)]));
            let Some(peak) = peak else { break };
            let [before, here, after] = [-1, 0, 1].map(|step| (powers[at(peak + step)] + 1e-9).ln());
            let offset = 0.5 * (before - after) / (before - 2.0 * here + after).min(-1e-6);
            let span = (peak - lobe).max(-reach)..=(peak + lobe).min(reach);
            let power = span.clone().filter(|&offset| !used[at(offset)]).map(|offset| powers[at(offset)]).sum();
            span.for_each(|offset| used[at(offset)] = true);
            *line = Line { hz: hz + (peak as f32 + offset.clamp(-0.5, 0.5)) * bin_hz, power };
        }
        (lines, whole)
    }
}

/// Samples for one output of the zoom.
pub(super) const ZOOM_STEP: usize = 16;
/// Most samples that the zoom uses: 256 ms.
pub(super) const ZOOM_LONGEST: usize = (POINTS + 1) * ZOOM_STEP;
/// Distance to which the zoom looks.
const ZOOM_HZ: f32 = 112.0;

/// Returns the highest bin that is a local maximum and not in use.
fn highest(bins: &[f32; POINTS + 1], used: &[bool; POINTS + 1]) -> Option<usize> {
    let is_peak = |&n: &usize| !used[n] && bins[n] > bins[n - 1] && bins[n] >= bins[n + 1];
    (FIRST_BIN..=LAST_BIN).filter(is_peak).max_by(|&a, &b| bins[a].total_cmp(&bins[b]))
}

/// Returns the distance of a sine from the middle one of three bins, in bins. The ratio of two neighbouring bins of a Hann window
/// gives it exactly.
fn hann_offset(before: f32, here: f32, after: f32) -> f32 {
    let (neighbour, sign) = if after > before { (after, 1.0) } else { (before, -1.0) };
    let ratio = (neighbour / here.max(1e-9)).sqrt();
    sign * ((2.0 * ratio - 1.0) / (ratio + 1.0)).clamp(-0.1, 0.6)
}
