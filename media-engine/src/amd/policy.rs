//! When a probability becomes a verdict.
//!
//! ```text
//! every 100 ms: features, probabilities --Policy::decide--> nothing yet | one verdict
//! ```
//!
//! `p` is the probability of a person, `quiet` the time since speech ended, `since` the time since it began. What must be reached
//! changes evenly between two moments, so that a clear answer is acted upon early and a doubtful one late:
//!
//! 1. Speech began `least` ago, and 1 - p has reached `automated` in two steps running: the likeliest automated class, once its share of
//!    1 - p is `kind`, or nothing was said for 0.7 s, or speech began `until` ago.
//! 2. Quiet for `pause`, and p has reached `human`: a person.
//! 3. Quiet for `patience`, or speech began `last` ago and runs (or 2 s more): the likelier side.
//! 4. No speech for `wait`: the likeliest of machine, music, silence and other (tones); other only 2 s later.
//! 5. No speech, 2.5 s after the answer, music and tones together above 0.97: the likelier one.
//!
//! Invariants: at most one verdict; no clock but the features'; `amd-training/policy.py` holds the same rules and thresholds, which it
//! chose on generated clips. Not here: beeps and signalling tones, which their detectors name sooner, and corrections after the verdict.

use super::features::N;
use super::forest::CLASSES;

pub(super) const HUMAN: usize = 0;
const MACHINE: usize = 1;
const MUSIC: usize = 4;
const SILENCE: usize = 5;
const OTHER: usize = 6;
/// Time beyond the wait that the detectors of tones have, in seconds: a ringing tone of 2 s in 6 is known after 8 s.
const TONES: f32 = 2.0;
/// Features by their place in `NAMES`; a test compares them.
const ELAPSED: usize = 0;
const SINCE_ONSET: usize = 2;
const BURSTS: usize = 4;
const QUIET: usize = 6;
const LOUD_QUIET: usize = 33;

/// Thresholds of a mode. Times are seconds; pairs are the value at the beginning and at the end of their span.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thresholds {
    least: f32,
    automated: (f32, f32),
    pause: f32,
    human: (f32, f32),
    patience: f32,
    limit: f32,
    last: f32,
    wait: f32,
    kind: f32,
    until: f32,
}

/// How soon a verdict is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// About a second sooner than balanced, with more errors.
    Fast,
    /// The default of a call.
    Balanced,
    /// Waits where balanced would guess.
    Careful,
}

impl Mode {
    pub(crate) const fn thresholds(self) -> Thresholds {
        match self {
            // From policy.py, by thresholds.py.
            Mode::Fast => Thresholds {
                least: 0.8,
                automated: (0.93, 0.7),
                pause: 0.5,
                human: (0.9, 0.5),
                patience: 1.5,
                limit: 3.5,
                last: 7.5,
                wait: 5.0,
                kind: 0.0,
                until: 5.0,
            },
            Mode::Balanced => Thresholds {
                least: 1.2,
                automated: (0.97, 0.85),
                pause: 0.6,
                human: (0.97, 0.5),
                patience: 1.8,
                limit: 5.5,
                last: 8.0,
                wait: 6.5,
                kind: 0.5,
                until: 3.0,
            },
            Mode::Careful => Thresholds {
                least: 1.5,
                automated: (0.985, 0.9),
                pause: 0.7,
                human: (0.97, 0.6),
                patience: 2.6,
                limit: 6.0,
                last: 9.0,
                wait: 8.0,
                kind: 0.8,
                until: 7.0,
            },
            // End.
        }
    }
}

/// A verdict: an index of `CLASSES` and the probability of its side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) class: usize,
    pub(crate) probability: f32,
}

/// Decides one answer, once.
#[derive(Debug)]
pub(crate) struct Policy {
    thresholds: Thresholds,
    sure: u32,
    decided: bool,
}

impl Policy {
    pub(crate) fn new(mode: Mode) -> Self {
        Policy { thresholds: mode.thresholds(), sure: 0, decided: false }
    }

    /// Takes one step; gives the verdict in the step in which it is reached.
    pub(crate) fn decide(&mut self, features: &[f32; N], p: &[f32; CLASSES.len()]) -> Option<Verdict> {
        if self.decided {
            return None;
        }
        let class =
            if features[BURSTS] < 1.0 { self.without_speech(features, p) } else { self.with_speech(features, p) };
        // The detectors of tones name a tone by what it means; only one that they do not know is left to the classifier.
        let class = class.filter(|class| *class != OTHER || features[ELAPSED] >= self.thresholds.wait + TONES);
        self.decided = class.is_some();
        class.map(|class| Verdict { class, probability: side(class, p) })
    }

    fn without_speech(&self, features: &[f32; N], p: &[f32; CLASSES.len()]) -> Option<usize> {
        if features[ELAPSED] > 2.5 && p[MUSIC] + p[OTHER] > 0.97 {
            return Some(likeliest(&[MUSIC, OTHER], p));
        }
        (features[ELAPSED] >= self.thresholds.wait).then(|| likeliest(&[MACHINE, MUSIC, SILENCE, OTHER], p))
    }

