//! Soak test: an hour of talkspurts.

use super::leg::{Leg, voice};
use super::network::Jitter;
use std::time::Duration;

/// Runs an hour of a thousand talkspurts, each with another packet length, from a skewed clock.
fn talkspurts(seed: u64, skew_ppm: i64) {
    let mut leg = Leg::new(seed);
    leg.signal = voice;
    leg.skew_ppm = skew_ppm;
    leg.network.jitter = Jitter::Uniform(20.0);
    leg.network.loss = 0.01;
    let (mut early, mut late, mut longest) = (Vec::new(), Vec::new(), 0.0_f64);
    for spurt in 0..1_000 {
        leg.packet_ms = [10, 20, 30, 40, 50, 60][leg.network.rng.below(6) as usize];
        let talk_ms = 600 + leg.network.rng.below(4_000);
        leg.run(Duration::from_millis(talk_ms), |_| {});
        longest = longest.max(leg.delay_ms());
        // Jitter, two frames for packets that are no multiple of a frame, margin, and a concealed packet.
        assert!(leg.delay_ms() <= 120.0, "seed {seed}, talkspurt {spurt}: {} ms", leg.delay_ms());
        if spurt < 100 {
            early.push(leg.delay_ms());
        } else if spurt >= 900 {
            late.push(leg.delay_ms());
        }
        leg.paused = true;
        let pause_ms = 200 + leg.network.rng.below(1_600);
        leg.run(Duration::from_millis(pause_ms), |_| {});
        leg.paused = false;
    }
    let mean = |delays: &[f64]| delays.iter().sum::<f64>() / delays.len() as f64;
    let counters = leg.playout.counters();
    println!(
        "seed {seed}, {skew_ppm} ppm, {} s: first {:.1} ms, last {:.1} ms, longest {longest:.1} ms, {counters:?}",
        leg.now_us() / 1_000_000,
        mean(&early),
        mean(&late)
    );
    assert!(leg.now_us() >= 3_400_000_000, "seed {seed}: an hour");
    assert!((mean(&early) - mean(&late)).abs() <= 5.0, "seed {seed}: drift");
    assert!(counters.late * 50 <= counters.packets, "seed {seed}: {counters:?}");
    assert_eq!((counters.resyncs, counters.overflow, counters.malformed), (0, 0, 0), "seed {seed}");
}

#[test]
fn an_hour_of_talkspurts_of_any_packet_length_accumulates_no_delay() {
    talkspurts(11, 200);
    talkspurts(12, -200);
}
