//! Tests of the switch under virtual time, with plain RTP phones as far ends.
//!
//! `Lab` holds a switch, the present time and all outputs so far; `Phone` is the far end of one leg and plays a tone. Each test sends
//! commands and packets, advances the time, and checks the datagrams and events.
//!
//! Here: bridges, the numbering of the stream, keys, hold, gain, music and panics. The submodules cover flow reports, hostile datagrams
//! and conferences. Not here: encrypted legs (`tests_srtp`) and browser legs (`tests_webrtc`).

mod flow;
mod gain;
mod hostile;

use std::time::UNIX_EPOCH;

use codecs::g711::{ulaw_decode, ulaw_encode};
use codecs::opus::OpusDecoder;
use codecs::tones::{Sine, goertzel_dbfs};
use codecs::{CodecError, Decoder, Encoder};

use super::*;
use crate::config::App;
use crate::leg::rtp::Component;
use crate::rtp::telephone_event::TelephoneEvent;
use crate::rtp::{RtpHeader, RtpPacket, is_rtcp};
use crate::sdp::{Audio, Codec, Direction, TelephoneEventFormat};
use crate::units::{ClockRate, Ptime, SampleRate, test_epoch};
use crate::worker::{WorkerEvent, WorkerEventKind};

mod mix;

const NARROW: SampleRate = SampleRate::HZ_8000;
const MS: Duration = Duration::from_millis(1);

/// A switch under virtual time, with all of its outputs.
struct Lab {
    switch: Switch,
    now: Instant,
    sent: Vec<(Slot, Socket, SocketAddr, Vec<u8>)>,
    events: Vec<WorkerEvent>,
}

/// State of a leg's far end.
struct Phone {
    id: LegId,
    slot: Slot,
    audio: Audio,
    sequence: u16,
    timestamp: u32,
    sine: Sine,
}

/// An encoder that panics.
struct Faulty;

impl Encoder for Faulty {
    fn sample_rate(&self) -> SampleRate {
        NARROW
    }

    fn encode(&mut self, _: &[i16], _: &mut [u8]) -> Result<usize, CodecError> {
        panic!("a fault of ours")
    }
}

fn audio_of(codec: Codec, port: u16) -> Audio {
    Audio {
        telephone_event: Some(TelephoneEventFormat {
            payload_type: 101,
            receive_payload_type: 101,
            clock: codec.clock(),
        }),
        ..Audio::plain(codec, SocketAddr::from(([192, 0, 2, 1], port)))
    }
}

impl Lab {
    fn new() -> Lab {
        let now = test_epoch();
        Lab { switch: Switch::new(7, Vec::new(), now, UNIX_EPOCH), now, sent: Vec::new(), events: Vec::new() }
    }

    fn tell(&mut self, command: WorkerCommand) {
        self.switch.handle(command.into(), self.now);
    }

    fn phone_with(&mut self, audio: Audio) -> Phone {
        let id = LegId(u64::from(audio.remote_rtp.port()));
        let slot =
            self.switch.handle(Input::Open { leg: id, audio: Some(audio), nat: false }, self.now).slot().unwrap();
        Phone { id, slot, audio, sequence: 65_530, timestamp: 77, sine: Sine::new(NARROW, 440.0, -12.0) }
    }

    fn phone(&mut self, codec: Codec, port: u16) -> Phone {
        self.phone_with(audio_of(codec, port))
    }

    fn drain(&mut self) {
        while let Some(output) = self.switch.poll_output() {
            match output {
                Output::Transmit { slot, socket, to, bytes } => self.sent.push((slot, socket, to, bytes.to_vec())),
                Output::Event(_, event) => self.events.push(event),
            }
        }
    }

