//! Calls through a switch under virtual time: packets of any length, changes between relay and frames, keys, pauses.
//!
//! ```text
//! phone (sim::phones) ─▶ seeded jitter ─▶ switch: relay, or decode ─▶ frames ─▶ encode ─▶ phone
//! ```
//!
//! Every network is seeded; a failure message contains the seed. Phones send a sine, whose phase shows the position of each sample
//! in the stream. Not here: sockets and threads (`worker_relay`).

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "sim/network.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod network;
#[path = "sim/phones.rs"]
mod phones;

use std::collections::BTreeMap;
use std::time::Duration;

use codecs::SampleRate;
use codecs::g711::{alaw_decode, ulaw_decode};
use codecs::tones::{goertzel_dbfs, level_dbfs};
use media_engine::audio::tap::tap;
use media_engine::rtp::RtpHeader;
use media_engine::rtp::telephone_event::{EventReceiver, TelephoneEvent};
use media_engine::sdp::{Codec, TelephoneEventFormat};
use media_engine::units::{ClockRate, LegId};
use media_engine::worker::{WorkerCommand, WorkerEventKind};
use network::Rng;
use phones::{EVENT, Lab, MS, Phone, Sent, audio, is_one_stream, noise, ticks_of};

const L16: Codec = Codec::L16 { rate: SampleRate::HZ_16000 };

/// Opens two legs that hear each other.
fn call(lab: &mut Lab, a: (Codec, u64), b: (Codec, u64)) -> (Phone, Phone) {
    let (a, b) = (lab.phone(audio(a.0, 4000, a.1)), lab.phone(audio(b.0, 4002, b.1)));
    lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
    (a, b)
}

/// Largest step between samples of a 440 Hz sine at −12 dBFS, with tolerance for codecs and resampling.
fn step_of(rate: SampleRate) -> u16 {
    (8_231.0 * std::f64::consts::TAU * 440.0 / f64::from(rate.hz()) * 1.12) as u16 + 60
}

fn largest_step(samples: &[i16]) -> u16 {
    samples.windows(2).map(|pair| pair[1].abs_diff(pair[0])).max().unwrap_or(0)
}

#[test]
fn packets_of_any_length_pass_between_any_codecs_in_the_negotiated_length() {
    let lengths = [10, 20, 30, 40, 50, 60];
    let short = [10, 20, 40, 60];
    let pairs = [
        (Codec::Pcmu, Codec::Pcma, &lengths[..], &lengths[..]),
        (L16, Codec::Pcmu, &[10, 20, 30, 40], &lengths),
        (Codec::Pcma, L16, &lengths, &[10, 20, 30, 40]),
        (Codec::G722, Codec::Pcmu, &lengths, &lengths),
        (Codec::Pcmu, Codec::G722, &lengths, &lengths),
        (Codec::Pcmu, Codec::Opus, &[20, 30, 60], &short),
        (Codec::Opus, Codec::G722, &short, &[10, 30, 50]),
    ];
    for (from, to, lengths_in, lengths_out) in pairs {
        for (&here, &there) in lengths_in.iter().flat_map(|here| lengths_out.iter().map(move |there| (here, there))) {
            let what = format!("{from:?} {here} ms to {to:?} {there} ms");
            let mut lab = Lab::new(here * 100 + there);
            let (mut a, b) = call(&mut lab, (from, here), (to, there));
            lab.talk(&mut a, (1_500 / here) as u32);
            let heard = lab.heard(&b);
            is_one_stream(&heard).unwrap_or_else(|error| panic!("{what}: {error}"));
            let ticks = to.clock().0 / 1_000 * there as u32;
            assert!(heard.iter().all(|sent| ticks_of(to, &sent.payload) == ticks), "{what}");
            let steps = heard.windows(2).map(|pair| pair[1].header.timestamp.wrapping_sub(pair[0].header.timestamp));
            assert!(steps.into_iter().all(|step| step == ticks), "{what}");
            let (rate, samples) = (to.sample_rate(), b.listen(&heard));
            let last = &samples[samples.len() - rate.samples_in_ms(500)..];
            let level = goertzel_dbfs(last, rate, 440.0);
            assert!((level + 12.0).abs() < 1.5, "{what}: {level} dBFS");
            assert!(largest_step(last) <= step_of(rate) + 200, "{what}: a step of {}", largest_step(last));
        }
    }
}

