//! Conferences: who hears whom, at which rates, and what is left when legs leave or fail.
//!
//! Every phone plays a tone of its own, so that the level of each tone at a listener shows which members it hears.
//!
//! Not here: the sums themselves (`audio::mix`).

use codecs::tones::level_dbfs;

use super::*;
use crate::audio::tap::tap;
use crate::units::ConferenceId;
use crate::worker::ConferenceRole::{Monitor, Participant, Whisper};

const ROOM: ConferenceId = ConferenceId(1);
const WIDE: Codec = Codec::L16 { rate: SampleRate::HZ_16000 };
const SUPER_WIDE: Codec = Codec::L16 { rate: SampleRate::HZ_24000 };

impl Lab {
    /// A phone that plays a tone of −15 dBFS.
    fn singer(&mut self, codec: Codec, port: u16, hz: f32) -> Phone {
        let mut phone = self.phone(codec, port);
        phone.sine = Sine::new(codec.sample_rate(), hz, -15.0);
        phone
    }

    fn join(&mut self, phones: &[&Phone]) {
        for phone in phones {
            self.tell(WorkerCommand::ConferenceJoin { conference: ROOM, leg: phone.id, role: Participant });
        }
    }

    /// All phones play their tones for `ticks` × 20 ms.
    fn sing(&mut self, phones: &mut [&mut Phone], ticks: u32) {
        for _ in 0..ticks {
            for phone in &mut *phones {
                let mut pcm = vec![0; phone.audio.codec.sample_rate().samples_in_ms(20)];
                phone.sine.fill(&mut pcm);
                let payload: Vec<u8> = match phone.audio.codec {
                    Codec::Pcmu => pcm.iter().map(|&sample| ulaw_encode(sample)).collect(),
                    _ => pcm.iter().flat_map(|sample| sample.to_be_bytes()).collect(),
                };
                self.send_packet(phone, phone.audio.payload_type, false, &payload);
                let ticks = phone.audio.codec.clock().0 / 50;
                (phone.sequence, phone.timestamp) =
                    (phone.sequence.wrapping_add(1), phone.timestamp.wrapping_add(ticks));
            }
            self.advance(MS * 20);
        }
    }

    /// Returns the audio that the phone was sent since the last call.
    fn audio_sent_to(&mut self, phone: &Phone) -> Vec<i16> {
        let mut pcm = Vec::new();
        for (header, payload) in self.heard(phone) {
            match phone.audio.codec {
                _ if header.payload_type != phone.audio.payload_type => {}
                Codec::Pcmu => pcm.extend(payload.iter().map(|&code| ulaw_decode(code))),
                _ => pcm.extend(payload.as_chunks().0.iter().map(|&bytes| i16::from_be_bytes(bytes))),
            }
        }
        pcm
    }

    /// Lets all phones play and returns how loud `listener` then hears each of `tones`, over half a second.
    fn levels(&mut self, phones: &mut [&mut Phone], listener: usize, tones: &[f32]) -> Vec<f32> {
        self.sing(phones, 15);
        self.audio_sent_to(phones[listener]);
        self.sing(phones, 25);
        let (heard, rate) = (self.audio_sent_to(phones[listener]), phones[listener].audio.codec.sample_rate());
        assert_eq!(heard.len(), rate.samples_in_ms(500));
        tones.iter().map(|&hz| goertzel_dbfs(&heard, rate, hz)).collect()
    }
}

/// Asserts which tones of −15 dBFS are audible (µ-law of the other tones leaves some noise).
#[track_caller]
fn assert_levels(levels: &[f32], audible: &[bool]) {
    let right = levels
        .iter()
        .zip(audible)
        .all(|(level, audible)| if *audible { (level + 15.0).abs() < 0.6 } else { *level < -55.0 });
    assert!(right, "{levels:?}, expected {audible:?}");
}

#[test]
fn each_leg_of_a_conference_hears_all_but_itself() {
    let mut lab = Lab::new();
    let tones = [500.0, 700.0, 900.0, 1_100.0];
    let mut phones: Vec<Phone> = (0..4).map(|n| lab.singer(Codec::Pcmu, 4000 + 2 * n, tones[usize::from(n)])).collect();
    lab.join(&phones.iter().collect::<Vec<_>>());
    let mut phones: Vec<&mut Phone> = phones.iter_mut().collect();
    for listener in 0..4 {
        let levels = lab.levels(&mut phones, listener, &tones);
        assert_levels(&levels, &[0, 1, 2, 3].map(|speaker| speaker != listener));
    }
    assert_eq!(lab.switch.counters().packets_relayed, 0);
    let census = lab.switch.census();
    assert_eq!((census.conferences, census.mixed), (1, 4));
}

