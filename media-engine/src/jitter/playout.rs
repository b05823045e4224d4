//! The playout of one leg's incoming stream: configuration, state and counters.

use std::time::{Duration, Instant};

use codecs::Decoder;
use codecs::cng::NoiseGenerator;

use super::delay::DelayEstimate;
use super::fifo::Fifo;
use super::slots::Slots;
use crate::units::{ClockRate, SampleRate};

/// Longest packet, and longest frame that one pull returns.
pub(super) const LONGEST_MS: u32 = 120;

/// Configuration of a [`Playout`].
#[derive(Clone, Copy, Debug)]
pub struct PlayoutConfig {
    /// RTP clock of the payload.
    pub clock: ClockRate,
    /// Rate of the samples that are returned; equal to the decoder's rate.
    pub sample_rate: SampleRate,
    /// Length of the frame that one pull returns; at most 120 ms.
    pub frame: Duration,
    /// Longest payload that is accepted, in bytes.
    pub max_payload: usize,
    /// Bytes reserved for all payloads that wait; at most 64 packets wait at a time.
    pub room: usize,
}

/// Outcome of inserting a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The packet waits for its time.
    Accepted,
    /// The time of the packet had passed; it was dropped.
    Late,
    /// The packet had been received before.
    Duplicate,
    /// The packet was dropped: too long, or so far from the stream's position that a second packet has to confirm the jump.
    Overflow,
}

/// Kind of the samples that a pull returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PulledKind {
    /// Samples decoded from received packets.
    Voice,
    /// Samples that wholly or partly conceal lost packets.
    Concealed,
    /// Nothing was sent for this time: zeros after a fade-out of the previous sound, or background noise if the sender
    /// described it.
    Silence,
}

/// Outcome of a pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// Kind of the samples.
    pub kind: PulledKind,
    /// Time at which the first sample was captured at the sender, on the engine's clock, as if every packet had taken the
    /// least transit; independent of the buffer's own delay. `None` before anything was played. In a frame with a
    /// splice it applies to the samples after the splice.
    ///
    /// It steps back only when packets arrive whose time had already been concealed (a late packet with no newer one
    /// behind it, or the end of a stall), because they contain the sound that belonged there.
    pub captured_at: Option<Instant>,
}

/// Totals since construction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlayoutCounters {
    /// Packets given to `insert`.
    pub packets: u64,
    /// Packets that came after their time: dropped, or played because no newer packet was present.
    pub late: u64,
    /// Packets that were received twice.
    pub duplicate: u64,
    /// Packets that were dropped: too long, far from the stream's position, or too many.
    pub overflow: u64,
    /// Packets that could not be decoded.
    pub malformed: u64,
    /// Concealed sound, in whole frames.
    pub concealed_frames: u64,
    /// Packets recovered from in-band FEC.
    pub recovered_packets: u64,
    /// Splices that moved the playout point because of clock drift or a change of jitter.
    pub drift_corrections: u64,
    /// Resets within the stream: a new SSRC, a jump of time stamps, or a backlog that was dropped.
    pub resyncs: u64,
    /// Delay beyond the least transit within which packets are expected to arrive.
    pub target_delay: Duration,
    /// Delay of playout beyond the least transit, which is the delay that the buffer adds.
    pub current_delay: Duration,
}

/// Jitter buffer and decoder of one incoming stream.
pub struct Playout {
    pub(super) config: PlayoutConfig,
    pub(super) decoder: Box<dyn Decoder>,
    pub(super) slots: Slots,
    pub(super) delay: DelayEstimate,
    pub(super) fifo: Fifo,
    pub(super) scratch: Box<[i16]>,
    /// Concealment that is faded out under the sound that follows it.
    pub(super) under: Box<[i16]>,
    pub(super) stream: Option<Stream>,
    /// SSRC of the stream before this one, so that its late packets do not switch back to it.
    pub(super) previous_ssrc: Option<u32>,
    /// SSRC and next sequence number that would confirm a reset.
    pub(super) suspect: Option<(u32, u16)>,
    /// Zero of all times in microseconds: the first arrival.
    pub(super) epoch: Option<Instant>,
    /// Engine time minus capture time at the last frame that was played, in microseconds.
    pub(super) captured_ago_us: Option<i64>,
    /// Engine time minus media time at the last frame that was played, in microseconds.
    pub(super) played_us: Option<i64>,
    /// Whether the last frame was audible and must be faded out.
    pub(super) sounding: bool,
    /// Whether the samples decoded next continue sound that was heard by another path.
    pub(super) goes_on: bool,
    /// See [`Playout::room_us`] and [`Playout::needed_nothing`].
    pub(super) room_us: Option<i64>,
    pub(super) needed_nothing: bool,
    /// Generator of the noise that comfort noise packets describe, and whether the last frame was such noise.
    pub(super) noise: NoiseGenerator,
    pub(super) noising: bool,
    pub(super) concealed_samples: u64,
    pub(super) counters: PlayoutCounters,
}

