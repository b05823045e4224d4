//! Senders: loss, pauses, noise, odd packet lengths, new streams.
//!
//! Each test runs a talker with one peculiarity through a seeded network into the playout buffer and examines every frame: its
//! kind, its samples, its capture time, and the buffer's counters. Bounds follow from the margin of 3 ms, the tick of 20 ms and
//! the packet length.
//!
//! Sources: RFC 3389 (comfort noise), RFC 4733 (keys), RFC 6716 (Opus in-band redundancy). Not here: delay under jitter (`delay`),
//! streams that no correct sender produces (`hostile`).

use super::leg::{Heard, Leg, epoch, playout, silence, voice};
use super::network::{Jitter, Rng};
use codecs::opus::{OpusDecoder, OpusEncoder, OpusSettings, has_fec};
use codecs::tones::level_dbfs;
use codecs::{Encoder, SampleRate};
use media_engine::jitter::{Inserted, PulledKind};
use media_engine::units::ClockRate;
use std::time::Duration;

fn constant(_: u64) -> i16 {
    1_000
}

fn is_constant(samples: &[i16]) -> bool {
    samples.iter().all(|&sample| (950..=1_050).contains(&sample))
}

#[test]
fn packets_of_any_length_come_out_in_frames_of_20_ms() {
    for packet_ms in [10, 20, 30, 40, 50, 60] {
        for seed in 0..8 {
            let mut leg = Leg::new(seed);
            leg.packet_ms = packet_ms;
            leg.signal = voice;
            leg.run(Duration::from_secs(20), |_| {});
            let counters = leg.playout.counters();
            // The packet length is unknown before the first packet: frames that need two packets may miss the second one once.
            let learned = u64::from(packet_ms % 20 != 0);
            assert!(counters.late <= learned, "{packet_ms} ms, seed {seed}");
            assert_eq!(counters.concealed_frames, 0, "{packet_ms} ms, seed {seed}");
            // A sample waits at most for one packet, the margin and the tick.
            assert!(leg.delay_ms() <= 43.1, "{packet_ms} ms, seed {seed}: {} ms", leg.delay_ms());
            leg.network.jitter = Jitter::Uniform(30.0);
            leg.network.loss = 0.05;
            let (lost, late) = (leg.network.lost, counters.late);
            leg.run(Duration::from_secs(60), |_| {});
            let counters = leg.playout.counters();
            let missing = leg.network.lost - lost + counters.late - late;
            let allowed = missing * packet_ms / 20 + 2;
            assert!(counters.concealed_frames <= allowed, "{packet_ms} ms, seed {seed}: {counters:?}");
            assert!(counters.late * 50 <= counters.packets, "{packet_ms} ms, seed {seed}: {counters:?}");
        }
    }
}

#[test]
fn packets_of_changing_length_leave_no_extra_delay() {
    for seed in 0..12 {
        let mut leg = Leg::new(seed);
        leg.signal = voice;
        leg.run(Duration::from_secs(5), |_| {});
        for packet_ms in [60, 10, 30, 50, 20, 40, 10, 60, 20] {
            leg.packet_ms = packet_ms;
            leg.run(Duration::from_secs(4), |_| {});
            assert!(leg.delay_ms() <= 44.0, "seed {seed}, {packet_ms} ms: {} ms", leg.delay_ms());
        }
        leg.run(Duration::from_secs(10), |_| {});
        // Packets of 20 ms now begin at another point between ticks: margin and phase, as at the start.
        assert!(leg.delay_ms() <= 23.1, "seed {seed}: {} ms", leg.delay_ms());
        let counters = leg.playout.counters();
        // A longer packet than before may be missed once: its length is unknown before it arrives.
        assert!(counters.late <= 9 && counters.resyncs == 0, "seed {seed}: {counters:?}");
    }
}

