//! `tandem amd`: what answered, from files of sound that begin with the answer.
//!
//! ```text
//! WAV, FLAC ─▶ frames of 20 ms ─▶ engine's detector ─▶ a line per file: JSON or text
//! ```
//!
//! With `--json` a line has `clip` (name without suffix), `verdict`, `decided_at_ms`, `probability`, `ground`, and where they were
//! heard `revised`, `greeting_end_ms`, `beep_at_ms`, `beep_end_ms` and `beep_hz`; otherwise null.

use std::io::Cursor;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use crate::engine::{AmdDetector, AmdEvent, AmdMode, Answer, SampleRate, to_live_rate};
use crate::media::sound;

/// Longest file, in seconds.
const LONGEST_S: u64 = 600;

/// What was heard in a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Heard {
    /// Name of the file without its suffix.
    pub clip: String,
    /// What answered, in the words of the API.
    pub verdict: &'static str,
    /// Amount of sound after which the verdict was given, in milliseconds.
    pub decided_at_ms: u64,
    /// Probability of the verdict, from 0 to 1.
    pub probability: f32,
    /// Ground of the verdict: `sound`, or the tone that decided it.
    pub ground: String,
    /// What contradicted the verdict later.
    pub revised: Option<&'static str>,
    /// End of the speech before the beep, or of the last speech, in milliseconds.
    pub greeting_end_ms: Option<u64>,
    /// Start of the beep after which a message may be left, in milliseconds.
    pub beep_at_ms: Option<u64>,
    /// End of that beep, in milliseconds.
    pub beep_end_ms: Option<u64>,
    /// Frequencies of that beep, in Hz.
    pub beep_hz: Vec<f32>,
}

/// Reads a file and reports what answered in it.
///
/// # Errors
/// Returns a sentence that names the file and what was expected of it.
pub fn hear(path: &Path, mode: AmdMode) -> anyhow::Result<Heard> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (rate, samples) = decoded(&bytes).with_context(|| path.display().to_string())?;
    let clip = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Heard { clip, ..of_samples(rate, &samples, mode) })
}

/// Decodes a WAV or FLAC file into one channel.
fn decoded(bytes: &[u8]) -> anyhow::Result<(SampleRate, Vec<i16>)> {
    if !bytes.starts_with(b"fLaC") {
        let heard = sound::read(bytes)?;
        return Ok((heard.rate, heard.samples.to_vec()));
    }
    let mut reader = claxon::FlacReader::new(Cursor::new(bytes)).context("expected a FLAC file")?;
    let info = reader.streaminfo();
    let (channels, shift) = (info.channels.max(1), info.bits_per_sample);
    let longest = LONGEST_S * u64::from(info.sample_rate) * u64::from(channels);
    let to_16_bits = |sample: i32| (i64::from(sample) << 16 >> shift).clamp(i16::MIN.into(), i16::MAX.into());
    let mut all = Vec::new();
    for sample in reader.samples() {
        all.push(to_16_bits(sample.context("the FLAC file is damaged")?));
        anyhow::ensure!(all.len() as u64 <= longest, "expected at most {LONGEST_S} seconds");
    }
    let mean = |frame: &[i64]| i16::try_from(frame.iter().sum::<i64>() / frame.len().max(1) as i64).unwrap_or_default();
    let mono: Vec<i16> = all.chunks(channels as usize).map(mean).collect();
    anyhow::ensure!(!mono.is_empty(), "expected samples; the file has none");
    to_live_rate(info.sample_rate, mono)
        .with_context(|| format!("{} samples per second are not supported", info.sample_rate))
}

fn of_samples(rate: SampleRate, samples: &[i16], mode: AmdMode) -> Heard {
    let mut detector = AmdDetector::new(rate, mode);
    let mut heard = Heard::default();
    let mut beep = None;
    let mut on_event = |event| match event {
        AmdEvent::Verdict(verdict) => {
            heard.verdict = verdict.answer.as_str();
            heard.decided_at_ms = ms(verdict.at);
            heard.probability = verdict.probability;
            heard.ground = format!("{:?}", verdict.ground).to_lowercase();
        }
        AmdEvent::Revised(verdict) => heard.revised = Some(verdict.answer.as_str()),
        // The first beep, with its later pulses.
        AmdEvent::Beep(found) if beep.is_none() || found.revises => beep = Some(found),
        AmdEvent::Beep(_) => {}
    };
    for frame in samples.chunks(rate.samples_in_ms(20)) {
        detector.push(frame, &mut on_event);
    }
    detector.finish(&mut on_event);
    // A tone in the room of a person, or of an exchange, is no beep.
    let speaks = [Answer::Machine, Answer::Screening, Answer::Ivr, Answer::Unknown].map(Answer::as_str);
    let beep = beep.filter(|_| speaks.contains(&heard.revised.unwrap_or(heard.verdict)));
    let before = beep.map_or(detector.heard(), |beep| Duration::from_millis(beep.start_ms.into()));
    heard.greeting_end_ms = detector.speech_end(before).map(ms);
    if let Some(beep) = beep {
        heard.beep_at_ms = Some(beep.start_ms.into());
        heard.beep_end_ms = Some(beep.end_ms.into());
        heard.beep_hz = beep.tone.lines().to_vec();
    }
    heard
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns ten periods of a busy tone at 8 kHz.
    fn busy() -> Vec<i16> {
        let on = |n: usize| (n / 4_000).is_multiple_of(2);
        let tone = |n: usize| ((n as f64 * 425.0 / 8_000.0 * std::f64::consts::TAU).sin() * 4_000.0) as i16;
        (0..80_000).map(|n| if on(n) { tone(n) } else { 0 }).collect()
    }

    #[test]
    fn a_wav_file_with_a_busy_tone_is_busy_and_has_no_beep() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("line.wav");
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 8_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(&path, spec).unwrap();
        busy().into_iter().for_each(|sample| writer.write_sample(sample).unwrap());
        writer.finalize().unwrap();
        let heard = hear(&path, AmdMode::Balanced).unwrap();
        assert_eq!((heard.clip.as_str(), heard.verdict, heard.beep_at_ms), ("line", "busy", None));
        assert!(heard.decided_at_ms < 4_000, "{heard:?}");
    }

    #[test]
    fn a_file_that_is_no_sound_is_refused_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in [("text.wav", &b"hello"[..]), ("cut.flac", b"fLaC\0"), ("empty.flac", b"")] {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let error = format!("{:#}", hear(&path, AmdMode::Fast).unwrap_err());
            assert!(error.contains(name) && error.contains("expected"), "{error}");
        }
    }
}
