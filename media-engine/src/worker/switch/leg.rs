//! A leg as the switch sees it: transport, what it says, what it hears.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use codecs::resample::Resampler;
use codecs::tones::Sine;
use codecs::{CodecError, Encoder};

use super::{Slot, TICK};
use crate::audio::Ducker;
use crate::audio::tap::{FrameKind, TapWriter};
use crate::config::App;
use crate::jitter::{Playout, PlayoutConfig, PulledKind};
use crate::leg::rtp::RtpLeg;
use crate::leg::webrtc::{PeerOutput, WebRtcPeer};
use crate::leg::{make_decoder, make_encoder};
use crate::rtp::telephone_event::{EventReceiver, EventSender, event_of};
use crate::rtp::{ReceiveStats, RelayMap, RtpHeader, RtpPacket};
use crate::sdp::{Audio, Codec, TelephoneEventFormat};
use crate::units::{ClockRate, LegId, Ptime, SampleRate};
use crate::worker::command::{LegQuality, WorkerEventKind};
use crate::worker::outbox::Outbox;
use crate::worker::play::{PlayNotice, PlayQueue};

/// After the last sample of queued voice the path stays as it is until the original is up again (release of the ducker).
const PLAY_TAIL: Duration = Duration::from_millis(500);
/// A leg that should send and does not for so long is told.
const MEDIA_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a leg's numbers are told.
const REPORT_PERIOD: Duration = Duration::from_secs(5);
/// Longest payload that is played out: 60 ms of Opus at its highest rate in one packet of the usual MTU.
const MAX_PAYLOAD: usize = 1_460;
/// Keys that may wait.
const MAX_KEYS: usize = 32;
/// Silence between two keys, in ticks: 60 ms.
const KEY_PAUSE: u32 = 3;

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

    /// Bytes of one packet, where the codec has as many for every sample.
    pub(super) fn packet_bytes(&self) -> Option<usize> {
        match self.codec {
            Codec::Pcmu | Codec::Pcma => Some(self.ptime.samples(SampleRate::HZ_8000)),
            Codec::L16 { rate } => Some(self.ptime.samples(rate) * 2),
            Codec::Opus => None,
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

/// What generated frames begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Leg(Slot),
    Tone,
    Silence,
}

/// 20 ms of what a leg said.
pub(super) struct Frame {
    pub(super) samples: [i16; 960],
    /// 0: nobody needs samples of this leg.
    pub(super) length: usize,
    pub(super) rate: SampleRate,
}

/// Decoding of what a leg says, while somebody needs samples of it.
pub(super) struct Receive {
    playout: Playout,
    rate: SampleRate,
    codec: Codec,
}

/// Encoding of what a leg hears.
pub(super) struct Send {
    encoder: Box<dyn Encoder>,
    codec: Codec,
    resampler: Option<Resampler>,
    tone: Option<Sine>,
    /// Encoded samples that do not fill a packet yet (ptime other than 20 ms).
    pub(super) pending: Vec<u8>,
}

/// Keys to press towards the leg.
pub(super) struct Keys {
    waiting: VecDeque<(char, u32)>,
    pub(super) sender: Option<EventSender>,
    pause: u32,
    /// RTP clock ticks since the key that is being sent began.
    pub(super) ticks: u32,
    /// Keys were pressed and their end was not noticed yet.
    pressed: bool,
}

/// One leg.
pub(super) struct Leg {
    pub(super) id: LegId,
    pub(super) slot: Slot,
    pub(super) phase: usize,
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
    pub(super) taps: Vec<TapWriter>,
    /// Reception of a browser leg; a plain leg keeps its own.
    pub(super) received: ReceiveStats,
    pub(super) heard: bool,
    pub(super) heard_at: Instant,
    timeout_told: bool,
    // what it hears
    pub(super) peer: Option<Slot>,
    pub(super) app: Option<App>,
    pub(super) path: Path,
    pub(super) send: Option<Send>,
    /// Numbering of the one stream that is sent to the leg, whatever feeds it.
    pub(super) outgoing: RelayMap,
    /// The latest packet to the leg was generated: the next one is no new talkspurt.
    pub(super) talking: bool,
    pub(super) keys: Keys,
    pub(super) play: PlayQueue,
    pub(super) ducker: Ducker,
    pub(super) played_at: Option<Instant>,
    report_at: Instant,
    pub(super) packets_sent: u64,
    late_before: u64,
    concealed_before: u64,
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
            transport,
            format: None,
            connected: false,
            over: None,
            deferred: VecDeque::new(),
            timer_at: now,
            frame: Frame { samples: [0; 960], length: 0, rate: SampleRate::HZ_8000 },
            receive: None,
            events_in: EventReceiver::new(ClockRate::HZ_8000),
            muted: false,
            taps: Vec::new(),
            received: ReceiveStats::new(ClockRate::HZ_48000),
            heard: false,
            heard_at: now,
            timeout_told: false,
            peer: None,
            app: None,
            path: Path::Generate(Source::Silence),
            send: None,
            outgoing: RelayMap::new(ssrc, sequence, timestamp, ClockRate::HZ_8000, TICK),
            talking: false,
            keys: Keys { waiting: VecDeque::with_capacity(MAX_KEYS), sender: None, pause: 0, ticks: 0, pressed: false },
            play: PlayQueue::new(),
            ducker: Ducker::new(),
            played_at: None,
            report_at: now + REPORT_PERIOD,
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
            ptime: audio.ptime,
            sends: audio.direction.sends() && !audio.remote_rtp.ip().is_unspecified() && audio.remote_rtp.port() != 0,
            receives: audio.direction.receives(),
        };
        rtp.update(audio);
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
            let next = self.outgoing.generate(0, false, 0);
            self.outgoing = RelayMap::new(next.ssrc, next.sequence, next.timestamp, format.clock(), TICK);
        }
        let clock = format.event.map_or(format.clock(), |event| event.clock);
        if before.is_none_or(|before| before.event != format.event) {
            self.events_in = EventReceiver::new(clock);
        }
    }

    // ---- what it says ----

    /// Sees to it that what the leg says comes as samples at `rate`.
    pub(super) fn want_samples(&mut self, rate: SampleRate) -> Result<(), CodecError> {
        let Some(format) = self.format else { return Ok(()) };
        if self.receive.as_ref().is_some_and(|receive| receive.rate == rate && receive.codec == format.codec) {
            return Ok(());
        }
        self.count_playout();
        let config = PlayoutConfig { clock: format.clock(), sample_rate: rate, frame: TICK, max_payload: MAX_PAYLOAD };
        let playout = Playout::new(config, make_decoder(format.codec, rate)?);
        self.receive = Some(Receive { playout, rate, codec: format.codec });
        Ok(())
    }

    /// Nobody needs samples any more.
    pub(super) fn drop_samples(&mut self) {
        self.count_playout();
        self.receive = None;
    }

    /// Takes one audio packet into the playout buffer, if there is one.
    pub(super) fn insert(&mut self, packet: &RtpPacket<'_>, now: Instant) {
        if let Some(receive) = &mut self.receive {
            let RtpHeader { sequence, timestamp, ssrc, marker, .. } = packet.header();
            receive.playout.insert(sequence, timestamp, ssrc, marker, packet.payload(), now);
        }
    }

    /// The tick's frame out of the playout buffer, copied to the taps.
    pub(super) fn pull(&mut self, now: Instant) {
        let Some(receive) = &mut self.receive else {
            self.frame.length = 0;
            return;
        };
        let length = receive.rate.samples_in_ms(20);
        let samples = &mut self.frame.samples[..length];
        let pulled = receive.playout.pull(now, samples);
        let mut kind = match pulled.kind {
            PulledKind::Voice => FrameKind::Voice,
            PulledKind::Concealed => FrameKind::Concealed,
            PulledKind::Silence => FrameKind::Silence,
        };
        if self.muted {
            samples.fill(0);
            kind = FrameKind::Silence;
        }
        (self.frame.length, self.frame.rate) = (length, receive.rate);
        for tap in &mut self.taps {
            tap.push(now, pulled.captured_at, kind, receive.rate, samples);
        }
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
        self.can_send() && self.play.is_idle() && !played && !self.keys.is_busy()
    }

    /// Sees to it that samples at `rate` can be encoded.
    pub(super) fn want_encoder(&mut self, rate: SampleRate) -> Result<(), CodecError> {
        let Some(format) = self.format else { return Ok(()) };
        if self.send.as_ref().is_some_and(|send| send.rate() == rate && send.codec == format.codec) {
            return Ok(());
        }
        self.send = Some(Send::with_encoder(make_encoder(format.codec, rate)?, format.codec));
        Ok(())
    }

    /// Queues a key. `false`: the leg has no telephone-event, the character is no key, or too many wait.
    pub(super) fn press(&mut self, digit: char, duration_ms: u32) -> bool {
        let known = event_of(digit).is_some() && self.format.and_then(|format| format.event).is_some();
        if !known || self.keys.waiting.len() == MAX_KEYS {
            return false;
        }
        self.keys.waiting.push_back((digit, duration_ms.clamp(40, 6_000)));
        self.keys.pressed = true;
        true
    }

    // ---- upkeep ----

    /// Tells what is due: reports, silence for too long.
    pub(super) fn report(&mut self, outbox: &mut Outbox, now: Instant) {
        if self.connected && now >= self.report_at {
            self.report_at = now + REPORT_PERIOD;
            outbox.event(self.slot, self.id, WorkerEventKind::Quality(self.quality()));
        }
        let expects = self.connected && self.format.is_some_and(|format| format.receives);
        if !expects {
            self.heard_at = now;
        } else if !self.timeout_told && now.saturating_duration_since(self.heard_at) >= MEDIA_TIMEOUT {
            self.timeout_told = true;
            outbox.event(self.slot, self.id, WorkerEventKind::MediaTimeout);
        }
    }

    /// A valid packet came.
    pub(super) fn on_heard(&mut self, outbox: &mut Outbox, now: Instant) {
        (self.heard_at, self.timeout_told) = (now, false);
        if !std::mem::replace(&mut self.heard, true) {
            outbox.event(self.slot, self.id, WorkerEventKind::FirstPacket);
        }
    }

    /// Numbers since the leg began.
    pub(super) fn quality(&self) -> LegQuality {
        let mut quality = match &self.transport {
            Transport::Rtp(rtp) => {
                let told = rtp.quality();
                LegQuality {
                    packets_received: told.packets_received,
                    packets_lost: told.packets_lost,
                    jitter_ms: told.jitter.as_secs_f32() * 1e3,
                    round_trip_ms: told.round_trip.map(|span| span.as_secs_f32() * 1e3),
                    ..LegQuality::default()
                }
            }
            Transport::WebRtc(peer) => {
                let told = peer.quality();
                LegQuality {
                    packets_received: told.packets_received,
                    packets_lost: self.received.peek().cumulative_lost.max(0) as u64,
                    jitter_ms: self.received.jitter().as_secs_f32() * 1e3,
                    round_trip_ms: told.round_trip.map(|span| span.as_secs_f32() * 1e3),
                    ..LegQuality::default()
                }
            }
        };
        quality.packets_sent = self.packets_sent;
        quality.packets_late = self.late_before;
        quality.frames_concealed = self.concealed_before;
        if let Some(receive) = &self.receive {
            let counters = receive.playout.counters();
            quality.packets_late += counters.late;
            quality.frames_concealed += counters.concealed_frames;
        }
        quality
    }

    /// The leg ends: says so to the far end.
    pub(super) fn goodbye(&mut self, outbox: &mut Outbox, now: Instant) -> LegQuality {
        let (slot, id) = (self.slot, self.id);
        self.play.stop(&mut |notice| outbox.event(slot, id, play_event(notice, now)));
        match &mut self.transport {
            Transport::Rtp(rtp) => outbox.transmit_report(slot, |out| rtp.write_bye(now, out)),
            Transport::WebRtc(peer) => peer.close(),
        }
        self.quality()
    }
}