#[test]
fn pauses_without_packets_are_not_counted_as_loss_with_or_without_marker() {
    for markers in [false, true] {
        for seed in 0..8 {
            let mut leg = Leg::new(seed);
            leg.signal = constant;
            leg.markers = markers;
            leg.network.jitter = Jitter::Uniform(10.0);
            leg.run(Duration::from_secs(3), |_| {});
            let before = leg.playout.counters();
            for pause_ms in [40, 60, 100, 140, 500, 3_000, 30_000, 90_000] {
                leg.paused = true;
                leg.run(Duration::from_millis(pause_ms), |_| {});
                leg.paused = false;
                leg.run(Duration::from_secs(2), |_| {});
                let mut steady = 0;
                leg.run(Duration::from_secs(1), |heard| steady += u32::from(is_constant(heard.samples)));
                assert_eq!(steady, 50, "seed {seed}, pause {pause_ms} ms");
            }
            let counters = leg.playout.counters();
            let lost = (counters.concealed_frames, counters.late, counters.resyncs);
            assert_eq!(lost, (before.concealed_frames, before.late, 0), "seed {seed}, markers {markers}: {counters:?}");
            assert!(leg.delay_ms() <= 40.0, "seed {seed}: {} ms", leg.delay_ms());
        }
    }
}

#[test]
fn a_moving_playout_point_never_clicks() {
    for seed in 0..12 {
        let mut leg = Leg::new(seed);
        leg.signal = voice;
        leg.skew_ppm = 100;
        leg.run(Duration::from_secs(1), |_| {});
        let allowed = (0..800).map(|n| voice(n + 1).abs_diff(voice(n))).max().unwrap() * 5 / 4;
        let mut last = None;
        for round in 0..20 {
            leg.network.jitter = if round % 2 == 0 { Jitter::Uniform(60.0) } else { Jitter::None };
            // Late packets are concealed at first, which this test ignores.
            leg.run(Duration::from_secs(10), |heard| {
                for &sample in heard.samples {
                    if let (Some(before), PulledKind::Voice) = (last, heard.pulled.kind) {
                        assert!(sample.abs_diff(before) <= allowed, "seed {seed}: {before} then {sample}");
                    }
                    last = Some(sample);
                }
                if heard.pulled.kind != PulledKind::Voice {
                    last = None;
                }
            });
        }
        assert!(leg.playout.counters().drift_corrections > 50, "seed {seed}: {:?}", leg.playout.counters());
    }
}

#[test]
fn a_stall_of_300_ms_loses_nothing_and_leaves_no_delay() {
    for seed in 0..12 {
        for signal in [silence, voice] {
            let mut leg = Leg::new(seed);
            leg.signal = signal;
            leg.run(Duration::from_secs(10), |_| {});
            let orderly = leg.delay_ms();
            leg.network.stalled_until_us = leg.now_us() + 300_000;
            leg.run(Duration::from_millis(400), |_| {});
            assert!(leg.delay_ms() <= orderly + 320.0, "seed {seed}: {} ms", leg.delay_ms());
            let mut worked_off = None;
            for tick in 1..=200 {
                leg.run(Duration::from_millis(20), |heard| {
                    assert_eq!(heard.pulled.kind, PulledKind::Voice, "seed {seed}: lost after the stall");
                });
                if worked_off.is_none() && leg.delay_ms() <= orderly + 25.0 {
                    worked_off = Some(tick * 20);
                }
            }
            assert!(worked_off.is_some_and(|ms| ms <= 2_000), "seed {seed}: worked off after {worked_off:?} ms");
            leg.run(Duration::from_secs(6), |_| {});
            assert!((leg.delay_ms() - orderly).abs() <= 5.0, "seed {seed}: {orderly}, {} ms", leg.delay_ms());
            let counters = leg.playout.counters();
            assert_eq!(counters.resyncs + counters.overflow, 0, "seed {seed}");
        }
    }
}

#[test]
fn a_stall_of_5_s_is_cut_to_half_a_second_which_is_then_worked_off() {
    for seed in 0..12 {
        let mut leg = Leg::new(seed);
        leg.signal = voice;
        leg.run(Duration::from_secs(10), |_| {});
        let orderly = leg.delay_ms();
        leg.network.stalled_until_us = leg.now_us() + 5_000_000;
        leg.run(Duration::from_millis(5_100), |_| {});
        leg.run(Duration::from_secs(10), |_| {});
        assert!((leg.delay_ms() - orderly).abs() <= 25.0, "seed {seed}: {orderly}, {} ms", leg.delay_ms());
    }
}

