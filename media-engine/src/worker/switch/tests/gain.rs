//! The sound of a relayed leg whose gain changes, sample by sample: no click, nothing lost, nothing heard twice.
//!
//! A phone sends an unbroken sine, and the listener's packets are put together by their time stamps. A sine satisfies
//! `y[n] = 2 cos(w) y[n-1] - y[n-2]`; the error of that equation is small while the tone goes on and while its level changes slowly,
//! and as large as the jump where there is one. The phase of the tone against the time stamps tells whether samples are missing or
//! repeated.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// Frequency of the tone in Hz: no whole number of periods in a packet, so that no repeated or missing packet goes unnoticed.
const TONE_HZ: f32 = 330.0;
/// Largest error of the sine's equation relative to the amplitude at that place: G.711's own steps, twice, and a slow ramp.
const CLICK: f32 = 0.2;
/// Longest splice from frames to the relay, and the length of the ramp of a gain, in samples: 10 ms.
const SPLICE: usize = 80;

/// What a listener is sent, by time stamp.
struct Heard {
    samples: Vec<f32>,
    first: u32,
}

impl Heard {
    /// Puts packets together. Panics when the numbering or the time stamps of the stream are broken.
    fn of(packets: &[(RtpHeader, Vec<u8>)], decode: fn(u8) -> i16) -> Heard {
        for pair in packets.windows(2) {
            let ((before, payload), (after, _)) = (&pair[0], &pair[1]);
            assert_eq!(after.ssrc, before.ssrc);
            assert_eq!(after.sequence, before.sequence.wrapping_add(1), "a packet is missing");
            assert_eq!(after.timestamp, before.timestamp.wrapping_add(payload.len() as u32), "samples are missing");
        }
        let samples = packets.iter().flat_map(|(_, payload)| payload.iter().map(|&code| f32::from(decode(code))));
        Heard { samples: samples.collect(), first: packets[0].0.timestamp }
    }

    /// Position of a time stamp.
    fn at(&self, timestamp: u32) -> usize {
        timestamp.wrapping_sub(self.first) as usize
    }

    /// Amplitude and phase (in samples of delay, within one period) of the tone in the samples from `at` on.
    fn tone(&self, at: usize, length: usize) -> (f32, f32) {
        let w = std::f32::consts::TAU * TONE_HZ / NARROW.hz() as f32;
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in self.samples.iter().enumerate().skip(at).take(length) {
            let (sin, cos) = (w * n as f32).sin_cos();
            re += sample * cos;
            im += sample * sin;
        }
        (2.0 * re.hypot(im) / length as f32, im.atan2(re) / w)
    }

    /// The largest error of the sine's equation, relative to the amplitude around it, and its position.
    fn worst(&self) -> (f32, usize) {
        let w = std::f32::consts::TAU * TONE_HZ / NARROW.hz() as f32;
        let period = (NARROW.hz() as f32 / TONE_HZ) as usize;
        let error = |n: usize| {
            let [a, b, c] = [self.samples[n - 2], self.samples[n - 1], self.samples[n]];
            let around = &self.samples[n.saturating_sub(period)..(n + period).min(self.samples.len())];
            let amplitude = around.iter().fold(0.0_f32, |most, sample| most.max(sample.abs()));
            (c - 2.0 * w.cos() * b + a).abs() / amplitude.max(1.0)
        };
        (2..self.samples.len())
            .map(|n| (error(n), n))
            .fold((0.0, 0), |worst, now| if now.0 > worst.0 { now } else { worst })
    }
}

/// Difference of two phases in samples, within half a period.
fn shift(one: f32, other: f32) -> f32 {
    let period = NARROW.hz() as f32 / TONE_HZ;
    let shift = (one - other).rem_euclid(period);
    shift.min(period - shift)
}

/// Sends packets that each arrive up to `late` after their time.
fn talk(lab: &mut Lab, phone: &mut Phone, ticks: u32, (late, random): (u64, &mut SmallRng)) {
    for _ in 0..ticks {
        let delay = MS * random.random_range(0..=late) as u32;
        lab.advance(delay);
        let mut pcm = [0; 160];
        phone.sine.fill(&mut pcm);
        lab.send_packet(phone, 0, false, &pcm.map(ulaw_encode));
        (phone.sequence, phone.timestamp) = (phone.sequence.wrapping_add(1), phone.timestamp.wrapping_add(160));
        lab.advance(MS * 20 - delay);
    }
}

