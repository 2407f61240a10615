use graph::Function;
use rayon::prelude::*;

/// Number of values that one task takes.
const CHUNK: usize = 1 << 12;

/// A function of each value, of tensors of any shape.
///
/// The derivative at a corner is PyTorch's: a leaky ReLU has its slope at 0, and [`Function::derivative`] defines the
/// others. All values are functions of one f32, so neither threads nor instructions change a bit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// x where it is positive, `slope` times x elsewhere.
    Leaky {
        /// Slope for negative x.
        slope: f32,
    },
    /// Any other, in f64 and rounded once.
    Function(Function),
}

impl Activation {
    /// Writes the function of each value of `x` into `y`.
    ///
    /// # Panics
    /// Panics if the lengths differ.
    pub fn forward(self, x: &[f32], y: &mut [f32]) {
        assert_eq!(x.len(), y.len(), "a result for each value");
        y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| {
            let pairs = y.iter_mut().zip(x);
            match self {
                Self::Leaky { slope } => pairs.for_each(|(y, &x)| *y = if x > 0.0 { x } else { x * slope }),
                Self::Function(function) => pairs.for_each(|(y, &x)| *y = function.value(x.into()) as f32),
            }
        });
    }

    /// Writes the gradient of `x` into `dx`, given that of the result.
    ///
    /// # Panics
    /// Panics if the lengths differ.
    pub fn backward(self, x: &[f32], dy: &[f32], dx: &mut [f32]) {
        assert!(x.len() == dx.len() && dy.len() == dx.len(), "a gradient for each value");
        let tasks = dx.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).zip(dy.par_chunks(CHUNK));
        tasks.for_each(|((dx, x), dy)| {
            let all = dx.iter_mut().zip(x).zip(dy);
            match self {
                Self::Leaky { slope } => {
                    all.for_each(|((dx, &x), dy)| *dx = if x > 0.0 { *dy } else { dy * slope });
                }
                Self::Function(function) => {
                    all.for_each(|((dx, &x), dy)| *dx = dy * function.derivative(x.into()) as f32);
                }
            }
        });
    }
}