    fn advance(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.now += MS;
            if self.switch.poll_timeout().is_some_and(|at| at <= self.now) {
                self.switch.handle(Input::Timeout, self.now);
            }
            self.drain();
        }
    }

    fn send_packet(&mut self, phone: &Phone, payload_type: u8, marker: bool, payload: &[u8]) {
        let (sequence, timestamp) = (phone.sequence, phone.timestamp);
        let header = RtpHeader { payload_type, marker, sequence, timestamp, ssrc: 0x5000 + phone.id.0 as u32 };
        let mut bytes = vec![0; 12];
        header.write_to(&mut bytes).unwrap();
        bytes.extend_from_slice(payload);
        self.switch.handle(Input::datagram(phone.slot, Component::Rtp, phone.audio.remote_rtp, &mut bytes), self.now);
        self.drain();
    }

    /// The phone sends `ticks` × 20 ms of its tone in PCMU.
    fn talk(&mut self, phone: &mut Phone, ticks: u32) {
        for _ in 0..ticks {
            let mut pcm = [0; 160];
            phone.sine.fill(&mut pcm);
            self.send_packet(phone, 0, false, &pcm.map(ulaw_encode));
            (phone.sequence, phone.timestamp) = (phone.sequence.wrapping_add(1), phone.timestamp.wrapping_add(160));
            self.advance(MS * 20);
        }
    }

    /// Returns the RTP packets sent to the phone since the last call.
    fn heard(&mut self, phone: &Phone) -> Vec<(RtpHeader, Vec<u8>)> {
        let mut heard = Vec::new();
        self.sent.retain(|(slot, socket, to, bytes)| {
            if *slot != phone.slot || *socket != Socket::Rtp || is_rtcp(bytes) {
                return true;
            }
            assert_eq!(*to, phone.audio.remote_rtp);
            let packet = RtpPacket::parse(bytes).unwrap();
            heard.push((packet.header(), packet.payload().to_vec()));
            false
        });
        heard
    }

    fn heard_pcm(&mut self, phone: &Phone) -> Vec<i16> {
        let heard = self.heard(phone);
        heard.iter().flat_map(|(_, payload)| payload.iter().map(|&code| ulaw_decode(code))).collect()
    }

    fn events_of(&mut self, id: LegId) -> Vec<WorkerEventKind> {
        let mut kinds = Vec::new();
        self.events.retain(|event| {
            let mine = event.leg == id;
            if mine {
                kinds.push(event.kind.clone());
            }
            !mine
        });
        kinds
    }
}

#[test]
fn original_ducks_under_played_voice_and_comes_back() {
    let mut lab = Lab::new();
    let (mut a, b) = (lab.phone(Codec::Pcmu, 4000), lab.phone(Codec::Pcmu, 4002));
    lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
    lab.talk(&mut a, 50);
    let before = goertzel_dbfs(&lab.heard_pcm(&b)[4_000..], NARROW, 440.0);
    let mut voice = vec![0; 24_000];
    Sine::new(SampleRate::HZ_24000, 1_000.0, -20.0).fill(&mut voice);
    lab.tell(WorkerCommand::Play {
        leg: b.id,
        segment: 5,
        rate: SampleRate::HZ_24000,
        samples: voice.into(),
        last: true,
    });
    lab.talk(&mut a, 50);
    let during = lab.heard_pcm(&b);
    let during = &during[2_400..during.len() - 800];
    let (ducked, voice) = (goertzel_dbfs(during, NARROW, 440.0), goertzel_dbfs(during, NARROW, 1_000.0));
    lab.talk(&mut a, 75);
    let after = lab.heard_pcm(&b);
    let after = goertzel_dbfs(&after[after.len() - 4_000..], NARROW, 440.0);
    assert!((before + 12.0).abs() < 1.0, "before: {before}");
    assert!((ducked + 30.0).abs() < 1.5, "ducked: {ducked}");
    assert!((voice + 20.0).abs() < 1.0, "voice: {voice}");
    assert!((after + 12.0).abs() < 1.0, "after: {after}");
    let told = lab.events_of(b.id);
    let started = told.iter().position(|kind| matches!(kind, WorkerEventKind::PlayStarted { segment: 5, .. }));
    let done = told.iter().position(|kind| matches!(kind, WorkerEventKind::PlayDone { segment: 5 }));
    assert!(started.unwrap() < done.unwrap());
}

