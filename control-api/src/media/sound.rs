//! Conversion of WAV files, and of FLAC files for `tandem amd`, into samples for calls.
//!
//! The files come from untrusted users: nothing here panics, and all sizes are checked before memory is allocated.

use std::io::Cursor;
use std::sync::Arc;

use claxon::FlacReader;
use claxon::metadata::StreamInfo;
use hound::{SampleFormat, WavReader, WavSpec};

use crate::engine::{SampleRate, to_live_rate};

/// Longest sound, in seconds.
const LONGEST_S: u32 = 600;
/// Allowed sample rates of a sound, in Hz.
const RATES: std::ops::RangeInclusive<u32> = 8_000..=48_000;

/// Decoded sound in the format of calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Sample rate of the file, in Hz.
    pub(crate) hz: u32,
    /// Duration in milliseconds.
    pub(crate) duration_ms: u64,
    /// Sample rate of `samples`.
    pub(crate) rate: SampleRate,
    /// Mono samples of 16 bits.
    pub(crate) samples: Arc<[i16]>,
}

/// Reason why a file cannot be played in calls.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoSound {
    /// The file cannot be decoded.
    #[error("expected a WAV file of PCM or float samples: {0}")]
    Unreadable(String),
    /// The file cannot be decoded as FLAC.
    #[error("expected a FLAC file: {0}")]
    NoFlac(String),
    /// The file has more than two channels.
    #[error("expected one or two channels; the file has {0}")]
    Channels(u32),
    /// The sample rate is not supported.
    #[error("expected 8000 to 48000 samples per second; the file has {0}")]
    Rate(u32),
    /// The file contains no samples.
    #[error("expected samples; the file has none")]
    Empty,
    /// The sound is too long.
    #[error("expected at most {LONGEST_S} seconds")]
    TooLong,
}

/// Decodes a WAV file.
///
/// # Errors
/// Returns a [`NoSound`] that says what was expected.
pub(crate) fn read(wav: &[u8]) -> Result<Heard, NoSound> {
    let unreadable = |error: hound::Error| NoSound::Unreadable(error.to_string());
    let mut reader = WavReader::new(Cursor::new(wav)).map_err(unreadable)?;
    let WavSpec { channels, sample_rate: hz, bits_per_sample, sample_format } = reader.spec();
    must_fit(channels.into(), hz)?;
    if reader.duration() > LONGEST_S * hz {
        return Err(NoSound::TooLong);
    }
    let all: Result<Vec<i32>, _> = match sample_format {
        SampleFormat::Float => reader.samples::<f32>().map(|sample| sample.map(to_16_bits)).collect(),
        SampleFormat::Int => {
            let shift = 32_u32.saturating_sub(bits_per_sample.into());
            let wide = |sample: i32| sample.checked_shl(shift).unwrap_or_default() >> 16;
            reader.samples::<i32>().map(|sample| sample.map(wide)).collect()
        }
    };
    for_calls(hz, channels.into(), &all.map_err(unreadable)?)
}

/// Decodes a FLAC file.
///
/// # Errors
/// Returns a [`NoSound`] that says what was expected.
pub(crate) fn read_flac(flac: &[u8]) -> Result<Heard, NoSound> {
    let unreadable = |error: claxon::Error| NoSound::NoFlac(error.to_string());
    let mut reader = FlacReader::new(Cursor::new(flac)).map_err(unreadable)?;
    let StreamInfo { channels, sample_rate: hz, bits_per_sample: bits, .. } = reader.streaminfo();
    must_fit(channels, hz)?;
    let longest = LONGEST_S as usize * hz as usize * channels as usize;
    let mut all = Vec::new();
    for sample in reader.samples() {
        if all.len() == longest {
            return Err(NoSound::TooLong);
        }
        all.push(sample.map_err(unreadable)?.checked_shl(32_u32.saturating_sub(bits)).unwrap_or_default() >> 16);
    }
    for_calls(hz, channels as usize, &all)
}

/// Checks that a file has a number of channels and a rate that are supported.
fn must_fit(channels: u32, hz: u32) -> Result<(), NoSound> {
    if !(1..=2).contains(&channels) {
        return Err(NoSound::Channels(channels));
    }
    if RATES.contains(&hz) { Ok(()) } else { Err(NoSound::Rate(hz)) }
}

/// Mixes the channels of samples of 16 bits into one, at a rate of calls.
fn for_calls(hz: u32, channels: usize, all: &[i32]) -> Result<Heard, NoSound> {
    let mono: Vec<i16> = all.chunks(channels).map(mean).collect();
    if mono.is_empty() {
        return Err(NoSound::Empty);
    }
    let duration_ms = mono.len() as u64 * 1_000 / u64::from(hz);
    let (rate, samples) = to_live_rate(hz, mono).ok_or(NoSound::Rate(hz))?;
    Ok(Heard { hz, duration_ms, rate, samples: samples.into() })
}

/// Converts a sample between -1 and 1 to 16 bits. NaN becomes silence.
fn to_16_bits(sample: f32) -> i32 {
    (sample.clamp(-1.0, 1.0) * f32::from(i16::MAX)) as i32
}

