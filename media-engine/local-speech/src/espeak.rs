//! Synthesis by `espeak-ng`, run as a separate program: it is GPL and not linked.
//!
//! ```text
//!   text ─▶ stdin │ espeak-ng --stdout │ WAV header, samples as they are made ─▶ sink
//! ```
//!
//! The first sample is available within milliseconds of the program's start; samples are passed on as they arrive.
//!
//! Invariants: text reaches the program only through stdin, never as an argument; an unfinished program is killed with its
//! `Child`. Not here: rate conversion, pacing.

use std::io::{ErrorKind, Read, Write};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use wyoming::SampleReader;

use crate::phrases::Language;

/// Error text when the program is missing.
const MISSING: &str = "espeak-ng is not installed; run `apt-get install espeak-ng`";
/// Words per minute: brisk, but easy to follow on a phone.
const SPEED: &str = "160";
/// Length of RIFF, `fmt ` and the head of `data`, as espeak-ng writes them.
const HEADER: usize = 44;
/// Bytes per read: 46 ms at 22,050 Hz.
const BLOCK: usize = 2_048;

/// Fails with the package to install when the program is missing.
pub(crate) fn check_installed() -> Result<()> {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join("espeak-ng").is_file()));
    ensure!(found, MISSING);
    Ok(())
}

/// Synthesises `text`; `sink` gets the sample rate and samples as they arrive. Synthesis stops early when `sink` fails.
pub(crate) fn speak(text: &str, voice: &str, mut sink: impl FnMut(u32, &[i16]) -> Result<()>) -> Result<()> {
    let child = Command::new("espeak-ng")
        .args(["-v", voice, "-s", SPEED, "-b", "1", "--stdin", "--stdout"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = Running(match child {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(MISSING),
        Err(error) => return Err(error).context("espeak-ng cannot be started"),
    });
    // espeak-ng reads all its text before it speaks, so this cannot block on its output.
    let mut stdin = child.0.stdin.take().context("stdin is piped")?;
    stdin.write_all(text.as_bytes()).context("espeak-ng takes no text")?;
    drop(stdin);
    let mut output = child.0.stdout.take().context("stdout is piped")?;
    let mut header = [0_u8; HEADER];
    output.read_exact(&mut header).context("espeak-ng produced no audio")?;
    let rate = wav_rate(&header)?;
    let mut reader = SampleReader::default();
    let mut samples = Vec::with_capacity(BLOCK);
    let mut block = [0_u8; BLOCK];
    loop {
        let count = output.read(&mut block).context("espeak-ng produced no audio")?;
        if count == 0 {
            return Ok(());
        }
        samples.clear();
        reader.read(&block[..count], &mut samples);
        sink(rate, &samples)?;
    }
}

/// Returns the espeak-ng voice for a language; a requested name takes precedence if it is a valid voice name.
pub(crate) fn voice(language: Language, name: &str) -> String {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '+');
    if !name.is_empty() && name.len() <= 64 && !name.starts_with('-') && name.chars().all(is_name) {
        return name.to_owned();
    }
    match language {
        Language::English => "en-us".to_owned(),
        Language::Spanish => "es-419".to_owned(),
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // A program that has already exited is only reaped.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wav_rate(header: &[u8; HEADER]) -> Result<u32> {
    let mono_16_bit = header[22..24] == [1, 0] && header[34..36] == [16, 0];
    ensure!(
        header.starts_with(b"RIFF") && &header[8..12] == b"WAVE" && mono_16_bit,
        "espeak-ng produced an unknown format"
    );
    Ok(u32::from_le_bytes([header[24], header[25], header[26], header[27]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spanish_is_synthesised_with_audible_energy() {
        check_installed().expect("apt-get install espeak-ng");
        let mut all = Vec::new();
        let mut rates = Vec::new();
        speak("Buenos días, -v ¿en qué puedo ayudarle?", &voice(Language::Spanish, ""), |rate, samples| {
            rates.push(rate);
            all.extend_from_slice(samples);
            Ok(())
        })
        .unwrap();
        assert!(rates.iter().all(|&rate| rate == 22_050) && rates.len() > 5, "{} blocks", rates.len());
        assert!(codecs::tones::level_dbfs(&all) > -40.0);
    }

    #[test]
    fn synthesis_stops_when_the_receiver_is_gone() {
        let mut blocks = 0;
        let result = speak("One two three four five six seven.", "en-us", |_, _| {
            blocks += 1;
            bail!("gone")
        });
        assert!(result.is_err());
        assert_eq!(blocks, 1);
    }

    #[test]
    fn a_voice_name_is_never_taken_as_an_option() {
        assert_eq!(voice(Language::Spanish, "-w/tmp/x"), "es-419");
        assert_eq!(voice(Language::English, "en-gb+f2"), "en-gb+f2");
    }
}