#[test]
fn a_tap_on_the_hearing_copies_relayed_sound_and_played_voice() {
    let mut lab = Lab::new();
    let (mut a, b) = (lab.phone(Codec::Pcmu, 4000), lab.phone(Codec::Pcmu, 4002));
    lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
    let (writer, mut hearing) = crate::audio::tap::tap(100);
    lab.switch.handle(Input::tap(b.id, TapPoint::Hearing, writer), lab.now);
    let levels = |hearing: &mut crate::audio::tap::TapReader| {
        let frames: Vec<_> = std::iter::from_fn(|| hearing.pop()).collect();
        assert!(frames.windows(2).all(|pair| pair[1].frame.at - pair[0].frame.at == TICK), "one frame per tick");
        let pcm: Vec<i16> = frames.iter().flat_map(|item| item.frame.samples().to_vec()).collect();
        let pcm = &pcm[pcm.len() - 3_200..];
        [440.0, 1_000.0].map(|hz| goertzel_dbfs(pcm, NARROW, hz))
    };
    lab.talk(&mut a, 50);
    let [original, _] = levels(&mut hearing);
    assert!((original + 12.0).abs() < 1.0, "relayed: {original}");
    assert_eq!(lab.switch.counters().frames, 0, "a tap leaves the relay as it is");

    let mut voice = vec![0; 8_000];
    Sine::new(NARROW, 1_000.0, -20.0).fill(&mut voice);
    lab.tell(WorkerCommand::Play { leg: b.id, segment: 5, rate: NARROW, samples: voice.into(), last: true });
    lab.talk(&mut a, 50);
    let [ducked, voice] = levels(&mut hearing);
    assert!((ducked + 30.0).abs() < 1.5, "ducked: {ducked}");
    assert!((voice + 20.0).abs() < 1.0, "voice: {voice}");

    drop(hearing);
    let taps = lab.switch.deserted_taps(b.id);
    lab.switch.handle(Input::Untap { leg: b.id, taps }, lab.now);
    assert_eq!(lab.switch.census().taps, 0);
    lab.talk(&mut a, 100);
    assert!(
        !lab.switch.legs[a.slot.index()].as_ref().unwrap().speech.is_decoded(),
        "no tap needs the samples any more"
    );
}

#[test]
fn a_silenced_original_is_not_heard_and_comes_back_to_the_relay() {
    let mut lab = Lab::new();
    let (mut a, b) = (lab.phone(Codec::Pcmu, 4000), lab.phone(Codec::Pcmu, 4002));
    lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
    lab.talk(&mut a, 50);
    let level = |lab: &mut Lab| {
        let heard = lab.heard_pcm(&b);
        goertzel_dbfs(&heard[heard.len() - 4_000..], NARROW, 440.0)
    };
    assert!((level(&mut lab) + 12.0).abs() < 1.0);
    lab.tell(WorkerCommand::SilenceOriginal { leg: b.id, silenced: true });
    lab.talk(&mut a, 75);
    assert!(level(&mut lab) < -60.0, "the original is still heard");
    lab.tell(WorkerCommand::SilenceOriginal { leg: b.id, silenced: false });
    lab.talk(&mut a, 100);
    assert!((level(&mut lab) + 12.0).abs() < 1.0, "the original is back");
    let frames = lab.switch.counters().frames;
    lab.talk(&mut a, 10);
    assert_eq!(lab.switch.counters().frames, frames, "packets are relayed again");
}

#[test]
fn a_leg_that_moves_to_another_switch_keeps_both_streams_without_a_gap() {
    let (mut from, mut to) = (Lab::new(), Lab::new());
    let (mut a, mut b, mut c) =
        (from.phone(Codec::Pcmu, 4000), from.phone(Codec::Pcmu, 4002), to.phone(Codec::Pcmu, 4004));
    for point in [TapPoint::Speech, TapPoint::Hearing] {
        let (listener, _) = crate::audio::tap::tap(2);
        from.switch.handle(Input::tap(b.id, point, listener), from.now);
    }
    from.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
    from.talk(&mut a, 10);
    from.talk(&mut b, 5);
    to.advance(from.now - to.now);
    let mut heard = from.heard(&b);
    let left = from.switch.handle(Input::Detach { leg: b.id }, from.now);
    let Outcome::Detached(moving, slot) = left else { panic!("the leg leaves: {left:?}") };
    assert_eq!(slot, b.slot);
    from.drain();
    let told = from.events_of(b.id);
    assert_eq!(told, [WorkerEventKind::Connected, WorkerEventKind::FirstPacket], "the leg has not ended");
    let left = from.switch.census();
    assert_eq!((left.legs, left.bridged, left.taps), (1, 0, 0));
    let came = to.switch.handle(Input::Attach { leg: b.id, moving: Some(moving) }, to.now);
    b.slot = came.slot().expect("the leg is accepted");
    to.tell(WorkerCommand::Bridge { a: c.id, b: b.id });
    to.talk(&mut c, 10);
    to.heard(&c);
    to.talk(&mut b, 10);
    heard.extend(to.heard(&b));
    for pair in heard.windows(2) {
        assert_eq!(pair[1].0.ssrc, pair[0].0.ssrc);
        assert_eq!(pair[1].0.sequence, pair[0].0.sequence.wrapping_add(1), "the numbering is unbroken");
    }
    assert!(heard.len() >= 20, "{} packets", heard.len());
    assert_eq!(to.heard(&c).len(), 10, "its packets are relayed");
    to.tell(WorkerCommand::LegClose { leg: b.id });
    to.drain();
    let Some(WorkerEventKind::Closed(quality)) = to.events_of(b.id).pop() else { panic!("the leg ends") };
    assert_eq!(quality.packets_received, 15, "packets received before the move count");
    assert!(quality.packets_sent >= 20, "packets sent before the move count: {quality:?}");
    from.advance(MS * 100);
    assert_eq!(from.switch.counters().panics + to.switch.counters().panics, 0);
}

