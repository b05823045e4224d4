//! Behaviour of the detectors at their edges: frequency, level, length, noise, laws, loss, countries; and what is no beep.
//!
//! All sound is generated (`sound`) and seeded, so a failure repeats. Where noise or loss hides a few tones from any detector, a
//! test states the share that must be found, and prints those that were not.
//!
//! Not here: recorded calls, and GSM, for which this crate has no codec.

mod sound;

use super::*;
use sound::{
    Channel, Law, Loss, Noise, Random, Sound, channels, chirp, modulated, music, pink, tone, voice, vowel_sound, white,
};

fn events_at(rate: SampleRate, pcm: &[i16]) -> Vec<ToneEvent> {
    let mut progress = Progress::new(rate);
    let mut events = Vec::new();
    pcm.chunks(rate.samples_in_ms(20)).for_each(|frame| events.extend_from_slice(progress.push(frame)));
    assert_eq!(progress.lost(), 0);
    events
}

fn events(sound: &Sound, channel: Channel) -> Vec<ToneEvent> {
    events_at(SampleRate::HZ_8000, &channel.pass(sound))
}

/// Returns the beeps, each as it was told last.
fn beeps(events: &[ToneEvent]) -> Vec<(u32, Beep)> {
    let mut beeps: Vec<(u32, Beep)> = Vec::new();
    for event in events {
        if let Heard::Beep(beep) = event.heard {
            if beep.revises {
                beeps.pop();
            }
            beeps.push((event.at_ms, beep));
        }
    }
    beeps
}

fn signals(events: &[ToneEvent]) -> Vec<(u32, SignalKind)> {
    let signal = |event: &ToneEvent| {
        if let Heard::Signal(signal) = event.heard { Some((event.at_ms, signal.kind)) } else { None }
    };
    events.iter().filter_map(signal).collect()
}

fn faxes(events: &[ToneEvent]) -> Vec<(u32, FaxKind)> {
    let fax =
        |event: &ToneEvent| if let Heard::Fax { kind, .. } = event.heard { Some((event.at_ms, kind)) } else { None };
    events.iter().filter_map(fax).collect()
}

/// A greeting, a gap, a beep, and silence; times of the beep are known.
struct Message {
    sound: Sound,
    start_ms: u32,
    end_ms: u32,
}

fn message(random: &mut Random, beep: Sound, gap_ms: u32, speech_dbfs: f32) -> Message {
    let greeting = voice(random, 1_500).at(speech_dbfs).pause(gap_ms);
    let start_ms = greeting.ms();
    let end_ms = start_ms + beep.ms();
    Message { sound: greeting.then(beep).pause(1_600), start_ms, end_ms }
}

/// Returns what is wrong with the beeps told for a message, if anything.
fn fault(message: &Message, hz: f32, channel: Channel) -> Option<String> {
    let told = beeps(&events(&message.sound, channel));
    let is_it = |beep: &Beep| beep.start_ms < message.end_ms && beep.end_ms > message.start_ms;
    let Some((at, beep)) = told.iter().find(|(_, beep)| is_it(beep)) else { return Some("missed".into()) };
    let is_clean = channel.noise == Noise::None && channel.loss == Loss::None;
    // What was said at the same pitch just before the beep may seem to be part of it.
    let (early, late) = if is_clean { (40, 8) } else { (90, 110) };
    let right = beep.start_ms.abs_diff(message.start_ms) <= early
        && beep.end_ms.abs_diff(message.end_ms) <= late
        && (beep.tone.frequencies[0] - hz).abs() < 0.003 * hz
        && *at < message.end_ms + 360
        && told.len() == 1;
    (!right).then(|| format!("{told:?}"))
}