#[test]
fn a_new_ssrc_is_played_at_once_and_late_packets_do_not_restore_the_old_one() {
    for seed in 0..8 {
        let mut leg = Leg::new(seed);
        leg.signal = constant;
        leg.network.jitter = Jitter::Uniform(30.0);
        leg.run(Duration::from_secs(3), |_| {});
        leg.ssrc = 99;
        leg.next_sequence = 7;
        leg.timestamp_offset = 1_000_000;
        let mut steady = 0;
        leg.run(Duration::from_millis(240), |_| {});
        leg.run(Duration::from_secs(2), |heard| steady += u32::from(is_constant(heard.samples)));
        assert!(steady >= 96, "seed {seed}: {steady} of 100");
        assert_eq!(leg.playout.counters().resyncs, 1, "seed {seed}");
    }
}

#[test]
fn jumps_of_timestamps_and_numbers_cost_at_most_a_packet_and_the_buffer() {
    let jumps: [fn(&mut Leg); 5] = [
        |leg| leg.timestamp_offset = leg.timestamp_offset.wrapping_add(1 << 30),
        |leg| leg.timestamp_offset = leg.timestamp_offset.wrapping_sub(1 << 30),
        |leg| leg.timestamp_offset = leg.timestamp_offset.wrapping_sub(3_200),
        |leg| leg.next_sequence = leg.next_sequence.wrapping_add(20_000),
        |leg| leg.next_sequence = leg.next_sequence.wrapping_sub(5_000),
    ];
    for (number, jump) in jumps.into_iter().enumerate() {
        for seed in 0..8 {
            let mut leg = Leg::new(seed);
            leg.signal = constant;
            leg.run(Duration::from_secs(3), |_| {});
            let orderly = leg.delay_ms();
            jump(&mut leg);
            leg.run(Duration::from_millis(200), |_| {});
            let mut steady = 0;
            leg.run(Duration::from_secs(1), |heard| steady += u32::from(is_constant(heard.samples)));
            assert_eq!(steady, 50, "jump {number}, seed {seed}");
            assert!((leg.delay_ms() - orderly).abs() < 20.1, "jump {number}, seed {seed}");
            assert_eq!(leg.playout.counters().resyncs, 1, "jump {number}, seed {seed}");
            assert!(leg.playout.counters().overflow <= 1, "jump {number}, seed {seed}");
        }
    }
}

#[test]
fn a_small_jump_of_timestamps_is_a_pause() {
    let mut leg = Leg::new(3);
    leg.signal = constant;
    leg.run(Duration::from_secs(3), |_| {});
    leg.timestamp_offset = leg.timestamp_offset.wrapping_add(1_600);
    leg.run(Duration::from_secs(10), |_| {});
    let counters = leg.playout.counters();
    assert_eq!((counters.concealed_frames, counters.resyncs), (0, 0), "{counters:?}");
}

#[test]
fn numbers_and_timestamps_wrap_without_a_seam() {
    let mut leg = Leg::new(1);
    leg.signal = constant;
    // 36 packets to the wrap of sequence numbers, 4096 ticks to that of timestamps.
    leg.run(Duration::from_millis(200), |_| {});
    leg.run(Duration::from_secs(3), |heard| assert!(is_constant(heard.samples)));
    assert_eq!(leg.playout.counters().resyncs, 0);
}

