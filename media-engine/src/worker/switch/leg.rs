//! A leg as the switch sees it: transport, what it says, what it hears.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use codecs::cng::NoiseEncoder;
use codecs::g711::{ALAW_TO_ULAW, ULAW_TO_ALAW};
use codecs::opus::OpusSettings;
use codecs::resample::Resampler;
use codecs::tones::{Cadence, Sine};
use codecs::{CodecError, Encoder};

use super::align::{Align, Step};
use super::keys::Keys;
use super::mix::{Seam, Seat};
use super::report::Reporting;
use super::{Slot, TICK};
use crate::audio::tap::{FrameKind, TapWriter};
use crate::audio::{Ducker, Ears};
use crate::config::App;
use crate::jitter::{Next, Playout, PlayoutConfig, PlayoutCounters, PulledKind};
use crate::leg::flow::is_silent;
use crate::leg::rtp::RtpLeg;
use crate::leg::webrtc::{PeerOutput, WebRtcPeer};
use crate::leg::{make_decoder, make_encoder};
use crate::rtp::telephone_event::EventReceiver;
use crate::rtp::{ReceiveStats, RelayMap, RtpHeader, RtpPacket};
use crate::sdp::{Audio, Codec, ComfortNoiseFormat, TelephoneEventFormat};
use crate::units::{ClockRate, LegId, Ptime, SampleRate};
use crate::worker::command::{LegQuality, WorkerEventKind};
use crate::worker::outbox::Outbox;
use crate::worker::play::{PlayNotice, PlayQueue};

/// After the last sample of queued voice the path stays as it is until the original is up again (release of the ducker).
const PLAY_TAIL: Duration = Duration::from_millis(500);
/// Longest payload that is played out: 60 ms of Opus at its highest rate in one packet of the usual MTU.
const MAX_PAYLOAD: usize = 1_460;
/// Where delays are evenly spread, neighbours differ by a third of the spread on average; of a bell it covers all but the tail.
const SPREAD_OF_JITTER: u32 = 3;

/// Coefficients by which the background of a pause is described.
const NOISE_ORDER: usize = 8;

/// How media comes and goes.
pub(super) enum Transport {
    Rtp(Box<RtpLeg>),
    WebRtc(Box<WebRtcPeer>),
}

/// What was negotiated, for either transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) codec: Codec,
    pub(super) payload_type: u8,
    pub(super) receive_payload_type: u8,
    pub(super) event: Option<TelephoneEventFormat>,
    pub(super) noise: Option<ComfortNoiseFormat>,
    /// The far end would rather not be sent silence.
    pub(super) dtx: bool,
    pub(super) ptime: Ptime,
    /// We may send.
    pub(super) sends: bool,
    /// The far end may send.
    pub(super) receives: bool,
}

impl Format {
    /// Whether the codec can be fed and read at several rates.
    pub(super) fn has_free_rate(&self) -> bool {
        self.codec == Codec::Opus
    }

    /// The codec's own rate.
    pub(super) fn codec_rate(&self) -> SampleRate {
        self.codec.sample_rate()
    }

    pub(super) fn clock(&self) -> ClockRate {
        self.codec.clock()
    }

    /// RTP clock ticks of 20 ms.
    pub(super) fn tick(&self) -> u32 {
        self.clock().0 / 50
    }

    /// Longest payload that can wait for its time, and bytes for all that wait.
    fn waiting_bytes(&self) -> (usize, usize) {
        match self.codec {
            // 64 kbit/s: packets of 120 ms, 1.28 s in all.
            Codec::Pcmu | Codec::Pcma | Codec::G722 => (960, 10_240),
            // 640 ms of whole packets.
            Codec::L16 { rate } => (MAX_PAYLOAD, rate.samples_in_ms(640) * 2),
            // 3 s at 64 kbit/s, 400 ms at the highest rate there is.
            Codec::Opus => (MAX_PAYLOAD, 25_600),
        }
    }

    /// RTP clock ticks of a payload.
    pub(super) fn ticks_of(&self, payload: &[u8]) -> Option<u32> {
        match self.codec {
            Codec::Pcmu | Codec::Pcma | Codec::G722 => u32::try_from(payload.len()).ok(),
            Codec::L16 { .. } => u32::try_from(payload.len() / 2).ok(),
            Codec::Opus => opus_ticks(payload),
        }
    }
}

/// What a leg hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// Packets of this leg, with mapped headers.
    Relay(Slot),
    /// Frames made at its ticks.
    Generate(Source),
}

