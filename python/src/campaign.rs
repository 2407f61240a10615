//! Campaigns: an experiment that Python describes, with its networks, images and evaluators in memory.

#![expect(clippy::disallowed_methods, reason = "a front end reads the clock, as the program does")]

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use campaign::{CellTrials, Experiment, NetworkUnderTest, RunControl, RunError, Shard};
use data::{ImageSet, ImageShape, Split};
use harness::{
    DataSets, EvaluationImages, Failure, LoadedExperiment, Observer, OwnEvaluator, ReadyNetwork,
    Recomputation, RunReport, Storable, UnseenImages, measure_fault_free, stored_records, weights_only,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use quant::{Checkpoint, FloatTensor, LevelsPerUnit, QuantTensor, WeightScale};
use records::{Environment, Merged, RunArguments, Store};

use crate::boundary::detached;
use crate::callable::{Callable, Raised};
use crate::error::raised;
use crate::network::Network;
use crate::protection::{fixed, id_of};

/// Time after which finished trials of a unit in work are stored.
const KEPT_EVERY: Duration = Duration::from_secs(10);

/// Time between two looks at Python's signals, and between two calls of the progress function.
const LOOKED_EVERY: Duration = Duration::from_millis(100);

/// Name of the experiment file in a run directory.
const EXPERIMENT: &str = "experiment.toml";

/// Int8 weights in memory order, as the functions here take and return them: name, shape, elements row by row, levels per unit.
type Tensor<'py> = (String, Vec<usize>, Bound<'py, PyBytes>, Vec<f32>);

/// A network as Python gives it.
#[derive(FromPyObject)]
enum Given<'py> {
    Network(PyRef<'py, Network>),
    /// An int8 checkpoint file.
    File(PathBuf),
    /// Weights, and where they are from.
    Weights(Vec<Tensor<'py>>, String),
}

impl Given<'_> {
    fn checkpoint(&self) -> Result<Checkpoint, Failure> {
        match self {
            Self::Network(network) => Ok(network.checkpoint().clone()),
            Self::File(path) => Checkpoint::load(path).map_err(Failure::input),
            Self::Weights(tensors, source) => {
                let tensors = tensors.iter().map(quantized_tensor).collect::<Result<_, _>>()?;
                weights_only(tensors, source).map_err(Failure::input)
            }
        }
    }
}

fn quantized_tensor((name, shape, values, scales): &Tensor<'_>) -> Result<QuantTensor, Failure> {
    let values = values.as_bytes().iter().map(|byte| byte.cast_signed()).collect();
    let scales = scales.iter().map(|&scale| LevelsPerUnit::new(scale));
    let scales: Vec<LevelsPerUnit> =
        scales.collect::<Result<_, _>>().map_err(|error| Failure::input(error).at(name.clone()))?;
    let scale = match scales[..] {
        [scale] => WeightScale::Tensor(scale),
        _ => WeightScale::Channels(scales),
    };
    QuantTensor::new(name.clone(), shape.clone(), values, scale).map_err(Failure::input)
}

/// Images or labels as Python gives them.
#[derive(FromPyObject)]
enum GivenImages<'py> {
    /// Shape `[images, channels, height, width]`, pixels, labels (empty if there are none) and number of classes.
    Seen([usize; 4], Bound<'py, PyBytes>, Vec<u16>, usize),
    /// Number of images that an evaluator sees, and their labels.
    Unseen(usize, Option<Vec<u16>>),
}

/// Everything that makes an experiment, without Python.
struct Parts {
    experiment: Experiment,
    source: String,
    checkpoints: Vec<Checkpoint>,
    evaluators: Option<Vec<Box<dyn OwnEvaluator>>>,
    images: Option<ImagesInMemory>,
    data: DataSets,
    /// Arguments that are objects of the calling program.
    objects: Vec<String>,
}

enum ImagesInMemory {
    Seen(ImageSet),
    Unseen(UnseenImages),
}

impl Parts {
    fn loaded(self, observer: &dyn Observer) -> Result<LoadedExperiment, Failure> {
        let Self { experiment, source, checkpoints, evaluators, images, data, .. } = self;
        let images = match images {
            None => EvaluationImages::Named(&data),
            Some(ImagesInMemory::Seen(set)) => EvaluationImages::Given(set),
            Some(ImagesInMemory::Unseen(unseen)) => EvaluationImages::Unseen(unseen),
        };
        match evaluators {
            None => LoadedExperiment::with_images(experiment, source, checkpoints, images, observer),
            Some(own) => {
                LoadedExperiment::with_evaluators(experiment, source, checkpoints, own, images, observer)
            }
        }
    }
}

