use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path};

use quant::FloatTensor;

use super::message::Tensor;
use crate::import::dtype::Dtype;
use crate::import::shown;

/// The values of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Constant {
    Float(FloatTensor),
    /// Only as a list: shapes and axes have one dimension or none.
    Int(Vec<i64>),
}

/// Most integers of a list. Lists are shapes, axes and pads of at most so many dimensions (PyTorch's limit); nodes
/// can copy and join them, so longer ones could grow without bound.
pub(super) const MAX_INTEGERS: usize = 64;

impl Constant {
    /// Bytes that the values take.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Float(tensor) => size_of_val(tensor.values()),
            Self::Int(values) => size_of_val(values.as_slice()),
        }
    }
}

impl Tensor {
    /// Bytes that its values take in memory, by its shape.
    pub(super) fn bytes(&self) -> usize {
        let size = |&size: &i64| usize::try_from(size).unwrap_or(0);
        self.dims.iter().map(size).fold(size_of::<f32>(), usize::saturating_mul)
    }
}

/// Numbers of `TensorProto.DataType`.
const FLOAT: i32 = 1;
const INT64: i32 = 7;
const FLOAT16: i32 = 10;
const DOUBLE: i32 = 11;
const BFLOAT16: i32 = 16;

/// Reads the values of a tensor, which may lie in a file in `folder`.
pub(super) fn read(tensor: &Tensor, folder: &Path) -> Result<Constant, String> {
    let name = &shown(&tensor.name);
    let mut shape = Vec::new();
    for &size in &tensor.dims {
        shape.push(usize::try_from(size).map_err(|_| format!("tensor {name} has a dimension of {size}"))?);
    }
    let count = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
    let count = count.ok_or_else(|| format!("tensor {name} is {shape:?}, more than memory holds"))?;
    let wrong = |found: usize| format!("tensor {name} has {found} values, expected {count}");

    let dtype = match tensor.data_type {
        FLOAT => Dtype::F32,
        DOUBLE => Dtype::F64,
        FLOAT16 => Dtype::F16,
        BFLOAT16 => Dtype::Bf16,
        INT64 => Dtype::Integer(8),
        other => {
            return Err(format!(
                "tensor {name} has data type {other} of TensorProto, expected f16, bf16, f32, f64 or i64"
            ));
        }
    };
    if !dtype.is_float() && count > MAX_INTEGERS {
        return Err(format!("tensor {name} has {count} integers, expected at most {MAX_INTEGERS}"));
    }
    if dtype == Dtype::F32 && !tensor.float_data.is_empty() {
        let values = tensor.float_data.clone();
        return if values.len() == count {
            Ok(Constant::Float(FloatTensor::new(shape, values)))
        } else {
            Err(wrong(values.len()))
        };
    }
    if !dtype.is_float() && !tensor.int64_data.is_empty() {
        let values = tensor.int64_data.clone();
        return if values.len() == count { Ok(Constant::Int(values)) } else { Err(wrong(values.len())) };
    }

    let external;
    let bytes = if tensor.data_location == 1 {
        external = read_external(tensor, folder, count.saturating_mul(dtype.size()))?;
        &external
    } else {
        &tensor.raw_data
    };
    if Some(bytes.len()) != count.checked_mul(dtype.size()) {
        return Err(wrong(bytes.len() / dtype.size()));
    }
    if dtype.is_float() {
        let element = |i| dtype.element(bytes, i).expect("the length was checked");
        return Ok(Constant::Float(FloatTensor::new(shape, (0..count).map(element).collect())));
    }
    Ok(Constant::Int(bytes.as_chunks().0.iter().map(|chunk| i64::from_le_bytes(*chunk)).collect()))
}

/// Bytes of the files beside the model in which tensors lie.
pub(super) fn external_bytes(tensors: &[Tensor], folder: &Path) -> usize {
    let external = tensors.iter().filter(|tensor| tensor.data_location == 1);
    let locations: BTreeSet<&str> = external.map(location).filter(|location| is_beside(location)).collect();
    let bytes = |location| std::fs::metadata(folder.join(location)).map_or(0, |file| file.len() as usize);
    locations.into_iter().map(bytes).fold(0, usize::saturating_add)
}

fn location(tensor: &Tensor) -> &str {
    tensor.external_data.iter().find(|entry| entry.key == "location").map_or("", |entry| &entry.value)
}

/// A model must not be able to point anywhere else.
fn is_beside(location: &str) -> bool {
    let parts = || Path::new(location).components();
    !location.is_empty() && parts().all(|part| matches!(part, Component::Normal(_)))
}

/// The bytes of a tensor that lies in another file.
fn read_external(tensor: &Tensor, folder: &Path, bytes: usize) -> Result<Vec<u8>, String> {
    let name = &shown(&tensor.name);
    let entry = |key: &str| tensor.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str());
    let location = location(tensor);
    let number = |key: &str, absent: u64| match entry(key) {
        None => Ok(absent),
        Some(text) => {
            text.parse().map_err(|_| format!("{key} of tensor {name} is `{text}`, expected a number"))
        }
    };
    let (offset, length) = (number("offset", 0)?, number("length", bytes as u64)?);
    if !is_beside(location) {
        return Err(format!("tensor {name} lies in `{location}`, expected a file beside the model"));
    }
    if length != bytes as u64 {
        return Err(format!("tensor {name} takes {length} bytes of {location}, expected {bytes}"));
    }
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(folder.join(location))?;
        file.seek(SeekFrom::Start(offset))?;
        let mut data = Vec::new();
        file.take(length).read_to_end(&mut data)?;
        Ok(data)
    };
    read().map_err(|error| format!("{location}, which holds tensor {name}: {error}"))
}
