//! The listening side of a leg: the path of its sound, and the single stream that it is sent.

use std::time::{Duration, Instant};

use codecs::cng::NoiseEncoder;
use codecs::opus::OpusSettings;
use codecs::resample::Resampler;
use codecs::tones::{Cadence, Sine};
use codecs::{CodecError, Encoder};

use super::{Entry, Format, Frame, Tap};
use crate::audio::tap::FrameKind;
use crate::audio::{Ducker, Ears};
use crate::config::App;
use crate::leg::make_encoder;
use crate::rtp::RelayMap;
use crate::sdp::Codec;
use crate::units::{ClockRate, SampleRate};
use crate::worker::command::WorkerEventKind;
use crate::worker::music::Music;
use crate::worker::play::{PlayNotice, PlayQueue};
use crate::worker::switch::keys::Keys;
use crate::worker::switch::mix::Seam;
use crate::worker::switch::{Slot, TICK};

/// After queued voice, the path is kept until the original is back at full level (release of the ducker).
const PLAY_TAIL: Duration = Duration::from_millis(500);
/// Number of coefficients that describe the background of a pause.
const NOISE_ORDER: usize = 8;

/// State of the listening side. See the module head.
pub(crate) struct Hearing {
    /// Ears on the legs that it overhears.
    pub(crate) ears: Option<Ears>,
    pub(crate) app: Option<App>,
    pub(crate) path: Path,
    pub(crate) entry: Option<Entry>,
    pub(crate) exit: Option<Exit>,
    pub(crate) send: Option<Send>,
    /// Numbering of the single stream that is sent to the leg, whatever feeds it.
    pub(crate) outgoing: RelayMap,
    /// The last packet to the leg was generated, so the next one does not begin a talkspurt.
    pub(crate) talking: bool,
    /// The next generated packet follows the last relayed one without a pause, though time has passed.
    pub(crate) seamless: bool,
    pub(crate) keys: Keys,
    pub(crate) play: PlayQueue,
    /// Music on hold instead of the soft tone.
    pub(crate) music: Option<Music>,
    pub(crate) ducker: Ducker,
    /// Whether the leg that it is bridged with is not heard.
    pub(crate) silenced: bool,
    pub(crate) seam: Seam,
    pub(crate) played_at: Option<Instant>,
    /// Source and time of the last frame.
    pub(crate) served: Option<(Source, Instant)>,
    pub(crate) packets_sent: u64,
    /// Taps on what the leg is sent.
    pub(crate) taps: Vec<Tap>,
}

/// Path by which sound reaches a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// Packets of the leg in this slot, with mapped headers.
    Relay(Slot),
    /// Frames generated at its ticks.
    Generate(Source),
}

impl Path {
    /// Whether the frames of a leg at `slot` are generated in the tick of the leg that it hears.
    pub(crate) fn is_driven_by_another(self, slot: Slot) -> bool {
        matches!(self, Path::Generate(Source::Leg(from)) if from != slot)
    }
}

/// Source of generated frames, before queued voice is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Leg(Slot),
    /// The other members of its conference.
    Mix,
    /// The legs that it overhears.
    Overheard,
    Tone,
    /// Ring-back tone while another party is called.
    Ringback,
    /// Soft tone while the leg is on hold.
    Hold,
    /// Music while the leg is on hold.
    Music,
    Silence,
}

/// Encoding of the sound that a leg hears.
pub(crate) struct Send {
    encoder: Box<dyn Encoder>,
    codec: Codec,
    resampler: Option<Resampler>,
    tone: Option<Sine>,
    /// Tone played while the leg waits.
    waiting: Option<(Source, Cadence)>,
    /// Samples that do not fill a packet yet, with room for a packet and a frame.
    pub(crate) pending: Vec<i16>,
    /// Background of a pause, and the number of frames that the pause has lasted.
    pub(crate) noise: NoiseEncoder,
    pub(crate) quiet: u32,
}

/// Change of a leg from frames back to relayed packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    /// Leg whose packets are relayed after the next frame.
    pub(crate) from: Slot,
}

impl Hearing {
    /// Creates the state. The stream has the source `ssrc` and begins at random numbers.
    pub(super) fn new(ssrc: u32, random: u64) -> Hearing {
        // In the lower half, so that a lost first packet does not hide a roll-over (RFC 3711 section 3.3.1).
        let (sequence, timestamp) = ((random & 0x7fff) as u16, (random >> 32) as u32);
        Hearing {
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
            music: None,
            ducker: Ducker::new(),
            silenced: false,
            seam: Seam::new(),
            played_at: None,
            served: None,
            packets_sent: 0,
            taps: Vec::new(),
        }
    }