/// An experiment with its networks in memory.
#[pyclass(frozen, module = "zerospace")]
pub(crate) struct Campaign {
    parts: Mutex<Option<Parts>>,
    raised: Raised,
}

/// Sentences about choices and warnings.
#[derive(Default)]
struct Remarks(Mutex<Vec<String>>);

impl Observer for Remarks {
    fn remark(&self, sentence: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sentence.into());
    }
}

impl Remarks {
    fn all(self) -> Vec<String> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Result of a call of [`Campaign::run`]: units that it computed, units of its share that are left, true if the run is merged and
/// reported, and remarks.
type Ran = (usize, usize, bool, Vec<String>);

/// The reason for which a call has no result.
enum Ended {
    Failed(Failure),
    /// A Python exception in a trial: network, protection, rate, fault model and number.
    Trial(String, PyErr),
    /// Another Python exception.
    Raised(PyErr),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Ended {
    fn exception(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Failed(failure) => raised(&failure),
            Self::Raised(error) => error,
            Self::Trial(place, error) => {
                // Python 3.10 has no notes.
                let _ = error.value(py).call_method1("add_note", (place,));
                error
            }
        }
    }
}

#[pymethods]
impl Campaign {
    /// `experiment` is the text of an experiment file for the run directory `root`. `networks` and `evaluators` are one for each
    /// `[[model]]`. `objects` names the arguments, beside the networks, that the program `zerospace` cannot have.
    #[new]
    #[allow(clippy::too_many_arguments)]
    fn new(
        experiment: String,
        root: PathBuf,
        networks: Vec<Given<'_>>,
        evaluators: Option<Vec<Py<PyAny>>>,
        images: Option<GivenImages<'_>>,
        data: PathBuf,
        objects: Vec<String>,
    ) -> PyResult<Self> {
        let path = root.join(EXPERIMENT);
        let parsed = Experiment::parse(&experiment, &path).map_err(|error| raised(&Failure::input(error)))?;
        let checkpoints = networks.iter().zip(&parsed.models).map(|(network, model)| {
            network.checkpoint().map_err(|failure| raised(&failure.at(format!("network {:?}", model.label))))
        });
        let checkpoints = checkpoints.collect::<PyResult<Vec<_>>>()?;
        let raised_by = Raised::default();
        let own =
            |callable| Box::new(Callable { callable, raised: raised_by.clone() }) as Box<dyn OwnEvaluator>;
        let images = images.map(|images| in_memory(images, &parsed)).transpose()?;
        let parts = Parts {
            source: experiment,
            checkpoints,
            evaluators: evaluators.map(|all| all.into_iter().map(own).collect()),
            images,
            data: DataSets::new(data),
            objects,
            experiment: parsed,
        };
        Ok(Self { parts: Mutex::new(Some(parts)), raised: raised_by })
    }

    /// Compute what is missing in the run directory, or the missing part of a shard; then merge and report if nothing is missing.
    #[pyo3(signature = (root, shard, progress))]
    fn run(
        &self,
        py: Python<'_>,
        root: PathBuf,
        shard: Option<String>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Ran> {
        let share = match shard.as_deref().map(str::parse::<Shard>).transpose() {
            Ok(share) => share,
            Err(error) => {
                let given = shard.unwrap_or_default();
                return Err(PyValueError::new_err(format!("shard is {given:?}: {error}")));
            }
        };
        let parts = self.parts()?;
        let ran = detached(py, || self.computed(parts, &root, share, progress.as_ref()))?;
        ran.map_err(|ended| ended.exception(py))
    }

    /// Recompute the trials with numbers below `most` of every cell and compare them with the stored ones; returns the number of
    /// compared trials.
    fn verify(&self, py: Python<'_>, root: PathBuf, most: u64) -> PyResult<u64> {
        let parts = self.parts()?;
        let verified = detached(py, || self.verified(parts, &root, most))?;
        verified.map_err(|ended| ended.exception(py))
    }

    /// Recompute a trial flip by flip, and compare its record with the stored one; returns the text and the JSON document of
    /// `zerospace replay`.
    fn replay(&self, py: Python<'_>, root: PathBuf, cell: String, trial: u64) -> PyResult<(String, String)> {
        let parts = self.parts()?;
        let replayed = detached(py, || self.replayed(parts, &root, &cell, trial))?;
        replayed.map_err(|ended| ended.exception(py))
    }
}

impl Campaign {
    fn parts(&self) -> PyResult<Parts> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.take().ok_or_else(|| PyValueError::new_err("this campaign has run"))
    }

    /// Returns the Python exception behind a failure, if there is one.
    fn ended(&self, failure: Failure) -> Ended {
        match self.raised.take() {
            Some(error) => Ended::Trial(format!("in {}", failure.error()), error),
            None => Ended::Failed(failure),
        }
    }