    fn with_speech(&mut self, features: &[f32; N], p: &[f32; CLASSES.len()]) -> Option<usize> {
        let to = self.thresholds;
        let (human, since) = (p[HUMAN], features[SINCE_ONSET]);
        let quiet = features[QUIET].max(features[LOUD_QUIET]);
        let automated = likeliest(&[MACHINE, 2, 3, MUSIC, OTHER], p);
        let clear = since >= to.least && 1.0 - human >= between(to.automated, to.least, to.limit, since);
        self.sure = if clear { self.sure + 1 } else { 0 };
        let settled = p[automated] >= to.kind * (1.0 - human) || quiet >= 0.7 || since >= to.until;
        if self.sure >= 2 && settled {
            return Some(automated);
        }
        if quiet >= to.pause && human >= between(to.human, to.pause, to.patience, quiet) {
            return Some(HUMAN);
        }
        // At the end a fresh pause is waited out: a person who has finished gives the word back.
        let late = since >= to.last && (quiet < 0.2 || since >= to.last + 2.0);
        (late || quiet >= to.patience).then_some(if human >= 0.5 { HUMAN } else { automated })
    }
}

/// Probability of a class, or for an automated one that no person speaks.
fn side(class: usize, p: &[f32; CLASSES.len()]) -> f32 {
    if class == HUMAN || class == SILENCE { p[class] } else { 1.0 - p[HUMAN] }
}

/// The likeliest one of the recordings that speak.
pub(crate) fn recorded(p: &[f32; CLASSES.len()]) -> usize {
    likeliest(&[MACHINE, 2, 3], p)
}

fn likeliest(classes: &[usize], p: &[f32; CLASSES.len()]) -> usize {
    let best = |a: usize, b: &usize| if p[*b] > p[a] { *b } else { a };
    classes[1..].iter().fold(classes[0], best)
}

fn between(ends: (f32, f32), low: f32, high: f32, at: f32) -> f32 {
    ends.0 + (ends.1 - ends.0) * ((at - low) / (high - low)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::super::features::NAMES;
    use super::*;

    const PERSON: [f32; 7] = [0.96, 0.04, 0.0, 0.0, 0.0, 0.0, 0.0];
    const RECORDING: [f32; 7] = [0.01, 0.2, 0.7, 0.09, 0.0, 0.0, 0.0];
    const DOUBT: [f32; 7] = [0.55, 0.45, 0.0, 0.0, 0.0, 0.0, 0.0];

    /// Features after the given times since the onset and since the end of speech.
    fn heard(since: f32, quiet: f32) -> [f32; N] {
        let mut features = [0.0; N];
        features[ELAPSED] = since + 1.0;
        features[SINCE_ONSET] = since;
        features[BURSTS] = 1.0;
        features[QUIET] = quiet;
        features
    }

    #[test]
    fn the_features_are_where_the_policy_reads_them() {
        let read = [ELAPSED, SINCE_ONSET, BURSTS, QUIET, LOUD_QUIET].map(|n| NAMES[n]);
        assert_eq!(read, ["elapsed", "since_onset", "bursts", "quiet", "loud_quiet"]);
    }

    #[test]
    fn a_person_is_named_after_a_pause_and_only_once() {
        let mut policy = Policy::new(Mode::Balanced);
        assert_eq!(policy.decide(&heard(0.5, 0.1), &PERSON), None);
        let verdict = policy.decide(&heard(1.4, 1.0), &PERSON).expect("a verdict");
        assert_eq!((verdict.class, verdict.probability), (HUMAN, 0.96));
        assert_eq!(policy.decide(&heard(2.0, 1.6), &PERSON), None);
    }

    #[test]
    fn a_recording_is_named_while_it_speaks_after_two_steps() {
        let mut policy = Policy::new(Mode::Balanced);
        assert_eq!(policy.decide(&heard(2.0, 0.0), &RECORDING), None);
        assert_eq!(
            policy.decide(&heard(2.1, 0.0), &RECORDING).map(|verdict| CLASSES[verdict.class]),
            Some("screening")
        );
    }

    #[test]
    fn doubt_waits_until_patience_ends() {
        let mut policy = Policy::new(Mode::Careful);
        assert_eq!(policy.decide(&heard(1.5, 1.0), &DOUBT), None);
        let patience = Mode::Careful.thresholds().patience;
        assert_eq!(policy.decide(&heard(1.0 + patience, patience), &DOUBT).map(|verdict| verdict.class), Some(HUMAN));
    }

    #[test]
    fn silence_is_named_after_the_wait() {
        let mut policy = Policy::new(Mode::Fast);
        let (mut features, p) = ([0.0; N], [0.1, 0.1, 0.0, 0.0, 0.1, 0.6, 0.1]);
        features[ELAPSED] = Mode::Fast.thresholds().wait - 0.1;
        assert_eq!(policy.decide(&features, &p), None);
        features[ELAPSED] += 0.1;
        assert_eq!(policy.decide(&features, &p).map(|verdict| verdict.class), Some(SILENCE));
    }
}
