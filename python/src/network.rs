use std::fs::File;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use anyhow::{Context, anyhow};
use data::{ImageSet, Split};
use ecc::TensorRanges;
use graph::Preprocessing;
use harness::{
    CompiledNetwork, Cut, DataSets, Failure, FloatFile, Observer, Ranges, Rounding, ScaleRule, Storable,
    check_fit, network_text,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use quant::Checkpoint;
use zoo::Selection;

use crate::arrays;
use crate::boundary::detached;
use crate::error::raised;
use crate::images::images;
use crate::work::{Told, long};

/// Images between two looks at signals.
const TOGETHER: usize = 256;

/// An int8 network: weights, scales and layers, as ``zerospace quantize`` writes them.
///
/// ``Network.load`` reads one; ``zerospace.from_onnx``, ``from_state_dict`` and ``from_safetensors`` quantize a float network.
///
/// >>> path = REPOSITORY / "experiments" / "networks" / "resnet18-synthetic.safetensors"
/// >>> network = zerospace.Network.load(path)
/// >>> network
/// Network(resnet18, width 0.125, variant cifar ..., input 3x32x32, 10 classes; 175192 weights in 21 tensors)
/// >>> import numpy as np
/// >>> network.predict(np.zeros((2, 32, 32, 3), np.uint8)).dtype
/// dtype('uint16')
#[pyclass(frozen, module = "zerospace")]
pub(crate) struct Network {
    checkpoint: Arc<Checkpoint>,
    /// The file it was read from, or made from.
    path: PathBuf,
    compiled: Arc<OnceLock<CompiledNetwork>>,
}

/// Images that fix activation ranges: an array, or the first images of a data set.
enum Calibration {
    Array(ImageSet),
    Set { name: String, split: String, images: usize, data: PathBuf },
}

/// Everything that quantization needs beside the float network.
struct Quantization {
    calibration: Option<Calibration>,
    batch: Option<NonZeroU32>,
    rounding: Rounding,
    storable: Storable,
    preprocessing: Preprocessing,
}

/// Arguments of quantization from Python.
#[derive(FromPyObject)]
pub(crate) struct Options<'py> {
    #[pyo3(item)]
    calibration: Option<Bound<'py, PyAny>>,
    #[pyo3(item)]
    calibration_images: usize,
    #[pyo3(item)]
    calibration_split: String,
    #[pyo3(item)]
    data: PathBuf,
    #[pyo3(item)]
    mean: Vec<f32>,
    #[pyo3(item)]
    std: Vec<f32>,
    #[pyo3(item)]
    per_channel: bool,
    #[pyo3(item)]
    scale: String,
    #[pyo3(item)]
    throttle: Option<String>,
    #[pyo3(item)]
    batch: Option<u32>,
    #[pyo3(item)]
    progress: Option<Bound<'py, PyAny>>,
}

fn value_error(error: impl ToString) -> PyErr {
    PyValueError::new_err(error.to_string())
}