#[test]
fn capture_times_are_monotonic_and_smooth_in_an_orderly_stream() {
    for (seed, skew_ppm, jitter) in [(1, 0, Jitter::None), (2, 100, Jitter::None), (3, -100, Jitter::Uniform(1.0))] {
        let mut leg = Leg::new(seed);
        leg.skew_ppm = skew_ppm;
        leg.network.jitter = jitter;
        leg.signal = voice;
        let (epoch, mut last, mut splices) = (leg.epoch, None::<i64>, 0);
        for _ in 0..30_000 {
            let mut at = None;
            leg.run(Duration::from_millis(20), |heard| at = heard.pulled.captured_at);
            let Some(captured) = at else { continue };
            let captured_us = captured.duration_since(epoch).as_micros() as i64;
            if let Some(before) = last {
                let step_us = captured_us - before;
                // The timestamp of a frame with a splice moves by the spliced duration: at most 12.5 ms.
                let now = leg.playout.counters().drift_corrections;
                let allowed = if now != splices { 13_500 } else { 1_000 };
                splices = now;
                assert!((step_us - 20_000).abs() <= allowed, "seed {seed}: {step_us} us");
            }
            last = Some(captured_us);
        }
        assert!(skew_ppm != 0 || splices == 0, "seed {seed}: {splices} splices");
    }
}

#[test]
fn capture_times_are_those_of_the_talker_plus_the_least_transit() {
    for seed in 0..8 {
        let mut leg = Leg::new(seed);
        leg.network.jitter = Jitter::Uniform(60.0);
        leg.network.loss = 0.05;
        leg.skew_ppm = 100;
        leg.signal = |n| if n % 8_000 == 4_000 { 20_000 } else { 0 };
        let (base_us, epoch) = (leg.network.base_us, leg.epoch);
        leg.run(Duration::from_secs(20), |_| {});
        let mut before = PulledKind::Silence;
        leg.run(Duration::from_secs(60), |Heard { pulled, samples, .. }| {
            // Concealment repeats earlier audio, including clicks.
            let real = before == PulledKind::Voice && pulled.kind == PulledKind::Voice;
            before = pulled.kind;
            if !real {
                return;
            }
            if let Some(at) = samples.iter().position(|&sample| sample > 15_000) {
                let captured = pulled.captured_at.unwrap().duration_since(epoch).as_micros() as i64;
                let told_us = captured + at as i64 * 125 - base_us;
                let off_us = (told_us - 500_000) % 1_000_000;
                // 80 s at 100 ppm are 8 ms of skew.
                let off_us = if off_us > 500_000 { off_us - 1_000_000 } else { off_us };
                assert!((-10_500..=2_500).contains(&off_us), "seed {seed}: off by {off_us} us");
            }
        });
    }
}

/// Runs an Opus talker whose packets arrive one by one, every 20 ms, except for those that `lost` selects.
fn opus_under_loss(seconds: u32, mut lost: impl FnMut(u32) -> bool) -> (u64, media_engine::jitter::PlayoutCounters) {
    let rate = SampleRate::HZ_16000;
    let settings = OpusSettings { expected_loss_percent: 20, ..OpusSettings::default() };
    let mut encoder = OpusEncoder::new(rate, settings).unwrap();
    let decoder = Box::new(OpusDecoder::new(rate).unwrap());
    let mut playout = playout(ClockRate::HZ_48000, rate, 1_500, decoder);
    let (start, mut recoverable, mut missing) = (epoch(), 0, false);
    let (mut pcm, mut payload, mut out) = ([0; 320], [0; 1_500], [0; 320]);
    for n in 0..seconds * 50 {
        let now = start + Duration::from_millis(u64::from(n) * 20);
        for (at, sample) in (u64::from(n) * 320..).zip(&mut pcm) {
            let loudness = (std::f64::consts::PI * 4.0 * at as f64 / 16_000.0).sin().abs();
            *sample = (f64::from(voice(at / 2)) * loudness) as i16;
        }
        let length = encoder.encode(&pcm, &mut payload).unwrap();
        if lost(n) {
            missing = true;
        } else {
            recoverable += u64::from(missing && has_fec(&payload[..length]));
            missing = false;
            playout.insert(n as u16, n * 960, 1, false, &payload[..length], now);
        }
        playout.pull(now + Duration::from_millis(7), &mut out);
    }
    (recoverable, playout.counters())
}

