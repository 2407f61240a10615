//! Reads files of other programs: float checkpoints and ONNX models, recognized by content.
//!
//! | begins with | format | reader |
//! |---|---|---|
//! | `PK\x03\x04` | `torch.save` since PyTorch 1.6: a zip with one pickle and a file for each storage | [`zipped`] |
//! | `\x80` | `torch.save` before 1.6: five pickles, then the storages; or one pickle of NumPy arrays | [`legacy`] |
//! | u64 length, `{` | safetensors | [`safetensors_file`] |
//!
//! [`onnx`] reads ONNX files, which hold a network and not only its parameters, and [`tflite`] TensorFlow Lite files.
//!
//! A reader lists the tensors in a [`search::Table`]; [`fit`] finds the parameters of a network in it, and
//! only their values are read. Both PyTorch readers parse the pickle with [`pickle`](::pickle), which runs
//! nothing, and [`tensor`] reads its tensors.

use std::path::PathBuf;

mod checkpoint;
mod dtype;
mod fit;
mod legacy;
mod onnx;
mod quantized_model;
mod safetensors_file;
mod search;
mod tensor;
mod tflite;
mod zipped;

pub use checkpoint::{Bound, FloatCheckpoint, read_checkpoint};
pub use fit::Selection;
pub use onnx::{InputArithmetic, OnnxFile, OnnxModel, read_any_onnx, read_onnx, read_quantized_onnx};
pub use quantized_model::QuantizedModel;
pub use tflite::{is_tflite, read_tflite};

/// The reason why a file cannot be read as a float checkpoint, or as an ONNX or a TensorFlow Lite model.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {kind}", path = .path.display())]
pub struct ImportError {
    path: PathBuf,
    kind: Kind,
}

impl ImportError {
    /// True if the file was expected to be an ONNX model and is none.
    pub fn is_no_onnx(&self) -> bool {
        matches!(self.kind, Kind::Onnx(onnx::OnnxProblem::Foreign { .. }))
    }
}

#[derive(Debug, thiserror::Error)]
enum Kind {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the file begins with {start:02x?}, expected a safetensors file or one written by torch.save")]
    Unrecognized { start: Vec<u8> },
    #[error("the file is {what}, expected a safetensors file or one written by torch.save: {way_out}")]
    Foreign { what: &'static str, way_out: &'static str },
    #[error("safetensors: {0}")]
    Safetensors(#[from] safetensors::SafeTensorError),
    #[error("an int8 checkpoint, expected the float network that it was made from")]
    Int8,
    #[error("zip: {0}")]
    Zip(#[from] zip::result::ZipError),
    #[error("the zip holds no data.pkl, expected one written by torch.save")]
    NoPickle,
    #[error(
        "the file is a TorchScript archive, a program, expected a state dict: in Python, \
         torch.save(torch.jit.load(FILE).state_dict(), \"state.pth\")"
    )]
    TorchScript,
    #[error(
        "the file is a NumPy archive ({name}), expected one written by torch.save: in Python, \
         torch.save({{k: torch.from_numpy(v) for k, v in numpy.load(FILE).items()}}, \"state.pth\")"
    )]
    Numpy { name: &'static str },
    #[error(
        "the file is a Keras model, expected a PyTorch checkpoint: convert it to ONNX with tf2onnx, and leave out --arch"
    )]
    Keras,
    #[error(
        "the file is a program of torch.export, expected a state dict: in Python, \
         torch.save(torch.export.load(FILE).state_dict, \"state.pth\")"
    )]
    Exported,
    #[error("byte order is `{found}`, expected `little` or `big`")]
    ByteOrder { found: String },
    #[error("{what} takes more than {limit} bytes, which a file of this size cannot need")]
    TooLarge { what: String, limit: usize },
    #[error("{0}")]
    Onnx(#[from] onnx::OnnxProblem),
    #[error("{0}")]
    Tflite(#[from] tflite::TfliteProblem),
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
    #[error("storage {key} has type {found}, whose element size is unknown")]
    StorageType { key: String, found: String },
    #[error("storage {key} has two types")]
    AmbiguousStorage { key: String },
    #[error("storage {key} is missing or truncated")]
    MissingStorage { key: String },
    #[error(
        "the file holds a whole module ({class}){place}, which only its own Python code can load, expected its \
         parameters alone. In Python, where that code is:{way_out}",
        place = .path.as_ref().map_or_else(String::new, |path| format!(" under `{path}`"))
    )]
    Module { class: String, path: Option<String>, way_out: String },
    #[error("the file holds an object built by {class}, expected parameters alone: save model.state_dict()")]
    Object { class: String },
    #[error("the file holds a value of type {found}, expected a dict of tensors")]
    NotADict { found: &'static str },
    #[error("the file holds no tensors with names, expected a state dict; its keys are [{keys}]")]
    NoTensors { keys: String },
    #[error("--key is {key}, expected keys that lead to tensors: {known}")]
    NoKey { key: String, known: String },
    #[error("{0}")]
    Misfit(Box<fit::Misfit>),
    #[error("{0}")]
    Nothing(Box<fit::Nothing>),
    #[error("the name {name} has {bytes} bytes, expected at most {limit}")]
    LongName { name: String, bytes: usize, limit: usize },
    #[error("{tensor} is built by {class}, expected tensors: save model.state_dict()")]
    NotATensor { tensor: String, id: usize, class: String },
    #[error("{tensor}{problem}")]
    Tensor { tensor: String, problem: tensor::Problem },
}

