//! Browser legs in the switch: the browsers are peers of the same kind, connected in memory under virtual time.
//!
//! `Lab` carries the datagrams between the switch's shared port and the browsers, and ends a test that sends to any other address.
//!
//! Not here: a single leg without a switch (`leg::webrtc`).

use std::time::UNIX_EPOCH;

use codecs::Encoder;
use codecs::g711::ulaw_decode;
use codecs::opus::{OpusEncoder, OpusSettings};
use codecs::tones::{Sine, goertzel_dbfs};

use super::*;
use crate::leg::flow::{Incoming, Outgoing};
use crate::leg::webrtc::{DtlsCert, PeerOutput, WebRtcPeer, stun_username_ufrag};
use crate::rtp::RtpPacket;
use crate::sdp::{Audio, Codec, TelephoneEventFormat};
use crate::units::{ClockRate, SampleRate, test_epoch};
use crate::worker::{WorkerEvent, WorkerEventKind};

const MS: Duration = Duration::from_millis(1);

struct Browser {
    peer: WebRtcPeer,
    address: SocketAddr,
    slot: Slot,
    id: LegId,
    connected: bool,
    closed: bool,
    /// Payload type, sequence number, timestamp and payload of each packet.
    heard: Vec<(u8, u16, u32, Vec<u8>)>,
    sequence: u64,
    sine: Sine,
    encoder: OpusEncoder,
}

struct Lab {
    switch: Switch,
    shared: SocketAddr,
    now: Instant,
    browsers: Vec<Browser>,
    plain: Vec<(Slot, Vec<u8>)>,
    events: Vec<WorkerEvent>,
    /// A browser whose checks also seem to come from this address, and the number of such checks.
    thief: Option<(usize, SocketAddr, u32)>,
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

impl Lab {
    fn tell(&mut self, command: WorkerCommand) {
        self.switch.handle(command.into(), self.now);
    }

    fn new() -> Lab {
        let (now, shared) = (test_epoch(), address(5000));
        let switch = Switch::new(11, vec![shared], now, UNIX_EPOCH);
        Lab { switch, shared, now, browsers: Vec::new(), plain: Vec::new(), events: Vec::new(), thief: None }
    }

    /// A browser makes an offer; the switch's leg answers.
    fn browser(&mut self) -> usize {
        self.browser_of(&DtlsCert::generate().unwrap())
    }

    /// Does the same; `ours` decides whether the leg's media bypasses str0m.
    fn browser_of(&mut self, ours: &DtlsCert) -> usize {
        let index = self.browsers.len();
        let (here, id) = (address(6000 + index as u16), LegId(100 + index as u64));
        let certificate = DtlsCert::generate().unwrap();
        let (mut peer, offer) = WebRtcPeer::offer(&[here], &certificate, self.now).unwrap();
        let (leg, answer) = WebRtcPeer::accept_offer(&offer, &[self.shared], ours, self.now).unwrap();
        let slot =
            self.switch.handle(Input::OpenBrowser { leg: id, peer: Some(Box::new(leg)) }, self.now).slot().unwrap();
        peer.handle_answer(&answer).unwrap();
        let encoder = OpusEncoder::new(SampleRate::HZ_48000, OpusSettings::default()).unwrap();
        let sine = Sine::new(SampleRate::HZ_48000, 440.0, -12.0);
        self.browsers.push(Browser {
            peer,
            address: here,
            slot,
            id,
            connected: false,
            closed: false,
            heard: Vec::new(),
            sequence: 10,
            sine,
            encoder,
        });
        index
    }

    fn phone(&mut self, id: LegId) -> Slot {
        let audio = Audio {
            telephone_event: Some(TelephoneEventFormat {
                payload_type: 101,
                receive_payload_type: 101,
                clock: ClockRate::HZ_8000,
            }),
            remote_rtcp: address(4001),
            ..Audio::plain(Codec::Pcmu, address(4000))
        };
        self.switch.handle(Input::Open { leg: id, audio: Some(audio), nat: false }, self.now).slot().unwrap()
    }

