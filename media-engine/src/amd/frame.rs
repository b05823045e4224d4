//! Measurements of 20 ms of sound: level, bands, pitch, tonality.
//!
//! ```text
//! 160 samples ─▶ newest 256 ─▶ power spectrum ─▶ bands, strongest lines, centre
//!            └─▶ 30 ms at 4 kHz ─▶ autocorrelation ─▶ pitch, voicing
//! ```
//!
//! A [`Heard`] takes 24 bytes, since a leg keeps those of 30 s. Nothing is allocated after [`Meter::new`].
//!
//! Not here: what many frames make together (`segments`, `features`).

use codecs::fourier::{Fourier, WINDOW};
use codecs::lanes::dot;

use super::numbers::decibels;

/// Samples of a frame: 20 ms at 8 kHz.
pub(crate) const FRAME: usize = 160;
/// Bands of the spectrum, between the neighbours of [`EDGES`].
pub(super) const BANDS: usize = 14;
/// Band edges in bins of 31.25 Hz: 94, 187, 281, 406, 500, 656, 812, 1000, 1250, 1562, 1906, 2312, 2812, 3406, 3906 Hz.
const EDGES: [usize; BANDS + 1] = [3, 6, 9, 13, 16, 21, 26, 32, 40, 50, 61, 74, 90, 109, 125];
/// Bins of the spectrum, 31.25 Hz each.
pub(super) const BINS: usize = 128;
/// Samples at 4 kHz that the pitch detector looks at, and its lags (400 Hz to 61 Hz).
const PITCH_WINDOW: usize = 120;
const MIN_LAG: usize = 10;
const MAX_LAG: usize = 66;
const PITCH_BUFFER: usize = PITCH_WINDOW + MAX_LAG + 2;
/// Level that stands for digital silence.
pub(super) const SILENT_DB: f32 = -100.0;

/// Measurements of one frame.
#[derive(Clone, Copy, Default)]
pub(super) struct Heard {
    /// Level in dBFS times ten.
    level: i16,
    /// Level of each band in dB above -120 dBFS.
    pub(super) bands: [u8; BANDS],
    /// Pitch in eighths of a tone above 55 Hz; 0 when there is none.
    pub(super) pitch: u8,
    /// Height of the autocorrelation at the pitch, in percent.
    pub(super) voicing: u8,
    /// Strongest bin of the spectrum.
    pub(super) peak: u8,
    /// Shares of the energy in the strongest peak, and in the two strongest, in percent.
    pub(super) share: u8,
    pub(super) share2: u8,
    /// Centre of the bands by amplitude, in sixteenths of a band.
    pub(super) centre: u8,
    /// No sample is above 8 of 32,768.
    pub(super) zero: bool,
}

impl Heard {
    pub(super) fn db(&self) -> f32 {
        f32::from(self.level) / 10.0
    }

    pub(super) fn voiced(&self) -> bool {
        self.voicing >= 55 && self.pitch > 0
    }
}

/// Measures one frame after another.
pub(crate) struct Meter {
    fourier: Fourier,
    recent: [f32; WINDOW],
    slow: [f32; PITCH_BUFFER],
}

impl Meter {
    pub(crate) fn new() -> Self {
        Meter { fourier: Fourier::new(), recent: [0.0; WINDOW], slow: [0.0; PITCH_BUFFER] }
    }

    /// Measures the next 20 ms; also returns the power spectrum of the newest 256 samples.
    pub(crate) fn measure(&mut self, frame: &[i16; FRAME]) -> (Heard, [f32; BINS]) {
        self.recent.copy_within(FRAME.., 0);
        let mut peak = 0;
        let mean = frame.iter().map(|&s| f32::from(s)).sum::<f32>() / FRAME as f32;
        let mut power = 0.0;
        for (slot, &s) in self.recent[WINDOW - FRAME..].iter_mut().zip(frame) {
            peak = peak.max(s.unsigned_abs());
            *slot = f32::from(s) / 32768.0;
            power += (f32::from(s) - mean).powi(2);
        }
        self.slow.copy_within(FRAME / 2.., 0);
        for (slot, pair) in self.slow[PITCH_BUFFER - FRAME / 2..].iter_mut().zip(frame.chunks_exact(2)) {
            *slot = (f32::from(pair[0]) + f32::from(pair[1])) / 65536.0;
        }
        let level = decibels(power / FRAME as f32 / (32768.0 * 32768.0)).max(SILENT_DB);
        let mut heard = Heard { level: (level * 10.0) as i16, zero: peak <= 8, ..Heard::default() };
        let power = self.power();
        spectrum(&power, &mut heard);
        if level > -70.0 {
            (heard.pitch, heard.voicing) = pitch(&self.slow);
        }
        (heard, power)
    }

