//! The playout of one leg's incoming stream.

use std::time::{Duration, Instant};

use codecs::Decoder;

use super::delay::DelayEstimate;
use super::slots::{SLOTS, SlotHead, Slots};
use crate::units::{ClockRate, SampleRate};

/// A step in transit or timestamps beyond this is a new stream, not jitter.
const DISCONTINUITY_US: i64 = 2_000_000;
/// A playout point that is off by more than this jumps instead of trimming.
const JUMP_US: i64 = 400_000;
/// Off by less than this nothing is trimmed.
const DEADBAND_US: i64 = 1_500;
/// Trim while somebody speaks: one sample in 40 (2.5 %), inaudible in speech.
const TRIM_SPEECH: usize = 40;
/// Trim in silence: one sample in 4.
const TRIM_SILENCE: usize = 4;
/// A frame whose peak is below this is silence (−50 dBFS).
const SILENCE_PEAK: u16 = 100;
/// Concealment fades to nothing within this; then it is silence.
const CONCEAL_US: i64 = 100_000;
/// Longest packet.
const PACKET_MS: usize = 120;

/// What a [`Playout`] is made for.
#[derive(Clone, Copy, Debug)]
pub struct PlayoutConfig {
    /// RTP clock of the payload.
    pub clock: ClockRate,
    /// Rate of the samples given out: the decoder's.
    pub sample_rate: SampleRate,
    /// What one pull gives.
    pub frame: Duration,
    /// Longest payload that is kept, bytes.
    pub max_payload: usize,
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
    /// Too long, or too far ahead.
    Overflow,
}

/// What a pull gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PulledKind {
    /// Decoded samples.
    Voice,
    /// Wholly or partly made up for lost packets.
    Concealed,
    /// Nothing was sent for this time.
    Silence,
}

/// A pull's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// What the samples are.
    pub kind: PulledKind,
    /// When the first sample was captured at the sender, on the engine's clock, as if every packet had taken the
    /// least transit; independent of the buffer's own delay. `None` before the first packet.
    pub captured_at: Option<Instant>,
}

/// Totals since construction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlayoutCounters {
    /// Packets given to `insert`.
    pub packets: u64,
    /// Came after their time.
    pub late: u64,
    /// Came twice.
    pub duplicate: u64,
    /// Did not fit.
    pub overflow: u64,
    /// Frames that were wholly or partly concealed.
    pub concealed_frames: u64,
    /// Frames recovered from in-band FEC.
    pub recovered_packets: u64,
    /// Frames that were trimmed towards the playout point.
    pub drift_corrections: u64,
    /// Jumps of the playout point, new streams included.
    pub resyncs: u64,
    /// How far behind the least transit playout should lie.
    pub target_delay: Duration,
    /// How far it lies there now.
    pub current_delay: Duration,
}

/// Jitter buffer and decoder of one incoming stream.
pub struct Playout {
    config: PlayoutConfig,
    decoder: Box<dyn Decoder>,
    slots: Slots,
    stream: Option<Stream>,
    /// Time zero of all microseconds.
    epoch: Option<Instant>,
    delay: Option<DelayEstimate>,
    fifo: Fifo,
    scratch: Box<[i16]>,
    counters: PlayoutCounters,
}

/// What is known of the stream that plays.
#[derive(Clone, Copy, Debug)]
struct Stream {
    ssrc: u32,
    highest_sequence: u64,
    highest_timestamp: u64,
    /// Last sequence number that was decoded or given up.
    done_sequence: u64,
    /// RTP time of the end of what is in the fifo.
    decoded_to: u64,
    started: bool,
    /// Ticks in the last packet.
    packet_ticks: u64,
    /// Frames concealed since packets ran dry: a gap turns out to be loss or a pause when the next packet comes.
    dry_frames: u64,
    dry_us: i64,
    last_transit_us: i64,
}

impl Playout {
    /// A playout that waits for its first packet.
    pub fn new(config: PlayoutConfig, decoder: Box<dyn Decoder>) -> Playout {
        let longest = config.sample_rate.samples_in_ms(PACKET_MS as u32);
        Playout {
            config,
            decoder,
            slots: Slots::new(config.max_payload),
            stream: None,
            epoch: None,
            delay: None,
            fifo: Fifo::new(longest * 3),
            scratch: vec![0; longest].into_boxed_slice(),
            counters: PlayoutCounters::default(),
        }
    }

