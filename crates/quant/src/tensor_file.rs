//! Int8 tensors of any safetensors file, and files of the weights that a trial reads.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use graph::WeightChange;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use sha2::{Digest, Sha256};

use crate::checkpoint::{as_bytes, le_bytes};
use crate::int8::real_values;
use crate::{Checkpoint, CheckpointError, WeightScale};

/// An int8 tensor of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct FileTensor {
    /// Name.
    pub name: String,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Elements in row-major order.
    pub values: Vec<i8>,
    /// Scale, if the file has one.
    pub scale: Option<WeightScale>,
}

/// A tensor of a file that is not int8, and stays as it is.
#[derive(Clone, Debug, PartialEq)]
struct OtherTensor {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// The int8 tensors of a safetensors file, in memory order.
///
/// The memory order of a zerospace checkpoint is that of its network. In any other file it is the order of the int8
/// tensors' bytes in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorFile {
    tensors: Vec<FileTensor>,
    others: Vec<OtherTensor>,
    digest: String,
}

/// Form of the weights in a written file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightsAs {
    /// Integers, type I8.
    Int8,
    /// Integers divided by the levels per unit, type F32.
    Float,
}

/// Reason why a file has no int8 tensors that can be read, or none that can be written.
#[derive(Debug, thiserror::Error)]
pub enum TensorFileError {
    /// The file cannot be read.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The file is not safetensors.
    #[error("{path}: not a safetensors file: {source}", path = .path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// Error of the reader.
        source: safetensors::SafeTensorError,
    },
    /// No tensor has the type I8.
    #[error("{path}: no tensor of type I8, expected int8 weights; its types are {types}", path = .path.display())]
    NoInt8 {
        /// The file.
        path: PathBuf,
        /// Types of its tensors.
        types: String,
    },
    /// The file is a damaged checkpoint, or a checkpoint of another version.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// A tensor without a scale, which has no real values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tensor {0} has no scale, expected a zerospace checkpoint for weights as floats")]
pub struct MissingScale(pub String);

impl TensorFile {
    /// Reads a zerospace checkpoint, or the int8 tensors of any other safetensors file.
    ///
    /// # Errors
    /// With the file's name and the first thing that is wrong in it.
    pub fn load(path: &Path) -> Result<Self, TensorFileError> {
        let bytes =
            std::fs::read(path).map_err(|source| TensorFileError::Io { path: path.into(), source })?;
        Self::parse(&bytes, path)
    }

    /// As [`TensorFile::load`], of bytes that are, or would be, the file `path`.
    ///
    /// # Errors
    /// As [`TensorFile::load`].
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, TensorFileError> {
        let wrong = |source| TensorFileError::Safetensors { path: path.into(), source };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(wrong)?;
        if Checkpoint::is_named_in(&header) {
            return Ok(Self::of_checkpoint(&Checkpoint::parse(bytes, path)?));
        }
        let file = SafeTensors::deserialize(bytes).map_err(wrong)?;
        // The names of the header, in the order of the tensors' bytes.
        let names = header.offset_keys();
        let (mut tensors, mut others) = (Vec::new(), Vec::new());
        for name in names {
            let view = file.tensor(&name).map_err(wrong)?;
            let shape = view.shape().to_vec();
            match view.dtype() {
                Dtype::I8 => {
                    let values = view.data().iter().map(|byte| byte.cast_signed()).collect();
                    tensors.push(FileTensor { name, shape, values, scale: None });
                }
                dtype => others.push(OtherTensor { name, dtype, shape, bytes: view.data().to_vec() }),
            }
        }
        if tensors.is_empty() {
            let mut types: Vec<String> = others.iter().map(|other| format!("{:?}", other.dtype)).collect();
            types.sort();
            types.dedup();
            let types = if types.is_empty() { "none".into() } else { types.join(", ") };
            return Err(TensorFileError::NoInt8 { path: path.into(), types });
        }
        let digest = digest(&tensors);
        Ok(Self { tensors, others, digest })
    }

    /// The weights and the parameters of a checkpoint.
    pub fn of_checkpoint(checkpoint: &Checkpoint) -> Self {
        let tensors = checkpoint.weights.iter().map(|weights| FileTensor {
            name: weights.name().into(),
            shape: weights.shape().to_vec(),
            values: weights.values().to_vec(),
            scale: Some(weights.scale().clone()),
        });
        let others = checkpoint.parameters.iter().map(|(name, tensor)| OtherTensor {
            name: name.clone(),
            dtype: Dtype::F32,
            shape: tensor.shape().to_vec(),
            bytes: le_bytes(tensor.values()),
        });
        Self { tensors: tensors.collect(), others: others.collect(), digest: checkpoint.digest() }
    }

    /// The int8 tensors, in memory order.
    pub fn tensors(&self) -> &[FileTensor] {
        &self.tensors
    }

    /// Names and types of the other tensors, which are copied.
    pub fn others(&self) -> impl Iterator<Item = (&str, String)> {
        self.others.iter().map(|other| (other.name.as_str(), format!("{:?}", other.dtype)))
    }

    /// Content hash: the digest of a checkpoint; of another file a SHA-256 over names, shapes and values of its int8
    /// tensors in memory order.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns the bytes of a safetensors file with changed weights; all other tensors are copied.
    ///
    /// # Errors
    /// For floats, the first tensor without a scale.
    ///
    /// # Panics
    /// When a change names no weight.
    pub fn with_changes(&self, changes: &[WeightChange], form: WeightsAs) -> Result<Vec<u8>, MissingScale> {
        let mut read: Vec<Vec<i8>> = self.tensors.iter().map(|tensor| tensor.values.clone()).collect();
        changes.iter().for_each(|change| read[change.tensor][change.index] = change.value);
        let mut weights = Vec::new();
        for (FileTensor { name, scale, .. }, values) in self.tensors.iter().zip(read) {
            weights.push(match (form, scale) {
                (WeightsAs::Int8, _) => (Dtype::I8, as_bytes(&values)),
                (WeightsAs::Float, None) => return Err(MissingScale(name.clone())),
                (WeightsAs::Float, Some(scale)) => (Dtype::F32, le_bytes(&real_values(&values, scale))),
            });
        }
        let weights = self
            .tensors
            .iter()
            .zip(&weights)
            .map(|(tensor, (dtype, bytes))| (tensor.name.as_str(), *dtype, &tensor.shape, bytes));
        let others =
            self.others.iter().map(|other| (other.name.as_str(), other.dtype, &other.shape, &other.bytes));
        let views = weights.chain(others).map(|(name, dtype, shape, bytes)| {
            let view = TensorView::new(dtype, shape.clone(), bytes);
            (name, view.expect("a tensor that was read has as many bytes as its shape says"))
        });
        let written = safetensors::serialize(views, None::<HashMap<String, String>>);
        Ok(written.expect("tensors that were read can be written"))
    }
}

fn digest(tensors: &[FileTensor]) -> String {
    let mut hash = Sha256::new();
    hash.update(b"zerospace tensors 1\n");
    for FileTensor { name, shape, .. } in tensors {
        let entry = serde_json::to_string(&(name, shape)).expect("plain data serializes");
        hash.update((entry.len() as u64).to_le_bytes());
        hash.update(entry);
    }
    tensors.iter().for_each(|tensor| hash.update(as_bytes(&tensor.values)));
    durable::hex(&hash.finalize())
}
