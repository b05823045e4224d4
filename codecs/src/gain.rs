//! Level changes in place, with saturation.
//!
//! Not here: the time and speed of ducking (the `audio` module of `media-engine`).

/// Returns the amplitude factor for a level change in dB.
pub fn db_to_factor(db: f32) -> f32 {
    10f32.powf(db / 20.0)
}

/// Raises (or, if negative, lowers) the level by `db`.
pub fn apply_db(samples: &mut [i16], db: f32) {
    if db != 0.0 {
        apply_factor(samples, db_to_factor(db));
    }
}

/// Multiplies every sample by `factor`.
pub fn apply_factor(samples: &mut [i16], factor: f32) {
    for sample in samples {
        // `as` saturates out-of-range values.
        *sample = (f32::from(*sample) * factor).round_ties_even() as i16;
    }
}

/// Multiplies by a factor that changes in equal steps from `from`, which applied before the first sample, to `to` at the
/// last sample. Consecutive ramps therefore join without a step.
pub fn ramp(samples: &mut [i16], from: f32, to: f32) {
    let step = (to - from) / samples.len().max(1) as f32;
    for (index, sample) in samples.iter_mut().enumerate() {
        let factor = from + step * (index + 1) as f32;
        *sample = (f32::from(*sample) * factor).round_ties_even() as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_decibels_double_the_amplitude() {
        let mut samples = [100, -100, 0];
        apply_db(&mut samples, 6.0206);
        assert_eq!(samples, [200, -200, 0]);
        apply_db(&mut samples, -18.0618);
        assert_eq!(samples, [25, -25, 0]);
    }

    #[test]
    fn loud_samples_saturate() {
        let mut samples = [30_000, -30_000, i16::MIN];
        apply_db(&mut samples, 20.0);
        assert_eq!(samples, [i16::MAX, i16::MIN, i16::MIN]);
    }

    #[test]
    fn zero_decibels_change_nothing() {
        let mut samples: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        let before = samples.clone();
        apply_db(&mut samples, 0.0);
        assert_eq!(samples, before);
    }

    #[test]
    fn ramp_ends_at_its_target_in_equal_steps() {
        let mut samples = [10_000; 4];
        ramp(&mut samples, 1.0, 0.0);
        assert_eq!(samples, [7500, 5000, 2500, 0]);
        ramp(&mut [], 0.0, 1.0);
    }
}