#[test]
fn wideband_legs_keep_their_band_beside_a_narrowband_one() {
    let mut lab = Lab::new();
    let (mut narrow, mut wide) = (lab.singer(Codec::Pcmu, 4000, 500.0), lab.singer(WIDE, 4002, 6_000.0));
    let mut wider = lab.singer(SUPER_WIDE, 4004, 10_000.0);
    lab.join(&[&narrow, &wide, &wider]);
    let mut phones = [&mut narrow, &mut wide, &mut wider];
    assert_levels(&lab.levels(&mut phones, 2, &[500.0, 6_000.0, 10_000.0]), &[true, true, false]);
    assert_levels(&lab.levels(&mut phones, 1, &[500.0, 6_000.0]), &[true, false]);
    lab.sing(&mut phones, 10);
    lab.audio_sent_to(phones[0]);
    lab.sing(&mut phones, 10);
    assert!(
        level_dbfs(&lab.audio_sent_to(phones[0])) < -55.0,
        "frequencies above the narrow leg's band are not aliased into it"
    );
}

#[test]
fn supervisor_monitors_whispers_barges_in_and_leaves_the_call_as_it_was() {
    let mut lab = Lab::new();
    let (mut agent, mut customer) = (lab.singer(Codec::Pcmu, 4000, 500.0), lab.singer(Codec::Pcmu, 4002, 700.0));
    let mut supervisor = lab.singer(WIDE, 4004, 900.0);
    lab.tell(WorkerCommand::Bridge { a: agent.id, b: customer.id });
    let mut phones = [&mut agent, &mut customer, &mut supervisor];
    lab.sing(&mut phones, 20);
    let relayed = lab.switch.counters().packets_relayed;
    assert_eq!(relayed, 40);
    lab.join(&[phones[0], phones[1]]);
    let to_agent = Whisper(phones[0].id);
    for (role, to_agent, to_customer) in
        [(Monitor, false, false), (to_agent, true, false), (Participant, true, true), (Monitor, false, false)]
    {
        lab.tell(WorkerCommand::ConferenceJoin { conference: ROOM, leg: phones[2].id, role });
        assert_levels(&lab.levels(&mut phones, 0, &[500.0, 700.0, 900.0]), &[false, true, to_agent]);
        assert_levels(&lab.levels(&mut phones, 1, &[500.0, 700.0, 900.0]), &[true, false, to_customer]);
        assert_levels(&lab.levels(&mut phones, 2, &[500.0, 700.0, 900.0]), &[true, true, false]);
    }
    assert_eq!(lab.switch.counters().packets_relayed, relayed);
    for phone in &phones {
        lab.tell(WorkerCommand::ConferenceLeave { leg: phone.id });
    }
    lab.sing(&mut phones, 20);
    assert_eq!(lab.switch.counters().packets_relayed, relayed + 40, "agent and customer are relayed again");
    lab.audio_sent_to(phones[2]);
    lab.sing(&mut phones, 5);
    assert_eq!(level_dbfs(&lab.audio_sent_to(phones[2])), codecs::tones::SILENCE_DBFS);
    let census = lab.switch.census();
    assert_eq!((census.conferences, census.mixed, census.bridged), (0, 0, 2));
}

