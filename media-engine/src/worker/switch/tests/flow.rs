//! Reports of the switch under virtual time: whether sound flows, its quality, and when a leg is dead.

use super::*;
use crate::leg::flow::{Flow, Incoming, Outgoing};
use crate::rtcp::{Compound, ReportBlock, SenderReport, write_compound};
use crate::rtp::fuzz::mutate::Random;
use crate::worker::LegQuality;

const SECOND: Duration = Duration::from_secs(1);
const SEED: u64 = 0x0e_11a8;

fn elsewhere(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 7], port))
}

impl Lab {
    /// Returns all flow reports about the leg since the last call.
    fn flows(&mut self, phone: &Phone) -> Vec<Flow> {
        let told = self.events_of(phone.id);
        told.into_iter()
            .filter_map(|kind| if let WorkerEventKind::Flow(flow) = kind { Some(flow) } else { None })
            .collect()
    }

    fn qualities(&mut self, phone: &Phone) -> Vec<LegQuality> {
        let told = self.events_of(phone.id);
        let quality = |kind| if let WorkerEventKind::Quality(quality) = kind { Some(quality) } else { None };
        told.into_iter().filter_map(quality).collect()
    }

    /// Sends a packet to the phone's leg from `from`, with this payload type.
    fn send_from(&mut self, phone: &mut Phone, from: SocketAddr, payload_type: u8, payload: &[u8]) {
        let named = std::mem::replace(&mut phone.audio.remote_rtp, from);
        self.send_packet(phone, payload_type, false, payload);
        phone.audio.remote_rtp = named;
        (phone.sequence, phone.timestamp) = (phone.sequence.wrapping_add(1), phone.timestamp.wrapping_add(160));
    }

    /// Sends RTCP to the phone's leg.
    fn send_report(&mut self, phone: &Phone, from: SocketAddr, blocks: &[ReportBlock], bye: bool) {
        let ssrc = 0x5000 + phone.id.0 as u32;
        let sender = SenderReport { ssrc, ntp: 1 << 40, rtp_timestamp: 0, packets: 1, octets: 160 };
        let compound = Compound { ssrc, sender: Some(sender), blocks, cname: "far", bye };
        let mut bytes = [0; 400];
        let length = write_compound(&mut bytes, &compound).unwrap();
        self.switch.handle(Input::datagram(phone.slot, Component::Rtcp, from, &mut bytes[..length]), self.now);
        self.drain();
    }

    fn sent_to(&self, to: SocketAddr) -> usize {
        self.sent.iter().filter(|(_, _, address, _)| address.ip() == to.ip()).count()
    }
}

#[test]
fn packets_from_another_address_are_reported_and_get_no_answer() {
    let mut lab = Lab::new();
    let (mut a, b) = (lab.phone(Codec::Pcmu, 4000), lab.phone(Codec::Pcmu, 4002));
    lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
    for _ in 0..150 {
        lab.send_from(&mut a, elsewhere(4000), 0, &[0x20; 160]);
        lab.advance(MS * 20);
    }
    let flows = lab.flows(&a);
    let Some(Incoming::WrongAddress { from, expected }) = flows.last().map(|flow| flow.incoming) else {
        panic!("{flows:?}");
    };
    assert_eq!((from, expected), (elsewhere(4000), Some(a.audio.remote_rtp)));
    let detail = flows.last().unwrap().incoming.detail().unwrap();
    assert_eq!(detail, "packets come from 192.0.2.7:4000, not from 192.0.2.1:4000");
    assert_eq!(lab.sent_to(elsewhere(0)), 0);
    assert_eq!(lab.switch.census().incoming[Incoming::WrongAddress { from, expected }.index()], 1);
    // A re-INVITE that names the other address repairs this, and the repair is reported.
    a.audio.remote_rtp = elsewhere(4000);
    lab.tell(WorkerCommand::RtpUpdate { leg: a.id, audio: a.audio });
    lab.talk(&mut a, 60);
    assert_eq!(lab.flows(&a).last().map(|flow| flow.incoming), Some(Incoming::Flowing));
}