#[test]
fn opus_of_any_length_is_relayed_and_sample_codecs_are_repacketised() {
    for (codec, relayed) in [(Codec::Opus, true), (Codec::Pcmu, false), (Codec::G722, false)] {
        let mut lab = Lab::new(1);
        let (mut a, b) = call(&mut lab, (codec, 20), (codec, 40));
        lab.talk(&mut a, 50);
        assert_eq!(lab.switch.counters().packets_relayed, if relayed { 50 } else { 0 }, "{codec:?}");
        let expected = b.ticks(if relayed { 20 } else { 40 });
        let heard = lab.heard(&b);
        assert!(heard.len() >= 20 && heard[5..].iter().all(|sent| ticks_of(codec, &sent.payload) == expected));
    }
}

#[test]
fn mu_law_and_a_law_are_converted_in_transit_without_delay() {
    for (from, to) in [(Codec::Pcmu, Codec::Pcma), (Codec::Pcma, Codec::Pcmu)] {
        let mut lab = Lab::new(1);
        let (mut a, b) = call(&mut lab, (from, 20), (to, 20));
        let mut said = Vec::new();
        for n in 0..100 {
            let (header, payload) = a.say();
            // A lost packet stays lost: the listener conceals it as it would without a relay.
            if n % 10 != 5 {
                lab.deliver(&a, &header, &payload);
                said.push((lab.now, header, payload));
            }
            lab.advance(MS * 20);
        }
        let heard = lab.heard(&b);
        assert_eq!(lab.switch.counters().packets_relayed, 90);
        assert_eq!(heard.len(), said.len());
        for (sent, (at, header, payload)) in heard.iter().zip(&said) {
            assert_eq!(sent.at, *at);
            assert_eq!(sent.header.payload_type, b.audio.payload_type);
            let numbers = |header: &RtpHeader, first: &RtpHeader| {
                (header.sequence.wrapping_sub(first.sequence), header.timestamp.wrapping_sub(first.timestamp))
            };
            assert_eq!(numbers(&sent.header, &heard[0].header), numbers(header, &said[0].1));
            for (&before, &after) in payload.iter().zip(&sent.payload) {
                let (before, after) = match from {
                    Codec::Pcmu => (ulaw_decode(before), alaw_decode(after)),
                    _ => (alaw_decode(before), ulaw_decode(after)),
                };
                assert!(before.abs_diff(after) <= 8 + before.unsigned_abs() / 32, "{before} became {after}");
            }
        }
    }
}

#[test]
fn a_tap_receives_frames_while_packets_are_relayed() {
    let mut lab = Lab::new(2);
    let (mut a, b) = call(&mut lab, (Codec::Pcmu, 20), (Codec::Pcmu, 20));
    lab.talk(&mut a, 50);
    let (writer, mut reader) = tap(100);
    lab.tap(a.id, writer);
    lab.talk(&mut a, 50);
    let mut tapped = Vec::new();
    while let Some(item) = reader.pop() {
        tapped.extend_from_slice(item.frame.samples());
    }
    drop(reader);
    lab.untap(a.id);
    lab.talk(&mut a, 50);
    assert_eq!(lab.switch.counters().packets_relayed, 150, "the listener hears packets all the while");
    assert!(goertzel_dbfs(&tapped[1_600..], SampleRate::HZ_8000, 440.0) > -13.0);
    let heard = lab.heard(&b);
    is_one_stream(&heard).unwrap();
    assert!(heard.windows(2).all(|pair| pair[1].header.timestamp.wrapping_sub(pair[0].header.timestamp) == 160));
}

