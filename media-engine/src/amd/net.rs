//! A small neural net that hears what kind of phrase was said: "leave a message", "press one", "who is calling", "hello?".
//!
//! ```text
//! spectrum every 20 ms --Ear--> 30 mel bands --Net, every 40 ms--> 13 kinds of phrases, 7 classes
//!
//! 4 frames x 30 -> dense 80 -> 3 causal blocks (depthwise 5 taps, spacing 1, 2, 4; dense 80; added to their input) -> GRU 96 -> dense 20
//! ```
//!
//! The kinds do not depend on a language: a net that was taught "deje su mensaje" and "leave a message" as one kind gives one answer.
//! Of each kind the strongest moment so far is kept, because a phrase that was heard stays heard. The classifier (`forest`) reads
//! [`Net::summary`] beside the other features.
//!
//! Invariants: nothing is allocated after [`Net::new`]; a step depends on sound that has been heard only; every output is finite and
//! bounded, whatever the sound. The weights (`net.bin`, 8 bits each with a scale for each output) are read once and shared by all legs;
//! `amd-training/net.py` writes them and defines the same net for training.
//!
//! Not here: what the outputs mean for a verdict.

use std::sync::LazyLock;

use codecs::lanes::dot;

/// Kinds of phrases, in the order of the outputs; `amd-training/texts.py` says which texts belong to them.
pub(crate) const KINDS: [&str; 13] = [
    "hello", "name", "help", "talk", "reached", "away", "leave", "network", "full", "who", "welcome", "option", "gone",
];
/// What the kinds are called where people read them.
const PHRASES: [&str; KINDS.len()] = [
    "hello",
    "own name",
    "offer of help",
    "talk",
    "you have reached",
    "not available",
    "leave a message",
    "network voicemail",
    "mailbox full",
    "who is calling",
    "welcome",
    "menu option",
    "not in service",
];
/// Numbers that the net adds to the features: strongest moment of each kind, and the classes as they are now.
pub(crate) const SUMMARY: usize = KINDS.len() + CLASSES;
const CLASSES: usize = 7;

/// Bins of the spectrum, 31.25 Hz each.
const BINS: usize = 128;
/// Mel bands of a frame.
pub(crate) const MELS: usize = 30;
/// Frames of 20 ms that a step sees.
const STACK: usize = 4;
const WIDTH: usize = 80;
const HIDDEN: usize = 96;
const TAPS: usize = 5;
const SPACINGS: [usize; 3] = [1, 2, 4];
/// Outputs that are computed together; widths are multiples of it.
const LANES: usize = 16;
const OUTPUTS: usize = 32;
/// Outputs are kept within this range: odds of 3,000 to one.
const MOST: f32 = 8.0;

static WEIGHTS: LazyLock<Weights> =
    LazyLock::new(|| Weights::parse(include_bytes!("net.bin")).expect("the weights in the sources are read by a test"));

/// Mel bands of a power spectrum, in decibels.
pub(crate) struct Ear {
    /// First bin of each band, and the weights of its bins.
    bands: [(usize, [f32; 24]); MELS],
}

impl Ear {
    pub(crate) fn new() -> Self {
        let mel = |hz: f32| 1127.0 * (1.0 + hz / 700.0).ln();
        let hz = |mel: f32| 700.0 * ((mel / 1127.0).exp() - 1.0);
        let (low, high) = (mel(70.0), mel(3950.0));
        let edge = |n: usize| hz(low + (high - low) * n as f32 / (MELS + 1) as f32) / 31.25;
        let mut bands = [(0, [0.0; 24]); MELS];
        for (n, (first, weights)) in bands.iter_mut().enumerate() {
            let (from, middle, to) = (edge(n), edge(n + 1), edge(n + 2));
            *first = (from.floor() as usize).min(BINS - weights.len());
            for (k, weight) in weights.iter_mut().enumerate() {
                let bin = (*first + k) as f32;
                let rise = (bin - from) / (middle - from);
                let fall = (to - bin) / (to - middle);
                *weight = rise.min(fall).max(0.0);
            }
            // A band narrower than a bin hears the nearest one.
            if weights.iter().sum::<f32>() < 0.5 {
                weights[(middle.round() as usize).saturating_sub(*first)] = 0.5;
            }
        }
        Ear { bands }
    }

    /// Level of each band in dBFS, at least -110.
    pub(crate) fn bands(&self, power: &[f32; BINS]) -> [f32; MELS] {
        self.bands.map(|(first, weights)| 10.0 * (dot(&weights, &power[first..]) + 1e-11).log10())
    }
}

/// A matrix in blocks of [`LANES`] outputs: for each block one row for each input.
struct Dense {
    rows: Vec<[f32; LANES]>,
    bias: Vec<f32>,
}

impl Dense {
    fn add_to(&self, input: &[f32], out: &mut [f32]) {
        for (rows, out) in self.rows.chunks_exact(input.len()).zip(out.chunks_exact_mut(LANES)) {
            let mut sums = [0.0f32; LANES];
            for (row, x) in rows.iter().zip(input) {
                for (sum, weight) in sums.iter_mut().zip(row) {
                    *sum += weight * x;
                }
            }
            out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
        }
    }

