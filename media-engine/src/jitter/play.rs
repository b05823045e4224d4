//! Output side: one frame per tick, and control of the playout point.
//!
//! The playout point is controlled by one number, the *slack* of the last packet that a frame needs: how long ago that
//! packet could have arrived. If slack is below the bound of the delay estimate, a stretch is played twice, and the
//! delay grows. If slack exceeds the bound by a whole hop, or samples were decoded before they are needed, a stretch is
//! left out. A hop is the greatest common divisor of packet and frame length: by less than that the delay cannot shrink
//! while every packet that a frame needs is still present in time.
//!
//! [`Playout::pull`] starts a stretch of sound (`start`), decodes or conceals until a frame is complete (`fill`) and then
//! moves the playout point if necessary (`correct`); between stretches of sound `rest` writes noise or zeros.
//!
//! Not here: insertion (`admit`), the delay estimate (`delay`), search and mixing of splices (`codecs::splice`).

use std::time::{Duration, Instant};

use codecs::splice;

use super::fifo::fade_to_zero;
use super::playout::{Course, LONGEST_MS, Noise, Playout, Pulled, PulledKind, State, Stream};
use super::slots::{Content, SLOTS, SlotHead};

/// A payload no longer than this for at least `DTX_LEAST_US` of sound indicates that the sender pauses (RFC 7587 section
/// 3.1.3).
const DTX_MAX_PAYLOAD: usize = 2;
const DTX_LEAST_US: i64 = 2_500;
/// Longest concealment; a longer gap is a pause.
const CONCEAL_MS: u32 = 100;
/// Packets later than this are dropped, even if they are stored.
const BACKLOG_US: i64 = 500_000;
/// Shortfall below the bound that is still in time, because the bound has a margin: a tick may be moved instead of a splice.
const TIGHT_US: i64 = 500;
/// Room beyond one hop that is used at once.
const ROOM_AT_ONCE_US: i64 = 20_000;
/// Time after which less room is used as well.
const ROOM_PATIENCE_US: i64 = 2_500_000;
/// Range of stretches that are left out or repeated: 2.5 to 12.5 ms, the periods of voices from 80 to 400 Hz.
const SPLICE_LEAST_US: i64 = 2_500;
const SPLICE_MOST_US: i64 = 12_500;
/// Likeness that two places need in order to be joined, and its decrease with each frame of waiting.
const LIKENESS: f32 = 0.85;
const LIKENESS_PER_FRAME: f32 = 0.04;
/// Distance from the bound beyond which likeness no longer matters.
const URGENT_US: i64 = 100_000;

impl Playout {
    /// Writes the next frame; `out` is filled completely. To be called once per tick; never allocates.
    pub fn pull(&mut self, now: Instant, out: &mut [i16]) -> Pulled {
        let longest = self.config.sample_rate.samples_in_ms(LONGEST_MS);
        let (frame, beyond) = out.split_at_mut(out.len().min(longest));
        beyond.fill(0);
        let now_us = self.micros(now);
        (self.room_us, self.needed_nothing) = (None, false);
        let Some(mut stream) = self.stream else {
            frame.fill(0);
            return Pulled { kind: PulledKind::Silence, captured_at: None };
        };
        let kind = if stream.state == State::Playing || self.start(&mut stream, now_us, frame.len()) {
            self.play(&mut stream, now_us, frame)
        } else {
            self.rest(&stream, frame);
            PulledKind::Silence
        };
        self.stream = Some(stream);
        let captured_at = self.captured_ago_us.and_then(|ago| {
            let span = Duration::from_micros(ago.unsigned_abs());
            if ago >= 0 { now.checked_sub(span) } else { now.checked_add(span) }
        });
        Pulled { kind, captured_at }
    }

