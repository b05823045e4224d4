//! Detection and generation of tones.

use std::path::Path;

use codecs::SampleRate;
use codecs::tones::{SILENCE_DBFS, Sine, goertzel_dbfs, level_dbfs};

/// Result of a search for a tone.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Level of the expected tone, in dBFS of a sine.
    pub tone_dbfs: f32,
    /// Level of the entire signal, in dBFS.
    pub total_dbfs: f32,
    /// Frequency by zero crossings, in Hz; it is the tone's own when nothing louder is present.
    pub hertz: f32,
}

/// Measures a tone of `hertz`; levels are the medians of windows of 100 ms.
pub fn find(samples: &[i16], rate: SampleRate, hertz: f32) -> Found {
    let stretches = || samples.chunks_exact(rate.samples_in_ms(100));
    Found {
        tone_dbfs: median(stretches().map(|stretch| goertzel_dbfs(stretch, rate, hertz))),
        total_dbfs: median(stretches().map(level_dbfs)),
        hertz: crossings_hertz(samples, rate),
    }
}

impl Found {
    /// Returns whether the signal is a tone of `hertz` at `dbfs` within `tolerance` dB, and little else.
    pub fn is_tone(&self, hertz: f32, dbfs: f32, tolerance: f32) -> bool {
        (self.hertz - hertz).abs() <= hertz * 0.01 + 1.0
            && (self.tone_dbfs - dbfs).abs() <= tolerance
            && self.total_dbfs - self.tone_dbfs < 1.5
    }
}

/// Asserts that `samples` are a tone of `hertz` at `dbfs` within `tolerance` dB, and little else.
#[track_caller]
pub fn assert_tone(what: &str, samples: &[i16], rate: SampleRate, hertz: f32, dbfs: f32, tolerance: f32) {
    assert!(!samples.is_empty(), "{what}: no audio was received");
    let found = find(samples, rate, hertz);
    assert!((found.hertz - hertz).abs() <= hertz * 0.01 + 1.0, "{what}: expected {hertz} Hz: {found:?}");
    assert!((found.tone_dbfs - dbfs).abs() <= tolerance, "{what}: expected {dbfs} dBFS ± {tolerance}: {found:?}");
    assert!(found.total_dbfs - found.tone_dbfs < 1.5, "{what}: there is more than the tone: {found:?}");
}

/// Generates `seconds` of a sine of `hertz` at `dbfs`.
pub fn tone(rate: SampleRate, hertz: f32, dbfs: f32, seconds: f32) -> Vec<i16> {
    let mut samples = vec![0; (rate.hz() as f32 * seconds) as usize];
    Sine::new(rate, hertz, dbfs).fill(&mut samples);
    samples
}

/// Writes a mono WAV file with 16 bits per sample.
pub fn write_wav(path: &Path, rate: SampleRate, samples: &[i16]) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate.hz(),
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(path, spec).expect("a WAV file in the test's folder");
    for &sample in samples {
        wav.write_sample(sample).expect("a sample written");
    }
    wav.finalize().expect("the WAV file closed");
}

/// Writes raw 16-bit samples, little-endian.
pub fn write_raw(path: &Path, samples: &[i16]) {
    let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    std::fs::write(path, bytes).expect("a file in the test's folder");
}

/// Reads a WAV file: its rate and one vector of samples for each channel.
///
/// # Errors
/// The file cannot be read or is not a WAV file; the error is that of `hound`.
pub fn read_wav(path: &Path) -> Result<(SampleRate, Vec<Vec<i16>>), hound::Error> {
    let mut wav = hound::WavReader::open(path)?;
    let spec = wav.spec();
    let rate = SampleRate::from_hz(spec.sample_rate).ok_or(hound::Error::Unsupported)?;
    let mut channels = vec![Vec::new(); usize::from(spec.channels)];
    for (n, sample) in wav.samples::<i16>().enumerate() {
        channels[n % usize::from(spec.channels)].push(sample?);
    }
    Ok((rate, channels))
}

/// Reads the files of a recording in order: `NAME.wav`, `NAME.2.wav` and so on, up to the first missing one. All have one rate.
/// The result has as many channels as the first file; channels that a later file lacks are skipped there.
///
/// # Errors
/// A file is not a WAV file with 16 bits per sample.
pub fn read_parts(first: &Path) -> Result<(SampleRate, Vec<Vec<i16>>), hound::Error> {
    let (rate, mut channels) = read_wav(first)?;
    for part in 2.. {
        let path = first.with_extension(format!("{part}.wav"));
        if !path.exists() {
            break;
        }
        let (_, more) = read_wav(&path)?;
        channels.iter_mut().zip(more).for_each(|(channel, more)| channel.extend(more));
    }
    Ok((rate, channels))
}

fn median(values: impl Iterator<Item = f32>) -> f32 {
    let mut values: Vec<f32> = values.collect();
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(SILENCE_DBFS)
}

/// Estimates the frequency from the number of rising zero crossings.
fn crossings_hertz(samples: &[i16], rate: SampleRate) -> f32 {
    let rising: Vec<f32> = samples
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| pair[0] < 0 && pair[1] >= 0)
        .map(|(n, pair)| n as f32 + f32::from(-pair[0]) / (f32::from(pair[1]) - f32::from(pair[0])))
        .collect();
    match rising.as_slice() {
        [first, .., last] => (rising.len() - 1) as f32 * rate.hz() as f32 / (last - first),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::{SampleRate, assert_tone, tone};

    const RATE: SampleRate = SampleRate::HZ_8000;

    fn passes(samples: &[i16]) -> bool {
        std::panic::catch_unwind(|| assert_tone("it", samples, RATE, 440.0, -12.0, 1.0)).is_ok()
    }

    #[test]
    fn only_the_expected_tone_at_its_level_passes() {
        assert!(passes(&tone(RATE, 440.0, -12.0, 1.0)));
        assert!(!passes(&tone(RATE, 440.0, -14.0, 1.0)), "too quiet");
        assert!(!passes(&tone(RATE, 450.0, -12.0, 1.0)), "another tone");
        assert!(!passes(&[0; 8_000]), "silence");
        assert!(!passes(&[]), "nothing");
        let mixed: Vec<i16> =
            tone(RATE, 440.0, -12.0, 1.0).iter().zip(tone(RATE, 1_300.0, -14.0, 1.0)).map(|(a, b)| a + b).collect();
        assert!(!passes(&mixed), "something beside it");
        let mut broken = tone(RATE, 440.0, -12.0, 1.0);
        broken[..5_000].fill(0);
        assert!(!passes(&broken), "mostly silence");
    }
}
