//! The speaking side of a leg: packets enter its playout, which yields a frame per tick that is copied to the taps.

use std::time::{Duration, Instant};

use codecs::CodecError;

use super::{Entry, Format};
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

/// Factor from jitter to spread. For evenly distributed delays, neighbours differ by a third of the spread on average;
/// for a bell curve, this covers all but the tail.
const SPREAD_OF_JITTER: u32 = 3;

/// State of the speaking side. See the module head.
pub(crate) struct Speech {
    pub(crate) frame: Frame,
    receive: Option<Receive>,
    pub(crate) events_in: EventReceiver,
    pub(crate) muted: bool,
    /// Gain for the other legs; `None` while it is 0 dB.
    gain: Option<Gain>,
    pub(crate) taps: Vec<Tap>,
    /// Slots of the legs that overhear it.
    pub(crate) overheard: Vec<Slot>,
    /// Counts of earlier playouts.
    late_before: u64,
    concealed_before: u64,
}

/// 20 ms of a leg's speech.
pub(crate) struct Frame {
    /// Empty while no samples of this leg are needed.
    pub(crate) samples: Box<[i16]>,
    pub(crate) rate: SampleRate,
    pub(crate) kind: FrameKind,
}

/// A tap on a leg's speech.
pub(crate) struct Tap {
    pub(crate) id: u64,
    /// Writing end; `None` in a replay, where the tap has no reader.
    pub(crate) writer: Option<TapWriter>,
}

impl Tap {
    /// Whether the tap has lost its reader.
    pub(crate) fn is_deserted(&self) -> bool {
        self.writer.as_ref().is_some_and(TapWriter::is_reader_gone)
    }
}

/// Decoding of a leg's speech while samples of it are needed.
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

    /// Ensures that the leg's speech is decoded to samples at `rate`. `goes_on`: its listener has just heard relayed
    /// packets of it, which came with this jitter.
    ///
    /// # Errors
    /// The decoder cannot be created; the leg must end.
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

    /// Stops decoding, because no samples are needed any more.
    pub(crate) fn drop_samples(&mut self) {
        self.count_playout();
        self.receive = None;
        self.frame.samples = Box::default();
    }

    /// Inserts an audio packet into the playout buffer, if there is one.
    pub(crate) fn insert(&mut self, packet: &RtpPacket<'_>, now: Instant) {
        if let Some(receive) = &mut self.receive {
            let RtpHeader { sequence, timestamp, ssrc, marker, .. } = packet.header();
            receive.playout.insert(sequence, timestamp, ssrc, marker, packet.payload(), now);
        }
    }

    /// Inserts a comfort noise packet into the playout buffer, if there is one.
    pub(crate) fn insert_noise(&mut self, packet: &RtpPacket<'_>, now: Instant) {
        if let Some(receive) = &mut self.receive {
            let RtpHeader { sequence, timestamp, ssrc, .. } = packet.header();
            receive.playout.insert_noise(sequence, timestamp, ssrc, packet.payload(), now);
        }
    }

    /// Takes the tick's frame from the playout buffer and copies it to the taps. A change of the gain waits until a listener that
    /// changes from relayed packets to frames is sent the frames: it would otherwise hear the end of the change only, as a click.
    pub(crate) fn pull(&mut self, flow: &mut FlowWatch, entry: Option<Entry>, now: Instant) {
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
            let played_to = receive.playout.played_to();
            let withheld = entry.map_or(0, |entry| entry.withheld(played_to, samples.len(), now));
            let (before, after) = samples.split_at_mut(withheld);
            gain.hold(before);
            gain.process(after, *rate);
        }
        if self.muted {
            samples.fill(0);
            *kind = FrameKind::Silence;
        }
        for tap in self.taps.iter_mut().filter_map(|tap| tap.writer.as_mut()) {
            tap.push(now, pulled.captured_at, *kind, *rate, samples);
        }
    }

    /// Makes the leg louder or softer for the others from now on.
    pub(crate) fn change_gain(&mut self, db: i8) {
        if self.gain.is_some() || db != 0 {
            self.gain.get_or_insert(Gain::from_db(0.0)).change_db(db.into());
        }
    }

    /// Whether the others hear the leg without muting or gain.
    pub(crate) fn is_as_it_comes(&self) -> bool {
        !self.muted && self.gain.is_none()
    }

    /// Drops a gain that has settled at 0 dB; returns whether it did.
    pub(crate) fn drop_resting_gain(&mut self) -> bool {
        self.gain.take_if(|gain| gain.is_at_rest()).is_some()
    }

    /// Marks a sequence number of the stream as not audio.
    pub(crate) fn skip(&mut self, packet: &RtpPacket<'_>) {
        if let Some(receive) = &mut self.receive {
            receive.playout.skip(packet.sequence(), packet.ssrc());
        }
    }

    /// Returns the position of playout; see [`Playout::played_to`].
    pub(crate) fn played_to(&self) -> Option<(u32, u32)> {
        self.receive.as_ref()?.playout.played_to()
    }

    /// Decodes ahead; see [`Playout::decode_ahead`].
    pub(crate) fn decode_ahead(&mut self) -> Option<Next> {
        self.receive.as_mut()?.playout.decode_ahead()
    }

    /// Returns the samples decoded ahead; see [`Playout::ahead`].
    pub(crate) fn ahead(&self) -> &[i16] {
        self.receive.as_ref().map_or(&[], |receive| receive.playout.ahead())
    }

    /// Returns the packets that wait; see [`Playout::waiting`].
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (Next, &[u8])> {
        self.receive.iter().flat_map(|receive| receive.playout.waiting())
    }

    /// Returns when the sound beside a key of the leg is played; `None` if it is not played or the time is unknown.
    pub(crate) fn plays_at(&self, format: &Format, timestamp: u32, now: Instant) -> Option<Instant> {
        let playout = &self.receive.as_ref()?.playout;
        if format.event.is_some_and(|event| event.clock == format.clock()) {
            playout.plays_at(timestamp, now)
        } else {
            // Timestamps of another clock cannot be compared: the key waits as long as a packet of audio.
            Some(now + playout.counters().current_delay)
        }
    }

    /// Returns [`Playout::first_wait`]; also `None` while no samples are needed.
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

    /// Whether the leg is decoded because samples of it are needed.
    pub(crate) fn is_decoded(&self) -> bool {
        self.receive.is_some()
    }

    /// Returns the room of the pulled frame in microseconds, as [`super::super::align::Align::on_tick`] takes it;
    /// `None` if it has no meaning for the tick, because nothing is decoded or the frame was decoded with the previous
    /// one (long packets).
    pub(super) fn room_us(&self) -> Option<Option<i64>> {
        let playout = &self.receive.as_ref()?.playout;
        (!playout.needed_nothing()).then(|| playout.room_us())
    }

    /// Returns the delay that the playout buffer adds now.
    pub(crate) fn delay(&self) -> Option<Duration> {
        self.receive.as_ref().map(|receive| receive.playout.counters().current_delay)
    }

    /// Returns the packets that came too late to be played and the concealed frames, since the leg began.
    pub(crate) fn late_and_concealed(&self) -> (u64, u64) {
        let now = self.receive.as_ref().map(|receive| receive.playout.counters());
        let (late, concealed) = now.map_or((0, 0), |counters| (counters.late, counters.concealed_frames));
        (self.late_before + late, self.concealed_before + concealed)
    }
}