    /// Power spectrum of the newest 256 samples.
    fn power(&mut self) -> [f32; BINS] {
        let powers = self.fourier.powers(&self.recent);
        std::array::from_fn(|n| powers[n] / (WINDOW as f32 * WINDOW as f32 * 0.09375))
    }
}

/// Bands and tonality of a power spectrum.
fn spectrum(power: &[f32; BINS], heard: &mut Heard) {
    for (n, band) in heard.bands.iter_mut().enumerate() {
        let sum: f32 = power[EDGES[n]..EDGES[n + 1]].iter().sum();
        *band = (decibels(sum) + 120.0).clamp(0.0, 120.0) as u8;
    }
    heard.centre = (centroid(&heard.bands) * 16.0).round() as u8;
    let total = power[3..126].iter().sum::<f32>() + 1e-13;
    let first = strongest(power, None);
    let second = strongest(power, Some(first));
    let mass = |peak: usize| power[peak - 2..=peak + 2].iter().sum::<f32>();
    heard.peak = first as u8;
    heard.share = (mass(first) / total * 100.0).min(100.0) as u8;
    heard.share2 = ((mass(first) + mass(second)) / total * 100.0).min(100.0) as u8;
}

fn centroid(bands: &[u8; BANDS]) -> f32 {
    let weights = bands.iter().enumerate().map(|(n, band)| (n as f32, 10f32.powf(f32::from(*band) / 20.0)));
    let (sum, total) = weights.fold((0.0, 1e-9), |(sum, total), (n, w)| (sum + n * w, total + w));
    sum / total
}

fn strongest(power: &[f32; BINS], except: Option<usize>) -> usize {
    let mut best = 8;
    let mut most = -1.0;
    for (n, p) in power.iter().enumerate().take(124).skip(8) {
        if except.is_none_or(|e| n.abs_diff(e) > 4) && *p > most {
            (best, most) = (n, *p);
        }
    }
    best
}

/// Pitch by the autocorrelation of 30 ms at 4 kHz: quarter semitones above 55 Hz, and the height of the peak in percent.
fn pitch(slow: &[f32; PITCH_BUFFER]) -> (u8, u8) {
    let now = &slow[PITCH_BUFFER - PITCH_WINDOW..];
    let energy = dot(now, now) + 1e-9;
    let mut curve = [0.0f32; MAX_LAG + 2];
    for (lag, slot) in curve.iter_mut().enumerate().skip(MIN_LAG - 1) {
        let then = &slow[PITCH_BUFFER - PITCH_WINDOW - lag..PITCH_BUFFER - lag];
        *slot = dot(now, then) / (energy * (dot(then, then) + 1e-9)).sqrt();
    }
    let most = curve[MIN_LAG..=MAX_LAG].iter().copied().fold(0.0, f32::max);
    // The shortest lag whose peak is nearly as high avoids octaves below the pitch.
    let peak =
        |lag: &usize| curve[*lag] >= 0.88 * most && curve[*lag] >= curve[*lag - 1] && curve[*lag] >= curve[*lag + 1];
    let Some(lag) = (MIN_LAG..=MAX_LAG).find(peak).filter(|_| most > 0.3) else {
        return (0, (most * 100.0) as u8);
    };
    let (a, b, c) = (curve[lag - 1], curve[lag], curve[lag + 1]);
    let bend = a - 2.0 * b + c;
    let exact = lag as f32 + if bend < -1e-6 { 0.5 * (a - c) / bend } else { 0.0 };
    let semitones = 12.0 * (4000.0 / exact / 55.0).log2();
    ((semitones * 4.0).clamp(1.0, 255.0) as u8, (b * 100.0).clamp(0.0, 100.0) as u8)
}