#[test]
fn one_stream_continues_through_silence_relay_voice_and_relay() {
    let mut lab = Lab::new();
    let (mut a, b) = (lab.phone(Codec::Pcmu, 4000), lab.phone(Codec::Pcmu, 4002));
    lab.advance(MS * 400);
    lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
    lab.talk(&mut a, 20);
    let relayed = lab.switch.counters().packets_relayed;
    assert_eq!(relayed, 20);
    lab.tell(WorkerCommand::Play { leg: b.id, segment: 1, rate: NARROW, samples: vec![500; 4_000].into(), last: true });
    lab.talk(&mut a, 60);
    let after_play = lab.switch.counters().packets_relayed;
    assert!(after_play > relayed, "the path is a relay again");
    assert!(after_play < relayed + 40, "and was not while voice played");
    lab.tell(WorkerCommand::Unbridge { leg: a.id });
    lab.advance(MS * 200);
    let heard = lab.heard(&b);
    for pair in heard.windows(2) {
        let (before, after) = (pair[0].0, pair[1].0);
        assert_eq!(after.sequence, before.sequence.wrapping_add(1));
        let step = after.timestamp.wrapping_sub(before.timestamp);
        assert!(step == 160 || step == 320 || step == 0, "{before:?} then {after:?}");
        assert_eq!(after.ssrc, before.ssrc);
    }
    let ticks = heard.last().unwrap().0.timestamp.wrapping_sub(heard[0].0.timestamp);
    let expected = 160 * (15 + 20 + 60 + 10);
    assert!(ticks.abs_diff(expected) <= 3 * 160, "{ticks} ticks of {expected}");
}

#[test]
fn a_leg_that_is_bridged_soon_after_it_connects_is_sent_no_silence_first() {
    let mut lab = Lab::new();
    let (mut a, b) = (lab.phone(Codec::Pcmu, 4000), lab.phone(Codec::Pcmu, 4002));
    lab.advance(MS * 80);
    lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
    lab.talk(&mut a, 20);
    assert_eq!(lab.heard(&b).len(), 20, "the packets of the peer and no others");
    assert_eq!(lab.heard(&a).len(), 0);
}

#[test]
fn keys_are_relayed_between_equal_legs_and_reported() {
    let mut lab = Lab::new();
    let mut other = audio_of(Codec::Pcmu, 4002);
    other.telephone_event =
        Some(TelephoneEventFormat { payload_type: 96, receive_payload_type: 96, clock: ClockRate::HZ_8000 });
    let (mut a, b) = (lab.phone(Codec::Pcmu, 4000), lab.phone_with(other));
    lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
    lab.talk(&mut a, 3);
    lab.heard(&b);
    let payloads = [[5, 10, 0, 160], [5, 10, 1, 64], [5, 0x8a, 1, 224], [5, 0x8a, 1, 224], [5, 0x8a, 1, 224]];
    for (n, payload) in payloads.iter().enumerate() {
        lab.send_packet(&a, 101, n == 0, payload);
        a.sequence = a.sequence.wrapping_add(1);
        lab.advance(MS * 20);
    }
    let heard = lab.heard(&b);
    assert_eq!(heard.iter().map(|(_, payload)| payload.clone()).collect::<Vec<_>>(), payloads);
    assert!(heard.iter().all(|(header, _)| header.payload_type == 96 && header.timestamp == heard[0].0.timestamp));
    let keys: Vec<_> =
        lab.events_of(a.id).into_iter().filter(|kind| matches!(kind, WorkerEventKind::Dtmf { .. })).collect();
    assert_eq!(keys, [WorkerEventKind::Dtmf { digit: '5', duration_ms: 60 }]);
}

