//! Micro-benchmarks of the packet path without sockets: `cargo bench -p benches`.
//!
//! `relay`: one packet through the switch, from datagram to datagram. `… both ways`: 20 ms of a transcoded call in both directions,
//! ticks included. `jitter`: one packet into the playout buffer and one frame out of it.

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark of our own input")]

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant, UNIX_EPOCH};

use codecs::opus::{OpusEncoder, OpusSettings};
use codecs::tones::Sine;
use codecs::{Encoder, SampleRate};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use media_engine::jitter::{Playout, PlayoutConfig};
use media_engine::leg::make_decoder;
use media_engine::leg::rtp::Component;
use media_engine::rtp::RtpHeader;
use media_engine::sdp::{Audio, Codec};
use media_engine::units::LegId;
use media_engine::worker::WorkerCommand;
use media_engine::worker::switch::{Input, Slot, Switch};

const PACKET: Duration = Duration::from_millis(20);

fn audio(codec: Codec, port: u16) -> Audio {
    Audio::plain(codec, SocketAddr::from(([192, 0, 2, 1], port)))
}

/// One second of payloads.
fn payloads(codec: Codec) -> Vec<Vec<u8>> {
    let mut sine = Sine::new(SampleRate::HZ_48000, 440.0, -12.0);
    let mut encoder = OpusEncoder::new(SampleRate::HZ_48000, OpusSettings::default()).expect("known settings");
    let mut one = |n: u8| {
        if codec != Codec::Opus {
            return vec![0x80 | n; 160];
        }
        let (mut pcm, mut out) = ([0; 960], vec![0; 1_500]);
        sine.fill(&mut pcm);
        let length = encoder.encode(&pcm, &mut out).expect("room enough");
        out.truncate(length);
        out
    };
    (0..50).map(&mut one).collect()
}

/// Two bridged legs and their payloads.
struct Call {
    switch: Switch,
    slots: [Slot; 2],
    audio: [Audio; 2],
    payloads: [Vec<Vec<u8>>; 2],
    now: Instant,
    number: u32,
}

impl Call {
    fn new(codecs: [Codec; 2]) -> Call {
        let now = Instant::now();
        let mut switch = Switch::new(1, Vec::new(), now, UNIX_EPOCH);
        let audio = [audio(codecs[0], 4_000), audio(codecs[1], 4_002)];
        let slots = [0, 1].map(|side| {
            let open = Input::Open { leg: LegId(side as u64), audio: Some(audio[side]), nat: false };
            switch.handle(open, now).slot().expect("it is new")
        });
        switch.handle(WorkerCommand::Bridge { a: LegId(0), b: LegId(1) }.into(), now);
        let mut call = Call { switch, slots, audio, payloads: codecs.map(payloads), now, number: 0 };
        (0..100).for_each(|_| call.both_ways());
        call
    }

    fn speak(&mut self, side: usize) {
        let audio = &self.audio[side];
        let payload = &self.payloads[side][self.number as usize % 50];
        let header = RtpHeader {
            payload_type: audio.payload_type,
            marker: false,
            sequence: self.number as u16,
            timestamp: self.number.wrapping_mul(audio.codec.clock().0 / 50),
            ssrc: 0x5000 + side as u32,
        };
        let mut bytes = [0; 1_500];
        let begin = header.write_to(&mut bytes).expect("room enough");
        let length = begin + payload.len();
        bytes[begin..length].copy_from_slice(payload);
        self.switch.handle(
            Input::datagram(self.slots[side], Component::Rtp, audio.remote_rtp, &mut bytes[..length]),
            self.now,
        );
    }

    fn drain(&mut self) {
        while let Some(output) = self.switch.poll_output() {
            black_box(output);
        }
    }

    /// Sends one packet from A, which is forwarded to B.
    fn one_way(&mut self) {
        self.speak(0);
        self.drain();
        self.number += 1;
        self.now += PACKET;
    }

    /// Runs 20 ms in which both parties talk.
    fn both_ways(&mut self) {
        let end = self.now + PACKET;
        self.speak(0);
        self.speak(1);
        self.drain();
        while let Some(at) = self.switch.poll_timeout().filter(|at| *at < end) {
            self.now = at.max(self.now);
            self.switch.handle(Input::Timeout, self.now);
            self.drain();
        }
        self.number += 1;
        self.now = end;
    }
}

fn packet_path(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("packet");
    group.throughput(Throughput::Elements(1));
    let mut call = Call::new([Codec::Pcmu, Codec::Pcmu]);
    group.bench_function("relay, one packet", |bencher| bencher.iter(|| call.one_way()));
    for (name, codecs) in [
        ("pcmu-g722, 20 ms both ways", [Codec::Pcmu, Codec::G722]),
        ("pcmu-opus, 20 ms both ways", [Codec::Pcmu, Codec::Opus]),
    ] {
        let mut call = Call::new(codecs);
        group.bench_function(name, |bencher| bencher.iter(|| call.both_ways()));
    }
    group.finish();
}

fn jitter(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("jitter");
    for codec in [Codec::Pcmu, Codec::Opus] {
        let rate = SampleRate::HZ_8000;
        let config =
            PlayoutConfig { clock: codec.clock(), sample_rate: rate, frame: PACKET, max_payload: 1_276, room: 16_384 };
        let mut playout = Playout::new(config, make_decoder(codec, rate).expect("memory"));
        let (payloads, mut now, mut number) = (payloads(codec), Instant::now(), 0_u32);
        let mut pcm = [0; 160];
        group.bench_function(format!("{}, one packet in, one frame out", codec.name()), |bencher| {
            bencher.iter(|| {
                let timestamp = number.wrapping_mul(codec.clock().0 / 50);
                playout.insert(number as u16, timestamp, 7, false, &payloads[number as usize % 50], now);
                black_box(playout.pull(now, &mut pcm));
                number = number.wrapping_add(1);
                now += PACKET;
            });
        });
    }
    group.finish();
}

criterion_group!(benches, packet_path, jitter);
criterion_main!(benches);