/// Checks a listener's stream from a talker through a jittery network while the path changes: every number once, every sample in
/// its place, no step in the sound, and about as much of it as was said.
fn changes(seed: u64, codec: Codec, jitter_us: u64, tapped: bool, change: impl Fn(&mut Lab, &Phone, &Phone, u32)) {
    let what = format!("seed {seed}, {codec:?}, jitter {jitter_us} us, tapped {tapped}");
    let mut lab = Lab::new(seed);
    let mut rng = Rng(seed);
    let (mut a, b) = call(&mut lab, (codec, 20), (codec, 20));
    let _reader = tapped.then(|| {
        let (writer, reader) = tap(10);
        lab.tap(a.id, writer);
        reader
    });
    // In order of arrival: the key is the time in microseconds and a number that makes it unique.
    let mut arriving = BTreeMap::new();
    for n in 0..400_u32 {
        let at = u64::from(n) * 20_000 + rng.below(jitter_us);
        arriving.insert((at, n), a.say());
    }
    let begin = lab.now;
    for (count, ((at, _), (header, payload))) in arriving.into_iter().enumerate() {
        lab.until(begin + Duration::from_micros(at));
        lab.deliver(&a, &header, &payload);
        change(&mut lab, &a, &b, count as u32);
    }
    lab.advance(MS * 300);
    let heard = lab.heard(&b);
    // Reordered packets are relayed in order of arrival; packets generated for the silence at the end do not count.
    let mut numbers: Vec<u16> =
        heard.iter().map(|sent| sent.header.sequence.wrapping_sub(heard[0].header.sequence)).collect();
    numbers.sort_unstable_by_key(|number| number.wrapping_add(100));
    assert!(
        numbers.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)),
        "{what}: a sequence number occurs twice or never"
    );
    assert!(heard.iter().all(|sent| sent.header.ssrc == heard[0].header.ssrc), "{what}");
    let rate = codec.sample_rate();
    let samples = b.listen(&heard);
    let sounding = samples.len() - samples.iter().rev().take_while(|sample| sample.unsigned_abs() < 300).count();
    let said = 400 * rate.samples_in_ms(20);
    let off_ms = (sounding as f64 - said as f64) / f64::from(rate.hz()) * 1_000.0;
    let step = largest_step(&samples[..sounding.min(said) - rate.samples_in_ms(100)]);
    println!("{what}: {off_ms:+.1} ms of {} s, largest step {step}", said / rate.hz() as usize);
    // A G.722 decoder follows its encoder by past samples, which another encoder does not have, and the pair of them adds 1.4 ms.
    // After a change the output takes some milliseconds to settle.
    assert!(codec == Codec::G722 || step <= step_of(rate), "{what}: a step of {step}");
    assert!(off_ms.abs() <= 40.0, "{what}: {off_ms:+.1} ms");
}

#[test]
fn switching_between_relay_and_frames_never_clicks_loses_or_repeats() {
    for seed in 0..10 {
        for codec in [Codec::Pcmu, Codec::G722, L16] {
            for (jitter_us, tapped) in [(1, false), (1, true), (15_000, false), (15_000, true)] {
                // A listener that hears silence from another leg beside its talker: only the path changes.
                changes(seed, codec, jitter_us, tapped, |lab, _, b, n| match n % 100 {
                    30 => lab.tell(WorkerCommand::Play {
                        leg: b.id,
                        segment: u64::from(n),
                        rate: codec.sample_rate(),
                        samples: vec![0; 80].into(),
                        last: false,
                    }),
                    60 => lab.tell(WorkerCommand::StopPlay { leg: b.id, segment: None }),
                    _ => {}
                });
            }
        }
    }
}

