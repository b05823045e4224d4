//! What a leg says: packets into its playout, a frame a tick out of it, copied to the taps.

use std::time::{Duration, Instant};

use codecs::CodecError;

use super::Format;
use crate::audio::Gain;
use crate::audio::tap::{FrameKind, TapWriter};
use crate::jitter::{Next, Playout, PlayoutConfig, PulledKind};
use crate::leg::flow::{FlowWatch, is_silent};
use crate::leg::make_decoder;
use crate::rtp::telephone_event::EventReceiver;
use crate::rtp::{RtpHeader, RtpPacket};
use crate::sdp::Codec;
use crate::units::{ClockRate, SampleRate};
use crate::worker::switch::{Slot, TICK};

/// Where delays are evenly spread, neighbours differ by a third of the spread on average; of a bell it covers all but the tail.
const SPREAD_OF_JITTER: u32 = 3;

/// See the module head.
pub(crate) struct Speech {
    pub(crate) frame: Frame,
    receive: Option<Receive>,
    pub(crate) events_in: EventReceiver,
    pub(crate) muted: bool,
    /// How loud the others hear it, while that is not as it comes.
    gain: Option<Gain>,
    pub(crate) taps: Vec<Tap>,
    /// Legs that overhear it.
    pub(crate) overheard: Vec<Slot>,
    /// What playouts counted that are no more.
    late_before: u64,
    concealed_before: u64,
}

/// 20 ms of what a leg said.
pub(crate) struct Frame {
    /// Empty: nobody needs samples of this leg.
    pub(crate) samples: Box<[i16]>,
    pub(crate) rate: SampleRate,
    pub(crate) kind: FrameKind,
}

/// A tap on what a leg says.
pub(crate) struct Tap {
    pub(crate) id: u64,
    /// `None` in a replay: nobody reads it.
    pub(crate) writer: Option<TapWriter>,
}

impl Tap {
    /// Whether nobody reads it any more.
    pub(crate) fn is_deserted(&self) -> bool {
        self.writer.as_ref().is_some_and(TapWriter::is_reader_gone)
    }
}

/// Decoding of what a leg says, while somebody needs samples of it.
struct Receive {
    playout: Playout,
    rate: SampleRate,
    codec: Codec,
}

impl Speech {
    pub(super) fn new() -> Speech {
        Speech {
            frame: Frame { samples: Box::default(), rate: SampleRate::HZ_8000, kind: FrameKind::Silence },
            receive: None,
            events_in: EventReceiver::new(ClockRate::HZ_8000),
            muted: false,
            gain: None,
            taps: Vec::new(),
            overheard: Vec::new(),
            late_before: 0,
            concealed_before: 0,
        }
    }

    /// Sees to it that what the leg says comes as samples at `rate`. `goes_on`: its listener has heard packets of it just now,
    /// which came with this jitter.
    pub(crate) fn want_samples(
        &mut self,
        format: &Format,
        rate: SampleRate,
        goes_on: Option<Duration>,
    ) -> Result<(), CodecError> {
        if self.receive.as_ref().is_some_and(|receive| receive.rate == rate && receive.codec == format.codec) {
            return Ok(());
        }
        self.count_playout();
        let (max_payload, room) = format.waiting_bytes();
        let config = PlayoutConfig { clock: format.clock(), sample_rate: rate, frame: TICK, max_payload, room };
        let mut playout = Playout::new(config, make_decoder(format.codec, rate)?);
        if let Some(jitter) = goes_on {
            playout.goes_on(jitter * SPREAD_OF_JITTER);
        }
        self.receive = Some(Receive { playout, rate, codec: format.codec });
        self.frame = Frame { samples: vec![0; rate.samples_in_ms(20)].into(), rate, kind: FrameKind::Silence };
        Ok(())
    }

    /// Nobody needs samples any more.
    pub(crate) fn drop_samples(&mut self) {
        self.count_playout();
        self.receive = None;
        self.frame.samples = Box::default();
    }

    /// Takes one audio packet into the playout buffer, if there is one.
    pub(crate) fn insert(&mut self, packet: &RtpPacket<'_>, now: Instant) {
        if let Some(receive) = &mut self.receive {
            let RtpHeader { sequence, timestamp, ssrc, marker, .. } = packet.header();
            receive.playout.insert(sequence, timestamp, ssrc, marker, packet.payload(), now);
        }
    }

    /// Takes a comfort noise packet into the playout buffer, if there is one.
    pub(crate) fn insert_noise(&mut self, packet: &RtpPacket<'_>, now: Instant) {
        if let Some(receive) = &mut self.receive {
            let RtpHeader { sequence, timestamp, ssrc, .. } = packet.header();
            receive.playout.insert_noise(sequence, timestamp, ssrc, packet.payload(), now);
        }
    }

