//! Everything random in training, as a function of a seed and a place: nothing is drawn in sequence, so
//! there is no generator whose state a checkpoint would have to keep.

use inject::sampling::uniform;
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// Purpose of a random stream. Streams of different purposes never overlap.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// Initial weights; the place is the parameter's number.
    Weights = 1,
    /// Which images are held out; the place is 0.
    Validation = 2,
    /// The order of the images; the place is the epoch.
    Order = 3,
    /// Crops and flips; the place is the iteration.
    Augmentation = 4,
    /// Bit errors in a tensor; the place is iteration * 2^20 + the tensor's number.
    BitErrors = 5,
}

/// The random numbers of one place.
pub(crate) fn stream(seed: u64, purpose: Purpose, place: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8] = purpose as u8;
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(place);
    rng
}

/// Draws a number uniform below `bound`, which is not 0, without bias (Lemire 2019, algorithm 5). It takes 32 bits of the
/// stream, where [`inject::sampling::below`] takes 64: the orders of images of all trainings hang on it.
pub(crate) fn below(rng: &mut ChaCha8Rng, bound: u32) -> u32 {
    let threshold = bound.wrapping_neg() % bound;
    loop {
        let product = u64::from(rng.next_u32()) * u64::from(bound);
        if product as u32 >= threshold {
            return (product >> 32) as u32;
        }
    }
}

/// 0..len in random order (Fisher and Yates).
pub(crate) fn permutation(rng: &mut ChaCha8Rng, len: usize) -> Vec<u32> {
    let len = u32::try_from(len).expect("an image set has less than 2^32 images");
    let mut order: Vec<u32> = (0..len).collect();
    for last in (1..len).rev() {
        order.swap(last as usize, below(rng, last + 1) as usize);
    }
    order
}

/// Independent normal numbers with mean 0 (Box and Muller; `libm`, so that every platform agrees).
pub(crate) fn normal(rng: &mut ChaCha8Rng, deviation: f64, len: usize) -> Vec<f32> {
    let mut values = Vec::with_capacity(len + 1);
    while values.len() < len {
        let radius = deviation * (-2.0 * libm::log(uniform(rng))).sqrt();
        let (sin, cos) = libm::sincos(std::f64::consts::TAU * uniform(rng));
        values.extend([(radius * cos) as f32, (radius * sin) as f32]);
    }
    values.truncate(len);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_stable() {
        let mut rng = stream(7, Purpose::Order, 3);
        assert_eq!(permutation(&mut rng, 8), [7, 2, 0, 6, 1, 3, 4, 5]);
        let normal = normal(&mut stream(7, Purpose::Weights, 0), 1.0, 3);
        assert_eq!(normal, [0.49802452, 0.17556475, -2.8699892]);
    }

    #[test]
    fn a_permutation_has_every_index_once() {
        let mut order = permutation(&mut stream(1, Purpose::Order, 0), 1000);
        assert_ne!(order[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        order.sort_unstable();
        assert!(order.iter().copied().eq(0..1000));
    }

    #[test]
    fn normal_numbers_have_the_deviation_asked_for() {
        let values = normal(&mut stream(1, Purpose::Weights, 0), 0.5, 100_001);
        let n = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let square = values.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>() / n;
        assert!(mean.abs() < 0.01 && (square - 0.25).abs() < 0.01, "mean {mean}, mean square {square}");
    }

    #[test]
    fn places_and_purposes_differ() {
        let first = |seed, purpose, place| stream(seed, purpose, place).next_u64();
        let all = [
            first(0, Purpose::Order, 0),
            first(1, Purpose::Order, 0),
            first(0, Purpose::Order, 1),
            first(0, Purpose::Augmentation, 0),
        ];
        assert!((0..4).all(|i| (0..i).all(|j| all[i] != all[j])));
    }
}
