//! A talker, a network and a playout buffer, driven tick by tick under virtual time.

use std::time::{Duration, Instant};

use codecs::g711::UlawCodec;
use codecs::{Decoder, Encoder, SampleRate};
use media_engine::jitter::{Playout, PlayoutConfig, Pulled};
use media_engine::units::ClockRate;

use crate::network::{Network, Packet};

/// Audio of the talker: a sample by its media time at 8 kHz.
pub(crate) type Signal = fn(u64) -> i16;

pub(crate) fn silence(_: u64) -> i16 {
    0
}

/// A buzz of 125 Hz with overtones, a simple model of voiced speech.
pub(crate) fn voice(n: u64) -> i16 {
    let t = n as f64 / 8_000.0;
    let tone = |harmonic: f64| (std::f64::consts::TAU * 125.0 * harmonic * t).sin() / harmonic;
    (5_000.0 * (tone(1.0) + tone(2.0) + tone(3.0) + tone(5.0))) as i16
}

#[allow(clippy::disallowed_methods)]
pub(crate) fn epoch() -> Instant {
    // Far from the clock's zero, so that earlier instants exist.
    Instant::now() + Duration::from_secs(100_000)
}

pub(crate) fn g711_playout() -> Playout {
    playout(ClockRate::HZ_8000, SampleRate::HZ_8000, 960, Box::new(UlawCodec::new()))
}

pub(crate) fn playout(
    clock: ClockRate,
    sample_rate: SampleRate,
    max_payload: usize,
    decoder: Box<dyn Decoder>,
) -> Playout {
    let config = PlayoutConfig { clock, sample_rate, frame: Duration::from_millis(20), max_payload, room: 25_600 };
    Playout::new(config, decoder)
}

/// One frame that the listener received.
pub(crate) struct Heard<'a> {
    /// Engine time of the tick, in microseconds.
    pub(crate) at_us: i64,
    pub(crate) pulled: Pulled,
    pub(crate) samples: &'a [i16],
}

/// A G.711 talker whose clock is off by `skew_ppm` (positive: fast), and a listener with ticks of 20 ms.
pub(crate) struct Leg {
    pub(crate) network: Network,
    pub(crate) playout: Playout,
    pub(crate) signal: Signal,
    pub(crate) skew_ppm: i64,
    pub(crate) packet_ms: u64,
    pub(crate) epoch: Instant,
    pub(crate) ssrc: u32,
    /// Offset between media time and the RTP timestamps.
    pub(crate) timestamp_offset: u32,
    pub(crate) next_sequence: u16,
    /// While `true`, no packet is sent and no sequence number is used.
    pub(crate) paused: bool,
    pub(crate) markers: bool,
    /// Maximum lateness of a tick, in microseconds.
    pub(crate) tick_noise_us: u64,
    encoder: UlawCodec,
    resumed: bool,
    /// Media time of the next packet, in samples.
    said: u64,
    now_us: i64,
    phase_us: i64,
}

impl Leg {
    pub(crate) fn new(seed: u64) -> Leg {
        let mut network = Network::new(seed);
        let phase_us = network.rng.below(20_000) as i64;
        Leg {
            network,
            playout: g711_playout(),
            signal: silence,
            skew_ppm: 0,
            packet_ms: 20,
            epoch: epoch(),
            ssrc: 0x1234_5678,
            timestamp_offset: 0xffff_f000,
            next_sequence: 65_500,
            paused: false,
            markers: false,
            tick_noise_us: 0,
            encoder: UlawCodec::new(),
            resumed: true,
            said: 0,
            now_us: 0,
            phase_us,
        }
    }

    pub(crate) fn instant(&self, us: i64) -> Instant {
        self.epoch + Duration::from_micros(us as u64)
    }

    /// Time at which a sample is captured, on the engine's clock, in microseconds.
    pub(crate) fn capture_us(&self, media: u64) -> i64 {
        let us = media as i64 * 125;
        us - us * self.skew_ppm / 1_000_000
    }

    pub(crate) fn now_us(&self) -> i64 {
        self.now_us
    }

    /// Runs for `span` and passes every frame to `hear`.
    pub(crate) fn run(&mut self, span: Duration, mut hear: impl FnMut(Heard<'_>)) {
        let until_us = self.now_us + span.as_micros() as i64;
        let mut samples = [0; 160];
        while self.now_us < until_us {
            let tick_us = self.now_us + self.phase_us + self.network.rng.below(self.tick_noise_us) as i64;
            while self.capture_us(self.said) <= tick_us {
                self.say();
            }
            while let Some((arrival_us, packet)) = self.network.receive(tick_us) {
                let arrival = self.instant(arrival_us);
                let Packet { sequence, timestamp, ssrc, marker, payload } = packet;
                self.playout.insert(sequence, timestamp, ssrc, marker, &payload, arrival);
            }
            let pulled = self.playout.pull(self.instant(tick_us), &mut samples);
            hear(Heard { at_us: tick_us, pulled, samples: &samples });
            self.now_us += 20_000;
        }
    }

    /// Sends a packet when its first sample is captured; the constant offset does not affect measured delays.
    fn say(&mut self) {
        let count = self.packet_ms * 8;
        let (media, at_us) = (self.said, self.capture_us(self.said));
        self.said += count;
        if self.paused {
            self.resumed = true;
            return;
        }
        let samples: Vec<i16> = (media..media + count).map(self.signal).collect();
        let mut payload = vec![0; samples.len()];
        self.encoder.encode(&samples, &mut payload).expect("as long as the samples");
        let packet = Packet {
            sequence: self.next_sequence,
            timestamp: self.timestamp_offset.wrapping_add(media as u32),
            ssrc: self.ssrc,
            marker: self.markers && self.resumed,
            payload,
        };
        self.resumed = false;
        self.next_sequence = self.next_sequence.wrapping_add(1);
        self.network.send(at_us, packet);
    }

    pub(crate) fn delay_ms(&self) -> f64 {
        self.playout.counters().current_delay.as_secs_f64() * 1_000.0
    }
}
