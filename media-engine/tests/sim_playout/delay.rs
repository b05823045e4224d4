//! Delay: the cost of jitter, and the reaction to bursts and to their end.

use super::leg::{Leg, silence, voice};
use super::network::Jitter;
use std::time::Duration;

const SEEDS: u64 = 12;

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Mean delay of the buffer over `seconds`, in milliseconds.
fn mean_delay(leg: &mut Leg, seconds: u64) -> f64 {
    let mut delays = Vec::new();
    for _ in 0..seconds * 5 {
        leg.run(Duration::from_millis(200), |_| {});
        delays.push(leg.delay_ms());
    }
    mean(&delays)
}

#[test]
fn an_orderly_network_adds_less_than_one_frame_plus_the_phase() {
    for seed in 0..SEEDS {
        for signal in [silence, voice] {
            let mut leg = Leg::new(seed);
            leg.signal = signal;
            leg.run(Duration::from_secs(10), |_| {});
            let counters = leg.playout.counters();
            // 3 ms of margin, then the next tick.
            assert!(leg.delay_ms() <= 23.1, "seed {seed}: {} ms", leg.delay_ms());
            assert_eq!((counters.late, counters.concealed_frames, counters.drift_corrections), (0, 0, 0), "{seed}");
        }
    }
}

#[test]
fn ticks_up_to_2_ms_late_cause_no_concealment() {
    for seed in 0..SEEDS {
        let mut leg = Leg::new(seed);
        leg.signal = voice;
        leg.tick_noise_us = 2_000;
        leg.network.jitter = Jitter::Uniform(2.0);
        leg.run(Duration::from_secs(1), |_| {});
        let before = leg.playout.counters();
        leg.run(Duration::from_secs(120), |_| {});
        let counters = leg.playout.counters();
        assert_eq!((counters.late, counters.concealed_frames), (before.late, before.concealed_frames), "{seed}");
        assert!(leg.delay_ms() <= 30.0, "seed {seed}: {} ms", leg.delay_ms());
        assert!(counters.drift_corrections <= 20, "seed {seed}: {}", counters.drift_corrections);
    }
}

/// Measured with the audio itself: clicks leave and arrive.
#[test]
fn the_reported_delay_is_the_delay_of_the_sound() {
    for (seed, jitter) in [(1, Jitter::None), (2, Jitter::Uniform(50.0)), (3, Jitter::HalfNormal(30.0))] {
        let mut leg = Leg::new(seed);
        leg.signal = |n| if n % 8_000 == 4_000 { 20_000 } else { 0 };
        leg.network.jitter = jitter;
        let mut off = Vec::new();
        for _ in 0..1_000 {
            let told = leg.delay_ms();
            let mut heard_us = None;
            leg.run(Duration::from_millis(20), |heard| {
                if let Some(at) = heard.samples.iter().position(|&sample| sample > 15_000) {
                    heard_us = Some(heard.at_us + at as i64 * 125);
                }
            });
            if let Some(us) = heard_us {
                let true_ms = ((us - leg.network.base_us - 500_000) % 1_000_000) as f64 / 1_000.0;
                off.push((true_ms - told).abs());
            }
        }
        assert!(off.len() >= 17, "seed {seed}: {} clicks of 20", off.len());
        let close = off.iter().filter(|&&off| off <= 3.0).count();
        assert!(close * 10 >= off.len() * 9, "seed {seed}: {off:?}");
    }
}

