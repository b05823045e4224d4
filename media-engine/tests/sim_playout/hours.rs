//! Hours of audio with drifting clocks.

use super::leg::{Leg, silence, voice};
use super::network::Jitter;
use std::time::Duration;

fn bad_hour(seed: u64, skew_ppm: i64, signal: fn(u64) -> i16) {
    let mut leg = Leg::new(seed);
    leg.signal = signal;
    leg.skew_ppm = skew_ppm;
    leg.network.jitter = Jitter::Uniform(60.0);
    leg.network.loss = 0.05;
    leg.network.reordering = 0.02;
    leg.network.duplication = 0.01;
    let mut longest: f64 = 0.0;
    for minute in 0..60 {
        leg.run(Duration::from_secs(60), |_| {});
        longest = longest.max(leg.delay_ms());
        assert!(leg.delay_ms() <= 105.0, "seed {seed}, minute {minute}: {} ms", leg.delay_ms());
    }
    let counters = leg.playout.counters();
    println!("seed {seed} {skew_ppm} ppm: longest {longest:.1} ms, lost {}, {counters:?}", leg.network.lost);
    let allowed = leg.network.lost + counters.late + 25;
    assert!(counters.concealed_frames <= allowed, "seed {seed}: {} > {allowed}", counters.concealed_frames);
    assert!(counters.late * 200 <= counters.packets, "seed {seed}: {} late", counters.late);
    assert_eq!((counters.resyncs, counters.overflow, counters.malformed), (0, 0, 0), "seed {seed}");
}

#[test]
fn a_bad_hour_with_a_fast_sender_clock_accumulates_no_delay() {
    bad_hour(1, 100, silence);
    bad_hour(2, 100, voice);
}

#[test]
fn a_bad_hour_with_a_slow_sender_clock_accumulates_no_delay() {
    bad_hour(3, -100, silence);
    bad_hour(4, -100, voice);
}

#[test]
fn an_orderly_hour_of_clock_skew_needs_no_concealment() {
    for (seed, skew_ppm) in [(5, 100), (6, -100)] {
        let mut leg = Leg::new(seed);
        leg.signal = voice;
        leg.skew_ppm = skew_ppm;
        let mut longest: f64 = 0.0;
        for _ in 0..3_600 {
            leg.run(Duration::from_secs(1), |_| {});
            longest = longest.max(leg.delay_ms());
        }
        let counters = leg.playout.counters();
        println!("{skew_ppm} ppm: longest {longest:.1} ms, {counters:?}");
        assert_eq!((counters.concealed_frames, counters.late), (0, 0), "seed {seed}");
        // One hop is 20 ms; 360 ms of skew in total, in splices of 8 ms.
        assert!(counters.drift_corrections <= 120, "seed {seed}: {}", counters.drift_corrections);
        assert!(longest <= 45.0, "seed {seed}: {longest} ms");
    }
}
