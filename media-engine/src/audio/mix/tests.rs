//! Tests of the mix of a room, with parties that play tones or random frames.
//!
//! `Lab` ticks a room of parties at different rates and records what each of them hears; levels of single tones show which parties are
//! audible to a listener, and the largest change of slope shows clicks.
//!
//! Not here: the conferences of the switch (`worker::switch`) and allocations (`tests/no_alloc_worker.rs`).

use codecs::tones::{Sine, goertzel_dbfs, level_dbfs};

use super::*;

const NARROW: SampleRate = SampleRate::HZ_8000;
const WIDE: SampleRate = SampleRate::HZ_16000;
const FULL: SampleRate = SampleRate::HZ_48000;

/// SplitMix64: seeds are printed by the assertions.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn frame(&mut self, length: usize, peak: i16) -> Vec<i16> {
        let width = u64::from(peak.unsigned_abs()) * 2 + 1;
        (0..length).map(|_| (self.below(width) as i32 - i32::from(peak)) as i16).collect()
    }
}

/// A party in a room that plays a tone.
struct Voice {
    party: Party,
    rate: SampleRate,
    sine: Sine,
    silent: bool,
    heard: Vec<i16>,
}

#[derive(Default)]
struct Lab {
    mix: Mix,
    voices: Vec<Voice>,
    changes: Vec<SpeakerChange>,
}

impl Lab {
    fn join(&mut self, rate: SampleRate, hz: f32, heard_by: HeardBy) -> usize {
        let party = self.mix.join(rate, heard_by);
        self.voices.push(Voice { party, rate, sine: Sine::new(rate, hz, -15.0), silent: false, heard: Vec::new() });
        self.voices.len() - 1
    }

    fn party(&self, voice: usize) -> Party {
        self.voices[voice].party
    }

    fn tick(&mut self, ticks: usize) {
        for _ in 0..ticks {
            for voice in &mut self.voices {
                let mut frame = vec![0; voice.rate.samples_in_ms(20)];
                voice.sine.fill(&mut frame);
                self.mix.say(voice.party, (!voice.silent).then_some(&frame[..]));
            }
            self.changes.extend(self.mix.mix());
            for voice in &mut self.voices {
                let mut frame = vec![0; voice.rate.samples_in_ms(20)];
                self.mix.hear(voice.party, &mut frame);
                voice.heard.extend(frame);
            }
        }
    }

    /// Runs for a second and returns how loud the listener hears `hz` after the first 200 ms.
    fn level(&mut self, listener: usize, hz: f32) -> f32 {
        self.voices.iter_mut().for_each(|voice| voice.heard.clear());
        self.tick(60);
        self.level_of_last_second(listener, hz)
    }

    fn level_of_last_second(&self, listener: usize, hz: f32) -> f32 {
        let voice = &self.voices[listener];
        let tail = &voice.heard[voice.heard.len() - voice.rate.samples_in_ms(1_000)..];
        goertzel_dbfs(tail, voice.rate, hz)
    }
}

/// Returns the largest change of slope, which is large for a click and small for a tone.
fn largest_bend(samples: &[i16]) -> i32 {
    let bend = |w: &[i16]| (i32::from(w[0]) - 2 * i32::from(w[1]) + i32::from(w[2])).abs();
    samples.windows(3).map(bend).max().unwrap()
}

#[test]
fn each_hears_the_exact_sum_of_all_others() {
    for seed in 0..20 {
        let mut random = Random(seed);
        let mut mix = Mix::new();
        let count = 2 + random.below(60) as usize;
        let parties: Vec<Party> = (0..count).map(|_| mix.join(NARROW, HeardBy::All)).collect();
        for tick in 0..10 {
            let peak = (24_576 / count) as i16;
            let frames: Vec<Vec<i16>> = parties.iter().map(|_| random.frame(160, peak)).collect();
            parties.iter().zip(&frames).for_each(|(&party, frame)| mix.say(party, Some(frame)));
            mix.mix();
            let total: Vec<i32> = (0..160).map(|at| frames.iter().map(|frame| i32::from(frame[at])).sum()).collect();
            for (party, frame) in parties.iter().zip(&frames) {
                let mut heard = [0; 160];
                mix.hear(*party, &mut heard);
                let exact = (0..160).all(|at| i32::from(heard[at]) == total[at] - i32::from(frame[at]));
                // In the first tick the voices rise.
                assert!(exact || tick == 0, "seed {seed}, {count} parties, tick {tick}, {party:?}");
            }
        }
    }
}