    fn advance(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.now += MS;
            if self.switch.poll_timeout().is_some_and(|at| at <= self.now) {
                self.switch.handle(Input::Timeout, self.now);
            }
            self.deliver();
        }
    }

    /// Carries datagrams both ways until none is left.
    fn deliver(&mut self) {
        loop {
            let mut carried = false;
            for index in 0..self.browsers.len() {
                let browser = &mut self.browsers[index];
                if browser.peer.poll_timeout() <= self.now {
                    browser.peer.handle_timeout(self.now);
                }
                while let Some(output) = self.browsers[index].peer.poll_output() {
                    carried = true;
                    let browser = &mut self.browsers[index];
                    match output {
                        PeerOutput::Transmit { from, bytes, .. } => {
                            self.switch.handle(Input::shared_datagram(0, from, &mut bytes.clone()), self.now);
                            if let Some((thief, victim, forged)) = &mut self.thief
                                && *thief == index
                                && stun_username_ufrag(&bytes).is_some()
                            {
                                *forged += 1;
                                self.switch.handle(Input::shared_datagram(0, *victim, &mut bytes.clone()), self.now);
                            }
                        }
                        PeerOutput::Rtp { payload_type, seq, timestamp, payload, .. } => {
                            browser.heard.push((payload_type, seq, timestamp, payload.to_vec()));
                        }
                        PeerOutput::Connected => browser.connected = true,
                        PeerOutput::Closed(_) => browser.closed = true,
                    }
                }
            }
            while let Some(output) = self.switch.poll_output() {
                carried = true;
                match output {
                    Output::Transmit { socket: Socket::Shared(0), to, bytes, .. } => {
                        let browser = self.browsers.iter_mut().find(|browser| browser.address == to).unwrap();
                        browser.peer.handle_datagram(self.shared, to, bytes, self.now);
                    }
                    Output::Transmit { slot, socket: Socket::Rtp, bytes, .. } => {
                        self.plain.push((slot, bytes.to_vec()));
                    }
                    Output::Transmit { .. } => {}
                    Output::Event(_, event) => self.events.push(event),
                }
            }
            if !carried {
                return;
            }
        }
    }

    /// A browser plays 20 ms of its tone.
    fn talk(&mut self, index: usize) -> Vec<u8> {
        let browser = &mut self.browsers[index];
        let (mut pcm, mut out) = ([0; 960], [0; 1500]);
        browser.sine.fill(&mut pcm);
        let length = browser.encoder.encode(&pcm, &mut out).unwrap();
        let timestamp = browser.sequence as u32 * 960;
        browser.peer.write_rtp(111, browser.sequence, timestamp, false, &out[..length], self.now).unwrap();
        browser.sequence += 1;
        self.deliver();
        self.advance(MS * 20);
        out[..length].to_vec()
    }
}

#[test]
fn two_browsers_hear_each_other_s_unchanged_packets() {
    let mut lab = Lab::new();
    let (a, b) = (lab.browser(), lab.browser());
    lab.tell(WorkerCommand::Bridge { a: lab.browsers[a].id, b: lab.browsers[b].id });
    lab.advance(MS * 500);
    assert!(lab.browsers.iter().all(|browser| browser.connected));
    lab.browsers[b].heard.clear();
    let before = lab.switch.counters().packets_relayed;
    let mut said = Vec::new();
    for n in 0..50 {
        if n == 20 {
            // A packet lost on the way to us is a gap for the listener too.
            lab.browsers[a].sequence += 1;
        }
        said.push(lab.talk(a));
    }
    let heard: Vec<_> = lab.browsers[b].heard.iter().filter(|packet| said.contains(&packet.3)).collect();
    assert_eq!(heard.iter().map(|packet| &packet.3).collect::<Vec<_>>(), said.iter().collect::<Vec<_>>());
    let steps: Vec<u16> = heard.windows(2).map(|pair| pair[1].1.wrapping_sub(pair[0].1)).collect();
    assert_eq!(steps.iter().filter(|&&step| step == 2).count(), 1, "{steps:?}");
    assert!(steps.iter().all(|&step| step == 1 || step == 2));
    assert!(heard.windows(2).all(|p| p[1].2.wrapping_sub(p[0].2) == 960 * u32::from(p[1].1.wrapping_sub(p[0].1))));
    assert_eq!(lab.switch.counters().packets_relayed - before, 50);
}