#[test]
fn beeps_are_found_at_every_edge_with_their_times_and_frequency() {
    let mut random = Random::new(15);
    // Groups of channels, the share of beeps that must be right in each, and what was wrong.
    let mut groups =
        [("noise of 10 dB", 97), ("loss", 90), ("babble of 10 dB", 80)].map(|(name, least)| (name, least, 0, vec![]));
    for (n, hz) in [352.0, 480.0, 620.0, 780.0, 1_000.0, 1_270.0, 1_633.0, 2_030.0, 2_480.0].into_iter().enumerate() {
        for (k, length) in [100, 160, 300, 700, 1_500].into_iter().enumerate() {
            let (dbfs, speech_dbfs) = [(-35.0, -38.0), (-20.0, -14.0), (-5.0, -11.0)][(2 * n + k) % 3];
            let hz = hz * random.between(0.98, 1.02);
            let message = message(&mut random, tone(&[hz], length, dbfs), [0, 60, 400][(n + k) % 3], speech_dbfs);
            for channel in channels(dbfs, (100 * n + 10 * k) as u64) {
                let group = match channel {
                    Channel { noise: Noise::Babble, .. } => &mut groups[2],
                    Channel { loss: Loss::None, .. } => &mut groups[0],
                    _ => &mut groups[1],
                };
                group.2 += 1;
                if let Some(fault) = fault(&message, hz, channel) {
                    let (from, to) = (message.start_ms, message.end_ms);
                    group.3.push(format!("{hz:.0} Hz, {from} to {to} ms, {dbfs} dBFS, {channel:?}: {fault}"));
                }
            }
        }
    }
    for (name, least, all, wrong) in groups {
        let right = all - wrong.len();
        assert!(right * 100 >= least * all, "{name}: {right} of {all}\n{}", wrong.join("\n"));
    }
}

#[test]
fn chirps_pairs_harmonics_bells_and_double_pulses_are_beeps() {
    let mut random = Random::new(22);
    let mut bell = tone(&[1_150.0], 500, -12.0);
    bell.0.iter_mut().enumerate().for_each(|(n, value)| *value *= (-5.0 * n as f32 / sound::RATE).exp());
    let pulses = |hz, other| tone(&[hz], 150, -15.0).pause(100).then(tone(&[other], 150, -15.0));
    let cases = [
        ("up", chirp(900.0, 1_300.0, 400, -15.0), BeepKind::Chirp),
        ("down", chirp(1_600.0, 1_400.0, 250, -15.0), BeepKind::Chirp),
        ("far", chirp(700.0, 1_400.0, 500, -15.0), BeepKind::Chirp),
        ("pair", tone(&[900.0, 1_350.0], 500, -18.0), BeepKind::Dual),
        ("short pair", tone(&[1_150.0, 1_725.0], 120, -18.0), BeepKind::Dual),
        ("near pair", tone(&[800.0, 1_000.0], 300, -18.0), BeepKind::Dual),
        ("harmonics", tone(&[500.0, 1_000.0, 1_500.0], 400, -20.0), BeepKind::Dual),
        ("bell", bell, BeepKind::Single),
        ("double", pulses(980.0, 980.0), BeepKind::Double),
        ("two pitches", pulses(800.0, 1_200.0), BeepKind::Double),
    ];
    for (name, beep, kind) in cases {
        let message = message(&mut random, beep, 300, -16.0);
        for law in [Law::Linear, Law::Mu, Law::A] {
            let channel = Channel { law, noise: Noise::White, noise_dbfs: -60.0, ..Channel::CLEAN };
            let told = beeps(&events(&message.sound, channel));
            let [(_, beep)] = told[..] else { panic!("{name}, {law:?}: {told:?}") };
            assert_eq!(beep.kind, kind, "{name}, {law:?}");
            assert!(
                beep.start_ms.abs_diff(message.start_ms) <= 10,
                "{name}, {law:?}: {beep:?}, not {}",
                message.start_ms
            );
            let fades = name == "bell";
            assert!(fades || beep.end_ms.abs_diff(message.end_ms) <= 10, "{name}, {law:?}: {beep:?}");
        }
    }
}

#[test]
fn a_beep_is_told_within_100_ms_of_its_end() {
    let mut random = Random::new(3);
    for hz in [420.0, 440.0, 600.0, 950.0, 1_100.0, 1_400.0, 2_100.0] {
        let message = message(&mut random, tone(&[hz], 400, -15.0), 200, -12.0);
        let told = beeps(&events(&message.sound, Channel::CLEAN));
        let [(at, beep)] = told[..] else { panic!("{hz} Hz: {told:?}") };
        // It may be a call waiting tone.
        let patience = if hz < 450.0 { 1_300 } else { 100 };
        assert!(at <= message.end_ms + patience, "{hz} Hz is told at {at}: {beep:?}");
    }
}