    /// Takes a packet. Copies the payload; never allocates.
    pub fn insert(
        &mut self,
        sequence: u16,
        timestamp: u32,
        ssrc: u32,
        marker: bool,
        payload: &[u8],
        arrival: Instant,
    ) -> Inserted {
        self.counters.packets += 1;
        let epoch = *self.epoch.get_or_insert(arrival);
        let arrival_us = micros_since(epoch, arrival);
        if !self.slots.fits(payload) {
            self.counters.overflow += 1;
            return Inserted::Overflow;
        }
        let Some(stream) = self.stream.filter(|stream| stream.ssrc == ssrc) else {
            return self.begin(sequence, timestamp, ssrc, payload, arrival_us);
        };
        let sequence_ext = extend16(stream.highest_sequence, sequence);
        let timestamp_ext = extend32(stream.highest_timestamp, timestamp);
        let transit_us = arrival_us - self.media_us(timestamp_ext);
        let far_ahead = sequence_ext > stream.highest_sequence + 3_000;
        if far_ahead || (transit_us - stream.last_transit_us).abs() > DISCONTINUITY_US && !marker_pause(marker) {
            return self.begin(sequence, timestamp, ssrc, payload, arrival_us);
        }
        self.accept(stream, sequence_ext, timestamp_ext, transit_us, payload, arrival_us)
    }

    /// The next frame: `out` is filled whole. Called once per tick, `config.frame` apart.
    pub fn pull(&mut self, now: Instant, out: &mut [i16]) -> Pulled {
        let (Some(mut stream), Some(epoch)) = (self.stream, self.epoch) else {
            out.fill(0);
            return Pulled { kind: PulledKind::Silence, captured_at: None };
        };
        let now_us = micros_since(epoch, now);
        let due = self.due_position(now_us);
        if !stream.started {
            if due < stream.decoded_to as i64 {
                out.fill(0);
                return Pulled { kind: PulledKind::Silence, captured_at: self.captured_at(due, epoch) };
            }
            stream.started = true;
        }
        self.jump_if_lost(&mut stream, due);
        let position = stream.decoded_to as i64 - self.samples_to_ticks(self.fifo.len()) as i64;
        // Positive: playout lags behind where it should be.
        let behind_us = self.ticks_to_us(due - position);
        let wanted = self.trimmed_length(behind_us, out.len());
        let kind = self.fill(&mut stream, wanted.max(out.len()), now_us);
        let taken = if wanted == out.len() {
            self.fifo.pop(out);
            out.len()
        } else {
            self.counters.drift_corrections += 1;
            self.fifo.pop_stretched(wanted, out);
            wanted
        };
        debug_assert!(taken > 0);
        match kind {
            PulledKind::Concealed => {
                self.counters.concealed_frames += 1;
            }
            PulledKind::Voice | PulledKind::Silence => {}
        }
        self.counters.current_delay = Duration::from_micros(
            u64::try_from(self.delay.as_ref().map_or(0, DelayEstimate::target_us) + behind_us).unwrap_or(0),
        );
        self.stream = Some(stream);
        Pulled { kind, captured_at: self.captured_at(position, epoch) }
    }

    /// Totals, and the delay now.
    pub fn counters(&self) -> PlayoutCounters {
        let target = self.delay.as_ref().map_or(0, DelayEstimate::target_us);
        PlayoutCounters { target_delay: Duration::from_micros(u64::try_from(target).unwrap_or(0)), ..self.counters }
    }

    /// Rate of the samples given out.
    pub fn sample_rate(&self) -> SampleRate {
        self.config.sample_rate
    }

    /// A first packet, a new SSRC, or a jump that no network makes.
    fn begin(&mut self, sequence: u16, timestamp: u32, ssrc: u32, payload: &[u8], arrival_us: i64) -> Inserted {
        if self.stream.is_some() {
            self.counters.resyncs += 1;
        }
        // Far from zero, so that packets from before the first one have numbers too.
        let sequence = (1 << 32) + u64::from(sequence);
        let timestamp = (1 << 40) + u64::from(timestamp);
        let transit_us = arrival_us - self.media_us(timestamp);
        self.slots.clear();
        self.fifo.clear();
        match &mut self.delay {
            Some(delay) => delay.restart(transit_us, arrival_us),
            None => self.delay = Some(DelayEstimate::new(transit_us, arrival_us)),
        }
        let packet_ticks = self.config.clock.ticks(Duration::from_millis(20));
        let stream = Stream {
            ssrc,
            highest_sequence: sequence,
            highest_timestamp: timestamp,
            done_sequence: sequence - 1,
            decoded_to: timestamp,
            started: false,
            packet_ticks,
            dry_frames: 0,
            dry_us: 0,
            last_transit_us: transit_us,
        };
        self.accept(stream, sequence, timestamp, transit_us, payload, arrival_us)
    }

