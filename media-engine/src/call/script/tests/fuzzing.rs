//! Seeded mutations of the corpus and of the shipped programs: every run is the same.

use super::examples::EXAMPLES;
use super::parsing::corpus;
use super::*;

/// A small pseudo-random generator.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

const PIECES: [&[u8]; 20] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\\",
    b"\\ud800",
    b"\0",
    b"\xff",
    b"null",
    b"-1",
    b"1e999",
    b"99999999999999999999",
    b"${",
    b"${digits}",
    b"{\"label\":\"main\"},",
    b"{\"jump\":{\"to\":\"main\"}},",
    b"{\"webhook\":{\"url\":\"https://a/\"}},",
];

fn mutate(bytes: &mut Vec<u8>, other: &[u8], seeded: &mut Seeded) {
    for _ in 0..=seeded.below(4) {
        let at = seeded.below(bytes.len() + 1);
        let end = (at + seeded.below(40)).min(bytes.len());
        match seeded.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << seeded.below(8),
            1 => drop(bytes.drain(at..end)),
            2 => drop(bytes.splice(at..at, PIECES[seeded.below(PIECES.len())].iter().copied())),
            3 => {
                let from = seeded.below(other.len());
                let to = (from + seeded.below(80)).min(other.len());
                drop(bytes.splice(at..end, other[from..to].iter().copied()));
            }
            // A digit or a letter is replaced, so that the JSON stays valid.
            4 => {
                for byte in bytes.iter_mut().skip(at).take(8).filter(|byte| byte.is_ascii_alphanumeric()) {
                    *byte = b"0123456789abeimnotx"[seeded.below(19)];
                }
            }
            _ => bytes.extend_from_within(at..end),
        }
    }
}

#[test]
fn mutated_programs_never_break_parser_or_interpreter() {
    let now = test_epoch();
    let mut corpus: Vec<Vec<u8>> = corpus().into_iter().map(|row| row.text.into_bytes()).collect();
    corpus.extend(EXAMPLES.iter().map(|(_, text)| text.as_bytes().to_vec()));
    corpus.retain(|bytes| bytes.len() < 8_192);
    corpus.iter().for_each(|bytes| fuzz_program(bytes, now));
    let whole: Vec<Vec<u8>> = corpus.iter().filter(|bytes| Program::parse(bytes).is_ok()).cloned().collect();
    let mut seeded = Seeded(0x7072_6f67_7261);
    let mut taken = 0;
    for round in 0..20_000 {
        let seed = seeded.0;
        // Every other input starts as a valid program.
        let from = if round % 2 == 0 { &whole } else { &corpus };
        let mut bytes = from[round / 2 % from.len()].clone();
        let other = seeded.below(corpus.len());
        mutate(&mut bytes, &corpus[other], &mut seeded);
        let result = std::panic::catch_unwind(|| fuzz_program(&bytes, now));
        assert!(result.is_ok(), "round {round}, seed {seed:#x}: {}", bytes.escape_ascii());
        taken += usize::from(Program::parse(&bytes).is_ok());
    }
    assert!(taken > 100, "the mutations are too wild: {taken} are programs");
}