#[test]
fn a_lost_packet_does_not_part_a_tone() {
    for from in [300, 400, 505, 1_000] {
        for repeat in [false, true] {
            let mut pcm = Channel::CLEAN.pass(&Sound::silence(200).then(tone(&[850.0], 1_200, -20.0)).pause(400));
            let at = from * 8;
            if repeat {
                pcm.copy_within(at - 160..at, at);
            } else {
                pcm[at..at + 160].fill(0);
            }
            let told = beeps(&events_at(SampleRate::HZ_8000, &pcm));
            let [(_, beep)] = told[..] else { panic!("{from} {repeat}: {told:?}") };
            assert!(beep.start_ms.abs_diff(200) <= 5 && beep.end_ms.abs_diff(1_400) <= 5, "{from} {repeat}: {beep:?}");
        }
    }
}

#[test]
fn wideband_legs_hear_the_same() {
    for rate in [SampleRate::HZ_16000, SampleRate::HZ_48000] {
        let mut sine = crate::tones::Sine::new(rate, 1_200.0, -20.0);
        let mut pcm = vec![0; rate.samples_in_ms(1_500)];
        sine.fill(&mut pcm[rate.samples_in_ms(500)..rate.samples_in_ms(800)]);
        let told = beeps(&events_at(rate, &pcm));
        let [(_, beep)] = told[..] else { panic!("{rate}: {told:?}") };
        // The resampler delays by 2 ms.
        assert!(beep.start_ms.abs_diff(502) <= 5 && beep.end_ms.abs_diff(802) <= 5, "{rate}: {beep:?}");
        assert!((beep.tone.frequencies[0] - 1_200.0).abs() < 2.0);
    }
}

#[test]
fn voices_music_and_noise_are_no_beeps() {
    let mut random = Random::new(8);
    let mut sounds: Vec<(String, Sound)> = Vec::new();
    for n in 0..40 {
        sounds.push((format!("voice {n}"), voice(&mut random, 10_000).at(-20.0)));
    }
    for n in 0..60 {
        // Held and sung vowels: a steady pitch with vibrato, from nearly none on.
        let pitch = random.between(110.0, 700.0);
        let formants = [random.between(280.0, 850.0), random.between(850.0, 2_300.0), 2_700.0];
        let wobble = random.between(0.004, 0.03);
        let vowel = vowel_sound(&mut random, formants, (pitch, pitch * 1.01), 900, wobble);
        sounds.push((format!("vowel {n} at {pitch}"), Sound::silence(400).then(vowel.at(-18.0)).pause(600)));
    }
    for n in 0..12 {
        sounds.push((format!("music {n}"), music(&mut random, 12_000, 2 + n % 3).at(-22.0)));
    }
    sounds.push(("white".into(), white(&mut random, 20_000).at(-30.0)));
    sounds.push(("pink".into(), pink(&mut random, 20_000).at(-30.0)));
    sounds.push(("sweep".into(), chirp(300.0, 3_400.0, 6_000, -20.0).pause(500)));
    let mut found = Vec::new();
    for (n, (name, sound)) in sounds.iter().enumerate() {
        let law = [Law::Linear, Law::Mu][n % 2];
        let told = beeps(&events(sound, Channel { law, ..Channel::CLEAN }));
        found.extend(told.iter().map(|beep| format!("{name}, {law:?}: {beep:?}")));
    }
    assert!(found.is_empty(), "{} beeps: {}", found.len(), found.join("\n"));
}

#[test]
fn music_has_notes_and_speech_has_few() {
    let most = |sound: &Sound| {
        let mut progress = Progress::new(SampleRate::HZ_8000);
        let pcm = Channel::CLEAN.pass(sound);
        let notes: Vec<u32> = pcm.chunks(160).map(|frame| (progress.push(frame).len(), progress.notes()).1).collect();
        notes.iter().sum::<u32>() as f32 / notes.len() as f32
    };
    let mut random = Random::new(5);
    let played: Vec<f32> = (0..6).map(|_| most(&music(&mut random, 10_000, 2).at(-20.0))).collect();
    let said: Vec<f32> = (0..6).map(|_| most(&voice(&mut random, 10_000).at(-20.0))).collect();
    let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
    assert!(mean(&played) > 3.0 && mean(&said) < 1.5, "{played:?} {said:?}");
}