    fn apply(&self, input: &[f32], out: &mut [f32]) {
        out.copy_from_slice(&self.bias);
        self.add_to(input, out);
    }
}

struct Block {
    taps: Vec<[f32; WIDTH]>,
    bias: Vec<f32>,
    dense: Dense,
}

struct Weights {
    first: Dense,
    blocks: Vec<Block>,
    input: Dense,
    state: Dense,
    last: Dense,
}

impl Weights {
    /// Reads the weights; the error says what is wrong.
    fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let mut reader = Reader { bytes };
        if reader.take(8)? != b"tandemN1" {
            return Err("not the weights of a net");
        }
        let first = reader.dense(STACK * MELS, WIDTH)?;
        let blocks = SPACINGS.iter().map(|_| reader.block()).collect::<Result<_, _>>()?;
        let (input, state) = (reader.dense(WIDTH, 3 * HIDDEN)?, reader.dense(HIDDEN, 3 * HIDDEN)?);
        let last = reader.dense(HIDDEN, OUTPUTS)?;
        if reader.bytes.is_empty() { Ok(Weights { first, blocks, input, state, last }) } else { Err("too long") }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        let (head, rest) = self.bytes.split_at_checked(count).ok_or("too short")?;
        self.bytes = rest;
        Ok(head)
    }

    fn floats(&mut self, count: usize) -> Result<Vec<f32>, &'static str> {
        let numbers: Vec<f32> =
            self.take(4 * count)?.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        if numbers.iter().all(|number| number.is_finite()) { Ok(numbers) } else { Err("a weight is no number") }
    }

    /// Scales and biases of the outputs, then the weights of the outputs of one input after those of another.
    fn matrix(&mut self, inputs: usize, outputs: usize) -> Result<(Vec<f32>, Vec<f32>), &'static str> {
        let (scales, bias) = (self.floats(outputs)?, self.floats(outputs)?);
        let weights = self.take(inputs * outputs)?;
        let weight = |n: usize| f32::from(weights[n] as i8) * scales[n % outputs];
        Ok(((0..weights.len()).map(weight).collect(), bias))
    }

    fn dense(&mut self, inputs: usize, outputs: usize) -> Result<Dense, &'static str> {
        let (flat, bias) = self.matrix(inputs, outputs)?;
        let mut rows = Vec::with_capacity(inputs * outputs / LANES);
        for block in (0..outputs).step_by(LANES) {
            for input in 0..inputs {
                rows.push(std::array::from_fn(|lane| flat[input * outputs + block + lane]));
            }
        }
        Ok(Dense { rows, bias })
    }

    fn block(&mut self) -> Result<Block, &'static str> {
        let (flat, bias) = self.matrix(TAPS, WIDTH)?;
        let taps = flat.as_chunks::<WIDTH>().0.to_vec();
        Ok(Block { taps, bias, dense: self.dense(WIDTH, WIDTH)? })
    }
}

/// What a block has heard: a ring of its inputs.
struct Past {
    ring: Vec<[f32; WIDTH]>,
    at: usize,
}

/// The net of one leg.
pub(crate) struct Net {
    weights: &'static Weights,
    /// Loudest level so far, which falls by 1 dB a second.
    reference: f32,
    frames: [[f32; MELS]; STACK],
    odd: bool,
    past: [Past; 3],
    hidden: [f32; HIDDEN],
    summary: [f32; SUMMARY],
}

impl Net {
    pub(crate) fn new() -> Self {
        let past = SPACINGS.map(|spacing| Past { ring: vec![[0.0; WIDTH]; (TAPS - 1) * spacing + 1], at: 0 });
        let mut summary = [0.0; SUMMARY];
        summary[..KINDS.len()].fill(-MOST);
        Net {
            weights: &WEIGHTS,
            reference: -50.0,
            frames: [[0.0; MELS]; STACK],
            odd: false,
            past,
            hidden: [0.0; HIDDEN],
            summary,
        }
    }

    /// Takes the mel bands of the next 20 ms.
    pub(crate) fn push(&mut self, bands: &[f32; MELS]) {
        let loudest = bands.iter().copied().fold(f32::MIN, f32::max);
        self.reference = (self.reference - 0.02).max(loudest);
        self.frames.rotate_left(1);
        let reference = self.reference;
        self.frames[STACK - 1] = bands.map(|band| ((band - reference) / 20.0 + 1.5).max(-1.5));
        self.odd = !self.odd;
        if !self.odd {
            self.step();
        }
    }

    /// Log odds of each kind at its strongest moment, then of each class now.
    pub(crate) fn summary(&self) -> &[f32; SUMMARY] {
        &self.summary
    }

