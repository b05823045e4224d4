//! The playout of one leg's incoming stream: what it is made of, and what it tells.

use std::time::{Duration, Instant};

use codecs::Decoder;
use codecs::cng::NoiseGenerator;

use super::delay::DelayEstimate;
use super::fifo::Fifo;
use super::slots::Slots;
use crate::units::{ClockRate, SampleRate};

/// Longest packet, and longest frame of a pull.
pub(super) const LONGEST_MS: u32 = 120;

/// What a [`Playout`] is made for.
#[derive(Clone, Copy, Debug)]
pub struct PlayoutConfig {
    /// RTP clock of the payload.
    pub clock: ClockRate,
    /// Rate of the samples given out: the decoder's.
    pub sample_rate: SampleRate,
    /// What one pull gives; at most 120 ms.
    pub frame: Duration,
    /// Longest payload that is kept, bytes.
    pub max_payload: usize,
    /// Bytes set aside for all payloads that wait; at most 64 packets do.
    pub room: usize,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It waits for its time.
    Accepted,
    /// Its time had passed.
    Late,
    /// It was here before.
    Duplicate,
    /// Not kept: too long, or so far out of line with the stream that a second packet has to confirm it.
    Overflow,
}

/// What a pull gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PulledKind {
    /// Decoded samples.
    Voice,
    /// Wholly or partly made up for lost packets.
    Concealed,
    /// Nothing was sent for this time: zeros behind the fade-out of what was before, or the noise of the sender's background
    /// where it told of that.
    Silence,
}

/// A pull's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// What the samples are.
    pub kind: PulledKind,
    /// When the first sample was captured at the sender, on the engine's clock, as if every packet had taken the
    /// least transit; independent of the buffer's own delay. `None` before anything was played. In a frame with a
    /// splice it holds for what lies behind the splice.
    ///
    /// Steps back only where packets come after all whose time had been concealed (a late one with nothing newer
    /// behind it, the end of a stall): they hold what belonged there.
    pub captured_at: Option<Instant>,
}

/// Totals since construction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlayoutCounters {
    /// Packets given to `insert`.
    pub packets: u64,
    /// Came after their time: dropped, or played all the same because nothing newer was there.
    pub late: u64,
    /// Came twice.
    pub duplicate: u64,
    /// Were not kept: too long, out of line, or too many.
    pub overflow: u64,
    /// Could not be decoded.
    pub malformed: u64,
    /// Concealed sound, in whole frames.
    pub concealed_frames: u64,
    /// Packets recovered from in-band FEC.
    pub recovered_packets: u64,
    /// Splices that moved the playout point: for drift, or because jitter grew or shrank.
    pub drift_corrections: u64,
    /// New beginnings within the stream: another SSRC, time stamps that jumped, a backlog that was given up.
    pub resyncs: u64,
    /// How far behind the least transit a packet has to be expected.
    pub target_delay: Duration,
    /// How far playout lies behind the least transit: what the buffer adds.
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
    /// Concealment that is faded out under what follows it.
    pub(super) under: Box<[i16]>,
    pub(super) stream: Option<Stream>,
    /// SSRC of the stream before this one: its stragglers do not bring it back.
    pub(super) previous_ssrc: Option<u32>,
    /// SSRC and next sequence number that would confirm a new beginning.
    pub(super) suspect: Option<(u32, u16)>,
    /// Time zero of all microseconds: the first arrival.
    pub(super) epoch: Option<Instant>,
    /// Engine time minus capture time at the last frame that was played, microseconds.
    pub(super) captured_ago_us: Option<i64>,
    /// Engine time minus media time at the last frame that was played, microseconds.
    pub(super) played_us: Option<i64>,
    /// Something audible was given out last, which must fade.
    pub(super) sounding: bool,
    /// What is decoded next follows sound all the same.
    pub(super) goes_on: bool,
    /// See [`Playout::room_us`] and [`Playout::needed_nothing`].
    pub(super) room_us: Option<i64>,
    pub(super) needed_nothing: bool,
    /// What comfort noise packets describe, and whether it was given out last.
    pub(super) noise: NoiseGenerator,
    pub(super) noising: bool,
    pub(super) concealed_samples: u64,
    pub(super) counters: PlayoutCounters,
}

