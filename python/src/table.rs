use std::fmt::Write;

use analysis::{ArrowTable, Values};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict};

/// Rows that a notebook shows: half of them from the beginning, half from the end.
const SHOWN: usize = 20;

/// A table of a run, with named columns of texts, counts and real numbers.
///
/// Arrow readers take it without a copy: ``polars.DataFrame(table)``, ``pyarrow.table(table)``,
/// ``pandas.DataFrame.from_arrow(table)``, and DuckDB by the name of the variable.
#[pyclass(frozen, module = "zerospace")]
pub(crate) struct Table(ArrowTable);

impl From<ArrowTable> for Table {
    fn from(table: ArrowTable) -> Self {
        Self(table)
    }
}

#[pymethods]
impl Table {
    /// Names of the columns, in order.
    #[getter]
    fn columns(&self) -> Vec<String> {
        self.0.names()
    }

    /// The table as a dict from names of columns to lists of ``str``, ``int`` or ``float``; ``None`` where there is no value.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let columns = PyDict::new(py);
        for (name, values) in self.0.columns() {
            match values {
                Values::Text(texts) => columns.set_item(name, texts)?,
                Values::Count(counts) => columns.set_item(name, counts)?,
                Values::Real(reals) => columns.set_item(name, reals)?,
            }
        }
        Ok(columns)
    }

    /// The schema through Arrow's PyCapsule interface.
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        PyCapsule::new_with_value(py, self.0.schema(), c"arrow_schema")
    }

    /// The rows through Arrow's PyCapsule interface. Another schema that is asked for is not taken into account, as the interface
    /// allows.
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        PyCapsule::new_with_value(py, self.0.stream(), c"arrow_array_stream")
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn __repr__(&self) -> String {
        format!("Table({} rows; {})", self.0.len(), self.0.names().join(", "))
    }

    fn _repr_html_(&self) -> String {
        self.html()
    }
}

impl Table {
    /// The table for a notebook.
    pub(crate) fn html(&self) -> String {
        let columns: Vec<(String, Vec<String>)> =
            self.0.columns().into_iter().map(|(name, values)| (name, texts(values))).collect();
        let mut html = String::from("<table><thead><tr>");
        for (name, _) in &columns {
            let _ = write!(html, "<th>{}</th>", escaped(name));
        }
        html.push_str("</tr></thead><tbody>");
        let rows = self.0.len();
        for row in (0..rows).filter(|row| rows <= SHOWN || *row < SHOWN / 2 || *row >= rows - SHOWN / 2) {
            html.push_str("<tr>");
            for (_, values) in &columns {
                let _ = write!(html, "<td>{}</td>", escaped(&values[row]));
            }
            html.push_str("</tr>");
        }
        let shown = if rows > SHOWN { format!(", {SHOWN} of them shown") } else { String::new() };
        let _ = write!(html, "</tbody></table><p>{rows} rows{shown}</p>");
        html
    }
}

/// The values as texts, empty where there is none.
fn texts(values: Values) -> Vec<String> {
    fn all<T: ToString>(values: Vec<Option<T>>) -> Vec<String> {
        values.iter().map(|value| value.as_ref().map_or(String::new(), ToString::to_string)).collect()
    }
    match values {
        Values::Text(texts) => all(texts),
        Values::Count(counts) => all(counts),
        Values::Real(reals) => all(reals),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
