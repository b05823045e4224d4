//! Delay estimate: least transit, and how far packets lie behind it.

/// Windows of one second over which the least transit is kept.
const WINDOWS: usize = 8;
const WINDOW_US: i64 = 1_000_000;
/// How fast the smooth baseline may move: 500 µs a second, above any real clock's skew.
const SLEW_PPM: i64 = 500;
/// Histogram of delay behind the baseline.
const BUCKET_US: i64 = 2_000;
const BUCKETS: usize = 256;
/// Share of packets that the target is to cover.
const QUANTILE: f32 = 0.99;
/// How long a packet is remembered (time constant of forgetting).
const MEMORY_US: f32 = 2_000_000.0;
/// Added to the quantile: half a bucket and scheduling noise.
const MARGIN_US: i64 = 3_000;
/// Least and greatest target.
const TARGET_MIN_US: i64 = 4_000;
const TARGET_MAX_US: i64 = 400_000;

/// Transit times are `arrival − media time`, both in microseconds from arbitrary origins.
#[derive(Debug)]
pub(super) struct DelayEstimate {
    /// Least transit of each of the last windows.
    minima: [i64; WINDOWS],
    window: usize,
    window_ends_us: i64,
    /// Least transit of all windows.
    baseline_us: i64,
    /// Slew-limited baseline, for capture times.
    smooth_us: i64,
    smoothed_at_us: i64,
    weights: Box<[f32; BUCKETS]>,
    total: f32,
    /// Weight of the next packet: grows so that older ones fade.
    weight: f32,
    last_us: i64,
    target_us: i64,
}

impl DelayEstimate {
    /// Begins with the first packet.
    pub(super) fn new(transit_us: i64, arrival_us: i64) -> DelayEstimate {
        DelayEstimate {
            minima: [transit_us; WINDOWS],
            window: 0,
            window_ends_us: arrival_us + WINDOW_US,
            baseline_us: transit_us,
            smooth_us: transit_us,
            smoothed_at_us: arrival_us,
            weights: Box::new([0.0; BUCKETS]),
            total: 0.0,
            weight: 1.0,
            last_us: arrival_us,
            target_us: TARGET_MIN_US,
        }
    }

    /// Begins anew in place.
    pub(super) fn restart(&mut self, transit_us: i64, arrival_us: i64) {
        self.minima = [transit_us; WINDOWS];
        self.window_ends_us = arrival_us + WINDOW_US;
        self.baseline_us = transit_us;
        self.smooth_us = transit_us;
        self.smoothed_at_us = arrival_us;
        self.weights.fill(0.0);
        self.total = 0.0;
        self.weight = 1.0;
        self.last_us = arrival_us;
        self.target_us = TARGET_MIN_US;
    }

    /// Takes one packet.
    pub(super) fn on_packet(&mut self, transit_us: i64, arrival_us: i64) {
        while arrival_us >= self.window_ends_us {
            // After a long pause all windows are turned over; more rounds would change nothing.
            let behind = arrival_us - self.window_ends_us;
            if behind > WINDOW_US * WINDOWS as i64 {
                self.minima = [transit_us; WINDOWS];
                self.window_ends_us = arrival_us + WINDOW_US;
                break;
            }
            self.window = (self.window + 1) % WINDOWS;
            self.minima[self.window] = i64::MAX;
            self.window_ends_us += WINDOW_US;
        }
        self.minima[self.window] = self.minima[self.window].min(transit_us);
        self.baseline_us = self.minima.iter().copied().min().unwrap_or(transit_us);
        self.slew(arrival_us);
        self.remember(transit_us - self.baseline_us, arrival_us);
    }

    fn slew(&mut self, arrival_us: i64) {
        let elapsed = (arrival_us - self.smoothed_at_us).max(0);
        let most = (elapsed * SLEW_PPM / 1_000_000).max(1);
        let off = self.baseline_us - self.smooth_us;
        // A new route, not skew: follow at once.
        self.smooth_us = if off.abs() > 50_000 { self.baseline_us } else { self.smooth_us + off.clamp(-most, most) };
        if elapsed >= 1_000_000 / SLEW_PPM || off.abs() > 50_000 {
            self.smoothed_at_us = arrival_us;
        }
    }

    fn remember(&mut self, behind_us: i64, arrival_us: i64) {
        let elapsed = (arrival_us - self.last_us).clamp(0, 200_000) as f32;
        self.last_us = self.last_us.max(arrival_us);
        self.weight *= (elapsed / MEMORY_US).exp();
        let bucket = (behind_us / BUCKET_US).clamp(0, BUCKETS as i64 - 1) as usize;
        self.weights[bucket] += self.weight;
        self.total += self.weight;
        if self.weight > 1e12 {
            let scale = 1.0 / self.weight;
            self.weights.iter_mut().for_each(|weight| *weight *= scale);
            self.total *= scale;
            self.weight = 1.0;
        }
        let beyond = self.total * (1.0 - QUANTILE);
        let mut seen = 0.0;
        let mut top = 0;
        for (index, &weight) in self.weights.iter().enumerate().rev() {
            seen += weight;
            if seen > beyond {
                top = index as i64;
                break;
            }
        }
        self.target_us = (top * BUCKET_US + MARGIN_US).clamp(TARGET_MIN_US, TARGET_MAX_US);
    }

    /// Least transit of the last seconds.
    pub(super) fn baseline_us(&self) -> i64 {
        self.baseline_us
    }

    /// The same without steps.
    pub(super) fn smooth_us(&self) -> i64 {
        self.smooth_us
    }

    /// How far behind the baseline playout should lie.
    pub(super) fn target_us(&self) -> i64 {
        self.target_us
    }
}
