//! Feeds mutated payloads to the payload decoders: bounded, seeded; no panic and no wrong length is allowed.

use codecs::opus::{MAX_PAYLOAD, OpusEncoder, OpusSettings};
use codecs::tones::Sine;
use codecs::{Encoder, SampleRate};

/// Xorshift generator, so that every run is the same.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

/// Prints the input of a failing run when it is dropped by a panic.
struct Failing<'a>(u64, usize, &'a [u8]);

impl Drop for Failing<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {:#x}, round {}: {:02x?}", self.0, self.1, self.2);
        }
    }
}

fn mutate(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len());
        match random.below(7) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            1 if !bytes.is_empty() => bytes[at] = [0, 1, 0x7f, 0x80, 0xfb, 0xfc, 0xff][random.below(7)],
            2 => bytes.truncate(at),
            3 => bytes.insert(at.min(bytes.len()), random.below(256) as u8),
            4 if !bytes.is_empty() => drop(bytes.remove(at)),
            5 => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len());
                bytes.splice(at..at, other[from..].iter().copied().take(60));
            }
            _ => bytes.extend_from_within(at..),
        }
    }
    bytes.truncate(4096);
}

fn run(target: fn(&[u8]), corpus: &[Vec<u8>], rounds: usize) {
    let seed = 0x7461_6e64_656d;
    let mut random = Random(seed);
    corpus.iter().for_each(|bytes| target(bytes));
    for round in 0..rounds {
        let mut bytes = corpus[random.below(corpus.len())].clone();
        mutate(&mut bytes, corpus, &mut random);
        let failing = Failing(seed, round, &bytes);
        target(&bytes);
        drop(failing);
    }
}

/// Returns packets of every mode and rate, each after its length, as the fuzz target reads them.
fn opus_corpus() -> Vec<Vec<u8>> {
    let mut corpus = vec![vec![], vec![1, 0x08], vec![3, 0x0b, 0x41, 0xff], vec![4, 0xff, 0x80 | 0x30, 1, 2]];
    for rate in [SampleRate::HZ_8000, SampleRate::HZ_16000, SampleRate::HZ_48000] {
        for (bitrate, frame_ms) in [(12_000, 60), (24_000, 20), (64_000, 20), (96_000, 10)] {
            let settings = OpusSettings { bitrate, ..OpusSettings::default() };
            let mut encoder = OpusEncoder::new(rate, settings).expect("settings are in range");
            let mut sine = Sine::new(rate, 310.0, -10.0);
            let mut packets = Vec::new();
            for _ in 0..6 {
                let (mut pcm, mut out) = (vec![0; rate.samples_in_ms(frame_ms)], [0; MAX_PAYLOAD]);
                sine.fill(&mut pcm);
                let length = encoder.encode(&pcm, &mut out[..255]).expect("whole frames can be encoded");
                packets.push(length as u8);
                packets.extend_from_slice(&out[..length]);
            }
            corpus.push(packets);
        }
    }
    corpus
}

#[test]
fn opus_decoder_does_not_panic_on_mutated_packets() {
    run(codecs::opus::fuzz::fuzz_opus, &opus_corpus(), 1500);
}

#[test]
fn the_other_decoders_do_not_panic_on_any_bytes() {
    let corpus = [vec![], vec![0; 160], vec![0xa5; 7], (0..=255).collect(), vec![0xd5; 900]];
    run(codecs::g711::fuzz::fuzz_g711, &corpus, 5000);
    run(codecs::g722::fuzz::fuzz_g722, &corpus, 3000);
    run(codecs::l16::fuzz::fuzz_l16, &corpus, 5000);
    run(codecs::cng::fuzz::fuzz_cng, &corpus, 2000);
}
