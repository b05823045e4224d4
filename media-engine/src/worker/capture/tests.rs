//! Random inputs, valid and invalid, to a switch whose capture is then replayed.
//!
//! Each sequence has a seed: it opens legs, sends commands, datagrams, taps and time-outs to a switch, and closes the remaining legs.
//! Afterwards the switch must be empty, every leg must have ended once, and the replay of the capture must match byte for byte.
//!
//! A failure prints the seed; add it to [`KEPT`].

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use super::{Capture, CapturedSwitch, Start, replay};
use crate::audio::tap::{TapReader, tap};
use crate::config::App;
use crate::leg::rtp::Component;
use crate::rtp::RtpHeader;
use crate::rtp::fuzz::mutate::Random;
use crate::sdp::{Audio, Codec, ComfortNoiseFormat, Direction, SrtpKeys, TelephoneEventFormat};
use crate::srtp::{MasterKey, Suite};
use crate::units::{ClockRate, ConferenceId, LegId, Ptime, SampleRate, test_epoch};
use crate::worker::command::{Census, ConferenceRole, WorkerCommand, WorkerEventKind};
use crate::worker::outbox::Output;
use crate::worker::switch::{Input, Outcome, Slot, Switch};

/// Number of sequences in one run, in `make test` and under TANDEM_SOAK=1.
const SEQUENCES: u64 = 2_000;
const SEQUENCES_OF_A_SOAK: u64 = 100_000;
/// Seeds that found bugs: a browser's answer for a plain leg made the leg choose its paths again, and captures have no
/// such answers.
const KEPT: [u64; 1] = [9_913];
/// Inputs of a sequence, besides time-outs.
const INPUTS: usize = 60;
/// Identities that inputs may name; not all of them exist.
const IDENTITIES: usize = 7;

/// State of a leg's far end.
struct Phone {
    slot: Slot,
    audio: Option<Audio>,
    sequence: u16,
    timestamp: u32,
}

/// A switch that receives random inputs.
struct Trial {
    seed: u64,
    random: Random,
    switch: CapturedSwitch,
    capture: mpsc::Receiver<Vec<u8>>,
    now: Instant,
    phones: HashMap<LegId, Phone>,
    readers: Vec<TapReader>,
    opened: u64,
    closed: u64,
    sent: u64,
    told: u64,
}

impl Trial {
    fn new(seed: u64) -> Trial {
        let (blocks, capture) = mpsc::sync_channel(64);
        let now = test_epoch();
        let start = Start::new(seed, UNIX_EPOCH, Vec::new(), codecs::opus::OpusSettings::default());
        let capturing = Capture::into_blocks(blocks, None, start, now);
        let switch = CapturedSwitch::new(Switch::new(seed, Vec::new(), now, UNIX_EPOCH), Some(capturing));
        Trial {
            seed,
            random: Random::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            switch,
            capture,
            now,
            phones: HashMap::new(),
            readers: Vec::new(),
            opened: 0,
            closed: 0,
            sent: 0,
            told: 0,
        }
    }

