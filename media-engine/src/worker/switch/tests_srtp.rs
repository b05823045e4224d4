//! Encrypted legs in the switch: the media that they carry, and the effect of strangers on them.
//!
//! An encrypted telephone is bridged to a plain one, under virtual time; the far end's contexts are the crate's own SRTP contexts.
//! Most tests run with every suite in `Suite::ALL`.
//!
//! Sources: RFC 3711 (SRTP), RFC 4568 (SDES).

use std::time::UNIX_EPOCH;

use super::*;
use crate::leg::rtp::Component;
use crate::rtp::{RtpHeader, RtpPacket, is_rtcp};
use crate::sdp::{Audio, Codec, Direction, SrtpKeys};
use crate::srtp::{MAX_OVERHEAD, MasterKey, Protect, Suite, Unprotect};
use crate::units::test_epoch;
use crate::worker::{App, WorkerEvent, WorkerEventKind};

const STRANGER: ([u8; 4], u16) = ([192, 0, 2, 66], 6666);

/// A telephone with keys that is bridged to a plain one.
struct Lab {
    switch: Switch,
    now: Instant,
    keys: SrtpKeys,
    audio: Audio,
    slots: [Slot; 2],
    protect: Protect,
    unprotect: Unprotect,
    sequence: u16,
    /// Payloads that either side heard, and all destination addresses.
    heard: [Vec<Vec<u8>>; 2],
    /// SSRC and sequence numbers of the packets that the encrypted telephone heard, since the last check.
    numbers: Vec<(u32, u16)>,
    reports: usize,
    reached: Vec<SocketAddr>,
    events: Vec<WorkerEvent>,
}

fn keys(suite: Suite, seed: u8) -> SrtpKeys {
    let key = |byte: u8| MasterKey::new(suite, &[byte; 44][..suite.key_and_salt_len()]).unwrap();
    SrtpKeys { send: key(seed), receive: key(seed + 1) }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

fn audio(port: u16, srtp: Option<SrtpKeys>) -> Audio {
    Audio { srtp, ..Audio::plain(Codec::Pcmu, address(port)) }
}

impl Lab {
    fn tell(&mut self, command: WorkerCommand) {
        self.switch.handle(command.into(), self.now);
    }

    fn new(suite: Suite, nat: bool) -> Lab {
        let (now, keys) = (test_epoch(), keys(suite, 1));
        let mut switch = Switch::new(5, Vec::new(), now, UNIX_EPOCH);
        let (secure, plain) = (audio(4000, Some(keys)), audio(4002, None));
        let slots = [
            switch.handle(Input::Open { leg: LegId(1), audio: Some(secure), nat }, now).slot().unwrap(),
            switch.handle(Input::Open { leg: LegId(2), audio: Some(plain), nat: false }, now).slot().unwrap(),
        ];
        switch.handle(WorkerCommand::Bridge { a: LegId(1), b: LegId(2) }.into(), now);
        Lab {
            switch,
            now,
            keys,
            audio: secure,
            slots,
            protect: Protect::new(&keys.receive),
            unprotect: Unprotect::new(&keys.send),
            sequence: 65_500,
            heard: [Vec::new(), Vec::new()],
            numbers: Vec::new(),
            reports: 0,
            reached: Vec::new(),
            events: Vec::new(),
        }
    }

    fn packet(&mut self) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut bytes = vec![self.sequence as u8; 172];
        let timestamp = u32::from(self.sequence) * 160;
        let header = RtpHeader { payload_type: 0, marker: false, sequence: self.sequence, timestamp, ssrc: 9 };
        header.write_to(&mut bytes).unwrap();
        bytes
    }

    fn sealed(&mut self) -> Vec<u8> {
        let mut bytes = [self.packet(), vec![0; MAX_OVERHEAD]].concat();
        let length = self.protect.rtp(&mut bytes, 172).unwrap();
        bytes.truncate(length);
        bytes
    }

    fn receive(&mut self, side: usize, component: Component, from: SocketAddr, bytes: &[u8]) {
        self.switch.handle(Input::datagram(self.slots[side], component, from, &mut bytes.to_vec()), self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.switch.poll_output() {
            let (slot, to, bytes) = match output {
                Output::Transmit { slot, to, bytes, .. } => (slot, to, bytes),
                Output::Event(_, event) => {
                    self.events.push(event);
                    continue;
                }
            };
            self.reached.push(to);
            if slot == self.slots[1] {
                if !is_rtcp(bytes) {
                    self.heard[1].push(RtpPacket::parse(bytes).unwrap().payload().to_vec());
                }
                continue;
            }
            let mut bytes = bytes.to_vec();
            if is_rtcp(&bytes) {
                let length = self.unprotect.rtcp(&mut bytes).expect("the telephone opens our reports");
                assert!(crate::rtcp::parse(&bytes[..length]).count() >= 2, "a report and a CNAME");
                self.reports += 1;
            } else {
                let length = self.unprotect.rtp(&mut bytes).expect("the telephone opens our packets");
                let packet = RtpPacket::parse(&bytes[..length]).unwrap();
                self.numbers.push((packet.ssrc(), packet.header().sequence));
                self.heard[0].push(packet.payload().to_vec());
            }
        }
    }

    /// Runs 20 ms of speech of both telephones `ticks` times, with `meanwhile` in between.
    fn talk(&mut self, ticks: usize, mut meanwhile: impl FnMut(&mut Lab)) {
        for _ in 0..ticks {
            let clear = self.sealed();
            self.receive(0, Component::Rtp, address(4000), &clear);
            meanwhile(self);
            let clear = self.packet();
            self.receive(1, Component::Rtp, address(4002), &clear);
            self.pass(Duration::from_millis(20));
        }
    }

    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.switch.poll_timeout().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.switch.handle(Input::Timeout, self.now);
            self.drain();
        }
        self.now = end;
    }

    fn direction(&mut self, direction: Direction) {
        let audio = Audio { direction, ..self.audio };
        self.tell(WorkerCommand::RtpUpdate { leg: LegId(1), audio });
    }

    fn counts(&mut self) -> [usize; 2] {
        let counts = [self.heard[0].len(), self.heard[1].len()];
        self.heard = [Vec::new(), Vec::new()];
        counts
    }
}