impl Path {
    /// Whether the frames of a leg at `slot` are made in the tick of the leg that it hears.
    pub(super) fn is_driven_by_another(self, slot: Slot) -> bool {
        matches!(self, Path::Generate(Source::Leg(from)) if from != slot)
    }
}

/// What generated frames begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Leg(Slot),
    /// The others of its conference.
    Mix,
    /// Those whom it overhears.
    Overheard,
    Tone,
    /// Somebody else is being called.
    Ringback,
    /// Somebody will be back.
    Hold,
    Silence,
}

/// 20 ms of what a leg said.
pub(super) struct Frame {
    /// Empty: nobody needs samples of this leg.
    pub(super) samples: Box<[i16]>,
    pub(super) rate: SampleRate,
    pub(super) kind: FrameKind,
}

/// A tap on what a leg says.
pub(super) struct Tap {
    pub(super) id: u64,
    /// `None` in a replay: nobody reads it.
    pub(super) writer: Option<TapWriter>,
}

impl Tap {
    /// Whether nobody reads it any more.
    pub(super) fn is_deserted(&self) -> bool {
        self.writer.as_ref().is_some_and(TapWriter::is_reader_gone)
    }
}

/// Decoding of what a leg says, while somebody needs samples of it.
pub(super) struct Receive {
    playout: Playout,
    rate: SampleRate,
    codec: Codec,
}

impl Receive {
    /// What was counted since it was made.
    pub(super) fn counters(&self) -> PlayoutCounters {
        self.playout.counters()
    }

    /// What the buffer adds now.
    pub(super) fn delay(&self) -> Duration {
        self.playout.counters().current_delay
    }
}

/// Encoding of what a leg hears.
pub(super) struct Send {
    encoder: Box<dyn Encoder>,
    codec: Codec,
    resampler: Option<Resampler>,
    tone: Option<Sine>,
    /// What it hears while it waits.
    waiting: Option<(Source, Cadence)>,
    /// Samples that do not fill a packet yet. Room for a packet and a frame.
    pub(super) pending: Vec<i16>,
    /// What the background of a pause sounds like, and how many frames it has lasted.
    pub(super) noise: NoiseEncoder,
    pub(super) quiet: u32,
}

/// A leg's way from relayed packets to frames: until playout has come to where the relay ended, nothing is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Stream and time stamp behind the last relayed packet.
    pub(super) ssrc: u32,
    pub(super) timestamp: u32,
    /// The source seems to have paused: frames are sent, come what may.
    pub(super) until: Instant,
}

/// A leg's way from frames back to relayed packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exit {
    /// Whose packets are relayed after the next frame.
    pub(super) from: Slot,
}

/// One leg.
pub(super) struct Leg {
    pub(super) id: LegId,
    pub(super) slot: Slot,
    pub(super) phase: usize,
    pub(super) align: Align,
    /// The leg has moved to a later phase, whose next tick would come too soon.
    pub(super) skips_tick: bool,
    pub(super) transport: Transport,
    pub(super) format: Option<Format>,
    pub(super) connected: bool,
    /// Why a browser leg has ended; it is removed as soon as nobody works on it.
    pub(super) over: Option<String>,
    /// Outputs of a browser leg that came while another leg was worked on.
    pub(super) deferred: VecDeque<PeerOutput>,
    /// When a browser leg's timers are due.
    pub(super) timer_at: Instant,
    // what it says
    pub(super) frame: Frame,
    pub(super) receive: Option<Receive>,
    pub(super) events_in: EventReceiver,
    pub(super) muted: bool,
    pub(super) taps: Vec<Tap>,
    /// Legs that overhear it.
    pub(super) overheard: Vec<TapWriter>,
    /// Reception of a browser leg; a plain leg keeps its own.
    pub(super) received: ReceiveStats,
    pub(super) heard: bool,
    pub(super) heard_at: Instant,
    pub(super) reporting: Reporting,
    // what it hears
    pub(super) peer: Option<Slot>,
    pub(super) seat: Option<Seat>,
    /// Whom it overhears.
    pub(super) ears: Option<Ears>,
    pub(super) app: Option<App>,
    pub(super) path: Path,
    pub(super) entry: Option<Entry>,
    pub(super) exit: Option<Exit>,
    pub(super) send: Option<Send>,
    /// Numbering of the one stream that is sent to the leg, whatever feeds it.
    pub(super) outgoing: RelayMap,
    /// The latest packet to the leg was generated: the next one is no new talkspurt.
    pub(super) talking: bool,
    /// The next generated packet follows the latest relayed one without a pause, though time has passed.
    pub(super) seamless: bool,
    pub(super) keys: Keys,
    pub(super) play: PlayQueue,
    pub(super) ducker: Ducker,
    pub(super) seam: Seam,
    pub(super) played_at: Option<Instant>,
    /// What the latest frame began with, and when it was made.
    pub(super) served: Option<(Source, Instant)>,
    pub(super) packets_sent: u64,
    pub(super) late_before: u64,
    pub(super) concealed_before: u64,
}