    /// Returns `true` with a probability of one in `many`.
    fn chance(&mut self, many: usize) -> bool {
        self.random.below(many) == 0
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.random.below(of.len())]
    }

    fn leg(&mut self) -> LegId {
        LegId(self.random.below(IDENTITIES) as u64)
    }

    fn legs(&mut self) -> Vec<LegId> {
        (0..self.random.below(4)).map(|_| self.leg()).collect()
    }

    fn rate(&mut self) -> SampleRate {
        let rates = [SampleRate::HZ_8000, SampleRate::HZ_16000, SampleRate::HZ_24000, SampleRate::HZ_48000];
        self.one_of(&rates)
    }

    fn audio(&mut self) -> Audio {
        let codec = match self.random.below(10) {
            0 => Codec::Opus,
            1 => Codec::G722,
            2 => Codec::L16 { rate: self.rate() },
            3 | 4 => Codec::Pcma,
            _ => Codec::Pcmu,
        };
        let remote = match self.random.below(8) {
            0 => SocketAddr::from(([0, 0, 0, 0], 0)),
            n => SocketAddr::from(([192, 0, 2, 1], 4_000 + 2 * n as u16)),
        };
        let mut audio = Audio::plain(codec, remote);
        let clock = self.one_of(&[codec.clock(), ClockRate::HZ_8000, ClockRate::HZ_48000]);
        let event = self.random.below(128) as u8;
        let format = TelephoneEventFormat { payload_type: event, receive_payload_type: event, clock };
        audio.telephone_event = (!self.chance(4)).then_some(format);
        let noise = ComfortNoiseFormat { payload_type: 13, receive_payload_type: 13 };
        audio.comfort_noise = self.chance(4).then_some(noise);
        audio.ptime = Ptime(Duration::from_millis(self.one_of(&[20, 20, 20, 10, 30, 40, 60])));
        audio.rtcp_mux = self.chance(4);
        audio.dtx = self.chance(4);
        let directions = [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive];
        audio.direction = if self.chance(4) { self.one_of(&directions) } else { Direction::SendRecv };
        let key = |byte| {
            let suite = Suite::AesCm128HmacSha1_80;
            MasterKey::new(suite, &vec![byte; suite.key_and_salt_len()]).expect("the suite's length")
        };
        audio.srtp = self.chance(12).then(|| SrtpKeys { send: key(1), receive: key(2) });
        audio
    }

    fn command(&mut self) -> WorkerCommand {
        let leg = self.leg();
        match self.random.below(19) {
            0 => WorkerCommand::RtpUpdate { leg, audio: self.audio() },
            1..=3 => WorkerCommand::Bridge { a: leg, b: self.leg() },
            4 => WorkerCommand::Unbridge { leg },
            5 | 6 => {
                let conference = ConferenceId(self.random.below(3) as u64);
                let whisper = ConferenceRole::Whisper(self.leg());
                let roles =
                    [ConferenceRole::Participant, ConferenceRole::Participant, ConferenceRole::Monitor, whisper];
                WorkerCommand::ConferenceJoin { conference, leg, role: self.one_of(&roles) }
            }
            7 => {
                let gains = [None, Some(0.0), Some(1.0), Some(4.0), Some(4.1), Some(-1.0), Some(f32::NAN)];
                let gains = [&gains[..], &[Some(f32::INFINITY), Some(f32::MIN_POSITIVE)]].concat();
                WorkerCommand::ConferenceGain { from: leg, to: self.leg(), gain: self.one_of(&gains) }
            }
            8 => WorkerCommand::ConferenceLeave { leg },
            9 => WorkerCommand::Overhear { leg, of: self.legs() },
            10 => {
                let apps = [App::Echo, App::Tone, App::Record, App::Ringback, App::Hold, App::Program];
                let app = (!self.chance(3)).then(|| self.one_of(&apps));
                WorkerCommand::App { leg, app }
            }
            11 | 12 => {
                let samples = (0..self.random.below(3_000)).map(|n| (n as i16).wrapping_mul(77)).collect();
                let (segment, last) = (self.random.below(4) as u64, self.chance(2));
                WorkerCommand::Play { leg, segment, rate: self.rate(), samples, last }
            }
            13 => {
                let segment = self.chance(2).then(|| self.random.below(4) as u64);
                WorkerCommand::StopPlay { leg, segment }
            }
            14 if self.chance(2) => WorkerCommand::SilenceOriginal { leg, silenced: self.chance(2) },
            14 => WorkerCommand::Mute { leg, muted: self.chance(2) },
            15 => match self.chance(2) {
                true => {
                    let spans = [Duration::ZERO, Duration::from_millis(300), Duration::MAX];
                    let after = (!self.chance(4)).then(|| self.one_of(&spans));
                    WorkerCommand::MediaTimeout { leg, after }
                }
                false => {
                    let digit = self.one_of(&['0', '9', '*', '#', 'A', 'x', '\u{1f4de}']);
                    let duration_ms = self.one_of(&[0, 100, 6_000, u32::MAX]);
                    WorkerCommand::SendDtmf { leg, digit, duration_ms }
                }
            },
            16 => WorkerCommand::Gain { leg, db: self.one_of(&[-20, 0, 0, 6, 20, 21, i8::MIN]) },
            17 => {
                let samples = (0..self.random.below(900)).map(|n| (n as i16).wrapping_mul(77)).collect();
                WorkerCommand::Music { leg, rate: self.rate(), samples }
            }
            _ => WorkerCommand::LegClose { leg },
        }
    }

    /// Sends a datagram as a phone, or as a stranger to its leg.
    fn datagram(&mut self) {
        let leg = self.leg();
        let kind = self.random.below(12);
        let (sequence, timestamp) = (self.one_of(&[1, 1, 1, 2, 0, 40_000]), self.one_of(&[160, 160, 160, 0, 1 << 31]));
        let Some(phone) = self.phones.get_mut(&leg) else { return };
        let Some(audio) = phone.audio else { return };
        phone.sequence = phone.sequence.wrapping_add(sequence);
        phone.timestamp = phone.timestamp.wrapping_add(timestamp);
        let event = audio.telephone_event.map_or(101, |event| event.receive_payload_type);
        let (payload_type, payload) = match kind {
            0 => (event, vec![5, 10, 0, 160]),
            1 => (event, vec![5, 0x8a, 1, 224]),
            2 => (13, vec![40, 1, 2]),
            3 => (77, vec![0; 20]),
            4 => (audio.receive_payload_type, Vec::new()),
            _ => (audio.receive_payload_type, vec![0x31; 160]),
        };
        let (sequence, timestamp) = (phone.sequence, phone.timestamp);
        let header = RtpHeader { payload_type, marker: false, sequence, timestamp, ssrc: leg.0 as u32 };
        let mut bytes = vec![0; 12];
        header.write_to(&mut bytes).expect("room enough");
        bytes.extend(payload);
        let (mut slot, mut from) = (phone.slot, audio.remote_rtp);
        if kind == 5 {
            bytes = (0..self.random.below(60)).map(|_| self.random.next() as u8).collect();
        }
        if self.chance(20) {
            from = SocketAddr::from(([198, 51, 100, 7], 9));
        }
        if self.chance(20) {
            slot = Slot(self.one_of(&[0, 3, 9, u32::MAX]));
        }
        let component = if self.chance(12) { Component::Rtcp } else { Component::Rtp };
        self.put(Input::datagram(slot, component, from, &mut bytes));
    }

    fn open(&mut self) {
        let leg = self.leg();
        let audio = (!self.chance(6)).then(|| self.audio());
        let nat = self.chance(4);
        let there = self.switch.slot_of(leg).is_some();
        let opened = self.put(Input::Open { leg, audio, nat });
        assert_eq!(opened.slot().is_none(), there, "seed {}: an identity exists once", self.seed);
        if let Some(slot) = opened.slot() {
            let (sequence, timestamp) = (self.random.next() as u16, self.random.next() as u32);
            self.phones.insert(leg, Phone { slot, audio, sequence, timestamp });
            self.opened += 1;
        }
    }

    fn step(&mut self) {
        match self.random.below(40) {
            0..=4 => self.open(),
            5..=14 => {
                let command = self.command();
                if let WorkerCommand::RtpUpdate { leg, audio } = &command
                    && let Some(phone) = self.phones.get_mut(leg)
                {
                    phone.audio = Some(*audio);
                }
                self.put(command.into());
            }
            15 => {
                let (writer, reader) = tap(2);
                self.readers.push(reader);
                let leg = self.leg();
                self.put(Input::tap(leg, crate::audio::tap::TapPoint::Speech, writer));
            }
            16 => {
                let leg = self.leg();
                if self.chance(2) {
                    self.readers.clear();
                }
                let mut taps = self.switch.deserted_taps(leg);
                taps.push(self.random.next());
                self.put(Input::Untap { leg, taps });
            }
            17 => {
                let complexity = self.random.next() as u8;
                self.put(Input::Effort { complexity });
            }
            18 if self.chance(4) => {
                let leg = self.leg();
                self.put(Input::Fail { leg, why: "\"no\nreason\"".into() });
            }
            19 => {
                let (leg, sdp) = (self.leg(), "v=0\r\nno SDP".to_owned());
                let outcome = self.put(Input::WebRtcReoffer { leg, sdp: sdp.clone() });
                assert!(matches!(outcome, Outcome::Answer(Err(_))), "seed {}", self.seed);
                let outcome = self.put(Input::WebRtcAnswer { leg, sdp });
                assert!(matches!(outcome, Outcome::Applied(Err(_))), "seed {}", self.seed);
                self.put(Input::shared_datagram(3, SocketAddr::from(([192, 0, 2, 9], 9)), &mut [0, 1, 2]));
            }
            20 => {
                self.put(Input::Timeout);
            }
            21 if self.chance(4) => {
                let leg = self.leg();
                if let Outcome::Detached(..) = self.put(Input::Detach { leg }) {
                    self.phones.remove(&leg);
                    self.closed += 1;
                }
            }
            _ => self.datagram(),
        }
    }

    fn put(&mut self, input: Input<'_>) -> Outcome {
        let outcome = self.switch.handle(input, self.now);
        while let Some(output) = self.switch.poll_output(self.now) {
            match output {
                Output::Transmit { .. } => self.sent += 1,
                Output::Event(_, event) => {
                    self.told += 1;
                    if matches!(event.kind, WorkerEventKind::Closed(_)) {
                        self.closed += 1;
                        self.phones.remove(&event.leg);
                    }
                }
            }
        }
        outcome
    }

    fn wait(&mut self) {
        let spans = [0, 1, 5, 20, 20, 20, 60];
        let until = self.now + Duration::from_millis(self.one_of(&spans));
        // Now and then, the thread was held up for long.
        let until = if self.chance(60) { until + Duration::from_secs(2) } else { until };
        while let Some(due) = self.switch.poll_timeout().filter(|due| *due <= until) {
            self.now = due.max(self.now);
            if self.now + Duration::from_secs(1) < until {
                self.now = until;
            }
            self.put(Input::Timeout);
        }
        self.now = until;
    }

    /// Closes the remaining legs and replays the capture.
    fn finish(mut self) {
        let seed = self.seed;
        while let Some(leg) = self.switch.any_leg() {
            self.put(WorkerCommand::LegClose { leg }.into());
        }
        assert_eq!(self.switch.census(), Census::default(), "seed {seed}");
        assert_eq!(self.switch.poll_timeout(), None, "seed {seed}: no tick is due any more");
        assert_eq!(self.switch.counters().panics, 0, "seed {seed}");
        assert_eq!(self.opened, self.closed, "seed {seed}: each leg ends once");
        assert_eq!(self.switch.outbox_overflow(), 0, "seed {seed}");
        let Trial { switch, capture, sent, told, .. } = self;
        drop(switch);
        let capture: Vec<u8> = capture.into_iter().flatten().collect();
        let report = replay(&capture[..]).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(report.difference, None, "seed {seed}");
        assert_eq!((report.missing_blocks, report.uncompared), (0, 0), "seed {seed}");
        assert_eq!((report.datagrams, report.events), (sent, told), "seed {seed}");
    }
}

