//! Tests of voice activity detection. Speech is synthesised by running espeak-ng, so the repository contains no recordings.

use std::f64::consts::PI;
use std::process::Command;

use super::*;
use crate::g711::{ulaw_decode, ulaw_encode};
use crate::gain::apply_db;
use crate::tones::Sine;

const RATES: [SampleRate; 4] = [SampleRate::HZ_8000, SampleRate::HZ_16000, SampleRate::HZ_24000, SampleRate::HZ_48000];

/// Returns speech from espeak-ng at its own 22050 Hz. The output of `--stdout` is a WAV file with a header of 44 bytes.
fn espeak(text: &str, voice: &str) -> Vec<i16> {
    let output = Command::new("espeak-ng")
        .args(["-v", voice, "--stdout", text])
        .output()
        .expect("this test needs the program espeak-ng: apt-get install espeak-ng");
    assert!(output.status.success(), "espeak-ng failed: {}", String::from_utf8_lossy(&output.stderr));
    let wav = output.stdout;
    assert_eq!((&wav[..4], &wav[24..28]), (&b"RIFF"[..], &22_050u32.to_le_bytes()[..]));
    wav[44..].as_chunks::<2>().0.iter().map(|&pair| i16::from_le_bytes(pair)).collect()
}

/// Converts from 22050 Hz to `rate` by a plain windowed sinc; slow and exact.
fn at_rate(samples: &[i16], rate: SampleRate) -> Vec<i16> {
    let ratio = f64::from(rate.hz()) / 22_050.0;
    let cutoff = ratio.min(1.0) * 0.95;
    let one = |index: usize| {
        let at = index as f64 / ratio;
        let first = (at as usize).saturating_sub(30);
        let near = samples.iter().enumerate().skip(first).take(61);
        let sum: f64 = near
            .map(|(position, &sample)| {
                let distance = at - position as f64;
                let x = distance * cutoff * PI;
                let sinc = if x.abs() < 1e-9 { 1.0 } else { x.sin() / x };
                f64::from(sample) * cutoff * sinc * (0.5 + 0.5 * (distance.abs().min(31.0) / 31.0 * PI).cos())
            })
            .sum();
        sum as i16
    };
    (0..(samples.len() as f64 * ratio) as usize).map(one).collect()
}

/// Returns uniform white noise with the level of a sine at `dbfs`.
fn noise(count: usize, dbfs: f32, mut seed: u32) -> Vec<i16> {
    let peak = 32_767.0 * 10f32.powf(dbfs / 20.0) * 1.5f32.sqrt();
    let one = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((seed >> 8) as f32 / (1 << 23) as f32 * peak - peak) as i16
    };
    std::iter::repeat_with(one).take(count).collect()
}

fn decisions(rate: SampleRate, samples: &[i16]) -> Vec<bool> {
    let mut vad = Vad::new(rate);
    samples.chunks_exact(rate.samples_in_ms(20)).map(|frame| vad.push(frame)).collect()
}

/// Returns two sentences with a second of silence before, between and after; at 8 kHz through µ-law as in telephony.
fn sentences(rate: SampleRate) -> Vec<i16> {
    let mut samples = vec![0; rate.samples_in_ms(1000)];
    for (text, voice) in [
        ("Good morning, I would like to change my booking, please.", "en-us"),
        ("Buenos días, ¿en qué puedo ayudarle hoy?", "es-419+f3"),
    ] {
        samples.extend(at_rate(&espeak(text, voice), rate));
        samples.extend(vec![0; rate.samples_in_ms(1000)]);
    }
    samples
}