#[test]
fn redundant_copies_are_waited_for_only_while_packets_are_lost() {
    for (seed, percent) in [(1, 1.0), (2, 5.0), (3, 10.0)] {
        let mut rng = Rng(seed);
        let (recoverable, counters) = opus_under_loss(120, |_| rng.chance(percent / 100.0));
        let delay_ms = counters.current_delay.as_millis();
        println!("seed {seed}, {percent} %: {recoverable} recoverable, {delay_ms} ms, {counters:?}");
        let used = counters.recovered_packets as f64 / recoverable as f64;
        assert!(used >= if percent < 2.0 { 0.6 } else { 0.85 }, "seed {seed}: {used} of {recoverable} copies used");
        assert!(counters.current_delay <= Duration::from_millis(48), "seed {seed}: {delay_ms} ms");
    }
    let (_, counters) = opus_under_loss(20, |_| false);
    assert!(counters.current_delay <= Duration::from_millis(8), "{counters:?}");
}

#[test]
fn the_second_of_two_lost_packets_is_recovered() {
    let (recoverable, counters) = opus_under_loss(60, |n| n % 25 == 7 || n % 25 == 8);
    println!("{recoverable} recoverable, {counters:?}");
    assert!(recoverable >= 80 && counters.recovered_packets * 100 >= recoverable * 85, "{counters:?}");
}

#[test]
fn opus_pauses_give_the_codec_s_own_noise_and_count_as_no_loss() {
    let rate = SampleRate::HZ_16000;
    let mut encoder = OpusEncoder::new(rate, OpusSettings { dtx: true, ..OpusSettings::default() }).unwrap();
    let decoder = Box::new(OpusDecoder::new(rate).unwrap());
    let mut playout = playout(ClockRate::HZ_48000, rate, 1_500, decoder);
    let (start, mut rng, mut sent) = (epoch(), Rng(4), 0u16);
    let (mut pcm, mut payload, mut out) = ([0; 320], [0; 1_500], [0; 320]);
    let (mut unsent, mut quiet, mut told) = (0, Vec::new(), 0);
    for n in 0..1_000u32 {
        let now = start + Duration::from_millis(u64::from(n) * 20);
        let talks = n % 200 < 80;
        for (at, sample) in (u64::from(n) * 320..).zip(&mut pcm) {
            *sample = (rng.below(64) as i16 - 32) + if talks { voice(at / 2) } else { 0 };
        }
        let length = encoder.encode(&pcm, &mut payload).unwrap();
        if length > 2 || !talks && n % 20 == 0 {
            playout.insert(sent, n * 960, 1, false, &payload[..length], now);
            sent = sent.wrapping_add(1);
        } else {
            unsent += 1;
        }
        let pulled = playout.pull(now + Duration::from_millis(7), &mut out);
        if n > 200 && n % 200 > 140 {
            quiet.extend_from_slice(&out);
            told += u32::from(pulled.kind == PulledKind::Silence);
        }
    }
    let counters = playout.counters();
    println!("{unsent} unsent, {told} told as pause, {} dBFS, {counters:?}", level_dbfs(&quiet));
    assert!(unsent > 200 && told > 100, "{unsent} unsent, {told} told");
    // At the beginning of a pause some encoders send no packet at all; during the first 100 ms that might be loss.
    assert!(counters.concealed_frames <= 5 && counters.late <= 5 && counters.resyncs == 0, "{counters:?}");
    assert!((-80.0..=-50.0).contains(&level_dbfs(&quiet)), "{} dBFS", level_dbfs(&quiet));
}

