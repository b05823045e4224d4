//! The jitter buffer under virtual time: delay, loss, drift and odd senders.
//!
//! Every network is seeded; a failure names its seed.

#[path = "sim/leg.rs"]
mod leg;
#[path = "sim/network.rs"]
mod network;

mod delay {
    use super::leg::{Leg, silence, voice};
    use super::network::Jitter;
    use std::time::Duration;

    const SEEDS: u64 = 12;

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }

    /// Mean delay of the buffer over `seconds`, milliseconds.
    fn mean_delay(leg: &mut Leg, seconds: u64) -> f64 {
        let mut delays = Vec::new();
        for _ in 0..seconds * 5 {
            leg.run(Duration::from_millis(200), |_| {});
            delays.push(leg.delay_ms());
        }
        mean(&delays)
    }

    #[test]
    fn orderly_network_adds_less_than_a_frame_and_the_phase() {
        for seed in 0..SEEDS {
            for signal in [silence, voice] {
                let mut leg = Leg::new(seed);
                leg.signal = signal;
                leg.run(Duration::from_secs(10), |_| {});
                let counters = leg.playout.counters();
                // Margin of 3 ms, then the next tick.
                assert!(leg.delay_ms() <= 23.1, "seed {seed}: {} ms", leg.delay_ms());
                assert_eq!((counters.late, counters.concealed_frames, counters.drift_corrections), (0, 0, 0), "{seed}");
            }
        }
    }

    #[test]
    fn ticks_that_come_up_to_2_ms_late_conceal_nothing() {
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

    /// Against the audio itself: clicks leave and arrive.
    #[test]
    fn the_delay_that_is_told_is_the_delay_of_the_sound() {
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

    /// Mean delay added against the same leg without jitter, milliseconds, and percent of packets that were late.
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

    /// Normal on both sides, as emulators make it: measured by the sound, against the mean of the network's delay.
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
    fn delay_is_back_within_10_s_after_jitter_ends() {
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
}

mod hours {
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
    fn a_bad_hour_with_a_fast_talker_accumulates_nothing() {
        bad_hour(1, 100, silence);
        bad_hour(2, 100, voice);
    }

    #[test]
    fn a_bad_hour_with_a_slow_talker_accumulates_nothing() {
        bad_hour(3, -100, silence);
        bad_hour(4, -100, voice);
    }

    #[test]
    fn an_orderly_hour_of_skew_conceals_nothing() {
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
            // One hop is 20 ms; 360 ms of skew in all, in splices of 8 ms.
            assert!(counters.drift_corrections <= 120, "seed {seed}: {}", counters.drift_corrections);
            assert!(longest <= 45.0, "seed {seed}: {longest} ms");
        }
    }
}

mod senders {
    use super::leg::{Heard, Leg, epoch, playout, silence, voice};
    use super::network::Jitter;
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
        for packet_ms in [10, 20, 30, 40, 60] {
            for seed in 0..8 {
                let mut leg = Leg::new(seed);
                leg.packet_ms = packet_ms;
                leg.signal = voice;
                leg.run(Duration::from_secs(20), |_| {});
                let counters = leg.playout.counters();
                // How long packets are is not known before the first: frames that need two may miss the second once.
                let learned = u64::from(packet_ms % 20 != 0);
                assert!(counters.late <= learned, "{packet_ms} ms, seed {seed}");
                assert_eq!(counters.concealed_frames, 0, "{packet_ms} ms, seed {seed}");
                // A sample can be a packet old before the next one is needed, never more than that, margin and tick.
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
    fn pauses_without_packets_are_no_loss_with_and_without_marker() {
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
                assert_eq!(
                    lost,
                    (before.concealed_frames, before.late, 0),
                    "seed {seed}, markers {markers}: {counters:?}"
                );
                assert!(leg.delay_ms() <= 40.0, "seed {seed}: {} ms", leg.delay_ms());
            }
        }
    }

    #[test]
    fn a_playout_point_that_moves_never_clicks() {
        for seed in 0..12 {
            let mut leg = Leg::new(seed);
            leg.signal = voice;
            leg.skew_ppm = 100;
            leg.run(Duration::from_secs(1), |_| {});
            let allowed = (0..800).map(|n| voice(n + 1).abs_diff(voice(n))).max().unwrap() * 5 / 4;
            let mut last = None;
            for round in 0..20 {
                leg.network.jitter = if round % 2 == 0 { Jitter::Uniform(60.0) } else { Jitter::None };
                // Late packets are concealed at first: that is not what is heard here.
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
    fn a_stall_of_5_s_is_cut_to_half_a_second_and_worked_off() {
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
    fn another_ssrc_goes_on_at_once_and_stragglers_do_not_bring_the_old_one_back() {
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
    fn timestamps_and_numbers_that_jump_cost_at_most_a_packet_and_the_buffer() {
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
    fn a_small_step_of_timestamps_is_a_pause() {
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
        // 36 packets to the wrap of numbers, 4096 ticks to that of time stamps.
        leg.run(Duration::from_millis(200), |_| {});
        leg.run(Duration::from_secs(3), |heard| assert!(is_constant(heard.samples)));
        assert_eq!(leg.playout.counters().resyncs, 0);
    }

    #[test]
    fn capture_times_are_monotonic_and_smooth_in_an_orderly_stream() {
        for (seed, skew_ppm, jitter) in [(1, 0, Jitter::None), (2, 100, Jitter::None), (3, -100, Jitter::Uniform(1.0))]
        {
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
                    // A frame with a splice is stamped earlier or later by what was spliced: at most 12.5 ms.
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
                // Concealment repeats what was before, clicks too.
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

    /// Every tenth packet is lost, at a delay that lets the next one be here.
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
            // Syllables, four a second.
            for (at, sample) in (u64::from(n) * 320..).zip(&mut pcm) {
                let loudness = (std::f64::consts::PI * 4.0 * at as f64 / 16_000.0).sin().abs();
                *sample = (f64::from(voice(at / 2)) * loudness) as i16;
            }
            let length = encoder.encode(&pcm, &mut payload).unwrap();
            recoverable += u64::from(n % 10 == 5 && has_fec(&payload[..length]));
            if n % 10 != 4 {
                batch.push((n, payload[..length].to_vec()));
            }
            // Two at a time: a sender that batches.
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
}

mod hostile {
    use super::leg::{epoch, g711_playout, playout};
    use super::network::Rng;
    use codecs::SampleRate;
    use codecs::opus::OpusDecoder;
    use media_engine::jitter::Playout;
    use media_engine::units::ClockRate;
    use std::time::Duration;

    /// Inserts and pulls as nobody should do them; small steps are likelier than wild ones.
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
    fn ten_thousand_seeded_torments_do_not_panic() {
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
}
