//! Tests of the flow of one leg under virtual time.
//!
//! `Lab` feeds a [`FlowWatch`] with 20 ms of arrivals at a time, checks it every second as the switch does, and collects the reported
//! states. Each test chooses what arrives and for how long.
//!
//! Invariants under test: a state is reported once, a stranger changes nothing while the call flows, and hold is not a fault.

use super::*;
use crate::rtp::fuzz::mutate::Random;
use crate::units::test_epoch;

const MS: Duration = Duration::from_millis(1);
const SEED: u64 = 0x5eed_f10e;

fn at(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], port))
}

/// A leg under virtual time: packets arrive each 20 ms, and the flow is checked each second.
struct Lab {
    watch: FlowWatch,
    view: LegView,
    now: Instant,
    told: Vec<Flow>,
}

#[derive(Clone, Copy)]
enum Comes {
    Nothing,
    Sound,
    Silent,
    Foreign(SocketAddr),
    Sealed,
    Type(u8),
}

impl Lab {
    fn new() -> Lab {
        let view = LegView {
            connected: true,
            receives: true,
            sends: true,
            sent: 0,
            expected: Some(at(1, 4000)),
            payload_type: 0,
            far_end: FarEnd::default(),
            checked: false,
        };
        Lab { watch: FlowWatch::default(), view, now: test_epoch(), told: Vec::new() }
    }

    /// Runs for this many seconds while we send.
    fn run(&mut self, seconds: u32, comes: Comes) -> &mut Lab {
        for tick in 0..seconds * 50 {
            self.now += MS * 20;
            self.view.sent += 1;
            match comes {
                Comes::Nothing => {}
                Comes::Sound | Comes::Silent => {
                    self.watch.on_valid(self.now);
                    if self.watch.wants_look(self.now) && matches!(comes, Comes::Sound) {
                        self.watch.on_sound(self.now);
                    }
                }
                Comes::Foreign(from) => self.watch.on_foreign(from, self.now),
                Comes::Sealed => self.watch.on_undecryptable(self.now),
                Comes::Type(payload_type) => self.watch.on_wrong_type(payload_type, self.now),
            }
            if tick % 50 == 49 {
                self.told.extend(self.watch.check(&self.view, self.now));
            }
        }
        self
    }

    fn incoming(&self) -> Incoming {
        self.watch.flow().unwrap().incoming
    }

    fn outgoing(&self) -> Outgoing {
        self.watch.flow().unwrap().outgoing
    }

    fn reported(&mut self, loss: f64) {
        let far_end = FarEnd { loss, reported_at: Some(self.now), heard_at: Some(self.now), ..self.view.far_end };
        self.view.far_end = far_end;
    }
}

#[test]
fn every_incoming_state_is_reported_when_it_begins_and_when_it_ends() {
    let (stranger, expected) = (at(7, 4000), Some(at(1, 4000)));
    for (comes, state, word) in [
        (Comes::Nothing, Incoming::NoPacketsYet, "no_packets_yet"),
        (Comes::Foreign(stranger), Incoming::WrongAddress { from: stranger, expected }, "wrong_address"),
        (Comes::Sealed, Incoming::Undecryptable, "undecryptable"),
        (Comes::Type(96), Incoming::WrongPayloadType { payload_type: 96, expected: 0 }, "wrong_payload_type"),
    ] {
        let mut lab = Lab::new();
        lab.run(1, comes);
        assert_eq!((lab.incoming(), lab.incoming().word()), (state, word));
        lab.run(20, comes);
        assert_eq!(lab.told.len(), 2, "the state once, and the missing report: {:?}", lab.told);
        lab.run(1, Comes::Sound);
        assert_eq!(lab.incoming(), Incoming::Flowing);
        // The same fault after sound that flowed; it appears only after the time in which a stream may pause.
        lab.run(4, comes);
        match comes {
            Comes::Nothing => assert_eq!(lab.incoming(), Incoming::Flowing, "a pause"),
            _ => assert_eq!(lab.incoming(), state),
        }
        lab.run(2, comes);
        assert_eq!(lab.incoming(), if word == "no_packets_yet" { Incoming::Stopped } else { state });
    }
}

#[test]
fn silence_is_reported_after_five_seconds_and_ends_with_the_first_sound() {
    let mut lab = Lab::new();
    lab.run(4, Comes::Silent);
    assert_eq!(lab.incoming(), Incoming::Flowing, "a call may begin with a silence");
    lab.run(2, Comes::Silent);
    assert_eq!(lab.incoming(), Incoming::Silence);
    lab.run(60, Comes::Silent).run(1, Comes::Sound);
    assert_eq!(lab.incoming(), Incoming::Flowing);
    lab.run(4, Comes::Silent);
    assert_eq!(lab.incoming(), Incoming::Flowing, "a pause between two sentences");
    let mut incoming: Vec<Incoming> = lab.told.iter().map(|flow| flow.incoming).collect();
    incoming.dedup();
    assert_eq!(incoming, [Incoming::Flowing, Incoming::Silence, Incoming::Flowing]);
}

