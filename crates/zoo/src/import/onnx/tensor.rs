//! Tensors of the file, and constants computed from them.

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
    /// Integers, and booleans as 0 and 1.
    Int {
        shape: Vec<usize>,
        values: Vec<i64>,
    },
}

/// Largest number of integers in a tensor. Integers are shapes, axes and pads of at most this many dimensions
/// (PyTorch's limit). Nodes can copy and join them, so without a limit they could grow without bound.
pub(super) const MAX_INTEGERS: usize = 64;

impl Constant {
    /// Makes a list of integers.
    pub(super) fn list(values: Vec<i64>) -> Self {
        Self::Int { shape: vec![values.len()], values }
    }

    pub(super) fn shape(&self) -> &[usize] {
        match self {
            Self::Float(tensor) => tensor.shape(),
            Self::Int { shape, .. } => shape,
        }
    }

    /// Memory of the values, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Float(tensor) => size_of_val(tensor.values()),
            Self::Int { values, .. } => size_of_val(values.as_slice()),
        }
    }
}

impl Tensor {
    /// Memory that the values take, in bytes, by the shape.
    pub(super) fn bytes(&self) -> usize {
        let size = |&size: &i64| usize::try_from(size).unwrap_or(0);
        self.dims.iter().map(size).fold(size_of::<f32>(), usize::saturating_mul)
    }
}

/// The types of `TensorProto.DataType`: number, name, and how this program stores their values.
const TYPES: [(i32, &str, Held); 26] = [
    (1, "float", Held::Float(Dtype::F32)),
    (2, "uint8", Held::Int { bytes: 1, signed: false }),
    (3, "int8", Held::Int { bytes: 1, signed: true }),
    (4, "uint16", Held::Int { bytes: 2, signed: false }),
    (5, "int16", Held::Int { bytes: 2, signed: true }),
    (6, "int32", Held::Int { bytes: 4, signed: true }),
    (7, "int64", Held::Int { bytes: 8, signed: true }),
    (8, "string", Held::No),
    (9, "bool", Held::Int { bytes: 1, signed: false }),
    (10, "float16", Held::Float(Dtype::F16)),
    (11, "double", Held::Float(Dtype::F64)),
    (12, "uint32", Held::Int { bytes: 4, signed: false }),
    (13, "uint64", Held::Int { bytes: 8, signed: false }),
    (14, "complex64", Held::No),
    (15, "complex128", Held::No),
    (16, "bfloat16", Held::Float(Dtype::Bf16)),
    (17, "float8e4m3fn", Held::No),
    (18, "float8e4m3fnuz", Held::No),
    (19, "float8e5m2", Held::No),
    (20, "float8e5m2fnuz", Held::No),
    (21, "uint4", Held::No),
    (22, "int4", Held::No),
    (23, "float4e2m1", Held::No),
    (24, "float8e8m0", Held::No),
    (25, "uint2", Held::No),
    (26, "int2", Held::No),
];

/// The storage of a type's values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Held {
    Float(Dtype),
    Int { bytes: usize, signed: bool },
    No,
}

/// The number of bool in `TensorProto.DataType`.
pub(super) const BOOL: i32 = 9;
/// The number of uint8 in `TensorProto.DataType`.
pub(super) const UINT8: i32 = 2;

/// Returns the storage of a type's values, by the number of the type.
pub(super) fn held(data_type: i32) -> Held {
    TYPES.iter().find(|entry| entry.0 == data_type).map_or(Held::No, |entry| entry.2)
}

/// Returns the name of a type.
pub(super) fn type_name(data_type: i32) -> String {
    let known = TYPES.iter().find(|entry| entry.0 == data_type);
    known.map_or_else(|| format!("number {data_type} of TensorProto.DataType"), |entry| entry.1.into())
}

/// Reads the values of a tensor, which may lie in a file in `folder`.
pub(super) fn read(tensor: &Tensor, folder: &Path) -> Result<Constant, String> {
    read_at_most(tensor, folder, MAX_INTEGERS)
}

