use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::values::{CHUNK, output, read, slice, tensor};

/// max(x, 0), any shape. The gradient at exactly 0 is 0, as in PyTorch.
///
/// # Errors
/// A tensor that is not f32 on the CPU.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Relu)
}

struct Relu;

impl CustomOp1 for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut y = slice(x, layout)?.to_vec();
        // Not `max`, which would turn a NaN into 0.
        y.par_chunks_mut(CHUNK).for_each(|y| y.iter_mut().for_each(|y| *y = if *y < 0.0 { 0.0 } else { *y }));
        output(y, layout.shape())
    }

    fn bwd(&self, _x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dy = dy.contiguous()?;
        let dx = read(y, |y| {
            read(&dy, |dy| {
                let mut dx = dy.to_vec();
                dx.par_chunks_mut(CHUNK).zip(y.par_chunks(CHUNK)).for_each(|(dx, y)| {
                    dx.iter_mut().zip(y).for_each(|(dx, &y)| *dx = if y > 0.0 { *dx } else { 0.0 });
                });
                dx
            })
        })??;
        Ok(Some(tensor(dx, y.shape())?))
    }
}
