//! Features of clips, for the trainer: the engine's own code (`media-engine/src/amd/features.rs`) behind a pipe.
//!
//! `amd-features STEP_MS` reads clips from the standard input, each as a little-endian u32 count of samples and its samples (i16,
//! 8 kHz), and writes for each a u32 count of rows and its rows (f32), one at every STEP_MS of the clip.
//! With `--score` after the step each row is followed by the probabilities that the forest of the sources gives for it.
//! `amd-features --names` prints the names of the features and their groups.

#[path = "../../../media-engine/src/amd/features.rs"]
mod features;
#[path = "../../../media-engine/src/amd/forest.rs"]
mod forest;
#[cfg(test)]
#[path = "../../../media-engine/src/amd/policy.rs"]
mod policy;

use std::io::{self, BufWriter, ErrorKind, Read, Write};

use features::{FRAME, Features, GROUPS, MAX_FRAMES, NAMES};
use forest::Forest;

fn main() -> io::Result<()> {
    let argument = std::env::args().nth(1).unwrap_or_default();
    if argument == "--names" {
        println!("{}", NAMES.join(" "));
        for (name, from, to) in GROUPS {
            println!("{name} {from} {to}");
        }
        return Ok(());
    }
    let step: usize = argument
        .parse()
        .map_err(|_| io::Error::new(ErrorKind::InvalidInput, "usage: amd-features STEP_MS | --names"))?;
    let forest = std::env::args().nth(2).filter(|word| word == "--score").map(|_| Forest::trained());
    let every = (step / 20).max(1);
    let mut input = io::stdin().lock();
    let mut output = BufWriter::new(io::stdout().lock());
    let mut size = [0u8; 4];
    while input.read_exact(&mut size).is_ok() {
        let mut bytes = vec![0u8; u32::from_le_bytes(size) as usize * 2];
        input.read_exact(&mut bytes)?;
        let samples: Vec<i16> = bytes.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
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
