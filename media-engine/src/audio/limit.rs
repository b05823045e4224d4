//! Soft limiting of sums to 16 bits without wrapping.
//!
//! ```text
//!  out
//!  full scale ┤              ………───────
//!       knee  ┤        ╱‾‾
//!             ┤     ╱      slope 1 up to the knee (−2.5 dBFS), then bent, never past full scale
//!             └──────────────────────── sum
//! ```
//!
//! The curve has no memory: it cannot pump, adds no delay, and samples below the knee pass unchanged, however loud the
//! previous moment was. It is the curve of [`mix_into`](super::mix_into) for more than two voices.

use super::level::KNEE;

const KNEE_F: f32 = KNEE as f32;
/// Range between knee and full scale.
const ROOM: f32 = (i16::MAX as i32 - KNEE) as f32;
/// When added to a value below 2²², it leaves the value, rounded to even, in the lowest bits: 1.5 · 2²³.
const ROUNDER: f32 = 12_582_912.0;
/// Values examined side by side, so that the compiler can use vector registers.
const LANES: usize = 8;

/// Writes `sum` to `out`, up to the shorter length: rounded, and bent below full scale where it is louder than −2.5
/// dBFS.
pub(super) fn limit(sum: &[f32], out: &mut [i16]) {
    if peak(sum) <= KNEE_F {
        out.iter_mut().zip(sum).for_each(|(out, &value)| *out = round_to_i16(value));
    } else {
        out.iter_mut().zip(sum).for_each(|(out, &value)| *out = round_to_i16(bend(value)));
    }
}

/// Returns knee + r − r²/(r + d), which is knee + r·d/(r + d): slope 1 at the knee, full scale at infinity.
fn bend(value: f32) -> f32 {
    let size = value.abs();
    let straight = if size < KNEE_F { size } else { KNEE_F };
    let over = size - straight;
    (straight + (ROOM - ROOM * ROOM / (ROOM + over))).copysign(value)
}

/// Rounds to the nearest whole number, for values within 16 bits.
fn round_to_i16(value: f32) -> i16 {
    (value + ROUNDER).to_bits() as i16
}

fn peak(values: &[f32]) -> f32 {
    let mut peaks = [0.0_f32; LANES];
    let (blocks, rest) = values.as_chunks::<LANES>();
    for block in blocks {
        for lane in 0..LANES {
            let size = block[lane].abs();
            peaks[lane] = if size > peaks[lane] { size } else { peaks[lane] };
        }
    }
    peaks.iter().copied().chain(rest.iter().map(|value| value.abs())).fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(sum: f32) -> i16 {
        let mut out = [0];
        limit(&[sum], &mut out);
        out[0]
    }

    #[test]
    fn up_to_the_knee_every_value_passes_and_is_rounded() {
        for value in -KNEE..=KNEE {
            assert_eq!(i32::from(limited(value as f32)), value);
        }
        for (value, expected) in [(0.4, 0), (0.6, 1), (-0.6, -1), (1.5, 2), (2.5, 2), (-24_575.7, -24_576)] {
            assert_eq!(limited(value), expected, "{value}");
        }
    }

    #[test]
    fn louder_sums_are_bent_without_wrapping_and_stay_monotonic() {
        let mut before = limited(24_000.0);
        for value in 24_000..3_000_000_i32 {
            let out = limited(value as f32);
            assert!((0..=1).contains(&(i32::from(out) - i32::from(before))), "{value}: {before} to {out}");
            assert_eq!(i32::from(limited(-value as f32)), -i32::from(out));
            before = out;
        }
        assert!(before > 32_700, "{before}");
        assert_eq!(limited(f32::MAX), i16::MAX);
        assert_eq!(limited(-f32::MAX), -i16::MAX);
    }

    #[test]
    fn quiet_samples_are_untouched_beside_loud_ones() {
        // 100,000 bends the frame; its quiet neighbours pass unchanged.
        let sum: Vec<f32> = (0..160).map(|n| if n == 80 { 100_000.0 } else { n as f32 }).collect();
        let mut out = [0; 160];
        limit(&sum, &mut out);
        assert!(out.iter().enumerate().all(|(n, &sample)| n == 80 || i32::from(sample) == n as i32));
    }
}
