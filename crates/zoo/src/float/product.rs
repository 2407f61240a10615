use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::values;

/// Multiplies two tensors of one shape, or `[n, c, h, w]` by the factors `[n, c]` or `[n, c, 1, 1]`.
pub(super) fn product(left: &Tensor, right: &Tensor) -> Result<Tensor> {
    left.contiguous()?.apply_op2(&right.contiguous()?, Product)
}

struct Product;

impl CustomOp2 for Product {
    fn name(&self) -> &'static str {
        "product"
    }

    fn cpu_fwd(
        &self,
        left: &CpuStorage,
        left_layout: &Layout,
        right: &CpuStorage,
        right_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (left, right) = (values(left, left_layout)?, values(right, right_layout)?);
        let mut products = Vec::with_capacity(left.len());
        for (plane, factor) in left.chunks_exact(left.len() / right.len()).zip(right) {
            products.extend(plane.iter().map(|x| x * factor));
        }
        Ok((CpuStorage::F32(products), left_layout.shape().clone()))
    }

    fn bwd(
        &self,
        left: &Tensor,
        right: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let factors = right.elem_count();
        let by_factor = |x: Tensor| x.reshape((factors, left.elem_count() / factors))?.sum(1);
        let of_right = by_factor((gradient * left)?)?.reshape(right.shape())?;
        Ok((Some(product(gradient, right)?), Some(of_right)))
    }
}