#[test]
fn encrypted_and_plain_telephones_hear_each_other_across_the_roll_over() {
    for suite in Suite::ALL {
        let mut lab = Lab::new(suite, false);
        lab.talk(400, |_| {});
        assert_eq!(lab.counts(), [400, 400], "{suite:?}");
        assert!(lab.reports > 0, "{suite:?}");
        let counters = lab.switch.counters();
        assert_eq!((counters.unauthentic, counters.replayed, counters.malformed), (0, 0, 0), "{suite:?}");
    }
}

#[test]
fn forged_replayed_truncated_huge_and_plain_packets_change_nothing() {
    for suite in Suite::ALL {
        let mut lab = Lab::new(suite, false);
        lab.talk(50, |_| {});
        assert_eq!(lab.counts(), [50, 50]);
        let (mut n, mut last) = (0_usize, Vec::new());
        lab.talk(200, |lab| {
            n += 1;
            let own = lab.sealed();
            let mut forged = own.clone();
            forged[2 + n % (own.len() - 2)] ^= 0x40;
            let from = address(4000);
            for bytes in [&forged[..], &own[..n % own.len()], &[own.as_slice(), &[7; 1_800]].concat(), &last] {
                lab.receive(0, Component::Rtp, from, bytes);
                lab.receive(0, Component::Rtp, SocketAddr::from(STRANGER), bytes);
            }
            let plain = lab.packet();
            lab.receive(0, Component::Rtp, from, &plain);
            let goodbye = [0x81, 203, 0, 1, 0, 0, 0, 9];
            lab.receive(0, Component::Rtcp, SocketAddr::from(STRANGER), &goodbye);
            lab.receive(0, Component::Rtcp, address(4001), &goodbye);
            lab.receive(0, Component::Rtp, from, &own);
            last = own;
        });
        let [to_secure, to_plain] = lab.counts();
        assert_eq!((to_secure, to_plain), (200, 400), "{suite:?}: every authentic packet and no other");
        assert!(!lab.reached.contains(&SocketAddr::from(STRANGER)));
        let counters = lab.switch.counters();
        assert!(counters.unauthentic >= 400 && counters.replayed >= 199 && counters.foreign >= 1_000, "{counters:?}");
        assert_eq!(counters.panics, 0);
        assert!(!lab.events.iter().any(|event| matches!(event.kind, WorkerEventKind::Failed(_))));
    }
}

#[test]
fn a_source_is_learned_from_an_authentic_packet_only() {
    for suite in Suite::ALL {
        let mut lab = Lab::new(suite, true);
        let stranger = SocketAddr::from(STRANGER);
        let mut forged = lab.sealed();
        forged[100] ^= 1;
        for bytes in [forged, lab.packet()] {
            lab.receive(0, Component::Rtp, stranger, &bytes);
        }
        let behind_nat = address(41_000);
        let first = lab.sealed();
        lab.receive(0, Component::Rtp, behind_nat, &first);
        lab.receive(0, Component::Rtp, stranger, &first);
        lab.reached.clear();
        let clear = lab.packet();
        lab.receive(1, Component::Rtp, address(4002), &clear);
        assert_eq!(lab.reached, [behind_nat], "{suite:?}");
    }
}