#[test]
fn comfort_noise_packets_fill_a_pause_with_noise_of_their_level() {
    let mut leg = Leg::new(3);
    leg.signal = voice;
    leg.run(Duration::from_secs(2), |_| {});
    for level in [40, 50, 45] {
        leg.paused = true;
        let (sequence, at) = (leg.next_sequence, leg.now_us());
        leg.next_sequence = sequence.wrapping_add(1);
        let timestamp = leg.timestamp_offset.wrapping_add((at / 125) as u32);
        let arrival = leg.instant(at + leg.network.base_us);
        leg.run(Duration::from_millis(40), |_| {});
        leg.playout.insert_noise(sequence, timestamp, leg.ssrc, &[level], arrival);
        leg.run(Duration::from_millis(500), |_| {});
        let mut noise = Vec::new();
        leg.run(Duration::from_secs(1), |heard| {
            assert_eq!(heard.pulled.kind, PulledKind::Silence);
            noise.extend_from_slice(heard.samples);
        });
        // A level in −dBov is 3 dB above the same number in −dBFS of a sine.
        let expected = 3.0 - f32::from(level);
        assert!((level_dbfs(&noise) - expected).abs() <= 2.0, "{} dBFS for {level}", level_dbfs(&noise));
        leg.paused = false;
        leg.run(Duration::from_secs(2), |_| {});
        leg.run(Duration::from_secs(1), |heard| assert_eq!(heard.pulled.kind, PulledKind::Voice));
    }
    let counters = leg.playout.counters();
    assert_eq!((counters.concealed_frames, counters.late, counters.resyncs), (0, 0, 0), "{counters:?}");
}

#[test]
fn sequence_numbers_of_keys_are_not_counted_as_lost_audio() {
    let mut leg = Leg::new(5);
    leg.signal = voice;
    leg.run(Duration::from_secs(2), |_| {});
    for _ in 0..10 {
        leg.paused = true;
        for _ in 0..7 {
            let sequence = leg.next_sequence;
            leg.next_sequence = sequence.wrapping_add(1);
            leg.run(Duration::from_millis(20), |_| {});
            leg.playout.skip(sequence, leg.ssrc);
        }
        leg.paused = false;
        leg.run(Duration::from_secs(1), |_| {});
    }
    let counters = leg.playout.counters();
    assert_eq!((counters.concealed_frames, counters.resyncs), (0, 0), "{counters:?}");
}

/// Every tenth packet is lost, with a delay by which the next one has arrived.
#[test]
fn opus_recovers_lost_packets_from_the_next_one() {
    let rate = SampleRate::HZ_16000;
    let settings = OpusSettings { expected_loss_percent: 20, ..OpusSettings::default() };
    let mut encoder = OpusEncoder::new(rate, settings).unwrap();
    let decoder = Box::new(OpusDecoder::new(rate).unwrap());
    let mut playout = playout(ClockRate::HZ_48000, rate, 1_500, decoder);
    let (start, mut recoverable, mut heard, mut batch) = (epoch(), 0, Vec::new(), Vec::new());
    let (mut pcm, mut payload, mut out) = ([0; 320], [0; 1_500], [0; 320]);
    for n in 0..500u32 {
        let now = start + Duration::from_millis(u64::from(n) * 20);
        // Four syllables a second.
        for (at, sample) in (u64::from(n) * 320..).zip(&mut pcm) {
            let loudness = (std::f64::consts::PI * 4.0 * at as f64 / 16_000.0).sin().abs();
            *sample = (f64::from(voice(at / 2)) * loudness) as i16;
        }
        let length = encoder.encode(&pcm, &mut payload).unwrap();
        recoverable += u64::from(n % 10 == 5 && has_fec(&payload[..length]));
        if n % 10 != 4 {
            batch.push((n, payload[..length].to_vec()));
        }
        // Two packets at a time, as from a sender that batches.
        if n % 2 == 1 {
            for (n, payload) in batch.drain(..) {
                let inserted = playout.insert(n as u16, n * 960, 1, false, &payload, now);
                assert_eq!(inserted, Inserted::Accepted);
            }
        }
        playout.pull(now + Duration::from_millis(5), &mut out);
        heard.push(out);
    }
    let counters = playout.counters();
    assert!(recoverable >= 30, "the encoder sent only {recoverable} copies");
    assert_eq!(counters.recovered_packets, recoverable, "{counters:?}");
    assert!(counters.recovered_packets + counters.concealed_frames <= 50, "{counters:?}");
    for second in heard[100..].chunks(50) {
        let level = level_dbfs(&second.concat());
        assert!((-20.0..=-5.0).contains(&level), "{level} dBFS");
    }
}