#[test]
fn a_browser_and_a_telephone_hear_each_other() {
    let mut lab = Lab::new();
    let a = lab.browser();
    let phone = lab.phone(LegId(1));
    lab.tell(WorkerCommand::Bridge { a: lab.browsers[a].id, b: LegId(1) });
    lab.advance(MS * 500);
    lab.plain.clear();
    for _ in 0..75 {
        lab.talk(a);
    }
    let heard: Vec<i16> = lab
        .plain
        .iter()
        .filter(|(slot, _)| *slot == phone)
        .flat_map(|(_, bytes)| {
            RtpPacket::parse(bytes).unwrap().payload().iter().map(|&c| ulaw_decode(c)).collect::<Vec<_>>()
        })
        .collect();
    let level = goertzel_dbfs(&heard[heard.len() - 4_000..], SampleRate::HZ_8000, 440.0);
    assert!((level + 12.0).abs() < 1.5, "{level}");
    assert!(lab.browsers[a].heard.len() > 70, "frames of silence reach the browser");
    assert!(lab.browsers[a].heard.windows(2).all(|pair| pair[1].1 == pair[0].1.wrapping_add(1)));
}

#[test]
fn connected_first_packet_and_closed_are_reported_and_nothing_is_left() {
    let mut lab = Lab::new();
    let a = lab.browser();
    lab.advance(MS * 500);
    lab.talk(a);
    let (id, slot) = (lab.browsers[a].id, lab.browsers[a].slot);
    let kinds: Vec<_> = lab.events.iter().filter(|event| event.leg == id).map(|event| &event.kind).collect();
    assert_eq!(kinds, [&WorkerEventKind::Connected, &WorkerEventKind::FirstPacket]);
    lab.tell(WorkerCommand::LegClose { leg: id });
    lab.deliver();
    lab.advance(MS * 100);
    assert!(lab.browsers[a].closed, "the browser is informed by DTLS");
    assert!(matches!(lab.events.last().unwrap().kind, WorkerEventKind::Closed(_)));
    assert!(lab.switch.by_ufrag.is_empty() && lab.switch.by_source.is_empty() && lab.switch.connecting.is_empty());
    assert_eq!(lab.switch.census(), Census::default());
    assert!(lab.switch.legs[slot.index()].is_none());
}

#[test]
fn a_stranger_on_the_shared_port_reaches_no_leg() {
    let mut lab = Lab::new();
    let a = lab.browser();
    lab.advance(MS * 500);
    let before = lab.switch.counters();
    for bytes in [&[0x80, 111, 0, 1][..], &[0; 20], &[22, 254, 253], &[]] {
        lab.switch.handle(Input::shared_datagram(0, address(9999), &mut bytes.to_vec()), lab.now);
    }
    lab.switch.handle(Input::shared_datagram(7, lab.browsers[a].address, &mut [0; 20]), lab.now);
    assert_eq!(lab.switch.counters().strangers, before.strangers + 5);
}

