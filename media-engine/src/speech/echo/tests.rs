//! The gate on a loudspeaker telephone: synthetic voices in synthetic rooms.
//!
//! A voice is a row of syllables with harmonics under two formants and hisses in between; a room is a decaying noise that is convolved
//! with what a small loudspeaker makes of the voice. Everything is seeded.

use codecs::g711::{ulaw_decode, ulaw_encode};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;
use crate::units::test_epoch;

const NARROW: SampleRate = SampleRate::HZ_8000;
const HZ: usize = 8_000;
const SAMPLES: usize = 160;
/// Frames within which the path must have been found: 3 s.
const FOUND: usize = 150;

type Sound = Vec<f32>;

/// Returns `seconds` of a voice at −20 dBFS while it speaks.
fn voice(seed: u64, seconds: usize) -> Sound {
    let random = &mut SmallRng::seed_from_u64(seed);
    let base: f32 = random.random_range(90.0..220.0);
    let mut sound = Sound::new();
    while sound.len() < seconds * HZ {
        let syllables = random.random_range(3..12);
        for _ in 0..syllables {
            let length = random.random_range(HZ / 12..HZ / 4);
            let is_hiss = random.random_range(0..5) == 0;
            let pitch = base * random.random_range(0.8..1.3);
            let formants = [random.random_range(300.0..900.0), random.random_range(900.0..2_800.0)];
            let loudness = 10f32.powf(random.random_range(-12.0..3.0) / 20.0);
            let mut before = 0.0;
            for n in 0..length {
                let swell = (std::f32::consts::PI * n as f32 / length as f32).sin();
                let sample = if is_hiss {
                    let noise = random.random_range(-1.0..1.0f32);
                    noise - std::mem::replace(&mut before, noise)
                } else {
                    (1..=(3_400.0 / pitch) as usize)
                        .map(|harmonic| {
                            let hz = pitch * harmonic as f32;
                            let near = |formant: f32| (-((hz - formant) / 150.0).powi(2)).exp();
                            let weight = near(formants[0]) + 0.4 * near(formants[1]) + 0.01;
                            weight * (std::f32::consts::TAU * hz * n as f32 / HZ as f32).sin()
                        })
                        .sum()
                };
                sound.push(sample * swell * loudness);
            }
            sound.resize(sound.len() + random.random_range(0..HZ / 20), 0.0);
        }
        sound.resize(sound.len() + random.random_range(HZ / 5..HZ), 0.0);
    }
    sound.truncate(seconds * HZ);
    let loud: Vec<f32> = sound.chunks(SAMPLES).map(mean_power).filter(|power| *power > 1e-3).collect();
    let rms = (loud.iter().sum::<f32>() / loud.len() as f32).sqrt();
    sound.into_iter().map(|sample| sample * 3_277.0 / rms).collect()
}

/// Returns what comes back of a sound from a room: later by `delay_ms`, quieter by `-gain_db`, with a reverberation of `decay_ms`.
fn echo(sound: &[f32], delay_ms: usize, gain_db: f32, decay_ms: usize) -> Sound {
    let random = &mut SmallRng::seed_from_u64(delay_ms as u64);
    let length = decay_ms * HZ / 1_000;
    let mut response: Sound = (0..length)
        .map(|n| 0.4 * random.random_range(-1.0..1.0f32) * (-6.9 * n as f32 / length as f32).exp())
        .collect();
    response[0] = 1.0;
    let gain = 10f32.powf(gain_db / 20.0) / response.iter().map(|tap| tap * tap).sum::<f32>().sqrt();
    // A small loudspeaker has no low tones, and distorts the loud ones.
    let (mut before, mut low) = (0.0, 0.0);
    let played = sound.iter().map(|sample| {
        low = 0.9 * (low + sample - before);
        before = *sample;
        (low / 8_000.0).tanh() * 8_000.0
    });
    let mut echo = vec![0.0; sound.len() + length + delay_ms * HZ / 1_000];
    for (n, sample) in played.enumerate().filter(|(_, sample)| sample.abs() > 1.0) {
        let begin = n + delay_ms * HZ / 1_000;
        echo[begin..begin + length].iter_mut().zip(&response).for_each(|(sum, tap)| *sum += sample * tap * gain);
    }
    echo.truncate(sound.len());
    echo
}

/// Returns a sound that is silent but for `on` of every `every` seconds.
fn at_times(mut sound: Sound, on: usize, every: usize) -> Sound {
    for (n, sample) in sound.iter_mut().enumerate() {
        if (n / HZ) % every >= on {
            *sample = 0.0;
        }
    }
    sound
}

fn mean_power(samples: &[f32]) -> f32 {
    samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32
}

/// Shares of frames, in percent.
#[derive(Debug)]
struct Outcome {
    /// Frames with nothing but echo that were let through.
    echo_let_through: f32,
    /// Frames in which the party talks louder than the echo that were taken for the echo.
    own_taken: f32,
}