/// What is known of the stream that plays. Positions are media time in samples; sequence numbers and time stamps are
/// extended beyond their wrap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    pub(super) ssrc: u32,
    pub(super) highest_sequence: i64,
    pub(super) highest_timestamp: i64,
    /// Bit n: the packet n before the highest came.
    pub(super) seen: u128,
    /// The same for packets that are no audio.
    pub(super) other: u128,
    /// Last packet that was decoded or given up.
    pub(super) done: i64,
    pub(super) state: State,
    /// End of what is in the fifo.
    pub(super) decoded_to: i64,
    /// Samples in the last packet.
    pub(super) packet: usize,
    /// Samples concealed since nothing waits. `decoded_to` stands still meanwhile: whether they stand for loss, for
    /// a pause or for packets that are still on their way, the next packet tells.
    pub(super) owed: usize,
    /// What was concealed last is a gap before a packet that waits.
    pub(super) bridged: bool,
    /// The sender has told that it pauses: what follows the last packet is noise.
    pub(super) noise: Option<Noise>,
    /// Where the playout point is being moved.
    pub(super) course: Course,
    /// Since when less delay would have done.
    pub(super) roomy_since_us: Option<i64>,
    /// The packet with whose copy packets began to be played later, so that copies are here in time.
    pub(super) copies_begin: i64,
    /// Frames for which a splice was wanted and no good place found.
    pub(super) impatience: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing was played yet: an earlier packet may still come first.
    Fresh,
    /// Silent between stretches of sound: the next one begins when its first packet is ripe.
    Waiting,
    /// One frame follows another.
    Playing,
}

/// Where the noise of a pause comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noise {
    /// The codec's own: Opus.
    Decoder,
    /// Comfort noise packets.
    Described,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    Steady,
    /// Towards more delay.
    Back,
    /// Towards less.
    Forth,
}

impl Playout {
    /// A playout that waits for its first packet.
    pub fn new(config: PlayoutConfig, decoder: Box<dyn Decoder>) -> Playout {
        let longest = config.sample_rate.samples_in_ms(LONGEST_MS);
        Playout {
            config,
            decoder,
            slots: Slots::new(config.max_payload, config.room),
            delay: DelayEstimate::new(),
            // What is left of a frame and a splice, and the longest packet behind it.
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

    /// Totals, and the delay now.
    pub fn counters(&self) -> PlayoutCounters {
        let target = self.delay.bound_us() - self.delay.least_us();
        let frame = self.config.sample_rate.hz() as u64 * self.config.frame.as_micros() as u64 / 1_000_000;
        PlayoutCounters {
            target_delay: Duration::from_micros(u64::try_from(target).unwrap_or(0)),
            concealed_frames: self.concealed_samples / frame.max(1),
            ..self.counters
        }
    }

    /// For how many microseconds longer than planned the last packet of the latest frame had been here: by so much the next
    /// pull could come earlier. Negative: later. `None`: the frame needed no packet, or the playout point was moved.
    pub fn room_us(&self) -> Option<i64> {
        self.room_us
    }

    /// Whether the latest frame was there already, with nothing decoded for it.
    pub fn needed_nothing(&self) -> bool {
        self.needed_nothing
    }

    /// How long after its first packet a stream's first frame is ripe; `None`: that packet has come.
    pub fn first_wait(&self) -> Option<Duration> {
        self.stream.is_none().then(|| self.delay.first_wait())
    }

    /// Rate of the samples given out.
    pub fn sample_rate(&self) -> SampleRate {
        self.config.sample_rate
    }

    /// Microseconds since the first arrival.
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

    /// The time stamp of a position.
    pub(super) fn timestamp(&self, position: i64) -> u32 {
        let (rate, clock) = (i64::from(self.config.sample_rate.hz()), i64::from(self.config.clock.0.max(1)));
        // Whole seconds apart, so that the product fits for any position.
        let (seconds, rest) = (position.div_euclid(rate), position.rem_euclid(rate));
        (seconds.wrapping_mul(clock).wrapping_add(rest * clock / rate)) as u32
    }

    /// Media time of a position, microseconds.
    pub(super) fn media_us(&self, position: i64) -> i64 {
        (i128::from(position) * 1_000_000 / i128::from(self.config.sample_rate.hz())) as i64
    }

    /// Samples in a span; negative spans give none.
    pub(super) fn samples_in_us(&self, us: i64) -> usize {
        (i128::from(us.max(0)) * i128::from(self.config.sample_rate.hz()) / 1_000_000) as usize
    }
}