#[test]
fn a_key_is_pressed_again_towards_a_leg_with_another_clock() {
    let mut lab = Lab::new();
    let (mut a, b) = (lab.phone(Codec::Pcmu, 4000), lab.phone(Codec::Opus, 4002));
    lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
    lab.talk(&mut a, 5);
    lab.heard(&b);
    for payload in [[11, 10, 0, 160], [11, 0x8a, 3, 32], [11, 0x8a, 3, 32]] {
        lab.send_packet(&a, 101, false, &payload);
        a.sequence = a.sequence.wrapping_add(1);
        lab.advance(MS * 20);
    }
    lab.advance(MS * 400);
    let heard = lab.heard(&b);
    let keys: Vec<_> = heard.iter().filter(|(header, _)| header.payload_type == 101).collect();
    let last = TelephoneEvent::parse(&keys.last().unwrap().1).unwrap();
    assert_eq!((last.event, last.end, last.duration), (11, true, 4_800), "100 ms at 48 kHz");
    assert!(keys[0].0.marker && keys[1..].iter().all(|(header, _)| !header.marker));
    assert!(keys.iter().all(|(header, _)| header.timestamp == keys[0].0.timestamp));
    for pair in heard.windows(2) {
        assert_eq!(pair[1].0.sequence, pair[0].0.sequence.wrapping_add(1));
    }
    let span = heard.last().unwrap().0.timestamp.wrapping_sub(heard[0].0.timestamp);
    assert_eq!(span, 960 * (heard.len() as u32 - 1), "the pause after the key comes from the other leg");
}

#[test]
fn a_sent_key_reaches_the_leg_and_audio_returns_to_the_relay() {
    let mut lab = Lab::new();
    let (mut a, b) = (lab.phone(Codec::Pcmu, 4000), lab.phone(Codec::Pcmu, 4002));
    lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
    lab.talk(&mut a, 5);
    lab.tell(WorkerCommand::SendDtmf { leg: b.id, digit: '#', duration_ms: 100 });
    lab.talk(&mut a, 30);
    let events = lab.heard(&b).iter().filter(|(header, _)| header.payload_type == 101).count();
    assert_eq!(events, 7, "five packets of growing length, the last with the end flag, and two repetitions of it");
    let relayed = lab.switch.counters().packets_relayed;
    lab.talk(&mut a, 10);
    assert_eq!(lab.switch.counters().packets_relayed, relayed + 10);
    lab.tell(WorkerCommand::SendDtmf { leg: b.id, digit: 'x', duration_ms: 100 });
    assert_eq!(lab.switch.counters().commands_void, 1);
}

#[test]
fn a_held_leg_is_neither_sent_to_nor_heard_nor_reported_dead() {
    let mut lab = Lab::new();
    let (mut a, mut b) = (lab.phone(Codec::Pcmu, 4000), lab.phone(Codec::Pcmu, 4002));
    lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
    lab.talk(&mut a, 5);
    b.audio.direction = Direction::Inactive;
    lab.tell(WorkerCommand::RtpUpdate { leg: b.id, audio: b.audio });
    lab.heard(&a);
    lab.heard(&b);
    for _ in 0..65 {
        lab.talk(&mut a, 50);
    }
    assert_eq!(lab.heard(&b), []);
    let comfort = lab.heard(&a);
    assert!(comfort.len() > 3_000 && comfort.iter().all(|(_, p)| p.iter().all(|&c| ulaw_decode(c).abs() < 10)));
    assert!(!lab.events_of(b.id).contains(&WorkerEventKind::MediaTimeout));
    b.audio.direction = Direction::SendRecv;
    lab.tell(WorkerCommand::RtpUpdate { leg: b.id, audio: b.audio });
    lab.talk(&mut a, 5);
    assert_eq!(lab.heard(&b).len(), 5);
}