    fn accept(
        &mut self,
        mut stream: Stream,
        sequence: u64,
        timestamp: u64,
        transit_us: i64,
        payload: &[u8],
        arrival_us: i64,
    ) -> Inserted {
        stream.last_transit_us = transit_us;
        if let Some(delay) = &mut self.delay {
            delay.on_packet(transit_us, arrival_us);
        }
        let outcome = if self.slots.head(sequence).is_some() {
            Inserted::Duplicate
        } else if sequence <= stream.done_sequence || stream.started && timestamp < stream.decoded_to {
            if stream.started { Inserted::Late } else { Inserted::Accepted }
        } else if sequence > stream.done_sequence + SLOTS as u64 {
            // The oldest give way: a backlog never grows beyond the slots.
            stream.done_sequence = sequence - SLOTS as u64;
            self.counters.overflow += 1;
            Inserted::Accepted
        } else {
            Inserted::Accepted
        };
        match outcome {
            Inserted::Late => self.counters.late += 1,
            Inserted::Duplicate => self.counters.duplicate += 1,
            Inserted::Overflow => self.counters.overflow += 1,
            Inserted::Accepted => {
                self.slots.put(sequence, timestamp, payload);
                if !stream.started {
                    // Reordered before playout began: begin with the earlier one.
                    stream.done_sequence = stream.done_sequence.min(sequence - 1);
                    stream.decoded_to = stream.decoded_to.min(timestamp);
                }
            }
        }
        stream.highest_sequence = stream.highest_sequence.max(sequence);
        stream.highest_timestamp = stream.highest_timestamp.max(timestamp);
        self.stream = Some(stream);
        outcome
    }

    /// A playout point that trimming could not mend within seconds jumps.
    fn jump_if_lost(&mut self, stream: &mut Stream, due: i64) {
        let position = stream.decoded_to as i64 - self.samples_to_ticks(self.fifo.len()) as i64;
        if self.ticks_to_us(due - position).abs() > JUMP_US {
            self.fifo.clear();
            stream.decoded_to = u64::try_from(due).unwrap_or(stream.decoded_to);
            self.counters.resyncs += 1;
        }
    }

    /// Samples to take for one frame of `frame` samples so that playout comes nearer to its point.
    fn trimmed_length(&self, behind_us: i64, frame: usize) -> usize {
        if behind_us.abs() <= DEADBAND_US {
            return frame;
        }
        let silent = self.fifo.peak(frame) < SILENCE_PEAK;
        let most = frame / if silent { TRIM_SILENCE } else { TRIM_SPEECH };
        let off = (behind_us.unsigned_abs() as usize * self.config.sample_rate.hz() as usize / 1_000_000).min(most);
        if behind_us > 0 { frame + off } else { frame - off }
    }

    /// Decodes and conceals until the fifo holds `samples`.
    fn fill(&mut self, stream: &mut Stream, samples: usize, now_us: i64) -> PulledKind {
        let mut kind = PulledKind::Voice;
        while self.fifo.len() < samples {
            let missing = samples - self.fifo.len();
            match self.next_packet(stream) {
                Some(head) if head.timestamp <= stream.decoded_to => self.decode(stream, head),
                Some(head) => {
                    let gap = self.ticks_to_samples(head.timestamp - stream.decoded_to);
                    if head.sequence == stream.done_sequence + 1 {
                        // No packet is missing: the sender paused.
                        self.pause(stream, gap.min(missing));
                        kind = worse(kind, PulledKind::Silence);
                    } else {
                        kind = worse(kind, self.bridge_loss(stream, head, gap, missing));
                    }
                }
                None => kind = worse(kind, self.run_dry(stream, missing, now_us)),
            }
        }
        kind
    }