impl Options<'_> {
    /// Checks the arguments. `input` is the shape of an image, channels first, if the network has one.
    fn quantization(&self, input: Option<[usize; 3]>) -> PyResult<Quantization> {
        let scale = match self.scale.as_str() {
            "largest" => ScaleRule::Largest,
            "least-error" if self.per_channel => {
                return Err(value_error("scale is \"least-error\", expected none beside per_channel=True"));
            }
            "least-error" => ScaleRule::LeastError,
            other => {
                return Err(value_error(format!(
                    "scale is {other:?}, expected \"largest\" or \"least-error\""
                )));
            }
        };
        let batch = self.batch.map(|batch| {
            NonZeroU32::new(batch)
                .ok_or_else(|| value_error("batch is 0, expected at least 1 image, or None"))
        });
        let batch = batch.transpose()?;
        let calibration = match (&self.calibration, batch) {
            (Some(_), Some(_)) => {
                return Err(value_error(
                    "calibration and batch are given, expected one: dynamic ranges of each batch need no calibration",
                ));
            }
            (None, None) => {
                return Err(value_error(
                    "calibration is missing, expected a uint8 array of images, the name of a data set, or batch=N for dynamic \
                     ranges",
                ));
            }
            (None, Some(_)) => None,
            (Some(given), None) => Some(match given.extract::<String>() {
                Ok(name) => Calibration::Set {
                    name,
                    split: self.calibration_split.clone(),
                    images: self.calibration_images,
                    data: self.data.clone(),
                },
                Err(_) => Calibration::Array(images(given, input, Split::Train, "calibration")?),
            }),
        };
        let storable = match &self.throttle {
            Some(protection) => Storable::named(protection, Path::new(""))
                .map_err(|e| value_error(format!("throttle: {e:#}")))?,
            None => Storable::Range(TensorRanges::NONE),
        };
        let preprocessing = Preprocessing::new(self.mean.clone(), self.std.clone()).map_err(value_error)?;
        let rounding = Rounding { per_channel: self.per_channel, scale };
        Ok(Quantization { calibration, batch, rounding, storable, preprocessing })
    }
}

impl Quantization {
    /// Returns the images of calibration; image files are cut.
    fn images(&self, cut: Cut, told: &Told) -> Result<Option<ImageSet>, Failure> {
        Ok(match &self.calibration {
            None => None,
            Some(Calibration::Array(images)) if images.is_empty() => {
                return Err(Failure::Input(anyhow!("calibration has no images, expected at least 1")));
            }
            Some(Calibration::Array(images)) => Some(images.clone()),
            Some(Calibration::Set { name, split, images, data }) => {
                let sets = DataSets::new(data);
                Some(sets.calibration_images(name, split, *images, cut, told)?.set)
            }
        })
    }

    fn checkpoint(
        &self,
        file: &FloatFile,
        images: Option<&ImageSet>,
        told: &Told,
    ) -> Result<Checkpoint, Failure> {
        let network = file.network();
        if let Some(images) = images {
            check_fit(network.graph.spec(), images).map_err(Failure::Input)?;
        }
        let form =
            network.graph.layers().is_empty().then(|| network_text::indistinguishable(network.graph.spec()));
        let warnings = [form.flatten(), network_text::suspicious(network.preprocessing)];
        warnings.iter().flatten().for_each(|warning| told.remark(warning));
        let ranges = Ranges::new(self.batch, images);
        let tensors = network.graph.stored_weights();
        let storable = self.storable.ranges_of(tensors.iter().map(|spec| &spec.name[..]));
        let storable = storable.context("throttle").map_err(Failure::Input)?;
        network.quantized(self.rounding, &storable, ranges, told).map_err(Failure::Input)
    }
}

impl Network {
    fn new(checkpoint: Checkpoint, path: PathBuf) -> Self {
        Self { checkpoint: Arc::new(checkpoint), path, compiled: Arc::default() }
    }
}

/// Predicts the classes of images, some at a time.
fn predict(
    checkpoint: &Checkpoint,
    compiled: &OnceLock<CompiledNetwork>,
    images: &ImageSet,
    told: &Told,
) -> Result<Vec<u16>, Failure> {
    if compiled.get().is_none() {
        let network = CompiledNetwork::new(checkpoint, images).map_err(Failure::Input)?;
        // Another thread may have been faster.
        let _ = compiled.set(network);
    }
    let network = compiled.get().expect("it was set");
    let together = match network {
        CompiledNetwork::Static(_) | CompiledNetwork::Given(_) => TOGETHER,
        CompiledNetwork::Dynamic(network) => network.batch(),
    };
    told.begin(images.len() as u64, "images");
    let mut predictions = Vec::with_capacity(images.len());
    for pixels in images.pixels().chunks(together * images.shape().image_bytes()) {
        if told.is_stopped() {
            break;
        }
        let part = ImageSet::without_labels(images.name(), images.split(), images.shape(), pixels.to_vec());
        let part = part.map_err(Failure::input)?;
        let done = |done: usize| told.advance(done as u64);
        predictions.extend(network.predict(&part, &done).map_err(Failure::Input)?);
    }
    Ok(predictions)
}