/// Mean added delay in comparison with the same leg without jitter, in milliseconds, and the percentage of late packets.
fn under(jitter: Jitter, signal: fn(u64) -> i16) -> (f64, f64) {
    let (mut added, mut late) = (Vec::new(), Vec::new());
    for seed in 0..SEEDS {
        let mut orderly = Leg::new(seed);
        orderly.signal = signal;
        orderly.run(Duration::from_secs(5), |_| {});
        let mut leg = Leg::new(seed);
        leg.signal = signal;
        leg.network.jitter = jitter;
        leg.run(Duration::from_secs(10), |_| {});
        let before = leg.playout.counters();
        let delay = mean_delay(&mut leg, 120);
        let after = leg.playout.counters();
        let (packets, were_late) = (after.packets - before.packets, after.late - before.late);
        let concealed = after.concealed_frames - before.concealed_frames;
        assert!(concealed <= were_late, "seed {seed}: {concealed} concealed, {were_late} late");
        added.push(delay - orderly.delay_ms());
        late.push(were_late as f64 / packets as f64 * 100.0);
    }
    println!("{jitter:?}: +{:.1} ms, {:.2} % late", mean(&added), mean(&late));
    (mean(&added), mean(&late))
}

#[test]
fn even_jitter_of_50_ms_adds_at_most_65_ms_and_loses_at_most_1_percent() {
    for signal in [silence, voice] {
        let (added, late) = under(Jitter::Uniform(50.0), signal);
        assert!(added <= 65.0 && late <= 1.0, "+{added} ms, {late} %");
    }
}

#[test]
fn normal_jitter_of_15_ms_adds_at_most_60_ms_and_loses_at_most_1_percent() {
    for signal in [silence, voice] {
        let (added, late) = under(Jitter::HalfNormal(15.0), signal);
        assert!(added <= 60.0 && late <= 1.0, "+{added} ms, {late} %");
    }
}

#[test]
fn normal_jitter_of_50_ms_adds_at_most_150_ms_and_loses_at_most_3_percent() {
    for signal in [silence, voice] {
        let (added, late) = under(Jitter::HalfNormal(50.0), signal);
        assert!(added <= 150.0 && late <= 3.0, "+{added} ms, {late} %");
    }
}

/// Normal jitter on both sides of the mean, as emulators produce it: measured by the audio, against the mean delay of the network.
#[test]
fn two_sided_normal_jitter_of_50_ms_adds_at_most_150_ms_to_its_mean() {
    let (mut added, mut late, mut packets) = (Vec::new(), 0, 0);
    for seed in 0..SEEDS {
        let mut leg = Leg::new(seed);
        leg.signal = |n| if n % 8_000 == 4_000 { 20_000 } else { 0 };
        leg.network.jitter = Jitter::Normal(50.0);
        leg.run(Duration::from_secs(10), |_| {});
        let mean_us = leg.network.base_us + 150_000;
        leg.run(Duration::from_secs(120), |heard| {
            if let Some(at) = heard.samples.iter().position(|&sample| sample > 15_000) {
                let behind_us = (heard.at_us + at as i64 * 125 - mean_us - 500_000).rem_euclid(1_000_000);
                added.push(behind_us as f64 / 1_000.0);
            }
        });
        late += leg.playout.counters().late;
        packets += leg.playout.counters().packets;
    }
    let late = late as f64 / packets as f64 * 100.0;
    println!("two-sided: +{:.1} ms, {late:.2} % late", mean(&added));
    assert!(mean(&added) <= 150.0 && late <= 3.0, "+{} ms, {late} %", mean(&added));
}

#[test]
fn delay_is_back_to_normal_within_10_s_after_jitter_ends() {
    for signal in [silence, voice] {
        for seed in 0..SEEDS {
            for jitter in [Jitter::Uniform(60.0), Jitter::HalfNormal(50.0)] {
                let mut leg = Leg::new(seed);
                leg.signal = signal;
                let orderly = mean_delay(&mut leg, 5);
                leg.network.jitter = jitter;
                leg.run(Duration::from_secs(30), |_| {});
                leg.network.jitter = Jitter::None;
                leg.run(Duration::from_secs(10), |_| {});
                let now = leg.delay_ms();
                assert!((now - orderly).abs() <= 5.0, "seed {seed} {jitter:?}: {orderly} then {now} ms");
            }
        }
    }
}
