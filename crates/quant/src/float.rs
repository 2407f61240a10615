use std::collections::BTreeMap;

/// A named set of float tensors, e.g. a PyTorch state dict.
pub type Parameters = BTreeMap<String, FloatTensor>;

/// A dense f32 tensor in row-major order (convolution weights are OIHW, linear weights OI).
#[derive(Clone, Debug, PartialEq)]
pub struct FloatTensor {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl FloatTensor {
    /// Wraps `values`.
    ///
    /// # Panics
    /// When the number of values is not the product of `shape`.
    pub fn new(shape: Vec<usize>, values: Vec<f32>) -> Self {
        assert_eq!(
            shape.iter().product::<usize>(),
            values.len(),
            "a tensor of shape {shape:?} got the wrong number of values"
        );
        Self { shape, values }
    }

    /// Sizes of the dimensions, outermost first; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements in row-major order.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The elements in row-major order, to be changed.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// Index and value of the first element that is NaN or infinite.
    pub fn first_non_finite(&self) -> Option<(usize, f32)> {
        let index = self.values.iter().position(|v| !v.is_finite())?;
        Some((index, self.values[index]))
    }
}