    fn play(&mut self, stream: &mut Stream, now_us: i64, frame: &mut [i16]) -> PulledKind {
        let Filled { kind, needed } = self.fill(stream, frame.len());
        self.needed_nothing = kind == PulledKind::Voice && needed.is_none();
        let first = stream.decoded_to + stream.owed as i64 - self.fifo.len() as i64;
        let played_us = now_us - self.media_us(first);
        self.played_us = Some(played_us);
        self.captured_ago_us = Some(played_us - self.delay.baseline_us());
        let current_us = played_us - self.delay.least_us();
        self.counters.current_delay = Duration::from_micros(u64::try_from(current_us).unwrap_or(0));
        let spliced = match (kind, needed) {
            (PulledKind::Voice, Some(needed)) => self.correct(stream, now_us - self.media_us(needed), now_us, frame),
            _ => false,
        };
        if !spliced {
            let there = frame.len().min(self.fifo.len());
            frame[..there].copy_from_slice(&self.fifo.samples()[..there]);
            frame[there..].fill(0);
            self.fifo.drop_front(there);
        }
        self.sounding = true;
        if stream.state != State::Playing {
            self.fifo.clear();
        }
        kind
    }

    /// Begins a stretch of sound once its first packet is due, so that playout starts at the desired delay.
    fn start(&mut self, stream: &mut Stream, now_us: i64, frame: usize) -> bool {
        // If packets are no multiple of frames, the last packet of the least favourable frame must be due.
        let others = frame - gcd(stream.packet, frame).min(frame);
        let bound_us = self.delay.bound_us() + self.media_us(others as i64);
        while let Some(head) = self.next_packet(stream) {
            let slack_us = now_us - self.media_us(head.position);
            if slack_us < bound_us {
                return false;
            }
            if head.content == Content::Noise {
                self.begin_pause(stream, head);
                continue;
            }
            if slack_us <= bound_us + BACKLOG_US || head.sequence == stream.highest_sequence {
                if stream.owed > 0 {
                    self.settle(stream, head);
                }
                stream.done = head.sequence - 1;
                stream.decoded_to = stream.decoded_to.max(head.position);
                stream.owed = 0;
                stream.roomy_since_us = None;
                stream.course = Course::Steady;
                stream.state = State::Playing;
                return true;
            }
            self.give_up(stream, head);
        }
        false
    }

    /// Decodes and conceals until the fifo holds `frame` samples.
    fn fill(&mut self, stream: &mut Stream, frame: usize) -> Filled {
        let mut filled = Filled { kind: PulledKind::Voice, needed: None };
        while self.fifo.len() < frame {
            let missing = frame - self.fifo.len();
            let Some(head) = self.next_packet(stream) else {
                filled.kind = self.run_dry(stream, missing, frame);
                break;
            };
            if stream.owed > 0 {
                self.settle(stream, head);
            }
            let gap = head.position - stream.decoded_to;
            let lost = lost_before(stream, head);
            if gap <= 0 && head.content == Content::Noise {
                self.begin_pause(stream, head);
            } else if gap <= 0 {
                filled.needed = Some(head.position);
                if !self.decode(stream, head) {
                    filled.kind = PulledKind::Concealed;
                }
            } else if gap > lost + stream.packet.max(frame) as i64 {
                // More time than the missing packets held: a pause. It may be played shorter or longer.
                self.conceal(missing);
                if stream.noise.is_none() {
                    self.fifo.fade_end(missing);
                }
                stream.decoded_to += missing as i64;
                stream.state = State::Waiting;
                if missing == frame {
                    filled.kind = PulledKind::Silence;
                }
            } else if !self.bridge(stream, head, gap as usize, missing) && lost > 0 {
                filled.kind = PulledKind::Concealed;
            }
        }
        filled
    }

    /// Returns the first waiting packet that has not been fully played; drops those whose time has passed.
    pub(super) fn next_packet(&mut self, stream: &mut Stream) -> Option<SlotHead> {
        for sequence in (stream.done + 1..=stream.highest_sequence).take(SLOTS as usize) {
            let Some(head) = self.slots.head(sequence) else { continue };
            let over = head.position + stream.packet as i64 <= stream.decoded_to;
            if !over || head.content == Content::Noise {
                return Some(head);
            }
            self.give_up(stream, head);
        }
        None
    }

    /// Handles a comfort noise packet: the sender pauses and describes its background noise.
    fn begin_pause(&mut self, stream: &mut Stream, head: SlotHead) {
        if self.noise.update(self.slots.payload(head)).is_err() {
            self.counters.malformed += 1;
        }
        stream.noise = Some(Noise::Described);
        self.slots.remove(head.sequence);
        stream.done = head.sequence;
    }