    /// The kinds of phrases that were likelier said than not, the likeliest first, and their probabilities.
    pub(crate) fn phrases(&self) -> [Option<(&'static str, f32)>; 3] {
        let mut found: [Option<(&'static str, f32)>; 3] = [None; 3];
        for (phrase, odds) in PHRASES.iter().zip(self.summary) {
            let Some(at) = found.iter().position(|other| other.is_none_or(|(_, most)| sigmoid(odds) > most)) else {
                continue;
            };
            if odds > 0.0 {
                found[at..].rotate_right(1);
                found[at] = Some((phrase, sigmoid(odds)));
            }
        }
        found
    }

    fn step(&mut self) {
        let weights = self.weights;
        let mut x = [0.0; WIDTH];
        weights.first.apply(self.frames.as_flattened(), &mut x);
        x.iter_mut().for_each(|x| *x = x.max(0.0));
        for ((block, past), spacing) in weights.blocks.iter().zip(&mut self.past).zip(SPACINGS) {
            past.at = (past.at + 1) % past.ring.len();
            past.ring[past.at] = x;
            let (mut mixed, mut added) = ([0.0; WIDTH], [0.0; WIDTH]);
            mixed.copy_from_slice(&block.bias);
            for (tap, weights) in block.taps.iter().enumerate() {
                let then = &past.ring[(past.at + past.ring.len() - tap * spacing) % past.ring.len()];
                for ((mixed, weight), then) in mixed.iter_mut().zip(weights).zip(then) {
                    *mixed += weight * then;
                }
            }
            block.dense.apply(&mixed, &mut added);
            x.iter_mut().zip(added).for_each(|(x, added)| *x += added.max(0.0));
        }
        let (mut input, mut state) = ([0.0; 3 * HIDDEN], [0.0; 3 * HIDDEN]);
        weights.input.apply(&x, &mut input);
        weights.state.apply(&self.hidden, &mut state);
        for (n, h) in self.hidden.iter_mut().enumerate() {
            let reset = sigmoid(input[n] + state[n]);
            let keep = sigmoid(input[HIDDEN + n] + state[HIDDEN + n]);
            let fresh = (input[2 * HIDDEN + n] + reset * state[2 * HIDDEN + n]).tanh();
            *h = (1.0 - keep) * fresh + keep * *h;
        }
        let mut out = [0.0; OUTPUTS];
        weights.last.apply(&self.hidden, &mut out);
        let (kinds, classes) = self.summary.split_at_mut(KINDS.len());
        for (strongest, now) in kinds.iter_mut().zip(out) {
            *strongest = strongest.max(now.clamp(-MOST, MOST));
        }
        for (class, now) in classes.iter_mut().zip(&out[KINDS.len()..]) {
            *class = now.clamp(-MOST, MOST);
        }
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bands of loud and quiet noise from a generator.
    fn noise(frames: usize, mut seed: u32) -> Vec<[f32; MELS]> {
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) as f32 / 65_536.0
        };
        (0..frames).map(|_| std::array::from_fn(|_| next() * 110.0 - 110.0)).collect()
    }

    #[test]
    fn outputs_are_finite_and_bounded_whatever_is_heard() {
        let mut net = Net::new();
        let extremes = [[-110.0; MELS], [20.0; MELS], [0.0; MELS]].repeat(50);
        for bands in extremes.iter().chain(&noise(2_000, 7)) {
            net.push(bands);
            assert!(net.summary().iter().all(|value| value.abs() <= MOST));
        }
    }

    #[test]
    fn a_kind_that_was_heard_stays_heard() {
        let mut net = Net::new();
        let mut before = *net.summary();
        for bands in noise(500, 3) {
            net.push(&bands);
            let now = net.summary();
            assert!(before[..KINDS.len()].iter().zip(now).all(|(before, now)| now >= before));
            before = *now;
        }
    }

    #[test]
    fn the_level_of_a_call_does_not_matter() {
        let (mut loud, mut soft) = (Net::new(), Net::new());
        for bands in noise(200, 11) {
            loud.push(&bands.map(|band| (band + 60.0).max(-20.0)));
            soft.push(&bands.map(|band| (band + 40.0).max(-40.0)));
        }
        assert!(loud.summary().iter().zip(soft.summary()).all(|(a, b)| (a - b).abs() < 0.01));
    }

    #[test]
    fn every_band_hears_its_own_frequency() {
        let ear = Ear::new();
        for bin in 4..124 {
            let mut power = [0.0; BINS];
            power[bin] = 1.0;
            assert!(ear.bands(&power).iter().any(|band| *band > -12.0), "{bin}");
        }
    }

    #[test]
    fn weights_of_another_shape_are_refused() {
        let bytes = include_bytes!("net.bin");
        assert!(Weights::parse(bytes).is_ok());
        assert!(Weights::parse(&bytes[..bytes.len() - 1]).is_err());
        assert!(Weights::parse(&[bytes.as_slice(), &[0]].concat()).is_err());
        assert!(Weights::parse(b"tandemN0").is_err());
    }

    #[test]
    fn the_state_of_a_leg_is_below_16_kb() {
        let rings: usize = Net::new().past.iter().map(|past| past.ring.len() * size_of::<[f32; WIDTH]>()).sum();
        assert!(size_of::<Net>() + rings < 16 * 1024);
    }
}