impl Leg {
    pub(super) fn new(id: LegId, slot: Slot, phase: usize, transport: Transport, random: u64, now: Instant) -> Leg {
        let ssrc = match &transport {
            Transport::Rtp(rtp) => rtp.ssrc(),
            // str0m writes its own.
            Transport::WebRtc(_) => 0,
        };
        // In the lower half, so that a lost first packet does not hide a roll-over (RFC 3711 section 3.3.1).
        let (sequence, timestamp) = ((random & 0x7fff) as u16, (random >> 32) as u32);
        Leg {
            id,
            slot,
            phase,
            align: Align::new(),
            skips_tick: false,
            transport,
            format: None,
            connected: false,
            over: None,
            deferred: VecDeque::new(),
            timer_at: now,
            frame: Frame { samples: Box::default(), rate: SampleRate::HZ_8000, kind: FrameKind::Silence },
            receive: None,
            events_in: EventReceiver::new(ClockRate::HZ_8000),
            muted: false,
            taps: Vec::new(),
            overheard: Vec::new(),
            received: ReceiveStats::new(ClockRate::HZ_48000),
            heard: false,
            heard_at: now,
            reporting: Reporting::new(now),
            peer: None,
            seat: None,
            ears: None,
            app: None,
            path: Path::Generate(Source::Silence),
            entry: None,
            exit: None,
            send: None,
            outgoing: RelayMap::new(ssrc, sequence, timestamp, ClockRate::HZ_8000, TICK),
            talking: false,
            seamless: false,
            keys: Keys::new(),
            play: PlayQueue::new(),
            ducker: Ducker::new(),
            seam: Seam::new(),
            played_at: None,
            served: None,
            packets_sent: 0,
            late_before: 0,
            concealed_before: 0,
        }
    }

    // ---- negotiation ----

    /// Offer and answer of a plain RTP leg. `true`: the leg is connected by it.
    pub(super) fn on_audio(&mut self, audio: Audio, now: Instant) -> bool {
        let Transport::Rtp(rtp) = &mut self.transport else { return false };
        let format = Format {
            codec: audio.codec,
            payload_type: audio.payload_type,
            receive_payload_type: audio.receive_payload_type,
            event: audio.telephone_event,
            noise: audio.comfort_noise,
            dtx: audio.dtx,
            ptime: audio.ptime,
            sends: audio.direction.sends() && !audio.remote_rtp.ip().is_unspecified() && audio.remote_rtp.port() != 0,
            receives: audio.direction.receives(),
        };
        rtp.update(audio, now);
        self.heard_at = now;
        self.on_format(format);
        !std::mem::replace(&mut self.connected, true)
    }

    /// What a browser leg negotiated, if it did.
    pub(super) fn on_webrtc_audio(&mut self, now: Instant) {
        let Transport::WebRtc(peer) = &self.transport else { return };
        let Some(audio) = peer.audio() else { return };
        let format = Format {
            codec: audio.codec,
            payload_type: audio.payload_type,
            receive_payload_type: audio.payload_type,
            event: audio.telephone_event,
            noise: None,
            dtx: false,
            ptime: Ptime::MS_20,
            sends: audio.direction.sends(),
            receives: audio.direction.receives(),
        };
        self.heard_at = now;
        self.on_format(format);
    }

    fn on_format(&mut self, format: Format) {
        let before = self.format.replace(format);
        if before.is_some_and(|before| before.codec != format.codec) {
            self.drop_samples();
            self.send = None;
        }
        if before.is_none_or(|before| before.clock() != format.clock()) {
            self.received = ReceiveStats::new(format.clock());
            // The same stream at another clock: the next numbers, and from here on the new pace.
            self.outgoing.set_clock(format.clock(), TICK);
        }
        let clock = format.event.map_or(format.clock(), |event| event.clock);
        if before.is_none_or(|before| before.event != format.event) {
            self.events_in = EventReceiver::new(clock);
        }
    }

