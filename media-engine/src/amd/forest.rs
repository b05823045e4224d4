//! The classifier of answers: a forest of small decision trees over the features, read from the weights beside this file.
//!
//! ```text
//! features --trees of 7 classes--> softmax --+
//! features --trees of a person--> logistic --+--> probabilities that add up to one
//! ```
//!
//! Where there is speech, the odds of a person are the geometric mean of those of the softmax and of the trees that part persons from
//! recordings, and the other classes share the rest. The weights are text (`forest.txt`), written by `amd-training/train.py`: for
//! each tree its class, its splits `feature:threshold:low:high` in the order of a walk from the root, then its leaves. A value up to
//! the threshold goes `low`; a negative child `-1-n` is leaf `n`. They are read once at start; a file that does not fit the features
//! of the build is refused.
//!
//! Invariants: [`Forest::probabilities`] allocates nothing, and every child points forward, so that a walk ends.
//!
//! Not here: when a probability becomes a verdict.

use super::features::{N, NAMES};

/// What may have answered, in the order of the probabilities.
pub(crate) const CLASSES: [&str; 7] = ["human", "machine", "screening", "ivr", "music", "silence", "other"];

/// Class in the weights of the trees that part persons from everything else.
const PERSON: usize = CLASSES.len();
/// Feature that counts the bursts of speech.
const BURSTS: usize = 4;

const WEIGHTS: &str = include_str!("forest.txt");

#[derive(Clone, Copy)]
struct Split {
    feature: u16,
    threshold: f32,
    low: i16,
    high: i16,
}

struct Tree {
    class: usize,
    splits: Box<[Split]>,
    leaves: Box<[f32]>,
    /// Mean of the leaves below each split: what the tree would say without looking further.
    means: Box<[f32]>,
}

/// The trees of all classes.
pub(crate) struct Forest {
    trees: Vec<Tree>,
}

impl Forest {
    /// The forest of this build.
    ///
    /// # Panics
    ///
    /// When the weights do not fit the features, which is our mistake and which a test shows.
    pub(crate) fn trained() -> Self {
        Forest::parse(WEIGHTS).expect("the weights in the sources are read by a test")
    }

    /// Reads weights; the error names what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (mut names, mut classes, mut trees) = (Vec::new(), Vec::new(), Vec::new());
        let mut words =
            text.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_ascii_whitespace).peekable();
        while let Some(word) = words.next() {
            match word {
                "features" | "classes" => {
                    let list = if word == "features" { &mut names } else { &mut classes };
                    while let Some(name) = words.next_if(|next| !matches!(*next, "features" | "classes" | "tree")) {
                        list.push(name);
                    }
                }
                "tree" => {
                    let class = number(words.next())?;
                    let (mut splits, mut leaves) = (Vec::new(), Vec::new());
                    while let Some(split) = words.next_if(|next| *next != "leaves") {
                        splits.push(Split::parse(split)?);
                    }
                    words.next();
                    while let Some(leaf) = words.next_if(|next| *next != "tree") {
                        leaves.push(number(Some(leaf))?);
                    }
                    trees.push(Tree { class, splits: splits.into(), leaves: leaves.into(), means: Box::default() });
                }
                other => return Err(format!("unexpected word {other}")),
            }
        }
        if names != NAMES || classes != CLASSES {
            return Err("the weights were trained on other features or classes".into());
        }
        match trees.iter().position(|tree: &Tree| !tree.sound()) {
            Some(n) => Err(format!("tree {n} points outside itself")),
            None => {
                trees.iter_mut().for_each(Tree::note_means);
                Ok(Forest { trees })
            }
        }
    }

    /// Probabilities of [`CLASSES`]; they add up to one.
    pub(crate) fn probabilities(&self, features: &[f32; N]) -> [f32; CLASSES.len()] {
        let mut sums = [0.0f32; CLASSES.len() + 1];
        for tree in &self.trees {
            sums[tree.class] += tree.value(features);
        }
        let [kinds @ .., person] = sums;
        let most = kinds.iter().copied().fold(f32::MIN, f32::max);
        let powers = kinds.map(|sum| (sum - most).exp());
        let total: f32 = powers.iter().sum();
        let mut shares = powers.map(|power| power / total);
        if features[BURSTS] >= 1.0 {
            let odds = (shares[0].max(1e-6) / (1.0 - shares[0]).max(1e-6)).ln();
            let human = 1.0 / (1.0 + (-(person + odds) / 2.0).exp());
            let scale = (1.0 - human) / (1.0 - shares[0]).max(1e-6);
            shares[1..].iter_mut().for_each(|share| *share *= scale);
            shares[0] = human;
        }
        shares
    }
}

impl Forest {
    /// How much each feature speaks for a person, in log odds; negative: for the likeliest of the other classes. Together they make
    /// the difference from what the forest would say without any of them.
    pub(crate) fn weights(&self, features: &[f32; N], other: usize) -> [f32; N] {
        let mut weights = [0.0; N];
        for tree in &self.trees {
            let share = match tree.class {
                PERSON | 0 => 0.5,
                class if class == other => -0.5,
                _ => continue,
            };
            tree.follow(features, |feature, step| weights[feature] += share * step);
        }
        weights
    }
}