#[test]
fn a_codec_change_on_one_side_keeps_the_outgoing_stream() {
    for seed in 0..8 {
        let mut lab = Lab::new(seed);
        let (mut a, mut b) = call(&mut lab, (Codec::Pcmu, 20), (Codec::Pcmu, 20));
        lab.advance(Duration::from_micros(seed * 2_500));
        lab.talk(&mut a, 50);
        // Converted by table, by frames, and by header only.
        for codec in [Codec::Pcma, Codec::G722, Codec::Pcmu] {
            let part = lab.heard(&b);
            b.audio = audio(codec, 4002, 20);
            lab.tell(WorkerCommand::RtpUpdate { leg: b.id, audio: b.audio });
            lab.talk(&mut a, 100);
            let mut joined = part[part.len() - 1..].to_vec();
            let now = lab.heard(&b);
            joined.extend_from_slice(&now);
            is_one_stream(&joined).unwrap_or_else(|error| panic!("seed {seed}, {codec:?}: {error}"));
            assert!(joined.windows(2).all(|p| p[1].header.timestamp.wrapping_sub(p[0].header.timestamp) == 160));
            let gap = joined.windows(2).map(|pair| pair[1].at - pair[0].at).max().unwrap();
            assert!(gap <= MS * 45, "seed {seed}, {codec:?}: nothing for {gap:?}");
            // A G.722 encoder that begins within a tone needs some milliseconds to follow it.
            let samples = &b.listen(&now)[codec.sample_rate().samples_in_ms(10)..];
            let (step, most) = (largest_step(samples), step_of(codec.sample_rate()));
            assert!(step <= most, "seed {seed}, {codec:?}: {step} of {most}");
            lab.sent.extend(now);
        }
    }
}

/// Lets a talker send silence, then a tone, and then hold a key. Returns the delays of the tone and of the key through the call,
/// and the packets of the key.
fn key_through(lab: &mut Lab, a: &mut Phone, b: &Phone, held_ms: u32) -> (Duration, Duration, Vec<Sent>) {
    a.silent = true;
    lab.talk(a, 60);
    a.silent = false;
    let spoke_at = lab.now;
    lab.talk(a, 20);
    let heard = lab.heard(b);
    let rate = b.audio.codec.sample_rate();
    let onset = heard.iter().find(|sent| {
        // Each packet is decoded by itself: a decoder with look-ahead would shift all packets alike.
        let samples = b.listen(std::slice::from_ref(sent));
        level_dbfs(&samples[samples.len() - rate.samples_in_ms(10)..]) > -30.0
    });
    let audio_takes = onset.expect("the tone is heard").at - spoke_at;
    // From here on the key replaces the audio: its first packet must leave when the first audio packet would.
    let (pressed_at, began) = (lab.now, a.now_stamp());
    let interval = a.ticks(20);
    let total = a.ticks(held_ms);
    let mut duration = 0;
    let mut ends = 0;
    while ends < 3 {
        duration = (duration + interval).min(total);
        let over = duration == total;
        ends += u32::from(over);
        let (event, end) = (5, over);
        let payload = TelephoneEvent { event, end, volume: 10, duration: duration as u16 };
        let mut bytes = [0; 4];
        payload.write_to(&mut bytes).unwrap();
        let mut header = a.header(EVENT, began);
        header.marker = duration == interval;
        lab.deliver(a, &header, &bytes);
        if !over {
            a.said += a.audio.codec.sample_rate().samples_in_ms(20) as u64;
        }
        lab.advance(MS * 20);
    }
    lab.talk(a, 40);
    let keys: Vec<Sent> = lab.heard(b);
    let first = keys.iter().find(|sent| sent.header.payload_type == EVENT).expect("the key is heard");
    (audio_takes, first.at - pressed_at, keys)
}