    // ---- what it says ----

    /// Sees to it that what the leg says comes as samples at `rate`. `goes_on`: its listener has heard packets of it just now.
    pub(super) fn want_samples(&mut self, rate: SampleRate, goes_on: bool) -> Result<(), CodecError> {
        let Some(format) = self.format else { return Ok(()) };
        if self.receive.as_ref().is_some_and(|receive| receive.rate == rate && receive.codec == format.codec) {
            return Ok(());
        }
        self.count_playout();
        let (max_payload, room) = format.waiting_bytes();
        let config = PlayoutConfig { clock: format.clock(), sample_rate: rate, frame: TICK, max_payload, room };
        let mut playout = Playout::new(config, make_decoder(format.codec, rate)?);
        if goes_on {
            playout.goes_on(self.jitter() * SPREAD_OF_JITTER);
        }
        self.receive = Some(Receive { playout, rate, codec: format.codec });
        self.frame = Frame { samples: vec![0; rate.samples_in_ms(20)].into(), rate, kind: FrameKind::Silence };
        Ok(())
    }

    /// Inter-arrival jitter of what the leg says (RFC 3550 section 6.4.1).
    fn jitter(&self) -> Duration {
        match &self.transport {
            Transport::Rtp(rtp) => rtp.quality().jitter,
            Transport::WebRtc(_) => self.received.jitter(),
        }
    }

    /// Nobody needs samples any more.
    pub(super) fn drop_samples(&mut self) {
        self.count_playout();
        self.receive = None;
        self.frame.samples = Box::default();
    }

    /// Takes one audio packet into the playout buffer, if there is one.
    pub(super) fn insert(&mut self, packet: &RtpPacket<'_>, now: Instant) {
        if let Some(receive) = &mut self.receive {
            let RtpHeader { sequence, timestamp, ssrc, marker, .. } = packet.header();
            receive.playout.insert(sequence, timestamp, ssrc, marker, packet.payload(), now);
        }
    }

    /// Takes a comfort noise packet into the playout buffer, if there is one.
    pub(super) fn insert_noise(&mut self, packet: &RtpPacket<'_>, now: Instant) {
        if let Some(receive) = &mut self.receive {
            let RtpHeader { sequence, timestamp, ssrc, .. } = packet.header();
            receive.playout.insert_noise(sequence, timestamp, ssrc, packet.payload(), now);
        }
    }

    /// The tick's frame out of the playout buffer, copied to the taps.
    pub(super) fn pull(&mut self, now: Instant) {
        let Some(receive) = &mut self.receive else { return };
        let Frame { samples, kind, rate } = &mut self.frame;
        let pulled = receive.playout.pull(now, samples);
        *kind = match pulled.kind {
            PulledKind::Voice => FrameKind::Voice,
            PulledKind::Concealed => FrameKind::Concealed,
            PulledKind::Silence => FrameKind::Silence,
        };
        let flow = &mut self.reporting.flow;
        if *kind == FrameKind::Voice && flow.wants_look(now) && !is_silent(samples) {
            flow.on_sound(now);
        }
        if self.muted {
            samples.fill(0);
            *kind = FrameKind::Silence;
        }
        let read = self.taps.iter_mut().filter_map(|tap| tap.writer.as_mut());
        for tap in read.chain(&mut self.overheard) {
            tap.push(now, pulled.captured_at, *kind, *rate, samples);
        }
    }

    /// A number of the stream was no audio.
    pub(super) fn skip(&mut self, packet: &RtpPacket<'_>) {
        if let Some(receive) = &mut self.receive {
            receive.playout.skip(packet.sequence(), packet.ssrc());
        }
    }

    /// Where playout stands; see [`Playout::played_to`].
    pub(super) fn played_to(&self) -> Option<(u32, u32)> {
        self.receive.as_ref()?.playout.played_to()
    }

    /// See [`Playout::decode_ahead`].
    pub(super) fn decode_ahead(&mut self) -> Option<Next> {
        self.receive.as_mut()?.playout.decode_ahead()
    }

    /// See [`Playout::ahead`].
    pub(super) fn ahead(&self) -> &[i16] {
        self.receive.as_ref().map_or(&[], |receive| receive.playout.ahead())
    }

    /// See [`Playout::waiting`].
    pub(super) fn waiting(&self) -> impl Iterator<Item = (Next, &[u8])> {
        self.receive.iter().flat_map(|receive| receive.playout.waiting())
    }