/// Runs a gate over what is played and what comes back, and judges its frames from `from` on.
fn run(gate: &mut EchoGate, played: &[f32], echo: &[f32], own: &[f32], from: usize) -> Outcome {
    let random = &mut SmallRng::seed_from_u64(3);
    let audible = (32_768.0 * 10f32.powf(-46.0 / 20.0)).powi(2);
    let (mut echoes, mut let_through, mut talks, mut taken) = (0, 0, 0, 0);
    let began = test_epoch();
    for (n, played) in played.chunks_exact(SAMPLES).enumerate() {
        let at = began + FRAME * n as u32;
        let played: Vec<i16> = played.iter().map(|sample| *sample as i16).collect();
        gate.played(at, NARROW, &played);
        let range = n * SAMPLES..(n + 1) * SAMPLES;
        let captured: Vec<i16> = range
            .clone()
            .map(|n| ulaw_decode(ulaw_encode((echo[n] + own[n] + random.random_range(-40.0..40.0)) as i16)))
            .collect();
        let is_echo = gate.is_echo(at + Duration::from_millis(7), NARROW, &captured);
        let (echo, own) = (mean_power(&echo[range.clone()]), mean_power(&own[range]));
        if n >= from && own > audible && own > echo {
            talks += 1;
            taken += u32::from(is_echo);
        } else if n >= from && echo > audible && own < echo / 100.0 {
            echoes += 1;
            let_through += u32::from(!is_echo);
        }
    }
    let share = |part: u32, all: u32| 100.0 * part as f32 / all.max(1) as f32;
    Outcome { echo_let_through: share(let_through, echoes), own_taken: share(taken, talks) }
}

#[test]
fn the_echo_of_a_loudspeaker_is_gated_and_the_party_that_talks_over_it_is_heard() {
    let (played, own) = (voice(1, 24), at_times(voice(2, 24), 3, 8));
    let silence = vec![0.0; played.len()];
    for decay_ms in [80, 250] {
        for delay_ms in [40, 100, 200, 300] {
            for gain_db in [-6.0, -12.0, -20.0, -30.0] {
                let case = format!("{delay_ms} ms, {gain_db} dB, {decay_ms} ms of reverberation");
                let echo = echo(&played, delay_ms, gain_db, decay_ms);
                let mut gate = EchoGate::new();
                let alone = run(&mut gate, &played, &echo, &silence, FOUND);
                let path = gate.path().unwrap_or_else(|| panic!("{case}: no echo was found"));
                assert!(alone.echo_let_through <= 3.0, "{case}: {alone:?}");
                let off = path.delay.abs_diff(Duration::from_millis(delay_ms as u64));
                assert!(off <= Duration::from_millis(60), "{case}: {path:?}");
                let over = run(&mut EchoGate::new(), &played, &echo, &own, FOUND);
                // An echo that is nearly as loud as the party hides its softer frames.
                let most = if gain_db > -10.0 { 20.0 } else { 10.0 };
                assert!(over.own_taken <= most, "{case}: {over:?}");
            }
        }
    }
}

#[test]
fn without_an_echo_nothing_is_gated() {
    let played = voice(1, 40);
    let silence = vec![0.0; played.len()];
    for seed in 10..16 {
        for own in [voice(seed, 40), at_times(voice(seed, 40), 1, 2), at_times(voice(seed, 40), 4, 7)] {
            let mut gate = EchoGate::new();
            let outcome = run(&mut gate, &played, &silence, &own, 0);
            assert_eq!((outcome.own_taken, gate.path()), (0.0, None), "voice {seed}");
        }
    }
}

#[test]
fn a_path_that_changes_is_found_again_and_one_that_ends_takes_nothing() {
    let (played, own) = (voice(1, 24), at_times(voice(2, 24), 2, 5));
    let silence = vec![0.0; played.len()];
    let (near, far) = (echo(&played, 60, -12.0, 150), echo(&played, 260, -9.0, 150));
    let mut gate = EchoGate::new();
    run(&mut gate, &played, &near, &silence, 0);
    let after = run(&mut gate, &played, &far, &own, 250);
    assert!(after.own_taken <= 10.0 && gate.path().is_some(), "{after:?}");
    let alone = run(&mut gate, &played, &far, &silence, 0);
    assert!(alone.echo_let_through <= 3.0, "{alone:?}");
    // The party takes up the handset.
    let handset = run(&mut gate, &played, &silence, &own, 250);
    assert!(handset.own_taken <= 3.0, "{handset:?}");
}

#[test]
fn sounds_of_other_rates_are_compared_too() {
    let played = voice(1, 12);
    let echo = echo(&played, 120, -12.0, 150);
    let mut gate = EchoGate::new();
    let up = |rate| Resampler::new(NARROW, rate);
    let (mut to_listener, mut to_microphone) = (up(SampleRate::HZ_48000), up(SampleRate::HZ_16000));
    let whole = |samples: &[f32]| samples.iter().map(|sample| *sample as i16).collect::<Vec<_>>();
    let mut gated = 0;
    for (n, (played, echo)) in played.chunks_exact(SAMPLES).zip(echo.chunks_exact(SAMPLES)).enumerate() {
        let at = test_epoch() + FRAME * n as u32;
        gate.played(at, SampleRate::HZ_48000, &to_listener.converted(&whole(played)));
        gated += u32::from(gate.is_echo(at, SampleRate::HZ_16000, &to_microphone.converted(&whole(echo))));
    }
    assert!(gated > 300, "{gated} of 600 frames");
}

#[test]
fn frames_that_are_missing_do_not_move_the_path() {
    let played = voice(1, 16);
    let echo = echo(&played, 120, -12.0, 150);
    let mut gate = EchoGate::new();
    let (mut passed, mut judged) = (0, 0);
    let whole = |samples: &[f32]| samples.iter().map(|sample| *sample as i16).collect::<Vec<_>>();
    for (n, (played, echo)) in played.chunks_exact(SAMPLES).zip(echo.chunks_exact(SAMPLES)).enumerate() {
        let at = test_epoch() + FRAME * n as u32;
        gate.played(at, NARROW, &whole(played));
        // The tap loses 200 ms in each second.
        if n % 50 < 10 {
            continue;
        }
        let is_echo = gate.is_echo(at, NARROW, &whole(echo));
        if n > 200 && mean_power(echo) > 1e5 {
            judged += 1;
            passed += u32::from(!is_echo);
        }
    }
    assert!(judged > 150 && passed * 10 < judged, "{passed} of {judged} frames of echo passed");
}