#[test]
fn a_listener_overhears_both_parties_and_a_relayed_call_stays_relayed() {
    let mut lab = Lab::new();
    let (mut agent, mut customer) = (lab.singer(Codec::Pcmu, 4000, 500.0), lab.singer(Codec::Pcmu, 4002, 700.0));
    let mut listener = lab.singer(WIDE, 4004, 900.0);
    lab.tell(WorkerCommand::Bridge { a: agent.id, b: customer.id });
    let both = [agent.id, customer.id];
    lab.tell(WorkerCommand::Overhear { leg: listener.id, of: both.to_vec() });
    let mut phones = [&mut agent, &mut customer, &mut listener];
    assert_levels(&lab.levels(&mut phones, 2, &[500.0, 700.0, 900.0]), &[true, true, false]);
    assert_levels(&lab.levels(&mut phones, 0, &[500.0, 700.0, 900.0]), &[false, true, false]);
    let before = lab.switch.counters().packets_relayed;
    lab.sing(&mut phones, 20);
    assert_eq!(lab.switch.counters().packets_relayed, before + 40, "each packet of the parties is relayed");
    let census = lab.switch.census();
    assert_eq!((census.overhearing, census.overheard, census.bridged), (1, 2, 2));
    lab.tell(WorkerCommand::Mute { leg: phones[1].id, muted: true });
    assert_levels(&lab.levels(&mut phones, 2, &[500.0, 700.0]), &[true, false]);
    lab.tell(WorkerCommand::Mute { leg: phones[1].id, muted: false });
    lab.tell(WorkerCommand::Overhear { leg: phones[2].id, of: both[1..].to_vec() });
    assert_levels(&lab.levels(&mut phones, 2, &[500.0, 700.0]), &[false, true]);
    lab.tell(WorkerCommand::LegClose { leg: phones[1].id });
    lab.sing(&mut phones[..1], 20);
    lab.tell(WorkerCommand::LegClose { leg: phones[2].id });
    let census = lab.switch.census();
    assert_eq!((census.overhearing, census.overheard, census.legs), (0, 0, 1));
}

#[test]
fn overhearing_ends_on_both_sides_when_a_speaker_moves_or_a_listener_panics() {
    let mut lab = Lab::new();
    let (mut a, mut b) = (lab.singer(Codec::Pcmu, 4000, 500.0), lab.singer(Codec::Pcmu, 4002, 700.0));
    let mut listener = lab.singer(Codec::Pcmu, 4004, 900.0);
    lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
    let both = WorkerCommand::Overhear { leg: listener.id, of: vec![a.id, b.id] };
    lab.tell(both.clone());
    // A speaker that moves away and comes back is overheard again, because the ears had forgotten it.
    let Outcome::Detached(moving, _) = lab.switch.handle(Input::Detach { leg: a.id }, lab.now) else {
        panic!("it moves")
    };
    lab.sing(&mut [&mut b, &mut listener], 5);
    let census = lab.switch.census();
    assert_eq!((census.overhearing, census.overheard), (1, 1));
    a.slot = lab.switch.handle(Input::Attach { leg: a.id, moving: Some(moving) }, lab.now).slot().expect("it returns");
    lab.tell(both.clone());
    assert_levels(&lab.levels(&mut [&mut a, &mut b, &mut listener], 2, &[500.0, 700.0]), &[true, true]);
    // A listener that a panic takes away leaves the lists at the next frame, and its slot inherits nothing.
    lab.switch.leg_mut(listener.slot).hearing.send = Some(leg::Send::with_encoder(Box::new(Faulty), Codec::Pcmu, 0));
    lab.sing(&mut [&mut a, &mut b], 5);
    let census = lab.switch.census();
    assert_eq!((census.legs, census.overhearing, census.overheard), (2, 0, 0));
    let mut next = lab.singer(Codec::Pcmu, 4008, 900.0);
    assert_eq!(next.slot, listener.slot);
    lab.tell(WorkerCommand::Overhear { leg: next.id, of: vec![a.id, b.id] });
    assert_levels(&lab.levels(&mut [&mut a, &mut b, &mut next], 2, &[500.0, 700.0]), &[true, true]);
}

#[test]
fn an_overhearing_leg_hears_its_conference_or_application_instead() {
    let mut lab = Lab::new();
    let (mut a, mut b) = (lab.singer(Codec::Pcmu, 4000, 500.0), lab.singer(Codec::Pcmu, 4002, 700.0));
    let mut listener = lab.singer(Codec::Pcmu, 4004, 900.0);
    lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
    lab.tell(WorkerCommand::Overhear { leg: listener.id, of: vec![a.id] });
    lab.join(&[&a, &b]);
    lab.tell(WorkerCommand::ConferenceJoin { conference: ROOM, leg: listener.id, role: Monitor });
    let mut phones = [&mut a, &mut b, &mut listener];
    assert_levels(&lab.levels(&mut phones, 2, &[500.0, 700.0]), &[true, true]);
    for phone in &phones {
        lab.tell(WorkerCommand::ConferenceLeave { leg: phone.id });
    }
    assert_levels(&lab.levels(&mut phones, 2, &[500.0, 700.0]), &[true, false]);
    let void = lab.switch.counters().commands_void;
    lab.tell(WorkerCommand::Overhear { leg: LegId(77), of: vec![LegId(1)] });
    lab.tell(WorkerCommand::Overhear { leg: phones[2].id, of: vec![phones[2].id, LegId(77)] });
    assert_eq!(lab.switch.counters().commands_void, void + 1, "unknown legs are left out");
    assert_eq!(lab.switch.census().overhearing, 0);
}