#[test]
fn a_key_is_delayed_like_the_audio_and_keeps_its_duration() {
    let codecs =
        [(Codec::Pcmu, Codec::Opus), (Codec::Opus, Codec::Pcmu), (Codec::Pcmu, Codec::G722), (L16, Codec::G722)];
    for seed in 0..6 {
        for (from, to) in codecs {
            for held_ms in [40, 100, 260, 1_000] {
                let what = format!("seed {seed}, {from:?} to {to:?}, {held_ms} ms");
                let mut lab = Lab::new(seed);
                lab.advance(MS * seed as u32 * 3);
                let (mut a, b) = call(&mut lab, (from, 20), (to, 20));
                let (audio_takes, key_takes, heard) = key_through(&mut lab, &mut a, &b, held_ms);
                assert!(key_takes.abs_diff(audio_takes) <= MS * 20, "{what}: {audio_takes:?}, key {key_takes:?}");
                is_one_stream(&heard).unwrap_or_else(|error| panic!("{what}: {error}"));
                let keys: Vec<_> = heard.iter().filter(|sent| sent.header.payload_type == EVENT).collect();
                let parsed: Vec<_> = keys.iter().map(|sent| TelephoneEvent::parse(&sent.payload).unwrap()).collect();
                let ends: Vec<_> = parsed.iter().filter(|event| event.end).collect();
                let total = b.ticks(held_ms);
                assert_eq!(ends.len(), 3, "{what}: {parsed:?}");
                assert!(ends.iter().all(|event| u32::from(event.duration) == total), "{what}: {parsed:?}");
                assert!(keys.iter().enumerate().all(|(n, sent)| sent.header.marker == (n == 0)), "{what}");
                assert!(keys.iter().all(|sent| sent.header.timestamp == keys[0].header.timestamp), "{what}");
                assert!(parsed.windows(2).all(|pair| pair[1].duration >= pair[0].duration), "{what}");
                let last = heard.last().unwrap();
                assert!(last.header.payload_type == b.audio.payload_type, "{what}: audio continues");
                let told: Vec<_> =
                    lab.events.iter().filter(|event| matches!(event.kind, WorkerEventKind::Dtmf { .. })).collect();
                assert_eq!(told.len(), 1, "{what}");
                assert_eq!(told[0].kind, WorkerEventKind::Dtmf { digit: '5', duration_ms: held_ms });
            }
        }
    }
}

#[test]
fn a_key_held_for_seconds_is_one_key_also_with_a_fast_clock() {
    let mut lab = Lab::new(3);
    let (mut a, b) = call(&mut lab, (Codec::Pcmu, 20), (Codec::Opus, 20));
    let (_, _, heard) = key_through(&mut lab, &mut a, &b, 3_000);
    let mut receiver = EventReceiver::new(ClockRate::HZ_48000);
    let mut digits = Vec::new();
    for sent in heard.iter().filter(|sent| sent.header.payload_type == EVENT) {
        digits.extend(receiver.on_packet(
            sent.header.timestamp,
            &TelephoneEvent::parse(&sent.payload).unwrap(),
            sent.at,
        ));
    }
    assert_eq!(digits.len(), 1, "{digits:?}");
    assert_eq!((digits[0].digit, digits[0].duration_ticks), ('5', 144_000));
}

#[test]
fn a_key_ends_even_if_its_end_is_lost_or_its_leg_is_removed() {
    for leaves in [false, true] {
        let mut lab = Lab::new(4);
        let (mut a, b) = call(&mut lab, (Codec::Pcmu, 20), (Codec::Opus, 20));
        lab.talk(&mut a, 50);
        let began = a.now_stamp();
        for duration in [160, 320, 480_u16] {
            let header = a.header(EVENT, began);
            let [high, low] = duration.to_be_bytes();
            lab.deliver(&a, &header, &[7, 10, high, low]);
            lab.advance(MS * 20);
        }
        if leaves {
            lab.tell(WorkerCommand::Unbridge { leg: a.id });
        }
        lab.advance(MS * 600);
        let heard = lab.heard(&b);
        let ends = heard.iter().filter(|sent| sent.header.payload_type == EVENT && sent.payload[1] & 0x80 != 0);
        let lengths: Vec<u16> = ends.map(|sent| u16::from_be_bytes([sent.payload[2], sent.payload[3]])).collect();
        assert_eq!(lengths, [2_880; 3], "60 ms, leaves {leaves}");
        assert_ne!(heard.last().unwrap().header.payload_type, EVENT);
    }
}

#[test]
fn keys_pass_between_relayed_legs_whose_event_clocks_differ() {
    let mut lab = Lab::new(5);
    let (mut here, there) = (audio(Codec::Opus, 4000, 20), audio(Codec::Opus, 4002, 20));
    here.telephone_event =
        Some(TelephoneEventFormat { payload_type: EVENT, receive_payload_type: EVENT, clock: ClockRate::HZ_8000 });
    let (mut a, b) = (lab.phone(here), lab.phone(there));
    lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
    lab.talk(&mut a, 50);
    let began = a.now_stamp();
    for (end, duration) in [(0, 160_u16), (0, 320), (0x80, 480), (0x80, 480), (0x80, 480)] {
        let header = a.header(EVENT, began);
        let [high, low] = duration.to_be_bytes();
        lab.deliver(&a, &header, &[3, 10 | end, high, low]);
        lab.advance(MS * 20);
    }
    a.said += 2_880;
    lab.talk(&mut a, 50);
    let heard = lab.heard(&b);
    let ends: Vec<_> = heard.iter().filter(|s| s.header.payload_type == EVENT && s.payload[1] & 0x80 != 0).collect();
    assert_eq!(ends.iter().map(|s| u16::from_be_bytes([s.payload[2], s.payload[3]])).collect::<Vec<_>>(), [2_880; 3]);
    let relayed = lab.switch.counters().packets_relayed;
    lab.talk(&mut a, 10);
    assert_eq!(lab.switch.counters().packets_relayed, relayed + 10, "and packets are relayed again");
}

