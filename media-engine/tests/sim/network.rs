//! A seeded network under virtual time: loss, reordering, jitter, duplication, stalls.
//!
//! Times are in microseconds on the receiver's clock.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// SplitMix64: small, and identical on all platforms.
#[derive(Clone, Debug)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// Returns a number from 0 to 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Returns a standard normal number (Box and Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// Delay of a packet beyond the minimum.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Jitter {
    #[default]
    None,
    /// Uniform from 0 to this many milliseconds.
    Uniform(f64),
    /// Magnitude of a normal variable with this sigma, in milliseconds.
    HalfNormal(f64),
    /// Normal around 3 sigma, cut off at zero, in milliseconds.
    Normal(f64),
}

#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
    pub(crate) marker: bool,
    pub(crate) payload: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) rng: Rng,
    pub(crate) jitter: Jitter,
    /// Probability of losing a packet, from 0 to 1.
    pub(crate) loss: f64,
    pub(crate) duplication: f64,
    /// Probability that a packet overtakes others, which means that it gets no jitter.
    pub(crate) reordering: f64,
    /// Constant part of the delay, in microseconds.
    pub(crate) base_us: i64,
    /// Time until which no packet is delivered; then all are delivered at once.
    pub(crate) stalled_until_us: i64,
    pub(crate) sent: u64,
    pub(crate) lost: u64,
    arrivals: BinaryHeap<Reverse<(i64, u64)>>,
    under_way: BTreeMap<u64, Packet>,
    number: u64,
}

impl Network {
    /// Creates a network without loss, jitter or reordering.
    pub(crate) fn new(seed: u64) -> Network {
        Network {
            rng: Rng(seed),
            jitter: Jitter::None,
            loss: 0.0,
            duplication: 0.0,
            reordering: 0.0,
            base_us: 40_000,
            stalled_until_us: i64::MIN,
            sent: 0,
            lost: 0,
            arrivals: BinaryHeap::new(),
            under_way: BTreeMap::new(),
            number: 0,
        }
    }

    pub(crate) fn send(&mut self, at_us: i64, packet: Packet) {
        self.sent += 1;
        if self.rng.chance(self.loss) {
            self.lost += 1;
            return;
        }
        if self.rng.chance(self.duplication) {
            self.deliver(at_us, packet.clone());
        }
        self.deliver(at_us, packet);
    }

    fn deliver(&mut self, at_us: i64, packet: Packet) {
        let jitter_ms = match self.jitter {
            _ if self.rng.chance(self.reordering) => 0.0,
            Jitter::None => 0.0,
            Jitter::Uniform(most) => self.rng.unit() * most,
            Jitter::HalfNormal(sigma) => (self.rng.normal() * sigma).abs(),
            Jitter::Normal(sigma) => (sigma * 3.0 + self.rng.normal() * sigma).max(0.0),
        };
        let arrival_us = (at_us + self.base_us + (jitter_ms * 1_000.0) as i64).max(self.stalled_until_us);
        self.arrivals.push(Reverse((arrival_us, self.number)));
        self.under_way.insert(self.number, packet);
        self.number += 1;
    }

    /// Returns the next packet that arrives until `until_us`, with its time of arrival.
    pub(crate) fn receive(&mut self, until_us: i64) -> Option<(i64, Packet)> {
        let &Reverse((arrival_us, number)) = self.arrivals.peek()?;
        if arrival_us > until_us {
            return None;
        }
        self.arrivals.pop();
        self.under_way.remove(&number).map(|packet| (arrival_us, packet))
    }
}