#[test]
fn gain_lowers_one_leg_for_one_listener_and_survives_a_change_of_rate() {
    let mut lab = Lab::new();
    let (mut a, mut b) = (lab.singer(Codec::Pcmu, 4000, 500.0), lab.singer(WIDE, 4002, 700.0));
    let mut c = lab.singer(WIDE, 4004, 900.0);
    lab.join(&[&a, &b, &c]);
    lab.tell(WorkerCommand::ConferenceGain { from: a.id, to: b.id, gain: Some(0.1) });
    let mut phones = [&mut a, &mut b, &mut c];
    let ducked = lab.levels(&mut phones, 1, &[500.0, 900.0]);
    assert!((ducked[0] + 35.0).abs() < 0.6 && (ducked[1] + 15.0).abs() < 0.6, "{ducked:?}");
    assert_levels(&lab.levels(&mut phones, 2, &[500.0, 700.0]), &[true, true]);
    // The listener's codec changes, and with it the rate at which it is mixed.
    phones[1].audio = Audio { remote_rtp: phones[1].audio.remote_rtp, ..audio_of(Codec::Pcmu, 4002) };
    phones[1].sine = Sine::new(NARROW, 700.0, -15.0);
    lab.tell(WorkerCommand::RtpUpdate { leg: phones[1].id, audio: phones[1].audio });
    let ducked = lab.levels(&mut phones, 1, &[500.0, 900.0]);
    assert!((ducked[0] + 35.0).abs() < 0.6 && (ducked[1] + 15.0).abs() < 0.6, "{ducked:?}");
    lab.tell(WorkerCommand::ConferenceGain { from: phones[0].id, to: phones[1].id, gain: None });
    assert_levels(&lab.levels(&mut phones, 1, &[500.0, 900.0]), &[true, true]);
}

#[test]
fn a_whisper_waits_for_its_listener() {
    let mut lab = Lab::new();
    let (mut agent, mut customer) = (lab.singer(Codec::Pcmu, 4000, 500.0), lab.singer(Codec::Pcmu, 4002, 700.0));
    let mut supervisor = lab.singer(Codec::Pcmu, 4004, 900.0);
    lab.tell(WorkerCommand::ConferenceJoin { conference: ROOM, leg: supervisor.id, role: Whisper(agent.id) });
    lab.join(&[&customer]);
    let mut phones = [&mut agent, &mut customer, &mut supervisor];
    assert_levels(&lab.levels(&mut phones, 1, &[900.0]), &[false]);
    lab.join(&[phones[0]]);
    assert_levels(&lab.levels(&mut phones, 0, &[700.0, 900.0]), &[true, true]);
    assert_levels(&lab.levels(&mut phones, 1, &[500.0, 900.0]), &[true, false]);
}

#[test]
fn a_muted_leg_is_silent_in_its_conference() {
    let mut lab = Lab::new();
    let (mut a, mut b) = (lab.singer(WIDE, 4000, 500.0), lab.singer(WIDE, 4002, 700.0));
    lab.join(&[&a, &b]);
    lab.tell(WorkerCommand::Mute { leg: a.id, muted: true });
    assert_levels(&lab.levels(&mut [&mut a, &mut b], 1, &[500.0]), &[false]);
    lab.tell(WorkerCommand::Mute { leg: a.id, muted: false });
    assert_levels(&lab.levels(&mut [&mut a, &mut b], 1, &[500.0]), &[true]);
}