#[test]
fn random_inputs_end_in_an_empty_switch_and_replay_to_the_same_outputs() {
    let soak = std::env::var_os("TANDEM_SOAK").is_some();
    let sequences = if soak { SEQUENCES_OF_A_SOAK } else { SEQUENCES };
    let (mut sent, mut told) = (0, 0);
    for seed in KEPT.into_iter().chain(0..sequences) {
        let mut trial = Trial::new(seed);
        for _ in 0..INPUTS {
            trial.step();
            trial.wait();
        }
        (sent, told) = (sent + trial.sent, told + trial.told);
        trial.finish();
    }
    assert!(sent > 50 * sequences && told > 5 * sequences, "{sent} datagrams, {told} events: the inputs had effects");
}

#[test]
fn a_capture_of_another_version_is_refused_with_an_explanation() {
    let first = r#"{"at":0,"kind":"start","version":1,"seed":7,"wall":0,"shared":[],"opus":{"bitrate":24000}}"#;
    let refused = replay(first.as_bytes()).unwrap_err().to_string();
    assert_eq!(
        refused,
        "line 1: this capture has version 1, and this program replays version 2: use the program that wrote it"
    );
    let newer = r#"{"at":0,"start":{"version":3,"something":"else"}}"#;
    assert!(replay(newer.as_bytes()).unwrap_err().to_string().contains("has version 3"));
}