    /// When the sound beside a key of the leg's is played; `None`: it is not, or not known.
    pub(super) fn plays_at(&self, format: &Format, timestamp: u32, now: Instant) -> Option<Instant> {
        let playout = &self.receive.as_ref()?.playout;
        if format.event.is_some_and(|event| event.clock == format.clock()) {
            playout.plays_at(timestamp, now)
        } else {
            // Timestamps of another clock say nothing: as long as a packet of audio waits.
            Some(now + playout.counters().current_delay)
        }
    }

    /// Where the tick should go, after the frame that was pulled.
    pub(super) fn aligned(&mut self) -> Step {
        match &self.receive {
            // Long packets: this frame was decoded with the one before.
            Some(receive) if receive.playout.needed_nothing() => Step::Stay,
            Some(receive) => self.align.on_tick(receive.playout.room_us()),
            None => Step::Stay,
        }
    }

    /// See [`Playout::first_wait`]; `None` also while no samples are wanted.
    pub(super) fn first_wait(&self) -> Option<Duration> {
        self.receive.as_ref()?.playout.first_wait()
    }

    fn count_playout(&mut self) {
        if let Some(receive) = &self.receive {
            let counters = receive.playout.counters();
            self.late_before += counters.late;
            self.concealed_before += counters.concealed_frames;
        }
    }

    // ---- what it hears ----

    /// Whether a packet may be sent to the leg now.
    pub(super) fn can_send(&self) -> bool {
        self.connected && self.format.is_some_and(|format| format.sends)
    }

    /// Whether the leg has nothing to hear but its source.
    pub(super) fn may_be_relayed_to(&self, now: Instant) -> bool {
        let played = self.played_at.is_some_and(|at| now.saturating_duration_since(at) < PLAY_TAIL);
        self.can_send() && self.play.is_idle() && !played && !self.keys.are_there()
    }

    /// Sees to it that samples at `rate` can be encoded.
    pub(super) fn want_encoder(&mut self, rate: SampleRate, opus: OpusSettings) -> Result<(), CodecError> {
        let Some(format) = self.format else { return Ok(()) };
        let room = (format.ptime.samples(rate) + rate.samples_in_ms(20)).max(rate.samples_in_ms(40));
        let fits = |send: &Send| send.rate() == rate && send.codec == format.codec && send.pending.capacity() >= room;
        if !self.send.as_ref().is_some_and(fits) {
            self.send = Some(Send::with_encoder(make_encoder(format.codec, rate, opus)?, format.codec, room));
        }
        Ok(())
    }

    /// Whether nothing is decoded of it, encoded for it, or timed by its tick.
    pub(super) fn rests(&self) -> bool {
        let relayed = matches!(self.path, Path::Relay(_)) && matches!(self.transport, Transport::Rtp(_));
        relayed && self.receive.is_none() && self.exit.is_none() && !self.keys.are_there()
    }

    /// How hard its encoder works, if it has a choice.
    pub(super) fn set_effort(&mut self, effort: u8) {
        if let Some(send) = &mut self.send {
            send.encoder.set_complexity(effort);
        }
    }

    /// Nothing is generated for the leg any more.
    pub(super) fn drop_encoder(&mut self) {
        self.send = None;
    }

    /// Sound is generated, no pause.
    pub(super) fn break_silence(&mut self) {
        if let Some(send) = self.send.as_mut().filter(|send| send.quiet > 0) {
            send.quiet = 0;
            send.noise.reset();
        }
    }

    /// The run of generated audio ends here: what fills no packet is not sent.
    pub(super) fn break_off(&mut self) {
        self.talking = false;
        self.entry = None;
        self.seamless = false;
        let clock = self.format.map_or(ClockRate::HZ_8000, |format| format.clock());
        if let Some(send) = &mut self.send {
            let span_ticks = send.pending.len() as u64 * u64::from(clock.0) / u64::from(send.rate().hz());
            send.pending.clear();
            self.outgoing.skip(span_ticks as u32);
        }
    }

    /// Queues a key. `false`: the leg has no telephone-event, the character is no key, or too many wait.
    pub(super) fn press(&mut self, digit: char, duration_ms: u32) -> bool {
        self.format.is_some_and(|format| format.event.is_some()) && self.keys.press(digit, duration_ms)
    }

    // ---- its end ----