#[test]
fn keys_are_reported_and_not_mixed() {
    let mut lab = Lab::new();
    let (mut a, b) = (lab.phone(Codec::Pcmu, 4000), lab.phone(Codec::Pcmu, 4002));
    let outside = lab.phone(Codec::Pcmu, 4004);
    lab.tell(WorkerCommand::Bridge { a: a.id, b: outside.id });
    lab.join(&[&a, &b]);
    for payload in [[5, 10, 0, 160], [5, 10, 1, 64], [5, 0x8a, 1, 224]] {
        lab.send_packet(&a, 101, false, &payload);
        a.sequence = a.sequence.wrapping_add(1);
        lab.advance(MS * 20);
    }
    lab.advance(MS * 400);
    assert!(lab.events_of(a.id).contains(&WorkerEventKind::Dtmf { digit: '5', duration_ms: 60 }));
    for other in [&b, &outside] {
        assert!(lab.heard(other).iter().all(|(header, _)| header.payload_type == 0), "{:?} got a key", other.id);
    }
}

#[test]
fn a_bridged_peer_outside_a_conference_hears_nothing_of_it() {
    let mut lab = Lab::new();
    let (mut agent, mut expert) = (lab.singer(Codec::Pcmu, 4000, 500.0), lab.singer(Codec::Pcmu, 4002, 700.0));
    let mut customer = lab.singer(Codec::Pcmu, 4004, 900.0);
    lab.tell(WorkerCommand::Bridge { a: agent.id, b: customer.id });
    lab.join(&[&agent, &expert]);
    let mut phones = [&mut agent, &mut expert, &mut customer];
    assert_levels(&lab.levels(&mut phones, 2, &[500.0, 700.0]), &[false, false]);
    assert_levels(&lab.levels(&mut phones, 0, &[700.0, 900.0]), &[true, false]);
    // A new bridge takes the leg out of the conference.
    lab.tell(WorkerCommand::Bridge { a: phones[0].id, b: phones[2].id });
    assert_levels(&lab.levels(&mut phones, 2, &[500.0, 700.0]), &[true, false]);
    assert_eq!(lab.switch.census().mixed, 1);
}

#[test]
fn the_active_speaker_is_reported_on_the_legs_concerned() {
    let mut lab = Lab::new();
    let (mut a, mut b) = (lab.singer(Codec::Pcmu, 4000, 500.0), lab.singer(WIDE, 4002, 700.0));
    lab.join(&[&a, &b]);
    let told = |lab: &mut Lab, id| {
        let speaker = |kind| match kind {
            WorkerEventKind::ActiveSpeaker { conference, active } => {
                assert_eq!(conference, ROOM);
                Some(active)
            }
            _ => None,
        };
        lab.events_of(id).into_iter().filter_map(speaker).collect::<Vec<_>>()
    };
    lab.sing(&mut [&mut a], 40);
    assert_eq!((told(&mut lab, a.id), told(&mut lab, b.id)), (vec![true], vec![]));
    lab.sing(&mut [&mut a, &mut b], 100);
    assert_eq!((told(&mut lab, a.id), told(&mut lab, b.id)), (vec![], vec![]), "equally loud is not louder");
    lab.sing(&mut [&mut b], 60);
    assert_eq!((told(&mut lab, a.id), told(&mut lab, b.id)), (vec![false], vec![true]));
    lab.advance(Duration::from_secs(3));
    assert_eq!((told(&mut lab, a.id), told(&mut lab, b.id)), (vec![], vec![false]));
}

#[test]
fn closed_and_failed_legs_leave_a_conference_intact_and_the_last_one_frees_it() {
    let mut lab = Lab::new();
    let (mut a, mut b) = (lab.singer(Codec::Pcmu, 4000, 500.0), lab.singer(Codec::Pcmu, 4002, 700.0));
    let (c, d) = (lab.phone(Codec::Pcmu, 4004), lab.phone(Codec::Pcmu, 4006));
    lab.tell(WorkerCommand::Bridge { a: a.id, b: c.id });
    lab.join(&[&a, &b, &c, &d]);
    lab.sing(&mut [&mut a, &mut b], 5);
    lab.switch.leg_mut(c.slot).hearing.send = Some(leg::Send::with_encoder(Box::new(Faulty), Codec::Pcmu, 0));
    lab.sing(&mut [&mut a, &mut b], 5);
    assert!(matches!(lab.events_of(c.id).last(), Some(WorkerEventKind::Closed(_))));
    lab.tell(WorkerCommand::LegClose { leg: d.id });
    let census = lab.switch.census();
    assert_eq!((census.legs, census.mixed, census.bridged, census.conferences), (2, 2, 0, 1));
    assert_levels(&lab.levels(&mut [&mut a, &mut b], 1, &[500.0, 700.0]), &[true, false]);
    assert_levels(&lab.levels(&mut [&mut a, &mut b], 0, &[500.0, 700.0]), &[false, true]);
    // A leg that takes the failed one's slot inherits nothing from it.
    let mut e = lab.singer(Codec::Pcmu, 4008, 900.0);
    assert!([c.slot, d.slot].contains(&e.slot));
    assert_levels(&lab.levels(&mut [&mut a, &mut b, &mut e], 1, &[500.0, 900.0]), &[true, false]);
    lab.tell(WorkerCommand::LegClose { leg: a.id });
    lab.tell(WorkerCommand::ConferenceLeave { leg: b.id });
    assert_eq!(lab.switch.counters().panics, 1);
    let census = lab.switch.census();
    assert_eq!((census.legs, census.mixed, census.conferences), (2, 0, 0));
    lab.sing(&mut [&mut b, &mut e], 5);
}

