//! Sums per rate, and the conversions between them.
//!
//! ```text
//! frames of one rate ─▶ sum ──┬─────────────▶ total of this rate
//!                             └─ Conversion ─▶ totals of the other rates
//! ```
//!
//! A rate is converted once per tick and per other rate in use, however many parties there are. Sums are `f32`: whole
//! numbers stay exact up to 2²⁴, which is 512 voices at full scale, so an added voice can be subtracted again exactly.

use codecs::resample::Resampler;

use crate::units::SampleRate;

/// Sample rates of live audio.
pub(super) const RATES: [SampleRate; 4] =
    [SampleRate::HZ_8000, SampleRate::HZ_16000, SampleRate::HZ_24000, SampleRate::HZ_48000];

/// Returns the index of `rate` in [`RATES`].
pub(super) fn band_of(rate: SampleRate) -> usize {
    RATES.iter().position(|&known| known == rate).unwrap_or(0)
}

/// Returns the number of samples in one frame of the band: 20 ms.
pub(super) fn frame_length(band: usize) -> usize {
    RATES[band].samples_in_ms(20)
}

/// Conversion of one stream to another rate.
pub(super) struct Conversion {
    resampler: Resampler,
    samples: Box<[f32]>,
    /// The previous input was silence, so the filter is empty.
    settled: bool,
    /// Whether `samples` are silence.
    silent: bool,
}

impl Conversion {
    pub(super) fn new(from: usize, to: usize) -> Conversion {
        Conversion {
            resampler: Resampler::new(RATES[from], RATES[to]),
            samples: vec![0.0; frame_length(to)].into_boxed_slice(),
            settled: true,
            silent: true,
        }
    }

    /// Converts the next 20 ms.
    pub(super) fn process(&mut self, input: &[f32], voiced: bool) {
        self.silent = self.settled && !voiced;
        if !self.silent {
            self.resampler.process_f32(input, &mut self.samples);
        }
        self.settled = !voiced;
    }

    /// Returns the tick's 20 ms at the other rate; `None` means silence.
    pub(super) fn voice(&self) -> Option<&[f32]> {
        (!self.silent).then_some(&*self.samples)
    }
}

/// Sum of all speech at one rate, and the total to be heard at it. Buffers exist while the band is in use.
#[derive(Default)]
pub(super) struct Band {
    sum: Box<[f32]>,
    /// Whether `sum` contains anything but silence.
    voiced: bool,
    total: Box<[f32]>,
    total_voiced: bool,
    /// Conversions of other bands' sums to this one, indexed by the other band.
    from: [Option<Box<Conversion>>; RATES.len()],
}

impl Band {
    /// Creates what a band needs that is in use beside `others`, and frees the rest. Not on the packet path.
    pub(super) fn fit(&mut self, own: usize, in_use: &[bool; RATES.len()]) {
        let length = if in_use[own] { frame_length(own) } else { 0 };
        if self.sum.len() != length {
            (self.sum, self.total) = (vec![0.0; length].into(), vec![0.0; length].into());
        }
        for (other, conversion) in self.from.iter_mut().enumerate() {
            if other == own || !in_use[own] || !in_use[other] {
                *conversion = None;
            } else if conversion.is_none() {
                *conversion = Some(Box::new(Conversion::new(other, own)));
            }
        }
    }

    /// Begins a tick with empty sums.
    pub(super) fn clear(&mut self) {
        if self.voiced {
            self.sum.fill(0.0);
        }
        self.voiced = false;
    }

    /// Adds a voice at this rate.
    pub(super) fn say(&mut self, said: &[f32], gain: (f32, f32)) {
        add(&mut self.sum, said, gain);
        self.voiced = true;
    }

    /// Returns the total to be heard at this rate; `None` means silence.
    pub(super) fn total(&self) -> Option<&[f32]> {
        self.total_voiced.then_some(&*self.total)
    }
}

/// Computes each band's total, after all voices have been added to the sums.
pub(super) fn sum_up(bands: &mut [Band; RATES.len()]) {
    for own in 0..bands.len() {
        let Band { voiced, mut total_voiced, .. } = bands[own];
        // Taken out for a moment, because conversions read the other bands.
        let (mut total, mut from) = (std::mem::take(&mut bands[own].total), std::mem::take(&mut bands[own].from));
        if voiced {
            total.copy_from_slice(&bands[own].sum);
        } else if total_voiced {
            total.fill(0.0);
        }
        total_voiced = voiced;
        for (other, conversion) in from.iter_mut().enumerate() {
            let Some(conversion) = conversion else { continue };
            conversion.process(&bands[other].sum, bands[other].voiced);
            if let Some(voice) = conversion.voice() {
                add(&mut total, voice, (1.0, 1.0));
                total_voiced = true;
            }
        }
        let band = &mut bands[own];
        (band.total, band.from, band.total_voiced) = (total, from, total_voiced);
    }
}

/// Adds `voice` with a gain that goes from the first to the second value over the frame.
pub(super) fn add(sum: &mut [f32], voice: &[f32], (from, to): (f32, f32)) {
    if from == to {
        if to == 1.0 {
            sum.iter_mut().zip(voice).for_each(|(sum, &sample)| *sum += sample);
        } else if to == -1.0 {
            sum.iter_mut().zip(voice).for_each(|(sum, &sample)| *sum -= sample);
        } else if to != 0.0 {
            sum.iter_mut().zip(voice).for_each(|(sum, &sample)| *sum += sample * to);
        }
        return;
    }
    let step = (to - from) / voice.len().max(1) as f32;
    for (at, (sum, &sample)) in sum.iter_mut().zip(voice).enumerate() {
        *sum += sample * (from + step * at as f32);
    }
}