    /// The leg ends: says so to the far end.
    pub(super) fn goodbye(&mut self, outbox: &mut Outbox, now: Instant) -> LegQuality {
        let (slot, id) = (self.slot, self.id);
        self.play.stop(&mut |notice| outbox.event(slot, id, play_event(notice, now)));
        match &mut self.transport {
            Transport::Rtp(rtp) => outbox.transmit_report(slot, |out| rtp.write_bye(now, out)),
            Transport::WebRtc(peer) => peer.close(),
        }
        self.last_quality(now)
    }
}

impl Send {
    /// Sends what `encoder` makes, a `codec`; `room` samples may wait for their packet.
    pub(super) fn with_encoder(encoder: Box<dyn Encoder>, codec: Codec, room: usize) -> Send {
        let noise = NoiseEncoder::new(NOISE_ORDER);
        let pending = Vec::with_capacity(room);
        Send { encoder, codec, resampler: None, tone: None, waiting: None, pending, noise, quiet: 0 }
    }

    /// Rate of the frames that it takes.
    pub(super) fn rate(&self) -> SampleRate {
        self.encoder.sample_rate()
    }

    /// Brings a leg's frame to this rate; nothing there is silence.
    pub(super) fn fit(&mut self, frame: &Frame, pcm: &mut [i16]) {
        let rate = self.rate();
        let samples = &frame.samples[..];
        if samples.is_empty() {
            pcm.fill(0);
        } else if frame.rate == rate {
            pcm.copy_from_slice(samples);
        } else {
            if self.resampler.as_ref().is_none_or(|r| r.from_rate() != frame.rate || r.to_rate() != rate) {
                self.resampler = Some(Resampler::new(frame.rate, rate));
            }
            if let Some(resampler) = &mut self.resampler {
                let written = resampler.process(samples, pcm);
                pcm[written..].fill(0);
            }
        }
    }

    /// 1 kHz at −16 dBFS.
    pub(super) fn tone(&mut self, pcm: &mut [i16]) {
        let rate = self.rate();
        self.tone.get_or_insert_with(|| Sine::new(rate, 1_000.0, -16.0)).fill(pcm);
    }

    /// Ring-back, or the sound of being on hold, from its beginning when the leg heard something else before.
    pub(super) fn waiting(&mut self, source: Source, pcm: &mut [i16]) {
        let rate = self.rate();
        if self.waiting.as_ref().is_none_or(|(before, _)| *before != source) {
            let cadence = match source {
                Source::Ringback => Cadence::new(rate, 425.0, -20.0, 1_000, 5_000),
                _ => Cadence::new(rate, 350.0, -30.0, 500, 2_500),
            };
            self.waiting = Some((source, cadence));
        }
        if let Some((_, cadence)) = &mut self.waiting {
            cadence.fill(pcm);
        }
    }

    /// What share of packets is lost, percent.
    pub(super) fn expect_loss(&mut self, percent: u8) {
        self.encoder.expect_loss(percent);
    }

    /// Encodes one frame into `out`.
    pub(super) fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Result<usize, CodecError> {
        self.encoder.encode(pcm, out)
    }
}

/// The table by which payloads of `from` become such of `to`, where two codecs differ by no more than that.
pub(super) fn table_between(from: Codec, to: Codec) -> Option<&'static [u8; 256]> {
    match (from, to) {
        (Codec::Pcmu, Codec::Pcma) => Some(&ULAW_TO_ALAW),
        (Codec::Pcma, Codec::Pcmu) => Some(&ALAW_TO_ULAW),
        _ => None,
    }
}

/// RTP clock ticks of an Opus packet: its frames times their length (RFC 6716 section 3.1).
fn opus_ticks(payload: &[u8]) -> Option<u32> {
    let &head = payload.first()?;
    let frame = match head >> 3 {
        config @ 0..12 => [480, 960, 1_920, 2_880][usize::from(config & 3)],
        config @ 12..16 => [480, 960][usize::from(config & 1)],
        config => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let frames = match head & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(payload.get(1)? & 0x3f),
    };
    Some(frame * frames).filter(|ticks| (1..=5_760).contains(ticks))
}

/// What the leg's owner is told of a play queue's notice.
pub(super) fn play_event(notice: PlayNotice, now: Instant) -> WorkerEventKind {
    match notice {
        PlayNotice::Started(segment) => WorkerEventKind::PlayStarted { segment, at: now },
        PlayNotice::Done(segment) => WorkerEventKind::PlayDone { segment },
    }
}