/// State of the stream that is played. Positions are media time in samples; sequence numbers and time stamps are
/// extended beyond their wrap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    pub(super) ssrc: u32,
    pub(super) highest_sequence: i64,
    pub(super) highest_timestamp: i64,
    /// Bit n is set when the packet n before the highest was received.
    pub(super) seen: u128,
    /// The same for packets that are not audio.
    pub(super) other: u128,
    /// Last packet that was decoded or dropped.
    pub(super) done: i64,
    pub(super) state: State,
    /// Position of the end of the fifo.
    pub(super) decoded_to: i64,
    /// Samples in the last packet.
    pub(super) packet: usize,
    /// Samples concealed since the last packet was played. `decoded_to` stands still meanwhile: the next packet shows
    /// whether they replace lost packets, a pause, or packets that are still on their way.
    pub(super) owed: usize,
    /// Whether the last concealment filled a gap before a packet that waits.
    pub(super) bridged: bool,
    /// Source of noise for a pause that the sender announced.
    pub(super) noise: Option<Noise>,
    /// Direction in which the playout point is being moved.
    pub(super) course: Course,
    /// Time since which less delay would have been sufficient.
    pub(super) roomy_since_us: Option<i64>,
    /// The packet whose copy caused later playout, so that copies arrive in time.
    pub(super) copies_begin: i64,
    /// Number of frames for which a splice was wanted but no good place was found.
    pub(super) impatience: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing has been played yet: an earlier packet may still come first.
    Fresh,
    /// Silent between stretches of sound: the next one begins when its first packet is ripe.
    Waiting,
    /// One frame follows another.
    Playing,
}

/// Source of the noise in a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noise {
    /// The decoder itself (Opus).
    Decoder,
    /// Comfort noise packets.
    Described,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    Steady,
    /// Towards more delay.
    Back,
    /// Towards less delay.
    Forth,
}

impl Playout {
    /// Creates a playout that waits for its first packet.
    pub fn new(config: PlayoutConfig, decoder: Box<dyn Decoder>) -> Playout {
        let longest = config.sample_rate.samples_in_ms(LONGEST_MS);
        Playout {
            config,
            decoder,
            slots: Slots::new(config.max_payload, config.room),
            delay: DelayEstimate::new(),
            // Room for the remainder of a frame and a splice, and for the longest packet after them.
            fifo: Fifo::new(longest * 2),
            scratch: vec![0; longest].into_boxed_slice(),
            under: vec![0; codecs::splice::overlap(config.sample_rate)].into_boxed_slice(),
            stream: None,
            previous_ssrc: None,
            suspect: None,
            epoch: None,
            captured_ago_us: None,
            played_us: None,
            sounding: false,
            goes_on: false,
            room_us: None,
            needed_nothing: false,
            noise: NoiseGenerator::new(),
            noising: false,
            concealed_samples: 0,
            counters: PlayoutCounters::default(),
        }
    }

    /// Returns the totals and the current delays.
    pub fn counters(&self) -> PlayoutCounters {
        let target = self.delay.bound_us() - self.delay.least_us();
        let frame = self.config.sample_rate.hz() as u64 * self.config.frame.as_micros() as u64 / 1_000_000;
        PlayoutCounters {
            target_delay: Duration::from_micros(u64::try_from(target).unwrap_or(0)),
            concealed_frames: self.concealed_samples / frame.max(1),
            ..self.counters
        }
    }

    /// Returns how many microseconds earlier than planned the last packet of the latest frame had arrived: the next pull
    /// could come that much earlier. Negative: later than planned. `None`: the frame needed no packet, or the playout point moved.
    pub fn room_us(&self) -> Option<i64> {
        self.room_us
    }

    /// Returns whether the latest frame had already been decoded before it was pulled.
    pub fn needed_nothing(&self) -> bool {
        self.needed_nothing
    }

    /// Returns the time from the first packet of a stream to its first frame; `None` once that packet has arrived.
    pub fn first_wait(&self) -> Option<Duration> {
        self.stream.is_none().then(|| self.delay.first_wait())
    }

    /// Returns the rate of the samples that [`Playout::pull`] writes.
    pub fn sample_rate(&self) -> SampleRate {
        self.config.sample_rate
    }

    /// Returns the microseconds since the first arrival; negative before it.
    pub(super) fn micros(&self, at: Instant) -> i64 {
        let Some(epoch) = self.epoch else { return 0 };
        // Clamped to about 70 years, so that sums do not overflow.
        let clamp = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX).min(1 << 51);
        match at.checked_duration_since(epoch) {
            Some(span) => clamp(span),
            None => -clamp(epoch.duration_since(at)),
        }
    }

    pub(super) fn position(&self, timestamp: i64) -> i64 {
        let (rate, clock) = (i64::from(self.config.sample_rate.hz()), i64::from(self.config.clock.0.max(1)));
        (timestamp * rate).div_euclid(clock)
    }

    /// Converts a position to a time stamp.
    pub(super) fn timestamp(&self, position: i64) -> u32 {
        let (rate, clock) = (i64::from(self.config.sample_rate.hz()), i64::from(self.config.clock.0.max(1)));
        // Whole seconds are handled separately, so that the product fits for any position.
        let (seconds, rest) = (position.div_euclid(rate), position.rem_euclid(rate));
        (seconds.wrapping_mul(clock).wrapping_add(rest * clock / rate)) as u32
    }

    /// Converts a position to media time in microseconds.
    pub(super) fn media_us(&self, position: i64) -> i64 {
        (i128::from(position) * 1_000_000 / i128::from(self.config.sample_rate.hz())) as i64
    }

    /// Returns the samples in a span; zero for negative spans.
    pub(super) fn samples_in_us(&self, us: i64) -> usize {
        (i128::from(us.max(0)) * i128::from(self.config.sample_rate.hz()) / 1_000_000) as usize
    }
}
