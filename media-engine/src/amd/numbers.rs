//! Means and percentiles of measurements, and their units.

pub(super) fn seconds(frames: usize) -> f32 {
    frames as f32 * 0.02
}

pub(super) fn decibels(power: f32) -> f32 {
    10.0 * (power + 1e-12).log10()
}

/// Returns mean and standard deviation; `None` without values.
pub(super) fn mean(values: impl Iterator<Item = f32>) -> Option<(f32, f32)> {
    let (mut n, mut sum, mut squares) = (0.0f32, 0.0f32, 0.0f32);
    for value in values {
        n += 1.0;
        sum += value;
        squares += value * value;
    }
    (n > 0.0).then(|| (sum / n, (squares / n - (sum / n).powi(2)).max(0.0).sqrt()))
}

/// Value below which the given share of the values lies, in steps of half a unit between -110 and 90.
pub(super) fn percentile(values: impl Iterator<Item = f32>, share: f32) -> Option<f32> {
    let mut counts = [0u16; 400];
    let mut total = 0u32;
    for value in values {
        counts[((value + 110.0) * 2.0).clamp(0.0, 399.0) as usize] += 1;
        total += 1;
    }
    let wanted = (total as f32 * share) as u32;
    let mut sum = 0u32;
    for (n, count) in counts.iter().enumerate() {
        sum += u32::from(*count);
        if sum > wanted {
            return Some(n as f32 / 2.0 - 110.0);
        }
    }
    None
}