#[test]
fn each_rate_hears_all_others_and_never_itself() {
    let mut lab = Lab::default();
    let tones = [(NARROW, 500.0), (NARROW, 700.0), (WIDE, 900.0), (FULL, 1_100.0), (SampleRate::HZ_24000, 1_300.0)];
    for (rate, hz) in tones {
        lab.join(rate, hz, HeardBy::All);
    }
    lab.tick(70);
    for listener in 0..tones.len() {
        for (speaker, (rate, hz)) in tones.into_iter().enumerate() {
            let level = lab.level_of_last_second(listener, hz);
            if speaker == listener {
                assert!(level < -80.0, "{rate} hears itself at {level} dBFS");
            } else {
                assert!((level + 15.0).abs() < 0.5, "{} hears {rate} at {level} dBFS", tones[listener].0);
            }
        }
    }
}

#[test]
fn wideband_parties_keep_their_band_beside_narrowband_ones() {
    let mut lab = Lab::default();
    let narrow = lab.join(NARROW, 400.0, HeardBy::All);
    let wide = lab.join(WIDE, 6_000.0, HeardBy::All);
    let full = lab.join(FULL, 6_500.0, HeardBy::All);
    let other_full = lab.join(FULL, 15_000.0, HeardBy::All);
    lab.tick(70);
    assert!((lab.level_of_last_second(full, 6_000.0) + 15.0).abs() < 0.5, "16 to 48 kHz");
    assert!((lab.level_of_last_second(wide, 6_500.0) + 15.0).abs() < 0.5, "48 to 16 kHz");
    assert!((lab.level_of_last_second(full, 15_000.0) + 15.0).abs() < 0.1, "48 to 48 kHz");
    for listener in [wide, full, other_full] {
        assert!((lab.level_of_last_second(listener, 400.0) + 15.0).abs() < 0.5, "8 kHz to {listener}");
    }
    // Frequencies that do not fit the narrow line are not aliased into it.
    assert!(level_dbfs(&lab.voices[narrow].heard) < -60.0);
}

#[test]
fn a_monitor_hears_all_and_is_heard_by_none() {
    for rate in [NARROW, FULL] {
        let mut lab = Lab::default();
        let agent = lab.join(NARROW, 500.0, HeardBy::All);
        let customer = lab.join(NARROW, 700.0, HeardBy::All);
        let monitor = lab.join(rate, 900.0, HeardBy::Nobody);
        lab.tick(70);
        for hz in [500.0, 700.0] {
            assert!((lab.level_of_last_second(monitor, hz) + 15.0).abs() < 0.5, "{rate}, {hz} Hz");
        }
        for listener in [agent, customer, monitor] {
            assert!(lab.level_of_last_second(listener, 900.0) < -90.0, "{rate}, {listener}");
        }
    }
}

#[test]
fn a_supervisor_changes_from_monitor_to_whisper_to_barge_and_back() {
    for rate in [NARROW, WIDE, FULL] {
        let mut lab = Lab::default();
        let agent = lab.join(NARROW, 500.0, HeardBy::All);
        let customer = lab.join(WIDE, 700.0, HeardBy::All);
        let supervisor = lab.join(rate, 900.0, HeardBy::Nobody);
        let (to_agent, party) = (lab.party(agent), lab.party(supervisor));
        let whisper = HeardBy::Only(to_agent);
        let steps = [
            (HeardBy::Nobody, [false, false]),
            (whisper, [true, false]),
            (HeardBy::All, [true, true]),
            (whisper, [true, false]),
            (HeardBy::Nobody, [false, false]),
            (HeardBy::All, [true, true]),
        ];
        for (heard_by, expected) in steps {
            lab.mix.heard_by(party, heard_by);
            lab.tick(5);
            for (listener, expected) in [agent, customer].into_iter().zip(expected) {
                let level = lab.level(listener, 900.0);
                let right = if expected { (level + 15.0).abs() < 0.5 } else { level < -90.0 };
                assert!(right, "{rate}, {heard_by:?}: {listener} hears the supervisor at {level} dBFS");
                let others = if listener == agent { 700.0 } else { 500.0 };
                assert!((lab.level_of_last_second(listener, others) + 15.0).abs() < 0.5, "{rate}, {heard_by:?}");
            }
            assert!(lab.level_of_last_second(supervisor, 900.0) < -90.0);
        }
    }
}