#[test]
fn a_panic_while_mixing_ends_the_legs_of_that_conference_only() {
    let mut lab = Lab::new();
    let (a, b) = (lab.phone(Codec::Pcmu, 4000), lab.phone(Codec::Pcmu, 4002));
    let (mut c, mut d) = (lab.singer(Codec::Pcmu, 4004, 500.0), lab.singer(Codec::Pcmu, 4006, 700.0));
    lab.join(&[&a, &b]);
    for phone in [&c, &d] {
        lab.tell(WorkerCommand::ConferenceJoin { conference: ConferenceId(2), leg: phone.id, role: Participant });
    }
    lab.advance(MS * 40);
    lab.switch.conferences.spoil(ROOM);
    lab.advance(MS * 20);
    for phone in [&a, &b] {
        let told = lab.events_of(phone.id);
        assert!(told.iter().any(|kind| matches!(kind, WorkerEventKind::Failed(why) if why.contains("conference"))));
        assert!(matches!(told.last(), Some(WorkerEventKind::Closed(_))));
    }
    let census = lab.switch.census();
    assert_eq!((census.legs, census.mixed, census.conferences, lab.switch.counters().panics), (2, 2, 1, 1));
    assert_levels(&lab.levels(&mut [&mut c, &mut d], 1, &[500.0, 700.0]), &[true, false]);
}

#[test]
fn joining_and_leaving_neither_clicks_nor_breaks_the_numbering() {
    let mut lab = Lab::new();
    let (mut a, mut b) = (lab.singer(SUPER_WIDE, 4000, 200.0), lab.singer(SUPER_WIDE, 4002, 230.0));
    let mut c = lab.singer(SUPER_WIDE, 4004, 260.0);
    // The tap has the bridge decoded as well, without changing the samples.
    let (writer, _reader) = tap(4);
    lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
    lab.switch.handle(Input::tap(a.id, TapPoint::Speech, writer), lab.now);
    lab.sing(&mut [&mut a, &mut b, &mut c], 30);
    lab.heard(&b);
    for step in 0..6 {
        match step {
            0 => lab.join(&[&a, &b]),
            1 => lab.join(&[&c]),
            2 => lab.tell(WorkerCommand::ConferenceGain { from: a.id, to: b.id, gain: Some(0.2) }),
            3 => lab.tell(WorkerCommand::Mute { leg: a.id, muted: true }),
            4 => lab.tell(WorkerCommand::ConferenceLeave { leg: c.id }),
            _ => lab.tell(WorkerCommand::ConferenceLeave { leg: b.id }),
        }
        lab.sing(&mut [&mut a, &mut b, &mut c], 10);
    }
    let heard = lab.heard(&b);
    for pair in heard.windows(2) {
        assert_eq!(pair[1].0.sequence, pair[0].0.sequence.wrapping_add(1));
        assert_eq!(pair[1].0.timestamp, pair[0].0.timestamp.wrapping_add(480));
    }
    let pcm: Vec<i32> = heard
        .iter()
        .flat_map(|(_, p)| p.as_chunks().0.iter().map(|&bytes| i32::from(i16::from_be_bytes(bytes))))
        .collect();
    assert!(pcm.iter().any(|&sample| sample > 8_000), "two voices are added");
    let bend = pcm.windows(3).map(|w| (w[0] - 2 * w[1] + w[2]).abs()).max().unwrap();
    // The tones themselves bend by 52 at most; a step at their peak would be 5,800.
    assert!(bend < 250, "{bend}");
}