#[test]
fn a_leg_from_another_worker_and_legs_that_hear_it_are_not_compared() {
    let audio = Audio::plain(Codec::Pcmu, SocketAddr::from(([192, 0, 2, 1], 4_000)));
    let [moving, partner, other] = [1, 2, 3].map(LegId);
    let mut from = Switch::new(1, Vec::new(), test_epoch(), UNIX_EPOCH);
    from.handle(Input::Open { leg: moving, audio: Some(audio), nat: false }, test_epoch());
    let Outcome::Detached(detached, _) = from.handle(Input::Detach { leg: moving }, test_epoch()) else {
        panic!("it moves")
    };
    let mut trial = Trial::new(7);
    trial.put(Input::Attach { leg: moving, moving: Some(detached) });
    for leg in [partner, other] {
        trial.put(Input::Open { leg, audio: Some(audio), nat: false });
    }
    trial.put(WorkerCommand::Bridge { a: moving, b: partner }.into());
    for _ in 0..25 {
        trial.now += Duration::from_millis(20);
        trial.put(Input::Timeout);
    }
    for leg in [moving, partner, other] {
        trial.put(WorkerCommand::LegClose { leg }.into());
    }
    let Trial { switch, capture, .. } = trial;
    drop(switch);
    let capture: Vec<u8> = capture.into_iter().flatten().collect();
    let report = replay(&capture[..]).expect("a capture");
    assert_eq!((report.difference, report.missing_blocks), (None, 0));
    assert!(report.datagrams >= 19 && report.uncompared >= 4, "{} {}", report.datagrams, report.uncompared);
}
