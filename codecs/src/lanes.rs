//! Sums of products in several partial sums, which the compiler keeps in vector registers.
//!
//! A sum of floating-point numbers in one accumulator must be computed in order, one number after another. With several
//! accumulators the order is different but fixed, and the processor adds several numbers at once.

/// Number of partial sums.
const LANES: usize = 8;

/// Returns the sum of products of two slices. Of slices of different lengths the shorter one decides.
///
/// ```
/// assert_eq!(codecs::lanes::dot(&[1.0; 11], &[2.0; 11]), 22.0);
/// ```
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let length = a.len().min(b.len());
    let ((a, a_rest), (b, b_rest)) = (a[..length].as_chunks::<LANES>(), b[..length].as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}