/// Returns the error for a file in an unsupported format.
fn kind_of_file(bytes: &[u8]) -> Kind {
    const CONVERT: &str = "convert it to ONNX, and leave out --arch";
    const UNPACK: &str = "unpack it first";
    const DOWNLOAD: &str = "download the file itself";
    let text = bytes.get(..64).unwrap_or(bytes).trim_ascii_start().to_ascii_lowercase();
    let (what, way_out) = match bytes {
        [0x89, b'H', b'D', b'F', ..] => ("HDF5, as Keras writes it", CONVERT),
        [_, _, _, _, b'T', b'F', b'L', b'3', ..] => (
            "a TensorFlow Lite model",
            "leave out --arch, since it brings its own layers; convert a float model to ONNX with tf2onnx",
        ),
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => (
            "a NumPy array (.npy)",
            "in Python, torch.save(numpy.load(FILE, allow_pickle=True).item(), \"state.pth\"), if it is a dict",
        ),
        [0x1f, 0x8b, ..] => ("compressed by gzip", UNPACK),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => ("compressed by zstd", UNPACK),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => ("compressed by xz", UNPACK),
        [b'7', b'z', 0xbc, 0xaf, ..] => ("a 7-Zip archive", UNPACK),
        _ if bytes.get(257..262) == Some(b"ustar") => ("a tar archive", UNPACK),
        _ if text.starts_with(b"version https://git-lfs") => {
            ("a pointer of Git LFS", "git lfs pull fetches the file")
        }
        _ if text.starts_with(b"<!doctype") || text.starts_with(b"<html") => ("a web page", DOWNLOAD),
        // An ONNX model begins with the version of the format and the name of its producer.
        [8, 1..=20, 0x12 | 0x3a | 0x42, ..] => {
            ("an ONNX model", "leave out --arch, since it brings its own layers")
        }
        _ => return Kind::Unrecognized { start: bytes[..bytes.len().min(8)].to_vec() },
    };
    Kind::Foreign { what, way_out }
}

/// The memory that the content of a file may still take. Compression, shared storages and strides of zero let
/// a small file describe a huge one; valid files expand little.
#[derive(Clone, Copy, Debug)]
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

/// Shortens and escapes a name for messages: in a hostile file it can be as long as the file, and hold line
/// breaks or terminal commands.
pub(crate) fn shown(name: &str) -> String {
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
