//! Records two legs with different clocks through their jitter buffers into one file, under virtual time.

#[path = "sim/leg.rs"]
#[allow(dead_code)]
mod leg;
#[path = "sim/network.rs"]
#[allow(dead_code)]
mod network;

use std::time::Duration;

use codecs::SampleRate;
use leg::Leg;
use media_engine::record::{Timeline, Track};
use media_engine::units::LegId;
use network::Jitter;

const HOUR_MS: u64 = 3_600_000;
const ROUND: Duration = Duration::from_millis(500);

/// A click every minute at the same moment of true time, whatever the talker's clock says, on top of the level `under`.
fn clicks(n: u64, skew_ppm: i64, under: i16) -> i16 {
    // With a fast clock, media time runs ahead of true time.
    let true_n = n as i64 - n as i64 * skew_ppm / 1_000_000;
    let into = true_n % (60 * 8_000);
    // In second 30 of each minute, one sample and its neighbour.
    if (240_000..240_002).contains(&into) { 24_000 } else { under }
}

fn fast(n: u64) -> i16 {
    clicks(n, 100, 0)
}

fn slow(n: u64) -> i16 {
    clicks(n, -100, 0)
}

fn fast_voiced(n: u64) -> i16 {
    clicks(n, 100, leg::voice(n) / 4)
}

fn slow_voiced(n: u64) -> i16 {
    clicks(n, -100, leg::voice(n) / 4)
}

/// Records an hour and returns the positions of the clicks on each channel, in samples.
fn recorded(mut legs: [Leg; 2]) -> [Vec<i64>; 2] {
    // Both legs share one epoch.
    legs[1].epoch = legs[0].epoch;
    let start = legs[0].epoch;
    let mut timeline = Timeline::new(SampleRate::HZ_8000, start);
    let channels = [LegId(1), LegId(2)].map(Track::said);
    channels.into_iter().for_each(|track| timeline.add(track));
    let (mut found, mut out, mut position) = ([Vec::new(), Vec::new()], Vec::new(), 0i64);
    for round in 1..=HOUR_MS / 500 {
        for (channel, leg) in legs.iter_mut().enumerate() {
            leg.run(ROUND, |heard| {
                if let Some(captured_at) = heard.pulled.captured_at {
                    timeline.place(channels[channel], captured_at, heard.samples);
                }
            });
        }
        out.clear();
        timeline.drain(start + ROUND * round as u32 - ROUND, &channels.map(Some), &mut out);
        for pair in out.chunks_exact(2) {
            for (found, &sample) in found.iter_mut().zip(pair) {
                if sample > 15_000 && found.last().is_none_or(|&last| position - last > 8_000) {
                    found.push(position);
                }
            }
            position += 1;
        }
    }
    assert_eq!(position, (HOUR_MS as i64 - 500) * 8);
    found
}

fn compare(found: &[Vec<i64>; 2], at_least: usize, what: &str) {
    let (mut pairs, mut worst) = (0, 0.0f64);
    for &left in &found[0] {
        let Some(&right) = found[1].iter().find(|&&right| right.abs_diff(left) < 80_000) else { continue };
        let apart_ms = (left - right) as f64 / 8.0;
        assert!(apart_ms.abs() <= 5.0, "{what}: at {} s: {apart_ms} ms apart", left / 8_000);
        worst = worst.max(apart_ms.abs());
        pairs += 1;
    }
    println!("{what}: {pairs} clicks, at most {worst} ms apart");
    assert!(pairs >= at_least, "{what}: only {pairs} clicks on both channels");
}

fn leg(seed: u64, skew_ppm: i64, jitter: Jitter, signal: leg::Signal) -> Leg {
    let mut leg = Leg::new(seed);
    leg.skew_ppm = skew_ppm;
    leg.network.jitter = jitter;
    leg.signal = signal;
    leg
}

#[test]
fn clicks_of_both_legs_lie_within_5_ms_for_an_hour_of_opposite_skew() {
    for (seed, one, other) in [(1, fast as leg::Signal, slow as leg::Signal), (3, fast_voiced, slow_voiced)] {
        let legs = [leg(seed, 100, Jitter::Uniform(60.0), one), leg(seed + 1, -100, Jitter::Uniform(10.0), other)];
        compare(&recorded(legs), 57, &format!("seed {seed}"));
    }
}

#[test]
fn loss_and_reordering_do_not_move_the_channels_apart() {
    let mut legs = [leg(5, 100, Jitter::HalfNormal(15.0), fast), leg(6, -100, Jitter::Uniform(60.0), slow)];
    for leg in &mut legs {
        leg.network.loss = 0.05;
        leg.network.reordering = 0.02;
    }
    compare(&recorded(legs), 48, "with loss");
}