impl Tree {
    /// Sets the mean below each split. Children point forward, so that they are known first.
    fn note_means(&mut self) {
        let mut means = vec![0.0; self.splits.len()];
        for n in (0..self.splits.len()).rev() {
            let below = |child: i16| match usize::try_from(child) {
                Ok(split) => means[split],
                Err(_) => self.leaves[(-1 - child) as usize],
            };
            means[n] = (below(self.splits[n].low) + below(self.splits[n].high)) / 2.0;
        }
        self.means = means.into();
    }

    /// Walks to the leaf, and reports for each split its feature and by how much it changes the mean of what lies below.
    fn follow(&self, features: &[f32; N], mut report: impl FnMut(usize, f32)) {
        let mut at: i16 = if self.splits.is_empty() { -1 } else { 0 };
        while let Ok(n) = usize::try_from(at) {
            let split = self.splits[n];
            let feature = usize::from(split.feature);
            at = if features[feature] <= split.threshold { split.low } else { split.high };
            let then = usize::try_from(at).map_or_else(|_| self.leaves[(-1 - at) as usize], |next| self.means[next]);
            report(feature, then - self.means[n]);
        }
    }

    fn value(&self, features: &[f32; N]) -> f32 {
        let mut at: i16 = if self.splits.is_empty() { -1 } else { 0 };
        while at >= 0 {
            let split = self.splits[at as usize];
            at = if features[usize::from(split.feature)] <= split.threshold { split.low } else { split.high };
        }
        self.leaves[(-1 - at) as usize]
    }

    /// Whether every child points forward to a split or to a leaf, every feature exists, and the class does.
    fn sound(&self) -> bool {
        let child = |n: usize, to: i16| match usize::try_from(to) {
            Ok(split) => split > n && split < self.splits.len(),
            Err(_) => usize::from(to.unsigned_abs()) <= self.leaves.len(),
        };
        let mut splits = self.splits.iter().enumerate();
        self.class <= PERSON
            && !self.leaves.is_empty()
            && splits.all(|(n, s)| child(n, s.low) && child(n, s.high) && usize::from(s.feature) < N)
    }
}

impl Split {
    fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let split = Split {
            feature: number(parts.next())?,
            threshold: number(parts.next())?,
            low: number(parts.next())?,
            high: number(parts.next())?,
        };
        if parts.next().is_some() { Err(format!("split {text} has too many parts")) } else { Ok(split) }
    }
}

fn number<T: std::str::FromStr>(text: Option<&str>) -> Result<T, String> {
    text.and_then(|text| text.parse().ok()).ok_or_else(|| format!("expected a number, found {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(tree: &str) -> String {
        format!("classes {}\nfeatures {}\n{tree}\n", CLASSES.join(" "), NAMES.join(" "))
    }

    #[test]
    fn the_trained_weights_fit_the_features_and_give_probabilities() {
        let forest = Forest::trained();
        let sum: f32 = forest.probabilities(&[0.0; N]).iter().sum();
        assert!(forest.trees.len() >= CLASSES.len() && (sum - 1.0).abs() < 1e-5);
    }

    #[test]
    fn a_value_at_the_threshold_goes_low_and_one_above_goes_high() {
        let forest = Forest::parse(&weights("tree 0 3:1.5:-1:-2 leaves -4 4")).expect("a sound tree");
        let mut features = [0.0; N];
        features[3] = 1.5;
        assert!(forest.probabilities(&features)[0] < 0.01);
        features[3] = 1.6;
        assert!(forest.probabilities(&features)[0] > 0.85);
    }

    #[test]
    fn a_person_is_judged_by_trees_of_its_own_once_there_is_speech() {
        let forest = Forest::parse(&weights("tree 0 leaves -4\ntree 7 leaves 9.7918")).expect("sound trees");
        let mut features = [0.0; N];
        assert!(forest.probabilities(&features)[0] < 0.01);
        features[BURSTS] = 1.0;
        let shares = forest.probabilities(&features);
        assert!((shares[0] - 0.8808).abs() < 1e-3 && (shares.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }

    #[test]
    fn the_weights_of_features_add_up_to_what_the_trees_say() {
        let tree = "tree 7 3:1.5:-1:1 4:0.5:-2:-3 leaves -4 1 5";
        let forest = Forest::parse(&weights(tree)).expect("a sound tree");
        let mut features = [0.0; N];
        (features[3], features[4]) = (2.0, 1.0);
        let weights = forest.weights(&features, 1);
        // The mean is (-4 + 3) / 2; feature 3 leads to 3, feature 4 to 5; a person's trees count by half.
        assert_eq!((weights[3], weights[4]), (1.75, 1.0));
        assert_eq!(weights.iter().sum::<f32>(), 2.75);
    }

    #[test]
    fn weights_that_would_not_end_or_do_not_fit_are_refused() {
        for tree in [
            "tree 0 3:1:0:-1 leaves 1",
            "tree 0 3:1:-1:-3 leaves 1 2",
            "tree 9 leaves 1",
            "tree 0 999:1:-1:-2 leaves 1 2",
            "tree 0 3:1 leaves 1",
        ] {
            assert!(Forest::parse(&weights(tree)).is_err(), "{tree}");
        }
        assert!(Forest::parse("classes human\nfeatures elapsed\n").is_err());
    }
}