/// Lets A pause for a second after it has sent its background level; returns the packets sent to B during the pause.
fn pause(lab: &mut Lab, a: &mut Phone, b: &Phone, level: u8) -> Vec<Sent> {
    lab.talk(a, 50);
    lab.heard(b);
    let header = a.header(13, a.now_stamp());
    lab.deliver(a, &header, &[level]);
    let pause = Duration::from_secs(1);
    lab.advance(pause);
    a.said += u64::from(a.audio.codec.sample_rate().hz());
    lab.heard(b)
}

#[test]
fn comfort_noise_is_relayed_when_both_legs_support_it() {
    let mut lab = Lab::new(6);
    let (mut here, mut there) = (audio(Codec::Pcmu, 4000, 20), audio(Codec::Pcmu, 4002, 20));
    (here.comfort_noise, there.comfort_noise) = (noise(), noise());
    let (mut a, b) = (lab.phone(here), lab.phone(there));
    lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
    let heard = pause(&mut lab, &mut a, &b, 50);
    assert_eq!(
        heard.iter().map(|sent| (sent.header.payload_type, &sent.payload[..])).collect::<Vec<_>>(),
        [(13, &[50][..])]
    );
    lab.talk(&mut a, 20);
    let after = lab.heard(&b);
    is_one_stream(&[heard, after.clone()].concat()).unwrap();
    assert_eq!(after.len(), 20);
}

#[test]
fn comfort_noise_is_rendered_for_a_leg_that_does_not_support_it() {
    for codec in [Codec::Pcmu, Codec::Opus, Codec::G722] {
        let mut lab = Lab::new(7);
        let mut here = audio(Codec::Pcmu, 4000, 20);
        here.comfort_noise = noise();
        let (mut a, b) = (lab.phone(here), lab.phone(audio(codec, 4002, 20)));
        lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
        let heard = pause(&mut lab, &mut a, &b, 40);
        assert_eq!(heard.len(), 50, "{codec:?}: audio continues");
        let samples = b.listen(&heard[10..]);
        let level = level_dbfs(&samples);
        assert!((level + 37.0).abs() < 4.0, "{codec:?}: {level} dBFS");
        lab.tell(WorkerCommand::LegClose { leg: a.id });
        lab.drain();
        let closed = lab.events.iter().find_map(|event| match (&event.kind, event.leg) {
            (WorkerEventKind::Closed(quality), leg) if leg == a.id => Some(*quality),
            _ => None,
        });
        assert_eq!(closed.unwrap().frames_concealed, 0, "a pause is not counted as loss");
    }
}

#[test]
fn a_pause_is_sent_as_comfort_noise_to_a_leg_that_supports_it() {
    let mut lab = Lab::new(8);
    let (mut here, mut there) = (audio(Codec::Pcmu, 4000, 20), audio(Codec::G722, 4002, 20));
    (here.comfort_noise, there.comfort_noise) = (noise(), noise());
    let (mut a, b) = (lab.phone(here), lab.phone(there));
    lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
    let heard = pause(&mut lab, &mut a, &b, 45);
    let noises: Vec<_> = heard.iter().filter(|sent| sent.header.payload_type == 13).collect();
    assert!((2..=3).contains(&noises.len()), "one as it begins, one every 400 ms: {}", noises.len());
    assert!(heard.len() <= 12, "{} packets in a pause", heard.len());
    let level = noises.last().unwrap().payload[0];
    assert!((43..=47).contains(&level), "−{level} dBov");
    lab.talk(&mut a, 20);
    let after = lab.heard(&b);
    is_one_stream(&[heard.clone(), after.clone()].concat()).unwrap();
    let begins = after.iter().find(|sent| sent.header.payload_type == 9).unwrap();
    assert!(begins.header.marker, "a talkspurt begins");
    let behind = begins.header.timestamp.wrapping_sub(heard[0].header.timestamp);
    assert!((7_000..=9_000).contains(&behind), "{behind} ticks for a second");
}