    /// The earliest waiting packet that is not over yet; older ones are given up.
    fn next_packet(&mut self, stream: &mut Stream) -> Option<SlotHead> {
        let mut sequence = stream.done_sequence + 1;
        while sequence <= stream.highest_sequence {
            if let Some(head) = self.slots.head(sequence) {
                if head.timestamp >= stream.decoded_to
                    || sequence == stream.done_sequence + 1 && head.timestamp + stream.packet_ticks > stream.decoded_to
                {
                    return Some(head);
                }
                self.slots.remove(sequence);
                self.counters.late += 1;
                stream.done_sequence = sequence;
            }
            sequence += 1;
        }
        None
    }

    fn decode(&mut self, stream: &mut Stream, head: SlotHead) {
        self.settle(stream, head);
        let decoded = self.decoder.decode(self.slots.payload(head), &mut self.scratch);
        self.slots.remove(head.sequence);
        stream.done_sequence = head.sequence;
        let samples = match decoded {
            Ok(samples) if samples > 0 => samples,
            // Unusable or empty: the time of one packet is concealed.
            _ => {
                let samples = self.ticks_to_samples(stream.packet_ticks).min(self.scratch.len());
                self.decoder.conceal(&mut self.scratch[..samples]);
                samples
            }
        };
        // What lies before the playout point was concealed already.
        let ticks = self.samples_to_ticks(samples);
        let over = self.ticks_to_samples(stream.decoded_to.saturating_sub(head.timestamp)).min(samples);
        self.fifo.push(&self.scratch[over..samples]);
        stream.packet_ticks = ticks.max(1);
        stream.decoded_to = stream.decoded_to.max(head.timestamp + ticks);
        if over >= samples {
            stream.decoded_to = stream.decoded_to.max(head.timestamp + ticks);
        }
    }

    /// Fills a gap before `head` that lost packets left.
    fn bridge_loss(&mut self, stream: &mut Stream, head: SlotHead, gap: usize, missing: usize) -> PulledKind {
        self.settle(stream, head);
        let packet = self.ticks_to_samples(stream.packet_ticks).max(1);
        let last_before = gap <= packet;
        let length = gap.min(packet).min(self.scratch.len());
        let recovered = last_before
            && length == packet
            && self.decoder.recover(self.slots.payload(head), &mut self.scratch[..length]);
        let length = if recovered {
            self.counters.recovered_packets += 1;
            length
        } else {
            let length = length.min(missing.max(1));
            self.decoder.conceal(&mut self.scratch[..length]);
            length
        };
        self.fifo.push(&self.scratch[..length]);
        stream.decoded_to += self.samples_to_ticks(length).max(1);
        if recovered { PulledKind::Voice } else { PulledKind::Concealed }
    }

    /// Nothing waits: conceal for a while, then be silent. Which of loss and pause it was, the next packet tells.
    fn run_dry(&mut self, stream: &mut Stream, missing: usize, now_us: i64) -> PulledKind {
        if stream.dry_us == 0 {
            stream.dry_us = now_us.max(1);
        }
        let length = missing.min(self.scratch.len());
        let fading = now_us - stream.dry_us < CONCEAL_US;
        if fading {
            self.decoder.conceal(&mut self.scratch[..length]);
            stream.dry_frames += 1;
        } else {
            self.scratch[..length].fill(0);
        }
        self.fifo.push(&self.scratch[..length]);
        stream.decoded_to += self.samples_to_ticks(length).max(1);
        if fading { PulledKind::Concealed } else { PulledKind::Silence }
    }

    fn pause(&mut self, stream: &mut Stream, samples: usize) {
        let length = samples.max(1).min(self.scratch.len());
        self.scratch[..length].fill(0);
        self.fifo.push(&self.scratch[..length]);
        stream.decoded_to += self.samples_to_ticks(length).max(1);
    }

    /// The next packet after a dry spell: in sequence and on time it ended a pause, which is not loss.
    fn settle(&mut self, stream: &mut Stream, head: SlotHead) {
        if stream.dry_us != 0 {
            if head.sequence == stream.done_sequence + 1 && head.timestamp >= stream.decoded_to {
                self.counters.concealed_frames = self.counters.concealed_frames.saturating_sub(stream.dry_frames);
            }
            stream.dry_us = 0;
            stream.dry_frames = 0;
        }
    }

    /// RTP time that should play at `now`.
    fn due_position(&self, now_us: i64) -> i64 {
        let Some(delay) = &self.delay else { return 0 };
        self.us_to_ticks(now_us - delay.baseline_us() - delay.target_us())
    }