#[test]
fn keys_are_told_and_are_no_beeps() {
    for (n, digit) in "0123456789ABCD*#".chars().enumerate() {
        for (length, level) in [(80, -13.0), (250, -25.0), (600, -16.0)] {
            let mut key = vec![0; sound::samples(length)];
            let mut generator =
                crate::dtmf::DtmfGenerator::new(SampleRate::HZ_8000, digit, length, level).expect("a digit");
            generator.fill(&mut key);
            let key = Sound(key.into_iter().map(f32::from).collect());
            let mut random = Random::new(n as u64);
            let message = message(&mut random, key, 300, -15.0);
            for channel in [
                Channel::CLEAN,
                Channel { law: Law::Mu, noise: Noise::White, noise_dbfs: level - 20.0, ..Channel::CLEAN },
            ] {
                let heard = events(&message.sound, channel);
                assert!(beeps(&heard).is_empty(), "{digit}: {:?}", beeps(&heard));
                let is_key =
                    |event: &&ToneEvent| matches!(event.heard, Heard::Key { digit: told, .. } if told == digit);
                let Some(Heard::Key { start_ms, end_ms, .. }) = heard.iter().find(is_key).map(|event| event.heard)
                else {
                    panic!("{digit} is not told: {heard:?}");
                };
                let (from, to) = (message.start_ms, message.end_ms);
                assert!(
                    start_ms.abs_diff(from) <= 25 && end_ms.abs_diff(to) <= 25,
                    "{start_ms} {end_ms}, not {from} {to}"
                );
            }
        }
    }
}

#[test]
fn call_waiting_in_the_middle_of_speech_is_no_beep() {
    let mut random = Random::new(12);
    for (hz, length) in [(440.0, 300), (425.0, 200), (450.0, 400), (400.0, 150)] {
        let mut said = || voice(&mut random, 3_000).at(-18.0);
        let sound = said().pause(40).then(tone(&[hz], length, -22.0)).pause(60).then(said());
        let sound = sound.pause(20).then(tone(&[hz], length, -22.0)).pause(40).then(said());
        let heard = events(&sound, Channel { law: Law::Mu, ..Channel::CLEAN });
        assert!(beeps(&heard).is_empty(), "{hz}: {:?}", beeps(&heard));
        let count = heard.iter().filter(|event| matches!(event.heard, Heard::CallWaiting(_))).count();
        assert_eq!(count, 2, "{hz}: {heard:?}");
    }
}

/// Returns whether a plan's tone is modulated, and by what.
fn modulation(plan: &Plan) -> Option<f32> {
    let ringing = plan.kind == SignalKind::Ringback;
    match plan.country {
        "JP" if ringing => Some(16.0),
        "IN" if ringing => Some(25.0),
        "ZA" if ringing => Some(33.3),
        "SG" if ringing => Some(24.0),
        "MY" if ringing => Some(50.0),
        _ => None,
    }
}

fn burst(plan: &Plan, scale: f32, ms: u32, dbfs: f32) -> Sound {
    let scaled: Vec<f32> = plan.frequencies.iter().map(|hz| hz * scale).collect();
    match modulation(plan) {
        Some(by_hz) => modulated(scaled[0], by_hz, 0.9, ms, dbfs),
        None => tone(&scaled, ms, dbfs),
    }
}

/// Returns at least two cycles of a plan after half a second of silence, its last silence included.
fn played(plan: &Plan, scale: f32, dbfs: f32) -> Sound {
    let mut sound = Sound::silence(500);
    if plan.cadence.is_empty() {
        return sound.then(burst(plan, scale, 4_000, dbfs));
    }
    while sound.ms() < 9_000 {
        for pair in plan.cadence.chunks(2) {
            sound = sound.then(burst(plan, scale, pair[0], dbfs)).pause(pair[1]);
        }
    }
    sound
}