#[test]
fn the_gain_of_a_pair_changes_only_how_one_hears_the_other() {
    for (from_rate, to_rate) in [(NARROW, NARROW), (NARROW, FULL), (FULL, NARROW)] {
        let mut lab = Lab::default();
        let from = lab.join(from_rate, 500.0, HeardBy::All);
        let to = lab.join(to_rate, 700.0, HeardBy::All);
        let third = lab.join(to_rate, 900.0, HeardBy::All);
        let pair = (lab.party(from), lab.party(to));
        for (gain, db) in [(Some(0.125), -18.06), (Some(2.0), 6.02), (Some(0.0), -200.0), (None, 0.0), (Some(1.0), 0.0)]
        {
            assert!(lab.mix.gain(pair.0, pair.1, gain));
            lab.tick(3);
            let level = lab.level(to, 500.0);
            assert!((level + 15.0 - db).abs() < 0.5 || (db < -100.0 && level < -90.0), "{gain:?}: {level} dBFS");
            assert!((lab.level_of_last_second(third, 500.0) + 15.0).abs() < 0.5, "{gain:?} is for one listener only");
            assert!((lab.level_of_last_second(from, 700.0) + 15.0).abs() < 0.5, "{gain:?} is for one direction only");
        }
    }
}

#[test]
fn a_gain_between_two_rates_is_an_exact_ramp_that_waits_for_its_filter() {
    let heard = |muted_at: Option<usize>| {
        let mut lab = Lab::default();
        let (from, to) = (lab.join(NARROW, 500.0, HeardBy::All), lab.join(FULL, 700.0, HeardBy::All));
        lab.voices[to].silent = true;
        for tick in 0..12 {
            if muted_at == Some(tick) {
                assert!(lab.mix.gain(lab.party(from), lab.party(to), Some(0.0)));
            }
            lab.tick(1);
        }
        std::mem::take(&mut lab.voices[to].heard)
    };
    let (as_it_is, muted) = (heard(None), heard(Some(6)));
    for (at, (&before, &after)) in as_it_is.iter().zip(&muted).enumerate() {
        let gain = 1.0 - (at as f32 / 960.0 - 7.0).clamp(0.0, 1.0);
        let expected = f32::from(before) * gain;
        assert!((f32::from(after) - expected).abs() <= 1.0, "sample {at}: {after}, not {expected}");
    }
}

#[test]
fn impossible_gains_are_refused() {
    let mut mix = Mix::new();
    let (a, b) = (mix.join(NARROW, HeardBy::All), mix.join(NARROW, HeardBy::All));
    for gain in [f32::NAN, -0.1, MAX_GAIN * 1.01, f32::INFINITY] {
        assert!(!mix.gain(a, b, Some(gain)), "{gain}");
    }
    assert!(!mix.gain(a, a, Some(1.0)));
    assert!(!mix.gain(a, Party(7), Some(1.0)));
    assert!(mix.gain(a, b, Some(MAX_GAIN)));
}

#[test]
fn joining_leaving_falling_silent_and_gains_never_click() {
    for rates in [[NARROW; 4], [FULL; 4], [NARROW, FULL, NARROW, WIDE]] {
        let mut lab = Lab::default();
        for (rate, hz) in rates.into_iter().zip([200.0, 230.0, 260.0, 290.0]) {
            lab.join(rate, hz, HeardBy::All);
        }
        lab.tick(10);
        lab.voices.iter_mut().for_each(|voice| voice.heard.clear());
        lab.tick(20);
        let steady: Vec<i32> = lab.voices.iter().map(|voice| largest_bend(&voice.heard)).collect();
        let (first, second) = (lab.party(0), lab.party(1));
        for step in 0..9 {
            // Changes happen between two ticks, wherever the waves then are.
            match step {
                0 => assert!(lab.mix.gain(first, second, Some(0.0))),
                1 => assert!(lab.mix.gain(first, second, Some(1.5))),
                2 => assert!(lab.mix.gain(first, second, None)),
                3 => lab.mix.heard_by(first, HeardBy::Only(second)),
                4 => lab.mix.heard_by(first, HeardBy::All),
                5 => lab.voices[0].silent = true,
                6 => lab.voices[0].silent = false,
                7 => drop(lab.join(rates[0], 320.0, HeardBy::All)),
                _ => lab.mix.leave(first),
            }
            lab.tick(7);
        }
        for (listener, steady) in steady.into_iter().enumerate().skip(1) {
            let heard = &lab.voices[listener].heard;
            // One more voice than before, and a fade on top; a click from full level would be 20 times as large.
            let bend = largest_bend(heard);
            assert!(bend <= steady * 2 + 40, "{rates:?}: {listener} hears a bend of {bend}, steady {steady}");
        }
        assert!(lab.voices[0].heard.ends_with(&[0; 160]), "a party that left hears nothing");
    }
}