#[test]
fn a_pause_announced_by_the_far_end_is_silence_of_any_length() {
    let mut lab = Lab::new();
    lab.run(3, Comes::Sound);
    lab.watch.on_valid(lab.now);
    lab.watch.on_pause();
    lab.run(120, Comes::Nothing);
    assert_eq!(lab.incoming(), Incoming::Silence);
    lab.watch.on_audio();
    lab.run(1, Comes::Sound);
    assert_eq!(lab.incoming(), Incoming::Flowing);
    lab.run(6, Comes::Nothing);
    assert_eq!(lab.incoming(), Incoming::Stopped);
}

#[test]
fn a_stranger_changes_nothing_while_the_call_flows() {
    println!("seed {SEED:#x}");
    let mut random = Random::new(SEED);
    let mut lab = Lab::new();
    lab.run(1, Comes::Sound);
    for _ in 0..60 * 50 {
        for _ in 0..random.below(20) {
            match random.below(3) {
                0 => lab.watch.on_foreign(at(random.below(255) as u8, random.next() as u16), lab.now),
                1 => lab.watch.on_undecryptable(lab.now),
                _ => lab.watch.on_wrong_type(random.below(128) as u8, lab.now),
            }
        }
        lab.now += MS * 20;
        lab.watch.on_valid(lab.now);
        lab.watch.on_sound(lab.now);
        if random.below(50) == 0 {
            lab.watch.check(&lab.view, lab.now);
            assert_eq!(lab.incoming(), Incoming::Flowing);
        }
    }
}

#[test]
fn of_many_foreign_sources_one_is_named_until_five_seconds_after_its_end() {
    let mut lab = Lab::new();
    lab.run(1, Comes::Foreign(at(7, 4000)));
    for port in 0..500 {
        lab.now += MS * 4;
        lab.view.sent += 1;
        lab.watch.on_foreign(at(9, port), lab.now);
    }
    lab.told.extend(lab.watch.check(&lab.view, lab.now));
    assert_eq!(lab.told.len(), 1, "{:?}", lab.told);
    lab.run(6, Comes::Foreign(at(9, 1)));
    assert!(matches!(lab.incoming(), Incoming::WrongAddress { from, .. } if from == at(9, 1)));
    assert_eq!(lab.incoming().detail().unwrap(), "packets come from 192.0.2.9:1, not from 192.0.2.1:4000");
}

#[test]
fn hold_is_no_fault_and_the_time_after_it_is_evaluated_afresh() {
    let mut lab = Lab::new();
    lab.run(3, Comes::Sound);
    (lab.view.receives, lab.view.sends) = (false, false);
    lab.run(120, Comes::Nothing);
    assert_eq!((lab.incoming(), lab.outgoing()), (Incoming::OnHold, Outgoing::OnHold));
    (lab.view.receives, lab.view.sends) = (true, true);
    lab.run(1, Comes::Nothing);
    assert_eq!((lab.incoming(), lab.outgoing()), (Incoming::NoPacketsYet, Outgoing::Sending));
    lab.run(1, Comes::Sound);
    assert_eq!(lab.incoming(), Incoming::Flowing);
    assert_eq!(lab.told.len(), 4, "{:?}", lab.told);
}

#[test]
fn outgoing_states_follow_sent_packets_and_the_far_end_s_reports() {
    let mut lab = Lab::new();
    lab.run(1, Comes::Sound);
    assert_eq!(lab.outgoing(), Outgoing::Sending, "it is early");
    lab.run(13, Comes::Sound);
    assert_eq!(lab.outgoing(), Outgoing::Sending);
    lab.run(3, Comes::Sound);
    assert_eq!(lab.outgoing(), Outgoing::NothingReported { rtcp: false });
    lab.view.far_end.heard_at = Some(lab.now);
    lab.run(1, Comes::Sound);
    assert_eq!(lab.outgoing().word(), "far_end_reports_nothing");
    lab.reported(0.01);
    lab.run(1, Comes::Sound);
    assert_eq!(lab.outgoing(), Outgoing::Sending);
    for (loss, expected) in [
        (0.04, Outgoing::Sending),
        (0.25, Outgoing::LossReported { percent: 25 }),
        (0.04, Outgoing::LossReported { percent: 25 }),
        (0.02, Outgoing::Sending),
    ] {
        lab.reported(loss);
        lab.run(1, Comes::Sound);
        assert_eq!(lab.outgoing().index(), expected.index(), "loss {loss}");
    }
    // Reports stop.
    lab.run(16, Comes::Sound);
    assert_eq!(lab.outgoing().word(), "far_end_reports_nothing");
    // We stop sending.
    for _ in 0..4 {
        lab.now += MS * 1000;
        lab.watch.check(&lab.view, lab.now);
    }
    assert_eq!(lab.outgoing(), Outgoing::NothingToSend);
}