    fn give_up(&mut self, stream: &mut Stream, head: SlotHead) {
        self.slots.remove(head.sequence);
        stream.done = head.sequence;
        self.counters.late += 1;
    }

    /// Decodes a packet. `false`: decoding failed, and the time of one packet was concealed.
    pub(super) fn decode(&mut self, stream: &mut Stream, head: SlotHead) -> bool {
        let over = usize::try_from(stream.decoded_to - head.position).unwrap_or(0);
        if over > 0 {
            // The beginning was concealed already: the rest is faded in from continued concealment.
            self.decoder.conceal(&mut self.under);
            self.counters.late += u64::from(stream.bridged);
        }
        stream.bridged = false;
        let payload = self.slots.payload(head);
        let bytes = payload.len();
        let decoded = self.decoder.decode(payload, &mut self.scratch);
        self.slots.remove(head.sequence);
        stream.done = head.sequence;
        let good = decoded.is_ok();
        let samples = match decoded {
            Ok(samples) => samples.min(self.scratch.len()),
            Err(_) => {
                self.counters.malformed += 1;
                let samples = stream.packet.min(self.scratch.len());
                self.decoder.conceal(&mut self.scratch[..samples]);
                self.concealed_samples += samples as u64;
                samples
            }
        };
        // Opus signals a pause by a nearly empty payload; the decoder then generates noise itself.
        let pauses = good && bytes <= DTX_MAX_PAYLOAD && samples >= self.samples_in_us(DTX_LEAST_US);
        stream.noise = pauses.then_some(Noise::Decoder);
        let fresh = &mut self.scratch[over.min(samples)..samples];
        if over > 0 {
            splice::fade(&self.under, self.config.sample_rate, fresh);
        }
        let goes_on = std::mem::take(&mut self.goes_on);
        if std::mem::take(&mut self.noising) {
            self.noise.generate(&mut self.under);
            splice::fade(&self.under, self.config.sample_rate, fresh);
        } else if !self.sounding && !goes_on {
            fade_in(fresh, self.under.len());
        }
        self.sounding = true;
        self.fifo.push(fresh);
        if samples > 0 {
            stream.packet = samples;
            stream.decoded_to = stream.decoded_to.max(head.position + samples as i64);
        }
        good
    }

    /// Fills at most `missing` samples of a gap before `head`. `true`: recovered from FEC data in `head`.
    fn bridge(&mut self, stream: &mut Stream, head: SlotHead, gap: usize, missing: usize) -> bool {
        let packet = stream.packet;
        if gap <= packet && head.content == Content::Voice && lost_before(stream, head) > 0 {
            // The beginning may have been concealed already: the rest is faded in from continued concealment.
            if gap < packet {
                self.decoder.conceal(&mut self.under);
            }
            let lost = &mut self.scratch[..packet];
            if self.decoder.recover(self.slots.payload(head), lost) {
                let fresh = &mut lost[packet - gap..];
                if gap < packet {
                    splice::fade(&self.under, self.config.sample_rate, fresh);
                }
                self.counters.recovered_packets += 1;
                self.fifo.push(fresh);
                stream.decoded_to += gap as i64;
                return true;
            }
        }
        // The time of one packet right before `head` is left for the next round, where it may be recovered.
        let length = if gap > packet { (gap - packet).min(missing) } else { gap.min(missing) };
        self.conceal(length);
        stream.decoded_to += length as i64;
        if lost_before(stream, head) > 0 {
            self.concealed_samples += length as u64;
            stream.bridged = true;
        }
        false
    }

    /// Fills a frame when no packet waits. If a pause was announced, it begins; else conceals, and stops after a while. The
    /// next packet shows whether the cause was loss, delay or a pause.
    fn run_dry(&mut self, stream: &mut Stream, missing: usize, frame: usize) -> PulledKind {
        if stream.noise.is_some() {
            let mut noise = std::mem::take(&mut self.scratch);
            let samples = missing.min(noise.len());
            self.rest(stream, &mut noise[..samples]);
            self.fifo.push(&noise[..samples]);
            self.scratch = noise;
            stream.state = State::Waiting;
            return if missing == frame { PulledKind::Silence } else { PulledKind::Voice };
        }
        self.conceal(missing);
        self.concealed_samples += missing as u64;
        stream.owed += missing;
        if stream.owed >= self.config.sample_rate.samples_in_ms(CONCEAL_MS) {
            stream.state = State::Waiting;
        }
        PulledKind::Concealed
    }

