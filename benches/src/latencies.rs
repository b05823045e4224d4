//! Latencies and their percentiles.

use std::time::Duration;

/// Latencies, in milliseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies(Vec<f64>);

impl Latencies {
    pub(crate) fn add(&mut self, latency: Duration) {
        self.0.push(latency.as_secs_f64() * 1e3);
    }

    pub(crate) fn merge(&mut self, other: Latencies) {
        self.0.extend(other.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Percentile by the nearest rank; 0 if there are no latencies.
    pub(crate) fn percentile(&mut self, percent: f64) -> f64 {
        self.0.sort_by(f64::total_cmp);
        let rank = (percent / 100.0 * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_use_the_nearest_rank() {
        let mut latencies = Latencies::default();
        (1..=200).rev().for_each(|ms| latencies.add(Duration::from_millis(ms)));
        assert_eq!(
            [50.0, 95.0, 99.0, 100.0].map(|percent| latencies.percentile(percent)),
            [100.0, 190.0, 198.0, 200.0]
        );
        assert_eq!(Latencies::default().percentile(99.0), 0.0);
    }
}