#[test]
fn payloads_without_sound_are_recognised_by_their_bytes() {
    use codecs::g711::{alaw_encode, ulaw_encode};
    let of = |level: i16, encode: fn(i16) -> u8| {
        (0..160).map(|n| encode(if n % 2 == 0 { level } else { -level })).collect::<Vec<u8>>()
    };
    for (level, silent) in [(0, true), (8, true), (100, false), (1000, false)] {
        for (codec, payload) in [(Codec::Pcmu, of(level, ulaw_encode)), (Codec::Pcma, of(level, alaw_encode))] {
            assert_eq!(is_silent_payload(codec, &payload), Some(silent), "{codec:?} at {level}");
        }
        let linear: Vec<u8> = (0..160).flat_map(|_| level.to_be_bytes()).collect();
        let codec = Codec::L16 { rate: codecs::SampleRate::HZ_16000 };
        assert_eq!(is_silent_payload(codec, &linear), Some(silent));
        assert_eq!(is_silent(&[level; 160]), silent);
    }
    // One loud byte is enough; a DTX packet of Opus has none; nothing is known about its other packets.
    let mut payload = of(0, ulaw_encode);
    payload[159] = 0x20;
    assert_eq!(is_silent_payload(Codec::Pcmu, &payload), Some(false));
    assert_eq!(is_silent_payload(Codec::Opus, &[0x08]), Some(true));
    assert_eq!(is_silent_payload(Codec::Opus, &[0x08; 40]), None);
}

#[test]
fn every_state_has_its_own_word_and_an_explanation_unless_all_is_well() {
    let incoming = [
        Incoming::OnHold,
        Incoming::NoPacketsYet,
        Incoming::WrongAddress { from: at(1, 1), expected: None },
        Incoming::Undecryptable,
        Incoming::WrongPayloadType { payload_type: 1, expected: 0 },
        Incoming::Silence,
        Incoming::Flowing,
        Incoming::Stopped,
    ];
    for (index, state) in incoming.iter().enumerate() {
        assert_eq!(state.index(), index);
        assert_eq!(state.detail().is_none(), *state == Incoming::Flowing);
    }
    let outgoing = [
        Outgoing::OnHold,
        Outgoing::NothingToSend,
        Outgoing::Sending,
        Outgoing::LossReported { percent: 1 },
        Outgoing::NothingReported { rtcp: true },
    ];
    for (index, state) in outgoing.iter().enumerate() {
        assert_eq!(state.index(), index);
        assert_eq!(state.detail().is_none(), *state == Outgoing::Sending);
    }
}

#[test]
fn a_browser_is_unreachable_after_a_second_without_media_and_checks() {
    let mut lab = Lab::new();
    lab.view.checked = true;
    lab.run(3, Comes::Sound);
    assert_eq!(lab.incoming(), Incoming::Flowing);
    assert!(!lab.watch.fell_silent(lab.now + MS * 999));
    assert!(lab.watch.fell_silent(lab.now + MS * 1_000));
    lab.run(1, Comes::Nothing);
    assert_eq!(lab.incoming(), Incoming::Unreachable);
    assert!(!lab.watch.fell_silent(lab.now + MS * 9_000), "that is reported once");
    // Its checks arrive again, its sound does not: it is reachable.
    lab.watch.on_reached(lab.now + MS * 900);
    lab.run(1, Comes::Nothing);
    assert_eq!(lab.incoming(), Incoming::Stopped);
    lab.run(1, Comes::Sound);
    assert_eq!(lab.incoming(), Incoming::Flowing);

    // Checks of a telephone are not visible: it may pause.
    let mut lab = Lab::new();
    lab.run(3, Comes::Sound).run(3, Comes::Nothing);
    assert_eq!(lab.incoming(), Incoming::Flowing);
}

#[test]
fn a_browser_that_has_sent_nothing_yet_or_is_on_hold_is_not_unreachable() {
    let mut lab = Lab::new();
    lab.view.checked = true;
    lab.run(10, Comes::Nothing);
    assert_eq!(lab.incoming(), Incoming::NoPacketsYet);
    lab.run(3, Comes::Sound);
    lab.view.receives = false;
    lab.run(30, Comes::Nothing);
    assert_eq!(lab.incoming(), Incoming::OnHold);
    assert!(!lab.watch.fell_silent(lab.now));
}