    fn conceal(&mut self, samples: usize) {
        let samples = samples.min(self.scratch.len());
        self.decoder.conceal(&mut self.scratch[..samples]);
        self.fifo.push(&self.scratch[..samples]);
    }

    /// Determines from the first packet after a dry spell what was concealed: lost packets, a pause (which is no loss), or
    /// packets that arrive after their time. The latter are still played, and the delay is larger for a while.
    ///
    /// The first copy of a lost packet is handled in the same way: from then on packets are played later so that copies
    /// arrive in time.
    fn settle(&mut self, stream: &mut Stream, head: SlotHead) {
        let owed = stream.owed as i64;
        let gap = (head.position - stream.decoded_to).max(0);
        let lost = gap.min(lost_before(stream, head)).min(owed);
        let paused = (gap - gap.min(lost_before(stream, head))).min(owed - lost);
        let late = owed - lost - paused;
        self.concealed_samples = self.concealed_samples.saturating_sub(paused as u64);
        self.counters.late += (late as u64).div_ceil(stream.packet.max(1) as u64);
        let packet = stream.packet as i64;
        let plays_copy = lost >= packet && head.sequence == stream.copies_begin;
        stream.decoded_to += lost + paused - if plays_copy { packet } else { 0 };
        stream.owed = 0;
    }

    /// Moves the playout point if necessary. `slack_us` is the transit at which the last packet of this frame was needed.
    /// `true`: `frame` has been filled.
    fn correct(&mut self, stream: &mut Stream, slack_us: i64, now_us: i64, frame: &mut [i16]) -> bool {
        let rate = i64::from(self.config.sample_rate.hz());
        let hop = gcd(stream.packet, frame.len()).max(1);
        let hop_us = hop as i64 * 1_000_000 / rate;
        // Samples that were decoded before they are needed.
        let early = (self.fifo.len() - frame.len().min(self.fifo.len())) % hop;
        let room_us = slack_us - self.delay.bound_us();
        if room_us < -TIGHT_US {
            stream.course = Course::Back;
        }
        if stream.course == Course::Back {
            stream.roomy_since_us = None;
            if room_us >= -TIGHT_US && early == 0 {
                stream.course = Course::Steady;
                self.room_us = Some(room_us);
                return false;
            }
            return self.fall_back(stream, hop - early, -room_us > URGENT_US, frame);
        }
        let lasting = stream.roomy(room_us >= hop_us || early > 0, now_us);
        let usable_us = if lasting { room_us } else { room_us - ROOM_AT_ONCE_US };
        let hops = (usable_us / hop_us).max(0) as usize;
        if lasting || hops > 0 {
            stream.course = Course::Forth;
        }
        let excess = early + hops * hop;
        if stream.course == Course::Steady || excess < self.splice_range().0 {
            stream.course = Course::Steady;
            stream.impatience = 0;
            self.room_us = Some(room_us);
            return false;
        }
        self.catch_up(stream, excess, room_us > URGENT_US, frame)
    }

    /// Plays a stretch twice. A hop once begun is completed, else noise around the bound would cause endless splices.
    fn fall_back(&mut self, stream: &mut Stream, wanted: usize, urgent: bool, frame: &mut [i16]) -> bool {
        let (least, most) = self.splice_range();
        let most = most.min(wanted.max(least)).min(frame.len().saturating_sub(self.under.len()));
        let Some(lag) = self.join(stream, least, most, urgent) else { return false };
        if lag >= wanted {
            stream.course = Course::Steady;
        }
        splice::lengthen(self.fifo.samples(), self.config.sample_rate, lag, frame);
        self.fifo.drop_front(frame.len() - lag);
        self.stamp_by_what_follows_the_splice(lag as i64);
        true
    }

