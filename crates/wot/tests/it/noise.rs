//! Numbers that the Python scripts in tests/golden make too.

use candle_core::{Device, Tensor, Var};

/// Uniform in [-0.5, 0.5): a linear congruential generator (Numerical Recipes), upper 24 bits.
pub(crate) fn noise(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 16_777_216.0 - 0.5
    };
    (0..len).map(|_| next()).collect()
}

/// A variable of noise.
pub(crate) fn variable(shape: &[usize], factor: f32, seed: u32) -> Var {
    let values = noise(shape.iter().product(), seed).into_iter().map(|v| v * factor).collect();
    Var::from_tensor(&tensor(values, shape)).unwrap()
}

pub(crate) fn tensor(values: Vec<f32>, shape: &[usize]) -> Tensor {
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

pub(crate) fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}
