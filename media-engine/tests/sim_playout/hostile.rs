//! Hostile streams that no correct sender produces.

use super::leg::{epoch, g711_playout, playout};
use super::network::Rng;
use codecs::SampleRate;
use codecs::opus::OpusDecoder;
use media_engine::jitter::Playout;
use media_engine::units::ClockRate;
use std::time::Duration;

/// Inserts and pulls at random, even in invalid ways; small steps are likelier than large ones.
fn torment(playout: &mut Playout, rng: &mut Rng) {
    let start = epoch();
    let (mut sequence, mut timestamp, mut ssrc) = (rng.next() as u16, rng.next() as u32, 1);
    let mut now_us: i64 = 0;
    let mut out = [0; 2_000];
    let payload: Vec<u8> = (0..1_600).map(|_| rng.next() as u8).collect();
    for _ in 0..40 + rng.below(200) {
        match rng.below(40) {
            0 => sequence = rng.next() as u16,
            1 => timestamp = rng.next() as u32,
            2 => ssrc = rng.below(3) as u32,
            3 => now_us += rng.below(10_000_000) as i64,
            4 => sequence = sequence.wrapping_add(rng.below(100) as u16),
            5 => timestamp = timestamp.wrapping_add(rng.below(20_000) as u32),
            6 => timestamp = timestamp.wrapping_sub(rng.below(2_000) as u32),
            _ => {}
        }
        now_us += rng.below(30_000) as i64;
        let at_us = if rng.chance(0.02) { now_us - rng.below(100_000_000) as i64 } else { now_us };
        let at = start.checked_add_signed_us(at_us);
        if rng.chance(0.6) {
            let length = match rng.below(10) {
                0 => rng.below(1_600),
                1 => 0,
                2 => 480,
                _ => 160,
            };
            let (number, stamp) = (sequence.wrapping_sub(rng.below(3) as u16), timestamp);
            playout.insert(number, stamp, ssrc, rng.chance(0.1), &payload[..length as usize], at);
            sequence = sequence.wrapping_add(1);
            timestamp = timestamp.wrapping_add(length as u32);
        }
        if rng.chance(0.05) {
            playout.insert_noise(sequence, timestamp, ssrc, &payload[..rng.below(20) as usize], at);
            sequence = sequence.wrapping_add(1);
        }
        if rng.chance(0.05) {
            playout.skip(sequence.wrapping_sub(rng.below(3) as u16), ssrc);
        }
        if rng.chance(0.05) {
            playout.plays_at(timestamp, at);
            let next = playout.decode_ahead();
            assert!(next.is_none() || playout.ahead().len() <= 8 * 240 && playout.played_to().is_some());
            assert!(playout.waiting().all(|(_, payload)| payload.len() <= 1_275));
        }
        if rng.chance(0.6) {
            let length = if rng.chance(0.05) { rng.below(2_000) } else { 160 };
            playout.pull(at, &mut out[..length as usize]);
        }
    }
    playout.counters();
}

trait SignedAdd {
    fn checked_add_signed_us(self, us: i64) -> Self;
}

impl SignedAdd for std::time::Instant {
    fn checked_add_signed_us(self, us: i64) -> Self {
        let span = Duration::from_micros(us.unsigned_abs());
        if us >= 0 { self + span } else { self - span }
    }
}

#[test]
fn ten_thousand_seeded_hostile_streams_do_not_panic() {
    for seed in 0..10_000 {
        let outcome = std::panic::catch_unwind(|| {
            let mut rng = Rng(seed);
            let mut playout = match seed % 4 {
                0 => {
                    let decoder = Box::new(OpusDecoder::new(SampleRate::HZ_8000).unwrap());
                    playout(ClockRate::HZ_48000, SampleRate::HZ_8000, 1_275, decoder)
                }
                _ => g711_playout(),
            };
            torment(&mut playout, &mut rng);
        });
        assert!(outcome.is_ok(), "seed {seed}");
    }
}