/// Returns the share of voice frames (above −35 dBFS in `clean`) that is found, and the share of silence, from 200 ms after
/// the last voice on, that is taken for voice.
fn judged(rate: SampleRate, clean: &[i16], level_db: f32, noise_dbfs: f32) -> (f32, f32) {
    let mut heard = clean.to_vec();
    apply_db(&mut heard, level_db);
    for (sample, noise) in heard.iter_mut().zip(noise(clean.len(), noise_dbfs, 5)) {
        *sample = sample.saturating_add(noise);
        if rate == SampleRate::HZ_8000 {
            *sample = ulaw_decode(ulaw_encode(*sample));
        }
    }
    let (mut voice, mut found, mut silence, mut wrong, mut since_voice) = (0, 0, 0, 0, 100);
    for (frame, decision) in clean.chunks_exact(rate.samples_in_ms(20)).zip(decisions(rate, &heard)) {
        let level = level_dbfs(frame);
        since_voice = if level > -60.0 { 0 } else { since_voice + 1 };
        if level > -35.0 {
            voice += 1;
            found += i32::from(decision);
        } else if since_voice > 10 {
            silence += 1;
            wrong += i32::from(decision);
        }
    }
    assert!(voice > 100 && silence > 100, "{voice} frames of voice, {silence} of silence");
    (found as f32 / voice as f32, wrong as f32 / silence as f32)
}

#[test]
fn silence_is_not_speech() {
    for rate in RATES {
        assert!(!decisions(rate, &vec![0; rate.samples_in_ms(3000)]).contains(&true));
    }
}

#[test]
fn steady_noise_is_not_speech() {
    for rate in RATES {
        for dbfs in [-70.0, -58.0, -50.0, -40.0, -30.0] {
            let frames = decisions(rate, &noise(rate.samples_in_ms(5000), dbfs, 3));
            let wrong = frames.iter().filter(|&&speech| speech).count();
            // Measured: at most 3 %, at −30 dBFS and 16 kHz.
            assert!(wrong * 20 <= frames.len(), "{rate}, {dbfs} dBFS: {wrong} of {}", frames.len());
        }
    }
}

#[test]
fn mains_hum_is_not_speech() {
    for rate in RATES {
        let mut hum = vec![0; rate.samples_in_ms(3000)];
        Sine::new(rate, 50.0, -30.0).fill(&mut hum);
        let wrong = decisions(rate, &hum).iter().filter(|&&speech| speech).count();
        assert!(wrong <= 3, "{rate}: {wrong} of 150");
    }
}

#[test]
fn speech_is_found_and_pauses_are_not_speech() {
    for rate in RATES {
        let clean = sentences(rate);
        for (level_db, noise_dbfs, least_found) in
            [(0.0, -120.0, 0.93), (-12.0, -60.0, 0.93), (0.0, -40.0, 0.9), (-24.0, -60.0, 0.85)]
        {
            let (found, wrong) = judged(rate, &clean, level_db, noise_dbfs);
            assert!(
                found >= least_found && wrong <= 0.02,
                "{rate}, voice {level_db} dB, noise {noise_dbfs} dBFS: {found} found, {wrong} wrong"
            );
        }
    }
}

#[test]
fn first_word_after_a_long_silence_is_found_within_100_ms() {
    for rate in [SampleRate::HZ_8000, SampleRate::HZ_16000] {
        let mut samples = vec![0; rate.samples_in_ms(5000)];
        let word = at_rate(&espeak("hello there", "en-us"), rate);
        let onset = word.chunks_exact(rate.samples_in_ms(20)).position(|frame| level_dbfs(frame) > -35.0).unwrap();
        samples.extend(word);
        let found = decisions(rate, &samples).iter().position(|&speech| speech).unwrap();
        assert!((250 + onset..250 + onset + 5).contains(&(found.max(250 + onset))), "{rate}: {found}, onset {onset}");
        assert!(found >= 250, "{rate}: {found} is before the word");
    }
}

#[test]
fn a_reset_detector_equals_a_new_one() {
    let rate = SampleRate::HZ_16000;
    let (speech, mut used, mut fresh) = (sentences(rate), Vad::new(rate), Vad::new(rate));
    speech.chunks(320).take(120).for_each(|frame| _ = used.push(frame));
    used.reset();
    for frame in speech.chunks(320).skip(40) {
        assert_eq!(used.push(frame), fresh.push(frame));
        assert_eq!(used.score(), fresh.score());
    }
}

#[test]
fn frames_of_any_length_are_accepted() {
    let rate = SampleRate::HZ_8000;
    let mut vad = Vad::new(rate);
    let samples = noise(9999, -20.0, 9);
    for length in [0, 1, 80, 159, 160, 961, 2000] {
        vad.push(&samples[..length]);
    }
    assert!((0.0..=1.0).contains(&vad.score()));
}
