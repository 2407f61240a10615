//! Getting at the values of candle tensors.

use candle_core::{CpuStorage, Device, Layout, Result, Shape, Storage, Tensor, bail};

/// Elements that one task of an elementwise operation takes.
pub(super) const CHUNK: usize = 1 << 15;

/// The values of a contiguous f32 tensor inside an operation.
pub(super) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("a tensor of shape {:?} is not contiguous, expected contiguous values", layout.shape());
    };
    Ok(&storage.as_slice::<f32>()?[start..end])
}

/// What an operation returns to candle.
pub(super) fn output(values: Vec<f32>, shape: impl Into<Shape>) -> Result<(CpuStorage, Shape)> {
    let shape = shape.into();
    assert_eq!(values.len(), shape.elem_count(), "an operation made the wrong number of values");
    Ok((CpuStorage::F32(values), shape))
}

/// Lends the values of a contiguous f32 CPU tensor.
///
/// # Errors
/// A tensor on another device, of another type, or with strides.
pub(crate) fn read<T>(tensor: &Tensor, with: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(cpu) => Ok(with(slice(cpu, layout)?)),
        _ => bail!("a tensor is on {:?}, expected the cpu", tensor.device()),
    }
}

/// A new tensor on the CPU.
pub(crate) fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(values, shape.into(), &Device::Cpu)
}
