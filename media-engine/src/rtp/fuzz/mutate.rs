//! Bounded seeded mutation for parsers of received bytes, for the tests of every module.
//!
//! [`mutate_and_run`] takes stored seeds, corrupts them in the ways that networks and attackers do, and
//! passes every result to a parser's fuzz function. A failure prints the seed and the bytes.

/// Small reproducible generator (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Returns a number below `bound`, which must not be 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 16) as usize % bound
    }
}

/// Runs `target` on each of `seeds`, on all their prefixes and on `rounds` mutations of them.
pub(crate) fn mutate_and_run(seeds: &[Vec<u8>], rounds: usize, target: fn(&[u8])) {
    for seed in seeds {
        (0..=seed.len()).for_each(|len| target(&seed[..len]));
    }
    for round in 0..rounds {
        let mut random = Random::new(0x7a4d_e300 + round as u64);
        let mut bytes = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(4) {
            mutate(&mut bytes, seeds, &mut random);
        }
        let caught = std::panic::catch_unwind(|| target(&bytes));
        assert!(caught.is_ok(), "round {round} panicked on {bytes:02x?}");
    }
}

fn mutate(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    /// Edge values at which lengths and counts tend to break.
    const EDGES: [u8; 8] = [0, 1, 3, 4, 0x7f, 0x80, 0xfe, 0xff];
    if bytes.is_empty() {
        bytes.push(random.next() as u8);
    }
    let at = random.below(bytes.len());
    match random.below(7) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = EDGES[random.below(EDGES.len())],
        2 => bytes[at] = random.next() as u8,
        3 => bytes.truncate(at),
        4 => bytes.insert(at, random.next() as u8),
        5 => {
            bytes.remove(at);
        }
        _ => {
            let other = &seeds[random.below(seeds.len())];
            bytes.truncate(at);
            bytes.extend_from_slice(&other[random.below(other.len().max(1)).min(other.len())..]);
        }
    }
    bytes.truncate(2048);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "panicked on")]
    fn parser_that_panics_is_found() {
        mutate_and_run(&[vec![1, 2, 3, 4]], 10_000, |bytes| assert!(bytes.first() != Some(&0xfe)));
    }
}