#[test]
fn no_silence_is_sent_to_an_opus_leg_that_asked_for_dtx() {
    let mut lab = Lab::new(9);
    let mut there = audio(Codec::Opus, 4002, 20);
    there.dtx = true;
    let (mut a, b) = (lab.phone(audio(Codec::Pcmu, 4000, 20)), lab.phone(there));
    lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
    lab.talk(&mut a, 50);
    a.silent = true;
    lab.talk(&mut a, 100);
    lab.heard(&b);
    lab.talk(&mut a, 100);
    let quiet = lab.heard(&b);
    assert!(quiet.len() <= 15, "{} packets of silence in 2 s", quiet.len());
    a.silent = false;
    lab.talk(&mut a, 50);
    let loud = lab.heard(&b);
    assert!(loud.len() >= 48 && loud.iter().all(|sent| sent.payload.len() > 2));
    let begins = loud.iter().position(|sent| sent.header.marker).unwrap();
    assert!(begins <= 2, "the marker begins the talkspurt");
    is_one_stream(&loud).unwrap();
}

#[test]
fn switching_to_shorter_packets_loses_no_buffered_audio() {
    for after in 1..6 {
        let mut lab = Lab::new(after);
        let (mut a, mut b) = call(&mut lab, (Codec::G722, 20), (Codec::Pcmu, 60));
        lab.talk(&mut a, 60 + after as u32);
        b.audio = audio(Codec::Pcmu, 4002, 20);
        lab.tell(WorkerCommand::RtpUpdate { leg: b.id, audio: b.audio });
        lab.talk(&mut a, 60);
        let heard = lab.heard(&b);
        is_one_stream(&heard).unwrap_or_else(|error| panic!("after {after}: {error}"));
        let said: u32 = heard.iter().map(|sent| sent.payload.len() as u32).sum();
        let spans = heard.last().unwrap().header.timestamp.wrapping_sub(heard[0].header.timestamp);
        assert_eq!(said, spans + heard.last().unwrap().payload.len() as u32, "after {after}: a gap in the sent audio");
        let samples = b.listen(&heard[5..]);
        assert!(largest_step(&samples) <= step_of(SampleRate::HZ_8000) + 200, "{}", largest_step(&samples));
    }
}

#[test]
fn joining_and_separating_a_leg_many_times_sends_no_more_audio_than_real_time() {
    for seed in 0..4 {
        let mut lab = Lab::new(seed);
        let (mut a, b) = call(&mut lab, (Codec::Pcmu, 20), (Codec::G722, 20));
        lab.advance(Duration::from_micros(seed * 5_300));
        lab.talk(&mut a, 50);
        let begun = lab.heard(&b).last().unwrap().clone();
        for n in 0..20_u32 {
            lab.tell(WorkerCommand::Unbridge { leg: b.id });
            lab.talk(&mut a, 7);
            lab.advance(MS * (n % 5) * 3);
            lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
            lab.talk(&mut a, 10);
        }
        let heard = lab.heard(&b);
        assert!(heard.windows(2).all(|pair| pair[1].at - pair[0].at >= MS * 10), "seed {seed}: two frames at once");
        let last = heard.last().unwrap();
        let sent_ms = i64::from(last.header.timestamp.wrapping_sub(begun.header.timestamp)) / 8;
        let passed_ms = (last.at - begun.at).as_millis() as i64;
        println!("seed {seed}: {sent_ms} ms sent in {passed_ms} ms");
        assert!(sent_ms <= passed_ms + 20, "seed {seed}: {sent_ms} ms sent in {passed_ms} ms");
        // A pause counts in whole packets: a splice discards less than one.
        assert!(passed_ms - sent_ms <= 20 * 20, "seed {seed}: {sent_ms} ms sent in {passed_ms} ms");
    }
}

