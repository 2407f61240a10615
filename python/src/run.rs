use std::path::PathBuf;

use analysis::{ArrowTable, Estimates, Table as Kind};
use harness::{Failure, RunReport};
use pyo3::prelude::*;
use records::{Store, StoreError, read_trials};

use crate::boundary::detached;
use crate::error::raised;
use crate::table::Table;

/// A merged run: its trials, its estimates and its report, as ``open_run`` returns it.
#[pyclass(frozen, module = "zerospace")]
pub(crate) struct Run {
    store: Store,
    estimates: Estimates,
}

/// Open the directory of a run that the program or the package has computed and merged.
///
/// >>> run = zerospace.open_run(REPOSITORY / "results" / "reproduce")
/// >>> run
/// Run(Four protections, three thin networks, synthetic images: 48 cells, 480 trials)
/// >>> trials = run.trials().to_dict()
/// >>> trials["model"][0], trials["protection"][0], trials["flips_data"][0]
/// ('vgg16', 'faulty', 19)
///
/// Raises ``OSError`` if files are missing, and ``ValueError`` if they are damaged or contradict each other.
#[pyfunction]
pub(crate) fn open_run(py: Python<'_>, directory: PathBuf) -> PyResult<Run> {
    let opened = detached(py, || {
        let store = Store::open(&directory)?;
        let estimates = RunReport::new(&store)?.estimates;
        Ok::<_, Failure>(Run { store, estimates })
    })?;
    opened.map_err(|failure| raised(&failure))
}

impl Run {
    fn figure(&self) -> Result<Option<String>, Failure> {
        let figure = RunReport::new(&self.store)?.figure();
        figure.map(|figure| figure.svg()).transpose().map_err(Failure::machine)
    }

    fn of_estimates(&self, py: Python<'_>, kind: Kind) -> PyResult<Table> {
        Ok(detached(py, || ArrowTable::of(&self.estimates, kind))?.into())
    }
}

#[pymethods]
impl Run {
    /// Title of the experiment.
    #[getter]
    fn title(&self) -> &str {
        &self.store.manifest().experiment
    }

    /// Directory of the run.
    #[getter]
    fn directory(&self) -> PathBuf {
        self.store.root().to_owned()
    }

    /// True if the evaluator gives equal results for equal weights: the int8 executor does, another one was tested with a trial of each
    /// network, evaluated twice. ``None`` if no trial changed a weight.
    #[getter]
    fn deterministic(&self) -> PyResult<Option<bool>> {
        let found = self.store.determinism().map_err(|error| raised(&error.into()))?;
        // An evaluator of one's own is named with its version and a hash.
        let exact = self.store.manifest().cells.iter().all(|cell| !cell.spec.evaluator.contains(' '));
        Ok(found.map(|found| found.deterministic).or(exact.then_some(true)))
    }

    /// Every trial with its conditions, the counts and hashes of its record, and its accuracy drop in points.
    fn trials(&self, py: Python<'_>) -> PyResult<Table> {
        let trials = detached(py, || {
            let rows = read_trials(&self.store.root().join("trials.parquet")).map_err(StoreError::from)?;
            Ok::<_, Failure>(ArrowTable::trials(&rows))
        })?;
        trials.map(Table::from).map_err(|failure| raised(&failure))
    }

    /// Accuracy and accuracy drop of every cell, with 95 % intervals.
    fn summary(&self, py: Python<'_>) -> PyResult<Table> {
        self.of_estimates(py, Kind::Summary)
    }

    /// Outcomes of decoding in every cell, beside those that the codes' distributions let expect.
    fn outcomes(&self, py: Python<'_>) -> PyResult<Table> {
        self.of_estimates(py, Kind::Outcomes)
    }

    /// Protections compared trial by trial under the same faults.
    fn pairs(&self, py: Python<'_>) -> PyResult<Table> {
        self.of_estimates(py, Kind::Paired)
    }

    /// Write tables, figures and the report as Markdown and HTML into a folder; returns the paths of the files.
    ///
    /// Raises ``OSError`` if the folder cannot be written.
    fn report(&self, py: Python<'_>, folder: PathBuf) -> PyResult<Vec<PathBuf>> {
        let written = detached(py, || RunReport::new(&self.store)?.write(&folder))?;
        written.map_err(|failure| raised(&failure))
    }

    fn __repr__(&self) -> String {
        let manifest = self.store.manifest();
        let trials: u64 = self.estimates.summaries().iter().map(|cell| cell.trials).sum();
        format!("Run({}: {} cells, {trials} trials)", manifest.experiment, manifest.cells.len())
    }

    /// The figure of accuracy against bit error rate; nothing if the run swept tensors or bits only.
    fn _repr_svg_(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let drawn = detached(py, || self.figure())?;
        drawn.map_err(|failure| raised(&failure))
    }

    /// The figure and the summary.
    fn _repr_html_(&self, py: Python<'_>) -> PyResult<String> {
        let figure = self._repr_svg_(py)?.unwrap_or_default();
        Ok(figure + &self.summary(py)?.html())
    }
}