impl Network {
    /// The network's weights, scales and layers.
    pub(crate) fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }
}

#[pymethods]
impl Network {
    /// Quantize an ONNX model. The package's ``from_onnx`` names the options.
    #[staticmethod]
    fn _from_onnx(
        py: Python<'_>,
        path: PathBuf,
        output: Option<String>,
        options: Options<'_>,
    ) -> PyResult<Self> {
        let source = path.clone();
        let read = move |_: &Told| {
            check_readable(&source)?;
            zoo::read_onnx(&source, output.as_deref()).map_err(Failure::input)
        };
        let onnx = long(py, None, read)?;
        let input = onnx.model.input;
        let quantization = options.quantization(Some(input))?;
        let source = path.clone();
        let checkpoint = long(py, options.progress.as_ref(), move |told| {
            let images = quantization.images(Cut::for_input(input), told)?;
            let file =
                FloatFile::from_onnx(&source, onnx, &quantization.preprocessing).map_err(Failure::Input)?;
            quantization.checkpoint(&file, images.as_ref(), told)
        })?;
        Ok(Self::new(checkpoint, path))
    }

    /// Quantize a state dict from a PyTorch or safetensors file. The package's ``from_state_dict`` names the options.
    #[staticmethod]
    #[pyo3(signature = (path, arch, variant, width, classes, input, key, prefix, options))]
    #[allow(clippy::too_many_arguments)]
    fn _from_state_dict(
        py: Python<'_>,
        path: PathBuf,
        arch: String,
        variant: Option<String>,
        width: f64,
        classes: Option<usize>,
        input: Option<[usize; 3]>,
        key: Option<String>,
        prefix: Option<String>,
        options: Options<'_>,
    ) -> PyResult<Self> {
        let variant = variant.map(|variant| variant.parse()).transpose();
        let variant = variant.map_err(|error| value_error(format!("variant: {error}")))?;
        // What does not exist is refused before any image is read.
        zoo::model(&arch, variant, width, 1, [3, 1, 1]).map_err(value_error)?;
        let quantization = options.quantization(input)?;
        let source = path.clone();
        let checkpoint = long(py, options.progress.as_ref(), move |told| {
            check_readable(&source)?;
            let images = quantization.images(input.map_or(Cut::DEFAULT, Cut::for_input), told)?;
            let shape = images.as_ref().map(ImageSet::shape);
            let input = input.or(shape.map(|shape| [shape.channels, shape.height, shape.width]));
            let input =
                input.ok_or_else(|| missing("input", "the shape (channels, height, width) of an image"))?;
            let of_set = images.as_ref().filter(|images| images.is_labelled()).map(ImageSet::classes);
            let classes = classes.or(of_set).ok_or_else(|| missing("classes", "the number of classes"))?;
            let model = zoo::model(&arch, variant, width, classes, input).map_err(Failure::input)?;
            let selection = Selection { key, prefix };
            let file = FloatFile::from_state_dict(&source, &model, &selection, &quantization.preprocessing);
            quantization.checkpoint(&file.map_err(Failure::Input)?, images.as_ref(), told)
        })?;
        Ok(Self::new(checkpoint, path))
    }

