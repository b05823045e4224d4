//! One party of a room: its present speech, its listeners, and the deviations in what it hears.

use super::band::{Conversion, RATES, band_of, frame_length};
use super::speaker::Voice;
use super::{HeardBy, Party};
use crate::units::SampleRate;

/// Milliseconds in which a voice that breaks off fades: long enough to avoid a click, too short to be heard as sound.
const BREAK_OFF_MS: u32 = 5;
/// Values squared side by side, so that the compiler can use vector registers.
const LANES: usize = 8;

/// State of the party's membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stay {
    Here,
    /// It has left; the next tick fades the end of its speech.
    Leaving,
    /// That tick has been heard; the place is freed at the next change of the room.
    Gone,
}

/// A gain in motion: over this tick from the first to the second value.
pub(super) type Ramp = (f32, f32);

/// Gain at which one listener hears one other party, if it deviates from the other listeners' gain.
pub(super) struct Pair {
    pub(super) from: Party,
    /// Requested gain; `None` follows [`HeardBy`].
    pub(super) asked: Option<f32>,
    pub(super) gain: Ramp,
}

/// State of one party. See the module head.
pub(super) struct Member {
    pub(super) stay: Stay,
    pub(super) band: usize,
    pub(super) heard_by: HeardBy,
    /// The party's speech in this tick, 20 ms.
    pub(super) said: Box<[f32]>,
    /// Whether `said` contains sound.
    pub(super) voiced: bool,
    /// Whether the tick's frame has arrived.
    fresh: bool,
    /// Whether the previous frame was present, not a gap.
    present: bool,
    /// Gain towards all parties that have no pair with it.
    pub(super) base: Ramp,
    /// Deviating gains at which it hears others.
    pub(super) pairs: Vec<Pair>,
    /// Its speech at the rates of listeners with deviating gains.
    pub(super) conversions: [Option<Box<Conversion>>; RATES.len()],
    /// A conversion is new and its filter empty: gains wait for one tick.
    pub(super) cold: bool,
    pub(super) voice: Voice,
}

impl Member {
    pub(super) fn new(rate: SampleRate, heard_by: HeardBy) -> Member {
        let band = band_of(rate);
        let base = heard_by.base();
        Member {
            stay: Stay::Here,
            band,
            heard_by,
            said: vec![0.0; frame_length(band)].into_boxed_slice(),
            voiced: false,
            fresh: false,
            present: false,
            base: (base, base),
            pairs: Vec::new(),
            conversions: Default::default(),
            cold: false,
            voice: Voice::new(),
        }
    }

    /// Sets the tick's frame, or none. The first frame after a gap rises over its length; a voice that breaks off
    /// fades.
    pub(super) fn say(&mut self, frame: Option<&[i16]>) {
        let frame = frame.filter(|frame| frame.len() == self.said.len() && self.stay == Stay::Here);
        self.fresh = true;
        let Some(frame) = frame else {
            self.break_off();
            return;
        };
        let energy = load(&mut self.said, frame);
        self.voiced = energy > 0.0;
        self.voice.on_frame(energy / frame.len() as f32);
        if !std::mem::replace(&mut self.present, true) {
            let step = 1.0 / frame.len() as f32;
            self.said.iter_mut().enumerate().for_each(|(at, sample)| *sample *= step * at as f32);
        }
    }

    /// Ends the input for the tick; a party without a frame is silent.
    pub(super) fn close_tick(&mut self) {
        if self.stay == Stay::Leaving && !self.present {
            self.stay = Stay::Gone;
        }
        if !std::mem::replace(&mut self.fresh, false) {
            self.break_off();
        }
    }

    /// Continues the last speech, mirrored about its last sample, and fades it: neither the wave nor its slope has a
    /// step.
    fn break_off(&mut self) {
        self.voice.on_frame(0.0);
        if !std::mem::replace(&mut self.present, false) {
            if std::mem::take(&mut self.voiced) {
                self.said.fill(0.0);
            }
            return;
        }
        self.said.reverse();
        let (head, tail) = self.said.split_at_mut(RATES[self.band].samples_in_ms(BREAK_OFF_MS));
        // One sample before the new ones begin.
        let about = 2.0 * head[0];
        head.copy_within(1.., 0);
        let step = 1.0 / head.len() as f32;
        for (at, sample) in head.iter_mut().enumerate() {
            let gone = step * (at + 1) as f32;
            *sample = (about - *sample) * (1.0 - gone * gone * (3.0 - 2.0 * gone));
        }
        tail.fill(0.0);
    }
}

/// Copies `frame` and returns the sum of its squares.
fn load(said: &mut [f32], frame: &[i16]) -> f32 {
    let mut sums = [0.0; LANES];
    let (blocks, rest) = frame.as_chunks::<LANES>();
    let (to_blocks, to_rest) = said.as_chunks_mut::<LANES>();
    for (to, block) in to_blocks.iter_mut().zip(blocks) {
        for lane in 0..LANES {
            let sample = f32::from(block[lane]);
            to[lane] = sample;
            sums[lane] += sample * sample;
        }
    }
    let mut energy: f32 = sums.iter().sum();
    for (to, &sample) in to_rest.iter_mut().zip(rest) {
        *to = f32::from(sample);
        energy += *to * *to;
    }
    energy
}
