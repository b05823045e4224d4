//! `tandem amd`: what answered, from files of sound that begin with the answer.
//!
//! ```text
//! WAV, FLAC ─▶ frames of 20 ms ─▶ engine's detector ─▶ a line per file: JSON or text
//! ```
//!
//! With `--explain`, a line for every 200 ms shows what the detector hears.
//!
//! With `--json` a line has `clip` (name without suffix), `verdict`, `decided_at_ms`, `probability`, `ground`, the list
//! `beep_hz`, and where they were heard `line`, `revised`, `greeting_end_ms`, `beep_at_ms` and `beep_end_ms`; otherwise null.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use crate::engine::{AmdDetector, AmdEvent, AmdMode, Answer, Beep, LineHint, SampleRate, level_dbfs};
use crate::media::sound;

/// Findings about the sound of one file.
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
    /// Ground of the verdict: `sound`, or the kind of tone that decided it.
    pub ground: &'static str,
    /// Kind of line of a person: `residence`, `business` or, in doubt, nothing.
    pub line: Option<&'static str>,
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
    let sound = read(path)?;
    let clip = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Heard { clip, ..of_samples(sound.rate, &sound.samples, mode) })
}

/// Reads a file and explains what the detector hears in it: a line for every 200 ms with level, speech and the probability of a
/// person, what it reports, and the features at the verdict.
///
/// # Errors
/// As [`hear`].
pub fn explain(path: &Path, mode: AmdMode) -> anyhow::Result<String> {
    let sound = read(path)?;
    let mut detector = AmdDetector::new(sound.rate, mode);
    let mut text = format!("{}\n   time   dBFS  {:<LEVELS$}  speech  person\n", path.display(), "level");
    let (mut features, mut signs) = (Vec::new(), None);
    for step in sound.samples.chunks(sound.rate.samples_in_ms(STEP_MS)) {
        let mut notes = Vec::new();
        detector.push(step, |event| notes.push(note(&event)));
        if features.is_empty() && detector.verdict().is_some() {
            (features, signs) = (detector.features(), Some(grounds(&detector)));
        }
        text.push_str(&row(&detector, level_dbfs(step), &notes));
    }
    let mut notes = Vec::new();
    detector.finish(|event| notes.push(note(&event)));
    if features.is_empty() {
        features = detector.features();
    }
    if !notes.is_empty() {
        text.push_str(&format!("  at the end of the file: {}\n", notes.join(", ")));
    }
    text.push_str(&signs.unwrap_or_else(|| grounds(&detector)));
    text.push_str("  features at the verdict:\n");
    for line in features.chunks(4) {
        let line: Vec<String> = line.iter().map(|(name, value)| format!("{name:>18} {value:>8.2}")).collect();
        text.push_str(&format!("{}\n", line.concat()));
    }
    Ok(text)
}

/// Returns the sound of a file: its rate, and the samples of its one channel.
///
/// # Errors
/// As [`hear`].
pub fn samples(path: &Path) -> anyhow::Result<(SampleRate, Vec<i16>)> {
    read(path).map(|sound| (sound.rate, sound.samples.to_vec()))
}

/// Step of the lines of an explanation.
const STEP_MS: u32 = 200;
/// Width of the plot of the level, in characters; each stands for two decibels.
const LEVELS: usize = 30;

/// Returns one line of an explanation.
fn row(detector: &AmdDetector, level: f32, notes: &[String]) -> String {
    let heard = detector.heard();
    let speaks = detector.speech_end(heard).is_some_and(|end| heard.saturating_sub(end) < Duration::from_millis(100));
    let bar = "#".repeat(((level + 2.0 * LEVELS as f32) / 2.0).clamp(0.0, LEVELS as f32) as usize);
    let person =
        if detector.verdict().is_none() { format!("{:>4.0} %", detector.human() * 100.0) } else { String::new() };
    let (time, speech) = (heard.as_secs_f32(), if speaks { "speech" } else { "" });
    let line = format!("  {time:>5.1} {level:>6.0}  {bar:<LEVELS$}  {speech:<6}  {person:>6}  {}", notes.join(", "));
    format!("{}\n", line.trim_end())
}