#[test]
fn voice_that_arrives_while_a_leg_is_held_is_not_played_later() {
    let mut lab = Lab::new();
    let (mut a, mut b) = (lab.phone(Codec::Pcmu, 4000), lab.phone(Codec::Pcmu, 4002));
    lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
    lab.talk(&mut a, 5);
    b.audio.direction = Direction::Inactive;
    lab.tell(WorkerCommand::RtpUpdate { leg: b.id, audio: b.audio });
    let mut voice = vec![0; 24_000 * 5];
    Sine::new(SampleRate::HZ_24000, 1_000.0, -20.0).fill(&mut voice);
    lab.tell(WorkerCommand::Play {
        leg: b.id,
        segment: 5,
        rate: SampleRate::HZ_24000,
        samples: voice.into(),
        last: true,
    });
    lab.talk(&mut a, 100);
    let told = lab.events_of(b.id);
    assert!(told.contains(&WorkerEventKind::PlayDone { segment: 5 }), "its owner is notified of its end: {told:?}");
    b.audio.direction = Direction::SendRecv;
    lab.tell(WorkerCommand::RtpUpdate { leg: b.id, audio: b.audio });
    lab.heard(&b);
    lab.talk(&mut a, 50);
    let heard = lab.heard_pcm(&b);
    let (live, stale) =
        (goertzel_dbfs(&heard[1_600..], NARROW, 440.0), goertzel_dbfs(&heard[1_600..], NARROW, 1_000.0));
    assert!((live + 12.0).abs() < 1.0 && stale < -50.0, "live {live}, stale {stale}");
}

#[test]
fn a_silent_far_end_is_reported_once_after_a_minute() {
    let mut lab = Lab::new();
    let mut a = lab.phone(Codec::Pcmu, 4000);
    lab.talk(&mut a, 1);
    lab.advance(Duration::from_secs(59));
    assert!(!lab.events_of(a.id).contains(&WorkerEventKind::MediaTimeout));
    lab.advance(Duration::from_secs(90));
    assert_eq!(lab.events_of(a.id).iter().filter(|kind| **kind == WorkerEventKind::MediaTimeout).count(), 1);
}

#[test]
fn a_muted_leg_is_silent_to_its_peer() {
    let mut lab = Lab::new();
    let (mut a, b) = (lab.phone(Codec::Pcmu, 4000), lab.phone(Codec::Pcmu, 4002));
    lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
    lab.tell(WorkerCommand::Mute { leg: a.id, muted: true });
    lab.talk(&mut a, 50);
    let heard = lab.heard_pcm(&b);
    assert!(heard.len() > 7_000 && heard.iter().all(|sample| sample.abs() < 10));
    lab.tell(WorkerCommand::Mute { leg: a.id, muted: false });
    lab.talk(&mut a, 50);
    let heard = lab.heard_pcm(&b);
    assert!(goertzel_dbfs(&heard[1_600..], NARROW, 440.0) > -13.0);
}

#[test]
fn a_softer_leg_changes_smoothly_leaves_the_relay_and_returns_to_it() {
    let mut lab = Lab::new();
    let (mut a, b) = (lab.phone(Codec::Pcmu, 4000), lab.phone(Codec::Pcmu, 4002));
    lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
    lab.talk(&mut a, 50);
    let relayed = lab.switch.counters().packets_relayed;
    assert!(relayed >= 48, "{relayed} packets were relayed");
    let mut heard = lab.heard_pcm(&b);
    let level = |heard: &[i16]| goertzel_dbfs(heard, NARROW, 440.0);
    let before = level(&heard[1_600..]);

    lab.tell(WorkerCommand::Gain { leg: a.id, db: -12 });
    lab.talk(&mut a, 50);
    let softer = lab.heard_pcm(&b);
    assert!((before - level(&softer[2_400..]) - 12.0).abs() < 0.5, "{before} and {} dBFS", level(&softer[2_400..]));
    assert!(lab.switch.counters().packets_relayed - relayed <= 2, "the leg is not relayed");
    heard.extend(softer);
    lab.tell(WorkerCommand::Gain { leg: a.id, db: 0 });
    lab.talk(&mut a, 50);
    let again = lab.heard_pcm(&b);
    assert!((before - level(&again[2_400..])).abs() < 0.5);
    heard.extend(again);
    let relayed = lab.switch.counters().packets_relayed;
    lab.talk(&mut a, 20);
    assert!(lab.switch.counters().packets_relayed - relayed >= 19, "the leg is relayed again");

    // A jump of the gain at a crest would be a step of three quarters of the amplitude; the tone's own steps are a
    // third.
    let amplitude = heard.iter().map(|sample| i32::from(sample.abs())).max().unwrap();
    let step = heard.windows(2).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs()).max().unwrap();
    assert!(step < amplitude * 45 / 100, "a step of {step} at an amplitude of {amplitude}");
    lab.tell(WorkerCommand::Gain { leg: a.id, db: 21 });
    assert_eq!(lab.switch.counters().commands_void, 1);
}