    fn computed(
        &self,
        parts: Parts,
        root: &Path,
        shard: Option<Shard>,
        progress: Option<&Py<PyAny>>,
    ) -> Result<Ran, Ended> {
        let _fixed = fixed();
        let remarks = Remarks::default();
        let arguments = Some(match parts.objects.is_empty() {
            true => RunArguments::run(Path::new(EXPERIMENT)),
            false => RunArguments::Python { objects: parts.objects.clone() },
        });
        let loaded = parts.loaded(&remarks).map_err(|failure| self.ended(failure))?;
        let mut ready = loaded.ready(&remarks)?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let manifest = loaded.manifest(&ready, Environment { arguments, ..cli::environment(threads) });
        let store = Store::create(root, manifest).map_err(Failure::from)?;
        store.remove_leftovers(SystemTime::now()).map_err(Failure::from)?;
        loaded.save(&root.join(EXPERIMENT))?;

        let under_test = loaded.networks.iter().zip(&mut ready);
        let mut subjects: Vec<NetworkUnderTest<'_>> = under_test
            .map(|(network, ReadyNetwork { evaluator, evaluation })| NetworkUnderTest {
                network,
                evaluator,
                evaluation,
            })
            .collect();
        let watch = Watch::new(&self.raised, progress);
        let outcome = campaign::run(
            &store,
            &mut subjects,
            shard.unwrap_or(Shard::WHOLE),
            &|| watch.control(),
            &mut |progress| watch.told(progress),
        );
        let outcome = outcome.map_err(|error| match (error, self.raised.take()) {
            (RunError::Evaluator { cell, error }, Some(raised)) => {
                let trial = error.trial.map_or("without faults".into(), |trial| format!("trial {trial}"));
                Ended::Trial(format!("in cell {cell}, {trial}"), raised)
            }
            (_, Some(raised)) => Ended::Raised(raised),
            (error, None) => Ended::Failed(error.into()),
        })?;
        drop(subjects);
        if let Some(error) = self.raised.take() {
            return Err(Ended::Raised(error));
        }
        let measured = measure_fault_free(&store, &loaded, &mut ready, &remarks);
        if let Some(measured) = measured.map_err(|failure| self.ended(failure))? {
            measured.write(&store)?;
        }
        let store = Store::open(root).map_err(Failure::from)?;
        let merged = matches!(store.merge().map_err(Failure::from)?, Merged::Complete(_));
        if merged {
            RunReport::new(&store)?.write(root)?;
        }
        Ok((outcome.computed, outcome.left, merged, remarks.all()))
    }

    fn replayed(&self, parts: Parts, root: &Path, cell: &str, trial: u64) -> Result<(String, String), Ended> {
        let _fixed = fixed();
        let loaded = parts.loaded(&Remarks::default()).map_err(|failure| self.ended(failure))?;
        cli::replay(&loaded, root, cell, trial).map_err(|failure| self.ended(failure))
    }

    fn verified(&self, parts: Parts, root: &Path, most: u64) -> Result<u64, Ended> {
        let _fixed = fixed();
        let remarks = Remarks::default();
        let loaded = parts.loaded(&remarks).map_err(|failure| self.ended(failure))?;
        let stored = stored_records(&loaded, root)?;
        let mut recomputation = Recomputation::new(&loaded, &remarks)?;
        let mut verified = 0;
        for cell in &loaded.cells {
            let id = cell.id();
            let memory = recomputation.memory(cell)?;
            let trials = CellTrials::new(&memory, cell).map_err(Failure::input)?;
            let none = Default::default();
            let there = stored.get(id.as_str()).unwrap_or(&none).range(..most);
            for (&number, there) in there {
                let compared = recomputation.compare(cell, number, trials.trial(number), there, root);
                compared.map_err(|failure| self.ended(failure))?;
                verified += 1;
            }
        }
        Ok(verified)
    }
}

fn in_memory(images: GivenImages<'_>, experiment: &Experiment) -> PyResult<ImagesInMemory> {
    let name = experiment.data.as_ref().map_or("", |data| &data.set);
    match images {
        GivenImages::Unseen(images, labels) => Ok(ImagesInMemory::Unseen(UnseenImages { images, labels })),
        GivenImages::Seen([_, channels, height, width], pixels, labels, classes) => {
            let shape = ImageShape { channels, height, width };
            let pixels = pixels.as_bytes().to_vec();
            let set = match labels.is_empty() {
                true => ImageSet::without_labels(name, Split::Test, shape, pixels),
                false => ImageSet::new(name, Split::Test, shape, classes, pixels, labels),
            };
            set.map(ImagesInMemory::Seen).map_err(|error| PyValueError::new_err(error.to_string()))
        }
    }
}

/// Looks at the clock, at Python's signals and at the progress function during a run.
struct Watch<'a> {
    raised: &'a Raised,
    progress: Option<&'a Py<PyAny>>,
    kept: Cell<Instant>,
    looked: Cell<Option<Instant>>,
    told: Cell<Option<Instant>>,
    stopped: Cell<bool>,
}