#[test]
fn a_browser_that_never_connects_is_given_up() {
    let mut lab = Lab::new();
    let certificate = DtlsCert::generate().unwrap();
    let (peer, _) = WebRtcPeer::offer(&[lab.shared], &certificate, lab.now).unwrap();
    lab.switch.handle(Input::OpenBrowser { leg: LegId(5), peer: Some(Box::new(peer)) }, lab.now);
    // Without an answer no timer runs that could fail the leg: signalling decides.
    lab.advance(Duration::from_secs(40));
    assert_eq!(lab.switch.census().legs, 1);
    lab.tell(WorkerCommand::LegClose { leg: LegId(5) });
    lab.deliver();
    assert_eq!(lab.switch.census().legs, 0);
}

/// A STUN binding request with this USERNAME and a forged MESSAGE-INTEGRITY.
fn binding_request(username: &str) -> Vec<u8> {
    let mut body = vec![0, 6, 0, username.len() as u8];
    body.extend(username.as_bytes());
    body.resize(body.len().next_multiple_of(4), 0);
    body.extend([0x00, 0x24, 0, 4, 0x6e, 0, 1, 0xff, 0x80, 0x2a, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
    body.extend([0, 8, 0, 20]);
    body.extend([0xab; 20]);
    let mut bytes = vec![0, 1, 0, body.len() as u8, 0x21, 0x12, 0xa4, 0x42];
    bytes.extend([9; 12]);
    bytes.extend(body);
    bytes
}

#[test]
fn strangers_on_the_shared_port_get_no_answer_and_disturb_no_leg() {
    let mut lab = Lab::new();
    let (a, b) = (lab.browser(), lab.browser());
    lab.tell(WorkerCommand::Bridge { a: lab.browsers[a].id, b: lab.browsers[b].id });
    lab.advance(MS * 500);
    let ufrags: Vec<String> = lab.switch.by_ufrag.keys().cloned().collect();
    let hello = [&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40, 1][..], &[1; 200]].concat();
    let mut hostile =
        vec![binding_request("nobody:atall"), hello.clone(), vec![0x80; 172], vec![0x81, 203, 0, 1, 0, 0, 0, 9]];
    // The right user name, which an eavesdropper knows; the key it cannot know.
    hostile.extend(ufrags.iter().map(|ufrag| binding_request(&format!("{ufrag}:evil"))));
    let mut said = Vec::new();
    lab.browsers[b].heard.clear();
    for n in 0..200 {
        for bytes in &hostile {
            let from = SocketAddr::from(([198, 51, 100, 9], 3000 + n % 40));
            lab.switch.handle(Input::shared_datagram(0, from, &mut bytes.clone()), lab.now);
            // `deliver` fails on a datagram for anyone but the browsers.
            lab.deliver();
        }
        // A browser's address may be forged too.
        let own = lab.browsers[a].address;
        lab.switch.handle(Input::shared_datagram(0, own, &mut hello.clone()), lab.now);
        said.push(lab.talk(a));
    }
    let heard = lab.browsers[b].heard.iter().filter(|packet| said.contains(&packet.3)).count();
    assert_eq!(heard, 200);
    assert!(lab.browsers.iter().all(|browser| !browser.closed));
    assert_eq!(lab.switch.by_source.len(), 2, "a check without the password assigns no address");
}

#[test]
fn a_caller_cannot_take_the_address_of_another_call() {
    let mut lab = Lab::new();
    let (a, b, thief) = (lab.browser(), lab.browser(), lab.browser());
    lab.tell(WorkerCommand::Bridge { a: lab.browsers[a].id, b: lab.browsers[b].id });
    lab.advance(MS * 500);
    lab.browsers[b].heard.clear();
    // Checks that are correct in every bit, except for their apparent source.
    lab.thief = Some((thief, lab.browsers[a].address, 0));
    let said: Vec<_> = (0..400).map(|_| lab.talk(a)).collect();
    assert!(lab.thief.is_some_and(|(.., forged)| forged > 0), "the thief has tried");
    let heard = lab.browsers[b].heard.iter().filter(|packet| said.contains(&packet.3)).count();
    assert_eq!(heard, 400);
}

#[test]
fn a_browser_leg_s_flow_and_score_are_reported() {
    let mut lab = Lab::new();
    let (a, b) = (lab.browser(), lab.browser());
    lab.tell(WorkerCommand::Bridge { a: lab.browsers[a].id, b: lab.browsers[b].id });
    lab.advance(MS * 500);
    for _ in 0..800 {
        lab.talk(a);
    }
    let of = |lab: &Lab, index: usize| {
        let id = lab.browsers[index].id;
        let flow = |kind: &WorkerEventKind| if let WorkerEventKind::Flow(flow) = kind { Some(*flow) } else { None };
        let quality = |kind: &WorkerEventKind| if let WorkerEventKind::Quality(q) = kind { Some(*q) } else { None };
        let kinds: Vec<_> = lab.events.iter().filter(|event| event.leg == id).map(|event| &event.kind).collect();
        (kinds.iter().rev().find_map(|kind| flow(kind)), kinds.iter().rev().find_map(|kind| quality(kind)))
    };
    let (flow, quality) = of(&lab, a);
    assert_eq!(flow.unwrap().incoming, Incoming::Flowing);
    assert!(quality.unwrap().incoming.mos.unwrap() > 4.3, "{quality:?}");
    let (flow, quality) = of(&lab, b);
    assert_eq!((flow.unwrap().incoming, flow.unwrap().outgoing), (Incoming::NoPacketsYet, Outgoing::Sending));
    assert!(quality.unwrap().outgoing.mos.unwrap() > 4.3, "according to the browser's reports: {quality:?}");
}

/// Prints the cost of relaying one browser packet, in and out. Run with `--release -- --ignored --nocapture`.
#[test]
#[ignore = "prints a measurement and verifies nothing"]
fn cost_of_a_relayed_browser_packet() {
    for (name, ours) in [("str0m", DtlsCert::of_str0m_alone()), ("past str0m", DtlsCert::generate().unwrap())] {
        relay_cost(name, &ours);
    }
}

fn relay_cost(name: &str, ours: &DtlsCert) {
    const PACKETS: usize = 5_000;
    let mut lab = Lab::new();
    let (a, b) = (lab.browser_of(ours), lab.browser_of(ours));
    lab.tell(WorkerCommand::Bridge { a: lab.browsers[a].id, b: lab.browsers[b].id });
    lab.advance(MS * 1_000);
    let (mut spent, mut relayed, mut ticks) = (Duration::ZERO, 0, Duration::ZERO);
    for n in 0..PACKETS {
        let browser = &mut lab.browsers[a];
        browser.peer.write_rtp(111, 100 + n as u64, n as u32 * 960, false, &[0xa5; 60], lab.now).unwrap();
        let mut datagrams = Vec::new();
        while let Some(output) = browser.peer.poll_output() {
            if let PeerOutput::Transmit { bytes, .. } = output {
                datagrams.push(bytes);
            }
        }
        let from = browser.address;
        let begun = crate::net::clock::now();
        for bytes in &mut datagrams {
            lab.switch.handle(Input::shared_datagram(0, from, bytes), lab.now);
        }
        while let Some(output) = lab.switch.poll_output() {
            relayed += usize::from(matches!(output, Output::Transmit { bytes, .. } if bytes.len() > 60));
        }
        spent += begun.elapsed();
        // 20 ms with all timers of both legs; the transport of their datagrams is not measured.
        let begun = crate::net::clock::now();
        for _ in 0..20 {
            lab.now += MS;
            if lab.switch.poll_timeout().is_some_and(|at| at <= lab.now) {
                lab.switch.handle(Input::Timeout, lab.now);
            }
        }
        ticks += begun.elapsed();
        lab.deliver();
    }
    let each = |span: Duration| span.as_nanos() as f64 / 1e3 / PACKETS as f64;
    println!(
        "{name}: {:.2} us a packet in and out, {:.2} us 20 ms of two legs, {relayed} relayed",
        each(spent),
        each(ticks)
    );
}