/// Encoded samples that may wait for their packet: 200 ms of L16 at 48 kHz.
const PENDING: usize = 19_200;

impl Send {
    /// Sends what `encoder` makes, a `codec`.
    pub(super) fn with_encoder(encoder: Box<dyn Encoder>, codec: Codec) -> Send {
        Send { encoder, codec, resampler: None, tone: None, pending: Vec::with_capacity(PENDING) }
    }

    /// Rate of the frames that it takes.
    pub(super) fn rate(&self) -> SampleRate {
        self.encoder.sample_rate()
    }

    /// Brings a leg's frame to this rate; nothing there is silence.
    pub(super) fn fit(&mut self, frame: &Frame, pcm: &mut [i16]) {
        let rate = self.rate();
        let samples = &frame.samples[..frame.length];
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

    /// Encodes one frame into `out`.
    pub(super) fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Result<usize, CodecError> {
        self.encoder.encode(pcm, out)
    }
}

impl Keys {
    /// Whether keys are being sent or wait: audio pauses meanwhile.
    pub(super) fn is_busy(&self) -> bool {
        self.sender.is_some() || !self.waiting.is_empty() || self.pause > 0
    }

    /// Brings the next key up, unless one is being sent or the pause after it lasts. `true`: there is a key to go on with.
    pub(super) fn advance(&mut self, clock: ClockRate) -> bool {
        if self.sender.is_some() {
            return true;
        }
        if self.pause > 0 {
            self.pause -= 1;
            return false;
        }
        let Some((digit, duration_ms)) = self.waiting.pop_front() else { return false };
        self.sender = EventSender::new(digit, Duration::from_millis(u64::from(duration_ms)), TICK, clock);
        self.sender.is_some()
    }

    /// There is no way to send keys any more.
    pub(super) fn forget(&mut self) {
        self.waiting.clear();
        (self.sender, self.pause) = (None, 0);
    }

    /// `true` once after the last key: audio may take its former path again.
    pub(super) fn ended(&mut self) -> bool {
        !self.is_busy() && std::mem::take(&mut self.pressed)
    }

    /// The key's last packet is out, or the key cannot be sent: the ticks that it took.
    pub(super) fn released(&mut self, paused: bool) -> u32 {
        if self.sender.take().is_some() && paused {
            self.pause = KEY_PAUSE;
        }
        std::mem::take(&mut self.ticks)
    }
}

/// What the leg's owner is told of a play queue's notice.
pub(super) fn play_event(notice: PlayNotice, now: Instant) -> WorkerEventKind {
    match notice {
        PlayNotice::Started(segment) => WorkerEventKind::PlayStarted { segment, at: now },
        PlayNotice::Done(segment) => WorkerEventKind::PlayDone { segment },
    }
}