#[test]
fn opus_is_mixed_at_the_widest_rate_of_another_leg_and_never_narrower_later() {
    let mut lab = Lab::new();
    let (narrow, opus) = (lab.phone(Codec::Pcmu, 4000), lab.phone(Codec::Opus, 4002));
    let rate = |lab: &mut Lab, phone: &Phone| lab.switch.leg_mut(phone.slot).seat.and_then(|seat| seat.rate());
    lab.join(&[&opus, &narrow]);
    assert_eq!(rate(&mut lab, &opus), Some(NARROW));
    let wide = lab.phone(WIDE, 4004);
    lab.join(&[&wide]);
    assert_eq!(rate(&mut lab, &opus), Some(SampleRate::HZ_16000));
    let other = lab.phone(Codec::Opus, 4006);
    lab.join(&[&other]);
    assert_eq!(
        (rate(&mut lab, &opus), rate(&mut lab, &other)),
        (Some(SampleRate::HZ_48000), Some(SampleRate::HZ_48000))
    );
    for phone in [&opus, &other] {
        let encoder = lab.switch.leg_mut(phone.slot).hearing.send.as_ref().unwrap().rate();
        assert_eq!(encoder, SampleRate::HZ_48000);
    }
    lab.tell(WorkerCommand::ConferenceLeave { leg: other.id });
    lab.tell(WorkerCommand::ConferenceLeave { leg: wide.id });
    assert_eq!(rate(&mut lab, &opus), Some(SampleRate::HZ_48000));
    assert_eq!(rate(&mut lab, &narrow), Some(NARROW));
    lab.advance(MS * 100);
    assert_eq!(lab.switch.counters().frames_failed, 0);
}

#[test]
fn a_leg_without_a_codec_is_mixed_as_soon_as_it_has_one() {
    let mut lab = Lab::new();
    let mut a = lab.singer(Codec::Pcmu, 4000, 500.0);
    let mut b = lab.singer(Codec::Pcmu, 4002, 700.0);
    lab.tell(WorkerCommand::LegClose { leg: b.id });
    b.slot = lab.switch.handle(Input::Open { leg: b.id, audio: None, nat: false }, lab.now).slot().unwrap();
    lab.join(&[&a, &b]);
    lab.sing(&mut [&mut a], 5);
    lab.tell(WorkerCommand::RtpUpdate { leg: b.id, audio: b.audio });
    assert_levels(&lab.levels(&mut [&mut a, &mut b], 1, &[500.0, 700.0]), &[true, false]);
    assert_levels(&lab.levels(&mut [&mut a, &mut b], 0, &[500.0, 700.0]), &[false, true]);
}

#[test]
fn commands_for_unknown_conferences_are_only_counted() {
    let mut lab = Lab::new();
    let (a, b) = (lab.phone(Codec::Pcmu, 4000), lab.phone(Codec::Pcmu, 4002));
    lab.tell(WorkerCommand::ConferenceJoin { conference: ROOM, leg: LegId(9), role: Participant });
    lab.tell(WorkerCommand::ConferenceJoin { conference: ROOM, leg: a.id, role: Whisper(a.id) });
    lab.tell(WorkerCommand::ConferenceLeave { leg: a.id });
    lab.tell(WorkerCommand::ConferenceLeave { leg: LegId(9) });
    lab.tell(WorkerCommand::ConferenceGain { from: a.id, to: b.id, gain: Some(0.5) });
    assert_eq!((lab.switch.counters().commands_void, lab.switch.census().conferences), (5, 0));
    lab.join(&[&a, &b]);
    for gain in [f32::NAN, -1.0, 5.0] {
        lab.tell(WorkerCommand::ConferenceGain { from: a.id, to: b.id, gain: Some(gain) });
    }
    lab.tell(WorkerCommand::ConferenceGain { from: a.id, to: a.id, gain: Some(0.5) });
    lab.tell(WorkerCommand::ConferenceJoin { conference: ConferenceId(2), leg: b.id, role: Participant });
    lab.tell(WorkerCommand::ConferenceGain { from: a.id, to: b.id, gain: Some(0.5) });
    assert_eq!((lab.switch.counters().commands_void, lab.switch.census().conferences), (10, 2));
}