#[test]
fn a_leg_on_hold_hears_its_music_in_a_loop_or_else_the_soft_tone() {
    let mut lab = Lab::new();
    let a = lab.phone(Codec::Pcmu, 4000);
    let mut samples = vec![0; 16_000];
    Sine::new(SampleRate::HZ_16000, 1_000.0, -16.0).fill(&mut samples);
    let music =
        |samples: Vec<i16>| WorkerCommand::Music { leg: a.id, rate: SampleRate::HZ_16000, samples: samples.into() };
    lab.tell(music(samples));
    lab.tell(WorkerCommand::App { leg: a.id, app: Some(App::Hold) });
    lab.advance(Duration::from_secs(3));
    let heard = lab.heard_pcm(&a);
    for second in heard.chunks_exact(8_000) {
        let (music, soft) = (goertzel_dbfs(second, NARROW, 1_000.0), goertzel_dbfs(second, NARROW, 350.0));
        assert!((music + 16.0).abs() < 1.0 && soft < -50.0, "music {music}, soft tone {soft}");
    }
    lab.tell(music(Vec::new()));
    lab.advance(Duration::from_secs(3));
    let heard = lab.heard_pcm(&a);
    let (music, soft) = (goertzel_dbfs(&heard, NARROW, 1_000.0), goertzel_dbfs(&heard[..4_000], NARROW, 350.0));
    assert!(music < -50.0 && soft > -36.0, "music {music}, soft tone {soft}");
}

#[test]
fn opus_beside_a_narrowband_leg_is_encoded_from_8_khz() {
    let mut lab = Lab::new();
    let (mut a, b) = (lab.phone(Codec::Pcmu, 4000), lab.phone(Codec::Opus, 4002));
    lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
    assert_eq!(lab.switch.leg_mut(b.slot).hearing.send.as_ref().unwrap().rate(), NARROW);
    lab.talk(&mut a, 60);
    let mut decoder = OpusDecoder::new(NARROW).unwrap();
    let mut heard = Vec::new();
    for (header, payload) in lab.heard(&b) {
        let mut pcm = [0; 960];
        let count = decoder.decode(&payload, &mut pcm).unwrap();
        assert_eq!((count, header.payload_type), (160, 111));
        heard.extend_from_slice(&pcm[..count]);
    }
    let level = goertzel_dbfs(&heard[4_000..], NARROW, 440.0);
    assert!((level + 12.0).abs() < 1.5, "{level}");
}

#[test]
fn other_packet_lengths_are_cut_from_the_same_samples() {
    for (ms, bytes) in [(10, 80), (30, 240), (40, 320)] {
        let mut lab = Lab::new();
        let mut audio = audio_of(Codec::Pcmu, 4002);
        audio.ptime = Ptime(MS * ms);
        let (mut a, b) = (lab.phone(Codec::Pcmu, 4000), lab.phone_with(audio));
        lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
        lab.talk(&mut a, 60);
        let heard = lab.heard(&b);
        assert!(heard.iter().all(|(_, payload)| payload.len() == bytes), "{ms} ms");
        assert!(heard.windows(2).all(|p| p[1].0.timestamp.wrapping_sub(p[0].0.timestamp) == bytes as u32), "{ms} ms");
        let pcm: Vec<i16> = heard.iter().flat_map(|(_, p)| p.iter().map(|&c| ulaw_decode(c))).collect();
        let level = goertzel_dbfs(&pcm[pcm.len() - 4_000..], NARROW, 440.0);
        assert!((level + 12.0).abs() < 1.0, "{ms} ms: {level}");
    }
}

