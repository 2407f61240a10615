use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use design::BitErrorRate;
use ecc::{Kernel, MatrixCode, MatrixError, OutcomeDistribution, Outcomes, ParityCheckMatrix, Protection};
use harness::Failure;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arrays;
use crate::boundary::detached;
use crate::error::raised;
use crate::protection::known;

/// Numbers of flips that a table shows.
const SHOWN: usize = 6;

/// A code by a parity-check matrix, which is registered under its name: ``linear_code`` makes it.
#[pyclass(frozen, module = "zerospace")]
pub(crate) struct LinearCode {
    protection: Arc<dyn Protection>,
    bits: usize,
    rows: usize,
    corrects: usize,
    outcomes: OutcomeDistribution,
}

/// Outcomes of decoding one word under every pattern of flips, counted in closed form: of how many patterns of k flips a word is
/// corrected, miscorrected, detected, or silently wrong.
#[pyclass(frozen, module = "zerospace", name = "Outcomes")]
pub(crate) struct OutcomesOfWord(OutcomeDistribution);

/// Make a protection of a parity-check matrix, and register it: ``Memory``, ``run`` and others know it by its name.
///
/// ``matrix`` has a row for each check bit (at most 16) and a column for each bit of a code word (at most 96): an array of 0 and 1, or
/// the path of a text file with a line of ``0`` and ``1`` for each row. All patterns of ``corrects`` flips or fewer are corrected, and
/// every other syndrome is detected.
///
/// A word stores ``weights`` weights, 8 or 4: bit j of weight i is stored bit 8 i + j, and the check bits beside the weights follow.
/// ``positions`` has the stored bit of each column (default: column i is stored bit i); bits without a column are not protected.
/// ``check_bits`` has the stored bits that are check bits (default: those beside the weights). Check bits inside the weights take bit
/// 6, or bits 6 and 5, of small weights, or the lowest bits, which are lost.
///
/// >>> import numpy as np
/// >>> columns = [c for c in range(256) if bin(c).count("1") in (3, 5)][:64] + [1 << j for j in range(8)]
/// >>> H = np.array([[c >> j & 1 for c in columns] for j in range(8)])
/// >>> code = zerospace.linear_code(H, "my-secded", corrects=1)
/// >>> code
/// LinearCode(my-secded: 72 bits, 8 of them check bits, 1 flip corrected)
/// >>> code.outcomes
/// Outcomes(72 bits)
/// flips           patterns  corrected  miscorrected  detected    silent
///     1                 72      100 %             0         0         0
///     2              2,556          0             0     100 %         0
///     3             59,640          0        73.1 %    26.9 %         0
/// ...
/// >>> memory = zerospace.Memory({"fc": np.arange(64, dtype=np.int8)}, "my-secded+zero-word")
///
/// Raises ``TypeError`` for another matrix, ``OSError`` for a file that cannot be read, and ``ValueError`` for a matrix that does not
/// make such a code, with two patterns that have the same syndrome, or a name that a built-in protection has.
#[pyfunction]
#[pyo3(signature = (matrix, name, *, corrects, weights = 8, positions = None, check_bits = None))]
pub(crate) fn linear_code(
    py: Python<'_>,
    matrix: &Bound<'_, PyAny>,
    name: String,
    corrects: usize,
    weights: usize,
    positions: Option<Vec<usize>>,
    check_bits: Option<Vec<usize>>,
) -> PyResult<LinearCode> {
    let matrix = parity_check_matrix(matrix)?;
    let (rows, columns) = (matrix.rows(), matrix.columns().len());
    let code = MatrixCode { id: name.clone(), matrix, corrects, weights, positions, check_bits };
    let wrong = |sentence: String| PyValueError::new_err(format!("the code {name:?}: {sentence}"));
    let protection = detached(py, || code.protection(Kernel::fastest()))?;
    let protection: Arc<dyn Protection> = Arc::new(protection.map_err(|error| wrong(error.to_string()))?);
    let outcomes = protection.outcome_distributions().and_then(|mut classes| classes.pop());
    let code = LinearCode {
        protection,
        bits: columns,
        rows,
        corrects,
        outcomes: outcomes.expect("a linear code has a closed form"),
    };
    code._register(py)?;
    Ok(code)
}

/// Takes an array, or reads a file.
fn parity_check_matrix(matrix: &Bound<'_, PyAny>) -> PyResult<ParityCheckMatrix> {
    if let Ok(path) = matrix.extract::<PathBuf>() {
        let read = std::fs::read_to_string(&path).with_context(|| path.display().to_string());
        let text = read.map_err(|error| raised(&Failure::Input(error)))?;
        let parsed = text.parse::<ParityCheckMatrix>();
        return parsed.map_err(|error| PyValueError::new_err(format!("{}: {error}", path.display())));
    }
    let array = arrays::numpy(matrix.py())?.call_method1("asarray", (matrix,))?;
    let (dtype, shape) = (array.getattr("dtype")?, array.getattr("shape")?);
    let kind: String = dtype.getattr("kind")?.extract()?;
    if !["b", "i", "u"].contains(&kind.as_str()) || array.getattr("ndim")?.extract::<usize>()? != 2 {
        return Err(PyTypeError::new_err(format!(
            "matrix has dtype {dtype} and shape {shape}, expected 0 and 1 in rows and columns, or the path of a text file"
        )));
    }
    let numbers: Vec<Vec<i128>> = array.call_method0("tolist")?.extract()?;
    let mut rows = Vec::new();
    for (row, numbers) in numbers.into_iter().enumerate() {
        if let Some(column) = numbers.iter().position(|number| ![0, 1].contains(number)) {
            let found = numbers[column];
            return Err(PyValueError::new_err(format!(
                "matrix[{row}, {column}] is {found}, expected 0 or 1"
            )));
        }
        rows.push(numbers.into_iter().map(|number| number == 1).collect::<Vec<bool>>());
    }
    ParityCheckMatrix::from_rows(&rows).map_err(|error: MatrixError| PyValueError::new_err(error.to_string()))
}

