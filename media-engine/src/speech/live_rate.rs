//! Conversion of rates that the live path does not support, such as a synthesiser's 22,050 Hz.

use codecs::SampleRate;
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, FixedAsync, Indexing, Resampler, SincInterpolationParameters, SincInterpolationType, WindowFunction,
};

use super::TtsChunk;

/// Rate to which odd rates are converted: wideband, from which every leg's own rate is derived.
pub(super) const LIVE_RATE: SampleRate = SampleRate::HZ_16000;

/// Converts the chunks of a sentence to a rate that the live path supports; chunks of unusable rates are left out.
#[derive(Default)]
pub(super) struct LiveRateResampler {
    odd: Option<(u32, OddRate)>,
}

impl LiveRateResampler {
    /// Converts a chunk; returns the samples that are ready.
    pub(super) fn push(&mut self, chunk: TtsChunk) -> Option<(SampleRate, Vec<i16>)> {
        if let Some(rate) = SampleRate::from_hz(chunk.rate_hz) {
            return Some((rate, chunk.samples));
        }
        if self.odd.as_ref().is_none_or(|(hz, _)| *hz != chunk.rate_hz) {
            self.odd = OddRate::new(chunk.rate_hz).map(|resampler| (chunk.rate_hz, resampler));
        }
        self.odd.as_mut().map(|(_, resampler)| (LIVE_RATE, resampler.push(&chunk.samples)))
    }

    /// Returns the remaining samples of the filter, at [`LIVE_RATE`].
    pub(super) fn finish(&mut self) -> Vec<i16> {
        self.odd.as_mut().map(|(_, resampler)| resampler.finish()).unwrap_or_default()
    }
}

/// Converter of a stream of samples to a supported rate.
struct OddRate {
    resampler: Async<f32>,
    waiting: Vec<f32>,
    out: Vec<f32>,
}

impl OddRate {
    /// Creates a converter from `hz` to [`LIVE_RATE`]; `None` for rates that no synthesiser uses (outside 4 to 192 kHz).
    fn new(hz: u32) -> Option<OddRate> {
        if !(4_000..=192_000).contains(&hz) {
            return None;
        }
        let parameters = SincInterpolationParameters {
            sinc_len: 64,
            f_cutoff: None,
            oversampling_factor: 128,
            interpolation: SincInterpolationType::Linear,
            window: WindowFunction::BlackmanHarris2,
        };
        let ratio = f64::from(LIVE_RATE.hz()) / f64::from(hz);
        // 10 ms at a time, so that the first sound is available early.
        let chunk = (hz / 100) as usize;
        let resampler = Async::new_sinc(ratio, 1.1, &parameters, chunk, 1, FixedAsync::Input).ok()?;
        let out = vec![0.0; resampler.output_frames_max()];
        Some(OddRate { resampler, waiting: Vec::new(), out })
    }

    /// Converts samples; returns those that are ready.
    fn push(&mut self, samples: &[i16]) -> Vec<i16> {
        self.waiting.extend(samples.iter().map(|&sample| f32::from(sample)));
        let mut ready = Vec::new();
        loop {
            let needed = self.resampler.input_frames_next();
            if self.waiting.len() < needed {
                return ready;
            }
            self.process(needed, None, &mut ready);
        }
    }

    /// Returns the rest, including the remaining samples of the filter.
    fn finish(&mut self) -> Vec<i16> {
        let mut ready = Vec::new();
        let rest = self.waiting.len();
        self.waiting.resize(self.resampler.input_frames_next(), 0.0);
        self.process(self.waiting.len(), Some(rest), &mut ready);
        self.waiting.resize(self.resampler.input_frames_next(), 0.0);
        self.process(self.waiting.len(), Some(0), &mut ready);
        ready
    }

    fn process(&mut self, frames: usize, partial: Option<usize>, ready: &mut Vec<i16>) {
        let capacity = self.out.len();
        let mut indexing = Indexing::new();
        if let Some(partial) = partial {
            indexing = indexing.partial_len(partial);
        }
        let written = {
            let input = InterleavedSlice::new(&self.waiting[..frames], 1, frames);
            let output = InterleavedSlice::new_mut(&mut self.out, 1, capacity);
            match (input, output) {
                (Ok(input), Ok(mut output)) => {
                    self.resampler.process_into_buffer(&input, &mut output, Some(&indexing)).map_or(0, |(_, n)| n)
                }
                _ => 0,
            }
        };
        self.waiting.drain(..frames);
        ready.extend(self.out[..written].iter().map(|sample| sample.clamp(-32_768.0, 32_767.0) as i16));
    }
}

#[cfg(test)]
mod tests {
    use codecs::tones;

    use super::{LIVE_RATE, OddRate};

    #[test]
    fn a_tone_keeps_its_pitch_level_and_length_in_pieces_of_any_size() {
        let tone: Vec<i16> = (0..22_050)
            .map(|index| (f64::from(index) * 440.0 / 22_050.0 * std::f64::consts::TAU).sin() * 8_000.0)
            .map(|sample| sample as i16)
            .collect();
        let mut odd = OddRate::new(22_050).unwrap();
        let mut out = Vec::new();
        for piece in tone.chunks(317) {
            out.extend(odd.push(piece));
        }
        out.extend(odd.finish());
        assert!((15_900..16_600).contains(&out.len()), "{} samples", out.len());
        let level = tones::goertzel_dbfs(&out[1_000..15_000], LIVE_RATE, 440.0);
        let expected = 20.0 * (8_000.0_f32 / 32_767.0).log10();
        assert!((level - expected).abs() < 0.3, "{level} dBFS instead of {expected}");
    }

    #[test]
    fn rates_that_no_synthesiser_uses_are_refused() {
        assert!(OddRate::new(0).is_none() && OddRate::new(1_000_000).is_none());
    }
}