#[test]
fn packets_of_another_payload_type_are_reported() {
    let mut lab = Lab::new();
    let mut a = lab.phone(Codec::Pcmu, 4000);
    for _ in 0..60 {
        let own = a.audio.remote_rtp;
        lab.send_from(&mut a, own, 8, &[0x20; 160]);
        lab.advance(MS * 20);
    }
    let incoming = lab.flows(&a).last().unwrap().incoming;
    assert_eq!(incoming, Incoming::WrongPayloadType { payload_type: 8, expected: 0 });
}

#[test]
fn silence_is_detected_on_the_relay_and_on_the_decoded_path() {
    for codec in [Codec::Pcmu, Codec::G722] {
        let mut lab = Lab::new();
        let (mut a, b) = (lab.phone(Codec::Pcmu, 4000), lab.phone(codec, 4002));
        lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
        lab.talk(&mut a, 100);
        assert_eq!(lab.flows(&a).last().unwrap().incoming, Incoming::Flowing, "{codec:?}");
        for _ in 0..400 {
            let own = a.audio.remote_rtp;
            lab.send_from(&mut a, own, 0, &[0xff; 160]);
            lab.advance(MS * 20);
        }
        assert_eq!(lab.flows(&a).last().unwrap().incoming, Incoming::Silence, "{codec:?}");
        lab.talk(&mut a, 100);
        assert_eq!(lab.flows(&a).last().unwrap().incoming, Incoming::Flowing, "{codec:?}");
        let relayed = lab.switch.counters().packets_relayed > 0;
        assert_eq!(relayed, codec == Codec::Pcmu);
    }
}

#[test]
fn a_stopped_stream_and_a_held_one_are_distinguished() {
    let mut lab = Lab::new();
    let mut a = lab.phone(Codec::Pcmu, 4000);
    lab.talk(&mut a, 100);
    lab.advance(SECOND * 7);
    assert_eq!(lab.flows(&a).last().unwrap().incoming, Incoming::Stopped);
    a.audio.direction = Direction::Inactive;
    lab.tell(WorkerCommand::RtpUpdate { leg: a.id, audio: a.audio });
    lab.advance(SECOND * 2);
    assert_eq!(lab.flows(&a), [Flow { incoming: Incoming::OnHold, outgoing: Outgoing::OnHold }]);
}

#[test]
fn both_directions_are_rated_from_our_reception_and_the_far_end_s_reports() {
    println!("seed {SEED:#x}");
    let mut random = Random::new(SEED);
    let mut lab = Lab::new();
    let (mut a, mut b) = (lab.phone(Codec::Pcmu, 4000), lab.phone(Codec::Pcmu, 4002));
    lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
    for second in 0..60 {
        for _ in 0..50 {
            // A twentieth of A's packets is lost on the way to us, none of B's.
            let own = a.audio.remote_rtp;
            match random.below(20) {
                0 => (a.sequence, a.timestamp) = (a.sequence.wrapping_add(1), a.timestamp.wrapping_add(160)),
                _ => lab.send_from(&mut a, own, 0, &[0x20; 160]),
            }
            let own = b.audio.remote_rtp;
            lab.send_from(&mut b, own, 0, &[0x20; 160]);
            lab.advance(MS * 20);
        }
        if second % 5 == 4 {
            // A reports that a tenth of the packets to it are lost; B reports nothing.
            let ssrc = lab.heard(&a).last().unwrap().0.ssrc;
            let block = ReportBlock { ssrc, fraction_lost: 26, jitter: 80, ..ReportBlock::default() };
            lab.send_report(&a, a.audio.remote_rtcp, &[block], false);
        }
    }
    let told = lab.qualities(&a);
    assert!((11..=12).contains(&told.len()), "every 5 s: {}", told.len());
    let last = told.last().unwrap();
    // According to the E-model: 5 % and 10 % random loss with G.113's Bpl of 25.1, and hardly any delay.
    let (incoming, outgoing) = (last.incoming, last.outgoing);
    let loss = incoming.loss_call.unwrap();
    assert!((0.035..0.065).contains(&loss), "{loss}");
    assert!((3.75..4.1).contains(&incoming.mos_call.unwrap()), "{incoming:?}");
    assert!((outgoing.loss_call.unwrap() - 26.0 / 256.0).abs() < 1e-3, "{outgoing:?}");
    assert!((3.2..3.6).contains(&outgoing.mos_call.unwrap()), "{outgoing:?}");
    assert_eq!(outgoing.jitter_ms, Some(10.0));
    assert!(last.incoming.mos.is_some() && last.outgoing.mos.is_some());
    let other = *lab.qualities(&b).last().unwrap();
    assert!(other.incoming.mos_call.unwrap() > 4.35, "{other:?}");
    assert_eq!(other.outgoing.mos, None, "no report came");
    // The last interval is rated when the leg ends: two of these seven seconds, in which nothing is lost.
    lab.talk(&mut a, 350);
    lab.tell(WorkerCommand::LegClose { leg: a.id });
    lab.drain();
    let events = lab.events_of(a.id);
    let Some(WorkerEventKind::Closed(quality)) = events.last() else { panic!("{events:?}") };
    assert_eq!(quality.incoming.loss, Some(0.0));
    assert!(quality.incoming.mos.unwrap() > 4.35);
}

