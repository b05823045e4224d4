//! The jitter buffer allocates its memory once, and little of it.

mod counting;
#[path = "sim/network.rs"]
#[allow(dead_code)]
mod network;

use std::time::{Duration, Instant};

use codecs::SampleRate;
use codecs::g711::UlawCodec;
use media_engine::jitter::{Playout, PlayoutConfig};
use media_engine::units::ClockRate;
use network::Rng;

fn g711() -> Playout {
    let config = PlayoutConfig {
        clock: ClockRate::HZ_8000,
        sample_rate: SampleRate::HZ_8000,
        frame: Duration::from_millis(20),
        max_payload: 960,
        room: 10_240,
    };
    Playout::new(config, Box::new(UlawCodec::new()))
}

#[test]
#[allow(clippy::disallowed_methods)]
fn insert_and_pull_never_allocate_for_any_input() {
    let start = Instant::now();
    let mut rng = Rng(1);
    let mut playout = g711();
    let (payload, mut out) = ([0x55; 960], [0; 160]);
    let before = counting::calls();
    for n in 0..50_000u32 {
        let at = start + Duration::from_millis(u64::from(n) * 20) + Duration::from_micros(rng.below(60_000));
        // Loss, pauses, jumps, other streams and odd lengths exercise every branch.
        let ssrc = 1 + n / 10_000;
        let timestamp = if n % 5_000 == 0 { n * 1_000 } else { n * 160 };
        let length = if rng.chance(0.01) { rng.below(960) as usize } else { 160 };
        if !rng.chance(0.05) && n % 1_000 > 40 {
            playout.insert(n as u16, timestamp, ssrc, false, &payload[..length], at);
        }
        playout.pull(start + Duration::from_millis(u64::from(n) * 20), &mut out);
    }
    let counters = playout.counters();
    assert_eq!(counting::calls(), before);
    assert!(
        counters.concealed_frames > 1_000 && counters.resyncs > 3 && counters.drift_corrections > 3,
        "{counters:?}"
    );
}

#[test]
fn a_leg_of_g711_takes_less_than_100_kilobytes() {
    let before = counting::bytes();
    let playout = g711();
    let bytes = counting::bytes() - before + size_of_val(&playout);
    println!("{bytes} bytes");
    assert!(bytes <= 100_000, "{bytes}");
}
