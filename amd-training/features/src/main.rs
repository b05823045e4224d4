//! Features of clips, for the trainer: the engine's own code (`media-engine/src/amd/features.rs`) behind a pipe.
//!
//! `amd-features STEP_MS` reads clips from the standard input, each as a little-endian u32 count of samples and its samples (i16,
//! 8 kHz), and writes for each a u32 count of rows and its rows (f32), one at every STEP_MS of the clip.
//! With `--score` after the step each row is followed by the probabilities that the forest of the sources gives for it.
//! `amd-features --mel` writes for each clip the mel bands of each 20 ms instead (u8, half decibels above -110 dBFS), for the net.
//! `amd-features --names` prints the names of the features and their groups.

// The engine's files import these two as parts of the crate `codecs`.
extern crate self as codecs;

#[allow(dead_code, reason = "the detectors of tones use more of it")]
#[path = "../../../codecs/src/fourier.rs"]
pub mod fourier;
#[path = "../../../codecs/src/lanes.rs"]
pub mod lanes;
#[allow(dead_code, reason = "the engine names what was said as evidence")]
#[path = "../../../media-engine/src/amd/features.rs"]
mod features;
#[allow(dead_code, reason = "the engine names what weighed most")]
#[path = "../../../media-engine/src/amd/forest.rs"]
mod forest;
#[path = "../../../media-engine/src/amd/frame.rs"]
mod frame;
#[path = "../../../media-engine/src/amd/net.rs"]
mod net;
#[path = "../../../media-engine/src/amd/numbers.rs"]
mod numbers;
#[cfg(test)]
#[path = "../../../media-engine/src/amd/policy.rs"]
mod policy;
#[path = "../../../media-engine/src/amd/segments.rs"]
mod segments;

use std::io::{self, BufWriter, ErrorKind, Read, Write};

use features::{Features, MAX_FRAMES, NAMES, WORDS};
use forest::Forest;
use frame::{FRAME, Meter};
use net::Ear;

/// The features from `.1` to `.2` (exclusive) that describe timing, voice and channel, for the ablations.
const GROUPS: [(&str, usize, usize); 4] = [("timing", 0, 36), ("voice", 36, 68), ("channel", 68, WORDS), ("words", WORDS, NAMES.len())];

fn main() -> io::Result<()> {
    let argument = std::env::args().nth(1).unwrap_or_default();
    if argument == "--names" {
        println!("{}", NAMES.join(" "));
        for (name, from, to) in GROUPS {
            println!("{name} {from} {to}");
        }
        return Ok(());
    }
    if argument == "--mel" {
        return mel();
    }
    let step: usize = argument
        .parse()
        .map_err(|_| io::Error::new(ErrorKind::InvalidInput, "usage: amd-features STEP_MS | --mel | --names"))?;
    let forest = std::env::args().nth(2).filter(|word| word == "--score").map(|_| Forest::trained());
    let every = (step / 20).max(1);
    let mut input = io::stdin().lock();
    let mut output = BufWriter::new(io::stdout().lock());
    while let Some(samples) = clip(&mut input)? {
        let mut features = Features::new();
        let mut rows: Vec<f32> = Vec::new();
        let mut count = 0u32;
        for (n, frame) in samples.as_chunks::<FRAME>().0.iter().enumerate().take(MAX_FRAMES) {
            features.push(frame);
            if (n + 1) % every == 0 {
                let vector = features.vector();
                rows.extend(vector);
                rows.extend(forest.iter().flat_map(|forest| forest.probabilities(&vector)));
                count += 1;
            }
        }
        output.write_all(&count.to_le_bytes())?;
        for value in rows {
            output.write_all(&value.to_le_bytes())?;
        }
        output.flush()?;
    }
    Ok(())
}

/// The next clip of the input, if there is one.
fn clip(input: &mut impl Read) -> io::Result<Option<Vec<i16>>> {
    let mut size = [0u8; 4];
    if input.read_exact(&mut size).is_err() {
        return Ok(None);
    }
    let mut bytes = vec![0u8; u32::from_le_bytes(size) as usize * 2];
    input.read_exact(&mut bytes)?;
    Ok(Some(bytes.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect()))
}

fn mel() -> io::Result<()> {
    let (mut input, mut output) = (io::stdin().lock(), BufWriter::new(io::stdout().lock()));
    let ear = Ear::new();
    while let Some(samples) = clip(&mut input)? {
        let mut meter = Meter::new();
        let frames = samples.as_chunks::<FRAME>().0;
        let frames = &frames[..frames.len().min(MAX_FRAMES)];
        output.write_all(&(frames.len() as u32).to_le_bytes())?;
        for frame in frames {
            let bands = ear.bands(&meter.measure(frame).1).map(|band| ((band + 110.0) * 2.0).round().clamp(0.0, 255.0) as u8);
            output.write_all(&bands)?;
        }
        output.flush()?;
    }
    Ok(())
}