    /// Leaves a stretch out, if the samples after it are present.
    fn catch_up(&mut self, stream: &mut Stream, excess: usize, urgent: bool, frame: &mut [i16]) -> bool {
        let (least, most) = self.splice_range();
        let most = most.min(excess);
        while self.fifo.len() < frame.len() + most {
            match self.next_packet(stream) {
                Some(head) if head.position == stream.decoded_to && head.content == Content::Voice => {
                    self.decode(stream, head)
                }
                _ => break,
            };
        }
        let most = most.min(self.fifo.len().saturating_sub(frame.len()));
        let Some(lag) = self.join(stream, least, most, urgent) else { return false };
        splice::shorten(self.fifo.samples(), self.config.sample_rate, lag, frame);
        self.fifo.drop_front(frame.len() + lag);
        self.stamp_by_what_follows_the_splice(-(lag as i64));
        true
    }

    /// Corrects the capture time by `later` samples, because most of a spliced frame lies after the splice.
    fn stamp_by_what_follows_the_splice(&mut self, later: i64) {
        let later_us = self.media_us(later);
        self.captured_ago_us = self.captured_ago_us.map(|ago_us| ago_us + later_us);
    }

    /// Finds a good place to splice; accepts a worse one the longer it waits.
    fn join(&mut self, stream: &mut Stream, least: usize, most: usize, urgent: bool) -> Option<usize> {
        let found = splice::best(self.fifo.samples(), self.config.sample_rate, least, most)?;
        let enough = LIKENESS - LIKENESS_PER_FRAME * stream.impatience as f32;
        if found.likeness < enough && !urgent {
            stream.impatience = stream.impatience.saturating_add(1);
            return None;
        }
        stream.impatience = 0;
        self.counters.drift_corrections += 1;
        Some(found.lag)
    }

    fn splice_range(&self) -> (usize, usize) {
        (self.samples_in_us(SPLICE_LEAST_US), self.samples_in_us(SPLICE_MOST_US))
    }

    /// Fills a frame between stretches of sound: noise if the sender announced a pause; else one frame that fades out after
    /// the last audible one, then zeros.
    fn rest(&mut self, stream: &Stream, frame: &mut [i16]) {
        if stream.noise == Some(Noise::Decoder) {
            self.decoder.conceal(frame);
            self.sounding = true;
        } else if stream.noise == Some(Noise::Described) {
            self.noise.generate(frame);
            if std::mem::take(&mut self.sounding) {
                self.decoder.conceal(&mut self.under);
                splice::fade(&self.under, self.config.sample_rate, frame);
            }
            self.noising = true;
        } else if self.sounding {
            self.decoder.conceal(frame);
            fade_to_zero(frame);
            self.sounding = false;
        } else {
            frame.fill(0);
        }
    }
}

impl Stream {
    /// Returns whether there has been room for long enough.
    fn roomy(&mut self, now_roomy: bool, now_us: i64) -> bool {
        if !now_roomy {
            self.roomy_since_us = None;
            return false;
        }
        now_us - *self.roomy_since_us.get_or_insert(now_us) >= ROOM_PATIENCE_US
    }
}

struct Filled {
    kind: PulledKind,
    /// Position of the last packet that the frame needed.
    needed: Option<i64>,
}

/// Returns the samples in the packets missing before `head`, estimated from the last packet. Numbers of packets that are
/// not audio are not missing.
fn lost_before(stream: &Stream, head: SlotHead) -> i64 {
    let missing = (head.sequence - stream.done - 1).max(0);
    let from = (stream.highest_sequence - head.sequence + 1).clamp(0, 128) as u32;
    let mask = 1u128.checked_shl(missing.min(128) as u32).map_or(u128::MAX, |bit| bit - 1);
    let other = stream.other.checked_shr(from).unwrap_or(0) & mask;
    (missing - i64::from(other.count_ones())) * stream.packet as i64
}

fn fade_in(samples: &mut [i16], length: usize) {
    for (index, sample) in samples.iter_mut().take(length).enumerate() {
        *sample = (i32::from(*sample) * index as i32 / length as i32) as i16;
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