#[test]
fn many_loud_voices_are_limited_and_never_wrap() {
    for seed in 0..10 {
        let mut random = Random(seed);
        let mut lab = Lab::default();
        let rates = [NARROW, WIDE, FULL];
        let voices: Vec<usize> = (0..12).map(|n| lab.join(rates[n % 3], 300.0, HeardBy::All)).collect();
        for &voice in &voices {
            // All play the same loud tone, in phase: the sum is eleven times full scale.
            lab.voices[voice].sine = Sine::new(lab.voices[voice].rate, 100.0 + random.below(300) as f32, 0.0);
        }
        lab.tick(30);
        for &voice in &voices {
            let Voice { rate, heard, .. } = &lab.voices[voice];
            let loudest = heard.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
            assert!((30_000..=32_767).contains(&loudest), "seed {seed}, {rate}: {loudest}");
            // A wrap is a step across the whole range within one sample; eleven tones of 400 Hz step less even when
            // they add up.
            let step = heard.windows(2).map(|w| (i32::from(w[0]) - i32::from(w[1])).abs()).max().unwrap();
            assert!(step < 60_000, "seed {seed}, {rate}: {step}");
        }
    }
}

#[test]
fn two_at_full_scale_keep_their_sign_sample_by_sample() {
    let mut mix = Mix::new();
    let parties: Vec<Party> = (0..3).map(|_| mix.join(NARROW, HeardBy::All)).collect();
    let mut sine = Sine::new(NARROW, 440.0, 0.0);
    for tick in 0..50 {
        let mut frame = [0; 160];
        sine.fill(&mut frame);
        mix.say(parties[0], Some(&frame));
        mix.say(parties[1], Some(&frame));
        mix.mix();
        let mut heard = [0; 160];
        mix.hear(parties[2], &mut heard);
        for (&said, &heard) in frame.iter().zip(&heard).filter(|_| tick > 0) {
            assert!(i32::from(said.signum()) * i32::from(heard.signum()) >= 0, "{said} twice gave {heard}");
            assert!(heard.unsigned_abs() >= said.unsigned_abs().min(24_576), "{said} twice gave {heard}");
        }
    }
}

#[test]
fn the_place_of_a_party_that_left_is_reused() {
    let mut lab = Lab::default();
    let (a, b) = (lab.join(NARROW, 500.0, HeardBy::All), lab.join(NARROW, 700.0, HeardBy::All));
    lab.tick(3);
    let gone = lab.party(a);
    lab.mix.leave(gone);
    lab.mix.leave(gone);
    assert!(!lab.mix.gain(gone, lab.party(b), Some(0.5)), "a party that left has no gains");
    lab.tick(3);
    assert_eq!(lab.mix.len(), 1);
    assert!(level_dbfs(&lab.voices[b].heard[640..]) < -90.0);
    // The wide conversions that a wide party needs are freed with it.
    let c = lab.join(FULL, 900.0, HeardBy::All);
    assert_eq!(lab.party(c), gone, "the place is reused");
    lab.voices.remove(a);
    lab.tick(70);
    assert!((lab.level_of_last_second(0, 900.0) + 15.0).abs() < 0.5);
    lab.mix.leave(gone);
    lab.tick(3);
    lab.mix.leave(lab.voices[0].party);
    assert!(lab.mix.is_empty());
    lab.tick(3);
    lab.mix.reap();
    lab.mix.rewire();
    assert!(lab.mix.members.iter().all(Option::is_none));
    assert!(lab.mix.bands.iter().all(|band| band.total().is_none()));
}