    fn captured_at(&self, position: i64, epoch: Instant) -> Option<Instant> {
        let delay = self.delay.as_ref()?;
        let us = delay.smooth_us() + self.ticks_to_us(position);
        let span = Duration::from_micros(us.unsigned_abs());
        if us >= 0 { epoch.checked_add(span) } else { epoch.checked_sub(span) }
    }

    fn media_us(&self, ticks: u64) -> i64 {
        self.ticks_to_us(ticks as i64)
    }

    fn ticks_to_us(&self, ticks: i64) -> i64 {
        (i128::from(ticks) * 1_000_000 / i128::from(self.config.clock.0)) as i64
    }

    fn us_to_ticks(&self, us: i64) -> i64 {
        (i128::from(us) * i128::from(self.config.clock.0) / 1_000_000) as i64
    }

    fn ticks_to_samples(&self, ticks: u64) -> usize {
        (ticks * u64::from(self.config.sample_rate.hz()) / u64::from(self.config.clock.0)) as usize
    }

    fn samples_to_ticks(&self, samples: usize) -> u64 {
        samples as u64 * u64::from(self.config.clock.0) / u64::from(self.config.sample_rate.hz())
    }
}

/// A marker starts a talkspurt: the pause before it may be long, and is no discontinuity.
fn marker_pause(marker: bool) -> bool {
    marker
}

fn worse(a: PulledKind, b: PulledKind) -> PulledKind {
    match (a, b) {
        (PulledKind::Concealed, _) | (_, PulledKind::Concealed) => PulledKind::Concealed,
        (PulledKind::Silence, _) | (_, PulledKind::Silence) => PulledKind::Silence,
        _ => PulledKind::Voice,
    }
}

fn micros_since(epoch: Instant, at: Instant) -> i64 {
    match at.checked_duration_since(epoch) {
        Some(span) => i64::try_from(span.as_micros()).unwrap_or(i64::MAX / 4),
        None => -i64::try_from(epoch.duration_since(at).as_micros()).unwrap_or(i64::MAX / 4),
    }
}

fn extend16(highest: u64, low: u16) -> u64 {
    let step = low.wrapping_sub(highest as u16) as i16;
    highest.wrapping_add_signed(i64::from(step))
}

fn extend32(highest: u64, low: u32) -> u64 {
    let step = low.wrapping_sub(highest as u32) as i32;
    highest.wrapping_add_signed(i64::from(step))
}

/// Decoded samples that wait for the next tick.
#[derive(Debug)]
struct Fifo {
    samples: Box<[i16]>,
    start: usize,
    len: usize,
}

impl Fifo {
    fn new(capacity: usize) -> Fifo {
        Fifo { samples: vec![0; capacity].into_boxed_slice(), start: 0, len: 0 }
    }

    fn len(&self) -> usize {
        self.len
    }

    fn clear(&mut self) {
        self.len = 0;
    }

    fn at(&self, index: usize) -> i16 {
        self.samples[(self.start + index) % self.samples.len()]
    }

    fn push(&mut self, new: &[i16]) {
        for &sample in new {
            if self.len == self.samples.len() {
                self.start = (self.start + 1) % self.samples.len();
                self.len -= 1;
            }
            let end = (self.start + self.len) % self.samples.len();
            self.samples[end] = sample;
            self.len += 1;
        }
    }

    fn peak(&self, count: usize) -> u16 {
        (0..count.min(self.len)).map(|index| self.at(index).unsigned_abs()).max().unwrap_or(0)
    }

    fn pop(&mut self, out: &mut [i16]) {
        for (index, sample) in out.iter_mut().enumerate() {
            *sample = if index < self.len { self.at(index) } else { 0 };
        }
        self.drop_front(out.len());
    }

    /// `count` samples spread over `out` by linear interpolation.
    fn pop_stretched(&mut self, count: usize, out: &mut [i16]) {
        let frame = out.len();
        for (index, sample) in out.iter_mut().enumerate() {
            let scaled = index * count;
            let (whole, part) = (scaled / frame, (scaled % frame) as i32);
            let a = i32::from(if whole < self.len { self.at(whole) } else { 0 });
            let b = i32::from(if whole + 1 < self.len { self.at(whole + 1) } else { a as i16 });
            *sample = (a + (b - a) * part / frame as i32) as i16;
        }
        self.drop_front(count);
    }

    fn drop_front(&mut self, count: usize) {
        let count = count.min(self.len);
        self.start = (self.start + count) % self.samples.len();
        self.len -= count;
    }
}
