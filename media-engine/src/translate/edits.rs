//! Alignment of two sequences of words at the lowest number of edits.
//!
//! ```text
//! left    we  met      on  Monday
//! right   we  all met  on  Monday  with Anna     ─▶ pairs 0 2 3 4, end 5
//! ```
//!
//! Used where a hypothesis is compared with committed words (`commit`), and where a study compares committed words with what was
//! said. Time and memory grow with the product of both lengths, so the caller limits them.

/// Alignment of a left sequence with a right one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alignment {
    /// Position in the right sequence of each left word; `None` for a word that the right one lacks.
    pub pairs: Vec<Option<usize>>,
    /// Number of right words that belong to the left ones; those from there on are left over.
    pub end: usize,
}

/// Beginning of the right sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Both sequences begin together.
    Together,
    /// Right words before the first left one cost nothing.
    Free,
}

/// Aligns `left` words with `right` words; `is_same` compares by position. Right words after the last left one cost nothing. Of
/// equal costs, the end at which both have the same number of words is taken.
pub fn align(left: usize, right: usize, start: Start, is_same: impl Fn(usize, usize) -> bool) -> Alignment {
    let width = right + 1;
    let mut cost = vec![0_u32; (left + 1) * width];
    if start == Start::Together {
        cost[..width].iter_mut().zip(0..).for_each(|(cost, skipped)| *cost = skipped);
    }
    let replaced = |cost: &[u32], i: usize, j: usize| cost[(i - 1) * width + j - 1] + u32::from(!is_same(i - 1, j - 1));
    for i in 1..=left {
        cost[i * width] = i as u32;
        for j in 1..=right {
            let skipped = cost[(i - 1) * width + j].min(cost[i * width + j - 1]) + 1;
            cost[i * width + j] = replaced(&cost, i, j).min(skipped);
        }
    }
    let last = left * width;
    let end = (0..=right).min_by_key(|j| (cost[last + j], j.abs_diff(left))).unwrap_or(0);
    let mut pairs = vec![None; left];
    let (mut i, mut j) = (left, end);
    while i > 0 {
        let here = cost[i * width + j];
        if j > 0 && here == replaced(&cost, i, j) {
            pairs[i - 1] = Some(j - 1);
            (i, j) = (i - 1, j - 1);
        } else if here == cost[(i - 1) * width + j] + 1 {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    Alignment { pairs, end }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aligned(left: &str, right: &str, start: Start) -> (Vec<Option<usize>>, usize) {
        let (left, right): (Vec<&str>, Vec<&str>) = (left.split(' ').collect(), right.split(' ').collect());
        let Alignment { pairs, end } = align(left.len(), right.len(), start, |i, j| left[i] == right[j]);
        (pairs, end)
    }

    #[test]
    fn inserted_replaced_and_missing_words_shift_no_other() {
        let both = |left, right| aligned(left, right, Start::Together);
        assert_eq!(both("we met on", "we all met on with"), (vec![Some(0), Some(2), Some(3)], 4));
        assert_eq!(both("we met on", "we let on"), (vec![Some(0), Some(1), Some(2)], 3));
        assert_eq!(both("we met on", "we on with"), (vec![Some(0), None, Some(1)], 2));
    }

    #[test]
    fn words_before_the_first_cost_nothing_when_the_start_is_free() {
        assert_eq!(aligned("on Monday", "so we met on Monday then", Start::Free), (vec![Some(3), Some(4)], 5));
        assert_eq!(aligned("a", "b c", Start::Free).0, [Some(0)]);
    }

    #[test]
    fn empty_sequences_have_no_pairs() {
        assert_eq!(align(0, 3, Start::Together, |_, _| false), Alignment { pairs: Vec::new(), end: 0 });
        assert_eq!(align(2, 0, Start::Free, |_, _| true), Alignment { pairs: vec![None; 2], end: 0 });
    }
}