/// Changes the gain of a relayed leg to `db` and back; `offset` is the time between the leg's ticks and its packets, and `late` the
/// largest delay of a packet, in ms. A leg that `is_tapped` is decoded beside the relay, later than it.
fn changes_without_a_click(
    (listener, decode): (Codec, fn(u8) -> i16),
    db: i8,
    (offset, late, is_tapped): (u64, u64, bool),
) {
    let what = format!("{db} dB to {listener:?}, packets at {offset} ms, up to {late} ms late, tapped: {is_tapped}");
    let mut random = SmallRng::seed_from_u64(offset + 100 * late);
    let mut lab = Lab::new();
    let (mut a, b) = (lab.phone(Codec::Pcmu, 4000), lab.phone(listener, 4002));
    a.sine = Sine::new(NARROW, TONE_HZ, -18.0);
    lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
    let (writer, _recorder) = crate::audio::tap::tap(500);
    if is_tapped {
        lab.switch.handle(Input::tap(a.id, TapPoint::Speech, writer), lab.now);
    }
    lab.advance(MS * offset as u32);
    talk(&mut lab, &mut a, 50, (late, &mut random));
    let mut packets = lab.heard(&b);
    // What comes before the first packet of the tone is silence of our own.
    let begin = packets.len() - 45;
    packets.drain(..begin);
    let end = |packets: &[(RtpHeader, Vec<u8>)]| {
        let (header, payload) = packets.last().expect("a packet");
        header.timestamp.wrapping_add(payload.len() as u32)
    };
    let changed = end(&packets);
    let relayed = lab.switch.counters().packets_relayed;
    lab.tell(WorkerCommand::Gain { leg: a.id, db });
    talk(&mut lab, &mut a, 50, (late, &mut random));
    packets.extend(lab.heard(&b));
    assert!(lab.switch.counters().packets_relayed - relayed <= 2, "{what}: the leg is not relayed");
    let restored = end(&packets);
    lab.tell(WorkerCommand::Gain { leg: a.id, db: 0 });
    talk(&mut lab, &mut a, 50, (late, &mut random));
    packets.extend(lab.heard(&b));
    let relayed = lab.switch.counters().packets_relayed;
    talk(&mut lab, &mut a, 10, (0, &mut random));
    assert!(lab.switch.counters().packets_relayed - relayed >= 9, "{what}: the leg is relayed again");

    let heard = Heard::of(&packets, decode);
    let (error, at) = heard.worst();
    assert!(error < CLICK, "{what}: a click of {error} of the amplitude at {at} of {}", heard.samples.len());
    let (changed, restored) = (heard.at(changed), heard.at(restored));
    let (loud, phase) = heard.tone(changed - 1_600, 1_600);
    let (soft, phase_of_frames) = heard.tone(changed + 3_200, 1_600);
    let (again, phase_again) = heard.tone(heard.samples.len() - 1_600, 1_600);
    let decibels = |one: f32, other: f32| 20.0 * (one / other).log10();
    assert!((decibels(soft, loud) - f32::from(db)).abs() < 0.5, "{what}: {loud} to {soft}");
    assert!(decibels(again, loud).abs() < 0.5, "{what}: {loud} to {again}");
    if late == 0 {
        let (lost, spliced) = (shift(phase, phase_of_frames), shift(phase_of_frames, phase_again));
        assert!(lost < 0.5, "{what}: the frames are {lost} samples off the relay");
        assert!(spliced < SPLICE as f32 + 0.5, "{what}: {spliced} samples were left out or repeated");
    }
    // The level takes 10 ms from one value to the other: it is neither before nor long after.
    for (from, before, after) in [(changed, loud, soft), (restored, soft, again)] {
        let between = (0..30).map(|step| heard.tone(from + step * 24, 24).0);
        let halfway =
            between.filter(|level| (decibels(*level, before)).abs() > 1.0 && decibels(*level, after).abs() > 1.0);
        let halfway = halfway.count();
        assert!((1..=6).contains(&halfway), "{what}: {halfway} periods of 24 samples lie between the levels");
    }
}

#[test]
fn a_change_of_gain_makes_no_click_and_loses_or_repeats_nothing() {
    use codecs::g711::alaw_decode;
    for db in [-20, -12, -3, 6] {
        for offset in [0, 3, 7, 12, 19] {
            changes_without_a_click((Codec::Pcmu, ulaw_decode), db, (offset, 0, false));
        }
    }
    changes_without_a_click((Codec::Pcma, alaw_decode), -12, (5, 0, false));
}

#[test]
fn a_change_of_gain_makes_no_click_when_packets_come_irregularly() {
    for db in [-20, 6] {
        for offset in [0, 7, 13] {
            for late in [5, 15] {
                changes_without_a_click((Codec::Pcmu, ulaw_decode), db, (offset, late, false));
            }
        }
    }
}

#[test]
fn a_change_of_gain_of_a_recorded_call_makes_no_click() {
    for (offset, late) in [(0, 0), (7, 0), (13, 0), (3, 10), (11, 15)] {
        for db in [-20, 6] {
            changes_without_a_click((Codec::Pcmu, ulaw_decode), db, (offset, late, true));
        }
    }
}