impl<'a> Watch<'a> {
    fn new(raised: &'a Raised, progress: Option<&'a Py<PyAny>>) -> Self {
        Self {
            raised,
            progress,
            kept: Cell::new(Instant::now()),
            looked: Cell::new(None),
            told: Cell::new(None),
            stopped: Cell::new(false),
        }
    }

    fn control(&self) -> RunControl {
        if is_due(&self.looked)
            && let Some(error) = Python::attach(|py| py.check_signals().err())
        {
            self.stop(error);
        }
        match self.stopped.get() {
            true => RunControl::Stop,
            false if self.kept.get().elapsed() >= KEPT_EVERY => {
                self.kept.set(Instant::now());
                RunControl::Save
            }
            false => RunControl::Continue,
        }
    }

    fn told(&self, progress: campaign::Progress<'_>) {
        let Some(function) = self.progress else { return };
        if !is_due(&self.told) && progress.done < progress.total {
            return;
        }
        let label = progress.cell.spec.label();
        let called =
            Python::attach(|py| function.call1(py, (progress.done, progress.total, label)).map(|_| ()));
        if let Err(error) = called {
            self.stop(error);
        }
    }

    fn stop(&self, error: PyErr) {
        self.raised.keep(error);
        self.stopped.set(true);
    }
}

/// True at the first call and when [`LOOKED_EVERY`] has passed since the last true one.
fn is_due(last: &Cell<Option<Instant>>) -> bool {
    let due = last.get().is_none_or(|last| last.elapsed() >= LOOKED_EVERY);
    if due {
        last.set(Some(Instant::now()));
    }
    due
}

/// Quantize a float tensor as ``zerospace quantize`` does: 127 levels for the largest magnitude, half to even, then clamp it into
/// the range of a protection. Takes float32 bytes; returns int8 bytes, levels per unit, and the number of clamped weights.
#[pyfunction]
pub(crate) fn quantized<'py>(
    py: Python<'py>,
    name: &str,
    shape: Vec<usize>,
    values: &[u8],
    protection: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyBytes>, f32, usize)> {
    let storable = Storable::named(&id_of(protection)?, Path::new(""));
    let storable = storable.map_err(|error| PyValueError::new_err(format!("{error:#}")))?;
    let floats: Vec<f32> = values.as_chunks().0.iter().map(|value| f32::from_ne_bytes(*value)).collect();
    if floats.len() != shape.iter().product::<usize>() {
        return Err(PyTypeError::new_err(format!(
            "{name} has {} values, expected shape {shape:?}",
            floats.len()
        )));
    }
    let done = detached(py, || {
        let tensor = QuantTensor::quantize(name, &FloatTensor::new(shape, floats))?;
        let mut values = tensor.values().to_vec();
        let clamped = storable.ranges().of(name).throttle(&mut values);
        Ok::<_, quant::QuantError>((values, tensor.scale().of(0).get(), clamped))
    })?;
    let (values, levels_per_unit, clamped) =
        done.map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok((bytes(py, &values), levels_per_unit, clamped))
}

/// Read an int8 checkpoint: its tensors in memory order.
#[pyfunction]
pub(crate) fn checkpoint_tensors(py: Python<'_>, path: PathBuf) -> PyResult<Vec<Tensor<'_>>> {
    let checkpoint = Checkpoint::load(&path).map_err(|error| raised(&Failure::input(error)))?;
    Ok(tensors(py, &checkpoint))
}

/// Return the tensors of a network in memory order.
#[pyfunction]
pub(crate) fn network_tensors<'py>(network: &Bound<'py, Network>) -> Vec<Tensor<'py>> {
    tensors(network.py(), network.get().checkpoint())
}

fn tensors<'py>(py: Python<'py>, checkpoint: &Checkpoint) -> Vec<Tensor<'py>> {
    let tensor = |tensor: &QuantTensor| {
        let scales = tensor.scale().values().iter().map(|scale| scale.get()).collect();
        (tensor.name().into(), tensor.shape().to_vec(), bytes(py, tensor.values()), scales)
    };
    checkpoint.weights.iter().map(tensor).collect()
}

fn bytes<'py>(py: Python<'py>, values: &[i8]) -> Bound<'py, PyBytes> {
    let bytes: Vec<u8> = values.iter().map(|value| value.cast_unsigned()).collect();
    PyBytes::new(py, &bytes)
}
