//! Power spectrum of 256 samples, and the Fourier transform of 128 complex numbers under it.
//!
//! ```text
//! 256 samples --> Hann --> even samples as real, odd ones as imaginary parts --> transform of 128 --> parted --> 129 powers
//! ```
//!
//! The detectors of tones ([`crate::progress`]) and the classifier of answers share it. It allocates nothing and chooses no code by
//! the processor, so that the classifier computes the same features in calls as in training.

use std::f32::consts::TAU;

/// Samples of a window.
pub const WINDOW: usize = 256;
/// Number of points of the complex transform.
pub const POINTS: usize = WINDOW / 2;

/// Number with a real and an imaginary part.
#[derive(Clone, Copy, Debug, Default)]
pub struct Complex {
    /// Real part of the number.
    pub re: f32,
    /// Imaginary part of the number.
    pub im: f32,
}

impl Complex {
    /// Returns the point of the unit circle at an angle in radians.
    pub fn turn(angle: f32) -> Complex {
        let (im, re) = angle.sin_cos();
        Complex { re, im }
    }

    /// Returns the product of the two numbers.
    pub fn times(self, other: Complex) -> Complex {
        Complex { re: self.re * other.re - self.im * other.im, im: self.re * other.im + self.im * other.re }
    }

    /// Returns the sum of the two numbers.
    pub fn plus(self, other: Complex) -> Complex {
        Complex { re: self.re + other.re, im: self.im + other.im }
    }

    /// Returns this number minus the other.
    pub fn minus(self, other: Complex) -> Complex {
        Complex { re: self.re - other.re, im: self.im - other.im }
    }

    /// Returns the square of the absolute value.
    pub fn power(self) -> f32 {
        self.re * self.re + self.im * self.im
    }
}

/// Tables and working memory of the transforms.
///
/// ```
/// use codecs::fourier::{Fourier, WINDOW};
///
/// let tone: [f32; WINDOW] = std::array::from_fn(|n| (std::f32::consts::TAU * 32.0 * n as f32 / WINDOW as f32).cos());
/// let powers = *Fourier::new().powers(&tone);
/// // Bin 32 holds (amplitude · half the sum of the Hann window)², its neighbours a quarter of that.
/// assert!((powers[32] - 4096.0).abs() < 1.0 && (powers[33] - 1024.0).abs() < 1.0 && powers[40] < 0.01);
/// ```
#[derive(Clone, Debug)]
pub struct Fourier {
    hann: [f32; WINDOW],
    /// Unit circle in [`WINDOW`] steps, clockwise, its first half.
    circle: [Complex; POINTS],
    work: [Complex; POINTS],
    powers: [f32; POINTS + 1],
}

impl Default for Fourier {
    fn default() -> Fourier {
        Fourier::new()
    }
}

impl Fourier {
    /// Creates the tables of the transforms.
    pub fn new() -> Fourier {
        Fourier {
            hann: std::array::from_fn(|n| 0.5 - 0.5 * (TAU * n as f32 / WINDOW as f32).cos()),
            circle: std::array::from_fn(|n| Complex::turn(-TAU * n as f32 / WINDOW as f32)),
            work: [Complex::default(); POINTS],
            powers: [0.0; POINTS + 1],
        }
    }

    /// Returns the power of each bin of a window, not scaled: a sine of mean square m has m·n²·3/16 in its bins together.
    pub fn powers(&mut self, samples: &[f32; WINDOW]) -> &[f32; POINTS + 1] {
        for (n, value) in self.work.iter_mut().enumerate() {
            let (even, odd) = (2 * n, 2 * n + 1);
            *value = Complex { re: samples[even] * self.hann[even], im: samples[odd] * self.hann[odd] };
        }
        transform(&mut self.work, &self.circle);
        // Parts the transforms of even and odd samples, and joins them to that of the whole window.
        for n in 0..=POINTS {
            let (one, other) = (self.work[n % POINTS], self.work[(POINTS - n) % POINTS]);
            let even = Complex { re: (one.re + other.re) / 2.0, im: (one.im - other.im) / 2.0 };
            let odd = Complex { re: (one.im + other.im) / 2.0, im: (other.re - one.re) / 2.0 };
            let turn = if n == POINTS { Complex { re: -1.0, im: 0.0 } } else { self.circle[n] };
            self.powers[n] = even.plus(odd.times(turn)).power();
        }
        &self.powers
    }

    /// Transforms complex numbers in their place.
    pub fn transform(&self, values: &mut [Complex; POINTS]) {
        transform(values, &self.circle);
    }
}

fn transform(values: &mut [Complex; POINTS], circle: &[Complex; POINTS]) {
    let bits = POINTS.trailing_zeros();
    for n in 0..POINTS {
        let reversed = n.reverse_bits() >> (usize::BITS - bits);
        if n < reversed {
            values.swap(n, reversed);
        }
    }
    let mut half = 1;
    while half < POINTS {
        let stride = POINTS / half;
        for block in values.chunks_exact_mut(2 * half) {
            let (low, high) = block.split_at_mut(half);
            for (n, (low, high)) in low.iter_mut().zip(high).enumerate() {
                let turned = high.times(circle[n * stride]);
                (*low, *high) = (low.plus(turned), low.minus(turned));
            }
        }
        half *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_those_of_the_sum_that_defines_the_transform() {
        let mut seed = 7u32;
        let sound: [f32; WINDOW] = std::array::from_fn(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) as f32 / 65_536.0 - 0.5
        });
        let mut fourier = Fourier::new();
        let powers = *fourier.powers(&sound);
        for (bin, power) in powers.iter().enumerate() {
            let (mut re, mut im) = (0.0, 0.0);
            for (n, x) in sound.iter().enumerate() {
                let hann = 0.5 - 0.5 * (std::f64::consts::TAU * n as f64 / WINDOW as f64).cos();
                let angle = std::f64::consts::TAU * (bin * n % WINDOW) as f64 / WINDOW as f64;
                (re, im) = (re + f64::from(*x) * hann * angle.cos(), im - f64::from(*x) * hann * angle.sin());
            }
            let expected = (re * re + im * im) as f32;
            assert!((power - expected).abs() <= 1e-4 * expected.max(1.0), "bin {bin}: {power} of {expected}");
        }
    }
}
