//! Foreign checkpoints, recognized by content and read as data.
//!
//! | begins with | format | reader |
//! |---|---|---|
//! | `PK\x03\x04` | `torch.save` since PyTorch 1.6: a zip with one pickle and a file a storage | [`zipped`] |
//! | `\x80` | `torch.save` before 1.6: five pickles, then the storages | [`legacy`] |
//! | u64 length, `{` | safetensors | [`safetensors_file`] |
//!
//! ONNX files, which hold a network and not only its parameters, have a reader of their own, [`onnx`].
//!
//! Both PyTorch readers take the pickle apart with [`pickle`](::pickle), which runs nothing, and hand its objects
//! and a [`state_dict::Storages`] to [`state_dict`].

use std::path::{Path, PathBuf};

use quant::Parameters;

mod dtype;
mod legacy;
mod onnx;
mod safetensors_file;
mod state_dict;
mod zipped;

pub use onnx::{OnnxModel, read_onnx};

/// Why a file cannot be read as a state dict or as an ONNX model.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {kind}", path = .path.display())]
pub struct ImportError {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug, thiserror::Error)]
enum Kind {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the file begins with {start:02x?}, expected a safetensors file or one written by torch.save")]
    Unrecognized { start: Vec<u8> },
    #[error("safetensors: {0}")]
    Safetensors(#[from] safetensors::SafeTensorError),
    #[error("zip: {0}")]
    Zip(#[from] zip::result::ZipError),
    #[error("the zip holds no data.pkl, expected one written by torch.save")]
    NoPickle,
    #[error("byte order is `{found}`, expected `little`")]
    ByteOrder { found: String },
    #[error("{what} takes more than {limit} bytes, which a file of this size cannot need")]
    TooLarge { what: String, limit: usize },
    #[error("{0}")]
    Onnx(#[from] onnx::OnnxProblem),
    #[error("pickle: {0}")]
    Pickle(#[from] pickle::PickleError),
    #[error("not written by torch.save: the first pickle is not PyTorch's magic number")]
    Magic,
    #[error("the second pickle is not protocol version 1001 of torch.save")]
    Protocol,
    #[error("the list of storage keys is malformed")]
    StorageKeys,
    #[error("no tensor refers to storage {key}, so its element size is unknown")]
    UnreferencedStorage { key: String },
    #[error("storage {key} has two types")]
    AmbiguousStorage { key: String },
    #[error("storage {key} is missing or truncated")]
    MissingStorage { key: String },
    #[error("the file holds an object built by {class}, expected parameters alone: save model.state_dict()")]
    Object { class: String },
    #[error("the file holds a value of type {found}, expected a dict of tensors")]
    NotADict { found: &'static str },
    #[error(
        "the dict holds no tensors, and none under state_dict, model_state_dict, model, net or module; its keys are [{keys}]"
    )]
    NoTensors { keys: String },
    #[error("the key of a tensor has type {found}, expected str")]
    Key { found: &'static str },
    #[error("the name {name} has {bytes} bytes, expected at most {limit}")]
    LongName { name: String, bytes: usize, limit: usize },
    #[error("{tensor} is built by {class}, expected a dense tensor")]
    NotATensor { tensor: String, class: String },
    #[error("{tensor}: {problem}")]
    Tensor { tensor: String, problem: &'static str },
    #[error("{of} has type {found}, expected f64, f32, f16, bf16 or an integer")]
    Type { of: String, found: String },
}

/// Reads the float tensors of a state dict, by name.
///
/// Reads safetensors and everything `torch.save` writes, in its zip format (since 1.6) and its legacy
/// format. A pickle is only taken apart: nothing that it names is imported or called, and an object
/// other than a dict or a tensor is an error only where a tensor is needed.
///
/// - `state_dict`, `model_state_dict`, `model`, `net` and `module` are looked into, in that order, where a
///   dict holds no tensors itself.
/// - The prefix `module.` (`DataParallel`) is stripped when all names have it.
/// - f64, f16 and bf16 become f32. Integer and boolean tensors (`num_batches_tracked`) and plain values
///   are left out.
///
/// # Errors
/// With the file's name: a file that cannot be read, is in no known format, is damaged or truncated;
/// a big-endian file; a module that was pickled whole; a dict without tensors; a sparse or quantized
/// tensor; a file that expands to more than 64 MiB plus 16 times its size.
pub fn read_state_dict(path: &Path) -> Result<Parameters, ImportError> {
    let read = || parse(&std::fs::read(path)?);
    read().map(strip_data_parallel).map_err(|kind| ImportError { path: path.into(), kind })
}

fn parse(bytes: &[u8]) -> Result<Parameters, Kind> {
    match bytes {
        [b'P', b'K', 3, 4, ..] => zipped::read(bytes),
        [0x80, _, 0x8a | 0x95, ..] => legacy::read(bytes),
        [_, _, _, _, _, _, _, _, b'{', ..] => safetensors_file::read(bytes),
        _ => Err(Kind::Unrecognized { start: bytes[..bytes.len().min(8)].to_vec() }),
    }
}

fn strip_data_parallel(parameters: Parameters) -> Parameters {
    const PREFIX: &str = "module.";
    if !parameters.keys().all(|name| name.starts_with(PREFIX)) {
        return parameters;
    }
    parameters.into_iter().map(|(name, tensor)| (name[PREFIX.len()..].to_string(), tensor)).collect()
}

/// Bytes that may still be spent on what a file expands to. Compression, shared storages and strides of
/// zero let a small file describe a huge one; honest files expand little.
struct Budget {
    limit: usize,
    left: usize,
}

impl Budget {
    fn new(file_bytes: usize) -> Self {
        let limit = file_bytes.saturating_mul(16).saturating_add(64 << 20);
        Self { limit, left: limit }
    }

    fn spend(&mut self, bytes: usize, what: &str) -> Result<(), Kind> {
        let left = self.left.checked_sub(bytes);
        self.left = left.ok_or_else(|| Kind::TooLarge { what: shown(what), limit: self.limit })?;
        Ok(())
    }
}

/// A name as messages show it: a hostile file's can be as long as the file, and hold lines or commands to the terminal.
fn shown(name: &str) -> String {
    const LONGEST: usize = 200;
    let mut text = String::new();
    for c in name.chars().take(LONGEST) {
        if c.is_control() { text.extend(c.escape_default()) } else { text.push(c) }
    }
    if name.chars().nth(LONGEST).is_some() {
        text.push_str("...");
    }
    text
}
