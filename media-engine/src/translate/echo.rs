//! Words that come back: the recogniser of a party on a loudspeaker telephone hears what the party is played.
//!
//! ```text
//! text of a segment ─┐
//!                    ├─ at least 3 words, 4 of 5 the same and in the same order ─▶ echo
//! played clauses ────┘
//! ```
//!
//! This is behind the echo gate (`speech::echo`), which needs a second of echo to find its path. Only a segment that began while a
//! translation was played is compared (`session`): a party that repeats a number to confirm it begins after its end.

use super::edits::{Start, align};
use super::lexicon::normalised;
use super::segment::words;

/// Number of words from which on a text is compared.
const WORDS_MIN: usize = 3;
/// Number of words of both that are compared.
const WORDS_MAX: usize = 60;

/// Returns whether the words of `said` are among those of the `played` texts, in their order.
pub(super) fn is_repeated<'a>(said: &str, played: impl Iterator<Item = &'a str>) -> bool {
    let said: Vec<String> = words(said).map(normalised).take(WORDS_MAX).collect();
    if said.len() < WORDS_MIN {
        return false;
    }
    let played: Vec<String> = played.flat_map(words).map(normalised).take(WORDS_MAX).collect();
    let is_same = |left: usize, right: usize| said[left] == played[right];
    let alignment = align(said.len(), played.len(), Start::Free, is_same);
    let pairs = alignment.pairs.iter().enumerate();
    let same = pairs.filter(|(left, right)| right.is_some_and(|right| is_same(*left, right))).count();
    same >= WORDS_MIN && same * 5 >= said.len() * 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_of_five_words_in_order_are_an_echo() {
        let played = ["Buenos días, señora.", "Le llamo por su contrato de luz."];
        let is_echo = |said: &str| is_repeated(said, played.into_iter());
        assert!(is_echo("buenos días señora le llamo"));
        assert!(is_echo("llamo por su contacto de luz"), "one word was misheard");
        assert!(!is_echo("buenos días"), "too few words");
        assert!(!is_echo("buenos días señora sí dígame qué desea"));
        assert!(!is_echo("luz de contrato su por"), "another order");
        assert!(!is_repeated("buenos días señora", std::iter::empty()));
    }
}