#[test]
fn no_leg_keeps_an_unneeded_decoder() {
    let mut lab = Lab::new(10);
    let (mut a, b) = call(&mut lab, (Codec::Pcmu, 20), (Codec::Pcmu, 20));
    lab.talk(&mut a, 20);
    lab.tell(WorkerCommand::Play {
        leg: b.id,
        segment: 1,
        rate: SampleRate::HZ_8000,
        samples: vec![0; 800].into(),
        last: true,
    });
    lab.talk(&mut a, 100);
    let frames = lab.switch.counters().frames;
    lab.talk(&mut a, 50);
    assert_eq!(lab.switch.counters().frames, frames, "relayed legs generate nothing");
    lab.tell(WorkerCommand::LegClose { leg: LegId(4000) });
    lab.tell(WorkerCommand::LegClose { leg: LegId(4002) });
    assert_eq!(lab.switch.census().legs, 0);
}

#[test]
fn long_packets_keep_their_timing_while_clocks_drift() {
    for (ptime, ppm) in [(40, 200_i64), (60, 200), (40, -200)] {
        let mut lab = Lab::new(5);
        let (mut a, b) = call(&mut lab, (Codec::Pcmu, ptime), (Codec::G722, 20));
        let begun = lab.now;
        let packets = 300_000 / ptime as i64;
        for n in 1..=packets {
            let (header, payload) = a.say();
            lab.deliver(&a, &header, &payload);
            let due_us = n * ptime as i64 * 1_000 + n * ptime as i64 * ppm / 1_000;
            lab.until(begun + Duration::from_micros(due_us as u64));
        }
        let frames = lab.heard(&b).len() as i64;
        let said = packets * ptime as i64 / 20;
        println!("{ptime} ms, {ppm} ppm: {frames} frames of {said}");
        // 60 ms of drift: corrections by splices would add or remove frames.
        assert!((frames - said).abs() <= 3, "{ptime} ms, {ppm} ppm: {frames} frames of {said}");
    }
}

#[test]
fn frames_leave_soon_after_their_packets_while_clocks_drift() {
    // 3 ms of margin and up to 2 ms of room. Where packets arrive ever earlier, the delay estimate lags by six seconds of drift:
    // 1.2 ms.
    for (seed, ppm, most) in [(3_u32, 0_i64, MS * 5), (11, 200, MS * 5), (17, -200, MS * 6)] {
        let mut lab = Lab::new(u64::from(seed));
        lab.advance(MS * seed);
        let (mut a, b) = call(&mut lab, (Codec::Pcmu, 20), (Codec::G722, 20));
        let (begun, mut frames, mut worst) = (lab.now, 0, Duration::ZERO);
        const PACKETS: i64 = 15_000;
        for n in 1..=PACKETS {
            let (header, payload) = a.say();
            lab.deliver(&a, &header, &payload);
            let arrived = lab.now;
            let due_us = n * 20_000 + n * 20_000 * ppm / 1_000_000;
            lab.until(begun + Duration::from_micros(due_us as u64));
            for sent in lab.heard(&b) {
                frames += 1;
                // The first two seconds are for adaptation.
                if n > 100 {
                    worst = worst.max(sent.at - arrived);
                }
            }
        }
        let quality = lab.events.iter().rev().find_map(|event| match event.kind {
            WorkerEventKind::Quality(quality) if event.leg == a.id => Some(quality),
            _ => None,
        });
        let quality = quality.unwrap();
        println!("{ppm} ppm: {frames} frames, at most {worst:?} behind their packets, {quality:?}");
        assert!(worst <= most, "seed {seed}, {ppm} ppm: {worst:?}");
        assert_eq!((quality.packets_late, quality.frames_concealed), (0, 0), "seed {seed}, {ppm} ppm");
        // One frame per packet: drift moves ticks and neither creates nor drops audio.
        assert!((PACKETS - frames as i64).abs() <= 2, "seed {seed}, {ppm} ppm: {frames} frames");
    }
}