fn mean(frame: &[i32]) -> i16 {
    let sum: i32 = frame.iter().sum();
    (sum / frame.len().max(1) as i32).clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

#[cfg(test)]
mod tests {
    use hound::WavWriter;
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn wav(spec: WavSpec, frames: u32, value: i32) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let mut writer = WavWriter::new(&mut bytes, spec).unwrap();
        for _ in 0..frames * u32::from(spec.channels) {
            match spec.sample_format {
                SampleFormat::Int => writer.write_sample(value).unwrap(),
                SampleFormat::Float => writer.write_sample(value as f32 / 32_768.0).unwrap(),
            }
        }
        writer.finalize().unwrap();
        bytes.into_inner()
    }

    fn spec(channels: u16, sample_rate: u32, bits_per_sample: u16, sample_format: SampleFormat) -> WavSpec {
        WavSpec { channels, sample_rate, bits_per_sample, sample_format }
    }

    #[test]
    fn every_usual_wav_is_converted_to_samples_for_calls() {
        for (spec, value) in [
            (spec(1, 8_000, 16, SampleFormat::Int), 8_192),
            (spec(2, 44_100, 16, SampleFormat::Int), 8_192),
            (spec(1, 48_000, 24, SampleFormat::Int), 8_192 << 8),
            (spec(2, 22_050, 8, SampleFormat::Int), 32),
            (spec(1, 16_000, 32, SampleFormat::Float), 8_192),
        ] {
            let heard = read(&wav(spec, spec.sample_rate / 2, value)).unwrap();
            assert_eq!((heard.hz, heard.duration_ms), (spec.sample_rate, 500));
            let length = heard.samples.len() * 1_000 / heard.rate.hz() as usize;
            assert!((490..=530).contains(&length), "{spec:?}: {length} ms");
            let middle = heard.samples[heard.samples.len() / 2];
            assert!((8_000..8_400).contains(&middle), "{spec:?}: {middle}");
        }
    }

    const LEVEL: &[u8] = include_bytes!("../../tests/data/level.flac");
    const TONE: &[u8] = include_bytes!("../../tests/data/tone.flac");
    const THREE: &[u8] = include_bytes!("../../tests/data/three.flac");

    #[test]
    fn a_flac_file_is_converted_to_the_samples_that_were_encoded() {
        let heard = read_flac(LEVEL).unwrap();
        assert_eq!((heard.hz, heard.duration_ms), (44_100, 500));
        assert!((8_000..8_400).contains(&heard.samples[heard.samples.len() / 2]));
        let heard = read_flac(TONE).unwrap();
        assert_eq!((heard.hz, heard.duration_ms, heard.samples.len()), (8_000, 200, 1_600));
        for (n, sample) in heard.samples.iter().enumerate() {
            let encoded = (8_192.0 * (n as f64 * 440.0 / 8_000.0 * std::f64::consts::TAU).sin()) as i16;
            assert!(sample.abs_diff(encoded) <= 1, "sample {n}: {sample}, not {encoded}");
        }
        assert_eq!(read_flac(THREE), Err(NoSound::Channels(3)));
        assert!(matches!(read_flac(&TONE[..TONE.len() - 40]), Err(NoSound::NoFlac(_))));
    }

    #[test]
    fn unsupported_files_are_refused_with_their_reason() {
        let int = |channels, rate| spec(channels, rate, 16, SampleFormat::Int);
        assert!(matches!(read(b"ID3"), Err(NoSound::Unreadable(_))));
        assert_eq!(read(&wav(int(3, 8_000), 10, 0)), Err(NoSound::Channels(3)));
        assert_eq!(read(&wav(int(1, 96_000), 10, 0)), Err(NoSound::Rate(96_000)));
        assert_eq!(read(&wav(int(1, 8_000), 0, 0)), Err(NoSound::Empty));
        assert_eq!(read(&wav(int(1, 8_000), 8_000 * 600 + 1, 0)), Err(NoSound::TooLong));
    }

    #[test]
    fn no_bytes_make_the_reader_panic() {
        let mut random = SmallRng::seed_from_u64(16);
        let whole = wav(spec(2, 44_100, 16, SampleFormat::Int), 500, 1_000);
        for _ in 0..20_000 {
            let mut bytes = whole[..random.random_range(0..=whole.len())].to_vec();
            for _ in 0..random.random_range(0..6) {
                if let Some(at) = bytes.len().checked_sub(1).map(|last| random.random_range(0..=last.min(60))) {
                    bytes[at] = random.random();
                }
            }
            // The result does not matter.
            let _ = read(&bytes);
        }
        for whole in [LEVEL, TONE, THREE] {
            for _ in 0..5_000 {
                let mut bytes = whole[..random.random_range(0..=whole.len())].to_vec();
                for _ in 0..random.random_range(0..6) {
                    if let Some(last) = bytes.len().checked_sub(1) {
                        bytes[random.random_range(0..=last)] = random.random();
                    }
                }
                let _ = read_flac(&bytes);
            }
        }
    }
}