#[test]
fn a_panic_in_one_call_ends_that_call_only() {
    let mut lab = Lab::new();
    let (a, b) = (lab.phone(Codec::Pcmu, 4000), lab.phone(Codec::Opus, 4002));
    let (mut c, d) = (lab.phone(Codec::Pcmu, 4004), lab.phone(Codec::Pcmu, 4006));
    lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
    lab.tell(WorkerCommand::Bridge { a: c.id, b: d.id });
    lab.switch.leg_mut(b.slot).hearing.send = Some(leg::Send::with_encoder(Box::new(Faulty), Codec::Opus, 640));
    lab.talk(&mut c, 50);
    for id in [a.id, b.id] {
        let told = lab.events_of(id);
        assert!(
            told.iter().any(|kind| matches!(kind, WorkerEventKind::Failed(why) if why.contains("a fault of ours")))
        );
        assert!(matches!(told.last(), Some(WorkerEventKind::Closed(_))));
    }
    assert_eq!(lab.heard(&d).iter().filter(|(_, p)| p.iter().any(|&c| ulaw_decode(c).abs() > 1_000)).count(), 50);
    assert_eq!((lab.switch.counters().panics, lab.switch.census().legs), (1, 2));
}

#[test]
fn reports_are_sent_every_five_seconds_and_a_goodbye_at_the_end() {
    let mut lab = Lab::new();
    let mut a = lab.phone(Codec::Pcmu, 4000);
    lab.talk(&mut a, 1_100);
    lab.tell(WorkerCommand::LegClose { leg: a.id });
    lab.drain();
    let reports: Vec<_> = lab.sent.iter().filter(|(_, socket, _, _)| *socket == Socket::Rtcp).collect();
    assert!(reports.iter().all(|(_, _, to, _)| *to == a.audio.remote_rtcp));
    assert!((4..=6).contains(&reports.len()), "{} reports in 22 s", reports.len());
    let goodbye = &reports.last().unwrap().3;
    assert!(crate::rtcp::parse(goodbye).any(|packet| matches!(packet, crate::rtcp::Packet::Bye(_))));
    let told = lab.events_of(a.id);
    let Some(WorkerEventKind::Closed(quality)) = told.last() else { panic!("{told:?}") };
    assert_eq!((quality.packets_received, quality.packets_lost), (1_100, 0));
    assert!(told.iter().filter(|kind| matches!(kind, WorkerEventKind::Quality(_))).count() >= 4);
    assert!(lab.switch.poll_timeout().is_none());
}

#[test]
fn loss_is_reported_in_the_leg_s_statistics() {
    let mut lab = Lab::new();
    let mut a = lab.phone(Codec::Pcmu, 4000);
    lab.talk(&mut a, 50);
    (a.sequence, a.timestamp) = (a.sequence.wrapping_add(7), a.timestamp.wrapping_add(7 * 160));
    lab.talk(&mut a, 50);
    lab.tell(WorkerCommand::LegClose { leg: a.id });
    lab.drain();
    let Some(WorkerEventKind::Closed(quality)) = lab.events_of(a.id).pop() else { panic!("not closed") };
    assert_eq!((quality.packets_received, quality.packets_lost), (100, 7));
}

#[test]
fn commands_for_unknown_legs_are_only_counted() {
    let mut lab = Lab::new();
    let (a, nobody) = (lab.phone(Codec::Pcmu, 4000), LegId(9));
    lab.tell(WorkerCommand::Bridge { a: a.id, b: nobody });
    lab.tell(WorkerCommand::Bridge { a: a.id, b: a.id });
    lab.tell(WorkerCommand::Unbridge { leg: nobody });
    lab.tell(WorkerCommand::Mute { leg: nobody, muted: true });
    lab.tell(WorkerCommand::LegClose { leg: nobody });
    assert_eq!(lab.switch.counters().commands_void, 5);
    assert_eq!(lab.switch.census(), Census { legs: 1, ..Census::default() });
}

#[test]
fn a_worker_that_was_held_up_does_not_flood_the_far_end() {
    let mut lab = Lab::new();
    let a = lab.phone(Codec::Pcmu, 4000);
    lab.advance(MS * 100);
    lab.heard(&a);
    lab.now += Duration::from_secs(10);
    while lab.switch.poll_timeout().is_some_and(|at| at <= lab.now) {
        lab.switch.handle(Input::Timeout, lab.now);
    }
    lab.drain();
    assert!(lab.heard(&a).len() <= 11);
    assert!(lab.switch.counters().ticks_skipped > 400);
}