/// Returns the phrases that were heard and the features that weigh most, as lines of an explanation.
fn grounds(detector: &AmdDetector) -> String {
    let phrases = detector.phrases().into_iter().flatten().filter(|heard| heard.probability >= 0.5);
    let phrases: Vec<String> =
        phrases.map(|heard| format!("{} ({:.0} %)", heard.phrase, heard.probability * 100.0)).collect();
    let phrases = if phrases.is_empty() { "none".to_owned() } else { phrases.join(", ") };
    let mut text = format!("  phrases heard: {phrases}\n");
    if let Some(line) = detector.line() {
        text.push_str(&format!("  line: {}\n", line.as_str()));
    }
    text.push_str("  what weighs most, in log odds of a person:\n");
    for sign in detector.signs().into_iter().flatten() {
        text.push_str(&format!("{:>18} {:>8.2}  weighs {:+.2}\n", sign.feature, sign.value, sign.weight));
    }
    text
}

/// Returns a report of the detector in words.
fn note(event: &AmdEvent) -> String {
    match event {
        AmdEvent::Verdict(verdict) => format!(
            "verdict {} ({:.0} %, by {})",
            verdict.answer.as_str(),
            verdict.probability * 100.0,
            verdict.ground.as_str()
        ),
        AmdEvent::Revised(verdict) => {
            format!("revised to {} (by {})", verdict.answer.as_str(), verdict.ground.as_str())
        }
        AmdEvent::Beep(beep) => {
            let hz: Vec<String> = beep.tone.lines().iter().map(|hz| format!("{hz:.0}")).collect();
            format!("beep of {} Hz from {} to {} ms", hz.join(" and "), beep.start_ms, beep.end_ms)
        }
    }
}

fn read(path: &Path) -> anyhow::Result<sound::Heard> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let read = if bytes.starts_with(b"fLaC") { sound::read_flac } else { sound::read };
    read(&bytes).with_context(|| path.display().to_string())
}

fn of_samples(rate: SampleRate, samples: &[i16], mode: AmdMode) -> Heard {
    let mut detector = AmdDetector::new(rate, mode);
    let mut heard = Heard::default();
    let mut beep: Option<Beep> = None;
    let mut on_event = |event| match event {
        AmdEvent::Verdict(verdict) => {
            heard.verdict = verdict.answer.as_str();
            heard.decided_at_ms = ms(verdict.at);
            heard.probability = verdict.probability;
            heard.ground = verdict.ground.as_str();
        }
        AmdEvent::Revised(verdict) => heard.revised = Some(verdict.answer.as_str()),
        // The first beep, with its later pulses.
        AmdEvent::Beep(found) if beep.is_none_or(|first| found.revises && found.start_ms == first.start_ms) => {
            beep = Some(found);
        }
        AmdEvent::Beep(_) => {}
    };
    let mut line = None;
    for frame in samples.chunks(rate.samples_in_ms(20)) {
        let judged = detector.verdict().is_some();
        detector.push(frame, &mut on_event);
        if !judged && detector.verdict().is_some() {
            line = detector.line();
        }
    }
    detector.finish(&mut on_event);
    heard.line = line.map(LineHint::as_str);
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
    fn a_flac_file_is_judged_like_a_wav_file() {
        let heard = hear(Path::new("tests/data/tone.flac"), AmdMode::Fast).unwrap();
        assert_eq!((heard.clip.as_str(), heard.decided_at_ms, heard.ground), ("tone", 200, "sound"));
        assert_eq!(heard.verdict, "silence", "200 ms of a tone hold no speech and no signal");
    }

    #[test]
    fn an_explanation_has_a_line_for_every_step_and_names_the_verdict() {
        let text = explain(Path::new("tests/data/tone.flac"), AmdMode::Fast).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "tests/data/tone.flac");
        assert!(lines[2].trim_start().starts_with("0.2") && lines[2].contains('#'), "{text}");
        assert!(lines[3].contains("verdict silence (50 %, by sound)"), "{text}");
        assert!(text.contains("elapsed     0.20"), "{text}");
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