#[test]
fn a_call_without_loss_has_the_best_possible_score() {
    let mut lab = Lab::new();
    let (mut a, b) = (lab.phone(Codec::Pcmu, 4000), lab.phone(Codec::G722, 4002));
    lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
    lab.talk(&mut a, 750);
    let quality = *lab.qualities(&a).last().unwrap();
    assert!(quality.incoming.mos.unwrap() > 4.35, "{quality:?}");
    assert!((20.0..80.0).contains(&quality.incoming.delay_ms.unwrap()), "{quality:?}");
}

#[test]
fn a_dead_leg_is_reported_after_its_own_time_out() {
    let timeout = WorkerEventKind::MediaTimeout;
    let mut lab = Lab::new();
    let mut a = lab.phone(Codec::Pcmu, 4000);
    lab.tell(WorkerCommand::MediaTimeout { leg: a.id, after: Some(SECOND * 10) });
    lab.talk(&mut a, 100);
    lab.advance(SECOND * 9);
    assert!(!lab.events_of(a.id).contains(&timeout));
    lab.advance(SECOND * 2);
    assert!(lab.events_of(a.id).contains(&timeout));
    assert_eq!(lab.switch.counters().media_timeouts, 1);
    // With the time-out off, on hold, and while reports arrive, the leg is never dead.
    lab.tell(WorkerCommand::MediaTimeout { leg: a.id, after: None });
    lab.talk(&mut a, 1);
    lab.advance(SECOND * 300);
    assert!(!lab.events_of(a.id).contains(&timeout));
    lab.tell(WorkerCommand::MediaTimeout { leg: a.id, after: Some(SECOND * 10) });
    lab.talk(&mut a, 1);
    for _ in 0..12 {
        lab.advance(SECOND * 5);
        lab.send_report(&a, a.audio.remote_rtcp, &[], false);
    }
    assert!(!lab.events_of(a.id).contains(&timeout));
    a.audio.direction = Direction::SendOnly;
    lab.tell(WorkerCommand::RtpUpdate { leg: a.id, audio: a.audio });
    lab.advance(SECOND * 60);
    assert!(!lab.events_of(a.id).contains(&timeout));
    a.audio.direction = Direction::SendRecv;
    lab.tell(WorkerCommand::RtpUpdate { leg: a.id, audio: a.audio });
    lab.advance(SECOND * 12);
    assert!(lab.events_of(a.id).contains(&timeout));
}

#[test]
fn an_rtcp_goodbye_from_any_sender_does_not_end_a_leg() {
    let mut lab = Lab::new();
    let (mut a, b) = (lab.phone(Codec::Pcmu, 4000), lab.phone(Codec::Pcmu, 4002));
    lab.tell(WorkerCommand::Bridge { a: a.id, b: b.id });
    lab.talk(&mut a, 50);
    for from in [elsewhere(4001), a.audio.remote_rtcp] {
        lab.send_report(&a, from, &[], true);
        lab.heard(&b);
        lab.talk(&mut a, 50);
        assert_eq!(lab.heard(&b).len(), 50);
    }
    assert!(
        !lab.events_of(a.id).iter().any(|kind| matches!(kind, WorkerEventKind::Closed(_) | WorkerEventKind::Failed(_)))
    );
    assert_eq!(lab.sent_to(elsewhere(0)), 0);
}
