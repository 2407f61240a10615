//! Numbers that the Python scripts in tests/golden also generate.

/// Returns uniform numbers in [-0.5, 0.5): upper 24 bits of a linear congruential generator (Numerical
/// Recipes).
pub(crate) fn noise(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 16_777_216.0 - 0.5
    };
    (0..len).map(|_| next()).collect()
}

/// A tensor of noise.
pub(crate) fn tensor(shape: &[usize], factor: f32, seed: u32) -> quant::FloatTensor {
    let values = noise(shape.iter().product(), seed).into_iter().map(|v| v * factor).collect();
    quant::FloatTensor::new(shape.to_vec(), values)
}