#[test]
fn a_whisper_to_a_party_that_left_is_heard_by_nobody() {
    let mut lab = Lab::default();
    let agent = lab.join(NARROW, 500.0, HeardBy::All);
    let to_agent = lab.party(agent);
    let supervisor = lab.join(NARROW, 900.0, HeardBy::Only(to_agent));
    lab.tick(5);
    lab.mix.leave(to_agent);
    lab.tick(5);
    lab.voices.remove(agent);
    let successor = lab.join(NARROW, 700.0, HeardBy::All);
    assert_eq!(lab.voices[successor].party, to_agent, "in the same place");
    assert!(lab.level(successor, 900.0) < -90.0);
    assert!((lab.level_of_last_second(supervisor - 1, 700.0) + 15.0).abs() < 0.5);
}

#[test]
fn the_active_speaker_changes_with_hysteresis_and_is_never_a_monitor() {
    let mut lab = Lab::default();
    let a = lab.join(NARROW, 500.0, HeardBy::All);
    let b = lab.join(FULL, 700.0, HeardBy::All);
    let monitor = lab.join(NARROW, 900.0, HeardBy::Nobody);
    let (party_a, party_b) = (lab.party(a), lab.party(b));
    lab.voices[b].silent = true;
    lab.tick(30);
    assert_eq!(lab.changes, [SpeakerChange { before: None, after: Some(party_a) }]);
    lab.voices[b].silent = false;
    lab.tick(100);
    assert_eq!(lab.changes.len(), 1, "an equally loud party does not take over");
    lab.voices[a].silent = true;
    lab.tick(8);
    assert_eq!(lab.changes.len(), 1, "a short pause changes nothing");
    lab.tick(50);
    assert_eq!(lab.changes[1..], [SpeakerChange { before: Some(party_a), after: Some(party_b) }]);
    lab.mix.leave(party_b);
    lab.tick(1);
    assert_eq!(lab.changes[2..], [SpeakerChange { before: Some(party_b), after: None }]);
    lab.tick(200);
    assert_eq!((lab.changes.len(), lab.mix.active_speaker()), (3, None), "the monitor at {monitor} speaks to nobody");
}

#[test]
fn frames_of_a_wrong_length_and_unknown_parties_are_silence() {
    let mut mix = Mix::new();
    let (a, b) = (mix.join(NARROW, HeardBy::All), mix.join(NARROW, HeardBy::All));
    let mut heard = [1; 160];
    for _ in 0..3 {
        mix.say(a, Some(&[1_000; 320]));
        mix.say(Party(9), Some(&[1_000; 160]));
        mix.mix();
        mix.hear(b, &mut heard);
        assert_eq!(heard, [0; 160]);
    }
    mix.say(a, Some(&[1_000; 160]));
    mix.mix();
    let mut short = [1; 80];
    mix.hear(b, &mut short);
    assert_eq!(short, [0; 80]);
    mix.hear(Party(9), &mut heard);
    assert_eq!(heard, [0; 160]);
}

/// Prints the duration of a tick of a thousand parties; `benches/benches/mix.rs` measures it better. The bound is the
/// goal: less than the tick's own length, even unoptimised and beside other work.
#[test]
fn a_thousand_parties_are_mixed_within_their_tick() {
    for size in [3, 50] {
        let mut random = Random(5);
        let mut rooms: Vec<(Mix, Vec<Party>)> = Vec::new();
        for _ in 0..1_000 / size {
            let mut mix = Mix::new();
            let parties = (0..size).map(|_| mix.join(NARROW, HeardBy::All)).collect();
            rooms.push((mix, parties));
        }
        let frame = random.frame(160, 3_000);
        let mut out = [0; 160];
        let fastest = (0..20)
            .map(|_| {
                #[allow(clippy::disallowed_methods)]
                let start = std::time::Instant::now();
                for (mix, parties) in &mut rooms {
                    parties.iter().for_each(|&party| mix.say(party, Some(&frame)));
                    mix.mix();
                    parties.iter().for_each(|&party| mix.hear(party, &mut out));
                }
                start.elapsed()
            })
            .min();
        println!("1,000 parties in rooms of {size}: {fastest:?} for one tick of 20 ms");
        assert!(fastest.is_some_and(|span| span.as_millis() < 20), "rooms of {size}: {fastest:?}");
    }
}