#[pymethods]
impl LinearCode {
    /// Name of the code, which is the id of the protection.
    #[getter]
    fn name(&self) -> &str {
        self.protection.id()
    }

    /// Definition of the code, which is part of the id of every cell: two codes with equal definitions store and read the same bits.
    #[getter]
    fn parameters(&self) -> String {
        self.protection.parameters()
    }

    /// The range of the weights that the code can store, as text.
    #[getter]
    fn constraint(&self) -> String {
        self.protection.constraint().to_string()
    }

    /// Stored check bits beside the weights per bit of the weights.
    #[getter]
    fn overhead(&self) -> f64 {
        let word = self.protection.word();
        word.check_bits as f64 / (8 * word.weights) as f64
    }

    /// Outcomes of decoding a word, by number of flips.
    #[getter]
    fn outcomes(&self) -> OutcomesOfWord {
        OutcomesOfWord(self.outcomes.clone())
    }

    /// Registers the code under its name, in place of another protection of that name.
    fn _register(&self, py: Python<'_>) -> PyResult<()> {
        let protection = Arc::clone(&self.protection);
        let known = detached(py, || known(protection))?;
        known.map_err(|error| PyValueError::new_err(error.to_string()))
    }

    fn __repr__(&self) -> String {
        let Self { bits, rows, corrects, .. } = self;
        let flips = if *corrects == 1 { "flip" } else { "flips" };
        format!(
            "LinearCode({}: {bits} bits, {rows} of them check bits, {corrects} {flips} corrected)",
            self.name()
        )
    }
}

/// Entries of outcomes under the names that records have for them.
fn named<T: Copy + std::ops::Add<Output = T>>(outcomes: Outcomes<T>) -> [(&'static str, T); 5] {
    [
        ("clean", outcomes.clean_right),
        ("corrected", outcomes.corrected_right),
        ("miscorrected", outcomes.corrected_wrong),
        ("detected", outcomes.detected()),
        ("silent", outcomes.clean_wrong),
    ]
}

#[pymethods]
impl OutcomesOfWord {
    /// Number of bits of a word, check bits and unprotected bits included.
    #[getter]
    fn bits(&self) -> usize {
        self.0.bits()
    }

    /// Numbers of patterns as a dict of lists: entry k of ``clean``, ``corrected``, ``miscorrected``, ``detected`` and ``silent`` counts
    /// patterns of k flips, and that of ``wrong`` those after which a weight is read wrong: miscorrected, silent, and most of the
    /// detected ones.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let columns = PyDict::new(py);
        let patterns = self.0.patterns();
        for (place, (name, _)) in named(patterns[0]).into_iter().enumerate() {
            let counts: Vec<u128> = patterns.iter().map(|outcomes| named(*outcomes)[place].1).collect();
            columns.set_item(name, counts)?;
        }
        let wrong: Vec<u128> = patterns.iter().map(|outcomes| outcomes.wrong()).collect();
        columns.set_item("wrong", wrong)?;
        Ok(columns)
    }

    /// Probability of each outcome if every bit flips with probability ``rate``, independently, as a dict with the names of
    /// :meth:`to_dict`.
    ///
    /// Raises ``ValueError`` for a rate outside [0, 1].
    fn probabilities<'py>(&self, py: Python<'py>, rate: f64) -> PyResult<Bound<'py, PyDict>> {
        let rate = BitErrorRate::new(rate).map_err(|error| PyValueError::new_err(error.to_string()))?;
        let of_word = self.0.probabilities(rate.get());
        let probabilities = PyDict::new(py);
        for (name, probability) in named(of_word) {
            probabilities.set_item(name, probability)?;
        }
        probabilities.set_item("wrong", of_word.wrong())?;
        Ok(probabilities)
    }

    /// Shares of the patterns of 1 to 6 flips.
    fn __repr__(&self) -> String {
        let mut text = format!("Outcomes({} bits)\n", self.bits());
        let columns = ["flips", "patterns", "corrected", "miscorrected", "detected", "silent"];
        let widths = [5, 17, 9, 12, 8, 8];
        let mut line = |cells: [String; 6]| {
            let cells: Vec<String> =
                cells.iter().zip(widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
            let _ = writeln!(text, "{}", cells.join("  "));
        };
        line(columns.map(String::from));
        for (flips, outcomes) in self.0.patterns().iter().enumerate().skip(1).take(SHOWN) {
            let all = outcomes.all();
            let [_, (_, corrected), (_, miscorrected), (_, detected), (_, silent)] = named(*outcomes);
            let [corrected, miscorrected, detected, silent] =
                [corrected, miscorrected, detected, silent].map(|count| share(count, all));
            line([flips.to_string(), grouped(all), corrected, miscorrected, detected, silent]);
        }
        text.trim_end().into()
    }
}

/// Part of patterns in percent, to three digits.
fn share(count: u128, all: u128) -> String {
    if count == 0 || count == all {
        return if count == 0 { "0".into() } else { "100 %".into() };
    }
    let percent = 100.0 * count as f64 / all as f64;
    match percent {
        ..0.01 => format!("{percent:.1e} %"),
        ..1.0 => format!("{percent:.3} %"),
        ..99.95 => format!("{percent:.1} %"),
        _ => "> 99.9 %".into(),
    }
}

/// A number with commas between its thousands.
fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
