//! How late a listener hears what was said: a time stamp per stage of a clause, and percentiles over a call.
//!
//! ```text
//! captured ─▶ recognised ─▶ committed ─▶ translated ─▶ first sample ─▶ playing      one clock
//!     └──────────────────────── span (ear-voice span) ─────────────────────┘
//! ```
//!
//! Invariants: a stage is stamped once, and no stage is earlier than the one before it; percentiles take a fixed amount of memory,
//! whatever the length of the call. Not here: events that report the lag, and the clock.

use std::time::Duration;

/// Stage that a clause has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// End of the clause's last word in the sound, at the moment of capture.
    Captured,
    /// The recogniser showed the last word for the first time.
    Recognised,
    /// The words were committed and sent to the translator.
    Committed,
    /// The first words of the translation arrived.
    Translated,
    /// The first sample of the voice arrived.
    Voiced,
    /// The listener began to hear the voice.
    Playing,
}

/// Number of stages.
const STAGES: usize = 6;

/// Time stamps of one clause for one listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamps([Option<Duration>; STAGES]);

impl Stamps {
    /// Stamps a stage, unless it was stamped before. A time before that of an earlier stage is raised to it.
    pub fn stamp(&mut self, stage: Stage, at: Duration) {
        let earlier = self.0[..stage as usize].iter().flatten().max().copied().unwrap_or_default();
        self.0[stage as usize].get_or_insert(at.max(earlier));
    }

    /// Returns the time stamp of a stage.
    pub fn at(&self, stage: Stage) -> Option<Duration> {
        self.0[stage as usize]
    }

    /// Returns the time from one stage to another, when both are stamped.
    pub fn between(&self, from: Stage, to: Stage) -> Option<Duration> {
        Some(self.at(to)?.saturating_sub(self.at(from)?))
    }

    /// Returns the ear-voice span: from the end of capture until the listener heard the voice.
    pub fn span(&self) -> Option<Duration> {
        self.between(Stage::Captured, Stage::Playing)
    }
}

/// Width of a bucket; percentiles are exact to this.
const BUCKET: Duration = Duration::from_millis(20);
/// Number of buckets: 20 s. Longer times count as the last one.
const BUCKETS: usize = 1_000;

/// Distribution of times from 0 to 20 s.
#[derive(Clone, Debug)]
pub struct Percentiles {
    buckets: Box<[u32]>,
    count: u64,
    most: Duration,
}

impl Default for Percentiles {
    fn default() -> Percentiles {
        Percentiles { buckets: vec![0; BUCKETS].into(), count: 0, most: Duration::ZERO }
    }
}

impl Percentiles {
    /// Adds a time.
    pub fn add(&mut self, time: Duration) {
        let at = (time.as_millis() / BUCKET.as_millis()).min(BUCKETS as u128 - 1) as usize;
        self.buckets[at] = self.buckets[at].saturating_add(1);
        self.count += 1;
        self.most = self.most.max(time);
    }

    /// Returns the number of times that were added.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the longest time.
    pub fn most(&self) -> Duration {
        self.most
    }

    /// Returns the time below which `percent` of the times are, from 0 to 100 and exact to 20 ms; `None` without any time.
    pub fn percentile(&self, percent: f32) -> Option<Duration> {
        let rank = (self.count as f64 * f64::from(percent.clamp(0.0, 100.0)) / 100.0).ceil().max(1.0) as u64;
        let mut seen = 0;
        let at = self.buckets.iter().position(|count| {
            seen += u64::from(*count);
            seen >= rank
        })?;
        Some((BUCKET * (at as u32 + 1)).min(self.most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_span_counts_from_capture_to_play() {
        let mut stamps = Stamps::default();
        assert_eq!(stamps.span(), None);
        stamps.stamp(Stage::Captured, ms(1_000));
        stamps.stamp(Stage::Committed, ms(1_700));
        stamps.stamp(Stage::Playing, ms(2_900));
        assert_eq!(stamps.span(), Some(ms(1_900)));
        assert_eq!(stamps.between(Stage::Committed, Stage::Playing), Some(ms(1_200)));
        assert_eq!(stamps.between(Stage::Captured, Stage::Voiced), None);
    }

    #[test]
    fn a_stage_is_stamped_once_and_never_before_an_earlier_one() {
        let mut stamps = Stamps::default();
        stamps.stamp(Stage::Committed, ms(500));
        stamps.stamp(Stage::Committed, ms(900));
        stamps.stamp(Stage::Translated, ms(100));
        assert_eq!(stamps.at(Stage::Committed), Some(ms(500)));
        assert_eq!(stamps.at(Stage::Translated), Some(ms(500)));
    }

    #[test]
    fn percentiles_are_exact_to_a_bucket_and_never_above_the_longest_time() {
        let mut times = Percentiles::default();
        assert_eq!(times.percentile(50.0), None);
        (1..=100).for_each(|n| times.add(ms(n * 10)));
        let p50 = times.percentile(50.0).expect("a median").as_millis();
        assert!((500..=520).contains(&p50), "{p50}");
        assert_eq!(times.percentile(100.0), Some(ms(1_000)));
        times.add(Duration::MAX);
        assert_eq!(times.count(), 101);
        assert_eq!(times.percentile(100.0), Some(ms(20_000)));
    }
}
