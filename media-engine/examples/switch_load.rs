//! A fixed load on the media switch, measured in instructions, which are repeatable where seconds are not.
//!
//! ```text
//! cargo build --release -p media-engine --example switch_load
//! valgrind --tool=callgrind --callgrind-out-file=/dev/null --collect-atstart=no --toggle-collect='switch_load::measured*' \
//!     target/release/examples/switch_load relay
//! ```
//!
//! `relay`: 50 calls between PCMU telephones, both ways. `mix`: 10 conferences of 5 PCMU telephones. Each runs for ten seconds
//! after a second that is not counted, including ticks, reports and the outbox, without sockets.
//!
//! Counts repeat to about one in a hundred thousand, but two versions of the program may differ by some 2 % because the compiler
//! inlines unchanged code differently: build both with `--config profile.release.package.media-engine.codegen-units=1` as well.

#![allow(clippy::expect_used, clippy::disallowed_methods, reason = "a load of our own making on one base instant")]

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant, UNIX_EPOCH};

use media_engine::leg::rtp::Component;
use media_engine::rtp::RtpHeader;
use media_engine::sdp::{Audio, Codec};
use media_engine::units::{ConferenceId, LegId};
use media_engine::worker::switch::{Input, Slot, Switch};
use media_engine::worker::{ConferenceRole, WorkerCommand};

const PACKET: Duration = Duration::from_millis(20);
const LEGS_OF_A_CONFERENCE: u64 = 5;

struct Load {
    switch: Switch,
    legs: Vec<(Slot, SocketAddr)>,
    now: Instant,
    number: u32,
}

impl Load {
    fn new(legs: u64) -> Load {
        let now = Instant::now();
        let mut switch = Switch::new(1, Vec::new(), now, UNIX_EPOCH);
        let open = |leg: u64| {
            let audio = Audio::plain(Codec::Pcmu, SocketAddr::from(([192, 0, 2, 1], 4_000 + 2 * leg as u16)));
            let opened = switch.handle(Input::Open { leg: LegId(leg), audio: Some(audio), nat: false }, now);
            (opened.slot().expect("it is new"), audio.remote_rtp)
        };
        let legs = (0..legs).map(open).collect();
        Load { switch, legs, now, number: 0 }
    }

    fn command(&mut self, command: WorkerCommand) {
        self.switch.handle(command.into(), self.now);
    }

    /// Runs for this number of 20 ms packets, in which every party talks.
    fn run(&mut self, packets: u32) {
        for _ in 0..packets {
            let end = self.now + PACKET;
            for at in 0..self.legs.len() {
                self.speak(at);
            }
            while let Some(at) = self.switch.poll_timeout().filter(|at| *at < end) {
                self.now = at.max(self.now);
                self.switch.handle(Input::Timeout, self.now);
                self.drain();
            }
            self.number += 1;
            self.now = end;
        }
    }

    fn speak(&mut self, at: usize) {
        let (slot, from) = self.legs[at];
        let (sequence, timestamp) = (self.number as u16, self.number.wrapping_mul(160));
        let header = RtpHeader { payload_type: 0, marker: false, sequence, timestamp, ssrc: 0x5000 + at as u32 };
        let mut bytes = [0x80 | (self.number % 64) as u8; 172];
        header.write_to(&mut bytes).expect("room enough");
        self.switch.handle(Input::datagram(slot, Component::Rtp, from, &mut bytes), self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.switch.poll_output() {
            black_box(output);
        }
    }
}

#[inline(never)]
fn measured(load: &mut Load) {
    load.run(500);
}

fn main() {
    let mut load = match std::env::args().nth(1).as_deref() {
        Some("relay") => {
            let mut load = Load::new(100);
            (0..50).for_each(|n| load.command(WorkerCommand::Bridge { a: LegId(2 * n), b: LegId(2 * n + 1) }));
            load
        }
        Some("mix") => {
            let mut load = Load::new(10 * LEGS_OF_A_CONFERENCE);
            (0..10 * LEGS_OF_A_CONFERENCE).for_each(|leg| {
                load.command(WorkerCommand::ConferenceJoin {
                    conference: ConferenceId(leg / LEGS_OF_A_CONFERENCE),
                    leg: LegId(leg),
                    role: ConferenceRole::Participant,
                });
            });
            load
        }
        _ => {
            eprintln!("usage: switch_load relay|mix");
            std::process::exit(2);
        }
    };
    load.run(50);
    measured(&mut load);
    println!("{:?}", load.switch.counters());
}
