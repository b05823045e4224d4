//! Tables keyed by numbers that we assign ourselves: hashed by one multiplication.
//!
//! Never use them for keys that a peer chooses: it could choose numbers with the same hash.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A table keyed by such a number.
pub(crate) type IdTable<K, V> = HashMap<K, V, BuildHasherDefault<NumberHasher>>;

/// Spreads increasing numbers over the whole range (Knuth, "The Art of Computer Programming", section 6.4).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NumberHasher(u64);

/// 2⁶⁴ divided by the golden ratio, made odd.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for NumberHasher {
    fn write_u64(&mut self, number: u64) {
        let spread = (self.0 ^ number).wrapping_mul(FACTOR);
        // The upper bits are spread best; tables use the lower ones too.
        self.0 = spread ^ (spread >> 32);
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::{BuildHasher, BuildHasherDefault};

    use super::*;

    #[test]
    fn consecutive_numbers_have_different_hashes() {
        let hasher = BuildHasherDefault::<NumberHasher>::default();
        for step in [1, 2, 64, 1 << 32] {
            let hashes: Vec<u64> = (0..1024).map(|n: u64| hasher.hash_one(n * step)).collect();
            let lower: HashSet<u64> = hashes.iter().map(|hash| hash % 2048).collect();
            let upper: HashSet<u64> = hashes.iter().map(|hash| hash >> 57).collect();
            assert!(lower.len() > 600 && upper.len() > 120, "step {step}: {} {}", lower.len(), upper.len());
        }
    }
}