    /// Copies a frame that the leg is sent to the taps.
    pub(crate) fn copy_to_taps(&mut self, samples: &[i16], rate: SampleRate, kind: FrameKind, now: Instant) {
        for tap in self.taps.iter_mut().filter_map(|tap| tap.writer.as_mut()) {
            tap.push(now, Some(now), kind, rate, samples);
        }
    }

    /// Whether the leg hears nothing but its source.
    pub(super) fn is_plain(&self, now: Instant) -> bool {
        let played = self.played_at.is_some_and(|at| now.saturating_duration_since(at) < PLAY_TAIL);
        self.play.is_idle() && !self.silenced && !played && !self.keys.are_pending()
    }

    /// Ensures that samples at `rate` can be encoded.
    ///
    /// # Errors
    /// The encoder cannot be created; the leg must end.
    pub(crate) fn want_encoder(
        &mut self,
        format: &Format,
        rate: SampleRate,
        opus: OpusSettings,
    ) -> Result<(), CodecError> {
        let room = (format.ptime.samples(rate) + rate.samples_in_ms(20)).max(rate.samples_in_ms(40));
        let fits = |send: &Send| send.rate() == rate && send.codec == format.codec && send.pending.capacity() >= room;
        if !self.send.as_ref().is_some_and(fits) {
            self.send = Some(Send::with_encoder(make_encoder(format.codec, rate, opus)?, format.codec, room));
        }
        Ok(())
    }

    /// Sets the effort of its encoder, if the encoder offers a choice.
    pub(crate) fn set_effort(&mut self, effort: u8) {
        if let Some(send) = &mut self.send {
            send.encoder.set_complexity(effort);
        }
    }

    /// Drops the encoder, because nothing is generated for the leg any more.
    pub(crate) fn drop_encoder(&mut self) {
        self.send = None;
    }

    /// Ends a pause, because sound is generated again.
    pub(crate) fn break_silence(&mut self) {
        if let Some(send) = self.send.as_mut().filter(|send| send.quiet > 0) {
            send.quiet = 0;
            send.noise.reset();
        }
    }

    /// Ends a run of generated audio; samples that do not fill a packet are dropped.
    pub(super) fn break_off(&mut self, clock: ClockRate) {
        self.talking = false;
        self.entry = None;
        self.seamless = false;
        if let Some(send) = &mut self.send {
            let span_ticks = send.pending.len() as u64 * u64::from(clock.0) / u64::from(send.rate().hz());
            send.pending.clear();
            self.outgoing.skip(span_ticks as u32);
        }
    }
}

impl Send {
    /// Creates the encoding with `encoder` for `codec`; up to `room` samples may wait for their packet.
    pub(crate) fn with_encoder(encoder: Box<dyn Encoder>, codec: Codec, room: usize) -> Send {
        let noise = NoiseEncoder::new(NOISE_ORDER);
        let pending = Vec::with_capacity(room);
        Send { encoder, codec, resampler: None, tone: None, waiting: None, pending, noise, quiet: 0 }
    }

    /// Returns the rate of the frames that it takes.
    pub(crate) fn rate(&self) -> SampleRate {
        self.encoder.sample_rate()
    }

    /// Converts a leg's frame to this rate; an empty frame becomes silence.
    pub(crate) fn fit(&mut self, frame: &Frame, pcm: &mut [i16]) {
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

    /// Fills the frame with a tone of 1 kHz at −16 dBFS.
    pub(crate) fn tone(&mut self, pcm: &mut [i16]) {
        let rate = self.rate();
        self.tone.get_or_insert_with(|| Sine::new(rate, 1_000.0, -16.0)).fill(pcm);
    }

    /// Fills the frame with ring-back or the hold tone, from the beginning if the leg heard another source before.
    pub(crate) fn waiting(&mut self, source: Source, pcm: &mut [i16]) {
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

    /// Sets the expected packet loss in percent.
    pub(crate) fn expect_loss(&mut self, percent: u8) {
        self.encoder.expect_loss(percent);
    }

    /// Encodes one frame into `out` and returns the length.
    ///
    /// # Errors
    /// The codec refuses the frame or `out` is too short; the frame is lost.
    pub(crate) fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Result<usize, CodecError> {
        self.encoder.encode(pcm, out)
    }
}

/// Returns the event for the leg's owner that corresponds to a notice of a play queue.
pub(crate) fn play_event(notice: PlayNotice, now: Instant) -> WorkerEventKind {
    match notice {
        PlayNotice::Started(segment) => WorkerEventKind::PlayStarted { segment, at: now },
        PlayNotice::Done(segment) => WorkerEventKind::PlayDone { segment },
    }
}