#[test]
fn roll_over_and_replay_windows_survive_a_re_invite_that_keeps_the_keys() {
    for suite in Suite::ALL {
        let mut lab = Lab::new(suite, false);
        lab.talk(60, |_| {});
        assert!(lab.sequence < 100, "the sequence number has rolled over");
        let old = lab.sealed();
        lab.receive(0, Component::Rtp, address(4000), &old);
        lab.counts();
        for direction in [Direction::RecvOnly, Direction::SendRecv] {
            let (audio, now) = (Audio { direction, ..lab.audio }, lab.now);
            lab.switch.handle(WorkerCommand::RtpUpdate { leg: LegId(1), audio }.into(), now);
        }
        lab.receive(0, Component::Rtp, address(4000), &old);
        assert_eq!(lab.switch.counters().replayed, 1, "{suite:?}");
        lab.talk(50, |_| {});
        assert_eq!(lab.counts(), [50, 50], "{suite:?}");

        // New keys: both sides begin new contexts, and old packets are rejected.
        lab.keys = keys(suite, 71);
        (lab.protect, lab.unprotect) = (Protect::new(&lab.keys.receive), Unprotect::new(&lab.keys.send));
        let (audio, now) = (Audio { srtp: Some(lab.keys), ..lab.audio }, lab.now);
        lab.switch.handle(WorkerCommand::RtpUpdate { leg: LegId(1), audio }.into(), now);
        lab.receive(0, Component::Rtp, address(4000), &old);
        assert_eq!(lab.switch.counters().unauthentic, 1, "{suite:?}");
        lab.talk(50, |_| {});
        assert_eq!(lab.counts(), [50, 50], "{suite:?}");
    }
}

#[test]
fn after_eleven_minutes_of_hold_both_sides_continue_the_same_streams() {
    const HOLD: Duration = Duration::from_secs(11 * 60);
    for suite in Suite::ALL {
        let mut lab = Lab::new(suite, false);
        lab.talk(50, |_| {});
        let (ssrc, mut last) = *lab.numbers.last().unwrap();
        // The telephone plays its own music (sendonly), is silent (inactive), or only listens; in the last case our
        // music is sent to it.
        for (held, music, ours) in [
            (Direction::RecvOnly, true, false),
            (Direction::Inactive, false, false),
            (Direction::SendOnly, false, true),
        ] {
            lab.direction(held);
            let app = ours.then_some(App::Hold);
            lab.tell(WorkerCommand::App { leg: LegId(1), app });
            (lab.heard, lab.numbers) = (Default::default(), Vec::new());
            let begun = lab.now;
            while lab.now < begun + HOLD {
                if music {
                    let packet = lab.sealed();
                    lab.receive(0, Component::Rtp, address(4000), &packet);
                }
                lab.pass(Duration::from_millis(20));
            }
            assert_eq!(lab.numbers.len(), if ours { 33_000 } else { 0 }, "{suite:?} {held:?}: packets that we sent");
            let dead = |event: &WorkerEvent| event.kind == WorkerEventKind::MediaTimeout && event.leg == LegId(1);
            assert!(!lab.events.iter().any(dead), "{suite:?} {held:?}: a held party may be silent");
            lab.direction(Direction::SendRecv);
            lab.tell(WorkerCommand::App { leg: LegId(1), app: None });
            lab.heard = Default::default();
            // They take turns: the encrypted telephone sends the first packet, the plain one the second.
            let said: Vec<_> = (1..=100).map(|n| vec![lab.sequence.wrapping_add(n) as u8; 160]).collect();
            lab.talk(50, |_| {});
            // A frame of silence may be sent before the first spoken one.
            for (side, first) in [(0, 1), (1, 0)] {
                let heard = &lab.heard[side];
                let voice = &heard[usize::from(heard.len() == 51)..];
                assert!(
                    voice.iter().eq(said.iter().skip(first).step_by(2)),
                    "{suite:?} {held:?}: side {side}: {}",
                    heard.len()
                );
            }
            for &(from, number) in &lab.numbers {
                // The telephones count their packets together, so relayed packets advance by two.
                assert_eq!(from, ssrc, "{suite:?} {held:?}");
                assert!((1..=2).contains(&number.wrapping_sub(last)), "{suite:?} {held:?}: {number} after {last}");
                last = number;
            }
        }
        let counters = lab.switch.counters();
        assert_eq!((counters.unauthentic, counters.replayed, counters.malformed), (0, 0, 0), "{suite:?}");
    }
}