/// Reads the values of a tensor like [`read`], with another largest number of integers.
pub(super) fn read_at_most(tensor: &Tensor, folder: &Path, integers: usize) -> Result<Constant, String> {
    let name = &shown(&tensor.name);
    let mut shape = Vec::new();
    for &size in &tensor.dims {
        shape.push(usize::try_from(size).map_err(|_| format!("tensor {name} has a dimension of {size}"))?);
    }
    let count = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
    let count = count.ok_or_else(|| format!("tensor {name} is {shape:?}, more than memory holds"))?;
    if tensor.segment.is_some() {
        return Err(format!("tensor {name} is a segment of a larger tensor, expected a whole tensor"));
    }
    let held = held(tensor.data_type);
    let size = match held {
        Held::Float(dtype) => dtype.size(),
        Held::Int { bytes, .. } => bytes,
        Held::No => {
            let found = type_name(tensor.data_type);
            return Err(format!("tensor {name} holds values of type {found}, expected floats or integers"));
        }
    };
    if let Held::Int { .. } = held
        && count > integers
    {
        return Err(format!(
            "tensor {name} has {count} integers, expected at most {integers}, a shape: give a model with float \
             weights"
        ));
    }

    if ![0, 1].contains(&tensor.data_location) {
        return Err(format!("tensor {name} lies at location {}, expected 0 or 1", tensor.data_location));
    }
    let external = if tensor.data_location == 1 {
        Some(read_external(tensor, folder, count.saturating_mul(size))?)
    } else {
        None
    };
    let bytes = external.as_ref().unwrap_or(&tensor.raw_data);
    // The fields that may hold values, with their numbers of values.
    let fields = [
        ("float_data", tensor.float_data.len()),
        ("int32_data", tensor.int32_data.len()),
        ("string_data", tensor.string_data.len()),
        ("int64_data", tensor.int64_data.len()),
        ("double_data", tensor.double_data.len()),
        ("uint64_data", tensor.uint64_data.len()),
        ("raw_data", tensor.raw_data.len()),
        ("another file", external.as_ref().map_or(0, Vec::len)),
    ];
    let filled: Vec<(&str, usize)> = fields.into_iter().filter(|field| field.1 > 0).collect();
    if let [first, second, ..] = *filled {
        return Err(format!(
            "tensor {name} has values in {} and in {}, expected one of them",
            first.0, second.0
        ));
    }
    let expected = match held {
        Held::Float(Dtype::F32) => "float_data",
        Held::Float(Dtype::F64) => "double_data",
        Held::Int { bytes: 8, signed: true } => "int64_data",
        Held::Int { bytes: 8 | 4, signed: false } => "uint64_data",
        _ => "int32_data",
    };
    match filled.first() {
        Some(&(field @ ("raw_data" | "another file"), found)) if Some(found) != count.checked_mul(size) => {
            return Err(format!(
                "tensor {name} has {found} bytes in {field}, expected {count} values of {size} bytes"
            ));
        }
        Some((field, found)) if *field == expected && *found != count => {
            return Err(format!("tensor {name} has {found} values in {field}, expected {count}"));
        }
        Some((field, _)) if ![expected, "raw_data", "another file"].contains(field) => {
            let of = type_name(tensor.data_type);
            return Err(format!(
                "tensor {name} has values of type {of} in {field}, expected {expected} or raw_data"
            ));
        }
        None if count > 0 => return Err(format!("tensor {name} has no values, expected {count}")),
        _ => {}
    }

    match held {
        Held::Float(dtype) => {
            let values = match dtype {
                Dtype::F32 if !tensor.float_data.is_empty() => tensor.float_data.clone(),
                Dtype::F64 if !tensor.double_data.is_empty() => {
                    tensor.double_data.iter().map(|&value| value as f32).collect()
                }
                _ if !tensor.int32_data.is_empty() => halves(&tensor.int32_data, dtype)
                    .ok_or_else(|| format!("tensor {name} has int32_data beyond 16 bits, expected halves"))?,
                _ => {
                    let element = |i| dtype.element(bytes, i).expect("the length was checked");
                    (0..count).map(element).collect()
                }
            };
            Ok(Constant::Float(FloatTensor::new(shape, values)))
        }
        Held::Int { bytes: size, signed } => {
            let values = if !tensor.int64_data.is_empty() {
                tensor.int64_data.clone()
            } else if !tensor.int32_data.is_empty() {
                tensor.int32_data.iter().map(|&value| value.into()).collect()
            } else if !tensor.uint64_data.is_empty() {
                let values = tensor.uint64_data.iter().map(|&value| i64::try_from(value));
                values
                    .collect::<Result<_, _>>()
                    .map_err(|_| format!("tensor {name} has integers beyond 2^63"))?
            } else {
                let values = (0..count).map(|i| integer(&bytes[i * size..][..size], signed));
                let values: Option<Vec<i64>> = values.collect();
                values.ok_or_else(|| format!("tensor {name} has integers beyond 2^63"))?
            };
            Ok(Constant::Int { shape, values })
        }
        Held::No => unreachable!("refused above"),
    }
}

/// Decodes halves, each in the low bits of a 32-bit integer.
fn halves(bits: &[i32], dtype: Dtype) -> Option<Vec<f32>> {
    // Some writers extend the sign, so numbers may be negative.
    let half = |&bits: &i32| u16::try_from(bits).ok().or_else(|| i16::try_from(bits).ok().map(|n| n as u16));
    bits.iter().map(|bits| dtype.element(&half(bits)?.to_le_bytes(), 0)).collect()
}

/// Decodes a little-endian integer.
fn integer(bytes: &[u8], signed: bool) -> Option<i64> {
    let negative = signed && bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut all = [if negative { 0xff } else { 0 }; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    let value = i64::from_le_bytes(all);
    (signed || value >= 0).then_some(value)
}

/// Returns the total size in bytes of the files beside the model that hold tensors.
pub(super) fn external_bytes(tensors: &[Tensor], folder: &Path) -> usize {
    let external = tensors.iter().filter(|tensor| tensor.data_location == 1);
    let locations: BTreeSet<&str> = external.map(location).filter(|location| is_beside(location)).collect();
    let bytes = |location| std::fs::metadata(folder.join(location)).map_or(0, |file| file.len() as usize);
    locations.into_iter().map(bytes).fold(0, usize::saturating_add)
}

fn location(tensor: &Tensor) -> &str {
    tensor.external_data.iter().find(|entry| entry.key == "location").map_or("", |entry| &entry.value)
}

/// True if a location is a file beside the model; a model must not point anywhere else.
fn is_beside(location: &str) -> bool {
    let parts = || Path::new(location).components();
    !location.is_empty() && parts().all(|part| matches!(part, Component::Normal(_)))
}

/// Reads the bytes of a tensor from another file.
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
    let known = ["location", "offset", "length", "checksum"];
    if let Some(other) = tensor.external_data.iter().find(|entry| !known.contains(&entry.key.as_str())) {
        let (key, known) = (shown(&other.key), known.join(", "));
        return Err(format!(
            "tensor {name} lies in another file with the entry {key}, expected one of {known}"
        ));
    }
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