    /// The tick's frame out of the playout buffer, copied to the taps.
    pub(crate) fn pull(&mut self, flow: &mut FlowWatch, now: Instant) {
        let Some(receive) = &mut self.receive else { return };
        let Frame { samples, kind, rate } = &mut self.frame;
        let pulled = receive.playout.pull(now, samples);
        *kind = match pulled.kind {
            PulledKind::Voice => FrameKind::Voice,
            PulledKind::Concealed => FrameKind::Concealed,
            PulledKind::Silence => FrameKind::Silence,
        };
        if *kind == FrameKind::Voice && flow.wants_look(now) && !is_silent(samples) {
            flow.on_sound(now);
        }
        if let Some(gain) = &mut self.gain {
            gain.process(samples, *rate);
        }
        if self.muted {
            samples.fill(0);
            *kind = FrameKind::Silence;
        }
        for tap in self.taps.iter_mut().filter_map(|tap| tap.writer.as_mut()) {
            tap.push(now, pulled.captured_at, *kind, *rate, samples);
        }
    }

    /// Makes it louder or softer to the others from now on.
    pub(crate) fn change_gain(&mut self, db: i8) {
        if self.gain.is_some() || db != 0 {
            self.gain.get_or_insert(Gain::from_db(0.0)).change_db(db.into());
        }
    }

    /// Whether the others hear it as it comes.
    pub(crate) fn is_as_it_comes(&self) -> bool {
        !self.muted && self.gain.is_none()
    }

    /// A gain that has come to rest at 0 dB is none any more; whether one has.
    pub(crate) fn rests_gain(&mut self) -> bool {
        self.gain.take_if(|gain| gain.is_at_rest()).is_some()
    }

    /// A number of the stream was no audio.
    pub(crate) fn skip(&mut self, packet: &RtpPacket<'_>) {
        if let Some(receive) = &mut self.receive {
            receive.playout.skip(packet.sequence(), packet.ssrc());
        }
    }

    /// Where playout stands; see [`Playout::played_to`].
    pub(crate) fn played_to(&self) -> Option<(u32, u32)> {
        self.receive.as_ref()?.playout.played_to()
    }

    /// See [`Playout::decode_ahead`].
    pub(crate) fn decode_ahead(&mut self) -> Option<Next> {
        self.receive.as_mut()?.playout.decode_ahead()
    }

    /// See [`Playout::ahead`].
    pub(crate) fn ahead(&self) -> &[i16] {
        self.receive.as_ref().map_or(&[], |receive| receive.playout.ahead())
    }

    /// See [`Playout::waiting`].
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (Next, &[u8])> {
        self.receive.iter().flat_map(|receive| receive.playout.waiting())
    }

    /// When the sound beside a key of the leg's is played; `None`: it is not, or not known.
    pub(crate) fn plays_at(&self, format: &Format, timestamp: u32, now: Instant) -> Option<Instant> {
        let playout = &self.receive.as_ref()?.playout;
        if format.event.is_some_and(|event| event.clock == format.clock()) {
            playout.plays_at(timestamp, now)
        } else {
            // Timestamps of another clock say nothing: as long as a packet of audio waits.
            Some(now + playout.counters().current_delay)
        }
    }

    /// See [`Playout::first_wait`]; `None` also while no samples are wanted.
    pub(crate) fn first_wait(&self) -> Option<Duration> {
        self.receive.as_ref()?.playout.first_wait()
    }

    fn count_playout(&mut self) {
        if let Some(receive) = &self.receive {
            let counters = receive.playout.counters();
            self.late_before += counters.late;
            self.concealed_before += counters.concealed_frames;
        }
    }

    /// Whether somebody needs samples of it.
    pub(crate) fn is_decoded(&self) -> bool {
        self.receive.is_some()
    }

    /// Room of the frame that was pulled, as [`super::super::align::Align::on_tick`] takes it; `None`: it says nothing of the
    /// tick, because nothing is decoded, or the frame was decoded with the one before (long packets).
    pub(super) fn room_us(&self) -> Option<Option<i64>> {
        let playout = &self.receive.as_ref()?.playout;
        (!playout.needed_nothing()).then(|| playout.room_us())
    }

    /// What the playout buffer adds now.
    pub(crate) fn delay(&self) -> Option<Duration> {
        self.receive.as_ref().map(|receive| receive.playout.counters().current_delay)
    }

    /// Packets that came too late to be played, and frames that concealment made, since the leg began.
    pub(crate) fn late_and_concealed(&self) -> (u64, u64) {
        let now = self.receive.as_ref().map(|receive| receive.playout.counters());
        let (late, concealed) = now.map_or((0, 0), |counters| (counters.late, counters.concealed_frames));
        (self.late_before + late, self.concealed_before + concealed)
    }
}