    /// Predict the class of each image with the exact int8 executor.
    ///
    /// ``images`` is a uint8 array of shape (n, channels, height, width) or (n, height, width, channels) with the values 0 to 255;
    /// the network normalizes them itself. Returns the classes as a uint16 array, equal on every machine. ``progress``, if given,
    /// is called as ``progress(done, total, unit)``.
    ///
    /// Raises ``TypeError`` for arrays that are not uint8 and ``ValueError`` for images of another shape.
    #[pyo3(signature = (images, progress = None))]
    fn predict<'py>(
        &self,
        py: Python<'py>,
        images: &Bound<'py, PyAny>,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let images = self::images(images, Some(self.checkpoint.model.input), Split::Test, "images")?;
        let (checkpoint, compiled) = (Arc::clone(&self.checkpoint), Arc::clone(&self.compiled));
        let predictions = match images.is_empty() {
            true => Vec::new(),
            false => long(py, progress, move |told| predict(&checkpoint, &compiled, &images, told))?,
        };
        arrays::array(py, &predictions)
    }

    /// Read an int8 checkpoint.
    ///
    /// Raises ``OSError`` if the file cannot be read and ``ValueError`` if it is no int8 checkpoint or damaged.
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let checkpoint = detached(py, || Checkpoint::load(&path).map_err(Failure::input))?;
        Ok(Self::new(checkpoint.map_err(|failure| raised(&failure))?, path))
    }

    /// Write the network to a file, which the program and ``Network.load`` read.
    ///
    /// Raises ``OSError`` if the file cannot be written; it is then as it was before.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        let saved = detached(py, || self.checkpoint.save(&path).map_err(Failure::machine))?;
        saved.map_err(|failure| raised(&failure))
    }

    /// The weights that a memory stores: a dict from names to int8 arrays, in the order of memory. Every access returns new arrays.
    #[getter]
    fn weights<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let weights = PyDict::new(py);
        for tensor in &self.checkpoint.weights {
            weights.set_item(tensor.name(), arrays::shaped(py, tensor.values(), tensor.shape())?)?;
        }
        Ok(weights)
    }

    /// Levels per unit of the weights: a dict from names to float32 arrays, with one value, or one per output channel. A weight is
    /// its int8 value divided by this number, which is the reciprocal of PyTorch's and ONNX's scale.
    #[getter]
    fn levels_per_unit<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let scales = PyDict::new(py);
        for tensor in &self.checkpoint.weights {
            let values: Vec<f32> = tensor.scale().values().iter().map(|scale| scale.get()).collect();
            scales.set_item(tensor.name(), arrays::array(py, &values)?)?;
        }
        Ok(scales)
    }

    /// The tensors in the order of memory, as tuples of name and shape.
    #[getter]
    fn tensors<'py>(&self, py: Python<'py>) -> PyResult<Vec<(String, Bound<'py, PyAny>)>> {
        let tensors = self.checkpoint.weights.iter();
        tensors.map(|t| Ok((t.name().to_owned(), arrays::tuple(py, t.shape())?.into_any()))).collect()
    }

    /// Identity of the network: SHA-256 over everything that changes what it computes.
    #[getter]
    fn digest(&self, py: Python<'_>) -> PyResult<String> {
        detached(py, || self.checkpoint.digest())
    }

    /// Describe the weights as ``zerospace inspect`` does: as its tables (``format="text"``), or as the dict of its JSON document
    /// (``format="json"``).
    #[pyo3(signature = (format = "text"))]
    fn inspect<'py>(&self, py: Python<'py>, format: &str) -> PyResult<Bound<'py, PyAny>> {
        let (text, json) = detached(py, || cli::inspection(&self.path, &self.checkpoint))?;
        match format {
            "text" => Ok(text.into_pyobject(py)?.into_any()),
            "json" => py.import("json")?.call_method1("loads", (json,)),
            other => {
                Err(PyValueError::new_err(format!("format is {other:?}, expected \"text\" or \"json\"")))
            }
        }
    }

    fn __repr__(&self) -> String {
        let weights: usize = self.checkpoint.weights.iter().map(|tensor| tensor.values().len()).sum();
        let form = network_text::architecture(&self.checkpoint.model, &self.checkpoint.layers);
        format!("Network({form}; {weights} weights in {} tensors)", self.checkpoint.weights.len())
    }
}

/// Checks that a file can be opened, before any reader looks for its format.
fn check_readable(path: &Path) -> Result<(), Failure> {
    let opened = File::open(path).with_context(|| path.display().to_string());
    opened.map(drop).map_err(Failure::Machine)
}

fn missing(argument: &str, expected: &str) -> Failure {
    Failure::Input(anyhow!("{argument} is missing, expected {expected}"))
}