/// Returns whether a signal is a right reading of a plan's tone; some are one country's busy and another's congestion.
fn fits(plan: &Plan, kind: SignalKind) -> bool {
    let is_busy = |kind| matches!(kind, SignalKind::Busy | SignalKind::Congestion);
    let is_endless = |kind| matches!(kind, SignalKind::Dial | SignalKind::Unobtainable);
    kind == plan.kind || is_busy(kind) && is_busy(plan.kind) || plan.cadence.is_empty() && is_endless(kind)
}

#[test]
fn every_country_s_tones_are_told_with_the_country_and_never_as_beeps() {
    let mut wrong = Vec::new();
    for (n, plan) in PLANS.iter().enumerate() {
        let clean = Channel { seed: n as u64, ..Channel::CLEAN };
        for (scale, dbfs, channel) in [
            (1.0, -20.0, Channel { law: Law::Mu, ..clean }),
            (0.985, -33.0, Channel { law: Law::A, noise: Noise::Pink, noise_dbfs: -46.0, ..clean }),
            (1.015, -8.0, Channel { law: Law::Mu, noise: Noise::White, noise_dbfs: -18.0, ..clean }),
        ] {
            let heard = events(&played(plan, scale, dbfs), channel);
            let told = signals(&heard);
            let is_right = !told.is_empty() && told.iter().all(|&(_, kind)| fits(plan, kind));
            let names = |event: &ToneEvent| match event.heard {
                Heard::Signal(signal) => {
                    signal.plans().any(|other| other.country == plan.country && other.kind == plan.kind)
                }
                _ => false,
            };
            // A ring that is decided before its silence is known fits no cadence yet, and noise may lengthen a burst.
            let is_known = told.iter().any(|told| told.1 == SignalKind::Ringback) || plan.cadence.is_empty();
            let is_named = is_known || channel.noise != Noise::None || heard.iter().any(names);
            if !is_right || !is_named || !beeps(&heard).is_empty() {
                wrong.push(format!("{plan:?} × {scale}, {channel:?}: {told:?}, {:?}", beeps(&heard)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn signals_are_decided_as_early_as_documented() {
    let at = |country: &str, kind: SignalKind| {
        let plan = PLANS.iter().find(|plan| plan.country == country && plan.kind == kind).expect("a plan");
        let told = signals(&events(&played(plan, 1.0, -20.0), Channel { law: Law::A, ..Channel::CLEAN }));
        assert_eq!(told[0].1, kind, "{country}");
        told[0].0 - 500
    };
    let cases = [
        // Two cycles, and the begin of the third.
        ("US", SignalKind::Busy, 2_000, 2_130),
        ("US", SignalKind::Congestion, 1_000, 1_130),
        ("DE", SignalKind::Busy, 1_920, 2_050),
        ("GB", SignalKind::Busy, 1_500, 1_630),
        // Within the first ring, its second half, or the silence after it.
        ("US", SignalKind::Ringback, 1_500, 1_630),
        ("GB", SignalKind::Ringback, 600, 830),
        ("JP", SignalKind::Ringback, 1_250, 1_420),
        ("DE", SignalKind::Ringback, 2_500, 2_620),
        ("FR", SignalKind::Ringback, 3_000, 3_120),
        ("GB", SignalKind::Unobtainable, 2_500, 2_630),
    ];
    for (country, kind, from, to) in cases {
        let ms = at(country, kind);
        assert!((from..=to).contains(&ms), "{country} {kind:?} after {ms} ms");
    }
}

#[test]
fn the_rest_of_a_ring_before_an_answer_is_neither_beep_nor_ringback() {
    let mut random = Random::new(31);
    for (frequencies, length) in
        [(&[425.0][..], 160), (&[425.0], 790), (&[440.0, 480.0], 950), (&[400.0, 450.0], 300), (&[450.0], 500)]
    {
        let sound = tone(frequencies, length, -20.0).pause(900).then(voice(&mut random, 3_000).at(-20.0)).pause(2_000);
        let heard = events(&sound, Channel { law: Law::A, ..Channel::CLEAN });
        assert!(beeps(&heard).is_empty() && signals(&heard).is_empty(), "{frequencies:?}: {heard:?}");
    }
}

#[test]
fn special_information_tones_are_told_with_their_kind() {
    let (low1, high1, low2, high2) = (913.8, 985.2, 1_370.6, 1_428.5);
    let cases = [
        (SitKind::Intercept, [(low1, 274), (low2, 274), (1_776.7, 380)], 0),
        (SitKind::Vacant, [(high1, 380), (low2, 274), (1_776.7, 380)], 0),
        (SitKind::Reorder, [(low1, 274), (high2, 380), (1_776.7, 380)], 4),
        (SitKind::Reorder, [(high1, 274), (low2, 380), (1_776.7, 380)], 0),
        (SitKind::NoCircuit, [(high1, 380), (high2, 380), (1_776.7, 380)], 25),
        (SitKind::NoCircuit, [(low1, 380), (low2, 380), (1_776.7, 380)], 0),
        (SitKind::Other, [(950.0, 330), (1_400.0, 330), (1_800.0, 330)], 20),
        (SitKind::Other, [(950.0, 330), (1_400.0, 330), (1_800.0, 330)], 200),
        (SitKind::Other, [(950.0, 330), (1_450.0, 330), (1_850.0, 330)], 0),
    ];
    let (mut lossy, mut missed) = (0, Vec::new());
    for (n, (kind, tones, gap)) in cases.into_iter().enumerate() {
        let (scale, dbfs) = [(1.0, -20.0), (0.985, -35.0), (1.015, -6.0)][n % 3];
        let mut sound = Sound::silence(400);
        for (hz, length) in tones {
            sound = sound.then(tone(&[hz * scale], length, dbfs)).pause(gap);
        }
        let third_ms = sound.ms() - tones[2].1 - gap;
        let sound = sound.pause(300).then(voice(&mut Random::new(4), 1_500).at(dbfs));
        for channel in channels(dbfs, n as u64) {
            let heard = events(&sound, channel);
            let what = format!("{kind:?} × {scale} at {dbfs}, {channel:?}: {heard:?}");
            lossy += u32::from(channel.loss != Loss::None);
            let told: Vec<_> = heard.iter().filter(|event| matches!(event.heard, Heard::Sit { .. })).collect();
            if channel.loss != Loss::None && !beeps(&heard).is_empty() {
                missed.push(what);
                continue;
            }
            let [ToneEvent { at_ms, heard: Heard::Sit { kind: told, start_ms, .. } }] = told[..] else {
                assert!(channel.loss != Loss::None, "{what}");
                missed.push(what);
                continue;
            };
            // In noise an edge may be off by more than short and long differ.
            let is_sure = channel.noise == Noise::None && channel.loss == Loss::None;
            assert!(!is_sure || *told == kind, "{what}");
            assert!(start_ms.abs_diff(400) <= 30 && *at_ms <= third_ms + 260, "{what}");
            assert!(beeps(&heard).is_empty(), "{what}");
        }
    }
    // A repeated packet breaks the phase of a short tone; seven of eight are heard all the same.
    assert!(missed.len() * 8 <= lossy as usize, "{} of {lossy}:\n{}", missed.len(), missed.join("\n"));
}

/// Returns 2100 Hz whose phase is reversed every 450 ms and whose level follows 15 Hz by `depth`.
fn answer(depth: f32, reversed: bool, ms: u32) -> Sound {
    let mut sound = modulated(2_100.0, 15.0, depth, ms, -15.0);
    for (n, value) in sound.0.iter_mut().enumerate() {
        if reversed && n / sound::samples(450) % 2 == 1 {
            *value = -*value;
        }
    }
    sound
}

/// Returns the flags of V.21's upper channel at 300 bit/s.
fn flags(ms: u32) -> Sound {
    let mut phase = 0.0f32;
    let values = (0..sound::samples(ms)).map(|n| {
        let bit = (n * 300 / 8_000) % 8;
        let hz = if bit == 0 || bit == 7 { 1_850.0 } else { 1_650.0 };
        phase = (phase + std::f32::consts::TAU * hz / sound::RATE) % std::f32::consts::TAU;
        phase.sin() * sound::amplitude(-15.0)
    });
    Sound(values.collect())
}

#[test]
fn fax_machines_and_modems_are_told_apart_and_are_no_beeps() {
    let cng = |hz: f32| tone(&[hz], 500, -20.0).pause(3_000).then(tone(&[hz], 500, -20.0)).pause(1_000);
    let cases = [
        ("CNG", cng(1_100.0), FaxKind::Cng, 620),
        ("low CNG", cng(1_064.0), FaxKind::Cng, 620),
        ("high CNG", cng(1_136.0), FaxKind::Cng, 620),
        ("CED", answer(0.0, false, 3_000), FaxKind::Ced, 1_150),
        ("ANS", answer(0.0, true, 3_300), FaxKind::AnsReversed, 1_150),
        ("ANSam", answer(0.2, true, 3_300), FaxKind::AnsAm, 1_150),
        ("ANSam without reversals", answer(0.2, false, 3_300), FaxKind::AnsAm, 1_150),
        ("V.21", flags(1_200), FaxKind::Flags, 450),
        ("Bell", tone(&[2_225.0], 3_000, -15.0), FaxKind::ModemAnswer, 1_150),
    ];
    for (name, sound, kind, within) in cases {
        let sound = Sound::silence(700).then(sound).pause(600);
        for law in [Law::Linear, Law::Mu, Law::A] {
            for (noise, noise_dbfs) in [(Noise::None, -120.0), (Noise::White, -33.0), (Noise::Pink, -30.0)] {
                let channel = Channel { law, noise, noise_dbfs, ..Channel::CLEAN };
                let heard = events(&sound, channel);
                let told = faxes(&heard);
                assert!(told.first().is_some_and(|told| told.1 == kind), "{name}, {channel:?}: {heard:?}");
                assert!(told[0].0 <= 700 + within, "{name}, {channel:?}: {told:?}");
                assert!(beeps(&heard).is_empty(), "{name}, {channel:?}: {:?}", beeps(&heard));
            }
        }
    }
}

#[test]
fn comfort_noise_and_clicks_bring_no_event() {
    let mut random = Random::new(77);
    let mut sound = Sound::default();
    for n in 0..30 {
        sound = sound.then(pink(&mut random, 400).at(-62.0 + n as f32 / 2.0)).pause(if n % 3 == 0 { 200 } else { 0 });
        sound = sound.then(white(&mut random, 10).at(-20.0));
    }
    assert_eq!(events(&sound, Channel { law: Law::Mu, ..Channel::CLEAN }), []);
}

#[test]
fn the_state_stays_below_32_kilobytes() {
    let hearing = size_of::<Hearing>() + size_of::<Progress>();
    assert!(hearing < 28_000, "{hearing} bytes, the resampler and a block of the key detector apart");
}

#[test]
fn dominant_frequencies_are_exact_within_a_third_of_a_percent() {
    let mut spectrum = spectrum::Spectrum::new();
    for n in 0..400 {
        let hz = 340.0 + 6.0 * n as f32;
        let pcm = Channel { law: Law::Mu, ..Channel::CLEAN }.pass(&tone(&[hz], 64, -25.0));
        let window = std::array::from_fn(|n| f32::from(pcm[100 + n]));
        let frame = spectrum.analyse(&window);
        let error = (frame.lines[0].hz - hz).abs() / hz;
        assert!(error < 0.003 && frame.share(1) > 0.98, "{hz} Hz: {frame:?}");
        assert!((spectrum::dbfs(frame.power) + 25.0).abs() < 0.3, "{frame:?}");
        assert!(frame.flatness < 0.05, "{frame:?}");
    }
}

#[test]
fn the_zoom_parts_lines_that_beat() {
    let mut spectrum = spectrum::Spectrum::new();
    for (frequencies, ms) in
        [(&[440.0, 480.0][..], 200), (&[400.0, 450.0], 160), (&[413.0, 438.0], 257), (&[1_150.0, 1_190.0], 200)]
    {
        let pcm = Channel::CLEAN.pass(&tone(frequencies, ms, -20.0));
        let (lines, _) = spectrum.zoom(frequencies[0] + 20.0, pcm.len(), |n| f32::from(pcm[n]));
        for hz in frequencies {
            let line =
                lines.iter().find(|line| (line.hz - hz).abs() < 2.0).unwrap_or_else(|| panic!("{hz}: {lines:?}"));
            assert!((spectrum::dbfs(line.power) + 20.0).abs() < 1.5, "{hz}: {lines:?}");
        }
        assert!(lines[2].power < 0.05 * lines[0].power, "{lines:?}");
    }
}
